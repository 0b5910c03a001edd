// queue, scheduled: redrive puts set-aside items back to work when their cause may have gone: at a key's arrival, at the operator's word, and
// by itself. It only enqueues; whether an item opens now, process finds out. Jobs in dead-letter queues it leaves alone: they belong to
// crashes of a function, and the operator moves them back with SQS's own redrive when the function is mended.
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

// settings is redrive's configuration.
type settings struct {
	Control  string `env:"CONTROL_TABLE"`     // corps, key versions, what was put back before
	Messages string `env:"MESSAGES_TABLE"`    // set-aside items
	Batches  string `env:"BATCH_QUEUE_URL"`   // where items are put back to work
	Redrives string `env:"REDRIVE_QUEUE_URL"` // its own queue
}

func main() {
	log := telemetry.NewLogger(os.Stdout, "redrive")
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
	r := &redriver{
		ledger:  ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control, Messages: s.Messages}),
		batches: queue.New[queue.BatchJob](jobs, s.Batches),
		log:     log, now: clock.Now,
	}
	lambdas.Run(function(r, queue.NewPauser(jobs, s.Redrives).Pause))
}

// function joins the flow to its triggers.
func function(r *redriver, pause func(context.Context, string, time.Duration) error) lambdas.Function {
	return lambdas.Function{
		Log: r.log, Pause: pause, Schedule: func(ctx context.Context, _ []byte) error { return r.run(ctx) },
		Job: func(ctx context.Context, body string) error {
			job, err := queue.Decode[queue.RedriveJob](body)
			if err != nil {
				return err
			}
			return r.redrive(ctx, job)
		},
	}
}
