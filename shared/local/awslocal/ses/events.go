package ses

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
)

// EventType is a kind of event, in the words that SES writes into it.
type EventType string

// The events that are told of here.
const (
	Send      EventType = "Send"
	Reject    EventType = "Reject"
	Delivery  EventType = "Delivery"
	Bounce    EventType = "Bounce"
	Complaint EventType = "Complaint"
)

// detailTypes are EventBridge's names for the events.
var detailTypes = map[EventType]string{
	Send: "Email Sent", Reject: "Email Rejected", Delivery: "Email Delivered", Bounce: "Email Bounced", Complaint: "Email Complaint Received",
}

// Event is what SES tells of one mail and one of its recipients.
type Event struct {
	Type      EventType
	Mail      Mail
	Recipient string
	At        time.Time

	BounceType, BounceSubType string // of a Bounce: "Permanent" and "General"
	ComplaintType             string // of a Complaint: "abuse"; "" where the receiver's provider gave none
}

// Outcome is what becomes of a mail at its recipient.
type Outcome int

// The outcomes. Standard goes by the address: one that begins with "bounce", "softbounce", "complaint", "suppressionlist" or "reject", before
// an @ or a +, has that outcome, as with SES's mailbox simulator, and so, beyond it, do "complaintuntyped", "notspam" and "authfailure"; every other
// gets its mail.
const (
	Standard Outcome = iota
	Arrives
	Bounces
	BouncesSoftly
	IsSuppressed
	Complains
	ComplainsUntyped    // as Complains, of a provider that says no type
	SaysNotSpam         // comes as a complaint, and says that the mail is welcome
	FailsAuthentication // comes as a complaint, and says that a signature did not hold
	IsRejected
	NothingHeard // sent, and never heard of again
)

// Course is what becomes of an event on its way. The zero Course: it goes out at once, and once.
type Course struct {
	Withhold bool          // it stays until ReleaseEvents
	Delay    time.Duration // it goes out so much later
	Copies   int           // how often it comes besides the first time
}

// kept is an event that has not gone out yet.
type kept struct {
	Event  []byte
	Due    time.Time // by the machine's own clock; zero: when ReleaseEvents says
	Copies int
}

var eventBucket = []byte("ses/events")

// SetEvents says which events of which configuration set are published, in the template's words ("send", "bounce"), and to whom. What was
// still to go out when the store was last closed goes out now: events come at least once.
func (s *Service) SetEvents(sets map[string][]string, publish func(event []byte) error) error {
	s.mu.Lock()
	s.published, s.publish = sets, publish
	s.mu.Unlock()
	return s.flush(false)
}

// SetOutcomes decides what becomes of mails; nil or the answer Standard leaves it to the address.
func (s *Service) SetOutcomes(f func(Mail, string) Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes = f
}

// SetCourse decides the way of each event; nil lets all go out at once.
func (s *Service) SetCourse(f func(Event) Course) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.course = f
}

// ReleaseEvents lets everything go out that was withheld or delayed.
func (s *Service) ReleaseEvents() error { return s.flush(true) }

// outcome of a mail at an address.
func (s *Service) outcome(m Mail, address string) Outcome {
	s.mu.Lock()
	f := s.outcomes
	s.mu.Unlock()
	if f != nil {
		if o := f(m, address); o != Standard {
			return o
		}
	}
	local, _, _ := strings.Cut(address, "@")
	local, _, _ = strings.Cut(local, "+")
	switch strings.ToLower(local) {
	case "bounce":
		return Bounces
	case "softbounce":
		return BouncesSoftly
	case "suppressionlist":
		return IsSuppressed
	case "complaint":
		return Complains
	case "complaintuntyped":
		return ComplainsUntyped
	case "notspam":
		return SaysNotSpam
	case "authfailure":
		return FailsAuthentication
	case "reject":
		return IsRejected
	}
	return Arrives
}

// events are all that will be told of a mail, in the order in which it happens.
func (s *Service) events(m Mail) []Event {
	var out []Event
	add := func(to string, t EventType, bounce, sub string) {
		out = append(out, Event{Type: t, Mail: m, Recipient: to, At: m.Accepted, BounceType: bounce, BounceSubType: sub})
	}
	complain := func(to, complaint string) {
		add(to, Delivery, "", "")
		out = append(out, Event{Type: Complaint, Mail: m, Recipient: to, At: m.Accepted, ComplaintType: complaint})
	}
	add(m.Destinations[0], Send, "", "")
	for _, to := range m.Destinations {
		switch s.outcome(m, to) {
		case Bounces:
			add(to, Bounce, "Permanent", "General")
		case BouncesSoftly:
			add(to, Bounce, "Transient", "MailboxFull")
		case IsSuppressed:
			add(to, Bounce, "Permanent", "OnAccountSuppressionList")
		case Complains:
			complain(to, "abuse")
		case ComplainsUntyped:
			complain(to, "")
		case SaysNotSpam:
			complain(to, "not-spam")
		case FailsAuthentication:
			complain(to, "auth-failure")
		case IsRejected:
			add(to, Reject, "", "")
		case NothingHeard:
		default:
			add(to, Delivery, "", "")
		}
	}
	return out
}

