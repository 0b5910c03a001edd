package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// HRFile is one version of a company's own file about its people, as it was put into force. The newest one is in force.
type HRFile struct {
	Corp    archive.CorpID
	Number  int    // from 1; each is one more than the last
	SHA256  string // lower-case hex, of the file as it was handed in
	Object  string // where that is kept
	Version string // version id of the object
	Size    int    // bytes
	Rows    int    // people that it names
	By      string // who put it into force, as in the audit stream
	At      time.Time
	From    int // the version whose file was put back; 0: it was handed in
}

// HRFiles calls f for the versions of a company's own file, the newest first: that one is in force.
func (l *Ledger) HRFiles(ctx context.Context, corp archive.CorpID, f func(HRFile) bool) error {
	return l.each(ctx, l.tables.Control, hrFilePK(corp), bounds{descending: true, consistent: true}, func(it item) bool { return f(hrFileOf(it)) })
}

// HRFile reads one version, or returns an error that wraps ErrAbsent.
func (l *Ledger) HRFile(ctx context.Context, corp archive.CorpID, number int) (HRFile, error) {
	it, err := l.get(ctx, l.tables.Control, hrFilePK(corp), hrFileSK(number))
	if err != nil {
		return HRFile{}, err
	}
	return hrFileOf(it), nil
}

// HRFileInForce reads the newest version; ok is false if the company never handed in a file.
func (l *Ledger) HRFileInForce(ctx context.Context, corp archive.CorpID) (newest HRFile, ok bool, err error) {
	err = l.HRFiles(ctx, corp, func(h HRFile) bool {
		newest, ok = h, true
		return false
	})
	return newest, ok, err
}

// PutHRFile puts a file into force as the version h.Number, which has to be one more than the newest one, or it returns ErrLost. It returns the version that
// holds the file: if that number is taken by the same content, it was done before; if the newest one has the same content, there is nothing to do.
func (l *Ledger) PutHRFile(ctx context.Context, h HRFile) (HRFile, error) {
	newest, _, err := l.HRFileInForce(ctx, h.Corp)
	if err != nil {
		return HRFile{}, err
	}
	switch {
	case newest.Number >= h.Number:
		there, err := l.HRFile(ctx, h.Corp, h.Number)
		if err != nil && !errors.Is(err, ErrAbsent) {
			return HRFile{}, err
		}
		if err == nil && there.SHA256 == h.SHA256 {
			return there, nil
		}
		return HRFile{}, fmt.Errorf("put version %d of the HR file of corp %s into force: %w", h.Number, h.Corp, ErrLost)
	case newest.Number+1 < h.Number:
		return HRFile{}, fmt.Errorf("put version %d of the HR file of corp %s into force: %w", h.Number, h.Corp, ErrLost)
	case newest.Number > 0 && newest.SHA256 == h.SHA256:
		return newest, nil
	}
	it := key(hrFilePK(h.Corp), hrFileSK(h.Number))
	it["corp"], it["number"], it["sha256"], it["object"], it["version"] = str(string(h.Corp)), count(h.Number), str(h.SHA256), str(h.Object), str(h.Version)
	it["size"], it["rows"], it["by"], it["at"], it["from"] = count(h.Size), count(h.Rows), str(h.By), when(h.At), count(h.From)
	err = l.put(ctx, l.tables.Control, it, "attribute_not_exists(pk)", nil)
	if row, refused := refusedRow(err); refused {
		if there := hrFileOf(row); there.SHA256 == h.SHA256 {
			return there, nil // our own first attempt, or somebody's with the same file
		}
		return HRFile{}, fmt.Errorf("put version %d of the HR file of corp %s into force: %w", h.Number, h.Corp, ErrLost)
	}
	if err != nil {
		return HRFile{}, err
	}
	h.At = h.At.UTC().Truncate(time.Millisecond)
	return h, nil
}

func hrFileOf(it item) HRFile {
	return HRFile{
		Corp: archive.CorpID(getStr(it, "corp")), Number: getCount(it, "number"), SHA256: getStr(it, "sha256"), Object: getStr(it, "object"), Version: getStr(it, "version"),
		Size: getCount(it, "size"), Rows: getCount(it, "rows"), By: getStr(it, "by"), At: getTime(it, "at"), From: getCount(it, "from"),
	}
}

// MembersAfter calls f for the newest states of a corp's members whose userids come after one, in the order of the userids' bytes; "" begins at the first.
func (l *Ledger) MembersAfter(ctx context.Context, corp archive.CorpID, after string, f func(directory.Entry) bool) error {
	// A byte below all that a userid may have, so that the one itself is left out; and the first that no key of a member has.
	from, to := entrySK(directory.KindMember, after+"\x01"), entrySK(directory.KindMember, "\U0010ffff")
	return l.each(ctx, l.tables.Directory, directoryPK(corp), bounds{from: from, to: to, consistent: true}, func(it item) bool { return f(entryOf(it)) })
}

// MemberHistory is a member's whole history, and when the newest reading of all members began (zero: there was none). kept is false of a member whose looks were not
// kept, because it was last written before they were: its newest state is all there is.
func (l *Ledger) MemberHistory(ctx context.Context, corp archive.CorpID, id archive.PartyID) (h directory.History, looked time.Time, kept bool, err error) {
	var glances []directory.Glance
	err = l.Snapshots(ctx, corp, func(s Snapshot) bool {
		for _, g := range s.Glances() {
			if glances = append(glances, g); g.Part == directory.PartMembers && g.Asked.After(looked) {
				looked = g.Asked
			}
		}
		return true
	})
	if err != nil {
		return directory.History{}, looked, false, err
	}
	life, err := l.Life(ctx, corp, directory.KindMember, string(id))
	if err != nil || len(life.Looks.Looks) == 0 {
		return directory.History{}, looked, false, err
	}
	looks := directory.NewTimeline(glances).Unpack(directory.KindMember, string(id), life.Looks)
	return directory.Fold(directory.KindMember, string(id), looks, life.Notices), looked, true, nil
}

// MembersRead is when the newest reading of all of a corp's members began; zero: there was none.
func (l *Ledger) MembersRead(ctx context.Context, corp archive.CorpID) (at time.Time, err error) {
	err = l.Snapshots(ctx, corp, func(s Snapshot) bool {
		for _, g := range s.Glances() {
			if g.Part == directory.PartMembers {
				at = g.Asked
			}
		}
		return at.IsZero()
	})
	return at, err
}
