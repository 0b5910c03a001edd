package report

import (
	"slices"
	"strings"
	"time"
)

// NewUsersFacts is everything that R5 is made of: who joined in the day's window, and who joined earlier and is not captured yet for want of something that people
// do. Each joining is news once, in the window that it fell into.
type NewUsersFacts struct {
	Corp     Corp       `json:"corp"`
	Marks    Marks      `json:"marks"`
	Day      time.Time  `json:"day"`
	Snapshot time.Time  `json:"snapshot,omitzero"`
	Delivery bool       `json:"delivery,omitempty"`
	Rows     []NewRow   `json:"rows,omitempty"`
	Unread   []Unread   `json:"unread,omitempty"`
	Reported []Reported `json:"reported"` // what this report and those before it told; nil: written by a version that did not keep it
}

// Heard is which events were told by this report or before it.
func (f NewUsersFacts) Heard() []Reported { return f.Reported }

// NewRow is one user who joined.
type NewRow struct {
	Person
	Archiving
	Status         Status  `json:"status"`
	Joined         Between `json:"joined"`
	Fresh          bool    `json:"fresh,omitempty"` // in this window; else it is listed for what is still to be done
	Mobile         string  `json:"mobile,omitempty"`
	MobileReadable bool    `json:"mobile_readable"`
	Gone           bool    `json:"gone,omitempty"` // joined, and is not there any more
	Late           bool    `json:"late,omitempty"`
}

// Of is how many rows there are.
func (f NewUsersFacts) Of() int { return len(f.Rows) }

// Row is the departments of the i-th row.
func (f NewUsersFacts) Row(i int) []int { return f.Rows[i].Departments }

// Pick is Within for rows whose places are known already, ascending.
func (f NewUsersFacts) Pick(rows []int32, holds func(departments []int) bool) NewUsersFacts {
	f.Rows, f.Unread = picked(f.Rows, rows), unreadWithin(f.Unread, holds)
	return f
}

// Within is the facts as somebody may see them whose scope holds what holds says. f stays as it is.
func (f NewUsersFacts) Within(holds func(departments []int) bool) NewUsersFacts {
	return f.Pick(within(f.Of(), f.Row, holds), holds)
}

// Blind is what could not be read.
func (f NewUsersFacts) Blind() []Unread { return f.Unread }

// Knowing is the facts after a report that could not read before.
func (f NewUsersFacts) Knowing(before []Unread) NewUsersFacts {
	f.Unread = Knowing(f.Unread, before)
	return f
}

// Quiet says that there is nothing to tell, and that this is known.
func (f NewUsersFacts) Quiet() bool {
	return len(f.Rows) == 0 && !fresh(f.Unread) && !f.Snapshot.IsZero()
}

// left is what is still to be done for a user, in the order in which it is done. It is unknown where the list of designated users is.
type left struct{ designate, activate, fit answer }

func (r NewRow) left(delivery bool) left {
	if r.Gone || r.Status == StatusLeft {
		return left{}
	}
	d := left{designate: unknown}
	if r.DesignatedKnown {
		d.designate = is(!r.Designated)
	}
	switch r.Status {
	case StatusActivated:
		d.activate = no
	case StatusNotActivated, StatusDisabled:
		d.activate = yes
	default:
		d.activate = unknown
	}
	d.fit = is(delivery && strings.TrimSpace(r.Mailbox) == "")
	return d
}

func (d left) any() answer {
	switch {
	case d.designate == yes || d.activate == yes || d.fit == yes:
		return yes
	case d.designate == unknown || d.activate == unknown:
		return unknown
	default:
		return no
	}
}

// todo says what is left to do for a user.
func (v View) todo(r NewRow, f NewUsersFacts) []string {
	l := v.Language
	if r.Gone || r.Status == StatusLeft {
		return []string{l.say("nothing: not there any more", "无：已不在")}
	}
	d := r.left(f.Delivery)
	var out []string
	switch d.designate {
	case yes:
		out = append(out, l.say("designate: not on WeCom's list of users to archive, so nothing is captured", "列入存档名单：尚未列入，因此不会存档"))
	case unknown:
		out = append(out, l.say("whether designated is not known", "是否列入存档名单未知"))
	case no:
	}
	n, counted := days(r.Joined.By, f.Day)
	switch {
	case r.Status == StatusDisabled:
		out = append(out, l.say("enable: disabled in WeCom", "启用：在企业微信中被禁用"))
	case d.activate == yes && counted && n > 0:
		out = append(out, l.sayf("activate: not activated for %s", "激活：已有 %s未激活", nDays(l, n)))
	case d.activate == yes:
		out = append(out, l.say("activate: not activated yet", "激活：尚未激活"))
	case d.activate == unknown:
		out = append(out, l.say("whether activated is not known", "是否激活未知"))
	}
	if d.fit == yes {
		out = append(out, l.say("map: no mailbox yet", "匹配邮箱：尚无邮箱"))
	}
	if len(out) == 0 {
		out = append(out, l.say("nothing", "无"))
	}
	return out
}

// stage is how far the user's onboarding has come.
func (r NewRow) stage() Stage {
	u := User{Status: r.Status, Designated: r.Designated, DesignatedKnown: r.DesignatedKnown, Mailbox: r.Mailbox}
	if r.Gone {
		u.Status = StatusLeft
	}
	if r.Archived {
		u.FirstArchived = r.Joined.By
	}
	return u.Stage()
}

