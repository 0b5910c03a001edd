package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// receiversUnsent lists the mails that were given up, or settles one or all of those listed. It shows whole addresses, so that it is audited first.
func receiversUnsent(ctx context.Context, p *program, args []string) error {
	f := flags("receivers unsent")
	send, acknowledge := f.String("send", "", ""), f.String("acknowledge", "", "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	if *send != "" && *acknowledge != "" {
		return &usageError{"receivers unsent: -send or -acknowledge, not both"}
	}
	object, settle, which := "addresses", (func(context.Context, ledger.GivenUp) error)(nil), *send+*acknowledge
	switch {
	case *send != "":
		object, settle = "send "+which, func(ctx context.Context, g ledger.GivenUp) error { return p.ledger.ReopenMail(ctx, g, clock.Now()) }
	case *acknowledge != "":
		object, settle = "acknowledge "+which, p.acknowledge
	}
	if err := p.audit(ctx, "receivers unsent", c.ID, object); err != nil {
		return err
	}
	all, err := p.ledger.GivenUps(ctx, c.ID)
	if err != nil {
		return err
	}
	if settle == nil {
		enc := json.NewEncoder(p.out)
		for _, g := range all {
			err := enc.Encode(map[string]any{"mail": g.Key(), "day": g.Day, "report": g.Report, "to": g.To, "reason": g.Reason, "given_up": rfc3339(g.At), "to_be_sent": !g.Again.IsZero()})
			if err != nil {
				return err
			}
		}
		return nil
	}
	n := 0
	for _, g := range all {
		if which != "all" && which != g.Key() {
			continue
		}
		if err := settle(ctx, g); err != nil {
			return err
		}
		n++
	}
	switch {
	case n == 0:
		return fmt.Errorf("no such mail of corp %s is given up: vaultctl receivers unsent -corp %s lists those that are", c.ID, c.ID)
	case *send != "":
		_, err = fmt.Fprintf(p.out, "%d to be sent within about ten minutes, and listed until they are\n", n)
	default:
		_, err = fmt.Fprintf(p.out, "%d acknowledged: they stay unsent\n", n)
	}
	return err
}

// acknowledge settles a mail that was given up. One that was to be sent still, and is not, is given up again: else nobody would know of it.
func (p *program) acknowledge(ctx context.Context, g ledger.GivenUp) error {
	m, err := p.ledger.Mail(ctx, g.Corp, g.Key())
	if err != nil {
		return err
	}
	if !m.Settled() {
		if err := p.ledger.GiveUpMail(ctx, m, clock.Real(), clock.Now()); err != nil {
			return err
		}
	}
	return p.ledger.SettleGivenUp(ctx, g, clock.Now())
}
