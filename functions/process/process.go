package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/derived"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/opening"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// processor opens the items of a batch, maps and checks them, and stores what they became.
//
// Order of effects: the segment into S3, written once; the keys' proof; message rows, findings and waiting attachments, identical whenever they are written
// again; the attachments' jobs; set-aside rows, fenced by the batch's slot; the batch is done. A crash between any two leaves the
// batch pending, and the next run writes the same again. A batch of which many items hold or kill the library takes more than one run: each sets those
// aside that it has tried before its time is up, and the next does not try them again.
type processor struct {
	ledger  *ledger.Ledger
	store   *objstore.Store
	media   *queue.Queue[queue.MediaJob]
	opener  *opening.Opener
	proven  *proofs
	people  *ledger.People
	log     *slog.Logger
	metrics io.Writer              // where each batch's figures go
	stack   string                 // whose figures they are
	run     func() (string, error) // an id for each run
	rest    time.Duration          // instead of the constant of this name
}

// rest is what an invocation keeps to store what it has opened; a short one keeps a tenth of its time.
const rest = 30 * time.Second

// errUnfinished says that the time was up before all items were tried. What was found out until then is kept.
var errUnfinished = errors.New("the time is up, and what was found out is kept")

// process brings one batch forward.
func (p *processor) process(ctx context.Context, job queue.BatchJob) error {
	began := clock.Real()
	row, err := p.ledger.Batch(ctx, job.Corp, job.Batch)
	if errors.Is(err, ledger.ErrAbsent) {
		// The job is sent after the row is written: a row that is absent was never there.
		return fault.New(fault.Permanent, "no-such-batch", err)
	}
	if err != nil {
		return err
	}
	again := job.Reason != ""
	if row.State == ledger.Done && !again || row.State == ledger.Pending && again {
		return nil // done before, or about to be done as a whole
	}
	raw, err := p.store.Batch(ctx, objstore.Object{Key: row.Object, VersionID: row.Version, SHA256: row.SHA256})
	if err != nil {
		return fmt.Errorf("read batch %s of corp %s: %w", row.Key(), row.Corp, err)
	}
	batch, err := archive.ParseBatch(raw, row.First-1)
	if err != nil {
		return fmt.Errorf("batch %s of corp %s is not what was kept: %w", row.Key(), row.Corp, err)
	}
	var outcome outcome
	if again {
		outcome, err = p.redrive(ctx, job, row, batch)
	} else {
		outcome, err = p.first(ctx, row, batch)
	}
	if err != nil {
		// watch tells the operator why a batch stays pending.
		if word := string(financesdk.Explain(err).Kind); !again && ctx.Err() == nil && word != row.Failure && !errors.Is(err, errUnfinished) {
			err = errors.Join(err, p.ledger.BatchFailed(ctx, row, word))
		}
		return err
	}
	p.log.InfoContext(ctx, "batch", slog.String("corp", string(row.Corp)), slog.String("batch", row.Key()), slog.Int("items", len(batch.Items)),
		slog.Int("archived", len(outcome.opened)), slog.Int("set_aside", len(outcome.aside)), slog.Duration("took", clock.Real().Sub(began)))
	m := telemetry.NewMetrics(p.metrics, p.stack, "process")
	m.Add("Archived", float64(len(outcome.opened)))
	m.Add("SetAside", float64(len(outcome.aside)))
	for _, o := range outcome.opened {
		if !o.Message.Known {
			m.Add("UnknownTypes", 1)
		}
	}
	return m.Flush(clock.Real())
}

