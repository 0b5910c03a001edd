package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/reading"
)

const tern = archive.CorpID("wwtern")

// history is a subject's changes, each with the time at which it began by WeCom's word.
func (d *desk) history(s consent.Subject) (list []string) {
	d.Helper()
	for _, c := range d.standing(tern, s).Changes {
		at := "?"
		if !c.At.IsZero() {
			at = c.At.Sub(start).String()
		}
		list = append(list, string(c.Old)+">"+string(c.New)+" "+at)
	}
	return list
}

// bucketSays asks that what the bucket has of WeCom's answers is what the ledger has of them.
func (d *desk) bucketSays() {
	d.Helper()
	row := func(s consent.Statement) string {
		return fmt.Sprintf("%s %d %d %d %s %s", s.Subject.Key(), s.Asked.UnixMilli(), s.Answered.UnixMilli(), max(s.Since.UnixMilli(), 0), s.State, s.Why)
	}
	kept, there := map[string]bool{}, map[string]bool{}
	d.OK(reading.Consents(d.Context(), d.Store(d.Config(rig.Operator), "ArchiveBucket"), tern, func(s consent.Statement) { kept[row(s)] = true }))
	d.OK(d.operator.Answers(d.Context(), tern, func(s consent.Statement) bool { there[row(s)] = true; return true }))
	if diff := cmp.Diff(there, kept); diff != "" || len(there) == 0 {
		d.Errorf("-ledger +bucket\n%s", diff)
	}
}

// Who takes consent back and gives it again has each in the history, as of when it was, and is asked about by the same calls.
func TestWhoTakesConsentBackAndGivesItAgainHasBothInTheHistory(t *testing.T) {
	d := newDesk(t)
	d.company(tern)
	pair := consent.Subject{Member: "otto", External: partner}
	d.run()
	for _, status := range []string{"Disagree", "Agree", "Disagree", "Agree"} {
		d.later(time.Hour)
		d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(tern), Consents: []wecomsim.Consent{{UserID: "otto", External: string(partner), Status: status, Changed: d.at.Unix()}}}))
		d.later(10 * time.Minute)
		d.run()
		d.later(30 * time.Minute)
		d.run()
	}
	want := []string{">agree -48h0m0s", "agree>disagree 1h0m0s", "disagree>agree 2h40m0s", "agree>disagree 4h20m0s", "disagree>agree 6h0m0s"}
	if diff := cmp.Diff(want, d.history(pair)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	d.bucketSays()
}

// Who leaves a group and comes back has not agreed by what he said before: the answer that leaves him out counts, and his new choice.
func TestWhoLeavesAGroupAndComesBackChoosesAnew(t *testing.T) {
	d := newDesk(t)
	d.company(tern)
	d.say(tern, lane, silent, "Agree", start.Add(-time.Hour))
	with := directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Owner: "mai", Members: []archive.PartyID{"mai", "otto", guest, partner, silent}}
	without := with
	without.Members = slices.DeleteFunc(slices.Clone(with.Members), func(id archive.PartyID) bool { return id == guest })
	members := func(room directory.Room) {
		var ids []string
		for _, m := range room.Members {
			ids = append(ids, string(m))
		}
		d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(tern), Rooms: []wecomsim.Room{{ID: string(lane), Kind: wecomsim.RoomExternal, Name: "Tern lane", Owner: "mai", Members: ids}}}))
		d.room(tern, lane, room, false)
	}
	subject := consent.Subject{Room: lane, External: guest}
	open := func() bool {
		return slices.ContainsFunc(d.breaches(tern), func(a ledger.Alarm) bool { return a.Cause == string(lane) && a.Open })
	}
	d.run()
	if open() {
		t.Fatal("all agreed, and there is an alarm")
	}
	d.later(time.Hour)
	members(without)
	d.later(time.Minute)
	d.run()
	if got := d.history(subject); open() || len(got) != 1 {
		t.Errorf("he left: alarm %t, %q", open(), got)
	}
	d.later(time.Hour)
	d.say(tern, lane, guest, "", d.at) // WeCom has forgotten his choice
	members(with)
	d.later(time.Minute)
	d.run()
	d.later(time.Hour)
	members(with) // the directory's next reading still has him in the group
	d.run()
	if !open() {
		t.Errorf("he came back without a choice, and nobody is alerted: %q %+v %+v", d.history(subject), d.breaches(tern), d.standing(tern, subject).Answer)
	}
	d.later(time.Hour)
	d.say(tern, lane, guest, "Agree", d.at)
	d.later(time.Minute)
	d.run()
	if want := []string{">agree -47h0m0s", "agree>not-yet ?", "not-yet>agree 4h2m0s"}; open() || !slices.Equal(d.history(subject), want) {
		t.Errorf("he agreed again: alarm %t, %q", open(), d.history(subject))
	}
	d.bucketSays()
}

// A room's answer in small letters is of the one in it whose id differs by case alone, and of nobody if there are two.
func TestARoomsAnswerInSmallLettersIsOfWhomItMeans(t *testing.T) {
	r := (&keeper{}).record(tern)
	r.rooms[lane] = room{Room: directory.Room{Members: []archive.PartyID{"wmAbc", "wmDEF", "wmdEF"}}}
	for id, want := range map[archive.PartyID]archive.PartyID{"wmabc": "wmAbc", "wmAbc": "wmAbc", "wmdef": "wmdef", "wmDEF": "wmDEF", "wmnew": "wmnew"} {
		if got := r.meant(lane, id); got != want {
			t.Errorf("%s means %s, got %s", id, want, got)
		}
	}
}
