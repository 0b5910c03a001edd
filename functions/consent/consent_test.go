package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
)

func TestAGroupIsABreachFromTheRefusalToTheConsent(t *testing.T) {
	d := newDesk(t)
	const id = "wwtern"
	d.company(id)
	d.run()
	if b := d.breaches(id); len(b) != 0 || len(d.Take("ReportQueue")) != 0 {
		t.Fatalf("nobody refused, and there are %+v", b)
	}
	in := func(who archive.PartyID) consent.Subject { return consent.Subject{Room: lane, External: who} }
	for who, want := range map[archive.PartyID]consent.State{guest: consent.Agreed, partner: consent.Agreed, silent: consent.Default} {
		if got := d.standing(id, in(who)); got.State != want {
			t.Errorf("%s is %q, want %q", who, got.State, want)
		}
	}
	if got := d.standing(id, consent.Subject{Member: "otto", External: partner}); got.State != consent.Agreed {
		t.Errorf("with otto the partner is %q", got.State)
	}

	d.later(30 * time.Minute)
	refused := d.at.Add(-10 * time.Minute)
	d.say(id, lane, guest, "Disagree", refused)
	d.run()
	b := d.breaches(id)
	if len(b) != 1 || !b[0].Open || b[0].Cause != string(lane) || b[0].Affected != 1 || !b[0].Since.Equal(d.at) {
		t.Fatalf("the breach is %+v", b)
	}
	job := d.Take("ReportQueue")
	if len(job) != 1 || !strings.Contains(job[0], `"R6"`) {
		t.Errorf("asked of report: %q", job)
	}
	s := d.standing(id, in(guest))
	last := s.Changes[len(s.Changes)-1]
	if s.State != consent.Disagreed || last.Old != consent.Agreed || !last.At.Equal(refused) || !last.Found.Equal(d.at) {
		t.Errorf("the guest stands %+v", s)
	}

	// A day of the same answers writes rounds and nothing else.
	before := d.state(id)
	rows := len(d.Rows("DirectoryTable"))
	for range 3 {
		d.later(30 * time.Minute)
		d.run()
	}
	if diff := cmp.Diff(before, d.state(id)); diff != "" {
		t.Errorf("the same answers (-before +after):\n%s", diff)
	}
	if now := len(d.Rows("DirectoryTable")); now != rows+6 {
		t.Errorf("%d rows became %d: three runs have six rounds", rows, now)
	}
	d.Take("ReportQueue")

	told := d.breaches(id)[0]
	d.OK(d.operator.ToldBreach(t.Context(), told, told.Fingerprint(), nil))
	d.later(30 * time.Minute)
	d.say(id, lane, guest, "Agree", d.at.Add(-time.Minute))
	d.run()
	b = d.breaches(id)
	if len(b) != 1 || b[0].Open || !b[0].Over.Equal(d.at) || b[0].Detail != overAgreed || !b[0].Since.Equal(told.Since) {
		t.Errorf("after the consent the breach is %+v", b)
	}
	if n := len(d.Take("ReportQueue")); n != 1 {
		t.Errorf("%d wishes for the closing notice", n)
	}
	if diff := cmp.Diff([]string{
		"member#mai#guest:  → default poll", "member#mai#silent:  → default poll", "member#otto#partner:  → agree poll",
		"room#lane#guest:  → agree poll", "room#lane#guest: agree → disagree poll", "room#lane#guest: disagree → agree poll",
		"room#lane#partner:  → agree poll", "room#lane#silent:  → default poll",
	}, d.changes(id)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}

	// Told that it is over, nothing is asked for any more.
	over := d.breaches(id)[0]
	d.OK(d.operator.ToldBreach(t.Context(), over, over.Fingerprint(), nil))
	d.later(30 * time.Minute)
	d.run()
	if n := len(d.Take("ReportQueue")); n != 0 {
		t.Errorf("%d wishes after the end", n)
	}
	for _, name := range []string{"Gus", "Tern", "canary"} {
		if strings.Contains(d.log.String(), name) {
			t.Errorf("the log holds %q", name)
		}
	}
}

