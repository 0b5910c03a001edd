package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/wecomvault/wecomvault/shared/local/house"
)

// object is one object of a replica.
type object struct {
	key, contentType string
	body             []byte
	meta             map[string]string
}

// replica reads all objects of a bucket, as a replica in another region has them.
func replica(ctx context.Context, client *s3.Client, bucket string) ([]object, error) {
	var all []object
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: o.Key})
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(out.Body)
			if err := errors.Join(err, out.Body.Close()); err != nil {
				return nil, err
			}
			all = append(all, object{key: aws.ToString(o.Key), contentType: aws.ToString(out.ContentType), body: body, meta: out.Metadata})
		}
	}
	return all, nil
}

// restore writes a replica's objects into a bucket, with their metadata, each only where its key is free, as the bucket's policy demands.
func restore(ctx context.Context, client *s3.Client, bucket string, objects []object) error {
	for _, o := range objects {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &o.key, Body: bytes.NewReader(o.body), ContentType: &o.contentType, Metadata: o.meta,
			IfNoneMatch: aws.String("*"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
		if err != nil {
			return fmt.Errorf("restore %s: %w", o.key, err)
		}
	}
	return nil
}

// lostBucket: the objects are copied back from a replica; fsck finds them under their new versions.
func lostBucket(ctx context.Context, s *scene) error {
	bucket := s.Template.Outputs["ArchiveBucket"]
	copied, err := replica(ctx, s3.NewFromConfig(s.Config(house.Operator)), bucket)
	if err != nil {
		return err
	}
	if err := s.shut(); err != nil {
		return err
	}
	for _, folder := range []string{"batches", "segments", "media", "directory"} {
		for _, root := range []string{"objects", "versions"} {
			if err := os.RemoveAll(filepath.Join(s.data, "s3", root, bucket, folder)); err != nil {
				return err
			}
		}
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	client := s3.NewFromConfig(s.Config(house.Operator))
	if left, err := replica(ctx, client, bucket); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("%d objects are left", len(left)))
	}
	s.breaks("%d objects are gone", len(copied))
	if err := s.Start(); err != nil {
		return err
	}
	code, out, err := s.vaultctl(ctx, "fsck")
	if err != nil {
		return err
	}
	missing := kinds(out)
	if code == 0 || missing["batch-missing"] == 0 || missing["media-missing"] == 0 {
		return fmt.Errorf("fsck names only %v", missing)
	}
	s.does("the replica's %d objects are copied back (S3 Batch Operations; they get new version ids)", len(copied))
	if err := restore(ctx, client, bucket, copied); err != nil {
		return err
	}
	if out, err = s.must(ctx, "fsck"); err != nil {
		return err
	}
	mended := kinds(out)
	if err := s.sound(ctx); err != nil {
		return err
	}
	if _, err := s.must(ctx, "replay", "-from", "batches"); err != nil {
		return err
	}
	s.recovered("fsck found %d batches and %d attachments again under new versions; every message as before", mended["batch-missing"], mended["media-missing"])
	return nil
}
