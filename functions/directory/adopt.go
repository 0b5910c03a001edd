package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/reading"
)

// adopt begins the states of the departments and members whom readings that are not settled were the first to show, and whom this one does not: whoever recorded
// those died before it came to that, and nobody else would ever miss them. All others follow from what is held, and from this reading. What those showed is read
// again of the answers that were kept.
func (r *refresher) adopt(ctx context.Context, corp archive.CorpID, k known, o directory.Observation) (known, error) {
	shown := map[who]bool{}
	for _, d := range o.Reading.Departments {
		shown[who{directory.KindDepartment, strconv.Itoa(d.ID)}] = true
	}
	for _, m := range o.Reading.Members {
		shown[who{directory.KindMember, string(m.ID)}] = true
	}
	for id := range o.Reading.Designated {
		shown[who{directory.KindMember, string(id)}] = true
	}
	lost := func(w who) bool {
		_, held := k.held[w]
		if !held && w.kind == directory.KindMember {
			_, held = slices.BinarySearch(k.members, w.id)
		}
		return !held && !shown[w]
	}
	states := map[who]directory.Entry{}
	for _, s := range slices.Backward(k.unsettled) { // the newest is the first
		read, err := r.readAgain(ctx, s)
		if err != nil {
			return k, err
		}
		read = only(read, lost)
		var newest []directory.Entry
		for _, e := range states {
			newest = append(newest, e)
		}
		changes, err := directory.Compare(newest, read, s.At)
		if err != nil {
			return k, fmt.Errorf("compare a directory: %w", err)
		}
		if changes, err = r.ledger.PutHistory(ctx, corp, changes); err != nil {
			return k, err
		}
		for _, e := range changes {
			states[who{e.Kind, e.ID}] = e
		}
	}
	writer, large := rand.Text(), len(k.members) > 0
	for w, e := range states {
		if err := r.ledger.PutHeld(ctx, corp, ledger.Held{Entry: e}, writer); err != nil && !errors.Is(err, ledger.ErrLost) {
			return k, err
		}
		h, err := r.ledger.Held(ctx, corp, w.kind, w.id) // somebody may have written it meanwhile
		if err != nil {
			return k, err
		}
		if large && w.kind == directory.KindMember {
			k.members = append(k.members, w.id)
			continue
		}
		k.Entries = append(k.Entries, h.Entry)
		k.held[w] = h
	}
	slices.Sort(k.members)
	return k, nil
}

// readAgain is the departments and members that a reading showed. Nothing, if what was kept of it can't be read: then it stays unknown who they were.
func (r *refresher) readAgain(ctx context.Context, s ledger.Snapshot) (directory.Reading, error) {
	if s.Object == "" {
		return directory.Reading{}, nil
	}
	kept, err := r.store.Get(ctx, objstore.Object{Key: s.Object})
	if err != nil && !errors.Is(err, objstore.ErrAbsent) && !errors.Is(err, objstore.ErrAltered) {
		return directory.Reading{}, err
	}
	if err == nil && reading.AnswersKey(s.Corp, kept) != s.Object {
		err = objstore.ErrAltered
	}
	var read directory.Reading
	if err == nil {
		read, err = reading.Replay(ctx, reading.Record{Corp: s.Corp, Asked: s.At, Answered: s.Until, Object: s.Object, Version: s.Version, Counts: s.Counts}, kept)
	}
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "a reading that was not settled can't be read again", slog.String("corp", string(s.Corp)), slog.Time("at", s.At), slog.String("error", err.Error()))
		return directory.Reading{}, nil
	}
	return read, ctx.Err()
}

// only is what a reading shows of some departments and members.
func only(read directory.Reading, some func(who) bool) directory.Reading {
	part := directory.Reading{Parts: map[directory.Part]directory.Outcome{}, Designated: map[archive.PartyID][]int{}}
	for _, p := range []directory.Part{directory.PartDepartments, directory.PartMembers, directory.PartDesignated} {
		part.Parts[p] = read.Parts[p]
	}
	for _, d := range read.Departments {
		if some(who{directory.KindDepartment, strconv.Itoa(d.ID)}) {
			part.Departments = append(part.Departments, d)
		}
	}
	for _, m := range read.Members {
		if some(who{directory.KindMember, string(m.ID)}) {
			part.Members = append(part.Members, m)
		}
	}
	for id, editions := range read.Designated {
		if some(who{directory.KindMember, string(id)}) {
			part.Designated[id] = editions
		}
	}
	return part
}