func TestWhoLeavesOrIsWithoutAGroupEndsItsAlarm(t *testing.T) {
	for name, c := range map[string]struct {
		after directory.Room
		gone  bool
		want  string
	}{
		"he leaves":        {directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Members: []archive.PartyID{"mai", partner}}, false, overLeft},
		"it is dismissed":  {directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Members: []archive.PartyID{"mai", guest}}, true, overDismissed},
		"WeCom hides them": {directory.Room{Kind: directory.RoomExternal}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			const id = "wwleave"
			d.company(id)
			d.say(id, lane, guest, "Disagree", start.Add(-time.Hour))
			d.run()
			if b := d.breaches(id); len(b) != 1 || !b[0].Open {
				t.Fatalf("breaches %+v", b)
			}
			d.later(time.Hour)
			d.room(id, lane, c.after, c.gone)
			d.run()
			if b := d.breaches(id)[0]; b.Open != (c.want == "") || !b.Open && b.Detail != c.want {
				t.Errorf("the alarm is %+v, want it over for %q", b, c.want)
			}
		})
	}
}

// What WeCom does not show is unknown: no breach, and no consent. A message's word counts there as everywhere.
func TestOfAGroupThatWeComDoesNotShowTheMessagesTell(t *testing.T) {
	d := newDesk(t)
	const id = "wwdark"
	d.company(id)
	d.room(id, dark, directory.Room{}, false)
	d.run()
	whole := d.standing(id, consent.Subject{Room: dark})
	if whole.State != consent.Unknown || whole.Answer.Why != "errcode 40050" || whole.Unread.IsZero() {
		t.Errorf("the group as a whole stands %+v", whole)
	}
	if b := d.breaches(id); len(b) != 0 {
		t.Errorf("breaches %+v", b)
	}
	d.later(30 * time.Minute)
	said := d.at.Add(-3 * time.Minute)
	d.message(id, dark, guest, false, said)
	d.run()
	s := d.standing(id, consent.Subject{Room: dark, External: guest})
	if s.State != consent.Disagreed || len(s.Changes) != 1 || !s.Changes[0].At.Equal(said) || s.Changes[0].Source != consent.Message {
		t.Errorf("the guest stands %+v", s)
	}
	if b := d.breaches(id); len(b) != 1 || !b[0].Open || b[0].Cause != string(dark) {
		t.Errorf("breaches %+v", b)
	}
	// A message that was set aside for a day takes its place in the past: he had agreed before.
	d.later(24 * time.Hour)
	d.message(id, dark, guest, true, said.Add(-time.Hour))
	d.run()
	s = d.standing(id, consent.Subject{Room: dark, External: guest})
	if s.State != consent.Disagreed || len(s.Changes) != 2 || s.Changes[1].Old != consent.Agreed || !s.Changes[1].Found.Equal(start.Add(30*time.Minute)) {
		t.Errorf("after the late message the guest stands %+v", s)
	}
	if got := slices.DeleteFunc(d.changes(id), func(c string) bool { return !strings.Contains(c, "dark") }); len(got) != 2 {
		t.Errorf("changes %q", got)
	}
	d.later(time.Hour)
	d.message(id, dark, guest, true, d.at.Add(-time.Minute))
	d.run()
	if b := d.breaches(id); b[0].Open {
		t.Errorf("he has agreed since, and the alarm is %+v", b)
	}
}

func TestAPairThatWeComDoesNotKnowIsUnknownAndKeepsNobodyFromBeingAskedAbout(t *testing.T) {
	d := newDesk(t)
	const id = "wwpairs"
	d.company(id)
	stranger := archive.PartyID("wm" + strings.Repeat("x", 30))
	d.OK(d.operator.PutMessages(t.Context(), "batch", []archive.Message{{Corp: id, Seq: 1, MsgID: "m1", Action: archive.Send, Type: "text", Known: true, From: stranger,
		To: []archive.PartyID{"otto"}, Time: start}}, &ledger.People{}))
	d.run()
	s := d.standing(id, consent.Subject{Member: "otto", External: stranger})
	if s.State != consent.Unknown || s.Answer.Why != missing || s.Unread.IsZero() || len(s.Changes) != 0 {
		t.Errorf("the stranger stands %+v", s)
	}
	if got := d.standing(id, consent.Subject{Member: "otto", External: partner}).State; got != consent.Agreed {
		t.Errorf("with otto the partner is %q", got)
	}
	// Once a day, in its turn.
	name, asked := s.Subject.Key(), 0
	for range runsInDay {
		d.later(runEvery)
		if mine := slotOf(name) == d.at.Unix()/int64(runEvery/time.Second)%runsInDay; !mine && d.at.Minute() == 0 {
			continue // half of the others are enough
		}
		before := d.calls(id)
		d.run()
		if after := d.calls(id); after-before > 2 {
			asked++
			if slotOf(name) != d.at.Unix()/int64(runEvery/time.Second)%runsInDay {
				t.Errorf("asked at %s, out of its turn", d.at)
			}
		}
	}
	if asked != 1 {
		t.Errorf("asked about the unknown pair %d times in a day", asked)
	}
}

