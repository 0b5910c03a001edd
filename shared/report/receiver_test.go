package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReceiverIsReadAsAnOperatorWritesIt(t *testing.T) {
	all := Kinds()
	for in, want := range map[string]Receiver{
		"ops@hailan.example":                                          {Address: "ops@hailan.example", Language: English, Reports: all},
		"Ops.Team@Hailan.Example":                                     {Address: "Ops.Team@hailan.example", Language: English, Reports: all},
		"Wen Tan <wen@hailan.example>; lang=zh":                       {Name: "Wen Tan", Address: "wen@hailan.example", Language: Chinese, Reports: all},
		"谭雯 <wen@hailan.example>;reports=r7 , R1, R7; lang = zh-CN ;": {Name: "谭雯", Address: "wen@hailan.example", Language: Chinese, Reports: []Kind{UserStatus, Maintenance}},
		`"Tan; Wen" <wen@hailan.example>; reports=R7`:                 {Name: "Tan; Wen", Address: "wen@hailan.example", Language: English, Reports: []Kind{Maintenance}},
	} {
		got, err := ParseReceiver(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

func TestWrongReceiverIsRefusedWithAReason(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "write it as",
		"nobody":                               "write it as",
		"a@b.example, c@d.example":             "write it as",
		"a@b.example\r\nBcc: c@d.e":            "single line",
		"a@localhost":                          "no dot",
		"a@-b.example":                         "not a domain name",
		"用户@b.example":                         "ASCII",
		"a@茶.example":                          "xn--",
		`"a b"@c.example`:                      "not allowed",
		"a@[192.0.2.1]":                        "not a domain name",
		"a@b.example; lang=fr":                 "en or zh",
		"a@b.example; reports=R13":             "no such report",
		"a@b.example; reports=":                "no such report",
		"a@b.example; colour=red":              "only lang= and reports=",
		"a@b.example; zh":                      "only lang= and reports=",
		"a@b.example; lang=zh;lang=en":         "twice",
		strings.Repeat("x", 65) + "@b.example": "1 to 64",
		"a@" + strings.Repeat("b.", 130) + "example":     "at most 254",
		strings.Repeat("名", 121) + " <secret@b.example>": "at most 120",
	} {
		got, err := ParseReceiver(in)
		if err == nil {
			t.Errorf("%q is taken as %+v", in, got)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "b.example") {
			t.Errorf("%q: %q, want something about %q and no address", in, err, want)
		}
	}
}

func FuzzParseReceiver(f *testing.F) {
	f.Add("Wen Tan <wen@hailan.example>; lang=zh; reports=R1,R7")
	f.Add(`"a;b" <a@b.example>;reports=r7`)
	f.Add("a@b.example; lang=zh;lang=en")
	f.Add("=?utf-8?b?5rW3?= <a@b.example>")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := ParseReceiver(in)
		if err != nil {
			return
		}
		again, err := r.Checked()
		if err != nil || !cmp.Equal(r, again) {
			t.Fatalf("%q: checked twice, %+v becomes %+v (%v)", in, r, again, err)
		}
		m := Mail{ID: "x", Subject: "s", Text: "t", HTML: "h"}
		raw, err := m.Bytes("a@b.example", r.Mailbox(), noon, "")
		if err != nil {
			t.Fatalf("%q: taken, but no mail can be written to it: %v", in, err)
		}
		if p := readWithGo(t, raw); p.To != r.Name+"|"+r.Address {
			t.Fatalf("%q: mailed to %q", in, p.To)
		}
	})
}
