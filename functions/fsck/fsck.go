package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// Call is what fsck is asked. The zero Call is the nightly one: every corp, each from where the last night's check ran out of time.
type Call struct {
	Corp archive.CorpID `json:"corp"` // "" for all
	From string         `json:"from"` // Answer.Next of the call before, "" to begin; only with a corp
	Full bool           `json:"full"` // read every attachment's bytes, and take nothing for being on its way: the operator's check
}

// Answer is what fsck found.
type Answer struct {
	Findings []Finding `json:"findings"`
	Untold   int       `json:"untold"` // findings beyond the most that an answer names
	Batches  int       `json:"batches"`
	Seqs     int       `json:"seqs"`
	Media    int       `json:"media"`
	Next     string    `json:"next"` // the batch to go on from; "" if the check came to its end
}

// State is what became of a finding.
type State string

// The states of a finding.
const (
	Mended State = "mended" // it is as it should be, or will be once the work that was enqueued is done
	Open   State = "open"   // somebody must look
	Noted  State = "noted"  // nothing is wrong, but an examiner may ask
)

// Kind is a finding's stable word.
type Kind string

// The kinds of findings.
const (
	BatchMissing        Kind = "batch-missing"        // a batch's object is gone
	BatchAltered        Kind = "batch-altered"        // a batch's object is not what was kept
	BatchWrittenOver    Kind = "batch-written-over"   // a version or a delete marker lies over a batch
	RowMissing          Kind = "row-missing"          // an object of a batch has no row
	RowAltered          Kind = "row-altered"          // a batch's row contradicts its object or its link
	ChainBroken         Kind = "chain-broken"         // a link's predecessor is gone
	SideLeaf            Kind = "side-leaf"            // a batch that the corp's chain goes past
	AnnouncementMissing Kind = "announcement-missing" // a batch is pending and nobody works on it
	SegmentMissing      Kind = "segment-missing"
	SegmentAltered      Kind = "segment-altered"
	SeqMissing          Kind = "seq-missing"     // an item is neither archived nor set aside
	MessageMissing      Kind = "message-missing" // a row of an archived message, or a finding, is gone
	MediaForgotten      Kind = "media-forgotten" // an attachment has no outcome and does not wait
	MediaMissing        Kind = "media-missing"   // a kept attachment's object is gone
	MediaAltered        Kind = "media-altered"   // a kept attachment is not what was kept
	Gap                 Kind = "gap"             // seqs that were never asked for
	TwoTexts            Kind = "two-texts"       // one seq came with two cipher texts
)

// Finding is one thing that is not as it should be, or was not.
type Finding struct {
	Corp     archive.CorpID `json:"corp"`
	Kind     Kind           `json:"kind"`
	Object   string         `json:"object"` // a key, a batch, a seq: never content
	State    State          `json:"state"`
	Sentence string         `json:"sentence"`
}

// mostTold bounds an answer: Lambda takes six megabytes.
const mostTold = 2000

// farewell is kept at the end of an invocation for what must still be written.
const farewell = 45 * time.Second

// fresh is how old something must be before the nightly check says that nobody is at work on it.
const fresh = 10 * time.Minute

// checker compares S3 with the ledger. Every mending is a conditional or an identical write, so that running twice, or together with the
// functions whose work it checks, changes nothing that is right.
type checker struct {
	ledger  *ledger.Ledger
	store   *objstore.Store
	batches *queue.Queue[queue.BatchJob]
	media   *queue.Queue[queue.MediaJob]
	log     *slog.Logger
	metrics *telemetry.Metrics
	now     func() time.Time
	second  time.Duration // before a second look at what may only be on its way
}

// run checks one corp or all. One corp's failure fails the run, after the others.
func (c *checker) run(ctx context.Context, call Call) (Answer, error) {
	corps := []archive.CorpID{call.Corp}
	if call.Corp == "" {
		rows, err := c.ledger.Corps(ctx)
		if err != nil {
			return Answer{}, fmt.Errorf("list the corps: %w", err)
		}
		corps = corps[:0]
		for _, r := range rows {
			corps = append(corps, r.ID)
		}
	}
	all := Answer{Findings: []Finding{}}
	var failed []error
	for i, corp := range corps {
		found, err := c.check(ctx, corp, call, len(corps)-i)
		if err != nil {
			failed = append(failed, fmt.Errorf("check corp %s: %w", corp, err))
		}
		all.Batches += found.Batches
		all.Seqs += found.Seqs
		all.Media += found.Media
		all.Untold += found.Untold
		all.Next = found.Next // of the one corp that a caller asks for
		for _, f := range found.Findings {
			if len(all.Findings) < mostTold {
				all.Findings = append(all.Findings, f)
			} else {
				all.Untold++
			}
		}
	}
	for _, f := range all.Findings {
		c.metrics.Add("Findings"+string(f.State), 1)
	}
	c.metrics.Add("BatchesChecked", float64(all.Batches))
	if err := c.metrics.Flush(c.now()); err != nil {
		failed = append(failed, err)
	}
	return all, errors.Join(failed...)
}

