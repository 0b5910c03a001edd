package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/callback"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// kindsOfCallback are the addresses that a corp may have, by the kind of secret under which WeCom's console has them.
var kindsOfCallback = []secrets.Kind{secrets.Contacts, secrets.Customer, secrets.Archive}

func callbacks(ctx context.Context, p *program, args []string) error {
	return within(ctx, p, "callbacks", args, command{name: "set", run: callbacksSet}, command{name: "list", run: callbacksList})
}

// callbackAddress is what is entered in WeCom's console, "" where the stack has no address.
func (p *program) callbackAddress(corp archive.CorpID, kind secrets.Kind) string {
	if p.where.Callbacks == "" {
		return ""
	}
	return strings.TrimRight(p.where.Callbacks, "/") + "/callback/" + string(corp) + "/" + string(kind)
}

func callbacksSet(ctx context.Context, p *program, args []string) error {
	f := flags("callbacks set")
	kind, tokenFile, keyFile := f.String("kind", "", ""), f.String("token-file", "", ""), f.String("key-file", "", "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	if !slices.Contains(kindsOfCallback, secrets.Kind(*kind)) || *tokenFile == "" || *keyFile == "" {
		return &usageError{"callbacks set: -kind contacts, customer or archive, -token-file FILE and -key-file FILE are needed"}
	}
	token, err := readSecret(*tokenFile)
	if err != nil {
		return err
	}
	key, err := readSecret(*keyFile)
	if err != nil {
		return err
	}
	if _, err := callback.New(c.ID, token.Reveal(), key.Reveal()); err != nil {
		return err
	}
	if err := p.audit(ctx, "callbacks set", c.ID, *kind); err != nil {
		return err
	}
	if err := p.vault.PutCallback(ctx, c.ID, secrets.Kind(*kind), secrets.Callback{Token: token, AESKey: key}); err != nil {
		return err
	}
	address := p.callbackAddress(c.ID, secrets.Kind(*kind))
	if address == "" {
		address = "none yet: deploy the stack with Callbacks=true"
	}
	_, err = fmt.Fprintf(p.out, "the %s callback of corp %s is kept; its address for WeCom's console: %s\n", *kind, c.ID, address)
	return err
}

func callbacksList(ctx context.Context, p *program, args []string) error {
	c, err := p.ofCorp(ctx, flags("callbacks list"), args)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p.out)
	for _, kind := range kindsOfCallback {
		_, err := p.vault.Callback(ctx, c.ID, kind)
		if err != nil && !errors.Is(err, secrets.ErrAbsent) {
			return err
		}
		if e := enc.Encode(map[string]any{"kind": kind, "held": err == nil, "address": p.callbackAddress(c.ID, kind)}); e != nil {
			return e
		}
	}
	return nil
}
