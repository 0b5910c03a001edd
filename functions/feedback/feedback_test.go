package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	awsses "github.com/aws/aws-sdk-go-v2/service/ses"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/mailer"
)

const corp = archive.CorpID("wwechoes")

var noon = time.Date(2033, 3, 1, 12, 0, 0, 0, time.UTC)

// ear is the function with its own role, beside an SES whose events come over the template's own rules.
type ear struct {
	*rig.Rig
	*listener
	operator *ledger.Ledger
	mailer   *mailer.Mailer
	log      bytes.Buffer
	figures  map[string]float64
	n        int
}

func newEar(t *testing.T) *ear {
	t.Helper()
	e := &ear{Rig: rig.Start(t, rig.Options{}), figures: map[string]float64{}}
	e.SES.SetQuota(ses.Quota{PerDay: 1000, PerSecond: 1000})
	e.operator = e.Ledger(e.Config(rig.Operator))
	e.mailer = mailer.New(awsses.NewFromConfig(e.Once("MailFunction")), "vault@mail.example", e.Name("MailConfigurationSet"))
	e.listener = &listener{ledger: e.Ledger(e.Once("FeedbackFunction")), log: slog.New(slog.NewTextHandler(&e.log, nil)),
		count: func(figure string, n float64) { e.figures[figure] += n }}
	return e
}

// claimed is a mail that somebody is sending.
func (e *ear) claimed(to string) ledger.MailRow {
	e.Helper()
	e.n++
	m := ledger.MailRow{Corp: corp, Day: fmt.Sprintf("2033-03-%02d", e.n), Report: "R1", To: to, Object: "mails/a", Version: "v", At: noon}
	e.OK(e.operator.PlanMail(e.Context(), m))
	m, err := e.operator.ClaimMail(e.Context(), m, "sender", noon, noon.Add(time.Minute))
	e.OK(err)
	return m
}

// sent is one whose answer was lost: SES took it, and the row does not know.
func (e *ear) sent(to string) (ledger.MailRow, string) {
	e.Helper()
	m := e.claimed(to)
	id, err := e.mailer.Send(e.Context(), to, mailer.Name{Corp: corp, Mail: m.Key(), ReportID: "r", Attempt: m.Attempt},
		[]byte("From: vault@mail.example\r\nTo: "+to+"\r\nSubject: canary subject\r\n\r\ncanary text\r\n"))
	e.OK(err)
	return m, id
}

func (e *ear) row(m ledger.MailRow) ledger.MailRow {
	e.Helper()
	row, err := e.operator.Mail(e.Context(), corp, m.Key())
	e.OK(err)
	return row
}

// hearAll gives the function what is in its queue.
func (e *ear) hearAll(bodies []string) {
	e.Helper()
	for _, b := range bodies {
		e.OK(e.job(e.Context(), b))
	}
}

func (e *ear) suppressed(address string) bool {
	e.Helper()
	all, err := e.operator.Suppressions(e.Context(), corp)
	e.OK(err)
	return slices.ContainsFunc(all, func(s ledger.Suppression) bool { return s.Address == address })
}