// first takes a pending batch to its end.
func (p *processor) first(ctx context.Context, row ledger.BatchRow, batch archive.Batch) (outcome, error) {
	run, err := p.run()
	if err != nil {
		return outcome{}, err
	}
	fatal, err := p.fatal(ctx, row)
	if err != nil {
		return outcome{}, err
	}
	out, err := p.open(ctx, row, without(batch.Items, fatal))
	for _, a := range out.aside {
		if deadly(a.Reason) {
			fatal = append(fatal, a)
		}
	}
	if financesdk.DiesOften(len(fatal), len(batch.Items)) && (err == nil || errors.Is(err, errUnfinished)) {
		err = financesdk.ErrDiesOften(len(fatal), len(batch.Items))
	}
	if errors.Is(err, errUnfinished) && len(fatal) > 0 {
		return outcome{}, errors.Join(err, p.keep(ctx, row, run, fatal))
	}
	if err != nil {
		return outcome{}, err
	}
	out.aside = slices.DeleteFunc(out.aside, func(a ledger.Aside) bool { return deadly(a.Reason) })
	out.aside = append(out.aside, fatal...)
	slices.SortFunc(out.aside, func(a, b ledger.Aside) int { return cmp.Compare(a.Index, b.Index) })
	segment, err := p.archive(ctx, row, out.opened)
	if err != nil {
		return outcome{}, err
	}
	if len(out.aside) > 0 || row.Slot != "" {
		before, err := p.ledger.ClaimSlot(ctx, row, run)
		if errors.Is(err, ledger.ErrLost) {
			return out, nil // another delivery has finished it
		}
		if err != nil {
			return outcome{}, err
		}
		var stale []ledger.Aside
		if before != "" {
			if stale, err = p.staleAsides(ctx, row, out.aside); err != nil {
				return outcome{}, err
			}
		}
		if err := p.ledger.SetAside(ctx, row, run, out.aside, stale); err != nil {
			return outcome{}, err
		}
	}
	return out, p.ledger.FinishBatch(ctx, row, run, len(out.opened), len(out.aside), segment)
}

// deadly says whether a reason is that the library does not survive an item, or does not come back from it.
func deadly(reason string) bool {
	return reason == string(financesdk.ReasonHang) || reason == string(financesdk.ReasonCrash)
}

