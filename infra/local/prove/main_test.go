package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// account stands in for the aws, sam and vaultctl commands. It knows what this program asks of them and refuses the rest; it was written
// from their documentation and never held against AWS.
type account struct {
	t       *testing.T
	id      string // the account that the credentials belong to
	stacks  map[string]bool
	sim     http.Handler
	fails   string // a call that begins so is refused
	denied  bool   // IAM says no
	calls   []string
	alarmed bool
}

func (a *account) run(_ context.Context, environment []string, name string, args ...string) ([]byte, error) {
	args = slices.Clone(args)
	if name == "aws" {
		if args[0] != "--region" || args[1] != "eu-central-1" {
			a.t.Errorf("the aws command is not told the region: %v", args)
		}
		args = args[2:]
	}
	line := filepath.Base(name) + " " + strings.Join(args, " ")
	a.calls = append(a.calls, line)
	if a.fails != "" && strings.HasPrefix(line, a.fails) {
		return nil, errors.New("refused, as planned")
	}
	flag := func(name string) string {
		if i := slices.Index(args, name); i >= 0 {
			return args[i+1]
		}
		return ""
	}
	is := func(start string) bool { return strings.HasPrefix(line, start) }
	switch {
	case is("aws sts get-caller-identity"):
		if a.id == "" {
			return nil, errors.New("Unable to locate credentials")
		}
		return []byte(a.id + "\n"), nil
	case is("aws cloudformation describe-stacks") && strings.Contains(flag("--query"), "CreationTime"):
		return []byte(time.Now().Add(-90*time.Minute).UTC().Format(time.RFC3339Nano) + "\n"), nil
	case is("aws lambda get-function-configuration"):
		return []byte(`{"Memory":512,"Processor":"x86_64"}`), nil
	case is("aws cloudformation describe-stacks"):
		stack := flag("--stack-name")
		if !a.stacks[stack] {
			return nil, fmt.Errorf("Stack with id %s does not exist", stack)
		}
		return []byte(`[{"OutputKey":"Url","OutputValue":"https://x.lambda-url.eu-central-1.on.aws/"},{"OutputKey":"Layer","OutputValue":"arn:aws:lambda:eu-central-1:123456789012:layer:l:1"},{"OutputKey":"ControlTable","OutputValue":"t"}]`), nil
	case is("sam deploy"):
		a.stacks[flag("--stack-name")] = true
		return nil, nil
	case is("aws cloudformation describe-stack-resources") && flag("--query") != "":
		return []byte(`["prove-a1-vault-FetchRole-X"]`), nil
	case is("aws cloudformation describe-stack-resources"):
		if !a.stacks[flag("--stack-name")] {
			return nil, errors.New("Stack does not exist")
		}
		return []byte(`{"StackResources":[
			{"ResourceType":"AWS::DynamoDB::Table","PhysicalResourceId":"prove-a1-vault-ControlTable-X"},
			{"ResourceType":"AWS::DynamoDB::Table","PhysicalResourceId":"wecomvault-ControlTable-Y"},
			{"ResourceType":"AWS::S3::Bucket","PhysicalResourceId":"prove-a1-vault-archivebucket-x"},
			{"ResourceType":"AWS::KMS::Key","PhysicalResourceId":"key-of-ours"},{"ResourceType":"AWS::KMS::Key","PhysicalResourceId":"key-of-others"},
			{"ResourceType":"AWS::Logs::LogGroup","PhysicalResourceId":"/aws/lambda/prove-a1-vault-fetch"},
			{"ResourceType":"AWS::EC2::EIP","PhysicalResourceId":"192.0.2.4"},{"ResourceType":"AWS::SQS::Queue","PhysicalResourceId":"q"}]}`), nil
	case is("aws cloudformation delete-stack"):
		delete(a.stacks, flag("--stack-name"))
		return nil, nil
	case is("aws lambda invoke") && flag("--payload") != "":
		return nil, a.invoke(strings.TrimPrefix(flag("--payload"), "file://"), args[len(args)-1])
	case is("aws lambda invoke"):
		return []byte(`{"StatusCode":200}`), nil
	case is("vaultctl messages"):
		return a.messages(), nil
	case is("vaultctl "):
		if !slices.Contains(environment, "CONTROL_TABLE=t") {
			a.t.Errorf("vaultctl is not told where the archive is: %v", environment)
		}
		return nil, nil
	case is("aws iam list-role-policies"):
		return []byte(`["fetch"]`), nil
	case is("aws iam get-role-policy"):
		return []byte(`[{"Sid":"Batches","Effect":"Allow","Action":["s3:PutObject"],"Resource":"arn:aws:s3:::b/batches/*","Condition":{"StringEquals":{"kms:ViaService":"s3.x"}}},{"Sid":"NetworkInterface","Effect":"Allow","Action":"ec2:CreateNetworkInterface","Resource":"*"}]`), nil
	case is("aws iam simulate-principal-policy"):
		if !strings.Contains(line, "arn:aws:s3:::b/batches/prove") || !strings.Contains(line, "ContextKeyName=kms:ViaService,ContextKeyType=string,ContextKeyValues=s3.x") {
			a.t.Errorf("IAM is asked %s", line)
		}
		if a.denied {
			return []byte(`[["s3:PutObject","implicitDeny"]]`), nil
		}
		return []byte(`[["s3:PutObject","allowed"]]`), nil
	case is("aws logs filter-log-events"):
		return []byte("0\n"), nil
	case is("aws cloudwatch describe-alarms"):
		state := map[bool]string{false: `["OK"]`, true: `["ALARM"]`}[a.alarmed]
		a.alarmed = true
		return []byte(state), nil
	case is("aws cloudwatch get-metric-statistics"):
		return []byte("12.0"), nil
	case is("aws s3api list-object-versions"):
		if slices.ContainsFunc(a.calls, func(c string) bool { return strings.HasPrefix(c, "aws s3api delete-objects") }) {
			return []byte(`{"Objects":null}`), nil
		}
		return []byte(`{"Objects":[{"Key":"batches/1","VersionId":"v1"}]}`), nil
	case is("aws secretsmanager list-secrets"):
		return []byte(`["prove-a1/corp/wwprove/archive","prove-a1-other/corp/x"]`), nil
	case is("aws kms describe-key"):
		if flag("--key-id") == "key-of-others" {
			return []byte("somebody's key\tEnabled\n"), nil
		}
		return []byte("prove-a1-vault - queues\tEnabled\n"), nil
	case is("aws ec2 describe-addresses"):
		return []byte("eipalloc-1\n"), nil
	}
	for _, known := range []string{"aws cloudformation wait", "aws s3api delete-", "aws dynamodb update-table", "aws dynamodb wait", "aws dynamodb delete-table", "aws logs delete-log-group",
		"aws secretsmanager delete-secret", "aws ec2 release-address", "aws kms schedule-key-deletion"} {
		if is(known) {
			return nil, nil
		}
	}
	a.t.Errorf("nobody expects %s", line)
	return nil, errors.New("unknown")
}

