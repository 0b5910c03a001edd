package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// An event that a later look narrows keeps when it was first kept, although a write of the two fails and the next does not: who was told of it is not told
// again, as of one that was found too late for its day.
func TestAnEventIsNotNewBecauseOneWriteFailed(t *testing.T) {
	const tries = 3 // the SDK's, all of one write
	for n := 1; ; n++ {
		r := newRig(t)
		r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
		r.refreshed(corp)
		begun := r.at
		r.change(wecomsim.ChangeContacts{Corp: string(corp), Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": "19912340002"})}})
		r.at = begun.Add(2 * time.Hour)
		r.refreshed(corp)
		recorded := r.at

		r.at = begun.Add(4 * time.Hour)
		between := begun.Add(time.Hour)
		settle := func() error {
			h, err := r.ledger.Held(t.Context(), corp, directory.KindMember, "ines")
			r.ok(err)
			look := directory.Look{Kind: directory.KindMember, ID: "ines", Asked: between, Answered: between.Add(time.Second), Via: string(secrets.Contacts), Presence: directory.There,
				Seen: map[directory.Field]string{directory.FieldMobile: "19912340002"}}
			s, err := r.settling(t.Context(), corp, directory.Observation{})
			r.ok(err)
			s.alone = true
			return s.settle(t.Context(), []*news{{Held: h, state: true, looks: []directory.Look{look}}}, func() error { return nil })
		}
		writes := 0
		r.aws.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
			if strings.HasPrefix(q.Operation, "BatchWriteItem") {
				if writes++; writes >= n && writes < n+tries {
					d.Act = awslocal.Refuse
				}
			}
			return d
		})
		err := settle()
		r.aws.Fault(nil)
		if (err != nil) != (writes >= n) {
			t.Errorf("write %d of %d failed: %v", n, writes, err)
		}
		if err != nil {
			r.ok(settle())
		}
		found := false
		for _, e := range r.events() {
			if e.What == directory.MobileChanged {
				found = true
				if !e.By.Equal(between.Add(time.Second)) || !e.Recorded.Equal(recorded) {
					t.Errorf("write %d failed: the event is of %s and was recorded at %s, not at %s", n, e.By, e.Recorded, recorded)
				}
			}
		}
		if !found {
			t.Errorf("write %d failed: the event is lost", n)
		}
		if writes < n {
			return
		}
	}
}
