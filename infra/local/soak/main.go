// Command soak plays one week of three companies against the whole product, by a clock that leaps: rotations of keys, outages of WeCom, of the
// store and of a table, a company that is away until its window ends, jobs delivered twice and out of order. At the end every seq is where it
// should be, and at every moment looked at the hours before loss were right, and no process has grown. It knows the product from outside only:
// endpoints, the operator's command, logs and /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
)

// Exit codes.
const (
	exitGood  = 0
	exitFound = 1 // something was lost, wrong, or grew
	exitError = 2 // the week could not be played
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := soak(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		code = exitError
	}
	os.Exit(code)
}

// options are the program's flags.
type options struct {
	n        int
	step     time.Duration
	seed     uint64
	data     string
	template string
	binaries string
	keep     bool
}

// Leaps of the clock: by the hour, and coarser for a short week.
const (
	fineStep   = time.Hour
	coarseStep = 6 * time.Hour
	longWeek   = 20000 // messages from which the week is played by the hour
)

func parse(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("soak", flag.ContinueOnError)
	f.SetOutput(out)
	f.IntVar(&o.n, "n", 200000, "messages of the week, all companies together")
	f.DurationVar(&o.step, "step", 0, "leap of the clock, a part of six hours; 0: an hour, or six with fewer than 20,000 messages")
	f.Uint64Var(&o.seed, "seed", 7, "of the companies and their words")
	f.StringVar(&o.template, "template", "template.yaml", "the wiring")
	f.StringVar(&o.binaries, "binaries", "", "folder of the built programs; empty: where this one lies")
	f.StringVar(&o.data, "data", "", "folder for the week's data; empty: a temporary one")
	f.BoolVar(&o.keep, "keep", false, "leave the data")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.step == 0 {
		if o.step = fineStep; o.n < longWeek {
			o.step = coarseStep
		}
	}
	if o.step < 10*time.Minute || coarseStep%o.step != 0 {
		return o, fmt.Errorf("-step %v: six hours should be a multiple of it, and it should be ten minutes at least", o.step)
	}
	if o.n < 500 {
		return o, fmt.Errorf("-n %d is no week: 500 messages at least", o.n)
	}
	if o.binaries == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find the built programs: %w", err)
		}
		o.binaries = filepath.Dir(filepath.Dir(self))
	}
	for _, path := range []*string{&o.template, &o.binaries} {
		whole, err := filepath.Abs(*path)
		if err != nil {
			return o, err
		}
		*path = whole
	}
	return o, nil
}

func soak(ctx context.Context, args []string, out io.Writer) (code int, err error) {
	o, err := parse(args, out)
	if err != nil {
		return exitError, err
	}
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "wecomvault-soak-"); err != nil {
			return exitError, err
		}
	} else if err := os.MkdirAll(o.data, 0o700); err != nil {
		return exitError, err
	}
	if !o.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(o.data)) }()
	}
	began := clock.Real()
	w, err := begin(ctx, o, out)
	if err != nil {
		return exitError, err
	}
	err = w.play(ctx)
	if err == nil {
		err = w.account(ctx)
	}
	if err = errors.Join(err, w.close()); err != nil {
		return exitError, err
	}
	fmt.Fprintf(out, "The week took %v.\n", clock.Real().Sub(began).Round(time.Second))
	return w.verdict(), nil
}
