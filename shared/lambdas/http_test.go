package lambdas_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/lambdas"
)

// speaker is a function that answers with what it was asked.
func speaker(answer func(w http.ResponseWriter, r *http.Request)) lambdas.Function {
	return lambdas.Function{Log: slog.New(slog.DiscardHandler), HTTP: http.HandlerFunc(answer)}
}

type said struct {
	StatusCode      int
	Headers         map[string]string
	Body            string
	IsBase64Encoded bool
}

func hear(t *testing.T, f lambdas.Function, event []byte) said {
	t.Helper()
	answer, err := f.Invoke(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	var s said
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestARequestArrivesAsNetHTTPWouldHaveIt(t *testing.T) {
	var r *http.Request
	var token lambdas.Token
	var checked bool
	f := speaker(func(w http.ResponseWriter, q *http.Request) {
		r = q
		token, checked = lambdas.TokenOf(q.Context())
		w.Header().Set("ETag", `"3"`)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, lambdas.RequestID(q.Context()))
	})
	s := hear(t, f, event(t, "api.json"))
	if r.Method != "GET" || r.URL.Path != "/v1/corps/wwreed/receivers" || r.URL.Query().Get("limit") != "2" || r.Header.Get("Accept") != "application/json" {
		t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	if !checked || token["sub"] != "person-7" || token["aud"] != "[other wecomvault]" {
		t.Errorf("token %v", token)
	}
	if s.StatusCode != 202 || s.Headers["etag"] != `"3"` || s.Body != "QmFzaWxpc2s=" || s.IsBase64Encoded {
		t.Errorf("%+v", s)
	}
}

func TestATokenThatNobodyCheckedIsNone(t *testing.T) {
	whole := string(event(t, "api.json"))
	claims := whole[strings.Index(whole, `"claims": {`):strings.Index(whole, `"scopes"`)]
	for name, text := range map[string]string{
		"no claims":        strings.Replace(whole, claims, `"claims": {},`, 1),
		"claims elsewhere": strings.Replace(whole, `"jwt"`, `"lambda"`, 1),
	} {
		hear(t, speaker(func(_ http.ResponseWriter, r *http.Request) {
			if token, checked := lambdas.TokenOf(r.Context()); checked {
				t.Errorf("%s: %v", name, token)
			}
		}), []byte(text))
	}
}

func TestBodiesGoThroughWhole(t *testing.T) {
	echo := speaker(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	})
	for body, want := range map[string]said{
		`"body":"h\u00e9","isBase64Encoded":false`:  {StatusCode: 200, Body: "hé"},
		`"body":"AP8=","isBase64Encoded":true`:      {StatusCode: 200, Body: "AP8=", IsBase64Encoded: true},
		`"isBase64Encoded":false`:                   {StatusCode: 200},
		`"body":"no base64","isBase64Encoded":true`: {StatusCode: 400},
	} {
		s := hear(t, echo, bytes.Replace(event(t, "api.json"), []byte(`"isBase64Encoded": false`), []byte(body), 1))
		if s.StatusCode != want.StatusCode || want.StatusCode == 200 && (s.Body != want.Body || s.IsBase64Encoded != want.IsBase64Encoded) {
			t.Errorf("%s: %+v", body, s)
		}
	}
}

func TestWhatIsNoRequestIsRefused(t *testing.T) {
	f := speaker(func(http.ResponseWriter, *http.Request) { t.Error("it is answered") })
	for _, text := range []string{`{}`, `{"version":"1.0","httpMethod":"GET"}`, `[]`, `{"version":"2.0"}`, string(event(t, "watch.json"))} {
		if answer, err := f.Invoke(t.Context(), []byte(text)); err == nil {
			t.Errorf("%s: %v", text, answer)
		}
	}
	bad := strings.Replace(string(event(t, "api.json")), `"rawPath": "/v1/corps/wwreed/receivers"`, `"rawPath": "%zz"`, 1)
	if s := hear(t, f, []byte(bad)); s.StatusCode != 400 {
		t.Errorf("%+v", s)
	}
}

func TestAFailureThatIsAnsweredIsCountedToo(t *testing.T) {
	var out bytes.Buffer
	f := speaker(func(w http.ResponseWriter, r *http.Request) {
		lambdas.Failed(r.Context(), fmt.Errorf("read the corp: %w", denied{}))
		w.WriteHeader(http.StatusInternalServerError)
	})
	f.Metrics, f.Name, f.Stack = &out, "api", "vault"
	if s := hear(t, f, event(t, "api.json")); s.StatusCode != 500 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(out.String(), `"Denied":1`) || !strings.Contains(out.String(), `"vault"`) {
		t.Errorf("written: %s", out.String())
	}
}
