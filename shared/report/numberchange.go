package report

import (
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
)

// NumberChangeFacts is everything that R3 is made of: whose mobile number changed in the day's window.
type NumberChangeFacts struct {
	Corp     Corp        `json:"corp"`
	Marks    Marks       `json:"marks"`
	Day      time.Time   `json:"day"`
	Snapshot time.Time   `json:"snapshot,omitzero"`
	Rows     []NumberRow `json:"rows,omitempty"`
	Unread   []Unread    `json:"unread,omitempty"`
	Reported []Reported  `json:"reported"` // what this report and those before it told; nil: written by a version that did not keep it
}

// Heard is which events were told by this report or before it.
func (f NumberChangeFacts) Heard() []Reported { return f.Reported }

// NumberRow is one change of one user's number.
type NumberRow struct {
	Person
	Old     string    `json:"old,omitempty"` // "": there was none
	New     string    `json:"new,omitempty"` // "": it was removed, and R2 tells of it each day
	When    Between   `json:"when"`
	Updated time.Time `json:"updated,omitzero"` // when the identity record got the new number; zero: it has not
	Still   []string  `json:"still,omitempty"`  // what else still holds the old number and goes on matching by it, in words: "HR file 3", "mapping row 12"
	File    *FileLine `json:"file,omitempty"`   // the row of the company's own file in force that still holds the old number
	Late    bool      `json:"late,omitempty"`
}

// FileLine is a row of the company's own file about its people.
type FileLine struct {
	Version int `json:"version"`
	Line    int `json:"line"`
}

// still says that something goes on matching by the old number.
func (r NumberRow) still() bool { return len(r.Still) > 0 || r.File != nil }

// what is the change in a word.
func (r NumberRow) what() directory.Change {
	switch {
	case r.Old == "":
		return directory.MobileSet
	case r.New == "":
		return directory.MobileRemoved
	default:
		return directory.MobileChanged
	}
}

// Of is how many rows there are.
func (f NumberChangeFacts) Of() int { return len(f.Rows) }

// Row is the departments of the i-th row.
func (f NumberChangeFacts) Row(i int) []int { return f.Rows[i].Departments }

// Pick is Within for rows whose places are known already, ascending.
func (f NumberChangeFacts) Pick(rows []int32, holds func(departments []int) bool) NumberChangeFacts {
	f.Rows, f.Unread = picked(f.Rows, rows), unreadWithin(f.Unread, holds)
	return f
}

// Within is the facts as somebody may see them whose scope holds what holds says. f stays as it is.
func (f NumberChangeFacts) Within(holds func(departments []int) bool) NumberChangeFacts {
	return f.Pick(within(f.Of(), f.Row, holds), holds)
}

// Blind is what could not be read.
func (f NumberChangeFacts) Blind() []Unread { return f.Unread }

// Knowing is the facts after a report that could not read before.
func (f NumberChangeFacts) Knowing(before []Unread) NumberChangeFacts {
	f.Unread = Knowing(f.Unread, before)
	return f
}

// Quiet says that there is nothing to tell, and that this is known.
func (f NumberChangeFacts) Quiet() bool {
	return len(f.Rows) == 0 && !fresh(f.Unread) && !f.Snapshot.IsZero()
}

