package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
)

// Entries calls f for the newest state of a corp's entries of one kind ("" for all), by kind and id.
func (l *Ledger) Entries(ctx context.Context, corp archive.CorpID, kind directory.Kind, f func(directory.Entry) bool) error {
	b := bounds{consistent: true}
	if kind != "" {
		b.prefix = string(kind) + "#"
	}
	return l.each(ctx, l.tables.Directory, directoryPK(corp), b, func(it item) bool { return f(entryOf(it)) })
}

// PutEntries records changed states: history first, then the newest state, so that a crash between leaves a state to write again. A state that
// was written to the history before such a crash keeps its time and is not begun twice. Of an entry that was seen in another state since, the newest state
// stays: a reading takes minutes, and a single room may be read meanwhile.
//
// It is for rooms, external contacts and robots: a department or member written by it is looked at as if for the first time by the next snapshot.
func (l *Ledger) PutEntries(ctx context.Context, corp archive.CorpID, entries []directory.Entry) error {
	entries, later, err := l.putHistory(ctx, corp, entries)
	if err != nil {
		return err
	}
	if err := l.indexHeads(ctx, corp, entries); err != nil {
		return err
	}
	var newest []item
	for i, e := range entries {
		if !later[i] {
			newest = append(newest, entryRow(directoryPK(corp), entrySK(e.Kind, e.ID), e))
		}
	}
	if err := l.write(ctx, l.tables.Directory, newest); err != nil {
		return fmt.Errorf("directory of corp %s: %w", corp, err)
	}
	return nil
}

// PutHistory records changed states in the history alone, and returns them with the times that they have there. The newest states follow,
// by PutHeld.
func (l *Ledger) PutHistory(ctx context.Context, corp archive.CorpID, entries []directory.Entry) ([]directory.Entry, error) {
	entries, _, err := l.putHistory(ctx, corp, entries)
	return entries, err
}

// putHistory is PutHistory, and says of which entries the history has a later state.
func (l *Ledger) putHistory(ctx context.Context, corp archive.CorpID, entries []directory.Entry) ([]directory.Entry, []bool, error) {
	entries, later, err := l.begun(ctx, corp, entries)
	if err != nil {
		return nil, nil, fmt.Errorf("directory history of corp %s: %w", corp, err)
	}
	var history []item
	for _, e := range entries {
		history = append(history, entryRow(historyPK(corp, e.Kind, e.ID), millis13(e.At), e))
	}
	if err := l.write(ctx, l.tables.Directory, history); err != nil {
		return nil, nil, fmt.Errorf("directory history of corp %s: %w", corp, err)
	}
	return entries, later, nil
}

// historiesAtOnce is how many histories are looked at together.
const historiesAtOnce = 16

// begun gives each state that the history has as its last one the time that it has there. later says of which entries the last one is of after the state given.
func (l *Ledger) begun(ctx context.Context, corp archive.CorpID, entries []directory.Entry) (out []directory.Entry, later []bool, err error) {
	out, later = slices.Clone(entries), make([]bool, len(entries))
	failed := make([]error, len(out))
	var all sync.WaitGroup
	room := make(chan struct{}, historiesAtOnce)
	for i := range out {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			defer fault.Catch(&failed[i])
			e := &out[i]
			failed[i] = l.each(ctx, l.tables.Directory, historyPK(corp, e.Kind, e.ID), bounds{descending: true, consistent: true, limit: 1}, func(it item) bool {
				last := entryOf(it)
				if last.Fields == e.Fields && last.Gone == e.Gone {
					e.At = last.At
				}
				later[i] = last.At.After(e.At)
				return false
			})
		})
	}
	all.Wait()
	return out, later, errors.Join(failed...)
}

