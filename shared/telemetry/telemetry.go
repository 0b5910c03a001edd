// Package telemetry writes what operators read: log lines, metrics lines in CloudWatch's embedded format, and nothing of a message's
// content. It owns the form of these lines; the audit stream is the ledger's, because an audit entry must be durable before content is shown.
package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Namespace is the CloudWatch namespace of every metric.
const Namespace = "WecomVault"

// Denied counts what AWS denied a function. It alone is told a second time of the whole stack (without the dimension Function): CloudWatch
// joins ten metrics in an alarm at most, and the alarm over this one has no need to join the functions'.
const Denied = "Denied"

// NewLogger returns the logger of a function: one JSON object a line, with the attribute names that Lambda's log format uses.
func NewLogger(w io.Writer, function string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 {
				switch a.Key {
				case slog.TimeKey:
					a.Key = "timestamp"
				case slog.MessageKey:
					a.Key = "message"
				}
			}
			return a
		},
	})).With(slog.String("function", function))
}

// Metrics gathers an invocation's figures and writes them as one line. It is for one goroutine.
type Metrics struct {
	w               io.Writer
	stack, function string
	values          map[string]float64
}

// NewMetrics begins an invocation's figures. Every one is of this function of this stack, so that two stacks in an account and region never
// look at each other's.
func NewMetrics(w io.Writer, stack, function string) *Metrics {
	return &Metrics{w: w, stack: stack, function: function, values: map[string]float64{}}
}

// Add adds to a figure. Names end in their unit or are counts.
func (m *Metrics) Add(name string, v float64) { m.values[name] += v }

// Flush writes the line, if there is anything to say. Dimensions stay few: never a user, a corp or a seq.
func (m *Metrics) Flush(now time.Time) error {
	if len(m.values) == 0 {
		return nil
	}
	type definition struct {
		Name string `json:"Name"`
	}
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	var names []definition
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		names = append(names, definition{name})
	}
	directives := []directive{{Namespace, [][]string{{"Stack", "Function"}}, names}}
	if _, told := m.values[Denied]; told {
		directives = append(directives, directive{Namespace, [][]string{{"Stack"}}, []definition{{Denied}}})
	}
	line := map[string]any{
		"_aws": map[string]any{
			"Timestamp": now.UnixMilli(), "CloudWatchMetrics": directives,
		},
		"Stack": m.stack, "Function": m.function,
	}
	for name, v := range m.values {
		line[name] = v
	}
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encode the metrics of %s: %w", m.function, err)
	}
	m.values = map[string]float64{}
	if _, err := m.w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write the metrics of %s: %w", m.function, err)
	}
	return nil
}
