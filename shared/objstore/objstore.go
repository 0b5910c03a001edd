// Package objstore keeps objects in S3, each written once. It owns the keys, the compression, and what a repeated or a
// contested write comes to. Every write is conditional on the key being free and carries a SHA-256 that S3 checks and keeps; a
// write that finds its own content there has succeeded, one that finds other content fails loudly with ErrConflict. So a write that was
// done but reported as failed is harmless when repeated. It must not delete, overwrite, or decide about retries, and it knows
// nothing of what the bytes mean.
//
// Writers need s3:PutObject and s3:GetObject on their prefix: the second to compare. Who may not list the bucket is told of a
// missing key what a forbidden one is told too, so ErrAbsent needs s3:ListBucket.
package objstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/wecomvault/wecomvault/shared/archive"
)

var (
	// ErrAltered marks bytes in S3 that are not those that were written: repeating won't help, a person must look.
	ErrAltered = errors.New("the stored bytes are not those that were written")
	// ErrConflict marks a write to a key that already holds other content.
	ErrConflict = errors.New("the key already holds other content")
	// ErrAbsent marks a key or version that is not there.
	ErrAbsent = errors.New("no such object")
	// ErrUploadGone marks a multipart upload that S3 no longer knows, or can't complete: it must be begun anew.
	ErrUploadGone = errors.New("the multipart upload is gone")
)

// maxContent bounds what is read into memory, against a decompression bomb. A batch of 1,000 of the largest messages has a few
// dozen megabytes.
const maxContent = 256 << 20

// Object names one version of an object.
type Object struct {
	Key       string
	VersionID string // "" in a bucket without versions; reads with "" take the newest version
	SHA256    string // lower-case hex, of the content as given, before compression
	Size      int64  // bytes of the content as given
}

// Store is one bucket. It is safe for concurrent use.
type Store struct {
	client   *s3.Client
	bucket   string
	gzips    *sync.Pool // of *gzip.Writer: each has a megabyte of tables
	zip      *zstd.Encoder
	unzip    *zstd.Decoder
	pageSize int32
}

// New returns the store over a bucket. The bucket should be versioned and locked; nothing here depends on it.
func New(client *s3.Client, bucket string) *Store {
	// A segment of 1,000 messages has 1.2 MB. The window of the default would keep 16 MB of memory for one of 8 MB, and make it no smaller.
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(512<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(fmt.Sprintf("zstd refuses its own defaults: %v", err))
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxContent))
	if err != nil {
		panic(fmt.Sprintf("zstd refuses its own defaults: %v", err))
	}
	return &Store{client: client, bucket: bucket, gzips: &sync.Pool{}, zip: zip, unzip: unzip, pageSize: 1000}
}

// PutBatch keeps the bytes that WeCom handed out for the seqs first to last of a corp.
func (s *Store) PutBatch(ctx context.Context, corp archive.CorpID, first, last archive.Seq, raw []byte) (Object, error) {
	if corp == "" || first > last {
		return Object{}, fmt.Errorf("keep the batch %s to %s of corp %q: the key is not complete", first, last, corp)
	}
	sum := archive.HashHex(raw)
	packed, err := s.gzip(raw)
	if err != nil {
		return Object{}, fmt.Errorf("compress the batch %s to %s of corp %s: %w", first, last, corp, err)
	}
	key := BatchKey{Corp: corp, First: first, Last: last, Hash: sum[:32]}
	return s.put(ctx, write{Object: Object{Key: key.String(), SHA256: sum, Size: int64(len(raw))},
		stored: packed, contentType: "application/gzip", form: gzipped})
}

// batchLevel is how hard a batch is compressed. It is cipher text in base64: what there is to gain is 2 bits of each 8 and the names of the fields,
// and this level has both: 0.703 of the size, at a sixth of the time of the usual level 6, which has 0.704.
const batchLevel = 3

