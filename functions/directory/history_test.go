package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/callback"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// events is what the ledger keeps of a corp's events.
func (r *rig) events() (all []directory.Event) {
	r.Helper()
	r.ok(r.ledger.Events(r.Context(), corp, r.at.AddDate(0, -1, 0), r.at.AddDate(0, 0, 1), func(e directory.Event) bool {
		all = append(all, e)
		return true
	}))
	return all
}

// plain is events without when and how they were seen, sorted.
func plain(events []directory.Event) string {
	var lines []string
	for _, e := range events {
		if e.What == directory.Left {
			e.New = "" // only a callback names the userid that replaces one
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %q>%q %d", e.Kind, e.ID, e.What, e.Old, e.New, e.Department))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestWhatHappensBetweenTwoSnapshotsIsKept(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	if events := r.events(); len(events) > 0 {
		t.Errorf("the first snapshot makes events: %s", plain(events))
	}
	r.refreshed(corp)
	last := r.at
	r.change(wecomsim.ChangeContacts{
		Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": "", "is_leader_in_dept": []int{0, 1}}), "bo": raw(map[string]any{"status": 1, "email": "bo@harbour.example"})},
		Remove: []string{"tomas"}, Members: []wecomsim.Member{{UserID: "kim", Name: "Kim", Department: []int{3}, Mobile: "19912340009", Status: 1}},
		Permit: map[int][]string{1: {"ines", "kim"}, 3: {"ines"}},
	})
	r.refreshed(corp)
	want := `member bo activated "4">"1" 0
member bo email-set "">"bo@harbour.example" 0
member bo permitted-lost "true">"false" 0
member ines head-gained "">"" 2
member ines head-lost "">"" 1
member ines mobile-removed "19912340001">"" 0
member kim joined "">"" 0
member kim permitted-gained "false">"true" 0
member tomas left "">"" 0`
	events := r.events()
	if diff := cmp.Diff(want, plain(events)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, e := range events {
		if !e.After.Equal(last) || !e.By.Equal(r.at) {
			t.Errorf("%s of %s happened between %v and %v, and it was between %v and %v", e.What, e.ID, e.After, e.By, last, r.at)
		}
	}
	before := r.events()
	r.refreshed(corp)
	if diff := cmp.Diff(before, r.events()); diff != "" {
		t.Errorf("a snapshot without news changes the events\n%s", diff)
	}
}

// An unchanged company costs its states, once, and that the snapshot is the newest, and its row.
func TestAnUnchangedCompanyCostsNothingPerMember(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	quiet := func() map[string]int {
		before, count := len(r.aws.Calls()), map[string]int{}
		r.refreshed(corp)
		for _, c := range r.aws.Calls()[before:] {
			count[c.Operation]++
		}
		return count
	}
	few := quiet()
	if few["PutItem"] != 2 || few["BatchWriteItem"]+few["BatchGetItem"] > 0 {
		t.Errorf("calls: %v", few)
	}
	var more []wecomsim.Member
	for i := range 30 {
		more = append(more, wecomsim.Member{UserID: fmt.Sprint("member", i), Name: "M", Department: []int{2}, Mobile: "1", Status: 1})
	}
	r.change(wecomsim.ChangeContacts{Members: more})
	r.refreshed(corp)
	if diff := cmp.Diff(few, quiet()); diff != "" {
		t.Errorf("with 30 members more (-before +now)\n%s", diff)
	}
}

func TestWhatASecretStopsShowingIsNoEvent(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	r.hold(corp, secrets.Contacts, "sync-of-"+string(corp))
	r.refreshed(corp)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	if events := r.events(); len(events) > 0 {
		t.Errorf("events: %s", plain(events))
	}
}

const (
	callbackToken = "tokenOfThisTest"
	callbackKey   = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// listen takes the simulator's callbacks as functions/callback does, and hands them over when they are asked for.
func (r *rig) listen() func() []callback.Event {
	r.Helper()
	scheme := must[*callback.Scheme](r.T)(callback.New(corp, callbackToken, callbackKey))
	var mu sync.Mutex
	var heard []callback.Event
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		now := must[wecomsim.Clock](r.T)(r.sim.SetClock(r.Context(), wecomsim.Clock{})).Now
		if q.Method == http.MethodGet {
			echo, err := scheme.Verify(q.URL.Query(), *now)
			if err != nil {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			_, _ = io.WriteString(w, echo)
			return
		}
		body, _ := io.ReadAll(q.Body)
		e, err := scheme.Open(q.URL.Query(), body, *now)
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, e)
	}))
	r.Cleanup(server.Close)
	must[wecomsim.Callback](r.T)(r.sim.SetCallback(r.Context(), wecomsim.Callback{Corp: string(corp), Kind: wecomsim.CallbackContacts, URL: server.URL,
		Token: callbackToken, AESKey: callbackKey, Full: true}))
	return func() []callback.Event {
		must[[]wecomsim.Delivery](r.T)(r.sim.Settle(r.Context(), wecomsim.Settle{Corp: string(corp)}))
		mu.Lock()
		defer mu.Unlock()
		all := heard
		heard = nil
		return all
	}
}

