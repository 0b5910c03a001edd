package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

func TestAnArchiveInOrderHasNoFindings(t *testing.T) {
	h := newHouse(t)
	h.archived()
	before := h.Rows("ControlTable")
	for range 2 {
		a, err := h.run(t.Context(), Call{Corp: corp, Full: true})
		h.OK(err)
		if len(a.Findings) > 0 || a.Batches != 5 || a.Seqs != 15 || a.Media != 14 {
			t.Errorf("%+v", a)
		}
	}
	if diff := cmp.Diff(before, h.Rows("ControlTable")); diff != "" {
		t.Errorf("a check changed the ledger (-before +after)\n%s", diff)
	}
}

// TestWhatIsPlantedIsFound plants one thing at a time. What can be mended is: after the work that the check enqueued, the rows are as before,
// and a second check finds nothing. The rest is found again, and is an alarm.
func TestWhatIsPlantedIsFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(h *house, b []ledger.BatchRow) (want []string)
		stuck bool // no work can be done
		alarm []string
		same  bool // the derived rows are as before when the work is done
	}{
		{name: "a deleted message row", same: true, plant: func(h *house, b []ledger.BatchRow) []string {
			if n := h.forget("MessagesTable", "msg#", millis(said(b[1].First))); n != 1 {
				h.Fatalf("%d rows deleted", n)
			}
			return []string{"message-missing mended " + b[1].Key()}
		}},
		{name: "all message rows of a batch", same: true, plant: func(h *house, b []ledger.BatchRow) []string {
			for seq := b[4].First; seq <= b[4].Last; seq++ {
				h.forget("MessagesTable", "msg#", millis(said(seq)))
			}
			return []string{"message-missing mended " + b[4].Key()}
		}},
		{name: "a deleted batch row", same: true, plant: func(h *house, b []ledger.BatchRow) []string {
			h.forget("ControlTable", "batch#", b[1].Key())
			return []string{"row-missing mended " + b[1].Object}
		}},
		{name: "the first batch row", same: true, plant: func(h *house, b []ledger.BatchRow) []string {
			h.forget("ControlTable", "batch#", b[0].Key())
			return []string{"row-missing mended " + b[0].Object}
		}},
		{name: "three batch rows on end, the newest too", plant: func(h *house, b []ledger.BatchRow) []string {
			for _, row := range b[2:] {
				h.forget("ControlTable", "batch#", row.Key())
			}
			return []string{"row-missing mended " + b[2].Object, "row-missing mended " + b[3].Object, "row-missing mended " + b[4].Object}
		}},
		{name: "all batch rows", plant: func(h *house, b []ledger.BatchRow) []string {
			h.forget("ControlTable", "batch#", "")
			want := []string{}
			for _, row := range b {
				want = append(want, "row-missing mended "+row.Object)
			}
			return want
		}},
		{name: "a deleted batch", alarm: []string{"unaccounted:batch-missing"}, plant: func(h *house, b []ledger.BatchRow) []string {
			h.burn(b[1].Object, b[1].Version)
			return []string{"batch-missing open " + b[1].Object}
		}},
		{name: "a batch that was restored", same: true, plant: func(h *house, b []ledger.BatchRow) []string {
			raw, _ := h.chat(b[1].First, 3, "")
			h.burn(b[1].Object, b[1].Version)
			_, err := h.store.PutBatch(h.Context(), corp, b[1].First, b[1].Last, raw)
			h.OK(err)
			return []string{"batch-missing mended " + b[1].Object}
		}},
		{name: "a batch under a delete marker", alarm: []string{"unaccounted:batch-written-over"}, plant: func(h *house, b []ledger.BatchRow) []string {
			h.burn(b[1].Object, "")
			return []string{"batch-written-over open " + b[1].Object}
		}},
		{name: "a deleted batch and its row", alarm: []string{"unaccounted:chain-broken"}, plant: func(h *house, b []ledger.BatchRow) []string {
			h.burn(b[1].Object, b[1].Version)
			h.forget("ControlTable", "batch#", b[1].Key())
			return []string{"chain-broken open " + b[2].Key()}
		}},
		{name: "the newest batch and its row", alarm: []string{"unaccounted:chain-broken"}, plant: func(h *house, b []ledger.BatchRow) []string {
			h.burn(b[4].Object, b[4].Version)
			h.forget("ControlTable", "batch#", b[4].Key())
			return []string{"chain-broken open " + b[4].Link.Hash}
		}},
		{name: "an altered batch", alarm: []string{"unaccounted:batch-altered"}, plant: func(h *house, b []ledger.BatchRow) []string {
			h.tamper(b[1].Object, func(packed []byte) []byte {
				raw, _ := h.chat(b[1].First, 3, "other ")
				return gzipped(h, raw)
			})
			return []string{"batch-altered open " + b[1].Object}
		}},
		{name: "a batch that is no gzip any more", alarm: []string{"unaccounted:batch-altered"}, plant: func(h *house, b []ledger.BatchRow) []string {
			h.tamper(b[1].Object, func(packed []byte) []byte { return bytes.Repeat([]byte("x"), len(packed)) })
			return []string{"batch-altered open " + b[1].Object}
		}},
		{name: "a batch with one other bit", alarm: []string{"unaccounted:batch-altered"}, plant: func(h *house, b []ledger.BatchRow) []string {
			h.tamper(b[1].Object, func(packed []byte) []byte { packed[len(packed)/2] ^= 1; return packed })
			return []string{"batch-altered open " + b[1].Object}
		}},
		{name: "a batch written over", alarm: []string{"unaccounted:batch-written-over"}, plant: func(h *house, b []ledger.BatchRow) []string {
			raw, _ := h.chat(b[1].First, 3, "other ")
			_, err := h.s3.PutObject(h.Context(), &s3.PutObjectInput{Bucket: aws.String("archive"), Key: &b[1].Object, Body: bytes.NewReader(gzipped(h, raw))})
			h.OK(err)
			return []string{"batch-written-over open " + b[1].Object}
		}},
		{name: "a skipped announcement", plant: func(h *house, _ []ledger.BatchRow) []string {
			return []string{"announcement-missing mended " + h.pull(2).Key()}
		}},
		{name: "a batch that the library dies on", plant: func(h *house, _ []ledger.BatchRow) []string {
			b := h.pull(2)
			h.OK(h.op.BatchFailed(h.Context(), b, "library-dies-often"))
			return []string{"announcement-missing noted " + b.Key()}
		}},
		{name: "a deleted segment", same: true, plant: func(h *house, b []ledger.BatchRow) []string {
			row := rig.Must[ledger.BatchRow](h.TB)(h.op.Batch(h.Context(), corp, b[1].Key()))
			for _, v := range rig.Must[[]objstore.Version](h.TB)(h.store.Versions(h.Context(), row.Segments[0])) {
				h.burn(v.Key, v.VersionID)
			}
			return []string{"segment-missing mended " + row.Segments[0], "seq-missing mended " + b[1].Key()}
		}},
		{name: "an altered segment", alarm: []string{"unaccounted:segment-altered", "unaccounted:seq-missing"}, plant: func(h *house, b []ledger.BatchRow) []string {
			row := rig.Must[ledger.BatchRow](h.TB)(h.op.Batch(h.Context(), corp, b[1].Key()))
			h.tamper(row.Segments[0], func(packed []byte) []byte { return packed[:len(packed)/2] })
			return []string{"segment-altered open " + row.Segments[0], "seq-missing open " + b[1].Key()}
		}, stuck: true},
		{name: "a deleted set-aside row", plant: func(h *house, b []ledger.BatchRow) []string {
			if n := h.forget("MessagesTable", "aside#", "no-key"); n != 1 {
				h.Fatalf("%d rows deleted", n)
			}
			return []string{"seq-missing mended " + b[2].Key()}
		}},
		{name: "a deleted person row", same: true, plant: func(h *house, b []ledger.BatchRow) []string {
			if n := h.forget("MessagesTable", "person#"+corp.KeyPart()+"#ben", ""); n != 1 {
				h.Fatalf("%d rows deleted", n)
			}
			return []string{"message-missing mended " + b[0].Key()}
		}},
		{name: "a deleted recall and a deleted finding", same: true, plant: func(h *house, b []ledger.BatchRow) []string {
			if n := h.forget("MessagesTable", "recall#", "") + h.forget("MessagesTable", "finding#", ""); n != 2 {
				h.Fatalf("%d rows deleted", n)
			}
			return []string{"message-missing mended " + b[1].Key()}
		}},
		{name: "a forgotten attachment", plant: func(h *house, b []ledger.BatchRow) []string {
			h.forget("ControlTable", "media#", archive.FileID("file of "+b[1].First.String()).Hash())
			return []string{"media-forgotten mended " + b[1].Key()}
		}},
		{name: "a deleted attachment", alarm: []string{"unaccounted:media-missing"}, plant: func(h *house, b []ledger.BatchRow) []string {
			key := objstore.MediaKey(corp, archive.FileID("file of "+b[1].First.String()).Hash())
			for _, v := range rig.Must[[]objstore.Version](h.TB)(h.store.Versions(h.Context(), key)) {
				h.burn(v.Key, v.VersionID)
			}
			return []string{"media-missing open " + key}
		}},
		{name: "an attachment put back from a copy", plant: func(h *house, b []ledger.BatchRow) []string {
			key := objstore.MediaKey(corp, archive.FileID("file of "+b[1].First.String()).Hash())
			out, err := h.s3.GetObject(h.Context(), &s3.GetObjectInput{Bucket: aws.String("archive"), Key: &key})
			h.OK(err)
			content, err := io.ReadAll(out.Body)
			h.OK(errors.Join(err, out.Body.Close()))
			for _, v := range rig.Must[[]objstore.Version](h.TB)(h.store.Versions(h.Context(), key)) {
				h.burn(v.Key, v.VersionID)
			}
			for _, c := range [][]byte{[]byte("not it"), content} { // something else, and over it the copy
				_, err = h.s3.PutObject(h.Context(), &s3.PutObjectInput{Bucket: aws.String("archive"), Key: &key, Body: bytes.NewReader(c), Metadata: out.Metadata})
				h.OK(err)
			}
			return []string{"media-missing mended " + key}
		}},
		{name: "an altered attachment", alarm: []string{"unaccounted:media-altered"}, plant: func(h *house, b []ledger.BatchRow) []string {
			key := objstore.MediaKey(corp, archive.FileID("file of "+b[1].First.String()).Hash())
			h.tamper(key, func(b []byte) []byte { return bytes.ToUpper(b) })
			return []string{"media-altered open " + key}
		}},
		{name: "a seq with two cipher texts, in a batch beside the chain", alarm: []string{"unaccounted:two-texts"}, plant: func(h *house, b []ledger.BatchRow) []string {
			raw, _ := h.chat(b[3].First, 1, "other ")
			side := h.record(b[3].First, b[3].First, raw, b[2].Link)
			h.open(side, 0)
			return []string{"side-leaf noted " + side.Key(), "two-texts open " + b[3].First.String()}
		}},
		{name: "a row with another hash in its link", alarm: []string{"unaccounted:chain-broken", "unaccounted:row-altered"}, plant: func(h *house, b []ledger.BatchRow) []string {
			h.forget("ControlTable", "batch#", b[1].Key())
			row := b[1]
			row.Prev = strings.Repeat("0", 64)
			_, err := h.op.PutBatch(h.Context(), row)
			h.OK(err)
			h.open(row, 0)
			return []string{"chain-broken open " + row.Key(), "row-altered open " + row.Key()}
		}},
		{name: "an object that is no batch", alarm: []string{"unaccounted:row-missing"}, plant: func(h *house, b []ledger.BatchRow) []string {
			key := strings.TrimSuffix(b[1].Object, ".json.gz") + "-copy"
			_, err := h.s3.PutObject(h.Context(), &s3.PutObjectInput{Bucket: aws.String("archive"), Key: &key, Body: strings.NewReader("hello")})
			h.OK(err)
			return []string{"row-missing open " + key}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			rows := h.archived()
			before := h.Rows("MessagesTable")
			want := c.plant(h, rows)
			if diff := cmp.Diff(want, h.found()); diff != "" {
				t.Fatalf("the first check (-want +got)\n%s\n%s", diff, h.log.String())
			}
			if diff := cmp.Diff(append([]string{}, c.alarm...), h.alarms()); diff != "" {
				t.Errorf("alarms (-want +got)\n%s", diff)
			}
			mended := map[string]bool{}
			for _, f := range want {
				if strings.Contains(f, " mended ") {
					mended[f] = true
				}
			}
			if !c.stuck {
				h.work()
			}
			if c.same {
				if diff := cmp.Diff(before, h.Rows("MessagesTable")); diff != "" {
					t.Errorf("after the work (-before +after)\n%s", diff)
				}
			}
			again := h.found()
			for _, f := range again {
				if mended[f] {
					t.Errorf("found again: %s", f)
				}
			}
			if len(mended) == len(want) && len(again) > 0 {
				t.Errorf("after mending: %q", again)
			}
			if len(c.alarm) > 0 && len(again) == 0 {
				t.Error("what stays open was not found again")
			}
		})
	}
}

