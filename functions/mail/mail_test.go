package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	awsses "github.com/aws/aws-sdk-go-v2/service/ses"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/mailer"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

const corp = archive.CorpID("wwletters")

// office is the function with its own role over the whole local AWS.
type office struct {
	*rig.Rig
	*postman
	operator *ledger.Ledger
	reports  *objstore.Store
	real     time.Time
	log      bytes.Buffer
	figures  map[string]float64
	n        int
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{Rig: rig.Start(t, rig.Options{}), real: clock.Real(), figures: map[string]float64{}}
	o.operator, o.reports = o.Ledger(o.Config(rig.Operator)), o.Store(o.Config(rig.Operator), "ReportsBucket")
	c := o.Once("MailFunction")
	o.postman = &postman{
		ledger: o.Ledger(c), store: o.Store(c, "ReportsBucket"), mailer: mailer.New(awsses.NewFromConfig(c), "vault@mail.example", o.Name("MailConfigurationSet")),
		log: slog.New(slog.NewTextHandler(&o.log, nil)), wait: 15 * time.Minute, count: func(figure string, n float64) { o.figures[figure] += n }, now: clock.Now, real: func() time.Time { return o.real }, owner: newOwner,
	}
	return o
}

// plan plans a mail of its own for each call.
func (o *office) plan() ledger.MailRow {
	o.Helper()
	return o.planOf("2032-02-10", "R1")
}

// planOf plans a mail of a day or of an alert's moment, of a report as the ledger has it.
func (o *office) planOf(day, name string) ledger.MailRow {
	o.Helper()
	o.n++
	m := ledger.MailRow{Corp: corp, Day: day, Report: name, To: fmt.Sprintf("reader%d@clearlake.example", o.n), At: clock.Now()}
	kind, _, _ := strings.Cut(name, "-")
	letter := report.Mail{ID: reportID(m), Kind: report.Kind(kind), Language: report.English, Subject: "A plain report", Text: "canary", HTML: "<p>canary</p>"}
	raw, err := letter.Bytes("vault@mail.example", m.To, time.Date(2032, 2, 10, 12, 0, 0, 0, time.UTC), letter.ID)
	o.OK(err)
	object, err := o.reports.PutBlob(o.Context(), objstore.MailKey(corp, m.Day, m.To), "message/rfc822", raw)
	o.OK(err)
	m.Object, m.Version = object.Key, object.VersionID
	o.OK(o.operator.PlanMail(o.Context(), m))
	return m
}

func (o *office) deliver(m ledger.MailRow) error {
	return o.send(o.Context(), queue.MailJob{Corp: corp, Mail: m.Key()})
}

func (o *office) row(m ledger.MailRow) ledger.MailRow {
	o.Helper()
	row, err := o.operator.Mail(o.Context(), corp, m.Key())
	o.OK(err)
	return row
}

// delivered lists what SES took for a mail's receiver, as raw mails.
func (o *office) delivered(m ledger.MailRow) (raws []string, tags []map[string]string) {
	o.Helper()
	all, err := o.SES.Mails()
	o.OK(err)
	for _, got := range all {
		if got.Destinations[0] == m.To {
			raw, err := o.SES.Raw(got.ID)
			o.OK(err)
			raws, tags = append(raws, string(raw)), append(tags, got.Tags)
		}
	}
	return raws, tags
}

// failNth plans a fault for the n-th call of an operation.
func (o *office) failNth(operation string, n int, decision awslocal.FaultDecision) {
	seen := 0
	o.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Caller != "MailFunction" || q.Operation != operation {
			return awslocal.FaultDecision{}
		}
		if seen++; seen == n {
			return decision
		}
		return awslocal.FaultDecision{}
	})
}

const marked = attemptHeader + ": 2\r\n"

func TestMailIsSentOnceHoweverOftenItsJobComes(t *testing.T) {
	o := newOffice(t)
	m := o.plan()
	for range 3 {
		o.OK(o.deliver(m))
	}
	raws, tags := o.delivered(m)
	if len(raws) != 1 || strings.Contains(raws[0], attemptHeader) || tags[0]["report_id"] != reportID(m) {
		t.Fatalf("%d mails with tags %v", len(raws), tags)
	}
	if row := o.row(m); row.State != ledger.MailSent || row.SESID == "" || row.Attempt != 1 {
		t.Errorf("the row is %+v", row)
	}
	if strings.Contains(o.log.String(), "canary") || strings.Contains(o.log.String(), "reader1") {
		t.Errorf("the log tells what the mail says, or to whom:\n%s", o.log.String())
	}
}

