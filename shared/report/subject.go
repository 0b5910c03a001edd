package report

import "time"

// subject is a mail's subject in the one form that all of them have, so that a mailbox sorts and filters them: [corp] code and name of the report, day in UTC, part
// of the company if it is not the whole, and behind the colon how things stand. What does not change from day to day stands first.
func (v View) subject(c Corp, k Kind, at time.Time, state string) string {
	l := v.Language
	s := "[" + c.title() + "] " + string(k) + " " + k.Title(l) + " " + at.UTC().Format("2006-01-02")
	if n := len(v.Departments); n > 0 {
		s += l.say(", ", "，") + clip(v.Departments[0], 40)
		if n > 1 {
			s += l.say(" and "+decimal(n-1)+" more", "等 "+decimal(n)+" 个部门")
		}
	}
	if v.late() != "" {
		state = l.say("late: ", "延迟：") + state
	}
	if v.Preview {
		s = l.say("PREVIEW ", "【预览】") + s
	}
	return clean(s + l.say(": ", "：") + state)
}
