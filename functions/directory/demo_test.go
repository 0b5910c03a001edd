package main

import (
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wire"
)

// The demonstration's first day, whole: whoever and whatever WeCom would name is named.
func TestTheDemonstrationsPartiesAreNamed(t *testing.T) {
	r := newRig(t)
	day := must[wecomsim.DemoDay](t)(r.sim.DemoStart(t.Context(), wecomsim.DemoStart{}))
	held := map[archive.CorpID]bool{} // the secret for customers
	for _, c := range day.Corps {
		id := archive.CorpID(c.Corp)
		r.ok(r.ledger.PutCorp(t.Context(), ledger.Corp{ID: id, Name: c.Name, Added: r.at}))
		held[id] = false
		for _, s := range c.Secrets {
			kind := map[string]secrets.Kind{wecomsim.KindArchive: secrets.Archive, wecomsim.KindCustomer: secrets.Customer}[s.Kind]
			if kind == "" {
				kind = secrets.Contacts
			}
			r.hold(id, kind, s.Value)
			if kind == secrets.Customer {
				held[id] = true
			}
		}
	}
	r.refreshed(corp) // in the morning, before somebody leaves
	for _, step := range day.Steps {
		must[wecomsim.Clock](t)(r.sim.SetClock(t.Context(), wecomsim.Clock{Now: &step.At}))
		must[wecomsim.DemoPlayed](t)(r.sim.DemoStep(t.Context(), wecomsim.DemoPlay{}))
	}
	for id := range held {
		r.day(id)
	}
	r.refreshed(corp)
	for _, c := range day.Corps {
		id := archive.CorpID(c.Corp)
		for part, o := range r.snapshot(id).Counts.Parts {
			if !o.Complete && o.Why != reading.NotHeld {
				t.Errorf("%s of %s: %+v", part, id, o)
			}
		}
		parties, rooms := map[archive.PartyID]bool{}, map[archive.RoomID]bool{}
		for _, m := range r.day(id) {
			parties[m.From], rooms[m.Room] = true, true
			for _, to := range m.To {
				parties[to] = true
			}
		}
		// Without the secret for customers these stay anonymous; the second company has none.
		customers := held[id]
		names := directory.NewNames(r.ledger, id)
		for party := range parties {
			p := must[archive.Party](t)(names.Party(t.Context(), party, r.at))
			if p.Name == "" && party != "" && (customers || p.Kind != archive.KindExternal) {
				t.Errorf("%s: %+v has no name", id, p)
			}
		}
		if len(parties) < 15 {
			t.Errorf("%s: only %d parties", id, len(parties))
		}
		unnamed := 0
		for room := range rooms {
			got, ok, err := names.Room(t.Context(), room, r.at)
			if room != "" && (err != nil || !ok) {
				t.Errorf("%s: room %s: %v %v", id, room, ok, err)
			}
			if !got.Shown() {
				unnamed++
			}
		}
		if unnamed > len(rooms)/2 { // begun in WeChat, by another company, or in no room at all
			t.Errorf("%s: %d of %d rooms have no name", id, unnamed, len(rooms))
		}
	}
}

// day stores the messages of a corp that open.
func (r *rig) day(id archive.CorpID) (messages []archive.Message) {
	r.Helper()
	for after := uint64(0); ; {
		items := must[[]wecomsim.Item](r.T)(r.sim.Items(r.Context(), string(id), after, 500, true))
		for _, item := range items {
			after = item.Seq
			if len(item.Raw) == 0 {
				continue
			}
			m, err := wire.Decode(id, archive.ChatData{Seq: archive.Seq(item.Seq), MsgID: archive.MsgID(item.MsgID)}, item.Raw)
			if err == nil {
				messages = append(messages, m)
			}
		}
		if len(items) == 0 {
			break
		}
	}
	r.ok(r.ledger.PutMessages(r.Context(), "batch", messages, &ledger.People{}))
	return messages
}
