// queue: media brings one attachment, named by its sdkfileid, chunk by chunk into S3 and checks it. It owns what becomes of an attachment; it
// never calls one lost that WeCom has not called lost.
package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
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

// settings is media's configuration.
type settings struct {
	Control string `env:"CONTROL_TABLE"`            // waiting attachments and outcomes
	Bucket  string `env:"ARCHIVE_BUCKET"`           // where attachments are kept
	Media   string `env:"MEDIA_QUEUE_URL"`          // its own queue
	Secrets string `env:"SECRETS_PREFIX"`           // what the names of the corps' secrets begin with
	WeCom   string `env:"WECOM_URL"`                // WeCom's server
	Host    string `env:"SDK_HOST" optional:"true"` // program that holds the library; empty: this one
	Library string `env:"SDK_LIB" optional:"true"`  // path of Tencent's library

	Proxy     string `env:"EGRESS_PROXY" optional:"true"`      // proxy by which WeCom is reached; empty: directly
	ProxyAuth bool   `env:"EGRESS_PROXY_AUTH" optional:"true"` // whether it wants the credentials in the secret egress-proxy
}

// Memory is to stay the same however large a file is and however busy the machine. What is in use is one part of a file, 12 MB with all else;
// garbage is collected when it is half of that again, and at the latest when all together have the given bytes.
const (
	collect = 50 // hundredths of what is in use
	most    = 26 << 20
)

func main() {
	sdkhost.RunIfChild()
	log := telemetry.NewLogger(os.Stdout, "media")
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
		return financesdk.Config{Host: financesdk.HostOf(s.Host), Lib: s.Library, Corp: corp, Upstream: s.WeCom, Token: tokens.Token, Route: way.Fit, Log: log}
	})
	f := &fetcher{
		ledger:  ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control}),
		store:   objstore.New(s3.NewFromConfig(aws), s.Bucket),
		library: func(ctx context.Context, corp archive.CorpID) (downloader, error) { return libraries.Of(ctx, corp) },
		log:     log, metrics: os.Stdout, stack: lambdas.Stack(),
	}
	// With the first event: before it, a start that collects is a slower start.
	frugal := sync.OnceFunc(func() {
		debug.SetGCPercent(collect)
		debug.SetMemoryLimit(most)
	})
	lambdas.Run(lambdas.Function{
		Log: log, Pause: queue.NewPauser(sqs.NewFromConfig(aws), s.Media).Pause,
		Job: func(ctx context.Context, body string) error {
			frugal()
			libraries.Wake(ctx)
			job, err := queue.Decode[queue.MediaJob](body)
			if err != nil {
				return err
			}
			return f.fetch(ctx, job)
		},
	})
}
