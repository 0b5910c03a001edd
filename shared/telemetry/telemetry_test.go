package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/telemetry"
)

func TestFiguresAreOneLineInTheEmbeddedFormat(t *testing.T) {
	var out bytes.Buffer
	m := telemetry.NewMetrics(&out, "vault", "process")
	m.Add("Items", 3)
	m.Add("Items", 4)
	m.Add("Bytes", 0.5)
	now := time.UnixMilli(1936000000123)
	if err := m.Flush(now); err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(now); err != nil { // nothing more to say
		t.Fatal(err)
	}
	if bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("it wrote %q", out.String())
	}
	var got any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"_aws": map[string]any{"Timestamp": 1936000000123.0, "CloudWatchMetrics": []any{map[string]any{
			"Namespace": "WecomVault", "Dimensions": []any{[]any{"Stack", "Function"}}, "Metrics": []any{map[string]any{"Name": "Bytes"}, map[string]any{"Name": "Items"}},
		}}},
		"Stack": "vault", "Function": "process", "Items": 7.0, "Bytes": 0.5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAWSDeniesIsToldOfTheFunctionAndOfTheWholeStack(t *testing.T) {
	var out bytes.Buffer
	m := telemetry.NewMetrics(&out, "vault", "process")
	m.Add("Items", 3)
	m.Add(telemetry.Denied, 2)
	if err := m.Flush(time.UnixMilli(1936000000123)); err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	denied := map[string]any{"Name": "Denied"}
	want := map[string]any{
		"_aws": map[string]any{"Timestamp": 1936000000123.0, "CloudWatchMetrics": []any{
			map[string]any{"Namespace": "WecomVault", "Dimensions": []any{[]any{"Stack", "Function"}}, "Metrics": []any{denied, map[string]any{"Name": "Items"}}},
			map[string]any{"Namespace": "WecomVault", "Dimensions": []any{[]any{"Stack"}}, "Metrics": []any{denied}},
		}},
		"Function": "process", "Stack": "vault", "Items": 3.0, "Denied": 2.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestFiguresThatCantBeWrittenAreAnError(t *testing.T) {
	m := telemetry.NewMetrics(full{}, "vault", "process")
	m.Add("Items", 1)
	if err := m.Flush(time.UnixMilli(0)); err == nil {
		t.Error("nobody noticed")
	}
}

func TestALogLineHasLambdasNames(t *testing.T) {
	var out bytes.Buffer
	telemetry.NewLogger(&out, "fetch").With("requestId", "r").Warn("careful", "corp", "wwtide")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if _, ok := line["timestamp"].(string); !ok {
		t.Errorf("there is no timestamp in %s", out.String())
	}
	delete(line, "timestamp")
	if diff := cmp.Diff(map[string]any{"level": "WARN", "message": "careful", "function": "fetch", "requestId": "r", "corp": "wwtide"}, line); diff != "" {
		t.Error(diff)
	}
}
