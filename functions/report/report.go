package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

const (
	// noonHour is when a day's reports become due, in UTC, all year.
	noonHour = 12
	// lateDays is how many days back a missed report is still made: older ones would tell of a directory that is long gone.
	lateDays = 3
	// claimTime outlasts an invocation (300 s in the template): a claim older than this belongs to one that died.
	claimTime = 6 * time.Minute
	// sweepEvery is how often the schedule runs, in the template. sweepAfter is how long a planned mail may wait before its job counts as lost; it
	// is sent again after pauses that double up to sweepLongest, since a job that fails has pauses of its own.
	sweepEvery   = 10 * time.Minute
	sweepAfter   = 10 * time.Minute
	sweepLongest = 6 * time.Hour
)

// reporter makes reports: those of the noon run (noon.go) and alerts (alert.go).
//
// Order of effects, for each report: the run is claimed in the ledger; its facts into S3, written once; for each receiver, the mail's bytes
// into S3, written once, and its row, planned; the mails' jobs; the run is done. A crash between any two leaves the run to the next
// attempt, which finds the facts that are kept and makes the same mails of them: mails that are planned, or sent, stay as they are. A
// job that is lost is sent again by the sweep. An alert is marked as told last of all, so that it is told again rather than never.
type reporter struct {
	ledger  *ledger.Ledger
	store   *objstore.Store
	mails   *queue.Queue[queue.MailJob]
	tells   *queue.Queue[queue.TellJob]
	log     *slog.Logger
	from    string
	windows ledger.Windows
	keeping time.Duration // how long what is archived is locked; 0: not known
	trial   bool
	egress  []string
	guide   string // where mails link the guide; "": nowhere
	now     func() time.Time
	real    func() time.Time
	owner   func() (string, error)

	given time.Duration // the time of the invocation that is under way
}

// due makes every report that is due and not done, and sends the jobs of mails again that seem to be lost. One corp's trouble does not
// keep the others from their reports.
func (r *reporter) due(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok {
		r.given = end.Sub(r.real())
	}
	corps, err := r.ledger.Corps(ctx)
	if err != nil {
		return err
	}
	var failures []error
	for _, c := range turned(corps, r.now()) {
		failures = append(failures, r.dueOf(ctx, c))
	}
	return errors.Join(failures...)
}

// turned is corps in an order that begins with another one each time the schedule runs. A corp whose reading is slow, or ends the process, leaves no time to those
// behind it; so it is not always the same ones that are behind.
func turned(corps []ledger.Corp, now time.Time) []ledger.Corp {
	if len(corps) == 0 {
		return nil
	}
	n := int(now.Unix()/int64(sweepEvery/time.Second)) % len(corps)
	return slices.Concat(corps[n:], corps[:n])
}

// dueOf makes one corp's reports that are due.
func (r *reporter) dueOf(ctx context.Context, c ledger.Corp) (err error) {
	defer fault.Catch(&err) // the others get theirs all the same
	failures := []error{r.sweep(ctx, c.ID)}
	if c.App != 0 {
		failures = append(failures, r.sweepTellings(ctx, c.ID))
	}
	due := noons(c.Added, r.now())
	if len(due) == 0 {
		return errors.Join(failures...)
	}
	done, err := r.done(ctx, c.ID, due[0])
	if err != nil {
		return errors.Join(append(failures, err)...)
	}
	shared := &company{}
	for _, noon := range due {
		for _, d := range dailies() {
			if r.ending(ctx) {
				break // the next invocation goes on
			}
			if day := r.day(c, noon, shared); !done[day.run(d.kind).Key()] {
				failures = append(failures, r.noonRun(ctx, d, day))
			}
		}
	}
	return errors.Join(failures...)
}

// done is a corp's runs that are done, by key, of the days from a noon on: one read for all reports of all days.
func (r *reporter) done(ctx context.Context, corp archive.CorpID, oldest time.Time) (map[string]bool, error) {
	runs, day := map[string]bool{}, oldest.Format(time.DateOnly)
	err := r.ledger.Runs(ctx, corp, func(run ledger.Run) bool {
		if run.State == ledger.RunDone {
			runs[run.Key()] = true
		}
		return run.Day >= day
	})
	return runs, err
}

// noons lists the noons whose reports are due at now, the oldest first. None lies before the corp was added.
func noons(added, now time.Time) []time.Time {
	now = now.UTC()
	var due []time.Time
	for back := lateDays; back >= 0; back-- {
		noon := time.Date(now.Year(), now.Month(), now.Day()-back, noonHour, 0, 0, 0, time.UTC)
		if !noon.After(now) && noon.After(added) {
			due = append(due, noon)
		}
	}
	return due
}

// asked makes a report that a job asks for.
func (r *reporter) asked(ctx context.Context, job queue.ReportJob) error {
	kind, err := report.ParseKind(job.Report)
	if err != nil || job.Preview == "" && kind != report.Maintenance && kind != report.GroupsBreach {
		return fault.Newf(fault.Permanent, "no-such-report", "report %q of corp %s is not made on request", job.Report, job.Corp)
	}
	c, err := r.ledger.Corp(ctx, job.Corp)
	if errors.Is(err, ledger.ErrAbsent) {
		return fault.New(fault.Permanent, "no-such-corp", err)
	}
	if err != nil {
		return err
	}
	if job.Preview != "" {
		return r.preview(ctx, c, kind, job.Preview)
	}
	if kind == report.GroupsBreach {
		return r.groups(ctx, c)
	}
	return r.maintenance(ctx, c)
}

