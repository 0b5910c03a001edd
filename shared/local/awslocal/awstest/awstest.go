// Package awstest starts the local AWS endpoints inside a test: fresh state in the test's own folder, real SDK clients in front. It owns
// no behaviour of its own and is for tests alone.
package awstest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/middleware"
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/secrets"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/store"
	"github.com/wecomvault/wecomvault/shared/sdkbody"
)

// Region and Account are those of every local endpoint.
const (
	Region  = "us-east-1"
	Account = "000000000000"
)

// Endpoint is a running front with its services.
type Endpoint struct {
	URL     string
	DB      *bbolt.DB
	SQS     *sqs.Service
	SES     *ses.Service
	Secrets *secrets.Service

	server *httptest.Server

	mu      sync.Mutex
	callers map[string]*authz.Caller // by access key
	fault   func(awslocal.FaultRequest) awslocal.FaultDecision
	calls   []awslocal.Call
}

// Options adds to an Endpoint. All fields may be empty.
type Options struct {
	// Now is the services' clock; nil means real time. Signatures are always held against real time.
	Now func() time.Time
	// More makes further services over the same store, by the credential scope's service name.
	More func(*bbolt.DB) map[string]http.Handler
}

// Start starts an Endpoint that ends with the test. Its access key "operator" with the secret "operator-secret" may do anything.
func Start(t testing.TB, o Options) *Endpoint {
	t.Helper()
	if o.Now == nil {
		o.Now = time.Now
	}
	db, err := store.Open(filepath.Join(t.TempDir(), "aws.db"))
	if err != nil {
		t.Fatal(err)
	}
	// Nothing here outlives the test, so nothing need wait for the disk.
	db.NoSync = true
	e := &Endpoint{DB: db, callers: map[string]*authz.Caller{"operator": authz.Everything("operator")}}
	if e.SQS, err = sqs.New(db, Region, Account, o.Now); err != nil {
		t.Fatal(err)
	}
	if e.SES, err = ses.New(db, Region, Account, o.Now); err != nil {
		t.Fatal(err)
	}
	if e.Secrets, err = secrets.New(db, Region, Account, o.Now); err != nil {
		t.Fatal(err)
	}
	services := map[string]http.Handler{"sqs": e.SQS, "ses": e.SES, "secretsmanager": e.Secrets}
	if o.More != nil {
		maps.Copy(services, o.More(db))
	}
	e.serve(services)
	t.Cleanup(func() {
		e.SQS.Close()
		e.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Serve puts a front before services that the caller has made, for processes that outlive no test. It panics if there is no port.
func Serve(services map[string]http.Handler) *Endpoint {
	e := &Endpoint{callers: map[string]*authz.Caller{"operator": authz.Everything("operator")}}
	e.serve(services)
	return e
}

// Close ends the front; Start does so by itself.
func (e *Endpoint) Close() { e.server.Close() }

func (e *Endpoint) serve(services map[string]http.Handler) {
	front, err := awslocal.New(awslocal.Config{Services: services, Principal: e.principal, Region: Region, Account: Account,
		Fault: e.decide, Observe: e.observe})
	if err != nil {
		panic(err)
	}
	e.server = httptest.NewServer(front)
	e.URL = e.server.URL
}

// Config is an SDK configuration for an access key, whose secret is the key with "-secret" behind it. Requests are sent once: a
// test that wants retries sets its own Retryer.
func (e *Endpoint) Config(accessKeyID string) aws.Config {
	return aws.Config{
		Region:      Region,
		Credentials: credentials.NewStaticCredentialsProvider(accessKeyID, accessKeyID+"-secret", ""),
		// What config.LoadDefaultConfig sets; a bare Config leaves both unset.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		BaseEndpoint:               &e.URL,
		Retryer:                    func() aws.Retryer { return aws.NopRetryer{} },
		APIOptions:                 []func(*middleware.Stack) error{sdkbody.Plain}, // as functions have it
	}
}

// Caller adds a caller under its own name as access key.
func (e *Endpoint) Caller(name string, allowed func(authz.Request) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.callers[name] = &authz.Caller{Name: name, Allowed: allowed}
}

// Fault sets the fault plan; nil ends it.
func (e *Endpoint) Fault(plan func(awslocal.FaultRequest) awslocal.FaultDecision) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = plan
}

// Calls returns the account of all calls so far.
func (e *Endpoint) Calls() []awslocal.Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]awslocal.Call(nil), e.calls...)
}

// Queue makes a queue and returns its URL.
func (e *Endpoint) Queue(t testing.TB, name string, attributes map[string]string) string {
	t.Helper()
	if _, err := e.SQS.Ensure(name, attributes); err != nil {
		t.Fatal(err)
	}
	return e.SQS.URL(e.URL, name)
}

func (e *Endpoint) principal(accessKeyID string) (string, *authz.Caller, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, known := e.callers[accessKeyID]
	return accessKeyID + "-secret", c, known
}

func (e *Endpoint) decide(r awslocal.FaultRequest) awslocal.FaultDecision {
	e.mu.Lock()
	plan := e.fault
	e.mu.Unlock()
	if plan == nil {
		return awslocal.FaultDecision{}
	}
	return plan(r)
}

func (e *Endpoint) observe(c awslocal.Call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, c)
}
