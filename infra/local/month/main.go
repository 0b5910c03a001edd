// Command month plays a month of two companies in the simulated WeCom against the whole product, and holds the mails and messages in WeCom that it causes against a
// month that was written by hand: expected.txt says for each day who gets which report and what it must state. What is sent beyond that is as wrong as what
// is missing or comes twice. Then it plays the same month with every schedule doubled and functions killed at random, and expects the same.
//
// It owns the month and the reading of what is sent; what runs is the product itself, through package house. It must not take the expectation from what the product
// does, and must not look at the product's own account of what it sent: a mail is what the local SES was given, a message in WeCom what its member is shown.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/progress"
)

func main() { command.Main("month", month) }

// options are the command's flags.
type options struct {
	folders command.Folders
	days    int
	seed    uint64
	calm    bool // leave the disturbed month out
}

func parse(args []string) (options, error) {
	var o options
	f := command.Flags("month")
	o.folders.Flags(f)
	command.Seed(f, &o.seed)
	f.IntVar(&o.days, "days", wholeMonth, "how many days of the month are played")
	f.BoolVar(&o.calm, "calm", false, "play the month undisturbed alone")
	if err := command.Parse(f, args); err != nil {
		return o, err
	}
	if o.days < 1 || o.days > wholeMonth {
		return o, command.Misuse("-days %d: the month has the days 1 to %d", o.days, wholeMonth)
	}
	o.seed = command.Drawn(o.seed)
	return o, nil
}

func month(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	want, err := expectation()
	if err != nil {
		return err
	}
	want = want.until(o.days)
	kept := o.folders.Data != "" || o.folders.Keep
	done, err := o.folders.Open("month")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	began, wrong := clock.Real(), 0
	passes := []pass{{name: "calm"}, {name: "storm", seed: o.seed}}
	if o.calm {
		passes = passes[:1]
	}
	line := progress.New(os.Stderr, "the month", "days", int64(o.days*len(passes)))
	defer line.Done()
	out = line.Beside(out)
	for i, p := range passes {
		p.before = i * o.days
		p.data = filepath.Join(o.folders.Data, p.name)
		if err := os.MkdirAll(p.data, 0o700); err != nil {
			return fmt.Errorf("make the folder for the data: %w", err)
		}
		if p.seed != 0 {
			fmt.Fprintf(out, "Again, with every schedule doubled and functions killed: -seed %d\n", p.seed)
		}
		from := clock.Real()
		got, notes, err := play(ctx, o, p, line)
		if err != nil {
			return fmt.Errorf("the %s month: %w", p.name, err)
		}
		diff, told := compare(want, got), 0
		for _, l := range got {
			if l.Report == inWeCom {
				told++
			}
		}
		wrong += len(diff)
		fmt.Fprintf(out, "%s: %d days, %d mails, %d messages in WeCom, %s, %v%s\n", p.title(), o.days, len(got)-told, told, found(len(diff)), clock.Real().Sub(from).Round(time.Second), notes)
		for _, d := range diff {
			fmt.Fprintln(out, d)
		}
	}
	line.Done()
	fmt.Fprintf(out, "%d mails and messages in WeCom are expected in each. It took %v.\n", len(want), clock.Real().Sub(began).Round(time.Second))
	if kept {
		fmt.Fprintf(out, "The mailbox: make run ARGS='-show -data %s'\n", filepath.Join(o.folders.Data, passes[0].name))
	}
	if wrong > 0 {
		return command.Exit(command.Failed)
	}
	return nil
}

func found(n int) string {
	switch n {
	case 0:
		return "all as expected"
	case 1:
		return "1 difference"
	default:
		return fmt.Sprintf("%d differences", n)
	}
}
