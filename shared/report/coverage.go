package report

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// CoverageFacts is everything that R12 is made of: what is not captured and should be, what changed about consent, which attachments are lost or soon
// will be; and, for who receives reports of the whole company, the account of every seq, the seats and what is set aside.
type CoverageFacts struct {
	Corp     Corp          `json:"corp"`
	Marks    Marks         `json:"marks"`
	Day      time.Time     `json:"day"`
	Snapshot time.Time     `json:"snapshot,omitzero"`
	Rows     []CoverageRow `json:"rows,omitempty"`
	Unread   []Unread      `json:"unread,omitempty"`
	Company  *Company      `json:"company,omitempty"`  // nil in a part of the company
	Part     bool          `json:"part,omitempty"`     // it is a part of the company
	Unlisted uint64        `json:"unlisted,omitempty"` // changes of consent, of the whole company, that have no row: there were too many
	Reported []Reported    `json:"reported"`           // what this report and those before it told, and a later one may come upon again; nil: written by a version that did not keep it
}

// Heard is which changes and losses were told by this report or before it.
func (f CoverageFacts) Heard() []Reported { return f.Reported }

// Lack is what a row of R12 is about. The values are stable.
type Lack string

// What a row can be about.
const (
	LackSilent        Lack = "silent"         // designated and activated, and nothing archived
	LackDropped       Lack = "dropped"        // archived before, no longer designated
	LackBeyondSeats   Lack = "beyond-seats"   // on the list, but there are fewer seats than users on it
	LackNotDesignated Lack = "not-designated" // activated, should be designated by the company's own rule, and is not
	ConsentChange     Lack = "consent"        // an external contact agreed, refused or withdrew
	MediaExpiring     Lack = "media-expiring" // an attachment is not in yet, and its window ends soon
	MediaGone         Lack = "media-lost"     // an attachment is lost
)

// CoverageRow is one thing that is not covered, or changed. Its person is the member concerned: of consent the one who has the contact, of an attachment the
// one who sent or got it.
type CoverageRow struct {
	Person
	What  Lack          `json:"what"`
	When  Between       `json:"when,omitzero"`
	Last  time.Time     `json:"last,omitzero"`  // LackSilent, LackDropped: the last archived message; zero: none
	With  string        `json:"with,omitempty"` // consent: the external contact, by name or id; attachments: the sender, "" if not known
	File  string        `json:"file,omitempty"` // attachments: the file's name in the ledger, which the operator finds it by
	Old   string        `json:"old,omitempty"`  // consent: the states as shared/consent has them; "" is unknown
	New   string        `json:"new,omitempty"`
	MsgID archive.MsgID `json:"msgid,omitempty"`
	Ends  time.Time     `json:"ends,omitzero"`  // MediaExpiring: when the window ends
	Why   string        `json:"why,omitempty"`  // MediaGone: the reason, a short word of ours
	Late  bool          `json:"late,omitempty"` // ConsentChange, MediaGone: of an earlier day, and known only now
}

// Company is the part of R12 that is no count of rows.
type Company struct {
	Capture   *Capture    `json:"capture,omitempty"`   // nil: not known
	Account   *Account    `json:"account,omitempty"`   // nil: not known
	Seats     *Seats      `json:"seats,omitempty"`     // nil: not entered
	Trend     []DayOf     `json:"trend,omitempty"`     // the last days, the oldest first
	Expiring  uint64      `json:"expiring,omitempty"`  // attachments whose window ends soon: rows tell of the first ones
	Unreached []Unreached `json:"unreached,omitempty"` // receivers to whom reports should go and can't, or whose department is gone
	Unsent    []Unsent    `json:"unsent,omitempty"`    // mails and messages in WeCom that were given up, and that nobody has settled
}

// Unreached is a receiver of reports whom something of them does not reach.
type Unreached struct {
	Name   string          `json:"name,omitempty"`
	ID     archive.PartyID `json:"id,omitempty"`     // of a head of department
	Places []string        `json:"places,omitempty"` // names of the departments concerned
	Why    Unreachable     `json:"why"`
}

// Unreachable is why. The values are stable.
type Unreachable string

