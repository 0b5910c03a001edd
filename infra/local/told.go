package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// word is as much of one of WeCom's events as is looked at here.
type word struct {
	UserID, ExternalUserID, ChatId, UpdateDetail string
	MemChangeList                                struct{ Item []string }
}

// asks is the subjects about which WeCom's word has consent ask at once; none if it has not.
func asks(e wecomsim.Delivery) (subjects []consent.Subject, err error) {
	var w word
	if err := xml.Unmarshal([]byte(e.Message), &w); err != nil {
		return nil, fmt.Errorf("delivery %d of corp %s can't be read: %w", e.ID, e.Corp, err)
	}
	switch {
	case e.State != wecomsim.DeliveryDelivered:
	case e.Change == "msg_audit_approved":
		subjects = append(subjects, consent.Subject{Member: archive.PartyID(w.UserID), External: archive.PartyID(w.ExternalUserID)})
	case e.Event == "change_external_chat" && e.Change == "update" && w.UpdateDetail == "add_member":
		for _, id := range w.MemChangeList.Item {
			if archive.ParseKind(archive.PartyID(id)) == archive.KindExternal || strings.HasPrefix(id, "wm") || strings.HasPrefix(id, "wo") {
				subjects = append(subjects, consent.Subject{Room: archive.RoomID(w.ChatId), External: archive.PartyID(id)})
			}
		}
	}
	return subjects, nil
}

// soonEnough is how long after WeCom's word its answer counts as asked for because of it: the rounds come every half hour. It is also how long the day waits.
const soonEnough = time.Minute

// asked says whether WeCom was asked about a subject within a short time after its word, and said something new.
func (d *day) asked(ctx context.Context, corp archive.CorpID, s consent.Subject, told time.Time) (bool, error) {
	said, err := d.ledger.Said(ctx, corp, s)
	return slices.ContainsFunc(said, func(a consent.Statement) bool {
		return a.Source == consent.Poll && !a.Asked.Before(told.Truncate(time.Second)) && a.Asked.Sub(told) < soonEnough
	}), err
}

// heard waits until WeCom has told everything: what is under way while the clock moves would be of yesterday, and refused. It says what came of it.
func (d *day) heard(ctx context.Context, since time.Time) error {
	for _, corp := range d.corps {
		all, err := d.sim.Settle(ctx, wecomsim.Settle{Corp: string(corp)})
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil { // what is not told is found by the next reading
			d.say("corp %s was not told of everything: %v", corp, err)
		}
		people := 0
		for _, e := range all {
			if e.State != wecomsim.DeliveryDelivered || e.Due < since.UnixMilli() {
				continue
			}
			if e.Event == "change_contact" {
				people++
			}
			if err := d.consented(ctx, corp, e); err != nil {
				return err
			}
		}
		if people > 0 {
			d.say("WeCom has told of %s of members and departments of corp %s, which are read again", some(people, "change", "changes"), corp)
		}
	}
	return nil
}

// consented waits until WeCom was asked about those of whose consent it has told. A corp that was given up can't be asked: nobody waits for that.
func (d *day) consented(ctx context.Context, corp archive.CorpID, e wecomsim.Delivery) error {
	subjects, err := asks(e)
	if err != nil || len(subjects) == 0 {
		return err
	}
	told := time.UnixMilli(e.Due)
	_, given := d.gaveUp[corp]
	done, err := house.Until(ctx, soonEnough, func() (bool, error) {
		if given {
			return true, nil
		}
		for _, s := range subjects {
			if ok, err := d.asked(ctx, corp, s, told); err != nil || !ok {
				return false, err
			}
		}
		return true, nil
	})
	of, came := "the consent of a customer of corp "+string(corp), "and was asked at once: the record of consent has it"
	if e.Event == "change_external_chat" {
		of = "who came into a group of corp " + string(corp)
	}
	if !done || given {
		came = "and is asked in the next round"
	}
	d.say("WeCom has told of %s, %s", of, came)
	return err
}

// tellings is what WeCom told of a corp in all days, and what came of it.
type tellings struct {
	taken, refused map[string]int // by event
	followed       int            // changes in the history of members and departments that carry WeCom's word
	asked          map[string]int // subjects that consent was asked about at once, by event
}

func (d *day) tellings(ctx context.Context, corp archive.CorpID) (t tellings, err error) {
	t = tellings{taken: map[string]int{}, refused: map[string]int{}, asked: map[string]int{}}
	all, err := d.sim.Deliveries(ctx, string(corp), 0)
	if err != nil || len(all) == 0 {
		return t, err
	}
	for _, e := range all {
		if e.State != wecomsim.DeliveryDelivered {
			t.refused[e.Event]++
			continue
		}
		t.taken[e.Event]++
		subjects, err := asks(e)
		if err != nil {
			return t, err
		}
		for _, s := range subjects {
			ok, err := d.asked(ctx, corp, s, time.UnixMilli(e.Due))
			if err != nil {
				return t, err
			}
			if ok {
				t.asked[e.Event]++
			}
		}
	}
	first := time.UnixMilli(all[0].Due).Add(-time.Hour)
	return t, d.ledger.Events(ctx, corp, first, d.Now().Add(time.Hour), func(e directory.Event) bool {
		if len(e.Told) > 0 {
			t.followed++
		}
		return true
	})
}

// String is the account's line; "" if WeCom told nothing.
func (t tellings) String() string {
	var parts []string
	for _, event := range slices.Sorted(maps.Keys(t.taken)) {
		var came string
		switch event {
		case "change_contact":
			came = fmt.Sprintf(" (%s of the history carry its word)", some(t.followed, "change", "changes"))
		case "msgaudit_notify":
			came = " (fetch polls anyway: it is woken where polls are 10 s apart or more)"
		default:
			came = fmt.Sprintf(" (consent of %s asked at once)", some(t.asked[event], "contact", "contacts"))
		}
		parts = append(parts, fmt.Sprintf("%s %d%s", event, t.taken[event], came))
	}
	missed := 0
	for _, n := range t.refused {
		missed += n
	}
	if missed > 0 {
		parts = append(parts, fmt.Sprintf("not taken %d: the next reading and the next round see to them", missed))
	}
	return strings.Join(parts, ", ")
}
