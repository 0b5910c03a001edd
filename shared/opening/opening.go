// Package opening takes the items of a batch through the private key of their version, Tencent's library and the decoder. It owns the order of
// these three, and the reasons for which an item can't be opened. It must not store anything or decide what becomes of an item that it could
// not open: process sets it aside, replay compares.
package opening

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wire"
)

// Reasons for which an item is refused before the library sees it.
const (
	NoKey         fault.Reason = "no-key"           // no private key is held for its key version
	KeyDoesNotFit fault.Reason = "key-does-not-fit" // the key held for its version does not open its random key
	BadItem       fault.Reason = "unreadable-item"  // a field of the item is missing or of the wrong type
)

// Decrypt gives opened random keys and their messages to a corp's library; the outcome of each is in its own place.
type Decrypt func(ctx context.Context, corp archive.CorpID, items []financesdk.Item) ([]financesdk.Result, error)

// Opener opens items. Safe for concurrent use.
type Opener struct {
	keys    *Ring
	decrypt Decrypt
}

// New returns an Opener that takes keys from a ring and gives items to a library.
func New(keys *Ring, decrypt Decrypt) *Opener { return &Opener{keys: keys, decrypt: decrypt} }

// Refused is an item that can't be opened, or not yet.
type Refused struct {
	Item   archive.ChatData
	Reason fault.Reason
}

// Outcome is what became of items. Both lists keep the items' order.
type Outcome struct {
	Opened  []archive.SegmentItem
	Refused []Refused
}

// Open opens a corp's items. An error is our own trouble, the key store's or the library's, or the time that is up. The Outcome beside it holds the items of which
// is certain what became of them, and says nothing about the others.
func (o *Opener) Open(ctx context.Context, corp archive.CorpID, items []archive.ChatData) (Outcome, error) {
	if len(items) == 0 {
		return Outcome{}, nil
	}
	reasons := make([]fault.Reason, len(items))
	randomKeys, err := o.unwrap(ctx, corp, items, reasons)
	if err != nil {
		return Outcome{}, err
	}
	var ready []financesdk.Item
	var places []int
	for i := range items {
		if reasons[i] == "" {
			ready = append(ready, financesdk.Item{Key: randomKeys[i], Msg: items[i].EncryptChatMsg})
			places = append(places, i)
		}
	}
	var results []financesdk.Result
	if len(ready) > 0 {
		if results, err = o.insist(ctx, corp, ready); err != nil {
			err = fmt.Errorf("decrypt seqs %s to %s of corp %s: %w", items[0].Seq, items[len(items)-1].Seq, corp, err)
			results = append(results, make([]financesdk.Result, len(ready)-len(results))...)
		}
	}
	open := make([]bool, len(items)) // without an outcome
	messages := make([]archive.Message, len(items))
	for n, i := range places {
		if told := results[n].Err; err != nil && (told == nil && results[n].Raw == nil || told != nil && fault.KindOf(told) != fault.Poison) {
			open[i] = true
			continue
		}
		if err := results[n].Err; err != nil {
			reasons[i] = fault.ReasonOf(err)
			continue
		}
		m, err := wire.Decode(corp, items[i], results[n].Raw)
		if err != nil {
			reasons[i] = fault.ReasonOf(err)
			continue
		}
		messages[i] = m
	}
	var out Outcome
	for i, item := range items {
		if open[i] {
			continue
		}
		if reasons[i] == "" {
			out.Opened = append(out.Opened, archive.SegmentItem{Message: messages[i], Index: item.Index, Decoder: wire.Version})
			continue
		}
		out.Refused = append(out.Refused, Refused{Item: item, Reason: reasons[i]})
	}
	return out, err
}

// tries is how often an item is given to the library that answers with a code which says nothing about the item.
const tries = 3

// insist gives items to the library, and those that it answers with such a code again. If not one item has an outcome, the trouble is the
// library's and not the items': an error. An item that alone goes on so is refused with its code, so that it doesn't hold up its neighbours.
func (o *Opener) insist(ctx context.Context, corp archive.CorpID, items []financesdk.Item) ([]financesdk.Result, error) {
	results, err := o.decrypt(ctx, corp, items)
	if err != nil {
		return results, err
	}
	for try := 1; ; try++ {
		var again []int
		for i, r := range results {
			if r.Err != nil && fault.KindOf(r.Err) == fault.Retryable {
				again = append(again, i)
			}
		}
		switch {
		case len(again) == 0:
			return results, nil
		case try == tries && len(again) == len(items):
			return nil, results[again[0]].Err
		case try == tries:
			return results, nil
		}
		part := make([]financesdk.Item, len(again))
		for n, i := range again {
			part[n] = items[i]
		}
		more, err := o.decrypt(ctx, corp, part)
		if err != nil {
			return results, err
		}
		for n, i := range again {
			results[i] = more[n]
		}
	}
}

// unwrap opens the random keys of items with the private keys of their versions, on all processors. An item that can't be opened gets a
// reason instead.
func (o *Opener) unwrap(ctx context.Context, corp archive.CorpID, items []archive.ChatData, reasons []fault.Reason) ([][]byte, error) {
	keys := make([]*rsa.PrivateKey, len(items))
	absent := map[archive.KeyVersion]bool{} // after a rotation whole batches lack the same key: it is asked for once
	for i, item := range items {
		if item.Defect != "" {
			reasons[i] = BadItem
			continue
		}
		if absent[item.KeyVersion] {
			reasons[i] = NoKey
			continue
		}
		key, err := o.keys.of(ctx, corp, item.KeyVersion)
		if errors.Is(err, secrets.ErrAbsent) {
			reasons[i], absent[item.KeyVersion] = NoKey, true
			continue
		}
		if err != nil {
			return nil, err
		}
		keys[i] = key
	}
	opened := make([][]byte, len(items))
	err := spread(len(items), func(i int) {
		if keys[i] == nil {
			return
		}
		block, err := base64.StdEncoding.DecodeString(items[i].EncryptRandomKey)
		if err != nil {
			reasons[i] = BadItem
			return
		}
		// WeCom encrypts with PKCS#1 v1.5 and offers nothing else. No padding oracle: nobody is told which item failed, or how fast.
		text, err := rsa.DecryptPKCS1v15(nil, keys[i], block) //nolint:staticcheck // see above
		if err != nil {
			reasons[i] = KeyDoesNotFit
			o.keys.forget(corp, items[i].KeyVersion)
			return
		}
		opened[i] = text
	})
	if err != nil {
		return nil, fmt.Errorf("open random keys of corp %s: %w", corp, err)
	}
	return opened, nil
}

// spread calls f for each number below n, on all processors. A panic of f's is an error.
func spread(n int, f func(i int)) error {
	var wg sync.WaitGroup
	var next atomic.Int64 // a channel would wake a sleeper for each item
	died := make([]error, min(runtime.GOMAXPROCS(0), n))
	for w := range died {
		wg.Go(func() {
			defer fault.Catch(&died[w])
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(died...)
}
