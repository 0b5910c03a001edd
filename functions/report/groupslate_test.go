package main

import (
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

func TestADaysListOfGroupsThatIsMadeLateTellsWhatWasSoAtNoon(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.at = noon.Add(-24 * time.Hour)
	c := d.withGroups("wwlategroups")
	d.at = noon.Add(-2 * time.Hour)
	d.breach(c.ID, true)
	d.at = noon.Add(5 * time.Minute) // he agrees, leaves, and another one comes, before the list is made
	d.breach(c.ID, false)
	d.stands(c.ID, consent.Subject{Room: "wrlane", External: "wm-newcomer"}, consent.Disagreed, "")
	d.OK(d.operator.PutEntries(t.Context(), c.ID, []directory.Entry{{Kind: directory.KindRoom, ID: "wrlane", At: d.at,
		Fields: directory.Fields(directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Members: []archive.PartyID{"mai", "wm-newcomer"}})}}))
	for _, later := range []time.Duration{0, 24 * time.Hour} {
		f, err := d.groupsDay(t.Context(), d.day(c, noon.Add(later), &company{}))
		d.OK(err)
		there := false
		for _, g := range f.Groups {
			if g.ID != "wrlane" {
				continue
			}
			there = true
			if len(g.Contacts) != 1 || g.Contacts[0].ID != gus || g.Contacts[0].State != consent.Disagreed || !g.Ended.IsZero() || g.Ending != "" ||
				!g.FirstSeen.Equal(noon.Add(-2*time.Hour)) {
				t.Errorf("as of noon the group is %+v", g)
			}
		}
		if there != (later == 0) {
			t.Errorf("%v after noon it is listed: %v", later, there)
		}
	}
	if s, known := standingAt(ledger.Standing{State: consent.Agreed}, noon); !known || s.State != consent.Agreed {
		t.Error("one of whom no change was found is taken away")
	}
}
