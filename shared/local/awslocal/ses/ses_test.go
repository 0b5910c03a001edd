package ses_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsses "github.com/aws/aws-sdk-go-v2/service/ses"
	"github.com/aws/aws-sdk-go-v2/service/ses/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
)

const sender = "vault@acme.example"

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func start(t *testing.T) (*awstest.Endpoint, *awsses.Client) {
	e := awstest.Start(t, awstest.Options{Now: func() time.Time { return time.Date(2026, 5, 4, 12, 0, 1, 0, time.UTC) }})
	if err := e.SES.Verify(sender, "Team.example"); err != nil {
		t.Fatal(err)
	}
	e.SES.SetConfigurationSets("reports")
	e.SES.SetQuota(ses.Quota{PerDay: 1000, PerSecond: 1000})
	return e, awsses.NewFromConfig(e.Config("operator"))
}

func raw(from string) []byte {
	return []byte("Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nFrom: \"WeCom Vault\" <" + from + ">\r\nTo: reader@dest.example\r\n" +
		"Message-ID: <ours@acme.example>\r\nSubject: =?utf-8?B?5pel5oql?=\r\nX-Report-Id: r1\r\n\tfolded\r\nMIME-Version: 1.0\r\n\r\nbody\r\nDate: stays\r\n\x80\xff")
}

