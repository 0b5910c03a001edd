package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/clock"
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
)

const (
	region  = "us-east-1"
	account = "000000000000"
)

// wiring says what to start and how the template's parameters differ from their defaults.
type wiring struct {
	data     string // absolute
	listen   string // address of the AWS endpoint
	template string
	binaries string // folder of the built programs
	params   map[string]string
}

// house is the whole of AWS that the product needs, on this machine: the endpoints with their state, and the host that runs the functions.
type house struct {
	wiring
	db       *bbolt.DB
	template *template.Template
	queues   *sqs.Service
	mails    *ses.Service
	objects  *s3front.Gateway
	host     *lambdahost.Host
	server   *http.Server
	served   chan error
	endpoint string
	keys     map[string]accessKey // by logical id; "operator" is the operator's
	log      io.WriteCloser
	ahead    atomic.Int64 // nanoseconds by which the played time is ahead of real time
}

type accessKey struct{ ID, Secret string }

// operator is the caller that may do everything: the person at the keyboard.
const operator = "operator"

// open starts the endpoints over a data folder and makes what the template names. Functions run from start on.
func open(ctx context.Context, w wiring) (h *house, err error) {
	h = &house{wiring: w, keys: map[string]accessKey{}, served: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
			h = nil
		}
	}()
	if h.db, err = store.Open(filepath.Join(w.data, "aws.db")); err != nil {
		return h, err
	}
	if err := h.readOffset(); err != nil {
		return h, err
	}
	listener, err := awslocal.Listen(w.listen)
	if err != nil {
		return h, fmt.Errorf("-listen %s: %w", w.listen, err)
	}
	h.endpoint = "http://" + listener.Addr().String()
	// This program's own clock follows the file too.
	if err := errors.Join(os.Setenv(clock.FileVariable, h.clockFile()), os.Setenv("AWS_ENDPOINT_URL", h.endpoint)); err != nil {
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

func (h *house) prepare(ctx context.Context, listener net.Listener) error {
	params := map[string]string{template.Region: region, template.AccountID: account, template.Endpoint: h.endpoint}
	for k, v := range h.params {
		params[k] = v
	}
	var err error
	if h.template, err = template.Load(h.wiring.template, params); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(h.data, "logs"), 0o700); err != nil {
		return fmt.Errorf("make the folder for logs: %w", err)
	}
	if h.log, err = os.OpenFile(filepath.Join(h.data, "logs", "endpoints.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	if err := h.serve(ctx, listener); err != nil {
		return err
	}
	root := h.keys[operator]
	err = stack.Create(ctx, stack.Options{
		Template: h.template, Endpoint: h.endpoint, AccessKey: root.ID, Secret: root.Secret, Buckets: h.objects, Mail: h.mails,
	})
	if err != nil {
		return fmt.Errorf("make what the template names: %w", err)
	}
	if err := h.mails.Verify(h.template.Parameters["MailFrom"]); err != nil {
		return err
	}
	// A receipt handle of the last run is nobody's any more.
	return h.queues.ReleaseInFlight()
}

// serve makes the services and begins to answer.
func (h *house) serve(ctx context.Context, listener net.Listener) error {
	callers, err := stack.Callers(h.template)
	if err != nil {
		return err
	}
	callers[operator] = authz.Everything(operator)
	byID := map[string]string{}
	for name := range callers {
		k, err := newKey()
		if err != nil {
			return err
		}
		h.keys[name], byID[k.ID] = k, name
	}
	tables, err := ddb.New(h.db, region, account, nil)
	if err != nil {
		return err
	}
	if h.queues, err = sqs.New(h.db, region, account, clock.Real); err != nil {
		return err
	}
	if h.mails, err = ses.New(h.db, region, account, h.now); err != nil {
		return err
	}
	vault, err := secrets.New(h.db, region, account, h.now)
	if err != nil {
		return err
	}
	h.objects, err = s3front.Start(ctx, s3front.Config{Binary: h.program("versitygw"), DataDir: filepath.Join(h.data, "s3"), Region: region, Log: h.log, Now: clock.Real})
	if err != nil {
		return err
	}
	h.host, err = lambdahost.New(lambdahost.Options{
		Template: h.template, Endpoint: h.endpoint, ClockFile: h.clockFile(), Now: h.now,
		Binary: func(f template.Function) string {
			return filepath.Join(h.binaries, "functions", strings.TrimPrefix(f.Name, h.template.StackName+"-"), "bootstrap")
		},
		Credentials: func(id string) (string, string) { k := h.keys[id]; return k.ID, k.Secret },
		Logs:        filepath.Join(h.data, "logs"), Temporary: filepath.Join(h.data, "tmp"),
		Log: slog.New(slog.NewTextHandler(h.log, nil)),
	})
	if err != nil {
		return err
	}
	front, err := awslocal.New(awslocal.Config{
		Services: map[string]http.Handler{"dynamodb": tables, "sqs": h.queues, "ses": h.mails, "secretsmanager": vault, "s3": h.objects, "lambda": h.host},
		Principal: func(id string) (string, *authz.Caller, bool) {
			name, ok := byID[id]
			if !ok {
				return "", nil, false
			}
			return h.keys[name].Secret, callers[name], true
		},
		Region: region, Account: account, MinLatency: 150 * time.Microsecond,
	})
	if err != nil {
		return err
	}
	h.server = &http.Server{Handler: front, ReadHeaderTimeout: 10 * time.Second}
	go func() { h.served <- h.server.Serve(listener) }()
	return nil
}

// start begins to run functions for what is in their queues.
func (h *house) start() error { return h.host.Start(false) }

// close ends everything and leaves the data as it is.
func (h *house) close() error {
	var errs []error
	if h.host != nil {
		errs = append(errs, h.host.Close())
	}
	if h.queues != nil {
		h.queues.Close()
	}
	if h.server != nil {
		errs = append(errs, h.server.Close())
		if err := <-h.served; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	if h.objects != nil {
		errs = append(errs, h.objects.Close())
	}
	if h.db != nil {
		errs = append(errs, h.db.Close())
	}
	if h.log != nil {
		errs = append(errs, h.log.Close())
	}
	return errors.Join(errs...)
}

func (h *house) program(name string) string { return filepath.Join(h.binaries, "local", name) }
func (h *house) clockFile() string          { return filepath.Join(h.data, "clock") }

// environment is what a program needs to reach the local archive as its operator.
func (h *house) environment() map[string]string {
	env := map[string]string{
		"AWS_ENDPOINT_URL": h.endpoint, "AWS_REGION": region, "AWS_ACCESS_KEY_ID": h.keys[operator].ID, "AWS_SECRET_ACCESS_KEY": h.keys[operator].Secret,
		clock.FileVariable: h.clockFile(), "SECRETS_PREFIX": h.template.Parameters["SecretsPrefix"],
		"REDRIVE_QUEUE_URL": h.template.Outputs["RedriveQueueUrl"], "FSCK_FUNCTION": h.template.Outputs["FsckFunction"],
		"MESSAGE_WINDOW": h.template.Parameters["MessageWindow"], "MEDIA_WINDOW": h.template.Parameters["MediaWindow"],
	}
	for variable, output := range map[string]string{
		"CONTROL_TABLE": "ControlTable", "MESSAGES_TABLE": "MessagesTable", "DIRECTORY_TABLE": "DirectoryTable", "AUDIT_TABLE": "AuditTable", "ARCHIVE_BUCKET": "ArchiveBucket",
		"SECRETS_KEY_ARN": "SecretsKeyArn",
	} {
		env[variable] = h.template.Outputs[output]
	}
	return env
}

func newKey() (accessKey, error) {
	var b [28]byte
	if _, err := rand.Read(b[:]); err != nil {
		return accessKey{}, fmt.Errorf("make an access key: %w", err)
	}
	return accessKey{ID: "AKLOCAL" + strings.ToUpper(hex.EncodeToString(b[:6])), Secret: hex.EncodeToString(b[6:])}, nil
}

// child is a program that the house runs beside the functions.
type child struct {
	cmd    *exec.Cmd
	input  io.Closer
	ended  chan struct{}
	failed error // after ended
}

// spawn starts a program whose first line on stdout ends with its address, and returns it. It ends with its standard input.
func spawn(ctx context.Context, log *os.File, path string, args ...string) (*child, string, error) {
	cmd := exec.Command(path, args...) // #nosec G204 -- a program of ours
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s, which make build makes: %w", filepath.Base(path), err)
	}
	c := &child{cmd: cmd, input: in, ended: make(chan struct{})}
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		line, err := r.ReadString('\n')
		if err == nil {
			first <- strings.TrimSpace(line)
		}
		_, copied := io.Copy(log, r)
		c.failed = errors.Join(cmd.Wait(), copied)
		close(c.ended)
	}()
	select {
	case line := <-first:
		fields := strings.Fields(line)
		return c, fields[len(fields)-1], nil
	case <-c.ended:
		if said := lastLine(log); said != "" {
			return nil, "", errors.New(said)
		}
		return nil, "", fmt.Errorf("%s ended at once and said nothing: %w", filepath.Base(path), c.failed)
	case <-ctx.Done():
		return nil, "", errors.Join(ctx.Err(), c.close())
	}
}

