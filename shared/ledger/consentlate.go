package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// A change of consent belongs to the report of the day that it was found in, and its row may be written only when that report was made already: who found it was
// broken off, or was just then at it. Reports don't read the rows of days that are over; so such a change has a second row, in one list for all days. It is
// written before the change's own, so that whoever sees that one, and then reads the list, finds it there.

func lateChangePK(corp archive.CorpID) string { return "consentlate#" + corp.KeyPart() }

// SettleFound is SettleStanding for who has found changes: of those whose row is not there yet and of which late says that their report may have been made by
// now, or be made before the row is seen, it is kept that they may be late.
func (l *Ledger) SettleFound(ctx context.Context, corp archive.CorpID, s Standing, late func(found time.Time) bool) error {
	if !s.Owed {
		return nil
	}
	var rows []item
	for _, c := range s.Changes {
		if !late(c.Found) {
			continue
		}
		_, err := l.get(ctx, l.tables.Directory, changePK(corp, c.Found), c.sk())
		if err == nil {
			continue // it was there before
		}
		if !errors.Is(err, ErrAbsent) {
			return fmt.Errorf("changes of consent of corp %s: %w", corp, err)
		}
		rows = append(rows, changeRow(lateChangePK(corp), s.Subject, c))
	}
	if err := l.write(ctx, l.tables.Directory, rows); err != nil {
		return fmt.Errorf("late changes of consent of corp %s: %w", corp, err)
	}
	return l.SettleStanding(ctx, corp, s)
}

// LateConsentChanges calls f for the changes of consent that were found from one time up to, and not with, another, and whose row may have been written only after
// the report of their day was made; the first found first.
func (l *Ledger) LateConsentChanges(ctx context.Context, corp archive.CorpID, from, to time.Time, f func(ConsentChange) bool) error {
	return l.each(ctx, l.tables.Directory, lateChangePK(corp), bounds{from: millis13(from), to: millis13(to), consistent: true}, func(it item) bool { return f(changeOfRow(it)) })
}
