package directory_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// branch is a department as the tests draw it.
type branch struct {
	id, parent int
	gone       bool
}

func treeOf(t interface{ Fatal(...any) }, branches ...branch) *directory.Tree {
	var entries []directory.Entry
	for _, b := range branches {
		entries = append(entries, directory.Entry{Kind: directory.KindDepartment, ID: strconv.Itoa(b.id), Gone: b.gone,
			Fields: directory.Fields(directory.Department{Parent: b.parent})})
	}
	tree, err := directory.NewTree(entries)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestAScopeHoldsADepartmentAndEverythingBelow(t *testing.T) {
	company := []branch{{1, 0, false}, {2, 1, false}, {3, 2, false}, {4, 1, false}, {5, 4, true}, {6, 5, true}, {7, 8, false}, {8, 7, false}, {9, 404, false}}
	tree := treeOf(t, company...)
	for _, c := range []struct {
		scope, of []int
		want      bool
	}{
		{[]int{1}, []int{3}, true},
		{[]int{1}, nil, true}, // whose departments are unknown, the root alone may see
		{[]int{2}, nil, false},
		{[]int{1}, []int{777}, true},
		{[]int{2}, []int{3}, true},
		{[]int{3}, []int{2}, false},
		{[]int{4}, []int{3}, false},
		{[]int{4, 2}, []int{3}, true},
		{[]int{4}, []int{3, 4}, true}, // one of several is enough
		{[]int{4}, []int{6}, true},    // was last in a department that is gone: those above may know
		{[]int{2}, []int{6}, false},
		{[]int{7}, []int{8}, true}, // a circle: each is above the other
		{[]int{2}, []int{8}, false},
		{[]int{1}, []int{8}, true},
		{[]int{404}, []int{9}, true},
		{[]int{777}, []int{778}, false},
		{nil, []int{1}, false},
	} {
		if got := tree.Scope(c.scope...).HoldsAny(c.of); got != c.want {
			t.Errorf("scope %v holds who is in %v: %v", c.scope, c.of, got)
		}
	}
	if (directory.Scope{}).Holds(directory.Member{Departments: []int{1}}) {
		t.Error("nobody's scope holds somebody")
	}
	if got := tree.Scope(5, 1, 404, 2).Missing(); !slices.Equal(got, []int{5, 404}) {
		t.Errorf("missing: %v", got)
	}
	if s := tree.Scope(3).Union(tree.Scope(4)); !s.HoldsAny([]int{3}) || !s.HoldsAny([]int{4}) || s.HoldsAny([]int{2}) || s.All() {
		t.Error("the union of two scopes is not what both hold")
	}
	// Nothing makes the root a part of anything.
	if treeOf(t, branch{1, 2, false}, branch{2, 3, false}, branch{3, 1, false}, branch{4, 1, false}).Scope(2).HoldsAny([]int{4}) {
		t.Error("a circle through the root gave a department the company")
	}
}

// A scope holds somebody just if one can climb from one of the member's departments to one of the scope's, whatever the tree; and the way by Above, which
// the noon run takes, finds the same. The tree is moved about, merged and deleted between the two.
func TestNobodyIsShownARowFromOutsideTheScope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.IntRange(1, 9)
		company := map[int]branch{}
		for range rapid.IntRange(0, 12).Draw(t, "departments") {
			b := branch{number.Draw(t, "id"), rapid.IntRange(0, 10).Draw(t, "parent"), rapid.IntRange(0, 3).Draw(t, "gone") == 0}
			company[b.id] = b
		}
		member := directory.Member{Departments: rapid.SliceOfN(number, 0, 3).Draw(t, "member's")}
		scope := rapid.SliceOfN(number, 0, 3).Draw(t, "scope's")
		for step := range 4 {
			var branches []branch
			for _, b := range company {
				branches = append(branches, b)
			}
			tree := treeOf(t, branches...)
			want := slices.Contains(scope, directory.Root)
			for _, d := range member.Departments {
				for range 20 {
					want = want || slices.Contains(scope, d)
					if d == directory.Root {
						break
					}
					d = company[d].parent
				}
			}
			got := tree.Scope(scope...).Holds(member)
			if got != want {
				t.Fatalf("departments %v: scope %v holds who is in %v: %v", company, scope, member.Departments, got)
			}
			if by := slices.ContainsFunc(tree.Above(member.Departments), func(d int) bool { return slices.Contains(scope, d) }); by != got {
				t.Fatalf("departments %v: by Above %v, by Holds %v", company, by, got)
			}
			label := fmt.Sprint("step ", step)
			id := number.Draw(t, label)
			b := company[id]
			switch b.id = id; rapid.IntRange(0, 2).Draw(t, label+" does") {
			case 0: // moved
				b.parent = rapid.IntRange(0, 10).Draw(t, label+" to")
			case 1: // deleted
				b.gone = true
			case 2: // merged into another: its members go there, and it is deleted
				into := number.Draw(t, label+" into")
				for i, d := range member.Departments {
					if d == id {
						member.Departments[i] = into
					}
				}
				b.gone = true
			}
			company[id] = b
		}
	})
}

