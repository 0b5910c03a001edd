package main

import (
	"context"
	"errors"
	"net/http"
	"slices"

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
	Reports    []switchAnswer `json:"reports"`
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
	Silent bool        `json:"silent"` // nothing is mailed on a day without news
	By     string      `json:"by,omitempty"`
	At     string      `json:"at,omitempty"`
}

func settingsOf(c ledger.Corp) settingsAnswer {
	s := c.Settings
	out := settingsAnswer{Admins: []adminAnswer{}, Operations: s.Operations, Control: s.Control, Alert: s.Alert, Language: s.Language, Reports: []switchAnswer{}}
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
		out.Reports = append(out.Reports, switchAnswer{Report: k, On: s.On(k), Silent: s.Silent(k), By: w.By, At: rfc3339(w.At)})
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
	Reports    []switchBody `json:"reports"`
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
	s, refusal := s.Checked()
	if body.Admins != nil {
		admins, refusedAdmins := receivers.CheckAdmins(adminsOf(*body.Admins))
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

func adminsOf(bodies []adminBody) []receivers.AdminRow {
	rows := make([]receivers.AdminRow, 0, len(bodies))
	for _, b := range bodies {
		rows = append(rows, receivers.AdminRow{Name: b.Name, Address: b.Address, Language: b.Language, Reports: value(b.Reports)})
	}
	return rows
}
