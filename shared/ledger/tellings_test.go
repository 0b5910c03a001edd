package ledger_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

const window = 4 * time.Hour

var telling = ledger.Telling{Corp: corp, Day: "2031-05-07", Report: "R2", To: "lin", Text: "补手机号", At: noon}

func (b *bench) telling() ledger.Telling {
	b.Helper()
	t, err := b.TellingOf(b.Context(), corp, telling.Key())
	b.OK(err)
	return t
}

// claim claims the telling as it is, by the app 7.
func (b *bench) claim(owner string, at time.Time) ledger.Telling {
	b.Helper()
	t, err := b.ClaimTelling(b.Context(), b.telling(), owner, 7, at, at.Add(2*time.Minute), window)
	b.OK(err)
	return t
}

func TestATellingIsOneSendersAtATimeAndKeepsWhatItSays(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	b.OK(b.PlanTelling(ctx, telling))
	other := telling
	other.Text = "another attempt's words"
	b.OK(b.PlanTelling(ctx, other))
	one := b.claim("one", noon)
	if one.Text != telling.Text || one.State != ledger.MailSending || !one.Asked.Equal(noon) || one.Agent != 7 || one.Doubles != 0 || one.Attempt != 1 {
		t.Fatalf("%+v", one)
	}
	if _, err := b.ClaimTelling(ctx, b.telling(), "two", 7, noon.Add(time.Minute), noon.Add(3*time.Minute), window); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("two send it: %v", err)
	}
	b.OK(b.SettleTelling(ctx, one, ledger.Told, "m1", "", noon.Add(time.Second)))
	b.OK(b.SettleTelling(ctx, one, ledger.Told, "m1", "", noon.Add(time.Second)))
	if err := b.SettleTelling(ctx, one, ledger.TellRefused, "", ledger.TellUnlicensed, noon); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("it was told, and is refused: %v", err)
	}
	if got := b.telling(); got.State != ledger.Told || got.MsgID != "m1" || !got.At.Equal(noon.Add(time.Second)) || !got.Settled() {
		t.Errorf("%+v", got)
	}
	if _, err := b.ClaimTelling(ctx, b.telling(), "three", 7, noon.Add(time.Hour), noon.Add(2*time.Hour), window); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("it is told, and sent again: %v", err)
	}
	tomorrow := telling
	tomorrow.Day = "2031-05-08"
	b.OK(b.PlanTelling(ctx, tomorrow))
	var days []string
	b.OK(b.Tellings(ctx, corp, func(t ledger.Telling) bool { days = append(days, t.Day); return true }))
	if !slices.Equal(days, []string{"2031-05-08", "2031-05-07"}) {
		t.Errorf("%v", days)
	}
}

func TestALostAnswerLeavesItOpenSinceTheFirstRequestUntilTheWindowEnds(t *testing.T) {
	b := newBench(t)
	b.OK(b.PlanTelling(t.Context(), telling))
	b.claim("one", noon) // no answer
	if two := b.claim("two", noon.Add(time.Hour)); !two.Asked.Equal(noon) || two.Doubles != 0 {
		t.Errorf("WeCom knows it again: %+v", two)
	}
	// Refused for certain: the second request was not sent; of the first nobody knows.
	three := b.claim("three", noon.Add(2*time.Hour))
	b.OK(b.WaitTelling(t.Context(), three, ledger.TellAddress))
	if got := b.telling(); !got.Asked.Equal(noon) || got.State != ledger.MailPlanned || got.Reason != ledger.TellAddress {
		t.Errorf("%+v", got)
	}
	four := b.claim("four", noon.Add(window))
	if four.Doubles != 1 || !four.Asked.Equal(noon.Add(window)) {
		t.Errorf("the window is over: %+v", four)
	}
	b.OK(b.WaitTelling(t.Context(), four, ledger.TellLimited)) // it was no double
	if got := b.telling(); got.Doubles != 0 || !got.Asked.Equal(noon) {
		t.Errorf("%+v", got)
	}
	b.claim("five", noon.Add(5*time.Hour))
	if six, err := b.ClaimTelling(t.Context(), b.telling(), "six", 8, noon.Add(5*time.Hour+3*time.Minute), noon.Add(6*time.Hour), window); err != nil || six.Doubles != 2 || six.Agent != 8 {
		t.Errorf("another app's message is another: %+v, %v", six, err)
	}
}

func TestWhatWasNeverSentLeavesNothingOpen(t *testing.T) {
	b := newBench(t)
	b.OK(b.PlanTelling(t.Context(), telling))
	b.OK(b.WaitTelling(t.Context(), b.claim("one", noon), ledger.TellWrongApp))
	if got := b.telling(); !got.Asked.IsZero() || got.Agent != 0 || got.Reason != ledger.TellWrongApp {
		t.Errorf("%+v", got)
	}
	if two := b.claim("two", noon.Add(24*time.Hour)); two.Doubles != 0 || !two.Asked.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("%+v", two)
	}
}

func TestAnAppIsSetAndStaysWhenTheCorpIsChanged(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	if err := b.SetApp(ctx, "wwnobody", 7); !errors.Is(err, ledger.ErrAbsent) {
		t.Errorf("of no corp: %v", err)
	}
	c := ledger.Corp{ID: corp, Name: "Tide", Added: noon}
	b.OK(b.PutCorp(ctx, c))
	b.OK(b.SetApp(ctx, corp, 1000007))
	b.OK(b.PutCorp(ctx, c))
	if _, err := b.ChangeCorp(ctx, c); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Corp(ctx, corp); err != nil || got.App != 1000007 {
		t.Errorf("%+v, %v", got, err)
	}
}
