package main_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/cloudwatch"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// every is how far apart the moments are at which a played house is looked at.
const every = 5 * time.Minute

// watched is a whole house, its real functions included, whose metrics are reckoned as CloudWatch would.
type watched struct {
	*testing.T
	*house.House
	alarms []cloudwatch.Alarm
	deny   string // logical id of the function to which everything is denied
	slow   string // and of the one whose calls are not answered before stuck is closed
	stuck  chan struct{}

	mu     sync.Mutex
	failed map[string]int       // invocations by function, since the last look
	oldest map[string]time.Time // of each queue, when its oldest message was seen first, in played time
	sent   map[string]time.Time // and when it was sent, in real time
	read   map[string]int       // bytes of each log that were read
}

// newWatched opens a house. It changes this process's environment, so that no test that runs beside may need its own.
func newWatched(t *testing.T, params map[string]string) *watched {
	t.Helper()
	for _, name := range []string{"AWS_ENDPOINT_URL", "WECOMVAULT_CLOCK_FILE"} {
		t.Setenv(name, os.Getenv(name)) // put back when the test ends
	}
	binaries, err := built()
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{T: t, failed: map[string]int{}, oldest: map[string]time.Time{}, sent: map[string]time.Time{}, read: map[string]int{}}
	all := map[string]string{"RetentionMode": "GOVERNANCE", "RetentionDays": "1", "Trial": "true"}
	for k, v := range params {
		all[k] = v
	}
	w.House, err = house.Open(t.Context(), house.Options{
		Data: t.TempDir(), Template: "../../template.yaml", Binaries: binaries, Params: all, NoSync: true, Fault: w.fault,
		Ran: func(r lambdahost.Ran) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if r.Failed {
				w.failed[r.Function.Name]++
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	w.alarms, err = cloudwatch.Alarms(w.Template)
	w.ok(err)
	return w
}

func (w *watched) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *watched) fault(q awslocal.FaultRequest) awslocal.FaultDecision {
	w.mu.Lock()
	deny, slow, stuck := w.deny, w.slow, w.stuck
	w.mu.Unlock()
	if stuck != nil && q.Caller == slow {
		<-stuck
	}
	if deny != "" && q.Caller == deny {
		return awslocal.FaultDecision{Act: awslocal.Refuse, Code: "AccessDeniedException", Status: 400}
	}
	return awslocal.FaultDecision{}
}

// measure takes what AWS and the functions have measured since the last look.
func (w *watched) measure(s *cloudwatch.Store) {
	w.Helper()
	now := w.Now()
	w.mu.Lock()
	for _, f := range w.Template.Functions {
		s.Put("AWS/Lambda", "Errors", map[string]string{"FunctionName": f.Name}, now, float64(w.failed[f.Name]))
	}
	clear(w.failed)
	w.mu.Unlock()
	for name, d := range w.Queues.Depths() {
		age := 0.0
		if !d.Oldest.IsZero() {
			// The queues keep real time; what counts here is played time.
			if w.sent[name] != d.Oldest {
				w.sent[name], w.oldest[name] = d.Oldest, now
			}
			age = now.Sub(w.oldest[name]).Seconds()
		}
		dimensions := map[string]string{"QueueName": name}
		s.Put("AWS/SQS", "ApproximateAgeOfOldestMessage", dimensions, now, age)
		s.Put("AWS/SQS", "ApproximateNumberOfMessagesVisible", dimensions, now, float64(d.Visible))
	}
	for _, f := range w.Template.Functions {
		w.ok(s.Log(bytes.NewReader(w.news(f.Name + ".log"))))
	}
	for _, line := range strings.Split(string(w.news("endpoints.log")), "\n") {
		if _, id, ok := strings.Cut(line, `msg="invocation throttled" function=`); ok {
			f, found := w.Template.Function(strings.TrimSpace(id))
			if !found {
				w.Fatalf("throttled was %q", id)
			}
			s.Put("AWS/Lambda", "Throttles", map[string]string{"FunctionName": f.Name}, now, 1)
		}
	}
}

// news is what a log has got since the last look, in whole lines.
func (w *watched) news(name string) []byte {
	w.Helper()
	raw, err := os.ReadFile(filepath.Join(w.Data, "logs", name))
	w.ok(err)
	fresh := raw[w.read[name]:]
	fresh = fresh[:bytes.LastIndexByte(fresh, '\n')+1]
	w.read[name] += len(fresh)
	return fresh
}

// pass moves the played time on.
func (w *watched) pass(d time.Duration) {
	w.Helper()
	w.ok(w.SetOffset(w.Ahead() + d))
}

// shared are the alarms over what AWS measures and what every function writes; the others are fired in the functions' own tests.
func (w *watched) shared() []cloudwatch.Alarm {
	all := slices.Clone(w.alarms)
	for _, f := range w.Template.Functions {
		for _, own := range cloudwatch.Of(all, folderOf(f)) {
			all = slices.DeleteFunc(all, func(a cloudwatch.Alarm) bool { return a.LogicalID == own.LogicalID })
		}
	}
	return all
}

func folderOf(f template.Function) string {
	return strings.ToLower(strings.TrimSuffix(f.LogicalID, "Function"))
}

// fires asks that exactly these of the shared alarms are in ALARM.
func (w *watched) fires(what string, s *cloudwatch.Store, want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, s.AllFiring(w.shared(), w.Now())); diff != "" {
		w.Errorf("%s (-want +got)\n%s", what, diff)
	}
	for _, id := range want {
		fired.Store(id, true)
	}
}

// fired holds the alarms that some fault of this file has fired.
var fired sync.Map

// errorsOf is the alarm over a function's errors: template.yaml has the functions in two groups.
func errorsOf(f template.Function) string {
	if slices.Contains([]string{"watch", "report", "mail", "tell", "feedback"}, folderOf(f)) {
		return "TellingErrorsAlarm"
	}
	return "KeepingErrorsAlarm"
}

// work is an event that makes a function do something: a job of its queue, or its schedule's.
func work(f template.Function, queueARN string) []byte {
	if queueARN == "" {
		return []byte(`{}`)
	}
	body := `{"corp":"wwnobody","batch":"b","waiting":"w","mail":"m","telling":"t","report":"R7","reason":"no-key"}`
	if folderOf(f) == "feedback" {
		body = fmt.Sprintf(`{"event":"Send","ses_id":"m-1","at":"2031-05-06T12:00:01Z","corp":[%q],"mail":[%q]}`,
			base64.RawURLEncoding.EncodeToString([]byte("wwnobody")), base64.RawURLEncoding.EncodeToString([]byte("2031-05-06#R1#0123456789abcdef")))
	}
	event := map[string]any{"Records": []any{map[string]any{"messageId": "1", "receiptHandle": "h", "body": body, "eventSource": "aws:sqs", "eventSourceARN": queueARN,
		"attributes": map[string]string{"ApproximateReceiveCount": "1"}}}}
	text, err := json.Marshal(event)
	if err != nil {
		panic(err) // it is made of words alone
	}
	return text
}

func TestEachFaultOfAWSFiresItsAlarmAndNoOther(t *testing.T) {
	w := newWatched(t, nil)

	t.Run("a function fails because AWS denies it everything", func(t *testing.T) {
		for _, f := range w.Template.Functions {
			s := cloudwatch.NewStore()
			w.measure(cloudwatch.NewStore()) // of the function before
			w.fires("before "+f.Name, s)
			w.mu.Lock()
			w.deny = f.LogicalID
			w.mu.Unlock()
			for range 3 {
				w.pass(every)
				events := [][]byte{[]byte(`{}`)} // fails as a run, whatever else the function is for
				for _, q := range f.SQSSources {
					events = append(events, work(f, q.QueueARN))
				}
				for _, e := range events {
					_, err := w.Host.Invoke(t.Context(), f.LogicalID, e)
					w.ok(err)
				}
				w.measure(s)
			}
			w.fires(f.Name+" is denied everything", s, "DeniedAlarm", errorsOf(f))
		}
		w.mu.Lock()
		w.deny = ""
		w.mu.Unlock()
	})

	t.Run("jobs wait, and jobs are given up", func(t *testing.T) {
		client := sqs.NewFromConfig(w.Config(house.Operator))
		for _, q := range w.Template.Queues {
			s := cloudwatch.NewStore()
			w.measure(cloudwatch.NewStore())
			body := "{}"
			_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: &body})
			w.ok(err)
			w.measure(s)
			want := []string{"DeadLettersAlarm"}
			if q.DeadLetters != "" {
				w.fires(q.LogicalID+" has a new job", s)
				w.pass(time.Hour)
				w.measure(s)
				w.pass(every)
				want = []string{"OldWorkAlarm"}
			}
			w.measure(s)
			w.fires(q.LogicalID+" keeps a job", s, want...)
			_, err = client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &q.URL})
			w.ok(err)
		}
	})

	t.Run("the account has no concurrency left", func(t *testing.T) {
		for function, alarm := range map[string]string{"WatchFunction": "TellingThrottlesAlarm", "FsckFunction": "KeepingThrottlesAlarm"} {
			s := cloudwatch.NewStore()
			w.measure(cloudwatch.NewStore())
			stuck := make(chan struct{})
			w.mu.Lock()
			w.slow, w.stuck = function, stuck
			w.mu.Unlock()
			log := filepath.Join(w.Data, "logs", "endpoints.log")
			count := func() (int, error) {
				text, err := os.ReadFile(log)
				return strings.Count(string(text), "invocation throttled"), err
			}
			before, err := count()
			w.ok(err)
			for range 13 {
				w.ok(w.Host.InvokeAsync(function, []byte(`{}`)))
			}
			throttled := func(n int) {
				w.Helper()
				reached, err := house.Until(t.Context(), 20*time.Second, func() (bool, error) {
					now, err := count()
					return now-before >= n, err
				})
				if err != nil || !reached {
					w.Fatalf("%d invocations of %s were never throttled: %v", n, function, err)
				}
			}
			for i := range 3 {
				w.pass(every)
				throttled(3 + i)
				w.measure(s)
				w.ok(w.Host.InvokeAsync(function, []byte(`{}`)))
			}
			w.fires("ten stuck invocations of "+function, s, alarm)
			w.mu.Lock()
			w.stuck = nil
			w.mu.Unlock()
			close(stuck)
			if idle, err := house.Until(t.Context(), 30*time.Second, func() (bool, error) { return w.Host.Idle(), nil }); err != nil || !idle {
				w.Fatalf("%s never ends: %v", function, err)
			}
		}
	})

	t.Run("the feedback queue takes nothing from the rules", func(t *testing.T) {
		client := sqs.NewFromConfig(w.Config(house.Operator))
		for _, r := range w.Template.EventRules {
			s := cloudwatch.NewStore()
			deliver := func() {
				for _, target := range r.Targets {
					if err := w.Queues.Deliver("events.amazonaws.com", r.ARN, target.QueueARN, "{}"); err != nil {
						s.Put("AWS/Events", "FailedInvocations", map[string]string{"RuleName": w.physical(r.LogicalID)}, w.Now(), 1)
					}
				}
			}
			deliver()
			w.fires(r.LogicalID+" delivers", s)
			for _, target := range r.Targets {
				q, _ := w.Template.Queue(target.QueueARN)
				policy := w.policy(client, q.URL, "")
				deliver()
				w.policy(client, q.URL, policy)
			}
			w.fires(r.LogicalID+" is refused", s, "LostEventsAlarm")
		}
	})

	for _, a := range w.shared() {
		if _, ok := fired.Load(a.LogicalID); !ok {
			t.Errorf("no fault fires %s", a.LogicalID)
		}
	}
}

