package identity

import (
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// OfState is Of where no more is read of a member's history than the newest state: what WeCom shows now is as old as seen, since when it holds is not told, and
// what it showed once and hides now is unknown.
func OfState(id archive.PartyID, m directory.Member, gone bool, seen time.Time, files []Version, own []Said) Record {
	h := directory.History{Kind: directory.KindMember, ID: string(id), Here: !gone, Since: seen,
		Now: map[directory.Field]directory.Known{}, Spans: map[directory.Field][]directory.Span{}}
	for f, x := range map[directory.Field]struct {
		value string
		shown bool
	}{
		directory.FieldName: {m.Name, m.Name != ""}, directory.FieldMobile: {m.Mobile, m.MobileReadable}, directory.FieldEmail: {m.Email, m.EmailReadable},
	} {
		if !x.shown {
			h.Now[f] = directory.Known{}
			continue
		}
		h.Now[f] = directory.Known{Value: x.value, Seen: seen}
		h.Spans[f] = []directory.Span{{Value: x.value, Last: seen, Ended: gone}}
	}
	return Of(id, h, files, own)
}

// Seen is when a member's newest state was last seen: at the newest reading of all members, unless the state began later, or the member is gone. looked is when that
// reading began.
func Seen(e directory.Entry, looked time.Time) time.Time {
	if e.Gone || e.At.After(looked) {
		return e.At
	}
	return looked
}

// Updated is when a person's record got the number, address or name that an event tells of. A record is made of the same looks as the events, so that is when
// the look that found it had ended: provided that the newest state of the member has the value, or that one of the later events took it away again. Zero: the
// record has not got it, or the event is about no field of a record.
func Updated(e directory.Event, now directory.Member, later []directory.Event) time.Time {
	var has string
	var of []directory.Change
	var f Field
	switch e.What {
	case directory.MobileSet, directory.MobileChanged:
		has, f, of = now.Mobile, Mobile, []directory.Change{directory.MobileChanged, directory.MobileRemoved}
	case directory.EmailSet, directory.EmailChanged:
		has, f, of = now.Email, Email, []directory.Change{directory.EmailChanged, directory.EmailRemoved}
	case directory.NameChanged:
		has, f, of = now.Name, Name, []directory.Change{directory.NameChanged}
	default:
		return time.Time{}
	}
	got := same(f, normal(f, has), normal(f, e.New)) || slices.ContainsFunc(later, func(l directory.Event) bool {
		return l.ID == e.ID && l.By.After(e.By) && slices.Contains(of, l.What) && same(f, normal(f, l.Old), normal(f, e.New))
	})
	if !got {
		return time.Time{}
	}
	return e.By
}

// Holding is the row of a file that has a value, however it is written: what maps by it goes on matching. ok is false if none has.
func (f File) Holding(field Field, value string) (row Row, ok bool) {
	value = normal(field, value)
	if value == "" {
		return Row{}, false
	}
	for _, r := range f.rows {
		// A number is in one row; of several with one address or name the first is told.
		if same(field, r.value(field), value) && (!ok || r.Line < row.Line) {
			row, ok = r, true
		}
	}
	return row, ok
}

// Only is the file with one person's row alone: what a single record needs of each of many versions.
func (f File) Only(id archive.PartyID) File {
	key := strings.ToLower(string(id))
	row, ok := f.rows[key]
	if !ok {
		return File{}
	}
	return File{rows: map[string]Row{key: row}}
}

// FieldState is what is known of one field of a person, as answers have it. Times are UTC.
type FieldState struct {
	Field   Field              `json:"field"`
	Value   string             `json:"value,omitempty"`  // the one that counts
	Source  Source             `json:"source,omitempty"` // of that one
	Seen    time.Time          `json:"seen,omitzero"`    // its age: when its source last had it
	WeCom   Standing           `json:"wecom"`
	Differ  bool               `json:"differ"`            // the sources say different things
	Openers []directory.Opener `json:"openers,omitempty"` // of a field that WeCom hides: what could show it
}

// Stated is one value that a source gave, as answers have it.
type Stated struct {
	Field   Field     `json:"field"`
	Value   string    `json:"value"`
	Source  Source    `json:"source"`
	Via     string    `json:"via,omitempty"` // wecom: the kind of secret; hr-file: the version
	Current bool      `json:"current"`
	From    time.Time `json:"from,omitzero"` // when the source first had it; left out: not known
	To      time.Time `json:"to,omitzero"`   // when it was first seen without it
	Seen    time.Time `json:"seen,omitzero"`
}

// States is the record field by field.
func (r Record) States() []FieldState {
	out := make([]FieldState, 0, len(Fields()))
	for _, f := range Fields() {
		s := FieldState{Field: f, WeCom: r.WeCom[f], Differ: r.Differ(f) != nil}
		if v, ok := r.Best(f); ok {
			s.Value, s.Source, s.Seen = v.Value, v.Source, v.Seen.UTC().Truncate(time.Second)
		}
		if s.WeCom == Hidden {
			s.Openers = directory.Openers(map[Field]directory.Field{Name: directory.FieldName, Mobile: directory.FieldMobile, Email: directory.FieldEmail}[f])
		}
		out = append(out, s)
	}
	return out
}

// Stated is every value that the record has, former ones too, by field and precedence.
func (r Record) Stated() []Stated {
	out := []Stated{}
	second := func(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
	for _, f := range Fields() {
		for _, v := range r.Values[f] {
			out = append(out, Stated{Field: f, Value: v.Value, Source: v.Source, Via: v.Via, Current: v.Current, From: second(v.From), To: second(v.To), Seen: second(v.Seen)})
		}
	}
	return out
}

// Comparison is what putting a file into force would come to, person by person. Userids are in their file's spelling, ascending.
type Comparison struct {
	Gained, Lost []archive.PartyID // who has a row in the new file alone, in the old one alone
	Changed      []Change          // of those who have one in both
	Unknown      []Problem         // rows whose userid WeCom does not show
	Rows         int               // of the new file
}

// Same says that nothing would change.
func (c Comparison) Same() bool { return len(c.Gained)+len(c.Lost)+len(c.Changed) == 0 }

// Compare is Preview by person. known answers for a userid in lower case.
func Compare(inForce, next File, known func(userid string) bool) Comparison {
	changes, unknown := Preview(inForce, next, known)
	c := Comparison{Unknown: unknown, Rows: len(next.rows)}
	for _, r := range next.Rows() {
		if _, there := inForce.Row(r.UserID); !there {
			c.Gained = append(c.Gained, r.UserID)
		}
	}
	for _, r := range inForce.Rows() {
		if _, there := next.Row(r.UserID); !there {
			c.Lost = append(c.Lost, r.UserID)
		}
	}
	for _, x := range changes {
		_, before := inForce.Row(x.UserID)
		_, after := next.Row(x.UserID)
		if before && after {
			c.Changed = append(c.Changed, x)
		}
	}
	return c
}