// keepEvents puts what will be told of a mail beside it, in the same commit.
func (s *Service) keepEvents(tx *bbolt.Tx, m Mail, header mail.Header) error {
	s.mu.Lock()
	types, course := s.published[m.ConfigurationSet], s.course
	s.mu.Unlock()
	for _, e := range s.events(m) {
		if !slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, string(e.Type)) }) {
			continue
		}
		body, err := json.Marshal(s.envelope(e, header))
		if err != nil {
			return fmt.Errorf("encoding an event of mail %s: %w", m.ID, err)
		}
		k := kept{Event: body, Due: clock.Real()}
		if course != nil {
			c := course(e)
			k.Copies, k.Due = c.Copies, k.Due.Add(c.Delay)
			if c.Withhold {
				k.Due = time.Time{}
			} else if c.Delay > 0 {
				s.later(c.Delay)
			}
		}
		v, err := json.Marshal(k)
		if err != nil {
			return fmt.Errorf("encoding an event of mail %s: %w", m.ID, err)
		}
		seq, err := tx.Bucket(eventBucket).NextSequence()
		if err != nil {
			return err
		}
		if err := tx.Bucket(eventBucket).Put(binary.BigEndian.AppendUint64(nil, seq), v); err != nil {
			return err
		}
	}
	return nil
}

// later looks again when a delayed event is due. What fails then stays kept, and is said to the next sender.
func (s *Service) later(d time.Duration) {
	time.AfterFunc(d+time.Millisecond, func() {
		if err := s.flush(false); err != nil && !errors.Is(err, berrors.ErrDatabaseNotOpen) {
			s.mu.Lock()
			s.late = errors.Join(s.late, err)
			s.mu.Unlock()
		}
	})
}

// flush publishes what is due, or everything. An event is forgotten only once it is out.
func (s *Service) flush(everything bool) error {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.mu.Lock()
	publish, late := s.publish, s.late
	s.late = nil
	s.mu.Unlock()
	if publish == nil {
		return late
	}
	now := clock.Real()
	due := map[string]kept{}
	var order []string
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(eventBucket).ForEach(func(key, v []byte) error {
			var k kept
			if err := json.Unmarshal(v, &k); err != nil {
				return err
			}
			if everything || !k.Due.IsZero() && !k.Due.After(now) {
				due[string(key)] = k
				order = append(order, string(key))
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("ses: reading the events: %w", errors.Join(err, late))
	}
	for _, key := range order {
		for range 1 + due[key].Copies {
			if err := publish(due[key].Event); err != nil {
				return fmt.Errorf("ses: publishing an event: %w", errors.Join(err, late))
			}
		}
		if err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(eventBucket).Delete([]byte(key)) }); err != nil {
			return fmt.Errorf("ses: forgetting an event: %w", errors.Join(err, late))
		}
	}
	return late
}

// envelope is an event as EventBridge has it from SES.
func (s *Service) envelope(e Event, header mail.Header) map[string]any {
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	tags := map[string][]string{
		"ses:configuration-set": {e.Mail.ConfigurationSet}, "ses:source-ip": {"127.0.0.1"}, "ses:caller-identity": {"local"},
		"ses:from-domain": {e.Mail.Source[strings.LastIndexByte(e.Mail.Source, '@')+1:]},
	}
	for k, v := range e.Mail.Tags {
		tags[k] = []string{v}
	}
	headers := []map[string]string{}
	for name, values := range header {
		for _, v := range values {
			headers = append(headers, map[string]string{"name": name, "value": v})
		}
	}
	slices.SortFunc(headers, func(a, b map[string]string) int { return strings.Compare(a["name"]+a["value"], b["name"]+b["value"]) })
	detail := map[string]any{
		"eventType": e.Type,
		"mail": map[string]any{
			"timestamp": stamp(e.Mail.Accepted), "source": e.Mail.Source, "sourceArn": s.arn(e.Mail.Source), "sendingAccountId": s.account,
			"messageId": e.Mail.ID, "destination": e.Mail.Destinations, "headersTruncated": false, "headers": headers,
			"commonHeaders": map[string]any{"from": []string{header.Get("From")}, "to": []string{header.Get("To")}, "messageId": e.Mail.ID, "subject": subject(header)},
			"tags":          tags,
		},
	}
	feedback := protocol.RequestID()
	switch e.Type {
	case Send:
		detail["send"] = map[string]any{}
	case Reject:
		detail["reject"] = map[string]any{"reason": "Bad content"}
	case Delivery:
		detail["delivery"] = map[string]any{"timestamp": stamp(e.At), "processingTimeMillis": 1, "recipients": []string{e.Recipient},
			"smtpResponse": "250 2.0.0 OK", "reportingMTA": "local"}
	case Bounce:
		recipient := map[string]string{"emailAddress": e.Recipient, "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
		if e.BounceType == "Transient" {
			recipient["status"], recipient["diagnosticCode"] = "4.2.2", "smtp; 452 4.2.2 mailbox full"
		}
		detail["bounce"] = map[string]any{"feedbackId": feedback, "bounceType": e.BounceType, "bounceSubType": e.BounceSubType, "timestamp": stamp(e.At),
			"bouncedRecipients": []map[string]string{recipient}, "reportingMTA": "dns; local"}
	case Complaint:
		complaint := map[string]any{"feedbackId": feedback, "complaintSubType": nil, "timestamp": stamp(e.At), "arrivalDate": stamp(e.At),
			"complainedRecipients": []map[string]string{{"emailAddress": e.Recipient}}, "userAgent": "local"}
		if e.ComplaintType != "" {
			complaint["complaintFeedbackType"] = e.ComplaintType
		}
		detail["complaint"] = complaint
	}
	return map[string]any{
		"version": "0", "id": protocol.RequestID(), "detail-type": detailTypes[e.Type], "source": "aws.ses", "account": s.account,
		"time": e.At.UTC().Format("2006-01-02T15:04:05Z"), "region": s.region,
		"resources": []string{"arn:aws:ses:" + s.region + ":" + s.account + ":configuration-set/" + e.Mail.ConfigurationSet}, "detail": detail,
	}
}
