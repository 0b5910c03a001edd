package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
// batch pending, and the next run writes the same again.
type processor struct {
	ledger  *ledger.Ledger
	store   *objstore.Store
	media   *queue.Queue[queue.MediaJob]
	opener  *opening.Opener
	proven  *proofs
	people  *ledger.People
	log     *slog.Logger
	metrics io.Writer              // where each batch's figures go
	run     func() (string, error) // an id for each run
}

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
		if word := string(financesdk.Explain(err).Kind); !again && ctx.Err() == nil && word != row.Failure {
			err = errors.Join(err, p.ledger.BatchFailed(ctx, row, word))
		}
		return err
	}
	p.log.InfoContext(ctx, "batch", slog.String("corp", string(row.Corp)), slog.String("batch", row.Key()), slog.Int("items", len(batch.Items)),
		slog.Int("archived", len(outcome.opened)), slog.Int("set_aside", len(outcome.aside)), slog.Duration("took", clock.Real().Sub(began)))
	m := telemetry.NewMetrics(p.metrics, "process")
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
	out, err := p.open(ctx, row, batch.Items)
	if err != nil {
		return outcome{}, err
	}
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
	out, err := p.open(ctx, row, items)
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

// open opens items. An error is our own trouble: the batch stays as it is.
func (p *processor) open(ctx context.Context, row ledger.BatchRow, items []archive.ChatData) (outcome, error) {
	done, err := p.opener.Open(ctx, row.Corp, items)
	if err != nil {
		return outcome{}, fmt.Errorf("open batch %s of corp %s: %w", row.Key(), row.Corp, err)
	}
	out := outcome{opened: done.Opened}
	for _, r := range done.Refused {
		out.aside = append(out.aside, row.Aside(r.Item, string(r.Reason), clock.Now()))
	}
	return out, nil
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
