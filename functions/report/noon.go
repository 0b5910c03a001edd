package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// dailies is the noon run: the reports of a corp and a day, in the order in which they are made. Each is a run of its own: one that fails, or whose
// source can't be read, keeps no other from being mailed.
func dailies() []daily {
	return []daily{
		always(of(report.UserStatus, (*reporter).userStatusFacts, report.NewUserStatus)), // the next day's compares with it
		withNotices(report.MissingMobile, (*reporter).missingMobileFacts, report.NewMissingMobile, report.NewMissingMobileNotice, report.NewMissingMobileTelling),
		of(report.NumberChange, (*reporter).numberChangeFacts, report.NewNumberChange),
		of(report.DeletedUsers, (*reporter).deletedUsersFacts, report.NewDeletedUsers),
		of(report.NewUsers, (*reporter).newUsersFacts, report.NewNewUsers),
		of(report.GroupsBreach, (*reporter).groupsDay, report.NewGroupsBreach),
		of(report.Maintenance, (*reporter).maintenanceDay, report.NewMaintenance),
		withNotices(report.MissingEmail, (*reporter).missingEmailFacts, report.NewMissingEmail, report.NewMissingEmailNotice),
		of(report.Coverage, (*reporter).coverageFacts, report.NewCoverage),
	}
}

// daily is one report of the noon run.
type daily struct {
	kind   report.Kind
	always bool // its facts are gathered whether or not a receiver gets them
	make   func(context.Context, *reporter, *today, ledger.Run) (made, error)
}

func always(d daily) daily {
	d.always = true
	return d
}

// today is what the reports of one corp and one noon are made from. It is read when it is first asked for, and then once.
type today struct {
	corp    ledger.Corp
	noon    time.Time
	window  report.Window // ends at noon
	company *company      // shared by a corp's noons

	making  ledger.Run         // the report that is being made
	preview *ledger.Preview    // nil: it is a run of the noon
	letters []receivers.Letter // of the report that is being made
	tree    []directory.Entry  // departments, if some of the letters are confined to one
}

// facts is what the noon run needs of a report's facts: see shared/report. Within is the facts as somebody may see them, Quiet that there is nothing
// to tell. They are kept as JSON, and mails that are made after a crash are made of what was read back.
type facts[F any] interface {
	Within(holds func(departments []int) bool) F
	Quiet() bool
}

// picked is facts of so many rows that each receiver's are picked by their places, all in one pass, and not filtered for each.
type picked[F any] interface {
	Of() int
	Row(i int) (departments []int)
	Pick(rows []int32, holds func(departments []int) bool) F
}

// concerning is facts about users who are mailed a notice of their own.
type concerning interface {
	Concerned() []report.Concern
}

// notices is how the notices of a report are reported in the ledger: a receiver who is concerned gets both.
const notices = "-user"

// of makes a report of the noon run from what gathers its facts and what builds a mail of them.
func of[F facts[F]](kind report.Kind, gather func(*reporter, context.Context, *today) (F, error), build func(F, report.View) (report.Mail, error)) daily {
	return daily{kind: kind, make: func(ctx context.Context, r *reporter, day *today, run ledger.Run) (made, error) {
		m, k, err := keptOf(ctx, r, day, run, gather)
		m.each = func(plan func(outgoing) error) error { return k.letters(run, build, plan) }
		return m, err
	}}
}

// withNotices is of for a report that also tells the users whom it concerns, by notice, whether or not there are receivers; and by a message in WeCom those
// whom no mail reaches, if telling is given.
func withNotices[F interface {
	facts[F]
	concerning
}](kind report.Kind, gather func(*reporter, context.Context, *today) (F, error), build func(F, report.View) (report.Mail, error),
	notice func(F, archive.PartyID, report.View) (report.Mail, error), telling ...func(F, archive.PartyID, report.View) (string, error)) daily {
	return always(daily{kind: kind, make: func(ctx context.Context, r *reporter, day *today, run ledger.Run) (made, error) {
		m, k, err := keptOf(ctx, r, day, run, gather)
		m.each = func(plan func(outgoing) error) error {
			if err := k.letters(run, build, plan); err != nil {
				return err
			}
			if err := k.notices(run, k.Facts.Concerned(), notice, plan); err != nil {
				return err
			}
			concerned, ok := any(k.Facts).(inWeCom)
			for _, t := range telling {
				if !ok {
					break
				}
				if err := k.tellings(run, concerned, t, plan); err != nil {
					return err
				}
			}
			return nil
		}
		return m, err
	}})
}

