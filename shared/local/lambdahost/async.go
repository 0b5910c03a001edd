package lambdahost

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// InvokeAsync accepts an event, as Lambda does with InvocationType Event, and returns; the function runs later, with the retries and
// the maximum age of the template (by default two retries and six hours). Whatever then becomes of the event is in the log only.
func (h *Host) InvokeAsync(logicalID string, payload []byte) error {
	f, err := h.find(logicalID)
	if err != nil {
		return err
	}
	if len(payload) > asyncLimit {
		return fmt.Errorf("invoke %s asynchronously: the event has %d bytes, Lambda takes %d", logicalID, len(payload), asyncLimit)
	}
	copies := 1
	if h.opts.Duplicate != nil && h.opts.Duplicate(logicalID) {
		copies = 2
	}
	for range copies {
		if !h.begin() {
			return errClosed
		}
		go func() {
			defer h.end()
			h.deliver(f, payload)
		}()
	}
	return nil
}

// deliver runs an asynchronous event until it succeeds or is given up.
func (h *Host) deliver(f *function, payload []byte) {
	settings := template.Async{MaximumRetries: 2, MaximumEventAge: 6 * time.Hour}
	if f.Async != nil {
		settings = *f.Async
	}
	accepted := h.opts.Real()
	for attempt := 0; ; attempt++ {
		taken, err := h.slotWithin(f, settings.MaximumEventAge-h.opts.Real().Sub(accepted))
		if err != nil {
			return // the host is ending
		}
		if !taken {
			h.opts.Log.Warn("asynchronous event dropped: too old", slog.String("function", f.LogicalID))
			return
		}
		res, err := h.invokeInSlot(f, newInvocation(payload))
		if err == nil && res.FunctionError == "" {
			return
		}
		if h.ctx.Err() != nil {
			return
		}
		if err != nil {
			h.opts.Log.Error("asynchronous event can't be delivered", slog.String("function", f.LogicalID), slog.Any("error", err))
		}
		if attempt >= settings.MaximumRetries {
			h.opts.Log.Warn("asynchronous event dropped: no retries left", slog.String("function", f.LogicalID), slog.Int("attempts", attempt+1))
			return
		}
		pause := h.opts.AsyncPauses[min(attempt, len(h.opts.AsyncPauses)-1)]
		if h.opts.Real().Sub(accepted)+pause > settings.MaximumEventAge {
			h.opts.Log.Warn("asynchronous event dropped: too old for a retry", slog.String("function", f.LogicalID), slog.Int("attempts", attempt+1))
			return
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-h.ctx.Done():
			wait.Stop()
			return
		}
	}
}

// slotWithin waits for a free environment of the function, but no longer than the event may grow old.
func (h *Host) slotWithin(f *function, limit time.Duration) (taken bool, err error) {
	if limit <= 0 {
		return false, nil
	}
	select {
	case f.slots <- struct{}{}:
		return true, nil
	default:
		// Lambda counts this as a throttle, and tries again by itself.
		h.opts.Log.Warn("invocation throttled", slog.String("function", f.LogicalID))
	}
	old := time.NewTimer(limit)
	defer old.Stop()
	select {
	case f.slots <- struct{}{}:
		return true, nil
	case <-old.C:
		return false, nil
	case <-h.ctx.Done():
		return false, errClosed
	}
}

// invokeInSlot runs an invocation whose slot is taken, and gives the slot back.
func (h *Host) invokeInSlot(f *function, inv *invocation) (Result, error) {
	defer func() { <-f.slots }()
	env, err := h.environment(f)
	if err != nil {
		return Result{}, err
	}
	return h.serve(f, env, inv)
}
