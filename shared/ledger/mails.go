package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// The states of a mail.
const (
	MailPlanned = "planned"
	MailSending = "sending" // claimed; after a lost answer it is not known whether SES took it
	MailSent    = "sent"
	MailRefused = "refused"
	MailGivenUp = "given-up" // not sent for so many days that nobody tries any more; an operator may have it planned again
)

// MailRow is one mail to one address.
type MailRow struct {
	Corp    archive.CorpID
	Day     string
	Report  string
	To      string
	Object  string // where its bytes are kept
	Version string
	State   string
	Owner   string
	Until   time.Time // when a sending mail counts as unsettled, by the machine's own time
	Attempt int       // how often it was, or may have been, given to SES: from the second on it may be a double
	SESID   string
	Reason  string    // why it is not sent
	At      time.Time // when it was planned, and once it is settled, when that was

	Nudges      int       // how often its job was sent again
	Nudged      time.Time // when it last was
	NudgedOwner string    // whose claim the mail had then; "" for none

	Fate       Fate      // what became of it after SES took it, as far as SES has said
	FateDetail string    // SES's own words for a bounce: "permanent-general"
	FateAt     time.Time // when SES says that was
}

// Settled says that a mail is sent, refused or given up: nobody sends it any more.
func (m MailRow) Settled() bool {
	return m.State == MailSent || m.State == MailRefused || m.State == MailGivenUp
}

// PossibleDouble says that the mail was, or may have been, given to SES more than once.
func (m MailRow) PossibleDouble() bool { return m.Attempt > 1 }

// MailSuppressed is the reason of a mail that was not sent because its receiver gets none.
const MailSuppressed = "receiver-suppressed"

// retold is how long after a mail that SES refused, or gave up on, its receiver may be sent the same news again.
const retold = 24 * time.Hour

// Unheard says that a mail certainly did not reach its receiver, and from when on another may be tried. Once a suppression is lifted, that is at
// once: the operator knows that the address lives.
func (m MailRow) Unheard() (again time.Time, unheard bool) {
	switch {
	case m.State == MailRefused && m.Reason == MailSuppressed, m.State == MailGivenUp && m.Attempt == 0, m.Fate == Bounced:
		return m.At, true
	case m.State == MailRefused, m.Fate == SoftBounced:
		return m.At.Add(retold), true
	}
	return time.Time{}, false
}

// Key is the mail's sort key and its name in jobs and in SES's tags.
func (m MailRow) Key() string {
	return m.Day + "#" + m.Report + "#" + AddressID(m.To)
}

// AddressID names an address in keys, tags and audit entries, which must not hold addresses: the first 16 hex digits of its SHA-256.
func AddressID(address string) string { return archive.HashHex([]byte(address))[:16] }

