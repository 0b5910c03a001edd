package main

import (
	"slices"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

func TestTheOtherReceiversHearOfASuppressedOne(t *testing.T) {
	h := newHouse(t)
	h.well()
	c, err := h.op.Corp(t.Context(), corp)
	h.OK(err)
	c.ReportTo = []ledger.Receiver{{Address: "gone@tide.example"}, {Address: "here@tide.example"}}
	h.OK(h.op.PutCorp(t.Context(), c))
	for _, address := range []string{"gone@tide.example", "long-gone@tide.example"} { // the second gets no reports any more
		if _, err := h.op.Suppress(t.Context(), ledger.Suppression{Corp: corp, Address: address, Reason: ledger.Bounced, Since: h.at.Add(-time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	h.watched()
	open, all := h.alarms()
	if !slices.Equal(open, []string{"receiver-suppressed"}) || all["receiver-suppressed"].Affected != 1 || h.mailed() != 1 {
		t.Fatalf("open %q: %+v", open, all)
	}
	h.OK(h.op.LiftSuppression(t.Context(), corp, "gone@tide.example", h.at))
	h.watched()
	if open, _ := h.alarms(); len(open) != 0 {
		t.Errorf("lifted, and open: %q", open)
	}
}
