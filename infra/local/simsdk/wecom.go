package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
	"github.com/wecomvault/wecomvault/shared/local/simcipher"
)

const (
	wecomHost  = "qyapi.weixin.qq.com"
	firstRange = "Range:bytes=0-524287"
	chunk      = 524288
	mostAnswer = 64 << 20
	mostLimit  = 1000
)

// wecom speaks to WeCom as the real library does: a new connection for each question, CONNECT, TLS with any certificate, HTTP/1.0.
type wecom struct {
	corp, secret string
	proxy        string // host:port, "" for none
	passwd       string
	timeout      time.Duration

	token   string
	expires time.Time
}

func newWeCom(o *frames.Open) *wecom {
	timeout := time.Duration(min(o.Timeout, 3600)) * time.Second
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	return &wecom{
		corp: o.Corp, secret: o.Secret, proxy: strings.TrimSuffix(strings.TrimPrefix(o.Proxy, "http://"), "/"), passwd: o.Passwd, timeout: timeout,
	}
}

// errNetwork is whatever becomes 10001.
var errNetwork = errors.New("network error")

type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask sends one question and reads the whole answer.
func (w *wecom) ask(deadline time.Time, request string) (answer, error) {
	if w.proxy == "" {
		return answer{}, fmt.Errorf("%w: no proxy was given", errNetwork)
	}
	conn, err := net.DialTimeout("tcp", w.proxy, time.Until(deadline))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	defer func() { _ = conn.Close() }() // the answer is read by then, or given up
	if err := conn.SetDeadline(deadline); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	connect := "CONNECT " + wecomHost + ":443 HTTP/1.1\r\nHost: " + wecomHost + ":443\r\n"
	if w.passwd != "" {
		connect += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(w.passwd)) + "\r\n"
	}
	if _, err := io.WriteString(conn, connect+"\r\n"); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	opened, err := http.ReadResponse(bufio.NewReaderSize(conn, 1), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	if err := opened.Body.Close(); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	if opened.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("%w: the proxy answered %d", errNetwork, opened.StatusCode)
	}
	// QUIRK: the real library believes any certificate; that is why the gateway exists.
	inner := tls.Client(conn, &tls.Config{ServerName: wecomHost, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) // #nosec G402
	if _, err := io.WriteString(inner, request); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	res, err := http.ReadResponse(bufio.NewReader(inner), nil)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	defer func() {
		// The connection is closed with the call.
		_ = res.Body.Close()
	}()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: body}, nil
}

