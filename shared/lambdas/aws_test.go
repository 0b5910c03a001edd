package lambdas_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"

	"github.com/wecomvault/wecomvault/shared/lambdas"
)

// lambdaEnvironment sets what Lambda sets, and hides what else this machine has.
func lambdaEnvironment(t *testing.T, endpoint string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, value) // restores it
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	none := t.TempDir() + "/none"
	for name, value := range map[string]string{
		"AWS_REGION": "eu-north-1", "AWS_ACCESS_KEY_ID": "AKQUAY", "AWS_SECRET_ACCESS_KEY": "quay", "AWS_SESSION_TOKEN": "afternoon", "AWS_ENDPOINT_URL": endpoint,
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
	} {
		t.Setenv(name, value)
	}
}

func TestClientsSignWithWhatLambdaGives(t *testing.T) {
	var asked http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	lambdaEnvironment(t, server.URL)
	cfg, err := lambdas.AWS(os.Getenv, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqs.NewFromConfig(cfg).ListQueues(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := asked.Get("Authorization"); !strings.Contains(got, "Credential=AKQUAY/") || !strings.Contains(got, "/eu-north-1/sqs/") {
		t.Errorf("signed as %q", got)
	}
	if got := asked.Get("X-Amz-Security-Token"); got != "afternoon" {
		t.Errorf("session token %q", got)
	}
}

// A checksum that does not fit is told by the SDK's logger and nowhere else.
func TestWhatTheSDKWarnsOfIsALineOfTheLog(t *testing.T) {
	lambdaEnvironment(t, "")
	var said bytes.Buffer
	cfg, err := lambdas.AWS(os.Getenv, slog.New(slog.NewJSONHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Logger.Logf(logging.Warn, "checksum %d", 7)
	if !strings.Contains(said.String(), `"level":"WARN"`) || !strings.Contains(said.String(), `"warning":"checksum 7"`) {
		t.Errorf("the log has %q", said.String())
	}
}

// known are the fields that the loader fills in and we leave, with the loader's value. To a client of one of our services each is the same as unset.
var known = map[string]string{
	"DefaultsMode":                "legacy",
	"AccountIDEndpointMode":       "preferred", // Lambda gives no account with the credentials
	"RequestMinCompressSizeBytes": "10240",     // none of our services takes compressed requests
	"RestrictFilePermissions":     "user_read_write",
	"Interceptors":                "{[] [] [] [] [] [] [] [] [] [] [] [] []}",
}

// The SDK's loader in the same environment comes to the same.
func TestTheConfigurationIsTheOneThatTheLoaderWouldMake(t *testing.T) {
	for _, endpoint := range []string{"", "http://127.0.0.1:9"} {
		lambdaEnvironment(t, endpoint)
		ours, err := lambdas.AWS(os.Getenv, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := awsconfig.LoadDefaultConfig(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		a, err := ours.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := theirs.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if a.AccessKeyID != b.AccessKeyID || a.SecretAccessKey != b.SecretAccessKey || a.SessionToken != b.SessionToken || a.CanExpire != b.CanExpire {
			t.Errorf("endpoint %q: other credentials than the loader's", endpoint)
		}
		for _, c := range []*aws.Config{&ours, &theirs} {
			c.Credentials, c.ConfigSources, c.Logger, c.APIOptions = nil, nil, nil, nil // compared above; the loader's own inputs; where warnings go; how bodies are sent
		}
		v, w := reflect.ValueOf(ours), reflect.ValueOf(theirs)
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if unset, value := reflect.ValueOf(v.Field(i).Interface()), fmt.Sprint(w.Field(i).Interface()); known[name] != "" && value == known[name] && (!unset.IsValid() || unset.IsZero()) {
				continue
			}
			if !reflect.DeepEqual(v.Field(i).Interface(), w.Field(i).Interface()) {
				t.Errorf("endpoint %q: %s is %v, the loader's %v", endpoint, name, v.Field(i).Interface(), w.Field(i).Interface())
			}
		}
	}
}

func TestAnIncompleteEnvironmentIsReportedAtOnce(t *testing.T) {
	_, err := lambdas.AWS(func(string) string { return "" }, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}
