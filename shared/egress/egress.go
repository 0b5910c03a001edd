// Package egress owns the way from a function to WeCom: directly, or through a company's proxy by CONNECT, with TLS that is verified from
// end to end in both cases. The proxy sees WeCom's host name and nothing of what passes. The package knows neither WeCom nor AWS, and it
// must not print the proxy's credentials, nor keep them from one connection to the next: they may have been changed.
package egress

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Way is how WeCom is reached. Safe for concurrent use.
type Way struct {
	proxy       *url.URL // nil: directly
	credentials func(context.Context) (string, error)
}

// ErrRefused says that the proxy answered, and did not connect. The same call may succeed later, once somebody has mended the proxy's rules.
var ErrRefused = errors.New("the egress proxy did not connect to WeCom")

// New returns the way by a proxy, http://host:port or https://host:port; "" is no proxy. credentials returns "user:password" and is asked
// for each connection; nil, or an empty answer: the proxy wants none. An address with credentials in it is refused unread: an address is
// a setting, and settings are printed.
func New(proxy string, credentials func(context.Context) (string, error)) (*Way, error) {
	if proxy == "" {
		return &Way{}, nil
	}
	u, err := url.Parse(proxy)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Port() == "", u.Path != "", u.RawQuery != "":
		return nil, errors.New("EGRESS_PROXY is no address of a proxy: write http://host:port")
	case u.User != nil:
		return nil, errors.New("EGRESS_PROXY holds credentials: write http://host:port, and keep the credentials in the secret egress-proxy")
	}
	return &Way{proxy: u, credentials: credentials}, nil
}

// Of is New with the settings of a function: auth says whether the proxy wants the credentials that secret returns.
func Of(proxy string, auth bool, secret func(context.Context) (string, error)) (*Way, error) {
	if !auth {
		secret = nil
	}
	return New(proxy, secret)
}

// Fit sets a transport on the way. The transport's own TLS settings stand.
func (w *Way) Fit(t *http.Transport) {
	t.Proxy = nil // what the environment names is for others
	if w.proxy == nil {
		return
	}
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		switch {
		case r.URL.Scheme == "https":
			return w.proxy, nil
		case loopback(r.URL.Hostname()): // a simulator on this machine
			return nil, nil
		default:
			return nil, errors.New("only https goes through the egress proxy: over http it would read the token")
		}
	}
	t.GetProxyConnectHeader = func(ctx context.Context, _ *url.URL, _ string) (http.Header, error) {
		if w.credentials == nil {
			return nil, nil
		}
		pair, err := w.credentials(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the egress proxy's credentials: %w", err)
		}
		if pair == "" {
			return nil, nil
		}
		return http.Header{"Proxy-Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}}, nil
	}
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
		switch answer.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusProxyAuthRequired:
			return fmt.Errorf("%w: it wants other credentials (HTTP 407)", ErrRefused)
		default:
			return fmt.Errorf("%w: it answered HTTP %d", ErrRefused, answer.StatusCode)
		}
	}
}

// Client returns a client whose calls take the way and end after timeout.
func (w *Way) Client(timeout time.Duration) *http.Client {
	t := &http.Transport{
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: 50 * time.Second, TLSHandshakeTimeout: timeout, ExpectContinueTimeout: time.Second,
	}
	w.Fit(t)
	return &http.Client{Timeout: timeout, Transport: t}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
