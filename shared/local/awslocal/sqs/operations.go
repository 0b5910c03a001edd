package sqs

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
)

const (
	namespace   = "com.amazonaws.sqs"
	maxBatch    = 10
	maxHide     = 43_200 // seconds a message can stay hidden after its receive
	pollTick    = 250 * time.Millisecond
	batchLimit  = 1 << 20
	listDefault = 1000
)

// call is one request on its way: who asks, and through which host, so that queue URLs lead back to where they were asked for.
type call struct {
	ctx  context.Context
	host string
}

// ServeHTTP answers one request of the AmazonSQS JSON protocol, whose caller the front has put into its context.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, found := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	operation, known := s.operations()[name]
	if !found || !known {
		protocol.JSONRefusal(w, "1.0", namespace, protocol.Refuse("UnsupportedOperation", "the operation sqs:%s is not supported by the local endpoint", name))
		return
	}
	out, err := operation(call{r.Context(), r.Host}, r)
	if err != nil {
		var denied *authz.DeniedError
		if errors.As(err, &denied) {
			code := "AccessDeniedException"
			if strings.HasPrefix(denied.Request.Action, "kms:") {
				code = "KmsAccessDenied"
			}
			err = &protocol.Error{Status: http.StatusForbidden, Code: code, QueryCode: code, Message: denied.Error()}
		}
		protocol.JSONRefusal(w, "1.0", namespace, err)
		return
	}
	protocol.JSONAnswer(w, "1.0", out)
}

type operation func(call, *http.Request) (any, error)

// typed reads an operation's parameters before it runs.
func typed[In any](run func(call, In) (any, error)) operation {
	return func(c call, r *http.Request) (any, error) {
		var in In
		if err := protocol.Decode(r.Body, &in); err != nil {
			return nil, err
		}
		return run(c, in)
	}
}

func (s *Service) operations() map[string]operation {
	return map[string]operation{
		"CreateQueue":                  typed(s.opCreateQueue),
		"DeleteQueue":                  typed(s.opDeleteQueue),
		"GetQueueUrl":                  typed(s.opGetQueueURL),
		"ListQueues":                   typed(s.opListQueues),
		"GetQueueAttributes":           typed(s.opGetQueueAttributes),
		"SetQueueAttributes":           typed(s.opSetQueueAttributes),
		"SendMessage":                  typed(s.opSendMessage),
		"SendMessageBatch":             typed(s.opSendMessageBatch),
		"ReceiveMessage":               typed(s.opReceiveMessage),
		"DeleteMessage":                typed(s.opDeleteMessage),
		"DeleteMessageBatch":           typed(s.opDeleteMessageBatch),
		"ChangeMessageVisibility":      typed(s.opChangeVisibility),
		"ChangeMessageVisibilityBatch": typed(s.opChangeVisibilityBatch),
		"PurgeQueue":                   typed(s.opPurgeQueue),
		"ListDeadLetterSourceQueues":   typed(s.opListSources),
		"StartMessageMoveTask":         typed(s.opStartMove),
		"ListMessageMoveTasks":         typed(s.opListMoves),
	}
}

func (s *Service) url(c call, name string) string { return s.URL("http://"+c.host, name) }

func noQueue() error {
	return &protocol.Error{Status: 400, Code: "QueueDoesNotExist", QueryCode: "AWS.SimpleQueueService.NonExistentQueue",
		Message: "The specified queue does not exist."}
}

// open asks the caller's permission and finds the queue behind a URL. Service.mu must be held.
func (s *Service) open(c call, queueURL string, actions ...string) (*queue, error) {
	if queueURL == "" {
		return nil, protocol.Refuse("MissingParameter", "The request must contain the parameter QueueUrl.")
	}
	u, err := url.Parse(queueURL)
	if err != nil {
		return nil, protocol.Refuse("InvalidAddress", "The address %s is not valid for this endpoint.", queueURL)
	}
	account, name, found := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if !found || account != s.account {
		return nil, protocol.Refuse("InvalidAddress", "The address %s is not valid for this endpoint.", queueURL)
	}
	return s.find(c, name, actions...)
}

