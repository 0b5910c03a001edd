package sqs

import (
	"fmt"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
)

// Deliver puts a message into a queue as a service of AWS does, in its own name: the queue's policy must allow it for the service and for the
// resource on whose behalf it comes. Nobody's role is asked, and the policy of the queue's key is a matter of the template's tests.
func (s *Service) Deliver(service, sourceARN, queueARN, body string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queueARN[strings.LastIndexByte(queueARN, ':')+1:]]
	if q == nil || s.arn(q.name) != queueARN {
		return fmt.Errorf("sqs: %s delivers to %s: %w", service, queueARN, noQueue())
	}
	request := authz.Request{Action: "sqs:SendMessage", Resource: queueARN, Context: map[string]string{
		"aws:PrincipalArn": service, "aws:SourceArn": sourceARN, "aws:SourceAccount": s.account, "aws:SecureTransport": "true"}}
	if !q.policy.Allowed(request) {
		return fmt.Errorf("sqs: %s delivers to %s: the queue's policy does not allow it", service, queueARN)
	}
	changes, _, _, err := s.prepare(q, outgoing{MessageBody: body})
	if err != nil {
		return fmt.Errorf("sqs: %s delivers to %s: %w", service, queueARN, err)
	}
	return s.commit(changes)
}