// Why something does not reach a receiver.
const (
	UnreachableUnknown Unreachable = "unknown"         // WeCom shows no record of this head of department
	UnreachableHidden  Unreachable = "hidden"          // WeCom does not show an address of this head of department
	UnreachableNone    Unreachable = "no-address"      // this head of department has none
	UnreachableBad     Unreachable = "unusable"        // no mail can go there
	DepartmentGone     Unreachable = "department-gone" // the receiver's department is not there any more
)

// Account is the day's account of every seq that WeCom handed out.
type Account struct {
	First  archive.Seq `json:"first"` // 0: none was handed out
	Last   archive.Seq `json:"last"`
	Jumps  []Jump      `json:"jumps,omitempty"`  // seqs between batches that WeCom did not hand out
	Inside uint64      `json:"inside,omitempty"` // how many it left out within batches; the batches themselves say which
	Chain  uint64      `json:"chain"`            // place of the newest batch in the corp's chain
	Root   string      `json:"root,omitempty"`   // the chain's hash there: 64 hex digits
}

// Handed is a batch as WeCom handed it out: its first and last seq, and how many items it holds.
type Handed struct {
	First, Last archive.Seq
	Items       uint64
}

// AccountOf makes the account of a day's batches, given in any order. Overlapping batches are legal, and their jumps are those of both together; what is left out
// within a batch that overlaps another may be counted twice. before is the last seq handed out earlier, 0 if there is none: a jump
// from it to the first batch belongs to this day.
func AccountOf(before archive.Seq, batches []Handed) Account {
	batches = slices.Clone(batches)
	slices.SortFunc(batches, func(a, b Handed) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last)) })
	var a Account
	last := before
	for _, b := range batches {
		if b.First == 0 || b.Last < b.First {
			continue // an empty batch
		}
		if a.First == 0 {
			a.First = b.First
		}
		if last != 0 && b.First > last+1 {
			a.Jumps = append(a.Jumps, Jump{From: last + 1, To: b.First - 1})
		}
		if span := uint64(b.Last-b.First) + 1; span > b.Items {
			a.Inside += span - b.Items
		}
		last = max(last, b.Last)
		a.Last = max(a.Last, b.Last)
	}
	return a
}

