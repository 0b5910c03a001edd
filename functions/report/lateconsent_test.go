package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// toldOfCoverage is which changes of consent and lost attachments R12 of each day tells of, the late ones marked.
func (d *desk) toldOfCoverage(id archive.CorpID) map[string][]string {
	d.Helper()
	out := map[string][]string{}
	d.OK(d.operator.Runs(d.Context(), id, func(run ledger.Run) bool {
		if run.Report != string(report.Coverage) || run.State != ledger.RunDone || run.Object == "" {
			return true
		}
		for _, r := range factsOf[report.CoverageFacts](d, id, run.Day, report.Coverage).Rows {
			if r.What != report.ConsentChange && r.What != report.MediaGone {
				continue
			}
			word := string(r.What) + " " + r.With + r.Why
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

// foundOf keeps that somebody agreed, found at a time; the change is owed until it is settled.
func (d *desk) foundOf(id archive.CorpID, who archive.PartyID, found time.Time) ledger.Standing {
	d.Helper()
	s := consent.Subject{External: who, Member: "lena"}
	st, err := d.operator.PutStanding(d.Context(), id, ledger.Standing{Subject: s, State: consent.Agreed, Owed: true, Changes: []ledger.ConsentChange{
		{Found: found, Change: consent.Change{Subject: s, Old: consent.Disagreed, New: consent.Agreed, By: found, Source: consent.Poll}}}})
	d.OK(err)
	return st
}

func TestAChangeOfConsentThatIsWrittenAfterItsReportIsToldOnceByTheNextAndCalledLate(t *testing.T) {
	d := newDesk(t)
	c := d.observed("wwlateconsent")
	late := func(is bool) func(time.Time) bool { return func(time.Time) bool { return is } }
	settle := func(s ledger.Standing, is bool) { d.OK(d.operator.SettleFound(d.Context(), c.ID, s, late(is))) }
	settle(d.foundOf(c.ID, "early", noon.Add(-5*time.Hour)), false)
	settle(d.foundOf(c.ID, "near", noon.Add(-time.Minute)), true) // written in time after all
	owed := []ledger.Standing{d.foundOf(c.ID, "owed", noon.Add(-3*time.Hour)), d.foundOf(c.ID, "last", noon.Add(-time.Millisecond))}
	d.OK(d.due(d.Context()))
	for n := 1; n <= 3; n++ {
		for _, s := range owed { // more than one run pays
			settle(s, true)
		}
		d.at = noon.Add(time.Duration(n)*24*time.Hour + time.Second)
		for range 2 { // the schedule fires twice
			d.OK(d.due(d.Context()))
		}
	}
	want := map[string][]string{"2032-02-10": {"consent early", "consent near"}, "2032-02-11": {"consent last late", "consent owed late"}}
	if diff := cmp.Diff(want, d.toldOfCoverage(c.ID)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if text := d.mailsOf(c.ID, "2032-02-11", "R12")["ops@clearlake.example"].Text; !strings.Contains(text, "属于更早的区间") {
		t.Errorf("it does not say that it is late:\n%s", text)
	}
}

func TestALateChangeOfConsentIsNamedBeforeThoseOfItsKindAndCountedWhereThereAreTooMany(t *testing.T) {
	slow(t)
	t.Parallel()
	d := newDesk(t)
	c := d.observed("wwlateflood")
	d.OK(d.due(d.Context()))
	s := consent.Subject{External: "wm-rosa", Member: "lena"}
	flood := ledger.Standing{Subject: s, Owed: true}
	for i := range mostConsents + 10 {
		at := noon.Add(3*time.Hour + time.Duration(i)*time.Millisecond)
		flood.Changes = append(flood.Changes, ledger.ConsentChange{Found: at, Change: consent.Change{Subject: s, New: consent.Agreed, By: at, Read: at, Source: consent.Poll}})
	}
	d.OK(d.operator.SettleStanding(d.Context(), c.ID, flood))
	d.OK(d.operator.SettleFound(d.Context(), c.ID, d.foundOf(c.ID, "owed", noon.Add(-time.Hour)), func(time.Time) bool { return true }))
	for n := 1; n <= 2; n++ {
		d.at = noon.Add(time.Duration(n)*24*time.Hour + time.Second)
		d.OK(d.due(d.Context()))
	}
	f := factsOf[report.CoverageFacts](d, c.ID, "2032-02-11", report.Coverage)
	if got := d.toldOfCoverage(c.ID); len(got["2032-02-11"]) != mostConsents || !slices.Contains(got["2032-02-11"], "consent owed late") || len(got["2032-02-12"]) != 0 || f.Unlisted != 11 {
		t.Errorf("%d rows, %d without one, and the day after %v", len(got["2032-02-11"]), f.Unlisted, got["2032-02-12"])
	}
}

func TestAnAttachmentThatIsRecordedAsLostJustAfterNoonIsToldOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.observed("wwlatelost")
	lose := func(file archive.FileID, at time.Time) {
		w := ledger.Waiting{Corp: c.ID, FileID: file, Clock: noon.Add(-80 * time.Hour)}
		_, err := d.operator.PutWaiting(d.Context(), c.ID, []ledger.Waiting{w})
		d.OK(err)
		d.OK(d.operator.SettleMedia(d.Context(), w, ledger.MediaRow{Corp: c.ID, Hash: w.FileID.Hash(), State: ledger.Lost, Reason: string(file), At: at}))
	}
	lose("early", noon.Add(-5*time.Hour))
	lose("near", noon.Add(-time.Second))
	d.OK(d.due(d.Context()))
	lose("slow", noon.Add(-time.Millisecond)) // was about to be written at noon
	lose("next", noon.Add(time.Hour))
	for n := 1; n <= 2; n++ {
		d.at = noon.Add(time.Duration(n)*24*time.Hour + time.Second)
		for range 2 {
			d.OK(d.due(d.Context()))
		}
	}
	want := map[string][]string{"2032-02-10": {"media-lost early", "media-lost near"}, "2032-02-11": {"media-lost next", "media-lost slow late"}}
	if diff := cmp.Diff(want, d.toldOfCoverage(c.ID)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
