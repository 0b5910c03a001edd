package infra

import (
	"slices"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// The address for WeCom has no authorizer, because WeCom has no token: it says why, is throttled, and leads to the one function that checks
// each signature.
func TestTheOpenAPIIsCallbacksAlone(t *testing.T) {
	tmpl := load(t, nil)
	i := slices.IndexFunc(tmpl.HTTPAPIs, func(a template.HTTPAPI) bool { return len(a.Authorizers) == 0 })
	if i < 0 {
		t.Fatal("there is no API without an authorizer")
	}
	api := tmpl.HTTPAPIs[i]
	if api.LogicalID != "CallbackApi" || len(api.OpenToAll) < 40 || api.Rate <= 0 || api.Burst <= 0 || api.AccessLogARN == "" || !api.FailOnWarnings {
		t.Errorf("%+v", api)
	}
	var open []string
	for _, f := range tmpl.Functions {
		for _, r := range f.Routes {
			if r.Open {
				open = append(open, f.LogicalID+" "+r.Method+" "+r.Path)
			}
			callback, guide := f.LogicalID == "CallbackFunction", r.Path == "/guide/{proxy+}"
			if r.Open != (callback || guide) || (r.API == api.ID) != callback || r.Timeout > f.Timeout {
				t.Errorf("%s: %+v", f.LogicalID, r)
			}
		}
	}
	// Whoever adds one has to say here why nobody needs a token for it: WeCom signs what it tells, and the guide tells nothing of any company.
	if want := []string{"CallbackFunction ANY /callback/{corp}/{kind}", "ApiFunction GET /guide/{proxy+}"}; !slices.Equal(open, want) {
		t.Errorf("open to all are %v, not %v", open, want)
	}
}

func TestThereIsNoAddressForWeComUnlessItIsAskedFor(t *testing.T) {
	tmpl, err := template.Load("../template.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if tmpl.Outputs["CallbackUrl"] != "" {
		t.Errorf("output %q", tmpl.Outputs["CallbackUrl"])
	}
	for _, r := range tmpl.Resources {
		if strings.HasPrefix(r.LogicalID, "Callback") {
			t.Errorf("%s is there", r.LogicalID)
		}
	}
}
