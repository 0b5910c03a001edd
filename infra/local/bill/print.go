package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/local/prices"
)

// printer writes the bill.
type printer struct {
	out       io.Writer
	prices    prices.Table
	samples   []sample
	model     model
	fixed     fixed
	roundTrip time.Duration
}

// companySizes are archived users; ages are months after the first day, the last being the default retention.
var (
	companySizes = []float64{100, 1000, 10000, 100000}
	ages         = []float64{1, 12, 84}
)

// all prints everything. A figure below its floor is an error, of which the table has said all.
func (p printer) all() error {
	p.say("\nPrices of %s, before tax, free tiers and discounts. A GB is 2^30 bytes, a month has %.0f hours.", p.prices.AsOf, monthHours)
	p.say("Measured at the local endpoints: requests, units, bytes. Run times are the processor time taken here, and each call of AWS adds %v to them.", p.roundTrip)
	for _, f := range []func() error{p.perMillion, p.storage, p.companies, p.dominates, p.switches} {
		if err := f(); err != nil {
			return err
		}
	}
	for _, region := range p.prices.Regions {
		p.say("\nPrices stated, not verified, in %s: %s", region, strings.Join(p.prices.Unverified(region), ", "))
	}
	return p.aims()
}

func (p printer) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// table writes rows in columns.
func (p printer) table(rows [][]string) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range rows {
		fmt.Fprintln(w, "  "+strings.Join(r, "\t")+"\t")
	}
	return w.Flush()
}

func (p printer) perMillion() error {
	p.say("\nA million messages (of %.0f bytes each once decrypted), what they cause by themselves; fetch polls all day whether they come or not", p.model.plain)
	head := []string{"messages a batch"}
	for _, s := range p.samples {
		head = append(head, fmt.Sprint(s.size))
	}
	rows := [][]string{head}
	figure := func(name, format string, f func(sample) float64) {
		row := []string{name}
		for _, s := range p.samples {
			row = append(row, fmt.Sprintf(format, f(s)))
		}
		rows = append(rows, row)
	}
	figure("write units a message", "%.3f", func(s sample) float64 { return s.write })
	figure("of which first sights of people", "%.3f", func(s sample) float64 { return s.firsts / float64(s.messages) })
	figure("read units a message", "%.3f", func(s sample) float64 { return s.read })
	per := func(ids ...string) func(sample) float64 {
		return func(s sample) float64 {
			sum := 0.0
			for _, id := range ids {
				sum += s.path[id]
			}
			return sum / float64(s.messages) * 1e6
		}
	}
	figure("S3 PUT a million", "%.0f", per("s3.put"))
	figure("S3 GET a million", "%.0f", per("s3.get"))
	figure("SQS requests a million", "%.0f", per("sqs.request"))
	figure("invocations a million", "%.0f", per("lambda.request"))
	figure("GB-seconds a million", "%.0f", per("lambda.x86", "lambda.arm"))
	figure("KMS requests a million", "%.0f", per("kms.request"))
	for _, region := range p.prices.Regions {
		var failed error
		priced := func(ids ...string) func(sample) float64 {
			return func(s sample) float64 {
				u := s.perMillion()
				if len(ids) > 0 {
					for id := range u {
						if !slices.Contains(ids, id) {
							delete(u, id)
						}
					}
				}
				d, err := p.prices.Dollars(region, u)
				failed = cmp.Or(failed, err)
				return d
			}
		}
		figure(region+": DynamoDB", "$%.3f", priced("ddb.write", "ddb.read"))
		figure("S3 requests", "$%.3f", priced("s3.put", "s3.get"))
		figure("Lambda (process)", "$%.3f", priced("lambda.x86", "lambda.arm", "lambda.request"))
		figure("SQS, KMS, secrets, NAT bytes", "$%.3f", priced("sqs.request", "kms.request", "secret.request", "nat.gb", "mail"))
		figure("together", "$%.3f", priced())
		if failed != nil {
			return failed
		}
	}
	if err := p.table(rows); err != nil {
		return err
	}
	for _, s := range p.samples[1 : len(p.samples)-1] {
		want := p.model.message["ddb.write"] + p.model.batch["ddb.write"]/float64(s.size)
		p.say("  In batches of %d the companies' model, laid through the first and the last column, says %.3f write units a message beside first sights; measured were %.3f.",
			s.size, want, s.write-s.firsts/float64(s.messages))
		p.say("  (In a burst, environments of process that work side by side each write the first sights that the other has not written yet.)")
	}
	return nil
}