// keptOf gathers a report's facts and keeps them, with who gets them, unless an earlier attempt has.
func keptOf[F facts[F]](ctx context.Context, r *reporter, day *today, run ledger.Run, gather func(*reporter, context.Context, *today) (F, error)) (made, *kept[F], error) {
	m := made{noon: day.noon, name: run.Report}
	settings := day.corp.Settings
	k := &kept[F]{Letters: day.letters, Tree: day.tree, Made: r.now(), Silent: settings.Silent(report.Kind(run.Report)), Language: settings.Language, Guide: r.guide}
	var err error
	if run.Object != "" {
		m.object = objstore.Object{Key: run.Object, VersionID: run.Version}
		return m, k, readFacts(ctx, r, run, m.object, k)
	}
	if k.Facts, err = gather(r, ctx, day); err != nil {
		return m, k, err
	}
	if k.Facts, err = knowing(ctx, r, day, report.Kind(run.Report), k.Facts); err != nil {
		return m, k, err
	}
	if m.object, err = keepFacts(ctx, r, run, run.Day, m.name, k); err != nil {
		return m, k, err
	}
	run.Object, run.Version = m.object.Key, m.object.VersionID
	return m, k, r.keepRun(ctx, day, run)
}

// blind is facts of which WeCom may not show a part.
type blind[F any] interface {
	Blind() []report.Unread
	Knowing(before []report.Unread) F
}

// knowing marks what WeCom does not show as no news if the report before told the same: whoever wants reports silent without news hears of it on the first day and when
// it changes. A report that nobody was to get has told nobody.
func knowing[F any](ctx context.Context, r *reporter, day *today, kind report.Kind, f F) (F, error) {
	b, ok := any(f).(blind[F])
	if !ok || !slices.ContainsFunc(b.Blind(), func(u report.Unread) bool { return u.Of != nil }) {
		return f, nil
	}
	var last struct {
		Letters []receivers.Letter `json:"letters"`
		Facts   struct {
			Unread []report.Unread `json:"unread"`
		} `json:"facts"`
	}
	if found, err := r.lastKept(ctx, day, kind, &last); err != nil || !found || len(last.Letters) == 0 {
		return f, err
	}
	return b.Knowing(last.Facts.Unread), nil
}

// kept is what is kept of a report: everything that its mails are made of, who gets them included. What was kept first stands.
type kept[F facts[F]] struct {
	Receivers []ledger.Receiver  `json:"receivers,omitempty"` // from a version without letters: each gets everything
	Letters   []receivers.Letter `json:"letters"`
	Tree      []directory.Entry  `json:"tree,omitempty"` // the departments of then, if a letter is confined to some
	Facts     F                  `json:"facts"`
	Made      time.Time          `json:"made,omitzero"`
	Silent    bool               `json:"silent,omitempty"`
	Language  string             `json:"language,omitempty"` // of the users concerned
	Guide     string             `json:"guide,omitempty"`    // where the mails link the guide
}

// letters makes the receivers' mails: each once for all who are shown the same in the same language.
func (k *kept[F]) letters(run ledger.Run, build func(F, report.View) (report.Mail, error), plan func(outgoing) error) error {
	for _, old := range k.Receivers {
		language, err := report.ParseLanguage(old.Language)
		if err != nil {
			language = report.English
		}
		if !slices.ContainsFunc(k.Letters, func(l receivers.Letter) bool { return l.Address == old.Address }) {
			k.Letters = append(k.Letters, receivers.Letter{Address: old.Address, Language: language, Departments: []int{directory.Root}})
		}
	}
	tree, err := directory.NewTree(k.Tree)
	if err != nil {
		return fmt.Errorf("departments of report %s of corp %s: %w", run.Key(), run.Corp, err)
	}
	names, err := directory.DepartmentNames(k.Tree)
	if err != nil {
		return fmt.Errorf("departments of report %s of corp %s: %w", run.Key(), run.Corp, err)
	}
	scopes, err := receivers.NewScopes(tree, k.Letters)
	if err != nil {
		return err
	}
	var rows [][]int32
	large, isLarge := any(k.Facts).(picked[F])
	if isLarge {
		rows = scopes.Spread(large.Of(), large.Row)
	}
	groups := map[place][]receivers.Letter{}
	var order []place
	for _, l := range k.Letters {
		p := place{scopes.Of(l), l.Language}
		if groups[p] == nil {
			order = append(order, p)
		}
		groups[p] = append(groups[p], l)
	}
	for _, p := range order {
		var part F
		if isLarge {
			part = large.Pick(rows[p.scope], scopes.Holds(p.scope))
		} else {
			part = k.Facts.Within(scopes.Holds(p.scope))
		}
		if k.Silent && part.Quiet() {
			continue
		}
		view := k.view(run, p.language)
		if !scopes.All(p.scope) {
			view.Departments = departmentWords(groups[p][0].Departments, names)
		}
		mail := sync.OnceValues(func() (report.Mail, error) { return build(part, view) })
		for _, l := range groups[p] {
			if err := plan(outgoing{report: run.Report, to: l.Address, mail: mail}); err != nil {
				return err
			}
		}
	}
	return nil
}