func millis(at time.Time) string {
	return ledger.Waiting{Clock: at}.Key()[:13]
}

func gzipped(h *house, raw []byte) []byte {
	h.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, err := zip.Write(raw)
	h.OK(err)
	h.OK(zip.Close())
	return out.Bytes()
}

func TestARowMadeAnewHasItsPlaceProven(t *testing.T) {
	h := newHouse(t)
	rows := h.archived()
	before := h.Rows("ControlTable", "announced", "announcements", "slot", "pulled", "caught_up")
	for _, b := range rows[1:3] {
		h.forget("ControlTable", "batch#", b.Key())
	}
	h.forget("MessagesTable", "aside#", "") // so that all of it opens now
	h.found()
	h.work()
	after := h.Rows("ControlTable", "announced", "announcements", "slot", "pulled", "caught_up")
	for _, b := range rows[1:3] {
		k := "batch#" + corp.KeyPart() + " " + b.Key()
		for _, rows := range []map[string]string{before, after} {
			fields := strings.Fields(rows[k])
			kept := fields[:0]
			for _, f := range fields {
				if strings.HasPrefix(f, "chain_") || strings.HasPrefix(f, "prev") || strings.HasPrefix(f, "sha256") || strings.HasPrefix(f, "version") || strings.HasPrefix(f, "state") {
					kept = append(kept, f)
				}
			}
			rows[k] = strings.Join(kept, " ")
		}
		if before[k] == "" || before[k] != after[k] {
			t.Errorf("row %s\nbefore %s\nafter  %s", b.Key(), before[k], after[k])
		}
	}
	if got := h.found(); len(got) > 0 {
		t.Errorf("after mending: %q", got)
	}
}

