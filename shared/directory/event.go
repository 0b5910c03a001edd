package directory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Change is what an event says happened. The values are parts of keys.
type Change string

// What happens to members.
const (
	Found             Change = "found"  // the first look at it; nobody looked before, so since when it is there is unknown
	Joined            Change = "joined" // an earlier look had not shown it
	Left              Change = "left"   // How says in which way
	NameChanged       Change = "renamed"
	DepartmentsMoved  Change = "moved" // Old and New are sets for Numbers; of a department, its parent
	HeadGained        Change = "head-gained"
	HeadLost          Change = "head-lost"
	MemberActivated   Change = "activated"
	MemberDisabled    Change = "disabled"
	MemberInactive    Change = "not-activated" // back to WeCom's "not activated"
	MobileSet         Change = "mobile-set"
	MobileChanged     Change = "mobile-changed"
	MobileRemoved     Change = "mobile-removed"
	EmailSet          Change = "email-set"
	EmailChanged      Change = "email-changed"
	EmailRemoved      Change = "email-removed"
	PermittedGained   Change = "permitted-gained"
	PermittedLost     Change = "permitted-lost"
	EditionsChanged   Change = "editions-changed"
	LeadersChanged    Change = "leaders-changed" // of a department: Old and New are userids, one a line
	DepartmentMade    Change = "made"            // of departments, what Joined is of members
	DepartmentDeleted Change = "deleted"
)

// Departure is how a member or department went.
type Departure string

// The departures. Unlisted and OutOfView leave open whether it exists somewhere that we don't see.
const (
	Quit          Departure = "left"        // WeCom's status 5
	WasDeleted    Departure = "deleted"     // WeCom knows no such id, or told of the deletion
	WasRenamed    Departure = "renamed"     // WeCom told of a new userid, which is New
	OutOfView     Departure = "out-of-view" // WeCom says that the secret may not see it any more
	UnlistedSince Departure = "unlisted"    // a complete list lacks it: deleted, or outside what the secret may see
)

// Event is one change of a department or member. It happened after After and not after By: no observation can tell when within.
type Event struct {
	Kind       Kind
	ID         string
	What       Change
	Department int       // HeadGained, HeadLost: the department
	Old, New   string    // before and after, as the field has them
	How        Departure // Left, DepartmentDeleted
	After      time.Time // when the last look that saw it before began; zero: none is known
	By         time.Time // when the first look that saw it after had ended
	Told       []time.Time
	Via        string // the kind of secret that the change was seen with
	// Recorded is when it was first kept, whatever was learnt of it since; zero: by a version that did not say. One that was recorded after its day was
	// reported is late. It is no part of what happened: two events that differ in it alone are the same.
	Recorded time.Time
}

// Key is the event's identity: what of whom, and by when. Two looks' worth of the same event have the same key, so that writing it again writes
// it over; what a further look teaches about After or Told does not change it. Keys sort by By, in milliseconds.
func (e Event) Key() string {
	return fmt.Sprintf("%013d#%s#%s#%s#%d#%s", max(e.By.UnixMilli(), 0), e.Kind, e.ID, e.What, e.Department, e.Via)
}

// In says whether the event falls into the window [from, to). Windows that follow each other hold each event once: it is By that counts.
func (e Event) In(from, to time.Time) bool { return !e.By.Before(from) && e.By.Before(to) }

func compareEvents(a, b Event) int {
	return cmp.Or(a.By.Compare(b.By), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.ID, b.ID), strings.Compare(a.Key(), b.Key()))
}

// Reconcile says what is to be written, and what deleted, so that a store that holds some events of an entry holds exactly those of its history.
func Reconcile(stored, history []Event) (put []Event, drop []Event) {
	same := func(a, b Event) bool {
		return a.Key() == b.Key() && a.Old == b.Old && a.New == b.New && a.How == b.How && a.After.Equal(b.After) && slices.EqualFunc(a.Told, b.Told, time.Time.Equal)
	}
	for _, e := range history {
		if !slices.ContainsFunc(stored, func(s Event) bool { return same(s, e) }) {
			put = append(put, e)
		}
	}
	for _, s := range stored {
		if !slices.ContainsFunc(history, func(e Event) bool { return e.Key() == s.Key() }) {
			drop = append(drop, s)
		}
	}
	return put, drop
}

// topic is what an event is about: of one topic, each event begins where the one before it ended.
func (e Event) topic() string {
	switch e.What {
	case MobileSet, MobileChanged, MobileRemoved:
		return "mobile"
	case EmailSet, EmailChanged, EmailRemoved:
		return "email"
	case PermittedGained, PermittedLost:
		return "permitted"
	case MemberActivated, MemberDisabled, MemberInactive:
		return "status"
	case HeadGained, HeadLost:
		return fmt.Sprintf("head %d", e.Department)
	case Found, Joined, Left, DepartmentMade, DepartmentDeleted:
		return presence
	default:
		return string(e.What)
	}
}