// place is what letters have in common that are shown the same.
type place struct {
	scope    int
	language report.Language
}

// notices makes the mails to the users concerned. Of two with one address each gets its own.
func (k *kept[F]) notices(run ledger.Run, concerned []report.Concern, notice func(F, archive.PartyID, report.View) (report.Mail, error), plan func(outgoing) error) error {
	language, err := report.ParseLanguage(k.Language)
	if err != nil {
		language = report.Chinese
	}
	seen := map[string]bool{}
	for _, c := range concerned {
		mail, err := notice(k.Facts, c.ID, k.view(run, language))
		if err != nil {
			return err
		}
		name := run.Report + notices
		if seen[c.Address] {
			name += "." + report.ID(string(c.ID))[:8]
		}
		seen[c.Address] = true
		if err := plan(outgoing{report: name, to: c.Address, mail: ready(mail)}); err != nil {
			return err
		}
	}
	return nil
}

// view is how a receiver is shown the report. What an earlier version kept does not say when it was made, and is not called late.
func (k *kept[F]) view(run ledger.Run, language report.Language) report.View {
	v := report.View{Language: language, Zone: zone, Mask: true, GuideURL: k.Guide}
	if day, err := time.Parse(time.DateOnly, run.Day); err == nil && !k.Made.IsZero() {
		v.Due, v.Made = day.Add(noonHour*time.Hour), k.Made
	}
	return v
}

// departmentWords names departments as people find them: by name, or by the number where none is known.
func departmentWords(ids []int, names map[int]string) []string {
	words := make([]string, 0, len(ids))
	for _, id := range ids {
		if name := names[id]; name != "" {
			words = append(words, name)
		} else {
			words = append(words, fmt.Sprint(id))
		}
	}
	return words
}

// company is a corp's directory and receivers as they are now.
type company struct {
	departments []directory.Entry
	names       map[int]string    // of the departments
	leaders     []directory.Entry // the members who may be head of a department
	members     []member          // by userid
	read        bool
	receivers   receivers.Company // Heads are those of now
	counted     *counted          // of the noon whose R1 was made last
	recent      *recent           // of the noon that is being made
	then        *headsThen        // of the noon whose letters were addressed last
}

// read reads a corp's company, once.
func (r *reporter) read(ctx context.Context, day *today) (*company, error) {
	c := day.company
	if c.read {
		return c, nil
	}
	if err := r.readPeople(ctx, day.corp.ID, c); err != nil {
		return nil, err
	}
	entries := slices.Concat(c.departments, c.leaders)
	tree, err := directory.NewTree(entries)
	if err != nil {
		return nil, fmt.Errorf("departments of corp %s: %w", day.corp.ID, err)
	}
	heads, err := directory.Heads(entries)
	if err != nil {
		return nil, fmt.Errorf("heads of department of corp %s: %w", day.corp.ID, err)
	}
	entered, edits, err := r.ledger.Receivers(ctx, day.corp.ID)
	if err != nil {
		return nil, err
	}
	c.receivers = receivers.Company{Tree: tree, Heads: heads, Entered: entered, Edits: edits, Admins: day.corp.Admins(), Settings: day.corp.Settings}
	c.read = true
	return c, nil
}

// route says who gets a report of the day, and gives the departments that confine some of them.
func (r *reporter) route(ctx context.Context, day *today, kind report.Kind) error {
	c, err := r.read(ctx, day)
	if err != nil {
		return err
	}
	then, err := r.headsAt(ctx, day, c)
	if err != nil {
		return err
	}
	whole := c.receivers
	whole.Heads = receivers.SinceNoon(whole.Heads, then)
	day.letters, day.tree = receivers.Route(whole, kind, day.noon), nil
	if slices.ContainsFunc(day.letters, func(l receivers.Letter) bool { return !slices.Contains(l.Departments, directory.Root) }) {
		day.tree = c.departments
	}
	return nil
}

