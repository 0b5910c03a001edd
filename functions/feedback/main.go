// event: feedback hears from SES what became of mails. It settles a mail whose answer was lost and suppresses a dead address; it sends nothing,
// and never learns what a mail says or, but from the ledger, to whom it went.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// settings is feedback's configuration.
type settings struct {
	Control string `env:"CONTROL_TABLE"`      // mails, their states, and suppressed addresses
	Events  string `env:"FEEDBACK_QUEUE_URL"` // its own queue
}

func main() {
	log := telemetry.NewLogger(os.Stdout, "feedback")
	var s settings
	if err := config.Fill(&s, os.Getenv); err != nil {
		log.Error("configuration", slog.String("error", err.Error()))
		os.Exit(1)
	}
	aws, err := lambdas.AWS(os.Getenv, log)
	if err != nil {
		log.Error("configuration", slog.String("error", err.Error()))
		os.Exit(1)
	}
	metrics := telemetry.NewMetrics(os.Stdout, lambdas.Stack(), "feedback")
	l := &listener{ledger: ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control}), log: log, count: metrics.Add}
	lambdas.Run(lambdas.Function{Log: log, Pause: queue.NewPauser(sqs.NewFromConfig(aws), s.Events).Pause, Job: func(ctx context.Context, body string) error {
		return errors.Join(l.job(ctx, body), metrics.Flush(clock.Now()))
	}})
}

// job reads one message of the queue.
func (l *listener) job(ctx context.Context, body string) error {
	e, err := queue.Decode[queue.MailEvent](body)
	if err != nil {
		return err
	}
	return l.hear(ctx, e)
}
