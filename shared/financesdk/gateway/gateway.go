// Package gateway owns the way between Tencent's library and WeCom: a proxy on the loopback that ends the library's TLS, hands it the
// real access token in place of an exchange of the secret, and asks WeCom itself, over TLS that is verified. It must let nothing else
// through, and neither change nor keep what passes: it only remembers how WeCom answered.
//
// QUIRK: the library (v3.0, 2025-02-05) accepts any certificate and sends the corp's secret in a request line, so whoever is on its path
// has both. It is therefore never let onto the network. It signs each request with digits that depend on the token, so the token must
// be the real one; and it keeps a token for expires_in seconds even after WeCom refused it, so it is told 1.
package gateway

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Host is the only place the library may ask for.
const Host = "qyapi.weixin.qq.com"

// Config says where the gateway leads.
type Config struct {
	// Upstream is WeCom's base URL: https, or http on this machine for a simulator.
	Upstream string
	// Token returns the corp's access token; refresh asks for a new one because WeCom refused the last. Its errors may have the methods
	// ErrCode() int and ErrMsg() string, which say how WeCom answered.
	Token func(ctx context.Context, refresh bool) (string, error)
	// Timeout of one question to WeCom, its answer included. It must be shorter than the timeout that the library is given, or the
	// reason of a failure is lost.
	Timeout time.Duration
	// Roots that WeCom's certificate is verified against; nil means the system's, and SSL_CERT_FILE.
	Roots *x509.CertPool
	// Route sets the transport to WeCom on its way, for example through a company's proxy; nil: directly. WeCom's certificate is verified
	// either way.
	Route func(*http.Transport)
	// PassThrough hands the library's own TLS on to Upstream, unread. The library then has to hold the secret, and gives it to whoever
	// answers.
	PassThrough bool
}

// Gateway is a listener on the loopback. It is safe for concurrent use.
type Gateway struct {
	cfg      Config
	upstream *url.URL
	listener net.Listener
	tls      *tls.Config
	client   *http.Client
	cancel   context.CancelFunc
	ctx      context.Context // the gateway's own life, for questions that outlive their connection
	done     sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]*Session // by user name
	open     map[net.Conn]bool
	stale    bool // WeCom refused the token that Token gave last
}

// New starts to listen on a port that the system chooses.
func New(cfg Config) (*Gateway, error) {
	upstream, err := parseUpstream(cfg.Upstream)
	if err != nil {
		return nil, err
	}
	if cfg.PassThrough && cfg.Route != nil {
		return nil, errors.New("the library's own TLS is passed through directly or not at all: it knows no way by a proxy")
	}
	certificate, err := selfSigned(Host)
	if err != nil {
		return nil, fmt.Errorf("make the gateway's certificate: %w", err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on the loopback for the library: %w", err)
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		DisableCompression:  true, // the bytes are the library's, not ours to unpack
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     50 * time.Second,
		TLSHandshakeTimeout: cfg.Timeout,
	}
	if cfg.Route != nil {
		cfg.Route(transport)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &Gateway{
		cfg: cfg, upstream: upstream, listener: listener,
		tls: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		client: &http.Client{
			Transport: transport,
			// A redirect would carry the token to another place.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		ctx: ctx, cancel: cancel,
		sessions: map[string]*Session{}, open: map[net.Conn]bool{},
	}
	g.done.Add(1)
	go g.accept()
	return g, nil
}

func parseUpstream(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("WeCom's address %q is no URL; it should be https://%s", raw, Host)
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return nil, fmt.Errorf("WeCom's address %q is refused: the token travels over https only, or over http within this machine", raw)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Close ends the listener, its connections and its sessions.
func (g *Gateway) Close() error {
	g.cancel()
	err := g.listener.Close()
	g.mu.Lock()
	for conn := range g.open {
		conn.Close() // it is given up
	}
	g.mu.Unlock()
	g.done.Wait()
	g.client.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("close the gateway: %w", err)
	}
	return nil
}

// Admit makes credentials for one child. Dismiss ends them.
func (g *Gateway) Admit() *Session {
	s := &Session{gateway: g, user: random(), password: random()}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions[s.user] = s
	return s
}

func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}

func (g *Gateway) accept() {
	defer g.done.Done()
	for {
		conn, err := g.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // a connection that was gone before it was taken
		}
		if !g.enter(conn) {
			return
		}
		g.done.Add(1)
		go func() {
			defer g.done.Done()
			defer g.leave(conn)
			g.serve(conn)
		}()
	}
}

func (g *Gateway) enter(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		conn.Close() // nobody waits for it
		return false
	}
	g.open[conn] = true
	return true
}

func (g *Gateway) leave(conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, conn)
	conn.Close() // the answer, if any, is written
}

// authorised finds the session that the credentials of a CONNECT belong to.
func (g *Gateway) authorised(header string) *Session {
	encoded, ok := strings.CutPrefix(header, "Basic ")
	if !ok {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil
	}
	user, password, _ := strings.Cut(string(raw), ":")
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sessions[user]
	if s == nil || subtle.ConstantTimeCompare([]byte(s.password), []byte(password)) != 1 {
		return nil
	}
	return s
}
