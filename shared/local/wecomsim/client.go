package wecomsim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Client calls the control API of a running simulator.
type Client struct {
	BaseURL string // "http://127.0.0.1:PORT"
	HTTP    *http.Client
}

// NewClient makes a client of the simulator at baseURL.
func NewClient(baseURL string) *Client { return &Client{BaseURL: baseURL, HTTP: &http.Client{}} }

// Call posts (or with a nil request: gets) a path of the control API and reads the answer into answer, unless it is nil.
func (c *Client) Call(ctx context.Context, method, path string, request, answer any) error {
	var body io.Reader
	if request != nil {
		b, err := plainJSON(request)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.BaseURL+path, body)
	if err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	b, err := io.ReadAll(res.Body)
	if closeErr := res.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("reading the simulator's answer to %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the simulator refused %s %s: HTTP %d %s", method, path, res.StatusCode, b)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("reading the simulator's answer to %s: %w", path, err)
	}
	return nil
}

func post[A any](ctx context.Context, c *Client, path string, request any) (A, error) {
	var a A
	err := c.Call(ctx, http.MethodPost, path, request, &a)
	return a, err
}

func get[A any](ctx context.Context, c *Client, path string) (A, error) {
	var a A
	err := c.Call(ctx, http.MethodGet, path, nil, &a)
	return a, err
}

// SetClock sets or advances the simulator's clock.
func (c *Client) SetClock(ctx context.Context, n Clock) (Clock, error) {
	return post[Clock](ctx, c, "/sim/clock", n)
}

// AddCorp adds a corp, or shows the one that is there.
func (c *Client) AddCorp(ctx context.Context, n NewCorp) (Corp, error) {
	return post[Corp](ctx, c, "/sim/corp", n)
}

// ChangeCorp changes a corp.
func (c *Client) ChangeCorp(ctx context.Context, n ChangeCorp) (Corp, error) {
	return post[Corp](ctx, c, "/sim/corp/change", n)
}

// Corps lists the corps.
func (c *Client) Corps(ctx context.Context) ([]Corp, error) { return get[[]Corp](ctx, c, "/sim/corp") }

// ChangeContacts changes a corp's contacts.
func (c *Client) ChangeContacts(ctx context.Context, n ChangeContacts) error {
	return c.Call(ctx, http.MethodPost, "/sim/contacts", n, nil)
}

// Send sends a message.
func (c *Client) Send(ctx context.Context, m Message) (Sent, error) {
	return post[Sent](ctx, c, "/sim/message", m)
}

// SendAll sends messages of one corp in one go.
func (c *Client) SendAll(ctx context.Context, n Messages) (Sent, error) {
	return post[Sent](ctx, c, "/sim/messages", n)
}

// Recall takes a message back.
func (c *Client) Recall(ctx context.Context, n Recall) (Sent, error) {
	return post[Sent](ctx, c, "/sim/recall", n)
}

// AddFile adds an attachment, or changes one.
func (c *Client) AddFile(ctx context.Context, n NewFile) (File, error) {
	return post[File](ctx, c, "/sim/file", n)
}

// AddKey rotates a corp's key.
func (c *Client) AddKey(ctx context.Context, n NewKeyRequest) (Key, error) {
	return post[Key](ctx, c, "/sim/key", n)
}

// Written lists what a corp's apps wrote to members, in order.
func (c *Client) Written(ctx context.Context, corp string) ([]Written, error) {
	return get[[]Written](ctx, c, "/sim/written?corp="+url.QueryEscape(corp))
}

// KillTokens ends tokens.
func (c *Client) KillTokens(ctx context.Context, n KillTokens) error {
	return c.Call(ctx, http.MethodPost, "/sim/token", n, nil)
}

// Reseal gives an item another cipher text.
func (c *Client) Reseal(ctx context.Context, n Reseal) error {
	return c.Call(ctx, http.MethodPost, "/sim/reseal", n, nil)
}

// AddFault plans trouble.
func (c *Client) AddFault(ctx context.Context, f Fault) (Fault, error) {
	return post[Fault](ctx, c, "/sim/fault", f)
}

// Faults lists the trouble that nobody has met yet.
func (c *Client) Faults(ctx context.Context) ([]Fault, error) {
	return get[[]Fault](ctx, c, "/sim/fault")
}

