package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	local "github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

const (
	corp  = archive.CorpID("wwharbour")
	token = "tokenOfThisTest"
	key   = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// rig is the function with its own role over the whole template, and a simulated WeCom that posts to it.
type rig struct {
	*local.Rig
	*listener
	url  string
	now  time.Time
	real time.Time
	log  bytes.Buffer

	mu    sync.Mutex
	woken []archive.CorpID
	asked []queue.ConsentJob
	deaf  error // what asking consent ends with
}

func newRig(t *testing.T, config func(r *local.Rig) aws.Config) *rig {
	t.Helper()
	r := &rig{Rig: local.Start(t, local.Options{Parameters: map[string]string{"Callbacks": "true"}}), now: time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC), real: clock.Real()}
	c := config(r.Rig)
	r.listener = &listener{
		ledger: r.Ledger(c), jobs: queue.New[queue.DirectoryJob](sqs.NewFromConfig(c), r.Name("DirectoryQueue")), settings: r.Secrets(c).Callback,
		poll: time.Minute, log: slog.New(slog.NewTextHandler(&r.log, nil)), now: func() time.Time { return r.now }, real: func() time.Time { return r.real },
		wake: func(_ context.Context, corp archive.CorpID) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.woken = append(r.woken, corp)
			return nil
		},
		ask: func(_ context.Context, job queue.ConsentJob) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, job)
			return r.deaf
		},
	}
	r.enter(corp, secrets.Contacts, token, key)
	server := httptest.NewServer(r.handler())
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func asFunction(r *local.Rig) aws.Config { return r.Config("CallbackFunction") }
func once(r *local.Rig) aws.Config       { return r.Once("CallbackFunction") }

func (r *rig) enter(corp archive.CorpID, kind secrets.Kind, token, key string) {
	r.Helper()
	r.OK(r.Secrets(r.Config(local.Operator)).PutCallback(r.Context(), corp, kind, secrets.Callback{Token: secrets.NewValue(token), AESKey: secrets.NewValue(key)}))
}

// event is a request as WeCom makes it.
func (r *rig) event(elements string, at time.Time) wecomsim.CallbackRequest {
	r.Helper()
	return r.sealed(token, key, "<xml><ToUserName>"+string(corp)+"</ToUserName><FromUserName>sys</FromUserName><CreateTime>1936000000</CreateTime><MsgType>event</MsgType>"+elements+"</xml>", at)
}

func (r *rig) sealed(token, key, message string, at time.Time) wecomsim.CallbackRequest {
	r.Helper()
	q, err := wecomsim.SealCallback(token, key, string(corp), "", message, at)
	r.OK(err)
	return q
}

