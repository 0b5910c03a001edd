package report

import (
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
)

func userStatus(t *testing.T, f UserStatusFacts, v View) Mail {
	t.Helper()
	m, err := NewUserStatus(f, v)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestUserStatusReadsAsItsGoldens(t *testing.T) {
	for _, v := range views() {
		m := userStatus(t, sampleFacts(), v)
		golden(t, "r1."+string(v.Language)+".txt", []byte("Subject: "+m.Subject+"\nAttachments: "+names(m)+"\n\n"+m.Text))
		golden(t, "r1."+string(v.Language)+".html", []byte(m.HTML))
		golden(t, "r1."+string(v.Language)+".attachment.html", []byte(pageOf(t, m)))
		golden(t, "r1."+string(v.Language)+".attachment.csv", []byte(csvOf(t, m)))
	}
}

var rowMarks = regexp.MustCompile(`<tr data-k="([^"]*)">`)
var shownNumber = regexp.MustCompile(`data-key="([^"]*)"[^>]*><span class="label">[^<]*</span> <strong>([^<]*)</strong>(?: <span class="note">([^<]*)</span>)?`)

// anyUser draws a user in any combination of fields, the impossible ones too.
func anyUser(t *rapid.T, i int) User {
	when := func(label string) time.Time {
		if rapid.Bool().Draw(t, label+" known") {
			return ago(time.Duration(rapid.IntRange(0, 5000).Draw(t, label)) * time.Hour)
		}
		return time.Time{}
	}
	return User{
		ID:              archive.PartyID(fmt.Sprintf("u%d", i)),
		Name:            rapid.SampledFrom([]string{"", "祝安", "Nora Field", "<b>x</b>", "a\u202eb"}).Draw(t, "name"),
		Departments:     rapid.SliceOfN(rapid.SampledFrom([]string{"北区", "Labs", ""}), 0, 3).Draw(t, "departments"),
		Status:          rapid.SampledFrom([]Status{0, 1, 2, 3, 4, 5}).Draw(t, "status"),
		Designated:      rapid.Bool().Draw(t, "designated"),
		DesignatedKnown: rapid.Bool().Draw(t, "designated known"),
		Mobile:          rapid.SampledFrom([]string{"", " ", "13900004455"}).Draw(t, "mobile"),
		MobileReadable:  rapid.Bool().Draw(t, "mobile readable"),
		HadMobile:       rapid.Bool().Draw(t, "had mobile"),
		Email:           rapid.SampledFrom([]string{"", "n@hailan.example"}).Draw(t, "email"),
		EmailReadable:   rapid.Bool().Draw(t, "email readable"),
		FirstArchived:   when("first"),
		LastArchived:    when("last"),
		Mailbox:         rapid.SampledFrom([]string{"", "n@mail.hailan.example"}).Draw(t, "mailbox"),
		StageSince:      when("since"),
	}
}

func TestEachNumberOfTheSummaryIsACountOfRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := sampleFacts()
		f.Delivery = rapid.Bool().Draw(t, "delivery")
		f.Users = nil
		for i := range rapid.IntRange(0, 12).Draw(t, "users") {
			f.Users = append(f.Users, anyUser(t, i))
		}
		v := rapid.SampledFrom(views()).Draw(t, "view")
		m, err := NewUserStatus(f, v)
		if err != nil {
			t.Fatal(err)
		}
		page := pageOf(t, m)
		counted := map[string]Count{}
		rows := rowMarks.FindAllStringSubmatch(page, -1)
		if len(rows) != len(f.Users) {
			t.Fatalf("%d rows for %d users", len(rows), len(f.Users))
		}
		for _, row := range rows {
			for _, mark := range strings.Fields(row[1]) {
				key, doubt := strings.CutSuffix(mark, "?")
				c := counted[key]
				if doubt {
					c.Unknown++
				} else {
					c.N++
				}
				counted[key] = c
			}
		}
		shown := map[string][2]string{}
		for _, n := range shownNumber.FindAllStringSubmatch(page, -1) {
			shown[n[1]] = [2]string{html.UnescapeString(n[2]), html.UnescapeString(n[3])}
		}
		s := Summarise(f)
		for i, ln := range lines() {
			c := *ln.of(&s)
			if c != counted[ln.key] {
				t.Errorf("%s: the summary says %+v, the rows say %+v", ln.en, c, counted[ln.key])
			}
			if ln.key == "g0" && c.N == 0 {
				continue
			}
			main, note := c.parts(v.Language)
			if shown[ln.key] != [2]string{main, note} {
				t.Errorf("%s: the page shows %q for %+v", ln.en, shown[ln.key], c)
			}
			text := v.Language.say(ln.en, ln.zh) + v.Language.say(": ", "：") + c.text(v.Language)
			if !strings.Contains(m.Text, text) || !strings.Contains(m.HTML, "<strong>"+main+"</strong>") {
				t.Errorf("%s (%d): the mail does not show %q", ln.en, i, text)
			}
			if c.Unknown > 0 && c.N == 0 && strings.HasPrefix(main, "0") {
				t.Errorf("%s: unknown is shown as 0", ln.en)
			}
		}
		if sum := s.Joined.N + s.Designated.N + s.StageActive.N + s.FirstArchived.N + s.Mapped.N + s.StageUnknown.N; sum != s.Members.N {
			t.Errorf("the stages hold %d of %d members", sum, s.Members.N)
		}
		if sum := s.Activated.N + s.NotActivated.N + s.Disabled.N; sum > s.SignedUp.N {
			t.Errorf("%d users have a status among %d signed up", sum, s.SignedUp.N)
		}
	})
}

