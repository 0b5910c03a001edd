package directory

import (
	"cmp"
	"slices"
	"time"
)

// Timeline is glances in their order, made once for the histories of many entries. What it does for one entry costs what happened to that entry, and
// not how often was looked. It is not changed once made, and safe for concurrent use.
type Timeline struct {
	strands []strand
}

// strand is the glances whose looks bear upon each other: those at departments; at members, by whatever secret; at designated members.
type strand struct {
	kind    Kind
	glances []Glance
	until   []time.Time    // when the last of the glances up to here had ended
	lanes   map[lane][]int // the glances of each list and secret
	odd     []int          // what is looked at whatever the entry: the ends, where one secret follows another, and those that touch each other, each with those beside it
}

// beside is how many glances are looked at on either side of one that matters: the nearest, and one that shows that the nearest touches nothing.
const beside = 2

// NewTimeline puts glances in order. One that is given twice counts once.
func NewTimeline(glances []Glance) *Timeline {
	parts := map[Part]*strand{}
	for _, p := range []Part{PartDepartments, PartMembers, PartDesignated} {
		parts[p] = &strand{kind: Glance{Part: p}.Kind(), lanes: map[lane][]int{}}
	}
	for _, g := range sortedGlances(glances) {
		if s := parts[g.Part]; s != nil {
			s.lanes[lane{g.Part, g.Via}] = append(s.lanes[lane{g.Part, g.Via}], len(s.glances))
			s.glances = append(s.glances, g)
		}
	}
	t := &Timeline{}
	for _, p := range []Part{PartDepartments, PartMembers, PartDesignated} {
		parts[p].measure()
		t.strands = append(t.strands, *parts[p])
	}
	return t
}

func (s *strand) measure() {
	var latest time.Time
	for i, g := range s.glances {
		touches := i > 0 && !g.Asked.After(latest)
		if i == 0 || i == len(s.glances)-1 || touches || g.Via != s.glances[i-1].Via {
			s.odd = append(s.odd, s.around(i, i)...)
		}
		latest = later(latest, g.Answered)
		s.until = append(s.until, latest)
	}
	s.odd = distinct(s.odd)
}

// around is the glances from one to another and those beside.
func (s *strand) around(from, to int) []int {
	var list []int
	for i := max(0, from-beside); i <= min(len(s.glances)-1, to+beside); i++ {
		list = append(list, i)
	}
	return list
}

// near is the glances that touch a time, and those beside.
func (s *strand) near(asked, answered time.Time) []int {
	end, _ := slices.BinarySearchFunc(s.glances, answered, func(g Glance, t time.Time) int {
		if g.Asked.After(t) {
			return 1
		}
		return -1
	})
	begin := end
	for begin > 0 && !s.until[begin-1].Before(asked) {
		begin--
	}
	return s.around(begin-1, end)
}

func distinct(list []int) []int {
	slices.Sort(list)
	return slices.Compact(list)
}

// said is what a list says from one of its glances on.
type said struct {
	place int // of the glance among its lane's
	looks []Look
}

func comparePlace(s said, place int) int { return cmp.Compare(s.place, place) }

// place finds a glance among its lane's.
func (s *strand) place(of lane, asked, answered time.Time) (int, bool) {
	return slices.BinarySearchFunc(s.lanes[of], Glance{Part: of.part, Via: of.via, Asked: asked, Answered: answered}, func(i int, g Glance) int {
		return compareGlances(s.glances[i], g)
	})
}

// told is what kept looks of one lane say, by place. Those of no glance of the timeline are left out.
func (s *strand) told(id string, of lane, looks []Look) []said {
	var list []said
	for at, l := range byGlance(id, looks, Glance{Part: of.part, Via: of.via}) {
		if place, ok := s.place(of, time.UnixMilli(at.asked).UTC(), time.UnixMilli(at.answered).UTC()); ok {
			list = append(list, said{place, l})
		}
	}
	slices.SortFunc(list, func(a, b said) int { return cmp.Compare(a.place, b.place) })
	return list
}

// before is what a lane last said before a place.
func (s *strand) before(id string, of lane, list []said, place int) Look {
	i, _ := slices.BinarySearchFunc(list, place, comparePlace)
	if i == 0 {
		return Glance{Part: of.part, Via: of.via}.lacking(id)
	}
	looks := list[i-1].looks
	return looks[len(looks)-1]
}

func (s *strand) at(of lane, place int, l Look) Look {
	g := s.glances[s.lanes[of][place]]
	l.Asked, l.Answered = g.Asked, g.Answered
	return l
}

// Has says whether a glance is among those of the timeline.
func (t *Timeline) Has(g Glance) bool {
	return slices.ContainsFunc(t.strands, func(s strand) bool {
		_, found := s.place(lane{g.Part, g.Via}, g.Asked, g.Answered)
		return found
	})
}

