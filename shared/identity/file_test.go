package identity_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/identity"
)

// listed is a file's rows and problems, each in a line.
func listed(f identity.File, problems []identity.Problem) string {
	var lines []string
	for _, r := range f.Rows() {
		lines = append(lines, fmt.Sprintf("%d %s|%s|%s|%s", r.Line, r.UserID, r.Name, r.Mobile, r.Email))
	}
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%d:%d %s %s %d", p.Line, p.Column, p.Fault, p.Field, p.Other))
	}
	return strings.Join(lines, "\n")
}

func TestAFileIsReadOrSaysWhereItIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"plain": {"userid,name,mobile,email\nada,Ada,139 0000 0001,ada@x.example\r\nbea,,+852 5123 4567,\n",
			"2 ada|Ada|+8613900000001|ada@x.example\n3 bea||+85251234567|"},
		"byte order mark, columns in Chinese and in another order": {"\ufeff邮箱,手机,姓名,账号\na@x.example,13900000001,安,ada\n", "2 ada|安|+8613900000001|a@x.example"},
		"quotes, commas and doubled quotes within":                 {"userid,name\nada,\"Ada, \"\"A\"\"\"\n", `2 ada|Ada, "A"||`},
		"a line break within quotes":                               {"userid,name,mobile\nada,\"Ada\nB\",1\nbea,Bea,13900000002\n", "4 bea|Bea|+8613900000002|\n2:5 line-break name 0\n3:4 mobile-bad mobile 0"},
		"GBK":                                                      {"userid,name\nada,\xb0\xb2\n", "2:5 not-utf-8  0"},
		"UTF-16":                                                   {"\xff\xfeu\x00", "0:0 utf-16  0"},
		"nothing":                                                  {"", "1:0 no-header  0"},
		"semicolons":                                               {"userid;mobile\nada;1\n", "1:0 wrong-separator  0"},
		"no userid":                                                {"name,mobile\nAda,13900000001\n", "1:0 no-userid-column  0"},
		"columns twice and unknown":                                {"userid,Mobile,mobile,pay\nada,13900000001,,9\n", "2 ada||+8613900000001|\n1:15 column-twice mobile 0\n1:22 column-unknown  0"},
		"a quote that never ends":                                  {"userid,name\nada,Ada\nbea,\"Bea\n", "2 ada|Ada||\n3:9 bad-quotes  0"},
		"too few cells":                                            {"userid,name\nada\n\n,\nbea,Bea\n", "5 bea|Bea||\n2:0 cell-count  1"},
		"userids":                                                  {"userid,name\nada,1\nADA,2\n,3\n-x,4\nb c,5\n" + strings.Repeat("a", 65) + ",6\n", "2 ada|1||\n3:1 userid-twice userid 2\n4:1 userid-missing userid 0\n5:1 userid-bad userid 0\n6:1 userid-bad userid 0\n7:1 userid-bad userid 0"},
		"mobiles":                                                  {"userid,mobile\na,13900000001\nb,+86 139-0000-0001\nc,1.39E+10\nd,12345\ne,=1+1\nf,008613900000002\n", "2 a||+8613900000001|\n7 f||+8613900000002|\n3:3 mobile-twice mobile 2\n4:3 mobile-rounded mobile 0\n5:3 mobile-bad mobile 0\n6:3 mobile-bad mobile 0"},
		"addresses":                                                {"userid,email\na,x@x.example\nb,X@X.example\nc,Ada <x@x.example>\nd,x@local\ne,x\n", "2 a|||x@x.example\n3 b|||X@X.example\n3:3 email-twice email 2\n4:3 email-bad email 0\n5:3 email-bad email 0\n6:3 email-bad email 0"},
		"names":                                                    {"userid,name\na,=HYPERLINK(1)\nb," + strings.Repeat("名", 201) + "\n", "2 a|=HYPERLINK(1)||\n2:3 formula name 0\n3:3 name-long name 0"},
		"columns are counted in characters":                        {"name,userid,mobile\n安安,ada,12\n", "2:8 mobile-bad mobile 0"},
	} {
		t.Run(name, func(t *testing.T) {
			f, problems := identity.Parse([]byte(c.file))
			if diff := cmp.Diff(c.want, listed(f, problems)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for _, p := range problems {
				if text := p.Text(); text == "" || strings.Contains(text, "Ada") || strings.Contains(text, "1390000") {
					t.Errorf("%q", text)
				}
			}
		})
	}
}

