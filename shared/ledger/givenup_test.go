package ledger_test

import (
	"errors"
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
