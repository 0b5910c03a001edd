package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

// How long something may go on before it is an alarm.
const (
	standstill = 15 * time.Minute // no whole answer from WeCom, for a reason that may pass by itself; a company that was just added
	unopened   = time.Hour        // a batch that is kept and not opened; a key that is held and has not opened what waits for it
	lastDay    = 24 * time.Hour   // before something leaves WeCom's window
)

// The span in which set-aside items are held against all, and how many items must have come in it.
const (
	span      = 10 * time.Minute
	leastSeen = 50
)

// window is what came within the span.
type window struct {
	first   archive.Seq // of the earliest batch; 0: none came
	items   int         // in batches that are done
	batches map[string]bool
	aside   map[string]int // by reason
}

func (w *window) add(b ledger.BatchRow, now time.Time) {
	if b.State != ledger.Done || now.Sub(b.Pulled) > span {
		return
	}
	if w.batches == nil {
		w.batches, w.aside, w.first = map[string]bool{}, map[string]int{}, b.First
	}
	w.first = min(w.first, b.First)
	w.items += b.Items
	w.batches[b.Key()] = true
}

// mostly is the reason for which more than half of what came is set aside, "" if there is none. ok is false when too little came to tell.
func (w *window) mostly() (reason string, n int, ok bool) {
	if w.items < leastSeen {
		return "", 0, false
	}
	for r, n := range w.aside {
		if 2*n > w.items {
			return r, n, true
		}
	}
	return "", 0, true
}

