package gateway_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/egress"
	"github.com/wecomvault/wecomvault/shared/financesdk/gateway"
)

const (
	chat  = "/cgi-bin/message/getchatdata"
	media = "/cgi-bin/message/getchatmediadata"
)

// refusal is an error of Token that says how WeCom answered.
type refusal struct {
	code int
	msg  string
}

func (r *refusal) Error() string  { return fmt.Sprintf("gettoken: errcode %d", r.code) }
func (r *refusal) ErrCode() int   { return r.code }
func (r *refusal) ErrMsg() string { return r.msg }

type bench struct {
	*testing.T
	gateway *gateway.Gateway
	session *gateway.Session
}

func newBench(t *testing.T, cfg gateway.Config) *bench {
	t.Helper()
	if cfg.Token == nil {
		cfg.Token = func(context.Context, bool) (string, error) { return "tok", nil }
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{T: t, gateway: g, session: g.Admit()}
}

// library is a client that behaves as Tencent's: through the proxy, any certificate.
func (b *bench) library(passwd string) *http.Client {
	proxy, err := url.Parse(b.session.Proxy())
	if err != nil {
		b.Fatal(err)
	}
	if user, password, ok := strings.Cut(passwd, ":"); ok {
		proxy.User = url.UserPassword(user, password)
	}
	transport := &http.Transport{
		Proxy:              http.ProxyURL(proxy),
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true}, // as the library does
		DisableCompression: true,
	}
	b.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

type got struct {
	status int
	header http.Header
	body   string
}

func (b *bench) do(method, address, body string, header http.Header) got {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, address, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := b.library(b.session.Passwd()).Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close() // read to its end
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header, string(raw)}
}

func (b *bench) token() got {
	b.Helper()
	return b.do(http.MethodGet, "https://"+gateway.Host+"/cgi-bin/gettoken?corpid=ww&corpsecret=a-secret", "", nil)
}

func (b *bench) ask(path, token, body string, header http.Header) got {
	b.Helper()
	return b.do(http.MethodPost, "https://"+gateway.Host+path+"?access_token="+token, body, header)
}

// server is a plain WeCom that records what reaches it.
func server(t *testing.T, h http.HandlerFunc) (string, func() string) {
	t.Helper()
	var mu sync.Mutex
	var heard strings.Builder
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		fmt.Fprintf(&heard, "%s %s %v %s\n", r.Method, r.URL, r.Header, body)
		mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() string {
		mu.Lock()
		defer mu.Unlock()
		return heard.String()
	}
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body) // the test reads it
	}
}

func TestTheTokenIsGivenAndTheSecretGoesNowhere(t *testing.T) {
	address, heard := server(t, says(200, `{"errcode":0,"errmsg":"ok","chatdata":[]}`))
	b := newBench(t, gateway.Config{Upstream: address})
	if got := b.token(); got.status != 200 || !strings.Contains(got.body, `"access_token":"tok"`) || !strings.Contains(got.body, `"expires_in":1`) {
		t.Fatalf("%+v", got)
	}
	if got := b.ask(chat, "tok", `{"seq":18446744073709551615,"limit":1000}`, nil); got.status != 200 || got.body != `{"errcode":0,"errmsg":"ok","chatdata":[]}` {
		t.Fatalf("%+v", got)
	}
	if h := heard(); strings.Contains(h, "secret") || strings.Contains(h, "gettoken") || !strings.Contains(h, `{"seq":18446744073709551615,"limit":1000}`) {
		t.Errorf("WeCom heard %s", h)
	}
}

func TestAnImpostorGetsNothing(t *testing.T) {
	var heard atomic.Int32
	impostor := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	t.Cleanup(impostor.Close)
	b := newBench(t, gateway.Config{Upstream: impostor.URL})
	b.token()
	if got := b.ask(chat, "tok", `{}`, nil); got.status != http.StatusBadGateway {
		t.Errorf("%+v", got)
	}
	var refused *tls.CertificateVerificationError
	if seen := b.session.Seen(); !errors.As(seen.Err, &refused) || strings.Contains(seen.Err.Error(), "tok") {
		t.Errorf("%+v", seen)
	}
	if heard.Load() != 0 {
		t.Error("it was asked")
	}
}

