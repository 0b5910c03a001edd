package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	routing "github.com/wecomvault/wecomvault/shared/receivers"
)

// How long something may go on before doctor asks for somebody. watch's alarms come at the same times.
const (
	standstill = 15 * time.Minute
	unopened   = time.Hour
	atRisk     = 48 * time.Hour
)

// answeredSecret is how WeCom answers one secret, as directory tells it.
type answeredSecret struct {
	Kind    string `json:"kind"`
	Held    bool   `json:"held"`
	Code    int    `json:"code"`
	Address string `json:"address"`
	Why     string `json:"why"`
	Seen    int    `json:"seen"`
}

func (d *doctor) company(ctx context.Context, c ledger.Corp) {
	var answer struct {
		Secrets []answeredSecret `json:"secrets"`
		Ahead   *float64         `json:"ahead_seconds"`
	}
	question := map[string]any{"doctor": map[string]any{"corp": c.ID}}
	if err := d.ask(ctx, d.where.DirectoryFunction, "DIRECTORY_FUNCTION", question, &answer); err != nil {
		d.cannot("WeCom", c.ID, err, "read the log of directory: a function that can't start, or can't read the secrets, says why there")
	}
	for _, s := range answer.Secrets {
		d.secret(c.ID, s)
	}
	if answer.Ahead != nil {
		ahead := time.Duration(*answer.Ahead * float64(time.Second))
		if ahead.Abs() > apart {
			d.compare("clock of the functions", "WeCom's", ahead, "AWS keeps the functions' clock, so look for a proxy that answers in WeCom's place")
		} else {
			d.well("clock of WeCom", c.ID, "as the functions have it")
		}
	}
	d.app(ctx, c)
	for _, test := range []func(context.Context, ledger.Corp) error{d.fetching, d.keysHeld, d.left, d.waiting, d.mails} {
		if err := test(ctx, c); err != nil {
			d.cannot("ledger", c.ID, err, "see that your rights reach the stack's tables")
		}
	}
}

// named is what people call a secret, and the flag that sets it.
var named = map[string][2]string{
	"archive":  {"message archiving", "-secret-file"},
	"contacts": {"contacts", "-contacts-secret-file"},
	"customer": {"customer contacts", "-customer-secret-file"},
}

func (d *doctor) secret(corp archive.CorpID, s answeredSecret) {
	words, check := named[s.Kind], "secret: "+s.Kind
	set := fmt.Sprintf("vaultctl corps set -corp %s %s FILE", corp, words[1])
	switch {
	case !s.Held && s.Kind == "archive":
		d.say(check, corp, toDo, "none is held, so nothing can be fetched", "look up the secret of "+words[0]+" in WeCom's console, then: "+set)
	case !s.Held:
		d.well(check, corp, "none is held: what only it shows (names, mobiles, customers) stays unknown")
	case s.Code == 0 && s.Why == "":
		d.well(check, corp, "WeCom takes it")
		if s.Kind != "archive" {
			return
		}
		if s.Seen == 0 {
			d.say("permitted users", corp, toDo, "nobody is designated for archiving, so WeCom hands out nothing", "designate the users in WeCom's console, under message archiving (会话内容存档)")
			return
		}
		d.well("permitted users", corp, plural(s.Seen, "user")+" designated")
	default:
		d.refused(corp, check, set, s)
	}
}

// refused says what WeCom's refusal most often means. Refusals overlap, so that each names the code.
func (d *doctor) refused(corp archive.CorpID, check, set string, s answeredSecret) {
	found := fmt.Sprintf("WeCom answered errcode %d", s.Code)
	switch s.Code {
	case 60020, 301042:
		address := s.Address
		if address == "" {
			address = "the stack's output EgressAddresses"
		}
		d.say("trusted address", corp, toDo, found+fmt.Sprintf(" to the secret %s: it does not trust the address %s; a wrong secret can answer alike", s.Kind, address),
			fmt.Sprintf("add %s to the trusted IPs (可信IP) of this secret's app in WeCom's console; it counts after a minute", address))
	case 301052:
		d.say("service", corp, toDo, found+": message archiving has expired", "renew it in WeCom's console, under message archiving (会话内容存档)")
	case 301053:
		d.say("service", corp, toDo, found+": message archiving was not opened", "open it in WeCom's console (会话内容存档), and give the users their seats")
	case 40001, 40013, 40014, 41001, 42001:
		d.say(check, corp, toDo, found+": the secret or the corp id is wrong; an address that is not trusted can answer alike",
			"compare the corp id, copy the secret anew from WeCom's console, then: "+set+". Don't try several: WeCom bars an address for that")
	case 48001, 48002, 48009, 84074, 60011:
		d.say(check, corp, toDo, found+": the secret is valid, and not for this", "it is another app's secret, or its right was withdrawn: "+set)
	case 50003:
		d.say(check, corp, toDo, found+": the app of this secret is disabled", "enable it in WeCom's console")
	case 45009, 45033:
		d.say(check, corp, toDo, found+": we ask too often", "stop other programs that use this secret, wait a minute, and run doctor again")
	case 0:
		d.say(check, corp, toDo, "WeCom did not answer: "+s.Why, "see that the way out is there (NAT gateway, proxy, EgressProxy) and nobody inspects TLS on it; then run doctor again")
	default:
		d.say(check, corp, toDo, found, "look the code up in WeCom's list of errcodes; run doctor again in a minute")
	}
}

