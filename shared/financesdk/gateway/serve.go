package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/wecomvault/wecomvault/shared/fault"
)

// PathToken is the question that is answered here and never forwarded.
const PathToken = "/cgi-bin/gettoken" //nolint:gosec // a path, no credential

// The two questions that are forwarded. Nothing else passes.
const (
	pathChat  = "/cgi-bin/message/getchatdata"
	pathMedia = "/cgi-bin/message/getchatmediadata"
)

const (
	maxQuestion = 1 << 20  // bytes; an sdkfileid is about 1,000
	maxAnswer   = 64 << 20 // bytes; a page is about 1 MB, a chunk of media 512 KiB
)

// largestGuess bounds what is taken at once on the word of an answer's header.
const largestGuess = 4 << 20

// serve answers one connection: one CONNECT, one question inside it.
func (g *Gateway) serve(conn net.Conn) {
	// Longer than any question may take, so that it only ends connections that nobody uses.
	idle := time.AfterFunc(g.cfg.Timeout+30*time.Second, func() { conn.Close() }) // it is given up
	defer idle.Stop()
	reader := bufio.NewReader(conn)
	connect, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	session := g.authorised(connect.Header.Get("Proxy-Authorization"))
	switch {
	case session == nil:
		reply(conn, http.StatusProxyAuthRequired, http.Header{"Proxy-Authenticate": {`Basic realm="gateway"`}}, nil)
		return
	case connect.Method != http.MethodConnect || connect.Host != Host+":443" || reader.Buffered() > 0:
		reply(conn, http.StatusForbidden, nil, nil)
		return
	}
	session.note(func(s *Seen) { s.Connected = true })
	// What the library or WeCom says must not end more than the connection.
	defer func() {
		if r := recover(); r != nil {
			session.note(func(s *Seen) { s.Err = fault.Died(r) })
		}
	}()
	if g.cfg.PassThrough {
		g.passThrough(conn, session)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	inner := tls.Server(conn, g.tls)
	if err := inner.HandshakeContext(g.ctx); err != nil {
		session.note(func(s *Seen) { s.Refused = true })
		return
	}
	question, err := http.ReadRequest(bufio.NewReader(inner))
	if err != nil {
		// In TLS 1.3 a client's refusal of the certificate arrives only now.
		session.note(func(s *Seen) { s.Refused = true })
		return
	}
	g.answer(inner, session, question)
	_ = inner.CloseWrite() // the answer is written, with its length
}

// passThrough joins the library's TLS to WeCom's, unread.
func (g *Gateway) passThrough(conn net.Conn, session *Session) {
	address := g.upstream.Host
	if g.upstream.Port() == "" {
		address = net.JoinHostPort(g.upstream.Hostname(), "443")
	}
	dialer := net.Dialer{Timeout: g.cfg.Timeout}
	far, err := dialer.DialContext(g.ctx, "tcp", address)
	if err != nil {
		session.note(func(s *Seen) { s.Err = err })
		reply(conn, http.StatusBadGateway, nil, nil)
		return
	}
	if !g.enter(far) {
		return
	}
	defer g.leave(far)
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	g.done.Add(1)
	go func() {
		defer g.done.Done()
		_, _ = io.Copy(far, conn) // an end is an end
		far.Close()               // ends the other direction
	}()
	_, _ = io.Copy(conn, far) // an end is an end
	conn.Close()              // ends the other direction
}

func (g *Gateway) answer(w io.Writer, session *Session, question *http.Request) {
	ctx, cancel := context.WithTimeout(g.ctx, g.cfg.Timeout)
	defer cancel()
	path := question.URL.Path
	session.note(func(s *Seen) { *s = Seen{Connected: true, Path: path} })
	switch {
	case question.Method == http.MethodGet && path == PathToken:
		g.giveToken(ctx, w, session)
	case question.Method == http.MethodPost && (path == pathChat || path == pathMedia):
		g.forward(ctx, w, session, question)
	default:
		session.note(func(s *Seen) { s.Err = errors.New("the library asked for something that the gateway does not forward") })
		reply(w, http.StatusNotFound, nil, nil)
	}
}

// giveToken answers gettoken out of our own cache. The secret in the question, a placeholder, is not looked at.
func (g *Gateway) giveToken(ctx context.Context, w io.Writer, session *Session) {
	g.mu.Lock()
	refresh := g.stale
	g.stale = false
	g.mu.Unlock()
	token, err := g.cfg.Token(ctx, refresh)
	if err == nil && token == "" {
		err = errors.New("there is no access token")
	}
	if err != nil {
		if refresh {
			g.mu.Lock()
			g.stale = true
			g.mu.Unlock()
		}
		code, ip := answered(err)
		session.note(func(s *Seen) { s.ErrCode, s.FromIP, s.Err = code, ip, err })
		if code == 0 {
			reply(w, http.StatusBadGateway, nil, nil)
			return
		}
		replyJSON(w, map[string]any{"errcode": code, "errmsg": "refused"})
		return
	}
	session.gave(token)
	session.note(func(s *Seen) { s.Status = http.StatusOK })
	replyJSON(w, map[string]any{"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": 1})
}

// forward asks WeCom the library's question and hands back the whole answer. An answer that broke off is no answer: the library speaks
// HTTP/1.0, to which a cut is an end.
func (g *Gateway) forward(ctx context.Context, w io.Writer, session *Session, question *http.Request) {
	token := question.URL.Query().Get("access_token")
	if !session.knows(token) {
		session.note(func(s *Seen) { s.Err = errors.New("the library sent a token that it was not given") })
		reply(w, http.StatusForbidden, nil, nil)
		return
	}
	body, err := io.ReadAll(io.LimitReader(question.Body, maxQuestion+1))
	if err != nil || len(body) > maxQuestion {
		session.note(func(s *Seen) { s.Err = errors.New("the library's question is cut or too long") })
		reply(w, http.StatusBadRequest, nil, nil)
		return
	}
	status, header, content, err := g.ask(ctx, question, token, body)
	if err != nil {
		session.note(func(s *Seen) { s.Err = err })
		reply(w, http.StatusBadGateway, nil, nil)
		return
	}
	code, ip := codes(content)
	if deadToken(code) {
		g.mu.Lock()
		g.stale = true
		g.mu.Unlock()
	}
	session.note(func(s *Seen) { s.Status, s.ErrCode, s.FromIP = status, code, ip })
	reply(w, status, header, content)
}

func (g *Gateway) ask(ctx context.Context, question *http.Request, token string, body []byte) (int, http.Header, []byte, error) {
	target := *g.upstream
	target.Path += question.URL.Path
	query := target.Query()
	query.Set("access_token", token)
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, errors.New("the question to WeCom can't be formed") // err would quote the URL with the token
	}
	for _, name := range []string{"Content-Type", "Range"} {
		if v := question.Header.Get(name); v != "" {
			req.Header.Set(name, v)
		}
	}
	// QUIRK: net/http repeats a POST on a connection that went stale only if it is marked as safe to repeat; a nil value marks it and
	// sends nothing. Connections go stale whenever Lambda freezes us. Both questions only read.
	req.Header["Idempotency-Key"] = nil
	resp, err := g.client.Do(req)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("ask WeCom: %w", withoutURL(err))
	}
	defer resp.Body.Close() // read to its end, or given up
	var read bytes.Buffer
	read.Grow(int(min(max(resp.ContentLength, 0), largestGuess)) + bytes.MinRead)
	if _, err := read.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return 0, nil, nil, fmt.Errorf("read WeCom's answer: %w", err)
	}
	content := read.Bytes()
	if len(content) > maxAnswer {
		return 0, nil, nil, fmt.Errorf("WeCom's answer is longer than %d bytes", maxAnswer)
	}
	header := http.Header{}
	for _, name := range []string{"Content-Type", "Content-Range"} {
		if v := resp.Header.Get(name); v != "" {
			header.Set(name, v)
		}
	}
	return resp.StatusCode, header, content, nil
}

// withoutURL takes the address off an error of net/http: it holds the token.
func withoutURL(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return errors.New("no answer")
}

func replyJSON(w io.Writer, answer map[string]any) {
	body, err := json.Marshal(answer)
	if err != nil {
		reply(w, http.StatusInternalServerError, nil, nil)
		return
	}
	reply(w, http.StatusOK, http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, body)
}

// reply writes a whole answer with its length, and says that the connection ends. A library that is gone does not hear it.
func reply(w io.Writer, status int, header http.Header, body []byte) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Connection", "close")
	_ = header.Write(&out) // a buffer takes everything
	out.WriteString("\r\n")
	if len(body) < 16<<10 { // one packet; a longer body is not worth a copy
		out.Write(body)
		body = nil
	}
	_, _ = w.Write(out.Bytes()) // see above
	if len(body) > 0 {
		_, _ = w.Write(body)
	}
}

// selfSigned makes the certificate that the library is shown. It proves nothing and has to prove nothing: it is made for this process
// and never leaves it.
func selfSigned(host string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("generate key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		// Wide, so that no clock of any kind plays a part.
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:  time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
