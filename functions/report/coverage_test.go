package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// factsOf is what is kept of a report of a day.
func factsOf[F any](d *desk, id archive.CorpID, day string, kind report.Kind) F {
	d.Helper()
	run, err := d.operator.RunOf(d.Context(), id, day, string(kind))
	d.OK(err)
	body, err := d.Store(d.Config(rig.Operator), "ReportsBucket").Get(d.Context(), objstore.Object{Key: run.Object, VersionID: run.Version})
	d.OK(err)
	var kept struct {
		Facts F `json:"facts"`
	}
	d.OK(json.Unmarshal(body, &kept))
	return kept.Facts
}

// watched is a company whose operations address gets the daily reports, with one of each thing that R12 tells of.
func (d *desk) watched(id archive.CorpID) ledger.Corp {
	d.Helper()
	ctx := d.Context()
	c := d.settings(d.company(id), func(c *ledger.Corp) { c.Settings.Operations = "ops@clearlake.example" })
	d.pier(id, noon.Add(-19*time.Hour))
	early, late := noon.Add(-9*24*time.Hour), noon.Add(-26*time.Hour)
	listed := directory.Member{Listed: true, Departments: []int{3}, Status: 1, MobileReadable: true, Mobile: "+49 3001", EmailReadable: true, Designated: true, DesignatedKnown: true}
	mute, dropped := listed, listed
	mute.Name, dropped.Name = "Mute Active", "Drop Ped"
	d.OK(d.operator.PutEntries(ctx, id, []directory.Entry{
		{Kind: directory.KindMember, ID: "mute", At: early, Fields: directory.Fields(mute)},
		{Kind: directory.KindMember, ID: "dropped", At: early, Fields: directory.Fields(dropped)},
		{Kind: directory.KindExternal, ID: "wm-rosa", At: early, Fields: directory.Fields(directory.External{Name: "Rosa Lind"})},
		{Kind: directory.KindRoom, ID: "wr-quay", At: early, Fields: directory.Fields(directory.Room{Name: "Quay talk", Members: []archive.PartyID{"sun", "wm-rosa"}})},
	}))
	dropped.Designated = false
	d.OK(d.operator.PutEntries(ctx, id, []directory.Entry{{Kind: directory.KindMember, ID: "dropped", At: late, Fields: directory.Fields(dropped)}}))
	d.OK(d.operator.PutMessages(ctx, "b", []archive.Message{{Corp: id, Seq: 9, MsgID: "m9", From: "dropped", To: []archive.PartyID{"lena"}, Time: noon.Add(-5 * 24 * time.Hour),
		Type: "text", Action: archive.Send, Known: true}}, &ledger.People{}))
	for i, s := range []consent.Subject{{External: "wm-rosa", Member: "lena"}, {External: "wm-rosa", Room: "wr-quay"}, {Room: "wr-quay"}} { // the last is nobody's consent
		found := noon.Add(-time.Duration(i+1) * time.Hour)
		change := ledger.ConsentChange{Found: found, Change: consent.Change{Subject: s, Old: consent.Agreed, New: consent.Disagreed, After: found.Add(-time.Hour), By: found, Source: consent.Poll}}
		before := change
		before.Found, before.Old, before.New = noon.Add(-25*time.Hour), consent.Unknown, consent.Agreed
		st, err := d.operator.PutStanding(ctx, id, ledger.Standing{Subject: s, State: consent.Disagreed, Changes: []ledger.ConsentChange{before, change}, Owed: true})
		d.OK(err)
		d.OK(d.operator.SettleStanding(ctx, id, st))
	}
	for _, kind := range []string{ledger.RoundOfRooms, ledger.RoundOfPairs} {
		d.OK(d.operator.PutRound(ctx, ledger.Round{Corp: id, Kind: kind, At: noon.Add(-3 * time.Hour), Until: noon.Add(-3 * time.Hour)}))
	}
	files := []ledger.Waiting{{Corp: id, FileID: "nearly", Clock: noon.Add(-60 * time.Hour)}, {Corp: id, FileID: "went", Clock: noon.Add(-80 * time.Hour)}}
	_, err := d.operator.PutWaiting(ctx, id, files)
	d.OK(err)
	d.OK(d.operator.SettleMedia(ctx, files[1], ledger.MediaRow{Corp: id, Hash: files[1].FileID.Hash(), State: ledger.Lost, Reason: "expired", At: noon.Add(-4 * time.Hour)}))
	return c
}

