package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/financesdk/gateway"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// event is what directory reads of its trigger's event. The schedule's says nothing of these.
type event struct {
	// Doctor asks how WeCom answers one corp. WeCom trusts addresses, so that only what goes out by the functions' own way can tell.
	Doctor *struct {
		Corp archive.CorpID `json:"corp"`
	} `json:"doctor"`
}

// examined is how WeCom answers a corp, secret by secret. It changes nothing and keeps nothing.
type examined struct {
	Secrets []examinedSecret `json:"secrets"`
	Ahead   *float64         `json:"ahead_seconds"` // our clock before WeCom's; null if WeCom did not answer
}

// examinedSecret is how WeCom answers one secret.
type examinedSecret struct {
	Kind    secrets.Kind `json:"kind"`
	Held    bool         `json:"held"`
	Call    string       `json:"call"`    // that was tried
	Code    int          `json:"code"`    // errcode, 0 if there was none
	Address string       `json:"address"` // from which WeCom was asked, as it says; "" if it does not say
	Why     string       `json:"why"`     // "" if it answered as it should
	Seen    int          `json:"seen"`    // members designated, departments, or members with customers
}

// call does what an event asks for.
func (r *refresher) call(ctx context.Context, input []byte) (any, error) {
	var e event
	if err := json.Unmarshal(input, &e); err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	if e.Doctor == nil {
		return nil, r.run(ctx)
	}
	return r.examine(ctx, e.Doctor.Corp)
}

// examine tries each secret that is held of a corp with a call that changes nothing.
func (r *refresher) examine(ctx context.Context, corp archive.CorpID) (examined, error) {
	var all examined
	for _, x := range []struct {
		kind secrets.Kind
		call string
		try  func(context.Context, *wecom.Reader) (int, error)
	}{
		{secrets.Archive, "msgaudit/get_permit_user_list", func(ctx context.Context, w *wecom.Reader) (int, error) {
			ids, err := w.Permitted(ctx, wecom.AnyEdition)
			return len(ids), err
		}},
		{secrets.Contacts, "department/list", func(ctx context.Context, w *wecom.Reader) (int, error) {
			list, _, err := w.Departments(ctx)
			return len(list), err
		}},
		{secrets.Customer, "externalcontact/get_follow_user_list", func(ctx context.Context, w *wecom.Reader) (int, error) {
			ids, err := w.FollowUsers(ctx)
			return len(ids), err
		}},
	} {
		found := examinedSecret{Kind: x.kind, Call: x.call}
		secret, err := r.vault.Secret(ctx, corp, x.kind)
		if errors.Is(err, secrets.ErrAbsent) {
			all.Secrets = append(all.Secrets, found)
			continue
		}
		if err != nil {
			return all, err
		}
		found.Held = true
		tokens := r.server.Tokens(corp, func(context.Context) (string, error) { return secret.Reveal(), nil })
		found.Seen, err = x.try(ctx, wecom.NewReader(tokens, r.pause, nil))
		found.Why, found.Code = reading.Because(err), wecom.CodeOf(err)
		var refusal *wecom.Error
		if errors.As(err, &refusal) {
			found.Address = gateway.FromIP(refusal.Message)
		}
		all.Secrets = append(all.Secrets, found)
	}
	if ahead, heard := r.server.Ahead(); heard {
		seconds := ahead.Seconds()
		all.Ahead = &seconds
	}
	return all, nil
}
