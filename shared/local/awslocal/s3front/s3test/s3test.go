// Package s3test gives tests a local S3 of their own: a versitygw child behind s3front, served on the loopback to the SDK's real
// client through awslocal's front, so that signatures are checked and faults can be planned. It must not be used outside tests.
package s3test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/elsewhere"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
)

// AccessKey and Secret are the caller's, for tests that sign their requests themselves.
const (
	AccessKey = "AKIDTEST"
	Secret    = "secret-of-the-test"
)

const region = "us-east-1"

// Env is a running local S3.
type Env struct {
	URL    string     // base address, path style
	Client *s3.Client // calls as Caller

	t      testing.TB
	cfg    s3front.Config
	mu     sync.Mutex
	gw     *s3front.Gateway
	caller *authz.Caller
	fault  func(awslocal.FaultRequest) awslocal.FaultDecision
	known  []s3front.Bucket
}

// Start starts a local S3 over a fresh folder with the given buckets; the test's end ends it. The caller may do everything
// until SetCaller. The configuration needs no Binary and no DataDir.
func Start(t testing.TB, cfg s3front.Config, buckets ...s3front.Bucket) *Env {
	t.Helper()
	cfg.Binary = Binary(t)
	if cfg.DataDir == "" {
		cfg.DataDir = filepath.Join(t.TempDir(), "s3")
	}
	if cfg.Log == nil {
		cfg.Log = testLog{t}
	}
	e := &Env{t: t, cfg: cfg, caller: authz.Everything("operator"), known: buckets}
	e.start()
	t.Cleanup(func() {
		if err := e.Gateway().Close(); err != nil {
			t.Errorf("close the local S3: %v", err)
		}
	})
	// Elsewhere buckets outlive a test: each test's have names of their own there.
	unique := "-" + strings.ToLower(rand.Text()[:10])
	away, err := elsewhere.FromEnvironment("s3", region, func(path string) string {
		bucket, key, below := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if bucket == "" || !below {
			return "/" + bucket + unique
		}
		return "/" + bucket + unique + "/" + key
	}, clock.Real)
	if err != nil {
		t.Fatal(err)
	}
	service := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.Gateway().ServeHTTP(w, r) }))
	if away != nil {
		service = away
	}
	front, err := awslocal.New(awslocal.Config{
		Services: map[string]http.Handler{"s3": service},
		Principal: func(key string) (string, *authz.Caller, bool) {
			e.mu.Lock()
			defer e.mu.Unlock()
			return Secret, e.caller, key == AccessKey
		},
		Region: region, Account: "000000000000",
		Fault: func(r awslocal.FaultRequest) awslocal.FaultDecision {
			e.mu.Lock()
			fault := e.fault
			e.mu.Unlock()
			if fault == nil {
				return awslocal.FaultDecision{}
			}
			return fault(r)
		},
	})
	if err != nil {
		t.Fatalf("start the local S3: %v", err)
	}
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	e.URL = server.URL
	e.Client = s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(server.URL), UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: Secret}, nil
		}),
		// The SDK's own number of tries, without its pauses of up to 20 s.
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 10 * time.Millisecond }),
	})
	if away != nil {
		for _, b := range buckets {
			e.make(b)
		}
	}
	return e
}

// make makes a bucket through the client, for an S3 that is elsewhere.
func (e *Env) make(b s3front.Bucket) {
	e.t.Helper()
	ctx := e.t.Context()
	_, err := e.Client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b.Name, ObjectLockEnabledForBucket: aws.Bool(b.Lock)})
	if err == nil && b.Versioned && !b.Lock {
		_, err = e.Client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: &b.Name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	}
	if err == nil && b.Lock && b.LockMode != "" {
		_, err = e.Client.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{Bucket: &b.Name, ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled,
			Rule:              &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionMode(b.LockMode), Days: aws.Int32(b.LockDays)}}}})
	}
	if err != nil {
		e.t.Fatalf("make a bucket: %v", err)
	}
}

// Gateway is the gateway behind the front.
func (e *Env) Gateway() *s3front.Gateway {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gw
}

// SetCaller makes all further requests come from the caller.
func (e *Env) SetCaller(c *authz.Caller) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.caller = c
}

// SetFault plans faults for all further requests; nil plans none.
func (e *Env) SetFault(plan func(awslocal.FaultRequest) awslocal.FaultDecision) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = plan
}

// KillAndRestart ends versitygw by SIGKILL, wherever it is, and starts it again over the same folder. meanwhile runs while it is
// dead; nil is nothing.
func (e *Env) KillAndRestart(meanwhile func()) {
	e.t.Helper()
	gw := e.Gateway()
	if err := syscall.Kill(gw.PID(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		e.t.Fatalf("kill versitygw: %v", err)
	}
	<-gw.Done()
	if err := gw.Close(); err != nil {
		e.t.Fatalf("close the local S3: %v", err)
	}
	if meanwhile != nil {
		meanwhile()
	}
	e.start()
}

func (e *Env) start() {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	gw, err := s3front.Start(ctx, e.cfg)
	if err != nil {
		e.t.Fatalf("start the local S3: %v", err)
	}
	for _, b := range e.known {
		if err := gw.EnsureBucket(ctx, b); err != nil {
			e.t.Fatalf("make a bucket: %v", errors.Join(err, gw.Close()))
		}
	}
	e.mu.Lock()
	e.gw = gw
	e.mu.Unlock()
}

// Binary is the path of the versitygw program: WECOMVAULT_VERSITYGW if it is set, else .local/bin/versitygw of the repository,
// built if it is missing or older than its source. Without a way to build it the test is skipped, in CI failed.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("WECOMVAULT_VERSITYGW"); path != "" {
		return path
	}
	source := sourceFolder(t)
	path := filepath.Join(source, "..", "..", "..", ".local", "bin", "versitygw")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatalf("make a folder for versitygw: %v", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatalf("lock the build of versitygw: %v", err)
	}
	defer func() {
		if err := lock.Close(); err != nil {
			t.Errorf("unlock the build of versitygw: %v", err)
		}
	}()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("lock the build of versitygw: %v", err)
	}
	if isFresh(path, source) {
		return path
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, ".")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("build versitygw: %v\n%s", err, out)
		}
		t.Skipf("versitygw can't be built: %v\n%s", err, out)
	}
	return path
}

// sourceFolder is infra/local/versitygw, found from the working directory upwards.
func sourceFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("find the repository: %v", err)
	}
	for {
		source := filepath.Join(dir, "infra", "local", "versitygw")
		if _, err := os.Stat(filepath.Join(source, "go.mod")); err == nil {
			return source
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("infra/local/versitygw is not above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

func isFresh(path, source string) bool {
	built, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		if s, err := os.Stat(filepath.Join(source, name)); err != nil || s.ModTime().After(built.ModTime()) {
			return false
		}
	}
	return true
}

// testLog writes what versitygw says into the test's log.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("versitygw: %s", p)
	return len(p), nil
}

// Dir is the folder that versitygw keeps the objects and its own notes in.
func (e *Env) Dir() string { return e.cfg.DataDir }
