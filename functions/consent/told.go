package main

import (
	"context"
	"encoding/json"
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
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// begin is what the schedule and callback call: the schedule for everything, callback for what WeCom told of.
func (k *keeper) begin(ctx context.Context, input []byte) error {
	var told queue.ConsentJob
	if err := json.Unmarshal(input, &told); err != nil || told.Corp == "" {
		return k.run(ctx)
	}
	return k.told(ctx, told)
}

// told asks about one pair, or one group, because WeCom told of it. That it told is no answer: WeCom is asked, and where it does not answer, or not yet,
// the next round asks again.
func (k *keeper) told(ctx context.Context, t queue.ConsentJob) (err error) {
	defer fault.Catch(&err)
	ctx, cancel := context.WithTimeout(ctx, k.budget)
	defer cancel()
	kind := ledger.RoundOfRooms
	if t.Room == "" {
		kind = ledger.RoundOfPairs
	}
	last, err := k.lastRound(ctx, t.Corp, kind)
	if err != nil {
		return err
	}
	var asked error
	if t.Room == "" {
		asked, err = k.toldOfPair(ctx, t, last)
	} else {
		asked, err = k.toldOfRoom(ctx, t, last)
	}
	if err != nil {
		return fmt.Errorf("ask for consent in corp %s, of which WeCom told: %w", t.Corp, err)
	}
	level := slog.LevelInfo
	if asked != nil {
		level = slog.LevelWarn
	}
	k.log.LogAttrs(ctx, level, "consent told", slog.String("corp", string(t.Corp)), slog.String("of", kind), slog.String("why", because(asked)))
	return nil
}

func (k *keeper) lastRound(ctx context.Context, corp archive.CorpID, kind string) (ledger.Round, error) {
	return k.ledger.LastRound(ctx, corp, kind)
}

// toldOfPair asks about a member and an external contact. refused is why WeCom did not answer.
func (k *keeper) toldOfPair(ctx context.Context, t queue.ConsentJob, last ledger.Round) (refused, err error) {
	subject := consent.Subject{Member: t.Member, External: t.External}
	r := k.record(t.Corp)
	r.reader = wecom.NewReader(k.tokens.of(t.Corp, k), k.pause, r.hear)
	standing, err := k.ledger.StandingOf(ctx, t.Corp, subject)
	if err != nil {
		return nil, err
	}
	r.learn(subject)
	if standing.Rev > 0 {
		r.standings[subject.Key()], r.words[subject.Key()] = standing, standing.Messages // messages since are counted in by the next run
	}
	asked := r.now()
	list, _, refused := r.reader.SingleAgreements(ctx, []wecom.Pair{{Member: t.Member, External: t.External}})
	if errors.Is(refused, secrets.ErrAbsent) {
		return refused, nil
	}
	return refused, r.take(ctx, paired(list, nil, asked, r.now()), last) // that WeCom does not know it yet is no news
}

// toldOfRoom asks about a group into which somebody came, or which somebody left, and looks at the groups' alarms.
func (k *keeper) toldOfRoom(ctx context.Context, t queue.ConsentJob, last ledger.Round) (refused, err error) {
	r, err := k.record(t.Corp).afresh(ctx, t.Room)
	if err != nil {
		return nil, err
	}
	if err := r.strangers(ctx, r.rooms[t.Room].Members); err != nil {
		return nil, err
	}
	for name, s := range r.standings {
		r.words[name] = s.Messages // messages since are counted in by the next run
	}
	r.reader = wecom.NewReader(k.tokens.of(t.Corp, k), k.pause, r.hear)
	if !r.rooms[t.Room].gone {
		var said []consent.Statement
		said, refused = r.askRoom(ctx, t.Room)
		if !t.Listed {
			// The directory's list is of its last reading: one who came since then is not left out of it, and of one who left since then it says nothing.
			said = slices.DeleteFunc(said, func(s consent.Statement) bool { return s.Why == consent.LeftOut })
		}
		if err := r.take(ctx, said, last); err != nil {
			return refused, err
		}
	}
	return refused, r.alert(ctx)
}

// strangers finds out who among those who are in a room is not what the id looks like: a member whose userid looks like an external contact's, or the other way
// round.
func (r *record) strangers(ctx context.Context, ids []archive.PartyID) error {
	failed := make([]error, len(ids))
	var all sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for i, id := range ids {
		kind := directory.KindExternal
		if archive.ParseKind(id) == archive.KindExternal {
			kind = directory.KindMember
		}
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			defer fault.Catch(&failed[i])
			held, err := r.ledger.Held(ctx, r.corp, kind, string(id))
			if failed[i] = err; err != nil || held.Fields == "" {
				return
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if kind == directory.KindMember {
				r.members[id] = directory.Member{}
			} else {
				r.externals[id] = true
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// alert raises and closes the groups' alarms, and asks for a mail if there is news.
func (r *record) alert(ctx context.Context) error {
	news, err := r.groups(ctx)
	if err != nil {
		return fmt.Errorf("groups of corp %s: %w", r.corp, err)
	}
	if !news {
		return nil
	}
	return r.reports.Send(ctx, r.corp, queue.ReportJob{Corp: r.corp, Report: groupsBreach})
}

// paired is what WeCom's answer says about pairs; missing are those that it does not know.
func paired(list []wecom.Agreement, none []wecom.Pair, asked, answered time.Time) (said []consent.Statement) {
	for _, a := range list {
		said = append(said, consent.Statement{Subject: consent.Subject{Member: a.Member, External: a.External}, Source: consent.Poll,
			State: consent.ParseState(string(a.Status)), Since: a.Changed, Asked: asked, Answered: answered})
	}
	for _, p := range none {
		said = append(said, consent.Statement{Subject: consent.Subject{Member: p.Member, External: p.External}, Source: consent.Poll,
			Why: missing, Asked: asked, Answered: answered})
	}
	return said
}

// tokenCache keeps the access tokens for what WeCom tells, each of which is one call: WeCom counts how often it is asked for one. Safe for concurrent use.
type tokenCache struct {
	mu sync.Mutex
	by map[archive.CorpID]*wecom.Tokens
}

func (c *tokenCache) of(corp archive.CorpID, k *keeper) *wecom.Tokens {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[archive.CorpID]*wecom.Tokens{}
	}
	if c.by[corp] == nil {
		c.by[corp] = k.server.Tokens(corp, k.vault.Reader(corp, secrets.Archive))
	}
	return c.by[corp]
}
