package main

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

// allBatches lists a ledger's batches of the corp.
func allBatches(t *testing.T, l *ledger.Ledger) (rows []ledger.BatchRow) {
	t.Helper()
	if err := l.Batches(t.Context(), tide, "", func(b ledger.BatchRow) bool { rows = append(rows, b); return true }); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestALostLedgerIsMadeAnewFromTheBucket(t *testing.T) {
	t.Parallel()
	q := newQuay(t)
	intact := q.p.ledger
	// One attachment is in, and one batch was not opened yet.
	chart := archive.FileID("chart")
	object := rig.Must[objstore.Object](t)(q.p.store.PutMedia(t.Context(), tide, chart.Hash(), []byte("%PDF")))
	q.OK(intact.SettleMedia(t.Context(), ledger.Waiting{Corp: tide, FileID: chart, Clock: noon.Add(2e6)}, ledger.MediaRow{Corp: tide, Hash: chart.Hash(), State: ledger.Kept, Size: 4,
		SHA256: object.SHA256, MD5: "4ac5b6ef7ba15d77e6b1ddd4f0b3e5b1", Object: object.Key, Version: object.VersionID, At: noon}))
	q.keep(t, []byte(`{"errcode":0,"chatdata":[{"seq":20,"msgid":"m20","publickey_ver":1,"encrypt_random_key":"","encrypt_chat_msg":""}]}`))
	want := allBatches(t, intact)

	if err := rebuild(t.Context(), q.p, []string{"-corp", "wwnobody"}); err == nil || !strings.Contains(err.Error(), "no batch") {
		t.Errorf("a corp without batches: %v", err)
	}
	q.p.tables.Control = "lost"
	q.p.ledger = ledger.New(dynamodb.NewFromConfig(q.Config(rig.Operator)), q.p.tables)
	if err := rebuild(t.Context(), q.p, []string{"-corp", string(tide)}); err == nil || !strings.Contains(err.Error(), "-kms-key") {
		t.Fatalf("without the table: %v", err)
	}
	q.OK(rebuild(t.Context(), q.p, []string{"-corp", string(tide), "-kms-key", "arn:aws:kms:us-east-1:000000000000:key/control"}))

	got := allBatches(t, q.p.ledger)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(ledger.BatchRow{}, "Pulled", "CaughtUp", "Slot")); diff != "" {
		t.Errorf("the batches (-before +after)\n%s", diff)
	}
	if got[1].CaughtUp != want[1].CaughtUp {
		t.Errorf("a batch with items set aside was caught up before at %v, want %v", got[1].CaughtUp, want[1].CaughtUp)
	}
	if last := got[len(got)-1]; last.State != ledger.Pending || last.Slot == "" {
		t.Errorf("what was not opened is %+v", last)
	}
	cursor := rig.Must[ledger.Cursor](t)(q.p.ledger.Cursor(t.Context(), tide))
	if cursor.Seq != 20 || cursor.Chain != want[len(want)-1].Link || cursor.Owner != "" {
		t.Errorf("the cursor is %+v", cursor)
	}
	media := rig.Must[map[string]ledger.MediaRow](t)(q.p.ledger.Media(t.Context(), tide, []string{chart.Hash()}))
	if m := media[chart.Hash()]; m.State != ledger.Kept || m.SHA256 != object.SHA256 || m.Size != 4 || m.Version != object.VersionID || len(m.MD5) != 32 {
		t.Errorf("the attachment is %+v", m)
	}
	keys := rig.Must[[]ledger.KeyRow](t)(q.p.ledger.Keys(t.Context(), tide))
	if len(keys) != 1 || keys[0].Version != 1 || !keys[0].Proven || len(keys[0].Fingerprint) != 64 {
		t.Errorf("the keys are %+v", keys)
	}
	// Twice: there is a ledger now, and nothing is written over.
	if err := rebuild(t.Context(), q.p, []string{"-corp", string(tide)}); err == nil || !strings.Contains(err.Error(), "has a ledger") {
		t.Errorf("again: %v", err)
	}
}

