package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// TestMain lets the test's own program be the child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "simsdk" {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// bench is a simulator, a proxy in front of it as the gateway is one, and children.
type bench struct {
	*testing.T
	*wecomsim.Client
	corp  wecomsim.Corp
	proxy string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	sim, err := wecomsim.Open(filepath.Join(t.TempDir(), "sim.db"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	b := &bench{T: t, Client: wecomsim.NewClient(server.URL)}
	b.corp, err = b.AddCorp(t.Context(), wecomsim.NewCorp{Corp: "wwone"})
	if err != nil {
		t.Fatal(err)
	}
	b.proxy = startProxy(t, server.URL)
	return b
}

// startProxy listens as a proxy that wants credentials, ends TLS with a certificate nobody signed, and forwards to the simulator.
func startProxy(t *testing.T, target string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	inner := &http.Server{Handler: httputil.NewSingleHostReverseProxy(to), ReadHeaderTimeout: time.Minute}
	conns := make(chan net.Conn)
	listener := &handed{conns: conns, done: make(chan struct{})}
	go func() { _ = inner.Serve(listener) }()
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("user:word")) {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			t.Error(err)
			return
		}
		select {
		case conns <- tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS13}):
		case <-listener.done:
		}
	}))
	t.Cleanup(func() {
		if err := inner.Close(); err != nil {
			t.Error(err)
		}
		outer.Close()
	})
	return outer.URL
}

// handed is a listener whose connections are handed to it.
type handed struct {
	conns chan net.Conn
	done  chan struct{}
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handed) Close() error {
	close(h.done)
	return nil
}

func (h *handed) Addr() net.Addr { return &net.TCPAddr{} }

// child is a simsdk process.
type child struct {
	*testing.T
	cmd *exec.Cmd
	in  *os.File
	out *os.File
}

func (b *bench) child(args ...string) *child {
	b.Helper()
	childIn, in, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	c := &child{T: b.T, in: in, out: out, cmd: exec.Command(os.Args[0], append([]string{"simsdk"}, args...)...)}
	c.cmd.Env = []string{}
	c.cmd.ExtraFiles = []*os.File{childIn, childOut}
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for _, f := range c.cmd.ExtraFiles {
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		_ = out.Close()
	})
	return c
}

func (b *bench) open(secret string, args ...string) *child {
	b.Helper()
	c := b.child(args...)
	if m := c.ask(&frames.Open{Version: frames.Version, Corp: "wwone", Secret: secret, Proxy: b.proxy, Passwd: "user:word", Timeout: 5}); m == nil {
		b.Fatal("the child died on Open")
	} else if _, ok := m.(*frames.Ready); !ok {
		b.Fatalf("Open: %+v", m)
	}
	return c
}

// ask sends a request and reads one answer, nil if the child is gone.
func (c *child) ask(m frames.Message) frames.Message {
	c.Helper()
	if err := frames.Write(c.in, m); err != nil {
		c.Fatal(err)
	}
	return c.next()
}

func (c *child) next() frames.Message {
	c.Helper()
	m, err := frames.Read(c.out)
	if err != nil {
		return nil
	}
	return m
}

func (c *child) chat(seq uint64, limit uint32) *frames.ChatDataAnswer {
	c.Helper()
	a, ok := c.ask(&frames.ChatData{Seq: seq, Limit: limit}).(*frames.ChatDataAnswer)
	if !ok {
		c.Fatal("no answer to ChatData")
	}
	return a
}

func (c *child) media(index, id string) *frames.MediaAnswer {
	c.Helper()
	a, ok := c.ask(&frames.Media{Index: index, FileID: id}).(*frames.MediaAnswer)
	if !ok {
		c.Fatal("no answer to Media")
	}
	return a
}

func (b *bench) secret() string { return b.corp.Secret(wecomsim.KindArchive) }

func (b *bench) items(page []byte) []frames.Item {
	b.Helper()
	var p struct {
		Chat []struct {
			Key string `json:"encrypt_random_key"`
			Msg string `json:"encrypt_chat_msg"`
		} `json:"chatdata"`
	}
	if err := json.Unmarshal(page, &p); err != nil {
		b.Fatalf("%v: %s", err, page)
	}
	block, _ := pem.Decode([]byte(b.corp.Keys[0].Private))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		b.Fatal(err)
	}
	var items []frames.Item
	for _, e := range p.Chat {
		sealed, err := base64.StdEncoding.DecodeString(e.Key)
		if err != nil {
			b.Fatal(err)
		}
		key, err := rsa.DecryptPKCS1v15(rand.Reader, private.(*rsa.PrivateKey), sealed) //nolint:staticcheck // WeCom offers no other padding
		if err != nil {
			b.Fatal(err)
		}
		items = append(items, frames.Item{Key: key, Msg: e.Msg})
	}
	return items
}

func (b *bench) send(m wecomsim.Message) wecomsim.Sent {
	b.Helper()
	m.Corp = "wwone"
	sent, err := b.Send(b.T.Context(), m)
	if err != nil {
		b.Fatal(err)
	}
	return sent
}

