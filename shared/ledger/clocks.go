package ledger

import (
	"context"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Windows is how long WeCom is taken to keep what is not fetched. Both are settings: nobody outside WeCom can measure them.
type Windows struct {
	Messages, Media time.Duration
}

// Clock is when something leaves one of WeCom's windows, at the earliest. The zero Clock runs out at the zero time.
type Clock struct {
	Idle    bool // nothing waits
	Unknown bool // what waits began to age at a time nobody knows: that is an alarm, never "enough time"
	Ends    time.Time
}

// Left is how much time is left at now: 0 when none is left or when that can't be told. An idle clock has the whole window left.
func (c Clock) Left(now time.Time, window time.Duration) time.Duration {
	switch {
	case c.Idle:
		return window
	case c.Unknown:
		return 0
	default:
		return max(c.Ends.Sub(now), 0)
	}
}

// earlier is the one of two clocks that a careful reader goes by.
func (c Clock) earlier(other Clock) Clock {
	switch {
	case c.Idle:
		return other
	case other.Idle || c.Unknown:
		return c
	case other.Unknown || other.Ends.Before(c.Ends):
		return other
	default:
		return c
	}
}

// clockFrom is the clock of something that began to age at began, the zero time if that is not known.
func clockFrom(began time.Time, window time.Duration) Clock {
	if began.IsZero() {
		return Clock{Unknown: true}
	}
	return Clock{Ends: began.Add(window)}
}

// MessageClock counts from when the corp was last known to be caught up.
func (c Cursor) MessageClock(w Windows) Clock { return clockFrom(c.CaughtUp, w.Messages) }

// MediaClock counts from when the attachment began to age.
func (w Waiting) MediaClock(windows Windows) Clock { return clockFrom(w.Clock, windows.Media) }

// MediaClock counts, for the attachments that an item which can't be opened may name, from when the corp was last caught up before its batch.
// Where that is not known, they are gone for certain once the window has passed since the item was set aside.
func (a Aside) MediaClock(w Windows, now time.Time) Clock {
	if end := a.Since.Add(w.Media); a.Clock.IsZero() && !a.Since.IsZero() && end.Before(now) {
		return Clock{Ends: end}
	}
	return clockFrom(a.Clock, w.Media)
}

// MediaClock counts for the attachments of a batch that is not opened yet.
func (b BatchRow) MediaClock(w Windows) Clock { return clockFrom(b.CaughtUp, w.Media) }

// Clocks are a corp's two clocks.
type Clocks struct {
	Messages, Media Clock
}

// Clocks reads when a corp's messages and attachments leave WeCom's windows at the earliest: messages count from when the corp was last
// caught up; attachments from their message's time, and inside an item that can't be opened from the last time caught up before its batch.
// An item that no key can mend counts until its window has passed: then nothing of it can be saved any more, and it would hide what can.
// An item that waits for a key counts until the key comes.
func (l *Ledger) Clocks(ctx context.Context, corp archive.CorpID, w Windows, now time.Time) (Clocks, error) {
	cursor, err := l.Cursor(ctx, corp)
	if err != nil {
		return Clocks{}, err
	}
	c := Clocks{Messages: cursor.MessageClock(w), Media: Clock{Idle: true}}
	err = l.AllWaiting(ctx, corp, func(x Waiting) bool { // the longest waiting comes first, and the unknown before it
		c.Media = c.Media.earlier(x.MediaClock(w))
		return false
	})
	if err != nil {
		return Clocks{}, err
	}
	from, err := l.Watermark(ctx, corp)
	if err != nil {
		return Clocks{}, err
	}
	err = l.Batches(ctx, corp, from, func(b BatchRow) bool {
		if b.State == Pending {
			c.Media = c.Media.earlier(b.MediaClock(w))
		}
		return true
	})
	if err != nil {
		return Clocks{}, err
	}
	err = l.asideGroups(ctx, corp, func(first Aside) error {
		mendable := first.Reason == ReasonNoKey || first.Reason == ReasonKeyDoesNotFit
		// Within a group seqs ascend, and so do the times at which the corp was caught up before them.
		return l.Asides(ctx, corp, first.Reason, first.KeyVersion, func(a Aside) bool {
			clock := a.MediaClock(w, now)
			if !mendable && !clock.Unknown && !clock.Ends.After(now) {
				return true
			}
			c.Media = c.Media.earlier(clock)
			return false
		})
	})
	return c, err
}
