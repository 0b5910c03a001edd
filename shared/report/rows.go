package report

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// Person is who a row is about.
type Person struct {
	ID          archive.PartyID `json:"id"`
	Name        string          `json:"name,omitempty"`        // the last that is known
	Departments []int           `json:"departments,omitempty"` // of a leaver the last held; they decide who may see the row
	Places      []string        `json:"places,omitempty"`      // their names
}

// Between is when something happened: after After and not after By. No observation can tell when within.
type Between struct {
	After time.Time   `json:"after,omitzero"` // zero: since when is not known
	By    time.Time   `json:"by"`
	Told  []time.Time `json:"told,omitempty"` // when WeCom told of what may be it
}

// BetweenOf is when an event happened.
func BetweenOf(e directory.Event) Between { return Between{After: e.After, By: e.By, Told: e.Told} }

// stamp is a time in UTC without its zone.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// between says in words when something happened.
func (v View) between(b Between) string {
	l := v.Language
	switch {
	case b.By.IsZero():
		return l.say("since when is not known", "起始时间未知")
	case b.After.IsZero():
		return l.sayf("by %s; since when is not known", "不晚于 %s；起始时间未知", v.at(b.By))
	}
	s := l.sayf("between %[1]s and %[2]s", "%[1]s 至 %[2]s 之间", stamp(b.After), v.at(b.By))
	if stamp(b.After) == stamp(b.By) {
		s = l.sayf("at %s", "%s", v.at(b.By)) // within the minute
	}
	if len(b.Told) > 0 {
		s += l.sayf("; WeCom told of it at %s", "；企业微信于 %s 通知", v.at(b.Told[0]))
	}
	return s
}

// betweenCell is between as a cell of a sheet.
func (v View) betweenCell(b Between) sheetCell {
	l := v.Language
	if b.By.IsZero() {
		return text(l.say("not known", "未知"))
	}
	c := sheetCell{sort: stamp(b.By), small: v.local(b.By)}
	switch {
	case b.After.IsZero():
		c.lines = []string{l.sayf("by %s", "不晚于 %s", stamp(b.By))}
	case stamp(b.After) == stamp(b.By):
		c.lines = []string{stamp(b.By)}
	default:
		c.lines = []string{stamp(b.After) + l.say(" to ", " 至 ") + stamp(b.By)}
	}
	if len(b.Told) > 0 {
		c.lines = append(c.lines, l.sayf("told %s", "通知于 %s", stamp(b.Told[0])))
	}
	return c
}

// moment is a time as a cell of a sheet, with the local time small below.
func (v View) moment(t time.Time) sheetCell {
	if t.IsZero() {
		return text(v.Language.say("not known", "未知"))
	}
	return sheetCell{lines: []string{stamp(t)}, small: v.local(t)}
}

// name is a person's name, or that it is unknown.
func (v View) name(p Person, n int) string {
	if name := clip(p.Name, n); name != "" {
		return name
	}
	return v.Language.say("name unknown", "姓名未知")
}

// who is a person as the first cell of a mail's table.
func (v View) who(p Person) cell { return cell{Text: v.name(p, 40), Small: clip(string(p.ID), 64)} }

// personColumns are the columns that every sheet of people begins with, and personCells their cells.
func (v View) personColumns() []column {
	l := v.Language
	return []column{
		{head: l.say("Name", "姓名"), width: 130, free: true},
		{head: l.say("Userid", "账号 (userid)"), width: 120, free: true},
		{head: l.say("Departments", "部门"), width: 150, free: true},
	}
}

func (v View) personCells(p Person) []sheetCell {
	return []sheetCell{text(v.name(p, nameRunes)), text(clip(string(p.ID), nameRunes)), text(v.departments(p.Places))}
}

// number is a mobile number as it may be shown.
func (v View) number(mobile string) string {
	mobile = clip(mobile, 40)
	switch {
	case mobile == "":
		return v.Language.say("none", "无")
	case v.Mask:
		return mask(mobile)
	default:
		return mobile
	}
}

// address is a mail address, or why there is none to show.
func (v View) address(email string, readable bool) string {
	l := v.Language
	email = clip(email, nameRunes)
	switch {
	case !readable:
		return l.say("unknown", "未知")
	case email == "":
		return l.say("none", "无")
	default:
		return email
	}
}

