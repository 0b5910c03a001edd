package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// forCustomers is which secrets are asked for rooms and external contacts, the one that shows most first: an app may be listed as one that can call for
// customers.
var forCustomers = []secrets.Kind{secrets.Customer, secrets.Contacts}

// rereadOutside looks at one room or external contact, because WeCom told of a change, and then has consent asked about it: whoever has come into a group
// without having agreed is alerted of within seconds, by his name and the group's, and to whom it concerns.
//
// Order of effects: WeCom's answers into S3; the states; the wish that consent ask. The job comes back until all is done. Where WeCom does not show the room,
// consent is asked all the same: it has answers of its own.
func (r *refresher) rereadOutside(ctx context.Context, job queue.DirectoryJob) error {
	w := who{job.Kind, job.ID}
	keeper := reading.NewKeeper()
	seen, err := r.askWith(ctx, forCustomers, job.Corp, w, keeper)
	if err != nil {
		return fmt.Errorf("look at a %s of corp %s again: %w", job.Kind, job.Corp, err)
	}
	var changes []directory.Entry
	shown := false
	for _, o := range seen {
		if shown = shows(o); shown {
			if changes, err = r.outsideChanges(ctx, job.Corp, w, o); err != nil {
				return err
			}
			keeper.Looked(reading.Who{Kind: w.kind, ID: w.id}, o, len(changes) > 0)
		}
	}
	if shown {
		if err := r.keep(ctx, job.Corp, keeper); err != nil {
			return err
		}
	}
	if len(changes) > 0 {
		if err := r.ledger.PutEntries(ctx, job.Corp, changes); err != nil {
			return err
		}
	}
	wish := queue.ConsentJob{Corp: job.Corp, Member: job.Follower, External: archive.PartyID(job.ID)}
	if job.Kind == directory.KindRoom {
		wish = queue.ConsentJob{Corp: job.Corp, Room: archive.RoomID(job.ID), Listed: shown}
	}
	if wish.Room != "" || wish.Member != "" {
		if err := r.consent(ctx, wish); err != nil {
			return err
		}
	}
	r.log.InfoContext(ctx, "told", slog.String("corp", string(job.Corp)), slog.String("kind", string(job.Kind)), slog.Bool("new", len(changes) > 0), slog.Bool("again", job.Again))
	if len(changes) > 0 || job.Again || len(seen) == 0 {
		return nil
	}
	job.Again = true
	return r.jobs.SendLater(ctx, job.Corp, job, lag)
}

// shows says whether a look showed what was looked at, or that it is no more.
func shows(o directory.Observation) bool { return len(o.Reading.Rooms)+len(o.Reading.Externals) > 0 }

// outsideChanges is which states a look at a room or contact changes.
func (r *refresher) outsideChanges(ctx context.Context, corp archive.CorpID, w who, o directory.Observation) ([]directory.Entry, error) {
	held := func(w reading.Who) (directory.Entry, error) {
		h, err := r.ledger.Held(ctx, corp, w.Kind, w.ID)
		return h.Entry, err
	}
	changes, err := reading.BecomeOutside(held, reading.Who{Kind: w.kind, ID: w.id}, o)
	if err != nil {
		return nil, fmt.Errorf("a look in corp %s: %w", corp, err)
	}
	return changes, nil
}
