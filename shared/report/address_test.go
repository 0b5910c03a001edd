package report

import (
	"net/mail"
	"strings"
	"testing"
)

func TestAnAddressIsTakenAsPeopleHaveItOrRefusedWithAReason(t *testing.T) {
	for in, want := range map[string]string{
		"ops@hailan.example": "ops@hailan.example", " Ops.Team@Hailan.Example ": "Ops.Team@hailan.example", "a+b@xn--wqv.example": "a+b@xn--wqv.example",
	} {
		if got, err := CheckAddress(in); err != nil || got != want {
			t.Errorf("%q is %q: %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"":                                     "no @",
		"nobody":                               "no @",
		"a@b.example, c@d.example":             "not allowed",
		"a@b.example\r\nBcc: c@d.e":            "ASCII",
		"a@localhost":                          "no dot",
		"a@-b.example":                         "not a domain name",
		"用户@b.example":                         "ASCII",
		"a@茶.example":                          "xn--",
		`"a b"@c.example`:                      "not allowed",
		"a@[192.0.2.1]":                        "not a domain name",
		".a@b.example":                         "dot out of place",
		strings.Repeat("x", 65) + "@b.example": "1 to 64",
		"a@" + strings.Repeat("b.", 130) + "example": "at most 254",
	} {
		if got, err := CheckAddress(in); err == nil {
			t.Errorf("%q is taken as %q", in, got)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "b.example") {
			t.Errorf("%q: %q, want something about %q and no address", in, err, want)
		}
	}
}

// FuzzCheckAddress: what is taken stays as it is when it is taken again, and a mail can be written to it.
func FuzzCheckAddress(f *testing.F) {
	f.Add("wen@hailan.example", "Wen Tan")
	f.Add("a@B.example", "=?utf-8?b?5rW3?=")
	f.Fuzz(func(t *testing.T, in, name string) {
		address, err := CheckAddress(in)
		if err != nil {
			return
		}
		if again, err := CheckAddress(address); err != nil || again != address {
			t.Fatalf("%q: checked twice it is %q (%v)", in, again, err)
		}
		m := Mail{ID: "x", Subject: "s", Text: "t", HTML: "h"}
		to := mail.Address{Name: strings.ToValidUTF8(CleanName(name), ""), Address: address}
		raw, err := m.Bytes("a@b.example", to.String(), noon, "")
		if err != nil {
			if _, refused := mail.ParseAddress(to.String()); refused == nil {
				t.Fatalf("%q, %q: %v", in, name, err)
			}
			t.Skip("a name that no mailbox has is refused")
		}
		if p := readWithGo(t, raw); !strings.HasSuffix(p.To, "|"+address) {
			t.Fatalf("%q: mailed to %q", in, p.To)
		}
	})
}

// mailbox is a name and an address as the To header has them.
func mailbox(name, address string) string {
	return (&mail.Address{Name: name, Address: address}).String()
}
