package wecomsim

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1" // #nosec G505 -- WeCom's signature is SHA-1
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The kinds of address that a corp's events are sent to.
const (
	CallbackContacts = "contacts" // contacts sync: change_contact
	CallbackCustomer = "customer" // customer contact: change_external_contact, with the consent to archiving, and change_external_chat
	CallbackArchive  = "archive"  // message archiving: msgaudit_notify
)

var callbackKinds = []string{CallbackContacts, CallbackCustomer, CallbackArchive}

// agents are the app numbers that stand in the envelopes of each kind.
var agents = map[string]string{CallbackContacts: "", CallbackCustomer: "", CallbackArchive: "2000004"}

// What WeCom allows an address, and how often it tries again.
const (
	VerifyTimeout   = time.Second
	DeliveryTimeout = 5 * time.Second
	Retries         = 3
	notifyEvery     = 15 * time.Second
	mostAnswerBytes = 64 << 10
)

// Callback is an address to which a corp's events of one kind are sent.
type Callback struct {
	Corp   string `json:"corp"`
	Kind   string `json:"kind"`
	URL    string `json:"url"` // on this machine; "" takes the address away
	Token  string `json:"token"`
	AESKey string `json:"aes_key"` // 43 letters and digits
	// Full is an address that was saved before 2022-08-15: change_contact carries all that changed. Otherwise it carries ids alone, and a
	// change of a member is sent only if it touches departments or the userid.
	Full bool `json:"full,omitempty"`
	// PauseMS is how long the sender rests before it tries again; 0 is a second. How long WeCom rests is not known.
	PauseMS int `json:"pause_ms,omitempty"`
	// TimeoutMS is how long an answer may take; 0 is WeCom's 5 seconds.
	TimeoutMS int `json:"timeout_ms,omitempty"`
}

func (c *Callback) timeout() time.Duration {
	if c.TimeoutMS > 0 {
		return time.Duration(c.TimeoutMS) * time.Millisecond
	}
	return DeliveryTimeout
}

func (c *Callback) pause() time.Duration {
	if c.PauseMS > 0 {
		return time.Duration(c.PauseMS) * time.Millisecond
	}
	return time.Second
}

func (c *corp) callback(kind string) *Callback {
	for i := range c.Callbacks {
		if c.Callbacks[i].Kind == kind {
			return &c.Callbacks[i]
		}
	}
	return nil
}

// CallbackRequest is a request as WeCom makes it: Query is that of the address, Body what is posted, Sealed what is encrypted.
type CallbackRequest struct {
	Query  url.Values
	Body   []byte
	Sealed string
}

// SealCallback encrypts and signs a message for a corp, as the sender does: random bytes, length, message and corp under AES-256-CBC, padded to
// 32 bytes. agent is the envelope's AgentID.
func SealCallback(token, aesKey, corp, agent, message string, at time.Time) (CallbackRequest, error) {
	key, err := base64.StdEncoding.DecodeString(aesKey + "=")
	if err != nil || len(key) != 32 {
		return CallbackRequest{}, asked("aes_key is no base64 of 32 bytes")
	}
	plain := make([]byte, 24, 24+4+len(message)+len(corp)+32)
	if _, err := rand.Read(plain); err != nil {
		return CallbackRequest{}, fmt.Errorf("making random bytes: %w", err)
	}
	nonce := strconv.FormatUint(binary.BigEndian.Uint64(plain[16:])%10_000_000_000, 10)
	plain = binary.BigEndian.AppendUint32(plain[:16], uint32(len(message))) // #nosec G115 -- messages are short
	plain = append(plain, message+corp...)
	missing := 32 - len(plain)%32
	plain = append(plain, bytes.Repeat([]byte{byte(missing)}, missing)...)
	block, err := aes.NewCipher(key)
	if err != nil {
		return CallbackRequest{}, fmt.Errorf("making a cipher: %w", err)
	}
	cipher.NewCBCEncrypter(block, key[:16]).CryptBlocks(plain, plain)
	sealed := base64.StdEncoding.EncodeToString(plain)
	stamp := strconv.FormatInt(at.Unix(), 10)
	four := []string{token, stamp, nonce, sealed}
	slices.Sort(four)
	sum := sha1.Sum([]byte(four[0] + four[1] + four[2] + four[3])) // #nosec G401 -- as above
	return CallbackRequest{
		Query:  url.Values{"msg_signature": {hex.EncodeToString(sum[:])}, "timestamp": {stamp}, "nonce": {nonce}},
		Body:   []byte("<xml>" + cdata("ToUserName", corp) + cdata("AgentID", agent) + cdata("Encrypt", sealed) + "</xml>"),
		Sealed: sealed,
	}, nil
}

func cdata(name, text string) string {
	return "<" + name + "><![CDATA[" + strings.ReplaceAll(text, "]]>", "]]]]><![CDATA[>") + "]]></" + name + ">"
}

// bare is an element without CDATA, as numbers and ChangeType come.
func bare(name, text string) string {
	var b strings.Builder
	// A builder takes everything.
	_ = xml.EscapeText(&b, []byte(text))
	return "<" + name + ">" + b.String() + "</" + name + ">"
}

