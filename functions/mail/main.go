// queue: mail sends one planned mail to one address through SES. It owns what a lost answer comes to; it does not know what the mail says, nor whether its
// receiver was removed or its report switched off since it was planned: the plan stands.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ses"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/mailer"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// settings is mail's configuration.
type settings struct {
	Control          string `env:"CONTROL_TABLE"`                         // mails and their states
	Bucket           string `env:"REPORTS_BUCKET"`                        // where mails are kept
	Mails            string `env:"MAIL_QUEUE_URL"`                        // its own queue
	From             string `env:"MAIL_FROM"`                             // the envelope's sender
	ConfigurationSet string `env:"SES_CONFIGURATION_SET" optional:"true"` // by which SES reports what became of a mail

	Wait time.Duration `env:"MAIL_WAIT"` // for SES's own word that it took a mail whose answer was lost; then it is sent again
}

func main() {
	log := telemetry.NewLogger(os.Stdout, "mail")
	var s settings
	if err := config.Fill(&s, os.Getenv); err != nil {
		log.Error("configuration", slog.String("error", err.Error()))
		os.Exit(1)
	}
	if s.Wait < leastWait {
		log.Error("configuration", slog.String("error", fmt.Sprintf("MAIL_WAIT is %v: below %v a mail would be sent again while its sender may live", s.Wait, leastWait)))
		os.Exit(1)
	}
	aws, err := lambdas.AWS(os.Getenv, log)
	if err != nil {
		log.Error("configuration", slog.String("error", err.Error()))
		os.Exit(1)
	}
	once := func(o *ses.Options) { o.RetryMaxAttempts = 1 } // SES takes no token that would make a second call harmless
	metrics := telemetry.NewMetrics(os.Stdout, lambdas.Stack(), "mail")
	p := &postman{
		ledger: ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control}),
		store:  objstore.New(s3.NewFromConfig(aws), s.Bucket),
		mailer: mailer.New(ses.NewFromConfig(aws, once), s.From, s.ConfigurationSet),
		log:    log, count: metrics.Add, wait: s.Wait, now: clock.Now, real: clock.Real, owner: newOwner,
	}
	lambdas.Run(lambdas.Function{
		Log: log, Pause: queue.NewPauser(sqs.NewFromConfig(aws), s.Mails).Pause,
		Job: func(ctx context.Context, body string) error {
			job, err := queue.Decode[queue.MailJob](body)
			if err != nil {
				return err
			}
			return errors.Join(p.send(ctx, job), metrics.Flush(clock.Now()))
		},
	})
}

// newOwner names one attempt at a mail.
func newOwner() (string, error) {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("name an attempt: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
