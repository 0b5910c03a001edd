package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/derived"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// contents checks what became of the items of a batch that is done: each is in a segment or set aside, its message has a row, its
// attachments wait or have an outcome. again says that a batch which process is changing may be read once more.
func (w *walk) contents(ctx context.Context, row ledger.BatchRow, batch archive.Batch, again bool) error {
	opened, there, mendable, err := w.segments(ctx, row)
	if err != nil {
		return err
	}
	var rest []archive.ChatData
	for _, item := range batch.Items {
		if _, ok := opened[item.Seq]; !ok {
			rest = append(rest, item)
		}
	}
	aside, err := w.asides(ctx, row, len(rest) > 0)
	if err != nil {
		return err
	}
	var missing []ledger.Aside
	for _, item := range rest {
		if !aside[item.Seq] {
			missing = append(missing, ledger.Aside{
				Corp: w.corp, Reason: ledger.ReasonMissing, KeyVersion: item.KeyVersion, Seq: item.Seq, MsgID: item.MsgID, Batch: row.Key(), Index: item.Index,
				Since: w.now(), Clock: row.CaughtUp,
			})
		}
	}
	if len(missing) > 0 && again {
		fresh, err := w.ledger.Batch(ctx, w.corp, row.Key())
		if err != nil {
			return err
		}
		w.grouped = false
		return w.contents(ctx, fresh, batch, false)
	}
	if len(missing) > 0 {
		err := w.miss(ctx, row, missing, len(opened), len(rest), there, mendable)
		if err != nil {
			return err
		}
	}
	return w.derived(ctx, row, opened)
}

// miss puts items back to work that are neither archived nor set aside.
func (w *walk) miss(ctx context.Context, row ledger.BatchRow, missing []ledger.Aside, archived, aside int, segments []string, mendable bool) error {
	err := w.ledger.Miss(ctx, row, missing, archived, aside, segments)
	if errors.Is(err, ledger.ErrLost) {
		return nil // process is at work on the batch; the next check sees what came of it
	}
	if err != nil {
		return err
	}
	versions := map[archive.KeyVersion]bool{}
	for _, a := range missing {
		if !versions[a.KeyVersion] {
			versions[a.KeyVersion] = true
			if err := w.batches.Send(ctx, w.corp, queue.BatchJob{Corp: w.corp, Batch: row.Key(), Reason: a.Reason, KeyVersion: a.KeyVersion}); err != nil {
				return err
			}
		}
	}
	state, what := Mended, "they are set aside and opened again"
	if !mendable {
		// The segment's key holds other bytes now, and is never written over.
		state, what = Open, "they are set aside; the altered segment stands in the way of opening them again"
	}
	w.find(ctx, SeqMissing, row.Key(), state, "%d items, the first with seq %s, were neither archived nor set aside: %s", len(missing), missing[0].Seq, what)
	return nil
}

// segments reads the messages of a batch, and lists which of its segments are there. mendable is false when one is not what was written: its
// key can't be written again.
func (w *walk) segments(ctx context.Context, row ledger.BatchRow) (opened map[archive.Seq]archive.Message, there []string, mendable bool, err error) {
	opened, mendable = map[archive.Seq]archive.Message{}, true
	keys := slices.Clone(row.Segments)
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		name, err := objstore.ParseSegmentKey(key)
		if err != nil {
			w.find(ctx, RowAltered, row.Key(), Open, "the row names a segment by a key that is none")
			continue
		}
		lines, err := w.store.Segment(ctx, objstore.Object{Key: key})
		if errors.Is(err, objstore.ErrAbsent) {
			w.find(ctx, SegmentMissing, key, Mended, "the segment is gone: its items are opened again from the batch %s", row.Key())
			continue
		}
		if err != nil && !errors.Is(err, objstore.ErrAltered) {
			return nil, nil, false, err
		}
		there = append(there, key)
		var items []archive.SegmentItem
		if err == nil && archive.HashHex(lines)[:16] == name.Slice {
			items, err = archive.DecodeSegment(w.corp, lines)
		}
		if errors.Is(err, archive.ErrSegmentFormat) {
			return nil, nil, false, fmt.Errorf("segment %s of batch %s: %w", key, row.Key(), err) // a later version's: nothing is wrong with it
		}
		if err != nil || len(items) == 0 {
			mendable = false
			w.find(ctx, SegmentAltered, key, Open, "the segment of batch %s is not what was written: compare with a copy of the bucket, and ask who wrote there", row.Key())
			continue
		}
		for _, it := range items {
			opened[it.Message.Seq] = it.Message
		}
	}
	return opened, there, mendable, nil
}

