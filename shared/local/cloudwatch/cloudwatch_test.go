package cloudwatch

import (
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

const head = "Transform: AWS::Serverless-2016-10-31\nResources:\n  Bell:\n    Type: AWS::CloudWatch::Alarm\n    Properties:\n"

const heartbeat = `      AlarmActions: [someone]
      Namespace: WecomVault
      MetricName: FetchOK
      Dimensions: [{Name: Function, Value: fetch}]
      Statistic: Sum
      Period: 300
      EvaluationPeriods: 3
      ComparisonOperator: LessThanThreshold
      Threshold: 1
      TreatMissingData: breaching
`

func read(t *testing.T, properties string) ([]Alarm, error) {
	t.Helper()
	tmpl, err := template.Parse("t.yaml", []byte(head+properties), nil)
	if err != nil {
		t.Fatal(err)
	}
	return Alarms(tmpl)
}

func TestAnAlarmWithoutItsPartsIsRefused(t *testing.T) {
	if all, err := read(t, heartbeat); err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, c := range []struct{ from, to, why string }{
		{"      AlarmActions: [someone]\n", "", "nobody hears"},
		{"TreatMissingData: breaching", "TreatMissingData: missing", "silence"},
		{"Statistic: Sum", "Statistic: p99", "statistic"},
		{"Period: 300", "Period: 90", "period"},
		{"LessThanThreshold", "LessThan", "comparison"},
		{"Threshold: 1", "Threshold: one", "no number"},
		{"      Dimensions: [{Name: Function, Value: fetch}]\n", "", "not named in full"},
		{"EvaluationPeriods: 3", "EvaluationPeriods: 3\n      DatapointsToAlarm: 4", "can't be asked for"},
	} {
		if _, err := read(t, strings.Replace(heartbeat, c.from, c.to, 1)); err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "Bell") {
			t.Errorf("with %q: %v", c.to, err)
		}
	}
}

func TestPeriodsSilenceAndThresholds(t *testing.T) {
	all, err := read(t, heartbeat)
	if err != nil {
		t.Fatal(err)
	}
	bell := all[0]
	now := time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC)
	ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
	fetch := map[string]string{"Function": "fetch"}
	for name, c := range map[string]struct {
		values  map[int]float64 // by minutes ago
		missing string
		points  int
		fires   bool
	}{
		"nothing for ever":               {nil, missingBreaching, 3, true},
		"nothing, and silence is good":   {nil, missingNotBreaching, 3, false},
		"zeros":                          {map[int]float64{1: 0, 6: 0, 11: 0}, missingNotBreaching, 3, true},
		"one of three is good":           {map[int]float64{1: 0, 6: 1, 11: 0}, missingBreaching, 3, false},
		"one of three, two are enough":   {map[int]float64{1: 0, 6: 1, 11: 0}, missingBreaching, 2, true},
		"a sum of halves":                {map[int]float64{1: 0.5, 2: 0.5}, missingBreaching, 3, false},
		"good, but a quarter of an hour": {map[int]float64{15: 1}, missingBreaching, 3, true},
		"good, a little later":           {map[int]float64{14: 1}, missingBreaching, 3, false},
	} {
		s := NewStore()
		for minutes, v := range c.values {
			s.Put(Own, "FetchOK", fetch, ago(minutes), v)
		}
		s.Put(Own, "FetchOK", map[string]string{"Function": "watch"}, ago(1), 99) // another series
		a := bell
		a.Missing, a.Datapoints = c.missing, c.points
		if got := s.Firing(a, now); got != c.fires {
			t.Errorf("%s: firing is %v", name, got)
		}
	}
}

