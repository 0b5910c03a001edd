package s3front_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front/s3test"
)

const bucket = "vault"

// codeOf is S3's error code in err; "" if there is none.
func codeOf(err error) string {
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func put(e *s3test.Env, key, body string, change ...func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	in := &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body), ChecksumAlgorithm: types.ChecksumAlgorithmSha256}
	for _, c := range change {
		c(in)
	}
	return e.Client.PutObject(context.Background(), in)
}

func once(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }

func mustPut(t *testing.T, e *s3test.Env, key, body string, change ...func(*s3.PutObjectInput)) string {
	t.Helper()
	out, err := put(e, key, body, change...)
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.VersionId)
}

func TestEachOperationAsksForItsPermissions(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:000000000000:key/archive"
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Lock: true, KMSKeyARN: key})
	ctx := context.Background()
	version := mustPut(t, e, "a/b c", "x")
	up, err := e.Client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("a/b c")})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	e.SetCaller(&authz.Caller{Name: "FetchFunction", Allowed: func(r authz.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Action+" "+strings.TrimPrefix(strings.TrimPrefix(r.Resource, "arn:aws:s3:::"), key[:len(key)-len("archive")]))
		return true
	}})
	c := e.Client
	b, k := aws.String(bucket), aws.String("a/b c")
	for name, test := range map[string]struct {
		call func() error
		want []string
	}{
		"PutObject": {func() error { _, err := put(e, "a/b c", "y"); return err }, []string{"kms:GenerateDataKey archive", "s3:PutObject vault/a/b c"}},
		"PutObject with retention": {func() error {
			_, err := put(e, "a/b c", "y", func(in *s3.PutObjectInput) {
				in.ObjectLockMode, in.ObjectLockRetainUntilDate = "GOVERNANCE", aws.Time(time.Now().Add(time.Minute))
			})
			return err
		}, []string{"kms:GenerateDataKey archive", "s3:PutObject vault/a/b c", "s3:PutObjectRetention vault/a/b c"}},
		"GetObject": {func() error { _, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: k}); return err },
			[]string{"kms:Decrypt archive", "s3:GetObject vault/a/b c"}},
		"GetObject by version": {func() error {
			_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: k, VersionId: &version})
			return err
		}, []string{"kms:Decrypt archive", "s3:GetObjectVersion vault/a/b c"}},
		"HeadObject": {func() error { _, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: k}); return err },
			[]string{"kms:Decrypt archive", "s3:GetObject vault/a/b c"}},
		"ListObjectsV2": {func() error { _, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b}); return err }, []string{"s3:ListBucket vault"}},
		"ListObjectVersions": {func() error {
			_, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: b})
			return err
		}, []string{"s3:ListBucketVersions vault"}},
		"UploadPart": {func() error {
			_, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: k, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
			return err
		}, []string{"kms:Decrypt archive", "kms:GenerateDataKey archive", "s3:PutObject vault/a/b c"}},
		"ListParts": {func() error {
			_, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: k, UploadId: up.UploadId})
			return err
		}, []string{"s3:ListMultipartUploadParts vault/a/b c"}},
		"CopyObject": {func() error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("copy"), CopySource: aws.String("vault/a/b%20c")})
			return err
		}, []string{"kms:Decrypt archive", "kms:GenerateDataKey archive", "s3:GetObject vault/a/b c", "s3:PutObject vault/copy"}},
		"DeleteObject by version, bypassing": {func() error {
			v := mustPut(t, e, "gone", "x")
			mu.Lock()
			asked = nil
			mu.Unlock()
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: aws.String("gone"), VersionId: &v, BypassGovernanceRetention: aws.Bool(true)})
			return err
		}, []string{"s3:BypassGovernanceRetention vault/gone", "s3:DeleteObjectVersion vault/gone"}},
		"DeleteObjects": {func() error {
			_, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("x")}, {Key: aws.String("y&z")}}}})
			return err
		}, []string{"s3:DeleteObject vault/x", "s3:DeleteObject vault/y&z"}},
		"PutObjectRetention": {func() error {
			_, err := c.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{Bucket: b, Key: aws.String("copy"),
				Retention: &types.ObjectLockRetention{Mode: "GOVERNANCE", RetainUntilDate: aws.Time(time.Now().Add(time.Hour))}})
			return err
		}, []string{"s3:PutObjectRetention vault/copy"}},
		"HeadBucket": {func() error { _, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: b}); return err }, []string{"s3:ListBucket vault"}},
	} {
		if name == "PutObjectRetention" {
			mustPut(t, e, "copy", "x")
		}
		mu.Lock()
		asked = nil
		mu.Unlock()
		if err := test.call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		slices.Sort(asked)
		if diff := cmp.Diff(test.want, asked); diff != "" {
			t.Errorf("%s asks (-want +got)\n%s", name, diff)
		}
	}
	if _, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b, Key: k, UploadId: up.UploadId}); err != nil {
		t.Error(err)
	}
	if want := "s3:AbortMultipartUpload vault/a/b c"; asked[len(asked)-1] != want {
		t.Errorf("AbortMultipartUpload asks %s, want %s", asked[len(asked)-1], want)
	}
}

