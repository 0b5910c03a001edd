package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/report"
)

// listed is a mail as the mailbox lists it.
type listed struct {
	ses.Mail
	To string
	head
}

// head is what the mailbox needs of a mail's header.
type head struct {
	Report   string // its code
	Language string
	Urgent   bool
	State    string // of an alert: "began", "changed", "open" or "over"
	Attempt  string
	Threads  []string // what it refers to; the last is what it answers
	Files    bool
}

// inThreadOf says whether two mails refer to the same matter.
func (l listed) inThreadOf(o listed) bool {
	return slices.ContainsFunc(l.Threads, func(t string) bool { return slices.Contains(o.Threads, t) })
}

// heads keeps what was read of mails: a mail never changes, and a month of them is long to read again for each page.
type heads struct {
	mu   sync.Mutex
	read map[string]head
}

// of is a mail's head, read by raw if it is not known yet.
func (h *heads) of(id string, raw func(string) ([]byte, error)) (head, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known, ok := h.read[id]; ok {
		return known, nil
	}
	source, err := raw(id)
	if err != nil {
		return head{}, err
	}
	fields := headersOf(source)
	found := head{
		Report: fields.Get("X-Wecomvault-Report"), Language: fields.Get("Content-Language"), Urgent: strings.EqualFold(fields.Get("Importance"), "high"),
		State:   fields.Get("X-Wecomvault-State"),
		Attempt: fields.Get("X-Wecomvault-Attempt"), Threads: strings.Fields(fields.Get("References")), Files: strings.HasPrefix(fields.Get("Content-Type"), "multipart/mixed"),
	}
	if h.read == nil {
		h.read = map[string]head{}
	}
	h.read[id] = found
	return found, nil
}

// listed is every mail there is, the oldest first.
func (p *pages) listed() ([]listed, error) {
	all, err := p.mails.Mails()
	if err != nil {
		return nil, err
	}
	out := make([]listed, 0, len(all))
	for _, m := range all {
		h, err := p.heads.of(m.ID, p.mails.Raw)
		if err != nil {
			return nil, err
		}
		out = append(out, listed{Mail: m, To: strings.Join(m.Destinations, ", "), head: h})
	}
	return out, nil
}

// filter is what somebody wants to see of the mailbox. Empty fields let everything pass.
type filter struct {
	To, Report, Subject, Day string
}

func (f filter) holds(l listed) bool {
	return (f.To == "" || slices.Contains(l.Destinations, f.To)) && (f.Report == "" || l.Report == f.Report) &&
		strings.Contains(strings.ToLower(l.Mail.Subject), strings.ToLower(f.Subject))
}

// Address is the mailbox as the filter shows it, on a day or, with "", from the newest on.
func (f filter) Address(day string) string {
	q := url.Values{}
	for name, value := range map[string]string{"to": f.To, "report": f.Report, "subject": f.Subject, "day": day} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return "/mailbox"
	}
	return "/mailbox?" + q.Encode()
}

// Any says whether anything is filtered.
func (f filter) Any() bool { return f.To+f.Report+f.Subject != "" }

// dayOfMails is the mails of one day, the newest first.
type dayOfMails struct {
	Date    string
	Weekday string
	N       int
	Mails   []listed // nil if the day is not shown
}

// choice is something to filter by.
type choice struct {
	Value, Words string
	Chosen       bool
}

type mailboxPage struct {
	Filter      filter
	Receivers   []choice
	Reports     []choice
	Days        []dayOfMails // the newest first
	Shown       int          // mails that pass the filter
	All         int
	Undisclosed int // days of which only the number of mails is told
}

// The mailbox shows as many of the newest days as hold this many mails, and at least one; the others by their links.
const firstMails = 200

func (p *pages) mailbox(r *http.Request) (string, any, error) {
	all, err := p.listed()
	if err != nil {
		return "", nil, err
	}
	q := r.URL.Query()
	page := mailboxPage{Filter: filter{To: q.Get("to"), Report: q.Get("report"), Subject: q.Get("subject"), Day: q.Get("day")}, All: len(all)}
	receivers, reports := map[string]bool{}, map[string]bool{}
	listed := 0
	for _, m := range slices.Backward(all) {
		for _, to := range m.Destinations {
			receivers[to] = true
		}
		if m.Report != "" {
			reports[m.Report] = true
		}
		if !page.Filter.holds(m) {
			continue
		}
		page.Shown++
		at := m.Accepted.UTC()
		date := at.Format(time.DateOnly)
		if n := len(page.Days); n == 0 || page.Days[n-1].Date != date {
			page.Days = append(page.Days, dayOfMails{Date: date, Weekday: at.Weekday().String()})
		}
		day := &page.Days[len(page.Days)-1]
		day.N++
		if wanted := page.Filter.Day; wanted == date || wanted == "" && (listed < firstMails || len(day.Mails) > 0) {
			day.Mails = append(day.Mails, m)
			listed++
		}
	}
	for _, d := range page.Days {
		if len(d.Mails) == 0 {
			page.Undisclosed++
		}
	}
	page.Receivers, page.Reports = choices(receivers, page.Filter.To, nil), choices(reports, page.Filter.Report, func(code string) string {
		if k, err := report.ParseKind(code); err == nil {
			return code + " " + k.Title(report.English)
		}
		return code
	})
	return "mailbox", page, nil
}

func choices(of map[string]bool, chosen string, words func(string) string) []choice {
	if chosen != "" {
		of[chosen] = true
	}
	var out []choice
	for value := range of {
		c := choice{Value: value, Words: value, Chosen: value == chosen}
		if words != nil {
			c.Words = words(value)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b choice) int {
		if n := len(a.Value) - len(b.Value); words != nil && n != 0 {
			return n // R2 before R12
		}
		return strings.Compare(a.Value, b.Value)
	})
	return out
}
