package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
)

// GroupsFacts is everything that a WeChat Groups Compliance Breach mail is made of: groups in which an external contact has not agreed to being archived,
// groups that have just ceased to be such, and, in the day's list, groups of which that can't be told.
type GroupsFacts struct {
	Corp  Corp
	Marks Marks
	Now   time.Time
	Daily bool // the day's list, not an alert

	Asked  time.Time // the end of the newest round in which WeCom was asked about all groups; zero: there was none yet
	Trying string    // why a newer round broke off: "errcode 301053"; "" if none did

	Groups []Group
	Rows   []GroupRow // which WeCom users are in which groups
}

// GroupRow is one WeCom user in one group.
type GroupRow struct {
	Group       int             // index in Groups
	ID          archive.PartyID // "": no member of ours is known to be in it
	Name        string          // "" if unknown
	Departments []int           // the last held ones, if the member is gone
}

// Group is one group with external contacts.
type Group struct {
	ID        archive.RoomID
	Name      string    // "" if it has none, or WeCom does not show it
	Entered   time.Time // when somebody of the company entered the name, which WeCom does not show; zero: it is WeCom's
	News      News
	FirstSeen time.Time // when the alarm began; zero: there is none
	Ended     time.Time // for Over
	Ending    Ending    // for Over
	Shown     bool      // WeCom shows who agreed in it
	Why       string    // for one that is not shown: what WeCom answered, "errcode 301059"; "" if it was not asked yet
	Contacts  []GroupContact

	// Of a group that WeCom does not show, the archive's own account.
	First, Last time.Time         // of its archived messages
	Archived    []archive.PartyID // who wrote or got them and is neither in Contacts nor a row, by id; mostly people of whom no name is known
}

// Ending is why a group is over.
type Ending string

// The endings. They are what functions/consent keeps as the detail of an alarm that is over.
const (
	EndAgreed    Ending = "agreed"
	EndLeft      Ending = "left"
	EndDismissed Ending = "dismissed"
)

// GroupContact is one external contact in a group.
type GroupContact struct {
	ID     archive.PartyID
	Name   string // "" if unknown
	Kind   archive.PartyKind
	State  consent.State
	Change consent.Change // to State; zero: since when is not known
	Left   bool           // WeCom's answer about the group left the contact out
	Unread time.Time      // since when WeCom no longer answers about the group: State is what it said last; zero: it does
}

// open says whether the group breaks the rule that everybody in it agrees.
func (g Group) open() bool {
	return g.News != Over && slices.ContainsFunc(g.Contacts, func(c GroupContact) bool { return c.State.Open() })
}

// Of is how many rows the facts have, and Row the departments that decide who may see one.
func (f GroupsFacts) Of() int { return len(f.Rows) }

// Row is the departments of the i-th row.
func (f GroupsFacts) Row(i int) []int { return f.Rows[i].Departments }

// Within is the facts as somebody may see them whose scope holds what holds says: the users in it, and the groups that one of them is in. f stays as it is.
func (f GroupsFacts) Within(holds func(departments []int) bool) GroupsFacts {
	var rows []int32
	for i := range f.Rows {
		if holds(f.Rows[i].Departments) {
			rows = append(rows, int32(i)) // #nosec G115 -- as many as a company has members in groups
		}
	}
	return f.Pick(rows, holds)
}

// Pick is Within for rows whose places are known already, ascending.
func (f GroupsFacts) Pick(rows []int32, holds func(departments []int) bool) GroupsFacts {
	all, part := f.Groups, !holds(nil)
	place := map[int]int{}
	picked := make([]GroupRow, 0, len(rows))
	f.Groups = nil
	for _, i := range rows {
		r := f.Rows[i]
		to, ok := place[r.Group]
		if !ok {
			g := all[r.Group]
			if part {
				// Colleagues outside the scope are not named by way of the archive's account either: who is not certainly from outside may be one.
				g.Archived = slices.DeleteFunc(slices.Clone(g.Archived), func(id archive.PartyID) bool { return archive.ParseKind(id) != archive.KindExternal })
			}
			to = len(f.Groups)
			place[r.Group] = to
			f.Groups = append(f.Groups, g)
		}
		r.Group = to
		picked = append(picked, r)
	}
	f.Rows = picked
	return f
}

