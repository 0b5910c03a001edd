package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

func happened(id string, what directory.Change, by time.Time) directory.Event {
	return directory.Event{Kind: directory.KindMember, ID: id, What: what, After: by.Add(-time.Hour), By: by, Via: "app"}
}

func nobodyKnown(archive.PartyID) Seen { return Seen{} }

func TestChangesFallIntoTheWindowByWhenTheyWereSeen(t *testing.T) {
	from := ago(day)
	events := []directory.Event{
		happened("before", directory.Joined, from.Add(-time.Millisecond)),
		happened("first", directory.Joined, from),
		happened("last", directory.Joined, noon.Add(-time.Millisecond)),
		happened("after", directory.Joined, noon),
		happened("first", directory.Joined, from), // told twice
		happened("found", directory.Found, ago(time.Hour)),
		{Kind: directory.KindDepartment, ID: "12", What: directory.DepartmentDeleted, By: ago(time.Hour)},
	}
	late := []directory.Event{happened("late", directory.Joined, from.Add(-30*time.Hour)), happened("not late", directory.Joined, ago(time.Hour))}
	got := Changes(noon, events, late, nobodyKnown)
	var ids []string
	for _, r := range got.New {
		id := string(r.ID)
		if r.Late {
			id += " (late)"
		}
		ids = append(ids, id)
	}
	if diff := cmp.Diff([]string{"late (late)", "first", "last"}, ids); diff != "" {
		t.Error(diff)
	}
	if len(got.Deleted)+len(got.Numbers) > 0 {
		t.Errorf("%+v", got)
	}
}

func TestEveryEventFallsIntoOneWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []directory.Event
		for i := range rapid.IntRange(1, 20).Draw(t, "n") {
			by := ago(time.Duration(rapid.Int64Range(0, int64(5*day)).Draw(t, "by"))).Truncate(time.Millisecond)
			events = append(events, happened(decimal(i), rapid.SampledFrom([]directory.Change{directory.Joined, directory.Left, directory.MobileChanged}).Draw(t, "what"), by))
		}
		rows := 0
		for n := range 7 {
			c := Changes(noon.Add(time.Duration(1-n)*day), events, nil, nobodyKnown)
			rows += len(c.New) + len(c.Deleted) + len(c.Numbers)
		}
		if rows != len(events) {
			t.Fatalf("%d events make %d rows", len(events), rows)
		}
		shuffled := rapid.Permutation(events).Draw(t, "order")
		if diff := cmp.Diff(Changes(noon, events, nil, nobodyKnown), Changes(noon, append(shuffled, events...), nil, nobodyKnown)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestRowsOfChangesSayWhatHappened(t *testing.T) {
	number := happened("a", directory.MobileChanged, ago(time.Hour))
	number.Old, number.New = "13900001111", "13900002222"
	left := happened("b", directory.Left, ago(5*time.Hour))
	left.How = directory.UnlistedSince
	known := func(id archive.PartyID) Seen {
		return Seen{
			Person: Person{Name: "N " + string(id), Departments: []int{7}, Places: []string{"Labs"}}, Here: true,
			Member: directory.Member{Mobile: "13900002222", MobileReadable: true, Email: "n@hailan.example", EmailReadable: true, Status: 4, Designated: true, DesignatedKnown: true},
		}
	}
	got := Changes(noon, []directory.Event{number, left, happened("b", directory.Joined, ago(2*time.Hour))}, nil, known)
	labs := func(id archive.PartyID) Person {
		return Person{ID: id, Name: "N " + string(id), Departments: []int{7}, Places: []string{"Labs"}}
	}
	want := DayRows{
		Numbers: []NumberRow{{Person: labs("a"), Old: "13900001111", New: "13900002222", When: BetweenOf(number)}},
		Deleted: []DeletedRow{{
			Person: labs("b"), How: directory.UnlistedSince, When: BetweenOf(left), Back: true, Mobile: "13900002222", MobileKnown: true, Email: "n@hailan.example", EmailKnown: true,
		}},
		New: []NewRow{{
			Person: labs("b"), Joined: Between{After: ago(3 * time.Hour), By: ago(2 * time.Hour)}, Fresh: true, Status: StatusNotActivated, Mobile: "13900002222", MobileReadable: true,
			Archiving: Archiving{Designated: true, DesignatedKnown: true, Email: "n@hailan.example", EmailReadable: true},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestKindsOfLeavingAreSaidHonestly(t *testing.T) {
	for how, want := range map[directory.Departure]string{
		directory.Quit: "left the company", directory.WasDeleted: "deleted in WeCom", directory.OutOfView: "no longer shown to us", directory.UnlistedSince: "no longer shown to us",
		directory.WasRenamed: "not gone", "": "no longer shown to us",
	} {
		said := View{Language: English}.departure(DeletedRow{How: how})
		if !strings.HasPrefix(said, want) {
			t.Errorf("%s: %q", how, said)
		}
		if chinese := (View{Language: Chinese}).departure(DeletedRow{How: how}); slices.Contains([]directory.Departure{directory.OutOfView, directory.UnlistedSince}, how) && !strings.HasPrefix(chinese, "不再向我们显示") {
			t.Errorf("%s: %q", how, chinese)
		}
	}
}

// sight is one look at the member "m" for the history of a test.
func sight(at time.Time, seen map[directory.Field]string) directory.Look {
	return directory.Look{Kind: directory.KindMember, ID: "m", Asked: at, Answered: at.Add(time.Minute), Via: "app", Presence: directory.There, Seen: seen}
}

func fields(mobile, email string) map[directory.Field]string {
	seen := map[directory.Field]string{directory.FieldStatus: "1", directory.FieldName: "苗青", directory.FieldDepartments: "12"}
	if mobile != "?" {
		seen[directory.FieldMobile] = mobile
	}
	if email != "?" {
		seen[directory.FieldEmail] = email
	}
	return seen
}

func TestTheThreeRulesOfMissingEmail(t *testing.T) {
	for _, c := range []struct {
		name  string
		looks [][2]string // mobile, email: two days, a day and an hour before noon; "?" is hidden
		want  EmailTrouble
		old   string
	}{
		{"no mobile, email removed", [][2]string{{"", "a@x.example"}, {"", "a@x.example"}, {"", ""}}, EmailRemoved, "a@x.example"},
		{"no mobile, email removed long ago", [][2]string{{"", "a@x.example"}, {"", ""}, {"", ""}}, EmailRemoved, "a@x.example"},
		{"mobile lost, email removed", [][2]string{{"139", "a@x.example"}, {"", "a@x.example"}, {"", ""}}, EmailRemoved, "a@x.example"},
		{"no mobile, email changed", [][2]string{{"", "a@x.example"}, {"", "a@x.example"}, {"", "b@x.example"}}, EmailChanged, "a@x.example"},
		{"no mobile, email changed yesterday", [][2]string{{"", "a@x.example"}, {"", "b@x.example"}, {"", "b@x.example"}}, "", ""},
		{"no mobile, email removed and another set", [][2]string{{"", "a@x.example"}, {"", ""}, {"", "b@x.example"}}, EmailChanged, "a@x.example"},
		{"no mobile, email removed and set again", [][2]string{{"", "a@x.example"}, {"", ""}, {"", "A@x.example"}}, "", ""},
		{"mobile lost, email changed", [][2]string{{"139", "a@x.example"}, {"", "a@x.example"}, {"", "b@x.example"}}, EmailChanged, "a@x.example"},
		{"mobile lost, email never set", [][2]string{{"139", ""}, {"139", ""}, {"", ""}}, EmailNever, ""},
		{"neither ever", [][2]string{{"", ""}, {"", ""}, {"", ""}}, "", ""},
		{"email first set", [][2]string{{"", ""}, {"", ""}, {"", "a@x.example"}}, "", ""},
		{"has a mobile, email removed", [][2]string{{"139", "a@x.example"}, {"139", "a@x.example"}, {"139", ""}}, "", ""},
		{"has a mobile, email changed", [][2]string{{"139", "a@x.example"}, {"139", "a@x.example"}, {"139", "b@x.example"}}, "", ""},
		{"email hidden now", [][2]string{{"", "a@x.example"}, {"", "a@x.example"}, {"", "?"}}, "", ""},
		{"mobile hidden now, email removed", [][2]string{{"139", "a@x.example"}, {"139", "a@x.example"}, {"?", ""}}, "", ""},
	} {
		var looks []directory.Look
		for i, at := range []time.Duration{49 * time.Hour, 25 * time.Hour, time.Hour} {
			looks = append(looks, sight(ago(at), fields(c.looks[i][0], c.looks[i][1])))
		}
		h := directory.Fold(directory.KindMember, "m", looks, nil)
		got, holds := FindEmailTrouble(h, noon)
		if holds != (c.want != "") || got.Rule != c.want || got.Old != c.old {
			t.Errorf("%s: %v, rule %q, old %q", c.name, holds, got.Rule, got.Old)
		}
		if holds && (got.ID != "m" || got.When.By.IsZero() || !slices.Equal(got.Departments, []int{12})) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestLostMobileComesEachDayUntilItIsBack(t *testing.T) {
	at := func(hours int, mobile, status string) directory.Look {
		seen := fields(mobile, "a@x.example")
		seen[directory.FieldStatus] = status
		return sight(ago(time.Duration(hours)*time.Hour), seen)
	}
	for _, c := range []struct {
		name  string
		looks []directory.Look
		want  bool
	}{
		{"lost", []directory.Look{at(49, "139", "1"), at(25, "", "1")}, true},
		{"lost days ago", []directory.Look{at(490, "139", "1"), at(250, "", "1"), at(2, "", "1")}, true},
		{"back", []directory.Look{at(49, "139", "1"), at(25, "", "1"), at(1, "138", "1")}, false},
		{"never had", []directory.Look{at(49, "", "1"), at(25, "", "1")}, false},
		{"disabled", []directory.Look{at(49, "139", "1"), at(25, "", "2")}, false},
		{"left", []directory.Look{at(49, "139", "1"), at(25, "", "5")}, false},
		{"hidden", []directory.Look{at(49, "139", "1"), at(25, "", "1"), sight(ago(time.Hour), fields("?", "a@x.example"))}, false},
	} {
		r, lost := LostMobile(directory.Fold(directory.KindMember, "m", c.looks, nil))
		if lost != c.want || lost && (r.Last != "139" || r.Email != "a@x.example") {
			t.Errorf("%s: %v %+v", c.name, lost, r)
		}
	}
}

func TestAccountNamesEachJump(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  archive.Seq
		batches []Handed
		want    Account
	}{
		{"nothing", 9, nil, Account{}},
		{"unbroken", 9, []Handed{{10, 12, 3}, {13, 13, 1}}, Account{First: 10, Last: 13}},
		{"the first day", 0, []Handed{{10, 12, 3}}, Account{First: 10, Last: 12}},
		{"a jump from the day before", 7, []Handed{{10, 12, 3}}, Account{First: 10, Last: 12, Jumps: []Jump{{8, 9}}}},
		{"a jump between", 9, []Handed{{20, 21, 2}, {10, 12, 3}}, Account{First: 10, Last: 21, Jumps: []Jump{{13, 19}}}},
		{"left out within", 9, []Handed{{10, 19, 8}}, Account{First: 10, Last: 19, Inside: 2}},
		{"overlapping", 9, []Handed{{10, 19, 10}, {12, 15, 4}, {18, 22, 5}, {24, 24, 1}}, Account{First: 10, Last: 24, Jumps: []Jump{{23, 23}}}},
		{"an empty batch", 9, []Handed{{}, {10, 10, 1}}, Account{First: 10, Last: 10}},
	} {
		if diff := cmp.Diff(c.want, AccountOf(c.before, c.batches)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestCoverageGapsAreThoseOfTheUserStatus(t *testing.T) {
	f := sampleFacts()
	for i := range f.Users {
		f.Users[i].In = []int{sales}
	}
	got := map[archive.PartyID]Lack{}
	for _, r := range CoverageGaps(f.Users, f.Day) {
		got[r.ID] = r.What
		if !slices.Equal(r.Departments, []int{sales}) {
			t.Errorf("%s is in %v", r.ID, r.Departments)
		}
	}
	if diff := cmp.Diff(map[archive.PartyID]Lack{"miaoqing": LackSilent, "heyan": LackDropped}, got); diff != "" {
		t.Error(diff)
	}
}
