// Command upgrade deploys another version while the archive works: over the endpoints and the template of this version it runs the functions
// of an older one, and changes them in the middle of batches, forth and back, with jobs of both in the queues. Then it holds the archive against
// what the simulated WeCom handed out: nothing may be lost, doubled or left behind. It plays and compares; it builds nothing.
//
//	make upgrade [FROM=COMMIT] [N=MESSAGES]
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
)

// options are the program's flags.
type options struct {
	before, after string // folders as make build lays them out
	template      string
	data          string
	n, times      int
	patience      time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := program(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "upgrade:", err)
		os.Exit(1)
	}
}

func program(ctx context.Context, args []string, out io.Writer) (err error) {
	var o options
	f := flag.NewFlagSet("upgrade", flag.ContinueOnError)
	f.StringVar(&o.before, "old", "", "folder of the older version's programs")
	f.StringVar(&o.after, "new", "", "folder of this version's programs")
	f.StringVar(&o.template, "template", "template.yaml", "this version's template")
	f.StringVar(&o.data, "data", "", "folder to work in; empty takes one that is removed")
	f.IntVar(&o.n, "n", 4000, "how many messages are sent")
	f.IntVar(&o.times, "times", 5, "how often a version is deployed, new and old in turn, beginning and ending with the new one")
	f.DurationVar(&o.patience, "patience", 3*time.Minute, "how long to wait for one thing to happen")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if o.before == "" || o.after == "" || o.n < 100 || o.times < 1 || o.times%2 == 0 {
		return errors.New("-old and -new name what was built, -n is at least 100, -times is odd")
	}
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "wecomvault-upgrade-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.data)) }()
	}
	for _, path := range []*string{&o.before, &o.after, &o.template, &o.data} {
		whole, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
		*path = whole
	}
	return play(ctx, o, out)
}