// Quiet says that there is nothing to tell: WeCom answered about all groups of late, and no group is listed.
func (f GroupsFacts) Quiet() bool { return f.asked() && len(f.Groups) == 0 }

// asked says that WeCom answered about all groups within the period: who agreed, or refused, since is else not known.
func (f GroupsFacts) asked() bool {
	return f.Trying == "" && !f.Asked.IsZero() && (!f.Daily || !f.Asked.Before(f.Now.Add(-24*time.Hour)))
}

// How much of a long list a mail shows. Everything is in the day's list as long as it is read from top to bottom by people; beyond that it is counted.
const (
	fullGroups    = 8
	namedGroups   = 30
	namedContacts = 8
	namedUsers    = 4
)

// NewGroupsBreach builds R6 for one receiver's view. An alert is urgent if something began or changed. Equal arguments give equal bytes.
func NewGroupsBreach(f GroupsFacts, v View) (Mail, error) {
	if f.Now.IsZero() {
		return Mail{}, fmt.Errorf("build groups mail of corp %s: the time is missing", f.Corp.ID)
	}
	lt := groupsLetter(f, v)
	var attachments []Attachment
	if len(f.Groups) > 0 {
		var err error
		name := fileWord(GroupsBreach.Title(v.Language)) + "-" + fileWord(f.Corp.title()) + "-" + f.Now.UTC().Format("2006-01-02-1504")
		if attachments, err = groupsSheet(f, v, lt).files(name); err != nil {
			return Mail{}, fmt.Errorf("build the page of groups of corp %s: %w", f.Corp.ID, err)
		}
		lt.Sections = append(lt.Sections, section{Heading: v.Language.say("All rows", "全部记录"), Paras: attachedNote(v.Language, attachments)})
	}
	lt.Sections = append(lt.Sections, guide(v, "wechat-groups"))
	m, err := lt.mail()
	if err != nil {
		return Mail{}, fmt.Errorf("build groups mail of corp %s: %w", f.Corp.ID, err)
	}
	m.Kind, m.Attachments = GroupsBreach, attachments
	return m, nil
}

// seen is a group with the users of it whom the receiver may see.
type seen struct {
	Group
	users []GroupRow
}

