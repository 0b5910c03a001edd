package ses_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awsses "github.com/aws/aws-sdk-go-v2/service/ses"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
)

// heard gathers what SES publishes.
type heard struct {
	mu     sync.Mutex
	events []map[string]any
	fail   error
}

func (h *heard) put(b []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		return h.fail
	}
	var e map[string]any
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	h.events = append(h.events, e)
	return nil
}

// take returns the kinds of what came, and forgets it.
func (h *heard) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var kinds []string
	for _, e := range h.events {
		kinds = append(kinds, e["detail-type"].(string))
	}
	h.events = nil
	return strings.Join(kinds, ", ")
}

func to(address string) func(*awsses.SendRawEmailInput) {
	return func(in *awsses.SendRawEmailInput) {
		in.Destinations = []string{address}
		set := "reports"
		in.ConfigurationSetName = &set
	}
}

func TestEachAddressHasItsEvents(t *testing.T) {
	e, c := start(t)
	e.SES.SetConfigurationSets("reports")
	var h heard
	if err := e.SES.SetEvents(map[string][]string{"reports": {"send", "delivery", "bounce", "complaint", "reject"}}, h.put); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"ann@dest.example": "Email Sent, Email Delivered", "bounce@dest.example": "Email Sent, Email Bounced", "Bounce+7@dest.example": "Email Sent, Email Bounced",
		"complaint@dest.example": "Email Sent, Email Delivered, Email Complaint Received", "reject@dest.example": "Email Sent, Email Rejected",
		"notspam@dest.example": "Email Sent, Email Delivered, Email Complaint Received",
		"bouncer@dest.example": "Email Sent, Email Delivered",
	} {
		if _, err := send(t, c, to(address)); err != nil {
			t.Fatal(err)
		}
		if got := h.take(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	e.SES.SetOutcomes(func(_ ses.Mail, address string) ses.Outcome {
		if address == "ann@dest.example" {
			return ses.NothingHeard
		}
		return ses.Standard
	})
	if _, err := send(t, c, to("ann@dest.example")); err != nil || h.take() != "Email Sent" {
		t.Errorf("chosen outcome: %v", err)
	}
	if _, err := send(t, c, func(in *awsses.SendRawEmailInput) { in.ConfigurationSetName = nil }); err != nil || h.take() != "" {
		t.Errorf("a mail without a configuration set has events: %v", err)
	}
}

func TestAnEventHasTheShapeThatEventBridgeGivesIt(t *testing.T) {
	e, c := start(t)
	e.SES.SetConfigurationSets("reports")
	var h heard
	if err := e.SES.SetEvents(map[string][]string{"reports": {"bounce"}}, h.put); err != nil {
		t.Fatal(err)
	}
	id, err := send(t, c, to("bounce@dest.example"))
	if err != nil || len(h.events) != 1 {
		t.Fatalf("%d events: %v", len(h.events), err)
	}
	got := h.events[0]
	detail, _ := got["detail"].(map[string]any)
	mail, _ := detail["mail"].(map[string]any)
	bounce, _ := detail["bounce"].(map[string]any)
	tags, _ := mail["tags"].(map[string]any)
	if got["source"] != "aws.ses" || got["version"] != "0" || got["account"] != "000000000000" || detail["eventType"] != "Bounce" || mail["messageId"] != id ||
		bounce["bounceType"] != "Permanent" || bounce["bounceSubType"] != "General" {
		t.Errorf("%v", got)
	}
	if diff := cmp.Diff([]any{"reports"}, tags["ses:configuration-set"]); diff != "" {
		t.Error(diff)
	}
	if _, err := time.Parse("2006-01-02T15:04:05Z", got["time"].(string)); err != nil {
		t.Error(err)
	}
}

func TestEventsMayBeWithheldDelayedAndRepeated(t *testing.T) {
	e, c := start(t)
	e.SES.SetConfigurationSets("reports")
	var h heard
	sets := map[string][]string{"reports": {"send"}}
	if err := e.SES.SetEvents(sets, h.put); err != nil {
		t.Fatal(err)
	}
	course := func(x ses.Course) { e.SES.SetCourse(func(ses.Event) ses.Course { return x }) }
	deliver := func() {
		if _, err := send(t, c, to("ann@dest.example")); err != nil {
			t.Fatal(err)
		}
	}
	course(ses.Course{Copies: 2})
	deliver()
	if got := h.take(); got != "Email Sent, Email Sent, Email Sent" {
		t.Errorf("three copies: %s", got)
	}
	course(ses.Course{Withhold: true})
	deliver()
	course(ses.Course{})
	deliver()
	if got := h.take(); got != "Email Sent" {
		t.Errorf("one withheld: %s", got)
	}
	if err := errors.Join(e.SES.ReleaseEvents(), e.SES.ReleaseEvents()); err != nil || h.take() != "Email Sent" {
		t.Errorf("the withheld one does not come once: %v", err)
	}
	course(ses.Course{Delay: 20 * time.Millisecond})
	deliver()
	tick, late := time.NewTicker(2*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for h.take() == "" {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the delayed one never came")
		}
	}
	// What can't be published is told to the sender, whose mail is taken all the same, and comes with the next chance.
	course(ses.Course{})
	h.fail = errors.New("full")
	if _, err := send(t, c, to("ann@dest.example")); err == nil {
		t.Error("nobody noticed")
	}
	h.fail = nil
	deliver()
	if got := h.take(); got != "Email Sent, Email Sent" {
		t.Errorf("after a failure: %s", got)
	}
	// A service over the same store publishes what the one before did not.
	course(ses.Course{Withhold: true})
	deliver()
	again, err := ses.New(e.DB, "us-east-1", "000000000000", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.SetEvents(sets, h.put); err != nil || h.take() != "" {
		t.Errorf("a withheld event went out by itself: %v", err)
	}
	if err := again.ReleaseEvents(); err != nil || h.take() != "Email Sent" {
		t.Errorf("it is not kept: %v", err)
	}
	mails, err := e.SES.Mails()
	if err != nil || !slices.IsSortedFunc(mails, func(a, b ses.Mail) int { return a.Accepted.Compare(b.Accepted) }) || len(mails) != 7 {
		t.Errorf("%d mails: %v", len(mails), err)
	}
}
