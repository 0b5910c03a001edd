package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
)

// weather is a storm's: what happens at random moments while the day is played, until its evening.
type weather struct {
	Seed uint64
	Gap  time.Duration // between two events, on average
	Ends time.Time     // at the latest, by real time
	Away time.Time     // until when the store stays away at the beginning, by real time, whatever is killed meanwhile; zero: it is there
}

// calmFrom is the step at which a storm ends.
const calmFrom = "evening"

// eventsFile lists what has happened, one word a line; it outlives the process.
const eventsFile = "events"

// storm is a weather under way.
type storm struct {
	*player
	r       *rand.Rand
	mu      sync.Mutex
	awayTil time.Time
	skewed  bool
}

// happening is one kind of event and how often it comes.
type happening struct {
	name   string
	weight int
	ends   bool // it ends everything, and a new start follows
	do     func(ctx context.Context) error
}

const (
	skew      = 5 * time.Minute  // how far clocks are apart
	shortAway = 5 * time.Second  // how long the store stays away
	restsFor  = 40 * time.Second // between two ends of everything: finding a dead holder of a lease takes 15 s
	longestIn = 4 * time.Second  // the longest that a process is frozen in the middle of its work
	stampKey  = "start"          // the count of starts, in eventsFile
)

func (s *storm) happenings() []happening {
	return []happening{
		{"function killed", 30, false, s.killFunction},
		{"library killed", 15, false, s.killLibrary},
		{"function frozen at work", 15, false, s.freezeFunction},
		{"jobs delivered again while at work", 12, false, func(context.Context) error { return s.Queues.ReleaseInFlight() }},
		{"queues turned round", 8, false, s.turnQueues},
		{"clock moved by 5 minutes", 8, false, s.skewClock},
		{"simulated WeCom killed", 5, false, s.killSimulator},
		{"store away for 5 s", 2, false, func(context.Context) error { s.storeAway(shortAway); return nil }},
		{"store killed", 4, true, func(context.Context) error { return syscall.Kill(s.Objects.PID(), syscall.SIGKILL) }},
		{"endpoints killed", 4, true, func(context.Context) error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) }},
	}
}

// weather lets things happen until the evening.
func (p *player) weather(ctx context.Context) {
	began := clock.Real()
	starts := strings.Count(p.readEvents(), stampKey+"\n")
	s := &storm{player: p, r: rand.New(rand.NewPCG(p.Storm.Seed, uint64(starts)))} // #nosec G404 G115 -- a seed replays the run
	if err := p.noteEvent(stampKey); err != nil {
		return
	}
	p.hook.stormy(s.away, s.delay)
	p.Queues.SetDuplicates(5)
	s.awayTil = p.Storm.Away
	all := s.happenings()
	total := 0
	for _, h := range all {
		total += h.weight
	}
	order := rand.New(rand.NewPCG(p.Storm.Seed, 3)).Perm(len(all)) // #nosec G404 -- a seed replays the run
	for {
		past := strings.Count(p.readEvents(), "\n") - starts - 1
		gap := p.Storm.Gap
		if past < len(all) {
			gap /= 3
		}
		rest(ctx, time.Duration(s.r.ExpFloat64()*float64(gap)))
		if ctx.Err() != nil || s.calm() || clock.Real().After(p.Storm.Ends) {
			break
		}
		var h happening
		if past < len(all) {
			h = all[order[past]] // each once, also in the shortest storm
		} else {
			n := s.r.IntN(total)
			h = all[slices.IndexFunc(all, func(h happening) bool { n -= h.weight; return n < 0 })]
		}
		if h.ends && past >= len(all) && clock.Real().Sub(began) < restsFor {
			continue
		}
		// Noted first: it may be the last that this process does.
		if err := errors.Join(p.noteEvent(h.name), h.do(ctx)); err != nil && ctx.Err() == nil {
			fmt.Fprintf(p.out, "  storm: %s: %v\n", h.name, err)
		}
	}
	p.hook.stormy(nil, nil)
	p.Queues.SetDuplicates(0)
	p.Queues.SetOrder(sqs.Forward)
}

// calm says whether the day has come so far that the storm is over.
func (s *storm) calm() bool {
	done, err := os.ReadFile(filepath.Join(s.run.Data, stepFile))
	if err != nil {
		return false
	}
	place := func(name string) int {
		return slices.IndexFunc(s.day(), func(st step) bool { return st.name == name })
	}
	return place(string(done)) >= place(calmFrom)-1
}

func (p *player) readEvents() string {
	b, err := os.ReadFile(filepath.Join(p.run.Data, eventsFile))
	if err != nil {
		return ""
	}
	return string(b)
}

func (p *player) noteEvent(what string) error {
	f, err := os.OpenFile(filepath.Join(p.run.Data, eventsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("note an event: %w", err)
	}
	_, err = f.WriteString(what + "\n")
	return errors.Join(err, f.Close())
}

func (s *storm) storeAway(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if til := clock.Real().Add(d); til.After(s.awayTil) { // a short absence does not end a long one
		s.awayTil = til
	}
}

// away says whether the store is away: tables and buckets refuse every call.
func (s *storm) away(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.awayTil)
}

// delay holds some of the queues' answers back.
func (s *storm) delay(q awslocal.FaultRequest) time.Duration {
	if q.Service != "sqs" {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r.IntN(10) > 0 {
		return 0
	}
	return time.Duration(s.r.IntN(1500)) * time.Millisecond
}

// pick is a random process of a function, 0 if there is none.
func (s *storm) pick() int {
	all := s.Host.Processes()
	if len(all) == 0 {
		return 0
	}
	return all[s.r.IntN(len(all))].PID
}

func (s *storm) killFunction(context.Context) error {
	if pid := s.pick(); pid > 0 {
		return gone(syscall.Kill(pid, syscall.SIGKILL))
	}
	return nil
}

// gone takes it for no error that a process has ended already.
func gone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

func (s *storm) freezeFunction(ctx context.Context) error {
	pid := s.pick()
	if pid == 0 {
		return nil
	}
	if err := gone(syscall.Kill(pid, syscall.SIGSTOP)); err != nil {
		return err
	}
	d := time.Duration(s.r.Int64N(int64(longestIn)))
	go func() {
		rest(ctx, d)
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may have been ended at its time-out
	}()
	return nil
}

// killLibrary kills one of the processes that hold the library.
func (s *storm) killLibrary(context.Context) error {
	parents := map[int]bool{}
	for _, p := range s.Host.Processes() {
		parents[p.PID] = true
	}
	var found []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil // no such list on this system: nothing to kill
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parents[parentOf(pid)] {
			found = append(found, pid)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return gone(syscall.Kill(found[s.r.IntN(len(found))], syscall.SIGKILL))
}

// parentOf is a process's parent, 0 if it is gone.
func parentOf(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // #nosec G304 -- the system's
	if err != nil {
		return 0
	}
	// The name is in parentheses and may hold anything.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

func (s *storm) killSimulator(context.Context) error {
	s.player.mu.Lock()
	c := s.child
	s.player.mu.Unlock()
	return gone(syscall.Kill(c.PID(), syscall.SIGKILL))
}

func (s *storm) turnQueues(context.Context) error {
	s.Queues.SetOrder([]sqs.Order{sqs.Forward, sqs.Reverse}[s.r.IntN(2)])
	return nil
}

// skewClock moves the clocks of all functions by five minutes, or back, in the middle of their work.
func (s *storm) skewClock(context.Context) error {
	d := skew
	if s.skewed {
		d = -skew
	}
	s.skewed = !s.skewed
	return s.SetOffset(s.Ahead() + d)
}