// byPlace orders people by department, then name, then userid, so that a person is found where people look and the report does not depend on the order
// in which the store lists them.
func byPlace(a, b Person) int {
	if c := strings.Compare(strings.Join(a.Places, "\n"), strings.Join(b.Places, "\n")); c != 0 {
		return c
	}
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(string(a.ID), string(b.ID))
}

// picked is the rows at the given places.
func picked[R any](rows []R, places []int32) []R {
	out := make([]R, 0, len(places))
	for _, i := range places {
		out = append(out, rows[i])
	}
	return out
}

// within is the places of the rows that holds lets pass.
func within(n int, of func(int) []int, holds func([]int) bool) []int32 {
	var places []int32
	for i := range n {
		if holds(of(i)) {
			places = append(places, int32(i)) // #nosec G115 -- a company has fewer members than that
		}
	}
	return places
}

// Archiving is what becomes of a user's messages, as far as is known. Capture itself always goes by the userid.
type Archiving struct {
	Designated      bool   `json:"designated"`
	DesignatedKnown bool   `json:"designated_known"`
	Archived        bool   `json:"archived,omitempty"` // something of the user's is archived
	Email           string `json:"email,omitempty"`    // WeCom's email, never its biz_mail
	EmailReadable   bool   `json:"email_readable"`
	Mailbox         string `json:"mailbox,omitempty"` // where the user's messages are delivered; "" if not mapped
}

// concern is the user whom a row is about as one who is mailed a notice of its own, at the address as it is kept and suppressed everywhere; ok is false if
// mail can't go there.
func concern(p Person, a Archiving) (c Concern, ok bool) {
	address, err := CheckAddress(a.Email)
	return Concern{ID: p.ID, Name: clean(p.Name), Address: address}, err == nil
}

// fate is which of three things is true of a user's messages, or that it can't be told.
type fate int

const (
	fateUnknown     fate = iota
	fateDelivered        // (a) captured, delivered
	fateKept             // (b) captured, kept, not delivered
	fateNotCaptured      // (c) not captured
)

func (a Archiving) fate() fate {
	switch {
	case !a.DesignatedKnown:
		return fateUnknown
	case !a.Designated:
		return fateNotCaptured
	case strings.TrimSpace(a.Mailbox) != "":
		return fateDelivered
	default:
		return fateKept
	}
}

// fate says what becomes of the messages. Only of those that are not captured it says that archiving has stopped, and only if it once went on.
func (v View) fate(a Archiving, delivery bool) string {
	l := v.Language
	switch a.fate() {
	case fateDelivered:
		return l.sayf("(a) captured, delivered by email %s", "(a) 已存档，按邮箱 %s 投递", clip(a.Mailbox, nameRunes))
	case fateKept:
		return l.say("(b) captured and kept, not delivered: ", "(b) 已存档并保存，未投递：") + v.undelivered(a, delivery)
	case fateNotCaptured:
		s := l.say("(c) not captured: not designated", "(c) 未存档：不在存档名单中")
		if a.Archived {
			s += l.say("; archiving has stopped", "；存档已停止")
		}
		return s
	default:
		return l.say("not known whether captured: WeCom's list of users to archive could not be read", "是否存档未知：无法读取企业微信存档名单")
	}
}

func (v View) undelivered(a Archiving, delivery bool) string {
	l := v.Language
	switch {
	case !a.EmailReadable:
		return l.say("no address is known, WeCom does not show it", "没有已知邮箱，企业微信未提供")
	case strings.TrimSpace(a.Email) == "":
		return l.say("no address", "没有邮箱")
	case !delivery:
		return l.say("delivery to mailboxes is not set up", "尚未配置邮箱投递")
	default:
		return l.sayf("no mailbox answers to %s", "%s 没有可投递的邮箱", clip(a.Email, nameRunes))
	}
}

// Told is whether a user whom a report concerns is told, and how.
type Told string

// The ways, and the reasons why not.
const (
	ToldByMail     Told = "mail"       // a mail to the user goes with this report
	ToldByApp      Told = "app"        // a message in WeCom
	NotToldNone    Told = "no-address" // WeCom shows that there is none
	NotToldHidden  Told = "hidden"     // WeCom does not show whether there is one
	NotToldBad     Told = "unusable"   // no mail can go there
	NotToldStopped Told = "suppressed" // the address bounced for good, or complained
	NotToldOff     Told = ""           // nobody tries

	// A message in WeCom goes out with this report, but the last one did not reach the user.
	NotToldUnseen     Told = "app-not-in-range" // the app may not see the user
	NotToldUnlicensed Told = "app-unlicensed"   // the user has no licence for calls of WeCom's API
	NotToldRefused    Told = "app-refused"      // WeCom refused it for another reason
	NotToldWaits      Told = "app-waits"        // it was not sent so far: the app, its secret or our address is not in order
	NotToldGivenUp    Told = "app-given-up"     // it could not be sent for days, and nobody sends it any more
)

