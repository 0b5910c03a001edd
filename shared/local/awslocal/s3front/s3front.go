// Package s3front is the local S3: a front before a versitygw child process. It asks IAM and the bucket's policy about each
// request, signs it anew with the gateway's root credentials, streams it through, and adds what versitygw lacks: default
// retention stamped on each version, delete markers that reopen If-None-Match, keys and headers of SSE-KMS. It must not do what the
// front of awslocal has done before it (signatures, faults on demand, the account of calls) and must not keep objects itself.
package s3front

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sigv4"
)

// Bucket describes a bucket as the template declares it.
type Bucket struct {
	Name      string
	Versioned bool
	Lock      bool   // Object Lock, which implies Versioned
	LockMode  string // default retention: COMPLIANCE or GOVERNANCE; "" for none
	LockDays  int32
	KMSKeyARN string       // default encryption; "" for none. Callers then need kms:GenerateDataKey and kms:Decrypt on it.
	Policy    iam.Policies // the bucket's policy. Only its denials count, for everybody: what is allowed, the callers' own policies say.
}

// Gateway is the local S3 as an http.Handler. It is safe for concurrent use.
type Gateway struct {
	child   *child
	objects string // folder of the buckets
	region  string
	now     func() time.Time
	root    aws.Credentials
	signer  *v4.Signer
	forward http.RoundTripper
	admin   *s3.Client

	mu      sync.Mutex
	buckets map[string]Bucket
	locks   map[string]retention   // default retentions as the store knows them
	marked  map[string]*sync.Mutex // by bucket and key: who reopens a key that has a delete marker
}

// retention is a bucket's default retention; the zero value is none.
type retention struct {
	lockless    bool // the bucket has no Object Lock at all
	mode        string
	days, years int32
}

// ServeHTTP serves one request whose signature has been verified and whose caller is in the context.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, err := parseOperation(r)
	if err == nil {
		err = checkHeaders(r, op)
	}
	if err == nil {
		err = g.serve(w, r, op)
	}
	if err != nil {
		writeError(w, r, err)
	}
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, op operation) error {
	if op.name == "DeleteObjects" {
		if err := op.readDeletes(r); err != nil {
			return err
		}
	}
	bucket := g.bucket(op.bucket)
	for _, q := range op.requests(r, bucket) {
		if bucket.Policy.Decide(q) == iam.Denied {
			return &apiError{http.StatusForbidden, "AccessDenied",
				fmt.Sprintf("%s on %s is denied with an explicit deny in a resource-based policy", q.Action, q.Resource)}
		}
		if err := authz.Check(r.Context(), q); err != nil {
			return err
		}
	}
	out, err := g.prepare(r, op)
	if err != nil {
		return err
	}
	resp, err := g.send(out)
	if err == nil && resp.StatusCode == http.StatusPreconditionFailed && op.creates() && out.Header.Get("If-None-Match") == "*" && out.GetBody != nil {
		resp, err = g.reopen(out, op, resp)
	}
	if err != nil {
		return err
	}
	defer func() {
		// Nothing is left to read, or the caller has gone.
		_ = resp.Body.Close()
	}()
	if err := errors.Join(drain(out), g.completed(r.Context(), resp, op)); err != nil {
		return err
	}
	g.forget(op, resp.StatusCode)
	if err := g.free(op, r, resp.StatusCode); err != nil {
		return err
	}
	return g.answer(w, r, op, bucket, resp)
}

// bucket is the description of a bucket; one that was never described has no policy and no key.
func (g *Gateway) bucket(name string) Bucket {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.buckets[name]; ok {
		return b
	}
	return Bucket{Name: name}
}

// send signs with the root credentials and sends to the child.
func (g *Gateway) send(out *http.Request) (*http.Response, error) {
	hash := out.Header.Get("X-Amz-Content-Sha256")
	if hash == "" {
		hash = "UNSIGNED-PAYLOAD"
		out.Header.Set("X-Amz-Content-Sha256", hash)
	}
	if err := g.signer.SignHTTP(out.Context(), g.root, out, hash, "s3", g.region, g.now()); err != nil {
		return nil, fmt.Errorf("sign for versitygw: %w", err)
	}
	resp, err := g.forward.RoundTrip(out)
	if err != nil {
		if cause := out.Context().Err(); cause != nil {
			return nil, fmt.Errorf("s3: the caller went away: %w", cause)
		}
		if errors.Is(err, sigv4.ErrPayload) {
			return nil, err
		}
		return nil, &apiError{http.StatusServiceUnavailable, "ServiceUnavailable", "versitygw does not answer: " + err.Error()}
	}
	return resp, nil
}

// dropped are the request headers that belong to the hop before: the caller's signature, and what net/http sets by itself.
var dropped = []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "Connection", "Expect", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "User-Agent", "Accept-Encoding", "Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "X-Amz-Trailer",
	"X-Amz-Decoded-Content-Length", "X-Amz-Acl"}

