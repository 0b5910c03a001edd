// http: api lets people say who gets which report, and see what was sent and how the archive is, over an HTTP API behind a JWT authorizer. It owns
// the answers to requests (openapi.json is their description); who may do what is shared/access's, and what a report says is shared/report's.
package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/hrfile"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/preview"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// settings is the API's configuration.
type settings struct {
	Control   string        `env:"CONTROL_TABLE"`                 // corps, receivers, mails, alarms
	Messages  string        `env:"MESSAGES_TABLE"`                // set-aside items, which the clocks count
	Directory string        `env:"DIRECTORY_TABLE"`               // departments and their heads
	Audit     string        `env:"AUDIT_TABLE"`                   // who asked for what
	Bucket    string        `env:"REPORTS_BUCKET"`                // what reports are made of, for previews
	Reports   string        `env:"REPORT_QUEUE_URL"`              // report makes previews
	Guide     string        `env:"GUIDE_URL" optional:"true"`     // where mails link the guide
	Issuer    string        `env:"API_ISSUER"`                    // who must have issued a token
	Audience  string        `env:"API_AUDIENCE"`                  // for whom
	RoleClaim string        `env:"API_ROLE_CLAIM"`                // which claim names the roles
	PerMinute int           `env:"API_PER_MINUTE"`                // requests of one person
	Chats     time.Duration `env:"MESSAGE_WINDOW" default:"120h"` // how long WeCom is taken to keep messages
	Files     time.Duration `env:"MEDIA_WINDOW" default:"72h"`    // how long WeCom is taken to keep attachments
}

func main() {
	log := telemetry.NewLogger(os.Stdout, "api")
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
	records := ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control, Messages: s.Messages, Directory: s.Directory, Audit: s.Audit})
	store := objstore.New(s3.NewFromConfig(aws), s.Bucket)
	metrics := telemetry.NewMetrics(os.Stdout, lambdas.Stack(), "api")
	a := &api{
		ledger: records, files: hrfile.Shelf{Ledger: records, Store: store},
		previews: preview.Desk{Ledger: records, Store: store, Reports: queue.New[queue.ReportJob](sqs.NewFromConfig(aws), s.Reports), Guide: s.Guide},
		log:      log, count: metrics.Add, flush: func() error { return metrics.Flush(clock.Now()) },
		issuer: s.Issuer, audience: s.Audience, roleClaim: s.RoleClaim,
		windows: ledger.Windows{Messages: s.Chats, Media: s.Files}, mailsRead: 5000, membersRead: 5000, perMinute: s.PerMinute, now: clock.Now, real: clock.Real,
	}
	lambdas.Run(lambdas.Function{Log: log, HTTP: a})
}
