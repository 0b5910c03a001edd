package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// mostItems is the most that WeCom hands out in one call.
const mostItems = 1000

// fullAnswers is how many full answers in a row it takes until a limit that was halved is doubled again. It was halved for a stretch of large
// messages, and stretches end; each refusal of a larger page doubles the number, so that a long stretch costs few calls.
const (
	fullAnswers = 3
	mostWait    = 96
)

// The pauses after something went wrong: they double from the shortest to the longest.
const (
	shortestPause = 500 * time.Millisecond
	longestPause  = 5 * time.Second
	limitedPause  = 20 * time.Second // after 45009: WeCom counts calls by the minute
	finalPause    = 5 * time.Minute  // before a refused secret is tried again: WeCom bans addresses that repeat it
)

// deadHolder is how long a holder's beat stands still, on the challenger's own clock, before its lease is taken.
const deadHolder = 15 * time.Second

// handover is how often a challenger looks whether the holder has let go.
const handover = 200 * time.Millisecond

// farewell is kept at the end of an invocation to finish the work in hand.
const farewell = 10 * time.Second

// chatData is what fetch needs of one corp's library.
type chatData interface {
	// ChatData returns the bytes that the library gave for up to limit items after a seq.
	ChatData(ctx context.Context, after archive.Seq, limit int) ([]byte, error)
}

// fetcher pulls the chat data of every corp into the archive.
//
// Order of effects: the batch's bytes into S3, written once; its row in the ledger, pending; its job into the queue; the cursor, under the
// lease's fence. A crash between any two repeats work and loses none: the next holder of the lease finds the pending row above the
// cursor and goes on from there, and watch announces every batch that stays pending.
type fetcher struct {
	ledger  *ledger.Ledger
	store   *objstore.Store
	batches *queue.Queue[queue.BatchJob]
	library func(ctx context.Context, corp archive.CorpID) (chatData, error)
	log     *slog.Logger
	poll    time.Duration
	metrics io.Writer // where each invocation's figures go
	stack   string    // whose figures they are

	dead time.Duration // see deadHolder

	// again makes another invocation follow corps: one follows at most most of them.
	again func(ctx context.Context, corps []archive.CorpID) error
	most  int
}

// run follows the given corps, all if none are given, until the invocation's time is up or other invocations have taken over.
func (f *fetcher) run(ctx context.Context, only []archive.CorpID) error {
	corps, err := f.corps(ctx, only)
	if err != nil {
		return err
	}
	ctx, cancel := untilFarewell(ctx)
	defer cancel()
	// All others are started from here: a chain of invocations that each start the next looks to Lambda like a loop, and it ends loops.
	var others error
	for rest := range slices.Chunk(corps[min(f.most, len(corps)):], f.most) {
		if err := f.again(ctx, rest); err != nil {
			others = errors.Join(others, fmt.Errorf("have %d corps followed, the first being %s: %w", len(rest), rest[0], err))
		}
	}
	corps = corps[:min(f.most, len(corps))]
	var wg sync.WaitGroup
	var items, answered, denied atomic.Int64
	for _, corp := range corps {
		wg.Go(func() {
			began := clock.Real()
			n, whole, err := f.follow(ctx, corp)
			items.Add(int64(n))
			if whole {
				answered.Add(1)
			}
			attrs := []any{slog.String("corp", string(corp)), slog.Int("items", n), slog.Duration("took", clock.Real().Sub(began))}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				if fault.Denied(err) {
					denied.Add(1)
				}
				f.log.ErrorContext(ctx, "following a corp ended", append(attrs, slog.String("error", err.Error()))...)
				return
			}
			f.log.InfoContext(ctx, "following a corp ended", attrs...)
		})
	}
	wg.Wait()
	m := telemetry.NewMetrics(f.metrics, f.stack, "fetch")
	m.Add("FetchOK", float64(answered.Load())) // corps of which a whole batch is kept, or that have none left; the heartbeat of the archive
	m.Add("Items", float64(items.Load()))
	if n := denied.Load(); n > 0 {
		m.Add(telemetry.Denied, float64(n)) // as lambdas counts them for whole runs
	}
	return errors.Join(others, m.Flush(clock.Now()))
}

