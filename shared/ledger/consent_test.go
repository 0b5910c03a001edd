package ledger_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/derived"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

var (
	guest = archive.PartyID("wm" + strings.Repeat("g", 30))
	told  = consent.Subject{Room: "wrlane", External: guest}
)

func TestWhatMessagesSayOfConsentIsDerived(t *testing.T) {
	b := newBench(t)
	m := archive.Message{Corp: corp, Seq: 7, MsgID: "m7", Action: archive.Send, Type: "disagree", Known: true, From: guest, To: []archive.PartyID{"mai"}, Time: noon,
		Consents: []archive.Consent{{Party: guest, Time: noon}}}
	room := m
	room.Seq, room.MsgID, room.Room = 8, "m8", "wrlane"
	long := m
	long.Seq, long.MsgID = 9, "m9"
	long.Consents = []archive.Consent{{Party: archive.PartyID(strings.Repeat("x", 2000)), Agree: true, Time: noon}}
	row := ledger.BatchRow{Corp: corp, First: 7, Last: 9, SHA256: strings.Repeat("a", 64), Pulled: noon}
	var items []archive.SegmentItem
	for _, m := range []archive.Message{m, room, long} {
		items = append(items, archive.SegmentItem{Message: m})
	}
	rows := derived.Of(derived.Batch{Pulled: noon}, items)
	for range 2 {
		b.OK(b.PutDerived(t.Context(), row, rows, &ledger.People{}))
		var said, pairs []string
		b.OK(b.Choices(t.Context(), corp, func(s consent.Statement) bool {
			said = append(said, s.Subject.Key()+" "+string(s.State)+" "+s.Since.Format(time.TimeOnly)+" "+string(s.MsgID))
			return true
		}))
		b.OK(b.Pairs(t.Context(), corp, func(member, external archive.PartyID) bool {
			pairs = append(pairs, string(member+" "+external))
			return true
		}))
		if diff := cmp.Diff([]string{"member#mai#" + string(guest) + " disagree 12:00:00 m7", "room#wrlane#" + string(guest) + " disagree 12:00:00 m8"}, said); diff != "" {
			t.Errorf("said (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"mai " + string(guest)}, pairs); diff != "" {
			t.Errorf("pairs (-want +got):\n%s", diff)
		}
	}
	// A table that lost them is mended by fsck.
	fresh := newBench(t)
	lacking, err := fresh.Lacking(t.Context(), row, rows, &ledger.People{})
	b.OK(err)
	if len(lacking.Consents) != 2 {
		t.Errorf("an empty table lacks %+v", lacking.Consents)
	}
	if lacking, err = b.Lacking(t.Context(), row, rows, &ledger.People{}); err != nil || len(lacking.Consents)+len(lacking.Messages) != 0 {
		t.Errorf("the table lacks %+v: %v", lacking, err)
	}
}

func TestAStandingIsWrittenByOneAndItsChangesAreOwedUntilTheyAreThere(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	change := func(state consent.State, at time.Time) ledger.ConsentChange {
		return ledger.ConsentChange{Change: consent.Change{Subject: told, New: state, At: at, By: at, Read: noon, Source: consent.Poll}, Found: noon}
	}
	list := func(from, to time.Time) (states []string) {
		b.OK(b.ConsentChanges(ctx, corp, from, to, func(c ledger.ConsentChange) bool {
			states = append(states, string(c.New)+" "+string(c.Subject.External[:2])+" "+c.At.Format(time.TimeOnly))
			return true
		}))
		return states
	}
	first := ledger.Standing{Subject: told, State: consent.Disagreed, Changes: []ledger.ConsentChange{change(consent.Disagreed, noon.Add(-time.Hour))}, Owed: true, Messages: "x",
		Answer: consent.Statement{Subject: told, Source: consent.Poll, State: consent.Disagreed, Since: noon.Add(-time.Hour), Asked: noon, Answered: noon}}
	put, err := b.PutStanding(ctx, corp, first)
	b.OK(err)
	other := first
	other.State = consent.Agreed
	if _, err := b.PutStanding(ctx, corp, other); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("another writes over it: %v", err)
	}
	if again, err := b.PutStanding(ctx, corp, first); err != nil || again.Rev != 1 { // the answer to the first was lost
		t.Errorf("the same again: %+v %v", again, err)
	}
	read, err := b.StandingOf(ctx, corp, told)
	b.OK(err)
	if diff := cmp.Diff(put, read); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if n := len(list(noon.AddDate(0, 0, -1), noon.Add(time.Hour))); n != 0 {
		t.Errorf("%d changes are there before they are paid", n)
	}
	b.OK(b.SettleStanding(ctx, corp, read))
	if diff := cmp.Diff([]string{"disagree wm 11:00:00"}, list(noon, noon.Add(time.Minute))); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if n := len(list(noon.AddDate(0, 0, -1), noon)); n != 0 {
		t.Errorf("%d changes in the window that ends when it was found", n)
	}
	// A change that is disproved is dropped.
	second, err := b.StandingOf(ctx, corp, told)
	b.OK(err)
	if second.Owed {
		t.Error("what was paid is owed")
	}
	second.Changes, second.Drop, second.Owed = []ledger.ConsentChange{change(consent.Disagreed, noon.Add(-2*time.Hour))}, second.Changes, true
	second, err = b.PutStanding(ctx, corp, second)
	b.OK(err)
	if _, err := b.PutStanding(ctx, corp, put); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("who read it before the last write writes over it: %v", err)
	}
	b.OK(b.SettleStanding(ctx, corp, second))
	if diff := cmp.Diff([]string{"disagree wm 10:00:00"}, list(noon, noon.AddDate(0, 0, 2))); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	var keys []string
	b.OK(b.Standings(ctx, corp, true, func(s ledger.Standing) bool { keys = append(keys, s.Subject.Key()); return true }))
	if diff := cmp.Diff([]string{told.Key()}, keys); diff != "" {
		t.Error(diff)
	}
}

