package main

import (
	"fmt"
	"math"
	"time"
)

// span is a moment that is known to lie between two.
type span struct{ from, to time.Time }

func (s span) zero() bool { return s.from.IsZero() }

// earlier is the span of the earlier of two moments; a zero span is none.
func (s span) earlier(o span) span {
	switch {
	case s.zero():
		return o
	case o.zero():
		return s
	}
	return span{minTime(s.from, o.from), minTime(s.to, o.to)}
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// left is how many hours are left of a window that began within a span, when looked at within another: at least and at most.
func left(began, looked span, window time.Duration) (least, most float64) {
	hours := func(d time.Duration) float64 { return max(0, min(d, window).Hours()) }
	if began.zero() {
		return window.Hours(), window.Hours() // nothing waits
	}
	return hours(began.from.Add(window).Sub(looked.to)), hours(began.to.Add(window).Sub(looked.from))
}

// slack is what two clocks of one machine may differ by.
const slack = 2.0 / 3600

// holds says what is wrong with hours that the product states, "" if nothing. A tenth is what status rounds down to; 0 is exact.
func holds(name string, stated, least, most, tenth float64) string {
	if tenth > 0 {
		least, most = math.Floor((least-slack)/tenth+1e-9)*tenth, math.Floor((most+slack)/tenth+1e-9)*tenth
	}
	if math.IsNaN(stated) || stated < least-slack || stated > most+slack {
		return fmt.Sprintf("%s: the product says %.4f hours, and it is between %.4f and %.4f", name, stated, least, most)
	}
	return ""
}
