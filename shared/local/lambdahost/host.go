// Package lambdahost runs unmodified function binaries as AWS Lambda does: over the Runtime API, one process per execution
// environment, frozen between invocations, killed at the time-out. It owns environments, asynchronous invocations, queues as event
// sources and schedules; what there is to run it takes from the template alone. It must not give a function anything that Lambda
// would not, beside the address of the local AWS endpoint, the clock's file and a temporary folder of its own.
package lambdahost

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// Lambda's own limits.
const (
	startLimit   = 10 * time.Second
	answerLimit  = 6 << 20 // bytes, of a synchronous answer and of a synchronous event
	asyncLimit   = 1 << 20 // bytes, of an asynchronous event
	tailLength   = 4 << 10 // bytes of log that an answer carries
	environments = 10      // per function, unless Options says otherwise
)

// Options say what to run and where. Template, Binary and Credentials are required.
type Options struct {
	Template *template.Template
	// Endpoint is the local AWS endpoint, handed to every function as AWS_ENDPOINT_URL.
	Endpoint string
	// Binary returns the path of a function's bootstrap.
	Binary func(template.Function) string
	// Credentials returns the access key of a function's role.
	Credentials func(logicalID string) (accessKey, secret string)
	// ClockFile is handed to every function as WECOMVAULT_CLOCK_FILE.
	ClockFile string
	// OtherClockFile, if not empty, is what every second process gets instead: two of them may then see different times.
	OtherClockFile string
	// Logs is the folder for one log file per function; Temporary the folder for the environments' temporary folders.
	Logs, Temporary string
	// Now is the clock that schedules follow. Real, by default clock.Real, is the one for deadlines.
	Now, Real func() time.Time
	// Concurrency is the most environments that one function may have at a time; 0 means 10. A reserved concurrency in the
	// template and an event source's maximum come on top.
	Concurrency int
	// AsyncPauses are the pauses before the first and the second retry of an asynchronous invocation; nil means Lambda's
	// one and two minutes.
	AsyncPauses []time.Duration
	// Duplicate says whether an asynchronous event is to be delivered twice, as Lambda may. Nil means never.
	Duplicate func(logicalID string) bool
	// Ran, if not nil, is told of each invocation once it is over. It must be safe for concurrent use.
	Ran func(Ran)
	// Log receives the host's own words; nil discards them.
	Log *slog.Logger
}

// Ran is what one invocation would be billed by.
type Ran struct {
	Function     template.Function
	Duration     time.Duration // from the event's arrival to the answer
	InitDuration time.Duration // 0 where the environment was there already
	Failed       bool
	Event        []byte // what the function was given
	Answer       []byte // what it answered, or its error
}

// Process is the running process of one environment. What it has started itself is its child.
type Process struct {
	Function string // logical id
	PID      int
}

// Processes lists the processes of all environments, busy and frozen, in no order.
func (h *Host) Processes() []Process {
	var list []Process
	for _, id := range h.order {
		f := h.functions[id]
		f.mu.Lock()
		for env := range f.all {
			if env.alive() {
				list = append(list, Process{Function: id, PID: env.proc.cmd.Process.Pid})
			}
		}
		f.mu.Unlock()
	}
	return list
}

// Result is the answer of one invocation.
type Result struct {
	RequestID     string
	Payload       []byte
	FunctionError string // "" or "Unhandled"; the payload then says {"errorType","errorMessage"}
	LogTail       string // the end of what the function logged, at most 4 KB
	Duration      time.Duration
	InitDuration  time.Duration // 0 where the environment was there already
}

// Host runs the functions of one template. All methods may be called concurrently.
type Host struct {
	opts      Options
	functions map[string]*function
	order     []string
	spawner   *spawner
	startup   time.Duration // how long a process may take until it asks for its first event
	started   atomic.Int64  // processes so far

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup // background loops and invocations

	closing sync.Once
	closed  error // of Close

	mu      sync.Mutex
	running int // invocations that were accepted and aren't over
	ticked  time.Time
	tickMu  sync.Mutex
}

