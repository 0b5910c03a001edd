package report

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
)

var looks = flag.String("looks", "", "write pictures of every mail, at each width, light and dark, to this folder")

// sampleGroups is the sample company with one group of each sort.
func sampleGroups() GroupsFacts {
	now := time.Date(2026, 3, 18, 9, 42, 10, 0, time.UTC)
	before := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	return GroupsFacts{
		Corp: tea, Marks: Marks{Simulated: true}, Now: now, Asked: before(1),
		Groups: []Group{
			{ID: "wrHaiLanA1b2C3d4E5f6G7h8I9j0K", Name: "春茶品鉴 Spring Tasting", News: Began, FirstSeen: now, Shown: true, Contacts: []GroupContact{
				{ID: "wmRosaLind00000000000000000001", Name: "Rosa Lind", Kind: archive.KindWeChat, State: consent.Disagreed, Change: consent.Change{At: before(2), Source: consent.Poll}},
				{ID: "wmQinShu000000000000000000002", Name: "秦姝", Kind: archive.KindWeChat, State: consent.NotYet, Change: consent.Change{After: before(4), By: before(3)}},
				{ID: "wmDefault00000000000000000003", Name: "Sia", Kind: archive.KindWeChat, State: consent.Default},
			}},
			{ID: "wrDarkB1b2C3d4E5f6G7h8I9j0K", News: Same, FirstSeen: before(30), Why: "errcode 301059", First: before(300), Last: before(5), Archived: []archive.PartyID{"wmSomebody0000000000000000009"},
				Contacts: []GroupContact{{ID: "wmTolja0000000000000000000004", Name: "Tolja", Kind: archive.KindWeChat, State: consent.Disagreed,
					Change: consent.Change{At: before(31), Source: consent.Message}, Unread: before(200)}}},
			{ID: "wrPierC1b2C3d4E5f6G7h8I9j0K", Name: "码头提货", News: Over, FirstSeen: before(50), Ended: before(1), Ending: EndLeft, Shown: true},
		},
		Rows: []GroupRow{
			{Group: 0, ID: "fangyue", Name: "方悦", Departments: []int{sales}}, {Group: 0, ID: "OliverGrant", Name: "Oliver Grant", Departments: []int{abroad}},
			{Group: 1, ID: "OliverGrant", Name: "Oliver Grant", Departments: []int{abroad}}, {Group: 2, ID: "tanwen", Name: "谭雯", Departments: []int{logistics}},
		},
	}
}

// letters are all the mails there are: each report, alerts that begin and are over, notices to users, and a day that is silent, late, of a part of the company, or
// of which something could not be read.
func letters() []daily {
	with := func(change func(*View), build func(View) (Mail, error)) func(View) (Mail, error) {
		return func(v View) (Mail, error) { change(&v); return build(v) }
	}
	r1 := func(v View) (Mail, error) { return NewUserStatus(sampleFacts(), v) }
	groups := func(change func(*GroupsFacts)) func(View) (Mail, error) {
		f := sampleGroups()
		change(&f)
		return func(v View) (Mail, error) { return NewGroupsBreach(f, v) }
	}
	trouble := func(change func(*MaintenanceFacts)) func(View) (Mail, error) {
		f := sampleTrouble()
		change(&f)
		return func(v View) (Mail, error) { return NewMaintenance(f, v) }
	}
	quiet := NumberChangeFacts{Corp: tea, Marks: Marks{Simulated: true}, Day: noon, Snapshot: ago(25 * time.Minute)}
	unread := DeletedUsersFacts{Corp: tea, Marks: Marks{Simulated: true}, Day: noon, Snapshot: ago(30 * time.Hour),
		Unread: []Unread{{Source: SourceDirectory, Since: ago(30 * time.Hour), Code: 60020, Via: "contacts-sync"}}}
	return append([]daily{
		{UserStatus, "r1", r1},
		{UserStatus, "r1.late", with(func(v *View) { v.Due, v.Made = noon, noon.Add(26*time.Hour) }, r1)},
		{MissingMobile, "r2.part", with(func(v *View) { v.Departments = []string{"销售部", "International"} }, func(v View) (Mail, error) {
			return NewMissingMobile(sampleMissingMobile().Within(holding(sales, abroad)), v)
		})},
		{NumberChange, "r3.quiet", func(v View) (Mail, error) { return NewNumberChange(quiet, v) }},
		{DeletedUsers, "r4.unread", func(v View) (Mail, error) { return NewDeletedUsers(unread, v) }},
		{GroupsBreach, "r6.began", groups(func(*GroupsFacts) {})},
		{GroupsBreach, "r6.over", groups(func(f *GroupsFacts) {
			f.Groups[2].Ended, f.Groups, f.Rows = f.Now, f.Groups[2:], []GroupRow{{ID: "tanwen", Name: "谭雯", Departments: []int{logistics}}}
		})},
		{GroupsBreach, "r6.daily", groups(func(f *GroupsFacts) {
			f.Daily, f.Now, f.Groups, f.Rows, f.Trying = true, noon, f.Groups[:2], f.Rows[:3], "errcode 45033"
			f.Groups[0].News = Same
		})},
		{Maintenance, "r7.began", trouble(func(*MaintenanceFacts) {})},
		{Maintenance, "r7.over", trouble(func(f *MaintenanceFacts) {
			f.Alarms, f.Messages, f.Media = f.Alarms[2:], Clock{State: ClockRunning, Ends: f.Now.Add(5 * day)}, Clock{State: ClockIdle}
		})},
		{Maintenance, "r7.daily", trouble(func(f *MaintenanceFacts) { f.Daily, f.Alarms = true, nil })},
	}, dailies()...)
}

