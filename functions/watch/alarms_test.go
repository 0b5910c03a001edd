package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
)

func TestEachTroubleHasItsCauseAndItsMoment(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		cause  string
		code   int
		want   string
		atOnce bool
	}{
		{"bad-secret", 40001, "secret-refused", true},
		{"bad-secret", 48002, "access-forbidden", true},
		{"untrusted-ip", 301042, "address-not-trusted", true},
		{"untrusted-ip", 0, "address-not-trusted", true},
		{"bad-certificate", 0, "certificate-refused", true},
		{"service-expired", 301052, "service-expired", true},
		{"service-not-opened", 301053, "service-not-opened", true},
		{"not-a-library", 0, "library-missing", true},
		{"rate-limited", 45009, "rate-limited", false},
		{"child-died", 0, "library-dies", false},
		{"refused", 301999, "refused", false},
		{"network", 0, "not-fetching", false},
		{"a word of tomorrow", 0, "not-fetching", false},
	} {
		tr := &ledger.Trouble{Cause: c.cause, Code: c.code, Address: "198.51.100.7", Since: h.at.Add(-time.Minute)}
		h.polled(ledger.Poll{CaughtUp: h.at.Add(-time.Hour), LastWhole: h.at.Add(-2 * time.Minute), Trouble: tr})
		h.watched()
		open, _ := h.alarms()
		if got := slices.Equal(open, []string{c.want}); got != c.atOnce || !c.atOnce && len(open) > 0 {
			t.Errorf("%s %d, two minutes old: %q", c.cause, c.code, open)
		}
		h.at = h.at.Add(20 * time.Minute)
		h.watched()
		open, all := h.alarms()
		if !slices.Equal(open, []string{c.want}) {
			t.Errorf("%s %d, 20 minutes old: %q", c.cause, c.code, open)
		}
		if address := all[c.want].Detail; address != "" != (c.want == "address-not-trusted") {
			t.Errorf("%s %d: the address %q", c.cause, c.code, address)
		}
		if a := all[c.want]; a.Code != c.code || !a.Deadline.Equal(h.at.Add(-80*time.Minute).Add(120*time.Hour)) {
			t.Errorf("%s %d: %+v", c.cause, c.code, a)
		}
		h.at = h.at.Add(time.Minute)
		h.well()
		h.watched()
		if open, _ := h.alarms(); len(open) > 0 {
			t.Errorf("%s %d, mended: %q", c.cause, c.code, open)
		}
	}
}

func TestAnAlarmIsToldOnceWhenItOpensChangesAndEnds(t *testing.T) {
	h := newHouse(t)
	h.well()
	h.watched()
	if n := h.mailed(); n != 0 {
		t.Fatalf("%d mails for a corp that is well", n)
	}
	h.OK(h.op.PutKey(t.Context(), corp, ledger.KeyRow{Version: 1, Added: h.at}))
	began := h.at
	b := h.batch(3)
	h.finish(b, 2, ledger.ReasonNoKey, ledger.ReasonNoKey)
	step := func(what string, mails int, open ...string) ledger.Alarm {
		t.Helper()
		for i := range 2 {
			h.watched()
			if n := h.mailed(); n != mails || i == 1 && n != 0 {
				t.Errorf("%s: run %d asks for %d mails", what, i+1, n)
			}
			mails = 0
		}
		got, all := h.alarms()
		if !slices.Equal(got, open) {
			t.Errorf("%s: the alarms are %q, want %q", what, got, open)
		}
		return all["key-missing:2"]
	}
	a := step("two messages", 1, "key-missing:2")
	want := ledger.Alarm{Corp: corp, Cause: "key-missing:2", Open: true, Since: began, Seen: began, Affected: 2, Deadline: began.Add(72*time.Hour - time.Minute), Detail: "1"}
	want.Told, want.ToldTo = want.Fingerprint(), map[string]ledger.Hearing{} // the company has no receivers
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.at = h.at.Add(time.Hour)
	h.well()
	more := h.batch(20)
	h.finish(more, 2, slices.Repeat([]string{ledger.ReasonNoKey}, 9)...)
	if a = step("more messages", 1, "key-missing:2"); a.Affected != 11 || !a.Since.Equal(began) {
		t.Errorf("more messages: %+v", a)
	}
	h.at = began.Add(50 * time.Hour)
	h.well()
	step("the last day", 1, "key-missing:2")
	h.OK(h.op.PutKey(t.Context(), corp, ledger.KeyRow{Version: 2, Added: h.at}))
	h.opened(b)
	h.opened(more)
	if a = step("the key has come", 1); a.Open || !a.Over.Equal(h.at) || !a.Since.Equal(began) {
		t.Errorf("over: %+v", a)
	}
	h.at = h.at.Add(time.Hour)
	h.well()
	again := h.batch(1)
	h.finish(again, 3, ledger.ReasonNoKey)
	step("another version", 1, "key-missing:3")
}

