package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// MissingEmailFacts is everything that R8 is made of: users without a mobile number whose email, WeCom's own and never the Exmail one, was removed,
// changed or never set.
type MissingEmailFacts struct {
	Corp     Corp       `json:"corp"`
	Marks    Marks      `json:"marks"`
	Day      time.Time  `json:"day"`
	Snapshot time.Time  `json:"snapshot,omitzero"`
	Delivery bool       `json:"delivery,omitempty"`
	Rows     []EmailRow `json:"rows,omitempty"`
	Unread   []Unread   `json:"unread,omitempty"`
	Reported []Reported `json:"reported"` // what this report and those before it told; nil: written by a version that did not keep it
}

// Heard is which events were told by this report or before it.
func (f MissingEmailFacts) Heard() []Reported { return f.Reported }

// EmailTrouble is which rule a user falls under. The values are stable.
type EmailTrouble string

// The three rules. The first and the last are told every day while they last, the second once.
const (
	EmailRemoved EmailTrouble = "removed"   // (1) no mobile, and the email was removed
	EmailChanged EmailTrouble = "changed"   // (2) no mobile, and the email was changed
	EmailNever   EmailTrouble = "never-set" // (3) the mobile was lost, and an email was never set
)

// EmailRow is one user whom a rule holds of.
type EmailRow struct {
	Person
	Archiving
	Status     Status       `json:"status"`
	Rule       EmailTrouble `json:"rule"`
	Old        string       `json:"old,omitempty"`  // the address before
	When       Between      `json:"when"`           // of the removal or change; for never-set, of the loss of the mobile
	MobileLost bool         `json:"mobile_lost"`    // else no mobile was ever seen
	Late       bool         `json:"late,omitempty"` // the change is of an earlier day, and known only now
	Told       Told         `json:"told,omitempty"`
}

// FindEmailTrouble says whether a rule of R8 holds of a member for the day that ends at noon, and if so what its history tells of that. Fields that the newest
// look does not show are unknown: no rule holds of them. Name and places, what is archived, the mailbox, and Told are the caller's.
func FindEmailTrouble(h directory.History, noon time.Time) (EmailRow, bool) {
	m := h.State()
	if !h.Here || m.Status == directory.StatusLeft || !m.MobileReadable || m.Mobile != "" || !m.EmailReadable {
		return EmailRow{}, false
	}
	gone, lost := h.Lost(directory.FieldMobile)
	r := EmailRow{
		Person: Person{ID: archive.PartyID(h.ID), Name: m.Name, Departments: m.Departments}, Status: Status(m.Status), MobileLost: lost,
		Archiving: Archiving{Designated: m.Designated, DesignatedKnown: m.DesignatedKnown, Email: m.Email, EmailReadable: true},
	}
	if m.Email != "" {
		// A change is one value after another, with or without a time of none between; it is the newest that counts.
		var last directory.Event
		var before string
		for _, e := range h.Events {
			switch e.What {
			case directory.Joined, directory.Found:
				before, last = "", directory.Event{}
			case directory.EmailRemoved:
				before = e.Old
			case directory.EmailChanged:
				before, last = e.Old, e
			case directory.EmailSet:
				if before != "" && !strings.EqualFold(before, e.New) {
					last = e
					last.Old = before
				}
			default:
			}
		}
		if last.Kind == "" || !last.In(noon.Add(-24*time.Hour), noon) || strings.EqualFold(last.Old, last.New) {
			return EmailRow{}, false
		}
		if lost && !gone.By.Before(noon) {
			return EmailRow{}, false // the number was there on that day: who changed the address then was known by it
		}
		r.Rule, r.Old, r.When = EmailChanged, last.Old, BetweenOf(last)
		return r, true
	}
	if e, removed := h.Lost(directory.FieldEmail); removed {
		r.Rule, r.Old, r.When = EmailRemoved, e.Old, BetweenOf(e)
		return r, true
	}
	if lost {
		r.Rule, r.When = EmailNever, BetweenOf(gone)
		return r, true
	}
	return EmailRow{}, false // neither was ever there: R1 says so
}

// Of is how many rows there are.
func (f MissingEmailFacts) Of() int { return len(f.Rows) }

// Row is the departments of the i-th row.
func (f MissingEmailFacts) Row(i int) []int { return f.Rows[i].Departments }

// Pick is Within for rows whose places are known already, ascending.
func (f MissingEmailFacts) Pick(rows []int32, holds func(departments []int) bool) MissingEmailFacts {
	f.Rows, f.Unread = picked(f.Rows, rows), unreadWithin(f.Unread, holds)
	return f
}