func TestARoundCoversWhatItAskedAbout(t *testing.T) {
	for _, c := range []struct {
		name  string
		round ledger.Round
		want  []string
	}{
		{"all", ledger.Round{}, []string{"room#a", "room#m", "room#z"}},
		{"none: it broke off before the first", ledger.Round{From: "room#m", Next: "room#m", Why: "no answer"}, nil},
		{"none: there was no secret", ledger.Round{Why: "no secret"}, nil},
		{"from the first on", ledger.Round{From: "", Next: "room#m", Why: "out of time"}, []string{"room#a"}},
		{"from the middle to the end", ledger.Round{From: "room#m", Next: "room#a", Why: "out of time"}, []string{"room#m", "room#z"}},
		{"round the end", ledger.Round{From: "room#z", Next: "room#m", Why: "out of time"}, []string{"room#a", "room#z"}},
	} {
		c.round.Kind = ledger.RoundOfRooms
		var got []string
		for _, key := range []string{"room#a", "room#m", "room#z", "member#m"} {
			if c.round.Covers(key) {
				got = append(got, key)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestTheArchiveTellsOfARoomWhoTalkedAndWhen(t *testing.T) {
	b := newBench(t)
	var list []archive.Message
	for i, at := range []time.Time{noon.AddDate(0, -3, 0), noon, noon.AddDate(0, -1, 0)} {
		list = append(list, archive.Message{Corp: corp, Seq: archive.Seq(i + 1), MsgID: archive.MsgID(at.String()), Action: archive.Send, Type: "text", Known: true, From: guest,
			To: []archive.PartyID{archive.PartyID([]string{"mai", "otto", "mai"}[i])}, Room: "wrdark", Time: at})
	}
	b.OK(b.PutMessages(t.Context(), "b", list, &ledger.People{}))
	got, err := b.Talk(corp).Of(t.Context(), "wrdark")
	b.OK(err)
	slices.Sort(got.Parties)
	if diff := cmp.Diff(ledger.RoomTalk{Parties: []archive.PartyID{"mai", "otto", guest}, First: noon.AddDate(0, -3, 0), Last: noon}, got); diff != "" {
		t.Error(diff)
	}
	if got, err := b.Talk(corp).Of(t.Context(), "wrnever"); err != nil || len(got.Parties) != 0 || !got.First.IsZero() {
		t.Errorf("of a room that nobody talked in: %+v %v", got, err)
	}
}

func TestAGroupsAlarmIsNoAlarmOfTheAccount(t *testing.T) {
	b := newBench(t)
	a := ledger.Alarm{Corp: corp, Cause: "wrlane", Open: true, Since: noon, Seen: noon, Affected: 2, Detail: "who"}
	b.OK(b.PutBreach(t.Context(), a))
	b.OK(b.ToldBreach(t.Context(), a, a.Fingerprint(), map[string]ledger.Hearing{"x": {Mail: "2031"}}))
	b.OK(b.PutBreach(t.Context(), a))
	got, err := b.Breaches(t.Context(), corp)
	b.OK(err)
	a.Told, a.ToldTo = a.Fingerprint(), map[string]ledger.Hearing{"x": {Mail: "2031"}}
	if diff := cmp.Diff([]ledger.Alarm{a}, got); diff != "" {
		t.Error(diff)
	}
	if others, err := b.Alarms(t.Context(), corp); err != nil || len(others) != 0 {
		t.Errorf("alarms of the account: %+v %v", others, err)
	}
}