// Tell is how a user can be told: by mail if WeCom shows an address that mail can go to, else by a message in WeCom if an app of the company may send one.
func Tell(email string, readable, suppressed, app bool) Told {
	why := ToldByMail
	switch email = strings.TrimSpace(email); {
	case !readable:
		why = NotToldHidden
	case email == "":
		why = NotToldNone
	case checkAddress(email) != nil:
		why = NotToldBad
	case suppressed:
		why = NotToldStopped
	}
	if why != ToldByMail && app {
		return ToldByApp
	}
	return why
}

func (t Told) yes() bool { return t == ToldByMail || t == ToldByApp }

// byApp says that a message in WeCom goes out with this report.
func (t Told) byApp() bool {
	switch t {
	case ToldByApp, NotToldUnseen, NotToldUnlicensed, NotToldRefused, NotToldWaits, NotToldGivenUp:
		return true
	default:
		return false
	}
}

// Reached is how a user is told by a message in WeCom, whose last one is in a state of the ledger's, and refused for a reason.
func Reached(state, reason string) Told {
	switch {
	case state == "refused" && reason == "not-in-range":
		return NotToldUnseen
	case state == "refused" && reason == "unlicensed":
		return NotToldUnlicensed
	case state == "refused":
		return NotToldRefused
	case state == "given-up":
		return NotToldGivenUp
	case state != "told":
		return NotToldWaits
	default:
		return ToldByApp
	}
}

func (v View) told(t Told) string {
	l := v.Language
	no := l.say("could not be told: ", "无法通知：")
	switch t {
	case ToldByMail:
		return l.say("told by mail", "已邮件通知")
	case ToldByApp:
		return l.say("told in WeCom", "已在企业微信中通知")
	case NotToldNone:
		return no + l.say("no address", "没有邮箱")
	case NotToldHidden:
		return no + l.say("WeCom does not show an address", "企业微信未提供邮箱")
	case NotToldBad:
		return no + l.say("no mail can go to this address", "该邮箱地址无法投递")
	case NotToldStopped:
		return no + l.say("mails to this address come back", "该邮箱地址退信")
	case NotToldUnseen:
		return no + l.say("the app may not see this member; add the member to the app's visible range in WeCom's console (tried again today)",
			"应用可见范围不含该成员；请在企业微信管理后台将其加入应用的可见范围（今日已再次尝试）")
	case NotToldUnlicensed:
		return no + l.say("the member has no licence for WeCom's API; assign one in WeCom's console (tried again today)",
			"该成员没有接口许可；请在企业微信管理后台分配（今日已再次尝试）")
	case NotToldRefused:
		return no + l.say("WeCom refused the last message in WeCom (tried again today)", "企业微信拒绝了上一条应用消息（今日已再次尝试）")
	case NotToldWaits:
		return no + l.say("the last message in WeCom still waits: the app, its secret or our address is not in order (vaultctl doctor says which)",
			"上一条应用消息仍在等待发送：应用、密钥或可信 IP 有问题（vaultctl doctor 会指出）")
	case NotToldGivenUp:
		return no + l.say("the last message in WeCom could not be sent for days and was given up (tried again today)", "上一条应用消息多日未能发出，已放弃（今日已再次尝试）")
	default:
		return no + l.say("mails to users are off", "未启用用户通知")
	}
}

// Source is something that a report is made of and that may not be readable. The values are stable.
type Source string

// The sources.
const (
	SourceDirectory  Source = "directory"  // the lists of members and departments
	SourceMobile     Source = "mobile"     // the members' numbers
	SourceEmail      Source = "email"      // the members' addresses
	SourceDesignated Source = "designated" // WeCom's list of users to archive
	SourceConsent    Source = "consent"    // who agreed
	SourceLedger     Source = "ledger"     // our own account
	SourceMessages   Source = "messages"   // what WeCom hands out to be archived
)

