package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// answeredApp is how WeCom takes the app that writes to members, as tell says it.
type answeredApp struct {
	answeredSecret
	Agent int `json:"agent"`
}

// changeApp keeps what was given of a corp's app: the secret, the AgentId or both. WeCom is asked by way of tell, whose address it trusts, before anything is left
// as it is: what it does not take is taken back, but for a first secret, which nobody uses without an AgentId. Where nobody could ask, or WeCom does not trust
// the address yet, it stays, and the answer says so.
func (p *program) changeApp(ctx context.Context, c ledger.Corp, file string, agent int) (said string, err error) {
	if agent == 0 {
		agent = c.App
	}
	if agent <= 0 {
		return "", &usageError{"-app-secret-file needs -app-agent N: the AgentId that WeCom's console shows beside the app's secret"}
	}
	before, err := p.vault.Secret(ctx, c.ID, secrets.App)
	held := err == nil
	if err != nil && !errors.Is(err, secrets.ErrAbsent) {
		return "", err
	}
	if file == "" && !held {
		return "", &usageError{"-app-agent needs -app-secret-file FILE: no secret of an app is kept"}
	}
	if file != "" {
		v, err := readSecret(file)
		if err != nil {
			return "", err
		}
		if err := p.vault.PutSecret(ctx, c.ID, secrets.App, v); err != nil {
			return "", err
		}
	}
	a, err := p.askApp(ctx, c.ID, agent)
	switch {
	case err != nil:
		said = fmt.Sprintf("the app is kept untried, since nobody could ask WeCom (%v): vaultctl doctor -corp %s tries it", err, c.ID)
	case a.Code == 60020:
		said = fmt.Sprintf("the app is kept, and WeCom does not trust the address yet (errcode 60020): vaultctl doctor -corp %s says which to add", c.ID)
	case a.Code == 0 && (a.Why != "" || !a.Held):
		said = fmt.Sprintf("the app is kept untried, since WeCom was not asked or did not answer: vaultctl doctor -corp %s tries it", c.ID)
	case a.Code != 0:
		if file != "" && held {
			if err := p.vault.PutSecret(ctx, c.ID, secrets.App, before); err != nil {
				return "", fmt.Errorf("WeCom answered errcode %d to the new secret, and the one before could not be put back: %w", a.Code, err)
			}
		}
		return "", fmt.Errorf("WeCom answered errcode %d to this secret with the AgentId %d: the app is left as it was. Compare both in WeCom's console, under the app", a.Code, agent)
	default:
		said = "WeCom takes the app"
	}
	return said, p.ledger.SetApp(ctx, c.ID, agent)
}

// askApp asks tell how WeCom takes a corp's app with an AgentId; 0: the one that is kept.
func (p *program) askApp(ctx context.Context, corp archive.CorpID, agent int) (a answeredApp, err error) {
	if p.where.TellFunction == "" {
		return a, errors.New("TELL_FUNCTION is not set: it names the function, as the stack's output has it")
	}
	payload, err := json.Marshal(map[string]any{"doctor": map[string]any{"corp": corp, "agent": agent}})
	if err != nil {
		return a, err
	}
	out, err := p.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &p.where.TellFunction, Payload: payload})
	if err != nil {
		return a, fmt.Errorf("call %s: %w", p.where.TellFunction, err)
	}
	if out.FunctionError != nil {
		return a, fmt.Errorf("%s failed (%s): see its log", p.where.TellFunction, aws.ToString(out.FunctionError))
	}
	if err := json.Unmarshal(out.Payload, &a); err != nil || a.Kind == "" {
		return a, fmt.Errorf("the answer of %s can't be read: is it of the same version as vaultctl?", p.where.TellFunction)
	}
	return a, nil
}

// app tests the app that writes to members, if there is one.
func (d *doctor) app(ctx context.Context, c ledger.Corp) {
	const check = "secret: app"
	if c.App == 0 {
		d.well(check, c.ID, "none is set: users without an email address can't be told of a missing number")
		return
	}
	a, err := d.askApp(ctx, c.ID, 0)
	set := fmt.Sprintf("vaultctl corps set -corp %s -app-secret-file FILE -app-agent N", c.ID)
	switch {
	case err != nil:
		d.cannot(check, c.ID, err, "read the log of tell: a function that can't start, or can't read the secret, says why there")
	case !a.Held:
		d.say(check, c.ID, toDo, fmt.Sprintf("the AgentId %d is set, and no secret", a.Agent), set)
	case a.Code == 0 && a.Why == "":
		d.well(check, c.ID, fmt.Sprintf("WeCom takes it, with the AgentId %d", a.Agent))
	case a.Code == 301002, a.Code == 40056:
		d.say(check, c.ID, toDo, fmt.Sprintf("WeCom answered errcode %d: the AgentId %d is not the app of this secret", a.Code, a.Agent), "compare both in WeCom's console, then: "+set)
	default:
		d.refused(c.ID, check, set, a.answeredSecret)
	}
}
