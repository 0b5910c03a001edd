package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// The reasons of a mail, or of a message in WeCom, that was given up. Why it was not sent before may follow after a colon.
const (
	GivenUpUnsent  = "not-sent-in-time"        // SES, or WeCom, certainly did not take it
	GivenUpUnknown = "not-known-whether-taken" // it was asked, and its answer is lost
)

// triedDays is how many days after its own a mail, or a message in WeCom, is still sent.
const triedDays = 4

// OldestSent is the first day whose mails and messages in WeCom are still sent at now. What is older and not sent is given up: a message of last week that
// comes today is taken for today's.
func OldestSent(now time.Time) string {
	return now.UTC().AddDate(0, 0, -triedDays).Format(time.DateOnly)
}

// GivenUp is a mail, or a message in WeCom, that nobody tries to send any more. It stands until an operator has settled it, or the mail was sent after all.
type GivenUp struct {
	Corp    archive.CorpID
	Day     string
	Report  string
	To      string // the address; of a message in WeCom the userid
	InWeCom bool
	Reason  string
	At      time.Time // when that was
	Again   time.Time // when the operator last asked for the mail to be sent still; zero: never
	Settled time.Time // zero: it stands
}

// Key is the mail's, or for a message in WeCom one that no mail has.
func (g GivenUp) Key() string {
	if g.InWeCom {
		return g.Day + "#" + g.Report + "#wecom#" + idPart(g.To)
	}
	return MailRow{Day: g.Day, Report: g.Report, To: g.To}.Key()
}

// GiveUpMail ends a mail that is not sent and that nobody is sending at real, the machine's own time. It stands among those given up before its own row says so:
// a crash between the two is mended by the next attempt. ErrLost when somebody is about it, or it is settled.
func (l *Ledger) GiveUpMail(ctx context.Context, m MailRow, real, at time.Time) error {
	g := GivenUp{Corp: m.Corp, Day: m.Day, Report: m.Report, To: m.To, Reason: whyGivenUp(m.Attempt > 0, m.Reason), At: at}
	return l.giveUp(ctx, g, mailPK(m.Corp), m.Key(), m.Attempt, real)
}

// GivenUp is the telling among those given up.
func (t Telling) GivenUp() GivenUp {
	return GivenUp{Corp: t.Corp, Day: t.Day, Report: t.Report, To: string(t.To), InWeCom: true}
}

// GiveUpTelling is GiveUpMail for a telling. Nobody sends it any more after that: a later day has a telling of its own.
func (l *Ledger) GiveUpTelling(ctx context.Context, t Telling, real, at time.Time) error {
	g := t.GivenUp()
	g.Reason, g.At = whyGivenUp(!t.Asked.IsZero(), t.Reason), at
	return l.giveUp(ctx, g, tellingPK(t.Corp), t.Key(), t.Attempt, real)
}

func whyGivenUp(asked bool, waitedFor string) string {
	reason := GivenUpUnsent
	if asked {
		reason = GivenUpUnknown
	}
	if waitedFor != "" {
		reason += ": " + waitedFor
	}
	return reason
}

// giveUp ends a row, mail or telling, that was claimed so often when it was read.
func (l *Ledger) giveUp(ctx context.Context, g GivenUp, pk, sk string, attempt int, real time.Time) error {
	_, err := l.update(ctx, l.tables.Control, givenUpPK(g.Corp), g.Key(),
		"SET corp = :corp, #day = :day, #report = :report, #to = :to, in_wecom = :in_wecom, reason = :reason, #at = :at, again = :none, settled = :none", "",
		map[string]string{"#day": "day", "#report": "report", "#to": "to", "#at": "at"},
		item{":corp": str(string(g.Corp)), ":day": str(g.Day), ":report": str(g.Report), ":to": str(g.To), ":in_wecom": boolean(g.InWeCom), ":reason": str(g.Reason), ":at": when(g.At),
			":none": str("")})
	if err != nil {
		return err
	}
	_, err = l.update(ctx, l.tables.Control, pk, sk, "SET #state = :over, reason = :reason, #at = :at",
		"attempt = :attempt AND (#state = :planned OR (#state = :sending AND #until < :real))", map[string]string{"#state": "state", "#until": "until", "#at": "at"},
		item{":over": str(MailGivenUp), ":reason": str(g.Reason), ":at": when(g.At), ":planned": str(MailPlanned), ":sending": str(MailSending), ":real": when(real), ":attempt": count(attempt)})
	if row, refused := refusedRow(err); refused {
		if getStr(row, "state") == MailGivenUp {
			return nil
		}
		return errors.Join(fmt.Errorf("give up %s: %w", g.Key(), ErrLost), l.SettleGivenUp(ctx, g, g.At))
	}
	return err
}

