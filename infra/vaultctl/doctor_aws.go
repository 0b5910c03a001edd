package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/ses"
	sestypes "github.com/aws/aws-sdk-go-v2/service/ses/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// apart is how far apart two clocks may be. AWS refuses calls that are five minutes off; what is kept here for an audit should be closer.
const apart = 30 * time.Second

// sandboxQuota is how many mails a day SES takes from an account that is still in its sandbox.
// QUIRK: the interface in use does not say "sandbox"; this quota is its mark (docs.aws.amazon.com/ses, "Request production access").
const sandboxQuota = 200

// clock holds this machine's clock against AWS's.
func (d *doctor) clock(ctx context.Context) {
	out, err := sqs.NewFromConfig(d.aws).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &d.where.Redrives})
	if err != nil {
		d.cannot("clock of this machine", "", err, "see that your rights reach the stack's queues")
		return
	}
	server, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok {
		d.cannot("clock of this machine", "", errors.New("AWS did not say what time it is"), "")
		return
	}
	d.compare("clock of this machine", "AWS", clock.Real().Sub(server), "set the clock of this machine by NTP: AWS refuses calls that are five minutes off, and audit entries carry this clock's time")
}

func (d *doctor) compare(check, other string, ahead time.Duration, do string) {
	if ahead.Abs() <= apart {
		d.well(check, "", "as "+other+" has it")
		return
	}
	word := "ahead of "
	if ahead < 0 {
		word = "behind "
	}
	d.say(check, "", toDo, progress.Span(ahead.Abs())+" "+word+other, do)
}

func (d *doctor) queues(ctx context.Context) {
	client := sqs.NewFromConfig(d.aws)
	for _, q := range []struct{ name, variable, url string }{
		{"batches", "BATCH_QUEUE_URL", d.where.Batches}, {"media", "MEDIA_QUEUE_URL", d.where.Media}, {"reports", "REPORT_QUEUE_URL", d.where.Reports},
		{"mails", "MAIL_QUEUE_URL", d.where.Mails}, {"messages in WeCom", "TELL_QUEUE_URL", d.where.Tells}, {"redrives", "REDRIVE_QUEUE_URL", d.where.Redrives}, {"feedback", "FEEDBACK_QUEUE_URL", d.where.Feedback},
	} {
		check := "queue " + q.name
		if q.url == "" {
			d.cannot(check, "", fmt.Errorf("%s is not set", q.variable), "set it to the stack's output")
			continue
		}
		if err := d.queue(ctx, client, check, q.url); err != nil {
			d.cannot(check, "", err, "see that your rights reach the stack's queues")
		}
	}
}

func (d *doctor) queue(ctx context.Context, client *sqs.Client, check, url string) error {
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
	if err != nil {
		return err
	}
	var redrive struct {
		DeadLetters string `json:"deadLetterTargetArn"`
	}
	if err := json.Unmarshal([]byte(out.Attributes["RedrivePolicy"]), &redrive); err != nil {
		return errors.New("it has no dead-letter queue")
	}
	name := redrive.DeadLetters[strings.LastIndexByte(redrive.DeadLetters, ':')+1:]
	dead, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return err
	}
	given, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: dead.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
	if err != nil {
		return err
	}
	waiting, work := number(out.Attributes, "ApproximateNumberOfMessages")+number(out.Attributes, "ApproximateNumberOfMessagesDelayed"), number(out.Attributes, "ApproximateNumberOfMessagesNotVisible")
	found := fmt.Sprintf("%s waiting, %d in work or resting", plural(waiting, "job"), work)
	if n := number(given.Attributes, "ApproximateNumberOfMessages") + number(given.Attributes, "ApproximateNumberOfMessagesNotVisible"); n > 0 {
		d.say(check, "", toDo, fmt.Sprintf("%s; %s: their function died on them again and again", found, plural(n, "dead letter")),
			"read the function's log, mend the cause, then: aws sqs start-message-move-task --source-arn "+redrive.DeadLetters+" (docs/runbook.md, dead-letters)")
		return nil
	}
	d.well(check, "", found+", no dead letters")
	return nil
}

func number(attributes map[string]string, name string) int {
	n, err := strconv.Atoi(attributes[name])
	if err != nil {
		return 0
	}
	return n
}

