package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/mail"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	routing "github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

func corps(ctx context.Context, p *program, args []string) error {
	return within(ctx, p, "corps", args, command{name: "list", run: corpsList}, command{name: "add", run: corpsAdd}, command{name: "set", run: corpsSet})
}

// corpsList shows whole addresses, so that it is audited first.
func corpsList(ctx context.Context, p *program, args []string) error {
	if err := parse(flags("corps list"), args); err != nil {
		return err
	}
	if err := p.audit(ctx, "corps list", "", "addresses"); err != nil {
		return err
	}
	all, err := p.ledger.Corps(ctx)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p.out)
	for _, c := range all {
		to := make([]string, len(c.ReportTo))
		for i, r := range c.ReportTo {
			to[i] = r.Address
		}
		err := enc.Encode(map[string]any{"corp": c.ID, "name": c.Name, "report_to": to, "simulated": c.Simulated, "added": c.Added.Format(time.RFC3339), "app_agent": c.App})
		if err != nil {
			return err
		}
	}
	return nil
}

// choices are the settings that add and set share. A flag that is not given leaves its setting as it is.
type choices struct {
	flags                       *flag.FlagSet
	id, name, reportTo, lang    *string
	archiveFile, contacts, cust *string
	appFile                     *string
	appAgent                    *int
	simulated                   *bool
}

func newChoices(name string) choices {
	f := flags(name)
	return choices{
		flags: f, id: f.String("corp", "", ""), name: f.String("name", "", ""), reportTo: f.String("report-to", "", ""), lang: f.String("lang", "", ""),
		archiveFile: f.String("secret-file", "", ""), contacts: f.String("contacts-secret-file", "", ""), cust: f.String("customer-secret-file", "", ""),
		appFile: f.String("app-secret-file", "", ""), appAgent: f.Int("app-agent", 0, ""),
		simulated: f.Bool("simulated", false, ""),
	}
}

// apply changes c, which keep writes, and keeps the given secrets.
func (ch choices) apply(ctx context.Context, p *program, c *ledger.Corp, keep func(ledger.Corp) error) error {
	given := given(ch.flags)
	if given["name"] {
		name, err := routing.CheckName(*ch.name)
		if err != nil {
			return err
		}
		c.Name = name
	}
	if given["simulated"] {
		c.Simulated = *ch.simulated
	}
	language := "zh"
	if len(c.ReportTo) > 0 {
		language = c.ReportTo[0].Language
	}
	if given["lang"] {
		if *ch.lang != "zh" && *ch.lang != "en" {
			return &usageError{fmt.Sprintf("-lang is zh or en, not %q", *ch.lang)}
		}
		language = *ch.lang
		for i := range c.ReportTo {
			c.ReportTo[i].Language = language
		}
	}
	if given["report-to"] {
		to, err := parseReceivers(*ch.reportTo, func(address string) ledger.Receiver {
			// Who stays keeps a name, reports and, unless -lang is given for all, a language of their own.
			at := slices.IndexFunc(c.ReportTo, func(was ledger.Receiver) bool { return routing.Mailbox(was.Address) == routing.Mailbox(address) })
			if at < 0 {
				return ledger.Receiver{Language: language}
			}
			return c.ReportTo[at]
		})
		if err != nil {
			return err
		}
		c.ReportTo = to
	}
	for _, s := range []struct {
		file string
		kind secrets.Kind
	}{{*ch.archiveFile, secrets.Archive}, {*ch.contacts, secrets.Contacts}, {*ch.cust, secrets.Customer}} {
		if s.file == "" {
			continue
		}
		v, err := readSecret(s.file)
		if err != nil {
			return err
		}
		if err := p.vault.PutSecret(ctx, c.ID, s.kind, v); err != nil {
			return err
		}
	}
	if err := keep(*c); err != nil {
		return err
	}
	if *ch.archiveFile != "" {
		if err := p.ledger.ClearTrouble(ctx, c.ID); err != nil {
			return err
		}
	}
	if *ch.appFile == "" && !given["app-agent"] {
		return nil
	}
	said, err := p.changeApp(ctx, *c, *ch.appFile, *ch.appAgent)
	if err == nil {
		_, err = fmt.Fprintln(p.out, said)
	}
	return err
}