// function is one function with its environments.
type function struct {
	template.Function
	log   *logFile
	slots chan struct{} // one per environment that may be busy

	mu       sync.Mutex
	idle     []*environment
	all      map[*environment]bool // whether its program is the one deployed last
	deployed int                   // how often Deploy was called
}

// errClosed is what an invocation gets once the host is ending.
var errClosed = errors.New("the lambda host is closed")

// New makes a host. Nothing runs until something is invoked or Start is called.
func New(opts Options) (*Host, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	if opts.Template == nil || opts.Binary == nil || opts.Credentials == nil || opts.Now == nil {
		return nil, errors.New("the lambda host needs a template, binaries, credentials and a clock")
	}
	if opts.Real == nil {
		opts.Real = clock.Real
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Concurrency == 0 {
		opts.Concurrency = environments
	}
	if opts.AsyncPauses == nil {
		opts.AsyncPauses = []time.Duration{time.Minute, 2 * time.Minute}
	}
	for _, dir := range []string{opts.Logs, opts.Temporary} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make a folder for the functions: %w", err)
		}
	}
	h := &Host{opts: opts, functions: map[string]*function{}, spawner: newSpawner(), startup: startLimit}
	h.ctx, h.stop = context.WithCancel(context.Background())
	for _, f := range opts.Template.Functions {
		for _, s := range f.Schedules {
			if _, err := parseSchedule(s.Expression, s.Timezone); err != nil {
				return nil, errors.Join(fmt.Errorf("%s line %d: schedule %s of %s: %w", opts.Template.Path, f.Line, s.Event, f.LogicalID, err), h.Close())
			}
		}
		log, err := openLog(filepath.Join(opts.Logs, f.Name+".log"))
		if err != nil {
			return nil, errors.Join(err, h.Close())
		}
		limit := opts.Concurrency
		if f.ReservedConcurrency > 0 {
			limit = min(limit, f.ReservedConcurrency)
		}
		h.functions[f.LogicalID] = &function{Function: f, log: log, slots: make(chan struct{}, limit), all: map[*environment]bool{}}
		h.order = append(h.order, f.LogicalID)
	}
	return h, nil
}

// Start begins to read the queues. With ticking it also follows the schedules in real time; without, only Tick and Advance do.
func (h *Host) Start(ticking bool) error {
	for _, id := range h.order {
		for _, s := range h.functions[id].SQSSources {
			src, err := h.newSource(h.functions[id], s)
			if err != nil {
				return err
			}
			h.work.Go(src.run)
		}
	}
	if ticking {
		h.Tick()
		h.work.Go(func() {
			t := time.NewTicker(time.Second)
			defer t.Stop()
			for {
				select {
				case <-h.ctx.Done():
					return
				case <-t.C:
					h.Tick()
				}
			}
		})
	}
	return nil
}

func (h *Host) find(logicalID string) (*function, error) {
	f, ok := h.functions[logicalID]
	if !ok {
		return nil, fmt.Errorf("the template has no function %s", logicalID)
	}
	return f, nil
}

// begin counts an invocation, unless the host is ending. Each begin that returned true needs an end.
func (h *Host) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return false
	}
	h.running++
	h.work.Add(1)
	return true
}

func (h *Host) end() {
	h.mu.Lock()
	h.running--
	h.mu.Unlock()
	h.work.Done()
}

// Idle reports whether no invocation runs or waits for an environment or a retry. Messages that wait in queues are not its
// concern; between a receive and its invocation it is not idle.
func (h *Host) Idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running == 0
}

// Busy counts the environments of a function that serve an invocation, or are being started for one. An unknown function has none.
func (h *Host) Busy(logicalID string) int {
	f, err := h.find(logicalID)
	if err != nil {
		return 0
	}
	return len(f.slots)
}

// Invoke runs a function once and waits for its answer. A failing function is a Result with FunctionError; an error means that
// the function could not be run at all.
func (h *Host) Invoke(ctx context.Context, logicalID string, payload []byte) (Result, error) {
	f, err := h.find(logicalID)
	if err != nil {
		return Result{}, err
	}
	if len(payload) > answerLimit {
		return Result{}, fmt.Errorf("invoke %s: the event has %d bytes, Lambda takes %d", logicalID, len(payload), answerLimit)
	}
	if !h.begin() {
		return Result{}, errClosed
	}
	defer h.end()
	return h.invoke(ctx, f, newInvocation(payload))
}