// check goes over one corp: the batches and what became of their items; then attachments; then the alarms. left is how many corps there are
// still to check, this one among them: they share the time that is left, or a large one would take every night for itself.
func (c *checker) check(ctx context.Context, corp archive.CorpID, call Call, left int) (_ Answer, err error) {
	defer fault.Catch(&err) // the others are checked all the same
	began := clock.Real()
	from := call.From
	nightly := call.Corp == ""
	if nightly {
		if from, err = c.ledger.CheckedTo(ctx, corp); err != nil {
			return Answer{}, err
		}
	}
	p := &pass{checker: c, corp: corp, full: call.Full, from: from, people: &ledger.People{}}
	if end, ok := ctx.Deadline(); ok {
		p.end = began.Add(end.Add(-farewell).Sub(began) / time.Duration(left))
	}
	err = p.checkBatches(ctx)
	if err == nil && p.Next == "" {
		err = p.checkMedia(ctx)
	}
	if err == nil && nightly {
		err = c.ledger.SetCheckedTo(ctx, corp, p.Next)
	}
	if err == nil {
		err = p.alarm(ctx)
	}
	c.log.InfoContext(ctx, "checked", slog.String("corp", string(corp)), slog.Int("batches", p.Batches), slog.Int("seqs", p.Seqs), slog.Int("media", p.Media),
		slog.Int("findings", len(p.Findings)+p.Untold), slog.Int("open", p.open), slog.String("next", p.Next), slog.Duration("took", clock.Real().Sub(began)))
	return p.Answer, err
}

// pass is one check of one corp.
type pass struct {
	*checker
	Answer
	corp   archive.CorpID
	full   bool
	people *ledger.People // rows that this check has seen: a row of before may be gone
	from   string
	end    time.Time // when to stop, by the machine's own time; zero: never
	cut    bool      // time was up before all attachments were looked at
	open   int
	kind   map[Kind]int       // open findings
	told   map[[2]string]bool // kinds and objects: what is looked at twice is told once
}

// find records a finding.
func (p *pass) find(ctx context.Context, kind Kind, object string, state State, format string, args ...any) {
	name := [2]string{string(kind), object}
	if p.told[name] {
		return
	}
	if p.told == nil {
		p.told = map[[2]string]bool{}
	}
	p.told[name] = true
	f := Finding{Corp: p.corp, Kind: kind, Object: object, State: state, Sentence: fmt.Sprintf(format, args...)}
	level := slog.LevelInfo
	if state == Open {
		level = slog.LevelError
		p.open++
		if p.kind == nil {
			p.kind = map[Kind]int{}
		}
		p.kind[kind]++
	}
	p.log.Log(ctx, level, "finding", slog.String("corp", string(f.Corp)), slog.String("kind", string(f.Kind)), slog.String("object", f.Object),
		slog.String("state", string(f.State)), slog.String("sentence", f.Sentence))
	if len(p.Findings) < mostTold {
		p.Findings = append(p.Findings, f)
	} else {
		p.Untold++
	}
}

// late says whether the invocation's time is nearly up.
func (p *pass) late() bool { return !p.end.IsZero() && clock.Real().After(p.end) }

// rest waits for a second look.
func (p *pass) rest(ctx context.Context) error {
	t := time.NewTimer(p.second)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// alarm opens an alarm for each kind of what stays open. Only a check from end to end can close one.
func (p *pass) alarm(ctx context.Context) error {
	rows, err := p.ledger.Alarms(ctx, p.corp)
	if err != nil {
		return err
	}
	whole := p.from == "" && p.Next == ""
	now := p.now()
	name := func(k Kind) string { return string(report.Unaccounted) + ":" + string(k) }
	for _, k := range kinds {
		i := slices.IndexFunc(rows, func(a ledger.Alarm) bool { return a.Cause == name(k) })
		a := ledger.Alarm{Corp: p.corp, Cause: name(k)}
		if i >= 0 {
			a = rows[i]
		}
		switch n := p.kind[k]; {
		case n > 0:
			if !a.Open {
				a.Open, a.Since, a.Over = true, now, time.Time{}
			}
			a.Seen, a.Affected = now, n
		case a.Open && whole && p.over(k, a):
			a.Open, a.Over = false, now
		default:
			continue
		}
		if err := p.ledger.PutAlarm(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// over says whether a check from end to end that has not found a thing again has looked where it would be found.
func (p *pass) over(k Kind, a ledger.Alarm) bool {
	switch k {
	case MediaMissing:
		return !p.cut
	case MediaAltered:
		// A night reads one attachment in sixteen. At the turn of the year a sixteenth may wait for twice as long.
		return p.full && !p.cut || p.now().Sub(a.Seen) > 2*nights*24*time.Hour
	default:
		return true
	}
}

// kinds are those that can stay open.
var kinds = []Kind{
	BatchMissing, BatchAltered, BatchWrittenOver, RowMissing, RowAltered, ChainBroken, SegmentMissing, SegmentAltered, SeqMissing, MediaMissing, MediaAltered, Gap, TwoTexts,
}
