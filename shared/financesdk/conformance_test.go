package financesdk_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/local/simcipher"
)

// world is what a host is to meet: what WeCom answers, and how the host is to misbehave.
type world struct {
	answers map[archive.Seq]string // to getchatdata, HTTP 200; "" is an empty body
	files   map[string][]byte      // by sdkfileid
	orders  []order
}

// order makes a host misbehave. Call is chat, decrypt or media; match the seq, a part of the message, a part of the sdkfileid, or *.
type order struct {
	call, match, act string
	number           int
}

// host is an implementation of the child, with what it takes to put it into a world.
type host struct {
	name  string
	seal  func(t *testing.T, key, text string) string
	start func(t *testing.T, w world, cfg financesdk.Config) *financesdk.SDK
}

func hosts() []host {
	return []host{
		{
			name: "sdkhost with the stand-in library",
			seal: func(_ *testing.T, key, text string) string { return sealed(key, text) },
			start: func(t *testing.T, w world, cfg financesdk.Config) *financesdk.SDK {
				script := ""
				condition := map[string]string{"chat": "seq=", "decrypt": "id=", "media": "id="}
				for _, o := range w.orders {
					match := "*"
					if o.match != "*" {
						match = condition[o.call] + o.match
					}
					act := map[string]string{"segfault": "segv", "print": "print noise"}[o.act]
					if act == "" {
						act = o.act
					}
					if o.act == "leak" || o.act == "code" {
						act += " " + strconv.Itoa(o.number)
					}
					script += o.call + " " + match + " " + act + "\n"
				}
				for seq := range w.answers {
					script += fmt.Sprintf("chat seq=%d file answer-%d\n", seq, seq)
				}
				for id := range w.files {
					script += fmt.Sprintf("media id=%s chunks 524288 file-%s\n", id, id)
				}
				cfg.Lib = standin(t, script)
				cfg.Upstream = upstream(t, nil) // it uses no proxy
				for seq, body := range w.answers {
					write(t, filepath.Join(filepath.Dir(cfg.Lib), fmt.Sprintf("answer-%d", seq)), body)
				}
				for id, content := range w.files {
					write(t, filepath.Join(filepath.Dir(cfg.Lib), "file-"+id), string(content))
				}
				return started(t, cfg)
			},
		},
		{
			name: "simsdk",
			seal: func(t *testing.T, key, text string) string {
				envelope, err := simcipher.Seal(key, []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				return envelope
			},
			start: func(t *testing.T, w world, cfg financesdk.Config) *financesdk.SDK {
				script := filepath.Join(t.TempDir(), "script")
				text := ""
				for _, o := range w.orders {
					call := map[string]string{"chat": "chatdata"}[o.call]
					if call == "" {
						call = o.call
					}
					text += call + " " + o.match + " " + o.act
					if o.act == "leak" || o.act == "code" {
						text += " " + strconv.Itoa(o.number)
					}
					text += "\n"
				}
				write(t, script, text)
				cfg.Host = []string{simsdk(t), "-script", script}
				cfg.Upstream = upstream(t, wecom(t, w))
				return started(t, cfg)
			},
		},
	}
}

var simsdkBuild struct {
	sync.Once
	path string
	err  error
}

func simsdk(t *testing.T) string {
	t.Helper()
	goTool, err := exec.LookPath("go")
	need(t, "the go command, which builds simsdk,", err)
	simsdkBuild.Do(func() {
		var dir string
		if dir, simsdkBuild.err = os.MkdirTemp("", "simsdk-"); simsdkBuild.err != nil {
			return
		}
		simsdkBuild.path = filepath.Join(dir, "simsdk")
		out, err := exec.Command(goTool, "build", "-o", simsdkBuild.path, "github.com/wecomvault/wecomvault/infra/local/simsdk").CombinedOutput()
		if err != nil {
			simsdkBuild.err = errors.New(string(out))
		}
	})
	if simsdkBuild.err != nil {
		t.Fatalf("build simsdk: %v", simsdkBuild.err)
	}
	return simsdkBuild.path
}

// wecom answers as the world says, to whom the gateway lets through.
func wecom(t *testing.T, w world) http.HandlerFunc {
	return func(out http.ResponseWriter, r *http.Request) {
		var ask struct {
			Seq    archive.Seq `json:"seq"`
			FileID string      `json:"fileid"`
		}
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		if r.URL.Query().Get("access_token") != "real-token" {
			t.Errorf("%s with the token %q", r.URL.Path, r.URL.Query().Get("access_token"))
		}
		if r.URL.Path != "/cgi-bin/message/getchatmediadata" {
			reply(t, out, http.StatusOK, w.answers[ask.Seq])
			return
		}
		content, ok := w.files[ask.FileID]
		if !ok {
			reply(t, out, http.StatusOK, `{"errcode":301048,"errmsg":"gone"}`)
			return
		}
		object := append(bytes.Clone(content), simcipher.Padding(int64(len(content)))...)
		if err := simcipher.XORFile(ask.FileID, 0, object); err != nil {
			t.Error(err)
		}
		var first, last int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil {
			t.Errorf("range %q: %v", r.Header.Get("Range"), err)
		}
		last = min(last, len(object)-1)
		out.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(object)))
		reply(t, out, http.StatusPartialContent, string(object[first:last+1]))
	}
}