// presignature are the query names that hold a presigned request's signature.
var presignature = []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token",
	"X-Amz-SignedHeaders", "X-Amz-Signature"}

// replayed is the size in bytes up to which the body of a conditional write is held, to be sent a second time.
const replayed = 16 << 20

// prepare builds the request to the child.
func (g *Gateway) prepare(r *http.Request, op operation) (*http.Request, error) {
	query := r.URL.Query()
	presigned := query.Has("X-Amz-Signature")
	headers := http.Header{}
	for name, values := range query {
		switch {
		case slices.Contains(presignature, name), name == "x-id":
			query.Del(name)
		case strings.HasPrefix(strings.ToLower(name), "x-amz-"):
			// What a presigned request carries in its query is a header in the one that is signed anew.
			headers[http.CanonicalHeaderKey(name)] = values
			query.Del(name)
		}
	}
	if op.name == "ListObjectVersions" {
		inclusivePage(query)
	}
	target := "http://127.0.0.1" + r.URL.EscapedPath()
	if len(query) > 0 {
		// QUIRK: the canonical query string of a signature has %20 where a form has +.
		target += "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
	}
	body, length, err := plainBody(r, op)
	if err != nil {
		return nil, err
	}
	if op.creates() && r.Header.Get("If-None-Match") == "*" && length <= replayed {
		held, err := readAll(body, replayed)
		if err != nil {
			return nil, err
		}
		body, length = bytes.NewReader(held), int64(len(held))
	}
	if body == r.Body && length > prefetched {
		body = &outgoing{Reader: r.Body, done: make(chan struct{})}
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, target, body)
	if err != nil {
		return nil, fmt.Errorf("s3 %s: %w", op.name, err)
	}
	out.ContentLength = length
	out.Close = length > prefetched
	out.Header = r.Header.Clone()
	for _, name := range dropped {
		out.Header.Del(name)
	}
	maps.Copy(out.Header, headers)
	if presigned {
		out.Header.Del("X-Amz-Content-Sha256")
	}
	if op.writes() {
		g.encrypt(out.Header, op)
		if err := g.stamp(r.Context(), out.Header, op); err != nil {
			return nil, err
		}
		if err := lockedIsSummed(out.Header, op); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// encrypt takes SSE-KMS headers out of the request and keeps them as metadata: versitygw neither encrypts nor echoes them.
func (g *Gateway) encrypt(h http.Header, op operation) {
	algorithm, key := h.Get(headerSSE), h.Get(headerSSEKey)
	for _, name := range []string{headerSSE, headerSSEKey, headerSSEBucketKey} {
		h.Del(name)
	}
	if algorithm != "" && op.name != "UploadPart" {
		h.Set(headerKeptSSE, algorithm+" "+key)
	}
}

const (
	headerSSE          = "X-Amz-Server-Side-Encryption"
	headerSSEKey       = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
	headerSSEBucketKey = "X-Amz-Server-Side-Encryption-Bucket-Key-Enabled"
	headerKeptSSE      = "X-Amz-Meta-Local-Front-Sse"
	headerLockMode     = "X-Amz-Object-Lock-Mode"
	headerLockUntil    = "X-Amz-Object-Lock-Retain-Until-Date"
	headerHold         = "X-Amz-Object-Lock-Legal-Hold"
)

// stamp writes the bucket's default retention on a new version, as S3 does. versitygw counts a default from the day when
// the bucket was configured and answers GetObjectRetention with nothing.
func (g *Gateway) stamp(ctx context.Context, h http.Header, op operation) error {
	if op.name == "UploadPart" || op.name == "CompleteMultipartUpload" {
		return nil
	}
	def, err := g.defaultRetention(ctx, op.bucket)
	if err != nil {
		return err
	}
	if def.lockless && h.Get(headerLockMode)+h.Get(headerLockUntil)+h.Get(headerHold) != "" {
		// versitygw refuses it too, but keeps the object, and takes a hold that is OFF.
		return &apiError{http.StatusBadRequest, "InvalidRequest", "Bucket is missing Object Lock Configuration"}
	}
	if def.mode == "" || h.Get(headerLockMode) != "" {
		return nil
	}
	h.Set(headerLockMode, def.mode)
	h.Set(headerLockUntil, g.now().UTC().AddDate(int(def.years), 0, int(def.days)).Format(time.RFC3339))
	return nil
}

// defaultRetention reads a bucket's default retention, once.
func (g *Gateway) defaultRetention(ctx context.Context, bucket string) (retention, error) {
	g.mu.Lock()
	def, ok := g.locks[bucket]
	g.mu.Unlock()
	if ok {
		return def, nil
	}
	got, err := g.admin.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &bucket})
	switch code := codeOf(err); {
	case code == "ObjectLockConfigurationNotFoundError" || code == "NoSuchBucket":
		// Without a bucket the request itself gets the error.
		def.lockless = code != "NoSuchBucket"
	case err != nil:
		return retention{}, fmt.Errorf("read the lock configuration of bucket %s: %w", bucket, err)
	case got.ObjectLockConfiguration != nil && got.ObjectLockConfiguration.Rule != nil && got.ObjectLockConfiguration.Rule.DefaultRetention != nil:
		d := got.ObjectLockConfiguration.Rule.DefaultRetention
		def = retention{mode: string(d.Mode), days: aws.ToInt32(d.Days), years: aws.ToInt32(d.Years)}
	}
	if codeOf(err) != "NoSuchBucket" {
		g.mu.Lock()
		g.locks[bucket] = def
		g.mu.Unlock()
	}
	return def, nil
}

