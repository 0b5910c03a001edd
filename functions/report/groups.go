package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// groups makes R6 of a corp if there is something to tell of groups with members who have not agreed: to each receiver of what is within his scope.
// consent keeps these alarms and asks for this; like R7 it is told once.
func (r *reporter) groups(ctx context.Context, c ledger.Corp) error {
	alarms, err := r.ledger.Breaches(ctx, c.ID)
	if err != nil {
		return err
	}
	if alarms, err = r.worthTelling(ctx, c.ID, alarms); err != nil {
		return err
	}
	if len(alarms) == 0 {
		return nil
	}
	whole, err := r.groupsFacts(ctx, c, alarms, r.now(), false)
	if err != nil {
		return err
	}
	audiences, err := r.groupAudiences(ctx, c, whole)
	if err != nil {
		return err
	}
	return r.tell(ctx, c, matter{kind: report.GroupsBreach, alarms: alarms, audiences: audiences, told: r.ledger.ToldBreach,
		facts: func(ctx context.Context, run ledger.Run, m *made, who audience, alarms []ledger.Alarm, to []ledger.Receiver) error {
			facts := told(whole.Pick(who.rows, who.holds), alarms, to, m.noon)
			facts.Now = m.noon
			kept := groupsKept{Receivers: to, Departments: who.departments, Facts: facts}
			var err error
			if m.object, err = keepFacts(ctx, r, run, run.Day[:len(time.DateOnly)], m.name, &kept); err != nil {
				return err
			}
			m.noon = kept.Facts.Now
			m.each = alertMails(run, *m, kept.Receivers, report.View{Departments: kept.Departments, GuideURL: r.guide}, func(v report.View) (report.Mail, error) { return report.NewGroupsBreach(kept.Facts, v) })
			return nil
		}})
}

// worthTelling leaves out the alarms that are over and were told so: nobody's news, unless the mail to somebody did not arrive.
func (r *reporter) worthTelling(ctx context.Context, corp archive.CorpID, alarms []ledger.Alarm) ([]ledger.Alarm, error) {
	var err error
	arrived := func(day, id string) bool {
		mail, failed := r.ledger.Mail(ctx, corp, day+"#"+string(report.GroupsBreach)+"#"+id)
		if failed != nil && !errors.Is(failed, ledger.ErrAbsent) {
			err = failed
		}
		_, unheard := mail.Unheard()
		return !unheard
	}
	alarms = slices.DeleteFunc(alarms, func(a ledger.Alarm) bool {
		if a.Open || a.Told != a.Fingerprint() {
			return false
		}
		for id, h := range a.ToldTo {
			if a.Lately(r.now()) && (!h.Again.IsZero() || h.Mail != "" && !arrived(h.Mail, id)) {
				return false
			}
		}
		return true
	})
	return alarms, err
}

// groupsKept is what is kept of an alert.
type groupsKept struct {
	Receivers   []ledger.Receiver  `json:"receivers"`
	Departments []string           `json:"departments,omitempty"` // that the mails are confined to
	Facts       report.GroupsFacts `json:"facts"`
}

// told is the facts with what is new to some receivers, without the groups that there is nothing to tell of.
func told(f report.GroupsFacts, alarms []ledger.Alarm, to []ledger.Receiver, now time.Time) report.GroupsFacts {
	news := map[archive.RoomID]report.News{}
	for _, a := range alarms {
		if n, tell := newsOf(a, to, now); tell {
			news[archive.RoomID(a.Cause)] = n
		}
	}
	f.Groups = slices.Clone(f.Groups)
	var rows []int32
	for i, row := range f.Rows {
		g := &f.Groups[row.Group]
		if n, tell := news[g.ID]; tell {
			g.News = n
			rows = append(rows, int32(i)) // #nosec G115 -- as many as a company has members in groups
		}
	}
	return f.Pick(rows, func([]int) bool { return true }) // they are within the scope already
}

