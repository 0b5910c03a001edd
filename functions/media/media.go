package main

import (
	"context"
	"crypto/md5" // #nosec G501 -- WeCom's messages carry MD5 sums; ours are SHA-256
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"slices"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// partSize is how much is gathered before a part is uploaded: 16 of the library's chunks, above S3's least of 5 MiB. An attachment smaller
// than this is put as a whole.
const partSize = 8 << 20

// downloader is what media needs of a corp's library.
type downloader interface {
	// MediaChunk returns the chunk at index ("" for the first) of a file, and the index of the next.
	MediaChunk(ctx context.Context, index, fileID string) (financesdk.Chunk, error)
}

// fetcher brings attachments into the archive.
//
// Order of effects: parts into S3, each followed by the state of the upload in the waiting row; the whole object, written once; the
// outcome row; the waiting row goes. A crash between any two resumes at the last part. An attachment is lost only when WeCom says so.
type fetcher struct {
	ledger  *ledger.Ledger
	store   *objstore.Store
	library func(ctx context.Context, corp archive.CorpID) (downloader, error)
	log     *slog.Logger
	metrics io.Writer // where each attachment's figures go
	stack   string    // whose figures they are
}

// fetch brings one attachment in.
func (f *fetcher) fetch(ctx context.Context, job queue.MediaJob) error {
	w, err := f.ledger.Waiting(ctx, job.Corp, job.Waiting)
	if errors.Is(err, ledger.ErrAbsent) {
		return nil // it has its outcome
	}
	if err != nil {
		return err
	}
	settled, err := f.ledger.Media(ctx, w.Corp, []string{w.FileID.Hash()})
	if err != nil {
		return err
	}
	if len(settled) > 0 {
		return f.ledger.EndWaiting(ctx, w) // named by another message too, or a crash kept the row from going
	}
	outcome, err := f.download(ctx, w)
	if errors.Is(err, objstore.ErrUploadGone) {
		w.Upload = nil // the store has dropped the parts: begin anew
		outcome, err = f.download(ctx, w)
	}
	if err != nil {
		cause := financesdk.Explain(err)
		if cause.Kind != financesdk.CauseMediaExpired && cause.Kind != financesdk.CauseNoSuchFile {
			return fmt.Errorf("attachment %s of corp %s: %w", w.Key(), w.Corp, err)
		}
		outcome = ledger.MediaRow{State: ledger.Lost, Reason: string(cause.Kind)}
	}
	outcome.Corp, outcome.Hash, outcome.At = w.Corp, w.FileID.Hash(), clock.Now()
	if err := f.ledger.SettleMedia(ctx, w, outcome); err != nil {
		return err
	}
	f.log.InfoContext(ctx, "attachment", slog.String("corp", string(w.Corp)), slog.String("file", outcome.Hash), slog.String("state", outcome.State),
		slog.Int64("bytes", outcome.Size), slog.String("reason", outcome.Reason))
	m := telemetry.NewMetrics(f.metrics, f.stack, "media")
	if outcome.State == ledger.Kept {
		m.Add("MediaKept", 1)
		m.Add("MediaBytes", float64(outcome.Size))
	} else {
		m.Add("MediaLost", 1)
	}
	return m.Flush(clock.Now())
}

// download takes a file from where an earlier run left off to its end.
func (f *fetcher) download(ctx context.Context, w ledger.Waiting) (ledger.MediaRow, error) {
	library, err := f.library(ctx, w.Corp)
	if err != nil {
		return ledger.MediaRow{}, err
	}
	d, err := resume(f.store, w)
	if err != nil {
		return ledger.MediaRow{}, err
	}
	var buffer []byte
	for {
		chunk, err := library.MediaChunk(ctx, d.index, string(w.FileID))
		if err != nil {
			return ledger.MediaRow{}, err
		}
		if len(buffer) > 0 && len(buffer)+len(chunk.Data) > cap(buffer) {
			// More than one chunk: room for a part at once, instead of twice what there was each time.
			buffer = slices.Grow(buffer, max(partSize-len(buffer), 0)+len(chunk.Data))
		}
		buffer = append(buffer, chunk.Data...)
		if !chunk.Finished && chunk.Next == d.index {
			return ledger.MediaRow{}, fault.Newf(fault.Retryable, "media-stands-still", "the library gave the same index twice after %d bytes", d.size+int64(len(buffer)))
		}
		d.index = chunk.Next
		if chunk.Finished {
			return d.finish(ctx, buffer)
		}
		if len(buffer) >= partSize {
			if err := d.put(ctx, buffer); err != nil {
				return ledger.MediaRow{}, err
			}
			w.Upload, err = d.state()
			if err != nil {
				return ledger.MediaRow{}, err
			}
			if err := f.ledger.SaveUpload(ctx, w); err != nil {
				return ledger.MediaRow{}, err
			}
			buffer = buffer[:0]
		}
	}
}

// transfer is a download in hand.
type transfer struct {
	store  *objstore.Store
	w      ledger.Waiting
	upload *objstore.MediaUpload // nil: nothing uploaded yet
	parts  []objstore.Part
	index  string
	size   int64
	sha    hash.Hash
	md5    hash.Hash
}

func resume(store *objstore.Store, w ledger.Waiting) (*transfer, error) {
	d := &transfer{store: store, w: w, sha: sha256.New(), md5: md5.New()} // #nosec G401 -- see the import
	if w.Upload == nil {
		return d, nil
	}
	for h, state := range map[hash.Hash][]byte{d.sha: w.Upload.Hash, d.md5: w.Upload.MD5} {
		u, ok := h.(encoding.BinaryUnmarshaler)
		if !ok {
			return nil, fmt.Errorf("the state of a %T can't be restored", h)
		}
		if err := u.UnmarshalBinary(state); err != nil {
			return nil, fmt.Errorf("restore the hash of attachment %s: %w", w.Key(), err)
		}
	}
	d.upload, d.index, d.size = &objstore.MediaUpload{Key: objstore.MediaKey(w.Corp, w.FileID.Hash()), UploadID: w.Upload.ID}, w.Upload.Index, w.Upload.Size
	for _, p := range w.Upload.Parts {
		d.parts = append(d.parts, objstore.Part{N: p.N, ETag: p.ETag, SHA256: p.SHA256})
	}
	return d, nil
}

func (d *transfer) state() (*ledger.Upload, error) {
	u := &ledger.Upload{ID: d.upload.UploadID, Index: d.index, Size: d.size}
	for _, p := range d.parts {
		u.Parts = append(u.Parts, ledger.Part{N: p.N, ETag: p.ETag, SHA256: p.SHA256})
	}
	for h, into := range map[hash.Hash]*[]byte{d.sha: &u.Hash, d.md5: &u.MD5} {
		m, ok := h.(encoding.BinaryMarshaler)
		if !ok {
			return nil, fmt.Errorf("the state of a %T can't be kept", h)
		}
		state, err := m.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("keep the hash of attachment %s: %w", d.w.Key(), err)
		}
		*into = state
	}
	return u, nil
}

