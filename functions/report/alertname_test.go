package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

// cutShort has an alert end before it is noted whom it was told: its mails are planned.
func (d *desk) cutShort(c ledger.Corp, kind string) {
	d.Helper()
	d.Fault(func(f awslocal.FaultRequest) awslocal.FaultDecision {
		if f.Operation == "UpdateItem" && strings.Contains(string(f.Body), "told_to") {
			return awslocal.FaultDecision{Act: awslocal.Refuse}
		}
		return awslocal.FaultDecision{}
	})
	if err := d.asked(d.Context(), queue.ReportJob{Corp: c.ID, Report: kind}); err == nil {
		d.Fatal("nothing failed")
	}
	d.Fault(nil)
}

// mailsTo counts a corp's mails by receiver.
func (d *desk) mailsTo(c ledger.Corp) map[string]int {
	d.Helper()
	n := map[string]int{}
	for _, m := range d.planned(c.ID) {
		n[m.To]++
	}
	return n
}

// Whoever was planned a mail of the same news is not planned another because the others changed meanwhile.
func TestANewsIsMailedToEachOnceThoughTheReceiversChangeBetweenTwoAttempts(t *testing.T) {
	third := ledger.Receiver{Address: "third@clearlake.example", Language: "en"}
	for name, between := range map[string]func(d *desk, c *ledger.Corp){
		"one is suppressed": func(d *desk, c *ledger.Corp) {
			_, err := d.operator.Suppress(d.Context(), ledger.Suppression{Corp: c.ID, Address: c.ReportTo[0].Address, Reason: ledger.Bounced, Since: d.at})
			d.OK(err)
		},
		"one is added":   func(d *desk, c *ledger.Corp) { d.receivers(c, append(c.ReportTo, third)...) },
		"one is removed": func(d *desk, c *ledger.Corp) { d.receivers(c, c.ReportTo[1]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			c := d.company("wwtwice")
			office, audit := c.ReportTo[0].Address, c.ReportTo[1].Address
			d.at = time.Date(2032, 2, 10, 23, 59, 59, 0, time.UTC)
			d.alarm(ledger.Alarm{Corp: c.ID, Cause: "secret-refused", Open: true, Since: d.at.Add(-time.Hour), Seen: d.at, Code: 40001})
			d.cutShort(c, "R7")
			if n := d.mailsTo(c); n[office] != 1 || n[audit] != 1 {
				t.Fatalf("mails at first %v", n)
			}
			between(d, &c)
			d.at = d.at.Add(time.Minute) // and it is another day
			for range 2 {
				d.told(c.ID)
			}
			n := d.mailsTo(c)
			if n[office] != 1 || n[audit] != 1 || n[third.Address] > 1 || (n[third.Address] == 1) != (name == "one is added") {
				t.Errorf("mails %v", n)
			}
		})
	}
}

// Whose mail about the end did not arrive is told again, alone, as soon as he can be, for three days.
func TestAnEndThatDidNotArriveIsToldAgain(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwended")
	office, audit := c.ReportTo[0], c.ReportTo[1]
	a := ledger.Alarm{Corp: c.ID, Cause: "secret-refused", Open: true, Since: d.at, Seen: d.at, Code: 40001}
	d.alarm(a)
	d.told(c.ID)
	d.at = d.at.Add(time.Hour)
	a.Open, a.Over = false, d.at
	d.alarm(a)
	if l := d.told(c.ID); len(l) != 2 {
		t.Fatalf("%d are told that it is over", len(l))
	}
	heard := func(when string, want ...ledger.Receiver) {
		t.Helper()
		letters := d.told(c.ID)
		if len(letters) != len(want) {
			t.Fatalf("%s: %d mails, want %d", when, len(letters), len(want))
		}
		for i, to := range want {
			if l := letters[i]; !strings.Contains(l.To, to.Address) || !strings.Contains(l.Text, "Over: ") || l.Urgent {
				t.Errorf("%s: %s is told %s", when, l.To, l.Text)
			}
		}
	}
	heard("all is well")
	d.fails(c, audit, "")
	heard("SES refuses one")
	d.at = d.at.Add(25 * time.Hour)
	heard("a day later", audit)
	heard("told again")
	_, err := d.operator.Suppress(d.Context(), ledger.Suppression{Corp: c.ID, Address: audit.Address, Reason: ledger.Bounced, Since: d.at})
	d.OK(err)
	d.fails(c, audit, ledger.Bounced)
	heard("it comes back")
	d.receivers(&c, office, audit, ledger.Receiver{Address: "newest@clearlake.example"})
	heard("one who never heard of it")
	d.at = d.at.Add(time.Hour)
	d.OK(d.operator.LiftSuppression(d.Context(), c.ID, audit.Address, d.at))
	heard("and the address is mended", audit)
	d.fails(c, audit, "")
	d.at = d.at.Add(48 * time.Hour)
	heard("after three days")
}

