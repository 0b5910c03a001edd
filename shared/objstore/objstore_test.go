package objstore_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front/s3test"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

const bucket = "vault-archive"

var locked = s3front.Bucket{Name: bucket, Lock: true, LockMode: "GOVERNANCE", LockDays: 1}

// local starts a local S3 with the archive's bucket.
func local(t *testing.T) (*s3test.Env, *objstore.Store) {
	t.Helper()
	e := s3test.Start(t, s3front.Config{}, locked)
	return e, objstore.New(e.Client, bucket)
}

// target is the bucket that the suite runs against: the local one, or with WECOMVAULT_TEST_AWS_BUCKET a real one, which should
// have Object Lock in governance mode for a day. A corp's id of its own keeps each run apart from the others.
func target(t *testing.T) (*objstore.Store, *s3.Client, string, archive.CorpID) {
	t.Helper()
	corp := archive.CorpID("test " + rand.Text())
	name := os.Getenv("WECOMVAULT_TEST_AWS_BUCKET")
	if name == "" {
		e, store := local(t)
		return store, e.Client, bucket, corp
	}
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(cfg)
	return objstore.New(client, name), client, name, corp
}

func TestContentComesBackAsItWasGiven(t *testing.T) {
	ctx := context.Background()
	store, _, _, corp := target(t)
	raw := []byte(`{"errcode":0,"chatdata":[` + strings.Repeat(`{"seq":1},`, 500) + `{"seq":2}]}` + "\n")
	batch, err := store.PutBatch(ctx, corp, 1, 2, raw)
	if err != nil {
		t.Fatal(err)
	}
	want := objstore.Object{Key: objstore.BatchKey{Corp: corp, First: 1, Last: 2, Hash: archive.HashHex(raw)[:32]}.String(),
		VersionID: batch.VersionID, SHA256: archive.HashHex(raw), Size: int64(len(raw))}
	if diff := cmp.Diff(want, batch); diff != "" || batch.VersionID == "" {
		t.Errorf("batch %+v (-want +got)\n%s", batch, diff)
	}
	segmentKey := objstore.SegmentKey{Class: objstore.DefaultClass, Corp: corp, Day: "2026-02-28", BatchHash: archive.HashHex(raw)[:32], Slice: archive.HashHex(raw)[:16]}
	segment, err := store.PutSegment(ctx, segmentKey, raw)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := store.PutBlob(ctx, objstore.ReportKey(corp, "2026-02-28", "R1.json"), "application/json", raw)
	if err != nil {
		t.Fatal(err)
	}
	media, err := store.PutMedia(ctx, corp, archive.FileID("file").Hash(), raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() ([]byte, error){
		"batch":   func() ([]byte, error) { return store.Batch(ctx, batch) },
		"segment": func() ([]byte, error) { return store.Segment(ctx, segment) },
		"blob":    func() ([]byte, error) { return store.Get(ctx, blob) },
		"media":   func() ([]byte, error) { return readMedia(ctx, store, media) },
		"without version and hash": func() ([]byte, error) {
			return store.Batch(ctx, objstore.Object{Key: batch.Key})
		},
	} {
		got, err := read()
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: read %d bytes, %v; want the %d given", name, len(got), err, len(raw))
		}
	}
	current, err := store.Current(ctx, batch.Key)
	if diff := cmp.Diff(batch, current); diff != "" || err != nil {
		t.Errorf("current version (-want +got)\n%s%v", diff, err)
	}
}

func readMedia(ctx context.Context, store *objstore.Store, obj objstore.Object) ([]byte, error) {
	body, err := store.OpenMedia(ctx, obj)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(body)
	return content, errors.Join(err, body.Close())
}

// writes are the ways to write a whole object, for tests of what they have in common.
func writes(store *objstore.Store, corp archive.CorpID) map[string]func(context.Context, []byte) (objstore.Object, error) {
	return map[string]func(context.Context, []byte) (objstore.Object, error){
		"segment": func(ctx context.Context, b []byte) (objstore.Object, error) {
			return store.PutSegment(ctx, objstore.SegmentKey{Class: objstore.DefaultClass, Corp: corp, Day: "2026-02-28", BatchHash: strings.Repeat("ab", 16), Slice: strings.Repeat("cd", 8)}, b)
		},
		"blob": func(ctx context.Context, b []byte) (objstore.Object, error) {
			return store.PutBlob(ctx, objstore.DirectoryKey(corp, "snapshot.json"), "application/json", b)
		},
		"media": func(ctx context.Context, b []byte) (objstore.Object, error) {
			return store.PutMedia(ctx, corp, archive.FileID("small").Hash(), b)
		},
		"upload": func(ctx context.Context, b []byte) (objstore.Object, error) {
			up, err := store.NewMediaUpload(ctx, corp, archive.FileID("large").Hash())
			if err != nil {
				return objstore.Object{}, err
			}
			part, err := store.UploadPart(ctx, up, 1, b)
			if err != nil {
				return objstore.Object{}, err
			}
			return store.CompleteMedia(ctx, up, []objstore.Part{part}, archive.HashHex(b), int64(len(b)))
		},
	}
}

