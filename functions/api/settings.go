package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// settingsAnswer is what a company has decided about its reports.
type settingsAnswer struct {
	Admins     []adminAnswer  `json:"admins"`
	Operations string         `json:"operations"` // "" for none, as the next two
	Control    string         `json:"control"`
	Alert      string         `json:"alert"`
	Language   string         `json:"language"` // of who has none of their own
	Service    serviceAnswer  `json:"service"`
	Reports    []switchAnswer `json:"reports"`
}

// serviceAnswer is what was bought from WeCom, as it was entered; "" and 0 were not.
type serviceAnswer struct {
	Edition string `json:"edition"`
	Seats   int    `json:"seats"`
	Start   string `json:"start"`
	End     string `json:"end"`
}

func serviceOf(s receivers.Service) serviceAnswer {
	date := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.DateOnly)
	}
	return serviceAnswer{Edition: s.Edition, Seats: s.Seats, Start: date(s.Start), End: date(s.End)}
}

// serviceBody changes it. What is left out stays; "" and 0 take away.
type serviceBody struct {
	Edition *string `json:"edition"`
	Seats   *int    `json:"seats"`
	Start   *string `json:"start"`
	End     *string `json:"end"`
}

// over lays the body over what there is. The error is a *receivers.Refusal of what is no date.
func (b *serviceBody) over(s receivers.Service) (receivers.Service, error) {
	if b == nil {
		return s, nil
	}
	if b.Edition != nil {
		s.Edition = *b.Edition
	}
	if b.Seats != nil {
		s.Seats = *b.Seats
	}
	var problems []receivers.Problem
	for _, day := range []struct {
		name string
		from *string
		to   *time.Time
	}{{"service.start", b.Start, &s.Start}, {"service.end", b.End, &s.End}} {
		if day.from == nil {
			continue
		}
		date, err := receivers.Day(*day.from)
		if err != nil {
			problems = append(problems, receivers.Problem{Field: day.name, Problem: "it is no date", Fix: "write it as YYYY-MM-DD, or empty for none"})
			continue
		}
		*day.to = date
	}
	if len(problems) > 0 {
		return s, &receivers.Refusal{Problems: problems}
	}
	return s, nil
}

// adminAnswer is an account admin: who gets urgent alerts, whatever is switched off.
type adminAnswer struct {
	Name     string         `json:"name"`
	Address  string         `json:"address"`
	Language string         `json:"language"`
	Reports  *[]report.Kind `json:"reports"` // at noon; null: the defaults
}

// switchAnswer is what is decided about one report.
type switchAnswer struct {
	Report report.Kind `json:"report"`
	On     bool        `json:"on"`
	Silent bool        `json:"silent"`       // nothing is mailed on a day without news
	By     string      `json:"by,omitempty"` // who last decided either
	At     string      `json:"at,omitempty"`

	SwitchedBy string `json:"switched_by,omitempty"` // who last switched it on or off; left out: nobody ever did
	SwitchedAt string `json:"switched_at,omitempty"`
}

func settingsOf(c ledger.Corp) settingsAnswer {
	s := c.Settings
	out := settingsAnswer{Admins: []adminAnswer{}, Operations: s.Operations, Control: s.Control, Alert: s.Alert, Language: s.Language, Service: serviceOf(s.Service), Reports: []switchAnswer{}}
	for _, r := range c.Admins() {
		admin := adminAnswer{Name: r.Name, Address: r.Address, Language: "zh"}
		if l, err := report.ParseLanguage(r.Language); err == nil {
			admin.Language = word(l)
		}
		if r.Reports != nil {
			admin.Reports = &r.Reports
		}
		out.Admins = append(out.Admins, admin)
	}
	if out.Language == "" {
		out.Language = "zh"
	}
	for _, k := range report.Kinds() {
		w := s.Switches[k]
		by, at := w.Switched()
		out.Reports = append(out.Reports, switchAnswer{Report: k, On: s.On(k), Silent: s.Silent(k), By: w.By, At: rfc3339(w.At), SwitchedBy: by, SwitchedAt: rfc3339(at)})
	}
	return out
}

func (a *api) getSettings(_ context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: settingsOf(c.corp), etag: etag(c.corp.Settings.Rev)}, nil
}

