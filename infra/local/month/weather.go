package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
)

// weather is what befalls a month: functions die at random moments, jobs come twice and in another order.
type weather struct {
	*world
	mu     sync.Mutex
	r      *rand.Rand
	killed map[string]int
	spared map[string]int // by function: how many of its schedules were killed so often that the next try is left alone
}

// between is the mean time from one death to the next.
const between = 500 * time.Millisecond

func newWeather(w *world, seed uint64) *weather {
	w.Queues.SetDuplicates(3)
	return &weather{world: w, r: rand.New(rand.NewPCG(seed, 30)), killed: map[string]int{}, spared: map[string]int{}} // #nosec G404 -- a seed replays the run
}

// blow kills functions until the month is over.
func (s *weather) blow(ctx context.Context) {
	for {
		rest(ctx, time.Duration(s.r.ExpFloat64()*float64(between)))
		if ctx.Err() != nil {
			return
		}
		if s.r.IntN(4) == 0 {
			s.Queues.SetOrder([]sqs.Order{sqs.Forward, sqs.Reverse}[s.r.IntN(2)])
		}
		s.kill(ctx)
	}
}

// kill ends a random process that is at work. What holds a corp's lease is seldom among them: finding a dead holder takes fifteen seconds.
func (s *weather) kill(ctx context.Context) {
	all := s.Host.Processes()
	var busy []int
	for i, p := range all {
		if !s.isSpared(p.Function) && s.Host.Busy(p.Function) > 0 && (p.Function != "FetchFunction" || s.r.IntN(20) == 0) {
			busy = append(busy, i)
		}
	}
	if len(busy) == 0 {
		return
	}
	p := all[busy[s.r.IntN(len(busy))]]
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return
	}
	s.mu.Lock()
	s.killed[p.Function]++
	s.mu.Unlock()
	if p.Function == "FetchFunction" {
		for _, corp := range s.corps {
			_ = s.ledger.EndLease(ctx, corp) // else the next one waits for a while, and takes it then
		}
	}
}

func (s *weather) notes() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, k := range s.killed {
		n += k
	}
	return fmt.Sprintf(", %d processes killed in %d functions", n, len(s.killed))
}

// patient is how often in a row a schedule may be killed before its next try is left alone: in an account, nobody dies each time.
const patient = 4

// spare leaves a function alone, or ends that. A month without weather has nothing to spare.
func (s *weather) spare(function string, by int) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spared[function] += by
}

func (s *weather) isSpared(function string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spared[function] > 0
}