// Who knew of an alert and could not be reached when it ended is told that it is over once he can be.
func TestWhoCouldNotBeReachedWhenAnAlertEndedIsToldOnceHeCanBe(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwunreached")
	office, audit := c.ReportTo[0], c.ReportTo[1]
	a := ledger.Alarm{Corp: c.ID, Cause: "secret-refused", Open: true, Since: d.at, Seen: d.at, Code: 40001}
	d.alarm(a)
	if l := d.told(c.ID); len(l) != 2 {
		t.Fatalf("%d are told that it began", len(l))
	}
	_, err := d.operator.Suppress(d.Context(), ledger.Suppression{Corp: c.ID, Address: audit.Address, Reason: ledger.Bounced, Since: d.at})
	d.OK(err)
	d.receivers(&c, office, audit, ledger.Receiver{Address: "newest@clearlake.example"})
	_, err = d.operator.Suppress(d.Context(), ledger.Suppression{Corp: c.ID, Address: "newest@clearlake.example", Reason: ledger.Bounced, Since: d.at})
	d.OK(err)
	d.at = d.at.Add(time.Hour)
	a.Open, a.Over = false, d.at
	d.alarm(a)
	if l := d.told(c.ID); len(l) != 1 || !strings.Contains(l[0].To, office.Address) {
		t.Fatalf("%d are told that it is over", len(l))
	}
	if l := d.told(c.ID); len(l) != 0 {
		t.Fatalf("%s is told again", l[0].To)
	}
	d.at = d.at.Add(time.Hour)
	for _, address := range []string{audit.Address, "newest@clearlake.example"} { // the second never heard of it
		d.OK(d.operator.LiftSuppression(d.Context(), c.ID, address, d.at))
	}
	l := d.told(c.ID)
	if len(l) != 1 || !strings.Contains(l[0].To, audit.Address) || !strings.Contains(l[0].Text, "Over: ") || l[0].Urgent {
		t.Fatalf("once they can be reached: %d mails, %+v", len(l), l)
	}
	if l := d.told(c.ID); len(l) != 0 {
		t.Errorf("%s is told again", l[0].To)
	}
}

// What the nightly check counts is batches, rows and objects: R7 calls none of them messages.
func TestWhatTheNightlyCheckCountedIsNotCalledMessages(t *testing.T) {
	for cause, want := range map[string]report.Alarm{
		"unaccounted:batch-missing": {},
		"unaccounted:seq-missing":   {},
		"unaccounted:media-altered": {Attachments: report.Known(3)},
		"key-missing:4":             {Messages: report.Known(3)},
	} {
		if got := alarm(ledger.Alarm{Cause: cause, Open: true, Affected: 3}, report.Began, nil); got.Messages != want.Messages || got.Attachments != want.Attachments {
			t.Errorf("%s: messages %+v, attachments %+v", cause, got.Messages, got.Attachments)
		}
	}
}