// PlanMail records a mail that is to be sent. A mail planned before stays as it is.
func (l *Ledger) PlanMail(ctx context.Context, m MailRow) error {
	it := key(mailPK(m.Corp), m.Key())
	it["corp"], it["day"], it["report"], it["to"], it["object"], it["version"] = str(string(m.Corp)), str(m.Day), str(m.Report), str(m.To), str(m.Object), str(m.Version)
	it["state"], it["attempt"], it["at"] = str(MailPlanned), count(0), when(m.At)
	err := l.put(ctx, l.tables.Control, it, "attribute_not_exists(pk)", nil)
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// Mail reads a mail, or returns an error that wraps ErrAbsent.
func (l *Ledger) Mail(ctx context.Context, corp archive.CorpID, mailKey string) (MailRow, error) {
	it, err := l.get(ctx, l.tables.Control, mailPK(corp), mailKey)
	if err != nil {
		return MailRow{}, err
	}
	return mailOf(it), nil
}

// ClaimMail makes owner the one that sends a planned mail, or a sending one whose claim has run out at now. It returns the mail as it is
// then; ErrLost when it is sent, refused, or being sent by somebody else.
func (l *Ledger) ClaimMail(ctx context.Context, m MailRow, owner string, now, until time.Time) (MailRow, error) {
	it, err := l.update(ctx, l.tables.Control, mailPK(m.Corp), m.Key(), "SET #state = :sending, #owner = :me, #until = :until, attempt = attempt + :one",
		"#state = :planned OR (#state = :sending AND #until < :now)", map[string]string{"#state": "state", "#owner": "owner", "#until": "until"},
		item{":sending": str(MailSending), ":planned": str(MailPlanned), ":me": str(owner), ":now": when(now), ":until": when(until), ":one": count(1)})
	if row, refused := refusedRow(err); refused {
		if getStr(row, "state") == MailSending && getStr(row, "owner") == owner {
			return mailOf(row), nil // our own first attempt, whose answer was lost
		}
		return mailOf(row), fmt.Errorf("claim mail %s: %w", m.Key(), ErrLost)
	}
	if err != nil {
		return MailRow{}, err
	}
	return mailOf(it), nil
}

// SettleMail records what became of a claimed mail: MailSent, MailRefused, or MailPlanned when it is certain that nothing was sent; then
// the attempt does not count, and the moment in which the mail was planned stays: it is late by that.
func (l *Ledger) SettleMail(ctx context.Context, m MailRow, owner, state, sesID, reason string, at time.Time) error {
	expression := "SET #state = :state, ses_id = :ses_id, reason = :reason"
	names := map[string]string{"#state": "state", "#owner": "owner"}
	values := item{":state": str(state), ":ses_id": str(sesID), ":reason": str(reason), ":me": str(owner), ":sending": str(MailSending)}
	if state == MailPlanned {
		expression += ", attempt = attempt - :one"
		values[":one"] = count(1)
	} else {
		expression += ", #at = :at"
		names["#at"], values[":at"] = "at", when(at)
	}
	_, err := l.update(ctx, l.tables.Control, mailPK(m.Corp), m.Key(), expression, "#owner = :me AND #state = :sending", names, values)
	if row, refused := refusedRow(err); refused {
		if getStr(row, "state") == state && getStr(row, "ses_id") == sesID {
			return nil
		}
		return fmt.Errorf("settle mail %s: %w", m.Key(), ErrLost)
	}
	return err
}

// RefuseMail ends a mail that nobody is sending, with a reason and without asking SES. ErrLost when somebody is about it, or it is settled.
func (l *Ledger) RefuseMail(ctx context.Context, m MailRow, reason string, now, at time.Time) error {
	_, err := l.update(ctx, l.tables.Control, mailPK(m.Corp), m.Key(), "SET #state = :refused, reason = :reason, #at = :at",
		"#state = :planned OR (#state = :sending AND #until < :now)", map[string]string{"#state": "state", "#until": "until", "#at": "at"},
		item{":refused": str(MailRefused), ":reason": str(reason), ":at": when(at), ":planned": str(MailPlanned), ":sending": str(MailSending), ":now": when(now)})
	if row, refused := refusedRow(err); refused {
		if getStr(row, "state") == MailRefused && getStr(row, "reason") == reason {
			return nil
		}
		return fmt.Errorf("refuse mail %s: %w", m.Key(), ErrLost)
	}
	return err
}

// NoteNudge records that an unsettled mail's job was sent again at a time: nudges times by now. m is the mail as it was read; where it has been settled
// or noted by somebody else since, what stands there stays.
func (l *Ledger) NoteNudge(ctx context.Context, m MailRow, nudges int, at time.Time) error {
	return l.noteNudge(ctx, mailPK(m.Corp), m.Key(), m.Owner, m.Nudged, nudges, at)
}

// noteNudge is NoteNudge for a row, mail or telling, whose owner and last nudge were as given when it was read.
func (l *Ledger) noteNudge(ctx context.Context, pk, sk, owner string, nudged time.Time, nudges int, at time.Time) error {
	before, values := "attribute_not_exists(nudged)", item{":planned": str(MailPlanned), ":sending": str(MailSending), ":nudges": count(nudges), ":at": when(at), ":owner": str(owner)}
	if !nudged.IsZero() {
		before, values[":before"] = "nudged = :before", when(nudged)
	}
	_, err := l.update(ctx, l.tables.Control, pk, sk, "SET nudges = :nudges, nudged = :at, nudged_owner = :owner",
		"#state IN (:planned, :sending) AND "+before, map[string]string{"#state": "state"}, values)
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// Mails calls f for a corp's mails, the newest day first.
func (l *Ledger) Mails(ctx context.Context, corp archive.CorpID, f func(MailRow) bool) error {
	return l.each(ctx, l.tables.Control, mailPK(corp), bounds{descending: true, consistent: true}, func(it item) bool { return f(mailOf(it)) })
}

func mailOf(it item) MailRow {
	return MailRow{
		Corp: archive.CorpID(getStr(it, "corp")), Day: getStr(it, "day"), Report: getStr(it, "report"), To: getStr(it, "to"), Object: getStr(it, "object"),
		Version: getStr(it, "version"), State: getStr(it, "state"), Owner: getStr(it, "owner"), Until: getTime(it, "until"), Attempt: getCount(it, "attempt"),
		SESID: getStr(it, "ses_id"), Reason: getStr(it, "reason"), At: getTime(it, "at"),
		Nudges: getCount(it, "nudges"), Nudged: getTime(it, "nudged"), NudgedOwner: getStr(it, "nudged_owner"),
		Fate: Fate(getStr(it, "fate")), FateDetail: getStr(it, "fate_detail"), FateAt: getTime(it, "fate_at"),
	}
}
