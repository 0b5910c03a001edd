// Package report owns what is mailed to people about a corp: it turns a period's facts into a subject, a text part, an HTML part
// and, for R1, a page to keep, in the receiver's language, and into the bytes of the mail.
//
// Everything here is a function of its arguments: no clock, no file, no network, no store. It must not decide when a report is due,
// must not send anything, and must not make a number up: what could not be read is said to be unknown, never shown as 0.
package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Kind names a report. The values are stable: they are parts of keys.
type Kind string

// The reports that exist.
const (
	UserStatus    Kind = "R1"  // User Status Report, daily
	MissingMobile Kind = "R2"  // Missing Mobile, daily, to receivers and to the users concerned
	NumberChange  Kind = "R3"  // Number Changes of the last 24 hours
	DeletedUsers  Kind = "R4"  // Deleted Users of the last 24 hours
	NewUsers      Kind = "R5"  // New Users of the last 24 hours
	GroupsBreach  Kind = "R6"  // WeChat Groups Compliance Breach, at once, and the day's state
	Maintenance   Kind = "R7"  // Account Maintenance alert, at once, and the day's state for subscribers
	MissingEmail  Kind = "R8"  // Missing Email, daily, to receivers, the control mailbox and the users concerned
	Coverage      Kind = "R12" // Coverage, daily: what is captured and what is not
)

// Kinds lists every report there is.
func Kinds() []Kind {
	return []Kind{UserStatus, MissingMobile, NumberChange, DeletedUsers, NewUsers, GroupsBreach, Maintenance, MissingEmail, Coverage}
}

// kindNames is the reports' codes with their names, as refusals list them.
func kindNames() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k)+" ("+strings.ToLower(k.Title(English))+")")
	}
	return strings.Join(names, ", ")
}

// ParseKind reads a report's code (R1, R7), in any case.
func ParseKind(s string) (Kind, error) {
	k := Kind(strings.ToUpper(strings.TrimSpace(s)))
	if !slices.Contains(Kinds(), k) {
		return "", fmt.Errorf("there is no such report: choose among %s", kindNames())
	}
	return k, nil
}

// Title is the report's name as people read it.
func (k Kind) Title(l Language) string {
	switch k {
	case UserStatus:
		return l.say("User Status Report", "用户状态报告")
	case MissingMobile:
		return l.say("Missing Mobile", "手机号丢失提醒")
	case NumberChange:
		return l.say("Number Changes", "手机号变更报告")
	case DeletedUsers:
		return l.say("Deleted Users", "离开用户报告")
	case NewUsers:
		return l.say("New Users", "新增用户报告")
	case GroupsBreach:
		return l.say("WeChat Groups Compliance Breach", "微信群合规提醒")
	case Maintenance:
		return l.say("Account Maintenance", "账户维护提醒")
	case MissingEmail:
		return l.say("Missing Email", "邮箱缺失提醒")
	case Coverage:
		return l.say("Coverage Report", "存档覆盖报告")
	default:
		return string(k)
	}
}

// View is how one receiver is shown a report.
type View struct {
	Language    Language
	Zone        *time.Location // shown beside UTC; nil: UTC alone
	GuideURL    string         // "" leaves the links to the guide out; pages are GuideURL/<language>/<page>
	Mask        bool           // mobile numbers lose their middle digits
	Departments []string       // names of the departments that the mail is confined to; none: it tells of the whole company
	Due         time.Time      // when a daily report was due, and
	Made        time.Time      // when it was made: one that is late says so; both zero for alerts
	Preview     bool           // nobody is mailed it: it says so wherever a mail begins
}

// Marks are what every screen and mail must say about the stack that made it.
type Marks struct {
	Simulated bool // the company is an invented one
	Trial     bool // Object Lock is in governance mode
}

func (m Marks) banners(l Language) []string {
	var out []string
	if m.Simulated {
		out = append(out, l.say(
			"SIMULATED COMPANY. Every person, number and message in this mail is invented.",
			"模拟企业：本邮件中的人员、数字和消息均为虚构。"))
	}
	if m.Trial {
		out = append(out, l.say(
			"TRIAL STACK. The archive is locked in governance mode: a person with the right to bypass it can delete from it.",
			"试用环境：存档采用治理模式锁定，持有绕过权限的人员可以删除其中的内容。"))
	}
	return out
}

// Corp is the company that a report is about.
type Corp struct {
	ID   archive.CorpID
	Name string // "" shows the id
}

func (c Corp) title() string {
	if name := clip(c.Name, 60); name != "" {
		return name
	}
	return clip(string(c.ID), 60)
}

// ID is a stable identifier of a mail made from what identifies it (corp, report, day or change, address): 32 hex digits, fit
// for the header X-WecomVault-Report-Id and for SES message tags. Different lists of parts give different ids.
func ID(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%d:%s\n", len(p), p)
	}
	return archive.HashHex([]byte(b.String()))[:32]
}
