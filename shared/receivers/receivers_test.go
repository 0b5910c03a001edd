package receivers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/report"
)

var noon = time.Date(2033, 5, 17, 12, 0, 0, 0, time.UTC)

func department(id string, name string, parent int, leaders ...archive.PartyID) directory.Entry {
	return directory.Entry{Kind: directory.KindDepartment, ID: id, At: noon.Add(-48 * time.Hour), Fields: directory.Fields(directory.Department{Name: name, Parent: parent, Leaders: leaders})}
}

func member(id string, m directory.Member) directory.Entry {
	return directory.Entry{Kind: directory.KindMember, ID: id, At: noon.Add(-48 * time.Hour), Fields: directory.Fields(m)}
}

// orchard is a company of five departments: 1 above 2 (above 4, above 5) and 3.
func orchard(members ...directory.Entry) []directory.Entry {
	return append([]directory.Entry{
		department("1", "Orchard Freight", 0), department("2", "东区", 1), department("3", "Harbour", 1), department("4", "冷链", 2), department("5", "Night shift", 4),
	}, members...)
}

func company(t *testing.T, entries []directory.Entry) Company {
	t.Helper()
	tree, err := directory.NewTree(entries)
	if err != nil {
		t.Fatal(err)
	}
	heads, err := directory.Heads(entries)
	if err != nil {
		t.Fatal(err)
	}
	return Company{Tree: tree, Heads: heads}
}

func head(name, email string, leads ...int) directory.Member {
	return directory.Member{Name: name, Listed: true, Departments: append([]int{5}, leads...), Leads: leads, Status: directory.StatusActivated, Email: email, EmailReadable: true}
}

func to[E any](e E) *E { return &e }

