package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/progress"
)

// child is a run in a process of its own, which others may kill; it is then started again until it comes to its end.
type child struct {
	run
	out io.Writer
	// line is told how far the run is; nil: nobody is.
	line *progress.Line
	// stubborn starts it again whatever it ended with, as a person would who sees that the disk was full.
	stubborn bool
	starts   int
}

// mostStarts bounds a stubborn run.
const mostStarts = 30

// newRun makes a run's folder and takes addresses for it.
func (o options) newRun(name, corpus string) (run, error) {
	r := run{Data: filepath.Join(o.folders.Data, name), Corpus: corpus, Binaries: o.folders.Binaries, Template: filepath.Join(o.folders.Data, templateFile), Patience: 4*time.Minute + time.Duration(o.messages)*10*time.Millisecond}
	if err := os.MkdirAll(r.Data, 0o700); err != nil {
		return r, fmt.Errorf("make the folder of a run: %w", err)
	}
	for _, address := range []*string{&r.Listen, &r.Simulator, &r.API} {
		var err error
		if *address, err = freePort(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// toTheEnd plays a run to its end and returns its end state.
func (c *child) toTheEnd(ctx context.Context) (state, error) {
	b, err := json.MarshalIndent(c.run, "", " ")
	if err != nil {
		return state{}, err
	}
	file := c.Data + "-" + runFile // beside the folder, which may be a full disk
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return state{}, fmt.Errorf("write a run: %w", err)
	}
	if c.line != nil {
		ended, stop := context.WithCancel(ctx)
		var telling sync.WaitGroup
		telling.Go(func() { c.tell(ended) })
		defer telling.Wait()
		defer stop()
	}
	for {
		err := c.once(ctx, file)
		if err == nil {
			return readState(c.Data)
		}
		if c.stubborn && ctx.Err() == nil && c.starts < mostStarts {
			rest(ctx, time.Second)
			continue
		}
		var exit *exec.ExitError
		if ctx.Err() != nil || !errors.As(err, &exit) || (exit.ExitCode() != restartCode && exit.ExitCode() != -1) {
			return state{}, fmt.Errorf("the run in %s failed: %w", c.Data, err)
		}
	}
}

// tell puts on the line what the run notes of itself.
func (c *child) tell(ctx context.Context) {
	for ctx.Err() == nil {
		rest(ctx, time.Second)
		b, err := os.ReadFile(filepath.Join(c.Data, fetchedFile))
		var done, total int64
		if err != nil {
			continue // nothing is noted yet
		}
		if _, err := fmt.Sscan(string(b), &done, &total); err == nil {
			c.line.Set(done, total)
		}
		name, err := os.ReadFile(filepath.Join(c.Data, stepFile))
		if err != nil {
			continue
		}
		all := (&player{}).day()
		if i := 1 + slices.IndexFunc(all, func(s step) bool { return s.name == string(name) }); i < len(all) {
			c.line.Note(fmt.Sprintf("step %d of %d: %s", i+1, len(all), all[i].name))
		}
	}
}

func (c *child) once(ctx context.Context, file string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, "play", file) // #nosec G204 -- this program
	cmd.Stdout, cmd.Stderr = c.out, c.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	c.starts++
	return cmd.Run()
}
