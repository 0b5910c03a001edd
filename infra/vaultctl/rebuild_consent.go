package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/reading"
)

// registrar makes the record of one corp's consent anew of WeCom's answers in the bucket and of what messages say, and holds the ledger's against it. Rounds of
// asking are not made anew: the next one takes half an hour.
type registrar struct {
	*program
	corp archive.CorpID
	mend bool

	said     map[string][]consent.Statement // all that was, by subject
	subjects map[string]consent.Subject
	words    map[string]string
	standing map[string]ledger.Standing // the ledger's
	changes  map[string]bool            // likewise, by found and key

	missing []consent.Statement // answers that the ledger lacks
	write   []ledger.Standing   // to be written over the ledger's
	owed    []ledger.Standing   // with changes whose rows the ledger lacks
	found   []dissent
}

// registered is the account of one corp's consent.
type registered struct {
	Corp        archive.CorpID `json:"corp"`
	Answers     int            `json:"answers"` // in the bucket
	Subjects    int            `json:"subjects"`
	Differences int            `json:"differences"`
	Mended      int            `json:"mended"`
	Seconds     float64        `json:"seconds"`
}

func rebuildConsent(ctx context.Context, p *program, args []string) error {
	f := flags("rebuild consent")
	id, mend := f.String("corp", "", ""), f.Bool("mend", false, "")
	if err := parse(f, args); err != nil {
		return err
	}
	all, err := p.corpsOf(ctx, *id)
	if err != nil {
		return err
	}
	open := 0
	for _, c := range all {
		if err := p.audit(ctx, "rebuild", c.ID, "consent"); err != nil {
			return err
		}
		r := &registrar{program: p, corp: c.ID, mend: *mend, said: map[string][]consent.Statement{}, subjects: map[string]consent.Subject{}, words: map[string]string{},
			standing: map[string]ledger.Standing{}, changes: map[string]bool{}}
		left, err := r.run(ctx)
		if err != nil {
			return fmt.Errorf("rebuild the record of consent of corp %s: %w", c.ID, err)
		}
		open += left
	}
	if open > 0 {
		return fmt.Errorf("%d differences", open)
	}
	return nil
}

func (r *registrar) note(kind, what, key string) {
	r.found = append(r.found, dissent{Corp: r.corp, Kind: kind, What: what, Key: key})
}

func (r *registrar) take(s consent.Statement) {
	name := s.Subject.Key()
	r.subjects[name] = s.Subject
	r.said[name] = append(r.said[name], s)
}

// rowOf is an answer as its row's key names it.
func rowOf(s consent.Statement) string {
	return fmt.Sprintf("%s %d %s", s.Subject.Key(), s.Asked.UnixMilli(), s.State)
}

func (r *registrar) run(ctx context.Context) (open int, err error) {
	began := clock.Real()
	answers, err := r.read(ctx)
	if err != nil {
		return 0, err
	}
	r.compare()
	state := "open"
	if r.mend {
		if err := r.put(ctx); err != nil {
			return 0, err
		}
		state = "mended"
	}
	lines := json.NewEncoder(r.out)
	lines.SetEscapeHTML(false)
	sum := registered{Corp: r.corp, Answers: answers, Subjects: len(r.subjects), Differences: len(r.found)}
	for _, d := range r.found {
		d.State = state
		if d.What == ledger.Extra && r.mend {
			d.State, d.Hint = "open", "only the ledger has it: it stays"
		} else if r.mend {
			sum.Mended++
		}
		if err := lines.Encode(d); err != nil {
			return 0, err
		}
	}
	sum.Seconds = float64(clock.Real().Sub(began).Milliseconds()) / 1000
	return sum.Differences - sum.Mended, lines.Encode(sum)
}

// read reads the bucket's answers and all that the ledger has, and says how many answers the bucket has.
func (r *registrar) read(ctx context.Context) (answers int, err error) {
	kept, there := map[string]consent.Statement{}, map[string]bool{}
	if err := reading.Consents(ctx, r.store, r.corp, func(s consent.Statement) { kept[rowOf(s)] = s }); err != nil {
		return 0, err
	}
	err = r.ledger.Answers(ctx, r.corp, func(s consent.Statement) bool {
		there[rowOf(s)] = true
		r.take(s)
		if _, ok := kept[rowOf(s)]; !ok {
			r.note("consent", ledger.Extra, rowOf(s))
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if !there[name] {
			r.note("consent", ledger.Missing, name)
			r.take(kept[name])
			r.missing = append(r.missing, kept[name])
		}
	}
	err = r.ledger.Choices(ctx, r.corp, func(s consent.Statement) bool {
		r.take(s)
		r.words[s.Subject.Key()] = ledger.Words(r.words[s.Subject.Key()], s)
		return true
	})
	if err != nil {
		return 0, err
	}
	var first, last time.Time
	err = r.ledger.Standings(ctx, r.corp, false, func(s ledger.Standing) bool {
		r.standing[s.Subject.Key()] = s
		r.subjects[s.Subject.Key()] = s.Subject
		for _, c := range s.Changes {
			if first.IsZero() || c.Found.Before(first) {
				first = c.Found
			}
			if c.Found.After(last) {
				last = c.Found
			}
		}
		return true
	})
	if err != nil || first.IsZero() {
		return len(kept), err
	}
	return len(kept), r.ledger.ConsentChanges(ctx, r.corp, first, last.Add(time.Millisecond), func(c ledger.ConsentChange) bool {
		r.changes[changeOf(c)] = true
		return true
	})
}

func changeOf(c ledger.ConsentChange) string { return fmt.Sprint(c.Found.UnixMilli(), " ", c.Key()) }

// compare finds the subjects that stand otherwise than after all that was said. A change that is found only now counts as found when it was first known, and
// so tells nobody anything; one that consent may not have come to yet is news.
func (r *registrar) compare() {
	now := clock.Now()
	found := func(c consent.Change) time.Time {
		if ago := now.Sub(c.Read); ago >= 0 && ago < time.Hour {
			return now
		}
		return c.Read
	}
	for _, name := range slices.Sorted(maps.Keys(r.subjects)) {
		before := r.standing[name]
		before.Subject = r.subjects[name]
		after := before.After(r.said[name], r.words[name], found)
		if before.Owed || before.Rev > 0 && before.Messages != after.Messages {
			continue // consent is at work on it, or was broken off, or has not counted a message in: it goes on with it
		}
		switch {
		case before.Says(after):
			lacks := func(c ledger.ConsentChange) bool { return !r.changes[changeOf(c)] }
			if slices.ContainsFunc(before.Changes, lacks) {
				r.note("consentchange", ledger.Missing, name)
				before.Owed = true
				r.owed = append(r.owed, before)
			}
			continue
		case before.Rev == 0:
			r.note("consentnow", ledger.Missing, name)
		default:
			r.note("consentnow", ledger.Altered, name)
		}
		r.write = append(r.write, after)
	}
}

// put writes what the ledger lacks: the answers before what follows from them.
func (r *registrar) put(ctx context.Context) error {
	if err := r.ledger.PutAnswers(ctx, r.corp, r.missing); err != nil {
		return err
	}
	for _, s := range r.write {
		s, err := r.ledger.PutStanding(ctx, r.corp, s)
		if err != nil {
			return err
		}
		r.owed = append(r.owed, s)
	}
	for _, s := range r.owed {
		if err := r.ledger.SettleStanding(ctx, r.corp, s); err != nil {
			return err
		}
	}
	return nil
}
