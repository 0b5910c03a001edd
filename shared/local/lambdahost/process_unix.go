//go:build linux || darwin

package lambdahost

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is a started bootstrap: the leader of a process group of its own.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once it was waited for
	state  error         // what Wait said; read after exited
	output *os.File
	mu     sync.Mutex
	frozen bool
}

// spawner starts processes from one operating system thread that lives as long as the host.
// QUIRK: Linux sends the parent-death signal when the *thread* that started the child ends, not the program (prctl(2),
// PR_SET_PDEATHSIG); Go may end threads.
type spawner struct {
	requests chan func()
	once     sync.Once
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range s.requests {
			f()
		}
	}()
	return s
}

func (s *spawner) close() { s.once.Do(func() { close(s.requests) }) }

func (s *spawner) start(binary string, env []string, log io.Writer) (*process, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open a pipe for the log: %w", err)
	}
	cmd := exec.Command(binary)
	cmd.Dir = filepath.Dir(binary)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = writer, writer
	cmd.SysProcAttr = attributes()
	done := make(chan error, 1)
	s.requests <- func() { done <- cmd.Start() }
	err = <-done
	if closeErr := writer.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	p := &process{cmd: cmd, exited: make(chan struct{}), output: reader}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		// An error here is the end of the pipe, or of the log's disk; the function must not suffer from either.
		if _, err := io.Copy(log, reader); err != nil {
			_, _ = io.Copy(io.Discard, reader)
		}
	}()
	go func() {
		p.state = cmd.Wait()
		select {
		case <-copied:
		case <-time.After(500 * time.Millisecond): // something it started still holds the pipe
		}
		_ = reader.Close()
		close(p.exited)
	}()
	return p, nil
}

// how says how the process ended. Only after exited.
func (p *process) how() string {
	if p.state == nil {
		return "exit status 0"
	}
	return p.state.Error()
}

// freeze stops the process and all that it started, as Lambda does between two invocations.
func (p *process) freeze() { p.signal(syscall.SIGSTOP, true) }

// thaw lets it go on.
func (p *process) thaw() { p.signal(syscall.SIGCONT, false) }

func (p *process) signal(sig syscall.Signal, frozen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// The order matters little, but the group first: a parent that is stopped starts no more children.
	_ = syscall.Kill(-p.cmd.Process.Pid, sig) // gone already: nothing to freeze
	for _, pid := range descendants(p.cmd.Process.Pid) {
		_ = syscall.Kill(pid, sig)
	}
	p.frozen = frozen
}

// kill ends the process and all that it started, at once and without notice.
func (p *process) kill() {
	select {
	case <-p.exited:
		// The leader is gone and its number may belong to another by now; its group may not be empty.
		return
	default:
	}
	p.signal(syscall.SIGSTOP, true) // nothing is started between listing and killing
	pids := descendants(p.cmd.Process.Pid)
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func supported() error { return nil }
