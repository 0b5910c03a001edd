package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	local "github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

func TestEveryPartyGetsANameWithAllSecrets(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.talk(corp)
	s := r.refreshed(corp)
	for part, o := range s.Counts.Parts {
		if !o.Complete {
			t.Errorf("%s is not complete: %s", part, o.Why)
		}
	}
	for id, want := range map[string]archive.Party{
		"ines":                         {Name: "Ines", Kind: archive.KindMember},
		"bo":                           {Name: "博", Kind: archive.KindMember},
		customer:                       {Name: "远山", Kind: archive.KindWeChat},
		partner:                        {Name: "Petra", Kind: archive.KindCompany},
		guest:                          {Name: "Guest", Kind: archive.KindWeChat},
		robot:                          {Name: "Tide table", Kind: archive.KindRobot},
		"nobody":                       {Kind: archive.KindUnknown},
		"wo" + strings.Repeat("z", 30): {Kind: archive.KindExternal},
	} {
		want.ID = archive.PartyID(id)
		// Long before the first snapshot: as of the first.
		if got := r.party(id, r.at.AddDate(0, 0, -5)); got != want {
			t.Errorf("%s is %+v, want %+v", id, got, want)
		}
	}
	ines, _ := entry[directory.Member](r, directory.KindMember, "ines")
	want := directory.Member{
		Name: "Ines", Listed: true, Departments: []int{1, 2}, Leads: []int{1}, Status: 1, Mobile: "19912340001", MobileReadable: true,
		Email: "ines@harbour.example", EmailReadable: true, Designated: true, DesignatedKnown: true, Editions: []int{1, 3},
	}
	if diff := cmp.Diff(want, ines); diff != "" {
		t.Errorf("ines (-want +got)\n%s", diff)
	}
	tomas, _ := entry[directory.Member](r, directory.KindMember, "tomas")
	if tomas.Designated || !tomas.DesignatedKnown {
		t.Errorf("tomas, who is not archived: %+v", tomas)
	}
	for id, want := range map[string]directory.Room{
		inside:    {Name: "Pier 4", Kind: directory.RoomInternal, Owner: "ines", Created: 1900000000, Count: 3, Members: []archive.PartyID{"bo", "ines", archive.PartyID(robot)}},
		outside:   {Name: "Quay talk", Kind: directory.RoomExternal, Owner: "ines", Listed: true, Count: 3, Members: []archive.PartyID{"ines", archive.PartyID(guest), archive.PartyID(partner)}},
		elsewhere: {Kind: directory.RoomUnknown},
	} {
		if got, _ := entry[directory.Room](r, directory.KindRoom, id); cmp.Diff(want, got) != "" {
			t.Errorf("room %s (-want +got)\n%s", id, cmp.Diff(want, got))
		}
	}
	night, _ := entry[directory.Department](r, directory.KindDepartment, "3")
	if night.Name != "Night shift" || night.Parent != 2 {
		t.Errorf("department 3: %+v", night)
	}
}

func TestASecondRunChangesNothing(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.talk(corp)
	first := r.refreshed(corp)
	before := r.state(corp)
	second := r.refreshed(corp)
	if diff := cmp.Diff(before, r.state(corp)); diff != "" {
		t.Errorf("the second run changed the directory (-before +after)\n%s", diff)
	}
	if second.Counts.Changed != 0 || second.Object != first.Object || second.Version != first.Version {
		t.Errorf("the second run: %+v after %+v", second, first)
	}
	history := must[[]directory.Entry](t)(r.ledger.EntryHistory(t.Context(), corp, directory.KindMember, "ines"))
	if len(history) != 1 {
		t.Errorf("%d states of an unchanged member", len(history))
	}
}

