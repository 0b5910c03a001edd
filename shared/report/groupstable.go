package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
)

// groupLine is one line of the table of groups: a contact who has not agreed, or of whom it is not known; or a group of which no such contact is known.
type groupLine struct {
	group   seen
	contact *GroupContact
}

// groupsSheet is the table that goes with R6: every group and contact that the mail tells of, however many.
func groupsSheet(f GroupsFacts, v View, lt letter) sheet {
	l := v.Language
	groups := make([]seen, len(f.Groups))
	for i, g := range f.Groups {
		groups[i].Group = g
	}
	for _, r := range f.Rows {
		if r.ID != "" {
			groups[r.Group].users = append(groups[r.Group].users, r)
		}
	}
	newest(groups, func(s seen) time.Time { return s.FirstSeen })
	var lines []groupLine
	for _, g := range groups {
		none := true
		for i := range g.Contacts {
			if c := &g.Contacts[i]; c.State != consent.Agreed {
				lines, none = append(lines, groupLine{g, c}), false
			}
		}
		if none {
			lines = append(lines, groupLine{group: g})
		}
	}
	return sheet{
		lang: l, title: lt.Title, company: lt.Company, subject: lt.Subject, banners: lt.Banners, lead: append(v.first(), lt.Lead...), guide: v.guide("wechat-groups"), noun: nounRows,
		columns: []column{
			{head: l.say("State", "状态"), width: 150}, {head: l.say("Group", "群"), width: 200, free: true}, {head: l.say("Group id", "群 ID"), width: 160},
			{head: l.say("WeCom users", "企业微信用户"), width: 200, free: true}, {head: l.say("External contact", "外部联系人"), width: 160, free: true},
			{head: l.say("Contact id", "联系人 ID"), width: 160}, {head: l.say("Since", "起始时间"), width: 200}, {head: l.say("Alert since", "提醒开始"), width: 140},
			{head: l.say("Messages that were not archived", "未存档的消息"), width: 120}, {head: l.say("Known from the archive", "存档所知"), free: true},
		},
		rows: len(lines),
		row:  func(i int) sheetRow { return lines[i].row(v) },
	}
}

func (x groupLine) row(v View) sheetRow {
	l := v.Language
	var who, id, began string
	state := l.say("not known who agreed", "同意情况未知")
	if c := x.contact; c != nil {
		who, id, began = clip(c.Name, 60), clip(string(c.ID), 64), since(c.Change, v)
		switch c.State {
		case consent.Disagreed:
			state = l.say("disagreed", "不同意")
		case consent.NotYet:
			state = l.say("has not agreed yet", "尚未同意")
		case consent.Default:
			state = l.say("agreed by default", "默认同意")
		case consent.Agreed, consent.Unknown, consent.Shown:
		}
	} else if x.group.Shown {
		state = l.say("everybody has agreed", "所有人均已同意")
	}
	if x.group.News == Over {
		state = l.say("over", "已结束")
	}
	var users []string
	for _, r := range x.group.users {
		name := clip(r.Name, 40)
		if name == "" {
			name = l.say("name unknown", "姓名未知")
		}
		users = append(users, name+" ("+clip(string(r.ID), 64)+")")
	}
	var known []string
	if !x.group.Shown {
		known = append(known, l.sayf("messages from %[1]s to %[2]s", "消息自 %[1]s 至 %[2]s", v.at(x.group.First), v.at(x.group.Last)))
		if n := len(x.group.Archived); n > 0 {
			known = append(known, idsOf(x.group.Archived))
		}
		if x.group.Why != "" {
			known = append(known, clip(x.group.Why, 60))
		}
	}
	alert := ""
	if !x.group.FirstSeen.IsZero() {
		alert = v.at(x.group.FirstSeen)
	}
	return sheetRow{cells: []sheetCell{
		text(state), text(clip(x.group.Name, 80) + x.group.entered(l)), text(clip(string(x.group.ID), 64)), {lines: users}, text(who), text(id), text(began),
		{lines: []string{alert}, sort: fmt.Sprint(x.group.FirstSeen.Unix())}, text(l.say("not known", "未知")), {lines: known},
	}}
}

func idsOf(ids []archive.PartyID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = clip(string(id), 64)
	}
	return strings.Join(words, ", ")
}