func TestWeComsOwnCertificateIsVerifiedAndKept(t *testing.T) {
	real := httptest.NewTLSServer(says(200, `{"errcode":0}`))
	t.Cleanup(real.Close)
	roots := x509.NewCertPool()
	roots.AddCert(real.Certificate())
	b := newBench(t, gateway.Config{Upstream: real.URL, Roots: roots})
	b.token()
	if got := b.ask(chat, "tok", `{}`, nil); got.status != 200 {
		t.Errorf("%+v, %+v", got, b.session.Seen())
	}
}

func TestWithoutItsCredentialsNobodyPasses(t *testing.T) {
	address, heard := server(t, says(200, `{}`))
	b := newBench(t, gateway.Config{Upstream: address})
	other := b.gateway.Admit()
	other.Dismiss()
	user, _, _ := strings.Cut(b.session.Passwd(), ":")
	for _, passwd := range []string{"", "a:b", user + ":", user + ":wrong", other.Passwd()} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+gateway.Host+"/cgi-bin/gettoken", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.library(passwd).Do(req)
		if err == nil {
			resp.Body.Close() // not wanted
			t.Errorf("%q passed", passwd)
		}
	}
	if heard() != "" || b.session.Seen().Connected {
		t.Error("somebody came through")
	}
}

func TestNothingElsePasses(t *testing.T) {
	address, heard := server(t, says(200, `{}`))
	b := newBench(t, gateway.Config{Upstream: address})
	b.token()
	for what, ask := range map[string]func() got{
		"another path":     func() got { return b.ask("/cgi-bin/user/get", "tok", "", nil) },
		"a path beside":    func() got { return b.ask(chat+"/../../user/get", "tok", "", nil) },
		"another method":   func() got { return b.do(http.MethodGet, "https://"+gateway.Host+chat+"?access_token=tok", "", nil) },
		"a token not ours": func() got { return b.ask(chat, "stolen", "", nil) },
		"no token":         func() got { return b.ask(chat, "", "", nil) },
		// By one byte: what is not read of a longer one may reset the connection before the answer is heard.
		"a question too big": func() got { return b.ask(chat, "tok", strings.Repeat("x", 1<<20+1), nil) },
	} {
		if got := ask(); got.status < 400 {
			t.Errorf("%s: %+v", what, got)
		}
	}
	if h := heard(); h != "" {
		t.Errorf("WeCom heard %s", h)
	}
	for _, line := range []string{
		"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n", "CONNECT " + gateway.Host + ":80 HTTP/1.1\r\nHost: " + gateway.Host + ":80\r\n",
		"GET http://" + gateway.Host + "/ HTTP/1.1\r\nHost: " + gateway.Host + "\r\n",
	} {
		if status := b.raw(line); status != http.StatusForbidden {
			t.Errorf("%q: %d", line, status)
		}
	}
}

// raw sends a proxy request with good credentials and returns the status.
func (b *bench) raw(line string) int {
	b.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.session.Proxy(), "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close() // read to its end
	req := &http.Request{Header: http.Header{}}
	user, password, _ := strings.Cut(b.session.Passwd(), ":")
	req.SetBasicAuth(user, password)
	if _, err := fmt.Fprintf(conn, "%sProxy-Authorization: %s\r\n\r\n", line, req.Header.Get("Authorization")); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close() // not wanted
	return resp.StatusCode
}

func TestHowWeComAnsweredIsRemembered(t *testing.T) {
	answer := ""
	address, _ := server(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }) // the test reads it
	b := newBench(t, gateway.Config{Upstream: address})
	b.token()
	for body, want := range map[string]gateway.Seen{
		`{"errcode":301042,"errmsg":"not allowed, hint: [1], from ip: 203.0.113.5, more info at x"}`: {ErrCode: 301042, FromIP: "203.0.113.5"},
		`{"errmsg":"limit","errcode":45009,"chatdata":[]}`:                                           {ErrCode: 45009},
		`{"errcode":0,"errmsg":"ok","chatdata":[]}`:                                                  {},
		`<html>`: {}, ``: {}, strings.Repeat("x", 100_000): {},
		`{"errcode":40001,"errmsg":"from ip: 2001:db8::1, more"}`: {ErrCode: 40001, FromIP: "2001:db8::1"},
	} {
		answer = body
		b.session.Begin()
		if got := b.ask(media, "tok", "{}", nil); got.body != body {
			t.Errorf("%.40q came as %.40q", body, got.body)
		}
		seen := b.session.Seen()
		want.Connected, want.Path, want.Status = true, media, 200
		if seen != want {
			t.Errorf("%.40q: %+v, want %+v", body, seen, want)
		}
	}
	b.session.Begin()
	if seen := b.session.Seen(); seen != (gateway.Seen{}) {
		t.Errorf("after Begin: %+v", seen)
	}
}

