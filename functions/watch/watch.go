package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// A job is taken for lost when its work still waits after firstWait. Each further announcement waits twice as long, up to longestWait: a job
// that fails for long has pauses of its own, and need not be joined by more than a few doubles.
const (
	firstWait   = 4 * time.Minute
	longestWait = 12 * time.Hour
)

// How much is announced again for one corp in one run; the oldest first, the rest with the next run.
const (
	mostBatches = 500
	mostMedia   = 500
)

// settled is how long ago a batch must have been pulled for the watermark to pass it: a batch of lower seqs may still be recorded before it.
const settled = time.Hour

// atOnce is how many corps are looked at together.
const atOnce = 8

// watcher looks at each corp, enqueues again what waits for too long, and keeps the corp's alarms.
//
// Order of effects: jobs, then the note that they were sent; the alarms' rows, then the wish for a mail. A crash between any two repeats a job
// or a wish, both harmless, at the next run.
type watcher struct {
	ledger  *ledger.Ledger
	batches *queue.Queue[queue.BatchJob]
	media   *queue.Queue[queue.MediaJob]
	reports *queue.Queue[queue.ReportJob]
	windows ledger.Windows
	log     *slog.Logger
	metrics *telemetry.Metrics
	now     func() time.Time
	second  time.Duration // how long a corp that seems to stand still is looked at before that is believed
}

