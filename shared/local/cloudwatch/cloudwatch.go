// Package cloudwatch says what CloudWatch would make of the metrics that the product writes: it reads the alarms and dashboards of
// template.yaml, takes the embedded-format lines of the real functions, and evaluates the alarms in played time. It owns that reckoning and
// nothing else: it creates no metric, and what AWS itself measures (queues, functions) is put into it by whoever plays AWS.
//
// Simpler than the real one: periods end at the moment that is looked at, not at its own marks, and there is no state INSUFFICIENT_DATA, since
// every alarm of ours has to say what silence means.
package cloudwatch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"
)

// What TreatMissingData may say here.
const (
	missingBreaching    = "breaching"
	missingNotBreaching = "notBreaching"
)

var comparisons = map[string]func(value, threshold float64) bool{
	"GreaterThanThreshold":          func(v, t float64) bool { return v > t },
	"GreaterThanOrEqualToThreshold": func(v, t float64) bool { return v >= t },
	"LessThanThreshold":             func(v, t float64) bool { return v < t },
	"LessThanOrEqualToThreshold":    func(v, t float64) bool { return v <= t },
}

var statistics = map[string]func([]float64) float64{
	"Sum": func(v []float64) float64 {
		total := 0.0
		for _, x := range v {
			total += x
		}
		return total
	},
	"Maximum":     slices.Max[[]float64],
	"Minimum":     slices.Min[[]float64],
	"SampleCount": func(v []float64) float64 { return float64(len(v)) },
	"Average": func(v []float64) float64 {
		total := 0.0
		for _, x := range v {
			total += x
		}
		return total / float64(len(v))
	},
}

// point is one value at one time.
type point struct {
	at    time.Time
	value float64
}

// Store keeps what was measured. It is safe for concurrent use.
type Store struct {
	mu     sync.Mutex
	series map[string][]point
}

// NewStore returns an empty one.
func NewStore() *Store { return &Store{series: map[string][]point{}} }

// Put adds a value.
func (s *Store) Put(namespace, name string, dimensions map[string]string, at time.Time, value float64) {
	key := seriesOf(namespace, name, dimensions)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.series[key] = append(s.series[key], point{at, value})
}

// Has says whether a metric was ever measured.
func (s *Store) Has(m Metric) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.series[m.series()]) > 0
}

// Last is the newest value of a metric; ok is false if there is none.
func (s *Store) Last(m Metric) (value float64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.series[m.series()]
	if len(all) == 0 {
		return 0, false
	}
	newest := slices.MaxFunc(all, func(a, b point) int { return a.at.Compare(b.at) })
	return newest.value, true
}

// errNotEMF says that a line is an ordinary line of a log.
var errNotEMF = errors.New("no metrics")

// Log takes the metrics of a function's log and passes over its other lines. A line that means to hold metrics and does not is an error:
// CloudWatch drops such a line without a word.
func (s *Store) Log(log io.Reader) error {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := s.line(lines.Bytes()); err != nil && !errors.Is(err, errNotEMF) {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read a function's log: %w", err)
	}
	return nil
}

func (s *Store) line(text []byte) error {
	if !bytes.Contains(text, []byte(`"_aws"`)) {
		return errNotEMF
	}
	var values map[string]any
	var head struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if err := errors.Join(json.Unmarshal(text, &values), json.Unmarshal(text, &head)); err != nil {
		return fmt.Errorf("a line of metrics is no JSON: %w", err)
	}
	if len(head.AWS.CloudWatchMetrics) == 0 {
		return errors.New("a line of metrics names none")
	}
	for _, directive := range head.AWS.CloudWatchMetrics {
		for _, set := range directive.Dimensions {
			dimensions := map[string]string{}
			for _, name := range set {
				value, ok := values[name].(string)
				if !ok || value == "" {
					return fmt.Errorf("a line of metrics has no value for its dimension %s", name)
				}
				dimensions[name] = value
			}
			for _, m := range directive.Metrics {
				value, ok := values[m.Name].(float64)
				if !ok || math.IsNaN(value) {
					return fmt.Errorf("a line of metrics has no value for %s", m.Name)
				}
				s.Put(directive.Namespace, m.Name, dimensions, time.UnixMilli(head.AWS.Timestamp), value)
			}
		}
	}
	return nil
}

// at is what a metric shows for the period that ends at end.
func (s *Store) at(m Metric, end time.Time) (float64, bool) {
	var values []float64
	for _, p := range s.series[m.series()] {
		if p.at.After(end.Add(-m.Period)) && !p.at.After(end) {
			values = append(values, p.value)
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	return statistics[m.Stat](values), true
}

// joined is what an alarm looks at for the period that ends at end. A metric without a value has no part in it.
func (s *Store) joined(a Alarm, end time.Time) (float64, bool) {
	var values []float64
	for _, m := range a.Metrics {
		if v, ok := s.at(m, end); ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	switch a.Joined {
	case "MAX":
		return slices.Max(values), true
	case "MIN":
		return slices.Min(values), true
	default:
		return statistics["Sum"](values), true
	}
}

// Firing says whether an alarm is in ALARM at a moment.
func (s *Store) Firing(a Alarm, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	breaching := 0
	for k := range a.Periods {
		v, ok := s.joined(a, now.Add(-time.Duration(k)*a.Metrics[0].Period))
		if ok && comparisons[a.Comparison](v, a.Threshold) || !ok && a.Missing == missingBreaching {
			breaching++
		}
	}
	return breaching >= a.Datapoints
}

// AllFiring lists the alarms that are in ALARM at a moment, by logical id and sorted.
func (s *Store) AllFiring(alarms []Alarm, now time.Time) []string {
	var ids []string
	for _, a := range alarms {
		if s.Firing(a, now) {
			ids = append(ids, a.LogicalID)
		}
	}
	slices.Sort(ids)
	return ids
}

// Len is how often a metric was measured.
func (s *Store) Len(m Metric) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.series[m.series()])
}
