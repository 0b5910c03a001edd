package report

import (
	"slices"
	"strings"
	"testing"
)

// A list of what is not in order says what to do about each kind of thing that it lists, and about no other.
func TestAListSaysWhatToDoAboutWhatItLists(t *testing.T) {
	steps := func(m Mail, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(m.Text, "== What to do ==\n")
		section, _, _ := strings.Cut(after, "\n\n")
		return section
	}
	v := View{Language: English}
	users := sampleFacts()
	users.Users = slices.DeleteFunc(slices.Clone(users.Users), func(u User) bool { return u.ID != "luoxi" })
	if got := steps(NewUserStatus(users, v)); got != "1. Not activated: the user signs in to the WeCom app once." {
		t.Errorf("R1 of one who is not activated: %q", got)
	}
	coverage := sampleCoverage()
	for _, want := range []string{"buy seats", "vaultctl set-aside -corp", "vaultctl receivers change -corp", "ask its sender for the file"} {
		if got := steps(NewCoverage(coverage, v)); !strings.Contains(got, want) || strings.Contains(got, "-service-end") {
			t.Errorf("R12 lacks %q:\n%s", want, got)
		}
	}
	coverage.Rows = nil
	m, err := NewCoverage(coverage, v)
	if got := steps(m, err); !strings.Contains(got, "buy seats") || strings.Contains(m.Text, "Beyond the seats: 0") || strings.Contains(m.Text, "Should be designated: 0") {
		t.Errorf("what nothing finds out is no 0:\n%s", m.Text)
	}
	coverage.Company.Seats = nil
	if got := steps(NewCoverage(coverage, v)); !strings.Contains(got, "-service-end") || strings.Contains(got, "ask its sender") {
		t.Errorf("R12 without rows and seats:\n%s", got)
	}
	coverage = coverage.Within(func(departments []int) bool { return departments != nil })
	if got := steps(NewCoverage(coverage, v)); got != "" {
		t.Errorf("R12 of a part without rows:\n%s", got)
	}
}

// Whoever reads a mail sees its first rows alone: somebody who refused is not behind ninety of whom it was only learnt that they agree.
func TestWhoRefusedStandsBeforeWhoseConsentIsKnownForTheFirstTime(t *testing.T) {
	f := sampleCoverage()
	f.Company = nil
	f.Rows = []CoverageRow{{Person: someone("zz", "Z", sales, "Z"), What: ConsentChange, With: "Gil", Old: "agree", New: "disagree"}}
	for range firstProblems + 5 {
		f.Rows = append(f.Rows, CoverageRow{Person: someone("aa", "A", sales, "A"), What: ConsentChange, With: "Tom", New: "agree"})
	}
	m, err := NewCoverage(f, View{Language: English})
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(m.Text, "== What is not covered, and what changed ==\n")
	if lines := strings.Split(list, "\n"); !strings.Contains(lines[1], "consent of Gil: from agreed to refused") || !strings.Contains(lines[2], "consent of Tom, known for the first time: agreed") {
		t.Errorf("%q", lines[:3])
	}
	if !strings.Contains(m.Subject, "consent changes: 1, consent first known: 25") {
		t.Error(m.Subject)
	}
}

func TestWhatHappenedWithinAMinuteIsNoSpan(t *testing.T) {
	for _, v := range views() {
		b := Between{After: noon, By: noon}
		if s := v.between(b); strings.Count(s, "12:00 UTC") != 1 || strings.Contains(s, "between") || strings.Contains(s, "之间") {
			t.Errorf("%q", s)
		}
		if c := v.betweenCell(b); len(c.lines) != 1 || c.lines[0] != "2026-03-18 12:00" {
			t.Errorf("%q", c.lines)
		}
	}
}

func TestNothingIsAskedForUsersOfWhomNothingIsLeftToDo(t *testing.T) {
	f := sampleNewUsers()
	f.Rows = slices.DeleteFunc(slices.Clone(f.Rows), func(r NewRow) bool { return r.ID != "Mira.Sol" })
	m, err := NewNewUsers(f, View{Language: English})
	if err != nil || !strings.Contains(m.Text, "Mira Sol") || strings.Contains(m.Text, "What to do") {
		t.Errorf("%v:\n%s", err, m.Text)
	}
}
