package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// preview makes what a report would tell if the moment at which somebody asked were a noon, and keeps it for whoever asked. It is made as the noon run makes it; but
// there is no run of it, nobody is mailed it, and no report looks back at it. One that is made, or in whose place another was asked for, is left alone.
func (r *reporter) preview(ctx context.Context, c ledger.Corp, kind report.Kind, id string) error {
	if end, ok := ctx.Deadline(); ok {
		r.given = end.Sub(r.real())
	}
	p, err := r.ledger.Preview(ctx, c.ID, string(kind))
	if errors.Is(err, ledger.ErrAbsent) || err == nil && (p.ID != id || p.Object != "") {
		return nil
	}
	if err != nil {
		return err
	}
	all := dailies()
	i := slices.IndexFunc(all, func(d daily) bool { return d.kind == kind })
	if i < 0 {
		return fmt.Errorf("report %s of corp %s is made at no noon", kind, c.ID)
	}
	day := r.day(c, p.Asked.UTC(), &company{})
	day.preview = &p
	// What the noon run calls by the report's name is called by this one, so that it is never taken for the noon's.
	run := ledger.Run{Corp: c.ID, Day: day.noon.Format(time.DateOnly), Report: string(kind) + "-preview-" + p.ID, Parts: p.Parts}
	day.making = run
	began := r.real()
	if _, err := all[i].make(ctx, r, day, run); err != nil {
		if errors.Is(err, ledger.ErrLost) {
			return nil // another was asked for meanwhile
		}
		return fmt.Errorf("preview of report %s of corp %s: %w", kind, c.ID, err)
	}
	r.log.InfoContext(ctx, "preview", slog.String("corp", string(c.ID)), slog.String("report", string(kind)), slog.Duration("took", r.real().Sub(began)))
	return nil
}

// keepRun notes how far the report that is being made is: a run in its row, a preview in its own.
func (r *reporter) keepRun(ctx context.Context, day *today, run ledger.Run) error {
	if day.preview == nil {
		return r.ledger.KeepRun(ctx, run)
	}
	p := *day.preview
	p.Object, p.Version, p.Parts = run.Object, run.Version, run.Parts
	if p.Object != "" {
		p.Made = r.now()
	}
	return r.ledger.KeepPreview(ctx, p)
}

// due is the noon whose report it is; of a preview the next one, which looks back at the report of the noon before as that one will.
func (day *today) due() time.Time {
	if day.preview != nil {
		return windowOf(day.noon)
	}
	return day.noon
}

// sameDay says whether a report's noon is that of a day of the trend. The days of a preview end at another hour.
func sameDay(noon, end time.Time) bool {
	return !noon.After(end) && noon.After(end.Add(-24*time.Hour))
}