// lastLine is the last line of a log, where a program that ended says why.
func lastLine(log *os.File) string {
	const longest = 4 << 10
	info, err := log.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, min(info.Size(), longest))
	if _, err := log.ReadAt(b, info.Size()-int64(len(b))); err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// close ends the child and waits for it.
func (c *child) close() error {
	if err := c.input.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	select {
	case <-c.ended:
		return nil
	case <-time.After(5 * time.Second):
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-c.ended
	return nil
}

// now is the time of events: real time plus what the played days are ahead.
func (h *house) now() time.Time { return clock.Real().UTC().Add(time.Duration(h.ahead.Load())) }

// readOffset takes up the clock where the last run left it.
func (h *house) readOffset() error {
	text, err := os.ReadFile(h.clockFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the played time: %w", err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return fmt.Errorf("%s holds no number, so the time of the played days is lost: put the file back from a copy, or begin anew in another folder with -data", h.clockFile())
	}
	h.ahead.Store(ns)
	return nil
}

// setOffset moves the clock. Written whole, since functions read it at any moment.
func (h *house) setOffset(d time.Duration) error {
	temporary := h.clockFile() + ".new"
	if err := os.WriteFile(temporary, []byte(strconv.FormatInt(int64(d), 10)+"\n"), 0o600); err != nil {
		return fmt.Errorf("move the clock: %w", err)
	}
	if err := os.Rename(temporary, h.clockFile()); err != nil {
		return fmt.Errorf("move the clock: %w", err)
	}
	h.ahead.Store(int64(d))
	return nil
}
