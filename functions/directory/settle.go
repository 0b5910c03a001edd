package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// who is a department or member of one corp.
type who struct {
	kind directory.Kind
	id   string
}

// followed says whether looks are kept of entries of a kind.
func followed(kind directory.Kind) bool {
	return kind == directory.KindDepartment || kind == directory.KindMember
}

// lane is a list as one secret shows it, as a name of a mark. A look at one entry alone has the lane of no list.
func lane(part directory.Part, via string) string { return string(part) + " " + via }

// markOf is a mark of what a look says, whenever and by whom it was made.
func markOf(l directory.Look) string {
	seen, err := json.Marshal(l.Seen)
	if err != nil {
		panic(fmt.Sprintf("a map of texts can't be written: %v", err))
	}
	return archive.HashHex([]byte(string(l.Presence) + string(seen)))[:12]
}

// news is what an observation adds to one entry.
type news struct {
	ledger.Held                   // as it is to be
	changed     bool              // its state is another than it was
	state       bool              // it has one: WeCom showed it, now or before
	newer       *directory.Entry  // its state, if that was found since the observation began: it stays, and the one that the observation found is in the history
	looks       []directory.Look  // of the observation
	marks       map[string]string // of the lists that the observation looked at: what they say now, "" if they lack it

	life     ledger.Life
	blank    bool // nothing was kept of it before
	putLooks []directory.Look
	oldLooks []directory.Look
}

// compare finds the entries for which an observation has anything new: a state that changed, a list that says something else than it last did, or
// a whole list after a look at the entry alone. All others cost nothing further: the snapshot's row says of them what its lists said.
func compare(held map[who]ledger.Held, changes []directory.Entry, o directory.Observation, again map[who]bool) []*news {
	looks, glances := o.Looks()
	found := map[who]*news{}
	of := func(w who) *news {
		if found[w] == nil {
			h, known := held[w]
			found[w] = &news{Held: h, state: known, marks: map[string]string{}}
			found[w].Kind, found[w].ID = w.kind, w.id
		}
		return found[w]
	}
	for _, l := range looks {
		if l.Part == "" && said(held[who{l.Kind, l.ID}], l) {
			continue
		}
		n := of(who{l.Kind, l.ID})
		n.looks = append(n.looks, l)
		n.marks[lane(l.Part, l.Via)] = markOf(l)
	}
	whole := map[directory.Kind]bool{}
	for _, g := range glances {
		name := lane(g.Part, g.Via)
		whole[g.Kind()] = whole[g.Kind()] || g.Part != directory.PartDesignated
		for w, h := range held {
			if _, had := h.Marks[name]; had && w.kind == g.Kind() {
				n := of(w)
				if n.marks[name] != "" {
					continue
				}
				n.marks[name] = ""
				if single := lane("", g.Via); g.Part != directory.PartDesignated && n.marks[single] == "" {
					n.marks[single] = "" // who is missing begins afresh
				}
			}
		}
	}
	for _, e := range changes {
		if n := of(who{e.Kind, e.ID}); followed(e.Kind) {
			n.Entry, n.changed, n.state = e, true, true
			if h := held[who{e.Kind, e.ID}]; since(h.Entry, o) {
				n.newer = &h.Entry
			}
		}
	}
	for w := range again {
		if _, here := held[w]; here {
			of(w)
		}
	}
	for w, h := range held {
		if h.Restless && whole[w.kind] {
			of(w)
		}
	}
	var all []*news
	for w, n := range found {
		h := held[w]
		if !followed(w.kind) || !n.changed && !again[w] && !(h.Restless && whole[w.kind]) && marked(h.Marks, n.marks) {
			continue
		}
		n.Marks = mergeMarks(h.Marks, n.marks)
		// A list that broke off is a look at each whom it shows; one that was looked at alone since the list was asked for is as restless as before.
		n.Restless = (h.Restless || brokenOff(n.looks)) && !whole[w.kind] || h.Restless && since(h.Entry, o)
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *news) int { return compareWho(a.Entry, b.Entry) })
	return all
}

// brokenOff says whether a look is from no complete list.
func brokenOff(looks []directory.Look) bool {
	return slices.ContainsFunc(looks, func(l directory.Look) bool { return l.Part == "" })
}

// said says whether a look at one entry alone, or one of a list that broke off, repeats what was last said of the entry by its secret.
func said(h ledger.Held, l directory.Look) bool {
	part := directory.PartMembers
	if l.Kind == directory.KindDepartment {
		part = directory.PartDepartments
	}
	last := h.Marks[lane(part, l.Via)]
	if last == "" || h.Restless {
		last = h.Marks[lane("", l.Via)]
	}
	return last == markOf(l)
}

