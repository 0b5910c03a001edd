package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

func TestEachItemIsKeptAnnouncedAndPassed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 10, 3)
	b.catchUp("wwtide")
	b.unbroken("wwtide", s.seqs)
	st := b.state("wwtide", b.jobs())
	if len(st.Batches) != 4 || len(st.Objects) != 4 || len(st.Jobs) != 4 {
		t.Errorf("10 items in answers of 3 became %d batches, %d objects and %d jobs", len(st.Batches), len(st.Objects), len(st.Jobs))
	}
	if c := b.cursor("wwtide"); c.Owner != "" {
		t.Errorf("the lease was not given back: %+v", c)
	}
}

// TestABatchMovesTheCursorInOneWrite: the poll that brought the batch is reported with it, which at four messages a batch is a fifth of a message's
// write units.
func TestABatchMovesTheCursorInOneWrite(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 40, 4)
	b.Calls()
	b.catchUp("wwtide")
	b.unbroken("wwtide", s.seqs)
	updates := 0
	for _, c := range b.Calls() {
		if c.Caller == self && c.Operation == "UpdateItem" {
			updates++
		}
	}
	empty := len(s.limits()) - 10               // polls that brought nothing
	if most := 10 + empty + 3; updates > most { // the lease is asked for, taken and given back
		t.Errorf("10 batches and %d empty polls took %d updates of the cursor, more than %d", empty, updates, most)
	}
}

func TestCursorStaysWhenEnqueueFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 4, 2)
	b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Operation == "SendMessage" {
			d.Act = awslocal.Refuse
		}
		return d
	})
	err := b.until(b.fetcher(b.Config(self)), "wwtide", "it ends", func(ledger.Cursor) bool { return false })
	if err == nil {
		t.Fatal("following went on")
	}
	if c := b.cursor("wwtide"); c.Seq != 0 || c.Chain != (ledger.Link{}) {
		t.Errorf("the cursor stands at %v", c.Seq)
	}
	b.Fault(nil)
	b.catchUp("wwtide")
	b.unbroken("wwtide", s.seqs)
}

// write is a call with an effect.
func write(q awslocal.FaultRequest) bool {
	return q.Caller == self && slices.Contains([]string{"PutObject", "PutItem", "SendMessage", "UpdateItem"}, q.Operation)
}

// TestNoFailedWriteLosesOrDoublesAnything is the fault table: each write of an undisturbed run in turn is refused, or done and reported as
// failed, or cut; then fetch runs again, and what it leaves is what the undisturbed run left.
func TestNoFailedWriteLosesOrDoublesAnything(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mu sync.Mutex
	var at, n int
	var act awslocal.Act
	var seen []string
	plan := func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		mu.Lock()
		defer mu.Unlock()
		if !write(q) {
			return d
		}
		if n++; n == at {
			d.Act = act
		}
		seen = append(seen, q.Operation)
		return d
	}
	run := func(id archive.CorpID, nth int, a awslocal.Act) (failed error, calls []string) {
		s := b.corp(id, 5, 2)
		mu.Lock()
		at, act, n, seen = nth, a, 0, nil
		mu.Unlock()
		b.Fault(plan)
		failed = b.until(b.fetcher(b.Once(self)), id, "it is caught up", caughtUp)
		mu.Lock()
		calls = slices.Clone(seen)
		mu.Unlock()
		b.Fault(nil)
		b.catchUp(id)
		b.unbroken(id, s.seqs)
		return failed, calls
	}
	_, calls := run("ww0", 0, awslocal.Pass)
	// Behind the first empty answer writes depend on when the test sees it; those before are always the same.
	writes := 0
	for i, op := range calls {
		if op == "SendMessage" {
			writes = i + 3 // the advance and the beat of the empty answer
		}
	}
	jobs := b.jobs()
	want := b.state("ww0", jobs)
	id := 0
	for nth := 1; nth <= writes; nth++ {
		for name, a := range map[string]awslocal.Act{"refused": awslocal.Refuse, "done and reported as failed": awslocal.FailAfter, "done and cut": awslocal.CutAfter} {
			id++
			corp := archive.CorpID(fmt.Sprintf("ww%d", id))
			failed, _ := run(corp, nth, a)
			if failed == nil && nth < writes {
				t.Errorf("write %d (%s) %s, and nobody noticed", nth, calls[nth-1], name)
			}
			if diff := cmp.Diff(want, b.state(corp, b.jobs())); diff != "" {
				t.Errorf("write %d (%s) %s: %s", nth, calls[nth-1], name, diff)
			}
		}
	}
	t.Logf("%d writes (%v), each in three ways", writes, calls[:writes])
}