func (s *Service) find(c call, name string, actions ...string) (*queue, error) {
	q := s.queues[name]
	for _, action := range actions {
		request := authz.Request{Action: "sqs:" + action, Resource: s.arn(name)}
		if err := authz.Check(c.ctx, request); err != nil {
			return nil, err
		}
		if q == nil {
			continue
		}
		if err := q.denies(request); err != nil {
			return nil, err
		}
		if err := s.checkKey(c, q, action); err != nil {
			return nil, err
		}
	}
	if q == nil {
		return nil, noQueue()
	}
	return q, nil
}

// denies applies the queue's own policy, which locally can only take away: every caller is of the queue's account, and gets its
// permissions from its role. Requests count as sent over TLS, which no loopback address needs.
func (q *queue) denies(request authz.Request) error {
	request.Context = map[string]string{"aws:SecureTransport": "true"}
	if q.policy.Decide(request) == iam.Denied {
		return &protocol.Error{Status: http.StatusForbidden, Code: "AccessDeniedException", QueryCode: "AccessDenied",
			Message: "Access to the resource " + q.name + " is denied by the queue's policy."}
	}
	return nil
}

// checkKey asks for what a queue with a customer's key needs besides: AWS calls KMS in the caller's name.
func (s *Service) checkKey(c call, q *queue, action string) error {
	key := q.settings.Attributes["KmsMasterKeyId"]
	if key == "" || key == "alias/aws/sqs" {
		return nil
	}
	if !strings.HasPrefix(key, "arn:") {
		if !strings.HasPrefix(key, "alias/") {
			key = "key/" + key
		}
		key = "arn:aws:kms:" + s.region + ":" + s.account + ":" + key
	}
	via := map[string]string{"kms:ViaService": "sqs." + s.region + ".amazonaws.com", "kms:EncryptionContext:aws:sqs:arn": s.arn(q.name)}
	switch action {
	case "SendMessage":
		return authz.Check(c.ctx, authz.Request{Action: "kms:GenerateDataKey", Resource: key, Context: via}, authz.Request{Action: "kms:Decrypt", Resource: key, Context: via})
	case "ReceiveMessage":
		return authz.Check(c.ctx, authz.Request{Action: "kms:Decrypt", Resource: key, Context: via})
	}
	return nil
}

func (s *Service) opCreateQueue(c call, in struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}) (any, error) {
	if err := authz.Check(c.ctx, authz.Request{Action: "sqs:CreateQueue", Resource: s.arn(in.QueueName)}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.createQueue(in.QueueName, in.Attributes, in.Tags)
	if err != nil {
		return nil, err
	}
	return map[string]string{"QueueUrl": s.url(c, q.name)}, nil
}

type queueOnly struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *Service) opDeleteQueue(c call, in queueOnly) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "DeleteQueue")
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.deleteQueue(q)
}