func TestALostMobileStaysInTheHistory(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	had := r.at
	r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"ines": raw(map[string]string{"mobile": "", "name": "Ines M."})}})
	s := r.refreshed(corp)
	if s.Counts.Changed != 1 {
		t.Errorf("%d changes, want 1", s.Counts.Changed)
	}
	history := must[[]directory.Entry](t)(r.ledger.EntryHistory(t.Context(), corp, directory.KindMember, "ines"))
	if len(history) != 2 || !history[0].At.Equal(had) || !history[1].At.Equal(r.at) || !directory.HadMobile(history) {
		t.Fatalf("history %+v", history)
	}
	now := must[directory.Member](t)(directory.Parse[directory.Member](history[1].Fields))
	if now.Mobile != "" || !now.MobileReadable {
		t.Errorf("after the loss: %+v", now)
	}
	if got := r.party("ines", had.Add(time.Minute)).Name; got != "Ines" {
		t.Errorf("before the change she is %q", got)
	}
	if got := r.party("ines", r.at).Name; got != "Ines M." {
		t.Errorf("after the change she is %q", got)
	}
}

func TestWhatASecretHidesIsUnknownAndNotEmpty(t *testing.T) {
	for name, c := range map[string]struct {
		secret             string // for contacts; "" is none
		readable, statuses bool
		via                secrets.Kind
	}{
		"an app from before 2022":       {"legacy-of-", true, true, secrets.Contacts},
		"a newer app":                   {"new-of-", false, true, secrets.Contacts},
		"contacts sync at a newer host": {"sync-of-", false, true, secrets.Contacts},
		"the archive's secret alone":    {"", false, true, secrets.Archive},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if c.secret != "" {
				r.hold(corp, secrets.Contacts, c.secret+string(corp))
			}
			s := r.refreshed(corp)
			members := s.Counts.Parts[directory.PartMembers]
			if !members.Complete || members.Read != 3 || members.Via != string(c.via) || members.Mobile != c.readable {
				t.Errorf("members: %+v", members)
			}
			for id, mobile := range map[string]string{"ines": "19912340001", "bo": ""} {
				m, _ := entry[directory.Member](r, directory.KindMember, id)
				if !c.readable {
					mobile = ""
				}
				if m.MobileReadable != c.readable || m.EmailReadable != c.readable || m.Mobile != mobile || m.Name == "" || !m.Listed || m.Status == 0 {
					t.Errorf("%s: %+v", id, m)
				}
			}
			if d, _ := entry[directory.Department](r, directory.KindDepartment, "2"); d.Name != "Freight" {
				t.Errorf("department 2: %+v", d)
			}
		})
	}
}

func TestNobodyVanishesWhenAReadingFails(t *testing.T) {
	slow(t)
	apis := []string{
		"gettoken", "department/list", "user/list", "msgaudit/get_permit_user_list", "msgaudit/groupchat/get", "msgaudit/get_robot_info",
		"externalcontact/get_follow_user_list", "externalcontact/batch/get_by_user", "externalcontact/groupchat/list", "externalcontact/groupchat/get",
	}
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.talk(corp)
	r.refreshed(corp)
	before := r.state(corp)
	for _, api := range apis {
		for _, f := range []wecomsim.Fault{
			{Kind: wecomsim.FaultCode, ErrCode: 45009}, {Kind: wecomsim.FaultCode, ErrCode: -1}, {Kind: wecomsim.FaultCode, ErrCode: 60020},
			{Kind: wecomsim.FaultCode, ErrCode: 48002}, {Kind: wecomsim.FaultCode, ErrCode: 40001}, {Kind: wecomsim.FaultCut}, {Kind: wecomsim.FaultHTML},
			{Kind: wecomsim.FaultEmpty}, {Kind: wecomsim.Fault500}, {Kind: wecomsim.FaultReset},
			{Kind: wecomsim.FaultCode, ErrCode: 45009, Skip: 1},
		} {
			f.API = api
			r.fault(f)
			s := r.refreshed(corp)
			for key, was := range before {
				is := r.state(corp)[key]
				if strings.HasPrefix(is, "gone ") {
					t.Errorf("%s answers %s %d: %s is gone", api, f.Kind, f.ErrCode, key)
				}
				if strings.Contains(was, `"mobile":"1`) && !strings.Contains(is, `"mobile":"1`) && f.ErrCode != 48002 {
					t.Errorf("%s answers %s %d: %s lost the mobile", api, f.Kind, f.ErrCode, key)
				}
			}
			if f.Skip > 0 && api == "msgaudit/get_permit_user_list" && s.Counts.Changed > 0 {
				t.Errorf("half of the lists of designated members changed %d states", s.Counts.Changed)
			}
			if s.Counts.Gone > 0 {
				t.Errorf("%s answers %s %d: %d gone", api, f.Kind, f.ErrCode, s.Counts.Gone)
			}
			r.lift()
			r.refreshed(corp)
			if diff := cmp.Diff(before, r.state(corp)); diff != "" {
				t.Fatalf("after %s answered %s %d (-before +after)\n%s", api, f.Kind, f.ErrCode, diff)
			}
		}
	}
	// None of these runs may have logged a name, a number, an id or a secret.
	for _, canary := range []string{"Ines", "ines", "博", "19912340001", "harbour.example", "远山", "Petra", "Quay", "Pier", customer, inside, "legacy-of", "customer-of", "access_token", "hint"} {
		if strings.Contains(r.log.String(), canary) {
			t.Errorf("the log holds %q", canary)
		}
	}
}

