package wecomsim

import (
	"testing"
	"time"
)

// WeCom's documentation: an app may write to one member 30 times a minute and 1,000 times an hour. A thousand requests would take a minute here.
func TestAMemberGetsThirtyTextsAMinuteAndAThousandAnHour(t *testing.T) {
	now := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	// Texts before now, so many each minute and the newest first.
	texts := func(n, each int, youngest time.Duration) (all []Written) {
		for i := range n {
			all = append(all, Written{Agent: 7, To: "lin", Real: now.Add(-youngest - time.Duration(i/each)*time.Minute)})
		}
		return all
	}
	for name, x := range map[string]struct {
		before []Written
		many   bool
	}{
		"none":                              {nil, false},
		"29 in the minute":                  {texts(29, 30, 59*time.Second), false},
		"30 in the minute":                  {texts(30, 30, 59*time.Second), true},
		"30 in the minute before":           {texts(30, 30, time.Minute), false},
		"999 in the hour":                   {texts(999, 25, time.Minute), false},
		"1,000 in the hour":                 {texts(1000, 25, time.Minute), true},
		"1,000, the oldest before the hour": {texts(1000, 16, time.Minute+time.Second), false},
		"1,000 in the hour before":          {texts(1000, 25, time.Hour), false},
	} {
		if got := tooMany(x.before, 7, "lin", now); got != x.many {
			t.Errorf("%s: dropped %t", name, got)
		}
		if tooMany(x.before, 8, "lin", now) || tooMany(x.before, 7, "mo", now) {
			t.Errorf("%s: another app's or another member's is dropped", name)
		}
	}
}
