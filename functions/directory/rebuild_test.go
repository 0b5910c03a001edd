package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// rebuilt is the history that follows from what is kept in S3 alone.
func (r *rig) rebuilt() map[reading.Who]reading.Life {
	r.Helper()
	made := must[*reading.Rebuilt](r.T)(reading.Rebuild(r.Context(), r.store, corp, func(int, int) {}))
	lives := map[reading.Who]reading.Life{}
	for _, w := range made.Entries() {
		lives[w] = made.Life(w)
	}
	return lives
}

// live is what the ledger has, in the form of rebuilt.
func (r *rig) live() map[reading.Who]reading.Life {
	r.Helper()
	lives := map[reading.Who]reading.Life{}
	r.ok(r.ledger.Helds(r.Context(), corp, func(h ledger.Held) bool {
		if !followed(h.Kind) {
			lives[reading.Who{Kind: h.Kind, ID: h.ID}] = reading.Life{States: must[[]directory.Entry](r.T)(r.ledger.EntryHistory(r.Context(), corp, h.Kind, h.ID))}
		} else {
			life := must[ledger.Life](r.T)(r.ledger.Life(r.Context(), corp, h.Kind, h.ID))
			events := must[[]directory.Event](r.T)(r.ledger.KeptEvents(r.Context(), corp, life.Events))
			for i := range events {
				events[i].Recorded = events[i].By
			}
			slices.SortFunc(events, func(a, b directory.Event) int { return strings.Compare(a.Key(), b.Key()) })
			states := must[[]directory.Entry](r.T)(r.ledger.EntryHistory(r.Context(), corp, h.Kind, h.ID))
			lives[reading.Who{Kind: h.Kind, ID: h.ID}] = reading.Life{Looks: life.Looks, Notices: life.Notices, Events: events, States: states}
		}
		return true
	}))
	return lives
}

func (r *rig) sameAsKept(t interface {
	Helper()
	Fatalf(string, ...any)
}) {
	t.Helper()
	made := r.rebuilt()
	for w, life := range made {
		slices.SortFunc(life.Events, func(a, b directory.Event) int { return strings.Compare(a.Key(), b.Key()) })
		if len(life.States) == 0 {
			delete(made, w) // WeCom never showed it: there are rows of what it told, and no state
		}
	}
	sorted := cmpopts.SortSlices(func(a, b directory.Look) bool {
		return a.Asked.Before(b.Asked) || a.Asked.Equal(b.Asked) && a.Part < b.Part
	})
	if diff := cmp.Diff(r.live(), made, cmpopts.EquateEmpty(), sorted); diff != "" {
		t.Fatalf("-ledger +of what S3 has\n%s", diff)
	}
}

