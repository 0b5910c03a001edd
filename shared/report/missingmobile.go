package report

import (
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// MissingMobileFacts is everything that R2 is made of: who had a mobile number and has none, every day while it lasts. Who left or is disabled is not
// in it.
type MissingMobileFacts struct {
	Corp     Corp        `json:"corp"`
	Marks    Marks       `json:"marks"`
	Day      time.Time   `json:"day"`               // the noon that ends the window
	Snapshot time.Time   `json:"snapshot,omitzero"` // when the directory was last read; zero: never
	Delivery bool        `json:"delivery,omitempty"`
	Rows     []MobileRow `json:"rows,omitempty"`
	Unread   []Unread    `json:"unread,omitempty"`
}

// MobileRow is one user who lost the number.
type MobileRow struct {
	Person
	Archiving
	Status Status  `json:"status"`
	Lost   Between `json:"lost"`
	Last   string  `json:"last,omitempty"` // the last number that was seen
	Told   Told    `json:"told,omitempty"`
}

// LostMobile says whether a member lost the mobile number, and if so what its history tells of that: status, address, designation, the last number, and
// when. Name and places, what is archived, the mailbox and Told are the caller's.
func LostMobile(h directory.History) (MobileRow, bool) {
	e, lost := h.Lost(directory.FieldMobile)
	m := h.State()
	if !lost || !m.MobileReadable || m.Status == directory.StatusLeft || m.Status == directory.StatusDisabled {
		return MobileRow{}, false
	}
	return MobileRow{
		Person: Person{ID: archive.PartyID(h.ID), Name: m.Name, Departments: m.Departments}, Status: Status(m.Status),
		Archiving: Archiving{Designated: m.Designated, DesignatedKnown: m.DesignatedKnown, Email: m.Email, EmailReadable: m.EmailReadable},
		Lost:      BetweenOf(e), Last: e.Old,
	}, true
}

// Of is how many rows there are.
func (f MissingMobileFacts) Of() int { return len(f.Rows) }

// Row is the departments of the i-th row.
func (f MissingMobileFacts) Row(i int) []int { return f.Rows[i].Departments }

// Pick is Within for rows whose places are known already, ascending.
func (f MissingMobileFacts) Pick(rows []int32, holds func(departments []int) bool) MissingMobileFacts {
	f.Rows, f.Unread = picked(f.Rows, rows), unreadWithin(f.Unread, holds)
	return f
}

// Within is the facts as somebody may see them whose scope holds what holds says. f stays as it is.
func (f MissingMobileFacts) Within(holds func(departments []int) bool) MissingMobileFacts {
	return f.Pick(within(f.Of(), f.Row, holds), holds)
}

// Blind is what could not be read.
func (f MissingMobileFacts) Blind() []Unread { return f.Unread }

// Knowing is the facts after a report that could not read before.
func (f MissingMobileFacts) Knowing(before []Unread) MissingMobileFacts {
	f.Unread = Knowing(f.Unread, before)
	return f
}

// Quiet says that there is nothing to tell, and that this is known.
func (f MissingMobileFacts) Quiet() bool {
	return len(f.Rows) == 0 && !fresh(f.Unread) && !f.Snapshot.IsZero()
}

// Concerned is who is mailed a notice of its own.
func (f MissingMobileFacts) Concerned() []Concern {
	var list []Concern
	for _, r := range f.Rows {
		if c, ok := concern(r.Person, r.Archiving); ok && r.Told == ToldByMail {
			list = append(list, c)
		}
	}
	return list
}

// NewMissingMobile builds R2 for receivers. Equal arguments give equal bytes.
func NewMissingMobile(f MissingMobileFacts, v View) (Mail, error) {
	l := v.Language
	from := f.Day.Add(-24 * time.Hour)
	fateIs := func(want fate) func(MobileRow) answer {
		return func(r MobileRow) answer { return is(r.fate() == want) }
	}
	x := listing[MobileRow]{
		kind: MissingMobile, corp: f.Corp, marks: f.Marks, day: f.Day, snapshot: f.Snapshot, unread: f.Unread, view: v,
		rows: f.Rows, person: func(r MobileRow) Person { return r.Person }, noun: nounUsers, guide: "missing-mobile", alarm: true,
		news:    l.sayf("%s without the mobile number", "%s手机号丢失", nUsers(l, len(f.Rows))),
		quiet:   l.say("Nobody lost the mobile number.", "没有用户丢失手机号。"),
		heading: l.say("Who lost the mobile number", "手机号丢失的用户"),
		head:    l.say("Archiving, and whether the user is told", "存档情况及是否已通知"),
		tallies: []tally[MobileRow]{
			{key: "l", en: "Lost the mobile number", zh: "手机号已丢失", holds: func(MobileRow) answer { return yes }, alarm: true},
			{key: "n", en: "since yesterday's noon", zh: "其中昨日正午以来", holds: func(r MobileRow) answer { return is(!r.Lost.By.Before(from)) }},
			{key: "a", en: "(a) captured, delivered by email", zh: "(a) 已存档，按邮箱投递", holds: fateIs(fateDelivered)},
			{key: "b", en: "(b) captured and kept, not delivered", zh: "(b) 已存档并保存，未投递", holds: fateIs(fateKept)},
			{key: "c", en: "(c) not captured: not designated", zh: "(c) 未存档：不在存档名单中", holds: fateIs(fateNotCaptured), alarm: true},
			{key: "u", en: "not known whether captured", zh: "是否存档未知", holds: fateIs(fateUnknown)},
			{key: "t", en: "told today", zh: "今日已通知", holds: func(r MobileRow) answer { return is(r.Told.yes()) }},
			{key: "x", en: "could not be told", zh: "无法通知", holds: func(r MobileRow) answer { return is(!r.Told.yes()) }, alarm: true},
		},
		columns: []column{
			{head: l.say("Status", "状态"), width: 85},
			{head: l.say("Number lost (UTC)", "丢失时间 (UTC)"), width: 175},
			{head: l.say("Last number", "最后手机号"), width: 140},
			{head: l.say("Email", "邮箱"), width: 190, free: true},
			{head: l.say("Told", "通知"), width: 150},
			{head: l.say("Archiving", "存档情况"), alarm: true},
		},
		cells: func(r MobileRow) []sheetCell {
			return []sheetCell{
				text(r.Status.text(l)), v.betweenCell(r.Lost), text(v.last(r.Last)), text(v.address(r.Email, r.EmailReadable)), text(v.told(r.Told)),
				text(v.fate(r.Archiving, f.Delivery)),
			}
		},
		brief: func(r MobileRow) cell {
			return cell{
				Text:  v.fate(r.Archiving, f.Delivery) + l.say("; ", "；") + v.told(r.Told),
				Small: l.sayf("last number %[1]s, lost %[2]s", "最后手机号：%[1]s；丢失时间：%[2]s", v.last(r.Last), v.between(r.Lost)),
			}
		},
	}
	if len(f.Rows) > 0 {
		x.after = []section{{Heading: l.say("What to do", "如何处理"), Steps: []step{
			{Text: l.say("The user binds a mobile number again in the WeCom app, or an admin enters it in WeCom's admin console: Contacts (通讯录), the user, Edit.",
				"由用户在企业微信 App 中重新绑定手机号，或由管理员在企业微信管理后台填写：通讯录 > 成员 > 编辑。")},
			{Text: l.say("Capture goes by the userid and does not stop for want of a number. Only users who are not designated are not captured.",
				"存档按 userid 进行，不会因缺少手机号而停止；仅不在存档名单中的用户不被存档。")},
			{Text: l.say("This comes each day at 12:00 UTC until the number is back, or the user has left or is disabled.",
				"本提醒每日 12:00 UTC 发送，直至手机号恢复，或用户离开或被禁用。")},
		}}}
	}
	return x.mail()
}

// last is the last number that was seen.
func (v View) last(mobile string) string {
	if clean(mobile) == "" {
		return v.Language.say("not known", "未知")
	}
	return v.number(mobile)
}

// notice is a mail to a user whom a report concerns: the user's own row, and nobody else's.
func notice(k Kind, corp Corp, marks Marks, day time.Time, v View, title both) letter {
	l := v.Language
	return letter{
		View: v, Title: title.in(l), Company: corp.title(), Banners: marks.banners(l),
		Subject: v.subject(corp, k, day, l.sayf("please act: %s", "请处理：%s", title.in(l))),
	}
}

// greeting names the user and the account.
func (v View) greeting(p Person) string {
	return v.Language.sayf("For %[1]s (WeCom account %[2]s).", "致：%[1]s（企业微信账号 %[2]s）。", v.name(p, 120), clip(string(p.ID), 64))
}

// NewMissingMobileNotice builds the mail that tells one user that the mobile number is missing. It says exactly one of three things of the user's
// messages, and asks for the number.
func NewMissingMobileNotice(f MissingMobileFacts, id archive.PartyID, v View) (Mail, error) {
	l := v.Language
	var r *MobileRow
	for i := range f.Rows {
		if f.Rows[i].ID == id {
			r = &f.Rows[i]
		}
	}
	if r == nil {
		return Mail{}, fmt.Errorf("build missing mobile notice of corp %s: the user is not among those whom the report is about", f.Corp.ID)
	}
	lt := notice(MissingMobile, f.Corp, f.Marks, f.Day, v, both{"Your mobile number is missing in WeCom", "您的企业微信缺少手机号"})
	lt.Lead = []string{
		v.greeting(r.Person),
		l.sayf("WeCom shows no mobile number for your account any more. It was lost %s.", "企业微信不再显示您账号的手机号，丢失时间：%s。", v.between(r.Lost)),
	}
	if r.Last != "" {
		lt.Lead = append(lt.Lead, l.sayf("The last number was %s.", "最后的手机号为 %s。", v.number(r.Last)))
	}
	var now string
	switch r.fate() {
	case fateDelivered:
		now = l.sayf("Your messages are still archived, and are delivered by your email address %s.", "您的消息仍在存档，并按您的邮箱 %s 投递。", clip(r.Mailbox, nameRunes))
	case fateKept:
		now = l.sayf("Your messages are still archived and kept. They are not delivered to a mailbox: %s.", "您的消息仍在存档并保存，但未投递到邮箱：%s。", v.undelivered(r.Archiving, f.Delivery))
	case fateNotCaptured:
		now = l.say("Your messages are not archived: you are not on your company's list of users to archive.", "您的消息未被存档：您不在企业的存档名单中。")
		if r.Archived {
			now += l.say(" Archiving of your messages has stopped.", "您的消息存档已停止。")
		}
	default:
		now = l.say("Whether your messages are archived could not be found out today.", "今日无法确认您的消息是否被存档。")
	}
	lt.Preheader = now
	lt.Sections = []section{
		{Heading: l.say("What this means", "影响"), Alarm: true, Paras: []string{
			now, l.say("Your company has to know whose messages it archives. Please enter your number again today.", "企业需要确认其存档的消息属于何人。请于今日重新填写手机号。"),
		}},
		{Heading: l.say("What to do", "如何处理"), Steps: []step{
			{Text: l.say("In the WeCom app, open Me (我), Settings (设置), Account (账号), and bind your mobile number. The names differ a little between versions.",
				"在企业微信 App 中打开“我 > 设置 > 账号”，绑定手机号。不同版本的菜单名称略有差异。")},
			{Text: l.say("If that is not offered, ask your company's WeCom admin to enter it: admin console, Contacts (通讯录), your name, Edit.",
				"如无此选项，请联系企业微信管理员填写：管理后台 > 通讯录 > 您的姓名 > 编辑。")},
			{Text: l.say("Nothing else is needed. This mail comes each day at 12:00 UTC until WeCom shows your number again.",
				"无需其他操作。在企业微信重新显示您的手机号之前，本邮件每日 12:00 UTC 发送。")},
		}},
		guide(v, "missing-mobile"),
	}
	lt.Threads = []string{"mobile-" + ID(string(f.Corp.ID), string(r.ID), fmt.Sprint(r.Lost.By.Unix()))}
	m, err := lt.mail()
	if err != nil {
		return Mail{}, fmt.Errorf("build missing mobile notice of corp %s: %w", f.Corp.ID, err)
	}
	m.Kind = MissingMobile
	return m, nil
}
