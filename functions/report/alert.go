package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// matter is what alerts of one kind tell of: a corp's alarms, who is to hear of them, and how that is said and noted.
type matter struct {
	kind      report.Kind
	alarms    []ledger.Alarm
	audiences []audience
	told      func(ctx context.Context, a ledger.Alarm, fingerprint string, to map[string]ledger.Hearing) error
	// facts keeps what a mail to some of an audience is made of, and fills in the rest of what was made.
	facts func(ctx context.Context, run ledger.Run, m *made, who audience, alarms []ledger.Alarm, to []ledger.Receiver) error
}

// audience is receivers to whom the same is told. Each is in one audience of a matter.
type audience struct {
	all         []ledger.Receiver
	reachable   []ledger.Receiver
	concerns    func(ledger.Alarm) bool      // which alarms they hear of; nil: all
	holds       func(departments []int) bool // what they may see, and
	rows        []int32                      // the places of the rows that they may; of a matter with rows
	departments []string                     // names of the departments that they are confined to; none: they see all
}

// of is the alarms that concern the audience.
func (who audience) of(alarms []ledger.Alarm) []ledger.Alarm {
	if who.concerns == nil {
		return alarms
	}
	return slices.DeleteFunc(slices.Clone(alarms), func(a ledger.Alarm) bool { return !who.concerns(a) })
}

// maintenance makes R7 of a corp if there is something to tell.
func (r *reporter) maintenance(ctx context.Context, c ledger.Corp) error {
	alarms, err := r.ledger.Alarms(ctx, c.ID)
	if err != nil {
		return err
	}
	dead, err := r.suppressed(ctx, c.ID)
	if err != nil {
		return err
	}
	who := audience{all: c.Alerted()}
	who.reachable = dead.without(who.all)
	return r.tell(ctx, c, matter{kind: report.Maintenance, alarms: alarms, audiences: []audience{who}, told: r.ledger.ToldAlarm,
		facts: func(ctx context.Context, run ledger.Run, m *made, _ audience, alarms []ledger.Alarm, to []ledger.Receiver) error {
			facts, err := r.maintenanceFacts(ctx, c, alarms, func(a ledger.Alarm) (report.News, bool) { return newsOf(a, to, m.noon) }, m.noon)
			if err != nil {
				return err
			}
			kept := maintenanceKept{Receivers: to, Facts: facts}
			if m.object, err = keepFacts(ctx, r, run, run.Day[:len(time.DateOnly)], m.name, &kept); err != nil {
				return err
			}
			m.noon = kept.Facts.Now
			m.each = alertMails(run, *m, kept.Receivers, report.View{GuideURL: r.guide}, func(v report.View) (report.Mail, error) { return report.NewMaintenance(kept.Facts, v) })
			return nil
		}})
}

// alertMails makes the same mail for each receiver, in his language.
func alertMails(run ledger.Run, m made, to []ledger.Receiver, v report.View, build func(report.View) (report.Mail, error)) func(func(outgoing) error) error {
	return func(plan func(outgoing) error) error {
		for _, t := range to {
			language, err := report.ParseLanguage(t.Language)
			if err != nil {
				language = report.English
			}
			v.Language, v.Zone, v.Mask = language, zone, true
			mail, err := build(v)
			if err != nil {
				return err
			}
			if err := plan(outgoing{report: run.Report, to: t.Address, mail: ready(mail), day: m.days[t.Address]}); err != nil {
				return err
			}
		}
		return nil
	}
}

