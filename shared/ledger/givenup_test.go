package ledger_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

func TestAMailThatIsGivenUpStandsUntilItIsSettled(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	plan := func(to string) ledger.MailRow {
		t.Helper()
		m := ledger.MailRow{Corp: corp, Day: "2031-05-07", Report: "R1", To: to, Object: "mails/a", Version: "v", At: noon}
		b.OK(b.PlanMail(ctx, m))
		return m
	}
	later := noon.Add(100 * time.Hour)
	row := func(m ledger.MailRow) ledger.MailRow {
		t.Helper()
		m, err := b.Mail(ctx, corp, m.Key())
		b.OK(err)
		return m
	}
	stand := func(want ...string) (last ledger.GivenUp) {
		t.Helper()
		all, err := b.GivenUps(ctx, corp)
		b.OK(err)
		if len(all) != len(want) {
			t.Fatalf("given up: %+v, want %q", all, want)
		}
		for i, g := range all {
			if g.Key() != want[i] || g.Corp != corp || g.At.IsZero() || !g.Settled.IsZero() {
				t.Fatalf("given up: %+v, want %q", all, want)
			}
			last = g
		}
		return last
	}

	m := plan("ann@tide.example")
	for range 2 { // the first answer is lost
		b.OK(b.GiveUpMail(ctx, row(m), later, later))
	}
	if got := row(m); got.State != ledger.MailGivenUp || !got.Settled() || got.Reason != ledger.GivenUpUnsent || !got.At.Equal(later) {
		t.Errorf("given up: %+v", got)
	}
	if _, unheard := row(m).Unheard(); !unheard {
		t.Error("SES was never asked, and the receiver counts as one who heard")
	}
	if _, err := b.ClaimMail(ctx, m, "one", later, later.Add(time.Minute)); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("a mail that was given up is claimed: %v", err)
	}
	g := stand(m.Key())
	for range 2 {
		b.OK(b.ReopenMail(ctx, g, later.Add(time.Hour)))
	}
	if got := row(m); got.State != ledger.MailPlanned || !got.At.Equal(later.Add(time.Hour)) {
		t.Errorf("planned again: %+v", got)
	}
	stand(m.Key()) // until it is sent
	claimed, err := b.ClaimMail(ctx, m, "one", later, later.Add(time.Minute))
	b.OK(err)
	if err := b.GiveUpMail(ctx, claimed, later.Add(time.Second), later); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("a mail that is being sent is given up: %v", err)
	}
	b.OK(b.SettleMail(ctx, claimed, "one", ledger.MailSent, "ses-1", "", later))
	if err := b.ReopenMail(ctx, g, later); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("a sent mail is planned again: %v", err)
	}
	for range 2 {
		b.OK(b.SettleGivenUp(ctx, g, later))
	}
	stand()

	asked := plan("ben@tide.example")
	_, err = b.ClaimMail(ctx, asked, "one", noon, noon.Add(time.Minute))
	b.OK(err)
	b.OK(b.GiveUpMail(ctx, row(asked), later, later))
	if got := row(asked); got.Reason != ledger.GivenUpUnknown {
		t.Errorf("SES was asked: %+v", got)
	}
	if _, unheard := row(asked).Unheard(); unheard {
		t.Error("SES may have taken it, and the receiver certainly did not hear")
	}
	stand(asked.Key())
	if _, _, err := b.TookMail(ctx, corp, asked.Key(), "ses-2", later); err != nil || row(asked).State != ledger.MailSent {
		t.Errorf("SES says late that it took it: %v", err)
	}
	if err := b.SettleGivenUp(ctx, ledger.GivenUp{Corp: corp, Day: "2031-05-07", Report: "R1", To: "nobody@tide.example"}, later); !errors.Is(err, ledger.ErrAbsent) {
		t.Errorf("what was never given up is settled: %v", err)
	}
}

