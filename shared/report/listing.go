package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// tally is a number of a report: its words, and the rows that it counts. Its key marks those rows in the page, where a click on the number shows them.
type tally[R any] struct {
	key    string
	en, zh string
	holds  func(R) answer
	alarm  bool
}

// listing is a daily report that lists rows about people. From it the mail, the page and the CSV are made, so that none can say less than the others, and
// every number is a count of rows.
type listing[R any] struct {
	kind     Kind
	corp     Corp
	marks    Marks
	day      time.Time
	snapshot time.Time
	period   bool // it tells of what happened in the day's window, not of how things are
	unread   []Unread
	view     View

	rows    []R
	person  func(R) Person
	lead    []string
	news    string // what the subject says of the rows
	quiet   string // what is said without any
	trouble string // what the subject says beside, rows or not; "" for nothing
	heading string
	tallies []tally[R]
	columns []column // behind those of the person
	cells   func(R) []sheetCell
	whom    string      // head of the first column of the mail's table; "": User
	head    string      // of the second
	rank    func(R) int // rows of a lower one stand first; nil: all are alike
	brief   func(R) cell
	after   []section
	guide   string
	noun    noun
	alarm   bool
}

// mail makes the report.
func (x listing[R]) mail() (Mail, error) {
	if x.day.IsZero() {
		return Mail{}, fmt.Errorf("build report %s of corp %s: the day is missing", x.kind, x.corp.ID)
	}
	x.rows = slices.Clone(x.rows)
	slices.SortStableFunc(x.rows, func(a, b R) int {
		if x.rank != nil && x.rank(a) != x.rank(b) {
			return cmp.Compare(x.rank(a), x.rank(b))
		}
		return byPlace(x.person(a), x.person(b))
	})
	counts := make([]Count, len(x.tallies))
	for _, r := range x.rows {
		for i, t := range x.tallies {
			counts[i].add(t.holds(r))
		}
	}
	lt := x.letter(counts)
	var attachments []Attachment
	if len(x.rows) > 0 {
		name := fileWord(x.kind.Title(x.view.Language)) + "-" + fileWord(x.corp.title()) + "-" + x.date()
		var err error
		if attachments, err = x.sheet(lt, counts).files(name); err != nil {
			return Mail{}, fmt.Errorf("build the page of report %s of corp %s: %w", x.kind, x.corp.ID, err)
		}
		lt.Sections = append(lt.Sections, section{Heading: x.view.Language.say("All rows", "全部记录"), Paras: attachedNote(x.view.Language, attachments)})
	}
	lt.Sections = append(lt.Sections, guide(x.view, x.guide))
	m, err := lt.mail()
	if err != nil {
		return Mail{}, fmt.Errorf("build report %s of corp %s: %w", x.kind, x.corp.ID, err)
	}
	m.Kind, m.Attachments = x.kind, attachments
	return m, nil
}

func (x listing[R]) date() string { return x.day.UTC().Format("2006-01-02") }