func groupsLetter(f GroupsFacts, v View) letter {
	l := v.Language
	var open, over, defaults, dark []seen
	began, changed := 0, 0
	for i, g := range f.Groups {
		s := seen{Group: g}
		for _, r := range f.Rows {
			if r.Group == i && r.ID != "" {
				s.users = append(s.users, r)
			}
		}
		switch {
		case g.News == Over:
			over = append(over, s)
		case g.open():
			open = append(open, s)
			switch g.News {
			case Began:
				began++
			case Changed:
				changed++
			case Same, Over:
			}
		case !g.Shown:
			dark = append(dark, s)
		default:
			defaults = append(defaults, s)
		}
	}
	newest(open, func(s seen) time.Time { return s.FirstSeen })
	newest(over, func(s seen) time.Time { return s.Ended })
	newest(dark, func(s seen) time.Time { return s.Last })
	newest(defaults, func(seen) time.Time { return time.Time{} })

	lt := letter{View: v, Title: GroupsBreach.Title(l), Company: f.Corp.title(), Banners: f.Marks.banners(l), Urgent: !f.Daily && began+changed > 0}
	lt.Preheader = l.sayf("Open: %[1]d. Ended: %[2]d. Can't be looked up: %[3]d.", "未处理：%[1]d；已结束：%[2]d；无法查询：%[3]d。", len(open), len(over), len(dark))
	lead := news(open, over)
	switch {
	case f.Daily:
		state := l.sayf("open: %d", "未处理 %d 个", len(open))
		switch {
		case f.asked():
		case len(open) == 0:
			state = l.say("not known", "未知")
		default:
			state = l.join([]string{state, l.say("not all could be read", "部分内容未能读取")})
		}
		lt.Subject = v.subject(f.Corp, GroupsBreach, f.Now, state)
	case len(lead) == 0:
		lt.Subject = v.subject(f.Corp, GroupsBreach, f.Now, l.say("no group is open", "没有未处理的群"))
	default:
		matter := l.sayf("not everybody agreed in %s", "有人未同意存档：%s", lead[0].title(l))
		lt.Subject = v.alertSubject(f.Corp, GroupsBreach, lead[0].FirstSeen, matter, lead[0].News)
		if lead[0].News == Over {
			matter = lead[0].title(l)
		}
		lt.tell(lead[0].News, matter, len(lead)-1)
	}

	lt.Lead = append(lt.Lead, l.sayf("As of %s.", "截至 %s。", v.at(f.Now)))
	switch {
	case len(open) > 0:
		lt.Lead = append(lt.Lead, l.sayf("Groups in which somebody has refused to be archived, or has not agreed yet: %[1]d, of which new: %[2]d, changed: %[3]d. Ended: %[4]d.",
			"存在不同意或尚未同意存档的外部联系人的群：%[1]d 个，其中新增 %[2]d 个、有变化 %[3]d 个；已结束 %[4]d 个。", len(open), began, changed, len(over)))
	case len(over) > 0:
		lt.Lead = append(lt.Lead, l.say("It is over: in no group that we can look up is anybody left who has not agreed.", "已结束：在可查询的群中，已没有未同意存档的人。"))
	default:
		lt.Lead = append(lt.Lead, l.say("In no group that we can look up is anybody who has not agreed.", "在可查询的群中，没有未同意存档的人。"))
	}
	switch {
	case f.Asked.IsZero():
		lt.Lead = append(lt.Lead, l.say("WeCom has not answered about all groups yet: there may be more.", "企业微信尚未就全部群作出应答：可能还有其他群。"))
	default:
		lt.Lead = append(lt.Lead, l.sayf("WeCom last answered about all groups at %s.", "企业微信最近一次就全部群作出应答：%s。", v.at(f.Asked)))
	}
	if f.Trying != "" {
		lt.Lead = append(lt.Lead, l.sayf("Since then it could not be asked about all of them (%s): what changed after that is not known.",
			"此后未能查询全部群（%s）：其后的变化未知。", clip(f.Trying, 60)))
	} else if !f.asked() && !f.Asked.IsZero() {
		lt.Lead = append(lt.Lead, l.say("Since then it was not asked about all of them again: what changed after that is not known.", "此后未再查询全部群：其后的变化未知。"))
	}
	if len(open) > 0 {
		lt.Lead = append(lt.Lead, l.say("Those who have not agreed can still read and write in the group; what they write is not archived. How many messages that is, nobody can tell: WeCom does not count them.",
			"不同意的人仍可在群内收发消息，但其发出的消息不会存档。数量未知：企业微信不提供统计。"))
	}
	for i, s := range open {
		if i == fullGroups {
			lt.Sections = append(lt.Sections, s.rest(open[i:], v))
			break
		}
		lt.Sections = append(lt.Sections, s.section(f, v))
	}
	if len(open) > 0 {
		lt.Sections = append(lt.Sections, section{Heading: l.say("What to do", "如何处理"), Steps: []step{
			{Text: l.say("Ask the people named above to accept archiving in WeChat, where WeCom asked them.", "请上述人员在微信中接受企业微信的存档询问。")},
			{Text: l.say("If they don't want to: remove them from the group, or leave it and talk where everybody has agreed.", "如其不愿意：将其移出群，或退出该群并在所有人均已同意的会话中沟通。")},
			{Text: l.say("Nothing has to be done in WeCom Vault: the alert closes itself when WeCom says that everybody has agreed, or that they have left.",
				"无需在 WeCom Vault 中操作：当企业微信显示所有人均已同意或已退群时，提醒将自动结束。")},
		}})
	}
	for i, s := range over {
		if i == fullGroups {
			lt.Sections = append(lt.Sections, s.rest(over[i:], v))
			break
		}
		lt.Sections = append(lt.Sections, s.ended(v))
	}
	if len(dark) > 0 {
		lt.Sections = append(lt.Sections, darkSection(dark, f.Corp, v))
	}
	if len(defaults) > 0 {
		lt.Sections = append(lt.Sections, defaultSection(defaults, v))
	}
	if !f.Daily {
		for _, want := range []News{Began, Changed, Over} {
			for _, s := range append(slices.Clone(open), over...) {
				if s.News == want {
					lt.inThread(s.thread(f.Corp.ID))
				}
			}
		}
	}
	return lt
}

