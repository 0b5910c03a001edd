package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// hear counts an answer of WeCom's, and remembers it until it is taken.
func (r *record) hear(a wecom.Answer) {
	r.calls++
	r.answers = append(r.answers, a)
}

// prove keeps the answers that say something new as WeCom gave them: who agreed, and when, is then shown by WeCom's own words, under the bucket's lock. An
// answer that says the same as the one before is not kept again. With them goes what was understood by it, so that the record can be made again of the bucket.
func (r *record) prove(ctx context.Context, news []consent.Statement) error {
	answers := r.answers
	r.answers = nil
	if len(news) == 0 || len(answers) == 0 {
		return nil
	}
	keeper := reading.NewKeeper()
	for _, a := range answers {
		keeper.Of(secrets.Archive)(a)
	}
	last := news[len(news)-1]
	keeper.Heard(last.Asked, last.Answered)
	keeper.Said(news)
	kept, err := keeper.Bytes()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%013d-%s.jsonl.gz", last.Asked.UnixMilli(), archive.HashHex(kept)[:16])
	_, err = r.store.PutBlob(ctx, objstore.ConsentKey(r.corp, last.Asked.UTC().Format(time.DateOnly), name), "application/gzip", kept)
	return err
}
