package main

import (
	"cmp"
	"context"
	"crypto/md5" // #nosec G501 -- what WeCom's messages give, to be compared with, and no protection
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/derived"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/progress"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// rebuilder makes a corp's ledger anew from what the bucket, the derived rows and the key store hold. It writes no row over another.
type rebuilder struct {
	*program
	corp     archive.CorpID
	segments map[string][]string         // keys by the hash of their batch
	asides   map[string][]ledger.Aside   // by batch
	proven   map[archive.KeyVersion]bool // versions that were seen, and whether something under them was opened
	waiting  map[string]ledger.Waiting   // as they would wait, by hash
	rows     []ledger.BatchRow
	there    map[string]ledger.BatchRow // batches whose rows survived: only the cursor is lost, or an earlier rebuild was killed
	pending  int
	items    int
}

// rebuild is for the day when the table is lost and there is no backup: a restored table knows more. What can't be had from anywhere is said.
func rebuild(ctx context.Context, p *program, args []string) error {
	if len(args) > 0 && args[0] == "directory" {
		return rebuildDirectory(ctx, p, args[1:])
	}
	if len(args) > 0 && args[0] == "consent" {
		return rebuildConsent(ctx, p, args[1:])
	}
	f := flags("rebuild")
	id, kmsKey := f.String("corp", "", ""), f.String("kms-key", "", "")
	if err := parse(f, args); err != nil {
		return err
	}
	if *id == "" {
		return &usageError{"rebuild: -corp ID is needed"}
	}
	r := &rebuilder{program: p, corp: archive.CorpID(*id), segments: map[string][]string{}, asides: map[string][]ledger.Aside{}, proven: map[archive.KeyVersion]bool{},
		waiting: map[string]ledger.Waiting{}, there: map[string]ledger.BatchRow{}}
	if err := p.audit(ctx, "rebuild", r.corp, "ledger"); err != nil {
		return err
	}
	there, err := p.ledger.HasControlTable(ctx)
	if err != nil {
		return err
	}
	if !there {
		if *kmsKey == "" {
			return fmt.Errorf("the table %s is lost. Restore it from its past or from a backup if there is one; else rebuild -kms-key ARN, with the ARN of the stack's ControlKey, makes it again, empty, and fills it", p.tables.Control)
		}
		if err := p.ledger.MakeControlTable(ctx, *kmsKey); err != nil {
			return err
		}
	}
	cursor, err := p.ledger.Cursor(ctx, r.corp)
	if err != nil {
		return err
	}
	if cursor.Seq > 0 {
		return fmt.Errorf("corp %s has a ledger, whose cursor stands at seq %s: vaultctl fsck mends single rows of it", r.corp, cursor.Seq)
	}
	return r.run(ctx)
}

func (r *rebuilder) run(ctx context.Context) error {
	if err := r.look(ctx); err != nil {
		return err
	}
	if len(r.rows) == 0 {
		return fmt.Errorf("the bucket has no batch of corp %s", r.corp)
	}
	link, err := r.head(ctx)
	if err != nil {
		return err
	}
	line := progress.New(r.log, fmt.Sprintf("rebuild of corp %s", r.corp), "batches", int64(len(r.rows)))
	var last archive.Seq
	for i := range r.rows {
		if err := r.batch(ctx, &r.rows[i], &link); err != nil {
			line.Done()
			return err
		}
		last = max(last, r.rows[i].Last)
		line.Add(1)
	}
	line.Done()
	kept, asked, err := r.attachments(ctx)
	if err != nil {
		return err
	}
	held, err := r.keys(ctx)
	if err != nil {
		return err
	}
	if err := r.cursor(ctx, last, link); err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.out, "corp %s: %d batches with %d items have their rows again, %d of them pending (watch announces those); %d attachments are kept, %d are asked for again; %d key versions; the cursor stands at %s\n"+
		"What only lost rows knew: the chain's links (made anew in the order of the seqs: their hashes are not those of before), the times of pulls (the objects' own), when the corp was caught up, "+
		"which attachments WeCom had refused, which reports and mails went out (today's may go out again), alarms, and the corp's settings.\n"+
		"Now: vaultctl corps add -corp %s -secret-file FILE -report-to …; then vaultctl fsck and vaultctl replay\n",
		r.corp, len(r.rows), r.items, r.pending, kept, asked, held, last, r.corp)
	return err
}

