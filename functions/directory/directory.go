package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// refresher brings the directory of every corp up to date.
//
// Order of effects, per corp: WeCom's answers into S3, write-once under their own hash; what departments and members were seen to be, the
// snapshot, and what follows (see settling); the other changed states. A crash between any two leaves changes for the next run to find
// again. What could not be read stays as it was, and the snapshot says so: a failed or partial reading makes nobody vanish.
type refresher struct {
	glances glanceCache
	tokens  tokenCache
	jobs    *queue.Queue[queue.DirectoryJob] // its own

	ledger *ledger.Ledger
	store  *objstore.Store
	vault  *secrets.Store
	server *wecom.Client
	log    *slog.Logger
	now    func() time.Time
	budget time.Duration // how long one corp's reading may take
	pause  time.Duration // before a call is tried again

	rest func(ctx context.Context, receiptHandle string, d time.Duration) error // before a job comes back
}

// function is what the schedule and the queue call. What their events say of time does not matter: the directory is read as it is now.
func (r *refresher) function() lambdas.Function {
	return lambdas.Function{Log: r.log, Call: r.call, Pause: r.rest, Job: func(ctx context.Context, body string) error {
		job, err := queue.Decode[queue.DirectoryJob](body)
		if err != nil {
			return err
		}
		return r.reread(ctx, job)
	}}
}

// run refreshes every corp. The corps don't wait for each other: each is read in a time of its own.
func (r *refresher) run(ctx context.Context) error {
	corps, err := r.ledger.Corps(ctx)
	if err != nil {
		return err
	}
	failures := make([]error, len(corps))
	var all sync.WaitGroup
	for i, c := range corps {
		all.Go(func() { failures[i] = r.refresh(ctx, c.ID) })
	}
	all.Wait()
	return errors.Join(failures...)
}

// refresh reads one corp's directory and records what changed. That WeCom refuses is recorded in the snapshot and is no error; only our own
// stores' trouble is.
func (r *refresher) refresh(ctx context.Context, corp archive.CorpID) (err error) {
	defer fault.Catch(&err) // the others are read all the same
	at := r.now()
	newest, err := r.newest(ctx, corp)
	if err != nil {
		return err
	}
	read, kept, err := r.read(ctx, corp, newest)
	if err != nil {
		return fmt.Errorf("read the directory of corp %s: %w", corp, err)
	}
	o := directory.Observation{Asked: at, Answered: r.now(), Reading: read.Reading}
	if o.Answered.Before(at) {
		o.Answered = at // our clock was set
	}
	changes, err := directory.Compare(newest.entries, read.Reading, at)
	if err != nil {
		return fmt.Errorf("compare the directory of corp %s: %w", corp, err)
	}
	s := ledger.Snapshot{Corp: corp, At: at, Until: o.Answered, Counts: directory.Counts{Parts: read.Parts, Changed: len(changes), Next: read.stopped}}
	for _, e := range changes {
		if e.Gone {
			s.Counts.Gone++
		}
	}
	if len(kept) > 0 {
		key := objstore.DirectoryKey(corp, archive.HashHex(kept)[:32]+".jsonl.gz")
		object, err := r.store.PutBlob(ctx, key, "application/gzip", kept)
		if err != nil {
			return err
		}
		s.Object, s.Version = object.Key, object.VersionID
	}
	if err := r.write(ctx, newest, s, o, changes); err != nil {
		return err
	}
	r.report(ctx, s)
	return nil
}

// write records what a reading of the whole directory says: of departments and members as settling does, of the others as states alone.
func (r *refresher) write(ctx context.Context, newest known, s ledger.Snapshot, o directory.Observation, changes []directory.Entry) error {
	settling, err := r.settling(ctx, s.Corp, o)
	if err != nil {
		return err
	}
	again, err := settling.touched(ctx, newest.held, newest.unsettled)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(changes), func(e directory.Entry) bool { return followed(e.Kind) })
	all := compare(newest.held, changes, o, again)
	if len(all)+len(others) > 0 {
		if err := settling.settle(ctx, all, func() error { return r.ledger.PutSnapshot(ctx, s) }); err != nil {
			return err
		}
		if err := r.ledger.PutEntries(ctx, s.Corp, others); err != nil {
			return err
		}
	}
	if err := r.ledger.SettleHeads(ctx, s.Corp, newest.entries); err != nil {
		return err
	}
	s.Settled = true
	return r.ledger.PutSnapshot(ctx, s)
}

