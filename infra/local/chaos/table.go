package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// all does the parts that were asked for.
func (o options) all(ctx context.Context, out io.Writer) (err error) {
	o.seed = command.Drawn(o.seed)
	done, err := o.folders.Open("chaos")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	fmt.Fprintf(out, "chaos: SEED=%d N=%d, in %s\n", o.seed, o.messages, o.folders.Data)
	began := clock.Real()
	if err := shortTemplate(o.folders.Template, filepath.Join(o.folders.Data, templateFile), timeouts); err != nil {
		return err
	}
	for _, part := range strings.Split(o.parts, ",") {
		switch part {
		case "table":
			err = o.table(ctx, out)
		case "storm":
			err = o.storm(ctx, out)
		case "full":
			err = o.fullDisk(ctx, out)
		case "mutants":
			err = o.mutantsNoticed(ctx, out)
		default:
			err = fmt.Errorf("there is no part %q: table, storm, full and mutants are", part)
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "chaos: SEED=%d, all as in the undisturbed run, %v\n", o.seed, clock.Real().Sub(began).Round(time.Second))
	return nil
}

// tableShape is the corpus of the fault table: small, with one of each kind.
var tableShape = shape{messages: 60, page: 8, corps: 2}

// baseline is an undisturbed run.
type baseline struct {
	corpus string
	state  state
	sites  map[string]bool // calls that were seen, and whether they write
	wecom  []string        // WeCom's APIs that were called
	calls  []string        // calls of the library
}

// undisturbed plays a corpus without any fault.
func (o options) undisturbed(ctx context.Context, out io.Writer, name, corpus string) (baseline, error) {
	b := baseline{corpus: corpus}
	r, err := o.newRun(name, corpus)
	if err != nil {
		return b, err
	}
	line := progress.New(os.Stderr, "the undisturbed run ("+name+")", "messages fetched", 0)
	defer line.Done()
	c := &child{run: r, out: line.Beside(out), line: line}
	if b.state, err = c.toTheEnd(ctx); err != nil {
		return b, err
	}
	return b, b.discover(r)
}

// discover reads what a run was seen to call.
func (b *baseline) discover(r run) error {
	text, err := os.ReadFile(filepath.Join(r.Data, sitesFile))
	if err != nil {
		return fmt.Errorf("read the calls that were seen: %w", err)
	}
	if err := json.Unmarshal(text, &b.sites); err != nil {
		return fmt.Errorf("read the calls that were seen: %w", err)
	}
	if text, err = os.ReadFile(filepath.Join(r.Data, wecomCallsFile)); err != nil {
		return fmt.Errorf("read WeCom's calls: %w", err)
	}
	if err := json.Unmarshal(text, &b.wecom); err != nil {
		return fmt.Errorf("read WeCom's calls: %w", err)
	}
	if text, err = os.ReadFile(filepath.Join(r.Data, callsFile)); err != nil {
		return fmt.Errorf("read the library's calls: %w", err)
	}
	b.calls = strings.Fields(string(text))
	slices.Sort(b.calls)
	b.calls = slices.Compact(b.calls)
	return nil
}

// lines are the fault table: each call that was seen, with each fault that makes sense for it.
func (b baseline) lines() []line {
	var out []line
	for s, w := range b.sites {
		out = append(out, line{s, refused}, line{s, late})
		if w {
			out = append(out, line{s, failed}, line{s, cut})
		}
		if w && strings.Contains(s, " ses:Send") {
			out = append(out, line{s, withheld})
		}
	}
	slices.SortFunc(out, func(a, b line) int { return strings.Compare(string(a.Mode)+a.Site, string(b.Mode)+b.Site) })
	return out
}

// tableBase makes the corpus of the fault table and plays it undisturbed, twice: two such runs must be equal, or no comparison means anything.
func (o options) tableBase(ctx context.Context, out io.Writer) (baseline, error) {
	corpus := filepath.Join(o.folders.Data, "table-corpus")
	sh := tableShape
	sh.seed = o.seed
	if _, err := makeCorpus(ctx, corpus, sh); err != nil {
		return baseline{}, err
	}
	base, err := o.undisturbed(ctx, out, "undisturbed", corpus)
	if err != nil {
		return base, err
	}
	again, err := o.undisturbed(ctx, out, "undisturbed-again", corpus)
	if err != nil {
		return base, err
	}
	return base, told(out, "two undisturbed runs", append(compare(base.state, again.state), unasked(group{}, append(base.state.Doubles, again.state.Doubles...))...))
}

func (o options) table(ctx context.Context, out io.Writer) error {
	base, err := o.tableBase(ctx, out)
	if err != nil {
		return err
	}
	return o.faults(ctx, out, base)
}

// told prints differences, and is an error if there are any.
func told(out io.Writer, what string, d []difference) error {
	if len(d) == 0 {
		return nil
	}
	for i, one := range d {
		if i == 40 {
			fmt.Fprintf(out, "    and %d more\n", len(d)-i)
			break
		}
		fmt.Fprintln(out, "   ", one)
	}
	return fmt.Errorf("%s: %d differences", what, len(d))
}

// wecomCallsFile lists the APIs of WeCom that a run called.
const wecomCallsFile = "wecom.json"

// writeCalls notes which of WeCom's APIs were called since the companies were entered.
func (p *player) writeCalls(ctx context.Context) error {
	seen := map[string]bool{}
	for _, c := range p.corpus.Corps {
		a, err := p.sim.Account(ctx, c.ID)
		if err != nil {
			return err
		}
		for api, n := range a.Calls {
			if n > p.operators[c.ID+" "+api] {
				seen[api] = true
			}
		}
	}
	faults, err := p.sim.Faults(ctx)
	if err != nil {
		return err
	}
	for _, f := range faults {
		p.notes.Waiting = append(p.notes.Waiting, f.API)
	}
	var names []string
	for api := range seen {
		names = append(names, api)
	}
	slices.Sort(names)
	b, err := json.Marshal(names)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.run.Data, wecomCallsFile), b, 0o600); err != nil {
		return fmt.Errorf("write WeCom's calls: %w", err)
	}
	return nil
}
