package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
)

// clock is a clock that only the test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// bench is one endpoint with the operator's client.
type bench struct {
	*awstest.Endpoint
	clock  *clock
	client *awssqs.Client
}

func start(t testing.TB) bench {
	c := newClock()
	e := awstest.Start(t, awstest.Options{Now: c.now})
	return bench{e, c, awssqs.NewFromConfig(e.Config("operator"))}
}

func (b bench) send(t testing.TB, url string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := b.client.SendMessage(context.Background(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
}

func (b bench) receive(t testing.TB, url string) []types.Message {
	t.Helper()
	out, err := b.client.ReceiveMessage(context.Background(), &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

func (b bench) remove(t testing.TB, url string, m types.Message) {
	t.Helper()
	if _, err := b.client.DeleteMessage(context.Background(), &awssqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
}

func bodies(messages []types.Message) string {
	var out []string
	for _, m := range messages {
		out = append(out, *m.Body)
	}
	return strings.Join(out, " ")
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestAMessageComesBackAfterItsVisibilityTimeout(t *testing.T) {
	b := start(t)
	url := b.Queue(t, "jobs", map[string]string{"VisibilityTimeout": "60"})
	b.send(t, url, "one")
	first := b.receive(t, url)
	if got := bodies(first); got != "one" {
		t.Fatalf("received %q", got)
	}
	b.clock.move(59 * time.Second)
	if got := bodies(b.receive(t, url)); got != "" {
		t.Fatalf("received %q while it was in flight", got)
	}
	if d := b.SQS.Depths()["jobs"]; d.InFlight != 1 || d.Visible != 0 || d.Delayed != 0 || d.Oldest.IsZero() {
		t.Errorf("depth %+v", d)
	}
	b.clock.move(time.Second)
	second := b.receive(t, url)
	if got := bodies(second); got != "one" || second[0].Attributes["ApproximateReceiveCount"] != "2" {
		t.Fatalf("received %q, count %v", got, second)
	}
	b.remove(t, url, first[0])
	if d := b.SQS.Depths()["jobs"]; d.InFlight != 1 {
		t.Errorf("the first receive's handle deleted a message that was received again: %+v", d)
	}
	b.remove(t, url, second[0])
	b.remove(t, url, second[0])
	if d := b.SQS.Depths()["jobs"]; d != (sqs.Depth{}) {
		t.Errorf("depth %+v after the delete", d)
	}
}

func TestAnExpiredHandleDeletesUntilTheNextReceive(t *testing.T) {
	b := start(t)
	url := b.Queue(t, "jobs", map[string]string{"VisibilityTimeout": "1"})
	b.send(t, url, "one")
	m := b.receive(t, url)[0]
	b.clock.move(time.Minute)
	_, err := b.client.ChangeMessageVisibility(t.Context(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 5})
	if got := code(err); !strings.HasSuffix(got, "MessageNotInflight") {
		t.Errorf("changing the visibility of a message that is visible: %s", got)
	}
	b.remove(t, url, m)
	if d := b.SQS.Depths()["jobs"]; d != (sqs.Depth{}) {
		t.Errorf("depth %+v", d)
	}
}

func TestAPauseIsCountedFromNowAndEndsAtTwelveHours(t *testing.T) {
	b := start(t)
	url := b.Queue(t, "jobs", map[string]string{"VisibilityTimeout": "10"})
	b.send(t, url, "one")
	m := b.receive(t, url)[0]
	change := func(seconds int32) error {
		_, err := b.client.ChangeMessageVisibility(t.Context(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds})
		return err
	}
	b.clock.move(9 * time.Second)
	if err := change(3600); err != nil {
		t.Fatal(err)
	}
	b.clock.move(3599 * time.Second)
	if got := b.receive(t, url); len(got) != 0 {
		t.Error("the pause ended too early")
	}
	if got := code(change(43_200)); got != "InvalidParameterValue" {
		t.Errorf("more than 12 hours since the receive: %s", got)
	}
	b.clock.move(time.Second)
	if got := b.receive(t, url); len(got) != 1 {
		t.Error("the pause did not end")
	}
}

func TestDeadLettersAfterTheReceivesThatThePolicyAllows(t *testing.T) {
	b := start(t)
	dead := b.Queue(t, "jobs-dead", nil)
	url := b.Queue(t, "jobs", map[string]string{"VisibilityTimeout": "1",
		"RedrivePolicy": `{"deadLetterTargetArn":"` + b.SQS.ARN("jobs-dead") + `","maxReceiveCount":3}`})
	b.send(t, url, "poison")
	id := ""
	for range 3 {
		got := b.receive(t, url)
		if len(got) != 1 {
			t.Fatal("not received three times")
		}
		id = *got[0].MessageId
		b.clock.move(2 * time.Second)
	}
	if got := b.receive(t, url); len(got) != 0 {
		t.Fatal("received a fourth time")
	}
	letters := b.receive(t, dead)
	if len(letters) != 1 || *letters[0].MessageId != id || letters[0].Attributes["DeadLetterQueueSourceArn"] != b.SQS.ARN("jobs") {
		t.Fatalf("dead letters %v", letters)
	}
	b.clock.move(time.Hour)

	source := b.SQS.ARN("jobs-dead")
	if _, err := b.client.StartMessageMoveTask(t.Context(), &awssqs.StartMessageMoveTaskInput{SourceArn: &source}); err != nil {
		t.Fatal(err)
	}
	moves, err := b.client.ListMessageMoveTasks(t.Context(), &awssqs.ListMessageMoveTasksInput{SourceArn: &source})
	if err != nil || len(moves.Results) != 1 || moves.Results[0].ApproximateNumberOfMessagesMoved != 1 || *moves.Results[0].Status != "COMPLETED" {
		t.Errorf("moves %+v, %v", moves, err)
	}
	again := b.receive(t, url)
	if len(again) != 1 || again[0].Attributes["ApproximateReceiveCount"] != "1" || *again[0].MessageId == id {
		t.Errorf("after the redrive: %v", again)
	}
}

func TestALongPollEndsWhenAMessageComes(t *testing.T) {
	e := awstest.Start(t, awstest.Options{})
	client := awssqs.NewFromConfig(e.Config("operator"))
	url := e.Queue(t, "jobs", nil)
	got := make(chan string, 1)
	go func() {
		out, err := client.ReceiveMessage(context.Background(), &awssqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		if err != nil {
			got <- err.Error()
			return
		}
		got <- bodies(out.Messages)
	}()
	if _, err := client.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("wake"), DelaySeconds: 1}); err != nil {
		t.Fatal(err)
	}
	select {
	case body := <-got:
		if body != "wake" {
			t.Errorf("received %q", body)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the poll did not end")
	}
}

func TestALongPollThatIsGivenUpTakesNothing(t *testing.T) {
	e := awstest.Start(t, awstest.Options{})
	client := awssqs.NewFromConfig(e.Config("operator"))
	url := e.Queue(t, "jobs", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20}); err == nil {
		t.Fatal("an empty queue gave something")
	}
	// The server learns of it by the closed connection; until then the poll is still open.
	deadline := time.After(5 * time.Second)
	for len(e.Calls()) == 0 {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatal("the poll outlived its caller")
		}
	}
	if _, err := client.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")}); err != nil {
		t.Fatal(err)
	}
	if d := e.SQS.Depths()["jobs"]; d.Visible != 1 {
		t.Errorf("depth %+v", d)
	}
}

func TestReverseOrderAndDuplicates(t *testing.T) {
	b := start(t)
	url := b.Queue(t, "jobs", nil)
	b.SQS.SetOrder(sqs.Reverse)
	b.send(t, url, "1", "2", "3")
	if got := bodies(b.receive(t, url)); got != "3 2 1" {
		t.Errorf("received %q", got)
	}
	other := b.Queue(t, "other", nil)
	b.SQS.SetOrder(sqs.Forward)
	b.SQS.SetDuplicates(2)
	b.send(t, other, "1", "2", "3")
	got := b.receive(t, other)
	if bodies(got) != "1 2 2 3" || *got[1].MessageId != *got[2].MessageId || *got[1].ReceiptHandle == *got[2].ReceiptHandle {
		t.Errorf("received %q: %v", bodies(got), got)
	}
}

func TestRetentionDropsOldMessages(t *testing.T) {
	b := start(t)
	url := b.Queue(t, "jobs", map[string]string{"MessageRetentionPeriod": "60"})
	b.send(t, url, "old")
	b.clock.move(61 * time.Second)
	b.send(t, url, "new")
	if d := b.SQS.Depths()["jobs"]; d.Visible != 1 {
		t.Errorf("depth %+v", d)
	}
	if got := bodies(b.receive(t, url)); got != "new" {
		t.Errorf("received %q", got)
	}
}

func TestBatchesSayWhichEntriesFailed(t *testing.T) {
	b := start(t)
	url := b.Queue(t, "jobs", nil)
	out, err := b.client.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("good"), MessageBody: aws.String("x"), MessageGroupId: aws.String("corp-1")},
		{Id: aws.String("bad"), MessageBody: aws.String("a\x00b")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 1 || len(out.Failed) != 1 || *out.Failed[0].Id != "bad" || *out.Failed[0].Code != "InvalidMessageContents" {
		t.Errorf("batch %+v", out)
	}
	m := b.receive(t, url)[0]
	if m.Attributes["MessageGroupId"] != "corp-1" {
		t.Errorf("attributes %v", m.Attributes)
	}
	hidden, err := b.client.ChangeMessageVisibilityBatch(t.Context(), &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0}, {Id: aws.String("b"), ReceiptHandle: aws.String("bogus"), VisibilityTimeout: 0},
	}})
	if err != nil || len(hidden.Successful) != 1 || len(hidden.Failed) != 1 {
		t.Errorf("visibility batch %+v, %v", hidden, err)
	}
	if d := b.SQS.Depths()["jobs"]; d.Visible != 1 {
		t.Errorf("depth %+v", d)
	}
	half := strings.Repeat("x", 600<<10)
	_, err = b.client.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("a"), MessageBody: &half}, {Id: aws.String("b"), MessageBody: &half}}})
	if got := code(err); !strings.HasSuffix(got, "BatchRequestTooLong") {
		t.Errorf("1.2 MiB in one batch: %s", got)
	}
}

