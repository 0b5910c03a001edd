package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// Who was first seen by a run that died, and has gone before the next one, came and went: both were seen. What S3 has says the same.
func TestWhoWasFirstSeenByARunThatDiedCameAndWent(t *testing.T) {
	const none = ""
	both := "department 9 deleted \"\">\"\" 0\ndepartment 9 made \"\">\"\" 0\nmember rui joined \"\">\"\" 0\nmember rui left \"\">\"\" 0"
	for name, c := range map[string]struct {
		at      string // of the write that does not come
		portion int
		runs    int // that die
		first   bool
		want    string
	}{
		"before it is recorded":              {`"latest#`, 0, 1, false, none},
		"before its row":                     {`"snap#`, 0, 1, false, both},
		"before the states":                  {`"dir#`, 0, 1, false, both},
		"before the states, twice":           {`"dir#`, 0, 2, false, both},
		"before the states, in portions":     {`"dir#`, 2, 1, false, both},
		"before the states, the first of it": {`"dir#`, 0, 1, true, "department 9 deleted \"\">\"\" 0\nmember rui left \"\">\"\" 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.portion = c.portion
			r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
			if !c.first {
				r.refreshed(corp)
			}
			r.change(wecomsim.ChangeContacts{Departments: []wecomsim.Department{{ID: 9, Name: "Dry dock", Parent: 1}},
				Members: []wecomsim.Member{{UserID: "rui", Name: "Rui", Department: []int{9}, Status: 1, Mobile: "19912340004"}}})
			for range c.runs {
				var dead atomic.Bool
				r.aws.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
					if q.Operation == "PutItem" && strings.Contains(string(q.Body), c.at) {
						dead.Store(true)
					}
					if dead.Load() {
						d.Act = awslocal.Refuse
					}
					return d
				})
				r.at = r.at.Add(time.Hour)
				if err := r.run(t.Context()); err == nil || !dead.Load() {
					t.Fatal("it did not die")
				}
				r.aws.Fault(nil)
			}
			r.change(wecomsim.ChangeContacts{Remove: []string{"rui"}, RemoveDepartments: []int{9}})
			r.refreshed(corp)
			r.refreshed(corp)
			if got := plain(r.events()); got != c.want {
				t.Errorf("told is\n%s\nwant\n%s", got, c.want)
			}
			if _, gone := r.state(corp)["member rui"]; gone == (c.want == none) {
				t.Errorf("rui has a state: %t", gone)
			}
			if c.want != none { // else there are looks of no reading, which count for nothing
				r.sameAsKept(t)
			}
			if s := r.snapshot(corp); s.Counts.Parts[directory.PartMembers].Read != 3 {
				t.Errorf("members are %+v", s.Counts.Parts[directory.PartMembers])
			}
		})
	}
}
