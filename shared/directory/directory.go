// Package directory owns what a corp's directory is: departments, members, external contacts, rooms and robots as states that hold from a
// time on, their written form, what a new reading of WeCom changes in them, and the name that a party had at a message's time. It reads no
// store and no network; where a state can't be known it says "unknown", never "none".
package directory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Kind is what an entry describes. The values are parts of keys.
type Kind string

// The kinds of entry.
const (
	KindDepartment Kind = "department"
	KindMember     Kind = "member"
	KindExternal   Kind = "external"
	KindRoom       Kind = "room"
	KindRobot      Kind = "robot"
)

// Entry is the state of one department, member, external contact, room or robot from At on.
type Entry struct {
	Kind   Kind
	ID     string
	At     time.Time
	Fields string // the state in canonical form: see Fields
	Gone   bool   // it was there before and is not any more; Fields are the last ones
}

// State is one of Department, Member, External, Room and Robot.
type State interface {
	Department | Member | External | Room | Robot
}

// Department is a department. ID is WeCom's number in decimal in Entry.ID.
type Department struct {
	Name    string            `json:"name,omitempty"` // "" if it could never be read
	NameEn  string            `json:"name_en,omitempty"`
	Parent  int               `json:"parent"` // 0 for the root
	Order   int64             `json:"order,omitempty"`
	Leaders []archive.PartyID `json:"leaders,omitempty"`
}

// WeCom's statuses of a member. 0 is "not shown to us".
const (
	StatusUnknown      = 0
	StatusActivated    = 1
	StatusDisabled     = 2
	StatusNotActivated = 4
	StatusLeft         = 5
)

// Member is a member of the corp.
type Member struct {
	Name           string            `json:"name,omitempty"` // the last that could be read
	Listed         bool              `json:"listed"`         // the list of members showed it; else only the list of designated ones did
	Departments    []int             `json:"departments,omitempty"`
	Leads          []int             `json:"leads,omitempty"` // the departments whose head it is (is_leader_in_dept)
	DirectLeaders  []archive.PartyID `json:"direct_leaders,omitempty"`
	MainDepartment int               `json:"main_department,omitempty"`
	Position       string            `json:"position,omitempty"`
	Status         int               `json:"status"`

	Mobile         string `json:"mobile,omitempty"`
	MobileReadable bool   `json:"mobile_readable"` // false: whether there is one is unknown
	Email          string `json:"email,omitempty"` // WeCom's email, never its biz_mail
	EmailReadable  bool   `json:"email_readable"`

	Designated      bool  `json:"designated"` // on WeCom's list of members to archive
	DesignatedKnown bool  `json:"designated_known"`
	Editions        []int `json:"editions,omitempty"` // 1 office, 2 service, 3 enterprise
}

// The types of external contact. 0 is "not known which".
const (
	TypeWeChat  = 1
	TypeCompany = 2
)

// External is an external contact.
type External struct {
	Name      string            `json:"name,omitempty"`
	Type      int               `json:"type"`
	Corp      string            `json:"corp,omitempty"` // the other company's short name
	CorpFull  string            `json:"corp_full,omitempty"`
	Position  string            `json:"position,omitempty"`
	Followers []archive.PartyID `json:"followers,omitempty"` // the members whose contact it is; none if it is known from a room alone
}

// The kinds of room.
const (
	RoomInternal = "internal"
	RoomExternal = "external"
	RoomUnknown  = "" // WeCom won't show it
)

// Room is a group.
type Room struct {
	Name    string            `json:"name,omitempty"`
	Kind    string            `json:"kind"`
	Owner   archive.PartyID   `json:"owner,omitempty"`
	Created int64             `json:"created,omitempty"` // Unix seconds
	Count   int               `json:"count,omitempty"`   // members; 0 if not shown
	Members []archive.PartyID `json:"members,omitempty"` // none if there are more than MostListed: then the snapshot alone has them
	Listed  bool              `json:"listed,omitempty"`  // on the list of rooms with external members
}

// MostListed is how many parties one entry lists. A company's group of all its staff would not fit into a row.
const MostListed = 2000

