package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// The states of a telling, besides MailPlanned, MailSending and MailGivenUp.
const (
	Told        = "told"
	TellRefused = "refused"
)

// Why a telling is refused, or what one that waits waits for. The words are stable.
const (
	TellNotInRange = "not-in-range"      // the app may not see the member
	TellUnlicensed = "unlicensed"        // the member has no licence for calls of the API
	TellWrongApp   = "wrong-app"         // the AgentId is not that of the secret
	TellNoApp      = "no-app"            // no secret is kept
	TellSecret     = "secret-refused"    // WeCom does not take the secret
	TellAddress    = "untrusted-address" // WeCom does not trust our address
	TellDisabled   = "app-disabled"
	TellLimited    = "limited" // we ask too often
	TellRefusedFor = "errcode" // another refusal
)

// Telling is one message in WeCom to one user, by the company's app. What is sent is kept with it: WeCom knows a message again by its bytes alone.
type Telling struct {
	Corp    archive.CorpID
	Day     string
	Report  string
	To      archive.PartyID
	Text    string
	State   string
	Owner   string
	Until   time.Time // when a sending one may be sent by another, by the machine's own time
	Attempt int       // how often it was claimed

	// Asked is since when WeCom may have shown it, by the machine's own time, as far as nobody knows: it was asked then, by the app Agent, and no answer came.
	// Zero: it was not asked, or refused.
	Asked   time.Time
	Agent   int
	Doubles int // how often it was sent anew although it may have been shown: WeCom could no longer tell that it was the same

	MsgID  string // WeCom's, of one that is told; "" if it named none
	Reason string // why it is refused or given up, or what it waits for
	At     time.Time

	Nudges      int
	Nudged      time.Time
	NudgedOwner string

	before *Telling // of one that was claimed: what it was
}

// Settled says that there is nothing more to do about it.
func (t Telling) Settled() bool {
	return t.State == Told || t.State == TellRefused || t.State == MailGivenUp
}

// Key is its sort key, and its name in jobs.
func (t Telling) Key() string { return t.Day + "#" + t.Report + "#" + idPart(string(t.To)) }

