package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/fault"
)

// UserStatusFacts is everything that a User Status Report is made of.
type UserStatusFacts struct {
	Corp  Corp
	Marks Marks
	Day   time.Time // the noon that ends the window [Day − 24 h, Day)

	Snapshot time.Time // when the directory was read; zero: it never could be, and Users is empty or made of ids alone
	Users    []User    // one row each, in any order; those who left since the day before may be among them
	Unread   []Unread  `json:",omitempty"` // what could not be read of late: the rows tell what was known before. Of fields that WeCom does not show the rows themselves tell
	Delivery bool      // delivery to mailboxes is set up

	Before    *Summary  // the summary of the day before; nil: there is none
	BeforeDay time.Time // its day

	Capture *Capture // nil: not known
	Trend   []DayOf  `json:",omitempty"` // messages archived on this day and the ones before, the oldest first: see Trended

	// Part says that Users is a part of the company: what is no count of rows is left out. Tally is Users by departments, BeforeTally that of the day before;
	// nil: an earlier version did not count so.
	Part        bool    `json:",omitempty"`
	Tally       []Tally `json:",omitempty"`
	BeforeTally []Tally `json:",omitempty"`
}

// Capture is what was captured in the window, by the ledger's count.
type Capture struct {
	Handed   uint64 // seqs that WeCom handed out
	Archived uint64
	SetAside uint64
	Pending  uint64 // handed out, neither archived nor set aside yet

	SetAsideOpen []ReasonCount // everything still set aside, whenever it came, by reason

	MediaKept    uint64
	MediaWaiting uint64 // all that wait now, whenever they were named
	MediaLost    uint64

	Messages Clock
	Media    Clock
	Windows  Windows
}

// ReasonCount is how many messages are set aside for one reason.
type ReasonCount struct {
	Reason fault.Reason
	N      uint64
	Oldest time.Time `json:",omitzero"` // since when the first of them waits; zero: not known
}

// firstProblems is how many users with problems the mail itself lists. All of them are in the attachment; a mail that grows with the
// company is cut by Gmail at about 100 kB.
const firstProblems = 20

// NewUserStatus builds R1 for one receiver's view. Equal arguments give equal bytes.
func NewUserStatus(f UserStatusFacts, v View) (Mail, error) {
	if f.Day.IsZero() {
		return Mail{}, fmt.Errorf("build user status report of corp %s: the day is missing", f.Corp.ID)
	}
	f.Users = sortedUsers(f.Users)
	if f.Before != nil && *f.Before == (Summary{}) && !f.Part {
		f.Before = nil // of a day that knew of nobody: a company has members
	}
	s := Summarise(f)
	var attachments []Attachment
	if !f.blind() {
		var err error
		if attachments, err = userSheet(f, v, s).files(userFile(f, v.Language)); err != nil {
			return Mail{}, fmt.Errorf("build user status page of corp %s: %w", f.Corp.ID, err)
		}
	}
	m, err := userLetter(f, v, s, attachments).mail()
	if err != nil {
		return Mail{}, fmt.Errorf("build user status mail of corp %s: %w", f.Corp.ID, err)
	}
	m.Kind = UserStatus
	m.Attachments = attachments
	return m, nil
}

// blind says that nothing is known of anybody: the directory was never read. A summary would be made of noughts.
func (f UserStatusFacts) blind() bool { return f.Snapshot.IsZero() && len(f.Users) == 0 }

// sortedUsers orders rows by department, then name, then userid, so that a person is found where people look and the report does not
// depend on the order in which the ledger lists them. users stays as it is; if it is sorted already, it is what is returned.
func sortedUsers(users []User) []User {
	for i := 1; i < len(users); i++ {
		if orderUsers(&users[i-1], &users[i]) > 0 {
			out := slices.Clone(users)
			SortUsers(out)
			return out
		}
	}
	return users
}

// SortUsers puts rows into the order in which R1 shows them.
func SortUsers(users []User) {
	slices.SortStableFunc(users, func(a, b User) int { return orderUsers(&a, &b) })
}

func orderUsers(a, b *User) int {
	if c := slices.Compare(a.Departments, b.Departments); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(string(a.ID), string(b.ID)))
}