// fetching is what fetch, which alone pulls, has seen of late.
func (d *doctor) fetching(ctx context.Context, c ledger.Corp) error {
	cursor, err := d.ledger.Cursor(ctx, c.ID)
	if err != nil {
		return err
	}
	now := clock.Now()
	const check = "fetching"
	switch t := cursor.Trouble; {
	case t != nil:
		d.say(check, c.ID, toDo, "in trouble since "+ago(now, t.Since), t.Sentence)
	case cursor.LastWhole.IsZero():
		d.say(check, c.ID, toDo, "WeCom has never given a whole answer", "within a minute of vaultctl corps add fetch begins; later, read the log of fetch")
	case now.Sub(cursor.LastWhole) > standstill:
		d.say(check, c.ID, toDo, "the last whole answer came "+ago(now, cursor.LastWhole), "read the log of fetch: does it run each minute? (docs/runbook.md, fetch-stands-still)")
	case cursor.CaughtUp.IsZero():
		d.say(check, c.ID, toDo, "never caught up so far: what WeCom has already dropped can't be told", "wait until the backlog is fetched; vaultctl status shows the cursor grow")
	default:
		d.well(check, c.ID, "caught up "+ago(now, cursor.CaughtUp))
	}
	return nil
}

// keysHeld holds the key versions that messages came under against those held.
func (d *doctor) keysHeld(ctx context.Context, c ledger.Corp) error {
	held, err := d.ledger.Keys(ctx, c.ID)
	if err != nil {
		return err
	}
	groups, err := d.ledger.AsideGroups(ctx, c.ID)
	if err != nil {
		return err
	}
	var versions []string
	proven := map[archive.KeyVersion]bool{}
	for _, k := range held {
		versions = append(versions, k.Version.String())
		proven[k.Version] = k.Proven
	}
	const check = "keys"
	ill := false
	for _, g := range groups {
		ver := g.First.KeyVersion
		add := fmt.Sprintf("vaultctl keys add -corp %s -ver %s -file KEY.pem", c.ID, ver)
		switch {
		case g.First.Reason == ledger.ReasonNoKey:
			d.say(check, c.ID, toDo, fmt.Sprintf("%s came under key version %s; held: %s", plural(g.Count, "message"), ver, listed(versions)), add)
		case g.First.Reason == ledger.ReasonKeyDoesNotFit && !proven[ver]: // a key that opens others is right: such an item is damaged
			d.say(check, c.ID, toDo, fmt.Sprintf("the key held as version %s does not open %s", ver, plural(g.Count, "message")), add)
		default:
			continue
		}
		ill = true
	}
	switch {
	case ill:
	case len(held) == 0:
		d.say(check, c.ID, toDo, "none is held, so nothing can be opened", fmt.Sprintf("vaultctl keys new -corp %s, and paste the public key into WeCom's console", c.ID))
	default:
		d.well(check, c.ID, "held: "+listed(versions))
	}
	return nil
}

// left counts the hours until something leaves WeCom's windows.
func (d *doctor) left(ctx context.Context, c ledger.Corp) error {
	now := clock.Now()
	clocks, err := d.ledger.Clocks(ctx, c.ID, d.windows, now)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		check  string
		clock  ledger.Clock
		window time.Duration
		do     string
	}{
		{"hours left for messages", clocks.Messages, d.windows.Messages, "mend what the lines about fetching, secrets and addresses say (docs/runbook.md, messages-at-risk)"},
		{"hours left for attachments", clocks.Media, d.windows.Media, "mend what the lines about keys, the library and waiting work say (docs/runbook.md, attachments-at-risk)"},
	} {
		hours := int(x.clock.Left(now, x.window).Hours())
		switch {
		case x.clock.Idle:
			d.well(x.check, c.ID, "nothing waits")
		case x.clock.Unknown:
			d.say(x.check, c.ID, toDo, "not known: the corp was never caught up before", x.do)
		case x.clock.Left(now, x.window) < atRisk:
			d.say(x.check, c.ID, toDo, fmt.Sprintf("at least %d, if WeCom keeps them %.0f", hours, x.window.Hours()), x.do)
		default:
			d.well(x.check, c.ID, fmt.Sprintf("at least %d, if WeCom keeps them %.0f", hours, x.window.Hours()))
		}
	}
	return nil
}