func (s *Service) opGetQueueURL(c call, in struct {
	QueueName              string
	QueueOwnerAWSAccountID string `json:"QueueOwnerAWSAccountId"`
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.QueueOwnerAWSAccountID != "" && in.QueueOwnerAWSAccountID != s.account {
		return nil, noQueue()
	}
	q, err := s.find(c, in.QueueName, "GetQueueUrl")
	if err != nil {
		return nil, err
	}
	return map[string]string{"QueueUrl": s.url(c, q.name)}, nil
}

func (s *Service) opListQueues(c call, in struct {
	QueueNamePrefix string
	MaxResults      *int
	NextToken       string
}) (any, error) {
	if err := authz.Check(c.ctx, authz.Request{Action: "sqs:ListQueues", Resource: s.arn("")}); err != nil {
		return nil, err
	}
	limit := listDefault
	if in.MaxResults != nil {
		if limit = *in.MaxResults; limit < 1 || limit > listDefault {
			return nil, invalid("Value %d for parameter MaxResults is invalid. Reason: must be between 1 and 1000.", limit)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.queues {
		if strings.HasPrefix(name, in.QueueNamePrefix) && name > in.NextToken {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := struct {
		QueueURLs []string `json:"QueueUrls,omitempty"`
		NextToken string   `json:",omitempty"`
	}{}
	if in.MaxResults != nil && len(names) > limit {
		out.NextToken = names[limit-1]
	}
	for _, name := range names[:min(limit, len(names))] {
		out.QueueURLs = append(out.QueueURLs, s.url(c, name))
	}
	return out, nil
}

func (s *Service) opGetQueueAttributes(c call, in struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "GetQueueAttributes")
	if err != nil {
		return nil, err
	}
	attributes, err := s.attributes(q, in.AttributeNames)
	return map[string]any{"Attributes": attributes}, err
}

func (s *Service) opSetQueueAttributes(c call, in struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "SetQueueAttributes")
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.setAttributes(q, in.Attributes)
}

// outgoing is a message as it is sent.
type outgoing struct {
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]attribute
	MessageSystemAttributes map[string]attribute
	MessageGroupID          string `json:"MessageGroupId"`
	MessageDeduplicationID  string `json:"MessageDeduplicationId"`
}

// sent is what a sender is told.
type sent struct {
	ID                string `json:"Id,omitempty"`
	MessageID         string `json:"MessageId"`
	BodyMD5           string `json:"MD5OfMessageBody"`
	AttributesMD5     string `json:"MD5OfMessageAttributes,omitempty"`
	SystemAttributMD5 string `json:"MD5OfMessageSystemAttributes,omitempty"`
}

// prepare turns an outgoing message into changes that commit stores.
func (s *Service) prepare(q *queue, o outgoing) (changes []change, told sent, size int, err error) {
	if size, err = check(o.MessageBody, o.MessageAttributes, o.MessageGroupID, q.seconds("MaximumMessageSize")); err != nil {
		return nil, sent{}, 0, err
	}
	if o.MessageDeduplicationID != "" {
		return nil, sent{}, 0, invalid("The request includes a parameter that is not valid for this queue type: MessageDeduplicationId")
	}
	delay := q.seconds("DelaySeconds")
	if o.DelaySeconds != nil {
		if delay = *o.DelaySeconds; delay < 0 || delay > 900 {
			return nil, sent{}, 0, invalid("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", delay)
		}
	}
	trace := ""
	for name, a := range o.MessageSystemAttributes {
		if name != "AWSTraceHeader" || a.DataType != "String" || a.StringValue == nil {
			return nil, sent{}, 0, invalid("Message system attribute name '%s' is not a valid attribute.", name)
		}
		trace = *a.StringValue
	}
	now := s.now()
	m := message{
		fixed: fixed{ID: protocol.RequestID(), Body: o.MessageBody, Attributes: o.MessageAttributes, Group: o.MessageGroupID,
			Trace: trace, Sender: "AIDALOCAL", Sent: now.UnixMilli()},
		state: state{VisibleAt: now.Add(time.Duration(delay) * time.Second).UnixNano()},
	}
	copies := 1
	if s.sent++; s.duplicates > 0 && s.sent%s.duplicates == 0 {
		copies = 2
	}
	for range copies {
		one := m
		one.seq = q.take()
		changes = append(changes, change{queue: q, seq: one.seq, put: &one, fixed: true})
	}
	return changes, sent{MessageID: m.fixed.ID, BodyMD5: md5Hex(o.MessageBody), AttributesMD5: attributesMD5(o.MessageAttributes),
		SystemAttributMD5: attributesMD5(o.MessageSystemAttributes)}, size, nil
}

func (s *Service) opSendMessage(c call, in struct {
	QueueURL string `json:"QueueUrl"`
	outgoing
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "SendMessage")
	if err != nil {
		return nil, err
	}
	changes, told, _, err := s.prepare(q, in.outgoing)
	if err != nil {
		return nil, err
	}
	return told, s.commit(changes)
}

// failed is one entry of a batch that was refused.
type failed struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

// refusedEntry says why one entry was refused; an error that is not the sender's ends the whole batch.
func refusedEntry(id string, err error) (failed, error) {
	var e *protocol.Error
	if !errors.As(err, &e) {
		return failed{}, err
	}
	return failed{ID: id, Code: e.Code, Message: e.Message, SenderFault: true}, nil
}

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

func checkBatch(ids []string) error {
	refusal := func(code, message string) error {
		return &protocol.Error{Status: 400, Code: code, QueryCode: "AWS.SimpleQueueService." + code, Message: message}
	}
	if len(ids) == 0 {
		return refusal("EmptyBatchRequest", "There should be at least one entry in the request.")
	}
	if len(ids) > maxBatch {
		return refusal("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent "+strconv.Itoa(len(ids))+".")
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if !entryID.MatchString(id) {
			return refusal("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[id] {
			return refusal("BatchEntryIdsNotDistinct", "Id "+id+" repeated.")
		}
		seen[id] = true
	}
	return nil
}

type batchAnswer[OK any] struct {
	Successful []OK     `json:",omitempty"`
	Failed     []failed `json:",omitempty"`
}

func (s *Service) opSendMessageBatch(c call, in struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID string `json:"Id"`
		outgoing
	}
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "SendMessage")
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		ids[i] = e.ID
	}
	if err := checkBatch(ids); err != nil {
		return nil, err
	}
	var out batchAnswer[sent]
	var changes []change
	total := 0
	for _, e := range in.Entries {
		made, told, size, err := s.prepare(q, e.outgoing)
		if err != nil {
			f, err := refusedEntry(e.ID, err)
			if err != nil {
				return nil, err
			}
			out.Failed = append(out.Failed, f)
			continue
		}
		total += size
		told.ID = e.ID
		out.Successful = append(out.Successful, told)
		changes = append(changes, made...)
	}
	if total > batchLimit {
		return nil, &protocol.Error{Status: 400, Code: "BatchRequestTooLong", QueryCode: "AWS.SimpleQueueService.BatchRequestTooLong",
			Message: "Batch requests cannot be longer than 1048576 bytes. You have sent " + strconv.Itoa(total) + " bytes."}
	}
	return out, s.commit(changes)
}

