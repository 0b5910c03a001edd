package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/report"
)

func TestAMailThatIsNotSentForDaysIsGivenUpAndNotForgotten(t *testing.T) {
	d := newDesk(t)
	c := d.calm("wwgivenup")
	sent := func(m ledger.MailRow) {
		t.Helper()
		claimed, err := d.operator.ClaimMail(d.Context(), m, "postman", d.real, d.real.Add(time.Minute))
		d.OK(err)
		d.OK(d.operator.SettleMail(d.Context(), claimed, "postman", ledger.MailSent, "ses", "", d.at))
	}
	plan := func(to string) ledger.MailRow {
		t.Helper()
		m := ledger.MailRow{Corp: c.ID, Day: noon.Format(time.DateOnly), Report: "R1", To: to, Object: "o", Version: "v", At: noon}
		d.OK(d.operator.PlanMail(d.Context(), m))
		return m
	}
	unsent, claimed, well := plan("unsent@still.example"), plan("claimed@still.example"), plan("well@still.example")
	sent(well)
	d.real = d.real.Add(time.Hour)
	_, err := d.operator.ClaimMail(d.Context(), claimed, "somebody", d.real, d.real.Add(time.Minute))
	d.OK(err)
	sweep := func(at time.Duration, jobs, stand []string) {
		t.Helper()
		d.at = noon.Add(at)
		d.OK(d.sweep(d.Context(), c.ID))
		if diff := cmp.Diff(jobs, d.jobs(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%v after noon, jobs (-want +got):\n%s", at, diff)
		}
		all, err := d.operator.GivenUps(d.Context(), c.ID)
		d.OK(err)
		var got []string
		for _, g := range all {
			got = append(got, g.To)
		}
		slices.Sort(got)
		if diff := cmp.Diff(stand, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%v after noon, given up (-want +got):\n%s", at, diff)
		}
	}
	sweep(4*24*time.Hour, []string{unsent.Key()}, nil)
	sweep(9*24*time.Hour, nil, []string{unsent.To}) // nobody looked for days; and the other may be on its way
	d.real = d.real.Add(time.Hour)
	sweep(9*24*time.Hour, nil, []string{claimed.To, unsent.To})
	m, err := d.operator.Mail(d.Context(), c.ID, unsent.Key())
	d.OK(err)
	if m.State != ledger.MailGivenUp || m.Reason != ledger.GivenUpUnsent || !m.At.Equal(d.at) {
		t.Errorf("given up: %+v", m)
	}
	sweep(10*24*time.Hour, nil, []string{claimed.To, unsent.To})

	// The operator wants one sent still, and acknowledges the other.
	all, err := d.operator.GivenUps(d.Context(), c.ID)
	d.OK(err)
	for _, g := range all {
		if g.To == unsent.To {
			d.OK(d.operator.ReopenMail(d.Context(), g, d.at))
		} else {
			d.OK(d.operator.SettleGivenUp(d.Context(), g, d.at))
		}
	}
	sweep(10*24*time.Hour+time.Hour, []string{unsent.Key()}, []string{unsent.To})
	sweep(20*24*time.Hour, []string{unsent.Key()}, []string{unsent.To}) // as long as it takes
	sent(unsent)
	sweep(20*24*time.Hour+time.Hour, nil, nil)
}

func TestTheCoverageReportNamesWhatWasGivenUp(t *testing.T) {
	d := newDesk(t)
	c := d.watched("wwunsent")
	d.OK(d.operator.SetApp(d.Context(), c.ID, 7))
	d.OK(d.operator.PlanTelling(d.Context(), ledger.Telling{Corp: c.ID, Day: "2032-02-05", Report: "R2", To: "sun.never-told", Text: "t", At: noon.AddDate(0, 0, -5)}))
	m := ledger.MailRow{Corp: c.ID, Day: "2032-02-05", Report: "R6", To: "harbour@still.example", Object: "o", Version: "v", At: noon.AddDate(0, 0, -5)}
	d.OK(d.operator.PlanMail(d.Context(), m))
	d.OK(d.due(d.Context()))
	want := []report.Unsent{{To: "sun.never-told", InWeCom: true, Report: "R2", Day: m.Day, At: d.at}, {To: m.To, Report: "R6", Day: m.Day, At: d.at}}
	f := factsOf[report.CoverageFacts](d, c.ID, "2032-02-10", report.Coverage)
	if diff := cmp.Diff(want, f.Company.Unsent, cmpopts.EquateApproxTime(time.Second)); diff != "" || f.Quiet() {
		t.Errorf("R12 has (-want +got):\n%s", diff)
	}
	r12 := d.mailsOf(c.ID, "2032-02-10", "R12")
	for to, told := range map[string]bool{"ops@clearlake.example": true, "two@clearlake.example": false} {
		l := r12[to]
		for _, to := range []string{m.To, "sun.never-told"} {
			if strings.Contains(l.Text, to) != told || strings.Contains(l.HTML, to) != told {
				t.Errorf("of %s is said\n%s", to, l.Text)
			}
		}
		if strings.Contains(l.Subject, "未发出的邮件 1") != told || strings.Contains(l.Subject, "未发出的企业微信消息 1") != told || strings.Contains(l.Text, "企业微信消息不会在数日后补发") != told {
			t.Errorf("%s is told %q\n%s", to, l.Subject, l.Text)
		}
	}
}

// appCalm is a company that is calm and has an app, and a message in WeCom to each of the users of which nothing came yet.
func (d *desk) appCalm(id archive.CorpID, users ...archive.PartyID) ledger.Corp {
	d.Helper()
	c := d.calm(id)
	d.OK(d.operator.SetApp(d.Context(), id, 7))
	for _, to := range users {
		d.OK(d.operator.PlanTelling(d.Context(), ledger.Telling{Corp: id, Day: noon.Format(time.DateOnly), Report: "R2", To: to, Text: "text", At: noon}))
	}
	return c
}

// standing is what stands as given up, as the operator has it.
func (d *desk) standing(id archive.CorpID) (keys []string) {
	d.Helper()
	all, err := d.operator.GivenUps(d.Context(), id)
	d.OK(err)
	for _, g := range all {
		keys = append(keys, g.Key()+" "+g.Reason)
	}
	return keys
}

// T5: what could not be sent for days is not sent as if it were of today, and is not forgotten.
func TestAMessageInWeComThatIsNotSentForDaysIsGivenUpAloudAndItsJobNeverSentAgain(t *testing.T) {
	d := newDesk(t)
	c := d.appCalm("wwuntold", "waits", "asked", "told")
	claim := func(to archive.PartyID) ledger.Telling {
		t.Helper()
		row, err := d.operator.ClaimTelling(d.Context(), d.tellings(c.ID, "2032-02-10")[to], "o", 7, d.real, d.real.Add(time.Minute), time.Hour)
		d.OK(err)
		return row
	}
	d.OK(d.operator.WaitTelling(d.Context(), claim("waits"), ledger.TellSecret))
	d.OK(d.operator.SettleTelling(d.Context(), claim("told"), ledger.Told, "m", "", d.at))
	claim("asked") // and no answer
	sweep := func(at time.Duration, jobs, stand []string) {
		t.Helper()
		d.at = noon.Add(at)
		d.OK(d.sweep(d.Context(), c.ID))
		d.OK(d.sweepTellings(d.Context(), c.ID))
		if diff := cmp.Diff(jobs, d.tellJobs(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%v after noon, jobs (-want +got):\n%s", at, diff)
		}
		if diff := cmp.Diff(stand, d.standing(c.ID), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%v after noon, given up (-want +got):\n%s", at, diff)
		}
	}
	waits, asked := "2032-02-10#R2#wecom#waits not-sent-in-time: secret-refused", "2032-02-10#R2#wecom#asked not-known-whether-taken"
	sweep(4*24*time.Hour, []string{"2032-02-10#R2#waits"}, nil)
	sweep(9*24*time.Hour, nil, []string{waits}) // nobody looked for days; and the other may be on its way
	d.real = d.real.Add(time.Hour)
	sweep(9*24*time.Hour, nil, []string{asked, waits})
	if got := d.tellings(c.ID, "2032-02-10"); got["waits"].State != ledger.MailGivenUp || got["waits"].Reason != "not-sent-in-time: secret-refused" || got["told"].State != ledger.Told {
		t.Errorf("%+v", got)
	}
	if said := d.log.String(); strings.Count(said, "given up") != 2 || strings.Contains(said, "waits") {
		t.Errorf("the log says\n%s", said)
	}
	sweep(10*24*time.Hour, nil, []string{asked, waits})
	all, err := d.operator.GivenUps(d.Context(), c.ID)
	d.OK(err)
	for _, g := range all {
		d.OK(d.operator.SettleGivenUp(d.Context(), g, d.at))
	}
	sweep(10*24*time.Hour+time.Hour, nil, nil)
}

// TestGivingUpAMessageInWeComSurvivesWhateverFails: each write of it fails for good, or is done and reported as failed; the next sweep ends it.
func TestGivingUpAMessageInWeComSurvivesWhateverFails(t *testing.T) {
	d := newDesk(t)
	for i, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter, awslocal.CutAfter} {
		for j, site := range []string{"givenup#", "telling#", "swept-tellings"} {
			d.at = noon.Add(time.Second)
			c := d.appCalm(archive.CorpID(fmt.Sprintf("wwfails%d%d", i, j)), "ana", "ben")
			d.at = noon.AddDate(0, 0, 9)
			d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
				if q.Caller == "ReportFunction" && q.Operation == "UpdateItem" && strings.Contains(string(q.Body), site) {
					return awslocal.FaultDecision{Act: act}
				}
				return awslocal.FaultDecision{}
			})
			failed := d.sweepTellings(d.Context(), c.ID)
			d.Fault(nil)
			for range 2 {
				d.OK(d.sweepTellings(d.Context(), c.ID))
			}
			want := []string{"2032-02-10#R2#wecom#ana not-sent-in-time", "2032-02-10#R2#wecom#ben not-sent-in-time"}
			if diff := cmp.Diff(want, d.standing(c.ID)); diff != "" || failed == nil {
				t.Errorf("%s, act %d, which ended with %v: given up (-want +got):\n%s", site, act, failed, diff)
			}
			for to, row := range d.tellings(c.ID, "2032-02-10") {
				if row.State != ledger.MailGivenUp {
					t.Errorf("%s, act %d: %s is %s", site, act, to, row.State)
				}
			}
			if mark, err := d.operator.Swept(d.Context(), c.ID, ledger.SweepTellings); err != nil || mark != "2032-02-15" || len(d.tellJobs()) != 0 {
				t.Errorf("%s, act %d: swept up to %q, or jobs: %v", site, act, mark, err)
			}
		}
	}
}