func TestWhoeverLeftIsGoneAndKeepsTheName(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.talk(corp)
	r.refreshed(corp)
	r.change(wecomsim.ChangeContacts{Remove: []string{"tomas", customer, outside}})
	s := r.refreshed(corp)
	// With the room goes the guest, who was in no other and nobody's contact.
	if s.Counts.Gone != 4 {
		t.Errorf("%d gone, want 4", s.Counts.Gone)
	}
	for id, want := range map[string]string{"tomas": "Tomás", customer: "远山", guest: "Guest"} {
		if p := r.party(id, r.at); p.Name != want {
			t.Errorf("%s is %+v after leaving", id, p)
		}
	}
	if _, gone := entry[directory.Member](r, directory.KindMember, "tomas"); !gone {
		t.Error("tomas is not gone")
	}
	r.change(wecomsim.ChangeContacts{Members: []wecomsim.Member{{UserID: "tomas", Name: "Tomás", Department: []int{2}}}})
	r.refreshed(corp)
	if m, gone := entry[directory.Member](r, directory.KindMember, "tomas"); gone || m.Departments[0] != 2 {
		t.Errorf("back again: %+v, gone %v", m, gone)
	}
}

func TestASecretAddedLaterNamesEarlierParties(t *testing.T) {
	r := newRig(t)
	r.talk(corp)
	s := r.refreshed(corp)
	early := r.at
	if o := s.Counts.Parts[directory.PartExternals]; o.Complete || o.Why != reading.NotHeld {
		t.Errorf("externals without a secret: %+v", o)
	}
	if p := r.party(customer, early); p != (archive.Party{ID: archive.PartyID(customer), Kind: archive.KindExternal}) {
		t.Errorf("without the customer secret: %+v", p)
	}
	room, _ := entry[directory.Room](r, directory.KindRoom, outside)
	if room.Kind != directory.RoomExternal || room.Shown() {
		t.Errorf("without the customer secret the room is %+v", room)
	}
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.refreshed(corp)
	if p := r.party(customer, early); p.Name != "远山" || p.Kind != archive.KindWeChat {
		t.Errorf("with the customer secret: %+v", p)
	}
	named, ok, err := directory.NewNames(r.ledger, corp).Room(t.Context(), archive.RoomID(outside), early)
	if err != nil || !ok || named.Name != "Quay talk" {
		t.Errorf("the room: %+v %v %v", named, ok, err)
	}
}

