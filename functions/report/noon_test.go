package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// pier gives a company's directory a second part and two heads of department: "boss" of 2 and "warden" of 3.
func (d *desk) pier(id archive.CorpID, at time.Time) {
	d.Helper()
	head := func(name, email string, in int) directory.Member {
		return directory.Member{Name: name, Listed: true, Departments: []int{in}, Leads: []int{in}, Status: 1, Mobile: "+49 3099", MobileReadable: true, Email: email,
			EmailReadable: true, Designated: true, DesignatedKnown: true}
	}
	sun := directory.Member{Name: "孙码头", Listed: true, Departments: []int{4}, Status: 1, Designated: true, DesignatedKnown: true}
	d.OK(d.operator.PutEntries(d.Context(), id, []directory.Entry{
		{Kind: directory.KindDepartment, ID: "3", At: at, Fields: directory.Fields(directory.Department{Name: "Pier", Parent: 1})},
		{Kind: directory.KindDepartment, ID: "4", At: at, Fields: directory.Fields(directory.Department{Name: "Ropes", Parent: 3})},
		{Kind: directory.KindMember, ID: "sun", At: at, Fields: directory.Fields(sun)},
		{Kind: directory.KindMember, ID: "boss", At: at, Fields: directory.Fields(head("Boss of Two", "boss@clearlake.example", 2))},
		{Kind: directory.KindMember, ID: "warden", At: at, Fields: directory.Fields(head("Warden", "warden@clearlake.example", 3))},
	}))
}

// mailsOf is the planned mails of a report and day, by address.
func (d *desk) mailsOf(id archive.CorpID, day, report string) map[string]letter {
	d.Helper()
	found := map[string]letter{}
	for _, m := range d.planned(id) {
		if m.Day == day && m.Report == report {
			found[m.To] = d.letter(m)
		}
	}
	return found
}

func addresses(letters map[string]letter) (list []string) {
	for a := range letters {
		list = append(list, a)
	}
	slices.Sort(list)
	return list
}

func (d *desk) settings(c ledger.Corp, change func(*ledger.Corp)) ledger.Corp {
	d.Helper()
	c, err := d.operator.Corp(d.Context(), c.ID)
	d.OK(err)
	change(&c)
	c.Settings.Rev, err = d.operator.ChangeCorp(d.Context(), c)
	d.OK(err)
	return c
}

func TestAHeadOfDepartmentIsMailedTheRowsBelowAndNoOthers(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwheads")
	d.pier(c.ID, noon.Add(-19*time.Hour))
	d.OK(d.due(d.Context()))
	r1 := d.mailsOf(c.ID, "2032-02-10", "R1")
	if diff := cmp.Diff([]string{"audit@clearlake.example", "boss@clearlake.example", "office@clearlake.example", "warden@clearlake.example"}, addresses(r1)); diff != "" {
		t.Fatalf("R1 goes to (-want +got):\n%s", diff)
	}
	for who, want := range map[string]struct{ shown, hidden []string }{
		"warden@clearlake.example": {[]string{"孙码头", "Warden"}, []string{"Lena", "lena", "郝川", "Boss", "Never Designated"}},
		"boss@clearlake.example":   {[]string{"Lena", "郝川", "Boss", "Never Designated"}, []string{"孙码头", "Warden", "Pier", "Ropes"}},
		"office@clearlake.example": {[]string{"孙码头", "Warden", "Lena", "郝川", "Boss"}, nil},
	} {
		all := r1[who].Subject + r1[who].Text + r1[who].HTML + r1[who].Attachment
		for _, word := range want.shown {
			if !strings.Contains(all, word) {
				t.Errorf("%s is not shown %q", who, word)
			}
		}
		for _, word := range want.hidden {
			if strings.Contains(all, word) {
				t.Errorf("%s is shown %q", who, word)
			}
		}
		part := who != "office@clearlake.example"
		if strings.Contains(r1[who].Text, "本期存档情况") == part {
			t.Errorf("%s: the company's account is shown, or missing", who)
		}
		if strings.Contains(r1[who].Text, "全部下级部门") != part {
			t.Errorf("%s: it does not say for which departments it is", who)
		}
	}

	// The next day each is told what changed among their own rows.
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "newcomer", At: noon.Add(time.Hour),
		Fields: directory.Fields(directory.Member{Name: "New", Listed: true, Departments: []int{4}, Status: 1, DesignatedKnown: true})}}))
	d.at = noon.Add(24*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	r1 = d.mailsOf(c.ID, "2032-02-11", "R1")
	if text := r1["warden@clearlake.example"].Text; !strings.Contains(text, "- 成员：3  [+1]") {
		t.Errorf("the warden is told\n%s", text)
	}
	if text := r1["boss@clearlake.example"].Text; strings.Contains(text, "[+") || strings.Contains(text, "第一份报告") {
		t.Errorf("nobody joined the boss, who is told\n%s", text)
	}
}

