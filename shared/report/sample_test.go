package report

import (
	"archive/zip"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
)

var update = flag.Bool("update", false, "write the goldens anew")

// noon ends the window of the sample reports.
var noon = time.Date(2026, 3, 18, 12, 0, 0, 0, time.UTC)

var china = time.FixedZone("UTC+8", 8*60*60)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

const day = 24 * time.Hour

// sampleFacts is a small company with someone in every state.
func sampleFacts() UserStatusFacts {
	f := UserStatusFacts{
		Corp:     Corp{ID: "ww7f3a9be104c25d68", Name: "海岚茶业 Hailan Tea"},
		Marks:    Marks{Simulated: true},
		Day:      noon,
		Snapshot: ago(25 * time.Minute),
		Users: []User{
			{ID: "fangyue", Name: "方悦", Departments: []string{"销售部"}, Status: StatusActivated, Designated: true, DesignatedKnown: true,
				Mobile: "+86 13900003217", MobileReadable: true, HadMobile: true, Email: "fangyue@hailan.example", EmailReadable: true,
				FirstArchived: ago(40 * day), LastArchived: ago(17 * time.Minute), StageSince: ago(40 * day)},
			{ID: "OliverGrant", Name: "Oliver Grant", Departments: []string{"International", "Tasting Panel"}, Status: StatusActivated, Designated: true, DesignatedKnown: true,
				Mobile: "+44 7700900461", MobileReadable: true, HadMobile: true, Email: "oliver@hailan.example", EmailReadable: true,
				FirstArchived: ago(12 * day), LastArchived: ago(21 * time.Hour), StageSince: ago(12 * day)},
			{ID: "tanwen", Name: "谭雯", Departments: []string{"仓储物流"}, Status: StatusActivated, Designated: true, DesignatedKnown: true,
				MobileReadable: true, HadMobile: true, Email: "tanwen@hailan.example", EmailReadable: true,
				FirstArchived: ago(90 * day), LastArchived: ago(3 * time.Hour), StageSince: ago(90 * day)},
			{ID: "luoxi", Name: "罗溪", Departments: []string{"财务部"}, Status: StatusNotActivated, Designated: true, DesignatedKnown: true,
				Mobile: "+86 13900008840", MobileReadable: true, HadMobile: true, EmailReadable: true, StageSince: ago(6*day + time.Hour)},
			{ID: "grace.h", Name: "Grace Holloway", Departments: []string{"International"}, Status: StatusDisabled, Designated: true, DesignatedKnown: true,
				Mobile: "+44 7700900912", MobileReadable: true, HadMobile: true, Email: "grace@hailan.example", EmailReadable: true,
				FirstArchived: ago(200 * day), LastArchived: ago(31 * day), StageSince: ago(2 * day)},
			{ID: "miaoqing", Name: "苗青", Departments: []string{"销售部"}, Status: StatusActivated, Designated: true, DesignatedKnown: true,
				MobileReadable: true, EmailReadable: true, StageSince: ago(9 * day)},
			{ID: "sunlei", Name: "孙磊", Departments: []string{"仓储物流"}, Status: StatusActivated, Designated: false, DesignatedKnown: true,
				Mobile: "+86 13900001122", MobileReadable: true, HadMobile: true, EmailReadable: true, StageSince: ago(400 * day)},
			{ID: "heyan", Name: "何燕", Departments: []string{"仓储物流"}, Status: StatusActivated, Designated: false, DesignatedKnown: true,
				Mobile: "+86 13900005566", MobileReadable: true, HadMobile: true, EmailReadable: true,
				FirstArchived: ago(70 * day), LastArchived: ago(5 * day), StageSince: ago(5 * day)},
			{ID: "qiaomin", Name: "乔敏", Departments: []string{"财务部"}, Status: StatusActivated, Designated: true, DesignatedKnown: true,
				StageSince: ago(day), FirstArchived: ago(8 * time.Hour), LastArchived: ago(8 * time.Hour)},
			{ID: "kwan", Designated: true, DesignatedKnown: true},
			{ID: "duanhao", Name: "段浩", Departments: []string{"销售部"}, Status: StatusLeft, Designated: false, DesignatedKnown: true,
				FirstArchived: ago(300 * day), LastArchived: ago(2 * day)},
		},
		BeforeDay: ago(day),
		Capture: &Capture{
			Handed: 1843, Archived: 1838, SetAside: 3, Pending: 2,
			SetAsideOpen: []ReasonCount{{Reason: "key-version-unknown", N: 3}},
			MediaKept:    212, MediaWaiting: 4, MediaLost: 1,
			Messages: Clock{State: ClockRunning, Ends: noon.Add(5*day - 40*time.Second)},
			Media:    Clock{State: ClockRunning, Ends: noon.Add(61*time.Hour + 20*time.Minute)},
			Windows:  Windows{Chats: 5 * day, Media: 3 * day},
		},
	}
	before := Summarise(f)
	before.Members.N--
	before.SignedUp.N--
	before.LostMobile.N--
	before.Activated.N++
	f.Before = &before
	for i, n := range []uint64{1610, 1702, 1655, 410, 388, 1790, 1838} {
		f.Trend = append(f.Trend, DayOf{Day: ago(time.Duration(6-i) * day), Archived: Known(n)})
	}
	return f
}