func (a *account) invoke(in, out string) error {
	raw, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var event struct {
		Control struct {
			Method, URI string
			Body        []byte
		}
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		return err
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest(event.Control.Method, "http://simulator"+event.Control.URI, bytes.NewReader(event.Control.Body))
	r.RemoteAddr = "127.0.0.1:1"
	a.sim.ServeHTTP(w, r)
	answer, err := json.Marshal(map[string]any{"statusCode": w.Code, "body": base64.StdEncoding.EncodeToString(w.Body.Bytes()), "incarnation": "one"})
	if err != nil {
		return err
	}
	return os.WriteFile(out, answer, 0o600)
}

// messages are the account's lines: what the simulator sent, all archived once the second key is there.
func (a *account) messages() []byte {
	client := &wecomsim.Client{BaseURL: "http://simulator", HTTP: &http.Client{Transport: direct{a.sim}}}
	items, err := client.Items(a.t.Context(), corpID, 0, 5000, false)
	if err != nil {
		a.t.Fatal(err)
	}
	keys := 0
	for _, c := range a.calls {
		if strings.HasPrefix(c, "vaultctl keys add") {
			keys++
		}
	}
	var out bytes.Buffer
	for _, i := range items {
		state := "archived"
		if int(i.KeyVersion) > keys {
			state = "set aside"
		}
		fmt.Fprintf(&out, `{"seq":%d,"state":%q,"raw_sha256":%q,"media":[]}`+"\n", i.Seq, state, i.RawSHA256)
	}
	return out.Bytes()
}

type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.RemoteAddr = "127.0.0.1:1"
	d.h.ServeHTTP(w, r)
	return w.Result(), nil
}

