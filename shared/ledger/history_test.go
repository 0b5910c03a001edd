package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

func lookAt(id string, at time.Time, mobile string) directory.Look {
	return directory.Look{
		Kind: directory.KindMember, ID: id, Asked: at, Answered: at.Add(90 * time.Second), Part: directory.PartMembers, Via: "contacts",
		Presence: directory.There, Seen: map[directory.Field]string{directory.FieldMobile: mobile, directory.FieldName: "Ann # <b>"},
	}
}

func TestALifeIsReadBackWhole(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	looks := []directory.Look{lookAt("ann", noon, "1"), lookAt("ann", noon.Add(time.Hour), ""), {
		Kind: directory.KindMember, ID: "ann", Asked: noon.Add(2 * time.Hour), Answered: noon.Add(2 * time.Hour), Via: "archive", Presence: directory.Deleted,
	}}
	b.OK(b.PutLooks(ctx, corp, append(looks, lookAt("bob", noon, "2"))))
	b.OK(b.PutLooks(ctx, corp, looks)) // again
	notice := directory.Notice{Kind: directory.KindMember, ID: "ann", At: noon.Add(time.Minute), Says: directory.ToldUpdated, NewID: "ann.b"}
	b.OK(b.PutNotice(ctx, corp, notice))
	b.OK(b.PutNotice(ctx, corp, notice))
	event := directory.Event{Kind: directory.KindMember, ID: "ann", What: directory.MobileRemoved, Old: "1", By: noon.Add(time.Hour), After: noon, Via: "contacts"}
	b.OK(b.PutEvents(ctx, corp, []directory.Event{event}))
	life, err := b.Life(ctx, corp, directory.KindMember, "ann")
	b.OK(err)
	want := ledger.Life{Looks: directory.Packed{Looks: looks}, Notices: []directory.Notice{notice}, Events: []string{event.Key()}}
	if diff := cmp.Diff(want, life); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	b.OK(b.DropLooks(ctx, corp, looks[:2]))
	b.OK(b.DropLooks(ctx, corp, looks[:2]))
	if life, err = b.Life(ctx, corp, directory.KindMember, "ann"); err != nil || len(life.Looks.Looks) != 1 || len(life.Notices) != 1 {
		t.Errorf("after two were dropped: %+v, %v", life, err)
	}
	if life, err = b.Life(ctx, corp, directory.KindMember, "bob"); err != nil || len(life.Looks.Looks) != 1 {
		t.Errorf("bob's: %+v, %v", life, err)
	}
	if life, err = b.Life(ctx, corp, directory.KindDepartment, "ann"); err != nil || !cmp.Equal(life, ledger.Life{}) {
		t.Errorf("a department of that id: %+v, %v", life, err)
	}
}

func TestALifeOfAnIdThatNoKeyHoldsIsKept(t *testing.T) {
	b := newBench(t)
	look := lookAt(strings.Repeat("博", 700), noon, "1")
	b.OK(b.PutLooks(t.Context(), corp, []directory.Look{look}))
	life, err := b.Life(t.Context(), corp, directory.KindMember, look.ID)
	if err != nil || len(life.Looks.Looks) != 1 || !life.Looks.Looks[0].Same(look) {
		t.Errorf("%d looks, %v", len(life.Looks.Looks), err)
	}
}

