// Package awslocal is the one address behind which the local AWS services stand. It owns what AWS does before a service sees a
// request: the signature, the caller's identity, the routing by the credential scope's service name; and what only tests want:
// planned faults and an account of the calls. It must not know what any operation means, nor be reachable from another machine.
package awslocal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sigv4"
)

// maxBody bounds every request but S3's: a mail of 10 MB is about 14 MB once encoded, twice that if escaped badly.
const maxBody = 64 << 20

// Config describes a Front. Services, Principal, Region and Account are required.
type Config struct {
	// Services by the service name of the credential scope: dynamodb, sqs, ses, secretsmanager, s3, lambda. "sts" is answered by
	// the front itself, and by a handler only if one is given.
	Services map[string]http.Handler
	// Principal returns the secret and the caller of an access key. It must be safe for concurrent use.
	Principal func(accessKeyID string) (secret string, caller *authz.Caller, ok bool)
	Region    string
	Account   string
	// Now is the clock that signatures are held against; nil means real time, which callers sign with.
	Now func() time.Time
	// Fault, if not nil, is asked before each verified request is served.
	Fault func(FaultRequest) FaultDecision
	// Observe, if not nil, is told of each request after its answer. Both must be safe for concurrent use.
	Observe func(Call)
	// MinLatency delays each request by at least this much. The SDK now and then loses an answer that comes in under 100 µs from
	// another process and then sends the request again; no real network is that fast.
	MinLatency time.Duration
}

// FaultRequest is what a fault plan may look at.
type FaultRequest struct {
	Service   string // for example "dynamodb"
	Operation string // for example "PutItem"
	Resource  string // table name, queue URL, bucket/key, secret id, mail source; several are joined by commas; "" if unknown
	Caller    string // the function's logical id, or "operator"
	Body      []byte // the request's body; nil for S3
}

// Act is what a fault plan does with a request.
type Act int

// The acts of a fault plan.
const (
	Pass       Act = iota // serve it
	Refuse                // answer with Code and Status, without the effect
	FailAfter             // let it take effect, then answer with Code and Status as if it had failed
	CutAfter              // let it take effect, then cut the connection instead of answering
	CutInstead            // cut the connection without the effect
	LateAfter             // let it take effect, and answer nothing for as long as the caller waits: at most a quarter of an hour, as Lambda does
)

// longestInvocation is how long any caller in Lambda can wait for an answer.
const longestInvocation = 15 * time.Minute

// FaultDecision is a fault plan's answer. Delay is waited before anything else happens.
type FaultDecision struct {
	Act     Act
	Code    string // AWS's error code; "" means InternalFailure
	Status  int    // HTTP status; 0 means 500
	Message string
	Delay   time.Duration
}

// Call is the account of one request.
type Call struct {
	Service       string
	Operation     string
	Resource      string // as in FaultRequest
	Caller        string // "" if the caller was not accepted
	Status        int    // HTTP status; 0 if the connection was cut
	RequestBytes  int64  // -1 if unknown
	ResponseBytes int64
	Failure       string // the beginning of an answer of status 500 and above: what went wrong on this machine, a full disk for example
	Duration      time.Duration
}

// Front is an http.Handler for all services. It is safe for concurrent use.
type Front struct {
	config   Config
	verifier *sigv4.Verifier
}

// New returns a Front, or an error that names what the configuration lacks.
func New(c Config) (*Front, error) {
	if c.Region == "" || c.Account == "" || c.Principal == nil || len(c.Services) == 0 {
		return nil, errors.New("awslocal: Services, Principal, Region and Account are required")
	}
	if c.Now == nil {
		c.Now = clock.Real
	}
	for name := range c.Services {
		if _, known := shapes[name]; !known {
			return nil, fmt.Errorf("awslocal: no protocol is known for the service %q", name)
		}
	}
	return &Front{config: c, verifier: sigv4.New(c.Region, c.Now)}, nil
}

// ServeHTTP checks a request, serves it and accounts for it.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := f.config.Now()
	rec := &recorder{ResponseWriter: w}
	call := Call{RequestBytes: r.ContentLength}
	defer func() {
		if f.config.Observe != nil {
			call.Status, call.ResponseBytes, call.Failure = rec.status, rec.bytes, string(rec.failure)
			call.Duration = f.config.Now().Sub(started)
			f.config.Observe(call)
		}
	}()
	f.serve(rec, r, &call, started)
	if rec.status == 0 {
		// A handler that wrote nothing has answered 200; only a cut connection leaves no status.
		rec.status = http.StatusOK
	}
}

