package directory

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Field is a field of a department or a member whose history is kept on its own: a source that does not show it says nothing about it.
type Field string

// The fields. Departments and members share FieldName.
const (
	FieldName           Field = "name"
	FieldNameEn         Field = "name_en"
	FieldParent         Field = "parent"
	FieldOrder          Field = "order"
	FieldLeaders        Field = "leaders"
	FieldDepartments    Field = "departments"
	FieldLeads          Field = "leads"
	FieldDirectLeaders  Field = "direct_leaders"
	FieldMainDepartment Field = "main_department"
	FieldPosition       Field = "position"
	FieldStatus         Field = "status"
	FieldMobile         Field = "mobile"
	FieldEmail          Field = "email"
	FieldDesignated     Field = "designated"
	FieldEditions       Field = "editions"
)

// fieldsOf is the fields that an entry of a kind has.
func fieldsOf(kind Kind) []Field {
	if kind == KindDepartment {
		return []Field{FieldName, FieldNameEn, FieldParent, FieldOrder, FieldLeaders}
	}
	return []Field{
		FieldName, FieldDepartments, FieldLeads, FieldDirectLeaders, FieldMainDepartment, FieldPosition, FieldStatus, FieldMobile, FieldEmail,
		FieldDesignated, FieldEditions,
	}
}

// Presence is what a look says about whether an entry is there.
type Presence string

// What a look can say of presence. Absent and Hidden are a source's own word: another source may see further. Deleted is WeCom's.
const (
	Unsaid  Presence = ""        // the look says nothing about it
	There   Presence = "there"   // shown
	Absent  Presence = "absent"  // a complete list lacks it
	Hidden  Presence = "hidden"  // WeCom refuses: outside what this source may see
	Deleted Presence = "deleted" // WeCom knows none of that id
)

// Look is what one observation says about one department or member. What was true at some instant between Asked and Answered; nobody can
// tell at which.
type Look struct {
	Kind     Kind
	ID       string
	Asked    time.Time // UTC, milliseconds
	Answered time.Time
	Part     Part   // the complete list that it is taken from; "" for a look at this entry alone, or from a list that broke off
	Via      string // the kind of secret that was asked
	Presence Presence
	Seen     map[Field]string // what the source shows, each in canonical form; what it does not show is not in it. Never changed
}

// Glance is one complete reading of one list: a look at every entry of its kind, those that it lacks included.
type Glance struct {
	Part     Part
	Via      string
	Asked    time.Time
	Answered time.Time
}

// Kind is the kind of the entries that the list holds.
func (g Glance) Kind() Kind {
	if g.Part == PartDepartments {
		return KindDepartment
	}
	return KindMember
}

// lacking is what the glance says about an entry that it does not list.
func (g Glance) lacking(id string) Look {
	l := Look{Kind: g.Kind(), ID: id, Asked: g.Asked, Answered: g.Answered, Part: g.Part, Via: g.Via, Presence: Absent}
	if g.Part == PartDesignated {
		l.Presence, l.Seen = Unsaid, notDesignated
	}
	return l
}

var notDesignated = map[Field]string{FieldDesignated: "false", FieldEditions: ""}

// Refusal is what became of a look at one entry that WeCom did not show.
type Refusal struct {
	Kind Kind
	ID   string
	Says Presence // Hidden or Deleted
}

// Observation is a reading with its time: a scheduled snapshot, or a single entry read again after WeCom told of a change.
type Observation struct {
	Asked    time.Time // when the reading began
	Answered time.Time // when it ended; before Asked: it took no time
	Via      string    // the kind of secret, where the reading's parts don't say
	Reading  Reading
	Refused  []Refusal
}

// instant is a time as stores keep it.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// Looks takes an observation apart: a look at each department and member that it names, and a glance for each list that it read completely.
// The lists' parts other than departments, members and designated are not kept this way.
func (o Observation) Looks() ([]Look, []Glance) {
	asked, answered := instant(o.Asked), instant(o.Answered)
	if answered.Before(asked) {
		answered = asked
	}
	var looks []Look
	r := o.Reading
	via := func(p Part) string { return cmp.Or(r.Parts[p].Via, o.Via) }
	whole := func(p Part) Part {
		if r.complete(p) {
			return p
		}
		return ""
	}
	add := func(kind Kind, id string, part Part, via string, says Presence, seen map[Field]string) {
		if id != "" {
			looks = append(looks, Look{Kind: kind, ID: id, Asked: asked, Answered: answered, Part: part, Via: via, Presence: says, Seen: seen})
		}
	}
	for _, d := range r.Departments {
		add(KindDepartment, strconv.Itoa(d.ID), whole(PartDepartments), via(PartDepartments), There, departmentSeen(d))
	}
	for _, m := range r.Members {
		if m.Unread && !m.Listed {
			continue // nothing was seen
		}
		part, by := whole(PartMembers), via(PartMembers)
		if !m.Listed && part != "" { // on no list: looked up by itself, with the archive's secret
			part, by = "", via(PartDesignated)
		}
		add(KindMember, string(m.ID), part, by, There, memberSeen(m.Member))
	}
	for _, id := range slices.Sorted(maps.Keys(r.Designated)) {
		seen := map[Field]string{FieldDesignated: "true", FieldEditions: numbers(r.Designated[id])}
		add(KindMember, string(id), whole(PartDesignated), via(PartDesignated), Unsaid, seen)
	}
	for _, f := range o.Refused {
		add(f.Kind, f.ID, "", o.Via, f.Says, nil)
	}
	var glances []Glance
	for _, p := range []Part{PartDepartments, PartMembers, PartDesignated} {
		if r.complete(p) {
			glances = append(glances, Glance{Part: p, Via: via(p), Asked: asked, Answered: answered})
		}
	}
	return looks, glances
}

