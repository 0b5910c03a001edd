package objstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// PartSize is the size in bytes of each part of an upload but the last. S3 wants at least 5 MiB and at most 10,000 parts, so
// this reaches to 78 GiB. A file that fits into one part goes by PutMedia.
const PartSize = 8 << 20

// MediaUpload is a multipart upload under way. It is plain data: whoever keeps it with the parts can go on elsewhere.
type MediaUpload struct {
	Key      string
	UploadID string
}

// Part is an uploaded part, as CompleteMedia wants it back.
type Part struct {
	N      int32 // from 1
	ETag   string
	SHA256 string // base64, as S3 gives it
}

// PutMedia keeps an attachment of at most PartSize bytes by a single write. fileHash is archive.FileID.Hash. The content's
// hash is kept as an attribute.
func (s *Store) PutMedia(ctx context.Context, corp archive.CorpID, fileHash string, content []byte) (Object, error) {
	return s.put(ctx, write{Object: Object{Key: MediaKey(corp, fileHash), SHA256: archive.HashHex(content), Size: int64(len(content))},
		stored: content, contentType: mediaType, form: plain})
}

// mediaType says nothing: what an attachment is, its message says, and nobody's browser should guess.
const mediaType = "application/octet-stream"

// NewMediaUpload begins a multipart upload. S3 keeps its parts until it is completed or aborted, or until the bucket's
// lifecycle aborts it.
func (s *Store) NewMediaUpload(ctx context.Context, corp archive.CorpID, fileHash string) (MediaUpload, error) {
	key := MediaKey(corp, fileHash)
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: &key, ContentType: aws.String(mediaType),
		// QUIRK: S3 offers SHA-256 of a whole multipart object only as a hash over the parts' hashes (COMPOSITE), and takes
		// attributes only at the beginning, when the content's own hash is not known yet. That one is kept in the ledger.
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumType: types.ChecksumTypeComposite,
	})
	if err != nil {
		return MediaUpload{}, fmt.Errorf("begin the upload of %s: %w", key, err)
	}
	return MediaUpload{Key: key, UploadID: aws.ToString(out.UploadId)}, nil
}

// UploadPart uploads part n, counted from 1. Uploading a part again replaces it.
func (s *Store) UploadPart(ctx context.Context, up MediaUpload, n int32, data []byte) (Part, error) {
	hash := sha256.Sum256(data)
	sum := base64.StdEncoding.EncodeToString(hash[:])
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: &up.Key, UploadId: &up.UploadID, PartNumber: &n, Body: bytes.NewReader(data),
		ContentLength: aws.Int64(int64(len(data))), ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumSHA256: &sum,
	})
	if err != nil {
		return Part{}, fmt.Errorf("upload part %d of %s: %w", n, up.Key, gone(err))
	}
	return Part{N: n, ETag: aws.ToString(out.ETag), SHA256: sum}, nil
}

// CompleteMedia joins the parts, given in order, into the object. sha256Hex and size are the whole content's. If the key was
// written meanwhile, or this upload was completed before and the answer lost, the content there is compared. ErrUploadGone means that there
// is neither the upload nor the object, or that the upload no longer has these parts.
func (s *Store) CompleteMedia(ctx context.Context, up MediaUpload, parts []Part, sha256Hex string, size int64) (Object, error) {
	done := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		done[i] = types.CompletedPart{PartNumber: &p.N, ETag: &p.ETag, ChecksumSHA256: &p.SHA256}
	}
	want := Object{Key: up.Key, SHA256: sha256Hex, Size: size}
	out, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: &up.Key, UploadId: &up.UploadID, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	})
	if err == nil && out.VersionId != nil {
		want.VersionID = *out.VersionId
		return want, nil
	}
	if err == nil {
		// An upload that was completed before may be answered without its version.
		return s.compare(ctx, want, plain)
	}
	if codeOf(err) == "InvalidPart" {
		// Another worker has uploaded one of these parts again. QUIRK: under a KMS key the same bytes get another ETag each time, so a part is
		// known by the answer to its last upload alone. The upload is left to the other worker, and to the bucket's lifecycle.
		return Object{}, fmt.Errorf("complete the upload of %s: %w: %w", up.Key, ErrUploadGone, err)
	}
	status := statusOf(err)
	uploadGone := codeOf(err) == "NoSuchUpload"
	// QUIRK: after a 409 S3 wants the whole upload to be begun anew.
	if !uploadGone && status != http.StatusPreconditionFailed && status != http.StatusConflict {
		return Object{}, fmt.Errorf("complete the upload of %s: %w", up.Key, err)
	}
	kept, compareErr := s.compare(ctx, want, plain)
	if errors.Is(compareErr, ErrAbsent) {
		return Object{}, fmt.Errorf("complete the upload of %s: %w: %w", up.Key, ErrUploadGone, err)
	}
	if compareErr != nil {
		return Object{}, compareErr
	}
	if !uploadGone {
		if err := s.AbortMedia(ctx, up); err != nil {
			return Object{}, err
		}
	}
	return kept, nil
}

// AbortMedia gives up an upload. An upload that is gone already is no error.
func (s *Store) AbortMedia(ctx context.Context, up MediaUpload) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &up.Key, UploadId: &up.UploadID})
	if err != nil && codeOf(err) != "NoSuchUpload" {
		return fmt.Errorf("abort the upload of %s: %w", up.Key, err)
	}
	return nil
}

// OpenMedia streams an attachment. The reader ends with ErrAltered instead of io.EOF if the content does not have obj.SHA256, which
// must be given. It must be closed.
func (s *Store) OpenMedia(ctx context.Context, obj Object) (io.ReadCloser, error) {
	if obj.SHA256 == "" {
		return nil, fmt.Errorf("read %s: the hash to hold it against is missing", obj.Key)
	}
	body, _, err := s.open(ctx, obj, plain)
	if err != nil {
		return nil, err
	}
	return &verified{ReadCloser: body, key: obj.Key, want: obj.SHA256, sum: sha256.New()}, nil
}

// ReadMedia streams the newest version of an attachment whose hash nobody knows any more. It must be closed.
func (s *Store) ReadMedia(ctx context.Context, key string) (io.ReadCloser, Object, error) {
	return s.open(ctx, Object{Key: key}, plain)
}

// gone adds ErrUploadGone to an answer that says so.
func gone(err error) error {
	if codeOf(err) == "NoSuchUpload" {
		return fmt.Errorf("%w: %w", ErrUploadGone, err)
	}
	return err
}
