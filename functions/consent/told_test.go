package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// told calls the function as callback does.
func (d *desk) told(job queue.ConsentJob) {
	d.Helper()
	payload, err := json.Marshal(job)
	d.OK(err)
	_, err = d.function().Invoke(d.Context(), payload)
	d.OK(err)
}

func TestWhatWeComTellsOfConsentIsAskedAtOnce(t *testing.T) {
	d := newDesk(t)
	const corp = archive.CorpID("wwtern")
	d.company(corp)
	d.run()
	d.later(3 * time.Minute)
	pair := consent.Subject{Member: "mai", External: guest}
	agree := wecomsim.Consent{UserID: "mai", External: string(guest), Status: "Agree", Changed: d.at.Add(-time.Second).Unix()}
	d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(corp), Consents: []wecomsim.Consent{agree}}))
	if s := d.standing(corp, pair); s.State == consent.Agreed {
		t.Fatalf("before anybody asked: %+v", s)
	}
	d.told(queue.ConsentJob{Corp: corp, Member: "mai", External: guest})
	s := d.standing(corp, pair)
	if s.State != consent.Agreed || len(s.Changes) == 0 || !s.Changes[len(s.Changes)-1].Found.Equal(d.at) || !s.Answer.Since.Equal(d.at.Add(-time.Second)) {
		t.Errorf("after WeCom told: %+v", s)
	}
	before := d.state(corp)
	d.told(queue.ConsentJob{Corp: corp, Member: "mai", External: guest}) // WeCom tells it up to four times
	d.later(time.Minute)
	d.run()
	if diff := cmp.Diff(before, d.state(corp)); diff != "" {
		t.Errorf("the next round comes to something else (-told +round)\n%s", diff)
	}

	// One whom WeCom does not know yet is not called unknown, and asked about once a day, for that.
	d.told(queue.ConsentJob{Corp: corp, Member: "mai", External: "wmnobody"})
	if s := d.standing(corp, consent.Subject{Member: "mai", External: "wmnobody"}); s.Rev > 0 {
		t.Errorf("one whom WeCom does not know: %+v", s)
	}
	d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(corp)}))
	for name, code := range map[string]int{"a refusal": 301053, "too many calls": 45009} {
		fault, err := d.wecom.AddFault(t.Context(), wecomsim.Fault{API: "msgaudit/check_single_agree", Kind: wecomsim.FaultCode, ErrCode: code})
		d.OK(err)
		d.told(queue.ConsentJob{Corp: corp, Member: "mai", External: guest})
		if fault.ID == 0 || d.standing(corp, pair).State != consent.Agreed {
			t.Errorf("%s: %+v", name, d.standing(corp, pair))
		}
		d.OK(d.wecom.LiftFaults(t.Context()))
	}
}

func TestSomebodyWhoComesIntoAGroupIsAskedAboutAtOnce(t *testing.T) {
	d := newDesk(t)
	const corp = archive.CorpID("wwtern")
	d.company(corp)
	d.say(corp, lane, silent, "Agree", start.Add(-time.Hour))
	d.run()
	if open := d.breaches(corp); len(open) > 0 {
		t.Fatalf("at first: %+v", open)
	}
	d.later(5 * time.Minute)
	newcomer := archive.PartyID("wm" + "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn")
	d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(corp),
		Externals: []wecomsim.External{{ID: string(newcomer), Name: "Nia", Type: 1, UnionID: "u9"}},
		Rooms: []wecomsim.Room{{ID: string(lane), Kind: wecomsim.RoomExternal, Name: "Tern lane", Owner: "mai",
			Members: []string{"mai", "otto", string(guest), string(partner), string(silent), string(newcomer)}}}}))
	d.say(corp, lane, newcomer, "Disagree", d.at)
	d.told(queue.ConsentJob{Corp: corp, Room: lane})
	subject := consent.Subject{Room: lane, External: newcomer}
	if s := d.standing(corp, subject); s.State != consent.Disagreed {
		t.Fatalf("the newcomer stands at %+v", s)
	}
	// The directory reads the group: the alarm is raised when it is next looked at, and not closed again.
	d.room(corp, lane, directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Owner: "mai", Members: []archive.PartyID{"mai", "otto", guest, partner, silent, newcomer}}, false)
	d.told(queue.ConsentJob{Corp: corp, Room: lane})
	if open := d.breaches(corp); len(open) != 1 || !open[0].Open || open[0].Cause != string(lane) {
		t.Errorf("alarms: %+v", open)
	}
	if jobs := d.Take("ReportQueue"); len(jobs) == 0 {
		t.Error("nobody is told")
	}
}
