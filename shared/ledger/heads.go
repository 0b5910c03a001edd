package ledger

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// wholeIndex is the sort key of the row that says that a corp's index of heads was once compared with all of its members. Until then it may lack some,
// and nobody may go by it.
const wholeIndex = "whole"

func headSK(id string) string { return "member#" + id }

// leads says whether a member has the role of a head of department by its own state. Who is named by a department alone is found by the department.
func leads(e directory.Entry) (bool, error) {
	if e.Kind != directory.KindMember || e.Gone {
		return false, nil
	}
	m, err := directory.Parse[directory.Member](e.Fields)
	if err != nil {
		return false, fmt.Errorf("member %s: %w", e.ID, err)
	}
	return len(m.Leads) > 0 && m.Status != directory.StatusLeft, nil
}

// indexHeads brings the index of heads up to date for states that are about to be written. It comes before them: after a crash between, the states are
// written again, and the index with them.
func (l *Ledger) indexHeads(ctx context.Context, corp archive.CorpID, entries []directory.Entry) error {
	var put, drop []item
	for _, e := range entries {
		if e.Kind != directory.KindMember {
			continue
		}
		head, err := leads(e)
		if err != nil {
			return err
		}
		if head {
			put = append(put, entryRow(headPK(corp), headSK(e.ID), e))
		} else {
			drop = append(drop, key(headPK(corp), headSK(e.ID)))
		}
	}
	if err := l.write(ctx, l.tables.Directory, put); err != nil {
		return fmt.Errorf("heads of corp %s: %w", corp, err)
	}
	if err := l.erase(ctx, l.tables.Directory, drop); err != nil {
		return fmt.Errorf("heads of corp %s: %w", corp, err)
	}
	return nil
}

// indexHeld is indexHeads for one state. Who leads nothing and was never written before is in no index.
func (l *Ledger) indexHeld(ctx context.Context, corp archive.CorpID, h Held) error {
	if head, err := leads(h.Entry); err != nil || !head && h.Rev == 0 {
		return err
	}
	return l.indexHeads(ctx, corp, []directory.Entry{h.Entry})
}

// SettleHeads compares the index of a corp's heads of department with all of its members, mends it, and says from then on that it can be gone by. What
// two writers left undone between them, or an earlier version never began, is in order after it.
func (l *Ledger) SettleHeads(ctx context.Context, corp archive.CorpID, members []directory.Entry) error {
	indexed := map[string]directory.Entry{}
	whole := false
	err := l.each(ctx, l.tables.Directory, headPK(corp), bounds{consistent: true}, func(it item) bool {
		if getStr(it, "sk") == wholeIndex {
			whole = true
		} else {
			e := entryOf(it)
			indexed[e.ID] = e
		}
		return true
	})
	if err != nil {
		return err
	}
	var wrong []string
	for _, e := range members {
		if e.Kind != directory.KindMember {
			continue
		}
		head, err := leads(e)
		if err != nil {
			return err
		}
		if was, listed := indexed[e.ID]; listed != head || head && was.Fields != e.Fields {
			wrong = append(wrong, e.ID)
		}
		delete(indexed, e.ID)
	}
	if err := l.mendHeads(ctx, corp, append(wrong, slices.Sorted(maps.Keys(indexed))...)); err != nil {
		return err
	}
	if whole {
		return nil
	}
	return l.put(ctx, l.tables.Directory, key(headPK(corp), wholeIndex), "", nil)
}

// mendHeads indexes members by what is held of them now: what differs may have changed since the caller read it.
func (l *Ledger) mendHeads(ctx context.Context, corp archive.CorpID, ids []string) error {
	now := map[string]directory.Entry{}
	var wanted []item
	for _, id := range ids {
		now[id] = directory.Entry{Kind: directory.KindMember, ID: id, Gone: true} // unless there is such a member
		wanted = append(wanted, key(directoryPK(corp), entrySK(directory.KindMember, id)))
	}
	rows, err := l.fetch(ctx, l.tables.Directory, wanted)
	if err != nil {
		return fmt.Errorf("heads of corp %s: %w", corp, err)
	}
	for _, it := range rows {
		e := entryOf(it)
		now[e.ID] = e
	}
	entries := make([]directory.Entry, 0, len(ids))
	for _, id := range ids {
		entries = append(entries, now[id])
	}
	return l.indexHeads(ctx, corp, entries)
}

// Leadership is a corp's departments, and the members who may be head of one: what directory.Heads needs, without reading everybody. Where the index of
// heads was never compared with all members, all members are read.
func (l *Ledger) Leadership(ctx context.Context, corp archive.CorpID) ([]directory.Entry, error) {
	var entries []directory.Entry
	err := l.Entries(ctx, corp, directory.KindDepartment, func(e directory.Entry) bool { entries = append(entries, e); return true })
	if err != nil {
		return nil, err
	}
	whole, listed := false, map[string]bool{}
	var members []directory.Entry
	err = l.each(ctx, l.tables.Directory, headPK(corp), bounds{consistent: true}, func(it item) bool {
		if getStr(it, "sk") == wholeIndex {
			whole = true
			return true
		}
		e := entryOf(it)
		members, listed[e.ID] = append(members, e), true
		return true
	})
	if err != nil {
		return nil, err
	}
	if !whole {
		err := l.Entries(ctx, corp, directory.KindMember, func(e directory.Entry) bool { entries = append(entries, e); return true })
		return entries, err
	}
	var named []item
	for _, e := range entries {
		d, err := directory.Parse[directory.Department](e.Fields)
		if err != nil {
			return nil, fmt.Errorf("department %s of corp %s: %w", e.ID, corp, err)
		}
		for _, id := range d.Leaders {
			if !listed[string(id)] {
				listed[string(id)] = true
				named = append(named, key(directoryPK(corp), entrySK(directory.KindMember, string(id))))
			}
		}
	}
	rows, err := l.fetch(ctx, l.tables.Directory, named)
	if err != nil {
		return nil, fmt.Errorf("leaders of departments of corp %s: %w", corp, err)
	}
	for _, it := range rows {
		members = append(members, entryOf(it))
	}
	slices.SortFunc(members, func(a, b directory.Entry) int { return cmp.Compare(a.ID, b.ID) })
	return append(entries, members...), nil
}
