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

// Items whose key is held are put back by every run of the schedule until they have been once since the key came; then after heldTry, which the next run,
// five minutes later, finds over, and after twice as long each time, up to longestHeldTry.
const (
	heldTry        = 4 * time.Minute
	longestHeldTry = time.Hour
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
	groups, err := r.ledger.AsideFirsts(ctx, job.Corp)
	if err != nil {
		return fmt.Errorf("list what is set aside of corp %s: %w", job.Corp, err)
	}
	for _, first := range groups {
		if job.Reason != "" && job.Reason != first.Reason || job.KeyVersion != 0 && job.KeyVersion != first.KeyVersion {
			continue
		}
		if err := r.putBack(ctx, job.Corp, first); err != nil {
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
	groups, err := r.ledger.AsideFirsts(ctx, corp)
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
	for _, first := range groups {
		before, err := r.ledger.Redriven(ctx, corp, first.Reason, first.KeyVersion)
		if err != nil {
			return err
		}
		if !r.due(first, keys, before) {
			continue
		}
		if err := r.putBack(ctx, corp, first); err != nil {
			return err
		}
	}
	return nil
}

// due says whether the cause of a group may have gone.
func (r *redriver) due(first ledger.Aside, keys map[archive.KeyVersion]ledger.KeyRow, before ledger.Redriven) bool {
	key, held := keys[first.KeyVersion]
	switch first.Reason {
	case ledger.ReasonNoKey:
		// With the key held, nothing stays here but what was set aside while the key came, or not reached yet. The first should not have to wait; of the
		// second, which may be much, every job that is sent again is one too many.
		return held && (before.At.Before(key.Added) || r.now().Sub(before.At) >= min(heldTry<<min(max(before.Times-1, 0), 16), longestHeldTry))
	case ledger.ReasonKeyDoesNotFit:
		return held && key.Added.After(before.At) && key.Added.After(first.Since)
	default:
		last := before.At
		if last.IsZero() {
			last = first.Since
		}
		try := firstTry
		if slices.Contains(passing, first.Reason) {
			try = passingTry
		}
		return r.now().Sub(last) >= min(try<<min(before.Times, 16), longestTry)
	}
}

// remembered is how many batches of a group are remembered as sent. Batches overlap rarely and closely; one that is sent twice costs a read.
const remembered = 64

// putBack enqueues a job for each batch of a group. It reads row by row and holds none.
func (r *redriver) putBack(ctx context.Context, corp archive.CorpID, first ledger.Aside) error {
	began := r.now()
	sent := make([]string, 0, remembered)
	jobs, items := 0, 0
	var failed error
	err := r.ledger.AsidesFrom(ctx, corp, first.Reason, first.KeyVersion, 0, func(a ledger.Aside) bool {
		items++
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
	before, err := r.ledger.Redriven(ctx, corp, first.Reason, first.KeyVersion)
	if err != nil {
		return err
	}
	// The time from before the reading: a key that came meanwhile is newer than it.
	if err := r.ledger.SetRedriven(ctx, corp, first.Reason, first.KeyVersion, ledger.Redriven{At: began, Times: before.Times + 1}); err != nil {
		return err
	}
	r.log.InfoContext(ctx, "put back to work", slog.String("corp", string(corp)), slog.String("reason", first.Reason),
		slog.Uint64("key_version", uint64(first.KeyVersion)), slog.Int("items", items), slog.Int("batches", jobs))
	return nil
}
