package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wecomvault/wecomvault/shared/ledger"
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

func TestTheCoverageReportNamesMailsThatWereGivenUp(t *testing.T) {
	d := newDesk(t)
	c := d.watched("wwunsent")
	m := ledger.MailRow{Corp: c.ID, Day: "2032-02-05", Report: "R6", To: "harbour@still.example", Object: "o", Version: "v", At: noon.AddDate(0, 0, -5)}
	d.OK(d.operator.PlanMail(d.Context(), m))
	d.OK(d.due(d.Context()))
	want := []report.Unsent{{To: m.To, Report: "R6", Day: m.Day, At: d.at}}
	f := factsOf[report.CoverageFacts](d, c.ID, "2032-02-10", report.Coverage)
	if diff := cmp.Diff(want, f.Company.Unsent, cmpopts.EquateApproxTime(time.Second)); diff != "" || f.Quiet() {
		t.Errorf("R12 has (-want +got):\n%s", diff)
	}
	r12 := d.mailsOf(c.ID, "2032-02-10", "R12")
	for to, told := range map[string]bool{"ops@clearlake.example": true, "two@clearlake.example": false} {
		l := r12[to]
		if strings.Contains(l.Text, m.To) != told || strings.Contains(l.HTML, m.To) != told || strings.Contains(l.Subject, "未发出的邮件 1") != told {
			t.Errorf("%s is told %q\n%s", to, l.Subject, l.Text)
		}
	}
}
