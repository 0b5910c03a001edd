package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// receiversUnsent lists the mails and messages in WeCom that were given up, or settles one or all of those listed. It shows whole addresses, so that it is audited
// first. A message in WeCom can only be acknowledged: the user is told anew at each noon, by a message of that day.
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
			err := enc.Encode(map[string]any{"mail": g.Key(), "in_wecom": g.InWeCom, "day": g.Day, "report": g.Report, "to": g.To, "reason": g.Reason, "given_up": rfc3339(g.At), "to_be_sent": !g.Again.IsZero()})
			if err != nil {
				return err
			}
		}
		return nil
	}
	n, left := 0, 0
	var busy []string
	for _, g := range all {
		if which != "all" && which != g.Key() {
			continue
		}
		if *send != "" && g.InWeCom {
			left++
			continue
		}
		err := settle(ctx, g)
		if errors.Is(err, ledger.ErrLost) { // the others are no worse for it
			busy = append(busy, g.Key())
			continue
		}
		if err != nil {
			return err
		}
		n++
	}
	if left > 0 {
		if n == 0 && len(busy) == 0 {
			return fmt.Errorf("a message in WeCom is not sent days later: the next noon tells the user anew, if the number is still missing. Say -acknowledge %s", which)
		}
		if _, err := fmt.Fprintf(p.out, "messages in WeCom that stay listed, since they are not sent days later: %d; acknowledge them\n", left); err != nil {
			return err
		}
	}
	switch {
	case n == 0 && len(busy) == 0:
		return fmt.Errorf("no such mail or message in WeCom of corp %s is given up: vaultctl receivers unsent -corp %s lists those that are", c.ID, c.ID)
	case n == 0: // the error below says why
	case *send != "":
		_, err = fmt.Fprintf(p.out, "%d to be sent within about ten minutes, and listed until they are\n", n)
	default:
		_, err = fmt.Fprintf(p.out, "%d acknowledged: they stay unsent\n", n)
	}
	if err == nil && len(busy) > 0 {
		err = fmt.Errorf("of corp %s somebody is about %s, or has sent it meanwhile: vaultctl receivers mails -corp %s says what became of it; then repeat the command if need be", c.ID, strings.Join(busy, ", "), c.ID)
	}
	return err
}

// acknowledge settles what was given up. A mail that was to be sent still, and is not, is given up again: else nobody would know of it.
func (p *program) acknowledge(ctx context.Context, g ledger.GivenUp) error {
	if g.InWeCom {
		return p.ledger.SettleGivenUp(ctx, g, clock.Now())
	}
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