func (f *fetcher) corps(ctx context.Context, only []archive.CorpID) ([]archive.CorpID, error) {
	if len(only) > 0 {
		return only, nil
	}
	rows, err := f.ledger.Corps(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the corps: %w", err)
	}
	ids := make([]archive.CorpID, len(rows))
	for i, c := range rows {
		ids[i] = c.ID
	}
	return ids, nil
}

func untilFarewell(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, end.Add(-farewell))
	}
	return context.WithCancel(ctx)
}

// follow takes a corp's lease and polls until it is asked for the lease or has lost it. It returns how many items it kept, and whether WeCom
// gave any whole answer that needs no keeping or is kept.
func (f *fetcher) follow(ctx context.Context, corp archive.CorpID) (kept int, whole bool, err error) {
	defer fault.Catch(&err) // the others are followed on; this one's lease is taken by the next invocation
	lease, cursor, err := f.acquire(ctx, corp)
	if errors.Is(err, ledger.ErrLost) {
		return 0, false, nil // a later invocation asks for it too
	}
	if err != nil {
		return 0, false, err
	}
	t := turn{fetcher: f, corp: corp, lease: lease, cursor: cursor}
	err = t.fetch(ctx)
	if err == nil || !errors.Is(err, ledger.ErrLost) {
		// The invocation may be at its end: the release gets a moment of its own, since a lease that is not given back costs the next one
		// fifteen seconds.
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell/2)
		defer cancel()
		if e := f.ledger.Release(release, lease); e != nil {
			err = errors.Join(err, e)
		}
	}
	if errors.Is(err, ledger.ErrLost) {
		err = nil // another invocation goes on
	}
	return t.kept, t.answered, err
}

// acquire asks for a corp's lease and waits until the holder hands it over or is found dead.
func (f *fetcher) acquire(ctx context.Context, corp archive.CorpID) (ledger.Lease, ledger.Cursor, error) {
	me, err := newID()
	if err != nil {
		return ledger.Lease{}, ledger.Cursor{}, err
	}
	seen, err := f.ledger.AskLease(ctx, corp, me)
	if err != nil {
		return ledger.Lease{}, ledger.Cursor{}, err
	}
	since := clock.Real()
	for {
		if seen.Owner == "" || clock.Real().Sub(since) > f.dead {
			lease, cursor, err := f.ledger.TakeLease(ctx, corp, me, seen)
			if err == nil {
				return lease, cursor, nil
			}
			if !errors.Is(err, ledger.ErrLost) {
				return ledger.Lease{}, ledger.Cursor{}, err
			}
			since = clock.Real()
		}
		if err := sleep(ctx, handover); err != nil {
			return ledger.Lease{}, ledger.Cursor{}, err
		}
		now, err := f.ledger.Cursor(ctx, corp)
		if err != nil {
			return ledger.Lease{}, ledger.Cursor{}, err
		}
		if now.Beat != seen.Beat || now.Owner != seen.Owner {
			// Whoever asked later gets it from a holder that lives. Beside one that stands still they all wait on: were only the last to wait,
			// invocations that come more often than a holder is taken for dead would never take it.
			if now.Wanted != me && now.Owner != "" {
				return ledger.Lease{}, ledger.Cursor{}, ledger.ErrLost
			}
			since = clock.Real()
		}
		seen = now
	}
}

// turn is one invocation's time with one corp.
type turn struct {
	*fetcher
	corp     archive.CorpID
	lease    ledger.Lease
	cursor   ledger.Cursor
	kept     int
	answered bool          // WeCom gave a whole batch that is kept, or said that nothing is left
	pause    time.Duration // the next one after trouble; 0: none yet
	full     int           // full answers in a row under the present limit
	grown    bool          // the present limit is one that was doubled
	wait     int           // full answers that it takes to double it
}

