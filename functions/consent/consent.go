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
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// keeper keeps the record of consent of every corp.
//
// What messages say is in rows that process writes with each message, since it follows from the message alone; the keeper counts it in at its next run,
// like an answer of WeCom's. So process needs no right to the record, and replay can make these rows again.
//
// Order of effects, per subject: WeCom's answer, if it differs from the one before: as it came, into S3, for whoever has to show it one day, and then as a row; where the subject stands, with the changes that it owes; the changes;
// that nothing is owed. Then the round, which says of all other subjects in it that WeCom said the same again; the groups' alarms; the wish for a
// mail. A crash between any two leaves an answer that is asked for again, or a debt that the next run pays first.
type keeper struct {
	tokens tokenCache

	ledger  *ledger.Ledger
	store   *objstore.Store
	vault   *secrets.Store
	server  *wecom.Client
	reports *queue.Queue[queue.ReportJob]
	log     *slog.Logger
	now     func() time.Time
	real    func() time.Time
	budget  time.Duration // how long one corp's asking may take
	pause   time.Duration // before a call is tried again

	pairPace, roomPace time.Duration // from one call to the next
}

// function is what the schedule calls, and callback. What an event says of time does not matter: consent is asked for as it is now.
func (k *keeper) function() lambdas.Function {
	return lambdas.Function{Log: k.log, Schedule: k.begin}
}

// run brings every corp's record up to date. The corps don't wait for each other: each has its own limits at WeCom, and a time of its own.
func (k *keeper) run(ctx context.Context) error {
	corps, err := k.ledger.Corps(ctx)
	if err != nil {
		return err
	}
	failures := make([]error, len(corps))
	var all sync.WaitGroup
	for i, c := range corps {
		all.Go(func() { failures[i] = k.keep(ctx, c.ID) })
	}
	all.Wait()
	return errors.Join(failures...)
}

// keep brings one corp's record up to date. That WeCom refuses is recorded in the round and is no error; only our own stores' trouble is.
func (k *keeper) keep(ctx context.Context, corp archive.CorpID) (err error) {
	defer fault.Catch(&err) // the others are kept all the same
	r, err := k.open(ctx, corp)
	if err != nil {
		return fmt.Errorf("read the record of consent of corp %s: %w", corp, err)
	}
	if err := r.payDebts(ctx); err != nil {
		return fmt.Errorf("changes of consent of corp %s: %w", corp, err)
	}
	if err := r.countWords(ctx); err != nil {
		return fmt.Errorf("count in what messages of corp %s say of consent: %w", corp, err)
	}
	rounds, err := r.ask(ctx)
	if err != nil {
		return fmt.Errorf("ask for consent of corp %s: %w", corp, err)
	}
	if err := r.alert(ctx); err != nil {
		return err
	}
	k.report(ctx, r, rounds)
	return nil
}

func (k *keeper) report(ctx context.Context, r *record, rounds []ledger.Round) {
	attributes := []slog.Attr{slog.String("corp", string(r.corp)), slog.Int("changed", r.changed)}
	level := slog.LevelInfo
	for _, round := range rounds {
		attributes = append(attributes, slog.Group(round.Kind, slog.Int("asked", round.Asked), slog.Int("not_shown", round.Wrong), slog.String("why", round.Why)))
		if round.Why != "" {
			level = slog.LevelWarn
		}
	}
	k.log.LogAttrs(ctx, level, "consent", attributes...)
}

// record is what is known of one corp while it is brought up to date. It is held in memory, about 300 bytes a subject: half a million subjects fit.
type record struct {
	*keeper
	corp    archive.CorpID
	reader  *wecom.Reader  // nil: the archive's secret is not held
	calls   int            // answers that WeCom gave
	answers []wecom.Answer // as they came, since the last that were taken
	changed int

	mu        sync.Mutex
	standings map[string]ledger.Standing
	words     map[string]string // by subject: names what messages say of it
	subjects  map[string]consent.Subject

	rooms     map[archive.RoomID]room
	members   map[archive.PartyID]directory.Member
	externals map[archive.PartyID]bool
	listed    time.Time // when the directory last read who is in which room

	only archive.RoomID // of which alone this is the record; "": of everything
}

// room is a room as the directory has it.
type room struct {
	directory.Room
	gone bool
	at   time.Time // since when it is so
}

// record is that of which nothing is known yet.
func (k *keeper) record(corp archive.CorpID) *record {
	return &record{keeper: k, corp: corp, standings: map[string]ledger.Standing{}, words: map[string]string{}, subjects: map[string]consent.Subject{},
		rooms: map[archive.RoomID]room{}, members: map[archive.PartyID]directory.Member{}, externals: map[archive.PartyID]bool{}}
}

