package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// entry is one line of the fault table, with how it is played: at the endpoints, by WeCom, or by the library.
type entry struct {
	line
	kind    string // endpoint, wecom or library
	library string // what the library does
	trouble wecomsim.Fault
}

// The kinds of entry.
const (
	atEndpoint = "endpoint"
	atWeCom    = "wecom"
	atLibrary  = "library"
)

// Modes that only WeCom and the library have.
const (
	garbled mode = "garbled" // an answer that is not WeCom's, or half of it
	crashed mode = "crashed" // the library's process ends
)

// entries are the whole fault table.
func (b baseline) entries() []entry {
	var out []entry
	for _, l := range b.lines() {
		out = append(out, entry{line: l, kind: atEndpoint})
	}
	for _, api := range b.wecom {
		for _, f := range []struct {
			mode
			wecomsim.Fault
		}{
			{refused, wecomsim.Fault{Kind: wecomsim.FaultCode, ErrCode: -1}}, {refused, wecomsim.Fault{Kind: wecomsim.Fault500}}, {failed, wecomsim.Fault{Kind: wecomsim.FaultReset}},
			{cut, wecomsim.Fault{Kind: wecomsim.FaultClose}}, {garbled, wecomsim.Fault{Kind: wecomsim.FaultHTML}}, {garbled, wecomsim.Fault{Kind: wecomsim.FaultCut}},
			{garbled, wecomsim.Fault{Kind: wecomsim.FaultEmpty}}, {late, wecomsim.Fault{Kind: wecomsim.FaultHang}},
		} {
			f.API, f.Times = api, 1
			out = append(out, entry{line: line{"WeCom " + api + " (" + f.Kind + ")", f.mode}, kind: atWeCom, trouble: f.Fault})
		}
	}
	for _, call := range b.calls {
		for _, act := range []struct {
			mode
			text string
		}{{refused, "code 10001"}, {crashed, "abort"}, {crashed, "segfault"}, {late, "hang"}} {
			if call == "ping" && act.mode == refused {
				continue // it has no code
			}
			out = append(out, entry{line: line{"library " + call + " (" + act.text + ")", act.mode}, kind: atLibrary, library: call + " * " + act.text})
		}
	}
	return out
}

// group is what is played in one run.
type group struct {
	name    string
	entries []entry
}

// groups puts entries of one mode and kind together, at most n of them, and those of one caller as far apart as can be: faults of one function
// are met one after the other, those of several at the same time.
func groups(all []entry, n int) []group {
	byName := map[string][]entry{}
	for _, e := range all {
		name := e.kind + "-" + string(e.Mode)
		if e.kind == atWeCom {
			name = e.kind + "-" + e.trouble.Kind
		}
		if e.kind == atLibrary {
			name = e.kind + "-" + strings.ReplaceAll(strings.SplitN(e.library, " * ", 2)[1], " ", "-")
		}
		byName[name] = append(byName[name], e)
	}
	var out []group
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		entries := byName[name]
		slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(a.Site, b.Site) })
		parts := make([]group, (len(entries)+n-1)/n)
		for i, e := range entries {
			parts[i%len(parts)].name = name
			parts[i%len(parts)].entries = append(parts[i%len(parts)].entries, e)
		}
		out = append(out, parts...)
	}
	// The slowest first, so that the last ones don't run alone.
	slow := func(g group) int {
		if g.entries[0].Mode == late {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b group) int { return slow(a) - slow(b) })
	return out
}

// result is what became of a group.
type result struct {
	group
	unhit  []entry
	diff   []difference
	err    error
	took   time.Duration
	state  state
	output bytes.Buffer
}

// faults plays the whole table and prints what became of each line.
func (o options) faults(ctx context.Context, out io.Writer, base baseline) error {
	entries := base.entries()
	whole := len(entries)
	if o.short() {
		entries = o.sample(entries)
	}
	fmt.Fprintf(out, "the fault table: %d lines, of %d calls of the endpoints, %d of WeCom, %d of the library\n", whole, len(base.sites), len(base.wecom), len(base.calls))
	if o.short() {
		fmt.Fprintf(out, "  of which SEED=%d plays %d here; make chaos without N plays all\n", o.seed, len(entries))
	}
	if o.only != "" {
		entries = slices.DeleteFunc(entries, func(e entry) bool { return !strings.Contains(e.String(), o.only) })
		fmt.Fprintf(out, "  of which %d are played here, for -only %q\n", len(entries), o.only)
	}
	line := progress.New(os.Stderr, "the fault table", "lines", int64(len(entries)))
	defer line.Done()
	out = line.Beside(out)
	todo := groups(entries, o.perRun)
	played, doubles, failures := 0, 0, []error(nil)
	for round := 1; len(todo) > 0 && round <= rounds; round++ {
		var missed []entry
		for _, r := range o.groupsAtOnce(ctx, out, line, base, todo, round) {
			switch {
			case r.err != nil:
				fmt.Fprintf(out, "%s", r.output.Bytes())
				failures = append(failures, fmt.Errorf("%s: %w", r.name, r.err))
			case len(r.diff) > 0:
				failures = append(failures, told(out, r.name, r.diff))
			}
			if r.err != nil || len(r.diff) > 0 {
				for _, e := range r.entries {
					fmt.Fprintln(out, "    in that run:", e.line)
				}
			}
			played += len(r.entries) - len(r.unhit)
			doubles += len(r.state.Doubles)
			missed = append(missed, r.unhit...)
		}
		if err := errors.Join(failures...); err != nil {
			return err
		}
		todo = groups(missed, o.perRun)
		if round == rounds {
			for _, e := range missed {
				failures = append(failures, fmt.Errorf("never played: %v", e.line))
			}
		}
	}
	line.Done()
	fmt.Fprintf(out, "the fault table: %d of %d lines played, %d differences; %d mails possibly double, each marked and counted\n", played, len(entries), len(failures), doubles)
	return errors.Join(failures...)
}

