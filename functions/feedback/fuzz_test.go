package main

import (
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// FuzzEvent: whatever an event says, it means one of the fates or nothing, and only a bounce for good and a complaint that is one end an address.
func FuzzEvent(f *testing.F) {
	for _, seed := range [][3]string{{"Send", "", ""}, {"Delivery", "", ""}, {"Bounce", "Permanent", "General"}, {"Bounce", "permanent", ""}, {"Bounce", "Transient", "MailboxFull"}, {"Complaint", "", "abuse"}, {"Complaint", "", "not-spam"}, {"Complaint", "", ""}, {"Reject", "", ""}, {"Open", "", ""}} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, event, bounce, sub string) {
		e := queue.MailEvent{Event: event, Bounce: bounce, BounceDetail: sub, Complaint: sub}
		fate, known := fateOf(e)
		ends := fate == ledger.Bounced || fate == ledger.Complained
		if want := event == "Complaint" && !strings.EqualFold(sub, "not-spam") && !strings.EqualFold(sub, "auth-failure") || event == "Bounce" && bounce == "Permanent"; ends != want {
			t.Errorf("%q, %q ends the address: %t", event, bounce, ends)
		}
		if !known && fate != "" {
			t.Errorf("%q is unknown and means %s", event, fate)
		}
		if d := detail(e); d != strings.ToLower(d) {
			t.Errorf("the detail %q", d)
		}
	})
}