// received is a message as a receiver gets it.
type received struct {
	MessageID         string               `json:"MessageId"`
	ReceiptHandle     string               `json:"ReceiptHandle"`
	BodyMD5           string               `json:"MD5OfBody"`
	Body              string               `json:"Body"`
	Attributes        map[string]string    `json:",omitempty"`
	AttributesMD5     string               `json:"MD5OfMessageAttributes,omitempty"`
	MessageAttributes map[string]attribute `json:",omitempty"`
}

func (s *Service) opReceiveMessage(c call, in struct {
	QueueURL                    string `json:"QueueUrl"`
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "ReceiveMessage")
	if err != nil {
		return nil, err
	}
	within := func(name string, p *int, standard, low, high int) int {
		n := standard
		if p != nil {
			n = *p
		}
		if err == nil && (n < low || n > high) {
			err = invalid("Value %d for parameter %s is invalid. Reason: Must be between %d and %d, if provided.", n, name, low, high)
		}
		return n
	}
	n := within("MaxNumberOfMessages", in.MaxNumberOfMessages, 1, 1, maxBatch)
	hide := time.Duration(within("VisibilityTimeout", in.VisibilityTimeout, q.seconds("VisibilityTimeout"), 0, maxHide)) * time.Second
	poll := time.Duration(within("WaitTimeSeconds", in.WaitTimeSeconds, q.seconds("ReceiveMessageWaitTimeSeconds"), 0, 20)) * time.Second
	if err != nil {
		return nil, err
	}
	system := append(in.AttributeNames, in.MessageSystemAttributeNames...)
	for _, name := range system {
		if !slices.Contains(systemAttributes, name) {
			return nil, protocol.Refuse("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	messages, err := s.poll(c, q, n, hide, poll)
	if err != nil {
		return nil, err
	}
	out := struct {
		Messages []received `json:",omitempty"`
	}{}
	for _, m := range messages {
		chosen := choose(m.fixed.Attributes, in.MessageAttributeNames)
		out.Messages = append(out.Messages, received{
			MessageID: m.fixed.ID, ReceiptHandle: handle{q.name, m.seq, m.state.Receipt}.String(),
			BodyMD5: md5Hex(m.fixed.Body), Body: m.fixed.Body, Attributes: m.system(system),
			AttributesMD5: attributesMD5(chosen), MessageAttributes: chosen,
		})
	}
	return out, nil
}

// poll receives, and waits for something to receive until the time is up, the caller goes away or the service closes. It lets go of
// Service.mu while it waits.
func (s *Service) poll(c call, q *queue, n int, hide, patience time.Duration) ([]*message, error) {
	end := time.NewTimer(patience)
	defer end.Stop()
	for last := patience == 0; ; {
		if q.gone {
			return nil, noQueue()
		}
		messages, next, err := s.receive(q, n, hide)
		if err != nil || len(messages) > 0 || last {
			return messages, err
		}
		// The tick looks at the clock again even if that clock is not the timer's.
		pause := pollTick
		if until := time.Duration(next - s.now().UnixNano()); next != 0 && until < pause {
			pause = max(until, time.Millisecond)
		}
		tick := time.NewTimer(pause)
		wake := q.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-tick.C:
		case <-end.C:
			last = true
		case <-s.closed:
			last = true
		case <-c.ctx.Done():
			err = c.ctx.Err()
		}
		tick.Stop()
		s.mu.Lock()
		if err != nil {
			// Nobody is there to take a message: take none.
			return nil, err
		}
	}
}

var systemAttributes = []string{"All", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SentTimestamp", "SenderId",
	"MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn", "MessageDeduplicationId", "SequenceNumber"}

func (m *message) system(names []string) map[string]string {
	all := map[string]string{
		"ApproximateReceiveCount":          strconv.Itoa(m.state.Count),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.state.First, 10),
		"SentTimestamp":                    strconv.FormatInt(m.fixed.Sent, 10),
		"SenderId":                         m.fixed.Sender,
	}
	for name, value := range map[string]string{"MessageGroupId": m.fixed.Group, "AWSTraceHeader": m.fixed.Trace, "DeadLetterQueueSourceArn": m.fixed.Source} {
		if value != "" {
			all[name] = value
		}
	}
	if slices.Contains(names, "All") {
		return all
	}
	for name := range all {
		if !slices.Contains(names, name) {
			delete(all, name)
		}
	}
	return all
}

// held finds the message of a receipt handle. It returns nil without an error if the message is gone, or was received again since.
func (s *Service) held(q *queue, text string) (*message, error) {
	h, err := parseHandle(q, text)
	if err != nil {
		return nil, err
	}
	m := q.messages[h.seq]
	if m == nil || m.state.Receipt != h.token {
		return nil, nil
	}
	return m, nil
}

func (s *Service) deleteHeld(q *queue, receipt string) ([]change, error) {
	m, err := s.held(q, receipt)
	if err != nil || m == nil {
		// As on AWS an old handle is no error and deletes nothing.
		return nil, err
	}
	return []change{{queue: q, seq: m.seq}}, nil
}

func (s *Service) opDeleteMessage(c call, in struct {
	QueueURL      string `json:"QueueUrl"`
	ReceiptHandle string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "DeleteMessage")
	if err != nil {
		return nil, err
	}
	changes, err := s.deleteHeld(q, in.ReceiptHandle)
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.commit(changes)
}

type receiptEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

type idOnly struct {
	ID string `json:"Id"`
}

// batch runs one step for each entry and commits what the good ones make.
func (s *Service) batch(c call, queueURL, action string, entries []receiptEntry, step func(*queue, receiptEntry) ([]change, error)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, queueURL, action)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
	}
	if err := checkBatch(ids); err != nil {
		return nil, err
	}
	var out batchAnswer[idOnly]
	var changes []change
	for _, e := range entries {
		made, err := step(q, e)
		if err != nil {
			f, err := refusedEntry(e.ID, err)
			if err != nil {
				return nil, err
			}
			out.Failed = append(out.Failed, f)
			continue
		}
		out.Successful = append(out.Successful, idOnly{e.ID})
		changes = append(changes, made...)
	}
	return out, s.commit(changes)
}

