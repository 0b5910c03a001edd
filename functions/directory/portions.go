package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// A company of many members is held against its reading in portions: what the ledger holds of all of them, and what follows from a first reading, would take a
// gigabyte. The first portion is all that is no member, the others are members in the order of their userids.

// manyMembers is how many members are held in memory together.
const manyMembers = 4000

func (r *refresher) together() int {
	if r.portion > 0 {
		return r.portion
	}
	return manyMembers
}

// portion is a part of a company and of the reading of it.
type portion struct {
	held    map[who]ledger.Held
	entries []directory.Entry
	o       directory.Observation
}

// asOf takes back, of what the reading is held against, the states of departments and members that were found since it began, by looks at them alone: it may have
// been told of them before, and they were not there yet. They stay the newest ones; see compare.
func (p *portion) asOf(ctx context.Context, l *ledger.Ledger, corp archive.CorpID) error {
	var entries []directory.Entry
	for i, e := range p.entries {
		if !followed(e.Kind) || !since(e, p.o) {
			if entries != nil {
				entries = append(entries, e)
			}
			continue
		}
		if entries == nil {
			entries = append(make([]directory.Entry, 0, len(p.entries)), p.entries[:i]...)
		}
		states, err := l.EntryHistory(ctx, corp, e.Kind, e.ID)
		if err != nil {
			return err
		}
		states = slices.DeleteFunc(states, func(e directory.Entry) bool { return since(e, p.o) })
		if len(states) > 0 {
			entries = append(entries, states[len(states)-1])
		}
	}
	if entries != nil {
		p.entries = entries
	}
	return nil
}

// since says whether a state was found by who began to look after an observation did.
func since(e directory.Entry, o directory.Observation) bool {
	return e.At.After(o.Asked.Truncate(time.Millisecond))
}

// changes is which states the reading changes.
func (p portion) changes() ([]directory.Entry, error) {
	changes, err := directory.Compare(p.entries, p.o.Reading, p.o.Asked)
	if err != nil {
		return nil, fmt.Errorf("compare a directory: %w", err)
	}
	return changes, nil
}

// helds reads what the ledger holds of a corp's entries. Of members who are too many it is the userids, and what a reading asks for.
func (r *refresher) helds(ctx context.Context, corp archive.CorpID, k *known) error {
	many := false
	var odd error
	member := func(e directory.Entry) {
		var m directory.Member
		if m, odd = directory.Parse[directory.Member](e.Fields); odd != nil {
			odd = fmt.Errorf("member of corp %s: %w", corp, odd)
			return
		}
		k.members = append(k.members, e.ID)
		if len(m.Leads) > 0 {
			k.leaders = append(k.leaders, e)
		}
		if !e.Gone && m.Listed && m.Status != directory.StatusLeft {
			k.Listed = append(k.Listed, archive.PartyID(e.ID))
		}
	}
	members := 0
	err := r.ledger.Helds(ctx, corp, func(h ledger.Held) bool {
		if h.Kind == directory.KindMember {
			members++
		}
		if !many && members > r.together() {
			many = true
			k.Entries = slices.DeleteFunc(k.Entries, func(e directory.Entry) bool {
				if e.Kind != directory.KindMember {
					return false
				}
				delete(k.held, who{e.Kind, e.ID})
				if odd == nil {
					member(e)
				}
				return true
			})
		}
		if many && h.Kind == directory.KindMember {
			member(h.Entry)
			return odd == nil
		}
		k.Entries = append(k.Entries, h.Entry)
		if followed(h.Kind) {
			k.held[who{h.Kind, h.ID}] = h
		}
		return odd == nil
	})
	if err == nil {
		err = odd
	}
	return err
}

// portions calls f for each portion of a company and its reading, whose members are in the order of their userids.
func (r *refresher) portions(ctx context.Context, corp archive.CorpID, k known, o directory.Observation, do func(portion) error) error {
	f := func(p portion) error {
		if err := p.asOf(ctx, r.ledger, corp); err != nil {
			return err
		}
		return do(p)
	}
	if len(k.members) == 0 && len(o.Reading.Members) <= r.together() && len(o.Reading.Designated) <= r.together() {
		return f(portion{k.held, k.Entries, o})
	}
	rest := portion{map[who]ledger.Held{}, nil, o}
	rest.o.Reading.Members, rest.o.Reading.Designated = nil, nil
	ids := slices.Clone(k.members)
	for _, e := range k.Entries {
		if e.Kind == directory.KindMember {
			ids = append(ids, e.ID)
			continue
		}
		rest.entries = append(rest.entries, e)
		if h, there := k.held[who{e.Kind, e.ID}]; there {
			rest.held[who{e.Kind, e.ID}] = h
		}
	}
	if err := f(rest); err != nil {
		return err
	}
	for _, m := range o.Reading.Members {
		ids = append(ids, string(m.ID))
	}
	for id := range o.Reading.Designated {
		ids = append(ids, string(id))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	members := o.Reading.Members
	for some := range slices.Chunk(ids, r.together()) {
		first, last := some[0], some[len(some)-1]
		p := portion{map[who]ledger.Held{}, nil, o}
		end, _ := slices.BinarySearchFunc(members, last+"\x00", func(m directory.ReadMember, id string) int { return strings.Compare(string(m.ID), id) })
		p.o.Reading = directory.Reading{Parts: o.Reading.Parts, Members: members[:end]}
		members = members[end:]
		if o.Reading.Designated != nil {
			p.o.Reading.Designated = map[archive.PartyID][]int{}
		}
		for _, id := range some {
			if editions, is := o.Reading.Designated[archive.PartyID(id)]; is {
				p.o.Reading.Designated[archive.PartyID(id)] = editions
			}
		}
		err := r.ledger.HeldMembers(ctx, corp, first, last, func(h ledger.Held) bool {
			p.entries = append(p.entries, h.Entry)
			p.held[who{h.Kind, h.ID}] = h
			return true
		})
		if err != nil {
			return err
		}
		if err := f(p); err != nil {
			return err
		}
	}
	return nil
}

// batch is news of several portions, as long as they are few enough to be remembered.
type batch struct {
	most, n int
	kept    []*news      // nil if there are more
	blank   map[who]bool // then, those of whom nothing was kept before
}

func (b *batch) add(some []*news) {
	b.n += len(some)
	b.kept = append(b.kept, some...)
	if b.n <= b.most {
		return
	}
	if b.blank == nil {
		b.blank = map[who]bool{}
	}
	for _, n := range b.kept {
		if n.blank {
			b.blank[who{n.Kind, n.ID}] = true
		}
	}
	b.kept = nil
}
