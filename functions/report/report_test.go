package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/report"
)

func TestUserStatusTellsWhatTheLedgerHolds(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwclearlake")
	d.OK(d.due(d.Context()))

	run, err := d.operator.RunOf(d.Context(), c.ID, "2032-02-10", "R1")
	d.OK(err)
	if run.State != ledger.RunDone || run.Mails != 2 {
		t.Fatalf("the run is %+v", run)
	}
	body, err := d.Store(d.Config(rig.Operator), "ReportsBucket").Get(d.Context(), objstore.Object{Key: run.Object, VersionID: run.Version})
	d.OK(err)
	var kept kept[report.UserStatusFacts]
	d.OK(json.Unmarshal(body, &kept))

	want := report.Summary{Members: report.Count{N: 3}, SignedUp: report.Count{N: 2}, Activated: report.Count{N: 2}}
	summary := report.Summarise(kept.Facts)
	got := report.Summary{Members: summary.Members, SignedUp: summary.SignedUp, Activated: summary.Activated}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the summary (-want +got):\n%s", diff)
	}
	users := map[archive.PartyID]report.User{}
	for _, u := range kept.Facts.Users {
		users[u.ID] = u
	}
	lena := users["lena"]
	if !lena.HadMobile || lena.Mobile != "" || !lena.FirstArchived.Equal(noon.Add(-40*24*time.Hour)) || !lena.LastArchived.Equal(noon.Add(-3*time.Hour)) {
		t.Errorf("lena, who lost her mobile, is %+v", lena)
	}
	if diff := cmp.Diff([]string{"Clearlake", "工坊"}, users["hao"].Departments); diff != "" || users["hao"].MobileReadable {
		t.Errorf("hao, whose fields are hidden, is %+v", users["hao"])
	}
	if !users["hao"].LastArchived.Equal(noon.Add(-5 * time.Hour)) {
		t.Errorf("hao was last archived %v: the room's later message was not his", users["hao"].LastArchived)
	}
	if v := users["visitor"]; !v.LastArchived.IsZero() || v.Stage() != report.StageJoined {
		t.Errorf("one who was never designated is %+v: others' messages are not their capture", v)
	}
	if g := users["gone"]; g.Status != report.StatusLeft || !g.StageSince.Equal(noon.Add(-2*time.Hour)) {
		t.Errorf("one who left in the day is %+v", g)
	}

	capture := *kept.Facts.Capture
	wantCapture := report.Capture{
		Handed: 11, Archived: 6, SetAside: 1, Pending: 4, SetAsideOpen: []report.ReasonCount{{Reason: "no-key", N: 1, Oldest: noon.Add(-6 * time.Hour)}}, MediaKept: 1, MediaWaiting: 1,
		Messages: report.Clock{State: report.ClockRunning, Ends: noon.Add(120*time.Hour - time.Minute)},
		Media:    report.Clock{State: report.ClockRunning, Ends: noon.Add(64 * time.Hour)},
		Windows:  report.Windows{Chats: 120 * time.Hour, Media: 72 * time.Hour},
	}
	if diff := cmp.Diff(wantCapture, capture); diff != "" {
		t.Errorf("capture (-want +got):\n%s", diff)
	}

	rows := d.planned(c.ID)
	if len(rows) != 2 {
		t.Fatalf("%d mails are planned, want 2", len(rows))
	}
	for _, m := range rows {
		l := d.letter(m)
		if !strings.Contains(l.Subject, c.Name) || l.Attachment == "" || l.Text == "" || !strings.Contains(l.HTML, "Lena Ott") {
			t.Errorf("the mail to %s is %q, text %d, HTML %d, attachment %d bytes", m.To, l.Subject, len(l.Text), len(l.HTML), len(l.Attachment))
		}
		if m.To == "audit@clearlake.example" && (!strings.Contains(l.HTML, "SIMULATED") || !strings.Contains(l.HTML, "TRIAL")) {
			t.Error("the mail does not say that company and lock are not real")
		}
	}
	for _, secret := range []string{"Lena", "canary", "3012345678", "clearlake.example"} {
		if strings.Contains(d.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestNextDaySaysWhatChanged(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwnext")
	d.OK(d.due(d.Context()))
	d.at = d.at.Add(24 * time.Hour)
	d.OK(d.due(d.Context()))
	run, err := d.operator.RunOf(d.Context(), c.ID, "2032-02-11", "R1")
	d.OK(err)
	body, err := d.Store(d.Config(rig.Operator), "ReportsBucket").Get(d.Context(), objstore.Object{Key: run.Object, VersionID: run.Version})
	d.OK(err)
	var kept kept[report.UserStatusFacts]
	d.OK(json.Unmarshal(body, &kept))
	if kept.Facts.Before == nil || kept.Facts.Before.Members.N != 3 || !kept.Facts.BeforeDay.Equal(noon) {
		t.Errorf("the day before is %+v of %v", kept.Facts.Before, kept.Facts.BeforeDay)
	}
	if n := len(kept.Facts.Users); n != 3 {
		t.Errorf("%d rows a day later, want 3: who left is told once", n)
	}
}

func TestReportsAreDueFromNoonOnAndNeverBeforeTheCorpWasAdded(t *testing.T) {
	at := func(day, hour, minute int) time.Time { return time.Date(2032, 2, day, hour, minute, 0, 0, time.UTC) }
	for _, c := range []struct {
		name       string
		added, now time.Time
		want       []int
	}{
		{"before noon of the first day", at(10, 9, 0), at(10, 11, 59), nil},
		{"at noon", at(10, 9, 0), at(10, 12, 0), []int{10}},
		{"added after noon", at(10, 13, 0), at(10, 23, 50), nil},
		{"one missed", at(9, 9, 0), at(11, 11, 0), []int{9, 10}},
		{"long asleep", at(1, 9, 0), at(20, 12, 30), []int{17, 18, 19, 20}},
		{"long asleep, in the morning", at(1, 9, 0), at(20, 7, 30), []int{17, 18, 19}},
	} {
		var got []int
		for _, n := range noons(c.added, c.now) {
			got = append(got, n.Day())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestSecondTriggerChangesNothing(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwtwice")
	d.OK(d.due(d.Context()))
	once := d.state(c.ID)
	d.OK(d.due(d.Context()))
	again := d.state(c.ID)
	for k := range once {
		if strings.HasPrefix(k, "job ") {
			delete(once, k) // taken the first time
		}
	}
	if diff := cmp.Diff(once, again); diff != "" {
		t.Errorf("the second run changed (-before +after):\n%s", diff)
	}
}

func TestClaimOfADeadRunIsTakenOverAndOneThatLivesIsNot(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwclaimed")
	other := ledger.Run{Corp: c.ID, Day: "2032-02-10", Report: "R1", Owner: "somebody", Until: d.real.Add(claimTime)}
	if ok, err := d.operator.ClaimRun(d.Context(), other, d.real); err != nil || !ok {
		t.Fatal(ok, err)
	}
	d.OK(d.due(d.Context()))
	if rows := d.planned(c.ID); len(rows) != 0 {
		t.Fatalf("%d mails were planned under somebody's claim", len(rows))
	}
	d.real = d.real.Add(claimTime + time.Second)
	d.OK(d.due(d.Context()))
	if rows := d.planned(c.ID); len(rows) != 2 {
		t.Errorf("%d mails are planned after the claim ran out, want 2", len(rows))
	}
}

// sweeps plays sweeps at the given minutes of a mail's life, and lists those that send its job again.
func sweeps(m ledger.MailRow, minutes []int) (sent []int) {
	for _, at := range minutes {
		now := noon.Add(time.Duration(at) * time.Minute)
		if nudges, due := again(m, now, now); due {
			m.Nudges, m.Nudged, m.NudgedOwner = nudges, now, m.Owner
			sent = append(sent, at)
		}
	}
	return sent
}

func TestAMailThatStaysUnsentIsSweptEverMoreRarely(t *testing.T) {
	planned := ledger.MailRow{State: ledger.MailPlanned, At: noon}
	sending := ledger.MailRow{State: ledger.MailSending, Owner: "dead", At: noon.Add(-5 * time.Hour), Until: noon.Add(-time.Second)}
	nudged := sending // for an earlier sender, long ago, and often
	nudged.Nudges, nudged.Nudged, nudged.NudgedOwner = 9, noon.Add(-time.Hour), "before"
	var schedule, early []int
	for m := 0; m <= 30*60; m += 10 {
		schedule, early = append(schedule, m), append(early, m-m/10%2) // each second one comes a minute early
	}
	for name, c := range map[string]struct {
		mail ledger.MailRow
		at   []int
		want []int
	}{
		"by the schedule":                  {planned, schedule, []int{10, 20, 40, 80, 160, 320, 640, 1000, 1360, 1720}},
		"a schedule that is not exact":     {planned, early, []int{20, 29, 49, 89, 169, 329, 649, 1009, 1369, 1729}},
		"one sweep is skipped":             {planned, []int{5, 25, 30, 35, 45}, []int{25, 35}},
		"the clock leaps over all of them": {planned, []int{5, 664, 669, 674, 693, 694}, []int{664, 674, 693}},
		"a sender that died":               {sending, schedule[:10], []int{0, 10, 30, 70}},
		"a second sender that died":        {nudged, schedule[:10], []int{0, 10, 30, 70}},
		"a sender that may live":           {ledger.MailRow{State: ledger.MailSending, At: noon, Until: noon.Add(15 * time.Minute)}, schedule[:4], []int{20, 30}},
		"a mail that is sent":              {ledger.MailRow{State: ledger.MailSent, At: noon}, schedule, nil},
		"a mail that is refused":           {ledger.MailRow{State: ledger.MailRefused, At: noon}, schedule, nil},
	} {
		if diff := cmp.Diff(c.want, sweeps(c.mail, c.at)); diff != "" {
			t.Errorf("%s: the minutes in which the job is sent again (-want +got)\n%s", name, diff)
		}
	}
}

func TestLostMailJobsAreSentAgain(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwsweep")
	d.OK(d.due(d.Context()))
	want := d.jobs() // and lost
	if len(want) != 2 {
		t.Fatalf("there are the jobs %q, want 2", want)
	}
	sweep := func(at time.Duration, want []string) {
		t.Helper()
		d.at = noon.Add(at)
		d.OK(d.sweep(d.Context(), c.ID))
		if diff := cmp.Diff(want, d.jobs(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("jobs sent again %v after they were planned (-want +got):\n%s", at, diff)
		}
	}
	sweep(5*time.Minute, nil)
	// Whenever the next sweep comes: here nobody looks for eleven hours.
	d.at = noon.Add(664 * time.Minute)
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "SendMessage" && strings.Contains(string(q.Body), strings.SplitN(want[1], "#", 3)[2]) {
			return awslocal.FaultDecision{Act: awslocal.Refuse, Code: "AccessDeniedException", Status: 403}
		}
		return awslocal.FaultDecision{}
	})
	if err := d.sweep(d.Context(), c.ID); err == nil {
		t.Error("a job that could not be sent is no failure")
	}
	d.Fault(nil)
	if got := d.jobs(); !slices.Equal(got, want[:1]) {
		t.Errorf("the jobs %q were sent beside the one that failed, want %q", got, want[:1])
	}
	sweep(665*time.Minute, want[1:]) // what failed does not count as sent
	sweep(666*time.Minute, nil)
	sweep(675*time.Minute, want)
	sweep(685*time.Minute, nil)
	sweep(695*time.Minute, want)
}

func TestCorpWithoutDirectoryAndReceiversIsReportedToNobody(t *testing.T) {
	d := newDesk(t)
	d.OK(d.operator.PutCorp(d.Context(), ledger.Corp{ID: "wwbare", Added: noon.Add(-time.Hour)}))
	d.OK(d.due(d.Context()))
	run, err := d.operator.RunOf(d.Context(), "wwbare", "2032-02-10", "R1")
	d.OK(err)
	if run.State != ledger.RunDone || run.Mails != 0 || run.Object == "" {
		t.Errorf("the run is %+v", run)
	}
}

// TestFactsThatWereKeptStand crashes behind the first mail, and changes the world before the next attempt.
func TestFactsThatWereKeptStand(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwkept")
	sent := 0
	d.Fault(oneByOne(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Caller == "ReportFunction" && q.Operation == "PutItem" {
			if sent++; sent == 3 { // the claim, the first mail, the second
				return awslocal.FaultDecision{Act: awslocal.CutInstead}
			}
		}
		return awslocal.FaultDecision{}
	}))
	if err := d.due(d.Context()); err == nil {
		t.Fatal("the fault was not met")
	}
	d.Fault(nil)
	first := d.planned(c.ID)
	if len(first) != 1 {
		t.Fatalf("%d mails are planned after the crash, want 1", len(first))
	}
	was := d.letter(first[0])

	c.ReportTo = append(c.ReportTo, ledger.Receiver{Address: "late@clearlake.example", Language: "en"})
	c.Name = "Another name"
	d.OK(d.operator.PutCorp(d.Context(), c))
	d.at = d.at.Add(10 * time.Minute)
	d.OK(d.due(d.Context()))
	rows := d.planned(c.ID)
	if len(rows) != 2 {
		t.Fatalf("%d mails are planned, want the 2 of the receivers there were", len(rows))
	}
	for _, m := range rows {
		l := d.letter(m)
		if strings.Contains(l.Subject, "Another name") {
			t.Errorf("the mail to %s tells of another world: %s", m.To, l.Subject)
		}
		if m.Key() == first[0].Key() {
			if diff := cmp.Diff(was, l); diff != "" {
				t.Errorf("a planned mail has changed:\n%s", diff)
			}
		}
	}
}

// oneByOne lets a fault plan look at one request at a time: the function makes several at once.
func oneByOne(plan func(awslocal.FaultRequest) awslocal.FaultDecision) func(awslocal.FaultRequest) awslocal.FaultDecision {
	var mu sync.Mutex
	return func(q awslocal.FaultRequest) awslocal.FaultDecision {
		mu.Lock()
		defer mu.Unlock()
		return plan(q)
	}
}

// writes counts a function's calls that change something, and refuses or fails the n-th.
func (d *desk) writes(n int, act awslocal.Act) (count *int) {
	count = new(int)
	d.Fault(oneByOne(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Caller != "ReportFunction" || !strings.HasPrefix(q.Operation, "Put") && !strings.HasPrefix(q.Operation, "Update") && !strings.HasPrefix(q.Operation, "Send") {
			return awslocal.FaultDecision{}
		}
		*count++
		if *count == n {
			return awslocal.FaultDecision{Act: act}
		}
		return awslocal.FaultDecision{}
	}))
	return count
}

func TestEveryWriteMayFailAndTheNextRunEndsAlike(t *testing.T) {
	slow(t)
	type flow struct {
		name   string
		before func(d *desk, id archive.CorpID)
		run    func(d *desk, c ledger.Corp) error
	}
	for _, flow := range []flow{
		{"user status", func(*desk, archive.CorpID) {}, func(d *desk, c ledger.Corp) error {
			return d.noonRun(d.Context(), dailies()[0], d.day(c, noon, &company{}))
		}},
		{"maintenance", func(d *desk, id archive.CorpID) {
			d.alarm(ledger.Alarm{Corp: id, Cause: "key-missing:3", Open: true, Since: noon.Add(-time.Hour), Seen: noon, Affected: 1})
			d.alarm(ledger.Alarm{Corp: id, Cause: "service-expired", Open: true, Since: noon.Add(-time.Minute), Seen: noon, Code: 301052})
		}, func(d *desk, c ledger.Corp) error { return d.maintenance(d.Context(), c) }},
		{"noon of many", func(d *desk, id archive.CorpID) {
			d.pier(id, noon.Add(-19*time.Hour))
			d.settings(ledger.Corp{ID: id}, func(c *ledger.Corp) {
				c.Settings.Operations, c.Settings.Control = "ops@clearlake.example", "Boss@clearlake.example"
			})
		}, func(d *desk, c ledger.Corp) error {
			c, err := d.operator.Corp(d.Context(), c.ID)
			d.OK(err)
			return d.dueOf(d.Context(), c)
		}},
	} {
		for how, act := range map[string]awslocal.Act{"refused": awslocal.Refuse, "done but reported as failed": awslocal.FailAfter} {
			// Each has tables of its own: what a corp left behind is found by looking at all corps' rows.
			t.Run(flow.name+" "+how, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t)
				prepare := func(id string) ledger.Corp {
					c := d.company(archive.CorpID(id))
					flow.before(d, c.ID)
					return c
				}
				plain := prepare("ww-plain-" + strings.ReplaceAll(flow.name, " ", "-")) // commands quote an id with spaces
				n := d.writes(0, awslocal.Pass)
				d.OK(flow.run(d, plain))
				d.Fault(nil)
				total := *n
				want := d.state(plain.ID)
				if total < 8 {
					t.Fatalf("only %d writes were seen", total)
				}
				for i := 1; i <= total; i++ {
					if flow.name == "noon of many" && (i%2 == 0) != (act == awslocal.Refuse) {
						continue // its writes are the others' writes, more often: each fails in one of the two ways
					}
					c := prepare(fmt.Sprintf("ww-%s-%d-%d", flow.name[:4], act, i))
					d.writes(i, act)
					if err := flow.run(d, c); err == nil {
						t.Errorf("write %d is not noticed", i)
					}
					d.Fault(nil)
					// A claim whose answer was lost is nobody's until it runs out.
					d.real = d.real.Add(claimTime + time.Second)
					d.OK(flow.run(d, c))
					if diff := cmp.Diff(want, d.state(c.ID)); diff != "" {
						t.Errorf("write %d, then run again (-undisturbed +disturbed):\n%s", i, diff)
					}
				}
			})
		}
	}
}

func TestAPanicOfOneCorpIsToldWithoutItsValueAndEndsNoOther(t *testing.T) {
	d := newDesk(t)
	d.company("wwablown") // the first
	d.company("wwcalm")
	for _, word := range []string{"run#wwablown", "hist#wwablown#member"} { // the second in a goroutine of a member's
		d.ledger = d.Ledger(rig.Panicking(d.Config("ReportFunction"), word))
		err := d.due(d.Context())
		if err == nil || !strings.Contains(err.Error(), "panic with a value of type string") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the run says %v", word, err)
		}
	}
	if n := len(d.planned("wwcalm")); n != 2 {
		t.Errorf("%d mails of the other corp", n)
	}
}
