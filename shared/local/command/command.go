// Package command is what the commands that prove something on this machine have in common: how they begin (signals, an environment without
// settings for a real account, where programs, wiring and data lie) and how they end (the exit code, the folder that is taken away again).
// It must not know what any of them does.
package command

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
	"syscall"

	"github.com/wecomvault/wecomvault/shared/local/house"
)

// The exit codes of every command.
const (
	Good   = 0
	Failed = 1 // what the command is to show is not so, or could not be shown
	Usage  = 2
)

// Exit is an error of which everything is said already: the command ends with this code and no further words.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }

// Misuse is an error about the command's own flags: it ends with Usage.
func Misuse(format string, args ...any) error { return misuse{fmt.Errorf(format, args...)} }

// Main runs a command until it has ended or is interrupted, and ends the process. Results go to out; progress and errors to standard error.
func Main(name string, run func(ctx context.Context, args []string, out io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := house.CleanEnvironment()
	if err == nil {
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	os.Exit(code(name, err, os.Stderr))
}

// code says why a command failed, unless that is said, and with what it ends.
func code(name string, err error, stderr io.Writer) int {
	var exit Exit
	var wrong misuse
	switch {
	case err == nil:
		return Good
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return Usage
	default:
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return Failed
	}
}

// Flags begins a command's flags.
func Flags(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ContinueOnError) }

// Parse reads flags, and nothing but flags. What is wrong with them the set has said itself then.
func Parse(set *flag.FlagSet, args []string) error {
	if err := set.Parse(args); err != nil {
		return Exit(Usage)
	}
	if set.NArg() > 0 {
		return Misuse("%q is one word too many", set.Arg(0))
	}
	return nil
}

// Seed is the flag by which a run that draws is played again.
func Seed(set *flag.FlagSet, seed *uint64) {
	set.Uint64Var(seed, "seed", 0, "replays a run; 0 draws another each time")
}

// Drawn is a seed that was given, or a new one: of nine digits at most, for people to copy.
func Drawn(seed uint64) uint64 {
	if seed == 0 {
		seed = rand.Uint64N(1e9-1) + 1 // #nosec G404 -- printed, to replay the run
	}
	return seed
}

// Folders say where a command finds what it runs and leaves what it makes. All are absolute after Open.
type Folders struct {
	Data     string
	Binaries string // as make build lays it out
	Template string // the file of the wiring
	Keep     bool
	Again    bool // the command takes up what an earlier run has left in Data
}

// Flags adds -data, -binaries, -template and -keep.
func (f *Folders) Flags(set *flag.FlagSet) {
	set.StringVar(&f.Data, "data", "", "folder for what the run leaves; empty: a temporary one, which is removed at the end unless -keep is given")
	set.StringVar(&f.Binaries, "binaries", "", "folder of the built programs; empty: where this one lies")
	set.StringVar(&f.Template, "template", "template.yaml", "the wiring")
	set.BoolVar(&f.Keep, "keep", false, "leave the data")
}

// Open finds the folders and makes the one for data. done takes a temporary one away; what the user named stays.
func (f *Folders) Open(name string) (done func() error, err error) {
	if f.Binaries == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the built programs: %w", err)
		}
		f.Binaries = filepath.Dir(filepath.Dir(self))
	}
	if err := Absolute(&f.Binaries, &f.Template); err != nil {
		return nil, err
	}
	if f.Data != "" {
		return func() error { return nil }, f.own()
	}
	if f.Data, err = os.MkdirTemp("", "wecomvault-"+name+"-"); err != nil {
		return nil, fmt.Errorf("make a folder for the data: %w", err)
	}
	return func() error {
		if f.Keep {
			return nil
		}
		if err := os.RemoveAll(f.Data); err != nil {
			return fmt.Errorf("remove the data: %w", err)
		}
		return nil
	}, nil
}

// own makes the folder that the user named, or takes it as it is if nothing is in it: what an earlier run left would be taken for this one's.
func (f *Folders) own() error {
	if err := Absolute(&f.Data); err != nil {
		return err
	}
	if err := os.MkdirAll(f.Data, 0o700); err != nil {
		return fmt.Errorf("make the folder for the data: %w", err)
	}
	if f.Again {
		return nil
	}
	held, err := os.ReadDir(f.Data)
	if err != nil {
		return fmt.Errorf("read the folder for the data: %w", err)
	}
	if len(held) > 0 {
		return Misuse("-data %s holds something already: name an empty folder, or a new one", f.Data)
	}
	return nil
}

// Absolute makes paths whole, so that programs in other folders find them.
func Absolute(paths ...*string) error {
	for _, p := range paths {
		whole, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("find %s: %w", *p, err)
		}
		*p = whole
	}
	return nil
}
