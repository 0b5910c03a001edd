package directory_test

import (
	cmp2 "cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// quiet draws many snapshots between which little happens, by two secrets, some of them touching, with a look at one member alone here and there.
func quiet(t *rapid.T) []directory.Observation {
	var list []directory.Observation
	at, via, there := noon, contacts, rapid.Bool().Draw(t, "there")
	now := person("a")
	for i := range rapid.IntRange(12, 60).Draw(t, "snapshots") {
		label := fmt.Sprint(i)
		switch rapid.IntRange(0, 60).Draw(t, label+" happens") {
		case 0:
			now.Mobile = rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, label+" mobile")
		case 1:
			now.Status = rapid.SampledFrom([]int{1, 4, 5}).Draw(t, label+" status")
		case 2:
			now.Leads = rapid.SampledFrom([][]int{nil, {2}}).Draw(t, label+" leads")
		case 3:
			there = !there
		case 4:
			via = rapid.SampledFrom([]string{contacts, app}).Draw(t, label+" via")
		}
		took := time.Duration(rapid.SampledFrom([]int{10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 59, 60, 130}).Draw(t, label+" took")) * time.Minute
		o := directory.Observation{Asked: at, Answered: at.Add(took), Reading: directory.Reading{Parts: map[directory.Part]directory.Outcome{
			directory.PartMembers:    {Complete: rapid.IntRange(0, 30).Draw(t, label+" complete") > 0, Via: via},
			directory.PartDesignated: {Complete: true, Via: app},
		}, Designated: map[archive.PartyID][]int{}}}
		if there {
			m := now
			if via == app {
				hidden(&m.Member)
			}
			o.Reading.Members = append(o.Reading.Members, m)
			if now.Status == directory.StatusActivated {
				o.Reading.Designated["a"] = []int{1}
			}
		}
		list = append(list, o)
		if rapid.IntRange(0, 19).Draw(t, label+" alone") == 0 {
			when := at.Add(time.Duration(rapid.SampledFrom([]int{-30, 5, 10, 20, 45}).Draw(t, label+" when")) * time.Minute)
			if there {
				list = append(list, reread(when, contacts, now))
			} else {
				list = append(list, refusal(when, contacts, "a", directory.Deleted))
			}
		}
		at = at.Add(time.Hour)
	}
	return list
}

func TestFewLooksMakeTheHistoryOfAll(t *testing.T) {
	most := 0
	rapid.Check(t, func(t *rapid.T) {
		list := quiet(t)
		looks, glances := taken(directory.KindMember, "a", list...)
		line := directory.NewTimeline(glances)
		packed := directory.Pack(directory.KindMember, "a", looks, glances)
		all, few := directory.Unpack(directory.KindMember, "a", packed, glances), line.Unpack(directory.KindMember, "a", packed)
		if diff := cmp.Diff(directory.Fold(directory.KindMember, "a", all, nil), directory.Fold(directory.KindMember, "a", few, nil)); diff != "" {
			t.Fatalf("-all +few\n%s", diff)
		}
		for _, l := range few {
			if !slices.ContainsFunc(all, func(a directory.Look) bool {
				return a.Same(l) && a.Asked.Equal(l.Asked) && a.Answered.Equal(l.Answered)
			}) {
				t.Fatalf("nobody made %+v", l)
			}
		}
		most = max(most, len(all)-len(few))

		var stored directory.Packed
		var known []directory.Glance
		for _, o := range rapid.Permutation(list).Draw(t, "order") {
			news, more := taken(directory.KindMember, "a", o)
			more = slices.DeleteFunc(more, func(g directory.Glance) bool { return slices.Contains(known, g) })
			known = append(known, more...)
			stored = directory.NewTimeline(known).Add(directory.KindMember, "a", stored, news, more)
		}
		if diff := cmp.Diff(packed, stored); diff != "" {
			t.Fatalf("-at once +one by one\n%s", diff)
		}
	})
	if most < 5 { // of many histories dozens; the short form makes few
		t.Errorf("only %d looks were left out at most: nothing was tried", most)
	}
}

// A look after years of saying the same costs as much as one after a day.
func TestTheLooksOfAQuietYearAreFew(t *testing.T) {
	var list []directory.Observation
	for n := range 8760 {
		list = append(list, snapshot(hour(n), contacts, person("a", func(m *directory.Member) { m.Position = string(rune('a' + n/2000)) })))
	}
	list = append(list, reread(hour(5000).Add(30*time.Minute), contacts, person("a")))
	looks, glances := taken(directory.KindMember, "a", list...)
	line := directory.NewTimeline(glances)
	if n := len(line.Unpack(directory.KindMember, "a", directory.Pack(directory.KindMember, "a", looks, glances))); n > 40 {
		t.Errorf("%d looks", n)
	}
}

// What a packer keeps of observations in the order of time is what Pack leaves of all looks.
func TestAPackerKeepsWhatPackLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SampledFrom([]func(*rapid.T) []directory.Observation{quiet, looked}).Draw(t, "story")(t)
		type span struct{ asked, answered int64 }
		at := map[span][]directory.Observation{}
		for _, o := range list {
			key := span{o.Asked.UnixMilli(), o.Answered.UnixMilli()}
			at[key] = append(at[key], o)
		}
		times := slices.SortedFunc(maps.Keys(at), func(a, b span) int {
			return cmp2.Or(cmp2.Compare(a.asked, b.asked), cmp2.Compare(a.answered, b.answered))
		})
		var p directory.Packer
		for _, key := range times {
			var looks []directory.Look
			var glances []directory.Glance
			for _, o := range at[key] {
				l, g := o.Looks()
				looks, glances = append(looks, l...), append(glances, g...)
			}
			p.Take(looks, glances)
		}
		for _, id := range []string{"a", "b"} {
			looks, glances := taken(directory.KindMember, id, list...)
			if diff := cmp.Diff(directory.Pack(directory.KindMember, id, looks, glances), p.Packed(directory.KindMember, id), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("-at once +in order\n%s", diff)
			}
		}
	})
}
