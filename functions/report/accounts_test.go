package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/report"
)

// handIn puts a company's own file about its people into force.
func (d *desk) handIn(id archive.CorpID, number int, content string) {
	d.Helper()
	sum := archive.HashHex([]byte(content))
	object, err := d.Store(d.Config(rig.Operator), "ReportsBucket").PutBlob(d.Context(), objstore.HRFileKey(id, sum), "text/csv", []byte(content))
	d.OK(err)
	_, err = d.operator.PutHRFile(d.Context(), ledger.HRFile{Corp: id, Number: number, SHA256: sum, Object: object.Key, Version: object.VersionID, Size: len(content), Rows: 1, By: "test", At: noon})
	d.OK(err)
}

func TestAChangedNumberIsInTheAccountAndARowThatHoldsTheOldOneIsNamed(t *testing.T) {
	d := newDesk(t)
	c := d.observed("wwnumbers")
	d.pier(c.ID, noon.Add(-19*time.Hour)) // boss and warden have +49 3099
	d.handIn(c.ID, 1, "userid,mobile\nboss,13900000001\n")
	d.handIn(c.ID, 2, "userid,mobile\nlena,13900000007\nboss,139 0000 0001\n")
	d.happened(c.ID, "boss", directory.MobileChanged, "13900000001", "+49 3099", noon.Add(-3*time.Hour))
	d.happened(c.ID, "warden", directory.MobileSet, "", "+49 4711", noon.Add(-3*time.Hour)) // and the directory has another one: the account lacks it
	d.OK(d.due(d.Context()))
	got := map[string]report.NumberRow{}
	for _, r := range factsOf[report.NumberChangeFacts](d, c.ID, "2032-02-10", report.NumberChange).Rows {
		got[string(r.ID)] = report.NumberRow{Updated: r.Updated, File: r.File}
	}
	want := map[string]report.NumberRow{"boss": {Updated: noon.Add(-3 * time.Hour), File: &report.FileLine{Version: 2, Line: 3}}, "warden": {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	text := d.mailsOf(c.ID, "2032-02-10", "R3")["ops@clearlake.example"].Text
	for _, w := range []string{"存档账户已于 2032-02-10 09:00", "HR 文件（版本 2）第 3 行仍为旧手机号", "存档账户尚未更新"} {
		if !strings.Contains(text, w) {
			t.Errorf("R3 lacks %q:\n%s", w, text)
		}
	}
}

func TestOfLeaversItIsSaidHowLongWhatIsArchivedIsKeptAndWhatNobodyKeeps(t *testing.T) {
	d := newDesk(t)
	d.keeping = 100 * 24 * time.Hour
	c := d.observed("wwleave")
	d.left(c.ID, "gone", noon.Add(-2*time.Hour)) // got a message four hours before noon
	d.left(c.ID, "nobody", noon.Add(-3*time.Hour))
	d.OK(d.due(d.Context()))
	got := map[string]report.DeletedRow{}
	for _, r := range factsOf[report.DeletedUsersFacts](d, c.ID, "2032-02-10", report.DeletedUsers).Rows {
		got[string(r.ID)] = report.DeletedRow{KeptUntil: r.KeptUntil, Nothing: r.Nothing, Holds: r.Holds, Open: r.Open}
	}
	want := map[string]report.DeletedRow{"gone": {KeptUntil: noon.Add(100*24*time.Hour - 4*time.Hour)}, "nobody": {Nothing: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leavers (-want +got):\n%s", diff)
	}
	text := d.mailsOf(c.ID, "2032-02-10", "R4")["ops@clearlake.example"].Text
	for _, w := range []string{"至少保留至：2032-05-20", "没有存档内容", "本产品未设保全", "未配置投递"} {
		if !strings.Contains(text, w) {
			t.Errorf("R4 lacks %q:\n%s", w, text)
		}
	}
}

func TestWhoJoinedEarlierAndIsNotReadyYetIsListedWithTheDaysSince(t *testing.T) {
	d := newDesk(t)
	c := d.observed("wwready")
	m := func(status int, designated bool) string {
		return directory.Fields(directory.Member{Name: "N", Listed: true, Departments: []int{2}, Status: status, Designated: designated, DesignatedKnown: true})
	}
	d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{
		{Kind: directory.KindMember, ID: "today", At: noon.Add(-2 * time.Hour), Fields: m(4, false)},
		{Kind: directory.KindMember, ID: "unlisted", At: noon.Add(-5 * 24 * time.Hour), Fields: m(1, false)}, // joined five days ago
		{Kind: directory.KindMember, ID: "ready", At: noon.Add(-5 * 24 * time.Hour), Fields: m(1, true)},
		{Kind: directory.KindMember, ID: "idle", At: noon.Add(-40 * 24 * time.Hour), Fields: m(4, true)}, // always there, as far as is known
		{Kind: directory.KindMember, ID: "choice", At: noon.Add(-40 * 24 * time.Hour), Fields: m(4, false)},
		{Kind: directory.KindMember, ID: "next", At: noon, Fields: m(4, true)}, // the next day's
	}))
	d.happened(c.ID, "today", directory.Joined, "", "", noon.Add(-2*time.Hour))
	for _, id := range []string{"unlisted", "ready"} {
		d.happened(c.ID, id, directory.Joined, "", "", noon.Add(-5*24*time.Hour))
	}
	d.OK(d.due(d.Context()))
	got := map[string]bool{}
	for _, r := range factsOf[report.NewUsersFacts](d, c.ID, "2032-02-10", report.NewUsers).Rows {
		got[string(r.ID)] = r.Fresh
	}
	if diff := cmp.Diff(map[string]bool{"today": true, "unlisted": false, "idle": false}, got); diff != "" {
		t.Errorf("listed, and whether new (-want +got):\n%s", diff)
	}
	if text := d.mailsOf(c.ID, "2032-02-10", "R5")["ops@clearlake.example"].Text; !strings.Contains(text, "已有 40 天未激活") {
		t.Errorf("R5 says\n%s", text)
	}
}
