package main

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// state is one corp's state as status prints it.
type state struct {
	Corp      archive.CorpID  `json:"corp"`
	Name      string          `json:"name"`
	Cursor    archive.Seq     `json:"cursor"`
	CaughtUp  string          `json:"caught_up"`  // "" never
	LastWhole string          `json:"last_whole"` // "" never
	Empties   int             `json:"empties"`    // empty answers in a row
	Trouble   *ledger.Trouble `json:"trouble"`
	Batches   int             `json:"batches"`
	Pending   int             `json:"pending_batches"`
	Items     int             `json:"items"`
	Archived  int             `json:"archived"`
	SetAside  map[string]int  `json:"set_aside"` // by reason
	Waiting   int             `json:"attachments_waiting"`
	Media     map[string]int  `json:"attachments"` // by outcome
	Mails     map[string]int  `json:"mails"`       // by state
	Tellings  map[string]int  `json:"tellings"`    // messages in WeCom, by state
	Alarms    []string        `json:"alarms"`      // open ones

	MailFates  map[string]int     `json:"mail_fates"`       // of mails that were sent, as far as SES has said
	Doubles    int                `json:"possible_doubles"` // mails, and messages in WeCom, that were, or may have been, sent twice
	Suppressed []suppressedPublic `json:"suppressed"`       // receivers that get no mails any more, masked

	// Hours before something leaves WeCom's window, at least. null if the clock does not run; the word beside it says why.
	HoursMessages *float64 `json:"hours_left_messages"`
	HoursMedia    *float64 `json:"hours_left_media"`
	ClockMessages string   `json:"clock_messages"` // running, nothing waits, or unknown: the corp was never caught up before
	ClockMedia    string   `json:"clock_media"`
}

func status(ctx context.Context, p *program, args []string) error {
	f := flags("status")
	id := f.String("corp", "", "")
	if err := parse(f, args); err != nil {
		return err
	}
	var all []ledger.Corp
	if *id != "" {
		c, err := p.known(ctx, *id)
		if err != nil {
			return err
		}
		all = []ledger.Corp{c}
	} else {
		var err error
		if all, err = p.ledger.Corps(ctx); err != nil {
			return err
		}
	}
	enc := json.NewEncoder(p.out)
	for _, c := range all {
		s, err := p.state(ctx, c)
		if err != nil {
			return err
		}
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) state(ctx context.Context, c ledger.Corp) (state, error) {
	cursor, err := p.ledger.Cursor(ctx, c.ID)
	if err != nil {
		return state{}, err
	}
	s := state{
		Corp: c.ID, Name: c.Name, Cursor: cursor.Seq, CaughtUp: rfc3339(cursor.CaughtUp), LastWhole: rfc3339(cursor.LastWhole), Empties: cursor.Empties,
		Trouble: cursor.Trouble, SetAside: map[string]int{}, Media: map[string]int{}, Mails: map[string]int{}, Tellings: map[string]int{}, Alarms: []string{}, MailFates: map[string]int{}, Suppressed: []suppressedPublic{},
	}
	err = p.ledger.Batches(ctx, c.ID, "", func(b ledger.BatchRow) bool {
		s.Batches++
		s.Items += b.Items
		s.Archived += b.Archived
		if b.State == ledger.Pending {
			s.Pending++
		}
		return true
	})
	if err != nil {
		return state{}, err
	}
	if err := p.ledger.Asides(ctx, c.ID, "", 0, func(a ledger.Aside) bool { s.SetAside[a.Reason]++; return true }); err != nil {
		return state{}, err
	}
	if err := p.ledger.AllWaiting(ctx, c.ID, func(ledger.Waiting) bool { s.Waiting++; return true }); err != nil {
		return state{}, err
	}
	if err := p.ledger.AllMedia(ctx, c.ID, func(m ledger.MediaRow) bool { s.Media[m.State]++; return true }); err != nil {
		return state{}, err
	}
	if err := p.mailState(ctx, c.ID, &s); err != nil {
		return state{}, err
	}
	err = p.ledger.Tellings(ctx, c.ID, func(t ledger.Telling) bool {
		s.Tellings[t.State]++
		s.Doubles += t.Doubles
		return true
	})
	if err != nil {
		return state{}, err
	}
	alarms, err := p.ledger.Alarms(ctx, c.ID)
	if err != nil {
		return state{}, err
	}
	for _, a := range alarms {
		if a.Open {
			s.Alarms = append(s.Alarms, a.Cause)
		}
	}
	now := clock.Now()
	clocks, err := p.ledger.Clocks(ctx, c.ID, p.windows, now)
	if err != nil {
		return state{}, err
	}
	s.HoursMessages, s.ClockMessages = hours(clocks.Messages, now, p.windows.Messages)
	s.HoursMedia, s.ClockMedia = hours(clocks.Media, now, p.windows.Media)
	return s, nil
}

// hours is what a clock has left, to a tenth downwards, and what the clock does. An idle clock has no hours: "72" would read as if something
// were about to be lost.
func hours(c ledger.Clock, now time.Time, window time.Duration) (left *float64, clock string) {
	switch {
	case c.Idle:
		return nil, "nothing waits"
	case c.Unknown:
		return nil, "unknown"
	}
	h := math.Floor(c.Left(now, window).Hours()*10) / 10
	return &h, "running"
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
