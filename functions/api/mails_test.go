package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// seen is the mails that a list shows, as day and report.
func (d *desk) seen(token string) (seen []string) {
	d.Helper()
	for _, m := range d.ask(token, "GET", "/v1/corps/wwreed/mails", "").list("mails") {
		seen = append(seen, fmt.Sprint(m["day"], " ", m["report"]))
	}
	slices.Sort(seen)
	return seen
}

// Whoever may enter receivers could else enter any address, and read what its owner is mailed as what he is besides: alerts of the whole company, say.
func TestASupervisorSeesTheMailsThatReceiversWithinReachGetAndNoOthersToTheirAddresses(t *testing.T) {
	d := newDesk(t)
	for _, m := range []ledger.MailRow{{Day: "2033-02-27", Report: "R1"}, {Day: "2033-03-01", Report: "R1"}, {Day: "2033-03-01", Report: "R7"}, {Day: "2033-03-01", Report: "R1-user"}, {Day: "2033-03-02-0a", Report: "R7"}} {
		m.Corp, m.To, m.Object, m.Version, m.At = corp, "chief@reed.example", "mails/x", "v", noon
		d.OK(d.operator.PlanMail(t.Context(), m))
	}
	head := d.token("supervisor:wwreed:2")
	own := d.seen(head) // ann's
	row := `{"name":"Mine","address":"chief@reed.example","language":"en","department":2,"reports":["R1"]}`
	if x := d.ask(head, "POST", all, row, "Idempotency-Key", "k"); x.StatusCode != 201 {
		t.Fatal(x.text)
	}
	if got, want := d.seen(head), append(own, "2033-03-01 R1", "2033-03-01 R1-user"); !slices.Equal(got, want) {
		t.Errorf("a supervisor is shown %v, want %v", got, want)
	}
	if got := d.seen(d.token("admin")); len(got) != 9 {
		t.Errorf("an admin is shown %v", got)
	}
}

// One mailbox is mailed as one of its receivers writes it: what became of that is told on each.
func TestAMailboxIsOneHoweverItsAddressIsWritten(t *testing.T) {
	d := newDesk(t)
	_, err := d.operator.PutReceiver(t.Context(), corp, receivers.Row{ID: receivers.RowID([8]byte{1}), Address: "Rose@reed.example", Language: "en", Department: 2, Reports: []report.Kind{"R2"}, Added: noon})
	d.OK(err)
	d.OK(d.operator.PlanMail(t.Context(), ledger.MailRow{Corp: corp, Day: "2033-03-02", Report: "R2", To: "rose@reed.example", Object: "mails/x", Version: "v", At: noon}))
	_, err = d.operator.Suppress(t.Context(), ledger.Suppression{Corp: corp, Address: "rose@reed.example", Reason: ledger.Bounced, Mail: "2033-03-02#R2#x", Since: noon})
	d.OK(err)
	head := d.token("supervisor:wwreed:2")
	if got := d.seen(head); !slices.Contains(got, "2033-03-02 R2") {
		t.Errorf("mails: %v", got)
	}
	if got := d.ask(head, "GET", dead, "").list("suppressions"); len(got) != 1 {
		t.Errorf("suppressions: %v", got)
	}
	for _, r := range d.ask(head, "GET", all, "").list("receivers") {
		if (r["suppressed"] != nil) != (r["address"] == "Rose@reed.example") {
			t.Errorf("a receiver: %v", r)
		}
	}
}

func TestMailsAreFoundByAddressAndByReport(t *testing.T) {
	d := newDesk(t)
	a, _ := d.function.HTTP.(*api)
	a.mailsRead = 3
	for i, code := range []string{"R1", "R2", "R2-user", "R12"} {
		d.OK(d.operator.PlanMail(t.Context(), ledger.MailRow{Corp: corp, Day: fmt.Sprint("2033-03-0", i+1), Report: code, To: "ann@reed.example", Object: "mails/x", Version: "v", At: noon}))
	}
	for query, want := range map[string][]string{
		"to=Ann@reed.example": {"2033-02-20 R1", "2033-03-01 R1", "2033-03-02 R2", "2033-03-03 R2-user", "2033-03-04 R12"}, "to=nobody@reed.example": nil,
		"report=R2": {"2033-03-02 R2", "2033-03-03 R2-user"}, "report=R1&to=cat@reed.example": {"2033-02-22 R1"},
	} {
		var got []string
		for cursor, pages := "", 0; pages < 9; pages++ { // each page reads three
			x := d.ask(d.token("auditor"), "GET", "/v1/corps/wwreed/mails?"+query+cursor, "")
			for _, m := range x.list("mails") {
				got = append(got, fmt.Sprint(m["day"], " ", m["report"]))
			}
			next, more := x.body["next"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + next
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	if x := d.ask(d.token("supervisor:wwreed:4"), "GET", "/v1/corps/wwreed/mails?to=ann@reed.example", ""); len(x.list("mails")) != 0 {
		t.Errorf("beyond reach: %s", x.text)
	}
	for _, bad := range []string{"report=R99", "report=R1&report=R2", "of=R1"} {
		if x := d.ask(d.token("auditor"), "GET", "/v1/corps/wwreed/mails?"+bad, ""); x.StatusCode != 400 {
			t.Errorf("%s: %d", bad, x.StatusCode)
		}
	}
}
