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
	output *drain
	mu     sync.Mutex
	frozen bool
}

// drain brings what a process writes into its log. Whoever asks for empty has everything that was written before in the log when it returns:
// a pipe and a goroutine alone would leave the last lines of an invocation on their way while its answer is already told.
type drain struct {
	reader *os.File
	raw    syscall.RawConn
	mu     sync.Mutex // over reading and writing in one: nothing is in nobody's hands
	log    io.Writer
	buffer [32 << 10]byte
}

func newDrain(reader *os.File, log io.Writer) (*drain, error) {
	raw, err := reader.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("read a log's pipe: %w", err)
	}
	return &drain{reader: reader, raw: raw, log: log}, nil
}

// run copies until the pipe ends.
func (d *drain) run() {
	// An error here is the end of the pipe; the function must not suffer from it.
	_ = d.raw.Read(d.take)
}

// empty copies what is in the pipe now.
func (d *drain) empty() {
	_ = d.raw.Control(func(fd uintptr) { d.take(fd) }) // closed already: run has copied all
}

// take copies until the pipe is empty (false) or has ended (true).
func (d *drain) take(fd uintptr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		n, err := syscall.Read(int(fd), d.buffer[:])
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return false
		case err != nil || n == 0:
			return true
		default:
			_, _ = d.log.Write(d.buffer[:n]) // the log's disk may be full; the function must not suffer from that
		}
	}
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
	output, err := newDrain(reader, log)
	if err != nil {
		return nil, errors.Join(err, reader.Close(), writer.Close())
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
	p := &process{cmd: cmd, exited: make(chan struct{}), output: output}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		output.run()
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

// logged brings everything that the process has written so far into the log.
func (p *process) logged() { p.output.empty() }

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
