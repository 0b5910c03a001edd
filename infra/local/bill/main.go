// Command bill says what the product costs to run. It brings messages through the real function binaries over the local endpoints, meters what AWS
// would bill, and prices it by prices.json: dollars per million messages, and the monthly bill of companies of four sizes. It fails when a figure
// is worse than its floor. It must not know a price that is not in the file, nor call anything but this machine.
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// Exit codes.
const (
	exitGood  = 0
	exitFloor = 1 // a figure is worse than its floor
	exitError = 2 // nothing could be measured
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := reckon(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bill:", err)
		code = exitError
	}
	os.Exit(code)
}

// options are the program's flags.
type options struct {
	n         int
	sizes     []int
	members   int
	grown     int
	template  string
	binaries  string
	data      string
	roundTrip time.Duration
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bill", flag.ContinueOnError)
	f.SetOutput(out)
	f.IntVar(&o.n, "n", 4000, "messages brought through each batch size")
	sizes := f.String("sizes", "4,30,1000", "messages a batch, from small to large")
	f.IntVar(&o.members, "members", 100, "archived users of the measured company")
	f.IntVar(&o.grown, "grown", 1000, "members that it has at the end, for what grows with them")
	f.StringVar(&o.template, "template", "template.yaml", "the wiring")
	f.StringVar(&o.binaries, "binaries", "", "folder of the built programs; empty: where this one lies")
	f.StringVar(&o.data, "data", "", "folder for the runs' data; empty: a temporary one")
	f.DurationVar(&o.roundTrip, "round-trip", 8*time.Millisecond, "what each call of AWS takes longer there than here; it is added to what functions run")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	for _, word := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > largestPage || len(o.sizes) > 0 && n <= o.sizes[len(o.sizes)-1] {
			return o, fmt.Errorf("-sizes %s: numbers from 1 to %.0f that grow, with commas between", *sizes, largestPage)
		}
		o.sizes = append(o.sizes, n)
	}
	if len(o.sizes) < 2 || o.n < 2*o.sizes[len(o.sizes)-1] {
		return o, errors.New("two sizes at least, and -n at least twice the largest")
	}
	if o.binaries == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find the built programs: %w", err)
		}
		o.binaries = filepath.Dir(filepath.Dir(self))
	}
	for _, path := range []*string{&o.template, &o.binaries} {
		whole, err := filepath.Abs(*path)
		if err != nil {
			return o, err
		}
		*path = whole
	}
	return o, nil
}

func reckon(ctx context.Context, args []string, out io.Writer) (code int, err error) {
	o, err := parse(args, out)
	if err != nil {
		return exitError, err
	}
	table, err := readPrices(priceFile)
	if err != nil {
		return exitError, err
	}
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "wecomvault-bill-"); err != nil {
			return exitError, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.data)) }()
	}
	wired, err := template.Load(o.template, map[string]string{template.Region: house.Region, template.AccountID: house.Account, template.Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		return exitError, err
	}
	b := bench{binaries: o.binaries, template: o.template, folder: o.data, roundTrip: o.roundTrip, out: out}
	var samples []sample
	for i, size := range o.sizes {
		began := clock.Real()
		grown := 0
		if i == len(o.sizes)-1 {
			grown = o.grown
		}
		s, err := b.measure(ctx, size, o.n, o.members, grown)
		if err != nil {
			return exitError, fmt.Errorf("%d messages a batch: %w", size, err)
		}
		fmt.Fprintf(out, "measured %d messages in batches of %d (company of %d) in %v\n", o.n, size, s.members, clock.Real().Sub(began).Round(time.Second))
		samples = append(samples, s)
	}
	p := printer{out: out, prices: table, samples: samples, model: fit(samples), fixed: fixedOf(wired), roundTrip: o.roundTrip}
	return p.all()
}
