package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// pollEvery is the poll interval of the template, at which delay is measured.
const pollEvery = 5 * time.Second

// aMillion is how far the disturbing corp is always behind.
const aMillion = 1_000_000

// delay measures how long after it was sent a message's row can be read, with polls of five seconds: alone, and while one corp hangs and another
// is far behind.
func (b *bench) delay(ctx context.Context) (err error) {
	p, err := b.open(ctx, "delay", pollEvery.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	live, err := p.add(ctx, "wwlive")
	if err != nil {
		return err
	}
	p.follow(ctx)
	line := b.part("delay", "messages", 0)
	defer line.Done()
	w := &watcher{bench: b, place: p, supply: live}
	// The first messages start the functions.
	if _, err := w.watch(ctx, 2*pollEvery); err != nil {
		return err
	}
	// What is to come: both measurements send so many a second.
	line.Set(0, int64(2*b.options.watch.Seconds()*perSecond))
	line.Note("alone")
	alone, err := w.watch(ctx, b.options.watch)
	if err != nil {
		return err
	}
	b.set("delay-p50", part(alone, 50))
	b.set("delay-p99", part(alone, 99))
	b.say("delay alone: half within %.2f s, 99 of 100 within %.2f s, the longest %.2f s, of %d messages", part(alone, 50), part(alone, 99), part(alone, 100), len(alone))
	line.Note("while one corp hangs and another is far behind")
	disturbed, err := b.disturbed(ctx, p, w)
	if err != nil {
		return err
	}
	b.set("delay-p99-disturbed", part(disturbed, 99))
	b.say("delay disturbed: half within %.2f s, 99 of 100 within %.2f s, the longest %.2f s, of %d messages", part(disturbed, 50), part(disturbed, 99), part(disturbed, 100), len(disturbed))
	return nil
}

// disturbed measures once more with two corps that are trouble.
func (b *bench) disturbed(ctx context.Context, p *place, w *watcher) ([]time.Duration, error) {
	hung, err := p.add(ctx, "wwhung")
	if err != nil {
		return nil, err
	}
	behind, err := p.add(ctx, "wwbehind")
	if err != nil {
		return nil, err
	}
	pool, err := b.wecom.seal(5000, func(i int) letter { return text(i+1, clock.Now()) })
	if err != nil {
		return nil, err
	}
	b.wecom.mu.Lock()
	hung.hangs, behind.endless, behind.items = true, true, pool
	b.wecom.mu.Unlock()
	// The next invocation finds them; until it does nothing is disturbed.
	if err := p.fetched(ctx, "wwbehind", 10_000); err != nil {
		return nil, err
	}
	before, err := p.ledger.Cursor(ctx, "wwbehind")
	if err != nil {
		return nil, err
	}
	delays, err := w.watch(ctx, b.options.watch)
	if err != nil {
		return nil, err
	}
	after, err := p.ledger.Cursor(ctx, "wwbehind")
	if err != nil {
		return nil, err
	}
	stuck, err := p.ledger.Cursor(ctx, "wwhung")
	if err != nil {
		return nil, err
	}
	if after.Seq <= before.Seq || stuck.Seq != 0 {
		return nil, fmt.Errorf("the disturbance was none: the corp that is behind went from %v to %v, the one that hangs stands at %v", before.Seq, after.Seq, stuck.Seq)
	}
	b.note("meanwhile %d messages of the corp that is behind were fetched; its backlog has no end, so it was more than %d behind throughout", after.Seq-before.Seq, aMillion)
	return delays, nil
}

// watcher sends messages and looks for their rows.
type watcher struct {
	*bench
	place  *place
	supply *supply
	total  int
}

// perSecond is how many messages the watched corp sends.
const perSecond = 5

// watch sends messages for so long and returns the delay of each.
func (w *watcher) watch(ctx context.Context, d time.Duration) ([]time.Duration, error) {
	type waiting struct {
		message archive.Message
		sent    time.Time
	}
	var open []waiting
	var delays []time.Duration
	send := time.NewTicker(time.Second / perSecond)
	defer send.Stop()
	look := time.NewTicker(25 * time.Millisecond)
	defer look.Stop()
	end := clock.Real().Add(d)
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-send.C:
			if clock.Real().After(end) {
				send.Stop()
				continue
			}
			w.total++
			l := text(w.total, clock.Now())
			m, item, err := w.wecom.told("wwlive", l)
			if err != nil {
				return nil, err
			}
			m.Seq = w.wecom.publish(w.supply, [][]byte{item})
			open = append(open, waiting{m, clock.Real()})
		case <-look.C:
			if len(open) == 0 {
				if clock.Real().After(end) {
					return delays, nil
				}
				continue
			}
			if clock.Real().Sub(open[0].sent) > patience {
				return nil, fmt.Errorf("a message can't be queried after %v", patience)
			}
			// Rows come in the order of their messages.
			oldest := open[:min(100, len(open))]
			messages := make([]archive.Message, len(oldest))
			for i, o := range oldest {
				messages[i] = o.message
			}
			missing, err := w.place.ledger.HasMessages(ctx, "", messages)
			if err != nil && !errors.Is(err, ledger.ErrAbsent) {
				return nil, err
			}
			now := clock.Real()
			open = slices.DeleteFunc(open, func(o waiting) bool {
				there := slices.ContainsFunc(messages, func(m archive.Message) bool { return m.Seq == o.message.Seq }) &&
					!slices.ContainsFunc(missing, func(m archive.Message) bool { return m.Seq == o.message.Seq })
				if there {
					w.line.Add(1)
					delays = append(delays, now.Sub(o.sent))
				}
				return there
			})
		}
	}
}

// part is the delay within which so many of 100 are, in seconds.
func part(delays []time.Duration, percent int) float64 {
	slices.Sort(delays)
	if len(delays) == 0 {
		return 0
	}
	return delays[min(len(delays)*percent/100, len(delays)-1)].Seconds()
}
