// Command drill shows that the archive can be recovered: it plays the demonstration's day, breaks a copy of it in one way after another, recovers
// each as docs/recover.md tells the operator to, and holds the account of every message against the one from before. It owns the damage and
// the stopwatch; what mends is vaultctl and the product's own functions. It must mend nothing itself that an operator could not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"

	"github.com/wecomvault/wecomvault/shared/local/house"
)

// options are the program's flags.
type options struct {
	data     string // where the day and its copies are kept
	template string
	only     string // names of drills, with commas; "" all
	keep     bool   // leave the copies
	binaries string
}

// drill is one way to lose something, and the way back: a section of docs/recover.md.
type drill struct {
	name, what, section string
	run                 func(ctx context.Context, s *scene) error
}

func drills() []drill {
	return []drill{
		{"messages-table", "the table of message rows is deleted", "The table of message rows is lost", lostMessages},
		{"control-table", "the table of cursors and batches is deleted, and its past with it", "The table of cursors and batches is lost", lostControl},
		{"bucket", "every object of the archive is gone; a replica has them", "Objects of the bucket are lost", lostBucket},
		{"queues", "the queues are purged while work waits in them", "Queues are purged", purgedQueues},
		{"key", "a private key is lost, with no copy anywhere", "A private key is lost", lostKey},
		{"cursor-back", "the cursor is moved back by hand", "A cursor was moved by hand", cursorBack},
		{"cursor-forward", "the cursor is moved forward by hand", "A cursor was moved by hand", cursorForward},
		{"region", "the whole region is gone: replica, exports and keys are left", "The whole region is lost", lostRegion},
		{"local-data", "local files are cut and garbled", "Local data are damaged", garbledFiles},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := program(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

func program(ctx context.Context, args []string, out io.Writer) int {
	o, err := parse(args)
	if err == nil {
		err = house.CleanEnvironment()
	}
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "drill:", err)
		}
		return 2
	}
	if err := o.all(ctx, out); err != nil {
		fmt.Fprintln(os.Stderr, "drill:", err)
		return 1
	}
	return 0
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("drill", flag.ContinueOnError)
	f.StringVar(&o.data, "data", "", "folder for the day and its copies; empty takes a temporary one. A day that is there already is not played again")
	f.StringVar(&o.template, "template", "template.yaml", "the wiring")
	f.StringVar(&o.only, "only", "", "names of drills, with commas; empty runs all")
	f.BoolVar(&o.keep, "keep", false, "leave the broken and recovered copies")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is one word too many", f.Arg(0))
	}
	for name := range strings.SplitSeq(o.only, ",") {
		if name != "" && !slices.ContainsFunc(drills(), func(d drill) bool { return d.name == name }) {
			return o, fmt.Errorf("-only: there is no drill %q", name)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return o, fmt.Errorf("find the built programs: %w", err)
	}
	o.binaries = filepath.Dir(filepath.Dir(self))
	o.template, err = filepath.Abs(o.template)
	return o, err
}

// all plays the day and runs the drills, each over a copy of it. One that fails does not keep the others from running.
func (o options) all(ctx context.Context, out io.Writer) (err error) {
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "wecomvault-drill-"); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		if !o.keep {
			defer func() { err = errors.Join(err, os.RemoveAll(o.data)) }()
		}
	}
	if o.data, err = filepath.Abs(o.data); err != nil {
		return err
	}
	if err := o.day(ctx, out); err != nil {
		return err
	}
	type result struct {
		name  string
		took  time.Duration
		note  string
		error error
	}
	var results []result
	for _, d := range drills() {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), d.name) {
			continue
		}
		fmt.Fprintf(out, "\n%s: %s\n", d.name, d.what)
		s := &scene{options: o, data: filepath.Join(o.data, d.name), out: out}
		err := s.play(ctx, d)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(out, "  FAILED: %v\n", err)
		}
		results = append(results, result{d.name, s.took, s.note, err})
	}
	fmt.Fprintf(out, "\n%-16s %9s  %s\n", "drill", "recovery", "what is left")
	failed := 0
	for _, r := range results {
		if r.error != nil {
			failed++
			r.note = "FAILED: " + r.error.Error()
		}
		fmt.Fprintf(out, "%-16s %8.1fs  %s\n", r.name, r.took.Seconds(), r.note)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d drills failed", failed, len(results))
	}
	return nil
}

// day plays the demonstration's day, once.
func (o options) day(ctx context.Context, out io.Writer) error {
	played := filepath.Join(o.data, "day")
	if _, err := os.Stat(filepath.Join(played, "aws.db")); err == nil {
		fmt.Fprintf(out, "the day in %s is taken\n", played)
		return nil
	}
	began := clock.Real()
	cmd := exec.CommandContext(ctx, filepath.Join(o.binaries, "local", "local"), "-once", "-data", played, "-template", o.template) // #nosec G204 -- a program of ours
	said, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("the day could not be played: %w\n%s", err, said)
	}
	fmt.Fprintf(out, "the demonstration's day is played in %.0f s\n", clock.Real().Sub(began).Seconds())
	return nil
}
