// Package sigv4 checks AWS Signature Version 4 by signing the request again with the SDK's own signer and comparing. It knows
// nothing of services beyond S3's two peculiarities (paths escaped once, payload hashes that are not hashes), and must never
// log or return a secret or the right signature.
package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// MaxSkew is how far a request's date may lie from the endpoint's clock.
const MaxSkew = 5 * time.Minute

const timeFormat = "20060102T150405Z"

// Kind says in what way a request failed; the front translates it into each protocol's code.
type Kind int

// The ways to fail, in the order in which they are looked for.
const (
	Missing        Kind = iota + 1 // no usable Authorization header
	Malformed                      // an Authorization header that can't be read, or one that names a wrong date
	WrongScope                     // another region or service than this endpoint's
	UnknownKey                     // an access key that nobody has
	Skewed                         // too old, or from the future
	WrongSignature                 // signed with another secret, or altered afterwards
	WrongPayload                   // the body is not the one whose hash was signed
)

// Error is a failed check.
type Error struct {
	Kind    Kind
	Message string
}

func (e *Error) Error() string { return e.Message }

// ErrPayload is what reading a body ends with when its bytes don't have the hash that was signed.
var ErrPayload = errors.New("the body does not match the signed X-Amz-Content-Sha256")

// Claim is what an Authorization header says, not yet checked.
type Claim struct {
	AccessKeyID   string
	Date          string // yyyymmdd
	Region        string
	Service       string
	SignedHeaders []string // lower case, sorted
	signature     string
}

// Parse reads the Authorization header.
func Parse(r *http.Request) (Claim, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		if r.URL.Query().Has("X-Amz-Signature") {
			return Claim{}, &Error{Missing, "presigned requests are not supported by the local endpoint"}
		}
		return Claim{}, &Error{Missing, "Missing Authentication Token"}
	}
	rest, found := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !found {
		return Claim{}, &Error{Malformed, "only AWS4-HMAC-SHA256 signatures are supported"}
	}
	var c Claim
	var scope string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			scope = value
		case "SignedHeaders":
			c.SignedHeaders = strings.Split(value, ";")
		case "Signature":
			c.signature = value
		default:
			return Claim{}, &Error{Malformed, fmt.Sprintf("the Authorization header has an unknown part %q", name)}
		}
	}
	// An access key id may hold slashes, the rest of the scope may not.
	fields := strings.Split(scope, "/")
	n := len(fields)
	if n < 5 || fields[n-1] != "aws4_request" || c.signature == "" || len(c.SignedHeaders) == 0 {
		return Claim{}, &Error{Malformed, "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' with a scope of date/region/service/aws4_request"}
	}
	c.AccessKeyID = strings.Join(fields[:n-4], "/")
	c.Date, c.Region, c.Service = fields[n-4], fields[n-3], fields[n-2]
	if !slices.Contains(c.SignedHeaders, "host") {
		return Claim{}, &Error{Malformed, "'Host' must be a 'SignedHeader' in the AWS Authorization"}
	}
	return c, nil
}

// Verifier checks requests against one region and one clock. It is safe for concurrent use.
type Verifier struct {
	region string
	now    func() time.Time
	signer *v4.Signer // keeps the derived keys
}

// New returns a Verifier for a region. now must be the clock that callers sign with.
func New(region string, now func() time.Time) *Verifier {
	return &Verifier{region: region, now: now, signer: v4.NewSigner()}
}

