package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
)

var groupsNow = time.Date(2032, 5, 4, 6, 30, 0, 0, time.UTC)

const darkGroup = archive.RoomID("wrDARKDARKDARKDARKDARKDARKDARKDARK")

// groupsFacts is a company with one group of each sort.
func groupsFacts() GroupsFacts {
	at := func(hours int) time.Time { return groupsNow.Add(time.Duration(hours) * time.Hour) }
	return GroupsFacts{
		Corp: Corp{ID: "wwtern", Name: "Tern & Co"}, Now: groupsNow, Asked: at(-1),
		Groups: []Group{
			{ID: "wrlane", Name: "Tern lane", News: Began, FirstSeen: groupsNow, Shown: true, Contacts: []GroupContact{
				{ID: "wmgus", Name: "Gus", Kind: archive.KindWeChat, State: consent.Disagreed, Change: consent.Change{At: at(-2), Source: consent.Poll}},
				{ID: "wmnew", Name: "", Kind: archive.KindExternal, State: consent.NotYet, Change: consent.Change{After: at(-4), By: at(-3)}, Left: true},
				{ID: "wmsia", Name: "Sia", Kind: archive.KindWeChat, State: consent.Default},
				{ID: "wopia", Name: "Pia", Kind: archive.KindCompany, State: consent.Agreed},
			}},
			{ID: darkGroup, News: Began, FirstSeen: at(-1), Why: "errcode 301059", First: at(-300), Last: at(-5), Archived: []archive.PartyID{"wmelse"}, Contacts: []GroupContact{
				{ID: "wmtol", Name: "Tolja", Kind: archive.KindWeChat, State: consent.Disagreed, Change: consent.Change{At: at(-5), Source: consent.Message}, Unread: at(-200)},
			}},
			{ID: "wrpier", Name: "Pier", News: Over, FirstSeen: at(-50), Ended: at(-1), Ending: EndLeft, Shown: true},
		},
		Rows: []GroupRow{
			{Group: 0, ID: "mai", Name: "Mai", Departments: []int{2}}, {Group: 0, ID: "otto", Name: "Otto", Departments: []int{3, 4}},
			{Group: 1, ID: "otto", Name: "Otto", Departments: []int{3, 4}}, {Group: 2, ID: "mai", Name: "Mai", Departments: []int{2}},
		},
	}
}