// news is the groups that an alert is about: those of which the newest is to be told, or else what is open, or what has ended.
func news(open, over []seen) []seen {
	var lead []seen
	for _, want := range []News{Began, Changed} {
		for _, s := range open {
			if s.News == want {
				lead = append(lead, s)
			}
		}
	}
	switch {
	case len(lead) > 0:
		return lead
	case len(over) > 0:
		return over
	default:
		return open
	}
}

func newest(list []seen, at func(seen) time.Time) {
	slices.SortStableFunc(list, func(a, b seen) int {
		if c := at(b).Compare(at(a)); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
}

// title names a group in a line.
func (g Group) title(l Language) string {
	if name := clip(g.Name, 40); name != "" {
		return l.sayf("“%s”", "“%s”", name)
	}
	return l.sayf("a group without a name (%s)", "无名称的群（%s）", clip(string(g.ID), 64))
}

// heading is title where a line begins with it.
func (g Group) heading(l Language) string {
	if rest, without := strings.CutPrefix(g.title(l), "a "); without {
		return "A " + rest
	}
	return g.title(l)
}

// thread is the same for all mails about one alarm, from its beginning to its end.
func (g Group) thread(corp archive.CorpID) string {
	return "alert-" + ID(string(corp), string(GroupsBreach), string(g.ID), strconv.FormatInt(g.FirstSeen.Unix(), 10))
}

func (s seen) section(f GroupsFacts, v View) section {
	l := v.Language
	sec := section{Heading: s.heading(l), Alarm: true}
	switch s.News {
	case Began:
		sec.Heading = l.say("New: ", "新增：") + s.title(l)
	case Changed:
		sec.Heading = l.say("Changed: ", "有变化：") + s.title(l)
	case Same, Over:
	}
	sec.Facts = append(sec.Facts, pair{l.say("Group", "群"), s.name(l)}, pair{l.say("WeCom users", "企业微信用户"), s.usersText(l)})
	shown := 0
	for _, c := range s.Contacts {
		if !c.State.Open() {
			continue
		}
		if shown++; shown > namedContacts {
			continue
		}
		kind, name := c.who(l)
		sec.Facts = append(sec.Facts, pair{kind, name + l.say(": ", "：") + c.text(v)})
	}
	if shown > namedContacts {
		sec.Facts = append(sec.Facts, pair{l.say("Further contacts", "其他联系人"), l.sayf("%d more have not agreed", "另有 %d 人未同意", shown-namedContacts)})
	}
	if n := s.count(consent.Default); n > 0 {
		sec.Facts = append(sec.Facts, pair{l.say("Agreed by default", "默认同意"), l.sayf("%d: neither asked nor refused; not counted as consent", "%d 人：未被询问也未拒绝；不计为同意", n)})
	}
	if !s.Shown {
		sec.Facts = append(sec.Facts, s.account(v)...)
	}
	sec.Facts = append(sec.Facts,
		pair{l.say("Alert since", "提醒开始"), v.at(s.FirstSeen)},
		pair{l.say("Messages that were not archived", "未存档的消息"), l.say("not known", "未知")})
	return sec
}

func (s seen) count(state consent.State) int {
	n := 0
	for _, c := range s.Contacts {
		if c.State == state {
			n++
		}
	}
	return n
}

// name is the group as the list has it: its name and its id, or why there is no name.
func (g Group) name(l Language) string {
	id := clip(string(g.ID), 64)
	if name := clip(g.Name, 80); name != "" {
		return name + g.entered(l) + " (" + id + ")"
	}
	if g.Shown {
		return l.sayf("has no name (%s)", "无名称（%s）", id)
	}
	return l.sayf("name not shown to us (%s)", "名称不可见（%s）", id)
}

// entered marks a name that is not WeCom's.
func (g Group) entered(l Language) string {
	if g.Entered.IsZero() {
		return ""
	}
	return l.sayf(" [name entered by an admin on %s]", "［名称由管理员于 %s 录入］", g.Entered.UTC().Format("2006-01-02"))
}

func (s seen) usersText(l Language) string {
	var words []string
	for i, r := range s.users {
		if i == namedUsers {
			words = append(words, l.sayf("%d more", "另 %d 人", len(s.users)-i))
			break
		}
		name := clip(r.Name, 40)
		if name == "" {
			name = l.say("name unknown", "姓名未知")
		}
		words = append(words, name+" ("+clip(string(r.ID), 64)+")")
	}
	if len(words) == 0 {
		return l.say("not known", "未知")
	}
	return l.join(words)
}

// who is an external contact as the list names it: of what kind, and name and id, which are too long for the narrow column.
func (c GroupContact) who(l Language) (kind, name string) {
	kind = l.say("WeChat user", "微信用户")
	switch c.Kind {
	case archive.KindCompany:
		kind = l.say("User of another company", "其他企业用户")
	case archive.KindWeChat:
	default:
		kind = l.say("External contact", "外部联系人")
	}
	if name = clip(c.Name, 40); name == "" {
		name = l.say("name unknown", "姓名未知")
	}
	return kind, name + " (" + clip(string(c.ID), 64) + ")"
}

// text is where a contact stands, and since when.
func (c GroupContact) text(v View) string {
	l := v.Language
	var s string
	switch {
	case c.State == consent.Disagreed:
		s = l.say("disagreed", "不同意")
	case c.Left:
		s = l.say("has not agreed yet: in the group, and not in WeCom's answer", "尚未同意：在群内，但不在企业微信的应答中")
	default:
		s = l.say("has not agreed yet", "尚未同意")
	}
	s += l.say(", ", "，") + since(c.Change, v)
	if !c.Unread.IsZero() {
		s += l.sayf("; WeCom has not answered since %s: this is what it said last", "；自 %s 起企业微信不再应答，此为最近一次的状态", v.at(c.Unread))
	}
	return s
}

// since says when a state began, as far as that is known.
func since(c consent.Change, v View) string {
	l := v.Language
	switch {
	case !c.At.IsZero() && c.Source == consent.Message:
		return l.sayf("since %s (by a message)", "自 %s（据消息）", v.at(c.At))
	case !c.At.IsZero():
		return l.sayf("since %s (by WeCom's word)", "自 %s（据企业微信）", v.at(c.At))
	case !c.After.IsZero():
		return l.sayf("since some time between %[1]s and %[2]s", "自 %[1]s 至 %[2]s 之间", v.at(c.After), v.at(c.By))
	case !c.By.IsZero():
		return l.sayf("by %s; since when is not known", "不晚于 %s；起始时间未知", v.at(c.By))
	default:
		return l.say("since when is not known", "起始时间未知")
	}
}

// account is what the archive tells of a group that WeCom does not show.
func (s seen) account(v View) []pair {
	l := v.Language
	facts := []pair{
		{l.say("Why there is no name", "为何没有名称"), l.sayf("WeCom shows us nothing of this group%s. Most often it was started in WeChat, or by another company.",
			"企业微信不向我们提供该群的信息%s。最常见：该群在微信中或由其他企业创建。", s.because(l))},
		{l.say("First archived message", "最早的存档消息"), v.at(s.First)},
		{l.say("Last archived message", "最近的存档消息"), v.at(s.Last)},
	}
	if len(s.Archived) > 0 {
		facts = append(facts, pair{l.say("Others in archived messages", "存档消息中的其他人"), idsText(s.Archived, l)})
	}
	return facts
}

func (g Group) because(l Language) string {
	if w := clip(g.Why, 60); w != "" {
		return l.sayf(" (%s)", "（%s）", w)
	}
	return ""
}

func idsText(ids []archive.PartyID, l Language) string {
	var words []string
	for i, id := range ids {
		if i == namedUsers {
			words = append(words, l.sayf("%d more", "另 %d 人", len(ids)-i))
			break
		}
		words = append(words, clip(string(id), 64))
	}
	return l.join(words)
}

func (s seen) ended(v View) section {
	l := v.Language
	why := l.say("everybody has agreed", "所有人均已同意")
	switch s.Ending {
	case EndLeft:
		why = l.say("those who had not agreed are no longer in the group", "未同意的人已不在群内")
	case EndDismissed:
		why = l.say("the group was dismissed", "群已解散")
	case EndAgreed:
	}
	return section{Heading: l.say("Over: ", "已结束：") + s.title(l), Good: true, Facts: []pair{
		{l.say("Group", "群"), s.name(l)},
		{l.say("WeCom users", "企业微信用户"), s.usersText(l)},
		{l.say("Why", "原因"), why},
		{l.say("Alert since", "提醒开始"), v.at(s.FirstSeen)},
		{l.say("Ended", "结束时间"), v.at(s.Ended)},
		{l.say("Messages that were not archived", "未存档的消息"), l.say("not known", "未知")},
	}}
}

// rest lists what has no room for more than a line.
func (seen) rest(list []seen, v View) section {
	l := v.Language
	sec := section{Heading: l.sayf("%d more groups", "另有 %d 个群", len(list)), Alarm: list[0].News != Over}
	for i, s := range list {
		if i == namedGroups {
			sec.Paras = append(sec.Paras, l.sayf("The first %d are listed.", "仅列出前 %d 个。", namedGroups))
			break
		}
		sec.Facts = append(sec.Facts, pair{s.name(l), l.sayf("%[1]s; not agreed: %[2]d", "%[1]s；未同意：%[2]d 人", s.usersText(l), s.count(consent.Disagreed)+s.count(consent.NotYet))})
	}
	return sec
}

// darkSection lists the groups of which it can't be told who agreed.
func darkSection(list []seen, c Corp, v View) section {
	l := v.Language
	sec := section{
		Heading: l.sayf("Can't be looked up: %d", "无法查询：%d 个", len(list)),
		Paras: []string{l.say("WeCom does not show us who agreed in these groups, nor their names: most often they were started in WeChat, or by another company. Whether everybody agreed there is not known, and is not taken for a yes.",
			"企业微信不向我们提供这些群的同意情况和名称：最常见是在微信中或由其他企业创建。是否所有人均已同意未知，不视为同意。")},
		Table: &table{Head: []string{l.say("Group", "群"), l.say("What is known", "已知信息")}},
	}
	for i, s := range list {
		if i == namedGroups {
			sec.Paras = append(sec.Paras, l.sayf("The %d with the newest messages are listed.", "仅列出消息最新的 %d 个。", namedGroups))
			break
		}
		known := l.sayf("WeCom users: %[1]s. Archived messages from %[2]s to %[3]s", "企业微信用户：%[1]s。存档消息自 %[2]s 至 %[3]s", s.usersText(l), v.at(s.First), v.at(s.Last))
		if n := len(s.Contacts) + len(s.Archived); n > 0 {
			var ids []archive.PartyID
			for _, c := range s.Contacts {
				ids = append(ids, c.ID)
			}
			known += l.sayf(". Others in them: %s", "。其中的其他人：%s", idsText(append(ids, s.Archived...), l))
		}
		if w := clip(s.Why, 60); w != "" {
			known += l.sayf(". WeCom answered %s", "。企业微信应答 %s", w)
		}
		sec.Table.Rows = append(sec.Table.Rows, []cell{{Text: s.name(l)}, {Text: known}})
	}
	if slices.ContainsFunc(list, func(s seen) bool { return s.Name == "" }) {
		sec.Steps = []step{{
			Text:    l.say("An admin may enter a name for such a group; reports then show it, and say that it was entered:", "管理员可为此类群录入名称，报告会显示并注明为录入："),
			Command: "vaultctl rooms name -corp " + shellWord(string(c.ID)) + " -room ROOMID -name NAME",
		}}
	}
	return sec
}

// defaultSection lists the groups in which nobody refused and somebody was never asked.
func defaultSection(list []seen, v View) section {
	l := v.Language
	sec := section{
		Heading: l.sayf("Agreed by default: %d", "默认同意：%d 个", len(list)),
		Paras: []string{l.say("In these groups nobody refused; the contacts named were never asked or never answered. WeCom archives them by the company's settings. That is nobody's yes.",
			"这些群中无人拒绝；所列联系人未被询问或未答复。企业微信按企业设置对其存档，但这不等于同意。")},
		Table: &table{Head: []string{l.say("Group", "群"), l.say("Who", "人员")}},
	}
	for i, s := range list {
		if i == namedGroups {
			sec.Paras = append(sec.Paras, l.sayf("The first %d are listed.", "仅列出前 %d 个。", namedGroups))
			break
		}
		var words []string
		for _, c := range s.Contacts {
			if c.State != consent.Default {
				continue
			}
			if len(words) == namedUsers {
				words = append(words, l.sayf("%d in all", "共 %d 人", s.count(consent.Default)))
				break
			}
			name := clip(c.Name, 40)
			if name == "" {
				name = clip(string(c.ID), 64)
			}
			words = append(words, name)
		}
		sec.Table.Rows = append(sec.Table.Rows, []cell{{Text: s.name(l)}, {Text: l.join(words)}})
	}
	return sec
}