// gzip compresses. The header stays empty (no name, no time): the same batch gives the same bytes.
func (s *Store) gzip(raw []byte) ([]byte, error) {
	var packed bytes.Buffer
	packed.Grow(len(raw)*3/4 + 1024)
	zip, ok := s.gzips.Get().(*gzip.Writer)
	if ok {
		zip.Reset(&packed)
	} else {
		var err error
		if zip, err = gzip.NewWriterLevel(&packed, batchLevel); err != nil {
			return nil, err
		}
	}
	defer s.gzips.Put(zip)
	if _, err := zip.Write(raw); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// Batch reads a batch's bytes as they were received. They must have obj.SHA256 (if that is empty, what their writer said) and the hash
// in the key.
func (s *Store) Batch(ctx context.Context, obj Object) ([]byte, error) {
	key, err := ParseBatchKey(obj.Key)
	if err != nil {
		return nil, fmt.Errorf("read a batch: %w", err)
	}
	raw, sum, err := s.read(ctx, obj, gzipped)
	if err != nil {
		return nil, err
	}
	if sum[:32] != key.Hash {
		return nil, fmt.Errorf("read %s: %w", obj.Key, ErrAltered)
	}
	return raw, nil
}

// PutSegment keeps decoded messages, one JSON document a line.
func (s *Store) PutSegment(ctx context.Context, key SegmentKey, lines []byte) (Object, error) {
	if err := key.check(); err != nil {
		return Object{}, fmt.Errorf("keep a segment: %w", err)
	}
	return s.put(ctx, write{Object: Object{Key: key.String(), SHA256: archive.HashHex(lines), Size: int64(len(lines))},
		stored: s.zip.EncodeAll(lines, make([]byte, 0, len(lines)/3)), contentType: "application/zstd", form: zstandard})
}

// Segment reads a segment's lines.
func (s *Store) Segment(ctx context.Context, obj Object) ([]byte, error) {
	lines, _, err := s.read(ctx, obj, zstandard)
	return lines, err
}

// PutBlob keeps a body as it is: reports, mails, snapshots.
func (s *Store) PutBlob(ctx context.Context, key, contentType string, body []byte) (Object, error) {
	return s.put(ctx, write{Object: Object{Key: key, SHA256: archive.HashHex(body), Size: int64(len(body))},
		stored: body, contentType: contentType, form: plain})
}

// Get reads what PutBlob kept.
func (s *Store) Get(ctx context.Context, obj Object) ([]byte, error) {
	body, _, err := s.read(ctx, obj, plain)
	return body, err
}

// Current names the newest version of a key, with the hash that its writer gave it. A delete marker counts as absent.
func (s *Store) Current(ctx context.Context, key string) (Object, error) {
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return Object{}, fmt.Errorf("look at %s: %w", key, absent(err))
	}
	return object(key, head.VersionId, head.Metadata), nil
}

// form is how content is stored.
type form int

const (
	plain form = iota
	gzipped
	zstandard
)

const (
	metaSHA256 = "content-sha256"
	metaSize   = "content-size"
)

func object(key string, version *string, meta map[string]string) Object {
	size, err := strconv.ParseInt(meta[metaSize], 10, 64)
	if err != nil {
		size = 0 // written by another hand; the hash decides
	}
	return Object{Key: key, VersionID: aws.ToString(version), SHA256: meta[metaSHA256], Size: size}
}

// write is one object to be written.
type write struct {
	Object
	stored      []byte
	contentType string
	form        form
}

// conflictTries is how often a write is tried while S3 answers 409 because another one on the same key is under way.
const conflictTries = 6

// put writes once. It returns the version that holds the content, which may be older than the call.
func (s *Store) put(ctx context.Context, w write) (Object, error) {
	sum := sha256.Sum256(w.stored)
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		out, err := s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.bucket, Key: &w.Key, Body: bytes.NewReader(w.stored), ContentLength: aws.Int64(int64(len(w.stored))),
			ContentType: &w.contentType, IfNoneMatch: aws.String("*"),
			// Object Lock asks for a checksum, and the SDK's default would be a CRC32, or none with a bare configuration.
			ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
			Metadata: map[string]string{metaSHA256: w.SHA256, metaSize: strconv.FormatInt(w.Size, 10)},
		})
		switch status := statusOf(err); {
		case err == nil:
			w.VersionID = aws.ToString(out.VersionId)
			return w.Object, nil
		case status == http.StatusPreconditionFailed:
			obj, err := s.compare(ctx, w.Object, w.form)
			if !errors.Is(err, ErrAbsent) {
				return obj, err
			}
			// It was there and is hidden again: a delete marker reopened the key.
		case status != http.StatusConflict:
			return Object{}, fmt.Errorf("write %s: %w", w.Key, err)
		}
		if try == conflictTries {
			return Object{}, fmt.Errorf("write %s: other writes on the key got in the way %d times", w.Key, try)
		}
		if err := rest(ctx, pause); err != nil {
			return Object{}, fmt.Errorf("write %s: %w", w.Key, err)
		}
		pause *= 2
	}
}

// compare reads the newest version of a key and returns it if its content has the wanted hash. The newest is the only one where the
// bucket's policy denies deletes and unconditional writes.
func (s *Store) compare(ctx context.Context, want Object, f form) (Object, error) {
	body, got, err := s.open(ctx, Object{Key: want.Key}, f)
	if err != nil {
		return Object{}, err
	}
	sum := sha256.New()
	size, err := io.Copy(sum, body)
	closeErr := body.Close()
	switch {
	case errors.Is(err, errForm):
		return Object{}, fmt.Errorf("write %s: %w", want.Key, ErrConflict)
	case err != nil:
		return Object{}, fmt.Errorf("compare %s: %w", want.Key, err)
	case closeErr != nil:
		return Object{}, fmt.Errorf("compare %s: %w", want.Key, closeErr)
	}
	if hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
		return Object{}, fmt.Errorf("write %s: version %s: %w", want.Key, got.VersionID, ErrConflict)
	}
	return Object{Key: want.Key, VersionID: got.VersionID, SHA256: want.SHA256, Size: size}, nil
}

