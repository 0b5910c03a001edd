package wecomsim

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A wrong secret said this often within an hour of real time bans the caller for the rest of that hour.
const wrongSecretsAllowed = 20

// token is an access token that was handed out. Its age is real time: the simulator's clock plays days, tokens live hours.
type token struct {
	Value   string    `json:"value"`
	Secret  string    `json:"secret"`
	Expires time.Time `json:"expires"`
	Dead    int       `json:"dead,omitempty"` // the errcode that it gets from now on
}

type wrongSecrets struct {
	since time.Time
	n     int
}

func (s *Sim) getToken(r *http.Request) (answer, error) {
	q := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Get("corpid") == "" {
		return answer{}, refuse(41002)
	}
	if q.Get("corpsecret") == "" {
		return answer{}, refuse(41004)
	}
	c, ok := s.corps[q.Get("corpid")]
	if !ok {
		return answer{}, refuse(40013)
	}
	now := s.clock()
	wrong := s.wrong[c.ID]
	if wrong != nil && now.Sub(wrong.since) > time.Hour {
		delete(s.wrong, c.ID)
		wrong = nil
	}
	if wrong != nil && wrong.n >= wrongSecretsAllowed {
		return answer{}, refuse(45009)
	}
	i := slices.IndexFunc(c.Secrets, func(x Secret) bool { return x.Value == q.Get("corpsecret") })
	if i < 0 {
		if wrong == nil {
			wrong = &wrongSecrets{since: now}
			s.wrong[c.ID] = wrong
		}
		wrong.n++
		return answer{}, refuse(40001)
	}
	if s.overRate(c.ID, "gettoken") {
		return answer{}, refuse(45009)
	}
	if a := c.Trusted.Answer; c.Trusted.On && (a == 40001 || a == 60020) && !slices.Contains(c.Trusted.IPs, s.self.CallerIP) {
		return answer{}, refuse(a)
	}
	secret := c.Secrets[i]
	// Within its validity the same token is handed out again.
	for _, t := range c.Tokens {
		if t.Secret == secret.Value && t.Dead == 0 && t.Expires.After(now) {
			return tokenAnswer(t.Value, int(t.Expires.Sub(now).Round(time.Second)/time.Second)), nil
		}
	}
	t, err := newToken(secret.Value, now.Add(time.Duration(c.TokenSeconds)*time.Second))
	if err != nil {
		return answer{}, err
	}
	// The last few stay known, so that an expired one is told from an invented one.
	c.Tokens = append(c.Tokens, t)
	if len(c.Tokens) > 40 {
		c.Tokens = slices.Delete(c.Tokens, 0, len(c.Tokens)-40)
	}
	if err := s.db.Update(func(tx *bolt.Tx) error { return saveCorp(tx, c) }); err != nil {
		return answer{}, err
	}
	return tokenAnswer(t.Value, c.TokenSeconds), nil
}

func tokenAnswer(value string, seconds int) answer {
	return answer{object: object{{"access_token", value}, {"expires_in", seconds}}}
}

func newToken(secret string, expires time.Time) (token, error) {
	var b [159]byte
	if _, err := rand.Read(b[:]); err != nil {
		return token{}, fmt.Errorf("making a token: %w", err)
	}
	return token{Value: base64.RawURLEncoding.EncodeToString(b[:]), Secret: secret, Expires: expires}, nil
}

// callerOf finds whose token it is. mu is held. The corp of a dead token is given too.
func (s *Sim) callerOf(value string) (*corp, *Secret, error) {
	if value == "" {
		return nil, nil, refuse(41001)
	}
	for _, c := range s.corps {
		for _, t := range c.Tokens {
			if t.Value != value {
				continue
			}
			i := slices.IndexFunc(c.Secrets, func(x Secret) bool { return x.Value == t.Secret })
			switch {
			case t.Dead != 0:
				return c, nil, refuse(t.Dead)
			case i < 0:
				return c, nil, refuse(40014)
			case !t.Expires.After(s.clock()):
				return c, nil, refuse(42001)
			default:
				return c, &c.Secrets[i], nil
			}
		}
	}
	return nil, nil, refuse(40014)
}
