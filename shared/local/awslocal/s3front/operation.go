package s3front

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
)

// operation is a request recognised as one of S3's operations.
type operation struct {
	name      string
	bucket    string
	key       string
	versionID string
	path      string // escaped, as received
	deletes   []deleted
}

type deleted struct {
	Key       string `xml:"Key"`
	VersionID string `xml:"VersionId"`
}

// writes says whether the operation carries a new object or a part of one.
func (o operation) writes() bool {
	switch o.name {
	case "PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload":
		return true
	}
	return false
}

// creates says whether the operation makes an object visible: S3's s3:ObjectCreationOperation.
func (o operation) creates() bool {
	return o.name == "PutObject" || o.name == "CopyObject" || o.name == "CompleteMultipartUpload"
}

// operations maps "level method sub-resource" to S3's name. What is not here is refused by name.
var operations = map[string]string{
	"service GET ":         "ListBuckets",
	"bucket HEAD ":         "HeadBucket",
	"bucket PUT ":          "CreateBucket",
	"bucket DELETE ":       "DeleteBucket",
	"bucket GET ":          "ListObjects",
	"bucket GET location":  "GetBucketLocation",
	"bucket GET list-type": "ListObjectsV2", "bucket GET versions": "ListObjectVersions",
	"bucket GET uploads":    "ListMultipartUploads",
	"bucket GET versioning": "GetBucketVersioning", "bucket PUT versioning": "PutBucketVersioning",
	"bucket GET object-lock": "GetObjectLockConfiguration", "bucket PUT object-lock": "PutObjectLockConfiguration",
	"bucket POST delete": "DeleteObjects",
	"object HEAD ":       "HeadObject", "object GET ": "GetObject", "object PUT ": "PutObject", "object DELETE ": "DeleteObject",
	"object GET attributes": "GetObjectAttributes",
	"object GET retention":  "GetObjectRetention", "object PUT retention": "PutObjectRetention",
	"object GET legal-hold": "GetObjectLegalHold", "object PUT legal-hold": "PutObjectLegalHold",
	"object GET tagging":  "GetObjectTagging",
	"object POST uploads": "CreateMultipartUpload", "object PUT uploadId": "UploadPart", "object GET uploadId": "ListParts",
	"object POST uploadId": "CompleteMultipartUpload", "object DELETE uploadId": "AbortMultipartUpload",
}

// actions are the IAM actions that differ from the operation's own name.
var actions = map[string]string{
	"ListBuckets": "ListAllMyBuckets", "HeadBucket": "ListBucket", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket",
	"ListObjectVersions": "ListBucketVersions", "ListMultipartUploads": "ListBucketMultipartUploads",
	"GetObjectLockConfiguration": "GetBucketObjectLockConfiguration", "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
	"HeadObject": "GetObject", "CopyObject": "PutObject", "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject",
	"CompleteMultipartUpload": "PutObject", "ListParts": "ListMultipartUploadParts",
}

// versionActions are the actions that S3 asks for instead when a version is named.
var versionActions = map[string]string{
	"GetObject": "GetObjectVersion", "DeleteObject": "DeleteObjectVersion", "GetObjectTagging": "GetObjectVersionTagging",
	"GetObjectAttributes": "GetObjectVersionAttributes",
}

// parameters are query names that select no sub-resource.
var parameters = map[string]bool{
	"x-id": true, "prefix": true, "delimiter": true, "max-keys": true, "continuation-token": true, "start-after": true,
	"fetch-owner": true, "encoding-type": true, "key-marker": true, "version-id-marker": true, "marker": true, "versionId": true,
	"partNumber": true, "part-number-marker": true, "max-parts": true, "upload-id-marker": true, "max-uploads": true, "max-buckets": true,
}