// calls is how often WeCom was asked about consent.
func (d *desk) calls(id archive.CorpID) (n int) {
	d.Helper()
	a, err := d.wecom.Account(d.Context(), string(id))
	d.OK(err)
	for name, count := range a.Calls {
		if strings.Contains(name, "agree") {
			n += count
		}
	}
	return n
}

func TestARoundGoesOnWhereTheLastOneStopped(t *testing.T) {
	d := newDesk(t)
	const id = "wwmany"
	d.company(id)
	var list []archive.Message
	externals := []wecomsim.External{}
	for i := range 230 {
		x := fmt.Sprintf("wm%030d", i)
		externals = append(externals, wecomsim.External{ID: x, Name: "N", Type: 1})
		list = append(list, archive.Message{Corp: id, Seq: archive.Seq(i + 1), MsgID: archive.MsgID(x), Action: archive.Send, Type: "text", Known: true, From: archive.PartyID(x),
			To: []archive.PartyID{"mai"}, Time: start})
	}
	d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: id, Externals: externals}))
	d.OK(d.operator.PutMessages(t.Context(), "batch", list, &ledger.People{}))
	d.OK(d.wecom.SetRate(t.Context(), wecomsim.Rate{Corp: id, API: "msgaudit/check_single_agree", PerMinute: 2, BlockSeconds: 1}))
	d.run()
	newest := func() (r ledger.Round) {
		d.OK(d.operator.Rounds(t.Context(), id, ledger.RoundOfPairs, func(found ledger.Round) bool { r = found; return false }))
		return r
	}
	first := newest()
	if first.Asked != 200 || first.Why != "errcode 45009" || first.Next == "" {
		t.Fatalf("the first round is %+v", first)
	}
	if r := (consent.Subject{Member: "mai", External: "wm" + archive.PartyID(fmt.Sprintf("%030d", 5))}); !first.Covers(r.Key()) || first.Covers(first.Next) {
		t.Errorf("round %+v covers what it did not ask about, or not what it did", first)
	}
	d.OK(d.wecom.SetRate(t.Context(), wecomsim.Rate{Corp: id, API: "msgaudit/check_single_agree"}))
	d.later(30 * time.Minute)
	d.run()
	second := newest()
	if second.From != first.Next || second.Next != "" || second.Why != "" {
		t.Errorf("the second round is %+v", second)
	}
	known := 0
	d.OK(d.operator.Standings(t.Context(), id, false, func(s ledger.Standing) bool {
		if s.State == consent.Default && s.Subject.Member != "" {
			known++
		}
		return true
	}))
	if known != 232 {
		t.Errorf("%d pairs stand agreed by default, want 232", known)
	}
}

// TestTwoRunsAtOnceAreOne doubles every run of a story.
func TestTwoRunsAtOnceAreOne(t *testing.T) {
	d := newDesk(t)
	story := func(id archive.CorpID, runs int) map[string]string {
		d.at = start
		d.clock()
		d.company(id)
		run := func() {
			var all sync.WaitGroup
			for range runs {
				all.Go(func() {
					if err := d.keep(t.Context(), id); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				})
			}
			all.Wait()
		}
		run()
		d.later(30 * time.Minute)
		d.say(id, lane, guest, "Disagree", d.at.Add(-time.Minute))
		d.message(id, lane, guest, false, d.at.Add(-time.Minute))
		run()
		d.later(30 * time.Minute)
		d.say(id, lane, guest, "Agree", d.at.Add(-time.Minute))
		run()
		return d.state(id)
	}
	once := story("wwonce", 1)
	if diff := cmp.Diff(once, story("wwtwice", 3)); diff != "" {
		t.Errorf("three runs at once (-one +three):\n%s", diff)
	}
}