// tell makes the alerts of a matter, to each audience that there is something to tell: to all of it, that an alarm opened, changed or ended since it was
// last told; else, to those who have not heard of what is open: a receiver who was added, or whose mail did not reach him and who can be reached
// again; and that one is over, to whom the mail that said so did not reach. The mail lists everything open that concerns the audience. The state of these
// alarms and who is told of it name the run, their state and he alone each receiver's mail: so the same news, asked for twice or marked as told in part, is
// mailed to him once, whoever else is added or can't be reached any more between two attempts.
func (r *reporter) tell(ctx context.Context, c ledger.Corp, m matter) error {
	noted, err := r.hearings(ctx, c, m)
	if err != nil {
		return err
	}
	// One that came and went unnoticed has nothing to be told.
	fresh := func(a ledger.Alarm) bool { return a.Fingerprint() != a.Told }
	worth := func(a ledger.Alarm) bool { return fresh(a) && (a.Open || a.Told != "") }
	moments, unheard := map[string]string{}, map[string]bool{} // by address; by cause
	for _, a := range m.alarms {
		unheard[a.Cause] = worth(a)
	}
	for _, who := range m.audiences {
		alarms, to := who.of(m.alarms), who.reachable
		if !slices.ContainsFunc(alarms, worth) {
			to = late(alarms, who.reachable, r.now())
		}
		if len(to) == 0 {
			continue
		}
		run := ledger.Run{Corp: c.ID, Report: string(m.kind)}
		if run.Day, err = r.moment(ctx, c.ID, m.kind, alarms, to); err != nil {
			return err
		}
		days := map[string]string{}
		for _, t := range to {
			if days[t.Address], err = r.mailOf(ctx, c.ID, m.kind, alarms, t); err != nil {
				return err
			}
			moments[t.Address] = days[t.Address]
		}
		if err := r.alert(ctx, run, m, who, alarms, to, days); err != nil {
			return err
		}
		for _, a := range alarms {
			unheard[a.Cause] = false
		}
	}
	var failures []error
	waiting := 0
	for _, a := range m.alarms {
		news := fresh(a) && !unheard[a.Cause]
		if unheard[a.Cause] {
			waiting++ // told as soon as there is a receiver: who asked asks again
		}
		if to := heard(a, m, news, moments, r.now()); news || noted[a.Cause] || !maps.Equal(to, a.ToldTo) {
			told := a.Told
			if news {
				told = a.Fingerprint()
			}
			failures = append(failures, m.told(ctx, a, told, to))
		}
	}
	if waiting > 0 {
		r.log.WarnContext(ctx, "nobody to alert", slog.String("corp", string(c.ID)), slog.String("report", string(m.kind)), slog.Int("alarms", waiting))
	}
	return errors.Join(failures...)
}

// maintenanceDay is R7's state of a day, for those who subscribe to it: what was open at noon, and what has ended in the 24 hours before. An alarm that
// began after that noon belongs to the next.
func (r *reporter) maintenanceDay(ctx context.Context, day *today) (report.MaintenanceFacts, error) {
	alarms, err := r.ledger.Alarms(ctx, day.corp.ID)
	if err != nil {
		return report.MaintenanceFacts{}, err
	}
	f, err := r.maintenanceFacts(ctx, day.corp, alarms, func(a ledger.Alarm) (report.News, bool) {
		switch {
		case !a.Since.Before(day.noon):
			return report.Same, false
		case a.Open || !a.Over.Before(day.noon):
			return report.Same, true
		default:
			return report.Over, !a.Over.Before(day.window.From)
		}
	}, day.noon)
	f.Daily = true
	// A report that is made late must not promise more than was left at its noon.
	r.asOf(day.noon, &f.Messages, &f.Media)
	return f, err
}

// asOf makes of clocks of now those of a noon before: they have no more left than was left then.
func (r *reporter) asOf(noon time.Time, messages, media *report.Clock) {
	for clock, window := range map[*report.Clock]time.Duration{messages: r.windows.Messages, media: r.windows.Media} {
		if latest := noon.Add(window); clock.State == report.ClockRunning && clock.Ends.After(latest) {
			clock.Ends = latest
		}
	}
}

// alert makes the mails of an alert, once.
func (r *reporter) alert(ctx context.Context, run ledger.Run, m matter, who audience, alarms []ledger.Alarm, to []ledger.Receiver, days map[string]string) error {
	return r.once(ctx, run, func(ctx context.Context, run ledger.Run) (made, error) {
		// The claim is this attempt's: what it tells is read under it.
		out := made{noon: r.now(), name: run.Day[len(time.DateOnly)+1:] + "-" + string(m.kind), days: days}
		err := m.facts(ctx, run, &out, who, alarms, to)
		return out, err
	})
}