func userLetter(f UserStatusFacts, v View, s Summary, attached []Attachment) letter {
	l := v.Language
	lt := letter{
		View:    v,
		Title:   UserStatus.Title(l),
		Company: f.Corp.title(),
		Banners: f.Marks.banners(l),
		Subject: v.subject(f.Corp, UserStatus, f.Day, f.state(s, l)),
		Preheader: l.sayf("%[1]s signed up, %[2]s activated, %[3]s lost the mobile number, something wrong with %[4]s.",
			"已注册 %[1]s，已激活 %[2]s，手机号丢失 %[3]s，存在问题 %[4]s。",
			s.SignedUp.text(l), s.Activated.text(l), s.LostMobile.text(l), s.Wrong.text(l)),
	}
	lt.Lead = append(lt.Lead, l.sayf("Period: %[1]s to %[2]s.", "统计区间：%[1]s 至 %[2]s。", v.at(f.Day.Add(-24*time.Hour)), v.at(f.Day)))
	switch {
	case f.Snapshot.IsZero():
		lt.Lead = append(lt.Lead, l.say("WeCom's directory could not be read yet: names, departments and statuses are unknown.",
			"尚未能读取企业微信通讯录：姓名、部门和状态未知。"))
	default:
		lt.Lead = append(lt.Lead, l.sayf("Directory as of %s.", "通讯录读取时间：%s。", v.at(f.Snapshot)))
	}
	switch {
	case f.Part && f.Before == nil && !f.BeforeDay.IsZero():
		lt.Lead = append(lt.Lead, l.say("The report of the day before was not counted by department, so changes can't be told.", "前一日的报告未按部门统计，因此无法给出变化。"))
	case f.Before == nil && !f.BeforeDay.IsZero():
		lt.Lead = append(lt.Lead, l.say("The report of the day before knew of nobody, so changes can't be told.", "前一日的报告没有任何成员数据，因此无法给出变化。"))
	case f.Before == nil:
		lt.Lead = append(lt.Lead, l.say("This is the first report: there is no day before to compare with.", "这是第一份报告：没有可比较的前一日数据。"))
	default:
		lt.Lead = append(lt.Lead, l.sayf("Changes are since the report of %s.", "变化以 %s 的报告为基准。", f.BeforeDay.UTC().Format("2006-01-02")))
	}
	if hidden := hiddenFields(f.Users, l); hidden != "" {
		lt.Lead = append(lt.Lead, hidden)
	}
	if len(f.Unread) > 0 {
		lt.Sections = append(lt.Sections, v.unreadSection(f.Unread, UserStatus))
	}
	if f.blind() {
		lt.Preheader = l.say("Not known: WeCom's directory could not be read yet.", "未知：尚未能读取企业微信通讯录。")
		lt.Sections = append(lt.Sections, section{Heading: l.say("Summary", "概要"), Alarm: true, Paras: []string{
			l.say("Not known: who is in the company, who is archived and who lost a number can be told once WeCom's directory was read. vaultctl doctor says what stops it.",
				"未知：读取企业微信通讯录后才能得知成员、存档情况及手机号丢失情况。vaultctl doctor 会说明受阻的原因。"),
		}})
		return f.captured(lt, v)
	}
	lt.Sections = append(lt.Sections, summarySection(f, v, s, l.say("Summary", "概要"), lines()[:userLines]))
	stages := summarySection(f, v, s, l.say("Onboarding: the stage each member is in", "入职进度：每位成员所处阶段"), lines()[userLines:])
	if !f.Delivery {
		stages.Paras = append(stages.Paras, l.say("Delivery to mailboxes is not set up, so nobody is in the last stage.", "尚未配置邮箱投递，因此最后阶段没有成员。"))
	}
	lt.Sections = append(lt.Sections, stages)
	lt.Sections = append(lt.Sections, problemSection(f, v, s)...)
	return f.captured(lt, v, section{
		Heading: l.say("All users", "全部用户"),
		Paras:   append([]string{l.say("The attachment holds one row per user.", "附件为每位用户一行的完整清单。")}, attachedNote(l, attached)...),
	})
}

// captured is the letter with what is no count of users behind it, and then what else there is to say.
func (f UserStatusFacts) captured(lt letter, v View, more ...section) letter {
	if !f.Part {
		lt.Sections = append(lt.Sections, captureSection(f, v))
		if len(f.Trend) > 1 {
			lt.Sections = append(lt.Sections, v.trend(f.Trend))
		}
	}
	lt.Sections = append(append(lt.Sections, more...), guide(v, "user-status"))
	return lt
}

