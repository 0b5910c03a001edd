package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
)

// figure is one thing that is measured: what is aimed at, and below what the command fails. A floor lies at most half-way between what was measured
// when it was set and the aim, and leaves room for a noisy machine; it is moved when the product becomes faster, never when it becomes slower.
type figure struct {
	name   string
	what   string
	unit   string
	more   bool    // more is better
	around float64 // not 0: neither more nor less is better, and aim and floor are how far it may be from this
	was    float64 // what was measured, 100,000 messages on two shared cores, when the floor was set
	aim    float64 // NaN: none
	floor  float64 // NaN: none; it is stated only
}

var none = math.NaN()

// figures is the table of all figures, in the order of their printing.
func figures() []figure {
	return []figure{
		{"ratio", "bare RSA's share of the processor time of fetch and process", "", true, 0, 0.87, 0.95, 0.84},
		{"rate", "messages per CPU-second of fetch, process, gateway and library", "msg/s", true, 0, 882, none, none},
		{"growth", "ten times the messages: times the processor time", "x", false, 10, 9.98, 0.5, 1.5},
		{"fetch-memory", "fetch: peak above an empty handler, batches of 1,000", "MB", false, 0, 21.9, 22, 24},
		{"process-memory", "process: peak above an empty handler, batches of 1,000", "MB", false, 0, 26.7, 22, 28},
		{"child-memory", "the simulated library's process: peak, batches of 1,000", "MB", false, 0, 14, 25, 25},
		{"empty-memory", "an empty handler: peak", "MB", false, 0, 6.5, none, none},
		{"cold", "cold start of the slowest function, times an empty handler's", "x", false, 0, 2.8, 1.5, 3.2},
		{"delay-p50", "message sent to queryable, polls of 5 s: half", "s", false, 0, 2.6, none, none},
		{"delay-p99", "message sent to queryable, polls of 5 s: 99 of 100", "s", false, 0, 5.05, 6.5, 6.5},
		{"delay-p99-disturbed", "the same while a corp hangs and another is a million behind", "s", false, 0, 8.15, 6.5, 10},
		{"safe", "four days of 10,000 people (1.2 million): until all is in S3", "min", false, 0, 2, 10, 10},
		{"caught-up", "four days of 10,000 people: until all can be queried, two processors", "min", false, 0, 19.2, 15, 25},
		{"files", "waiting attachments of 200 KB brought in", "files/s", true, 0, 35.8, 20, 15},
		{"media-memory", "media: peak above an empty handler, a file of 1 GB", "MB", false, 0, 29.2, 30, 33},
		{"file-memory", "media: peak with a file of 1 GB above that with one of 64 MB", "MB", false, 0, 2.05, 2, 4},
		{"file-speed", "a file of 1 GB through library, gateway and S3", "MB/s", true, 0, 33.1, none, none},
		{"fsck", "fsck, every batch, segment and row", "msg/s", true, 0, 4431, 5000, 3000},
		{"noon-usual", "noon of 3,000 users, 200 receivers: until all mails are sent", "s", false, 0, 91.6, 30, 180},
		{"noon-users", "noon: twice the users, times report's processor time", "x", false, 0, 1.68, 2.1, 2.6},
		{"noon-receivers", "noon: twice the receivers, times report's processor time", "x", false, 0, 1.44, 2.1, 2.6},
		{"noon-both", "noon: twice both, times report's processor time", "x", false, 0, 2.2, 2.3, 3},
		{"crowd-invocations", "noon of 100,000 users, 2,000 receivers: invocations of report, one every ten minutes", "", false, 0, 2, 1, 3},
		{"crowd-cpu", "the same: report's processor time", "s", false, 0, 105, none, none},
		{"crowd-sent", "the same: until all mails are sent", "s", false, 0, 540, 300, 900},
		{"crowd-report-memory", "the same: report's peak memory", "MB", false, 0, 194, 256, 256},
		{"crowd-mail-memory", "the same: mail's peak memory", "MB", false, 0, 66.5, 64, 128},
		{"crowd-feedback-memory", "the same: feedback's peak memory", "MB", false, 0, 16.1, 64, 128},
		{"crowd-reads", "the same: reads of the ledger by report, for each user", "", false, 0, 3.05, 3.1, 3.5},
		{"crowd-mails", "the same: mails", "", false, 0, none, none, none},
		{"directory-invocations", "first reading of its directory: invocations of directory, one an hour", "", false, 0, 1, 1, 3},
		{"directory-took", "the same: until all is read and written", "s", false, 0, 149, 600, 1800},
		{"directory-cpu", "the same: directory's processor time", "s", false, 0, 82.8, none, none},
		{"directory-requests", "the same: requests to the ledger, for each user", "", false, 0, 3.28, 3.5, 4},
		{"directory-again-cpu", "a later reading without news: directory's processor time", "s", false, 0, 16.7, none, none},
		{"directory-memory", "both: directory's peak memory", "MB", false, 0, 181, 256, 256},
		{"replay", "replay into new tables", "msg/s", true, 0, 5319, 3000, 3000},
	}
}

// results gathers what was measured, and writes it.
type results struct {
	values map[string]float64
	lines  []string // in the format of Go's benchmarks
	notes  []string
}

func (r *results) set(figure string, value float64) {
	r.values[figure] = value
	r.sample(figure, value)
}

// sample adds a value for benchstat, which needs several of each.
func (r *results) sample(name string, value float64) {
	unit := strings.ToLower(name)
	for _, f := range figures() {
		if f.name == name && f.unit != "" {
			unit = f.unit
		}
	}
	r.lines = append(r.lines, fmt.Sprintf("Benchmark%s 1 %g %s", camel(name), value, unit))
}

func camel(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "-") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

func (r *results) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// print writes the table and returns the figures that are below their floors.
func (r *results) print(w io.Writer) (below []string) {
	fmt.Fprintf(w, "\n%-72s %10s %-8s %9s %9s %9s\n", "figure", "measured", "", "was", "aim", "floor")
	for _, f := range figures() {
		v, ok := r.values[f.name]
		if !ok {
			continue
		}
		verdict := ""
		switch {
		case f.beyond(v, f.floor):
			verdict = "  BELOW ITS FLOOR"
			below = append(below, f.name)
		case f.beyond(v, f.aim):
			verdict = "  short of its aim"
		}
		fmt.Fprintf(w, "%-72s %10s %-8s %9s %9s %9s%s\n", f.what, plain(v), f.unit, plain(f.was), f.bound(f.aim), f.bound(f.floor), verdict)
	}
	for _, n := range r.notes {
		fmt.Fprintln(w, "  "+n)
	}
	return below
}

// beyond says whether a value is worse than a bound. Nothing is worse than none.
func (f figure) beyond(value, bound float64) bool {
	switch {
	case math.IsNaN(bound):
		return false
	case f.around != 0:
		return math.Abs(value-f.around) > bound
	case f.more:
		return value < bound
	default:
		return value > bound
	}
}

// bound is an aim or a floor as it is printed.
func (f figure) bound(v float64) string {
	if f.around != 0 && !math.IsNaN(v) {
		return plain(f.around) + "±" + plain(v)
	}
	return plain(v)
}

func plain(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// benchmarks writes the samples as Go's benchmarks are written, for benchstat.
func (r *results) benchmarks(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: wecomvault/bench\n", runtime.GOOS, runtime.GOARCH); err != nil {
		return err
	}
	for _, l := range r.lines {
		if _, err := fmt.Fprintln(w, l); err != nil {
			return err
		}
	}
	return nil
}
