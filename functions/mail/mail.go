package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/mailer"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

const (
	// leastWait outlasts an invocation (60 s in the template), so that whoever claimed a mail is certainly gone when the claim runs out.
	leastWait = time.Minute
	// answerTime is how long SES may take to answer. It leaves an invocation time to record what came of it.
	answerTime = 30 * time.Second
	// attemptHeader marks a mail that may be a double, with the number of the attempt.
	attemptHeader = "X-WecomVault-Attempt"
	// suppressed is why a mail is refused whose receiver gets none.
	suppressed fault.Reason = ledger.MailSuppressed
)

// postman sends mails.
//
// Order of effects: the mail is claimed in the ledger; SES is asked once; its answer is recorded. If the answer is lost, or we die before it is
// recorded, the mail stays "sending" and nobody sends it for as long as wait: meanwhile SES's own event says that it took the mail, and feedback
// settles it. Which way the rest falls: if no event comes either, the mail is sent again, for a report that comes twice is better than one that
// never comes. The second one is marked by a header, a tag and the count of attempts in its row, so that every possible double can be told and
// counted. An attempt that SES certainly did not take is no attempt. A receiver that is suppressed gets nothing, and the mail says so.
type postman struct {
	ledger *ledger.Ledger
	store  *objstore.Store
	mailer *mailer.Mailer
	log    *slog.Logger
	count  func(figure string, n float64)
	wait   time.Duration // for SES's event, by the machine's own clock
	now    func() time.Time
	real   func() time.Time
	owner  func() (string, error)
}

// send sends one mail, unless it is sent or refused already.
func (p *postman) send(ctx context.Context, job queue.MailJob) error {
	m, err := p.ledger.Mail(ctx, job.Corp, job.Mail)
	if errors.Is(err, ledger.ErrAbsent) {
		// The job is sent after the row is written: a row that is absent was never there.
		return fault.New(fault.Permanent, "no-such-mail", err)
	}
	if err != nil {
		return err
	}
	if m.Settled() {
		return nil
	}
	if err := p.open(ctx, m); err != nil {
		return err
	}
	raw, err := p.store.Get(ctx, objstore.Object{Key: m.Object, VersionID: m.Version})
	if err != nil {
		return fmt.Errorf("read mail %s of corp %s: %w", m.Key(), job.Corp, err)
	}
	owner, err := p.owner()
	if err != nil {
		return err
	}
	began := p.real()
	m, err = p.ledger.ClaimMail(ctx, m, owner, began, began.Add(p.wait))
	if errors.Is(err, ledger.ErrLost) && m.Settled() {
		return nil
	}
	if err != nil {
		return err // being sent by somebody, or unsettled: the job comes back until that is decided
	}
	if m.PossibleDouble() {
		p.count("PossibleDoubles", 1)
		raw = append([]byte(attemptHeader+": "+strconv.Itoa(m.Attempt)+"\r\n"), raw...)
		p.log.WarnContext(ctx, "mail may be a double", slog.String("corp", string(m.Corp)), slog.String("mail", m.Key()), slog.Int("attempt", m.Attempt))
	}
	return p.settle(ctx, m, owner, raw)
}

// open ends a mail whose receiver is suppressed: the outcome is final until the operator lifts it, and then new mails go out.
func (p *postman) open(ctx context.Context, m ledger.MailRow) error {
	s, err := p.ledger.SuppressionOf(ctx, m.Corp, m.To)
	if errors.Is(err, ledger.ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.ledger.RefuseMail(ctx, m, string(suppressed), p.real(), p.now()); err != nil {
		return err
	}
	p.count("MailsSuppressed", 1)
	return fault.Newf(fault.Permanent, suppressed, "mail %s of corp %s is not sent: its receiver is suppressed (%s)", m.Key(), m.Corp, s.Reason)
}

// settle asks SES and records what it said.
func (p *postman) settle(ctx context.Context, m ledger.MailRow, owner string, raw []byte) error {
	asking, cancel := context.WithTimeout(ctx, answerTime)
	id, err := p.mailer.Send(asking, m.To, mailer.Name{Corp: m.Corp, Mail: m.Key(), ReportID: reportID(m), Attempt: m.Attempt}, raw)
	cancel()
	state, reason := ledger.MailSent, ""
	if err != nil {
		reason = string(fault.ReasonOf(err))
		switch fault.ReasonOf(err) {
		case mailer.Rejected:
			state = ledger.MailRefused
		case mailer.Throttled:
			state = ledger.MailPlanned
		default:
			return err // unsettled: the claim stands until it runs out
		}
	}
	// SES has answered: what it said is worth recording even if the invocation is about to end.
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if recorded := p.ledger.SettleMail(recording, m, owner, state, id, reason, p.now()); recorded != nil {
		return recorded // and not what SES said: a refusal that is not recorded is not final yet
	}
	if state == ledger.MailSent {
		p.count("MailsSent", 1)
	}
	p.log.InfoContext(ctx, "mail", slog.String("corp", string(m.Corp)), slog.String("mail", m.Key()), slog.String("state", state),
		slog.String("ses_id", id), slog.String("reason", reason), slog.Int("attempt", m.Attempt), slog.Int("bytes", len(raw)))
	return err // a refused mail is permanent: recorded, and the job is done
}

// reportID is the mail's id in SES's events and in its own header.
func reportID(m ledger.MailRow) string { return report.ID(string(m.Corp), m.Report, m.Day, m.To) }
