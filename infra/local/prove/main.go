// Command prove plays the simulated company in the user's own AWS account, under a prefix of its own, and takes everything away again: the
// product's stack as it is, and beside it the simulated WeCom as a function. It owns the order of what is made, played, read and removed.
// It must not touch anything whose name does not begin with its prefix, and it knows no data but simulated ones.
//
// NEVER RUN: nobody has run it against AWS yet. What its tests hold is the plan, the refusals, the order of removal and the calls of the
// aws and sam commands, against stand-ins of these.
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
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := program(ctx, os.Args[1:], commands{}, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(1)
	}
}

// options are what the user has to say.
type options struct {
	prefix, account, region, mail string
	folder                        string // what was built: folder simulator.yaml, simulator/, layer/, and the product's build
	product                       string // template that sam build wrote
	vaultctl                      string
	dry, teardown                 bool
	patience                      time.Duration
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("prove", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.prefix, "prefix", "", "name of the run; it must begin with prove-")
	f.StringVar(&o.account, "account", "", "the 12 digits of the account that is meant, so that it is no other one by mistake")
	f.StringVar(&o.region, "region", os.Getenv("AWS_REGION"), "region to run in")
	f.StringVar(&o.mail, "mail", "", "address verified in SES, which the run's mails come from and go to")
	f.StringVar(&o.folder, "folder", "build/prove", "where make prove-aws put what it built")
	f.StringVar(&o.product, "product", ".aws-sam/build/template.yaml", "the template that sam build wrote")
	f.StringVar(&o.vaultctl, "vaultctl", "build/local/vaultctl", "the operator's command")
	f.BoolVar(&o.dry, "dry", false, "print the plan and do nothing")
	f.BoolVar(&o.teardown, "teardown", false, "only remove what a former run with this prefix left")
	f.DurationVar(&o.patience, "patience", 30*time.Minute, "how long to wait for one thing to happen")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is one word too many", f.Arg(0))
	}
	return o, o.check()
}

var (
	prefixes  = regexp.MustCompile(`^prove-[a-z0-9]{1,12}$`)
	accounts  = regexp.MustCompile(`^[0-9]{12}$`)
	regions   = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	addresses = regexp.MustCompile(`^[^@\s<>]+@[^@\s<>]+$`)
)

// check refuses what could hit anything but a run of its own.
func (o options) check() error {
	switch {
	case !prefixes.MatchString(o.prefix):
		return fmt.Errorf("the prefix %q is refused: it begins with prove- and goes on with up to 12 small letters and digits, so that it can be no stack that holds anything", o.prefix)
	case !accounts.MatchString(o.account):
		return errors.New("name the account with ACCOUNT=<12 digits>: the run goes into that one or nowhere")
	case !regions.MatchString(o.region):
		return errors.New("name the region with REGION=<region>, or AWS_REGION")
	case !addresses.MatchString(o.mail):
		return errors.New("name an address that is verified in SES with MAIL=<address>: the reports go from it to it")
	}
	return nil
}

func (o options) vault() string     { return o.prefix + "-vault" }
func (o options) simulator() string { return o.prefix + "-wecom" }

// runner starts another program and returns what it printed.
type runner interface {
	run(ctx context.Context, environment []string, name string, args ...string) ([]byte, error)
}

// commands runs real programs.
type commands struct{}

func (commands) run(ctx context.Context, environment []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), environment...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args[:min(2, len(args))], " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// step is one part of the run.
type step struct {
	name string // what is done
	why  string // what it shows, or why it is done here
	do   func(context.Context) error
}

func program(ctx context.Context, args []string, r runner, out io.Writer) error {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	p := &proof{options: o, runner: r, out: out}
	first, play, last := p.steps()
	if o.dry {
		fmt.Fprintf(out, "The plan of prove-aws in account %s, %s, under the prefix %s. It has never been run against AWS. Nothing is done now.\n", o.account, o.region, o.prefix)
		for _, part := range []struct {
			name  string
			steps []step
		}{{"before", first}, {"the day", play}, {"removal, whatever happened before", last}} {
			fmt.Fprintf(out, "\n%s\n", part.name)
			for _, s := range part.steps {
				fmt.Fprintf(out, "  %s\n      %s\n", s.name, s.why)
			}
		}
		return nil
	}
	if err := p.all(ctx, first[:1]); err != nil { // who we are comes first in either case
		return err
	}
	if o.teardown {
		return p.remove(ctx, last)
	}
	if err := p.all(ctx, first[1:]); err != nil {
		return err
	}
	err = p.all(ctx, play)
	if err != nil {
		fmt.Fprintf(out, "FAILED: %v\nremoving what was made\n", err)
	}
	// An interrupt ends the day, not the removal.
	return errors.Join(err, p.remove(context.WithoutCancel(ctx), last))
}

func (p *proof) all(ctx context.Context, steps []step) error {
	for _, s := range steps {
		fmt.Fprintln(p.out, s.name)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// remove goes on after a step that failed: what can be removed is, and the rest is named.
func (p *proof) remove(ctx context.Context, steps []step) error {
	var failed []error
	for _, s := range steps {
		fmt.Fprintln(p.out, s.name)
		if err := s.do(ctx); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
			fmt.Fprintf(p.out, "  not done: %v\n", err)
		}
	}
	if len(failed) > 0 {
		failed = append(failed, errors.New("something is left in the account: run again with TEARDOWN=1"))
	}
	return errors.Join(failed...)
}
