// queue: process opens each item of a batch, maps its participants, checks it, and stores segment, messages and findings. It sets aside what
// can't be opened, per item and at once; it never moves a cursor and never downloads.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/financesdk/sdkhost"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/opening"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// settings is process's configuration.
type settings struct {
	Control  string `env:"CONTROL_TABLE"`            // batches and waiting attachments
	Messages string `env:"MESSAGES_TABLE"`           // derived rows and set-aside items
	Bucket   string `env:"ARCHIVE_BUCKET"`           // batches and segments
	Batches  string `env:"BATCH_QUEUE_URL"`          // its own queue
	Media    string `env:"MEDIA_QUEUE_URL"`          // where attachments are announced
	Secrets  string `env:"SECRETS_PREFIX"`           // what the names of the corps' keys begin with
	Host     string `env:"SDK_HOST" optional:"true"` // program that holds the library; empty: this one
	Library  string `env:"SDK_LIB" optional:"true"`  // path of Tencent's library
}

// collect is how much garbage may come together before it is collected, in hundredths of what is in use. Go's default is 100: beside the opening of random keys it is
// cheap, and under make bench the peak for batches of 1,000 was 24 MB above an empty handler's with it, 30 MB without.
const collect = 50

func main() {
	sdkhost.RunIfChild()
	log := telemetry.NewLogger(os.Stdout, "process")
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
	libraries := financesdk.NewPool(log, func(corp archive.CorpID) financesdk.Config {
		return financesdk.Config{Host: financesdk.HostOf(s.Host), Lib: s.Library, Corp: corp, Log: log} // no token: it only decrypts
	})
	jobs := sqs.NewFromConfig(aws)
	p := &processor{
		ledger: ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control, Messages: s.Messages}),
		store:  objstore.New(s3.NewFromConfig(aws), s.Bucket),
		media:  queue.New[queue.MediaJob](jobs, s.Media),
		opener: opening.New(opening.NewRing(secrets.New(secretsmanager.NewFromConfig(aws), s.Secrets)), libraries.Decrypt),
		proven: &proofs{}, people: &ledger.People{}, log: log, metrics: os.Stdout, stack: lambdas.Stack(), run: newRun,
	}
	// With the first event: before it, a start that collects is a slower start.
	frugal := sync.OnceFunc(func() { debug.SetGCPercent(collect) })
	lambdas.Run(lambdas.Function{
		Log: log, Pause: queue.NewPauser(jobs, s.Batches).Pause,
		Job: func(ctx context.Context, body string) error {
			frugal()
			libraries.Wake(ctx)
			job, err := queue.Decode[queue.BatchJob](body)
			if err != nil {
				return err
			}
			return p.process(ctx, job)
		},
	})
}

func newRun() (string, error) {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}
