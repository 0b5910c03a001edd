// Command leak shows that nothing leaks: it plays a company whose every text, name, number, file name, secret, token and key is a canary, under
// faults and kills, and then searches each place that is not meant to hold content for them, however they are written. In the end it plants a
// canary in each place: one that is not found then was never searched, and the command fails.
//
//	make leak [ARGS='-seed N -data DIR']
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/progress"
)

func main() {
	command.Main("leak", func(ctx context.Context, args []string, out io.Writer) error {
		var o options
		f := command.Flags("leak")
		o.folders.Flags(f)
		command.Seed(f, &o.seed)
		f.Float64Var(&o.rate, "faults", 0.03, "part of the calls that fail")
		if err := command.Parse(f, args); err != nil {
			return err
		}
		return run(ctx, o, out)
	})
}

// options are the program's flags.
type options struct {
	folders command.Folders
	seed    uint64
	rate    float64
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	o.seed = command.Drawn(o.seed)
	done, err := o.folders.Open("leak")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	line := progress.New(os.Stderr, "the day", "", 0)
	defer line.Done()
	out = line.Beside(out)
	fmt.Fprintf(out, "seed %d\n", o.seed)
	began := clock.Real()
	p, err := open(ctx, o, line)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.play(ctx); err != nil {
		return fmt.Errorf("the run: %w", err)
	}
	fmt.Fprintf(out, "played: %s\n", p.account)
	line.Note("searching every place")
	s := newSearcher(p.canaries)
	places, err := p.places(ctx)
	if err != nil {
		return err
	}
	leaks := 0
	for _, pl := range places {
		found := pl.search(s)
		fmt.Fprintf(out, "%-22s %6d searched, %9d bytes: %d finds\n", pl.name, len(pl.things), pl.size(), len(found))
		for _, x := range found {
			fmt.Fprintln(out, "   "+x)
		}
		leaks += len(found)
		if len(pl.things) == 0 && !slices.Contains([]string{coreDumps, errorsOf}, pl.name) {
			return fmt.Errorf("there is nothing in the place %q: the run did not reach it", pl.name)
		}
	}
	if dumps := places[len(places)-1]; len(dumps.things) > 0 {
		return fmt.Errorf("%d processes that were killed have dumped what they held, the first into %s", len(dumps.things), dumps.things[0].name)
	}
	if leaks > 0 {
		return fmt.Errorf("%d canaries are where none may be", leaks)
	}
	others, err := p.open()
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return fmt.Errorf("%d files are not the user's alone, the first: %s", len(others), others[0])
	}
	fmt.Fprintln(out, "every file of the data folder is the user's alone")
	line.Note("planting a canary in every place and searching again")
	blind, err := p.plantEverywhere(ctx, s)
	if err != nil {
		return err
	}
	if len(blind) > 0 {
		return fmt.Errorf("a canary that was planted there is not found in: %s", strings.Join(blind, ", "))
	}
	fmt.Fprintf(out, "a canary planted in each of the %d places, each written another way, was found there\n", len(places))
	fmt.Fprintf(out, "Result: 0 finds of %d canaries (%.0f s)\n", len(p.canaries), clock.Real().Sub(began).Seconds())
	return nil
}
