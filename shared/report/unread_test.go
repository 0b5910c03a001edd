package report

import (
	"strings"
	"testing"
	"time"
)

// What WeCom hides in one department is no news to who is in charge of another.
func TestWhatIsHiddenElsewhereIsNoNewsToAPartOfTheCompany(t *testing.T) {
	hidden := func(a, b int) []Unread {
		return []Unread{{Source: SourceMobile, Of: []Crowd{{Departments: []int{2}, N: a}, {Departments: []int{3}, N: b}}}}
	}
	f := NumberChangeFacts{Corp: tea, Day: noon, Snapshot: ago(time.Hour), Unread: hidden(4, 1)}.Knowing(hidden(4, 2))
	for department, quiet := range map[int]bool{1: false, 2: true, 3: false} {
		part := f.Within(holding(department))
		if department == 1 {
			part = f.Within(func([]int) bool { return true })
		}
		if part.Quiet() != quiet {
			t.Errorf("department %d: quiet %t, of %+v", department, !quiet, part.Unread)
		}
	}
	if same := f.Knowing(hidden(4, 1)); !same.Quiet() {
		t.Errorf("the same as the day before is news: %+v", same.Unread)
	}
	if first := (NumberChangeFacts{Corp: tea, Day: noon, Snapshot: ago(time.Hour), Unread: hidden(4, 1)}).Knowing(nil); first.Quiet() || first.Within(holding(2)).Quiet() {
		t.Errorf("the first day is no news: %+v", first.Unread)
	}
}

// What the rows tell in passing by an old list is no news by itself, and is said.
func TestAnOldListIsSaidWhereTheRowsGoByIt(t *testing.T) {
	f := MissingMobileFacts{Corp: tea, Day: noon, Snapshot: ago(time.Hour), Unread: []Unread{{Source: SourceDesignated, Since: ago(30 * time.Hour), Known: true}}}
	if f = f.Knowing(nil); !f.Quiet() {
		t.Error("it is news by itself")
	}
	f.Rows = []MobileRow{{Person: Person{ID: "kwan"}, Lost: Between{By: ago(time.Hour)}}}
	m, err := NewMissingMobile(f, View{Language: English})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(m.Text, "Not read: WeCom's list of users to archive, since 2026-03-17 06:00 UTC. Therefore not known: whose messages are captured.") {
		t.Errorf("it is not said:\n%s", m.Text)
	}
}