// post delivers a request and returns status and body.
func (r *rig) post(path string, q wecomsim.CallbackRequest) (int, string) {
	r.Helper()
	req := httptest.NewRequestWithContext(r.Context(), http.MethodPost, path+"?"+q.Query.Encode(), bytes.NewReader(q.Body))
	w := httptest.NewRecorder()
	r.handler().ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

const contactsPath = "/callback/wwharbour/contacts"

func (r *rig) notices(kind directory.Kind, id string) []directory.Notice {
	r.Helper()
	life, err := r.Ledger(r.Config(local.Operator)).Life(r.Context(), corp, kind, id)
	r.OK(err)
	return life.Notices
}

func TestWhatWeComTellsOfConsentIsAskedOfConsent(t *testing.T) {
	for name, c := range map[string]struct {
		elements string
		want     queue.ConsentJob // none if its corp is ""
	}{
		"a contact agreed": {"<Event>change_external_contact</Event><ChangeType>msg_audit_approved</ChangeType><UserID>ines</UserID><ExternalUserID>wmA</ExternalUserID>",
			queue.ConsentJob{Corp: corp, Member: "ines", External: "wmA"}},
		"a contact went":          {"<Event>change_external_contact</Event><ChangeType>del_external_contact</ChangeType><UserID>ines</UserID><ExternalUserID>wmA</ExternalUserID>", queue.ConsentJob{}},
		"a group's notice":        {"<Event>change_external_chat</Event><ChatId>wrA</ChatId><ChangeType>update</ChangeType><UpdateDetail>change_notice</UpdateDetail>", queue.ConsentJob{}},
		"agreed, naming nobody":   {"<Event>change_external_contact</Event><ChangeType>msg_audit_approved</ChangeType><UserID>ines</UserID>", queue.ConsentJob{}},
		"a group without its id":  {"<Event>change_external_chat</Event><ChangeType>create</ChangeType>", queue.ConsentJob{}},
		"an event of another app": {"<Event>change_weather</Event><ChangeType>msg_audit_approved</ChangeType><UserID>ines</UserID><ExternalUserID>wmA</ExternalUserID>", queue.ConsentJob{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, asFunction)
			q := r.event(c.elements, r.now)
			if status, body := r.post(contactsPath, q); status != http.StatusOK || body != "" {
				t.Fatalf("%d %q\n%s", status, body, r.log.String())
			}
			var want []queue.ConsentJob
			if c.want.Corp != "" {
				want = append(want, c.want)
			}
			if diff := cmp.Diff(want, r.asked); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if jobs := r.Take("DirectoryQueue"); len(jobs) > 0 {
				t.Errorf("directory is asked too: %v", jobs)
			}
			if c.want.Corp == "" {
				return
			}
			r.deaf = errors.New("Lambda is away")
			if status, _ := r.post(contactsPath, q); status != http.StatusInternalServerError {
				t.Errorf("WeCom is answered %d, and does not tell it again", status)
			}
			if strings.Contains(r.log.String(), "wmA") || strings.Contains(r.log.String(), "ines") {
				t.Errorf("the log names somebody: %s", r.log.String())
			}
		})
	}
}

// Who is in a group is read before consent is asked about it, so that an alert can name him and the group: it is directory that is asked.
func TestWhoComesIntoAGroupOrBecomesAContactIsLookedAt(t *testing.T) {
	room := queue.DirectoryJob{Corp: corp, Kind: directory.KindRoom, ID: "wrA"}
	contact := queue.DirectoryJob{Corp: corp, Kind: directory.KindExternal, ID: "wmA", Follower: "ines"}
	for name, c := range map[string]struct {
		elements string
		want     queue.DirectoryJob
	}{
		"somebody came into a group": {"<Event>change_external_chat</Event><ChatId>wrA</ChatId><ChangeType>update</ChangeType><UpdateDetail>add_member</UpdateDetail><JoinScene>1</JoinScene><MemChangeList><Item>wmSomebody</Item></MemChangeList>", room},
		"somebody left a group":      {"<Event>change_external_chat</Event><ChatId>wrA</ChatId><ChangeType>update</ChangeType><UpdateDetail>del_member</UpdateDetail>", room},
		"a new group":                {"<Event>change_external_chat</Event><ChatId>wrA</ChatId><ChangeType>create</ChangeType>", room},
		"a group is no more":         {"<Event>change_external_chat</Event><ChatId>wrA</ChatId><ChangeType>dismiss</ChangeType>", room},
		"a new contact":              {"<Event>change_external_contact</Event><ChangeType>add_external_contact</ChangeType><UserID>ines</UserID><ExternalUserID>wmA</ExternalUserID><WelcomeCode>welcome</WelcomeCode>", contact},
		"a half of one":              {"<Event>change_external_contact</Event><ChangeType>add_half_external_contact</ChangeType><UserID>ines</UserID><ExternalUserID>wmA</ExternalUserID>", contact},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, asFunction)
			q := r.event(c.elements, r.now)
			if status, body := r.post(contactsPath, q); status != http.StatusOK || body != "" {
				t.Fatalf("%d %q\n%s", status, body, r.log.String())
			}
			jobs := r.Take("DirectoryQueue")
			if len(jobs) != 1 || len(r.asked) > 0 || len(r.Rows("DirectoryTable")) > 0 {
				t.Fatalf("jobs %v, asked of consent %v, rows %v", jobs, r.asked, r.Rows("DirectoryTable"))
			}
			if job, err := queue.Decode[queue.DirectoryJob](jobs[0]); err != nil || job != c.want {
				t.Errorf("job %s, want %+v", jobs[0], c.want)
			}
			for _, id := range []string{"wmA", "wmSomebody", "wrA", "ines", "welcome"} {
				if strings.Contains(r.log.String(), id) || id == "wmSomebody" && strings.Contains(jobs[0], id) {
					t.Errorf("%s is logged or kept: %s %s", id, r.log.String(), jobs[0])
				}
			}
		})
	}
}

