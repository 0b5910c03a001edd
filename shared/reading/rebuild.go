package reading

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// Life is what follows of one entry from all that is kept. Of a room, an external contact or a robot it is the states alone.
type Life struct {
	Looks   directory.Packed
	Notices []directory.Notice
	Events  []directory.Event // that something was found by the first look at all is none. Recorded is By: a rebuilt history tells nobody anything
	States  []directory.Entry // the oldest first; the last one is the newest state
}

// Rebuilt is a history that was made anew of what is kept in S3: of looks at single entries, in any order, then of whole readings by time.
type Rebuilt struct {
	Records []Record // of the whole readings, by time

	packer  directory.Packer
	alone   []single
	notices map[Who][]directory.Notice
	states  map[Who][]directory.Entry

	records []Record // of the same time, not taken yet
	answers [][]byte
	last    lastly
	line    *directory.Timeline // of all
}

// single is the looks at one entry of which one object tells: by several secrets, one after the other.
type single struct {
	who  Who
	seen []directory.Observation
	news []bool
}

// lastly is the whole reading that was taken last.
type lastly struct {
	record  Record
	reading directory.Reading
	current bool // the states are those that it left
}

// single takes what AgainKey's object holds.
func (b *Rebuilt) single(ctx context.Context, kept []byte) error {
	o, err := open(kept)
	if err != nil {
		return err
	}
	if b.notices == nil {
		b.notices = map[Who][]directory.Notice{}
	}
	for _, t := range o.told {
		b.notices[t.Who] = append(b.notices[t.Who], directory.Notice{Kind: t.Kind, ID: t.ID, At: t.At, Says: t.Says, NewID: t.NewID})
	}
	var s *single
	readers := map[string]*wecom.Reader{}
	for _, l := range o.looked {
		if readers[l.Via] == nil {
			readers[l.Via] = wecom.NewReplay(o.by[secrets.Kind(l.Via)])
		}
		seen := directory.Observation{Asked: l.Asked, Answered: l.Answered, Via: l.Via}
		if _, err := One(ctx, readers[l.Via], l.Who, &seen); err != nil {
			return fmt.Errorf("a look at %s %s: %w", l.Kind, l.ID, err)
		}
		if s == nil || s.who != l.Who {
			b.alone = append(b.alone, single{who: l.Who})
			s = &b.alone[len(b.alone)-1]
		}
		s.seen, s.news = append(s.seen, seen), append(s.news, l.New)
	}
	return nil
}

// snapshot takes a whole reading and its answers. None before it may follow.
func (b *Rebuilt) snapshot(ctx context.Context, r Record, answers []byte) error {
	if n := len(b.records); n > 0 && (!b.records[n-1].Asked.Equal(r.Asked) || !b.records[n-1].Answered.Equal(r.Answered)) {
		if err := b.take(ctx); err != nil {
			return err
		}
	}
	b.records, b.answers = append(b.records, r), append(b.answers, answers)
	return nil
}

// take takes the readings of one time.
func (b *Rebuilt) take(ctx context.Context) error {
	records, answers := b.records, b.answers
	b.records, b.answers = nil, nil
	if len(records) == 0 {
		return nil
	}
	if err := b.singles(records[0].Asked); err != nil {
		return err
	}
	if r := records[0]; len(records) == 1 && len(r.Alone) == 0 && r.Object == b.last.record.Object && r.Version == b.last.record.Version && sameLists(r, b.last.record) {
		b.packer.Again(r.Counts.Glances(r.Asked, r.Answered))
		if b.last.current {
			return nil
		}
		return b.become(r, b.last.reading)
	}
	var looks []directory.Look
	var glances []directory.Glance
	for i, r := range records {
		read, err := Replay(ctx, r, answers[i])
		if err != nil {
			return fmt.Errorf("the reading of %s: %w", r.Asked.Format(time.RFC3339), err)
		}
		l, g := directory.Observation{Asked: r.Asked, Answered: r.Answered, Reading: read}.Looks()
		for _, look := range l {
			if look.Part != "" || slices.Contains(r.Alone, Who{look.Kind, look.ID}) {
				looks = append(looks, look)
			}
		}
		glances = append(glances, g...)
		if err := b.become(r, read); err != nil {
			return err
		}
	}
	b.packer.Take(looks, glances)
	return nil
}

