package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

// rewritten puts a segment of other lines in the place of a batch's only one.
func (q *quay) rewritten(t *testing.T, batch int, change func(lines []byte) []byte) {
	t.Helper()
	row := rig.Must[ledger.BatchRow](t)(q.p.ledger.Batch(t.Context(), tide, q.rows[batch].Key()))
	lines := change(rig.Must[[]byte](t)(q.p.store.Segment(t.Context(), objstore.Object{Key: row.Segments[0]})))
	name := rig.Must[objstore.SegmentKey](t)(objstore.ParseSegmentKey(row.Segments[0]))
	name.Slice = archive.HashHex(lines)[:16]
	o := rig.Must[objstore.Object](t)(q.p.store.PutSegment(t.Context(), name, lines))
	rig.Must[ledger.BatchRow](t)(q.p.ledger.ReplaceSegment(t.Context(), row, row.Segments[0], o.Key))
}

// What an older decoder read otherwise was right as it was then. What it read alike is held to be the same.
func TestWhatAnOlderDecoderReadOtherwiseIsNoDifference(t *testing.T) {
	t.Parallel()
	q := newQuay(t)
	q.rewritten(t, 0, func(lines []byte) []byte {
		lines = bytes.ReplaceAll(lines, []byte(`"decoder":2`), []byte(`"decoder":1`))
		return bytes.Replace(lines, []byte(`"text":"high water at noon"`), []byte(`"text":"high water, as of old"`), 1)
	})
	if found, _, err := q.said(t); err != nil || len(found) != 0 {
		t.Fatalf("rows of this decoder: %v, %q", err, found)
	}
	var first, second map[string]types.AttributeValue
	for _, seq := range []string{"1", "2"} {
		it := q.row(t, "msg#wwtide#wrpier#203105 "+fmt.Sprint(noon.UnixMilli()+int64(seq[0]-'0')))
		it["text"] = &types.AttributeValueMemberS{Value: "high water, as of old"}
		q.put(t, it)
		if first == nil {
			first = it
		}
		second = it
	}
	found, sum, err := q.said(t)
	want := []string{"msg altered " + keysOf(first) + " older text", "msg altered " + keysOf(second) + " open text"}
	if err == nil || sum.Older != 1 || sum.Differences != 1 || strings.Join(found, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v, %+v:\n%s\nwant\n%s", err, sum, strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(q.out.String(), "an older version of the decoder") {
		t.Error("nothing says what to do")
	}
	if _, sum, err := q.said(t, "-mend"); err != nil || sum.Mended != 2 {
		t.Errorf("mending: %v, %+v", err, sum)
	}
	if found, sum, err := q.said(t); err != nil || len(found) != 0 || sum.Older != 0 {
		t.Errorf("after mending: %v, %q", err, found)
	}
}

// A segment of a later version is not damaged: nothing is written in its place, and the version is named.
func TestNothingIsMendedOverASegmentOfALaterFormat(t *testing.T) {
	t.Parallel()
	q := newQuay(t)
	q.rewritten(t, 0, func(lines []byte) []byte { return bytes.ReplaceAll(lines, []byte(`"format":1`), []byte(`"format":2`)) })
	rows, control := q.Rows("MessagesTable"), q.Rows("ControlTable")
	for _, from := range []string{fromSegments, fromBatches} {
		if _, _, err := q.said(t, "-from", from, "-mend"); !errors.Is(err, archive.ErrSegmentFormat) || !strings.Contains(err.Error(), "has format 2") {
			t.Errorf("from %s: %v", from, err)
		}
	}
	if len(q.Rows("MessagesTable")) != len(rows) || fmt.Sprint(q.Rows("ControlTable")) != fmt.Sprint(control) {
		t.Error("something was written")
	}
}

// A segment of before the mark, and of an older decoder, has a name of its own bytes: it is made again as those were.
func TestASegmentOfAnEarlierVersionIsMadeAgainByteForByte(t *testing.T) {
	t.Parallel()
	q := newQuay(t)
	q.rewritten(t, 0, func(lines []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(lines, []byte(`"format":1,`), nil), []byte(`"decoder":2`), []byte(`"decoder":1`))
	})
	key := rig.Must[ledger.BatchRow](t)(q.p.ledger.Batch(t.Context(), tide, q.rows[0].Key())).Segments[0]
	before := rig.Must[[]byte](t)(q.p.store.Segment(t.Context(), objstore.Object{Key: key}))
	q.gone(t, key, false)
	if found, _, err := q.said(t, "-from", fromBatches, "-mend"); err != nil || len(found) != 1 || found[0] != "segment missing "+key+" mended" {
		t.Fatalf("%v, %q", err, found)
	}
	if after := rig.Must[[]byte](t)(q.p.store.Segment(t.Context(), objstore.Object{Key: key})); !bytes.Equal(before, after) {
		t.Errorf("%s\nwas\n%s", after, before)
	}
}