// Newest is when the newest glance at a list began; zero: there is none.
func (t *Timeline) Newest(part Part, via string) time.Time {
	for _, s := range t.strands {
		if places := s.lanes[lane{part, via}]; len(places) > 0 {
			return s.glances[places[len(places)-1]].Asked
		}
	}
	return time.Time{}
}

// Unpack is as many of the looks at one entry as Fold makes the same history of as of all: of a list that goes on saying the same, and that no other look
// comes near, the first two and the last two.
func (t *Timeline) Unpack(kind Kind, id string, packed Packed) []Look {
	var all, alone []Look
	for _, l := range packed.Looks {
		if l.Part == "" {
			alone = append(alone, l)
		}
	}
	all = append(all, alone...)
	for i := range t.strands {
		if s := &t.strands[i]; s.kind == kind {
			all = append(all, s.unpack(id, packed.Looks, alone)...)
		}
	}
	return sortedLooks(all)
}

func (s *strand) unpack(id string, looks, alone []Look) []Look {
	wanted := slices.Clone(s.odd)
	for _, l := range alone {
		wanted = append(wanted, s.near(l.Asked, l.Answered)...)
	}
	lists := map[lane][]said{}
	for of, glances := range s.lanes {
		lists[of] = s.told(id, of, looks)
		for _, l := range lists[of] {
			wanted = append(wanted, s.around(glances[l.place], glances[l.place])...)
		}
	}
	var all []Look
	for _, i := range distinct(wanted) {
		g := s.glances[i]
		of := lane{g.Part, g.Via}
		place, _ := s.place(of, g.Asked, g.Answered)
		if at, found := slices.BinarySearchFunc(lists[of], place, comparePlace); found {
			all = append(all, lists[of][at].looks...)
			continue
		}
		all = append(all, s.at(of, place, s.before(id, of, lists[of], place)))
	}
	return all
}

// Add is Pack of all looks at an entry, of what Pack left of some and of further ones. more is the glances that were not among those that it packed with,
// and that the timeline has: one that lacks the entry says so.
func (t *Timeline) Add(kind Kind, id string, packed Packed, looks []Look, more []Glance) Packed {
	kept := []Look{}
	for _, l := range slices.Concat(packed.Looks, looks) {
		if l.Part == "" {
			kept = append(kept, l)
		}
	}
	for i := range t.strands {
		s := &t.strands[i]
		if s.kind != kind {
			continue
		}
		for of := range s.lanes {
			for _, said := range s.add(id, of, s.told(id, of, packed.Looks), s.told(id, of, looks), more) {
				kept = append(kept, said.looks...)
			}
		}
	}
	return Packed{sortedLooks(kept)}
}

// add puts what further glances of a lane say, and news of those that were there, among what it said.
func (s *strand) add(id string, of lane, list, news []said, more []Glance) []said {
	lacking := Glance{Part: of.part, Via: of.via}.lacking(id)
	fresh := map[int]bool{} // those that are to come: what follows them is still as without them
	var todo []int
	for _, g := range more {
		if place, ok := s.place(of, g.Asked, g.Answered); ok && g.Part == of.part && g.Via == of.via {
			fresh[place] = true
			todo = append(todo, place)
		}
	}
	for _, n := range news {
		todo = append(todo, n.place)
	}
	for _, place := range distinct(todo) {
		var now []Look
		if i, found := slices.BinarySearchFunc(news, place, comparePlace); found {
			now = slices.Clone(news[i].looks)
		}
		before := s.before(id, of, list, place)
		was := before // what was inherited from here
		i, there := slices.BinarySearchFunc(list, place, comparePlace)
		switch {
		case there:
			now = append(now, list[i].looks...)
			was = now[len(now)-1]
			list = slices.Delete(list, i, i+1)
		case !fresh[place]:
			now = append(now, s.at(of, place, before))
		}
		if now = sortedLooks(now); len(now) == 0 {
			now = []Look{s.at(of, place, lacking)}
		}
		if len(now) > 1 {
			now = slices.DeleteFunc(now, lacking.Same)
		}
		last := now[len(now)-1]
		delete(fresh, place)
		next := place + 1
		for fresh[next] {
			next++
		}
		i, told := slices.BinarySearchFunc(list, next, comparePlace)
		switch {
		case next == len(s.lanes[of]):
		case told && len(list[i].looks) == 1 && list[i].looks[0].Same(last):
			list = slices.Delete(list, i, i+1)
		case !told && !was.Same(last):
			list = slices.Insert(list, i, said{next, []Look{s.at(of, next, was)}})
		}
		if len(now) > 1 || !now[0].Same(before) {
			i, _ = slices.BinarySearchFunc(list, place, comparePlace)
			list = slices.Insert(list, i, said{place, now})
		}
	}
	return list
}