// state is what the subject says: what is not accounted for first, then how many have a problem.
func (f UserStatusFacts) state(s Summary, l Language) string {
	var words []string
	if c := f.Capture; c != nil && !f.Part && c.Archived+c.SetAside+c.Pending != c.Handed {
		words = append(words, l.say("NOT ALL ACCOUNTED FOR", "账目不符"))
	}
	switch {
	case f.Snapshot.IsZero():
		words = append(words, l.say("directory not read", "未能读取通讯录"))
	case s.Wrong.N == 0 && s.SignedUp.Unknown+s.Activated.Unknown+s.LostMobile.Unknown+s.Wrong.Unknown+len(f.Unread) > 0:
		words = append(words, l.say("nothing wrong as far as is known", "就已知数据无问题"))
	case s.Wrong.N == 0:
		words = append(words, l.say("nothing wrong", "无问题"))
	default:
		words = append(words, l.sayf("something wrong with %s", "存在问题 %s", s.Wrong.text(l)))
	}
	if len(f.Unread) > 0 {
		words = append(words, l.say("not all could be read", "部分内容未能读取"))
	}
	return l.join(words)
}

// Trended is the trend as the last report had it, with a day more. What happened on days without a report is not known.
func Trended(last []DayOf, noon time.Time, archived Quantity) []DayOf {
	var out []DayOf
	for back := trendDays - 1; back > 0; back-- {
		day := noon.AddDate(0, 0, -back)
		i := slices.IndexFunc(last, func(d DayOf) bool { return !d.Day.After(day) && d.Day.After(day.AddDate(0, 0, -1)) }) // of a preview at another hour too
		switch {
		case i >= 0:
			out = append(out, last[i])
		case len(out) > 0:
			out = append(out, DayOf{Day: day})
		}
	}
	return append(out, DayOf{Day: noon, Archived: archived})
}

// hiddenFields says which fields WeCom does not show us, and of how many users.
func hiddenFields(users []User, l Language) string {
	var mobile, email, both int
	for _, u := range users {
		if u.Status == StatusLeft {
			continue
		}
		switch {
		case !u.MobileReadable && !u.EmailReadable:
			both++
		case !u.MobileReadable:
			mobile++
		case !u.EmailReadable:
			email++
		}
	}
	var parts []string
	add := func(n int, en, zh string) {
		if n > 0 {
			parts = append(parts, l.sayf("WeCom does not show us %[1]s with these secrets: %[2]d "+plural(uint64(n), "user", "users")+" unknown.",
				"以当前密钥，企业微信不向我们提供%[1]s：%[2]d 人未知。", l.say(en, zh), n))
		}
	}
	add(both, "mobile or email", "手机号和邮箱")
	add(mobile, "the mobile", "手机号")
	add(email, "the email", "邮箱")
	return strings.Join(parts, l.say(" ", ""))
}

func summarySection(f UserStatusFacts, v View, s Summary, heading string, which []line) section {
	l := v.Language
	sec := section{Heading: heading}
	top := max(s.Members.N, 1)
	for _, ln := range which {
		c := *ln.of(&s)
		if ln.key == "g0" && c.N == 0 {
			continue // a stage that exists only where the list can't be read
		}
		var before *Count
		if f.Before != nil {
			before = ln.of(f.Before)
		}
		main, note := c.parts(l)
		sec.Bars = append(sec.Bars, bar{
			Label:   l.say(ln.en, ln.zh),
			Value:   main,
			Note:    note,
			Line:    c.text(l),
			Change:  c.change(l, before),
			Percent: share(c.N, top),
			Alarm:   c.N > 0 && (ln.key == "l" || ln.key == "w"),
		})
	}
	return sec
}

// share is n in hundredths of top, at least 1 for what is not 0.
func share(n, top int) int {
	if n <= 0 {
		return 0
	}
	return max(1, min(100, (n*100+top/2)/top))
}