// TestARecordedBatchIsAdopted: the process dies between the row and the job, or between the job and the cursor; WeCom answers the next one
// otherwise, and the batch that was recorded keeps its place.
func TestARecordedBatchIsAdopted(t *testing.T) {
	t.Parallel()
	for _, dies := range []string{"SendMessage", "UpdateItem"} {
		t.Run("before "+dies, func(t *testing.T) {
			b := newBench(t)
			s := b.corp("wwtide", 6, 4)
			var recorded, dead atomic.Bool
			b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
				if q.Operation == dies && recorded.Load() {
					dead.Store(true)
				}
				if q.Operation == "PutItem" {
					recorded.Store(true)
				}
				if dead.Load() && q.Caller == self { // nothing comes from a dead process, the lease's release neither
					d.Act = awslocal.CutInstead
				}
				return d
			})
			if err := b.until(b.fetcher(b.Once(self)), "wwtide", "it dies", func(ledger.Cursor) bool { return false }); err == nil {
				t.Fatal("it did not die")
			}
			b.Fault(nil)
			s.mu.Lock()
			s.page = 1 // what would be asked again would come in other pieces
			s.mu.Unlock()
			b.catchUp("wwtide")
			b.unbroken("wwtide", s.seqs)
			st := b.state("wwtide", b.jobs())
			if len(st.Batches) != 3 || st.Batches[0].Items != 4 || len(st.Jobs) != 3 {
				t.Errorf("there are %d batches, the first of %d items, and %d jobs", len(st.Batches), st.Batches[0].Items, len(st.Jobs))
			}
		})
	}
}

func TestAPageTooLargeIsHalvedAndRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 300, 1000)
	s.say(func(_ context.Context, _ archive.Seq, limit int) ([]byte, error) {
		if limit > 130 {
			return []byte(`{"errcode":301058,"errmsg":"too large"}`), nil
		}
		return nil, nil
	})
	b.catchUp("wwtide")
	if got := s.limits(); !slices.Equal(got[:4], []int{1000, 500, 250, 125}) {
		t.Errorf("it asked for %v", got)
	}
	if c := b.cursor("wwtide"); c.Limit != 125 || c.Trouble != nil {
		t.Errorf("the cursor remembers %d and the trouble %+v", c.Limit, c.Trouble)
	}
	n := len(s.limits())
	b.catchUp("wwtide")
	if got := s.limits()[n:]; slices.Max(got) != 125 {
		t.Errorf("the next invocation asked for %v", got)
	}
	b.unbroken("wwtide", s.seqs)
}

func TestAHalvedLimitGrowsAgainAfterFullAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 9000, 1000)
	large := s.seqs[700] // up to here no answer may hold more than 130 items
	s.say(func(_ context.Context, after archive.Seq, limit int) ([]byte, error) {
		if after < large && limit > 130 {
			return []byte(`{"errcode":301058,"errmsg":"too large"}`), nil
		}
		return nil, nil
	})
	b.catchUp("wwtide")
	b.unbroken("wwtide", s.seqs)
	// 3 full answers of 125 and a refused 250; the next try takes 6 full answers, which end behind the large items.
	want := []int{1000, 500, 250, 125, 125, 125, 250, 125, 125, 125, 125, 125, 125, 250, 250, 250, 250, 250, 250, 500}
	if got := s.limits(); len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("it asked for %v, not for %v", got, want)
	}
	if c := b.cursor("wwtide"); c.Limit != 1000 {
		t.Errorf("the cursor remembers %d", c.Limit)
	}
}

func TestAnItemThatIsTooLargeAloneIsTrouble(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 3, 1000)
	s.say(func(context.Context, archive.Seq, int) ([]byte, error) { return []byte(`{"errcode":301058}`), nil })
	b.OK(b.until(b.fetcher(b.Config(self)), "wwtide", "it is in trouble", func(c ledger.Cursor) bool { return c.Trouble != nil }))
	if c := b.cursor("wwtide"); c.Limit != 1 || c.Trouble.Cause != string(financesdk.CausePageTooLarge) || c.Seq != 0 {
		t.Errorf("the cursor is %+v", c)
	}
}

