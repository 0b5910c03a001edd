package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/mailer"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

// hear does with the queue's events what feedback does first of all: it settles the mails that they name.
func (o *office) hear() (heard int) {
	o.Helper()
	for _, body := range o.Take("FeedbackQueue") {
		var e queue.MailEvent
		o.OK(json.Unmarshal([]byte(body), &e))
		corp, mail, err := mailer.ParseTags(e.Corp.Value(), e.Mail.Value())
		o.OK(err)
		_, _, err = o.operator.TookMail(o.Context(), corp, mail, e.SESID, o.real)
		o.OK(err)
		heard++
	}
	return heard
}

// TestEventOfALostAnswerMakesOneMail plays the event's coming at each moment between the send and its repetition.
func TestEventOfALostAnswerMakesOneMail(t *testing.T) {
	for _, c := range []struct {
		name   string
		during bool // the event is heard before SES's answer is lost
		jobs   int  // that come before the event is heard
		late   bool // and it is heard only when the wait is over, before the next job
	}{
		{"before the answer", true, 0, false},
		{"at once", false, 0, false},
		{"after some tries", false, 2, false},
		{"at the end of the wait", false, 1, true},
	} {
		for _, act := range []awslocal.Act{awslocal.CutAfter, awslocal.FailAfter} {
			o := newOffice(t)
			m := o.plan()
			o.failNth("SendRawEmail", 1, awslocal.FaultDecision{Act: act})
			if c.during {
				o.OK(o.SES.SetEvents(map[string][]string{o.Name("MailConfigurationSet"): {"send"}}, func([]byte) error {
					_, _, err := o.operator.TookMail(o.Context(), corp, m.Key(), "told-by-the-event", o.real)
					return err
				}))
			}
			if err := o.deliver(m); err == nil {
				t.Fatalf("%s: a lost answer was not noticed", c.name)
			}
			for range c.jobs {
				if err := o.deliver(m); !errors.Is(err, ledger.ErrLost) {
					t.Errorf("%s: a job during the wait ends with %v", c.name, err)
				}
			}
			if c.late {
				o.real = o.real.Add(o.wait + time.Second)
			}
			if !c.during && o.hear() == 0 {
				t.Fatalf("%s: SES says nothing", c.name)
			}
			o.real = o.real.Add(o.wait + time.Second)
			o.OK(o.deliver(m))
			o.OK(o.deliver(m))
			if raws, _ := o.delivered(m); len(raws) != 1 {
				t.Errorf("%s, act %d: %d mails", c.name, act, len(raws))
			}
			if row := o.row(m); row.State != ledger.MailSent || row.Attempt != 1 || row.PossibleDouble() {
				t.Errorf("%s, act %d: %+v", c.name, act, row)
			}
			if o.figures["PossibleDoubles"] != 0 {
				t.Errorf("%s, act %d: figures %v", c.name, act, o.figures)
			}
		}
	}
}

// TestALostAnswerIsSettledByTheEventForEveryReport goes through all names that mails have in the ledger.
func TestALostAnswerIsSettledByTheEventForEveryReport(t *testing.T) {
	o := newOffice(t)
	const moment = "2032-02-10-0123456789ab" // of an alert
	names := map[string]string{string(report.MissingMobile) + "-user": "2032-02-10", string(report.MissingMobile) + "-user.0a1b2c3d": "2032-02-10", string(report.MissingEmail) + "-user": "2032-02-10"}
	for _, k := range report.Kinds() {
		names[string(k)] = "2032-02-10"
	}
	mails := []ledger.MailRow{o.planOf(moment, string(report.Maintenance)), o.planOf(moment, string(report.GroupsBreach))}
	for name, day := range names {
		mails = append(mails, o.planOf(day, name))
	}
	for _, m := range mails {
		o.failNth("SendRawEmail", 1, awslocal.FaultDecision{Act: awslocal.CutAfter})
		if err := o.deliver(m); err == nil {
			t.Fatalf("%s: a lost answer was not noticed", m.Key())
		}
		if o.hear() == 0 {
			t.Fatalf("%s: SES says nothing", m.Key())
		}
		o.real = o.real.Add(o.wait + time.Second)
		o.OK(o.deliver(m))
		if raws, _ := o.delivered(m); len(raws) != 1 || o.row(m).State != ledger.MailSent || o.row(m).PossibleDouble() {
			t.Errorf("%s: %d mails, %+v", m.Key(), len(raws), o.row(m))
		}
	}
	if o.figures["PossibleDoubles"] != 0 {
		t.Errorf("figures %v", o.figures)
	}
}

