package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// refresher brings the directory of every corp up to date.
//
// Order of effects, per corp: WeCom's answers into S3, write-once under their own hash; what departments and members were seen to be, the
// snapshot, and what follows (see settling); the other changed states; the wish that members who are gone be looked at alone, which alone tells in
// which way they went and may be lost. A crash before that leaves changes for the next run to find
// again. What could not be read stays as it was, and the snapshot says so: a failed or partial reading makes nobody vanish.
type refresher struct {
	glances glanceCache
	tokens  tokenCache
	jobs    *queue.Queue[queue.DirectoryJob]              // its own
	consent func(context.Context, queue.ConsentJob) error // has consent ask WeCom at once

	ledger *ledger.Ledger
	store  *objstore.Store
	vault  *secrets.Store
	server *wecom.Client
	log    *slog.Logger
	now    func() time.Time
	budget time.Duration // how long one corp's reading may take
	pause  time.Duration // before a call is tried again

	portion int // how many members are held in memory together; 0: manyMembers
	seek    int // how many members whom the lists lack are looked at alone by one reading; 0: as many as package reading has it

	metrics io.Writer
	stack   string

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
	for range races {
		if done, err := r.readAndWrite(ctx, corp); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("read the directory of corp %s: others read it all the time: %w", corp, ledger.ErrLost)
}

// readAndWrite reads a corp's directory once. Readings are recorded one after the other, in the order in which they began, each held against the one before
// it. One that others overtook is held against theirs; where they began later, and read as much, it has nothing to add and is left. done is false if it has
// to be made again.
func (r *refresher) readAndWrite(ctx context.Context, corp archive.CorpID) (done bool, err error) {
	newest, err := r.newest(ctx, corp)
	if err != nil {
		return false, err
	}
	at := r.now()
	if last := newest.latest.At; !at.After(last) {
		at = last.Add(time.Millisecond) // our clock was set, or two began at once
	}
	read, next, kept, err := r.read(ctx, corp, newest)
	if err != nil {
		return false, fmt.Errorf("read the directory of corp %s: %w", corp, err)
	}
	o := directory.Observation{Asked: at, Answered: r.now(), Reading: read}
	if o.Answered.Before(at) {
		o.Answered = at // our clock was set
	}
	s := ledger.Snapshot{Corp: corp, At: at, Until: o.Answered}
	if len(kept) > 0 {
		object, err := r.store.PutBlob(ctx, reading.AnswersKey(corp, kept), "application/gzip", kept)
		if err != nil {
			return false, err
		}
		s.Object, s.Version = object.Key, object.VersionID
	}
	slices.SortStableFunc(read.Members, func(a, b directory.ReadMember) int { return cmp.Compare(a.ID, b.ID) }) // as portions take them
	for range races {
		s.Counts = directory.Counts{Parts: read.Parts, Next: next}
		gone, err := r.write(ctx, newest, &s, o)
		if !errors.Is(err, errOvertaken) {
			if err = errors.Join(err, r.lookAfter(ctx, corp, gone)); err == nil {
				r.report(ctx, s)
			}
			return err == nil, err
		}
		if newest, err = r.newest(ctx, corp); err != nil {
			return false, err
		}
		if !newest.latest.At.Before(at) {
			r.log.InfoContext(ctx, "overtaken", slog.String("corp", string(corp)))
			return covers(newest.latest.Counts, s.Counts), nil
		}
	}
	return false, nil
}

// errOvertaken says that another reading was recorded after the one that this one was held against.
var errOvertaken = errors.New("another reading was recorded meanwhile")

// covers says whether a reading is complete wherever another is.
func covers(a, b directory.Counts) bool {
	for part, o := range b.Parts {
		if o.Complete && !a.Parts[part].Complete {
			return false
		}
	}
	return true
}

// mostVanished is how many members that a list lacks are looked at alone: where a whole part of the company goes out of view, which it is of each does not
// matter.
const mostVanished = 200

// lookAfter has the members that the lists lack now looked at alone: WeCom says of each in which way it went. A wish that is lost leaves that open.
func (r *refresher) lookAfter(ctx context.Context, corp archive.CorpID, gone []directory.Entry) error {
	for _, e := range gone {
		if err := r.jobs.Send(ctx, corp, queue.DirectoryJob{Corp: corp, Kind: e.Kind, ID: e.ID, Again: true}); err != nil {
			return fmt.Errorf("have members of corp %s looked at who are gone: %w", corp, err)
		}
	}
	return nil
}

// write records what a reading of the whole directory says: of departments and members as settling does, of the others as states alone. It counts the changes in
// the snapshot, and gives members whom the lists lack now.
func (r *refresher) write(ctx context.Context, newest known, s *ledger.Snapshot, o directory.Observation) (gone []directory.Entry, err error) {
	settling, err := r.settling(ctx, s.Corp, o)
	if err != nil {
		return nil, err
	}
	again := leftover{map[who]bool{}, map[int64][]who{}}
	if len(newest.unsettled) > 0 {
		if newest, err = r.adopt(ctx, s.Corp, newest, o); err != nil {
			return nil, err
		}
		err := r.portions(ctx, s.Corp, newest, o, func(p portion) error { return settling.touched(ctx, p.held, newest.unsettled, again) })
		if err != nil {
			return nil, err
		}
	}
	var others []directory.Entry
	all, singles := batch{most: 2 * r.together()}, []who(nil)
	err = r.portions(ctx, s.Corp, newest, o, func(p portion) error {
		changes, err := p.changes()
		if err != nil {
			return err
		}
		s.Counts.Changed += len(changes)
		for _, e := range changes {
			if !followed(e.Kind) {
				others = append(others, e)
			}
			if e.Gone {
				s.Counts.Gone++
				if e.Kind == directory.KindMember && len(gone) < mostVanished {
					gone = append(gone, e)
				}
			}
		}
		some := compare(p.held, changes, p.o, again.who)
		singles = append(singles, alone(some)...)
		if err := settling.keepLooks(ctx, some); err != nil {
			return err
		}
		all.add(some)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = r.ledger.RecordSnapshot(ctx, *s, newest.latest)
	if errors.Is(err, ledger.ErrLost) {
		return nil, errOvertaken
	}
	if err == nil && all.n+len(others) > 0 {
		err = r.ledger.PutSnapshot(ctx, *s)
	}
	if err != nil {
		return nil, err
	}
	if all.n <= all.most {
		err = settling.follow(ctx, all.kept)
	} else {
		err = r.portions(ctx, s.Corp, newest, o, func(p portion) error {
			changes, err := p.changes()
			if err != nil {
				return err
			}
			some := compare(p.held, changes, p.o, again.who)
			if err := settling.keptLooks(ctx, some, all.blank); err != nil {
				return err
			}
			return settling.follow(ctx, some)
		})
	}
	if err != nil {
		return nil, err
	}
	if len(others) > 0 {
		if err := r.ledger.PutEntries(ctx, s.Corp, others); err != nil {
			return nil, err
		}
	}
	if err := r.ledger.SettleHeads(ctx, s.Corp, slices.Concat(newest.Entries, newest.leaders)); err != nil {
		return nil, err
	}
	for _, earlier := range newest.unsettled {
		if err := r.settled(ctx, earlier, again.alone[earlier.At.UnixMilli()]); err != nil {
			return nil, err
		}
	}
	return gone, r.settled(ctx, *s, singles)
}

// settled records that all that follows from a snapshot is written.
func (r *refresher) settled(ctx context.Context, s ledger.Snapshot, alone []who) error {
	if err := r.record(ctx, s, alone); err != nil {
		return err
	}
	s.Settled = true
	return r.ledger.PutSnapshot(ctx, s)
}

// alone lists the entries of which an observation says something new that is taken from no complete list.
func alone(all []*news) []who {
	var list []who
	for _, n := range all {
		if brokenOff(n.looks) {
			list = append(list, who{n.Kind, n.ID})
		}
	}
	return list
}

// record keeps in S3 when a whole reading was made and what it counts for, so that with the answers the history can be made again. It is kept when all that
// follows from the reading is, or by the next run: what S3 has and what the ledger has comes to the same.
func (r *refresher) record(ctx context.Context, s ledger.Snapshot, alone []who) error {
	kept := reading.Record{Corp: s.Corp, Asked: s.At, Answered: s.Until, Object: s.Object, Version: s.Version, Counts: s.Counts}
	for _, w := range alone {
		kept.Alone = append(kept.Alone, reading.Who{Kind: w.kind, ID: w.id})
	}
	key, content, err := kept.Written()
	if err != nil {
		return err
	}
	_, err = r.store.PutBlob(ctx, key, "application/json", content)
	return err
}

func (r *refresher) report(ctx context.Context, s ledger.Snapshot) {
	attributes := []slog.Attr{slog.String("corp", string(s.Corp)), slog.Int("changed", s.Counts.Changed), slog.Int("gone", s.Counts.Gone)}
	level := slog.LevelInfo
	for part, o := range s.Counts.Parts {
		attributes = append(attributes, slog.Group(string(part), slog.Int("read", o.Read), slog.Bool("complete", o.Complete), slog.String("why", o.Why)))
		if !o.Complete && o.Why != reading.NotHeld {
			level = slog.LevelWarn
		}
	}
	r.log.LogAttrs(ctx, level, "directory", attributes...)
}

// known is what the ledger holds of a corp before a reading.
type known struct {
	reading.Known
	latest    ledger.Latest       // the reading that was recorded last: it was so before all else was read
	held      map[who]ledger.Held // the departments and members among the entries
	members   []string            // the userids of all members in their order, if these are too many to be among the entries
	leaders   []directory.Entry   // then, those of them who lead a department
	unsettled []ledger.Snapshot   // of which what follows may not be written
}

// hidden is for how long before the newest one it is looked for snapshots that are not settled. A run that died leaves one, and the next one settles it; those
// before have long been settled but for what an earlier version left behind.
const hidden = 48 * time.Hour

func (r *refresher) newest(ctx context.Context, corp archive.CorpID) (known, error) {
	k := known{held: map[who]ledger.Held{}}
	var err error
	if k.latest, err = r.ledger.LatestSnapshot(ctx, corp); err != nil {
		return k, err
	}
	if err := r.helds(ctx, corp, &k); err != nil {
		return k, err
	}
	err = r.ledger.Rooms(ctx, corp, func(id archive.RoomID) bool {
		k.Rooms = append(k.Rooms, id)
		return true
	})
	if err != nil {
		return k, err
	}
	err = r.ledger.Robots(ctx, corp, func(id archive.PartyID) bool {
		k.Robots = append(k.Robots, id)
		return true
	})
	if err != nil {
		return k, err
	}
	first, written := true, k.latest.Rev == 0
	err = r.ledger.Snapshots(ctx, corp, func(s ledger.Snapshot) bool {
		written = written || k.latest.Has(s)
		if first {
			k.Next, first = s.Counts.Next, false
			if k.latest.At.Before(s.At) {
				k.latest.At, k.latest.Counts = s.At, s.Counts // it was recorded by an earlier version
			}
		}
		if s.Until.IsZero() || s.At.Before(k.latest.At.Add(-hidden)) { // the former is of a version that kept no looks
			return false
		}
		if !s.Settled {
			k.unsettled = append(k.unsettled, s)
		}
		return true
	})
	members := k.latest.Counts.Parts[directory.PartMembers]
	k.Sought, k.Doubted, k.Most = members.Next, members.Why == reading.Missing, r.seek
	if err == nil && !written { // whoever recorded it died before its row was
		k.unsettled = append([]ledger.Snapshot{k.latest.Snapshot}, k.unsettled...)
		err = r.ledger.PutSnapshot(ctx, k.latest.Snapshot)
	}
	return k, err
}

// read asks WeCom with every secret that is held, and returns its answers too, packed.
func (r *refresher) read(ctx context.Context, corp archive.CorpID, k known) (read directory.Reading, next string, kept []byte, err error) {
	keeper, readers := reading.NewKeeper(), reading.Readers{}
	for _, kind := range []secrets.Kind{secrets.Archive, secrets.Contacts, secrets.Customer} {
		secret, err := r.vault.Secret(ctx, corp, kind)
		if errors.Is(err, secrets.ErrAbsent) {
			continue
		}
		if err != nil {
			return read, "", nil, err
		}
		tokens := r.server.Tokens(corp, func(context.Context) (string, error) { return secret.Reveal(), nil })
		readers[kind] = wecom.NewReader(tokens, r.pause, keeper.Of(kind))
	}
	keeper.Held(readers)
	budget, cancel := context.WithTimeout(ctx, r.budget)
	defer cancel()
	k.Keep = keeper
	read, next = reading.Gather(budget, readers, k.Known)
	if err := ctx.Err(); err != nil {
		return read, "", nil, err
	}
	if len(readers) == 0 {
		return read, next, nil, nil
	}
	kept, err = keeper.Bytes()
	return read, next, kept, err
}
