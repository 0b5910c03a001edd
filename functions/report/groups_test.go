package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

var gus = archive.PartyID("wm" + strings.Repeat("g", 30))

// withGroups makes a company of two departments with a head each, a receiver of everything, and a group of the first department with a contact who disagreed.
func (d *desk) withGroups(id archive.CorpID) ledger.Corp {
	d.Helper()
	ctx, l := d.Context(), d.operator
	c := ledger.Corp{ID: id, Name: "Tern & Co", Added: noon.Add(-72 * time.Hour)}
	d.OK(l.PutCorp(ctx, c))
	before := noon.Add(-48 * time.Hour)
	member := func(name string, department int) string {
		return directory.Fields(directory.Member{Name: name, Listed: true, Departments: []int{department}, Leads: []int{department}, Status: 1,
			Email: strings.ToLower(name) + "@tern.example", EmailReadable: true, Designated: true, DesignatedKnown: true})
	}
	d.OK(l.PutEntries(ctx, id, []directory.Entry{
		{Kind: directory.KindDepartment, ID: "1", At: before, Fields: directory.Fields(directory.Department{Name: "Tern"})},
		{Kind: directory.KindDepartment, ID: "2", At: before, Fields: directory.Fields(directory.Department{Name: "Sales", Parent: 1})},
		{Kind: directory.KindDepartment, ID: "3", At: before, Fields: directory.Fields(directory.Department{Name: "Freight", Parent: 1})},
		{Kind: directory.KindMember, ID: "mai", At: before, Fields: member("Mai", 2)},
		{Kind: directory.KindMember, ID: "otto", At: before, Fields: member("Otto", 3)},
		{Kind: directory.KindExternal, ID: string(gus), At: before, Fields: directory.Fields(directory.External{Name: "Gus", Type: directory.TypeWeChat})},
		{Kind: directory.KindRoom, ID: "wrlane", At: before, Fields: directory.Fields(directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Members: []archive.PartyID{"mai", gus}})},
		{Kind: directory.KindRoom, ID: "wrdark", At: before, Fields: directory.Fields(directory.Room{})},
	}))
	d.OK(l.PutSnapshot(ctx, ledger.Snapshot{Corp: id, At: before}))
	d.receiver(id, 1, "audit@tern.example", directory.Root, before)
	d.stands(id, consent.Subject{Room: "wrlane"}, consent.Shown, "")
	d.stands(id, consent.Subject{Room: "wrdark"}, consent.Unknown, "errcode 40050")
	d.OK(l.PutMessages(ctx, "b", []archive.Message{{Corp: id, Seq: 1, MsgID: "m1", Action: archive.Send, Type: "text", Known: true, Room: "wrdark", From: "stranger",
		To: []archive.PartyID{"otto"}, Time: noon.Add(-30 * time.Hour)}}, &ledger.People{}))
	d.OK(l.PutRound(ctx, ledger.Round{Corp: id, Kind: ledger.RoundOfRooms, At: noon.Add(-time.Hour), Until: noon.Add(-time.Hour), Asked: 2, Wrong: 1}))
	return c
}

// receiver enters somebody who gets R6.
func (d *desk) receiver(id archive.CorpID, n byte, address string, department int, added time.Time) {
	d.Helper()
	_, err := d.operator.PutReceiver(d.Context(), id, receivers.Row{ID: receivers.RowID([8]byte{n}), Address: address, Language: "en", Department: department,
		Reports: []report.Kind{report.GroupsBreach}, Added: added})
	d.OK(err)
}

// stands puts where a subject stands.
func (d *desk) stands(id archive.CorpID, s consent.Subject, state consent.State, why string) {
	d.Helper()
	before, err := d.operator.StandingOf(d.Context(), id, s)
	d.OK(err)
	at := d.at.Add(-20 * time.Minute)
	now := ledger.Standing{Subject: s, State: state, Rev: before.Rev, Answer: consent.Statement{Subject: s, Source: consent.Poll, State: state, Since: at, Asked: d.at, Answered: d.at, Why: why}}
	if s.External != "" {
		now.Changes = append(before.Changes, ledger.ConsentChange{Found: d.at, Change: consent.Change{Subject: s, Old: before.State, New: state, At: at, By: at, Read: d.at, Source: consent.Poll}})
	}
	_, err = d.operator.PutStanding(d.Context(), id, now)
	d.OK(err)
}