// told does with an event what functions/callback does: a notice, and a job.
func (r *rig) told(e callback.Event) {
	r.Helper()
	says := map[string]directory.Telling{"create": directory.ToldCreated, "update": directory.ToldUpdated, "delete": directory.ToldDeleted}
	verb, _, _ := strings.Cut(e.Change, "_")
	n := directory.Notice{Kind: directory.KindMember, ID: string(e.Member), At: e.At, Says: says[verb]}
	if e.Former != "" {
		n.ID, n.NewID = string(e.Former), string(e.Member)
	}
	if e.Department != 0 {
		n.Kind, n.ID = directory.KindDepartment, strconv.Itoa(e.Department)
	}
	r.ok(r.ledger.PutNotice(r.Context(), corp, n))
	r.work(queue.DirectoryJob{Corp: corp, Kind: n.Kind, ID: n.ID, NewID: n.NewID})
}

// work lets the function do a job of its queue, and whatever that puts into the queue.
func (r *rig) work(job queue.DirectoryJob) {
	r.Helper()
	type record = map[string]any
	body := string(raw(job))
	answer := must[any](r.T)(r.function().Invoke(r.Context(), raw(record{"Records": []record{{
		"messageId": "1", "receiptHandle": "1", "eventSource": "aws:sqs", "body": body, "attributes": record{"ApproximateReceiveCount": "1"},
	}}})))
	if text := string(raw(answer)); strings.Contains(text, "itemIdentifier") {
		r.Fatalf("job %s failed: %s", body, r.log.String())
	}
}