func (s *Service) opDeleteMessageBatch(c call, in struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID            string `json:"Id"`
		ReceiptHandle string
	}
}) (any, error) {
	entries := make([]receiptEntry, len(in.Entries))
	for i, e := range in.Entries {
		entries[i] = receiptEntry{ID: e.ID, ReceiptHandle: e.ReceiptHandle}
	}
	return s.batch(c, in.QueueURL, "DeleteMessage", entries, func(q *queue, e receiptEntry) ([]change, error) {
		return s.deleteHeld(q, e.ReceiptHandle)
	})
}

func (s *Service) hideHeld(q *queue, e receiptEntry) ([]change, error) {
	if e.VisibilityTimeout == nil {
		return nil, protocol.Refuse("MissingParameter", "The request must contain the parameter VisibilityTimeout.")
	}
	if n := *e.VisibilityTimeout; n < 0 || n > maxHide {
		return nil, invalid("Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.", n)
	}
	h, err := s.held(q, e.ReceiptHandle)
	if err != nil {
		return nil, err
	}
	now := s.now()
	if h == nil {
		return nil, invalid("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", e.ReceiptHandle)
	}
	if h.state.VisibleAt <= now.UnixNano() {
		return nil, &protocol.Error{Status: 400, Code: "MessageNotInflight", QueryCode: "AWS.SimpleQueueService.MessageNotInflight",
			Message: "The message is no longer in flight."}
	}
	m := *h
	until := now.Add(time.Duration(*e.VisibilityTimeout) * time.Second).UnixNano()
	if until-m.state.Received > maxHide*int64(time.Second) {
		return nil, invalid("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", *e.VisibilityTimeout)
	}
	m.state.VisibleAt, m.state.InFlight = until, *e.VisibilityTimeout > 0
	return []change{{queue: q, seq: m.seq, put: &m}}, nil
}