func TestOnlyWholeAnswersMoveAnything(t *testing.T) {
	t.Parallel()
	for name, odd := range map[string]struct {
		raw   string
		err   error
		cause financesdk.CauseKind
	}{
		"empty":             {raw: " ", cause: financesdk.CauseNotWhole},
		"cut":               {raw: `{"errcode":0,"chatdata":[{"seq":9007199254740993,`, cause: financesdk.CauseNotWhole},
		"a foreign page":    {raw: `<html></html>`, cause: financesdk.CauseNotWhole},
		"descending":        {raw: `{"errcode":0,"chatdata":[{"seq":9007199254740995},{"seq":9007199254740993}]}`, cause: financesdk.CauseNotWhole},
		"rate limited":      {raw: `{"errcode":45009,"errmsg":"slow down"}`, cause: financesdk.CauseRateLimited},
		"service expired":   {raw: `{"errcode":301052}`, cause: financesdk.CauseServiceExpired},
		"a dead token":      {raw: `{"errcode":40014}`, cause: financesdk.CauseDeadToken},
		"an untrusted IP":   {raw: `{"errcode":301042}`, cause: financesdk.CauseUntrustedIP},
		"the library's own": {err: errors.New("no way"), cause: financesdk.CauseUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := b.corp("wwtide", 3, 1000)
			s.say(func(context.Context, archive.Seq, int) ([]byte, error) {
				if odd.err != nil {
					return nil, odd.err
				}
				return []byte(odd.raw), nil
			})
			b.OK(b.until(b.fetcher(b.Config(self)), "wwtide", "it is in trouble", func(c ledger.Cursor) bool { return c.Trouble != nil }))
			c := b.cursor("wwtide")
			if c.Trouble.Cause != string(odd.cause) || c.Trouble.Sentence == "" || c.Seq != 0 || !c.CaughtUp.IsZero() || !c.LastWhole.IsZero() {
				t.Errorf("the cursor is %+v with %+v", c, c.Trouble)
			}
			if st := b.state("wwtide", b.jobs()); len(st.Batches)+len(st.Objects)+len(st.Jobs) != 0 {
				t.Errorf("something was kept: %+v", st)
			}
			// Then all is well again.
			s.say(nil)
			b.catchUp("wwtide")
			b.unbroken("wwtide", s.seqs)
		})
	}
}

func TestAMissingListIsEmpty(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`{"errcode":0,"errmsg":"ok"}`, `{"errcode":0,"chatdata":null}`, `{"errcode":0,"chatdata":[]}`} {
		b := newBench(t)
		s := b.corp("wwtide", 0, 1000)
		s.say(func(context.Context, archive.Seq, int) ([]byte, error) { return []byte(raw), nil })
		b.catchUp("wwtide")
		if c := b.cursor("wwtide"); c.Seq != 0 || c.CaughtUp.IsZero() {
			t.Errorf("%s: %+v", raw, c)
		}
	}
}

// TestPausesGrowAndRateLimitsRestLonger looks at the pauses themselves: nobody should wait for them.
func TestPausesGrowAndRateLimitsRestLonger(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := turn{fetcher: b.fetcher(b.Config(self)), corp: "wwtide"}
	var last time.Duration
	for range 8 {
		d := tr.troubled(t.Context(), archive.ErrNotWhole)
		if d < last || d > 5*time.Second {
			t.Fatalf("after %v it rests %v", last, d)
		}
		last = d
	}
	since := tr.cursor.Trouble.Since
	if last != 5*time.Second || !tr.cursor.Trouble.Since.Equal(since) {
		t.Errorf("at last it rests %v", last)
	}
	if d := tr.troubled(t.Context(), &archive.RefusalError{Code: 45009}); d < 10*time.Second || d > time.Minute {
		t.Errorf("after 45009 it rests %v", d)
	}
	tr.whole()
	if d := tr.troubled(t.Context(), archive.ErrNotWhole); d != 500*time.Millisecond {
		t.Errorf("after a whole answer it rests %v", d)
	}
}

