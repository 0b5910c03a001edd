package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// inParallel calls f for 0 to n-1, some at the same time, and returns what failed. One that fails keeps no other from its turn; once as many have failed as are
// called at a time, it is taken for what would befall all, and the rest are not called.
func inParallel(n int, f func(i int) error) error {
	failures := make([]error, n)
	next := make(chan int)
	var all sync.WaitGroup
	var failed atomic.Int32
	for range min(atOnce, n) {
		all.Go(func() {
			for i := range next {
				failures[i] = func() (err error) {
					defer fault.Catch(&err)
					return f(i)
				}()
				if failures[i] != nil {
					failed.Add(1)
				}
			}
		})
	}
	for i := range n {
		if failed.Load() >= atOnce {
			break
		}
		next <- i
	}
	close(next)
	all.Wait()
	return errors.Join(failures...)
}

// reading is what of a corp's directory was read to its end, and when last.
type reading struct {
	snapshot time.Time // all departments and members; zero: never
	failing  bool      // a later reading did not come to their end: who is there now is not known
	list     time.Time // WeCom's list of users to archive; zero: not in the days that are looked back at
	listless bool      // a later reading did not come to the end of that
}

// lastRead is what was last read of a corp's directory. It looks back until both are found, for the list no further than lateBack days.
func (r *reporter) lastRead(ctx context.Context, corp archive.CorpID) (at reading, err error) {
	oldest := r.now().AddDate(0, 0, -lateBack)
	err = r.ledger.Snapshots(ctx, corp, func(s ledger.Snapshot) bool {
		if at.snapshot.IsZero() {
			if wasRead(s, directory.PartDepartments) && wasRead(s, directory.PartMembers) {
				at.snapshot = s.At
			} else {
				at.failing = true
			}
		}
		if at.list.IsZero() {
			if wasRead(s, directory.PartDesignated) {
				at.list = s.At
			} else {
				at.listless = true
			}
		}
		return at.snapshot.IsZero() || at.list.IsZero() && s.At.After(oldest)
	})
	return at, err
}

// wasRead says whether a snapshot read a part to its end. Members without a licence are ones that WeCom will never show.
func wasRead(s ledger.Snapshot, part directory.Part) bool {
	o, kept := s.Counts.Parts[part]
	return !kept || o.Complete || o.Why == "members without licence"
}

// readWithin is how long before noon the directory may have been read last: it is read every hour, and one reading may be missed. What happened after an earlier one
// is not known, however still it was before.
const readWithin = 3 * time.Hour

// unread is what a report of the day can't tell because it could not be read: the directory, if its newest reading failed or was hours ago, or there was none; WeCom's
// list of users to archive likewise, where the report is about that; and the given field where WeCom does not show it.
func (p *people) unread(day *today, source report.Source, field directory.Field, readable func(*member) bool) []report.Unread {
	out := p.stale(day)
	if source == report.SourceDesignated {
		out = append(out, p.staleList()...)
	}
	if readable == nil {
		return out
	}
	var blind [][]int
	for i := range p.members {
		if m := &p.members[i]; m.here() && !readable(m) {
			blind = append(blind, m.departments)
		}
	}
	if len(blind) > 0 {
		out = append(out, report.Unread{Source: source, Of: report.Crowds(blind), Openers: directory.Openers(field)})
	}
	return out
}

// stale is the directory, if its newest reading failed or was hours ago, or there was none.
func (p *people) stale(day *today) []report.Unread {
	if !p.failing && !p.snapshot.Before(day.noon.Add(-readWithin)) {
		return nil
	}
	return []report.Unread{{Source: report.SourceDirectory, Since: p.snapshot}}
}

// staleList is WeCom's list of users to archive, if members are told to be on it, or not, by a reading that a later one failed to repeat.
func (p *people) staleList() []report.Unread {
	if !p.listless || !slices.ContainsFunc(p.members, func(m member) bool { return m.here() && m.designatedKnown }) {
		return nil
	}
	return []report.Unread{{Source: report.SourceDesignated, Since: p.list}}
}

// listBehind is staleList for a report whose rows say in passing what is captured: it is no news of its own.
func (p *people) listBehind(rows int) []report.Unread {
	if rows == 0 {
		return nil
	}
	list := p.staleList()
	for i := range list {
		list[i].Known = true
	}
	return list
}