func TestALedgerIsNotRebuiltOverAHole(t *testing.T) {
	t.Parallel()
	q := newQuay(t)
	q.cut(t, q.rows[1].Object)
	q.p.tables.Control = "lost"
	q.p.ledger = ledger.New(dynamodb.NewFromConfig(q.Config(rig.Operator)), q.p.tables)
	err := rebuild(t.Context(), q.p, []string{"-corp", string(tide), "-kms-key", "arn:aws:kms:us-east-1:000000000000:key/control"})
	if err == nil || !strings.Contains(err.Error(), q.rows[1].Object) || !strings.Contains(err.Error(), "restore it") {
		t.Errorf("over a damaged batch: %v", err)
	}
	if c := rig.Must[ledger.Cursor](t)(q.p.ledger.Cursor(t.Context(), tide)); c.Seq != 0 {
		t.Errorf("the cursor was moved to %v", c.Seq)
	}
}

// A segment under a delete marker is still listed.
func TestALedgerIsRebuiltWithoutASegmentThatWasDeleted(t *testing.T) {
	t.Parallel()
	q := newQuay(t)
	q.gone(t, rig.Must[ledger.BatchRow](t)(q.p.ledger.Batch(t.Context(), tide, q.rows[0].Key())).Segments[0], true)
	q.p.tables.Control = "lost"
	q.p.ledger = ledger.New(dynamodb.NewFromConfig(q.Config(rig.Operator)), q.p.tables)
	q.OK(rebuild(t.Context(), q.p, []string{"-corp", string(tide), "-kms-key", "arn:aws:kms:us-east-1:000000000000:key/control"}))
	got := allBatches(t, q.p.ledger)
	if len(got) != 3 || got[0].State != ledger.Pending || len(got[0].Segments) != 0 || got[1].State != ledger.Done {
		t.Errorf("the batches are %+v", got)
	}
}

// Where rows survived, the chain goes on from theirs.
func TestARebuildGoesOnFromTheRowsThatSurvived(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kept []int // batches whose rows survive, in the order in which they were pulled
		hole bool
	}{{"only the cursor is lost", []int{1, 0, 2}, false}, {"killed before its end", []int{1, 0}, false}, {"with a hole", []int{0, 2}, true}} {
		q := newQuay(t)
		q.p.tables.Control = "other"
		q.p.ledger = ledger.New(dynamodb.NewFromConfig(q.Config(rig.Operator)), q.p.tables)
		q.OK(q.p.ledger.MakeControlTable(t.Context(), "arn:aws:kms:us-east-1:000000000000:key/control"))
		var link ledger.Link
		for _, i := range c.kept {
			row := q.rows[i]
			row.Prev, row.Link = link.Hash, link.Next(row.SHA256)
			link = row.Link
			q.OK(q.p.ledger.RestoreBatch(t.Context(), row))
		}
		err := rebuild(t.Context(), q.p, []string{"-corp", string(tide)})
		cursor := rig.Must[ledger.Cursor](t)(q.p.ledger.Cursor(t.Context(), tide))
		got := allBatches(t, q.p.ledger)
		if c.hole {
			if err == nil || !strings.Contains(err.Error(), q.rows[1].Object) || !strings.Contains(err.Error(), "vaultctl fsck") || cursor.Seq != 0 || len(got) != len(c.kept) {
				t.Errorf("%s: %v, %+v", c.name, err, cursor)
			}
			continue
		}
		if err != nil || len(got) != 3 {
			t.Errorf("%s: %v, %d batches", c.name, err, len(got))
			continue
		}
		if len(c.kept) == 2 {
			if got[2].Prev != link.Hash || got[2].Link != link.Next(got[2].SHA256) {
				t.Errorf("%s: the last batch's link is %+v after %q", c.name, got[2].Link, got[2].Prev)
			}
			link = got[2].Link
		}
		if cursor.Chain != link || cursor.Seq != 9 {
			t.Errorf("%s: the cursor is %+v, the chain ends at %+v", c.name, cursor, link)
		}
	}
}