func compareWho(a, b directory.Entry) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
}

// marked says whether the lists say what they last did.
func marked(before, now map[string]string) bool {
	for name, m := range now {
		if before[name] != m {
			return false
		}
	}
	return true
}

func mergeMarks(before, now map[string]string) map[string]string {
	all := maps.Clone(before)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, now)
	maps.DeleteFunc(all, func(_, m string) bool { return m == "" })
	return all
}

// settling writes what an observation adds to the histories of one corp's departments and members.
//
// Order of effects: the looks; the snapshot that they were taken from; the events that follow from all looks; the states. Looks of a snapshot
// that is not recorded count for nothing, and a snapshot that is not settled has the next one look again at all that it touched. A state is
// written over the one that was read only: of two who settle one entry at once, the second reads the first one's looks too.
type settling struct {
	*refresher
	corp   archive.CorpID
	writer string
	more   []directory.Glance  // of the observation itself
	line   *directory.Timeline // of all snapshots that are recorded, and of it
	alone  bool                // it was of one entry, which is looked at again if somebody else has written it meanwhile
}

// atOnce is how many entries are read or written together.
const atOnce = 16

func (r *refresher) settling(ctx context.Context, corp archive.CorpID, o directory.Observation) (*settling, error) {
	o.Reading = directory.Reading{Parts: o.Reading.Parts} // the lists, and not everybody on them
	_, more := o.Looks()
	s := &settling{refresher: r, corp: corp, writer: rand.Text(), more: more}
	return s, s.look(ctx)
}

// look reads which snapshots there are.
func (s *settling) look(ctx context.Context) error {
	recorded, err := s.glances.of(ctx, s.ledger, s.corp)
	if err != nil {
		return err
	}
	s.line = directory.NewTimeline(slices.Concat(recorded, s.more))
	return nil
}

// settle writes what is new; record records the snapshot, if there is one.
func (s *settling) settle(ctx context.Context, all []*news, record func() error) error {
	if err := s.keepLooks(ctx, all); err != nil {
		return err
	}
	if err := record(); err != nil {
		return err
	}
	return s.follow(ctx, all)
}

// keepLooks keeps the looks at what is new.
func (s *settling) keepLooks(ctx context.Context, all []*news) error {
	err := s.each(ctx, all, func(ctx context.Context, n *news) (err error) {
		n.life, err = s.ledger.Life(ctx, s.corp, n.Kind, n.ID)
		n.blank = len(n.life.Looks.Looks)+len(n.life.Notices)+len(n.life.Events) == 0
		return err
	})
	if err != nil {
		return err
	}
	var put []directory.Look
	for _, n := range all {
		s.pack(n, s.more)
		put = append(put, n.putLooks...)
	}
	return s.ledger.PutLooks(ctx, s.corp, put)
}

// keptLooks finds again what keepLooks kept of entries that could not all be remembered. Of those that are blank there was nothing before.
func (s *settling) keptLooks(ctx context.Context, all []*news, blank map[who]bool) error {
	return s.each(ctx, all, func(ctx context.Context, n *news) (err error) {
		if blank[who{n.Kind, n.ID}] {
			s.pack(n, s.more)
			return nil
		}
		if n.life, err = s.ledger.Life(ctx, s.corp, n.Kind, n.ID); err != nil {
			return err
		}
		s.pack(n, nil) // its looks are kept, and its lists recorded
		return s.ledger.PutLooks(ctx, s.corp, n.putLooks)
	})
}

// follow writes what follows from looks that are kept.
func (s *settling) follow(ctx context.Context, all []*news) error {
	if err := s.happened(ctx, all); err != nil {
		return err
	}
	var changed []directory.Entry
	for _, n := range all {
		if n.changed {
			changed = append(changed, n.Entry)
		}
	}
	changed, err := s.ledger.PutHistory(ctx, s.corp, changed)
	if err != nil {
		return err
	}
	began := map[who]time.Time{}
	for _, e := range changed {
		began[who{e.Kind, e.ID}] = e.At
	}
	return s.each(ctx, all, func(ctx context.Context, n *news) error {
		if n.changed {
			n.At = began[who{n.Kind, n.ID}]
		}
		if n.newer != nil {
			n.Entry = *n.newer
		}
		return s.hold(ctx, n)
	})
}

