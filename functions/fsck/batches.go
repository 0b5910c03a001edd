package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// madeSlot is the slot of a row that fsck made anew: it makes process look again at what the batch's items were set aside for.
const madeSlot = "fsck"

// checkBatches walks the rows and the objects of a corp's batches side by side. Both are listed by first seq, last seq and hash, so that
// nothing need be remembered but what overlaps, and the ends of the chain.
func (p *pass) checkBatches(ctx context.Context) error {
	cursor, err := p.ledger.Cursor(ctx, p.corp) // before the rows: whatever it has gone over is among them
	if err != nil {
		return err
	}
	prefix := objstore.Batches + "corp=" + objstore.Escape(string(p.corp)) + "/"
	next, stop := iter.Pull2(p.store.List(ctx, prefix))
	defer stop()
	objects := &objects{next: next}
	if err := objects.skipTo(p.from); err != nil {
		return err
	}
	w := &walk{pass: p, chain: newChain(p.from == "", cursor.Chain)}
	var failed error
	err = p.ledger.Batches(ctx, p.corp, p.from, func(row ledger.BatchRow) bool {
		if p.late() {
			p.Next = row.Key()
			return false
		}
		failed = w.row(ctx, row, objects)
		return failed == nil
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if p.Next == "" {
		if err := w.extra(ctx, objects, ""); err != nil {
			return err
		}
	}
	if err := w.lookAgain(ctx); err != nil {
		return err
	}
	return w.endOfChain(ctx, cursor)
}

// objects is the listing of batches, one key at a time.
type objects struct {
	next func() (objstore.Version, error, bool)
	held []objstore.Version // all versions of one key, the newest first
	peek *objstore.Version
	done bool
}

// key is the next key, "" at the end.
func (o *objects) key() (string, error) {
	if len(o.held) > 0 {
		return o.held[0].Key, nil
	}
	for !o.done {
		v := o.peek
		o.peek = nil
		if v == nil {
			read, err, ok := o.next()
			if err != nil {
				return "", err
			}
			if !ok {
				o.done = true
				break
			}
			v = &read
		}
		if len(o.held) > 0 && o.held[0].Key != v.Key {
			o.peek = v
			break
		}
		o.held = append(o.held, *v)
	}
	if len(o.held) == 0 {
		return "", nil
	}
	return o.held[0].Key, nil
}

// take is the versions of the next key, which it passes.
func (o *objects) take() []objstore.Version {
	v := o.held
	o.held = nil
	return v
}

// skipTo passes the keys of batches below the one with the given name.
func (o *objects) skipTo(batch string) error {
	for batch != "" {
		key, err := o.key()
		if err != nil || key == "" {
			return err
		}
		if k, err := objstore.ParseBatchKey(key); err == nil && rowKey(k) >= batch {
			return nil
		}
		o.take()
	}
	return nil
}

func rowKey(k objstore.BatchKey) string { return k.First.Key() + "-" + k.Last.Key() + "-" + k.Hash }

// walk is the state of a walk over a corp's batches.
type walk struct {
	*pass
	chain    *chain
	previous ledger.BatchRow
	overlap  []texts // of batches that may reach into the next
	pending  []ledger.BatchRow
	strays   []stray
	groups   []ledger.AsideGroup
	grouped  bool
	covered  archive.Seq // the highest seq that a batch so far has
	gap      *gap        // that the next batch may close
}

// gap is a stretch of seqs that nobody asked for, as far as is known.
type gap struct {
	from, to archive.Seq // nothing was asked for above from up to to
	row      ledger.BatchRow
}

// asked looks at whether a batch was asked for as what follows the ones before it. Whoever moves a cursor forward by hand leaves a stretch that WeCom
// was never asked for: a jump in the seqs alone would not show it, since WeCom's own have jumps.
func (w *walk) asked(ctx context.Context, row ledger.BatchRow) {
	if g := w.gap; g != nil {
		if row.First == g.row.First && row.AfterKnown && row.After <= g.from {
			w.gap = nil // the same stretch was asked for as a whole
		} else if row.First > g.row.First {
			w.tellGap(ctx)
		}
	}
	begun := w.from == "" || w.previous.Corp != "" // before the first batch of a later part nothing is known
	if row.AfterKnown && row.After > w.covered && begun && w.chain.knows(row.Prev) && w.gap == nil {
		w.gap = &gap{from: w.covered, to: row.After, row: row}
	}
	w.covered = max(w.covered, row.Last)
}

func (w *walk) tellGap(ctx context.Context) {
	if w.gap == nil {
		return
	}
	g := *w.gap
	w.gap = nil
	w.find(ctx, Gap, g.row.Key(), Open, "WeCom was never asked for the seqs above %s up to %s: the cursor was moved over them by hand. Set it back to %s, as long as WeCom's window lasts", g.from, g.to, g.from)
}

// stray is an object of a batch without a row.
type stray struct {
	key    objstore.BatchKey
	object objstore.Version
	near   ledger.BatchRow // the row before it
}

// row checks one row and its object.
func (w *walk) row(ctx context.Context, row ledger.BatchRow, objects *objects) error {
	w.Batches++
	if err := w.extra(ctx, objects, row.Object); err != nil {
		return err
	}
	defer func() { w.previous = row }()
	w.asked(ctx, row)
	w.chain.add(row)
	if row.Link.N > 0 && row.Link != (ledger.Link{N: row.Link.N - 1, Hash: row.Prev}).Next(row.SHA256) {
		w.find(ctx, RowAltered, row.Key(), Open, "the row's link is not what follows from its own hash and the link before it")
	}
	key, err := objects.key()
	if err != nil {
		return err
	}
	if key != row.Object {
		w.find(ctx, BatchMissing, row.Object, Open, "the object of the batch with the seqs %s to %s is gone: restore it from a copy of the bucket", row.First, row.Last)
		return nil
	}
	all := objects.take()
	raw, err := w.store.Batch(ctx, objstore.Object{Key: row.Object, VersionID: row.Version, SHA256: row.SHA256})
	if errors.Is(err, objstore.ErrAbsent) {
		raw, row.Version, err = w.restored(ctx, row, all)
	}
	w.versions(ctx, row.Version, all)
	switch {
	case errors.Is(err, objstore.ErrAbsent):
		w.find(ctx, BatchMissing, row.Object, Open, "the version that was kept of the batch with the seqs %s to %s is gone: restore it from a copy of the bucket", row.First, row.Last)
		return nil
	case errors.Is(err, objstore.ErrAltered):
		w.find(ctx, BatchAltered, row.Object, Open, "the bytes in the store are not those that were kept: compare with a copy of the bucket, and ask who wrote there")
		return nil
	case err != nil:
		return err
	}
	batch, err := archive.ParseBatch(raw, row.First-1)
	if err != nil || len(batch.Items) != row.Items || batch.First() != row.First || batch.Last() != row.Last || len(raw) != row.Size {
		w.find(ctx, RowAltered, row.Key(), Open, "the row and the batch's own bytes disagree about its seqs, its number of items or its size")
		return nil
	}
	w.Seqs += len(batch.Items)
	w.compare(ctx, row, batch)
	if row.State == ledger.Pending {
		w.pending = append(w.pending, row)
		return nil
	}
	return w.contents(ctx, row, batch, true)
}

// restored looks for another version of a batch that has exactly its bytes: somebody has put it back. err wraps objstore.ErrAbsent if there
// is none.
func (w *walk) restored(ctx context.Context, row ledger.BatchRow, all []objstore.Version) (raw []byte, version string, err error) {
	for _, v := range all {
		if v.Marker || v.VersionID == row.Version {
			continue
		}
		raw, err := w.store.Batch(ctx, objstore.Object{Key: row.Object, VersionID: v.VersionID, SHA256: row.SHA256})
		if errors.Is(err, objstore.ErrAltered) || errors.Is(err, objstore.ErrAbsent) {
			continue
		}
		if err != nil {
			return nil, row.Version, err
		}
		if err := w.ledger.BatchRestored(ctx, row, v.VersionID); err != nil {
			return nil, row.Version, err
		}
		w.find(ctx, BatchMissing, row.Object, Mended, "the version that was kept was gone; version %s has the same bytes and takes its place", v.VersionID)
		return raw, v.VersionID, nil
	}
	return nil, row.Version, objstore.ErrAbsent
}

// versions looks for what lies over the version that was kept.
func (w *walk) versions(ctx context.Context, kept string, all []objstore.Version) {
	for _, v := range all {
		switch {
		case v.Marker:
			w.find(ctx, BatchWrittenOver, v.Key, Open, "a delete marker lies over the batch; the version that was kept is still there. Ask who set it")
		case v.VersionID != kept && kept != "":
			w.find(ctx, BatchWrittenOver, v.Key, Open, "version %s lies beside the one that was kept. Ask who wrote it", v.VersionID)
		}
	}
}

// extra takes the objects before a key that have no row.
func (w *walk) extra(ctx context.Context, objects *objects, before string) error {
	for {
		key, err := objects.key()
		if err != nil || key == "" || before != "" && key >= before {
			return err
		}
		all := objects.take()
		batch, err := objstore.ParseBatchKey(key)
		if err != nil {
			w.find(ctx, RowMissing, key, Open, "this object has no name of a batch: nothing of ours wrote it")
			continue
		}
		i := slices.IndexFunc(all, func(v objstore.Version) bool { return !v.Marker })
		if i < 0 {
			continue // markers over nothing
		}
		oldest := all[len(all)-1]
		if oldest.Marker {
			oldest = all[i]
		}
		w.versions(ctx, oldest.VersionID, all)
		w.strays = append(w.strays, stray{key: batch, object: oldest, near: w.previous})
	}
}

// lookAgain settles what may only have been on its way: objects whose row was about to be written, batches that somebody works on.
func (w *walk) lookAgain(ctx context.Context) error {
	if len(w.strays)+len(w.pending) == 0 {
		return nil
	}
	if err := w.rest(ctx); err != nil {
		return err
	}
	var adopted []ledger.BatchRow
	for _, s := range w.strays {
		row, err := w.ledger.Batch(ctx, w.corp, rowKey(s.key))
		if err == nil {
			w.chain.add(row)
			w.covered = max(w.covered, row.Last)
			continue
		}
		if !errors.Is(err, ledger.ErrAbsent) {
			return err
		}
		if !w.full && clock.Real().Sub(s.object.Time) < fresh { // S3 has the machine's own time
			continue
		}
		row, ok, err := w.made(ctx, s)
		if err != nil {
			return err
		}
		if ok {
			adopted = append(adopted, row)
		}
	}
	if err := w.adopt(ctx, adopted); err != nil {
		return err
	}
	for _, row := range w.pending {
		last := row.Pulled
		if row.Announced.After(last) {
			last = row.Announced
		}
		if !w.full && w.now().Sub(last) < fresh {
			continue
		}
		again, err := w.ledger.Batch(ctx, w.corp, row.Key())
		if err != nil {
			return err
		}
		if again.State != ledger.Pending {
			continue
		}
		if err := w.announce(ctx, again); err != nil {
			return err
		}
		if again.Failure != "" {
			w.find(ctx, AnnouncementMissing, row.Key(), Noted, "the batch is kept and can't be opened at present (%s): it is announced again", again.Failure)
			continue
		}
		w.find(ctx, AnnouncementMissing, row.Key(), Mended, "the batch was kept and not opened: it is announced again")
	}
	return nil
}

func (w *walk) announce(ctx context.Context, row ledger.BatchRow) error {
	if err := w.batches.Send(ctx, w.corp, queue.BatchJob{Corp: w.corp, Batch: row.Key()}); err != nil {
		return err
	}
	return w.ledger.BatchAnnounced(ctx, row, w.now())
}

// made is the row of an object that has none, but for its place in the chain. ok is false if the object is no batch of ours.
func (w *walk) made(ctx context.Context, s stray) (row ledger.BatchRow, ok bool, err error) {
	raw, err := w.store.Batch(ctx, objstore.Object{Key: s.object.Key, VersionID: s.object.VersionID})
	if errors.Is(err, objstore.ErrAltered) {
		w.find(ctx, BatchAltered, s.object.Key, Open, "a batch without a row, whose bytes are not those that were written")
		return row, false, nil
	}
	if err != nil {
		return row, false, err
	}
	batch, err := archive.ParseBatch(raw, s.key.First-1)
	if err != nil || len(batch.Items) == 0 || batch.First() != s.key.First || batch.Last() != s.key.Last {
		w.find(ctx, RowMissing, s.object.Key, Open, "an object without a row that is no whole batch of the seqs in its name")
		return row, false, nil
	}
	row = ledger.BatchRow{
		Corp: w.corp, First: batch.First(), Last: batch.Last(), Items: len(batch.Items), SHA256: archive.HashHex(raw), Size: len(raw),
		Object: s.object.Key, Version: s.object.VersionID, Slot: madeSlot,
		// When it was pulled and what was known then is lost with the row. The object's own time and the row before it are the nearest;
		// an earlier "caught up" only makes the clocks more careful.
		Pulled: s.object.Time, CaughtUp: s.near.CaughtUp,
	}
	if row.Pulled.Before(s.near.Pulled) {
		row.Pulled = s.near.Pulled
	}
	w.Seqs += len(batch.Items)
	w.compare(ctx, row, batch)
	return row, true, nil
}

// adopt records rows made anew. Those that close a gap of the chain have their place proven; the others stand outside the chain.
func (w *walk) adopt(ctx context.Context, rows []ledger.BatchRow) error {
	for len(rows) > 0 {
		n, prev := w.chain.place(rows)
		proven := n > 0
		for i := range max(n, 1) {
			row := rows[i]
			how := "its place in the chain is not known, so that it stands outside it"
			if proven {
				row.Prev, row.Link = prev.Hash, prev.Next(row.SHA256)
				prev = row.Link
				how = fmt.Sprintf("its place in the chain, %d, is proven by the links around it", row.Link.N)
			}
			kept, err := w.ledger.PutBatch(ctx, row)
			if err != nil {
				return err
			}
			w.chain.add(kept)
			w.covered = max(w.covered, kept.Last)
			if err := w.announce(ctx, kept); err != nil {
				return err
			}
			w.find(ctx, RowMissing, row.Object, Mended, "the batch had no row: it is made anew from the object, and the batch is announced; %s. The times of its pull are estimates", how)
		}
		rows = rows[max(n, 1):]
	}
	return nil
}

// endOfChain says what the chain lacks, once every row is known.
func (w *walk) endOfChain(ctx context.Context, cursor ledger.Cursor) error {
	whole := w.from == "" && w.Next == ""
	w.tellGap(ctx)
	for _, row := range w.chain.orphans() {
		w.find(ctx, ChainBroken, row.Key(), Open, "link %d has no predecessor: the row of batch %d is gone or was changed, and no object takes its place", row.Link.N, row.Link.N-1)
	}
	if !whole {
		return nil
	}
	if cursor.Chain.N > 0 && !w.chain.seen(cursor.Chain) {
		// A row may have been recorded and gone over between the reading of the cursor and the end of the walk, never the other way round.
		w.find(ctx, ChainBroken, cursor.Chain.Hash, Open, "the cursor stands on link %d, which no row has: the newest batches' rows are gone or were changed", cursor.Chain.N)
	}
	if w.chain.knows(cursor.Chain.Hash) && cursor.Seq > w.covered {
		w.find(ctx, Gap, cursor.Seq.String(), Open, "the cursor stands at seq %s, and nothing above %s was ever handed out: it was moved by hand. Set it back to %s, as long as WeCom's window lasts", cursor.Seq, w.covered, w.covered)
	}
	for _, row := range w.chain.leaves(cursor.Chain) {
		w.find(ctx, SideLeaf, row.Key(), Noted, "the chain goes past link %d of this batch: two invocations pulled at the same time, and both batches are kept", row.Link.N)
	}
	return nil
}

// texts is what one batch has for its seqs: hashes of the cipher texts.
type texts struct {
	batch string
	last  archive.Seq
	hash  map[archive.Seq]string
}

// compare looks for seqs that came with another cipher text in an earlier batch.
func (w *walk) compare(ctx context.Context, row ledger.BatchRow, batch archive.Batch) {
	w.overlap = slices.DeleteFunc(w.overlap, func(t texts) bool { return t.last < row.First })
	mine := texts{batch: row.Key(), last: row.Last, hash: make(map[archive.Seq]string, len(batch.Items))}
	for _, item := range batch.Items {
		hash := archive.HashHex([]byte(item.EncryptRandomKey + "\n" + item.EncryptChatMsg))
		mine.hash[item.Seq] = hash
		for _, t := range w.overlap {
			if other, ok := t.hash[item.Seq]; ok && other != hash {
				w.find(ctx, TwoTexts, item.Seq.String(), Open, "the seq came with two cipher texts, in batches %s and %s: both are kept", t.batch, mine.batch)
			}
		}
	}
	w.overlap = append(w.overlap, mine)
}

// chain follows the links of batches that come roughly in the order of their places. It remembers the ends that nothing has joined yet, and
// what was joined of late, since batches that were pulled at the same time lie close together.
type chain struct {
	head   ledger.Link // where the cursor stands
	begun  bool
	ends   map[string]ledger.BatchRow   // by a link's hash: nothing follows it yet
	gaps   map[string][]ledger.BatchRow // by the hash of the link before: it has not come yet
	joined map[string]bool
	order  []string        // of joined, oldest first
	forks  map[string]bool // hashes of links that more than one batch follows
}

// joinedMost bounds what is remembered of joined links.
const joinedMost = 10_000

func newChain(fromTheFirst bool, head ledger.Link) *chain {
	return &chain{head: head, begun: fromTheFirst, ends: map[string]ledger.BatchRow{}, gaps: map[string][]ledger.BatchRow{}, joined: map[string]bool{}, forks: map[string]bool{}}
}

func (c *chain) add(row ledger.BatchRow) {
	if row.Link.N == 0 {
		return // outside the chain
	}
	if c.joined[row.Prev] {
		c.forks[row.Prev] = true
	}
	if !c.begun {
		c.begun = true // the check goes on here: what lies before was checked
		c.join(row.Prev)
	}
	_, isEnd := c.ends[row.Prev]
	switch {
	case row.Prev == "" && row.Link.N == 1, isEnd, c.joined[row.Prev]:
		delete(c.ends, row.Prev)
		c.join(row.Prev)
	default:
		c.gaps[row.Prev] = append(c.gaps[row.Prev], row)
	}
	if followers := c.gaps[row.Link.Hash]; len(followers) > 0 {
		delete(c.gaps, row.Link.Hash)
		c.join(row.Link.Hash)
		c.forks[row.Link.Hash] = len(followers) > 1
		return
	}
	if !c.joined[row.Link.Hash] {
		c.ends[row.Link.Hash] = row
	}
}

func (c *chain) join(hash string) {
	if c.joined[hash] {
		return
	}
	c.joined[hash] = true
	if c.order = append(c.order, hash); len(c.order) > joinedMost {
		delete(c.joined, c.order[0])
		c.order = c.order[1:]
	}
}

// longestGap is how many batches in a row, all without rows, are tried as the missing part of the chain.
const longestGap = 1000

// place finds where the first of the given batches belongs: behind an end of the chain, such that it and those after it lead to a gap, or to
// the head. It returns how many of them do and the link before them; 0 when nothing proves a place.
func (c *chain) place(rows []ledger.BatchRow) (n int, before ledger.Link) {
	ends := []ledger.Link{{}}
	for _, row := range c.ends {
		ends = append(ends, row.Link)
	}
	for _, end := range ends {
		link := end
		for i, row := range rows[:min(len(rows), longestGap)] {
			link = link.Next(row.SHA256)
			if len(c.gaps[link.Hash]) > 0 || link == c.head {
				return i + 1, end
			}
		}
	}
	return 0, ledger.Link{}
}

// orphans are the rows whose predecessor never came.
func (c *chain) orphans() []ledger.BatchRow {
	var rows []ledger.BatchRow
	for _, followers := range c.gaps {
		rows = append(rows, followers...)
	}
	slices.SortFunc(rows, func(a, b ledger.BatchRow) int { return int(a.Link.N) - int(b.Link.N) }) // #nosec G115 -- places of batches
	return rows
}

func (c *chain) seen(l ledger.Link) bool {
	_, isEnd := c.ends[l.Hash]
	return isEnd || c.joined[l.Hash]
}

// knows says whether the batch of a link was met, or is none: what precedes the first.
func (c *chain) knows(hash string) bool { return hash == "" || c.seen(ledger.Link{Hash: hash}) }

// leaves are the ends beside which the corp's chain goes on.
func (c *chain) leaves(head ledger.Link) []ledger.BatchRow {
	var rows []ledger.BatchRow
	for hash, row := range c.ends {
		if hash != head.Hash && row.Link.N <= head.N && c.forks[row.Prev] {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b ledger.BatchRow) int { return int(a.Link.N) - int(b.Link.N) }) // #nosec G115 -- places of batches
	return rows
}
