package main

import (
	"context"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

// A user whom a report concerns and whom no mail reaches is sent a message in WeCom, if the company has an app for that: it is planned with the report's mails,
// once for the user and day, and function tell sends it.

// inWeCom is facts about users some of whom are sent a message in WeCom.
type inWeCom interface {
	InWeCom() []archive.PartyID
}

// tellings makes the messages in WeCom to the users concerned.
func (k *kept[F]) tellings(run ledger.Run, concerned inWeCom, telling func(F, archive.PartyID, report.View) (string, error), plan func(outgoing) error) error {
	language, err := report.ParseLanguage(k.Language)
	if err != nil {
		language = report.Chinese
	}
	for _, id := range concerned.InWeCom() {
		text, err := telling(k.Facts, id, k.view(run, language))
		if err != nil {
			return err
		}
		if err := plan(outgoing{report: run.Report, user: id, text: text}); err != nil {
			return err
		}
	}
	return nil
}

// planTellings records the messages in WeCom of a run. What is planned stays as it is.
func (r *reporter) planTellings(ctx context.Context, tellings []ledger.Telling) error {
	return inParallel(len(tellings), func(i int) error { return r.ledger.PlanTelling(ctx, tellings[i]) })
}

// sendTellings asks tell to send messages in WeCom.
func (r *reporter) sendTellings(ctx context.Context, tellings []ledger.Telling) error {
	return inParallel(len(tellings), func(i int) error {
		t := tellings[i]
		return r.tells.Send(ctx, t.Corp, queue.TellJob{Corp: t.Corp, Telling: t.Key()})
	})
}

// lastTold is for how many days back it is looked whether a user's last message in WeCom arrived.
const lastTold = 7

// reached says how a user is told by a message in WeCom that goes out now, knowing what became of the last one.
func (r *reporter) reached(ctx context.Context, day *today) (func(archive.PartyID) report.Told, error) {
	oldest, today := day.noon.AddDate(0, 0, -lastTold).Format(time.DateOnly), day.noon.Format(time.DateOnly)
	last := map[archive.PartyID]report.Told{}
	err := r.ledger.Tellings(ctx, day.corp.ID, func(t ledger.Telling) bool {
		if _, known := last[t.To]; !known && t.Day < today {
			last[t.To] = report.Reached(t.State, t.Reason)
		}
		return t.Day >= oldest
	})
	return func(id archive.PartyID) report.Told {
		if told, known := last[id]; known {
			return told
		}
		return report.ToldByApp
	}, err
}
