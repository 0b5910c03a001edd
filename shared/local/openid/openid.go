// Package openid is an OpenID issuer for one machine: it publishes its keys as any issuer does, and issues tokens for whoever the local run or a test
// names. It owns its keys, which live as long as it; it must not be reachable from elsewhere, since it asks nobody who they are.
package openid

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// keyBits is the size of the issuer's RSA keys.
const keyBits = 2048

// Issuer issues tokens and publishes the keys to check them by.
type Issuer struct {
	url string
	now func() time.Time

	mu   sync.Mutex
	keys []jose.JSONWebKey // private; the newest last
}

// New makes an issuer that is reached at url, with its first key.
func New(url string, now func() time.Time) (*Issuer, error) {
	i := &Issuer{url: strings.TrimSuffix(url, "/"), now: now}
	return i, i.Rotate()
}

// URL is the issuer's name, and where it is reached.
func (i *Issuer) URL() string { return i.url }

// Rotate makes a new key for the tokens from now on; tokens of the older keys stay good.
func (i *Issuer) Rotate() error {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return fmt.Errorf("make a key for tokens: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: key, KeyID: strings.ToLower(rand.Text()[:12]), Algorithm: string(jose.RS256), Use: "sig"})
	return nil
}

// Withdraw leaves the newest key alone: tokens of the older ones count no more, once whoever checks them asks for the keys again.
func (i *Issuer) Withdraw() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.keys[len(i.keys)-1:]
}

// Token issues a token with the claims beside iss, iat and exp; claims may also replace those. It is good for an hour.
func (i *Issuer) Token(claims map[string]any) (string, error) {
	i.mu.Lock()
	key := i.keys[len(i.keys)-1]
	i.mu.Unlock()
	return i.sign(key, claims)
}

func (i *Issuer) sign(key jose.JSONWebKey, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("issue a token: %w", err)
	}
	now := i.now()
	all := map[string]any{"iss": i.url, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for k, v := range claims {
		all[k] = v
	}
	text, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		return "", fmt.Errorf("issue a token: %w", err)
	}
	return text, nil
}

// Audience and Subject are what a token says that is asked for without them.
const (
	Audience = "wecomvault"
	Subject  = "somebody-at-the-keyboard"
)

// ServeHTTP answers what whoever checks tokens asks for: the discovery document and the public keys. A form that is posted to /token is answered with a
// token that has its fields as claims: whoever reaches this machine's loopback may do everything here anyway, but a page in a browser may not.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body any
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/token":
		own, err := url.Parse(i.url)
		if err != nil || r.Method != http.MethodPost || r.Host != own.Host || r.Header.Get("Origin") != "" || r.ParseForm() != nil {
			http.Error(w, "post a form with the claims, from no browser", http.StatusBadRequest)
			return
		}
		claims := map[string]any{"aud": Audience, "sub": Subject}
		for name, values := range r.PostForm {
			claims[name] = values
			if name == "sub" || name == "aud" && len(values) == 1 {
				claims[name] = values[0]
			}
		}
		token, err := i.Token(claims)
		if err != nil {
			http.Error(w, "no token can be issued", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Cache-Control", "no-store")
		if _, err := w.Write([]byte(token)); err != nil {
			return // who asked has gone
		}
		return
	case "/.well-known/openid-configuration":
		body = map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"}}
	case "/keys":
		set := jose.JSONWebKeySet{}
		i.mu.Lock()
		for _, k := range i.keys {
			set.Keys = append(set.Keys, k.Public())
		}
		i.mu.Unlock()
		body = set
	default:
		http.NotFound(w, r)
		return
	}
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "the keys can't be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(text); err != nil {
		return // who asked has gone
	}
}