// open reads what is known of a corp.
func (k *keeper) open(ctx context.Context, corp archive.CorpID) (*record, error) {
	r := k.record(corp)
	secret, err := k.vault.Secret(ctx, corp, secrets.Archive)
	switch {
	case err == nil:
		tokens := k.server.Tokens(corp, func(context.Context) (string, error) { return secret.Reveal(), nil })
		r.reader = wecom.NewReader(tokens, k.pause, r.hear)
	case !errors.Is(err, secrets.ErrAbsent):
		return nil, err
	}
	err = k.ledger.Standings(ctx, corp, false, func(s ledger.Standing) bool {
		r.standings[s.Subject.Key()] = s
		r.learn(s.Subject)
		return true
	})
	if err != nil {
		return nil, err
	}
	err = k.ledger.Choices(ctx, corp, func(s consent.Statement) bool {
		name := s.Subject.Key()
		r.words[name] = ledger.Words(r.words[name], s)
		r.learn(s.Subject)
		return true
	})
	if err != nil {
		return nil, err
	}
	return r, r.directory(ctx)
}

// learn adds a subject that can be asked about: one that was ever spoken of stays one.
func (r *record) learn(s consent.Subject) {
	if s.External == "" {
		return // a room as a whole
	}
	r.subjects[s.Key()] = s
}

// directory reads which pairs and rooms the directory and the archived messages name.
func (r *record) directory(ctx context.Context) error {
	type following struct {
		external  archive.PartyID
		followers []archive.PartyID
	}
	var follows []following
	var odd error
	err := r.ledger.Entries(ctx, r.corp, "", func(e directory.Entry) bool {
		switch e.Kind {
		case directory.KindMember:
			var m directory.Member
			if m, odd = directory.Parse[directory.Member](e.Fields); odd == nil {
				r.members[archive.PartyID(e.ID)] = m
			}
		case directory.KindExternal:
			r.externals[archive.PartyID(e.ID)] = true
			var x directory.External
			if x, odd = directory.Parse[directory.External](e.Fields); odd == nil && !e.Gone {
				follows = append(follows, following{archive.PartyID(e.ID), x.Followers})
			}
		case directory.KindRoom:
			known := room{gone: e.Gone, at: e.At}
			if known.Room, odd = directory.Parse[directory.Room](e.Fields); odd == nil {
				r.rooms[archive.RoomID(e.ID)] = known
			}
		case directory.KindDepartment, directory.KindRobot:
		}
		return odd == nil
	})
	if err := errors.Join(err, odd); err != nil {
		return err
	}
	for _, f := range follows {
		for _, id := range f.followers {
			// WeCom archives, and answers about, designated members alone.
			if m, known := r.members[id]; !known || m.Designated || !m.DesignatedKnown {
				r.learn(consent.Subject{Member: id, External: f.external})
			}
		}
	}
	err = r.ledger.Pairs(ctx, r.corp, func(member, external archive.PartyID) bool {
		r.learn(consent.Subject{Member: member, External: external})
		return true
	})
	if err != nil {
		return err
	}
	err = r.ledger.Rooms(ctx, r.corp, func(id archive.RoomID) bool {
		if _, known := r.rooms[id]; !known {
			r.rooms[id] = room{}
		}
		return true
	})
	if err != nil {
		return err
	}
	r.listed, err = r.roomsRead(ctx)
	return err
}

// roomsRead is when the directory last read who is in which room: zero if it never did. A reading in which WeCom did not answer of rooms shows nobody in one, and
// nobody out of one.
func (r *record) roomsRead(ctx context.Context) (time.Time, error) {
	s, _, err := r.ledger.NewestSnapshot(ctx, r.corp, func(s ledger.Snapshot) bool {
		o, kept := s.Counts.Parts[directory.PartRooms]
		single := s.Counts.Next != "" || o.Why == oddAnswer || o.Why == busy // the time was not enough for all, or one has no answer
		return !kept || o.Complete || o.Read > 0 && single
	})
	return s.At, err
}

// payDebts writes out the changes of standings that an earlier run did not come to write.
func (r *record) payDebts(ctx context.Context) error {
	for _, s := range r.standings {
		if err := r.ledger.SettleFound(ctx, r.corp, s, r.late()); err != nil {
			return err
		}
	}
	return nil
}

// countWords counts messages in that were archived since.
func (r *record) countWords(ctx context.Context) error {
	var due []consent.Subject
	for name, words := range r.words {
		if r.standings[name].Messages != words {
			due = append(due, r.subjects[name])
		}
	}
	slices.SortFunc(due, bySubject)
	return r.stand(ctx, due, nil)
}