func (d *doctor) buckets(ctx context.Context) {
	client := s3.NewFromConfig(d.aws)
	for _, b := range []struct{ check, variable, name string }{
		{"bucket of the archive", "ARCHIVE_BUCKET", d.where.Bucket}, {"bucket of reports", "REPORTS_BUCKET", d.where.ReportsBucket},
	} {
		if b.name == "" {
			d.cannot(b.check, "", fmt.Errorf("%s is not set", b.variable), "set it to the stack's output")
			continue
		}
		out, err := client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &b.name})
		if err != nil {
			d.cannot(b.check, "", err, "see that your rights reach s3:GetBucketObjectLockConfiguration")
			continue
		}
		c := out.ObjectLockConfiguration
		if c == nil || c.ObjectLockEnabled != s3types.ObjectLockEnabledEnabled || c.Rule == nil || c.Rule.DefaultRetention == nil {
			d.say(b.check, "", toDo, "what is written is not locked", "deploy the stack again: its template sets Object Lock with a retention")
			continue
		}
		found := fmt.Sprintf("locked in %s mode for %s", strings.ToLower(string(c.Rule.DefaultRetention.Mode)), plural(int(aws.ToInt32(c.Rule.DefaultRetention.Days)), "day"))
		switch {
		case c.Rule.DefaultRetention.Mode == s3types.ObjectLockRetentionModeCompliance:
			d.well(b.check, "", found)
		case d.where.Trial:
			d.well(b.check, "", found+": this is a trial, and its lock may be lifted")
		default:
			d.say(b.check, "", toDo, found+", which somebody with the right may lift", "deploy with RetentionMode=COMPLIANCE; governance is for a stack marked Trial")
		}
	}
}

// mail asks whether SES sends for the sender, and to everybody.
func (d *doctor) mail(ctx context.Context) {
	from := d.where.From
	if from == "" {
		d.cannot("SES sender", "", errors.New("MAIL_FROM is not set"), "set it to the stack's output MailFrom")
		return
	}
	client := ses.NewFromConfig(d.aws)
	domain := from[strings.LastIndexByte(from, '@')+1:]
	out, err := client.GetIdentityVerificationAttributes(ctx, &ses.GetIdentityVerificationAttributesInput{Identities: []string{from, domain}})
	switch {
	case err != nil:
		d.cannot("SES sender", "", err, "see that your rights reach ses:GetIdentityVerificationAttributes")
	case out.VerificationAttributes[from].VerificationStatus == sestypes.VerificationStatusSuccess, out.VerificationAttributes[domain].VerificationStatus == sestypes.VerificationStatusSuccess:
		d.well("SES sender", "", from+" is verified")
	default:
		d.say("SES sender", "", toDo, from+" is not verified, so SES refuses every mail",
			"aws ses verify-email-identity --email-address "+from+", and follow the link in the mail that comes; or verify its domain")
	}
	quota, err := client.GetSendQuota(ctx, &ses.GetSendQuotaInput{})
	switch {
	case err != nil:
		d.cannot("SES quota", "", err, "see that your rights reach ses:GetSendQuota")
	case quota.Max24HourSend >= 0 && quota.Max24HourSend <= sandboxQuota:
		d.say("SES quota", "", toDo, fmt.Sprintf("%.0f mails a day: the account seems to be in SES's sandbox, where it mails to verified addresses alone", quota.Max24HourSend),
			"ask AWS for production access of SES in this region")
	case quota.Max24HourSend >= 0 && quota.SentLast24Hours > 0.8*quota.Max24HourSend:
		d.say("SES quota", "", toDo, fmt.Sprintf("%.0f of %.0f mails of a day are used up", quota.SentLast24Hours, quota.Max24HourSend), "ask AWS for a higher quota of SES")
	default:
		d.well("SES quota", "", fmt.Sprintf("%.0f of %.0f mails of a day are used", quota.SentLast24Hours, quota.Max24HourSend))
	}
}

// loads has fetch load Tencent's library.
func (d *doctor) loads(ctx context.Context) {
	var answer struct {
		Loaded                  bool
		Library, Host, Sentence string
	}
	err := d.ask(ctx, d.where.Fetch, "FETCH_FUNCTION", map[string]bool{"library": true}, &answer)
	switch {
	case err != nil:
		d.cannot("library", "", err, "read the log of fetch: a function that can't start says why there")
	case !answer.Loaded:
		d.say("library", "", toDo, answer.Sentence, "make sdk-layer SDK=PATH, and deploy with the ARN that it prints as SdkLayerArn")
	case answer.Host != "":
		d.well("library", "", "the program "+answer.Host+" answers in its place")
	default:
		d.well("library", "", answer.Library+" loads")
	}
}
