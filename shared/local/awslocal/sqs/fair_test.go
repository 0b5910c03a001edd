package sqs_test

import (
	"context"
	"fmt"
	"testing"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// TestABacklogOfOneGroupLetsTheOthersPass sends many jobs of one corp and then one of another.
func TestABacklogOfOneGroupLetsTheOthersPass(t *testing.T) {
	b := start(t)
	url := b.Queue(t, "jobs", nil)
	send := func(group, body string) {
		t.Helper()
		if _, err := b.client.SendMessage(context.Background(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageGroupId: &group}); err != nil {
			t.Fatal(err)
		}
	}
	one := func() string {
		t.Helper()
		out, err := b.client.ReceiveMessage(context.Background(), &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 1})
		if err != nil || len(out.Messages) != 1 {
			t.Fatalf("%v messages, %v", out, err)
		}
		return *out.Messages[0].Body
	}
	for i := range 50 {
		send("behind", fmt.Sprintf("behind-%d", i))
	}
	first := one()
	send("live", "live-0")
	send("live", "live-1")
	got := []string{first, one(), one(), one()}
	want := []string{"behind-0", "live-0", "behind-1", "live-1"}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("handed out %v, want %v", got, want)
		}
	}
}
