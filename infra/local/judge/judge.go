// Package judge holds the local AWS endpoints against implementations that other people wrote: moto and ministack, and AWS's own
// DynamoDB Local. It starts and ends those programs, sends generated operations to them and to ours side by side, and keeps the table of
// every difference that is known, with its reason; a difference that nobody explained fails. It must not change an endpoint to please a
// judge: AWS's documentation decides, and where a judge is wrong the table says so.
package judge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Names of the judges.
const (
	Moto          = "moto"
	Ministack     = "ministack"
	DynamoDBLocal = "dynamodblocal"
)

// Folder is the environment's name for the folder into which infra/ci/judge.sh has installed the judges.
const Folder = "WECOMVAULT_JUDGES"

// ErrNotInstalled says that a judge is not in the folder.
var ErrNotInstalled = errors.New("not installed")

// Judge is a running judge.
type Judge struct {
	Name string
	URL  string // its one address for all of its services

	process *exec.Cmd
	ended   chan struct{}
}

// Start starts a judge out of a folder that infra/ci/judge.sh filled, with its state in scratch, and waits until it answers. The error
// is ErrNotInstalled if the folder has none.
func Start(ctx context.Context, folder, name, scratch string) (*Judge, error) {
	home := filepath.Join(folder, name)
	if _, err := os.Stat(filepath.Join(home, "installed")); err != nil {
		return nil, fmt.Errorf("the judge %s in %s: %w", name, folder, ErrNotInstalled)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	var c *exec.Cmd
	switch name {
	case Moto:
		c = exec.Command(filepath.Join(home, "bin", "moto_server"), "-H", "127.0.0.1", "-p", port) // #nosec G204 -- the folder is the operator's own
	case Ministack:
		c = exec.Command(filepath.Join(home, "bin", "ministack")) // #nosec G204 -- as above
	case DynamoDBLocal:
		c = exec.Command("java", "-Xmx512m", "-Djava.library.path="+home, "-cp", filepath.Join(home, "*"), // #nosec G204 -- as above
			"com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-sharedDb", "-disableTelemetry", "-port", port)
	default:
		return nil, fmt.Errorf("there is no judge %q", name)
	}
	out, err := os.Create(filepath.Join(scratch, name+".log")) // #nosec G304 -- a test's own folder
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.Dir, c.Stdout, c.Stderr = scratch, out, out
	// The keys are words: none of these programs checks a signature.
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + scratch, "GATEWAY_PORT=" + port, "MINISTACK_HOST=127.0.0.1", "BIND_HOST=127.0.0.1", "PERSIST_STATE=0",
		"AWS_ACCESS_KEY_ID=judge", "AWS_SECRET_ACCESS_KEY=judge", "AWS_DEFAULT_REGION=us-east-1", "MINISTACK_ACCOUNT_ID=000000000000", "MOTO_ACCOUNT_ID=000000000000"}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = c.Start()
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	j := &Judge{Name: name, URL: "http://127.0.0.1:" + port, process: c, ended: make(chan struct{})}
	go func() {
		// How it ended is in its log; that it ended is all that counts here.
		_ = c.Wait()
		close(j.ended)
	}()
	if err := j.answers(ctx); err != nil {
		log, _ := os.ReadFile(out.Name()) // what can't be read adds nothing
		return nil, errors.Join(fmt.Errorf("%w; its log:\n%s", err, log), j.Close())
	}
	return j, nil
}

// answers waits until the judge answers anything at all over HTTP.
func (j *Judge) answers(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.URL, http.NoBody)
		if err != nil {
			return fmt.Errorf("ask %s: %w", j.Name, err)
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			return answer.Body.Close()
		}
		select {
		case <-tick.C:
		case <-j.ended:
			return fmt.Errorf("%s has ended by itself", j.Name)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", j.Name, ctx.Err())
		case <-end:
			return fmt.Errorf("%s does not answer within a minute", j.Name)
		}
	}
}

// Close ends the judge and waits for its end.
func (j *Judge) Close() error {
	if err := syscall.Kill(-j.process.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end %s: %w", j.Name, err)
	}
	<-j.ended
	return nil
}

func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	if err := l.Close(); err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}
