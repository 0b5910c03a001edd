package main

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/check"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/telemetry"
	"github.com/wecomvault/wecomvault/shared/wire"
)

// Reasons for which an item is set aside before the library sees it.
const (
	noKey         fault.Reason = "no-key"           // no private key is held for its key version
	keyDoesNotFit fault.Reason = "key-does-not-fit" // the key held for its version does not open its random key
	badItem       fault.Reason = "unreadable-item"  // a field of the item is missing or of the wrong type
)

// decrypter is what process needs of a corp's library.
type decrypter interface {
	// Decrypt opens items whose random keys are opened already; the outcome of each is in its own place.
	Decrypt(ctx context.Context, items []financesdk.Item) ([]financesdk.Result, error)
}

// processor opens the items of a batch, maps and checks them, and stores what they became.
//
// Order of effects: the segment into S3, written once; the keys' proof; message rows, findings and waiting attachments, identical whenever they are written
// again; the attachments' jobs; set-aside rows, fenced by the batch's slot; the batch is done. A crash between any two leaves the
// batch pending, and the next run writes the same again.
type processor struct {
	ledger  *ledger.Ledger
	store   *objstore.Store
	media   *queue.Queue[queue.MediaJob]
	keys    *keyring
	library func(ctx context.Context, corp archive.CorpID) (decrypter, error)
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

// open takes items through the key, the library and the decoder. An error is our own trouble: the batch stays as it is.
func (p *processor) open(ctx context.Context, row ledger.BatchRow, items []archive.ChatData) (outcome, error) {
	if len(items) == 0 {
		return outcome{}, nil
	}
	reasons := make([]fault.Reason, len(items))
	randomKeys, err := p.unwrap(ctx, row.Corp, items, reasons)
	if err != nil {
		return outcome{}, err
	}
	var ready []financesdk.Item
	var places []int
	for i := range items {
		if reasons[i] == "" {
			ready = append(ready, financesdk.Item{Key: randomKeys[i], Msg: items[i].EncryptChatMsg})
			places = append(places, i)
		}
	}
	var results []financesdk.Result
	if len(ready) > 0 {
		library, err := p.library(ctx, row.Corp)
		if err != nil {
			return outcome{}, err
		}
		if results, err = decrypt(ctx, library, ready); err != nil {
			return outcome{}, fmt.Errorf("decrypt batch %s of corp %s: %w", row.Key(), row.Corp, err)
		}
	}
	messages := make([]archive.Message, len(items))
	for n, i := range places {
		if err := results[n].Err; err != nil {
			reasons[i] = fault.ReasonOf(err)
			continue
		}
		m, err := wire.Decode(row.Corp, items[i], results[n].Raw)
		if err != nil {
			reasons[i] = fault.ReasonOf(err)
			continue
		}
		messages[i] = m
	}
	var out outcome
	for i, item := range items {
		if reasons[i] == "" {
			out.opened = append(out.opened, archive.SegmentItem{Message: messages[i], Index: item.Index, Decoder: wire.Version})
			continue
		}
		out.aside = append(out.aside, ledger.Aside{
			Corp: row.Corp, Reason: string(reasons[i]), KeyVersion: item.KeyVersion, Seq: item.Seq, MsgID: item.MsgID, Batch: row.Key(), Index: item.Index,
			Since: clock.Now(), Clock: row.CaughtUp,
		})
	}
	return out, nil
}

// tries is how often an item is given to the library that answers with a code which says nothing about the item.
const tries = 3

// decrypt gives items to the library, and those that it answers with such a code again. If not one item has an outcome, the trouble is the
// library's and not the items': an error, and the batch stays as it is. An item that alone goes on so is set aside with its code and comes back
// with the redrives, so that it doesn't hold up its neighbours.
func decrypt(ctx context.Context, library decrypter, items []financesdk.Item) ([]financesdk.Result, error) {
	results, err := library.Decrypt(ctx, items)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		var again []int
		for i, r := range results {
			if r.Err != nil && fault.KindOf(r.Err) == fault.Retryable {
				again = append(again, i)
			}
		}
		switch {
		case len(again) == 0:
			return results, nil
		case try == tries && len(again) == len(items):
			return nil, results[again[0]].Err
		case try == tries:
			return results, nil
		}
		part := make([]financesdk.Item, len(again))
		for n, i := range again {
			part[n] = items[i]
		}
		more, err := library.Decrypt(ctx, part)
		if err != nil {
			return nil, err
		}
		for n, i := range again {
			results[i] = more[n]
		}
	}
}