// PlanTelling records a message that is to be sent. One planned before stays as it is.
func (l *Ledger) PlanTelling(ctx context.Context, t Telling) error {
	it := key(tellingPK(t.Corp), t.Key())
	it["corp"], it["day"], it["report"], it["member"], it["text"] = str(string(t.Corp)), str(t.Day), str(t.Report), str(string(t.To)), str(t.Text)
	it["state"], it["attempt"], it["at"] = str(MailPlanned), count(0), when(t.At)
	err := l.put(ctx, l.tables.Control, it, "attribute_not_exists(pk)", nil)
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// TellingOf reads a telling by its key, or returns an error that wraps ErrAbsent.
func (l *Ledger) TellingOf(ctx context.Context, corp archive.CorpID, tellingKey string) (Telling, error) {
	it, err := l.get(ctx, l.tables.Control, tellingPK(corp), tellingKey)
	if err != nil {
		return Telling{}, err
	}
	return tellingOf(it), nil
}

// ClaimTelling makes owner the one that sends a telling, t as it was read, by the app agent: one that is planned, or whose claim has run out at now. It returns
// the telling as it is then. Within the window after a first request without an answer, and by the same app, WeCom knows it again; after that it counts one
// more in Doubles. ErrLost: it is settled, or somebody else is about it.
func (l *Ledger) ClaimTelling(ctx context.Context, t Telling, owner string, agent int, now, until time.Time, window time.Duration) (Telling, error) {
	before := t
	if open := !t.Asked.IsZero(); !open || t.Agent != agent || !now.Before(t.Asked.Add(window)) {
		if open {
			t.Doubles++
		}
		t.Asked, t.Agent = now, agent
	}
	values := item{":sending": str(MailSending), ":planned": str(MailPlanned), ":me": str(owner), ":now": when(now), ":until": when(until), ":one": count(1), ":attempt": count(before.Attempt),
		":asked": when(t.Asked), ":app": count(t.Agent), ":doubles": count(t.Doubles)}
	it, err := l.update(ctx, l.tables.Control, tellingPK(t.Corp), t.Key(),
		"SET #state = :sending, #owner = :me, #until = :until, attempt = attempt + :one, asked = :asked, app = :app, doubles = :doubles",
		"attempt = :attempt AND (#state = :planned OR (#state = :sending AND #until < :now))", map[string]string{"#state": "state", "#owner": "owner", "#until": "until"}, values)
	row, refused := refusedRow(err)
	switch {
	case refused && getStr(row, "state") == MailSending && getStr(row, "owner") == owner:
		it = row // our own first attempt, whose answer was lost
	case refused:
		return tellingOf(row), fmt.Errorf("claim telling %s: %w", t.Key(), ErrLost)
	case err != nil:
		return Telling{}, err
	}
	claimed := tellingOf(it)
	claimed.before = &before
	return claimed, nil
}

// SettleTelling records what WeCom said for good of a claimed telling: Told with its msgid, or TellRefused with the reason.
func (l *Ledger) SettleTelling(ctx context.Context, t Telling, state, msgid, reason string, at time.Time) error {
	_, err := l.update(ctx, l.tables.Control, tellingPK(t.Corp), t.Key(), "SET #state = :state, msgid = :msgid, reason = :reason, #at = :at", "#owner = :me AND #state = :sending",
		map[string]string{"#state": "state", "#owner": "owner", "#at": "at"},
		item{":state": str(state), ":msgid": str(msgid), ":reason": str(reason), ":at": when(at), ":me": str(t.Owner), ":sending": str(MailSending)})
	return tellingEnd(err, t, state, reason)
}

// WaitTelling gives a claimed telling back that WeCom certainly did not send at this attempt, with what it waits for. What an earlier attempt left open stays
// open.
func (l *Ledger) WaitTelling(ctx context.Context, t Telling, reason string) error {
	var was Telling
	if t.before != nil {
		was = *t.before
	}
	_, err := l.update(ctx, l.tables.Control, tellingPK(t.Corp), t.Key(), "SET #state = :planned, reason = :reason, asked = :asked, app = :app, doubles = :doubles",
		"#owner = :me AND #state = :sending", map[string]string{"#state": "state", "#owner": "owner"},
		item{":planned": str(MailPlanned), ":reason": str(reason), ":asked": when(was.Asked), ":app": count(was.Agent), ":doubles": count(was.Doubles), ":me": str(t.Owner), ":sending": str(MailSending)})
	return tellingEnd(err, t, MailPlanned, reason)
}

func tellingEnd(err error, t Telling, state, reason string) error {
	if row, refused := refusedRow(err); refused {
		if getStr(row, "state") == state && getStr(row, "reason") == reason && getStr(row, "owner") == t.Owner {
			return nil // our own first attempt, whose answer was lost
		}
		return fmt.Errorf("settle telling %s: %w", t.Key(), ErrLost)
	}
	return err
}

// NoteTellingNudge is NoteNudge for a telling.
func (l *Ledger) NoteTellingNudge(ctx context.Context, t Telling, nudges int, at time.Time) error {
	return l.noteNudge(ctx, tellingPK(t.Corp), t.Key(), t.Owner, t.Nudged, nudges, at)
}

// Tellings calls f for a corp's tellings, the newest day first.
func (l *Ledger) Tellings(ctx context.Context, corp archive.CorpID, f func(Telling) bool) error {
	return l.each(ctx, l.tables.Control, tellingPK(corp), bounds{descending: true, consistent: true}, func(it item) bool { return f(tellingOf(it)) })
}

func tellingOf(it item) Telling {
	return Telling{
		Corp: archive.CorpID(getStr(it, "corp")), Day: getStr(it, "day"), Report: getStr(it, "report"), To: archive.PartyID(getStr(it, "member")), Text: getStr(it, "text"),
		State: getStr(it, "state"), Owner: getStr(it, "owner"), Until: getTime(it, "until"), Attempt: getCount(it, "attempt"),
		Asked: getTime(it, "asked"), Agent: getCount(it, "app"), Doubles: getCount(it, "doubles"), MsgID: getStr(it, "msgid"), Reason: getStr(it, "reason"), At: getTime(it, "at"),
		Nudges: getCount(it, "nudges"), Nudged: getTime(it, "nudged"), NudgedOwner: getStr(it, "nudged_owner"),
	}
}
