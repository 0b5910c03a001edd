package main

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// A reading takes minutes, and of a company that is read in portions what it is held against is read after it. Whatever WeCom told meanwhile is newer: who came is
// not gone, and who got another number does not get the old one back.
func TestAReadingInPortionsDoesNotTakeBackWhatWasToldMeanwhile(t *testing.T) {
	const short, long = 10 * time.Millisecond, 44 * time.Millisecond
	for _, portion := range []int{0, 2} {
		r := &race{rig: newRig(t), id: corp}
		r.start = r.rig.at
		r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
		one, other := r.process(), r.process()
		one.portion = portion
		r.ok(r.reads(one, -time.Hour, short))
		var told atomic.Bool
		r.s3.SetFault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
			if q.Operation == "PutObject" && told.CompareAndSwap(false, true) { // all answers are there, and nothing is compared yet
				r.member("tomas", map[string]any{"mobile": "19912340009"})
				r.change(wecomsim.ChangeContacts{Members: []wecomsim.Member{{UserID: "carl", Name: "Carl", Department: []int{3}, Status: 1, Mobile: "19912340004"}}})
				for _, id := range []string{"tomas", "carl"} {
					r.ok(r.looksAgain(other, id, 30*time.Millisecond))
				}
			}
			return d
		})
		r.ok(r.reads(one, 0, long))
		r.s3.SetFault(nil)
		for id, mobile := range map[string]string{"tomas": "19912340009", "carl": "19912340004"} {
			h, err := r.ledger.Held(t.Context(), corp, directory.KindMember, id)
			r.ok(err)
			m := must[directory.Member](t)(directory.Parse[directory.Member](h.Fields))
			if h.Gone || m.Mobile != mobile || !told.Load() {
				t.Errorf("portions of %d: %s is gone %t, with the number %s", portion, id, h.Gone, m.Mobile)
			}
		}
		if r.look("then"); len(r.kept) != 2 {
			t.Errorf("portions of %d: told is%s", portion, timed(r.kept))
		}
		// What a look says that contradicts them again is news, though it is what the list said.
		r.member("tomas", map[string]any{"mobile": "19912340003"})
		r.ok(r.looksAgain(other, "tomas", time.Minute))
		if r.look("and back"); len(r.kept) != 3 {
			t.Errorf("portions of %d: back again, told is%s", portion, timed(r.kept))
		}
		r.sameAsKept(t)
	}
}