func TestWhatIAMRefusesIsNotDone(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Versioned: true})
	e.SetCaller(&authz.Caller{Name: "MailFunction", Allowed: func(r authz.Request) bool { return r.Action == "s3:GetObject" }})
	if _, err := put(e, "k", "x"); codeOf(err) != "AccessDenied" || !strings.Contains(err.Error(), "s3:PutObject") {
		t.Errorf("put: %v, want AccessDenied that names s3:PutObject", err)
	}
	e.SetCaller(authz.Everything("operator"))
	if _, err := e.Client.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")}); err == nil {
		t.Error("the refused object is there")
	}
}

// archivePolicy is the policy of the archive's bucket.
const archivePolicy = `{"Version": "2012-10-17", "Statement": [
 {"Effect": "Deny", "Principal": "*", "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"], "Resource": "arn:aws:s3:::vault/*"},
 {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::vault/*",
  "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}},
 {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::vault", "arn:aws:s3:::vault/*"],
  "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}`

func TestTheBucketPolicyDeniesEverybody(t *testing.T) {
	policy, err := iam.ParseJSON([]byte(archivePolicy))
	if err != nil {
		t.Fatal(err)
	}
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Lock: true, Policy: policy})
	ctx := context.Background()
	version := mustPut(t, e, "k", "x", once)
	up, err := e.Client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("m")})
	if err != nil {
		t.Fatal(err)
	}
	part, err := e.Client.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String(bucket), Key: aws.String("m"), UploadId: up.UploadId,
		PartNumber: aws.Int32(1), Body: strings.NewReader("part")})
	if err != nil {
		t.Fatal(err)
	}
	complete := func(condition *string) error {
		_, err := e.Client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("m"), UploadId: up.UploadId,
			IfNoneMatch: condition, MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}}}})
		return err
	}
	for name, err := range map[string]error{
		"put without the condition":      func() error { _, err := put(e, "k2", "x"); return err }(),
		"complete without the condition": complete(nil),
		"delete": func() error {
			_, err := e.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
			return err
		}(),
		"delete of a version": func() error {
			_, err := e.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), VersionId: &version})
			return err
		}(),
		"delete of a list": func() error {
			_, err := e.Client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("k")}}}})
			return err
		}(),
	} {
		if codeOf(err) != "AccessDenied" || !strings.Contains(err.Error(), "explicit deny") {
			t.Errorf("%s: %v, want an explicit deny", name, err)
		}
	}
	if err := complete(aws.String("*")); err != nil {
		t.Error(err)
	}
}

func TestEachVersionGetsTheDefaultRetention(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Lock: true, LockMode: "COMPLIANCE", LockDays: 3})
	ctx := context.Background()
	b := aws.String(bucket)
	before := time.Now().UTC().Truncate(time.Second)
	mustPut(t, e, "k", "x", once)
	up, err := e.Client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: aws.String("m"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		t.Fatal(err)
	}
	part, err := e.Client.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: aws.String("m"), UploadId: up.UploadId, PartNumber: aws.Int32(1),
		Body: strings.NewReader("x"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: aws.String("m"), UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag, ChecksumSHA256: part.ChecksumSHA256}}}}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"k", "m"} {
		head, err := e.Client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Client.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: b, Key: &key})
		if err != nil || got.Retention == nil {
			t.Fatalf("retention of %s: %+v, %v", key, got, err)
		}
		until := aws.ToTime(got.Retention.RetainUntilDate)
		if got.Retention.Mode != "COMPLIANCE" || until.Before(before.AddDate(0, 0, 3)) || until.After(time.Now().AddDate(0, 0, 3)) {
			t.Errorf("%s is kept in %s until %s", key, got.Retention.Mode, until)
		}
		if head.ObjectLockMode != "COMPLIANCE" || !aws.ToTime(head.ObjectLockRetainUntilDate).Equal(until) {
			t.Errorf("HEAD of %s says %s until %s", key, head.ObjectLockMode, head.ObjectLockRetainUntilDate)
		}
		_, err = e.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: &key, VersionId: head.VersionId, BypassGovernanceRetention: aws.Bool(true)})
		if codeOf(err) != "AccessDenied" {
			t.Errorf("delete of the version of %s: %v, want AccessDenied", key, err)
		}
		_, err = e.Client.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{Bucket: b, Key: &key, VersionId: head.VersionId,
			Retention: &types.ObjectLockRetention{Mode: "COMPLIANCE", RetainUntilDate: aws.Time(before.AddDate(0, 0, 2))}})
		if codeOf(err) != "AccessDenied" {
			t.Errorf("shortening the retention of %s: %v, want AccessDenied", key, err)
		}
	}
	_, err = e.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("plain"), Body: strings.NewReader("x"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		ObjectLockMode: "GOVERNANCE", ObjectLockRetainUntilDate: aws.Time(before.AddDate(0, 0, 1))})
	if err != nil {
		t.Errorf("a retention of one's own: %v", err)
	}
}

