// Package mailer sends finished mails through SES. It sends once: SES takes no token that would make a second call harmless, so the SDK's
// own retries are off here, and whoever calls decides what a lost answer means.
package mailer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ses"
	"github.com/aws/aws-sdk-go-v2/service/ses/types"
	"github.com/aws/smithy-go"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
)

// Reasons for which SES does not take a mail.
const (
	// Rejected: SES refuses this mail or this sender for good.
	Rejected fault.Reason = "mail-rejected"
	// Throttled: SES took nothing for certain; the same mail may be sent again.
	Throttled fault.Reason = "mail-throttled"
	// Unsettled: no answer came; SES may have taken the mail.
	Unsettled fault.Reason = "mail-unsettled"
)

// Name is what a mail is called in its tags, by which SES's own events name it: ids, never a name or an address.
type Name struct {
	Corp     archive.CorpID
	Mail     string // ledger.MailRow.Key
	ReportID string // in the mail's own header too
	Attempt  int    // how often it was, or may have been, given to SES, with this time
}

// The tags that the template's rules ask for.
const (
	corpTag = "corp"
	mailTag = "mail"
)

// tags are the name as SES takes it: letters, digits, "-" and "_" only.
func (n Name) tags() []types.MessageTag {
	pair := func(name, value string) types.MessageTag { return types.MessageTag{Name: &name, Value: &value} }
	return []types.MessageTag{
		pair("report_id", n.ReportID), pair("attempt", strconv.Itoa(n.Attempt)),
		pair(corpTag, base64.RawURLEncoding.EncodeToString([]byte(n.Corp))), pair(mailTag, base64.RawURLEncoding.EncodeToString([]byte(n.Mail))),
	}
}

// ParseTags reads what an event's tags corp and mail say.
func ParseTags(corp, mail string) (archive.CorpID, string, error) {
	c, err := base64.RawURLEncoding.Strict().DecodeString(corp)
	if err != nil || len(c) == 0 {
		return "", "", errors.New("the tag corp names no corp")
	}
	m, err := base64.RawURLEncoding.Strict().DecodeString(mail)
	if err != nil || len(m) == 0 {
		return "", "", errors.New("the tag mail names no mail")
	}
	return archive.CorpID(c), string(m), nil
}

// Mailer sends from one address.
type Mailer struct {
	client           *ses.Client
	from             string
	configurationSet string
}

// New returns a Mailer. The client must be made with RetryMaxAttempts 1. An empty configuration set sends without one.
func New(client *ses.Client, from, configurationSet string) *Mailer {
	return &Mailer{client: client, from: from, configurationSet: configurationSet}
}

// Send gives one mail's bytes to SES for one address and returns SES's message id. Its name goes along as tags. Errors are classified: Rejected is permanent; Throttled is retryable and certain that nothing was sent; Unsettled is
// retryable and uncertain.
func (m *Mailer) Send(ctx context.Context, to string, name Name, raw []byte) (string, error) {
	reportID := name.ReportID
	in := &ses.SendRawEmailInput{
		Source: &m.from, Destinations: []string{to}, RawMessage: &types.RawMessage{Data: raw},
		Tags: name.tags(),
	}
	if m.configurationSet != "" {
		in.ConfigurationSetName = &m.configurationSet
	}
	out, err := m.client.SendRawEmail(ctx, in)
	if err == nil {
		return aws.ToString(out.MessageId), nil
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return "", fault.New(fault.Retryable, Unsettled, fmt.Errorf("send mail %s: %w", reportID, err))
	}
	// QUIRK: SES has one code for a mail that it will never take and for a sender that is not verified yet, or a receiver while the account is
	// in the sandbox. The second comes right when somebody verifies it, and only the text tells them apart. The text names addresses.
	if strings.Contains(api.ErrorMessage(), "is not verified") {
		return "", fault.Newf(fault.Retryable, Throttled, "send mail %s: SES has not verified its sender, or while in the sandbox its receiver: verify it in SES", reportID)
	}
	// QUIRK: and the same code once more while AWS has paused the whole account, as it does after many bounces, until a review lets it go on.
	if strings.Contains(api.ErrorMessage(), "Sending paused for this account") || strings.Contains(api.ErrorMessage(), "Sending suspended for this account") {
		return "", fault.Newf(fault.Retryable, Throttled, "send mail %s: AWS has paused sending for this account: see the mail to its owner, and SES", reportID)
	}
	err = fmt.Errorf("send mail %s: SES answered %s", reportID, api.ErrorCode())
	switch api.ErrorCode() {
	case "MessageRejected", "InvalidParameterValue":
		return "", fault.New(fault.Permanent, Rejected, err)
	case "Throttling", "ThrottlingException", "AccessDenied", "AccessDeniedException", "AccountSendingPausedException",
		"ConfigurationSetDoesNotExist", "ConfigurationSetDoesNotExistException", "ConfigurationSetSendingPausedException",
		"MailFromDomainNotVerified", "MailFromDomainNotVerifiedException", "InvalidClientTokenId", "SignatureDoesNotMatch":
		return "", fault.New(fault.Retryable, Throttled, err)
	default:
		return "", fault.New(fault.Retryable, Unsettled, err)
	}
}
