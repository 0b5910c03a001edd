package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/egress"
)

// proxy is a CONNECT proxy on the loopback that leads every name to one server.
type proxy struct {
	address string
	mu      sync.Mutex
	wants   string   // Proxy-Authorization; "" takes any
	seen    []string // what it was asked, headers included
}

func (p *proxy) want(pair string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wants = "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

func (p *proxy) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	p := &proxy{address: "http://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn, to)
		}
	}()
	return p
}

func (p *proxy) serve(conn net.Conn, to string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.seen = append(p.seen, req.Method+" "+req.RequestURI)
	ok := p.wants == "" || req.Header.Get("Proxy-Authorization") == p.wants
	p.mu.Unlock()
	if !ok {
		_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer far.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(far, r) }()
	_, _ = io.Copy(conn, far)
}

// server answers by TLS as example.com, with a certificate that only its own pool trusts.
func server(t *testing.T) (address string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.Listener.Addr().String(), roots
}

func get(t *testing.T, way *egress.Way, roots *x509.CertPool, url string) (string, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	way.Fit(transport)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func by(t *testing.T, proxy string, pair *string) *egress.Way {
	t.Helper()
	var credentials func(context.Context) (string, error)
	if pair != nil {
		credentials = func(context.Context) (string, error) { return *pair, nil }
	}
	w, err := egress.New(proxy, credentials)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWhatGoesOutGoesThroughTheProxyByConnect(t *testing.T) {
	address, roots := server(t)
	p := newProxy(t, address)
	answer, err := get(t, by(t, p.address, nil), roots, "https://example.com/cgi-bin/gettoken?corpsecret=hidden")
	if err != nil || answer != "answer" {
		t.Fatalf("%q, %v", answer, err)
	}
	if seen := p.asked(); len(seen) != 1 || seen[0] != "CONNECT example.com:443" {
		t.Errorf("the proxy saw %q", seen)
	}
}

func TestTheCertificateBehindTheProxyIsVerified(t *testing.T) {
	address, roots := server(t)
	p := newProxy(t, address)
	if _, err := get(t, by(t, p.address, nil), x509.NewCertPool(), "https://example.com/"); err == nil {
		t.Error("a certificate of nobody was taken")
	}
	if _, err := get(t, by(t, p.address, nil), roots, "https://another.example/"); err == nil {
		t.Error("a certificate of another host was taken")
	}
}

func TestCredentialsAreReadForEachConnectionAndNeverSaid(t *testing.T) {
	address, roots := server(t)
	p := newProxy(t, address)
	pair := "vault:first-word"
	way := by(t, p.address, &pair)
	p.want(pair)
	if _, err := get(t, way, roots, "https://example.com/"); err != nil {
		t.Fatal(err)
	}
	p.want("vault:second-word")
	_, err := get(t, way, roots, "https://example.com/")
	if !errors.Is(err, egress.ErrRefused) || !strings.Contains(err.Error(), "other credentials (HTTP 407)") {
		t.Errorf("error %v", err)
	}
	for _, word := range []string{"first-word", base64.StdEncoding.EncodeToString([]byte(pair))} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("the error says %s", word)
		}
	}
	pair = "vault:second-word"
	if _, err := get(t, way, roots, "https://example.com/"); err != nil {
		t.Errorf("changed credentials are not read: %v", err)
	}
}

func TestUnreadableCredentialsAreNoConnection(t *testing.T) {
	address, roots := server(t)
	p := newProxy(t, address)
	way, err := egress.New(p.address, func(context.Context) (string, error) { return "", errors.New("the vault is away") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, way, roots, "https://example.com/"); err == nil || !strings.Contains(err.Error(), "the vault is away") {
		t.Errorf("error %v", err)
	}
}

func TestNothingUnsealedGoesThroughTheProxy(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "simulator") }))
	t.Cleanup(plain.Close)
	p := newProxy(t, plain.Listener.Addr().String())
	way := by(t, p.address, nil)
	if _, err := get(t, way, nil, "http://example.com/"); err == nil {
		t.Error("http to another machine was taken")
	}
	if answer, err := get(t, way, nil, plain.URL); err != nil || answer != "simulator" {
		t.Errorf("a simulator on this machine: %q, %v", answer, err)
	}
	if seen := p.asked(); len(seen) != 0 {
		t.Errorf("the proxy saw %q", seen)
	}
}

func TestTheEnvironmentsProxyIsNotOurs(t *testing.T) {
	address, roots := server(t)
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	by(t, "", nil).Fit(transport)
	if transport.Proxy != nil {
		t.Error("the environment still decides")
	}
	if answer, err := get(t, by(t, "", nil), roots, "https://"+address); err != nil || answer != "answer" {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestAddressesThatAreNoProxyAreRefusedWithoutTheirCredentials(t *testing.T) {
	for _, address := range []string{"proxy:3128", "http://proxy", "socks5://proxy:1080", "http://proxy:3128/path", "http://user:hidden@proxy:3128", "http://\x00:1"} {
		_, err := egress.New(address, nil)
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
