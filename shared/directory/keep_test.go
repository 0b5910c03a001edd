package directory_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/directory"
)

func TestAnEventThatIsKeptIsNotToldAgainAsOfAnotherTime(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2031, 4, 2, h, 0, 0, 0, time.UTC) }
	event := func(what directory.Change, old, next string, after, by int) directory.Event {
		return directory.Event{Kind: directory.KindMember, ID: "ana", What: what, Old: old, New: next, After: at(after), By: at(by), Via: "contacts"}
	}
	removed, email := event(directory.MobileRemoved, "1", "", 8, 11), event(directory.EmailSet, "", "a@b.example", 8, 11)
	list := func(events ...directory.Event) []directory.Event { return events }
	for name, c := range map[string]struct {
		stored, history, kept []directory.Event
		aside                 int
	}{
		"the same":           {list(removed), list(removed), list(removed), 0},
		"narrower":           {list(removed), list(event(directory.MobileRemoved, "1", "", 9, 10)), list(event(directory.MobileRemoved, "1", "", 9, 10)), 0},
		"later":              {list(removed), list(event(directory.MobileRemoved, "1", "", 14, 15)), list(removed), 1},
		"earlier and longer": {list(removed), list(event(directory.MobileRemoved, "1", "", 5, 9)), list(removed), 1},
		"longer":             {list(removed), list(event(directory.MobileRemoved, "1", "", 7, 11)), list(removed), 1},
		"gone":               {list(removed), nil, list(removed), 1},
		"gone, and another":  {list(removed), list(email), list(removed, email), 1},
		"of two steps": {list(event(directory.MobileChanged, "1", "2", 8, 11)), list(removed, event(directory.MobileSet, "", "2", 9, 11)),
			list(removed, event(directory.MobileSet, "", "2", 9, 11)), 0},
		"who came and went has no change": {list(removed), list(event(directory.Left, "", "", 8, 9), event(directory.Joined, "", "", 9, 10)),
			list(event(directory.Left, "", "", 8, 9), event(directory.Joined, "", "", 9, 10)), 0},
		"once more, after it was undone": {list(removed), list(removed, event(directory.MobileSet, "", "1", 12, 13), event(directory.MobileRemoved, "1", "", 14, 15)),
			list(removed, event(directory.MobileSet, "", "1", 12, 13), event(directory.MobileRemoved, "1", "", 14, 15)), 0},
		"what is left out for one explains the next no more": {list(removed, event(directory.MobileRemoved, "1", "", 13, 16)), list(event(directory.MobileRemoved, "1", "", 14, 15)),
			list(removed, event(directory.MobileRemoved, "1", "", 13, 16)), 2},
		"lost, and undone since": {list(removed), list(event(directory.MobileSet, "", "1", 12, 13), event(directory.MobileRemoved, "1", "", 14, 15)),
			list(removed, event(directory.MobileSet, "", "1", 12, 13), event(directory.MobileRemoved, "1", "", 14, 15)), 1},
	} {
		kept, aside := directory.Keep(c.stored, c.history)
		byKey := func(a, b directory.Event) int {
			return slices.Compare([]string{a.Key()}, []string{b.Key()})
		}
		slices.SortFunc(kept, byKey)
		slices.SortFunc(c.kept, byKey)
		if diff := cmp.Diff(c.kept, kept); diff != "" || len(aside) != c.aside {
			t.Errorf("%s: %d are set aside (-want +got)\n%s", name, len(aside), diff)
		}
	}
}

// Observations come one by one, in any order, and each is taken at its word: what was kept before stays, or is told of more exactly.
func TestNoFurtherLookMovesAnEventThatIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var taken []directory.Observation
		var stored []directory.Event
		for _, o := range rapid.Permutation(looked(t)).Draw(t, "order") {
			taken = append(taken, o)
			history := folded(directory.KindMember, "a", nil, taken...).Events
			kept, _ := directory.Keep(stored, history)
			keys := map[string]bool{}
			for _, e := range kept {
				if keys[e.Key()] {
					t.Fatalf("two events have the key %s", e.Key())
				}
				keys[e.Key()] = true
			}
			for _, s := range stored {
				if !slices.ContainsFunc(kept, func(e directory.Event) bool { return !e.After.Before(s.After) && !e.By.After(s.By) }) {
					t.Fatalf("%+v is kept no more, nor anything within its times", s)
				}
			}
			if again, aside := directory.Keep(kept, history); !cmp.Equal(kept, again) {
				t.Fatalf("kept again: %+v (%d aside)", again, len(aside))
			}
			stored = kept
		}
	})
}