// hearings brings what is known of who was told of open alarms up to date, and says of which alarms that changed. A mail that was refused or came
// back has told nobody. Where an earlier version kept only that an alarm was told, those who are reached now count as told.
func (r *reporter) hearings(ctx context.Context, c ledger.Corp, m matter) (changed map[string]bool, err error) {
	mails, changed := map[string]ledger.MailRow{}, map[string]bool{}
	for i, a := range m.alarms {
		if !a.Open && !a.Lately(r.now()) {
			continue
		}
		var all, reachable []ledger.Receiver
		for _, who := range m.audiences {
			if who.concerns == nil || who.concerns(a) {
				all, reachable = append(all, who.all...), append(reachable, who.reachable...)
			}
		}
		if a.Open && a.ToldTo == nil && a.Told != "" {
			a.ToldTo, changed[a.Cause] = map[string]ledger.Hearing{}, true
			for _, to := range reachable {
				a.ToldTo[ledger.AddressID(to.Address)] = ledger.Hearing{}
			}
			m.alarms[i].ToldTo = a.ToldTo
		}
		for _, to := range all {
			id := ledger.AddressID(to.Address)
			h, ok := a.ToldTo[id]
			if !ok || h.Mail == "" || !h.Again.IsZero() {
				continue
			}
			name := ledger.MailRow{Corp: c.ID, Day: h.Mail, Report: string(m.kind), To: to.Address}.Key()
			mail, read := mails[name]
			if !read {
				if mail, err = r.ledger.Mail(ctx, c.ID, name); err != nil && !errors.Is(err, ledger.ErrAbsent) {
					return nil, err
				}
				mails[name] = mail
			}
			if again, unheard := mail.Unheard(); unheard {
				h.Again = again
				a.ToldTo[id], changed[a.Cause] = h, true
			}
		}
	}
	return changed, nil
}

// late are the receivers who have not heard of all that is open, or of an end.
func late(alarms []ledger.Alarm, reachable []ledger.Receiver, now time.Time) []ledger.Receiver {
	return slices.DeleteFunc(slices.Clone(reachable), func(to ledger.Receiver) bool {
		return !slices.ContainsFunc(alarms, func(a ledger.Alarm) bool { return a.Open && !a.Heard(to.Address, now) || a.Missed(to.Address, now) })
	})
}

// heard is who was told of an alarm as it is, after mails whose moments are given by address: who heard of it before has not done so by these. That one is
// over need not be told to anybody but those who were told when it ended, or who knew of it and could not be reached then.
func heard(a ledger.Alarm, m matter, news bool, moments map[string]string, now time.Time) map[string]ledger.Hearing {
	all := map[string]ledger.Hearing{}
	for _, who := range m.audiences {
		if who.concerns != nil && !who.concerns(a) {
			continue
		}
		for _, t := range who.all {
			id := ledger.AddressID(t.Address)
			h, ok := a.ToldTo[id]
			knew := ok && h.Again.IsZero()
			if ok = ok && !news; !ok && !news && !a.Open {
				continue
			}
			if moment, told := moments[t.Address]; told && (!ok || !h.Again.IsZero()) {
				h, ok = ledger.Hearing{Mail: moment}, true
			} else if !told && news && !a.Open && knew {
				h, ok = ledger.Hearing{Again: now}, true
			}
			if ok {
				all[id] = h
			}
		}
	}
	return all
}

// suppressed is the addresses to which mail sends nothing, by AddressID.
type suppressed map[string]bool

func (r *reporter) suppressed(ctx context.Context, corp archive.CorpID) (suppressed, error) {
	all, err := r.ledger.Suppressions(ctx, corp)
	if err != nil {
		return nil, err
	}
	dead := suppressed{}
	for _, s := range all {
		dead[ledger.AddressID(s.Address)] = true
	}
	return dead, nil
}

// without is the receivers that mail sends to. An alert that only the others would get reaches nobody.
func (dead suppressed) without(all []ledger.Receiver) []ledger.Receiver {
	return slices.DeleteFunc(slices.Clone(all), func(to ledger.Receiver) bool { return dead[ledger.AddressID(to.Address)] })
}

