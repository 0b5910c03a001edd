package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/preview"
	"github.com/wecomvault/wecomvault/shared/queue"
	routing "github.com/wecomvault/wecomvault/shared/receivers"
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
	// The root is the company, by its name, whether or not our secrets show it.
	all = slices.DeleteFunc(all, func(d department) bool { return d.ID == directory.Root })
	all = append(all, department{ID: directory.Root, Name: c.Name})
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
		if *address != "" && routing.Mailbox(m.To) != routing.Mailbox(*address) {
			return true
		}
		unwritten = enc.Encode(mail{m.Day, m.Report, m.To, m.State, m.Reason, rfc3339(m.At), m.PossibleDouble(), string(m.Fate), m.FateDetail, rfc3339(m.FateAt)})
		shown++
		return unwritten == nil && shown < *most
	})
	return firstOf(err, unwritten)
}

// lookAgain is how long receivers preview waits between looks at what is being made.
const lookAgain = time.Second

// receiversPreview has a report made as it would be if it were noon now, and writes the mail that a receiver of a department would get. Nothing is
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
	store, err := p.files()
	if err != nil {
		return err
	}
	if p.where.Reports == "" {
		return errors.New("who makes reports? Set REPORT_QUEUE_URL to the stack's output ReportQueueUrl")
	}
	if err := p.audit(ctx, "receivers preview", c.ID, "report "+string(kind)); err != nil {
		return err
	}
	desk := preview.Desk{Ledger: p.ledger, Store: store, Reports: queue.New[queue.ReportJob](sqs.NewFromConfig(p.aws), p.where.Reports)}
	made, err := p.previewed(ctx, desk, c.ID, kind)
	if err != nil {
		return err
	}
	scope := company.Tree.Scope(*department)
	var confined []string
	if !scope.All() {
		confined = []string{strconv.Itoa(*department)}
		if name := company.Names[*department]; name != "" {
			confined[0] = report.CleanName(name)
		}
	}
	m, quiet, err := desk.Mail(ctx, made, scope, confined, language)
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
	_, err = fmt.Fprintf(p.out, "As of: %s (%s)\nSubject: %s\n\n%s", rfc3339(made.Asked), mailed, m.Subject, m.Text)
	return err
}

// previewed asks for a preview and waits until report has made it.
func (p *program) previewed(ctx context.Context, desk preview.Desk, corp archive.CorpID, kind report.Kind) (ledger.Preview, error) {
	made, state, err := desk.Ask(ctx, corp, kind, clock.Now())
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for err == nil && state == preview.Making {
		select {
		case <-ctx.Done():
			return made, ctx.Err()
		case <-again.C:
			made, state, err = desk.Look(ctx, corp, kind, clock.Now())
		}
	}
	if err == nil && state == preview.None {
		err = fmt.Errorf("report %s of corp %s is not made after %s: the log of the function report says why; repeat the command", kind, corp, preview.Patience)
	}
	return made, err
}
