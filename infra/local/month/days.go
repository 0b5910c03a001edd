package main

import (
	"context"
	"fmt"
	"time"
)

// days plays the month day by day: what happens, in its order, with a look at each, and noon.
func (w *world) days(ctx context.Context) error {
	all := script()
	for day := 1; day <= w.options.days; day++ {
		w.line.Set(int64(w.before+day-1), 0)
		w.line.Note(fmt.Sprintf("%s, %s", w.name, noonOf(day).Format("Mon 2 Jan")))
		before, after := aroundNoon(all[day])
		for _, e := range before {
			if err := w.happen(ctx, day, e); err != nil {
				return err
			}
		}
		if err := w.noon(ctx, day); err != nil {
			return fmt.Errorf("noon of day %d: %w", day, err)
		}
		for _, e := range after {
			if err := w.happen(ctx, day, e); err != nil {
				return err
			}
		}
	}
	w.line.Set(int64(w.before+w.options.days), 0)
	return nil
}

// event is what happens on a day.
type event struct {
	at   string // HH:MM, UTC
	what string
	do   func(ctx context.Context, w *world) error
}

func (e event) time(day int) time.Time {
	t, err := time.Parse("15:04", e.at)
	if err != nil {
		return time.Time{} // a test parses them all
	}
	return noonOf(day).Add(-12 * time.Hour).Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute)
}

// aroundNoon is a day's events before its noon, and after it.
func aroundNoon(all []event) (before, after []event) {
	for _, e := range all {
		if e.at < "12:00" {
			before = append(before, e)
		} else {
			after = append(after, e)
		}
	}
	return before, after
}

// happen lets something happen at its time, and the product look at it.
func (w *world) happen(ctx context.Context, day int, e event) error {
	if err := w.setClock(ctx, e.time(day)); err != nil {
		return err
	}
	if err := e.do(ctx, w); err != nil {
		return fmt.Errorf("day %d, %s, %s: %w", day, e.at, e.what, err)
	}
	if w.still {
		return nil
	}
	if err := w.look(ctx); err != nil {
		return fmt.Errorf("day %d, %s, after %s: %w", day, e.at, e.what, err)
	}
	return nil
}

// look fires what is due within an hour: the directory and consent are read, what was said is archived, and watch and report look at it.
func (w *world) look(ctx context.Context) error {
	if err := w.caughtUp(ctx); err != nil {
		return err
	}
	for _, f := range []string{"DirectoryFunction", "ConsentFunction", "RedriveFunction", "WatchFunction", "ReportFunction"} {
		if err := w.settle(ctx); err != nil {
			return fmt.Errorf("before %s: %w", f, err)
		}
		if err := w.invoke(ctx, f); err != nil {
			return err
		}
	}
	return w.settle(ctx)
}

// noon lets 12:00 UTC of a day come: the directory was last read at 11:55, and the reports are made.
func (w *world) noon(ctx context.Context, day int) error {
	if w.still {
		return nil
	}
	if err := w.setClock(ctx, noonOf(day).Add(-5*time.Minute)); err != nil {
		return err
	}
	if err := w.look(ctx); err != nil {
		return err
	}
	if err := w.setClock(ctx, noonOf(day).Add(time.Second)); err != nil {
		return err
	}
	return w.reports(ctx)
}

// reports has what is due made and sent, until nothing is left that was begun.
func (w *world) reports(ctx context.Context) error {
	for try := 1; ; try++ {
		if err := w.invoke(ctx, "ReportFunction"); err != nil {
			return err
		}
		if err := w.settle(ctx); err != nil {
			return err
		}
		begun, err := w.begun(ctx)
		if err != nil || begun == "" {
			return err
		}
		if try == 10 {
			return fmt.Errorf("%s is not done", begun)
		}
		if err := w.EndClaims(ctx); err != nil {
			return err
		}
	}
}
