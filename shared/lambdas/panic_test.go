package lambdas_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/lambdas"
)

// TestAPanicIsToldWithoutItsValue: whatever a job, a run or a call panics with, the log and Lambda learn where, and not with what.
func TestAPanicIsToldWithoutItsValue(t *testing.T) {
	const canary = "kingfisher-text"
	type letter struct{ text string }
	queued := json.RawMessage(`{"Records":[{"messageId":"m","eventSource":"aws:sqs","body":"x"}]}`)
	for name, value := range map[string]any{"text": canary, "an error": errors.New(canary), "a struct": letter{canary}, "a pointer": &letter{canary}, "a map": map[string]string{canary: canary}} {
		blow := func() { panic(value) }
		for kind, f := range map[string]lambdas.Function{
			"job":  {Job: func(context.Context, string) error { blow(); return nil }},
			"run":  {Schedule: func(context.Context, []byte) error { blow(); return nil }},
			"call": {Call: func(context.Context, []byte) (any, error) { blow(); return canary, nil }},
		} {
			var log, metrics bytes.Buffer
			f.Log, f.Metrics = slog.New(slog.NewJSONHandler(&log, nil)), &metrics
			event := queued
			if kind != "job" {
				event = json.RawMessage(`{}`)
			}
			said := ""
			func() {
				defer func() {
					if r := recover(); r != nil {
						said = fmt.Sprintf("%v %+v %#v", r, r, r)
					}
				}()
				answer, err := f.Invoke(t.Context(), event)
				said = fmt.Sprint(answer, err)
			}()
			all := log.String() + metrics.String() + said
			if strings.Contains(all, "kingfisher") {
				t.Errorf("%s that panics with %s tells it:\n%s", kind, name, all)
			}
			if !strings.Contains(log.String(), "panic with a value of type") || !strings.Contains(log.String(), "panic_test.go:") {
				t.Errorf("%s that panics with %s does not say where:\n%s", kind, name, log.String())
			}
			if kind != "job" && !strings.Contains(said, "panic with a value of type") {
				t.Errorf("Lambda learns of %s: %s", kind, said)
			}
		}
	}
}

func TestThePanicsOfTheRuntimeSayWhatWasWrong(t *testing.T) {
	var log bytes.Buffer
	list, index := []int{1}, 3
	f := lambdas.Function{Log: slog.New(slog.NewJSONHandler(&log, nil)), Job: func(context.Context, string) error { list[index]++; return nil }}
	if _, err := f.Invoke(t.Context(), json.RawMessage(`{"Records":[{"messageId":"m","eventSource":"aws:sqs","body":"x"}]}`)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "index out of range [3] with length 1") {
		t.Errorf("%s", log.String())
	}
}