func TestSetAsideItemsHaveTheCauseOfTheirReason(t *testing.T) {
	h := newHouse(t)
	h.well()
	h.OK(h.op.PutKey(t.Context(), corp, ledger.KeyRow{Version: 1, Added: h.at.Add(-2 * time.Hour), Proven: true}))
	h.OK(h.op.PutKey(t.Context(), corp, ledger.KeyRow{Version: 2, Added: h.at.Add(-2 * time.Hour)}))
	h.OK(h.op.PutKey(t.Context(), corp, ledger.KeyRow{Version: 4, Added: h.at}))
	for version, reason := range []string{"library-crash", "key-does-not-fit", "key-does-not-fit", "no-key", "no-key"} {
		h.finish(h.batch(1), archive.KeyVersion(version), reason) // versions 0 to 4
	}
	h.finish(h.batch(2), 7, "library-crash", "decrypt-10008")
	h.watched()
	open, all := h.alarms()
	// Version 4's key has just come; version 1's key opens others.
	want := []string{"key-does-not-fit:2", "key-missing:3", "set-aside:decrypt-10008", "set-aside:key-does-not-fit", "set-aside:library-crash"}
	if !slices.Equal(open, want) {
		t.Errorf("the alarms are %q, want %q", open, want)
	}
	if a := all["set-aside:library-crash"]; a.Affected != 2 {
		t.Errorf("of two versions: %+v", a)
	}
	if a := all["key-missing:3"]; a.Detail != "1, 2, 4" {
		t.Errorf("the versions held are %q", a.Detail)
	}
}

func TestMostlySetAsideNeedsFiftyItemsAndEndsWhenTheyOpen(t *testing.T) {
	h := newHouse(t)
	h.well()
	mostly := func() []string {
		t.Helper()
		h.watched()
		open, _ := h.alarms()
		return slices.DeleteFunc(open, func(c string) bool { return c != "mostly-set-aside:decrypt-10006" })
	}
	first := h.batch(49)
	h.finish(first, 1, slices.Repeat([]string{"decrypt-10006"}, 30)...)
	if got := mostly(); len(got) > 0 {
		t.Errorf("with 49 items: %q", got)
	}
	h.finish(h.batch(1), 1)
	if got := mostly(); len(got) != 1 {
		t.Errorf("with 30 of 50 items: %q", got)
	}
	h.at = h.at.Add(time.Hour)
	h.well()
	if got := mostly(); len(got) != 1 {
		t.Errorf("after an hour in which nothing came: %q", got)
	}
	h.finish(h.batch(60), 1, slices.Repeat([]string{"decrypt-10006"}, 30)...)
	if got := mostly(); len(got) > 0 {
		t.Errorf("when half of what comes opens: %q", got)
	}
}

func TestLostAttachmentsAndADyingLibraryAreAlarms(t *testing.T) {
	h := newHouse(t)
	h.well()
	w := h.waits("file", h.at)
	h.OK(h.op.SettleMedia(t.Context(), w, ledger.MediaRow{Corp: corp, Hash: w.FileID.Hash(), State: ledger.Lost, Reason: "media-expired", At: h.at}))
	b := h.batch(40)
	h.OK(h.op.BatchFailed(t.Context(), b, "library-dies-often"))
	h.watched()
	open, all := h.alarms()
	if !slices.Equal(open, []string{"library-dies", "media-lost"}) || all["library-dies"].Affected != 40 || all["media-lost"].Affected != 1 {
		t.Errorf("the alarms are %q %+v", open, all)
	}
	h.OK(h.op.SettleMedia(t.Context(), w, ledger.MediaRow{Corp: corp, Hash: w.FileID.Hash(), State: ledger.Kept, At: h.at}))
	h.finish(b, 1)
	h.watched()
	if open, _ := h.alarms(); len(open) > 0 {
		t.Errorf("the file came in and the library lives, but the alarms are %q", open)
	}
}

func TestAStandstillIsBelievedAtTheSecondLook(t *testing.T) {
	h := newHouse(t)
	h.well()
	h.at = h.at.Add(4 * time.Hour) // as when the clock of a played day moves
	h.second = 10 * time.Second
	looked := 0
	h.now = func() time.Time {
		if looked++; looked == 2 {
			h.well() // fetch has polled
		}
		return h.at
	}
	h.watched()
	if open, _ := h.alarms(); len(open) > 0 || looked < 2 {
		t.Errorf("a corp that polls a moment later: %q", open)
	}
	h.now, h.second = func() time.Time { return h.at.Add(time.Hour) }, 3*time.Millisecond
	h.watched()
	if open, _ := h.alarms(); !slices.Equal(open, []string{"not-fetching"}) {
		t.Errorf("a corp that stands still: %q", open)
	}
}

