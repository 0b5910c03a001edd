package identity_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/identity"
)

// The cheap record says of now what the whole one says.
func TestARecordOfTheNewestStateSaysWhatTheHistorySaysOfNow(t *testing.T) {
	file := []identity.Version{version(t, "1", 1, "13900000007")}
	for name, seen := range map[string][]directory.Observation{
		"shown": {shown(0, "13900000001"), shown(4, "13900000001")}, "none": {shown(0, "13900000001"), shown(4, "")}, "always hidden": {shown(0, "?"), shown(4, "?")},
		"gone": {shown(0, "13900000001"), observed(4)},
	} {
		t.Run(name, func(t *testing.T) {
			h := history(seen...)
			whole := identity.Of("ada", h, file, nil)
			newest := hour(4)
			if !h.Here {
				newest = h.Since // nobody has looked at who is gone since
			}
			cheap := identity.OfState("ada", h.State(), !h.Here, newest, file, nil)
			if diff := cmp.Diff(whole.States(), cheap.States()); diff != "" {
				t.Errorf("-whole +cheap\n%s", diff)
			}
		})
	}
}

func TestAHiddenFieldNamesWhatCouldShowIt(t *testing.T) {
	for _, s := range identity.OfState("ada", directory.Member{Name: "Ada"}, false, noon, nil, nil).States() {
		if hidden := s.Field != identity.Name; (s.WeCom == identity.Hidden) != hidden || (len(s.Openers) > 0) != hidden || hidden && s.Value != "" {
			t.Errorf("%+v", s)
		}
	}
}

// T8: the record is updated by the same sync, and it can be said when.
func TestARecordHasANewNumberWhenTheSyncThatFoundItHasEnded(t *testing.T) {
	h := history(shown(0, "13900000001"), shown(1, "13900000002"), shown(2, "13900000003"), shown(3, ""))
	var changes []directory.Event
	for _, e := range h.Events {
		if e.What == directory.MobileChanged || e.What == directory.MobileRemoved {
			changes = append(changes, e)
		}
	}
	if len(changes) != 3 {
		t.Fatalf("%+v", changes)
	}
	for i, want := range []time.Time{hour(1).Add(time.Minute), hour(2).Add(time.Minute), {}} {
		if got := identity.Updated(changes[i], h.State(), changes); !got.Equal(want) {
			t.Errorf("change %d: the record has it since %s, want %s", i, got, want)
		}
	}
	other := changes[0]
	other.ID = "bea"
	if got := identity.Updated(changes[0], h.State(), []directory.Event{other}); !got.IsZero() {
		t.Errorf("of a number that the record has not, and nobody took from it: %s", got)
	}
	earlier := changes[0]
	earlier.Old, earlier.By = changes[0].New, changes[0].By.Add(-time.Hour)
	if got := identity.Updated(changes[0], h.State(), []directory.Event{earlier}); !got.IsZero() {
		t.Errorf("a number that was taken before it came: %s", got)
	}
	now := history(shown(0, "13900000001"), shown(1, "13900000002"))
	if got := identity.Updated(now.Events[len(now.Events)-1], now.State(), nil); !got.Equal(hour(1).Add(time.Minute)) {
		t.Errorf("the newest number: %s", got)
	}
	if got := identity.Updated(directory.Event{What: directory.Joined, ID: "ada", By: noon}, now.State(), nil); !got.IsZero() {
		t.Errorf("an event about no field: %s", got)
	}
}

// T8: a row that holds the old number is named, and goes on matching.
func TestTheRowThatHoldsAnOldNumberIsFound(t *testing.T) {
	f := parsed(t, "userid,mobile,email\nada,13900000001,ada@x.example\nbea,+852 5123 4567,\ncyd,,ADA@x.example\n")
	for _, c := range []struct {
		field identity.Field
		value string
		line  int
	}{
		{identity.Mobile, "+86 139-0000-0001", 2}, {identity.Mobile, "+85251234567", 3}, {identity.Mobile, "13900000002", 0}, {identity.Mobile, "", 0}, {identity.Email, "Ada@X.example", 2},
	} {
		row, ok := f.Holding(c.field, c.value)
		if row.Line != c.line || ok != (c.line > 0) {
			t.Errorf("%s is in line %d, want %d", c.value, row.Line, c.line)
		}
	}
	many := "userid,email\n"
	for i := range 50 {
		many += fmt.Sprintf("u%d,all@x.example\n", 99-i)
	}
	if row, _ := parsed(t, many).Holding(identity.Email, "all@x.example"); row.Line != 2 {
		t.Errorf("of several rows with one address line %d is named", row.Line)
	}
	if only := f.Only("BEA"); len(only.Rows()) != 1 || only.Rows()[0].Line != 3 || len(f.Only("dee").Rows()) != 0 {
		t.Error("one person's row is not alone")
	}
}

func TestAComparisonTellsWhoIsGainedLostAndChanged(t *testing.T) {
	old := parsed(t, "userid,name,mobile\nada,Ada,13900000001\nbea,Bea,13900000002\neve,Eve,\n")
	next := parsed(t, "userid,name,mobile\nADA,Ada,13900000003\ncyd,Cyd,\neve,Eve,\n")
	got := identity.Compare(old, next, func(id string) bool { return id != "cyd" })
	want := identity.Comparison{Gained: []archive.PartyID{"cyd"}, Lost: []archive.PartyID{"bea"}, Rows: 3,
		Changed: []identity.Change{{UserID: "ADA", Line: 2, Field: identity.Mobile, Old: "+8613900000001", New: "+8613900000003"}},
		Unknown: []identity.Problem{{Line: 3, Field: "userid", Fault: identity.UserIDUnknown}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !identity.Compare(next, next, func(string) bool { return true }).Same() || got.Same() {
		t.Error("a comparison with itself finds a change, or the other none")
	}
}
