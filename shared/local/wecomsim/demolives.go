package wecomsim

import (
	"fmt"
	"slices"
)

// lives is what happens to people on a day, beside who joins: somebody leaves, has another number, loses number and email address, and on
// the first day somebody becomes head of a department. Who leaves has no part in what is said; the next morning's talk knows nothing of him either.
func (d *demoRun) lives() error {
	c, err := d.s.corpNamed(DemoCorp)
	if err != nil {
		return err
	}
	k, r := &c.contacts, demoRand("lives", d.day)
	quiet := func(m *Member) bool {
		return m.Status == 1 && m.Mobile != "" && m.Email != "" && !slices.Contains(m.IsLeaderInDept, 1) && m.UserID != demoLostMobile &&
			len(k.followedBy(m.UserID)) == 0 &&
			!slices.ContainsFunc(k.Rooms, func(room Room) bool { return slices.Contains(room.Members, m.UserID) }) &&
			!slices.ContainsFunc(k.Robots, func(robot Robot) bool { return robot.Creator == m.UserID })
	}
	var some []int
	for i := range k.Members {
		if quiet(&k.Members[i]) {
			some = append(some, i)
		}
	}
	const concerned = 3
	if len(some) < concerned {
		return fmt.Errorf("the story of day %d lacks people for what should happen", d.day)
	}
	r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	leaver, changed, unreachable := &k.Members[some[0]], &k.Members[some[1]], &k.Members[some[2]]
	changed.Mobile = fmt.Sprintf("199%08d", hash64("mobile", changed.UserID, d.day)%100000000)
	unreachable.Mobile, unreachable.Email = "", ""
	said := "one has left, one has another mobile number, one has neither number nor email address any more"
	if d.day == 1 {
		// Of the team's own, so that the department has two heads from now on.
		i := slices.IndexFunc(k.Members, func(m Member) bool { return m.Department[0] == 421 && m.Status == 1 && m.IsLeaderInDept[0] == 0 })
		if i >= 0 {
			head := &k.Members[i]
			head.IsLeaderInDept[0] = 1
			team := k.department(421)
			team.Leaders = append(team.Leaders, head.UserID)
			said += ", one is a head of department now"
		}
	}
	gone := leaver.UserID
	for kind, ids := range k.Permit {
		k.Permit[kind] = slices.DeleteFunc(ids, func(id string) bool { return id == gone })
	}
	for i := range k.Members {
		m := &k.Members[i]
		m.DirectLeader = slices.DeleteFunc(m.DirectLeader, func(id string) bool { return id == gone })
	}
	k.Members = slices.DeleteFunc(k.Members, func(m Member) bool { return m.UserID == gone })
	d.happened(DemoEvent{Kind: EventMember, Corp: DemoCorp, Text: fmt.Sprintf("%s: of the members, %s", c.Name, said)})
	return nil
}

// changeOfMind has an external contact of a group take back the consent to archiving on odd days, and give it again on even ones. The group hears of it.
func (d *demoRun) changeOfMind() error {
	c, err := d.s.corpNamed(DemoCorp)
	if err != nil {
		return err
	}
	room := c.contacts.room(demoRoomID("out2"))
	i := -1
	if room != nil {
		i = slices.IndexFunc(room.Members, func(id string) bool { return c.contacts.external(id) != nil })
	}
	if i < 0 {
		return fmt.Errorf("the story of day %d lacks a group with an external contact", d.day)
	}
	who, now := room.Members[i], d.s.now()
	status, kind, timeName, said := "Disagree", "disagree", "disagree_time", "takes back the consent to archiving"
	if d.day%2 == 0 {
		status, kind, timeName, said = "Agree", "agree", "agree_time", "consents to archiving again"
	}
	x := Consent{RoomID: room.ID, External: who, Status: status, Changed: now.Unix()}
	at := slices.IndexFunc(c.contacts.Consents, func(y Consent) bool { return y.RoomID == x.RoomID && y.External == x.External && y.UserID == "" })
	if at < 0 {
		c.contacts.Consents = append(c.contacts.Consents, x)
	} else {
		c.contacts.Consents[at] = x
	}
	p := d.s.player(d.tx, c, d.step, d.day, d.start)
	p.say(Message{From: who, To: slices.DeleteFunc(slices.Clone(room.Members), func(id string) bool { return id == who }), Room: room.ID, Type: kind,
		Payload: raw(object{{"userid", who}, {timeName, p.at(1)}}), Time: p.at(1)})
	if _, _, err := p.store(); err != nil {
		return fmt.Errorf("playing %s for corp %s: %w", d.step.name, c.ID, err)
	}
	d.happened(DemoEvent{Kind: EventConsent, Corp: c.ID, Text: fmt.Sprintf("%s: an external contact of a group %s", c.Name, said)})
	return nil
}
