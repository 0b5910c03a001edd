package main

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	local "github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// tell has the function take a job as the queue brings it.
func (r *rig) tell(job queue.DirectoryJob) error {
	r.Helper()
	r.at = r.at.Add(time.Second)
	return r.refresher.reread(r.Context(), job)
}

var stranger = "wm" + strings.Repeat("s", 30)

func (r *rig) comes(members ...string) {
	r.Helper()
	r.change(wecomsim.ChangeContacts{
		Externals: []wecomsim.External{{ID: stranger, Name: "Stella", Type: 1, UnionID: "o-9"}},
		Rooms:     []wecomsim.Room{{ID: outside, Kind: wecomsim.RoomExternal, Name: "Quay talk", Owner: "ines", Members: append([]string{"ines", partner, guest}, members...)}},
	})
}

// What is read because WeCom told of a group, and what the next whole reading finds, is the same, told once or twice.
func TestARoomOfWhichWeComToldIsReadAsTheWholeReadingReadsIt(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "new-of-"+string(corp)) // which may not read rooms
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.talk(corp)
	r.refreshed(corp)
	before := r.state(corp)
	r.comes(stranger)
	job := queue.DirectoryJob{Corp: corp, Kind: directory.KindRoom, ID: outside}
	for range 2 {
		r.ok(r.tell(job))
	}
	told := r.state(corp)
	changed := slices.DeleteFunc(slices.Sorted(maps.Keys(told)), func(k string) bool { return told[k] == before[k] })
	if want := []string{"external " + stranger, "room " + outside}; !slices.Equal(changed, want) {
		t.Errorf("changed %q, want %q", changed, want)
	}
	if x, _ := entry[directory.External](r, directory.KindExternal, stranger); x.Name != "Stella" || x.Type != directory.TypeWeChat {
		t.Errorf("the newcomer is %+v", x)
	}
	wish := queue.ConsentJob{Corp: corp, Room: archive.RoomID(outside), Listed: true}
	if diff := cmp.Diff([]queue.ConsentJob{wish, wish}, r.wishes); diff != "" {
		t.Errorf("consent is asked for (-want +got)\n%s", diff)
	}
	history := len(must[[]directory.Entry](t)(r.ledger.EntryHistory(t.Context(), corp, directory.KindRoom, outside)))
	if s := r.refreshed(corp); s.Counts.Changed != 0 {
		t.Errorf("the whole reading finds %d changes more", s.Counts.Changed)
	}
	if diff := cmp.Diff(told, r.state(corp)); diff != "" {
		t.Errorf("the whole reading comes to something else (-told +read)\n%s", diff)
	}
	if n := len(must[[]directory.Entry](t)(r.ledger.EntryHistory(t.Context(), corp, directory.KindRoom, outside))); n != 2 || n != history {
		t.Errorf("%d states of the room, then %d", history, n)
	}

	// A contact of a member.
	r.change(wecomsim.ChangeContacts{Externals: []wecomsim.External{{ID: stranger, Name: "Stella", Type: 1, UnionID: "o-9", FollowUsers: []wecomsim.Follow{{UserID: "bo"}}}}})
	r.wishes = nil
	r.ok(r.tell(queue.DirectoryJob{Corp: corp, Kind: directory.KindExternal, ID: stranger, Follower: "bo"}))
	if diff := cmp.Diff([]queue.ConsentJob{{Corp: corp, Member: "bo", External: archive.PartyID(stranger)}}, r.wishes); diff != "" {
		t.Errorf("consent is asked for (-want +got)\n%s", diff)
	}
	told = r.state(corp)
	if s := r.refreshed(corp); s.Counts.Changed != 0 || cmp.Diff(told, r.state(corp)) != "" {
		t.Errorf("the whole reading finds of the contact (-told +read)\n%s", cmp.Diff(told, r.state(corp)))
	}

	// The group is dismissed.
	r.change(wecomsim.ChangeContacts{Rooms: []wecomsim.Room{{ID: outside, Kind: wecomsim.RoomDismissed, Name: "Quay talk", Owner: "ines"}}})
	r.ok(r.tell(job))
	if _, gone := entry[directory.Room](r, directory.KindRoom, outside); !gone {
		t.Error("the dismissed group is there still")
	}
	if log := r.log.String(); strings.Contains(log, outside) || strings.Contains(log, stranger) || strings.Contains(log, "Stella") {
		t.Errorf("the log names a group or contact: %s", log)
	}
}

