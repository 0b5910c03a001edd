// Command chaos shows that nothing is lost, doubled or stuck: it plays one company's day undisturbed, then again with every fault, and compares
// the end states item by item. It owns the faults and the comparison; what runs is the product itself, through package house. It must know
// no call of the product's by name: the fault table is what an undisturbed run was seen to do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/local/house"
)

const operator = house.Operator

func main() { command.Main("chaos", chaos) }

func chaos(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 2 && args[0] == "play" {
		err := playFile(ctx, args[1], out)
		switch {
		case errors.Is(err, errStoreDied):
			return command.Exit(restartCode)
		case err != nil:
			fmt.Fprintln(out, "  chaos play:", err)
			return command.Exit(command.Failed)
		}
		return nil
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return o.all(ctx, out)
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
	folders  command.Folders
	messages int
	seed     uint64
	parts    string
	perRun   int
	jobs     int
	away     time.Duration // how long the store stays away at the beginning of the storm; below zero: as the number of messages says
	only     string        // of the mutants and lines
	nth      int
}

const (
	// longFrom is the number of messages from which on a storm is a long one: its store stays away for longAway, unless -away says otherwise.
	longFrom = 10_000
	longAway = 5 * time.Minute
)

// short says whether this is the short version, which CI runs.
func (o options) short() bool { return o.messages < 1000 }

func parseOptions(args []string) (o options, err error) {
	f := command.Flags("chaos")
	o.folders.Flags(f)
	command.Seed(f, &o.seed)
	f.IntVar(&o.messages, "n", 10_000, "messages of the storm")
	f.StringVar(&o.parts, "parts", "table,storm,full", "what to do, of table, storm, full (a full disk) and mutants")
	f.IntVar(&o.perRun, "per-run", 10, "lines of the fault table that share a run")
	f.IntVar(&o.jobs, "jobs", 6, "runs at a time")
	f.IntVar(&o.nth, "nth", 1, "which call of each place in the product a line of the fault table is played at")
	f.StringVar(&o.only, "only", "", "the mutants whose names begin so, the lines of the fault table that hold it")
	f.DurationVar(&o.away, "away", -1, "how long the store stays away at the beginning of the storm, beside the seconds that it is away for at any time (default 5m from 10,000 messages on, 0 below)")
	if err := command.Parse(f, args); err != nil {
		return o, err
	}
	if o.messages < 30 {
		return o, command.Misuse("-n %d is too few messages to hold one of each kind: give 30 or more", o.messages)
	}
	if o.away < 0 {
		o.away = 0
		if o.messages >= longFrom {
			o.away = longAway
		}
	}
	return o, nil
}
