package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/objstore"
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

// Directory has read the group because WeCom told of it, and has consent asked: whoever came in and is not in WeCom's answer has not agreed, and is alerted of
// at once; the next rounds change nothing in that, and when he leaves, or the group is no more, it is over at once too.
func TestANewcomerWhoWasNotAskedYetIsAlertedOfAtOnceAndOnce(t *testing.T) {
	d := newDesk(t)
	const corp = archive.CorpID("wwtern")
	d.company(corp)
	d.say(corp, lane, silent, "Agree", start.Add(-time.Hour))
	d.run()
	d.Take("ReportQueue")
	newcomer := archive.PartyID("wm" + strings.Repeat("n", 30))
	in := func(ids ...archive.PartyID) directory.Room {
		return directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Owner: "mai", Members: append([]archive.PartyID{"mai", "otto", guest, partner, silent}, ids...)}
	}
	entry := func(state directory.Room, gone bool) {
		d.OK(d.operator.PutEntries(t.Context(), corp, []directory.Entry{{Kind: directory.KindRoom, ID: string(lane), At: d.at, Fields: directory.Fields(state), Gone: gone}}))
	}
	d.later(10 * time.Minute)
	entry(in(newcomer), false)
	d.later(2 * time.Second)
	for range 2 { // WeCom tells it up to four times
		d.told(queue.ConsentJob{Corp: corp, Room: lane, Listed: true})
	}
	open := d.breaches(corp)
	if len(open) != 1 || !open[0].Open || open[0].Cause != string(lane) || open[0].Affected != 1 || len(d.Take("ReportQueue")) == 0 {
		t.Fatalf("after WeCom told: %+v", open)
	}
	for range 2 {
		d.later(20 * time.Minute)
		d.run()
		if now := d.breaches(corp); len(now) != 1 || now[0].Fingerprint() != open[0].Fingerprint() || !now[0].Since.Equal(open[0].Since) {
			t.Errorf("a round later: %+v, was %+v", now, open)
		}
	}
	d.later(time.Minute)
	entry(in(), false)
	d.told(queue.ConsentJob{Corp: corp, Room: lane, Listed: true})
	if now := d.breaches(corp); len(now) != 1 || now[0].Open || now[0].Detail != overLeft {
		t.Errorf("after he left: %+v", now)
	}
	d.later(time.Minute)
	entry(in(newcomer), false)
	d.told(queue.ConsentJob{Corp: corp, Room: lane, Listed: true})
	d.later(time.Minute)
	entry(in(newcomer), true)
	fault, err := d.wecom.AddFault(t.Context(), wecomsim.Fault{API: "msgaudit/check_room_agree", Kind: wecomsim.FaultCode, ErrCode: 301053})
	d.OK(err)
	d.told(queue.ConsentJob{Corp: corp, Room: lane, Listed: true})
	if now := d.breaches(corp); fault.ID == 0 || len(now) != 1 || now[0].Open || now[0].Detail != overDismissed {
		t.Errorf("after the group was dismissed: %+v", now)
	}
	d.OK(d.wecom.LiftFaults(t.Context()))
}

// Where the directory could not read the group now, its list is an old one: who is on it and not in WeCom's answer may have left.
func TestByAnOldListNobodyIsAlertedOf(t *testing.T) {
	d := newDesk(t)
	const corp = archive.CorpID("wwtern")
	d.company(corp)
	d.say(corp, lane, silent, "Agree", start.Add(-time.Hour))
	d.run()
	left := archive.PartyID("wm" + strings.Repeat("l", 30))
	d.later(time.Second)
	d.OK(d.operator.PutEntries(t.Context(), corp, []directory.Entry{{Kind: directory.KindRoom, ID: string(lane), At: d.at, Fields: directory.Fields(
		directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Owner: "mai", Members: []archive.PartyID{"mai", guest, partner, silent, left}})}}))
	d.told(queue.ConsentJob{Corp: corp, Room: lane})
	d.later(10 * time.Minute)
	d.told(queue.ConsentJob{Corp: corp, Room: lane, Listed: true}) // found in it ten minutes before, and not in the answer now
	if now := d.breaches(corp); len(now) > 0 {
		t.Errorf("alarms %+v", now)
	}
}

// What shows who agreed, and when, is WeCom's own answer, kept before the row that follows from it; the same answer is not kept again.
func TestWhoAgreedIsShownByWeComsOwnAnswers(t *testing.T) {
	d := newDesk(t)
	const corp = archive.CorpID("wwtern")
	d.company(corp)
	d.run()
	prefix := objstore.ConsentKey(corp) + "/"
	first := d.Keys("ArchiveBucket", prefix)
	if len(first) == 0 {
		t.Fatal("nothing is kept")
	}
	d.later(30 * time.Minute)
	d.run()
	if diff := cmp.Diff(first, d.Keys("ArchiveBucket", prefix)); diff != "" {
		t.Errorf("the same answers are kept again\n%s", diff)
	}
	d.later(time.Minute)
	agreed := d.at.Add(-30 * time.Second)
	d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(corp), Consents: []wecomsim.Consent{
		{UserID: "mai", External: string(guest), Status: "Agree", Changed: agreed.Unix()}}}))
	d.told(queue.ConsentJob{Corp: corp, Member: "mai", External: guest})
	var more []string
	for _, key := range d.Keys("ArchiveBucket", prefix) {
		if !slices.Contains(first, key) {
			more = append(more, key)
		}
	}
	if len(more) != 1 {
		t.Fatalf("kept since: %q", more)
	}
	store := d.Store(d.Config(rig.Operator), "ArchiveBucket")
	object, err := store.Current(t.Context(), more[0])
	d.OK(err)
	packed, err := store.Get(t.Context(), object)
	d.OK(err)
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	d.OK(err)
	text, err := io.ReadAll(zip)
	d.OK(err)
	for _, word := range []string{"msgaudit/check_single_agree", string(guest), fmt.Sprint(agreed.Unix()), d.at.Format(time.RFC3339)} {
		if !strings.Contains(string(text), word) {
			t.Errorf("%q is not in what is kept: %s", word, text)
		}
	}
	if strings.Contains(string(text), "access_token") {
		t.Error("a token is kept")
	}

	// Without the proof no row: the next round asks again, and keeps both.
	d.later(30 * time.Minute)
	d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(corp), Consents: []wecomsim.Consent{
		{UserID: "mai", External: string(guest), Status: "Disagree", Changed: d.at.Add(-time.Second).Unix()}}}))
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "PutObject" {
			return awslocal.FaultDecision{Act: awslocal.Refuse}
		}
		return awslocal.FaultDecision{}
	})
	if err := d.keeper.told(t.Context(), queue.ConsentJob{Corp: corp, Member: "mai", External: guest}); err == nil {
		t.Error("it is done without S3")
	}
	pair := consent.Subject{Member: "mai", External: guest}
	if s := d.standing(corp, pair); s.State != consent.Agreed {
		t.Errorf("without the proof the row says %q", s.State)
	}
	d.Fault(nil)
	d.run()
	if s := d.standing(corp, pair); s.State != consent.Disagreed {
		t.Errorf("after the next round: %q", s.State)
	}
}