func TestEachEventIsInOneWindow(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	from, to := noon, noon.AddDate(0, 0, 1)
	var all []directory.Event
	for i, by := range []time.Time{from.Add(-time.Millisecond), from, from.Add(13 * time.Hour), to.Add(-time.Millisecond), to, to.AddDate(0, 0, 40)} {
		all = append(all, directory.Event{
			Kind: directory.KindMember, ID: fmt.Sprint("m", i), What: directory.HeadGained, Department: 7, Old: "o", New: "n", How: directory.Quit, By: by,
			Told: []time.Time{by.Add(-time.Second).Truncate(time.Millisecond)}, Via: "archive",
		})
	}
	b.OK(b.PutEvents(ctx, corp, all))
	b.OK(b.PutEvents(ctx, corp, all[:3]))
	b.OK(b.PutEvents(ctx, "other", []directory.Event{all[1]}))
	for name, c := range map[string]struct {
		from, to time.Time
		want     []directory.Event
	}{
		"the day":        {from, to, all[1:4]},
		"the day before": {from.AddDate(0, 0, -1), from, all[:1]},
		"the next":       {to, to.AddDate(0, 0, 1), all[4:5]},
		"two months":     {from.AddDate(0, -1, 0), to.AddDate(0, 1, 28), all},
		"nothing":        {to, to, nil},
	} {
		var got []directory.Event
		b.OK(b.Events(ctx, corp, c.from, c.to, func(e directory.Event) bool {
			if !e.In(c.from, c.to) {
				t.Errorf("%s: %v is not in it", name, e.By)
			}
			got = append(got, e)
			return true
		}))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	seen := 0
	b.OK(b.Events(ctx, corp, from.AddDate(0, -1, 0), to.AddDate(0, 1, 28), func(directory.Event) bool { seen++; return seen < 2 }))
	if seen != 2 {
		t.Errorf("it went on after false: %d", seen)
	}

	keys := []string{all[0].Key(), all[4].Key(), all[0].Key()[:13] + "#no such event"}
	kept, err := b.KeptEvents(ctx, corp, keys)
	slices.SortFunc(kept, func(a, b directory.Event) int { return a.By.Compare(b.By) })
	if diff := cmp.Diff([]directory.Event{all[0], all[4]}, kept); err != nil || diff != "" {
		t.Errorf("by their keys: %v (-want +got)\n%s", err, diff)
	}
	if _, err := b.KeptEvents(ctx, corp, []string{"x"}); err == nil {
		t.Error("a key without a time has a day")
	}
	b.OK(b.DropEvents(ctx, corp, all[:2]))
	if kept, err := b.KeptEvents(ctx, corp, keys); err != nil || len(kept) != 1 {
		t.Errorf("after two were dropped: %+v, %v", kept, err)
	}
	if life, err := b.Life(ctx, corp, directory.KindMember, "m0"); err != nil || len(life.Events) != 0 {
		t.Errorf("its entry still has %v, %v", life.Events, err)
	}
}

func TestAStateIsWrittenOverTheOneThatWasReadOnly(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	entry := directory.Entry{Kind: directory.KindMember, ID: "ann", At: noon, Fields: `{"listed":true}`}
	none, err := b.Held(ctx, corp, entry.Kind, entry.ID)
	if err != nil || none.Rev != 0 || none.Fields != "" || none.ID != "ann" {
		t.Errorf("before the first: %+v, %v", none, err)
	}
	first := ledger.Held{Entry: entry, Marks: map[string]string{"members contacts": "ab12"}, Restless: true}
	b.OK(b.PutHeld(ctx, corp, first, "one"))
	b.OK(b.PutHeld(ctx, corp, first, "one")) // its answer was lost
	if err := b.PutHeld(ctx, corp, first, "two"); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("over a state that was not read: %v", err)
	}
	got, err := b.Held(ctx, corp, entry.Kind, entry.ID)
	first.Rev = 1
	if diff := cmp.Diff(first, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	got.Restless, got.Gone = false, true
	b.OK(b.PutHeld(ctx, corp, got, "two"))
	if err := b.PutHeld(ctx, corp, got, "three"); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("over a state that somebody wrote since: %v", err)
	}
	// What another way writes is as if it had never been looked at.
	b.OK(b.PutEntries(ctx, corp, []directory.Entry{entry, {Kind: directory.KindRoom, ID: "r", At: noon, Fields: "{}"}}))
	var all []ledger.Held
	b.OK(b.Helds(ctx, corp, func(h ledger.Held) bool { all = append(all, h); return true }))
	if len(all) != 2 || all[0].Rev != 0 || all[0].Marks != nil || all[1].Kind != directory.KindRoom {
		t.Errorf("%+v", all)
	}
	if _, err := b.Held(ctx, corp, directory.KindRoom, "rr"); err != nil {
		t.Error(err)
	}
}

