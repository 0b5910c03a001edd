// Package rig gives a test the whole of AWS that template.yaml names, on this machine and fresh: tables, queues, buckets, mails and secrets
// behind one front, each function with its own credentials and its own role evaluated; beside it a simulated WeCom and the product's own
// programs, built. It owns no behaviour of its own and is for tests alone.
package rig

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	awsses "github.com/aws/aws-sdk-go-v2/service/ses"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/elsewhere"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front/s3test"
	localsecrets "github.com/wecomvault/wecomvault/shared/local/awslocal/secrets"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	localsqs "github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/store"
	"github.com/wecomvault/wecomvault/shared/local/stack"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/sdkbody"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

const (
	region  = "us-east-1"
	account = "000000000000"
)

// Operator is the caller that may do everything.
const Operator = "operator"

// Options adds to a Rig. All fields may be empty.
type Options struct {
	// Parameters differ from the template's defaults.
	Parameters map[string]string
	// Services are further services by the credential scope's name, "lambda" for example.
	Services map[string]http.Handler
}

// Rig is a running AWS. Resources go by their logical ids in template.yaml.
type Rig struct {
	testing.TB
	URL      string
	Template *template.Template
	SQS      *localsqs.Service
	SES      *ses.Service
	Objects  *s3front.Gateway

	callers map[string]*authz.Caller

	mu    sync.Mutex
	fault func(awslocal.FaultRequest) awslocal.FaultDecision
	calls []awslocal.Call
	used  map[string]Units
}

// Units is what DynamoDB would charge for a table.
type Units struct{ Write, Read float64 }

// Start makes everything that the template names; the test's end ends it.
func Start(t testing.TB, o Options) *Rig {
	t.Helper()
	r := &Rig{TB: t, used: map[string]Units{}}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	r.OK(err)
	r.URL = "http://" + listener.Addr().String()
	parameters := map[string]string{template.Region: region, template.AccountID: account, template.Endpoint: r.URL,
		"MailFrom": "vault@mail.example", "RetentionMode": "GOVERNANCE", "RetentionDays": "1", "Trial": "true"}
	away := elsewhereServices(t)
	if len(away) > 0 { // others keep the state of every test of a run
		parameters[template.StackName] = "wv" + strings.ToLower(rand.Text()[:10])
		parameters["SecretsPrefix"] = parameters[template.StackName] + "/"
	}
	for k, v := range o.Parameters {
		parameters[k] = v
	}
	r.Template, err = template.Load(repository(t, "template.yaml"), parameters)
	r.OK(err)
	r.callers, err = stack.CallersFor(r.Template, t.Name())
	r.OK(err)
	r.callers[Operator] = authz.Everything(Operator)

	db, err := store.Open(filepath.Join(t.TempDir(), "aws.db"))
	r.OK(err)
	db.NoSync = true // nothing here outlives the test
	tables, err := ddb.New(db, region, account, r.meter)
	r.OK(err)
	r.SQS, err = localsqs.New(db, region, account, clock.Real)
	r.OK(err)
	r.SES, err = ses.New(db, region, account, clock.Real)
	r.OK(err)
	vault, err := localsecrets.New(db, region, account, clock.Real)
	r.OK(err)
	r.Objects, err = s3front.Start(t.Context(), s3front.Config{Binary: s3test.Binary(t), DataDir: filepath.Join(t.TempDir(), "s3"), Region: region, Log: io.Discard})
	r.OK(err)
	services := map[string]http.Handler{"dynamodb": tables, "sqs": r.SQS, "ses": r.SES, "secretsmanager": vault, "s3": r.Objects}
	maps.Copy(services, away)
	for name, s := range o.Services {
		services[name] = s
	}
	front, err := awslocal.New(awslocal.Config{Services: services, Region: region, Account: account, Fault: r.decide, Observe: r.observe,
		Principal: func(key string) (string, *authz.Caller, bool) {
			c, known := r.callers[strings.TrimPrefix(key, "AK")]
			return secretOf(key), c, known
		},
		// See awslocal.Config: the SDK loses an answer of another process that comes too fast.
		MinLatency: 100 * time.Microsecond,
	})
	r.OK(err)
	// No test lasts as long: the timeout also ends connections that were opened and not used yet, of which an SDK that is busy keeps some. One that it takes just
	// then loses its call, and Once tries nothing again.
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: front, ReadHeaderTimeout: time.Hour}}
	server.Start()
	t.Cleanup(func() {
		r.SQS.Close()
		server.CloseClientConnections()
		server.Close()
		if err := r.Objects.Close(); err != nil {
			t.Errorf("close the local S3: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	r.OK(stack.Create(t.Context(), stack.Options{Template: r.Template, Endpoint: r.URL, AccessKey: "AK" + Operator, Secret: secretOf("AK" + Operator),
		Buckets: r.Objects, Mail: r.SES, Deliver: r.SQS.Deliver}))
	r.OK(r.SES.Verify("vault@mail.example"))
	if away["ses"] != nil {
		_, err := awsses.NewFromConfig(r.Config(Operator)).VerifyEmailIdentity(t.Context(), &awsses.VerifyEmailIdentityInput{EmailAddress: aws.String("vault@mail.example")})
		r.OK(err)
	}
	return r
}

