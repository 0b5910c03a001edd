package directory_test

import (
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
)

func TestALookSoonAfterAListLacksAMemberSaysInWhichWayItWent(t *testing.T) {
	quit := person("a", func(m *directory.Member) { m.Status = directory.StatusLeft })
	soon, much := hour(2).Add(11*time.Minute), hour(5)
	for name, c := range map[string]struct {
		then directory.Observation
		want directory.Departure
	}{
		"deleted":                 {refusal(soon, contacts, "a", directory.Deleted), directory.WasDeleted},
		"left":                    {reread(soon, contacts, quit), directory.Quit},
		"hidden":                  {refusal(soon, contacts, "a", directory.Hidden), directory.UnlistedSince},
		"deleted when, who knows": {refusal(much, contacts, "a", directory.Deleted), directory.UnlistedSince},
	} {
		var looks []directory.Look
		for _, o := range []directory.Observation{c.then, snapshot(hour(2), contacts, person("b")), snapshot(hour(0), contacts, person("a"), person("b"))} {
			some, glances := o.Looks()
			for _, l := range some {
				if l.ID == "a" {
					looks = append(looks, l)
				}
			}
			if g := glances; len(g) > 0 && !o.Asked.Equal(hour(0)) {
				looks = append(looks, directory.Look{Kind: directory.KindMember, ID: "a", Asked: g[0].Asked, Answered: g[0].Answered, Part: g[0].Part, Via: g[0].Via, Presence: directory.Absent})
			}
		}
		var left []directory.Event
		for _, e := range directory.Fold(directory.KindMember, "a", looks, nil).Events {
			if e.What == directory.Left {
				left = append(left, e)
			}
		}
		if len(left) != 1 || left[0].How != c.want || !left[0].By.Equal(hour(2).Add(10*time.Minute)) {
			t.Errorf("%s: %+v, want one departure: %s", name, left, c.want)
		}
	}
}
