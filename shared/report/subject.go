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

// alertSubject is that of an alert, and of whatever follows on it: of the day on which the matter began, and without its state, because Gmail takes mails for one
// conversation only as long as nothing but a Re: tells their subjects apart. What follows has that. The state stands first in the mail, beside the subject
// where a list shows a mail's beginning, and in a header of its own for filters.
func (v View) alertSubject(c Corp, k Kind, since time.Time, what string, news News) string {
	s := v.subject(c, k, since, v.Language.say("ALERT: ", "警报：")+what)
	if news != Began {
		s = "Re: " + s
	}
	return s
}

// tell says in a mail's first line what is new of an alert.
func (lt *letter) tell(news News, what string, others int) {
	l := lt.View.Language
	if others > 0 {
		what += l.sayf(" (and %d more)", "（另有 %d 项）", others)
	}
	switch news {
	case Began:
		lt.State = l.say("URGENT, new: ", "紧急，新增：") + what
	case Changed:
		lt.State = l.say("URGENT, changed: ", "紧急，有变化：") + what
	case Over:
		lt.State = l.say("Over: ", "已结束：") + what
	case Same:
		lt.State = l.say("Still open: ", "仍未处理：") + what
	}
	lt.News = news
	lt.Preheader = lt.State + l.say(". ", "。") + lt.Preheader
}