// TestWhatSESSaysSettlesAMail plays each outcome in every order of its events, each event twice: the end is the same.
func TestWhatSESSaysSettlesAMail(t *testing.T) {
	e := newEar(t)
	for _, c := range []struct {
		to         string
		events     int
		state      string
		fate       ledger.Fate
		detail     string
		suppressed bool
	}{
		{"ann@tide.example", 2, ledger.MailSent, ledger.Delivered, "", false},
		{"bounce@tide.example", 2, ledger.MailSent, ledger.Bounced, "permanent-general", true},
		{"softbounce@tide.example", 2, ledger.MailSent, ledger.SoftBounced, "transient-mailboxfull", false},
		{"suppressionlist@tide.example", 2, ledger.MailSent, ledger.Bounced, "permanent-onaccountsuppressionlist", true},
		{"complaint@tide.example", 3, ledger.MailSent, ledger.Complained, "abuse", true},
		{"complaintuntyped@tide.example", 3, ledger.MailSent, ledger.Complained, "", true},
		{"notspam@tide.example", 3, ledger.MailSent, ledger.Delivered, "", false},
		{"authfailure@tide.example", 3, ledger.MailSent, ledger.Delivered, "", false},
		{"reject@tide.example", 2, ledger.MailRefused, ledger.Discarded, "", false},
	} {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
			local, domain, _ := strings.Cut(c.to, "@")
			to := fmt.Sprintf("%s+%d@%s", local, e.n, domain)
			m, id := e.sent(to)
			bodies := e.Take("FeedbackQueue")
			if len(bodies) != c.events {
				t.Fatalf("%s: %d events: %v", to, len(bodies), bodies)
			}
			for _, i := range order {
				if i < len(bodies) {
					e.hearAll([]string{bodies[i], bodies[i]})
				}
			}
			row := e.row(m)
			if row.State != c.state || row.SESID != id || row.Fate != c.fate || row.FateDetail != c.detail || row.FateAt.IsZero() || row.Attempt != 1 {
				t.Errorf("%s in order %v: %+v", to, order, row)
			}
			boxes, err := e.operator.Letterboxes(t.Context(), corp, []string{to})
			e.OK(err)
			if h := boxes[to].Heard; h == nil || h.Fate != c.fate || h.Detail != c.detail || h.Mail != m.Key() || !h.At.Equal(row.FateAt) {
				t.Errorf("%s in order %v: last heard is %+v", to, order, h)
			}
			if got := boxes[to].Suppressed != nil; got != c.suppressed {
				t.Errorf("%s in order %v: its letterbox is suppressed: %t", to, order, got)
			}
			if got := e.suppressed(to); got != c.suppressed {
				t.Errorf("%s in order %v is suppressed: %t", to, order, got)
			}
		}
	}
	if strings.Contains(e.log.String(), "canary") || strings.Contains(e.log.String(), "tide.example") {
		t.Errorf("the log names what it must not:\n%s", e.log.String())
	}
	// Whether a delivery was ever a mail's fate depends on the order, so that it is not counted here.
	for figure, want := range map[string]float64{"MailsBounced": 9, "MailsComplained": 6, "MailsDiscarded": 3, "ReceiversSuppressed": 12, "UnknownMails": 0, "MailsDoubled": 0} {
		if e.figures[figure] != want {
			t.Errorf("%s: %v, want %v", figure, e.figures[figure], want)
		}
	}
}

func TestOnlyIdsPassTheRules(t *testing.T) {
	e := newEar(t)
	for _, to := range []string{"ann@tide.example", "bounce@tide.example", "complaint@tide.example", "complaintuntyped@tide.example", "reject@tide.example"} {
		e.sent(to)
	}
	bodies := e.Take("FeedbackQueue")
	if len(bodies) != 12 {
		t.Fatalf("%d events", len(bodies))
	}
	for _, b := range bodies {
		var fields map[string]any
		e.OK(json.Unmarshal([]byte(b), &fields))
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !slices.Contains([]string{"event", "ses_id", "at", "corp", "mail", "bounce", "bounce_detail", "complaint"}, name) {
				t.Errorf("the queue learns %s: %s", name, b)
			}
		}
		for _, secret := range []string{"tide.example", "canary", "vault@", "local"} {
			if strings.Contains(b, secret) {
				t.Errorf("the queue learns %q: %s", secret, b)
			}
		}
	}
}

func TestAnEventOfAMailThatFailedCounts(t *testing.T) {
	e := newEar(t)
	for name, fail := range map[string]func(ledger.MailRow) error{
		"held for throttled": func(m ledger.MailRow) error {
			return e.operator.SettleMail(e.Context(), m, "sender", ledger.MailPlanned, "", "mail-throttled", noon)
		},
		"held for rejected": func(m ledger.MailRow) error {
			return e.operator.SettleMail(e.Context(), m, "sender", ledger.MailRefused, "", "mail-rejected", noon)
		},
	} {
		m, id := e.sent("ann@tide.example")
		e.OK(fail(m))
		e.hearAll(e.Take("FeedbackQueue"))
		if row := e.row(m); row.State != ledger.MailSent || row.SESID != id || row.Reason != "" {
			t.Errorf("%s: SES's own word is %+v", name, row)
		}
	}
}

func TestTheSecondSendOfOneMailIsCounted(t *testing.T) {
	e := newEar(t)
	m, _ := e.sent("ann@tide.example")
	e.hearAll(e.Take("FeedbackQueue"))
	_, err := e.mailer.Send(e.Context(), m.To, mailer.Name{Corp: corp, Mail: m.Key(), ReportID: "r", Attempt: 2}, []byte("From: vault@mail.example\r\nTo: ann@tide.example\r\n\r\nx\r\n"))
	e.OK(err)
	e.hearAll(e.Take("FeedbackQueue"))
	if e.figures["MailsDoubled"] != 1 || !strings.Contains(e.log.String(), "mail went out twice") {
		t.Errorf("figures %v, log:\n%s", e.figures, e.log.String())
	}
}

