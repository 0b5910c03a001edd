package apigateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// algorithms are the ones that API Gateway takes: RSA alone.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512}

// keysKept is how long API Gateway may keep an issuer's keys.
const keysKept = 2 * time.Hour

// authorizer checks tokens as API Gateway's JWT authorizer does.
type authorizer struct {
	template.JWTAuthorizer
	client *http.Client
	now    func() time.Time

	mu     sync.Mutex
	keys   jose.JSONWebKeySet
	readAt time.Time
}

func newAuthorizer(a template.JWTAuthorizer, client *http.Client, now func() time.Time) *authorizer {
	return &authorizer{JWTAuthorizer: a, client: client, now: now}
}

// check returns a token's claims as API Gateway hands them over. The error says why it is refused; whoever sent it is never told.
func (a *authorizer) check(ctx context.Context, header string) (map[string]string, error) {
	raw := header
	if scheme, rest, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "Bearer") {
		raw = strings.TrimSpace(rest)
	}
	if raw == "" {
		return nil, errors.New("there is no token")
	}
	token, err := jwt.ParseSigned(raw, algorithms)
	if err != nil {
		return nil, fmt.Errorf("it is no signed token of an algorithm that counts: %w", err)
	}
	if len(token.Headers) != 1 || token.Headers[0].KeyID == "" {
		return nil, errors.New("it does not name its key")
	}
	key, err := a.key(ctx, token.Headers[0].KeyID)
	if err != nil {
		return nil, err
	}
	var body json.RawMessage
	if err := token.Claims(key.Key, &body); err != nil {
		return nil, fmt.Errorf("its signature does not hold: %w", err)
	}
	var claims map[string]any
	in := json.NewDecoder(bytes.NewReader(body))
	in.UseNumber()
	if err := in.Decode(&claims); err != nil {
		return nil, fmt.Errorf("its claims can't be read: %w", err)
	}
	if err := a.judge(claims); err != nil {
		return nil, err
	}
	flat := map[string]string{}
	for name, v := range claims {
		flat[name] = flatten(v)
	}
	return flat, nil
}

func (a *authorizer) judge(claims map[string]any) error {
	if claims["iss"] != a.Issuer {
		return errors.New("another has issued it")
	}
	// The audience is aud, or client_id where there is no aud.
	var audience []any
	switch aud := claims["aud"].(type) {
	case nil:
		audience = []any{claims["client_id"]}
	case []any:
		audience = aud
	default:
		audience = []any{aud}
	}
	if !slices.ContainsFunc(audience, func(v any) bool { s, ok := v.(string); return ok && slices.Contains(a.Audience, s) }) {
		return errors.New("it is for another audience")
	}
	now := a.now()
	exp, ok := seconds(claims["exp"])
	if !ok || !now.Before(exp) {
		return errors.New("it has run out")
	}
	for _, name := range []string{"nbf", "iat"} {
		if claims[name] == nil {
			continue
		}
		if from, ok := seconds(claims[name]); !ok || now.Before(from) {
			return fmt.Errorf("its %s lies ahead", name)
		}
	}
	return nil
}

func seconds(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	return time.UnixMilli(int64(f * 1000)), err == nil
}

// flatten writes a claim as text, as API Gateway does: a list as [a b].
func flatten(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		words := make([]string, len(v))
		for i, e := range v {
			words[i] = flatten(e)
		}
		return "[" + strings.Join(words, " ") + "]"
	default:
		return fmt.Sprint(v)
	}
}

// key is an issuer's key by its id. A key that is not known is looked for at the issuer, where it may be new.
func (a *authorizer) key(ctx context.Context, id string) (jose.JSONWebKey, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if found := a.keys.Key(id); len(found) == 1 && a.now().Sub(a.readAt) < keysKept {
		return found[0], nil
	}
	keys, err := a.published(ctx)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("the issuer's keys can't be had: %w", err)
	}
	a.keys, a.readAt = keys, a.now()
	found := a.keys.Key(id)
	if len(found) != 1 || !found[0].IsPublic() {
		return jose.JSONWebKey{}, errors.New("the issuer has no such key")
	}
	return found[0], nil
}

func (a *authorizer) published(ctx context.Context) (jose.JSONWebKeySet, error) {
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := a.get(ctx, strings.TrimSuffix(a.Issuer, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return jose.JSONWebKeySet{}, err
	}
	if about.Issuer != a.Issuer {
		return jose.JSONWebKeySet{}, errors.New("the issuer calls itself otherwise")
	}
	var keys jose.JSONWebKeySet
	err := a.get(ctx, about.Keys, &keys)
	return keys, err
}

func (a *authorizer) get(ctx context.Context, url string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}
