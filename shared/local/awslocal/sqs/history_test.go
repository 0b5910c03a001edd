package sqs_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/store"
)

// TestNothingIsLostInAnyHistory plays random histories against a model: every message is in the queue, in the dead letters or was
// deleted; none is received while it is hidden; and none more often than the redrive policy allows. Now and then the store is read anew.
func TestNothingIsLostInAnyHistory(t *testing.T) {
	const hide, limit = 10, 3
	round := 0
	b := start(t)
	rapid.Check(t, func(t *rapid.T) {
		round++
		name := fmt.Sprintf("jobs-%d", round)
		queueOf(t, b.SQS, b.URL, name+"-dead", nil)
		url := queueOf(t, b.SQS, b.URL, name, map[string]string{"VisibilityTimeout": strconv.Itoa(hide),
			"RedrivePolicy": `{"deadLetterTargetArn":"` + b.SQS.ARN(name+"-dead") + `","maxReceiveCount":"` + strconv.Itoa(limit) + `"}`})
		type life struct {
			count   int
			visible time.Time // not before
			receipt string
			deleted bool
		}
		model := map[string]*life{} // by body
		ctx := context.Background()
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				delay := rapid.IntRange(0, 5).Draw(t, "delay")
				body := fmt.Sprint("m", len(model))
				if _, err := b.client.SendMessage(ctx, &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, DelaySeconds: int32(delay)}); err != nil {
					t.Fatal(err)
				}
				model[body] = &life{visible: b.clock.now().Add(time.Duration(delay) * time.Second)}
			},
			"receive": func(t *rapid.T) {
				n := rapid.IntRange(1, 10).Draw(t, "n")
				out, err := b.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: int32(n),
					MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount"}})
				if err != nil {
					t.Fatal(err)
				}
				now := b.clock.now()
				for _, m := range out.Messages {
					l := model[*m.Body]
					if l == nil || l.deleted || l.visible.After(now) || l.count == limit {
						t.Fatalf("%s was received although it is %+v at %v", *m.Body, l, now)
					}
					l.count++
					if got := m.Attributes["ApproximateReceiveCount"]; got != strconv.Itoa(l.count) {
						t.Fatalf("%s says that it was received %s times, not %d", *m.Body, got, l.count)
					}
					l.visible, l.receipt = now.Add(hide*time.Second), *m.ReceiptHandle
				}
				ready := 0
				for _, l := range model {
					if !l.deleted && !l.visible.After(now) && l.count < limit {
						ready++
					}
				}
				if len(out.Messages) < n && ready > 0 {
					t.Fatalf("%d of at most %d received, and %d more were ready", len(out.Messages), n, ready)
				}
			},
			"delete": func(t *rapid.T) {
				for body, l := range model {
					// A message that has waited its last time out may be among the dead letters by now.
					if l.receipt == "" || l.deleted || l.count == limit && !l.visible.After(b.clock.now()) {
						continue
					}
					if _, err := b.client.DeleteMessage(ctx, &awssqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: &l.receipt}); err != nil {
						t.Fatalf("%s: %v", body, err)
					}
					l.deleted = true
					return
				}
			},
			"pause": func(t *rapid.T) {
				seconds := rapid.IntRange(0, 20).Draw(t, "seconds")
				for _, l := range model {
					if l.receipt == "" || l.deleted || !l.visible.After(b.clock.now()) {
						continue
					}
					if _, err := b.client.ChangeMessageVisibility(ctx, &awssqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: &l.receipt, VisibilityTimeout: int32(seconds)}); err != nil {
						t.Fatal(err)
					}
					l.visible = b.clock.now().Add(time.Duration(seconds) * time.Second)
					return
				}
			},
			"wait": func(t *rapid.T) {
				b.clock.move(time.Duration(rapid.IntRange(1, 15).Draw(t, "seconds")) * time.Second)
			},
			"reload": func(t *rapid.T) {
				// What the store holds must be what memory holds.
				anew, err := sqs.New(b.DB, awstest.Region, awstest.Account, b.clock.now)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(b.SQS.Depths(), anew.Depths()); diff != "" {
					t.Fatal(diff)
				}
			},
			"": func(t *rapid.T) {
				alive := 0
				for _, l := range model {
					if !l.deleted {
						alive++
					}
				}
				depths := b.SQS.Depths()
				d, letters := depths[name], depths[name+"-dead"]
				if got := d.Visible + d.InFlight + d.Delayed + letters.Visible; got != alive {
					t.Fatalf("%d messages are there, want %d: %+v and %+v", got, alive, d, letters)
				}
			},
		})
	})
}

func queueOf(t *rapid.T, s *sqs.Service, base, name string, attributes map[string]string) string {
	if _, err := s.Ensure(name, attributes); err != nil {
		t.Fatal(err)
	}
	return s.URL(base, name)
}

// crashVariable makes this test's program the one that is killed.
const crashVariable = "WECOMVAULT_TEST_SQS_CRASH"

// TestMain lets the test binary be the process that dies.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashVariable); path != "" {
		if err := sendUntilKilled(path); err != nil {
			fmt.Println("error", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// sendUntilKilled sends, and receives every fourth message, and says what was acknowledged.
func sendUntilKilled(path string) error {
	db, err := store.Open(path)
	if err != nil {
		return err
	}
	service, err := sqs.New(db, awstest.Region, awstest.Account, time.Now)
	if err != nil {
		return err
	}
	if _, err := service.Ensure("jobs", map[string]string{"VisibilityTimeout": "600"}); err != nil {
		return err
	}
	server := awstest.Serve(map[string]http.Handler{"sqs": service})
	client := awssqs.NewFromConfig(server.Config("operator"))
	url := service.URL(server.URL, "jobs")
	for i := 0; ; i++ {
		out, err := client.SendMessage(context.Background(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(fmt.Sprint(i))})
		if err != nil {
			return err
		}
		fmt.Println("sent", *out.MessageId)
		if i%4 == 3 {
			if _, err := client.ReceiveMessage(context.Background(), &awssqs.ReceiveMessageInput{QueueUrl: &url}); err != nil {
				return err
			}
			fmt.Println("received")
		}
	}
}

func TestNothingAcknowledgedIsLostByAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aws.db")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashVariable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sent := map[string]bool{}
	received := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var what, id string
		// "received" has no second word.
		_, _ = fmt.Sscan(lines.Text(), &what, &id)
		switch what {
		case "sent":
			sent[id] = true
		case "received":
			received++
		default:
			t.Fatalf("the child says %s", lines.Text())
		}
		if len(sent) == 60 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}

	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	service, err := sqs.New(db, awstest.Region, awstest.Account, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	d := service.Depths()["jobs"]
	if got := d.Visible + d.InFlight; got < len(sent) || got > len(sent)+1 {
		t.Errorf("%d messages after the kill, %d were acknowledged", got, len(sent))
	}
	if d.InFlight < received || d.InFlight > received+1 {
		t.Errorf("%d messages in flight after the kill, %d receives were answered", d.InFlight, received)
	}
	if err := service.ReleaseInFlight(); err != nil {
		t.Fatal(err)
	}
	server := awstest.Serve(map[string]http.Handler{"sqs": service})
	defer server.Close()
	client := awssqs.NewFromConfig(server.Config("operator"))
	for len(sent) > 0 {
		out, err := client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: aws.String(service.URL(server.URL, "jobs")), MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			t.Fatalf("%d acknowledged messages are gone", len(sent))
		}
		for _, m := range out.Messages {
			delete(sent, *m.MessageId)
		}
	}
}
