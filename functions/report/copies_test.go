package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

func TestCopiesOfWhatAlarmsGoToTheAlertMailboxOrElseToTheControlMailbox(t *testing.T) {
	slow(t)
	t.Parallel()
	for name, c := range map[string]struct{ control, alert, to string }{
		"neither":              {"", "", ""},
		"the control mailbox":  {"control@still.example", "", "control@still.example"},
		"the alert mailbox":    {"", "alert@still.example", "alert@still.example"},
		"the alert in place":   {"control@still.example", "alert@still.example", "alert@still.example"},
		"the admin's own once": {"eye@still.example", "", "eye@still.example"},
	} {
		d := newDesk(t)
		corp := d.settings(d.calm("wwcopies"), func(corp *ledger.Corp) {
			corp.Settings.Control, corp.Settings.Alert = c.control, c.alert
			for _, k := range report.Kinds() {
				corp.Settings = corp.Settings.Quietened(k, false, "test", noon.Add(-time.Hour))
			}
		})
		d.alarm(ledger.Alarm{Corp: corp.ID, Cause: "service-expired", Open: true, Since: noon.Add(-time.Hour), Seen: noon, Code: 301052})
		d.OK(d.due(d.Context()))
		d.told(corp.ID)
		mails := map[string]int{}
		for _, m := range d.planned(corp.ID) {
			mails[fmt.Sprint(m.To, " ", m.Report, " ", len(m.Day) > len(time.DateOnly))]++ // true: at once
		}
		want := map[string]int{"eye@still.example R7 true": 1}
		for _, k := range report.Kinds() {
			want[fmt.Sprint("eye@still.example ", k, " false")] = 1
		}
		if c.to != "" {
			for _, of := range []string{"R2 false", "R6 false", "R7 false", "R8 false", "R7 true"} {
				want[c.to+" "+of] = 1
			}
		}
		if diff := cmp.Diff(want, mails); diff != "" {
			t.Errorf("%s: mails (-want +got):\n%s", name, diff)
		}
	}
}

// TestEachRuleOfMissingEmailIsToldAsItShouldBe plays the three rules over two days, on and off.
func TestEachRuleOfMissingEmailIsToldAsItShouldBe(t *testing.T) {
	slow(t)
	t.Parallel()
	const told, not = "told by mail", "could not be told: no address"
	for _, c := range []struct {
		rule    string
		email   string
		events  []directory.Change // of the first day
		user    bool               // the user is mailed, on the first day
		days    int                // for how many days the receivers are told
		shown   string
		visible string // in R1, switched off
	}{
		{"(1) no mobile ever seen, email removed", "", []directory.Change{directory.EmailRemoved}, false, 2, not, "neither mobile nor email"},
		{"(2) no mobile ever seen, email changed", "new@still.example", []directory.Change{directory.EmailChanged}, true, 1, told, ""},
		{"(3) mobile lost, email never set", "", []directory.Change{directory.MobileRemoved}, false, 2, not, "lost the mobile number"},
	} {
		for _, off := range []bool{false, true} {
			d := newDesk(t)
			corp := d.settings(d.calm("wwrules"), func(corp *ledger.Corp) {
				corp.Settings.Control = "control@still.example"
				corp.Settings = corp.Settings.Turned(report.MissingEmail, off, "test", noon.Add(-time.Hour))
			})
			m := quiet("Ulf")
			if slices.Contains(c.events, directory.MobileRemoved) { // the history has the number
				d.OK(d.operator.PutEntries(d.Context(), corp.ID, []directory.Entry{{Kind: directory.KindMember, ID: "ulf", At: noon.Add(-10 * time.Hour), Fields: directory.Fields(m)}}))
			}
			m.Mobile, m.Email = "", c.email
			d.OK(d.operator.PutEntries(d.Context(), corp.ID, []directory.Entry{{Kind: directory.KindMember, ID: "ulf", At: noon.Add(-5 * time.Hour), Fields: directory.Fields(m)}}))
			for _, what := range c.events {
				d.happened(corp.ID, "ulf", what, "was@still.example", c.email, noon.Add(-5*time.Hour))
			}
			for day := range 2 {
				d.at = noon.AddDate(0, 0, day).Add(time.Second)
				if day > 0 {
					d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: corp.ID, At: d.at.Add(-2 * time.Hour)}))
				}
				d.OK(d.due(d.Context()))
				date := d.at.Format(time.DateOnly)
				for _, to := range []string{"eye@still.example", "control@still.example"} {
					text := d.mailsOf(corp.ID, date, "R8")[to].Text
					if want := !off && day < c.days; (text != "") != want {
						t.Errorf("%s, off %t, day %d: %s is mailed %t", c.rule, off, day, to, !want)
					}
					if to == "eye@still.example" && text != "" && (!strings.Contains(text, c.rule) || !strings.Contains(text, c.shown)) {
						t.Errorf("%s, day %d: the list says\n%s", c.rule, day, text)
					}
				}
				if users := addresses(d.mailsOf(corp.ID, date, "R8-user")); len(users) > 0 != (c.user && !off && day == 0) {
					t.Errorf("%s, off %t, day %d: users told: %q", c.rule, off, day, users)
				}
				if text := d.mailsOf(corp.ID, date, "R1")["eye@still.example"].Text; off && !strings.Contains(text, c.visible) {
					t.Errorf("%s, switched off, day %d: R1 does not show it:\n%s", c.rule, day, text)
				}
			}
		}
	}
}