// LiftFaults ends all faults.
func (c *Client) LiftFaults(ctx context.Context) error {
	return c.Call(ctx, http.MethodDelete, "/sim/fault", Lift{}, nil)
}

// SetRate limits an API.
func (c *Client) SetRate(ctx context.Context, n Rate) error {
	return c.Call(ctx, http.MethodPost, "/sim/rate", n, nil)
}

// Account is what the simulator counted of a corp.
func (c *Client) Account(ctx context.Context, corp string) (Account, error) {
	return get[Account](ctx, c, "/sim/account?corp="+url.QueryEscape(corp))
}

// Items lists a corp's items above a seq, at most limit of them; with raw, what opens is given too.
func (c *Client) Items(ctx context.Context, corp string, after uint64, limit int, raw bool) ([]Item, error) {
	q := url.Values{"corp": {corp}, "after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}}
	if raw {
		q.Set("raw", "1")
	}
	return get[[]Item](ctx, c, "/sim/items?"+q.Encode())
}

// SetCallback tries an address and saves it, or with an empty URL takes it away.
func (c *Client) SetCallback(ctx context.Context, n Callback) (Callback, error) {
	return post[Callback](ctx, c, "/sim/callback", n)
}

// Callbacks lists a corp's addresses.
func (c *Client) Callbacks(ctx context.Context, corp string) ([]Callback, error) {
	return get[[]Callback](ctx, c, "/sim/callback?corp="+url.QueryEscape(corp))
}

// SetTrouble says what befalls the next events of an address.
func (c *Client) SetTrouble(ctx context.Context, n Trouble) error {
	return c.Call(ctx, http.MethodPost, "/sim/callback/trouble", n, nil)
}

// Release lets held events go.
func (c *Client) Release(ctx context.Context, n Release) ([]Delivery, error) {
	return post[[]Delivery](ctx, c, "/sim/callback/release", n)
}

// SendEvent sends an event whose elements are given.
func (c *Client) SendEvent(ctx context.Context, n RawEvent) (Delivery, error) {
	return post[Delivery](ctx, c, "/sim/callback/event", n)
}

// Settle waits until every event that is due was sent or given up, and lists the corp's deliveries.
func (c *Client) Settle(ctx context.Context, n Settle) ([]Delivery, error) {
	return post[[]Delivery](ctx, c, "/sim/callback/settle", n)
}

// Deliveries lists a corp's deliveries above an id.
func (c *Client) Deliveries(ctx context.Context, corp string, after int) ([]Delivery, error) {
	return get[[]Delivery](ctx, c, "/sim/delivery?"+url.Values{"corp": {corp}, "after": {strconv.Itoa(after)}}.Encode())
}

// ChangeMember lets something happen to a member now.
func (c *Client) ChangeMember(ctx context.Context, n MemberChange) (MemberChanged, error) {
	return post[MemberChanged](ctx, c, "/sim/member", n)
}

// Changes lists what happened to a corp's members, by ChangeMember, above an id.
func (c *Client) Changes(ctx context.Context, corp string, after int) ([]MemberChanged, error) {
	return get[[]MemberChanged](ctx, c, "/sim/changes?"+url.Values{"corp": {corp}, "after": {strconv.Itoa(after)}}.Encode())
}

// ChangeConsent lets an external contact agree or disagree now.
func (c *Client) ChangeConsent(ctx context.Context, n ConsentChange) (Consent, error) {
	return post[Consent](ctx, c, "/sim/consent", n)
}

// DemoStart starts a day of the demonstration, or shows the one that is under way.
func (c *Client) DemoStart(ctx context.Context, n DemoStart) (DemoDay, error) {
	return post[DemoDay](ctx, c, "/sim/demo/start", n)
}

// DemoStep plays the next step of the day.
func (c *Client) DemoStep(ctx context.Context, n DemoPlay) (DemoPlayed, error) {
	return post[DemoPlayed](ctx, c, "/sim/demo/step", n)
}

// Demo shows the day that is under way.
func (c *Client) Demo(ctx context.Context) (DemoDay, error) { return get[DemoDay](ctx, c, "/sim/demo") }
