package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/progress"
	"github.com/wecomvault/wecomvault/shared/reading"
)

// historian makes the history of one corp's directory anew of WeCom's answers in the bucket, and holds the ledger's against it: of departments and members what
// was seen and what happened, of all entries the states.
type historian struct {
	*program
	corp   archive.CorpID
	mend   bool
	made   *reading.Rebuilt
	line   *directory.Timeline         // of the readings that the ledger has
	there  map[moment]ledger.Snapshot  // these
	moving bool                        // a reading is not settled: directory is at work, or was broken off
	held   map[reading.Who]ledger.Held // the ledger's newest states
	sum    rewritten

	mu    sync.Mutex
	found []dissent
}

// rewritten is the account of one corp's history.
type rewritten struct {
	Corp        archive.CorpID `json:"corp"`
	Readings    int            `json:"readings"` // whole ones, in the bucket
	Entries     int            `json:"entries"`
	Events      int            `json:"events"` // of them
	Differences int            `json:"differences"`
	Mended      int            `json:"mended"`
	Unsettled   int            `json:"unsettled"` // differences while directory is at work, or was broken off
	Kept        int            `json:"kept"`      // recorded events that the bucket's readings contradict: they stay as they were told, and count as no difference
	Seconds     float64        `json:"seconds"`
}

// contradicted is what is wrong with a recorded event that does not follow from the bucket's readings.
const contradicted = "contradicted"

// differences is what the ledger has otherwise of one entry.
type differences struct {
	who                 reading.Who
	life                reading.Life
	stored              []directory.Event // the ledger's
	putLooks, dropLooks []directory.Look
	notices             []directory.Notice
	put, drop           []directory.Event
	states              []directory.Entry // that the ledger's history lacks
	newest              bool              // the newest state is another
	held                ledger.Held       // the ledger's
	extra               int               // states that only the ledger has: they stay
}

func (d *differences) any() bool {
	return len(d.putLooks)+len(d.dropLooks)+len(d.notices)+len(d.put)+len(d.drop)+len(d.states)+d.extra > 0 || d.newest
}

func rebuildDirectory(ctx context.Context, p *program, args []string) error {
	f := flags("rebuild directory")
	id, mend, kmsKey := f.String("corp", "", ""), f.Bool("mend", false, ""), f.String("kms-key", "", "")
	if err := parse(f, args); err != nil {
		return err
	}
	all, err := p.corpsOf(ctx, *id)
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := p.audit(ctx, "rebuild", c.ID, "directory"); err != nil {
			return err
		}
	}
	there, err := p.ledger.HasDirectoryTable(ctx)
	if err != nil {
		return err
	}
	if !there {
		if !*mend || *kmsKey == "" {
			return fmt.Errorf("the table %s is lost. Restore it from its past or from a backup if there is one; else rebuild directory -mend -kms-key ARN, with the ARN of the stack's DirectoryKey, makes it again and fills it", p.tables.Directory)
		}
		if err := p.ledger.MakeDirectoryTable(ctx, *kmsKey); err != nil {
			return err
		}
	}
	open := 0
	for _, c := range all {
		h := &historian{program: p, corp: c.ID, mend: *mend}
		if err := h.run(ctx); err != nil {
			return fmt.Errorf("rebuild the directory of corp %s: %w", c.ID, err)
		}
		open += h.sum.Differences - h.sum.Mended
	}
	if open > 0 {
		return fmt.Errorf("%d differences", open)
	}
	return nil
}

