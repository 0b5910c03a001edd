package wecomsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// The ways to leave a corp.
const (
	LeaveDeleted = "deleted" // an admin deletes the member: user/get answers 60111
	LeaveLeft    = "left"    // the member leaves: status 5, on no list any more
)

// MemberChange is one thing that happens to a member now, by the simulator's clock. One of Join, Fields and Leave is given.
type MemberChange struct {
	Corp   string  `json:"corp"`
	UserID string  `json:"userid"`
	Join   *Member `json:"join,omitempty"`
	// Fields are those of a Member that get another value. A "userid" in them renames the member, wherever it is named.
	Fields json.RawMessage `json:"fields,omitempty"`
	Leave  string          `json:"leave,omitempty"`
}

// MemberChanged says what happened to a member, and when: what a history of the directory must come to.
type MemberChanged struct {
	ID     int    `json:"id"` // in the order of changes, from 1, by corp
	Corp   string `json:"corp"`
	UserID string `json:"userid"` // the one that it has after the change
	At     int64  `json:"at"`     // ms by the simulator's clock
	What   string `json:"what"`   // joined, changed, renamed, deleted, left, or nothing
	// Fields are those that differ, by WeCom's names, sorted.
	Fields []FieldChange `json:"fields,omitempty"`
	// Deliveries are the events that tell of it, by their ids; none if WeCom tells nobody.
	Deliveries []int `json:"deliveries,omitempty"`
}

// FieldChange is a field before and after, as JSON; null is absent.
type FieldChange struct {
	Field string          `json:"field"`
	From  json.RawMessage `json:"from"`
	To    json.RawMessage `json:"to"`
}

// ConsentChange is an external contact's word about archiving, now.
type ConsentChange struct {
	Corp     string `json:"corp"`
	UserID   string `json:"userid,omitempty"`
	RoomID   string `json:"roomid,omitempty"`
	External string `json:"exteranalopenid"`
	Status   string `json:"agree_status"`
	// Message puts WeCom's agree or disagree into the chat data too.
	Message bool `json:"message,omitempty"`
}

func (s *Sim) routeLives() {
	control(s, "POST /sim/member", s.changeMember)
	control(s, "POST /sim/consent", s.changeConsent)
	listing(s, "GET /sim/changes", s.changes)
}

func (s *Sim) changeMember(n MemberChange) (MemberChanged, error) {
	c, err := s.corpNamed(n.Corp)
	if err != nil {
		return MemberChanged{}, err
	}
	given := 0
	for _, is := range []bool{n.Join != nil, len(n.Fields) > 0, n.Leave != ""} {
		if is {
			given++
		}
	}
	if given != 1 || n.UserID == "" {
		return MemberChanged{}, asked("a userid is needed, and one of join, fields and leave")
	}
	was := c.contacts.member(n.UserID)
	if (was == nil) != (n.Join != nil) && (n.Join == nil || was.Status != 5) {
		return MemberChanged{}, asked("there is a member %q already, or none", n.UserID)
	}
	before, err := fieldsOf(was)
	if err != nil {
		return MemberChanged{}, err
	}
	id, what := n.UserID, "changed"
	change := ChangeContacts{Corp: n.Corp}
	switch {
	case n.Join != nil:
		what = "joined"
		n.Join.UserID = n.UserID
		change.Members = []Member{*n.Join}
	case n.Leave == LeaveDeleted:
		what = LeaveDeleted
		change.Remove = []string{was.UserID}
	case n.Leave == LeaveLeft:
		what = LeaveLeft
		change.Change = map[string]json.RawMessage{n.UserID: json.RawMessage(`{"status":5}`)}
	case n.Leave != "":
		return MemberChanged{}, asked("%q is no way to leave: %q or %q", n.Leave, LeaveDeleted, LeaveLeft)
	default:
		var other struct {
			UserID string `json:"userid"`
		}
		// Whether the fields are those of a member shows when they are taken over.
		if json.Unmarshal(n.Fields, &other) == nil && other.UserID != "" && other.UserID != was.UserID {
			id, what = other.UserID, "renamed"
		}
		change.Change = map[string]json.RawMessage{n.UserID: n.Fields}
	}
	done := MemberChanged{Corp: c.ID, UserID: id, At: ms(s.now()), What: what}
	err = s.alterContacts(c, change, func(tx *bolt.Tx) error {
		now, err := fieldsOf(c.contacts.member(id))
		if err != nil {
			return err
		}
		done.Fields = differing(before, now)
		if len(done.Fields) == 0 {
			done.What = "nothing"
		}
		done.Deliveries = slices.Clone(c.told)
		b, err := tx.Bucket(bucketChanges).CreateBucketIfNotExists([]byte(c.ID))
		if err != nil {
			return fmt.Errorf("making the changes of corp %s: %w", c.ID, err)
		}
		number, err := b.NextSequence()
		if err != nil {
			return fmt.Errorf("numbering a change of corp %s: %w", c.ID, err)
		}
		done.ID = int(number) // #nosec G115 -- counts from 1
		return put(b, seqKey(number), done)
	})
	return done, err
}