func (p printer) storage() error {
	p.say("\nA million messages kept for a month")
	rows := [][]string{{"messages a batch"}, {"bytes a message in S3"}, {"bytes a message in tables"}}
	for _, s := range p.samples {
		rows[0] = append(rows[0], fmt.Sprint(s.size))
		rows[1] = append(rows[1], fmt.Sprintf("%.0f", s.stored))
		rows[2] = append(rows[2], fmt.Sprintf("%.0f", s.rows))
	}
	for _, region := range p.prices.Regions {
		one, two := []string{region + ": S3"}, []string{"tables, with recovery"}
		for _, s := range p.samples {
			a, err := p.prices.Dollars(region, storedInS3(s))
			if err != nil {
				return err
			}
			b, err := p.prices.Dollars(region, usage{"ddb.storage": 1e6 * s.rows / gigabyte, "ddb.pitr": 1e6 * s.rows / gigabyte})
			if err != nil {
				return err
			}
			one, two = append(one, fmt.Sprintf("$%.4f", a)), append(two, fmt.Sprintf("$%.4f", b))
		}
		rows = append(rows, one, two)
	}
	return p.table(rows)
}

func storedInS3(s sample) usage { return usage{"s3.storage": 1e6 * s.stored / gigabyte} }

func (p printer) companies() error {
	for _, region := range p.prices.Regions {
		for _, age := range ages {
			p.say("\nA month of a company in %s, %.0f months after its first day (%d messages a user and day, polled every %.0f s)", region, age, perUser, pollEvery)
			head := []string{"archived users"}
			var rows [][]string
			total := []string{"together"}
			perUserMonth := []string{"for each user"}
			for i, users := range companySizes {
				head = append(head, fmt.Sprintf("%.0f", users))
				sum := 0.0
				for j, e := range p.model.company(users, p.fixed, age) {
					d, err := p.prices.Dollars(region, e.use)
					if err != nil {
						return err
					}
					if i == 0 {
						rows = append(rows, []string{e.name})
					}
					rows[j] = append(rows[j], fmt.Sprintf("$%.2f", d))
					sum += d
				}
				total = append(total, fmt.Sprintf("$%.2f", sum))
				perUserMonth = append(perUserMonth, fmt.Sprintf("$%.4f", sum/users))
			}
			if err := p.table(append(append([][]string{head}, rows...), total, perUserMonth)); err != nil {
				return err
			}
		}
	}
	p.say("Callbacks and the receivers API, which the template leaves off, are not in it; the noon is that of a company in which nothing has changed.")
	p.say("Taken, not measured: %.0f hours of talk a day, one attachment of %d KB in %.0f messages, %d bytes through NAT for an empty poll, %d key versions, and how often AWS renews data keys.",
		float64(talkHours), attachmentKB, 1/attachmentsIn, pollBytes, keyVersions)
	return nil
}

func (p printer) dominates() error {
	region := p.prices.Regions[0]
	p.say("\nWhat dominates in %s, after a year", region)
	for _, users := range companySizes {
		type share struct {
			name    string
			dollars float64
		}
		var list []share
		sum := 0.0
		for _, e := range p.model.company(users, p.fixed, 12) {
			d, err := p.prices.Dollars(region, e.use)
			if err != nil {
				return err
			}
			list = append(list, share{e.name, d})
			sum += d
		}
		slices.SortFunc(list, func(a, b share) int { return cmp.Compare(b.dollars, a.dollars) })
		var words []string
		for _, s := range list[:4] {
			words = append(words, fmt.Sprintf("%s %.0f %%", s.name, 100*s.dollars/sum))
		}
		p.say("  %6.0f users, $%.2f: %s", users, sum, strings.Join(words, "; "))
	}
	return nil
}

