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
	at, err := d.lastRead(d.Context(), c.ID)
	d.OK(err)
	if at.failing || !at.snapshot.Equal(noon.Add(-time.Hour)) {
		t.Errorf("read %+v", at)
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

// WeCom's list of users to archive may fail alone: what is told of who is on it is then as old as its last reading.
func TestAListOfUsersToArchiveThatIsNotReadAnyMoreIsSaidToBeOld(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.calm("wwlist")
	d.OK(d.due(d.Context()))
	lost := quiet("Ugo")
	lost.Mobile = ""
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "ugo", At: noon.Add(20 * time.Hour), Fields: directory.Fields(lost)}}))
	d.happened(c.ID, "ugo", directory.MobileRemoved, "+49 301", "", noon.Add(20*time.Hour))
	for _, hours := range []time.Duration{21, 22} {
		d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: c.ID, At: noon.Add(hours * time.Hour), Counts: directory.Counts{Parts: map[directory.Part]directory.Outcome{
			directory.PartDepartments: {Complete: true}, directory.PartMembers: {Complete: true}, directory.PartDesignated: {Why: "errcode 301052"},
		}}}))
	}
	d.askedAll(c.ID, noon.Add(22*time.Hour))
	d.at = noon.Add(24*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	const says = "Not read: WeCom's list of users to archive, since 2032-02-10 10:00"
	for kind, want := range map[string]bool{"R1": true, "R2": true, "R3": false, "R5": true, "R12": true} {
		m := d.mailsOf(c.ID, "2032-02-11", kind)["eye@still.example"]
		if strings.Contains(m.Text, says) != want || m.Text == "" || strings.Contains(m.Text, "Not read: WeCom's directory") {
			t.Errorf("%s: %s\n%s", kind, m.Subject, m.Text)
		}
		if kind != "R3" && !strings.Contains(m.Subject, "not all could be read") && !strings.HasSuffix(m.Subject, ": not known") {
			t.Errorf("%s is called %s", kind, m.Subject)
		}
	}
}

func TestACompanyWhoseDirectoryWasNeverReadIsNotOneWithoutNews(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := ledger.Corp{ID: "wwunseen", Name: "Unseen", Added: noon.Add(-20 * time.Hour), ReportTo: []ledger.Receiver{ledger.Receiver{Address: "eye@still.example", Language: "en"}.WithReports(report.Kinds())}}
	d.OK(d.operator.PutCorp(d.Context(), c))
	d.OK(d.due(d.Context()))
	for _, kind := range []string{"R1", "R2", "R3", "R4", "R5", "R8", "R12"} {
		m := d.mailsOf(c.ID, "2032-02-10", kind)["eye@still.example"]
		if m.Text == "" || strings.Contains(m.Subject, "nothing") || kind != "R1" && !strings.Contains(m.Text, "Not read: WeCom's directory. Therefore not known: who is there, and what happened to whom.") {
			t.Errorf("%s says %s\n%s", kind, m.Subject, m.Text)
		}
	}
}
