package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message/mail"
	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// troupe is a company as this test plays it: where each department is, or was last, and what its members are. It knows scopes by walking up.
type troupe struct {
	parent  map[int]int
	deleted map[int]bool
	members map[int]directory.Member
	gone    map[int]bool
	entered map[string]int // address → department
}

func (t troupe) clone() troupe {
	return troupe{maps.Clone(t.parent), maps.Clone(t.deleted), maps.Clone(t.members), maps.Clone(t.gone), maps.Clone(t.entered)}
}

func (t troupe) below(d, top int) bool {
	for range len(t.parent) + 1 {
		if d == top {
			return true
		}
		d = t.parent[d]
	}
	return false
}

func (t troupe) there() (list []int) {
	for d := range t.parent {
		if !t.deleted[d] {
			list = append(list, d)
		}
	}
	slices.Sort(list)
	return list
}

// leads is the departments that a member is head of.
func (t troupe) leads(i int) (list []int) {
	for _, d := range t.members[i].Leads {
		if !t.gone[i] && !t.deleted[d] {
			list = append(list, d)
		}
	}
	return list
}

// charge is what an address is in charge of: heads as they are now, as far as they were at noon.
func (t troupe) charge(address string, noon troupe) (list []int) {
	if address == "office@clearlake.example" {
		return []int{directory.Root}
	}
	if d, is := t.entered[address]; is {
		list = append(list, d)
	}
	for i, m := range t.members {
		if m.Email == address {
			for _, d := range t.leads(i) {
				if slices.Contains(noon.leads(i), d) {
					list = append(list, d)
				}
			}
		}
	}
	return list
}

// sees says whether who is in charge of departments may be shown a member.
func (t troupe) sees(charge []int, member int) bool {
	return slices.ContainsFunc(charge, func(top int) bool {
		return top == directory.Root || slices.ContainsFunc(t.members[member].Departments, func(d int) bool { return t.below(d, top) })
	})
}

// stage plays a troupe into a ledger.
type stage struct {
	*desk
	id     archive.CorpID
	random *rand.Rand
	troupe
}

func (s *stage) put(entries ...directory.Entry) {
	s.Helper()
	s.OK(s.operator.PutEntries(s.Context(), s.id, entries))
}

func (s *stage) department(d int, at time.Time) {
	s.Helper()
	s.put(directory.Entry{Kind: directory.KindDepartment, ID: strconv.Itoa(d), At: at, Gone: s.deleted[d], Fields: directory.Fields(directory.Department{Name: fmt.Sprint("Dept ", d), Parent: s.parent[d]})})
}

func mark(i int) string { return fmt.Sprintf("mk%03dq", i) }

func (s *stage) member(i int, at time.Time) {
	s.Helper()
	s.put(directory.Entry{Kind: directory.KindMember, ID: mark(i), At: at, Gone: s.gone[i], Fields: directory.Fields(s.members[i])})
}

func (s *stage) one() int { there := s.there(); return there[s.random.IntN(len(there))] }

func (s *stage) happened(i int, what directory.Change, old, changed string, by time.Time) {
	s.Helper()
	e := directory.Event{Kind: directory.KindMember, ID: mark(i), What: what, Old: old, New: changed, After: by.Add(-time.Hour), By: by, Via: "contacts"}
	if what == directory.Left {
		e.How = directory.WasDeleted
	}
	s.OK(s.operator.PutEvents(s.Context(), s.id, []directory.Event{e}))
}

func (s *stage) open(at time.Time) {
	s.Helper()
	s.troupe = troupe{map[int]int{1: 0}, map[int]bool{}, map[int]directory.Member{}, map[int]bool{}, map[string]int{}}
	for d := 2; d <= 9; d++ {
		s.parent[d] = s.one()
	}
	for d := range s.parent {
		s.department(d, at)
	}
	for range 14 {
		s.join(at, at)
	}
	for i := range 5 {
		row := receivers.Row{ID: fmt.Sprintf("r-%d", i), Address: fmt.Sprintf("r%d@clearlake.example", i), Language: []string{"zh", "en"}[i%2], Department: s.one(), Added: at,
			Reports: []report.Kind{"R1", "R2", "R3", "R4", "R5", "R6", "R8", "R12"}}
		if i == 4 { // an address that a head may have too
			row.Address = s.members[0].Email
		}
		s.entered[row.Address] = row.Department
		_, err := s.operator.PutReceiver(s.Context(), s.id, row)
		s.OK(err)
	}
}