func mobileReadable(m *member) bool  { return m.mobileReadable }
func emailReadable(m *member) bool   { return m.emailReadable }
func designatedKnown(m *member) bool { return m.designatedKnown }

// changes is what happened to single users, of the given kinds, in the day's window, and what happened earlier and is known only now: the rows of R3, R4 and R5, and
// what is to be kept of what was told.
func (r *reporter) changes(ctx context.Context, day *today, m *memory, kinds ...directory.Change) (report.DayRows, *people, error) {
	p, err := r.people(ctx, day)
	if err != nil {
		return report.DayRows{}, nil, err
	}
	all, err := r.recent(ctx, day)
	if err != nil {
		return report.DayRows{}, nil, err
	}
	var events, late []directory.Event
	for _, e := range all {
		if !slices.Contains(kinds, e.What) {
			continue
		}
		if isLate, tell := m.tells(e); tell && isLate {
			late = append(late, e)
		} else if tell {
			events = append(events, e)
		}
	}
	rows := report.Changes(day.noon, events, late, func(id archive.PartyID) report.Seen {
		m := p.member(id)
		return report.Seen{Person: p.person(id), Member: m.fields(), Here: m.here()}
	})
	return rows, p, nil
}

// numberChangeFacts is R3.
func (r *reporter) numberChangeFacts(ctx context.Context, day *today) (report.NumberChangeFacts, error) {
	m, err := memoryOf[report.NumberChangeFacts](ctx, r, day, report.NumberChange)
	if err != nil {
		return report.NumberChangeFacts{}, err
	}
	rows, p, err := r.changes(ctx, day, m, directory.MobileChanged, directory.MobileSet, directory.MobileRemoved)
	if err != nil {
		return report.NumberChangeFacts{}, err
	}
	if err := r.accounts(ctx, day, p, rows.Numbers); err != nil {
		return report.NumberChangeFacts{}, err
	}
	return report.NumberChangeFacts{
		Corp: report.Corp{ID: day.corp.ID, Name: day.corp.Name}, Marks: r.marks(day.corp), Day: day.noon, Snapshot: p.snapshot, Rows: rows.Numbers, Reported: m.keep(),
		Unread: p.unread(day, report.SourceMobile, directory.FieldMobile, mobileReadable),
	}, nil
}

// deletedUsersFacts is R4.
func (r *reporter) deletedUsersFacts(ctx context.Context, day *today) (report.DeletedUsersFacts, error) {
	m, err := memoryOf[report.DeletedUsersFacts](ctx, r, day, report.DeletedUsers)
	if err != nil {
		return report.DeletedUsersFacts{}, err
	}
	rows, p, err := r.changes(ctx, day, m, directory.Left, directory.Joined)
	if err != nil {
		return report.DeletedUsersFacts{}, err
	}
	if err := r.asTheyWent(ctx, day, p, rows.Deleted); err != nil {
		return report.DeletedUsersFacts{}, err
	}
	if err := r.keptOfLeavers(ctx, day, rows.Deleted); err != nil {
		return report.DeletedUsersFacts{}, err
	}
	return report.DeletedUsersFacts{
		Corp: report.Corp{ID: day.corp.ID, Name: day.corp.Name}, Marks: r.marks(day.corp), Day: day.noon, Snapshot: p.snapshot, Rows: rows.Deleted, Reported: m.keep(),
		Unread: p.unread(day, "", "", nil),
	}, nil
}

// newUsersFacts is R5.
func (r *reporter) newUsersFacts(ctx context.Context, day *today) (report.NewUsersFacts, error) {
	m, err := memoryOf[report.NewUsersFacts](ctx, r, day, report.NewUsers)
	if err != nil {
		return report.NewUsersFacts{}, err
	}
	rows, p, err := r.changes(ctx, day, m, directory.Joined)
	if err != nil {
		return report.NewUsersFacts{}, err
	}
	unfinished, err := r.unfinished(ctx, day, p, rows.New)
	if err != nil {
		return report.NewUsersFacts{}, err
	}
	if err := r.archivedOf(ctx, day, rows.New); err != nil {
		return report.NewUsersFacts{}, err
	}
	rows.New = append(rows.New, unfinished...)
	return report.NewUsersFacts{
		Corp: report.Corp{ID: day.corp.ID, Name: day.corp.Name}, Marks: r.marks(day.corp), Day: day.noon, Snapshot: p.snapshot, Rows: rows.New, Reported: m.keep(),
		Unread: p.unread(day, report.SourceDesignated, directory.FieldDesignated, designatedKnown),
	}, nil
}

