package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/identity"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// record is a member's record as whoever asks for it gets it.
func (r *rig) record(id archive.PartyID) identity.Record {
	r.Helper()
	h, looked, kept, err := r.ledger.MemberHistory(r.Context(), corp, id)
	r.ok(err)
	if !kept || looked.IsZero() {
		r.Fatalf("nothing was kept of %s, or nobody was read", id)
	}
	return identity.Of(id, h, nil, nil)
}

// T11: the record is made by the first reading of the directory, and the same readings change it: numbers and addresses with from and to, and what is hidden
// later counts as old as it is.
func TestARecordIsThereFromTheFirstReadingOn(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	first := r.at
	mobile := func() (identity.Value, identity.Standing) {
		x := r.record("ines")
		v, ok := x.Best(identity.Mobile)
		if !ok {
			t.Fatalf("no number: %+v", x)
		}
		return v, x.WeCom[identity.Mobile]
	}
	at := func(x, y time.Time) bool { return x.Sub(y).Abs() < time.Minute }
	if v, standing := mobile(); v.Value != "+8619912340001" || v.Source != identity.WeCom || !at(v.From, first) || !at(v.Seen, first) || standing != identity.Shown {
		t.Errorf("after the first reading: %+v, %s", v, standing)
	}
	r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": "19912340077"})}})
	r.refreshed(corp)
	second := r.at
	if v, _ := mobile(); v.Value != "+8619912340077" || !at(v.From, second) {
		t.Errorf("after the second: %+v", v)
	}
	if old, ok := r.record("ines").Match(identity.Mobile, "19912340001"); !ok || old.Current || !at(old.From, first) || !at(old.To, second) {
		t.Errorf("the number of before: %+v", old)
	}
	for _, e := range r.events() {
		if e.What == directory.MobileChanged && !identity.Updated(e, must[directory.Member](t)(r.held("ines")), nil).Equal(e.By) {
			t.Errorf("the record was not updated by the reading that made the event: %+v", e)
		}
	}
	r.hold(corp, secrets.Contacts, "sync-of-"+string(corp))
	r.refreshed(corp)
	if v, standing := mobile(); v.Value != "+8619912340077" || !at(v.Seen, second) || standing != identity.Hidden {
		t.Errorf("hidden: %+v, %s", v, standing)
	}
}

func (r *rig) held(id string) (directory.Member, error) {
	h, err := r.ledger.Held(r.Context(), corp, directory.KindMember, id)
	if err != nil {
		return directory.Member{}, err
	}
	return directory.Parse[directory.Member](h.Fields)
}

// T35: WeCom has two fields, and the address of its mailbox product is not the one that counts.
func TestTheMailboxProductsAddressIsNobodysEmail(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"bo": raw(map[string]any{"biz_mail": "bo@mail.harbour.example"}), "ines": raw(map[string]any{"biz_mail": "ines@mail.harbour.example"})}})
	r.refreshed(corp)
	r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"bo": raw(map[string]any{"biz_mail": "bo.2@mail.harbour.example"}), "ines": raw(map[string]any{"biz_mail": ""})}})
	r.refreshed(corp)
	for id, want := range map[archive.PartyID]string{"bo": "", "ines": "ines@harbour.example"} {
		x := r.record(id)
		if v, _ := x.Best(identity.Email); v.Value != want || len(x.Values[identity.Email]) > 1 {
			t.Errorf("%s has %+v, want %q", id, x.Values[identity.Email], want)
		}
	}
	if events := r.events(); len(events) > 0 {
		t.Errorf("a change of the other field is told of: %s", plain(events))
	}
}
