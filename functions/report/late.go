package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/report"
)

// An event belongs to the report of the window that its By lies in. It may become known only after that report was made: a message that was retried, a queue
// that was put back to work. The next report tells it then, and says that it is late; so each event is told by exactly one report.
//
// What was told is kept with each report's facts, which are written once: a second attempt at a report, or a doubled schedule, finds the same. No clock decides it.

const (
	// lateBack is for how many days back events are looked for that became known late: as long as a queue keeps a message.
	lateBack = 14
	// chained is from how many reports what was told is put together: each has what those before it told, but the last ones may have been made in another order.
	chained = lateDays + 2
)

// remembering is facts that say which events were told.
type remembering interface{ Heard() []report.Reported }

// memory is what a report knows of what reports of its kind told before it.
type memory struct {
	window report.Window
	told   map[string][]report.Reported // by what happened
	missed func(by time.Time) bool      // whether an event of an earlier window that nobody told may be told now
	news   []report.Reported            // what this report tells
}

// memoryOf reads what reports of a kind told until now.
func memoryOf[F remembering](ctx context.Context, r *reporter, day *today, kind report.Kind) (*memory, error) {
	runs := map[time.Time]ledger.Run{}
	var kept []ledger.Run // the newest first
	var odd error
	oldest := day.noon.AddDate(0, 0, -lateBack)
	err := r.ledger.Runs(ctx, day.corp.ID, func(run ledger.Run) bool {
		if run.Report != string(kind) || len(run.Day) != len(time.DateOnly) {
			return true
		}
		var of time.Time
		if of, odd = time.Parse(time.DateOnly, run.Day); odd != nil {
			odd = fmt.Errorf("run %s of corp %s: %w", run.Key(), run.Corp, odd)
			return false
		}
		noon := of.Add(noonHour * time.Hour)
		if noon.Before(oldest) {
			return false
		}
		runs[noon] = run
		if run.State == ledger.RunDone && run.Object != "" && len(kept) < chained {
			kept = append(kept, run)
		}
		return true
	})
	if err == nil {
		err = odd
	}
	if err != nil {
		return nil, err
	}
	m := &memory{window: day.window, told: map[string][]report.Reported{}}
	closed := map[time.Time]bool{} // windows of which nothing is told late
	for _, run := range kept {
		heard, known, err := heardBy[F](ctx, r, run)
		if err != nil {
			return nil, err
		}
		if !known { // of a version that did not keep it: it told what there was, and so did those before it
			for noon, of := range runs {
				if of.Day <= run.Day {
					closed[noon] = true
				}
			}
		}
		m.remember(heard)
	}
	m.missed = missed(day, runs, closed, r.now(), kind)
	return m, nil
}

// heardBy is what a report says was told; known is false for one of a version that did not say.
func heardBy[F remembering](ctx context.Context, r *reporter, run ledger.Run) (heard []report.Reported, known bool, err error) {
	body, err := r.store.Get(ctx, objstore.Object{Key: run.Object, VersionID: run.Version})
	if err != nil {
		return nil, false, err
	}
	var k struct {
		Facts F `json:"facts"`
	}
	if err := json.Unmarshal(body, &k); err != nil {
		return nil, false, fmt.Errorf("read the facts of report %s of corp %s: %w", run.Key(), run.Corp, err)
	}
	heard = k.Facts.Heard()
	return heard, heard != nil, nil
}

// missed says of which earlier windows an event that nobody told is told now: of those whose report was made without it, and of those whose report was never made
// and will not be. As long as one before this day's is still to be made, nothing late is told: what it will tell is not known yet.
func missed(day *today, runs map[time.Time]ledger.Run, closed map[time.Time]bool, now time.Time, kind report.Kind) func(time.Time) bool {
	done := func(noon time.Time) bool { return runs[noon].State == ledger.RunDone }
	for _, noon := range noons(day.corp.Added, now) {
		if noon.Before(day.noon) && !done(noon) && day.corp.Settings.OnFor(kind, noon) {
			return func(time.Time) bool { return false }
		}
	}
	first := day.noon // the first report that was made, as far as is looked back: before it there were none
	for noon := range runs {
		if done(noon) && noon.Before(first) {
			first = noon
		}
	}
	return func(by time.Time) bool {
		noon := windowOf(by)
		switch {
		case !noon.Before(day.noon) || noon.Before(day.noon.AddDate(0, 0, -lateBack)) || noon.Before(first) || closed[noon]:
			return false
		case done(noon):
			return runs[noon].Object != "" // else there was nobody to tell
		default:
			return day.corp.Settings.OnFor(kind, noon)
		}
	}
}

// windowOf is the noon that ends the window which a time lies in.
func windowOf(t time.Time) time.Time {
	t = t.UTC()
	noon := time.Date(t.Year(), t.Month(), t.Day(), noonHour, 0, 0, 0, time.UTC)
	if !t.Before(noon) {
		noon = noon.AddDate(0, 0, 1)
	}
	return noon
}

func (m *memory) remember(heard []report.Reported) {
	for _, h := range heard {
		if !slices.Contains(m.told[h.What], h) {
			m.told[h.What] = append(m.told[h.What], h)
		}
	}
}

// tells says whether the report tells of an event, and whether it is late.
func (m *memory) tells(e directory.Event) (late, tell bool) {
	return m.tellsOf(report.ReportedOf(e), e.By)
}

// tellsOf is tells for what belongs to the window that a time lies in.
func (m *memory) tellsOf(h report.Reported, by time.Time) (late, tell bool) {
	if slices.ContainsFunc(m.told[h.What], h.Same) {
		return false, false
	}
	if !by.Before(m.window.From) && by.Before(m.window.To) {
		m.news = append(m.news, h)
		return false, true
	}
	if !m.missed(by) {
		return false, false
	}
	m.news = append(m.news, h)
	return true, true
}

// keep is what the report keeps: what it tells, and what earlier ones told of days that are still looked back at.
func (m *memory) keep() []report.Reported {
	oldest := m.window.To.AddDate(0, 0, -lateBack-2).UnixMilli()
	all := append([]report.Reported{}, m.news...)
	for _, list := range m.told {
		for _, h := range list {
			if h.By >= oldest {
				all = append(all, h)
			}
		}
	}
	slices.SortFunc(all, report.Reported.Compare)
	return slices.Compact(all)
}

// recent is the members' events of the last days, up to the day's noon, read once for the reports of a noon.
type recent struct {
	noon   time.Time
	events []directory.Event
}

func (r *reporter) recent(ctx context.Context, day *today) ([]directory.Event, error) {
	if k := day.company.recent; k != nil && k.noon.Equal(day.noon) {
		return k.events, nil
	}
	k := &recent{noon: day.noon}
	err := r.ledger.Events(ctx, day.corp.ID, day.window.From.AddDate(0, 0, -lateBack), day.window.To, func(e directory.Event) bool {
		if e.Kind == directory.KindMember {
			k.events = append(k.events, e)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	day.company.recent = k
	return k.events, nil
}
