// Command drill shows that the archive can be recovered: it plays the demonstration's day, breaks a copy of it in one way after another, recovers
// each as docs/recover.md tells the operator to, and holds the account of every message against the one from before. It owns the damage and
// the stopwatch; what mends is vaultctl and the product's own functions. It must mend nothing itself that an operator could not.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// options are the program's flags.
type options struct {
	folders command.Folders // a day that is in the one for data is not played again; its copies are in folders beside it
	only    string          // names of drills, with commas; "" all
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
	command.Main("drill", func(ctx context.Context, args []string, out io.Writer) error {
		o, err := parse(args)
		if err != nil {
			return err
		}
		return o.all(ctx, out)
	})
}

func parse(args []string) (options, error) {
	o := options{folders: command.Folders{Again: true}}
	f := command.Flags("drill")
	o.folders.Flags(f)
	f.StringVar(&o.only, "only", "", "names of drills, with commas; empty runs all")
	if err := command.Parse(f, args); err != nil {
		return o, err
	}
	for name := range strings.SplitSeq(o.only, ",") {
		if name != "" && !slices.ContainsFunc(drills(), func(d drill) bool { return d.name == name }) {
			return o, command.Misuse("-only: there is no drill %q", name)
		}
	}
	return o, nil
}

// chosen are the drills that run.
func (o options) chosen() []drill {
	return slices.DeleteFunc(drills(), func(d drill) bool { return o.only != "" && !slices.Contains(strings.Split(o.only, ","), d.name) })
}

// all plays the day and runs the drills, each over a copy of it. One that fails does not keep the others from running.
func (o options) all(ctx context.Context, out io.Writer) (err error) {
	done, err := o.folders.Open("drill")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
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
	chosen := o.chosen()
	line := progress.New(os.Stderr, "drills", "drills", int64(len(chosen)))
	defer line.Done()
	out = line.Beside(out)
	for _, d := range chosen {
		fmt.Fprintf(out, "\n%s: %s\n", d.name, d.what)
		line.Note(d.name)
		s := &scene{options: o, data: filepath.Join(o.folders.Data, d.name), out: out}
		err := s.play(ctx, d)
		line.Add(1)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(out, "  FAILED: %v\n", err)
		}
		results = append(results, result{d.name, s.took, s.note, err})
	}
	line.Done()
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
	played := filepath.Join(o.folders.Data, "day")
	if _, err := os.Stat(filepath.Join(played, "aws.db")); err == nil {
		fmt.Fprintf(out, "the day in %s is taken\n", played)
		return nil
	}
	line := progress.New(os.Stderr, "the demonstration's day", "", 0)
	defer line.Done()
	out = line.Beside(out)
	began := clock.Real()
	cmd := exec.CommandContext(ctx, filepath.Join(o.folders.Binaries, "local", "local"), "-once", "-data", played, "-template", o.folders.Template) // #nosec G204 -- a program of ours
	said, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("the day could not be played: %w\n%s", err, said)
	}
	fmt.Fprintf(out, "the demonstration's day is played in %.0f s\n", clock.Real().Sub(began).Seconds())
	return nil
}