// physical is what a resource is called.
func (w *watched) physical(logicalID string) string {
	w.Helper()
	i := slices.IndexFunc(w.Template.Resources, func(r template.Resource) bool { return r.LogicalID == logicalID })
	if i < 0 {
		w.Fatalf("the template has no %s", logicalID)
	}
	return w.Template.Resources[i].Physical
}

// policy sets a queue's policy and returns the one before.
func (w *watched) policy(client *sqs.Client, url, policy string) string {
	w.Helper()
	before, err := client.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNamePolicy}})
	w.ok(err)
	_, err = client.SetQueueAttributes(context.Background(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"Policy": policy}})
	w.ok(err)
	return before.Attributes["Policy"]
}

// TestUndisturbedHoursOfTheWholeHouseFireNoAlarm plays the hours around noon with every real function.
func TestUndisturbedHoursOfTheWholeHouseFireNoAlarm(t *testing.T) {
	slow(t)
	binaries, err := built()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	child, url, err := house.Simulator(t.Context(), binaries, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := child.Close(); err != nil {
			t.Error(err)
		}
	})
	w := newWatched(t, map[string]string{"WecomUrl": url, "SdkHost": filepath.Join(binaries, "local", "simsdk"), "SdkLib": "", "PollInterval": "100ms"})
	now := w.Now()
	start := time.Date(now.Year(), now.Month(), now.Day()+1, 10, 59, 30, 0, time.UTC)
	w.pass(start.Sub(now))
	w.company(url, "wwundisturbed") // only now: at whatever hour this runs, one noon comes
	w.ok(w.Start())
	w.Host.Tick()
	s := cloudwatch.NewStore()
	fetched := cloudwatch.Metric{Namespace: cloudwatch.Own, Name: "FetchOK", Dimensions: map[string]string{"Stack": w.Template.StackName, "Function": "fetch"}}
	looked := cloudwatch.Metric{Namespace: cloudwatch.Own, Name: "Corps", Dimensions: map[string]string{"Stack": w.Template.StackName, "Function": "watch"}}
	sim := wecomsim.NewClient(url)
	for step := range 26 {
		_, err := sim.Send(t.Context(), wecomsim.Message{Corp: "wwundisturbed", From: "li.wei", To: []string{"chen.jie"}, Text: "well"})
		w.ok(err)
		w.pass(every)
		watches, fetches := s.Len(looked), s.Len(fetched)
		w.Host.Tick()
		reached, err := house.Until(t.Context(), 30*time.Second, func() (bool, error) {
			w.measure(s)
			jobs, _ := w.Queued()
			return s.Len(looked) > watches && (step == 0 || s.Len(fetched) > fetches) && jobs == 0, nil
		})
		if err != nil || !reached {
			t.Fatalf("step %d: watch wrote %d lines, fetch %d: %v", step, s.Len(looked), s.Len(fetched), err)
		}
		if step < 3 {
			continue // nobody looked before
		}
		if ids := s.AllFiring(w.alarms, w.Now()); len(ids) > 0 {
			t.Fatalf("at %s %q fire", w.Now().Format(time.TimeOnly), ids)
		}
	}
	mails, err := w.Mails.Mails()
	w.ok(err)
	subjects := make([]string, 0, len(mails))
	for _, m := range mails {
		subjects = append(subjects, m.Subject)
	}
	slices.Sort(subjects)
	// R8 because WeCom shows no email to this company's secret, which is news on the first day.
	if len(subjects) != 2 || !strings.Contains(subjects[0], " R1 ") || !strings.Contains(subjects[1], " R8 ") {
		t.Errorf("at noon were sent %q, want R1 and R8", subjects)
	}
}

