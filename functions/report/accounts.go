package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/identity"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/report"
)

// accounts says of each changed number when the record of that person got it, and which row of the company's own file still has the old one.
func (r *reporter) accounts(ctx context.Context, day *today, p *people, rows []report.NumberRow) error {
	if len(rows) == 0 {
		return nil
	}
	events, err := r.recent(ctx, day)
	if err != nil {
		return err
	}
	file, version, err := r.fileInForce(ctx, day.corp.ID)
	if err != nil {
		return err
	}
	for i := range rows {
		row := &rows[i]
		what := directory.MobileChanged
		if row.Old == "" {
			what = directory.MobileSet
		}
		if row.New != "" {
			e := directory.Event{Kind: directory.KindMember, ID: string(row.ID), What: what, Old: row.Old, New: row.New, After: row.When.After, By: row.When.By}
			row.Updated = identity.Updated(e, p.member(row.ID).fields(), events)
		}
		if held, ok := file.Holding(identity.Mobile, row.Old); ok {
			row.File = &report.FileLine{Version: version, Line: held.Line}
		}
	}
	return nil
}

// fileInForce is the company's own file about its people; version 0: it has none.
func (r *reporter) fileInForce(ctx context.Context, corp archive.CorpID) (file identity.File, version int, err error) {
	newest, ok, err := r.ledger.HRFileInForce(ctx, corp)
	if err != nil || !ok {
		return identity.File{}, 0, err
	}
	content, err := r.store.Get(ctx, objstore.Object{Key: newest.Object, VersionID: newest.Version})
	if err != nil {
		return identity.File{}, 0, err
	}
	file, problems := identity.Parse(content)
	if !identity.Usable(problems) { // it was checked before it was put into force
		return identity.File{}, 0, fmt.Errorf("version %d of the HR file of corp %s can't be read any more", newest.Number, corp)
	}
	return file, newest.Number, nil
}

// keptOfLeavers says until when at least what is archived of each is kept: what is archived is locked for so long from when it was kept, which is not before it was said.
func (r *reporter) keptOfLeavers(ctx context.Context, day *today, rows []report.DeletedRow) error {
	spans, err := r.archived(ctx, day, len(rows), func(i int) archive.PartyID { return rows[i].ID })
	for i, s := range spans {
		switch {
		case s.last.IsZero():
			rows[i].Nothing = true
		case r.keeping > 0:
			rows[i].KeptUntil = s.last.Add(r.keeping)
		}
	}
	return err
}

// asTheyWent tells of those who are there again what was known of them when they went: where they are now, and under which number, others may know.
func (r *reporter) asTheyWent(ctx context.Context, day *today, p *people, rows []report.DeletedRow) error {
	err := inParallel(len(rows), func(i int) error {
		row := &rows[i]
		if !row.Back {
			return nil
		}
		history, err := r.ledger.EntryHistory(ctx, day.corp.ID, directory.KindMember, string(row.ID))
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(history) {
			m, err := directory.Parse[directory.Member](e.Fields)
			if err != nil {
				return err
			}
			if e.Gone || m.Status == directory.StatusLeft || !e.At.Before(row.When.By) {
				continue
			}
			row.Person = report.Person{ID: row.ID, Name: m.Name, Departments: m.Departments, Places: departmentWords(m.Departments, p.names)}
			row.Mobile, row.MobileKnown = m.Mobile, m.Mobile != "" || m.MobileReadable
			row.Email, row.EmailKnown = m.Email, m.Email != "" || m.EmailReadable
			return nil
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("members of corp %s who came back: %w", day.corp.ID, err)
	}
	return nil
}

// unfinished is who joined before the day and is not captured yet for want of something that people do: those who joined in the last days, and those on WeCom's list,
// however long they are there, who never activated. Whom else to put on the list is the company's choice.
func (r *reporter) unfinished(ctx context.Context, day *today, p *people, told []report.NewRow) ([]report.NewRow, error) {
	events, err := r.recent(ctx, day)
	if err != nil {
		return nil, err
	}
	done := map[archive.PartyID]bool{}
	for _, row := range told {
		done[row.ID] = true
	}
	joined := map[archive.PartyID]report.Between{}
	for _, e := range events { // the last one counts
		if e.What == directory.Joined {
			joined[archive.PartyID(e.ID)] = report.BetweenOf(e)
		}
	}
	var rows []report.NewRow
	for i := range p.members {
		m := &p.members[i]
		id := archive.PartyID(m.id)
		when, isNew := joined[id]
		listed := m.designatedKnown && m.designated
		waits := m.status == directory.StatusNotActivated
		if done[id] || !m.here() || !(isNew && (waits || m.designatedKnown && !m.designated) || listed && waits) {
			continue
		}
		rows = append(rows, report.NewRow{
			Person: p.person(id), Joined: when, Status: report.Status(m.status), Mobile: m.mobile, MobileReadable: m.mobileReadable,
			Archiving: report.Archiving{Designated: m.designated, DesignatedKnown: m.designatedKnown, Email: m.email, EmailReadable: m.emailReadable},
		})
	}
	slices.SortFunc(rows, func(a, b report.NewRow) int { return cmp.Compare(a.ID, b.ID) })
	err = inParallel(len(rows), func(i int) error {
		if !rows[i].Joined.By.IsZero() {
			return nil
		}
		since, err := r.firstSeen(ctx, day, rows[i].ID)
		rows[i].Joined.By = since
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("members of corp %s who are not activated: %w", day.corp.ID, err)
	}
	return slices.DeleteFunc(rows, func(row report.NewRow) bool { return !row.Joined.By.Before(day.noon) }), nil // after the day: the next report's
}

// firstSeen is when a member was first seen to be there; whether it was before is not known.
func (r *reporter) firstSeen(ctx context.Context, day *today, id archive.PartyID) (time.Time, error) {
	history, err := r.ledger.EntryHistory(ctx, day.corp.ID, directory.KindMember, string(id))
	if err != nil || len(history) == 0 {
		return time.Time{}, err
	}
	return history[0].At, nil
}