func TestWithheldEventMakesAMarkedAndCountedDouble(t *testing.T) {
	o := newOffice(t)
	o.SES.SetCourse(func(ses.Event) ses.Course { return ses.Course{Withhold: true} })
	m := o.plan()
	o.failNth("SendRawEmail", 1, awslocal.FaultDecision{Act: awslocal.CutAfter})
	if err := o.deliver(m); err == nil {
		t.Fatal("a lost answer was not noticed")
	}
	for range 3 {
		if err := o.deliver(m); err == nil || len(o.Take("FeedbackQueue")) != 0 {
			t.Fatalf("during the wait: %v", err)
		}
	}
	o.real = o.real.Add(o.wait + time.Second)
	o.OK(o.deliver(m))
	raws, tags := o.delivered(m)
	if len(raws) != 2 || !strings.HasPrefix(raws[1], marked) || tags[0]["attempt"] != "1" || tags[1]["attempt"] != "2" {
		t.Fatalf("%d mails, tags %v", len(raws), tags)
	}
	if o.figures["PossibleDoubles"] != 1 || !o.row(m).PossibleDouble() || !strings.Contains(o.log.String(), "may be a double") {
		t.Errorf("figures %v, row %+v, log:\n%s", o.figures, o.row(m), o.log.String())
	}
	// The events come after all, each of them: nothing is sent again.
	o.OK(o.SES.ReleaseEvents())
	if o.hear() != 4 {
		t.Error("not every event came")
	}
	o.OK(o.deliver(m))
	if raws, _ := o.delivered(m); len(raws) != 2 {
		t.Errorf("%d mails in the end", len(raws))
	}
}

func TestSuppressedReceiverGetsNothingAndTheMailSaysSo(t *testing.T) {
	o := newOffice(t)
	m := o.plan()
	if _, err := o.operator.Suppress(o.Context(), ledger.Suppression{Corp: corp, Address: m.To, Reason: ledger.Bounced, Mail: "earlier", Since: o.real}); err != nil {
		t.Fatal(err)
	}
	if err := o.deliver(m); fault.KindOf(err) != fault.Permanent || fault.ReasonOf(err) != suppressed || strings.Contains(err.Error(), "@") {
		t.Errorf("the job ends with %v", err)
	}
	o.OK(o.deliver(m))
	if row := o.row(m); row.State != ledger.MailRefused || row.Reason != string(suppressed) || row.Attempt != 0 {
		t.Errorf("the row is %+v", row)
	}
	// One whose answer was lost waits for its event like any other, and is then not sent again.
	lost := o.plan()
	o.failNth("SendRawEmail", 1, awslocal.FaultDecision{Act: awslocal.CutInstead})
	if err := o.deliver(lost); err == nil {
		t.Fatal("a lost answer was not noticed")
	}
	o.Fault(nil)
	if _, err := o.operator.Suppress(o.Context(), ledger.Suppression{Corp: corp, Address: lost.To, Reason: ledger.Complained, Mail: "earlier", Since: o.real}); err != nil {
		t.Fatal(err)
	}
	if err := o.deliver(lost); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("during the wait: %v", err)
	}
	o.real = o.real.Add(o.wait + time.Second)
	if err := o.deliver(lost); fault.ReasonOf(err) != suppressed {
		t.Errorf("after the wait: %v", err)
	}
	if all, err := o.SES.Mails(); err != nil || len(all) != 0 || o.figures["MailsSuppressed"] != 2 {
		t.Errorf("%d mails, figures %v: %v", len(all), o.figures, err)
	}
	// Lifted: the next mail goes out, and what was refused stays so.
	o.OK(o.operator.LiftSuppression(o.Context(), corp, m.To, o.real))
	next := m
	next.Day = "2032-02-11"
	o.OK(o.operator.PlanMail(o.Context(), next))
	o.OK(o.deliver(next))
	o.OK(o.deliver(m))
	if raws, _ := o.delivered(m); len(raws) != 1 {
		t.Errorf("%d mails", len(raws))
	}
}

func TestRefusingASuppressedMailMayFail(t *testing.T) {
	o := newOffice(t)
	for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter} {
		m := o.plan()
		if _, err := o.operator.Suppress(o.Context(), ledger.Suppression{Corp: corp, Address: m.To, Reason: ledger.Bounced, Since: o.real}); err != nil {
			t.Fatal(err)
		}
		o.failNth("UpdateItem", 1, awslocal.FaultDecision{Act: act})
		if err := o.deliver(m); fault.KindOf(err) != fault.Retryable {
			t.Errorf("act %d: %v", act, err)
		}
		o.Fault(nil)
		if err := o.deliver(m); act == awslocal.Refuse && fault.ReasonOf(err) != suppressed || act == awslocal.FailAfter && err != nil {
			t.Errorf("act %d, again: %v", act, err)
		}
		if row := o.row(m); row.State != ledger.MailRefused || row.Reason != string(suppressed) {
			t.Errorf("act %d: %+v", act, row)
		}
	}
}