// asides are the seqs of a batch that are set aside. They are looked up only where something must be.
func (w *walk) asides(ctx context.Context, row ledger.BatchRow, needed bool) (map[archive.Seq]bool, error) {
	seqs := map[archive.Seq]bool{}
	if !needed {
		return seqs, nil
	}
	if !w.grouped {
		groups, err := w.ledger.AsideGroups(ctx, w.corp)
		if err != nil {
			return nil, err
		}
		w.groups, w.grouped = groups, true
	}
	for _, g := range w.groups {
		rows, err := w.ledger.AsidesIn(ctx, row, g.First.Reason, g.First.KeyVersion)
		if err != nil {
			return nil, err
		}
		for _, a := range rows {
			seqs[a.Seq] = true
		}
	}
	return seqs, nil
}

// derived checks the rows that follow from a batch's messages.
func (w *walk) derived(ctx context.Context, row ledger.BatchRow, opened map[archive.Seq]archive.Message) error {
	items := make([]archive.SegmentItem, 0, len(opened))
	for _, m := range opened {
		items = append(items, archive.SegmentItem{Message: m})
	}
	slices.SortFunc(items, func(a, b archive.SegmentItem) int { return cmp.Compare(a.Message.Seq, b.Message.Seq) })
	rows := derived.Of(derived.Batch{Pulled: row.Pulled, CaughtUp: row.CaughtUp}, items)
	lacking, err := w.ledger.Lacking(ctx, row, rows, w.people)
	if err != nil {
		return err
	}
	if len(lacking.Messages)+len(lacking.Findings)+len(lacking.Consents) > 0 {
		if err := w.ledger.PutDerived(ctx, row, lacking, w.people); err != nil {
			return err
		}
		w.find(ctx, MessageMissing, row.Key(), Mended, "%d archived messages, %d findings and %d words of consent lacked rows%s: these are written again from the segment", len(lacking.Messages), len(lacking.Findings), len(lacking.Consents), firstSeq(lacking))
	}
	files := ledger.WaitingFor(w.corp, rows.Files)
	var hashes []string
	seen := map[string]bool{}
	for _, f := range files {
		if hash := f.FileID.Hash(); !seen[hash] {
			seen[hash] = true
			hashes = append(hashes, hash)
		}
	}
	return w.attachments(ctx, row, files, hashes)
}

// firstSeq says where the first of the messages or findings stands; a word of consent alone names no seq.
func firstSeq(rows derived.Rows) string {
	switch {
	case len(rows.Messages) > 0:
		return ", the first with seq " + rows.Messages[0].Seq.String()
	case len(rows.Findings) > 0:
		return ", the first with seq " + rows.Findings[0].Seq.String()
	default:
		return ""
	}
}

// attachments looks for those that messages name, that have no outcome and that do not wait.
func (w *walk) attachments(ctx context.Context, row ledger.BatchRow, files []ledger.Waiting, hashes []string) error {
	if len(files) == 0 {
		return nil
	}
	settled, err := w.ledger.Media(ctx, w.corp, hashes)
	if err != nil {
		return err
	}
	var forgotten []ledger.Waiting
	for _, f := range files {
		if _, ok := settled[f.FileID.Hash()]; ok {
			continue
		}
		_, err := w.ledger.Waiting(ctx, w.corp, f.Key())
		if errors.Is(err, ledger.ErrAbsent) {
			forgotten = append(forgotten, f)
		} else if err != nil {
			return err
		}
	}
	if len(forgotten) == 0 {
		return nil
	}
	// One that has just come in has its outcome by now, and is left out.
	waiting, err := w.ledger.PutWaiting(ctx, w.corp, forgotten)
	if err != nil {
		return err
	}
	for _, f := range waiting {
		if err := w.media.Send(ctx, w.corp, queue.MediaJob{Corp: w.corp, Waiting: f.Key()}); err != nil {
			return err
		}
	}
	if len(waiting) > 0 {
		w.find(ctx, MediaForgotten, row.Key(), Mended, "%d attachments had neither an outcome nor a row that they wait: they are asked for", len(waiting))
	}
	return nil
}

