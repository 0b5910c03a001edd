package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// gone deletes the one version of an object, or puts a delete marker on it.
func (q *quay) gone(t *testing.T, key string, marker bool) {
	t.Helper()
	in := &s3.DeleteObjectInput{Bucket: aws.String("archive"), Key: &key}
	if !marker {
		in.VersionId = aws.String(rig.Must[objstore.Object](t)(q.p.store.Current(t.Context(), key)).VersionID)
	}
	_, err := q.s3.DeleteObject(t.Context(), in)
	q.OK(err)
}

// The rows may be the last readable copy, and what is nowhere is set aside with its batch's counts or not at all.
func TestMendingKeepsTheRowsOfASegmentThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, from string
		batch      int
	}{{ledger.Missing, fromSegments, 0}, {ledger.Altered, fromSegments, 0}, {ledger.Missing, fromSegments, 1}, {ledger.Missing, fromBatches, 0}} {
		q := newQuay(t)
		key := rig.Must[ledger.BatchRow](t)(q.p.ledger.Batch(t.Context(), tide, q.rows[c.batch].Key())).Segments[0]
		if c.what == ledger.Missing {
			q.gone(t, key, true)
		} else {
			q.cut(t, key)
		}
		if c.from == fromBatches { // and the items are refused
			q.p.vault = secrets.New(secretsmanager.NewFromConfig(q.Config(rig.Operator)), "elsewhere/")
		}
		rows, control := q.Rows("MessagesTable"), q.Rows("ControlTable")
		found, sum, err := q.said(t, "-from", c.from, "-mend")
		if err == nil || sum.Mended != 0 || slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, " mended") }) {
			t.Errorf("%+v: %v, %+v, %q", c, err, sum, found)
		}
		if !strings.Contains(q.out.String(), `"hint":"not mended by replay: run vaultctl fsck`) {
			t.Errorf("%+v: no hint:\n%s", c, q.out.String())
		}
		if diff := cmp.Diff(rows, q.Rows("MessagesTable")); diff != "" {
			t.Errorf("%+v (-before +after)\n%s", c, diff)
		}
		if diff := cmp.Diff(control, q.Rows("ControlTable")); diff != "" {
			t.Errorf("%+v (-before +after)\n%s", c, diff)
		}
	}
}

// An item of no segment that is not set aside either stays so: setting it aside without its batch's counts would make those wrong.
func TestMendingSetsNothingAsideWithoutItsBatch(t *testing.T) {
	t.Parallel()
	q := newQuay(t)
	q.lose(t, q.row(t, "aside#"))
	rows := q.Rows("MessagesTable")
	found, _, err := q.said(t, "-mend")
	if err == nil || len(found) != 2 || !strings.HasPrefix(found[0], "aside missing aside#wwtide missing#") || !strings.HasSuffix(found[0], " open") {
		t.Errorf("%v, %q", err, found)
	}
	if diff := cmp.Diff(rows, q.Rows("MessagesTable")); diff != "" {
		t.Error(diff)
	}
}

// A redrive writes the rows of its items first, and closes what was set aside then.
func TestMendingLeavesTheRowsOfARedrive(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{false, true} {
		q := newQuay(t)
		row := rig.Must[ledger.BatchRow](t)(q.p.ledger.Batch(t.Context(), tide, q.rows[1].Key()))
		m := archive.Message{Corp: tide, Seq: 6, MsgID: "m6", Action: archive.Send, Type: "text", From: "dee", To: []archive.PartyID{"an"}, Time: noon, Known: true,
			Raw: fmt.Appendf(nil, `{"msgid":"m6","action":"send","from":"dee","tolist":["an"],"msgtime":%d,"msgtype":"text","text":{"content":"slack"}}`, noon.UnixMilli())}
		lines := rig.Must[[]byte](t)(archive.EncodeSegment([]archive.SegmentItem{{Message: m, Index: 1, Decoder: 1}}))
		o := rig.Must[objstore.Object](t)(q.p.store.PutSegment(t.Context(), objstore.SegmentKey{Class: objstore.DefaultClass, Corp: tide, Day: "2031-05-06",
			BatchHash: row.SHA256[:32], Slice: archive.HashHex(lines)[:16]}, lines))
		ctx := context.WithoutCancel(t.Context())
		var once sync.Once
		// When the batches were replayed the item was set aside; when the rows are compared it is not, or not for long.
		var failure error
		redriver := q.p.ledger
		q.Fault(func(f awslocal.FaultRequest) awslocal.FaultDecision {
			if f.Operation == "Scan" {
				once.Do(func() {
					done := make(chan struct{})
					go func() {
						defer close(done)
						failure = redriver.PutMessages(ctx, row.Key(), []archive.Message{m}, &ledger.People{})
						if failure == nil && closed {
							var asides []ledger.Aside
							if asides, failure = redriver.AsidesOf(ctx, tide, row.Key()); failure == nil {
								failure = redriver.CloseAside(ctx, row, asides, o.Key, nil)
							}
						}
					}()
					<-done
				})
			}
			return awslocal.FaultDecision{}
		})
		found, _, err := q.said(t, "-mend")
		q.Fault(nil)
		q.OK(failure)
		if slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, "extra") && strings.Contains(s, " mended") }) {
			t.Errorf("closed %v: %v, %q", closed, err, found)
		}
		if missing := rig.Must[[]archive.Message](t)(q.p.ledger.HasMessages(t.Context(), row.Key(), []archive.Message{m})); len(missing) > 0 {
			t.Errorf("closed %v: the redriven message's row is gone: %q", closed, found)
		}
		asides := rig.Must[[]ledger.Aside](t)(q.p.ledger.AsidesOf(t.Context(), tide, row.Key()))
		if after := rig.Must[ledger.BatchRow](t)(q.p.ledger.Batch(t.Context(), tide, row.Key())); len(asides) != after.SetAside {
			t.Errorf("closed %v: %d set aside, its batch counts %d", closed, len(asides), after.SetAside)
		}
	}
}