// fetchToken takes a token, or goes on believing in the one it has, dead or not, until its expires_in has run out.
func (w *wecom) fetchToken(deadline time.Time) error {
	if w.token != "" && time.Now().Before(w.expires) {
		return nil
	}
	q := url.Values{"corpid": {w.corp}, "corpsecret": {w.secret}}
	a, err := w.ask(deadline, "GET /cgi-bin/gettoken?"+q.Encode()+" HTTP/1.0\r\nHost: "+wecomHost+"\r\nAccept: */*\r\n\r\n")
	if err != nil {
		return err
	}
	var t struct {
		ErrCode int    `json:"errcode"`
		Token   string `json:"access_token"`
		Expires int64  `json:"expires_in"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &t) != nil || t.ErrCode != 0 || t.Token == "" {
		// QUIRK: why a token was refused the real library only prints on its standard output.
		return fmt.Errorf("%w: no token", errNetwork)
	}
	w.token, w.expires = t.Token, time.Now().Add(time.Duration(t.Expires)*time.Second)
	return nil
}

func (w *wecom) post(deadline time.Time, path string, body any, header string) (answer, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	text := bytes.TrimRight(b.Bytes(), "\n")
	// QUIRK: the body is JSON and is declared as a form.
	return w.ask(deadline, fmt.Sprintf("POST %s?access_token=%s HTTP/1.0\r\nHost: %s\r\nAccept: */*\r\n%sContent-Length: %d\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n%s",
		path, url.QueryEscape(w.token), wecomHost, header, len(text), text))
}

// sign stands where the real library puts digits that depend on the token alone.
func (w *wecom) sign() string {
	sum := sha256.Sum256([]byte("simsdk sign\n" + w.token))
	return fmt.Sprintf("%d", binary.BigEndian.Uint64(sum[:]))
}

func (w *wecom) chatData(seq uint64, limit uint32) (int32, []byte) {
	if limit == 0 || limit > mostLimit {
		return codeArgument, nil
	}
	deadline := time.Now().Add(w.timeout)
	if err := w.fetchToken(deadline); err != nil {
		return codeNetwork, nil
	}
	a, err := w.post(deadline, "/cgi-bin/message/getchatdata", struct {
		Seq     uint64 `json:"seq"`
		Limit   uint32 `json:"limit"`
		Version int    `json:"version"`
		Sign    string `json:"encrypt_sign"`
	}{seq, limit, 3, w.sign()}, "")
	if err != nil || a.status != http.StatusOK {
		return codeNetwork, nil
	}
	// QUIRK: whatever came with HTTP 200 is handed on with code 0: refusals, cut or foreign answers, nothing at all.
	return codeOK, a.body
}

type part struct {
	code     int32
	data     []byte
	next     string
	finished bool
}

func (w *wecom) media(index, fileID string) part {
	if fileID == "" {
		return part{code: codeArgument}
	}
	if index == "" {
		index = firstRange
	}
	if !strings.HasPrefix(index, "Range:bytes=") || strings.ContainsAny(index, "\r\n") {
		return part{code: codeArgument}
	}
	deadline := time.Now().Add(w.timeout)
	if err := w.fetchToken(deadline); err != nil {
		return part{code: codeNetwork}
	}
	if _, err := base64.StdEncoding.DecodeString(fileID); err != nil {
		return part{code: codeFileID}
	}
	a, err := w.post(deadline, "/cgi-bin/message/getchatmediadata", struct {
		FileID  string `json:"fileid"`
		AuthKey string `json:"authkey"`
		Version int    `json:"version"`
	}{fileID, w.sign(), 3}, "Range: "+strings.TrimPrefix(index, "Range:")+"\r\n")
	switch {
	case err != nil || (a.status != http.StatusOK && a.status != http.StatusPartialContent):
		return part{code: codeNetwork}
	case len(a.body) == 0:
		return part{code: codeSystem}
	case a.header.Get("Content-Range") == "":
		return part{code: mediaRefusal(a.body)}
	}
	return openPart(fileID, a)
}

// mediaRefusal gives the return code for an answer that is no part of a file.
func mediaRefusal(body []byte) int32 {
	var refusal struct {
		ErrCode int `json:"errcode"`
	}
	if json.Unmarshal(body, &refusal) != nil {
		return codeSystem
	}
	switch refusal.ErrCode {
	case 301048:
		return codeDataExpired
	case 301042, 60020:
		return codeIP
	default:
		// QUIRK: 45009 was seen to come out as 10002: the rate limit is hidden from the caller.
		return codeParse
	}
}

func openPart(fileID string, a answer) part {
	var first, last, size int64
	if _, err := fmt.Sscanf(strings.ToLower(a.header.Get("Content-Range")), "bytes %d-%d/%d", &first, &last, &size); err != nil ||
		first < 0 || last < first || last >= size || last-first+1 != int64(len(a.body)) {
		return part{code: codeSystem}
	}
	if simcipher.XORFile(fileID, first, a.body) != nil {
		return part{code: codeSystem}
	}
	if last+1 < size {
		return part{data: a.body, next: fmt.Sprintf("Range:bytes=%d-%d", last+1, min(last+chunk, size-1))}
	}
	data, err := simcipher.Unpad(a.body)
	if err != nil {
		return part{code: codeSystem}
	}
	return part{data: data, finished: true}
}