func (t *turn) fetch(ctx context.Context) error {
	if tr := t.cursor.Trouble; tr != nil && tr.Cause == string(financesdk.CauseBadSecret) && clock.Real().Sub(tr.Tried) < finalPause {
		return nil
	}
	if err := t.adopt(ctx); err != nil {
		return err
	}
	for {
		began := clock.Now()
		raw, err := t.pull(ctx)
		var batch archive.Batch
		if err == nil {
			batch, err = archive.ParseBatch(raw, t.cursor.Seq)
		}
		var rest time.Duration
		var wanted bool
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			rest = t.troubled(ctx, err)
			wanted, err = t.beat(ctx)
		case len(batch.Items) == 0:
			t.whole()
			t.answered = true
			t.cursor.CaughtUp = began
			t.cursor.Empties++
			rest = t.poll
			wanted, err = t.beat(ctx)
		default:
			t.whole()
			t.cursor.Empties = 0
			t.widen(len(batch.Items))
			wanted, err = t.keep(ctx, raw, batch) // the cursor's move reports the poll too
		}
		if err != nil || wanted {
			return err
		}
		if t.cursor.Trouble != nil && t.cursor.Trouble.Final {
			return nil // the next invocation tries once more
		}
		if wanted, err = t.rest(ctx, rest); err != nil || wanted {
			return err
		}
	}
}

// pull asks the library for what follows the cursor.
func (t *turn) pull(ctx context.Context) ([]byte, error) {
	library, err := t.library(ctx, t.corp)
	if err != nil {
		return nil, err
	}
	return library.ChatData(ctx, t.cursor.Seq, t.limit())
}

// limit is how many items the next call asks for.
func (t *turn) limit() int {
	if n := t.cursor.Limit; n > 0 && n < mostItems {
		return n
	}
	return mostItems
}

// narrow halves the limit, as far as it goes.
func (t *turn) narrow() bool {
	if t.grown {
		t.wait = min(2*t.wait, mostWait)
	}
	t.full, t.grown = 0, false
	if t.limit() == 1 {
		return false
	}
	t.cursor.Limit = t.limit() / 2
	return true
}

// widen doubles a halved limit after enough full answers: the cursor remembers it, and a corp would catch up slowly for ever after.
func (t *turn) widen(items int) {
	if t.limit() == mostItems {
		return
	}
	if items < t.limit() {
		t.full = 0
		return
	}
	t.wait = max(t.wait, fullAnswers)
	if t.full++; t.full < t.wait {
		return
	}
	t.full, t.grown = 0, true
	t.cursor.Limit = min(2*t.limit(), mostItems)
}

// keep brings a batch into the archive and moves the cursor over it, with which the poll is reported. It says whether somebody wants the lease.
func (t *turn) keep(ctx context.Context, raw []byte, batch archive.Batch) (wanted bool, err error) {
	object, err := t.store.PutBatch(ctx, t.corp, batch.First(), batch.Last(), raw)
	if err != nil {
		return false, fmt.Errorf("keep a batch of corp %s: %w", t.corp, err)
	}
	row := ledger.BatchRow{
		Corp: t.corp, First: batch.First(), Last: batch.Last(), Items: len(batch.Items), SHA256: object.SHA256, Size: len(raw),
		Object: object.Key, Version: object.VersionID, Pulled: clock.Now(), CaughtUp: t.cursor.CaughtUp,
		Prev: t.cursor.Chain.Hash, Link: t.cursor.Chain.Next(object.SHA256), After: t.cursor.Seq, AfterKnown: true,
	}
	row, err = t.ledger.PutBatch(ctx, row)
	if err != nil {
		return false, fmt.Errorf("record a batch of corp %s: %w", t.corp, err)
	}
	if wanted, err = t.moveOver(ctx, row); err != nil {
		return false, err
	}
	t.kept += len(batch.Items)
	t.answered = true
	return wanted, nil
}

