package report

import (
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// DeletedUsersFacts is everything that R4 is made of: who left, was deleted, or is no longer shown to us, in the day's window.
type DeletedUsersFacts struct {
	Corp     Corp         `json:"corp"`
	Marks    Marks        `json:"marks"`
	Day      time.Time    `json:"day"`
	Snapshot time.Time    `json:"snapshot,omitzero"`
	Delivery bool         `json:"delivery,omitempty"` // delivery to mailboxes is set up
	Holding  bool         `json:"holding,omitempty"`  // this deployment knows legal holds
	Rows     []DeletedRow `json:"rows,omitempty"`
	Unread   []Unread     `json:"unread,omitempty"`
	Reported []Reported   `json:"reported"` // what this report and those before it told; nil: written by a version that did not keep it
}

// Heard is which events were told by this report or before it.
func (f DeletedUsersFacts) Heard() []Reported { return f.Reported }

// DeletedRow is one user who went. Departments are those last held.
type DeletedRow struct {
	Person
	How         directory.Departure `json:"how"`
	NewID       archive.PartyID     `json:"new_id,omitempty"` // for a changed userid
	When        Between             `json:"when"`
	Mobile      string              `json:"mobile,omitempty"` // the last
	MobileKnown bool                `json:"mobile_known"`
	Email       string              `json:"email,omitempty"`
	EmailKnown  bool                `json:"email_known"`
	KeptUntil   time.Time           `json:"kept_until,omitzero"` // when the last of what is archived of the user may expire; zero: not known
	Nothing     bool                `json:"nothing,omitempty"`   // nothing is archived of the user
	Holds       Quantity            `json:"holds"`
	Open        Quantity            `json:"open"`           // deliveries that are still open
	Back        bool                `json:"back,omitempty"` // is there again by now
	Late        bool                `json:"late,omitempty"`
}

// Of is how many rows there are.
func (f DeletedUsersFacts) Of() int { return len(f.Rows) }

// Row is the departments of the i-th row.
func (f DeletedUsersFacts) Row(i int) []int { return f.Rows[i].Departments }

// Pick is Within for rows whose places are known already, ascending.
func (f DeletedUsersFacts) Pick(rows []int32, holds func(departments []int) bool) DeletedUsersFacts {
	f.Rows, f.Unread = picked(f.Rows, rows), unreadWithin(f.Unread, holds)
	return f
}

// Within is the facts as somebody may see them whose scope holds what holds says. f stays as it is.
func (f DeletedUsersFacts) Within(holds func(departments []int) bool) DeletedUsersFacts {
	return f.Pick(within(f.Of(), f.Row, holds), holds)
}

// Quiet says that there is nothing to tell, and that this is known.
func (f DeletedUsersFacts) Quiet() bool {
	return len(f.Rows)+len(f.Unread) == 0 && !f.Snapshot.IsZero()
}

// departure says in which way a user went. What we only don't see any more is not called deleted.
func (v View) departure(r DeletedRow) string {
	l := v.Language
	var s string
	switch r.How {
	case directory.Quit:
		s = l.say("left the company", "已退出企业")
	case directory.WasDeleted:
		s = l.say("deleted in WeCom", "已在企业微信中删除")
	case directory.WasRenamed:
		s = l.sayf("not gone: the userid is now %s", "未离开：userid 已改为 %s", clip(string(r.NewID), 64))
	case directory.OutOfView:
		s = l.say("no longer shown to us: WeCom says that our secret may not see the user", "不再向我们显示：企业微信表示我们的密钥无权查看该用户")
	default:
		s = l.say("no longer shown to us: deleted, or moved out of what our secret may see", "不再向我们显示：已删除，或已移出我们密钥的可见范围")
	}
	if r.Back {
		s += l.say("; is there again by now", "；现已重新出现")
	}
	return s
}

// NewDeletedUsers builds R4. Equal arguments give equal bytes.
func NewDeletedUsers(f DeletedUsersFacts, v View) (Mail, error) {
	l := v.Language
	how := func(want ...directory.Departure) func(DeletedRow) answer {
		return func(r DeletedRow) answer {
			for _, w := range want {
				if r.How == w {
					return yes
				}
			}
			return no
		}
	}
	last := func(value string, known bool, show string) string {
		if value == "" && !known {
			return l.say("unknown", "未知")
		}
		return show
	}
	kept := func(r DeletedRow) string {
		if r.Nothing {
			return l.say("nothing is archived", "没有存档内容")
		}
		if r.KeptUntil.IsZero() {
			return l.say("not known", "未知")
		}
		return r.KeptUntil.UTC().Format("2006-01-02")
	}
	holds := func(r DeletedRow) string {
		if !f.Holding {
			return l.say("none kept by this product", "本产品未设保全")
		}
		return r.Holds.text(l)
	}
	open := func(r DeletedRow) string {
		if !f.Delivery {
			return l.say("delivery is not set up", "未配置投递")
		}
		return r.Open.text(l)
	}
	gone := 0
	for _, r := range f.Rows {
		if r.How != directory.WasRenamed {
			gone++
		}
	}
	news := nUsers(l, gone)
	if gone == 0 {
		news = l.say("userids changed only", "仅 userid 变更")
	}
	x := listing[DeletedRow]{
		kind: DeletedUsers, corp: f.Corp, marks: f.Marks, day: f.Day, snapshot: f.Snapshot, period: true, unread: f.Unread, view: v,
		rows: f.Rows, person: func(r DeletedRow) Person { return r.Person }, noun: nounUsers, guide: "deleted-users",
		news:    news,
		quiet:   l.say("Nobody left, was deleted or went out of our sight in this period.", "本期没有用户退出、被删除或不再可见。"),
		heading: l.say("Who went", "离开的用户"),
		head:    l.say("In which way, and what is kept", "离开方式及保留情况"),
		lead: append(lateLine(l, f.Rows, func(r DeletedRow) bool { return r.Late }),
			l.say("What is archived of them stays archived: nothing is deleted because somebody leaves.", "其已存档内容继续保留：不会因用户离开而删除任何内容。")),
		tallies: []tally[DeletedRow]{
			{key: "q", en: "Left the company", zh: "已退出企业", holds: how(directory.Quit)},
			{key: "d", en: "Deleted in WeCom", zh: "已在企业微信中删除", holds: how(directory.WasDeleted)},
			{key: "v", en: "No longer shown to us", zh: "不再向我们显示", holds: how(directory.OutOfView, directory.UnlistedSince)},
			{key: "r", en: "Not gone: userid changed", zh: "未离开：userid 变更", holds: how(directory.WasRenamed)},
		},
		columns: []column{
			{head: l.say("When (UTC)", "时间 (UTC)"), width: 175},
			{head: l.say("Last mobile", "最后手机号"), width: 140},
			{head: l.say("Last email", "最后邮箱"), width: 190, free: true},
			{head: l.say("Kept until at least", "至少保留至"), width: 110},
		},
		cells: func(r DeletedRow) []sheetCell {
			cells := []sheetCell{
				v.betweenCell(r.When), text(last(r.Mobile, r.MobileKnown, v.number(r.Mobile))), text(v.address(r.Email, r.EmailKnown)), text(kept(r)),
			}
			return append(cells, text(holds(r)), text(open(r)), text(lateWord(l, r.Late)), text(v.departure(r)))
		},
		brief: func(r DeletedRow) cell {
			s := v.departure(r)
			if r.How != directory.WasRenamed {
				if r.Nothing {
					s += l.say("; nothing is archived of this user", "；没有存档内容")
				} else {
					s += l.sayf("; kept until at least: %s", "；至少保留至：%s", kept(r))
				}
				s += l.sayf("; holds: %s", "；保全：%s", holds(r))
				s += l.sayf("; open deliveries: %s", "；未完成投递：%s", open(r))
			}
			return cell{Text: s, Small: v.between(r.When) + lateMark(l, r.Late)}
		},
	}
	x.columns = append(x.columns, column{head: l.say("Holds", "保全"), width: 80}, column{head: l.say("Open deliveries", "未完成投递"), width: 120}, column{head: l.say("Late", "延迟"), width: 70}, column{head: l.say("Kind", "离开方式")})
	if slices.ContainsFunc(f.Rows, func(r DeletedRow) bool { return how(directory.OutOfView, directory.UnlistedSince)(r) == yes }) {
		x.after = []section{v.steps([]step{{Text: l.say("No longer shown to us: look into the visible range (可见范围) of the app whose secret reads the directory before you close an account. It may have been made smaller.",
			"不再向我们显示：关闭账户前，请先核实读取通讯录的应用的可见范围是否被缩小。")}})}
	}
	return x.mail()
}