// parseReceivers reads the addresses of account admins with commas between them; "en:" or "zh:" before one chooses its language. of is what else an address has. What
// the API would refuse is refused here too: an address that can't be mailed would be told of nothing.
func parseReceivers(text string, of func(address string) ledger.Receiver) ([]ledger.Receiver, error) {
	var to []ledger.Receiver
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		lang := ""
		if before, after, ok := strings.Cut(part, ":"); ok && (before == "zh" || before == "en") {
			lang, part = before, after
		}
		a, err := mail.ParseAddress(part)
		if err != nil || a.Address != part {
			return nil, fmt.Errorf("-report-to: %q is no mail address such as compliance@bank.example", part)
		}
		r := of(part)
		r.Address, r.Language = part, cmp.Or(lang, r.Language)
		to = append(to, r)
	}
	if len(to) == 0 {
		return nil, errors.New("-report-to: name one address at least: urgent alerts go there as soon as something is wrong, and would reach nobody")
	}
	checked, err := routing.CheckAdmins(ledger.Corp{ReportTo: to}.Admins())
	if err != nil {
		return nil, fmt.Errorf("-report-to: %w", err)
	}
	for i, a := range checked {
		to[i] = ledger.Receiver{Name: a.Name, Address: a.Address, Language: a.Language}.WithReports(a.Reports)
	}
	return to, nil
}

// readSecret reads a secret from a file: on a command line it would stand in the shell's history and the process list.
func readSecret(file string) (secrets.Value, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
	if err != nil {
		return secrets.Value{}, fmt.Errorf("read the secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return secrets.Value{}, fmt.Errorf("the file %s is empty: it should hold the secret that WeCom's console shows for message archiving", file)
	}
	if strings.ContainsAny(secret, " \n\t") {
		return secrets.Value{}, fmt.Errorf("the file %s holds more than one word: it should hold the secret alone", file)
	}
	return secrets.NewValue(secret), nil
}

// pastedWith says whether something came along when an id was copied: that would be a company which WeCom does not know. What an id may be made of otherwise is
// WeCom's.
func pastedWith(id string) bool {
	return id != strings.TrimSpace(id) || strings.ContainsFunc(id, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) })
}

func corpsAdd(ctx context.Context, p *program, args []string) error {
	ch := newChoices("corps add")
	if err := parse(ch.flags, args); err != nil {
		return err
	}
	if *ch.id == "" || *ch.archiveFile == "" {
		return &usageError{"corps add: -corp ID and -secret-file FILE are needed"}
	}
	if *ch.reportTo == "" {
		return &usageError{"corps add: -report-to ADDRESS,… is needed: urgent alerts go there as soon as something is wrong, and would reach nobody"}
	}
	if pastedWith(*ch.id) {
		return &usageError{fmt.Sprintf("corps add: -corp %q has a space at its end or a mark that nobody sees: enter the CorpID as the admin console shows it under My Company", *ch.id)}
	}
	id := archive.CorpID(*ch.id)
	if _, err := p.ledger.Corp(ctx, id); err == nil {
		return fmt.Errorf("corp %q is here already: vaultctl corps set changes it", id)
	} else if !errors.Is(err, ledger.ErrAbsent) {
		return err
	}
	if err := p.audit(ctx, "corps add", id, "settings"); err != nil {
		return err
	}
	c := ledger.Corp{ID: id, Name: *ch.id, Added: clock.Now()}
	if err := ch.apply(ctx, p, &c, func(c ledger.Corp) error { return p.ledger.PutCorp(ctx, c) }); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.out, "corp %s is added; fetch follows it from its next start on, within a minute\n", id)
	return err
}

func corpsSet(ctx context.Context, p *program, args []string) error {
	ch := newChoices("corps set")
	if err := parse(ch.flags, args); err != nil {
		return err
	}
	c, err := p.known(ctx, *ch.id)
	if err != nil {
		return err
	}
	if len(given(ch.flags)) == 1 {
		return &usageError{"corps set: name at least one thing to change"}
	}
	if err := p.audit(ctx, "corps set", c.ID, changedOf(ch.flags)); err != nil {
		return err
	}
	// Under its rev: somebody may change the account admins over the API meanwhile.
	err = ch.apply(ctx, p, &c, func(c ledger.Corp) error {
		_, err := p.ledger.ChangeCorp(ctx, c)
		return changedMeanwhile(err, "corp "+string(c.ID), "receivers settings")
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "corp %s is changed\n", c.ID)
	return err
}
