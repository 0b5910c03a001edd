package s3front_test

import (
	"context"
	"crypto/md5" // #nosec G501 -- S3's own name for an upload's parts
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front/s3test"
)

// TestAnUploadThatCouldNotBeCompletedCanBeLater leaves an upload as versitygw does on a full disk when a part comes again meanwhile.
func TestAnUploadThatCouldNotBeCompletedCanBeLater(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket})
	ctx, key := context.Background(), "media/a"
	up, err := e.Client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	send := func() *s3.UploadPartOutput {
		t.Helper()
		part, err := e.Client.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String(bucket), Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("part")})
		if err != nil {
			t.Fatal(err)
		}
		return part
	}
	part := send()
	inner := md5.Sum([]byte("part")) // #nosec G401
	folder := filepath.Join(e.Dir(), "objects", bucket, ".sgwtmp", "multipart", fmt.Sprintf("%x", sha256.Sum256([]byte(key))), *up.UploadId)
	aside := fmt.Sprintf("%s.%x-1.inprogress", folder, md5.Sum(inner[:])) // #nosec G401
	if err := os.CopyFS(aside, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	complete := func() error {
		_, err := e.Client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: aws.String(bucket), Key: &key, UploadId: up.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}}}},
			func(o *s3.Options) { o.RetryMaxAttempts = 1 })
		return err
	}
	if err := complete(); err == nil {
		t.Fatal("versitygw completes it at once: the quirk is gone, and so may free be")
	}
	if err := complete(); err != nil {
		t.Fatalf("it can't be completed after its parts were put back: %v", err)
	}
	got, err := e.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil || aws.ToInt64(got.ContentLength) != 4 {
		t.Errorf("the object is %v, %v", got, err)
	}
}