func TestABatchWithoutAPlaceStandsOutsideTheChain(t *testing.T) {
	h := newHouse(t)
	rows := h.archived()
	raw, _ := h.chat(rows[3].First, 4, "")
	object, err := h.store.PutBatch(t.Context(), corp, rows[3].First, rows[3].First+3, raw) // a crash came before its row
	h.OK(err)
	if diff := cmp.Diff([]string{"row-missing mended " + object.Key}, h.found()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.work()
	if got := h.found(); len(got) > 0 {
		t.Errorf("after mending: %q", got)
	}
}

func TestTheScheduledEventChecksEveryCorp(t *testing.T) {
	h := newHouse(t)
	h.archived()
	event, err := os.ReadFile("../../events/fsck.json")
	h.OK(err)
	answer, err := function(h.checker).Invoke(t.Context(), event)
	h.OK(err)
	text, err := json.Marshal(answer)
	h.OK(err)
	if want := `{"findings":[],"untold":0,"batches":5,"seqs":15,"media":14,"next":""}`; string(text) != want {
		t.Errorf("answered %s, want %s", text, want)
	}
}

func TestTheNightlyCheckLeavesWhatIsOnItsWay(t *testing.T) {
	h := newHouse(t)
	rows := h.archived()
	raw, _ := h.chat(rows[4].Last+1, 2, "")
	_, err := h.store.PutBatch(t.Context(), corp, rows[4].Last+1, rows[4].Last+2, raw) // fetch is about to write the row
	h.OK(err)
	h.pull(3)
	a, err := h.run(t.Context(), Call{})
	h.OK(err)
	if len(a.Findings) > 0 || len(h.Take("BatchQueue")) > 0 {
		t.Errorf("%+v", a)
	}
	h.at = h.at.Add(fresh)
	a, err = h.run(t.Context(), Call{})
	h.OK(err)
	if len(a.Findings) != 1 || a.Findings[0].Kind != AnnouncementMissing {
		t.Errorf("ten minutes later: %+v", a)
	}
}

func TestACheckThatRunsOutOfTimeGoesOn(t *testing.T) {
	h := newHouse(t)
	rows := h.archived()
	h.burn(rows[4].Object, rows[4].Version)
	late, cancel := context.WithDeadline(t.Context(), clock.Real().Add(farewell))
	defer cancel()
	a, err := h.run(late, Call{})
	h.OK(err)
	if a.Next != rows[0].Key() || len(a.Findings) > 0 {
		t.Errorf("without time: %+v", a)
	}
	h.OK(h.op.SetCheckedTo(t.Context(), corp, rows[2].Key()))
	h.OK(h.op.PutAlarm(t.Context(), ledger.Alarm{Corp: corp, Cause: "unaccounted:row-altered", Open: true, Since: h.at, Seen: h.at}))
	a, err = h.run(t.Context(), Call{})
	h.OK(err)
	if len(a.Findings) != 1 || a.Batches != 3 || a.Next != "" {
		t.Errorf("from the third batch: %+v", a)
	}
	if diff := cmp.Diff([]string{"unaccounted:batch-missing", "unaccounted:row-altered"}, h.alarms()); diff != "" {
		t.Errorf("half a check closes no alarm (-want +got)\n%s", diff)
	}
	if a, err = h.run(t.Context(), Call{}); err != nil || a.Batches != 5 {
		t.Errorf("the next night: %+v, %v", a, err)
	}
	if diff := cmp.Diff([]string{"unaccounted:batch-missing"}, h.alarms()); diff != "" {
		t.Errorf("a whole check closes what is mended (-want +got)\n%s", diff)
	}
}

// A corp whose check takes longer than a night must not keep the others from theirs.
func TestCorpsShareTheNight(t *testing.T) {
	h := newHouse(t)
	for range 12 {
		h.pull(3)
	}
	last := h.seq
	h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: corp + "-2", Added: h.at}))
	raw, _ := h.chat(1, 3, "")
	object, err := h.store.PutBatch(t.Context(), corp+"-2", 1, 3, raw)
	h.OK(err)
	_, err = h.op.PutBatch(t.Context(), ledger.BatchRow{
		Corp: corp + "-2", First: 1, Last: 3, Items: 3, SHA256: object.SHA256, Size: len(raw), Object: object.Key, Version: object.VersionID, Pulled: h.at,
		Link: ledger.Link{}.Next(object.SHA256),
	})
	h.OK(err)
	corps, err := h.ledger.Corps(t.Context())
	h.OK(err)
	if len(corps) != 2 || corps[0].ID != corp {
		t.Fatalf("the large corp is not the first of %+v", corps)
	}
	// Each batch of the first takes so long that all of them take more than there is.
	h.store = objstore.New(s3.New(h.s3.Options(), func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, slow(150*time.Millisecond))
	}), "archive")
	night, cancel := context.WithDeadline(t.Context(), clock.Real().Add(farewell+1500*time.Millisecond))
	defer cancel()
	_, err = h.run(night, Call{})
	h.OK(err)
	if to := rig.Must[string](t)(h.ledger.CheckedTo(t.Context(), corp)); to == "" {
		t.Fatalf("all batches up to seq %v were checked: the night was too long", last)
	}
	if !strings.Contains(h.log.String(), "corp="+string(corp)+"-2 batches=1 ") {
		t.Errorf("the second corp was not checked:\n%s", h.log.String())
	}
}

