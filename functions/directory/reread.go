package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// WeCom tells of a change before each of its servers shows it. A look that finds nothing new is made once more after lag.
const lag = 30 * time.Second

// order is which secrets are asked for one entry, the one that shows most first.
var order = [...]secrets.Kind{secrets.Contacts, secrets.Archive, secrets.Customer}

// reread looks at one department or member, because WeCom told of a change. What it told is a hint of when; what is so now is read.
//
// Order of effects: WeCom's answers into S3; the looks; the events that follow; the state (see settling). The job comes back until all is
// written; what it then finds is as true.
func (r *refresher) reread(ctx context.Context, job queue.DirectoryJob) error {
	if job.Kind == directory.KindRoom || job.Kind == directory.KindExternal {
		return r.rereadOutside(ctx, job)
	}
	fresh := false
	for _, id := range []string{job.ID, job.NewID} {
		if id == "" {
			continue
		}
		keeper := reading.NewKeeper()
		if id == job.ID && job.Says != "" {
			keeper.Told(directory.Notice{Kind: job.Kind, ID: id, At: job.At, Says: job.Says, NewID: job.NewID})
		}
		found, err := r.rereadOne(ctx, job.Corp, who{job.Kind, id}, keeper)
		if err != nil {
			return fmt.Errorf("look at a %s of corp %s again: %w", job.Kind, job.Corp, err)
		}
		fresh = fresh || found
	}
	r.log.InfoContext(ctx, "told", slog.String("corp", string(job.Corp)), slog.String("kind", string(job.Kind)), slog.Bool("new", fresh), slog.Bool("again", job.Again))
	if fresh || job.Again {
		return nil
	}
	job.Again = true
	return r.jobs.SendLater(ctx, job.Corp, job, lag)
}

func (r *refresher) rereadOne(ctx context.Context, corp archive.CorpID, w who, keeper *reading.Keeper) (fresh bool, err error) {
	if !followed(w.kind) {
		return false, fault.Newf(fault.Permanent, "no-such-kind", "a %s is not looked at alone", w.kind)
	}
	held, err := r.ledger.Held(ctx, corp, w.kind, w.id)
	if err != nil {
		return false, err
	}
	seen, err := r.ask(ctx, corp, w, keeper)
	if err != nil {
		return false, err
	}
	n := &news{Held: held, state: held.Fields != "", marks: map[string]string{}}
	if n.Marks == nil {
		n.Marks = map[string]string{}
	}
	for _, o := range seen {
		looks, _ := o.Looks()
		fresh := false
		for _, l := range looks {
			if said(held, l) {
				continue
			}
			n.looks, fresh = append(n.looks, l), true
			n.Marks[lane("", l.Via)], n.Restless = markOf(l), true
		}
		keeper.Looked(reading.Who{Kind: w.kind, ID: w.id}, o, fresh)
		if err := n.becomes(held, o); err != nil {
			return false, err
		}
	}
	if err := r.keep(ctx, corp, keeper); err != nil {
		return false, err
	}
	if len(seen) == 0 {
		return false, nil
	}
	settling, err := r.settling(ctx, corp, directory.Observation{})
	if err != nil {
		return false, err
	}
	settling.alone = true
	// That there is none, of one who was not there, is what a server says that has not heard of it yet.
	shown := slices.ContainsFunc(n.looks, func(l directory.Look) bool { return l.Presence == directory.There })
	return shown || n.changed, settling.settle(ctx, []*news{n}, func() error { return nil })
}

// becomes changes the entry's state to what a look at it alone says.
func (n *news) becomes(held ledger.Held, o directory.Observation) error {
	after, changed, err := reading.Becomes(held.Entry, o)
	if changed {
		n.Entry, n.changed, n.state = after, true, true
	}
	return err
}

// ask looks at one entry with each secret in turn, until one shows it or says that there is none. A secret that sees only a part of the company
// may refuse what another shows, and is then heard too.
func (r *refresher) ask(ctx context.Context, corp archive.CorpID, w who, keeper *reading.Keeper) ([]directory.Observation, error) {
	return r.askWith(ctx, order[:], corp, w, keeper)
}

func (r *refresher) askWith(ctx context.Context, kinds []secrets.Kind, corp archive.CorpID, w who, keeper *reading.Keeper) ([]directory.Observation, error) {
	var seen []directory.Observation
	asked := r.now() // of all of them: what one hides and the next shows is of one time, and nobody was out of view in between
	for _, kind := range kinds {
		reader := wecom.NewReader(r.tokens.of(corp, kind, r), r.pause, keeper.Of(kind))
		o := directory.Observation{Asked: asked, Via: string(kind)}
		known, err := reading.One(ctx, reader, reading.Who{Kind: w.kind, ID: w.id}, &o)
		o.Answered = r.now()
		if o.Answered.Before(o.Asked) {
			o.Answered = o.Asked
		}
		if errors.Is(err, secrets.ErrAbsent) || wecom.Denied(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		seen = append(seen, o)
		if known {
			break
		}
	}
	return seen, nil
}

// keep keeps what a look at one entry was answered, and what WeCom had told of it.
func (r *refresher) keep(ctx context.Context, corp archive.CorpID, keeper *reading.Keeper) error {
	kept, err := keeper.Bytes()
	if err != nil {
		return err
	}
	_, err = r.store.PutBlob(ctx, reading.AgainKey(corp, kept), "application/gzip", kept)
	return err
}

// tokenCache keeps the access tokens of jobs, each of which makes one call or two: WeCom counts how often it is asked for one. Safe for
// concurrent use.
type tokenCache struct {
	mu sync.Mutex
	by map[archive.CorpID]map[secrets.Kind]*wecom.Tokens
}

func (c *tokenCache) of(corp archive.CorpID, kind secrets.Kind, r *refresher) *wecom.Tokens {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[archive.CorpID]map[secrets.Kind]*wecom.Tokens{}
	}
	if c.by[corp] == nil {
		c.by[corp] = map[secrets.Kind]*wecom.Tokens{}
	}
	if c.by[corp][kind] == nil {
		c.by[corp][kind] = r.server.Tokens(corp, r.vault.Reader(corp, kind))
	}
	return c.by[corp][kind]
}
