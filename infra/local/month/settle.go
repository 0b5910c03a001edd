package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/local/house"
)

const (
	patience = 6 * time.Minute        // how long something may take that comes by itself
	hurry    = 700 * time.Millisecond // how long a hidden job rests: in an account its pauses grow to hours
	glance   = 40 * time.Millisecond
)

// caughtUp waits until WeCom has said of each corp, after now, that there is no more, or has refused it again.
func (w *world) caughtUp(ctx context.Context) error {
	now, real := w.Now(), clock.Real()
	for _, corp := range w.corps {
		said := ""
		ok, err := until(ctx, func() (bool, error) {
			c, err := w.ledger.Cursor(ctx, corp)
			if err != nil {
				return false, err
			}
			said = fmt.Sprintf("seq %d, trouble %+v", c.Seq, c.Trouble)
			if w.unheard[corp] {
				return c.Trouble != nil && c.Trouble.Tried.After(real), nil
			}
			return c.Trouble == nil && c.Empties > 0 && c.CaughtUp.After(now), nil
		})
		if err == nil && !ok {
			err = fmt.Errorf("corp %s is not caught up: %s", corp, said)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func until(ctx context.Context, holds func() (bool, error)) (bool, error) {
	return house.Until(ctx, patience, holds)
}

// settle waits until no job is left, no batch is pending and every mail and message in WeCom is sent or refused.
func (w *world) settle(ctx context.Context) error {
	began, released := clock.Real(), clock.Real()
	for {
		missing, err := w.missing(ctx)
		if err != nil || missing == "" {
			return err
		}
		if _, dead := w.Queued(); dead > 0 {
			return fmt.Errorf("%d jobs were given up", dead)
		}
		if clock.Real().Sub(began) > patience {
			return fmt.Errorf("nothing moves: %s", missing)
		}
		if clock.Real().Sub(released) > hurry && w.workersIdle() {
			released = clock.Real()
			if err := w.Queues.ReleaseInFlight(); err != nil {
				return err
			}
			// What SES has told of a mail is counted in before its claim ends, as it would be by then.
			if !w.toldOfMails() {
				rest(ctx, glance)
				continue
			}
			if err := w.EndClaims(ctx); err != nil {
				return err
			}
			if jobs, _ := w.Queued(); jobs == 0 {
				// Whoever planned what is missing died before he was done: the schedule, which comes every ten minutes, goes on with it.
				if err := w.invoke(ctx, "ReportFunction"); err != nil {
					return err
				}
			}
		}
		rest(ctx, glance)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// workersIdle says that nobody is at work who holds a job or a claim.
func (w *world) workersIdle() bool {
	for _, f := range w.Template.Functions {
		if f.LogicalID != "FetchFunction" && f.LogicalID != "FeedbackFunction" && w.Host.Busy(f.LogicalID) > 0 {
			return false
		}
	}
	return true
}

// missing says what is not done yet, "" if nothing.
func (w *world) missing(ctx context.Context) (string, error) {
	if jobs, _ := w.Queued(); jobs > 0 {
		return fmt.Sprintf("%d jobs wait", jobs), nil
	}
	if !w.workersIdle() {
		return "somebody is at work", nil
	}
	for _, corp := range w.corps {
		pending := 0
		err := w.ledger.BatchesBack(ctx, corp, func(b ledger.BatchRow) bool {
			if b.State == ledger.Pending {
				pending++
			}
			return w.Now().Sub(b.Pulled) < 48*time.Hour
		})
		if err != nil || pending > 0 {
			return fmt.Sprintf("%d batches of corp %s are pending", pending, corp), err
		}
		unsent, oldest := "", w.Now().Add(-48*time.Hour).Format(time.DateOnly)
		err = w.ledger.Mails(ctx, corp, func(m ledger.MailRow) bool {
			if !m.Settled() {
				unsent = fmt.Sprintf("mail %s of corp %s is %s", m.Report, corp, m.State)
			}
			return unsent == "" && m.Day >= oldest
		})
		if err != nil || unsent != "" {
			return unsent, err
		}
		err = w.ledger.Tellings(ctx, corp, func(t ledger.Telling) bool {
			if !t.Settled() {
				unsent = fmt.Sprintf("message in WeCom %s of corp %s is %s", t.Key(), corp, t.State)
			}
			return unsent == "" && t.Day >= oldest
		})
		if err != nil || unsent != "" {
			return unsent, err
		}
	}
	return "", nil
}

// begun names a report that was begun and is not done, "" if there is none.
func (w *world) begun(ctx context.Context) (string, error) {
	for _, corp := range w.corps {
		open, oldest := "", w.Now().Add(-96*time.Hour).Format(time.DateOnly)
		err := w.ledger.Runs(ctx, corp, func(r ledger.Run) bool {
			if r.State != ledger.RunDone {
				open = fmt.Sprintf("report %s of corp %s", r.Key(), corp)
			}
			return open == "" && r.Day >= oldest
		})
		if err != nil || open != "" {
			return open, err
		}
	}
	return "", nil
}

// toldOfMails says whether all that SES told of mails has been taken up.
func (w *world) toldOfMails() bool {
	if w.Host.Busy("FeedbackFunction") > 0 {
		return false
	}
	for name, d := range w.Queues.Depths() {
		if strings.Contains(strings.ToLower(name), "feedback") && d != (sqs.Depth{}) {
			return false
		}
	}
	return true
}
