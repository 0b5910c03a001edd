package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// mailAnswer is a mail and its fate.
type mailAnswer struct {
	Day            string `json:"day"` // of alerts, the moment that they tell of
	Report         string `json:"report"`
	To             string `json:"to"`
	State          string `json:"state"` // planned, sending, sent, refused, given-up
	Reason         string `json:"reason,omitempty"`
	At             string `json:"at,omitempty"`
	PossibleDouble bool   `json:"possible_double"`
	Fate           string `json:"fate,omitempty"` // what SES has said since
	FateDetail     string `json:"fate_detail,omitempty"`
	FateAt         string `json:"fate_at,omitempty"`
}

// reportOf is the report that a mail is of: a user's own notice of one is of that report.
func reportOf(m ledger.MailRow) string {
	code, _, _ := strings.Cut(m.Report, "-")
	return code
}

// gets is the mails that the receivers within the caller's reach get: those of their reports, at their mailboxes, from the day on which they were entered. Other mails to
// the same mailbox are for what its owner is besides, which is nobody's business who enters that address as a receiver.
func (x roll) gets() func(ledger.MailRow) bool {
	type mail struct{ box, report string }
	since := map[mail]string{}
	for _, r := range x.seen {
		day := ""
		if !r.Added.IsZero() {
			day = r.Added.UTC().Format(time.DateOnly)
		}
		for _, k := range r.Reports {
			of := mail{receivers.Mailbox(r.Address), string(k)}
			if first, there := since[of]; !there || day < first {
				since[of] = day
			}
		}
	}
	return func(m ledger.MailRow) bool {
		first, there := since[mail{receivers.Mailbox(m.To), reportOf(m)}]
		return there && m.Day >= first
	}
}

// listMails lists a corp's mails, the newest day first; those to one mailbox, or of one report, where that is asked for. Who reaches only departments sees the mails
// that the receivers within them get.
func (a *api) listMails(ctx context.Context, c *call) (answer, error) {
	p, err := pageOf(c.query, "mails", c.corp.ID, "to", "report")
	if err != nil {
		return answer{}, err
	}
	if p.After != "" && (p.After < "0" || p.After[0] > '9') {
		return answer{}, badCursor() // every mail's key begins with a day
	}
	mine := func(ledger.MailRow) bool { return true }
	if !c.reach.All() {
		x, err := a.roll(ctx, c)
		if err != nil {
			return answer{}, err
		}
		mine = x.gets()
	}
	to, kind := c.query.Get("to"), c.query.Get("report")
	if kind != "" && !slices.Contains(report.Kinds(), report.Kind(kind)) {
		return answer{}, malformed("report", "there is no such report", "choose one that the list of reports shows, or leave it out")
	}
	wanted := func(m ledger.MailRow) bool {
		return (to == "" || receivers.Mailbox(to) == receivers.Mailbox(m.To)) && (kind == "" || kind == reportOf(m))
	}
	list := []mailAnswer{}
	last, next, seen := "", "", 0
	err = a.ledger.MailsBefore(ctx, c.corp.ID, p.After, func(m ledger.MailRow) bool {
		if len(list) == p.Limit || seen == a.mailsRead {
			next = p.next(last, true)
			return false
		}
		last, seen = m.Key(), seen+1
		if !mine(m) || !wanted(m) {
			return true
		}
		list = append(list, mailAnswer{Day: m.Day, Report: m.Report, To: m.To, State: m.State, Reason: m.Reason, At: rfc3339(m.At), PossibleDouble: m.PossibleDouble(),
			Fate: string(m.Fate), FateDetail: m.FateDetail, FateAt: rfc3339(m.FateAt)})
		return true
	})
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: struct {
		Mails []mailAnswer `json:"mails"`
		Next  string       `json:"next,omitempty"`
	}{list, next}}, nil
}