// settingsBody is what is decided. What is left out stays as it is.
type settingsBody struct {
	Admins     *[]adminBody `json:"admins"`
	Operations *string      `json:"operations"`
	Control    *string      `json:"control"`
	Alert      *string      `json:"alert"`
	Language   *string      `json:"language"`
	Service    *serviceBody `json:"service"`
	Reports    []switchBody `json:"reports"`
}

// words is what a change is about, for the audit stream: no address and no name.
func (b settingsBody) words() string {
	var words []string
	for _, f := range []struct {
		name  string
		given bool
	}{{"admins", b.Admins != nil}, {"operations", b.Operations != nil}, {"control", b.Control != nil}, {"alert", b.Alert != nil}, {"language", b.Language != nil}, {"service", b.Service != nil}} {
		if f.given {
			words = append(words, f.name)
		}
	}
	for _, w := range b.Reports {
		if w.On != nil {
			words = append(words, string(w.Report)+map[bool]string{true: " on", false: " off"}[*w.On])
		}
		if w.Silent != nil {
			words = append(words, string(w.Report)+map[bool]string{true: " silent", false: " told"}[*w.Silent])
		}
	}
	return strings.Join(words, ", ")
}

type adminBody struct {
	Name     string         `json:"name"`
	Address  string         `json:"address"`
	Language string         `json:"language"`
	Reports  *[]report.Kind `json:"reports"`
}

type switchBody struct {
	Report report.Kind `json:"report"`
	On     *bool       `json:"on"`
	Silent *bool       `json:"silent"`
}

// changeSettings decides about a company's reports.
func (a *api) changeSettings(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	rev, err := ifMatch(c.header)
	if err != nil {
		return answer{}, err
	}
	var body settingsBody
	if err := read(c.body, &body); err != nil {
		return answer{}, err
	}
	if rev != c.corp.Settings.Rev {
		return answer{}, outdated()
	}
	s := c.corp.Settings
	for _, f := range []struct{ into, from *string }{{&s.Operations, body.Operations}, {&s.Control, body.Control}, {&s.Alert, body.Alert}, {&s.Language, body.Language}} {
		if f.from != nil {
			*f.into = *f.from
		}
	}
	var wrongDates error
	s.Service, wrongDates = body.Service.over(s.Service)
	by := "api:" + clip(c.person.Subject)
	for _, w := range body.Reports {
		if !slices.Contains(report.Kinds(), w.Report) {
			return answer{}, wrong(fieldProblem{"reports", "there is no such report", "choose among those that the list of reports shows"})
		}
		if w.On != nil && *w.On != s.On(w.Report) {
			s = s.Turned(w.Report, !*w.On, by, a.now())
		}
		if w.Silent != nil && *w.Silent != s.Silent(w.Report) {
			s = s.Quietened(w.Report, *w.Silent, by, a.now())
		}
	}
	corp := c.corp
	c.object = body.words()
	s, refusal := s.Checked()
	refusal = receivers.Refused(wrongDates, refusal)
	if body.Admins != nil {
		admins, refusedAdmins := receivers.CheckAdmins(adminsOf(*body.Admins, s.Language))
		refusal = receivers.Refused(refusedAdmins, refusal)
		corp.ReportTo = nil
		for _, r := range admins {
			corp.ReportTo = append(corp.ReportTo, ledger.Receiver{Name: r.Name, Address: r.Address, Language: r.Language}.WithReports(r.Reports))
		}
	}
	if refusal != nil {
		return answer{}, invalid(refusal)
	}
	s.Rev, corp.Settings = rev, s
	rev, err = a.ledger.ChangeCorp(ctx, corp)
	if errors.Is(err, ledger.ErrLost) {
		return answer{}, outdated()
	}
	if err != nil {
		return answer{}, err
	}
	corp.Settings.Rev = rev
	return answer{status: http.StatusOK, body: settingsOf(corp), etag: etag(rev)}, nil
}

// adminsOf is the account admins of a body; who has no language of their own gets the one that the company has.
func adminsOf(bodies []adminBody, language string) []receivers.AdminRow {
	rows := make([]receivers.AdminRow, 0, len(bodies))
	for _, b := range bodies {
		rows = append(rows, receivers.AdminRow{Name: b.Name, Address: b.Address, Language: cmp.Or(b.Language, language), Reports: value(b.Reports)})
	}
	return rows
}