func TestADeleteMarkerReopensTheKeyForOneWriter(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Lock: true, LockMode: "GOVERNANCE", LockDays: 1})
	ctx := context.Background()
	for round := range 5 {
		key := fmt.Sprint("k", round)
		mustPut(t, e, key, "first", once)
		if _, err := e.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key}); err != nil {
			t.Fatal(err)
		}
		var won atomic.Int32
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				_, err := put(e, key, "second", once)
				switch {
				case err == nil:
					won.Add(1)
				case codeOf(err) != "PreconditionFailed":
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%d writers won, want 1", won.Load())
		}
	}
}

func TestOnlyWhoMayListLearnsThatAKeyIsAbsent(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Versioned: true})
	get := func() error {
		_, err := e.Client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("none")})
		return err
	}
	if err := get(); codeOf(err) != "NoSuchKey" {
		t.Errorf("with s3:ListBucket: %v, want NoSuchKey", err)
	}
	e.SetCaller(&authz.Caller{Name: "MailFunction", Allowed: func(r authz.Request) bool { return r.Action == "s3:GetObject" }})
	if err := get(); codeOf(err) != "AccessDenied" {
		t.Errorf("without: %v, want AccessDenied", err)
	}
}

func TestKeysOfEncryptionAreEchoed(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:000000000000:key/archive"
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Versioned: true, KMSKeyARN: key})
	for name, want := range map[string]string{"default": key, "own": "alias/own"} {
		out, err := put(e, name, "x", func(in *s3.PutObjectInput) {
			if name == "own" {
				in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, aws.String("alias/own")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		head, err := e.Client.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &name})
		if err != nil {
			t.Fatal(err)
		}
		if out.ServerSideEncryption != types.ServerSideEncryptionAwsKms || head.ServerSideEncryption != types.ServerSideEncryptionAwsKms ||
			aws.ToString(head.SSEKMSKeyId) != want || len(head.Metadata) != 0 {
			t.Errorf("%s: put says %q, head %q with %q and metadata %v", name, out.ServerSideEncryption, head.ServerSideEncryption, aws.ToString(head.SSEKMSKeyId), head.Metadata)
		}
	}
}

func TestUnknownOperationsAreRefusedByName(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Versioned: true})
	_, err := e.Client.GetBucketAcl(context.Background(), &s3.GetBucketAclInput{Bucket: aws.String(bucket)})
	if codeOf(err) != "NotImplemented" || !strings.Contains(err.Error(), "?acl") {
		t.Errorf("GetBucketAcl: %v, want NotImplemented that names ?acl", err)
	}
}

func TestBodiesWithAChecksumTrailerAreDecodedAndChecked(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Versioned: true})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.Gateway().ServeHTTP(w, r.WithContext(authz.NewContext(r.Context(), authz.Everything("operator"))))
	})
	content := strings.Repeat("chunk ", 20000)
	sum := sha256.Sum256([]byte(content))
	send := func(key, trailer string, length int) *httptest.ResponseRecorder {
		var body bytes.Buffer
		for rest := content; rest != ""; {
			n := min(len(rest), 65536)
			fmt.Fprintf(&body, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		fmt.Fprintf(&body, "0\r\n%s\r\n\r\n", trailer)
		r := httptest.NewRequest(http.MethodPut, "/"+bucket+"/"+key, &body)
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
		r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(length))
		r.Header.Set("Content-Encoding", "aws-chunked")
		r.Header.Set("X-Amz-Trailer", "x-amz-checksum-sha256")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	right := "x-amz-checksum-sha256:" + base64.StdEncoding.EncodeToString(sum[:])
	if w := send("ok", right, len(content)); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	got, err := e.Client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("ok")})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := io.ReadAll(got.Body)
	if err != nil || string(stored) != content || aws.ToString(got.ContentEncoding) != "" {
		t.Errorf("%d bytes with encoding %q, %v; want the %d sent", len(stored), aws.ToString(got.ContentEncoding), err, len(content))
	}
	if w := send("bad", "x-amz-checksum-sha256:"+base64.StdEncoding.EncodeToString(make([]byte, 32)), len(content)); w.Code != http.StatusBadRequest {
		t.Errorf("a wrong checksum gives %d, want 400", w.Code)
	}
	if w := send("short", right, len(content)+1); w.Code != http.StatusBadRequest {
		t.Errorf("a wrong length gives %d, want 400", w.Code)
	}
}

