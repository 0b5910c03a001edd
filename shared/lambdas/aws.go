package lambdas

import (
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/middleware"

	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/sdkbody"
	"github.com/wecomvault/wecomvault/shared/sdklog"
)

// given is what Lambda puts into the environment of each of its processes. The credentials outlive the process: Lambda ends it before they expire.
type given struct {
	Region   string `env:"AWS_REGION"`
	Key      string `env:"AWS_ACCESS_KEY_ID"`
	Secret   string `env:"AWS_SECRET_ACCESS_KEY"`
	Session  string `env:"AWS_SESSION_TOKEN" optional:"true"` // always there in Lambda
	Endpoint string `env:"AWS_ENDPOINT_URL" optional:"true"`  // instead of AWS's own
}

// AWS is the configuration of a function's clients. lookup is os.Getenv in programs; log is where the SDK's warnings go.
//
// The SDK's own loader looks for much more (profiles, single sign-on, an instance's role), none of which there is in Lambda. What it links for that,
// and the looking, took a fifth of a cold start.
func AWS(lookup func(string) string, log *slog.Logger) (aws.Config, error) {
	var g given
	if err := config.Fill(&g, lookup); err != nil {
		return aws.Config{}, fmt.Errorf("read Lambda's environment: %w", err)
	}
	c := aws.Config{
		Region:      g.Region,
		Logger:      sdklog.New(func(text string) { log.Warn("the AWS SDK warns", slog.String("warning", text)) }),
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(g.Key, g.Secret, g.Session)),
		// As the SDK's loader has them; each client's zero value is another.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		APIOptions:                 []func(*middleware.Stack) error{sdkbody.Plain},
	}
	if g.Endpoint != "" {
		c.BaseEndpoint = &g.Endpoint
	}
	return c, nil
}