func TestARefusedTokenIsRememberedWithItsReason(t *testing.T) {
	address, _ := server(t, says(200, `{}`))
	b := newBench(t, gateway.Config{Upstream: address, Token: func(context.Context, bool) (string, error) {
		return "", fmt.Errorf("corp ww: %w", &refusal{40013, "invalid corpid, from ip: 203.0.113.9, more"})
	}})
	if got := b.token(); !strings.Contains(got.body, "40013") || strings.Contains(got.body, "access_token") {
		t.Errorf("%+v", got)
	}
	if seen := b.session.Seen(); seen.ErrCode != 40013 || seen.FromIP != "203.0.113.9" || seen.Err == nil || seen.Path != "/cgi-bin/gettoken" {
		t.Errorf("%+v", seen)
	}
	// The library was seen to go on with an empty token then.
	if got := b.ask(chat, "", "{}", nil); got.status != http.StatusForbidden {
		t.Errorf("%+v", got)
	}
}

func TestADeadTokenIsAskedForAnewOnce(t *testing.T) {
	for _, code := range []int{40014, 42001, 41001, 40001} {
		var refreshed []bool
		address, _ := server(t, says(200, fmt.Sprintf(`{"errcode":%d,"errmsg":"dead"}`, code)))
		b := newBench(t, gateway.Config{Upstream: address, Token: func(_ context.Context, refresh bool) (string, error) {
			refreshed = append(refreshed, refresh)
			return "tok", nil
		}})
		b.token()
		b.token()
		b.ask(chat, "tok", "{}", nil)
		b.token()
		b.token()
		if fmt.Sprint(refreshed) != "[false false true false]" {
			t.Errorf("%d: %v", code, refreshed)
		}
	}
}

func TestTheTokenBeforeTheLastStillPasses(t *testing.T) {
	n := 0
	address, _ := server(t, says(200, `{"errcode":0}`))
	b := newBench(t, gateway.Config{Upstream: address, Token: func(context.Context, bool) (string, error) {
		n++
		return fmt.Sprint("tok", n), nil
	}})
	b.token()
	b.token()
	b.token()
	for token, want := range map[string]int{"tok1": 403, "tok2": 200, "tok3": 200} {
		if got := b.ask(chat, token, "{}", nil); got.status != want {
			t.Errorf("%s: %d", token, got.status)
		}
	}
}

func TestRangesGoBothWays(t *testing.T) {
	address, heard := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 524288-524290/524291")
		w.Header().Set("Set-Cookie", "not=wanted")
		w.WriteHeader(http.StatusPartialContent)
		w.Write([]byte{0, 0xff, '{'}) // the test reads it
	})
	b := newBench(t, gateway.Config{Upstream: address})
	b.token()
	got := b.ask(media, "tok", "{}", http.Header{"Range": {"bytes=524288-1048575"}, "Cookie": {"not=wanted"}})
	if got.status != http.StatusPartialContent || got.body != "\x00\xff{" || got.header.Get("Content-Range") != "bytes 524288-524290/524291" || got.header.Get("Set-Cookie") != "" {
		t.Errorf("%+v", got)
	}
	if h := heard(); !strings.Contains(h, "bytes=524288-1048575") || strings.Contains(h, "Cookie") {
		t.Errorf("WeCom heard %s", h)
	}
}

