package directory

import (
	"maps"
	"slices"
)

// Packer packs the looks at many entries, given in the order of time, as Pack does those at one. It holds what was kept, and what each list last said.
type Packer struct {
	kept map[entryKey][]Look
	last map[lane]map[string]Look // by id; an entry that a list lacks is not in it
	seen []Glance
}

// Take adds observations that were made at the same time. No earlier ones may follow. Looks at one entry alone are kept as they are.
func (p *Packer) Take(looks []Look, glances []Glance) {
	if p.kept == nil {
		p.kept, p.last = map[entryKey][]Look{}, map[lane]map[string]Look{}
	}
	said := map[lane]map[string][]Look{}
	for _, l := range looks {
		of := lane{l.Part, l.Via}
		if l.Part == "" {
			p.keep(l)
			continue
		}
		if said[of] == nil {
			said[of] = map[string][]Look{}
		}
		said[of][l.ID] = append(said[of][l.ID], l)
	}
	for _, g := range sortedGlances(glances) {
		of := lane{g.Part, g.Via}
		if p.last[of] == nil {
			p.last[of] = map[string]Look{}
		}
		last := p.last[of]
		for id, now := range said[of] {
			if now = sortedLooks(now); len(now) > 1 {
				now = slices.DeleteFunc(now, g.lacking(id).Same)
			}
			before, had := last[id]
			if !had {
				before = g.lacking(id)
			}
			if len(now) == 1 && now[0].Same(before) {
				continue
			}
			for _, l := range now {
				p.keep(l)
			}
			last[id] = now[len(now)-1]
		}
		for id, before := range last {
			if l := g.lacking(id); len(said[of][id]) == 0 {
				if !before.Same(l) {
					p.keep(l)
				}
				delete(last, id)
			}
		}
		p.seen = append(p.seen, g)
	}
}

// Again adds glances of lists that said the same as they last did.
func (p *Packer) Again(glances []Glance) { p.seen = append(p.seen, glances...) }

func (p *Packer) keep(l Look) {
	key := entryKey{l.Kind, l.ID}
	p.kept[key] = append(p.kept[key], l)
}

// Glances are all that were taken.
func (p *Packer) Glances() []Glance { return p.seen }

// IDs are the entries of a kind that were looked at, in their order.
func (p *Packer) IDs(kind Kind) []string {
	var ids []string
	for key := range maps.Keys(p.kept) {
		if key.kind == kind {
			ids = append(ids, key.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Packed is what was kept of an entry.
func (p *Packer) Packed(kind Kind, id string) Packed {
	return Packed{sortedLooks(p.kept[entryKey{kind, id}])}
}