// made is a report whose facts are kept.
type made struct {
	noon   time.Time // gives the day of its keys and the date of its mails
	name   string    // of its objects
	object objstore.Object
	each   func(plan func(outgoing) error) error // calls plan for each of its mails
	days   map[string]string                     // of an alert, by address: the Day of each mail
}

// outgoing is a mail of a report to one address, or a text in WeCom to one user.
type outgoing struct {
	report string // as the ledger has it
	to     string
	mail   func() (report.Mail, error) // made when it is asked for: an earlier attempt may have planned it
	day    string                      // "": the run's

	user archive.PartyID // "": it is a mail
	text string
}

// ready is a mail that is made already.
func ready(m report.Mail) func() (report.Mail, error) {
	return func() (report.Mail, error) { return m, nil }
}

// once claims a run, makes its report and its mails, and marks it done.
func (r *reporter) once(ctx context.Context, run ledger.Run, facts func(context.Context, ledger.Run) (made, error)) error {
	before, err := r.ledger.RunOf(ctx, run.Corp, run.Day, run.Report)
	if err == nil && before.State == ledger.RunDone {
		return nil
	}
	if err != nil && !errors.Is(err, ledger.ErrAbsent) {
		return err
	}
	if run.Owner, err = r.owner(); err != nil {
		return err
	}
	run.Object, run.Version, run.Parts = before.Object, before.Version, before.Parts
	began := r.real()
	run.Until = began.Add(claimTime)
	ok, err := r.ledger.ClaimRun(ctx, run, began)
	if err != nil {
		return err
	}
	if !ok {
		return errBusy
	}
	mails, err := r.make(ctx, &run, facts)
	if err != nil {
		// The next attempt should not have to wait until the claim runs out; if this fails too, it does.
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return errors.Join(err, r.ledger.ReleaseRun(release, run, r.real()))
	}
	r.log.InfoContext(ctx, "report", slog.String("corp", string(run.Corp)), slog.String("report", run.Report), slog.String("day", run.Day),
		slog.Int("mails", mails), slog.Duration("took", r.real().Sub(began)))
	return nil
}

// errBusy says that another attempt at the report holds its claim.
var errBusy = errors.New("another attempt is at it")

func (r *reporter) make(ctx context.Context, run *ledger.Run, facts func(context.Context, ledger.Run) (made, error)) (int, error) {
	m, err := facts(ctx, *run)
	if err != nil {
		return 0, err
	}
	rows, tellings, err := r.planMails(ctx, *run, m)
	if err != nil {
		return 0, err
	}
	waiting := slices.DeleteFunc(slices.Clone(rows), func(m ledger.MailRow) bool { return m.State != "" && m.State != ledger.MailPlanned }) // of an earlier attempt some may be sent
	if err := errors.Join(r.sendJobs(ctx, waiting), r.sendTellings(ctx, tellings)); err != nil {
		return 0, err
	}
	if len(rows) == 0 && run.Report == string(report.UserStatus) {
		r.log.WarnContext(ctx, "no receivers", slog.String("corp", string(run.Corp)), slog.String("report", run.Report))
	}
	run.Mails, run.Object, run.Version, run.Done = len(rows), m.object.Key, m.object.VersionID, r.now()
	return len(rows), r.ledger.FinishRun(ctx, *run)
}

// keepFacts keeps what a report is made of. If an earlier attempt has kept facts, those stand, and kept is set to them.
func keepFacts[K any](ctx context.Context, r *reporter, run ledger.Run, day, name string, kept *K) (objstore.Object, error) {
	body, err := written(kept)
	if err != nil {
		return objstore.Object{}, fmt.Errorf("write the facts of report %s of corp %s: %w", run.Key(), run.Corp, err)
	}
	object, mine, err := r.keep(ctx, objstore.ReportKey(run.Corp, day, name+".json"), "application/json", body)
	if err != nil || mine {
		return object, err
	}
	return object, readFacts(ctx, r, run, object, kept)
}

// readFacts reads what an attempt kept.
func readFacts[K any](ctx context.Context, r *reporter, run ledger.Run, object objstore.Object, kept *K) error {
	body, err := r.store.Get(ctx, object)
	if err != nil {
		return err
	}
	*kept = *new(K) // nothing of this attempt's stays where the earlier one wrote nothing
	if err := json.Unmarshal(body, kept); err != nil {
		return fmt.Errorf("read the facts of report %s of corp %s: %w", run.Key(), run.Corp, err)
	}
	return nil
}

// keep writes an object once. mine is false if an earlier attempt has kept something else there: that stands.
func (r *reporter) keep(ctx context.Context, key, contentType string, body []byte) (object objstore.Object, mine bool, err error) {
	object, err = r.store.PutBlob(ctx, key, contentType, body)
	if errors.Is(err, objstore.ErrConflict) {
		object, err = r.store.Current(ctx, key)
		return object, false, err
	}
	return object, true, err
}

// zone is shown beside UTC: WeCom's companies keep China's time.
var zone = time.FixedZone("UTC+8", 8*60*60)
