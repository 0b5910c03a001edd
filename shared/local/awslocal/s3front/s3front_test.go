package s3front_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front/s3test"
)

func TestSmoke(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: "vault", Lock: true, LockMode: "COMPLIANCE", LockDays: 1})
	put, err := e.Client.PutObject(context.Background(), &s3.PutObjectInput{Bucket: aws.String("vault"), Key: aws.String("a=b/ü"),
		Body: strings.NewReader("hello"), IfNoneMatch: aws.String("*"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Client.GetObjectRetention(context.Background(), &s3.GetObjectRetentionInput{Bucket: aws.String("vault"), Key: aws.String("a=b/ü"), VersionId: put.VersionId})
	t.Log(r, err)
}
