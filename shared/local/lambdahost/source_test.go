package lambdahost

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	localsqs "github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/store"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

const queueTemplate = `
Transform: AWS::Serverless-2016-10-31
Parameters:
  Start: {Type: String}
  BatchSize: {Type: Number, Default: 2}
Resources:
  WorkQueue:
    Type: AWS::SQS::Queue
    Properties: {VisibilityTimeout: 60}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: work
      Runtime: provided.al2023
      Handler: bootstrap
      CodeUri: .
      Architectures: [x86_64]
      Timeout: 10
      Role: !GetAtt Role.Arn
      Environment:
        Variables: {START: !Ref Start}
      Events:
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt WorkQueue.Arn
            BatchSize: !Ref BatchSize
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 2}
`

// work is a host that reads a queue of a local SQS.
type work struct {
	h      *Host
	queues *localsqs.Service
	client *sqs.Client
	url    string
	events string // folder of the events that the function got
}

func newWork(t *testing.T, batchSize int, allowed func(authz.Request) bool) *work {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "aws.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	queues, err := localsqs.New(db, "us-east-1", "000000000000", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(queues.Close)
	front, err := awslocal.New(awslocal.Config{Region: "us-east-1", Account: "000000000000", Services: map[string]http.Handler{"sqs": queues},
		Principal: func(key string) (string, *authz.Caller, bool) {
			if key == "OPERATOR" {
				return "secret", authz.Everything("operator"), true
			}
			return "secret", &authz.Caller{Name: "WorkFunction", Allowed: allowed}, key == "AKIAWorkFunction"
		}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	w := &work{queues: queues, events: t.TempDir()}
	tmpl, err := template.Parse("test.yaml", []byte(queueTemplate), map[string]string{template.Endpoint: server.URL, "Start": w.events, "BatchSize": strconv.Itoa(batchSize)})
	if err != nil {
		t.Fatal(err)
	}
	w.url = tmpl.Queues[0].URL
	w.client = sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("OPERATOR", "secret", "")})
	if _, err := w.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(tmpl.Queues[0].Name), Attributes: tmpl.Queues[0].Attributes}); err != nil {
		t.Fatal(err)
	}
	w.h = newHost(t, func(o *Options, _ map[string]string) { o.Template, o.Endpoint = tmpl, server.URL })
	return w
}

func (w *work) send(t *testing.T, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		if _, err := w.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(w.url), MessageBody: aws.String(b),
			MessageAttributes: map[string]types.MessageAttributeValue{"corp": {DataType: aws.String("String"), StringValue: aws.String("wwdemo")}}}); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *work) depth() localsqs.Depth { return w.queues.Depths()["wecomvault-WorkQueue"] }

func (w *work) invocations(t *testing.T) []events.SQSEvent {
	t.Helper()
	entries, err := os.ReadDir(w.events)
	if err != nil {
		t.Fatal(err)
	}
	var out []events.SQSEvent
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(w.events, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		var event events.SQSEvent
		if err := json.Unmarshal(raw, &event); err != nil {
			t.Fatal(err)
		}
		out = append(out, event)
	}
	return out
}

func everything(authz.Request) bool { return true }

func TestFinishedMessagesAreDeletedAndFailedOnesStay(t *testing.T) {
	for _, c := range []struct {
		name   string
		bodies []string
		stay   int
	}{
		{"all done", []string{"ok", "ok"}, 0},
		{"one failed", []string{"ok", "fail"}, 1},
		{"panic", []string{"ok", "panic"}, 2},
		{"no JSON object", []string{"ok", `"done"`}, 2},
		{"empty identifier", []string{"ok", `{"batchItemFailures":[{"itemIdentifier":""}]}`}, 2},
		{"null identifier", []string{"ok", `{"batchItemFailures":[{"itemIdentifier":null}]}`}, 2},
		{"misnamed identifier", []string{"ok", `{"batchItemFailures":[{"id":"x"}]}`}, 2},
		{"identifier of another batch", []string{"ok", `{"batchItemFailures":[{"itemIdentifier":"x"}]}`}, 2},
		{"null answer", []string{"ok", `null`}, 0},
		{"no list", []string{"ok", `{}`}, 0},
		{"null list", []string{"ok", `{"batchItemFailures":null}`}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWork(t, 2, everything)
			w.send(t, c.bodies...)
			if err := w.h.Start(false); err != nil {
				t.Fatal(err)
			}
			until(t, "both were worked on", func() bool {
				return len(w.invocations(t)) > 0 && w.h.Idle() && w.depth().Visible == 0
			})
			got := w.invocations(t)
			if len(got) != 1 || len(got[0].Records) != 2 {
				t.Fatalf("%d invocations: %+v", len(got), got)
			}
			if d := w.depth(); d.InFlight != c.stay || d.Visible != 0 {
				t.Errorf("left in the queue: %+v, want %d in flight", d, c.stay)
			}
		})
	}
}

func TestEventIsWrittenAsLambdaWritesIt(t *testing.T) {
	w := newWork(t, 1, everything)
	w.send(t, "ok")
	if err := w.h.Start(false); err != nil {
		t.Fatal(err)
	}
	until(t, "worked on", func() bool { return len(w.invocations(t)) == 1 && w.h.Idle() })
	raw, err := os.ReadFile(filepath.Join(w.events, "0000"))
	if err != nil {
		t.Fatal(err)
	}
	var event struct{ Records []map[string]any }
	if err := json.Unmarshal(raw, &event); err != nil {
		t.Fatal(err)
	}
	record := event.Records[0]
	for key, want := range map[string]any{"body": "ok", "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:wecomvault-WorkQueue",
		"awsRegion": "us-east-1", "md5OfBody": "444bcb3a3fcf8389296c49467f27e1d6"} {
		if record[key] != want {
			t.Errorf("%s is %v, want %v", key, record[key], want)
		}
	}
	attributes, _ := record["attributes"].(map[string]any)
	if attributes["ApproximateReceiveCount"] != "1" || attributes["SentTimestamp"] == nil || attributes["ApproximateFirstReceiveTimestamp"] == nil || attributes["SenderId"] == nil {
		t.Errorf("attributes %v", attributes)
	}
	corp, err := json.Marshal(record["messageAttributes"])
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"corp":{"binaryListValues":[],"dataType":"String","stringListValues":[],"stringValue":"wwdemo"}}`; string(corp) != want {
		t.Errorf("message attributes %s, want %s", corp, want)
	}
}

func TestQueueIsReadWithTheFunctionsOwnPermissions(t *testing.T) {
	for _, missing := range []string{"sqs:ReceiveMessage", "sqs:DeleteMessage"} {
		w := newWork(t, 1, func(r authz.Request) bool { return r.Action != missing })
		w.send(t, "ok")
		var log strings.Builder
		lines := make(chan string, 16)
		w.h.opts.Log = captured(&log, lines)
		if err := w.h.Start(false); err != nil {
			t.Fatal(err)
		}
		select {
		case <-lines:
		case <-time.After(10 * time.Second):
			t.Fatalf("without %s nobody complains", missing)
		}
		if d := w.depth(); d.Visible+d.InFlight != 1 {
			t.Errorf("without %s the queue holds %+v", missing, d)
		}
	}
}

func TestMaximumConcurrencyIsKept(t *testing.T) {
	w := newWork(t, 1, everything)
	if got := cap(must(w.h.newSource(w.h.functions["WorkFunction"], w.h.functions["WorkFunction"].SQSSources[0])).slots); got != 2 {
		t.Errorf("%d at a time, the template says 2", got)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