// pack finds which looks are to be kept of an entry, and which are not any more. more is the lists that were not among those known when its looks were
// last packed. Looks of snapshots that are not recorded stay: theirs may be being written now.
func (s *settling) pack(n *news, more []directory.Glance) {
	packed := s.line.Add(n.Kind, n.ID, n.life.Looks, n.looks, more)
	n.putLooks, n.oldLooks = nil, nil
	for _, l := range packed.Looks {
		if !holds(n.life.Looks.Looks, l) {
			n.putLooks = append(n.putLooks, l)
		}
	}
	for _, l := range n.life.Looks.Looks {
		if !holds(packed.Looks, l) && s.line.Has(directory.Glance{Part: l.Part, Via: l.Via, Asked: l.Asked, Answered: l.Answered}) {
			n.oldLooks = append(n.oldLooks, l)
		}
	}
	n.life.Looks = packed
}

func holds(list []directory.Look, l directory.Look) bool {
	return slices.ContainsFunc(list, func(o directory.Look) bool {
		return o.Same(l) && o.Asked.Equal(l.Asked) && o.Answered.Equal(l.Answered)
	})
}

// happened writes the events that follow from the looks, one entry after the other: a long history takes memory.
func (s *settling) happened(ctx context.Context, all []*news) error {
	var stored []string
	for _, n := range all {
		stored = append(stored, n.life.Events...)
	}
	events, err := s.ledger.KeptEvents(ctx, s.corp, stored)
	if err != nil {
		return err
	}
	of := map[who][]directory.Event{}
	for _, e := range events {
		w := who{e.Kind, e.ID}
		of[w] = append(of[w], e)
	}
	var put, drop, aside []directory.Event
	var old []directory.Look
	for _, n := range all {
		stored := of[who{n.Kind, n.ID}]
		kept, stays := directory.Keep(stored, s.tells(n))
		if len(stays) > 0 {
			// Whoever recorded these may have known of looks that were kept since ours were read. An event is kept after all that it follows from.
			if stored, err = s.stored(ctx, n); err != nil {
				return err
			}
			other, err := s.anew(ctx, n)
			if err != nil {
				return err
			}
			kept, stays = directory.Keep(stored, other.tells(n))
		}
		aside = append(aside, stays...)
		p, d := directory.Reconcile(stored, kept)
		put, drop, old = append(put, directory.Record(p, stored, s.now())...), append(drop, d...), append(old, n.oldLooks...)
	}
	// One after the other: an event that is dropped before the one that takes its place is kept takes with it when it was first kept, and is told again.
	if err := s.ledger.PutEvents(ctx, s.corp, put); err != nil {
		return err
	}
	if err := s.ledger.DropLooks(ctx, s.corp, old); err != nil {
		return err
	}
	if err := s.ledger.DropEvents(ctx, s.corp, drop); err != nil {
		return err
	}
	return s.contradicted(ctx, aside)
}

// tells is the events that follow from the looks at an entry, as far as they are kept: that an entry was found by the first look at all is no change.
func (s *settling) tells(n *news) []directory.Event {
	h := directory.Fold(n.Kind, n.ID, s.line.Unpack(n.Kind, n.ID, n.life.Looks), n.life.Notices)
	return slices.DeleteFunc(slices.Clone(h.Events), func(e directory.Event) bool { return e.What == directory.Found })
}

// stored reads the events that are kept of an entry now.
func (s *settling) stored(ctx context.Context, n *news) ([]directory.Event, error) {
	life, err := s.ledger.Life(ctx, s.corp, n.Kind, n.ID)
	if err != nil {
		return nil, err
	}
	return s.ledger.KeptEvents(ctx, s.corp, life.Events)
}

// anew reads again which snapshots there are, and then the looks at one entry, and packs its own among them. The others' are as they were.
func (s *settling) anew(ctx context.Context, n *news) (*settling, error) {
	now := &settling{refresher: s.refresher, corp: s.corp, writer: s.writer, more: s.more, alone: s.alone}
	err := now.look(ctx)
	if err != nil {
		return nil, err
	}
	if n.life, err = s.ledger.Life(ctx, s.corp, n.Kind, n.ID); err != nil {
		return nil, err
	}
	now.pack(n, nil) // its looks are kept, and its lists recorded
	return now, s.ledger.PutLooks(ctx, s.corp, n.putLooks)
}

// contradicted says of events that they stay as they are kept though the looks do not tell of them any more, or as of another time: nobody is told again.
func (s *settling) contradicted(ctx context.Context, aside []directory.Event) error {
	if len(aside) == 0 {
		return nil
	}
	for _, e := range aside {
		s.log.WarnContext(ctx, "contradicted", slog.String("corp", string(s.corp)), slog.String("kind", string(e.Kind)), slog.String("what", string(e.What)),
			slog.Time("after", e.After), slog.Time("by", e.By))
	}
	m := telemetry.NewMetrics(s.metrics, s.stack, "directory")
	m.Add("Contradicted", float64(len(aside)))
	return m.Flush(s.now())
}

