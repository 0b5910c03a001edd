package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/report"
)

// receiversDepartments lists the departments that a receiver may be entered for, and those that are gone.
func receiversDepartments(ctx context.Context, p *program, args []string) error {
	c, err := p.ofCorp(ctx, flags("receivers departments"), args)
	if err != nil {
		return err
	}
	type department struct {
		ID     int    `json:"id"`
		Name   string `json:"name,omitempty"` // left out where WeCom has never shown it
		Parent int    `json:"parent"`         // 0: none
		Gone   bool   `json:"gone"`           // WeCom does not list it any more
	}
	var all []department
	var bad error
	err = p.ledger.Entries(ctx, c.ID, directory.KindDepartment, func(e directory.Entry) bool {
		d, err := directory.Parse[directory.Department](e.Fields)
		id, number := strconv.Atoi(e.ID)
		if err != nil || number != nil {
			bad = fmt.Errorf("department %s of corp %s can't be read", e.ID, c.ID)
			return false
		}
		all = append(all, department{id, d.Name, d.Parent, e.Gone})
		return true
	})
	if err != nil || bad != nil {
		return firstOf(err, bad)
	}
	slices.SortFunc(all, func(a, b department) int { return a.ID - b.ID })
	enc := json.NewEncoder(p.out)
	for _, d := range all {
		if err := enc.Encode(d); err != nil {
			return err
		}
	}
	return nil
}

func firstOf(all ...error) error {
	i := slices.IndexFunc(all, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return all[i]
}

// receiversReports lists the reports that there are, and whether this company makes them.
func receiversReports(ctx context.Context, p *program, args []string) error {
	c, err := p.ofCorp(ctx, flags("receivers reports"), args)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p.out)
	for _, k := range report.Kinds() {
		err := enc.Encode(map[string]any{"report": k, "title": map[string]string{"en": k.Title(report.English), "zh": k.Title(report.Chinese)}, "on": c.Settings.On(k), "silent_without_news": c.Settings.Silent(k)})
		if err != nil {
			return err
		}
	}
	return nil
}

// receiversMails lists mails and what became of them, the newest day first. It shows whole addresses, so that it is audited first.
func receiversMails(ctx context.Context, p *program, args []string) error {
	f := flags("receivers mails")
	address, most := f.String("address", "", ""), f.Int("most", 200, "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	if *most < 1 {
		return &usageError{"receivers mails: -most is 1 or more"}
	}
	if err := p.audit(ctx, "receivers mails", c.ID, "addresses"); err != nil {
		return err
	}
	type mail struct {
		Day        string `json:"day"` // of alerts, the moment that they tell of
		Report     string `json:"report"`
		To         string `json:"to"`
		State      string `json:"state"`
		Reason     string `json:"reason,omitempty"`
		At         string `json:"at,omitempty"`
		Double     bool   `json:"possible_double"`
		Fate       string `json:"fate,omitempty"`
		FateDetail string `json:"fate_detail,omitempty"`
		FateAt     string `json:"fate_at,omitempty"`
	}
	enc, shown := json.NewEncoder(p.out), 0
	var unwritten error
	err = p.ledger.MailsBefore(ctx, c.ID, "", func(m ledger.MailRow) bool {
		if *address != "" && m.To != *address {
			return true
		}
		unwritten = enc.Encode(mail{m.Day, m.Report, m.To, m.State, m.Reason, rfc3339(m.At), m.PossibleDouble(), string(m.Fate), m.FateDetail, rfc3339(m.FateAt)})
		shown++
		return unwritten == nil && shown < *most
	})
	return firstOf(err, unwritten)
}

// chinaTime is shown beside UTC, as in the mails.
var chinaTime = time.FixedZone("UTC+8", 8*60*60)

// receiversPreview makes the mail that a receiver of a department would get of the newest report of a kind, of what that report was made of. Nothing is
// mailed. It shows people, so that it is audited first.
func receiversPreview(ctx context.Context, p *program, args []string) error {
	f := flags("receivers preview")
	code, department, lang, html := f.String("report", "", ""), f.Int("department", 0, ""), f.String("lang", "zh", ""), f.String("html", "", "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	kind, err := report.ParseKind(*code)
	if err != nil {
		return &usageError{"-report: " + err.Error()}
	}
	language, err := report.ParseLanguage(*lang)
	if err != nil {
		return &usageError{"-lang is zh or en"}
	}
	company, _, err := p.ledger.Company(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case !company.Tree.Known(*department):
		return fmt.Errorf("-department: there is no department %d now: vaultctl receivers departments -corp %s lists them; 1 is the whole company", *department, c.ID)
	case kind == report.Maintenance && *department != directory.Root:
		return &usageError{"-report R7 tells of the whole company: -department 1"}
	}
	if err := p.audit(ctx, "receivers preview", c.ID, "report "+string(kind)); err != nil {
		return err
	}
	var newest ledger.Run
	err = p.ledger.Runs(ctx, c.ID, func(r ledger.Run) bool {
		if r.Report == string(kind) && r.State == ledger.RunDone && r.Object != "" {
			newest = r
		}
		return newest.Object == ""
	})
	if err != nil {
		return err
	}
	if newest.Object == "" {
		return fmt.Errorf("report %s of corp %s has not been made yet: the first is made at 12:00 UTC after the company was added", kind, c.ID)
	}
	text, err := objstore.New(s3.NewFromConfig(p.aws), p.where.ReportsBucket).Get(ctx, objstore.Object{Key: newest.Object, VersionID: newest.Version})
	if err != nil {
		return err
	}
	var kept struct {
		Facts json.RawMessage `json:"facts"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return fmt.Errorf("report %s of corp %s: what is kept of it can't be read", newest.Key(), c.ID)
	}
	scope := company.Tree.Scope(*department)
	view := report.View{Language: language, Zone: chinaTime, Mask: true}
	if !scope.All() {
		view.Departments = []string{strconv.Itoa(*department)}
		if name := company.Names[*department]; name != "" {
			view.Departments[0] = report.CleanName(name)
		}
	}
	m, quiet, err := report.Again(kind, kept.Facts, scope.HoldsAny, view)
	if err != nil {
		return err
	}
	if *html != "" {
		if err := os.WriteFile(*html, []byte(m.HTML), 0o600); err != nil {
			return fmt.Errorf("write the mail: %w", err)
		}
	}
	mailed := "it would be mailed"
	switch {
	case !c.Settings.On(kind):
		mailed = "not mailed: the report is switched off"
	case quiet && c.Settings.Silent(kind):
		mailed = "not mailed: there is no news, and the report is silent then"
	}
	_, err = fmt.Fprintf(p.out, "Day: %s (%s)\nSubject: %s\n\n%s", newest.Day, mailed, m.Subject, m.Text)
	return err
}