// Attachments are looked at from another place each night, each once: a night that ends early leaves others out than the night before.
func TestEachNightBeginsWithOtherAttachments(t *testing.T) {
	h := newHouse(t)
	h.archived()
	kept := map[string]bool{}
	h.OK(h.op.AllMedia(t.Context(), corp, func(m ledger.MediaRow) bool {
		if m.State == ledger.Kept {
			kept[m.Object] = true
			h.burn(m.Object, m.Version)
		}
		return true
	}))
	first := map[string]bool{}
	for range nights {
		h.at = h.at.AddDate(0, 0, 1)
		a, err := h.run(t.Context(), Call{})
		h.OK(err)
		if a.Media != len(kept) || len(a.Findings) != len(kept) {
			t.Fatalf("%d of %d attachments looked at, %d findings", a.Media, len(kept), len(a.Findings))
		}
		tonight := fmt.Sprintf("%x", h.at.YearDay()%nights)
		order := make([]string, 0, len(kept))
		for _, f := range a.Findings {
			order = append(order, strings.TrimPrefix(f.Object, objstore.MediaKey(corp, "")))
		}
		i, _ := slices.BinarySearch(slices.Sorted(slices.Values(order)), tonight)
		if want := slices.Sorted(slices.Values(order)); !slices.Equal(order, append(want[i:len(want):len(want)], want[:i]...)) {
			t.Errorf("in the night of %s they are looked at in the order %v", tonight, order)
		}
		first[order[0]] = true
	}
	if len(first) < 5 {
		t.Errorf("only %d attachments are ever the first", len(first))
	}
}

