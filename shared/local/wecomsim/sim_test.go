package wecomsim_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/simcipher"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// bench is a simulator behind real HTTP, with a clock that tests move.
type bench struct {
	*testing.T
	*wecomsim.Client
	file   string
	sim    *wecomsim.Sim
	server *httptest.Server

	mu   sync.Mutex
	real time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, file: filepath.Join(t.TempDir(), "sim.db"), real: time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.real
}

// now is the simulator's time.
func (b *bench) now() time.Time {
	b.mu.Lock()
	sim := b.sim
	b.mu.Unlock()
	return sim.Now()
}

// pass lets real time pass, as the simulator sees it.
func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.real = b.real.Add(d)
}

func (b *bench) start() {
	b.Helper()
	sim, err := wecomsim.Open(b.file, b.clock)
	if err != nil {
		b.Fatal(err)
	}
	b.mu.Lock()
	b.sim = sim // an address may be asking for the time: what was under way is sent again at once
	b.mu.Unlock()
	b.server = httptest.NewServer(sim)
	b.Client = wecomsim.NewClient(b.server.URL)
}

func (b *bench) stop() {
	if err := b.sim.Close(); err != nil {
		b.Error(err)
	}
	b.server.Close()
}

func must[A any](a A, err error) func(t *bench) A {
	return func(t *bench) A {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

// corp adds a corp with a secret of every kind.
func (b *bench) corp(id string) wecomsim.Corp {
	b.Helper()
	var secrets []wecomsim.Secret
	for _, kind := range []string{
		wecomsim.KindArchive, wecomsim.KindCustomer, wecomsim.KindLegacyApp, wecomsim.KindNewApp, wecomsim.KindContactsSyncOldIP, wecomsim.KindContactsSyncNewIP,
	} {
		secrets = append(secrets, wecomsim.Secret{Kind: kind, Value: "secret-" + kind})
	}
	return must(b.AddCorp(b.ctx(), wecomsim.NewCorp{Corp: id, Name: "Test", Secrets: secrets}))(b)
}

func (b *bench) ctx() context.Context { return b.T.Context() }

type reply struct {
	status  int
	header  http.Header
	raw     []byte
	ErrCode int       `json:"errcode"`
	ErrMsg  string    `json:"errmsg"`
	Token   string    `json:"access_token"`
	Expires int       `json:"expires_in"`
	Chat    []element `json:"chatdata"`
}

type element struct {
	Seq     uint64 `json:"seq"`
	MsgID   string `json:"msgid"`
	Version uint32 `json:"publickey_ver"`
	Key     string `json:"encrypt_random_key"`
	Msg     string `json:"encrypt_chat_msg"`
}

func (b *bench) do(method, path, body string, header ...string) (reply, error) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.ctx(), method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() {
		if err := res.Body.Close(); err != nil {
			b.Error(err)
		}
	}()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: res.StatusCode, header: res.Header, raw: raw}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") && len(raw) > 0 {
		err = json.Unmarshal(raw, &r)
	}
	return r, err
}

func (b *bench) ask(method, path, body string, header ...string) reply {
	b.Helper()
	return must(b.do(method, path, body, header...))(b)
}

func (b *bench) token(corp, kind string) string {
	b.Helper()
	r := b.ask("GET", "/cgi-bin/gettoken?corpid="+corp+"&corpsecret=secret-"+kind, "")
	if r.ErrCode != 0 || r.Token == "" {
		b.Fatalf("gettoken: %s", r.raw)
	}
	return r.Token
}

// api calls an API with a token of a kind.
func (b *bench) api(corp, kind, method, path, body string, header ...string) reply {
	b.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return b.ask(method, "/cgi-bin/"+path+sep+"access_token="+url.QueryEscape(b.token(corp, kind)), body, header...)
}

func (b *bench) pull(corp string, seq uint64, limit int) reply {
	b.Helper()
	body, err := json.Marshal(map[string]any{"seq": seq, "limit": limit, "version": 3, "encrypt_sign": "12345"})
	if err != nil {
		b.Fatal(err)
	}
	return b.api(corp, wecomsim.KindArchive, "POST", "message/getchatdata", string(body), "Content-Type", "application/x-www-form-urlencoded")
}

// opener opens elements with a corp's private keys, as a client does.
func (b *bench) opened(c wecomsim.Corp, e element) []byte {
	b.Helper()
	for _, k := range c.Keys {
		if k.Version != e.Version {
			continue
		}
		p, _ := pem.Decode([]byte(k.Private))
		private := must(x509.ParsePKCS8PrivateKey(p.Bytes))(b).(*rsa.PrivateKey)
		block := must(base64.StdEncoding.DecodeString(e.Key))(b)
		key := must(rsa.DecryptPKCS1v15(rand.Reader, private, block))(b) //nolint:staticcheck // WeCom offers no other padding
		return must(simcipher.Open(string(key), e.Msg))(b)
	}
	b.Fatalf("no key of version %d", e.Version)
	return nil
}

func TestATextMessageIsPulledAndOpens(t *testing.T) {
	b := newBench(t)
	c := b.corp("wwone")
	sent := must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", From: "lin", To: []string{"wei"}, Text: "你好 <hello> & good morning"}))(b)
	if sent.Seq != 1 || sent.KeyVersion != 1 || sent.MsgID == "" {
		t.Fatalf("sent %+v", sent)
	}
	page := b.pull("wwone", 0, 1000)
	if page.ErrCode != 0 || len(page.Chat) != 1 || page.Chat[0].MsgID != sent.MsgID || len(page.Chat[0].Key) != 344 {
		t.Fatalf("page %s", page.raw)
	}
	want := `{"msgid":"` + sent.MsgID + `","action":"send","from":"lin","tolist":["wei"],"roomid":"","msgtime":1772413200000,"msgtype":"text","text":{"content":"你好 <hello> & good morning"}}`
	if got := string(b.opened(c, page.Chat[0])); got != want {
		t.Fatalf("opened\n%s\nwant\n%s", got, want)
	}
	again := b.pull("wwone", 0, 1000)
	if string(again.raw) != string(page.raw) {
		t.Fatal("the same seq came with other bytes")
	}
}
