package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

const (
	// trendDays is how many days back R12 shows what was archived a day.
	trendDays = 14
	// soon is how long before the end of its window an attachment is at risk, as watch has it.
	soon = 24 * time.Hour
	// mostFiles is how many attachments at risk, and how many lost ones, have rows: an outage may leave any number, and the counts say how many there are.
	mostFiles = 200
	// mostConsents is how many changes of consent have rows: the first reading of a company's contacts finds hundreds of thousands at once.
	mostConsents = 2000
	// settling is longer than it takes from the moment at which an attachment is settled until its rows are there: than any call of a function may last.
	settling = time.Hour
	// stale is for how long before noon nothing whole may have come from WeCom until the report says so. fetch asks every few minutes.
	stale = time.Hour
)

// counted is what R12 needs of all users, of which R1 of the same noon has just read a lot: it is counted while they are there.
type counted struct {
	noon            time.Time
	gaps            []report.CoverageRow
	listed, covered report.Quantity // users on WeCom's list, and those of them with something archived
}

// countUsers counts users as of noon. Where the list could not be read of somebody, how many are on it is not known.
func countUsers(users []report.User, noon time.Time) *counted {
	k := &counted{noon: noon, gaps: report.CoverageGaps(users, noon)}
	var listed, covered uint64
	known := true
	for _, u := range users {
		switch {
		case u.Status == report.StatusLeft:
		case !u.DesignatedKnown:
			known = false
		case u.Designated:
			if listed++; !u.LastArchived.IsZero() {
				covered++
			}
		}
	}
	if known {
		k.listed, k.covered = report.Known(listed), report.Known(covered)
	}
	return k
}

// counted is what R1 counted of the same noon, or counts it.
func (r *reporter) counted(ctx context.Context, day *today) (*counted, error) {
	if k := day.company.counted; k != nil && k.noon.Equal(day.noon) {
		return k, nil
	}
	users, err := r.users(ctx, day)
	if err != nil {
		return nil, err
	}
	day.company.counted = countUsers(users, day.noon)
	return day.company.counted, nil
}

// coverageFacts is R12.
func (r *reporter) coverageFacts(ctx context.Context, day *today) (report.CoverageFacts, error) {
	c := &report.Company{}
	f := report.CoverageFacts{Corp: report.Corp{ID: day.corp.ID, Name: day.corp.Name}, Marks: r.marks(day.corp), Day: day.noon, Company: c}
	p, err := r.people(ctx, day)
	if err != nil {
		return f, err
	}
	f.Snapshot, f.Unread = p.snapshot, p.unread(day, report.SourceDesignated, directory.FieldDesignated, designatedKnown)
	users, err := r.counted(ctx, day)
	if err != nil {
		return f, err
	}
	m, err := memoryOf[report.CoverageFacts](ctx, r, day, report.Coverage)
	if err != nil {
		return f, err
	}
	changes, unlisted, err := r.consentRows(ctx, day, p, m)
	if err != nil {
		return f, err
	}
	f.Unlisted = unlisted
	files, expiring, err := r.fileRows(ctx, day, m)
	if err != nil {
		return f, err
	}
	f.Reported = m.keep()
	f.Rows, c.Expiring = append(append(append(f.Rows, users.gaps...), changes...), files...), expiring
	for _, read := range []func(context.Context, *today) ([]report.Unread, error){r.consentUnread, r.messagesUnread} {
		unread, err := read(ctx, day)
		if err != nil {
			return f, err
		}
		f.Unread = append(f.Unread, unread...)
	}
	if c.Capture, err = r.capture(ctx, day.corp.ID, day.noon); err != nil {
		return f, err
	}
	if c.Account, c.Trend, err = r.account(ctx, day); err != nil {
		return f, err
	}
	if err := r.coverageBefore(ctx, day, c.Trend); err != nil {
		return f, err
	}
	if n := len(c.Trend); n > 0 && c.Trend[n-1].Day.Equal(day.noon) {
		c.Trend[n-1].Covered, c.Trend[n-1].Listed = users.covered, users.listed
	}
	c.Seats = seats(day.corp.Settings.Service, users.listed)
	k, err := r.read(ctx, day)
	if err != nil {
		return f, err
	}
	c.Unreached = unreached(k.receivers, p.names)
	c.Unsent, err = r.unsent(ctx, day.corp.ID)
	return f, err
}

