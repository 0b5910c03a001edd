// Command upgrade deploys another version while the archive works: over the endpoints and the template of this version it runs the functions
// of an older one, and changes them in the middle of batches, forth and back, with jobs of both in the queues. Then it holds the archive against
// what the simulated WeCom handed out: nothing may be lost, doubled or left behind. It plays and compares; it builds nothing.
//
//	make upgrade [FROM=COMMIT] [N=MESSAGES]
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// options are the program's flags.
type options struct {
	folders  command.Folders // its programs are this version's
	before   string          // the older version's, as make build lays them out
	n, times int
	patience time.Duration
}

func main() { command.Main("upgrade", upgradeInFlight) }

func upgradeInFlight(ctx context.Context, args []string, out io.Writer) (err error) {
	var o options
	f := command.Flags("upgrade")
	o.folders.Flags(f)
	f.StringVar(&o.before, "old", "", "folder of the older version's programs")
	f.IntVar(&o.n, "n", 4000, "how many messages are sent")
	f.IntVar(&o.times, "times", 5, "how often a version is deployed, new and old in turn, beginning and ending with the new one")
	f.DurationVar(&o.patience, "patience", 3*time.Minute, "how long to wait for one thing to happen")
	if err := command.Parse(f, args); err != nil {
		return err
	}
	if o.before == "" || o.n < 100 || o.times < 1 || o.times%2 == 0 {
		return command.Misuse("-old names what was built of the older version, -n is at least 100, -times is odd")
	}
	done, err := o.folders.Open("upgrade")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if err := command.Absolute(&o.before); err != nil {
		return err
	}
	line := progress.New(os.Stderr, "upgrade in flight", "messages", int64(o.n))
	defer line.Done()
	return play(ctx, o, line.Beside(out), line)
}