// company is one that is well, in the simulated WeCom and here.
func (w *watched) company(url string, id archive.CorpID) {
	w.Helper()
	ctx := context.Background()
	made, err := wecomsim.NewClient(url).AddCorp(ctx, wecomsim.NewCorp{Corp: string(id), Name: string(id), Secrets: []wecomsim.Secret{{Kind: wecomsim.KindArchive, Value: "archive-of-" + string(id)}}})
	w.ok(err)
	w.ok(w.Ledger().PutCorp(ctx, ledger.Corp{ID: id, Name: string(id), Added: w.Now(), ReportTo: []ledger.Receiver{{Address: "reader@" + string(id) + ".example", Language: "en"}}}))
	vault := secrets.New(secretsmanager.NewFromConfig(w.Config(house.Operator)), w.Template.Parameters["SecretsPrefix"])
	w.ok(vault.PutSecret(ctx, id, secrets.Archive, secrets.NewValue("archive-of-"+string(id))))
	for _, k := range made.Keys {
		key, err := secrets.ParseKey([]byte(k.Private))
		w.ok(err)
		w.ok(vault.AddKey(ctx, id, archive.KeyVersion(k.Version), key))
		w.ok(w.Ledger().PutKey(ctx, id, ledger.KeyRow{Version: archive.KeyVersion(k.Version), Fingerprint: fmt.Sprint(k.Version), Added: w.Now()}))
	}
}
