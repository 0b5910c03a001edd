package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
)

func aside(b ledger.BatchRow, seq archive.Seq, reason string, version archive.KeyVersion) ledger.Aside {
	return ledger.Aside{Corp: b.Corp, Reason: reason, KeyVersion: version, Seq: seq, MsgID: archive.MsgID("m" + seq.String()), Batch: b.Key(), Index: int(seq - b.First), Since: noon, Clock: b.CaughtUp}
}

func TestABatchIsRecordedOnce(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	row := batch(corp, 1<<53+1, 1<<53+3, ledger.Link{})
	first, err := b.PutBatch(ctx, row)
	b.OK(err)
	if first.State != ledger.Pending {
		t.Errorf("its state is %q", first.State)
	}
	b.OK(b.FinishBatch(ctx, row, "", 3, 0, "segments/a"))
	again, err := b.PutBatch(ctx, row)
	b.OK(err)
	if again.State != ledger.Done || again.Archived != 3 {
		t.Errorf("recorded again, it is %+v", again)
	}
	read, err := b.Batch(ctx, corp, row.Key())
	b.OK(err)
	want := row
	want.State, want.Archived, want.Segments = ledger.Done, 3, []string{"segments/a"}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Error(diff)
	}
}

func TestTheBatchAfterASeqBeginsAboveIt(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	one := batch(corp, 5, 9, ledger.Link{})
	two := batch(corp, 10, 10, one.Link)
	for _, row := range []ledger.BatchRow{two, one} {
		_, err := b.PutBatch(ctx, row)
		b.OK(err)
	}
	for seq, want := range map[archive.Seq]archive.Seq{0: 5, 4: 5, 5: 10, 9: 10, 10: 0, 1<<64 - 1: 0} {
		row, ok, err := b.BatchAfter(ctx, corp, seq)
		if err != nil || row.First != want || ok != (want != 0) {
			t.Errorf("after %v comes %v (%v): %v", seq, row.First, ok, err)
		}
	}
}

func TestOnlyTheLastClaimantOfASlotSetsItemsAside(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	row, err := b.PutBatch(ctx, batch(corp, 1, 4, ledger.Link{}))
	b.OK(err)
	before, err := b.ClaimSlot(ctx, row, "one")
	if err != nil || before != "" {
		t.Fatalf("before the first claimant there was %q: %v", before, err)
	}
	if before, err = b.ClaimSlot(ctx, row, "two"); err != nil || before != "one" {
		t.Fatalf("before the second there was %q: %v", before, err)
	}
	rows := b.Rows("MessagesTable")
	if err := b.SetAside(ctx, row, "one", []ledger.Aside{aside(row, 2, "no-key", 1)}, nil); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("the first sets aside: %v", err)
	}
	if err := b.FinishBatch(ctx, row, "one", 3, 1, "s"); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("the first finishes: %v", err)
	}
	if err := b.FinishBatch(ctx, row, "", 4, 0, "s"); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("one that never claimed finishes: %v", err)
	}
	if diff := cmp.Diff(rows, b.Rows("MessagesTable")); diff != "" {
		t.Error(diff)
	}
	b.OK(b.SetAside(ctx, row, "two", []ledger.Aside{aside(row, 2, "no-key", 1)}, nil))
	b.OK(b.FinishBatch(ctx, row, "two", 3, 1, "s"))
	if _, err := b.ClaimSlot(ctx, row, "three"); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("a slot of a done batch was given: %v", err)
	}
	if err := b.SetAside(ctx, row, "two", []ledger.Aside{aside(row, 3, "no-key", 1)}, nil); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("an item of a done batch was set aside: %v", err)
	}
}

// TestASetAsideItemIsNeverAnArchivedOne plays two runs over the same batch, step by step in any order, while the keys of its items arrive in
// the middle. Whoever finishes, the rows are those of the items that were not archived, and the counts say so.
func TestASetAsideItemIsNeverAnArchivedOne(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		id := archive.CorpID(fmt.Sprintf("ww%d", n))
		const items = 4
		row, err := b.PutBatch(ctx, batch(id, 1, items, ledger.Link{}))
		if err != nil {
			t.Fatal(err)
		}
		key := map[archive.Seq]bool{} // items that can be opened by now
		archivedBy := map[string][]archive.Seq{}
		finished := ""
		runs := []*run{{bench: b, id: "one", row: row, key: key}, {bench: b, id: "two", row: row, key: key}}
		for step := 0; step < 60 && (finished == "" || !runs[0].idle() || !runs[1].idle()); step++ {
			if rapid.IntRange(0, 3).Draw(t, "arrive") == 0 {
				key[archive.Seq(rapid.IntRange(1, items).Draw(t, "seq"))] = true
			}
			r := runs[rapid.IntRange(0, 1).Draw(t, "run")]
			done, err := r.step(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if done && finished == "" {
				finished = r.id
				archivedBy[r.id] = r.opened
			}
		}
		if finished == "" { // let one of them go through alone
			for finished == "" {
				done, err := runs[0].step(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if done {
					finished, archivedBy["one"] = "one", runs[0].opened
				}
			}
		}
		end, err := b.Batch(ctx, id, row.Key())
		if err != nil {
			t.Fatal(err)
		}
		rows, err := b.AsidesOf(ctx, id, row.Key())
		if err != nil {
			t.Fatal(err)
		}
		archived := archivedBy[finished]
		for _, a := range rows {
			if slices.Contains(archived, a.Seq) {
				t.Fatalf("seq %v is archived by run %s and set aside", a.Seq, finished)
			}
		}
		if end.State != ledger.Done || end.Archived != len(archived) || end.SetAside != len(rows) || end.Archived+end.SetAside != items {
			t.Fatalf("archived %v and %d rows, but the batch says %+v", archived, len(rows), end)
		}
	})
}