// take adds bytes to the hashes. hash.Hash never returns an error.
func (d *transfer) take(data []byte) {
	_, _ = d.sha.Write(data)
	_, _ = d.md5.Write(data)
	d.size += int64(len(data))
}

func (d *transfer) put(ctx context.Context, data []byte) error {
	if d.upload == nil {
		up, err := d.store.NewMediaUpload(ctx, d.w.Corp, d.w.FileID.Hash())
		if err != nil {
			return err
		}
		d.upload = &up
	}
	part, err := d.store.UploadPart(ctx, *d.upload, int32(len(d.parts)+1), data) // #nosec G115 -- S3 takes 10,000 parts
	if err != nil {
		return err
	}
	d.parts = append(d.parts, part)
	d.take(data)
	return nil
}

func (d *transfer) finish(ctx context.Context, rest []byte) (ledger.MediaRow, error) {
	var object objstore.Object
	var err error
	if d.upload == nil {
		d.take(rest)
		object, err = d.store.PutMedia(ctx, d.w.Corp, d.w.FileID.Hash(), rest)
	} else {
		if len(rest) > 0 {
			if err := d.put(ctx, rest); err != nil {
				return ledger.MediaRow{}, err
			}
		}
		object, err = d.store.CompleteMedia(ctx, *d.upload, d.parts, hex.EncodeToString(d.sha.Sum(nil)), d.size)
	}
	if err != nil {
		return ledger.MediaRow{}, err
	}
	return ledger.MediaRow{
		State: ledger.Kept, Size: d.size, SHA256: hex.EncodeToString(d.sha.Sum(nil)), MD5: hex.EncodeToString(d.md5.Sum(nil)),
		Object: object.Key, Version: object.VersionID,
	}, nil
}
