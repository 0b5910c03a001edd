package directory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/directory"
)

// truth is what one member really was, from a time on; nil: not there.
type truth struct {
	at time.Time
	is *directory.Member
}

// lived draws a member's true life: one change at a time, minutes apart.
func lived(t *rapid.T) []truth {
	life := []truth{{noon, nil}}
	var now *directory.Member
	for i := range rapid.IntRange(1, 8).Draw(t, "changes") {
		label := fmt.Sprint("change ", i)
		next := person("a").Member
		if now != nil {
			next = *now
		}
		switch rapid.IntRange(0, 5).Draw(t, label) {
		case 0:
			next.Mobile = rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, label+" mobile")
		case 1:
			next.Email = rapid.SampledFrom([]string{"", "p@x.example", "q@x.example"}).Draw(t, label+" email")
		case 2:
			next.Departments = rapid.SampledFrom([][]int{{2}, {3}, {2, 3}}).Draw(t, label+" departments")
		case 3:
			next.Leads = rapid.SampledFrom([][]int{nil, {2}, {2, 3}}).Draw(t, label+" leads")
		case 4:
			next.Status = rapid.SampledFrom([]int{1, 2, 4}).Draw(t, label+" status")
		}
		now = &next
		if i > 0 && rapid.IntRange(0, 5).Draw(t, label+" leaves") == 0 {
			now = nil
		}
		life = append(life, truth{noon.Add(time.Duration(10*i+5) * time.Minute), now})
	}
	return life
}

// plain is a history's events without when and how they were seen.
func plain(h directory.History) string {
	var lines []string
	for _, e := range h.Events {
		lines = append(lines, fmt.Sprintf("%s %s>%s %d", e.What, e.Old, e.New, e.Department))
	}
	return strings.Join(lines, "\n")
}

// Snapshots between any two changes, single looks after each change, and both mixed tell of the same events and end in the same state; and each event lies
// between its two times in truth.
func TestSnapshotsAndCallbacksComeToTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := lived(t)
		var snapshots, callbacks, mixed []directory.Observation
		for i, l := range life {
			shot := snapshot(l.at.Add(3*time.Minute), contacts)
			shot.Answered = shot.Asked.Add(time.Minute)
			single := refusal(l.at.Add(2*time.Second), contacts, "a", directory.Deleted)
			if l.is != nil {
				shot.Reading.Members = append(shot.Reading.Members, directory.ReadMember{ID: "a", Member: *l.is})
				single = reread(l.at.Add(2*time.Second), contacts, directory.ReadMember{ID: "a", Member: *l.is})
			}
			snapshots, callbacks = append(snapshots, shot), append(callbacks, single)
			if i == 0 || rapid.Bool().Draw(t, fmt.Sprint("snapshot ", i)) {
				mixed = append(mixed, shot)
			}
			if !slices.ContainsFunc(mixed, func(o directory.Observation) bool { return o.Asked.Equal(shot.Asked) }) || rapid.Bool().Draw(t, fmt.Sprint("callback ", i)) {
				mixed = append(mixed, single)
			}
		}
		byShot := folded(directory.KindMember, "a", nil, snapshots...)
		for name, h := range map[string]directory.History{
			"callbacks": folded(directory.KindMember, "a", nil, callbacks...),
			"mixed":     folded(directory.KindMember, "a", nil, mixed...),
			"both":      folded(directory.KindMember, "a", nil, append(slices.Clone(callbacks), snapshots...)...),
		} {
			if diff := cmp.Diff(plain(byShot), plain(h)); diff != "" {
				t.Fatalf("by snapshots, and by %s (-snapshots +%[1]s)\n%s", name, diff)
			}
			if h.Here != byShot.Here {
				t.Fatalf("by snapshots here: %v, by %s: %v", byShot.Here, name, h.Here)
			}
			for field, k := range byShot.Now {
				if h.Now[field].Value != k.Value {
					t.Fatalf("%s is %q by snapshots, %q by %s", field, k.Value, h.Now[field].Value, name)
				}
			}
			for _, e := range h.Events {
				if !slices.ContainsFunc(life, func(l truth) bool { return l.at.After(e.After) && !l.at.After(e.By) }) {
					t.Fatalf("by %s: nothing happened between %s and %s: %+v", name, e.After, e.By, e)
				}
			}
		}
	})
}

// Observations of a part of the secrets, at times of their own, never claim what did not happen: a number that is still there is not removed, and who never
// left did not leave.
func TestNothingIsSaidThatDidNotHappen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := lived(t)
		var list []directory.Observation
		for i := range rapid.IntRange(1, 10).Draw(t, "looks") {
			label := fmt.Sprint("look ", i)
			at := noon.Add(time.Duration(rapid.IntRange(0, 90*60).Draw(t, label+" at")) * time.Second)
			via := rapid.SampledFrom([]string{contacts, app}).Draw(t, label+" via")
			single := rapid.Bool().Draw(t, label+" single")
			took := time.Duration(0)
			if !single {
				took = time.Duration(rapid.IntRange(0, 600).Draw(t, label+" took")) * time.Second
			}
			read := at.Add(time.Duration(rapid.IntRange(0, int(took/time.Second)).Draw(t, label+" read after")) * time.Second)
			var is *directory.Member
			for _, l := range life {
				if !l.at.After(read) {
					is = l.is
				}
			}
			o := snapshot(at, via)
			switch {
			case is != nil && via == app:
				m := *is
				hidden(&m)
				o.Reading.Members = []directory.ReadMember{{ID: "a", Member: m}}
			case is != nil:
				o.Reading.Members = []directory.ReadMember{{ID: "a", Member: *is}}
			case single:
				o = refusal(at, via, "a", directory.Deleted)
			}
			if single && is != nil {
				o = reread(at, via, o.Reading.Members[0])
			}
			o.Answered = at.Add(took)
			list = append(list, o)
		}
		ever := func(holds func(*directory.Member) bool) bool {
			return slices.ContainsFunc(life, func(l truth) bool { return holds(l.is) })
		}
		for _, e := range folded(directory.KindMember, "a", nil, list...).Events {
			ok := true
			switch e.What {
			case directory.Left, directory.Joined, directory.Found:
				ok = slices.ContainsFunc(life, func(l truth) bool { return (l.is == nil) == (e.What == directory.Left) && !l.at.After(e.By) })
			case directory.MobileRemoved:
				ok = ever(func(m *directory.Member) bool { return m != nil && m.Mobile == "" }) && ever(func(m *directory.Member) bool { return m != nil && m.Mobile == e.Old })
			case directory.EmailRemoved:
				ok = ever(func(m *directory.Member) bool { return m != nil && m.Email == "" })
			case directory.PermittedGained, directory.PermittedLost:
				ok = false
			}
			if ok && !e.After.IsZero() {
				ok = slices.ContainsFunc(life, func(l truth) bool { return l.at.After(e.After) && !l.at.After(e.By) })
			}
			if !ok {
				t.Fatalf("it never happened: %+v\n%s", e, story(folded(directory.KindMember, "a", nil, list...)))
			}
		}
	})
}