// withoutMobile is the histories of the members who are there and of whom WeCom shows that they have no mobile number, as far as they once had one or
// something happened to their email; by userid.
func (r *reporter) withoutMobile(ctx context.Context, day *today, p *people) ([]directory.History, error) {
	var without []*member
	for i := range p.members {
		if m := &p.members[i]; m.here() && m.mobileReadable && m.mobile == "" {
			without = append(without, m)
		}
	}
	histories := make([]*directory.History, len(without))
	err := inParallel(len(without), func(i int) error {
		life, err := r.ledger.Life(ctx, day.corp.ID, directory.KindMember, without[i].id)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(life.Events, func(key string) bool {
			return strings.Contains(key, "#"+string(directory.MobileRemoved)+"#") || strings.Contains(key, "#"+string(directory.EmailChanged)+"#") ||
				strings.Contains(key, "#"+string(directory.EmailRemoved)+"#")
		}) {
			return nil
		}
		events, err := r.ledger.KeptEvents(ctx, day.corp.ID, life.Events)
		if err != nil {
			return err
		}
		slices.SortFunc(events, func(a, b directory.Event) int { return strings.Compare(a.Key(), b.Key()) }) // by time first
		histories[i] = historyOf(without[i], events)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("members without mobile of corp %s: %w", day.corp.ID, err)
	}
	var found []directory.History
	for _, h := range histories {
		if h != nil {
			found = append(found, *h)
		}
	}
	return found, nil
}

// historyOf is a member's history as far as the rules about numbers and addresses ask for it: the newest state, and what happened.
func historyOf(m *member, events []directory.Event) *directory.History {
	h := &directory.History{Kind: directory.KindMember, ID: m.id, Here: true, Events: events, Now: map[directory.Field]directory.Known{}}
	know := func(f directory.Field, value string, shown bool) {
		if shown {
			h.Now[f] = directory.Known{Value: value, Seen: m.since()}
		}
	}
	know(directory.FieldName, m.name, m.name != "")
	know(directory.FieldDepartments, numbers(m.departments), true)
	know(directory.FieldStatus, fmt.Sprint(m.status), m.status != directory.StatusUnknown)
	know(directory.FieldMobile, m.mobile, m.mobileReadable)
	know(directory.FieldEmail, m.email, m.emailReadable)
	know(directory.FieldDesignated, fmt.Sprint(m.designated), m.designatedKnown)
	return h
}

// numbers writes departments as a history has them.
func numbers(list []int) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ",")
}

// teller says how a user can be told of something.
func (r *reporter) teller(ctx context.Context, corp archive.CorpID) (func(report.Archiving) report.Told, error) {
	dead, err := r.suppressed(ctx, corp)
	if err != nil {
		return nil, err
	}
	return func(a report.Archiving) report.Told {
		address, err := report.CheckAddress(a.Email)
		return report.Tell(a.Email, a.EmailReadable, err == nil && dead[ledger.AddressID(address)], false)
	}, nil
}

// missingMobileFacts is R2.
func (r *reporter) missingMobileFacts(ctx context.Context, day *today) (report.MissingMobileFacts, error) {
	f := report.MissingMobileFacts{Corp: report.Corp{ID: day.corp.ID, Name: day.corp.Name}, Marks: r.marks(day.corp), Day: day.noon}
	p, histories, told, err := r.missing(ctx, day)
	if err != nil {
		return f, err
	}
	f.Snapshot, f.Unread = p.snapshot, p.unread(day, report.SourceMobile, directory.FieldMobile, mobileReadable)
	var reached func(archive.PartyID) report.Told // nil: the company has no app that writes to members
	if day.corp.App != 0 {
		if reached, err = r.reached(ctx, day); err != nil {
			return f, err
		}
	}
	for _, h := range histories {
		row, lost := report.LostMobile(h)
		if !lost || !row.Lost.By.Before(day.noon) {
			continue
		}
		row.Person = p.person(row.ID)
		if row.Told = told(row.Archiving); row.Told != report.ToldByMail && reached != nil {
			row.Told = reached(row.ID)
		}
		f.Rows = append(f.Rows, row)
	}
	spans, err := r.archived(ctx, day, len(f.Rows), func(i int) archive.PartyID { return f.Rows[i].ID })
	f.Unread = append(f.Unread, p.listBehind(len(f.Rows))...)
	for i, s := range spans {
		f.Rows[i].Archived = s.any()
	}
	return f, err
}