func reply(t *testing.T, out http.ResponseWriter, status int, body string) {
	out.WriteHeader(status)
	if _, err := out.Write([]byte(body)); err != nil {
		t.Log(err)
	}
}

// conform runs a test against each host.
func conform(t *testing.T, test func(t *testing.T, h host, enter func(world) *financesdk.SDK)) {
	t.Parallel()
	for _, h := range hosts() {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			test(t, h, func(w world) *financesdk.SDK {
				t.Helper()
				return h.start(t, w, financesdk.Config{
					Corp: "wwtest", Token: token, Timeout: 2 * time.Second, HangAfter: time.Second, MaxRSS: 120 << 20,
				})
			})
		})
	}
}

func (h host) items(t *testing.T, n int, bad map[int]string) []financesdk.Item {
	t.Helper()
	key, err := simcipher.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	list := make([]financesdk.Item, n)
	for i := range list {
		msg, ok := bad[i]
		if !ok {
			msg = h.seal(t, key, fmt.Sprintf(`{"n":%d}`, i))
		}
		list[i] = financesdk.Item{Key: []byte(key), Msg: msg}
	}
	return list
}

func TestConformanceOpenedMessagesComeBackByteForByte(t *testing.T) {
	conform(t, func(t *testing.T, h host, enter func(world) *financesdk.SDK) {
		s := enter(world{})
		results, err := s.Decrypt(t.Context(), h.items(t, 500, map[int]string{9: "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="}))
		if err != nil {
			t.Fatal(err)
		}
		want(t, results, 500, map[int]fault.Reason{9: "decrypt-10008"})
	})
}

func TestConformanceAFatalItemIsNamed(t *testing.T) {
	conform(t, func(t *testing.T, h host, enter func(world) *financesdk.SDK) {
		s := enter(world{orders: []order{
			{"decrypt", "ABORTS", "abort", 0}, {"decrypt", "SEGFAULTS", "segfault", 0}, {"decrypt", "HANGS", "hang", 0}, {"decrypt", "*", "print", 0},
		}})
		results, err := s.Decrypt(t.Context(), h.items(t, 60, map[int]string{
			1: "ABORTS-THE-LIBRARY", 2: "SEGFAULTS-THE-LIBRARY", 30: "HANGS-THE-LIBRARY", 58: "short", 59: "",
		}))
		if err != nil {
			t.Fatal(err)
		}
		want(t, results, 60, map[int]fault.Reason{
			1: financesdk.ReasonCrash, 2: financesdk.ReasonCrash, 30: financesdk.ReasonHang, 58: financesdk.ReasonCrash, 59: financesdk.ReasonCrash,
		})
	})
}

