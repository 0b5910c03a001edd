package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// told is which users R4 of each day tells of, the late ones marked.
func (d *desk) toldOfLeavers(id archive.CorpID) map[string][]string {
	d.Helper()
	out := map[string][]string{}
	d.OK(d.operator.Runs(d.Context(), id, func(run ledger.Run) bool {
		if run.Report != string(report.DeletedUsers) || run.State != ledger.RunDone || run.Object == "" {
			return true
		}
		for _, r := range factsOf[report.DeletedUsersFacts](d, id, run.Day, report.DeletedUsers).Rows {
			word := string(r.ID)
			if r.Late {
				word += " late"
			}
			out[run.Day] = append(out[run.Day], word)
		}
		slices.Sort(out[run.Day])
		return true
	}))
	return out
}

// left keeps that a member left by a time, seen to be there an hour before.
func (d *desk) left(id archive.CorpID, member string, by time.Time) {
	d.Helper()
	d.happened(id, member, directory.Left, "", "", by)
}

func (d *desk) observed(id archive.CorpID) ledger.Corp {
	d.Helper()
	return d.settings(d.company(id), func(c *ledger.Corp) { c.Settings.Operations = "ops@clearlake.example" })
}

func TestAnEventThatIsKnownOnlyAfterItsReportIsToldOnceByTheNextAndCalledLate(t *testing.T) {
	d := newDesk(t)
	c := d.observed("wwafter")
	d.left(c.ID, "first", noon.Add(-2*time.Hour))
	d.OK(d.due(d.Context()))
	d.left(c.ID, "slow", noon.Add(-3*time.Hour)) // known after the report of its window
	d.left(c.ID, "second", noon.Add(3*time.Hour))
	d.OK(d.due(d.Context())) // what was mailed stays as it is
	for n := 1; n <= 3; n++ {
		d.at = noon.Add(time.Duration(n)*24*time.Hour + time.Second)
		for range 2 { // the schedule fires twice
			d.OK(d.due(d.Context()))
		}
		if n == 1 {
			d.left(c.ID, "slower", noon.Add(-4*time.Hour)) // two days late
			d.left(c.ID, "third", noon.Add(25*time.Hour))
			// A further look narrows when it was that the second left: it is the same event.
			d.OK(d.operator.DropEvents(d.Context(), c.ID, []directory.Event{{Kind: directory.KindMember, ID: "second", What: directory.Left, By: noon.Add(3 * time.Hour)}}))
			d.left(c.ID, "second", noon.Add(150*time.Minute))
		}
	}
	want := map[string][]string{"2032-02-10": {"first"}, "2032-02-11": {"second", "slow late"}, "2032-02-12": {"slower late", "third"}}
	if diff := cmp.Diff(want, d.toldOfLeavers(c.ID)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if text := d.mailsOf(c.ID, "2032-02-11", "R4")["ops@clearlake.example"].Text; !strings.Contains(text, "属于更早的区间") {
		t.Errorf("it does not say that it is late:\n%s", text)
	}
}

func TestALateEventWaitsForTheReportsThatWereMissedAndEachIsToldOnce(t *testing.T) {
	slow(t)
	t.Parallel()
	d := newDesk(t)
	c := d.observed("wwgap")
	d.left(c.ID, "first", noon.Add(-2*time.Hour))
	d.OK(d.due(d.Context()))
	d.left(c.ID, "slow", noon.Add(-3*time.Hour))
	d.left(c.ID, "missed", noon.Add(2*time.Hour))
	d.left(c.ID, "gap", noon.Add(7*24*time.Hour)) // of a window whose report is never made
	d.at = noon.Add(48*time.Hour + time.Second)   // one noon was missed: both are made now
	// That of the missed noon is being made by somebody else: the later one leaves what is late to it.
	_, err := d.operator.ClaimRun(d.Context(), ledger.Run{Corp: c.ID, Day: "2032-02-11", Report: "R4", Owner: "somebody", Until: d.real.Add(time.Minute)}, d.real)
	d.OK(err)
	d.OK(d.due(d.Context()))
	d.real = d.real.Add(2 * time.Minute)
	d.OK(d.due(d.Context()))
	d.at = noon.Add(12*24*time.Hour + time.Second) // ten days of nothing
	d.OK(d.due(d.Context()))
	got := d.toldOfLeavers(c.ID)
	want := map[string][]string{"2032-02-10": {"first"}, "2032-02-11": {"missed", "slow late"}, "2032-02-19": {"gap late"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestWhatHappenedWhileAReportWasOffOrBeforeThereWasOneIsNotToldLate(t *testing.T) {
	slow(t)
	t.Parallel()
	d := newDesk(t)
	c := d.observed("wwsilence")
	d.left(c.ID, "before", noon.Add(-50*time.Hour)) // before the company was added
	d.OK(d.due(d.Context()))
	d.settings(c, func(c *ledger.Corp) {
		c.Settings = c.Settings.Turned(report.DeletedUsers, true, "test", noon.Add(time.Hour))
	})
	d.left(c.ID, "quiet", noon.Add(25*time.Hour))
	d.at = noon.Add(6*24*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	d.settings(c, func(c *ledger.Corp) {
		c.Settings = c.Settings.Turned(report.DeletedUsers, false, "test", noon.Add(6*24*time.Hour))
	})
	d.at = noon.Add(9*24*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	if got := d.toldOfLeavers(c.ID); len(got) != 0 {
		t.Errorf("told %v", got)
	}
	// A report of a version that did not keep what it told told all that there was.
	d = newDesk(t)
	c = d.observed("wwolder")
	d.left(c.ID, "known", noon.Add(-2*time.Hour))
	d.OK(d.due(d.Context()))
	run, err := d.operator.RunOf(d.Context(), c.ID, "2032-02-10", "R4")
	d.OK(err)
	object, _, err := d.keep(d.Context(), strings.Replace(run.Object, "R4.json", "R4-old.json", 1), "application/json", []byte(`{"facts":{"day":"2032-02-10T12:00:00Z","rows":[]}}`))
	d.OK(err)
	run.Object, run.Version = object.Key, object.VersionID
	d.OK(d.operator.FinishRun(d.Context(), run))
	d.at = noon.Add(24*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	if got := d.toldOfLeavers(c.ID); len(got) != 0 {
		t.Errorf("after the version before, told %v", got)
	}
}

func TestAChangeOfEmailThatIsKnownLateIsToldOnce(t *testing.T) {
	d := newDesk(t)
	c := d.settings(d.company("wwlatemail"), func(c *ledger.Corp) { c.Settings.Alert = "alerts@clearlake.example" })
	m := directory.Member{Name: "Chan Ged", Listed: true, Departments: []int{2}, Status: 1, MobileReadable: true, Email: "new@clearlake.example", EmailReadable: true}
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "changed", At: noon.Add(-3 * time.Hour), Fields: directory.Fields(m)}}))
	d.OK(d.due(d.Context()))
	d.happened(c.ID, "changed", directory.EmailChanged, "was@clearlake.example", "new@clearlake.example", noon.Add(-time.Hour))
	got := map[string]bool{}
	for n := 1; n <= 2; n++ {
		d.at = noon.Add(time.Duration(n)*24*time.Hour + time.Second)
		d.OK(d.due(d.Context()))
		day := d.at.Format(time.DateOnly)
		for kind, to := range map[string]string{"R8": "alerts@clearlake.example", "R8-user": "new@clearlake.example"} {
			if text := d.mailsOf(c.ID, day, kind)[to].Text; strings.Contains(text, "Chan Ged") || kind == "R8-user" && text != "" {
				got[fmt.Sprint(day, " ", kind, " ", strings.Contains(text, "延迟"))] = true
			}
		}
	}
	if diff := cmp.Diff([]string{"2032-02-11 R8 true", "2032-02-11 R8-user false"}, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
