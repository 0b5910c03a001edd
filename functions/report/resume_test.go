package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
)

// TestANoonTooLongForOneInvocationGoesOnInTheNext ends each invocation after a few reads. What the invocations come to is what a long one comes to.
func TestANoonTooLongForOneInvocationGoesOnInTheNext(t *testing.T) {
	d := newDesk(t)
	company := func(id archive.CorpID) ledger.Corp {
		c := d.company(id)
		d.pier(id, noon.Add(-19*time.Hour))
		var crew []directory.Entry
		for i := range 90 {
			crew = append(crew, directory.Entry{Kind: directory.KindMember, ID: fmt.Sprint("crew", i), At: noon.Add(-18 * time.Hour), Gone: i%9 == 0, Fields: directory.Fields(
				directory.Member{Name: fmt.Sprint("Crew ", i), Listed: true, Departments: []int{3 + i%2}, Status: 1, Mobile: fmt.Sprint("+49 30", i), MobileReadable: true, Designated: true, DesignatedKnown: true})})
		}
		d.OK(d.operator.PutEntries(d.Context(), id, crew))
		return c
	}
	whole := company("wwwhole")
	d.OK(d.due(d.Context()))
	want := d.state(whole.ID)

	short := company("wwshort")
	// Its time is up as soon as a few histories were read.
	ctx, began := d.Context(), clock.Real()
	var reads atomic.Int32
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "Query" && bytes.Contains(q.Body, []byte("hist#")) {
			reads.Add(1)
		}
		return awslocal.FaultDecision{}
	})
	d.reporter.real = func() time.Time {
		if reads.Load() >= 2 {
			return d.real.Add(time.Hour)
		}
		return d.real // moves between invocations alone
	}
	done := func(report string) ledger.Run {
		run, err := d.operator.RunOf(ctx, short.ID, "2032-02-10", report)
		if err != nil && !errors.Is(err, ledger.ErrAbsent) {
			t.Fatal(err)
		}
		return run
	}
	attempts := 0
	for ; done("R12").State != ledger.RunDone && attempts < 40; attempts++ {
		invocation, cancel := context.WithDeadline(ctx, began.Add(time.Duration(attempts+1)*time.Hour))
		d.OK(d.due(invocation))
		cancel()
		d.real = d.real.Add(time.Hour)
		reads.Store(0)
	}
	if run := done("R1"); run.State != ledger.RunDone || run.Parts == 0 || attempts < 3 {
		t.Fatalf("%d invocations left R1 %+v: the time was never up, or never enough", attempts, run)
	}
	got := d.state(short.ID)
	for key := range got {
		if strings.Contains(key, "-part-") {
			delete(got, key)
		}
	}
	for _, state := range []map[string]any{want, got} {
		for key, value := range state {
			if text, is := value.(string); is {
				state[key] = regexp.MustCompile(` parts=\d+`).ReplaceAllString(text, "")
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in pieces (-at once +in pieces):\n%s", diff)
	}
}

// A noon whose mails are too many for one invocation goes on with those that are not planned yet. None is made twice, and all are sent.
func TestMailsThatAnEarlierInvocationPlannedAreNotMadeAgain(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwmany")
	for i := range 60 {
		c.ReportTo = append(c.ReportTo, ledger.Receiver{Address: fmt.Sprintf("clerk%d@clearlake.example", i), Language: "en"})
	}
	d.OK(d.operator.PutCorp(d.Context(), c))
	ctx, began := d.Context(), clock.Real()
	var planned, all atomic.Int32
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "PutItem" && bytes.Contains(q.Body, []byte(`"planned"`)) {
			planned.Add(1)
			all.Add(1)
		}
		return awslocal.FaultDecision{}
	})
	d.reporter.real = func() time.Time {
		if planned.Load() >= 10 { // in each invocation
			return d.real.Add(time.Hour)
		}
		return d.real
	}
	attempts := 0
	for done := false; !done && attempts < 40; attempts++ {
		invocation, cancel := context.WithDeadline(ctx, began.Add(time.Duration(attempts+1)*time.Hour))
		d.OK(d.due(invocation))
		cancel()
		d.real = d.real.Add(time.Hour)
		planned.Store(0)
		runs := 0
		d.OK(d.operator.Runs(ctx, c.ID, func(run ledger.Run) bool {
			if run.State == ledger.RunDone {
				runs++
			}
			return true
		}))
		done = runs == 9
	}
	mails := 0
	d.OK(d.operator.Mails(ctx, c.ID, func(ledger.MailRow) bool { mails++; return true }))
	if attempts < 3 || attempts == 40 || mails < 62 || int(all.Load()) != mails {
		t.Errorf("%d invocations planned %d mails %d times", attempts, mails, all.Load())
	}
}