// missingEmailFacts is R8.
func (r *reporter) missingEmailFacts(ctx context.Context, day *today) (report.MissingEmailFacts, error) {
	f := report.MissingEmailFacts{Corp: report.Corp{ID: day.corp.ID, Name: day.corp.Name}, Marks: r.marks(day.corp), Day: day.noon}
	p, histories, told, err := r.missing(ctx, day)
	if err != nil {
		return f, err
	}
	f.Snapshot, f.Unread = p.snapshot, p.unread(day, report.SourceEmail, directory.FieldEmail, emailReadable)
	m, err := memoryOf[report.MissingEmailFacts](ctx, r, day, report.MissingEmail)
	if err != nil {
		return f, err
	}
	for _, h := range histories {
		row, trouble := emailTrouble(h, day.noon, m)
		if !trouble || !row.When.By.Before(day.noon) {
			continue
		}
		row.Person = p.person(row.ID)
		row.Told = told(row.Archiving)
		f.Rows = append(f.Rows, row)
	}
	f.Unread = append(f.Unread, p.listBehind(len(f.Rows))...)
	f.Reported = m.keep()
	spans, err := r.archived(ctx, day, len(f.Rows), func(i int) archive.PartyID { return f.Rows[i].ID })
	for i, s := range spans {
		f.Rows[i].Archived = s.any()
	}
	return f, err
}

// emailTrouble is the rule of R8 that holds of a member. A change is told once: by the report of the day that it fell into, or by the next one if it was known only after.
func emailTrouble(h directory.History, noon time.Time, m *memory) (row report.EmailRow, trouble bool) {
	for back := 0; !trouble && back <= lateBack; back++ {
		row, trouble = report.FindEmailTrouble(h, noon.AddDate(0, 0, -back))
	}
	if !trouble || row.Rule != report.EmailChanged {
		return row, trouble
	}
	row.Late, trouble = m.tells(directory.Event{Kind: directory.KindMember, ID: h.ID, What: directory.EmailChanged, Old: row.Old, New: row.Email, After: row.When.After, By: row.When.By})
	return row, trouble
}

func (r *reporter) missing(ctx context.Context, day *today) (*people, []directory.History, func(report.Archiving) report.Told, error) {
	p, err := r.people(ctx, day)
	if err != nil {
		return nil, nil, nil, err
	}
	histories, err := r.withoutMobile(ctx, day, p)
	if err != nil {
		return nil, nil, nil, err
	}
	told, err := r.teller(ctx, day.corp.ID)
	return p, histories, told, err
}

// span is when a user's first and last archived messages were sent; both zero: nothing is archived.
type span struct{ first, last time.Time }

func (s span) any() bool { return !s.first.IsZero() || !s.last.IsZero() }

// archived is what is archived of n users, in their order.
func (r *reporter) archived(ctx context.Context, day *today, n int, id func(i int) archive.PartyID) ([]span, error) {
	activity, spans := r.ledger.Activity(day.corp.ID), make([]span, n)
	err := inParallel(n, func(i int) (err error) {
		spans[i].first, spans[i].last, err = activity.Of(ctx, id(i))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("what is archived of members of corp %s: %w", day.corp.ID, err)
	}
	return spans, nil
}

// archivedOf says of who joined whether something is archived already, where that makes a difference to the stage.
func (r *reporter) archivedOf(ctx context.Context, day *today, joined []report.NewRow) error {
	var rows []*report.NewRow
	for i := range joined {
		if row := &joined[i]; !row.Gone && (!row.DesignatedKnown || row.Designated && row.Status == report.StatusActivated) {
			rows = append(rows, row)
		}
	}
	spans, err := r.archived(ctx, day, len(rows), func(i int) archive.PartyID { return rows[i].ID })
	for i, s := range spans {
		rows[i].Archived = s.any()
	}
	return err
}
