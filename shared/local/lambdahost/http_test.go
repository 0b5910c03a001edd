package lambdahost

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
)

func TestInvokeOperation(t *testing.T) {
	h := newHost(t)
	file := filepath.Join(t.TempDir(), "count")
	own := func(r authz.Request) bool {
		return r.Action == "lambda:InvokeFunction" && r.Resource == "arn:aws:lambda:us-east-1:000000000000:function:work"
	}
	call := func(path, kind, body string, allowed func(authz.Request) bool) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
		r = r.WithContext(authz.NewContext(r.Context(), &authz.Caller{Name: "test", Allowed: allowed}))
		if kind != "" {
			r.Header.Set("X-Amz-Invocation-Type", kind)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const path = "/2015-03-31/functions/work/invocations"
	const byARN = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Awork/invocations"
	for _, c := range []struct {
		name, path, kind, body string
		allowed                func(authz.Request) bool
		status                 int
		answer                 string
	}{
		{"by name", path, "", `{}`, own, 200, `{"served":1}`},
		{"by ARN", byARN, "RequestResponse", `{}`, own, 200, `{"served":2}`},
		{"no body", path, "", ``, own, 200, `{"served":3}`},
		{"a failing function", path, "", `{"do":"fail"}`, own, 200, `no luck`},
		{"event", path, "Event", `{"do":"count","file":"` + file + `"}`, own, 202, ``},
		{"dry run", path, "DryRun", `{}`, own, 204, ``},
		{"another function is not allowed", strings.Replace(path, "work", "other", 1), "", `{}`, own, 403, `not authorized`},
		{"unknown function", strings.Replace(path, "work", "other", 1), "", `{}`, everything, 404, `Function not found`},
		{"no JSON", path, "", `{`, own, 400, `json`},
		{"an event over a megabyte", path, "Event", `"` + strings.Repeat("x", 1<<20) + `"`, own, 413, ``},
		{"another operation", "/2015-03-31/functions/work", "", `{}`, everything, 501, `only knows Invoke`},
	} {
		w := call(c.path, c.kind, c.body, c.allowed)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s: %d %.200s, want %d %s", c.name, w.Code, w.Body, c.status, c.answer)
		}
		if failed := w.Header().Get("X-Amz-Function-Error"); (failed != "") != (c.name == "a failing function") {
			t.Errorf("%s: function error %q", c.name, failed)
		}
	}
	until(t, "the event was worked on", func() bool {
		_, err := os.Stat(file)
		return err == nil && h.Idle()
	})
}
