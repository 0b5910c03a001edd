package judge_test

import (
	"bytes"
	"context"
	"crypto/md5" // #nosec G501 -- S3's own ETags and Content-MD5
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
)

// s3Request is one request of S3's protocol. Values that begin with "@" stand for what a side calls a version or an upload.
type s3Request struct {
	op, method, bucket, key string
	query, header           map[string]string
	body                    string // "@v1" within it is resolved too
}

func (q s3Request) String() string {
	body := q.body
	if len(body) > 600 {
		body = fmt.Sprintf("%d bytes", len(body))
	}
	return text(object{"method": q.method, "bucket": q.bucket, "key": q.key, "query": q.query, "header": q.header, "body": body})
}

// s3Side is one of the two that are compared. Each has a bucket of its own name per history.
type s3Side struct {
	name, url, key, secret string
	client                 *http.Client
	signer                 *v4.Signer
	names                  map[string]string // "@v1" to what this side calls it
	known                  map[string]string // and back
}

func newS3Side(name, url, key, secret string) *s3Side {
	return &s3Side{name: name, url: url, key: key, secret: secret, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 2}},
		signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })}
}

// forget begins a history.
func (s *s3Side) forget() { s.names, s.known = map[string]string{}, map[string]string{} }

func (s *s3Side) learn(name, own string) {
	if own != "" && s.known[own] == "" && s.names[name] == "" {
		s.names[name], s.known[own] = own, name
	}
}

func (s *s3Side) resolve(v string) string {
	if !strings.HasPrefix(v, "@") {
		return v
	}
	if own := s.names[v]; own != "" {
		return own
	}
	return strings.TrimPrefix(v, "@") // never given out here: an id that is none
}

// escaped is a key in a path as S3's SDKs escape it.
func escaped(key string) string {
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// keptHeaders are the headers of an answer that mean something to a caller.
var keptHeaders = []string{"Etag", "Content-Range", "Content-Type", "Content-Encoding", "Content-Length", "X-Amz-Version-Id", "X-Amz-Delete-Marker", "X-Amz-Tagging-Count", "X-Amz-Mp-Parts-Count",
	"X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Object-Lock-Legal-Hold",
	"X-Amz-Checksum-Sha256", "X-Amz-Checksum-Crc32", "X-Amz-Checksum-Type"}

// call sends one request once.
func (s *s3Side) call(ctx context.Context, q s3Request) (answer, error) {
	body := q.body
	for name, own := range s.names {
		body = strings.ReplaceAll(body, "<VersionId>"+name+"</VersionId>", "<VersionId>"+own+"</VersionId>")
	}
	header := maps.Clone(q.header)
	if header["Content-Md5"] == "@md5" {
		header["Content-Md5"] = base64Of(md5Of(body))
	}
	path := "/" + q.bucket
	if q.key != "" {
		path += "/" + q.key
	}
	values := url.Values{}
	for name, v := range q.query {
		values.Set(name, s.resolve(v))
	}
	r, err := http.NewRequestWithContext(ctx, q.method, s.url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.URL.Path, r.URL.RawPath = path, escaped(path)
	r.URL.RawQuery = strings.ReplaceAll(values.Encode(), "+", "%20")
	r.Header.Set("User-Agent", "judge")
	// Without one some servers read a body as a form.
	if q.method == http.MethodPut || q.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	for name, v := range header {
		r.Header.Set(name, v)
	}
	sum := sha256.Sum256([]byte(body))
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	// The signature's time is real time, for the front holds it against that.
	if err := s.signer.SignHTTP(ctx, aws.Credentials{AccessKeyID: s.key, SecretAccessKey: s.secret}, r, hex.EncodeToString(sum[:]), "s3", awstest.Region, time.Now()); err != nil {
		return answer{}, err
	}
	out, said, err := send(s.client, r)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", s.name, q, err)
	}
	return s.read(q, out, said), nil
}

// must is call for a history.
func (s *s3Side) must(r *rapid.T, q s3Request) answer {
	a, err := s.call(context.Background(), q)
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// read makes an answer of a response, with names in the places of ids.
func (s *s3Side) read(q s3Request, out *http.Response, said []byte) answer {
	a := answer{Status: out.StatusCode, Body: object{}}
	if a.Status >= 300 {
		a.Code = "HTTP " + strconv.Itoa(a.Status)
	}
	for name, values := range out.Header {
		if slices.Contains(keptHeaders, name) || strings.HasPrefix(name, "X-Amz-Meta-") {
			v := strings.Join(values, ", ")
			switch name {
			case "X-Amz-Version-Id":
				if known := s.known[v]; known != "" {
					v = known
				}
			case "X-Amz-Object-Lock-Retain-Until-Date":
				v = moment(v)
			}
			a.Body[name] = v
		}
	}
	if len(said) == 0 {
		return a
	}
	if q.op == "GetObject" && a.Status < 300 {
		a.Body["Content"] = string(said)
		if len(said) > 100 {
			sum := sha256.Sum256(said)
			a.Body["Content"] = fmt.Sprintf("%d bytes, %x", len(said), sum[:4])
		}
		return a
	}
	delete(a.Body, "Content-Length")
	root, document, err := s.parse(xml.NewDecoder(bytes.NewReader(said)))
	if err != nil {
		a.Body["Text"] = string(said)
		return a
	}
	if m, ok := document.(object); ok {
		if root == "Error" {
			a.Code = first(m, "Code")
			a.Body["Message"] = first(m, "Message")
			return a
		}
		for name, v := range m {
			a.Body[name] = v
		}
	}
	a.Body["Root"] = root
	return a
}

func first(m object, name string) string {
	if list, ok := m[name].([]any); ok && len(list) > 0 {
		v, _ := list[0].(string)
		return v
	}
	return ""
}

// parse reads a document: an element with others in it as lists by name, one without as its text.
func (s *s3Side) parse(d *xml.Decoder) (root string, document any, err error) {
	for {
		token, err := d.Token()
		if err != nil {
			return "", nil, err
		}
		if start, ok := token.(xml.StartElement); ok {
			v, err := s.element(d, start.Name.Local)
			return start.Name.Local, v, err
		}
	}
}

func (s *s3Side) element(d *xml.Decoder, name string) (any, error) {
	children, said := object{}, ""
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			v, err := s.element(d, token.Name.Local)
			if err != nil {
				return nil, err
			}
			list, _ := children[token.Name.Local].([]any)
			children[token.Name.Local] = append(list, v)
		case xml.CharData:
			said += string(token)
		case xml.EndElement:
			if len(children) > 0 {
				return children, nil
			}
			switch {
			case strings.Contains(name, "VersionId") || strings.Contains(name, "UploadId"):
				if known := s.known[said]; known != "" {
					return known, nil
				}
			case name == "RetainUntilDate":
				return moment(said), nil
			case name == "ETag":
				return strings.Trim(said, `"`), nil
			case name == "DeleteMarker" && said == "false", name == "Years" && said == "0", name == "EncodingType":
				return "", nil // none and none said
			}
			return said, nil
		}
	}
}

