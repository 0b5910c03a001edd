package ledger

import (
	"context"
	"fmt"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// HasDirectoryTable says whether the table of the directory's history is there.
func (l *Ledger) HasDirectoryTable(ctx context.Context) (bool, error) {
	return l.has(ctx, l.tables.Directory)
}

// MakeDirectoryTable makes the table of the directory's history again that was lost, with the shape of the table of cursors and the given key.
func (l *Ledger) MakeDirectoryTable(ctx context.Context, kmsKey string) error {
	return l.makeTable(ctx, l.tables.Directory, l.tables.Control, kmsKey, true)
}

// RestoreStates writes states into the history as they are given, each with its own time. Nobody else may be recording the entry's states meanwhile.
func (l *Ledger) RestoreStates(ctx context.Context, corp archive.CorpID, states []directory.Entry) error {
	rows := make([]item, len(states))
	for i, e := range states {
		rows[i] = entryRow(historyPK(corp, e.Kind, e.ID), millis13(e.At), e)
	}
	if err := l.write(ctx, l.tables.Directory, rows); err != nil {
		return fmt.Errorf("directory history of corp %s: %w", corp, err)
	}
	return nil
}

// RestoreNewest writes the newest state of a room, an external contact or a robot as it is given. Nobody else may be recording its states meanwhile.
func (l *Ledger) RestoreNewest(ctx context.Context, corp archive.CorpID, e directory.Entry) error {
	return l.put(ctx, l.tables.Directory, entryRow(directoryPK(corp), entrySK(e.Kind, e.ID), e), "", nil)
}