// An attachment's bytes are read in one night of sixteen: the next night can't say that an altered one is right again.
func TestAnAlteredAttachmentStaysAnAlarm(t *testing.T) {
	h := newHouse(t)
	rows := h.archived()
	file := archive.FileID("file of " + rows[1].First.String())
	flip := func(content []byte) []byte {
		content[0] ^= 1
		return content
	}
	h.tamper(objstore.MediaKey(corp, file.Hash()), flip)
	for fmt.Sprintf("%x", h.at.YearDay()%nights) != file.Hash()[:1] {
		h.at = h.at.AddDate(0, 0, 1)
	}
	for night := range 3 {
		_, err := h.run(t.Context(), Call{})
		h.OK(err)
		if diff := cmp.Diff([]string{"unaccounted:media-altered"}, h.alarms()); diff != "" {
			t.Errorf("in night %d (-want +got)\n%s", night, diff)
		}
		h.at = h.at.AddDate(0, 0, 1)
	}
	h.tamper(objstore.MediaKey(corp, file.Hash()), flip)
	_, err := h.run(t.Context(), Call{Corp: corp, Full: true})
	h.OK(err)
	if open := h.alarms(); len(open) > 0 {
		t.Errorf("all attachments were read and are right: %v", open)
	}
}

// slow delays each answer.
func slow(d time.Duration) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("slow", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error,
		) {
			<-time.After(d)
			return next.HandleInitialize(ctx, in)
		}), middleware.Before)
	}
}

