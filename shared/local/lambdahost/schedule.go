package lambdahost

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// timetable says when a schedule is due.
type timetable interface {
	// latest returns the last time in (from, to] at which the schedule is due.
	latest(from, to time.Time) (time.Time, bool)
}

// parseSchedule reads a schedule expression of EventBridge Scheduler: rate(…) or cron(…), in UTC only.
func parseSchedule(expression, timezone string) (timetable, error) {
	if timezone != "" && timezone != "UTC" {
		return nil, fmt.Errorf("the time zone %s isn't supported: every schedule here is in UTC, so that noon is the same noon all year", timezone)
	}
	if arg, ok := inside(expression, "rate("); ok {
		return parseRate(arg)
	}
	if arg, ok := inside(expression, "cron("); ok {
		return parseCron(arg)
	}
	return nil, fmt.Errorf("the expression %q is neither rate(…) nor cron(…); at(…) isn't supported", expression)
}

func inside(s, head string) (string, bool) {
	if !strings.HasPrefix(s, head) || !strings.HasSuffix(s, ")") {
		return "", false
	}
	return s[len(head) : len(s)-1], true
}

// rate is due at whole multiples of its length since 1970: AWS counts from the schedule's creation, which no local run shares with
// another.
type rate time.Duration

func parseRate(arg string) (timetable, error) {
	number, unit, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("rate(%s) needs a number from 1 and a unit, as in rate(5 minutes)", arg)
	}
	units := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	length, ok := units[strings.TrimSuffix(unit, "s")]
	if !ok || (n == 1) == strings.HasSuffix(unit, "s") {
		return nil, fmt.Errorf("rate(%s) needs a unit: minute, hour or day after 1, minutes, hours or days after more", arg)
	}
	return rate(time.Duration(n) * length), nil
}

func (r rate) latest(from, to time.Time) (time.Time, bool) {
	length := int64(time.Duration(r) / time.Second)
	due := time.Unix(to.Unix()-((to.Unix()%length)+length)%length, 0).UTC()
	return due, due.After(from)
}

// cron has the minutes, hours, days, months, weekdays and years on which it is due; a nil set stands for all.
type cron struct {
	minutes, hours, days, months, weekdays, years map[int]bool
}

var monthNames = map[string]int{"JAN": 1, "FEB": 2, "MAR": 3, "APR": 4, "MAY": 5, "JUN": 6, "JUL": 7, "AUG": 8, "SEP": 9, "OCT": 10, "NOV": 11, "DEC": 12}
var dayNames = map[string]int{"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}

func parseCron(arg string) (timetable, error) {
	fields := strings.Fields(arg)
	if len(fields) != 6 {
		return nil, fmt.Errorf("cron(%s) needs six fields: minutes, hours, day of month, month, day of week, year", arg)
	}
	if (fields[2] == "?") == (fields[4] == "?") {
		return nil, fmt.Errorf("cron(%s) needs ? in exactly one of day of month and day of week", arg)
	}
	var c cron
	for i, f := range []struct {
		set       *map[int]bool
		low, high int
		names     map[string]int
		what      string
	}{
		{&c.minutes, 0, 59, nil, "minutes"}, {&c.hours, 0, 23, nil, "hours"}, {&c.days, 1, 31, nil, "day of month"},
		{&c.months, 1, 12, monthNames, "month"}, {&c.weekdays, 1, 7, dayNames, "day of week"}, {&c.years, 1970, 2199, nil, "year"},
	} {
		set, err := parseField(fields[i], f.low, f.high, f.names)
		if err != nil {
			return nil, fmt.Errorf("cron(%s), %s: %w", arg, f.what, err)
		}
		*f.set = set
	}
	return c, nil
}

// parseField reads lists of numbers, names, ranges and steps. L, W and # are AWS's too, but nothing here uses them.
func parseField(field string, low, high int, names map[string]int) (map[int]bool, error) {
	if field == "*" || field == "?" {
		return nil, nil
	}
	set := map[int]bool{}
	for _, part := range strings.Split(field, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("%q has no step that is a number from 1", part)
			}
			step = n
		}
		first, last := low, high
		if span != "*" {
			from, to, ranged := strings.Cut(span, "-")
			var err error
			if first, err = number(from, names); err != nil {
				return nil, err
			}
			switch {
			case ranged:
				if last, err = number(to, names); err != nil {
					return nil, err
				}
			case !stepped:
				last = first
			}
		}
		if first < low || last > high || first > last {
			return nil, fmt.Errorf("%q is outside %d to %d", part, low, high)
		}
		for n := first; n <= last; n += step {
			set[n] = true
		}
	}
	return set, nil
}

