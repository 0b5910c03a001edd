// Command bench measures what the README claims of speed and memory: the unmodified function binaries over the local endpoints, with a WeCom and a
// library that take next to no time of their own. It prints a table, and fails when a figure is below its floor.
//
//	make bench [N=1000000] [ARGS='-only flow,delay …']
//	make bench-compare BASE=<commit>
//
// Processor time is counted of the functions' own processes alone, with the library's child and the gateway; the endpoints' is not, since AWS
// runs those. What depends on the machine is stated beside what it was measured against in the same run: bare RSA, an empty handler.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/command"
)

func main() { command.Main("bench", measured) }

// options are the program's flags.
type options struct {
	folders command.Folders
	n       int
	out     string
	only    []string
	floors  bool
	size    int64
	watch   time.Duration
	users   int
}

// parts are what can be measured by itself, in their order.
var parts = []string{"cold", "flow", "catchup", "fsck", "replay", "media", "delay", "noon", "crowd", "directory"}

func parseOptions(args []string) (options, error) {
	var o options
	var only string
	f := command.Flags("bench")
	o.folders.Flags(f)
	f.IntVar(&o.n, "n", 100_000, "messages of the main measurement")
	f.StringVar(&o.out, "out", "", "file for the samples in the format of Go's benchmarks, appended to")
	f.StringVar(&only, "only", strings.Join(parts, ","), "what to measure")
	f.BoolVar(&o.floors, "floors", true, "fail when a figure is below its floor")
	f.Int64Var(&o.size, "file", 1<<30, "bytes of the large attachment")
	f.DurationVar(&o.watch, "watch", time.Minute, "how long messages are sent for each of the two measurements of delay")
	f.IntVar(&o.users, "users", 100_000, "users of the large company; a department for every 20, a receiver for every 50")
	if err := command.Parse(f, args); err != nil {
		return o, err
	}
	o.only = strings.Split(only, ",")
	for _, p := range o.only {
		if !slices.Contains(parts, p) {
			return o, command.Misuse("-only %s: there are %s", p, strings.Join(parts, ", "))
		}
	}
	if o.n < 1000 || o.size < 64<<20 || o.users < 1000 {
		return o, command.Misuse("-n and -users are 1,000 and more, -file 64 MiB and more")
	}
	return o, nil
}

func measured(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	r := &results{values: map[string]float64{}}
	err = o.run(ctx, r, out)
	below := r.print(out)
	if o.out != "" {
		err = errors.Join(err, o.write(r))
	}
	if err == nil && len(below) > 0 && o.floors {
		fmt.Fprintf(out, "\nBelow the floor: %s (exit %d)\n", strings.Join(below, ", "), command.Failed)
		return command.Exit(command.Failed)
	}
	return err
}

// run measures what was asked for.
func (o options) run(ctx context.Context, r *results, out io.Writer) (err error) {
	done, err := o.folders.Open("bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	m, err := startMeter()
	if err != nil {
		return err
	}
	defer m.close()
	w, err := startWeCom()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	r.note("%s, %d processors, %s", machine(), runtime.NumCPU(), runtime.Version())
	b := &bench{options: o, results: r, meter: m, wecom: w, out: out}
	for _, stage := range []struct {
		parts []string
		run   func(context.Context) error
	}{
		{[]string{"cold"}, b.cold},
		{[]string{"flow", "catchup", "fsck", "replay", "media"}, b.archive},
		{[]string{"delay"}, b.delay},
		{[]string{"noon"}, b.noon},
		{[]string{"crowd"}, b.crowd},
		{[]string{"directory"}, b.readings},
	} {
		if slices.ContainsFunc(stage.parts, b.wanted) {
			if err := stage.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(stage.parts, ", "), err)
			}
		}
	}
	return nil
}

func (o options) wanted(part string) bool { return slices.Contains(o.only, part) }

func (o options) write(r *results) error {
	f, err := os.OpenFile(o.out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	return errors.Join(r.benchmarks(f), f.Close())
}

// machine is the processor's name.
func machine() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
