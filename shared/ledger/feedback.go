package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/receivers"
)

// Fate is what became of a mail after SES took it.
type Fate string

// The fates of a mail, each stronger than the one before: events come in any order, and a weaker one never takes the place of a stronger.
const (
	Delivered   Fate = "delivered"
	SoftBounced Fate = "soft-bounced" // SES tried for hours and gave up; the address may live
	Bounced     Fate = "bounced"      // there is no such address
	Complained  Fate = "complained"   // the receiver called it spam
	Discarded   Fate = "discarded"    // SES took it and then found that it may not be sent
)

// fates in order of strength.
var fates = []Fate{Delivered, SoftBounced, Bounced, Complained, Discarded}

// TookMail records that SES took a mail, because one of its events says so: whatever its sender knows, the mail is sent then. It returns the
// mail as it is afterwards, and settled if that was news. A mail that SES discarded stays refused. ErrAbsent if there is no such mail.
func (l *Ledger) TookMail(ctx context.Context, corp archive.CorpID, mailKey, sesID string, at time.Time) (m MailRow, settled bool, err error) {
	it, err := l.update(ctx, l.tables.Control, mailPK(corp), mailKey, "SET #state = :sent, ses_id = :id, reason = :none, #at = :at",
		"attribute_exists(pk) AND #state <> :sent AND (attribute_not_exists(fate) OR fate <> :discarded)", map[string]string{"#state": "state", "#at": "at"},
		item{":sent": str(MailSent), ":id": str(sesID), ":none": str(""), ":at": when(at), ":discarded": str(string(Discarded))})
	if row, refused := refusedRow(err); refused {
		if len(row) == 0 {
			return MailRow{}, false, fmt.Errorf("settle mail %s of corp %s: %w", mailKey, corp, ErrAbsent)
		}
		return mailOf(row), false, nil
	}
	if err != nil {
		return MailRow{}, false, err
	}
	return mailOf(it), true, nil
}

// SetFate records what became of a mail that SES took. A discarded mail is refused. Again, or after something stronger, nothing changes.
func (l *Ledger) SetFate(ctx context.Context, m MailRow, fate Fate, detail string, at time.Time) (changed bool, err error) {
	expression, names := "SET fate = :fate, fate_detail = :detail, fate_at = :at", map[string]string(nil)
	values := item{":fate": str(string(fate)), ":detail": str(detail), ":at": when(at)}
	if fate == Discarded {
		expression += ", #state = :refused, reason = :reason"
		names, values[":refused"], values[":reason"] = map[string]string{"#state": "state"}, str(MailRefused), str("mail-discarded")
	}
	condition := "attribute_not_exists(fate)"
	if weaker := weakerThan(fate, values); weaker != "" {
		condition = "(" + condition + " OR " + weaker + ")"
	}
	_, err = l.update(ctx, l.tables.Control, mailPK(m.Corp), m.Key(), expression, "attribute_exists(pk) AND "+condition, names, values)
	if _, refused := refusedRow(err); refused {
		return false, nil
	}
	return err == nil, err
}

// weakerThan is the condition that a row's fate is weaker than one, whose values are added to values; "" if there is none that is.
func weakerThan(fate Fate, values item) string {
	var weaker []string
	for i, f := range fates {
		if f == fate {
			break
		}
		name := ":weaker" + strconv.Itoa(i)
		weaker, values[name] = append(weaker, name), str(string(f))
	}
	if len(weaker) == 0 {
		return ""
	}
	return "fate IN (" + strings.Join(weaker, ", ") + ")"
}

// Suppression is an address of a corp to which no mail is sent, because it is dead or asked for none.
type Suppression struct {
	Corp    archive.CorpID
	Address string
	Reason  Fate   // Bounced or Complained
	Detail  string // SES's own words
	Mail    string // key of the mail that told
	Since   time.Time
	Lifted  time.Time // zero: it stands
}

// Suppress records that an address gets no more mails. A suppression that stands stays as it is. So does one that the operator lifted after
// the event: a late or repeated event must not undo what he decided knowing of it.
func (l *Ledger) Suppress(ctx context.Context, s Suppression) (added bool, err error) {
	_, err = l.update(ctx, l.tables.Control, noMailPK(s.Corp), AddressID(s.Address),
		"SET corp = :corp, address = :address, reason = :reason, detail = :detail, mail = :mail, since = :since, lifted = :none",
		"attribute_not_exists(pk) OR (lifted <> :none AND lifted < :since)", nil,
		item{":corp": str(string(s.Corp)), ":address": str(s.Address), ":reason": str(string(s.Reason)), ":detail": str(s.Detail), ":mail": str(s.Mail),
			":since": when(s.Since), ":none": str("")})
	if _, refused := refusedRow(err); refused {
		return false, nil
	}
	return err == nil, err
}

// SuppressionOf reads the suppression of an address, or returns an error that wraps ErrAbsent if it has none that stands.
func (l *Ledger) SuppressionOf(ctx context.Context, corp archive.CorpID, address string) (Suppression, error) {
	it, err := l.get(ctx, l.tables.Control, noMailPK(corp), AddressID(address))
	if err != nil {
		return Suppression{}, err
	}
	s := suppressionOf(it)
	if !s.Lifted.IsZero() {
		return s, fmt.Errorf("suppression of %s of corp %s: lifted: %w", AddressID(address), corp, ErrAbsent)
	}
	return s, nil
}