func TestEachChangeOfContactsIsNotedAndLookedAt(t *testing.T) {
	at := time.Unix(1936000000, 0).UTC()
	for name, c := range map[string]struct {
		elements string
		want     directory.Notice // none if its kind is ""
	}{
		"a joiner": {"<Event>change_contact</Event><ChangeType>create_user</ChangeType><UserID>ines</UserID><Name>Ines</Name><Mobile>19912340001</Mobile>",
			directory.Notice{Kind: directory.KindMember, ID: "ines", At: at, Says: directory.ToldCreated}},
		"a change": {"<Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>ines</UserID><Department>1,2</Department>",
			directory.Notice{Kind: directory.KindMember, ID: "ines", At: at, Says: directory.ToldUpdated}},
		"a new userid": {"<Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>ines</UserID><NewUserID>ines.b</NewUserID>",
			directory.Notice{Kind: directory.KindMember, ID: "ines", At: at, Says: directory.ToldUpdated, NewID: "ines.b"}},
		"a leaver": {"<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>ines</UserID>",
			directory.Notice{Kind: directory.KindMember, ID: "ines", At: at, Says: directory.ToldDeleted}},
		"a department": {"<Event>change_contact</Event><ChangeType>create_party</ChangeType><Id>7</Id><ParentId>1</ParentId>",
			directory.Notice{Kind: directory.KindDepartment, ID: "7", At: at, Says: directory.ToldCreated}},
		"a department that goes": {"<Event>change_contact</Event><ChangeType>delete_party</ChangeType><Id>7</Id>",
			directory.Notice{Kind: directory.KindDepartment, ID: "7", At: at, Says: directory.ToldDeleted}},
		"a tag":                       {"<Event>change_contact</Event><ChangeType>update_tag</ChangeType><TagId>3</TagId><AddUserItems>ines</AddUserItems>", directory.Notice{}},
		"a change without a member":   {"<Event>change_contact</Event><ChangeType>update_user</ChangeType>", directory.Notice{}},
		"what this version knows not": {"<Event>change_weather</Event><ChangeType>rain</ChangeType>", directory.Notice{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, asFunction)
			q := r.event(c.elements, r.now)
			for range 2 { // WeCom may tell it again
				if status, body := r.post(contactsPath, q); status != http.StatusOK || body != "" {
					t.Fatalf("%d %q\n%s", status, body, r.log.String())
				}
			}
			jobs := r.Take("DirectoryQueue")
			if c.want.Kind == "" {
				if len(jobs) > 0 || len(r.Rows("DirectoryTable")) > 0 {
					t.Errorf("jobs %v, rows %v", jobs, r.Rows("DirectoryTable"))
				}
				return
			}
			if diff := cmp.Diff([]directory.Notice{c.want}, r.notices(c.want.Kind, c.want.ID)); diff != "" {
				t.Errorf("notices (-want +got)\n%s", diff)
			}
			want := queue.DirectoryJob{Corp: corp, Kind: c.want.Kind, ID: c.want.ID, NewID: c.want.NewID, At: c.want.At, Says: c.want.Says}
			for _, body := range jobs {
				if job, err := queue.Decode[queue.DirectoryJob](body); err != nil || job != want {
					t.Errorf("job %s, want %+v", body, want)
				}
			}
			if len(jobs) != 2 {
				t.Errorf("%d jobs", len(jobs))
			}
			everything := strings.Join(jobs, "") + r.log.String() + strings.Join(slices.Sorted(mapValues(r.Rows("DirectoryTable"))), "")
			for _, canary := range []string{"Ines", "19912340001", token, key} {
				if strings.Contains(everything, canary) {
					t.Errorf("%q is kept or logged", canary)
				}
			}
			if strings.Contains(r.log.String(), "ines") {
				t.Errorf("the log names a member: %s", r.log.String())
			}
		})
	}
}

