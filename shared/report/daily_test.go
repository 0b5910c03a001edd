package report

import (
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
)

func TestDailyReportsReadAsTheirGoldens(t *testing.T) {
	for _, d := range dailies() {
		for _, v := range views() {
			m := d.mail(t, v)
			golden(t, d.name+"."+string(v.Language)+".txt", []byte("Subject: "+m.Subject+"\nAttachments: "+names(m)+"\nThreads: "+strings.Join(m.Threads, " ")+"\n\n"+m.Text))
			golden(t, d.name+"."+string(v.Language)+".html", []byte(m.HTML))
			if len(m.Attachments) > 0 {
				golden(t, d.name+"."+string(v.Language)+".attachment.html", []byte(pageOf(t, m)))
				golden(t, d.name+"."+string(v.Language)+".attachment.csv", []byte(csvOf(t, m)))
			}
		}
	}
}

func TestDailyMailsReadBackWithPythonAndGo(t *testing.T) {
	var mails []Mail
	for _, d := range dailies() {
		for _, v := range views() {
			m := d.mail(t, v)
			checkParsed(t, m, readWithGo(t, m.mustBytes(t)))
			mails = append(mails, m)
		}
	}
	checkWithPython(t, mails)
}

// The three things that R2 may say of a user's messages, each known by words of its own. Archiving has stopped only in the last.
func TestMissingMobileSaysExactlyOneOfThree(t *testing.T) {
	f := sampleMissingMobile()
	english := View{Language: English}
	signs := []string{"are delivered by your email address", "archived and kept", "are not archived", "could not be found out"}
	rows := []string{"(a) captured, delivered by email", "(b) captured and kept, not delivered", "(c) not captured: not designated", "not known whether captured"}
	for _, c := range []struct {
		a    Archiving
		want int
	}{
		{archiving("a@hailan.example", "a@mail.hailan.example"), 0}, {archiving("", ""), 1}, {archiving("a@hailan.example", ""), 1}, {Archiving{Designated: true, DesignatedKnown: true}, 1},
		{Archiving{DesignatedKnown: true}, 2}, {Archiving{DesignatedKnown: true, Archived: true, Mailbox: "a@mail.hailan.example"}, 2},
		{Archiving{}, 3}, {Archiving{Archived: true, Mailbox: "a@mail.hailan.example"}, 3},
	} {
		a := c.a
		one := f
		one.Rows = slices.Clone(f.Rows[:1])
		one.Rows[0].Archiving = a
		for _, delivery := range []bool{false, true} {
			one.Delivery = delivery
			m, err := NewMissingMobileNotice(one, one.Rows[0].ID, english)
			if err != nil {
				t.Fatal(err)
			}
			said := 0
			for i, sign := range signs {
				if strings.Contains(m.Text, sign) {
					said++
					if i != 2 && strings.Contains(m.Text, "stopped") {
						t.Errorf("%+v: it says stopped beside %q", a, sign)
					}
				}
			}
			if said != 1 || !strings.Contains(m.Text, signs[c.want]) {
				t.Errorf("%+v: %d of the four are said, not %q:\n%s", a, said, signs[c.want], m.Text)
			}
			said = 0
			list, err := NewMissingMobile(one, english)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				if strings.Contains(csvOf(t, list), row) {
					said++
				}
			}
			if said != 1 || !strings.Contains(csvOf(t, list), rows[c.want]) {
				t.Errorf("%+v: the row says %d of the four, not %q:\n%s", a, said, rows[c.want], csvOf(t, list))
			}
		}
	}
}

func TestNoticesGoToThoseWhoCanBeTold(t *testing.T) {
	var mobile []string
	for _, c := range sampleMissingMobile().Concerned() {
		mobile = append(mobile, c.Name+" "+c.Address)
	}
	if diff := cmp.Diff([]string{"谭雯 tanwen@hailan.example", "Ivo Brandt ivo@hailan.example"}, mobile); diff != "" {
		t.Error("R2", diff)
	}
	got := sampleMissingEmail().Concerned()
	if len(got) != 1 || got[0].Address != "wu.bo@hailan.example" {
		t.Errorf("R8 is mailed to %+v, want the one whose email changed, at the new address", got)
	}
	m, err := NewMissingEmailNotice(sampleMissingEmail(), "wubo", View{Language: English})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(m.Text+m.HTML, "wubo@hailan.example") {
		t.Error("the notice tells the new address what the old one was")
	}
	for _, id := range []archive.PartyID{"miaoqing", "tanwen", "nobody"} {
		if _, err := NewMissingEmailNotice(sampleMissingEmail(), id, View{}); err == nil {
			t.Errorf("there is a notice to %s", id)
		}
	}
	if _, err := NewMissingMobileNotice(sampleMissingMobile(), "nobody", View{}); err == nil {
		t.Error("there is a notice to nobody")
	}
}

