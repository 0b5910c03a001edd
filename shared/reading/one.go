package reading

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// Who is a department, member, room or external contact of one corp.
type Who struct {
	Kind directory.Kind `json:"kind"`
	ID   string         `json:"id"`
}

// One looks at one department, member, room or external contact with one secret. known says that it told what is so, and not only that it does not see the entry.
func One(ctx context.Context, reader *wecom.Reader, w Who, o *directory.Observation) (known bool, err error) {
	switch w.Kind {
	case directory.KindRoom:
		return oneRoom(ctx, reader, archive.RoomID(w.ID), o)
	case directory.KindExternal:
		return oneExternal(ctx, reader, archive.PartyID(w.ID), o)
	case directory.KindDepartment:
		var number int
		if number, err = strconv.Atoi(w.ID); err != nil {
			return false, fault.Newf(fault.Permanent, "no-such-department", "department %s is no number", w.ID)
		}
		var d wecom.Department
		var named bool
		if d, named, err = reader.Department(ctx, number); err == nil {
			o.Reading.Departments = []directory.ReadDepartment{{ID: number, Named: named, Department: directory.Department{
				Name: d.Name, NameEn: d.NameEn, Parent: d.Parent, Order: d.Order, Leaders: d.Leaders,
			}}}
		}
	case directory.KindMember:
		var m wecom.Member
		if m, err = reader.Member(ctx, archive.PartyID(w.ID)); err == nil {
			m.ID = archive.PartyID(w.ID) // QUIRK: userids are not case-sensitive, and WeCom answers with the form of its own
			o.Reading.Members = []directory.ReadMember{asRead(m, true, wecom.ShowsSensitive([]wecom.Member{m}))}
		}
	}
	switch {
	case err == nil:
		return true, nil
	case wecom.NotThere(err):
		o.Refused = []directory.Refusal{{Kind: w.Kind, ID: w.ID, Says: directory.Deleted}}
		return true, nil
	case wecom.NotShown(err):
		o.Refused = []directory.Refusal{{Kind: w.Kind, ID: w.ID, Says: directory.Hidden}}
		return false, nil
	default:
		return false, err
	}
}

// oneRoom looks at a room with external contacts: one that is shown is on the list of such rooms.
func oneRoom(ctx context.Context, reader *wecom.Reader, id archive.RoomID, o *directory.Observation) (known bool, err error) {
	room, err := reader.GroupChat(ctx, id)
	switch {
	case err == nil:
		o.Reading.Groups = []archive.RoomID{id}
		o.Reading.Rooms = []directory.ReadRoom{asReadRoom(id, room)}
		return true, nil
	case wecom.CodeOf(err) == 49008:
		o.Reading.Rooms = []directory.ReadRoom{{ID: id, Dismissed: true}}
		return true, nil
	case wecom.RoomNotShown(err):
		return false, nil
	default:
		return false, err
	}
}

// oneExternal looks at an external contact. Whether one whom WeCom does not show is gone, the next whole reading tells: he may be in a room still.
func oneExternal(ctx context.Context, reader *wecom.Reader, id archive.PartyID, o *directory.Observation) (known bool, err error) {
	x, followers, err := reader.External(ctx, id)
	switch {
	case err == nil:
		o.Reading.Externals = []directory.ReadExternal{{ID: id, External: directory.External{
			Name: x.Name, Type: x.Type, Corp: x.Corp, CorpFull: x.CorpFull, Position: x.Position, Followers: followers,
		}}}
		return true, nil
	case wecom.NotThere(err), wecom.NotShown(err), wecom.CodeOf(err) == 84061:
		return false, nil
	default:
		return false, err
	}
}

// Becomes is an entry's state after a look at it alone: what its secret does not show is as it was. before has no Fields if WeCom never showed the entry.
// changed says that it is another than it was.
func Becomes(before directory.Entry, o directory.Observation) (after directory.Entry, changed bool, err error) {
	after = before
	for _, f := range o.Refused {
		if f.Says == directory.Deleted && before.Fields != "" && !before.Gone {
			after.At, after.Gone, changed = o.Asked, true, true
		}
	}
	reading := o.Reading
	if len(reading.Members) == 1 {
		m := reading.Members[0]
		if before.Gone && m.Status == directory.StatusLeft {
			return before, false, nil // WeCom still tells of who left by himself: that brings nobody back
		}
		m.Listed = true
		if before.Fields != "" && !before.Gone { // who comes back under a userid may be somebody else
			was, err := directory.Parse[directory.Member](before.Fields)
			if err != nil {
				return before, false, fmt.Errorf("member %s: %w", before.ID, err)
			}
			m.Listed = was.Listed
			if !m.MobileReadable {
				m.Mobile, m.MobileReadable = was.Mobile, was.MobileReadable
			}
			if !m.EmailReadable {
				m.Email, m.EmailReadable = was.Email, was.EmailReadable
			}
		}
		reading.Members = []directory.ReadMember{m}
	}
	var newest []directory.Entry
	if before.Fields != "" {
		newest = append(newest, before)
	}
	changes, err := directory.Compare(newest, reading, o.Asked)
	if err != nil {
		return before, false, err
	}
	for _, e := range changes {
		if e.Kind == before.Kind && e.ID == before.ID {
			after, changed = e, true
		}
	}
	return after, changed, nil
}

// BecomeOutside is which states a look at one room or external contact changes: its own, and those of the contacts whom the room has since it was last read,
// whose names it shows. held is the newest state of an entry, without Fields if WeCom never showed it.
func BecomeOutside(held func(Who) (directory.Entry, error), w Who, o directory.Observation) ([]directory.Entry, error) {
	own, err := held(w)
	if err != nil {
		return nil, err
	}
	newest := []directory.Entry{}
	var before directory.Room
	if own.Fields != "" {
		newest = append(newest, own)
		if w.Kind == directory.KindRoom {
			if before, err = directory.Parse[directory.Room](own.Fields); err != nil {
				return nil, fmt.Errorf("room %s: %w", w.ID, err)
			}
		}
	}
	reading := o.Reading
	reading.Rooms = slices.Clone(reading.Rooms)
	for i, room := range reading.Rooms {
		var came []directory.ReadExternal
		for _, x := range room.Externals {
			if slices.Contains(before.Members, x.ID) {
				continue
			}
			came = append(came, x)
			known, err := held(Who{directory.KindExternal, string(x.ID)})
			if err != nil {
				return nil, err
			}
			if known.Fields != "" {
				newest = append(newest, known)
			}
		}
		reading.Rooms[i].Externals = came
	}
	changes, err := directory.Compare(newest, reading, o.Asked)
	if err != nil {
		return nil, fmt.Errorf("compare a %s: %w", w.Kind, err)
	}
	return changes, nil
}
