package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// Why a round broke off, or a subject has no answer, beside "errcode 301053" and the like.
const (
	notHeld   = "no secret"
	outOfTime = "out of time"
	noAnswer  = "no answer"
	oddAnswer = "odd answer"
	busy      = "errcode -1"
	missing   = "not known to WeCom"
)

// A pair that WeCom does not know costs a call of its own and many more to be found among others, so it is asked about once a day alone: in the run whose
// turn it is of as many as there are in a day.
const (
	runEvery  = 30 * time.Minute // the schedule, in the template
	runsInDay = int64(24 * time.Hour / runEvery)
)

// mostRefused is how many calls on end may be refused with codes that are about what was asked for, as far as we know them, before they count as being about us.
const mostRefused = 10

func because(err error) string {
	switch {
	case err == nil:
		return ""
	case wecom.CodeOf(err) != 0:
		return fmt.Sprintf("errcode %d", wecom.CodeOf(err))
	case errors.Is(err, wecom.ErrNoAnswer):
		return noAnswer
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return outOfTime
	default:
		return oddAnswer
	}
}

// pace keeps calls apart.
type pace struct {
	every time.Duration
	next  time.Time
	real  func() time.Time
}

// wait waits until the next call may be made.
func (p *pace) wait(ctx context.Context) error {
	if left := p.next.Sub(p.real()); left > 0 {
		t := time.NewTimer(left)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return ctx.Err()
}

// made counts calls that were made.
func (p *pace) made(calls int) {
	if now := p.real(); p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(calls) * p.every)
}

// ask makes a round about rooms and one about pairs. Rooms come first, for people are alerted by them; they leave the pairs a third of the time, so
// that neither waits for ever. Each goes on where the last of its kind stopped.
func (r *record) ask(ctx context.Context) ([]ledger.Round, error) {
	began := r.real()
	var rounds []ledger.Round
	for _, kind := range []string{ledger.RoundOfRooms, ledger.RoundOfPairs} {
		budget := r.budget * 2 / 3
		if kind == ledger.RoundOfPairs {
			budget = r.budget - r.real().Sub(began)
		}
		round, err := r.round(ctx, kind, budget)
		if err != nil {
			return nil, err
		}
		if err := r.ledger.PutRound(ctx, round); err != nil {
			return nil, err
		}
		rounds = append(rounds, round)
	}
	return rounds, nil
}

func (r *record) round(ctx context.Context, kind string, budget time.Duration) (ledger.Round, error) {
	last, err := r.lastRound(ctx, r.corp, kind)
	if err != nil {
		return last, err
	}
	round := ledger.Round{Corp: r.corp, Kind: kind, At: r.now(), From: last.Next, Next: last.Next}
	defer func() { round.Until = r.now() }()
	if r.reader == nil {
		round.Why = notHeld
		round.Until = r.now()
		return round, nil
	}
	limited, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if kind == ledger.RoundOfRooms {
		err = r.askRooms(ctx, limited, &round, last)
	} else {
		err = r.askPairs(ctx, limited, &round, last)
	}
	round.Until = r.now()
	return round, err
}

// turn is keys in order, from one on and round the end.
func turn(keys []string, from string) []string {
	slices.Sort(keys)
	i, _ := slices.BinarySearch(keys, from)
	return slices.Concat(keys[i:], keys[:i])
}

// askPairs asks about members and external contacts, as many in a call as WeCom takes.
func (r *record) askPairs(ctx, limited context.Context, round *ledger.Round, last ledger.Round) error {
	slot := r.now().Unix() / int64(runEvery/time.Second) % runsInDay
	var keys []string
	alone := map[string]bool{}
	for name, s := range r.subjects {
		if s.Member == "" {
			continue
		}
		if r.standings[name].Answer.Why == missing {
			if alone[name] = slotOf(name) == slot; !alone[name] {
				continue
			}
		}
		keys = append(keys, name)
	}
	keys = turn(keys, round.From)
	p, refused := pace{every: r.pairPace, real: r.real}, 0
	for len(keys) > 0 {
		n := 1
		for !alone[keys[0]] && n < min(len(keys), wecom.MostPairs) && !alone[keys[n]] {
			n++
		}
		some := keys[:n]
		pairs := make([]wecom.Pair, n)
		for i, name := range some {
			pairs[i] = wecom.Pair{Member: r.subjects[name].Member, External: r.subjects[name].External}
		}
		if err := p.wait(limited); err != nil {
			round.Next, round.Why = some[0], outOfTime
			return nil
		}
		before, asked := r.calls, r.now()
		list, none, err := r.reader.SingleAgreements(limited, pairs)
		p.made(max(1, r.calls-before))
		answered := r.now()
		said := paired(list, none, asked, answered)
		odd, wrong := err != nil && r.reader.Particular(err), len(none)
		if odd {
			rest := unanswered(pairs, said, because(err), asked, answered)
			said, wrong, refused = append(said, rest...), wrong+len(rest), refused+1
		} else {
			refused = 0
		}
		if bad := r.take(ctx, said, last); bad != nil {
			return bad
		}
		round.Asked, round.Wrong = round.Asked+len(said), round.Wrong+wrong
		if err != nil && !odd {
			round.Next, round.Why = some[0], because(err)
			return ctx.Err()
		}
		keys = keys[n:]
		if refused == mostRefused && len(keys) > 0 {
			round.Next, round.Why = keys[0], because(err)
			return nil
		}
	}
	round.Next = ""
	return nil
}

// unanswered says of pairs of which nothing is said yet that WeCom refused to answer about them.
func unanswered(pairs []wecom.Pair, said []consent.Statement, why string, asked, answered time.Time) (rest []consent.Statement) {
	for _, p := range pairs {
		subject := consent.Subject{Member: p.Member, External: p.External}
		if !slices.ContainsFunc(said, func(s consent.Statement) bool { return s.Subject == subject }) {
			rest = append(rest, consent.Statement{Subject: subject, Source: consent.Poll, Why: why, Asked: asked, Answered: answered})
		}
	}
	return rest
}

