package main

import (
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// A round to which WeCom showed nothing of a group has not found anybody in it as he was: he may have changed his mind since the round before.
func TestARoundThatWasShownNothingOfAGroupBoundsNoChangeInIt(t *testing.T) {
	for _, shown := range []bool{true, false} {
		d := newDesk(t)
		d.company(tern)
		says := func(status string) {
			d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(tern), Consents: []wecomsim.Consent{{RoomID: string(lane), External: string(silent), Status: status}}}))
		}
		says("Agree")
		d.run()
		first := d.at
		d.later(runEvery)
		if !shown {
			_, err := d.wecom.AddFault(t.Context(), wecomsim.Fault{API: "msgaudit/check_room_agree", Kind: wecomsim.FaultCode, ErrCode: 40050})
			d.OK(err)
		}
		d.run()
		d.OK(d.wecom.LiftFaults(t.Context()))
		second := d.at
		says("Disagree")
		d.later(runEvery)
		d.run()
		changes := d.standing(tern, consent.Subject{Room: lane, External: silent}).Changes
		want := map[bool]time.Time{true: second, false: first}[shown]
		if n := len(changes); n == 0 || changes[n-1].New != consent.Disagreed || !changes[n-1].After.Equal(want) {
			t.Errorf("shown between: %t: %+v, not after %s", shown, changes, want)
		}
	}
}
