// Package queue sends the product's jobs through SQS and names their forms. A job carries references, never content: whoever reads a
// queue learns ids and nothing else. Jobs may arrive twice and in any order; each worker is written for that.
package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// BatchJob asks process to bring a batch forward. With a Reason its items that were set aside for that reason and key version are tried
// again; without one, a batch that is done is left alone.
type BatchJob struct {
	Corp       archive.CorpID     `json:"corp"`
	Batch      string             `json:"batch"` // ledger.BatchRow.Key
	Reason     string             `json:"reason,omitempty"`
	KeyVersion archive.KeyVersion `json:"key_version,omitempty"`
}

// MediaJob asks media to bring one attachment in.
type MediaJob struct {
	Corp    archive.CorpID `json:"corp"`
	Waiting string         `json:"waiting"` // ledger.Waiting.Key
}

// ReportJob asks report for what is due outside the schedule: an R7 alert, or the preview of any report.
type ReportJob struct {
	Corp    archive.CorpID `json:"corp"`
	Report  string         `json:"report"`
	Preview string         `json:"preview,omitempty"` // ledger.Preview.ID
}

// MailJob asks mail to send one mail to one address.
type MailJob struct {
	Corp archive.CorpID `json:"corp"`
	Mail string         `json:"mail"` // ledger.MailRow.Key
}

// TellJob asks tell to send one message in WeCom to one user.
type TellJob struct {
	Corp    archive.CorpID `json:"corp"`
	Telling string         `json:"telling"` // ledger.Telling.Key
}

// RedriveJob asks redrive to put set-aside items back to work. An empty Reason means every reason; KeyVersion 0 every version.
type RedriveJob struct {
	Corp       archive.CorpID     `json:"corp"`
	Reason     string             `json:"reason,omitempty"`
	KeyVersion archive.KeyVersion `json:"key_version,omitempty"`
}

// DirectoryJob asks directory to look at one department, member, room or external contact, of which WeCom told.
type DirectoryJob struct {
	Corp  archive.CorpID `json:"corp"`
	Kind  directory.Kind `json:"kind"`
	ID    string         `json:"id"`               // of which a change was told
	NewID string         `json:"new_id,omitempty"` // the userid that replaces it
	Again bool           `json:"again,omitempty"`  // the first look found nothing new

	At   time.Time         `json:"at,omitzero"`    // when WeCom told, by its clock
	Says directory.Telling `json:"says,omitempty"` // what it told

	Follower archive.PartyID `json:"follower,omitempty"` // of an external contact: the member whose contact it has become
}

// ConsentJob asks consent to ask WeCom about one pair, or one group, of which WeCom told. It goes to the function itself, by no queue: what is lost, the next
// round asks.
type ConsentJob struct {
	Corp     archive.CorpID  `json:"corp"`
	Member   archive.PartyID `json:"member,omitempty"`
	External archive.PartyID `json:"external,omitempty"`
	Room     archive.RoomID  `json:"room,omitempty"`
	Listed   bool            `json:"listed,omitempty"` // directory has just read who is in the room
}

// MailEvent is what SES says of a mail, in the form that the template's rules give to its events. Nobody enqueues it with Send.
type MailEvent struct {
	Event        string `json:"event"`  // SES's eventType: "Send", "Bounce" and so on
	SESID        string `json:"ses_id"` // SES's message id
	At           string `json:"at"`     // RFC 3339
	Corp         Tag    `json:"corp"`   // the mail's tags, as package mailer made them
	Mail         Tag    `json:"mail"`
	Bounce       string `json:"bounce,omitempty"`        // bounceType of a bounce: "Permanent", "Transient" or "Undetermined"
	BounceDetail string `json:"bounce_detail,omitempty"` // its bounceSubType
	Complaint    string `json:"complaint,omitempty"`     // complaintFeedbackType of a complaint, "" where SES has none: "abuse", "not-spam" and so on
}

// Tag is the values of a mail's tag. SES writes them as a list.
type Tag []string

// Value is the tag's only value, "" if it has none or several.
func (t Tag) Value() string {
	if len(t) != 1 {
		return ""
	}
	return t[0]
}

// Queue sends jobs of one form to one SQS queue. Safe for concurrent use.
type Queue[Job any] struct {
	client *sqs.Client
	url    string
}

// New returns the queue with the given URL.
func New[Job any](client *sqs.Client, url string) *Queue[Job] {
	return &Queue[Job]{client: client, url: url}
}

// Send enqueues a job; group is the corp, so that one corp's backlog does not delay the others (SQS fair queues). A job whose answer was
// lost may have been sent: the caller sends again.
func (q *Queue[Job]) Send(ctx context.Context, group archive.CorpID, job Job) error {
	return q.SendLater(ctx, group, job, 0)
}

// SendLater is Send for a job that nobody is to receive before a delay is over; at most 15 minutes, in whole seconds.
func (q *Queue[Job]) SendLater(ctx context.Context, group archive.CorpID, job Job, delay time.Duration) error {
	body, err := json.Marshal(job)
	if err != nil {
		return fmt.Errorf("encode a %T: %w", job, err)
	}
	_, err = q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.url, MessageBody: aws.String(string(body)), MessageGroupId: groupID(group),
		DelaySeconds: int32(min(delay, 15*time.Minute) / time.Second), // #nosec G115 -- at most 900
	})
	if err != nil {
		return fmt.Errorf("send a %T of corp %s: %w", job, group, err)
	}
	return nil
}

// Decode reads a job's body.
func Decode[Job any](body string) (Job, error) {
	var job Job
	if err := json.Unmarshal([]byte(body), &job); err != nil {
		return job, fmt.Errorf("this is no %T: %w", job, err)
	}
	return job, nil
}

// Pauser makes a received job visible again after a pause instead of after the queue's visibility time-out.
type Pauser struct {
	client *sqs.Client
	url    string
}

// NewPauser returns a Pauser for the queue with the given URL.
func NewPauser(client *sqs.Client, url string) *Pauser { return &Pauser{client: client, url: url} }

// Pause sets how long the job with the receipt handle stays invisible from now; at most 12 hours.
func (p *Pauser) Pause(ctx context.Context, receiptHandle string, d time.Duration) error {
	_, err := p.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &p.url, ReceiptHandle: &receiptHandle, VisibilityTimeout: int32(min(d, 12*time.Hour) / time.Second), // #nosec G115 -- at most 43,200
	})
	if err != nil {
		return fmt.Errorf("pause a job: %w", err)
	}
	return nil
}

// groupID is the corp as SQS takes it: up to 128 characters of a small alphabet.
func groupID(corp archive.CorpID) *string {
	return aws.String(archive.HashHex([]byte(corp))[:32])
}