func TestARefusedSecretIsTriedOnceInAWhile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 1, 1)
	s.say(func(context.Context, archive.Seq, int) ([]byte, error) { return []byte(`{"errcode":40001}`), nil })
	f := b.fetcher(b.Config(self))
	b.OK(b.until(f, "wwtide", "it ends", func(ledger.Cursor) bool { return false }))
	for range 3 {
		b.OK(b.until(f, "wwtide", "it ends", func(ledger.Cursor) bool { return false }))
	}
	if n := len(s.limits()); n != 1 {
		t.Errorf("it tried %d times", n)
	}
	if c := b.cursor("wwtide"); c.Trouble == nil || !c.Trouble.Final || c.Owner != "" {
		t.Errorf("the cursor is %+v", c)
	}
}

func TestACorpThatHangsLeavesTheOthersTheirPace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hang, pace := b.corp("wwhang", 3, 3), b.corp("wwpace", 40, 2)
	hang.say(func(ctx context.Context, _ archive.Seq, _ int) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.fetcher(b.Config(self)).run(ctx, nil) }()
	b.Within(10*time.Second, "the other corp is not caught up", func() bool { return caughtUp(b.cursor("wwpace")) })
	cancel()
	b.OK(<-ended)
	b.unbroken("wwpace", pace.seqs)
	if len(hang.limits()) == 0 {
		t.Error("the hanging corp was never asked")
	}
}

func TestACorpThatIsFarBehindLeavesTheOthersTheirPace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.corp("wwfar", 20000, 1)
	pace := b.corp("wwpace", 40, 2)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.fetcher(b.Config(self)).run(ctx, nil) }()
	b.Within(10*time.Second, "the other corp is not caught up", func() bool { return caughtUp(b.cursor("wwpace")) })
	if far := b.cursor("wwfar"); far.Seq == 0 || caughtUp(far) {
		t.Errorf("the corp that is far behind stands at %+v: it should be under way", far)
	}
	cancel()
	b.OK(<-ended)
	b.unbroken("wwpace", pace.seqs)
}

func TestTheHolderHandsOverAtItsNextPoll(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 4, 2)
	first, second := b.fetcher(b.Config(self)), b.fetcher(b.Config(self))
	first.dead, second.dead = time.Minute, time.Minute // nobody may be taken for dead
	ended := make(chan error, 1)
	go func() {
		_, _, err := first.follow(t.Context(), "wwtide")
		ended <- err
	}()
	b.Within(5*time.Second, "the first is not caught up", func() bool { return caughtUp(b.cursor("wwtide")) })
	fence := b.cursor("wwtide").Fence
	began := clock.Real()
	b.OK(b.until(second, "wwtide", "the second polls", func(c ledger.Cursor) bool { return c.Fence > fence && c.Owner != "" && caughtUp(c) }))
	b.OK(<-ended)
	if took := clock.Real().Sub(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	b.unbroken("wwtide", s.seqs)
}

