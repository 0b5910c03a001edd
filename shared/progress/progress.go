// Package progress tells whoever started a long piece of work how far it is, how fast it goes and how long it will take: a line that changes
// in place on a terminal, a line every ten seconds anywhere else, and nothing about work that is over within a few seconds. It owns the words
// and the arithmetic of that line. It must not know what the work is, and never writes to standard output by itself: that belongs to results.
package progress

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
)

const (
	quiet  = 3 * time.Second        // work that is over by then needs no line
	live   = 500 * time.Millisecond // between two looks of a terminal's line
	plain  = 10 * time.Second       // between two lines anywhere else
	recent = 30 * time.Second       // the span whose rate says how long the rest takes,
	few    = 10                     // or a longer one, if not so many were done in it: one drill in half a minute is no rate
)

// Line is the account of one piece of work. Any number of goroutines may use it at once. Whoever makes one calls Done.
type Line struct {
	w          io.Writer
	what, unit string
	terminal   bool
	began      time.Time
	stop       chan struct{}
	ended      chan struct{}

	mu          sync.Mutex
	done, total int64
	note        string
	seen        []mark // of the recent span, oldest first
	shown       bool   // something was written
	standing    bool   // a terminal's line stands where the cursor is
	over        bool
}

type mark struct {
	at   time.Time
	done int64
}

// New begins a line on w, as a rule standard error. what names the work ("fsck of corp ww1"), unit what is counted ("seqs"); total is how many
// there are to do, 0 if that is not known. While nothing is counted and no total known, the line says only how long it takes, and what Note said.
func New(w io.Writer, what, unit string, total int64) *Line {
	return begin(w, what, unit, total, Terminal(w))
}

func begin(w io.Writer, what, unit string, total int64, terminal bool) *Line {
	now := clock.Real()
	l := &Line{w: w, what: what, unit: unit, total: total, terminal: terminal, began: now, seen: []mark{{at: now}}, stop: make(chan struct{}), ended: make(chan struct{})}
	go l.tell()
	return l
}

// Terminal reports whether somebody reads w on a screen.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Add counts n more as done.
func (l *Line) Add(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done += n
}

// Set says how many are done in all, and how many there are to do; a total of 0 is not known.
func (l *Line) Set(done, total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done, l.total = done, total
}

// Note says what is being done now: it stands at the end of the line.
func (l *Line) Note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note = text
}

// Write puts other words, whole lines, on the same writer without tearing a terminal's line.
func (l *Line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.wipe(); err != nil {
		return 0, err
	}
	return l.w.Write(p)
}

// Beside is a writer to out that never tears a terminal's line: for results on standard output while the line is on standard error.
func (l *Line) Beside(out io.Writer) io.Writer { return beside{l, out} }

type beside struct {
	line *Line
	out  io.Writer
}

func (b beside) Write(p []byte) (int, error) {
	b.line.mu.Lock()
	defer b.line.mu.Unlock()
	// A line that can't be taken away is no reason to withhold a result.
	_ = b.line.wipe()
	return b.out.Write(p)
}

// Done ends the line, with what was done in how long if anything was said before. It may be called again.
func (l *Line) Done() {
	l.mu.Lock()
	first := !l.over
	l.over = true
	l.mu.Unlock()
	if !first {
		return
	}
	close(l.stop)
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wipe() != nil || !l.shown {
		return
	}
	took := clock.Real().Sub(l.began)
	text := l.what + ": over after " + Span(took)
	if l.done > 0 {
		text = fmt.Sprintf("%s: %s %s in %s, %s", l.what, Count(l.done), l.unit, Span(took), rate(float64(l.done)/took.Seconds()))
	}
	// A line that can't be written is no reason to fail the work that it was about.
	_, _ = fmt.Fprintln(l.w, text)
}

// tell writes until the work is done.
func (l *Line) tell() {
	defer close(l.ended)
	every := plain
	if l.terminal {
		every = live
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
		}
		if l.show(clock.Real()) != nil {
			return // nobody can be told; the work goes on
		}
	}
}

func (l *Line) show(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text(now)
	if now.Sub(l.began) < quiet {
		return nil
	}
	l.shown = true
	if !l.terminal {
		_, err := fmt.Fprintln(l.w, text)
		return err
	}
	l.standing = true
	// One line, whatever the terminal's width: a wrapped one could not be taken away again.
	_, err := fmt.Fprintf(l.w, "\r\x1b[K\x1b[?7l%s\x1b[?7h", text)
	return err
}

// wipe takes a terminal's line away.
func (l *Line) wipe() error {
	if !l.standing {
		return nil
	}
	l.standing = false
	_, err := io.WriteString(l.w, "\r\x1b[K")
	return err
}

// text is the line at a moment, which it remembers.
func (l *Line) text(now time.Time) string {
	l.seen = append(l.seen, mark{now, l.done})
	for len(l.seen) > 2 && now.Sub(l.seen[1].at) >= recent && l.done-l.seen[1].done >= few {
		l.seen = l.seen[1:]
	}
	from := l.seen[0]
	pace := 0.0
	if d := now.Sub(from.at).Seconds(); d > 0 {
		pace = float64(l.done-from.done) / d
	}
	words := make([]string, 0, 3)
	if l.done > 0 || l.total > 0 { // otherwise nothing is counted, or not yet
		count := Count(l.done)
		if l.total > 0 {
			count += " of " + Count(l.total)
		}
		words = append(words, count+" "+l.unit)
	}
	if pace > 0 {
		words = append(words, rate(pace))
	}
	switch {
	case pace <= 0, l.total == 0:
		words = append(words, Span(now.Sub(l.began))+" so far")
	case l.total > l.done:
		words = append(words, Span(time.Duration(math.Min(float64(l.total-l.done)/pace, 1e8)*float64(time.Second)))+" left")
	}
	text := l.what + ": " + strings.Join(words, ", ")
	if l.note != "" {
		text += " (" + l.note + ")"
	}
	return text
}

func rate(perSecond float64) string {
	switch {
	case math.IsNaN(perSecond) || math.IsInf(perSecond, 0):
		return "at once"
	case perSecond >= 10:
		return Count(int64(math.Round(perSecond))) + "/s"
	case perSecond >= 1:
		return strconv.FormatFloat(perSecond, 'f', 1, 64) + "/s"
	case perSecond*60 >= 1:
		return strconv.FormatFloat(perSecond*60, 'f', 1, 64) + "/min"
	default:
		return strconv.FormatFloat(perSecond*3600, 'f', 1, 64) + "/h"
	}
}

// Count writes a number with commas between its thousands.
func Count(n int64) string {
	text := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(text) - 3; i > first; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Span writes a length of time as people say it, to the second, minute or hour that matters.
func Span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h >= 48:
		return fmt.Sprintf("%d days %d h", h/24, h%24)
	case h > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	case m >= 10:
		return fmt.Sprintf("%d min", m)
	case m > 0:
		return fmt.Sprintf("%d min %d s", m, s)
	default:
		return fmt.Sprintf("%d s", s)
	}
}