// moment is a time in one spelling; about a day from now is what a default retention of a day gives.
func moment(v string) string {
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return v
	}
	if off := time.Until(t) - 24*time.Hour; off.Abs() < 10*time.Minute {
		return "in a day"
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// s3Random are what no two sides can have in common, or what says nothing to a caller.
var s3Random = []string{"Owner", "Initiator", "LastModified", "Initiated", "StorageClass", "Message", "RequestId", "HostId", "Name", "Bucket", "Location", "NextPartNumberMarker", "Root", "ContinuationToken", "NextContinuationToken", "ChecksumCRC64NVME", "ChecksumCRC32", "ChecksumSHA256", "ChecksumAlgorithm", "ChecksumType", "X-Amz-Checksum-Type"}

// s3Essence is what of an answer the two sides must have in common: everything of a success, the name of a refusal.
func s3Essence(op string, a answer) any {
	if a.Code != "" {
		of := object{}
		if v := a.Body["X-Amz-Delete-Marker"]; v != nil {
			of["X-Amz-Delete-Marker"] = v
		}
		return []any{a.Status, a.Code, of}
	}
	body := object{}
	for name, v := range a.Body {
		if slices.Contains(s3Random, name) || v == "" {
			continue
		}
		if s3Writes(op) && (strings.HasPrefix(name, "X-Amz-Checksum-") || strings.HasPrefix(name, "X-Amz-Object-Lock-") || name == "X-Amz-Tagging-Count") {
			continue // said by some of their own accord; S3's answer to a write has only the checksum
		}
		if name == "Etag" {
			v = strings.Trim(v.(string), `"`)
		}
		switch {
		case name == "Deleted" || name == "Error":
			v = without(stripped(v), s3Random...) // brings them into one order
		default:
			v = stripped(v)
		}
		if v == nil { // an empty element and none are the same
			continue
		}
		body[name] = v
	}
	if op != "GetObject" && op != "HeadObject" {
		for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding"} {
			delete(body, name)
		}
	}
	return []any{a.Status, a.Code, body}
}

// stripped drops what says nothing, and keeps the order of lists, which means something.
func stripped(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for k, one := range v {
			one = stripped(one)
			if !slices.Contains(s3Random, k) && one != nil {
				out[k] = one
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = stripped(one)
		}
		if len(out) == 1 && out[0] == "" {
			return nil
		}
		return out
	}
	return v
}

func md5Of(body string) []byte {
	sum := md5.Sum([]byte(body)) // #nosec G401 -- as above
	return sum[:]
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
