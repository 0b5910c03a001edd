// scheduled: fetch pulls each corp's new chat data after its cursor, keeps the batch in S3, enqueues it and moves the cursor. It owns the
// order of these effects; it never opens a message.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/egress"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/financesdk/sdkhost"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/telemetry"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// settings is fetch's configuration.
type settings struct {
	Control string        `env:"CONTROL_TABLE"`                            // cursors, leases and batches
	Bucket  string        `env:"ARCHIVE_BUCKET"`                           // where batches are kept
	Batches string        `env:"BATCH_QUEUE_URL"`                          // where batches are announced
	Secrets string        `env:"SECRETS_PREFIX"`                           // what the names of the corps' secrets begin with
	WeCom   string        `env:"WECOM_URL"`                                // WeCom's server
	Host    string        `env:"SDK_HOST" optional:"true"`                 // program that holds the library; empty: this one
	Library string        `env:"SDK_LIB" optional:"true"`                  // path of Tencent's library
	Poll    time.Duration `env:"POLL_INTERVAL" default:"5s"`               // rest between polls of a corp that is caught up
	Corps   int           `env:"FETCH_CORPS" default:"20"`                 // corps of one invocation at most; the rest go to another one
	Self    string        `env:"AWS_LAMBDA_FUNCTION_NAME" optional:"true"` // set by Lambda

	Memory int `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE" default:"1024"` // MB, set by Lambda

	Proxy     string `env:"EGRESS_PROXY" optional:"true"`      // proxy by which WeCom is reached; empty: directly
	ProxyAuth bool   `env:"EGRESS_PROXY_AUTH" optional:"true"` // whether it wants the credentials in the secret egress-proxy
}

// childMost is how many bytes a corp's child may keep resident before it is replaced. They all live in one invocation's memory: a child has 19 MB
// after a few hundred batches, and 25 MB at most while a batch of 1,000 items passes through.
const childMost = 40 << 20

// ownMost is how many bytes the program itself may take, with a batch of each corp in hand.
const ownMost = 150 << 20

// holds is how many corps can be followed in so many MB, one at least. Lambda counts the children too, and ends the invocation of all corps when
// they are too large.
func holds(memoryMB int) int { return max(1, (memoryMB<<20-ownMost)/childMost) }

// collect is how much garbage may come together before it is collected, in hundredths of what is in use. Go's default is 100: the libraries of many corps share this function's memory, and it has little else to do.
const collect = 50

func main() {
	sdkhost.RunIfChild()
	log := telemetry.NewLogger(os.Stdout, "fetch")
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
	server := wecom.New(s.WeCom, way.Client(10*time.Second), clock.Real)
	libraries := financesdk.NewPool(log, func(corp archive.CorpID) financesdk.Config {
		tokens := server.Tokens(corp, vault.Reader(corp, secrets.Archive))
		return financesdk.Config{Host: financesdk.HostOf(s.Host), Lib: s.Library, Corp: corp, Upstream: s.WeCom, Token: tokens.Token, Route: way.Fit, MaxRSS: childMost, Log: log}
	})
	f := &fetcher{
		ledger:  ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control}),
		store:   objstore.New(s3.NewFromConfig(aws), s.Bucket),
		batches: queue.New[queue.BatchJob](sqs.NewFromConfig(aws), s.Batches),
		library: func(ctx context.Context, corp archive.CorpID) (chatData, error) { return libraries.Of(ctx, corp) },
		log:     log, poll: s.Poll, most: min(max(s.Corps, 1), holds(s.Memory)), dead: deadHolder, metrics: os.Stdout, stack: lambdas.Stack(),
		again: inAnotherInvocation(lambda.NewFromConfig(aws), s.Self),
	}
	// With the first event: before it, a start that collects is a slower start.
	frugal := sync.OnceFunc(func() { debug.SetGCPercent(collect) })
	lambdas.Run(lambdas.Function{
		Log: log,
		Call: func(ctx context.Context, input []byte) (any, error) {
			var e event
			if err := json.Unmarshal(input, &e); err != nil {
				return nil, err
			}
			if e.Library {
				return tryLibrary(ctx, financesdk.Config{Host: financesdk.HostOf(s.Host), Lib: s.Library, Log: log})
			}
			frugal()
			libraries.Wake(ctx)
			return nil, f.run(ctx, e.Corps)
		},
	})
}

// event is what fetch reads of its trigger's event: the schedule's names no corps, and then all are meant.
type event struct {
	Corps []archive.CorpID `json:"corps"`

	// Library asks whether Tencent's library can be loaded, and for nothing else.
	Library bool `json:"library"`
}

// loaded is whether the library can be loaded.
type loaded struct {
	Loaded   bool   `json:"loaded"`
	Library  string `json:"library"`  // its file
	Host     string `json:"host"`     // the program that stands in for it, "" if it is the library itself
	Sentence string `json:"sentence"` // why not, and what to do
}

// tryLibrary loads the library in a child of its own, without a way to the network, and lets it go.
func tryLibrary(ctx context.Context, c financesdk.Config) (loaded, error) {
	c.Corp = "doctor" // the library wants some name, and goes nowhere with it
	found := loaded{Library: c.Lib}
	if len(c.Host) > 0 {
		found.Host = filepath.Base(c.Host[0])
	}
	sdk, err := financesdk.Start(ctx, c)
	if err != nil {
		found.Sentence = financesdk.Explain(err).Sentence
		return found, nil
	}
	found.Loaded = true
	return found, sdk.Close()
}

// inAnotherInvocation returns a function that hands corps to an invocation of their own, which is not waited for. One that is lost is made
// good by the next schedule; one too many asks for leases and is handed them.
func inAnotherInvocation(client *lambda.Client, function string) func(context.Context, []archive.CorpID) error {
	return func(ctx context.Context, corps []archive.CorpID) error {
		payload, err := json.Marshal(event{Corps: corps})
		if err != nil {
			return fmt.Errorf("encode an event of %d corps: %w", len(corps), err)
		}
		if _, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: lambdatypes.InvocationTypeEvent, Payload: payload}); err != nil {
			return fmt.Errorf("invoke %s: %w", function, err)
		}
		return nil
	}
}
