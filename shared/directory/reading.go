package directory

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Part is a part of the directory that is read as a whole, or not.
type Part string

// The parts.
const (
	PartDepartments Part = "departments"
	PartMembers     Part = "members"
	PartDesignated  Part = "designated"
	PartExternals   Part = "externals"
	PartGroups      Part = "groups" // rooms with external members, by WeCom's list of them
	PartRooms       Part = "rooms"  // rooms that messages name
	PartRobots      Part = "robots" // robots that messages name
)

// Outcome says how the reading of a part went.
type Outcome struct {
	Read     int    `json:"read"`             // how many were read
	Complete bool   `json:"complete"`         // nothing was left out: only then may what is missing be called gone
	Via      string `json:"via,omitempty"`    // the kind of secret that it was read with
	Why      string `json:"why,omitempty"`    // why it is not complete: a short word or "errcode 60020"
	Mobile   bool   `json:"mobile,omitempty"` // members: mobiles and emails were shown
	Next     string `json:"next,omitempty"`   // members: the userid up to which those whom the lists lacked were looked at alone, of more than there was time for
}

// Counts is what a snapshot says of itself.
type Counts struct {
	Parts   map[Part]Outcome `json:"parts"`
	Changed int              `json:"changed"`        // states that this reading changed
	Gone    int              `json:"gone"`           // of these, those that are gone
	Next    string           `json:"next,omitempty"` // the room at which the reading ran out of time
}

// Text is the counts in canonical form.
func (c Counts) Text() (string, error) { return canonical(c) }

// ParseCounts reads what Text wrote.
func ParseCounts(text string) (Counts, error) {
	var c Counts
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("the counts of a snapshot can't be read: %w", err)
	}
	return c, nil
}

// ReadDepartment is a department as read. Without Named only its place in the tree is known.
type ReadDepartment struct {
	ID    int
	Named bool
	Department
}

// ReadMember is a member as read. Its designation is the Reading's, not its own.
type ReadMember struct {
	ID archive.PartyID
	Member
	// Unread says that more of the member would have been shown if a call had not failed. What Member does not have is then as it was: with Listed, the list's
	// line is there; without, nothing was read at all.
	Unread bool
}

// ReadExternal is an external contact as read.
type ReadExternal struct {
	ID archive.PartyID
	External
}

// ReadRoom is a room as read.
type ReadRoom struct {
	ID archive.RoomID
	Room
	Externals []ReadExternal // its external members, as far as the room shows them
	Dismissed bool           // WeCom knows that it is no more
}

// ReadRobot is a robot as read.
type ReadRobot struct {
	ID archive.PartyID
	Robot
}

// Reading is what one run read of a corp's directory. What it does not hold was not read, and stays as it was; only for what Parts calls
// complete does missing mean gone.
type Reading struct {
	Parts       map[Part]Outcome
	Departments []ReadDepartment
	Members     []ReadMember
	Designated  map[archive.PartyID][]int // the editions of each; if PartDesignated is complete, of all
	Externals   []ReadExternal
	Unheard     []archive.PartyID // the members whose external contacts could not be read: of those, it is as it was
	Groups      []archive.RoomID  // the list of rooms with external members
	Rooms       []ReadRoom
	Robots      []ReadRobot
}

func (r *Reading) complete(p Part) bool { return r.Parts[p].Complete }

type entryKey struct {
	kind Kind
	id   string
}

// comparison is a directory in the middle of taking in a reading.
type comparison struct {
	reading *Reading
	old     map[entryKey]Entry
	next    map[entryKey]Entry
	err     error
}

