package report

import "fmt"

// Count is how many users something is true of, and of how many it could not be told.
type Count struct {
	N       int `json:"n"`
	Unknown int `json:"unknown"`
}

func (c *Count) add(a answer) {
	switch a {
	case yes:
		c.N++
	case unknown:
		c.Unknown++
	case no:
	}
}

// text never shows 0 for what could not be read.
func (c Count) text(l Language) string {
	main, note := c.parts(l)
	switch {
	case note == "":
		return main
	case c.N == 0:
		return main + l.say(" (", "（") + note + l.say(")", "）")
	default:
		return main + l.say(", ", "，") + note
	}
}

// parts is the number and what is to be said beside it.
func (c Count) parts(l Language) (main, note string) {
	switch {
	case c.Unknown == 0:
		return fmt.Sprint(c.N), ""
	case c.N == 0:
		return l.say("unknown", "未知"), l.sayf("%d "+plural(uint64(c.Unknown), "user", "users"), "%d 人", c.Unknown)
	default:
		return fmt.Sprint(c.N), l.sayf("and %d unknown", "另有 %d 人未知", c.Unknown)
	}
}

// change compares with the day before; what was or is unknown can't be compared.
func (c Count) change(l Language, before *Count) string {
	switch {
	case before == nil:
		return ""
	case c.Unknown != 0 || before.Unknown != 0:
		if c == *before {
			return l.say("no change", "无变化")
		}
		return l.say("change unknown", "变化未知")
	case c.N == before.N:
		return l.say("no change", "无变化")
	case c.N > before.N:
		return fmt.Sprintf("+%d", c.N-before.N)
	default:
		return fmt.Sprintf("−%d", before.N-c.N)
	}
}

// Summary is the summary of a User Status Report. It is kept with the run, so that the next day's report can say what changed. Each of its
// numbers is a count of the report's rows. Activated, NotActivated and Disabled are counted among the signed up; the stages together hold
// each member once.
type Summary struct {
	Members      Count `json:"members"`
	SignedUp     Count `json:"signed_up"`
	Activated    Count `json:"activated"`
	NotActivated Count `json:"not_activated"`
	Disabled     Count `json:"disabled"`
	LostMobile   Count `json:"lost_mobile"`
	NoMobile     Count `json:"no_mobile"`
	NoEmail      Count `json:"no_email"`
	Wrong        Count `json:"wrong"`

	Joined        Count `json:"stage_joined"`
	Designated    Count `json:"stage_designated"`
	StageActive   Count `json:"stage_activated"`
	FirstArchived Count `json:"stage_first_archived"`
	Mapped        Count `json:"stage_mapped"`
	StageUnknown  Count `json:"stage_unknown"`
}

// line is one number of the summary: its words, the rows it counts, where it stands in a Summary. The key marks those rows in the
// attachment, where a click on the number shows them.
type line struct {
	key   string
	en    string
	zh    string
	holds func(User, answer) answer // the second argument: is something wrong with the user
	of    func(*Summary) *Count
}

func stageIs(s Stage) func(User, answer) answer {
	return func(u User, _ answer) answer { return is(u.Stage() == s) }
}

// lines is the summary's one definition: counting, showing and marking all go by it. The first nine are about users, the rest are
// the stages, which every member is in exactly one of.
func lines() []line {
	return []line{
		{"m", "Members", "成员", func(u User, _ answer) answer { return u.member() }, func(s *Summary) *Count { return &s.Members }},
		{"s", "Signed up (on WeCom's list to archive)", "已注册（在企业微信存档名单中）", func(u User, _ answer) answer { return u.signedUp() }, func(s *Summary) *Count { return &s.SignedUp }},
		{"a", "Signed up and activated", "已注册且已激活", func(u User, _ answer) answer { return u.signedUp().and(u.status(StatusActivated)) }, func(s *Summary) *Count { return &s.Activated }},
		{"n", "Signed up, not activated", "已注册但未激活", func(u User, _ answer) answer { return u.signedUp().and(u.status(StatusNotActivated)) }, func(s *Summary) *Count { return &s.NotActivated }},
		{"d", "Signed up, but disabled", "已注册但已禁用", func(u User, _ answer) answer { return u.signedUp().and(u.status(StatusDisabled)) }, func(s *Summary) *Count { return &s.Disabled }},
		{"l", "Lost the mobile number", "手机号已丢失", func(u User, _ answer) answer { return u.lostMobile() }, func(s *Summary) *Count { return &s.LostMobile }},
		{"e", "No mobile ever seen", "从未出现手机号", func(u User, _ answer) answer { return u.noMobile() }, func(s *Summary) *Count { return &s.NoMobile }},
		{"k", "No email", "无邮箱", func(u User, _ answer) answer { return u.noEmail() }, func(s *Summary) *Count { return &s.NoEmail }},
		{"w", "Something is wrong", "存在问题", func(_ User, wrong answer) answer { return wrong }, func(s *Summary) *Count { return &s.Wrong }},
		{"g1", StageJoined.text(English), StageJoined.text(Chinese), stageIs(StageJoined), func(s *Summary) *Count { return &s.Joined }},
		{"g2", StageDesignated.text(English), StageDesignated.text(Chinese), stageIs(StageDesignated), func(s *Summary) *Count { return &s.Designated }},
		{"g3", StageActivated.text(English), StageActivated.text(Chinese), stageIs(StageActivated), func(s *Summary) *Count { return &s.StageActive }},
		{"g4", StageArchived.text(English), StageArchived.text(Chinese), stageIs(StageArchived), func(s *Summary) *Count { return &s.FirstArchived }},
		{"g5", StageMapped.text(English), StageMapped.text(Chinese), stageIs(StageMapped), func(s *Summary) *Count { return &s.Mapped }},
		{"g0", StageUnknown.text(English), StageUnknown.text(Chinese), stageIs(StageUnknown), func(s *Summary) *Count { return &s.StageUnknown }},
	}
}

const userLines = 9 // how many of lines are about users; the rest are stages

// Summarise counts the rows. Nothing else makes a Summary.
func Summarise(f UserStatusFacts) Summary {
	var s Summary
	all := lines()
	for i := range f.Users {
		s.take(&f.Users[i], f, all)
	}
	return s
}

// take counts one user.
func (s *Summary) take(u *User, f UserStatusFacts, all []line) {
	wrong := is(len(u.wrong(f.Day, f.Delivery)) > 0)
	for _, ln := range all {
		ln.of(s).add(ln.holds(*u, wrong))
	}
}
