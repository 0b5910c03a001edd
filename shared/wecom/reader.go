package wecom

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Answer is one answer as it came: what a snapshot of the directory is made of.
type Answer struct {
	Via    string          `json:"via,omitempty"`    // whose secret asked, as the caller calls it; the Reader itself does not say
	Call   string          `json:"call"`             // "user/list"
	Asked  string          `json:"asked,omitempty"`  // the query without the token, or the body
	Code   int             `json:"code,omitempty"`   // errcode; a refusal's text is left out, since it differs each time
	Answer json.RawMessage `json:"answer,omitempty"` // the whole answer; absent for a refusal
}

// Reader makes the calls that read a corp's directory with one secret, one after the other. What the secret can't do it is asked once: after
// a refusal that holds for the secret as a whole, or for one call, no further request goes out. A Reader lives for one reading of the
// directory and is for one goroutine.
type Reader struct {
	tokens *Tokens
	pause  time.Duration
	keep   func(Answer)

	ahead  *ahead              // calls that are made before they are asked for; nil: none
	kept   map[string][]Answer // answers of an earlier reading, by what was asked; nil: WeCom is asked
	dead   error               // why no call of this secret is worth making
	denied map[string]error    // by call: why it is not
	mute   []string            // calls without an answer
}

// NewReader returns a Reader. It rests for pause before a call is tried again, and keep, if not nil, is given each answer.
func NewReader(tokens *Tokens, pause time.Duration, keep func(Answer)) *Reader {
	return &Reader{tokens: tokens, pause: pause, keep: keep, denied: map[string]error{}}
}

// NewReplay returns a Reader that asks nobody: it is given the answers that an earlier one kept of one secret, and comes to what that came to. What those
// hold no answer to has none.
func NewReplay(answers []Answer) *Reader {
	r := &Reader{denied: map[string]error{}, kept: map[string][]Answer{}}
	for _, a := range answers {
		name := a.Call + " " + a.Asked
		r.kept[name] = append(r.kept[name], a)
	}
	return r
}

// again finds the kept answer to a call. The same question asked again has the next one.
func (r *Reader) again(call, asked string, into *json.RawMessage) error {
	for _, name := range []string{call + " " + asked, "gettoken "} {
		some := r.kept[name]
		if len(some) == 0 {
			continue
		}
		r.kept[name] = some[1:]
		if a := some[0]; a.Code != 0 {
			return &Error{Call: prefix + a.Call, Code: a.Code}
		}
		*into = some[0].Answer
		return nil
	}
	return fmt.Errorf("wecom %s: %w was kept", call, ErrNoAnswer)
}

// Dead is why no further call is made with this secret, or nil.
func (r *Reader) Dead() error { return r.dead }

// tries is how often a call is made whose answer is "system busy", or which gets none. WeCom asks for at most 3 repetitions.
const tries = 4

const prefix = "/cgi-bin/"

// get makes a call with a query.
func (r *Reader) get(ctx context.Context, call string, query url.Values, into any) error {
	return r.call(ctx, http.MethodGet, call, query, nil, into)
}

// post makes a call with a body.
func (r *Reader) post(ctx context.Context, call string, body, into any) error {
	return r.call(ctx, http.MethodPost, call, nil, body, into)
}

func (r *Reader) call(ctx context.Context, method, call string, query url.Values, body, into any) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wecom %s: %w", call, err)
	}
	if r.dead != nil {
		return r.dead
	}
	if err := r.denied[call]; err != nil {
		return err
	}
	asked := query.Encode()
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("wecom %s: encode the request: %w", call, err)
		}
		asked = string(b)
	}
	var raw json.RawMessage
	var err error
	if early, known := r.foreseen(call, asked); known {
		raw, err = early.raw, early.err
	} else if r.kept != nil {
		err = r.again(call, asked, &raw)
	} else {
		err = r.tried(ctx, func() error { return r.tokens.call(ctx, method, prefix+call, query, body, &raw) })
	}
	var refused *Error
	switch {
	case err == nil:
	case errors.As(err, &refused):
		a := Answer{Call: strings.TrimPrefix(refused.Call, prefix), Asked: asked, Code: refused.Code}
		if a.Call != call {
			a.Asked = "" // a token was asked for, and that question holds the secret
		}
		r.took(a)
		r.learn(call, refused)
		r.enough(call)
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("wecom %s: %w", call, ctx.Err())
	default:
		r.silent(call, err)
		r.enough(call)
		return err
	}
	r.took(Answer{Call: call, Asked: asked, Answer: raw})
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("wecom %s answered in another form than documented", call)
	}
	return nil
}

// silent remembers a call that no answer came to. A second such call, or a secret that can't be had, ends the reading.
func (r *Reader) silent(call string, err error) {
	if len(r.mute) > 0 || !errors.Is(err, ErrNoAnswer) {
		r.dead = err
	}
	r.mute = append(r.mute, call)
	r.denied[call] = err
}

func (r *Reader) took(a Answer) {
	if r.keep != nil {
		r.keep(a)
	}
}

// tried repeats a call that met passing trouble.
func (r *Reader) tried(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == tries || !passing(err) {
			return err
		}
		timer := time.NewTimer(r.pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// passing says whether the same call may succeed in a moment.
func passing(err error) bool {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Code == -1
	}
	var foreign *tls.CertificateVerificationError
	return errors.Is(err, ErrNoAnswer) && !errors.As(err, &foreign) // a certificate does not become a better one
}

// learn remembers what a refusal says about the calls to come.
func (r *Reader) learn(call string, e *Error) {
	switch {
	case e.Call == prefix+"gettoken":
		// Saying a wrong secret again and again bans our address for an hour.
		r.dead = e
	case RateLimited(e), e.Code == 60020, e.Code == 301042, e.Code == 50003, deadToken(e.Code):
		r.dead = e
	case Denied(e), e.Code == 301052, e.Code == 301053:
		r.denied[call] = e
	}
}

// Particular says whether err is WeCom's word about the one thing that was asked for, and not about the secret, the service, how often we ask, or WeCom itself:
// what is asked next may be answered.
func (r *Reader) Particular(err error) bool {
	switch CodeOf(err) {
	case 0, -1:
		return false
	}
	return r.dead == nil && !ServiceEnded(err) && !Denied(err)
}

// Denied says whether err is WeCom's word that the secret may not make this call at all, whatever it asks for.
func Denied(err error) bool {
	switch CodeOf(err) {
	case 48001, 48002, 48004, 48009, 84074:
		return true
	}
	return false
}

// RateLimited says whether err is WeCom's word that we have called too often.
func RateLimited(err error) bool {
	switch CodeOf(err) {
	case 45009, 45033, 45036:
		return true
	}
	return false
}

// pages calls ask with the cursor of each page, "" for the first, until a page names no next one.
func pages(call string, ask func(cursor string) (next string, err error)) error {
	seen := map[string]bool{}
	for cursor := ""; ; {
		next, err := ask(cursor)
		if err != nil || next == "" {
			return err
		}
		if seen[next] {
			return fmt.Errorf("wecom %s gives the same page again and again", call)
		}
		seen[next] = true
		cursor = next
	}
}
