// Command bill says what the product costs to run. It brings messages through the real function binaries over the local endpoints, meters what AWS
// would bill, and prices it by the list of shared/local/prices: dollars per million messages, and the monthly bill of companies of four sizes. It fails when a figure
// is worse than its floor. It must not know a price that is not in the file, nor call anything but this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/prices"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

func main() { command.Main("bill", reckon) }

// options are the program's flags.
type options struct {
	n         int
	sizes     []int
	members   int
	grown     int
	folders   command.Folders
	roundTrip time.Duration
}

func parse(args []string) (options, error) {
	var o options
	f := command.Flags("bill")
	f.IntVar(&o.n, "n", 4000, "messages brought through each batch size")
	sizes := f.String("sizes", "4,30,1000", "messages a batch, from small to large")
	f.IntVar(&o.members, "members", 100, "archived users of the measured company")
	f.IntVar(&o.grown, "grown", 1000, "members that it has at the end, for what grows with them")
	f.DurationVar(&o.roundTrip, "round-trip", 8*time.Millisecond, "what each call of AWS takes longer there than here; it is added to what functions run")
	o.folders.Flags(f)
	if err := command.Parse(f, args); err != nil {
		return o, err
	}
	for _, word := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > largestPage || len(o.sizes) > 0 && n <= o.sizes[len(o.sizes)-1] {
			return o, command.Misuse("-sizes %s: numbers from 1 to %.0f that grow, with commas between", *sizes, largestPage)
		}
		o.sizes = append(o.sizes, n)
	}
	if len(o.sizes) < 2 || o.n < 2*o.sizes[len(o.sizes)-1] {
		return o, command.Misuse("two sizes at least, and -n at least twice the largest")
	}
	return o, nil
}

func reckon(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	table, err := prices.List()
	if err != nil {
		return err
	}
	done, err := o.folders.Open("bill")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	wired, err := template.Load(o.folders.Template, map[string]string{template.Region: house.Region, template.AccountID: house.Account, template.Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		return err
	}
	b := bench{folders: o.folders, roundTrip: o.roundTrip}
	var samples []sample
	for i, size := range o.sizes {
		began := clock.Real()
		grown := 0
		if i == len(o.sizes)-1 {
			grown = o.grown
		}
		s, err := b.measure(ctx, size, o.n, o.members, grown)
		if err != nil {
			return fmt.Errorf("%d messages a batch: %w", size, err)
		}
		fmt.Fprintf(out, "measured %d messages in batches of %d (company of %d) in %v\n", o.n, size, s.members, clock.Real().Sub(began).Round(time.Second))
		samples = append(samples, s)
	}
	p := printer{out: out, prices: table, samples: samples, model: fit(samples), fixed: fixedOf(wired), roundTrip: o.roundTrip}
	return p.all()
}
