package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// alarm writes an alarm as watch would: what was told stays.
func (d *desk) alarm(a ledger.Alarm) {
	d.Helper()
	rows, err := d.operator.Alarms(d.Context(), a.Corp)
	d.OK(err)
	for _, old := range rows {
		if old.Cause == a.Cause {
			a.Told = old.Told
		}
	}
	d.OK(d.operator.PutAlarm(d.Context(), a))
}

// told asks for an alert and returns the mails that this planned.
func (d *desk) told(id archive.CorpID) []letter {
	d.Helper()
	before := map[string]bool{}
	for _, m := range d.planned(id) {
		before[m.Key()] = true
	}
	d.OK(d.asked(d.Context(), queue.ReportJob{Corp: id, Report: "R7"}))
	var fresh []letter
	for _, m := range d.planned(id) {
		if !before[m.Key()] {
			fresh = append(fresh, d.letter(m))
		}
	}
	return fresh
}

func TestAlertIsMailedAtOnceThenQuietUntilItChangesAndWhenItIsOver(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwalert")
	a := ledger.Alarm{Corp: c.ID, Cause: "key-missing:3", Open: true, Since: d.at.Add(-3 * time.Minute), Seen: d.at, Affected: 4, Detail: "1, 2", Deadline: d.at.Add(71 * time.Hour)}
	english := func(letters []letter) letter {
		t.Helper()
		if len(letters) != 2 {
			t.Fatalf("%d mails were planned, want one for each of the 2 receivers", len(letters))
		}
		for _, l := range letters {
			if strings.Contains(l.To, "audit@") {
				return l
			}
		}
		return letter{}
	}
	quiet := func(when string) {
		t.Helper()
		if l := d.told(c.ID); len(l) != 0 {
			t.Fatalf("%s: mailed %q", when, l[0].Subject)
		}
	}

	quiet("nothing is open")
	d.alarm(a)
	if l := english(d.told(c.ID)); !l.Urgent || !strings.Contains(l.Subject, "ALERT: ") || strings.HasPrefix(l.Subject, "Re: ") || !strings.Contains(l.Text, "URGENT, new: ") || !strings.Contains(l.Text, "key version 3") || !strings.Contains(l.Text, "at least 71 hours") {
		t.Errorf("the alert is %+v", l)
	}
	quiet("told before")
	a.Seen, a.Affected = d.at.Add(time.Minute), 9
	d.alarm(a)
	quiet("a few more of the same")
	a.Affected = 90
	d.alarm(a)
	if l := english(d.told(c.ID)); !strings.HasPrefix(l.Subject, "Re: ") || !strings.Contains(l.Text, "URGENT, changed: ") || !strings.Contains(l.Text, "90") {
		t.Errorf("ten times as many: %q", l.Subject)
	}
	d.at = d.at.Add(time.Hour)
	a.Open, a.Over = false, d.at
	d.alarm(a)
	d.alarm(ledger.Alarm{Corp: c.ID, Cause: "service-expired", Open: true, Since: d.at, Seen: d.at, Code: 301052})
	if l := english(d.told(c.ID)); !strings.Contains(l.Text, "Over: Key version missing: 3") || !strings.Contains(l.Subject, "expired") {
		t.Errorf("one ended and one began: %q\n%s", l.Subject, l.Text)
	}
	quiet("all told")
	d.alarm(ledger.Alarm{Corp: c.ID, Cause: "rate-limited", Open: false, Since: d.at, Over: d.at.Add(time.Minute)})
	quiet("came and went unnoticed")
}

func TestAlertWaitsForAReceiver(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwnobody")
	receivers := c.ReportTo
	c.ReportTo = nil
	d.OK(d.operator.PutCorp(d.Context(), c))
	d.alarm(ledger.Alarm{Corp: c.ID, Cause: "certificate-refused", Open: true, Since: d.at, Seen: d.at})
	if l := d.told(c.ID); len(l) != 0 {
		t.Fatal("a mail to nobody")
	}
	c.ReportTo = receivers
	d.OK(d.operator.PutCorp(d.Context(), c))
	if l := d.told(c.ID); len(l) != 2 {
		t.Errorf("%d mails once there are receivers, want 2", len(l))
	}
}