func TestARoleThatCameAfterNoonBeginsTheNextDayAndOneThatWentIsToldNothing(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwroles")
	d.pier(c.ID, noon.Add(time.Minute)) // seen after the noon, before its report is made
	d.at = noon.Add(10 * time.Minute)
	d.OK(d.due(d.Context()))
	if got := addresses(d.mailsOf(c.ID, "2032-02-10", "R1")); len(got) != 2 {
		t.Errorf("the noon before the roles came is mailed to %q", got)
	}
	entries := map[string]directory.Entry{}
	d.OK(d.operator.Entries(d.Context(), c.ID, directory.KindMember, func(e directory.Entry) bool { entries[e.ID] = e; return true }))
	boss, err := directory.Parse[directory.Member](entries["boss"].Fields)
	d.OK(err)
	boss.Leads = nil
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "boss", At: noon.Add(25 * time.Hour), Fields: directory.Fields(boss)}}))
	d.at = noon.Add(26 * time.Hour) // late: boss was head at that noon and is not now
	d.OK(d.due(d.Context()))
	want := []string{"audit@clearlake.example", "office@clearlake.example", "warden@clearlake.example"}
	if diff := cmp.Diff(want, addresses(d.mailsOf(c.ID, "2032-02-11", "R1"))); diff != "" {
		t.Errorf("the late report goes to (-want +got):\n%s", diff)
	}
}

func TestTheHeadsOfANoonAreLookedUpOnceForAllItsReports(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.company("wwonce")
	d.pier(c.ID, noon.Add(time.Minute)) // "boss" and "warden" are newer than the noon
	d.at = noon.Add(10 * time.Minute)
	var looks atomic.Int32
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "Query" && bytes.Contains(q.Body, []byte("hist#"+c.ID.KeyPart()+"#member#boss")) {
			looks.Add(1)
		}
		return awslocal.FaultDecision{}
	})
	d.OK(d.due(d.Context()))
	d.Fault(nil)
	if n := looks.Load(); n == 0 || n > 2 { // R1 looks at the member's history too
		t.Errorf("the history of a head was read %d times for a noon", n)
	}
}

func TestOneAddressWithTwoRolesGetsOneMailWithBothDepartments(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwboth")
	d.pier(c.ID, noon.Add(-19*time.Hour))
	_, err := d.operator.PutReceiver(d.Context(), c.ID, receivers.Row{ID: "r-1", Address: "Warden@clearlake.example", Language: "en", Department: 2, Reports: []report.Kind{"R1"},
		Added: noon.Add(-time.Hour)})
	d.OK(err)
	d.OK(d.due(d.Context()))
	r1 := d.mailsOf(c.ID, "2032-02-10", "R1")
	if diff := cmp.Diff([]string{"Warden@clearlake.example", "audit@clearlake.example", "boss@clearlake.example", "office@clearlake.example"}, addresses(r1)); diff != "" {
		t.Fatalf("R1 goes to (-want +got):\n%s", diff)
	}
	both := r1["Warden@clearlake.example"]
	if !strings.Contains(both.Attachment, "孙码头") || !strings.Contains(both.Attachment, "Lena") || !strings.Contains(both.Text, "For 工坊, Pier and everything below") {
		t.Errorf("the one mail says\n%s", both.Text)
	}
}

func TestAReportThatIsSwitchedOffIsMadeForNobodyUntilItIsOnAgain(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwoff")
	d.pier(c.ID, noon.Add(-19*time.Hour))
	d.settings(c, func(c *ledger.Corp) { c.Settings = c.Settings.Turned(report.UserStatus, true, "test", noon) })
	d.OK(d.due(d.Context()))
	if rows := d.mailsOf(c.ID, "2032-02-10", "R1"); len(rows) != 0 {
		t.Errorf("%d mails of a report that is off", len(rows))
	}
	d.settings(c, func(c *ledger.Corp) { c.Settings = c.Settings.Turned(report.UserStatus, false, "test", noon) })
	d.OK(d.due(d.Context()))
	if rows := d.mailsOf(c.ID, "2032-02-10", "R1"); len(rows) != 4 {
		t.Errorf("%d mails once it is on again, want 4", len(rows))
	}
}

func TestAMissedReportIsMailedAndSaysThatItIsLate(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwlate")
	d.at = noon.Add(49 * time.Hour)
	d.OK(d.due(d.Context()))
	for day, late := range map[string]bool{"2032-02-10": true, "2032-02-11": true, "2032-02-12": false} {
		m := d.mailsOf(c.ID, day, "R1")["audit@clearlake.example"]
		if m.Subject == "" || strings.Contains(m.Text, "THIS REPORT IS LATE") != late || strings.Contains(m.HTML, "THIS REPORT IS LATE") != late {
			t.Errorf("%s, late %t: %q\n%s", day, late, m.Subject, m.Text)
		}
		if late && !strings.Contains(m.Text, "due at "+day+" 12:00 UTC") {
			t.Errorf("%s: it does not say when it was due:\n%s", day, m.Text)
		}
	}
}

