// http: callback takes what WeCom posts when something changes: it checks and opens it, notes which department or member was named, has that,
// or the room or contact, looked at again, and answers. It keeps ids and nothing else of it, and trusts no word of it: what is so now, directory reads.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// settings is callback's configuration.
type settings struct {
	Control   string        `env:"CONTROL_TABLE"`              // when fetch was last woken
	Directory string        `env:"DIRECTORY_TABLE"`            // what was told
	Jobs      string        `env:"DIRECTORY_QUEUE_URL"`        // where directory is asked to look again
	Secrets   string        `env:"SECRETS_PREFIX"`             // what the names of the corps' secrets begin with
	Fetch     string        `env:"FETCH_FUNCTION"`             // that is woken when WeCom tells of new chat data
	Consent   string        `env:"CONSENT_FUNCTION"`           // that asks again when WeCom tells of consent
	Poll      time.Duration `env:"POLL_INTERVAL" default:"5s"` // how long fetch rests between polls
}

func main() {
	log := telemetry.NewLogger(os.Stdout, "callback")
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
	functions := lambda.NewFromConfig(aws)
	l := &listener{
		ledger:   ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control, Directory: s.Directory}),
		jobs:     queue.New[queue.DirectoryJob](sqs.NewFromConfig(aws), s.Jobs),
		settings: secrets.New(secretsmanager.NewFromConfig(aws), s.Secrets).Callback,
		wake:     wakeOf(functions, s.Fetch), ask: askOf(functions, s.Consent), poll: s.Poll,
		log: log, now: clock.Now, real: clock.Real,
	}
	lambdas.Run(lambdas.Function{Log: log, HTTP: l.handler()})
}

// wakeOf returns a function that has fetch follow a corp at once, which is not waited for. Whoever follows it so far hands it over and ends.
func wakeOf(client *lambda.Client, function string) func(context.Context, archive.CorpID) error {
	return func(ctx context.Context, corp archive.CorpID) error {
		if err := start(ctx, client, function, map[string][]archive.CorpID{"corps": {corp}}); err != nil {
			return fmt.Errorf("wake fetch for corp %s: %w", corp, err)
		}
		return nil
	}
}

// askOf returns a function that has consent ask WeCom about a pair or a group, which is not waited for.
func askOf(client *lambda.Client, function string) func(context.Context, queue.ConsentJob) error {
	return func(ctx context.Context, job queue.ConsentJob) error {
		if err := start(ctx, client, function, job); err != nil {
			return fmt.Errorf("have consent ask for corp %s: %w", job.Corp, err)
		}
		return nil
	}
}

func start(ctx context.Context, client *lambda.Client, function string, event any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	_, err = client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: lambdatypes.InvocationTypeEvent, Payload: payload})
	return err
}
