package report

import (
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Status is a member's status as WeCom's directory gives it; 0 means that the directory shows no record, or no status.
type Status int

// WeCom's statuses.
const (
	StatusUnknown      Status = 0
	StatusActivated    Status = 1
	StatusDisabled     Status = 2
	StatusNotActivated Status = 4
	StatusLeft         Status = 5
)

func (s Status) text(l Language) string {
	switch s {
	case StatusActivated:
		return l.say("activated", "已激活")
	case StatusDisabled:
		return l.say("disabled", "已禁用")
	case StatusNotActivated:
		return l.say("not activated", "未激活")
	case StatusLeft:
		return l.say("left", "已退出企业")
	default:
		return l.say("unknown", "未知")
	}
}

// User is what is known of one user as of a report's day. A field that WeCom does not show us with the secrets we have is empty with
// its Readable or Known flag false: it is unknown, which is neither "none" nor "lost".
type User struct {
	ID          archive.PartyID
	Name        string   `json:",omitzero"`  // "" if unknown
	Departments []string `json:",omitempty"` // names
	In          []int    `json:",omitempty"` // the departments' numbers, of a leaver the last ones: they decide who may see the row
	Status      Status   `json:",omitzero"`

	Designated      bool `json:",omitzero"` // on WeCom's list of users to archive
	DesignatedKnown bool `json:",omitzero"` // that list could be read

	Mobile         string `json:",omitzero"` // as WeCom gives it
	MobileReadable bool   `json:",omitzero"`
	HadMobile      bool   `json:",omitzero"` // some snapshot had a mobile
	Email          string `json:",omitzero"`
	EmailReadable  bool   `json:",omitzero"`

	FirstArchived time.Time `json:",omitzero"` // zero: none archived
	LastArchived  time.Time `json:",omitzero"`
	Mailbox       string    `json:",omitzero"` // where the user's messages are delivered; "" if not mapped
	StageSince    time.Time `json:",omitzero"` // since when the user is in its stage; zero if not known
}

// Stage is how far a user's onboarding has come.
type Stage int

// The stages in their order. StageLeft and StageUnknown stand outside it.
const (
	StageUnknown    Stage = iota // whether the user is designated could not be read, and nothing of the user is archived
	StageJoined                  // in the directory, not designated: not captured
	StageDesignated              // on WeCom's list, not activated, or disabled
	StageActivated               // designated and activated, nothing archived yet
	StageArchived                // a first message is archived
	StageMapped                  // and the user's mailbox is known
	StageLeft                    // left the company
)

func (s Stage) text(l Language) string {
	switch s {
	case StageJoined:
		return l.say("joined", "已加入")
	case StageDesignated:
		return l.say("designated", "已列入存档名单")
	case StageActivated:
		return l.say("activated", "已激活")
	case StageArchived:
		return l.say("first message archived", "已存档首条消息")
	case StageMapped:
		return l.say("mailbox mapped", "已匹配邮箱")
	case StageLeft:
		return l.say("left", "已退出企业")
	default:
		return l.say("unknown", "未知")
	}
}

// Stage is the user's stage. It follows from the other fields, so that it can't contradict them.
func (u User) Stage() Stage {
	archived := !u.FirstArchived.IsZero() || !u.LastArchived.IsZero()
	switch {
	case u.Status == StatusLeft:
		return StageLeft
	case u.DesignatedKnown && !u.Designated:
		return StageJoined
	case u.DesignatedKnown && u.Status != StatusActivated:
		return StageDesignated
	case archived && u.Mailbox != "":
		return StageMapped
	case archived: // an archived message proves that the user was designated, whether or not we may read the list
		return StageArchived
	case u.DesignatedKnown:
		return StageActivated
	default:
		return StageUnknown
	}
}

// answer is yes, no or unknown. A summary counts the yes and the unknown apart.
type answer int

const (
	no answer = iota
	yes
	unknown
)

func (a answer) and(b answer) answer {
	switch {
	case a == no || b == no:
		return no
	case a == unknown || b == unknown:
		return unknown
	default:
		return yes
	}
}

func is(b bool) answer {
	if b {
		return yes
	}
	return no
}

func (u User) member() answer { return is(u.Status != StatusLeft) }

func (u User) signedUp() answer {
	if !u.DesignatedKnown {
		return u.member().and(unknown)
	}
	return u.member().and(is(u.Designated))
}

func (u User) status(s Status) answer {
	switch u.Status {
	case s:
		return yes
	case StatusActivated, StatusDisabled, StatusNotActivated, StatusLeft:
		return no
	default:
		return unknown
	}
}

// lostMobile: a snapshot had a mobile, the newest has none, and the field is readable.
func (u User) lostMobile() answer {
	if !u.MobileReadable {
		return u.member().and(unknown)
	}
	return u.member().and(is(u.HadMobile && strings.TrimSpace(u.Mobile) == ""))
}

// noMobile: no snapshot ever had one. WeCom does not say whether the user signed up through WeChat.
func (u User) noMobile() answer {
	if !u.MobileReadable {
		return u.member().and(unknown)
	}
	return u.member().and(is(!u.HadMobile && strings.TrimSpace(u.Mobile) == ""))
}

func (u User) noEmail() answer {
	if !u.EmailReadable {
		return u.member().and(unknown)
	}
	return u.member().and(is(strings.TrimSpace(u.Email) == ""))
}

// identifiedBy names what the archive knows the user by, strongest first. Capture itself always goes by the userid.
func (u User) identifiedBy(l Language) string {
	switch {
	case strings.TrimSpace(u.Mobile) != "":
		return l.say("mobile", "手机号")
	case strings.TrimSpace(u.Email) != "":
		return l.say("email", "邮箱")
	default:
		return l.say("userid", "账号 (userid)")
	}
}

// problem is one thing that is wrong with a user; the order is the order of urgency.
type problem int

const (
	wrongLostMobile    problem = iota // had a mobile, has none
	wrongDropped                      // archived before, no longer designated
	wrongNotVisible                   // designated, but the directory shows no status
	wrongDisabled                     // designated and disabled
	wrongNotActivated                 // designated, not activated
	wrongNothingYet                   // activated, and still nothing archived
	wrongNoAddress                    // neither mobile nor email: no mailbox can be found
	wrongUnmappedUsers                // delivery is on, and the user has no mailbox
)

// quietDays is how long an activated user may go without a first message before the report asks why. Our own figure: a long
// weekend.
const quietDays = 4

// wrong lists what is wrong with the user as of day, most urgent first. Someone who was never designated is not wrong: who is
// designated is the company's choice, and the summary counts the rest.
func (u User) wrong(day time.Time, delivery bool) []problem {
	if u.Status == StatusLeft {
		return nil
	}
	var out []problem
	designated := u.DesignatedKnown && u.Designated
	archived := !u.FirstArchived.IsZero() || !u.LastArchived.IsZero()
	days, known := u.days(day)
	for p, holds := range []bool{
		wrongLostMobile:    u.lostMobile() == yes,
		wrongDropped:       u.DesignatedKnown && !u.Designated && archived,
		wrongNotVisible:    designated && u.status(StatusActivated) == unknown,
		wrongDisabled:      designated && u.Status == StatusDisabled,
		wrongNotActivated:  designated && u.Status == StatusNotActivated,
		wrongNothingYet:    u.Stage() == StageActivated && known && days >= quietDays,
		wrongNoAddress:     designated && u.lostMobile() != yes && u.noMobile() == yes && u.noEmail() == yes,
		wrongUnmappedUsers: delivery && designated && u.Mailbox == "",
	} {
		if holds {
			out = append(out, problem(p))
		}
	}
	return out
}

// days is how many whole days the user has been in its stage, if that is known.
func (u User) days(day time.Time) (int, bool) {
	if u.StageSince.IsZero() {
		return 0, false
	}
	d := day.Sub(u.StageSince)
	if d < 0 {
		return 0, true
	}
	return int(d / (24 * time.Hour)), true
}

func (v View) problem(p problem, u User, day time.Time) string {
	l := v.Language
	switch p {
	case wrongLostMobile:
		return l.say("lost the mobile number: it is to be entered again in WeCom; capture goes on by userid",
			"手机号已丢失：请在企业微信中重新填写；存档仍按 userid 继续")
	case wrongDropped:
		return l.sayf("no longer designated: not captured; last archived %s", "已不在存档名单中：不再存档；最后存档于 %s", v.at(u.LastArchived))
	case wrongNotVisible:
		return l.say("designated, but not shown by the directory: check the visible range", "已列入存档名单，但通讯录未返回该用户：请检查可见范围")
	case wrongDisabled:
		return l.say("designated, but disabled in WeCom", "已列入存档名单，但在企业微信中被禁用")
	case wrongNotActivated:
		if d, ok := u.days(day); ok && d > 0 {
			return l.sayf("designated, not activated for %d "+plural(uint64(d), "day", "days"), "已列入存档名单，已有 %d 天未激活", d)
		}
		return l.say("designated, not activated yet", "已列入存档名单，尚未激活")
	case wrongNothingYet:
		d, _ := u.days(day)
		return l.sayf("activated for %d days, nothing archived yet", "已激活 %d 天，尚未存档任何消息", d)
	case wrongNoAddress:
		return l.say("neither mobile nor email: no mailbox can be found", "既无手机号也无邮箱：无法匹配邮箱")
	default:
		return l.say("no mailbox: kept, not delivered", "未匹配邮箱：已保存，未投递")
	}
}

// mobile is the number as it may be shown.
func (v View) mobile(u User) string {
	l := v.Language
	number := clip(u.Mobile, 40)
	switch {
	case !u.MobileReadable:
		return l.say("unknown", "未知")
	case number == "" && u.HadMobile:
		return l.say("lost", "已丢失")
	case number == "":
		return l.say("none ever seen", "从未出现")
	case v.Mask:
		return mask(number)
	default:
		return number
	}
}

// mask hides the middle digits: the first three and the last four stay where at least four more are hidden, else only the last two.
func mask(number string) string {
	digits := 0
	for _, r := range number {
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	head, tail := 3, 4
	if digits < head+tail+4 {
		head, tail = 0, min(2, digits/2)
	}
	var b strings.Builder
	seen := 0
	for _, r := range number {
		if r >= '0' && r <= '9' {
			seen++
			if seen > head && seen <= digits-tail {
				r = '*'
			}
		} else if !strings.ContainsRune("+- ()", r) {
			r = '*' // a number has no letters; whatever this is, it is not shown
		}
		b.WriteRune(r)
	}
	return b.String()
}
