package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// RepeatFor is how long a request is remembered by its key: so long, the same again is answered as it was, whatever has become of what it made.
const RepeatFor = 24 * time.Hour

// Repeat is a request of which the ledger keeps, by a key that its sender chose, what it was answered.
type Repeat struct {
	Corp   archive.CorpID
	Key    string // of the sender's; the table has its hash alone
	Of     string // hash of what was asked for: the same key for something else is a mistake
	At     time.Time
	Answer string // "" until it is done
}

func (r Repeat) sk() string { return archive.HashHex([]byte(r.Key))[:32] }

// RepeatOf is the request that is remembered by the key of this one, or an error that wraps ErrAbsent: there is none from the last RepeatFor.
func (l *Ledger) RepeatOf(ctx context.Context, r Repeat) (Repeat, error) {
	it, err := l.get(ctx, l.tables.Control, repeatPK(r.Corp), r.sk())
	if err != nil {
		return Repeat{}, err
	}
	first := Repeat{Corp: r.Corp, Key: r.Key, Of: getStr(it, "of"), At: getTime(it, "at"), Answer: getStr(it, "answer")}
	if r.At.Sub(first.At) >= RepeatFor {
		return Repeat{}, fmt.Errorf("a request of corp %s: %w", r.Corp, ErrAbsent)
	}
	return first, nil
}

// Remember keeps a request by its key. ErrLost says that another was sent with this key meanwhile.
func (l *Ledger) Remember(ctx context.Context, r Repeat) error {
	it := key(repeatPK(r.Corp), r.sk())
	it["of"], it["at"] = str(r.Of), when(r.At)
	err := l.putNamed(ctx, l.tables.Control, it, "attribute_not_exists(pk) OR #at <= :old OR (#of = :of AND attribute_not_exists(answer))",
		map[string]string{"#at": "at", "#of": "of"}, item{":old": when(r.At.Add(-RepeatFor)), ":of": str(r.Of)})
	if row, refused := refusedRow(err); refused {
		if getStr(row, "of") == r.Of {
			return nil // it was answered meanwhile, to another of the same
		}
		return fmt.Errorf("remember a request of corp %s: %w", r.Corp, ErrLost)
	}
	return err
}

// Answered keeps what a request was answered; the first answer stands. What was remembered longer ago than RepeatFor is forgotten meanwhile, some at a time: answers
// hold names and addresses.
func (l *Ledger) Answered(ctx context.Context, r Repeat) error {
	_, err := l.update(ctx, l.tables.Control, repeatPK(r.Corp), r.sk(), "SET answer = if_not_exists(answer, :answer)", "#of = :of", map[string]string{"#of": "of"},
		item{":answer": str(r.Answer), ":of": str(r.Of)})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("keep the answer to a request of corp %s: %w", r.Corp, ErrLost)
	}
	if err != nil {
		return err
	}
	const some = 100
	var old []string
	err = l.each(ctx, l.tables.Control, repeatPK(r.Corp), bounds{limit: some}, func(it item) bool {
		if r.At.Sub(getTime(it, "at")) >= RepeatFor {
			old = append(old, getStr(it, "sk"))
		}
		return true
	})
	for _, sk := range old {
		err = errors.Join(err, l.remove(ctx, l.tables.Control, repeatPK(r.Corp), sk))
	}
	return err
}
