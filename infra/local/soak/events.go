package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// The week's events by their hour, all at multiples of six so that a coarse week has them too.
const (
	away, back       = 24, 150 // the third company can't be reached for longer than the window
	storeAway        = 90      // nothing can be written to S3
	storeBack        = 96
	downB, upB       = 48, 66 // WeCom answers the second company with errors
	tableAway        = 108    // no message row can be written
	tableBack        = 114
	muteA, audibleA  = 102, 126 // the first company's attachments can't be downloaded
	doubledFrom      = 54       // every third job is delivered twice
	doubledTo        = 132
	reversedFrom     = 102 // jobs come in reverse order
	reversedTo       = 120
	keyIsLate        = 6                // hours for which a new key is used before it is held
	afterBack        = 10 * time.Minute // so that what the window took is told from what it left by minutes, not by seconds
	getChatData      = "message/getchatdata"
	getChatMediaData = "message/getchatmediadata"
)

// keysAt are the hours at which the first company begins to use a new key.
var keysAt = []int{30, 78, 126}

// before is what happens before the clock leaps: what goes away is gone from the moment that was last looked at.
func (w *week) before(ctx context.Context, t time.Time, hour int) error {
	a, b, c := w.corps[0], w.corps[1], w.corps[2]
	if !w.at(t, hour) {
		return nil
	}
	switch hour {
	case away:
		return w.cutOff(ctx, c)
	case downB:
		return w.cutOff(ctx, b)
	case tableAway:
		w.say(t, "table Messages takes no rows")
		w.table.Store(true)
	case muteA:
		f, err := w.sim.AddFault(ctx, wecomsim.Fault{Corp: string(a.id), API: getChatMediaData, Kind: wecomsim.Fault500})
		a.mute = f.ID
		w.say(t, "attachments of %s can't be downloaded", a.id)
		return err
	}
	return nil
}

// midway is what happens once everybody was caught up, before anybody speaks.
func (w *week) midway(t time.Time, hour int) {
	if w.at(t, hour) && hour == storeAway {
		w.say(t, "S3 takes no objects")
		w.store.Store(true)
	}
}

// at says whether an hour's events are due: once, however fine the leaps are.
func (w *week) at(t time.Time, hour int) bool {
	return t.Equal(w.start.Add(time.Duration(hour) * time.Hour))
}

func (w *week) say(t time.Time, format string, args ...any) {
	fmt.Fprintf(w.out, "%s  %s\n", t.Format("Mon 15:04"), fmt.Sprintf(format, args...))
}

func (w *week) cutOff(ctx context.Context, c *corp) error {
	f, err := w.sim.AddFault(ctx, wecomsim.Fault{Corp: string(c.id), API: getChatData, Kind: wecomsim.Fault500})
	c.down = f.ID
	// A poll that is under way may still be answered.
	c.well.to = w.Now()
	w.say(w.Now(), "%s can't be reached", c.id)
	return err
}

// after is what happens once the clock has leapt.
func (w *week) after(ctx context.Context, t time.Time, hour int) error {
	if !w.at(t, hour) {
		return nil
	}
	a, b, c := w.corps[0], w.corps[1], w.corps[2]
	if err := w.rotate(ctx, t, a, hour); err != nil {
		return err
	}
	switch hour {
	case back:
		if err := w.setClock(ctx, t.Add(afterBack)); err != nil {
			return err
		}
		// What was said since it was away, and has left the window by now.
		c.lost, c.filesLost = span{c.unheard, w.Now().Add(-messageDays)}, span{c.unheard, w.Now().Add(-mediaDays)}
		return w.reach(ctx, c)
	case upB:
		return w.reach(ctx, b)
	case storeBack:
		w.say(t, "S3 takes objects again")
		w.store.Store(false)
		return w.Queues.ReleaseInFlight()
	case tableBack:
		w.say(t, "table Messages takes rows again")
		w.table.Store(false)
		return w.Queues.ReleaseInFlight()
	case audibleA:
		w.say(t, "attachments of %s can be downloaded again", a.id)
		id := a.mute
		a.mute = 0
		return errors.Join(w.lift(ctx, id), w.Queues.ReleaseInFlight())
	case doubledFrom:
		w.say(t, "every third job is delivered twice")
		w.Queues.SetDuplicates(3)
	case doubledTo:
		w.Queues.SetDuplicates(0)
	case reversedFrom:
		w.say(t, "jobs come in reverse order")
		w.Queues.SetOrder(sqs.Reverse)
	case reversedTo:
		w.Queues.SetOrder(sqs.Forward)
	}
	return nil
}

// reach lifts the fault that kept a company away.
func (w *week) reach(ctx context.Context, c *corp) error {
	id := c.down
	c.down = 0
	w.say(w.Now(), "%s can be reached again", c.id)
	return w.lift(ctx, id)
}

func (w *week) lift(ctx context.Context, id int) error {
	return w.sim.Call(ctx, http.MethodDelete, "/sim/fault", wecomsim.Lift{ID: id}, nil)
}

// rotate lets a company use a new key, and the operator hold it some hours later: what comes between is set aside and comes in by itself.
func (w *week) rotate(ctx context.Context, t time.Time, c *corp, hour int) error {
	switch {
	case slices.Contains(keysAt, hour):
		k, err := w.sim.AddKey(ctx, wecomsim.NewKeyRequest{Corp: string(c.id)})
		c.key = &k
		w.say(t, "%s uses key version %d, which nobody has given to the archive yet", c.id, k.Version)
		return err
	case slices.Contains(keysAt, hour-keyIsLate) && c.key != nil:
		k := *c.key
		c.key = nil
		w.say(t, "the archive is given key version %d", k.Version)
		return c.who.HoldKey(ctx, w.House, k)
	}
	return nil
}
