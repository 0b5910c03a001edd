package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/queue"
)

const corp = archive.CorpID("wwquarry")

// house is redrive over real adapters, with its own role and a clock of the test's.
type house struct {
	*rig.Rig
	*redriver
	op  *ledger.Ledger
	at  time.Time
	log bytes.Buffer
	seq archive.Seq
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{Rig: rig.Start(t, rig.Options{}), at: time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC)}
	h.op = h.Ledger(h.Config(rig.Operator))
	h.use(h.Once("RedriveFunction"))
	h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: corp, Added: h.at}))
	return h
}

func (h *house) use(c aws.Config) {
	h.redriver = &redriver{
		ledger: h.Ledger(c), batches: queue.New[queue.BatchJob](sqs.NewFromConfig(c), h.Name("BatchQueue")),
		log: slog.New(slog.NewTextHandler(&h.log, nil)), now: func() time.Time { return h.at },
	}
}

// aside records a batch that is done, each of its items set aside for one of the reasons.
func (h *house) aside(version archive.KeyVersion, reasons ...string) ledger.BatchRow {
	h.Helper()
	ctx := h.Context()
	b := ledger.BatchRow{Corp: corp, First: h.seq + 1, Items: len(reasons), SHA256: archive.HashHex([]byte(h.seq.Key())), Pulled: h.at}
	var rows []ledger.Aside
	b.Last = h.seq + archive.Seq(len(reasons))
	for i, r := range reasons {
		h.seq++
		rows = append(rows, ledger.Aside{Corp: corp, Reason: r, KeyVersion: version, Seq: h.seq, Batch: b.Key(), Index: i, Since: h.at})
	}
	b, err := h.op.PutBatch(ctx, b)
	h.OK(err)
	_, err = h.op.ClaimSlot(ctx, b, "run")
	h.OK(err)
	h.OK(h.op.SetAside(ctx, b, "run", rows, nil))
	h.OK(h.op.FinishBatch(ctx, b, "run", 0, len(rows), ""))
	return b
}

func job(b ledger.BatchRow, reason string, version archive.KeyVersion) string {
	text := fmt.Sprintf(`{"corp":%q,"batch":%q,"reason":%q`, corp, b.Key(), reason)
	if version != 0 {
		text += fmt.Sprintf(`,"key_version":%d`, version)
	}
	return text + "}"
}

// sent are the jobs that were enqueued, each once.
func (h *house) sent() []string {
	h.Helper()
	jobs := h.Take("BatchQueue")
	slices.Sort(jobs)
	return slices.Compact(jobs)
}

func sorted(jobs ...string) []string {
	slices.Sort(jobs)
	return jobs
}

func TestAJobForEachBatchReasonAndVersion(t *testing.T) {
	h := newHouse(t)
	first := h.aside(2, "no-key", "no-key", "unreadable-item")
	second := h.aside(2, "no-key", "no-key")
	third := h.aside(3, "no-key")
	fourth := h.aside(0, "unreadable-item")
	for _, c := range []struct {
		job  queue.RedriveJob
		want []string
	}{
		{queue.RedriveJob{Corp: corp, Reason: "no-key", KeyVersion: 2}, sorted(job(first, "no-key", 2), job(second, "no-key", 2))},
		{queue.RedriveJob{Corp: corp, Reason: "no-key"}, sorted(job(first, "no-key", 2), job(second, "no-key", 2), job(third, "no-key", 3))},
		{queue.RedriveJob{Corp: corp, KeyVersion: 3}, []string{job(third, "no-key", 3)}},
		{queue.RedriveJob{Corp: corp}, sorted(job(first, "no-key", 2), job(second, "no-key", 2), job(third, "no-key", 3), job(first, "unreadable-item", 2), job(fourth, "unreadable-item", 0))},
		{queue.RedriveJob{Corp: corp, Reason: "no-such-reason"}, nil},
		{queue.RedriveJob{Corp: "wwnobody"}, nil},
	} {
		h.OK(h.redrive(t.Context(), c.job))
		jobs := h.Take("BatchQueue")
		slices.Sort(jobs)
		if diff := cmp.Diff(c.want, jobs); diff != "" {
			t.Errorf("%+v (-want +got)\n%s", c.job, diff)
		}
	}
}

func TestTheSampleJobIsUnderstood(t *testing.T) {
	h := newHouse(t)
	want := job(h.aside(2, "no-key"), "no-key", 2)
	event, err := os.ReadFile("../../events/redrive.json")
	h.OK(err)
	h.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "SendMessage" {
			return awslocal.FaultDecision{Act: awslocal.Refuse}
		}
		return awslocal.FaultDecision{}
	})
	paused := ""
	f := function(h.redriver, func(_ context.Context, handle string, _ time.Duration) error { paused = handle; return nil })
	answer, err := f.Invoke(t.Context(), event)
	h.OK(err)
	if got := fmt.Sprint(answer); !strings.Contains(got, "91c3e7a5") || paused != "handle-of-the-redrive" {
		t.Errorf("a job that fails comes back: %s, paused %q", got, paused)
	}
	h.Fault(nil)
	answer, err = f.Invoke(t.Context(), event)
	h.OK(err)
	if diff := cmp.Diff([]string{want}, h.sent()); diff != "" || fmt.Sprint(answer) != "{[]}" {
		t.Errorf("answered %v (-want +got)\n%s", answer, diff)
	}
}

