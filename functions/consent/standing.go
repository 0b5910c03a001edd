package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

const (
	// atOnce is how many subjects are written at the same time; each costs up to five calls.
	atOnce = 16
	// longest is how many changes a standing lists, the newest; older ones have their rows, which nothing can disprove any more.
	longest = 200
	// races is how often a standing is made anew that another run has written meanwhile.
	races = 5
)

func bySubject(a, b consent.Subject) int { return strings.Compare(a.Key(), b.Key()) }

// stand makes and writes where subjects stand. answers, by key of subject, are those that were just written.
func (r *record) stand(ctx context.Context, subjects []consent.Subject, answers map[string][]consent.Statement) error {
	failed := make([]error, len(subjects))
	var all sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for i, s := range subjects {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			defer fault.Catch(&failed[i])
			failed[i] = r.standOf(ctx, s, answers[s.Key()])
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

func (r *record) standOf(ctx context.Context, subject consent.Subject, answers []consent.Statement) error {
	name := subject.Key()
	r.mu.Lock()
	before, words := r.standings[name], r.words[name]
	r.mu.Unlock()
	before.Subject = subject
	said, err := answers, error(nil)
	for try := range races {
		if try > 0 {
			if before, err = r.ledger.StandingOf(ctx, r.corp, subject); err != nil {
				return err
			}
		}
		// Of a subject that is new nothing else was ever said.
		if before.Rev > 0 || words != "" || try > 0 {
			if said, err = r.ledger.Said(ctx, r.corp, subject); err != nil {
				return err
			}
		}
		after := standing(before, said, words, r.now())
		if same(before, after) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.standings[name] = before
			return nil
		}
		if after, err = r.ledger.PutStanding(ctx, r.corp, after); errors.Is(err, ledger.ErrLost) {
			continue
		}
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.standings[name] = after
		r.changed++
		r.mu.Unlock()
		return r.ledger.SettleStanding(ctx, r.corp, after)
	}
	return err
}

// standing is where a subject stands after all that was said about it. A change that was found before keeps when that was; one that does not follow
// any more is to be dropped.
func standing(before ledger.Standing, said []consent.Statement, words string, now time.Time) ledger.Standing {
	h := consent.Fold(before.Subject, said)
	after := ledger.Standing{Subject: before.Subject, State: h.State, Unread: h.Since, Messages: words, Rev: before.Rev}
	for _, s := range said {
		if s.Source == consent.Poll && s.Asked.After(after.Answer.Asked) {
			after.Answer = s
		}
	}
	if before.Subject.External == "" {
		return after // whether a room is shown is no change of anybody's consent
	}
	found := map[string]time.Time{}
	for _, c := range before.Changes {
		found[c.Key()] = c.Found
	}
	follows := map[string]bool{}
	for _, c := range h.Changes {
		follows[c.Key()] = true
		at, ok := found[c.Key()]
		if !ok {
			at = now.UTC().Truncate(time.Millisecond)
		}
		after.Changes = append(after.Changes, ledger.ConsentChange{Change: c, Found: at})
	}
	after.Changes = after.Changes[max(0, len(after.Changes)-longest):]
	for _, c := range append(slices.Clone(before.Changes), before.Drop...) {
		if !follows[c.Key()] {
			after.Drop = append(after.Drop, c)
		}
	}
	after.Owed = true
	return after
}

// same says whether a standing need not be written again. That WeCom said the same at another time is the round's to tell.
func same(before, after ledger.Standing) bool {
	return before.Rev > 0 && !before.Owed && before.State == after.State && before.Messages == after.Messages && before.Unread.Equal(after.Unread) &&
		!differs(before.Answer, after.Answer) && len(after.Drop) == 0 && slices.EqualFunc(before.Changes, after.Changes, func(a, b ledger.ConsentChange) bool {
		return a.Key() == b.Key() && a.Old == b.Old && a.Read.Equal(b.Read)
	})
}

// differs says whether an answer says something else than the one before.
func differs(before, now consent.Statement) bool {
	return before.Asked.IsZero() != now.Asked.IsZero() || before.State != now.State || before.Why != now.Why || !before.Since.Equal(now.Since)
}