// elsewhereServices are the services that the environment has at other implementations: DynamoDB, SQS, SES and Secrets Manager may be.
// What the rig knows of them by other ways than their protocol (mails, units, roles) is then not theirs.
func elsewhereServices(t testing.TB) map[string]http.Handler {
	t.Helper()
	out := map[string]http.Handler{}
	for _, name := range []string{"dynamodb", "sqs", "ses", "secretsmanager"} {
		s, err := elsewhere.FromEnvironment(name, region, nil, clock.Real)
		if err != nil {
			t.Fatal(err)
		}
		if s != nil {
			out[name] = s
		}
	}
	if tables := out["dynamodb"]; tables != nil {
		out["dynamodb"] = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			// Recovery is a setting that no suite asks after, and not every implementation knows it.
			if strings.HasSuffix(q.Header.Get("X-Amz-Target"), ".UpdateContinuousBackups") {
				protocol.JSONAnswer(w, "1.0", struct{}{})
				return
			}
			tables.ServeHTTP(w, q)
		})
	}
	return out
}

func secretOf(accessKey string) string { return "secret-of-" + accessKey }

// OK ends the test if there is an error.
func (r *Rig) OK(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// Must returns a value, or ends the test if there is an error.
func Must[A any](t testing.TB) func(A, error) A {
	return func(a A, err error) A {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

// Name is what a resource is called in AWS: a table's or a bucket's name, a queue's URL.
func (r *Rig) Name(logicalID string) string {
	r.Helper()
	i := slices.IndexFunc(r.Template.Resources, func(x template.Resource) bool { return x.LogicalID == logicalID })
	if i < 0 {
		r.Fatalf("the template has no %s", logicalID)
	}
	return r.Template.Resources[i].Physical
}

// Config is an SDK configuration with a function's credentials (its logical id, or Operator). A call that fails is tried three times, as by
// default, without the pauses between.
func (r *Rig) Config(caller string) aws.Config {
	c := r.Once(caller)
	c.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.RateLimiter = none{}
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
		})
	}
	return c
}

// Once is Config with each call tried once, so that a planned fault is what the caller sees.
func (r *Rig) Once(caller string) aws.Config {
	r.Helper()
	if _, known := r.callers[caller]; !known {
		r.Fatalf("the template has no function %s", caller)
	}
	return aws.Config{
		Region: region, BaseEndpoint: &r.URL, Credentials: credentials.NewStaticCredentialsProvider("AK"+caller, secretOf("AK"+caller), ""),
		// What config.LoadDefaultConfig sets; a bare Config leaves both unset.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		Retryer:    func() aws.Retryer { return aws.NopRetryer{} },
		APIOptions: []func(*middleware.Stack) error{sdkbody.Plain}, // as functions have it
	}
}

// none limits no retries: a test plans more faults than any real day has.
type none struct{}

