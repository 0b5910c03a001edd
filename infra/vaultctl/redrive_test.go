package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

func TestWaitingEndsWhenAllIsOpenOrNothingChangesAnyMore(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	l := r.Ledger(r.Config(rig.Operator))
	const corp = "wwwaits"
	hash := archive.HashHex([]byte("a batch"))
	b, err := l.PutBatch(t.Context(), ledger.BatchRow{Corp: corp, First: 1, Last: 3, Items: 3, SHA256: hash, Pulled: clock.Now(), Link: ledger.Link{}.Next(hash)})
	r.OK(err)
	_, err = l.ClaimSlot(t.Context(), b, "run")
	r.OK(err)
	var aside []ledger.Aside
	for i, reason := range []string{ledger.ReasonNoKey, ledger.ReasonNoKey, "library-hang"} {
		aside = append(aside, ledger.Aside{Corp: corp, Reason: reason, KeyVersion: 2, Seq: archive.Seq(1 + i), Batch: b.Key(), Index: i, Since: clock.Now()}) // #nosec G115 -- small
	}
	r.OK(l.SetAside(t.Context(), b, "run", aside, nil))
	r.OK(l.FinishBatch(t.Context(), b, "run", 0, 3, ""))
	var out, log bytes.Buffer
	p := &program{out: &out, log: &log, ledger: l}
	waits := func(reason string, patience time.Duration, want string) {
		t.Helper()
		out.Reset()
		r.OK(p.follow(t.Context(), corp, reason, 0, patience))
		if !strings.Contains(out.String(), want) {
			t.Errorf("of %q it says %q, not %q", reason, out.String(), want)
		}
	}
	waits(ledger.ReasonNoKey, time.Millisecond, "2 of them are still set aside")
	waits("another-reason", 20*time.Second, "nothing of it is set aside any more")
	kept, err := l.AsidesOf(t.Context(), corp, b.Key())
	r.OK(err)
	kept = slices.DeleteFunc(kept, func(a ledger.Aside) bool { return a.Reason != ledger.ReasonNoKey })
	closed := make(chan error, 1)
	go func() { closed <- l.CloseAside(t.Context(), b, kept, "segments/x", nil) }()
	waits(ledger.ReasonNoKey, 20*time.Second, "nothing of it is set aside any more")
	r.OK(<-closed)
	waits("", time.Millisecond, "1 of them are still set aside")
}
