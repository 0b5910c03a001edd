package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// The members to whom something happens in the middle of each run's day.
const (
	headOfDesk  = "member00" // is mailed as such
	renumbered  = "member01"
	leaves      = "leaver"
	mobileLost  = "member02"
	unreachable = "member03"
	joins       = "newcomer"
	newHead     = "member04"
	refusing    = 1 // of the external contacts; in the room "wroutside"
	latecomer   = 2 // of the external contacts; he disagreed with his only member before, agrees then, and comes into the room
)

// changes are what happens in a company between two readings of its directory: to its people, and then to its customers, so that who is told of the customers
// is settled. Each is all at one moment, and may be asked for again.
func changes(corp string) []wecomsim.ChangeContacts {
	field := func(text string) json.RawMessage { return json.RawMessage(text) }
	return []wecomsim.ChangeContacts{{
		Corp: corp, Remove: []string{leaves},
		Members: []wecomsim.Member{{UserID: joins, Name: "New Person", Department: []int{2}, IsLeaderInDept: []int{0}, Mobile: "13900000099", Email: joins + "@" + corp + ".example", Status: 1}},
		Change: map[string]json.RawMessage{
			renumbered:  field(`{"mobile":"13800007777"}`),
			mobileLost:  field(`{"mobile":""}`),
			unreachable: field(`{"mobile":"","email":""}`),
			newHead:     field(`{"is_leader_in_dept":[1]}`),
		},
	}, {
		Corp: corp, Rooms: []wecomsim.Room{outside(externals)},
		Consents: []wecomsim.Consent{
			{RoomID: "wroutside", External: external(refusing), Status: "Disagree", Changed: dawn.Add(-time.Minute).Unix()},
			{RoomID: "wroutside", External: external(latecomer), Status: "Agree", Changed: dawn.Add(-50 * time.Second).Unix()},
			{UserID: hostOfLatecomer, External: external(latecomer), Status: "Agree", Changed: dawn.Add(-40 * time.Second).Unix()},
		},
	}}
}

// hear gives WeCom the addresses for its callbacks; what is refused meanwhile is tried again, as an admin would.
func (p *player) hear(ctx context.Context) error {
	for _, c := range p.corpus.Corps {
		for {
			err := p.Hear(ctx, p.sim, c.ID, wecomsim.CallbackContacts, wecomsim.CallbackCustomer, wecomsim.CallbackArchive)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return err
			}
			rest(ctx, 500*time.Millisecond)
		}
	}
	return nil
}

