package objstore

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Version is one version of a key as S3 lists it.
type Version struct {
	Key       string
	VersionID string
	Size      int64 // bytes as stored, compressed; 0 for a marker
	Time      time.Time
	Newest    bool // what a read without a version sees
	Marker    bool // a delete marker, which nobody should have been able to set
}

// List yields every version of every key below a prefix, keys in order, the newest version of a key first. It ends with the
// first error. It needs s3:ListBucketVersions.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		pages := s3.NewListObjectVersionsPaginator(s.client, &s3.ListObjectVersionsInput{Bucket: &s.bucket, Prefix: &prefix, MaxKeys: &s.pageSize})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Version{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			for _, v := range merge(page) {
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

// merge puts a page's versions and markers, which the SDK keeps apart, into one order again.
func merge(page *s3.ListObjectVersionsOutput) []Version {
	all := make([]Version, 0, len(page.Versions)+len(page.DeleteMarkers))
	for _, v := range page.Versions {
		all = append(all, Version{Key: aws.ToString(v.Key), VersionID: aws.ToString(v.VersionId), Size: aws.ToInt64(v.Size),
			Time: aws.ToTime(v.LastModified), Newest: aws.ToBool(v.IsLatest)})
	}
	for _, m := range page.DeleteMarkers {
		all = append(all, Version{Key: aws.ToString(m.Key), VersionID: aws.ToString(m.VersionId), Time: aws.ToTime(m.LastModified),
			Newest: aws.ToBool(m.IsLatest), Marker: true})
	}
	slices.SortStableFunc(all, func(a, b Version) int {
		switch {
		case a.Key != b.Key:
			return strings.Compare(a.Key, b.Key)
		case a.Newest != b.Newest:
			if a.Newest {
				return -1
			}
			return 1
		default:
			return b.Time.Compare(a.Time)
		}
	})
	return all
}

// Versions lists the versions of one key, oldest first: the first one is what was archived.
func (s *Store) Versions(ctx context.Context, key string) ([]Version, error) {
	var found []Version
	for v, err := range s.List(ctx, key) {
		if err != nil {
			return nil, err
		}
		if v.Key != key {
			break // a longer key with the same beginning sorts behind
		}
		found = append(found, v)
	}
	slices.Reverse(found)
	return found, nil
}