func TestTheDaysStateOfTheAccountGoesToSubscribersAtNoon(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwstate")
	c = d.settings(c, func(c *ledger.Corp) {
		c.Settings.Operations = "ops@clearlake.example"
		c.ReportTo[1] = c.ReportTo[1].WithReports([]report.Kind{report.Maintenance})
	})
	d.alarm(ledger.Alarm{Corp: c.ID, Cause: "service-expired", Open: true, Since: noon.Add(-time.Hour), Seen: noon, Code: 301052})
	d.alarm(ledger.Alarm{Corp: c.ID, Cause: "secret-refused", Open: true, Since: noon.Add(time.Second), Seen: noon.Add(time.Second), Code: 40001})
	d.at = noon.Add(2 * time.Second)
	d.OK(d.due(d.Context()))
	r7 := d.mailsOf(c.ID, "2032-02-10", "R7")
	if diff := cmp.Diff([]string{"audit@clearlake.example", "ops@clearlake.example"}, addresses(r7)); diff != "" {
		t.Fatalf("the state goes to (-want +got):\n%s", diff)
	}
	if m := r7["audit@clearlake.example"]; m.Urgent || !strings.Contains(m.Subject, "2032-02-10") || !strings.Contains(m.Text, "301052") || strings.Contains(m.Text, "40001") {
		t.Errorf("it says %q\n%s", m.Subject, m.Text)
	}
	if got := addresses(d.mailsOf(c.ID, "2032-02-10", "R1")); !cmp.Equal(got, []string{"office@clearlake.example"}) {
		t.Errorf("R1 goes to %q: one admin subscribed to R7 alone", got)
	}

	// Urgent news go to both admins all the same, and to the mailbox for copies.
	d.settings(c, func(c *ledger.Corp) { c.Settings.Control = "control@clearlake.example" })
	var to []string
	for _, l := range d.told(c.ID) {
		to = append(to, l.To)
	}
	if all := strings.Join(to, " "); len(to) != 3 || !strings.Contains(all, "office@") || !strings.Contains(all, "audit@") || !strings.Contains(all, "control@") {
		t.Errorf("the alert goes to %q", to)
	}
	if l := d.told(c.ID); len(l) != 0 {
		t.Errorf("and again to %q", l[0].To)
	}
}

// pledges is facts of a report that exists in this test alone: rows with departments, and users to tell.
type pledges struct {
	Rows []pledge
}

type pledge struct {
	ID          archive.PartyID
	Address     string
	Departments []int
}

func (p pledges) Within(holds func([]int) bool) pledges {
	return pledges{slices.DeleteFunc(slices.Clone(p.Rows), func(r pledge) bool { return !holds(r.Departments) })}
}

func (p pledges) Quiet() bool { return len(p.Rows) == 0 }

func (p pledges) Concerned() (list []report.Concern) {
	for _, r := range p.Rows {
		list = append(list, report.Concern{ID: r.ID, Address: r.Address})
	}
	return list
}

func TestUsersConcernedAreToldBesideTheReceiversAndADayWithoutNewsIsSilent(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwpledge")
	d.pier(c.ID, noon.Add(-19*time.Hour))
	built := 0
	words := func(p pledges, v report.View) (report.Mail, error) {
		built++
		return report.Mail{Kind: report.MissingMobile, Language: v.Language, Subject: fmt.Sprint("list of ", len(p.Rows)), Text: fmt.Sprint(p.Rows), HTML: "<p>"}, nil
	}
	notice := func(p pledges, id archive.PartyID, v report.View) (report.Mail, error) {
		return report.Mail{Kind: report.MissingMobile, Language: v.Language, Subject: "notice to " + string(id), Text: "t", HTML: "<p>"}, nil
	}
	gather := func(_ *reporter, _ context.Context, day *today) (pledges, error) {
		if day.noon.Equal(noon) {
			return pledges{[]pledge{{"warden", "warden@clearlake.example", []int{3}}, {"sun", "shared@clearlake.example", []int{4}}, {"rope", "shared@clearlake.example", []int{4}}}}, nil
		}
		return pledges{}, nil
	}
	r2 := withNotices(report.MissingMobile, gather, words, notice)
	for range 2 { // the schedule fires twice
		d.OK(d.noonRun(t.Context(), r2, d.day(c, noon, &company{})))
	}
	got := map[string]string{}
	for _, m := range d.planned(c.ID) {
		got[m.Report+" "+m.To] = d.letter(m).Subject
	}
	rope := report.ID("rope")[:8]
	want := map[string]string{
		"R2 warden@clearlake.example": "list of 3", "R2-user warden@clearlake.example": "notice to warden", "R2-user shared@clearlake.example": "notice to sun",
		"R2-user." + rope + " shared@clearlake.example": "notice to rope", // boss, in whose departments nothing happened, is left in peace
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("planned (-want +got):\n%s", diff)
	}
	if built != 1 {
		t.Errorf("%d mails were built for one scope and language", built)
	}

	next := d.day(c, noon.Add(24*time.Hour), &company{})
	d.at = next.noon.Add(time.Second)
	d.OK(d.noonRun(t.Context(), r2, next))
	if got := d.mailsOf(c.ID, "2032-02-11", "R2"); len(got) != 0 {
		t.Errorf("a day without news is mailed to %q", addresses(got))
	}
	c = d.settings(c, func(c *ledger.Corp) { c.Settings = c.Settings.Quietened(report.MissingMobile, false, "test", noon) })
	next = d.day(c, noon.Add(48*time.Hour), &company{})
	d.at = next.noon.Add(time.Second)
	d.OK(d.noonRun(t.Context(), r2, next))
	if got := d.mailsOf(c.ID, "2032-02-12", "R2"); len(got) != 2 || got["boss@clearlake.example"].Subject != "list of 0" {
		t.Errorf("told to say so it is mailed to %q", addresses(got))
	}
}