func (s *Service) opChangeVisibility(c call, in struct {
	QueueURL          string `json:"QueueUrl"`
	ReceiptHandle     string
	VisibilityTimeout *int
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "ChangeMessageVisibility")
	if err != nil {
		return nil, err
	}
	changes, err := s.hideHeld(q, receiptEntry{ReceiptHandle: in.ReceiptHandle, VisibilityTimeout: in.VisibilityTimeout})
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.commit(changes)
}

func (s *Service) opChangeVisibilityBatch(c call, in struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []receiptEntry
}) (any, error) {
	return s.batch(c, in.QueueURL, "ChangeMessageVisibility", in.Entries, s.hideHeld)
}

func (s *Service) opPurgeQueue(c call, in queueOnly) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "PurgeQueue")
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.purge(q)
}

// sources returns the queues whose dead letters go to a queue, sorted by name.
func (s *Service) sources(dead *queue) []string {
	var names []string
	for name, q := range s.queues {
		if q.redrivePolicy().target == dead.name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *Service) opListSources(c call, in queueOnly) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(c, in.QueueURL, "ListDeadLetterSourceQueues")
	if err != nil {
		return nil, err
	}
	urls := []string{}
	for _, name := range s.sources(q) {
		urls = append(urls, s.url(c, name))
	}
	return map[string]any{"queueUrls": urls}, nil
}

func (s *Service) nameOf(arn string) (string, error) {
	name, found := strings.CutPrefix(arn, s.arn(""))
	if !found || name == "" {
		return "", &protocol.Error{Status: 404, Code: "ResourceNotFoundException", QueryCode: "ResourceNotFoundException",
			Message: "The resource that you specified for the SourceArn or DestinationArn parameter doesn't exist."}
	}
	return name, nil
}

func (s *Service) opStartMove(c call, in struct {
	SourceArn      string
	DestinationArn string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, err := s.nameOf(in.SourceArn)
	if err != nil {
		return nil, err
	}
	q, err := s.find(c, name, "StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
	if err != nil {
		return nil, err
	}
	sources := s.sources(q)
	if len(sources) == 0 {
		return nil, invalid("Source queue must be configured as a Dead Letter Queue.")
	}
	if in.DestinationArn != "" {
		to, err := s.nameOf(in.DestinationArn)
		if err != nil {
			return nil, err
		}
		sources = []string{to}
	}
	for _, to := range sources {
		if _, err := s.find(c, to, "SendMessage"); err != nil {
			return nil, err
		}
	}
	task, err := s.move(q, in.DestinationArn)
	return map[string]string{"TaskHandle": task.Handle}, err
}

func (s *Service) opListMoves(c call, in struct {
	SourceArn  string
	MaxResults *int
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, err := s.nameOf(in.SourceArn)
	if err != nil {
		return nil, err
	}
	q, err := s.find(c, name, "ListMessageMoveTasks")
	if err != nil {
		return nil, err
	}
	limit := 1
	if in.MaxResults != nil {
		if limit = *in.MaxResults; limit < 1 || limit > maxBatch {
			return nil, invalid("Value %d for parameter MaxResults is invalid. Reason: Must be between 1 and 10.", limit)
		}
	}
	type result struct {
		TaskHandle                        string
		SourceArn                         string
		DestinationArn                    string `json:",omitempty"`
		Status                            string
		ApproximateNumberOfMessagesMoved  int64
		ApproximateNumberOfMessagesToMove int64
		StartedTimestamp                  int64
	}
	results := []result{}
	for _, t := range slices.Backward(q.settings.Tasks) {
		if len(results) == limit {
			break
		}
		results = append(results, result{t.Handle, in.SourceArn, t.Destination, "COMPLETED", t.Moved, t.Moved, t.Started})
	}
	return map[string]any{"Results": results}, nil
}
