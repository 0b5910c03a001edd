package queue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/queue"
)

func TestAJobArrivesAsItWasSentInItsCorpsGroup(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	client, url := sqs.NewFromConfig(r.Config("FetchFunction")), r.Name("BatchQueue")
	groups := map[string]bool{}
	for _, id := range []archive.CorpID{"wwtide", "ww 公司/#", archive.CorpID(strings.Repeat("w", 500))} {
		want := queue.BatchJob{Corp: id, Batch: "b", Reason: "no-key", KeyVersion: 4294967295}
		r.OK(queue.New[queue.BatchJob](client, url).Send(t.Context(), id, want))
		out, err := sqs.NewFromConfig(r.Config("ProcessFunction")).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameMessageGroupId}})
		r.OK(err)
		if len(out.Messages) != 1 {
			t.Fatalf("%d messages", len(out.Messages))
		}
		got, err := queue.Decode[queue.BatchJob](aws.ToString(out.Messages[0].Body))
		r.OK(err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		groups[out.Messages[0].Attributes["MessageGroupId"]] = true
	}
	if len(groups) != 3 {
		t.Errorf("three corps have the groups %v", groups)
	}
}

func TestAPausedJobComesBackAfterItsPause(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	client, url := sqs.NewFromConfig(r.Config("ProcessFunction")), r.Name("BatchQueue")
	r.OK(queue.New[queue.BatchJob](sqs.NewFromConfig(r.Config("FetchFunction")), url).Send(t.Context(), "wwtide", queue.BatchJob{Corp: "wwtide"}))
	receive := func() []types.Message {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
		r.OK(err)
		return out.Messages
	}
	first := receive()
	if len(first) != 1 || len(receive()) != 0 {
		t.Fatal("a received job is visible")
	}
	p := queue.NewPauser(client, url)
	r.OK(p.Pause(t.Context(), aws.ToString(first[0].ReceiptHandle), time.Hour))
	if len(receive()) != 0 {
		t.Error("a paused job is visible")
	}
	r.OK(p.Pause(t.Context(), aws.ToString(first[0].ReceiptHandle), 0))
	if len(receive()) != 1 {
		t.Error("the job does not come back")
	}
	if err := p.Pause(t.Context(), "no handle", time.Second); err == nil {
		t.Error("any handle will do")
	}
}

func TestWhatIsNoJobIsSaidToBeNone(t *testing.T) {
	for _, body := range []string{"", "x", "[]", `{"corp":5}`, `{"key_version":-1}`} {
		if _, err := queue.Decode[queue.BatchJob](body); err == nil || !strings.Contains(err.Error(), "BatchJob") {
			t.Errorf("%s: %v", body, err)
		}
	}
}
