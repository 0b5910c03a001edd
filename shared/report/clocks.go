package report

import (
	"time"
)

// Windows is how long WeCom is taken to keep what is not fetched. Both are settings: nobody outside WeCom can measure them.
type Windows struct {
	Chats time.Duration
	Media time.Duration
}

func (w Windows) text(l Language) string {
	days := func(d time.Duration) string { return trimFloat(d.Hours() / 24) }
	return l.sayf("if WeCom keeps chats %s days and media %s", "前提是企业微信保留聊天数据 %s 天、媒体文件 %s 天", days(w.Chats), days(w.Media))
}

// ClockState says what a clock can tell.
type ClockState int

// The states of a clock. The zero value is the one that alarms.
const (
	ClockUnknown ClockState = iota // never caught up: what is at risk can't be told
	ClockRunning                   // something leaves WeCom's window at Ends, at the earliest
	ClockIdle                      // nothing waits
)

// Clock is the time left before something leaves WeCom's windows: one runs for messages, one for attachments.
type Clock struct {
	State ClockState
	Ends  time.Time // for ClockRunning: last known to be caught up, or oldest waiting, plus the window
}

// hours is the whole hours left at now, never below 0.
func (c Clock) hours(now time.Time) int {
	if left := c.Ends.Sub(now); left > 0 {
		return int(left / time.Hour)
	}
	return 0
}

// text is the clock's sentence, in the wording that claims no more than is known.
func (c Clock) text(v View, now time.Time, w Windows) string {
	l := v.Language
	switch {
	case c.State == ClockIdle:
		return l.say("nothing waits", "没有等待中的内容")
	case c.State == ClockUnknown:
		return l.say("unknown: this company was never caught up, so the time left can't be counted", "未知：该企业从未追平数据，无法计算剩余时间")
	case !c.Ends.After(now):
		return l.sayf("none, %[2]s: the window ended %[1]s, and what is not fetched yet may be gone", "无（%[2]s）：窗口已于 %[1]s 结束，尚未拉取的内容可能已丢失", v.at(c.Ends), w.text(l))
	default:
		n := c.hours(now)
		return l.sayf("at least %[1]d "+plural(uint64(n), "hour", "hours")+", %[2]s; until %[3]s", "至少 %[1]d 小时，%[2]s；至 %[3]s", n, w.text(l), v.at(c.Ends))
	}
}