const presence = "presence"

// within says whether an event happened between no other times than within another's.
func (e Event) within(s Event) bool { return !e.After.Before(s.After) && !e.By.After(s.By) }

// again says whether two events are the same change, whenever each was.
func (e Event) again(s Event) bool {
	return e.What == s.What && e.Department == s.Department && e.Old == s.Old && e.New == s.New
}

// Keep is an entry's history as it may be kept where some events of it are: who was told of an event is not told of it again as of another time. A
// further look may narrow an event, or show what it was made of: then the history has something of its topic, or a coming or going, within its
// times. Where it has not, the kept event stays, and what the history next says of the topic is left out if it is the same change. Those that stay
// so are set aside: looks that were lost, or that contradict each other, are not to be believed more than what they once said together.
func Keep(stored, history []Event) (kept, aside []Event) {
	kept = slices.Clone(history)
	believed := slices.Clone(stored)
	for again := true; again; { // what is left out for one of them may have been what explained another
		again = false
		believed = slices.DeleteFunc(believed, func(s Event) bool {
			explained := func(e Event) bool { return e.within(s) && (e.topic() == s.topic() || e.topic() == presence) }
			if slices.ContainsFunc(kept, explained) {
				return false
			}
			again = true
			aside = append(aside, s)
			kept = slices.DeleteFunc(kept, func(e Event) bool { return e.Key() == s.Key() })
			next := slices.IndexFunc(kept, func(e Event) bool { return e.topic() == s.topic() && e.By.After(s.After) })
			if next >= 0 && kept[next].again(s) {
				kept = slices.Delete(kept, next, next+1)
			}
			return true
		})
	}
	kept = append(kept, aside...)
	slices.SortStableFunc(kept, compareEvents)
	return kept, aside
}

// Record gives the events that are to be put the time at which each was first kept: now, or that of the stored event that it takes the place of,
// be it with another By: who was told of a change is not told again because a look taught when within.
func Record(put, stored []Event, now time.Time) []Event {
	out := slices.Clone(put)
	for i := range out {
		out[i].Recorded = instant(now)
		for _, s := range stored {
			same := s.Kind == out[i].Kind && s.ID == out[i].ID && s.What == out[i].What && s.Department == out[i].Department && s.Old == out[i].Old && s.New == out[i].New
			if (same && !s.After.After(out[i].By) && !out[i].After.After(s.By) || s.Key() == out[i].Key()) && s.Recorded.Before(out[i].Recorded) {
				out[i].Recorded = s.Recorded
			}
		}
	}
	return out
}

// Notice is what a contact-change callback said: that something happened to an id. It is a hint of when, never of what is so now.
type Notice struct {
	Kind  Kind
	ID    string
	At    time.Time // WeCom's CreateTime, whole seconds
	Says  Telling
	NewID string // the userid that replaces ID, if WeCom gave one
}

// Telling is what a notice tells of.
type Telling string

// The tellings.
const (
	ToldCreated Telling = "created"
	ToldUpdated Telling = "updated"
	ToldDeleted Telling = "deleted"
)

// within says whether what the notice tells of may be what happened between two looks. CreateTime has whole seconds.
func (n Notice) within(after, by time.Time) bool {
	return !n.At.After(by) && (after.IsZero() || n.At.Add(time.Second).After(after))
}

// Merge is a department whose members all moved into one other while it was deleted. WeCom has no merging of its own: it is what it looks like
// from outside.
type Merge struct {
	From, Into int
	After, By  time.Time
}

// Merges finds, among events of departments and members, the deleted departments that were merged into another: all members and departments
// that were in it and are still there went, at what may be the same time, to one and the same department. A department that was empty was deleted only.
func Merges(events []Event) []Merge {
	var found []Merge
	for _, d := range events {
		if d.Kind != KindDepartment || d.What != DepartmentDeleted {
			continue
		}
		from := Numbers(d.ID)
		if len(from) != 1 {
			continue
		}
		var into []int
		m := Merge{From: from[0], After: d.After, By: d.By}
		for _, e := range events {
			old, next := Numbers(e.Old), Numbers(e.New)
			if e.What != DepartmentsMoved || !slices.Contains(old, m.From) || slices.Contains(next, m.From) || e.After.After(d.By) || d.After.After(e.By) {
				continue
			}
			if into == nil {
				into = next
			}
			into = slices.DeleteFunc(into, func(n int) bool { return !slices.Contains(next, n) })
			if len(into) == 0 {
				break
			}
			m.After, m.By = earlier(m.After, e.After), later(m.By, e.By)
		}
		if len(into) == 1 {
			m.Into = into[0]
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b Merge) int { return cmp.Or(a.By.Compare(b.By), cmp.Compare(a.From, b.From)) })
	return slices.Compact(found)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
