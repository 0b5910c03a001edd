package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// maintenance makes R7 of a corp if there is something to tell: an alarm that opened, changed or ended since it was last told. The mail lists
// everything open. The state of all alarms names the run, so that the same news, asked for twice or marked as told in part, is mailed once.
func (r *reporter) maintenance(ctx context.Context, c ledger.Corp) error {
	alarms, err := r.ledger.Alarms(ctx, c.ID)
	if err != nil {
		return err
	}
	news := slices.DeleteFunc(slices.Clone(alarms), func(a ledger.Alarm) bool { return a.Fingerprint() == a.Told })
	if len(news) == 0 {
		return nil
	}
	// One that came and went unnoticed has nothing to be told.
	worth := slices.DeleteFunc(slices.Clone(news), func(a ledger.Alarm) bool { return !a.Open && a.Told == "" })
	if len(worth) > 0 {
		to, err := r.reachable(ctx, c)
		if err != nil {
			return err
		}
		if len(to) == 0 {
			r.log.WarnContext(ctx, "nobody to alert", slog.String("corp", string(c.ID)), slog.Int("alarms", len(worth)))
			return r.forget(ctx, alarms) // told as soon as there is a receiver: watch asks again
		}
		run := ledger.Run{Corp: c.ID, Day: moment(alarms, to), Report: string(report.Maintenance)}
		err = r.once(ctx, run, func(ctx context.Context) (made, error) {
			// The claim is this attempt's: what it tells is read under it.
			now := r.now()
			m := made{noon: now, name: strings.TrimPrefix(run.Day, latest(alarms).Format(time.DateOnly)+"-") + "-" + string(report.Maintenance)}
			facts, err := r.maintenanceFacts(ctx, c, alarms, now)
			if err != nil {
				return m, err
			}
			kept := maintenanceKept{Receivers: to, Facts: facts}
			if m.object, err = r.keepFacts(ctx, run, latest(alarms), m.name, &kept); err != nil {
				return m, err
			}
			m.noon, m.receivers = kept.Facts.Now, kept.Receivers
			m.build = func(v report.View) (report.Mail, error) { return report.NewMaintenance(kept.Facts, v) }
			return m, nil
		})
		if err != nil {
			return err
		}
	}
	var failures []error
	for _, a := range news {
		failures = append(failures, r.ledger.ToldAlarm(ctx, a, a.Fingerprint()))
	}
	return errors.Join(failures...)
}

// reachable are the receivers that mail sends to: those of a corp without the suppressed ones. An alert that only those would get reaches nobody.
func (r *reporter) reachable(ctx context.Context, c ledger.Corp) ([]ledger.Receiver, error) {
	if len(c.ReportTo) == 0 {
		return nil, nil
	}
	suppressed, err := r.ledger.Suppressions(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(c.ReportTo), func(to ledger.Receiver) bool {
		return slices.ContainsFunc(suppressed, func(s ledger.Suppression) bool { return ledger.AddressID(s.Address) == ledger.AddressID(to.Address) })
	}), nil
}

// forget makes open alarms untold: whoever heard of them is no receiver any more, or never got the mail, and the next receiver is to hear of all
// that is open.
func (r *reporter) forget(ctx context.Context, alarms []ledger.Alarm) error {
	var failures []error
	for _, a := range alarms {
		if a.Open && a.Told != "" {
			failures = append(failures, r.ledger.ToldAlarm(ctx, a, ""))
		}
	}
	return errors.Join(failures...)
}

// maintenanceKept is what is kept of an alert.
type maintenanceKept struct {
	Receivers []ledger.Receiver       `json:"receivers"`
	Facts     report.MaintenanceFacts `json:"facts"`
}

// latest is when the newest of some alarms began or ended.
func latest(alarms []ledger.Alarm) time.Time {
	var t time.Time
	for _, a := range alarms {
		for _, at := range []time.Time{a.Since, a.Over} {
			if at.After(t) {
				t = at
			}
		}
	}
	return t.UTC()
}

// moment names a state of alarms: the day on which its newest part happened, and a hash of what receivers would hear of it, and of who
// they are. Whether they have heard is no part of it.
func moment(alarms []ledger.Alarm, to []ledger.Receiver) string {
	parts := make([]string, 0, len(alarms)+len(to))
	for _, r := range to {
		parts = append(parts, "to="+ledger.AddressID(r.Address))
	}
	for _, a := range alarms {
		parts = append(parts, a.Cause+"="+a.Fingerprint())
	}
	slices.Sort(parts)
	return latest(alarms).Format(time.DateOnly) + "-" + report.ID(parts...)[:12]
}

// maintenanceFacts are a corp's alarms as people should read them.
func (r *reporter) maintenanceFacts(ctx context.Context, c ledger.Corp, alarms []ledger.Alarm, now time.Time) (report.MaintenanceFacts, error) {
	f := report.MaintenanceFacts{
		Corp: report.Corp{ID: c.ID, Name: c.Name}, Marks: r.marks(c), Now: now, Egress: r.egress,
		Windows: report.Windows{Chats: r.windows.Messages, Media: r.windows.Media},
	}
	clocks, err := r.ledger.Clocks(ctx, c.ID, r.windows, now)
	if err != nil {
		return f, err
	}
	f.Messages, f.Media = clockOf(clocks.Messages), clockOf(clocks.Media)
	keys, err := r.ledger.Keys(ctx, c.ID)
	if err != nil {
		return f, err
	}
	var held []archive.KeyVersion
	for _, k := range keys {
		held = append(held, k.Version)
	}
	for _, a := range alarms {
		if news, tell := newsOf(a); tell {
			f.Alarms = append(f.Alarms, alarm(a, news, held))
		}
	}
	return f, nil
}

// newsOf is what is new about an alarm. tell is false for one that is over and was told so, or never told of.
func newsOf(a ledger.Alarm) (news report.News, tell bool) {
	switch {
	case !a.Open:
		return report.Over, a.Told != "" && a.Told != a.Fingerprint()
	case a.Told == a.Fingerprint():
		return report.Same, true
	case strings.HasPrefix(a.Told, "true/"):
		return report.Changed, true
	default:
		return report.Began, true
	}
}

// alarm is a ledger's alarm as the report has it.
func alarm(a ledger.Alarm, news report.News, held []archive.KeyVersion) report.Alarm {
	out := report.ParseAlarm(a.Cause)
	out.News, out.FirstSeen, out.LastSeen, out.Ended, out.Code, out.Held = news, a.Since, a.Seen, a.Over, a.Code, held
	if ip, err := netip.ParseAddr(a.Detail); err == nil && out.Cause == report.AddressNotTrusted {
		out.Address = ip.String()
	}
	switch out.Cause {
	case report.MediaAtRisk, report.MediaLost:
		out.Attachments = report.Known(whole(a.Affected))
	case report.ReceiverDead:
		out.Messages, out.Receivers = report.Known(0), report.Known(whole(a.Affected))
	default:
		if a.Affected > 0 {
			out.Messages = report.Known(whole(a.Affected))
		}
	}
	switch {
	case a.Unknown:
		out.Loss = report.Clock{State: report.ClockUnknown}
	case a.Deadline.IsZero():
		out.Loss = report.Clock{State: report.ClockIdle}
	default:
		out.Loss = report.Clock{State: report.ClockRunning, Ends: a.Deadline}
	}
	return out
}