// unwrap opens the random keys of items with the private keys of their versions, on all processors. An item that can't be opened gets a
// reason instead.
func (p *processor) unwrap(ctx context.Context, corp archive.CorpID, items []archive.ChatData, reasons []fault.Reason) ([][]byte, error) {
	keys := make([]*rsa.PrivateKey, len(items))
	absent := map[archive.KeyVersion]bool{} // after a rotation whole batches lack the same key: it is asked for once
	for i, item := range items {
		if item.Defect != "" {
			reasons[i] = badItem
			continue
		}
		if absent[item.KeyVersion] {
			reasons[i] = noKey
			continue
		}
		key, err := p.keys.of(ctx, corp, item.KeyVersion)
		if errors.Is(err, secrets.ErrAbsent) {
			reasons[i], absent[item.KeyVersion] = noKey, true
			continue
		}
		if err != nil {
			return nil, err
		}
		keys[i] = key
	}
	opened := make([][]byte, len(items))
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				block, err := base64.StdEncoding.DecodeString(items[i].EncryptRandomKey)
				if err != nil {
					reasons[i] = badItem
					continue
				}
				// WeCom encrypts with PKCS#1 v1.5 and offers nothing else. No padding oracle: nobody is told which item failed, or how fast.
				text, err := rsa.DecryptPKCS1v15(nil, keys[i], block) //nolint:staticcheck // see above
				if err != nil {
					reasons[i] = keyDoesNotFit
					p.keys.forget(corp, items[i].KeyVersion)
					continue
				}
				opened[i] = text
			}
		})
	}
	for i := range items {
		if keys[i] != nil {
			next <- i
		}
	}
	close(next)
	wg.Wait()
	return opened, nil
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
	messages := make([]archive.Message, len(opened))
	var findings []ledger.FindingRow
	var files []ledger.Waiting
	for i, o := range opened {
		messages[i] = o.Message
		for _, f := range check.Run(check.Rules(), o.Message) {
			findings = append(findings, ledger.FindingRow{Rule: f.Rule, Severity: string(f.Severity), Seq: f.Seq, MsgID: f.MsgID, Time: orElse(o.Message.Time, row.Pulled)})
		}
		for _, media := range o.Message.Media {
			files = append(files, ledger.Waiting{Corp: row.Corp, FileID: media.FileID, Clock: orElse(o.Message.Time, row.CaughtUp)})
		}
	}
	if err := p.ledger.PutMessages(ctx, row.Key(), messages, p.people); err != nil {
		return "", err
	}
	if err := p.ledger.PutFindings(ctx, row.Corp, findings); err != nil {
		return "", err
	}
	waiting, err := p.ledger.PutWaiting(ctx, row.Corp, files)
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

func orElse(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}

// prove records of the keys that opened these messages that they are the right ones: an item that one of them does not open is damaged, where
// under a key that never opened anything the key is to be doubted.
func (p *processor) prove(ctx context.Context, corp archive.CorpID, opened []archive.SegmentItem) error {
	for _, o := range opened {
		name := keyName(corp, o.Message.KeyVersion)
		if p.keys.isProven(name) {
			continue
		}
		known, err := p.ledger.ProveKey(ctx, corp, o.Message.KeyVersion)
		if err != nil {
			return err
		}
		if known { // its row is written after the key itself
			p.keys.proves(name)
		}
	}
	return nil
}

// keyring remembers private keys between invocations. That a version is absent is not remembered, nor a key that did not fit: it may
// have been added by mistake and replaced since.
type keyring struct {
	vault *secrets.Store

	mu     sync.Mutex
	held   map[string]*rsa.PrivateKey
	proven map[string]bool // their rows say so
}

func keyName(corp archive.CorpID, version archive.KeyVersion) string {
	return string(corp) + "\x00" + version.String()
}

func (k *keyring) isProven(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proven[name]
}

func (k *keyring) proves(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.proven == nil {
		k.proven = map[string]bool{}
	}
	k.proven[name] = true
}

func (k *keyring) forget(corp archive.CorpID, version archive.KeyVersion) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, keyName(corp, version))
}

func (k *keyring) of(ctx context.Context, corp archive.CorpID, version archive.KeyVersion) (*rsa.PrivateKey, error) {
	name := keyName(corp, version)
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.held[name]; ok {
		return key, nil
	}
	key, err := k.vault.Key(ctx, corp, version)
	if err != nil {
		return nil, err
	}
	if k.held == nil {
		k.held = map[string]*rsa.PrivateKey{}
	}
	k.held[name] = key
	return key, nil
}
