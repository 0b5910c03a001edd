package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// Items that no key can mend are tried again by themselves after firstTry, then after twice as long each time, up to longestTry: a new version
// of the library or of the decoder may open them, and the operator can ask for it at once. Items that the library answered with a code of
// passing trouble are tried first after passingTry.
const (
	firstTry   = 24 * time.Hour
	passingTry = time.Hour
	longestTry = 32 * 24 * time.Hour
)

// passing are the reasons that say nothing about the item itself.
var passing = []string{"decrypt-10001", "decrypt-10002", "decrypt-10003"}

// redriver enqueues a job for each batch that has items set aside.
//
// Order of effects: the jobs, then the note that the group was put back. A crash between any two sends jobs again, which changes nothing: an
// item that opened is no longer set aside. What is left of an interrupted job comes back with the job, or with the schedule.
type redriver struct {
	ledger  *ledger.Ledger
	batches *queue.Queue[queue.BatchJob]
	log     *slog.Logger
	now     func() time.Time
}

// redrive puts back what a job names.
func (r *redriver) redrive(ctx context.Context, job queue.RedriveJob) error {
	groups, err := r.ledger.AsideGroups(ctx, job.Corp)
	if err != nil {
		return fmt.Errorf("list what is set aside of corp %s: %w", job.Corp, err)
	}
	for _, g := range groups {
		if job.Reason != "" && job.Reason != g.First.Reason || job.KeyVersion != 0 && job.KeyVersion != g.First.KeyVersion {
			continue
		}
		if err := r.putBack(ctx, job.Corp, g); err != nil {
			return err
		}
	}
	return nil
}

// run puts back, of every corp, the groups whose cause may have gone. One corp's failure fails the run after the others.
func (r *redriver) run(ctx context.Context) error {
	corps, err := r.ledger.Corps(ctx)
	if err != nil {
		return fmt.Errorf("list the corps: %w", err)
	}
	var failed []error
	for _, c := range corps {
		if err := r.runCorp(ctx, c.ID); err != nil {
			failed = append(failed, fmt.Errorf("redrive corp %s: %w", c.ID, err))
		}
	}
	return errors.Join(failed...)
}

func (r *redriver) runCorp(ctx context.Context, corp archive.CorpID) (err error) {
	defer fault.Catch(&err) // the others are looked at all the same
	groups, err := r.ledger.AsideGroups(ctx, corp)
	if err != nil || len(groups) == 0 {
		return err
	}
	rows, err := r.ledger.Keys(ctx, corp)
	if err != nil {
		return err
	}
	keys := map[archive.KeyVersion]ledger.KeyRow{}
	for _, k := range rows {
		keys[k.Version] = k
	}
	for _, g := range groups {
		before, err := r.ledger.Redriven(ctx, corp, g.First.Reason, g.First.KeyVersion)
		if err != nil {
			return err
		}
		if !r.due(g, keys, before) {
			continue
		}
		if err := r.putBack(ctx, corp, g); err != nil {
			return err
		}
	}
	return nil
}

// due says whether the cause of a group may have gone.
func (r *redriver) due(g ledger.AsideGroup, keys map[archive.KeyVersion]ledger.KeyRow, before ledger.Redriven) bool {
	key, held := keys[g.First.KeyVersion]
	switch g.First.Reason {
	case ledger.ReasonNoKey:
		// With the key held, nothing stays here but what was set aside while the key came, or not reached yet.
		return held
	case ledger.ReasonKeyDoesNotFit:
		return held && key.Added.After(before.At) && key.Added.After(g.First.Since)
	default:
		last := before.At
		if last.IsZero() {
			last = g.First.Since
		}
		first := firstTry
		if slices.Contains(passing, g.First.Reason) {
			first = passingTry
		}
		return r.now().Sub(last) >= min(first<<min(before.Times, 16), longestTry)
	}
}

// remembered is how many batches of a group are remembered as sent. Batches overlap rarely and closely; one that is sent twice costs a read.
const remembered = 64

// putBack enqueues a job for each batch of a group. It reads row by row and holds none.
func (r *redriver) putBack(ctx context.Context, corp archive.CorpID, g ledger.AsideGroup) error {
	began := r.now()
	sent := make([]string, 0, remembered)
	jobs := 0
	var failed error
	err := r.ledger.AsidesFrom(ctx, corp, g.First.Reason, g.First.KeyVersion, 0, func(a ledger.Aside) bool {
		for _, s := range sent {
			if s == a.Batch {
				return true
			}
		}
		failed = r.batches.Send(ctx, corp, queue.BatchJob{Corp: corp, Batch: a.Batch, Reason: a.Reason, KeyVersion: a.KeyVersion})
		if failed != nil {
			return false
		}
		jobs++
		if len(sent) == remembered {
			sent = sent[:copy(sent, sent[1:])]
		}
		sent = append(sent, a.Batch)
		return true
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	before, err := r.ledger.Redriven(ctx, corp, g.First.Reason, g.First.KeyVersion)
	if err != nil {
		return err
	}
	// The time from before the reading: a key that came meanwhile is newer than it.
	if err := r.ledger.SetRedriven(ctx, corp, g.First.Reason, g.First.KeyVersion, ledger.Redriven{At: began, Times: before.Times + 1}); err != nil {
		return err
	}
	r.log.InfoContext(ctx, "put back to work", slog.String("corp", string(corp)), slog.String("reason", g.First.Reason),
		slog.Uint64("key_version", uint64(g.First.KeyVersion)), slog.Int("items", g.Count), slog.Int("batches", jobs))
	return nil
}
