package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/wecomvault/wecomvault/shared/access"
	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// rfc3339 is a time as answers have it: UTC, seconds; "" for none, which omitempty leaves out.
func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// corpAnswer is a company as the API shows it.
type corpAnswer struct {
	ID          archive.CorpID `json:"id"`
	Name        string         `json:"name"`
	Simulated   bool           `json:"simulated"` // played: nothing of it is real
	Added       string         `json:"added,omitempty"`
	App         bool           `json:"app"`         // an app of the company's may write to members: users without email are told in WeCom
	May         []string       `json:"may"`         // what the caller may do, in the words of refusals
	Departments []int          `json:"departments"` // for which; 1 is the whole company
}

func (a *api) corpAnswer(p access.Person, c ledger.Corp) corpAnswer {
	out := corpAnswer{ID: c.ID, Name: c.Name, Simulated: c.Simulated, Added: rfc3339(c.Added), App: c.App != 0, May: []string{}, Departments: []int{}}
	for _, action := range access.Actions() {
		if !p.Reach(action, c.ID).None() {
			out.May = append(out.May, string(action))
		}
	}
	out.Departments = append(out.Departments, p.Reach(access.ReadReceivers, c.ID).Departments...)
	return out
}

// listCorps lists the corps at which the caller has a role.
func (a *api) listCorps(ctx context.Context, c *call) (answer, error) {
	p, err := pageOf(c.query, "corps", "")
	if err != nil {
		return answer{}, err
	}
	corps, err := a.ledger.Corps(ctx)
	if err != nil {
		return answer{}, err
	}
	corps = slices.DeleteFunc(corps, func(x ledger.Corp) bool { return !c.person.Knows(x.ID) })
	slices.SortFunc(corps, func(x, y ledger.Corp) int { return cmp.Compare(x.ID, y.ID) })
	some, next := cut(p, corps, func(x ledger.Corp) string { return string(x.ID) })
	list := make([]corpAnswer, 0, len(some))
	for _, x := range some {
		list = append(list, a.corpAnswer(c.person, x))
	}
	return answer{status: http.StatusOK, body: struct {
		Corps []corpAnswer `json:"corps"`
		Next  string       `json:"next,omitempty"`
	}{list, next}}, nil
}

func (a *api) getCorp(_ context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: a.corpAnswer(c.person, c.corp)}, nil
}

// company is what of a corp's directory decides who sees what.
type company struct {
	tree        *directory.Tree
	departments []directory.Entry
	scope       directory.Scope // of the caller
}

func (a *api) company(ctx context.Context, c *call) (company, error) {
	var out company
	err := a.ledger.Entries(ctx, c.corp.ID, directory.KindDepartment, func(e directory.Entry) bool {
		out.departments = append(out.departments, e)
		return true
	})
	if err != nil {
		return out, err
	}
	if out.tree, err = directory.NewTree(out.departments); err != nil {
		return out, err
	}
	out.scope = out.tree.Scope(c.reach.Departments...)
	return out, nil
}

// departmentAnswer is a department as the API shows it.
type departmentAnswer struct {
	ID     int    `json:"id"`
	Name   string `json:"name,omitempty"` // left out where WeCom has never shown it
	Parent int    `json:"parent"`         // 0: none, or outside the caller's reach
	Gone   bool   `json:"gone"`           // WeCom does not list it any more
}

// departmentKey keeps the numbers' order in a cursor's text.
func departmentKey(d departmentAnswer) string { return fmt.Sprintf("%020d", d.ID) }

// listDepartments lists the departments within the caller's reach.
func (a *api) listDepartments(ctx context.Context, c *call) (answer, error) {
	p, err := pageOf(c.query, "departments", c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	co, err := a.company(ctx, c)
	if err != nil {
		return answer{}, err
	}
	var all []departmentAnswer
	for _, e := range co.departments {
		id, err := strconv.Atoi(e.ID)
		if err != nil || !co.scope.HoldsDepartment(id) {
			continue // NewTree has refused what is no number
		}
		d, err := directory.Parse[directory.Department](e.Fields)
		if err != nil {
			return answer{}, err
		}
		if d.Parent != 0 && !co.scope.HoldsDepartment(d.Parent) {
			d.Parent = 0
		}
		all = append(all, departmentAnswer{ID: id, Name: d.Name, Parent: d.Parent, Gone: e.Gone})
	}
	// The root is the company, by its name, whether or not our secrets show it.
	if co.scope.All() {
		all = slices.DeleteFunc(all, func(d departmentAnswer) bool { return d.ID == directory.Root })
		all = append(all, departmentAnswer{ID: directory.Root, Name: c.corp.Name})
	}
	slices.SortFunc(all, func(x, y departmentAnswer) int { return cmp.Compare(departmentKey(x), departmentKey(y)) })
	list, next := cut(p, all, departmentKey)
	return answer{status: http.StatusOK, body: struct {
		Departments []departmentAnswer `json:"departments"`
		Next        string             `json:"next,omitempty"`
	}{list, next}}, nil
}

// word is a language in the API's words: en or zh.
func word(l report.Language) string {
	if l == report.English {
		return "en"
	}
	return "zh"
}

// reportAnswer is a report that there is.
type reportAnswer struct {
	Report string            `json:"report"`
	Title  map[string]string `json:"title"`  // by language
	On     bool              `json:"on"`     // the company has it made
	Silent bool              `json:"silent"` // on a day without news nothing is mailed
}

// listReports lists the reports that there are, and whether this company has them made: who may choose them for a receiver may not all read its settings.
func (a *api) listReports(_ context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	list := []reportAnswer{}
	for _, k := range report.Kinds() {
		r := reportAnswer{Report: string(k), Title: map[string]string{}, On: c.corp.Settings.On(k), Silent: c.corp.Settings.Silent(k)}
		for _, l := range report.Languages() {
			r.Title[word(l)] = k.Title(l)
		}
		list = append(list, r)
	}
	return answer{status: http.StatusOK, body: struct {
		Reports []reportAnswer `json:"reports"`
	}{list}}, nil
}