// moveOver announces a recorded batch and moves the cursor over it. It says whether somebody wants the lease.
func (t *turn) moveOver(ctx context.Context, row ledger.BatchRow) (wanted bool, err error) {
	if row.State == ledger.Pending {
		if err := t.batches.Send(ctx, t.corp, queue.BatchJob{Corp: t.corp, Batch: row.Key()}); err != nil {
			return false, fmt.Errorf("announce batch %s: %w", row.Key(), err)
		}
	}
	chain := t.cursor.Chain
	if t.follows(row) {
		chain = row.Link
	}
	c, err := t.ledger.Advance(ctx, t.lease, t.cursor.Seq, row.Last, chain, t.report())
	if err != nil {
		return false, err
	}
	t.cursor.Seq, t.cursor.Chain = row.Last, chain
	return c.Wanted != "", nil
}

// follows says whether a batch is the next link of the chain. A batch that came again after the cursor was set back by hand has its place
// already.
func (t *turn) follows(row ledger.BatchRow) bool {
	return row.Prev == t.cursor.Chain.Hash && row.Link == t.cursor.Chain.Next(row.SHA256)
}

// adopt moves the cursor over batches that an earlier holder recorded before it died. What it had asked for after them is asked again.
func (t *turn) adopt(ctx context.Context) error {
	for {
		row, ok, err := t.ledger.BatchAfter(ctx, t.corp, t.cursor.Seq)
		if err != nil {
			return err
		}
		if !ok || !t.follows(row) {
			return nil
		}
		// Whoever wants the lease is seen at the first poll.
		if _, err := t.moveOver(ctx, row); err != nil {
			return err
		}
	}
}

// whole notes that WeCom answered as it should.
func (t *turn) whole() {
	t.cursor.Trouble, t.pause = nil, 0
	t.cursor.LastWhole = clock.Now()
}

// troubled notes why nothing whole came and says how long to rest.
func (t *turn) troubled(ctx context.Context, err error) time.Duration {
	cause := financesdk.Explain(err)
	if cause.Kind == financesdk.CausePageTooLarge && t.narrow() {
		return 0
	}
	since := clock.Now()
	if old := t.cursor.Trouble; old != nil && old.Cause == string(cause.Kind) {
		since = old.Since
	} else {
		t.log.WarnContext(ctx, "nothing whole came", slog.String("corp", string(t.corp)), slog.String("cause", string(cause.Kind)), slog.Int("code", cause.ErrCode))
	}
	t.cursor.Trouble = &ledger.Trouble{
		Cause: string(cause.Kind), Sentence: cause.Sentence, Since: since, Code: cause.ErrCode, Final: cause.Final(), Address: cause.IP, Tried: clock.Real().UTC(),
	}
	t.cursor.Empties = 0
	t.pause = min(max(2*t.pause, shortestPause), longestPause)
	if cause.Kind == financesdk.CauseRateLimited {
		return limitedPause
	}
	return t.pause
}

// beat reports the poll and says whether somebody wants the lease.
func (t *turn) beat(ctx context.Context) (wanted bool, err error) {
	c, err := t.ledger.Beat(ctx, t.lease, t.report())
	return c.Wanted != "", err
}

// report is what the cursor's row says of the polls so far.
func (t *turn) report() ledger.Poll {
	return ledger.Poll{CaughtUp: t.cursor.CaughtUp, Empties: t.cursor.Empties, LastWhole: t.cursor.LastWhole, Limit: t.cursor.Limit, Trouble: t.cursor.Trouble}
}

// rest waits, beating often enough that nobody takes the holder for dead.
func (t *turn) rest(ctx context.Context, d time.Duration) (wanted bool, err error) {
	for d > 0 {
		part := min(d, t.dead/3)
		if err := sleep(ctx, part); err != nil {
			return false, err
		}
		if d -= part; d > 0 {
			if wanted, err := t.beat(ctx); err != nil || wanted {
				return wanted, err
			}
		}
	}
	return false, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func newID() (string, error) {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
