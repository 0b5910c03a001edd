package receivers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/report"
)

// played is a company as a test plays it: where each department is, or was last, and who is where.
type played struct {
	parent  map[int]int
	deleted map[int]bool
	in      map[int][]int // member → departments, last ones of leavers
	left    map[int]bool
}

func newPlayed() *played {
	return &played{parent: map[int]int{1: 0}, deleted: map[int]bool{}, in: map[int][]int{}, left: map[int]bool{}}
}

func (p *played) departments() (there []int) {
	for d := range p.parent {
		if !p.deleted[d] {
			there = append(there, d)
		}
	}
	slices.Sort(there)
	return there
}

// below says whether a department is another, or lies, or last lay, below it: the plain meaning, by walking up.
func (p *played) below(d, top int) bool {
	for range len(p.parent) + 1 {
		if d == top {
			return true
		}
		d = p.parent[d]
	}
	return false
}

// step does one thing that happens to companies.
func (p *played) step(t *rapid.T) {
	there := p.departments()
	one := func(label string) int { return rapid.SampledFrom(there).Draw(t, label) }
	switch rapid.SampledFrom([]string{"make", "make", "join", "join", "move department", "move member", "merge", "delete", "leave"}).Draw(t, "what") {
	case "make":
		p.parent[len(p.parent)+1] = one("below")
	case "join":
		p.in[len(p.in)+1] = slices.Compact([]int{one("in"), one("and in")})
	case "move department":
		d, to := one("department"), one("to")
		if d != 1 && !p.below(to, d) {
			p.parent[d] = to
		}
	case "move member":
		if n := len(p.in); n > 0 {
			m := rapid.IntRange(1, n).Draw(t, "member")
			if !p.left[m] {
				p.in[m] = []int{one("to")}
			}
		}
	case "merge":
		from, into := one("from"), one("into")
		if from == 1 || p.below(into, from) {
			return
		}
		for m, in := range p.in {
			if i := slices.Index(in, from); i >= 0 && !p.left[m] {
				p.in[m] = slices.Replace(slices.Clone(in), i, i+1, into)
			}
		}
		for d, parent := range p.parent {
			if parent == from && !p.deleted[d] {
				p.parent[d] = into
			}
		}
		p.deleted[from] = true
	case "delete":
		d := one("department")
		if d == 1 {
			return
		}
		p.deleted[d] = true // whoever is in it, or below it, was last there
	case "leave":
		if n := len(p.in); n > 0 {
			p.left[rapid.IntRange(1, n).Draw(t, "member")] = true
		}
	}
}

func (p *played) entries() []directory.Entry {
	var all []directory.Entry
	for d, parent := range p.parent {
		all = append(all, directory.Entry{Kind: directory.KindDepartment, ID: strconv.Itoa(d), Gone: p.deleted[d], Fields: directory.Fields(directory.Department{Parent: parent})})
	}
	return all
}