// steps are changes in the company, each of other entries.
func steps() []wecomsim.ChangeContacts {
	return []wecomsim.ChangeContacts{
		{Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": "", "is_leader_in_dept": []int{0, 1}})}},
		{Change: map[string]json.RawMessage{"bo": raw(map[string]any{"status": 1, "email": "bo@harbour.example", "department": []int{3}})}},
		{Remove: []string{"tomas"}},
		{Departments: []wecomsim.Department{{ID: 4, Name: "Cranes", Parent: 2}}},
		{Members: []wecomsim.Member{{UserID: "kim", Name: "Kim", Department: []int{4}, IsLeaderInDept: []int{1}, Mobile: "19912340009", Status: 1}}},
		{Change: map[string]json.RawMessage{"rui": raw(map[string]any{"userid": "rui.n"})}},
		{RemoveDepartments: []int{5}},
	}
}

// lived plays the steps. After each of them, hear decides what the product hears of it; a snapshot ends it all.
func lived(t *testing.T, hear func(r *rig, step int, events []callback.Event)) *rig {
	t.Helper()
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.change(wecomsim.ChangeContacts{
		Departments: []wecomsim.Department{{ID: 5, Name: "Lights", Parent: 2}}, Members: []wecomsim.Member{{UserID: "rui", Name: "Rui", Department: []int{2}, Status: 1, Gender: "1"}},
	})
	heard := r.listen()
	r.refreshed(corp)
	for i, c := range steps() {
		r.at = r.at.Add(time.Minute)
		must[wecomsim.Clock](t)(r.sim.SetClock(t.Context(), wecomsim.Clock{Now: &r.at}))
		r.change(c)
		events := heard()
		r.at = r.at.Add(5 * time.Second)
		hear(r, i, events)
	}
	return r
}

func TestSnapshotsAndCallbacksInAnyOrderGiveTheSameHistory(t *testing.T) {
	slow(t)
	bySnapshots := lived(t, func(r *rig, _ int, _ []callback.Event) { r.refreshed(corp) })
	want, state := plain(bySnapshots.events()), bySnapshots.state(corp)
	if strings.Count(want, "\n") < 10 {
		t.Fatalf("too little happened: %s", want)
	}
	var later []callback.Event
	shuffled := func(seed uint64) func(r *rig, step int, events []callback.Event) {
		return func(r *rig, step int, events []callback.Event) {
			later = append(later, events...)
			if step < len(steps())-1 {
				return
			}
			all := append(later, later...) // each twice
			later = nil
			rand.New(rand.NewPCG(seed, 2)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for _, e := range all {
				r.at = r.at.Add(time.Second)
				r.told(e)
			}
		}
	}
	for name, hear := range map[string]func(r *rig, step int, events []callback.Event){
		"callbacks": func(r *rig, _ int, events []callback.Event) {
			if len(events) == 0 {
				r.Error("nothing was told")
			}
			for _, e := range events {
				r.told(e)
			}
		},
		"every other by a snapshot": func(r *rig, step int, events []callback.Event) {
			if step%2 == 0 {
				r.refreshed(corp)
				return
			}
			for _, e := range events {
				r.told(e)
			}
		},
		"a snapshot first, and each told twice": func(r *rig, _ int, events []callback.Event) {
			r.refreshed(corp)
			for _, e := range slices.Concat(events, events) {
				r.at = r.at.Add(time.Second)
				r.told(e)
			}
		},
		"late and in disorder": shuffled(1),
		"in another disorder":  shuffled(2),
	} {
		t.Run(name, func(t *testing.T) {
			r := lived(t, hear)
			if diff := cmp.Diff(want, plain(r.events())); diff != "" {
				t.Errorf("before the next snapshot (-snapshots +this)\n%s", diff)
			}
			r.refreshed(corp)
			if diff := cmp.Diff(want, plain(r.events())); diff != "" {
				t.Errorf("-snapshots +this\n%s", diff)
			}
			if diff := cmp.Diff(state, r.state(corp)); diff != "" {
				t.Errorf("states: -snapshots +this\n%s", diff)
			}
		})
	}
}

func TestWhatWasToldIsSaidOfTheEvent(t *testing.T) {
	r := lived(t, func(r *rig, _ int, events []callback.Event) {
		for _, e := range events {
			r.told(e)
		}
	})
	for _, e := range r.events() {
		if len(e.Told) == 0 && e.What != directory.LeadersChanged && e.ID != "rui.n" {
			t.Errorf("%s of %s has not been told of", e.What, e.ID)
		}
		if e.ID == "rui" && (e.How != directory.WasRenamed || e.New != "rui.n") {
			t.Errorf("rui's going is %+v", e)
		}
		if e.ID == "tomas" && e.What == directory.Left && e.How != directory.WasDeleted {
			t.Errorf("tomas's going is %+v", e)
		}
	}
}

func TestALookThatFindsNothingNewIsMadeOnceMore(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	client, url := sqs.NewFromConfig(r.aws.Config("operator")), r.aws.SQS.URL(r.aws.URL, "directory")
	delayed := func() string {
		out := must[*sqs.GetQueueAttributesOutput](t)(client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url,
			AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessagesDelayed"}}))
		return out.Attributes["ApproximateNumberOfMessagesDelayed"]
	}
	job := queue.DirectoryJob{Corp: corp, Kind: directory.KindMember, ID: "ines"}
	r.work(job)
	if n := delayed(); n != "1" {
		t.Errorf("%s jobs wait", n)
	}
	job.Again = true
	r.work(job)
	if n := delayed(); n != "1" {
		t.Errorf("after the second look %s jobs wait", n)
	}
	r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": ""})}})
	job.Again = false
	r.at = r.at.Add(time.Minute)
	r.work(job)
	if n := delayed(); n != "1" || len(r.events()) != 1 {
		t.Errorf("after one that found something %s jobs wait, %s", n, plain(r.events()))
	}
}

func TestASecretThatDoesNotSeeOneMemberTakesNothingAway(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	before := r.state(corp)
	for _, f := range []wecomsim.Fault{{API: "user/get", Kind: wecomsim.FaultCode, ErrCode: 60011}, {API: "user/get", Kind: wecomsim.FaultCode, ErrCode: 48002, Times: 1}} {
		r.fault(f)
		r.at = r.at.Add(time.Minute)
		r.work(queue.DirectoryJob{Corp: corp, Kind: directory.KindMember, ID: "ines"})
		r.lift()
		if diff := cmp.Diff(before, r.state(corp)); diff != "" {
			t.Errorf("%d takes something away\n%s", f.ErrCode, diff)
		}
		r.refreshed(corp)
		if lost := plain(r.events()); strings.Contains(lost, "mobile") {
			t.Errorf("%d: %s", f.ErrCode, lost)
		}
	}
}

// What one secret hides and the next one shows in the same breath was never out of view, however slow the breath.
func TestWhomTheNextSecretShowsDidNotLeave(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	r.fault(wecomsim.Fault{API: "user/get", Kind: wecomsim.FaultCode, ErrCode: 60011, Times: 1})
	r.at = r.at.Add(time.Minute)
	r.now = func() time.Time {
		r.at = r.at.Add(7 * time.Millisecond)
		return r.at
	}
	r.work(queue.DirectoryJob{Corp: corp, Kind: directory.KindMember, ID: "ines"})
	if events := plain(r.events()); events != "" {
		t.Error(events)
	}
}

func TestAJobComesBackWhenWeComDoesNotAnswer(t *testing.T) {
	r := newRig(t)
	r.refreshed(corp)
	r.fault(wecomsim.Fault{API: "user/get", Kind: wecomsim.FaultCode, ErrCode: 45009})
	if err := r.reread(t.Context(), queue.DirectoryJob{Corp: corp, Kind: directory.KindMember, ID: "ines"}); err == nil {
		t.Error("it is done")
	}
	r.lift()
	if err := r.reread(t.Context(), queue.DirectoryJob{Corp: corp, Kind: directory.KindMember, ID: "ines"}); err != nil {
		t.Error(err)
	}
	for _, job := range []queue.DirectoryJob{{Corp: corp, Kind: directory.KindRobot, ID: "x"}, {Corp: corp, Kind: directory.KindDepartment, ID: "x"}} {
		if err := r.reread(t.Context(), job); err == nil {
			t.Errorf("%+v is done", job)
		}
	}
}

// The function dies at each of its writes, refused or done and taken for failed; the next run comes to the events of an undisturbed one.
func TestEventsAreTheSameWhereverARunDies(t *testing.T) {
	slow(t)
	run := func(disturb func(r *rig)) *rig {
		r := newRig(t)
		r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
		r.refreshed(corp)
		for _, c := range steps()[:3] {
			r.change(c)
		}
		disturb(r)
		r.refreshed(corp)
		return r
	}
	undisturbed := run(func(*rig) {})
	want := plain(undisturbed.events())
	for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter} {
		for n, died := 1, true; died; n++ {
			r := run(func(r *rig) {
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
				err := r.run(t.Context())
				died = seen >= n
				if died && err == nil {
					t.Errorf("write %d, act %d: the run succeeded after %d writes", n, act, seen)
				}
				r.aws.Fault(nil)
				r.s3.SetFault(nil)
			})
			if diff := cmp.Diff(want, plain(r.events())); diff != "" {
				t.Errorf("write %d, act %d (-undisturbed +this)\n%s", n, act, diff)
			}
			if diff := cmp.Diff(undisturbed.state(corp), r.state(corp)); diff != "" {
				t.Errorf("write %d, act %d: states (-undisturbed +this)\n%s", n, act, diff)
			}
			if n > 40 {
				t.Fatal("it never ends")
			}
		}
	}
}

// Who was changed when a run died, and changed back before the next one, has both in the history: both were seen.
func TestWhatWasSeenByARunThatDiedIsNotContradicted(t *testing.T) {
	slow(t)
	for n := 1; n < 12; n++ {
		r := newRig(t)
		r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
		r.refreshed(corp)
		set := func(mobile string) {
			r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": mobile})}})
		}
		set("")
		seen := 0
		r.aws.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
			if q.Operation == "BatchWriteItem" || q.Operation == "PutItem" {
				if seen++; seen >= n {
					d.Act = awslocal.Refuse
				}
			}
			return d
		})
		r.at = r.at.Add(time.Hour)
		_ = r.run(t.Context()) // it may have died
		r.aws.Fault(nil)
		set("19912340001")
		r.refreshed(corp)
		r.refreshed(corp)
		removed, back := 0, 0
		for _, e := range r.events() {
			switch e.What {
			case directory.MobileRemoved:
				removed++
			case directory.MobileSet:
				back++
			}
		}
		if removed != back || removed > 1 {
			t.Errorf("dead at write %d: removed %d times, set %d times\n%s", n, removed, back, plain(r.events()))
		}
	}
}

