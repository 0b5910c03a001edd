package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// A round takes minutes. What WeCom tells of a group meanwhile is known to nobody who began before: that one neither ends the alarm that was raised for it, nor
// raises again the one that it ended.
func TestWhatWasToldDuringARoundIsNotUndoneByIt(t *testing.T) {
	d := newDesk(t)
	const id = "wwtern"
	d.company(id)
	d.run()
	with := func(members ...archive.PartyID) {
		d.room(id, lane, directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Owner: "mai", Members: append([]archive.PartyID{"mai", "otto"}, members...)}, false)
	}
	newest := func() (a ledger.Alarm) {
		for _, a = range d.breaches(id) {
			if a.Cause == string(lane) {
				return a
			}
		}
		return ledger.Alarm{}
	}
	late := func(meanwhile func()) {
		d.later(runEvery)
		r, err := d.open(t.Context(), id)
		d.OK(err)
		_, err = r.ask(t.Context())
		d.OK(err)
		d.later(time.Minute)
		meanwhile()
		d.told(queue.ConsentJob{Corp: id, Room: lane, Listed: true})
		told := newest()
		d.later(time.Minute)
		d.OK(r.alert(t.Context()))
		if after := newest(); after.Open != told.Open || !after.Since.Equal(told.Since) || after.Affected != told.Affected || after.Detail != told.Detail || !after.Over.Equal(told.Over) {
			t.Errorf("what was told was\n%+v, and the round made it\n%+v", told, after)
		}
	}

	late(func() { // who refuses comes into the group
		d.say(id, lane, guest, "Disagree", d.at)
	})
	if a := newest(); !a.Open || a.Affected != 1 {
		t.Fatalf("the alarm is %+v", a)
	}
	late(func() { // another one
		d.say(id, lane, partner, "Disagree", d.at)
	})
	if a := newest(); !a.Open || a.Affected != 2 {
		t.Errorf("the alarm is %+v", a)
	}
	late(func() { with(silent) }) // both leave
	if a := newest(); a.Open || a.Detail != overLeft {
		t.Errorf("the alarm is %+v", a)
	}
}

// What is told of one group costs what that group has, and not what the company has: of a large one it comes by the thousand.
func TestWhatIsToldOfAGroupCostsWhatTheGroupHas(t *testing.T) {
	d := newDesk(t)
	const id = "wwtern"
	d.company(id)
	d.run()
	cost := func() float64 {
		d.later(time.Minute)
		d.Used("DirectoryTable")
		d.told(queue.ConsentJob{Corp: id, Room: lane, Listed: true})
		return d.Used("DirectoryTable").Read
	}
	alone := cost()
	var others []directory.Entry
	for i := range 300 {
		x := directory.External{Name: "N", Type: 1, Followers: []archive.PartyID{"mai"}}
		others = append(others, directory.Entry{Kind: directory.KindExternal, ID: fmt.Sprintf("wm%030d", i), At: d.at, Fields: directory.Fields(x)})
	}
	d.OK(d.operator.PutEntries(t.Context(), id, others))
	if among := cost(); among > alone+1 {
		t.Errorf("beside 300 contacts of others it read %v units, and %v without them", among, alone)
	}
}
