package main

import (
	"context"
	"net/http"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

// clockAnswer is when something is lost at WeCom at the earliest.
type clockAnswer struct {
	State     string `json:"state"` // "idle": nothing waits; "running"; "unknown", which is never "enough time"
	Ends      string `json:"ends,omitempty"`
	HoursLeft *int   `json:"hours_left"` // null where it is unknown
}

// alarmAnswer is an alarm that is open.
type alarmAnswer struct {
	Cause    string `json:"cause"`
	Since    string `json:"since,omitempty"`
	Seen     string `json:"seen,omitempty"`
	Affected *int   `json:"affected"`           // messages or attachments; null where the cause has no count
	Deadline string `json:"deadline,omitempty"` // when something is lost at the earliest
	Unknown  bool   `json:"deadline_unknown"`   // that can't be known
	Code     int    `json:"code,omitempty"`     // WeCom's errcode or the library's code
}

func (a *api) clockAnswer(c ledger.Clock) clockAnswer {
	switch {
	case c.Idle:
		return clockAnswer{State: "idle"}
	case c.Unknown:
		return clockAnswer{State: "unknown"}
	}
	left := max(int(c.Ends.Sub(a.now()).Hours()), 0)
	return clockAnswer{State: "running", Ends: rfc3339(c.Ends), HoursLeft: &left}
}

// getStatus says how the archive of a corp is.
func (a *api) getStatus(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	clocks, err := a.ledger.Clocks(ctx, c.corp.ID, a.windows, a.now())
	if err != nil {
		return answer{}, err
	}
	alarms, err := a.ledger.Alarms(ctx, c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	cursor, err := a.ledger.Cursor(ctx, c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	read, err := a.ledger.DirectoryRead(ctx, c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	suppressed, err := a.ledger.Suppressions(ctx, c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	open := []alarmAnswer{}
	for _, x := range alarms {
		if !x.Open {
			continue
		}
		out := alarmAnswer{Cause: x.Cause, Since: rfc3339(x.Since), Seen: rfc3339(x.Seen), Deadline: rfc3339(x.Deadline), Unknown: x.Unknown, Code: x.Code}
		if x.Affected > 0 {
			out.Affected = &x.Affected
		}
		open = append(open, out)
	}
	return answer{status: http.StatusOK, body: struct {
		Messages clockAnswer   `json:"messages"`
		Media    clockAnswer   `json:"media"`
		Alarms   []alarmAnswer `json:"alarms"`
		At       string        `json:"at"`

		CaughtUp   string `json:"caught_up,omitempty"`      // when WeCom last had nothing more for us; left out: never
		Directory  string `json:"directory_read,omitempty"` // when its directory was last read; left out: never
		Suppressed int    `json:"suppressed"`               // addresses to which no mail goes any more
	}{a.clockAnswer(clocks.Messages), a.clockAnswer(clocks.Media), open, rfc3339(a.now()), rfc3339(cursor.CaughtUp), rfc3339(read), len(suppressed)}}, nil
}
