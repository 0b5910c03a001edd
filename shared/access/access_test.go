package access_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/access"
	"github.com/wecomvault/wecomvault/shared/directory"
)

func TestGrantsAreReadAsAPIGatewayHandsThemOver(t *testing.T) {
	for claim, want := range map[string][]access.Grant{
		"":                                   nil,
		"[]":                                 nil,
		"admin":                              {{Role: access.Admin}},
		"[admin]":                            {{Role: access.Admin}},
		"[auditor:wwreed compliance:wwfern]": {{Role: access.Auditor, Corp: "wwreed"}, {Role: access.Compliance, Corp: "wwfern"}},
		"[staff supervisor:wwreed:7+3+7 vpn-users]": {{Role: access.Supervisor, Corp: "wwreed", Departments: []int{3, 7}}},
		"supervisor":           nil, // of nothing
		"supervisor:wwreed":    nil,
		"supervisor:wwreed:":   nil,
		"supervisor::7":        nil,
		"supervisor:wwreed:0":  nil,
		"supervisor:wwreed:-1": nil,
		"supervisor:wwreed:07": nil,
		"supervisor:wwreed:7+": nil,
		"admin:":               nil,
		"admin:wwreed:7":       nil,
		"Admin":                nil,
		"administrator":        nil,
		"admin:a:b:c":          nil,
		"[admin":               nil, // half a list: a single value that looks like one
		"admin]":               nil,
		"[[admin]]":            nil,
	} {
		if d := cmp.Diff(want, access.Read("ann", claim).Grants); d != "" {
			t.Errorf("%q: %s", claim, d)
		}
	}
}

// The table is written out by hand: it is what the product says of its roles.
func TestEachRoleMayDoWhatItIsFor(t *testing.T) {
	const all, own, no = "all", "own", "no"
	table := []struct {
		action                                 access.Action
		admin, compliance, supervisor, auditor string
	}{
		{access.ReadCorp, all, all, own, all},
		{access.ReadSettings, all, all, no, all},
		{access.ChangeSettings, all, no, no, no},
		{access.ReadDepartments, all, all, own, all},
		{access.ReadReports, all, all, own, all},
		{access.PreviewReports, all, all, own, no},
		{access.ReadReceivers, all, all, own, all},
		{access.ChangeReceivers, all, all, own, no},
		{access.ReadMails, all, all, own, all},
		{access.ReadStatus, all, all, no, all},
		{access.ReadPeople, all, all, own, no},
		{access.ReadHRFiles, all, all, no, no},
		{access.ImportHRFiles, all, no, no, no},
	}
	if len(table) != len(access.Actions()) {
		t.Fatalf("%d of %d actions are judged", len(table), len(access.Actions()))
	}
	for _, row := range table {
		for claim, want := range map[string]string{"admin": row.admin, "compliance:wwreed": row.compliance, "supervisor:wwreed:4": row.supervisor, "auditor": row.auditor, "guest": no} {
			r := access.Read("x", claim).Reach(row.action, "wwreed")
			got := own
			switch {
			case r.None():
				got = no
			case r.All():
				got = all
			case !slices.Equal(r.Departments, []int{4}):
				t.Errorf("%s, %s: departments %v", claim, row.action, r.Departments)
			}
			if got != want {
				t.Errorf("%s may %s: %s, want %s", claim, row.action, got, want)
			}
		}
	}
}

func TestAGrantAtOneCorpIsNothingAtAnother(t *testing.T) {
	p := access.Read("x", "[admin:wwreed supervisor:wwfern:4]")
	if !p.Knows("wwreed") || !p.Knows("wwfern") || p.Knows("wwmoss") {
		t.Error("knows the wrong corps")
	}
	for _, a := range access.Actions() {
		if !p.Reach(a, "wwmoss").None() || p.Reach(a, "wwfern").All() || !p.Reach(a, "wwreed").All() {
			t.Errorf("%s reaches too far, or not far enough", a)
		}
	}
}

// Whatever a token says beside its grants, and in whatever order, gives nothing more.
func TestReachIsTheUnionOfTheGrants(t *testing.T) {
	word := rapid.SampledFrom([]string{"admin:wwa", "compliance:wwb", "auditor", "supervisor:wwa:2", "supervisor:wwa:3+5", "supervisor:wwb:1", "x", "admin:wwa:2", "supervisor:wwa"})
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(word, 0, 6).Draw(t, "words")
		p := access.Read("x", "["+strings.Join(words, " ")+"]")
		for _, a := range access.Actions() {
			want := map[int]bool{}
			for _, w := range words {
				for _, d := range access.Read("x", w).Reach(a, "wwa").Departments {
					want[d] = true
				}
			}
			got := p.Reach(a, "wwa")
			if len(got.Departments) != len(want) || !slices.IsSorted(got.Departments) || got.All() != want[directory.Root] {
				t.Fatalf("%v, %s: %v, want %v", words, a, got.Departments, want)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add("[admin supervisor:wwa:1+2]")
	f.Fuzz(func(t *testing.T, claim string) {
		for _, g := range access.Read("x", claim).Grants {
			if !strings.Contains(claim, string(g.Role)) || !strings.Contains(claim, string(g.Corp)) || (g.Role == access.Supervisor) != (len(g.Departments) > 0) {
				t.Errorf("%q grants %+v", claim, g)
			}
		}
	})
}