// sampled is how many lines the short version plays: others with each seed.
const sampled = 40

// sample draws lines for the short version, without those that take a minute.
func (o options) sample(all []entry) []entry {
	all = slices.DeleteFunc(all, func(e entry) bool { return e.Mode == late && strings.HasPrefix(e.Site, "FsckFunction ") })
	r := rand.New(rand.NewPCG(o.seed, 5)) // #nosec G404 -- a seed replays the run
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(sampled, len(all))]
}

// rounds is how often a line is tried whose call did not come: another fault of the same run may have taken its place.
const rounds = 3

// groupsAtOnce plays groups, some at a time.
func (o options) groupsAtOnce(ctx context.Context, out io.Writer, line *progress.Line, base baseline, todo []group, round int) []*result {
	results := make([]*result, len(todo))
	var all sync.WaitGroup
	room := make(chan struct{}, max(1, o.jobs))
	var printing sync.Mutex
	for i, g := range todo {
		all.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			results[i] = o.group(ctx, base, g, fmt.Sprintf("%s-%d-%d", g.name, round, i), func(r *run) {
				if round == 1 { // a place that is called more seldom is played at its first call then
					r.Nth = o.nth
				}
			})
			r := results[i]
			word := "as undisturbed"
			if errors.Is(r.err, context.Canceled) {
				return
			}
			if r.err != nil || len(r.diff) > 0 {
				word = "DIFFERENT"
			}
			line.Add(int64(len(g.entries) - len(r.unhit)))
			printing.Lock()
			defer printing.Unlock()
			fmt.Fprintf(out, "  %-20s %2d lines, %2d played, %s in %v (released %d, nudged %d, doubles %d)\n", g.name, len(g.entries), len(g.entries)-len(r.unhit), word,
				r.took.Round(100*time.Millisecond), r.state.Notes.Released, r.state.Notes.Nudges, len(r.state.Doubles))
		})
	}
	all.Wait()
	return results
}

// group plays one run with all its faults. change may alter the run before.
func (o options) group(ctx context.Context, base baseline, g group, name string, change func(*run)) *result {
	began := clock.Real()
	r := &result{group: g, unhit: g.entries}
	play, err := o.newRun(name, base.corpus)
	if err != nil {
		r.err = err
		return r
	}
	for i, e := range g.entries {
		switch e.kind {
		case atEndpoint:
			play.Faults = append(play.Faults, e.line)
		case atWeCom:
			play.WeCom = append(play.WeCom, e.trouble)
		case atLibrary:
			token := filepath.Join(play.Data, fmt.Sprintf("library-%d", i))
			if err := os.WriteFile(token, nil, 0o600); err != nil {
				r.err = err
				return r
			}
			play.Library = append(play.Library, "once "+token+" "+e.library)
		}
	}
	if change != nil {
		change(&play)
	}
	c := &child{run: play, out: &r.output}
	r.state, r.err = c.toTheEnd(ctx)
	r.took = clock.Real().Sub(began)
	if r.err != nil {
		return r
	}
	r.diff = append(compare(base.state, r.state), unasked(g, r.state.Doubles)...)
	if r.unhit, r.err = unhit(play, g.entries, r.state.Notes.Waiting); r.err == nil && len(r.diff) == 0 && !o.folders.Keep {
		r.err = os.RemoveAll(play.Data)
	}
	return r
}

// unasked are doubles of mails in a run where no answer about a mail was withheld; and where answer and event both were, that there is none.
func unasked(g group, doubles []string) []difference {
	may, must := false, 0
	for _, e := range g.entries {
		may = may || strings.HasPrefix(e.Site, "MailFunction ") || strings.HasPrefix(e.Site, "FeedbackFunction ") || strings.HasPrefix(e.Site, "TellFunction ")
		if e.Mode == withheld {
			must++
		}
	}
	var out []difference
	if !may {
		for _, d := range doubles {
			out = append(out, difference{Item: d + " again", Got: "a double, though no answer was withheld"})
		}
	}
	if len(doubles) < must {
		out = append(out, difference{Item: "a mail whose answer and event were withheld", Want: "sent again, and marked", Got: "not sent again"})
	}
	return out
}

// unhit lists the entries of a run whose call did not come.
func unhit(play run, entries []entry, waiting []string) ([]entry, error) {
	hits, err := openJournal(filepath.Join(play.Data, hitsFile))
	if err != nil {
		return nil, err
	}
	var out []entry
	for i, e := range entries {
		hit := false
		switch e.kind {
		case atEndpoint:
			hit = hits.has(e.line)
		case atWeCom:
			hit = !slices.Contains(waiting, e.trouble.API)
		case atLibrary:
			_, err := os.Stat(filepath.Join(play.Data, fmt.Sprintf("library-%d", i)))
			hit = errors.Is(err, os.ErrNotExist)
		}
		if !hit {
			out = append(out, e)
		}
	}
	return out, nil
}
