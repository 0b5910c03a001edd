package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// again says whether a sweep at now should send the job of a mail again, and how many times that makes: first when it has waited for ten minutes, or when
// its sender's claim has run out, then each time after a pause twice as long. The row keeps when that last was. A schedule that skips, a slow sweep or
// a clock that leaps may make it late by that much, but never costs a turn.
func again(m ledger.MailRow, now, real time.Time) (nudges int, due bool) {
	nudges = m.Nudges
	switch m.State {
	case ledger.MailPlanned:
		due = now.Sub(m.At) >= sweepAfter
	case ledger.MailSending:
		if due = m.Until.Before(real); m.NudgedOwner != m.Owner {
			nudges = 0 // it waits for another sender than it did then
		}
	}
	if nudges > 0 {
		pause := sweepAfter
		for range nudges - 1 {
			pause = min(2*pause, sweepLongest)
		}
		due = due && now.Sub(m.Nudged) >= pause-sweepEvery/5 // the schedule comes a little early at times
	}
	return nudges + 1, due
}

// post is what the sweep does with a corp's mails, or with its messages in WeCom.
type post[T any] struct {
	what   string // for the log
	mark   ledger.Sweep
	each   func(f func(T) bool) error // the newest day first
	row    func(T) ledger.MailRow     // as far as the sweep asks
	send   func(T) error              // sends its job
	note   func(t T, nudges int) error
	giveUp func(T) error

	lost  []T             // what is found elsewhere, and whose job is due
	known map[string]bool // what is looked at elsewhere, by key
}

// sweep sends the jobs of a corp's mails again.
func (r *reporter) sweep(ctx context.Context, corp archive.CorpID) error {
	now, real := r.now(), r.real()
	lost, known, err := r.reopened(ctx, corp)
	if err != nil {
		return err
	}
	return sweepPost(ctx, r, corp, post[ledger.MailRow]{
		what: "mails", mark: ledger.SweepMails, lost: lost, known: known,
		each:   func(f func(ledger.MailRow) bool) error { return r.ledger.Mails(ctx, corp, f) },
		row:    func(m ledger.MailRow) ledger.MailRow { return m },
		send:   func(m ledger.MailRow) error { return r.sendJobs(ctx, []ledger.MailRow{m}) },
		note:   func(m ledger.MailRow, nudges int) error { return r.ledger.NoteNudge(ctx, m, nudges, now) },
		giveUp: func(m ledger.MailRow) error { return r.ledger.GiveUpMail(ctx, m, real, now) },
	}, now, real)
}

// sweepTellings sends the jobs of a corp's messages in WeCom again.
func (r *reporter) sweepTellings(ctx context.Context, corp archive.CorpID) error {
	now, real := r.now(), r.real()
	return sweepPost(ctx, r, corp, post[ledger.Telling]{
		what: "messages in WeCom", mark: ledger.SweepTellings,
		each:   func(f func(ledger.Telling) bool) error { return r.ledger.Tellings(ctx, corp, f) },
		row:    asMail,
		send:   func(t ledger.Telling) error { return r.sendTellings(ctx, []ledger.Telling{t}) },
		note:   func(t ledger.Telling, nudges int) error { return r.ledger.NoteTellingNudge(ctx, t, nudges, now) },
		giveUp: func(t ledger.Telling) error { return r.ledger.GiveUpTelling(ctx, t, real, now) },
	}, now, real)
}

// asMail is what the sweep asks of a mail.
func asMail(t ledger.Telling) ledger.MailRow {
	m := ledger.MailRow{Corp: t.Corp, Day: t.Day, Report: t.Report, To: string(t.To), State: t.State, At: t.At, Owner: t.Owner, Until: t.Until, Nudges: t.Nudges, Nudged: t.Nudged,
		NudgedOwner: t.NudgedOwner}
	if t.State == ledger.Told {
		m.State = ledger.MailSent
	}
	return m
}

// sweepPost sends the jobs again of what was planned a while ago, or whose sender died: a job may get lost, a row does not. That it did so is noted behind the job: a
// job more is harmless, and one that was noted and never sent would be missed for hours.
//
// What is not sent after days is given up, and stands as such until an operator has settled it: a mail of last week that comes today is taken for today's.
// What he wants sent still is swept as long as it takes.
func sweepPost[T any](ctx context.Context, r *reporter, corp archive.CorpID, p post[T], now, real time.Time) error {
	oldest := ledger.OldestSent(now)
	swept, err := r.ledger.Swept(ctx, corp, p.mark)
	if err != nil {
		return err
	}
	from := swept
	if from == "" { // of a version that gave nothing up, or of a new company
		from = now.AddDate(0, 0, -lateBack).UTC().Format(time.DateOnly)
	}
	lost, next := p.lost, oldest
	var over []T
	err = p.each(func(t T) bool {
		m := p.row(t)
		switch {
		case m.Day < oldest && m.Day < from:
			return false
		case m.Settled() || p.known[m.Key()]:
		case m.Day >= oldest:
			if _, due := again(m, now, real); due {
				lost = append(lost, t)
			}
		case m.State == ledger.MailSending && !m.Until.Before(real): // somebody may be sending it
			next = min(next, m.Day[:len(time.DateOnly)])
		default:
			over = append(over, t)
		}
		return true
	})
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		r.log.InfoContext(ctx, "jobs are sent again", slog.String("corp", string(corp)), slog.String("of", p.what), slog.Int("jobs", len(lost)))
	}
	if len(over) > 0 {
		r.log.ErrorContext(ctx, "given up", slog.String("corp", string(corp)), slog.String("of", p.what), slog.Int("letters", len(over)))
	}
	err = inParallel(len(over), func(i int) error { return p.giveUp(over[i]) })
	if err == nil && next > swept {
		err = r.ledger.SetSwept(ctx, corp, p.mark, next)
	}
	return errors.Join(err, inParallel(len(lost), func(i int) error {
		if err := p.send(lost[i]); err != nil {
			return err
		}
		nudges, _ := again(p.row(lost[i]), now, real)
		return p.note(lost[i], nudges)
	}))
}

// reopened is the mails that were given up, are to be sent still, and whose jobs are due. known has all that are to be sent still, by key. Of those that were sent
// meanwhile, or refused, it is noted that they are settled.
func (r *reporter) reopened(ctx context.Context, corp archive.CorpID) (due []ledger.MailRow, known map[string]bool, err error) {
	all, err := r.ledger.GivenUps(ctx, corp)
	if err != nil {
		return nil, nil, err
	}
	now, real := r.now(), r.real()
	known = map[string]bool{}
	for _, g := range all {
		if !g.Doubtful() {
			continue
		}
		m, err := r.ledger.Mail(ctx, corp, g.Key())
		if err != nil {
			return nil, nil, err
		}
		switch {
		case m.State == ledger.MailGivenUp:
		case m.Settled():
			if err := r.ledger.SettleGivenUp(ctx, g, now); err != nil {
				return nil, nil, err
			}
		case !g.Again.IsZero():
			known[m.Key()] = true
			if _, is := again(m, now, real); is {
				due = append(due, m)
			}
		}
	}
	return due, known, nil
}