// Within is the facts as somebody may see them whose scope holds what holds says. f stays as it is.
func (f MissingEmailFacts) Within(holds func(departments []int) bool) MissingEmailFacts {
	return f.Pick(within(f.Of(), f.Row, holds), holds)
}

// Blind is what could not be read.
func (f MissingEmailFacts) Blind() []Unread { return f.Unread }

// Knowing is the facts after a report that could not read before.
func (f MissingEmailFacts) Knowing(before []Unread) MissingEmailFacts {
	f.Unread = Knowing(f.Unread, before)
	return f
}

// Quiet says that there is nothing to tell, and that this is known.
func (f MissingEmailFacts) Quiet() bool {
	return len(f.Rows) == 0 && !fresh(f.Unread) && !f.Snapshot.IsZero()
}

// Concerned is who is mailed a notice of its own: those whose email changed, at the new address.
func (f MissingEmailFacts) Concerned() []Concern {
	var list []Concern
	for _, r := range f.Rows {
		if c, ok := concern(r.Person, r.Archiving); ok && r.Rule == EmailChanged && r.Told == ToldByMail {
			list = append(list, c)
		}
	}
	return list
}

// told is Told, as far as a rule lets anybody be told: without an address there is nowhere to write to.
func (r EmailRow) told() Told {
	if r.Rule != EmailChanged && r.Told == ToldByMail {
		return NotToldNone
	}
	return r.Told
}

// NewMissingEmail builds R8 for receivers and the control mailbox. Equal arguments give equal bytes.
func NewMissingEmail(f MissingEmailFacts, v View) (Mail, error) {
	l := v.Language
	rule := func(want EmailTrouble) func(EmailRow) answer {
		return func(r EmailRow) answer { return is(r.Rule == want) }
	}
	words := func(r EmailRow) string {
		mobile := l.say("no mobile ever seen", "从未出现手机号")
		if r.MobileLost {
			mobile = l.say("mobile lost", "手机号已丢失")
		}
		old := clip(r.Old, nameRunes)
		switch r.Rule {
		case EmailRemoved:
			return l.sayf("(1) %[1]s, email removed: it was %[2]s", "(1) %[1]s，邮箱被删除：原为 %[2]s", mobile, old)
		case EmailChanged:
			return l.sayf("(2) %[1]s, email changed from %[2]s to %[3]s", "(2) %[1]s，邮箱由 %[2]s 改为 %[3]s", mobile, old, clip(r.Email, nameRunes)) + lateMark(l, r.Late)
		default:
			return l.say("(3) mobile lost, email never set", "(3) 手机号已丢失，从未设置邮箱")
		}
	}
	x := listing[EmailRow]{
		kind: MissingEmail, corp: f.Corp, marks: f.Marks, day: f.Day, snapshot: f.Snapshot, unread: f.Unread, view: v,
		rows: f.Rows, person: func(r EmailRow) Person { return r.Person }, noun: nounUsers, guide: "missing-email", alarm: true,
		news:    nUsers(l, len(f.Rows)),
		quiet:   l.say("No user without a mobile number lacks an email that was there, or changed it in the last 24 hours.", "没有“无手机号且邮箱被删除、缺失或在过去 24 小时内更改”的用户。"),
		heading: l.say("Who may not be recognised any more", "可能无法再识别的用户"),
		head:    l.say("What happened, and whether the user is told", "情况及是否已通知"),
		lead: append(lateLine(l, f.Rows, func(r EmailRow) bool { return r.Late }),
			l.say("The email is WeCom's own field (邮箱), not the Exmail account (企业邮箱).", "此处邮箱指企业微信的“邮箱”字段，而非企业邮箱账号。")),
		tallies: []tally[EmailRow]{
			{key: "1", en: "(1) no mobile, email removed", zh: "(1) 无手机号，邮箱被删除", holds: rule(EmailRemoved), alarm: true},
			{key: "2", en: "(2) no mobile, email changed", zh: "(2) 无手机号，邮箱已更改", holds: rule(EmailChanged)},
			{key: "3", en: "(3) mobile lost, email never set", zh: "(3) 手机号丢失，从未设置邮箱", holds: rule(EmailNever), alarm: true},
			{key: "t", en: "told today", zh: "今日已通知", holds: func(r EmailRow) answer { return is(r.told().yes()) }},
			{key: "x", en: "could not be told", zh: "无法通知", holds: func(r EmailRow) answer { return is(!r.told().yes()) }, alarm: true},
		},
		columns: []column{
			{head: l.say("Status", "状态"), width: 85},
			{head: l.say("Email before", "原邮箱"), width: 190, free: true},
			{head: l.say("Email now", "现邮箱"), width: 190, free: true},
			{head: l.say("When (UTC)", "时间 (UTC)"), width: 175},
			{head: l.say("Archiving", "存档情况"), width: 200},
			{head: l.say("Told", "通知"), width: 150},
			{head: l.say("What happened", "情况"), alarm: true},
		},
		cells: func(r EmailRow) []sheetCell {
			return []sheetCell{
				text(r.Status.text(l)), text(v.address(r.Old, true)), text(v.address(r.Email, r.EmailReadable)), v.betweenCell(r.When),
				text(v.fate(r.Archiving, f.Delivery)), text(v.told(r.told())), text(words(r)),
			}
		},
		brief: func(r EmailRow) cell {
			return cell{Text: words(r) + l.say("; ", "；") + v.told(r.told()), Small: v.between(r.When) + l.say("; ", "；") + v.fate(r.Archiving, f.Delivery)}
		},
	}
	if len(f.Rows) > 0 {
		x.after = []section{{Heading: l.say("What to do", "如何处理"), Steps: []step{
			{Text: l.say("Enter a mobile number or an email for the user in WeCom's admin console: Contacts (通讯录), the user, Edit.", "在企业微信管理后台为该用户填写手机号或邮箱：通讯录 > 成员 > 编辑。")},
			{Text: l.say("Capture goes by the userid and does not stop for want of an email; it is the mailbox that can't be found.", "存档按 userid 进行，不会因缺少邮箱而停止；受影响的是邮箱匹配。")},
			{Text: l.say("(1) and (3) come every day while they last, (2) once.", "(1) 和 (3) 在持续期间每日提醒，(2) 仅提醒一次。")},
		}}}
	}
	return x.mail()
}