func TestOnlyWarningsLeaveAFileUsable(t *testing.T) {
	_, problems := identity.Parse([]byte("userid,pay,name\na,1,=x\n"))
	if len(problems) != 2 || !identity.Usable(problems) {
		t.Errorf("warnings: %v", problems)
	}
	if _, problems = identity.Parse([]byte("userid,mobile\na,1\n")); identity.Usable(problems) {
		t.Errorf("an error: %v", problems)
	}
	if got := problems[0].Text(); got != "line 2, column 3 (mobile): this is no mobile number: write it with its country, as +8613800000000" {
		t.Error(got)
	}
}

func TestAFileHasLimits(t *testing.T) {
	if _, problems := identity.Parse(make([]byte, identity.MostBytes+1)); len(problems) != 1 || problems[0].Fault != identity.TooLarge {
		t.Errorf("%v", problems)
	}
	var b bytes.Buffer
	b.WriteString("userid,mobile\n")
	for i := range identity.MostRows + 1 {
		fmt.Fprintf(&b, "u%d,\n", i)
	}
	f, problems := identity.Parse(b.Bytes())
	if len(problems) != 1 || problems[0].Fault != identity.TooManyRows || len(f.Rows()) != identity.MostRows {
		t.Errorf("%d rows, %v", len(f.Rows()), problems)
	}
	if _, problems = identity.Parse([]byte("userid" + strings.Repeat(",x", 1_000_000))); len(problems) != 1 || problems[0].Fault != identity.TooManyColumns {
		t.Errorf("%v", problems)
	}
	_, problems = identity.Parse([]byte("userid,mobile\n" + strings.Repeat("?,1\n", 2000)))
	if last := problems[len(problems)-1]; len(problems) != identity.MostProblems+1 || last.Fault != identity.More || last.Other != 4000-identity.MostProblems || identity.Usable(problems) {
		t.Errorf("%d problems, the last %+v", len(problems), last)
	}
}

func parsed(t *testing.T, text string) identity.File {
	t.Helper()
	f, problems := identity.Parse([]byte(text))
	if !identity.Usable(problems) {
		t.Fatal(problems)
	}
	return f
}

func TestAPreviewSaysWhatWouldChange(t *testing.T) {
	old := parsed(t, "userid,name,mobile\nada,Ada,13900000001\nbea,Bea,13900000002\n")
	next := parsed(t, "userid,name,mobile\nADA,Ada,13900000003\ncyd,Cyd,\n")
	changes, warnings := identity.Preview(old, next, func(id string) bool { return id == "ada" })
	want := []identity.Change{
		{UserID: "ADA", Line: 2, Field: identity.Mobile, Old: "+8613900000001", New: "+8613900000003"},
		{UserID: "bea", Field: identity.Name, Old: "Bea"}, {UserID: "bea", Field: identity.Mobile, Old: "+8613900000002"},
		{UserID: "cyd", Line: 3, Field: identity.Name, New: "Cyd"},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff([]identity.Problem{{Line: 3, Field: "userid", Fault: identity.UserIDUnknown}}, warnings); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if changes, _ := identity.Preview(next, next, func(string) bool { return true }); changes != nil {
		t.Errorf("the same file changes %+v", changes)
	}
}

// Whatever is handed in: what was read, written and read again is the same, has the same hash, and is usable.
func FuzzFile(f *testing.F) {
	f.Add([]byte("userid,name,mobile,email\nada,\"A,\"\"b\"\n\",13900000001,a@x.example\n"))
	f.Add([]byte("\ufeffuserid\r\n=1\r\n\x00"))
	f.Add([]byte("userid,mobile\na,\"1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, _ := identity.Parse(data)
		second, problems := identity.Parse(first.Text())
		if !identity.Usable(problems) {
			t.Fatalf("%q: %v", first.Text(), problems)
		}
		if !bytes.Equal(first.Text(), second.Text()) || first.Hash() != second.Hash() {
			t.Fatalf("written again it differs:\n%q\n%q", first.Text(), second.Text())
		}
	})
}
