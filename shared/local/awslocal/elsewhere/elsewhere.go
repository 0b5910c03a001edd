// Package elsewhere lets a service stand somewhere else: behind the same front, with its signatures, faults and account of calls, requests
// go on to another implementation, or to AWS itself, signed anew. So a suite written for the local endpoints judges others too. It must not
// change what is asked or answered, but for the names that keep runs apart.
package elsewhere

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Variable is the environment's name for where a service is, by the credential scope's name of the service: an address such as
// http://127.0.0.1:8000, or AWS's own. The credentials are those of AWS_ACCESS_KEY_ID and its fellows; without them they are words.
func Variable(service string) string { return "WECOMVAULT_TEST_ENDPOINT_" + strings.ToUpper(service) }

// Service forwards a service's requests. It is safe for concurrent use.
type Service struct {
	name, region string
	base         *url.URL
	path         func(string) string
	keys         aws.Credentials
	signer       *v4.Signer
	now          func() time.Time
}

// FromEnvironment returns the service that the environment has elsewhere, or nil if it has none. path changes the escaped path of a
// request, nil leaves it; now is real time.
func FromEnvironment(name, region string, path func(string) string, now func() time.Time) (*Service, error) {
	address := os.Getenv(Variable(name))
	if address == "" {
		return nil, nil
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("%s is %q, not an address", Variable(name), address)
	}
	if path == nil {
		path = func(p string) string { return p }
	}
	s := &Service{name: name, region: region, base: base, path: path, signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = name == "s3" }), now: now,
		keys: aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN")}}
	if s.keys.AccessKeyID == "" {
		s.keys.AccessKeyID, s.keys.SecretAccessKey = "judge", "judge"
	}
	return s, nil
}

// hop are the headers that belong to the way between the caller and the front.
var hop = []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "Connection", "Expect", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Accept-Encoding"}

// ServeHTTP forwards one request whose signature has been verified.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.forward(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() {
		// Nothing is left to read, or the caller has gone.
		_ = answer.Body.Close()
	}()
	for name, values := range answer.Header {
		if name != "Connection" && name != "Transfer-Encoding" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(answer.StatusCode)
	if _, err := io.Copy(w, answer.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (s *Service) forward(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	target := s.base.Scheme + "://" + s.base.Host + s.path(r.URL.EscapedPath())
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	out, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("forward to %s: %w", s.base.Host, err)
	}
	out.Header = r.Header.Clone()
	for _, name := range hop {
		out.Header.Del(name)
	}
	hash := out.Header.Get("X-Amz-Content-Sha256")
	if hash == "" {
		sum := sha256.Sum256(body)
		hash = hex.EncodeToString(sum[:])
	}
	if err := s.signer.SignHTTP(r.Context(), s.keys, out, hash, s.name, s.region, s.now()); err != nil {
		return nil, fmt.Errorf("sign for %s: %w", s.base.Host, err)
	}
	answer, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		return nil, fmt.Errorf("forward to %s: %w", s.base.Host, err)
	}
	return answer, nil
}
