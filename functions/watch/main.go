// scheduled: watch counts the hours before something leaves WeCom's windows, enqueues work again whose job may be lost, and opens and closes
// alarms. It lives when fetch is dead: it must never need WeCom, nor anything that fetch needs besides the ledger.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// settings is watch's configuration.
type settings struct {
	Control  string        `env:"CONTROL_TABLE"`                 // cursors, batches, attachments, alarms
	Messages string        `env:"MESSAGES_TABLE"`                // set-aside items
	Batches  string        `env:"BATCH_QUEUE_URL"`               // where pending batches are announced again
	Media    string        `env:"MEDIA_QUEUE_URL"`               // where waiting attachments are announced again
	Reports  string        `env:"REPORT_QUEUE_URL"`              // where R7 is asked for
	Chats    time.Duration `env:"MESSAGE_WINDOW" default:"120h"` // how long WeCom is taken to keep messages
	Files    time.Duration `env:"MEDIA_WINDOW" default:"72h"`    // how long WeCom is taken to keep attachments
}

func main() {
	log := telemetry.NewLogger(os.Stdout, "watch")
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
	w := &watcher{
		ledger:  ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control, Messages: s.Messages}),
		batches: queue.New[queue.BatchJob](jobs, s.Batches),
		media:   queue.New[queue.MediaJob](jobs, s.Media),
		reports: queue.New[queue.ReportJob](jobs, s.Reports),
		windows: ledger.Windows{Messages: s.Chats, Media: s.Files},
		log:     log, metrics: telemetry.NewMetrics(os.Stdout, lambdas.Stack(), "watch"), now: clock.Now, second: 10 * time.Second,
	}
	lambdas.Run(function(w))
}

// function joins the flow to its trigger.
func function(w *watcher) lambdas.Function {
	return lambdas.Function{Log: w.log, Schedule: func(ctx context.Context, _ []byte) error { return w.run(ctx) }}
}