func TestAlertThatOnlySuppressedReceiversWouldGetStaysUntold(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwdeaf")
	office, audit := c.ReportTo[0], c.ReportTo[1]
	receivers := func(to ...ledger.Receiver) {
		t.Helper()
		c.ReportTo = to
		d.OK(d.operator.PutCorp(d.Context(), c))
	}
	suppress := func(to ledger.Receiver) {
		t.Helper()
		_, err := d.operator.Suppress(d.Context(), ledger.Suppression{Corp: c.ID, Address: to.Address, Reason: ledger.Bounced, Since: d.at})
		d.OK(err)
	}
	heard := func(when string, want ...ledger.Receiver) {
		t.Helper()
		letters := d.told(c.ID)
		if len(letters) != len(want) {
			t.Fatalf("%s: %d mails, want %d", when, len(letters), len(want))
		}
		for i, to := range want {
			if !strings.Contains(letters[i].To, to.Address) || !strings.Contains(letters[i].Text, "40001") {
				t.Errorf("%s: the mail to %s says %s", when, letters[i].To, letters[i].Text)
			}
		}
	}
	refused := ledger.Alarm{Corp: c.ID, Cause: "secret-refused", Open: true, Since: d.at, Seen: d.at, Code: 40001}
	dead := ledger.Alarm{Corp: c.ID, Cause: "receiver-suppressed", Open: true, Since: d.at, Seen: d.at, Affected: 1, Detail: "1"}

	receivers(audit)
	suppress(audit)
	d.alarm(refused)
	heard("the only receiver is suppressed")
	d.OK(d.operator.LiftSuppression(d.Context(), c.ID, audit.Address, d.at.Add(time.Second)))
	heard("lifted", audit)
	heard("told")

	// The mail just told of comes back: nobody is left who heard of the alarm.
	d.at = d.at.Add(time.Minute)
	suppress(audit)
	d.alarm(dead)
	heard("suppressed again")
	receivers(audit, office)
	d.at = d.at.Add(time.Minute)
	heard("a receiver besides", office)
	heard("told him")
}

// receivers of a corp's reports.
func (d *desk) receivers(c *ledger.Corp, to ...ledger.Receiver) {
	d.Helper()
	c.ReportTo = to
	d.OK(d.operator.PutCorp(d.Context(), *c))
}

// fails has SES refuse the newest mail to a receiver, or give it back.
func (d *desk) fails(c ledger.Corp, to ledger.Receiver, how ledger.Fate) {
	d.Helper()
	var newest ledger.MailRow
	for _, m := range d.planned(c.ID) {
		if m.To == to.Address && m.State == ledger.MailPlanned && !m.At.Before(newest.At) {
			newest = m
		}
	}
	m, err := d.operator.ClaimMail(d.Context(), newest, "postman", d.real, d.real.Add(time.Minute))
	d.OK(err)
	if how == "" {
		d.OK(d.operator.SettleMail(d.Context(), m, "postman", ledger.MailRefused, "", "mail-rejected", d.at))
		return
	}
	d.OK(d.operator.SettleMail(d.Context(), m, "postman", ledger.MailSent, "ses", "", d.at))
	_, err = d.operator.SetFate(d.Context(), m, how, "", d.at)
	d.OK(err)
}

func TestEachReceiverHearsOfARunningAlertOnce(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwwhom")
	office, audit, late := c.ReportTo[0], c.ReportTo[1], ledger.Receiver{Address: "late@clearlake.example", Language: "en"}
	// heard asks twice: whoever was told is not told again.
	heard := func(when string, want ...ledger.Receiver) {
		t.Helper()
		for again := range 2 {
			letters := d.told(c.ID)
			if again == 1 {
				want = nil
			}
			if len(letters) != len(want) {
				t.Fatalf("%s, asked %d: %d mails, want %d", when, again+1, len(letters), len(want))
			}
			for _, to := range want {
				if !slices.ContainsFunc(letters, func(l letter) bool { return strings.Contains(l.To, to.Address) && strings.Contains(l.Text, "40001") }) {
					t.Errorf("%s: nothing for %s", when, to.Address)
				}
			}
		}
	}
	suppress := func(to ledger.Receiver) {
		t.Helper()
		_, err := d.operator.Suppress(d.Context(), ledger.Suppression{Corp: c.ID, Address: to.Address, Reason: ledger.Bounced, Since: d.at})
		d.OK(err)
	}
	a := ledger.Alarm{Corp: c.ID, Cause: "secret-refused", Open: true, Since: d.at, Seen: d.at, Code: 40001}
	d.receivers(&c, office)
	d.alarm(a)
	heard("it opens", office)
	d.at = d.at.Add(72 * time.Hour)
	d.receivers(&c, office, audit)
	heard("one is added days later", audit)
	d.receivers(&c, audit, office)
	heard("their order")

	d.fails(c, audit, ledger.Bounced)
	suppress(audit)
	heard("a mail comes back")
	d.at = d.at.Add(time.Hour)
	d.OK(d.operator.LiftSuppression(d.Context(), c.ID, audit.Address, d.at))
	heard("and the address is mended", audit)
	d.at = d.at.Add(time.Hour)
	suppress(audit)
	d.at = d.at.Add(time.Hour)
	d.OK(d.operator.LiftSuppression(d.Context(), c.ID, audit.Address, d.at))
	heard("suppressed and lifted without having missed a thing")
	d.fails(c, audit, ledger.Bounced)
	heard("the second mail comes back too", audit)

	d.receivers(&c, office, audit, late)
	heard("a third", late)
	d.fails(c, late, "")
	heard("SES refuses it")
	d.at = d.at.Add(23 * time.Hour)
	heard("less than a day later")
	d.at = d.at.Add(2 * time.Hour)
	heard("a day later", late)

	a.Open, a.Over = false, d.at
	d.alarm(a)
	if l := d.told(c.ID); len(l) != 3 {
		t.Errorf("%d hear that it is over", len(l))
	}
	d.receivers(&c, office, audit, late, ledger.Receiver{Address: "newest@clearlake.example"})
	heard("what is over")
}