// Suppressions lists a corp's suppressions that stand.
func (l *Ledger) Suppressions(ctx context.Context, corp archive.CorpID) ([]Suppression, error) {
	var all []Suppression
	err := l.each(ctx, l.tables.Control, noMailPK(corp), bounds{consistent: true}, func(it item) bool {
		if s := suppressionOf(it); s.Lifted.IsZero() {
			all = append(all, s)
		}
		return true
	})
	return all, err
}

// LiftSuppression lets mails go to an address again; ErrAbsent if there is nothing to lift.
func (l *Ledger) LiftSuppression(ctx context.Context, corp archive.CorpID, address string, at time.Time) error {
	_, err := l.update(ctx, l.tables.Control, noMailPK(corp), AddressID(address), "SET lifted = :at", "attribute_exists(pk) AND lifted = :none", nil,
		item{":at": when(at), ":none": str("")})
	if row, refused := refusedRow(err); refused {
		if getTime(row, "lifted").Equal(at.Truncate(time.Millisecond)) {
			return nil // our own first attempt, whose answer was lost
		}
		return fmt.Errorf("lift the suppression of %s of corp %s: %w", AddressID(address), corp, ErrAbsent)
	}
	return err
}

// LiftRead is LiftSuppression for one that was read: ErrLost says that it is another now, or lifted by somebody else.
func (l *Ledger) LiftRead(ctx context.Context, s Suppression, at time.Time) error {
	_, err := l.update(ctx, l.tables.Control, noMailPK(s.Corp), AddressID(s.Address), "SET lifted = :at", "attribute_exists(pk) AND lifted = :none AND since = :since", nil,
		item{":at": when(at), ":none": str(""), ":since": when(s.Since)})
	if row, refused := refusedRow(err); refused {
		if getTime(row, "lifted").Equal(at.Truncate(time.Millisecond)) {
			return nil // our own first attempt, whose answer was lost
		}
		return fmt.Errorf("lift the suppression of %s of corp %s: %w", AddressID(s.Address), s.Corp, ErrLost)
	}
	return err
}

// Heard is what SES last said of mails to an address.
type Heard struct {
	Fate   Fate
	Detail string
	Mail   string // key of the mail
	At     time.Time
}

// Hear keeps what SES said of a mail as the last of its address, unless something later, or something stronger at the same moment, was said.
func (l *Ledger) Hear(ctx context.Context, corp archive.CorpID, address string, h Heard) error {
	values := item{":fate": str(string(h.Fate)), ":detail": str(h.Detail), ":mail": str(h.Mail), ":at": when(h.At)}
	condition := "attribute_not_exists(pk) OR fate_at < :at"
	if weaker := weakerThan(h.Fate, values); weaker != "" {
		condition += " OR (fate_at = :at AND " + weaker + ")"
	}
	_, err := l.update(ctx, l.tables.Control, heardPK(corp), AddressID(address), "SET fate = :fate, fate_detail = :detail, mail = :mail, fate_at = :at", condition, nil, values)
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// Letterbox is how an address stands: whether mails go there, and what SES last said of one.
type Letterbox struct {
	Suppressed *Suppression
	Heard      *Heard
}

// Letterboxes reads how addresses stand, by address. Its cost is that of the addresses asked for, and of the few that are suppressed; of one that was never
// heard of there is nothing. What is suppressed is so however its address is written.
func (l *Ledger) Letterboxes(ctx context.Context, corp archive.CorpID, addresses []string) (map[string]Letterbox, error) {
	ids := map[string]string{}
	boxes := map[string][]string{} // the addresses of a mailbox, however each is written
	var keys []item
	for _, a := range addresses {
		id := AddressID(a)
		if _, asked := ids[id]; asked || a == "" {
			continue
		}
		ids[id] = a
		boxes[receivers.Mailbox(a)] = append(boxes[receivers.Mailbox(a)], a)
		keys = append(keys, key(heardPK(corp), id))
	}
	rows, err := l.fetch(ctx, l.tables.Control, keys)
	if err != nil {
		return nil, fmt.Errorf("how addresses of corp %s stand: %w", corp, err)
	}
	all := map[string]Letterbox{}
	for _, it := range rows {
		all[ids[getStr(it, "sk")]] = Letterbox{Heard: &Heard{Fate: Fate(getStr(it, "fate")), Detail: getStr(it, "fate_detail"), Mail: getStr(it, "mail"), At: getTime(it, "fate_at")}}
	}
	suppressed, err := l.Suppressions(ctx, corp)
	if err != nil {
		return nil, err
	}
	for _, s := range suppressed {
		for _, address := range boxes[receivers.Mailbox(s.Address)] {
			box := all[address]
			box.Suppressed = &s
			all[address] = box
		}
	}
	return all, nil
}

func suppressionOf(it item) Suppression {
	return Suppression{
		Corp: archive.CorpID(getStr(it, "corp")), Address: getStr(it, "address"), Reason: Fate(getStr(it, "reason")), Detail: getStr(it, "detail"),
		Mail: getStr(it, "mail"), Since: getTime(it, "since"), Lifted: getTime(it, "lifted"),
	}
}
