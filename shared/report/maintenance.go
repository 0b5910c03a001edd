package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
)

// MaintenanceFacts is everything that an Account Maintenance mail is made of: all that is open for one corp, and what has just ended.
type MaintenanceFacts struct {
	Corp   Corp
	Marks  Marks
	Now    time.Time
	Daily  bool // the day's state for subscribers at noon, not an alert
	Alarms []Alarm

	Windows  Windows
	Messages Clock    // the corp's two clocks
	Media    Clock    //
	Egress   []string // our outgoing addresses
}

// News is what a mail tells of an alarm.
type News int

// What can be new about an alarm.
const (
	Same    News = iota // open, told before
	Began               // open, never told
	Changed             // open, told before, and worth telling again
	Over                // ended; told once
)

// Quantity is a number that may not be known. The zero value is unknown.
type Quantity struct {
	Known bool
	N     uint64
}

// Known is a quantity that is known.
func Known(n uint64) Quantity { return Quantity{Known: true, N: n} }

func (q Quantity) text(l Language) string {
	if !q.Known {
		return l.say("not known", "未知")
	}
	return strconv.FormatUint(q.N, 10)
}

// Alarm is one cause, open or just over. Fields that the cause does not use stay zero.
type Alarm struct {
	Cause     Cause
	News      News
	FirstSeen time.Time
	LastSeen  time.Time
	Ended     time.Time // for Over

	Messages    Quantity // messages affected
	Attachments Quantity // attachments affected, for causes about attachments
	Receivers   Quantity // receivers affected, for causes about mails
	Loss        Clock    // what the cause puts at risk leaves WeCom's window then; messages or attachments, as the cause has it

	Code    int                  // WeCom's errcode or the library's code; 0: none was given
	Seen    []archive.KeyVersion // key versions of the messages affected
	Held    []archive.KeyVersion // key versions held
	Address string               // our address as WeCom named it; "" if it named none
	Reason  fault.Reason         // why items are set aside
}

// ParseAlarm is the alarm that the ledger keeps under a cause: a Cause, behind which may stand, after a colon, what it is about, which is a
// key version or the reason for which items are set aside. It has no times and no numbers yet.
func ParseAlarm(cause string) Alarm {
	word, about, _ := strings.Cut(cause, ":")
	a := Alarm{Cause: Cause(word)}
	switch a.Cause {
	case KeyMissing, KeyDoesNotFit:
		if n, err := strconv.ParseUint(about, 10, 32); err == nil {
			a.Seen = []archive.KeyVersion{archive.KeyVersion(n)}
		}
	default:
		a.Reason = fault.Reason(about)
	}
	return a
}

// Title says in a line what an alarm is.
func (a Alarm) Title(c Corp, l Language) string {
	return a.fill(a.text().title.in(l), MaintenanceFacts{Corp: c}, l)
}

// How much of a long list a mail shows.
const (
	fullAlarms   = 8
	namedAlarms  = 40
	namedNumbers = 12
)

// NewMaintenance builds R7 for one receiver's view. The mail lists everything open, the newest first, then what has ended. It is urgent if
// something began or changed, unless it is the day's state. Equal arguments give equal bytes.
func NewMaintenance(f MaintenanceFacts, v View) (Mail, error) {
	if f.Now.IsZero() {
		return Mail{}, fmt.Errorf("build account maintenance mail of corp %s: the time is missing", f.Corp.ID)
	}
	m, err := maintenanceLetter(f, v).mail()
	if err != nil {
		return Mail{}, fmt.Errorf("build account maintenance mail of corp %s: %w", f.Corp.ID, err)
	}
	m.Kind = Maintenance
	return m, nil
}