// CoverageGaps makes the rows of users who are not captured, of what R1 knows of the same day: those who are activated and designated for some days without anything
// archived, and those who were archived and are no longer designated.
func CoverageGaps(users []User, day time.Time) []CoverageRow {
	var rows []CoverageRow
	for _, u := range users {
		for _, p := range u.wrong(day, false) {
			r := CoverageRow{Person: Person{ID: u.ID, Name: u.Name, Departments: u.In, Places: u.Departments}, Last: u.LastArchived}
			switch p {
			case wrongNothingYet:
				r.What = LackSilent
			case wrongDropped:
				r.What = LackDropped
			default:
				continue
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// Jump is a gap in the seqs that WeCom handed out, both ends included. It is neither loss nor proof of none.
type Jump struct {
	From archive.Seq `json:"from"`
	To   archive.Seq `json:"to"`
}

// Seats is what was bought from WeCom, as it was entered: no API tells it.
type Seats struct {
	Edition string    `json:"edition,omitempty"`
	Bought  Quantity  `json:"bought"`
	Used    Quantity  `json:"used"`         // users on WeCom's list
	End     time.Time `json:"end,omitzero"` // the last day, at 00:00 UTC
}

// DayOf is how many messages were archived in the 24 hours before a noon, and how many of the users on WeCom's list had something archived by then.
type DayOf struct {
	Day      time.Time `json:"day"`
	Archived Quantity  `json:"archived"`
	Covered  Quantity  `json:"covered,omitzero"`
	Listed   Quantity  `json:"listed,omitzero"`
}

// Of is how many rows there are.
func (f CoverageFacts) Of() int { return len(f.Rows) }

// Row is the departments of the i-th row.
func (f CoverageFacts) Row(i int) []int { return f.Rows[i].Departments }

// Pick is Within for rows whose places are known already, ascending.
func (f CoverageFacts) Pick(rows []int32, holds func(departments []int) bool) CoverageFacts {
	f.Rows, f.Unread = picked(f.Rows, rows), unreadWithin(f.Unread, holds)
	if !holds(nil) {
		f.Company, f.Part = nil, true
	}
	return f
}

// Within is the facts as somebody may see them whose scope holds what holds says: what is company-wide goes to the whole company's scope alone. f stays
// as it is.
func (f CoverageFacts) Within(holds func(departments []int) bool) CoverageFacts {
	return f.Pick(within(f.Of(), f.Row, holds), holds)
}

// Quiet says that there is nothing to tell, and that this is known.
func (f CoverageFacts) Quiet() bool {
	if len(f.Rows)+len(f.Unread) > 0 || f.Unlisted > 0 || f.Snapshot.IsZero() {
		return false
	}
	return f.Part || f.Company != nil && f.Company.quiet()
}

func (c Company) quiet() bool {
	k := c.Capture
	return k != nil && k.Archived == k.Handed && len(k.SetAsideOpen) == 0 && k.MediaLost == 0 && c.Account != nil && len(c.Account.Jumps) == 0 && c.Account.Inside == 0 && !c.Seats.short() &&
		len(c.Unreached)+len(c.Unsent) == 0
}

// trouble is what of the company's part belongs into the subject.
func (c *Company) trouble(l Language, media bool) []string {
	if c == nil || c.Capture == nil || c.Account == nil {
		return []string{l.say("account not known", "账目未知")}
	}
	var out []string
	k := c.Capture
	if k.Archived+k.SetAside+k.Pending != k.Handed {
		out = append(out, l.say("NOT ALL ACCOUNTED FOR", "账目不符"))
	}
	var aside, lost uint64
	if !media { // else the rows say so
		lost = k.MediaLost
	}
	for _, r := range k.SetAsideOpen {
		aside += r.N
	}
	for _, n := range []struct {
		n      uint64
		en, zh string
	}{{aside, "set aside: %d", "搁置 %d"}, {lost, "attachments lost: %d", "附件丢失 %d"}} {
		if n.n > 0 {
			out = append(out, l.sayf(n.en, n.zh, n.n))
		}
	}
	if c.Seats.short() {
		out = append(out, l.say("too few seats", "人数不足"))
	}
	if n := len(c.Unreached); n > 0 {
		out = append(out, l.sayf("receivers not reached: %d", "无法送达的接收人 %d", n))
	}
	told := inWeCom(c.Unsent)
	if n := len(c.Unsent) - told; n > 0 {
		out = append(out, l.sayf("mails never sent: %d", "未发出的邮件 %d", n))
	}
	if told > 0 {
		out = append(out, l.sayf("messages in WeCom never sent: %d", "未发出的企业微信消息 %d", told))
	}
	return out
}

// short says that more users are on the list than there are seats.
func (s *Seats) short() bool {
	return s != nil && s.Bought.Known && s.Used.Known && s.Used.N > s.Bought.N
}

// consentWord is a state of consent in words. Unknown is not agreed.
func consentWord(l Language, state string) string {
	switch state {
	case "agree":
		return l.say("agreed", "同意")
	case "disagree":
		return l.say("refused", "不同意")
	case "default":
		return l.say("agreed by default", "默认同意")
	case "not-yet":
		return l.say("not answered yet", "尚未表态")
	default:
		return l.say("not known", "未知")
	}
}

// lack says what a row is about.
func (v View) lack(r CoverageRow, day time.Time) string {
	l := v.Language
	with := clip(r.With, nameRunes)
	if with == "" {
		with = l.say("(name not known)", "（名称未知）")
	}
	switch r.What {
	case LackSilent:
		s := l.say("designated and activated, nothing archived yet", "已列入名单且已激活，尚未存档任何消息")
		if !r.Last.IsZero() {
			s = l.sayf("designated and activated, nothing archived since %s", "已列入名单且已激活，自 %s 起未存档消息", v.at(r.Last))
		}
		return s + l.say("; whether there were messages is not known", "；是否有消息未知")
	case LackDropped:
		s := l.say("no longer designated: not captured", "已不在存档名单中：不再存档")
		if !r.Last.IsZero() {
			s += l.sayf("; last archived %s", "；最后存档于 %s", v.at(r.Last))
		}
		return s
	case LackBeyondSeats:
		return l.say("beyond the seats: WeCom drops such users without a word", "超出购买人数：企业微信会不作提示地忽略此类用户")
	case LackNotDesignated:
		return l.say("should be designated and is not: not captured", "应列入存档名单但未列入：不会存档")
	case ConsentChange:
		if r.Old == "" {
			return l.sayf("consent of %[1]s, known for the first time: %[2]s", "首次得知 %[1]s 的存档意愿：%[2]s", with, consentWord(l, r.New))
		}
		return l.sayf("consent of %[1]s: from %[2]s to %[3]s", "%[1]s 的存档意愿：由“%[2]s”变为“%[3]s”", with, consentWord(l, r.Old), consentWord(l, r.New))
	case MediaExpiring:
		if r.Ends.IsZero() {
			return l.sayf("%s is not in yet; how long it has waited is not known", "%s尚未下载；已等待多久未知", v.attachment(r))
		}
		n := max(int(r.Ends.Sub(day)/time.Hour), 0)
		return l.sayf("%[1]s is not in yet: at least %[2]d "+plural(uint64(n), "hour", "hours")+" left", "%[1]s尚未下载：至少剩余 %[2]d 小时", v.attachment(r), n)
	case MediaGone:
		s := l.sayf("%s is lost", "%s已丢失", v.attachment(r))
		if why := lostWords(l, r.Why); why != "" {
			s += l.say(": ", "：") + why
		}
		return s
	default:
		return clip(string(r.What), 60)
	}
}

// learnt says that a row is no change but the first that is known of somebody's consent.
func (r CoverageRow) learnt() bool { return r.What == ConsentChange && r.Old == "" }

// refusal says that a row tells of somebody who does not agree.
func (r CoverageRow) refusal() bool {
	return r.What == ConsentChange && (r.New == "disagree" || r.New == "not-yet")
}

// rank orders the rows by how soon somebody should act: a mail lists the first ones alone.
func (r CoverageRow) rank() int {
	switch {
	case r.What == MediaExpiring:
		return 0
	case r.What == MediaGone:
		return 3
	case r.refusal():
		return 2
	case r.learnt():
		return 5
	case r.What == ConsentChange:
		return 4
	default:
		return 1 // somebody is not captured
	}
}

// attachment names an attachment by who sent it, or else as the operator finds it.
func (v View) attachment(r CoverageRow) string {
	l := v.Language
	switch with, file := clip(r.With, nameRunes), clip(r.File, 16); {
	case with != "":
		return l.sayf("attachment from %s", "来自 %s 的附件", with)
	case file != "":
		return l.sayf("attachment %s (whose is not known here)", "附件 %s（发送人在此未知）", file)
	default:
		return l.say("attachment from (name not known)", "来自（名称未知）的附件")
	}
}

// NewCoverage builds R12. Equal arguments give equal bytes.
func NewCoverage(f CoverageFacts, v View) (Mail, error) {
	l := v.Language
	what := func(want ...Lack) func(CoverageRow) answer {
		return func(r CoverageRow) answer {
			for _, w := range want {
				if r.What == w {
					return yes
				}
			}
			return no
		}
	}
	var gaps, consents, learnt, media int
	for _, r := range f.Rows {
		switch {
		case r.learnt():
			learnt++
		case r.What == ConsentChange:
			consents++
		case r.What == MediaExpiring, r.What == MediaGone:
			media++
		default:
			gaps++
		}
	}
	var news []string
	for _, n := range []struct {
		n      int
		en, zh string
	}{{gaps, "gaps: %d", "未覆盖 %d"}, {consents, "consent changes: %d", "意愿变更 %d"}, {media, "attachments at risk or lost: %d", "附件风险或丢失 %d"}, {learnt, "consent first known: %d", "首次得知意愿 %d"}} {
		if n.n > 0 {
			news = append(news, l.sayf(n.en, n.zh, n.n))
		}
	}
	x := listing[CoverageRow]{
		kind: Coverage, corp: f.Corp, marks: f.Marks, day: f.Day, snapshot: f.Snapshot, period: true, unread: f.Unread, view: v,
		rows: f.Rows, person: func(r CoverageRow) Person { return r.Person }, noun: nounRows, guide: "coverage",
		news:    l.join(news),
		quiet:   l.say("No gap, no change of consent and no attachment at risk, as far as can be seen from here.", "从已知数据看，没有未覆盖的用户、意愿变更或附件风险。"),
		heading: l.say("What is not covered, and what changed", "未覆盖及变更"),
		whom:    l.say("User or group", "用户或群"),
		head:    l.say("What", "内容"),
		rank:    CoverageRow.rank,
		tallies: []tally[CoverageRow]{
			{key: "s", en: "Active, nothing archived", zh: "已激活但无存档", holds: what(LackSilent), alarm: true},
			{key: "d", en: "No longer designated", zh: "已不在存档名单中", holds: what(LackDropped), alarm: true},
			{key: "b", en: "Beyond the seats", zh: "超出购买人数", holds: what(LackBeyondSeats), alarm: true},
			{key: "n", en: "Should be designated", zh: "应列入存档名单", holds: what(LackNotDesignated)},
			{key: "c", en: "Consent changed", zh: "意愿变更", holds: func(r CoverageRow) answer { return is(r.What == ConsentChange && !r.learnt()) }},
			{key: "k", en: "Consent known for the first time", zh: "首次得知意愿", holds: func(r CoverageRow) answer { return is(r.learnt()) }},
			{key: "e", en: "Attachment expires soon", zh: "附件即将过期", holds: what(MediaExpiring), alarm: true},
			{key: "l", en: "Attachment lost", zh: "附件已丢失", holds: what(MediaGone), alarm: true},
		},
		columns: []column{
			{head: l.say("When (UTC)", "时间 (UTC)"), width: 175},
			{head: l.say("Other party", "对方"), width: 170, free: true},
			{head: l.say("Last archived (UTC)", "最后存档 (UTC)"), width: 145},
			{head: l.say("Window ends (UTC)", "窗口结束 (UTC)"), width: 145},
			{head: "msgid", width: 160, free: true},
			{head: l.say("What", "内容"), alarm: true},
		},
		cells: func(r CoverageRow) []sheetCell {
			optional := func(t time.Time) sheetCell {
				if t.IsZero() {
					return text("")
				}
				return v.moment(t)
			}
			return []sheetCell{
				v.betweenCell(r.When), text(clip(r.With, nameRunes)), optional(r.Last), optional(r.Ends), text(clip(string(r.MsgID), nameRunes)), text(v.lack(r, f.Day) + lateMark(l, r.Late)),
			}
		},
		brief: func(r CoverageRow) cell {
			c := cell{Text: v.lack(r, f.Day) + lateMark(l, r.Late)}
			if !r.When.By.IsZero() {
				c.Small = v.between(r.When)
			}
			return c
		},
	}
	// Nothing finds these out yet: WeCom does not say who is beyond the seats, and no rule says who should be designated. A 0 would be made up.
	x.tallies = slices.DeleteFunc(x.tallies, func(t tally[CoverageRow]) bool {
		return (t.key == "b" || t.key == "n") && !slices.ContainsFunc(f.Rows, func(r CoverageRow) bool { return t.holds(r) == yes })
	})
	if !f.Part {
		x.trouble = l.join(f.Company.trouble(l, media > 0))
	}
	x.lead = append(lateLine(l, f.Rows, func(r CoverageRow) bool { return r.Late }), f.unlisted(l)...)
	x.after = append([]section{v.steps(v.coverageSteps(f))}, v.company(f)...)
	return x.mail()
}

// unlisted says that not every change of consent has a row. How many have none is no count of the rows of a part.
func (f CoverageFacts) unlisted(l Language) []string {
	switch {
	case f.Unlisted == 0:
		return nil
	case f.Part:
		return []string{l.say("Not every change of consent has a row here: there were too many.", "意愿变更过多，此处未逐条列出。")}
	default:
		return []string{l.sayf("Changes of consent that have no row here, because there were too many: %d. Listed before others are those who had said something else, and those who have not agreed.",
			"意愿变更过多，另有 %d 条未在此列出；优先列出意愿有变者及未同意者。", f.Unlisted)}
	}
}

// company is the sections that are no count of rows.
func (v View) company(f CoverageFacts) []section {
	l := v.Language
	if f.Part {
		return []section{{Paras: []string{l.say("The account of messages, the seats and what is set aside are the whole company's: they go to those who receive its reports.",
			"消息账目、购买人数及搁置内容属于全公司，仅发送给接收全公司报告的人员。")}}}
	}
	c := f.Company
	if c == nil {
		c = &Company{}
	}
	capture := captureSection(UserStatusFacts{Day: f.Day, Capture: c.Capture}, v)
	if c.Expiring > 0 {
		capture.Facts = append(capture.Facts, pair{l.say("Attachments whose window ends soon", "窗口即将结束的附件"), strconv.FormatUint(c.Expiring, 10)})
	}
	return []section{v.account(c.Account), capture, v.unreached(c.Unreached), v.unsent(c.Unsent), v.seats(c.Seats, f.Day), v.covered(c.Trend), v.trend(c.Trend)}
}

// namedUnreached is how many receivers a mail lists whom no report reaches.
const namedUnreached = 30

// unreached lists the receivers whom something does not reach.
func (v View) unreached(all []Unreached) section {
	l := v.Language
	if len(all) == 0 {
		return section{}
	}
	sec := section{Heading: l.say("Receivers whom reports do not reach", "无法收到报告的接收人"), Alarm: true,
		Table: &table{Head: []string{l.say("Receiver", "接收人"), l.say("Why, and what to do", "原因及处理")}}}
	for i, u := range all {
		if i == namedUnreached {
			sec.Paras = append(sec.Paras, l.sayf("And %d more.", "另有 %d 人。", len(all)-i))
			break
		}
		who := cell{Text: clip(u.Name, 40), Small: clip(string(u.ID), 64)}
		if who.Text == "" {
			who.Text = l.say("name unknown", "姓名未知")
		}
		why := unreachableWords[u.Why].in(l)
		if why == "" {
			why = clip(string(u.Why), 60)
		}
		sec.Table.Rows = append(sec.Table.Rows, []cell{who, {Text: why, Small: v.departments(u.Places)}})
	}
	return sec
}

var unreachableWords = map[Unreachable]both{
	UnreachableUnknown: {"head of department of whom WeCom shows us no record: enter an address by hand, or let our secret see the member", "部门负责人，但企业微信未向我们提供其记录：请手动填写邮箱，或将其加入可见范围"},
	UnreachableHidden:  {"head of department whose email WeCom does not show us with the secrets we have: enter an address by hand", "部门负责人，以当前密钥企业微信不提供其邮箱：请手动填写邮箱"},
	UnreachableNone:    {"head of department without an email in WeCom: enter one there, or here by hand", "部门负责人，在企业微信中没有邮箱：请在企业微信中填写，或在此手动填写"},
	UnreachableBad:     {"head of department whose email in WeCom is no address that mail can go to: mend it there, or enter one here", "部门负责人，其企业微信邮箱无法投递：请在企业微信中更正，或在此填写"},
	DepartmentGone:     {"the receiver's department is not there any more, so it holds no rows: choose another one", "接收人所选部门已不存在，因此没有内容：请另选部门"},
}

// covered is how many of the users on WeCom's list had something archived, day by day.
func (v View) covered(all []DayOf) section {
	l := v.Language
	all = all[max(len(all)-trendDays, 0):]
	sec := section{Heading: l.say("Coverage: users on WeCom's list with something archived", "覆盖率：存档名单中已有存档内容的用户")}
	known := false
	for _, d := range all {
		words := l.say("not known", "未知")
		if d.Covered.Known && d.Listed.Known {
			known = true
			words = l.sayf("%[1]d of %[2]d", "%[2]d 人中 %[1]d 人", d.Covered.N, d.Listed.N)
		}
		sec.Bars = append(sec.Bars, bar{Label: d.Day.UTC().Format("2006-01-02"), Value: words, Line: words, Percent: share64(d.Covered.N, d.Listed.N)})
	}
	if !known {
		return section{}
	}
	return sec
}

// trendDays is how many days the bars show.
const trendDays = 14

// namedJumps is how many jumps a mail lists.
const namedJumps = 10

func (v View) account(a *Account) section {
	l := v.Language
	sec := section{Heading: l.say("Account of every seq", "逐条 seq 账目")}
	if a == nil {
		sec.Paras = []string{l.say("Not known: the account could not be read.", "未知：无法读取账目。")}
		return sec
	}
	seq := func(s archive.Seq) string { return strconv.FormatUint(uint64(s), 10) }
	if a.First == 0 && a.Last == 0 {
		sec.Paras = append(sec.Paras, l.say("WeCom handed out no message in this period.", "本期企业微信未交付任何消息。"))
	} else {
		sec.Facts = append(sec.Facts, pair{l.say("Seqs handed out", "交付的 seq"), l.sayf("%[1]s to %[2]s", "%[1]s 至 %[2]s", seq(a.First), seq(a.Last))},
			pair{l.say("Jumps between batches", "批次间跳号"), strconv.Itoa(len(a.Jumps))})
		for i, j := range a.Jumps {
			if i == namedJumps {
				sec.Facts = append(sec.Facts, pair{l.say("more jumps", "更多跳号"), strconv.Itoa(len(a.Jumps) - i)})
				break
			}
			s := seq(j.From)
			if j.To != j.From {
				s += l.say(" to ", " 至 ") + seq(j.To)
			}
			sec.Facts = append(sec.Facts, pair{l.say("not handed out", "未交付"), s})
		}
		sec.Facts = append(sec.Facts, pair{l.say("Left out within batches", "批次内未交付"), strconv.FormatUint(a.Inside, 10)})
		sec.Paras = append(sec.Paras, l.say("A jump is a seq that WeCom did not hand out: neither a loss nor a proof that there was none.", "跳号指企业微信未交付的 seq：既不代表丢失，也不能证明没有丢失。"))
	}
	if root := clip(a.Root, 64); root != "" {
		sec.Facts = append(sec.Facts, pair{l.sayf("Chain of batches, at batch %d", "批次链（第 %d 批）", a.Chain), root})
	}
	return sec
}

func (v View) seats(s *Seats, day time.Time) section {
	l := v.Language
	sec := section{Heading: l.say("Seats", "存档人数")}
	if s == nil {
		sec.Paras = []string{l.say("Not known: edition, seats and end date were not entered, and WeCom offers no way to read them.", "未知：尚未录入版本、人数和到期日，企业微信亦无可读取的接口。")}
		return sec
	}
	sec.Alarm = s.short()
	if e := clip(s.Edition, 60); e != "" {
		sec.Facts = append(sec.Facts, pair{l.say("Edition", "版本"), e})
	}
	sec.Facts = append(sec.Facts, pair{l.say("Bought", "已购买"), s.Bought.text(l)}, pair{l.say("On WeCom's list", "存档名单人数"), s.Used.text(l)})
	if s.short() {
		sec.Paras = append(sec.Paras, l.sayf("%d more users are on the list than there are seats: WeCom drops them without a word.", "名单超出购买人数 %d 人：企业微信会不作提示地忽略。", s.Used.N-s.Bought.N))
	}
	end := l.say("not entered", "未录入")
	if !s.End.IsZero() {
		end = s.End.UTC().Format("2006-01-02")
		// It is a day, and the service lasts until that is over.
		switch n := int(s.End.Sub(day.UTC().Truncate(24*time.Hour)) / (24 * time.Hour)); {
		case n > 0:
			end += l.sayf(" (in %s)", "（%s后）", nDays(l, n))
		case n == 0:
			end += l.say(" (today is the last day)", "（今日为最后一天）")
		default:
			end += l.say(" (over)", "（已到期）")
		}
	}
	sec.Facts = append(sec.Facts, pair{l.say("Service ends", "服务到期"), end})
	return sec
}

// trend is the messages of the last days as bars made of HTML.
func (v View) trend(all []DayOf) section {
	l := v.Language
	if len(all) == 0 {
		return section{}
	}
	all = all[max(len(all)-trendDays, 0):]
	var top uint64 = 1
	for _, d := range all {
		top = max(top, d.Archived.N)
	}
	sec := section{Heading: l.say("Archived each day", "每日存档量")}
	for _, d := range all {
		words := d.Archived.text(l)
		sec.Bars = append(sec.Bars, bar{Label: d.Day.UTC().Format("2006-01-02"), Value: words, Line: words, Percent: share64(d.Archived.N, top)})
	}
	return sec
}

func share64(n, top uint64) int {
	if n == 0 {
		return 0
	}
	return max(1, min(100, int(n*100/max(top, 1)))) // #nosec G115 -- at most 100
}