func TestChatDataComesAndOpensThroughTheProxy(t *testing.T) {
	b := newBench(t)
	raw := "{\"msgid\":\"1\",\"action\":\"send\",\"x\":\"a\x01b\"}"
	b.send(wecomsim.Message{Raw: raw, MsgID: "1"})
	c := b.open(b.secret())
	a := c.chat(0, 10)
	if a.Code != 0 || a.RSS == 0 {
		t.Fatalf("%+v", a)
	}
	items := b.items(a.Raw)
	m := c.ask(&frames.Decrypt{Items: append(items, frames.Item{Key: items[0].Key, Msg: "QUFBQUFBQUFBQUFBQUFBQQ=="}, frames.Item{Msg: items[0].Msg})})
	want := []frames.Message{
		&frames.Mark{}, &frames.Opened{Raw: []byte(raw)}, &frames.Mark{Index: 1}, &frames.Opened{Index: 1, Code: 10008}, &frames.Mark{Index: 2},
		&frames.Opened{Index: 2, Code: 10000},
	}
	for i, w := range want {
		if i > 0 {
			m = c.next()
		}
		got, err := frames.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		expected, err := frames.Append(nil, w)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, expected) {
			t.Fatalf("answer %d is %+v, want %+v", i, m, w)
		}
	}
	if _, ok := c.next().(*frames.Done); !ok {
		t.Fatal("no Done")
	}
	if _, ok := c.ask(&frames.Ping{}).(*frames.Pong); !ok {
		t.Fatal("no Pong")
	}
}

func TestAShortMessageTextEndsTheProcessAfterItsMark(t *testing.T) {
	b := newBench(t)
	b.send(wecomsim.Message{Text: "one"})
	b.send(wecomsim.Message{Text: "two", Fate: wecomsim.FateCrashing})
	c := b.open(b.secret())
	items := b.items(c.chat(0, 10).Raw)
	c.ask(&frames.Decrypt{Items: items})
	c.next()
	if m, ok := c.next().(*frames.Mark); !ok || m.Index != 1 {
		t.Fatalf("got %+v before the end, want the mark of item 1", m)
	}
	if m := c.next(); m != nil {
		t.Fatalf("after the guilty item came %+v", m)
	}
	if err := c.cmd.Wait(); err == nil {
		t.Fatal("the child ended well")
	}
}

