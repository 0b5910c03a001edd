package directory

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Known is what is known of one field now.
type Known struct {
	Value string
	Seen  time.Time // when the last look that showed it began: its age; zero: no look ever showed it, and Value says nothing
	Via   string    // the kind of secret that showed it
	// Blind is the kind of secret of the newest list that holds the entry, if that is later and does not show the field: what holds now is unknown by
	// that source. "": the list shows the field. Of an entry that is on no list, a look at it alone counts instead.
	Blind   string
	BlindAt time.Time
}

// Span is a time in which every look that shows a field showed one value. It held from some instant before First to some instant after Last.
type Span struct {
	Value       string
	First, Last time.Time // when the first and the last of these looks began
	Via         string    // the kind of secret of the first
	Ended       bool      // a later look shows another value, or the entry went
}

// History is one entry's history: a function of the set of looks at it, whatever their order, and however often each is given.
type History struct {
	Kind   Kind
	ID     string
	Events []Event // by By
	Now    map[Field]Known
	Spans  map[Field][]Span // of each field, the oldest first; spans of different stays are apart even if they have one value
	Here   bool             // it is there, as far as is known
	Since  time.Time        // when the last look that showed it began; zero: none did
}

// Fold makes the history of one entry of all looks at it, as Unpack gives them, and of what WeCom told.
//
// Looks are put in order of when they were asked. Where two that show the same field overlap in time their order is unknown, and the one that ended
// first speaks alone: a snapshot, which takes long, gives way to a single look within its time. A field changes between two looks that
// both show it; a look that does not is passed over. A list's lacking an entry counts only if the same secret showed it before, because one
// secret sees less than another.
func Fold(kind Kind, id string, looks []Look, notices []Notice) History {
	f := &folding{History: History{Kind: kind, ID: id, Now: map[Field]Known{}, Spans: map[Field][]Span{}}, looks: sortedLooks(looks)}
	for _, n := range notices {
		if n.Kind == kind && n.ID == id {
			n.At = instant(n.At)
			f.notices = append(f.notices, n)
		}
	}
	slices.SortFunc(f.notices, func(a, b Notice) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(string(a.Says), string(b.Says)), strings.Compare(a.NewID, b.NewID))
	})
	f.notices = slices.Compact(f.notices)
	f.presence()
	for _, field := range fieldsOf(kind) {
		f.field(field)
	}
	f.leaves()
	slices.SortStableFunc(f.Events, compareEvents)
	return f.History
}

// folding is a history while it is made.
type folding struct {
	History
	looks   []Look
	notices []Notice
	stays   []stay
}

// stay is one unbroken time of being there. Fields are compared within a stay: who comes back begins afresh, and who comes back under an id may
// be another person.
type stay struct {
	from   word   // the look that began it
	joined *Event // nil: how it began is unknown
	to     word   // the look that ended it
	left   *Event // nil: it lasts
}

// word is one look's word on one field, or on presence.
type word struct {
	asked, answered time.Time
	via, says       string
}

func (l Look) quit() bool {
	return l.Kind == KindMember && l.Seen[FieldStatus] == strconv.Itoa(StatusLeft)
}

// apart keeps words whose spans don't touch, so that their order is beyond doubt: of words that were asked for at the same time, the one that ended
// first speaks. One that took long, as a snapshot does, so gives way to a shorter one within it. The words come back in their order.
func apart(words []word) []word {
	slices.SortFunc(words, func(a, b word) int {
		return cmp.Or(a.answered.Compare(b.answered), b.asked.Compare(a.asked), strings.Compare(a.via, b.via), strings.Compare(a.says, b.says))
	})
	var kept []word
	for _, w := range words {
		if len(kept) == 0 || w.asked.After(kept[len(kept)-1].answered) {
			kept = append(kept, w)
		}
	}
	return kept
}

// touches says whether two words' spans have an instant in common.
func (w word) touches(o word) bool {
	return !w.asked.After(o.answered) && !o.asked.After(w.answered)
}

// own says whether a word of presence is a source's own: it sees no further.
func (w word) own() bool { return w.says == string(Absent) || w.says == string(Hidden) }

// gone says whether a word of presence is WeCom's that there is none any more.
func (w word) gone() bool { return w.says == saysQuit || w.says == string(Deleted) }

// told is the times at which WeCom told of what may be the event, and the userid that replaces the entry's.
func (f *folding) told(after, by time.Time, says ...Telling) (at []time.Time, newID string) {
	for _, n := range f.notices {
		if n.within(after, by) && (slices.Contains(says, n.Says) || n.NewID != "" && slices.Contains(says, ToldDeleted)) {
			at = append(at, n.At)
			newID = cmp.Or(newID, n.NewID)
		}
	}
	return at, newID
}

const saysQuit = "quit"