// Check compares the request's signature with one made from secret. For S3 the body is not read: if its hash was signed, the
// request's Body is replaced by a reader that ends with ErrPayload instead of io.EOF when the bytes differ. For every other
// service body must be the whole body.
func (v *Verifier) Check(r *http.Request, c Claim, secret string, body []byte) error {
	if c.Region != v.region {
		return &Error{WrongScope, fmt.Sprintf("Credential should be scoped to a valid region, not '%s'; this endpoint is '%s'", c.Region, v.region)}
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse(timeFormat, date)
	if err != nil {
		return &Error{Malformed, "X-Amz-Date is missing or is not of the form yyyymmddThhmmssZ"}
	}
	if c.Date != date[:8] {
		return &Error{Malformed, fmt.Sprintf("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s'", c.Date, date[:8])}
	}
	now := v.now()
	switch skew := now.Sub(at); {
	case skew > MaxSkew:
		return &Error{Skewed, fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)",
			date, now.Add(-MaxSkew).UTC().Format(timeFormat), now.UTC().Format(timeFormat))}
	case skew < -MaxSkew:
		return &Error{Skewed, fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			date, now.Add(MaxSkew).UTC().Format(timeFormat), now.UTC().Format(timeFormat))}
	}
	payload, err := payloadHash(r, c, body)
	if err != nil {
		return err
	}
	again, err := v.rebuild(r, c)
	if err != nil {
		return err
	}
	s3 := c.Service == "s3"
	err = v.signer.SignHTTP(context.Background(), aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: secret}, again,
		payload, c.Service, c.Region, at, func(o *v4.SignerOptions) { o.DisableURIPathEscaping = s3 })
	if err != nil {
		return &Error{Malformed, err.Error()}
	}
	mine, err := Parse(again)
	if err != nil {
		return fmt.Errorf("reading the endpoint's own signature: %w", err)
	}
	if !slices.Equal(mine.SignedHeaders, c.SignedHeaders) {
		return &Error{Malformed, fmt.Sprintf("the local endpoint can't check a signature over the headers %s, only over %s",
			strings.Join(c.SignedHeaders, ";"), strings.Join(mine.SignedHeaders, ";"))}
	}
	if subtle.ConstantTimeCompare([]byte(mine.signature), []byte(c.signature)) != 1 {
		return &Error{WrongSignature, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."}
	}
	if s3 && isHash(payload) {
		r.Body = &hashedBody{body: r.Body, hash: sha256.New(), want: payload}
	}
	return nil
}

// payloadHash returns what takes the body's place in the signature.
func payloadHash(r *http.Request, c Claim, body []byte) (string, error) {
	claimed := r.Header.Get("X-Amz-Content-Sha256")
	if c.Service == "s3" {
		switch {
		case claimed == "":
			return "", &Error{Malformed, "Missing required header for this request: x-amz-content-sha256"}
		case isHash(claimed), claimed == "UNSIGNED-PAYLOAD", strings.HasPrefix(claimed, "STREAMING-"):
			return claimed, nil
		}
		return "", &Error{WrongPayload, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-…, or a valid sha256 value."}
	}
	sum := sha256.Sum256(body)
	actual := hex.EncodeToString(sum[:])
	if claimed != "" && claimed != actual {
		return "", &Error{WrongPayload, "The provided 'x-amz-content-sha256' header does not match what was computed."}
	}
	return actual, nil
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}

// rebuild makes the request that the caller signed: the same target, and of the headers only the signed ones.
func (v *Verifier) rebuild(r *http.Request, c Claim) (*http.Request, error) {
	again := &http.Request{
		Method: r.Method,
		// The path goes as it came over the wire: escaping it anew could differ from the caller's way.
		URL:    &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery},
		Host:   r.Host,
		Header: http.Header{},
	}
	for _, name := range c.SignedHeaders {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		case "transfer-encoding":
			return nil, &Error{Malformed, "a signed Transfer-Encoding header is not supported"}
		default:
			values := r.Header.Values(name)
			if len(values) == 0 {
				return nil, &Error{WrongSignature, fmt.Sprintf("the signed header %s is missing from the request", name)}
			}
			again.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	return again, nil
}

// hashedBody passes a body through and looks at its hash at the end.
type hashedBody struct {
	body io.ReadCloser
	hash hash.Hash
	want string
}

func (h *hashedBody) Read(p []byte) (int, error) {
	n, err := h.body.Read(p)
	h.hash.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if want, derr := hex.DecodeString(h.want); derr != nil || !bytes.Equal(want, h.hash.Sum(nil)) {
			return n, ErrPayload
		}
	}
	return n, err
}

func (h *hashedBody) Close() error { return h.body.Close() }
