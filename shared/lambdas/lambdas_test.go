package lambdas_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/queue"
)

func event(t *testing.T, name string) json.RawMessage {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "events", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	first  = "5b1f9d3e-2c64-4f0b-9a77-0e8d41c6b201"
	second = "c84a06b7-71de-4a9c-8f15-3b9270de5f12"
)

// answer runs the two jobs of events/process.json and returns which are to come back, and with which pauses.
func answer(ctx context.Context, t *testing.T, jobs func(ctx context.Context, job queue.BatchJob) error) (failed []string, pauses map[string]time.Duration) {
	t.Helper()
	pauses = map[string]time.Duration{}
	f := lambdas.Function{
		Log: slog.New(slog.DiscardHandler),
		Job: func(ctx context.Context, body string) error {
			job, err := queue.Decode[queue.BatchJob](body)
			if err != nil {
				return err
			}
			return jobs(ctx, job)
		},
		Pause: func(ctx context.Context, handle string, d time.Duration) error {
			pauses[handle] = d
			return ctx.Err()
		},
	}
	out, err := f.Invoke(ctx, event(t, "process.json"))
	if err != nil {
		t.Fatal(err)
	}
	response, ok := out.(events.SQSEventResponse)
	if !ok {
		t.Fatalf("the answer is a %T", out)
	}
	for _, x := range response.BatchItemFailures {
		failed = append(failed, x.ItemIdentifier)
	}
	return failed, pauses
}

func TestEachJobFailsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(queue.BatchJob) error
		failed []string
		pauses map[string]time.Duration
	}{
		"both done": {func(queue.BatchJob) error { return nil }, nil, nil},
		"the first may come right": {func(j queue.BatchJob) error {
			if j.Reason == "" {
				return errors.New("busy")
			}
			return nil
		}, []string{first}, map[string]time.Duration{"handle-of-the-first": time.Second}},
		"the second after its fourth receive": {func(j queue.BatchJob) error {
			if j.Reason == "no-key" && j.KeyVersion == 2 {
				return fault.Newf(fault.Poison, "bad", "bad")
			}
			return nil
		}, []string{second}, map[string]time.Duration{"handle-of-the-second": 8 * time.Second}},
		"the first ended for good": {func(j queue.BatchJob) error {
			if j.Reason == "" {
				return fault.Newf(fault.Permanent, "gone", "gone")
			}
			return nil
		}, nil, nil},
		"the first panics": {func(j queue.BatchJob) error {
			if j.Reason == "" {
				panic("as a bug would")
			}
			return nil
		}, []string{first}, map[string]time.Duration{"handle-of-the-first": time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			failed, pauses := answer(t.Context(), t, func(_ context.Context, j queue.BatchJob) error { return c.do(j) })
			if diff := cmp.Diff(c.failed, failed); diff != "" {
				t.Error(diff)
			}
			if len(c.pauses) != len(pauses) || len(pauses) > 0 && !cmp.Equal(c.pauses, pauses) {
				t.Errorf("the pauses are %v, not %v", pauses, c.pauses)
			}
		})
	}
}

// TestAJobThatTakesTooLongIsReported: an invocation that is ended at its time-out reports nothing.
func TestAJobThatTakesTooLongIsReported(t *testing.T) {
	end := clock.Real().Add(3 * time.Second) // a tenth of it is kept for the report, which a busy machine needs
	ctx, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	failed, pauses := answer(ctx, t, func(ctx context.Context, _ queue.BatchJob) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if len(failed) != 2 || len(pauses) != 2 || ctx.Err() != nil || !clock.Real().Before(end) {
		t.Errorf("failed are %v with %v; the invocation's end: %v", failed, pauses, ctx.Err())
	}
}

func TestAPauseThatFailsStillReportsTheJob(t *testing.T) {
	f := lambdas.Function{Log: slog.New(slog.DiscardHandler), Job: func(context.Context, string) error { return errors.New("busy") },
		Pause: func(context.Context, string, time.Duration) error { return errors.New("no queue") }}
	out, err := f.Invoke(t.Context(), event(t, "media.json"))
	if r, ok := out.(events.SQSEventResponse); err != nil || !ok || len(r.BatchItemFailures) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestEachTriggerFindsItsFlow(t *testing.T) {
	var log strings.Builder
	scheduled := lambdas.Function{Log: slog.New(slog.NewTextHandler(&log, nil)), Schedule: func(_ context.Context, input []byte) error {
		if !strings.Contains(string(input), "FetchFunctionSchedule") {
			return errors.New("which event is this?")
		}
		return nil
	}}
	if _, err := scheduled.Invoke(t.Context(), event(t, "fetch.json")); err != nil {
		t.Error(err)
	}
	if _, err := scheduled.Invoke(t.Context(), event(t, "process.json")); err == nil || err.Error() != "this function has no queue" {
		t.Errorf("a job for a function without a queue: %v", err)
	}
	worker := lambdas.Function{Log: slog.New(slog.DiscardHandler), Job: func(context.Context, string) error { return nil }}
	if _, err := worker.Invoke(t.Context(), event(t, "fetch.json")); err == nil || err.Error() != "this function is not run by a schedule" {
		t.Errorf("a schedule for a function without one: %v", err)
	}
	if _, err := scheduled.Invoke(t.Context(), json.RawMessage(`{}`)); err == nil || !strings.Contains(log.String(), "run failed") {
		t.Errorf("a run that failed: %v, and the log says %q", err, log.String())
	}
}

func TestPausesDoubleUpToTwoHours(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 300; n++ {
		d := lambdas.PauseAfter(n)
		if want := min(max(2*last, time.Second), 2*time.Hour); d != want {
			t.Fatalf("after failure %d it rests %v, not %v", n, d, want)
		}
		last = d
	}
	if d := lambdas.PauseAfter(0); d != time.Second {
		t.Errorf("without a count it rests %v", d)
	}
}