func TestAttributesMayLieBesideTheObjects(t *testing.T) {
	// A data folder with this in it is one whose file system had no extended attributes.
	data := filepath.Join(t.TempDir(), "s3")
	if err := os.MkdirAll(filepath.Join(data, "sidecar"), 0o700); err != nil {
		t.Fatal(err)
	}
	e := s3test.Start(t, s3front.Config{DataDir: data}, s3front.Bucket{Name: bucket, Lock: true, LockMode: "COMPLIANCE", LockDays: 1})
	version := mustPut(t, e, "k", "x", once)
	if _, err := put(e, "k", "y", once); codeOf(err) != "PreconditionFailed" {
		t.Errorf("a second put: %v, want PreconditionFailed", err)
	}
	e.KillAndRestart(nil)
	_, err := e.Client.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), VersionId: &version})
	if codeOf(err) != "AccessDenied" {
		t.Errorf("delete of the version: %v, want AccessDenied", err)
	}
	if kept, err := os.ReadDir(filepath.Join(data, "sidecar", bucket)); err != nil || len(kept) == 0 {
		t.Errorf("the sidecar folder holds %v, %v", kept, err)
	}
}

func TestABodyOtherThanTheSignedOneIsRefused(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Versioned: true})
	for _, condition := range []string{"", "*"} {
		// The client signs one body and then sends another of the same length.
		client := s3.New(e.Client.Options(), func(o *s3.Options) {
			o.HTTPClient = forger{o.HTTPClient}
		})
		in := &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), Body: strings.NewReader("signed")}
		if condition != "" {
			in.IfNoneMatch = &condition
		}
		if _, err := client.PutObject(context.Background(), in); codeOf(err) != "XAmzContentSHA256Mismatch" {
			t.Errorf("with the condition %q: %v, want XAmzContentSHA256Mismatch", condition, err)
		}
	}
	if _, err := e.Client.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")}); err == nil {
		t.Error("the forged object is there")
	}
}

type forger struct{ next s3.HTTPClient }

func (f forger) Do(r *http.Request) (*http.Response, error) {
	forged := r.Clone(r.Context())
	forged.Body = io.NopCloser(strings.NewReader("forged"))
	return f.next.Do(forged)
}

func TestTheStoreComesBackAsItWas(t *testing.T) {
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Lock: true, LockMode: "GOVERNANCE", LockDays: 1})
	version := mustPut(t, e, "k", "x", once)
	pid := e.Gateway().PID()
	e.KillAndRestart(func() {
		if _, err := put(e, "k2", "x"); codeOf(err) != "ServiceUnavailable" {
			t.Errorf("a put while it is dead: %v, want ServiceUnavailable", err)
		}
	})
	if e.Gateway().PID() == pid {
		t.Error("it is still the same process")
	}
	got, err := e.Client.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), VersionId: &version})
	if err != nil || got.ObjectLockMode != "GOVERNANCE" {
		t.Errorf("after the restart: %+v, %v", got, err)
	}
	if _, err := put(e, "k", "y", once); codeOf(err) != "PreconditionFailed" {
		t.Errorf("a second put after the restart: %v, want PreconditionFailed", err)
	}
}

// TestVersitygwEndsWithItsParent starts this test's program again as a parent, kills it and waits for the end of its child.
func TestVersitygwEndsWithItsParent(t *testing.T) {
	const variable = "S3FRONT_TEST_DATA"
	if dir := os.Getenv(variable); dir != "" {
		gw, err := s3front.Start(context.Background(), s3front.Config{Binary: s3test.Binary(t), DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", gw.PID())
		<-gw.Done()
		return
	}
	parent := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), variable+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	_, err = fmt.Fscanf(out, "pid %d\n", &pid)
	if killErr := parent.Process.Kill(); err != nil || killErr != nil {
		t.Fatal(err, killErr)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the parent ended by itself")
	}
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for isRunning(pid) {
		select {
		case <-deadline:
			t.Fatalf("versitygw %d outlives its parent", pid)
		case <-tick.C:
		}
	}
}

// isRunning says whether the process exists and is no zombie that waits for whoever adopted it.
func isRunning(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}