func (s *stage) join(at, by time.Time) {
	s.Helper()
	i := len(s.members)
	m := directory.Member{Name: "name-" + mark(i), Listed: true, Departments: []int{s.one()}, Status: 1, Mobile: fmt.Sprint("+49 30", 1000+i), MobileReadable: true,
		Email: mark(i) + "@clearlake.example", EmailReadable: true, Designated: true, DesignatedKnown: true}
	if d := s.one(); s.random.IntN(3) == 0 && !slices.Contains(m.Departments, d) {
		m.Departments = append(m.Departments, d)
	}
	if s.random.IntN(3) == 0 {
		m.Leads = m.Departments[:1]
	}
	s.members[i] = m
	s.member(i, at)
	s.happened(i, directory.Joined, "", "", by)
}

// step does one thing that happens to companies.
func (s *stage) step(at time.Time) {
	s.Helper()
	d, to, i := s.one(), s.one(), s.random.IntN(len(s.members))
	m := s.members[i]
	switch s.random.IntN(8) {
	case 0: // a department moves
		if d != 1 && !s.below(to, d) {
			s.parent[d] = to
			s.department(d, at)
		}
	case 1: // it is merged into another: members and what is below move there
		if d == 1 || s.below(to, d) {
			return
		}
		for j, o := range s.members {
			if !s.gone[j] && slices.Contains(o.Departments, d) {
				o.Departments = slices.Compact(slices.Sorted(slices.Values(append(slices.DeleteFunc(slices.Clone(o.Departments), func(x int) bool { return x == d }), to))))
				o.Leads = slices.DeleteFunc(slices.Clone(o.Leads), func(x int) bool { return x == d })
				s.members[j] = o
				s.member(j, at)
			}
		}
		for c, p := range s.parent {
			if p == d && !s.deleted[c] {
				s.parent[c] = to
				s.department(c, at)
			}
		}
		s.deleted[d] = true
		s.department(d, at)
	case 2: // it is deleted, and who was in it was last there
		if d != 1 && len(s.there()) > 4 {
			s.deleted[d] = true
			s.department(d, at)
		}
	case 3: // a member moves, and leads there or nothing
		m.Departments, m.Leads = []int{to}, nil
		if s.random.IntN(2) == 0 {
			m.Leads = []int{to}
		}
	case 4:
		s.join(at, at)
		return
	case 5:
		if !s.gone[i] {
			s.gone[i] = true
			s.happened(i, directory.Left, "", "", at)
			s.member(i, at)
		}
		return
	case 6:
		if m.Mobile != "" && !s.gone[i] {
			s.happened(i, directory.MobileRemoved, m.Mobile, "", at)
			m.Mobile = ""
		}
	case 7:
		if m.Mobile != "" && !s.gone[i] {
			s.happened(i, directory.MobileChanged, m.Mobile, m.Mobile+"9", at)
			m.Mobile += "9"
		}
	}
	if !s.gone[i] {
		s.members[i] = m
		s.member(i, at)
	}
}

// parts is all that a mail says, decoded.
func (s *stage) parts(m ledger.MailRow) string {
	s.Helper()
	raw, err := s.Store(s.Config(rig.Operator), "ReportsBucket").Get(s.Context(), objstore.Object{Key: m.Object, VersionID: m.Version})
	s.OK(err)
	r, err := mail.CreateReader(bytes.NewReader(raw))
	s.OK(err)
	all, err := r.Header.Subject()
	s.OK(err)
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return all
		}
		s.OK(err)
		body, err := io.ReadAll(part.Body)
		s.OK(err)
		if strings.HasPrefix(part.Header.Get("Content-Type"), "application/zip") {
			s.Fatal("a small company's attachment is packed")
		}
		all += "\n" + string(body)
	}
}

var marks = regexp.MustCompile(`mk\d{3}q`)

