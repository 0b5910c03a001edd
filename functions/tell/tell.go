package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

const (
	// claimTime outlasts an invocation (60 s in the template), so that whoever claimed a message is certainly gone when the claim runs out.
	claimTime = 90 * time.Second
	// answerTime is how long WeCom may take to answer. It leaves an invocation time to record what came of it.
	answerTime = 15 * time.Second
	// window is how long a message that may have been shown is sent again in the same bytes: WeCom then shows it once. It ends before WeCom's own window does.
	window = wecom.DuplicateWindow - 10*time.Minute
)

// teller sends messages in WeCom.
//
// Order of effects: the message is claimed in the ledger; WeCom is asked once; its answer is recorded. If the answer is lost, or we die before it is recorded,
// the message stays "sending", and the next attempt repeats the same bytes: within its window WeCom shows them once, so that the repetition settles it. Which
// way the rest falls: once that window is over the message is sent anew, for one that comes twice is better than one that never comes. It says so in its last
// line, and is counted in its row and in a metric. What WeCom refuses for the member is final for the day; what it refuses for the app, its secret or our
// address waits, for days at most: then report gives it up, and a job that comes later sends nothing.
type teller struct {
	ledger *ledger.Ledger
	vault  *secrets.Store
	server *wecom.Client
	log    *slog.Logger
	count  func(figure string, n float64)
	now    func() time.Time
	real   func() time.Time
	owner  func() (string, error)

	mu     sync.Mutex
	tokens map[archive.CorpID]*wecom.Tokens // WeCom counts how often it is asked for one
}

// tell sends one message, unless it is told or refused already.
func (p *teller) tell(ctx context.Context, job queue.TellJob) error {
	t, err := p.ledger.TellingOf(ctx, job.Corp, job.Telling)
	if errors.Is(err, ledger.ErrAbsent) {
		// The job is sent after the row is written: a row that is absent was never there.
		return fault.New(fault.Permanent, "no-such-telling", err)
	}
	if err != nil {
		return err
	}
	if t.Settled() {
		return nil
	}
	if t.Day < ledger.OldestSent(p.now()) {
		// A job that was held up for days: report gives the message up, aloud.
		p.log.WarnContext(ctx, "message in WeCom is too old to be sent", slog.String("corp", string(t.Corp)), slog.String("telling", t.Key()))
		return nil
	}
	c, err := p.ledger.Corp(ctx, job.Corp)
	if err != nil {
		return err
	}
	owner, err := p.owner()
	if err != nil {
		return err
	}
	began := p.real()
	claimed, err := p.ledger.ClaimTelling(ctx, t, owner, c.App, began, began.Add(claimTime), window)
	if errors.Is(err, ledger.ErrLost) && claimed.Settled() {
		return nil
	}
	if err != nil {
		return err // being sent by somebody: the job comes back until that is decided
	}
	if claimed.Doubles > t.Doubles {
		p.count("PossibleDoubles", 1)
		p.log.WarnContext(ctx, "message in WeCom may be a double", slog.String("corp", string(t.Corp)), slog.String("telling", t.Key()), slog.Int("doubles", claimed.Doubles))
	}
	return p.settle(ctx, claimed)
}

// settle asks WeCom and records what it said.
func (p *teller) settle(ctx context.Context, t ledger.Telling) error {
	msgid, err := p.send(ctx, t)
	state, reason := ledger.Told, ""
	switch {
	case err == nil:
	case errors.Is(err, wecom.ErrUnlicensed):
		state, reason = ledger.TellRefused, ledger.TellUnlicensed
	case errors.Is(err, wecom.ErrNotInRange):
		state, reason = ledger.TellRefused, ledger.TellNotInRange
	default:
		if reason = waitsFor(err); reason == "" {
			return err // nobody knows: the claim stands until it runs out
		}
		state = ledger.MailPlanned
	}
	// WeCom has answered: what it said is worth recording even if the invocation is about to end.
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var recorded error
	if state == ledger.MailPlanned {
		recorded = p.ledger.WaitTelling(recording, t, reason)
	} else {
		recorded = p.ledger.SettleTelling(recording, t, state, msgid, reason, p.now())
	}
	if recorded != nil {
		return recorded // and not what WeCom said: a refusal that is not recorded is not final yet
	}
	if state == ledger.Told {
		p.count("TellingsSent", 1)
	}
	p.log.InfoContext(ctx, "message in WeCom", slog.String("corp", string(t.Corp)), slog.String("telling", t.Key()), slog.String("state", state), slog.String("msgid", msgid),
		slog.String("reason", reason), slog.Int("attempt", t.Attempt), slog.Int("bytes", len(t.Text)))
	if state == ledger.TellRefused {
		p.count("TellingsRefused", 1)
		return fault.New(fault.Permanent, fault.Reason(reason), err)
	}
	return err
}

// send asks WeCom once.
func (p *teller) send(ctx context.Context, t ledger.Telling) (msgid string, err error) {
	tokens := p.of(t.Corp)
	if _, err := tokens.Token(ctx, false); err != nil {
		return "", fmt.Errorf("%w: %w", errNoToken, err)
	}
	return tokens.SendText(ctx, wecom.AppText{Agent: t.Agent, To: t.To, Text: report.Marked(t.Text, t.Doubles)})
}

// errNoToken marks what was not sent because there was no token for it.
var errNoToken = errors.New("no token")

// waitsFor is what a message waits for that was certainly not sent; "": nobody knows whether it was.
func waitsFor(err error) string {
	code := wecom.CodeOf(err)
	switch {
	case errors.Is(err, secrets.ErrAbsent):
		return ledger.TellNoApp
	case secretRefused(err):
		return ledger.TellSecret
	case !wecom.NotSent(err) && !errors.Is(err, errNoToken):
		return ""
	case wecom.WrongAgent(err), wecom.Denied(err):
		return ledger.TellWrongApp
	case code == 60020:
		return ledger.TellAddress
	case code == 50003:
		return ledger.TellDisabled
	case wecom.RateLimited(err):
		return ledger.TellLimited
	default:
		return ledger.TellRefusedFor
	}
}

// secretRefused says whether err is WeCom's word that secret and corp do not belong together, said where a token was asked for.
func secretRefused(err error) bool {
	var e *wecom.Error
	return errors.As(err, &e) && e.Call == "/cgi-bin/gettoken" && (e.Code == 40001 || e.Code == 40013)
}

// of is the tokens of a corp's app.
func (p *teller) of(corp archive.CorpID) *wecom.Tokens {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tokens == nil {
		p.tokens = map[archive.CorpID]*wecom.Tokens{}
	}
	if p.tokens[corp] == nil {
		p.tokens[corp] = p.server.Tokens(corp, p.vault.Reader(corp, secrets.App))
	}
	return p.tokens[corp]
}
