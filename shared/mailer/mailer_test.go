package mailer_test

import (
	"bytes"
	"context"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ses"

	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	localses "github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/mailer"
	"github.com/wecomvault/wecomvault/shared/report"
)

const self = "MailFunction"

var called = mailer.Name{Corp: "ww 潮水", Mail: "2032-02-10#R1#0123456789abcdef", ReportID: "report-7", Attempt: 2}

func mail(body string) []byte {
	return []byte("From: vault@mail.example\r\nTo: ann@tide.example\r\nSubject: The noon report\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body + "\r\n")
}

func bench(t *testing.T) (*rig.Rig, *mailer.Mailer) {
	t.Helper()
	r := rig.Start(t, rig.Options{})
	f, _ := r.Template.Function(self)
	return r, mailer.New(ses.NewFromConfig(r.Once(self)), "vault@mail.example", f.Environment["SES_CONFIGURATION_SET"])
}

func accepted(r *rig.Rig) int {
	r.Helper()
	return len(rig.Must[[]localses.Mail](r.TB)(r.SES.Mails()))
}

func TestAMailGoesOutAsItIsWithItsTag(t *testing.T) {
	r, m := bench(t)
	id, err := m.Send(t.Context(), "ann@tide.example", called, mail("潮水"))
	r.OK(err)
	mails := rig.Must[[]localses.Mail](t)(r.SES.Mails())
	if len(mails) != 1 || mails[0].ID != id || mails[0].Tags["report_id"] != "report-7" || mails[0].Destinations[0] != "ann@tide.example" || mails[0].Source != "vault@mail.example" {
		t.Errorf("SES has %+v", mails)
	}
	if corp, m, err := mailer.ParseTags(mails[0].Tags["corp"], mails[0].Tags["mail"]); err != nil || corp != called.Corp || m != called.Mail || mails[0].Tags["attempt"] != "2" {
		t.Errorf("the tags %v say %s and %s: %v", mails[0].Tags, corp, m, err)
	}
	if raw := rig.Must[[]byte](t)(r.SES.Raw(id)); !strings.Contains(string(raw), "潮水") {
		t.Errorf("the bytes are %q", raw)
	}
}

// TestEachFailureSaysWhatIsCertain: a double is sent on Throttled and Unsettled alike, but only the first without doubt.
func TestEachFailureSaysWhatIsCertain(t *testing.T) {
	plan := func(act awslocal.Act, code string, status int) func(*rig.Rig) {
		return func(r *rig.Rig) {
			r.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
				if q.Operation == "SendRawEmail" {
					d.Act, d.Code, d.Status = act, code, status
				}
				return d
			})
		}
	}
	for name, c := range map[string]struct {
		trouble func(*rig.Rig)
		to      string
		body    string
		kind    fault.Kind
		reason  fault.Reason
		sent    int
	}{
		"too fast":           {trouble: func(r *rig.Rig) { r.SES.ThrottleNext(1) }, kind: fault.Retryable, reason: mailer.Throttled},
		"too much for a day": {trouble: func(r *rig.Rig) { r.SES.SetMood(localses.DayExceeded) }, kind: fault.Retryable, reason: mailer.Throttled},
		"sending is paused":  {trouble: func(r *rig.Rig) { r.SES.SetMood(localses.Paused) }, kind: fault.Retryable, reason: mailer.Throttled},
		"no permission":      {trouble: plan(awslocal.Refuse, "AccessDenied", 403), kind: fault.Retryable, reason: mailer.Throttled},
		"too large":          {body: strings.Repeat(strings.Repeat("x", 76)+"\r\n", 140_000), kind: fault.Permanent, reason: mailer.Rejected},
		"no address":         {to: "ann", kind: fault.Permanent, reason: mailer.Rejected},
		"rejected":           {trouble: plan(awslocal.Refuse, "MessageRejected", 400), kind: fault.Permanent, reason: mailer.Rejected},
		"failed":             {trouble: plan(awslocal.Refuse, "InternalFailure", 500), kind: fault.Retryable, reason: mailer.Unsettled},
		"done and failed":    {trouble: plan(awslocal.FailAfter, "ServiceUnavailable", 503), kind: fault.Retryable, reason: mailer.Unsettled, sent: 1},
		"done and cut":       {trouble: plan(awslocal.CutAfter, "", 0), kind: fault.Retryable, reason: mailer.Unsettled, sent: 1},
		"cut":                {trouble: plan(awslocal.CutInstead, "", 0), kind: fault.Retryable, reason: mailer.Unsettled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, m := bench(t)
			if c.trouble != nil {
				c.trouble(r)
			}
			to := c.to
			if to == "" {
				to = "ann@tide.example"
			}
			_, err := m.Send(t.Context(), to, called, mail(c.body))
			if err == nil || fault.KindOf(err) != c.kind || fault.ReasonOf(err) != c.reason {
				t.Errorf("%v: %v %q", err, fault.KindOf(err), fault.ReasonOf(err))
			}
			if n := accepted(r); n != c.sent {
				t.Errorf("SES has %d mails", n)
			}
			if err != nil && strings.Contains(err.Error(), "ann@tide.example") {
				t.Errorf("the error names the receiver: %v", err)
			}
		})
	}
}