// races is how often an entry is settled again because somebody else has settled it meanwhile.
const races = 5

// hold writes an entry's newest state. Where somebody has written it since it was read, theirs stays, being of a look at this entry alone, or of
// the same lists; the events are found again with their looks.
func (s *settling) hold(ctx context.Context, n *news) error {
	if !n.state {
		return nil // WeCom never showed it
	}
	err := s.ledger.PutHeld(ctx, s.corp, n.Held, s.writer)
	for range races {
		if s.alone || !errors.Is(err, ledger.ErrLost) {
			return err
		}
		if n.Held, err = s.ledger.Held(ctx, s.corp, n.Kind, n.ID); err != nil {
			return err
		}
		other, failed := s.anew(ctx, n)
		if failed != nil {
			return failed
		}
		n.Marks = mergeMarks(n.Marks, other.newest(n.marks))
		if err = other.happened(ctx, []*news{n}); err != nil {
			return err
		}
		err = s.ledger.PutHeld(ctx, s.corp, n.Held, s.writer)
	}
	return err
}

// newest is those of an observation's marks that are of the newest list of their kind: what a later one says is not written over.
func (s *settling) newest(marks map[string]string) map[string]string {
	now := maps.Clone(marks)
	for _, g := range s.more {
		if s.line.Newest(g.Part, g.Via).After(g.Asked) {
			delete(now, lane(g.Part, g.Via))
		}
	}
	return now
}

// each does something for all entries, some at once.
func (s *settling) each(ctx context.Context, all []*news, do func(context.Context, *news) error) error {
	failed := make([]error, len(all))
	var running sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for i, n := range all {
		room <- struct{}{}
		running.Go(func() {
			defer func() { <-room }()
			defer fault.Catch(&failed[i])
			failed[i] = do(ctx, n)
		})
	}
	running.Wait()
	return errors.Join(failed...)
}

// leftover is what snapshots that were not settled left behind.
type leftover struct {
	who   map[who]bool    // the entries that have looks of them
	alone map[int64][]who // those that have looks of them which are taken from no complete list, by when the snapshot began, in milliseconds
}

// touched finds what snapshots that were not settled left behind.
func (s *settling) touched(ctx context.Context, held map[who]ledger.Held, unsettled []ledger.Snapshot, found leftover) error {
	var all []*news
	for w, h := range held {
		if followed(w.kind) {
			all = append(all, &news{Held: h})
		}
	}
	slices.SortFunc(all, func(a, b *news) int { return compareWho(a.Entry, b.Entry) })
	err := s.each(ctx, all, func(ctx context.Context, n *news) (err error) {
		n.life, err = s.ledger.Life(ctx, s.corp, n.Kind, n.ID)
		return err
	})
	for _, n := range all {
		w := who{n.Kind, n.ID}
		for _, l := range n.life.Looks.Looks {
			if !slices.ContainsFunc(unsettled, func(s ledger.Snapshot) bool { return l.Asked.Equal(s.At) }) {
				continue
			}
			found.who[w] = true
			if at := l.Asked.UnixMilli(); l.Part == "" {
				if all := found.alone[at]; len(all) == 0 || all[len(all)-1] != w {
					found.alone[at] = append(all, w)
				}
			}
		}
	}
	return err
}

// glanceCache keeps the glances of the corps' snapshots: a history needs all of them, and they only ever become more. Safe for concurrent use.
type glanceCache struct {
	mu sync.Mutex
	by map[archive.CorpID][]directory.Glance
}

// lateness is how much later than it begins a snapshot may be recorded.
const lateness = 20 * time.Minute

func (c *glanceCache) of(ctx context.Context, l *ledger.Ledger, corp archive.CorpID) ([]directory.Glance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.by[corp]
	var from time.Time
	for _, g := range known {
		if at := g.Asked.Add(-lateness); at.After(from) {
			from = at
		}
	}
	all := slices.DeleteFunc(slices.Clone(known), func(g directory.Glance) bool { return !g.Asked.Before(from) })
	err := l.SnapshotsSince(ctx, corp, from, func(s ledger.Snapshot) bool {
		all = append(all, s.Glances()...)
		return true
	})
	if err != nil {
		return nil, err
	}
	if c.by == nil {
		c.by = map[archive.CorpID][]directory.Glance{}
	}
	c.by[corp] = all
	return all, nil
}
