// Command leak shows that nothing leaks: it plays a company whose every text, name, number, file name, secret, token and key is a canary, under
// faults and kills, and then searches each place that is not meant to hold content for them, however they are written. In the end it plants a
// canary in each place: one that is not found then was never searched, and the command fails.
//
//	make leak [ARGS='-seed N -data DIR']
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/wecomvault/wecomvault/shared/clock"
)

// The program's exit codes.
const (
	exitGood  = 0
	exitLeaks = 1 // something leaks, or it could not be shown that nothing does
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := program(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the program's flags.
type options struct {
	data, binaries, template string
	seed                     uint64
	rate                     float64
}

func program(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	f := flag.NewFlagSet("leak", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.data, "data", "", "folder for the run's data; a temporary one that is removed if it is empty")
	f.StringVar(&o.binaries, "binaries", "build", "folder of the built programs")
	f.StringVar(&o.template, "template", "template.yaml", "the product's wiring")
	f.Uint64Var(&o.seed, "seed", 0, "replays a run's faults; 0 draws one")
	f.Float64Var(&o.rate, "faults", 0.03, "part of the calls that fail")
	if err := f.Parse(args); err != nil {
		return exitUsage
	}
	if f.NArg() > 0 {
		fmt.Fprintf(stderr, "leak: %q is one word too many\n", f.Arg(0))
		return exitUsage
	}
	if err := run(ctx, o, stdout); err != nil {
		fmt.Fprintln(stderr, "leak:", err)
		return exitLeaks
	}
	return exitGood
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.seed == 0 {
		o.seed = rand.Uint64() // #nosec G404 -- a seed that replays a run is no secret
	}
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "leak-"); err != nil {
			return fmt.Errorf("make a data folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.data)) }()
	}
	for _, path := range []*string{&o.data, &o.binaries, &o.template} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "seed %d\n", o.seed)
	began := clock.Real()
	p, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.play(ctx); err != nil {
		return fmt.Errorf("the run: %w", err)
	}
	fmt.Fprintf(out, "played: %s\n", p.account)
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
