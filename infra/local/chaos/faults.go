package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
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

// groups puts entries of one mode and kind together, at most n of them. Two faults of the same call are never in one run.
func groups(all []entry, n int) []group {
	var out []group
	open := map[string]int{}
	for _, e := range dealt(all) {
		name := e.kind + "-" + string(e.Mode)
		if e.kind == atWeCom {
			name = e.kind + "-" + e.trouble.Kind
		}
		if e.kind == atLibrary {
			name = e.kind + "-" + strings.ReplaceAll(strings.SplitN(e.library, " * ", 2)[1], " ", "-")
		}
		at, ok := open[name]
		if !ok || len(out[at].entries) >= n {
			at = len(out)
			out, open[name] = append(out, group{name: name}), at
		}
		out[at].entries = append(out[at].entries, e)
	}
	// The longest first, so that the last ones don't run alone.
	slices.SortStableFunc(out, func(a, b group) int { return len(b.entries) - len(a.entries) })
	return out
}

// dealt puts the callers in turn: faults of one function follow each other in a run, those of several are played together.
func dealt(all []entry) []entry {
	by := map[string][]entry{}
	var callers []string
	for _, e := range all {
		who, _, _ := strings.Cut(e.Site, " ")
		if len(by[who]) == 0 {
			callers = append(callers, who)
		}
		by[who] = append(by[who], e)
	}
	out := make([]entry, 0, len(all))
	for len(out) < len(all) {
		for _, who := range callers {
			if left := by[who]; len(left) > 0 {
				out, by[who] = append(out, left[0]), left[1:]
			}
		}
	}
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
	fmt.Fprintf(out, "the fault table: %d lines, of %d calls of the endpoints, %d of WeCom, %d of the library\n", len(entries), len(base.sites), len(base.wecom), len(base.calls))
	todo := groups(entries, o.perRun)
	played, doubles, failures := 0, 0, []error(nil)
	for round := 1; len(todo) > 0 && round <= rounds; round++ {
		var missed []entry
		for _, r := range o.groupsAtOnce(ctx, out, base, todo, round) {
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
	fmt.Fprintf(out, "the fault table: %d of %d lines played, %d differences; %d mails possibly double, each marked and counted\n", played, len(entries), len(failures), doubles)
	return errors.Join(failures...)
}

// rounds is how often a line is tried whose call did not come: another fault of the same run may have taken its place.
const rounds = 3

// groupsAtOnce plays groups, some at a time.
func (o options) groupsAtOnce(ctx context.Context, out io.Writer, base baseline, todo []group, round int) []*result {
	results := make([]*result, len(todo))
	var all sync.WaitGroup
	room := make(chan struct{}, max(1, o.jobs))
	var printing sync.Mutex
	for i, g := range todo {
		all.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			results[i] = o.group(ctx, base, g, fmt.Sprintf("%s-%d-%d", g.name, round, i))
			r := results[i]
			word := "as undisturbed"
			if r.err != nil || len(r.diff) > 0 {
				word = "DIFFERENT"
			}
			printing.Lock()
			defer printing.Unlock()
			fmt.Fprintf(out, "  %-20s %2d lines, %2d played, %s in %v (released %d, nudged %d, doubles %d)\n", g.name, len(g.entries), len(g.entries)-len(r.unhit), word,
				r.took.Round(100*time.Millisecond), r.state.Notes.Released, r.state.Notes.Nudges, len(r.state.Doubles))
		})
	}
	all.Wait()
	return results
}

// group plays one run with all its faults.
func (o options) group(ctx context.Context, base baseline, g group, name string) *result {
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
	c := &child{run: play, out: &r.output}
	r.state, r.err = c.toTheEnd(ctx)
	r.took = clock.Real().Sub(began)
	if r.err != nil {
		return r
	}
	r.diff = compare(base.state, r.state)
	if r.unhit, r.err = unhit(play, g.entries, r.state.Notes.Waiting); r.err == nil && len(r.diff) == 0 && !o.keep {
		r.err = os.RemoveAll(play.Data)
	}
	return r
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