// presence finds the stays, and the events of coming and going.
func (f *folding) presence() {
	byVia := map[string][]word{}
	var vias []string
	for _, l := range f.looks {
		says := string(l.Presence)
		if l.quit() {
			says = saysQuit
		}
		if l.Presence == Unsaid {
			continue
		}
		if byVia[l.Via] == nil {
			vias = append(vias, l.Via)
		}
		byVia[l.Via] = append(byVia[l.Via], word{l.Asked, l.Answered, l.Via, says})
	}
	var words, firm []word
	for _, via := range vias {
		for _, w := range apart(byVia[via]) {
			words = append(words, w)
			if !w.own() {
				firm = append(firm, w)
			}
		}
	}
	firm = apart(firm)
	slices.SortFunc(words, func(a, b word) int {
		return cmp.Or(a.asked.Compare(b.asked), a.answered.Compare(b.answered), strings.Compare(a.via, b.via), strings.Compare(a.says, b.says))
	})

	joined, left := Joined, Left
	if f.Kind == KindDepartment {
		joined, left = DepartmentMade, DepartmentDeleted
	}
	showed := map[string]bool{}      // the sources whose last word was "there"
	lacked := map[string]time.Time{} // when a source last lacked it
	var nowhere time.Time            // when it was last known not to be there, whoever asks
	var seen time.Time               // when it was last shown
	here, ever := false, false       // it is there; it ever was
	begin := func(w word, what Change) {
		e := Event{Kind: f.Kind, ID: f.ID, What: what, By: w.answered, Via: w.via}
		if what != Found {
			e.After = later(nowhere, lacked[w.via])
		}
		if e.Told, _ = f.told(e.After, e.By, ToldCreated); len(e.Told) > 0 {
			e.What = joined
		}
		f.Events = append(f.Events, e)
		s := stay{from: w}
		if e.What == joined {
			s.joined = &e
		}
		f.stays = append(f.stays, s)
		here, ever = true, true
	}
	end := func(w word, how Departure) {
		e := Event{Kind: f.Kind, ID: f.ID, What: left, How: how, After: seen, By: w.answered, Via: w.via}
		var newID string
		if e.Told, newID = f.told(e.After, e.By, ToldDeleted); len(e.Told) > 0 && how != Quit {
			e.How = WasDeleted
			if newID != "" {
				e.How, e.New = WasRenamed, newID
			}
		}
		f.Events = append(f.Events, e)
		last := &f.stays[len(f.stays)-1]
		last.to, last.left = w, &e
		here = false
	}
	for _, w := range words {
		// Which of two that touch was first is unknown; where both say that it is not there, that does not matter.
		against := func(o word) bool { return w.touches(o) && !(w.own() && o.gone()) }
		if !slices.Contains(firm, w) && slices.ContainsFunc(firm, against) {
			if here && w.says == string(There) {
				showed[w.via] = true
			}
			continue
		}
		switch w.says {
		case string(There):
			if !here {
				what := Found
				if _, before := lacked[w.via]; before || ever || !nowhere.IsZero() {
					what = joined
				}
				begin(w, what)
			}
			showed[w.via], seen = true, w.asked
		case saysQuit, string(Deleted):
			how := WasDeleted
			if w.says == saysQuit {
				how = Quit
			}
			if here {
				end(w, how)
			} else {
				f.explain(w, how)
			}
			clear(showed)
			ever, nowhere = true, w.asked
		case string(Absent):
			if here && showed[w.via] {
				end(w, UnlistedSince)
				clear(showed)
				nowhere = w.asked
			}
			delete(showed, w.via)
			lacked[w.via] = w.asked
		case string(Hidden):
			delete(showed, w.via)
			if here && len(showed) == 0 {
				end(w, OutOfView)
				nowhere = w.asked
			}
			lacked[w.via] = w.asked
		}
	}
	f.Here, f.Since = here, seen
}

// explained is how soon after a list lacked an entry a look at it alone says in which way it went. Later looks may be of what came after.
const explained = time.Hour

// explain makes of a departure that a list alone showed the one that a look at the entry alone tells of soon after. By stays: it was gone by then.
func (f *folding) explain(w word, how Departure) {
	if len(f.stays) == 0 {
		return
	}
	left := f.stays[len(f.stays)-1].left
	if left == nil || left.How != UnlistedSince && left.How != OutOfView || w.asked.Sub(left.By) > explained {
		return
	}
	i := slices.IndexFunc(f.Events, func(e Event) bool { return e.Key() == left.Key() })
	f.Events[i].How, left.How = how, how
}

// stayOf is the number of the stay that a word falls into, from 0; ok is false outside all of them, and where it may be of either side.
func (f *folding) stayOf(w word) (n int, ok bool) {
	for i, s := range slices.Backward(f.stays) {
		if w.asked.Before(s.from.asked) {
			continue
		}
		began := s.from.asked.Equal(w.asked) && s.from.answered.Equal(w.answered)
		return i, (began || !w.touches(s.from)) && (s.left == nil || w.asked.Before(s.to.asked) && !w.touches(s.to))
	}
	return 0, false
}