func maintenanceLetter(f MaintenanceFacts, v View) letter {
	l := v.Language
	var open, over []Alarm
	began, changed := 0, 0
	for _, a := range f.Alarms {
		switch a.News {
		case Over:
			over = append(over, a)
			continue
		case Began:
			began++
		case Changed:
			changed++
		case Same:
		}
		open = append(open, a)
	}
	newestFirst(open, func(a Alarm) time.Time { return a.FirstSeen })
	newestFirst(over, func(a Alarm) time.Time { return a.Ended })

	lt := letter{
		View: v, Title: Maintenance.Title(l), Company: f.Corp.title(), Banners: f.Marks.banners(l),
		Urgent: !f.Daily && began+changed > 0,
	}
	// The subject names what is new, or else what is open, or else what has ended.
	lead := over
	switch {
	case began+changed > 0:
		lead = nil
		for _, want := range []News{Began, Changed} {
			for _, a := range open {
				if a.News == want {
					lead = append(lead, a)
				}
			}
		}
	case len(open) > 0 && (f.Daily || len(over) == 0):
		lead = open
	}
	lt.Preheader = l.sayf("Open: %[1]d. Ended: %[2]d. Time left for messages: %[3]s.", "未处理：%[1]d；已结束：%[2]d。消息剩余时间：%[3]s。",
		len(open), len(over), f.Messages.text(v, f.Now, f.Windows))
	switch {
	case f.Daily || len(lead) == 0:
		what := l.say("nothing is open", "没有未处理的问题")
		if len(lead) > 0 {
			what = lead[0].fill(lead[0].text().title.in(l), f, l)
			if lead[0].News == Over {
				what = l.say("over: ", "已结束：") + what
			}
			if len(lead) > 1 {
				what += l.sayf(" (and %d more)", "（另有 %d 项）", len(lead)-1)
			}
		}
		lt.Subject = v.subject(f.Corp, Maintenance, f.Now, what)
	default:
		lt.Subject = v.alertSubject(f.Corp, Maintenance, lead[0].FirstSeen, lead[0].matter(f, l), lead[0].News)
		lt.tell(lead[0].News, lead[0].fill(lead[0].text().title.in(l), f, l), len(lead)-1)
	}

	lt.Lead = append(lt.Lead, l.sayf("As of %s.", "截至 %s。", v.at(f.Now)))
	switch {
	case len(open) == 0 && len(over) > 0:
		lt.Lead = append(lt.Lead, l.say("It is over: nothing is open any more. There is nothing to do.", "已结束：没有未处理的问题，无需操作。"))
	case len(open) == 0:
		lt.Lead = append(lt.Lead, l.say("Nothing is open. There is nothing to do.", "没有未处理的问题，无需操作。"))
	default:
		lt.Lead = append(lt.Lead, l.sayf("Open: %[1]d, of which new: %[2]d, changed: %[3]d. Ended: %[4]d. The newest stands first.",
			"未处理 %[1]d 项，其中新增 %[2]d 项、有变化 %[3]d 项；已结束 %[4]d 项。最新的排在最前。", len(open), began, changed, len(over)))
		if !f.Daily {
			lt.Lead = append(lt.Lead, l.say("We write again only when something changes, and when it is over.", "仅在情况变化或结束时才会再次通知。"))
		}
	}
	lt.Sections = append(lt.Sections, section{
		Heading: l.say("Time left before something is lost", "距离内容丢失的剩余时间"),
		Alarm:   f.Messages.State == ClockUnknown,
		Facts: []pair{
			{l.say("Messages", "消息"), f.Messages.text(v, f.Now, f.Windows)},
			{l.say("Attachments", "附件"), f.Media.text(v, f.Now, f.Windows)},
		},
	})
	for i, a := range open {
		if i == fullAlarms {
			lt.Sections = append(lt.Sections, namesOf(open[i:], f, v))
			break
		}
		lt.Sections = append(lt.Sections, a.section(f, v))
	}
	for i, a := range over {
		if i == fullAlarms {
			break
		}
		lt.Sections = append(lt.Sections, a.ended(f, v))
	}
	lt.Sections = append(lt.Sections, guide(v, "account-maintenance"))
	if !f.Daily {
		// Only what has news: a mail that named everything open would tie all matters into one thread.
		news := slices.Clone(lead)
		for _, a := range append(slices.Clone(open), over...) {
			if a.News != Same {
				news = append(news, a)
			}
		}
		for _, a := range news {
			lt.inThread(a.thread(f.Corp.ID))
		}
	}
	return lt
}

func newestFirst(alarms []Alarm, at func(Alarm) time.Time) {
	slices.SortStableFunc(alarms, func(a, b Alarm) int {
		if c := at(b).Compare(at(a)); c != 0 {
			return c
		}
		return strings.Compare(a.name(), b.name())
	})
}

// name tells an alarm from the corp's others that began at the same time.
func (a Alarm) name() string {
	return string(a.Cause) + " " + string(a.Reason) + " " + versions(a.Seen, English)
}

