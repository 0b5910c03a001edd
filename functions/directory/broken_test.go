package main

import (
	"encoding/json"
	"testing"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// Two lists that broke off say something and then the other thing again: both are told, and the whole list that follows has nothing to add.
func TestWhatBrokenListsSayOneAfterTheOtherIsTold(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	for _, mobile := range []string{"19912340009", "19912340001"} {
		r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": mobile})}})
		r.fault(wecomsim.Fault{API: "user/list", Kind: wecomsim.FaultCode, ErrCode: 45009, Skip: 2})
		if s := r.refreshed(corp); s.Counts.Parts[directory.PartMembers].Complete {
			t.Fatal("the list did not break off")
		}
		r.lift()
	}
	want := "member ines mobile-changed \"19912340001\">\"19912340009\" 0\nmember ines mobile-changed \"19912340009\">\"19912340001\" 0"
	if got := plain(r.events()); got != want {
		t.Errorf("told is\n%s\nwant\n%s", got, want)
	}
	for range 2 {
		if r.refreshed(corp); plain(r.events()) != want {
			t.Errorf("after a whole list told is\n%s", plain(r.events()))
		}
	}
	r.sameAsKept(t)
}