func TestABatchThatOnlyLooksOldIsNoAlarm(t *testing.T) {
	h := newHouse(t)
	b := h.batch(3)
	h.at = h.at.Add(4 * time.Hour)
	h.well()
	h.second = 10 * time.Second
	looked := 0
	h.now = func() time.Time {
		if looked++; looked == 2 {
			h.finish(b, 1) // process was about to
		}
		return h.at
	}
	h.watched()
	if open, _ := h.alarms(); len(open) > 0 {
		t.Errorf("the alarms are %q", open)
	}
}

func TestFscksAlarmsAreToldAndLeftAlone(t *testing.T) {
	h := newHouse(t)
	h.well()
	h.OK(h.op.PutAlarm(t.Context(), ledger.Alarm{Corp: corp, Cause: "unaccounted:batch-altered", Open: true, Since: h.at, Seen: h.at, Affected: 1}))
	for i, want := range []int{1, 0} {
		h.watched()
		if n := h.mailed(); n != want {
			t.Errorf("run %d asks for %d mails, want %d", i+1, n, want)
		}
	}
	if open, _ := h.alarms(); !slices.Equal(open, []string{"unaccounted:batch-altered"}) {
		t.Errorf("the alarms are %q", open)
	}
}

// TestEveryWriteMayFailOnce is the fault table: each write refused, and each done but reported as failed; the next run ends where an
// undisturbed one does.
func TestEveryWriteMayFailOnce(t *testing.T) {
	writes := map[string]bool{"UpdateItem": true, "PutItem": true, "SendMessage": true}
	h := newHouse(t)
	began := h.at
	plant := func(t *testing.T) {
		h.Rig.TB = t
		h.wipe("ControlTable", "MessagesTable")
		h.at, h.seq, h.chain = began, 0, ledger.Link{}
		h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: corp, Added: h.at.Add(-24 * time.Hour)}))
		h.polled(ledger.Poll{CaughtUp: h.at, LastWhole: h.at, Trouble: &ledger.Trouble{Cause: "service-expired", Code: 301052, Since: h.at}})
		h.finish(h.batch(2), 2, ledger.ReasonNoKey)
		h.batch(1)
		w := h.waits("file", h.at.Add(-50*time.Hour))
		h.OK(h.op.WaitingAnnounced(t.Context(), w, h.at.Add(-time.Hour), 0))
		h.OK(h.op.PutAlarm(t.Context(), ledger.Alarm{Corp: corp, Cause: "rate-limited", Open: true, Since: h.at, Seen: h.at}))
		h.at = h.at.Add(2 * time.Hour)
		h.use(h.Once("WatchFunction"))
	}
	type end struct {
		Rows map[string]string
		Jobs []string
	}
	ended := func() end {
		e := end{Rows: h.Rows("ControlTable")}
		for _, q := range []string{"BatchQueue", "MediaQueue", "ReportQueue"} {
			jobs := h.Take(q)
			slices.Sort(jobs)
			e.Jobs = append(e.Jobs, slices.Compact(jobs)...)
		}
		return e
	}
	plant(t)
	h.Calls()
	h.watched()
	n := 0
	for _, c := range h.Calls() {
		if writes[c.Operation] {
			n++
		}
	}
	want := ended()
	if n < 8 || len(want.Jobs) != 3 {
		t.Fatalf("an undisturbed run makes %d writes and the jobs %q", n, want.Jobs)
	}
	for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter} {
		for i := range n {
			t.Run(fmt.Sprintf("act %d of write %d", act, i+1), func(t *testing.T) {
				plant(t)
				seen := 0
				h.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
					if writes[q.Operation] {
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
				h.watched()
				if diff := cmp.Diff(want, ended()); diff != "" {
					t.Errorf("(-undisturbed +disturbed)\n%s", diff)
				}
			})
		}
	}
}

func TestWhatIsNotOpenedIsCountedInMessages(t *testing.T) {
	h := newHouse(t)
	h.batch(40)
	h.batch(2)
	h.at = h.at.Add(2 * time.Hour)
	h.well()
	h.watched()
	if open, all := h.alarms(); !slices.Equal(open, []string{"not-opening"}) || all["not-opening"].Affected != 42 {
		t.Errorf("the alarms are %q: %+v", open, all["not-opening"])
	}
}
