package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Asks counts one request more of somebody in the minute that it is, and says whether it is within most. Who is counted is named by a word of the
// caller's, of which the table holds the hash alone; there is one row of each, however long they go on. A count whose answer was lost counts twice.
func (l *Ledger) Asks(ctx context.Context, who string, now time.Time, most int) (within bool, err error) {
	pk, minute := asksPK(archive.HashHex([]byte(who))[:32]), stamp(now.UTC().Truncate(time.Minute))
	for range 3 { // two requests that begin a minute at once
		_, err := l.update(ctx, l.tables.Control, pk, "asks", "SET asked = asked + :one", "at_minute = :minute AND asked < :most", nil,
			item{":one": count(1), ":minute": str(minute), ":most": count(most)})
		row, refused := refusedRow(err)
		if !refused {
			return err == nil, err
		}
		if getStr(row, "at_minute") == minute {
			return false, nil
		}
		it := key(pk, "asks")
		it["at_minute"], it["asked"] = str(minute), count(1)
		err = l.put(ctx, l.tables.Control, it, "attribute_not_exists(pk) OR at_minute <> :minute", item{":minute": str(minute)})
		if _, refused := refusedRow(err); !refused {
			return err == nil, err
		}
	}
	return false, fmt.Errorf("count the requests of a minute: %w", errors.New("others begin it again and again"))
}