func (h *historian) run(ctx context.Context) error {
	began := clock.Real()
	var all []*differences
	for look := range looks {
		h.found, h.sum = nil, rewritten{Corp: h.corp}
		var err error
		if all, err = h.compare(ctx); err != nil {
			return err
		}
		if len(h.found) == 0 || look == looks-1 {
			break
		}
		if err := pause(ctx, h.second); err != nil { // directory may have been at work
			return err
		}
	}
	stays := slices.DeleteFunc(slices.Clone(h.found), func(d dissent) bool { return d.What != contradicted })
	h.found = slices.DeleteFunc(h.found, func(d dissent) bool { return d.What == contradicted })
	h.sum.Kept = len(stays)
	lacking := slices.ContainsFunc(h.found, func(d dissent) bool { return d.Kind == "snap" && d.What == ledger.Extra })
	state := "open"
	switch {
	case h.moving:
		state = "unsettled"
		h.sum.Unsettled = len(h.found)
	case h.mend && lacking:
		h.sum.Differences = len(h.found)
	case h.mend:
		if err := h.write(ctx, all); err != nil {
			return err
		}
		state = "mended"
		h.sum.Differences = len(h.found)
	default:
		h.sum.Differences = len(h.found)
	}
	lines := json.NewEncoder(h.out)
	lines.SetEscapeHTML(false)
	slices.SortStableFunc(h.found, func(a, b dissent) int { return strings.Compare(a.Kind+" "+a.Key, b.Kind+" "+b.Key) })
	for _, d := range h.found {
		d.State = state
		if state == "mended" && d.Kind == "hist" && d.What == ledger.Extra {
			d.State, d.Hint = "open", "only the ledger has it: it stays"
		} else if state == "mended" {
			h.sum.Mended++
		}
		if err := lines.Encode(d); err != nil {
			return err
		}
	}
	for _, d := range stays {
		d.State, d.Hint = "kept", "it stays as it was told: nobody is told again"
		if err := lines.Encode(d); err != nil {
			return err
		}
	}
	h.sum.Seconds = float64(clock.Real().Sub(began).Milliseconds()) / 1000
	if err := lines.Encode(h.sum); err != nil {
		return err
	}
	if h.mend && lacking {
		return errors.New("the ledger has readings that the bucket has not: nothing is mended, for the ledger knows more. Restore the bucket's objects from a copy first")
	}
	return nil
}

// compare holds the ledger against the bucket, and keeps what it finds.
func (h *historian) compare(ctx context.Context) ([]*differences, error) {
	line := progress.New(h.log, fmt.Sprintf("readings of corp %s", h.corp), "readings", 0)
	made, err := reading.Rebuild(ctx, h.store, h.corp, func(int, int) { line.Add(1) })
	line.Done()
	if err != nil {
		return nil, err
	}
	h.made = made
	h.sum.Readings = len(made.Records)
	if err := h.ledgers(ctx); err != nil {
		return nil, err
	}
	recorded := map[moment]bool{}
	for _, r := range made.Records {
		recorded[momentOf(r.Asked, r.Answered)] = true
		if _, ok := h.there[momentOf(r.Asked, r.Answered)]; !ok {
			h.note("snap", ledger.Missing, fmt.Sprint(r.Asked.UnixMilli()))
		}
	}
	for at, s := range h.there {
		if !recorded[at] && s.Settled {
			h.note("snap", ledger.Extra, fmt.Sprint(at.asked))
		}
	}
	entries := made.Entries()
	for w := range h.held {
		if _, ok := slices.BinarySearchFunc(entries, w, compareWho); !ok {
			entries = append(entries, w)
		}
	}
	slices.SortFunc(entries, compareWho)
	entries = slices.Compact(entries)
	h.sum.Entries = len(entries)
	all := make([]*differences, len(entries))
	failed := make([]error, len(entries))
	next := make(chan int)
	var running sync.WaitGroup
	count := progress.New(h.log, fmt.Sprintf("entries of corp %s", h.corp), "entries", int64(len(entries)))
	defer count.Done()
	for range atOnce {
		running.Go(func() {
			for i := range next {
				func() {
					defer fault.Catch(&failed[i])
					all[i], failed[i] = h.entry(ctx, entries[i])
				}()
				count.Add(1)
			}
		})
	}
	for i := range entries {
		next <- i
	}
	close(next)
	running.Wait()
	return all, errors.Join(failed...)
}

