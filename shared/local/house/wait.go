package house

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
)

// glance is how often a state that is waited for is looked at.
const glance = 100 * time.Millisecond

// Until looks at a state again and again until it holds, an error comes, or the time is up.
func Until(ctx context.Context, limit time.Duration, holds func() (bool, error)) (bool, error) {
	end := clock.Real().Add(limit)
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		ok, err := holds()
		if ok || err != nil {
			return ok, err
		}
		if clock.Real().After(end) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-tick.C:
		}
	}
}

// Queued counts the jobs in the queues, dead letters apart.
func (h *House) Queued() (jobs, dead int) {
	for name, d := range h.Queues.Depths() {
		if n := d.Visible + d.InFlight + d.Delayed; strings.HasSuffix(name, "DeadLetters") || strings.Contains(name, "dead-letters") {
			dead += n
		} else {
			jobs += n
		}
	}
	return jobs, dead
}

// Drain waits until no job is left.
func (h *House) Drain(ctx context.Context, limit time.Duration) error {
	empty, err := Until(ctx, limit, func() (bool, error) {
		jobs, _ := h.Queued()
		return jobs == 0, nil
	})
	if err != nil {
		return err
	}
	if !empty {
		jobs, _ := h.Queued()
		return fmt.Errorf("%d jobs are still in the queues after %v: they go on with the next make run", jobs, limit)
	}
	return nil
}
