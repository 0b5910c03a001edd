package awslocal

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sigv4"
)

const (
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	sesNamespace = "http://ses.amazonaws.com/doc/2010-12-01/"
)

// shape is how a service's answers look.
type shape struct {
	kind      shapeKind
	version   string // of the JSON protocol
	namespace string
}

type shapeKind int

const (
	jsonKind shapeKind = iota
	queryKind
	s3Kind
)

var (
	s3Shape = shape{kind: s3Kind}
	shapes  = map[string]shape{
		"dynamodb":       {jsonKind, "1.0", "com.amazon.coral.service"},
		"sqs":            {jsonKind, "1.0", "com.amazon.coral.service"},
		"secretsmanager": {jsonKind, "1.1", "com.amazon.coral.service"},
		"lambda":         {jsonKind, "1.1", "com.amazon.coral.service"},
		"ses":            {queryKind, "", sesNamespace},
		"sts":            {queryKind, "", stsNamespace},
		"s3":             s3Shape,
	}
)

// guessShape is for requests that don't say which service they mean.
func guessShape(r *http.Request) shape {
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		return shapes["dynamodb"]
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		return shapes["sts"]
	}
	return s3Shape
}

func (s shape) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch s.kind {
	case queryKind:
		protocol.QueryRefusal(w, s.namespace, err)
	case s3Kind:
		protocol.S3Refusal(w, r.URL.Path, r.Method == http.MethodHead, err)
	default:
		protocol.JSONRefusal(w, s.version, s.namespace, err)
	}
}

// codes by failure: for JSON services, for query services, for S3.
var codes = map[sigv4.Kind][3]protocol.Error{
	sigv4.Missing:        {{Status: 400, Code: "MissingAuthenticationTokenException"}, {Status: 403, Code: "MissingAuthenticationToken"}, {Status: 403, Code: "AccessDenied"}},
	sigv4.Malformed:      {{Status: 400, Code: "IncompleteSignatureException"}, {Status: 400, Code: "IncompleteSignature"}, {Status: 400, Code: "AuthorizationHeaderMalformed"}},
	sigv4.WrongScope:     {{Status: 400, Code: "InvalidSignatureException"}, {Status: 403, Code: "SignatureDoesNotMatch"}, {Status: 400, Code: "AuthorizationHeaderMalformed"}},
	sigv4.UnknownKey:     {{Status: 400, Code: "UnrecognizedClientException"}, {Status: 403, Code: "InvalidClientTokenId"}, {Status: 403, Code: "InvalidAccessKeyId"}},
	sigv4.Skewed:         {{Status: 400, Code: "InvalidSignatureException"}, {Status: 403, Code: "SignatureDoesNotMatch"}, {Status: 403, Code: "RequestTimeTooSkewed"}},
	sigv4.WrongSignature: {{Status: 400, Code: "InvalidSignatureException"}, {Status: 403, Code: "SignatureDoesNotMatch"}, {Status: 403, Code: "SignatureDoesNotMatch"}},
	sigv4.WrongPayload:   {{Status: 400, Code: "InvalidSignatureException"}, {Status: 403, Code: "SignatureDoesNotMatch"}, {Status: 400, Code: "XAmzContentSHA256Mismatch"}},
}

func refuse(w http.ResponseWriter, r *http.Request, s shape, err error) {
	var e *sigv4.Error
	if errors.As(err, &e) {
		p := codes[e.Kind][s.kind]
		p.Message = e.Message
		err = &p
	}
	s.refuse(w, r, err)
}

// describe names a request's operation and resource for fault plans and accounts. It is lenient: a request that it can't read
// is the service's to refuse.
func describe(service string, s shape, r *http.Request, body []byte) (operation, resource string) {
	switch s.kind {
	case queryKind:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return "", ""
		}
		return form.Get("Action"), form.Get("Source")
	case s3Kind:
		return s3Operation(r), strings.TrimPrefix(r.URL.Path, "/")
	}
	if service == "lambda" {
		return r.Method, r.URL.Path
	}
	target := r.Header.Get("X-Amz-Target")
	operation = target[strings.LastIndexByte(target, '.')+1:]
	var request struct {
		TableName, QueueName, Name string
		QueueURL                   string `json:"QueueUrl"`
		SecretID                   string `json:"SecretId"`
		RequestItems               map[string]json.RawMessage
		TransactItems              []map[string]struct{ TableName string }
	}
	if json.Unmarshal(body, &request) != nil {
		return operation, ""
	}
	for _, one := range []string{request.TableName, request.QueueURL, request.QueueName, request.SecretID, request.Name} {
		if one != "" {
			return operation, one
		}
	}
	tables := map[string]bool{}
	for table := range request.RequestItems {
		tables[table] = true
	}
	for _, item := range request.TransactItems {
		for _, part := range item {
			tables[part.TableName] = true
		}
	}
	return operation, strings.Join(slices.Sorted(maps.Keys(tables)), ",")
}

// s3Operation derives the operation's name from the method and the query, as S3 itself does.
func s3Operation(r *http.Request) string {
	q := r.URL.Query()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	thing := "Object"
	if key == "" {
		thing = "Bucket"
		if r.URL.Path == "/" || r.URL.Path == "" {
			return "ListBuckets"
		}
	}
	verb := map[string]string{"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head", "POST": "Post"}[r.Method]
	sub := []struct{ param, name string }{
		{"retention", "Retention"}, {"legal-hold", "LegalHold"}, {"tagging", "Tagging"}, {"acl", "Acl"}, {"policy", "Policy"},
		{"object-lock", "LockConfiguration"}, {"versioning", "Versioning"}, {"encryption", "Encryption"}, {"lifecycle", "Lifecycle"},
		{"publicAccessBlock", "PublicAccessBlock"}, {"location", "Location"},
	}
	for _, s := range sub {
		if q.Has(s.param) {
			if s.param == "object-lock" {
				return verb + "Object" + s.name
			}
			return verb + thing + s.name
		}
	}
	switch {
	case q.Has("versions"):
		return "ListObjectVersions"
	case q.Has("uploads") && r.Method == http.MethodPost:
		return "CreateMultipartUpload"
	case q.Has("uploads"):
		return "ListMultipartUploads"
	case q.Has("uploadId"):
		return map[string]string{"GET": "ListParts", "PUT": "UploadPart", "DELETE": "AbortMultipartUpload", "POST": "CompleteMultipartUpload"}[r.Method]
	case q.Has("delete"):
		return "DeleteObjects"
	case thing == "Bucket" && r.Method == http.MethodGet:
		return "ListObjectsV2"
	case thing == "Bucket" && r.Method == http.MethodPut:
		return "CreateBucket"
	case r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "":
		return "CopyObject"
	}
	return verb + thing
}