// EntryHistory lists all states of an entry, the oldest first; none if it was never seen.
func (l *Ledger) EntryHistory(ctx context.Context, corp archive.CorpID, kind directory.Kind, id string) ([]directory.Entry, error) {
	var states []directory.Entry
	err := l.each(ctx, l.tables.Directory, historyPK(corp, kind, id), bounds{consistent: true}, func(it item) bool {
		states = append(states, entryOf(it))
		return true
	})
	return states, err
}

func historyPK(corp archive.CorpID, kind directory.Kind, id string) string {
	return "hist#" + corp.KeyPart() + "#" + string(kind) + "#" + id
}

func entryRow(pk, sk string, e directory.Entry) item {
	it := key(pk, sk)
	it["kind"], it["id"], it["at"], it["fields"], it["gone"] = str(string(e.Kind)), str(e.ID), when(e.At), str(e.Fields), boolean(e.Gone)
	return it
}

func entryOf(it item) directory.Entry {
	return directory.Entry{Kind: directory.Kind(getStr(it, "kind")), ID: getStr(it, "id"), At: getTime(it, "at"), Fields: getStr(it, "fields"), Gone: getBool(it, "gone")}
}

// Snapshot is one reading of the whole directory.
type Snapshot struct {
	Corp    archive.CorpID
	At      time.Time // when it began
	Until   time.Time // when the last answer was there; zero: looks were not kept of it
	Object  string    // where the answers are kept
	Version string
	Counts  directory.Counts
	Settled bool // all that follows from it is written

	row string // where it was read from, "" if it was not
}

// Glances are the lists that the snapshot read completely; none if its looks were not kept.
func (s Snapshot) Glances() []directory.Glance {
	if s.Until.IsZero() {
		return nil
	}
	return s.Counts.Glances(s.At, s.Until)
}

// rowKey is the sort key of the snapshot's row, and its counts as they are written.
func (s Snapshot) rowKey() (row, counts string, err error) {
	if counts, err = s.Counts.Text(); err != nil {
		return "", "", fmt.Errorf("write the counts of a snapshot of corp %s: %w", s.Corp, err)
	}
	if s.row != "" {
		return s.row, counts, nil
	}
	return millis13(s.At) + "#" + millis13(s.Until) + "#" + archive.HashHex([]byte(s.Object + "\n" + counts))[:8], counts, nil
}

// PutSnapshot writes a snapshot's row. Two that began in one millisecond are two rows: a row that another reading wrote over would take its lists, and with them
// what they say of everybody, out of the history. One that was read is written where it was.
func (l *Ledger) PutSnapshot(ctx context.Context, s Snapshot) error {
	row, counts, err := s.rowKey()
	if err != nil {
		return err
	}
	return l.put(ctx, l.tables.Directory, snapshotRow(snapshotPK(s.Corp), row, s, counts), "", nil)
}

func snapshotRow(pk, sk string, s Snapshot, counts string) item {
	it := key(pk, sk)
	it["corp"], it["at"], it["object"], it["version"], it["counts"] = str(string(s.Corp)), when(s.At), str(s.Object), str(s.Version), str(counts)
	it["until"], it["settled"] = when(s.Until), boolean(s.Settled)
	return it
}

func snapshotOf(it item) (Snapshot, error) {
	s := Snapshot{Corp: archive.CorpID(getStr(it, "corp")), At: getTime(it, "at"), Until: getTime(it, "until"), Object: getStr(it, "object"), Version: getStr(it, "version"),
		Settled: getBool(it, "settled"), row: getStr(it, "sk")}
	var err error
	if s.Counts, err = directory.ParseCounts(getStr(it, "counts")); err != nil {
		return s, fmt.Errorf("snapshot %s of corp %s: %w", stamp(s.At), s.Corp, err)
	}
	return s, nil
}

// Latest is the snapshot of a corp that was recorded last, and the number of how many were. The zero value: none was.
type Latest struct {
	Snapshot
	Rev uint64
}

// Has says whether a snapshot that was read is the row of this one.
func (l Latest) Has(s Snapshot) bool { return s.row == l.row }

