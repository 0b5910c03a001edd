package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/hrfile"
	"github.com/wecomvault/wecomvault/shared/identity"
)

// longestUserID is WeCom's limit, in bytes.
const longestUserID = 64

// personAnswer is a person as a list has it.
type personAnswer struct {
	UserID      archive.PartyID       `json:"userid"`
	Departments []int                 `json:"departments"` // within the caller's reach; of who is gone those last held
	Gone        bool                  `json:"gone"`
	Fields      []identity.FieldState `json:"fields"`
}

// recordAnswer is a person with all that was ever known.
type recordAnswer struct {
	personAnswer
	Values []identity.Stated `json:"values"`
	Rule   []identity.Source `json:"precedence"` // the source that goes before the others first
}

func personOf(r identity.Record, m directory.Member, gone bool, scope directory.Scope) personAnswer {
	out := personAnswer{UserID: r.UserID, Departments: []int{}, Gone: gone || m.Status == directory.StatusLeft, Fields: r.States()}
	for _, d := range m.Departments {
		if scope.HoldsDepartment(d) {
			out.Departments = append(out.Departments, d)
		}
	}
	return out
}

// listPeople lists who is, or was, in a department within the caller's reach, as far as the newest state tells.
func (a *api) listPeople(ctx context.Context, c *call) (answer, error) {
	p, err := pageOf(c.query, "people", c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	if p.After >= "\U0010ffff" {
		return answer{}, badCursor() // no userid begins so, and nothing follows
	}
	co, err := a.company(ctx, c)
	if err != nil {
		return answer{}, err
	}
	files, err := a.files.Versions(ctx, c.corp.ID, 1, "")
	if err != nil {
		return answer{}, err
	}
	looked, err := a.ledger.MembersRead(ctx, c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	list := []personAnswer{}
	last, next, seen := "", "", 0
	var bad error
	err = a.ledger.MembersAfter(ctx, c.corp.ID, p.After, func(e directory.Entry) bool {
		if len(list) == p.Limit || seen == a.membersRead {
			next = p.next(last, true)
			return false
		}
		last, seen = e.ID, seen+1
		var m directory.Member
		if m, bad = directory.Parse[directory.Member](e.Fields); bad != nil {
			bad = fmt.Errorf("member of corp %s: %w", c.corp.ID, bad)
			return false
		}
		if co.scope.Holds(m) {
			list = append(list, personOf(identity.OfState(archive.PartyID(e.ID), m, e.Gone, identity.Seen(e, looked), files, nil), m, e.Gone, co.scope))
		}
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: struct {
		People []personAnswer `json:"people"`
		Next   string         `json:"next,omitempty"`
	}{list, next}}, nil
}

// getPerson shows one person's record, with all that its sources ever gave.
func (a *api) getPerson(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	co, err := a.company(ctx, c)
	if err != nil {
		return answer{}, err
	}
	id := archive.PartyID(c.segment["userid"])
	if len(id) > longestUserID { // more than a key holds
		return answer{}, absent("person")
	}
	held, err := a.ledger.Held(ctx, c.corp.ID, directory.KindMember, string(id))
	if err != nil {
		return answer{}, err
	}
	if held.At.IsZero() {
		return answer{}, absent("person")
	}
	m, err := directory.Parse[directory.Member](held.Fields)
	if err != nil {
		return answer{}, fmt.Errorf("member of corp %s: %w", c.corp.ID, err)
	}
	if !co.scope.Holds(m) {
		return answer{}, absent("person")
	}
	record, err := a.record(ctx, c.corp.ID, held.Entry, m)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: recordAnswer{personOf(record, m, held.Gone, co.scope), record.Stated(), identity.Sources()}}, nil
}

// record is a member's record, made of the whole history.
func (a *api) record(ctx context.Context, corp archive.CorpID, e directory.Entry, m directory.Member) (identity.Record, error) {
	id := archive.PartyID(e.ID)
	files, err := a.files.Versions(ctx, corp, hrfile.Recent, id)
	if err != nil {
		return identity.Record{}, err
	}
	h, looked, kept, err := a.ledger.MemberHistory(ctx, corp, id)
	if err != nil {
		return identity.Record{}, err
	}
	if !kept {
		return identity.OfState(id, m, e.Gone, identity.Seen(e, looked), files, nil), nil
	}
	return identity.Of(id, h, files, nil), nil
}
