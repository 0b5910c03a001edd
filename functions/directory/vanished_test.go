package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

func TestWhoVanishesFromTheListIsLookedAtAloneAndSoTheWayIsKnown(t *testing.T) {
	for how, change := range map[directory.Departure]wecomsim.ChangeContacts{
		directory.WasDeleted: {Remove: []string{"tomas"}},
		directory.Quit:       {Change: map[string]json.RawMessage{"tomas": raw(map[string]any{"status": 5})}},
	} {
		t.Run(string(how), func(t *testing.T) {
			r := newRig(t)
			r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
			r.refreshed(corp)
			change.Permit = map[int][]string{1: {"ines", "bo"}}
			r.change(change)
			r.refreshed(corp)
			r.at = r.at.Add(30 * time.Second)
			r.work(queue.DirectoryJob{Corp: corp, Kind: directory.KindMember, ID: "tomas", Again: true}) // as it stands in the queue now
			var left []directory.Event
			for _, e := range r.events() {
				if e.ID == "tomas" && e.What == directory.Left {
					left = append(left, e)
				}
			}
			if len(left) != 1 || left[0].How != how {
				t.Errorf("%+v", left)
			}
			if s := r.refreshed(corp); s.Counts.Changed != 0 {
				t.Errorf("by the next reading %d states changed again", s.Counts.Changed)
			}
		})
	}
}