// breach is what functions/consent finds: the guest disagreed, or it is over.
func (d *desk) breach(id archive.CorpID, open bool) {
	d.Helper()
	all, err := d.operator.Breaches(d.Context(), id)
	d.OK(err)
	a := ledger.Alarm{Corp: id, Cause: "wrlane", Since: d.at}
	if len(all) > 0 {
		a = all[0]
	}
	if a.Open, a.Seen, a.Affected, a.Detail = open, d.at, 1, "gus disagree"; !open {
		a.Over, a.Affected, a.Detail = d.at, 0, "agreed"
	}
	state := consent.Agreed
	if open {
		state = consent.Disagreed
	}
	d.stands(id, consent.Subject{Room: "wrlane", External: gus}, state, "")
	d.OK(d.operator.PutBreach(d.Context(), a))
}

// groupMails are the mails of a report that were planned for a corp, by receiver.
func (d *desk) groupMails(id archive.CorpID) map[string][]letter {
	d.Helper()
	mails := map[string][]letter{}
	all := slices.Clone(d.planned(id))
	slices.SortStableFunc(all, func(a, b ledger.MailRow) int { return a.At.Compare(b.At) })
	for _, m := range all {
		mails[m.To] = append(mails[m.To], d.letter(m))
	}
	return mails
}

func subjects(mails map[string][]letter) map[string][]string {
	out := map[string][]string{}
	for to, list := range mails {
		for _, m := range list {
			out[to] = append(out[to], m.Subject)
		}
	}
	return out
}

func TestABreachIsToldOnceToThoseWhoseDepartmentItIsAndOnceMoreWhenItIsOver(t *testing.T) {
	d := newDesk(t)
	c := d.withGroups("wwgroups")
	ask := func() {
		t.Helper()
		for range 2 { // each wish comes twice
			d.OK(d.asked(t.Context(), queue.ReportJob{Corp: c.ID, Report: "R6"}))
		}
	}
	ask()
	if got := d.groupMails(c.ID); len(got) != 0 {
		t.Fatalf("nothing is open, and there are %v", subjects(got))
	}
	d.at = noon.Add(2 * time.Hour)
	d.breach(c.ID, true)
	ask()
	began := "[Tern & Co] R6 WeChat Groups Compliance Breach 2032-02-10: ALERT: not everybody agreed in “Tern lane”"
	mails := d.groupMails(c.ID)
	want := map[string][]string{"audit@tern.example": {began}, "mai@tern.example": {"[Tern & Co] R6 微信群合规提醒 2032-02-10，Sales：警报：有人未同意存档：“Tern lane”"}}
	if diff := cmp.Diff(want, subjects(mails)); diff != "" {
		t.Fatalf("mails (-want +got):\n%s", diff)
	}
	told := mails["audit@tern.example"][0]
	for _, says := range []string{"Mai (mai)", "Gus (" + string(gus) + "): disagreed", "Tern lane (wrlane)", "not known"} {
		if !told.Urgent || !strings.Contains(told.Text, says) {
			t.Errorf("the alert (urgent %v) lacks %q:\n%s", told.Urgent, says, told.Text)
		}
	}
	if head := mails["mai@tern.example"][0]; !strings.Contains(head.Text, "Sales") {
		t.Errorf("the head is not told of which department the mail is:\n%s", head.Text)
	}

	// A head who comes to it later hears of it then, and nobody else again.
	d.at = d.at.Add(30 * time.Minute)
	d.receiver(c.ID, 2, "late@tern.example", 2, d.at)
	ask()
	want["late@tern.example"] = []string{strings.Replace(began, ":", ", Sales:", 1)}
	if diff := cmp.Diff(want, subjects(d.groupMails(c.ID))); diff != "" {
		t.Fatalf("mails (-want +got):\n%s", diff)
	}

	d.at = d.at.Add(30 * time.Minute)
	d.breach(c.ID, false)
	ask()
	d.at = d.at.Add(30 * time.Minute)
	ask()
	want["audit@tern.example"] = append(want["audit@tern.example"], "Re: "+began)
	want["late@tern.example"] = append(want["late@tern.example"], "Re: "+want["late@tern.example"][0])
	want["mai@tern.example"] = append(want["mai@tern.example"], "Re: "+want["mai@tern.example"][0])
	if diff := cmp.Diff(want, subjects(d.groupMails(c.ID))); diff != "" {
		t.Errorf("mails (-want +got):\n%s", diff)
	}
	for to, list := range d.groupMails(c.ID) {
		for _, m := range list {
			if to != "audit@tern.example" && strings.Contains(m.Text, "Otto") {
				t.Errorf("%s is told of the other department", to)
			}
		}
	}
}

