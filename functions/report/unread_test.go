package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

func TestAReportOfADayWhoseNewestReadingFailedSaysSoAndSinceWhen(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwblind")
	d.settings(c, func(c *ledger.Corp) { c.Settings.Operations, c.Settings.Language = "ops@clearlake.example", "en" })
	d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: c.ID, At: noon.Add(-time.Hour), Counts: directory.Counts{Parts: map[directory.Part]directory.Outcome{
		directory.PartDepartments: {Complete: true}, directory.PartMembers: {Why: "no answer"},
	}}}))
	d.OK(d.due(d.Context()))
	for _, kind := range []string{"R3", "R4", "R5"} {
		m := d.mailsOf(c.ID, "2032-02-10", kind)["ops@clearlake.example"]
		for _, words := range []string{"Not read", "since 2032-02-10 10:00"} {
			if !strings.Contains(m.Text, words) {
				t.Errorf("%s does not say %q:\n%s", kind, words, m.Text)
			}
		}
	}
	if m := d.mailsOf(c.ID, "2032-02-10", "R1")["audit@clearlake.example"]; !strings.Contains(m.Text, "Directory as of 2032-02-10 10:00") {
		t.Errorf("R1 says\n%s", m.Text)
	}
}

func TestMembersWithoutALicenceAreNoFailedReading(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwlicence")
	d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: c.ID, At: noon.Add(-time.Hour), Counts: directory.Counts{Parts: map[directory.Part]directory.Outcome{
		directory.PartDepartments: {Complete: true}, directory.PartMembers: {Why: "members without licence"},
	}}}))
	at, failing, err := d.lastRead(d.Context(), c.ID)
	d.OK(err)
	if failing || !at.Equal(noon.Add(-time.Hour)) {
		t.Errorf("read at %v, failing %v", at, failing)
	}
}

func TestAReportIsNotMadeForTheDaysBeforeItWasSwitchedOnAgain(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwagain")
	d.settings(c, func(c *ledger.Corp) {
		c.Settings = c.Settings.Turned(report.UserStatus, true, "test", noon.Add(-time.Hour))
	})
	d.at = noon.Add(45 * time.Hour)
	d.settings(c, func(c *ledger.Corp) { c.Settings = c.Settings.Turned(report.UserStatus, false, "test", d.at) })
	d.OK(d.due(d.Context()))
	d.at = noon.Add(48*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	for day, want := range map[string]int{"2032-02-10": 0, "2032-02-11": 0, "2032-02-12": 2} {
		if rows := d.mailsOf(c.ID, day, "R1"); len(rows) != want {
			t.Errorf("%d mails of %s, want %d", len(rows), day, want)
		}
	}
}

// TestADirectoryThatWasNotReadForHoursIsNoDayWithoutNews: nothing failed, and nothing was read either.
func TestADirectoryThatWasNotReadForHoursIsNoDayWithoutNews(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.calm("wwstill") // read two hours before noon
	d.OK(d.due(d.Context()))
	d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: "wwstill", At: noon.Add(2 * time.Hour)}))
	d.askedAll("wwstill", noon.Add(22*time.Hour))
	d.at = noon.Add(24*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	for day, want := range map[string]bool{"2032-02-10": false, "2032-02-11": true} {
		for _, kind := range []string{"R2", "R3", "R4", "R5", "R8"} {
			text := d.mailsOf("wwstill", day, kind)["eye@still.example"].Text
			if strings.Contains(text, "Not read: WeCom's directory, since 2032-02-10 14:00") != want || (text == "") == want {
				t.Errorf("%s of %s says\n%s", kind, day, text)
			}
		}
	}
}
