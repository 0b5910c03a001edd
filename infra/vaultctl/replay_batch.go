package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/derived"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/wire"
)

// atOnce is how many batches are replayed at the same time: most of the time is waiting for answers.
const atOnce = 4

// each calls f for batches, some at the same time, until the first error.
func each(ctx context.Context, batches []ledger.BatchRow, f func(context.Context, ledger.BatchRow) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan ledger.BatchRow)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for b := range next {
				if err := f(ctx, b); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for _, b := range batches {
		select {
		case next <- b:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// record is a batch's segments as they are.
type record struct {
	items  map[archive.Seq]archive.SegmentItem
	bad    []string // keys of segments that are gone or are not what was written
	whole  map[string][]archive.SegmentItem
	absent map[string]bool // of the bad ones
}

// batch replays one batch that is done.
func (r *replayer) batch(ctx context.Context, row ledger.BatchRow, people *ledger.People) error {
	batch, kept, err := r.bytes(ctx, row)
	if err != nil {
		return err
	}
	segments, err := r.segments(ctx, row)
	if err != nil {
		return err
	}
	items, asides, err := r.items(ctx, &row, batch, kept, segments)
	if err != nil {
		return err
	}
	// Not all that was archived can be read, or more is set aside than the batch's row counts: its rows are not all that there should be.
	broken := len(segments.bad) > 0 && len(items) < row.Items || len(items) < row.Archived || len(asides) > row.SetAside
	if r.from == fromSegments {
		for _, key := range segments.bad {
			r.note("segment", badly(segments.absent[key]), key, "open")
		}
	}
	rows := derived.Of(derived.Batch{Pulled: row.Pulled, CaughtUp: row.CaughtUp}, items)
	if err := r.made.PutDerived(ctx, row, rows, people); err != nil {
		return err
	}
	r.mu.Lock()
	_, again := r.seen[row.Key()]
	r.mu.Unlock()
	if err := r.made.ReplaceAsides(ctx, row, asides, !again); err != nil {
		return err
	}
	outcomes, err := r.outcomes(ctx, row, rows.Files)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[row.Key()] = r.state(row)
	if delete(r.broken, row.Key()); broken {
		r.broken[row.Key()] = true
	}
	if again {
		return nil // counted before
	}
	r.sum.Batches++
	r.sum.Seqs += row.Items
	r.sum.Messages += len(items)
	r.sum.SetAside += len(asides)
	r.sum.Segments += len(segments.whole) + len(segments.bad)
	for state, n := range outcomes {
		r.sum.Attachments[state] += n
	}
	return nil
}

func badly(absent bool) string {
	if absent {
		return ledger.Missing
	}
	return ledger.Altered
}

// bytes reads a batch's items. kept is false where its object is not what was kept: fsck says what to do.
func (r *replayer) bytes(ctx context.Context, row ledger.BatchRow) (batch archive.Batch, kept bool, err error) {
	raw, err := r.store.Batch(ctx, objstore.Object{Key: row.Object, VersionID: row.Version, SHA256: row.SHA256})
	switch {
	case errors.Is(err, objstore.ErrAbsent):
		r.note("batch", ledger.Missing, row.Key(), "open")
		return archive.Batch{}, false, nil
	case errors.Is(err, objstore.ErrAltered):
		r.note("batch", ledger.Altered, row.Key(), "open")
		return archive.Batch{}, false, nil
	case err != nil:
		return archive.Batch{}, false, err
	}
	batch, err = archive.ParseBatch(raw, row.First-1)
	if err != nil {
		r.note("batch", ledger.Altered, row.Key(), "open")
		return archive.Batch{}, false, nil
	}
	return batch, true, nil
}

// segments reads the messages that a batch's segments keep, decoded by this decoder: the bytes are the record, not what an older decoder made of them.
func (r *replayer) segments(ctx context.Context, row ledger.BatchRow) (record, error) {
	rec := record{items: map[archive.Seq]archive.SegmentItem{}, whole: map[string][]archive.SegmentItem{}, absent: map[string]bool{}}
	keys := slices.Clone(row.Segments)
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		lines, err := r.store.Segment(ctx, objstore.Object{Key: key})
		if err != nil && !errors.Is(err, objstore.ErrAbsent) && !errors.Is(err, objstore.ErrAltered) {
			return record{}, err
		}
		name, bad := objstore.ParseSegmentKey(key)
		if err != nil || bad != nil || archive.HashHex(lines)[:16] != name.Slice {
			rec.bad = append(rec.bad, key)
			rec.absent[key] = errors.Is(err, objstore.ErrAbsent)
			continue
		}
		items, err := archive.DecodeSegment(r.corp, lines)
		if err != nil {
			return record{}, fmt.Errorf("segment %s: %w", key, err)
		}
		for i, it := range items {
			m, err := wire.Decode(r.corp, archive.ChatData{Seq: it.Message.Seq, MsgID: it.Message.MsgID, KeyVersion: it.Message.KeyVersion}, it.Message.Raw)
			if err != nil {
				return record{}, fmt.Errorf("segment %s: %w", key, err)
			}
			if it.Decoder < wire.Version && !sameReading(it.Message, m) {
				r.readOtherwise(row.Key(), m.Seq)
			}
			items[i] = archive.SegmentItem{Message: m, Index: it.Index, Decoder: wire.Version}
			rec.items[m.Seq] = items[i]
		}
		rec.whole[key] = items
	}
	return rec, nil
}

// sameReading says whether two decoders made the same of a message, as a segment keeps it.
func sameReading(a, b archive.Message) bool {
	x, err := archive.EncodeSegment([]archive.SegmentItem{{Message: a}})
	if err != nil {
		return false
	}
	y, err := archive.EncodeSegment([]archive.SegmentItem{{Message: b}})
	return err == nil && bytes.Equal(x, y)
}

// items are the messages of a batch, in its order, and its items that are set aside.
func (r *replayer) items(ctx context.Context, row *ledger.BatchRow, batch archive.Batch, kept bool, rec record) ([]archive.SegmentItem, []ledger.Aside, error) {
	found, reasons := rec.items, map[archive.Seq]string{}
	if kept && r.from == fromBatches {
		opened, refused, err := r.opened(ctx, row, batch, rec)
		if err != nil {
			return nil, nil, err
		}
		found, reasons = opened, refused
	}
	var items []archive.SegmentItem
	for _, it := range found {
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b archive.SegmentItem) int { return a.Index - b.Index })
	var asides []ledger.Aside
	if !kept { // what is set aside is all that is known of the other items
		for _, a := range r.asides {
			if a.Batch == row.Key() {
				asides = append(asides, a)
			}
		}
		return items, asides, nil
	}
	for _, item := range batch.Items {
		if _, ok := found[item.Seq]; ok {
			continue
		}
		// Why an item was set aside, and when, is history: it is carried over. All else of its row follows from the batch.
		a, was := r.asides[asideKey(row.Key(), item.Seq)]
		switch reason := reasons[item.Seq]; {
		case was:
			asides = append(asides, row.Aside(item, a.Reason, a.Since))
		case reason != "":
			asides = append(asides, row.Aside(item, reason, clock.Now().UTC().Truncate(time.Millisecond)))
		default:
			r.note("seq", ledger.Missing, item.Seq.String()+" of batch "+row.Key(), "open")
			asides = append(asides, row.Aside(item, ledger.ReasonMissing, clock.Now().UTC().Truncate(time.Millisecond)))
		}
	}
	return items, asides, nil
}

// opened opens a batch's items again, but for those that are set aside, and holds its segments against them. An item that is archived and does
// not open any more keeps what its segment has.
func (r *replayer) opened(ctx context.Context, row *ledger.BatchRow, batch archive.Batch, rec record) (map[archive.Seq]archive.SegmentItem, map[archive.Seq]string, error) {
	var items []archive.ChatData
	for _, item := range batch.Items {
		if _, aside := r.asides[asideKey(row.Key(), item.Seq)]; !aside || rec.has(item.Seq) {
			items = append(items, item)
		}
	}
	out, err := r.opener.Open(ctx, r.corp, items)
	if err != nil {
		return nil, nil, err
	}
	found, reasons := map[archive.Seq]archive.SegmentItem{}, map[archive.Seq]string{}
	for _, o := range out.Opened {
		found[o.Message.Seq] = o
	}
	for _, refused := range out.Refused {
		seq := refused.Item.Seq
		if it, archived := rec.items[seq]; archived {
			found[seq] = it
			r.note("seq", "closed: "+string(refused.Reason), seq.String()+" of batch "+row.Key(), "open")
			continue
		}
		reasons[seq] = string(refused.Reason)
	}
	if err := r.segmentsAgain(ctx, row, batch, found, rec); err != nil {
		return nil, nil, err
	}
	// Opened, and in no segment: it was never archived, unless a segment is gone that had it.
	if len(rec.bad) == 0 {
		for seq := range found {
			if !rec.has(seq) {
				delete(found, seq)
			}
		}
	}
	return found, reasons, nil
}

func (r record) has(seq archive.Seq) bool {
	_, ok := r.items[seq]
	return ok
}

// segmentsAgain makes the segments of a batch again from what was opened and holds them against those that there are. row is what the ledger says then.
func (r *replayer) segmentsAgain(ctx context.Context, row *ledger.BatchRow, batch archive.Batch, found map[archive.Seq]archive.SegmentItem, rec record) error {
	for key, items := range rec.whole {
		for _, it := range items {
			if o, ok := found[it.Message.Seq]; ok && o.Message.RawSHA256() != it.Message.RawSHA256() {
				r.note("segment", ledger.Altered, key, "open") // written by another hand under a hash that fits
			}
		}
	}
	for _, key := range rec.bad {
		state := "open"
		if r.mend {
			mended, err := r.rebuilt(ctx, row, key, batch, found, rec)
			if err != nil {
				return err
			}
			if mended {
				state = "mended"
			}
		}
		r.note("segment", badly(rec.absent[key]), key, state)
	}
	return nil
}

// rebuilt writes what a batch's bad segments held again, in the place of one of them. Bytes that have the hash in its name are proven to be what it was.
// Others have a name of their own: an older version wrote a message in another form, or several segments are made one. They have to hold every item of
// the batch that was archived.
func (r *replayer) rebuilt(ctx context.Context, row *ledger.BatchRow, key string, batch archive.Batch, found map[archive.Seq]archive.SegmentItem, rec record) (bool, error) {
	name, err := objstore.ParseSegmentKey(key)
	if err != nil || !strings.HasPrefix(row.SHA256, name.BatchHash) {
		return false, nil
	}
	var rest []archive.SegmentItem
	whole := len(found) == row.Archived
	for _, item := range batch.Items {
		it, opened := found[item.Seq]
		if _, aside := r.asides[asideKey(row.Key(), item.Seq)]; !opened && !aside {
			whole = false
		}
		if opened && !rec.has(item.Seq) {
			rest = append(rest, it)
		}
	}
	lines, err := segmentNamed(name.Slice, rest)
	if err != nil {
		return false, err
	}
	slice := archive.HashHex(lines)[:16]
	switch {
	case slice == name.Slice:
		return true, r.putBack(ctx, row, key, lines, rec.absent[key])
	case !whole || len(rest) == 0:
		return false, nil
	}
	name.Slice = slice
	object, err := r.store.PutSegment(ctx, name, lines)
	if err != nil {
		return false, err
	}
	*row, err = r.live.ReplaceSegment(ctx, *row, key, object.Key)
	return true, err
}

// segmentNamed writes messages as this version does, or as it or an earlier one did if that gives the hash in a segment's name.
func segmentNamed(slice string, items []archive.SegmentItem) ([]byte, error) {
	items = slices.Clone(items)
	for decoder := range wire.Version {
		for i := range items {
			items[i].Decoder = decoder + 1
		}
		for _, encode := range []func([]archive.SegmentItem) ([]byte, error){archive.EncodeUnmarkedSegment, archive.EncodeSegment} {
			lines, err := encode(items)
			if err != nil || archive.HashHex(lines)[:16] == slice {
				return lines, err
			}
		}
	}
	return archive.EncodeSegment(items)
}

// putBack writes a segment again: under its own name if that is free, else beside the altered one, under the day on which it is written; nothing
// is written over.
func (r *replayer) putBack(ctx context.Context, row *ledger.BatchRow, key string, lines []byte, free bool) error {
	name, err := objstore.ParseSegmentKey(key)
	if err != nil {
		return err
	}
	if !free {
		name.Day = clock.Now().UTC().Format(time.DateOnly)
	}
	object, err := r.store.PutSegment(ctx, name, lines)
	if errors.Is(err, objstore.ErrConflict) && !free { // the altered one is of today
		name.Class = "mended"
		object, err = r.store.PutSegment(ctx, name, lines)
	}
	if err != nil || free {
		return err
	}
	*row, err = r.live.ReplaceSegment(ctx, *row, key, object.Key)
	return err
}

// outcomes counts what became of the attachments that messages name. Outcomes are not derived: they are carried over, and one that is neither
// settled nor waiting is named.
func (r *replayer) outcomes(ctx context.Context, row ledger.BatchRow, files []derived.File) (map[string]int, error) {
	clocks := map[string]ledger.Waiting{}
	var hashes []string
	for _, w := range ledger.WaitingFor(row.Corp, files) {
		hash := w.FileID.Hash()
		if _, again := clocks[hash]; !again {
			clocks[hash] = w
			hashes = append(hashes, hash)
		}
	}
	settled, err := r.live.Media(ctx, r.corp, hashes)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for hash, w := range clocks {
		if m, ok := settled[hash]; ok {
			counts[m.State]++
			continue
		}
		_, err := r.live.Waiting(ctx, r.corp, w.Key())
		if errors.Is(err, ledger.ErrAbsent) {
			r.note("media", ledger.Missing, hash+" of batch "+row.Key(), "open")
			continue
		}
		if err != nil {
			return nil, err
		}
		counts[stateWaiting]++
	}
	return counts, nil
}