func TestAnAnswerThatBreaksOffIsNone(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"with its length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"errcode":0,`) // cut on purpose
		},
		"in pieces": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"errcode":0,`) // cut on purpose
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"before it begins": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		address, _ := server(t, h)
		b := newBench(t, gateway.Config{Upstream: address})
		b.token()
		if got := b.ask(chat, "tok", "{}", nil); got.status != http.StatusBadGateway || got.body != "" || b.session.Seen().Err == nil {
			t.Errorf("%s: %+v, %+v", name, got, b.session.Seen())
		}
	}
}

func TestASlowAnswerIsNone(t *testing.T) {
	done := make(chan struct{})
	address, _ := server(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(done) })
	b := newBench(t, gateway.Config{Upstream: address, Timeout: 50 * time.Millisecond})
	b.token()
	got := b.ask(chat, "tok", "{}", nil)
	if seen := b.session.Seen(); got.status != http.StatusBadGateway || !errors.Is(seen.Err, context.DeadlineExceeded) {
		t.Errorf("%+v, %+v", got, seen)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	address, heard := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	b := newBench(t, gateway.Config{Upstream: address})
	b.token()
	if got := b.ask(chat, "tok", "{}", nil); got.status != http.StatusTemporaryRedirect || got.header.Get("Location") != "" {
		t.Errorf("%+v", got)
	}
	if strings.Contains(heard(), "elsewhere") {
		t.Error("it was followed")
	}
}

// The far end answers one question on each connection and hangs up on the next, as after a freeze.
func TestAConnectionThatWentStaleCostsNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	})
	var connections atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go func() {
				defer conn.Close()
				reader := bufio.NewReader(conn)
				for n := range 2 {
					req, err := http.ReadRequest(reader)
					if err != nil || n == 1 {
						return
					}
					if _, err := io.Copy(io.Discard, req.Body); err != nil {
						t.Error(err)
					}
					fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"errcode\":0}")
				}
			}()
		}
	}()
	b := newBench(t, gateway.Config{Upstream: "http://" + listener.Addr().String()})
	b.token()
	for range 4 {
		if got := b.ask(chat, "tok", `{"seq":1}`, nil); got.status != 200 {
			t.Fatalf("%+v, %+v", got, b.session.Seen())
		}
	}
	if n := connections.Load(); n != 4 {
		t.Errorf("%d connections", n)
	}
}

func TestALibraryThatVerifiesIsNoticed(t *testing.T) {
	address, _ := server(t, says(200, `{}`))
	b := newBench(t, gateway.Config{Upstream: address})
	client := b.library(b.session.Passwd())
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+gateway.Host+"/cgi-bin/gettoken?corpsecret=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close() // not wanted
		t.Fatal("the certificate was believed")
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(5 * time.Second); !b.session.Seen().Refused; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%+v", b.session.Seen())
		}
	}
}

func TestPassThroughIsBlind(t *testing.T) {
	real := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Query().Get("corpsecret")) // the test reads it
	}))
	t.Cleanup(real.Close)
	b := newBench(t, gateway.Config{Upstream: real.URL, PassThrough: true})
	if got := b.token(); got.body != "a-secret" {
		t.Errorf("%+v", got)
	}
	if seen := b.session.Seen(); seen != (gateway.Seen{Connected: true}) {
		t.Errorf("%+v", seen)
	}
}

// connectProxy leads every CONNECT to one server, and tells what it was asked for.
func connectProxy(t *testing.T, to string) (address string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Method+" "+r.Host)
		mu.Unlock()
		far, err := net.Dial("tcp", to)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer far.Close()
		w.WriteHeader(http.StatusOK)
		// What the other side says at once after the 200 may already be in the server's buffer.
		near, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer near.Close()
		go func() { _, _ = io.Copy(far, buffered) }()
		_, _ = io.Copy(near, far)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), seen...) }
}

func TestTheWayByAProxyEndsAtWeComsVerifiedCertificate(t *testing.T) {
	wecom := httptest.NewTLSServer(says(http.StatusOK, `{"errcode":0}`))
	t.Cleanup(wecom.Close)
	roots := x509.NewCertPool()
	roots.AddCert(wecom.Certificate())
	proxy, asked := connectProxy(t, wecom.Listener.Addr().String())
	way, err := egress.New(proxy, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		roots  *x509.CertPool
		status int
	}{"WeCom's": {roots, http.StatusOK}, "an impostor's": {x509.NewCertPool(), http.StatusBadGateway}} {
		b := newBench(t, gateway.Config{Upstream: "https://example.com", Roots: c.roots, Route: way.Fit})
		b.token()
		if got := b.ask(chat, "tok", "{}", nil); got.status != c.status {
			t.Errorf("%s certificate: %+v", name, got)
		}
	}
	if got := asked(); len(got) != 2 || got[0] != "CONNECT example.com:443" || got[1] != got[0] {
		t.Errorf("the proxy was asked %q", got)
	}
}

func TestAProxyAndABlindTunnelExcludeEachOther(t *testing.T) {
	_, err := gateway.New(gateway.Config{Upstream: "https://example.com", PassThrough: true, Route: func(*http.Transport) {}})
	if err == nil {
		t.Error("the library would go round the proxy")
	}
}