func TestHeadOfDepartmentGetsTheThreeDefaultsAtWeComsEmailForTheDepartmentsOfTheRoleAlone(t *testing.T) {
	c := company(t, orchard(member("zhouyi", head("周怡", "Zhou.Yi@Orchard.Example", 2))))
	got := List(c)
	want := []Receiver{{
		ID: "h-zhouyi", Source: Head, Name: "周怡", Address: "Zhou.Yi@orchard.example", Language: report.Chinese, Reports: []report.Kind{"R1", "R2", "R6"}, Departments: []int{2},
		WeComName: "周怡", WeComAddress: "Zhou.Yi@orchard.example",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the receivers (-want +got):\n%s", diff)
	}
}

func TestAnEditedFieldWinsOverTheSyncAndTheOthersFollowWeCom(t *testing.T) {
	edits := []Edit{{User: "zhouyi", Address: to("office@orchard.example"), Reports: &[]report.Kind{"R5", "R1"}, Rev: 3}}
	for _, wecom := range []directory.Member{head("周怡", "zhou@orchard.example", 2), head("Zhou Yi", "new@orchard.example", 2), head("周怡", "", 2)} {
		c := company(t, orchard(member("zhouyi", wecom)))
		c.Edits = edits
		r := List(c)[0]
		if r.Address != "office@orchard.example" || r.Name != wecom.Name || r.WeComAddress != wecom.Email || r.Unreachable != "" || r.Rev != 3 {
			t.Errorf("WeCom says %s, %s: the row is %+v", wecom.Name, wecom.Email, r)
		}
		if diff := cmp.Diff([]report.Kind{"R1", "R5"}, r.Reports); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"address", "reports"}, r.Edited); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTheRowGoesWithTheRoleAndTheEditsReturnWithIt(t *testing.T) {
	edits := []Edit{{User: "zhouyi", Name: to("Z. Yi")}}
	with := company(t, orchard(member("zhouyi", head("周怡", "zhou@orchard.example", 2))))
	without := company(t, orchard(member("zhouyi", head("周怡", "zhou@orchard.example"))))
	with.Edits, without.Edits = edits, edits
	if r := List(without); len(r) != 0 {
		t.Errorf("without the role: %+v", r)
	}
	if r := List(with); len(r) != 1 || r[0].Name != "Z. Yi" {
		t.Errorf("with it again: %+v", r)
	}
}

func TestAHeadWithoutReportsIsMutedAndAHeadWithoutReadableEmailIsUnreachable(t *testing.T) {
	hidden := head("Hidden", "", 3)
	hidden.EmailReadable = false
	c := company(t, append(orchard(member("muted", head("Muted", "", 2)), member("none", head("None", "", 3)), member("hidden", hidden), member("odd", head("Odd", "no address", 3))),
		department("6", "Led by a stranger", 1, "stranger")))
	c.Edits = []Edit{{User: "muted", Reports: &[]report.Kind{}}}
	why := map[string]string{}
	for _, r := range Unreachable(List(c)) {
		why[r.ID] = r.Unreachable
	}
	for id, word := range map[string]string{"h-none": "has no email", "h-hidden": "does not show", "h-odd": "no address that mail", "h-stranger": "no record"} {
		if !strings.Contains(why[id], word) {
			t.Errorf("%s is unreachable because %q", id, why[id])
		}
		delete(why, id)
	}
	if len(why) > 0 {
		t.Errorf("and %q", why)
	}
	for _, k := range report.Kinds() {
		if l := Route(c, k, noon); len(l) != 0 {
			t.Errorf("%s is mailed to %+v", k, l)
		}
	}
}

func TestTwoRolesAtOneAddressAreOneMailWithTheUnionOfTheirScopes(t *testing.T) {
	c := company(t, orchard(member("zhouyi", head("周怡", "zhou@orchard.example", 5))))
	c.Entered = []Row{{ID: "r-1", Name: "Office", Address: "Zhou@orchard.example", Language: "en", Department: 3, Reports: []report.Kind{"R1"}, Added: noon.Add(-time.Hour)}}
	want := []Letter{{Address: "Zhou@orchard.example", Name: "Office", Language: report.English, Departments: []int{3, 5}, Sources: []Source{Entered, Head}}}
	if diff := cmp.Diff(want, Route(c, "R1", noon)); diff != "" {
		t.Errorf("R1 (-want +got):\n%s", diff)
	}
	// R2 is the head's alone: the other role's department is no part of it.
	want = []Letter{{Address: "zhou@orchard.example", Name: "周怡", Language: report.Chinese, Departments: []int{5}, Sources: []Source{Head}}}
	if diff := cmp.Diff(want, Route(c, "R2", noon)); diff != "" {
		t.Errorf("R2 (-want +got):\n%s", diff)
	}
	c.Admins = []AdminRow{{Address: "zhou@orchard.example", Language: "zh"}}
	if l := Route(c, "R1", noon); len(l) != 1 || !cmp.Equal(l[0].Departments, []int{directory.Root}) {
		t.Errorf("with the whole company among the roles: %+v", l)
	}
}

func TestAReportThatIsOffGoesToNobodyHeadsIncluded(t *testing.T) {
	c := company(t, orchard(member("zhouyi", head("周怡", "zhou@orchard.example", 2))))
	c.Admins = []AdminRow{{Address: "admin@orchard.example", Language: "en"}}
	c.Settings = c.Settings.Turned("R1", true, "admin@orchard.example", noon)
	if l := Route(c, "R1", noon); len(l) != 0 {
		t.Errorf("mailed to %+v", l)
	}
	if s := c.Settings.Switches["R1"]; s.By == "" || !s.At.Equal(noon) {
		t.Errorf("who switched it, and when, is %+v", s)
	}
	c.Settings = c.Settings.Turned("R1", false, "admin@orchard.example", noon)
	if l := Route(c, "R1", noon); len(l) != 2 {
		t.Errorf("switched on again it is mailed to %+v", l)
	}
}

func TestCopiesGoToTheAlertMailboxInsteadOfTheControlMailbox(t *testing.T) {
	addresses := func(s Settings, k report.Kind) (list []string) {
		for _, l := range Route(Company{Settings: s}, k, noon) {
			list = append(list, l.Address)
		}
		return list
	}
	for _, c := range []struct {
		s    Settings
		kind report.Kind
		want []string
	}{
		{Settings{Control: "control@orchard.example"}, "R8", []string{"control@orchard.example"}},
		{Settings{Control: "control@orchard.example", Alert: "alerts@orchard.example"}, "R8", []string{"alerts@orchard.example"}},
		{Settings{Control: "control@orchard.example", Alert: "alerts@orchard.example"}, "R6", []string{"alerts@orchard.example"}},
		{Settings{Alert: "alerts@orchard.example"}, "R1", nil},
		{Settings{Operations: "ops@orchard.example", Alert: "alerts@orchard.example"}, "R7", []string{"alerts@orchard.example", "ops@orchard.example"}},
		{Settings{Operations: "ops@orchard.example"}, "R12", []string{"ops@orchard.example"}},
		{Settings{Operations: "ops@orchard.example"}, "R2", nil},
		{Settings{Operations: "One@orchard.example", Control: "one@orchard.example"}, "R7", []string{"One@orchard.example"}},
	} {
		if diff := cmp.Diff(c.want, addresses(c.s, c.kind)); diff != "" {
			t.Errorf("%s with %+v (-want +got):\n%s", c.kind, c.s, diff)
		}
	}
}

func TestReportsBeginWithTheNoonAfterAReceiverIsThere(t *testing.T) {
	c := company(t, orchard())
	row := Row{ID: "r-1", Address: "a@orchard.example", Department: 1, Reports: []report.Kind{"R1"}, Added: noon}
	c.Entered = []Row{row}
	if l := Route(c, "R1", noon); len(l) != 0 {
		t.Errorf("entered at noon, mailed that noon's: %+v", l)
	}
	if l := Route(c, "R1", noon.Add(24*time.Hour)); len(l) != 1 {
		t.Errorf("the next noon: %+v", l)
	}

	now, err := directory.Heads(orchard(member("old", head("Old", "old@orchard.example", 2, 3)), member("new", head("New", "new@orchard.example", 4))))
	if err != nil {
		t.Fatal(err)
	}
	then, err := directory.Heads(orchard(member("old", head("Old", "was@orchard.example", 3, 5)), member("gone", head("Gone", "gone@orchard.example", 2))))
	if err != nil {
		t.Fatal(err)
	}
	got := SinceNoon(now, then)
	if len(got) != 1 || got[0].ID != "old" || !cmp.Equal(got[0].Departments, []int{3}) || got[0].Member.Email != "old@orchard.example" {
		t.Errorf("heads of both times: %+v", got)
	}
}

func TestWhatIsEnteredIsTakenInOneFormOrRefusedWithFieldAndFix(t *testing.T) {
	tree := company(t, orchard()).Tree
	row, err := Row{ID: "r-1", Name: " Lin\u202e  Audit ", Address: " Lin@Orchard.Example ", Language: "en-US", Department: 3, Reports: []report.Kind{"R6", "R1", "R1"}}.Checked(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := Row{ID: "r-1", Name: "Lin Audit", Address: "Lin@orchard.example", Language: "en", Department: 3, Reports: []report.Kind{"R1", "R6"}}
	if diff := cmp.Diff(want, row); diff != "" {
		t.Error(diff)
	}
	good := want
	for _, c := range []struct {
		field string
		row   func(*Row)
	}{
		{"name", func(r *Row) { r.Name = strings.Repeat("名", 121) }},
		{"name", func(r *Row) { r.Name = "a\r\nBcc: b@c.example" }},
		{"address", func(r *Row) { r.Address = "secret" }},
		{"address", func(r *Row) { r.Address = "用户@orchard.example" }},
		{"language", func(r *Row) { r.Language = "fr" }},
		{"department", func(r *Row) { r.Department = 0 }},
		{"department", func(r *Row) { r.Department = 77 }},
		{"reports", func(r *Row) { r.Reports = nil }},
		{"reports", func(r *Row) { r.Reports = []report.Kind{"R9"} }},
		{"reports", func(r *Row) { r.Reports = []report.Kind{"R7"} }},
	} {
		bad := good
		c.row(&bad)
		_, err := bad.Checked(tree)
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Problems[0].Field != c.field || refusal.Problems[0].Fix == "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s of %+v: %v", c.field, bad, err)
		}
	}
	if _, err := (Row{Address: "x", Language: "xx"}).Checked(tree); err == nil || strings.Count(err.Error(), ";") != 3 {
		t.Errorf("four things are wrong, and it says: %v", err)
	}
	if err := (Row{ID: "r-2", Address: "LIN@orchard.example", Department: 3}).Alone([]Row{good}); err == nil || !strings.Contains(err.Error(), "r-1") {
		t.Errorf("the same address for the same department: %v", err)
	}
	if err := (Row{ID: "r-2", Address: "lin@orchard.example", Department: 2}).Alone([]Row{good}); err != nil {
		t.Errorf("for another: %v", err)
	}
	if err := good.Alone([]Row{good}); err != nil {
		t.Errorf("itself: %v", err)
	}
	if _, err := (Edit{User: "zhouyi", Address: to("nowhere")}).Checked(nil); err == nil || !strings.HasPrefix(err.Error(), "address: ") {
		t.Errorf("a head's address: %v", err)
	}
	if _, err := (Settings{Control: "nowhere"}).Checked(); err == nil || !strings.HasPrefix(err.Error(), "control: ") {
		t.Errorf("the control mailbox: %v", err)
	}
}