// matter names an alarm by what stays the same for as long as it lasts: not by the address of ours that WeCom named.
func (a Alarm) matter(f MaintenanceFacts, l Language) string {
	return a.fill(strings.ReplaceAll(a.text().title.in(l), " {address}", ""), f, l)
}

// thread is the same for all mails about one alarm, from its beginning to its end.
func (a Alarm) thread(corp archive.CorpID) string {
	return "alert-" + ID(string(corp), string(a.Cause), string(a.Reason), strconv.FormatInt(a.FirstSeen.Unix(), 10))
}

func (a Alarm) text() causeText {
	if t, ok := causeTexts[a.Cause]; ok {
		return t
	}
	return otherCause
}

// fill puts the alarm's values where a wording has braces.
func (a Alarm) fill(s string, f MaintenanceFacts, l Language) string {
	// WeCom's word comes first: an address that it names and that is not ours on paper is the one that it sees.
	var addresses []string
	for _, e := range append([]string{a.Address}, f.Egress...) {
		if e = clip(e, 64); e != "" && !slices.Contains(addresses, e) && len(addresses) < namedNumbers {
			addresses = append(addresses, e)
		}
	}
	named := clip(a.Address, 64)
	if named == "" {
		named = l.join(addresses)
	}
	list := strings.Join(addresses, ";") // as WeCom's own form takes several
	if list == "" {
		named = l.say("(none was named)", "（未指明）")
		list = l.say("(the elastic IP of this deployment's NAT gateway)", "（本部署 NAT 网关的弹性 IP）")
	}
	seen := versions(a.Seen, l)
	if len(a.Seen) == 0 {
		seen = l.say("not known", "未知")
	}
	first := "N"
	if len(a.Seen) > 0 {
		first = a.Seen[0].String()
	}
	return strings.NewReplacer(
		"{n}", a.Messages.text(l), "{m}", a.Attachments.text(l), "{r}", a.Receivers.text(l), "{seen}", seen, "{held}", versions(a.Held, l), "{ver}", first,
		"{address}", named, "{egress}", list, "{reason}", a.reason(l), "{cause}", clip(string(a.Cause), 60), "{corp}", shellWord(string(f.Corp.ID)),
	).Replace(s)
}

func (a Alarm) reason(l Language) string {
	if r := clip(string(a.Reason), 60); r != "" {
		return r
	}
	return l.say("reason not known", "原因未知")
}

// versions lists key versions.
func versions(vs []archive.KeyVersion, l Language) string {
	if len(vs) == 0 {
		return l.say("none", "无")
	}
	words := make([]string, 0, namedNumbers+1)
	for i, v := range vs {
		if i == namedNumbers {
			words = append(words, l.sayf("%d more", "另 %d 个", len(vs)-i))
			break
		}
		words = append(words, v.String())
	}
	return l.join(words)
}

// shellWord is a corp id as it may be pasted into a shell.
func shellWord(s string) string {
	if isToken(s, "_-.") {
		return s
	}
	return "'" + strings.ReplaceAll(clip(s, 128), "'", `'\''`) + "'"
}

