package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// lateAfter is how long a mail may take: what is due at noon should be with SES by half past.
const lateAfter = 30 * time.Minute

// noonHour is when a day's report becomes due, in UTC.
const noonHour = 12

// letters is what is known of a corp's mails, and of its messages in WeCom.
type letters struct {
	late    int // due for more than half an hour, and not with SES or WeCom; those given up among them
	givenUp int // given up unsent, until an operator has settled them: mails and messages in WeCom
	refused int // mails that SES refused for good, of the last day
	doubles int // that may have been sent twice, of the last day
	dead    int // receivers that get none any more: bounced, or complained

	unheard map[string]bool // alerts that did not reach their receiver, by key
	mailed  map[string]bool // addresses that reports of the last days were made for, sent or not
}

func (w *watcher) lookAtMails(ctx context.Context, f *facts) error {
	oldest := ledger.OldestSent(f.now) // older ones that are not sent are among those given up, which have a list of their own
	f.letters.unheard, f.letters.mailed = map[string]bool{}, map[string]bool{}
	givenUp, err := w.lookAtGivenUp(ctx, f)
	if err != nil {
		return err
	}
	swept, err := w.swept(ctx, f.corp.ID, ledger.SweepMails, oldest)
	if err != nil {
		return err
	}
	err = w.ledger.Mails(ctx, f.corp.ID, func(m ledger.MailRow) bool {
		switch {
		case m.Day < swept:
			return false
		case givenUp[m.Key()]:
			return true
		case m.Day < oldest:
			if !m.Settled() {
				f.letters.late++
			}
			return true
		}
		if _, unheard := m.Unheard(); unheard && m.Report == string(report.Maintenance) {
			f.letters.unheard[m.Key()] = true
		}
		if !strings.Contains(m.Report, toUsers) {
			f.letters.mailed[m.To] = true
		}
		switch {
		case !m.Settled():
			if f.now.Sub(dueAt(m)) > lateAfter {
				f.letters.late++
			}
		case f.now.Sub(m.At) >= lastDay:
		case m.State == ledger.MailRefused:
			f.letters.refused++
		case m.Attempt > 1:
			f.letters.doubles++
		}
		return true
	})
	if err == nil && f.corp.App != 0 {
		err = w.lookAtTellings(ctx, f, oldest, givenUp)
	}
	if err != nil || len(f.corp.ReportTo) == 0 {
		return err
	}
	suppressed, err := w.ledger.Suppressions(ctx, f.corp.ID)
	if err != nil {
		return err
	}
	for _, s := range suppressed {
		if slices.ContainsFunc(f.corp.ReportTo, func(r ledger.Receiver) bool { return r.Address == s.Address }) {
			f.letters.dead++
		}
	}
	noon := time.Date(f.now.UTC().Year(), f.now.UTC().Month(), f.now.UTC().Day(), noonHour, 0, 0, 0, time.UTC)
	if f.now.Sub(noon) <= lateAfter || !noon.After(f.corp.Added) {
		return nil
	}
	missing, err := w.unmade(ctx, f.corp, noon)
	f.letters.late += missing // no mail of them may be planned yet
	return err
}

// swept is from which day on it is looked: what report has not given up yet is still late, however old it is.
func (w *watcher) swept(ctx context.Context, corp archive.CorpID, of ledger.Sweep, oldest string) (string, error) {
	swept, err := w.ledger.Swept(ctx, corp, of)
	if swept == "" || swept > oldest {
		swept = oldest
	}
	return swept, err
}

// lookAtGivenUp counts what was given up, by key, and says of which alerts: their receivers may not have heard of them.
func (w *watcher) lookAtGivenUp(ctx context.Context, f *facts) (map[string]bool, error) {
	all, err := w.ledger.GivenUps(ctx, f.corp.ID)
	if err != nil {
		return nil, err
	}
	f.letters.givenUp = len(all)
	f.letters.late += len(all)
	keys := map[string]bool{}
	for _, g := range all {
		keys[g.Key()] = true
		if g.Report != string(report.Maintenance) {
			continue
		}
		m, err := w.ledger.Mail(ctx, f.corp.ID, g.Key())
		if err != nil {
			return nil, err
		}
		if _, unheard := m.Unheard(); unheard {
			f.letters.unheard[g.Key()] = true
		}
	}
	return keys, nil
}

