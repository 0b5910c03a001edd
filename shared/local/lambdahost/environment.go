package lambdahost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// environment is one process of a function and the Runtime API that this process alone talks to.
type environment struct {
	h    *Host
	fn   *function
	proc *process
	api  *http.Server
	tmp  string

	init     time.Duration // how long it took until the first request for an event
	started  time.Time
	fresh    bool             // nothing was served yet
	events   chan *invocation // what the process gets next
	waiting  chan struct{}    // the process has asked for the next event
	initFail chan []byte      // the process reported that it can't start
	ended    sync.Once

	mu      sync.Mutex
	current *invocation // not yet answered
}

// invocation is one event on its way through an environment.
type invocation struct {
	id       string
	payload  []byte
	trace    string
	answered chan answer // one answer, buffered
}

type answer struct {
	payload []byte
	failed  bool
}

func newInvocation(payload []byte) *invocation {
	id := newID()
	hexed := strings.ReplaceAll(id, "-", "")
	return &invocation{id: id, payload: payload, answered: make(chan answer, 1),
		trace: "Root=1-" + hexed[:8] + "-" + hexed[8:32] + ";Parent=" + hexed[16:32] + ";Sampled=0"}
}

func (h *Host) startEnvironment(f *function) (*environment, error) {
	binary, err := filepath.Abs(h.opts.Binary(f.Function))
	if err != nil {
		return nil, fmt.Errorf("find the program of %s: %w", f.LogicalID, err)
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("function %s isn't built (make build builds it): %w", f.LogicalID, err)
	}
	tmp, err := os.MkdirTemp(h.opts.Temporary, f.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder for %s: %w", f.LogicalID, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the runtime API of %s: %w", f.LogicalID, err), os.RemoveAll(tmp))
	}
	env := &environment{h: h, fn: f, tmp: tmp, started: h.opts.Real(), fresh: true, events: make(chan *invocation, 1), waiting: make(chan struct{}, 1), initFail: make(chan []byte, 1)}
	env.api = &http.Server{Handler: env.runtimeAPI(), ReadHeaderTimeout: time.Minute}
	go func() {
		if err := env.api.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.opts.Log.Error("runtime API ended", slog.String("function", f.LogicalID), slog.Any("error", err))
		}
	}()
	env.proc, err = h.spawner.start(binary, env.variables(listener.Addr().String(), filepath.Dir(binary)), f.log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", f.LogicalID, err), env.api.Close(), os.RemoveAll(tmp))
	}
	return env, nil
}

// variables is the whole environment of the process: the template's, Lambda's own, and the three that only a local host adds.
func (e *environment) variables(api, root string) []string {
	f, t := e.fn.Function, e.h.opts.Template
	key, secret := e.h.opts.Credentials(f.LogicalID)
	stream := e.started.UTC().Format("2006/01/02/") + "[$LATEST]" + strings.ReplaceAll(newID(), "-", "")
	vars := []string{
		"AWS_LAMBDA_RUNTIME_API=" + api,
		"AWS_LAMBDA_FUNCTION_NAME=" + f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(f.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=" + f.LogGroup,
		"AWS_LAMBDA_LOG_STREAM_NAME=" + stream,
		"AWS_LAMBDA_LOG_FORMAT=" + orElse(f.LogFormat, "Text"),
		"AWS_REGION=" + t.Region,
		"AWS_DEFAULT_REGION=" + t.Region,
		"AWS_ACCESS_KEY_ID=" + key,
		"AWS_SECRET_ACCESS_KEY=" + secret,
		"_HANDLER=" + f.Handler,
		"LAMBDA_TASK_ROOT=" + root,
		"TZ=:UTC",
		"LANG=en_US.UTF-8",
		"PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin",
		"LD_LIBRARY_PATH=/lib64:/usr/lib64:" + root + ":" + root + "/lib:/opt/lib",
		"TMPDIR=" + e.tmp,
		"AWS_ENDPOINT_URL=" + e.h.opts.Endpoint,
		"WECOMVAULT_CLOCK_FILE=" + e.h.clockFile(),
	}
	if f.LogFormat == "JSON" {
		vars = append(vars, "AWS_LAMBDA_LOG_LEVEL="+orElse(f.LogLevel, "INFO"))
	}
	for k, v := range f.Environment {
		vars = append(vars, k+"="+v)
	}
	return vars
}

// clockFile is the clock of the next process.
func (h *Host) clockFile() string {
	if h.started.Add(1)%2 == 0 && h.opts.OtherClockFile != "" {
		return h.opts.OtherClockFile
	}
	return h.opts.ClockFile
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (e *environment) alive() bool {
	select {
	case <-e.proc.exited:
		return false
	default:
		return true
	}
}

// end kills the process with everything it started. It may be called again, and from anywhere.
func (e *environment) end() {
	e.ended.Do(func() {
		e.proc.kill()
		<-e.proc.exited
		if err := errors.Join(e.api.Close(), os.RemoveAll(e.tmp)); err != nil {
			e.h.opts.Log.Error("an environment left something behind", slog.String("function", e.fn.LogicalID), slog.Any("error", err))
		}
	})
}

// serve gives the process one event and waits until it has answered and asked for the next one. Only then is it frozen and can be
// used again.
func (e *environment) serve(ctx context.Context, inv *invocation) (res Result, reusable bool, err error) {
	res.RequestID = inv.id
	if e.fresh {
		failure, ok := e.awaitInit(ctx)
		if ctx.Err() != nil {
			return res, false, errClosed
		}
		res.InitDuration = e.init
		if !ok {
			res.Payload, res.FunctionError = failure, "Unhandled"
			return res, false, nil
		}
		e.fresh = false
	} else {
		e.proc.thaw()
	}
	begin := e.h.opts.Real()
	timeout := time.NewTimer(e.fn.Timeout)
	defer timeout.Stop()
	e.mu.Lock()
	e.current = inv
	e.mu.Unlock()
	e.events <- inv
	var got *answer
	select {
	case a := <-inv.answered:
		got = &a
	case <-e.proc.exited:
		select { // it may have answered as its last act
		case a := <-inv.answered:
			got = &a
		default:
		}
	case <-timeout.C:
	case <-ctx.Done():
		return res, false, errClosed
	}
	res.Duration = e.h.opts.Real().Sub(begin)
	if got == nil {
		res.FunctionError = "Unhandled"
		if e.alive() {
			res.Payload = failure("Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", inv.id, e.fn.Timeout.Seconds()))
		} else {
			res.Payload = failure("Runtime.ExitError", fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %s", inv.id, e.proc.how()))
		}
		e.note(inv, res)
		return res, false, nil
	}
	res.Payload = got.payload
	if got.failed {
		res.FunctionError = "Unhandled"
	}
	select {
	case <-e.waiting:
		e.proc.freeze()
		return res, true, nil
	case <-e.proc.exited:
	case <-timeout.C:
	case <-ctx.Done():
	}
	return res, false, nil
}

// note writes what became of an invocation that couldn't say so itself into the function's log, in the form of Lambda's own reports.
func (e *environment) note(inv *invocation, res Result) {
	line, err := json.Marshal(map[string]any{"type": "platform.report", "record": map[string]any{"requestId": inv.id, "status": "error", "error": json.RawMessage(res.Payload),
		"metrics": map[string]any{"durationMs": res.Duration.Milliseconds()}}})
	if err == nil {
		_, err = e.fn.log.Write(append(line, '\n'))
	}
	if err != nil {
		e.h.opts.Log.Error("a report is missing from the log", slog.String("function", e.fn.LogicalID), slog.Any("error", err))
	}
}

func (e *environment) awaitInit(ctx context.Context) (failed []byte, ok bool) {
	limit := time.NewTimer(e.h.startup)
	defer limit.Stop()
	defer func() { e.init = e.h.opts.Real().Sub(e.started) }()
	select {
	case <-e.waiting:
		return nil, true
	case body := <-e.initFail:
		return body, false
	case <-e.proc.exited:
		select {
		case body := <-e.initFail:
			return body, false
		default:
		}
		return failure("Runtime.ExitError", "Error: Runtime exited during its start: "+e.proc.how()), false
	case <-limit.C:
		return failure("Sandbox.Timedout", fmt.Sprintf("Error: Init timed out after %.2f seconds", e.h.startup.Seconds())), false
	case <-ctx.Done():
		return nil, false
	}
}

func failure(kind, message string) []byte {
	b, err := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message})
	if err != nil {
		return []byte(`{"errorType":"Runtime.Unknown"}`)
	}
	return b
}