// headsAt is the heads of department of the day's noon, as far as they matter now: states that are newer than the noon are looked up in the history
// where they say anything of heads.
func (r *reporter) headsAt(ctx context.Context, day *today, c *company) ([]directory.Head, error) {
	if c.then != nil && c.then.noon.Equal(day.noon) {
		return c.then.heads, nil
	}
	var then, newer []directory.Entry
	for _, e := range slices.Concat(c.departments, c.leaders) {
		if e.At.Before(day.noon) {
			then = append(then, e)
			continue
		}
		leads, err := saysOfHeads(e)
		if err != nil {
			return nil, err
		}
		if leads {
			newer = append(newer, e)
		}
	}
	histories := make([][]directory.Entry, len(newer))
	err := inParallel(len(newer), func(i int) (err error) {
		histories[i], err = r.ledger.EntryHistory(ctx, day.corp.ID, newer[i].Kind, newer[i].ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, history := range histories {
		for _, state := range slices.Backward(history) {
			if state.At.Before(day.noon) {
				then = append(then, state)
				break
			}
		}
	}
	heads, err := directory.Heads(then)
	if err != nil {
		return nil, fmt.Errorf("heads of department of corp %s: %w", day.corp.ID, err)
	}
	c.then = &headsThen{day.noon, heads}
	return heads, nil
}

// headsThen is the heads of department of a noon.
type headsThen struct {
	noon  time.Time
	heads []directory.Head
}

// saysOfHeads says whether an entry names heads of department: only heads of now can be heads of a report.
func saysOfHeads(e directory.Entry) (bool, error) {
	if e.Kind == directory.KindMember {
		m, err := directory.Parse[directory.Member](e.Fields)
		if err != nil {
			return false, fmt.Errorf("member %s: %w", e.ID, err)
		}
		return len(m.Leads) > 0, nil
	}
	d, err := directory.Parse[directory.Department](e.Fields)
	if err != nil {
		return false, fmt.Errorf("department %s: %w", e.ID, err)
	}
	return len(d.Leaders) > 0, nil
}

// noonRun makes one report of a corp and a day, unless it is done, switched off, or somebody else is about it.
func (r *reporter) noonRun(ctx context.Context, d daily, day *today) error {
	if !day.corp.Settings.OnFor(d.kind, day.noon) {
		return nil // no run: switched on again on the same day, it is made
	}
	run := day.run(d.kind)
	err := r.once(ctx, run, func(ctx context.Context, run ledger.Run) (made, error) {
		day.making = run
		if err := r.route(ctx, day, d.kind); err != nil {
			return made{}, err
		}
		if len(day.letters) == 0 && !d.always {
			return made{noon: day.noon, each: func(func(outgoing) error) error { return nil }}, nil
		}
		return d.make(ctx, r, day, run)
	})
	if errors.Is(err, errUnfinished) {
		r.log.WarnContext(ctx, "the next invocation goes on", slog.String("corp", string(day.corp.ID)), slog.String("report", run.Report), slog.String("day", run.Day))
		return nil
	}
	if err == nil || errors.Is(err, errBusy) {
		return nil
	}
	return fmt.Errorf("report %s of corp %s for %s: %w", d.kind, day.corp.ID, run.Day, err)
}

// day is what a corp's reports of a noon are made from.
func (r *reporter) day(c ledger.Corp, noon time.Time, shared *company) *today {
	return &today{corp: c, noon: noon, window: report.WindowOf(noon), company: shared}
}

// run is the run of one of the day's reports.
func (day *today) run(kind report.Kind) ledger.Run {
	return ledger.Run{Corp: day.corp.ID, Day: day.noon.Format(time.DateOnly), Report: string(kind)}
}

// before is what is kept of a corp's last report of a kind before a day, and that day; nil: there is none.
func before[F facts[F]](ctx context.Context, r *reporter, day *today, kind report.Kind) (*kept[F], error) {
	k := &kept[F]{}
	if found, err := r.lastKept(ctx, day, kind, k); err != nil || !found {
		return nil, err
	}
	return k, nil
}

// lastKept reads what is kept of a corp's last report of a kind before a day, or as much of it as there is room for in kept; found is false if there is none.
func (r *reporter) lastKept(ctx context.Context, day *today, kind report.Kind, kept any) (found bool, err error) {
	of := day.due().Format(time.DateOnly)
	var last *ledger.Run
	err = r.ledger.Runs(ctx, day.corp.ID, func(run ledger.Run) bool {
		if run.Report != string(kind) || run.State != ledger.RunDone || run.Day >= of || run.Object == "" {
			return true
		}
		last = &run
		return false
	})
	if err != nil || last == nil {
		return false, err
	}
	body, err := r.store.Get(ctx, objstore.Object{Key: last.Object, VersionID: last.Version})
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(body, kept); err != nil {
		return false, fmt.Errorf("read the facts of report %s of corp %s: %w", last.Key(), day.corp.ID, err)
	}
	return true, nil
}