// waiting is work that is under way, or stuck.
func (d *doctor) waiting(ctx context.Context, c ledger.Corp) error {
	from, err := d.ledger.Watermark(ctx, c.ID)
	if err != nil {
		return err
	}
	now := clock.Now()
	pending, oldest, failure := 0, time.Time{}, ""
	err = d.ledger.Batches(ctx, c.ID, from, func(b ledger.BatchRow) bool {
		if b.State != ledger.Pending {
			return true
		}
		pending++
		if oldest.IsZero() || b.Pulled.Before(oldest) {
			oldest, failure = b.Pulled, b.Failure
		}
		return true
	})
	if err != nil {
		return err
	}
	attachments := 0
	if err := d.ledger.AllWaiting(ctx, c.ID, func(ledger.Waiting) bool { attachments++; return true }); err != nil {
		return err
	}
	groups, err := d.ledger.AsideGroups(ctx, c.ID)
	if err != nil {
		return err
	}
	aside := 0
	for _, g := range groups {
		aside += g.Count
	}
	found := fmt.Sprintf("%s and %s are under way", plural(pending, "batch"), plural(attachments, "attachment"))
	if aside > 0 { // their alert says what to do, and some stay so for ever
		found += fmt.Sprintf("; %s set aside (vaultctl set-aside -corp %s)", plural(aside, "message"), c.ID)
	}
	if pending > 0 && now.Sub(oldest) > unopened {
		if failure != "" {
			found += ", the oldest fails for " + failure
		}
		d.say("waiting work", c.ID, toDo, fmt.Sprintf("%s, the oldest since %s", found, ago(now, oldest)), "read the log of process (docs/runbook.md, batches-not-opened)")
		return nil
	}
	d.well("waiting work", c.ID, found)
	return nil
}

// mails is whether what is to be told reaches somebody.
func (d *doctor) mails(ctx context.Context, c ledger.Corp) error {
	const check = "receivers"
	if len(c.ReportTo) == 0 {
		d.say(check, c.ID, toDo, "nobody: reports and alerts go nowhere", fmt.Sprintf("vaultctl corps set -corp %s -report-to ADDRESS,…", c.ID))
		return nil
	}
	dead, err := d.ledger.Suppressions(ctx, c.ID)
	if err != nil {
		return err
	}
	company, _, err := d.ledger.Company(ctx, c)
	if err != nil {
		return err
	}
	all, ill := routing.List(company), false
	for _, s := range dead {
		// The same address may be a receiver's twice; whose report does not go there any more concerns nobody.
		if i := slices.IndexFunc(all, func(r routing.Receiver) bool { return r.Address == s.Address }); i >= 0 {
			d.say(check, c.ID, toDo, fmt.Sprintf("%s gets no mails any more: %s %s", mask(s.Address), s.Reason, s.Detail),
				fmt.Sprintf("give another address: %s; or mend the mailbox, then: vaultctl receivers lift -corp %s -address ADDRESS", readdress(c.ID, all[i]), c.ID))
			ill = true
		}
	}
	if !ill {
		d.well(check, c.ID, plural(len(c.ReportTo), "account admin")+", "+plural(len(all)-len(c.ReportTo), "other receiver"))
	}
	return nil
}

// readdress is the command that gives a receiver another address.
func readdress(corp archive.CorpID, r routing.Receiver) string {
	switch r.Source {
	case routing.Entered, routing.Head:
		return fmt.Sprintf("vaultctl receivers change -corp %s -id %s -address ADDRESS", corp, r.ID)
	case routing.Operations:
		return fmt.Sprintf("vaultctl receivers settings -corp %s -operations ADDRESS", corp)
	case routing.Copy:
		return fmt.Sprintf("vaultctl receivers settings -corp %s -control ADDRESS (or -alert)", corp)
	default:
		return fmt.Sprintf("vaultctl corps set -corp %s -report-to ADDRESS,…", corp)
	}
}
