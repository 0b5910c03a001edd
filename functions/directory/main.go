// scheduled, queue: directory reads who and what a corp has (departments, members, external contacts, rooms, robots) and records what changed, so
// that parties have the names of their time. It owns what is asked of WeCom and what a missing answer means; it never sees a message.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/egress"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/telemetry"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// settings is directory's configuration.
type settings struct {
	Control   string `env:"CONTROL_TABLE"`       // the corps
	Messages  string `env:"MESSAGES_TABLE"`      // which rooms and robots messages name
	Directory string `env:"DIRECTORY_TABLE"`     // states, their history, snapshots
	Bucket    string `env:"ARCHIVE_BUCKET"`      // where WeCom's answers are kept
	Secrets   string `env:"SECRETS_PREFIX"`      // what the names of the corps' secrets begin with
	Jobs      string `env:"DIRECTORY_QUEUE_URL"` // its own queue
	Consent   string `env:"CONSENT_FUNCTION"`    // that asks again of rooms and contacts of which WeCom told
	WeCom     string `env:"WECOM_URL"`           // WeCom's server

	Proxy     string `env:"EGRESS_PROXY" optional:"true"`      // proxy by which WeCom is reached; empty: directly
	ProxyAuth bool   `env:"EGRESS_PROXY_AUTH" optional:"true"` // whether it wants the credentials in the secret egress-proxy
}

// most is how many bytes the program may take before it collects its garbage with more effort.
const most = 170 << 20

func main() {
	log := telemetry.NewLogger(os.Stdout, "directory")
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
	vault := secrets.New(secretsmanager.NewFromConfig(aws), s.Secrets)
	way, err := egress.Of(s.Proxy, s.ProxyAuth, vault.EgressProxy)
	if err != nil {
		log.Error("configuration", slog.String("error", err.Error()))
		os.Exit(1)
	}
	jobs := sqs.NewFromConfig(aws)
	r := &refresher{
		ledger: ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control, Messages: s.Messages, Directory: s.Directory}),
		store:  objstore.New(s3.NewFromConfig(aws), s.Bucket),
		vault:  vault,
		server: wecom.New(s.WeCom, way.Client(10*time.Second), clock.Real),
		jobs:   queue.New[queue.DirectoryJob](jobs, s.Jobs), rest: queue.NewPauser(jobs, s.Jobs).Pause,
		consent: askOf(lambda.NewFromConfig(aws), s.Consent),
		log:     log, now: clock.Now, budget: 8 * time.Minute, pause: time.Second, metrics: os.Stdout, stack: lambdas.Stack(),
	}
	// With the first event: before it, a start that sets this up is a slower start.
	frugal := sync.OnceFunc(func() { debug.SetMemoryLimit(most) })
	f := r.function()
	call, job := f.Call, f.Job
	f.Call = func(ctx context.Context, input []byte) (any, error) { frugal(); return call(ctx, input) }
	f.Job = func(ctx context.Context, body string) error { frugal(); return job(ctx, body) }
	lambdas.Run(f)
}

// askOf returns a function that has consent ask WeCom about a pair or a group, which is not waited for.
func askOf(client *lambda.Client, function string) func(context.Context, queue.ConsentJob) error {
	return func(ctx context.Context, job queue.ConsentJob) error {
		payload, err := json.Marshal(job)
		if err != nil {
			return fmt.Errorf("encode a wish of corp %s: %w", job.Corp, err)
		}
		if _, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: lambdatypes.InvocationTypeEvent, Payload: payload}); err != nil {
			return fmt.Errorf("have consent ask for corp %s: %w", job.Corp, err)
		}
		return nil
	}
}