// seats is what was entered about the service; nil: nothing was.
func seats(s receivers.Service, used report.Quantity) *report.Seats {
	if s == (receivers.Service{}) {
		return nil
	}
	out := &report.Seats{Edition: s.Edition, Used: used, End: s.End}
	if s.Seats > 0 {
		out.Bought = report.Known(uint64(s.Seats))
	}
	return out
}

// unreached is the heads of department to whom no mail can go, and the receivers whose department is gone. They are told in R12, which the operations address gets
// each day by default: R7 tells of what may lose messages, and of what is over by itself.
func unreached(c receivers.Company, names map[int]string) []report.Unreached {
	list := receivers.List(c)
	var out []report.Unreached
	of := func(r receivers.Receiver, places []int, why report.Unreachable) {
		u := report.Unreached{Name: r.Name, Places: departmentWords(places, names), Why: why}
		if user, head := receivers.HeadOf(r.ID); head {
			u.ID = user
		} else if u.Name == "" {
			u.Name = r.Address
		}
		out = append(out, u)
	}
	for _, r := range receivers.Unreachable(list) {
		of(r, r.Departments, r.Unreached)
	}
	for _, r := range receivers.Gone(list) {
		of(r, r.Missing, report.DepartmentGone)
	}
	return out
}

// account is the account of every seq that was pulled in the day's window, and what was archived on it and the days before.
func (r *reporter) account(ctx context.Context, day *today) (*report.Account, []report.DayOf, error) {
	var handed []report.Handed
	var before archive.Seq
	var newest ledger.Link
	var trend []report.DayOf
	for back := trendDays - 1; back >= 0; back-- {
		if noon := day.noon.AddDate(0, 0, -back); noon.After(day.corp.Added) {
			trend = append(trend, report.DayOf{Day: noon, Archived: report.Known(0)})
		}
	}
	oldest := day.window.From
	if len(trend) > 0 {
		oldest = trend[0].Day.Add(-24 * time.Hour)
	}
	err := r.ledger.BatchesBack(ctx, day.corp.ID, func(b ledger.BatchRow) bool {
		if !b.Pulled.Before(day.noon) {
			return true
		}
		if b.Link.N > newest.N {
			newest = b.Link
		}
		if b.Pulled.Before(day.window.From) {
			before = max(before, b.Last)
		} else {
			handed = append(handed, report.Handed{First: b.First, Last: b.Last, Items: whole(b.Items)})
		}
		for i := range trend {
			if d := &trend[i]; b.Pulled.Before(d.Day) && !b.Pulled.Before(d.Day.Add(-24*time.Hour)) {
				d.Archived.N += whole(b.Archived)
			}
		}
		return !b.Pulled.Before(oldest) // seqs only rise, and so does the time at which they were pulled
	})
	if err != nil {
		return nil, nil, err
	}
	a := report.AccountOf(before, handed)
	a.Chain, a.Root = newest.N, newest.Hash
	return &a, trend, nil
}

// coverageBefore fills in how covered the company was on the days before, as their reports said.
func (r *reporter) coverageBefore(ctx context.Context, day *today, trend []report.DayOf) error {
	last, err := before[report.CoverageFacts](ctx, r, day, report.Coverage)
	if err != nil || last == nil || last.Facts.Company == nil {
		return err
	}
	for _, then := range last.Facts.Company.Trend {
		for i := range trend {
			if sameDay(then.Day, trend[i].Day) {
				trend[i].Covered, trend[i].Listed = then.Covered, then.Listed
			}
		}
	}
	return nil
}

