package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
)

// sdkTries is how often the SDK makes a call before its caller hears that it failed.
const sdkTries = 3

// silence is how long SES's events stay out when they are withheld: until the mail was certainly sent again.
const silence = 15 * time.Second

// hook sits before the local endpoints: it notes which calls there are, and plays the faults that the run's plan asks for.
type hook struct {
	names map[string]string // logical by physical name
	hits  *journal          // lines that were played; they survive this process

	mu     sync.Mutex
	plan   map[string]mode // by site; a played one is taken out
	nth    int             // which call of a site the plan is for; 0 and 1: the first
	tries  map[string]int  // refusals still due to the SDK's further tries of a call
	seen   map[string]int  // calls by site
	kinds  map[string]bool // sites that write
	silent time.Time       // until then no event of SES's is delivered
	away   func(now time.Time) bool
	delay  func(q awslocal.FaultRequest) time.Duration
}

func newHook(plan []line, hits *journal) *hook {
	h := &hook{hits: hits, plan: map[string]mode{}, tries: map[string]int{}, seen: map[string]int{}, kinds: map[string]bool{}, names: map[string]string{}}
	for _, l := range plan {
		if !hits.has(l) {
			h.plan[l.Site] = l.Mode
		}
	}
	return h
}

// decide is the endpoints' fault plan.
func (h *hook) decide(q awslocal.FaultRequest) awslocal.FaultDecision {
	if !strings.HasSuffix(q.Caller, "Function") {
		return awslocal.FaultDecision{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away != nil && (q.Service == "dynamodb" || q.Service == "s3") && h.away(clock.Real()) {
		return awslocal.FaultDecision{Act: awslocal.Refuse, Code: "ServiceUnavailable", Status: 503}
	}
	s := site(q, h.names)
	if clock.Real().Before(h.silent) && strings.HasPrefix(q.Caller, "Feedback") && q.Service == "dynamodb" {
		return awslocal.FaultDecision{Act: awslocal.Refuse}
	}
	call := fmt.Sprintf("%s %s %x", s, q.Resource, sha256.Sum256(q.Body))
	if h.tries[call] > 0 {
		h.tries[call]--
		return awslocal.FaultDecision{Act: awslocal.Refuse}
	}
	h.seen[s]++
	if writes(q.Service, q.Operation) {
		h.kinds[s] = true
	}
	m, planned := h.plan[s]
	if !planned || h.seen[s] < h.nth {
		if h.delay != nil {
			return awslocal.FaultDecision{Delay: h.delay(q)}
		}
		return awslocal.FaultDecision{}
	}
	delete(h.plan, s)
	if err := h.hits.add(line{s, m}); err != nil {
		return awslocal.FaultDecision{} // a fault that nobody hears of would prove nothing: the line counts as not played
	}
	if (m == refused || m == failed) && q.Service != "ses" { // a mail is tried once
		h.tries[call] = sdkTries - 1
	}
	if m == withheld {
		h.silent = clock.Real().Add(silence)
		m = failed
	}
	return map[mode]awslocal.FaultDecision{
		refused: {Act: awslocal.Refuse}, failed: {Act: awslocal.FailAfter}, cut: {Act: awslocal.CutAfter}, late: {Act: awslocal.LateAfter},
	}[m]
}

// stormy has the store be away and answers held back at a storm's will; nil ends it.
func (h *hook) stormy(away func(time.Time) bool, delay func(awslocal.FaultRequest) time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away, h.delay = away, delay
}

// named tells the hook what the template calls its resources.
func (h *hook) named(names map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = names
}

// save writes the calls that were seen, with those of earlier processes of the same run.
func (h *hook) save(path string) error {
	all := h.sites()
	if b, err := os.ReadFile(path); err == nil { // #nosec G304 -- of this run
		var before map[string]bool
		if err := json.Unmarshal(b, &before); err != nil {
			return fmt.Errorf("read the calls that were seen: %w", err)
		}
		for s, w := range before {
			all[s] = all[s] || w
		}
	}
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("write the calls that were seen: %w", err)
	}
	return nil
}

// sites are the calls that were seen, and whether each writes.
func (h *hook) sites() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]bool{}
	for s := range h.seen {
		out[s] = h.kinds[s]
	}
	return out
}

// journal is a list of lines on disk, for a process that may be killed at any moment.
type journal struct {
	path string
	mu   sync.Mutex
	got  map[line]bool
}

func openJournal(path string) (*journal, error) {
	j := &journal{path: path, got: map[line]bool{}}
	b, err := os.ReadFile(path) // #nosec G304 -- made by this program
	if errors.Is(err, os.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was played: %w", err)
	}
	for _, text := range strings.Split(string(b), "\n") {
		var l line
		if json.Unmarshal([]byte(text), &l) == nil { // the last one may be cut
			j.got[l] = true
		}
	}
	return j, nil
}

func (j *journal) has(l line) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.got[l]
}

func (j *journal) add(l line) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("note what was played: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("note what was played: %w", err)
	}
	j.got[l] = true
	return nil
}