// change has people join, leave and change in each company, and its customers agree and come, and waits each time until WeCom has told of it and everybody
// named was looked at again.
func (p *player) change(ctx context.Context) error {
	// Further from the readings before than any two clocks are from each other, so that a storm's clocks do not turn before and after round.
	if err := p.forward(ctx, p.Now().Add(4*skew)); err != nil {
		return err
	}
	for i := range changes("") {
		if err := p.changed(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) changed(ctx context.Context, i int) error {
	for _, c := range p.corpus.Corps {
		// Repeated: the simulator may be killed at any moment.
		for {
			err := p.sim.ChangeContacts(ctx, changes(c.ID)[i])
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return err
			}
			rest(ctx, 200*time.Millisecond)
		}
	}
	for _, c := range p.corpus.Corps {
		for told := false; !told; {
			all, err := p.sim.Settle(ctx, wecomsim.Settle{Corp: c.ID})
			if err == nil {
				told, err = p.tellAgain(ctx, all)
			}
			if ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
			if err != nil {
				rest(ctx, 200*time.Millisecond)
			}
		}
	}
	return p.settle(ctx, func() (string, error) { return p.unread(ctx) })
}

// tellAgain has WeCom tell once more what it has given up after its four tries, as happens in a storm alone: what nobody was told of is found by the next
// reading, with less of how it came about, and that would be another history. told is true if nothing was given up, or has been told since.
func (p *player) tellAgain(ctx context.Context, all []wecomsim.Delivery) (told bool, err error) {
	about := func(d wecomsim.Delivery) string {
		_, rest, _ := strings.Cut(d.Message, "</ChangeType>")
		return strings.TrimSuffix(rest, "</xml>")
	}
	taken := map[string]bool{}
	for _, d := range all {
		if d.State == wecomsim.DeliveryDelivered {
			taken[d.Change+about(d)] = true
		}
	}
	told = true
	for _, d := range all {
		if d.State != wecomsim.DeliveryFailed || d.Change == "" || taken[d.Change+about(d)] {
			continue
		}
		told, taken[d.Change+about(d)] = false, true
		// A clock that was moved may be why it was refused.
		if err := p.setClock(ctx, p.Now()); err != nil {
			return false, err
		}
		if _, err := p.sim.SendEvent(ctx, wecomsim.RawEvent{Corp: d.Corp, Kind: d.Kind, Event: d.Event, Change: d.Change, XML: about(d)}); err != nil {
			return false, err
		}
	}
	return told, nil
}

// The elements of WeCom's events that are looked at.
var (
	toldMember = regexp.MustCompile(`<UserID><!\[CDATA\[([^\]]*)\]\]></UserID>`)
	toldAt     = regexp.MustCompile(`<CreateTime>([0-9]+)</CreateTime>`)
)

// heard calls f for what WeCom told of members and was answered for: the address has taken it upon itself then.
func (p *player) heard(ctx context.Context, corp string, f func(d wecomsim.Delivery, member string) error) error {
	all, err := p.sim.Deliveries(ctx, corp, 0)
	if err != nil {
		return err
	}
	for _, d := range all {
		member := toldMember.FindStringSubmatch(d.Message)
		if d.State != wecomsim.DeliveryDelivered || d.Event != "change_contact" || member == nil {
			continue
		}
		if err := f(d, member[1]); err != nil {
			return err
		}
	}
	return nil
}

// unread names a member of whom WeCom told and whose state does not have it. Only those who came or went count: their state says by itself whether they were
// looked at since.
func (p *player) unread(ctx context.Context) (missing string, err error) {
	for _, c := range p.corpus.Corps {
		err := p.heard(ctx, c.ID, func(d wecomsim.Delivery, member string) error {
			held, err := p.ledger.Held(ctx, archive.CorpID(c.ID), directory.KindMember, member)
			came, went := held.Fields != "" && !held.Gone, held.Gone
			if d.Change == "create_user" && !came || d.Change == "delete_user" && !went {
				missing = fmt.Sprintf("WeCom's word %s of %s was taken, and nobody looked", d.Change, member)
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return missing, nil
}

// consent has WeCom asked about consent until nobody waits for an answer.
func (p *player) consent(ctx context.Context) error {
	if err := p.invoked(ctx, "ConsentFunction", `{}`); err != nil {
		return err
	}
	return p.settle(ctx, func() (string, error) {
		for _, c := range p.corpus.Corps {
			open, err := p.ledger.Breaches(ctx, archive.CorpID(c.ID))
			if err != nil {
				return "", err
			}
			i := slices.IndexFunc(open, func(a ledger.Alarm) bool { return a.Open && a.Cause == "wroutside" })
			if i < 0 || open[i].Told != open[i].Fingerprint() {
				_, _, err := p.invoke(ctx, "ConsentFunction", `{}`)
				return "a group with a member who disagreed is not told of", err
			}
		}
		return "", nil
	})
}

// again has the directory and consent read as the hourly schedules would before noon, and what they lead to done.
func (p *player) again(ctx context.Context) error {
	began := p.Now()
	for _, c := range p.corpus.Corps {
		for {
			if err := p.invoked(ctx, "DirectoryFunction", `{}`); err != nil {
				return err
			}
			ok := false
			err := p.ledger.Snapshots(ctx, archive.CorpID(c.ID), func(s ledger.Snapshot) bool {
				ok = !s.At.Before(began)
				for _, part := range s.Counts.Parts {
					ok = ok && part.Complete
				}
				return false
			})
			if err != nil {
				return err
			}
			if ok {
				break
			}
		}
	}
	return p.consent(ctx)
}