func send(t *testing.T, c *awsses.Client, change ...func(*awsses.SendRawEmailInput)) (string, error) {
	t.Helper()
	in := &awsses.SendRawEmailInput{Source: aws.String(sender), Destinations: []string{"reader@dest.example"}, RawMessage: &types.RawMessage{Data: raw(sender)}}
	for _, f := range change {
		f(in)
	}
	out, err := c.SendRawEmail(t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.MessageId, nil
}

func TestAMailIsKeptByteForByte(t *testing.T) {
	e, c := start(t)
	id, err := send(t, c, func(in *awsses.SendRawEmailInput) {
		in.ConfigurationSetName = aws.String("reports")
		in.Tags = []types.MessageTag{{Name: aws.String("report_id"), Value: aws.String("r-1")}}
	})
	if err != nil {
		t.Fatal(err)
	}
	mails, err := e.SES.Mails()
	if err != nil {
		t.Fatal(err)
	}
	want := []ses.Mail{{ID: id, Accepted: time.Date(2026, 5, 4, 12, 0, 1, 0, time.UTC), Source: sender, Destinations: []string{"reader@dest.example"},
		ConfigurationSet: "reports", Tags: map[string]string{"report_id": "r-1"}, Subject: "日报", Size: len(raw(sender))}}
	if diff := cmp.Diff(want, mails); diff != "" {
		t.Error(diff)
	}
	kept, err := e.SES.Raw(id)
	if err != nil || !bytes.Equal(kept, raw(sender)) {
		t.Errorf("kept %q, %v", kept, err)
	}
	delivered, err := e.SES.Delivered(id)
	if err != nil {
		t.Fatal(err)
	}
	wantDelivered := "Message-ID: <" + id + "@email.amazonses.com>\r\nDate: Mon, 04 May 2026 12:00:01 +0000\r\nFrom: \"WeCom Vault\" <" + sender +
		">\r\nTo: reader@dest.example\r\nSubject: =?utf-8?B?5pel5oql?=\r\nX-Report-Id: r1\r\n\tfolded\r\nMIME-Version: 1.0\r\n\r\nbody\r\nDate: stays\r\n\x80\xff"
	if diff := cmp.Diff(wantDelivered, string(delivered)); diff != "" {
		t.Error(diff)
	}
	if _, err := e.SES.Raw("nothing"); !errors.Is(err, ses.ErrNotFound) {
		t.Errorf("a mail that is not there: %v", err)
	}
}

func TestTheSameMailTwiceIsTwoMails(t *testing.T) {
	e, c := start(t)
	for range 2 {
		if _, err := send(t, c); err != nil {
			t.Fatal(err)
		}
	}
	mails, err := e.SES.Mails()
	if err != nil || len(mails) != 2 || mails[0].ID == mails[1].ID {
		t.Errorf("mails %v, %v", mails, err)
	}
	anew, err := ses.New(e.DB, awstest.Region, awstest.Account, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := anew.Mails()
	if diff := cmp.Diff(mails, again); diff != "" || err != nil {
		t.Errorf("after a restart: %s %v", diff, err)
	}
}

func TestRefusals(t *testing.T) {
	e, c := start(t)
	data := func(b []byte) func(*awsses.SendRawEmailInput) {
		return func(in *awsses.SendRawEmailInput) { in.RawMessage.Data = b }
	}
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprintf("r%d@dest.example", i)
	}
	mood := func(m ses.Mood) func(*awsses.SendRawEmailInput) {
		return func(*awsses.SendRawEmailInput) { e.SES.SetMood(m) }
	}
	kept := 0
	for _, tt := range []struct {
		name   string
		change func(*awsses.SendRawEmailInput)
		want   string
	}{
		{"a right one", func(*awsses.SendRawEmailInput) {}, "<nil>"},
		{"a verified domain", func(in *awsses.SendRawEmailInput) {
			in.Source, in.RawMessage.Data = aws.String("x@mail.team.example"), raw("y@TEAM.example")
		}, "<nil>"},
		{"no source", func(in *awsses.SendRawEmailInput) { in.Source = nil }, "<nil>"},
		{"no destinations", func(in *awsses.SendRawEmailInput) { in.Destinations = nil }, "<nil>"},
		{"just small enough", data(append(raw(sender), bytes.Repeat([]byte("0123456789abcde\n"), (ses.MaxBytes-len(raw(sender)))/16)...)), "<nil>"},
		{"an unverified source", func(in *awsses.SendRawEmailInput) { in.Source = aws.String("x@other.example") }, "MessageRejected"},
		{"an unverified From", data(raw("x@other.example")), "MessageRejected"},
		{"another address of the sender's domain", func(in *awsses.SendRawEmailInput) { in.Source = aws.String("x@acme.example") }, "MessageRejected"},
		{"too long", data(append(raw(sender), bytes.Repeat([]byte("0123456789abcde\n"), ses.MaxBytes/16)...)), "InvalidParameterValue"},
		{"too many recipients", func(in *awsses.SendRawEmailInput) { in.Destinations = many }, "InvalidParameterValue"},
		{"a recipient without a domain", func(in *awsses.SendRawEmailInput) { in.Destinations = []string{"somebody"} }, "InvalidParameterValue"},
		{"an unknown configuration set", func(in *awsses.SendRawEmailInput) { in.ConfigurationSetName = aws.String("nowhere") }, "ConfigurationSetDoesNotExist"},
		{"a tag with a colon", func(in *awsses.SendRawEmailInput) {
			in.Tags = []types.MessageTag{{Name: aws.String("a"), Value: aws.String("b:c")}}
		}, "InvalidParameterValue"},
		{"no From", data([]byte("To: a@b.example\r\n\r\nx")), "InvalidParameterValue"},
		{"two subjects", data([]byte("From: " + sender + "\r\nSubject: a\r\nSubject: b\r\n\r\nx")), "InvalidParameterValue"},
		{"a long line", data(append(raw(sender), bytes.Repeat([]byte("x"), 999)...)), "InvalidParameterValue"},
		{"an ARN", func(in *awsses.SendRawEmailInput) { in.SourceArn = aws.String("arn:x") }, "InvalidParameterValue"},
		{"paused", mood(ses.Paused), "AccountSendingPausedException"},
		{"too fast", mood(ses.RateExceeded), "Throttling"},
		{"enough for the day", mood(ses.DayExceeded), "Throttling"},
		{"throttled once", func(*awsses.SendRawEmailInput) { e.SES.SetMood(ses.Sending); e.SES.ThrottleNext(1) }, "Throttling"},
		{"and no longer", func(*awsses.SendRawEmailInput) {}, "<nil>"},
		{"over the quota", func(*awsses.SendRawEmailInput) { e.SES.SetQuota(ses.Quota{PerDay: 6, PerSecond: 100}) }, "Throttling"},
		{"over the rate", func(*awsses.SendRawEmailInput) { e.SES.SetQuota(ses.Quota{PerDay: 100, PerSecond: 6}) }, "Throttling"},
	} {
		_, err := send(t, c, tt.change)
		if got := code(err); got != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if tt.want == "<nil>" {
			kept++
		}
	}
	mails, err := e.SES.Mails()
	if err != nil || len(mails) != kept {
		t.Errorf("%d mails kept, want %d (%v)", len(mails), kept, err)
	}
}

func TestARoleSendsInItsOwnNameOnly(t *testing.T) {
	e, _ := start(t)
	policies, err := iam.ParseJSON([]byte(`{"Statement":{"Effect":"Allow","Action":"ses:SendRawEmail",
		"Resource":["arn:aws:ses:us-east-1:000000000000:identity/*","arn:aws:ses:us-east-1:000000000000:configuration-set/reports"],
		"Condition":{"StringEquals":{"ses:FromAddress":"` + sender + `"},"ForAllValues:StringLike":{"ses:Recipients":"*@dest.example"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	e.Caller("MailFunction", policies.Allowed)
	c := awsses.NewFromConfig(e.Config("MailFunction"))
	e.SES.SetConfigurationSets("reports", "others")
	for _, tt := range []struct {
		name   string
		change func(*awsses.SendRawEmailInput)
		want   string
	}{
		{"its own name", func(in *awsses.SendRawEmailInput) { in.ConfigurationSetName = aws.String("reports") }, "<nil>"},
		{"another verified name", func(in *awsses.SendRawEmailInput) {
			in.Source, in.RawMessage.Data = aws.String("a@team.example"), raw("a@team.example")
		}, "AccessDenied"},
		{"another recipient", func(in *awsses.SendRawEmailInput) {
			in.Destinations = []string{"a@dest.example", "b@elsewhere.example"}
		}, "AccessDenied"},
		{"another configuration set", func(in *awsses.SendRawEmailInput) { in.ConfigurationSetName = aws.String("others") }, "AccessDenied"},
	} {
		if _, err := send(t, c, tt.change); code(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	if _, err := c.GetSendQuota(t.Context(), &awsses.GetSendQuotaInput{}); code(err) != "AccessDenied" {
		t.Errorf("reading the quota: %v", err)
	}
}

func TestIdentitiesAndQuotaAreTold(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	if _, err := c.VerifyEmailIdentity(ctx, &awsses.VerifyEmailIdentityInput{EmailAddress: aws.String("new@else.example")}); err != nil {
		t.Fatal(err)
	}
	list, err := c.ListIdentities(ctx, &awsses.ListIdentitiesInput{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new@else.example", "team.example", sender}, list.Identities); diff != "" {
		t.Error(diff)
	}
	attributes, err := c.GetIdentityVerificationAttributes(ctx, &awsses.GetIdentityVerificationAttributesInput{Identities: []string{sender, sender, "nobody@else.example"}})
	if err != nil || len(attributes.VerificationAttributes) != 1 || attributes.VerificationAttributes[sender].VerificationStatus != types.VerificationStatusSuccess {
		t.Errorf("attributes %+v, %v", attributes, err)
	}
	if _, err := send(t, c); err != nil {
		t.Fatal(err)
	}
	quota, err := c.GetSendQuota(ctx, &awsses.GetSendQuotaInput{})
	if err != nil || quota.Max24HourSend != 1000 || quota.MaxSendRate != 1000 || quota.SentLast24Hours != 1 {
		t.Errorf("quota %+v, %v", quota, err)
	}
}

func TestWhatIsNotSupportedIsRefusedByName(t *testing.T) {
	_, c := start(t)
	_, err := c.CreateConfigurationSet(t.Context(), &awsses.CreateConfigurationSetInput{ConfigurationSet: &types.ConfigurationSet{Name: aws.String("x")}})
	if code(err) != "InvalidAction" || !strings.Contains(err.Error(), "ses:CreateConfigurationSet is not supported") {
		t.Errorf("an unknown operation: %v", err)
	}
	if _, err := send(t, c, func(in *awsses.SendRawEmailInput) { in.ReturnPathArn = aws.String("arn:x") }); err == nil || !strings.Contains(err.Error(), "ReturnPathArn is not supported") {
		t.Errorf("an unknown parameter: %v", err)
	}
}

func FuzzRawMail(f *testing.F) {
	e := awstest.Start(f, awstest.Options{})
	if err := e.SES.Verify(sender); err != nil {
		f.Fatal(err)
	}
	e.SES.SetQuota(ses.Quota{PerDay: 1 << 30, PerSecond: 1 << 30})
	c := awsses.NewFromConfig(e.Config("operator"))
	f.Add(raw(sender))
	f.Add([]byte("From: " + sender + "\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := c.SendRawEmail(t.Context(), &awsses.SendRawEmailInput{Destinations: []string{"a@b.example"}, RawMessage: &types.RawMessage{Data: b}})
		if err != nil {
			var api smithy.APIError
			if len(b) > 0 && !errors.As(err, &api) {
				t.Fatal(err)
			}
			return
		}
		kept, err := e.SES.Raw(*out.MessageId)
		if err != nil || !bytes.Equal(kept, b) {
			t.Errorf("kept %q of %q: %v", kept, b, err)
		}
		if _, err := e.SES.Delivered(*out.MessageId); err != nil {
			t.Error(err)
		}
	})
}

var _ http.Handler = (*ses.Service)(nil)