func TestAnAppThatIsCallableForCustomersNeedsNoSecondSecret(t *testing.T) {
	r := newRig(t)
	must[wecomsim.Corp](t)(r.sim.ChangeCorp(t.Context(), wecomsim.ChangeCorp{Corp: string(corp),
		Secret: &wecomsim.Secret{Kind: wecomsim.KindNewApp, Value: "new-of-" + string(corp), Callable: true}}))
	r.hold(corp, secrets.Contacts, "new-of-"+string(corp))
	s := r.refreshed(corp)
	if o := s.Counts.Parts[directory.PartExternals]; !o.Complete || o.Via != string(secrets.Contacts) {
		t.Errorf("externals: %+v", o)
	}
	if p := r.party(partner, r.at); p.Name != "Petra" {
		t.Errorf("the partner: %+v", p)
	}
}

func TestAMemberBeyondTheVisibleRangeIsStillNamed(t *testing.T) {
	r := newRig(t)
	must[wecomsim.Corp](t)(r.sim.ChangeCorp(t.Context(), wecomsim.ChangeCorp{Corp: string(corp),
		Secret: &wecomsim.Secret{Kind: wecomsim.KindLegacyApp, Value: "legacy-of-" + string(corp), Departments: []int{3}}}))
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	s := r.refreshed(corp)
	bo, gone := entry[directory.Member](r, directory.KindMember, "bo")
	if bo.Name != "博" || bo.Listed || !bo.Designated || bo.MobileReadable || gone {
		t.Errorf("bo, whom the archive's secret alone sees: %+v, gone %v", bo, gone)
	}
	if s.Counts.Parts[directory.PartMembers].Read != 1 {
		t.Errorf("members: %+v", s.Counts.Parts[directory.PartMembers])
	}
}

func TestASecretThatIsRefusedMakesNobodyVanish(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	must[wecomsim.Corp](t)(r.sim.ChangeCorp(t.Context(), wecomsim.ChangeCorp{Corp: string(corp),
		Secret: &wecomsim.Secret{Kind: wecomsim.KindArchive, Value: "archive-of-" + string(corp), Departments: []int{3}}}))
	for range 2 {
		// The app for contacts, which is asked first, may read nothing; the archive's secret sees one department alone.
		for _, api := range []string{"department/list", "department/simplelist"} {
			r.fault(wecomsim.Fault{API: api, Kind: wecomsim.FaultCode, ErrCode: 48002, Times: 1})
		}
		s := r.refreshed(corp)
		want := directory.Outcome{Read: 1, Via: string(secrets.Archive), Why: "errcode 48002"}
		got := s.Counts.Parts[directory.PartMembers]
		got.Read = min(got.Read, 1)
		if got != want || s.Counts.Gone > 0 {
			t.Errorf("%d gone; members %+v", s.Counts.Gone, got)
		}
	}
}

func TestAWrongSecretIsSaidOnce(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Archive, "not the secret")
	s := r.refreshed(corp)
	account := must[wecomsim.Account](t)(r.sim.Account(t.Context(), string(corp)))
	if n := account.Calls["gettoken"]; n != 1 {
		t.Errorf("a token was asked for %d times with a wrong secret", n)
	}
	if o := s.Counts.Parts[directory.PartMembers]; o.Why != "errcode 40001" {
		t.Errorf("members: %+v", o)
	}
	if strings.Contains(r.log.String(), "not the secret") {
		t.Error("the log holds the secret")
	}
	if kept := r.answers(s); strings.Contains(kept, "not the secret") || strings.Contains(kept, "corpsecret") {
		t.Error("the snapshot holds the secret")
	}
}

func TestOneHangingCorpDelaysNoOther(t *testing.T) {
	r := newRig(t)
	r.company("wwother")
	r.budget = 300 * time.Millisecond
	r.fault(wecomsim.Fault{Kind: wecomsim.FaultHang})
	s := r.refreshed("wwother")
	if o := s.Counts.Parts[directory.PartMembers]; !o.Complete {
		t.Errorf("the other corp's members: %+v", o)
	}
	if o := r.snapshot(corp).Counts.Parts[directory.PartMembers]; o.Complete || o.Why != "out of time" {
		t.Errorf("the hanging corp's members: %+v", o)
	}
}