// TestEachWriteMayFail refuses each write of a run, or does it and says that it failed, and runs again.
func TestEachWriteMayFail(t *testing.T) {
	d := newDesk(t)
	prepare := func(id archive.CorpID) {
		d.at = start
		d.clock()
		d.company(id)
		d.OK(d.keep(t.Context(), id))
		d.later(30 * time.Minute)
		d.say(id, lane, guest, "Disagree", d.at.Add(-time.Minute))
		d.message(id, "", silent, true, d.at.Add(-2*time.Minute))
		d.Take("ReportQueue")
	}
	writes := func(nth int, act awslocal.Act) *int {
		var mu sync.Mutex
		n := 0
		d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
			mu.Lock()
			defer mu.Unlock()
			if q.Caller != "ConsentFunction" || !slices.Contains([]string{"PutItem", "UpdateItem", "BatchWriteItem", "DeleteItem", "SendMessage"}, q.Operation) {
				return awslocal.FaultDecision{}
			}
			if n++; n == nth {
				return awslocal.FaultDecision{Act: act}
			}
			return awslocal.FaultDecision{}
		})
		return &n
	}
	prepare("wwplain")
	n := writes(0, awslocal.Pass)
	d.OK(d.keep(t.Context(), "wwplain"))
	total := *n
	d.Fault(nil)
	want := d.state("wwplain")
	if total < 10 {
		t.Fatalf("only %d writes were seen", total)
	}
	for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter} {
		for i := 1; i <= total; i++ {
			id := archive.CorpID(fmt.Sprintf("wwf-%d-%d", act, i))
			prepare(id)
			writes(i, act)
			if err := d.keep(t.Context(), id); err == nil {
				t.Errorf("write %d, act %d, is not noticed", i, act)
			}
			d.Fault(nil)
			d.OK(d.keep(t.Context(), id))
			if diff := cmp.Diff(want, d.state(id)); diff != "" {
				t.Errorf("write %d, act %d, then run again (-undisturbed +disturbed):\n%s", i, act, diff)
			}
			asked := 0
			for _, body := range d.Take("ReportQueue") {
				if job, err := queue.Decode[queue.ReportJob](body); err == nil && job.Corp == id {
					asked++
				}
			}
			if asked == 0 {
				t.Errorf("write %d, act %d: report is not asked", i, act)
			}
		}
	}
}

func TestWithoutTheSecretTheMessagesStillCount(t *testing.T) {
	d := newDesk(t)
	const id = "wwnone"
	d.OK(d.operator.PutCorp(t.Context(), ledger.Corp{ID: id, Name: "none"}))
	d.message(id, lane, guest, false, start)
	d.run()
	if b := d.breaches(id); len(b) != 1 || !b[0].Open {
		t.Errorf("breaches %+v", b)
	}
	d.OK(d.operator.Rounds(t.Context(), id, ledger.RoundOfRooms, func(r ledger.Round) bool {
		if r.Why != notHeld || r.Covers(consent.Subject{Room: lane, External: guest}.Key()) {
			t.Errorf("the round is %+v", r)
		}
		return false
	}))
}

// One whom WeCom's answer left out may have left the group since the directory was read: he counts once it was read again.
func TestWhoIsLeftOutCountsOnceTheDirectoryStillHasHim(t *testing.T) {
	d := newDesk(t)
	const id = "wwleft"
	d.company(id)
	late := archive.PartyID("wm" + strings.Repeat("l", 30))
	d.room(id, lane, directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Members: []archive.PartyID{"mai", guest, late}}, false)
	d.later(time.Minute)
	d.run()
	if s := d.standing(id, consent.Subject{Room: lane, External: late}); s.State != consent.NotYet || s.Answer.Why != consent.LeftOut {
		t.Errorf("who was left out stands %+v", s)
	}
	if b := d.breaches(id); len(b) != 0 {
		t.Errorf("breaches %+v", b)
	}
	d.later(time.Hour)
	d.room(id, lane, directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Members: []archive.PartyID{"mai", guest, late}}, false)
	d.run()
	if b := d.breaches(id); len(b) != 1 || !b[0].Open || b[0].Affected != 1 {
		t.Errorf("breaches %+v", b)
	}
}

func TestAPanicOfOneCorpEndsNoOther(t *testing.T) {
	d := newDesk(t)
	d.company("wwbad")
	d.company("wwgood")
	d.say("wwgood", lane, guest, "Disagree", start)
	d.ledger = d.Ledger(rig.Panicking(d.Config("ConsentFunction"), "consentnow#wwbad"))
	if err := d.keeper.run(t.Context()); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("the run says %v", err)
	}
	if b := d.breaches("wwgood"); len(b) != 1 {
		t.Errorf("the other corp's breaches are %+v", b)
	}
}

