package progress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// page is a writer that a test reads while the line writes.
type page struct {
	mu   sync.Mutex
	b    bytes.Buffer
	fail error
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return 0, p.fail
	}
	return p.b.Write(b)
}

func (p *page) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// pass lets the bubble's time go on.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestALineEveryTenSecondsSaysRateAndTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		l := New(&p, "fsck of corp ww1", "seqs", 100_000)
		for range 25 {
			pass(time.Second)
			l.Add(1000)
		}
		l.Note("attachments")
		pass(6 * time.Second)
		l.Done()
		l.Done()
		want := "fsck of corp ww1: 9,000 of 100,000 seqs, 900/s, 1 min 41 s left\n" +
			"fsck of corp ww1: 19,000 of 100,000 seqs, 950/s, 1 min 25 s left\n" +
			"fsck of corp ww1: 25,000 of 100,000 seqs, 833/s, 1 min 30 s left (attachments)\n" +
			"fsck of corp ww1: 25,000 seqs in 31 s, 806/s\n"
		if got := p.text(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestTheRestIsReckonedByTheRecentRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		l := New(&p, "replay", "batches", 4000)
		l.Add(1000) // at once, from a cache
		for range 70 {
			pass(time.Second)
			l.Add(10)
		}
		pass(time.Second)
		l.Done()
		if !strings.Contains(p.text(), "replay: 1,690 of 4,000 batches, 10/s, 3 min 51 s left\n") {
			t.Error(p.text())
		}
	})
}

func TestWorkThatIsSoonOverSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, terminal := range []bool{false, true} {
			var p page
			l := begin(&p, "redrive", "items", 3, terminal)
			pass(2 * time.Second)
			l.Add(3)
			l.Done()
			if p.text() != "" {
				t.Errorf("on a terminal = %v: %q", terminal, p.text())
			}
		}
	})
}

func TestATotalThatIsNotKnownIsNotInvented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		l := New(&p, "messages", "seqs", 0)
		pass(11 * time.Second)
		l.Add(40)
		pass(10 * time.Second)
		l.Set(50, 60)
		pass(10 * time.Second)
		l.Set(70, 60)
		pass(10 * time.Second)
		l.Done()
		want := "messages: 10 s so far\nmessages: 40 seqs, 2.0/s, 20 s so far\nmessages: 50 of 60 seqs, 1.7/s, 6 s left\nmessages: 70 of 60 seqs, 2.3/s\nmessages: 70 seqs in 41 s, 1.7/s\n"
		if got := p.text(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestAPhaseWithoutACountIsSaidWithoutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		l := New(&p, "the day", "", 0)
		l.Note("noon")
		pass(11 * time.Second)
		l.Done()
		if got, want := p.text(), "the day: 10 s so far (noon)\nthe day: over after 11 s\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestSlowWorkHasARateAllTheTimeAndAStandstillNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		l := New(&p, "drills", "drills", 9)
		for range 3 {
			pass(40 * time.Second)
			l.Add(1)
		}
		pass(time.Second)
		l.Done()
		for _, want := range []string{"drills: 1 of 9 drills, 1.0/min, 8 min 0 s left\n", "drills: 2 of 9 drills, 1.0/min, 7 min 0 s left\n"} {
			if !strings.Contains(p.text(), want) {
				t.Errorf("%q is not in\n%s", want, p.text())
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var p page
		l := New(&p, "replay", "batches", 400)
		for range 20 {
			pass(time.Second)
			l.Add(10)
		}
		pass(10 * time.Minute) // the store is away
		l.Done()
		if !strings.Contains(p.text(), "replay: 200 of 400 batches, 10.0/min, 20 min left\n") {
			t.Error(p.text())
		}
	})
}

func TestResultsBesideALineDoNotTearIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		l := begin(&p, "redrive", "items", 10, true)
		pass(4 * time.Second)
		if _, err := io.WriteString(l.Beside(&p), "a result\n"); err != nil {
			t.Error(err)
		}
		l.Done()
		if got := p.text(); !strings.Contains(got, "\x1b[?7h\r\x1b[Ka result\n") {
			t.Errorf("%q", got)
		}
	})
}

func TestATerminalsLineIsWrittenInPlaceAndTakenAwayForOtherWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		l := begin(&p, "redrive", "items", 10, true)
		pass(time.Second)
		l.Add(5)
		pass(2200 * time.Millisecond)
		if _, err := l.Write([]byte("corp ww1: a finding\n")); err != nil {
			t.Error(err)
		}
		l.Done()
		const wiped = "\r\x1b[K"
		got := p.text()
		if strings.Count(got, "\n") != 2 || !strings.Contains(got, wiped+"\x1b[?7lredrive: 5 of 10 items, ") || !strings.Contains(got, "\x1b[?7h"+wiped+"corp ww1: a finding\nredrive: 5 items in 3 s, 1.6/s\n") {
			t.Errorf("%q", got)
		}
	})
}

func TestWorkGoesOnWhenNobodyCanBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := page{fail: errors.New("the terminal is gone")}
		l := New(&p, "x", "y", 1)
		pass(25 * time.Second)
		l.Add(1)
		l.Done()
	})
}

func TestNumbersAndSpansReadAsPeopleSayThem(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "0 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s", 11*time.Minute + 5*time.Second: "11 min",
		90 * time.Minute: "1 h 30 min", 50 * time.Hour: "2 days 2 h"} {
		if got := Span(d); got != want {
			t.Errorf("Span(%s) = %q, want %q", d, got, want)
		}
	}
	for r, want := range map[float64]string{1500: "1,500/s", 2.345: "2.3/s", 0.5: "30.0/min", 0.001: "3.6/h"} {
		if got := rate(r); got != want {
			t.Errorf("rate(%g) = %q, want %q", r, got, want)
		}
	}
}