// lookAtTellings counts messages in WeCom among the mails. One that WeCom refused for its receiver is no alarm: the next noon's report says so.
func (w *watcher) lookAtTellings(ctx context.Context, f *facts, oldest string, givenUp map[string]bool) error {
	swept, err := w.swept(ctx, f.corp.ID, ledger.SweepTellings, oldest)
	if err != nil {
		return err
	}
	return w.ledger.Tellings(ctx, f.corp.ID, func(t ledger.Telling) bool {
		switch {
		case t.Day < swept:
			return false
		case givenUp[t.GivenUp().Key()]:
		case !t.Settled():
			if t.Day < oldest || f.now.Sub(dueAt(ledger.MailRow{Day: t.Day, At: t.At})) > lateAfter {
				f.letters.late++
			}
		case t.Doubles > 0 && f.now.Sub(t.At) < lastDay:
			f.letters.doubles++
		}
		return true
	})
}

// unmade is how many reports of a noon are on and not made.
func (w *watcher) unmade(ctx context.Context, c ledger.Corp, noon time.Time) (int, error) {
	wanted, day := map[string]bool{}, noon.Format(time.DateOnly)
	for _, k := range report.Kinds() {
		if c.Settings.OnFor(k, noon) {
			wanted[string(k)] = true
		}
	}
	err := w.ledger.Runs(ctx, c.ID, func(run ledger.Run) bool {
		if run.Day == day && run.State == ledger.RunDone {
			delete(wanted, run.Report)
		}
		return run.Day >= day
	})
	return len(wanted), err
}

// toUsers marks the mails of a report that go to the users whom it concerns: of their addresses the report itself tells.
const toUsers = "-user"

// suppressed lists the suppressions that matter: an address that no report goes to any more concerns nobody. Who gets reports is an account admin, a
// mailbox of the settings, a receiver who was entered, and any other for whom one was made in the last days: a head of department.
func (w *watcher) suppressed(ctx context.Context, f facts) ([]ledger.Suppression, error) {
	all, err := w.ledger.Suppressions(ctx, f.corp.ID)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	entered, _, err := w.ledger.Receivers(ctx, f.corp.ID)
	if err != nil {
		return nil, err
	}
	settings := f.corp.Settings
	return slices.DeleteFunc(all, func(s ledger.Suppression) bool {
		return !f.letters.mailed[s.Address] && !slices.Contains([]string{settings.Operations, settings.Control, settings.Alert}, s.Address) &&
			!slices.ContainsFunc(f.corp.ReportTo, func(r ledger.Receiver) bool { return r.Address == s.Address }) &&
			!slices.ContainsFunc(entered, func(r receivers.Row) bool { return r.Address == s.Address })
	}), nil
}

// dueAt is when a mail should have been sent: the noon of a daily report, although it may be planned later; else the moment it was planned.
func dueAt(m ledger.MailRow) time.Time {
	day, err := time.Parse(time.DateOnly, m.Day)
	if noon := day.Add(noonHour * time.Hour); err == nil && noon.Before(m.At) {
		return noon
	}
	return m.At
}

// grouped counts a corp's open alarms by the metric that tells of them. Of causes that are not here, other metrics tell: hours, ages, counts.
func (f facts) grouped(all wanted) map[string]bool {
	groups := map[string]bool{}
	for cause := range all {
		groups[groupOf(cause)] = true
	}
	for _, a := range f.alarms {
		if _, asked := all[a.Cause]; !asked && a.Open && f.keep(a) {
			groups[groupOf(a.Cause)] = true
		}
	}
	// Of a company of which nothing ever came there is no moment since which it stands still, and so no alarm that is counted above.
	if _, never := all[string(report.NeverCaughtUp)]; never && f.cursor.LastWhole.IsZero() && f.cursor.Trouble == nil {
		groups[corpsStandingStill] = true
	}
	return groups
}