func TestLostMobileIsSaidOnlyOfAReadableField(t *testing.T) {
	for _, c := range []struct {
		name string
		user User
		want answer
		cell string
	}{
		{"had one, has none, readable", User{Status: 1, HadMobile: true, MobileReadable: true}, yes, "lost"},
		{"had one, has none, hidden", User{Status: 1, HadMobile: true}, unknown, "unknown"},
		{"never had one, readable", User{Status: 1, MobileReadable: true}, no, "none ever seen"},
		{"has one", User{Status: 1, HadMobile: true, MobileReadable: true, Mobile: "13900001111"}, no, "13900001111"},
		{"left, hidden", User{Status: 5, HadMobile: true}, no, "unknown"},
		{"left, readable", User{Status: 5, HadMobile: true, MobileReadable: true}, no, "lost"},
	} {
		if got := c.user.lostMobile(); got != c.want {
			t.Errorf("%s: lost is %v, want %v", c.name, got, c.want)
		}
		if got := (View{Language: English}).mobile(c.user); got != c.cell {
			t.Errorf("%s: shown as %q, want %q", c.name, got, c.cell)
		}
	}
}

func TestStageFollowsTheLadder(t *testing.T) {
	done := ago(time.Hour)
	for _, c := range []struct {
		name string
		user User
		want Stage
	}{
		{"not designated", User{Status: 1, DesignatedKnown: true}, StageJoined},
		{"not designated any more", User{Status: 1, DesignatedKnown: true, FirstArchived: done, Mailbox: "m@x.example"}, StageJoined},
		{"designated, not activated", User{Status: 4, DesignatedKnown: true, Designated: true}, StageDesignated},
		{"designated, disabled, archived before", User{Status: 2, DesignatedKnown: true, Designated: true, FirstArchived: done}, StageDesignated},
		{"designated, unknown to the directory", User{DesignatedKnown: true, Designated: true}, StageDesignated},
		{"activated", User{Status: 1, DesignatedKnown: true, Designated: true}, StageActivated},
		{"activated, mailbox before the first message", User{Status: 1, DesignatedKnown: true, Designated: true, Mailbox: "m@x.example"}, StageActivated},
		{"archived", User{Status: 1, DesignatedKnown: true, Designated: true, FirstArchived: done}, StageArchived},
		{"mapped", User{Status: 1, DesignatedKnown: true, Designated: true, FirstArchived: done, Mailbox: "m@x.example"}, StageMapped},
		{"list unreadable", User{Status: 1}, StageUnknown},
		{"list unreadable, archived", User{Status: 1, LastArchived: done}, StageArchived},
		{"left", User{Status: 5, DesignatedKnown: true, Designated: true, FirstArchived: done}, StageLeft},
	} {
		if got := c.user.Stage(); got != c.want {
			t.Errorf("%s: stage %d, want %d", c.name, got, c.want)
		}
	}
}

func TestReportDoesNotDependOnTheOrderOfUsers(t *testing.T) {
	f := sampleFacts()
	want := userStatus(t, f, views()[0])
	slices.Reverse(f.Users)
	if diff := cmp.Diff(want, userStatus(t, f, views()[0])); diff != "" {
		t.Error(diff)
	}
}

