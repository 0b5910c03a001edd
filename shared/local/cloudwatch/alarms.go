package cloudwatch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// Metric is one series: what CloudWatch calls a metric, with the statistic and the period by which it is looked at.
type Metric struct {
	Namespace, Name string
	Dimensions      map[string]string
	Stat            string
	Period          time.Duration
}

// series names what a metric is a view of.
func (m Metric) series() string { return seriesOf(m.Namespace, m.Name, m.Dimensions) }

func seriesOf(namespace, name string, dimensions map[string]string) string {
	parts := []string{namespace, name}
	for _, k := range slices.Sorted(maps.Keys(dimensions)) {
		parts = append(parts, k+"="+dimensions[k])
	}
	return strings.Join(parts, "|")
}

// String names the metric as a reader of the template knows it.
func (m Metric) String() string {
	text := m.Namespace + "/" + m.Name
	for _, k := range slices.Sorted(maps.Keys(m.Dimensions)) {
		text += " " + k + "=" + m.Dimensions[k]
	}
	return text
}

// Alarm is an AWS::CloudWatch::Alarm.
type Alarm struct {
	LogicalID   string
	Description string
	Metrics     []Metric
	Joined      string // how several metrics become one: "SUM", "MAX" or "MIN"; "" for a single one
	Comparison  string // in CloudFormation's words
	Threshold   float64
	Periods     int // looked at
	Datapoints  int // of them that must breach
	Missing     string
}

// Alarms reads the alarms of a template, in the file's order. What CloudWatch would refuse, or this package does not know, is an error.
func Alarms(t *template.Template) ([]Alarm, error) {
	var all []Alarm
	for _, r := range t.Resources {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		a, err := alarmOf(r)
		if err != nil {
			return nil, fmt.Errorf("%s line %d: alarm %s: %w", t.Path, r.Line, r.LogicalID, err)
		}
		all = append(all, a)
	}
	return all, nil
}

func alarmOf(r template.Resource) (Alarm, error) {
	p := props(r.Properties)
	a := Alarm{LogicalID: r.LogicalID, Description: p.text("AlarmDescription"), Comparison: p.text("ComparisonOperator"), Missing: p.text("TreatMissingData")}
	var err error
	if a.Threshold, err = p.number("Threshold"); err != nil {
		return a, err
	}
	periods, err := p.number("EvaluationPeriods")
	if err != nil {
		return a, err
	}
	a.Periods, a.Datapoints = int(periods), int(periods)
	if _, given := r.Properties["DatapointsToAlarm"]; given {
		n, err := p.number("DatapointsToAlarm")
		if err != nil {
			return a, err
		}
		a.Datapoints = int(n)
	}
	if a.Datapoints < 1 || a.Datapoints > a.Periods {
		return a, fmt.Errorf("%d of %d periods can't be asked for", a.Datapoints, a.Periods)
	}
	if _, known := comparisons[a.Comparison]; !known {
		return a, fmt.Errorf("the comparison %q is not known here", a.Comparison)
	}
	if !slices.Contains([]string{missingBreaching, missingNotBreaching}, a.Missing) {
		return a, fmt.Errorf("TreatMissingData is %q: say what silence means", a.Missing)
	}
	if len(p.list("AlarmActions")) == 0 {
		return a, fmt.Errorf("nobody hears of it")
	}
	if p.text("MetricName") != "" {
		m, err := metricOf(p, p.text("Statistic"), p)
		a.Metrics = []Metric{m}
		return a, err
	}
	return a.math(p.list("Metrics"))
}

// math reads an alarm over an expression of several metrics.
func (a Alarm) math(entries []any) (Alarm, error) {
	for _, e := range entries {
		entry := props(asMap(e))
		if expression := entry.text("Expression"); expression != "" {
			joined, ok := strings.CutSuffix(expression, "(METRICS())")
			if !ok || !slices.Contains([]string{"SUM", "MAX", "MIN"}, joined) || a.Joined != "" {
				return a, fmt.Errorf("the expression %q is not known here", expression)
			}
			a.Joined = joined
			continue
		}
		stat := props(asMap(entry["MetricStat"]))
		m, err := metricOf(stat, stat.text("Stat"), props(asMap(stat["Metric"])))
		if err != nil {
			return a, err
		}
		a.Metrics = append(a.Metrics, m)
	}
	// CloudWatch takes ten metrics in an alarm's expression.
	if a.Joined == "" || len(a.Metrics) == 0 || len(a.Metrics) > 10 {
		return a, fmt.Errorf("%d metrics joined by %q", len(a.Metrics), a.Joined)
	}
	for _, m := range a.Metrics {
		if m.Period != a.Metrics[0].Period {
			return a, fmt.Errorf("its metrics have different periods")
		}
	}
	return a, nil
}

// metricOf reads a metric: view has the period, named the namespace, name and dimensions.
func metricOf(view props, stat string, named props) (Metric, error) {
	m := Metric{Namespace: named.text("Namespace"), Name: named.text("MetricName"), Stat: stat, Dimensions: map[string]string{}}
	seconds, err := view.number("Period")
	if err != nil {
		return m, err
	}
	m.Period = time.Duration(seconds) * time.Second
	for _, d := range named.list("Dimensions") {
		dimension := props(asMap(d))
		m.Dimensions[dimension.text("Name")] = dimension.text("Value")
	}
	return m, m.check()
}

