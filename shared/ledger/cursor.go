package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Cursor is one corp's place in its chat data, together with the lease of whoever may move it and the head of the corp's chain of batches.
// One row holds all of it, so that a single conditional write can check the lease and move the cursor.
type Cursor struct {
	Seq   archive.Seq // everything up to here has been handed out to us and kept
	Chain Link        // of the last batch that the cursor went over

	Owner  string // who holds the lease; "" nobody
	Fence  uint64 // rises with each lease; a holder with a lower one has lost it
	Wanted string // who asks for the lease; the holder hands over at its next poll
	Beat   uint64 // rises with each poll of the holder

	CaughtUp  time.Time // when WeCom last answered with an empty batch; zero: never
	Empties   int       // empty batches in a row
	LastWhole time.Time // when the last whole batch came, empty or not
	Limit     int       // items asked for in one call; 0: the most. Halved when WeCom finds an answer too large
	Trouble   *Trouble  // why nothing whole comes at present; nil if all is well
}

// Link is a place in a corp's chain of batches. The chain is what makes a later change or removal of a batch evident.
type Link struct {
	N    uint64 // 1 for the first batch; 0 before it
	Hash string // lower-case hex; "" before the first batch
}

// Next is the link of the batch that follows: the SHA-256 over the previous link, the place and the batch's own hash, one a line.
func (l Link) Next(batchSHA256 string) Link {
	n := l.N + 1
	return Link{N: n, Hash: archive.HashHex([]byte(l.Hash + "\n" + strconv.FormatUint(n, 10) + "\n" + batchSHA256 + "\n"))}
}

// Trouble is why a corp's fetching does not get on, as the operator should see it.
type Trouble struct {
	Cause    string    `json:"cause"`    // financesdk's word for the cause
	Sentence string    `json:"sentence"` // what happened and what to do
	Since    time.Time `json:"since"`    // when it began, by the clock of events
	Code     int       `json:"code"`     // WeCom's errcode or the library's code; 0 if none
	Final    bool      `json:"final"`    // trying again won't mend it: somebody has to act
	Address  string    `json:"address"`  // our address as WeCom named it; "" if it named none
	Tried    time.Time `json:"tried"`    // when it was last met, by the machine's own time
}

// Lease is the right to move a corp's cursor. It is lost as soon as a higher fence is granted.
type Lease struct {
	Corp  archive.CorpID
	Owner string
	Fence uint64
}

// Cursor reads a corp's cursor; before the first lease it is the zero Cursor.
func (l *Ledger) Cursor(ctx context.Context, corp archive.CorpID) (Cursor, error) {
	it, err := l.get(ctx, l.tables.Control, corpPK(corp), "cursor")
	if errors.Is(err, ErrAbsent) {
		return Cursor{}, nil
	}
	if err != nil {
		return Cursor{}, err
	}
	return cursorOf(it), nil
}

// AskLease tells the holder that me wants the lease, and returns the cursor as it is.
func (l *Ledger) AskLease(ctx context.Context, corp archive.CorpID, me string) (Cursor, error) {
	it, err := l.update(ctx, l.tables.Control, corpPK(corp), "cursor", "SET wanted = :me", "", nil, item{":me": str(me)})
	if err != nil {
		return Cursor{}, err
	}
	return cursorOf(it), nil
}

// TakeLease grants me the lease if nobody has changed holder or beat since seen was read: the caller has seen that the lease is free, or that
// its holder's beat stands still. It returns ErrLost if somebody else was quicker or the holder lives.
func (l *Ledger) TakeLease(ctx context.Context, corp archive.CorpID, me string, seen Cursor) (Lease, Cursor, error) {
	fence := seen.Fence + 1
	it, err := l.update(ctx, l.tables.Control, corpPK(corp), "cursor",
		"SET #owner = :me, fence = :new, wanted = :nobody, beat = :nextbeat",
		"(attribute_not_exists(fence) OR fence = :old) AND (attribute_not_exists(beat) OR beat = :beat) AND (attribute_not_exists(#owner) OR #owner = :owner)",
		map[string]string{"#owner": "owner"},
		item{":me": str(me), ":new": num(fence), ":old": num(seen.Fence), ":beat": num(seen.Beat), ":nextbeat": num(seen.Beat + 1),
			":nobody": str(""), ":owner": str(seen.Owner)})
	if row, refused := refusedRow(err); refused {
		c := cursorOf(row)
		if c.Owner == me && c.Fence == fence {
			// Our own first attempt, whose answer was lost.
			return Lease{Corp: corp, Owner: me, Fence: fence}, c, nil
		}
		return Lease{}, c, fmt.Errorf("take the lease of corp %s: %w", corp, ErrLost)
	}
	if err != nil {
		return Lease{}, Cursor{}, err
	}
	return Lease{Corp: corp, Owner: me, Fence: fence}, cursorOf(it), nil
}

// Poll is what the holder of a lease reports after each call of the library.
type Poll struct {
	CaughtUp  time.Time
	Empties   int
	LastWhole time.Time
	Limit     int
	Trouble   *Trouble
}