func groupsMail(t *testing.T, f GroupsFacts, l Language) Mail {
	t.Helper()
	m, err := NewGroupsBreach(f, View{Language: l, Zone: time.FixedZone("UTC+8", 8*3600)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func holding(departments ...int) func([]int) bool {
	return func(of []int) bool {
		return slices.ContainsFunc(of, func(d int) bool { return slices.Contains(departments, d) })
	}
}

func TestTheGroupsMailNamesUserContactGroupAndSinceWhen(t *testing.T) {
	m := groupsMail(t, groupsFacts(), English)
	if !m.Urgent || m.Kind != GroupsBreach || m.Subject != "[Tern & Co] R6 WeChat Groups Compliance Breach 2032-05-04: ALERT: not everybody agreed in “Tern lane”" {
		t.Errorf("kind %s, urgent %v, subject %q", m.Kind, m.Urgent, m.Subject)
	}
	for _, want := range []string{
		"URGENT, new: not everybody agreed in “Tern lane” (and 1 more)", "Tern lane (wrlane)", "Mai (mai)", "Otto (otto)", "WeChat user: Gus (wmgus): disagreed, since 2032-05-04 04:30 UTC", "(by WeCom's word)",
		"External contact: name unknown (wmnew): has not agreed yet: in the group, and not in WeCom's answer, since some time between 2032-05-04 02:30 UTC",
		"Messages that were not archived: not known", "Agreed by default: 1",
		"name not shown to us (" + string(darkGroup) + ")", "started in WeChat, or by another company", "errcode 301059", "First archived message: 2032-04-21 18:30 UTC",
		"Last archived message: 2032-05-04 01:30 UTC", "(by a message)", "WeCom has not answered since", "wmelse",
		"Over: “Pier”", "no longer in the group",
	} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("the text lacks %q", want)
		}
	}
	if strings.Contains(m.Text, "Pia") {
		t.Error("somebody is named who agreed")
	}
	if strings.Contains(m.Text, "not archived: 0") || strings.Contains(m.HTML, ">0<") {
		t.Error("what is not known is shown as a number")
	}
	zh := groupsMail(t, groupsFacts(), Chinese)
	for _, want := range []string{"紧急", "微信用户：Gus", "不同意", "未存档的消息：未知", "名称不可见", "已结束"} {
		if !strings.Contains(zh.Subject+zh.Text, want) {
			t.Errorf("the Chinese text lacks %q", want)
		}
	}
	for _, english := range []string{"agreed", "known", "since", "WeChat user"} {
		if strings.Contains(zh.Text, english) {
			t.Errorf("the Chinese text says %q", english)
		}
	}
	if t.Failed() {
		t.Log(m.Text)
	}
}

func TestAllMailsOfOneGroupShareAThread(t *testing.T) {
	f := groupsFacts()
	began := groupsMail(t, f, English)
	f.Groups[0].News, f.Groups[0].Ended, f.Groups[0].Ending = Over, groupsNow.Add(time.Hour), EndAgreed
	f.Groups = f.Groups[:1]
	f.Rows = f.Rows[:2]
	over := groupsMail(t, f, Chinese)
	if len(over.Threads) != 1 || !slices.Contains(began.Threads, over.Threads[0]) {
		t.Errorf("threads %q, then %q", began.Threads, over.Threads)
	}
	f.Groups[0].News = Began
	if zh := groupsMail(t, f, Chinese); over.Urgent || over.Subject != "Re: "+zh.Subject || !strings.Contains(over.Text, "\n已结束：“Tern lane”\n") || over.State != "over" {
		t.Errorf("urgent %v, subject %q, %q", over.Urgent, over.Subject, over.State)
	}
	f.Groups[0].News = Over
	f.Groups[0].FirstSeen = groupsNow.Add(48 * time.Hour)
	if again := groupsMail(t, f, English); slices.Contains(began.Threads, again.Threads[0]) {
		t.Error("another breach of the same group is in the thread of the first")
	}
	daily := groupsFacts()
	daily.Daily = true
	if m := groupsMail(t, daily, English); len(m.Threads) != 0 || m.Urgent || !strings.Contains(m.Subject, "2032-05-04: open: 2") {
		t.Errorf("the day's list: threads %q, urgent %v, subject %q", m.Threads, m.Urgent, m.Subject)
	}
}

func TestNobodyIsToldOfGroupsOrColleaguesOutsideTheirScope(t *testing.T) {
	whole := groupsFacts()
	for i := range 2 { // the second time after a crash, from what was kept
		if i == 1 {
			kept, err := json.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			whole = GroupsFacts{}
			if err := json.Unmarshal(kept, &whole); err != nil {
				t.Fatal(err)
			}
		}
		two := whole.Within(holding(2))
		if got := fmt.Sprintln(len(two.Groups), two.Groups[0].ID, two.Groups[1].ID, len(two.Rows)); got != "2 wrlane wrpier 2\n" {
			t.Errorf("department 2 sees %s", got)
		}
		m := groupsMail(t, two, English)
		for _, hidden := range []string{"Otto", "(otto)", string(darkGroup), "Tolja"} {
			if strings.Contains(m.Text+m.HTML+m.Subject, hidden) {
				t.Errorf("department 2 is told of %q", hidden)
			}
		}
		if !strings.Contains(m.Text, ": 1, of which new: 1") {
			t.Errorf("the counts are not of what department 2 sees:\n%s", m.Text)
		}
		if four := whole.Within(holding(4)); len(four.Groups) != 2 || strings.Contains(groupsMail(t, four, English).Text, "Mai") {
			t.Errorf("department 4 sees %+v", four.Groups)
		}
		if none := whole.Within(holding(9)); len(none.Groups)+len(none.Rows) != 0 || !none.Quiet() {
			t.Errorf("department 9 sees %+v", none)
		}
		if diff := cmp.Diff(groupsFacts(), whole); diff != "" {
			t.Errorf("the facts were changed (-before +after):\n%s", diff)
		}
	}
}

func TestWhatCouldNotBeAskedIsNotQuiet(t *testing.T) {
	f := GroupsFacts{Corp: Corp{ID: "wwtern"}, Now: groupsNow, Daily: true}
	if f.Quiet() || !strings.Contains(groupsMail(t, f, English).Text, "has not answered about all groups yet") {
		t.Error("WeCom was never asked, and the report is quiet about it")
	}
	f.Asked, f.Trying = groupsNow.Add(-30*time.Hour), "errcode 301053"
	if m := groupsMail(t, f, English); f.Quiet() || !strings.Contains(m.Text, "could not be asked about all of them (errcode 301053)") {
		t.Errorf("the report says:\n%s", m.Text)
	}
	f.Trying = ""
	m := groupsMail(t, f, English)
	if f.Quiet() || !strings.HasSuffix(m.Subject, ": not known") || !strings.Contains(m.Text, "it was not asked about all of them again") {
		t.Errorf("nobody asked for more than a day, and the report (quiet %t) says %s\n%s", f.Quiet(), m.Subject, m.Text)
	}
	listed := groupsFacts()
	listed.Daily, listed.Asked = true, f.Asked
	if s := groupsMail(t, listed, English).Subject; !strings.HasSuffix(s, ", not all could be read") {
		t.Errorf("some are open, and nobody asked for more than a day: %s", s)
	}
	f.Asked = groupsNow.Add(-20 * time.Hour)
	f.Trying = "errcode 301053"
	if m := groupsMail(t, f, English); f.Quiet() || !strings.HasSuffix(m.Subject, ": not known") {
		t.Errorf("it was tried again in vain, and the report (quiet %t) says %s", f.Quiet(), m.Subject)
	}
	f.Trying = ""
	if !f.Quiet() || !strings.HasSuffix(groupsMail(t, f, English).Subject, ": open: 0") {
		t.Error("there is nothing to tell, and the report is not quiet")
	}
}

func TestGroupsAreListedApartByWhatIsKnown(t *testing.T) {
	f := groupsFacts()
	f.Daily = true
	f.Groups = append(f.Groups,
		Group{ID: "wrdef", Name: "Default dock", Shown: true, Contacts: []GroupContact{{ID: "wmsia", Name: "Sia", State: consent.Default}}},
		Group{ID: "wrhid", Why: "errcode 40050", Contacts: []GroupContact{{ID: "wmsia", Name: "Sia", State: consent.Unknown}}})
	f.Rows = append(f.Rows, GroupRow{Group: 3, ID: "mai", Name: "Mai", Departments: []int{2}}, GroupRow{Group: 4, ID: "mai", Name: "Mai", Departments: []int{2}})
	m := groupsMail(t, f, English)
	open, rest, ok := strings.Cut(m.Text, "Can't be looked up: 1")
	hidden, defaults, ok2 := strings.Cut(rest, "Agreed by default: 1 ==")
	if !ok || !ok2 || strings.Contains(open, "wrhid") || strings.Contains(open, "Default dock") || !strings.Contains(hidden, "wrhid") || !strings.Contains(defaults, "Default dock") {
		t.Errorf("the list is:\n%s", m.Text)
	}
}

func TestAThousandGroupsFitIntoAMailAndHostileNamesHarmNothing(t *testing.T) {
	f := GroupsFacts{Corp: Corp{ID: "wwtern", Name: "Tern"}, Now: groupsNow, Asked: groupsNow}
	evil := "<script>alert(1)</script>\r\nBcc: x@example.com \u202e" + strings.Repeat("长", 300)
	n := size(1000)
	for i := range n {
		g := Group{ID: archive.RoomID(fmt.Sprintf("wr%030d", i)), Name: evil, News: Began, FirstSeen: groupsNow, Shown: i%2 == 0}
		for range 2 + max(0, 30-i) {
			g.Contacts = append(g.Contacts, GroupContact{ID: "wmx", Name: evil, State: consent.Disagreed})
		}
		f.Groups = append(f.Groups, g)
		for range 1 + max(0, 20-i) {
			f.Rows = append(f.Rows, GroupRow{Group: i, ID: "u", Name: evil, Departments: []int{1}})
		}
	}
	for _, l := range Languages() {
		m := groupsMail(t, f, l)
		if len(m.Attachments) != 2 || !strings.Contains(string(m.Attachments[1].Body), fmt.Sprintf("wr%030d", n-1)) {
			t.Errorf("the table does not have every group: %d attachments", len(m.Attachments))
		}
		if len(m.HTML) > 100_000 || strings.Contains(m.HTML, "<script>alert") || strings.ContainsAny(m.Subject, "\r\n\u202e") || strings.Contains(m.Text, "\u202e") {
			t.Errorf("%d bytes of HTML, subject %q", len(m.HTML), m.Subject)
		}
	}
}