// A job and a run write one member at once: the one that comes second reads what the first has written.
func TestTwoWhoSettleOneMemberAtOnceKeepEachEventOnce(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": ""})}})
	var met atomic.Bool
	r.aws.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Operation == "BatchGetItem" || q.Operation == "BatchWriteItem" { // the run has read ines, and not written her
			if met.CompareAndSwap(false, true) {
				r.at = r.at.Add(time.Second)
				if err := r.reread(t.Context(), queue.DirectoryJob{Corp: corp, Kind: directory.KindMember, ID: "ines"}); err != nil {
					t.Error(err)
				}
			}
		}
		return d
	})
	r.refreshed(corp)
	r.aws.Fault(nil)
	if got := plain(r.events()); got != `member ines mobile-removed "19912340001">"" 0` {
		t.Errorf("events: %s", got)
	}
	held := must[ledger.Held](t)(r.ledger.Held(t.Context(), corp, directory.KindMember, "ines"))
	if held.Rev != 3 || !held.Restless {
		t.Errorf("she was written %d times, restless %t", held.Rev, held.Restless)
	}
	r.refreshed(corp)
	if held = must[ledger.Held](t)(r.ledger.Held(t.Context(), corp, directory.KindMember, "ines")); held.Restless || len(r.events()) != 1 {
		t.Errorf("after the next list: restless %t, %s", held.Restless, plain(r.events()))
	}
}

