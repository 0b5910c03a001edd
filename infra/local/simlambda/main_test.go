package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

func ask(t *testing.T, call func(event string) response, event any) (response, string) {
	t.Helper()
	raw, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	out := call(string(raw))
	body, err := base64.StdEncoding.DecodeString(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return out, string(body)
}

// The url's caller sees WeCom and nothing else; control needs an invocation.
func TestControlComesByInvocationOnly(t *testing.T) {
	sim, err := wecomsim.Open(filepath.Join(t.TempDir(), "sim.db"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	call := func(event string) response {
		out, err := answer(sim, "first")(t.Context(), []byte(event))
		if err != nil {
			t.Fatal(err)
		}
		return out.(response)
	}
	url := func(method, path, query string) map[string]any {
		return map[string]any{"rawPath": path, "rawQueryString": query, "requestContext": map[string]any{"http": map[string]any{"method": method}},
			"headers": map[string]string{"x-forwarded-for": "127.0.0.1", "host": "127.0.0.1"}, "body": base64.StdEncoding.EncodeToString([]byte(`{"corp":"wwprove"}`)), "isBase64Encoded": true}
	}
	if out, body := ask(t, call, url("POST", "/sim/corp", "")); out.Status == http.StatusOK || strings.Contains(body, "secret") {
		t.Errorf("control by the URL: %d %s", out.Status, body)
	}
	made, body := ask(t, call, map[string]any{"control": map[string]any{"method": "POST", "uri": "/sim/corp", "body": []byte(`{"corp":"wwprove"}`)}})
	if made.Status != http.StatusOK || made.Incarnation != "first" {
		t.Fatalf("control by invocation: %+v", made)
	}
	var corp wecomsim.Corp
	if err := json.Unmarshal([]byte(body), &corp); err != nil {
		t.Fatal(err)
	}
	out, body := ask(t, call, url("GET", "/cgi-bin/gettoken", "corpid=wwprove&corpsecret="+corp.Secret(wecomsim.KindArchive)))
	if out.Status != http.StatusOK || !strings.Contains(body, `"access_token"`) || out.Headers[incarnationHeader] != "first" || out.Incarnation != "" {
		t.Errorf("a token by the URL: %+v %s", out, body)
	}
}
