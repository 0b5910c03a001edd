package report

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// A message in WeCom has the steps of the mail in short, and nothing that WeCom's app would have to load. It names its day: WeCom shows what has the same bytes as one
// of the last hours no second time, and yesterday's may come just before today's.

// MostTelling is the longest text of a message in WeCom to a user, in bytes. WeCom's own limit is 2,048; the rest is for the line that marks one sent again.
const MostTelling = 1900

// Marked is the text of a message that was sent n times anew although the user may have seen it: from the first time on its last line says so.
func Marked(text string, n int) string {
	if n == 0 {
		return text
	}
	return text + fmt.Sprintf("\n（重复发送 %[1]d：未收到企业微信的回复 / sent again, %[1]d: WeCom had not answered）", n)
}

// InWeCom is who is sent a message in WeCom.
func (f MissingMobileFacts) InWeCom() []archive.PartyID {
	var list []archive.PartyID
	for _, r := range f.Rows {
		if r.Told.byApp() {
			list = append(list, r.ID)
		}
	}
	return list
}

// NewMissingMobileTelling builds the message in WeCom that tells one user that the mobile number is missing. It has at most MostTelling bytes, whatever the names.
// Equal arguments give equal bytes.
func NewMissingMobileTelling(f MissingMobileFacts, id archive.PartyID, v View) (string, error) {
	for i := range f.Rows {
		if f.Rows[i].ID != id {
			continue
		}
		for _, names := range []int{80, 24, 8} {
			if text := f.telling(f.Rows[i], v, names); len(text) <= MostTelling {
				return text, nil
			}
		}
		return cutBytes(f.telling(f.Rows[i], v, 2), MostTelling), nil
	}
	return "", fmt.Errorf("build missing mobile telling of corp %s: the user is not among those whom the report is about", f.Corp.ID)
}

// telling is the text with names of at most so many characters.
func (f MissingMobileFacts) telling(r MobileRow, v View, names int) string {
	l := v.Language
	var lines []string
	for _, mark := range f.Marks.tellings(l) {
		lines = append(lines, l.say("[", "【")+mark+l.say("]", "】"))
	}
	if late := v.late(); late != "" {
		lines = append(lines, l.sayf("LATE: this was due at %s.", "延迟发送：应于 %s 发送。", v.at(v.Due)))
	}
	lines = append(lines,
		l.sayf("%[1]s: your mobile number is missing in WeCom (%[2]s)", "%[1]s：您的企业微信缺少手机号（%[2]s）", clip(f.Corp.title(), names), f.Day.UTC().Format("2006-01-02")),
		l.sayf("For %[1]s (%[2]s).", "致：%[1]s（%[2]s）。", v.name(r.Person, names), clip(string(r.ID), 64)),
		l.sayf("It was lost %s.", "丢失时间：%s。", v.between(r.Lost)))
	if clean(r.Last) != "" {
		lines = append(lines, l.sayf("The last number was %s.", "最后的手机号为 %s。", v.number(r.Last)))
	}
	switch r.fate() {
	case fateDelivered, fateKept:
		lines = append(lines, l.say("Your messages are still archived.", "您的消息仍在存档。"))
	case fateNotCaptured:
		lines = append(lines, l.say("Your messages are not archived: you are not on your company's list of users to archive.", "您的消息未被存档：您不在企业的存档名单中。"))
	default:
		lines = append(lines, l.say("Whether your messages are archived could not be found out today.", "今日无法确认您的消息是否被存档。"))
	}
	lines = append(lines,
		l.say("What to do today:", "请于今日处理："),
		l.say("1. In the WeCom app open Me (我), Settings (设置), Account (账号), and bind your mobile number.", "1. 在企业微信 App 中打开“我 > 设置 > 账号”，绑定手机号。"),
		l.say("2. If that is not offered, ask your company's WeCom admin to enter it: admin console, Contacts (通讯录), your name, Edit.",
			"2. 如无此选项，请联系企业微信管理员填写：管理后台 > 通讯录 > 您的姓名 > 编辑。"),
		l.say("This comes each day at 12:00 UTC until WeCom shows your number again.", "在企业微信重新显示您的手机号之前，本消息每日 12:00 UTC 发送。"))
	return strings.Join(lines, "\n")
}

// tellings is what a message in WeCom begins with, in short.
func (m Marks) tellings(l Language) []string {
	var out []string
	if m.Simulated {
		out = append(out, l.say("SIMULATED COMPANY: all of this is invented", "模拟企业：内容均为虚构"))
	}
	if m.Trial {
		out = append(out, l.say("TRIAL STACK", "试用环境"))
	}
	return out
}

// cutBytes cuts a text to at most n bytes, between characters.
func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
