package main

import (
	"slices"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
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

// R14: an admin is told of a dead address whoever it is, if reports go there.
func TestAnAdminHearsOfEveryReceiverWhoseAddressIsDead(t *testing.T) {
	h := newHouse(t)
	h.well()
	c, err := h.op.Corp(t.Context(), corp)
	h.OK(err)
	c.ReportTo = []ledger.Receiver{{Address: "admin@tide.example"}}
	h.OK(h.op.PutCorp(t.Context(), c))
	c.Settings.Operations = "operations@tide.example"
	_, err = h.op.ChangeCorp(t.Context(), c)
	h.OK(err)
	_, err = h.op.PutReceiver(t.Context(), corp, receivers.Row{ID: "r-0102030405060708", Address: "entered@tide.example", Language: "en", Department: 1, Reports: []report.Kind{report.NewUsers}})
	h.OK(err)
	mail := func(name, to string, days int) {
		day := h.at.AddDate(0, 0, -days)
		m := ledger.MailRow{Corp: corp, Day: day.Format(time.DateOnly), Report: name, To: to, At: day}
		h.OK(h.op.PlanMail(t.Context(), m))
		h.OK(h.op.RefuseMail(t.Context(), m, "receiver-suppressed", day, day))
	}
	mail("R6", "head@tide.example", 2)
	mail("R2-user", "user@tide.example", 1)
	mail("R6", "former-head@tide.example", 9)
	for i, address := range []string{"operations", "entered", "head", "user", "former-head"} {
		_, err := h.op.Suppress(t.Context(), ledger.Suppression{Corp: corp, Address: address + "@tide.example", Reason: ledger.Bounced, Since: h.at.Add(time.Duration(-i) * time.Hour)})
		h.OK(err)
	}
	h.watched()
	open, all := h.alarms()
	if !slices.Contains(open, "receiver-suppressed") || all["receiver-suppressed"].Affected != 3 {
		t.Errorf("open %q: %+v", open, all["receiver-suppressed"])
	}
}

func TestAReceiverWhoHasNotHeardOfAnAlertIsAskedFor(t *testing.T) {
	h := newHouse(t)
	h.well()
	c, err := h.op.Corp(t.Context(), corp)
	h.OK(err)
	receivers := func(addresses ...string) {
		t.Helper()
		c.ReportTo = nil
		for _, a := range addresses {
			c.ReportTo = append(c.ReportTo, ledger.Receiver{Address: a})
		}
		h.OK(h.op.PutCorp(t.Context(), c))
	}
	asks := func(when string, want int) {
		t.Helper()
		for range 2 {
			h.watched()
			if n := h.mailed(); n != want {
				t.Errorf("%s: asks for %d mails, want %d", when, n, want)
			}
			want = 0
		}
	}
	receivers("here@tide.example")
	h.OK(h.op.PutAlarm(t.Context(), ledger.Alarm{Corp: corp, Cause: "unaccounted:seq-missing", Open: true, Since: h.at, Seen: h.at})) // fsck's: nothing here ends it
	asks("it opens", 1)
	receivers("here@tide.example", "new@tide.example")
	asks("a receiver is added", 1)
	receivers("new@tide.example")
	asks("one is taken away", 0)

	mail := ledger.MailRow{Corp: corp, Day: h.told, Report: "R7", To: "new@tide.example", At: h.at}
	h.OK(h.op.PlanMail(t.Context(), mail))
	h.OK(h.op.RefuseMail(t.Context(), mail, "mail-rejected", h.at, h.at))
	marks := func(how ledger.Hearing) { // as report does when it finds that he has not heard
		_, all := h.alarms()
		for _, a := range all {
			h.OK(h.op.ToldAlarm(t.Context(), a, a.Fingerprint(), map[string]ledger.Hearing{ledger.AddressID("new@tide.example"): how}))
		}
	}
	h.watched()
	if n := len(h.Take("ReportQueue")); n != 1 {
		t.Errorf("his mail was refused: asks for %d", n)
	}
	marks(ledger.Hearing{Mail: h.told, Again: h.at.Add(24 * time.Hour)})
	asks("not to be tried yet", 0)
	h.at = h.at.Add(24 * time.Hour)
	h.well()
	h.told = "2031-05-07-cba"
	asks("a day later", 1)

	_, err = h.op.Suppress(t.Context(), ledger.Suppression{Corp: corp, Address: "new@tide.example", Reason: ledger.Complained, Since: h.at})
	h.OK(err)
	asks("he is suppressed, which is an alarm too", 1)
	marks(ledger.Hearing{Mail: h.told, Again: h.at})
	asks("while he is suppressed", 0)
}

// Whoever is told of alerts is told again where a mail did not arrive, and of what is open where he comes later: the mailbox for copies too.
func TestTheMailboxForCopiesIsAskedForAsAnAdminIs(t *testing.T) {
	h := newHouse(t)
	h.well()
	c, err := h.op.Corp(t.Context(), corp)
	h.OK(err)
	c.ReportTo = []ledger.Receiver{{Address: "admin@tide.example"}}
	h.OK(h.op.PutCorp(t.Context(), c))
	h.OK(h.op.PutAlarm(t.Context(), ledger.Alarm{Corp: corp, Cause: "unaccounted:seq-missing", Open: true, Since: h.at, Seen: h.at})) // fsck's: nothing here ends it
	h.watched()
	if n := h.mailed(); n != 1 {
		t.Fatalf("it opens: asks for %d mails", n)
	}
	c.Settings.Control = "copies@tide.example"
	_, err = h.op.ChangeCorp(t.Context(), c)
	h.OK(err)
	asks := func(when string, want int) {
		t.Helper()
		h.watched()
		if n := len(h.Take("ReportQueue")); n != want {
			t.Errorf("%s: asks for %d mails, want %d", when, n, want)
		}
	}
	asks("the mailbox is entered", 1)
	_, all := h.alarms()
	for _, a := range all {
		h.OK(h.op.ToldAlarm(t.Context(), a, a.Fingerprint(), map[string]ledger.Hearing{ledger.AddressID("admin@tide.example"): {Mail: h.told}, ledger.AddressID("copies@tide.example"): {Mail: h.told}}))
	}
	asks("it was told", 0)
	mail := ledger.MailRow{Corp: corp, Day: h.told, Report: "R7", To: "copies@tide.example", At: h.at}
	h.OK(h.op.PlanMail(t.Context(), mail))
	h.OK(h.op.RefuseMail(t.Context(), mail, "mail-rejected", h.at, h.at))
	asks("its mail was refused", 1)
}
