package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

func TestOneBuildsAReportUntilHisClaimRunsOut(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	claim := func(owner string, now time.Time) bool {
		ok, err := b.ClaimRun(ctx, ledger.Run{Corp: corp, Day: "2031-05-06", Report: "R1", Owner: owner, Until: now.Add(time.Minute)}, now)
		b.OK(err)
		return ok
	}
	if !claim("one", noon) || claim("two", noon) || claim("two", noon.Add(time.Minute)) {
		t.Fatal("the first claim does not stand")
	}
	if !claim("two", noon.Add(time.Minute+time.Millisecond)) {
		t.Fatal("a claim that has run out stands")
	}
	run := ledger.Run{Corp: corp, Day: "2031-05-06", Report: "R1", Mails: 2, Object: "reports/a", Version: "v", Done: noon}
	run.Owner = "one"
	if err := b.FinishRun(ctx, run); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("the one who lost it finishes it: %v", err)
	}
	run.Owner = "two"
	b.OK(b.FinishRun(ctx, run))
	if claim("three", noon.Add(time.Hour)) || claim("two", noon.Add(time.Hour)) {
		t.Error("a run that is done was claimed")
	}
	if r, err := b.RunOf(ctx, corp, "2031-05-06", "R1"); err != nil || r.State != ledger.RunDone || r.Mails != 2 {
		t.Errorf("the run is %+v: %v", r, err)
	}
}

func TestAReleasedRunIsClaimedAtOnce(t *testing.T) {
	b := newBench(t)
	run := ledger.Run{Corp: corp, Day: "2031-05-06", Report: "R1", Owner: "one", Until: noon.Add(time.Minute)}
	if ok, err := b.ClaimRun(t.Context(), run, noon); !ok || err != nil {
		t.Fatal(ok, err)
	}
	b.OK(b.ReleaseRun(t.Context(), run, noon))
	run.Owner = "two"
	if ok, err := b.ClaimRun(t.Context(), run, noon); !ok || err != nil {
		t.Error(ok, err)
	}
}

func TestAMailIsClaimedByOneAndSettledByHim(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	mail := ledger.MailRow{Corp: corp, Day: "2031-05-06", Report: "R1", To: "ann@tide.example", Object: "mails/a", Version: "v", At: noon}
	b.OK(b.PlanMail(ctx, mail))
	one, err := b.ClaimMail(ctx, mail, "one", noon, noon.Add(time.Minute))
	if err != nil || one.State != ledger.MailSending || one.Attempt != 1 {
		t.Fatalf("%+v: %v", one, err)
	}
	if _, err := b.ClaimMail(ctx, mail, "two", noon, noon.Add(time.Minute)); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("two claim it: %v", err)
	}
	b.OK(b.PlanMail(ctx, mail)) // planned again by a repeated report
	// Nothing was sent for certain: the attempt does not count.
	b.OK(b.SettleMail(ctx, mail, "one", ledger.MailPlanned, "", "mail-throttled", noon))
	two, err := b.ClaimMail(ctx, mail, "two", noon, noon.Add(time.Minute))
	if err != nil || two.Attempt != 1 {
		t.Fatalf("%+v: %v", two, err)
	}
	// The second dies: after its claim has run out the third may send a double.
	three, err := b.ClaimMail(ctx, mail, "three", noon.Add(2*time.Minute), noon.Add(3*time.Minute))
	if err != nil || three.Attempt != 2 {
		t.Fatalf("%+v: %v", three, err)
	}
	if err := b.SettleMail(ctx, mail, "two", ledger.MailSent, "ses-2", "", noon); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("one who lost the mail settles it: %v", err)
	}
	b.OK(b.SettleMail(ctx, mail, "three", ledger.MailSent, "ses-3", "", noon))
	b.OK(b.SettleMail(ctx, mail, "three", ledger.MailSent, "ses-3", "", noon))
	if _, err := b.ClaimMail(ctx, mail, "four", noon.Add(time.Hour), noon.Add(2*time.Hour)); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("a sent mail is claimed: %v", err)
	}
}

func TestThatAMailsJobWasSentAgainIsNotedOnce(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	mail := ledger.MailRow{Corp: corp, Day: "2031-05-07", Report: "R1", To: "ann@tide.example", Object: "mails/a", Version: "v", At: noon}
	b.OK(b.PlanMail(ctx, mail))
	expect := func(nudges int, at time.Time, owner string) ledger.MailRow {
		t.Helper()
		m, err := b.Mail(ctx, corp, mail.Key())
		if err != nil || m.Nudges != nudges || !m.Nudged.Equal(at) || m.NudgedOwner != owner {
			t.Fatalf("%+v: %v", m, err)
		}
		return m
	}
	before := expect(0, time.Time{}, "")
	first, second := noon.Add(10*time.Minute), noon.Add(20*time.Minute)
	b.OK(b.NoteNudge(ctx, before, 1, first))
	b.OK(b.NoteNudge(ctx, before, 1, second)) // another sweep, which read the same
	before = expect(1, first, "")
	if _, err := b.ClaimMail(ctx, mail, "one", second, second.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	one, err := b.Mail(ctx, corp, mail.Key())
	b.OK(err)
	b.OK(b.NoteNudge(ctx, one, 2, second))
	b.OK(b.NoteNudge(ctx, before, 2, second.Add(time.Minute)))
	one = expect(2, second, "one")
	b.OK(b.SettleMail(ctx, mail, "one", ledger.MailSent, "ses-1", "", second))
	b.OK(b.NoteNudge(ctx, one, 3, second.Add(time.Hour)))
	expect(2, second, "one")
}
