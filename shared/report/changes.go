package report

import (
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// Seen is what the directory knows of a member now; of one who is gone, what it last knew.
type Seen struct {
	Person
	Member directory.Member
	Here   bool
}

// DayRows is a day's rows of R3, R4 and R5.
type DayRows struct {
	Numbers []NumberRow
	Deleted []DeletedRow
	New     []NewRow
}

// Changes makes the rows of R3, R4 and R5 for the day that ends at noon. events are those of members, in any order, repeats allowed; those whose By does
// not fall into [noon − 24 h, noon) are passed over. late are events of earlier windows that were found only after those had been reported: they are
// told now, and say so. known says what is known of a member; what nobody knows has its userid alone, and so is in the whole company's scope alone.
func Changes(noon time.Time, events, late []directory.Event, known func(archive.PartyID) Seen) DayRows {
	from := noon.Add(-24 * time.Hour)
	type told struct {
		directory.Event
		late bool
	}
	var all []told
	seen := map[string]bool{}
	add := func(e directory.Event, isLate bool) {
		if key := e.Key(); e.Kind == directory.KindMember && !seen[key] {
			seen[key] = true
			all = append(all, told{e, isLate})
		}
	}
	for _, e := range events {
		if e.In(from, noon) {
			add(e, false)
		}
	}
	for _, e := range late {
		if e.By.Before(from) {
			add(e, true)
		}
	}
	slices.SortFunc(all, func(a, b told) int { return strings.Compare(a.Key(), b.Key()) }) // by time first

	var out DayRows
	for i, e := range all {
		after := func(what directory.Change) bool { // happened to the same member later
			return slices.ContainsFunc(all[i+1:], func(o told) bool { return o.ID == e.ID && o.What == what })
		}
		id := archive.PartyID(e.ID)
		who := func() Seen {
			k := known(id)
			k.ID = id
			return k
		}
		switch e.What {
		case directory.MobileChanged, directory.MobileSet, directory.MobileRemoved:
			out.Numbers = append(out.Numbers, NumberRow{Person: who().Person, Old: e.Old, New: e.New, When: BetweenOf(e.Event), Late: e.late})
		case directory.Left:
			k := who()
			out.Deleted = append(out.Deleted, DeletedRow{
				Person: k.Person, How: e.How, NewID: archive.PartyID(e.New), When: BetweenOf(e.Event), Late: e.late, Back: k.Here && after(directory.Joined),
				Mobile: k.Member.Mobile, MobileKnown: k.Member.Mobile != "" || k.Member.MobileReadable,
				Email: k.Member.Email, EmailKnown: k.Member.Email != "" || k.Member.EmailReadable,
			})
		case directory.Joined:
			k := who()
			out.New = append(out.New, NewRow{
				Person: k.Person, Joined: BetweenOf(e.Event), Fresh: true, Late: e.late, Gone: !k.Here, Status: Status(k.Member.Status),
				Archiving: Archiving{
					Designated: k.Member.Designated, DesignatedKnown: k.Member.DesignatedKnown, Email: k.Member.Email, EmailReadable: k.Member.EmailReadable,
				},
				Mobile: k.Member.Mobile, MobileReadable: k.Member.MobileReadable,
			})
		default:
		}
	}
	return out
}