// fatal lists the items of a pending batch on which the library died or hung in an earlier run, and again alone: each costs a child and up to ten seconds, so that
// a run that begins with all of them anew may never end.
func (p *processor) fatal(ctx context.Context, row ledger.BatchRow) ([]ledger.Aside, error) {
	if row.Slot == "" {
		return nil, nil // no run has set anything aside
	}
	var all []ledger.Aside
	for _, reason := range []fault.Reason{financesdk.ReasonHang, financesdk.ReasonCrash} {
		err := p.ledger.Asides(ctx, row.Corp, string(reason), 0, func(a ledger.Aside) bool {
			if a.Batch == row.Key() {
				all = append(all, a)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// without leaves the items out that are set aside.
func without(items []archive.ChatData, aside []ledger.Aside) []archive.ChatData {
	if len(aside) == 0 {
		return items
	}
	seqs := map[archive.Seq]bool{}
	for _, a := range aside {
		seqs[a.Seq] = true
	}
	return slices.DeleteFunc(slices.Clone(items), func(item archive.ChatData) bool { return seqs[item.Seq] })
}

// keep sets items of a batch aside that stays pending.
func (p *processor) keep(ctx context.Context, row ledger.BatchRow, run string, fatal []ledger.Aside) error {
	if _, err := p.ledger.ClaimSlot(ctx, row, run); err != nil {
		return err
	}
	return p.ledger.SetAside(ctx, row, run, fatal, nil)
}

// staleAsides lists what an interrupted run set aside and this one does not.
func (p *processor) staleAsides(ctx context.Context, row ledger.BatchRow, now []ledger.Aside) ([]ledger.Aside, error) {
	there, err := p.ledger.AsidesOf(ctx, row.Corp, row.Key())
	if err != nil {
		return nil, err
	}
	keep := map[string]bool{}
	for _, a := range now {
		keep[a.Key()] = true
	}
	var stale []ledger.Aside
	for _, a := range there {
		if !keep[a.Key()] {
			stale = append(stale, a)
		}
	}
	return stale, nil
}

// redrive tries the items of a done batch again that were set aside for one reason.
func (p *processor) redrive(ctx context.Context, job queue.BatchJob, row ledger.BatchRow, batch archive.Batch) (outcome, error) {
	asides, err := p.ledger.AsidesIn(ctx, row, job.Reason, job.KeyVersion)
	if err != nil || len(asides) == 0 {
		return outcome{}, err
	}
	bySeq := map[archive.Seq]ledger.Aside{}
	var items []archive.ChatData
	for _, a := range asides {
		bySeq[a.Seq] = a
	}
	for _, item := range batch.Items {
		if _, ok := bySeq[item.Seq]; ok {
			items = append(items, item)
		}
	}
	if deadly(job.Reason) { // not always the same ones first: the time may not be enough for all
		turn := mathrand.IntN(max(len(items), 1)) // #nosec G404 -- no secret
		items = slices.Concat(items[turn:], items[:turn])
	}
	out, err := p.open(ctx, row, items)
	slices.SortFunc(out.opened, func(a, b archive.SegmentItem) int { return cmp.Compare(a.Index, b.Index) })
	if errors.Is(err, errUnfinished) || deadly(job.Reason) && financesdk.Explain(err).Kind == financesdk.CauseLibraryDiesOften {
		// What was found out is kept; the rest stays set aside, and comes back with the schedule.
		p.log.WarnContext(ctx, "not all items were tried again", slog.String("corp", string(row.Corp)), slog.String("batch", row.Key()), slog.String("error", err.Error()))
		err = nil
	}
	if err != nil {
		return outcome{}, err
	}
	segment, err := p.archive(ctx, row, out.opened)
	if err != nil {
		return outcome{}, err
	}
	var closed []ledger.Aside
	for _, o := range out.opened {
		closed = append(closed, bySeq[o.Message.Seq])
	}
	var moved [][2]ledger.Aside
	for _, a := range out.aside {
		if old := bySeq[a.Seq]; old.Reason != a.Reason {
			a.Since = old.Since
			moved = append(moved, [2]ledger.Aside{old, a})
		}
	}
	return out, p.ledger.CloseAside(ctx, row, closed, segment, moved)
}

// outcome is what became of items.
type outcome struct {
	opened []archive.SegmentItem
	aside  []ledger.Aside
}

// open opens items. An error is our own trouble: the batch stays as it is. With errUnfinished comes what was found out.
func (p *processor) open(ctx context.Context, row ledger.BatchRow, items []archive.ChatData) (outcome, error) {
	opening := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		opening, cancel = context.WithDeadline(ctx, end.Add(-cmp.Or(p.rest, min(rest, end.Sub(clock.Real())/10))))
		defer cancel()
	}
	done, err := p.opener.Open(opening, row.Corp, items)
	if err != nil {
		err = fmt.Errorf("open batch %s of corp %s: %w", row.Key(), row.Corp, err)
		if opening.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", errUnfinished, err)
		}
	}
	out := outcome{opened: done.Opened}
	for _, r := range done.Refused {
		out.aside = append(out.aside, row.Aside(r.Item, string(r.Reason), clock.Now()))
	}
	return out, err
}

// archive stores opened messages and returns the key of their segment, "" if there are none.
func (p *processor) archive(ctx context.Context, row ledger.BatchRow, opened []archive.SegmentItem) (string, error) {
	if len(opened) == 0 {
		return "", nil
	}
	lines, err := archive.EncodeSegment(opened)
	if err != nil {
		return "", err
	}
	// The slice is named by its content: a run that could open other items writes another segment, never the same one differently.
	segment, err := p.store.PutSegment(ctx, objstore.SegmentKey{
		Class: objstore.DefaultClass, Corp: row.Corp, Day: row.Pulled.UTC().Format(time.DateOnly), BatchHash: row.SHA256[:32], Slice: archive.HashHex(lines)[:16],
	}, lines)
	if err != nil {
		return "", fmt.Errorf("store a segment of batch %s: %w", row.Key(), err)
	}
	if err := p.prove(ctx, row.Corp, opened); err != nil {
		return "", err
	}
	rows := derived.Of(derived.Batch{Pulled: row.Pulled, CaughtUp: row.CaughtUp}, opened)
	if err := p.ledger.PutDerived(ctx, row, rows, p.people); err != nil {
		return "", err
	}
	waiting, err := p.ledger.PutWaiting(ctx, row.Corp, ledger.WaitingFor(row.Corp, rows.Files))
	if err != nil {
		return "", err
	}
	for _, w := range waiting {
		if err := p.media.Send(ctx, row.Corp, queue.MediaJob{Corp: row.Corp, Waiting: w.Key()}); err != nil {
			return "", err
		}
	}
	return segment.Key, nil
}

// prove records of the keys that opened these messages that they are the right ones: an item that one of them does not open is damaged, where
// under a key that never opened anything the key is to be doubted.
func (p *processor) prove(ctx context.Context, corp archive.CorpID, opened []archive.SegmentItem) error {
	for _, o := range opened {
		name := proof{corp, o.Message.KeyVersion}
		if p.proven.has(name) {
			continue
		}
		known, err := p.ledger.ProveKey(ctx, corp, o.Message.KeyVersion)
		if err != nil {
			return err
		}
		if known { // its row is written after the key itself
			p.proven.add(name)
		}
	}
	return nil
}

type proof struct {
	corp    archive.CorpID
	version archive.KeyVersion
}

// proofs remembers between invocations of which keys the rows say that they are right.
type proofs struct {
	mu   sync.Mutex
	seen map[proof]bool
}

func (p *proofs) has(name proof) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[name]
}

func (p *proofs) add(name proof) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[proof]bool{}
	}
	p.seen[name] = true
}
