// queue, called: tell sends one planned message in WeCom to one user, by the company's own app, and says how WeCom takes that app's secret. It owns what a
// lost answer comes to; it does not know what the message says, nor who is to be told.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/egress"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/telemetry"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// settings is tell's configuration.
type settings struct {
	Control string `env:"CONTROL_TABLE"`  // the corps; messages in WeCom and their states
	Tells   string `env:"TELL_QUEUE_URL"` // its own queue
	Secrets string `env:"SECRETS_PREFIX"` // what the names of the corps' secrets begin with
	WeCom   string `env:"WECOM_URL"`      // WeCom's server

	Proxy     string `env:"EGRESS_PROXY" optional:"true"`      // proxy by which WeCom is reached; empty: directly
	ProxyAuth bool   `env:"EGRESS_PROXY_AUTH" optional:"true"` // whether it wants the credentials in the secret egress-proxy
}

func main() {
	log := telemetry.NewLogger(os.Stdout, "tell")
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
	metrics := telemetry.NewMetrics(os.Stdout, lambdas.Stack(), "tell")
	t := &teller{
		ledger: ledger.New(dynamodb.NewFromConfig(aws), ledger.Tables{Control: s.Control}),
		vault:  vault, server: wecom.New(s.WeCom, way.Client(answerTime), clock.Real),
		log: log, count: metrics.Add, now: clock.Now, real: clock.Real, owner: newOwner,
	}
	lambdas.Run(lambdas.Function{
		Log: log, Pause: queue.NewPauser(sqs.NewFromConfig(aws), s.Tells).Pause, Call: t.call,
		Job: func(ctx context.Context, body string) error {
			job, err := queue.Decode[queue.TellJob](body)
			if err != nil {
				return err
			}
			return errors.Join(t.tell(ctx, job), metrics.Flush(clock.Now()))
		},
	})
}

// newOwner names one attempt at a message.
func newOwner() (string, error) {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("name an attempt: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