// Beat reports a poll and shows the cursor, in which the holder finds who wants the lease. It returns ErrLost when the lease is gone.
func (l *Ledger) Beat(ctx context.Context, lease Lease, p Poll) (Cursor, error) {
	values, err := p.values(lease)
	if err != nil {
		return Cursor{}, err
	}
	it, err := l.update(ctx, l.tables.Control, corpPK(lease.Corp), "cursor", "SET "+setPoll, held, holder(), values)
	if _, refused := refusedRow(err); refused {
		return Cursor{}, fmt.Errorf("beat of corp %s: %w", lease.Corp, ErrLost)
	}
	if err != nil {
		return Cursor{}, err
	}
	return cursorOf(it), nil
}

// What each write of a holder sets, and the condition under which it may.
const (
	setPoll = "beat = beat + :one, caught_up = :caught_up, empties = :empties, last_whole = :last_whole, page_limit = :page_limit, trouble = :trouble"
	held    = "#owner = :me AND fence = :fence"
)

func holder() map[string]string { return map[string]string{"#owner": "owner"} }

// values are those of setPoll and held.
func (p Poll) values(lease Lease) (item, error) {
	trouble, err := json.Marshal(p.Trouble)
	if err != nil {
		return nil, fmt.Errorf("encode the trouble of corp %s: %w", lease.Corp, err)
	}
	return item{":one": num(1), ":caught_up": when(p.CaughtUp), ":empties": count(p.Empties), ":last_whole": when(p.LastWhole), ":page_limit": count(p.Limit),
		":trouble": str(string(trouble)), ":me": str(lease.Owner), ":fence": num(lease.Fence)}, nil
}

// ClearTrouble forgets why nothing whole came: the operator has changed something, so the next holder tries at once instead of resting. A
// cursor that was never there stays absent.
func (l *Ledger) ClearTrouble(ctx context.Context, corp archive.CorpID) error {
	_, err := l.update(ctx, l.tables.Control, corpPK(corp), "cursor", "SET trouble = :none", "attribute_exists(pk)", nil, item{":none": str("")})
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// EndLease gives back the lease of a holder that is known to be dead, so that nobody waits for its beat. If it lives after all, it has lost the
// lease, as its next write tells it.
func (l *Ledger) EndLease(ctx context.Context, corp archive.CorpID) error {
	_, err := l.update(ctx, l.tables.Control, corpPK(corp), "cursor", "SET #owner = :nobody", "attribute_exists(pk)",
		map[string]string{"#owner": "owner"}, item{":nobody": str("")})
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// Release gives the lease back. A lease already lost is no error.
func (l *Ledger) Release(ctx context.Context, lease Lease) error {
	_, err := l.update(ctx, l.tables.Control, corpPK(lease.Corp), "cursor",
		"SET #owner = :nobody", "#owner = :me AND fence = :fence", map[string]string{"#owner": "owner"},
		item{":nobody": str(""), ":me": str(lease.Owner), ":fence": num(lease.Fence)})
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// Advance moves the cursor from one seq to another, and the head of the chain to the given link; the poll that brought the batch is reported in
// the same write, so that a batch costs one write here and not two. It shows the cursor, as Beat does. It returns ErrLost if the lease is gone or
// the cursor stands elsewhere; a repeat after a lost answer succeeds.
func (l *Ledger) Advance(ctx context.Context, lease Lease, from, to archive.Seq, chain Link, p Poll) (Cursor, error) {
	place := "seq = :from"
	if from == 0 {
		place = "(seq = :from OR attribute_not_exists(seq))"
	}
	values, err := p.values(lease)
	if err != nil {
		return Cursor{}, err
	}
	values[":last"], values[":n"], values[":hash"], values[":from"] = num(uint64(to)), num(chain.N), str(chain.Hash), num(uint64(from))
	it, err := l.update(ctx, l.tables.Control, corpPK(lease.Corp), "cursor", "SET seq = :last, chain_n = :n, chain_hash = :hash, "+setPoll, held+" AND "+place, holder(), values)
	if row, refused := refusedRow(err); refused {
		c := cursorOf(row)
		if c.Owner == lease.Owner && c.Fence == lease.Fence && c.Seq == to && c.Chain == chain {
			return c, nil // our own first attempt, whose answer was lost
		}
		return Cursor{}, fmt.Errorf("advance corp %s to seq %s: %w", lease.Corp, to, ErrLost)
	}
	if err != nil {
		return Cursor{}, err
	}
	return cursorOf(it), nil
}

func cursorOf(it item) Cursor {
	c := Cursor{
		Seq:   archive.Seq(getNum(it, "seq")),
		Chain: Link{N: getNum(it, "chain_n"), Hash: getStr(it, "chain_hash")},
		Owner: getStr(it, "owner"), Fence: getNum(it, "fence"), Wanted: getStr(it, "wanted"), Beat: getNum(it, "beat"),
		CaughtUp: getTime(it, "caught_up"), Empties: getCount(it, "empties"), LastWhole: getTime(it, "last_whole"), Limit: getCount(it, "page_limit"),
	}
	if text := getStr(it, "trouble"); text != "" && text != "null" {
		var t Trouble
		if json.Unmarshal([]byte(text), &t) == nil {
			c.Trouble = &t
		}
	}
	return c
}
