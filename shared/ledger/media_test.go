package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

func waiting(b bench) (keys []string) {
	b.Helper()
	b.OK(b.AllWaiting(b.Context(), corp, func(w ledger.Waiting) bool {
		keys = append(keys, w.Key())
		return true
	}))
	return keys
}

func TestTheLongestWaitingComesFirst(t *testing.T) {
	b := newBench(t)
	late, early, unknown := ledger.Waiting{Corp: corp, FileID: "late", Clock: noon}, ledger.Waiting{Corp: corp, FileID: "early", Clock: noon.Add(-time.Hour)}, ledger.Waiting{Corp: corp, FileID: "unknown"}
	got, err := b.PutWaiting(t.Context(), corp, []ledger.Waiting{late, early, unknown})
	if err != nil || len(got) != 3 {
		t.Fatalf("%v: %v", got, err)
	}
	if diff := cmp.Diff([]string{unknown.Key(), early.Key(), late.Key()}, waiting(b)); diff != "" {
		t.Error(diff)
	}
}

func TestAnAttachmentWithAnOutcomeWaitsNoMore(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	w := ledger.Waiting{Corp: corp, FileID: "f", Clock: noon}
	_, err := b.PutWaiting(ctx, corp, []ledger.Waiting{w})
	b.OK(err)
	w.Upload = &ledger.Upload{ID: "u", Index: "i", Parts: []ledger.Part{{N: 1, ETag: "e", SHA256: "s"}}, Size: 8, Hash: []byte{1, 0, 255}, MD5: []byte{2}}
	b.OK(b.SaveUpload(ctx, w))
	_, err = b.PutWaiting(ctx, corp, []ledger.Waiting{{Corp: corp, FileID: "f", Clock: noon}}) // its batch is processed again
	b.OK(err)
	read, err := b.Waiting(ctx, corp, w.Key())
	b.OK(err)
	if diff := cmp.Diff(w, read); diff != "" {
		t.Errorf("the state of the upload is lost: %s", diff)
	}
	kept := ledger.MediaRow{Corp: corp, Hash: w.FileID.Hash(), State: ledger.Kept, Size: 8, SHA256: "aa", MD5: "bb", Object: "media/x", Version: "v", At: noon}
	b.loseAnswer("PutItem")
	b.OK(b.SettleMedia(ctx, w, kept))
	if keys := waiting(b); len(keys) != 0 {
		t.Errorf("it still waits: %v", keys)
	}
	if err := b.SaveUpload(ctx, w); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("an upload of it was saved: %v", err)
	}
	again, err := b.PutWaiting(ctx, corp, []ledger.Waiting{w})
	if err != nil || len(again) != 0 || len(waiting(b)) != 0 {
		t.Errorf("it waits again: %v, %v", again, err)
	}
	rows, err := b.Media(ctx, corp, []string{kept.Hash, "unknown"})
	b.OK(err)
	if diff := cmp.Diff(map[string]ledger.MediaRow{kept.Hash: kept}, rows); diff != "" {
		t.Error(diff)
	}
}

func TestTheFirstOutcomeStandsButKeptReplacesLost(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	row := func(state, reason string) ledger.MediaRow {
		return ledger.MediaRow{Corp: corp, Hash: archive.FileID("f").Hash(), State: state, Reason: reason, At: noon}
	}
	w := ledger.Waiting{Corp: corp, FileID: "f", Clock: noon}
	for _, c := range []struct{ put, want ledger.MediaRow }{
		{row(ledger.Lost, "media-expired"), row(ledger.Lost, "media-expired")},
		{row(ledger.Lost, "no-such-file"), row(ledger.Lost, "media-expired")},
		{row(ledger.Kept, ""), row(ledger.Kept, "")},
		{row(ledger.Lost, "media-expired"), row(ledger.Kept, "")},
	} {
		b.OK(b.SettleMedia(ctx, w, c.put))
		rows, err := b.Media(ctx, corp, []string{c.want.Hash})
		b.OK(err)
		if diff := cmp.Diff(c.want, rows[c.want.Hash]); diff != "" {
			t.Errorf("after %s %s: %s", c.put.State, c.put.Reason, diff)
		}
		lost := 0
		b.OK(b.LostMedia(ctx, corp, func(ledger.MediaRow) bool { lost++; return true }))
		if want := map[string]int{ledger.Lost: 1, ledger.Kept: 0}[c.want.State]; lost != want {
			t.Errorf("after %s %s %d are lost", c.put.State, c.put.Reason, lost)
		}
	}
}
