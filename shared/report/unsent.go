package report

import "time"

// Unsent is a mail, or a message in WeCom, that could not be sent for days, and that nobody tries to send any more.
type Unsent struct {
	To      string    `json:"to"` // the address; of a message in WeCom the userid
	InWeCom bool      `json:"in_wecom,omitempty"`
	Report  string    `json:"report"`
	Day     string    `json:"day"` // of alerts, the moment that they tell of
	At      time.Time `json:"at"`  // when it was given up
	Doubt   bool      `json:"doubt,omitempty"`
	Planned bool      `json:"planned,omitempty"` // it is to be sent still
}

// namedUnsent is how many of them a mail lists.
const namedUnsent = 30

// inWeCom is how many of them are messages in WeCom.
func inWeCom(all []Unsent) int {
	n := 0
	for _, u := range all {
		if u.InWeCom {
			n++
		}
	}
	return n
}

// unsent lists what was given up. Whoever should have had them knows nothing of it: they are told here, and by an alarm, until somebody has settled them.
func (v View) unsent(all []Unsent) section {
	l := v.Language
	if len(all) == 0 {
		return section{}
	}
	sec := section{Heading: l.say("Mails that were never sent", "始终未能发出的邮件"), Alarm: true,
		Table: &table{Head: []string{l.say("Mail", "邮件"), l.say("What became of it", "情况")}},
		Paras: []string{l.say("Settle each with vaultctl receivers unsent: have it sent still, or say that nobody needs it.", "请用 vaultctl receivers unsent 逐一处理：仍然发送，或确认不再需要。")}}
	if n := inWeCom(all); n > 0 {
		if sec.Heading = l.say("Messages in WeCom that were never sent", "始终未能发出的企业微信消息"); n < len(all) {
			sec.Heading = l.say("Mails and messages in WeCom that were never sent", "始终未能发出的邮件和企业微信消息")
		}
		sec.Paras = append(sec.Paras, l.say("A message in WeCom is not sent days later: a new one goes out each noon while the number is missing. Say that nobody needs the old one.",
			"企业微信消息不会在数日后补发：手机号丢失期间，每日正午会发送新的消息。旧消息请确认不再需要。"))
	}
	for i, u := range all {
		if i == namedUnsent {
			sec.Paras = append(sec.Paras, l.sayf("And %d more.", "另有 %d 封。", len(all)-i))
			break
		}
		words := l.sayf("given up %s: not sent for days", "%s 放弃：多日未能发出", v.at(u.At))
		if u.Doubt {
			words = l.sayf("given up %s: whether it was sent is not known", "%s 放弃：是否已发出未知", v.at(u.At))
		}
		if u.Planned {
			words += l.say("; it is to be sent still", "；仍将发送")
		}
		which := clip(u.Report+" "+u.Day, 60)
		if u.InWeCom {
			which += l.say(", message in WeCom", "，企业微信消息")
		}
		sec.Table.Rows = append(sec.Table.Rows, []cell{{Text: clip(u.To, 80), Small: which}, {Text: words}})
	}
	return sec
}