func TestAReadingThatRunsOutOfTimeGoesOnWhereItStopped(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.talk(corp)
	r.fault(wecomsim.Fault{Kind: wecomsim.FaultHang, API: "externalcontact/groupchat/get"})
	r.budget = 500 * time.Millisecond
	s := r.refreshed(corp)
	if s.Counts.Next == "" || s.Counts.Parts[directory.PartRooms].Complete {
		t.Errorf("counts %+v", s.Counts)
	}
	r.lift()
	r.budget = time.Minute
	s = r.refreshed(corp)
	if s.Counts.Next != "" || !s.Counts.Parts[directory.PartRooms].Complete {
		t.Errorf("counts %+v", s.Counts)
	}
}

// The function dies before each of its writes, and after each that it takes for failed: the next run ends in the same state.
func TestACrashBetweenAnyTwoWritesIsMadeGood(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.refreshed(corp)
	want := r.state(corp)
	for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter} {
		for n := 1; n <= 4; n++ { // the answers, the history, the newest states, the snapshot
			r.ok(r.ledger.PutEntries(t.Context(), corp, []directory.Entry{{Kind: directory.KindMember, ID: "bo", At: r.at.Add(time.Minute), Fields: `{"listed":true}`}}))
			seen := 0
			dies := func(q awslocal.FaultRequest) awslocal.FaultDecision {
				if q.Operation == "BatchWriteItem" || q.Operation == "PutItem" || q.Operation == "PutObject" {
					seen++
				}
				switch {
				case seen < n:
					return awslocal.FaultDecision{}
				case seen == n:
					return awslocal.FaultDecision{Act: act}
				default:
					return awslocal.FaultDecision{Act: awslocal.Refuse}
				}
			}
			r.aws.Fault(dies)
			r.s3.SetFault(dies)
			r.at = r.at.Add(time.Hour)
			if err := r.run(t.Context()); err == nil || seen < n {
				t.Errorf("write %d, act %d: the run succeeded after %d writes", n, act, seen)
			}
			r.aws.Fault(nil)
			r.s3.SetFault(nil)
			r.refreshed(corp)
			if diff := cmp.Diff(want, r.state(corp)); diff != "" {
				t.Fatalf("write %d, act %d (-undisturbed +this)\n%s", n, act, diff)
			}
			history := must[[]directory.Entry](t)(r.ledger.EntryHistory(t.Context(), corp, directory.KindMember, "bo"))
			for i, e := range history[1:] {
				if before := history[i]; e.Fields == before.Fields && e.Gone == before.Gone {
					t.Errorf("write %d, act %d: one state is in the history twice, from %v and from %v", n, act, before.At, e.At)
				}
			}
		}
	}
}

func TestACompanyWithoutSecretsIsSaidToBeUnread(t *testing.T) {
	r := newRig(t)
	r.ok(r.ledger.PutCorp(t.Context(), ledger.Corp{ID: "wwbare", Added: r.at}))
	s := r.refreshed("wwbare")
	for part, o := range s.Counts.Parts {
		if o.Complete || o.Why != reading.NotHeld {
			t.Errorf("%s: %+v", part, o)
		}
	}
	if len(s.Counts.Parts) != 7 || s.Object != "" {
		t.Errorf("snapshot %+v", s)
	}
}

func TestAPanicOfOneCorpIsToldWithoutItsValueAndEndsNoOther(t *testing.T) {
	r := newRig(t)
	r.ok(r.ledger.PutCorp(t.Context(), ledger.Corp{ID: "wwablown", Added: r.at}))
	calm := r.ledger
	r.ledger = ledger.New(dynamodb.NewFromConfig(local.Panicking(r.aws.Config("operator"), "wwablown")), ledger.Tables{Control: "control", Messages: "messages", Directory: "directory"})
	err := r.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "panic with a value of type string") || strings.Contains(err.Error(), "canary") {
		t.Errorf("the run says %v", err)
	}
	snapshots := 0
	r.ok(calm.Snapshots(t.Context(), corp, func(ledger.Snapshot) bool { snapshots++; return true }))
	if snapshots != 1 {
		t.Errorf("%d snapshots of the other corp", snapshots)
	}
}