func TestAnInterruptedRedriveIsCompletedByTheSchedule(t *testing.T) {
	h := newHouse(t)
	var want []string
	for range 5 {
		want = append(want, job(h.aside(2, "no-key"), "no-key", 2))
	}
	h.OK(h.op.PutKey(t.Context(), corp, ledger.KeyRow{Version: 2, Added: h.at}))
	sends := 0
	h.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "SendMessage" {
			if sends++; sends > 2 {
				return awslocal.FaultDecision{Act: awslocal.CutInstead}
			}
		}
		return awslocal.FaultDecision{}
	})
	if err := h.redrive(t.Context(), queue.RedriveJob{Corp: corp, Reason: "no-key", KeyVersion: 2}); err == nil {
		t.Fatal("the interruption was not noticed")
	}
	if jobs := h.sent(); len(jobs) != 2 {
		t.Errorf("before the interruption: %q", jobs)
	}
	h.Fault(nil)
	h.OK(h.run(t.Context()))
	if diff := cmp.Diff(sorted(want...), h.sent()); diff != "" {
		t.Errorf("the schedule (-want +got)\n%s", diff)
	}
}

func TestTheScheduleTriesAgainOnlyWhatMayOpen(t *testing.T) {
	now := time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC)
	r := &redriver{now: func() time.Time { return now }}
	ago := func(h int) time.Time { return now.Add(-time.Duration(h) * time.Hour) }
	for _, c := range []struct {
		name   string
		reason string
		since  time.Time
		added  time.Time // of the key; zero: not held
		before ledger.Redriven
		want   bool
	}{
		{"no key, none held", "no-key", ago(5), time.Time{}, ledger.Redriven{}, false},
		{"no key, held since", "no-key", ago(5), ago(1), ledger.Redriven{}, true},
		{"no key, set aside while the key came", "no-key", ago(1), ago(2), ledger.Redriven{At: ago(2), Times: 1}, true},
		{"no key, put back five minutes ago", "no-key", ago(1), ago(2), ledger.Redriven{At: now.Add(-5 * time.Minute), Times: 1}, true},
		{"no key, put back a minute ago", "no-key", ago(1), ago(2), ledger.Redriven{At: now.Add(-time.Minute), Times: 1}, false},
		{"no key, put back twice, and five minutes ago", "no-key", ago(1), ago(2), ledger.Redriven{At: now.Add(-5 * time.Minute), Times: 2}, false},
		{"no key, put back often, and an hour ago", "no-key", ago(9), ago(9), ledger.Redriven{At: ago(1), Times: 40}, true},
		{"no key, put back often before the key came", "no-key", ago(9), now, ledger.Redriven{At: now.Add(-time.Minute), Times: 40}, true},
		{"the key does not fit, and is the same", "key-does-not-fit", ago(1), ago(9), ledger.Redriven{}, false},
		{"the key does not fit, another came", "key-does-not-fit", ago(9), ago(1), ledger.Redriven{}, true},
		{"the key does not fit, another came and was tried", "key-does-not-fit", ago(9), ago(2), ledger.Redriven{At: ago(1), Times: 1}, false},
		{"the key does not fit, a third came", "key-does-not-fit", ago(9), ago(1), ledger.Redriven{At: ago(2), Times: 1}, true},
		{"the library crashed an hour ago", "library-crash", ago(1), time.Time{}, ledger.Redriven{}, false},
		{"the library crashed yesterday", "library-crash", ago(24), time.Time{}, ledger.Redriven{}, true},
		{"the library crashed and was tried yesterday", "library-crash", ago(99), time.Time{}, ledger.Redriven{At: ago(24), Times: 1}, false},
		{"the library crashed and was tried two days ago", "library-crash", ago(99), time.Time{}, ledger.Redriven{At: ago(48), Times: 1}, true},
		{"the library crashed and was tried often", "library-crash", ago(9999), time.Time{}, ledger.Redriven{At: ago(32 * 24), Times: 40}, true},
		{"the library crashed and was tried often, of late", "library-crash", ago(9999), time.Time{}, ledger.Redriven{At: ago(31 * 24), Times: 40}, false},
	} {
		keys := map[archive.KeyVersion]ledger.KeyRow{}
		if !c.added.IsZero() {
			keys[2] = ledger.KeyRow{Version: 2, Added: c.added}
		}
		g := ledger.Aside{Reason: c.reason, KeyVersion: 2, Since: c.since}
		if got := r.due(g, keys, c.before); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTheScheduleLeavesATriedGroupAlone(t *testing.T) {
	h := newHouse(t)
	b := h.aside(1, "library-crash")
	h.OK(h.run(t.Context()))
	if jobs := h.sent(); len(jobs) > 0 {
		t.Errorf("at once: %q", jobs)
	}
	h.at = h.at.Add(25 * time.Hour)
	for i, want := range [][]string{{job(b, "library-crash", 1)}, nil} {
		h.OK(h.run(t.Context()))
		if diff := cmp.Diff(want, h.sent()); diff != "" {
			t.Errorf("run %d after a day (-want +got)\n%s", i+1, diff)
		}
	}
}

// TestEveryWriteMayFailOnce is the fault table: each write refused, and each done but reported as failed; the next run ends where an
// undisturbed one does.
func TestEveryWriteMayFailOnce(t *testing.T) {
	plant := func(t *testing.T) *house {
		h := newHouse(t)
		h.aside(2, "no-key")
		h.aside(2, "no-key", "library-crash")
		h.OK(h.op.PutKey(t.Context(), corp, ledger.KeyRow{Version: 2, Added: h.at.Add(time.Hour)}))
		h.at = h.at.Add(25 * time.Hour)
		return h
	}
	type end struct {
		Rows map[string]string
		Jobs []string
	}
	h := plant(t)
	h.OK(h.run(t.Context()))
	want := end{h.Rows("ControlTable", "times"), h.sent()}
	if len(want.Jobs) != 3 {
		t.Fatalf("undisturbed: %q", want.Jobs)
	}
	for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter} {
		for i := range 5 {
			t.Run(fmt.Sprintf("act %d of write %d", act, i+1), func(t *testing.T) {
				t.Parallel()
				h := plant(t)
				seen := 0
				h.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
					if q.Operation == "SendMessage" || q.Operation == "PutItem" {
						if seen++; seen == i+1 {
							return awslocal.FaultDecision{Act: act}
						}
					}
					return awslocal.FaultDecision{}
				})
				if err := h.run(t.Context()); err == nil {
					t.Error("the fault was not noticed")
				}
				h.Fault(nil)
				h.OK(h.run(t.Context()))
				if diff := cmp.Diff(want, end{h.Rows("ControlTable", "times"), h.sent()}); diff != "" {
					t.Errorf("(-undisturbed +disturbed)\n%s", diff)
				}
			})
		}
	}
}

