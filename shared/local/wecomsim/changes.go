package wecomsim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// tellChanges stores the events of what differs between the contacts in the file and those in memory. mu is held.
func (s *Sim) tellChanges(tx *bolt.Tx, c *corp) error {
	renamed := c.renamed
	c.renamed, c.told = nil, nil
	if len(c.Callbacks) == 0 {
		return nil
	}
	var before contacts
	if raw := tx.Bucket(bucketContacts).Get([]byte(c.ID)); raw != nil {
		if err := json.Unmarshal(raw, &before); err != nil {
			return fmt.Errorf("reading the contacts of corp %s: %w", c.ID, err)
		}
	}
	full := false
	if address := c.callback(CallbackContacts); address != nil {
		full = address.Full
	}
	all := slices.Concat(
		departmentEvents(&before, &c.contacts, full), memberEvents(&before, &c.contacts, renamed, full),
		externalEvents(&before, &c.contacts, renamed), consentEvents(&before, &c.contacts), roomEvents(&before, &c.contacts, renamed))
	for _, e := range all {
		d, err := s.tell(tx, c, e, s.now())
		if err != nil {
			return err
		}
		if d != nil {
			c.told = append(c.told, d.ID)
		}
	}
	return nil
}

func contactEvent(change string, parts ...string) event {
	return event{kind: CallbackContacts, name: "change_contact", change: change, xml: strings.Join(parts, "")}
}

func numbers(list []int) string {
	var b []string
	for _, n := range list {
		b = append(b, strconv.Itoa(n))
	}
	return strings.Join(b, ",")
}

// departmentEvents come before those of members: who comes into a new department comes after it.
func departmentEvents(before, after *contacts, full bool) []event {
	var list []event
	for _, d := range after.Departments {
		old := before.department(d.ID)
		switch {
		case old == nil && full:
			list = append(list, contactEvent("create_party", bare("Id", strconv.Itoa(d.ID)), cdata("Name", d.Name), bare("ParentId", strconv.Itoa(d.Parent)), bare("Order", fmt.Sprint(d.Order))))
		case old == nil:
			list = append(list, contactEvent("create_party", bare("Id", strconv.Itoa(d.ID)), bare("ParentId", strconv.Itoa(d.Parent))))
		case old.Parent != d.Parent || full && old.Name != d.Name:
			parts := []string{bare("Id", strconv.Itoa(d.ID))}
			if full && old.Name != d.Name {
				parts = append(parts, cdata("Name", d.Name))
			}
			if old.Parent != d.Parent {
				parts = append(parts, bare("ParentId", strconv.Itoa(d.Parent)))
			}
			list = append(list, contactEvent("update_party", parts...))
		}
	}
	for _, d := range before.Departments {
		if after.department(d.ID) == nil {
			list = append(list, contactEvent("delete_party", bare("Id", strconv.Itoa(d.ID))))
		}
	}
	return list
}

// inForce says whether a member is one: a member of status 5 has left, which is told as a deletion.
func inForce(m *Member) bool { return m != nil && m.Status != 5 }

func memberEvents(before, after *contacts, renamed map[string]string, full bool) []event {
	var list []event
	for i := range after.Members {
		m := &after.Members[i]
		oldID := m.UserID
		if from := renamed[m.UserID]; from != "" {
			oldID = from
		}
		old := before.member(oldID)
		switch {
		case !inForce(m) && inForce(old):
			list = append(list, contactEvent("delete_user", cdata("UserID", old.UserID)))
		case !inForce(m):
		case !inForce(old):
			parts := []string{cdata("UserID", m.UserID)}
			if full {
				parts = append(parts, m.changed(&Member{})...)
			} else {
				parts = append(parts, cdata("Department", numbers(m.Department)))
			}
			list = append(list, contactEvent("create_user", parts...))
		default:
			parts := m.changed(old)
			if !full {
				parts = nil
				if !slices.Equal(old.Department, m.Department) || !slices.Equal(old.IsLeaderInDept, m.IsLeaderInDept) {
					parts = []string{cdata("Department", numbers(m.Department))}
				}
			}
			if old.UserID != m.UserID {
				parts = append([]string{cdata("NewUserID", m.UserID)}, parts...)
			}
			if len(parts) > 0 {
				list = append(list, contactEvent("update_user", append([]string{cdata("UserID", old.UserID)}, parts...)...))
			}
		}
	}
	was := map[string]bool{}
	for _, from := range renamed {
		was[from] = true
	}
	for i := range before.Members {
		if m := &before.Members[i]; inForce(m) && after.member(m.UserID) == nil && !was[m.UserID] {
			list = append(list, contactEvent("delete_user", cdata("UserID", m.UserID)))
		}
	}
	return list
}

// changed are the elements of the fields that differ, as an address that was saved before 2022-08-15 is sent them.
func (m *Member) changed(old *Member) []string {
	var parts []string
	text := func(name, from, to string) {
		if from != to {
			parts = append(parts, cdata(name, to))
		}
	}
	text("Name", old.Name, m.Name)
	text("Department", numbers(old.Department), numbers(m.Department))
	text("MainDepartment", strconv.Itoa(old.MainDepartment), strconv.Itoa(m.MainDepartment))
	text("IsLeaderInDept", numbers(old.IsLeaderInDept), numbers(m.IsLeaderInDept))
	text("DirectLeader", strings.Join(old.DirectLeader, ","), strings.Join(m.DirectLeader, ","))
	text("Position", old.Position, m.Position)
	text("Mobile", old.Mobile, m.Mobile)
	text("Gender", old.Gender, m.Gender)
	text("Email", old.Email, m.Email)
	text("BizMail", old.BizMail, m.BizMail)
	text("Alias", old.Alias, m.Alias)
	text("Telephone", old.Telephone, m.Telephone)
	text("Address", old.Address, m.Address)
	if old.Status != m.Status {
		parts = append(parts, bare("Status", strconv.Itoa(m.Status)))
	}
	return parts
}