// NewNewUsers builds R5. Equal arguments give equal bytes.
func NewNewUsers(f NewUsersFacts, v View) (Mail, error) {
	l := v.Language
	fresh, late := 0, 0
	for _, r := range f.Rows {
		if r.Fresh {
			fresh++
		}
		if r.Late {
			late++
		}
	}
	news := nUsers(l, fresh)
	if fresh == 0 {
		news = l.sayf("none new, something is left to do for %s", "无新增，%s仍有待办事项", nUsers(l, len(f.Rows)))
	}
	quiet := l.say("Nobody joined in this period.", "本期没有新增用户。")
	lead := lateLine(l, f.Rows, func(r NewRow) bool { return r.Late })
	if fresh == late && len(f.Rows) > 0 {
		lead = append(lead, quiet)
	}
	if !f.Delivery {
		lead = append(lead, l.say("Delivery to mailboxes is not set up, so nobody has to be mapped.", "尚未配置邮箱投递，因此无需匹配邮箱。"))
	}
	x := listing[NewRow]{
		kind: NewUsers, corp: f.Corp, marks: f.Marks, day: f.Day, snapshot: f.Snapshot, period: true, unread: f.Unread, view: v,
		rows: f.Rows, person: func(r NewRow) Person { return r.Person }, noun: nounUsers, guide: "new-users",
		news: news, quiet: quiet, lead: lead,
		heading: l.say("Who joined, and for whom something is left to do", "新增用户及仍有待办事项的用户"),
		head:    l.say("Left to do", "待办事项"),
		tallies: []tally[NewRow]{
			{key: "f", en: "Joined in this period", zh: "本期新增", holds: func(r NewRow) answer { return is(r.Fresh && !r.Late) }},
			{key: "e", en: "Joined earlier, something is left to do", zh: "较早加入，仍有待办事项", holds: func(r NewRow) answer { return is(!r.Fresh) }, alarm: true},
			{key: "t", en: "Something is left to do", zh: "有待办事项", holds: func(r NewRow) answer { return r.left(f.Delivery).any() }},
			{key: "d", en: "to designate", zh: "待列入存档名单", holds: func(r NewRow) answer { return r.left(f.Delivery).designate }},
			{key: "a", en: "to activate or enable", zh: "待激活或启用", holds: func(r NewRow) answer { return r.left(f.Delivery).activate }},
			{key: "m", en: "to map to a mailbox", zh: "待匹配邮箱", holds: func(r NewRow) answer { return r.left(f.Delivery).fit }},
			{key: "g", en: "joined and gone again", zh: "加入后又离开", holds: func(r NewRow) answer { return is(r.Gone) }},
		},
		columns: []column{
			{head: l.say("Joined (UTC)", "加入时间 (UTC)"), width: 175},
			{head: l.say("Status", "状态"), width: 95},
			{head: l.say("Stage", "阶段"), width: 125},
			{head: l.say("Days since", "天数"), width: 70, right: true},
			{head: l.say("Mobile", "手机号"), width: 140},
			{head: l.say("Email", "邮箱"), width: 190, free: true},
			{head: l.say("Late", "延迟"), width: 70},
			{head: l.say("Left to do", "待办事项"), alarm: true},
		},
		cells: func(r NewRow) []sheetCell {
			number := v.number(r.Mobile)
			if !r.MobileReadable {
				number = l.say("unknown", "未知")
			}
			since := ""
			if n, ok := days(r.Joined.By, f.Day); ok {
				since = decimal(n)
			}
			stage := r.stage()
			return []sheetCell{
				v.betweenCell(r.Joined), text(r.Status.text(l)), {lines: []string{stage.text(l)}, sort: decimal(int(stage))}, text(since), text(number),
				text(v.address(r.Email, r.EmailReadable)), text(lateWord(l, r.Late)), {lines: v.todo(r, f)},
			}
		},
		brief: func(r NewRow) cell {
			return cell{
				Text:  strings.Join(v.todo(r, f), l.say("; ", "；")),
				Small: l.sayf("stage: %[1]s; joined %[2]s", "阶段：%[1]s；加入时间：%[2]s", r.stage().text(l), v.between(r.Joined)) + lateMark(l, r.Late),
			}
		},
	}
	if late > 0 {
		x.tallies = append(x.tallies, tally[NewRow]{key: "y", en: "joined earlier, known only now", zh: "较早加入，现在才得知", holds: func(r NewRow) answer { return is(r.Late) }})
	}
	if slices.ContainsFunc(f.Rows, func(r NewRow) bool { return r.left(f.Delivery).any() != no }) {
		x.after = []section{v.steps([]step{
			{Text: l.say("Designate: WeCom's admin console, chat archiving (会话内容存档), add the user to the list.", "列入存档名单：企业微信管理后台 > 会话内容存档 > 添加成员。")},
			{Text: l.say("Activate: the user signs in to the WeCom app once.", "激活：用户登录一次企业微信 App。")},
			{Text: l.say("The archive's own account of a user needs nothing: it is made as soon as the directory shows the user.", "通讯录中出现用户后，存档账户会自动建立。")},
		})}
	}
	return x.mail()
}