func (h *Host) invoke(ctx context.Context, f *function, inv *invocation) (Result, error) {
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return Result{}, fmt.Errorf("wait for an environment of %s: %w", f.LogicalID, ctx.Err())
	case <-h.ctx.Done():
		return Result{}, errClosed
	}
	return h.invokeInSlot(f, inv)
}

// environment takes an idle environment of the function, the one used last first, or starts another.
func (h *Host) environment(f *function) (*environment, error) {
	f.mu.Lock()
	for len(f.idle) > 0 {
		env := f.idle[len(f.idle)-1]
		f.idle = f.idle[:len(f.idle)-1]
		if env.alive() {
			f.mu.Unlock()
			return env, nil
		}
		delete(f.all, env)
	}
	deployed := f.deployed
	f.mu.Unlock()
	env, err := h.startEnvironment(f)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.all[env] = deployed == f.deployed
	f.mu.Unlock()
	if h.ctx.Err() != nil { // Close may have looked at f.all before
		env.end()
		return nil, errClosed
	}
	return env, nil
}

// serve runs one invocation in an environment that is ours, and puts the environment back or ends it.
func (h *Host) serve(f *function, env *environment, inv *invocation) (Result, error) {
	res, reusable, err := env.serve(h.ctx, inv)
	env.proc.logged() // whoever hears of the invocation finds its words in the log
	f.mu.Lock()
	reusable = reusable && f.all[env]
	if reusable {
		f.idle = append(f.idle, env)
	} else {
		delete(f.all, env)
	}
	f.mu.Unlock()
	if !reusable {
		env.end()
	}
	if h.opts.Ran != nil {
		h.opts.Ran(Ran{Function: f.Function, Duration: res.Duration, InitDuration: res.InitDuration, Failed: res.FunctionError != "" || err != nil,
			Event: inv.payload, Answer: res.Payload})
	}
	res.LogTail = f.log.tail()
	if res.FunctionError != "" {
		h.opts.Log.Warn("invocation failed", slog.String("function", f.LogicalID), slog.String("request", inv.id), slog.String("kind", kindOf(res.Payload)))
	}
	return res, err
}

// kindOf is the name of an error, without its words: they may hold what no log may.
func kindOf(payload []byte) string {
	var e struct {
		ErrorType string `json:"errorType"`
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return "unreadable"
	}
	return e.ErrorType
}

// Close ends every environment and waits until nothing of the host is left. Asynchronous events that weren't delivered are lost,
// as they would be with the machine.
func (h *Host) Close() error {
	h.closing.Do(func() { h.closed = h.close() })
	return h.closed
}

func (h *Host) close() error {
	h.mu.Lock() // no invocation begins after this
	h.stop()
	h.mu.Unlock()
	var errs []error
	for _, id := range h.order {
		f := h.functions[id]
		f.mu.Lock()
		all := make([]*environment, 0, len(f.all))
		for env := range f.all {
			all = append(all, env)
		}
		f.mu.Unlock()
		for _, env := range all {
			env.end()
		}
	}
	h.work.Wait()
	h.spawner.close()
	for _, id := range h.order {
		errs = append(errs, h.functions[id].log.Close())
	}
	return errors.Join(errs...)
}

// newID is a request id in Lambda's form.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// logFile is the log of one function, shared by its environments. It keeps the last words for answers.
type logFile struct {
	mu   sync.Mutex
	file *os.File
	last []byte
}

func openLog(path string) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a function's log: %w", err)
	}
	return &logFile{file: f}, nil
}

var _ io.WriteCloser = (*logFile)(nil)

// Write appends to the log.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, p...)
	if len(l.last) > tailLength {
		l.last = append([]byte(nil), l.last[len(l.last)-tailLength:]...)
	}
	n, err := l.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("write a function's log: %w", err)
	}
	return n, nil
}

func (l *logFile) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.last)
}

// Close closes the file.
func (l *logFile) Close() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close a function's log: %w", err)
	}
	return nil
}