func TestAPanicOfOneCorpIsToldWithoutItsValueAndEndsNoOther(t *testing.T) {
	h := newHouse(t)
	h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: "wwablown", Added: h.at})) // the first
	h.aside(3, ledger.ReasonNoKey)
	h.OK(h.op.PutKey(t.Context(), corp, ledger.KeyRow{Version: 3, Added: h.at}))
	h.use(rig.Panicking(h.Config("RedriveFunction"), "wwablown"))
	err := h.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "redrive corp wwablown: panic with a value of type string") || strings.Contains(err.Error(), "canary") {
		t.Errorf("the run says %v", err)
	}
	if n := len(h.Take("BatchQueue")); n != 1 {
		t.Errorf("%d jobs of the other corp", n)
	}
}

// TestAnItemSetAsideWhileItsKeyCameIsPutBackWithinFiveMinutes: the redrive of the key's arrival has passed it.
func TestAnItemSetAsideWhileItsKeyCameIsPutBackWithinFiveMinutes(t *testing.T) {
	h := newHouse(t)
	tmpl, ok := h.Template.Function("RedriveFunction")
	if !ok || len(tmpl.Schedules) != 1 || tmpl.Schedules[0].Expression != "rate(5 minutes)" {
		t.Fatal("the schedule is not every five minutes")
	}
	h.OK(h.op.PutKey(t.Context(), corp, ledger.KeyRow{Version: 2, Added: h.at}))
	h.OK(h.redrive(t.Context(), queue.RedriveJob{Corp: corp, Reason: "no-key", KeyVersion: 2}))
	h.at = h.at.Add(time.Second)
	late := h.aside(2, "no-key")
	h.at = h.at.Add(5*time.Minute - time.Second)
	h.OK(h.run(t.Context()))
	if diff := cmp.Diff([]string{job(late, "no-key", 2)}, h.sent()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestACorpWithNothingSetAsideCostsOneRead holds down what 288 runs a day cost.
func TestACorpWithNothingSetAsideCostsOneRead(t *testing.T) {
	h := newHouse(t)
	calls := map[string]int{}
	var mu sync.Mutex
	h.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		mu.Lock()
		defer mu.Unlock()
		calls[q.Operation]++
		return awslocal.FaultDecision{}
	})
	h.OK(h.run(t.Context()))
	h.Fault(nil)
	if diff := cmp.Diff(map[string]int{"Query": 2}, calls); diff != "" { // the corps, and what the one has set aside
		t.Errorf("(-want +got)\n%s", diff)
	}
}