// schemed makes the browser prefer light or dark.
func schemed(ctx context.Context, t *testing.T, scheme string) {
	t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
}

// TestOtherMailsReadAsTheirGoldens: those that are neither a report of a day nor a notice to a user.
func TestOtherMailsReadAsTheirGoldens(t *testing.T) {
	var mails []Mail
	for _, d := range letters() {
		if d.name != "r1.late" && d.name != "r2.part" && d.name != "r3.quiet" && d.name != "r4.unread" && d.kind != GroupsBreach {
			continue
		}
		for _, v := range views() {
			m := d.mail(t, v)
			name := d.name + "." + string(v.Language)
			golden(t, name+".txt", []byte("Subject: "+m.Subject+"\nAttachments: "+names(m)+"\nThreads: "+strings.Join(m.Threads, " ")+"\n\n"+m.Text))
			golden(t, name+".html", []byte(m.HTML))
			if d.name == "r6.daily" {
				golden(t, name+".attachment.html", []byte(pageOf(t, m)))
				golden(t, name+".attachment.csv", []byte(csvOf(t, m)))
			}
			checkParsed(t, m, readWithGo(t, m.mustBytes(t)))
			mails = append(mails, m)
		}
	}
	checkWithPython(t, mails)
}

// TestPicturesOfEveryMail writes them for people to look at: go test ./shared/report -run Pictures -looks DIR.
func TestPicturesOfEveryMail(t *testing.T) {
	if *looks == "" {
		t.Skip("pictures are taken with -looks DIR")
	}
	take := func(ctx context.Context, t *testing.T, name, html string) {
		for _, width := range []int64{360, 600, 1200} {
			for _, scheme := range []string{"light", "dark"} {
				schemed(ctx, t, scheme)
				open(ctx, t, html, width)
				png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(*looks, fmt.Sprintf("%s.%d.%s.png", name, width, scheme)), png, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, d := range letters() {
		t.Run(d.name, func(t *testing.T) {
			ctx := browser(t)
			for _, v := range views() {
				m := d.mail(t, v)
				name := d.name + "." + strings.TrimSuffix(string(v.Language), "-Hans")
				take(ctx, t, name, m.HTML)
				if len(m.Attachments) > 0 && strings.Count(d.name, ".") == 0 {
					take(ctx, t, name+".page", pageOf(t, m))
				}
			}
		})
	}
}

// TestThePageWorksWithAMouseAndAKeyboardAndNoNetwork clicks where a hand would, on a phone and on a desk, and sees that nothing is asked for.
func TestThePageWorksWithAMouseAndAKeyboardAndNoNetwork(t *testing.T) {
	ctx := browser(t)
	var asked []string
	var mu sync.Mutex
	if err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, e.Request.URL)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	m := userStatus(t, sampleFacts(), views()[0])
	first := `document.querySelector("#rows tbody tr").cells[1].textContent`
	until := func(expression string) {
		t.Helper()
		if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(10*time.Second))); err != nil {
			t.Errorf("%s never held: %v", expression, err)
		}
	}
	click := func(selector string) {
		t.Helper()
		if err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
			t.Fatalf("click %s: %v", selector, err)
		}
	}
	for _, width := range []int64{360, 1200} {
		open(ctx, t, pageOf(t, m), width)
		click(`.number[data-key="l"]`)
		until(shownRows + ` === 1 && ` + first + ` === "tanwen"`)
		click(`#all`)
		until(shownRows + ` === 11`)
		click(`thead th:nth-child(2) button`)
		until(first + ` === "OliverGrant" || ` + first + ` === "duanhao"`)
		up := ask[string](ctx, t, first)
		click(`thead th:nth-child(2) button`)
		until(first + ` !== "` + up + `"`)
		if err := chromedp.Do(ctx, chromedp.SendKeys(chromedp.CSS("#search"), "谭")); err != nil {
			t.Fatal(err)
		}
		until(shownRows + ` === 1 && ` + first + ` === "tanwen"`)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, url := range asked {
		if !strings.HasPrefix(url, "file://") {
			t.Errorf("the page asks for %s", url)
		}
	}
	if len(asked) < 2 {
		t.Errorf("only %d requests were seen, not even those of the pages", len(asked))
	}
}