func (none) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (none) AddTokens(uint) error { return nil }

// Tables are the four tables of the ledger.
func (r *Rig) Tables() ledger.Tables {
	r.Helper()
	return ledger.Tables{Control: r.Name("ControlTable"), Messages: r.Name("MessagesTable"), Directory: r.Name("DirectoryTable"), Audit: r.Name("AuditTable")}
}

// Ledger is the ledger as a caller reaches it.
func (r *Rig) Ledger(c aws.Config) *ledger.Ledger {
	r.Helper()
	return ledger.New(dynamodb.NewFromConfig(c), r.Tables())
}

// Store is a bucket as a caller reaches it.
func (r *Rig) Store(c aws.Config, bucket string) *objstore.Store {
	r.Helper()
	return objstore.New(s3.NewFromConfig(c), r.Name(bucket))
}

// Secrets are the corps' secrets and keys as a caller reaches them.
func (r *Rig) Secrets(c aws.Config) *secrets.Store {
	return secrets.New(secretsmanager.NewFromConfig(c), r.Template.Parameters["SecretsPrefix"])
}

// Fault sets the fault plan; nil ends it.
func (r *Rig) Fault(plan func(awslocal.FaultRequest) awslocal.FaultDecision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = plan
}

func (r *Rig) decide(q awslocal.FaultRequest) awslocal.FaultDecision {
	r.mu.Lock()
	plan := r.fault
	r.mu.Unlock()
	if plan == nil {
		return awslocal.FaultDecision{}
	}
	return plan(q)
}

func (r *Rig) observe(c awslocal.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
}

// Calls returns the account of all calls since the last time it was asked for.
func (r *Rig) Calls() []awslocal.Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

func (r *Rig) meter(_, table string, write, read float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.used[table]
	r.used[table] = Units{u.Write + write, u.Read + read}
}

// Used returns what a table's use would have cost since the last time it was asked for.
func (r *Rig) Used(logicalID string) Units {
	r.Helper()
	name := r.Name(logicalID)
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.used[name]
	delete(r.used, name)
	return u
}

// Take receives and removes all messages of a queue that are visible, and returns their bodies.
func (r *Rig) Take(queue string) []string {
	r.Helper()
	client, url := sqs.NewFromConfig(r.Config(Operator)), r.Name(queue)
	var bodies []string
	for {
		out, err := client.ReceiveMessage(r.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
		r.OK(err)
		if len(out.Messages) == 0 {
			return bodies
		}
		for _, m := range out.Messages {
			bodies = append(bodies, aws.ToString(m.Body))
			_, err := client.DeleteMessage(r.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
			r.OK(err)
		}
	}
}

// Rows returns every row of a table as text, by "pk sk", without the named attributes: for comparing states.
func (r *Rig) Rows(table string, without ...string) map[string]string {
	r.Helper()
	client, name := dynamodb.NewFromConfig(r.Config(Operator)), r.Name(table)
	rows := map[string]string{}
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(r.Context())
		r.OK(err)
		for _, it := range page.Items {
			key := text(it["pk"]) + " " + text(it["sk"])
			var fields []string
			for n, v := range it {
				if n != "pk" && n != "sk" && !slices.Contains(without, n) {
					fields = append(fields, n+"="+text(v))
				}
			}
			slices.Sort(fields)
			rows[key] = strings.Join(fields, " ")
		}
	}
	return rows
}

// Keys returns the keys of a bucket's current objects that begin with prefix.
func (r *Rig) Keys(bucket, prefix string) []string {
	r.Helper()
	var keys []string
	for v, err := range r.Store(r.Config(Operator), bucket).List(r.Context(), prefix) {
		r.OK(err)
		keys = append(keys, fmt.Sprint(v.Key))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Within polls until a state is reached, or ends the test after d.
func (r *Rig) Within(d time.Duration, what string, reached func() bool) {
	r.Helper()
	end := time.After(d)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-end:
			r.Fatalf("after %v: %s", d, what)
		case <-tick.C:
		}
	}
}
