package main

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
)

// lateOnes are the changes that reports are to look for after their day, as state and how long before noon they were found.
func (d *desk) lateOnes(id archive.CorpID, noon time.Time) []string {
	d.Helper()
	list := []string{}
	d.OK(d.operator.LateConsentChanges(d.Context(), id, noon.AddDate(0, 0, -14), noon.AddDate(0, 0, 1), func(c ledger.ConsentChange) bool {
		list = append(list, string(c.Old)+" → "+string(c.New)+" "+noon.Sub(c.Found).String())
		return true
	}))
	slices.Sort(list)
	return list
}

// TestAChangeWhoseRowComesAfterNoonIsKeptForTheNextReport breaks consent off between where a subject stands and the row of the change, before noon.
func TestAChangeWhoseRowComesAfterNoonIsKeptForTheNextReport(t *testing.T) {
	d := newDesk(t)
	noon := start.Add(6 * time.Hour)
	for id, before := range map[archive.CorpID]time.Duration{"wwlate": 2 * time.Hour, "wwnear": 3 * time.Minute} {
		d.at = start
		d.clock()
		d.company(id)
		d.OK(d.keep(t.Context(), id)) // finds many changes at 06:00, in time
		d.at = noon.Add(-before)
		d.clock()
		d.say(id, lane, guest, "Disagree", d.at.Add(-time.Minute))
		d.killed(id)
		changes := len(d.changes(id))
		d.at = noon.Add(28 * time.Minute)
		d.clock()
		for range 3 { // the schedule fires more than once
			d.OK(d.keep(t.Context(), id))
		}
		if got := len(d.changes(id)); got != changes+1 {
			t.Errorf("%s: %d changes became %d", id, changes, got)
		}
		want := []string{"agree → disagree " + before.String()}
		if diff := cmp.Diff(want, d.lateOnes(id, noon)); diff != "" {
			t.Errorf("%s: to be looked for later (-want +got):\n%s", id, diff)
		}
		// Another change of the same subject brings that of before, of which it is known, no second place in the list.
		d.later(time.Hour)
		d.say(id, lane, guest, "Agree", d.at.Add(-time.Minute))
		d.OK(d.keep(t.Context(), id))
		if diff := cmp.Diff(want, d.lateOnes(id, noon)); diff != "" || len(d.changes(id)) != changes+2 {
			t.Errorf("%s: to be looked for later, of %d changes (-want +got):\n%s", id, len(d.changes(id)), diff)
		}
	}
}

// killed runs the function, which ends before the row of a change is written: nothing that it tries then has an effect.
func (d *desk) killed(id archive.CorpID) {
	d.Helper()
	var dead atomic.Bool
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if dead.Load() || q.Operation == "BatchWriteItem" && strings.Contains(string(q.Body), "consentchange#") {
			dead.Store(true)
			return awslocal.FaultDecision{Act: awslocal.CutInstead}
		}
		return awslocal.FaultDecision{}
	})
	if err := d.keep(d.Context(), id); err == nil || !dead.Load() {
		d.Fatalf("the run was not broken off: %v", err)
	}
	d.Fault(nil)
}