// fileRows is the attachments that are at risk as of the day's noon, and those that were lost in its window, or just before it and recorded too late for the report
// before; of either as many as a report lists, and how many are at risk. Whose an attachment is stands in the message alone, which report does not read: such a row is the whole company's.
func (r *reporter) fileRows(ctx context.Context, day *today, m *memory) (rows []report.CoverageRow, expiring uint64, err error) {
	err = r.ledger.AllWaiting(ctx, day.corp.ID, func(w ledger.Waiting) bool { // the longest waiting first, and the unknown before it
		clock := w.MediaClock(r.windows)
		if !clock.Unknown && clock.Ends.After(day.noon.Add(soon)) {
			return false
		}
		if expiring++; expiring <= mostFiles {
			row := report.CoverageRow{What: report.MediaExpiring, File: w.FileID.Hash()}
			if !clock.Unknown {
				row.Ends = clock.Ends
			}
			rows = append(rows, row)
		}
		return true
	})
	if err != nil {
		return nil, 0, err
	}
	settled, err := r.ledger.Settled(ctx, day.corp.ID, day.window.From.Add(-settling), day.window.To)
	if err != nil {
		return nil, 0, err
	}
	lost := 0
	for _, s := range settled {
		if s.State != ledger.Lost {
			continue
		}
		late, tell := false, true
		if s.At.Before(day.window.From) || !s.At.Before(day.window.To.Add(-settling)) {
			late, tell = m.tellsOf(report.ReportedAs(s.At, string(report.MediaGone), s.Hash), s.At)
		}
		if tell && lost < mostFiles {
			lost++
			rows = append(rows, report.CoverageRow{What: report.MediaGone, File: s.Hash, Why: s.Reason, When: report.Between{After: s.At, By: s.At}, Late: late})
		}
	}
	return rows, expiring, nil
}

// consentNews is a change of consent that R12 tells.
type consentNews struct {
	ledger.ConsentChange
	late bool // of an earlier window
}

// consentRanks are changes of consent by what is to be told before others, and those that are late before the others alike.
type consentRanks struct {
	ranks    [6][]consentNews
	unlisted uint64
}

// rank is where a change belongs: who said something else before comes first, then who refused.
func rank(c consentNews) int {
	n := 5
	switch {
	case c.Old != consent.Unknown:
		n = 1
	case c.New.Open():
		n = 3
	}
	if c.late {
		n--
	}
	return n
}

func (k *consentRanks) add(c consentNews) {
	of := &k.ranks[rank(c)]
	if len(*of) == mostConsents {
		k.unlisted++
	} else {
		*of = append(*of, c)
	}
}

// consentChanges is the changes of consent that were found in the day's window, and those of earlier ones whose rows came after the report that they belong to; as many
// as a report lists, and how many there were besides.
func (r *reporter) consentChanges(ctx context.Context, day *today, m *memory) (changes []consentNews, unlisted uint64, err error) {
	var k consentRanks
	nobodys := func(c ledger.ConsentChange) bool { return c.Subject.External == "" } // it is about whether WeCom shows a room at all
	err = r.ledger.ConsentChanges(ctx, day.corp.ID, day.window.From, day.window.To, func(c ledger.ConsentChange) bool {
		if !nobodys(c) {
			k.add(consentNews{ConsentChange: c})
		}
		return true
	})
	if err != nil {
		return nil, 0, err
	}
	there := map[string]bool{}
	for _, c := range slices.Concat(k.ranks[:]...) {
		there[c.Key()] = true
	}
	// Read after the others: of each change that was seen, and is seen again next time, it is kept here that it was told.
	err = r.ledger.LateConsentChanges(ctx, day.corp.ID, day.window.From.AddDate(0, 0, -lateBack), day.window.To, func(c ledger.ConsentChange) bool {
		if nobodys(c) {
			return true
		}
		news := consentNews{ConsentChange: c}
		var tell bool
		news.late, tell = m.tellsOf(report.ReportedAs(c.Found, string(report.ConsentChange), c.Key()), c.Found)
		// One of this window has its own row too, or will have it: where there are more than are listed, it is among those that were counted.
		if tell && (news.late || !there[c.Key()] && len(k.ranks[rank(news)]) < mostConsents) {
			k.add(news)
		}
		return true
	})
	changes = slices.Concat(k.ranks[:]...)
	if more := len(changes) - mostConsents; more > 0 {
		changes, k.unlisted = changes[:mostConsents], k.unlisted+whole(more)
	}
	return changes, k.unlisted, err
}

