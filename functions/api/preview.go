package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/report"
)

// zone is shown beside UTC, as in the mails: WeCom's companies keep China's time.
var zone = time.FixedZone("UTC+8", 8*60*60)

// previewBody says for whom the mail would be.
type previewBody struct {
	Department *int    `json:"department"`
	Language   *string `json:"language"`
}

// previewAnswer is a mail as its receiver would see it.
type previewAnswer struct {
	Report     report.Kind `json:"report"`
	Day        string      `json:"day"` // of the newest report there is, of which it is made
	Department int         `json:"department"`
	Language   string      `json:"language"`
	Subject    string      `json:"subject"`
	Text       string      `json:"text"`
	HTML       string      `json:"html"` // without what is attached

	Attachments []attachedAnswer `json:"attachments"`
	Mailed      string           `json:"mailed"` // "yes", or why not: "off", or "no news" of a report that is silent then
}

// attachedAnswer is a file that the mail has beside its text.
type attachedAnswer struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Bytes int    `json:"bytes"`
}

// previewReport makes the mail that a receiver of a department would get of the newest report there is.
func (a *api) previewReport(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	var body previewBody
	if err := read(c.body, &body); err != nil {
		return answer{}, err
	}
	kind := report.Kind(c.segment["report"])
	if !slices.Contains(report.Kinds(), kind) {
		return answer{}, absent("report that can be previewed")
	}
	co, err := a.company(ctx, c)
	if err != nil {
		return answer{}, err
	}
	department := value(body.Department)
	if department <= 0 {
		return answer{}, wrong(fieldProblem{"department", "none is chosen", "choose one that your list of departments shows; 1 is the whole company"})
	}
	if !co.scope.HoldsDepartment(department) {
		return answer{}, outside()
	}
	if !co.tree.Known(department) {
		return answer{}, wrong(fieldProblem{"department", "there is no such department now", "choose one that the list of departments shows; 1 is the whole company"})
	}
	if kind == report.Maintenance && department != directory.Root {
		return answer{}, wrong(fieldProblem{"department", "R7 tells of the whole company", "choose department 1"})
	}
	words := value(body.Language)
	if words == "" {
		words = "zh"
	}
	language, err := report.ParseLanguage(words)
	if err != nil {
		return answer{}, wrong(fieldProblem{"language", "reports are not written in that language", "choose en or zh"})
	}
	var newest ledger.Run
	err = a.ledger.Runs(ctx, c.corp.ID, func(r ledger.Run) bool {
		if r.Report == string(kind) && r.State == ledger.RunDone && r.Object != "" {
			newest = r
		}
		return newest.Object == ""
	})
	if err != nil {
		return answer{}, err
	}
	if newest.Object == "" {
		return answer{}, newProblem(http.StatusConflict, "not-made", "This report has not been made yet", "The first is made at 12:00 UTC after the company was added.")
	}
	text, err := a.store.Get(ctx, objstore.Object{Key: newest.Object, VersionID: newest.Version})
	if err != nil {
		return answer{}, err
	}
	var kept struct {
		Facts json.RawMessage `json:"facts"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return answer{}, fmt.Errorf("report %s of corp %s: what is kept of it can't be read", newest.Key(), c.corp.ID)
	}
	scope := co.tree.Scope(department)
	view := report.View{Language: language, Zone: zone, Mask: true}
	if !scope.All() {
		view.Departments = []string{co.name(department)}
	}
	mail, quiet, err := report.Again(kind, kept.Facts, scope.HoldsAny, view)
	if err != nil {
		return answer{}, err
	}
	out := previewAnswer{Report: kind, Day: newest.Day, Department: department, Language: word(language), Subject: mail.Subject, Text: mail.Text, HTML: mail.HTML,
		Attachments: []attachedAnswer{}, Mailed: "yes"}
	for _, x := range mail.Attachments {
		out.Attachments = append(out.Attachments, attachedAnswer{x.Name, x.ContentType, len(x.Body)})
	}
	switch settings := c.corp.Settings; {
	case !settings.On(kind):
		out.Mailed = "off"
	case quiet && settings.Silent(kind):
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