// Unread is a source that could not be read, or not of everybody: what a report can't answer.
type Unread struct {
	Source  Source             `json:"source"`
	Since   time.Time          `json:"since,omitzero"` // when it was last read, or first not; zero: never, or not known
	Code    int                `json:"code,omitempty"` // WeCom's errcode; 0: none
	Via     string             `json:"via,omitempty"`  // the kind of secret that was asked
	Of      []Crowd            `json:"of,omitempty"`   // whom it concerns; nil: everybody
	Openers []directory.Opener `json:"openers,omitempty"`
	Known   bool               `json:"known,omitempty"` // the report before this one told the same: no news, but said whenever there is a mail
	Was     []Crowd            `json:"was,omitempty"`   // whom it concerned in the report before this one, if not the same: in a part of the company it may be the same
}

// Knowing is what could not be read, where a report before could not read before: that WeCom hides a field of as many users of the same departments as then is
// no news any more. That a source could not be read is news each day.
func Knowing(now, before []Unread) []Unread {
	now = slices.Clone(now)
	for i, u := range now {
		now[i].Was = nil
		was := slices.IndexFunc(before, func(b Unread) bool { return b.Of != nil && b.Source == u.Source && slices.Equal(b.Openers, u.Openers) })
		if u.Of == nil || was < 0 {
			continue
		}
		if now[i].Known = sameCrowds(u.Of, before[was].Of); !now[i].Known {
			now[i].Was = before[was].Of
		}
	}
	return now
}

func sameCrowds(a, b []Crowd) bool {
	return slices.EqualFunc(a, b, func(x, y Crowd) bool { return x.N == y.N && slices.Equal(x.Departments, y.Departments) })
}

// fresh says whether anything that could not be read is news.
func fresh(all []Unread) bool {
	return slices.ContainsFunc(all, func(u Unread) bool { return !u.Known })
}

// Crowd is how many members are in the same departments.
type Crowd struct {
	Departments []int `json:"departments,omitempty"`
	N           int   `json:"n"`
}

// Crowds counts members by their departments, in the order of these.
func Crowds(of [][]int) []Crowd {
	var out []Crowd
	for _, departments := range of {
		departments = slices.Clone(departments)
		slices.Sort(departments)
		departments = slices.Compact(departments)
		i, found := slices.BinarySearchFunc(out, departments, func(c Crowd, d []int) int { return slices.Compare(c.Departments, d) })
		if !found {
			out = slices.Insert(out, i, Crowd{Departments: departments})
		}
		out[i].N++
	}
	return out
}

// unreadWithin is what within a scope could not be read.
func unreadWithin(all []Unread, holds func([]int) bool) []Unread {
	var out []Unread
	for _, u := range all {
		if u.Of == nil {
			out = append(out, u)
			continue
		}
		var of, was []Crowd
		for _, c := range u.Of {
			if holds(c.Departments) {
				of = append(of, c)
			}
		}
		for _, c := range u.Was {
			if holds(c.Departments) {
				was = append(was, c)
			}
		}
		if len(of) > 0 {
			u.Known = u.Known || sameCrowds(of, was)
			u.Of, u.Was = of, was
			out = append(out, u)
		}
	}
	return out
}

// unreadSection is what could not be read, in a mail.
func (v View) unreadSection(all []Unread, k Kind) section {
	sec := section{Heading: v.Language.say("What could not be read", "未能读取的内容"), Alarm: true}
	for _, u := range all {
		sec.Paras = append(sec.Paras, v.unread(u, k))
	}
	return sec
}

