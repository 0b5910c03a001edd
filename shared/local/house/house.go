// Package house is the whole product on one machine: the AWS endpoints with their state, the host that runs the unmodified function binaries, and
// the programs beside them. Everything is wired by template.yaml. What is played in it - a demonstration, a fault, a measurement - is the caller's;
// it knows nothing of days, stories or accounts.
package house

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/secrets"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/store"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	"github.com/wecomvault/wecomvault/shared/local/stack"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/sdkbody"
)

// Region and Account are where everything on this machine lives.
const (
	Region  = "us-east-1"
	Account = "000000000000"
)

// Options say what to start and how the template's parameters differ from their defaults. Data, Template and Binaries are required.
type Options struct {
	Data     string // the folder that keeps everything, absolute; it is the caller's to lock
	Listen   string // address of the AWS endpoint; "" takes a free port of the loopback
	API      string // address of the template's HTTP APIs, with an issuer of tokens for the one below it; "" for none, port 0 for any
	Template string // path of template.yaml
	Binaries string // folder of the built programs, as make build lays it out
	Params   map[string]string

	// Fault and Observe see each call of the endpoints, as awslocal.Config has them; Meter is told the units of each DynamoDB request, and Ran of
	// each invocation. They may be nil, and are called from many goroutines at once.
	Fault   func(awslocal.FaultRequest) awslocal.FaultDecision
	Observe func(awslocal.Call)
	Meter   func(operation, table string, write, read float64)
	Ran     func(lambdahost.Ran)
	// NoSync leaves out the disk's part in each commit: faster, and good for measurements and for data that nobody wants to keep.
	NoSync bool
	// Apart is by how much the clock of every second function process is ahead of the others'; 0: all see the same time.
	Apart time.Duration
	// Guide has mails link the guide where the API shows it here. Else they link the address that AWS would give, so that two runs' mails are alike.
	Guide bool
}

// House is the whole of AWS that the product needs, on this machine: the endpoints with their state, and the host that runs the functions.
type House struct {
	Options
	Template *template.Template
	Queues   *sqs.Service
	Mails    *ses.Service
	Objects  *s3front.Gateway
	Host     *lambdahost.Host
	Endpoint string         // of all AWS services
	Log      io.WriteCloser // of the endpoints and of what runs beside them

	db     *bbolt.DB
	server *http.Server
	served chan error
	keys   map[string]AccessKey // by logical id, and Operator's
	api    *api                 // nil: there is none
	ahead  atomic.Int64         // nanoseconds by which the played time is ahead of real time

	deployed atomic.Pointer[string] // folder of the functions that Deploy named last
}

// AccessKey is what a caller signs with. It is made anew each time the house is opened.
type AccessKey struct{ ID, Secret string }

// Operator is the caller that may do everything: the person at the keyboard.
const Operator = "Operator"