func TestHeadsFollowEitherOfWeComsTwoWords(t *testing.T) {
	m := func(id string, gone bool, change func(*directory.Member)) directory.Entry {
		state := directory.Member{Name: "N" + id, Status: 1, Departments: []int{1, 2, 3}}
		change(&state)
		return directory.Entry{Kind: directory.KindMember, ID: id, Gone: gone, Fields: directory.Fields(state)}
	}
	d := func(id string, gone bool, leaders ...archive.PartyID) directory.Entry {
		return directory.Entry{Kind: directory.KindDepartment, ID: id, Gone: gone, Fields: directory.Fields(directory.Department{Parent: 1, Leaders: leaders})}
	}
	leads := func(list ...int) func(*directory.Member) { return func(m *directory.Member) { m.Leads = list } }
	heads, err := directory.Heads([]directory.Entry{
		d("1", false, "a"), d("2", false, "b", "gone", "quit", "hidden"), d("3", true, "a"),
		m("a", false, leads(2, 3)), m("b", false, leads()), m("c", false, leads()), m("gone", true, leads(2)),
		m("quit", false, func(m *directory.Member) { m.Status, m.Leads = directory.StatusLeft, []int{2} }),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range heads {
		got = append(got, fmt.Sprint(h.ID, h.Departments, h.Known))
	}
	if diff := cmp.Diff([]string{"a[1 2] true", "b[2] true", "hidden[2] false"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestADepartmentMadeMovedMergedAndDeleted(t *testing.T) {
	tree := func(at int, list ...directory.ReadDepartment) directory.Observation {
		return directory.Observation{Asked: hour(at), Answered: hour(at), Reading: directory.Reading{Departments: list,
			Parts: map[directory.Part]directory.Outcome{directory.PartDepartments: {Complete: true, Via: contacts}}}}
	}
	named := func(id, parent int, name string, leaders ...archive.PartyID) directory.ReadDepartment {
		return directory.ReadDepartment{ID: id, Named: true, Department: directory.Department{Name: name, Parent: parent, Leaders: leaders}}
	}
	placed := directory.ReadDepartment{ID: 20, Department: directory.Department{Parent: 3}}
	seen := []directory.Observation{
		tree(0, named(1, 0, "Co")), tree(1, named(1, 0, "Co"), named(20, 1, "East", "a")), tree(2, named(1, 0, "Co"), placed),
		tree(3, named(1, 0, "Co"), named(20, 3, "North")), tree(4, named(1, 0, "Co")),
	}
	want := "made (0s,1h0m0s]\nmoved (1h0m0s,2h0m0s] 1>3\nleaders-changed (1h0m0s,3h0m0s] a>\nrenamed (1h0m0s,3h0m0s] East>North\ndeleted (3h0m0s,4h0m0s] unlisted"
	h := folded(directory.KindDepartment, "20", nil, seen...)
	if diff := cmp.Diff(want, story(h)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}

	in := func(list ...int) func(*directory.Member) { return func(m *directory.Member) { m.Departments = list } }
	for name, c := range map[string]struct {
		before, after []directory.ReadMember
		want          []directory.Merge
	}{
		"all to one":         {[]directory.ReadMember{person("a", in(20)), person("b", in(20, 5))}, []directory.ReadMember{person("a", in(7)), person("b", in(5, 7))}, []directory.Merge{{From: 20, Into: 7, After: hour(3), By: hour(4).Add(10 * 60e9)}}},
		"to two":             {[]directory.ReadMember{person("a", in(20)), person("b", in(20))}, []directory.ReadMember{person("a", in(7)), person("b", in(8))}, nil},
		"nobody was in it":   {[]directory.ReadMember{person("a", in(7))}, []directory.ReadMember{person("a", in(7))}, nil},
		"the rest left":      {[]directory.ReadMember{person("a", in(20)), person("b", in(20))}, []directory.ReadMember{person("a", in(7))}, []directory.Merge{{From: 20, Into: 7, After: hour(3), By: hour(4).Add(10 * 60e9)}}},
		"out of it, nowhere": {[]directory.ReadMember{person("a", in(20))}, nil, nil},
	} {
		events := h.Events
		for _, id := range []string{"a", "b"} {
			events = append(events, folded(directory.KindMember, id, nil, snapshot(hour(3), contacts, c.before...), snapshot(hour(4), contacts, c.after...)).Events...)
		}
		if diff := cmp.Diff(c.want, directory.Merges(events)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}