func (f *Front) serve(rec *recorder, r *http.Request, call *Call, started time.Time) {
	claim, err := sigv4.Parse(r)
	if err != nil {
		refuse(rec, r, guessShape(r), err)
		return
	}
	shape, known := shapes[claim.Service]
	call.Service = claim.Service
	handler, served := f.config.Services[claim.Service]
	if claim.Service == "sts" && !served {
		handler, served = sts{account: f.config.Account}, true
	}
	if !known || !served {
		refuse(rec, r, guessShape(r), &sigv4.Error{Kind: sigv4.WrongScope,
			Message: fmt.Sprintf("Credential should be scoped to correct service: the service %q is not provided by the local endpoint", claim.Service)})
		return
	}
	var body []byte
	if shape != s3Shape {
		if body, err = io.ReadAll(http.MaxBytesReader(rec.ResponseWriter, r.Body, maxBody)); err != nil {
			shape.refuse(rec, r, &protocol.Error{Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLarge", Message: err.Error()})
			return
		}
		call.RequestBytes = int64(len(body))
	}
	if f.config.Fault != nil || f.config.Observe != nil {
		call.Operation, call.Resource = describe(claim.Service, shape, r, body)
	}
	secret, caller, ok := f.config.Principal(claim.AccessKeyID)
	if !ok {
		refuse(rec, r, shape, &sigv4.Error{Kind: sigv4.UnknownKey, Message: "The security token included in the request is invalid."})
		return
	}
	if err := f.verifier.Check(r, claim, secret, body); err != nil {
		refuse(rec, r, shape, err)
		return
	}
	call.Caller = caller.Name
	if shape != s3Shape {
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
	}
	ctx := context.WithValue(authz.NewContext(r.Context(), caller), callerKey{}, caller.Name)
	r = r.WithContext(ctx)

	var decision FaultDecision
	if f.config.Fault != nil {
		decision = f.config.Fault(FaultRequest{Service: call.Service, Operation: call.Operation, Resource: call.Resource, Caller: caller.Name, Body: body})
	}
	if !wait(ctx, max(decision.Delay, f.config.MinLatency-f.config.Now().Sub(started))) {
		return
	}
	switch decision.Act {
	case Pass:
		handler.ServeHTTP(rec, r)
	case Refuse:
		shape.refuse(rec, r, decision.asError())
	case FailAfter:
		handler.ServeHTTP(&discard{header: http.Header{}}, r)
		shape.refuse(rec, r, decision.asError())
	case CutAfter:
		handler.ServeHTTP(&discard{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case LateAfter:
		handler.ServeHTTP(&discard{header: http.Header{}}, r)
		wait(ctx, longestInvocation)
		panic(http.ErrAbortHandler)
	case CutInstead:
		panic(http.ErrAbortHandler)
	default:
		shape.refuse(rec, r, &protocol.Error{Status: 500, Code: "InternalFailure", Message: fmt.Sprintf("the fault plan asks for the unknown act %d", decision.Act)})
	}
}

func (d FaultDecision) asError() *protocol.Error {
	e := &protocol.Error{Status: d.Status, Code: d.Code, Message: d.Message}
	if e.Status == 0 {
		e.Status = http.StatusInternalServerError
	}
	if e.Code == "" {
		e.Code = "InternalFailure"
	}
	if e.Message == "" {
		e.Message = "a planned fault"
	}
	return e
}

// wait returns false if the caller went away first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

type callerKey struct{}

// recorder counts what the caller is answered.
type recorder struct {
	http.ResponseWriter
	status  int
	bytes   int64
	failure []byte // the beginning of a failure's answer
}

// maxFailure is how much of a failure's answer is kept for the account.
const maxFailure = 1024

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.status >= http.StatusInternalServerError && len(r.failure) < maxFailure {
		r.failure = append(r.failure, b[:min(len(b), maxFailure-len(r.failure))]...)
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection, for handlers that stream.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// discard takes an answer that the caller must not see.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// sts answers GetCallerIdentity, which needs no permission.
type sts struct{ account string }

func (s sts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		protocol.QueryRefusal(w, stsNamespace, protocol.Refuse("MalformedQueryString", "%v", err))
		return
	}
	if action := r.PostForm.Get("Action"); action != "GetCallerIdentity" {
		protocol.QueryRefusal(w, stsNamespace, protocol.Refuse("InvalidAction", "the operation sts:%s is not supported by the local endpoint", action))
		return
	}
	name, _ := r.Context().Value(callerKey{}).(string)
	arn, id := fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", s.account, name, name), "AROALOCAL"+strings.ToUpper(name)+":"+name
	if name == "operator" {
		arn, id = fmt.Sprintf("arn:aws:iam::%s:user/operator", s.account), "AIDALOCALOPERATOR"
	}
	protocol.QueryAnswer(w, stsNamespace, "GetCallerIdentity", struct {
		Arn     string
		UserID  string `xml:"UserId"`
		Account string
	}{arn, id, s.account})
}
