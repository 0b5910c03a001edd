package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tick is the unit of the kernel's processor times in /proc: a hundredth of a second on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// usage is what the processes of one function have used.
type usage struct {
	CPU    time.Duration // theirs and their children's
	Child  time.Duration // of it the library's processes
	Inside time.Duration // of it the kernel's work for the function's own processes
	Peak   int64         // bytes: the highest resident memory of one process
	Inner  int64         // bytes: the highest of one library process
}

// meter watches the processes that the functions run in, from /proc. What a process has used since it was last looked at is lost with it, so it
// is looked at often.
type meter struct {
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	seen  map[int]*seen
	inner map[int]*seen // the library's processes, which count as their parents'
}

type seen struct {
	function string
	parent   int
	own      time.Duration
	system   time.Duration // of own
	reaped   time.Duration // of children that have ended and were waited for
	peak     int64
	alive    bool
}

func startMeter() (*meter, error) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return nil, errors.New("this machine has no /proc: processor time and memory of the functions can be measured on Linux only")
	}
	m := &meter{stop: make(chan struct{}), done: make(chan struct{}), seen: map[int]*seen{}, inner: map[int]*seen{}}
	go func() {
		defer close(m.done)
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-m.stop:
				return
			case <-t.C:
				m.look()
			}
		}
	}()
	return m, nil
}

func (m *meter) close() {
	close(m.stop)
	<-m.done
}

// of is what the processes of a function have used up to now.
func (m *meter) of(function string) usage {
	m.look()
	m.mu.Lock()
	defer m.mu.Unlock()
	var u usage
	for _, p := range m.seen {
		if p.function == function {
			u.CPU += p.own + p.reaped
			u.Child += p.reaped
			u.Inside += p.system
			u.Peak = max(u.Peak, p.peak)
		}
	}
	for _, c := range m.inner {
		if c.function != function {
			continue
		}
		u.Inner = max(u.Inner, c.peak)
		if c.alive || !m.seen[c.parent].alive { // otherwise it is among what its parent has reaped
			u.CPU += c.own
			u.Child += c.own
		}
	}
	return u
}

// look reads the state of all processes that descend from this one.
func (m *meter) look() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.seen {
		p.alive = false
	}
	for _, p := range m.inner {
		p.alive = false
	}
	me := os.Getpid()
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // no process
		}
		s, err := readProcess(pid)
		if err != nil {
			continue // it has ended
		}
		switch {
		case s.parent == me:
			s.function, s.peak = functionOf(pid), highWater(pid)
			m.seen[pid] = later(m.seen[pid], s)
		case m.seen[s.parent] != nil:
			s.function, s.peak = m.seen[s.parent].function, highWater(pid)
			m.inner[pid] = later(m.inner[pid], s)
		}
	}
}

// later keeps what a process that is just ending no longer shows.
func later(before *seen, now seen) *seen {
	if before != nil {
		now.peak = max(now.peak, before.peak)
		if now.function == "" {
			now.function = before.function
		}
	}
	return &now
}

func readProcess(pid int) (seen, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	raw, err := os.ReadFile(filepath.Join(dir, "stat")) // #nosec G304 -- a process's own file
	if err != nil {
		return seen{}, err
	}
	// The name in brackets may hold anything; what follows it is numbers, and the first of them is the third field.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) < 15 {
		return seen{}, fmt.Errorf("the state of process %d can't be read", pid)
	}
	number := func(field int) time.Duration {
		n, err := strconv.ParseInt(string(fields[field-3]), 10, 64)
		if err != nil {
			return 0
		}
		return time.Duration(n)
	}
	s := seen{parent: int(number(4)), own: (number(14) + number(15)) * tick, system: number(15) * tick, reaped: (number(16) + number(17)) * tick, alive: true}
	return s, nil
}

// functionOf is the folder of a bootstrap, which is named after its function; "" for any other program.
func functionOf(pid int) string {
	program, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	if err != nil || filepath.Base(program) != "bootstrap" {
		return ""
	}
	return filepath.Base(filepath.Dir(program))
}

// highWater is the highest resident memory that a process ever had, in bytes; 0 if it has ended.
func highWater(pid int) int64 {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status")) // #nosec G304 -- a process's own file
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kb int64
			if _, err := fmt.Sscanf(rest, "%d kB", &kb); err == nil {
				return kb << 10
			}
		}
	}
	return 0
}