// read reads an object whole and holds it against obj.SHA256, or, if that is empty, against the hash that its writer gave it. It returns that hash
// too.
func (s *Store) read(ctx context.Context, obj Object, f form) ([]byte, string, error) {
	body, got, err := s.open(ctx, obj, f)
	if err != nil {
		return nil, "", err
	}
	content, err := readSized(body, got.Size)
	closeErr := body.Close()
	switch {
	case errors.Is(err, errForm):
		return nil, "", fmt.Errorf("read %s: %w: %w", obj.Key, ErrAltered, err)
	case err != nil:
		return nil, "", fmt.Errorf("read %s: %w", obj.Key, err)
	case closeErr != nil:
		return nil, "", fmt.Errorf("read %s: %w", obj.Key, closeErr)
	case len(content) > maxContent:
		return nil, "", fmt.Errorf("read %s: more than %d bytes", obj.Key, maxContent)
	}
	want := obj.SHA256
	if want == "" {
		want = got.SHA256
	}
	sum := archive.HashHex(content)
	if sum != want {
		return nil, "", fmt.Errorf("read %s: %w", obj.Key, ErrAltered)
	}
	return content, sum, nil
}

// readSized reads to the end, or a little more than maxContent, into memory of the size that is told. A wrong size costs memory and nothing else.
func readSized(r io.Reader, size int64) ([]byte, error) {
	var content bytes.Buffer
	content.Grow(int(min(max(size, 0), largestGuess)) + bytes.MinRead)
	_, err := content.ReadFrom(io.LimitReader(r, maxContent+1))
	return content.Bytes(), err
}

// largestGuess bounds what is taken at once on the word of an object's writer.
const largestGuess = 16 << 20

// open begins to read an object's content. The body must be closed.
func (s *Store) open(ctx context.Context, obj Object, f form) (io.ReadCloser, Object, error) {
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: &obj.Key}
	if obj.VersionID != "" {
		in.VersionId = &obj.VersionID
	}
	out, err := s.client.GetObject(ctx, in, uncompared)
	if err != nil {
		return nil, Object{}, fmt.Errorf("read %s: %w", obj.Key, absent(err))
	}
	got := object(obj.Key, out.VersionId, out.Metadata)
	if f == plain {
		return out.Body, got, nil
	}
	return &unpacked{store: s, form: f, body: out.Body, packed: aws.ToInt64(out.ContentLength)}, got, nil
}

// uncompared lets a body through whose checksum S3 keeps differently. QUIRK: the SDK would end it with an error that can't be told from a
// broken connection; the content's own hash is checked here in any case, and tells.
func uncompared(o *s3.Options) {
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}

// errForm marks stored bytes that can't be decompressed.
var errForm = errors.New("the stored bytes can't be decompressed")

// unpacked decompresses an object's body. A failure to decompress is told from a failure to read by asking the body first.
type unpacked struct {
	store *Store
	form  form
	body  io.ReadCloser
	from  io.Reader

	packed int64 // bytes, as S3 says
}

func (u *unpacked) Read(p []byte) (int, error) {
	if u.from == nil {
		// Batches and segments are small: they are held whole, packed and unpacked.
		packed, err := readSized(u.body, u.packed)
		if err != nil {
			return 0, err
		}
		if u.form == zstandard {
			content, err := u.store.unzip.DecodeAll(packed, nil)
			if err != nil {
				return 0, fmt.Errorf("%w: %w", errForm, err)
			}
			u.from = bytes.NewReader(content)
		} else {
			zip, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				return 0, fmt.Errorf("%w: %w", errForm, err)
			}
			u.from = zip
		}
	}
	n, err := u.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errForm, err)
	}
	return n, err
}

func (u *unpacked) Close() error { return u.body.Close() }

// verified passes a body through and ends it with ErrAltered if its hash is not the wanted one.
type verified struct {
	io.ReadCloser
	key  string
	want string
	sum  hash.Hash
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(v.sum.Sum(nil)) != v.want {
		return n, fmt.Errorf("read %s: %w", v.key, ErrAltered)
	}
	return n, err
}

// statusOf is the HTTP status of an answer that is an error, 0 if there was none.
func statusOf(err error) int {
	var answered interface{ HTTPStatusCode() int }
	if errors.As(err, &answered) {
		return answered.HTTPStatusCode()
	}
	return 0
}

// codeOf is S3's error code, "" if there is none.
func codeOf(err error) string {
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// absent adds ErrAbsent to an answer that says so.
func absent(err error) error {
	if statusOf(err) == http.StatusNotFound && codeOf(err) != "NoSuchBucket" {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return err
}

// rest waits for a moment or for the context's end.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
