package financesdk

import (
	"context"
	"errors"
	"fmt"

	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
)

// Item is one message to be opened.
type Item struct {
	Key []byte // the random key, opened with the corp's private key
	Msg string // encrypt_chat_msg
}

// Result is what became of an Item: Raw as the library returned it, or an *Error that fault classifies. Poison means that the message can't
// be opened as it is; anything else may be tried again.
type Result struct {
	Raw []byte
	Err error
}

// One question to the child holds at most this much, so that its memory is looked at in between.
const (
	maxItems = 256
	maxBytes = 4 << 20
)

// Decrypt opens the items; the results have their order and number. An item that ends the child, or holds it for HangAfter, is tried again
// alone in a new child; if that one fares no better, its result is poison, with the reason library-crash or library-hang, and the others
// go on. The returned error means that nothing can be said about the items: there is no library, or it died on more than a tenth of them and on
// at least eight, which is more likely our trouble than theirs. The results that there are come with it: one with a poison is as final as any.
func (s *SDK) Decrypt(ctx context.Context, items []Item) ([]Result, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	d := &decryption{sdk: s, items: items, results: make([]Result, len(items))}
	for d.next < len(items) {
		if err := d.run(ctx, d.next, d.span(d.next)); err != nil {
			return d.results, err
		}
	}
	return d.results, nil
}

// DiesOften says whether the library died on so many of some items that it is more likely our trouble than theirs.
func DiesOften(deaths, items int) bool { return deaths >= 8 && deaths*10 > items }

// diesOften is the error that Explain calls CauseLibraryDiesOften.
func diesOften(deaths, items int, err error) error {
	return &Error{Op: "decrypt", Reason: "library-dies-often", Err: fmt.Errorf("the library died on %d of %d items: %w", deaths, items, err)}
}

// ErrDiesOften is the error for a caller that counts the deaths of several attempts.
func ErrDiesOften(deaths, items int) error {
	return diesOften(deaths, items, errors.New("counted over several attempts"))
}

type decryption struct {
	sdk     *SDK
	items   []Item
	results []Result
	next    int // the first item without a result

	deaths   int // items on which a child died or hung, each once
	unmarked int // children in a row that died before they came to an item
}

// span is the end of the run of items from first on that go into one question.
func (d *decryption) span(first int) int {
	size, end := 0, first
	for end < len(d.items) && end-first < maxItems && size < maxBytes {
		size += len(d.items[end].Key) + len(d.items[end].Msg)
		end++
	}
	return end
}

// run asks for the items from first to end and moves next behind the last that has a result.
func (d *decryption) run(ctx context.Context, first, end int) error {
	guilty, err := d.ask(ctx, first, end)
	if err == nil {
		d.unmarked = 0
		return nil
	}
	if ctx.Err() != nil || !ended(err) {
		return err
	}
	if guilty < 0 {
		if d.unmarked++; d.unmarked >= 3 {
			return err
		}
		return nil
	}
	d.unmarked = 0
	if d.deaths++; DiesOften(d.deaths, len(d.items)) {
		return diesOften(d.deaths, len(d.items), err)
	}
	return d.confirm(ctx, guilty)
}

// confirm tries the item alone in a new child. What came before it may have been to blame, or the machine.
func (d *decryption) confirm(ctx context.Context, guilty int) error {
	d.sdk.drop("an item is tried alone")
	for range 3 {
		named, err := d.ask(ctx, guilty, guilty+1)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || !ended(err):
			return err
		case named == guilty:
			var e *Error
			errors.As(err, &e)
			d.results[guilty] = Result{Err: &Error{Op: "decrypt", Kind: fault.Poison, Reason: e.Reason, Err: errors.New("the library does not survive this message")}}
			d.next = guilty + 1
			return nil
		}
	}
	return &Error{Op: "decrypt", Reason: ReasonCrash, Err: errors.New("the child dies before it comes to an item")}
}

// ask asks for the items from first to end and keeps each result as it comes. If the child ends, guilty is the item that it had marked, or
// -1 if none.
func (d *decryption) ask(ctx context.Context, first, end int) (guilty int, err error) {
	if err := d.sdk.ready(ctx); err != nil {
		return -1, err
	}
	request := &frames.Decrypt{Items: make([]frames.Item, 0, end-first)}
	for _, it := range d.items[first:end] {
		request.Items = append(request.Items, frames.Item{Key: it.Key, Msg: it.Msg})
	}
	if size := request.Size(); size > frames.MaxFrame {
		// Only one item alone can be as large as that.
		if end-first > 1 {
			return d.ask(ctx, first, first+1)
		}
		d.results[first] = Result{Err: &Error{Op: "decrypt", Kind: fault.Poison, Reason: "too-large", Err: fmt.Errorf("%w: %d bytes", frames.ErrTooLarge, size)}}
		d.next = first + 1
		return -1, nil
	}
	guilty = -1
	err = d.sdk.call(ctx, "decrypt", request, func(m frames.Message) bool {
		switch m := m.(type) {
		case *frames.Mark:
			guilty = first + int(m.Index)
		case *frames.Opened:
			if i := first + int(m.Index); i == d.next && i < end {
				d.results[i] = opened(m)
				d.next = i + 1
			}
			guilty = -1
		case *frames.Done:
			d.sdk.child.rss = m.RSS
			return true
		}
		return false
	})
	if err == nil && d.next < end {
		err = &Error{Op: "decrypt", Reason: ReasonCrash, Err: errors.New("the host left items out")}
		d.sdk.drop("left items out")
	}
	if guilty != d.next {
		guilty = -1
	}
	return guilty, err
}

func opened(m *frames.Opened) Result {
	if m.Code == 0 {
		return Result{Raw: m.Raw}
	}
	e := &Error{Op: "decrypt", Code: int(m.Code), Reason: fault.Reason(fmt.Sprintf("decrypt-%d", m.Code)), Err: fmt.Errorf("DecryptData returned %d", m.Code)}
	switch m.Code {
	case 10000, 10004, 10006, 10007, 10008:
		e.Kind = fault.Poison
	case frames.CodeTooLarge:
		e.Kind, e.Reason = fault.Poison, "too-large"
	}
	return Result{Err: e}
}

// ended says whether err is the end of a child, rather than of the attempt to have one.
func ended(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Op == "decrypt" && (e.Reason == ReasonCrash || e.Reason == ReasonHang)
}
