package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// The reasons of a mail that was given up. Why it was not sent before may follow after a colon.
const (
	GivenUpUnsent  = "not-sent-in-time"        // SES certainly did not take it
	GivenUpUnknown = "not-known-whether-taken" // SES was asked, and its answer is lost
)

// GivenUp is a mail that nobody tries to send any more. It stands until an operator has settled it, or the mail was sent after all.
type GivenUp struct {
	Corp    archive.CorpID
	Day     string
	Report  string
	To      string
	Reason  string
	At      time.Time // when that was
	Again   time.Time // when the operator last asked for it to be sent still; zero: never
	Settled time.Time // zero: it stands
}

// Key is the mail's.
func (g GivenUp) Key() string { return MailRow{Day: g.Day, Report: g.Report, To: g.To}.Key() }

// GiveUpMail ends a mail that is not sent and that nobody is sending at real, the machine's own time. It stands among those given up before its own row says so:
// a crash between the two is mended by the next attempt. ErrLost when somebody is about it, or it is settled.
func (l *Ledger) GiveUpMail(ctx context.Context, m MailRow, real, at time.Time) error {
	reason := GivenUpUnsent
	if m.Attempt > 0 {
		reason = GivenUpUnknown
	}
	if m.Reason != "" {
		reason += ": " + m.Reason
	}
	_, err := l.update(ctx, l.tables.Control, givenUpPK(m.Corp), m.Key(), "SET corp = :corp, #day = :day, #report = :report, #to = :to, reason = :reason, #at = :at, again = :none, settled = :none", "",
		map[string]string{"#day": "day", "#report": "report", "#to": "to", "#at": "at"},
		item{":corp": str(string(m.Corp)), ":day": str(m.Day), ":report": str(m.Report), ":to": str(m.To), ":reason": str(reason), ":at": when(at), ":none": str("")})
	if err != nil {
		return err
	}
	_, err = l.update(ctx, l.tables.Control, mailPK(m.Corp), m.Key(), "SET #state = :over, reason = :reason, #at = :at",
		"attempt = :attempt AND (#state = :planned OR (#state = :sending AND #until < :real))", map[string]string{"#state": "state", "#until": "until", "#at": "at"},
		item{":over": str(MailGivenUp), ":reason": str(reason), ":at": when(at), ":planned": str(MailPlanned), ":sending": str(MailSending), ":real": when(real), ":attempt": count(m.Attempt)})
	if row, refused := refusedRow(err); refused {
		if getStr(row, "state") == MailGivenUp {
			return nil
		}
		return errors.Join(fmt.Errorf("give up mail %s: %w", m.Key(), ErrLost), l.SettleGivenUp(ctx, GivenUp{Corp: m.Corp, Day: m.Day, Report: m.Report, To: m.To}, at))
	}
	return err
}

// GivenUps lists a corp's mails that were given up and that nobody has settled, by day.
func (l *Ledger) GivenUps(ctx context.Context, corp archive.CorpID) ([]GivenUp, error) {
	var all []GivenUp
	err := l.each(ctx, l.tables.Control, givenUpPK(corp), bounds{consistent: true}, func(it item) bool {
		g := GivenUp{Corp: archive.CorpID(getStr(it, "corp")), Day: getStr(it, "day"), Report: getStr(it, "report"), To: getStr(it, "to"), Reason: getStr(it, "reason"),
			At: getTime(it, "at"), Again: getTime(it, "again"), Settled: getTime(it, "settled")}
		if g.Settled.IsZero() {
			all = append(all, g)
		}
		return true
	})
	return all, err
}

// SettleGivenUp takes a mail out of those that were given up: it was sent after all, or the operator knows of it. Its own row stays as it is.
func (l *Ledger) SettleGivenUp(ctx context.Context, g GivenUp, at time.Time) error {
	_, err := l.update(ctx, l.tables.Control, givenUpPK(g.Corp), g.Key(), "SET settled = :at", "attribute_exists(pk) AND settled = :none", nil, item{":at": when(at), ":none": str("")})
	if row, refused := refusedRow(err); refused {
		if len(row) > 0 {
			return nil // settled before
		}
		return fmt.Errorf("settle mail %s, given up: %w", g.Key(), ErrAbsent)
	}
	return err
}

// Doubtful says that what became of the mail since has to be read from its own row: it is to be sent still, or SES may say late that it took it.
func (g GivenUp) Doubtful() bool {
	return !g.Again.IsZero() || strings.HasPrefix(g.Reason, GivenUpUnknown)
}

// ReopenMail plans a mail again that was given up. It stands among those given up until it is sent. ErrLost when it is settled otherwise, or somebody is about it.
func (l *Ledger) ReopenMail(ctx context.Context, g GivenUp, at time.Time) error {
	_, err := l.update(ctx, l.tables.Control, givenUpPK(g.Corp), g.Key(), "SET again = :at", "settled = :none", nil, item{":at": when(at), ":none": str("")})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("plan mail %s again: %w", g.Key(), ErrLost)
	}
	if err != nil {
		return err
	}
	_, err = l.update(ctx, l.tables.Control, mailPK(g.Corp), g.Key(), "SET #state = :planned, #at = :at, nudges = :none", "#state = :over",
		map[string]string{"#state": "state", "#at": "at"}, item{":planned": str(MailPlanned), ":over": str(MailGivenUp), ":at": when(at), ":none": count(0)})
	if row, refused := refusedRow(err); refused {
		if getStr(row, "state") == MailPlanned {
			return nil
		}
		return fmt.Errorf("plan mail %s again: %w", g.Key(), ErrLost)
	}
	return err
}

// Swept is the day before which each mail of a corp is sent, refused or given up; "" if that was never found out.
func (l *Ledger) Swept(ctx context.Context, corp archive.CorpID) (string, error) {
	it, err := l.get(ctx, l.tables.Control, watchPK(corp), "swept")
	if errors.Is(err, ErrAbsent) {
		return "", nil
	}
	return getStr(it, "day"), err
}

// SetSwept moves that day. Setting it too early costs reads; it must never be set behind a mail that is not settled.
func (l *Ledger) SetSwept(ctx context.Context, corp archive.CorpID, day string) error {
	_, err := l.update(ctx, l.tables.Control, watchPK(corp), "swept", "SET #day = :day", "", map[string]string{"#day": "day"}, item{":day": str(day)})
	return err
}