func TestOfTooManyChangesOfConsentThoseThatMatterHaveRows(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.settings(d.company("wwflood"), func(c *ledger.Corp) { c.Settings.Operations, c.Settings.Language = "ops@clearlake.example", "en" })
	_, err := d.operator.PutReceiver(d.Context(), c.ID, receivers.Row{ID: "r-2", Address: "two@clearlake.example", Language: "en", Department: 2,
		Reports: []report.Kind{"R12"}, Added: noon.Add(-time.Hour)})
	d.OK(err)
	s := consent.Subject{External: "wm-rosa", Member: "lena"}
	flood := ledger.Standing{Subject: s, Owed: true}
	found := func(before, now consent.State) { // each later than the one before it
		at := noon.Add(-3 * time.Hour).Add(time.Duration(len(flood.Changes)) * time.Millisecond)
		flood.Changes = append(flood.Changes, ledger.ConsentChange{Found: at, Change: consent.Change{Subject: s, Old: before, New: now, By: at, Read: at, Source: consent.Poll}})
	}
	for range mostConsents + 100 { // a first reading
		found(consent.Unknown, consent.Agreed)
	}
	found(consent.Unknown, consent.Disagreed)
	found(consent.Agreed, consent.Default)
	d.OK(d.operator.SettleStanding(d.Context(), c.ID, flood))
	d.OK(d.due(d.Context()))
	f := factsOf[report.CoverageFacts](d, c.ID, "2032-02-10", report.Coverage)
	rows := map[string]int{}
	for _, r := range f.Rows {
		if r.What == report.ConsentChange {
			rows[r.Old+" to "+r.New]++
		}
	}
	if diff := cmp.Diff(map[string]int{" to agree": mostConsents - 2, " to disagree": 1, "agree to default": 1}, rows); diff != "" || f.Unlisted != 102 {
		t.Errorf("%d without a row; rows (-want +got):\n%s", f.Unlisted, diff)
	}
	mails := d.mailsOf(c.ID, "2032-02-10", "R12")
	if text := mails["ops@clearlake.example"].Text; !strings.Contains(text, "no row here, because there were too many: 102.") {
		t.Errorf("the whole company's says\n%s", text)
	}
	if text := mails["two@clearlake.example"].Text; !strings.Contains(text, "Not every change of consent has a row here") || strings.Contains(text, "102") {
		t.Errorf("a part's says\n%s", text)
	}
}