// forget drops what was remembered of a bucket whose configuration may have changed.
func (g *Gateway) forget(op operation, status int) {
	if status/100 != 2 {
		return
	}
	switch op.name {
	case "CreateBucket", "DeleteBucket", "PutObjectLockConfiguration":
		g.mu.Lock()
		delete(g.locks, op.bucket)
		g.mu.Unlock()
	}
}

// reopen is asked when a conditional write met 412. If what it met is a delete marker, the write is sent again without the
// condition, as S3 would have let it through. Meanwhile other such writes of that key wait, so that there is still one winner.
func (g *Gateway) reopen(out *http.Request, op operation, refused *http.Response) (*http.Response, error) {
	g.mu.Lock()
	name := op.bucket + "/" + op.key
	m := g.marked[name]
	if m == nil {
		m = new(sync.Mutex)
		g.marked[name] = m
	}
	g.mu.Unlock()
	m.Lock()
	defer m.Unlock()
	head, err := http.NewRequestWithContext(out.Context(), http.MethodHead, "http://127.0.0.1"+op.path, nil)
	if err != nil {
		return nil, fmt.Errorf("s3 %s: %w", op.name, err)
	}
	there, err := g.send(head)
	if err != nil {
		return nil, err
	}
	if err := there.Body.Close(); err != nil {
		return nil, fmt.Errorf("s3 %s: %w", op.name, err)
	}
	if there.StatusCode != http.StatusNotFound {
		return refused, nil
	}
	if err := refused.Body.Close(); err != nil {
		return nil, fmt.Errorf("s3 %s: %w", op.name, err)
	}
	again := out.Clone(out.Context())
	again.Header.Del("If-None-Match")
	if again.Body, err = out.GetBody(); err != nil {
		return nil, fmt.Errorf("s3 %s: %w", op.name, err)
	}
	return g.send(again)
}

// answer streams the child's answer to the caller.
func (g *Gateway) answer(w http.ResponseWriter, r *http.Request, op operation, bucket Bucket, resp *http.Response) error {
	if resp.StatusCode == http.StatusNotFound && (op.name == "GetObject" || op.name == "HeadObject") {
		// QUIRK: S3 tells only those who may list a bucket that a key is absent; others get 403.
		q := authz.Request{Action: "s3:ListBucket", Resource: "arn:aws:s3:::" + op.bucket}
		if err := authz.Check(r.Context(), q); err != nil {
			return err
		}
	}
	if err := notFoundLock(resp, op); err != nil {
		return err
	}
	if marker := r.URL.Query().Get("version-id-marker"); op.name == "ListObjectVersions" && marker != "" && resp.StatusCode == http.StatusOK {
		if err := exclusivePage(resp, marker); err != nil {
			return err
		}
	}
	h := w.Header()
	for name, values := range resp.Header {
		switch name {
		case "Connection", "Keep-Alive", "Transfer-Encoding", "Server", "Date":
		default:
			h[name] = values
		}
	}
	if kept := h.Get(headerKeptSSE); kept != "" {
		h.Del(headerKeptSSE)
		algorithm, key, _ := strings.Cut(kept, " ")
		h.Set(headerSSE, algorithm)
		if key != "" {
			h.Set(headerSSEKey, key)
		}
	} else if bucket.KMSKeyARN != "" && resp.StatusCode/100 == 2 && (op.writes() || op.name == "GetObject" || op.name == "HeadObject") {
		h.Set(headerSSE, "aws:kms")
		h.Set(headerSSEKey, bucket.KMSKeyARN)
		h.Set(headerSSEBucketKey, "true")
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		// The status is out: the only honest end is to break the connection.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// codeOf is the S3 error code in err, "" if there is none.
func codeOf(err error) string {
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// readAll reads a small body whole.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, &apiError{http.StatusBadRequest, "EntityTooLarge", fmt.Sprintf("the body has more than %d bytes", limit)}
	}
	return b.Bytes(), nil
}
