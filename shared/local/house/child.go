package house

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Child is a program that the house runs beside the functions.
type Child struct {
	cmd    *exec.Cmd
	input  io.Closer
	ended  chan struct{}
	failed error // after ended
}

// Spawn starts a program whose first line on stdout ends with its address, and returns it. It ends with its standard input.
func Spawn(ctx context.Context, log *os.File, path string, args ...string) (*Child, string, error) {
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
	c := &Child{cmd: cmd, input: in, ended: make(chan struct{})}
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
		return nil, "", errors.Join(ctx.Err(), c.Close())
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

// Close ends the child and waits for it.
func (c *Child) Close() error {
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

// PID is the process id of the child.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Ended is closed once the child has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Simulator starts the simulated WeCom over a data folder and returns its address.
func Simulator(ctx context.Context, binaries, data string) (*Child, string, error) {
	if err := os.MkdirAll(filepath.Join(data, "logs"), 0o700); err != nil {
		return nil, "", fmt.Errorf("make the folder for logs: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(data, "logs", "wecomsim.log"), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the user names the folder
	if err != nil {
		return nil, "", fmt.Errorf("open the simulator's log: %w", err)
	}
	c, url, err := Spawn(ctx, log, filepath.Join(binaries, "local", "wecomsim"), "-data", filepath.Join(data, "wecomsim.db"), "-until-eof")
	if err != nil {
		return nil, "", fmt.Errorf("the simulated WeCom does not start: %w. If its file is damaged, put it back from a copy, or begin anew in another folder with -data", err)
	}
	return c, url, nil
}
