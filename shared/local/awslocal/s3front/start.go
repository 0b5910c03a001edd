package s3front

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Config says how to start the local S3.
type Config struct {
	Binary  string // the program built from infra/local/versitygw
	DataDir string // folder for its data; made if it is missing
	Region  string // "" is us-east-1
	Log     io.Writer
	Now     func() time.Time // nil is time.Now; retention counts from it, real time in the local runner too
}

// child is the running versitygw.
type child struct {
	cmd    *exec.Cmd
	stdin  io.Closer // its end is the child's end
	socket string
	done   chan struct{}
	err    error // after done
}

// Start starts versitygw on a socket of its own and returns when it answers. The context bounds the start only. The caller
// must Close.
func Start(ctx context.Context, cfg Config) (*Gateway, error) {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	secret := make([]byte, 24)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make versitygw's secret: %w", err)
	}
	// The name stays the same over restarts, since versitygw writes it down as the owner of buckets.
	root := aws.Credentials{AccessKeyID: "local-root", SecretAccessKey: hex.EncodeToString(secret)}
	socket, err := socketPath(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	c, err := startChild(cfg, root, socket)
	if err != nil {
		return nil, fmt.Errorf("start versitygw: %w", err)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "unix", socket)
			if err != nil {
				return nil, err
			}
			return patient{c}, nil
		},
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
	}
	g := &Gateway{
		child: c, objects: filepath.Join(cfg.DataDir, "objects"), region: cfg.Region, now: cfg.Now, root: root, forward: transport,
		signer:  v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
		buckets: map[string]Bucket{}, locks: map[string]retention{}, marked: map[string]*sync.Mutex{},
		admin: s3.New(s3.Options{
			Region: cfg.Region, BaseEndpoint: aws.String("http://127.0.0.1"), UsePathStyle: true,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return root, nil }),
			HTTPClient:  &http.Client{Transport: transport},
		}),
	}
	if err := g.ready(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// socketPath is a free path for versitygw's socket: in the data folder, where a new start finds what an old one left, or in a folder
// of its own if that path is longer than the 100 or so bytes that systems allow.
func socketPath(data string) (string, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return "", fmt.Errorf("find the data folder of versitygw: %w", err)
	}
	if path := filepath.Join(data, "socket"); len(path) <= 100 {
		if err := os.MkdirAll(data, 0o700); err != nil {
			return "", fmt.Errorf("make the data folder of versitygw: %w", err)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("remove an old socket of versitygw: %w", err)
		}
		return path, nil
	}
	folder, err := os.MkdirTemp("", "s3-")
	if err != nil {
		return "", fmt.Errorf("make a folder for versitygw's socket: %w", err)
	}
	return filepath.Join(folder, "socket"), nil
}

func startChild(cfg Config, root aws.Credentials, socket string) (*child, error) {
	var tail tailBuffer
	cmd := exec.Command(cfg.Binary, "-listen", socket, "-data", cfg.DataDir, "-region", cfg.Region)
	cmd.Env = []string{"ROOT_ACCESS_KEY=" + root.AccessKeyID, "ROOT_SECRET_KEY=" + root.SecretAccessKey}
	cmd.Stdout = cfg.Log
	cmd.Stderr = io.MultiWriter(cfg.Log, &tail)
	// Its own group: an interrupt at the terminal must not end it before those who still write.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, stdin: stdin, socket: socket, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		if err := cmd.Wait(); err != nil {
			c.err = fmt.Errorf("versitygw ended: %w: %s", err, tail.String())
		}
	}()
	return c, nil
}

// ready waits until the child answers a signed request.
func (g *Gateway) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		probe, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/", nil)
		if err != nil {
			return fmt.Errorf("ask versitygw: %w", err)
		}
		resp, err := g.send(probe)
		if err == nil {
			status := resp.StatusCode
			if err := resp.Body.Close(); err != nil {
				return fmt.Errorf("ask versitygw: %w", err)
			}
			if status == http.StatusOK {
				return nil
			}
			return fmt.Errorf("versitygw answers %d to its own root credentials", status)
		}
		select {
		case <-g.child.done:
			return fmt.Errorf("versitygw did not start: %w", g.child.err)
		case <-ctx.Done():
			return fmt.Errorf("versitygw did not start in time: %w", err)
		case <-tick.C:
		}
	}
}

// PID is the process id of versitygw.
func (g *Gateway) PID() int { return g.child.cmd.Process.Pid }

// Done is closed when versitygw has ended, for whatever reason. Requests are answered with 503 from then on.
func (g *Gateway) Done() <-chan struct{} { return g.child.done }

// Close ends versitygw and waits for its end. It may be called again.
func (g *Gateway) Close() error {
	if err := g.child.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("end versitygw: %w", err)
	}
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-g.child.done:
	case <-timer.C:
		if err := g.child.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("kill versitygw: %w", err)
		}
		<-g.child.done
	}
	if err := os.Remove(g.child.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove versitygw's socket: %w", err)
	}
	return nil
}

// EnsureBucket makes the bucket if it is missing, configures it, and takes over its policy and key. It must be called for
// each bucket after each start: policies live in the template, not here.
func (g *Gateway) EnsureBucket(ctx context.Context, b Bucket) error {
	_, err := g.admin.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b.Name, ObjectLockEnabledForBucket: aws.Bool(b.Lock)})
	if code := codeOf(err); err != nil && code != "BucketAlreadyOwnedByYou" && code != "BucketAlreadyExists" {
		return fmt.Errorf("make bucket %s: %w", b.Name, err)
	}
	if b.Versioned && !b.Lock {
		if _, err := g.admin.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: &b.Name,
			VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}); err != nil {
			return fmt.Errorf("version bucket %s: %w", b.Name, err)
		}
	}
	if b.Lock && b.LockMode != "" {
		if _, err := g.admin.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{Bucket: &b.Name,
			ObjectLockConfiguration: &types.ObjectLockConfiguration{
				ObjectLockEnabled: types.ObjectLockEnabledEnabled,
				Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{
					Mode: types.ObjectLockRetentionMode(b.LockMode), Days: aws.Int32(b.LockDays)}},
			}}); err != nil {
			return fmt.Errorf("lock bucket %s: %w", b.Name, err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buckets[b.Name] = b
	delete(g.locks, b.Name)
	return nil
}

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	if over := t.b.Len() - 2048; over > 0 {
		t.b.Next(over)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b.Bytes()))
}