// TestADeadHoldersLeaseIsTakenHoweverManyAskForIt: invocations that come more often than a holder is taken for dead displace each other as the one
// who wants the lease. Should each begin to wait anew, nobody would ever fetch again.
func TestADeadHoldersLeaseIsTakenHoweverManyAskForIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 4, 2)
	seen := rig.Must[ledger.Cursor](t)(b.ledger.AskLease(t.Context(), "wwtide", "killed"))
	_, _, err := b.ledger.TakeLease(t.Context(), "wwtide", "killed", seen)
	b.OK(err)
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	defer asking.Wait()
	defer stop()
	asking.Go(func() {
		tick := time.NewTicker(handover / 2)
		defer tick.Stop()
		for ctx.Err() == nil {
			asking.Go(func() {
				if _, _, err := b.fetcher(b.Config(self)).follow(ctx, "wwtide"); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	b.Within(10*time.Second, "nobody took the lease", func() bool { return caughtUp(b.cursor("wwtide")) })
	stop()
	asking.Wait()
	b.unbroken("wwtide", s.seqs)
}

// TestAFetcherThatSleptPastItsLeaseMovesNothing: it wakes with an answer in hand that differs from what its successor got. What it writes then
// overlaps, which is legal, and neither cursor nor chain know of it.
func TestAFetcherThatSleptPastItsLeaseMovesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.corp("wwtide", 5, 5)
	asleep, wake := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	s.say(func(context.Context, archive.Seq, int) ([]byte, error) {
		if !first.CompareAndSwap(false, true) {
			return nil, nil
		}
		close(asleep)
		<-wake
		return fmt.Appendf(nil, `{"errcode":0,"chatdata":[{"seq":%d}]}`, uint64(1<<53+1)), nil
	})
	slept := make(chan error, 1)
	go func() {
		_, _, err := b.fetcher(b.Config(self)).follow(t.Context(), "wwtide")
		slept <- err
	}()
	<-asleep
	b.catchUp("wwtide")
	before := b.cursor("wwtide")
	close(wake)
	b.OK(<-slept)
	if diff := cmp.Diff(before, b.cursor("wwtide")); diff != "" {
		t.Errorf("the late one changed the cursor: %s", diff)
	}
	b.unbroken("wwtide", s.seqs)
}

func TestCorpsBeyondTheNumberGoToInvocationsOfTheirOwn(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got [][]archive.CorpID
	host := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arn := "arn:aws:lambda:us-east-1:000000000000:function:" + strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/"), "/invocations")
		if err := authz.Check(r.Context(), authz.Request{Action: "lambda:InvokeFunction", Resource: arn}); err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		var e event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil || r.Header.Get("X-Amz-Invocation-Type") != "Event" || r.URL.Path != "/2015-03-31/functions/wecomvault-fetch/invocations" {
			t.Errorf("%s %s: %v", r.Header.Get("X-Amz-Invocation-Type"), r.URL.Path, err)
		}
		mu.Lock()
		got = append(got, e.Corps)
		mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	r := rig.Start(t, rig.Options{Services: map[string]http.Handler{"lambda": host}})
	b := &bench{Rig: r, ledger: r.Ledger(r.Config(rig.Operator)), scripts: map[archive.CorpID]*script{}}
	for i := range 8 {
		b.corp(archive.CorpID(fmt.Sprintf("ww%d", i)), 1, 1)
	}
	f := b.fetcher(b.Config(self))
	f.most, f.again = 3, inAnotherInvocation(lambda.NewFromConfig(b.Config(self)), "wecomvault-fetch")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.run(ctx, nil) }()
	b.Within(10*time.Second, "the first three are not caught up", func() bool {
		return caughtUp(b.cursor("ww0")) && caughtUp(b.cursor("ww1")) && caughtUp(b.cursor("ww2"))
	})
	cancel()
	b.OK(<-ended)
	if diff := cmp.Diff([][]archive.CorpID{{"ww3", "ww4", "ww5"}, {"ww6", "ww7"}}, got); diff != "" {
		t.Error(diff)
	}
	if c := b.cursor("ww3"); c.Fence != 0 {
		t.Errorf("the fourth was followed here too: %+v", c)
	}
}

// TestAllChildrenFitIntoTheMemory: Lambda counts a function's children too, and ends the invocation of all corps when they are too large.
func TestAllChildrenFitIntoTheMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f, _ := b.Template.Function(self)
	for memory, corps := range map[int]int{256: 2, 512: 9, 1024: 21, f.MemoryMB: holds(f.MemoryMB)} {
		if got := holds(memory); got != corps || ownMost+got*childMost > memory<<20 {
			t.Errorf("%d MB are said to hold %d corps, which may need %d MB", memory, got, (ownMost+got*childMost)>>20)
		}
	}
	if holds(128) != 1 {
		t.Error("somebody has to be followed")
	}
}

func TestAPanicOfOneCorpIsToldWithoutItsValueAndEndsNoOther(t *testing.T) {
	b := newBench(t)
	blown := b.corp("wwblown", 1, 1)
	blown.say(func(context.Context, archive.Seq, int) ([]byte, error) { panic("canary") })
	b.corp("wwcalm", 3, 10)
	f := b.fetcher(b.Config(self))
	var log bytes.Buffer
	f.log = slog.New(slog.NewTextHandler(&log, nil))
	anew := b.again("wwcalm")
	b.ran(f, "one blew and the calm one is caught up", func() bool { return len(blown.limits()) > 0 && anew() })
	if c := b.cursor("wwcalm"); !caughtUp(c) {
		t.Errorf("the other corp's cursor is %+v", c)
	}
	if said := log.String(); !strings.Contains(said, "panic with a value of type string") || !strings.Contains(said, "fetch_test.go:") || strings.Contains(said, "canary") {
		t.Errorf("the log says %s", said)
	}
}