// runtimeAPI serves version 2018-06-01 of Lambda's Runtime API to the one process.
func (e *environment) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", e.next)
	// A runtime that wants to hear of its end registers as an extension without events, and then waits for an event that never comes.
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Lambda-Extension-Identifier", "the-runtime-itself")
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { e.answer(w, r, false) })
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { e.answer(w, r, true) })
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, answerLimit))
		if err != nil {
			refuse(w, http.StatusBadRequest, "InvalidRequest", "the body can't be read")
			return
		}
		select {
		case e.initFail <- body:
		default:
		}
		accepted(w)
	})
	return mux
}

func (e *environment) next(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	unanswered := e.current != nil
	e.mu.Unlock()
	if unanswered {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the event before this one has no answer yet")
		return
	}
	select {
	case e.waiting <- struct{}{}:
	default:
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the runtime asks for two events at once")
		return
	}
	select {
	case inv := <-e.events:
		head := w.Header()
		head.Set("Content-Type", "application/json")
		head.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		head.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.h.opts.Real().Add(e.fn.Timeout).UnixMilli(), 10))
		head.Set("Lambda-Runtime-Invoked-Function-Arn", e.fn.ARN)
		head.Set("Lambda-Runtime-Trace-Id", inv.trace)
		head.Set("Content-Length", strconv.Itoa(len(inv.payload)))
		if _, err := w.Write(inv.payload); err != nil {
			e.h.opts.Log.ErrorContext(r.Context(), "an event didn't reach its function", slog.String("function", e.fn.LogicalID), slog.Any("error", err))
		}
	case <-r.Context().Done():
	}
}

func (e *environment) answer(w http.ResponseWriter, r *http.Request, failed bool) {
	e.mu.Lock()
	inv := e.current
	e.mu.Unlock()
	if inv == nil || inv.id != r.PathValue("id") {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "this event isn't the one being worked on")
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, answerLimit+1))
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the body can't be read")
		return
	}
	a := answer{payload: body, failed: failed}
	large := len(body) > answerLimit
	if large {
		a = answer{failed: true, payload: failure("Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", answerLimit))}
	}
	if trailer := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); trailer != "" {
		a.failed = true
	}
	e.mu.Lock()
	first := e.current == inv
	if first {
		e.current = nil
	}
	e.mu.Unlock()
	if !first {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "this event has its answer already")
		return
	}
	if large {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the answer exceeds 6 MB")
	} else {
		accepted(w)
	}
	inv.answered <- a
}

func accepted(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprint(w, `{"status":"OK"}`)
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errorType":%q,"errorMessage":%q}`, kind, message)
}