// Whatever happens, and however the product hears of it, the history that S3 alone gives is the ledger's.
func TestTheHistoryCanBeMadeAgainOfWhatS3Has(t *testing.T) {
	slow(t)
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue { // each has an AWS of its own
		if err := checks.Value.Set("12"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := checks.Value.Set(checks.DefValue); err != nil {
				t.Error(err)
			}
		})
	}
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		r.consent = func(context.Context, queue.ConsentJob) error { return nil }
		r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
		if rapid.Bool().Draw(rt, "customers") {
			r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
		}
		if rapid.Bool().Draw(rt, "talk") {
			r.talk(corp)
		}
		var told []queue.DirectoryJob // not done yet
		tell := func(id string, says directory.Telling) {
			n := directory.Notice{Kind: directory.KindMember, ID: id, At: r.at.Truncate(time.Second), Says: says}
			r.ok(r.ledger.PutNotice(r.Context(), corp, n))
			told = append(told, queue.DirectoryJob{Corp: corp, Kind: n.Kind, ID: id, At: n.At, Says: says})
		}
		for i := range rapid.IntRange(3, 14).Draw(rt, "steps") {
			label := fmt.Sprint("step ", i)
			r.at = r.at.Add(time.Duration(rapid.IntRange(1, 50).Draw(rt, label+" later")) * time.Minute)
			id := rapid.SampledFrom([]string{"ines", "bo", "tomas"}).Draw(rt, label+" who")
			switch rapid.SampledFrom([]string{"snapshot", "snapshot", "double", "change", "change", "leave", "look", "look", "trouble", "secret", "talk", "group", "group", "contact", "outside"}).Draw(rt, label) {
			case "snapshot":
				r.refreshed(corp)
			case "double":
				r.refreshed(corp)
				r.at = r.at.Add(-time.Hour + time.Duration(rapid.IntRange(0, 5).Draw(rt, label+" apart"))*time.Millisecond)
				r.refreshed(corp)
			case "change":
				fields := rapid.SampledFrom([]map[string]any{{"mobile": ""}, {"mobile": "19912340009"}, {"email": "x@harbour.example"}, {"status": 2}, {"status": 1}, {"department": []int{3}},
					{"name": "N. N."}}).Draw(rt, label+" fields")
				r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{id: raw(fields)}, Members: []wecomsim.Member{{UserID: id, Name: "Back", Department: []int{2}, Status: 1}}})
				tell(id, directory.ToldUpdated)
			case "leave":
				r.change(wecomsim.ChangeContacts{Remove: []string{id}})
				tell(id, directory.ToldDeleted)
			case "talk":
				r.talk(corp)
			case "group":
				group := rapid.SampledFrom([]wecomsim.Room{
					{ID: inside, Kind: wecomsim.RoomInternal, Name: "Pier 5", Owner: "bo", Members: []string{"ines", "bo", robot}},
					{ID: outside, Kind: wecomsim.RoomExternal, Name: "Quay talk", Owner: "ines", Members: []string{"ines", partner, guest, customer}},
					{ID: outside, Kind: wecomsim.RoomExternal, Name: "Quay", Owner: "bo", Members: []string{"bo", partner}},
				}).Draw(rt, label+" group")
				r.change(wecomsim.ChangeContacts{Rooms: []wecomsim.Room{group}})
				if rapid.IntRange(0, 3).Draw(rt, label+" dismissed") == 0 {
					r.change(wecomsim.ChangeContacts{Remove: []string{group.ID}})
				}
				told = append(told, queue.DirectoryJob{Corp: corp, Kind: directory.KindRoom, ID: outside})
			case "contact":
				r.change(wecomsim.ChangeContacts{Externals: []wecomsim.External{{ID: customer, Name: rapid.SampledFrom([]string{"远山", "Yuan"}).Draw(rt, label+" name"), Type: 1,
					FollowUsers: []wecomsim.Follow{{UserID: rapid.SampledFrom([]string{"ines", "bo"}).Draw(rt, label+" follower")}}}}})
				if rapid.IntRange(0, 3).Draw(rt, label+" lost") == 0 {
					r.change(wecomsim.ChangeContacts{Remove: []string{customer}})
				}
				told = append(told, queue.DirectoryJob{Corp: corp, Kind: directory.KindExternal, ID: customer, Follower: "ines"})
			case "outside":
				kind, id := directory.KindExternal, partner
				if rapid.Bool().Draw(rt, label+" room") {
					kind, id = directory.KindRoom, outside
				}
				r.work(queue.DirectoryJob{Corp: corp, Kind: kind, ID: id, Follower: "bo", Again: true})
			case "look":
				if len(told) == 0 {
					break
				}
				n := rapid.IntRange(0, len(told)-1).Draw(rt, label+" which")
				r.work(told[n])
				if rapid.Bool().Draw(rt, label+" done") {
					told = slices.Delete(told, n, n+1)
				}
			case "trouble":
				r.fault(wecomsim.Fault{API: rapid.SampledFrom([]string{"user/list", "department/list", "user/get", "msgaudit/get_permit_user_list", "msgaudit/groupchat/get", "externalcontact/groupchat/get", "externalcontact/groupchat/list",
					"externalcontact/batch/get_by_user", "msgaudit/get_robot_info", "externalcontact/get_follow_user_list"}).Draw(rt, label+" call"),
					Kind: wecomsim.FaultCode, ErrCode: rapid.SampledFrom([]int{48002, 60011, 60020}).Draw(rt, label+" code")})
				r.refreshed(corp)
				r.lift()
			case "secret":
				r.hold(corp, secrets.Contacts, rapid.SampledFrom([]string{"legacy-of-", "new-of-", "sync-of-"}).Draw(rt, label+" which")+string(corp))
			}
		}
		for _, job := range told {
			r.at = r.at.Add(time.Second)
			r.work(job)
		}
		r.at = r.at.Add(time.Minute)
		r.refreshed(corp)
		r.sameAsKept(rt)
	})
}

func TestAnswersThatAreNotWholeAreNotRead(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	s := r.refreshed(corp)
	kept := must[[]byte](t)(r.store.Get(t.Context(), objstore.Object{Key: s.Object, VersionID: s.Version}))
	record := reading.Record{Corp: corp, Asked: s.At, Answered: s.Until, Object: s.Object, Counts: s.Counts}
	read := must[directory.Reading](t)(reading.Replay(t.Context(), record, kept))
	if len(read.Members) != 3 || len(read.Departments) != 3 || len(read.Designated) != 2 {
		t.Errorf("read %d members, %d departments, %d designated", len(read.Members), len(read.Departments), len(read.Designated))
	}
	fewer := reading.NewKeeper()
	fewer.Held(reading.Readers{})
	for name, content := range map[string][]byte{"cut": kept[:len(kept)/2], "of no secret": must[[]byte](t)(fewer.Bytes()), "no archive": []byte("answers")} {
		if _, err := reading.Replay(t.Context(), record, content); err == nil || strings.Contains(err.Error(), "Ines") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A list that broke off makes looks at single members: those that say something new count, the others do not, and S3 says which.
func TestOfAListThatBrokeOffWhatIsNewIsInTheHistoryMadeAgain(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"bo": raw(map[string]any{"mobile": "19912340008"})}})
	r.fault(wecomsim.Fault{API: "user/list", Kind: wecomsim.FaultCode, ErrCode: 60011, Skip: 2})
	if s := r.refreshed(corp); s.Counts.Parts[directory.PartMembers].Complete || s.Counts.Parts[directory.PartMembers].Read != 2 {
		t.Fatalf("the list is %+v", s.Counts.Parts[directory.PartMembers])
	}
	broke := r.at
	r.lift()
	r.sameAsKept(t)
	r.refreshed(corp)
	r.sameAsKept(t)
	life := r.rebuilt()[reading.Who{Kind: directory.KindMember, ID: "bo"}]
	if len(life.Events) != 1 || life.Events[0].What != directory.MobileSet || !life.Events[0].By.Equal(broke) {
		t.Errorf("bo's events are %+v", life.Events)
	}
	if ines := r.rebuilt()[reading.Who{Kind: directory.KindMember, ID: "ines"}]; len(ines.Looks.Looks) != 2 { // members, designated
		t.Errorf("ines was looked at as ever, and has %d looks", len(ines.Looks.Looks))
	}
}
