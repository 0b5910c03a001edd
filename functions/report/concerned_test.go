package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

func TestAUserWhoseAddressBouncedIsNotCalledToldHoweverWeComWritesTheAddress(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.calm("wwdead")
	had := quiet("Ulf")
	had.Email = "Ulf@Still.EXAMPLE"
	lost := had
	lost.Mobile = ""
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "ulf", At: noon.Add(-10 * time.Hour), Fields: directory.Fields(had)}}))
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "ulf", At: noon.Add(-5 * time.Hour), Fields: directory.Fields(lost)}}))
	d.happened(c.ID, "ulf", directory.MobileRemoved, had.Mobile, "", noon.Add(-5*time.Hour))
	d.OK(d.due(d.Context()))
	told := d.mailsOf(c.ID, "2032-02-10", "R2-user")
	if len(told) != 1 {
		t.Fatalf("ulf is told at %q", addresses(told))
	}
	for to := range told { // and it comes back
		_, err := d.operator.Suppress(d.Context(), ledger.Suppression{Corp: c.ID, Address: to, Reason: ledger.Bounced, Since: d.at})
		d.OK(err)
	}
	d.at = noon.Add(24*time.Hour + time.Second)
	d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: c.ID, At: d.at.Add(-2 * time.Hour)}))
	d.OK(d.due(d.Context()))
	list := d.mailsOf(c.ID, "2032-02-11", "R2")["eye@still.example"]
	if strings.Contains(list.Text, "told by mail") || !strings.Contains(list.Text, "mails to this address come back") {
		t.Errorf("the list calls ulf told:\n%s", list.Text)
	}
	if again := d.mailsOf(c.ID, "2032-02-11", "R2-user"); len(again) != 0 {
		t.Errorf("a notice is planned for a dead address: %q", addresses(again))
	}
}

func TestAnAddressThatWasChangedWhileTheNumberWasThereIsNoNewsWhenTheNumberIsLost(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.calm("wwsecond")
	had := quiet("Ulf")
	had.Email = "new@still.example"
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "ulf", At: noon.Add(-5 * time.Hour), Fields: directory.Fields(had)}}))
	d.happened(c.ID, "ulf", directory.EmailChanged, "was@still.example", had.Email, noon.Add(-5*time.Hour))
	d.settings(c, func(c *ledger.Corp) {
		c.Settings = c.Settings.Quietened(report.MissingEmail, false, "test", noon.Add(-time.Hour))
	})
	d.OK(d.due(d.Context()))
	lost := had
	lost.Mobile = ""
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "ulf", At: noon.Add(10 * time.Hour), Fields: directory.Fields(lost)}}))
	d.happened(c.ID, "ulf", directory.MobileRemoved, had.Mobile, "", noon.Add(10*time.Hour))
	d.at = noon.Add(24*time.Hour + time.Second)
	d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: c.ID, At: d.at.Add(-2 * time.Hour)}))
	d.OK(d.due(d.Context()))
	for _, day := range []string{"2032-02-10", "2032-02-11"} {
		if text := d.mailsOf(c.ID, day, "R8")["eye@still.example"].Text; text == "" || strings.Contains(text, "Ulf") {
			t.Errorf("R8 of %s says\n%s", day, text)
		}
		if told := d.mailsOf(c.ID, day, "R8-user"); len(told) != 0 {
			t.Errorf("on %s ulf is told of a change while the number was there", day)
		}
	}
	if text := d.mailsOf(c.ID, "2032-02-11", "R2")["eye@still.example"].Text; !strings.Contains(text, "Ulf") {
		t.Errorf("R2 does not tell of the number:\n%s", text)
	}
}