func TestLostAnswerMakesOneMarkedDoubleAtMost(t *testing.T) {
	for name, c := range map[string]struct {
		act   awslocal.Act
		mails int
	}{
		"sent, the answer was cut off":    {awslocal.CutAfter, 2},
		"sent, and answered with failure": {awslocal.FailAfter, 2},
		"not sent, the call was cut off":  {awslocal.CutInstead, 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			m := o.plan()
			o.failNth("SendRawEmail", 1, awslocal.FaultDecision{Act: c.act})
			if err := o.deliver(m); err == nil || fault.KindOf(err) != fault.Retryable {
				t.Fatalf("a lost answer ends with %v", err)
			}
			if row := o.row(m); row.State != ledger.MailSending {
				t.Fatalf("after a lost answer the mail is %s", row.State)
			}
			before, _ := o.delivered(m)
			if err := o.deliver(m); err == nil {
				t.Fatal("the job was done while nobody knew whether the mail was sent")
			}
			if now, _ := o.delivered(m); len(now) != len(before) {
				t.Fatal("it was sent again while its sender might have lived")
			}
			o.real = o.real.Add(o.wait + time.Second)
			o.OK(o.deliver(m))
			o.OK(o.deliver(m))
			raws, _ := o.delivered(m)
			if len(raws) != c.mails || !strings.HasPrefix(raws[len(raws)-1], marked) {
				t.Errorf("%d mails, want %d, the last marked: %.40q", len(raws), c.mails, raws[len(raws)-1])
			}
			if len(raws) == 2 && strings.TrimPrefix(raws[1], marked) != raws[0] {
				t.Error("the double differs from the first in more than its mark")
			}
			if row := o.row(m); row.State != ledger.MailSent || row.Attempt != 2 {
				t.Errorf("the row is %+v", row)
			}
		})
	}
}

func TestThrottledMailIsSentLaterAndNotCalledADouble(t *testing.T) {
	o := newOffice(t)
	m := o.plan()
	for _, mood := range []ses.Mood{ses.RateExceeded, ses.DayExceeded, ses.Paused} {
		o.SES.SetMood(mood)
		if err := o.deliver(m); err == nil || fault.KindOf(err) != fault.Retryable {
			t.Fatalf("mood %d ends with %v", mood, err)
		}
		if row := o.row(m); row.State != ledger.MailPlanned || row.Attempt != 0 || row.Reason != string(mailer.Throttled) {
			t.Fatalf("mood %d leaves %+v", mood, row)
		}
	}
	o.SES.SetMood(ses.Sending)
	o.OK(o.deliver(m))
	if raws, _ := o.delivered(m); len(raws) != 1 || strings.Contains(raws[0], attemptHeader) {
		t.Errorf("%d mails", len(raws))
	}
}

func TestRejectedMailIsRecordedAndEndsTheJob(t *testing.T) {
	o := newOffice(t)
	m := o.plan()
	o.failNth("SendRawEmail", 1, awslocal.FaultDecision{Act: awslocal.Refuse, Code: "MessageRejected", Status: 400})
	if err := o.deliver(m); fault.KindOf(err) != fault.Permanent {
		t.Errorf("the job ends with %v", err)
	}
	if row := o.row(m); row.State != ledger.MailRefused || row.Reason != string(mailer.Rejected) {
		t.Errorf("the row is %+v", row)
	}
	o.Fault(nil)
	o.OK(o.deliver(m))
	if raws, _ := o.delivered(m); len(raws) != 0 {
		t.Error("a refused mail was sent by a later job")
	}
}

func TestMailThatWasNeverPlannedEndsTheJob(t *testing.T) {
	o := newOffice(t)
	if err := o.deliver(ledger.MailRow{Corp: corp, Day: "2032-02-10", Report: "R1", To: "x@y.example"}); fault.KindOf(err) != fault.Permanent {
		t.Errorf("the job ends with %v", err)
	}
}

func TestEveryWriteMayFailAndTheMailArrives(t *testing.T) {
	o := newOffice(t)
	for _, c := range []struct {
		name      string
		operation string
		n         int
		act       awslocal.Act
		most      int // mails that may arrive
	}{
		{"claim refused", "UpdateItem", 1, awslocal.Refuse, 1},
		{"claim done but reported as failed", "UpdateItem", 1, awslocal.FailAfter, 1},
		{"SES refused", "SendRawEmail", 1, awslocal.Refuse, 1},
		{"SES took it but reported a failure", "SendRawEmail", 1, awslocal.FailAfter, 2},
		{"settling refused", "UpdateItem", 2, awslocal.Refuse, 2},
		{"settling done but reported as failed", "UpdateItem", 2, awslocal.FailAfter, 1},
		{"the mail can't be read", "GetObject", 1, awslocal.Refuse, 1},
	} {
		m := o.plan()
		o.failNth(c.operation, c.n, awslocal.FaultDecision{Act: c.act})
		if err := o.deliver(m); err == nil {
			t.Errorf("%s: not noticed", c.name)
		}
		o.Fault(nil)
		o.real = o.real.Add(o.wait + time.Second)
		if err := o.deliver(m); err != nil {
			t.Errorf("%s: the second job ends with %v", c.name, err)
		}
		raws, _ := o.delivered(m)
		if len(raws) < 1 || len(raws) > c.most {
			t.Errorf("%s: %d mails arrive, want 1 to %d", c.name, len(raws), c.most)
		}
		for _, raw := range raws[1:] {
			if !strings.HasPrefix(raw, marked) {
				t.Errorf("%s: a double is not marked", c.name)
			}
		}
		if row := o.row(m); row.State != ledger.MailSent {
			t.Errorf("%s: the row is %+v", c.name, row)
		}
	}
}
