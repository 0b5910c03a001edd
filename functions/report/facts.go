package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// atOnce is how many members are looked up at the same time. Each costs about five reads.
const atOnce = 16

// userStatusFacts collects what R1 tells of the day that ends at noon.
func (r *reporter) userStatusFacts(ctx context.Context, day *today) (report.UserStatusFacts, error) {
	c, noon := day.corp, day.noon
	f := report.UserStatusFacts{Corp: report.Corp{ID: c.ID, Name: c.Name}, Marks: r.marks(c), Day: noon}
	p, err := r.people(ctx, day)
	if err != nil {
		return f, err
	}
	if f.Snapshot = p.snapshot; !f.Snapshot.IsZero() { // else it is said of everything
		f.Unread = append(p.stale(day), p.staleList()...)
	}
	if f.Users, err = r.users(ctx, day); err != nil {
		return f, err
	}
	report.SortUsers(f.Users) // once, and not for each mail
	f.Tally = report.Tallied(f)
	day.company.counted = countUsers(f.Users, noon)
	if f.Capture, err = r.capture(ctx, c.ID, noon); err != nil {
		return f, err
	}
	last, err := r.statusBefore(ctx, day)
	if err == nil && last != nil {
		f.Before, f.BeforeDay, f.BeforeTally = &last.summary, last.Day, last.Tally
		f.Trend = last.Trend
	}
	if f.Capture != nil {
		f.Trend = report.Trended(f.Trend, noon, report.Known(f.Capture.Archived))
	}
	return f, err
}

// statusThen is what R1 tells of the last one.
type statusThen struct {
	Day   time.Time
	Tally []report.Tally
	Trend []report.DayOf

	summary report.Summary
}

// statusBefore is the last R1 before a day; nil: there is none. Its rows are read only if it did not count them by departments, as an earlier version did not.
func (r *reporter) statusBefore(ctx context.Context, day *today) (*statusThen, error) {
	var then struct {
		Facts statusThen `json:"facts"`
	}
	found, err := r.lastKept(ctx, day, report.UserStatus, &then)
	if err != nil || !found {
		return nil, err
	}
	last := &then.Facts
	if last.Tally != nil {
		last.summary = report.Total(last.Tally)
		return last, nil
	}
	whole, err := before[report.UserStatusFacts](ctx, r, day, report.UserStatus)
	if err != nil || whole == nil {
		return nil, err
	}
	last.summary = report.Summarise(whole.Facts)
	return last, nil
}

func (r *reporter) marks(c ledger.Corp) report.Marks {
	return report.Marks{Simulated: c.Simulated, Trial: r.trial}
}

// user is one member's row. shown is false for those who left earlier than the day before noon.
func (r *reporter) user(ctx context.Context, corp archive.CorpID, m *member, noon time.Time, departments map[int]string,
	activity *ledger.Activity) (u report.User, shown bool, err error) {
	defer fault.Catch(&err) // users calls it in goroutines
	if !m.here() && m.since().Before(noon.Add(-24*time.Hour)) {
		return u, false, nil
	}
	u = report.User{
		ID: archive.PartyID(m.id), Name: m.name, Status: status(m.status), Designated: m.designated, DesignatedKnown: m.designatedKnown,
		Mobile: m.mobile, MobileReadable: m.mobileReadable, Email: m.email, EmailReadable: m.emailReadable, In: m.departments,
	}
	if !m.here() {
		u.Status = report.StatusLeft
	}
	for _, id := range m.departments {
		if name := departments[id]; name != "" {
			u.Departments = append(u.Departments, name)
		} else {
			u.Departments = append(u.Departments, strconv.Itoa(id)) // without a name people still find it in WeCom by its number
		}
	}
	history, err := r.ledger.EntryHistory(ctx, corp, directory.KindMember, m.id)
	if err != nil {
		return u, false, err
	}
	u.HadMobile = directory.HadMobile(history)
	captured, err := everDesignated(history)
	if err != nil {
		return u, false, err
	}
	// Others' messages may name somebody who was never designated: they say nothing of that one's capture.
	if captured {
		if u.FirstArchived, u.LastArchived, err = activity.Of(ctx, u.ID); err != nil {
			return u, false, err
		}
	}
	u.StageSince, err = stageSince(history, u)
	return u, true, err
}

