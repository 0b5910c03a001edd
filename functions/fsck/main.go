// scheduled, and called by the operator's command: fsck holds the archive in S3 and the ledger against each other, from both sides. It mends what
// can be mended without a doubt, names the rest, and never deletes or overwrites anything.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
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

// settings is fsck's configuration.
type settings struct {
	Control  string `env:"CONTROL_TABLE"`   // batches, attachments, alarms
	Messages string `env:"MESSAGES_TABLE"`  // derived rows and set-aside items
	Bucket   string `env:"ARCHIVE_BUCKET"`  // batches, segments, attachments
	Batches  string `env:"BATCH_QUEUE_URL"` // where batches are announced again
	Media    string `env:"MEDIA_QUEUE_URL"` // where attachments are announced again
}

func main() {
	log := telemetry.NewLogger(os.Stdout, "fsck")
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
	c := &checker{
		ledger:  ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control, Messages: s.Messages}),
		store:   objstore.New(s3.NewFromConfig(aws), s.Bucket),
		batches: queue.New[queue.BatchJob](jobs, s.Batches),
		media:   queue.New[queue.MediaJob](jobs, s.Media),
		log:     log, metrics: telemetry.NewMetrics(os.Stdout, lambdas.Stack(), "fsck"), now: clock.Now, second: 3 * time.Second,
	}
	lambdas.Run(function(c))
}

// function joins the flow to its triggers.
func function(c *checker) lambdas.Function {
	return lambdas.Function{Log: c.log, Call: func(ctx context.Context, input []byte) (any, error) {
		var call Call
		if err := json.Unmarshal(input, &call); err != nil {
			return nil, fmt.Errorf("read what is asked: %w", err)
		}
		return c.run(ctx, call)
	}}
}