// Seqs that were jumped over by hand are told from seqs that WeCom jumps over.
func TestSeqsThatNobodyAskedForAreAGap(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	rows := h.archived()
	last := rows[4].Last
	next := func(first archive.Seq) ledger.BatchRow {
		raw, _ := h.chat(first, 2, "")
		b := h.record(first, first+1, raw, h.chain)
		h.advance(b)
		h.open(b, 0)
		return b
	}
	next(last + 10) // WeCom's own jump
	if got := h.found(); len(got) > 0 {
		t.Fatalf("a jump of WeCom's is found: %q", got)
	}
	move := func(to archive.Seq) {
		key := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "corp#" + corp.KeyPart()}, "sk": &types.AttributeValueMemberS{Value: "cursor"}}
		_, err := dynamodb.NewFromConfig(h.Config(rig.Operator)).UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: aws.String(h.Name("ControlTable")), Key: key,
			UpdateExpression: aws.String("SET seq = :to"), ExpressionAttributeValues: map[string]types.AttributeValue{":to": &types.AttributeValueMemberN{Value: to.String()}}})
		h.OK(err)
		h.seq = to
	}
	from := last + 11
	move(from + 20)
	if diff := cmp.Diff([]string{"gap open " + (from + 20).String()}, h.found()); diff != "" {
		t.Errorf("the cursor was moved (-want +got)\n%s", diff)
	}
	b := next(from + 25)
	if diff := cmp.Diff([]string{"gap open " + b.Key()}, h.found()); diff != "" {
		t.Errorf("and a batch came (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"unaccounted:gap"}, h.alarms()); diff != "" {
		t.Error(diff)
	}
	// Set back: what lies between comes now, with what came already or without.
	move(from)
	raw, _ := h.chat(from+25, 2, "")
	again := h.record(from+25, from+26, raw, h.chain)
	if again.After != from || again.Key() != b.Key() {
		t.Fatalf("the batch that came again says that it was asked for after %v", again.After)
	}
	move(b.Last)
	if got := h.found(); len(got) > 0 {
		t.Errorf("nothing lay between: %q", got)
	}
	if got := h.alarms(); len(got) > 0 {
		t.Errorf("alarms: %q", got)
	}
}