// Compare says which states a reading changes: those that differ from the newest, with at as their time, by kind and id. The same reading
// taken in twice changes nothing the second time.
func Compare(newest []Entry, r Reading, at time.Time) ([]Entry, error) {
	c := &comparison{reading: &r, old: map[entryKey]Entry{}, next: map[entryKey]Entry{}}
	for _, e := range newest {
		c.old[entryKey{e.Kind, e.ID}] = e
	}
	c.departments()
	c.members()
	c.rooms()
	c.externals() // after the rooms, which show some
	c.robots()
	if c.err != nil {
		return nil, c.err
	}
	var changes []Entry
	for key, e := range c.next {
		before, known := c.old[key]
		if known && before.Fields == e.Fields && before.Gone == e.Gone {
			continue
		}
		e.At = at
		changes = append(changes, e)
	}
	slices.SortFunc(changes, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
	return changes, nil
}

// was is the state that an entry has so far; known is false if there is none.
func was[S State](c *comparison, kind Kind, id string) (state S, known bool) {
	e, ok := c.next[entryKey{kind, id}]
	if !ok {
		if e, ok = c.old[entryKey{kind, id}]; !ok {
			return state, false
		}
	}
	state, err := Parse[S](e.Fields)
	if err != nil && c.err == nil {
		c.err = err
	}
	return state, true
}

// is sets the state of an entry that is there.
func is[S State](c *comparison, kind Kind, id string, state S) {
	if id == "" {
		return // an answer without an id names nobody
	}
	c.next[entryKey{kind, id}] = Entry{Kind: kind, ID: id, Fields: Fields(state)}
}

// goes marks an entry as gone, with its last fields.
func (c *comparison) goes(kind Kind, id string) {
	key := entryKey{kind, id}
	e, ok := c.next[key]
	if !ok {
		e = c.old[key]
	}
	e.Gone = true
	c.next[key] = e
}

// present is the ids of the entries of a kind that are there, as far as the reading is taken in.
func (c *comparison) present(kind Kind) map[string]bool {
	ids := map[string]bool{}
	for _, entries := range []map[entryKey]Entry{c.old, c.next} {
		for key, e := range entries {
			if key.kind == kind {
				ids[key.id] = !e.Gone
			}
		}
	}
	maps.DeleteFunc(ids, func(_ string, there bool) bool { return !there })
	return ids
}

func (c *comparison) departments() {
	read := map[string]bool{}
	for _, d := range c.reading.Departments {
		id := strconv.Itoa(d.ID)
		read[id] = true
		if !d.Named {
			before, _ := was[Department](c, KindDepartment, id)
			d.Name, d.NameEn, d.Leaders = before.Name, before.NameEn, before.Leaders
		}
		is(c, KindDepartment, id, d.Department)
	}
	if c.reading.complete(PartDepartments) {
		for id := range c.present(KindDepartment) {
			if !read[id] {
				c.goes(KindDepartment, id)
			}
		}
	}
}

func (c *comparison) members() {
	r := c.reading
	read := map[string]bool{}
	for _, m := range r.Members {
		id := string(m.ID)
		read[id] = true
		before, _ := was[Member](c, KindMember, id)
		if m.Unread {
			m.Member = m.over(before)
		}
		if m.Name == "" {
			m.Name = before.Name
		}
		m.Designated, m.DesignatedKnown, m.Editions = before.Designated, before.DesignatedKnown, before.Editions
		is(c, KindMember, id, m.Member)
	}
	for party, editions := range r.Designated {
		m, _ := was[Member](c, KindMember, string(party))
		m.Designated, m.DesignatedKnown, m.Editions = true, true, editions
		is(c, KindMember, string(party), m)
	}
	for id := range c.present(KindMember) {
		if _, designated := r.Designated[archive.PartyID(id)]; r.complete(PartDesignated) && !designated {
			m, _ := was[Member](c, KindMember, id)
			m.Designated, m.DesignatedKnown, m.Editions = false, true, nil
			is(c, KindMember, id, m)
		}
		if r.complete(PartMembers) && !read[id] {
			m, _ := was[Member](c, KindMember, id)
			if m.Designated {
				// WeCom archives a member that our secret does not see: there, but unlisted.
				m = unlisted(m)
				is(c, KindMember, id, m)
				continue
			}
			c.goes(KindMember, id)
		}
	}
}

// over is a member of whom a list's line, or nothing, was read, with all else as it was.
func (m ReadMember) over(before Member) Member {
	if !m.Listed {
		before.Listed = false
		return before
	}
	before.Listed = true
	if m.Name != "" {
		before.Name = m.Name
	}
	if len(m.Departments) == 0 {
		return before // it is known that he is there, and not where
	}
	before.Departments = m.Departments
	before.Leads = slices.DeleteFunc(slices.Clone(before.Leads), func(d int) bool { return !slices.Contains(m.Departments, d) })
	return before
}

// unlisted is a member without what only the list of members can tell.
func unlisted(m Member) Member {
	return Member{Name: m.Name, Designated: m.Designated, DesignatedKnown: m.DesignatedKnown, Editions: m.Editions}
}

func (c *comparison) rooms() {
	r := c.reading
	listed := map[string]bool{}
	for _, id := range r.Groups {
		listed[string(id)] = true
		room, _ := was[Room](c, KindRoom, string(id))
		room.Listed, room.Kind = true, RoomExternal
		is(c, KindRoom, string(id), room)
	}
	for _, room := range r.Rooms {
		id := string(room.ID)
		before, known := was[Room](c, KindRoom, id)
		switch {
		case room.Dismissed:
			if known {
				c.goes(KindRoom, id)
			}
			continue
		case !room.Shown() && c.old[entryKey{KindRoom, id}].Gone && !listed[id]:
			continue // that it is not shown brings nothing back
		case !room.Shown() && known:
			if before.Kind == RoomUnknown {
				before.Kind = room.Kind
			}
			room.Room = before
			room.Listed = listed[id] || before.Listed
		default:
			room.Listed = listed[id] || before.Listed && !r.complete(PartGroups)
		}
		is(c, KindRoom, id, room.Room)
	}
	if r.complete(PartGroups) {
		for id := range c.present(KindRoom) {
			if room, _ := was[Room](c, KindRoom, id); room.Listed && !listed[id] {
				c.goes(KindRoom, id)
			}
		}
	}
}

func (c *comparison) externals() {
	r := c.reading
	read := map[string]bool{}
	unheard := map[archive.PartyID]bool{}
	for _, id := range r.Unheard {
		unheard[id] = true
	}
	for _, x := range r.Externals {
		id := string(x.ID)
		if again := read[id]; again || len(unheard) > 0 && !c.old[entryKey{KindExternal, id}].Gone {
			before, _ := was[External](c, KindExternal, id)
			for _, follower := range before.Followers {
				if again || unheard[follower] { // a contact of several members, or of one whose contacts could not be read now
					x.Followers = append(x.Followers, follower)
				}
			}
		}
		read[id] = true
		is(c, KindExternal, id, x.External)
	}
	for _, room := range r.Rooms {
		for _, x := range room.Externals {
			id := string(x.ID)
			if read[id] {
				continue
			}
			before, known := was[External](c, KindExternal, id)
			if !known {
				before = x.External
			}
			if before.Type == 0 {
				before.Type = x.Type
			}
			if x.Name != "" && (r.complete(PartExternals) || len(before.Followers) == 0) {
				before.Name = x.Name // no contact's own name is known
			}
			is(c, KindExternal, id, before)
		}
	}
	if !r.complete(PartExternals) {
		return
	}
	inRooms := map[string]bool{}
	for id := range c.present(KindRoom) {
		room, _ := was[Room](c, KindRoom, id)
		for _, id := range room.Members {
			inRooms[string(id)] = true
		}
	}
	for id := range c.present(KindExternal) {
		switch {
		case read[id]:
		case inRooms[id]:
			x, _ := was[External](c, KindExternal, id)
			x.Followers = nil
			is(c, KindExternal, id, x)
		case r.complete(PartGroups):
			c.goes(KindExternal, id)
		}
	}
}

func (c *comparison) robots() {
	for _, robot := range c.reading.Robots {
		if before, known := was[Robot](c, KindRobot, string(robot.ID)); known && robot.Name == "" {
			robot.Robot = before
		}
		is(c, KindRobot, string(robot.ID), robot.Robot)
	}
}
