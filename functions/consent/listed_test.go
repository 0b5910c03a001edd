package main

import (
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// Who left a group is left out of WeCom's answer while the directory's list still has him. A reading that came to no room has not found him in it again.
func TestAReadingThatCameToNoRoomAlertsOfNobody(t *testing.T) {
	d := newDesk(t)
	d.company(tern)
	d.say(tern, lane, silent, "Agree", start.Add(-time.Hour))
	d.later(time.Hour)
	d.say(tern, lane, guest, "", d.at) // he left: WeCom's answer does not name him
	d.later(10 * time.Minute)
	d.run()
	if open := d.breaches(tern); len(open) > 0 {
		t.Fatalf("by a list that is older than the answer: %+v", open)
	}
	reads := func(rooms directory.Outcome, next string) time.Time {
		d.later(time.Minute)
		d.OK(d.operator.PutSnapshot(t.Context(), ledger.Snapshot{Corp: tern, At: d.at,
			Counts: directory.Counts{Parts: map[directory.Part]directory.Outcome{directory.PartRooms: rooms}, Next: next}}))
		at, err := d.record(tern).roomsRead(t.Context())
		d.OK(err)
		return at
	}
	for _, o := range []directory.Outcome{{Read: 3, Why: "errcode 45009"}, {Why: noAnswer}, {Why: notHeld}, {Why: busy}} {
		if at := reads(o, ""); !at.Equal(start) {
			t.Errorf("%+v counts as a reading of rooms, at %s", o, at)
		}
	}
	d.run()
	if open := d.breaches(tern); len(open) > 0 {
		t.Errorf("after readings that came to no room: %+v", open)
	}
	for _, o := range []directory.Outcome{{Read: 1, Complete: true}, {Read: 1, Why: outOfTime}, {Read: 1, Why: busy}, {Read: 1, Why: oddAnswer}} {
		next := ""
		if o.Why == outOfTime {
			next = "wrz"
		}
		if at := reads(o, next); !at.Equal(d.at) {
			t.Errorf("%+v does not count as a reading of rooms", o)
		}
	}
	d.run()
	if open := d.breaches(tern); len(open) != 1 {
		t.Errorf("after one that found him there still: %+v", open)
	}
}
