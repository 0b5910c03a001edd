package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// held lets first come to its n-th call of the tables, whether it reads or writes, then runs second, and lets first go on. It says whether first has so many.
func (r *race) held(n int64, first func() error, second func()) bool {
	r.Helper()
	var calls atomic.Int64
	var others atomic.Bool
	r.aws.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Service != "dynamodb" || others.Load() || calls.Add(1) != n {
			return d
		}
		others.Store(true)
		second()
		others.Store(false)
		return d
	})
	err := first()
	r.aws.Fault(nil)
	if err != nil {
		r.Errorf("call %d: %v", n, err)
	}
	return calls.Load() >= n
}

// begun lets a reading come to its n-th call of the tables and stay there. What it returns lets it go on, and waits until it is done.
func (r *race) begun(n int64, read func() error) (end func() error) {
	r.Helper()
	var calls atomic.Int64
	there, on, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	r.aws.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Service == "dynamodb" && calls.Add(1) == n {
			close(there)
			<-on
		}
		return d
	})
	go func() { done <- read() }()
	<-there
	r.aws.Fault(nil)
	return func() error {
		close(on)
		return <-done
	}
}

// What one read before the other wrote is not held against what the other recorded: at whichever call of the one the other does all of its work, no
// event is contradicted, told twice, or told as of a longer time.
func TestWhatAnotherRecordedMeanwhileIsNotContradicted(t *testing.T) {
	const short, long = 30 * time.Millisecond, 44 * time.Millisecond
	for _, c := range []struct {
		name string
		// before makes a change of tomas, and begins what is not done yet.
		before        func(r *race) (end func() error)
		first, second func(r *race, p *refresher) error
		what          directory.Change
		by            time.Duration // the latest that the event may say
	}{
		{
			"one looks at who is gone, while a reading goes on that began before another lacked him",
			func(r *race) (end func() error) {
				r.change(wecomsim.ChangeContacts{Corp: string(r.id), Remove: []string{"tomas"}, Permit: map[int][]string{1: {"ines"}}})
				end = r.begun(5, func() error { return r.reads(r.process(), time.Millisecond, short) })
				r.ok(r.reads(r.process(), 0, long))
				return end
			},
			func(r *race, p *refresher) error { return r.looksAgain(p, "tomas", 100*time.Millisecond) },
			nil, directory.Left, long,
		},
		{
			"a reading, while two go on that began before it",
			func(r *race) (end func() error) {
				r.member("tomas", map[string]any{"mobile": ""})
				end = r.begun(5, func() error { return r.reads(r.process(), time.Millisecond, short) })
				r.ok(r.reads(r.process(), 2*time.Millisecond, long))
				return end
			},
			func(r *race, p *refresher) error { return r.reads(p, 60*time.Millisecond, short) },
			nil, directory.MobileRemoved, 2*time.Millisecond + long,
		},
		{
			"a reading, and one within it that ended before",
			func(r *race) func() error { r.member("tomas", map[string]any{"mobile": ""}); return nil },
			func(r *race, p *refresher) error { return r.reads(p, 0, long) },
			func(r *race, p *refresher) error { return r.reads(p, time.Millisecond, short) }, directory.MobileRemoved, long,
		},
		{
			"a reading, and a look within it at one member",
			func(r *race) func() error { r.member("tomas", map[string]any{"mobile": ""}); return nil },
			func(r *race, p *refresher) error { return r.reads(p, 0, long) },
			func(r *race, p *refresher) error { return r.looksAgain(p, "tomas", 10*time.Millisecond) }, directory.MobileRemoved, long,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			shared := newRig(t)
			step := int64(1)
			if testing.Short() {
				step = 5
			}
			more := true
			for n := int64(1); more; n += step {
				if n > 120 {
					t.Fatal("it never ends")
				}
				r := &race{rig: shared, id: archive.CorpID(fmt.Sprintf("wwstale%d", n)), start: shared.at}
				r.company(r.id)
				r.hold(r.id, secrets.Contacts, "legacy-of-"+string(r.id))
				r.ok(r.reads(r.process(), -time.Hour, 0))
				end := c.before(r)
				one, other := r.process(), r.process()
				if end == nil {
					end = func() error { return c.second(r, other) }
				}
				r.look("before")
				if more = r.held(n, func() error { return c.first(r, one) }, func() {
					if err := end(); err != nil {
						t.Errorf("call %d: the second: %v", n, err)
					}
					r.look("between")
				}); !more {
					r.ok(end())
				}
				when := fmt.Sprintf("call %d:", n)
				r.look(when)
				of := slices.DeleteFunc(slices.Clone(r.kept), func(e directory.Event) bool { return e.ID != "tomas" || e.What != c.what })
				if len(of) != 1 || !of[0].After.Equal(r.start.Add(-time.Hour)) || of[0].By.After(r.start.Add(c.by)) {
					t.Errorf("%s it is told%s", when, timed(of))
				}
				if strings.Contains(r.figures.String(), "Contradicted") {
					t.Fatalf("%s what the looks say is contradicted%s", when, timed(r.kept))
				}
			}
		})
	}
}