// groupsDay is R6 of a day, for those who get it at noon: what was open then, and of which groups that can't be told.
func (r *reporter) groupsDay(ctx context.Context, day *today) (report.GroupsFacts, error) {
	alarms, err := r.ledger.Breaches(ctx, day.corp.ID)
	if err != nil {
		return report.GroupsFacts{}, err
	}
	alarms = openAt(alarms, day.noon)
	f, err := r.groupsFacts(ctx, day.corp, alarms, day.noon, true)
	return f, err
}

// openAt is the alarms that were open at a noon, as they were then; what ended since keeps when. One that ended since and is open again by now is not known.
func openAt(alarms []ledger.Alarm, noon time.Time) []ledger.Alarm {
	alarms = slices.DeleteFunc(alarms, func(a ledger.Alarm) bool { return !a.Since.Before(noon) || !a.Open && a.Over.Before(noon) })
	for i := range alarms {
		alarms[i].Open = true
	}
	return alarms
}

// standingAt is where a subject stood at a noon; known is false if nothing was found of it by then.
func standingAt(s ledger.Standing, noon time.Time) (then ledger.Standing, known bool) {
	n := len(s.Changes)
	for n > 0 && !s.Changes[n-1].Found.Before(noon) {
		n--
		s.State = s.Changes[n].Old
	}
	known = n > 0 || len(s.Changes) == 0
	s.Changes = s.Changes[:n]
	return s, known
}

// roomAt is a room as the directory had it at a noon.
func (r *reporter) roomAt(ctx context.Context, corp archive.CorpID, id archive.RoomID, noon time.Time) (room directory.Room, err error) {
	history, err := r.ledger.EntryHistory(ctx, corp, directory.KindRoom, string(id))
	if err != nil {
		return room, err
	}
	var then directory.Entry
	for _, e := range history {
		if e.At.Before(noon) && !e.At.Before(then.At) {
			then = e
		}
	}
	if then.Fields == "" {
		return room, nil
	}
	return directory.Parse[directory.Room](then.Fields)
}

