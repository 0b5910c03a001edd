package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	routing "github.com/wecomvault/wecomvault/shared/receivers"
)

// suppressedPublic is a suppressed receiver as status prints it, which may be run by a machine and kept in a log.
type suppressedPublic struct {
	Receiver string `json:"receiver"` // masked
	ID       string `json:"id"`       // as in the keys of mails
	Reason   string `json:"reason"`   // "bounced" or "complained"
	Detail   string `json:"detail"`   // SES's own words
	Since    string `json:"since"`
}

// mask leaves of an address what tells it from the others of a short list.
func mask(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	for i := range local {
		if i > 0 {
			return local[:i] + "***@" + domain
		}
	}
	return "***@" + domain
}

// mailState fills in what status says of mails and their receivers.
func (p *program) mailState(ctx context.Context, corp archive.CorpID, s *state) error {
	err := p.ledger.Mails(ctx, corp, func(m ledger.MailRow) bool {
		s.Mails[m.State]++
		if m.Fate != "" {
			s.MailFates[string(m.Fate)]++
		}
		if m.PossibleDouble() {
			s.Doubles++
		}
		return true
	})
	if err != nil {
		return err
	}
	all, err := p.ledger.Suppressions(ctx, corp)
	for _, x := range all {
		s.Suppressed = append(s.Suppressed, suppressedPublic{mask(x.Address), ledger.AddressID(x.Address), string(x.Reason), x.Detail, rfc3339(x.Since)})
	}
	return err
}

func receivers(ctx context.Context, p *program, args []string) error {
	return within(ctx, p, "receivers", args, command{name: "list", run: receiversList}, command{name: "add", run: receiversAdd}, command{name: "change", run: receiversChange},
		command{name: "remove", run: receiversRemove}, command{name: "heads", run: receiversHeads}, command{name: "settings", run: receiversSettings},
		command{name: "departments", run: receiversDepartments}, command{name: "reports", run: receiversReports}, command{name: "preview", run: receiversPreview},
		command{name: "mails", run: receiversMails}, command{name: "unsent", run: receiversUnsent}, command{name: "suppressed", run: receiversSuppressed}, command{name: "lift", run: receiversLift})
}

// receiversSuppressed lists whole addresses, so that it is audited first.
func receiversSuppressed(ctx context.Context, p *program, args []string) error {
	c, err := p.ofCorp(ctx, flags("receivers suppressed"), args)
	if err != nil {
		return err
	}
	if err := p.audit(ctx, "receivers suppressed", c.ID, "addresses"); err != nil {
		return err
	}
	all, err := p.ledger.Suppressions(ctx, c.ID)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p.out)
	for _, s := range all {
		err := enc.Encode(map[string]any{"corp": s.Corp, "address": s.Address, "id": ledger.AddressID(s.Address), "reason": s.Reason, "detail": s.Detail, "mail": s.Mail, "since": rfc3339(s.Since)})
		if err != nil {
			return err
		}
	}
	return nil
}

func receiversLift(ctx context.Context, p *program, args []string) error {
	f := flags("receivers lift")
	id, address := f.String("corp", "", ""), f.String("address", "", "")
	if err := parse(f, args); err != nil {
		return err
	}
	if *address == "" {
		return &usageError{"receivers lift: -address ADDRESS is needed"}
	}
	c, err := p.known(ctx, *id)
	if err != nil {
		return err
	}
	all, err := p.ledger.Suppressions(ctx, c.ID)
	if err != nil {
		return err
	}
	lifted := *address
	for _, s := range all { // a mailbox is one however its address is written
		if routing.Mailbox(s.Address) == routing.Mailbox(*address) {
			if lifted = s.Address; lifted == *address {
				break
			}
		}
	}
	if err := p.audit(ctx, "receivers lift", c.ID, "receiver "+ledger.AddressID(lifted)); err != nil {
		return err
	}
	err = p.ledger.LiftSuppression(ctx, c.ID, lifted, clock.Now())
	if errors.Is(err, ledger.ErrAbsent) {
		return fmt.Errorf("%s of corp %s is not suppressed: vaultctl receivers suppressed -corp %s lists who is", *address, c.ID, c.ID)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s gets mails again, from the next one on; what was refused meanwhile is not sent later.\n"+
		"SES keeps a list of its own: if mails still come back, take the address off it with aws sesv2 delete-suppressed-destination\n", *address)
	return err
}