// run is process's way with a batch, one effect at a time.
type run struct {
	bench
	id     string
	row    ledger.BatchRow
	key    map[archive.Seq]bool
	at     int
	round  int
	opened []archive.Seq
	aside  []ledger.Aside
	before string
}

func (r *run) idle() bool { return r.at == 0 }

func (r *run) again() (bool, error) {
	r.at = 0
	return false, nil
}

func (r *run) step(ctx context.Context) (finished bool, err error) {
	me := fmt.Sprint(r.id, r.round)
	switch r.at {
	case 0: // read the batch and open its items
		if r.row, err = r.Batch(ctx, r.row.Corp, r.row.Key()); err != nil || r.row.State == ledger.Done {
			return false, err
		}
		r.round++
		r.opened, r.aside = nil, nil
		for seq := r.row.First; seq <= r.row.Last; seq++ {
			if r.key[seq] {
				r.opened = append(r.opened, seq)
			} else {
				r.aside = append(r.aside, aside(r.row, seq, "no-key", 1))
			}
		}
		r.at = 1
		if len(r.aside) == 0 && r.row.Slot == "" {
			r.at = 4
		}
		return false, nil
	case 1:
		if r.before, err = r.ClaimSlot(ctx, r.row, me); errors.Is(err, ledger.ErrLost) {
			return r.again()
		}
		r.at = 2
		return false, err
	case 2:
		var stale []ledger.Aside
		if r.before != "" {
			there, err := r.AsidesOf(ctx, r.row.Corp, r.row.Key())
			if err != nil {
				return false, err
			}
			for _, old := range there {
				if !slices.ContainsFunc(r.aside, func(a ledger.Aside) bool { return a.Key() == old.Key() }) {
					stale = append(stale, old)
				}
			}
		}
		if err := r.SetAside(ctx, r.row, me, r.aside, stale); errors.Is(err, ledger.ErrLost) {
			return r.again()
		} else if err != nil {
			return false, err
		}
		r.at = 4
		return false, nil
	default:
		err := r.FinishBatch(ctx, r.row, me, len(r.opened), len(r.aside), "segment")
		if errors.Is(err, ledger.ErrLost) {
			return r.again()
		}
		r.at = 0
		return err == nil, err
	}
}

func TestMoreItemsThanATransactionTakesAreClosed(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	const items = 250
	row, err := b.PutBatch(ctx, batch(corp, 1, items, ledger.Link{}))
	b.OK(err)
	_, err = b.ClaimSlot(ctx, row, "me")
	b.OK(err)
	var all []ledger.Aside
	for seq := archive.Seq(1); seq <= items; seq++ {
		all = append(all, aside(row, seq, "no-key", 2))
	}
	b.OK(b.SetAside(ctx, row, "me", all, nil))
	b.OK(b.FinishBatch(ctx, row, "me", 0, items, ""))
	there, err := b.AsidesIn(ctx, row, "no-key", 2)
	if err != nil || len(there) != items {
		t.Fatalf("%d rows: %v", len(there), err)
	}
	// The second of three transactions takes effect and is reported as failed: the SDK sends it again under its token.
	calls := 0
	b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Operation == "TransactWriteItems" {
			if calls++; calls == 2 {
				d.Act = awslocal.FailAfter
			}
		}
		return d
	})
	moved := all[249]
	moved.Reason = "decrypt-10006"
	b.OK(b.CloseAside(ctx, row, all[:249], "segments/late", [][2]ledger.Aside{{all[249], moved}}))
	end, err := b.Batch(ctx, corp, row.Key())
	b.OK(err)
	if end.Archived != 249 || end.SetAside != 1 || !slices.Contains(end.Segments, "segments/late") {
		t.Errorf("the batch says %+v", end)
	}
	left, err := b.AsidesOf(ctx, corp, row.Key())
	if err != nil || len(left) != 1 || left[0].Reason != "decrypt-10006" {
		t.Errorf("left are %+v: %v", left, err)
	}
	// Closing them once more counts nothing twice.
	if err := b.CloseAside(ctx, row, all[:10], "segments/late", nil); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("closed twice: %v", err)
	}
	if again, err := b.Batch(ctx, corp, row.Key()); err != nil || again.Archived != 249 {
		t.Errorf("counted twice: %+v, %v", again, err)
	}
}

func TestSetAsideItemsAreListedByReasonVersionAndSeq(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	row, err := b.PutBatch(ctx, batch(corp, 1, 12, ledger.Link{}))
	b.OK(err)
	_, err = b.ClaimSlot(ctx, row, "me")
	b.OK(err)
	b.OK(b.SetAside(ctx, row, "me", []ledger.Aside{aside(row, 11, "no-key", 2), aside(row, 3, "no-key", 2), aside(row, 4, "no-key", 10), aside(row, 5, "no-key-at-all", 2), aside(row, 6, "decrypt-10006", 1)}, nil))
	list := func(reason string, version archive.KeyVersion) (seqs []archive.Seq) {
		b.OK(b.Asides(ctx, corp, reason, version, func(a ledger.Aside) bool {
			seqs = append(seqs, a.Seq)
			return true
		}))
		return seqs
	}
	for _, c := range []struct {
		reason  string
		version archive.KeyVersion
		want    []archive.Seq
	}{{"no-key", 2, []archive.Seq{3, 11}}, {"no-key", 0, []archive.Seq{3, 11, 4}}, {"", 0, []archive.Seq{6, 5, 3, 11, 4}}, {"no-key", 1, nil}} {
		got := list(c.reason, c.version)
		if c.reason == "" { // "-at-all" sorts by bytes
			slices.Sort(got)
			slices.Sort(c.want)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %v: %v", c.reason, c.version, got)
		}
	}
}