func TestConformanceACallThatEndsTheChildLosesOnlyItself(t *testing.T) {
	file := base64.StdEncoding.EncodeToString([]byte("some file"))
	conform(t, func(t *testing.T, _ host, enter func(world) *financesdk.SDK) {
		s := enter(world{
			answers: map[archive.Seq]string{7: `{"errcode":0}`},
			files:   map[string][]byte{file: []byte("content")},
			orders: []order{
				{"chat", "11111", "abort", 0}, {"chat", "22222", "segfault", 0}, {"chat", "33333", "hang", 0}, {"media", "QUJB", "segfault", 0},
			},
		})
		for seq, reason := range map[archive.Seq]fault.Reason{11111: financesdk.ReasonCrash, 22222: financesdk.ReasonCrash, 33333: financesdk.ReasonHang} {
			_, err := s.ChatData(t.Context(), seq, 100)
			if e := mustFail(t, err); e.Reason != reason {
				t.Errorf("%d: %v", seq, err)
			}
			if raw, err := s.ChatData(t.Context(), 7, 100); err != nil || string(raw) != `{"errcode":0}` {
				t.Errorf("after %d: %q, %v", seq, raw, err)
			}
		}
		if _, err := s.MediaChunk(t.Context(), "", "QUJB"); mustFail(t, err).Reason != financesdk.ReasonCrash {
			t.Errorf("%v", err)
		}
		if got, _, err := everything(t.Context(), s, file); err != nil || string(got) != "content" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestConformanceReturnCodes(t *testing.T) {
	conform(t, func(t *testing.T, h host, enter func(world) *financesdk.SDK) {
		var w world
		bad, reasons := map[int]string{}, map[int]fault.Reason{}
		for code := 10000; code <= 10011; code++ {
			w.orders = append(w.orders, order{"chat", strconv.Itoa(code), "code", code}, order{"media", strconv.Itoa(code), "code", code},
				order{"decrypt", "RETURNS-" + strconv.Itoa(code), "code", code})
			bad[code-10000] = "RETURNS-" + strconv.Itoa(code)
			reasons[code-10000] = fault.Reason("decrypt-" + strconv.Itoa(code))
		}
		s := enter(w)
		child := s.Child()
		for code := 10000; code <= 10011; code++ {
			_, err := s.ChatData(t.Context(), archive.Seq(code), 10)
			if e := mustFail(t, err); e.Code != code {
				t.Errorf("chat data: %v, want %d", err, code)
			}
			_, err = s.MediaChunk(t.Context(), "", strconv.Itoa(code))
			if e := mustFail(t, err); e.Code != code {
				t.Errorf("media: %v, want %d", err, code)
			}
		}
		results, err := s.Decrypt(t.Context(), h.items(t, 20, bad))
		if err != nil {
			t.Fatal(err)
		}
		want(t, results, 20, reasons)
		if s.Child() != child {
			t.Error("a return code cost the child")
		}
	})
}

func TestConformanceWhateverWeComAnswersIsHandedOn(t *testing.T) {
	answers := map[archive.Seq]string{
		1: `{"errcode":301042,"errmsg":"ip, from ip: 203.0.113.7, more info"}`,
		2: `{"errcode":301052,"errmsg":"expired","chatdata":[]}`,
		3: `{"errcode":45009,"errmsg":"limit","chatdata":[]}`,
		4: `{"errcode":42001,"errmsg":"token","chatdata":[]}`,
		5: `<html><body>a hotel's sign-in page</body></html>`,
		6: `{"errcode":0,"errmsg":"ok","chatdata":[{"seq":7,"msgid":"m`,
		7: `{"errcode":0,"errmsg":"ok"}`,
		8: "{\"errcode\":0,\"errmsg\":\"a\x00b\xff\"}",
		9: `{"errcode":0,"chatdata":[` + strings.TrimSuffix(strings.Repeat(`{"seq":18446744073709551615,"msgid":"`+strings.Repeat("x", 900)+`"},`, 1000), ",") + `]}`,
	}
	conform(t, func(t *testing.T, _ host, enter func(world) *financesdk.SDK) {
		s := enter(world{answers: answers})
		for seq, want := range answers {
			got, err := s.ChatData(t.Context(), seq, 1000)
			if err != nil || string(got) != want {
				t.Errorf("%d: %d bytes, %v; want %d bytes as they came", seq, len(got), err, len(want))
			}
		}
	})
}

func TestConformanceAnEmptyBodyIsAnError(t *testing.T) {
	conform(t, func(t *testing.T, _ host, enter func(world) *financesdk.SDK) {
		s := enter(world{answers: map[archive.Seq]string{5: ""}})
		if _, err := s.ChatData(t.Context(), 5, 10); mustFail(t, err).Reason != "empty-answer" {
			t.Errorf("%v", err)
		}
	})
}

func TestConformanceFilesComeWhole(t *testing.T) {
	files := map[string][]byte{}
	for _, size := range []int{0, 1, 524287, 524288, 524289, 1<<20 + 5} {
		files[base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "size.%9d", size))] = bytes.Repeat([]byte{'a', 0, 0xff}, size/3+1)[:size]
	}
	conform(t, func(t *testing.T, _ host, enter func(world) *financesdk.SDK) {
		s := enter(world{files: files})
		for id, want := range files {
			got, n, err := everything(t.Context(), s, id)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes in %d chunks, %v; want %d", len(got), n, err, len(want))
			}
		}
	})
}

