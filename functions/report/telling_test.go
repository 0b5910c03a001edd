package main

import (
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
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// unreached gives a company members who lost the mobile number: ana has no email address, ben has one, and cy's bounces.
func (d *desk) unreached(id archive.CorpID, app int) ledger.Corp {
	d.Helper()
	c := d.company(id)
	if app != 0 {
		d.OK(d.operator.SetApp(d.Context(), id, app))
	}
	first, later := noon.Add(-19*time.Hour), noon.Add(-2*time.Hour)
	for who, email := range map[string]string{"ana": "", "ben": "ben@clearlake.example", "cy": "cy@clearlake.example"} {
		m := directory.Member{Name: "姓 " + who, Listed: true, Departments: []int{2}, Status: 1, Mobile: "+49 3012345678", MobileReadable: true, Email: email, EmailReadable: true, DesignatedKnown: true}
		before := directory.Entry{Kind: directory.KindMember, ID: who, At: first, Fields: directory.Fields(m)}
		m.Mobile = ""
		after := directory.Entry{Kind: directory.KindMember, ID: who, At: later, Fields: directory.Fields(m)}
		d.OK(d.operator.PutEntries(d.Context(), id, []directory.Entry{before}))
		d.OK(d.operator.PutEntries(d.Context(), id, []directory.Entry{after}))
		d.happened(id, who, directory.MobileRemoved, "+49 3012345678", "", later)
	}
	_, err := d.operator.PutReceiver(d.Context(), id, receivers.Row{ID: "r-1", Address: "audit@clearlake.example", Language: "en", Department: 1, Reports: []report.Kind{"R2"}, Added: first})
	d.OK(err)
	_, err = d.operator.Suppress(d.Context(), ledger.Suppression{Corp: id, Address: "cy@clearlake.example", Reason: ledger.Bounced, Since: first})
	d.OK(err)
	return c
}

// told is the messages in WeCom that are planned, by user.
func (d *desk) tellings(id archive.CorpID, day string) map[archive.PartyID]ledger.Telling {
	d.Helper()
	all := map[archive.PartyID]ledger.Telling{}
	d.OK(d.operator.Tellings(d.Context(), id, func(t ledger.Telling) bool {
		if t.Day == day {
			all[t.To] = t
		}
		return true
	}))
	return all
}

// tellJobs takes the messages in WeCom that jobs ask for, each once.
func (d *desk) tellJobs() (keys []string) {
	d.Helper()
	for _, body := range d.Take("TellQueue") {
		job, err := queue.Decode[queue.TellJob](body)
		d.OK(err)
		keys = append(keys, job.Telling)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// T5: told in WeCom, or listed as one who could not be told.
func TestWhomNoMailReachesIsToldInWeComWhereTheCompanyHasAnApp(t *testing.T) {
	for _, app := range []int{0, 1000007} {
		d := newDesk(t)
		c := d.unreached("wwunreached", app)
		d.OK(d.due(t.Context()))
		d.OK(d.due(t.Context())) // a doubled schedule
		got := d.tellings(c.ID, "2032-02-10")
		r2 := d.mailsOf(c.ID, "2032-02-10", "R2")["audit@clearlake.example"]
		if app == 0 {
			if len(got) != 0 || len(d.tellJobs()) != 0 || !strings.Contains(r2.Text, "could not be told: no address") {
				t.Errorf("without an app: %v\n%s", got, r2.Text)
			}
			continue
		}
		if diff := cmp.Diff([]string{"2032-02-10#R2#ana", "2032-02-10#R2#cy"}, d.tellJobs()); diff != "" {
			t.Error(diff)
		}
		if len(got) != 2 || !strings.Contains(got["ana"].Text, "姓 ana") || !strings.Contains(got["ana"].Text, "2. ") || got["ana"].State != ledger.MailPlanned ||
			strings.Contains(got["ana"].Text, "姓 cy") || strings.Contains(got["ana"].Text, "+49 3012345678") {
			t.Errorf("%+v", got)
		}
		if strings.Count(r2.Text, "told in WeCom") != 2 || strings.Count(r2.Text, "told by mail") == 0 || !strings.Contains(r2.Text, "could not be told: 0") {
			t.Errorf("the receivers are told\n%s", r2.Text)
		}
		if _, mailed := d.mailsOf(c.ID, "2032-02-10", "R2"+notices)["ben@clearlake.example"]; !mailed {
			t.Error("ben is not mailed")
		}
	}
}

// T5: what WeCom refused, or what still waits, is no telling, and is tried again.
func TestTheNextDaysListSaysWhetherTheLastMessageArrived(t *testing.T) {
	for _, x := range []struct{ state, reason, says string }{
		{ledger.TellRefused, ledger.TellNotInRange, "could not be told: the app may not see this member"},
		{ledger.TellRefused, ledger.TellUnlicensed, "could not be told: the member has no licence"},
		{ledger.Told, "", "told in WeCom"},
		{"", "", "could not be told: the last message in WeCom still waits"},
		{ledger.MailGivenUp, "", "could not be told: the last message in WeCom could not be sent for days and was given up"},
	} {
		d := newDesk(t)
		c := d.unreached("wwagain", 1000007)
		d.OK(d.due(t.Context()))
		switch x.state {
		case "":
		case ledger.MailGivenUp:
			d.OK(d.operator.GiveUpTelling(t.Context(), d.tellings(c.ID, "2032-02-10")["ana"], d.real, d.at))
		default:
			row, err := d.operator.ClaimTelling(t.Context(), d.tellings(c.ID, "2032-02-10")["ana"], "o", 1000007, d.real, d.real.Add(time.Minute), time.Hour)
			d.OK(err)
			d.OK(d.operator.SettleTelling(t.Context(), row, x.state, "", x.reason, d.at))
		}
		d.at = noon.Add(24*time.Hour + time.Second)
		d.OK(d.due(t.Context()))
		if text := d.mailsOf(c.ID, "2032-02-11", "R2")["audit@clearlake.example"].Text; !strings.Contains(text, x.says) {
			t.Errorf("%s %s: the receivers are told\n%s", x.state, x.reason, text)
		}
		if _, planned := d.tellings(c.ID, "2032-02-11")["ana"]; !planned {
			t.Errorf("%s %s: it is not tried again", x.state, x.reason)
		}
	}
}

// TestAMessageInWeComSurvivesWhateverFailsOnItsWay: each call that plans one or asks for it fails once, or is done and reported as failed.
func TestAMessageInWeComSurvivesWhateverFailsOnItsWay(t *testing.T) {
	slow(t)
	for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter, awslocal.CutAfter} {
		for _, site := range []string{"PutItem telling#", "SendMessage telling"} {
			for n := int64(1); n <= 2; n++ {
				d := newDesk(t)
				c := d.unreached("wwfault", 1000007)
				operation, of, _ := strings.Cut(site, " ")
				var seen atomic.Int64
				d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
					if q.Caller == "ReportFunction" && q.Operation == operation && strings.Contains(string(q.Body), of) && seen.Add(1) == n {
						return awslocal.FaultDecision{Act: act}
					}
					return awslocal.FaultDecision{}
				})
				failed := d.due(t.Context())
				d.Fault(nil)
				first := d.tellings(c.ID, "2032-02-10")
				d.at = d.at.Add(time.Minute)
				d.OK(d.due(t.Context()))
				got := d.tellings(c.ID, "2032-02-10")
				if seen.Load() < n || len(got) != 2 {
					t.Errorf("%s %d, act %d, which ended with %v: %d messages", site, n, act, failed, len(got))
				}
				for id, was := range first {
					if got[id].Text != was.Text {
						t.Errorf("%s %d, act %d: %s is planned with other words", site, n, act, id)
					}
				}
				if keys := d.tellJobs(); len(keys) != 2 {
					t.Errorf("%s %d, act %d: jobs %v", site, n, act, keys)
				}
			}
		}
	}
}

func TestALostJobOfAMessageInWeComIsSentAgainByTheSweep(t *testing.T) {
	d := newDesk(t)
	c := d.unreached("wwsweep", 1000007)
	d.OK(d.due(t.Context()))
	if n := len(d.tellJobs()); n != 2 { // taken, and lost
		t.Fatal(n)
	}
	row, err := d.operator.ClaimTelling(t.Context(), d.tellings(c.ID, "2032-02-10")["cy"], "o", 1000007, d.real, d.real.Add(time.Minute), time.Hour)
	d.OK(err)
	d.OK(d.operator.SettleTelling(t.Context(), row, ledger.Told, "m", "", d.at))
	for _, x := range []struct {
		after time.Duration
		n     int
	}{{5 * time.Minute, 0}, {6 * time.Minute, 1}, {time.Minute, 0}, {10 * time.Minute, 1}, {10 * time.Minute, 0}, {10 * time.Minute, 1}} {
		d.at = d.at.Add(x.after)
		d.OK(d.due(t.Context()))
		if keys := d.tellJobs(); len(keys) != x.n {
			t.Errorf("at %s: %v", d.at, keys)
		}
	}
}