func TestAnEventOfNobodysMailEndsTheJob(t *testing.T) {
	e := newEar(t)
	for _, body := range []string{
		`{"event":"Send","ses_id":"x","at":"2033-03-01T12:00:00Z","corp":["d3c"],"mail":["bQ"]}`,
		`{"event":"Send","ses_id":"x","at":"2033-03-01T12:00:00Z","corp":["not base64!"],"mail":["bQ"]}`,
		`{"event":"Bounce","ses_id":"x","at":"2033-03-01T12:00:00Z","corp":["a","b"],"mail":[]}`,
	} {
		if err := e.job(e.Context(), body); fault.KindOf(err) != fault.Permanent {
			t.Errorf("%s ends with %v", body, err)
		}
	}
	if e.figures["UnknownMails"] != 3 {
		t.Errorf("figures %v", e.figures)
	}
	m := e.claimed("ann@tide.example")
	for _, body := range []string{`{`, `{"event":"Send","at":"yesterday","corp":["d3dlY2hvZXM"],"mail":["bQ"]}`} {
		if err := e.job(e.Context(), body); err == nil || fault.KindOf(err) != fault.Retryable {
			t.Errorf("%s ends with %v", body, err)
		}
	}
	if row := e.row(m); row.State != ledger.MailSending {
		t.Errorf("the mail is %s", row.State)
	}
}

func TestALiftedSuppressionStaysLiftedThoughTheEventComesAgain(t *testing.T) {
	e := newEar(t)
	e.sent("bounce@tide.example")
	bodies := e.Take("FeedbackQueue")
	e.hearAll(bodies)
	e.OK(e.operator.LiftSuppression(e.Context(), corp, "bounce@tide.example", time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)))
	e.hearAll(bodies)
	if e.suppressed("bounce@tide.example") {
		t.Error("an event that was known when it was lifted suppresses again")
	}
}

// TestEveryWriteOfAnEventMayFail refuses each write once, and lets each take effect and be reported as failed once; then the event comes again.
func TestEveryWriteOfAnEventMayFail(t *testing.T) {
	e := newEar(t)
	var want string
	for n := 0; ; n++ {
		failed := false
		for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter, awslocal.CutAfter} {
			to := fmt.Sprintf("bounce+%d-%d@tide.example", n, act)
			m, id := e.sent(to)
			bodies := slices.DeleteFunc(e.Take("FeedbackQueue"), func(b string) bool { return !strings.Contains(b, "Bounce") })
			seen := 0
			e.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
				if q.Caller == "FeedbackFunction" {
					if seen++; seen == n {
						d.Act = act
					}
				}
				return d
			})
			err := e.job(e.Context(), bodies[0])
			e.Fault(nil)
			failed = failed || err != nil
			if n > 0 && seen >= n && err == nil {
				t.Errorf("call %d, act %d: nobody noticed", n, act)
			}
			e.OK(e.job(e.Context(), bodies[0]))
			row := e.row(m)
			boxes, err := e.operator.Letterboxes(t.Context(), corp, []string{to})
			e.OK(err)
			heard := ""
			if h := boxes[to].Heard; h != nil {
				heard = fmt.Sprint(h.Fate, h.Detail, h.Mail)
			}
			got := strings.NewReplacer(id, "ID", m.Key(), "KEY", to, "TO").Replace(fmt.Sprint(row.State, row.SESID, row.Fate, row.FateDetail, row.Attempt, e.suppressed(to), heard))
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("call %d, act %d: %s, want %s", n, act, got, want)
			}
		}
		if n > 0 && !failed {
			if n != 5 { // the four writes of a bounce, and then none
				t.Errorf("an event has %d writes", n-1)
			}
			return
		}
	}
}

func TestTheSampleEventIsAnswered(t *testing.T) {
	e := newEar(t)
	event, err := os.ReadFile("../../events/feedback.json")
	e.OK(err)
	m := ledger.MailRow{Corp: "wwtide", Day: "2031-05-06", Report: "R1", To: "gone@tide.example", Object: "mails/a", Version: "v", At: noon}
	e.OK(e.operator.PlanMail(e.Context(), m))
	f := lambdas.Function{Log: slog.New(slog.NewTextHandler(&e.log, nil)), Job: e.job}
	answer, err := f.Invoke(e.Context(), event)
	e.OK(err)
	b, err := json.Marshal(answer)
	e.OK(err)
	// The second of its three jobs is no event at all: it alone comes back.
	if diff := cmp.Diff(`{"batchItemFailures":[{"itemIdentifier":"b7d4f0c2-7f0e-4a55-8d1c-5a2e7c90b102"}]}`, string(b)); diff != "" {
		t.Error(diff)
	}
	row, err := e.operator.Mail(e.Context(), "wwtide", m.Key())
	e.OK(err)
	if row.State != ledger.MailSent || row.Fate != ledger.Bounced {
		t.Errorf("the mail is %+v", row)
	}
}