// TestNobodyIsMailedARowFromOutsideTheirScope holds every receiver against every row, in companies whose departments were made, moved, merged and deleted,
// in both ways of filtering.
func TestNobodyIsMailedARowFromOutsideTheirScope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPlayed()
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			p.step(t)
		}
		entries := p.entries()
		tree, err := directory.NewTree(entries)
		if err != nil {
			t.Fatal(err)
		}
		c := Company{Tree: tree}
		// Some of the receivers were given departments that are gone since, or that never were.
		for i := range rapid.IntRange(0, 8).Draw(t, "receivers") {
			c.Entered = append(c.Entered, Row{
				ID: fmt.Sprint("r-", i), Address: fmt.Sprintf("%c@orchard.example", rapid.SampledFrom([]rune("aAbcd")).Draw(t, "address")),
				Department: rapid.IntRange(1, len(p.parent)+1).Draw(t, "department"), Reports: []report.Kind{"R1"},
			})
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "heads") {
			leads := rapid.SliceOfN(rapid.SampledFrom(p.departments()), 1, 3).Draw(t, "leads")
			c.Heads = append(c.Heads, directory.Head{ID: archive.PartyID(fmt.Sprint("h", i)), Departments: leads, Known: true,
				Member: directory.Member{Email: fmt.Sprintf("%c@orchard.example", rapid.SampledFrom([]rune("abx")).Draw(t, "email")), EmailReadable: true}})
		}
		letters := Route(c, "R1", noon)

		var rows []report.User
		for m := 1; m <= len(p.in); m++ {
			rows = append(rows, report.User{ID: archive.PartyID(fmt.Sprint("m", m)), In: p.in[m], Status: report.StatusActivated})
		}
		rows = append(rows, report.User{ID: "nowhere"})
		facts := report.UserStatusFacts{Day: noon, Users: rows, Capture: &report.Capture{Handed: 1}}
		scopes, err := NewScopes(tree, letters)
		if err != nil {
			t.Fatal(err)
		}
		spread := scopes.Spread(facts.Of(), facts.Row)

		// What each address is in charge of, from its roles alone.
		charge := map[string][]int{}
		for _, r := range c.Entered {
			charge[strings.ToLower(r.Address)] = append(charge[strings.ToLower(r.Address)], r.Department)
		}
		for _, h := range c.Heads {
			charge[strings.ToLower(h.Member.Email)] = append(charge[strings.ToLower(h.Member.Email)], h.Departments...)
		}
		if len(charge) != len(letters) {
			t.Fatalf("%d addresses, %d letters", len(charge), len(letters))
		}
		for _, l := range letters {
			all := slices.Contains(charge[strings.ToLower(l.Address)], directory.Root)
			var want []string
			for _, u := range rows {
				allowed := all
				for _, top := range charge[strings.ToLower(l.Address)] {
					for _, d := range u.In {
						allowed = allowed || p.below(d, top)
					}
				}
				if allowed {
					want = append(want, string(u.ID))
				}
			}
			place := scopes.Of(l)
			picked := facts.Pick(spread[place], scopes.Holds(place))
			filtered := facts.Within(scopes.Holds(place))
			plain := facts.Within(tree.Scope(l.Departments...).HoldsAny)
			for how, got := range map[string]report.UserStatusFacts{"picked": picked, "filtered": filtered, "by the directory's scope": plain} {
				var ids []string
				for _, u := range got.Users {
					ids = append(ids, string(u.ID))
				}
				if diff := cmp.Diff(want, ids); diff != "" {
					t.Fatalf("%s: who is in charge of %v is shown (-want +got):\n%s", how, charge[strings.ToLower(l.Address)], diff)
				}
				if (got.Capture != nil) != all {
					t.Fatalf("%s: the company's account is shown to who is in charge of %v", how, l.Departments)
				}
			}
		}
	})
}

func TestWorkIsThatOfRowsAndLettersAndNotOfTheirProduct(t *testing.T) {
	entries := orchard()
	var letters []Letter
	for d := 10; d < 3010; d++ {
		entries = append(entries, department(strconv.Itoa(d), "", 2))
		letters = append(letters, Letter{Address: fmt.Sprint(d), Departments: []int{d}})
	}
	tree, err := directory.NewTree(entries)
	if err != nil {
		t.Fatal(err)
	}
	scopes, err := NewScopes(tree, append(letters, letters...))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	spread := scopes.Spread(60_000, func(i int) []int { asked++; return []int{10 + i%3000} })
	shown := 0
	for _, rows := range spread {
		shown += len(rows)
	}
	if scopes.Len() != 3000 || asked != 60_000 || shown != 60_000 {
		t.Errorf("%d scopes, %d rows asked for, %d shown", scopes.Len(), asked, shown)
	}
}

func TestALetterOfAScopeSaysItShortest(t *testing.T) {
	tree, err := directory.NewTree(append(orchard(), department("8", "", 9), department("9", "", 8)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want []int }{
		{[]int{5, 2, 4}, []int{2}}, {[]int{5, 3}, []int{3, 5}}, {[]int{5, 1}, []int{1}}, {[]int{4, 4}, []int{4}}, {[]int{8, 9}, []int{9}}, {[]int{77, 5}, []int{5, 77}},
	} {
		if diff := cmp.Diff(c.want, topmost(tree, c.in)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.in, diff)
		}
	}
}

func TestLettersAreInOneOrderWhateverTheOrderOfTheRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Company{Settings: Settings{Operations: "o@x.example"}}
		for i := range 6 {
			c.Entered = append(c.Entered, Row{ID: fmt.Sprint("r-", i), Address: fmt.Sprintf("%c@x.example", "abAcbo"[i]), Department: 1 + i%3, Language: []string{"zh", "en"}[i%2],
				Reports: []report.Kind{"R12"}, Added: noon.Add(-time.Hour)})
		}
		want := Route(c, "R12", noon)
		c.Entered = rapid.Permutation(c.Entered).Draw(t, "order")
		if diff := cmp.Diff(want, Route(c, "R12", noon)); diff != "" {
			t.Fatal(diff)
		}
	})
}