// moment is when a reading began and ended, in milliseconds: two may begin at once.
type moment struct{ asked, answered int64 }

func momentOf(asked, answered time.Time) moment {
	return moment{asked.UnixMilli(), answered.UnixMilli()}
}

func compareWho(a, b reading.Who) int {
	return strings.Compare(string(a.Kind)+"#"+a.ID, string(b.Kind)+"#"+b.ID)
}

// ledgers reads what the ledger has of the whole corp.
func (h *historian) ledgers(ctx context.Context) error {
	h.there, h.held, h.moving = map[moment]ledger.Snapshot{}, map[reading.Who]ledger.Held{}, false
	var glances []directory.Glance
	settled := false
	err := h.ledger.Snapshots(ctx, h.corp, func(s ledger.Snapshot) bool { // the newest first
		if s.Until.IsZero() {
			return true // of a version that kept no looks
		}
		settled = settled || s.Settled
		h.moving = h.moving || !settled
		h.there[momentOf(s.At, s.Until)] = s
		glances = append(glances, s.Glances()...)
		return true
	})
	if err != nil {
		return err
	}
	h.line = directory.NewTimeline(glances)
	return h.ledger.Helds(ctx, h.corp, func(s ledger.Held) bool {
		h.held[reading.Who{Kind: s.Kind, ID: s.ID}] = s
		return true
	})
}

func (h *historian) note(kind, what, key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.found = append(h.found, dissent{Corp: h.corp, Kind: kind, What: what, Key: key})
}

// entry compares one entry.
func (h *historian) entry(ctx context.Context, w reading.Who) (*differences, error) {
	there, err := h.ledger.Life(ctx, h.corp, w.Kind, w.ID)
	if err != nil {
		return nil, err
	}
	stored, err := h.ledger.KeptEvents(ctx, h.corp, there.Events)
	if err != nil {
		return nil, err
	}
	states, err := h.ledger.EntryHistory(ctx, h.corp, w.Kind, w.ID)
	if err != nil {
		return nil, err
	}
	d := &differences{who: w, life: h.made.Life(w, there.Notices...), stored: stored, held: h.held[w]}
	h.mu.Lock()
	h.sum.Events += len(d.life.Events)
	h.mu.Unlock()
	name := string(w.Kind) + " " + w.ID
	same := func(a, b directory.Look) bool {
		return a.Same(b) && a.Asked.Equal(b.Asked) && a.Answered.Equal(b.Answered)
	}
	for _, l := range d.life.Looks.Looks {
		if !slices.ContainsFunc(there.Looks.Looks, func(o directory.Look) bool { return same(l, o) }) {
			d.putLooks = append(d.putLooks, l)
			h.note("look", ledger.Missing, fmt.Sprintf("%s %d", name, l.Asked.UnixMilli()))
		}
	}
	for _, l := range there.Looks.Looks {
		counts := l.Part == "" || h.line.Has(directory.Glance{Part: l.Part, Via: l.Via, Asked: l.Asked, Answered: l.Answered})
		if counts && !slices.ContainsFunc(d.life.Looks.Looks, func(o directory.Look) bool { return same(l, o) }) {
			d.dropLooks = append(d.dropLooks, l)
			h.note("look", ledger.Extra, fmt.Sprintf("%s %d", name, l.Asked.UnixMilli()))
		}
	}
	for _, n := range d.life.Notices {
		if !slices.ContainsFunc(there.Notices, func(o directory.Notice) bool { return o.At.Equal(n.At) && o.Says == n.Says && o.NewID == n.NewID }) {
			d.notices = append(d.notices, n)
			h.note("notice", ledger.Missing, fmt.Sprintf("%s %d", name, n.At.UnixMilli()))
		}
	}
	kept, aside := directory.Keep(stored, d.life.Events) // as directory does: a recorded event is only ever narrowed
	for _, e := range aside {
		h.note("event", contradicted, e.Key())
	}
	put, drop := directory.Reconcile(stored, kept)
	for _, e := range put {
		d.put = append(d.put, directory.Record([]directory.Event{e}, stored, e.By)...)
		what := ledger.Missing
		if slices.ContainsFunc(stored, func(s directory.Event) bool { return s.Key() == e.Key() }) {
			what = ledger.Altered
		}
		h.note("event", what, e.Key())
	}
	for _, e := range drop {
		d.drop = append(d.drop, e)
		h.note("event", ledger.Extra, e.Key())
	}
	d.compareStates(states, func(kind, what string) { h.note(kind, what, name) })
	return d, nil
}