func TestAMailIsBuiltOnceForAllWhoAreShownTheSame(t *testing.T) {
	built := 0
	k := kept[pledges]{Facts: pledges{[]pledge{{ID: "a", Departments: []int{3}}}}, Made: noon}
	for i := range 60 {
		k.Letters = append(k.Letters, receivers.Letter{Address: fmt.Sprintf("r%d@clearlake.example", i), Language: []report.Language{report.Chinese, report.English}[i%2],
			Departments: [][]int{{1}, {3}, {2}}[i%3]})
	}
	to := 0
	err := k.letters(ledger.Run{Corp: "ww", Day: "2032-02-10", Report: "R2"}, func(pledges, report.View) (report.Mail, error) { built++; return report.Mail{}, nil },
		func(o outgoing) error { to++; _, err := o.mail(); return err })
	if err != nil || to != 60 || built != 6 {
		t.Errorf("%d mails built for %d receivers of 3 scopes in 2 languages: %v", built, to, err)
	}
}

func TestFactsThatTheVersionBeforeKeptAreMailedToItsReceivers(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwolder")
	old := `{"receivers":[{"address":"was@clearlake.example","language":"en"},{"address":"war@clearlake.example","language":"zh"}],
		"facts":{"Corp":{"ID":"wwolder","Name":"Clearlake of then"},"Day":"2032-02-10T12:00:00Z","Snapshot":"2032-02-10T10:00:00Z","Users":[{"ID":"lena","Name":"Lena Ott","Departments":["工坊"],"Status":1}]},
		"summary":{"members":{"n":1,"unknown":0}}}`
	_, err := d.Store(d.Config("ReportFunction"), "ReportsBucket").PutBlob(d.Context(), objstore.ReportKey(c.ID, "2032-02-10", "R1.json"), "application/json", []byte(old))
	d.OK(err)
	d.OK(d.due(d.Context()))
	r1 := d.mailsOf(c.ID, "2032-02-10", "R1")
	if diff := cmp.Diff([]string{"war@clearlake.example", "was@clearlake.example"}, addresses(r1)); diff != "" {
		t.Fatalf("R1 goes to (-want +got):\n%s", diff)
	}
	if m := r1["was@clearlake.example"]; !strings.Contains(m.Subject, "Clearlake of then") || strings.Contains(m.Text, "LATE") || !strings.Contains(m.Attachment, "Lena Ott") {
		t.Errorf("it says %q\n%s", m.Subject, m.Text)
	}
	d.at = noon.Add(24*time.Hour + time.Second)
	d.pier(c.ID, noon.Add(time.Hour))
	d.OK(d.due(d.Context()))
	r1 = d.mailsOf(c.ID, "2032-02-11", "R1")
	if text := r1["audit@clearlake.example"].Text; !strings.Contains(text, "Changes are since the report of 2032-02-10") || !strings.Contains(text, "[+5]") {
		t.Errorf("the next day's compares with it:\n%s", text)
	}
	if text := r1["boss@clearlake.example"].Text; !strings.Contains(text, "未按部门统计") {
		t.Errorf("a head is told that it can't be compared by department:\n%s", text)
	}
}

func TestAJobForAnyOtherReportThanR7IsRefused(t *testing.T) {
	d := newDesk(t)
	if err := d.asked(d.Context(), queue.ReportJob{Corp: "ww", Report: "R2"}); err == nil {
		t.Error("R2 is not made on request")
	}
}
