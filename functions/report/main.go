// scheduled and queue: report asks every ten minutes which report of which corp is due and not done, builds it from what the ledger holds,
// keeps it, and plans one mail for each receiver; watch asks it for alerts through the queue. It owns when a report is due and which facts
// it tells; it sends nothing itself, and sees no message's text.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// settings is report's configuration.
type settings struct {
	Control       string        `env:"CONTROL_TABLE"`                    // corps, cursors, batches, runs, mails, alarms
	Messages      string        `env:"MESSAGES_TABLE"`                   // who was last archived when, what is set aside
	Directory     string        `env:"DIRECTORY_TABLE"`                  // members as of each time
	Bucket        string        `env:"REPORTS_BUCKET"`                   // where reports and mails are kept
	Reports       string        `env:"REPORT_QUEUE_URL"`                 // its own queue
	Mails         string        `env:"MAIL_QUEUE_URL"`                   // mails to be sent
	Tells         string        `env:"TELL_QUEUE_URL"`                   // messages in WeCom to be sent
	From          string        `env:"MAIL_FROM"`                        // the sender's address
	MessageWindow time.Duration `env:"MESSAGE_WINDOW"`                   // how long WeCom is taken to keep messages
	MediaWindow   time.Duration `env:"MEDIA_WINDOW"`                     // how long WeCom is taken to keep attachments
	RetentionDays int           `env:"RETENTION_DAYS" optional:"true"`   // how long what is archived is locked
	Trial         bool          `env:"TRIAL"`                            // Object Lock is in governance mode: every mail says so
	Guide         string        `env:"GUIDE_URL" optional:"true"`        // where mails link the guide
	Egress        string        `env:"EGRESS_ADDRESSES" optional:"true"` // our outgoing addresses, separated by commas
}

// most is how many bytes the program may take before it collects its garbage with more effort: a company of 100,000 has about 110 MB in use while its largest report
// is kept.
const most = 170 << 20

func main() {
	log := telemetry.NewLogger(os.Stdout, "report")
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
	jobs := sqs.NewFromConfig(aws)
	// With the first event: before it, a start that sets this up is a slower start.
	frugal := sync.OnceFunc(func() { debug.SetMemoryLimit(most) })
	r := &reporter{
		ledger:  ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control, Messages: s.Messages, Directory: s.Directory}),
		store:   objstore.New(s3.NewFromConfig(aws), s.Bucket),
		mails:   queue.New[queue.MailJob](jobs, s.Mails),
		tells:   queue.New[queue.TellJob](jobs, s.Tells),
		log:     log,
		from:    s.From,
		windows: ledger.Windows{Messages: s.MessageWindow, Media: s.MediaWindow},
		keeping: time.Duration(s.RetentionDays) * 24 * time.Hour,
		trial:   s.Trial,
		egress:  strings.FieldsFunc(s.Egress, func(r rune) bool { return r == ',' || r == ' ' }),
		guide:   s.Guide,
		now:     clock.Now, real: clock.Real, owner: newOwner,
	}
	lambdas.Run(lambdas.Function{
		Log: log, Pause: queue.NewPauser(jobs, s.Reports).Pause,
		Schedule: func(ctx context.Context, _ []byte) error {
			frugal()
			return r.due(ctx)
		},
		Job: func(ctx context.Context, body string) error {
			frugal()
			job, err := queue.Decode[queue.ReportJob](body)
			if err != nil {
				return err
			}
			return r.asked(ctx, job)
		},
	})
}

// newOwner names one attempt at a report.
func newOwner() (string, error) {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("name an attempt: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
