package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// playLarge reads a company of 80 four times: first, after some numbers changed, when a department can't be read, and once more. It gives what the ledger has then.
func playLarge(t *testing.T, portion int) (state []string, counts []directory.Counts) {
	t.Helper()
	var changed, broken atomic.Int64
	company := large(80, &changed)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() > 0 && r.URL.Query().Get("department_id") == fmt.Sprint(broken.Load()) {
			_, _ = w.Write([]byte(`{"errcode":60011,"errmsg":"no privilege"}`))
			return
		}
		company.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	r := newRig(t)
	r.portion = portion
	r.hold(corp, secrets.Contacts, "any")
	r.server = wecom.New(server.URL, &http.Client{Timeout: 10 * time.Second}, clock.Real)
	for _, step := range []struct{ changed, broken int64 }{{0, 0}, {9, 0}, {9, 3}, {30, 0}} {
		changed.Store(step.changed)
		broken.Store(step.broken)
		r.at = r.at.Add(time.Hour)
		r.ok(r.refresh(t.Context(), corp))
	}
	r.ok(r.ledger.Helds(t.Context(), corp, func(h ledger.Held) bool {
		h.Rev = 0 // how often it was written
		life, err := r.ledger.Life(t.Context(), corp, h.Kind, h.ID)
		r.ok(err)
		state = append(state, fmt.Sprintf("%+v %+v", h, life))
		return true
	}))
	for _, e := range r.events() {
		state = append(state, fmt.Sprintf("%+v", e))
	}
	r.ok(r.ledger.Snapshots(t.Context(), corp, func(s ledger.Snapshot) bool {
		if !s.Settled {
			t.Errorf("the snapshot of %s is not settled", s.At)
		}
		counts = append(counts, s.Counts)
		return true
	}))
	slices.Sort(state)
	return state, counts
}

func TestACompanyReadInPortionsEndsAsOneReadAtOnce(t *testing.T) {
	want, wanted := playLarge(t, 0)
	if len(want) < 84+30 || len(wanted) != 4 {
		t.Fatalf("%d entries and events, %d snapshots", len(want), len(wanted))
	}
	got, counts := playLarge(t, 7)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in portions (-at once +in portions):\n%s", diff)
	}
	if diff := cmp.Diff(wanted, counts); diff != "" {
		t.Errorf("what the snapshots count (-at once +in portions):\n%s", diff)
	}
}

// A run that dies among the portions, before or after its snapshot is recorded, leaves the rest to the next: nobody has left, and nobody is missing.
func TestARunThatDiesAmongThePortionsIsFinishedByTheNext(t *testing.T) {
	slow(t)
	var none atomic.Int64
	server := httptest.NewServer(large(80, &none))
	t.Cleanup(server.Close)
	for _, after := range []int64{20, 60, 95, 130, 180, 230, 280} {
		r := newRig(t)
		r.portion = 7
		r.hold(corp, secrets.Contacts, "any")
		r.server = wecom.New(server.URL, &http.Client{Timeout: 10 * time.Second}, clock.Real)
		var calls atomic.Int64
		r.aws.Fault(func(awslocal.FaultRequest) awslocal.FaultDecision {
			if calls.Add(1) > after {
				return awslocal.FaultDecision{Act: awslocal.Refuse, Code: "AccessDeniedException", Status: 400}
			}
			return awslocal.FaultDecision{}
		})
		if err := r.refresh(t.Context(), corp); err == nil {
			t.Fatalf("it lived through %d calls", after)
		}
		r.aws.Fault(nil)
		r.at = r.at.Add(time.Hour)
		r.ok(r.refresh(t.Context(), corp))
		there := 0
		r.ok(r.ledger.Entries(t.Context(), corp, directory.KindMember, func(e directory.Entry) bool {
			if !e.Gone {
				there++
			}
			return true
		}))
		if events := r.events(); there != 80 || len(events) > 0 {
			t.Errorf("dead after %d calls: %d of 80 members are there, and told is %v", after, there, events)
		}
	}
}