func TestConformanceTheChildIsReplacedBeforeItIsTooLarge(t *testing.T) {
	conform(t, func(t *testing.T, _ host, enter func(world) *financesdk.SDK) {
		s := enter(world{answers: map[archive.Seq]string{5: `{"errcode":0}`}, orders: []order{{"chat", "5", "leak", 50}}})
		child, replaced := s.Child(), 0
		for range 9 {
			if _, err := s.ChatData(t.Context(), 5, 10); err != nil {
				t.Fatal(err)
			}
			if now := s.Child(); now != child {
				child, replaced = now, replaced+1
			}
		}
		if replaced < 2 || replaced > 5 {
			t.Errorf("450 MB leaked under a bound of 120 MB cost %d children", replaced)
		}
	})
}

func TestConformanceAFreezeBetweenCallsIsNoHang(t *testing.T) {
	conform(t, func(t *testing.T, h host, enter func(world) *financesdk.SDK) {
		s := enter(world{})
		child := s.Child()
		for range 2 {
			if err := syscall.Kill(child, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			waitFor(t, func() bool { return state(child) == "T" })
			stopped := time.Now()
			waitFor(t, func() bool { return time.Since(stopped) > 1200*time.Millisecond })
			if err := syscall.Kill(child, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if err := s.Wake(t.Context()); err != nil {
				t.Fatal(err)
			}
			results, err := s.Decrypt(t.Context(), h.items(t, 3, nil))
			if err != nil {
				t.Fatal(err)
			}
			want(t, results, 3, nil)
		}
		if s.Child() != child {
			t.Error("a healthy child was replaced")
		}
	})
}

func TestAnImpostorInWeComsPlaceGetsNothing(t *testing.T) {
	t.Parallel()
	var heard atomic.Int32
	impostor := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	impostor.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains that it was not believed
	impostor.StartTLS()
	t.Cleanup(impostor.Close)
	s := started(t, financesdk.Config{Host: []string{simsdk(t)}, Corp: "wwtest", Token: token, Upstream: impostor.URL})
	_, err := s.ChatData(t.Context(), 7, 100)
	if cause := financesdk.Explain(err); cause.Kind != financesdk.CauseBadCertificate || !cause.Final() || !strings.Contains(cause.Sentence, "certificate that does not verify") {
		t.Errorf("%v, %+v", err, cause)
	}
	if _, err := s.MediaChunk(t.Context(), "", "QUJD"); financesdk.Explain(err).Kind != financesdk.CauseBadCertificate {
		t.Errorf("media: %v", err)
	}
	if heard.Load() != 0 {
		t.Error("it was asked")
	}
}

func TestASimulatedHostKnowsNothingEither(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
	s := started(t, financesdk.Config{Host: []string{simsdk(t)}, Corp: "wwtest"})
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.Child()))
	if err != nil || len(environ) > 0 {
		t.Errorf("its environment is %q, %v", environ, err)
	}
}

func TestWhyThereIsNoTokenIsExplained(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want financesdk.CauseKind
	}{
		{&tokenRefusal{40001, "invalid credential"}, financesdk.CauseBadSecret},
		{fmt.Errorf("gettoken: %w", &tokenRefusal{60020, "not allow, from ip: 203.0.113.4, more"}), financesdk.CauseUntrustedIP},
		{errors.New("the secret is not stored"), financesdk.CauseNoToken},
		{fmt.Errorf("gettoken: %w", context.DeadlineExceeded), financesdk.CauseNetwork},
	} {
		s := started(t, financesdk.Config{Host: []string{simsdk(t)}, Corp: "wwtest", Upstream: upstream(t, nil), Token: func(context.Context, bool) (string, error) {
			return "", tc.err
		}})
		_, err := s.ChatData(t.Context(), 7, 100)
		if cause := financesdk.Explain(err); cause.Kind != tc.want || mustFail(t, err).Code != 10001 {
			t.Errorf("%v is explained as %+v", err, cause)
		}
	}
}
