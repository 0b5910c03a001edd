package reading

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// NotHeld is why a part could not be read for which no secret is held.
const NotHeld = "no secret"

// Missing is why the list of members counts for nothing where many of them are missing for the first time, or there was no time to look at each.
const Missing = "many members missing"

// Why a part could not be read, beside "errcode 48002" and the like.
const (
	notHeld    = NotHeld
	noAnswer   = "no answer"
	outOfTime  = "out of time"
	oddAnswer  = "odd answer"
	unlicensed = "members without licence"

	nothingShown = "no department shown"

	halfAnswer = "half an answer"
)

// Readers are what asks WeCom, by the secrets that are held.
type Readers map[secrets.Kind]*wecom.Reader

// Known is what is known of a corp before a reading and decides what is asked.
type Known struct {
	Entries []directory.Entry
	Listed  []archive.PartyID // members beside the entries who are there, and whom the lists showed
	Rooms   []archive.RoomID  // that messages name
	Robots  []archive.PartyID // likewise
	Next    string            // the room at which the last reading ran out of time

	Sought  string // the userid up to which the last reading looked at members alone whom its lists lacked, and found none of them; "": it looked at no part of them
	Doubted bool   // it was not believed for Missing
	Most    int    // how many members are looked at alone; 0: mostSought

	Keep *Keeper // where it is kept what was asked because of Entries, as Replay has to know; nil: nowhere
}

// gathering is one reading of a corp's directory while it is made.
type gathering struct {
	directory.Reading
	known   Known
	readers Readers
	stopped string // the first room that there was no time for

	sought            []archive.PartyID // by the reading that is replayed: see missing
	soughtDepartments []int             // likewise
	seeker            secrets.Kind      // likewise, the secret that looked at them, if it is not the one that showed the lists
}

// Gather reads every part of a corp's directory that the secrets allow. Its order puts first what reports need. next is the first room that there was no
// time for.
func Gather(ctx context.Context, readers Readers, k Known) (read directory.Reading, next string) {
	g := newGathering(readers, k)
	g.people(ctx)
	g.rest(ctx)
	return g.Reading, g.stopped
}

func newGathering(readers Readers, k Known) *gathering {
	return &gathering{Reading: directory.Reading{Parts: map[directory.Part]directory.Outcome{}}, known: k, readers: readers}
}

// people reads departments and members.
func (g *gathering) people(ctx context.Context) {
	g.designated(ctx)
	g.contacts(ctx)
}

func (g *gathering) rest(ctx context.Context) {
	g.externals(ctx)
	g.robotsSeen(ctx)
	g.roomsSeen(ctx)
}

// Because says in a word why a part is not complete.
func Because(err error) string {
	switch {
	case err == nil:
		return ""
	case wecom.CodeOf(err) != 0:
		return fmt.Sprintf("errcode %d", wecom.CodeOf(err))
	case errors.Is(err, wecom.ErrNoAnswer):
		return noAnswer
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return outOfTime
	case errors.Is(err, errUnlicensed):
		return unlicensed
	case errors.Is(err, errNothing):
		return nothingShown
	case errors.Is(err, errHalf):
		return halfAnswer
	case errors.Is(err, errMissing):
		return Missing
	default:
		return oddAnswer
	}
}

func outcome(kind secrets.Kind, read int, err error) directory.Outcome {
	return directory.Outcome{Read: read, Complete: err == nil, Via: string(kind), Why: Because(err)}
}

// designated reads which members are archived, and under which edition.
func (g *gathering) designated(ctx context.Context) {
	reader := g.readers[secrets.Archive]
	if reader == nil {
		g.Parts[directory.PartDesignated] = directory.Outcome{Why: notHeld}
		return
	}
	ids, err := reader.Permitted(ctx, wecom.AnyEdition)
	if err != nil {
		g.Parts[directory.PartDesignated] = outcome(secrets.Archive, 0, err)
		return
	}
	g.Designated = map[archive.PartyID][]int{}
	for _, id := range ids {
		g.Designated[id] = nil
	}
	for _, edition := range []int{wecom.OfficeEdition, wecom.ServiceEdition, wecom.EnterpriseEdition} {
		ids, err := reader.Permitted(ctx, edition)
		if err != nil && !reader.Particular(err) {
			// Nothing is taken over, lest everybody seem to change editions and back.
			g.Designated = nil
			g.Parts[directory.PartDesignated] = outcome(secrets.Archive, 0, err)
			return
		}
		// An edition that the corp never bought may be refused: then nobody is known to be under it.
		for _, id := range ids {
			g.Designated[id] = append(g.Designated[id], edition)
		}
	}
	g.Parts[directory.PartDesignated] = outcome(secrets.Archive, len(g.Designated), nil)
}