func TestWhatIsNotSupportedIsRefusedByName(t *testing.T) {
	b := start(t)
	url := b.Queue(t, "jobs", nil)
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"TagQueue": func() error {
			_, err := b.client.TagQueue(ctx, &awssqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"a": "b"}})
			return err
		},
		"FIFO": func() error {
			_, err := b.client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String("x.fifo"), Attributes: map[string]string{"FifoQueue": "true"}})
			return err
		},
		"MessageDeduplicationId": func() error {
			_, err := b.client.SendMessage(ctx, &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"), MessageDeduplicationId: aws.String("y")})
			return err
		},
		"ReceiveRequestAttemptId": func() error {
			_, err := b.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: &url, ReceiveRequestAttemptId: aws.String("y")})
			return err
		},
		"MaxNumberOfMessagesPerSecond": func() error {
			_, err := b.client.StartMessageMoveTask(ctx, &awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(b.SQS.ARN("jobs")), MaxNumberOfMessagesPerSecond: aws.Int32(1)})
			return err
		},
		"Flavour": func() error {
			_, err := b.client.SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"Flavour": "x"}})
			return err
		},
		"IpAddress": func() error {
			_, err := b.client.SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"Policy": `{"Statement":{"Effect":"Deny","Principal":"*",
				"Action":"sqs:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}}`}})
			return err
		},
		"VisibilityTimeout": func() error {
			_, err := b.client.SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"VisibilityTimeout": "43201"}})
			return err
		},
		"Dead letter target does not exist": func() error {
			_, err := b.client.SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{
				"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:nowhere","maxReceiveCount":1}`}})
			return err
		},
	} {
		err := call()
		var api smithy.APIError
		if !errors.As(err, &api) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARoleReachesItsOwnQueueOnly(t *testing.T) {
	b := start(t)
	const key = "arn:aws:kms:us-east-1:000000000000:key/queues"
	mine := b.Queue(t, "mine", map[string]string{"KmsMasterKeyId": key,
		"Policy": `{"Statement":{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}}`})
	other := b.Queue(t, "other", nil)
	closed := b.Queue(t, "closed", map[string]string{"Policy": `{"Statement":{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}}`})
	role := func(name, statements string) *awssqs.Client {
		p, err := iam.ParseJSON([]byte(`{"Statement":[` + statements + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		b.Caller(name, p.Allowed)
		return awssqs.NewFromConfig(b.Config(name))
	}
	send := func(c *awssqs.Client, url string) string {
		_, err := c.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
		return code(err)
	}
	const allow = `{"Effect":"Allow","Action":["sqs:SendMessage","sqs:ReceiveMessage"],"Resource":["arn:aws:sqs:us-east-1:000000000000:mine","arn:aws:sqs:us-east-1:000000000000:closed"]}`
	keyless := role("Keyless", allow)
	sender := role("Sender", allow+`,{"Effect":"Allow","Action":["kms:GenerateDataKey","kms:Decrypt"],"Resource":"`+key+`","Condition":{"StringEquals":{"kms:ViaService":"sqs.us-east-1.amazonaws.com"}}}`)
	got := []string{send(sender, mine), send(sender, other), send(sender, closed), send(keyless, mine)}
	want := []string{"<nil>", "AccessDeniedException", "AccessDenied", "KmsAccessDenied"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := sender.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: &mine, ReceiptHandle: aws.String("x")}); !strings.HasPrefix(code(err), "AccessDenied") {
		t.Errorf("delete without permission: %v", err)
	}
	b.Caller("Nobody", func(authz.Request) bool { return false })
	if _, err := awssqs.NewFromConfig(b.Config("Nobody")).ListQueues(t.Context(), &awssqs.ListQueuesInput{}); !strings.HasPrefix(code(err), "AccessDenied") {
		t.Errorf("list without permission: %v", err)
	}
}

func TestManyReceiversNeverShareAMessage(t *testing.T) {
	e := awstest.Start(t, awstest.Options{})
	client := awssqs.NewFromConfig(e.Config("operator"))
	url := e.Queue(t, "jobs", map[string]string{"VisibilityTimeout": "600"})
	const messages, workers = 200, 8
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range messages / workers {
				if _, err := client.SendMessage(context.Background(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(fmt.Sprint(w*1000 + i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	var mu sync.Mutex
	var all []string
	for range workers {
		group.Go(func() {
			for {
				out, err := client.ReceiveMessage(context.Background(), &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 7})
				if err != nil {
					t.Error(err)
				}
				if err != nil || len(out.Messages) == 0 {
					return
				}
				mu.Lock()
				for _, m := range out.Messages {
					all = append(all, *m.Body)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); len(all) != messages || n != messages {
		t.Errorf("%d receives of %d different messages, want %d", len(all), n, messages)
	}
}