// look lists what there is: batches, segments, items set aside.
func (r *rebuilder) look(ctx context.Context) error {
	found := map[string]bool{}
	for v, err := range r.store.List(ctx, objstore.Batches+"corp="+objstore.Escape(string(r.corp))+"/") {
		if err != nil {
			return err
		}
		key, err := objstore.ParseBatchKey(v.Key)
		if err != nil || v.Marker {
			continue // fsck names it
		}
		row := ledger.BatchRow{Corp: r.corp, First: key.First, Last: key.Last, SHA256: key.Hash, Object: v.Key, Version: v.VersionID, Pulled: v.Time}
		if found[v.Key] { // an older version comes after a newer one: it is what was kept
			r.rows[len(r.rows)-1] = row
			continue
		}
		found[v.Key] = true
		r.rows = append(r.rows, row)
	}
	for v, err := range r.store.List(ctx, objstore.Segments) {
		if err != nil {
			return err
		}
		if key, err := objstore.ParseSegmentKey(v.Key); err == nil && key.Corp == r.corp && !v.Marker && !slices.Contains(r.segments[key.BatchHash], v.Key) {
			r.segments[key.BatchHash] = append(r.segments[key.BatchHash], v.Key)
		}
	}
	return r.ledger.Asides(ctx, r.corp, "", 0, func(a ledger.Aside) bool {
		r.asides[a.Batch] = append(r.asides[a.Batch], a)
		return true
	})
}

// head is where the chain of the rows that survived ends. Rows that are made follow it, so that they have to be of later batches than those.
func (r *rebuilder) head(ctx context.Context) (head ledger.Link, err error) {
	err = r.ledger.Batches(ctx, r.corp, "", func(b ledger.BatchRow) bool {
		r.there[b.Key()] = b
		if b.Link.N >= head.N {
			head = b.Link
		}
		return true
	})
	if err != nil {
		return head, err
	}
	lacks, known := "", 0
	for _, b := range r.rows {
		_, ok := r.there[b.Key()]
		if ok && lacks != "" {
			return head, fmt.Errorf("batches have rows, but %s, which came before one of them, has none: vaultctl fsck finds its place in the chain and makes its row; then run this again", lacks)
		}
		if ok {
			known++
		} else if lacks == "" {
			lacks = b.Object
		}
	}
	if known < len(r.there) {
		return head, fmt.Errorf("%d batches have rows and no objects: restore them from a copy of the bucket first; vaultctl fsck names them", len(r.there)-known)
	}
	return head, nil
}

// batch makes the row of one batch. It is done if each of its items is in a segment or set aside, and pending otherwise: process does the rest.
func (r *rebuilder) batch(ctx context.Context, row *ledger.BatchRow, link *ledger.Link) error {
	raw, err := r.store.Batch(ctx, objstore.Object{Key: row.Object, VersionID: row.Version})
	if err != nil {
		return fmt.Errorf("the batch %s can't be read, and the ledger would have a hole: restore it from a copy of the bucket first: %w", row.Object, err)
	}
	batch, err := archive.ParseBatch(raw, row.First-1)
	if err != nil || len(batch.Items) == 0 || batch.First() != row.First || batch.Last() != row.Last {
		return errors.Join(err, fmt.Errorf("%s is no whole batch of the seqs in its name: restore it from a copy of the bucket first", row.Object))
	}
	row.SHA256, row.Size, row.Items = archive.HashHex(raw), len(raw), len(batch.Items)
	for _, a := range r.asides[row.Key()] {
		row.CaughtUp = a.Clock // all items of a batch began to age at the same time
	}
	var opened []archive.SegmentItem
	archived := map[archive.Seq]bool{}
	for _, key := range r.segments[row.SHA256[:32]] {
		items, err := r.segment(ctx, key)
		if err != nil {
			return err
		}
		if items == nil {
			continue // not what was written: its items are opened again
		}
		row.Segments = append(row.Segments, key)
		for _, it := range items {
			if !archived[it.Message.Seq] {
				archived[it.Message.Seq] = true
				opened = append(opened, it)
			}
		}
	}
	aside := map[archive.Seq]bool{}
	for _, a := range r.asides[row.Key()] {
		aside[a.Seq] = !archived[a.Seq]
	}
	row.State, row.Slot = ledger.Done, ""
	for _, item := range batch.Items {
		r.proven[item.KeyVersion] = r.proven[item.KeyVersion] || archived[item.Seq]
		switch {
		case archived[item.Seq]:
			row.Archived++
		case aside[item.Seq]:
			row.SetAside++
		default:
			row.State, row.Slot = ledger.Pending, "rebuild" // process looks again at what was set aside before
		}
	}
	if row.State == ledger.Pending {
		row.Archived, row.SetAside, row.Segments = 0, 0, nil
		r.pending++
	}
	if _, survived := r.there[row.Key()]; !survived {
		row.Prev, row.Link = link.Hash, link.Next(row.SHA256)
		*link = row.Link
	}
	r.items += row.Items
	rows := derived.Of(derived.Batch{Pulled: row.Pulled, CaughtUp: row.CaughtUp}, opened)
	for _, w := range ledger.WaitingFor(r.corp, rows.Files) {
		hash := w.FileID.Hash()
		if old, again := r.waiting[hash]; !again || w.Clock.Before(old.Clock) {
			r.waiting[hash] = w
		}
	}
	return r.ledger.RestoreBatch(ctx, *row)
}