// switches says what the reader may turn off, what it saves a month, and what it takes away.
func (p printer) switches() error {
	region := p.prices.Regions[0]
	fetch := p.fixed.functions["FetchFunction"]
	smaller := fetch
	smaller.memoryMB = 256
	running := p.fixed.schedules["FetchFunction"] * (60 + handoverPart)
	save := func(u usage) string {
		d, err := p.prices.Dollars(region, u)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("$%.2f", d)
	}
	polls := 86400 / pollEvery * monthDays
	slower := usage{}
	slower.add(p.model.pollUse, polls*11/12)
	rowsAfterYear := usage{"ddb.pitr": 1000 * perUser * monthDays * 12 * p.model.rows.message / gigabyte}
	p.say("\nWhat you may turn off (a month, %s), and what it takes away", region)
	rows := [][2]string{
		{save(usage{"nat.hour": p.fixed.gateways * monthHours}), "the NAT gateway, for a NAT instance or proxy of your own: you patch it, and when it stands still nothing is pulled; WeCom keeps messages five days"},
		{save(usage{fetch.priceID(): running * (fetch.gb() - smaller.gb())}), fmt.Sprintf("fetch's memory from %d to %d MB: less room for corps in one invocation (two in 256, nine in 512), and slower catching up", fetch.memoryMB, smaller.memoryMB)},
		{save(slower), "PollInterval 60s instead of 5s: messages are queryable up to a minute later; the hours before loss stay"},
		{save(usage{"kms.key": p.fixed.keys - 1}), "all keys but one: a single key for all data classes, so that whoever may use it may read everything; keys rotated once cost one more dollar each"},
		{save(rowsAfterYear), "point-in-time recovery of table Messages (1,000 users, after a year): it is derived, and replay makes it again in hours instead of minutes. Not that of the other tables"},
		{save(usage{"alarm": p.fixed.alarmMetrics, "metric": float64(p.model.metrics), "dashboard": p.fixed.dashboards}), "alarms, metrics and dashboard: then nobody is told that an archive stands still. Don't"},
	}
	for _, r := range rows {
		p.say("  %8s  %s", r[0], r[1])
	}
	return nil
}

// target is a figure with its aim and its floor: at most so much.
type target struct {
	name             string
	value, aim, most float64
}

func (p printer) targets() ([]target, error) {
	small, large := p.samples[0], p.samples[len(p.samples)-1]
	region := p.prices.Regions[0]
	var list []target
	for _, s := range []sample{large, small} {
		if t, ok := writeTargets[s.size]; ok {
			list = append(list, target{fmt.Sprintf("write units a message at %d a batch", s.size), s.write, t.aim, t.most})
		}
	}
	for _, s := range []sample{large, small} {
		t, ok := storageTargets[s.size]
		if !ok {
			continue
		}
		d, err := p.prices.Dollars(region, storedInS3(s))
		if err != nil {
			return nil, err
		}
		list = append(list, target{fmt.Sprintf("dollars of S3 storage for a million messages and month at %d a batch", s.size), d, t.aim, t.most})
	}
	return list, nil
}

// Aims, and floors: what is worse than its floor fails the command. A floor lies half-way between what was measured on 2026-11-22 and the aim.
// Both hold for 4,000 messages of a company of 100: with fewer messages, or more people, the first sights of people weigh more.
var (
	writeTargets   = map[int]struct{ aim, most float64 }{1000: {1.3, 1.24}, 4: {2.0, 1.97}}
	storageTargets = map[int]struct{ aim, most float64 }{1000: {0.04, 0.034}, 4: {0.04, 0.037}}
)

func (p printer) aims() error {
	list, err := p.targets()
	if err != nil {
		return err
	}
	below := false
	p.say("\nAims and floors")
	rows := [][]string{{"figure", "measured", "aim: at most", "floor: at most", ""}}
	for _, t := range list {
		word := "good"
		switch {
		case math.IsNaN(t.value) || t.value > t.most:
			word, below = "BELOW THE FLOOR", true
		case t.value > t.aim:
			word = "below the aim"
		}
		rows = append(rows, []string{t.name, fmt.Sprintf("%.4f", t.value), fmt.Sprintf("%.3f", t.aim), fmt.Sprintf("%.3f", t.most), word})
	}
	if err := p.table(rows); err != nil || !below {
		return err
	}
	return command.Exit(command.Failed)
}