// sameLists says whether two readings showed the same lists in the same way.
func sameLists(a, b Record) bool {
	return maps.Equal(a.Counts.Parts, b.Counts.Parts)
}

// become takes a whole reading into the states.
func (b *Rebuilt) become(r Record, read directory.Reading) error {
	b.last = lastly{r, read, true}
	var newest []directory.Entry
	for _, states := range b.states {
		newest = append(newest, states[len(states)-1])
	}
	changes, err := directory.Compare(newest, read, r.Asked)
	for _, e := range changes {
		b.be(e)
	}
	return err
}

func (b *Rebuilt) be(e directory.Entry) {
	if b.states == nil {
		b.states = map[Who][]directory.Entry{}
	}
	w := Who{e.Kind, e.ID}
	b.states[w] = append(b.states[w], e)
}

// singles takes the looks at single entries that were asked for before a time into the states. The zero time takes all.
func (b *Rebuilt) singles(before time.Time) error {
	slices.SortStableFunc(b.alone, func(x, y single) int {
		return cmp.Or(x.seen[0].Asked.Compare(y.seen[0].Asked), strings.Compare(string(x.who.Kind)+x.who.ID, string(y.who.Kind)+y.who.ID))
	})
	for len(b.alone) > 0 && (before.IsZero() || b.alone[0].seen[0].Asked.Before(before)) {
		s := b.alone[0]
		b.alone = b.alone[1:]
		if s.who.Kind == directory.KindRoom || s.who.Kind == directory.KindExternal {
			if err := b.outside(s); err != nil {
				return err
			}
			continue
		}
		was := b.newest(s.who)
		becomes, any := was, false
		for i, o := range s.seen {
			if s.news[i] {
				looks, _ := o.Looks()
				b.packer.Take(looks, nil)
			}
			after, changed, err := Becomes(was, o)
			if err != nil {
				return err
			}
			if changed {
				becomes, any = after, true
			}
		}
		if any {
			b.be(becomes)
			b.last.current = false
		}
	}
	return nil
}

// newest is the newest state of an entry, without Fields if there is none.
func (b *Rebuilt) newest(w Who) directory.Entry {
	if states := b.states[w]; len(states) > 0 {
		return states[len(states)-1]
	}
	return directory.Entry{Kind: w.Kind, ID: w.ID}
}

// outside takes a look at a room or an external contact into the states.
func (b *Rebuilt) outside(s single) error {
	for _, o := range s.seen {
		changes, err := BecomeOutside(func(w Who) (directory.Entry, error) { return b.newest(w), nil }, s.who, o)
		if err != nil {
			return err
		}
		for _, e := range changes {
			b.be(e)
			b.last.current = false
		}
	}
	return nil
}

// end takes what is left.
func (b *Rebuilt) end(ctx context.Context) error {
	if err := b.take(ctx); err != nil {
		return err
	}
	if err := b.singles(time.Time{}); err != nil {
		return err
	}
	b.line = directory.NewTimeline(b.packer.Glances())
	return nil
}

// Entries lists the entries of which anything is kept.
func (b *Rebuilt) Entries() []Who {
	all := map[Who]bool{}
	for _, kind := range []directory.Kind{directory.KindDepartment, directory.KindMember} {
		for _, id := range b.packer.IDs(kind) {
			all[Who{kind, id}] = true
		}
	}
	for w := range b.notices {
		all[w] = true
	}
	for w := range b.states {
		all[w] = true
	}
	return slices.SortedFunc(maps.Keys(all), func(x, y Who) int { return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.ID, y.ID)) })
}

// Glances are the complete lists of all readings.
func (b *Rebuilt) Glances() []directory.Glance { return b.packer.Glances() }