func TestSeveralMetricsBecomeOne(t *testing.T) {
	now := time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC)
	metric := func(q string) Metric {
		return Metric{Namespace: "AWS/SQS", Name: "Age", Dimensions: map[string]string{"QueueName": q}, Stat: "Maximum", Period: 5 * time.Minute}
	}
	a := Alarm{LogicalID: "Old", Metrics: []Metric{metric("a"), metric("b")}, Comparison: "GreaterThanThreshold", Threshold: 10, Periods: 1, Datapoints: 1, Missing: missingNotBreaching}
	s := NewStore()
	s.Put("AWS/SQS", "Age", map[string]string{"QueueName": "a"}, now, 6)
	s.Put("AWS/SQS", "Age", map[string]string{"QueueName": "b"}, now, 7)
	for joined, want := range map[string]bool{"SUM": true, "MAX": false, "MIN": false} {
		a.Joined = joined
		if got := s.Firing(a, now); got != want {
			t.Errorf("%s: firing is %v", joined, got)
		}
	}
	a.Joined = "MAX"
	if ids := s.AllFiring([]Alarm{a, {LogicalID: "x", Metrics: a.Metrics, Joined: "SUM", Comparison: a.Comparison, Threshold: 12, Periods: 1, Datapoints: 1, Missing: a.Missing}}, now); len(ids) != 1 || ids[0] != "x" {
		t.Errorf("firing are %q", ids)
	}
}

func TestALineOfMetricsIsTakenWholeOrRefused(t *testing.T) {
	const good = `{"_aws":{"Timestamp":1795000000000,"CloudWatchMetrics":[{"Namespace":"WecomVault","Dimensions":[["Function"]],"Metrics":[{"Name":"Items"}]}]},"Function":"fetch","Items":3}`
	s := NewStore()
	if err := s.Log(strings.NewReader("{\"message\":\"hello\"}\nplain words\n" + good + "\n")); err != nil {
		t.Fatal(err)
	}
	if v, ok := s.Last(Metric{Namespace: Own, Name: "Items", Dimensions: map[string]string{"Function": "fetch"}}); !ok || v != 3 {
		t.Errorf("it is %v, %v", v, ok)
	}
	for _, bad := range []string{strings.Replace(good, `,"Items":3`, "", 1), strings.Replace(good, `"Function":"fetch"`, `"Function":7`, 1), strings.Replace(good, `"Function":"fetch"`, `"Function":""`, 1), good[:len(good)-1], `{"_aws":{}}`} {
		if err := s.Log(strings.NewReader(bad)); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
}

func TestADashboardIsReadAsCloudWatchWouldDrawIt(t *testing.T) {
	good := `{"widgets": [{"type": "text", "x": 0, "y": 0, "width": 24, "height": 2, "properties": {"markdown": "words"}},
		{"type": "metric", "x": 0, "y": 2, "width": 8, "height": 6, "properties": {"title": "t", "region": "eu-central-1", "stat": "Sum", "period": 300,
		"metrics": [["WecomVault", "Items", "Function", "fetch"], [".", "FetchOK", ".", ".", {"stat": "Maximum"}]]}}]}`
	widgets, err := widgetsOf(good)
	if err != nil || len(widgets) != 2 || len(widgets[1].Metrics) != 2 {
		t.Fatalf("%+v, %v", widgets, err)
	}
	if m := widgets[1].Metrics[1]; m.String() != "WecomVault/FetchOK Function=fetch" || m.Stat != "Maximum" || m.Period != 5*time.Minute {
		t.Errorf("the second row is %s %+v", m, m)
	}
	for _, c := range [][2]string{{`"width": 8`, `"width": 25`}, {`"region": "eu-central-1", `, ""}, {`"type": "metric"`, `"type": "number"`}, {`"Function", "fetch"]`, `"Function"]`},
		{`"stat": "Sum"`, `"stat": "p99"`}, {`"words"`, `""`}, {`]}}]}`, `]}}]`}, {`"period": 300`, `"period": 7`}} {
		if _, err := widgetsOf(strings.Replace(good, c[0], c[1], 1)); err == nil {
			t.Errorf("taken with %s", c[1])
		}
	}
}
