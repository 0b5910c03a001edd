package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

const (
	hurry      = 1200 * time.Millisecond // how long a hidden job rests: in an account its pauses grow to hours
	quiet      = 2 * time.Second         // without progress and with nobody at work, after which work counts as lost on its way
	nudge      = 5 * time.Minute         // how far the clock is then moved, so that watch sees it too
	glance     = 150 * time.Millisecond
	schedulers = 2 // fetch is fired twice at a time in a storm
)

// settle waits until goal names nothing that is missing, no batch is pending, no attachment and no job waits.
func (p *player) settle(ctx context.Context, goal func() (string, error)) error {
	last, moved, released := "", clock.Real(), clock.Real()
	for {
		missing, err := p.missing(ctx, goal)
		if err != nil {
			return fmt.Errorf("%w (last: %s)", err, last)
		}
		if missing == "" {
			return nil
		}
		now := clock.Real()
		if missing != last {
			last, moved = missing, now
		}
		// Jobs rest after a failure for longer and longer, and those of a killed function for hours; here they come back at once.
		if now.Sub(released) > hurry && p.workersIdle() {
			released = now
			p.notes.Released++
			if err := errors.Join(p.Queues.ReleaseInFlight(), p.EndClaims(ctx)); err != nil {
				return err
			}
		}
		if now.Sub(moved) > quiet && p.workersIdle() {
			moved = now
			p.notes.Nudges++
			if err := p.setClock(ctx, p.Now().Add(nudge)); err != nil {
				return err
			}
			for _, f := range []string{"WatchFunction", "ReportFunction"} {
				if _, _, err := p.invoke(ctx, f, `{}`); err != nil {
					return err
				}
			}
		}
		rest(ctx, glance)
		if ctx.Err() != nil {
			return fmt.Errorf("stuck: %s", missing)
		}
	}
}

// everyCorp is how often fetch is fired for all corps: more seldom than it takes to find a dead holder of a lease, as in an account.
const everyCorp = 25 * time.Second

// keepFetching fires fetch as its schedule does, and for each corp alone whenever that has ended, so that no corp waits for the others'
// invocation to be over. In a storm it is fired twice.
func (p *player) keepFetching(ctx context.Context) {
	var all sync.WaitGroup
	fire := func(event string, pause time.Duration) {
		all.Go(func() {
			for ctx.Err() == nil {
				began := clock.Real()
				if _, _, err := p.invoke(ctx, "FetchFunction", event); err != nil && ctx.Err() != nil {
					return
				}
				rest(ctx, max(pause-clock.Real().Sub(began), time.Second))
			}
		})
	}
	n := 1
	if p.Storm != nil {
		n = schedulers
	}
	for range n {
		fire(`{}`, everyCorp)
	}
	for _, c := range p.corpus.Corps {
		fire(fmt.Sprintf(`{"corps":[%q]}`, c.ID), time.Second)
	}
	all.Wait()
}

// workersIdle says that nobody is at work who holds a job for long or a claim: fetch has neither, and feedback repeats whatever it does.
func (p *player) workersIdle() bool {
	for _, f := range p.House.Template.Functions {
		if f.LogicalID != "FetchFunction" && f.LogicalID != "FeedbackFunction" && p.Host.Busy(f.LogicalID) > 0 {
			return false
		}
	}
	return true
}

// missing says what is not done yet, "" if nothing.
func (p *player) missing(ctx context.Context, goal func() (string, error)) (string, error) {
	pending, waiting, done := 0, 0, 0
	for _, c := range p.corpus.Corps {
		id := archive.CorpID(c.ID)
		err := p.ledger.Batches(ctx, id, "", func(b ledger.BatchRow) bool {
			if b.State == ledger.Pending {
				pending++
			} else {
				done++
			}
			return true
		})
		if err != nil {
			return "", err
		}
		if err := p.ledger.AllWaiting(ctx, id, func(ledger.Waiting) bool { waiting++; return true }); err != nil {
			return "", err
		}
	}
	if goal != nil {
		missing, err := goal()
		if err != nil || missing != "" {
			return fmt.Sprintf("%s; %d batches done, %d pending, %d attachments wait", missing, done, pending, waiting), err
		}
	}
	if pending > 0 || waiting > 0 {
		return fmt.Sprintf("%d batches are pending (%d done), %d attachments wait", pending, done, waiting), nil
	}
	if missing, err := p.unsent(ctx); err != nil || missing != "" {
		return missing, err
	}
	if jobs, _ := p.Queued(); jobs > 0 {
		return fmt.Sprintf("%d jobs are in the queues", jobs), nil
	}
	return "", nil
}