func TestATellingThatIsGivenUpStandsUntilItIsSettledAndIsNeverSentAgain(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	later := noon.Add(100 * time.Hour)
	stand := func(want ...string) (last ledger.GivenUp) {
		t.Helper()
		all, err := b.GivenUps(ctx, corp)
		b.OK(err)
		var got []string
		for _, g := range all {
			last, got = g, append(got, g.Key()+" "+g.Reason)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("given up: %q, want %q", got, want)
		}
		return last
	}
	b.OK(b.PlanTelling(ctx, telling))
	b.OK(b.WaitTelling(ctx, b.claim("one", noon), ledger.TellAddress))
	was := b.telling()
	b.loseAnswer("UpdateItem")
	for range 2 { // two sweeps at once
		b.OK(b.GiveUpTelling(ctx, was, later, later))
	}
	b.Fault(nil)
	if got := b.telling(); got.State != ledger.MailGivenUp || !got.Settled() || got.Reason != "not-sent-in-time: untrusted-address" || !got.At.Equal(later) {
		t.Errorf("given up: %+v", got)
	}
	g := stand("2031-05-07#R2#wecom#lin not-sent-in-time: untrusted-address")
	if !g.InWeCom || g.To != "lin" || g.Day != telling.Day || !g.At.Equal(later) || g.Doubtful() || g.Key() == telling.Key() {
		t.Errorf("stands as %+v", g)
	}
	if _, err := b.ClaimTelling(ctx, telling, "two", 7, later, later.Add(time.Minute), window); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("a telling that was given up is claimed: %v", err)
	}
	if err := b.ReopenMail(ctx, g, later); !errors.Is(err, ledger.ErrLost) || b.telling().State != ledger.MailGivenUp {
		t.Errorf("it is planned again: %v", err)
	}
	if g = stand("2031-05-07#R2#wecom#lin not-sent-in-time: untrusted-address"); !g.Again.IsZero() {
		t.Errorf("it is to be sent still: %+v", g)
	}
	b.OK(b.PlanTelling(ctx, telling)) // a run that is made late
	for range 2 {
		b.OK(b.SettleGivenUp(ctx, g, later))
	}
	stand()
	if got := b.telling(); got.State != ledger.MailGivenUp {
		t.Errorf("settled: %+v", got)
	}
}

func TestATellingThatIsBeingSentIsNotGivenUpAndOneThatMayHaveBeenShownSaysSo(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	b.OK(b.PlanTelling(ctx, telling))
	planned, one := b.telling(), b.claim("one", noon)
	for name, was := range map[string]ledger.Telling{"as it was read before": planned, "as it is": b.telling()} {
		if err := b.GiveUpTelling(ctx, was, noon.Add(time.Minute), noon.Add(time.Minute)); !errors.Is(err, ledger.ErrLost) {
			t.Errorf("a telling that is being sent is given up, %s: %v", name, err)
		}
		if all, err := b.GivenUps(ctx, corp); err != nil || len(all) != 0 {
			t.Errorf("it stands as given up, %s: %+v, %v", name, all, err)
		}
	}
	later := noon.Add(100 * time.Hour)
	b.OK(b.GiveUpTelling(ctx, b.telling(), later, later))
	if got := b.telling(); got.Reason != ledger.GivenUpUnknown || got.State != ledger.MailGivenUp {
		t.Errorf("nobody knows whether it was shown: %+v", got)
	}
	if err := b.SettleTelling(ctx, one, ledger.Told, "m", "", later); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("its sender comes back after days: %v", err)
	}
}

func TestWhatIsOlderThanFourDaysIsNotSentAnyMoreInAnyZone(t *testing.T) {
	for at, want := range map[string]string{
		"2028-03-04T00:00:00Z": "2028-02-29", "2028-03-04T23:59:59Z": "2028-02-29", "2028-03-05T07:00:00+08:00": "2028-02-29", "2028-03-05T08:00:00+08:00": "2028-03-01",
	} {
		now, err := time.Parse(time.RFC3339, at)
		if got := ledger.OldestSent(now); err != nil || got != want {
			t.Errorf("at %s: %s, want %s: %v", at, got, want, err)
		}
	}
}