func problemSection(f UserStatusFacts, v View, s Summary) []section {
	l := v.Language
	sec := section{Heading: l.say("What is wrong", "存在的问题")}
	if s.Wrong.N == 0 {
		sec.Paras = []string{l.say("Nothing that can be told from here.", "从已知数据看没有问题。")}
		return []section{sec}
	}
	type found struct {
		user  User
		wrong []problem
	}
	var all []found
	has := map[problem]bool{}
	for _, u := range f.Users {
		w := u.wrong(f.Day, f.Delivery)
		for _, p := range w {
			has[p] = true
		}
		if len(w) > 0 {
			all = append(all, found{u, w})
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return int(a.wrong[0]) - int(b.wrong[0]) })
	sec.Table = &table{Head: []string{l.say("User", "用户"), l.say("What is wrong", "问题")}}
	for i, p := range all {
		if i == firstProblems {
			sec.Paras = append(sec.Paras, l.sayf("The first %[1]d of %[2]d users; the attachment lists them all.", "以下为 %[2]d 人中的前 %[1]d 人；完整清单见附件。", firstProblems, len(all)))
			break
		}
		var words []string
		for _, w := range p.wrong {
			words = append(words, v.problem(w, p.user, f.Day))
		}
		name := clip(p.user.Name, 40)
		if name == "" {
			name = l.say("name unknown", "姓名未知")
		}
		sec.Table.Rows = append(sec.Table.Rows, []cell{
			{Text: name, Small: clip(string(p.user.ID), 64)},
			{Text: strings.Join(words, l.say("; ", "；"))},
		})
	}
	return []section{sec, v.steps(v.userSteps(has))}
}

func captureSection(f UserStatusFacts, v View) section {
	l := v.Language
	sec := section{Heading: l.say("Capture in this period", "本期存档情况")}
	c := f.Capture
	if c == nil {
		sec.Paras = []string{l.say("Unknown: the ledger's account of this period could not be read.", "未知：无法读取本期账目。")}
		return sec
	}
	n := func(x uint64) string { return strconv.FormatUint(x, 10) }
	sec.Facts = []pair{
		{l.say("Messages handed out by WeCom", "企业微信交付的消息"), n(c.Handed)},
		{l.say("archived", "已存档"), n(c.Archived)},
		{l.say("set aside", "已搁置"), n(c.SetAside)},
		{l.say("in work", "处理中"), n(c.Pending)},
	}
	if sum := c.Archived + c.SetAside + c.Pending; sum != c.Handed {
		sec.Alarm = true
		if sum < c.Handed {
			sec.Facts = append(sec.Facts, pair{l.say("NOT ACCOUNTED FOR", "无法说明去向"), n(c.Handed - sum)})
		} else {
			sec.Facts = append(sec.Facts, pair{l.say("COUNTED MORE THAN ONCE", "重复计数"), n(sum - c.Handed)})
		}
	}
	for i, r := range c.SetAsideOpen {
		if i == 10 {
			sec.Facts = append(sec.Facts, pair{l.say("still set aside, other reasons", "仍被搁置（其他原因）"), l.sayf("%d reasons more", "另有 %d 种原因", len(c.SetAsideOpen)-i)})
			break
		}
		value := n(r.N)
		if !r.Oldest.IsZero() {
			value += l.sayf(", the oldest since %s", "，最早自 %s 起", v.at(r.Oldest))
			if old, ok := days(r.Oldest, f.Day); ok && old > 0 {
				value += l.sayf(" (%s)", "（%s）", nDays(l, old))
			}
		}
		sec.Facts = append(sec.Facts, pair{l.say("still set aside: ", "仍被搁置：") + asideWords(l, r.Reason), value})
	}
	sec.Facts = append(sec.Facts,
		pair{l.say("Attachments kept", "附件已保存"), n(c.MediaKept)},
		pair{l.say("attachments waiting now", "附件等待中（当前）"), n(c.MediaWaiting)},
		pair{l.say("attachments lost", "附件已丢失"), n(c.MediaLost)},
		pair{l.say("Time left for messages", "消息剩余时间"), c.Messages.text(v, f.Day, c.Windows)},
		pair{l.say("Time left for attachments", "附件剩余时间"), c.Media.text(v, f.Day, c.Windows)},
	)
	sec.Paras = append(sec.Paras, l.say("Complete with respect to what WeCom handed out; what WeCom never handed out can't be seen from here.",
		"完整性仅针对企业微信已交付的内容；企业微信从未交付的内容无法从此处得知。"))
	return sec
}