// unread says what could not be read and what a report therefore does not know.
func (v View) unread(u Unread, k Kind) string {
	l := v.Language
	n := 0
	for _, c := range u.Of {
		n += c.N
	}
	what := sourceWords[u.Source].in(l)
	if what == "" {
		what = clip(string(u.Source), 40)
	}
	var s string
	if u.Of != nil {
		s = l.sayf("WeCom does not show us %[1]s with these secrets: %[2]d "+plural(uint64(max(n, 0)), "user", "users")+" unknown", "以当前密钥，企业微信不向我们提供%[1]s：%[2]d 人未知", what, n)
		if via := clip(u.Via, 40); via != "" {
			s += l.sayf(" (asked with: %s)", "（所用密钥：%s）", via)
		}
	} else {
		s = l.sayf("Not read: %s", "未能读取：%s", what)
	}
	if !u.Since.IsZero() {
		s += l.sayf(", since %s", "，自 %s 起", v.at(u.Since))
	}
	if u.Code != 0 {
		s += l.sayf(" (WeCom answered %d)", "（企业微信应答 %d）", u.Code)
	}
	s += l.say(". ", "。")
	lack := lacking(u.Source, k)
	if u.Source == SourceDirectory && u.Since.IsZero() {
		lack = both{"who is there, and what happened to whom", "有哪些成员及其变化"} // since then is since never
	}
	if lack := lack.in(l); lack != "" {
		s += l.sayf("Therefore not known: %s.", "因此未知：%s。", lack)
	}
	if len(u.Openers) > 0 {
		var words []string
		for _, o := range u.Openers {
			if w := openerWords[o].in(l); w != "" {
				words = append(words, w)
			}
		}
		s += l.sayf(" It could be seen with: %s.", "可通过以下方式获取：%s。", strings.Join(words, l.say("; ", "；")))
	}
	return strings.TrimSpace(s)
}

var sourceWords = map[Source]both{
	SourceDirectory:  {"WeCom's directory", "企业微信通讯录"},
	SourceMobile:     {"mobile numbers", "手机号"},
	SourceEmail:      {"email addresses", "邮箱"},
	SourceDesignated: {"WeCom's list of users to archive", "企业微信存档名单"},
	SourceConsent:    {"who agreed to archiving", "客户同意情况"},
	SourceLedger:     {"our own account of messages", "本系统的消息账目"},
	SourceMessages:   {"WeCom's messages", "企业微信的消息"},
}

var openerWords = map[directory.Opener]both{
	directory.OldSync:       {"the contacts-sync secret, from an address that WeCom knew before 15 August 2022", "通讯录同步密钥（自 2022 年 8 月 15 日前企业微信已知的 IP 调用）"},
	directory.OldApp:        {"a self-built app made before 20 June 2022 that may see the user", "2022 年 6 月 20 日前创建且可见该成员的自建应用"},
	directory.AnyApp:        {"a self-built app that may see the user", "可见该成员的自建应用"},
	directory.ArchiveSecret: {"the secret of chat archiving", "会话内容存档密钥"},
	directory.OwnConsent:    {"the user's own consent on a page (which this version does not have yet)", "成员本人在授权页面同意（当前版本尚未提供）"},
	directory.HRFile:        {"the company's own file", "企业自有的人员文件"},
}

// lacking is what a report does not know without a source.
func lacking(s Source, k Kind) both {
	if s == SourceDirectory {
		switch k {
		case MissingMobile:
			return both{"whose number was lost, or is back, since then", "此后谁的手机号丢失或恢复"}
		case NumberChange:
			return both{"whose number changed since then", "此后谁的手机号发生变更"}
		case DeletedUsers:
			return both{"who left since then", "此后谁已离开"}
		case NewUsers:
			return both{"who joined since then", "此后谁新加入"}
		case MissingEmail:
			return both{"whose address was removed or changed since then", "此后谁的邮箱被删除或更改"}
		default:
			return both{"who is there, and who is captured", "有哪些成员，以及谁被存档"}
		}
	}
	switch s {
	case SourceMobile:
		if k == NumberChange {
			return both{"whether their numbers changed", "其手机号是否变更"}
		}
		return both{"whether they have a number, or lost it", "其是否有手机号或已丢失"}
	case SourceEmail:
		return both{"whether they have an address, or lost it", "其是否有邮箱或已丢失"}
	case SourceDesignated:
		return both{"whose messages are captured", "谁的消息被存档"}
	case SourceConsent:
		return both{"who agreed and who did not", "谁同意、谁不同意"}
	case SourceMessages:
		return both{"what was said since then: that nothing was handed out does not mean that there was nothing", "此后的消息：未交付不代表没有消息"}
	case SourceLedger:
		return both{"what was archived in this period", "本期存档了哪些内容"}
	default:
		return both{}
	}
}

// days is whole days between two times, if both are known.
func days(from, to time.Time) (int, bool) {
	if from.IsZero() || to.IsZero() {
		return 0, false
	}
	return max(int(to.Sub(from)/(24*time.Hour)), 0), true
}

func nDays(l Language, n int) string {
	return l.sayf("%d "+plural(uint64(max(n, 0)), "day", "days"), "%d 天", n)
}

func decimal(n int) string { return strconv.Itoa(n) }
