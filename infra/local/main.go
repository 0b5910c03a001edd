// Command local runs the whole product on one machine: the AWS endpoints it needs, the simulated WeCom, and the unmodified function
// binaries, wired by template.yaml and by nothing else. It plays the demonstration company's days, or archives one corp through a given
// library, and says whether every message is accounted for. The Makefile builds everything first:
//
//	make run [ARGS='-once -data DIR …']    plays a day
//	make ctl ARGS='[-data DIR] …'          runs the operator's command against the local data
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

// The program's exit codes.
const (
	exitAccounted = 0 // everything is archived or set aside as it should be, and nothing waits
	exitLost      = 1 // something is unaccounted for, or the program could not do its work
	exitUsage     = 2
	exitWaiting   = 3 // accounted for, but something waits for the operator
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := program(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func program(ctx context.Context, args []string) int {
	if len(args) > 0 && args[0] == "ctl" {
		return ctl(ctx, args[1:])
	}
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "local:", err)
		}
		return exitUsage
	}
	code, err := run(ctx, o, os.Stdout)
	if err != nil && ctx.Err() != nil {
		fmt.Fprintf(os.Stderr, "local: stopped before the day was over. What was archived is kept in %s, and the next run goes on with the day.\n", o.data)
		return exitLost
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		if full := tight(o.data); full != "" {
			fmt.Fprintln(os.Stderr, "local:", full)
		}
		if code == exitAccounted {
			code = exitLost
		}
	}
	return code
}

// options are the program's flags.
type options struct {
	once       bool
	show       bool
	data       string
	listen     string
	pages      string
	api        string
	wiringFile string
	wecomURL   string
	library    string
	corp       string
	secretFile string
	keyFolder  string
	binaries   string
	reversed   bool
	patience   time.Duration
}

func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("local", flag.ContinueOnError)
	f.SetOutput(out)
	f.BoolVar(&o.once, "once", false, "play one day unattended, print its account, and end")
	f.BoolVar(&o.show, "show", false, "play nothing: show the mailbox and the status of what is in the data folder")
	f.StringVar(&o.data, "data", ".local", "folder that keeps everything")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "address of the AWS endpoint; port 0 takes a free one")
	f.StringVar(&o.pages, "pages", "127.0.0.1:0", "address of the mailbox and status pages")
	f.StringVar(&o.api, "api", "127.0.0.1:0", "address of the receivers API and of WeCom's callbacks, with an issuer of tokens below it")
	f.StringVar(&o.wiringFile, "template", "template.yaml", "the wiring")
	f.StringVar(&o.wecomURL, "wecom-url", "", "where every WeCom client goes instead of the simulator")
	f.StringVar(&o.library, "sdk-lib", "", "archive -corp through this library, without a story")
	f.StringVar(&o.corp, "corp", "", "the corp for -sdk-lib")
	f.StringVar(&o.secretFile, "secret-file", "", "file with the corp's message-archiving secret, for -sdk-lib")
	f.StringVar(&o.keyFolder, "keys", "", "folder with the corp's private keys, named <publickey_ver>.pem, for -sdk-lib")
	f.DurationVar(&o.patience, "patience", 2*time.Minute, "how long a corp may bring no whole batch, or a job make no progress, before it is left to you")
	f.BoolVar(&o.reversed, "reversed", false, "deliver queued jobs in reverse order")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is one word too many", f.Arg(0))
	}
	if o.show && (o.once || o.library != "") {
		return o, errors.New("-show plays nothing: leave -once and -sdk-lib out")
	}
	if o.patience <= 0 {
		return o, fmt.Errorf("-patience %v is no time to wait: give a duration such as 2m", o.patience)
	}
	if o.library != "" && (!o.once || o.corp == "" || o.secretFile == "" || o.keyFolder == "") {
		return o, errors.New("-sdk-lib needs -once, -corp ID, -secret-file FILE and -keys FOLDER beside it")
	}
	if o.library == "" && (o.corp != "" || o.secretFile != "" || o.keyFolder != "") {
		return o, errors.New("-corp, -secret-file and -keys go with -sdk-lib PATH")
	}
	for _, path := range []*string{&o.data, &o.wiringFile, &o.library, &o.secretFile, &o.keyFolder} {
		if *path == "" {
			continue
		}
		whole, err := filepath.Abs(*path)
		if err != nil {
			return o, fmt.Errorf("find %s: %w", *path, err)
		}
		*path = whole
	}
	self, err := os.Executable()
	if err != nil {
		return o, fmt.Errorf("find the built programs: %w", err)
	}
	o.binaries = filepath.Dir(filepath.Dir(self))
	return o, nil
}