func TestWritingAgainReturnsTheFirstVersion(t *testing.T) {
	ctx := context.Background()
	store, _, _, corp := target(t)
	all := writes(store, corp)
	all["batch"] = func(ctx context.Context, b []byte) (objstore.Object, error) {
		return store.PutBatch(ctx, corp, 3, 4, b)
	}
	for name, write := range all {
		first, err := write(ctx, []byte("content"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		second, err := write(ctx, []byte("content"))
		if diff := cmp.Diff(first, second); diff != "" || err != nil {
			t.Errorf("%s written again: %v (-first +second)\n%s", name, err, diff)
		}
		if versions, err := store.Versions(ctx, first.Key); err != nil || len(versions) != 1 {
			t.Errorf("%s has the versions %+v, %v; want one", name, versions, err)
		}
	}
}

func TestOtherContentUnderTheSameKeyIsAConflict(t *testing.T) {
	ctx := context.Background()
	store, _, _, corp := target(t)
	for name, write := range writes(store, corp) {
		first, err := write(ctx, []byte("content"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := write(ctx, []byte("other")); !errors.Is(err, objstore.ErrConflict) {
			t.Errorf("%s: other content gives %v, want ErrConflict", name, err)
		}
		if now, err := store.Current(ctx, first.Key); err != nil || now.VersionID != first.VersionID {
			t.Errorf("%s: the newest version is %s, %v; want %s", name, now.VersionID, err, first.VersionID)
		}
	}
}

func TestOneOfEightWritersWins(t *testing.T) {
	ctx := context.Background()
	store, _, _, corp := target(t)
	const writers = 8
	for round := range 5 {
		key := objstore.DirectoryKey(corp, fmt.Sprint(round))
		var won, lost atomic.Int32
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() {
				_, err := store.PutBlob(ctx, key, "text/plain", bytes.Repeat([]byte{byte('a' + i)}, 10000))
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, objstore.ErrConflict):
					lost.Add(1)
				default:
					t.Errorf("writer %d: %v", i, err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || lost.Load() != writers-1 {
			t.Errorf("%d writers won and %d lost, want 1 and %d", won.Load(), lost.Load(), writers-1)
		}
		var versions sync.Map
		for range writers {
			group.Go(func() {
				obj, err := store.PutBatch(ctx, corp, archive.Seq(round), archive.Seq(round), []byte("same"))
				if err != nil {
					t.Errorf("the same batch: %v", err)
				}
				versions.Store(obj.VersionID, true)
			})
		}
		group.Wait()
		n := 0
		versions.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d versions of the same batch were returned, want 1", n)
		}
	}
}

func TestAlteredBytesAreNoticed(t *testing.T) {
	ctx := context.Background()
	store, client, name, corp := target(t)
	batch, err := store.PutBatch(ctx, corp, 1, 2, []byte("original"))
	if err != nil {
		t.Fatal(err)
	}
	for what, body := range map[string]string{
		"garbage":          "no gzip at all",
		"other content":    gzipOf(t, "forged"),
		"more behind":      gzipOf(t, "original") + "x",
		"a cut-off stream": gzipOf(t, "original")[:20],
	} {
		put, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &name, Key: &batch.Key, Body: strings.NewReader(body),
			ChecksumAlgorithm: "SHA256", Metadata: map[string]string{"content-sha256": batch.SHA256}})
		if err != nil {
			t.Fatal(err)
		}
		forged := batch
		forged.VersionID = aws.ToString(put.VersionId)
		if _, err := store.Batch(ctx, forged); !errors.Is(err, objstore.ErrAltered) {
			t.Errorf("%s: %v, want ErrAltered", what, err)
		}
		if got, err := store.Batch(ctx, batch); err != nil || string(got) != "original" {
			t.Errorf("the archived version reads %q, %v", got, err)
		}
	}
	blob, err := store.PutBlob(ctx, objstore.DirectoryKey(corp, "x"), "text/plain", []byte("names"))
	if err != nil {
		t.Fatal(err)
	}
	blob.SHA256 = archive.HashHex([]byte("other names"))
	if _, err := store.Get(ctx, blob); !errors.Is(err, objstore.ErrAltered) {
		t.Errorf("a blob with another hash: %v, want ErrAltered", err)
	}
	media, err := store.PutMedia(ctx, corp, archive.FileID("f").Hash(), []byte("picture"))
	if err != nil {
		t.Fatal(err)
	}
	media.SHA256 = archive.HashHex([]byte("another picture"))
	if _, err := readMedia(ctx, store, media); !errors.Is(err, objstore.ErrAltered) {
		t.Errorf("media with another hash: %v, want ErrAltered", err)
	}
}

func TestTheOldestVersionIsTheFirst(t *testing.T) {
	ctx := context.Background()
	store, client, name, corp := target(t)
	first, err := store.PutBlob(ctx, objstore.DirectoryKey(corp, "x"), "text/plain", []byte("archived"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{first.VersionID}
	for range 2 {
		put, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &name, Key: &first.Key, Body: strings.NewReader("forged"), ChecksumAlgorithm: "SHA256"})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, aws.ToString(put.VersionId))
	}
	if _, err := store.PutBlob(ctx, first.Key+"-longer", "text/plain", []byte("x")); err != nil {
		t.Fatal(err)
	}
	versions, err := store.Versions(ctx, first.Key)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range versions {
		got = append(got, v.VersionID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("versions (-want +got)\n%s", diff)
	}
}

func gzipOf(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, err := zip.Write([]byte(content))
	if err := errors.Join(err, zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatIsNotThereIsAbsent(t *testing.T) {
	ctx := context.Background()
	store, _, _, corp := target(t)
	key := objstore.DirectoryKey(corp, "none")
	if _, err := store.Get(ctx, objstore.Object{Key: key}); !errors.Is(err, objstore.ErrAbsent) {
		t.Errorf("read: %v, want ErrAbsent", err)
	}
	if _, err := store.Current(ctx, key); !errors.Is(err, objstore.ErrAbsent) {
		t.Errorf("look: %v, want ErrAbsent", err)
	}
	if found, err := store.Versions(ctx, key); err != nil || len(found) != 0 {
		t.Errorf("versions: %v, %v, want none", found, err)
	}
}

func TestAnUploadGoesOnInAnotherProcess(t *testing.T) {
	ctx := context.Background()
	store, client, name, corp := target(t)
	content := make([]byte, 2*objstore.PartSize+12345)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	up, err := store.NewMediaUpload(ctx, corp, archive.FileID("film").Hash())
	if err != nil {
		t.Fatal(err)
	}
	var parts []objstore.Part
	for n := 0; n*objstore.PartSize < len(content); n++ {
		chunk := content[n*objstore.PartSize : min((n+1)*objstore.PartSize, len(content))]
		other := objstore.New(client, name) // all that goes from one to the next is up and parts
		if _, err := other.UploadPart(ctx, up, int32(n+1), chunk); err != nil {
			t.Fatal(err)
		}
		part, err := other.UploadPart(ctx, up, int32(n+1), chunk)
		if err != nil {
			t.Fatalf("the same part again: %v", err)
		}
		parts = append(parts, part)
	}
	kept, err := store.CompleteMedia(ctx, up, parts, archive.HashHex(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readMedia(ctx, store, kept)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, %v; want the %d uploaded", len(got), err, len(content))
	}
	again, err := store.CompleteMedia(ctx, up, parts, archive.HashHex(content), int64(len(content)))
	if diff := cmp.Diff(kept, again); diff != "" || err != nil {
		t.Errorf("completed again: %v (-first +second)\n%s", err, diff)
	}
}

func TestAnAbortedUploadIsGone(t *testing.T) {
	ctx := context.Background()
	store, _, _, corp := target(t)
	up, err := store.NewMediaUpload(ctx, corp, archive.FileID("film").Hash())
	if err != nil {
		t.Fatal(err)
	}
	part, err := store.UploadPart(ctx, up, 1, []byte("part"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.AbortMedia(ctx, up); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.UploadPart(ctx, up, 2, []byte("part")); !errors.Is(err, objstore.ErrUploadGone) {
		t.Errorf("a part after the abort: %v, want ErrUploadGone", err)
	}
	if _, err := store.CompleteMedia(ctx, up, []objstore.Part{part}, archive.HashHex([]byte("part")), 4); !errors.Is(err, objstore.ErrUploadGone) {
		t.Errorf("completing after the abort: %v, want ErrUploadGone", err)
	}
}

// Two workers at one file: each uploads the same part. Under a KMS key the later upload changes the part's ETag; here other bytes do.
func TestAnUploadWhosePartAnotherWorkerReplacedIsGone(t *testing.T) {
	ctx := context.Background()
	store, _, _, corp := target(t)
	up, err := store.NewMediaUpload(ctx, corp, archive.FileID("film").Hash())
	if err != nil {
		t.Fatal(err)
	}
	mine, err := store.UploadPart(ctx, up, 1, []byte("part"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.UploadPart(ctx, up, 1, []byte("the other worker's part")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.CompleteMedia(ctx, up, []objstore.Part{mine}, archive.HashHex([]byte("part")), 4); !errors.Is(err, objstore.ErrUploadGone) {
		t.Errorf("completing with a part that was replaced: %v, want ErrUploadGone", err)
	}
}

func TestWritesThatWereDoneButReportedAsFailedAreHarmless(t *testing.T) {
	e, store := local(t)
	ctx := context.Background()
	all := writes(store, "ww1")
	all["batch"] = func(ctx context.Context, b []byte) (objstore.Object, error) {
		return store.PutBatch(ctx, "ww1", 3, 4, b)
	}
	for name, write := range all {
		for what, decision := range map[string]awslocal.FaultDecision{
			"answered with 500":  {Act: awslocal.FailAfter, Status: http.StatusInternalServerError, Code: "InternalError"},
			"answered with 403":  {Act: awslocal.FailAfter, Status: http.StatusForbidden, Code: "AccessDenied"},
			"cut off":            {Act: awslocal.CutAfter},
			"refused beforehand": {Act: awslocal.Refuse, Status: http.StatusServiceUnavailable, Code: "SlowDown"},
		} {
			content := []byte("content")
			var hits atomic.Int32
			e.SetFault(func(r awslocal.FaultRequest) awslocal.FaultDecision {
				if (r.Operation == "PutObject" || r.Operation == "CompleteMultipartUpload") && hits.Add(1) == 1 {
					return decision
				}
				return awslocal.FaultDecision{}
			})
			first, err := write(ctx, content)
			if err != nil {
				// The caller does its work again, from the beginning.
				if first, err = write(ctx, content); err != nil {
					t.Errorf("%s, %s: %v", name, what, err)
					continue
				}
			}
			e.SetFault(nil)
			if versions, err := store.Versions(ctx, first.Key); err != nil || len(versions) != 1 || versions[0].VersionID != first.VersionID {
				t.Errorf("%s, %s: versions %+v, %v; want only %s", name, what, versions, err, first.VersionID)
			}
		}
	}
}

func TestAConflictWithAnotherWriteIsTriedAgain(t *testing.T) {
	e, store := local(t)
	var hits atomic.Int32
	e.SetFault(func(r awslocal.FaultRequest) awslocal.FaultDecision {
		if r.Operation == "PutObject" && hits.Add(1) <= 2 {
			return awslocal.FaultDecision{Act: awslocal.Refuse, Status: http.StatusConflict, Code: "ConditionalRequestConflict"}
		}
		return awslocal.FaultDecision{}
	})
	if _, err := store.PutBlob(context.Background(), "reports/x", "text/plain", []byte("x")); err != nil {
		t.Error(err)
	}
	if hits.Load() != 3 {
		t.Errorf("%d tries, want 3", hits.Load())
	}
}

// archivePolicy is the bucket's policy in production, in short.
const archivePolicy = `{"Version": "2012-10-17", "Statement": [
 {"Effect": "Deny", "Principal": "*", "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"], "Resource": "arn:aws:s3:::vault-archive/*"},
 {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::vault-archive/*",
  "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}}]}`

func TestWritersNeedNoMoreThanPutAndGet(t *testing.T) {
	policy, err := iam.ParseJSON([]byte(archivePolicy))
	if err != nil {
		t.Fatal(err)
	}
	strict := locked
	strict.Policy = policy
	e := s3test.Start(t, s3front.Config{}, strict)
	e.SetCaller(&authz.Caller{Name: "MediaFunction", Allowed: func(r authz.Request) bool {
		switch r.Action {
		case "s3:PutObject", "s3:GetObject", "s3:GetObjectVersion", "s3:AbortMultipartUpload":
			return true
		}
		return false
	}})
	ctx := context.Background()
	for name, write := range writes(objstore.New(e.Client, bucket), "ww1") {
		first, err := write(ctx, []byte("content"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if second, err := write(ctx, []byte("content")); err != nil || second != first {
			t.Errorf("%s again: %+v, %v; want %+v", name, second, err, first)
		}
		if _, err := write(ctx, []byte("other")); !errors.Is(err, objstore.ErrConflict) {
			t.Errorf("%s with other content: %v, want ErrConflict", name, err)
		}
	}
}

func TestListShowsEveryVersionAndMarker(t *testing.T) {
	e, store := local(t)
	ctx := context.Background()
	var want []string
	for i := range 7 {
		obj, err := store.PutBlob(ctx, fmt.Sprintf("reports/k%d", i), "text/plain", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			gone, err := e.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &obj.Key})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, obj.Key+" "+aws.ToString(gone.VersionId)+" newest marker")
			want = append(want, obj.Key+" "+obj.VersionID)
			continue
		}
		want = append(want, obj.Key+" "+obj.VersionID+" newest")
	}
	if _, err := store.PutBlob(ctx, "mails/other", "text/plain", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int32{2, 3, 1000} {
		var got []string
		for v, err := range objstore.WithPageSize(store, size).List(ctx, "reports/") {
			if err != nil {
				t.Fatal(err)
			}
			line := v.Key + " " + v.VersionID
			if v.Newest {
				line += " newest"
			}
			if v.Marker {
				line += " marker"
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pages of %d (-want +got)\n%s", size, diff)
		}
	}
}

func TestAcknowledgedObjectsSurviveAKill(t *testing.T) {
	e, store := local(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	kept := map[int]objstore.Object{}
	enough := make(chan struct{})
	body := func(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("batch %d\n", i)), 500) }
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := w; ctx.Err() == nil; i += 4 {
				obj, err := store.PutBatch(ctx, "ww1", archive.Seq(i), archive.Seq(i), body(i))
				if err != nil {
					return // it was never acknowledged
				}
				mu.Lock()
				kept[i] = obj
				if len(kept) == 100 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	e.KillAndRestart(func() {
		cancel()
		group.Wait()
	})
	for i, obj := range kept {
		got, err := store.Batch(context.Background(), obj)
		if err != nil || !bytes.Equal(got, body(i)) {
			t.Errorf("batch %d of %d acknowledged ones: %d bytes, %v", i, len(kept), len(got), err)
		}
	}
	for v, err := range store.List(context.Background(), objstore.Batches) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Batch(context.Background(), objstore.Object{Key: v.Key, VersionID: v.VersionID}); err != nil {
			t.Errorf("a batch that was never acknowledged is torn: %v", err)
		}
	}
}

// TestALargeFileTakesLittleMemory needs half a minute and is asked for with WECOMVAULT_TEST_LARGE.
func TestALargeFileTakesLittleMemory(t *testing.T) {
	if os.Getenv("WECOMVAULT_TEST_LARGE") == "" {
		t.Skip("set WECOMVAULT_TEST_LARGE to upload 1 GiB")
	}
	ctx := context.Background()
	store, _, _, corp := target(t)
	up, err := store.NewMediaUpload(ctx, corp, archive.FileID("huge").Hash())
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, objstore.PartSize)
	sum := sha256.New()
	var parts []objstore.Part
	for n := range int32(128) {
		if _, err := rand.Read(part[:1024]); err != nil {
			t.Fatal(err)
		}
		sum.Write(part)
		p, err := store.UploadPart(ctx, up, n+1, part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	kept, err := store.CompleteMedia(ctx, up, parts, hex.EncodeToString(sum.Sum(nil)), 128*objstore.PartSize)
	if err != nil {
		t.Fatal(err)
	}
	body, err := store.OpenMedia(ctx, kept)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, body)
	if err := errors.Join(err, body.Close()); err != nil || n != 1<<30 {
		t.Errorf("read %d bytes, %v", n, err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(status)) {
		var kb int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil && kb > 200<<10 {
			t.Errorf("high water %d MiB for a file of 1 GiB", kb>>10)
		} else if err == nil {
			t.Logf("high water %d MiB", kb>>10)
		}
	}
}