// A table that was being filled may lack more rows than a comparison keeps in mind.
func TestATableOfWhichNearlyAllIsMissingIsFilled(t *testing.T) {
	t.Parallel()
	q := newQuay(t)
	q.p.most = 2
	before := q.Rows("MessagesTable")
	for _, kind := range []string{"msg", "parts", "person", "room", "robot", "recall", "finding"} {
		q.lose(t, q.row(t, kind+"#"))
	}
	if _, _, err := q.said(t); err == nil || !strings.Contains(err.Error(), "more than 2 rows differ") {
		t.Errorf("without mending: %v", err)
	}
	if found, sum, err := q.said(t, "-mend"); err != nil || len(found) != 7 || sum.Differences != 7 || sum.Mended != 7 {
		t.Errorf("%v, %+v, %q", err, sum, found)
	}
	if diff := cmp.Diff(before, q.Rows("MessagesTable")); diff != "" {
		t.Error(diff)
	}
}

// As the first version wrote it: every message's bytes in base64.
func old(t *testing.T, lines []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for l := range bytes.Lines(lines) {
		i := bytes.Index(l, []byte(`"raw_text":`))
		var s string
		if err := json.Unmarshal(l[i+len(`"raw_text":`):len(l)-len("}\n")], &s); err != nil {
			t.Fatal(err)
		}
		out.Write(l[:i])
		out.WriteString(`"raw":`)
		out.Write(rig.Must[[]byte](t)(json.Marshal([]byte(s))))
		out.WriteString("}\n")
	}
	return out.Bytes()
}

// The bytes that its name has the hash of can't be had again: its messages can.
func TestSegmentsOfAnotherFormAreMadeAgainUnderAnotherName(t *testing.T) {
	t.Parallel()
	for _, split := range []bool{false, true} { // an older form; two segments of one batch
		q := newQuay(t)
		row := rig.Must[ledger.BatchRow](t)(q.p.ledger.Batch(t.Context(), tide, q.rows[0].Key()))
		lines := rig.Must[[]byte](t)(q.p.store.Segment(t.Context(), objstore.Object{Key: row.Segments[0]}))
		parts := [][]byte{old(t, lines)}
		if split {
			first := bytes.IndexByte(lines, '\n') + 1
			parts = [][]byte{old(t, lines[:first]), lines[first:]}
		}
		before := row.Segments[0]
		for _, part := range parts {
			name := rig.Must[objstore.SegmentKey](t)(objstore.ParseSegmentKey(before))
			name.Slice = archive.HashHex(part)[:16]
			row.Segments = append(row.Segments, rig.Must[objstore.Object](t)(q.p.store.PutSegment(t.Context(), name, part)).Key)
		}
		q.gone(t, before, false)
		segments := row.Segments[1:]
		row.Segments = []string{before}
		row = rig.Must[ledger.BatchRow](t)(q.p.ledger.ReplaceSegment(t.Context(), row, before, segments[0]))
		if split {
			q.OK(q.p.ledger.Miss(t.Context(), row, []ledger.Aside{{Corp: tide, Reason: "spare", Batch: "spare"}}, row.Archived, row.SetAside, segments))
			q.lose(t, q.row(t, "aside#wwtide spare#"))
		}
		if found, _, err := q.said(t, "-from", fromBatches); err != nil || len(found) > 0 {
			t.Fatalf("split %v, intact: %v, %q", split, err, found)
		}
		rows := q.Rows("MessagesTable")
		for _, key := range segments {
			q.gone(t, key, false)
		}
		found, _, err := q.said(t, "-from", fromBatches, "-mend")
		if err != nil || len(found) != len(segments) {
			t.Errorf("split %v: %v, %q", split, err, found)
		}
		for _, from := range []string{fromSegments, fromBatches} {
			if found, _, err := q.said(t, "-from", from); err != nil || len(found) > 0 {
				t.Errorf("split %v, after mending, from %s: %v, %q", split, from, err, found)
			}
		}
		after := rig.Must[ledger.BatchRow](t)(q.p.ledger.Batch(t.Context(), tide, row.Key()))
		if len(after.Segments) != 1 || slices.Contains(segments, after.Segments[0]) {
			t.Errorf("split %v: the batch names %q", split, after.Segments)
		}
		if diff := cmp.Diff(rows, q.Rows("MessagesTable")); diff != "" {
			t.Error(diff)
		}
	}
}
