package infra

import (
	"slices"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// An authorizer that is lost is not missed by anybody: whoever asks gets an answer. The guide alone is for everybody.
func TestEveryRouteOfTheAPIAsksForAToken(t *testing.T) {
	tmpl := load(t, map[string]string{"ApiIssuer": "https://id.example/tenant", "ApiAudience": "vault", "Callbacks": "false"})
	if len(tmpl.HTTPAPIs) != 1 {
		t.Fatalf("%d APIs", len(tmpl.HTTPAPIs))
	}
	api := tmpl.HTTPAPIs[0]
	i := slices.IndexFunc(api.Authorizers, func(a template.JWTAuthorizer) bool { return a.Name == api.Authorizer })
	if i < 0 || api.Authorizers[i].Issuer != "https://id.example/tenant" || !slices.Equal(api.Authorizers[i].Audience, []string{"vault"}) {
		t.Errorf("the default authorizer is %q of %+v", api.Authorizer, api.Authorizers)
	}
	if !api.FailOnWarnings {
		t.Error("a deployment that loses the authorizer succeeds")
	}
	if api.Rate <= 0 || api.Burst <= 0 || api.AccessLogARN == "" {
		t.Errorf("the API is not throttled, or its requests are not logged: %+v", api)
	}
	routes := 0
	for _, f := range tmpl.Functions {
		for _, r := range f.Routes {
			routes++
			if guide := r.Method == "GET" && r.Path == "/guide/{proxy+}"; r.Open != guide || r.API != api.ID || r.Timeout > f.Timeout {
				t.Errorf("%s: %+v", f.LogicalID, r)
			}
			for name, want := range map[string]string{"API_ISSUER": "https://id.example/tenant", "API_AUDIENCE": "vault"} {
				if f.Environment[name] != want {
					t.Errorf("%s is told %s=%q: it could not refuse what the authorizer should have", f.LogicalID, name, f.Environment[name])
				}
			}
		}
	}
	if routes == 0 {
		t.Error("the API leads nowhere")
	}
}

func TestThereIsNoAPIWithoutAnIssuer(t *testing.T) {
	tmpl, err := template.Load("../template.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(tmpl.HTTPAPIs) != 0 || tmpl.Outputs["ApiUrl"] != "" {
		t.Errorf("APIs %+v, output %q", tmpl.HTTPAPIs, tmpl.Outputs["ApiUrl"])
	}
	for _, r := range tmpl.Resources {
		if strings.HasPrefix(r.LogicalID, "Api") {
			t.Errorf("%s is there", r.LogicalID)
		}
	}
	with := load(t, map[string]string{"Callbacks": "false"})
	if len(with.Functions) != len(tmpl.Functions)+1 {
		t.Errorf("%d functions with an issuer, %d without", len(with.Functions), len(tmpl.Functions))
	}
}

// T15: mails link the guide where somebody said that it is, or else where the API shows it.
func TestMailsLinkTheGuideWhereItIsShown(t *testing.T) {
	for name, c := range map[string]struct {
		params map[string]string
		want   string // what the address begins and ends with
	}{
		"nowhere":         {map[string]string{"ApiIssuer": ""}, ""},
		"at the API":      {nil, "https://…/guide"},
		"elsewhere":       {map[string]string{"GuideUrl": "https://help.example/vault"}, "https://help.example/vault"},
		"without the API": {map[string]string{"ApiIssuer": "", "GuideUrl": "https://help.example/vault"}, "https://help.example/vault"},
	} {
		tmpl := load(t, c.params)
		for _, f := range tmpl.Functions {
			if f.LogicalID != "ReportFunction" && f.LogicalID != "ApiFunction" {
				continue
			}
			begin, end, _ := strings.Cut(c.want, "…")
			if url := f.Environment["GUIDE_URL"]; !strings.HasPrefix(url, begin) || !strings.HasSuffix(url, end) || c.want == "" && url != "" {
				t.Errorf("%s: %s links %q", name, f.LogicalID, url)
			}
		}
	}
}
