package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/mailer"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// listener writes down what SES says of mails.
//
// Every event proves that SES took its mail, so each settles it first, whatever its sender knows: then mail does not send it again. A bounce
// for good and a complaint suppress the receiver before they become the mail's fate, so that a crash between the two repeats both; so does what was
// last heard of the address. Events come
// more than once and in any order, and each write is one that may be repeated and that a stronger word is never undone by.
type listener struct {
	ledger *ledger.Ledger
	log    *slog.Logger
	count  func(figure string, n float64)
}

// hear writes one event down.
func (l *listener) hear(ctx context.Context, e queue.MailEvent) error {
	corp, mail, err := mailer.ParseTags(e.Corp.Value(), e.Mail.Value())
	if err != nil {
		l.count("UnknownMails", 1)
		return fault.Newf(fault.Permanent, "unknown-mail", "event %s of SES mail %s: %w", e.Event, e.SESID, err)
	}
	at, err := time.Parse(time.RFC3339, e.At)
	if err != nil {
		return fmt.Errorf("event %s of mail %s of corp %s: its time can't be read: %w", e.Event, mail, corp, err)
	}
	m, settled, err := l.ledger.TookMail(ctx, corp, mail, e.SESID, at)
	if errors.Is(err, ledger.ErrAbsent) {
		// A mail's row is older than the mail: this one was never ours, or its row was lost. Whoever restores that has the events' time in SES.
		l.count("UnknownMails", 1)
		return fault.New(fault.Permanent, "unknown-mail", err)
	}
	if err != nil {
		return err
	}
	if settled {
		l.count("MailsSettled", 1)
	}
	if e.Event == "Send" && m.State == ledger.MailSent && m.SESID != e.SESID {
		// Two sends of one mail: the doubt that its second attempt was marked with has come true.
		l.count("MailsDoubled", 1)
		l.log.WarnContext(ctx, "mail went out twice", slog.String("corp", string(corp)), slog.String("mail", mail), slog.Int("attempt", m.Attempt))
	}
	return l.fate(ctx, m, e, at)
}

// fate records what the event says beyond that SES took the mail.
func (l *listener) fate(ctx context.Context, m ledger.MailRow, e queue.MailEvent, at time.Time) error {
	fate, known := fateOf(e)
	if !known {
		return fmt.Errorf("event %q of mail %s of corp %s is none that feedback knows", e.Event, m.Key(), m.Corp)
	}
	suppressed := false
	if fate == ledger.Bounced || fate == ledger.Complained {
		var err error
		suppressed, err = l.suppress(ctx, m, fate, detail(e), at)
		if err != nil {
			return err
		}
	}
	changed := false
	if fate != "" {
		err := l.ledger.Hear(ctx, m.Corp, m.To, ledger.Heard{Fate: fate, Detail: detail(e), Mail: m.Key(), At: at})
		if err != nil {
			return err
		}
		if changed, err = l.ledger.SetFate(ctx, m, fate, detail(e), at); err != nil {
			return err
		}
	}
	if changed {
		switch fate {
		case ledger.Bounced, ledger.SoftBounced:
			l.count("MailsBounced", 1)
		case ledger.Complained:
			l.count("MailsComplained", 1)
		case ledger.Discarded:
			l.count("MailsDiscarded", 1)
		case ledger.Delivered:
			l.count("MailsDelivered", 1)
		}
	}
	l.log.InfoContext(ctx, "feedback", slog.String("corp", string(m.Corp)), slog.String("mail", m.Key()), slog.String("event", e.Event), slog.String("ses_id", e.SESID),
		slog.String("detail", detail(e)), slog.String("state", m.State), slog.Bool("suppressed", suppressed))
	return nil
}

func (l *listener) suppress(ctx context.Context, m ledger.MailRow, reason ledger.Fate, detail string, at time.Time) (bool, error) {
	added, err := l.ledger.Suppress(ctx, ledger.Suppression{Corp: m.Corp, Address: m.To, Reason: reason, Detail: detail, Mail: m.Key(), Since: at})
	if err == nil && added {
		l.count("ReceiversSuppressed", 1)
	}
	return added, err
}

// fateOf is what an event means for its mail; "" for one that says no more than that SES took it.
func fateOf(e queue.MailEvent) (fate ledger.Fate, known bool) {
	switch e.Event {
	case "Send":
		return "", true
	case "Delivery":
		return ledger.Delivered, true
	case "Complaint":
		// Providers report more than complaints on this way: that a receiver took a mail out of the spam, or that a signature did not hold.
		if is := func(t string) bool { return strings.EqualFold(e.Complaint, t) }; is("not-spam") || is("auth-failure") {
			return "", true
		}
		return ledger.Complained, true
	case "Reject":
		return ledger.Discarded, true
	case "Bounce":
		// Transient and Undetermined: SES has tried for hours. The address may be a full mailbox, and gets the next report.
		if e.Bounce == "Permanent" {
			return ledger.Bounced, true
		}
		return ledger.SoftBounced, true
	}
	return "", false
}

// detail is SES's own words for a bounce or a complaint.
func detail(e queue.MailEvent) string {
	return strings.ToLower(strings.Trim(e.Bounce+"-"+e.BounceDetail+"-"+e.Complaint, "-"))
}
