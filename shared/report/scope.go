package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Concern is a user whom a report concerns and who is mailed a notice of its own, beside the report that goes to receivers.
type Concern struct {
	ID      archive.PartyID
	Name    string // "" if unknown
	Address string // never "": who has none is listed in the report as one who could not be told
}

// Within is the facts as somebody may see them whose scope holds what holds says: only the rows of users in it, and nothing that is a count of
// others. holds(nil) is true for the whole company's scope alone, which alone sees what is no count of rows. f stays as it is.
func (f UserStatusFacts) Within(holds func(departments []int) bool) UserStatusFacts {
	var rows []int32
	for i := range f.Users {
		if holds(f.Users[i].In) {
			rows = append(rows, int32(i)) // #nosec G115 -- a company has fewer members than that
		}
	}
	return f.Pick(rows, holds)
}

// Of is how many rows the facts have, and Row the departments that decide who may see one: for who makes the facts of many scopes in one pass.
func (f UserStatusFacts) Of() int { return len(f.Users) }

// Row is the departments of the i-th row.
func (f UserStatusFacts) Row(i int) []int { return f.Users[i].In }

// Pick is Within for rows whose places are known already, ascending.
func (f UserStatusFacts) Pick(rows []int32, holds func(departments []int) bool) UserStatusFacts {
	if holds(nil) {
		return f
	}
	users := make([]User, 0, len(rows))
	for _, i := range rows {
		users = append(users, f.Users[i])
	}
	f.Users, f.Part, f.Capture, f.Trend = users, true, nil, nil
	before := f.BeforeTally
	f.Before, f.BeforeTally, f.Tally = nil, nil, nil
	if before != nil {
		f.Before = &Summary{}
		for _, t := range before {
			if holds(t.In) {
				f.Before.sum(t.Summary)
			}
		}
	}
	return f
}

// Tally is the summary of the users who are in the same departments. Added up over the departments of a scope it is the summary of that scope, so that the
// next day's report can tell each receiver what changed without the rows of the day before.
type Tally struct {
	In      []int   `json:"in,omitempty"`
	Summary Summary `json:"summary"`
}

// Tallied counts the users of the facts by their departments, in the order of these.
func Tallied(f UserStatusFacts) []Tally {
	by := map[string]*Tally{}
	all := lines()
	for i := range f.Users {
		u := &f.Users[i]
		in := slices.Clone(u.In)
		slices.Sort(in)
		in = slices.Compact(in)
		key := fmt.Sprint(in)
		if by[key] == nil {
			by[key] = &Tally{In: in}
		}
		by[key].Summary.take(u, f, all)
	}
	out := make([]Tally, 0, len(by))
	for _, t := range by {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Tally) int { return slices.Compare(a.In, b.In) })
	return out
}

// Total is the summary of all that were counted by their departments.
func Total(all []Tally) Summary {
	var s Summary
	for _, t := range all {
		s.sum(t.Summary)
	}
	return s
}

// sum adds another's counts: each line of a summary is a count of rows.
func (s *Summary) sum(o Summary) {
	for _, ln := range lines() {
		to, from := ln.of(s), ln.of(&o)
		to.N += from.N
		to.Unknown += from.Unknown
	}
}

// Quiet says that there is nothing to tell: the directory could be read and shows nobody.
func (f UserStatusFacts) Quiet() bool {
	return !f.Snapshot.IsZero() && len(f.Users)+len(f.Unread) == 0
}

// CheckAddress is a mail address in the form in which it is kept and compared, its domain in lower case, or what is wrong with it. Errors never repeat
// the address.
func CheckAddress(address string) (string, error) {
	address = strings.TrimSpace(address)
	if err := checkAddress(address); err != nil {
		return "", err
	}
	at := strings.LastIndexByte(address, '@')
	return address[:at] + strings.ToLower(address[at:]), nil // the part before the @ may tell cases apart
}

// CleanName is a name in the form in which it is kept: a single line without marks that turn the reading direction.
func CleanName(name string) string { return clean(name) }

// lateAfter is how long after its noon a report counts as late: the schedule runs every ten minutes and a large company takes some.
const lateAfter = time.Hour

// late is the line that a report which was made long after it was due begins with; "" for one in time.
func (v View) late() string {
	if v.Due.IsZero() || v.Made.Sub(v.Due) <= lateAfter {
		return ""
	}
	return v.Language.sayf("THIS REPORT IS LATE: it was due at %[1]s and was made at %[2]s. Its period is as it would have been; where it says “now”, it means when it was made.",
		"本报告延迟发送：应于 %[1]s 发送，实际生成于 %[2]s。统计区间不变；文中“当前”指生成之时。", v.at(v.Due), v.at(v.Made))
}

// preview is the line that a mail begins with which nobody is mailed; "" for all others.
func (v View) preview() string {
	if !v.Preview {
		return ""
	}
	return v.Language.say("PREVIEW: what this mail would be if it were noon now. It was mailed to nobody, and the next report takes nothing from it.",
		"预览：假设此刻为正午时本邮件的内容。未发送给任何人，也不影响下一份报告。")
}

// scope is the line that says of which part of the company a mail tells; "" for the whole.
func (v View) scope() string {
	if len(v.Departments) == 0 {
		return ""
	}
	const most = 8
	names := make([]string, 0, most)
	for _, d := range v.Departments[:min(len(v.Departments), most)] {
		names = append(names, clip(d, 60))
	}
	if more := len(v.Departments) - most; more > 0 {
		names = append(names, v.Language.sayf("%d more", "另 %d 个", more))
	}
	return v.Language.sayf("For %s and everything below. Other departments are not in it.", "范围：%s及其全部下级部门。不含其他部门。", v.Language.join(names))
}

// first is what a mail says before anything else.
func (v View) first() []string {
	var lines []string
	for _, line := range []string{v.preview(), v.late(), v.scope()} {
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// Within is the facts for who is in charge of the whole company, and nothing for anybody else: they tell of no department.
func (f MaintenanceFacts) Within(holds func(departments []int) bool) MaintenanceFacts {
	if holds(nil) {
		return f
	}
	return MaintenanceFacts{Corp: f.Corp, Marks: f.Marks, Now: f.Now, Daily: f.Daily, Windows: f.Windows}
}

// Quiet says that no alarm is open and none has ended.
func (f MaintenanceFacts) Quiet() bool { return len(f.Alarms) == 0 }

// Window is the period that the reports of a noon tell of: [From, To), 24 hours whatever the clocks of the company's zone do.
type Window struct {
	From, To time.Time
}

// WindowOf is the window that ends at noon.
func WindowOf(noon time.Time) Window { return Window{noon.Add(-24 * time.Hour), noon} }