func number(s string, names map[string]int) (int, error) {
	if n, ok := names[strings.ToUpper(s)]; ok {
		return n, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%q isn't understood: numbers, names, lists, ranges and steps are, the letters L, W and # are not", s)
	}
	return n, nil
}

func in(set map[int]bool, n int) bool { return set == nil || set[n] }

func (c cron) day(t time.Time) bool {
	return in(c.years, t.Year()) && in(c.months, int(t.Month())) && in(c.days, t.Day()) && in(c.weekdays, int(t.Weekday())+1)
}

func (c cron) latest(from, to time.Time) (time.Time, bool) {
	t := to.UTC().Truncate(time.Minute)
	for t.After(from) {
		switch {
		case !c.day(t):
			t = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Add(-time.Minute)
		case !in(c.hours, t.Hour()):
			t = t.Truncate(time.Hour).Add(-time.Minute)
		case !in(c.minutes, t.Minute()):
			t = t.Add(-time.Minute)
		default:
			return t, true
		}
	}
	return time.Time{}, false
}

// Tick fires what has come due since the last tick, each schedule once. The first tick only looks at the clock. A clock that was
// set back fires nothing until it has caught up.
func (h *Host) Tick() {
	h.tickMu.Lock()
	defer h.tickMu.Unlock()
	now := h.opts.Now()
	if !h.ticked.IsZero() && now.After(h.ticked) {
		h.Advance(h.ticked, now)
	}
	if now.After(h.ticked) {
		h.ticked = now
	}
}

// Advance fires each schedule that came due in (from, to], once, with the latest time at which it was due. It returns the logical ids
// of the functions that were invoked.
func (h *Host) Advance(from, to time.Time) []string {
	var fired []string
	for _, id := range h.order {
		f := h.functions[id]
		for _, s := range f.Schedules {
			table, err := parseSchedule(s.Expression, s.Timezone)
			if err != nil {
				h.opts.Log.Error("schedule can't be read", slog.String("function", id), slog.Any("error", err)) // New has read it once already
				continue
			}
			due, ok := table.latest(from, to)
			if !ok {
				continue
			}
			input := []byte(s.Input)
			if len(input) == 0 {
				if input, err = h.scheduledEvent(f, s.Event, due); err != nil {
					h.opts.Log.Error("schedule has no event", slog.String("function", id), slog.Any("error", err))
					continue
				}
			}
			if err := h.InvokeAsync(id, input); err != nil {
				h.opts.Log.Error("schedule can't invoke", slog.String("function", id), slog.Any("error", err))
				continue
			}
			fired = append(fired, id)
		}
	}
	return fired
}

// scheduledEvent is what EventBridge Scheduler sends to a function for which no input is set.
func (h *Host) scheduledEvent(f *function, event string, due time.Time) ([]byte, error) {
	t := h.opts.Template
	b, err := json.Marshal(map[string]any{
		"version": "0", "id": newID(), "detail-type": "Scheduled Event", "source": "aws.scheduler", "account": t.AccountID,
		"time": due.UTC().Format(time.RFC3339), "region": t.Region,
		"resources": []string{"arn:aws:scheduler:" + t.Region + ":" + t.AccountID + ":schedule/default/" + t.StackName + "-" + f.LogicalID + event},
		"detail":    "{}",
	})
	if err != nil {
		return nil, fmt.Errorf("write the event of schedule %s: %w", event, err)
	}
	return b, nil
}