func (m Metric) check() error {
	if _, known := statistics[m.Stat]; !known {
		return fmt.Errorf("%s: the statistic %q is not known here", m, m.Stat)
	}
	if m.Namespace == "" || m.Name == "" || len(m.Dimensions) == 0 {
		return fmt.Errorf("%s is not named in full", m)
	}
	if m.Period < time.Minute || m.Period%time.Minute != 0 {
		return fmt.Errorf("%s: a period of %v", m, m.Period)
	}
	return nil
}

// Widget is one part of a dashboard.
type Widget struct {
	Title   string
	Metrics []Metric
}

// Dashboards reads the dashboards of a template by logical id. Each body must be JSON in the form that PutDashboard takes.
func Dashboards(t *template.Template) (map[string][]Widget, error) {
	all := map[string][]Widget{}
	for _, r := range t.Resources {
		if r.Type != "AWS::CloudWatch::Dashboard" {
			continue
		}
		widgets, err := widgetsOf(props(r.Properties).text("DashboardBody"))
		if err != nil {
			return nil, fmt.Errorf("%s line %d: dashboard %s: %w", t.Path, r.Line, r.LogicalID, err)
		}
		all[r.LogicalID] = widgets
	}
	return all, nil
}

// columns is the width of a dashboard.
const columns = 24

func widgetsOf(body string) ([]Widget, error) {
	var dashboard struct {
		Widgets []struct {
			Type                string
			X, Y, Width, Height int
			Properties          struct {
				Title, Region, Stat, View string
				Markdown                  string
				Period                    int
				Metrics                   [][]any
				Alarms                    []string
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &dashboard); err != nil {
		return nil, fmt.Errorf("its body is no JSON of a dashboard: %w", err)
	}
	var all []Widget
	for i, w := range dashboard.Widgets {
		if w.Width < 1 || w.Height < 1 || w.X < 0 || w.X+w.Width > columns {
			return nil, fmt.Errorf("widget %d, %q, does not fit into %d columns", i, w.Properties.Title, columns)
		}
		widget := Widget{Title: w.Properties.Title}
		switch w.Type {
		case "text":
			if w.Properties.Markdown == "" {
				return nil, fmt.Errorf("widget %d says nothing", i)
			}
		case "alarm":
			if len(w.Properties.Alarms) == 0 {
				return nil, fmt.Errorf("widget %d shows no alarm", i)
			}
		case "metric":
			if w.Properties.Region == "" || len(w.Properties.Metrics) == 0 {
				return nil, fmt.Errorf("widget %d, %q, has no region or no metric", i, w.Properties.Title)
			}
			var before []string
			for _, row := range w.Properties.Metrics {
				m, words, err := metricRow(row, before, w.Properties.Stat, w.Properties.Period)
				if err != nil {
					return nil, fmt.Errorf("widget %d, %q: %w", i, w.Properties.Title, err)
				}
				before = words
				widget.Metrics = append(widget.Metrics, m)
			}
		default:
			return nil, fmt.Errorf("widget %d has the type %q", i, w.Type)
		}
		all = append(all, widget)
	}
	return all, nil
}

// metricRow reads a metric of a widget: namespace, name, dimension names and values in turn, and perhaps options. A dot stands for the word
// in that place of the row before.
func metricRow(row []any, before []string, stat string, period int) (Metric, []string, error) {
	var words []string
	for i, cell := range row {
		if options, ok := cell.(map[string]any); ok && i == len(row)-1 {
			if s, ok := options["stat"].(string); ok {
				stat = s
			}
			continue
		}
		word, ok := cell.(string)
		if !ok {
			return Metric{}, nil, fmt.Errorf("cell %d of a metric is no word", i)
		}
		if word == "." {
			if i >= len(before) {
				return Metric{}, nil, fmt.Errorf("a dot stands for nothing")
			}
			word = before[i]
		}
		words = append(words, word)
	}
	if len(words) < 4 || len(words)%2 != 0 {
		return Metric{}, nil, fmt.Errorf("the metric %q is not named in full", words)
	}
	m := Metric{Namespace: words[0], Name: words[1], Dimensions: map[string]string{}, Stat: stat, Period: time.Duration(period) * time.Second}
	for i := 2; i < len(words); i += 2 {
		m.Dimensions[words[i]] = words[i+1]
	}
	return m, words, m.check()
}

// props is a resolved mapping.
type props map[string]any

func (p props) text(name string) string {
	s, _ := p[name].(string)
	return s
}

func (p props) list(name string) []any {
	l, _ := p[name].([]any)
	return l
}

func (p props) number(name string) (float64, error) {
	switch v := p[name].(type) {
	case int64:
		return float64(v), nil
	case float64:
		return v, nil
	case string:
		f, err := strconv.ParseFloat(v, 64)
		if err == nil {
			return f, nil
		}
	}
	return 0, fmt.Errorf("%s is %v, no number", name, p[name])
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// Own is the metrics' namespace of the product; the rest are AWS's.
const Own = "WecomVault"

// everyones are metrics of our own that every function writes.
var everyones = []string{"Denied", "JobsRetried"}

// Of are the alarms over what one function alone writes: the tests of that function play a fault for each.
func Of(alarms []Alarm, function string) []Alarm {
	return slices.DeleteFunc(slices.Clone(alarms), func(a Alarm) bool {
		m := a.Metrics[0]
		return m.Namespace != Own || slices.Contains(everyones, m.Name) || m.Dimensions["Function"] != function
	})
}