// compareStates holds the states in their order against each other. When exactly one began is a little otherwise where a state was found by two looks at once.
func (d *differences) compareStates(there []directory.Entry, note func(kind, what string)) {
	want, got := runs(d.life.States), runs(there)
	if !slices.EqualFunc(want, got, sameState) {
		for _, e := range want {
			if !slices.ContainsFunc(there, func(o directory.Entry) bool { return sameState(e, o) && e.At.Equal(o.At) }) {
				d.states = append(d.states, e)
				note("hist", ledger.Missing)
			}
		}
		for _, e := range got {
			if !slices.ContainsFunc(d.life.States, func(o directory.Entry) bool { return sameState(e, o) && e.At.Equal(o.At) }) {
				d.extra++
				note("hist", ledger.Extra)
			}
		}
	}
	if len(want) == 0 {
		return
	}
	newest := want[len(want)-1]
	switch {
	case d.held.Fields == "":
		d.newest = true
		note("dir", ledger.Missing)
	case !sameState(newest, d.held.Entry):
		d.newest = true
		note("dir", ledger.Altered)
	}
}

func sameState(a, b directory.Entry) bool { return a.Fields == b.Fields && a.Gone == b.Gone }

// runs is states without those that repeat the one before.
func runs(states []directory.Entry) []directory.Entry {
	return slices.CompactFunc(slices.Clone(states), sameState)
}

// write puts into the ledger what the bucket gives: the looks before the readings that they were taken from, and what follows after both.
func (h *historian) write(ctx context.Context, all []*differences) error {
	all = slices.DeleteFunc(all, func(d *differences) bool { return !d.any() })
	for _, d := range all {
		if err := h.ledger.PutLooks(ctx, h.corp, d.putLooks); err != nil {
			return err
		}
		for _, n := range d.notices {
			if err := h.ledger.PutNotice(ctx, h.corp, n); err != nil {
				return err
			}
		}
	}
	for _, r := range h.made.Records {
		if _, ok := h.there[momentOf(r.Asked, r.Answered)]; ok {
			continue
		}
		s := ledger.Snapshot{Corp: h.corp, At: r.Asked, Until: r.Answered, Object: r.Object, Version: r.Version, Counts: r.Counts, Settled: true}
		if err := h.ledger.PutSnapshot(ctx, s); err != nil {
			return err
		}
	}
	writer := rand.Text()
	for _, d := range all {
		err := errors.Join(h.ledger.PutEvents(ctx, h.corp, d.put), h.ledger.DropLooks(ctx, h.corp, d.dropLooks), h.ledger.DropEvents(ctx, h.corp, d.drop),
			h.ledger.RestoreStates(ctx, h.corp, d.states))
		if err != nil {
			return err
		}
		if !d.newest {
			continue
		}
		d.held.Entry = d.life.States[len(d.life.States)-1]
		if d.who.Kind == directory.KindDepartment || d.who.Kind == directory.KindMember {
			err = h.ledger.PutHeld(ctx, h.corp, d.held, writer)
		} else {
			err = h.ledger.RestoreNewest(ctx, h.corp, d.held.Entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
