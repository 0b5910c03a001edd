package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/guide"
)

// T15: the guide is for everybody, as its description says; what stands beside it is not.
func TestTheGuideIsShownToEverybodyAndNothingElseIs(t *testing.T) {
	d := newDesk(t)
	get := func(method, path string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, d.url+path, nil)
		d.OK(err)
		x, err := http.DefaultClient.Do(r)
		d.OK(err)
		defer x.Body.Close()
		text, err := io.ReadAll(x.Body)
		d.OK(err)
		return x, string(text)
	}
	rows := len(d.Rows("ControlTable"))
	for _, language := range []string{"en", "zh-Hans"} {
		names, err := guide.Names(language)
		d.OK(err)
		if len(names) < 10 {
			t.Errorf("%s has %v", language, names)
		}
		for _, name := range names {
			x, text := get("GET", "/guide/"+language+"/"+name)
			if x.StatusCode != http.StatusOK || x.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(text, `<html lang="`+language+`"`) ||
				!strings.Contains(x.Header.Get("Content-Security-Policy"), "default-src 'none'") || x.Header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(text, "Reed") {
				t.Errorf("%s %s: %d %v", language, name, x.StatusCode, x.Header)
			}
		}
		described := false
		for _, op := range operationsOf(t) {
			if op.public() {
				described = op.ID == "getGuidePage" && op.method == "GET"
			}
		}
		if !described {
			t.Error("the description has another public operation, or none")
		}
	}
	if len(d.Rows("ControlTable")) != rows {
		t.Error("who reads the guide leaves a trace")
	}
	for _, path := range []string{"/guide/en/nothing", "/guide/fr/index", "/guide/en/%2e%2e", "/guide/..%2f..%2fapi/index", "/guide/en/..%2fzh-Hans%2findex", "/guide/en/index.html", "/guide/%00/index", "/guide/en/*"} {
		if x, text := get("GET", path); x.StatusCode != http.StatusNotFound && x.StatusCode != http.StatusUnauthorized && x.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, x.StatusCode, text)
		}
	}
	for _, x := range [][2]string{{"GET", "/guide"}, {"GET", "/guide/en"}, {"POST", "/guide/en/index"}, {"GET", "/guide/en/index/v1"}, {"GET", "/guide/../v1/corps"}, {"GET", "/guide/%2e%2e/v1/corps"},
		{"GET", "/v1/corps"}, {"GET", "/v1/guide/en/index"}} {
		if answer, text := get(x[0], x[1]); answer.StatusCode < 400 || strings.Contains(text, "<html") {
			t.Errorf("%s %s without a token: %d %s", x[0], x[1], answer.StatusCode, text)
		}
	}
}
