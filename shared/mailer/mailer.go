// Package mailer sends finished mails through SES. It sends once: SES takes no token that would make a second call harmless, so the SDK's
// own retries are off here, and whoever calls decides what a lost answer means.
package mailer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ses"
	"github.com/aws/aws-sdk-go-v2/service/ses/types"
	"github.com/aws/smithy-go"

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

// Send gives one mail's bytes to SES for one address and returns SES's message id. reportID becomes a tag, by which SES's own events name
// the mail. Errors are classified: Rejected is permanent; Throttled is retryable and certain that nothing was sent; Unsettled is
// retryable and uncertain.
func (m *Mailer) Send(ctx context.Context, to, reportID string, raw []byte) (string, error) {
	in := &ses.SendRawEmailInput{
		Source: &m.from, Destinations: []string{to}, RawMessage: &types.RawMessage{Data: raw},
		Tags: []types.MessageTag{{Name: aws.String("report_id"), Value: &reportID}},
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