// lookAtRecent counts the set-aside items of what came of late. With too few items there is nothing to tell.
func (w *watcher) lookAtRecent(ctx context.Context, f *facts) error {
	if f.recent.items < leastSeen {
		return nil
	}
	for _, g := range f.groups {
		err := w.ledger.AsidesFrom(ctx, f.corp.ID, g.First.Reason, g.First.KeyVersion, f.recent.first, func(a ledger.Aside) bool {
			if f.recent.batches[a.Batch] {
				f.recent.aside[a.Reason]++
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// still says whether a corp's fetching seems to stand still.
func still(corp ledger.Corp, c ledger.Cursor, now time.Time) bool {
	last := c.LastWhole
	if last.IsZero() {
		last = corp.Added
	}
	return now.Sub(last) > standstill || c.CaughtUp.IsZero() && now.Sub(corp.Added) > standstill
}

// causeOf is R7's word for a trouble of fetching, and whether it is told at once: the others may pass by themselves.
func causeOf(t ledger.Trouble) (cause report.Cause, atOnce bool) {
	if c, ok := report.CauseOfCode(t.Code); ok {
		return c, c != report.RateLimited
	}
	switch financesdk.CauseKind(t.Cause) {
	case financesdk.CauseBadSecret:
		return report.SecretRefused, true
	case financesdk.CauseUntrustedIP:
		return report.AddressNotTrusted, true
	case financesdk.CauseBadCertificate, financesdk.CauseCertificateRefused:
		return report.CertRefused, true
	case financesdk.CauseServiceExpired:
		return report.ServiceExpired, true
	case financesdk.CauseServiceNotOpened:
		return report.ServiceNotOpened, true
	case financesdk.CauseLibraryMissing, financesdk.CauseNotALibrary, financesdk.CauseWrongArchitecture, financesdk.CauseLibraryNotLoadable, financesdk.CauseNoHost:
		return report.LibraryMissing, true
	case financesdk.CauseRateLimited:
		return report.RateLimited, false
	case financesdk.CauseChildDied, financesdk.CauseHang, financesdk.CauseLibraryDiesOften:
		return report.LibraryDies, false
	case financesdk.CauseRefused:
		return report.Cause(financesdk.CauseRefused), false
	default:
		return report.NotFetching, false
	}
}

// failureOf is R7's word for why a pending batch can't be opened; ok is false for a reason that may pass by itself.
func failureOf(b ledger.BatchRow) (cause report.Cause, ok bool) {
	if financesdk.CauseKind(b.Failure) == financesdk.CauseLibraryDiesOften {
		return report.LibraryDies, true
	}
	cause, _ = causeOf(ledger.Trouble{Cause: b.Failure})
	return cause, cause == report.LibraryMissing
}

// wanted are the alarms that should be open, by cause.
type wanted map[string]ledger.Alarm

func (all wanted) open(f facts, cause report.Cause, object string, a ledger.Alarm) {
	a.Corp, a.Open, a.Seen, a.Cause = f.corp.ID, true, f.now, string(cause)
	if object != "" {
		a.Cause += ":" + object
	}
	if a.Since.IsZero() || a.Since.After(f.now) {
		a.Since = f.now
	}
	if old, ok := all[a.Cause]; ok { // of several groups
		a.Affected += old.Affected
		if a.Code == 0 {
			a.Code = old.Code
		}
		if old.Since.Before(a.Since) {
			a.Since = old.Since
		}
		if old.Unknown || !a.Unknown && old.Deadline.Before(a.Deadline) {
			a.Deadline, a.Unknown = old.Deadline, old.Unknown
		}
	}
	all[a.Cause] = a
}

// due fills an alarm's deadline from a clock.
func due(a ledger.Alarm, c ledger.Clock) ledger.Alarm {
	if a.Unknown = c.Unknown; !c.Idle && !c.Unknown {
		a.Deadline = c.Ends
	}
	return a
}

// doubtful says whether one of the alarms is about nothing but time that has passed, and not open yet.
func (all wanted) doubtful(open []ledger.Alarm) bool {
	for cause := range all {
		switch report.Cause(cause) {
		case report.NotFetching, report.NeverCaughtUp, report.MessagesAtRisk, report.NotOpening, report.MediaAtRisk, report.RateLimited, report.LibraryDies:
			if !slices.ContainsFunc(open, func(a ledger.Alarm) bool { return a.Cause == cause && a.Open }) {
				return true
			}
		}
	}
	return false
}

// judge says which alarms the facts ask for. It changes nothing.
func (w *watcher) judge(f facts) wanted {
	all := wanted{}
	w.judgeFetching(f, all)
	w.judgeAside(f, all)
	for cause, n := range f.failing {
		all.open(f, cause, "", due(ledger.Alarm{Since: f.oldest, Affected: n}, f.clocks.Media))
	}
	if len(f.failing) == 0 && f.pending > 0 && f.now.Sub(f.oldest) > unopened {
		all.open(f, report.NotOpening, "", due(ledger.Alarm{Since: f.oldest, Affected: f.unopened}, f.clocks.Media))
	}
	if f.risky > 0 {
		all.open(f, report.MediaAtRisk, "", due(ledger.Alarm{Affected: f.risky}, f.riskiest))
	}
	if f.lost > 0 {
		all.open(f, report.MediaLost, "", ledger.Alarm{Affected: f.lost})
	}
	if end := f.corp.Settings.Service.End; !end.IsZero() {
		if step, near := ending(end, f.now); near {
			all.open(f, report.ServiceEnding, end.Format(time.DateOnly), ledger.Alarm{Detail: step})
		}
	}
	// Whom it concerns can't be told by mail: the other receivers are.
	if n := len(f.suppressed); n > 0 {
		since := f.suppressed[0].Since
		for _, s := range f.suppressed {
			if s.Since.Before(since) {
				since = s.Since
			}
		}
		all.open(f, report.ReceiverDead, "", ledger.Alarm{Affected: n, Since: since, Detail: fmt.Sprint(n)})
	}
	return all
}

// reminders is how many days before the service ends that was bought its end is told, and told again.
func reminders() []int { return []int{1, 7, 14, 30} }

// ending says which reminder of the service's end is due: an alarm whose detail changes is told again. end is the last day of the service, in UTC; once it is past the
// reminder stays until another end is entered.
func ending(end, now time.Time) (step string, near bool) {
	left := end.AddDate(0, 0, 1).Sub(now)
	if left <= 0 {
		return "past", true
	}
	for _, days := range reminders() {
		if left <= time.Duration(days)*24*time.Hour {
			return fmt.Sprint(days), true
		}
	}
	return "", false
}

// judgeFetching asks whether messages come.
func (w *watcher) judgeFetching(f facts, all wanted) {
	stands, fresh := still(f.corp, f.cursor, f.now), f.now.Sub(f.corp.Added) <= standstill
	if t := f.cursor.Trouble; t != nil {
		cause, atOnce := causeOf(*t)
		if atOnce || stands && !fresh {
			a := ledger.Alarm{Since: t.Since, Code: t.Code}
			if cause == report.AddressNotTrusted {
				a.Detail = t.Address // where WeCom named none, the mail lists all of ours
			}
			all.open(f, cause, "", due(a, f.clocks.Messages))
		}
	} else if stands && !f.cursor.LastWhole.IsZero() && f.now.Sub(f.cursor.LastWhole) > standstill {
		all.open(f, report.NotFetching, "", due(ledger.Alarm{Since: f.cursor.LastWhole}, f.clocks.Messages))
	}
	switch c := f.clocks.Messages; {
	case c.Unknown && !fresh:
		all.open(f, report.NeverCaughtUp, "", ledger.Alarm{Since: f.corp.Added, Unknown: true})
	case !c.Unknown && c.Left(f.now, w.windows.Messages) < lastDay && len(all) == 0:
		// Nothing else says why: whole answers come, and never the empty one that would mean caught up.
		all.open(f, report.MessagesAtRisk, "", due(ledger.Alarm{}, c))
	}
}

// judgeAside asks what can't be opened.
func (w *watcher) judgeAside(f facts, all wanted) {
	held := map[archive.KeyVersion]ledger.KeyRow{}
	var versions []string
	for _, k := range f.keys {
		held[k.Version] = k
		versions = append(versions, k.Version.String())
	}
	for _, g := range f.groups {
		a := due(ledger.Alarm{Since: g.First.Since, Affected: g.Count}, g.First.MediaClock(w.windows, f.now))
		key, has := held[g.First.KeyVersion]
		switch {
		case g.First.Reason == ledger.ReasonNoKey && !has:
			a.Detail = strings.Join(versions, ", ")
			all.open(f, report.KeyMissing, g.First.KeyVersion.String(), a)
		case g.First.Reason == ledger.ReasonKeyDoesNotFit && !key.Proven: // a key that opens others is right: these items are damaged
			a.Detail = strings.Join(versions, ", ")
			all.open(f, report.KeyDoesNotFit, g.First.KeyVersion.String(), a)
		case g.First.Reason == ledger.ReasonNoKey && f.now.Sub(key.Added) <= unopened:
			// The key has just come, and what waited for it is being opened.
		default:
			all.open(f, report.SetAsideWaiting, g.First.Reason, a)
		}
	}
	if reason, n, ok := f.recent.mostly(); ok && reason != "" {
		all.open(f, report.MostlySetAside, reason, ledger.Alarm{Affected: n})
	}
}

// keep says whether an open alarm that the facts do not ask for stays as it is.
func (f facts) keep(a ledger.Alarm) bool {
	cause, object, _ := strings.Cut(a.Cause, ":")
	switch report.Cause(cause) {
	case report.Unaccounted:
		return true // fsck's, which alone can tell that it is over
	case report.MostlySetAside:
		// It is over when enough has come that could be opened, or nothing is left of it: a pause in the conversation ends nothing.
		if _, _, ok := f.recent.mostly(); ok {
			return false
		}
		for _, g := range f.groups {
			if g.First.Reason == object {
				return true
			}
		}
	}
	return false
}

// untold says whether report should look at who has heard of an alarm as it is: nobody; not a receiver who can be reached; or not one whose mail about it
// did not arrive, who is to be told again as soon as he can be.
func (f facts) untold(a ledger.Alarm) bool {
	if a.Told != a.Fingerprint() {
		return a.Open || a.Told != ""
	}
	if !a.Open && !a.Lately(f.now) {
		return false
	}
	if a.Open && a.ToldTo == nil && len(f.corp.Alerted()) > 0 {
		return true // of a version that did not keep it
	}
	for _, to := range f.corp.Alerted() {
		id := ledger.AddressID(to.Address)
		h, told := a.ToldTo[id]
		if told && h.Again.IsZero() && f.letters.unheard[ledger.MailRow{Day: h.Mail, Report: string(report.Maintenance), To: to.Address}.Key()] {
			return true
		}
		if (a.Open && !a.Heard(to.Address, f.now) || a.Missed(to.Address, f.now)) && !slices.ContainsFunc(f.suppressed, func(s ledger.Suppression) bool { return ledger.AddressID(s.Address) == id }) {
			return true
		}
	}
	return false
}

// alarm brings the corp's alarms to what the facts ask for, and asks for a mail if receivers have not heard of all of it.
func (w *watcher) alarm(ctx context.Context, f facts) (told bool, err error) {
	all := w.judge(f)
	news := false
	write := func(a ledger.Alarm) error {
		news = news || f.untold(a)
		return w.ledger.PutAlarm(ctx, a)
	}
	for _, old := range f.alarms {
		a, open := all[old.Cause]
		delete(all, old.Cause)
		switch {
		case open:
			a.Told, a.ToldTo = old.Told, old.ToldTo
			if old.Open {
				a.Since = old.Since
			} else if !a.Since.After(old.Over) {
				a.Since = f.now // it came back
			}
		case old.Open && !f.keep(old):
			a = old
			a.Open, a.Over = false, f.now
		default:
			news = news || f.untold(old)
			continue
		}
		if err := write(a); err != nil {
			return false, err
		}
	}
	for _, a := range all {
		if err := write(a); err != nil {
			return false, err
		}
	}
	if !news {
		return false, nil
	}
	if err := w.reports.Send(ctx, f.corp.ID, queue.ReportJob{Corp: f.corp.ID, Report: "R7"}); err != nil {
		return false, fmt.Errorf("ask for the alert: %w", err)
	}
	return true, nil
}