func (s *Sim) routeCallbacks() {
	s.unlocked("POST /sim/callback", s.setCallback)
	s.control("GET /sim/callback", func(r *http.Request) (any, error) {
		c, err := s.corpNamed(r.URL.Query().Get("corp"))
		if err != nil {
			return nil, err
		}
		return append([]Callback{}, c.Callbacks...), nil
	})
	control(s, "POST /sim/callback/trouble", s.setTrouble)
	control(s, "POST /sim/callback/release", s.release)
	control(s, "POST /sim/callback/event", s.sendRaw)
	s.unlocked("POST /sim/callback/settle", s.settle)
	listing(s, "GET /sim/delivery", s.deliveries)
}

// listing routes a request for what a corp has after an id that the query may name.
func listing[T any](s *Sim, pattern string, list func(corp string, after int) (T, error)) {
	s.control(pattern, func(r *http.Request) (any, error) {
		c, err := s.corpNamed(r.URL.Query().Get("corp"))
		if err != nil {
			return nil, err
		}
		after := 0
		if q := r.URL.Query().Get("after"); q != "" {
			if after, err = strconv.Atoi(q); err != nil || after < 0 {
				return nil, asked("after is no id of this list")
			}
		}
		return list(c.ID, after)
	})
}

// unlocked routes a request of the control API that waits for the network: mu is not held.
func (s *Sim) unlocked(pattern string, run func(ctx context.Context, body []byte) (any, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r) {
			writeJSON(w, http.StatusForbidden, object{{"error", "the control API answers callers on this machine alone"}})
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, largestBody))
		var ans any
		if err == nil {
			ans, err = run(r.Context(), body)
		}
		switch {
		case errors.Is(err, errAsked):
			writeJSON(w, http.StatusBadRequest, object{{"error", err.Error()}})
		case err != nil:
			writeJSON(w, http.StatusInternalServerError, object{{"error", err.Error()}})
		default:
			writeJSON(w, http.StatusOK, ans)
		}
	})
}

// setCallback tries an address as WeCom's console does, and saves it if it answers.
func (s *Sim) setCallback(ctx context.Context, body []byte) (any, error) {
	var n Callback
	if err := decodeAsked(body, &n); err != nil {
		return nil, err
	}
	s.mu.Lock()
	_, err := s.corpNamed(n.Corp)
	now := s.now()
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(callbackKinds, n.Kind) {
		return nil, asked("%q is no kind of callback: one of %q", n.Kind, callbackKinds)
	}
	if n.URL != "" {
		if err := s.tryAddress(ctx, &n, now); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.corpNamed(n.Corp)
	if err != nil {
		return nil, err
	}
	c.Callbacks = slices.DeleteFunc(c.Callbacks, func(x Callback) bool { return x.Kind == n.Kind })
	if n.URL != "" {
		c.Callbacks = append(c.Callbacks, n)
	}
	return n, s.db.Update(func(tx *bolt.Tx) error { return saveCorp(tx, c) })
}

func (s *Sim) tryAddress(ctx context.Context, n *Callback, now time.Time) error {
	u, err := url.Parse(n.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return asked("the address is no URL")
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return asked("events are sent to this machine alone, and not to %q", u.Hostname())
	}
	want := strconv.FormatUint(hash64(n.Corp, n.Kind, now.UnixNano()), 10)
	req, err := SealCallback(n.Token, n.AESKey, n.Corp, "", want, now)
	if err != nil {
		return err
	}
	req.Query.Set("echostr", req.Sealed)
	a := s.ask(ctx, http.MethodGet, n.URL, req.Query, nil, VerifyTimeout)
	switch {
	case a.Error != "":
		return asked("the address does not verify: %s", a.Error)
	case a.Status != http.StatusOK:
		return asked("the address does not verify: HTTP %d", a.Status)
	case a.Body != want:
		return asked("the address does not verify: its answer is not the echo, and nothing but the echo")
	}
	return nil
}

// ask makes one request of a callback.
func (s *Sim) ask(ctx context.Context, method, address string, query url.Values, body []byte, limit time.Duration) Attempt {
	s.mu.Lock()
	a := Attempt{At: ms(s.now())}
	s.mu.Unlock()
	began := s.clock()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := func() error {
		separator := "?"
		if strings.Contains(address, "?") {
			separator = "&"
		}
		req, err := http.NewRequestWithContext(ctx, method, address+separator+query.Encode(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		if body != nil {
			req.Header.Set("Content-Type", "text/xml; charset=UTF-8")
		}
		res, err := s.caller.Do(req)
		if err != nil {
			return err
		}
		a.Status = res.StatusCode
		b, err := io.ReadAll(io.LimitReader(res.Body, mostAnswerBytes))
		a.Body = string(b)
		return errors.Join(err, res.Body.Close())
	}()
	a.TookMS = s.clock().Sub(began).Milliseconds()
	if err != nil {
		a.Error = "no answer"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			a.Error = fmt.Sprintf("no answer within %s", limit)
		}
	}
	return a
}
