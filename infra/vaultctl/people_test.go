package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/identity"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

// persons runs the people commands.
func (s *shell) persons(args ...string) (string, error) {
	s.Helper()
	s.reports = s.Store(s.Config(rig.Operator), "ReportsBucket")
	s.out.Reset()
	err := people(s.Context(), s.program, append([]string{args[0], "-corp", string(tide)}, args[1:]...))
	return s.out.String(), err
}

// csv writes a file and returns its path.
func (s *shell) csv(text string) string {
	s.Helper()
	path := filepath.Join(s.TempDir(), "hr.csv")
	s.OK(os.WriteFile(path, []byte(text), 0o600))
	return path
}

// A8: by userid, each field with source and age; a hidden field is said to be hidden and what could show it.
func TestPeopleAreShownWithSourceAndAge(t *testing.T) {
	s := newShell(t)
	s.OK(s.ledger.PutEntries(t.Context(), tide, []directory.Entry{{Kind: directory.KindMember, ID: "Bo", At: noon, Fields: directory.Fields(directory.Member{Name: "Bo", Departments: []int{1}})}}))
	text, err := s.persons("import", "-file", s.csv("userid,mobile\nYU,13900000004\nbo,13900000005\n"))
	if err != nil || !strings.Contains(text, `"warnings":[]`) {
		t.Errorf("known however it is spelt: %s, %v", text, err)
	}
	text, err = s.persons("show")
	s.OK(err)
	for _, want := range []string{`{"userid":"yu","departments":["2 潜水"],"gone":false,`, `{"field":"mobile","value":"+8613900000005","source":"hr-file"`, `"wecom":"hidden"`, `"openers":["contacts-sync-known-address"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the people lack %s:\n%s", want, text)
		}
	}
	text, err = s.persons("show", "-user", "yu")
	s.OK(err)
	var yu personPublic
	s.OK(json.Unmarshal([]byte(text), &yu))
	for _, f := range yu.Fields {
		if f.Field == identity.Email && (f.Value != "yu@tide.example" || f.Source != identity.WeCom || !f.Seen.Equal(noon)) || f.Field == identity.Mobile && f.Value != "+8613900000004" {
			t.Errorf("%+v", f)
		}
	}
	if len(yu.Values) != 3 {
		t.Errorf("%+v", yu.Values)
	}
	if _, err := s.persons("show", "-user", "nobody"); err == nil || !strings.Contains(err.Error(), "people show") {
		t.Errorf("nobody: %v", err)
	}
	for _, row := range s.Rows("AuditTable") {
		if strings.Contains(row, "139") || strings.Contains(row, "@") || !strings.Contains(row, "action=people ") {
			t.Errorf("audit entry %s", row)
		}
	}
}

// A8: the same from the shell: refused with line numbers, previewed, versioned, shown, put back.
func TestAnHRFileIsPreviewedImportedAndPutBackFromTheShell(t *testing.T) {
	s := newShell(t)
	first := "userid,name,mobile\nyu,Yu,13900000001\nbo,Bo,\n"
	text, err := s.persons("preview", "-file", s.csv(first))
	s.OK(err)
	if want := `{"base":0,"rows":2,"gained":["bo","yu"],"lost":[],"changed":[],"warnings":["line 3: WeCom's directory shows no such userid; the row counts once it does"]}` + "\n"; text != want {
		t.Errorf("the preview is\n%s, want\n%s", text, want)
	}
	if text, err := s.persons("versions"); err != nil || text != "" {
		t.Errorf("a preview made a version: %s, %v", text, err)
	}
	if text, err = s.persons("import", "-file", s.csv(first)); err != nil || !strings.Contains(text, `"version":1,"base":0`) {
		t.Errorf("%s, %v", text, err)
	}
	if text, err = s.persons("import", "-file", s.csv(first)); err != nil || !strings.Contains(text, `"version":1,"base":1`) || !strings.Contains(text, `"gained":[],"lost":[],"changed":[]`) {
		t.Errorf("again: %s, %v", text, err)
	}
	second := "userid,name,mobile\nyu,Yu,13900000002\n"
	if text, err = s.persons("import", "-file", s.csv(second), "-over", "1"); err != nil || !strings.Contains(text, `"lost":["bo"],"changed":[{"userid":"yu","line":2,"field":"mobile"`) {
		t.Errorf("%s, %v", text, err)
	}
	if text, err = s.persons("import", "-file", s.csv(second), "-over", "1"); err != nil || !strings.Contains(text, `"version":2,"base":1`) {
		t.Errorf("again over the same: %s, %v", text, err)
	}
	if text, err = s.persons("import", "-version", "1"); err != nil || !strings.Contains(text, `"version":3,"base":2`) {
		t.Errorf("put back: %s, %v", text, err)
	}
	if text, err = s.persons("versions", "-version", "3"); err != nil || text != first {
		t.Errorf("the file of version 3 is %q, %v", text, err)
	}
	text, err = s.persons("versions")
	s.OK(err)
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], `{"version":3,"in_force":true,"rows":2,`) || !strings.HasSuffix(lines[0], `"from":1}`) ||
		!strings.HasPrefix(lines[2], `{"version":1,"in_force":false`) {
		t.Errorf("the versions are\n%s", text)
	}
	for _, wrong := range []struct {
		args []string
		want string
	}{
		{[]string{"import", "-file", s.csv("userid,mobile\nyu,12\nbo,13900000001\nyu,1\n")}, "line 2, column 4 (mobile): this is no mobile number"},
		{[]string{"preview", "-file", s.csv("userid,mobile\nyu,\nYU,\n")}, "line 3, column 1 (userid): the userid is in line 2 already"},
		{[]string{"import", "-file", s.csv("userid\nx\n"), "-over", "1"}, "another version than 1 is in force"},
		{[]string{"import", "-version", "9"}, "there is no version 9"},
		{[]string{"preview", "-file", s.csv("userid,name\n")}, "names nobody"},
		{[]string{"import", "-file", s.csv("userid,name\n")}, "say -empty if nobody shall be in it"},
		{[]string{"versions", "-version", "9"}, "people versions"},
		{[]string{"import"}, "either -file FILE or -version N"},
		{[]string{"import", "-version", "1", "-file", "x"}, "either -file FILE or -version N"},
		{[]string{"preview"}, "-file FILE is needed"},
		{[]string{"import", "-file", "/nowhere.csv"}, "no such file"},
		{[]string{"export"}, "show, preview, import or versions"},
	} {
		if _, err := s.persons(wrong.args...); err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("%q: %v", wrong.args, err)
		}
	}
	if text, err := s.persons("versions"); err != nil || strings.Count(text, "\n") != 3 {
		t.Errorf("what was refused made a version: %s, %v", text, err)
	}
	s.reports = nil
	if err := people(t.Context(), s.program, []string{"import", "-corp", string(tide), "-file", "x"}); err == nil || !strings.Contains(err.Error(), "REPORTS_BUCKET") {
		t.Errorf("without a bucket: %v", err)
	}
	if text, err := s.persons("import", "-file", s.csv("userid,name\n"), "-empty"); err != nil || !strings.Contains(text, `"rows":0`) || !strings.Contains(text, `"lost":["bo","yu"]`) {
		t.Errorf("one that names nobody, and is meant: %s, %v", text, err)
	}
}

// Exactly once: the command that died after, or before, any of its writes and is typed again finds or makes the one version.
func TestAnImportFromTheShellThatDiedAtAnyWriteIsOneVersionWhenRepeated(t *testing.T) {
	s := newShell(t)
	made := 0
	for _, act := range []awslocal.Act{awslocal.FailAfter, awslocal.Refuse} {
		for nth := 1; ; nth++ {
			file := s.csv(fmt.Sprintf("userid,mobile\nyu,139%08d\n", made+1))
			n, dead := 0, false
			s.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
				refusal := awslocal.FaultDecision{Act: awslocal.Refuse, Status: 400, Code: "AccessDeniedException"}
				if dead {
					return refusal
				}
				if q.Operation != "PutObject" && q.Operation != "PutItem" {
					return awslocal.FaultDecision{}
				}
				if n++; n == nth {
					dead, refusal.Act = true, act
					return refusal
				}
				return awslocal.FaultDecision{}
			})
			_, err := s.persons("import", "-file", file)
			s.Fault(nil)
			if dead == (err == nil) {
				t.Fatalf("write %d: %v", nth, err)
			}
			if _, err := s.persons("import", "-file", file); err != nil {
				t.Errorf("again after write %d: %v", nth, err)
			}
			made++
			text, err := s.persons("versions")
			s.OK(err)
			if strings.Count(text, "\n") != made {
				t.Fatalf("after write %d there are %d versions, want %d", nth, strings.Count(text, "\n"), made)
			}
			if !dead {
				if nth < 4 {
					t.Errorf("only %d writes", nth-1)
				}
				break
			}
		}
	}
	var usage *usageError
	if _, err := s.persons("import", "-over", "x"); !errors.As(err, &usage) {
		t.Errorf("%v", err)
	}
}
