package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// WeCom tells of a new member before each of its servers knows him: that one knows of none is looked at once more, as of a department.
func TestWhoIsToldToHaveComeAndIsNotThereYetIsLookedAtOnceMore(t *testing.T) {
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.refreshed(corp)
	client, url := sqs.NewFromConfig(r.aws.Config("operator")), r.aws.SQS.URL(r.aws.URL, "directory")
	for n, job := range []queue.DirectoryJob{{Corp: corp, Kind: directory.KindMember, ID: "rui"}, {Corp: corp, Kind: directory.KindDepartment, ID: "9"}} {
		job.Says, job.At = directory.ToldCreated, r.at.Truncate(time.Second)
		r.at = r.at.Add(time.Second)
		r.work(job)
		out := must[*sqs.GetQueueAttributesOutput](t)(client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url,
			AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessagesDelayed"}}))
		if got := out.Attributes["ApproximateNumberOfMessagesDelayed"]; got != fmt.Sprint(n+1) {
			t.Errorf("%s %s: %s jobs wait, want %d", job.Kind, job.ID, got, n+1)
		}
	}
}