func TestNothingReadableIsAllUnknown(t *testing.T) {
	f := sampleFacts()
	f.Snapshot, f.Before, f.BeforeDay, f.Capture = time.Time{}, nil, time.Time{}, nil
	f.Users = []User{{ID: "a1"}, {ID: "b2"}, {ID: "c3"}}
	m := userStatus(t, f, View{Language: English})
	for _, want := range []string{
		"directory could not be read yet", "WeCom does not show us mobile or email with these secrets: 3 users unknown.",
		"Signed up (on WeCom's list to archive): unknown (3 users)", "Lost the mobile number: unknown (3 users)", "first report",
		"Unknown: the ledger's account", "- unknown: 3\n",
	} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("the text lacks %q:\n%s", want, m.Text)
		}
	}
}

func TestSeqsThatAreNotAccountedForAreShouted(t *testing.T) {
	f := sampleFacts()
	f.Capture.Archived -= 5
	if m := userStatus(t, f, View{Language: English}); !strings.Contains(m.Text, "! Capture") || !strings.Contains(m.Text, "NOT ACCOUNTED FOR: 5") {
		t.Errorf("5 missing seqs are not named:\n%s", m.Text)
	}
}

func TestSummarySurvivesTheLedger(t *testing.T) {
	want := Summarise(sampleFacts())
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Summary
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMasksMiddleDigits(t *testing.T) {
	for in, want := range map[string]string{
		"13912345678":     "139****5678",
		"+86 13912345678": "+86 1******5678",
		"5551234":         "*****34",
		"7":               "*",
		"abc13912345678":  "***139****5678",
	} {
		if got := mask(in); got != want {
			t.Errorf("mask(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`[+]?[0-9 -]{0,30}`).Draw(t, "number")
		shown, all := 0, 0
		for _, r := range mask(in) {
			if unicode.IsDigit(r) {
				shown++
			}
		}
		for _, r := range in {
			if unicode.IsDigit(r) {
				all++
			}
		}
		if shown > 7 || (all > 0 && shown >= all) {
			t.Errorf("%q shows %d of %d digits", in, shown, all)
		}
	})
}

// hostile is what someone may call themselves.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title></style></script><!--`, `{{.Title}}`,
		"Eve\r\nBcc: all@evil.example\r\n\r\n<h1>hi", "\u202eexe.gpj\u202c", "\u2066\u2067\u200f\u061c", "=?UTF-8?B?aGk=?=", strings.Repeat("长", 5000),
		strings.Repeat("w", 200), "a\x00b\x1b[31m\u0085", string([]byte{0xff, 0xfe, 'x'}), "\U000e0041\U000e0042", "&lt;b&gt;", "javascript:alert(1)",
	}
}

func TestNamesCantChangeTheReport(t *testing.T) {
	for _, v := range views() {
		f := sampleFacts()
		plain := userStatus(t, f, v)
		tags := func(s string) int {
			return strings.Count(s, "<script") + strings.Count(s, "<img") + strings.Count(s, "<!--")
		}
		for _, evil := range hostile() {
			f := sampleFacts()
			f.Corp.Name = evil
			f.Capture.SetAsideOpen[0].Reason = "r"
			for i := range f.Users {
				f.Users[i].Name, f.Users[i].Mailbox = evil, evil
				f.Users[i].Departments = []string{evil}
				f.Users[i].ID = archive.PartyID(evil)
				if f.Users[i].Mobile != "" {
					f.Users[i].Mobile = evil
				}
				if f.Users[i].Email != "" {
					f.Users[i].Email = evil
				}
			}
			m := userStatus(t, f, v)
			for name, pair := range map[string][2]string{"mail": {plain.HTML, m.HTML}, "attachment": {pageOf(t, plain), pageOf(t, m)}} {
				if tags(pair[0]) != tags(pair[1]) {
					t.Errorf("%q changes the tags of the %s", evil, name)
				}
			}
			for name, s := range map[string]string{"subject": m.Subject, "text": m.Text, "html": m.HTML, "attachment": pageOf(t, m), "csv": strings.ReplaceAll(strings.TrimPrefix(csvOf(t, m), "\ufeff"), "\r\n", "\n"), "file name": m.Attachments[0].Name} {
				for _, r := range s {
					if (unicode.IsControl(r) && r != '\n') || unicode.Is(unicode.Bidi_Control, r) {
						t.Errorf("%q leaves %U in the %s", evil, r, name)
						break
					}
				}
			}
			if strings.ContainsAny(m.Subject, "\r\n") || strings.ContainsAny(m.Attachments[0].Name, "/\\\r\n\"<>") {
				t.Errorf("%q makes a subject or file name of several lines", evil)
			}
			if len(m.HTML) > 90_000 {
				t.Errorf("%q makes a mail of %d bytes", evil, len(m.HTML))
			}
			writeMail(t, m)
		}
	}
}