func TestWhoCanBeTold(t *testing.T) {
	for _, c := range []struct {
		email                     string
		readable, suppressed, app bool
		want                      Told
	}{
		{"a@b.example", true, false, false, ToldByMail},
		{"a@b.example", true, false, true, ToldByMail},
		{"a@b.example", true, true, false, NotToldStopped},
		{"a@b.example", true, true, true, ToldByApp},
		{"a@b.example", false, false, false, NotToldHidden},
		{" ", true, false, false, NotToldNone},
		{"", true, false, true, ToldByApp},
		{"谭雯@b.example", true, false, false, NotToldBad},
		{"a@茶.example", true, false, false, NotToldBad},
		{"a@b.example\r\nBcc: c@d.example", true, false, false, NotToldBad},
	} {
		if got := Tell(c.email, c.readable, c.suppressed, c.app); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestADayWithoutNewsSaysSoAndADayUnreadDoesNot(t *testing.T) {
	english := View{Language: English}
	unread := []Unread{{Source: SourceDirectory, Since: ago(30 * time.Hour), Code: 60020}}
	for _, c := range []struct {
		kind  Kind
		build func(snapshot time.Time, u []Unread) (Mail, bool, error)
	}{
		{MissingMobile, func(s time.Time, u []Unread) (Mail, bool, error) {
			f := MissingMobileFacts{Corp: tea, Day: noon, Snapshot: s, Unread: u}
			m, err := NewMissingMobile(f, english)
			return m, f.Quiet(), err
		}},
		{NumberChange, func(s time.Time, u []Unread) (Mail, bool, error) {
			f := NumberChangeFacts{Corp: tea, Day: noon, Snapshot: s, Unread: u}
			m, err := NewNumberChange(f, english)
			return m, f.Quiet(), err
		}},
		{DeletedUsers, func(s time.Time, u []Unread) (Mail, bool, error) {
			f := DeletedUsersFacts{Corp: tea, Day: noon, Snapshot: s, Unread: u}
			m, err := NewDeletedUsers(f, english)
			return m, f.Quiet(), err
		}},
		{NewUsers, func(s time.Time, u []Unread) (Mail, bool, error) {
			f := NewUsersFacts{Corp: tea, Day: noon, Snapshot: s, Unread: u}
			m, err := NewNewUsers(f, english)
			return m, f.Quiet(), err
		}},
		{MissingEmail, func(s time.Time, u []Unread) (Mail, bool, error) {
			f := MissingEmailFacts{Corp: tea, Day: noon, Snapshot: s, Unread: u}
			m, err := NewMissingEmail(f, english)
			return m, f.Quiet(), err
		}},
		{Coverage, func(s time.Time, u []Unread) (Mail, bool, error) {
			f := CoverageFacts{Corp: tea, Day: noon, Snapshot: s, Unread: u, Company: &Company{Capture: &Capture{}, Account: &Account{}}}
			m, err := NewCoverage(f, english)
			return m, f.Quiet(), err
		}},
	} {
		m, quiet, err := c.build(ago(time.Hour), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !quiet || len(m.Attachments) > 0 || !strings.HasSuffix(m.Subject, ": nothing to report") || m.Kind != c.kind {
			t.Errorf("%s without news: quiet %v, %q, files %s", c.kind, quiet, m.Subject, names(m))
		}
		m, quiet, err = c.build(ago(30*time.Hour), unread)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Not read: WeCom's directory, since 2026-03-17 06:00 UTC (WeCom answered 60020).", "Therefore not known: who", "Of what could be read: "} {
			if !strings.Contains(m.Text, want) {
				t.Errorf("%s unread lacks %q:\n%s", c.kind, want, m.Text)
			}
		}
		if quiet || !strings.HasSuffix(m.Subject, ": not known") || strings.Contains(m.Subject, "nothing") {
			t.Errorf("%s unread: quiet %v, %q", c.kind, quiet, m.Subject)
		}
		if _, quiet, _ = c.build(time.Time{}, nil); quiet {
			t.Errorf("%s is quiet though the directory was never read", c.kind)
		}
	}
}

func TestDailyReportsTellNothingFromOutsideTheScope(t *testing.T) {
	slow(t)
	english := View{Language: English}
	secret := func(p *Person) { p.Name, p.ID = "OUTSIDE", "outside" }
	for set := range 1 << 4 {
		var scope []int
		for i, d := range []int{sales, logistics, finance, abroad} {
			if set>>i&1 == 1 {
				scope = append(scope, d)
			}
		}
		holds := func(departments []int) bool {
			return slices.ContainsFunc(departments, func(d int) bool { return slices.Contains(scope, d) })
		}
		r2, r3, r4, r5, r8, r12 := sampleMissingMobile(), sampleNumberChange(), sampleDeletedUsers(), sampleNewUsers(), sampleMissingEmail(), sampleCoverage()
		build := func() []Mail {
			var out []Mail
			add := func(m Mail, err error) {
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, m)
			}
			add(NewMissingMobile(r2.Within(holds), english))
			add(NewNumberChange(r3.Within(holds), english))
			add(NewDeletedUsers(r4.Within(holds), english))
			add(NewNewUsers(r5.Within(holds), english))
			add(NewMissingEmail(r8.Within(holds), english))
			add(NewCoverage(r12.Within(holds), english))
			return out
		}
		before := build()
		// Whatever happens outside the scope, the mails stay the same to the byte.
		for i := range r2.Rows {
			if !holds(r2.Rows[i].Departments) {
				secret(&r2.Rows[i].Person)
			}
		}
		r3.Rows = slices.DeleteFunc(r3.Rows, func(r NumberRow) bool { return !holds(r.Departments) })
		for i := range r4.Rows {
			if !holds(r4.Rows[i].Departments) {
				secret(&r4.Rows[i].Person)
			}
		}
		r5.Rows = append(r5.Rows, NewRow{Person: Person{ID: "placeless", Name: "OUTSIDE"}, Fresh: true})
		r8.Rows = slices.DeleteFunc(r8.Rows, func(r EmailRow) bool { return !holds(r.Departments) })
		r12.Rows = slices.DeleteFunc(r12.Rows, func(r CoverageRow) bool { return !holds(r.Departments) })
		r12.Company = &Company{Seats: &Seats{Edition: "OUTSIDE"}}
		r2.Unread[0].Of = slices.DeleteFunc(slices.Clone(r2.Unread[0].Of), func(c Crowd) bool { return !holds(c.Departments) })
		after := build()
		for i := range before {
			if diff := cmp.Diff(before[i], after[i]); diff != "" {
				t.Errorf("%s for %v tells of others: %s", before[i].Kind, scope, diff)
			}
			if strings.Contains(before[i].Text, "OUTSIDE") {
				t.Errorf("%s names somebody outside", before[i].Kind)
			}
		}
	}
}

func TestTheWholeCompanyKeepsEverything(t *testing.T) {
	all := func([]int) bool { return true }
	if diff := cmp.Diff(sampleCoverage(), sampleCoverage().Within(all)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(sampleMissingMobile(), sampleMissingMobile().Within(all)); diff != "" {
		t.Error(diff)
	}
}

func survives[F any](t *testing.T, want F) {
	t.Helper()
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got F
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFactsOfDailyReportsSurviveJSON(t *testing.T) {
	survives(t, sampleMissingMobile())
	survives(t, sampleNumberChange())
	survives(t, sampleDeletedUsers())
	survives(t, sampleNewUsers())
	survives(t, sampleMissingEmail())
	survives(t, sampleCoverage())
}

func TestEachNumberOfADailyReportIsACountOfRows(t *testing.T) {
	for _, d := range dailies() {
		m := d.mail(t, View{Language: English})
		if len(m.Attachments) == 0 {
			continue
		}
		page := pageOf(t, m)
		counted := map[string]int{}
		for _, row := range rowMarks.FindAllStringSubmatch(page, -1) {
			for _, key := range strings.Fields(row[1]) {
				counted[key]++
			}
		}
		shown := shownNumber.FindAllStringSubmatch(page, -1)
		if len(shown) < 3 {
			t.Errorf("%s shows %d numbers", d.name, len(shown))
		}
		for _, n := range shown {
			if n[2] != decimal(counted[n[1]]) && !(n[2] == "unknown" && counted[n[1]] == 0 && counted[n[1]+"?"] > 0) {
				t.Errorf("%s: number %s is %s, %d rows bear its mark", d.name, n[1], n[2], counted[n[1]])
			}
		}
	}
}

func TestDailyMailsOfTenThousandRowsAreSmall(t *testing.T) {
	slow(t)
	for _, d := range crowded(10_000, func(i int) string { return "员工 Staff " + decimal(i) }) {
		m := d.mail(t, views()[1])
		if len(m.HTML) > 100_000 || len(m.Text) > 100_000 {
			t.Errorf("%s: %d bytes of HTML, %d of text: Gmail cuts at about 100 kB", d.name, len(m.HTML), len(m.Text))
		}
		raw := m.mustBytes(t)
		if len(raw) > 10_000_000 {
			t.Errorf("%s: the mail has %d bytes", d.name, len(raw))
		}
		if len(m.Attachments) > 0 {
			if n := len(rowMarks.FindAllString(pageOf(t, m), -1)); n != 10_000 {
				t.Errorf("%s: the page has %d rows", d.name, n)
			}
			t.Logf("%s: html %d, page %d, csv %d, mail %d: %s", d.name, len(m.HTML), len(pageOf(t, m)), len(csvOf(t, m)), len(raw), names(m))
		}
	}
}

func TestNamesCantChangeDailyReports(t *testing.T) {
	slow(t)
	tags := func(s string) int {
		return strings.Count(s, "<script") + strings.Count(s, "<img") + strings.Count(s, "<!--")
	}
	for _, v := range views() {
		plain := map[string]Mail{}
		for _, d := range crowded(9, func(i int) string { return "plain" + decimal(i) }) {
			plain[d.name] = d.mail(t, v)
		}
		for _, evil := range append(hostile(), formulas()...) {
			for _, d := range crowded(9, func(int) string { return evil }) {
				m := d.mail(t, v)
				texts := map[string]string{"subject": m.Subject, "text": m.Text, "html": m.HTML}
				if tags(m.HTML) != tags(plain[d.name].HTML) {
					t.Errorf("%s: %q changes the tags of the mail", d.name, evil)
				}
				if len(m.Attachments) > 0 {
					texts["page"], texts["csv"] = pageOf(t, m), strings.ReplaceAll(strings.TrimPrefix(csvOf(t, m), "\ufeff"), "\r\n", "\n")
					if tags(texts["page"]) != tags(pageOf(t, plain[d.name])) {
						t.Errorf("%s: %q changes the tags of the page", d.name, evil)
					}
					checkCSV(t, csvOf(t, m), 9)
				}
				for name, s := range texts {
					for _, r := range s {
						if (unicode.IsControl(r) && r != '\n') || unicode.Is(unicode.Bidi_Control, r) {
							t.Errorf("%s: %q leaves %U in the %s", d.name, evil, r, name)
							break
						}
					}
				}
				if len(m.HTML) > 100_000 {
					t.Errorf("%s: %q makes a mail of %d bytes", d.name, evil, len(m.HTML))
				}
				p := readWithGo(t, m.mustBytes(t))
				if diff := cmp.Diff(readWithGo(t, plain[d.name].mustBytes(t)).Shape, p.Shape); diff != "" {
					t.Errorf("%s: %q changes the parts: %s", d.name, evil, diff)
				}
				if p.Header["Bcc"] != "" || p.Subject != m.Subject {
					t.Errorf("%s: %q changes the headers", d.name, evil)
				}
			}
		}
	}
}

// formulas is what a spreadsheet would run.
func formulas() []string {
	return []string{
		`=cmd|' /C calc'!A0`, "+1+1", "-2+3", "@SUM(1)", "\t=1+1", "\r\n=1+1", ` =1+1`, "＝1+1", "＋1", "－1", "＠x", `";=1+1`, "a;=1+1", "a,=1+1", `=HYPERLINK("http://x","y")`,
		"\u202e=1+1", "\u200b=1+1", "\ufeff=1+1",
	}
}

// checkCSV reads a CSV back by rows and holds that no cell would be run.
func checkCSV(t *testing.T, s string, rows int) {
	t.Helper()
	body, bom := strings.CutPrefix(s, "\ufeff")
	if !bom {
		t.Error("the CSV has no byte order mark")
	}
	all, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil {
		t.Errorf("the CSV can't be read back: %v", err)
		return
	}
	if len(all) != rows+1 {
		t.Errorf("the CSV has %d rows, want %d", len(all), rows+1)
	}
	for _, row := range all {
		for _, c := range row {
			if c != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(c)[0]) {
				t.Errorf("a spreadsheet would run %q", c)
			}
		}
	}
}

func TestCSVCellsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.String().Draw(t, "cell")
		all, err := csv.NewReader(strings.NewReader(csvCell(in) + ",\"x\"\r\n")).ReadAll()
		if err != nil || len(all) != 1 || len(all[0]) != 2 {
			t.Fatalf("%q is read back as %q (%v)", in, all, err)
		}
		want := strings.ReplaceAll(in, "\r\n", "\n") // as the reader has it
		if got := all[0][0]; got != want && got != "'"+want {
			t.Fatalf("%q is read back as %q", in, got)
		}
	})
}

