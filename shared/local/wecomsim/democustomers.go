package wecomsim

import (
	"fmt"
	"slices"
)

// customers is what WeCom tells of on a day beside members: a customer agrees to being archived with a member to whom he had not agreed, which is told as
// msg_audit_approved; and one comes into a group on odd days, and leaves it on even ones, which is told as change_external_chat. A refusal is told by nothing.
func (d *demoRun) customers() error {
	c, err := d.s.corpNamed(DemoCorp)
	if err != nil {
		return err
	}
	k, r, now := &c.contacts, demoRand("customers", d.day), d.s.now().Unix()
	var open []int
	for i, x := range k.Consents {
		if x.UserID != "" && x.Status != "Agree" && k.member(x.UserID) != nil && k.external(x.External).follow(x.UserID) != nil {
			open = append(open, i)
		}
	}
	if len(open) > 0 { // after some weeks everybody has agreed
		x := &k.Consents[open[r.IntN(len(open))]]
		x.Status, x.Changed = "Agree", now
		d.happened(DemoEvent{Kind: EventConsent, Corp: c.ID, Text: fmt.Sprintf("%s: a customer agrees to being archived with a member", c.Name)})
	}
	room := k.room(demoRoomID("out1"))
	if room == nil || len(room.Members) == 0 {
		return fmt.Errorf("the story of day %d lacks a group with customers", d.day)
	}
	if d.day%2 == 0 {
		last := len(room.Members) - 1
		if k.external(room.Members[last]) == nil {
			return fmt.Errorf("the story of day %d: the customer of the day before is not in the group", d.day)
		}
		room.Members = room.Members[:last]
		d.happened(DemoEvent{Kind: EventMember, Corp: c.ID, Text: fmt.Sprintf("%s: a customer leaves a group", c.Name)})
		return nil
	}
	for _, i := range r.Perm(len(k.Externals)) {
		x := &k.Externals[i]
		if slices.Contains(room.Members, x.ID) || !slices.ContainsFunc(x.FollowUsers, func(f Follow) bool { return slices.Contains(room.Members, f.UserID) }) {
			continue
		}
		room.Members = append(room.Members, x.ID)
		k.Consents = slices.DeleteFunc(k.Consents, func(y Consent) bool { return y.RoomID == room.ID && y.External == x.ID && y.UserID == "" })
		k.Consents = append(k.Consents, Consent{RoomID: room.ID, External: x.ID, Status: "Agree", Changed: now})
		d.happened(DemoEvent{Kind: EventMember, Corp: c.ID, Text: fmt.Sprintf("%s: a customer comes into a group, and agrees to being archived there", c.Name)})
		return nil
	}
	return fmt.Errorf("the story of day %d lacks a customer for the group", d.day)
}