func TestAHeadCannotBeRemovedNorMovedAndTheReasonNamesTheWay(t *testing.T) {
	c := company(t, orchard(member("zhouyi", head("周怡", "zhou@orchard.example", 2))))
	r := List(c)[0]
	if err := r.Removable(); err == nil || !strings.Contains(err.Error(), "Superior") || !strings.Contains(err.Error(), "next sync") {
		t.Errorf("removing it: %v", err)
	}
	if err := r.DepartmentFixed(); err == nil || !strings.HasPrefix(err.Error(), "department: ") {
		t.Errorf("moving it: %v", err)
	}
	if cmp.Equal(r.Editable(), Receiver{Source: Entered}.Editable()) || len(r.Editable()) != 4 {
		t.Errorf("of a head %q may be edited", r.Editable())
	}
	if err := (Receiver{Source: Entered}).Removable(); err != nil {
		t.Error(err)
	}
}

func TestRowsEditsAndSettingsSurviveBeingStored(t *testing.T) {
	row := Row{ID: RowID([8]byte{1, 2, 255}), Name: "名", Address: "a@b.example", Language: "zh", Department: 7, Reports: []report.Kind{"R12"}, Added: noon}
	text, err := row.Text()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseRow(text, 4); err != nil || back.Rev != 4 || !cmp.Equal(row, back, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Rev" }, cmp.Ignore())) {
		t.Errorf("%+v came back as %+v (%v)", row, back, err)
	}
	for _, e := range []Edit{{User: "a"}, {User: "a", Reports: &[]report.Kind{}}, {User: "a", Name: to(""), Address: to("x@y.example"), Language: "en", Reports: &[]report.Kind{"R1"}}} {
		text, err := e.Text()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseEdit(text, 0); err != nil || !cmp.Equal(e, back) {
			t.Errorf("%s came back as %+v (%v)", text, back, err)
		}
	}
	s := Settings{Operations: "o@b.example", Language: "en"}.Turned("R3", true, "me", noon).Quietened("R1", true, "me", noon)
	text, err = s.Text()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseSettings(text); err != nil || !cmp.Equal(s, back) || back.On("R3") || !back.On("R1") || !back.Silent("R1") || back.Silent("R12") || !back.Silent("R2") {
		t.Errorf("%s came back as %+v (%v)", text, back, err)
	}
	if user, ok := HeadOf(HeadID("h-x")); !ok || user != "h-x" {
		t.Errorf("a head's id names %q", user)
	}
	if _, ok := HeadOf(row.ID); ok {
		t.Error("an entered receiver's id names a head")
	}
}