// listing is the departments and members that one secret shows.
type listing struct {
	first       secrets.Kind // the secret that was asked first
	via         secrets.Kind // the one that answered
	departments []directory.ReadDepartment
	members     []directory.ReadMember
	named, full bool // departments with names; members with all fields that are not sensitive
	sensitive   bool
	treeErr     error
	membersErr  error
	sought      string // the userid up to which members whom it lacks were looked at; "": all, or none
}

// contacts reads departments and members with the secret for contacts. What that may not read, WeCom shows to the other two without mobiles
// and addresses: so names are there even if only the archive's secret is held.
func (g *gathering) contacts(ctx context.Context) {
	var l listing
	for _, kind := range []secrets.Kind{secrets.Contacts, secrets.Archive, secrets.Customer} {
		switch {
		case g.readers[kind] == nil:
		case l.via == "":
			l = g.list(ctx, kind)
		case l.lacks():
			l = l.with(g.list(ctx, kind))
		}
	}
	if l.via == "" {
		g.Parts[directory.PartDepartments] = directory.Outcome{Why: notHeld}
		g.Parts[directory.PartMembers] = directory.Outcome{Why: notHeld}
		return
	}
	g.seekDepartments(ctx, &l)
	g.seek(ctx, &l)
	g.Departments, g.Members = l.departments, l.members
	g.Parts[directory.PartDepartments] = outcome(l.via, len(l.departments), l.treeErr)
	members := outcome(l.via, len(l.members), l.membersErr)
	members.Mobile, members.Next = l.sensitive, l.sought
	g.Parts[directory.PartMembers] = members
	if g.readers[secrets.Archive] != nil && (l.membersErr == nil || wecom.Denied(l.membersErr)) {
		g.unlisted(ctx)
	}
}

// errNothing says that a secret is shown no department at all. There is no company without one: the app's visible range is single members, whom no list holds,
// or nobody; or it was not WeCom who answered.
var errNothing = errors.New(nothingShown)

// list reads departments and members with one secret.
func (g *gathering) list(ctx context.Context, via secrets.Kind) listing {
	reader := g.readers[via]
	l := listing{first: via, via: via}
	var departments []wecom.Department
	departments, l.named, l.treeErr = reader.Departments(ctx)
	if l.treeErr == nil && len(departments) == 0 {
		l.treeErr = errNothing
	}
	if l.treeErr != nil {
		l.membersErr = l.treeErr
		return l
	}
	for _, d := range departments {
		l.departments = append(l.departments, asDepartment(d, l.named))
	}
	seen := map[archive.PartyID]bool{}
	// WeCom's records are large, and say together whether they show what is sensitive: that is taken back at the end if they don't.
	take := func(list []wecom.Member) {
		l.sensitive = l.sensitive || wecom.ShowsSensitive(list)
		for _, m := range list {
			if !seen[m.ID] {
				seen[m.ID] = true
				l.members = append(l.members, asRead(m, true, true))
			}
		}
	}
	l.full = true
	stop := func() {}
	defer func() { stop() }()
	for i, d := range departments {
		if i == 1 { // the first has shown whether this secret may
			ids := make([]int, 0, len(departments))
			for _, d := range departments[1:] {
				ids = append(ids, d.ID)
			}
			stop = reader.Ahead(ctx, ids)
		}
		list, full, err := reader.MembersOf(ctx, d.ID)
		if wecom.Denied(err) {
			stop()
			l.full = false
			var ids []wecom.Member
			ids, l.membersErr = reader.MemberIDs(ctx)
			l.members, l.sensitive, seen = nil, false, map[archive.PartyID]bool{}
			take(ids)
			break
		}
		if wecom.CodeOf(err) == 60003 { // it was dissolved while we read
			continue
		}
		if err != nil {
			l.membersErr = err
			break
		}
		l.full = l.full && full
		take(list)
	}
	if !l.sensitive {
		for i := range l.members {
			m := &l.members[i]
			m.Mobile, m.MobileReadable, m.Email, m.EmailReadable = "", false, "", false
		}
	}
	return l
}

// lacks says whether a further secret may show what was not shown so far. A secret that failed is not helped out: what it alone shows, such
// as mobiles, would seem hidden until it works again.
func (l listing) lacks() bool {
	if l.named && l.full {
		return false
	}
	return (l.treeErr == nil || wecom.Denied(l.treeErr)) && (l.membersErr == nil || wecom.Denied(l.membersErr))
}

