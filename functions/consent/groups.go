package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// groupsBreach is the report that tells of groups with members who have not agreed, as jobs name it.
const groupsBreach = "R6"

// Why a group's alarm is over. The words are kept as its detail, and report says them in full.
const (
	overAgreed    = "agreed"    // nobody is left who has not agreed
	overLeft      = "left"      // those who have not agreed are not in the group any more
	overDismissed = "dismissed" // there is no such group any more
)

// groups raises an alarm for each group with an external contact in it who disagreed or has not agreed yet, and closes those that are over. news says that
// report has something to tell, or may have.
//
// The alarm's beginning is when we found the first of the changes that make it, which is kept with them: two runs at once come to the same. A round takes minutes,
// and what WeCom told of a group meanwhile is not in this record: a group of which it would change anything is looked at afresh.
func (r *record) groups(ctx context.Context) (news bool, err error) {
	rows, err := r.ledger.Breaches(ctx, r.corp)
	if err != nil {
		return false, err
	}
	before, open := map[string]ledger.Alarm{}, r.breached()
	names := map[string]bool{}
	for _, a := range rows {
		if r.only != "" && a.Cause != string(r.only) {
			continue
		}
		before[a.Cause] = a
		names[a.Cause] = true
	}
	for name := range open {
		names[name] = true
	}
	now := r.now()
	var failures []error
	for name := range names {
		old, a, known := before[name], open[name], r
		if r.only == "" && (old.Open != a.Open || a.Open && (old.Detail != a.Detail || old.Affected != a.Affected)) {
			if known, err = r.afresh(ctx, archive.RoomID(name)); err != nil {
				failures = append(failures, err)
				continue
			}
			a = known.breached()[name]
		}
		switch {
		case a.Open && old.Open:
			a.Since = old.Since
		case a.Open && old.Over.After(a.Since):
			a.Since = now // it was over in between: somebody came back
		}
		switch {
		case a.Open:
			failures = append(failures, r.ledger.PutBreach(ctx, a))
			news = true
			continue
		case old.Open:
			old.Open, old.Seen, old.Over, old.Affected, old.Detail = false, now, now, 0, known.why(archive.RoomID(name))
			failures = append(failures, r.ledger.PutBreach(ctx, old))
		}
		news = news || old.Told != "" && old.Told != old.Fingerprint() || old.Lately(now) && len(old.ToldTo) > 0 // a mail may not have arrived
	}
	return news, errors.Join(failures...)
}

// breached is the alarms of the groups with somebody in them who has not agreed, by group, as far as this record knows.
func (r *record) breached() map[string]ledger.Alarm {
	now, open, who := r.now(), map[string]ledger.Alarm{}, map[string][]string{}
	for _, s := range r.standings {
		if !r.breaks(s) {
			continue
		}
		name := string(s.Subject.Room)
		a, known := open[name]
		if since := found(s); !known || since.Before(a.Since) {
			a.Since = since
		}
		a.Corp, a.Cause, a.Open, a.Seen = r.corp, name, true, now
		a.Affected++
		who[name] = append(who[name], string(s.Subject.External)+" "+string(s.State))
		open[name] = a
	}
	for name, a := range open {
		slices.Sort(who[name])
		a.Detail = archive.HashHex([]byte(strings.Join(who[name], "\n")))[:16]
		open[name] = a
	}
	return open
}

// afresh is what is known now of one group alone.
func (r *record) afresh(ctx context.Context, id archive.RoomID) (*record, error) {
	now := r.record(r.corp)
	now.only = id
	err := r.ledger.StandingsIn(ctx, r.corp, id, func(s ledger.Standing) bool {
		now.standings[s.Subject.Key()] = s
		return true
	})
	if err != nil {
		return nil, err
	}
	held, err := r.ledger.Held(ctx, r.corp, directory.KindRoom, string(id))
	if err != nil {
		return nil, err
	}
	if held.Fields != "" {
		known, err := directory.Parse[directory.Room](held.Fields)
		if err != nil {
			return nil, err
		}
		now.rooms[id] = room{Room: known, gone: held.Gone, at: held.At}
	}
	now.listed, err = now.roomsRead(ctx)
	return now, err
}

// found is when the state that a subject is in was found.
func found(s ledger.Standing) time.Time {
	if len(s.Changes) == 0 {
		return s.Answer.Answered
	}
	return s.Changes[len(s.Changes)-1].Found
}

// sameMoment is how long before WeCom's answer the directory may have found who is in a group, for the two to be of one moment.
const sameMoment = 30 * time.Second

// breaks says whether somebody is in a group now and has not agreed. One whom WeCom's answer left out counts once the directory has him in the group by a list
// that changed just before the answer, or by a later reading: he may have left a group that was listed long before the answer.
func (r *record) breaks(s ledger.Standing) bool {
	if s.Subject.Room == "" || s.Subject.External == "" || !s.State.Open() || !r.within(s.Subject) {
		return false
	}
	asked := s.Answer.Asked
	return s.State != consent.NotYet || s.Answer.Why != consent.LeftOut || r.listed.After(asked) || r.rooms[s.Subject.Room].at.After(asked.Add(-sameMoment))
}

// within says whether somebody is in a group, as far as is known: where the directory does not list who is in it, he is.
func (r *record) within(s consent.Subject) bool {
	known := r.rooms[s.Room]
	return !known.gone && (len(known.Members) == 0 || slices.Contains(known.Members, s.External))
}

// why says why the alarm of a group is over.
func (r *record) why(id archive.RoomID) string {
	if r.rooms[id].gone {
		return overDismissed
	}
	for _, s := range r.standings {
		if s.Subject.Room == id && s.State.Open() && !r.within(s.Subject) {
			return overLeft
		}
	}
	return overAgreed
}
