package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// AuditEntry says who did what to which object, and with what outcome. Object names ids only.
type AuditEntry struct {
	At      time.Time
	Actor   string
	Action  string
	Corp    archive.CorpID
	Object  string
	Outcome string
}

// Audit keeps an entry; it is durable when the call returns, so that content may be shown after it.
func (l *Ledger) Audit(ctx context.Context, e AuditEntry) error {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	it := key("audit#"+e.At.UTC().Format("20060102"), millis13(e.At)+"#"+hex.EncodeToString(random[:]))
	it["actor"], it["action"], it["corp"], it["object"], it["outcome"], it["at"] = str(e.Actor), str(e.Action), str(string(e.Corp)), str(e.Object), str(e.Outcome), when(e.At)
	return l.put(ctx, l.tables.Audit, it, "attribute_not_exists(pk)", nil)
}
