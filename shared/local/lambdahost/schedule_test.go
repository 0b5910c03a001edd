package lambdahost

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(s string) time.Time {
	t, err := time.Parse("2006-01-02T15:04:05", s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestScheduleIsDueAtItsLatestTime(t *testing.T) {
	for _, c := range []struct{ expression, from, to, want string }{
		{"rate(1 minute)", "2026-03-01T10:00:00", "2026-03-01T10:00:59", ""},
		{"rate(1 minute)", "2026-03-01T10:00:59", "2026-03-01T10:01:00", "2026-03-01T10:01:00"},
		{"rate(5 minutes)", "2026-03-01T10:01:00", "2026-03-03T10:04:00", "2026-03-03T10:00:00"},
		{"rate(1 hour)", "2026-03-01T10:00:00", "2026-03-01T10:59:59", ""},
		{"rate(2 days)", "2026-03-01T00:00:00", "2026-03-03T23:59:59", "2026-03-02T00:00:00"},
		{"cron(0/10 * * * ? *)", "2026-03-01T11:50:00", "2026-03-01T12:00:00", "2026-03-01T12:00:00"},
		{"cron(0/10 * * * ? *)", "2026-03-01T12:00:00", "2026-03-01T12:09:59", ""},
		{"cron(0 3 * * ? *)", "2026-03-01T03:00:00", "2026-03-02T02:59:00", ""},
		{"cron(0 3 * * ? *)", "2026-03-01T02:59:59", "2026-03-04T02:59:00", "2026-03-03T03:00:00"},
		{"cron(15,45 8-10 ? * MON-FRI *)", "2026-03-01T00:00:00", "2026-03-01T23:59:00", ""}, // a Sunday
		{"cron(15,45 8-10 ? * MON-FRI *)", "2026-03-01T00:00:00", "2026-03-02T10:50:00", "2026-03-02T10:45:00"},
		{"cron(0 0 29 2 ? *)", "2024-03-01T00:00:00", "2027-12-31T00:00:00", ""},
		{"cron(0 0 29 FEB ? *)", "2024-02-28T00:00:00", "2027-12-31T00:00:00", "2024-02-29T00:00:00"},
		{"cron(0 0 1 1 ? 2025)", "2020-01-01T00:00:00", "2027-12-31T00:00:00", "2025-01-01T00:00:00"},
	} {
		table, err := parseSchedule(c.expression, "UTC")
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		got, ok := table.latest(at(c.from), at(c.to))
		if ok != (c.want != "") || ok && !got.Equal(at(c.want)) {
			t.Errorf("%s from %s to %s is due at %v (%v), want %q", c.expression, c.from, c.to, got, ok, c.want)
		}
	}
}

func TestUnsupportedScheduleIsRefusedByName(t *testing.T) {
	for expression, says := range map[string]string{
		"at(2026-03-01T12:00:00)": "at(…)", "rate(0 minutes)": "from 1", "rate(1 minutes)": "after 1", "rate(5 minute)": "after 1", "rate(5 weeks)": "unit",
		"cron(0 12 * * *)": "six fields", "cron(0 12 * * * *)": "exactly one", "cron(0 12 ? * ? *)": "exactly one", "cron(0 12 L * ? *)": "L, W and #",
		"cron(0 12 ? * 2#1 *)": "L, W and #", "cron(61 * * * ? *)": "outside 0 to 59", "cron(0/0 * * * ? *)": "step", "cron(9-3 * * * ? *)": "outside", "every day": "neither",
	} {
		if _, err := parseSchedule(expression, ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want a word about %q", expression, err, says)
		}
	}
	if _, err := parseSchedule("rate(1 hour)", "Europe/London"); err == nil || !strings.Contains(err.Error(), "Europe/London") {
		t.Errorf("a time zone that moves noon: %v", err)
	}
}

// A cron's latest time must be what a search minute by minute finds.
func TestCronAgreesWithASearchByMinutes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expression := rapid.SampledFrom([]string{"cron(0/10 * * * ? *)", "cron(0 3 * * ? *)", "cron(7,33 */5 ? * SUN,WED *)", "cron(0 12 1-3 * ? *)", "cron(59 23 31 12 ? *)"}).Draw(t, "expression")
		table, err := parseSchedule(expression, "UTC")
		if err != nil {
			t.Fatal(err)
		}
		from := at("2026-12-25T00:00:00").Add(time.Duration(rapid.IntRange(0, 20*24*3600).Draw(t, "from")) * time.Second)
		to := from.Add(time.Duration(rapid.IntRange(0, 3*24*3600).Draw(t, "length")) * time.Second)
		var want time.Time
		for m := to.Truncate(time.Minute); m.After(from); m = m.Add(-time.Minute) {
			c := table.(cron)
			if c.day(m) && in(c.hours, m.Hour()) && in(c.minutes, m.Minute()) {
				want = m
				break
			}
		}
		got, ok := table.latest(from, to)
		if ok == want.IsZero() || ok && !got.Equal(want) {
			t.Fatalf("%s from %v to %v: %v, search says %v", expression, from, to, got, want)
		}
	})
}

func TestClockJumpFiresEachScheduleOnce(t *testing.T) {
	var now atomic.Value
	now.Store(at("2026-03-01T08:02:00"))
	h := newHost(t, func(o *Options, _ map[string]string) { o.Now = func() time.Time { return now.Load().(time.Time) } })
	h.Tick() // looks at the clock
	if !h.Idle() {
		t.Error("the first tick fires")
	}
	if fired := h.Advance(at("2026-03-01T08:02:00"), at("2026-03-01T12:03:00")); len(fired) != 1 {
		t.Errorf("four hours fired %v", fired)
	}
	until(t, "idle", h.Idle)
	before := where(t, h).Served
	now.Store(at("2026-03-01T12:03:00"))
	h.Tick()
	until(t, "idle", h.Idle)
	h.Tick()
	now.Store(at("2026-03-01T11:00:00")) // set back
	h.Tick()
	now.Store(at("2026-03-01T12:04:00"))
	h.Tick()
	until(t, "idle", h.Idle)
	if ran := where(t, h).Served - before - 1; ran != 1 {
		t.Errorf("the function ran %d times", ran)
	}
}

func TestScheduledEventNamesItsTime(t *testing.T) {
	h := newHost(t)
	raw, err := h.scheduledEvent(h.functions["WorkFunction"], "Tick", at("2026-03-01T12:00:00"))
	if err != nil {
		t.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal(raw, &event); err != nil {
		t.Fatal(err)
	}
	if event["time"] != "2026-03-01T12:00:00Z" || event["source"] != "aws.scheduler" || event["detail-type"] != "Scheduled Event" {
		t.Errorf("%s", raw)
	}
}

func TestScheduleInputReplacesTheEvent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "count")
	h := newHost(t)
	f := h.functions["WorkFunction"]
	input, err := json.Marshal(order{Do: "count", File: file})
	if err != nil {
		t.Fatal(err)
	}
	f.Schedules[0].Input = string(input)
	h.Advance(at("2026-03-01T08:02:00"), at("2026-03-01T12:03:00"))
	until(t, "idle", h.Idle)
	if size(t, file) != 1 {
		t.Error("the input didn't arrive")
	}
}
