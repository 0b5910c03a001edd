package receivers

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/report"
)

// Letter is one mail that a report makes: what one address is shown. It can be kept as JSON.
type Letter struct {
	Address     string          `json:"address"`
	Name        string          `json:"name,omitempty"`
	Language    report.Language `json:"language"`
	Departments []int           `json:"departments"` // the union of what its roles are in charge of; the root alone for the whole company
	Sources     []Source        `json:"sources"`     // in their order
}

// companyWide is the reports that tell of the whole company and of nothing less: they go to who has the root.
func companyWide(k report.Kind) bool { return k == report.Maintenance }

// Route says which mails the report of a noon makes: one for each address, by address. A receiver who was entered after that noon begins with the
// next; so does a head who got the role after it: see SinceNoon. Nobody gets a report that is switched off.
func Route(c Company, k report.Kind, noon time.Time) []Letter {
	if !c.Settings.On(k) {
		return nil
	}
	by := map[string]*Letter{}
	rank := map[string]int{}
	for _, r := range List(c) {
		switch {
		case r.Address == "" || r.Unreachable != "" || !slices.Contains(r.Reports, k) || slices.Contains(r.NotSent, k):
			continue
		case !r.Added.IsZero() && !r.Added.Before(noon):
			continue
		}
		key := Mailbox(r.Address)
		l, there := by[key]
		if !there {
			l = &Letter{}
			by[key] = l
		}
		if !there || r.Source.rank() < rank[key] {
			l.Address, l.Name, l.Language, rank[key] = r.Address, r.Name, r.Language, r.Source.rank()
		}
		l.Departments = append(l.Departments, r.Departments...)
		if !slices.Contains(l.Sources, r.Source) {
			l.Sources = append(l.Sources, r.Source)
		}
	}
	letters := make([]Letter, 0, len(by))
	for _, l := range by {
		l.Departments = topmost(c.Tree, l.Departments)
		slices.SortFunc(l.Sources, func(a, b Source) int { return cmp.Compare(a.rank(), b.rank()) })
		letters = append(letters, *l)
	}
	slices.SortFunc(letters, func(a, b Letter) int { return strings.Compare(Mailbox(a.Address), Mailbox(b.Address)) })
	return letters
}

// Mailbox names the mailbox of an address: equal for addresses that are one to people, though the part before the @ may tell cases apart.
func Mailbox(address string) string { return strings.ToLower(address) }

func sameAddress(a, b string) bool { return Mailbox(a) == Mailbox(b) }

// topmost is departments without those that lie below another of them: the same scope, said shortest.
func topmost(tree *directory.Tree, departments []int) []int {
	departments = slices.Clone(departments)
	slices.Sort(departments)
	departments = slices.Compact(departments)
	if slices.Contains(departments, directory.Root) || tree == nil {
		if slices.Contains(departments, directory.Root) {
			return []int{directory.Root}
		}
		return departments
	}
	for i := 0; i < len(departments); {
		d := departments[i]
		above := slices.ContainsFunc(tree.Above([]int{d}), func(a int) bool { return a != d && slices.Contains(departments, a) })
		if above { // one of a circle stays: the others are above it no more
			departments = slices.Delete(departments, i, i+1)
			continue
		}
		i++
	}
	return departments
}

// SinceNoon is the heads of now as far as they were heads at a noon too: a role that came after it begins with the next noon's report, and whoever lost one
// is not told of its department any more, however late the report is made. Name and address are those of now.
func SinceNoon(now, then []directory.Head) []directory.Head {
	before := map[archive.PartyID][]int{}
	for _, h := range then {
		before[h.ID] = h.Departments
	}
	var heads []directory.Head
	for _, h := range now {
		h.Departments = slices.DeleteFunc(slices.Clone(h.Departments), func(d int) bool { return !slices.Contains(before[h.ID], d) })
		if len(h.Departments) > 0 {
			heads = append(heads, h)
		}
	}
	return heads
}

// Scopes is the scopes of many letters, each once, and finds those that hold a row without asking each: the work for a report is that of its rows, the
// letters, and the rows that these show, not of rows times letters.
type Scopes struct {
	tree    *directory.Tree
	list    [][]int
	places  map[string]int32
	seeds   map[int][]int32 // department → the scopes that name it
	holding map[int][]int32 // department → the scopes that hold who is in it; filled as asked
}

// NewScopes takes the scopes of letters. A tree that is nil, because the directory could never be read, has the root alone.
func NewScopes(tree *directory.Tree, letters []Letter) (*Scopes, error) {
	if tree == nil {
		var err error
		if tree, err = directory.NewTree(nil); err != nil {
			return nil, err
		}
	}
	s := &Scopes{tree: tree, places: map[string]int32{}, seeds: map[int][]int32{}, holding: map[int][]int32{}}
	for _, l := range letters {
		key := scopeKey(l.Departments)
		if _, there := s.places[key]; there {
			continue
		}
		place := int32(len(s.list)) // #nosec G115 -- fewer than there are receivers
		s.places[key] = place
		s.list = append(s.list, l.Departments)
		for _, d := range l.Departments {
			s.seeds[d] = append(s.seeds[d], place)
		}
	}
	return s, nil
}

func scopeKey(departments []int) string {
	var b strings.Builder
	for _, d := range departments {
		b.WriteString(strconv.Itoa(d))
		b.WriteByte(',')
	}
	return b.String()
}

// Of is the scope's place of a letter.
func (s *Scopes) Of(l Letter) int { return int(s.places[scopeKey(l.Departments)]) }

// Len is how many different scopes there are.
func (s *Scopes) Len() int { return len(s.list) }

// All says whether a scope is the whole company.
func (s *Scopes) All(place int) bool { return slices.Contains(s.list[place], directory.Root) }

// holders is the scopes that hold who is in a department, ascending; 0 stands for none, which the root's scopes hold.
func (s *Scopes) holders(department int) []int32 {
	if found, known := s.holding[department]; known {
		return found
	}
	var places []int32
	var of []int
	if department > 0 {
		of = []int{department}
	}
	for _, d := range s.tree.Above(of) {
		places = append(places, s.seeds[d]...)
	}
	slices.Sort(places)
	places = slices.Compact(places)
	s.holding[department] = places
	return places
}

// Spread gives each scope the places of the rows that it holds, ascending. departments says which departments decide over a row.
func (s *Scopes) Spread(rows int, departments func(i int) []int) [][]int32 {
	held := make([][]int32, len(s.list))
	for i := range rows {
		of := departments(i)
		if len(of) == 0 {
			of = []int{0}
		}
		for n, d := range of {
			for _, place := range s.holders(d) {
				if n > 0 && len(held[place]) > 0 && held[place][len(held[place])-1] == int32(i) { // #nosec G115 -- a company's rows
					continue // another of the row's departments is in the scope too
				}
				held[place] = append(held[place], int32(i)) // #nosec G115 -- a company's rows
			}
		}
	}
	return held
}

// Holds is what a report's facts are filtered by for a scope: see the facts' Within.
func (s *Scopes) Holds(place int) func(departments []int) bool {
	return func(departments []int) bool {
		if len(departments) == 0 {
			departments = []int{0}
		}
		return slices.ContainsFunc(departments, func(d int) bool {
			_, holds := slices.BinarySearch(s.holders(d), int32(place)) // #nosec G115 -- fewer than there are receivers
			return holds
		})
	}
}