// with fills in what a further secret shows. Who is there remains the first one's word: where the secret for contacts is held and refused,
// another's narrower view makes nobody vanish.
func (l listing) with(other listing) listing {
	if wecom.Denied(l.treeErr) {
		l.departments, l.named, l.via = other.departments, other.named, other.via
		if l.first != secrets.Contacts {
			l.treeErr = other.treeErr
		}
	} else if !l.named {
		named := map[int]directory.ReadDepartment{}
		for _, d := range other.departments {
			named[d.ID] = d
		}
		for i, d := range l.departments {
			if better, ok := named[d.ID]; ok {
				l.departments[i] = better
			}
		}
	}
	if wecom.Denied(l.membersErr) {
		l.members, l.full, l.sensitive, l.via = other.members, other.full, other.sensitive, other.via
		if l.first != secrets.Contacts {
			l.membersErr = other.membersErr
		}
	} else if !l.full {
		l.fill(other)
	}
	return l
}

// fill adds to a list's lines what a further secret shows of each member. What that secret would show, if it had not failed, is not read this time, and as it was.
func (l *listing) fill(other listing) {
	full := map[archive.PartyID]directory.ReadMember{}
	for _, m := range other.members {
		full[m.ID] = m
	}
	failed := other.membersErr != nil && !wecom.Denied(other.membersErr)
	for i := range l.members {
		m := &l.members[i]
		better, ok := full[m.ID]
		switch {
		case !ok:
			m.Unread = m.Unread || failed
		case m.Status == directory.StatusUnknown:
			better.Departments = m.Departments
			*m = better
		default: // another secret showed the record; this one may show more of it
			if !m.MobileReadable {
				m.Mobile, m.MobileReadable = better.Mobile, better.MobileReadable
			}
			if !m.EmailReadable {
				m.Email, m.EmailReadable = better.Email, better.EmailReadable
			}
		}
	}
	l.sensitive = l.sensitive || other.sensitive
}

// asRead takes a member over. What a secret does not show is unknown; what it shows empty is empty.
func asRead(m wecom.Member, listed, sensitive bool) directory.ReadMember {
	read := directory.ReadMember{ID: m.ID, Member: directory.Member{
		Name: m.Name, Listed: listed, Departments: m.Departments, DirectLeaders: m.DirectLeaders, MainDepartment: m.MainDepartment,
		Position: m.Position, Status: m.Status,
	}}
	for i, leads := range m.Leads {
		if leads == 1 && i < len(m.Departments) {
			read.Leads = append(read.Leads, m.Departments[i])
		}
	}
	if sensitive && m.Mobile != nil {
		read.Mobile, read.MobileReadable = *m.Mobile, true
	}
	if sensitive && m.Email != nil {
		read.Email, read.EmailReadable = *m.Email, true
	}
	return read
}

