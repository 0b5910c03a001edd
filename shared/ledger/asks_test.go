package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

func TestSomebodysRequestsAreCountedByTheMinute(t *testing.T) {
	b := newBench(t)
	for i, c := range []struct {
		who    string
		at     time.Duration
		within bool
	}{
		{"ann", 0, true}, {"ann", 20 * time.Second, true}, {"ann", 59 * time.Second, true}, {"ann", 59 * time.Second, false},
		{"bob", 59 * time.Second, true}, {"ann", time.Minute, true}, {"ann", 61 * time.Second, true}, {"ann", 62 * time.Second, true}, {"ann", 62 * time.Second, false},
		{"ann", 10 * time.Minute, true},
	} {
		within, err := b.Asks(t.Context(), c.who, noon.Add(c.at), 3)
		if err != nil || within != c.within {
			t.Errorf("request %d, of %s after %v: %t, %v", i, c.who, c.at, within, err)
		}
	}
	for key := range b.Rows("ControlTable") {
		if strings.Contains(key, "ann") {
			t.Errorf("the table names who asked: %s", key)
		}
	}
}

func TestASuppressionIsLiftedOnlyAsItWasRead(t *testing.T) {
	b := newBench(t)
	s := ledger.Suppression{Corp: corp, Address: "ann@tide.example", Reason: ledger.Bounced, Mail: "m", Since: noon}
	_, err := b.Suppress(t.Context(), s)
	b.OK(err)
	other := s
	other.Since = noon.Add(-time.Hour)
	if err := b.LiftRead(t.Context(), other, noon.Add(time.Hour)); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("one that was read before it was another: %v", err)
	}
	b.loseAnswer("UpdateItem")
	b.OK(b.LiftRead(t.Context(), s, noon.Add(time.Hour)))
	if err := b.LiftRead(t.Context(), s, noon.Add(2*time.Hour)); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("lifted twice: %v", err)
	}
	boxes, err := b.Letterboxes(t.Context(), corp, []string{s.Address, "", s.Address, "bob@tide.example"})
	if err != nil || boxes[s.Address].Suppressed != nil {
		t.Errorf("%+v, %v", boxes, err)
	}
}