func mapValues(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k, v := range m {
			if !yield(k + v) {
				return
			}
		}
	}
}

func TestWeComsConsoleAcceptsTheAddress(t *testing.T) {
	r := newRig(t, asFunction)
	sim, err := wecomsim.Open(filepath.Join(t.TempDir(), "wecom.db"), clock.Real)
	r.OK(err)
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	client := wecomsim.NewClient(server.URL)
	_, err = client.AddCorp(t.Context(), wecomsim.NewCorp{Corp: string(corp), Name: "Harbour Lane", NoKey: true})
	r.OK(err)
	_, err = client.SetClock(t.Context(), wecomsim.Clock{Now: &r.now})
	r.OK(err)
	_, err = client.SetCallback(t.Context(), wecomsim.Callback{Corp: string(corp), Kind: wecomsim.CallbackContacts, URL: r.url + contactsPath, Token: token, AESKey: key})
	r.OK(err)
	r.OK(client.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(corp), Departments: []wecomsim.Department{{ID: 1, Name: "All"}},
		Members: []wecomsim.Member{{UserID: "ines", Name: "Ines", Department: []int{1}}}}))
	deliveries, err := client.Settle(t.Context(), wecomsim.Settle{Corp: string(corp)})
	r.OK(err)
	for _, d := range deliveries {
		if d.State != wecomsim.DeliveryDelivered || len(d.Attempts) != 1 {
			t.Errorf("%+v", d)
		}
	}
	if jobs := r.Take("DirectoryQueue"); len(jobs) != 2 || len(deliveries) != 2 {
		t.Errorf("%d deliveries, jobs %v", len(deliveries), jobs)
	}
	if len(r.notices(directory.KindMember, "ines")) != 1 || len(r.notices(directory.KindDepartment, "1")) != 1 {
		t.Error("no notices")
	}
	_, err = client.SetCallback(t.Context(), wecomsim.Callback{Corp: string(corp), Kind: wecomsim.CallbackContacts, URL: r.url + contactsPath, Token: "another", AESKey: key})
	if err == nil {
		t.Error("an address with another token is accepted")
	}
}

func TestWhatIsNotWeComsIsRefusedWithoutAWord(t *testing.T) {
	const change = "<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>ines</UserID>"
	r := newRig(t, asFunction)
	good := r.event(change, r.now)
	with := func(name, value string) wecomsim.CallbackRequest {
		q := good
		q.Query = url.Values{}
		for k, v := range good.Query {
			q.Query[k] = v
		}
		q.Query.Set(name, value)
		return q
	}
	for name, c := range map[string]struct {
		path string
		q    wecomsim.CallbackRequest
		want int
	}{
		"another token":           {contactsPath, r.sealed("another", key, "<xml></xml>", r.now), http.StatusForbidden},
		"another key":             {contactsPath, r.sealed(token, strings.Repeat("b", 43), "<xml></xml>", r.now), http.StatusForbidden},
		"no signature":            {contactsPath, with("msg_signature", ""), http.StatusBadRequest},
		"a forged one":            {contactsPath, with("msg_signature", strings.Repeat("0", 40)), http.StatusForbidden},
		"of an hour ago":          {contactsPath, r.event(change, r.now.Add(-time.Hour)), http.StatusForbidden},
		"of the next hour":        {contactsPath, r.event(change, r.now.Add(time.Hour)), http.StatusForbidden},
		"no body":                 {contactsPath, wecomsim.CallbackRequest{Query: good.Query}, http.StatusBadRequest},
		"a corp without settings": {"/callback/wwnobody/contacts", good, http.StatusNotFound},
		"a kind without settings": {"/callback/wwharbour/customer", good, http.StatusNotFound},
		"no such kind":            {"/callback/wwharbour/key", good, http.StatusNotFound},
		"no corp":                 {"/callback/a%20b/contacts", good, http.StatusNotFound},
		"another path":            {"/", good, http.StatusNotFound},
	} {
		if status, body := r.post(c.path, c.q); status != c.want || strings.Contains(body, "wwharbour") || len(body) > 40 {
			t.Errorf("%s: %d %q, want %d", name, status, body, c.want)
		}
	}
	if jobs := r.Take("DirectoryQueue"); len(jobs) > 0 || len(r.Rows("DirectoryTable")) > 0 {
		t.Errorf("jobs %v, rows %v", jobs, r.Rows("DirectoryTable"))
	}
	if strings.Contains(r.log.String(), token) || strings.Contains(r.log.String(), "ines") {
		t.Errorf("the log tells too much: %s", r.log.String())
	}
}