// field finds what is known of a field now, and the events of its changes.
func (f *folding) field(field Field) {
	var words []word
	var blind *Look
	lasting := field == FieldDesignated || field == FieldEditions // WeCom's list of designated ones knows no stays
	for i, l := range f.looks {
		if l.quit() && !lasting {
			continue // what a record still shows of one who left is no change
		}
		if says, shown := l.Seen[field]; shown {
			words = append(words, word{l.Asked, l.Answered, l.Via, says})
		} else if !lasting && l.Presence == There && (blind == nil || l.Part != "" || blind.Part == "") {
			blind = &f.looks[i]
		}
	}
	words = apart(words)
	if len(words) == 0 {
		if blind != nil {
			f.Now[field] = Known{Blind: blind.Via, BlindAt: blind.Asked}
		}
		return
	}
	newest := words[len(words)-1]
	known := Known{Value: newest.says, Seen: newest.asked, Via: newest.via}
	// A single look that shows less than the list does takes nothing back: the next list shows it again.
	listed := slices.ContainsFunc(f.looks, func(l Look) bool { return l.Part == PartMembers || l.Part == PartDepartments })
	if blind != nil && blind.Asked.After(newest.asked) && (blind.Part != "" || !listed) {
		known.Blind, known.BlindAt = blind.Via, blind.Asked
	}
	f.Now[field] = known

	current, in := -1, -1
	for i, w := range words {
		n := 0
		if !lasting {
			var ok bool
			if n, ok = f.stayOf(w); !ok {
				continue
			}
		}
		if current >= 0 && in == n {
			if before := words[current]; before.says != w.says {
				e := Event{Kind: f.Kind, ID: f.ID, Old: before.says, New: w.says, After: before.asked, By: w.answered, Via: w.via}
				e.Told, _ = f.told(e.After, e.By, ToldUpdated, ToldCreated)
				f.changed(field, e)
			}
		} else if begun := f.beginning(n, lasting); begun != nil && field == FieldLeads {
			e := *begun
			e.Old, e.New, e.By = "", w.says, later(e.By, w.answered)
			f.changed(field, e)
		}
		spans := f.Spans[field]
		if last := len(spans) - 1; last >= 0 && in == n && spans[last].Value == w.says {
			spans[last].Last = w.asked
		} else {
			if last >= 0 {
				spans[last].Ended = true
			}
			spans = append(spans, Span{Value: w.says, First: w.asked, Last: w.asked, Via: w.via})
		}
		f.Spans[field] = spans
		current, in = i, n
	}
	if spans := f.Spans[field]; !f.Here && !lasting && len(spans) > 0 {
		spans[len(spans)-1].Ended = true
	}
}

func (f *folding) beginning(n int, lasting bool) *Event {
	if lasting || n >= len(f.stays) {
		return nil
	}
	return f.stays[n].joined
}

// changed adds the events that a field's change makes.
func (f *folding) changed(field Field, e Event) {
	triple := func(set, changed, removed Change) Change {
		switch {
		case e.Old == "":
			return set
		case e.New == "":
			return removed
		default:
			return changed
		}
	}
	switch field {
	case FieldName:
		e.What = NameChanged
	case FieldDepartments, FieldParent:
		e.What = DepartmentsMoved
	case FieldMobile:
		e.What = triple(MobileSet, MobileChanged, MobileRemoved)
	case FieldEmail:
		e.What = triple(EmailSet, EmailChanged, EmailRemoved)
	case FieldLeaders:
		e.What = LeadersChanged
	case FieldEditions:
		if e.Old == "" || e.New == "" {
			return // it came with being designated, or went with it
		}
		e.What = EditionsChanged
	case FieldDesignated:
		e.What = PermittedLost
		if e.New == "true" {
			e.What = PermittedGained
		}
	case FieldStatus:
		switch e.New {
		case strconv.Itoa(StatusActivated):
			e.What = MemberActivated
		case strconv.Itoa(StatusDisabled):
			e.What = MemberDisabled
		default:
			e.What = MemberInactive
		}
	case FieldLeads:
		f.heads(e)
		return
	default:
		return
	}
	f.Events = append(f.Events, e)
}

// heads adds an event for each department whose head a member became, or is not any more.
func (f *folding) heads(e Event) {
	old, next := Numbers(e.Old), Numbers(e.New)
	e.Old, e.New, e.How = "", "", ""
	for _, d := range next {
		if !slices.Contains(old, d) {
			e.What, e.Department = HeadGained, d
			f.Events = append(f.Events, e)
		}
	}
	for _, d := range old {
		if !slices.Contains(next, d) {
			e.What, e.Department = HeadLost, d
			f.Events = append(f.Events, e)
		}
	}
}

// leaves adds that who left is no head any more.
func (f *folding) leaves() {
	for i, s := range f.stays {
		if s.left == nil {
			continue
		}
		var words []word
		for _, l := range f.looks {
			if says, shown := l.Seen[FieldLeads]; shown && !l.quit() {
				w := word{l.Asked, l.Answered, l.Via, says}
				if n, ok := f.stayOf(w); ok && n == i {
					words = append(words, w)
				}
			}
		}
		if words = apart(words); len(words) > 0 {
			e := *s.left
			e.Old, e.New = words[len(words)-1].says, ""
			f.heads(e)
		}
	}
}