func (a Alarm) section(f MaintenanceFacts, v View) section {
	l := v.Language
	t := a.text()
	sec := section{Heading: a.fill(t.title.in(l), f, l), Alarm: true}
	switch a.News {
	case Began:
		sec.Heading = l.say("New: ", "新增：") + sec.Heading
	case Changed:
		sec.Heading = l.say("Changed: ", "有变化：") + sec.Heading
	case Same, Over:
	}
	sec.Paras = append(sec.Paras, a.fill(t.what.in(l), f, l))
	most := l.say("Most often: ", "最常见：") + t.often.in(l)
	if a.Code != 0 {
		most = l.sayf("%[1]s answered %[2]d. ", "%[1]s应答 %[2]d。", a.answeredBy(l), a.Code) + most
	}
	sec.Paras = append(sec.Paras, most, l.say("Also possible: ", "也可能：")+t.possible.in(l))

	sec.Facts = append(sec.Facts, pair{l.say("First seen", "首次发现"), v.at(a.FirstSeen)})
	if !a.LastSeen.IsZero() && !a.LastSeen.Equal(a.FirstSeen) {
		sec.Facts = append(sec.Facts, pair{l.say("Last seen", "最近发现"), v.at(a.LastSeen)})
	}
	sec.Facts = append(sec.Facts, pair{l.say("Messages affected", "受影响的消息"), a.Messages.text(l)})
	if a.Cause == MediaAtRisk || a.Cause == MediaLost || a.Attachments.Known {
		sec.Facts = append(sec.Facts, pair{l.say("Attachments affected", "受影响的附件"), a.Attachments.text(l)})
	}
	if a.Cause == SetAsideWaiting || a.Cause == MostlySetAside {
		sec.Facts = append(sec.Facts, pair{l.say("Reason", "原因"), asideWords(l, a.Reason)})
	}
	if a.Cause == ReceiverDead {
		sec.Facts = append(sec.Facts, pair{l.say("Receivers affected", "受影响的接收人"), a.Receivers.text(l)})
	}
	if a.Cause == KeyMissing || a.Cause == KeyDoesNotFit {
		sec.Facts = append(sec.Facts,
			pair{l.say("Key versions seen", "出现的密钥版本"), versions(a.Seen, l)},
			pair{l.say("Key versions held", "持有的密钥版本"), versions(a.Held, l)})
	}
	switch t.risk {
	case riskMessages:
		sec.Facts = append(sec.Facts, pair{l.say("Time left before messages are lost", "距离消息丢失"), a.Loss.text(v, f.Now, f.Windows)})
	case riskAttachments:
		sec.Facts = append(sec.Facts, pair{l.say("Time left before attachments are lost", "距离附件丢失"), a.Loss.text(v, f.Now, f.Windows)})
	case riskNone:
	}
	steps := t.steps
	if a.Cause == KeyMissing && len(a.Seen) > 0 && !slices.ContainsFunc(a.Seen, func(v archive.KeyVersion) bool { return !slices.Contains(a.Held, v) }) {
		// Added since: the alarm ends when what waits is open.
		sec.Paras = append([]string{l.say("The key is held by now. What waits for it is being opened, and there is nothing more to add.", "密钥现已添加，等待中的消息正在解开，无需再添加。")}, sec.Paras...)
		steps = []causeStep{doctor}
	}
	for _, s := range steps {
		st := step{Text: a.fill(s.text.in(l), f, l), Command: a.fill(s.command, f, l)}
		sec.Steps = append(sec.Steps, st)
		if strings.Contains(s.command, "{ver}") {
			for i, ver := range a.Seen {
				if i > 0 && i < namedNumbers {
					sec.Steps = append(sec.Steps, step{
						Text:    l.sayf("The same for version %s:", "版本 %s 同样处理：", ver),
						Command: a.fill(strings.ReplaceAll(s.command, "{ver}", ver.String()), f, l),
					})
				}
			}
		}
	}
	return sec
}

// answeredBy: codes from 10000 to 10011 are the library's, all others are WeCom's.
func (a Alarm) answeredBy(l Language) string {
	if a.Code >= 10000 && a.Code <= 10011 {
		return l.say("Tencent's library", "腾讯的存档库")
	}
	return l.say("WeCom", "企业微信")
}

func (a Alarm) ended(f MaintenanceFacts, v View) section {
	l := v.Language
	sec := section{Heading: l.say("Over: ", "已结束：") + a.fill(a.text().title.in(l), f, l), Good: true}
	sec.Facts = append(sec.Facts,
		pair{l.say("First seen", "首次发现"), v.at(a.FirstSeen)},
		pair{l.say("Ended", "结束时间"), v.at(a.Ended)})
	if a.Messages.Known {
		sec.Facts = append(sec.Facts, pair{l.say("Messages that were affected", "曾受影响的消息"), a.Messages.text(l)})
	}
	return sec
}

// namesOf lists what has no room for more than its name.
func namesOf(alarms []Alarm, f MaintenanceFacts, v View) section {
	l := v.Language
	sec := section{Heading: l.sayf("%d more are open", "另有 %d 项未处理", len(alarms)), Alarm: true}
	for i, a := range alarms {
		if i == namedAlarms {
			sec.Paras = append(sec.Paras, l.sayf("The first %d are listed.", "仅列出前 %d 项。", namedAlarms))
			break
		}
		sec.Facts = append(sec.Facts, pair{a.fill(a.text().title.in(l), f, l), v.at(a.FirstSeen)})
	}
	sec.Steps = append(sec.Steps, step{Text: l.say("See them all:", "查看全部："), Command: "vaultctl status -corp " + shellWord(string(f.Corp.ID))})
	return sec
}