// Who is told of one group has not heard of another: he may come to its department, and hears of it then.
func TestWhoWasToldIsKeptForEachGroup(t *testing.T) {
	d := newDesk(t)
	c := d.withGroups("wwtwo")
	d.OK(d.operator.PutEntries(t.Context(), c.ID, []directory.Entry{{Kind: directory.KindRoom, ID: "wrquay", At: noon.Add(-48 * time.Hour),
		Fields: directory.Fields(directory.Room{Name: "Quay", Kind: directory.RoomExternal, Members: []archive.PartyID{"otto", gus}})}}))
	d.stands(c.ID, consent.Subject{Room: "wrquay", External: gus}, consent.Disagreed, "")
	d.at = noon.Add(2 * time.Hour)
	d.breach(c.ID, true)
	d.OK(d.operator.PutBreach(t.Context(), ledger.Alarm{Corp: c.ID, Cause: "wrquay", Open: true, Since: d.at, Seen: d.at, Affected: 1, Detail: "x"}))
	d.OK(d.groups(t.Context(), c))
	all, err := d.operator.Breaches(t.Context(), c.ID)
	d.OK(err)
	for _, a := range all {
		for who, concerned := range map[string]bool{"audit@tern.example": true, "mai@tern.example": a.Cause == "wrlane", "otto@tern.example": a.Cause == "wrquay"} {
			if a.Heard(who, d.at) != concerned {
				t.Errorf("%s has heard of %s: %v", who, a.Cause, !concerned)
			}
		}
	}
	if got := subjects(d.groupMails(c.ID)); len(got["otto@tern.example"]) != 1 || strings.Contains(got["otto@tern.example"][0], "Tern lane") {
		t.Errorf("mails %v", got)
	}
}

func TestAnAlertReadsNoMoreForManyScopesThanForOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.withGroups("wwmany")
	const scopes = 40
	var entries []directory.Entry
	for i := range scopes {
		entries = append(entries, directory.Entry{Kind: directory.KindDepartment, ID: fmt.Sprint(10 + i), At: noon.Add(-48 * time.Hour),
			Fields: directory.Fields(directory.Department{Name: fmt.Sprint("Lane ", i), Parent: 3})})
		d.receiver(c.ID, byte(10+i), fmt.Sprintf("r%d@tern.example", i), 10+i, noon.Add(-time.Hour)) // of nobody who is in the group
	}
	d.OK(d.operator.PutEntries(d.Context(), c.ID, entries))
	d.at = noon.Add(2 * time.Hour)
	d.breach(c.ID, true)
	_, err := d.operator.Suppress(d.Context(), ledger.Suppression{Corp: c.ID, Address: "mai@tern.example", Reason: ledger.Bounced, Since: d.at})
	d.OK(err)
	var queries atomic.Int32
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "Query" {
			queries.Add(1)
		}
		return awslocal.FaultDecision{}
	})
	d.OK(d.groups(d.Context(), c))
	d.Fault(nil)
	if n := queries.Load(); n > scopes/2 {
		t.Errorf("%d queries for %d scopes", n, scopes)
	}
	if got := subjects(d.groupMails(c.ID)); len(got) != 1 || len(got["audit@tern.example"]) != 1 {
		t.Errorf("mails %v", got)
	}
}

func TestOfAllContactsOnlyThoseWhomAGroupNamesAreHeld(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.withGroups("wwheld")
	var others []directory.Entry
	for i := range 30 {
		others = append(others, directory.Entry{Kind: directory.KindExternal, ID: fmt.Sprint("wm", i), At: noon.Add(-time.Hour), Fields: directory.Fields(directory.External{Name: "Other"})},
			directory.Entry{Kind: directory.KindRoom, ID: fmt.Sprint("wr", i), At: noon.Add(-time.Hour), Fields: directory.Fields(directory.Room{Name: "Other"})})
	}
	d.OK(d.operator.PutEntries(d.Context(), c.ID, others))
	known, err := d.groupCompany(d.Context(), c.ID, map[archive.RoomID]report.Group{"wrlane": {}}, map[archive.RoomID][]ledger.Standing{"wrlane": {{Subject: consent.Subject{External: gus}}}})
	d.OK(err)
	if len(known.externals) != 1 || known.externals[gus].Name != "Gus" || len(known.rooms) != 1 || known.rooms["wrlane"].Name != "Tern lane" || len(known.members) != 2 {
		t.Errorf("held: %+v", known)
	}
}

