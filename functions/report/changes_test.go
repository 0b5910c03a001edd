package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// happened keeps an event of a member that was over by a time.
func (d *desk) happened(id archive.CorpID, member string, what directory.Change, before, after string, by time.Time) {
	d.Helper()
	d.OK(d.operator.PutEvents(d.Context(), id, []directory.Event{{Kind: directory.KindMember, ID: member, What: what, Old: before, New: after, After: by.Add(-time.Hour), By: by,
		How: map[directory.Change]directory.Departure{directory.Left: directory.Quit}[what]}}))
}

func TestTheDaysReportsTellWhatHappenedToWhomWithinTheScope(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwday")
	d.pier(c.ID, noon.Add(-19*time.Hour))
	d.settings(c, func(c *ledger.Corp) {
		c.Settings.Operations, c.Settings.Control = "ops@clearlake.example", "control@clearlake.example"
	})
	_, err := d.operator.PutReceiver(d.Context(), c.ID, receivers.Row{ID: "r-1", Address: "pier@clearlake.example", Language: "en", Department: 3,
		Reports: []report.Kind{"R2", "R3", "R4", "R5", "R8"}, Added: noon.Add(-time.Hour)})
	d.OK(err)
	d.happened(c.ID, "lena", directory.MobileRemoved, "+49 3012345678", "", noon.Add(-2*time.Hour))
	d.happened(c.ID, "gone", directory.Left, "", "", noon.Add(-2*time.Hour))
	d.happened(c.ID, "sun", directory.Joined, "", "", noon.Add(-3*time.Hour))
	d.happened(c.ID, "warden", directory.MobileChanged, "+49 3011", "+49 3099", noon.Add(-25*time.Hour)) // the day before
	d.happened(c.ID, "boss", directory.MobileChanged, "+49 3055", "+49 3099", noon)                      // the day after
	d.OK(d.due(d.Context()))

	day := "2032-02-10"
	for kind, want := range map[string][]string{
		"R2":      {"boss@clearlake.example", "control@clearlake.example", "pier@clearlake.example", "warden@clearlake.example"}, // sun's number is unknown, and they are told so
		"R2-user": {"lena@clearlake.example"},
		"R3":      {"ops@clearlake.example", "pier@clearlake.example"}, // of the pier sun's number is unknown, and a report says what it can't tell
		"R4":      {"ops@clearlake.example"},
		"R5":      {"ops@clearlake.example", "pier@clearlake.example"},
		"R7":      {"control@clearlake.example", "ops@clearlake.example"},
	} {
		if diff := cmp.Diff(want, addresses(d.mailsOf(c.ID, day, kind))); diff != "" {
			t.Errorf("%s goes to (-want +got):\n%s", kind, diff)
		}
	}
	says := func(kind, to string, want []string, hidden ...string) {
		t.Helper()
		m := d.mailsOf(c.ID, day, kind)[to]
		all := m.Subject + m.Text + m.HTML + m.Attachment
		for _, w := range want {
			if !strings.Contains(all, w) {
				t.Errorf("%s to %s lacks %q:\n%s", kind, to, w, m.Text)
			}
		}
		for _, w := range hidden {
			if strings.Contains(all, w) {
				t.Errorf("%s to %s shows %q", kind, to, w)
			}
		}
	}
	says("R2", "boss@clearlake.example", []string{"Lena Ott"}, "孙码头", "12345678")
	says("R2", "control@clearlake.example", []string{"Lena Ott"})
	says("R3", "ops@clearlake.example", []string{"Lena Ott"}, "Warden", "Boss of Two")
	says("R3", "pier@clearlake.example", []string{"For Pier and everything below"}, "Lena Ott")
	says("R4", "ops@clearlake.example", []string{"郝川"}, "Lena Ott")
	says("R5", "pier@clearlake.example", []string{"孙码头"}, "Lena Ott", "郝川")
	if m := d.mailsOf(c.ID, day, "R2-user")["lena@clearlake.example"]; m.Subject == "" || strings.Contains(m.Text, "郝川") {
		t.Errorf("lena is told %q", m.Subject)
	}
	before := len(d.planned(c.ID))
	d.OK(d.due(d.Context()))
	if n := len(d.planned(c.ID)); n != before {
		t.Errorf("asked again, %d mails are planned, and were %d", n, before)
	}
}

func TestUsersWithoutMobileWhoseEmailWentAreReportedAndThoseWhoseEmailChangedAreTold(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwemail")
	plain := directory.Member{Listed: true, Departments: []int{2}, Status: 1, MobileReadable: true, EmailReadable: true, Designated: true, DesignatedKnown: true}
	removed, changed := plain, plain
	removed.Name, changed.Name, changed.Email = "Rem Oved", "Chan Ged", "new@clearlake.example"
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{
		{Kind: directory.KindMember, ID: "removed", At: noon.Add(-time.Hour), Fields: directory.Fields(removed)},
		{Kind: directory.KindMember, ID: "changed", At: noon.Add(-time.Hour), Fields: directory.Fields(changed)},
	}))
	d.happened(c.ID, "removed", directory.EmailRemoved, "old@clearlake.example", "", noon.Add(-time.Hour))
	d.happened(c.ID, "changed", directory.EmailChanged, "was@clearlake.example", "new@clearlake.example", noon.Add(-time.Hour))
	d.settings(c, func(c *ledger.Corp) { c.Settings.Alert = "alerts@clearlake.example" })
	d.OK(d.due(d.Context()))
	if diff := cmp.Diff([]string{"new@clearlake.example"}, addresses(d.mailsOf(c.ID, "2032-02-10", "R8-user"))); diff != "" {
		t.Errorf("users told (-want +got):\n%s", diff)
	}
	list := d.mailsOf(c.ID, "2032-02-10", "R8")["alerts@clearlake.example"]
	if !strings.Contains(list.Text, "Rem Oved") || !strings.Contains(list.Text, "Chan Ged") {
		t.Errorf("the list is\n%s", list.Text)
	}
	// The next day the removed one is still in it, the changed one was told once.
	d.at = noon.Add(24*time.Hour + time.Second)
	d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: c.ID, At: noon.Add(23 * time.Hour)}))
	d.OK(d.due(d.Context()))
	list = d.mailsOf(c.ID, "2032-02-11", "R8")["alerts@clearlake.example"]
	if !strings.Contains(list.Text, "Rem Oved") || strings.Contains(list.Text, "Chan Ged") || len(d.mailsOf(c.ID, "2032-02-11", "R8-user")) != 0 {
		t.Errorf("the next day's list is\n%s", list.Text)
	}
	// Switched off, nobody is told, users included.
	d.settings(c, func(c *ledger.Corp) { c.Settings = c.Settings.Turned(report.MissingEmail, true, "test", noon) })
	d.at = noon.Add(48*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	if n := len(d.mailsOf(c.ID, "2032-02-12", "R8")); n != 0 {
		t.Errorf("%d mails of a report that is off", n)
	}
}
