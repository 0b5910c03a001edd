package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
)

const company archive.CorpID = "wwbench"

// rounds is how many parts the main measurement has. Between them bare RSA is measured, and growth compares the first with all.
const rounds = 10

// archive measures what one corp's messages cost on their way into the archive, and what is done with the archive then.
func (b *bench) archive(ctx context.Context) (err error) {
	p, err := b.open(ctx, "flow", pollEvery.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	s, err := p.add(ctx, company)
	if err != nil {
		return err
	}
	p.follow(ctx)
	total := 0
	for _, stage := range []struct {
		part string
		run  func(context.Context, *place, *supply, *int) error
	}{{"flow", b.flow}, {"catchup", b.catchUp}, {"fsck", b.fsck}, {"replay", b.replay}, {"media", b.media}} {
		if !b.wanted(stage.part) {
			continue
		}
		if err := stage.run(ctx, p, s, &total); err != nil {
			return fmt.Errorf("%s: %w", stage.part, err)
		}
		if stage.part == "flow" || stage.part == "catchup" {
			if err := b.memory(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// send publishes n messages more, sent at the given time and after, and returns the last's seq.
func (p *place) send(s *supply, total *int, n int, at func(i int) time.Time) (archive.Seq, error) {
	begin := *total
	items, err := p.wecom.seal(n, func(i int) letter { return text(begin+i+1, at(i)) })
	if err != nil {
		return 0, err
	}
	*total += n
	return p.wecom.publish(s, items), nil
}

// flow is the main measurement: what a message costs in fetch and process, beside bare RSA in the same minutes.
func (b *bench) flow(ctx context.Context, p *place, s *supply, total *int) error {
	var ratios []float64
	line := b.part("flow", "messages", b.n)
	defer line.Done()
	var used, first, all float64 // processor time; the last two in openings of a bare random key
	for round := range rounds {
		n := b.n / rounds
		if round == rounds-1 {
			n = b.n - *total
		}
		before, err := bare(p.wecom.key, time.Second)
		if err != nil {
			return err
		}
		fetch, process := b.meter.of("fetch"), b.meter.of("process")
		now := clock.Now()
		last, err := p.send(s, total, n, func(i int) time.Time { return now.Add(time.Duration(i) * time.Millisecond) })
		if err != nil {
			return err
		}
		began := clock.Real()
		fetched := p.fetchedTelling(ctx, company, last, func(at archive.Seq) { line.Set(int64(*total)-int64(last-at), int64(b.n)) }) // #nosec G115 -- messages of a round
		if err := errors.Join(fetched, p.idle(ctx)); err != nil {
			return err
		}
		took := clock.Real().Sub(began)
		cpu := (b.meter.of("fetch").CPU - fetch.CPU + b.meter.of("process").CPU - process.CPU).Seconds()
		after, err := bare(p.wecom.key, time.Second)
		if err != nil {
			return err
		}
		unit := (before + after).Seconds() / 2
		ratio := float64(n) * unit / cpu
		if round == 0 {
			first = cpu / unit
		}
		all += cpu / unit
		used += cpu
		ratios = append(ratios, ratio)
		b.sample("round-ratio", ratio)
		b.sample("round-rate", float64(n)/cpu)
		b.say("%d messages: %.0f a CPU-second, bare RSA %.0f, ratio %.3f, %.1f s", *total, float64(n)/cpu, 1/unit, ratio, took.Seconds())
	}
	if err := p.counted(ctx, company, *total); err != nil {
		return err
	}
	slices.Sort(ratios)
	b.set("ratio", (ratios[(rounds-1)/2]+ratios[rounds/2])/2)
	b.set("rate", float64(b.n)/used)
	b.set("growth", all/first)
	return nil
}

// memory states what the main measurement took of it.
func (b *bench) memory(ctx context.Context) error {
	empty, err := b.empty(ctx)
	if err != nil {
		return err
	}
	fetch, process := b.meter.of("fetch"), b.meter.of("process")
	b.set("empty-memory", megabytes(empty.peak))
	b.set("fetch-memory", megabytes(fetch.Peak-empty.peak))
	b.set("process-memory", megabytes(process.Peak-empty.peak))
	b.set("child-memory", megabytes(max(fetch.Inner, process.Inner)))
	whole := (fetch.CPU + process.CPU).Seconds() / 100
	b.say("of the processor time %.1f %% is fetch, %.1f %% the library's child (simulated), %.1f %% the kernel's work for process and %.1f %% for fetch",
		(fetch.CPU-fetch.Child).Seconds()/whole, (fetch.Child+process.Child).Seconds()/whole, process.Inside.Seconds()/whole, fetch.Inside.Seconds()/whole)
	return nil
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

// backlog are the messages of four days: of 10,000 people who write 30 a day.
const backlog = 4 * 10_000 * 30

// catchUp measures how fast what piled up in an outage of four days is safe in S3, and how fast it can be queried.
func (b *bench) catchUp(ctx context.Context, p *place, s *supply, total *int) error {
	n := max(b.n/5, 5000)
	line := b.part("catchup", "messages", n)
	defer line.Done()
	now := clock.Now()
	last, err := p.send(s, total, n, func(i int) time.Time { return now.Add(-96 * time.Hour * time.Duration(n-i) / time.Duration(n)) })
	if err != nil {
		return err
	}
	// The clock starts with the first batch: how long fetch rested before it is no matter of speed.
	if err := p.fetched(ctx, company, last-archive.Seq(n)+1); err != nil {
		return err
	}
	began := clock.Real()
	first, err := p.ledger.Cursor(ctx, company)
	if err != nil {
		return err
	}
	rest := float64(last - first.Seq)
	if rest < float64(n)/2 {
		return fmt.Errorf("half of %d messages were there at the first look: measure more of them", n)
	}
	if err := p.fetchedTelling(ctx, company, last, func(at archive.Seq) {
		line.Set(int64(n)-int64(last-at), int64(n)) // #nosec G115 -- messages of this part
	}); err != nil {
		return err
	}
	safe := clock.Real().Sub(began)
	if err := p.idle(ctx); err != nil {
		return err
	}
	all := clock.Real().Sub(began)
	b.say("four days' backlog: %d messages in S3 after %.1f s, to be queried after %.1f s", n, safe.Seconds(), all.Seconds())
	b.note("catching up is measured over %d messages and stated for %d", n, backlog)
	b.set("safe", safe.Minutes()*backlog/rest)
	b.set("caught-up", all.Minutes()*backlog/float64(n))
	return p.counted(ctx, company, *total)
}

// fsck measures the operator's check of everything.
func (b *bench) fsck(ctx context.Context, p *place, _ *supply, total *int) error {
	line := b.part("fsck", "seqs", *total)
	defer line.Done()
	began := clock.Real()
	seqs, from := 0, ""
	for {
		call, err := json.Marshal(map[string]any{"corp": company, "from": from, "full": true})
		if err != nil {
			return err
		}
		res, err := p.Host.Invoke(ctx, "FsckFunction", call)
		if err != nil {
			return err
		}
		var found struct {
			Findings []json.RawMessage `json:"findings"`
			Seqs     int               `json:"seqs"`
			Next     string            `json:"next"`
		}
		if err := json.Unmarshal(res.Payload, &found); err != nil || res.FunctionError != "" {
			return fmt.Errorf("fsck failed: %s", res.Payload)
		}
		if len(found.Findings) > 0 {
			return fmt.Errorf("fsck found %d things in an archive that should be whole, the first: %s", len(found.Findings), found.Findings[0])
		}
		seqs += found.Seqs
		line.Add(int64(found.Seqs))
		if from = found.Next; from == "" {
			break
		}
	}
	took := clock.Real().Sub(began).Seconds()
	if seqs != *total {
		return fmt.Errorf("fsck counted %d of %d messages", seqs, *total)
	}
	b.say("fsck: %d messages in %.1f s", seqs, took)
	b.set("fsck", float64(seqs)/took)
	return nil
}

// replay measures the rebuilding of the derived rows from segments, in a table of their own, and their comparison with the live ones.
func (b *bench) replay(ctx context.Context, p *place, _ *supply, total *int) error {
	line := b.part("replay", "", 0)
	defer line.Done()
	began := clock.Real()
	code, said, err := p.Operate(ctx, "replay", "-corp", string(company), "-from", "segments")
	if err != nil {
		return err
	}
	took := clock.Real().Sub(began).Seconds()
	if code != 0 {
		return fmt.Errorf("vaultctl replay ended with %d: %s", code, said)
	}
	b.say("replay from segments: %d messages in %.1f s", *total, took)
	b.set("replay", float64(*total)/took)
	return nil
}