func TestMaskedReportsHoldNoWholeNumber(t *testing.T) {
	masked, open := View{Language: English, Mask: true}, View{Language: English}
	shown := 0
	for _, d := range dailies() {
		for _, v := range []View{masked, open} {
			m := d.mail(t, v)
			all := m.Subject + m.Text + m.HTML
			for _, a := range m.Attachments {
				all += string(a.Body)
			}
			for _, number := range []string{"13900007744", "15100004455", "13900003217", "13900009981", "7700900461", "13900006612", "13900001357"} {
				switch held := strings.Contains(all, number); {
				case held && v.Mask:
					t.Errorf("%s shows %s", d.name, number)
				case held:
					shown++
				}
			}
		}
	}
	if shown < 7 {
		t.Errorf("unmasked, only %d numbers are shown", shown)
	}
}

func TestMaskedNumbersThatDifferCanBeToldApart(t *testing.T) {
	f := sampleNumberChange()
	f.Rows = f.Rows[:1]
	f.Rows[0].Old, f.Rows[0].New = "+86 13911113217", "+86 13922223217"
	for _, c := range []struct {
		v    View
		want string
	}{
		{View{Language: English, Mask: true}, "(another number: the hidden digits differ)"}, {View{Language: Chinese, Mask: true}, "（号码不同：隐藏位有变化）"}, {View{Language: English}, ""},
	} {
		m, err := NewNumberChange(f, c.v)
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]string{"text": m.Text, "html": m.HTML, "page": pageOf(t, m), "csv": csvOf(t, m)} {
			if !strings.Contains(s, c.want) || c.want == "" && strings.Contains(s, "hidden digits") {
				t.Errorf("%+v: the %s does not tell the two apart", c.v, name)
			}
			if c.v.Mask && (strings.Contains(s, "1111") || strings.Contains(s, "2222")) {
				t.Errorf("the %s shows what is masked", name)
			}
		}
	}
}

func TestAScopeIsNamedOnTheMailAndOnThePage(t *testing.T) {
	for _, d := range dailies() {
		v := View{Language: English, Departments: []string{"销售部", "\u202eevil\r\nBcc: x"}}
		m := d.mail(t, v)
		if !strings.Contains(m.Text, "For 销售部, evil Bcc: x and everything below.") {
			t.Errorf("%s does not name its scope:\n%s", d.name, m.Text)
		}
		if len(m.Attachments) > 0 && !strings.Contains(pageOf(t, m), "For 销售部, evil Bcc: x and everything below.") {
			t.Errorf("the page of %s does not name its scope", d.name)
		}
	}
}