func TestStrangersDoNotHaveSecretsReadAgainAndAgain(t *testing.T) {
	r := newRig(t, asFunction)
	forged := r.sealed("another", key, "<xml></xml>", r.now)
	reads := func() int {
		n := 0
		for _, c := range r.Calls() {
			if c.Service == "secretsmanager" {
				n++
			}
		}
		return n
	}
	reads()
	for range 20 {
		r.post(contactsPath, forged)
		r.post("/callback/wwnobody/contacts", forged)
	}
	if n := reads(); n != 2 {
		t.Errorf("40 requests of a stranger read secrets %d times", n)
	}
	// The admin enters new settings: the next request of WeCom's is understood.
	r.enter(corp, secrets.Contacts, "another", key)
	r.real = r.real.Add(patience)
	if status, _ := r.post(contactsPath, forged); status != http.StatusOK {
		t.Errorf("with the new token: %d", status)
	}
}

// TestSettingsThatCannotBeRightAreNotReadForEachRequest: strangers may make as many as they like.
func TestSettingsThatCannotBeRightAreNotReadForEachRequest(t *testing.T) {
	r := newRig(t, asFunction)
	r.enter("wwwrong", secrets.Contacts, token, "too-short")
	read, settings := 0, r.settings
	r.listener.settings = func(ctx context.Context, corp archive.CorpID, kind secrets.Kind) (secrets.Callback, error) {
		read++
		return settings(ctx, corp, kind)
	}
	forged := r.sealed("another", key, "<xml></xml>", r.now)
	for range 20 {
		if status, _ := r.post("/callback/wwwrong/contacts", forged); status != http.StatusInternalServerError {
			t.Errorf("settings that can't be right are answered %d", status)
		}
	}
	if read != 1 {
		t.Errorf("settings that can't be right were read %d times for 20 requests", read)
	}
	r.enter("wwwrong", secrets.Contacts, "another", key)
	r.real = r.real.Add(patience)
	if status, _ := r.post("/callback/wwwrong/contacts", forged); status != http.StatusForbidden { // it is sealed for another corp
		t.Errorf("after they were mended: %d", status)
	}
}

func TestNewChatDataWakeFetchAtMostOnceInAWhile(t *testing.T) {
	r := newRig(t, asFunction)
	r.enter(corp, secrets.Archive, token, key)
	tell := func() {
		t.Helper()
		if status, _ := r.post("/callback/wwharbour/archive", r.event("<Event>msgaudit_notify</Event>", r.now)); status != http.StatusOK {
			t.Errorf("%d\n%s", status, r.log.String())
		}
	}
	tell()
	r.now = r.now.Add(time.Second)
	tell()
	r.now = r.now.Add(13 * time.Second)
	tell()
	if len(r.woken) != 1 || r.woken[0] != corp {
		t.Errorf("woken %v", r.woken)
	}
	r.now = r.now.Add(time.Second)
	tell()
	if len(r.woken) != 2 {
		t.Errorf("after 15 seconds: woken %v", r.woken)
	}
	r.poll = 5 * time.Second // it polls so often that nothing is gained
	r.now = r.now.Add(time.Minute)
	tell()
	if len(r.woken) != 2 {
		t.Errorf("woken %v", r.woken)
	}
}

