// Package consent owns who agreed to being archived: per member and external contact, and per external contact of a group, what WeCom's answers and
// the agree and disagree messages say, as a history over time. It is pure: it asks nobody and keeps nothing. What nobody answered is unknown,
// and unknown is never agreed.
package consent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// State is where an external contact stands. The values are parts of keys.
type State string

// The states. Only Agreed is consent; Default is WeCom's word for a contact who was told and never chose.
const (
	Unknown   State = ""         // never answered
	Agreed    State = "agree"    // agreed
	Disagreed State = "disagree" // disagreed
	Default   State = "default"  // agreed by default: neither asked for it nor refused
	NotYet    State = "not-yet"  // an answer left the contact out, or its choice open
	Shown     State = "shown"    // of a room as a whole, whose Subject names nobody: WeCom shows who agreed in it. It is nobody's consent
)

// ParseState reads agree_status.
//
// QUIRK: "Default_Agree" is in no public page of the API, only in clients; a word that is none of the three is taken for a choice still open.
func ParseState(agreeStatus string) State {
	switch strings.ToLower(agreeStatus) {
	case "agree":
		return Agreed
	case "disagree":
		return Disagreed
	case "default_agree":
		return Default
	default:
		return NotYet
	}
}

// Open says whether a conversation with such a contact breaks the rule that everybody agrees: a refusal, or no choice yet. Default and Unknown are
// neither: they are to be listed apart.
func (s State) Open() bool { return s == Disagreed || s == NotYet }

// Subject is whose consent to what: of an external contact to the archiving of a member's messages with it, or of a room's. Exactly one of Member and
// Room is set.
type Subject struct {
	External archive.PartyID // "" for a room as a whole: Shown, or Unknown with the reason
	Member   archive.PartyID
	Room     archive.RoomID
}

// Key is the subject as part of a key; different subjects have different ones.
func (s Subject) Key() string {
	if s.Room != "" {
		return "room#" + string(s.Room) + "#" + string(s.External)
	}
	return "member#" + string(s.Member) + "#" + string(s.External)
}

// Source is who said it.
type Source string

// The sources.
const (
	Poll    Source = "poll"    // WeCom's answer when asked
	Message Source = "message" // an archived agree or disagree message
)

// Statement is what one answer or message says about one subject.
type Statement struct {
	Subject  Subject
	Source   Source
	State    State     // Unknown: the answer was a refusal, and Why says which
	Since    time.Time // when the state began by WeCom's own word: status_change_time, or the message's time; zero: it did not say
	Asked    time.Time // Poll: when the asking began; a Message has Since alone
	Answered time.Time // when we knew: the answer's end, or when the message was archived
	Why      string    // for Unknown: a short word or "errcode 301059"; for NotYet: LeftOut, or ""
	MsgID    archive.MsgID
}

// LeftOut is why a contact has not agreed yet who is in a room by the directory and whom WeCom's answer about the room does not name. The two may be of
// different minutes: the contact may have left in between.
const LeftOut = "left out"

// Change is one change of a subject's state. If At is set it began then, by WeCom's word. Else it began after After and not after By: between two answers.
type Change struct {
	Subject  Subject
	Old, New State
	At       time.Time
	After    time.Time // zero with zero At: since when is unknown
	By       time.Time
	Read     time.Time // when it was first known to us
	Source   Source
	MsgID    archive.MsgID // the message that says it, if one does
}

// Key is the change's identity: writing it again writes it over.
func (c Change) Key() string {
	at, how := c.At, "at"
	if at.IsZero() {
		at, how = c.By, "by"
	}
	return fmt.Sprintf("%013d#%s#%s#%s", max(at.UnixMilli(), 0), how, c.Subject.Key(), c.New)
}

// History is one subject's history.
type History struct {
	Subject    Subject
	Changes    []Change  // the oldest first
	State      State     // now, as far as is known
	Asked      time.Time // when WeCom last answered; zero: never
	Unreadable string    // why the newest asking was refused; "" if it was answered
	Since      time.Time // Unreadable: since when no asking was answered
}

// point is an instant at which a state is known to hold.
type point struct {
	at, answered time.Time
	exact        bool // the state began here
	state        State
	source       Source
	msgID        archive.MsgID
}