// Shown says whether WeCom showed more of the room than that it exists.
func (r Room) Shown() bool { return r.Name != "" || r.Count > 0 || len(r.Members) > 0 }

// Robot is a robot.
type Robot struct {
	Name    string          `json:"name,omitempty"`
	Creator archive.PartyID `json:"creator,omitempty"`
}

// Fields writes a state in canonical form: a JSON object with sorted names, sets sorted and without doubles, so that equal states are equal
// texts.
func Fields[S State](s S) string {
	switch s := any(&s).(type) {
	case *Department:
		s.Leaders = set(s.Leaders)
	case *Member:
		s.Departments, s.Leads, s.Editions, s.DirectLeaders = set(s.Departments), set(s.Leads), set(s.Editions), set(s.DirectLeaders)
	case *External:
		s.Followers = set(s.Followers)
		s.Followers = s.Followers[:min(len(s.Followers), MostListed)]
	case *Room:
		if s.Members = set(s.Members); len(s.Members) > 0 {
			s.Count = len(s.Members)
		}
		if s.Count > MostListed {
			s.Members = nil
		}
	}
	text, err := canonical(s)
	if err != nil {
		panic(fmt.Sprintf("a state of plain fields can't be written: %v", err))
	}
	return text
}

// Parse reads what Fields wrote. Names that this version does not know are skipped.
func Parse[S State](fields string) (S, error) {
	var s S
	if err := json.Unmarshal([]byte(fields), &s); err != nil {
		return s, fmt.Errorf("the fields of a directory entry are no state of it")
	}
	return s, nil
}

func set[E ~string | ~int](list []E) []E {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// canonical writes a value that marshals to a JSON object with its names sorted at every level.
func canonical(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return "", err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(tree); err != nil {
		return "", err
	}
	return string(bytes.TrimRight(out.Bytes(), "\n")), nil
}

// At is the state of a history, the oldest first, that holds at a time: before the first one, the first. ok is false for an empty history.
func At(history []Entry, at time.Time) (state Entry, ok bool) {
	states := from(history, at)
	if len(states) == 0 {
		return Entry{}, false
	}
	return states[0], true
}

// from is the part of a history that begins with the state that holds at a time.
func from(history []Entry, at time.Time) []Entry {
	first := 0
	for i, e := range history {
		if e.At.After(at) {
			break
		}
		first = i
	}
	return history[min(first, len(history)):]
}

// Since is when what holds in the newest state of a history began: the time of the first state of the last unbroken row of states for which
// holds is true. ok is false if it does not hold now. Before the first state nothing is known: there, since is the history's begin.
func Since[S State](history []Entry, holds func(state S, gone bool) bool) (since time.Time, ok bool, err error) {
	for _, e := range slices.Backward(history) {
		state, err := Parse[S](e.Fields)
		if err != nil {
			return time.Time{}, false, fmt.Errorf("%s %s: %w", e.Kind, e.ID, err)
		}
		if !holds(state, e.Gone) {
			break
		}
		since, ok = e.At, true
	}
	return since, ok, nil
}

// departments calls f for each department among entries, those that are gone included, with WeCom's number and its state.
func departments(entries []Entry, f func(id int, d Department, gone bool)) error {
	for _, e := range entries {
		if e.Kind != KindDepartment {
			continue
		}
		id, err := strconv.Atoi(e.ID)
		if err != nil {
			return fmt.Errorf("department %s is no number", e.ID)
		}
		d, err := Parse[Department](e.Fields)
		if err != nil {
			return fmt.Errorf("department %s: %w", e.ID, err)
		}
		f(id, d, e.Gone)
	}
	return nil
}

// DepartmentNames is the names of the departments among entries that are there, by WeCom's number; "" if only the number could be read.
func DepartmentNames(entries []Entry) (map[int]string, error) {
	names := map[int]string{}
	err := departments(entries, func(id int, d Department, gone bool) {
		if !gone {
			names[id] = d.Name
		}
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// HadMobile says whether any state of a member's history had a mobile. An empty one now, though readable, is then a lost one.
func HadMobile(history []Entry) bool {
	return slices.ContainsFunc(history, func(e Entry) bool {
		m, err := Parse[Member](e.Fields)
		return err == nil && m.Mobile != ""
	})
}
