package reading

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// mostSought is how many members that the lists lack are looked at alone by one reading: two minutes' worth of calls, of the eight that it has. Where more are
// missing, the next reading goes on behind them.
const mostSought = 12000

// mostUnseen is up to how many are believed to be gone, by a list that lacks them for the first time, whom no secret may look at alone.
const mostUnseen = 500

// errHalf says that a look at one entry showed what the list of all lacks: that was no list of all.
var errHalf = errors.New(halfAnswer)

// errMissing says that many who were on the list are not, and that it is not known yet of each whether he is gone.
var errMissing = errors.New(Missing)

// seek looks at the members alone who were on the list before and are on none now. It takes a while to read the departments one after the other, and who is moved
// meanwhile from one that is still to be read into one that has been read is on none of their lists: he is not gone. Nor has everybody left because WeCom gave half
// an answer. A look that fails leaves the list incomplete, so that nobody is gone; so do more who are missing than there is time for, until readings to come
// have looked at the rest. Of many whom no secret may look at, the next reading that lacks them decides.
func (g *gathering) seek(ctx context.Context, l *listing) {
	if l.membersErr != nil {
		return
	}
	ids, more := g.missing(l.members)
	if len(ids) == 0 {
		return
	}
	found, unseen := g.lookFor(ctx, l, ids)
	switch {
	case l.membersErr != nil || len(g.sought) > 0: // of a reading that is replayed it is known whether its list counted
	case found && (more || g.known.Sought != ""):
		l.membersErr = errHalf // those whom an earlier reading looked at may be back as well
	case unseen > mostUnseen:
		if !g.known.Doubted {
			l.membersErr = errMissing
		}
	case more:
		l.membersErr, l.sought = errMissing, string(ids[len(ids)-1])
	}
}

// lookFor looks at members alone with the secret that showed the lists or, where that may look at none, with the first that may. Those who are there it adds to the
// list; found says that there were some. unseen is how many nobody may look at.
func (g *gathering) lookFor(ctx context.Context, l *listing, ids []archive.PartyID) (found bool, unseen int) {
	kinds := []secrets.Kind{l.via, secrets.Contacts, secrets.Archive, secrets.Customer}
	if len(g.sought) > 0 {
		kinds = []secrets.Kind{l.via, g.seeker}
	}
	for _, kind := range kinds {
		if g.readers[kind] == nil {
			continue
		}
		if found, unseen, may := g.lookWith(ctx, l, kind, ids); may {
			if kind != l.via && g.known.Keep != nil {
				g.known.Keep.seeker(kind)
			}
			return found, unseen
		}
	}
	return false, len(ids)
}

func (g *gathering) lookWith(ctx context.Context, l *listing, kind secrets.Kind, ids []archive.PartyID) (found bool, unseen int, may bool) {
	reader, own := g.readers[kind], kind == l.via
	stop := reader.AheadOf(ctx, ids)
	defer stop()
	for i, id := range ids {
		m, err := reader.Member(ctx, id)
		switch {
		case wecom.Denied(err) && i == 0:
			return false, 0, false
		case err == nil && m.Status != directory.StatusLeft && len(m.Departments) > 0:
			found = true
			m.ID = id
			read := asRead(m, true, l.sensitive || wecom.ShowsSensitive([]wecom.Member{m}))
			if !own { // it does not see all that the list shows, such as departments
				read = directory.ReadMember{ID: id, Member: directory.Member{Listed: true}, Unread: true}
			}
			l.members = append(l.members, read)
		case err == nil, wecom.NotThere(err), own && wecom.NotShown(err):
		case !own, wecom.Denied(err):
			unseen++
		default:
			l.membersErr = err
			if !found { // else the list is not to be believed, and the next one is looked at from the beginning
				l.sought = g.known.Sought
				if i > 0 {
					l.sought = string(ids[i-1])
				}
			}
			return found, unseen, true
		}
	}
	return found, unseen, true
}

// missing is whom seek looks at; more says that there are others behind them, for whom there is no time.
func (g *gathering) missing(members []directory.ReadMember) (missing []archive.PartyID, more bool) {
	if len(g.sought) > 0 {
		return g.sought, false
	}
	listed := map[archive.PartyID]bool{}
	for _, m := range members {
		listed[m.ID] = true
	}
	lacks := func(id archive.PartyID) {
		if !listed[id] && string(id) > g.known.Sought {
			missing = append(missing, id)
		}
	}
	for _, id := range g.known.Listed {
		lacks(id)
	}
	for _, e := range g.known.Entries {
		if e.Kind != directory.KindMember || e.Gone {
			continue
		}
		if m, err := directory.Parse[directory.Member](e.Fields); err == nil && m.Listed && m.Status != directory.StatusLeft {
			lacks(archive.PartyID(e.ID))
		}
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	if most := cmp.Or(g.known.Most, mostSought); len(missing) > most {
		missing, more = missing[:most], true
	}
	if len(missing) > 0 && g.known.Keep != nil {
		g.known.Keep.sought(missing)
	}
	return missing, more
}

// seekDepartments looks at the departments alone that were on the list before and are not now: one that is there is on it as before, and who was in it is looked
// for. It is one answer that lists them all; where it lacks very many, the first ones tell whether it was half of it.
func (g *gathering) seekDepartments(ctx context.Context, l *listing) {
	if l.treeErr != nil {
		return
	}
	ids, more := g.missingDepartments(l.departments)
	for i, id := range ids {
		d, named, err := g.readers[l.via].Department(ctx, id)
		if err == nil {
			l.departments = append(l.departments, asDepartment(d, named))
			if more {
				err = errHalf
			}
		}
		if err == nil || wecom.NotThere(err) || wecom.NotShown(err) {
			continue
		}
		ids = ids[:i+1]
		if !wecom.Denied(err) {
			l.treeErr = err
			if l.membersErr == nil {
				l.membersErr = err
			}
		}
		break
	}
	if len(ids) > 0 && g.known.Keep != nil {
		g.known.Keep.soughtDepartments(ids)
	}
}

// missingDepartments is which seekDepartments looks at; more says that there are others.
func (g *gathering) missingDepartments(list []directory.ReadDepartment) (missing []int, more bool) {
	if len(g.soughtDepartments) > 0 {
		return g.soughtDepartments, false
	}
	listed := map[string]bool{}
	for _, d := range list {
		listed[strconv.Itoa(d.ID)] = true
	}
	for _, e := range g.known.Entries {
		if e.Kind != directory.KindDepartment || e.Gone || listed[e.ID] {
			continue
		}
		if id, err := strconv.Atoi(e.ID); err == nil {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	if len(missing) > mostUnseen {
		missing, more = missing[:mostUnseen], true
	}
	return missing, more
}

func asDepartment(d wecom.Department, named bool) directory.ReadDepartment {
	return directory.ReadDepartment{ID: d.ID, Named: named, Department: directory.Department{Name: d.Name, NameEn: d.NameEn, Parent: d.Parent, Order: d.Order, Leaders: d.Leaders}}
}
