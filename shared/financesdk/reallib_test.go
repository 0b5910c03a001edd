package financesdk_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// realLibrary is the path of Tencent's library, which "make test-sdk" sets. It is nobody's to ship, so nothing else needs it.
func realLibrary(t *testing.T) string {
	t.Helper()
	lib := os.Getenv("WECOMVAULT_TEST_SDK")
	if lib == "" {
		t.Skip("Tencent's library is not here: make test-sdk fetches it and runs this")
	}
	return lib
}

// withReal starts the real library before a server in WeCom's place.
func withReal(t *testing.T, h http.HandlerFunc, change ...func(*financesdk.Config)) *financesdk.SDK {
	t.Helper()
	cfg := financesdk.Config{Lib: realLibrary(t), Corp: "wwreal", Token: token, Timeout: 3 * time.Second, Upstream: upstream(t, h)}
	for _, c := range change {
		c(&cfg)
	}
	return started(t, cfg)
}

// simulator starts a simulated WeCom with one corp and returns it with a source of its tokens.
func simulator(t *testing.T) (*wecomsim.Client, func(context.Context, bool) (string, error)) {
	t.Helper()
	sim, err := wecomsim.Open(filepath.Join(t.TempDir(), "sim.db"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		server.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	client := wecomsim.NewClient(server.URL)
	corp, err := client.AddCorp(t.Context(), wecomsim.NewCorp{Corp: "wwreal", FirstSeq: 1<<53 + 1})
	if err != nil {
		t.Fatal(err)
	}
	return client, func(ctx context.Context, _ bool) (string, error) {
		q := url.Values{"corpid": {"wwreal"}, "corpsecret": {corp.Secret(wecomsim.KindArchive)}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/cgi-bin/gettoken?"+q.Encode(), nil)
		if err != nil {
			return "", err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close() // read to its end
		var answer struct {
			ErrCode int    `json:"errcode"`
			Token   string `json:"access_token"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return "", err
		}
		if answer.ErrCode != 0 {
			return "", &tokenRefusal{answer.ErrCode, ""}
		}
		return answer.Token, nil
	}
}

type tokenRefusal struct {
	code int
	msg  string
}

func (r *tokenRefusal) Error() string  { return fmt.Sprintf("gettoken: errcode %d", r.code) }
func (r *tokenRefusal) ErrCode() int   { return r.code }
func (r *tokenRefusal) ErrMsg() string { return r.msg }

func TestRealLibraryPullsFromTheSimulator(t *testing.T) {
	lib := realLibrary(t)
	sim, tokens := simulator(t)
	const sent = 250
	for i := range sent {
		if _, err := sim.Send(t.Context(), wecomsim.Message{Corp: "wwreal", From: "LiHua", To: []string{"WangFang"}, Text: fmt.Sprint("note ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	s := started(t, financesdk.Config{Lib: lib, Corp: "wwreal", Token: tokens, Upstream: sim.BaseURL})
	after, pulled, batches := archive.Seq(0), 0, 0
	for {
		raw, err := s.ChatData(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := archive.ParseBatch(raw, after)
		if err != nil {
			t.Fatal(err)
		}
		if len(batch.Items) == 0 {
			break
		}
		pulled, batches, after = pulled+len(batch.Items), batches+1, batch.Last()
	}
	if pulled != sent || batches != 3 || after != 1<<53+sent {
		t.Errorf("%d items in %d batches up to %d", pulled, batches, after)
	}
}

func TestRealLibraryReturnsAPageOfAThousandByteForByte(t *testing.T) {
	page := `{"errcode":0,"errmsg":"ok","chatdata":[` + strings.TrimSuffix(strings.Repeat(`{"seq":18446744073709551615,"msgid":"`+strings.Repeat("m", 1000)+`"},`, 1000), ",") + `]}`
	var asked atomic.Value
	s := withReal(t, func(w http.ResponseWriter, r *http.Request) {
		var ask map[string]json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			t.Error(err)
		}
		asked.Store(string(ask["seq"]) + " " + string(ask["limit"]))
		reply(t, w, http.StatusOK, page)
	})
	raw, err := s.ChatData(t.Context(), math.MaxUint64-1, 1000)
	if err != nil || string(raw) != page {
		t.Errorf("%d bytes of %d, %v", len(raw), len(page), err)
	}
	if asked.Load() != "18446744073709551614 1000" {
		t.Errorf("it asked for %v", asked.Load())
	}
}

// Each refusal, as the library gives it, has its cause.
func TestRealLibraryRefusals(t *testing.T) {
	var answer atomic.Value
	s := withReal(t, func(w http.ResponseWriter, _ *http.Request) {
		a := answer.Load().(httpAnswer)
		reply(t, w, a.status, a.body)
	})
	body := func(code int) string {
		return fmt.Sprintf(`{"errcode":%d,"errmsg":"refused, hint: [17], from ip: 203.0.113.4, more info at https://open.work.weixin.qq.com","chatdata":[]}`, code)
	}
	for _, tc := range []struct {
		name string
		httpAnswer
		kind  financesdk.CauseKind
		words string
	}{
		{"untrusted address", httpAnswer{200, body(301042)}, financesdk.CauseUntrustedIP, "add 203.0.113.4 to the trusted IPs"},
		{"service expired", httpAnswer{200, body(301052)}, financesdk.CauseServiceExpired, "renew it"},
		{"service not opened", httpAnswer{200, body(301053)}, financesdk.CauseServiceNotOpened, "open it"},
		{"rate limit", httpAnswer{200, body(45009)}, financesdk.CauseRateLimited, "after a pause"},
		{"token expired", httpAnswer{200, body(42001)}, financesdk.CauseDeadToken, "by itself"},
		{"token invalid", httpAnswer{200, body(40014)}, financesdk.CauseDeadToken, "by itself"},
		{"page too large", httpAnswer{200, body(301058)}, financesdk.CausePageTooLarge, "half the limit"},
		{"foreign page", httpAnswer{200, "<html><body>Please sign in</body></html>"}, financesdk.CauseNotWhole, "asked for again"},
		{"cut page", httpAnswer{200, `{"errcode":0,"errmsg":"ok","chatdata":[{"seq":8,"msgid":"a`}, financesdk.CauseNotWhole, "asked for again"},
		{"empty body", httpAnswer{200, ""}, financesdk.CauseNotWhole, "asked for again"},
		{"server error", httpAnswer{500, "oops"}, financesdk.CauseNetwork, "could not be reached"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answer.Store(tc.httpAnswer)
			raw, err := s.ChatData(t.Context(), 7, 100)
			if err == nil {
				_, err = archive.ParseBatch(raw, 7)
			}
			cause := financesdk.Explain(err)
			if cause.Kind != tc.kind || !strings.Contains(cause.Sentence, tc.words) {
				t.Errorf("%v is explained as %+v", err, cause)
			}
		})
	}
	answer.Store(httpAnswer{200, `{"errcode":0,"errmsg":"ok"}`})
	raw, err := s.ChatData(t.Context(), 7, 100)
	if err != nil {
		t.Fatal(err)
	}
	if batch, err := archive.ParseBatch(raw, 7); err != nil || len(batch.Items) != 0 {
		t.Errorf("without chatdata: %+v, %v", batch, err)
	}
}

type httpAnswer struct {
	status int
	body   string
}

// The library says no more than 10001 to a refused token; the gateway knows why.
func TestRealLibraryRefusedTokens(t *testing.T) {
	for code, tc := range map[int]struct {
		kind  financesdk.CauseKind
		words string
	}{
		40001: {financesdk.CauseBadSecret, "archive secret"},
		40013: {financesdk.CauseBadSecret, "corp id"},
		60020: {financesdk.CauseUntrustedIP, "add 203.0.113.4"},
	} {
		s := withReal(t, nil, func(c *financesdk.Config) {
			c.Token = func(context.Context, bool) (string, error) {
				return "", &tokenRefusal{code, "refused, from ip: 203.0.113.4, more"}
			}
		})
		_, err := s.ChatData(t.Context(), 7, 100)
		cause := financesdk.Explain(err)
		if e := mustFail(t, err); e.Code != 10001 || cause.Kind != tc.kind || !strings.Contains(cause.Sentence, tc.words) || !cause.Final() {
			t.Errorf("%d: %v, %+v", code, err, cause)
		}
	}
}

func TestRealLibraryForgetsADeadTokenAtOnce(t *testing.T) {
	var mu sync.Mutex
	var carried []string
	s := withReal(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		carried = append(carried, r.URL.Query().Get("access_token"))
		if carried[len(carried)-1] == "dead" {
			reply(t, w, http.StatusOK, `{"errcode":42001,"errmsg":"access_token expired","chatdata":[]}`)
			return
		}
		reply(t, w, http.StatusOK, `{"errcode":0,"errmsg":"ok","chatdata":[]}`)
	}, func(c *financesdk.Config) {
		c.Token = func(_ context.Context, refresh bool) (string, error) {
			if refresh {
				return "fresh", nil
			}
			return "dead", nil
		}
	})
	for range 2 {
		if _, err := s.ChatData(t.Context(), 7, 100); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(carried) != "[dead fresh]" {
		t.Errorf("the tokens were %v", carried)
	}
}

func TestRealLibraryWithoutAnAnswer(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	over := make(chan struct{})
	never := func(http.ResponseWriter, *http.Request) { <-over }
	for name, s := range map[string]*financesdk.SDK{
		"closed": withReal(t, nil, func(c *financesdk.Config) { c.Upstream = closed.URL }),
		"silent": withReal(t, never, func(c *financesdk.Config) { c.Timeout = 2 * time.Second }),
	} {
		child := s.Child()
		_, err := s.ChatData(t.Context(), 7, 100)
		if e := mustFail(t, err); e.Code != 10001 || financesdk.Explain(err).Kind != financesdk.CauseNetwork {
			t.Errorf("%s: %v, %+v", name, err, financesdk.Explain(err))
		}
		if s.Child() != child {
			t.Errorf("%s: it cost the child", name)
		}
	}
	close(over)
}

func TestRealLibraryBeforeAnImpostorGivesNothing(t *testing.T) {
	var heard atomic.Int32
	impostor := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	impostor.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains that it was not believed
	impostor.StartTLS()
	t.Cleanup(impostor.Close)
	s := withReal(t, nil, func(c *financesdk.Config) { c.Upstream = impostor.URL })
	_, err := s.ChatData(t.Context(), 7, 100)
	cause := financesdk.Explain(err)
	if cause.Kind != financesdk.CauseBadCertificate || !cause.Final() || !strings.Contains(cause.Sentence, "certificate") {
		t.Errorf("%v, %+v", err, cause)
	}
	if heard.Load() != 0 {
		t.Error("the impostor was asked")
	}
}

func TestRealLibraryIsEndedByAShortRecordAndRecovers(t *testing.T) {
	s := withReal(t, nil)
	item := func(msg string) financesdk.Item {
		return financesdk.Item{Key: []byte("an opened random key"), Msg: msg}
	}
	refused := item(base64.StdEncoding.EncodeToString(make([]byte, 64)))
	results, err := s.Decrypt(t.Context(), []financesdk.Item{refused, item("twelve chars"[:12]), refused, item(""), refused})
	if err != nil {
		t.Fatal(err)
	}
	for i, reason := range []fault.Reason{"decrypt-10008", financesdk.ReasonCrash, "decrypt-10008", financesdk.ReasonCrash, "decrypt-10008"} {
		if got := results[i].Err; fault.ReasonOf(got) != reason || fault.KindOf(got) != fault.Poison {
			t.Errorf("item %d: %v, want %s", i, got, reason)
		}
	}
	if err := s.Wake(t.Context()); err != nil {
		t.Error(err)
	}
}

// An answer of 20 MB leaves the library larger than it was; refused messages, by the hundred thousand, were not seen to.
func TestRealLibraryIsRecycledByMemory(t *testing.T) {
	page := `{"errcode":0,"errmsg":"ok","chatdata":[],"filler":"` + strings.Repeat("x", 20<<20) + `"}`
	serve := func(w http.ResponseWriter, _ *http.Request) { reply(t, w, http.StatusOK, page) }
	fresh := rss(t, withReal(t, nil).Child())
	s := withReal(t, serve, func(c *financesdk.Config) { c.MaxRSS, c.Timeout = fresh+8<<20, 10*time.Second })
	for range 3 {
		child := s.Child()
		if raw, err := s.ChatData(t.Context(), 7, 100); err != nil || string(raw) != page {
			t.Fatalf("%d bytes, %v", len(raw), err)
		}
		if err := s.Wake(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.Child() == child {
			t.Errorf("the child stayed, fresh at %d bytes", fresh)
		}
	}
}

func rss(t *testing.T, pid int) uint64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident uint64
	if _, err := fmt.Sscan(string(raw), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * uint64(os.Getpagesize()) // positive
}

func TestRealLibraryMediaRefusals(t *testing.T) {
	var answer atomic.Value
	var ranges atomic.Value
	s := withReal(t, func(w http.ResponseWriter, r *http.Request) {
		ranges.Store(r.Header.Get("Range"))
		a := answer.Load().(httpAnswer)
		reply(t, w, a.status, a.body)
	})
	for _, tc := range []struct {
		name string
		httpAnswer
		code int
		kind fault.Kind
		want financesdk.CauseKind
	}{
		{"expired", httpAnswer{200, `{"errcode":301048,"errmsg":"file expired"}`}, 10010, fault.Permanent, financesdk.CauseMediaExpired},
		{"rate limit", httpAnswer{200, `{"errcode":45009,"errmsg":"freq out of limit"}`}, 10002, fault.Retryable, financesdk.CauseRateLimited},
		{"empty body", httpAnswer{200, ""}, 10003, fault.Retryable, financesdk.CauseNetwork},
		{"server error", httpAnswer{500, ""}, 10001, fault.Retryable, financesdk.CauseNetwork},
		{"something else", httpAnswer{206, "arbitrary bytes"}, 10003, fault.Retryable, financesdk.CauseNetwork},
	} {
		answer.Store(tc.httpAnswer)
		_, err := s.MediaChunk(t.Context(), "", decodableFileID())
		if e := mustFail(t, err); e.Code != tc.code || fault.KindOf(err) != tc.kind || financesdk.Explain(err).Kind != tc.want {
			t.Errorf("%s: %v, %+v", tc.name, err, financesdk.Explain(err))
		}
	}
	if got := ranges.Load(); got != "bytes=0-524287" {
		t.Errorf("it asked for the range %v", got)
	}
	if _, err := s.MediaChunk(t.Context(), "", "no file id at all"); fault.KindOf(err) != fault.Permanent || financesdk.Explain(err).Kind != financesdk.CauseNoSuchFile {
		t.Errorf("an id that is none: %v", err)
	}
	if _, err := s.MediaChunk(t.Context(), "", ""); mustFail(t, err).Code != 10000 || fault.KindOf(err) != fault.Retryable {
		t.Errorf("an empty id: %v", err)
	}
}

// decodableFileID is an id that the library takes for one: base64 of a protobuf message with two text fields, with invented content.
func decodableFileID() string {
	var raw []byte
	for field := byte(1); field <= 3; field++ {
		text := strings.Repeat(string('a'+field), 32)
		raw = append(raw, field<<3|2, byte(len(text)))
		raw = append(raw, text...)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestRealLibraryOfTheOtherArchitectureIsNamed(t *testing.T) {
	lib := realLibrary(t)
	other := os.Getenv("WECOMVAULT_TEST_SDK_OTHER")
	if other == "" {
		t.Skip("the build for the other architecture is not here")
	}
	for _, path := range []string{lib, other} {
		s, err := financesdk.Start(t.Context(), financesdk.Config{Lib: path, Corp: "wwreal"})
		if path == lib {
			if err = errors.Join(err, s.Close()); err != nil {
				t.Error(err)
			}
			continue
		}
		if cause := financesdk.Explain(err); cause.Kind != financesdk.CauseWrongArchitecture || !strings.Contains(cause.Sentence, "arm64") {
			t.Errorf("%+v", cause)
		}
	}
}
