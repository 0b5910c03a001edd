package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/report"
)

// member is what the reports of a noon need of one member's newest state. A company may have 100,000, which all lie in memory while its noon is made: their
// entries take three times as much.
type member struct {
	id, name, mobile, email string
	departments             []int
	at                      int64 // since when the state holds, in milliseconds
	status                  int
	gone                    bool
	mobileReadable          bool
	emailReadable           bool
	designated              bool
	designatedKnown         bool
}

// fields is the member as the directory has it, as far as the reports ask.
func (m *member) fields() directory.Member {
	return directory.Member{
		Name: m.name, Departments: m.departments, Status: m.status, Mobile: m.mobile, MobileReadable: m.mobileReadable, Email: m.email, EmailReadable: m.emailReadable,
		Designated: m.designated, DesignatedKnown: m.designatedKnown,
	}
}

// here says whether the member is there, as far as is known.
func (m *member) here() bool { return !m.gone && m.status != directory.StatusLeft }

func (m *member) since() time.Time { return time.UnixMilli(m.at).UTC() }

// readPeople reads a corp's departments and members. Of members who lead, or whom a department names as its leader, the whole entry is kept too.
func (r *reporter) readPeople(ctx context.Context, corp archive.CorpID, c *company) error {
	c.departments, c.leaders, c.members = nil, nil, nil
	named := map[string]bool{}
	var odd error
	err := r.ledger.Entries(ctx, corp, directory.KindDepartment, func(e directory.Entry) bool {
		var d directory.Department
		if d, odd = directory.Parse[directory.Department](e.Fields); odd != nil {
			odd = fmt.Errorf("department %s: %w", e.ID, odd)
			return false
		}
		for _, id := range d.Leaders {
			named[string(id)] = true
		}
		c.departments = append(c.departments, e)
		return true
	})
	if err == nil && odd == nil {
		alone := map[int][]int{} // most members are in one department, with many others
		err = r.ledger.Entries(ctx, corp, directory.KindMember, func(e directory.Entry) bool {
			var m directory.Member
			if m, odd = directory.Parse[directory.Member](e.Fields); odd != nil {
				odd = fmt.Errorf("member %s: %w", e.ID, odd)
				return false
			}
			if len(m.Leads) > 0 || named[e.ID] {
				c.leaders = append(c.leaders, e)
			}
			m.Departments = slices.Clip(m.Departments)
			if of := m.Departments; len(of) == 1 {
				if alone[of[0]] == nil {
					alone[of[0]] = of
				}
				m.Departments = alone[of[0]]
			}
			c.members = append(c.members, member{
				id: e.ID, name: m.Name, mobile: m.Mobile, email: m.Email, departments: m.Departments, at: e.At.UnixMilli(), status: m.Status, gone: e.Gone,
				mobileReadable: m.MobileReadable, emailReadable: m.EmailReadable, designated: m.Designated, designatedKnown: m.DesignatedKnown,
			})
			return true
		})
	}
	if err != nil {
		return err
	}
	if odd != nil {
		return fmt.Errorf("directory of corp %s: %w", corp, odd)
	}
	slices.SortFunc(c.members, func(a, b member) int { return strings.Compare(a.id, b.id) }) // as the ledger lists them
	if c.names, err = directory.DepartmentNames(c.departments); err != nil {
		return fmt.Errorf("departments of corp %s: %w", corp, err)
	}
	return nil
}

// people is what reports about single users need of a company, beside what happened to these.
type people struct {
	*company
	reading
}

func (r *reporter) people(ctx context.Context, day *today) (*people, error) {
	c, err := r.read(ctx, day)
	if err != nil {
		return nil, err
	}
	p := &people{company: c}
	p.reading, err = r.lastRead(ctx, day.corp.ID)
	return p, err
}

// member is the member of an id; nobody knows him: an empty one, who is not here.
func (p *people) member(id archive.PartyID) *member {
	i, known := slices.BinarySearchFunc(p.members, string(id), func(m member, id string) int { return strings.Compare(m.id, id) })
	if !known {
		return &member{id: string(id), gone: true}
	}
	return &p.members[i]
}

// person is who a row is about.
func (p *people) person(id archive.PartyID) report.Person {
	m := p.member(id)
	return report.Person{ID: id, Name: m.name, Departments: m.departments, Places: departmentWords(m.departments, p.names)}
}