// The metrics that count corps with an open alarm of some kind.
const (
	corpsRefused       = "CorpsRefused"       // WeCom refuses: secret, address, service, certificate
	corpsStandingStill = "CorpsStandingStill" // nothing says why, or it may pass by itself
	libraryTrouble     = "LibraryTrouble"     // Tencent's library can't be loaded, or keeps dying
	keysMissing        = "KeysMissing"        // messages wait for a private key
	setAsideBursts     = "SetAsideBursts"     // most of what comes is set aside
	unaccounted        = "Unaccounted"        // fsck found what it could not mend
)

func groupOf(alarm string) string {
	cause, _, _ := strings.Cut(alarm, ":")
	switch report.Cause(cause) {
	case report.ServiceNotOpened, report.ServiceExpired, report.AddressNotTrusted, report.SecretRefused, report.AccessForbidden, report.CertRefused:
		return corpsRefused
	case report.LibraryMissing, report.LibraryDies:
		return libraryTrouble
	case report.KeyMissing, report.KeyDoesNotFit:
		return keysMissing
	case report.MostlySetAside:
		return setAsideBursts
	case report.Unaccounted:
		return unaccounted
	case report.NotOpening, report.SetAsideWaiting, report.MediaAtRisk, report.MediaLost, report.MessagesAtRisk, report.NeverCaughtUp, report.ReceiverDead, report.ServiceEnding:
		return ""
	default: // a refusal of WeCom's that has no cause of its own stops fetching too
		return corpsStandingStill
	}
}

// measure writes the figures of all corps: the fewest hours left of any, the age of the oldest that waits, and sums. Every figure is written
// by every run: silence means that watch is dead, and the alarms take it so.
func (w *watcher) measure(found []facts) error {
	messages, media := w.windows.Messages, w.windows.Media
	oldest := time.Duration(0)
	sums := map[string]int{"Corps": 0, "Pending": 0, "Waiting": 0, "SetAside": 0, "MediaLost": 0, "MailsLate": 0, "MailsGivenUp": 0, "MailsRefused": 0, "PossibleDoubles": 0, "ReceiversDead": 0,
		corpsRefused: 0, corpsStandingStill: 0, libraryTrouble: 0, keysMissing: 0, setAsideBursts: 0, unaccounted: 0}
	for _, f := range found {
		if f.corp.ID == "" {
			continue // it could not be read
		}
		messages = min(messages, f.clocks.Messages.Left(f.now, w.windows.Messages))
		media = min(media, f.clocks.Media.Left(f.now, w.windows.Media))
		if f.pending > 0 {
			oldest = max(oldest, f.now.Sub(f.oldest))
		}
		sums["Corps"]++
		sums["Pending"] += f.pending
		sums["Waiting"] += f.waiting
		sums["SetAside"] += f.aside()
		sums["MediaLost"] += f.lost
		sums["MailsLate"] += f.letters.late
		sums["MailsGivenUp"] += f.letters.givenUp
		sums["MailsRefused"] += f.letters.refused
		sums["PossibleDoubles"] += f.letters.doubles
		sums["ReceiversDead"] += f.letters.dead
		for group := range f.grouped(w.judge(f)) {
			if group != "" {
				sums[group]++
			}
		}
	}
	for name, n := range sums {
		w.metrics.Add(name, float64(n))
	}
	w.metrics.Add("PendingMinutes", oldest.Minutes())
	w.metrics.Add("HoursToLossMessages", messages.Hours())
	w.metrics.Add("HoursToLossMedia", media.Hours())
	return w.metrics.Flush(w.now())
}