// TestNobodyIsMailedARowFromOutsideTheirScopeWhateverBecomesOfTheDepartments plays days of a company through the function: departments are moved, merged and
// deleted between two days, between a plan that broke off and its end, and between plan and sending.
func TestNobodyIsMailedARowFromOutsideTheirScopeWhateverBecomesOfTheDepartments(t *testing.T) {
	slow(t)
	t.Parallel()
	d := newDesk(t)
	mails, broken, byKind := 0, 0, map[string]int{}
	for seed := range uint64(3) {
		s := &stage{desk: d, id: archive.CorpID(fmt.Sprint("wwtroupe", seed)), random: rand.New(rand.NewPCG(seed, 5))} // #nosec G404 -- a test's histories
		d.OK(d.operator.PutCorp(t.Context(), ledger.Corp{ID: s.id, Name: "Troupe", Added: noon.Add(-20 * time.Hour), ReportTo: []ledger.Receiver{{Address: "office@clearlake.example", Language: "en"}}}))
		d.settings(ledger.Corp{ID: s.id}, func(c *ledger.Corp) { c.ReportTo[0] = c.ReportTo[0].WithReports(report.Kinds()) })
		s.open(noon.Add(-19 * time.Hour))
		planned := map[string]string{}
		for day := range 3 {
			at := noon.AddDate(0, 0, day)
			for i := range 8 {
				s.step(at.Add(-time.Duration(9-i) * time.Hour))
			}
			d.OK(d.operator.PutSnapshot(t.Context(), ledger.Snapshot{Corp: s.id, At: at.Add(-30 * time.Minute)}))
			atNoon := s.clone()
			d.at = at.Add(time.Second)
			d.real = d.real.Add(time.Hour)
			corp, err := d.operator.Corp(t.Context(), s.id)
			d.OK(err)
			before := atNoon
			if s.random.IntN(2) == 0 { // the run breaks off somewhere, and the next finds another company
				d.writes(5+s.random.IntN(40), awslocal.Refuse)
				if err := d.dueOf(t.Context(), corp); err != nil {
					broken++
				}
				d.Fault(nil)
				d.jobs()
			}
			keptBefore := map[string]bool{}
			for _, key := range d.Keys("ReportsBucket", "reports/corp="+objstore.Escape(string(s.id))+"/day="+at.Format(time.DateOnly)) {
				keptBefore[key[strings.LastIndex(key, "/")+1:]] = true
			}
			for i := range 4 {
				s.step(at.Add(time.Duration(10+i) * time.Minute))
			}
			after := s.clone()
			d.at, d.real = at.Add(time.Hour), d.real.Add(time.Hour)
			d.OK(d.dueOf(t.Context(), corp))
			for i := range 4 { // what happens between plan and sending
				s.step(at.Add(time.Duration(100+i) * time.Minute))
			}
			for _, m := range d.planned(s.id) {
				said := s.parts(m)
				if was, there := planned[m.Key()]; there && was != said {
					t.Errorf("seed %d: mail %s changed after it was planned", seed, m.Key())
				}
				planned[m.Key()] = said
				if m.Day != at.Format(time.DateOnly) {
					continue
				}
				mails++
				byKind[m.Report]++
				found := slices.Compact(slices.Sorted(slices.Values(marks.FindAllString(said, -1))))
				if strings.Contains(m.Report, notices) {
					if len(found) > 1 || len(found) == 1 && !strings.HasPrefix(m.To, found[0]) {
						t.Errorf("seed %d: the notice to %s names %q", seed, m.To, found)
					}
					continue
				}
				then := after // how the company was when the facts were made
				if keptBefore[m.Report+".json"] {
					then = before
				}
				charge := then.charge(m.To, atNoon)
				var allowed, must []string
				for i := range len(then.members) {
					if then.sees(charge, i) {
						if allowed = append(allowed, mark(i)); !then.gone[i] {
							must = append(must, mark(i))
						}
					}
				}
				for _, id := range found {
					if !slices.Contains(allowed, id) {
						t.Errorf("seed %d, day %d: %s to %s, who is in charge of %v, shows %s of %v", seed, day, m.Report, m.To, charge, id, then.members)
					}
				}
				if m.Report == "R1" {
					shown := slices.DeleteFunc(slices.Clone(found), func(id string) bool { return !slices.Contains(must, id) })
					if !slices.Equal(must, shown) {
						t.Errorf("seed %d, day %d: R1 to %s, who is in charge of %v, has %v of %v", seed, day, m.To, charge, shown, must)
					}
				}
			}
		}
	}
	if mails < 100 || broken < 2 || byKind["R2"] == 0 || byKind["R3"] == 0 || byKind["R4"] == 0 || byKind["R5"] == 0 || byKind["R12"] == 0 || byKind["R2-user"] == 0 {
		t.Errorf("%d mails and %d broken runs are too few to show anything: %v", mails, broken, byKind)
	}
}