// WeCom's answer has whole seconds. The message that says the same is read later, and what was found by the answer goes.
func TestAMessageReadLateTakesThePlaceOfTheAnswersChange(t *testing.T) {
	d := newDesk(t)
	const corp = archive.CorpID("wwtern")
	d.company(corp) // the guest agreed 47 hours before
	d.run()
	before := d.changes(corp)
	d.message(corp, lane, guest, true, start.Add(-47*time.Hour).Add(300*time.Millisecond))
	d.later(time.Minute)
	d.run()
	s := d.standing(corp, consent.Subject{Room: lane, External: guest})
	if s.State != consent.Agreed || s.Owed || len(s.Changes) != 1 || s.Changes[0].Source != consent.Message || len(s.Drop) > 0 {
		t.Errorf("the guest stands %+v", s)
	}
	if after := d.changes(corp); len(before) == 0 || len(after) != len(before) || slices.Equal(before, after) {
		t.Errorf("the changes were %v and are %v", before, after)
	}
}

func TestAChangeKeepsWhenItWasFoundAndGoesWhenItIsDisproved(t *testing.T) {
	at := func(after time.Duration) func(consent.Change) time.Time {
		return func(consent.Change) time.Time { return start.Add(after) }
	}
	s := consent.Subject{Room: lane, External: guest}
	poll := func(state consent.State, since, asked time.Time) consent.Statement {
		return consent.Statement{Subject: s, Source: consent.Poll, State: state, Since: since, Asked: asked, Answered: asked}
	}
	said := []consent.Statement{poll(consent.Agreed, start.Add(-time.Hour), start), poll(consent.NotYet, time.Time{}, start.Add(time.Hour))}
	before := ledger.Standing{Subject: s}.After(said, "", at(time.Hour))
	if len(before.Changes) != 2 || before.State != consent.NotYet || !before.Owed {
		t.Fatalf("the guest stands %+v", before)
	}
	// A message read late says that he refused before WeCom's answer left his choice open.
	said = append(said, consent.Statement{Subject: s, Source: consent.Message, State: consent.Disagreed, Since: start.Add(30 * time.Minute), Answered: start.Add(30 * time.Minute), MsgID: "m"},
		poll(consent.Disagreed, start.Add(30*time.Minute), start.Add(time.Hour)))
	before.Owed = false
	after := before.After(said[:1:1], "", at(2*time.Hour))
	if diff := cmp.Diff(before.Changes[1:], after.Drop); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before.Changes[:1], after.Changes); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	after = before.After(said, "w", at(2*time.Hour))
	var found []string
	for _, c := range after.Changes {
		found = append(found, string(c.New)+" "+c.Found.Format(time.TimeOnly))
	}
	if diff := cmp.Diff([]string{"agree 07:00:00", "disagree 08:00:00", "not-yet 07:00:00"}, found); diff != "" && len(after.Drop) == 0 {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestWhatWeComRefusesOfOneHoldsUpNoOther: with a code that nobody documents, it refuses a room for as long as it is there, and each round would end at it.
func TestWhatWeComRefusesOfOneHoldsUpNoOther(t *testing.T) {
	d := newDesk(t)
	const id = "wwtern"
	d.company(id)
	other := archive.RoomID("wr" + strings.Repeat("0", 30)) // asked about first
	d.room(id, other, directory.Room{Kind: directory.RoomExternal, Members: []archive.PartyID{"mai", guest}}, false)
	for api, odd := range map[string]consent.Subject{"msgaudit/check_room_agree": {Room: other}, "msgaudit/check_single_agree": {Member: "otto", External: partner}} {
		_, err := d.wecom.AddFault(t.Context(), wecomsim.Fault{API: api, Kind: wecomsim.FaultCode, ErrCode: 40058, Times: 1})
		d.OK(err)
		d.run()
		d.OK(d.wecom.LiftFaults(t.Context()))
		if s := d.standing(id, odd); s.Answer.State != consent.Unknown || s.Answer.Why != "errcode 40058" || s.Unread.IsZero() {
			t.Errorf("%s: what is refused stands %+v", api, s)
		}
		for _, kind := range []string{ledger.RoundOfRooms, ledger.RoundOfPairs} {
			d.OK(d.operator.Rounds(t.Context(), id, kind, func(r ledger.Round) bool {
				if r.Next != "" || r.Why != "" {
					t.Errorf("%s: the round of %ss broke off: %+v", api, kind, r)
				}
				return false
			}))
		}
		if s := d.standing(id, consent.Subject{Room: lane, External: guest}); s.State != consent.Agreed {
			t.Errorf("%s: of the other room is known %+v", api, s)
		}
		d.later(runEvery)
	}
}