// WeCom's servers learn of a change one after the other: a look that shows nothing new is made once more. What can't be looked at at all is asked of consent.
func TestARoomThatShowsNothingNewIsLookedAtOnceMore(t *testing.T) {
	r := newRig(t)
	job := queue.DirectoryJob{Corp: corp, Kind: directory.KindRoom, ID: outside}
	r.ok(r.tell(job)) // the archive's secret alone is held
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.talk(corp)
	r.refreshed(corp)
	r.tokens = tokenCache{}
	client, url := sqs.NewFromConfig(r.aws.Config("operator")), r.aws.SQS.URL(r.aws.URL, "directory")
	delayed := func() string {
		out := must[*sqs.GetQueueAttributesOutput](t)(client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url,
			AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessagesDelayed"}}))
		return out.Attributes["ApproximateNumberOfMessagesDelayed"]
	}
	if n := delayed(); n != "0" {
		t.Errorf("without a secret %s jobs wait", n)
	}
	r.ok(r.tell(job))
	if n := delayed(); n != "1" {
		t.Errorf("after a look that showed nothing new %s jobs wait", n)
	}
	job.Again = true
	r.comes(stranger)
	r.ok(r.tell(job))
	if x, _ := entry[directory.Room](r, directory.KindRoom, outside); !slices.Contains(x.Members, archive.PartyID(stranger)) {
		t.Errorf("the second look: %+v", x)
	}
	want := []queue.ConsentJob{{Corp: corp, Room: archive.RoomID(outside)}, {Corp: corp, Room: archive.RoomID(outside), Listed: true}, {Corp: corp, Room: archive.RoomID(outside), Listed: true}}
	if diff := cmp.Diff(want, r.wishes); diff != "" {
		t.Errorf("consent is asked for (-want +got)\n%s", diff)
	}
	r.deaf = errors.New("Lambda is away")
	if err := r.tell(job); err == nil {
		t.Error("the job is done though consent was not asked")
	}
}

// The whole reading that began before the change, and ends after what WeCom told was read, does not take it back.
func TestAnOlderListDoesNotReplaceANewerOne(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Customer, "customer-of-"+string(corp))
	r.talk(corp)
	r.refreshed(corp)
	began := r.at.Add(time.Minute)
	r.at = began.Add(time.Minute)
	r.comes(stranger)
	r.ok(r.tell(queue.DirectoryJob{Corp: corp, Kind: directory.KindRoom, ID: outside}))
	after := r.state(corp)
	old := directory.Room{Name: "Quay talk of old", Kind: directory.RoomExternal, Listed: true, Count: 2, Members: []archive.PartyID{"ines", archive.PartyID(guest)}}
	r.ok(r.ledger.PutEntries(t.Context(), corp, []directory.Entry{{Kind: directory.KindRoom, ID: outside, At: began, Fields: directory.Fields(old)}}))
	if diff := cmp.Diff(after, r.state(corp)); diff != "" {
		t.Errorf("the older state took its place (-newer +now)\n%s", diff)
	}
	history := must[[]directory.Entry](t)(r.ledger.EntryHistory(t.Context(), corp, directory.KindRoom, outside))
	if len(history) != 3 || history[1].Fields != directory.Fields(old) {
		t.Errorf("the history has it in its place: %+v", history)
	}
}

// By the role of the template, as main.go starts it.
func TestConsentMayBeStartedAndNoOther(t *testing.T) {
	var mu sync.Mutex
	var started []string
	invoke := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		function := strings.TrimSuffix(strings.TrimPrefix(q.URL.Path, "/2015-03-31/functions/"), "/invocations")
		if err := authz.Check(q.Context(), authz.Request{Action: "lambda:InvokeFunction", Resource: "arn:aws:lambda:us-east-1:000000000000:function:" + function}); err != nil {
			w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		event, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		started = append(started, function+" "+q.Header.Get("X-Amz-Invocation-Type")+" "+string(event))
		w.WriteHeader(http.StatusAccepted)
	})
	r := local.Start(t, local.Options{Services: map[string]http.Handler{"lambda": invoke}})
	client := lambda.NewFromConfig(r.Once("DirectoryFunction"))
	f, _ := r.Template.Function("DirectoryFunction")
	job := queue.ConsentJob{Corp: corp, Room: "wrA", Listed: true}
	r.OK(askOf(client, f.Environment["CONSENT_FUNCTION"])(t.Context(), job))
	event, err := json.Marshal(job)
	r.OK(err)
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{f.Environment["CONSENT_FUNCTION"] + " Event " + string(event)}, started); diff != "" {
		t.Errorf("started (-want +got)\n%s", diff)
	}
	if err := askOf(client, strings.TrimSuffix(f.Environment["CONSENT_FUNCTION"], "consent")+"mail")(t.Context(), job); err == nil {
		t.Error("it may start mail")
	}
}