// GivenUps lists a corp's mails and messages in WeCom that were given up and that nobody has settled, by day.
func (l *Ledger) GivenUps(ctx context.Context, corp archive.CorpID) ([]GivenUp, error) {
	var all []GivenUp
	err := l.each(ctx, l.tables.Control, givenUpPK(corp), bounds{consistent: true}, func(it item) bool {
		g := GivenUp{Corp: archive.CorpID(getStr(it, "corp")), Day: getStr(it, "day"), Report: getStr(it, "report"), To: getStr(it, "to"), InWeCom: getBool(it, "in_wecom"),
			Reason: getStr(it, "reason"), At: getTime(it, "at"), Again: getTime(it, "again"), Settled: getTime(it, "settled")}
		if g.Settled.IsZero() {
			all = append(all, g)
		}
		return true
	})
	return all, err
}

// SettleGivenUp takes one out of those that were given up: it was sent after all, or the operator knows of it. Its own row stays as it is.
func (l *Ledger) SettleGivenUp(ctx context.Context, g GivenUp, at time.Time) error {
	_, err := l.update(ctx, l.tables.Control, givenUpPK(g.Corp), g.Key(), "SET settled = :at", "attribute_exists(pk) AND settled = :none", nil, item{":at": when(at), ":none": str("")})
	if row, refused := refusedRow(err); refused {
		if len(row) > 0 {
			return nil // settled before
		}
		return fmt.Errorf("settle %s, given up: %w", g.Key(), ErrAbsent)
	}
	return err
}

// Doubtful says that what became of the mail since has to be read from its own row: it is to be sent still, or SES may say late that it took it. A message in
// WeCom has no such word to wait for.
func (g GivenUp) Doubtful() bool {
	return !g.InWeCom && (!g.Again.IsZero() || strings.HasPrefix(g.Reason, GivenUpUnknown))
}

// ReopenMail plans a mail again that was given up. It stands among those given up until it is sent. ErrLost when it is settled otherwise, or somebody is about
// it; and for a message in WeCom, which is not sent days later.
func (l *Ledger) ReopenMail(ctx context.Context, g GivenUp, at time.Time) error {
	if g.InWeCom {
		return fmt.Errorf("plan message in WeCom %s again: %w", g.Key(), ErrLost)
	}
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

// Sweep names what report looks through for what is not sent. The words are keys.
type Sweep string

// The sweeps.
const (
	SweepMails    Sweep = "swept"
	SweepTellings Sweep = "swept-tellings"
)

// Swept is the day before which each mail, or each message in WeCom, of a corp is settled or given up; "" if that was never found out.
func (l *Ledger) Swept(ctx context.Context, corp archive.CorpID, of Sweep) (string, error) {
	it, err := l.get(ctx, l.tables.Control, watchPK(corp), string(of))
	if errors.Is(err, ErrAbsent) {
		return "", nil
	}
	return getStr(it, "day"), err
}

// SetSwept moves that day. Setting it too early costs reads; it must never be set behind one that is not settled.
func (l *Ledger) SetSwept(ctx context.Context, corp archive.CorpID, of Sweep, day string) error {
	_, err := l.update(ctx, l.tables.Control, watchPK(corp), string(of), "SET #day = :day", "", map[string]string{"#day": "day"}, item{":day": str(day)})
	return err
}
