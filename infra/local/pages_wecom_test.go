package main

import (
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

func TestThePageShowsWhatWasWrittenInWeComAndWhatBecameOfIt(t *testing.T) {
	s := newShop(t)
	if _, page := s.get("/wecom"); !strings.Contains(page, "None yet") {
		t.Errorf("without messages:\n%s", page)
	}
	l := s.Ledger(s.Config(rig.Operator))
	for _, x := range []struct{ day, state, reason string }{{"2032-02-10", ledger.TellRefused, ledger.TellNotInRange}, {"2032-02-11", ledger.Told, ""}} {
		m := ledger.Telling{Corp: "wwpages", Day: x.day, Report: "R2", To: "editor01", Text: "请 <b>补</b>\nof " + x.day, At: clock.Real()}
		s.OK(l.PlanTelling(t.Context(), m))
		row, err := l.TellingOf(t.Context(), "wwpages", m.Key())
		s.OK(err)
		row, err = l.ClaimTelling(t.Context(), row, "o", 7, m.At, m.At, 0)
		s.OK(err)
		s.OK(l.SettleTelling(t.Context(), row, x.state, "m-1", x.reason, m.At))
	}
	res, page := s.get("/wecom")
	for _, want := range []string{"请 &lt;b&gt;补&lt;/b&gt;", "not-in-range", "told", "editor01", "Simulated."} {
		if res.StatusCode != 200 || !strings.Contains(page, want) {
			t.Errorf("%d, without %q:\n%s", res.StatusCode, want, page)
		}
	}
	if strings.Index(page, "of 2032-02-11") > strings.Index(page, "of 2032-02-10") {
		t.Error("the newest is not first")
	}
}
