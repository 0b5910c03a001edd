// Package wecom speaks WeCom's server API: tokens, the calls that name departments, members, external contacts and rooms, and the one by which an app
// writes to a member. It owns WeCom's forms and errcodes; it keeps nothing but tokens, and never logs a URL, since the token is part of it.
package wecom

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Error is a refusal: an answer whose errcode is not 0.
type Error struct {
	Call    string // the path, without query
	Code    int
	Message string

	answer []byte // the whole of it, for calls that say more in it
}

func (e *Error) Error() string { return fmt.Sprintf("wecom %s answered errcode %d", e.Call, e.Code) }

// ErrCode and ErrMsg let packages that must not know this one read the refusal.
func (e *Error) ErrCode() int { return e.Code }

// ErrMsg is WeCom's errmsg.
func (e *Error) ErrMsg() string { return e.Message }

// ErrNoAnswer says that no answer of WeCom's came: the network failed, or somebody else answered. The same call may succeed later.
var ErrNoAnswer = errors.New("no answer from WeCom")

// CodeOf is the errcode of the *Error in err's chain, or 0.
func CodeOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// largestAnswer bounds what is read of one answer; WeCom's own limit for these calls lies far below.
const largestAnswer = 64 << 20

// Client speaks to one base address. Safe for concurrent use.
type Client struct {
	base string
	http *http.Client
	now  func() time.Time

	mu    sync.Mutex
	ahead time.Duration // our clock before WeCom's, as of the last answer
	heard bool
}

// New returns a client of the server at base, for example https://qyapi.weixin.qq.com. now is the machine's own time. It follows no redirect, whatever client does:
// WeCom makes none, and where one led would be told the secret or the token, which the URL holds, as its Referer.
func New(base string, client *http.Client, now func() time.Time) *Client {
	straight := *client
	straight.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: strings.TrimRight(base, "/"), http: &straight, now: now}
}

// Ahead is by how much our clock was ahead of WeCom's at its last answer, to the second and the time that an answer takes; known is false
// before the first.
func (c *Client) Ahead() (d time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead, c.heard
}

func (c *Client) heardAt(date string) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead, c.heard = c.now().Sub(at), true
}

// Tokens keeps the access token of one secret. Safe for concurrent use.
type Tokens struct {
	client *Client
	corp   archive.CorpID
	secret func(context.Context) (string, error)

	mu    sync.Mutex
	token string
	until time.Time
	wrong *wrongSecret // the last that was refused; nil: none was
}

// wrongSecret is a secret that WeCom refused.
type wrongSecret struct {
	sum  [sha256.Size]byte
	said *Error
	at   time.Time
}

// Tokens returns the source of the access token of a corp's secret, which is read anew whenever a token is asked of WeCom.
func (c *Client) Tokens(corp archive.CorpID, secret func(context.Context) (string, error)) *Tokens {
	return &Tokens{client: c, corp: corp, secret: secret}
}

// longest is the number of seconds after which a token is asked for anew whatever WeCom has said of it; it says 7,200.
const longest = 86400

// early is how long before its end a token is no longer given out.
const early = 5 * time.Minute

// again is how long a secret that WeCom refused is not said to it again, lest our address be banned for an hour, for all corps: a job may be one of thousands.
// Another secret is said at once.
const again = 4 * time.Minute

// secretRefused are the errcodes by which WeCom says, when asked for a token, that the secret is not one.
func secretRefused(code int) bool {
	switch code {
	case 40001, 40013, 40091, 41002, 41004:
		return true
	}
	return false
}

// Token returns a token that should be valid. With refresh it asks WeCom again, because the last one was refused.
func (t *Tokens) Token(ctx context.Context, refresh bool) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !refresh && t.valid() {
		return t.token, nil
	}
	return t.ask(ctx)
}

// renewed is a token that is not the one that WeCom finds dead: of all who had that one, the first asks for another.
func (t *Tokens) renewed(ctx context.Context, dead string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != dead && t.valid() {
		return t.token, nil
	}
	return t.ask(ctx)
}

func (t *Tokens) valid() bool { return t.token != "" && t.client.now().Before(t.until) }

func (t *Tokens) ask(ctx context.Context) (string, error) {
	secret, err := t.secret(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(secret))
	if w := t.wrong; w != nil && w.sum == sum {
		if age := t.client.now().Sub(w.at); age >= 0 && age < again { // a clock that was set back keeps nobody waiting
			return "", w.said
		}
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	query := url.Values{"corpid": {string(t.corp)}, "corpsecret": {secret}}
	if err := t.client.call(ctx, http.MethodGet, "/cgi-bin/gettoken", query, nil, &answer); err != nil {
		t.token = ""
		var said *Error
		if errors.As(err, &said) && secretRefused(said.Code) {
			t.wrong = &wrongSecret{sum, said, t.client.now()}
		}
		return "", err
	}
	if answer.AccessToken == "" {
		return "", errors.New("wecom /cgi-bin/gettoken answered without a token")
	}
	t.token = answer.AccessToken
	valid := time.Duration(min(max(answer.ExpiresIn, 0), longest)) * time.Second
	t.until = t.client.now().Add(max(valid-early, time.Second))
	return t.token, nil
}

// deadToken are the errcodes by which WeCom says that a token is not, or no longer, good.
func deadToken(code int) bool {
	switch code {
	case 40001, 40014, 41001, 42001:
		return true
	}
	return false
}

// call runs one call with a token, once more with a new one if WeCom finds the first dead.
func (t *Tokens) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	dead := ""
	for attempt := 0; ; attempt++ {
		token, err := t.renewed(ctx, dead)
		if err != nil {
			return err
		}
		q := url.Values{"access_token": {token}}
		for k, v := range query {
			q[k] = v
		}
		err = t.client.call(ctx, method, path, q, body, into)
		if attempt == 0 && deadToken(CodeOf(err)) {
			dead = token
			continue
		}
		return err
	}
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("wecom %s: encode the request: %w", path, err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path+"?"+query.Encode(), payload)
	if err != nil {
		return fmt.Errorf("wecom %s: the base address is no URL", path)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("wecom %s: %w: %w", path, ErrNoAnswer, withoutURL(err))
	}
	defer func() {
		// The answer has been read; there is nothing to do about a failed close.
		_ = resp.Body.Close()
	}()
	c.heardAt(resp.Header.Get("Date"))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("wecom %s: %w: HTTP %d", path, ErrNoAnswer, resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer))
	if err != nil {
		return fmt.Errorf("wecom %s: %w: read the answer: %w", path, ErrNoAnswer, withoutURL(err))
	}
	var refusal struct {
		Code    int    `json:"errcode"`
		Message string `json:"errmsg"`
	}
	if err := json.Unmarshal(text, &refusal); err != nil {
		return fmt.Errorf("wecom %s: %w: the answer is no JSON", path, ErrNoAnswer)
	}
	if refusal.Code != 0 {
		return &Error{Call: path, Code: refusal.Code, Message: refusal.Message, answer: text}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("wecom %s answered in another form than documented", path)
	}
	return nil
}

// withoutURL takes the URL out of an error of net/http: it holds the token or the secret.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
