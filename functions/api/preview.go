package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/preview"
	"github.com/wecomvault/wecomvault/shared/report"
)

// previewBody says for whom the mail would be.
type previewBody struct {
	Department *int    `json:"department"`
	Language   *string `json:"language"`
}

// previewAnswer is a mail as its receiver would see it.
type previewAnswer struct {
	State      string      `json:"state"` // "made"
	Report     report.Kind `json:"report"`
	AsOf       string      `json:"as_of"` // the moment that it tells of
	Department int         `json:"department"`
	Language   string      `json:"language"`
	Subject    string      `json:"subject"`
	Text       string      `json:"text"`
	HTML       string      `json:"html"` // without what is attached

	Attachments []attachedAnswer `json:"attachments"`
	Mailed      string           `json:"mailed"` // "yes", or why not: "off", or "no news" of a report that is silent then
}

// makingAnswer is a preview that is being made.
type makingAnswer struct {
	State string      `json:"state"` // "making"
	Asked string      `json:"asked"`
	Of    report.Kind `json:"report"`
}

// attachedAnswer is a file that the mail has beside its text.
type attachedAnswer struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Bytes int    `json:"bytes"`
}

// previewAfter is how many seconds somebody waits before looking again.
const previewAfter = 2

// sight is what of which report somebody wants to see.
type sight struct {
	kind       report.Kind
	department int
	language   report.Language
	company    company
}

// sight judges what is asked for.
func (a *api) sight(ctx context.Context, c *call, department int, words string) (sight, error) {
	s := sight{kind: report.Kind(c.segment["report"]), department: department}
	if !slices.Contains(report.Kinds(), s.kind) {
		return s, absent("report that can be previewed")
	}
	var err error
	if s.company, err = a.company(ctx, c); err != nil {
		return s, err
	}
	if department <= 0 {
		return s, wrong(fieldProblem{"department", "none is chosen", "choose one that your list of departments shows; 1 is the whole company"})
	}
	if !s.company.scope.HoldsDepartment(department) {
		return s, outside()
	}
	if !s.company.tree.Known(department) {
		return s, wrong(fieldProblem{"department", "there is no such department now", "choose one that the list of departments shows; 1 is the whole company"})
	}
	if s.kind == report.Maintenance && department != directory.Root {
		return s, wrong(fieldProblem{"department", "R7 tells of the whole company", "choose department 1"})
	}
	if words == "" {
		words = "zh"
	}
	if s.language, err = report.ParseLanguage(words); err != nil {
		return s, wrong(fieldProblem{"language", "reports are not written in that language", "choose en or zh"})
	}
	return s, nil
}

// previewReport has a report made as it would be if it were noon now, or shows the one that was made a few minutes ago.
func (a *api) previewReport(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	var body previewBody
	if err := read(c.body, &body); err != nil {
		return answer{}, err
	}
	s, err := a.sight(ctx, c, value(body.Department), value(body.Language))
	if err != nil {
		return answer{}, err
	}
	p, state, err := a.previews.Ask(ctx, c.corp.ID, s.kind, a.now())
	if err != nil {
		return answer{}, err
	}
	return a.previewed(ctx, c, s, p, state)
}

// getPreview shows the preview that was asked for.
func (a *api) getPreview(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query, "department", "language"); err != nil {
		return answer{}, err
	}
	department, err := strconv.Atoi(c.query.Get("department"))
	if err != nil && !errors.Is(err, strconv.ErrRange) && c.query.Get("department") != "" {
		return answer{}, malformed("department", "it is no number", "choose one that your list of departments shows; 1 is the whole company")
	}
	s, err := a.sight(ctx, c, department, c.query.Get("language"))
	if err != nil {
		return answer{}, err
	}
	p, state, err := a.previews.Look(ctx, c.corp.ID, s.kind, a.now())
	if err != nil {
		return answer{}, err
	}
	return a.previewed(ctx, c, s, p, state)
}

// previewed answers with a preview as far as it is.
func (a *api) previewed(ctx context.Context, c *call, s sight, p ledger.Preview, state preview.State) (answer, error) {
	switch state {
	case preview.None:
		return answer{}, absent("preview of the last minutes: ask for one with POST")
	case preview.Making:
		place := url.URL{Path: "/v1/corps/" + string(c.corp.ID) + "/reports/" + string(s.kind) + "/preview",
			RawQuery: url.Values{"department": {strconv.Itoa(s.department)}, "language": {word(s.language)}}.Encode()}
		return answer{status: http.StatusAccepted, body: makingAnswer{"making", rfc3339(p.Asked), s.kind}, location: place.String(), after: previewAfter}, nil
	case preview.Made:
	}
	scope := s.company.tree.Scope(s.department)
	var confined []string
	if !scope.All() {
		confined = []string{s.company.name(s.department)}
	}
	mail, quiet, err := a.previews.Mail(ctx, p, scope, confined, s.language)
	if err != nil {
		return answer{}, err
	}
	out := previewAnswer{State: "made", Report: s.kind, AsOf: rfc3339(p.Asked), Department: s.department, Language: word(s.language), Subject: mail.Subject, Text: mail.Text, HTML: mail.HTML,
		Attachments: []attachedAnswer{}, Mailed: "yes"}
	for _, x := range mail.Attachments {
		out.Attachments = append(out.Attachments, attachedAnswer{x.Name, x.ContentType, len(x.Body)})
	}
	switch settings := c.corp.Settings; {
	case !settings.On(s.kind):
		out.Mailed = "off"
	case quiet && settings.Silent(s.kind):
		out.Mailed = "no news"
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// name is a department's name, or its number where WeCom never showed one.
func (co company) name(department int) string {
	id := fmt.Sprint(department)
	for _, e := range co.departments {
		if e.ID != id {
			continue
		}
		if d, err := directory.Parse[directory.Department](e.Fields); err == nil && d.Name != "" {
			return report.CleanName(d.Name)
		}
	}
	return id
}
