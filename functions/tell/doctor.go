package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/financesdk/gateway"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// event is what tell is called with. WeCom trusts addresses, so that only what goes out by the functions' own way can tell how it takes a secret.
type event struct {
	Doctor *struct {
		Corp  archive.CorpID `json:"corp"`
		Agent int            `json:"agent"` // AgentId; 0: the one that is kept
	} `json:"doctor"`
}

// examined is how WeCom takes the app of a corp. It changes nothing and keeps nothing.
type examined struct {
	Kind    secrets.Kind `json:"kind"`
	Held    bool         `json:"held"`
	Agent   int          `json:"agent"`   // AgentId that was tried; 0: none is set
	Call    string       `json:"call"`    // that was tried
	Code    int          `json:"code"`    // errcode, 0 if there was none
	Address string       `json:"address"` // from which WeCom was asked, as it says; "" if it does not say
	Why     string       `json:"why"`     // "" if it answered as it should
}

// call says how WeCom takes a corp's app.
func (p *teller) call(ctx context.Context, input []byte) (any, error) {
	var e event
	if err := json.Unmarshal(input, &e); err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	if e.Doctor == nil {
		return nil, errors.New("this function is run by its queue, or asked by doctor")
	}
	found := examined{Kind: secrets.App, Agent: e.Doctor.Agent, Call: "agent/get"}
	if found.Agent == 0 {
		c, err := p.ledger.Corp(ctx, e.Doctor.Corp)
		if err != nil && !errors.Is(err, ledger.ErrAbsent) {
			return nil, err
		}
		found.Agent = c.App
	}
	secret, err := p.vault.Secret(ctx, e.Doctor.Corp, secrets.App)
	if errors.Is(err, secrets.ErrAbsent) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	found.Held = true
	if found.Agent == 0 {
		return found, nil
	}
	tokens := p.server.Tokens(e.Doctor.Corp, func(context.Context) (string, error) { return secret.Reveal(), nil })
	_, err = wecom.NewReader(tokens, 0, nil).Agent(ctx, found.Agent)
	found.Why, found.Code = reading.Because(err), wecom.CodeOf(err)
	var refusal *wecom.Error
	if errors.As(err, &refusal) {
		found.Address = gateway.FromIP(refusal.Message)
	}
	return found, nil
}
