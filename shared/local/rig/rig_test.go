package rig_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

func TestEachFunctionReachesWhatItsRoleNamesAndNoMore(t *testing.T) {
	began := time.Now()
	r := rig.Start(t, rig.Options{})
	t.Logf("started in %v", time.Since(began))
	ctx := t.Context()
	fetch := r.Ledger(r.Once("FetchFunction"))
	if _, err := fetch.AskLease(ctx, "wwtide", "me"); err != nil {
		t.Fatalf("fetch may not write its own table: %v", err)
	}
	if err := fetch.PutMessages(ctx, "b", nil, &ledger.People{}); err != nil {
		t.Fatal(err)
	}
	if err := fetch.Rooms(ctx, "wwtide", nil); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("fetch may read the table of messages: %v", err)
	}
	if rows := r.Rows("ControlTable"); rows["corp#wwtide cursor"] != "wanted=me" {
		t.Errorf("the rows are %q", rows)
	}
}

func TestAPlannedFaultIsSeenOnce(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	r.Calls()
	first := true
	r.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "UpdateItem" && first {
			first = false
			return awslocal.FaultDecision{Act: awslocal.FailAfter}
		}
		return awslocal.FaultDecision{}
	})
	if _, err := r.Ledger(r.Once("FetchFunction")).AskLease(t.Context(), "wwtide", "me"); err == nil {
		t.Error("the fault was not seen")
	}
	if _, err := r.Ledger(r.Config("FetchFunction")).AskLease(t.Context(), "wwtide", "me"); err != nil {
		t.Errorf("the fault was seen twice: %v", err)
	}
	if calls := r.Calls(); len(calls) != 2 || calls[0].Status != 500 || calls[1].Caller != "FetchFunction" {
		t.Errorf("the account is %+v", calls)
	}
	if u := r.Used("ControlTable"); u.Write != 2 {
		t.Errorf("two writes cost %v units", u.Write)
	}
}
