package lambdahost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// pollPause is how long a source waits after a failed receive.
const pollPause = time.Second

// source is an event source mapping: it receives from a queue with the function's own permissions, invokes the function with what
// came, and deletes what succeeded. What failed stays in the queue, invisible until its time is over or the function ends that.
type source struct {
	h      *Host
	f      *function
	s      template.SQSSource
	queue  template.Queue
	client *sqs.Client
	slots  chan struct{} // the mapping's maximum concurrency
}

func (h *Host) newSource(f *function, s template.SQSSource) (*source, error) {
	q, ok := h.opts.Template.Queue(s.QueueARN)
	if !ok {
		return nil, fmt.Errorf("event %s of %s reads %s, which isn't in the template", s.Event, f.LogicalID, s.QueueARN)
	}
	if s.BatchingWindow != 0 {
		return nil, fmt.Errorf("event %s of %s has a batching window, which the local host does not know", s.Event, f.LogicalID)
	}
	key, secret := h.opts.Credentials(f.LogicalID)
	limit := cap(f.slots)
	if s.MaximumConcurrency > 0 {
		limit = min(limit, s.MaximumConcurrency)
	}
	client := sqs.New(sqs.Options{Region: h.opts.Template.Region, BaseEndpoint: aws.String(h.opts.Endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	return &source{h: h, f: f, s: s, queue: q, client: client, slots: make(chan struct{}, limit)}, nil
}

func (s *source) run() {
	complained := false
	for {
		// An environment must be free before a message is taken: what is received and waits would grow invisible for nothing.
		select {
		case s.slots <- struct{}{}:
		case <-s.h.ctx.Done():
			return
		}
		messages, err := s.receive()
		if err != nil || len(messages) == 0 {
			<-s.slots
			if s.h.ctx.Err() != nil {
				return
			}
			if err == nil {
				continue
			}
			if !complained {
				s.h.opts.Log.Error("a queue can't be read", slog.String("function", s.f.LogicalID), slog.String("queue", s.queue.LogicalID), slog.Any("error", err))
				complained = true
			}
			pause := time.NewTimer(pollPause)
			select {
			case <-pause.C:
			case <-s.h.ctx.Done():
				pause.Stop()
			}
			continue
		}
		complained = false
		go func() {
			defer s.h.end()
			defer func() { <-s.slots }()
			s.deliver(messages)
		}()
	}
}

// receive takes messages; where there are any, the host is not idle until deliver is over.
func (s *source) receive() ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(s.h.ctx, 30*time.Second)
	defer cancel()
	// A receive that is under way counts as running only if it brings something. The queue itself counts the message as in
	// flight from the moment it is handed out, so that whoever looks at both never sees neither.
	out, err := s.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    aws.String(s.queue.URL),
		MaxNumberOfMessages:         int32(s.s.BatchSize),
		WaitTimeSeconds:             20,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", s.queue.LogicalID, err)
	}
	if len(out.Messages) > 0 && !s.h.begin() {
		return nil, errClosed
	}
	return out.Messages, nil
}

// deliver invokes the function with a batch and deletes the messages that it got done.
func (s *source) deliver(messages []types.Message) {
	payload, err := s.event(messages)
	if err != nil {
		s.h.opts.Log.Error("an event can't be written", slog.String("function", s.f.LogicalID), slog.Any("error", err))
		return
	}
	res, err := s.h.invoke(s.h.ctx, s.f, newInvocation(payload))
	if err != nil {
		if !errors.Is(err, errClosed) {
			s.h.opts.Log.Error("a batch can't be delivered", slog.String("function", s.f.LogicalID), slog.Any("error", err))
		}
		return
	}
	if res.FunctionError != "" {
		return // all of them come again
	}
	failed := map[string]bool{}
	if s.s.ReportsBatchFailures {
		failed, err = failures(res.Payload, messages)
		if err != nil {
			s.h.opts.Log.Error("the whole batch comes again", slog.String("function", s.f.LogicalID), slog.Any("error", err))
			return
		}
	}
	s.remove(messages, failed)
}

// failures reads a partial batch response. An error means that all messages failed, for which Lambda has these reasons: text that is
// no JSON, an identifier that is empty, null or called otherwise, and one that isn't in the batch.
func failures(payload []byte, messages []types.Message) (map[string]bool, error) {
	failed := map[string]bool{}
	if len(payload) == 0 {
		return failed, nil
	}
	var response struct {
		BatchItemFailures []map[string]any `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(payload, &response); err != nil {
		return nil, errors.New("the answer is no partial batch response")
	}
	known := map[string]bool{}
	for _, m := range messages {
		known[aws.ToString(m.MessageId)] = true
	}
	for _, item := range response.BatchItemFailures {
		id, _ := item["itemIdentifier"].(string)
		if id == "" {
			return nil, errors.New("the answer has an empty or misnamed itemIdentifier")
		}
		if !known[id] {
			return nil, errors.New("the answer has an itemIdentifier that isn't in the batch")
		}
		failed[id] = true
	}
	return failed, nil
}

func (s *source) remove(messages []types.Message, failed map[string]bool) {
	var done []types.DeleteMessageBatchRequestEntry
	for i, m := range messages {
		if !failed[aws.ToString(m.MessageId)] {
			done = append(done, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
	}
	if len(done) == 0 {
		return
	}
	// The work is done even if the host is ending: forgetting that would only repeat it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.h.ctx), 5*time.Second)
	defer cancel()
	out, err := s.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(s.queue.URL), Entries: done})
	if err == nil && len(out.Failed) > 0 {
		err = fmt.Errorf("%d messages refused, the first because of %s", len(out.Failed), aws.ToString(out.Failed[0].Code))
	}
	if err != nil {
		s.h.opts.Log.Error("finished messages can't be deleted and will come again", slog.String("function", s.f.LogicalID), slog.String("queue", s.queue.LogicalID), slog.Any("error", err))
	}
}

// sqsEvent is what Lambda hands to a function for a batch. Lists and maps that Lambda leaves empty are empty here too, not absent.
type sqsEvent struct {
	Records []sqsRecord `json:"Records"`
}

type sqsRecord struct {
	MessageID              string                  `json:"messageId"`
	ReceiptHandle          string                  `json:"receiptHandle"`
	Body                   string                  `json:"body"`
	Attributes             map[string]string       `json:"attributes"`
	MessageAttributes      map[string]sqsAttribute `json:"messageAttributes"`
	MD5OfMessageAttributes string                  `json:"md5OfMessageAttributes,omitempty"`
	MD5OfBody              string                  `json:"md5OfBody"`
	EventSource            string                  `json:"eventSource"`
	EventSourceARN         string                  `json:"eventSourceARN"`
	Region                 string                  `json:"awsRegion"`
}

type sqsAttribute struct {
	StringValue      *string  `json:"stringValue,omitempty"`
	BinaryValue      []byte   `json:"binaryValue,omitempty"`
	StringListValues []string `json:"stringListValues"`
	BinaryListValues [][]byte `json:"binaryListValues"`
	DataType         string   `json:"dataType"`
}

func (s *source) event(messages []types.Message) ([]byte, error) {
	event := sqsEvent{Records: make([]sqsRecord, 0, len(messages))}
	for _, m := range messages {
		r := sqsRecord{MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body), Attributes: m.Attributes,
			MessageAttributes: map[string]sqsAttribute{}, MD5OfMessageAttributes: aws.ToString(m.MD5OfMessageAttributes), MD5OfBody: aws.ToString(m.MD5OfBody),
			EventSource: "aws:sqs", EventSourceARN: s.s.QueueARN, Region: s.h.opts.Template.Region}
		if r.Attributes == nil {
			r.Attributes = map[string]string{}
		}
		for name, a := range m.MessageAttributes {
			r.MessageAttributes[name] = sqsAttribute{StringValue: a.StringValue, BinaryValue: a.BinaryValue, StringListValues: []string{}, BinaryListValues: [][]byte{}, DataType: aws.ToString(a.DataType)}
		}
		event.Records = append(event.Records, r)
	}
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("write an event of %s: %w", s.queue.LogicalID, err)
	}
	return payload, nil
}
