package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/progress"
	"github.com/wecomvault/wecomvault/shared/queue"
)

func redrive(ctx context.Context, p *program, args []string) error {
	f := flags("redrive")
	id, reason := f.String("corp", "", ""), f.String("reason", "", "")
	version, wait := f.Uint("ver", 0, ""), f.Bool("wait", false, "")
	if err := parse(f, args); err != nil {
		return err
	}
	c, err := p.known(ctx, *id)
	if err != nil {
		return err
	}
	ver := archive.KeyVersion(*version) // #nosec G115 -- a version that is too large finds nothing
	n, err := p.countAside(ctx, c.ID, *reason, ver)
	if err != nil {
		return err
	}
	if n == 0 {
		_, err = fmt.Fprintln(p.out, "nothing that is set aside fits this")
		return err
	}
	if err := p.audit(ctx, "redrive", c.ID, *reason); err != nil {
		return err
	}
	if err := p.redrives.Send(ctx, c.ID, queue.RedriveJob{Corp: c.ID, Reason: *reason, KeyVersion: ver}); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(p.out, "%d items are put back to work\n", n); err != nil || !*wait {
		return err
	}
	return p.follow(ctx, c.ID, *reason, ver, patience)
}

func (p *program) countAside(ctx context.Context, corp archive.CorpID, reason string, ver archive.KeyVersion) (int, error) {
	n := 0
	groups, err := p.ledger.AsideGroups(ctx, corp)
	if err != nil {
		return 0, err
	}
	for _, g := range groups {
		if (reason == "" || g.First.Reason == reason) && (ver == 0 || g.First.KeyVersion == ver) {
			n += g.Count
		}
	}
	return n, nil
}

// How often what is set aside is counted while somebody waits, and after how long without a change there is nothing more to wait for: a function
// may be starting, or an item that hangs the library be tried again.
const (
	glance   = time.Second
	patience = time.Minute
)

// follow waits until what is set aside is open, or does not get less any more, and says which. Whoever stops it stops the waiting alone.
func (p *program) follow(ctx context.Context, corp archive.CorpID, reason string, ver archive.KeyVersion, patience time.Duration) error {
	began, err := p.countAside(ctx, corp, reason, ver)
	if err != nil {
		return err
	}
	line := p.progress("opening what was set aside", "items", int64(began))
	defer line.Done()
	left, changed := began, clock.Real()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for left > 0 && clock.Real().Sub(changed) < patience {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		n, err := p.countAside(ctx, corp, reason, ver)
		if err != nil {
			return err
		}
		if n != left {
			left, changed = n, clock.Real()
		}
		line.Set(int64(max(began-left, 0)), int64(began))
	}
	line.Done()
	if left == 0 {
		_, err = fmt.Fprintln(p.out, "nothing of it is set aside any more")
		return err
	}
	_, err = fmt.Fprintf(p.out, "%d of them are still set aside, and nothing has changed for %s: vaultctl set-aside -corp %s names them with their reasons, vaultctl doctor says whether work waits in a queue\n",
		left, progress.Span(patience), corp)
	return err
}

// progress tells on standard error how far a piece of work is. On a screen that shows the results at the same time it would tear them.
func (p *program) progress(what, unit string, total int64) *progress.Line {
	if progress.Terminal(p.out) && progress.Terminal(p.log) {
		return progress.New(io.Discard, what, unit, total)
	}
	return progress.New(p.log, what, unit, total)
}

// seqs counts what a corp's batches hold.
func (p *program) seqs(ctx context.Context, corp archive.CorpID) (int64, error) {
	n := int64(0)
	err := p.ledger.Batches(ctx, corp, "", func(b ledger.BatchRow) bool { n += int64(b.Items); return true })
	return n, err
}