func TestReturnCodesAreThoseOfTheRealLibrary(t *testing.T) {
	b := newBench(t)
	b.send(wecomsim.Message{Text: "hello"})
	file, err := b.AddFile(t.Context(), wecomsim.NewFile{Corp: "wwone", Name: "a.bin", Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	c := b.open(b.secret())
	fault := func(f wecomsim.Fault) {
		t.Helper()
		if err := b.LiftFaults(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.AddFault(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	chat := func(name string, code int32, empty bool) {
		t.Helper()
		if a := c.chat(0, 10); a.Code != code || (len(a.Raw) == 0) != empty {
			t.Errorf("%s: code %d, %d bytes", name, a.Code, len(a.Raw))
		}
	}
	for _, limit := range []uint32{0, 1001, 2000} {
		if a := c.chat(0, limit); a.Code != 10000 {
			t.Errorf("limit %d: code %d", limit, a.Code)
		}
	}
	for _, kind := range []string{wecomsim.FaultHTML, wecomsim.FaultCut} {
		fault(wecomsim.Fault{Kind: kind, API: "message/getchatdata"})
		chat(kind, 0, false)
	}
	for _, code := range []int{301042, 301052, 45009, 42001, 40014} {
		fault(wecomsim.Fault{Kind: wecomsim.FaultCode, ErrCode: code, API: "message/getchatdata"})
		chat("a refusal", 0, false)
	}
	fault(wecomsim.Fault{Kind: wecomsim.FaultEmpty, API: "message/getchatdata"})
	chat("an empty body", 0, true)
	fault(wecomsim.Fault{Kind: wecomsim.Fault500, API: "message/getchatdata"})
	chat("500", 10001, true)
	for kind, want := range map[string]int32{wecomsim.Fault500: 10001, wecomsim.FaultEmpty: 10003, wecomsim.FaultHTML: 10003} {
		fault(wecomsim.Fault{Kind: kind, API: "message/getchatmediadata"})
		if a := c.media("", file.SDKFileID); a.Code != want {
			t.Errorf("media, %s: code %d, want %d", kind, a.Code, want)
		}
	}
	for code, want := range map[int]int32{301048: 10010, 45009: 10002} {
		fault(wecomsim.Fault{Kind: wecomsim.FaultCode, ErrCode: code, API: "message/getchatmediadata"})
		if a := c.media("", file.SDKFileID); a.Code != want {
			t.Errorf("media, errcode %d: code %d, want %d", code, a.Code, want)
		}
	}
	for id, want := range map[string]int32{"": 10000, "not base64!": 10005} {
		if a := c.media("", id); a.Code != want {
			t.Errorf("media %q: code %d, want %d", id, a.Code, want)
		}
	}
	if a := b.open("wrong").chat(0, 10); a.Code != 10001 || len(a.Raw) != 0 {
		t.Errorf("a refused token: code %d", a.Code)
	}
	if m, ok := b.child().ask(&frames.Open{Version: frames.Version, Corp: "wwone"}).(*frames.Failed); !ok || m.Word != frames.WordInit || m.Code != 10000 {
		t.Errorf("an empty secret: %+v", m)
	}
	if m, ok := b.child().ask(&frames.Open{Version: 99, Corp: "wwone", Secret: "x"}).(*frames.Failed); !ok || m.Word != frames.WordVersion {
		t.Errorf("a foreign version: %+v", m)
	}
}

func TestADeadTokenIsKeptUntilItHasExpired(t *testing.T) {
	b := newBench(t)
	c := b.open(b.secret())
	c.chat(0, 10)
	if err := b.KillTokens(t.Context(), wecomsim.KillTokens{Corp: "wwone"}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if a := c.chat(0, 10); a.Code != 0 || !bytes.Contains(a.Raw, []byte("40014")) {
			t.Fatalf("code %d, %s", a.Code, a.Raw)
		}
	}
}

func TestFilesComeInChunksByteForByte(t *testing.T) {
	b := newBench(t)
	c := b.open(b.secret())
	for _, size := range []int64{0, 1, 16, 524287, 524288, 524289, 1<<20 + 5, 3 << 20} {
		file, err := b.AddFile(t.Context(), wecomsim.NewFile{Corp: "wwone", Name: "a.bin", Size: size})
		if err != nil {
			t.Fatal(err)
		}
		h, got, index := md5.New(), int64(0), ""
		for {
			a := c.media(index, file.SDKFileID)
			if a.Code != 0 {
				t.Fatalf("%d bytes, %s: code %d", size, index, a.Code)
			}
			h.Write(a.Data)
			got += int64(len(a.Data))
			if a.Finished {
				break
			}
			index = a.Next
		}
		if got != size || hex.EncodeToString(h.Sum(nil)) != file.MD5 {
			t.Errorf("%d bytes came as %d, or with another md5", size, got)
		}
	}
}

func TestAScriptMakesItMisbehave(t *testing.T) {
	b := newBench(t)
	b.send(wecomsim.Message{Text: "hello"})
	file := filepath.Join(t.TempDir(), "script")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# on purpose\nchatdata 7 code 10003\nchatdata 8 segfault\nchatdata * print\nmedia * leak 40\nmedia * code 10005\n")
	c := b.open(b.secret(), "-script", file)
	if a := c.chat(7, 1); a.Code != 10003 {
		t.Errorf("code %d", a.Code)
	}
	before := c.chat(0, 1)
	if before.Code != 0 || len(b.items(before.Raw)) != 1 {
		t.Errorf("%+v", before)
	}
	if a := c.media("", "AAAA"); a.Code != 10005 || a.RSS < before.RSS+35<<20 {
		t.Errorf("code %d, resident %d, before %d", a.Code, a.RSS, before.RSS)
	}
	if m := c.ask(&frames.ChatData{Seq: 8, Limit: 1}); m != nil {
		t.Errorf("after a segfault came %+v", m)
	}
	for _, bad := range []string{"chatdata *", "chatdata * code", "chatdata * code x", "chatdata * dance", "chatdata * note", "chatdata * abort now", "once x chatdata *"} {
		if _, err := parseScript(bad); err == nil {
			t.Errorf("%q is taken as a script", bad)
		}
	}
}

func TestOneProcessPlaysALineThatIsForOne(t *testing.T) {
	b := newBench(t)
	b.send(wecomsim.Message{Text: "hello"})
	dir := t.TempDir()
	file, token, notes := filepath.Join(dir, "script"), filepath.Join(dir, "token"), filepath.Join(dir, "notes")
	for name, text := range map[string]string{file: "* * note " + notes + "\nonce " + token + " chatdata * code 10003\n", token: ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second := b.open(b.secret(), "-script", file), b.open(b.secret(), "-script", file)
	var codes []int32
	for _, c := range []*child{first, second, first} {
		codes = append(codes, c.chat(0, 1).Code)
	}
	if want := []int32{10003, 0, 0}; !slices.Equal(codes, want) {
		t.Errorf("the codes are %v, not %v", codes, want)
	}
	if got, err := os.ReadFile(notes); err != nil || string(got) != "open\nopen\nchatdata\nchatdata\nchatdata\n" {
		t.Errorf("noted %q, %v", got, err)
	}
}

func TestItEndsWithItsParentEvenWhileItHangs(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("chatdata * hang"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := b.open(b.secret(), "-script", file)
	if err := frames.Write(c.in, &frames.ChatData{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	if err := c.in.Close(); err != nil {
		t.Fatal(err)
	}
	if m := c.next(); m != nil {
		t.Errorf("it answered %+v", m)
	}
}
