// Command chaos shows that nothing is lost, doubled or stuck: it plays one company's day undisturbed, then again with every fault, and compares
// the end states item by item. It owns the faults and the comparison; what runs is the product itself, through package house. It must know
// no call of the product's by name: the fault table is what an undisturbed run was seen to do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/wecomvault/wecomvault/shared/local/house"
)

const operator = house.Operator

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := program(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

func program(ctx context.Context, args []string, out io.Writer) int {
	if err := house.CleanEnvironment(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	if len(args) == 2 && args[0] == "play" {
		err := playFile(ctx, args[1], out)
		switch {
		case errors.Is(err, errStoreDied):
			return restartCode
		case err != nil:
			fmt.Fprintln(out, "  chaos play:", err)
			return 1
		}
		return 0
	}
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "chaos:", err)
		}
		return 2
	}
	if err := o.all(ctx, out); err != nil {
		fmt.Fprintln(out, "chaos:", err)
		return 1
	}
	return 0
}

func playFile(ctx context.Context, path string, out io.Writer) error {
	b, err := os.ReadFile(path) // #nosec G304 -- written by the parent
	if err != nil {
		return fmt.Errorf("read the run: %w", err)
	}
	var r run
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("read the run: %w", err)
	}
	return play(ctx, r, out)
}

// options are the command's flags.
type options struct {
	messages int
	seed     uint64
	data     string
	template string
	binaries string
	parts    string
	keep     bool
	perRun   int
	jobs     int
	long     bool
	only     string // of the mutants and lines
	nth      int
}

// longFrom is the number of messages from which on a run is a long one anyway.
const longFrom = 100_000

// short says whether this is the short version, which CI runs.
func (o options) short() bool { return o.messages < 1000 }

func parseOptions(args []string, out io.Writer) (o options, err error) {
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(out)
	f.IntVar(&o.messages, "n", 10_000, "messages of the storm")
	f.Uint64Var(&o.seed, "seed", 0, "replays a run; 0 takes another each time")
	f.StringVar(&o.data, "data", "", "folder for what the runs leave; empty: a temporary one")
	f.StringVar(&o.template, "template", "template.yaml", "the wiring")
	f.StringVar(&o.parts, "parts", "table,storm,full", "what to do, of table, storm, full (a full disk) and mutants")
	f.BoolVar(&o.keep, "keep", false, "keep the folder of the runs")
	f.IntVar(&o.perRun, "per-run", 10, "lines of the fault table that share a run")
	f.IntVar(&o.jobs, "jobs", 6, "runs at a time")
	f.IntVar(&o.nth, "nth", 1, "which call of each place in the product a line of the fault table is played at")
	f.StringVar(&o.only, "only", "", "the mutants whose names begin so, the lines of the fault table that hold it")
	f.BoolVar(&o.long, "long", false, "the store stays away for 5 minutes too")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is one word too many", f.Arg(0))
	}
	if o.messages < 30 {
		return o, fmt.Errorf("-n %d is too few messages to hold one of each kind: give 30 or more", o.messages)
	}
	o.long = o.long || o.messages >= longFrom
	self, err := os.Executable()
	if err != nil {
		return o, fmt.Errorf("find the built programs: %w", err)
	}
	o.binaries = filepath.Dir(filepath.Dir(self))
	if o.template, err = filepath.Abs(o.template); err != nil {
		return o, fmt.Errorf("find the template: %w", err)
	}
	return o, nil
}
