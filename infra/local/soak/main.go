// Command soak plays one week of three companies against the whole product, by a clock that leaps: rotations of keys, outages of WeCom, of the
// store and of a table, a company that is away until its window ends, jobs delivered twice and out of order. At the end every seq is where it
// should be, and at every moment looked at the hours before loss were right, and no process has grown. It knows the product from outside only:
// endpoints, the operator's command, logs and /proc.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/progress"
)

func main() { command.Main("soak", soak) }

// options are the program's flags.
type options struct {
	n       int
	step    time.Duration
	seed    uint64
	folders command.Folders
}

// Leaps of the clock: by the hour, and coarser for a short week.
const (
	fineStep   = time.Hour
	coarseStep = 6 * time.Hour
	longWeek   = 20000 // messages from which the week is played by the hour
)

func parse(args []string) (options, error) {
	var o options
	f := command.Flags("soak")
	f.IntVar(&o.n, "n", 200000, "messages of the week, all companies together")
	f.DurationVar(&o.step, "step", 0, "leap of the clock, a part of six hours; 0: an hour, or six with fewer than 20,000 messages")
	f.Uint64Var(&o.seed, "seed", 7, "of the companies and their words")
	o.folders.Flags(f)
	if err := command.Parse(f, args); err != nil {
		return o, err
	}
	if o.step == 0 {
		if o.step = fineStep; o.n < longWeek {
			o.step = coarseStep
		}
	}
	if o.step < 10*time.Minute || coarseStep%o.step != 0 {
		return o, command.Misuse("-step %v: six hours should be a multiple of it, and it should be ten minutes at least", o.step)
	}
	if o.n < 500 {
		return o, command.Misuse("-n %d is no week: 500 messages at least", o.n)
	}
	return o, nil
}

func soak(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	done, err := o.folders.Open("soak")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	line := progress.New(os.Stderr, "the week", "messages", int64(o.n))
	defer line.Done()
	out = line.Beside(out)
	line.Note("making the companies")
	began := clock.Real()
	w, err := begin(ctx, o, out, line)
	if err != nil {
		return err
	}
	err = w.play(ctx)
	if err == nil {
		err = w.account(ctx)
	}
	if err = errors.Join(err, w.close()); err != nil {
		return err
	}
	line.Done()
	fmt.Fprintf(out, "The week took %v.\n", clock.Real().Sub(began).Round(time.Second))
	return w.verdict()
}