// manyUsers is a company of n people, every eighth with something wrong.
func manyUsers(n int) UserStatusFacts {
	f := sampleFacts()
	f.Users = nil
	for i := range n {
		u := User{
			ID: archive.PartyID(fmt.Sprintf("staff%05d", i)), Name: fmt.Sprintf("员工%05d Staff", i),
			Departments: []string{fmt.Sprintf("分公司%02d", i%37)}, Status: StatusActivated, Designated: true, DesignatedKnown: true,
			Mobile: fmt.Sprintf("+86 139%08d", i), MobileReadable: true, HadMobile: true,
			Email: fmt.Sprintf("staff%05d@hailan.example", i), EmailReadable: true,
			FirstArchived: ago(30 * day), LastArchived: ago(time.Duration(i%1440) * time.Minute), StageSince: ago(time.Duration(i%90) * day),
		}
		switch i % 8 {
		case 3:
			u.Mobile = ""
		case 5:
			u.Designated = false
			u.FirstArchived, u.LastArchived = time.Time{}, time.Time{}
		}
		f.Users = append(f.Users, u)
	}
	f.Before = nil
	return f
}

func views() []View {
	return []View{
		{Language: English, Zone: china, GuideURL: "https://vault.hailan.example/guide"},
		{Language: Chinese, Zone: china, GuideURL: "https://vault.hailan.example/guide", Mask: true},
	}
}

// golden compares with testdata/name, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with go test ./shared/report -update)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, diff)
	}
}

// attached is a file of a mail that ends in suffix, whether or not it is packed.
func attached(t interface{ Fatal(...any) }, m Mail, suffix string) string {
	for _, a := range m.Attachments {
		if strings.HasSuffix(a.Name, suffix) {
			return string(a.Body)
		}
		if !a.Zipped() {
			continue
		}
		z, err := zip.NewReader(bytes.NewReader(a.Body), int64(len(a.Body)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			if !strings.HasSuffix(f.Name, suffix) {
				continue
			}
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
	}
	t.Fatal("the mail has no file that ends in", suffix)
	return ""
}

func pageOf(t interface{ Fatal(...any) }, m Mail) string { return attached(t, m, ".html") }
func csvOf(t interface{ Fatal(...any) }, m Mail) string  { return attached(t, m, ".csv") }

func names(m Mail) string {
	var list []string
	for _, a := range m.Attachments {
		list = append(list, a.Name)
	}
	return strings.Join(list, ", ")
}

// slow skips a test that takes long when only the short ones are asked for, as under the race detector.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long: left out by -short")
	}
}

// size is how many rows a test of a large company has: a tenth of them where only the short ones are asked for.
func size(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}