func (x listing[R]) letter(counts []Count) letter {
	v := x.view
	l := v.Language
	var news []string
	if len(x.rows) > 0 {
		news = append(news, x.news)
	}
	if x.trouble != "" {
		news = append(news, x.trouble)
	}
	switch {
	case len(news) > 0 && len(x.unread) > 0:
		news = append(news, l.say("not all could be read", "部分内容未能读取"))
	case len(x.unread) > 0:
		news = append(news, l.say("not known", "未知"))
	case len(news) == 0:
		news = append(news, l.say("nothing to report", "无"))
	}
	lt := letter{
		View: v, Title: x.kind.Title(l), Company: x.corp.title(), Banners: x.marks.banners(l),
		Subject: v.subject(x.corp, x.kind, x.day, l.join(news)),
	}
	if x.period {
		lt.Lead = append(lt.Lead, l.sayf("Period: %[1]s to %[2]s.", "统计区间：%[1]s 至 %[2]s。", v.at(x.day.Add(-24*time.Hour)), v.at(x.day)))
	} else {
		lt.Lead = append(lt.Lead, l.sayf("As of %s.", "截至 %s。", v.at(x.day)))
	}
	if x.snapshot.IsZero() {
		lt.Lead = append(lt.Lead, l.say("WeCom's directory could not be read yet.", "尚未能读取企业微信通讯录。"))
	} else {
		lt.Lead = append(lt.Lead, l.sayf("Directory as of %s.", "通讯录读取时间：%s。", v.at(x.snapshot)))
	}
	lt.Lead = append(lt.Lead, x.lead...)
	if len(x.unread) > 0 {
		lt.Sections = append(lt.Sections, v.unreadSection(x.unread, x.kind))
	}
	if len(x.rows) == 0 {
		quiet := x.quiet
		if len(x.unread) > 0 {
			quiet = l.say("Of what could be read: ", "就已读取的内容：") + quiet
		}
		lt.Sections = append(lt.Sections, section{Paras: []string{quiet}})
		lt.Preheader = quiet
		lt.Sections = append(lt.Sections, x.after...)
		return lt
	}
	sum := section{Heading: l.say("Summary", "概要")}
	var pre []string
	for i, t := range x.tallies {
		c := counts[i]
		main, note := c.parts(l)
		sum.Bars = append(sum.Bars, bar{Label: l.say(t.en, t.zh), Value: main, Note: note, Line: c.text(l), Percent: share(c.N, len(x.rows)), Alarm: t.alarm && c.N > 0})
		if c.N > 0 {
			pre = append(pre, l.say(t.en, t.zh)+l.say(": ", "：")+c.text(l))
		}
	}
	lt.Preheader = strings.Join(pre, l.say("; ", "；"))
	lt.Sections = append(lt.Sections, sum)
	list := section{Heading: x.heading, Alarm: x.alarm, Table: &table{Head: []string{cmp.Or(x.whom, l.say("User", "用户")), x.head}}}
	for i, r := range x.rows {
		if i == firstProblems {
			list.Paras = append(list.Paras, l.sayf("The first %[1]d of %[2]d; the attachment lists them all.", "以下为 %[2]d 条中的前 %[1]d 条；完整清单见附件。", firstProblems, len(x.rows)))
			break
		}
		list.Table.Rows = append(list.Table.Rows, []cell{v.who(x.person(r)), x.brief(r)})
	}
	lt.Sections = append(lt.Sections, list)
	lt.Sections = append(lt.Sections, x.after...)
	return lt
}

func (x listing[R]) sheet(lt letter, counts []Count) sheet {
	l := x.view.Language
	sum := numbers{Heading: l.say("Summary: choose a number to see its rows", "概要：点击数字查看对应记录")}
	for i, t := range x.tallies {
		n := number{Key: t.key, Label: l.say(t.en, t.zh)}
		n.Value, n.Note = counts[i].parts(l)
		sum.Numbers = append(sum.Numbers, n)
	}
	lead := append(x.view.first(), lt.Lead...)
	for _, u := range x.unread {
		lead = append(lead, x.view.unread(u, x.kind))
	}
	return sheet{
		lang: l, title: lt.Title, company: lt.Company, subject: lt.Subject, banners: lt.Banners, lead: lead, guide: x.view.guide(x.guide),
		groups: []numbers{sum}, columns: append(x.view.personColumns(), x.columns...), noun: x.noun,
		rows: len(x.rows),
		row: func(i int) sheetRow {
			r := sheetRow{cells: append(x.view.personCells(x.person(x.rows[i])), x.cells(x.rows[i])...)}
			for _, t := range x.tallies {
				r.marks = append(r.marks, mark(t.key, t.holds(x.rows[i]))...)
			}
			return r
		},
	}
}

// nUsers is a number of users in words.
func nUsers(l Language, n int) string {
	return l.sayf("%d "+plural(uint64(max(n, 0)), "user", "users"), "%d 人", n)
}