func slotOf(name string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return int64(h.Sum32()) % runsInDay
}

// askRooms asks about rooms with external contacts. Whether a room has any is not always known; of an internal one WeCom is not asked.
func (r *record) askRooms(ctx, limited context.Context, round *ledger.Round, last ledger.Round) error {
	rooms := map[string]archive.RoomID{}
	for id, known := range r.rooms {
		if known.Kind != directory.RoomInternal && !known.gone {
			rooms[consent.Subject{Room: id}.Key()] = id
		}
	}
	p, refused := pace{every: r.roomPace, real: r.real}, 0
	names := turn(slices.Collect(maps.Keys(rooms)), round.From)
	for i, name := range names {
		if err := p.wait(limited); err != nil {
			round.Next, round.Why = name, outOfTime
			return nil
		}
		before, asked := r.calls, r.now()
		said, err := r.askRoom(limited, rooms[name])
		p.made(max(1, r.calls-before))
		odd := err != nil && r.reader.Particular(err)
		if odd {
			said = []consent.Statement{{Subject: consent.Subject{Room: rooms[name]}, Source: consent.Poll, Why: because(err), Asked: asked, Answered: r.now()}}
			refused++
		} else {
			refused = 0
		}
		if err != nil && !odd {
			round.Next, round.Why = name, because(err)
			return ctx.Err()
		}
		if bad := r.take(ctx, said, last); bad != nil {
			return bad
		}
		round.Asked++
		if said[0].State == consent.Unknown {
			round.Wrong++
		}
		if refused == mostRefused && i+1 < len(names) {
			round.Next, round.Why = names[i+1], because(err)
			return nil
		}
	}
	round.Next = ""
	return nil
}

// askRoom is what WeCom answers about a room: of the room as a whole, whether it shows anything, and of each external contact. One whom the directory has in
// the room and the answer leaves out has not agreed yet.
func (r *record) askRoom(ctx context.Context, id archive.RoomID) ([]consent.Statement, error) {
	asked := r.now()
	list, err := r.reader.RoomAgreements(ctx, id)
	whole := consent.Statement{Subject: consent.Subject{Room: id}, Source: consent.Poll, State: consent.Shown, Asked: asked, Answered: r.now()}
	if wecom.RoomNotShown(err) {
		whole.State, whole.Why = consent.Unknown, because(err)
		return []consent.Statement{whole}, nil
	}
	if err != nil {
		return nil, err
	}
	said := []consent.Statement{whole}
	named := map[archive.PartyID]bool{}
	for _, a := range list {
		a.External = r.meant(id, a.External)
		named[a.External] = true
		s := whole
		s.Subject.External, s.State, s.Since = a.External, consent.ParseState(string(a.Status)), a.Changed
		said = append(said, s)
	}
	for _, member := range r.rooms[id].Members {
		if r.external(member) && !named[member] {
			s := whole
			s.Subject.External, s.State, s.Why = member, consent.NotYet, consent.LeftOut
			said = append(said, s)
		}
	}
	return said, nil
}

// meant is who in a room an answer names: he himself, or the one whose id differs by case alone.
func (r *record) meant(room archive.RoomID, id archive.PartyID) archive.PartyID {
	members := r.rooms[room].Members
	if slices.Contains(members, id) {
		return id
	}
	same := func(m archive.PartyID) bool { return strings.EqualFold(string(m), string(id)) }
	if i := slices.IndexFunc(members, same); i >= 0 && !slices.ContainsFunc(members[i+1:], same) {
		return members[i]
	}
	return id
}

// external says whether somebody in a room is not of this corp, and no robot.
func (r *record) external(id archive.PartyID) bool {
	_, member := r.members[id]
	return !member && (r.externals[id] || archive.ParseKind(id) == archive.KindExternal)
}

// hidden says whether WeCom, when it was asked last, showed nothing of a room, and that since a time: of who is in it the rounds since then say nothing.
func (r *record) hidden(room archive.RoomID, since time.Time) bool {
	whole := r.standings[consent.Subject{Room: room}.Key()].Answer
	return room != "" && whole.State == consent.Unknown && whole.Asked.After(since)
}

// take writes the answers that differ from those before, and where their subjects stand then.
func (r *record) take(ctx context.Context, said []consent.Statement, last ledger.Round) error {
	answers := map[string][]consent.Statement{}
	var write []consent.Statement
	var subjects []consent.Subject
	for _, s := range said {
		name := s.Subject.Key()
		before := r.standings[name].Answer
		if r.standings[name].Rev > 0 && !ledger.Differs(before, s) {
			continue
		}
		// Where WeCom does not say since when, the newest answer that said otherwise counts, and that was the last round's.
		if s.Since.IsZero() && before.State != consent.Unknown && last.Covers(name) && last.At.After(before.Asked) && !r.hidden(s.Subject.Room, before.Asked) {
			again := before
			again.Asked, again.Answered = last.At, last.Until
			answers[name] = append(answers[name], again)
		}
		answers[name] = append(answers[name], s)
		write = append(write, answers[name]...)
		subjects = append(subjects, s.Subject)
	}
	if err := r.prove(ctx, write); err != nil {
		return err
	}
	if err := r.ledger.PutAnswers(ctx, r.corp, write); err != nil {
		return err
	}
	slices.SortFunc(subjects, func(a, b consent.Subject) int {
		return cmp.Or(bySubject(a, b), strings.Compare(string(a.External), string(b.External)))
	})
	return r.stand(ctx, subjects, answers)
}