// run looks at all corps. One that can't be looked at fails the run, after the others.
func (w *watcher) run(ctx context.Context) error {
	corps, err := w.ledger.Corps(ctx)
	if err != nil {
		return fmt.Errorf("list the corps: %w", err)
	}
	found := make([]facts, len(corps))
	failed := make([]error, len(corps))
	var wg sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for i, corp := range corps {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			found[i], failed[i] = w.watch(ctx, corp)
			if failed[i] != nil {
				failed[i] = fmt.Errorf("watch corp %s: %w", corp.ID, failed[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(append(failed, w.measure(found))...)
}

// watch looks at one corp.
func (w *watcher) watch(ctx context.Context, corp ledger.Corp) (f facts, err error) {
	defer fault.Catch(&err) // the others are looked at all the same
	began := clock.Real()
	if f, err = w.lookTwice(ctx, corp); err != nil {
		return facts{}, err
	}
	announced, err := w.announce(ctx, f)
	told, alarmed := w.alarm(ctx, f)
	err = errors.Join(err, alarmed)
	w.log.InfoContext(ctx, "watch", slog.String("corp", string(corp.ID)), slog.Int("pending", f.pending), slog.Int("waiting", f.waiting),
		slog.Int("set_aside", f.aside()), slog.Int("announced", announced), slog.Bool("asked_for_mail", told),
		slog.Duration("messages_left", f.clocks.Messages.Left(f.now, w.windows.Messages)),
		slog.Duration("media_left", f.clocks.Media.Left(f.now, w.windows.Media)), slog.Duration("took", clock.Real().Sub(began)))
	return f, err
}

// facts is what a look at a corp has found.
type facts struct {
	corp   ledger.Corp
	now    time.Time
	cursor ledger.Cursor
	keys   []ledger.KeyRow
	clocks ledger.Clocks
	groups []ledger.AsideGroup
	recent window         // what came of late
	alarms []ledger.Alarm // as they are

	suppressed []ledger.Suppression // of receivers that reports still go to

	pending    int
	unopened   int                  // items of pending batches
	failing    map[report.Cause]int // items of pending batches that can't be opened, by why
	oldest     time.Time            // when the oldest pending batch was pulled
	batches    []ledger.BatchRow    // pending ones that are to be announced again
	from, mark string               // the watermark as it is, and where it can go

	waiting  int
	risky    int              // waiting attachments with less than a day left
	riskiest ledger.Clock     // of the first of them
	media    []ledger.Waiting // waiting ones that are to be announced, or noted, again
	lost     int              // attachments that WeCom no longer has, of the last day

	letters letters
}

func (f facts) aside() int {
	n := 0
	for _, g := range f.groups {
		n += g.Count
	}
	return n
}

// due says whether work that was announced n times, last at the given time, should be announced again.
func (f facts) due(last time.Time, n int) bool {
	return f.now.Sub(last) >= min(firstWait<<min(n, 16), longestWait)
}

// lookTwice looks until nothing doubtful is seen, or until that is believed. After a pause of the machine, or when the clock of a played day has
// just been moved, what is about to be done only looks old.
func (w *watcher) lookTwice(ctx context.Context, corp ledger.Corp) (facts, error) {
	believed := clock.Real().Add(w.second)
	for {
		f, err := w.look(ctx, corp)
		if err != nil || !w.judge(f).doubtful(f.alarms) || clock.Real().After(believed) {
			return f, err
		}
		t := time.NewTimer(max(w.second/20, time.Millisecond))
		select {
		case <-ctx.Done():
			t.Stop()
			return f, ctx.Err()
		case <-t.C:
		}
	}
}

// look reads all that is known of a corp, and changes nothing.
func (w *watcher) look(ctx context.Context, corp ledger.Corp) (facts, error) {
	f := facts{corp: corp, now: w.now()}
	var err error
	if f.cursor, err = w.ledger.Cursor(ctx, corp.ID); err != nil {
		return f, err
	}
	if f.keys, err = w.ledger.Keys(ctx, corp.ID); err != nil {
		return f, err
	}
	if err = w.lookAtBatches(ctx, &f); err != nil {
		return f, err
	}
	if f.groups, err = w.ledger.AsideGroups(ctx, corp.ID); err != nil {
		return f, err
	}
	if err = w.lookAtRecent(ctx, &f); err != nil {
		return f, err
	}
	if err = w.lookAtMedia(ctx, &f); err != nil {
		return f, err
	}
	if err = w.lookAtMails(ctx, &f); err != nil {
		return f, err
	}
	if f.clocks, err = w.ledger.Clocks(ctx, corp.ID, w.windows, f.now); err != nil {
		return f, err
	}
	if f.suppressed, err = w.suppressed(ctx, f); err != nil {
		return f, err
	}
	f.alarms, err = w.ledger.Alarms(ctx, corp.ID)
	return f, err
}

func (w *watcher) lookAtBatches(ctx context.Context, f *facts) error {
	var err error
	if f.from, err = w.ledger.Watermark(ctx, f.corp.ID); err != nil {
		return err
	}
	f.mark = f.from
	contiguous := true
	return w.ledger.Batches(ctx, f.corp.ID, f.from, func(b ledger.BatchRow) bool {
		f.recent.add(b, f.now)
		if b.State == ledger.Done {
			if contiguous = contiguous && f.now.Sub(b.Pulled) > settled; contiguous {
				f.mark = b.Key()
			}
			return true
		}
		contiguous = false
		f.pending++
		f.unopened += b.Items
		if cause, ok := failureOf(b); ok {
			if f.failing == nil {
				f.failing = map[report.Cause]int{}
			}
			f.failing[cause] += b.Items
		}
		if f.oldest.IsZero() || b.Pulled.Before(f.oldest) {
			f.oldest = b.Pulled
		}
		last := b.Pulled // when fetch announced it
		if b.Announced.After(last) {
			last = b.Announced
		}
		if f.due(last, b.Announcements) && len(f.batches) < mostBatches {
			f.batches = append(f.batches, b)
		}
		return true
	})
}

func (w *watcher) lookAtMedia(ctx context.Context, f *facts) error {
	err := w.ledger.AllWaiting(ctx, f.corp.ID, func(x ledger.Waiting) bool {
		f.waiting++
		if clock := x.MediaClock(w.windows); clock.Left(f.now, w.windows.Media) < lastDay {
			if f.risky++; f.risky == 1 {
				f.riskiest = clock
			}
		}
		if (x.Announced.IsZero() || f.due(x.Announced, x.Announcements)) && len(f.media) < mostMedia {
			f.media = append(f.media, x)
		}
		return true
	})
	if err != nil {
		return err
	}
	return w.ledger.LostMedia(ctx, f.corp.ID, func(m ledger.MediaRow) bool {
		if f.now.Sub(m.At) < lastDay {
			f.lost++
		}
		return true
	})
}

// announce enqueues again what has waited for too long, and moves the watermark. An attachment seen for the first time is only noted: its job
// was sent minutes ago at most, and if that is lost, the next run sends another.
func (w *watcher) announce(ctx context.Context, f facts) (sent int, err error) {
	for _, b := range f.batches {
		if err := w.batches.Send(ctx, f.corp.ID, queue.BatchJob{Corp: f.corp.ID, Batch: b.Key()}); err != nil {
			return sent, err
		}
		sent++
		if err := w.ledger.BatchAnnounced(ctx, b, f.now); err != nil {
			return sent, err
		}
	}
	for _, x := range f.media {
		n := 0
		if !x.Announced.IsZero() {
			if err := w.media.Send(ctx, f.corp.ID, queue.MediaJob{Corp: f.corp.ID, Waiting: x.Key()}); err != nil {
				return sent, err
			}
			sent++
			n = x.Announcements + 1
		}
		if err := w.ledger.WaitingAnnounced(ctx, x, f.now, n); err != nil {
			return sent, err
		}
	}
	if f.mark == f.from {
		return sent, nil
	}
	return sent, w.ledger.SetWatermark(ctx, f.corp.ID, f.mark)
}
