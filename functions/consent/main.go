// scheduled, called: consent keeps who agreed to being archived, who disagreed and who has not chosen, per member and external contact and per group, over time:
// it asks WeCom within its limits, counts in what messages say, and raises and closes the alarms about groups. It owns what is asked of WeCom about
// consent and what a missing answer means: unknown, and never agreed. It mails nothing and sees no message.
package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
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

// settings is consent's configuration.
type settings struct {
	Control   string `env:"CONTROL_TABLE"`    // the corps, and the alarms about groups
	Messages  string `env:"MESSAGES_TABLE"`   // who talks with whom, and what messages say of consent
	Directory string `env:"DIRECTORY_TABLE"`  // contacts and rooms; answers, standings and changes
	Bucket    string `env:"ARCHIVE_BUCKET"`   // where WeCom's answers are kept
	Reports   string `env:"REPORT_QUEUE_URL"` // where alerts are asked for
	Secrets   string `env:"SECRETS_PREFIX"`   // what the names of the corps' secrets begin with
	WeCom     string `env:"WECOM_URL"`        // WeCom's server

	Proxy     string `env:"EGRESS_PROXY" optional:"true"`      // proxy by which WeCom is reached; empty: directly
	ProxyAuth bool   `env:"EGRESS_PROXY_AUTH" optional:"true"` // whether it wants the credentials in the secret egress-proxy
}

func main() {
	log := telemetry.NewLogger(os.Stdout, "consent")
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
	k := &keeper{
		ledger:  ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control, Messages: s.Messages, Directory: s.Directory}),
		store:   objstore.New(s3.NewFromConfig(aws), s.Bucket),
		vault:   vault,
		server:  wecom.New(s.WeCom, way.Client(10*time.Second), clock.Real),
		reports: queue.New[queue.ReportJob](sqs.NewFromConfig(aws), s.Reports),
		log:     log, now: clock.Now, real: clock.Real, budget: 7 * time.Minute, pause: time.Second,
		// Half of what WeCom allows: the corp's other programs have their share.
		pairPace: 2 * time.Minute / wecom.MostSingleAgreesPerMinute, roomPace: 2 * time.Minute / wecom.MostRoomAgreesPerMinute,
	}
	lambdas.Run(k.function())
}
