package house

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
)

// Now is the time of events: real time plus what the played days are ahead.
func (h *House) Now() time.Time { return clock.Real().UTC().Add(time.Duration(h.ahead.Load())) }

// readOffset takes up the clock where the last run left it.
func (h *House) readOffset() error {
	text, err := os.ReadFile(h.ClockFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the played time: %w", err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return fmt.Errorf("%s holds no number, so the time of the played days is lost: put the file back from a copy, or begin anew in another folder with -data", h.ClockFile())
	}
	h.ahead.Store(ns)
	return nil
}

// Ahead is how far the played time is ahead of real time.
func (h *House) Ahead() time.Duration { return time.Duration(h.ahead.Load()) }

// otherClockFile is the clock of every second function process, "" if it is the same.
func (h *House) otherClockFile() string {
	if h.Apart == 0 {
		return ""
	}
	return h.ClockFile() + ".apart"
}

// SetOffset moves the clocks.
func (h *House) SetOffset(d time.Duration) error {
	if other := h.otherClockFile(); other != "" {
		if err := setClock(other, d+h.Apart); err != nil {
			return err
		}
	}
	if err := setClock(h.ClockFile(), d); err != nil {
		return err
	}
	h.ahead.Store(int64(d))
	return nil
}

// setClock writes a clock's file whole, since functions read it at any moment.
func setClock(file string, d time.Duration) error {
	temporary := file + ".new"
	if err := os.WriteFile(temporary, []byte(strconv.FormatInt(int64(d), 10)+"\n"), 0o600); err != nil {
		return fmt.Errorf("move the clock: %w", err)
	}
	if err := os.Rename(temporary, file); err != nil {
		return fmt.Errorf("move the clock: %w", err)
	}
	return nil
}
