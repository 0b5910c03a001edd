package financesdk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
	"github.com/wecomvault/wecomvault/shared/financesdk/gateway"
)

// How a child fails an exchange. Anything else that comes out of one is a broken frame, which counts as its death.
var (
	errDied = errors.New("the child died")
	errHung = errors.New("the child makes no progress")
)

// startPatience is for loading the library and its Init, which asks nobody.
const startPatience = 15 * time.Second

// child is one process, with the library in it.
type child struct {
	cmd      *exec.Cmd
	requests *os.File
	answers  chan frames.Message // closed when the child's answers end
	given    chan struct{}       // closed when nobody reads answers any more
	exited   chan struct{}       // closed when the process is reaped
	session  *gateway.Session    // nil if it only decrypts

	kill   sync.Mutex
	reaped bool

	rss    uint64 // bytes, as of its last answer
	retire bool   // the next call wants another child
}

// spawn starts a child and opens the library in it.
func (s *SDK) spawn(ctx context.Context) error {
	const op = "start"
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	c, err := s.fork()
	if err != nil {
		return &Error{Op: op, Reason: ReasonNoHost, Err: err}
	}
	open := &frames.Open{Version: frames.Version, Lib: s.cfg.Lib, Corp: string(s.cfg.Corp), Secret: Placeholder}
	if s.gateway != nil {
		c.session = s.gateway.Admit()
		open.Proxy, open.Passwd = c.session.Proxy(), c.session.Passwd()
		open.Timeout = uint32(s.cfg.Timeout / time.Second) // positive
		if s.cfg.GiveTheSecretToTheLibrary != "" {
			open.Secret = string(s.cfg.GiveTheSecretToTheLibrary)
		}
	}
	s.child = c
	var failed *frames.Failed
	err = c.exchange(ctx, open, startPatience, func(m frames.Message) bool {
		switch m := m.(type) {
		case *frames.Ready:
			c.rss = m.RSS
			if m.Version != frames.Version {
				failed = &frames.Failed{Word: frames.WordVersion, Sentence: fmt.Sprintf("the host speaks version %d of the frames, this program version %d; use programs of one release", m.Version, frames.Version)}
			}
			return true
		case *frames.Failed:
			failed = m
			return true
		default:
			return false
		}
	})
	switch {
	case err != nil && ctx.Err() != nil:
		s.drop("given up while it started")
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case errors.Is(err, errHung):
		s.drop("hung while it started")
		return &Error{Op: op, Reason: ReasonHang, Err: err}
	case err != nil:
		s.drop("died while it started")
		return &Error{Op: op, Reason: ReasonCrash, Err: err}
	case failed != nil:
		s.drop("can't open the library")
		return failedError(failed)
	}
	s.cfg.Log.DebugContext(ctx, "library child starts", slog.String("corp", string(s.cfg.Corp)), slog.Int("pid", c.pid()), slog.Uint64("rss", c.rss))
	return nil
}

// fork starts the process with a pipe each way, an environment with nothing in it but the library's folder, and nothing on descriptors
// 0 to 2.
func (s *SDK) fork() (*child, error) {
	program := []string{"/proc/self/exe", frames.HostArgument}
	if len(s.cfg.Host) > 0 {
		program = s.cfg.Host
	}
	childIn, requests, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the child's pipe: %w", err)
	}
	answers, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the child's pipe: %w", err), childIn.Close(), requests.Close())
	}
	cmd := exec.Command(program[0], program[1:]...) // the operator's own setting
	cmd.Dir = "/"
	cmd.Env = []string{}
	if s.cfg.Lib != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+filepath.Dir(s.cfg.Lib))
	}
	cmd.ExtraFiles = []*os.File{childIn, childOut} // descriptors frames.In and frames.Out
	isolate(cmd)
	c := &child{
		cmd: cmd, requests: requests,
		answers: make(chan frames.Message, answersAhead), given: make(chan struct{}), exited: make(chan struct{}),
	}
	err = c.launch()
	// The child's ends are the child's alone: otherwise its death would not end the pipes.
	closed := errors.Join(childIn.Close(), childOut.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program[0], err), closed, requests.Close(), answers.Close())
	}
	go c.read(answers)
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// answersAhead is how many answers wait to be looked at: an item has two.
const answersAhead = 64

// gathering is how long the answers of a run of items are let come together in the pipe. Each item's leave the child at once, and to wake up for
// each costs more than to read it.
const gathering = 500 * time.Microsecond

func (c *child) read(answers *os.File) {
	defer answers.Close() // read to its end, or given up
	defer close(c.answers)
	buffered := bufio.NewReaderSize(answers, 64<<10)
	run := false // items are being opened
	for {
		if run && buffered.Buffered() == 0 {
			time.Sleep(gathering)
		}
		m, err := frames.Read(buffered)
		if err != nil {
			return // the end, or a broken frame: either way the child is of no more use
		}
		switch m.(type) {
		case *frames.Mark, *frames.Opened:
			run = true
		default:
			run = false
		}
		select {
		case c.answers <- m:
		case <-c.given:
			return
		}
	}
}

// exchange sends request and gives each answer to got until that returns true. An answer that it does not want before a Mark or Opened
// would not come from a sane child; it only counts as progress.
//
// Patience is counted in ticks that this process was awake to see. A freeze of any length is one tick, so a thaw finds nobody hung.
func (c *child) exchange(ctx context.Context, request frames.Message, patience time.Duration, got func(frames.Message) bool) error {
	const ticks = 20
	sent := make(chan error, 1)
	go func() { sent <- frames.Write(c.requests, request) }()
	tick := time.NewTicker(max(patience/ticks, time.Millisecond))
	defer tick.Stop()
	quiet := 0
	for {
		select {
		case err := <-sent:
			if err != nil {
				return fmt.Errorf("%w: %w", errDied, err)
			}
			sent = nil
		case m, ok := <-c.answers:
			if !ok {
				return errDied
			}
			quiet = 0
			if got(m) {
				return nil
			}
		case <-tick.C:
			if quiet++; quiet > ticks {
				return errHung
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *child) dead() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

func (c *child) seen() gateway.Seen {
	if c.session == nil {
		return gateway.Seen{}
	}
	return c.session.Seen()
}

// end kills the child with all that it started, and waits until it is gone. Closing the pipe would be politer, but a library that hangs
// does not hear it, and there is nothing to save.
func (c *child) end() {
	close(c.given)
	c.killGroup()
	<-c.exited
	c.requests.Close() // nobody reads it any more
	if c.session != nil {
		c.session.Dismiss()
	}
}