func customerEvent(change, userid, external string, more ...string) event {
	return event{
		kind: CallbackCustomer, name: "change_external_contact", change: change,
		xml: cdata("UserID", userid) + cdata("ExternalUserID", external) + strings.Join(more, ""),
	}
}

func (x *External) follow(userid string) *Follow {
	if x == nil {
		return nil
	}
	for i := range x.FollowUsers {
		if equalFold(x.FollowUsers[i].UserID, userid) {
			return &x.FollowUsers[i]
		}
	}
	return nil
}

func renamedFrom(renamed map[string]string, id string) string {
	if from := renamed[id]; from != "" {
		return from
	}
	return id
}

func externalEvents(before, after *contacts, renamed map[string]string) []event {
	var list []event
	to := map[string]string{}
	for id, from := range renamed {
		to[from] = id
	}
	for i := range after.Externals {
		x := &after.Externals[i]
		old := before.external(x.ID)
		for _, f := range x.FollowUsers {
			was := old.follow(renamedFrom(renamed, f.UserID))
			switch {
			case was == nil:
				list = append(list, customerEvent("add_external_contact", f.UserID, x.ID, cdata("WelcomeCode", fmt.Sprintf("welcome-%x", hash64(f.UserID, x.ID)))))
			case was.Remark != f.Remark || was.Description != f.Description:
				list = append(list, customerEvent("edit_external_contact", f.UserID, x.ID))
			}
		}
	}
	for i := range before.Externals {
		x := &before.Externals[i]
		now := after.external(x.ID)
		for _, f := range x.FollowUsers {
			id := f.UserID
			if to[id] != "" {
				id = to[id]
			}
			if now.follow(id) == nil {
				list = append(list, customerEvent("del_external_contact", f.UserID, x.ID))
			}
		}
	}
	return list
}

// consentEvents tell of agreement alone: WeCom has no event for a refusal, and none for rooms.
func consentEvents(before, after *contacts) []event {
	var list []event
	for _, x := range after.Consents {
		if x.UserID == "" || x.Status != "Agree" || before.consent(x.UserID, "", x.External).Status == "Agree" {
			continue
		}
		list = append(list, customerEvent("msg_audit_approved", x.UserID, x.External, cdata("WelcomeCode", fmt.Sprintf("welcome-%x", hash64(x.UserID, x.External, x.Changed)))))
	}
	return list
}

func roomEvent(change, room string, more ...string) event {
	return event{kind: CallbackCustomer, name: "change_external_chat", change: change, xml: cdata("ChatId", room) + strings.Join(more, "")}
}

func roomUpdate(room, detail string, parties []string) event {
	parts := []string{cdata("UpdateDetail", detail)}
	if parties != nil {
		var items strings.Builder
		for _, id := range parties {
			items.WriteString(cdata("Item", id))
		}
		scene := bare("JoinScene", "0")
		if detail == "del_member" {
			scene = bare("QuitScene", "0")
		}
		parts = append(parts, scene, bare("MemChangeCnt", strconv.Itoa(len(parties))), "<MemChangeList>"+items.String()+"</MemChangeList>")
	}
	return roomEvent("update", room, parts...)
}

func roomEvents(before, after *contacts, renamed map[string]string) []event {
	var list []event
	shown := func(r *Room) bool { return r != nil && r.Kind == RoomExternal }
	to := map[string]string{}
	for id, from := range renamed {
		to[from] = id
	}
	for i := range after.Rooms {
		r := &after.Rooms[i]
		old := before.room(r.ID)
		switch {
		case shown(old) && r.Kind == RoomDismissed:
			list = append(list, roomEvent("dismiss", r.ID))
		case !shown(r):
		case !shown(old):
			list = append(list, roomEvent("create", r.ID))
		default:
			var was, came, went []string
			for _, id := range old.Members {
				if to[id] != "" {
					id = to[id]
				}
				was = append(was, id)
				if !slices.Contains(r.Members, id) {
					went = append(went, id)
				}
			}
			for _, id := range r.Members {
				if !slices.Contains(was, id) {
					came = append(came, id)
				}
			}
			if came != nil {
				list = append(list, roomUpdate(r.ID, "add_member", came))
			}
			if went != nil {
				list = append(list, roomUpdate(r.ID, "del_member", went))
			}
			if renamedFrom(renamed, r.Owner) != old.Owner {
				list = append(list, roomUpdate(r.ID, "change_owner", nil))
			}
			if r.Name != old.Name {
				list = append(list, roomUpdate(r.ID, "change_name", nil))
			}
			if r.Notice != old.Notice {
				list = append(list, roomUpdate(r.ID, "change_notice", nil))
			}
		}
	}
	for i := range before.Rooms {
		if r := &before.Rooms[i]; shown(r) && after.room(r.ID) == nil {
			list = append(list, roomEvent("dismiss", r.ID))
		}
	}
	return list
}
