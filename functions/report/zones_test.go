package main

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones of this test, wherever it runs

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

func inZone(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// calendars is days on which clocks change somewhere, leap days and ends of years, and the zones of companies and of machines.
func calendars() (days, zones []string) {
	return []string{"2027-12-31", "2028-01-01", "2028-02-28", "2028-02-29", "2028-03-01", "2028-03-12", "2028-03-26", "2028-10-29", "2028-11-05", "2028-12-31", "2100-02-28", "2100-03-01"},
		[]string{"UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"}
}

func TestNoonIsTwelveUTCWhateverTheDayAndTheClocksOfAnyZone(t *testing.T) {
	days, zones := calendars()
	for _, day := range days {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		for _, zone := range zones {
			for _, c := range []struct {
				name string
				now  time.Time
				want string
				due  int
			}{
				{"a second before", at.Add(12*time.Hour - time.Second), at.Add(-12 * time.Hour).Format(time.RFC3339), lateDays},
				{"at noon", at.Add(12 * time.Hour), at.Add(12 * time.Hour).Format(time.RFC3339), lateDays + 1},
				{"at the day's end", at.Add(24*time.Hour - time.Second), at.Add(12 * time.Hour).Format(time.RFC3339), lateDays + 1},
			} {
				due := noons(at.AddDate(0, 0, -30), c.now.In(inZone(t, zone)))
				last := due[len(due)-1]
				if got := last.Format(time.RFC3339); got != c.want || len(due) != c.due {
					t.Errorf("%s of %s in %s: the last of %d noons is %s, want %s of %d", c.name, day, zone, len(due), got, c.want, c.due)
				}
				for i := 1; i < len(due); i++ {
					if before, now := report.WindowOf(due[i-1]), report.WindowOf(due[i]); !before.To.Equal(now.From) || now.To.Sub(now.From) != 24*time.Hour {
						t.Errorf("%s in %s: the windows are %v and %v: a moment is told twice, or never", day, zone, before, now)
					}
				}
			}
		}
	}
}

func TestEveryDayOfFourYearsHasOneNoonAndEveryMomentOneWindow(t *testing.T) {
	first := time.Date(2027, 12, 1, 12, 0, 0, 0, time.UTC)
	seen := map[string]int{}
	for now := first; now.Year() < 2032; now = now.Add(10 * time.Minute) { // as the schedule fires
		for _, n := range noons(first.Add(-time.Hour), now) {
			if now.Sub(n) < 10*time.Minute {
				seen[n.Format(time.DateOnly)]++
			}
		}
	}
	want := map[string]int{}
	for d := first; d.Year() < 2032; d = d.AddDate(0, 0, 1) {
		want[d.Format(time.DateOnly)] = 1
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("noons by day (-want +got):\n%s", diff)
	}
}

func TestWhatAReportSaysOfTimesIsUTCAndTheZonesOwnBesideIt(t *testing.T) {
	for _, c := range []struct {
		noon, zone, when, want string // when somebody joined
	}{
		{"2028-02-29", "UTC", "2028-02-29T00:30:00Z", "2028-02-29 00:30 UTC"},
		{"2028-02-29", "Asia/Shanghai", "2028-02-28T17:30:00Z", "2028-02-28 17:30 UTC (2028-02-29 01:30 UTC+08:00)"},
		{"2028-03-01", "Asia/Shanghai", "2028-02-29T18:00:00Z", "2028-02-29 18:00 UTC (2028-03-01 02:00 UTC+08:00)"},
		{"2028-03-26", "Europe/Berlin", "2028-03-26T00:59:00Z", "2028-03-26 00:59 UTC (01:59 UTC+01:00)"},
		{"2028-03-26", "Europe/Berlin", "2028-03-26T01:00:00Z", "2028-03-26 01:00 UTC (03:00 UTC+02:00)"},
		{"2028-10-29", "Europe/Berlin", "2028-10-29T00:30:00Z", "2028-10-29 00:30 UTC (02:30 UTC+02:00)"}, // this hour comes
		{"2028-10-29", "Europe/Berlin", "2028-10-29T01:30:00Z", "2028-10-29 01:30 UTC (02:30 UTC+01:00)"}, // twice
		{"2028-11-05", "America/New_York", "2028-11-05T06:30:00Z", "2028-11-05 06:30 UTC (01:30 UTC-05:00)"},
		{"2028-12-31", "Asia/Shanghai", "2028-12-30T16:00:00Z", "2028-12-30 16:00 UTC (2028-12-31 00:00 UTC+08:00)"},
		{"2029-01-01", "America/New_York", "2029-01-01T03:00:00Z", "2029-01-01 03:00 UTC (2028-12-31 22:00 UTC-05:00)"},
	} {
		noon, err := time.Parse(time.DateOnly, c.noon)
		if err != nil {
			t.Fatal(err)
		}
		by, err := time.Parse(time.RFC3339, c.when)
		if err != nil {
			t.Fatal(err)
		}
		noon = noon.Add(noonHour * time.Hour)
		rows := report.Changes(noon, []directory.Event{{Kind: directory.KindMember, ID: "leap", What: directory.Joined, By: by}}, nil, func(id archive.PartyID) report.Seen {
			return report.Seen{Person: report.Person{ID: id}, Here: true}
		})
		if len(rows.New) != 1 {
			t.Errorf("%s is not in the window of %s", c.when, c.noon)
			continue
		}
		m, err := report.NewNewUsers(report.NewUsersFacts{Corp: report.Corp{ID: "wwzones"}, Day: noon, Snapshot: noon.Add(-time.Hour), Rows: rows.New}, report.View{Language: report.English, Zone: inZone(t, c.zone)})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(m.Text, c.want) || !strings.Contains(m.Subject, c.noon) {
			t.Errorf("%s in %s: it does not say %q:\n%s\n%s", c.when, c.zone, c.want, m.Subject, m.Text)
		}
		if w := report.WindowOf(noon); !strings.Contains(m.Text, w.From.Format("2006-01-02 15:04")+" UTC") || !strings.Contains(m.Text, w.To.Format("2006-01-02 15:04")+" UTC") {
			t.Errorf("%s: the period is not said in UTC:\n%s", c.noon, m.Text)
		}
	}
}

// TestCorpsOfAllZonesAreReportedAtTheSameNoon has companies that were added at odd hours of a leap day's eve.
func TestCorpsOfAllZonesAreReportedAtTheSameNoon(t *testing.T) {
	slow(t)
	t.Parallel()
	d := newDesk(t)
	leap := time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC)
	_, zones := calendars()
	for i, zone := range zones {
		added := time.Date(2028, 2, 28, 20, 5*i, 0, 0, inZone(t, zone)).UTC()
		if !added.Before(leap) {
			t.Fatalf("%s is added at %v", zone, added)
		}
		d.OK(d.operator.PutCorp(t.Context(), ledger.Corp{ID: archive.CorpID("ww" + strings.ReplaceAll(zone, "/", "-")), Added: added, ReportTo: []ledger.Receiver{{Address: "office@clearlake.example", Language: "en"}}}))
	}
	planned := func() (n int) {
		d.Helper()
		for _, zone := range zones {
			for _, m := range d.planned(archive.CorpID("ww" + strings.ReplaceAll(zone, "/", "-"))) {
				if m.Report == "R1" && m.Day == "2028-02-29" {
					n++
				}
			}
		}
		return n
	}
	d.at = leap.Add(-time.Second)
	d.OK(d.due(d.Context()))
	if n := planned(); n != 0 {
		t.Errorf("%d companies are reported before noon", n)
	}
	d.at = leap
	d.OK(d.due(d.Context()))
	if n := planned(); n != len(zones) {
		t.Errorf("at noon %d of %d companies are reported", n, len(zones))
	}
	d.at = leap.Add(24 * time.Hour)
	d.OK(d.due(d.Context()))
	days := map[string]bool{}
	for _, m := range d.planned("wwUTC") {
		days[m.Day] = true
	}
	if diff := cmp.Diff(map[string]bool{"2028-02-29": true, "2028-03-01": true}, days); diff != "" {
		t.Errorf("the days (-want +got):\n%s", diff)
	}
}