// LatestSnapshot is the snapshot that was recorded last. Whoever recorded it may have died before its own row was written: PutSnapshot writes it.
func (l *Ledger) LatestSnapshot(ctx context.Context, corp archive.CorpID) (latest Latest, err error) {
	var bad error
	err = l.each(ctx, l.tables.Directory, latestPK(corp), bounds{consistent: true, limit: 1}, func(it item) bool {
		latest.Rev = getNum(it, "rev")
		if latest.Snapshot, bad = snapshotOf(it); bad == nil {
			latest.row = ""
			latest.row, _, bad = latest.rowKey()
		}
		return false
	})
	return latest, errors.Join(err, bad)
}

// RecordSnapshot records a snapshot as the one after the one that was read as after; ErrLost says that another has been recorded since. What a list is not
// said to say of an entry is what it said in the snapshot before, so that no two may be held against the same one. Its own row follows by PutSnapshot.
func (l *Ledger) RecordSnapshot(ctx context.Context, s Snapshot, after Latest) error {
	_, counts, err := s.rowKey()
	if err != nil {
		return err
	}
	it := snapshotRow(latestPK(s.Corp), latestSK, s, counts)
	it["rev"] = num(after.Rev + 1)
	condition, values := "attribute_not_exists(pk)", item(nil)
	if after.Rev > 0 {
		condition, values = "rev = :rev", item{":rev": num(after.Rev)}
	}
	err = l.put(ctx, l.tables.Directory, it, condition, values)
	if row, refused := refusedRow(err); refused {
		same := getNum(row, "rev") == after.Rev+1
		for _, name := range []string{"at", "until", "object", "version", "counts"} {
			same = same && getStr(row, name) == getStr(it, name)
		}
		if !same { // else its own first attempt, or the same reading
			return fmt.Errorf("snapshot of corp %s: %w", s.Corp, ErrLost)
		}
	} else if err != nil {
		return err
	}
	return nil
}

// DirectoryRead is when a corp's directory was last read as a whole; zero: never.
func (l *Ledger) DirectoryRead(ctx context.Context, corp archive.CorpID) (at time.Time, err error) {
	err = l.each(ctx, l.tables.Directory, snapshotPK(corp), bounds{descending: true, consistent: true, limit: 1}, func(it item) bool {
		at = getTime(it, "at")
		return false
	})
	return at, err
}

// NewestSnapshot is a corp's newest snapshot of which wanted is true; ok is false if there is none. It reads few rows where the newest one is it.
func (l *Ledger) NewestSnapshot(ctx context.Context, corp archive.CorpID, wanted func(Snapshot) bool) (s Snapshot, ok bool, err error) {
	for _, most := range []int{1, 0} {
		var bad error
		err = l.each(ctx, l.tables.Directory, snapshotPK(corp), bounds{descending: true, consistent: true, limit: most}, func(it item) bool {
			if s, bad = snapshotOf(it); bad == nil {
				ok = wanted(s)
			}
			return bad == nil && !ok
		})
		if err = errors.Join(err, bad); err != nil || ok {
			return s, ok, err
		}
	}
	return Snapshot{}, false, nil
}

// Snapshots calls f for a corp's snapshots, the newest first.
func (l *Ledger) Snapshots(ctx context.Context, corp archive.CorpID, f func(Snapshot) bool) error {
	return l.SnapshotsSince(ctx, corp, time.Time{}, f)
}

// SnapshotsSince is Snapshots for those that began at a time or later.
func (l *Ledger) SnapshotsSince(ctx context.Context, corp archive.CorpID, from time.Time, f func(Snapshot) bool) error {
	var bad error
	err := l.each(ctx, l.tables.Directory, snapshotPK(corp), bounds{from: millis13(from), descending: true, consistent: true}, func(it item) bool {
		var s Snapshot
		if s, bad = snapshotOf(it); bad != nil {
			return false
		}
		return f(s)
	})
	if err == nil {
		err = bad
	}
	return err
}
