package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// take asks for a corp's lease and takes it at once.
func (b bench) take(id archive.CorpID, me string) ledger.Lease {
	b.Helper()
	seen, err := b.AskLease(b.Context(), id, me)
	b.OK(err)
	lease, _, err := b.TakeLease(b.Context(), id, me, seen)
	b.OK(err)
	return lease
}

func TestALeaseIsTakenFromWhoeverStandsStillAndFencesHim(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	old := b.take(corp, "old")
	seen, err := b.AskLease(ctx, corp, "new")
	b.OK(err)
	if seen.Owner != "old" || seen.Wanted != "new" || seen.Fence != old.Fence {
		t.Fatalf("the challenger sees %+v", seen)
	}
	if c, err := b.Beat(ctx, old, ledger.Poll{}); err != nil || c.Wanted != "new" {
		t.Fatalf("the holder does not learn who wants the lease: %+v, %v", c, err)
	}
	if _, _, err := b.TakeLease(ctx, corp, "new", seen); !errors.Is(err, ledger.ErrLost) {
		t.Fatalf("a holder that has polled since was replaced: %v", err)
	}
	seen, err = b.Cursor(ctx, corp)
	b.OK(err)
	lease, cursor, err := b.TakeLease(ctx, corp, "new", seen)
	if err != nil || lease.Fence <= old.Fence || cursor.Wanted != "" {
		t.Fatalf("the lease is %+v, the cursor %+v: %v", lease, cursor, err)
	}
	before := b.Rows("ControlTable")
	if _, err := b.Beat(ctx, old, ledger.Poll{Empties: 9}); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("the old holder's beat: %v", err)
	}
	if _, err := b.Advance(ctx, old, 0, 5, ledger.Link{}.Next("aa"), ledger.Poll{}); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("the old holder's advance: %v", err)
	}
	if err := b.Release(ctx, old); err != nil {
		t.Errorf("the old holder's release: %v", err)
	}
	if diff := cmp.Diff(before, b.Rows("ControlTable")); diff != "" {
		t.Errorf("the old holder changed something: %s", diff)
	}
}

func TestOfTwoThatSeeAFreeLeaseOneGetsIt(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	one, err := b.AskLease(ctx, corp, "one")
	b.OK(err)
	two, err := b.AskLease(ctx, corp, "two")
	b.OK(err)
	if _, _, err := b.TakeLease(ctx, corp, "two", two); err != nil {
		t.Fatal(err)
	}
	if _, c, err := b.TakeLease(ctx, corp, "one", one); !errors.Is(err, ledger.ErrLost) || c.Owner != "two" {
		t.Fatalf("the second got it too: %+v, %v", c, err)
	}
}

func TestALeaseIsFreeOnceReleased(t *testing.T) {
	b := newBench(t)
	first := b.take(corp, "one")
	b.OK(b.Release(t.Context(), first))
	if second := b.take(corp, "two"); second.Fence != first.Fence+1 {
		t.Errorf("the fence went from %d to %d", first.Fence, second.Fence)
	}
}

