package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// TestEachReportOfAMissedNoonIsMailedOnceToAnAddressOfTwoRolesAndSaysThatItIsLate goes through all daily reports: four noons were missed, one of them for good.
func TestEachReportOfAMissedNoonIsMailedOnceToAnAddressOfTwoRolesAndSaysThatItIsLate(t *testing.T) {
	d := newDesk(t)
	c := d.calm("wwmissed")
	d.settings(c, func(c *ledger.Corp) {
		for _, k := range report.Kinds() {
			c.Settings = c.Settings.Quietened(k, false, "test", noon.Add(-time.Hour))
		}
	})
	// The account admin is entered for a part of the company too, and written otherwise.
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindDepartment, ID: "2", At: noon.Add(-2 * time.Hour),
		Fields: directory.Fields(directory.Department{Name: "Weir", Parent: 1})}}))
	kinds := slices.DeleteFunc(report.Kinds(), func(k report.Kind) bool { return k == report.Maintenance }) // company-wide alone
	_, err := d.operator.PutReceiver(d.Context(), c.ID, receivers.Row{ID: "r-1", Address: "Eye@still.example", Language: "en", Department: 2, Reports: kinds, Added: noon.Add(-time.Hour)})
	d.OK(err)
	const missed = 4
	last := noon.AddDate(0, 0, missed)
	d.at = last.Add(time.Second)
	for range 2 { // the schedule fires twice
		d.OK(d.due(d.Context()))
	}
	if len(dailies()) != len(report.Kinds()) {
		t.Errorf("%d reports are made at noon, and there are %d", len(dailies()), len(report.Kinds()))
	}
	mails := map[string][]letter{}
	for _, m := range d.planned(c.ID) {
		if strings.EqualFold(m.To, "eye@still.example") {
			mails[m.Report+" "+m.Day] = append(mails[m.Report+" "+m.Day], d.letter(m))
		}
	}
	for _, daily := range dailies() {
		for back := range missed + 1 {
			day := last.AddDate(0, 0, -back).Format(time.DateOnly)
			got := mails[string(daily.kind)+" "+day]
			if back > lateDays {
				if len(got) != 0 {
					t.Errorf("%s of %s is mailed %d days late", daily.kind, day, back)
				}
				continue
			}
			if len(got) != 1 {
				t.Errorf("%s of %s: %d mails to one address", daily.kind, day, len(got))
				continue
			}
			late := strings.Contains(got[0].Text, "THIS REPORT IS LATE: it was due at "+day+" 12:00 UTC")
			if late != (back > 0) || strings.Contains(got[0].HTML, "THIS REPORT IS LATE") != late || strings.Contains(got[0].Subject, "late") != late {
				t.Errorf("%s of %s, %d days late, says %q\n%s", daily.kind, day, back, got[0].Subject, got[0].Text)
			}
			// The union of a part and the whole is the whole.
			if strings.Contains(got[0].Text, "Weir") {
				t.Errorf("%s of %s is confined to a part:\n%s", daily.kind, day, got[0].Text)
			}
		}
	}
}
