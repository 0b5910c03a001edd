package directory

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Root is WeCom's number of the department that is the company: who is in charge of it is in charge of everything.
const Root = 1

// Tree is a corp's departments as one above the other. A department that is gone keeps its last place, so that a member who was last in it stays in the
// scope of those above. It takes any parents as they come: unknown ones, and circles.
type Tree struct {
	parent map[int]int
	gone   map[int]bool
}

// NewTree makes a tree of the departments among entries.
func NewTree(entries []Entry) (*Tree, error) {
	t := &Tree{parent: map[int]int{}, gone: map[int]bool{}}
	err := departments(entries, func(id int, d Department, gone bool) { t.parent[id], t.gone[id] = d.Parent, gone })
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Known says whether there is such a department now. The root is, whether or not our secrets show it.
func (t *Tree) Known(department int) bool {
	_, known := t.parent[department]
	return department == Root || known && !t.gone[department]
}

// Above is the departments whose scope holds who is in the given ones: these, those above them, and the root, ascending. Its length is that of
// the way up, so who looks for the receivers of a member need not ask each receiver.
func (t *Tree) Above(departments []int) []int {
	above := []int{Root}
	for _, d := range departments {
		for d > 0 {
			if slices.Contains(above, d) {
				break // the root, a circle, or a way that was gone already
			}
			above = append(above, d)
			d = t.parent[d]
		}
	}
	slices.Sort(above)
	return above
}

// Scope is the part of a company that somebody is in charge of: departments and everything below each, as the tree has them. The zero Scope holds
// nobody.
type Scope struct {
	tree        *Tree
	departments []int
}

// Scope is the scope of who is in charge of the given departments.
func (t *Tree) Scope(departments ...int) Scope { return Scope{t, set(departments)} }

// Departments is what the scope was made of, ascending.
func (s Scope) Departments() []int { return slices.Clone(s.departments) }

// All says whether the scope is the whole company.
func (s Scope) All() bool { return slices.Contains(s.departments, Root) }

// Missing is the departments of the scope that are not, or no longer, there: their receiver is to be told, and an admin.
func (s Scope) Missing() []int {
	var missing []int
	for _, d := range s.departments {
		if !s.tree.Known(d) {
			missing = append(missing, d)
		}
	}
	return missing
}

// Holds says whether a row about a member may be shown within the scope. Of a member who is gone the departments last held count; one
// of whom no department is known is within the root's scope alone.
func (s Scope) Holds(m Member) bool { return s.HoldsAny(m.Departments) }

// HoldsAny is Holds for who is, or was last, in these departments.
func (s Scope) HoldsAny(departments []int) bool {
	if s.tree == nil || len(s.departments) == 0 {
		return false
	}
	for _, d := range s.tree.Above(departments) {
		if _, within := slices.BinarySearch(s.departments, d); within {
			return true
		}
	}
	return false
}

// HoldsDepartment says whether a row about a department may be shown within the scope.
func (s Scope) HoldsDepartment(department int) bool { return s.HoldsAny([]int{department}) }

// Union is the scope of who has both: one mail for two roles at one address.
func (s Scope) Union(o Scope) Scope {
	tree := s.tree
	if tree == nil {
		tree = o.tree
	}
	return Scope{tree, set(append(s.Departments(), o.departments...))}
}

// Head is a member who is head of departments by WeCom's role.
type Head struct {
	ID          archive.PartyID
	Departments []int // ascending; those where the role is set, not all of the member's
	Member      Member
	Known       bool // the directory shows the member; else only a department names it, and Member is empty
}

// Heads is the heads of department among entries, by userid. WeCom says it twice, with the member (is_leader_in_dept) and with the department
// (department_leader); where one of the two is hidden the other holds. Who is gone or has left is no head, nor is anybody of a department that is gone.
func Heads(entries []Entry) ([]Head, error) {
	tree, err := NewTree(entries)
	if err != nil {
		return nil, err
	}
	heads := map[archive.PartyID]*Head{}
	left := map[archive.PartyID]bool{}
	lead := func(id archive.PartyID, department int) {
		if _, known := tree.parent[department]; known && tree.gone[department] {
			return
		}
		if heads[id] == nil {
			heads[id] = &Head{ID: id}
		}
		heads[id].Departments = append(heads[id].Departments, department)
	}
	members := map[archive.PartyID]Member{}
	for _, e := range entries {
		switch e.Kind {
		case KindMember:
			m, err := Parse[Member](e.Fields)
			if err != nil {
				return nil, fmt.Errorf("member %s: %w", e.ID, err)
			}
			id := archive.PartyID(e.ID)
			members[id] = m
			if left[id] = e.Gone || m.Status == StatusLeft; left[id] {
				continue
			}
			for _, d := range m.Leads {
				lead(id, d)
			}
		case KindDepartment:
			d, err := Parse[Department](e.Fields)
			if err != nil {
				return nil, fmt.Errorf("department %s: %w", e.ID, err)
			}
			number, err := strconv.Atoi(e.ID)
			if err != nil {
				return nil, fmt.Errorf("department %s is no number", e.ID)
			}
			for _, id := range d.Leaders {
				lead(id, number)
			}
		}
	}
	var list []Head
	for id, h := range heads {
		if left[id] {
			continue
		}
		h.Departments = set(h.Departments)
		m, known := members[id]
		h.Member, h.Known = m, known
		list = append(list, *h)
	}
	slices.SortFunc(list, func(a, b Head) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list, nil
}