// A run that died, and that no later one has seen, is settled by the next one, be there settled ones above it.
func TestASnapshotThatWasNeverSettledIsSettledBelowOneThatIs(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": ""})}})
	died := r.refreshed(corp)
	r.refreshed(corp)
	r.refreshed(corp)
	died.Settled = false
	r.ok(r.ledger.PutSnapshot(t.Context(), died))
	r.ok(r.ledger.DropEvents(t.Context(), corp, r.events()))
	r.refreshed(corp)
	if got := plain(r.events()); got != `member ines mobile-removed "19912340001">"" 0` {
		t.Errorf("events: %s", got)
	}
	r.ok(r.ledger.Snapshots(t.Context(), corp, func(s ledger.Snapshot) bool {
		if !s.Settled {
			t.Errorf("the reading of %v is not settled", s.At)
		}
		return true
	}))
}

// A run that died between that it is the newest and its own row leaves that row to the next one.
func TestARunThatDiedBeforeItsRowHasItWritten(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	dead := false
	r.aws.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if dead = dead || q.Operation == "PutItem" && strings.Contains(string(q.Body), `"snap#`); dead {
			d.Act = awslocal.Refuse
		}
		return d
	})
	r.at = r.at.Add(time.Hour)
	if err := r.run(t.Context()); err == nil {
		t.Fatal("it did not die")
	}
	r.aws.Fault(nil)
	r.refreshed(corp)
	rows := 0
	r.ok(r.ledger.Snapshots(t.Context(), corp, func(s ledger.Snapshot) bool {
		if rows++; !s.Settled {
			t.Errorf("the reading of %v is not settled", s.At)
		}
		return true
	}))
	if rows != 3 {
		t.Errorf("there are %d readings", rows)
	}
}
