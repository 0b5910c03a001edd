package directory

import (
	"slices"
	"time"
)

// lane is one list as one kind of secret shows it.
type lane struct {
	part Part
	via  string
}

// Packed is looks at one entry as they are kept: those that Pack left. Looks as they were made are not packed looks; Unpack would take those that a list
// repeats for those that it lacks.
type Packed struct {
	Looks []Look
}

// Pack leaves out of the looks at one entry every one that a glance repeats: a look of a complete list that says the same as the list before
// it, or that the entry is missing from the first. What is left grows with what changed, not with how often was looked. Unpack undoes it.
// glances must hold those that the looks were taken from; other kinds' are ignored.
func Pack(kind Kind, id string, looks []Look, glances []Glance) Packed {
	kept := []Look{}
	for _, l := range sortedLooks(looks) {
		if l.Part == "" {
			kept = append(kept, l)
		}
	}
	for _, run := range lanes(kind, glances) {
		at := byGlance(id, looks, run[0])
		last := run[0].lacking(id)
		for _, g := range run {
			said := at[spanOf(g.Asked, g.Answered)]
			if len(said) == 0 {
				said = []Look{g.lacking(id)}
			}
			if len(said) == 1 && said[0].Same(last) {
				continue
			}
			kept = append(kept, said...)
			last = said[len(said)-1]
		}
	}
	return Packed{sortedLooks(kept)}
}

// Unpack is the looks at one entry that Pack was given, and the glances' word where they lack the entry.
func Unpack(kind Kind, id string, packed Packed, glances []Glance) []Look {
	all := []Look{}
	for _, l := range packed.Looks {
		if l.Part == "" {
			all = append(all, l)
		}
	}
	for _, run := range lanes(kind, glances) {
		at := byGlance(id, packed.Looks, run[0])
		last := run[0].lacking(id)
		for _, g := range run {
			if said := at[spanOf(g.Asked, g.Answered)]; len(said) > 0 {
				all = append(all, said...)
				last = said[len(said)-1]
				continue
			}
			l := last
			l.Asked, l.Answered = g.Asked, g.Answered
			all = append(all, l)
		}
	}
	return sortedLooks(all)
}

// Glances are the complete lists of departments, members and designated members of a reading that has these counts.
func (c Counts) Glances(asked, answered time.Time) []Glance {
	_, glances := Observation{Asked: asked, Answered: answered, Reading: Reading{Parts: c.Parts}}.Looks()
	return glances
}

// span is when a look was made; two of one list with the same span are two words about one glance.
type span struct{ asked, answered int64 }

func spanOf(asked, answered time.Time) span { return span{asked.UnixMilli(), answered.UnixMilli()} }

// lanes sorts the glances that concern a kind into their lists, each by time.
func lanes(kind Kind, glances []Glance) [][]Glance {
	byLane := map[lane][]Glance{}
	var order []lane
	for _, g := range sortedGlances(glances) {
		if g.Kind() != kind {
			continue
		}
		key := lane{g.Part, g.Via}
		if byLane[key] == nil {
			order = append(order, key)
		}
		byLane[key] = append(byLane[key], g)
	}
	runs := make([][]Glance, 0, len(order))
	for _, key := range order {
		runs = append(runs, byLane[key])
	}
	return runs
}

// byGlance is the looks of one list by the glance that they were taken from. Of two readings of a list at the very same time, one that shows
// the entry outweighs one that lacks it.
func byGlance(id string, looks []Look, of Glance) map[span][]Look {
	at := map[span][]Look{}
	for _, l := range looks {
		if l.Part == of.Part && l.Via == of.Via {
			key := spanOf(l.Asked, l.Answered)
			at[key] = append(at[key], l)
		}
	}
	lacking := of.lacking(id)
	for key, said := range at {
		said = sortedLooks(said)
		if len(said) > 1 {
			said = slices.DeleteFunc(said, lacking.Same)
		}
		at[key] = said
	}
	return at
}

// Newest is what a list last said of the entry, as far as kept looks tell: what a further snapshot's look is compared with, by Same, to
// see whether there is anything to write.
func (p Packed) Newest(part Part, via string) (Look, bool) {
	for _, l := range slices.Backward(sortedLooks(p.Looks)) {
		if l.Part == part && l.Via == via {
			return l, true
		}
	}
	return Look{}, false
}