// unlisted looks up the members who are archived but on no list that we may read.
func (g *gathering) unlisted(ctx context.Context) {
	listed := map[archive.PartyID]bool{}
	for _, m := range g.Members {
		listed[m.ID] = true
	}
	var missing []archive.PartyID
	for id := range g.Designated {
		if !listed[id] {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	for i, id := range missing {
		m, err := g.readers[secrets.Archive].Member(ctx, id)
		switch code := wecom.CodeOf(err); {
		case err == nil:
			g.Members = append(g.Members, asRead(m, false, wecom.ShowsSensitive([]wecom.Member{m})))
		case code == 60111, code == 46004, code == 40003, code == 60011, code == 60021:
			// WeCom does not know, or does not show, this one.
		case wecom.Denied(err):
			return
		default:
			for _, id := range missing[i:] {
				g.Members = append(g.Members, directory.ReadMember{ID: id, Unread: true})
			}
			return
		}
	}
}

// externals reads external contacts and the list of rooms with external members, with the customer secret, or with that for contacts: an
// app may be listed as one that can call for customers.
func (g *gathering) externals(ctx context.Context) {
	g.Parts[directory.PartExternals] = directory.Outcome{Why: notHeld}
	g.Parts[directory.PartGroups] = directory.Outcome{Why: notHeld}
	var refused error // the customer secret, where it is held: what another shows is not all
	for _, kind := range []secrets.Kind{secrets.Customer, secrets.Contacts} {
		reader := g.readers[kind]
		if reader == nil {
			continue
		}
		members, unread := reader.FollowUsers(ctx)
		err := unread
		if err == nil {
			err = g.contactsOf(ctx, reader, members)
		}
		groups, listed := g.groups(ctx, reader, members, unread)
		if kind == secrets.Contacts && wecom.Denied(listed) {
			return // an app that is not meant for customers: what the customer secret came to stays
		}
		if err == nil {
			err = refused
		}
		if !g.Parts[directory.PartExternals].Complete {
			g.Parts[directory.PartExternals] = outcome(kind, len(g.Externals), err)
		}
		may := !wecom.Denied(listed)
		if listed == nil {
			listed = refused
		}
		g.Groups = groups
		g.Parts[directory.PartGroups] = outcome(kind, len(groups), listed)
		if may {
			return
		}
		refused = listed
	}
}

// errUnlicensed says that WeCom hides the contacts of some members for want of a licence.
var errUnlicensed = errors.New(unlicensed)

func (g *gathering) contactsOf(ctx context.Context, reader *wecom.Reader, members []archive.PartyID) error {
	hidden := false
	for len(members) > 0 {
		some := members[:min(len(members), wecom.MostFollowers)]
		list, without, err := reader.ExternalsOf(ctx, some)
		if err != nil {
			g.Unheard = append(g.Unheard, members...)
			return err
		}
		members = members[len(some):]
		g.Unheard = append(g.Unheard, without...)
		hidden = hidden || len(without) > 0
		for _, x := range list {
			g.Externals = append(g.Externals, directory.ReadExternal{ID: x.ID, External: directory.External{
				Name: x.Name, Type: x.Type, Corp: x.Corp, CorpFull: x.CorpFull, Position: x.Position, Followers: []archive.PartyID{x.Follower},
			}})
		}
	}
	if hidden {
		return errUnlicensed
	}
	return nil
}

// groups lists the rooms with external members; unread is why members, who may own one, could not be read.
func (g *gathering) groups(ctx context.Context, reader *wecom.Reader, members []archive.PartyID, unread error) ([]archive.RoomID, error) {
	ids, err := reader.GroupChats(ctx, nil)
	if wecom.CodeOf(err) != 81017 { // too many members for one list
		return ids, err
	}
	if unread != nil {
		return nil, unread
	}
	ids = nil
	for some := range slices.Chunk(members, wecom.MostOwners) {
		list, err := reader.GroupChats(ctx, some)
		if err != nil {
			return ids, err
		}
		ids = append(ids, list...)
	}
	return ids, nil
}

// robotsSeen reads the robots that messages name.
func (g *gathering) robotsSeen(ctx context.Context) {
	reader := g.readers[secrets.Archive]
	if reader == nil {
		g.Parts[directory.PartRobots] = directory.Outcome{Why: notHeld}
		return
	}
	var failed error
	for _, id := range g.known.Robots {
		robot, err := reader.Robot(ctx, id)
		if err != nil && !reader.Particular(err) {
			failed = err
			break
		}
		g.Robots = append(g.Robots, directory.ReadRobot{ID: id, Robot: directory.Robot{Name: robot.Name, Creator: robot.Creator}})
	}
	g.Parts[directory.PartRobots] = outcome(secrets.Archive, len(g.Robots), failed)
}

// roomsSeen reads the rooms that messages name, and those on the list of rooms with external members: new ones first, then on from where
// the last reading ran out of time.
func (g *gathering) roomsSeen(ctx context.Context) {
	if len(g.readers) == 0 {
		g.Parts[directory.PartRooms] = directory.Outcome{Why: notHeld}
		return
	}
	read, failed := 0, error(nil)
	var unasked []unaskedRoom
	kinds := g.roomKinds()
	missing := g.missingGroups()
	turn := g.inTurn(kinds, missing)
	for _, id := range g.Groups {
		kinds[id] = directory.RoomExternal
	}
	for _, id := range turn {
		if ctx.Err() != nil {
			g.stopped, failed = string(id), ctx.Err()
			break
		}
		external, answers := kinds[id] == directory.RoomExternal, g.known.Keep.answers()
		room, err := g.room(ctx, id, external)
		if err != nil {
			failed = err
			continue
		}
		if !room.Shown() {
			delete(missing, id)
		}
		if answers == g.known.Keep.answers() {
			unasked = append(unasked, unaskedRoom{id, external})
		}
		g.Rooms = append(g.Rooms, room)
		read++
	}
	stay := slices.Sorted(maps.Keys(missing))
	g.Groups = append(g.Groups, stay...)
	if g.known.Keep != nil {
		g.known.Keep.unasked(unasked)
		g.known.Keep.stay(stay)
	}
	g.Parts[directory.PartRooms] = outcome("", read, failed)
}

// missingGroups is the rooms that were on the list of those with external contacts, and are not now, though it was read to its end. WeCom lists those of a large company by
// their owners, and so none whose owner has left; and one may change its place among the pages of the list while they are read. Each is looked at: it is gone if
// WeCom does not show it, and else on the list as before.
func (g *gathering) missingGroups() map[archive.RoomID]bool {
	missing := map[archive.RoomID]bool{}
	if !g.Parts[directory.PartGroups].Complete {
		return missing
	}
	for _, e := range g.known.Entries {
		if e.Kind != directory.KindRoom || e.Gone {
			continue
		}
		if room, err := directory.Parse[directory.Room](e.Fields); err == nil && room.Listed {
			missing[archive.RoomID(e.ID)] = true
		}
	}
	for _, id := range g.Groups {
		delete(missing, id)
	}
	return missing
}

// roomsAgain reads the rooms of which the answers that were kept tell.
func (g *gathering) roomsAgain(ctx context.Context, o opened) {
	for _, id := range o.rooms {
		if room, err := g.room(ctx, id, !o.audited[id]); err == nil {
			g.Rooms = append(g.Rooms, room)
		}
	}
	g.Groups = append(g.Groups, o.stay...)
	for _, u := range o.unasked {
		room := directory.ReadRoom{ID: u.ID}
		if u.External {
			room.Kind = directory.RoomExternal
		}
		g.Rooms = append(g.Rooms, room)
	}
}

// roomKinds is what is known of rooms before they are read.
func (g *gathering) roomKinds() map[archive.RoomID]string {
	kinds := map[archive.RoomID]string{}
	for _, e := range g.known.Entries {
		if room, err := directory.Parse[directory.Room](e.Fields); err == nil && e.Kind == directory.KindRoom {
			kinds[archive.RoomID(e.ID)] = room.Kind
		}
	}
	return kinds
}

func (g *gathering) inTurn(before map[archive.RoomID]string, missing map[archive.RoomID]bool) []archive.RoomID {
	all := slices.Concat(g.Groups, g.known.Rooms, slices.Collect(maps.Keys(missing)))
	slices.Sort(all)
	var fresh, later, sooner []archive.RoomID
	for _, id := range slices.Compact(all) {
		switch _, known := before[id]; {
		case !known, missing[id]:
			fresh = append(fresh, id)
		case string(id) < g.known.Next:
			later = append(later, id)
		default:
			sooner = append(sooner, id)
		}
	}
	return slices.Concat(fresh, sooner, later)
}

// room reads one room. The archive's secret shows internal rooms, the customer secret the others.
func (g *gathering) room(ctx context.Context, id archive.RoomID, external bool) (directory.ReadRoom, error) {
	read := directory.ReadRoom{ID: id}
	var failed error
	if reader := g.readers[secrets.Archive]; reader != nil && !external {
		room, err := reader.AuditRoom(ctx, id)
		switch {
		case err == nil:
			read.Room = asRoom(room, directory.RoomInternal)
			return read, nil
		case wecom.CodeOf(err) == 301059:
			external, read.Kind = true, directory.RoomExternal
		case !reader.Particular(err):
			failed = err
		}
	}
	for _, kind := range []secrets.Kind{secrets.Customer, secrets.Contacts} {
		reader := g.readers[kind]
		if reader == nil || failed != nil && !external {
			continue
		}
		room, err := reader.GroupChat(ctx, id)
		switch {
		case err == nil:
			return asReadRoom(id, room), nil
		case wecom.CodeOf(err) == 49008:
			read.Dismissed = true
			return read, nil
		case reader.Particular(err), wecom.Denied(err):
		default:
			failed = err
		}
	}
	if external {
		read.Kind = directory.RoomExternal
	}
	return read, failed
}

// asReadRoom is a room with external contacts, as the customer secret shows it.
func asReadRoom(id archive.RoomID, room wecom.Room) directory.ReadRoom {
	read := directory.ReadRoom{ID: id, Room: asRoom(room, directory.RoomExternal)}
	for _, m := range room.Members {
		if m.External {
			x := directory.ReadExternal{ID: m.ID, External: directory.External{Name: m.Name}}
			if m.WeChat {
				x.Type = directory.TypeWeChat
			}
			read.Externals = append(read.Externals, x)
		}
	}
	return read
}

func asRoom(room wecom.Room, kind string) directory.Room {
	r := directory.Room{Name: room.Name, Kind: kind, Owner: room.Owner, Count: len(room.Members)}
	if !room.Created.IsZero() {
		r.Created = room.Created.Unix()
	}
	for _, m := range room.Members {
		r.Members = append(r.Members, m.ID)
	}
	return r
}
