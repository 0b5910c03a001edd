package sqs

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
)

// number is a numeric attribute: its default and its range, as AWS documents them.
type number struct{ standard, min, max int }

var numbers = map[string]number{
	"VisibilityTimeout":             {30, 0, 43_200},
	"DelaySeconds":                  {0, 0, 900},
	"MaximumMessageSize":            {1 << 20, 1024, 1 << 20},
	"MessageRetentionPeriod":        {345_600, 60, 1_209_600},
	"ReceiveMessageWaitTimeSeconds": {0, 0, 20},
	"KmsDataKeyReusePeriodSeconds":  {300, 60, 86_400},
}

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// seconds returns a numeric attribute, or its default.
func (q *queue) seconds(name string) int {
	if n, err := strconv.Atoi(q.settings.Attributes[name]); err == nil {
		return n
	}
	return numbers[name].standard
}

type redrivePolicy struct {
	target string // the dead-letter queue's name; "" if there is none
	max    int
}

func (q *queue) redrivePolicy() redrivePolicy {
	p, err := parseRedrive(q.settings.Attributes["RedrivePolicy"])
	if err != nil {
		// Only what was parsed once is kept.
		return redrivePolicy{}
	}
	return p
}

func parseRedrive(text string) (redrivePolicy, error) {
	if text == "" {
		return redrivePolicy{}, nil
	}
	var p struct {
		Target string          `json:"deadLetterTargetArn"`
		Max    json.RawMessage `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return redrivePolicy{}, err
	}
	n, err := strconv.Atoi(strings.Trim(string(p.Max), `"`))
	if err != nil || n < 1 || n > 1000 {
		return redrivePolicy{}, fmt.Errorf("maxReceiveCount must be between 1 and 1000, not %s", p.Max)
	}
	if p.Target == "" {
		return redrivePolicy{}, fmt.Errorf("deadLetterTargetArn is missing")
	}
	return redrivePolicy{target: p.Target[strings.LastIndexByte(p.Target, ':')+1:], max: n}, nil
}

func parsePolicy(text string) (iam.Policies, error) {
	if text == "" {
		return nil, nil
	}
	return iam.ParseJSON([]byte(text))
}

// validate refuses attributes that AWS would refuse, and those that the local endpoint can't honour.
func (s *Service) validate(attributes map[string]string) error {
	for name, value := range attributes {
		if limits, ok := numbers[name]; ok {
			if n, err := strconv.Atoi(value); err != nil || n < limits.min || n > limits.max {
				return protocol.Refuse("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
			}
			continue
		}
		switch name {
		case "RedrivePolicy":
			p, err := parseRedrive(value)
			if err != nil {
				return invalid("Value %s for parameter RedrivePolicy is invalid. Reason: %v.", value, err)
			}
			if p.target != "" && s.queues[p.target] == nil {
				return invalid("Value %s for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.", value)
			}
		case "Policy":
			if _, err := parsePolicy(value); err != nil {
				return protocol.Refuse("InvalidAttributeValue", "Invalid value for the parameter Policy: %v", err)
			}
		case "RedriveAllowPolicy":
			if value != "" && !json.Valid([]byte(value)) {
				return protocol.Refuse("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
			}
		case "SqsManagedSseEnabled":
			if value != "true" && value != "false" {
				return protocol.Refuse("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
			}
		case "KmsMasterKeyId":
		case "FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit":
			return protocol.Refuse("InvalidAttributeName", "Attribute %s: FIFO queues are not supported by the local endpoint.", name)
		default:
			return protocol.Refuse("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	return nil
}

// createQueue makes a queue, or finds the one that has the same attributes.
func (s *Service) createQueue(name string, attributes, tags map[string]string) (*queue, error) {
	if strings.HasSuffix(name, ".fifo") {
		return nil, invalid("FIFO queues are not supported by the local endpoint: %s", name)
	}
	if !queueName.MatchString(name) {
		return nil, invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	if err := s.validate(attributes); err != nil {
		return nil, err
	}
	if q, there := s.queues[name]; there {
		for attribute, value := range attributes {
			if have, set := q.attribute(attribute); !set || have != value {
				return nil, &protocol.Error{Status: 400, Code: "QueueNameExists", QueryCode: "QueueAlreadyExists",
					Message: "A queue already exists with the same name and a different value for attribute " + attribute}
			}
		}
		return q, nil
	}
	q := newQueue(name)
	now := s.now().Unix()
	if err := s.saveSettings(q, settings{Attributes: maps.Clone(attributes), Tags: tags, Created: now, Modified: now}); err != nil {
		return nil, err
	}
	s.queues[name] = q
	return q, nil
}

func (s *Service) setAttributes(q *queue, attributes map[string]string) error {
	if err := s.validate(attributes); err != nil {
		return err
	}
	to := q.settings
	to.Attributes = maps.Clone(to.Attributes)
	if to.Attributes == nil {
		to.Attributes = map[string]string{}
	}
	maps.Copy(to.Attributes, attributes)
	for name, value := range to.Attributes {
		if value == "" {
			delete(to.Attributes, name)
		}
	}
	to.Modified = s.now().Unix()
	if err := s.saveSettings(q, to); err != nil {
		return err
	}
	q.wakeAll()
	return nil
}

// deleteQueue forgets a queue with all its messages.
func (s *Service) deleteQueue(q *queue) error {
	err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(rootBucket).DeleteBucket([]byte(q.name)) })
	if err != nil {
		return fmt.Errorf("deleting queue %s from the store: %w", q.name, err)
	}
	delete(s.queues, q.name)
	q.gone = true
	q.wakeAll()
	return nil
}

// attribute returns a settable attribute, with AWS's default if it was never set.
func (q *queue) attribute(name string) (value string, set bool) {
	if value, set = q.settings.Attributes[name]; set {
		return value, true
	}
	// Without a key there is no reuse period to report.
	if n, ok := numbers[name]; ok && name != "KmsDataKeyReusePeriodSeconds" {
		return strconv.Itoa(n.standard), true
	}
	if name == "SqsManagedSseEnabled" {
		return strconv.FormatBool(q.settings.Attributes["KmsMasterKeyId"] == ""), true
	}
	return "", false
}

var settable = []string{"VisibilityTimeout", "DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds",
	"KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "SqsManagedSseEnabled", "Policy", "RedrivePolicy", "RedriveAllowPolicy"}

// attributes returns the attributes that were asked for; "All" asks for every one.
func (s *Service) attributes(q *queue, names []string) (map[string]string, error) {
	d := q.depth(s.now())
	all := map[string]string{
		"QueueArn":                              s.arn(q.name),
		"CreatedTimestamp":                      strconv.FormatInt(q.settings.Created, 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(q.settings.Modified, 10),
		"ApproximateNumberOfMessages":           strconv.Itoa(d.Visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(d.InFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(d.Delayed),
	}
	for _, name := range settable {
		if value, set := q.attribute(name); set {
			all[name] = value
		}
	}
	out := map[string]string{}
	for _, name := range names {
		if name == "All" {
			return all, nil
		}
		value, there := all[name]
		if !there && !slices.Contains(settable, name) {
			return nil, protocol.Refuse("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
		if there {
			out[name] = value
		}
	}
	return out, nil
}

// moveTask is the account of one StartMessageMoveTask; the local endpoint moves everything at once.
type moveTask struct {
	Handle      string
	Destination string // ARN; "" = each message's own source
	Moved       int64
	Started     int64 // Unix milliseconds
}

// move puts all visible messages of a dead-letter queue back to where they came from, or to the destination. As on AWS they are
// new messages then: new id, new time, no receives.
func (s *Service) move(q *queue, destination string) (moveTask, error) {
	now := s.now()
	task := moveTask{Handle: token(), Destination: destination, Started: now.UnixMilli()}
	var changes []change
	for _, seq := range q.seqs {
		m := *q.messages[seq]
		if m.state.VisibleAt > now.UnixNano() || q.expired(&m, now) {
			continue
		}
		target := destination
		if target == "" {
			target = m.fixed.Source
		}
		to := s.queues[target[strings.LastIndexByte(target, ':')+1:]]
		if to == nil {
			continue
		}
		m.fixed.ID, m.fixed.Sent, m.fixed.Source = protocol.RequestID(), now.UnixMilli(), ""
		m.state = state{VisibleAt: now.UnixNano()}
		m.seq = to.take()
		changes = append(changes, change{queue: q, seq: seq}, change{queue: to, seq: m.seq, put: &m, fixed: true})
		task.Moved++
	}
	if err := s.commit(changes); err != nil {
		return task, err
	}
	to := q.settings
	to.Tasks = append(slices.Clone(to.Tasks), task)
	if over := len(to.Tasks) - 10; over > 0 {
		to.Tasks = to.Tasks[over:]
	}
	return task, s.saveSettings(q, to)
}

// purge deletes all messages; AWS allows it once in 60 seconds.
func (s *Service) purge(q *queue) error {
	now := s.now()
	if last := q.settings.Purged; last != 0 && now.Sub(time.Unix(0, last)) < time.Minute {
		return &protocol.Error{Status: 403, Code: "PurgeQueueInProgress", QueryCode: "AWS.SimpleQueueService.PurgeQueueInProgress",
			Message: fmt.Sprintf("Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)}
	}
	changes := make([]change, 0, len(q.seqs))
	for _, seq := range q.seqs {
		changes = append(changes, change{queue: q, seq: seq})
	}
	if err := s.commit(changes); err != nil {
		return err
	}
	to := q.settings
	to.Purged = now.UnixNano()
	return s.saveSettings(q, to)
}