// parseOperation recognises a path-style request.
func parseOperation(r *http.Request) (operation, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	op := operation{bucket: bucket, key: key, versionID: query.Get("versionId"), path: r.URL.EscapedPath()}
	level := "object"
	switch {
	case bucket == "":
		level = "service"
	case key == "":
		level = "bucket"
	}
	sub := ""
	for name := range query {
		lower := strings.ToLower(name)
		if parameters[name] || strings.HasPrefix(lower, "x-amz-") || strings.HasPrefix(lower, "response-") {
			continue
		}
		if sub != "" {
			return op, notImplemented(fmt.Sprintf("%s with both ?%s and ?%s", r.Method, sub, name))
		}
		sub = name
	}
	name, ok := operations[level+" "+r.Method+" "+sub]
	if !ok {
		return op, notImplemented(fmt.Sprintf("%s on a %s with ?%s", r.Method, level, sub))
	}
	op.name = name
	if r.Header.Get("X-Amz-Copy-Source") != "" {
		if name != "PutObject" {
			return op, notImplemented("UploadPartCopy")
		}
		op.name = "CopyObject"
	}
	if n, err := strconv.Atoi(query.Get("partNumber")); op.name == "UploadPart" && (err != nil || n < 1 || n > 10_000) {
		return op, &apiError{http.StatusBadRequest, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive."}
	}
	return op, nil
}

func notImplemented(what string) error {
	return &apiError{http.StatusNotImplemented, "NotImplemented", "the local S3 does not implement " + what}
}

// readDeletes reads the list of a DeleteObjects request and puts the body back.
func (o *operation) readDeletes(r *http.Request) error {
	// 1,000 keys of 1,024 bytes each, escaped, and their versions.
	body, err := readAll(r.Body, 8<<20)
	if err != nil {
		return fmt.Errorf("s3 DeleteObjects: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var list struct {
		Objects []deleted `xml:"Object"`
	}
	if err := xml.Unmarshal(body, &list); err != nil || len(list.Objects) == 0 {
		return &apiError{http.StatusBadRequest, "MalformedXML", "the list of objects can't be read"}
	}
	o.deletes = list.Objects
	return nil
}

// requests are the permissions that the operation needs. All must be given: a DeleteObjects of which one key is denied is
// refused as a whole, where S3 would refuse that key alone.
func (o operation) requests(r *http.Request, bucket Bucket) []authz.Request {
	bucketARN := "arn:aws:s3:::" + o.bucket
	objectARN := bucketARN + "/" + o.key
	context := o.conditions(r)
	ask := func(action, resource string) authz.Request {
		return authz.Request{Action: "s3:" + action, Resource: resource, Context: context}
	}
	action := actions[o.name]
	if action == "" {
		action = o.name
	}
	var need []authz.Request
	bypass := strings.EqualFold(r.Header.Get("X-Amz-Bypass-Governance-Retention"), "true")
	switch {
	case o.name == "ListBuckets":
		need = append(need, ask(action, "*"))
	case o.name == "DeleteObjects":
		for _, d := range o.deletes {
			one := operation{name: "DeleteObject", bucket: o.bucket, key: d.Key, versionID: d.VersionID}
			need = append(need, one.requests(r, bucket)...)
		}
		return need
	case o.key == "":
		need = append(need, ask(action, bucketARN))
	default:
		if versioned := versionActions[action]; o.versionID != "" && versioned != "" {
			action = versioned
		}
		need = append(need, ask(action, objectARN))
	}
	if bypass && (o.name == "DeleteObject" || o.name == "PutObjectRetention") {
		need = append(need, ask("BypassGovernanceRetention", objectARN))
	}
	if o.writes() {
		for header, extra := range map[string]string{headerLockMode: "PutObjectRetention",
			headerHold: "PutObjectLegalHold", "X-Amz-Tagging": "PutObjectTagging"} {
			if r.Header.Get(header) != "" {
				need = append(need, ask(extra, objectARN))
			}
		}
	}
	if o.name == "CopyObject" {
		source := strings.TrimPrefix(r.Header.Get("X-Amz-Copy-Source"), "/")
		source, _, versioned := strings.Cut(source, "?versionId=")
		if plain, err := url.PathUnescape(source); err == nil {
			source = plain
		}
		from := "GetObject"
		if versioned {
			from = "GetObjectVersion"
		}
		need = append(need, ask(from, "arn:aws:s3:::"+source))
	}
	return append(need, o.keyRequests(bucket)...)
}

// keyRequests are the permissions on the bucket's key. S3 needs Decrypt for a multipart upload too: it reads the parts to join them.
func (o operation) keyRequests(bucket Bucket) []authz.Request {
	if bucket.KMSKeyARN == "" {
		return nil
	}
	context := map[string]string{"kms:ViaService": "s3.us-east-1.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::" + o.bucket}
	ask := func(action string) authz.Request {
		return authz.Request{Action: "kms:" + action, Resource: bucket.KMSKeyARN, Context: context}
	}
	switch o.name {
	case "PutObject":
		return []authz.Request{ask("GenerateDataKey")}
	case "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload":
		return []authz.Request{ask("GenerateDataKey"), ask("Decrypt")}
	case "GetObject", "HeadObject":
		return []authz.Request{ask("Decrypt")}
	}
	return nil
}

// conditions are the condition keys of a request. A key that does not apply is absent, which policies see as null.
func (o operation) conditions(r *http.Request) map[string]string {
	c := map[string]string{
		// The loopback stands for TLS here: what the policy is about is the network.
		"aws:SecureTransport": "true",
	}
	if o.writes() {
		c["s3:ObjectCreationOperation"] = fmt.Sprint(o.creates())
	}
	if o.versionID != "" {
		c["s3:VersionId"] = o.versionID
	}
	for header, key := range map[string]string{"If-None-Match": "s3:if-none-match", "If-Match": "s3:if-match",
		headerLockMode: "s3:object-lock-mode", headerLockUntil: "s3:object-lock-retain-until-date",
		headerSSE: "s3:x-amz-server-side-encryption", headerSSEKey: "s3:x-amz-server-side-encryption-aws-kms-key-id"} {
		if v := r.Header.Get(header); v != "" {
			c[key] = v
		}
	}
	for _, name := range []string{"prefix", "delimiter", "max-keys"} {
		if q := r.URL.Query(); q.Has(name) {
			c["s3:"+name] = q.Get(name)
		}
	}
	return c
}