func departmentSeen(d ReadDepartment) map[Field]string {
	seen := map[Field]string{FieldParent: strconv.Itoa(d.Parent), FieldOrder: strconv.FormatInt(d.Order, 10)}
	if d.Named {
		seen[FieldName], seen[FieldNameEn], seen[FieldLeaders] = d.Name, d.NameEn, parties(d.Leaders)
	}
	return seen
}

// memberSeen is what a record shows of a member. A whole record always has a status; one without is a list's line: an id, a name, departments.
func memberSeen(m Member) map[Field]string {
	seen := map[Field]string{}
	if m.Name != "" {
		seen[FieldName] = m.Name
	}
	if len(m.Departments) > 0 {
		seen[FieldDepartments] = numbers(m.Departments)
	}
	if m.Status != StatusUnknown {
		seen[FieldStatus], seen[FieldLeads], seen[FieldDirectLeaders] = strconv.Itoa(m.Status), numbers(m.Leads), parties(m.DirectLeaders)
		seen[FieldMainDepartment], seen[FieldPosition] = strconv.Itoa(m.MainDepartment), m.Position
	}
	if m.MobileReadable {
		seen[FieldMobile] = m.Mobile
	}
	if m.EmailReadable {
		seen[FieldEmail] = m.Email
	}
	return seen
}

// numbers writes a set of numbers: ascending, with commas between.
func numbers(list []int) string {
	var b strings.Builder
	for i, n := range set(list) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// Numbers reads a set of numbers as an event's Old and New have it. What is no number is skipped.
func Numbers(text string) []int {
	var list []int
	for word := range strings.SplitSeq(text, ",") {
		if n, err := strconv.Atoi(word); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// parties writes a set of ids: sorted, one a line.
func parties(list []archive.PartyID) string {
	words := make([]string, 0, len(list))
	for _, id := range set(list) {
		words = append(words, string(id))
	}
	return strings.Join(words, "\n")
}

func partiesOf(text string) []archive.PartyID {
	var list []archive.PartyID
	for word := range strings.SplitSeq(text, "\n") {
		if word != "" {
			list = append(list, archive.PartyID(word))
		}
	}
	return list
}

// Same says whether two looks say the same, whenever they were made: a snapshot's look that says the same as the list's last one need not be kept.
func (l Look) Same(o Look) bool {
	return l.Kind == o.Kind && l.ID == o.ID && l.Part == o.Part && l.Via == o.Via && l.Presence == o.Presence && maps.Equal(l.Seen, o.Seen)
}

// compareLooks is a total order of the looks at one entry: by time, the wider before the narrower, then by source and content.
func compareLooks(a, b Look) int {
	if c := cmp.Or(a.Asked.Compare(b.Asked), b.Answered.Compare(a.Answered), strings.Compare(string(a.Part), string(b.Part)),
		strings.Compare(a.Via, b.Via), strings.Compare(string(a.Presence), string(b.Presence))); c != 0 {
		return c
	}
	if maps.Equal(a.Seen, b.Seen) {
		return 0
	}
	return strings.Compare(seenText(a.Seen), seenText(b.Seen))
}

func seenText(seen map[Field]string) string {
	var b strings.Builder
	for _, f := range slices.Sorted(maps.Keys(seen)) {
		b.WriteString(strconv.Quote(string(f)) + strconv.Quote(seen[f]))
	}
	return b.String()
}

// sortedLooks is the set of the looks, in their order.
func sortedLooks(looks []Look) []Look {
	out := slices.Clone(looks)
	slices.SortFunc(out, compareLooks)
	return slices.CompactFunc(out, func(a, b Look) bool { return compareLooks(a, b) == 0 })
}

func compareGlances(a, b Glance) int {
	return cmp.Or(a.Asked.Compare(b.Asked), a.Answered.Compare(b.Answered), strings.Compare(string(a.Part), string(b.Part)), strings.Compare(a.Via, b.Via))
}

// sortedGlances is the set of the glances, in their order.
func sortedGlances(glances []Glance) []Glance {
	out := slices.Clone(glances)
	slices.SortFunc(out, compareGlances)
	return slices.Compact(out)
}
