// Package identity owns who a person is: one record a member, by userid, with the mobiles and addresses that WeCom, the company's own file and the member
// have given, each with its source and its age. It reads no store, and takes no file but what it is handed; what WeCom hides is unknown here, and a
// record without any number or address is a record still.
package identity

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// Field is what a record holds of a person beside the userid.
type Field string

// The fields.
const (
	Name   Field = "name"
	Mobile Field = "mobile"
	Email  Field = "email"
)

// Fields is all fields.
func Fields() []Field { return []Field{Name, Mobile, Email} }

// Source is who gave a value.
type Source string

// The sources. Their order is their precedence: what WeCom shows goes before the company's file, that before what the member said.
const (
	WeCom  Source = "wecom"
	HRFile Source = "hr-file"
	Member Source = "member"
)

// Sources is all sources, the one that goes before the others first.
func Sources() []Source { return []Source{WeCom, HRFile, Member} }

// Value is a value that a source gave for a field, never "".
type Value struct {
	Value   string
	Source  Source
	From    time.Time // when the source first had it: looked at, uploaded or said
	To      time.Time // when the source was first seen without it; zero: it has it still
	Seen    time.Time // when the source last had it: its age
	Via     string    // WeCom: the kind of secret; HRFile: the file's version
	Current bool      // it is what the source says now
}

// Standing is what WeCom shows of a field now.
type Standing string

// The standings. Hidden and Unread are neither there nor lost.
const (
	Shown    Standing = "shown"  // WeCom shows a value
	Empty    Standing = "empty"  // WeCom shows that there is none
	Hidden   Standing = "hidden" // WeCom does not show the field to the secrets that are held
	Unread   Standing = "unread" // nobody has looked yet
	Departed Standing = "gone"   // the member is not there any more
)

// Record is one person.
type Record struct {
	UserID archive.PartyID
	Values map[Field][]Value // by precedence of their source, then the newest first
	WeCom  map[Field]Standing
}

// Said is a value that a member gave for itself, on a page of consent.
type Said struct {
	Field Field
	Value string // "" takes back what was said before
	At    time.Time
}

// Of makes the record of a member of its history in the directory, of the versions of the company's file, and of what the member said. All may be empty; order
// does not matter. Mobiles are compared in the form of Normal.
func Of(id archive.PartyID, h directory.History, files []Version, own []Said) Record {
	r := Record{UserID: id, Values: map[Field][]Value{}, WeCom: map[Field]Standing{}}
	for _, f := range Fields() {
		of := map[Field]directory.Field{Name: directory.FieldName, Mobile: directory.FieldMobile, Email: directory.FieldEmail}[f]
		r.WeCom[f] = standing(h, of)
		values := fromWeCom(f, h, of)
		values = append(values, fromFiles(f, id, files)...)
		values = append(values, fromMember(f, own)...)
		slices.SortStableFunc(values, func(a, b Value) int {
			return cmp.Or(cmp.Compare(slices.Index(Sources(), a.Source), slices.Index(Sources(), b.Source)), b.From.Compare(a.From), strings.Compare(a.Value, b.Value))
		})
		if len(values) > 0 {
			r.Values[f] = values
		}
	}
	return r
}

func standing(h directory.History, f directory.Field) Standing {
	k, known := h.Now[f]
	switch {
	case !h.Here && !h.Since.IsZero():
		return Departed
	case !known:
		return Unread
	case k.Blind != "" || k.Seen.IsZero():
		return Hidden
	case k.Value == "":
		return Empty
	default:
		return Shown
	}
}

func fromWeCom(f Field, h directory.History, of directory.Field) []Value {
	var values []Value
	spans := h.Spans[of]
	for i, s := range spans {
		if s.Value == "" {
			continue
		}
		v := Value{Value: normal(f, s.Value), Source: WeCom, From: s.First, Seen: s.Last, Via: s.Via, Current: !s.Ended}
		if i+1 < len(spans) {
			v.To = spans[i+1].First
		} else if s.Ended {
			v.To = s.Last
		}
		values = append(values, v)
	}
	return values
}

// turn is what a source says from a time on.
type turn struct {
	at         time.Time
	value, via string
}

// values makes values of a source's turns: each lasts until the next that says something else.
func values(source Source, turns []turn) []Value {
	slices.SortFunc(turns, func(a, b turn) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.via, b.via), strings.Compare(a.value, b.value))
	})
	var out []Value
	open := false
	for _, t := range turns {
		if open {
			last := &out[len(out)-1]
			if last.Value == t.value {
				last.Seen = t.at
				continue
			}
			last.To, last.Current, open = t.at, false, false
		}
		if t.value != "" {
			out = append(out, Value{Value: t.value, Source: source, From: t.at, Seen: t.at, Via: t.via, Current: true})
			open = true
		}
	}
	return out
}

func fromFiles(f Field, id archive.PartyID, files []Version) []Value {
	var turns []turn
	for _, v := range files {
		row, _ := v.File.Row(id)
		turns = append(turns, turn{v.At, row.value(f), v.Name})
	}
	return values(HRFile, turns)
}

func fromMember(f Field, own []Said) []Value {
	var turns []turn
	for _, s := range own {
		if s.Field == f {
			turns = append(turns, turn{s.At, normal(f, s.Value), ""})
		}
	}
	return values(Member, turns)
}

// Best is the value that counts for a field: the current one of the source that goes before the others. A value that WeCom once showed and now hides counts
// still, as old as it is; one that WeCom shows to be gone does not, and the next source's does. ok is false if nobody gives one.
func (r Record) Best(f Field) (v Value, ok bool) {
	for _, v := range r.Values[f] {
		if v.Current {
			return v, true
		}
	}
	return Value{}, false
}

// Differ is the current values of a field if its sources don't agree, by precedence; else nil.
func (r Record) Differ(f Field) []Value {
	var current []Value
	for _, v := range r.Values[f] {
		if v.Current {
			current = append(current, v)
		}
	}
	if slices.ContainsFunc(current, func(v Value) bool { return !same(f, v.Value, current[0].Value) }) {
		return current
	}
	return nil
}

// Match says whether a value is, or once was, the person's, and which one: what maps by an old number goes on matching, and can be named.
func (r Record) Match(f Field, value string) (v Value, ok bool) {
	for _, v := range r.Values[f] {
		if same(f, v.Value, normal(f, value)) && (!ok || v.Current) {
			return v, true
		}
	}
	return Value{}, false
}

func same(f Field, a, b string) bool {
	if f == Email {
		return strings.EqualFold(a, b)
	}
	return a == b
}

func normal(f Field, s string) string {
	if f == Mobile {
		return Normal(s)
	}
	return strings.TrimSpace(s)
}

// Normal writes a mobile number as E.164 does, if it can be told: WeCom gives numbers of mainland China without their +86. What is no number comes back as it
// is, without the spaces around it.
func Normal(mobile string) string {
	s := strings.TrimSpace(mobile)
	digits := strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '(', ')', '.', '\u00a0':
			return -1
		}
		return r
	}, s)
	plus := strings.HasPrefix(digits, "+")
	digits = strings.TrimPrefix(digits, "+")
	if !plus && strings.HasPrefix(digits, "00") {
		plus, digits = true, digits[2:]
	}
	if strings.Trim(digits, "0123456789") != "" || digits == "" {
		return s
	}
	switch {
	case plus && len(digits) >= 8 && len(digits) <= 15 && digits[0] != '0':
		return "+" + digits
	case !plus && len(digits) == 11 && digits[0] == '1':
		return "+86" + digits
	default:
		return s
	}
}