// nights is in how many nights every kept attachment has been read once. Each night looks at all of them by name and size, as far as its time
// goes.
const nights = 16

// checkMedia compares outcomes with objects. It begins with those that are to be read tonight and goes round: what one night has no time for is
// another night's beginning.
func (p *pass) checkMedia(ctx context.Context) error {
	tonight := "0123456789abcdef"[p.now().YearDay()%nights]
	for _, from := range []string{string(tonight), ""} {
		var failed error
		err := p.ledger.MediaFrom(ctx, p.corp, from, func(m ledger.MediaRow) bool {
			if from == "" && m.Hash[0] >= tonight {
				return false // the round is closed
			}
			if m.State != ledger.Kept {
				return true
			}
			if p.late() {
				p.cut = true
				return false
			}
			p.Media++
			failed = p.checkFile(ctx, m, p.full || m.Hash[0] == tonight)
			return failed == nil
		})
		if err := errors.Join(err, failed); err != nil {
			return err
		}
	}
	return nil
}

// readFile reads an attachment's bytes to their end, where their hash shows itself.
func (p *pass) readFile(ctx context.Context, object objstore.Object) error {
	content, err := p.store.OpenMedia(ctx, object)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, content)
	return errors.Join(err, content.Close())
}

// restoredFile looks for another version of an attachment that has exactly its bytes: somebody has put it back. The error wraps
// objstore.ErrAbsent if there is none.
func (p *pass) restoredFile(ctx context.Context, m ledger.MediaRow) error {
	all, err := p.store.Versions(ctx, m.Object)
	if err != nil {
		return err
	}
	for _, v := range all {
		if v.Marker || v.VersionID == m.Version {
			continue
		}
		err := p.readFile(ctx, objstore.Object{Key: m.Object, VersionID: v.VersionID, SHA256: m.SHA256})
		if errors.Is(err, objstore.ErrAltered) || errors.Is(err, objstore.ErrAbsent) {
			continue
		}
		if err != nil {
			return err
		}
		if err := p.ledger.MediaRestored(ctx, m, v.VersionID); err != nil {
			return err
		}
		p.find(ctx, MediaMissing, m.Object, Mended, "the version that was kept was gone; version %s has the same bytes and takes its place", v.VersionID)
		return nil
	}
	return fmt.Errorf("no version of %s has its bytes: %w", m.Object, objstore.ErrAbsent)
}

func (p *pass) checkFile(ctx context.Context, m ledger.MediaRow, read bool) error {
	object := objstore.Object{Key: m.Object, VersionID: m.Version, SHA256: m.SHA256}
	if !read {
		_, err := p.store.Current(ctx, m.Object)
		if errors.Is(err, objstore.ErrAbsent) {
			p.find(ctx, MediaMissing, m.Object, Open, "the object of a kept attachment is gone: restore it from a copy of the bucket")
			return nil
		}
		return err
	}
	err := p.readFile(ctx, object)
	if errors.Is(err, objstore.ErrAbsent) {
		err = p.restoredFile(ctx, m)
	}
	switch {
	case errors.Is(err, objstore.ErrAbsent):
		p.find(ctx, MediaMissing, m.Object, Open, "the object of a kept attachment is gone: restore it from a copy of the bucket")
	case errors.Is(err, objstore.ErrAltered):
		p.find(ctx, MediaAltered, m.Object, Open, "the bytes of a kept attachment are not those that were kept: compare with a copy of the bucket, and ask who wrote there")
	case err != nil:
		return err
	}
	return nil
}
