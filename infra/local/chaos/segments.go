package main

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

// leftSegments are the segments that no batch names, each with whether all that it holds is, line by line, in segments that the batch does name.
//
// Such a segment is the one thing that a run may have more than an undisturbed one. Two deliveries of one redrive work at the same time: one has
// taken a part of the items from what is set aside, the other reads what is left and writes the segment of that; only one of them can take
// the items, and a written object is never removed. Nothing reads it. It is counted, and it must hold nothing of its own.
func (p *player) leftSegments(ctx context.Context, keys []string) (map[string]bool, error) {
	named := map[string][]string{} // by batch
	for _, c := range p.corpus.Corps {
		err := p.ledger.Batches(ctx, archive.CorpID(c.ID), "", func(b ledger.BatchRow) bool {
			for _, s := range b.Segments {
				named[batchOf(s)] = append(named[batchOf(s)], s)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	out := map[string]bool{}
	store := objstore.New(s3.NewFromConfig(p.Config(operator), func(o *s3.Options) { o.UsePathStyle = true }), p.House.Template.Outputs["ArchiveBucket"])
	for _, key := range keys {
		siblings := named[batchOf(key)]
		isNamed := false
		for _, s := range siblings {
			isNamed = isNamed || s == key
		}
		if isNamed {
			continue
		}
		mine, err := segmentLines(ctx, store, key)
		if err != nil {
			return nil, err
		}
		for _, s := range siblings {
			theirs, err := segmentLines(ctx, store, s)
			if err != nil {
				return nil, err
			}
			for l := range theirs {
				delete(mine, l)
			}
		}
		out[key] = len(mine) == 0
	}
	return out, nil
}

// batchOf is the part of a segment's key that names its batch: the corp and the batch's hash.
func batchOf(key string) string {
	hash, _, _ := strings.Cut(path.Base(key), "-")
	return path.Dir(path.Dir(key)) + " " + hash
}

func segmentLines(ctx context.Context, store *objstore.Store, key string) (map[string]bool, error) {
	b, err := store.Segment(ctx, objstore.Object{Key: key})
	if err != nil {
		return nil, fmt.Errorf("read a segment: %w", err)
	}
	out := map[string]bool{}
	for l := range bytes.SplitSeq(bytes.TrimSpace(b), []byte("\n")) {
		out[string(l)] = true
	}
	return out, nil
}
