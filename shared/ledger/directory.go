package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// The kinds of directory entry.
const (
	EntryDepartment = "department"
	EntryMember     = "member"
	EntryExternal   = "external"
	EntryRoom       = "room"
	EntryRobot      = "robot"
)

// Entry is the state of one department, member, external contact, room or robot from At on. Fields is the state itself as canonical JSON, whose
// form the directory function owns.
type Entry struct {
	Kind   string
	ID     string
	At     time.Time
	Fields string
	Gone   bool // it was there before and is not any more
}

// Entries calls f for the newest state of a corp's entries of one kind ("" for all), by kind and id.
func (l *Ledger) Entries(ctx context.Context, corp archive.CorpID, kind string, f func(Entry) bool) error {
	b := bounds{consistent: true}
	if kind != "" {
		b.prefix = kind + "#"
	}
	return l.each(ctx, l.tables.Directory, directoryPK(corp), b, func(it item) bool { return f(entryOf(it)) })
}

// PutEntries records changed states: history first, then the newest state, so that a crash between leaves a state to write again.
func (l *Ledger) PutEntries(ctx context.Context, corp archive.CorpID, entries []Entry) error {
	var history, newest []item
	for _, e := range entries {
		history = append(history, e.row(historyPK(corp, e.Kind, e.ID), millis13(e.At)))
		newest = append(newest, e.row(directoryPK(corp), e.Kind+"#"+e.ID))
	}
	if err := l.write(ctx, l.tables.Directory, history); err != nil {
		return fmt.Errorf("directory history of corp %s: %w", corp, err)
	}
	if err := l.write(ctx, l.tables.Directory, newest); err != nil {
		return fmt.Errorf("directory of corp %s: %w", corp, err)
	}
	return nil
}

// EntryAt is the state of an entry at a time; before its first state, the first. It returns an error that wraps ErrAbsent if it was never
// seen.
func (l *Ledger) EntryAt(ctx context.Context, corp archive.CorpID, kind, id string, at time.Time) (Entry, error) {
	var found Entry
	ok := false
	take := func(it item) bool {
		found, ok = entryOf(it), true
		return false
	}
	pk := historyPK(corp, kind, id)
	if err := l.each(ctx, l.tables.Directory, pk, bounds{from: millis13(time.Time{}), to: millis13(at), descending: true, limit: 1, consistent: true}, take); err != nil {
		return Entry{}, err
	}
	if !ok {
		if err := l.each(ctx, l.tables.Directory, pk, bounds{limit: 1, consistent: true}, take); err != nil {
			return Entry{}, err
		}
	}
	if !ok {
		return Entry{}, fmt.Errorf("%s %s of corp %s: %w", kind, id, corp, ErrAbsent)
	}
	return found, nil
}

// EntryHistory lists all states of an entry, the oldest first.
func (l *Ledger) EntryHistory(ctx context.Context, corp archive.CorpID, kind, id string) ([]Entry, error) {
	var states []Entry
	err := l.each(ctx, l.tables.Directory, historyPK(corp, kind, id), bounds{consistent: true}, func(it item) bool {
		states = append(states, entryOf(it))
		return true
	})
	return states, err
}

func historyPK(corp archive.CorpID, kind, id string) string {
	return "hist#" + corp.KeyPart() + "#" + kind + "#" + id
}

func (e Entry) row(pk, sk string) item {
	it := key(pk, sk)
	it["kind"], it["id"], it["at"], it["fields"], it["gone"] = str(e.Kind), str(e.ID), when(e.At), str(e.Fields), boolean(e.Gone)
	return it
}

func entryOf(it item) Entry {
	return Entry{Kind: getStr(it, "kind"), ID: getStr(it, "id"), At: getTime(it, "at"), Fields: getStr(it, "fields"), Gone: getBool(it, "gone")}
}

// Snapshot is one reading of the whole directory.
type Snapshot struct {
	Corp    archive.CorpID
	At      time.Time
	Object  string // where the answers are kept
	Version string
	Counts  string // canonical JSON: how many of each kind, and what could not be read
}

// PutSnapshot records a snapshot.
func (l *Ledger) PutSnapshot(ctx context.Context, s Snapshot) error {
	it := key(snapshotPK(s.Corp), millis13(s.At))
	it["corp"], it["at"], it["object"], it["version"], it["counts"] = str(string(s.Corp)), when(s.At), str(s.Object), str(s.Version), str(s.Counts)
	return l.put(ctx, l.tables.Directory, it, "", nil)
}

// Snapshots calls f for a corp's snapshots, the newest first.
func (l *Ledger) Snapshots(ctx context.Context, corp archive.CorpID, f func(Snapshot) bool) error {
	return l.each(ctx, l.tables.Directory, snapshotPK(corp), bounds{descending: true, consistent: true}, func(it item) bool {
		return f(Snapshot{Corp: archive.CorpID(getStr(it, "corp")), At: getTime(it, "at"), Object: getStr(it, "object"), Version: getStr(it, "version"), Counts: getStr(it, "counts")})
	})
}
