package main

import (
	"context"
	"errors"
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
	// races is how often a standing is made anew that another run has written meanwhile.
	races = 5

	// noonHour is the hour, in UTC, at which a report's day ends.
	noonHour = 12
	// lateFor is how long after a change was found reports still tell it, and two days more.
	lateFor = 16 * 24 * time.Hour
	// slowest is longer than it takes from the look at the clock until a row is there, or never will be: than any call of a function may last.
	slowest = time.Hour
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
		now := r.now()
		after := before.After(said, words, func(consent.Change) time.Time { return now })
		if before.Says(after) {
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
		return r.ledger.SettleFound(ctx, r.corp, after, r.late())
	}
	return err
}

// late says whether the report of the day that a change was found in may be made before the change's row is there, if that is written now.
func (r *record) late() func(found time.Time) bool {
	now := r.now()
	return func(found time.Time) bool {
		found = found.UTC()
		noon := time.Date(found.Year(), found.Month(), found.Day(), noonHour, 0, 0, 0, time.UTC)
		if !found.Before(noon) {
			noon = noon.AddDate(0, 0, 1)
		}
		return !now.Before(noon.Add(-slowest)) && now.Sub(found) < lateFor
	}
}
