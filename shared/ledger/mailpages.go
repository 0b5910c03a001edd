package ledger

import (
	"context"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// MailsBefore calls f for a corp's mails from the newest day back, beginning after the one with the given key; "" begins with the newest. A key that begins
// with no digit is no mail's, and DynamoDB may refuse it.
func (l *Ledger) MailsBefore(ctx context.Context, corp archive.CorpID, mailKey string, f func(MailRow) bool) error {
	b := bounds{descending: true, consistent: true}
	if mailKey != "" {
		b.from, b.to = "0", mailKey // every key begins with a day
	}
	return l.each(ctx, l.tables.Control, mailPK(corp), b, func(it item) bool {
		m := mailOf(it)
		return m.Key() == mailKey || f(m)
	})
}