func status(of int) report.Status {
	switch s := report.Status(of); s {
	case report.StatusActivated, report.StatusDisabled, report.StatusNotActivated, report.StatusLeft:
		return s
	default:
		return report.StatusUnknown
	}
}

// everDesignated says whether a member was, or may have been, on WeCom's list at any time.
func everDesignated(history []directory.Entry) (bool, error) {
	for _, e := range history {
		m, err := directory.Parse[directory.Member](e.Fields)
		if err != nil || m.Designated || !m.DesignatedKnown {
			return true, err
		}
	}
	return false, nil
}

// stageSince is when a user came into its stage, as far as the snapshots tell: a stage that the first snapshot found counts from then.
func stageSince(history []directory.Entry, u report.User) (time.Time, error) {
	since, _, err := directory.Since(history, func(m directory.Member, gone bool) bool {
		then := report.User{Status: status(m.Status), Designated: m.Designated, DesignatedKnown: m.DesignatedKnown, FirstArchived: u.FirstArchived}
		if gone {
			then.Status = report.StatusLeft
		}
		return then.Stage() == u.Stage()
	})
	if u.Stage() == report.StageArchived && u.FirstArchived.After(since) {
		since = u.FirstArchived
	}
	return since, err
}

// capture counts what was pulled in the 24 hours before noon and what became of it, and what is open now. Overlapping batches count the
// seqs that they share twice, in every number alike.
func (r *reporter) capture(ctx context.Context, corp archive.CorpID, noon time.Time) (*report.Capture, error) {
	from := noon.Add(-24 * time.Hour)
	c := &report.Capture{Windows: report.Windows{Chats: r.windows.Messages, Media: r.windows.Media}}
	err := r.ledger.BatchesBack(ctx, corp, func(b ledger.BatchRow) bool {
		if b.Pulled.Before(from) {
			return false // seqs only rise, and so does the time at which they were pulled
		}
		if !b.Pulled.Before(noon) {
			return true
		}
		c.Handed += whole(b.Items)
		if b.State == ledger.Pending {
			c.Pending += whole(b.Items)
		} else {
			c.Archived += whole(b.Archived)
			c.SetAside += whole(b.SetAside)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	reasons := map[fault.Reason]report.ReasonCount{}
	if err := r.ledger.Asides(ctx, corp, "", 0, func(a ledger.Aside) bool {
		k := reasons[fault.Reason(a.Reason)]
		if k.N++; k.Oldest.IsZero() || !a.Since.IsZero() && a.Since.Before(k.Oldest) {
			k.Oldest = a.Since
		}
		reasons[fault.Reason(a.Reason)] = k
		return true
	}); err != nil {
		return nil, err
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		k := reasons[reason]
		k.Reason = reason
		c.SetAsideOpen = append(c.SetAsideOpen, k)
	}
	settled, err := r.ledger.Settled(ctx, corp, from, noon)
	if err != nil {
		return nil, err
	}
	for _, m := range settled {
		if m.State == ledger.Kept {
			c.MediaKept++
		} else {
			c.MediaLost++
		}
	}
	if err := r.ledger.AllWaiting(ctx, corp, func(ledger.Waiting) bool { c.MediaWaiting++; return true }); err != nil {
		return nil, err
	}
	clocks, err := r.ledger.Clocks(ctx, corp, r.windows, r.now())
	if err != nil {
		return nil, err
	}
	c.Messages, c.Media = clockOf(clocks.Messages), clockOf(clocks.Media)
	// A report that is made late must not promise more than was left at its noon.
	r.asOf(noon, &c.Messages, &c.Media)
	return c, nil
}

func clockOf(c ledger.Clock) report.Clock {
	switch {
	case c.Idle:
		return report.Clock{State: report.ClockIdle}
	case c.Unknown:
		return report.Clock{State: report.ClockUnknown}
	default:
		return report.Clock{State: report.ClockRunning, Ends: c.Ends}
	}
}

func whole(n int) uint64 { return uint64(max(n, 0)) } // #nosec G115 -- not negative
