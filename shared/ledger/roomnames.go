package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// RoomName is a name that somebody entered for a room: WeCom shows none of those that were made in WeChat. WeCom's own name goes before it wherever there is one.
type RoomName struct {
	Corp archive.CorpID
	Room archive.RoomID
	Name string // "": the one before was taken away
	By   string
	At   time.Time
	Rev  int // how many were entered or taken away until then; 0: none ever was
}

// RoomNames calls f for each room of a corp for which a name was ever entered, with what holds now.
func (l *Ledger) RoomNames(ctx context.Context, corp archive.CorpID, f func(RoomName) bool) error {
	var last RoomName
	goes := true
	err := l.each(ctx, l.tables.Control, roomNamePK(corp), bounds{consistent: true}, func(it item) bool {
		n := roomNameOf(corp, it)
		if last.Rev > 0 && last.Room != n.Room {
			goes = f(last)
		}
		last = n
		return goes
	})
	if err == nil && goes && last.Rev > 0 {
		f(last)
	}
	return err
}

// RoomNameHistory is every name that was entered for a room, the oldest first.
func (l *Ledger) RoomNameHistory(ctx context.Context, corp archive.CorpID, room archive.RoomID) ([]RoomName, error) {
	var all []RoomName
	err := l.each(ctx, l.tables.Control, roomNamePK(corp), bounds{prefix: idPart(string(room)) + "#", consistent: true}, func(it item) bool {
		if n := roomNameOf(corp, it); n.Room == room {
			all = append(all, n)
		}
		return true
	})
	return all, err
}

func roomNameOf(corp archive.CorpID, it item) RoomName {
	return RoomName{Corp: corp, Room: archive.RoomID(getStr(it, "room")), Name: getStr(it, "name"), By: getStr(it, "by"), At: getTime(it, "at"), Rev: getCount(it, "rev")}
}

// NameRoom keeps a name for a room, or "" to take it away, after the one with the Rev that n has, and returns its own. ErrLost says that somebody else was first.
func (l *Ledger) NameRoom(ctx context.Context, n RoomName) (rev int, err error) {
	rev = n.Rev + 1
	it := key(roomNamePK(n.Corp), roomNameSK(n.Room, rev))
	it["room"], it["name"], it["by"], it["at"], it["rev"] = str(string(n.Room)), str(n.Name), str(n.By), when(n.At), count(rev)
	err = l.put(ctx, l.tables.Control, it, "attribute_not_exists(pk)", nil)
	if row, refused := refusedRow(err); refused {
		if was := roomNameOf(n.Corp, row); was.Name == n.Name && was.By == n.By && was.At.Equal(n.At.Truncate(time.Millisecond)) {
			return rev, nil // our own first attempt, whose answer was lost
		}
		return 0, fmt.Errorf("name room %s of corp %s: %w", n.Room, n.Corp, ErrLost)
	}
	return rev, err
}

// SeenRoom says whether WeCom or a message ever named a room, and the name that WeCom shows of it; "" if it shows none.
func (l *Ledger) SeenRoom(ctx context.Context, corp archive.CorpID, room archive.RoomID) (name string, seen bool, err error) {
	if room == "" || len(room) > longestID {
		return "", false, nil
	}
	e, err := l.Held(ctx, corp, directory.KindRoom, string(room))
	if err != nil && !errors.Is(err, ErrAbsent) {
		return "", false, err
	}
	if e.Fields != "" {
		r, err := directory.Parse[directory.Room](e.Fields)
		if err != nil {
			return "", false, fmt.Errorf("room %s of corp %s: %w", room, corp, err)
		}
		return r.Name, true, nil
	}
	err = l.each(ctx, l.tables.Messages, roomPK(corp), bounds{from: string(room), to: string(room), consistent: true}, func(item) bool { seen = true; return false })
	return "", seen, err
}