func TestCoverageTellsWhatTheLedgerHolds(t *testing.T) {
	d := newDesk(t)
	c := d.settings(d.watched("wwcover"), func(c *ledger.Corp) {
		c.Settings.Service = receivers.Service{Edition: "service", Seats: 3, End: time.Date(2032, 3, 1, 0, 0, 0, 0, time.UTC)}
	})
	_, err := d.operator.PutReceiver(d.Context(), c.ID, receivers.Row{ID: "r-1", Name: "Lost Place", Address: "lost@clearlake.example", Language: "en", Department: 77,
		Reports: []report.Kind{"R1"}, Added: noon.Add(-time.Hour)})
	d.OK(err)
	_, err = d.operator.PutReceiver(d.Context(), c.ID, receivers.Row{ID: "r-2", Address: "two@clearlake.example", Language: "en", Department: 2,
		Reports: []report.Kind{"R12"}, Added: noon.Add(-time.Hour)})
	d.OK(err)
	silent := directory.Member{Name: "Head Without", Listed: true, Departments: []int{2}, Leads: []int{2}, Status: 1, EmailReadable: true, DesignatedKnown: true}
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "without", At: noon.Add(-3 * time.Hour), Fields: directory.Fields(silent)}}))
	d.OK(d.due(d.Context()))
	f := factsOf[report.CoverageFacts](d, c.ID, "2032-02-10", report.Coverage)

	got := map[string]string{}
	for _, r := range f.Rows {
		got[string(r.What)+" "+string(r.ID)] = strings.TrimSpace(fmt.Sprint(r.With, r.Old, " ", r.New, r.Why))
	}
	want := map[string]string{"silent mute": "", "dropped dropped": "", "consent lena": "Rosa Lindagree disagree", "consent wr-quay": "Rosa Lindagree disagree",
		"media-expiring ": "", "media-lost ": "expired"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if len(f.Rows) != len(want) {
		t.Errorf("%d rows, want %d", len(f.Rows), len(want))
	}
	// The account equals the ledger's batches of the window: every seq that was pulled is archived, set aside or in work.
	var handed, kept, aside uint64
	d.OK(d.operator.Batches(d.Context(), c.ID, "", func(b ledger.BatchRow) bool {
		if !b.Pulled.Before(noon.Add(-24*time.Hour)) && b.Pulled.Before(noon) {
			handed, kept, aside = handed+whole(b.Items), kept+whole(b.Archived), aside+whole(b.SetAside)
		}
		return true
	}))
	k := f.Company
	if k.Capture.Handed != handed || k.Capture.Archived != kept || k.Capture.SetAside != aside || kept+aside+k.Capture.Pending != handed || handed != 11 {
		t.Errorf("the account is %+v; the ledger has %d handed out, %d archived, %d set aside", k.Capture, handed, kept, aside)
	}
	if a := k.Account; a.First != 11 || a.Last != 21 || len(a.Jumps) != 0 || a.Inside != 0 || a.Chain != 1 || len(a.Root) != 64 {
		t.Errorf("the account of seqs is %+v", a)
	}
	if diff := cmp.Diff([]report.ReasonCount{{Reason: "no-key", N: 1, Oldest: noon.Add(-6 * time.Hour)}}, k.Capture.SetAsideOpen); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]report.DayOf{{Day: noon, Archived: report.Known(6), Covered: report.Known(2), Listed: report.Known(6)}}, k.Trend); diff != "" {
		t.Errorf("trend (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&report.Seats{Edition: "service", Bought: report.Known(3), Used: report.Known(6), End: time.Date(2032, 3, 1, 0, 0, 0, 0, time.UTC)}, k.Seats); diff != "" {
		t.Errorf("seats (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]report.Unreached{{Name: "Head Without", ID: "without", Places: []string{"工坊"}, Why: report.UnreachableNone},
		{Name: "Lost Place", Places: []string{"77"}, Why: report.DepartmentGone}}, k.Unreached); diff != "" {
		t.Errorf("not reached (-want +got):\n%s", diff)
	}
	if len(f.Unread) != 0 || k.Expiring != 1 {
		t.Errorf("not read: %+v; %d attachments at risk", f.Unread, k.Expiring)
	}

	r12 := d.mailsOf(c.ID, "2032-02-10", "R12")
	if diff := cmp.Diff([]string{"ops@clearlake.example", "two@clearlake.example"}, addresses(r12)); diff != "" {
		t.Fatalf("R12 goes to (-want +got):\n%s", diff)
	}
	for _, w := range []string{"Mute Active", "Drop Ped", "Rosa Lind", "Quay talk", "11 至 21", "no-key", "Head Without", "77", "2032-03-01", "人数不足"} {
		if all := r12["ops@clearlake.example"]; !strings.Contains(all.Subject+all.Text, w) {
			t.Errorf("operations are not told %q:\n%s", w, all.Text)
		}
	}
	// Who is in charge of a part is told of its rows, and of nothing that is the whole company's.
	part := r12["two@clearlake.example"]
	if all := part.Subject + part.Text + part.HTML + part.Attachment; !strings.Contains(all, "Lena Ott") || strings.Contains(all, "Mute") || strings.Contains(all, "Quay") ||
		strings.Contains(all, "no-key") || strings.Contains(all, "Head Without") || strings.Contains(all, "window ends") {
		t.Errorf("the head of a part is told\n%s", part.Text)
	}
}

func TestCoverageGoesOnFromTheDayBefore(t *testing.T) {
	d := newDesk(t)
	c := d.watched("wwtrend")
	d.OK(d.due(d.Context()))
	d.at = noon.Add(24*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	f := factsOf[report.CoverageFacts](d, c.ID, "2032-02-11", report.Coverage)
	want := []report.DayOf{{Day: noon, Archived: report.Known(6), Covered: report.Known(2), Listed: report.Known(6)},
		{Day: noon.Add(24 * time.Hour), Archived: report.Known(0), Covered: report.Known(2), Listed: report.Known(6)}}
	if diff := cmp.Diff(want, f.Company.Trend); diff != "" {
		t.Errorf("trend (-want +got):\n%s", diff)
	}
	if f.Company.Account.First != 0 || len(f.Rows) != 3 { // two users, and the attachment that waits still
		t.Errorf("the next day has %+v and %d rows", f.Company.Account, len(f.Rows))
	}
	// Nothing was read that day, and it does not pretend otherwise.
	var sources []string
	for _, u := range f.Unread {
		sources = append(sources, string(u.Source))
	}
	if diff := cmp.Diff([]string{"consent", "directory", "messages"}, sources, cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
		t.Errorf("not read (-want +got):\n%s", diff)
	}
	text := d.mailsOf(c.ID, "2032-02-11", "R12")["ops@clearlake.example"].Text
	if !strings.Contains(text, "未能读取：企业微信的消息") || !strings.Contains(text, "未交付不代表没有消息") {
		t.Errorf("operations are told\n%s", text)
	}
}