// By the role of the template, as main.go starts them.
func TestTheTwoFunctionsThatAreStartedMayBeAndNoOther(t *testing.T) {
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
		started = append(started, function+" "+q.Header.Get("X-Amz-Invocation-Type")+" "+string(event))
		mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	r := local.Start(t, local.Options{Parameters: map[string]string{"Callbacks": "true"}, Services: map[string]http.Handler{"lambda": invoke}})
	client := lambda.NewFromConfig(once(r))
	f, _ := r.Template.Function("CallbackFunction")
	r.OK(wakeOf(client, f.Environment["FETCH_FUNCTION"])(t.Context(), corp))
	job := queue.ConsentJob{Corp: corp, Room: "wrA"}
	r.OK(askOf(client, f.Environment["CONSENT_FUNCTION"])(t.Context(), job))
	event, err := json.Marshal(job)
	r.OK(err)
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{f.Environment["FETCH_FUNCTION"] + ` Event {"corps":["wwharbour"]}`, f.Environment["CONSENT_FUNCTION"] + " Event " + string(event)}, started); diff != "" {
		t.Errorf("started (-want +got)\n%s", diff)
	}
	name := strings.TrimSuffix(f.Environment["FETCH_FUNCTION"], "fetch") + "mail"
	if err := wakeOf(client, name)(t.Context(), corp); err == nil {
		t.Error("it may start mail")
	}
}

// WeCom tells again what was not answered with 200: wherever it dies, the end is one notice and at least one job.
func TestWhatIsToldAgainAfterACrashIsNotedOnce(t *testing.T) {
	for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter} {
		for n := 1; n <= 3; n++ { // the settings, the notice, the job
			r := newRig(t, once)
			q := r.event("<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>ines</UserID>", r.now)
			seen := 0
			r.Fault(func(awslocal.FaultRequest) (d awslocal.FaultDecision) {
				if seen++; seen == n {
					d.Act = act
				}
				return d
			})
			if status, body := r.post(contactsPath, q); status != http.StatusInternalServerError || body != "" {
				t.Errorf("call %d, act %d: %d %q", n, act, status, body)
			}
			r.Fault(nil)
			if status, _ := r.post(contactsPath, q); status != http.StatusOK {
				t.Errorf("call %d, act %d: again %d", n, act, status)
			}
			if notices, jobs := r.notices(directory.KindMember, "ines"), r.Take("DirectoryQueue"); len(notices) != 1 || len(jobs) == 0 {
				t.Errorf("call %d, act %d: notices %v, jobs %v", n, act, notices, jobs)
			}
		}
	}
}

// The event is one that API Gateway makes of WeCom's request.
func TestAnEventOfTheAPIIsAnswered(t *testing.T) {
	r := newRig(t, asFunction)
	raw, err := os.ReadFile(filepath.Join("..", "..", "events", "callback.json"))
	r.OK(err)
	var event map[string]any
	r.OK(json.Unmarshal(raw, &event))
	q := r.sealed(token, key, "4711 echo", r.now)
	q.Query.Set("echostr", q.Sealed)
	event["rawQueryString"] = q.Query.Encode()
	raw, err = json.Marshal(event)
	r.OK(err)
	answer, err := lambdas.Function{Log: r.listener.log, HTTP: r.handler()}.Invoke(t.Context(), raw)
	r.OK(err)
	text, err := json.Marshal(answer)
	r.OK(err)
	if !strings.Contains(string(text), `"statusCode":200`) || !strings.Contains(string(text), `"body":"4711 echo"`) {
		t.Errorf("answer %s", text)
	}
}
