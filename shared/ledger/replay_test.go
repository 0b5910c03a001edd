package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

func TestASegmentIsReplacedOnceHoweverOftenItIsAskedFor(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	row := batch(corp, 1, 3, ledger.Link{})
	_, err := b.PutBatch(ctx, row)
	b.OK(err)
	b.OK(b.FinishBatch(ctx, row, "", 3, 0, "segments/a"))
	row, err = b.Batch(ctx, corp, row.Key())
	b.OK(err)
	for range 2 { // the answer to the first was lost
		after, err := b.ReplaceSegment(ctx, row, "segments/a", "segments/b")
		if err != nil || !slices.Equal(after.Segments, []string{"segments/b"}) || after.Archived != 3 {
			t.Errorf("%v, %+v", err, after)
		}
	}
	if _, err := b.ReplaceSegment(ctx, row, "segments/a", "segments/c"); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("by something else: %v", err)
	}
}