// TestATellingThatWasCutShortAtMidnightIsNotRepeated: the mails are planned, and nobody is marked as told.
func TestATellingThatWasCutShortAtMidnightIsNotRepeated(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwmidnight")
	d.at = time.Date(2032, 2, 10, 23, 59, 59, 0, time.UTC)
	d.alarm(ledger.Alarm{Corp: c.ID, Cause: "secret-refused", Open: true, Since: d.at.Add(-time.Hour), Seen: d.at, Code: 40001})
	d.Fault(func(f awslocal.FaultRequest) awslocal.FaultDecision {
		if f.Operation == "UpdateItem" && strings.Contains(string(f.Body), "told_to") {
			return awslocal.FaultDecision{Act: awslocal.Refuse}
		}
		return awslocal.FaultDecision{}
	})
	if err := d.asked(d.Context(), queue.ReportJob{Corp: c.ID, Report: "R7"}); err == nil {
		t.Fatal("nothing failed")
	}
	d.Fault(nil)
	if n := len(d.planned(c.ID)); n != 2 {
		t.Fatalf("%d mails", n)
	}
	d.at = d.at.Add(time.Minute)
	if l := d.told(c.ID); len(l) != 0 {
		t.Errorf("told again: %q", l[0].Subject)
	}
}

// TestReceiversOfAnAlertOfTheFirstVersionCountAsTold: its rows keep that an alarm was told, and not to whom.
func TestReceiversOfAnAlertOfTheFirstVersionCountAsTold(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwolder")
	a := ledger.Alarm{Corp: c.ID, Cause: "secret-refused", Open: true, Since: d.at, Seen: d.at, Code: 40001}
	d.alarm(a)
	_, err := dynamodb.NewFromConfig(d.Config(rig.Operator)).UpdateItem(d.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(d.Name("ControlTable")), UpdateExpression: aws.String("SET told = :told"),
		Key:                       map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "alarm#" + c.ID.KeyPart()}, "sk": &types.AttributeValueMemberS{Value: a.Cause}},
		ExpressionAttributeValues: map[string]types.AttributeValue{":told": &types.AttributeValueMemberS{Value: a.Fingerprint()}},
	})
	d.OK(err)
	if l := d.told(c.ID); len(l) != 0 {
		t.Fatalf("%d mails about what was told", len(l))
	}
	late := ledger.Receiver{Address: "late@clearlake.example"}
	d.receivers(&c, append(c.ReportTo, late)...)
	if l := d.told(c.ID); len(l) != 1 || !strings.Contains(l[0].To, late.Address) {
		t.Errorf("%d mails once there is another receiver", len(l))
	}
}

func TestJobThatCannotBeDoneEndsForGood(t *testing.T) {
	d := newDesk(t)
	for _, job := range []queue.ReportJob{{Corp: "wwabsent", Report: "R7"}, {Corp: "wwabsent", Report: "R99"}} {
		if err := d.asked(d.Context(), job); fault.KindOf(err) != fault.Permanent {
			t.Errorf("%+v ends with %v", job, err)
		}
	}
}