func (r *refresher) report(ctx context.Context, s ledger.Snapshot) {
	attributes := []slog.Attr{slog.String("corp", string(s.Corp)), slog.Int("changed", s.Counts.Changed), slog.Int("gone", s.Counts.Gone)}
	level := slog.LevelInfo
	for part, o := range s.Counts.Parts {
		attributes = append(attributes, slog.Group(string(part), slog.Int("read", o.Read), slog.Bool("complete", o.Complete), slog.String("why", o.Why)))
		if !o.Complete && o.Why != notHeld {
			level = slog.LevelWarn
		}
	}
	r.log.LogAttrs(ctx, level, "directory", attributes...)
}

// known is what the ledger holds of a corp before a reading.
type known struct {
	entries []directory.Entry
	rooms   []archive.RoomID  // that messages name
	robots  []archive.PartyID // likewise
	next    string            // the room at which the last reading ran out of time

	held      map[who]ledger.Held // the departments and members among entries
	unsettled []time.Time         // the newest snapshots, as long as what follows from them may not be written
}

func (r *refresher) newest(ctx context.Context, corp archive.CorpID) (known, error) {
	k := known{held: map[who]ledger.Held{}}
	err := r.ledger.Helds(ctx, corp, func(h ledger.Held) bool {
		k.entries = append(k.entries, h.Entry)
		if followed(h.Kind) {
			k.held[who{h.Kind, h.ID}] = h
		}
		return true
	})
	if err != nil {
		return k, err
	}
	err = r.ledger.Rooms(ctx, corp, func(id archive.RoomID) bool {
		k.rooms = append(k.rooms, id)
		return true
	})
	if err != nil {
		return k, err
	}
	err = r.ledger.Robots(ctx, corp, func(id archive.PartyID) bool {
		k.robots = append(k.robots, id)
		return true
	})
	if err != nil {
		return k, err
	}
	first := true
	err = r.ledger.Snapshots(ctx, corp, func(s ledger.Snapshot) bool {
		if first {
			k.next, first = s.Counts.Next, false
		}
		if s.Settled || s.Until.IsZero() { // the latter is of a version that kept no looks
			return false
		}
		k.unsettled = append(k.unsettled, s.At)
		return true
	})
	return k, err
}

// read asks WeCom with every secret that is held, and returns its answers too, packed.
func (r *refresher) read(ctx context.Context, corp archive.CorpID, k known) (*gathering, []byte, error) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	lines := json.NewEncoder(zip)
	lines.SetEscapeHTML(false)
	var unwritten error
	keep := func(a wecom.Answer) {
		if err := lines.Encode(a); err != nil && unwritten == nil {
			unwritten = err
		}
	}
	g := newGathering(k)
	for _, kind := range []secrets.Kind{secrets.Archive, secrets.Contacts, secrets.Customer} {
		secret, err := r.vault.Secret(ctx, corp, kind)
		if errors.Is(err, secrets.ErrAbsent) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		tokens := r.server.Tokens(corp, func(context.Context) (string, error) { return secret.Reveal(), nil })
		g.readers[kind] = wecom.NewReader(tokens, r.pause, keep)
	}
	budget, cancel := context.WithTimeout(ctx, r.budget)
	defer cancel()
	g.gather(budget)
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := zip.Close(); err != nil {
		unwritten = err
	}
	if unwritten != nil {
		return nil, nil, fmt.Errorf("pack WeCom's answers: %w", unwritten)
	}
	if len(g.readers) == 0 {
		return g, nil, nil
	}
	return g, packed.Bytes(), nil
}