func TestTenThousandUsersFitAMail(t *testing.T) {
	for _, v := range views() {
		m := userStatus(t, manyUsers(10_000), v)
		if len(m.HTML) > 90_000 || len(m.Text) > 90_000 {
			t.Errorf("the mail has %d bytes of HTML and %d of text: Gmail cuts at about 100 kB", len(m.HTML), len(m.Text))
		}
		raw := writeMail(t, m)
		t.Logf("%s: html %d, attachments %s, page %d, csv %d, mail %d", v.Language, len(m.HTML), names(m), len(pageOf(t, m)), len(csvOf(t, m)), len(raw))
		if len(raw) > 10_000_000 {
			t.Errorf("the mail has %d bytes: SES refuses it", len(raw))
		}
		if n := len(rowMarks.FindAllString(pageOf(t, m), -1)); n != 10_000 {
			t.Errorf("the attachment has %d rows", n)
		}
	}
}

func TestAPageTooLargeForSESIsPacked(t *testing.T) {
	f := manyUsers(9_000)
	for i := range f.Users {
		f.Users[i].Name = strings.Repeat("名", 190) + f.Users[i].Name
	}
	m := userStatus(t, f, views()[0])
	if len(m.Attachments) != 1 || !m.Attachments[0].Zipped() || !strings.HasSuffix(m.Attachments[0].Name, ".zip") || !strings.Contains(m.Text, ".zip") {
		t.Errorf("attached as %s", names(m))
	}
	if n := len(rowMarks.FindAllString(pageOf(t, m), -1)); n != 9_000 {
		t.Errorf("the packed page has %d rows", n)
	}
	if n := strings.Count(csvOf(t, m), "\r\n"); n != 9_001 {
		t.Errorf("the packed CSV has %d lines", n)
	}
	if raw := writeMail(t, m); len(raw) > 10_000_000 {
		t.Errorf("the mail has %d bytes", len(raw))
	}
}

func TestMailsLoadNothingAndStyleInline(t *testing.T) {
	for _, v := range views() {
		r1, r7 := userStatus(t, sampleFacts(), v), maintenance(t, sampleTrouble(), v)
		for _, m := range []Mail{r1, r7} {
			for _, tag := range []string{"<script", "<link", "<img", "src=", "url(", "@import"} {
				if strings.Contains(m.HTML, tag) {
					t.Errorf("the mail %s has %s", m.Kind, tag)
				}
			}
			if !strings.Contains(m.HTML, `<html lang="`+string(v.Language)+`"`) || !strings.Contains(m.HTML, v.GuideURL+"/"+string(v.Language)+"/") {
				t.Errorf("the mail %s lacks its language or its guide", m.Kind)
			}
		}
		guide := v.GuideURL + "/"
		v.GuideURL = ""
		if m := userStatus(t, sampleFacts(), v); strings.Contains(m.HTML, "href=") {
			t.Error("there is a link without a guide")
		}
		page := pageOf(t, r1)
		if !strings.Contains(page, `<a href="`+guide) {
			t.Error("the attachment does not link the guide")
		}
		page = strings.ReplaceAll(page, `<a href="`+guide, "") // a link loads nothing until somebody follows it
		for _, out := range []string{"http://", "https://", "src=", "url("} {
			if strings.Contains(page, out) {
				t.Errorf("the attachment holds %s", out)
			}
		}
	}
}

