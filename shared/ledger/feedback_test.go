package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

func planned(b bench, day string) ledger.MailRow {
	b.Helper()
	m := ledger.MailRow{Corp: corp, Day: day, Report: "R1", To: "ann@tide.example", Object: "mails/a", Version: "v", At: noon}
	b.OK(b.PlanMail(b.Context(), m))
	return m
}

func TestSESsWordSettlesAMailFromEveryStateButSent(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	for day, prepare := range map[string]func(ledger.MailRow) error{
		"2031-05-01": func(ledger.MailRow) error { return nil },
		"2031-05-02": func(m ledger.MailRow) error {
			_, err := b.ClaimMail(ctx, m, "one", noon, noon.Add(time.Minute))
			return err
		},
		"2031-05-03": func(m ledger.MailRow) error { return b.RefuseMail(ctx, m, "receiver-suppressed", noon, noon) },
	} {
		m := planned(b, day)
		b.OK(prepare(m))
		got, settled, err := b.TookMail(ctx, corp, m.Key(), "ses-1", noon)
		if err != nil || !settled || got.State != ledger.MailSent || got.SESID != "ses-1" || got.Reason != "" {
			t.Errorf("%s: %+v, settled %t: %v", day, got, settled, err)
		}
		got, settled, err = b.TookMail(ctx, corp, m.Key(), "ses-2", noon.Add(time.Hour))
		if err != nil || settled || got.SESID != "ses-1" {
			t.Errorf("%s, again: %+v, settled %t: %v", day, got, settled, err)
		}
	}
	if _, _, err := b.TookMail(ctx, corp, "2031-05-09#R1#0000000000000000", "ses-1", noon); !errors.Is(err, ledger.ErrAbsent) {
		t.Errorf("a mail that was never planned: %v", err)
	}
}

// Events come in any order: the strongest fate stands in the end.
func TestAFateGivesWayToAStrongerOneOnly(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	all := []ledger.Fate{ledger.Delivered, ledger.SoftBounced, ledger.Bounced, ledger.Complained, ledger.Discarded}
	for i, first := range all {
		for j, second := range all {
			m := planned(b, "2031-05-01-"+string(first)+"-"+string(second))
			for _, fate := range []ledger.Fate{first, second} {
				if _, err := b.SetFate(ctx, m, fate, string(fate), noon); err != nil {
					t.Fatal(err)
				}
			}
			got, err := b.Mail(ctx, corp, m.Key())
			want := all[max(i, j)]
			if err != nil || got.Fate != want || got.FateDetail != string(want) || !got.FateAt.Equal(noon) {
				t.Errorf("%s, then %s: %+v: %v", first, second, got, err)
			}
			if refused := got.State == ledger.MailRefused; refused != (want == ledger.Discarded) {
				t.Errorf("%s, then %s: the mail is %s", first, second, got.State)
			}
			if want == ledger.Discarded {
				if got, settled, err := b.TookMail(ctx, corp, m.Key(), "ses-1", noon); settled || err != nil || got.State != ledger.MailRefused {
					t.Errorf("a discarded mail became %s: %v", got.State, err)
				}
			}
		}
	}
	if changed, err := b.SetFate(ctx, ledger.MailRow{Corp: corp, Day: "2031-05-09", Report: "R1", To: "x"}, ledger.Bounced, "", noon); changed || err != nil {
		t.Errorf("a mail that was never planned has a fate: %t, %v", changed, err)
	}
}

func TestALiftedSuppressionComesBackByANewEventOnly(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	s := ledger.Suppression{Corp: corp, Address: "dead@tide.example", Reason: ledger.Bounced, Detail: "permanent-noemail", Mail: "m1", Since: noon}
	suppress := func(s ledger.Suppression) bool {
		added, err := b.Suppress(ctx, s)
		b.OK(err)
		return added
	}
	if !suppress(s) || suppress(s) {
		t.Fatal("the first event suppresses, and its double changes nothing")
	}
	if all, err := b.Suppressions(ctx, corp); err != nil || len(all) != 1 || all[0] != s {
		t.Fatalf("%+v: %v", all, err)
	}
	lifted := noon.Add(time.Hour)
	b.OK(b.LiftSuppression(ctx, corp, s.Address, lifted))
	b.OK(b.LiftSuppression(ctx, corp, s.Address, lifted))
	if err := b.LiftSuppression(ctx, corp, s.Address, lifted.Add(time.Second)); !errors.Is(err, ledger.ErrAbsent) {
		t.Errorf("nothing was left to lift: %v", err)
	}
	if suppress(s) {
		t.Error("a late double of the old event undid what the operator decided")
	}
	if _, err := b.SuppressionOf(ctx, corp, s.Address); !errors.Is(err, ledger.ErrAbsent) {
		t.Errorf("it stands: %v", err)
	}
	s.Since = lifted.Add(time.Minute)
	if !suppress(s) {
		t.Error("a new bounce does not suppress")
	}
	if got, err := b.SuppressionOf(ctx, corp, s.Address); err != nil || got != s {
		t.Errorf("%+v: %v", got, err)
	}
}