func fieldsOf(m *Member) (map[string]json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	if m == nil {
		return fields, nil
	}
	b, err := plainJSON(m)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, fmt.Errorf("reading a member: %w", err)
	}
	return fields, nil
}

func differing(before, after map[string]json.RawMessage) []FieldChange {
	names := map[string]bool{}
	for name := range before {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	null := json.RawMessage("null")
	var list []FieldChange
	for _, name := range sortedNames(names) {
		c := FieldChange{Field: name, From: before[name], To: after[name]}
		if bytes.Equal(c.From, c.To) {
			continue
		}
		if c.From == nil {
			c.From = null
		}
		if c.To == nil {
			c.To = null
		}
		list = append(list, c)
	}
	return list
}

func (s *Sim) changes(corp string, after int) ([]MemberChanged, error) {
	list := []MemberChanged{}
	err := s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketChanges).Bucket([]byte(corp))
		if b == nil {
			return nil
		}
		cur := b.Cursor()
		for k, v := cur.Seek(seqKey(uint64(after) + 1)); k != nil; k, v = cur.Next() { // #nosec G115 -- not negative
			var m MemberChanged
			if err := json.Unmarshal(v, &m); err != nil {
				return fmt.Errorf("reading a change of corp %s: %w", corp, err)
			}
			list = append(list, m)
		}
		return nil
	})
	return list, err
}

func (s *Sim) changeConsent(n ConsentChange) (Consent, error) {
	c, err := s.corpNamed(n.Corp)
	if err != nil {
		return Consent{}, err
	}
	if (n.UserID == "") == (n.RoomID == "") {
		return Consent{}, asked("consent is given to one member or in one room")
	}
	if !slices.Contains([]string{"Agree", "Disagree", agreeByDefault}, n.Status) {
		return Consent{}, asked("%q is no state of consent", n.Status)
	}
	now := s.now()
	x := Consent{UserID: n.UserID, RoomID: n.RoomID, External: n.External, Status: n.Status, Changed: now.Unix()}
	err = s.alterContacts(c, ChangeContacts{Consents: []Consent{x}}, nil)
	if err != nil || !n.Message || n.Status == agreeByDefault {
		return x, err
	}
	kind, timeName, to := "agree", "agree_time", []string{n.UserID}
	if n.Status == "Disagree" {
		kind, timeName = "disagree", "disagree_time"
	}
	if n.RoomID != "" {
		if r := c.contacts.room(n.RoomID); r != nil {
			to = slices.DeleteFunc(slices.Clone(r.Members), func(id string) bool { return id == n.External })
		}
	}
	payload, err := plainJSON(object{{"userid", n.External}, {timeName, ms(now)}})
	if err != nil {
		return x, err
	}
	_, err = s.send(c, Message{From: n.External, To: to, Room: n.RoomID, Type: kind, Payload: payload})
	return x, err
}

// rename gives a member another userid, wherever it is named.
func (c *contacts) rename(from, to string) {
	swap := func(list []string) {
		for i := range list {
			if equalFold(list[i], from) {
				list[i] = to
			}
		}
	}
	one := func(id *string) {
		if equalFold(*id, from) {
			*id = to
		}
	}
	for i := range c.Departments {
		swap(c.Departments[i].Leaders)
	}
	for i := range c.Members {
		swap(c.Members[i].DirectLeader)
	}
	for i := range c.Externals {
		for j := range c.Externals[i].FollowUsers {
			one(&c.Externals[i].FollowUsers[j].UserID)
		}
	}
	for i := range c.Robots {
		one(&c.Robots[i].Creator)
	}
	for i := range c.Rooms {
		one(&c.Rooms[i].Owner)
		swap(c.Rooms[i].Members)
	}
	for _, ids := range c.Permit {
		swap(ids)
	}
	for i := range c.Consents {
		one(&c.Consents[i].UserID)
	}
}