func TestTheNoonListHasWhatIsOpenAndWhatCanNotBeLookedUp(t *testing.T) {
	d := newDesk(t)
	c := d.withGroups("wwnoon")
	d.at = noon.Add(-2 * time.Hour)
	d.breach(c.ID, true)
	d.at = noon.Add(time.Minute)
	d.OK(d.due(t.Context()))
	found := 0
	for _, m := range d.planned(c.ID) {
		if m.Report != "R6" || m.Day != noon.Format(time.DateOnly) {
			continue
		}
		found++
		l := d.letter(m)
		switch m.To {
		case "audit@tern.example":
			if l.Urgent || !strings.Contains(l.Text, "Tern lane") || !strings.Contains(l.Text, "Can't be looked up: 1") || !strings.Contains(l.Text, "stranger") {
				t.Errorf("the list of everything (urgent %v):\n%s", l.Urgent, l.Text)
			}
		case "mai@tern.example":
			if !strings.Contains(l.Text, "Tern lane") || strings.Contains(l.Text, "wrdark") {
				t.Errorf("the list of department 2:\n%s", l.Text)
			}
		case "otto@tern.example":
			if strings.Contains(l.Text, "Tern lane") || !strings.Contains(l.Text, "wrdark") {
				t.Errorf("the list of department 3:\n%s", l.Text)
			}
		default:
			t.Errorf("a list for %s", m.To)
		}
	}
	if found != 3 {
		t.Errorf("%d lists, want 3", found)
	}
}

// T13: reports call a group what an admin calls it, and say so, until WeCom shows a name.
func TestAGroupThatWeComDoesNotNameIsCalledWhatAnAdminEntered(t *testing.T) {
	d := newDesk(t)
	c := d.withGroups("wwnamed")
	for _, room := range []archive.RoomID{"wrdark", "wrlane"} {
		for i, name := range []string{"Earlier", "Night ferry"} {
			_, err := d.operator.NameRoom(t.Context(), ledger.RoomName{Corp: c.ID, Room: room, Name: name, By: "an admin", At: noon.Add(-72 * time.Hour), Rev: i})
			d.OK(err)
		}
	}
	d.at = noon.Add(-2 * time.Hour)
	d.breach(c.ID, true)
	d.at = noon.Add(time.Minute)
	d.OK(d.due(t.Context()))
	found := false
	for _, m := range d.planned(c.ID) {
		if m.Report != "R6" || m.To != "audit@tern.example" || m.Day != noon.Format(time.DateOnly) {
			continue
		}
		found = true
		l := d.letter(m)
		const marked = "Night ferry [name entered by an admin on 2032-02-07]"
		for _, text := range []string{l.Text, l.HTML, l.Attachment} {
			if !strings.Contains(text, "Night ferry") || strings.Contains(text, "Earlier") || !strings.Contains(text, "Tern lane") || strings.Contains(text, "Tern lane [") {
				t.Errorf("the list:\n%s", text)
			}
		}
		if !strings.Contains(l.Text, marked) || !strings.Contains(l.Attachment, marked) {
			t.Errorf("it does not say whose name it is:\n%s", l.Text)
		}
	}
	if !found {
		t.Error("no list")
	}
	_, err := d.operator.NameRoom(t.Context(), ledger.RoomName{Corp: c.ID, Room: "wrdark", By: "an admin", At: noon, Rev: 2})
	d.OK(err)
	day := d.day(c, noon.Add(time.Hour), &company{})
	f, err := d.groupsDay(t.Context(), day)
	d.OK(err)
	for _, g := range f.Groups {
		if g.ID == "wrdark" && (g.Name != "" || !g.Entered.IsZero()) {
			t.Errorf("taken away: %+v", g)
		}
	}
}

// TestAnAlertOfGroupsSurvivesEachWrite refuses each write of an alert, or does it and says that it failed, and asks again.
func TestAnAlertOfGroupsSurvivesEachWrite(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	prepare := func(id archive.CorpID) ledger.Corp {
		d.at = noon.Add(2 * time.Hour)
		c := d.withGroups(id)
		d.breach(id, true)
		return c
	}
	state := func(id archive.CorpID) map[string]any {
		s := d.state(id)
		for k, v := range d.Rows("ControlTable", "seen") {
			if strings.HasPrefix(k, "breach#"+id.KeyPart()+" ") {
				s["told "+k[len("breach#"+id.KeyPart()):]] = strings.ReplaceAll(v, string(id), "CORP")
			}
		}
		return s
	}
	plain := prepare("ww-plain")
	n := d.writes(0, awslocal.Pass)
	d.OK(d.groups(t.Context(), plain))
	d.Fault(nil)
	total, want := *n, state(plain.ID)
	if total < 10 {
		t.Fatalf("only %d writes were seen", total)
	}
	for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter} {
		for i := 1; i <= total; i++ {
			c := prepare(archive.CorpID(fmt.Sprintf("ww-%d-%d", act, i)))
			d.writes(i, act)
			if err := d.groups(t.Context(), c); err == nil {
				t.Errorf("write %d, act %d, is not noticed", i, act)
			}
			d.Fault(nil)
			d.real = d.real.Add(claimTime + time.Second)
			d.OK(d.groups(t.Context(), c))
			if diff := cmp.Diff(want, state(c.ID)); diff != "" {
				t.Errorf("write %d, act %d, then again (-undisturbed +disturbed):\n%s", i, act, diff)
			}
		}
	}
}