// NewNumberChange builds R3. Equal arguments give equal bytes.
func NewNumberChange(f NumberChangeFacts, v View) (Mail, error) {
	l := v.Language
	words := func(r NumberRow) string {
		switch r.what() {
		case directory.MobileSet:
			return l.say("number set", "新填手机号")
		case directory.MobileRemoved:
			return l.say("number removed", "手机号被移除")
		default:
			return l.say("number changed", "手机号变更")
		}
	}
	record := func(r NumberRow) string {
		var s string
		switch {
		case !r.Updated.IsZero():
			s = l.sayf("archive account updated %s", "存档账户已于 %s 更新", v.at(r.Updated))
		case r.New == "":
			s = l.say("archive account keeps the old number as a former one", "存档账户保留原手机号作为历史号码")
		default:
			s = l.say("archive account NOT updated", "存档账户尚未更新")
		}
		if r.File != nil {
			s += l.sayf("; line %[1]d of the HR file (version %[2]d) still holds the old number and goes on matching by it", "；HR 文件（版本 %[2]d）第 %[1]d 行仍为旧手机号，并继续按其匹配", r.File.Line, r.File.Version)
		}
		for _, still := range r.Still {
			s += l.sayf("; %s still holds the old number and goes on matching by it", "；%s 仍为旧手机号，并继续按其匹配", clip(still, 80))
		}
		return s
	}
	change := func(what directory.Change) func(NumberRow) answer {
		return func(r NumberRow) answer { return is(r.what() == what) }
	}
	x := listing[NumberRow]{
		kind: NumberChange, corp: f.Corp, marks: f.Marks, day: f.Day, snapshot: f.Snapshot, period: true, unread: f.Unread, view: v,
		rows: f.Rows, person: func(r NumberRow) Person { return r.Person }, noun: noun{"changes", "变更", "条"}, guide: "number-change",
		news:    l.sayf("%d "+plural(uint64(len(f.Rows)), "change", "changes"), "%d 条变更", len(f.Rows)),
		quiet:   l.say("No mobile number changed in this period.", "本期没有手机号变更。"),
		heading: l.say("Changed numbers", "变更的手机号"),
		head:    l.say("Old and new number, and the archive account", "新旧手机号及存档账户"),
		lead:    lateLine(l, f.Rows, func(r NumberRow) bool { return r.Late }),
		tallies: []tally[NumberRow]{
			{key: "c", en: "Number changed", zh: "手机号变更", holds: change(directory.MobileChanged)},
			{key: "s", en: "Number set where there was none", zh: "新填手机号", holds: change(directory.MobileSet)},
			{key: "r", en: "Number removed", zh: "手机号被移除", holds: change(directory.MobileRemoved), alarm: true},
			{key: "o", en: "Archive account not updated yet", zh: "存档账户尚未更新", holds: notUpdated, alarm: true},
			{key: "m", en: "The old number is still used for matching", zh: "仍按旧手机号匹配", holds: func(r NumberRow) answer { return is(r.still()) }},
		},
		columns: []column{
			{head: l.say("Change", "变更"), width: 120},
			{head: l.say("Old number", "原手机号"), width: 140},
			{head: l.say("New number", "新手机号"), width: 140},
			{head: l.say("When (UTC)", "时间 (UTC)"), width: 175},
			{head: l.say("Late", "延迟"), width: 70},
			{head: l.say("Archive account", "存档账户")},
		},
		cells: func(r NumberRow) []sheetCell {
			return []sheetCell{
				text(words(r)), text(v.number(r.Old)), text(v.newNumber(r)), v.betweenCell(r.When), text(lateWord(l, r.Late)), text(record(r)),
			}
		},
		brief: func(r NumberRow) cell {
			return cell{
				Text:  l.sayf("%[1]s: from %[2]s to %[3]s; %[4]s", "%[1]s：%[2]s → %[3]s；%[4]s", words(r), v.number(r.Old), v.newNumber(r), record(r)),
				Small: v.between(r.When) + lateMark(l, r.Late),
			}
		},
	}
	if steps := v.numberSteps(f); len(steps) > 0 {
		x.after = []section{v.steps(steps)}
	}
	return x.mail()
}

// newNumber is the new number as it may be shown. Where it looks like the old one because their digits differ only where they are masked, it says so.
func (v View) newNumber(r NumberRow) string {
	s := v.number(r.New)
	if r.Old != "" && r.New != "" && s == v.number(r.Old) {
		s += v.Language.say(" (another number: the hidden digits differ)", "（号码不同：隐藏位有变化）")
	}
	return s
}

func notUpdated(r NumberRow) answer { return is(r.New != "" && r.Updated.IsZero()) }

// lateLine says how many rows belong to an earlier period.
func lateLine[R any](l Language, rows []R, late func(R) bool) []string {
	n := 0
	for _, r := range rows {
		if late(r) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return []string{l.sayf("Late, of an earlier period, and known only now: %d. They are marked.", "其中 %d 条属于更早的区间，现在才得知，已标为“延迟”。", n)}
}

func lateWord(l Language, late bool) string {
	if late {
		return l.say("late", "延迟")
	}
	return ""
}

func lateMark(l Language, late bool) string {
	if late {
		return l.say(" (late: of an earlier period)", "（延迟：属于更早的区间）")
	}
	return ""
}
