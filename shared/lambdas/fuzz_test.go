package lambdas_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/wecomvault/wecomvault/shared/lambdas"
)

// FuzzInvoke: whatever Lambda hands over, a function answers, and names only messages as failed that it was given.
func FuzzInvoke(f *testing.F) {
	samples, err := filepath.Glob("../../events/*.json")
	if err != nil || len(samples) < 5 {
		f.Fatalf("%d sample events: %v", len(samples), err)
	}
	for _, file := range samples {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"Records":[{"eventSource":"aws:sqs"},{"messageId":"m","body":"x","attributes":{"ApproximateReceiveCount":"999999999999999999999"}}]}`))
	f.Add([]byte(`{"Records":null}`))
	f.Add([]byte(`[`))
	function := lambdas.Function{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: io.Discard,
		Schedule: func(context.Context, []byte) error { return nil },
		Job:      func(context.Context, string) error { return errors.New("always") },
	}
	f.Fuzz(func(t *testing.T, event []byte) {
		answer, err := function.Invoke(t.Context(), event)
		if err != nil {
			t.Fatalf("%q: %v", event, err)
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatalf("the answer to %q can't be written: %v", event, err)
		}
		var told struct {
			Failures []struct{ ItemIdentifier string } `json:"batchItemFailures"`
		}
		if err := json.Unmarshal(text, &told); err != nil {
			t.Fatal(err)
		}
		var given struct {
			Records []struct{ MessageID string }
		}
		// What is no JSON has no messages.
		if json.Unmarshal(event, &given) == nil && len(told.Failures) > len(given.Records) {
			t.Errorf("%d of %d messages failed", len(told.Failures), len(given.Records))
		}
	})
}