// TestALostAnswerIsOnesOwn: the SDK sends again what took effect, and the second answer is a failed condition.
func TestALostAnswerIsOnesOwn(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	seen, err := b.AskLease(ctx, corp, "me")
	b.OK(err)
	b.loseAnswer("UpdateItem")
	lease, _, err := b.TakeLease(ctx, corp, "me", seen)
	if err != nil {
		t.Fatalf("the lease: %v", err)
	}
	row := batch(corp, 1, 4, ledger.Link{})
	b.loseAnswer("PutItem")
	if _, err := b.PutBatch(ctx, row); err != nil {
		t.Fatalf("the batch: %v", err)
	}
	b.loseAnswer("UpdateItem")
	poll := ledger.Poll{CaughtUp: noon, LastWhole: noon.Add(time.Second), Limit: 125}
	moved, err := b.Advance(ctx, lease, 0, 4, row.Link, poll)
	if err != nil {
		t.Fatalf("the cursor: %v", err)
	}
	c, err := b.Cursor(ctx, corp)
	if diff := cmp.Diff(c, moved); diff != "" {
		t.Errorf("what it answers is not what is there: %s", diff)
	}
	if err != nil || c.Seq != 4 || c.Chain != row.Link || c.Owner != "me" {
		t.Fatalf("the cursor is %+v: %v", c, err)
	}
	run := ledger.Run{Corp: corp, Day: "2031-05-06", Report: "R1", Owner: "me", Until: noon.Add(time.Minute)}
	b.loseAnswer("PutItem")
	if ok, err := b.ClaimRun(ctx, run, noon); !ok || err != nil {
		t.Fatalf("the run: %v, %v", ok, err)
	}
	mail := ledger.MailRow{Corp: corp, Day: "2031-05-06", Report: "R1", To: "ann@tide.example"}
	b.loseAnswer("PutItem")
	b.OK(b.PlanMail(ctx, mail))
	b.loseAnswer("UpdateItem")
	if m, err := b.ClaimMail(ctx, mail, "me", noon, noon.Add(time.Minute)); err != nil || m.Attempt != 1 {
		t.Fatalf("the mail: %+v, %v", m, err)
	}
	b.loseAnswer("UpdateItem")
	if err := b.SettleMail(ctx, mail, "me", ledger.MailSent, "ses-1", "", noon); err != nil {
		t.Fatalf("the mail's end: %v", err)
	}
}

func TestTheCursorMovesOnlyFromWhereItStands(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	lease := b.take(corp, "me")
	const big = archive.Seq(1<<64 - 2)
	one := ledger.Link{}.Next("aa")
	_, err := b.Advance(ctx, lease, 0, big, one, ledger.Poll{})
	b.OK(err)
	for name, from := range map[string]archive.Seq{"the beginning": 0, "below": big - 1, "above": big + 1} {
		if _, err := b.Advance(ctx, lease, from, big+1, one.Next("bb"), ledger.Poll{Empties: 9}); !errors.Is(err, ledger.ErrLost) {
			t.Errorf("from %s: %v", name, err)
		}
	}
	_, err = b.Advance(ctx, lease, big, big+1, one.Next("bb"), ledger.Poll{})
	b.OK(err)
	if c, err := b.Cursor(ctx, corp); err != nil || c.Seq != big+1 || c.Chain.N != 2 || c.Empties != 0 {
		t.Errorf("the cursor is %+v: %v", c, err)
	}
}

func TestAPollIsReadBackAsItWasReported(t *testing.T) {
	b := newBench(t)
	lease := b.take(corp, "me")
	want := ledger.Poll{CaughtUp: noon, Empties: 2, LastWhole: noon.Add(time.Second), Limit: 250,
		Trouble: &ledger.Trouble{Cause: "network", Sentence: "say so", Since: noon, Code: 10001, Address: "203.0.113.9", Tried: noon}}
	c, err := b.Beat(t.Context(), lease, want)
	b.OK(err)
	if diff := cmp.Diff(want, ledger.Poll{CaughtUp: c.CaughtUp, Empties: c.Empties, LastWhole: c.LastWhole, Limit: c.Limit, Trouble: c.Trouble}); diff != "" {
		t.Error(diff)
	}
	if c, err = b.Beat(t.Context(), lease, ledger.Poll{}); err != nil || c.Trouble != nil || !c.CaughtUp.IsZero() {
		t.Errorf("trouble that is over stays: %+v, %v", c, err)
	}
	// The cursor's move reports the poll as well, counts as a beat, and shows who asks for the lease.
	before := c.Beat
	_, err = b.AskLease(t.Context(), corp, "another")
	b.OK(err)
	c, err = b.Advance(t.Context(), lease, 0, 7, ledger.Link{}.Next("aa"), want)
	b.OK(err)
	if diff := cmp.Diff(want, ledger.Poll{CaughtUp: c.CaughtUp, Empties: c.Empties, LastWhole: c.LastWhole, Limit: c.Limit, Trouble: c.Trouble}); diff != "" {
		t.Error(diff)
	}
	if c.Seq != 7 || c.Beat != before+1 || c.Wanted != "another" {
		t.Errorf("the cursor that moved is %+v, after beat %d", c, before)
	}
}