// Open starts the endpoints over a data folder and makes what the template names. Functions run from Start on.
func Open(ctx context.Context, o Options) (h *House, err error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	h = &House{Options: o, keys: map[string]AccessKey{}, served: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
			h = nil
		}
	}()
	if h.db, err = store.Open(filepath.Join(o.Data, "aws.db")); err != nil {
		return h, err
	}
	h.db.NoSync = o.NoSync
	if err := h.readOffset(); err != nil {
		return h, err
	}
	listener, err := awslocal.Listen(o.Listen)
	if err != nil {
		return h, fmt.Errorf("-listen %s: %w", o.Listen, err)
	}
	h.Endpoint = "http://" + listener.Addr().String()
	// This program's own clock follows the file too.
	if err := errors.Join(os.Setenv(clock.FileVariable, h.ClockFile()), os.Setenv("AWS_ENDPOINT_URL", h.Endpoint)); err != nil {
		return h, err
	}
	if err := h.prepare(ctx, listener); err != nil {
		return h, errors.Join(err, ignoreClosed(listener.Close()))
	}
	return h, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (h *House) prepare(ctx context.Context, listener net.Listener) error {
	params := map[string]string{template.Region: Region, template.AccountID: Account, template.Endpoint: h.Endpoint}
	maps.Copy(params, h.Params)
	err := h.listenAPI()
	if err != nil {
		return err
	}
	maps.Copy(params, h.apiParameters())
	if h.Template, err = template.Load(h.Options.Template, params); err != nil {
		return err
	}
	h.nameAPI(h.Template)
	if err := os.MkdirAll(filepath.Join(h.Data, "logs"), 0o700); err != nil {
		return fmt.Errorf("make the folder for logs: %w", err)
	}
	if h.Log, err = os.OpenFile(filepath.Join(h.Data, "logs", "endpoints.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	if err := h.serve(ctx, listener); err != nil {
		return err
	}
	root := h.keys[Operator]
	err = stack.Create(ctx, stack.Options{
		Template: h.Template, Endpoint: h.Endpoint, AccessKey: root.ID, Secret: root.Secret, Buckets: h.Objects, Mail: h.Mails, Deliver: h.Queues.Deliver,
	})
	if err != nil {
		return fmt.Errorf("make what the template names: %w", err)
	}
	if err := h.Mails.Verify(h.Template.Parameters["MailFrom"]); err != nil {
		return err
	}
	// A receipt handle of the last run is nobody's any more.
	return h.Queues.ReleaseInFlight()
}

// serve makes the services and begins to answer.
func (h *House) serve(ctx context.Context, listener net.Listener) error {
	callers, err := stack.Callers(h.Template)
	if err != nil {
		return err
	}
	callers[Operator] = authz.Everything(Operator)
	byID := map[string]string{}
	for name := range callers {
		k, err := newKey()
		if err != nil {
			return err
		}
		h.keys[name], byID[k.ID] = k, name
	}
	tables, err := ddb.New(h.db, Region, Account, h.Meter)
	if err != nil {
		return err
	}
	if h.Queues, err = sqs.New(h.db, Region, Account, clock.Real); err != nil {
		return err
	}
	if h.Mails, err = ses.New(h.db, Region, Account, h.Now); err != nil {
		return err
	}
	vault, err := secrets.New(h.db, Region, Account, h.Now)
	if err != nil {
		return err
	}
	h.Objects, err = s3front.Start(ctx, s3front.Config{Binary: h.Program("versitygw"), DataDir: filepath.Join(h.Data, "s3"), Region: Region, Log: h.Log, Now: clock.Real})
	if err != nil {
		return err
	}
	h.Host, err = lambdahost.New(lambdahost.Options{
		Template: h.Template, Endpoint: h.Endpoint, ClockFile: h.ClockFile(), OtherClockFile: h.otherClockFile(), Now: h.Now,
		Binary:      h.bootstrap,
		Credentials: func(id string) (string, string) { k := h.keys[id]; return k.ID, k.Secret },
		Logs:        filepath.Join(h.Data, "logs"), Temporary: filepath.Join(h.Data, "tmp"),
		Log: slog.New(slog.NewTextHandler(h.Log, nil)), Ran: h.Ran,
	})
	if err != nil {
		return err
	}
	front, err := awslocal.New(awslocal.Config{
		Services: map[string]http.Handler{"dynamodb": tables, "sqs": h.Queues, "ses": h.Mails, "secretsmanager": vault, "s3": h.Objects, "lambda": h.Host},
		Principal: func(id string) (string, *authz.Caller, bool) {
			name, ok := byID[id]
			if !ok {
				return "", nil, false
			}
			return h.keys[name].Secret, callers[name], true
		},
		Region: Region, Account: Account, Fault: h.Fault, Observe: h.Observe, MinLatency: 150 * time.Microsecond,
	})
	if err != nil {
		return err
	}
	h.server = &http.Server{Handler: front, ReadHeaderTimeout: 10 * time.Second}
	go func() { h.served <- h.server.Serve(listener) }()
	return h.serveAPI()
}

// Start begins to run functions for what is in their queues.
func (h *House) Start() error { return h.Host.Start(false) }

// Close ends everything and leaves the data as it is.
func (h *House) Close() error {
	errs := []error{h.api.close()}
	if h.Host != nil {
		errs = append(errs, h.Host.Close())
	}
	if h.Queues != nil {
		h.Queues.Close()
	}
	if h.server != nil {
		errs = append(errs, h.server.Close())
		if err := <-h.served; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	if h.Objects != nil {
		errs = append(errs, h.Objects.Close())
	}
	if h.db != nil {
		errs = append(errs, h.db.Close())
	}
	if h.Log != nil {
		errs = append(errs, h.Log.Close())
	}
	return errors.Join(errs...)
}

// Program is the path of one of the built programs that are no functions.
func (h *House) Program(name string) string { return filepath.Join(h.Binaries, "local", name) }

// ClockFile names the file by which every process follows the played time.
func (h *House) ClockFile() string { return filepath.Join(h.Data, "clock") }

// Key is what a caller signs with: a function's logical id, or Operator.
func (h *House) Key(caller string) AccessKey { return h.keys[caller] }

// Config is an SDK configuration with the key of a caller.
func (h *House) Config(caller string) aws.Config {
	k := h.keys[caller]
	return aws.Config{
		Region: Region, BaseEndpoint: &h.Endpoint, Credentials: credentials.NewStaticCredentialsProvider(k.ID, k.Secret, ""),
		// What config.LoadDefaultConfig sets; a bare Config leaves both unset.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		APIOptions: []func(*middleware.Stack) error{sdkbody.Plain}, // as functions have it
	}
}

// Tables are the four tables of the ledger.
func (h *House) Tables() ledger.Tables {
	out := h.Template.Outputs
	return ledger.Tables{Control: out["ControlTable"], Messages: out["MessagesTable"], Directory: out["DirectoryTable"], Audit: out["AuditTable"]}
}

// Ledger reads the archive's ledger as the operator.
func (h *House) Ledger() *ledger.Ledger {
	return ledger.New(dynamodb.NewFromConfig(h.Config(Operator)), h.Tables())
}

// Environment is what a program needs to reach the local archive as its operator.
func (h *House) Environment() map[string]string {
	env := map[string]string{
		"AWS_ENDPOINT_URL": h.Endpoint, "AWS_REGION": Region, "AWS_ACCESS_KEY_ID": h.keys[Operator].ID, "AWS_SECRET_ACCESS_KEY": h.keys[Operator].Secret,
		clock.FileVariable: h.ClockFile(),
		"MESSAGE_WINDOW":   h.Template.Parameters["MessageWindow"], "MEDIA_WINDOW": h.Template.Parameters["MediaWindow"],
		// What holds the library for replay from batches: on AWS the operator names a copy.
		"SDK_HOST": h.Template.Parameters["SdkHost"], "SDK_LIB": h.Template.Parameters["SdkLib"],
	}
	for name, value := range h.Template.Outputs {
		env[variable(name)] = value
	}
	return env
}

// variable is an output's name as an environment variable: ArchiveBucket becomes ARCHIVE_BUCKET.
func variable(output string) string {
	var name []rune
	for i, r := range output {
		if i > 0 && unicode.IsUpper(r) {
			name = append(name, '_')
		}
		name = append(name, unicode.ToUpper(r))
	}
	return string(name)
}

func newKey() (AccessKey, error) {
	var b [28]byte
	if _, err := rand.Read(b[:]); err != nil {
		return AccessKey{}, fmt.Errorf("make an access key: %w", err)
	}
	return AccessKey{ID: "AKLOCAL" + strings.ToUpper(hex.EncodeToString(b[:6])), Secret: hex.EncodeToString(b[6:])}, nil
}

// Windows is how long WeCom is taken to keep things, as the template has it.
func (h *House) Windows() ledger.Windows {
	var w ledger.Windows
	for name, into := range map[string]*time.Duration{"MessageWindow": &w.Messages, "MediaWindow": &w.Media} {
		if d, err := time.ParseDuration(h.Template.Parameters[name]); err == nil {
			*into = d
		}
	}
	return w
}