// Fold makes a subject's history of all that was ever said about it: a function of the set of statements, whatever their order and however often each is
// given.
//
// Where WeCom says since when, that time counts, whenever we learnt it: an old answer read late takes its place in the past. An answer that names no
// time shows only that the state began after the answer before it.
func Fold(s Subject, statements []Statement) History {
	h := History{Subject: s}
	var exact, loose []point
	var refused []Statement
	for _, st := range statements {
		if st.Subject != s {
			continue
		}
		st.Since, st.Asked, st.Answered = instant(st.Since), instant(st.Asked), instant(st.Answered)
		if st.Source == Poll && st.State == Unknown {
			refused = append(refused, st)
			continue
		}
		if st.Source == Poll {
			h.Asked = latest(h.Asked, st.Asked)
		}
		p := point{at: st.Since, answered: st.Answered, exact: true, state: st.State, source: st.Source, msgID: st.MsgID}
		if st.Since.IsZero() {
			p.at, p.exact = st.Asked, false
			loose = append(loose, p)
			continue
		}
		exact = append(exact, p)
	}
	for _, st := range refused {
		if st.Asked.After(h.Asked) {
			if h.Since.IsZero() || st.Asked.Before(h.Since) {
				h.Since = st.Asked
			}
			h.Unreadable = cmp.Or(newestRefusal(refused).Why, "refused")
		}
	}
	points := append(merged(exact), loose...)
	slices.SortFunc(points, comparePoints)

	var last time.Time // when the state was last known to hold
	for _, p := range points {
		if p.state != h.State {
			c := Change{Subject: s, Old: h.State, New: p.state, Read: p.answered, Source: p.source, MsgID: p.msgID, By: p.answered}
			if p.exact {
				c.At, c.By = p.at, p.at
			} else {
				c.After = last
			}
			h.Changes = append(h.Changes, c)
			h.State = p.state
		}
		last = p.at
	}
	return h
}

// comparePoints orders points by time. What began at an instant stands before what was found at it; of two states that began together the refusal is
// the last, because what is not sure is not consent.
func comparePoints(a, b point) int {
	later := func(p point) int {
		if p.exact {
			return 0
		}
		return 1
	}
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(later(a), later(b)), cmp.Compare(weight(a.state), weight(b.state)), a.answered.Compare(b.answered),
		strings.Compare(string(a.source), string(b.source)), strings.Compare(string(a.msgID), string(b.msgID)))
}

func weight(s State) int { return slices.Index([]State{Shown, Agreed, Default, NotYet, Disagreed}, s) }

// merged makes one point of all that tell of the same beginning. An answer has whole seconds where a message has milliseconds: it tells of the
// message's second. The earliest word says when we knew.
func merged(exact []point) []point {
	slices.SortFunc(exact, func(a, b point) int {
		return cmp.Or(strings.Compare(string(a.source), string(b.source)), comparePoints(a, b)) // messages first
	})
	var out []point
	for _, p := range exact {
		i := slices.IndexFunc(out, func(o point) bool {
			same := o.at.Equal(p.at) || o.source == Message && p.source == Poll && o.at.Truncate(time.Second).Equal(p.at.Truncate(time.Second))
			return same && o.state == p.state
		})
		if i < 0 {
			out = append(out, p)
			continue
		}
		if p.answered.Before(out[i].answered) {
			out[i].answered = p.answered
		}
	}
	return out
}

func newestRefusal(list []Statement) Statement {
	return slices.MaxFunc(list, func(a, b Statement) int { return cmp.Or(a.Asked.Compare(b.Asked), strings.Compare(a.Why, b.Why)) })
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// instant is a time as stores keep it.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// At is the state at a time: Unknown before the first change. Where a change is known only to lie between two answers, the older state holds until the
// second, except that consent ends with the first: what is not sure is not consent.
func (h History) At(t time.Time) State {
	state := Unknown
	for _, c := range h.Changes {
		from := c.By
		if c.At.IsZero() && (c.Old == Agreed || c.Old == Default) && !c.After.IsZero() {
			from = c.After.Add(time.Millisecond)
		}
		if from.After(t) {
			break
		}
		state = c.New
	}
	return state
}

// OfMessage is what an archived message says about consent. In a room it is about the room; else about the conversation with the member, who is the other
// party.
func OfMessage(m archive.Message, archived time.Time) []Statement {
	var list []Statement
	for _, c := range m.Consents {
		st := Statement{Source: Message, State: Disagreed, Since: c.Time, Answered: archived, MsgID: m.MsgID}
		if c.Agree {
			st.State = Agreed
		}
		if st.Since.IsZero() {
			st.Since = m.Time
		}
		if st.Since.IsZero() || c.Party == "" {
			continue // it says neither when nor who
		}
		if m.Room != "" {
			st.Subject = Subject{External: c.Party, Room: m.Room}
			list = append(list, st)
			continue
		}
		for _, id := range archive.SortedParties(m.From, m.To) {
			if archive.PartyID(id) != c.Party {
				st.Subject = Subject{External: c.Party, Member: archive.PartyID(id)}
				list = append(list, st)
			}
		}
	}
	return list
}

// MostPerCall is how many pairs WeCom takes in one call of check_single_agree; check_room_agree takes one room.
const MostPerCall = 100

// Calls shares the subjects out over calls: those with a member into calls of at most MostPerCall, each once, in their order; rooms each once.
func Calls(subjects []Subject) (pairs [][]Subject, rooms []archive.RoomID) {
	var singles []Subject
	for _, s := range subjects {
		if s.Room != "" {
			rooms = append(rooms, s.Room)
		} else if s.Member != "" && s.External != "" {
			singles = append(singles, s)
		}
	}
	slices.SortFunc(singles, func(a, b Subject) int { return strings.Compare(a.Key(), b.Key()) })
	singles = slices.Compact(singles)
	slices.Sort(rooms)
	return slices.Collect(slices.Chunk(singles, MostPerCall)), slices.Compact(rooms)
}
