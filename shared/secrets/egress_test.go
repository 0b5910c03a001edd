package secrets_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/wecomvault/wecomvault/shared/local/rig"
)

// The proxy's credentials are for the functions that go through it, where the stack says that it wants any, and for no others.
func TestProxysCredentialsAreReadByThoseWhoGoThroughIt(t *testing.T) {
	for _, auth := range []string{"true", "false"} {
		r := rig.Start(t, rig.Options{Parameters: map[string]string{"EgressProxy": "http://proxy.bank.example:3128", "EgressProxyAuth": auth}})
		client := secretsmanager.NewFromConfig(r.Config(rig.Operator))
		_, err := client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
			Name: aws.String(r.Template.Parameters["SecretsPrefix"] + "egress-proxy"), SecretString: aws.String(`{"secret":"vault:hunter2"}`),
		})
		r.OK(err)
		for function, may := range map[string]bool{"FetchFunction": true, "MediaFunction": true, "DirectoryFunction": true, "ProcessFunction": false, "WatchFunction": false} {
			may = may && auth == "true"
			pair, err := r.Secrets(r.Config(function)).EgressProxy(t.Context())
			if (err == nil) != may || may && pair != "vault:hunter2" {
				t.Errorf("auth %s: %s reads %q: %v", auth, function, pair, err)
			}
		}
	}
}

func TestProxysCredentialsOfAnotherFormAreSaidToBe(t *testing.T) {
	for _, text := range []string{"vault:hunter2", `{"secret":"hunter2"}`, `{"password":"hunter2"}`} {
		r := rig.Start(t, rig.Options{})
		client := secretsmanager.NewFromConfig(r.Config(rig.Operator))
		_, err := client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(r.Template.Parameters["SecretsPrefix"] + "egress-proxy"), SecretString: &text})
		r.OK(err)
		if _, err := r.Secrets(r.Config(rig.Operator)).EgressProxy(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "user:password") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
