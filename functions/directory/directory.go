package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// refresher brings the directory of every corp up to date.
//
// Order of effects, per corp: WeCom's answers into S3, write-once under their own hash; the changed states; the snapshot. A crash between any
// two leaves changes for the next run to find again. What could not be read stays as it was, and the snapshot says so: a failed or
// partial reading makes nobody vanish.
type refresher struct {
	ledger *ledger.Ledger
	store  *objstore.Store
	vault  *secrets.Store
	server *wecom.Client
	log    *slog.Logger
	now    func() time.Time
	budget time.Duration // how long one corp's reading may take
	pause  time.Duration // before a call is tried again
}

// function is what the schedule calls. What its event says of time does not matter: the directory is read as it is now.
func (r *refresher) function() lambdas.Function {
	return lambdas.Function{Log: r.log, Call: r.call}
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
	changes, err := directory.Compare(newest.entries, read.Reading, at)
	if err != nil {
		return fmt.Errorf("compare the directory of corp %s: %w", corp, err)
	}
	s := ledger.Snapshot{Corp: corp, At: at, Counts: directory.Counts{Parts: read.Parts, Changed: len(changes), Next: read.stopped}}
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
	if err := r.ledger.PutEntries(ctx, corp, changes); err != nil {
		return err
	}
	if err := r.ledger.PutSnapshot(ctx, s); err != nil {
		return err
	}
	r.report(ctx, s)
	return nil
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
}

func (r *refresher) newest(ctx context.Context, corp archive.CorpID) (known, error) {
	var k known
	err := r.ledger.Entries(ctx, corp, "", func(e directory.Entry) bool {
		k.entries = append(k.entries, e)
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
	err = r.ledger.Snapshots(ctx, corp, func(s ledger.Snapshot) bool {
		k.next = s.Counts.Next
		return false
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