// Snapshots of a version that kept no looks say nothing of who was missing.
func TestOnlySnapshotsWhoseLooksAreKeptAreGlances(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	parts := map[directory.Part]directory.Outcome{
		directory.PartMembers: {Complete: true, Via: "contacts"}, directory.PartDepartments: {Why: "errcode 45009", Via: "contacts"}, directory.PartExternals: {Complete: true},
	}
	b.OK(b.PutSnapshot(ctx, ledger.Snapshot{Corp: corp, At: noon, Counts: directory.Counts{Parts: parts}}))
	b.OK(b.PutSnapshot(ctx, ledger.Snapshot{Corp: corp, At: noon.Add(time.Hour), Until: noon.Add(61 * time.Minute), Counts: directory.Counts{Parts: parts}, Settled: true}))
	var glances []directory.Glance
	settled := 0
	b.OK(b.Snapshots(ctx, corp, func(s ledger.Snapshot) bool {
		glances = append(glances, s.Glances()...)
		if s.Settled {
			settled++
		}
		return true
	}))
	want := []directory.Glance{{Part: directory.PartMembers, Via: "contacts", Asked: noon.Add(time.Hour), Answered: noon.Add(61 * time.Minute)}}
	if diff := cmp.Diff(want, glances); diff != "" || settled != 1 {
		t.Errorf("%d settled (-want +got)\n%s", settled, diff)
	}
}

// Two readings may begin in one millisecond: a schedule can come twice.
func TestSnapshotsThatBeginAtOnceAreBothKept(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	parts := map[directory.Part]directory.Outcome{directory.PartMembers: {Complete: true, Via: "contacts"}}
	for _, until := range []time.Duration{31 * time.Millisecond, 44 * time.Millisecond} {
		b.OK(b.PutSnapshot(ctx, ledger.Snapshot{Corp: corp, At: noon, Until: noon.Add(until), Counts: directory.Counts{Parts: parts}}))
	}
	var read []ledger.Snapshot
	all := func() int {
		read = nil
		b.OK(b.SnapshotsSince(ctx, corp, noon, func(s ledger.Snapshot) bool { read = append(read, s); return true }))
		return len(read)
	}
	if n := all(); n != 2 || len(read[0].Glances()) != 1 || len(read[1].Glances()) != 1 {
		t.Fatalf("%d snapshots are kept: %+v", n, read)
	}
	read[1].Settled = true
	b.OK(b.PutSnapshot(ctx, read[1]))
	if n := all(); n != 2 || read[0].Settled || !read[1].Settled {
		t.Errorf("%d snapshots after one was settled: %+v", n, read)
	}
}

// Of two readings that are held against the same one, one alone is recorded.
func TestASnapshotIsRecordedAfterTheOneItWasHeldAgainst(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	latest := func() ledger.Latest { return rig.Must[ledger.Latest](t)(b.LatestSnapshot(ctx, corp)) }
	parts := map[directory.Part]directory.Outcome{directory.PartMembers: {Complete: true, Via: "contacts"}}
	one := ledger.Snapshot{Corp: corp, At: noon, Until: noon.Add(time.Second), Object: "one", Counts: directory.Counts{Parts: parts}}
	two := ledger.Snapshot{Corp: corp, At: noon.Add(time.Millisecond), Until: noon.Add(time.Second), Object: "two", Counts: directory.Counts{Parts: parts}}
	none := latest()
	b.OK(b.RecordSnapshot(ctx, one, none))
	b.OK(b.RecordSnapshot(ctx, one, none)) // its own first attempt, whose answer was lost
	if err := b.RecordSnapshot(ctx, two, none); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("held against none: %v", err)
	}
	first := latest()
	b.OK(b.RecordSnapshot(ctx, two, first))
	if err := b.RecordSnapshot(ctx, one, first); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("held against the first: %v", err)
	}
	last := latest()
	if last.Rev != 2 || last.Object != "two" || !last.At.Equal(two.At) || len(last.Glances()) != 1 {
		t.Errorf("the last one is %+v", last)
	}
	b.OK(b.PutSnapshot(ctx, one))
	b.OK(b.PutSnapshot(ctx, last.Snapshot))
	b.OK(b.PutSnapshot(ctx, two)) // the same row
	var has []bool
	b.OK(b.Snapshots(ctx, corp, func(s ledger.Snapshot) bool { has = append(has, last.Has(s)); return true }))
	if !slices.Equal(has, []bool{true, false}) {
		t.Errorf("the rows are the last one's: %v", has)
	}
}