func TestAGapIsClosedByABatchThatAskedForAllOfIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	rows := h.archived()
	last := rows[4].Last
	h.seq = last + 10
	raw, _ := h.chat(last+21, 2, "")
	b := h.record(last+21, last+22, raw, h.chain)
	h.advance(b)
	h.open(b, 0)
	if diff := cmp.Diff([]string{"gap open " + b.Key()}, h.found()); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	h.seq = last
	raw, _ = h.chat(last+21, 3, "") // the same seqs and one more, as what follows the last
	wider := h.record(last+21, last+23, raw, h.chain)
	h.open(wider, 0)
	if got := h.found(); len(got) > 0 {
		t.Errorf("after it: %q", got)
	}
}

func TestAPanicOfOneCorpIsToldWithoutItsValueAndEndsNoOther(t *testing.T) {
	h := newHouse(t)
	h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: "wwablown", Added: h.at})) // the first
	h.pull(3)
	h.checker.ledger = h.Ledger(rig.Panicking(h.Config("FsckFunction"), "wwablown"))
	all, err := h.run(t.Context(), Call{})
	if err == nil || !strings.Contains(err.Error(), "check corp wwablown: panic with a value of type string") || strings.Contains(err.Error(), "canary") {
		t.Errorf("the run says %v", err)
	}
	if all.Batches != 1 {
		t.Errorf("%d batches of the other corp", all.Batches)
	}
}

func TestASegmentOfALaterFormatIsNoFinding(t *testing.T) {
	h := newHouse(t)
	b := h.archived()[0]
	b, err := h.op.Batch(t.Context(), corp, b.Key())
	h.OK(err)
	lines, err := h.checker.store.Segment(t.Context(), objstore.Object{Key: b.Segments[0]})
	h.OK(err)
	lines = bytes.ReplaceAll(lines, []byte(`"format":1`), []byte(`"format":2`))
	name, err := objstore.ParseSegmentKey(b.Segments[0])
	h.OK(err)
	name.Slice = archive.HashHex(lines)[:16]
	object, err := objstore.New(h.s3, "archive").PutSegment(t.Context(), name, lines)
	h.OK(err)
	_, err = h.op.ReplaceSegment(t.Context(), b, b.Segments[0], object.Key)
	h.OK(err)
	rows := h.Rows("ControlTable")
	all, err := h.run(t.Context(), Call{Corp: corp, Full: true})
	if !errors.Is(err, archive.ErrSegmentFormat) || !strings.Contains(err.Error(), object.Key) || len(all.Findings) != 0 {
		t.Errorf("%v, %+v", err, all)
	}
	if diff := cmp.Diff(rows, h.Rows("ControlTable")); diff != "" {
		t.Error(diff)
	}
}