// Life is what follows of one entry; known are notices of it that are kept elsewhere too. Safe for concurrent use.
func (b *Rebuilt) Life(w Who, known ...directory.Notice) Life {
	if w.Kind != directory.KindDepartment && w.Kind != directory.KindMember {
		return Life{States: b.states[w]}
	}
	life := Life{Looks: b.packer.Packed(w.Kind, w.ID), Notices: distinct(slices.Concat(b.notices[w], known)), States: b.states[w]}
	h := directory.Fold(w.Kind, w.ID, b.line.Unpack(w.Kind, w.ID, life.Looks), life.Notices)
	for _, e := range h.Events {
		if e.What != directory.Found {
			e.Recorded = e.By
			life.Events = append(life.Events, e)
		}
	}
	return life
}

func distinct(list []directory.Notice) []directory.Notice {
	slices.SortFunc(list, func(a, b directory.Notice) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(string(a.Says), string(b.Says)), strings.Compare(a.NewID, b.NewID))
	})
	return slices.CompactFunc(list, func(a, b directory.Notice) bool { return a.At.Equal(b.At) && a.Says == b.Says && a.NewID == b.NewID })
}

// Rebuild makes a corp's history anew of what its bucket has; step is told of each object that was read, of how many. It holds the history in memory: some 2 kB an
// entry and a change.
func Rebuild(ctx context.Context, store *objstore.Store, corp archive.CorpID, step func(done, all int)) (*Rebuilt, error) {
	b := &Rebuilt{}
	for v, err := range store.List(ctx, Again(corp)) {
		if err != nil {
			return nil, err
		}
		if v.Marker {
			continue
		}
		kept, err := store.Get(ctx, objstore.Object{Key: v.Key, VersionID: v.VersionID})
		if err == nil {
			err = b.single(ctx, kept)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.Key, err)
		}
	}
	var records []Record
	for v, err := range store.List(ctx, Snapshots(corp)) {
		if err != nil {
			return nil, err
		}
		if v.Marker {
			continue
		}
		content, err := store.Get(ctx, objstore.Object{Key: v.Key, VersionID: v.VersionID})
		if err != nil {
			return nil, err
		}
		r, err := ParseRecord(content)
		if err != nil || r.Corp != corp {
			return nil, fmt.Errorf("%s is no record of a reading of corp %s", v.Key, corp)
		}
		records = append(records, r)
	}
	slices.SortStableFunc(records, func(a, b Record) int { return cmp.Or(a.Asked.Compare(b.Asked), a.Answered.Compare(b.Answered)) })
	b.Records = records
	var last Record
	var answers []byte
	for i, r := range records {
		step(i, len(records))
		if r.Object != last.Object || r.Version != last.Version {
			var err error
			if answers, err = nil, error(nil); r.Object != "" {
				answers, err = store.Get(ctx, objstore.Object{Key: r.Object, VersionID: r.Version})
			}
			if err != nil {
				return nil, err
			}
			last = r
		}
		if err := b.snapshot(ctx, r, answers); err != nil {
			return nil, err
		}
	}
	return b, b.end(ctx)
}

// Consents calls f for what WeCom's answers about consent that a corp's bucket has were understood to say, in no order, and the same more than once.
func Consents(ctx context.Context, store *objstore.Store, corp archive.CorpID, f func(consent.Statement)) error {
	for v, err := range store.List(ctx, objstore.ConsentKey(corp)+"/") {
		if err != nil {
			return err
		}
		if v.Marker {
			continue
		}
		kept, err := store.Get(ctx, objstore.Object{Key: v.Key, VersionID: v.VersionID})
		if err != nil {
			return err
		}
		o, err := open(kept)
		if err != nil {
			return fmt.Errorf("%s: %w", v.Key, err)
		}
		for _, s := range o.said {
			f(consent.Statement{Subject: consent.Subject{External: s.External, Member: s.Member, Room: s.Room}, Source: consent.Poll, State: s.State, Since: s.Since,
				Asked: s.Asked, Answered: s.Answered, Why: s.Why})
		}
	}
	return nil
}