// segment reads a segment, nil if it is not what was written, or is gone: its key is still listed if it was deleted in a bucket that keeps versions.
func (r *rebuilder) segment(ctx context.Context, key string) ([]archive.SegmentItem, error) {
	name, err := objstore.ParseSegmentKey(key)
	if err != nil {
		return nil, err
	}
	lines, err := r.store.Segment(ctx, objstore.Object{Key: key})
	if errors.Is(err, objstore.ErrAltered) || errors.Is(err, objstore.ErrAbsent) || err == nil && archive.HashHex(lines)[:16] != name.Slice {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	items, err := archive.DecodeSegment(r.corp, lines)
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w", key, err)
	}
	return items, nil
}

// attachments settles those whose object is there; the others wait, and WeCom says again whether it still has them.
func (r *rebuilder) attachments(ctx context.Context) (kept, asked int, err error) {
	line := progress.New(r.log, fmt.Sprintf("attachments of corp %s", r.corp), "files", int64(len(r.waiting)))
	defer line.Done()
	var missing []ledger.Waiting
	for hash, w := range r.waiting {
		m, err := r.attachment(ctx, hash)
		line.Add(1)
		if errors.Is(err, objstore.ErrAbsent) {
			missing = append(missing, w)
			continue
		}
		if err != nil {
			return kept, asked, err
		}
		if err := r.ledger.SettleMedia(ctx, w, m); err != nil {
			return kept, asked, err
		}
		kept++
	}
	slices.SortFunc(missing, func(a, b ledger.Waiting) int { return cmp.Compare(a.Key(), b.Key()) })
	waiting, err := r.ledger.PutWaiting(ctx, r.corp, missing)
	return kept, len(waiting), err
}

// attachment is the outcome of one whose object is there.
func (r *rebuilder) attachment(ctx context.Context, hash string) (ledger.MediaRow, error) {
	key := objstore.MediaKey(r.corp, hash)
	body, object, err := r.store.ReadMedia(ctx, key)
	if err != nil {
		return ledger.MediaRow{}, err
	}
	sha, sum := sha256.New(), md5.New() // #nosec G401 -- see the import
	size, err := io.Copy(io.MultiWriter(sha, sum), body)
	if err := errors.Join(err, body.Close()); err != nil {
		return ledger.MediaRow{}, fmt.Errorf("read %s: %w", key, err)
	}
	all, err := r.store.Versions(ctx, key)
	if err != nil {
		return ledger.MediaRow{}, err
	}
	var at time.Time
	for _, v := range all {
		if v.VersionID == object.VersionID {
			at = v.Time
		}
	}
	m := ledger.MediaRow{Corp: r.corp, Hash: hash, State: ledger.Kept, Size: size, SHA256: hex.EncodeToString(sha.Sum(nil)), MD5: hex.EncodeToString(sum.Sum(nil)), Object: key, Version: object.VersionID, At: at}
	if object.SHA256 != "" && object.SHA256 != m.SHA256 {
		return m, fmt.Errorf("the attachment %s is not what was written: restore it from a copy of the bucket first", key)
	}
	return m, nil
}

// keys records the versions that the key store holds, of those that were seen.
func (r *rebuilder) keys(ctx context.Context) (held int, err error) {
	for version, proven := range r.proven {
		key, err := r.vault.Key(ctx, r.corp, version)
		if errors.Is(err, secrets.ErrAbsent) {
			continue
		}
		if err != nil {
			return held, err
		}
		print, err := fingerprint(key)
		if err != nil {
			return held, err
		}
		if err := r.ledger.PutKey(ctx, r.corp, ledger.KeyRow{Version: version, Fingerprint: print, Proven: proven}); err != nil {
			return held, err
		}
		held++
	}
	return held, nil
}

// cursor sets the cursor behind the last batch, under a lease of its own.
func (r *rebuilder) cursor(ctx context.Context, last archive.Seq, head ledger.Link) error {
	seen, err := r.ledger.AskLease(ctx, r.corp, r.actor)
	if err != nil {
		return err
	}
	lease, cursor, err := r.ledger.TakeLease(ctx, r.corp, r.actor, seen)
	if err != nil {
		return err
	}
	if _, err := r.ledger.Advance(ctx, lease, cursor.Seq, last, head, ledger.Poll{}); err != nil {
		return err
	}
	return r.ledger.Release(ctx, lease)
}
