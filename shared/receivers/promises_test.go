package receivers

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/report"
)

// T9: nobody else watches; one address of the company gets what has to be acted on, and no more than that.
func TestOperationsGetsTheFiveReportsThatSomebodyHasToActOn(t *testing.T) {
	c := Company{Settings: Settings{Operations: "ops@orchard.example"}}
	var got []report.Kind
	for _, k := range report.Kinds() {
		for _, l := range Route(c, k, noon) {
			if l.Address != "ops@orchard.example" || !slices.Equal(l.Departments, []int{directory.Root}) {
				t.Errorf("%s goes to %+v", k, l)
			}
			got = append(got, k)
		}
	}
	if diff := cmp.Diff([]report.Kind{"R3", "R4", "R5", "R7", "R12"}, got); diff != "" {
		t.Errorf("operations gets (-want +got):\n%s", diff)
	}
	if len(List(c)) != 1 {
		t.Errorf("the receivers are %+v", List(c))
	}
}

// T20: the state of the account is the whole company's: no head of a department and no receiver of one is mailed it, and nobody can be entered for it.
func TestTheAccountsStateGoesToTheWholeCompanysReceiversAlone(t *testing.T) {
	c := company(t, orchard(member("zhouyi", head("周怡", "zhou@orchard.example", 2)), member("lin", head("林", "lin@orchard.example", 1))))
	c.Admins = []AdminRow{{Address: "admin@orchard.example", Language: "en", Reports: []report.Kind{"R7"}}}
	kinds := []report.Kind{"R7"}
	c.Entered = []Row{{ID: "r-1", Address: "root@orchard.example", Department: 1, Reports: kinds}, {ID: "r-2", Address: "east@orchard.example", Department: 2, Reports: kinds}}
	c.Edits = []Edit{{User: "zhouyi", Reports: &kinds}}
	var got []string
	for _, l := range Route(c, "R7", noon) {
		got = append(got, l.Address)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"admin@orchard.example", "root@orchard.example"}, got); diff != "" {
		t.Errorf("R7 goes to (-want +got):\n%s", diff)
	}
	if _, err := (Row{ID: "r-3", Address: "a@orchard.example", Department: 2, Reports: kinds}).Checked(c.Tree); err == nil {
		t.Error("a receiver of one department is entered for it")
	}
	if _, err := (Edit{User: "zhouyi", Reports: &kinds}).Checked([]int{2}); err == nil || !strings.Contains(err.Error(), "R7 tells of the whole company") {
		t.Errorf("it is ticked for a head of a part: %v", err)
	}
	if _, err := (Edit{User: "lin", Reports: &kinds}).Checked([]int{1, 2}); err != nil {
		t.Errorf("it is ticked for the head of all: %v", err)
	}
	for _, r := range List(c) { // the edit was kept while he led the root
		if want := r.ID == HeadID("zhouyi") || r.ID == "r-2"; (len(r.NotSent) == 1) != want {
			t.Errorf("%s: not sent: %q", r.ID, r.NotSent)
		}
	}
}

// T30: one department, and everything below it, today and after the departments were moved.
func TestAReceiverOfADepartmentIsShownEverythingBelowAndTheRootEverything(t *testing.T) {
	c := company(t, orchard())
	c.Entered = []Row{{ID: "r-1", Address: "east@orchard.example", Department: 2, Reports: []report.Kind{"R1"}}, {ID: "r-2", Address: "root@orchard.example", Department: 1, Reports: []report.Kind{"R1"}}}
	for _, l := range Route(c, "R1", noon) {
		for department, east := range map[int]bool{1: false, 2: true, 3: false, 4: true, 5: true} {
			want := east || l.Address == "root@orchard.example"
			if got := c.Tree.Scope(l.Departments...).HoldsDepartment(department); got != want {
				t.Errorf("%s is shown department %d: %v", l.Address, department, got)
			}
		}
		if len(l.Departments) != 1 {
			t.Errorf("%s has departments %v", l.Address, l.Departments)
		}
	}
}

// R8 is on from the beginning: the account admins get it, and the mailbox for copies, if there is one.
func TestWhoMayNotBeRecognisedIsToldToTheAdminsFromTheBeginning(t *testing.T) {
	c := Company{Admins: []AdminRow{{Address: "admin@orchard.example", Language: "en"}, {Address: "chosen@orchard.example", Language: "en", Reports: []report.Kind{"R1"}}}}
	got := map[report.Kind][]string{}
	for _, k := range report.Kinds() {
		for _, l := range Route(c, k, noon) {
			got[k] = append(got[k], l.Address)
		}
	}
	if diff := cmp.Diff(map[report.Kind][]string{"R1": {"admin@orchard.example", "chosen@orchard.example"}, "R8": {"admin@orchard.example"}}, got); diff != "" {
		t.Errorf("without a word to the contrary (-want +got):\n%s", diff)
	}
}