func TestTheSubjectPretendsNothing(t *testing.T) {
	f := sampleFacts()
	f.Users, f.Before, f.Capture = f.Users[:1], nil, nil
	subject := func() string { return userStatus(t, f, View{Language: English}).Subject }
	if s := subject(); !strings.HasSuffix(s, ": nothing wrong") {
		t.Errorf("all is well: %q", s)
	}
	f.Users[0].DesignatedKnown = false
	if s := subject(); !strings.HasSuffix(s, ": nothing wrong as far as is known") {
		t.Errorf("WeCom's list could not be read: %q", s)
	}
	f.Capture = &Capture{Handed: 5, Archived: 4}
	if s := subject(); !strings.Contains(s, ": NOT ALL ACCOUNTED FOR, ") {
		t.Errorf("a message is missing: %q", s)
	}
	f.Capture, f.Users[0].DesignatedKnown = nil, true
	f.Unread = []Unread{{Source: SourceDirectory, Since: ago(50 * time.Hour)}, {Source: SourceDesignated, Since: ago(30 * time.Hour)}}
	if s := subject(); !strings.HasSuffix(s, ": nothing wrong as far as is known, not all could be read") {
		t.Errorf("the directory was not read for days: %q", s)
	}
	m := userStatus(t, f.Within(holding(1)), View{Language: English})
	for _, text := range []string{m.Text, string(m.Attachments[0].Body)} {
		if !strings.Contains(text, "since 2026-03-16 10:00 UTC. Therefore not known: who is there, and who is captured.") || !strings.Contains(text, "since 2026-03-17 06:00 UTC. Therefore not known: whose messages are captured.") {
			t.Errorf("it does not say what was not read:\n%s", text)
		}
	}
	f.Snapshot = time.Time{}
	if s := subject(); strings.Contains(s, "nothing") {
		t.Errorf("the directory was never read: %q", s)
	}
}

func TestTheTrendGrowsByADayAndForgetsTheOldest(t *testing.T) {
	var trend []DayOf
	for i := range 20 {
		if i == 15 {
			continue // no report was made
		}
		trend = Trended(trend, noon.AddDate(0, 0, i), Known(uint64(100+i)))
	}
	if len(trend) != trendDays || !trend[0].Day.Equal(noon.AddDate(0, 0, 6)) || !trend[len(trend)-1].Day.Equal(noon.AddDate(0, 0, 19)) {
		t.Fatalf("%d days from %s to %s", len(trend), trend[0].Day, trend[len(trend)-1].Day)
	}
	for i, d := range trend {
		want := Known(uint64(106 + i))
		if i == 9 {
			want = Quantity{}
		}
		if d.Archived != want || !d.Day.Equal(noon.AddDate(0, 0, 6+i)) {
			t.Errorf("day %d is %+v, want %+v", i, d, want)
		}
	}
	if again := Trended(trend, trend[len(trend)-1].Day, Known(7)); len(again) != trendDays || again[len(again)-1].Archived != Known(7) {
		t.Error("a day that is told again stands twice")
	}
	f := sampleFacts()
	f.Trend = trend
	v := View{Language: English}
	if m := userStatus(t, f, v); !strings.Contains(m.Text, "- 2026-04-06: 119") || !strings.Contains(m.Text, "- 2026-04-02: not known") || strings.Count(m.HTML, ">2026-04-06<") != 1 {
		t.Error("the days are not told")
	}
	if part := f.Within(holding(1)); part.Trend != nil || strings.Contains(userStatus(t, part, v).Text, "Archived a day") {
		t.Error("who sees a part of the company is told of all its messages")
	}
}

// A company whose directory was never read has no members as far as a count goes, and that is no 0.
func TestOfADirectoryThatWasNeverReadNothingIsCounted(t *testing.T) {
	f := sampleFacts()
	f.Snapshot, f.Users, f.Before = time.Time{}, nil, nil
	for _, v := range views() {
		m := userStatus(t, f, v)
		people, messages, _ := strings.Cut(m.Text, v.Language.say("Capture in this period", "本期存档情况"))
		if strings.Contains(people, ": 0") || strings.Contains(people, "：0") || !strings.Contains(people, "vaultctl doctor") || len(m.Attachments) > 0 {
			t.Errorf("%d attachments:\n%s", len(m.Attachments), people)
		}
		if !strings.Contains(messages, "1843") {
			t.Errorf("what the ledger counted is lost:\n%s", messages)
		}
	}
	f = sampleFacts() // the day after
	f.Before, f.BeforeDay = &Summary{}, noon.AddDate(0, 0, -1)
	if m := userStatus(t, f, View{Language: English}); strings.Contains(m.Text, "[+") || !strings.Contains(m.Text, "knew of nobody") {
		t.Errorf("changes since nothing was known:\n%s", m.Text)
	}
}