// TestASenderThatIsNotVerifiedYetLosesNoMail: SES has one code for that and for a mail that it will never take.
func TestASenderThatIsNotVerifiedYetLosesNoMail(t *testing.T) {
	r, _ := bench(t)
	m := mailer.New(ses.NewFromConfig(r.Once(self)), "nobody@else.example", "")
	_, err := m.Send(t.Context(), "ann@tide.example", called, mail(""))
	if err == nil || fault.KindOf(err) != fault.Retryable || fault.ReasonOf(err) != mailer.Throttled {
		t.Errorf("%v: %v %q", err, fault.KindOf(err), fault.ReasonOf(err))
	}
}

// TestWhileAWSHasPausedTheAccountNoMailIsLost: that comes under the code of a mail that SES will never take.
func TestWhileAWSHasPausedTheAccountNoMailIsLost(t *testing.T) {
	r, m := bench(t)
	for _, word := range []string{"paused", "suspended"} {
		r.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
			if q.Operation == "SendRawEmail" {
				d = awslocal.FaultDecision{Act: awslocal.Refuse, Code: "MessageRejected", Status: 400,
					Message: "Sending " + word + " for this account. For more information, please check the inbox of the email address associated with your AWS account."}
			}
			return d
		})
		_, err := m.Send(t.Context(), "ann@tide.example", called, mail(""))
		if err == nil || fault.KindOf(err) != fault.Retryable || fault.ReasonOf(err) != mailer.Throttled {
			t.Errorf("%s: %v: %v %q", word, err, fault.KindOf(err), fault.ReasonOf(err))
		}
	}
}

// TestALateAnswerIsUnsettled: the invocation ends while SES thinks.
func TestALateAnswerIsUnsettled(t *testing.T) {
	r, m := bench(t)
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	r.Fault(func(awslocal.FaultRequest) awslocal.FaultDecision {
		once.Do(cancel)
		return awslocal.FaultDecision{Delay: time.Minute}
	})
	if _, err := m.Send(ctx, "ann@tide.example", called, mail("")); err == nil || fault.ReasonOf(err) != mailer.Unsettled {
		t.Errorf("%v: %q", err, fault.ReasonOf(err))
	}
}

// TestItIsOverAnswersItBeganInTheReceiversMailbox: SES gives each mail a Message-ID of its own, so the two mails about a matter are one thread by what both refer to.
func TestItIsOverAnswersItBeganInTheReceiversMailbox(t *testing.T) {
	r, m := bench(t)
	began := time.Date(2032, 2, 10, 3, 0, 0, 0, time.UTC)
	alarm := report.Alarm{Cause: report.ServiceExpired, FirstSeen: began}
	var ids, answers []string
	for i, news := range []report.News{report.Began, report.Changed, report.Over} {
		alarm.News, alarm.Ended = news, began.Add(time.Hour)
		written, err := report.NewMaintenance(report.MaintenanceFacts{Corp: report.Corp{ID: "wwheron", Name: "白鹭物流"}, Now: began.Add(time.Hour), Alarms: []report.Alarm{alarm}}, report.View{Language: report.Chinese})
		r.OK(err)
		written.ID = report.ID("thread", string(rune('a'+i)))
		raw, err := written.Bytes("vault@mail.example", "ann@tide.example", began, "")
		r.OK(err)
		id, err := m.Send(t.Context(), "ann@tide.example", called, raw)
		r.OK(err)
		got, err := netmail.ReadMessage(bytes.NewReader(rig.Must[[]byte](t)(r.SES.Delivered(id))))
		r.OK(err)
		if !strings.Contains(got.Header.Get("Message-ID"), id) || strings.Contains(got.Header.Get("Message-ID"), written.ID) {
			t.Errorf("the mail arrives as %s", got.Header.Get("Message-ID"))
		}
		if got.Header.Get("References") != got.Header.Get("In-Reply-To") {
			t.Errorf("it answers %s and refers to %s", got.Header.Get("In-Reply-To"), got.Header.Get("References"))
		}
		ids, answers = append(ids, got.Header.Get("Message-ID")), append(answers, got.Header.Get("In-Reply-To"))
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 3 || answers[0] == "" || answers[0] != answers[1] || answers[1] != answers[2] {
		t.Errorf("mails %q answer %q", ids, answers)
	}
}

func FuzzTags(f *testing.F) {
	f.Add("d3d0aWRl", "MjAzMg")
	f.Add("", "=")
	f.Fuzz(func(t *testing.T, c, m string) {
		corp, mail, err := mailer.ParseTags(c, m)
		if err == nil && (corp == "" || mail == "") {
			t.Errorf("%q and %q name corp %q and mail %q", c, m, corp, mail)
		}
	})
}