// consentRows is the rows of changes of consent, and how many changes have none. One in a group concerns those of our members who are in it as far as is known.
func (r *reporter) consentRows(ctx context.Context, day *today, p *people, m *memory) (rows []report.CoverageRow, unlisted uint64, err error) {
	changes, unlisted, err := r.consentChanges(ctx, day, m)
	if err != nil {
		return nil, 0, err
	}
	rows = make([]report.CoverageRow, len(changes))
	err = inParallel(len(changes), func(i int) error {
		c := changes[i]
		row := report.CoverageRow{What: report.ConsentChange, With: string(c.Subject.External), Old: string(c.Old), New: string(c.New), MsgID: c.MsgID,
			When: report.Between{After: c.After, By: c.By}, Late: c.late}
		if !c.At.IsZero() {
			row.When = report.Between{After: c.At, By: c.At}
		}
		contact, err := entryOf[directory.External](ctx, r, day, directory.KindExternal, string(c.Subject.External))
		if err != nil {
			return err
		}
		if contact.Name != "" {
			row.With = contact.Name
		}
		if row.Person = p.person(c.Subject.Member); c.Subject.Room != "" {
			if row.Person, err = r.groupOf(ctx, day, p, c.Subject.Room); err != nil {
				return err
			}
		}
		rows[i] = row
		return nil
	})
	return rows, unlisted, err
}

// groupOf is a group as the one whom a row is about: it may be seen by who may see one of our members in it, and names none of them.
func (r *reporter) groupOf(ctx context.Context, day *today, p *people, id archive.RoomID) (report.Person, error) {
	room, err := entryOf[directory.Room](ctx, r, day, directory.KindRoom, string(id))
	if err != nil {
		return report.Person{}, err
	}
	who := report.Person{ID: archive.PartyID(id), Name: room.Name}
	for _, member := range room.Members {
		who.Departments = append(who.Departments, p.member(member).departments...)
	}
	return who, nil
}

// entryOf is what the directory last had of an entry; zero if it has none.
func entryOf[F directory.External | directory.Room](ctx context.Context, r *reporter, day *today, kind directory.Kind, id string) (F, error) {
	var none F
	e, err := r.ledger.Held(ctx, day.corp.ID, kind, id)
	if err != nil || e.Fields == "" {
		return none, err
	}
	fields, err := directory.Parse[F](e.Fields)
	if err != nil {
		return none, fmt.Errorf("%s %s of corp %s: %w", kind, id, day.corp.ID, err)
	}
	return fields, nil
}

// consentUnread says since when WeCom was not asked to the end who agreed.
func (r *reporter) consentUnread(ctx context.Context, day *today) ([]report.Unread, error) {
	var out []report.Unread
	for _, kind := range []string{ledger.RoundOfRooms, ledger.RoundOfPairs} {
		u := report.Unread{Source: report.SourceConsent}
		whole := false
		err := r.ledger.Rounds(ctx, day.corp.ID, kind, func(round ledger.Round) bool {
			if whole = round.Next == "" && round.Why == ""; whole {
				u.Since = round.Until
				return false
			}
			if code, ok := strings.CutPrefix(round.Why, "errcode "); ok && u.Code == 0 {
				u.Code, _ = strconv.Atoi(code) // what is no number is no code
			}
			return true
		})
		if err != nil {
			return nil, err
		}
		if whole && !u.Since.Before(day.window.From) {
			continue
		}
		if len(out) == 0 || u.Since.Before(out[0].Since) { // one line: the older of the two
			out = []report.Unread{u}
		}
	}
	return out, nil
}

// messagesUnread says since when nothing whole came from WeCom: then that nothing was handed out says nothing.
func (r *reporter) messagesUnread(ctx context.Context, day *today) ([]report.Unread, error) {
	cursor, err := r.ledger.Cursor(ctx, day.corp.ID)
	if err != nil && !errors.Is(err, ledger.ErrAbsent) {
		return nil, err
	}
	if !cursor.LastWhole.Before(day.noon.Add(-stale)) {
		return nil, nil
	}
	u := report.Unread{Source: report.SourceMessages, Since: cursor.LastWhole}
	if cursor.Trouble != nil {
		u.Code = cursor.Trouble.Code
	}
	return []report.Unread{u}, nil
}
