package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// once runs a function's program against a Runtime API of our own, gives it so many events, and ends it. started is the time from its start to its
// first question for an event; peak is the highest memory then.
func once(ctx context.Context, program string, env []string, events int) (start launch, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return launch{}, fmt.Errorf("listen for a function: %w", err)
	}
	asked := make(chan time.Time)
	next := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		at := clock.Real()
		select {
		case asked <- at:
		case <-r.Context().Done():
			return
		}
		select {
		case <-next:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "bench")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(clock.Real().Add(time.Minute).UnixMilli()))
		_, _ = io.WriteString(w, "{}") // the program's end ends the measurement
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/bench/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		err = errors.Join(err, server.Close())
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}()
	cmd := exec.CommandContext(ctx, program) // #nosec G204 -- a function of ours
	cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKBENCH", "AWS_SECRET_ACCESS_KEY=bench", "AWS_LAMBDA_LOG_FORMAT=JSON", "PATH=/usr/bin:/bin", "TZ=:UTC",
	}, env...)
	began := clock.Real()
	if err := cmd.Start(); err != nil {
		return launch{}, fmt.Errorf("start %s: %w", program, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Kill() // it may have ended
		for range ended {
			break
		}
	}()
	for i := 0; ; i++ {
		select {
		case at := <-asked:
			if i == 0 {
				start.took = at.Sub(began)
			}
			if i == events {
				start.peak = highWater(cmd.Process.Pid)
				return start, nil
			}
			next <- struct{}{}
		case e := <-ended:
			ended <- e
			return launch{}, fmt.Errorf("%s ended at its start: %w", program, e)
		case <-ctx.Done():
			return launch{}, ctx.Err()
		case <-time.After(10 * time.Second):
			return launch{}, fmt.Errorf("%s did not ask for an event", program)
		}
	}
}

type launch struct {
	took time.Duration
	peak int64
}

func (b *bench) emptyProgram() string { return filepath.Join(b.folders.Binaries, "local", "empty") }

// empty is an empty handler's memory after a few events.
func (b *bench) empty(ctx context.Context) (launch, error) {
	return once(ctx, b.emptyProgram(), nil, 20)
}

// coldStarts is how often each program is started.
const coldStarts = 21

// cold measures each function's start against an empty handler's, in turns.
func (b *bench) cold(ctx context.Context) error {
	t, err := template.Load(b.folders.Template, map[string]string{template.Region: "us-east-1", template.AccountID: "000000000000", template.Endpoint: "http://127.0.0.1:9"})
	if err != nil {
		return err
	}
	programs := map[string][]string{"empty": nil}
	paths := map[string]string{"empty": b.emptyProgram()}
	for _, f := range t.Functions {
		name := strings.TrimPrefix(f.Name, t.StackName+"-")
		var env []string
		for k, v := range f.Environment {
			env = append(env, k+"="+v)
		}
		programs[name], paths[name] = env, filepath.Join(b.folders.Binaries, "functions", name, "bootstrap")
		if _, err := os.Stat(paths[name]); err != nil {
			return fmt.Errorf("function %s is not built: make build builds it: %w", name, err)
		}
	}
	line := b.part("cold", "starts", (coldStarts+1)*len(programs))
	defer line.Done()
	times := map[string][]time.Duration{}
	for i := range coldStarts + 1 {
		for name, env := range programs {
			start, err := once(ctx, paths[name], env, 0)
			line.Add(1)
			if err != nil {
				return err
			}
			if i > 0 { // the first one brings the program into the page cache
				times[name] = append(times[name], start.took)
			}
		}
	}
	middle := func(name string) float64 {
		slices.Sort(times[name])
		return times[name][coldStarts/2].Seconds() * 1e3
	}
	empty := middle("empty")
	b.sample("cold-empty-ms", empty)
	worst := 0.0
	var words []string
	for _, f := range t.Functions {
		name := strings.TrimPrefix(f.Name, t.StackName+"-")
		ms := middle(name)
		words = append(words, fmt.Sprintf("%s %.1f", name, ms/empty))
		b.sample("cold-"+name, ms/empty)
		worst = max(worst, ms/empty)
	}
	b.say("cold start: an empty handler %.1f ms; times that: %s", empty, strings.Join(words, ", "))
	b.note("an empty handler starts in %.1f ms (middle of %d, warm page cache); times that: %s", empty, coldStarts, strings.Join(words, ", "))
	b.set("cold", worst)
	return nil
}