func newAccount(t *testing.T) *account {
	t.Helper()
	sim, err := wecomsim.Open(filepath.Join(t.TempDir(), "sim.db"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return &account{t: t, id: "123456789012", stacks: map[string]bool{}, sim: sim, alarmed: true}
}

func arguments(t *testing.T, more ...string) []string {
	return append([]string{"-prefix", "prove-a1", "-account", "123456789012", "-region", "eu-central-1", "-mail", "me@bank.example", "-folder", t.TempDir(), "-patience", "1s"}, more...)
}

func TestTheRunPlaysTheDayAndTakesEverythingAway(t *testing.T) {
	a := newAccount(t)
	var out bytes.Buffer
	if err := program(t.Context(), arguments(t), a, &out); err != nil {
		// The stand-in's account holds a table and a key of others', which must be named and left.
		for _, kept := range []string{"wecomvault-ControlTable-Y", "key-of-others"} {
			if !strings.Contains(err.Error(), kept) {
				t.Errorf("%v\n%s", err, out.String())
			}
		}
		if strings.Contains(out.String(), "FAILED") {
			t.Fatal(out.String())
		}
	} else {
		t.Error("a table and a key of others were taken away")
	}
	if len(a.stacks) > 0 {
		t.Errorf("stacks are left: %v", a.stacks)
	}
	// Two begun hours of what stands still are $0.045 and $0.005 an hour, and 2/730 of a dollar for each of two keys; the rest is below a cent.
	if said := out.String(); !strings.Contains(said, "  together $0.11 by the list prices of ") || !strings.Contains(said, "those of eu-central-1 are not in the list") {
		t.Errorf("the bill is not priced:\n%s", said)
	}
	// What seals goes last, locks are lifted after the bucket's policy is gone, and the simulator after those who ask it.
	order := []string{
		"aws sts get-caller-identity", "sam deploy --stack-name prove-a1-wecom", "sam deploy --stack-name prove-a1-vault", "vaultctl corps add", "vaultctl keys add",
		"aws iam simulate", "aws cloudformation delete-stack --stack-name prove-a1-vault", "aws cloudformation wait stack-delete-complete --stack-name prove-a1-vault",
		"aws cloudformation delete-stack --stack-name prove-a1-wecom", "aws s3api delete-objects --bucket prove-a1-vault-archivebucket-x --bypass-governance-retention", "aws s3api delete-bucket",
		"aws dynamodb update-table --table-name prove-a1-vault-ControlTable-X --no-deletion-protection-enabled", "aws dynamodb delete-table --table-name prove-a1-vault-ControlTable-X",
		"aws logs delete-log-group", "aws secretsmanager delete-secret --secret-id prove-a1/corp/wwprove/archive", "aws ec2 release-address --allocation-id eipalloc-1", "aws kms schedule-key-deletion --key-id key-of-ours",
	}
	at := 0
	for _, c := range a.calls {
		if at < len(order) && strings.HasPrefix(c, order[at]) {
			at++
		}
		for _, others := range []string{"delete-table --table-name wecomvault", "schedule-key-deletion --key-id key-of-others", "--secret-id prove-a1-other"} {
			if strings.Contains(c, others) {
				t.Errorf("what others own is taken away: %s", c)
			}
		}
	}
	if at < len(order) {
		t.Errorf("not in this order, or not at all: %s\n%s", order[at], strings.Join(a.calls, "\n"))
	}
}

func TestWhatWasMadeIsRemovedWhateverFailed(t *testing.T) {
	for _, fails := range []string{"sam deploy --stack-name prove-a1-vault", "vaultctl corps add", "aws cloudwatch describe-alarms", "vaultctl messages"} {
		a := newAccount(t)
		a.fails = fails
		var out bytes.Buffer
		err := program(t.Context(), arguments(t), a, &out)
		if err == nil || !strings.Contains(err.Error(), "refused, as planned") || !strings.Contains(out.String(), "FAILED") {
			t.Errorf("%s: error %v", fails, err)
		}
		if len(a.stacks) > 0 {
			t.Errorf("%s: stacks are left: %v", fails, a.stacks)
		}
	}
}

func TestAPermissionThatTheAccountDeniesIsNamed(t *testing.T) {
	a := newAccount(t)
	a.denied = true
	err := program(t.Context(), arguments(t), a, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "prove-a1-vault-FetchRole-X s3:PutObject (Batches): implicitDeny") {
		t.Errorf("error %v", err)
	}
}

func TestRemovalThatBrokeOffIsRepeated(t *testing.T) {
	a := newAccount(t)
	a.fails = "aws dynamodb delete-table"
	args := arguments(t)
	if err := program(t.Context(), args, a, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "TEARDOWN=1") {
		t.Fatalf("error %v", err)
	}
	a.fails, a.calls = "", nil
	_ = program(t.Context(), append(args, "-teardown"), a, &bytes.Buffer{}) // what others own is named again
	if !slices.Contains(a.calls, "aws dynamodb delete-table --table-name prove-a1-vault-ControlTable-X") {
		t.Errorf("the table is left: %s", strings.Join(a.calls, "\n"))
	}
	if slices.ContainsFunc(a.calls, func(c string) bool { return strings.HasPrefix(c, "sam") }) {
		t.Error("something was made")
	}
}

func TestARunThatCouldHitAnythingElseIsRefusedBeforeTheFirstCall(t *testing.T) {
	for name, args := range map[string][]string{
		"a production prefix":  {"-prefix", "wecomvault", "-account", "123456789012", "-region", "eu-central-1", "-mail", "me@bank.example"},
		"no prefix":            {"-account", "123456789012", "-region", "eu-central-1", "-mail", "me@bank.example"},
		"a prefix with a star": {"-prefix", "prove-*", "-account", "123456789012", "-region", "eu-central-1", "-mail", "me@bank.example"},
		"no account":           {"-prefix", "prove-a1", "-region", "eu-central-1", "-mail", "me@bank.example"},
		"no region":            {"-prefix", "prove-a1", "-account", "123456789012", "-region", "", "-mail", "me@bank.example"},
		"no address":           {"-prefix", "prove-a1", "-account", "123456789012", "-region", "eu-central-1"},
	} {
		a := newAccount(t)
		if err := program(t.Context(), args, a, &bytes.Buffer{}); err == nil || len(a.calls) > 0 {
			t.Errorf("%s: error %v, calls %v", name, err, a.calls)
		}
	}
}

func TestNothingIsDoneWithoutTheRightAccountOrBesideAStackOfThatName(t *testing.T) {
	for name, change := range map[string]func(*account){
		"no credentials":        func(a *account) { a.id = "" },
		"another account":       func(a *account) { a.id = "999999999999" },
		"a stack of that name":  func(a *account) { a.stacks["prove-a1-vault"] = true },
		"a simulator of before": func(a *account) { a.stacks["prove-a1-wecom"] = true },
	} {
		a := newAccount(t)
		change(a)
		err := program(t.Context(), arguments(t), a, &bytes.Buffer{})
		made := slices.ContainsFunc(a.calls, func(c string) bool { return strings.Contains(c, "deploy") || strings.Contains(c, "delete") })
		if err == nil || made {
			t.Errorf("%s: error %v, calls %v", name, err, a.calls)
		}
	}
}

func TestThePlanIsPrintedAndNothingDone(t *testing.T) {
	a := newAccount(t)
	var out bytes.Buffer
	if err := program(t.Context(), arguments(t, "-dry"), a, &out); err != nil || len(a.calls) > 0 {
		t.Fatalf("error %v, calls %v", err, a.calls)
	}
	for _, word := range []string{"never been run", "prove-a1-vault", "RetentionMode=GOVERNANCE", "RetentionDays=1", "HoursToLossAlarm", "delete the buckets", "Nothing is done"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("the plan does not say %q:\n%s", word, out.String())
		}
	}
}

func TestASimulatorThatLambdaReplacedEndsTheRun(t *testing.T) {
	a := newAccount(t)
	p := &proof{options: options{prefix: "prove-a1", region: "eu-central-1"}, runner: a, incarnation: "another"}
	client := &wecomsim.Client{BaseURL: "http://simulator", HTTP: &http.Client{Transport: p}}
	if _, err := client.Corps(t.Context()); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("error %v", err)
	}
}