// groupAudiences are the receivers of R6 as they are now, those together who see the same. Switched off, there are none.
func (r *reporter) groupAudiences(ctx context.Context, c ledger.Corp, whole report.GroupsFacts) ([]audience, error) {
	k, err := r.read(ctx, r.day(c, r.now(), &company{}))
	if err != nil {
		return nil, err
	}
	names, err := directory.DepartmentNames(k.departments)
	if err != nil {
		return nil, fmt.Errorf("departments of corp %s: %w", c.ID, err)
	}
	letters := receivers.Route(k.receivers, report.GroupsBreach, r.now().Add(time.Millisecond))
	scopes, err := receivers.NewScopes(k.receivers.Tree, letters)
	if err != nil {
		return nil, err
	}
	dead, err := r.suppressed(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	audiences, rows := make([]audience, scopes.Len()), scopes.Spread(whole.Of(), whole.Row)
	for _, l := range letters {
		place := scopes.Of(l)
		who := &audiences[place]
		who.all = append(who.all, ledger.Receiver{Address: l.Address, Language: string(l.Language)})
		if who.holds = scopes.Holds(place); !scopes.All(place) {
			who.departments = departmentWords(l.Departments, names)
		}
	}
	for i := range audiences {
		who := &audiences[i]
		who.reachable, who.rows = dead.without(who.all), rows[i]
		seen := map[string]bool{}
		for _, row := range who.rows {
			seen[string(whole.Groups[whole.Rows[row].Group].ID)] = true
		}
		who.concerns = func(a ledger.Alarm) bool { return seen[a.Cause] }
	}
	return audiences, nil
}

// named is what the directory says of those whom R6 names.
type named struct {
	members   map[archive.PartyID]ours
	externals map[archive.PartyID]directory.External
	rooms     map[archive.RoomID]directory.Room
	entered   map[archive.RoomID]ledger.RoomName // names that WeCom does not show
}

// ours is a member as R6 names him.
type ours struct {
	name        string
	departments []int
}

// groupCompany reads who is named: all members, and of rooms and external contacts, of whom a company may know ten times as many, those that are wanted.
func (r *reporter) groupCompany(ctx context.Context, corp archive.CorpID, groups map[archive.RoomID]report.Group, standings map[archive.RoomID][]ledger.Standing) (named, error) {
	wanted := map[archive.PartyID]bool{}
	for id := range groups {
		for _, s := range standings[id] {
			wanted[s.Subject.External] = true
		}
	}
	k := named{map[archive.PartyID]ours{}, map[archive.PartyID]directory.External{}, map[archive.RoomID]directory.Room{}, map[archive.RoomID]ledger.RoomName{}}
	var odd error
	err := r.ledger.Entries(ctx, corp, "", func(e directory.Entry) bool {
		switch e.Kind {
		case directory.KindMember:
			var m directory.Member
			m, odd = directory.Parse[directory.Member](e.Fields)
			k.members[archive.PartyID(e.ID)] = ours{m.Name, m.Departments}
		case directory.KindExternal:
			if id := archive.PartyID(e.ID); wanted[id] {
				k.externals[id], odd = directory.Parse[directory.External](e.Fields)
			}
		case directory.KindRoom:
			if id := archive.RoomID(e.ID); there(groups, id) {
				k.rooms[id], odd = directory.Parse[directory.Room](e.Fields)
			}
		case directory.KindDepartment, directory.KindRobot:
		}
		if odd != nil {
			odd = fmt.Errorf("%s %s of corp %s: %w", e.Kind, e.ID, corp, odd)
		}
		return odd == nil
	})
	if err = errors.Join(err, odd); err != nil {
		return k, err
	}
	return k, r.ledger.RoomNames(ctx, corp, func(n ledger.RoomName) bool { k.entered[n.Room] = n; return true })
}

// groupsFacts is what R6 tells the whole company: of the alarms given, and for the day's list also of the groups of which it can't be told who agreed, and
// of those where somebody agreed by default alone.
func (r *reporter) groupsFacts(ctx context.Context, c ledger.Corp, alarms []ledger.Alarm, now time.Time, daily bool) (report.GroupsFacts, error) {
	f := report.GroupsFacts{Corp: report.Corp{ID: c.ID, Name: c.Name}, Marks: r.marks(c), Now: now, Daily: daily}
	err := r.ledger.Rounds(ctx, c.ID, ledger.RoundOfRooms, func(l ledger.Round) bool {
		if l.Next == "" && l.Why == "" {
			f.Asked = l.Until
			return false
		}
		if f.Trying == "" {
			f.Trying = l.Why
		}
		return true
	})
	if err != nil {
		return f, err
	}
	standings := map[archive.RoomID][]ledger.Standing{}
	err = r.ledger.Standings(ctx, c.ID, true, func(s ledger.Standing) bool {
		known := true
		if daily {
			s, known = standingAt(s, now)
		}
		if known {
			standings[s.Subject.Room] = append(standings[s.Subject.Room], s)
		}
		return true
	})
	if err != nil {
		return f, err
	}
	groups := map[archive.RoomID]report.Group{}
	var since []archive.RoomID // whose alarm ended since the day's noon: who is in it may be others now
	for _, a := range alarms {
		g := report.Group{ID: archive.RoomID(a.Cause), FirstSeen: a.Since, Ended: a.Over, Ending: ending(a)}
		if daily && !a.Over.Before(now) {
			g.Ended = time.Time{}
			since = append(since, g.ID)
		}
		groups[g.ID] = g
	}
	for id, list := range standings {
		if daily && !there(groups, id) && apart(list) {
			groups[id] = report.Group{ID: id}
		}
	}
	known, err := r.groupCompany(ctx, c.ID, groups, standings)
	if err != nil {
		return f, err
	}
	for _, id := range since {
		then, err := r.roomAt(ctx, c.ID, id, now)
		if err != nil {
			return f, fmt.Errorf("room %s of corp %s as it was: %w", id, c.ID, err)
		}
		if len(then.Members) > 0 {
			known.rooms[id] = then
		}
	}
	talk := r.ledger.Talk(c.ID)
	for _, id := range sortedRooms(groups) {
		g, users, err := r.group(ctx, talk, known, groups[id], standings[id])
		if err != nil {
			return f, err
		}
		if g.FirstSeen.IsZero() && len(g.Contacts)+len(g.Archived) == 0 {
			continue // as far as is known nobody from outside is in it
		}
		for i := range users {
			users[i].Group = len(f.Groups)
		}
		f.Groups, f.Rows = append(f.Groups, g), append(f.Rows, users...)
	}
	return f, nil
}

func there(groups map[archive.RoomID]report.Group, id archive.RoomID) bool {
	_, there := groups[id]
	return there
}

func sortedRooms(groups map[archive.RoomID]report.Group) []archive.RoomID {
	ids := make([]archive.RoomID, 0, len(groups))
	for id := range groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func ending(a ledger.Alarm) report.Ending {
	if a.Open {
		return ""
	}
	return report.Ending(a.Detail)
}

// apart says whether a group without an alarm belongs into the day's list: WeCom does not show it, or somebody agreed by default.
func apart(list []ledger.Standing) bool {
	return slices.ContainsFunc(list, func(s ledger.Standing) bool {
		if s.Subject.External == "" {
			return s.Answer.State == consent.Unknown && s.Answer.Why != ""
		}
		return s.State == consent.Default
	})
}

// group is one group, and our users in it.
func (r *reporter) group(ctx context.Context, talk *ledger.Talk, known named, g report.Group, list []ledger.Standing) (report.Group, []report.GroupRow, error) {
	room := known.rooms[g.ID]
	if g.Name = room.Name; g.Name == "" {
		if n := known.entered[g.ID]; n.Name != "" {
			g.Name, g.Entered = n.Name, n.At
		}
	}
	var unread time.Time
	for _, s := range list {
		if s.Subject.External == "" {
			g.Shown, g.Why, unread = s.Answer.State == consent.Shown, s.Answer.Why, s.Unread
		}
	}
	contacts := map[archive.PartyID]bool{}
	for _, s := range list {
		id := s.Subject.External
		if id == "" || len(room.Members) > 0 && !slices.Contains(room.Members, id) {
			continue
		}
		contacts[id] = true
		contact := report.GroupContact{ID: id, Name: known.externals[id].Name, Kind: kindOf(known.externals[id]), State: s.State, Unread: unread,
			Left: s.State == consent.NotYet && s.Answer.Why == consent.LeftOut}
		if n := len(s.Changes); n > 0 {
			contact.Change = s.Changes[n-1].Change
		}
		g.Contacts = append(g.Contacts, contact)
	}
	slices.SortFunc(g.Contacts, func(a, b report.GroupContact) int { return strings.Compare(string(a.ID), string(b.ID)) })

	members := room.Members
	if !g.Shown {
		said, err := talk.Of(ctx, g.ID)
		if err != nil {
			return g, nil, fmt.Errorf("archived messages of room %s: %w", g.ID, err)
		}
		g.First, g.Last = said.First, said.Last
		for _, id := range said.Parties {
			if _, ours := known.members[id]; !ours && !contacts[id] && archive.ParseKind(id) != archive.KindRobot {
				g.Archived = append(g.Archived, id)
			}
		}
		if len(members) == 0 {
			members = said.Parties
		}
	}
	var users []report.GroupRow
	for _, id := range members {
		if m, ours := known.members[id]; ours {
			users = append(users, report.GroupRow{ID: id, Name: m.name, Departments: slices.Clone(m.departments)})
		}
	}
	if len(users) == 0 {
		users = []report.GroupRow{{}} // the whole company's scope alone sees it
	}
	return g, users, nil
}

func kindOf(x directory.External) archive.PartyKind {
	switch x.Type {
	case directory.TypeWeChat:
		return archive.KindWeChat
	case directory.TypeCompany:
		return archive.KindCompany
	default:
		return archive.KindExternal
	}
}