// maintenanceKept is what is kept of an alert.
type maintenanceKept struct {
	Receivers []ledger.Receiver       `json:"receivers"`
	Facts     report.MaintenanceFacts `json:"facts"`
}

// moment names a telling: the day on which it is first tried, and a hash of what receivers would hear, of who they are, and of the mail that did not reach
// them before. Whether they have heard is no part of it. One that was begun before midnight keeps its name.
func (r *reporter) moment(ctx context.Context, corp archive.CorpID, kind report.Kind, alarms []ledger.Alarm, to []ledger.Receiver) (string, error) {
	parts := newsParts(alarms, to...)
	for _, t := range to {
		parts = append(parts, "to="+ledger.AddressID(t.Address))
	}
	return r.begunAs(parts, func(day string) error {
		_, err := r.ledger.RunOf(ctx, corp, day, string(kind))
		return err
	})
}

// mailOf names one receiver's mail of a telling, in the same way: whoever else is told is no part of it.
func (r *reporter) mailOf(ctx context.Context, corp archive.CorpID, kind report.Kind, alarms []ledger.Alarm, to ledger.Receiver) (string, error) {
	return r.begunAs(newsParts(alarms, to), func(day string) error {
		_, err := r.ledger.Mail(ctx, corp, ledger.MailRow{Corp: corp, Day: day, Report: string(kind), To: to.Address}.Key())
		return err
	})
}

// newsParts are what receivers would hear, and the mails that did not reach them before.
func newsParts(alarms []ledger.Alarm, to ...ledger.Receiver) []string {
	parts := make([]string, 0, len(alarms)+len(to))
	for _, a := range alarms {
		parts = append(parts, a.Cause+"="+a.Fingerprint())
		for _, t := range to {
			if id := ledger.AddressID(t.Address); !a.ToldTo[id].Again.IsZero() && (a.Open || a.Told == a.Fingerprint()) {
				parts = append(parts, "after="+a.ToldTo[id].Mail+"="+id)
			}
		}
	}
	return parts
}

// begunAs makes a name of parts: of yesterday, if there is something of that name, else of today.
func (r *reporter) begunAs(parts []string, there func(day string) error) (string, error) {
	slices.Sort(parts)
	hash, today := report.ID(slices.Compact(parts)...)[:12], r.now().UTC()
	before := today.AddDate(0, 0, -1).Format(time.DateOnly) + "-" + hash
	if err := there(before); !errors.Is(err, ledger.ErrAbsent) {
		return before, err
	}
	return today.Format(time.DateOnly) + "-" + hash, nil
}

// maintenanceFacts are a corp's alarms as people should read them: those of which news says that they are to be told.
func (r *reporter) maintenanceFacts(ctx context.Context, c ledger.Corp, alarms []ledger.Alarm, news func(ledger.Alarm) (report.News, bool),
	now time.Time) (report.MaintenanceFacts, error) {
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
		if what, tell := news(a); tell {
			f.Alarms = append(f.Alarms, alarm(a, what, held))
		}
	}
	return f, nil
}

// newsOf is what is new about an alarm to some receivers. tell is false for one that is over and was told so to all of them, or never told of.
func newsOf(a ledger.Alarm, to []ledger.Receiver, now time.Time) (news report.News, tell bool) {
	switch {
	case !a.Open && a.Told == a.Fingerprint():
		return report.Over, slices.ContainsFunc(to, func(t ledger.Receiver) bool { return a.Missed(t.Address, now) })
	case !a.Open:
		return report.Over, a.Told != ""
	case a.Told == a.Fingerprint():
		if !slices.ContainsFunc(to, func(t ledger.Receiver) bool { return a.Heard(t.Address, now) }) {
			return report.Began, true // to each of them
		}
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
	case report.ServiceEnding:
		out.Messages = report.Known(0) // as yet
	case report.Unaccounted: // what was counted is batches, rows or objects, by kind, and of messages nobody has
		if strings.HasPrefix(string(out.Reason), "media-") {
			out.Attachments = report.Known(whole(a.Affected))
		}
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