// NewMissingEmailNotice builds the mail that tells one user at the new address that the email was changed. It does not name the old one: whoever reads the
// new mailbox need not be who had the old.
func NewMissingEmailNotice(f MissingEmailFacts, id archive.PartyID, v View) (Mail, error) {
	l := v.Language
	var r *EmailRow
	for i := range f.Rows {
		if f.Rows[i].ID == id && f.Rows[i].Rule == EmailChanged {
			r = &f.Rows[i]
		}
	}
	if r == nil {
		return Mail{}, fmt.Errorf("build missing email notice of corp %s: the user is not among those whose email changed", f.Corp.ID)
	}
	lt := notice(MissingEmail, f.Corp, f.Marks, f.Day, v, both{"Your email in WeCom was changed", "您的企业微信邮箱已更改"})
	lt.Lead = []string{
		v.greeting(r.Person),
		l.sayf("The email of your WeCom account was changed to %[1]s, %[2]s.", "您的企业微信账号邮箱已改为 %[1]s，时间：%[2]s。", clip(r.Email, nameRunes), v.between(r.When)),
	}
	why := l.say("WeCom shows no mobile number for you, so your email is what your messages are matched to you by. With a wrong address they are kept, but your mailbox can't be found.",
		"企业微信未显示您的手机号，因此您的消息依据邮箱进行匹配。邮箱有误时消息仍会保存，但无法匹配到您的邮箱。")
	lt.Preheader = why
	lt.Sections = []section{
		{Heading: l.say("What this means", "影响"), Alarm: true, Paras: []string{why}},
		{Heading: l.say("What to do", "如何处理"), Steps: []step{
			{Text: l.say("If the address is right, there is nothing to do.", "如邮箱正确，则无需操作。")},
			{Text: l.say("If it is not, ask your company's WeCom admin to correct it: admin console, Contacts (通讯录), your name, Edit. It is the field Email (邮箱), not the Exmail account (企业邮箱).",
				"如有误，请联系企业微信管理员更正：管理后台 > 通讯录 > 您的姓名 > 编辑。请修改“邮箱”字段，而非企业邮箱账号。")},
			{Text: l.say("To be recognised by your number instead, bind a mobile number in the WeCom app.", "如需改为按手机号识别，请在企业微信 App 中绑定手机号。")},
		}},
		guide(v, "missing-email"),
	}
	lt.Threads = []string{"email-" + ID(string(f.Corp.ID), string(r.ID), fmt.Sprint(r.When.By.Unix()))}
	m, err := lt.mail()
	if err != nil {
		return Mail{}, fmt.Errorf("build missing email notice of corp %s: %w", f.Corp.ID, err)
	}
	m.Kind = MissingEmail
	return m, nil
}
