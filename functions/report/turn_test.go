package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
)

func TestACorpThatTakesAllTheTimeDoesNotKeepTheOthersFromTheirReports(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	slow, others := d.company("ww0slow"), []archive.CorpID{"wwnext", "wwthird"}
	for _, id := range others {
		d.calm(id)
	}
	var crew []directory.Entry
	for i := range 60 {
		crew = append(crew, directory.Entry{Kind: directory.KindMember, ID: fmt.Sprint("crew", i), At: noon.Add(-18 * time.Hour), Fields: directory.Fields(quiet(fmt.Sprint("Crew ", i)))})
	}
	d.OK(d.operator.PutEntries(d.Context(), slow.ID, crew))
	var up atomic.Bool // the invocation's time
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "Query" && bytes.Contains(q.Body, []byte("hist#"+slow.ID.KeyPart())) {
			up.Store(true)
		}
		return awslocal.FaultDecision{}
	})
	began := clock.Real()
	d.reporter.real = func() time.Time {
		if up.Load() {
			return d.real.Add(time.Hour)
		}
		return d.real
	}
	for i := range 2 {
		d.at = noon.Add(time.Duration(i) * sweepEvery)
		invocation, cancel := context.WithDeadline(d.Context(), began.Add(time.Duration(i+1)*time.Hour))
		d.OK(d.due(invocation))
		cancel()
		d.real = d.real.Add(time.Hour)
		up.Store(false)
	}
	done := func(id archive.CorpID) bool {
		run, err := d.operator.RunOf(d.Context(), id, "2032-02-10", "R12")
		if err != nil && !errors.Is(err, ledger.ErrAbsent) {
			t.Fatal(err)
		}
		return run.State == ledger.RunDone
	}
	if done(slow.ID) {
		t.Fatal("the slow one was not slow")
	}
	for _, id := range others {
		if !done(id) {
			t.Errorf("%s has no reports after two invocations", id)
		}
	}
}
