package s3front_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front/s3test"
)

// noRetry sends each request once.
func noRetry(o *s3.Options) { o.Retryer = aws.NopRetryer{} }

func TestALargeBodyThatIsRefusedEarlyGetsItsAnswerAndHarmsNoOther(t *testing.T) {
	ctx := context.Background()
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: "vault", Lock: true})
	part := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
	for i := range 30 {
		_, err := e.Client.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String("vault"), Key: aws.String("k"), UploadId: aws.String("none"), PartNumber: aws.Int32(1), Body: bytes.NewReader(part)}, noRetry)
		if codeOf(err) != "NoSuchUpload" {
			t.Fatalf("part %d of no upload: %v, want NoSuchUpload", i, err)
		}
		if _, err := e.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("vault"), Key: aws.String("k"), Body: bytes.NewReader(part[:1<<20]), ChecksumSHA256: aws.String("x")}, noRetry); codeOf(err) != "InvalidRequest" {
			t.Fatalf("object %d with a checksum that is none: %v, want InvalidRequest", i, err)
		}
		if _, err := e.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("vault")}, noRetry); err != nil {
			t.Fatalf("the request behind the refused one: %v", err)
		}
	}
}

func TestAnAbortedUploadIsNotCompletedOverAnObject(t *testing.T) {
	ctx := context.Background()
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: "vault", Versioned: true})
	bucket, key := aws.String("vault"), aws.String("k")
	upload := func() (*string, *types.CompletedMultipartUpload) {
		made, err := e.Client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		part, err := e.Client.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: made.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader([]byte("part"))})
		if err != nil {
			t.Fatal(err)
		}
		return made.UploadId, &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1)}}}
	}
	complete := func(id *string, parts *types.CompletedMultipartUpload) error {
		_, err := e.Client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: id, MultipartUpload: parts}, noRetry)
		return err
	}
	if _, err := e.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader([]byte("other"))}); err != nil {
		t.Fatal(err)
	}
	id, parts := upload()
	if _, err := e.Client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: id}); err != nil {
		t.Fatal(err)
	}
	if err := complete(id, parts); codeOf(err) != "NoSuchUpload" {
		t.Errorf("completing what was aborted: %v, want NoSuchUpload", err)
	}
	id, parts = upload()
	for range 2 {
		if err := complete(id, parts); err != nil {
			t.Errorf("completing, and completing again: %v", err)
		}
	}
}

func TestALockedObjectNeedsAChecksum(t *testing.T) {
	ctx := context.Background()
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: "vault", Lock: true, LockMode: "GOVERNANCE", LockDays: 1}, s3front.Bucket{Name: "plain", Lock: true})
	bare := func(o *s3.Options) {
		noRetry(o)
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	}
	put := func(bucket string, change func(*s3.PutObjectInput)) string {
		in := &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("k"), Body: bytes.NewReader([]byte("x"))}
		if change != nil {
			change(in)
		}
		_, err := e.Client.PutObject(ctx, in, bare)
		return codeOf(err)
	}
	if got := put("vault", nil); got != "InvalidRequest" {
		t.Errorf("under a default retention without a checksum: %q, want InvalidRequest", got)
	}
	if got := put("plain", func(in *s3.PutObjectInput) { in.ObjectLockLegalHoldStatus = types.ObjectLockLegalHoldStatusOn }); got != "InvalidRequest" {
		t.Errorf("with a hold without a checksum: %q, want InvalidRequest", got)
	}
	if got := put("plain", nil); got != "" {
		t.Errorf("without any lock: %q", got)
	}
	if got := put("vault", func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32 }); got != "" {
		t.Errorf("with a checksum: %q", got)
	}
}

func TestALockWhereThereIsNoneLeavesNothing(t *testing.T) {
	ctx := context.Background()
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: "plain", Versioned: true})
	for _, change := range []func(*s3.PutObjectInput){
		func(in *s3.PutObjectInput) { in.ObjectLockLegalHoldStatus = types.ObjectLockLegalHoldStatusOff },
		func(in *s3.PutObjectInput) {
			in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockModeGovernance, aws.Time(time.Now().Add(time.Hour))
		},
	} {
		in := &s3.PutObjectInput{Bucket: aws.String("plain"), Key: aws.String("k"), Body: bytes.NewReader([]byte("x"))}
		change(in)
		if _, err := e.Client.PutObject(ctx, in); codeOf(err) != "InvalidRequest" {
			t.Errorf("a lock in a bucket without: %v, want InvalidRequest", err)
		}
		if _, err := e.Client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("plain"), Key: aws.String("k")}); statusOf(err) != 404 {
			t.Errorf("what was refused is there: %v", err)
		}
	}
}

func TestAnOlderVersionKeepsItsLock(t *testing.T) {
	ctx := context.Background()
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: "vault", Lock: true})
	bucket, key := aws.String("vault"), aws.String("k")
	until := time.Now().Add(time.Hour)
	for name, lock := range map[string]*s3.PutObjectInput{
		"retention": {ObjectLockMode: types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &until},
		"hold":      {ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn},
	} {
		lock.Bucket, lock.Key, lock.Body, lock.ChecksumAlgorithm = bucket, key, bytes.NewReader([]byte(name)), types.ChecksumAlgorithmSha256
		old, err := e.Client.PutObject(ctx, lock)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader([]byte("newer"))}); err != nil {
			t.Fatal(err)
		}
		if name == "hold" {
			_, err = e.Client.GetObjectLegalHold(ctx, &s3.GetObjectLegalHoldInput{Bucket: bucket, Key: key, VersionId: old.VersionId})
		} else {
			_, err = e.Client.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: bucket, Key: key, VersionId: old.VersionId})
		}
		if err != nil {
			t.Errorf("the %s of an older version: %v", name, err)
		}
		if _, err := e.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key, VersionId: old.VersionId}); codeOf(err) != "AccessDenied" {
			t.Errorf("an older version is deleted in spite of its %s: %v", name, err)
		}
	}
}

func TestAnObjectWithoutALockHasNoneToShow(t *testing.T) {
	ctx := context.Background()
	e := s3test.Start(t, s3front.Config{Now: time.Now}, s3front.Bucket{Name: "vault", Lock: true})
	if _, err := e.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("vault"), Key: aws.String("k"), Body: bytes.NewReader(nil)}); err != nil {
		t.Fatal(err)
	}
	_, err := e.Client.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: aws.String("vault"), Key: aws.String("k")})
	if codeOf(err) != "NoSuchObjectLockConfiguration" || statusOf(err) != 404 {
		t.Errorf("a retention that is not there: %v, want 404", err)
	}
	_, err = e.Client.GetObjectLegalHold(ctx, &s3.GetObjectLegalHoldInput{Bucket: aws.String("vault"), Key: aws.String("k")})
	if codeOf(err) != "NoSuchObjectLockConfiguration" || statusOf(err) != 404 {
		t.Errorf("a hold that is not there: %v, want 404", err)
	}
}

func statusOf(err error) int {
	var answer *http.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}
