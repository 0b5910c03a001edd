package sdkbody_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"github.com/wecomvault/wecomvault/shared/sdkbody"
)

// slow is a body whose sender, once it has sent all, looks for more only when the answer has begun to come: so it is on a busy machine now and then.
type slow struct {
	http.RoundTripper
	answered chan struct{}
}

// waiting is the look for more.
type waiting struct {
	io.ReadCloser
	left     int64
	answered <-chan struct{}
}

func (w *waiting) Read(p []byte) (int, error) {
	if w.left <= 0 {
		<-w.answered
	}
	n, err := w.ReadCloser.Read(p)
	w.left -= int64(n)
	return n, err
}

// writing is waiting where the body can be read by WriteTo.
type writing struct {
	*waiting
	io.WriterTo
}

func (w writing) WriteTo(to io.Writer) (int64, error) {
	if w.left <= 0 {
		<-w.answered
	}
	return w.WriterTo.WriteTo(to)
}

func (s slow) Do(r *http.Request) (*http.Response, error) {
	body := &waiting{r.Body, r.ContentLength, s.answered}
	c := r.Clone(r.Context())
	c.Body = body
	if w, ok := r.Body.(io.WriterTo); ok {
		c.Body = writing{body, w}
	}
	return s.RoundTrip(c)
}

// begun tells when somebody reads an answer: by then smithy-go has closed the request's body.
type begun struct {
	io.ReadCloser
	told     *atomic.Bool
	answered chan struct{}
}

func (b begun) Read(p []byte) (int, error) {
	if !b.told.Swap(true) {
		close(b.answered)
	}
	return b.ReadCloser.Read(p)
}

type reading struct{ inner slow }

func (c reading) Do(r *http.Request) (*http.Response, error) {
	res, err := c.inner.Do(r)
	if err == nil {
		res.Body = begun{res.Body, new(atomic.Bool), c.inner.answered}
	}
	return res, err
}

// call makes one call whose answer overtakes the end of its request, with one attempt, and says what became of it, what was received, and what the sender met.
func call(t *testing.T, options []func(*middleware.Stack) error, do func(aws.Config, *testing.T) error) (received []byte, answer, sent error) {
	t.Helper()
	wrote := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		sent = <-wrote // the rest comes when the sender is through
		_, _ = io.WriteString(w, "}")
	}))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} }, HTTPClient: traced{reading{slow{transport, make(chan struct{})}}, wrote}, APIOptions: options}
	answer = do(c, t)
	server.Close() // waits for the handler
	return received, answer, sent
}

// traced tells what the sender met.
type traced struct {
	inner reading
	wrote chan error
}

func (c traced) Do(r *http.Request) (*http.Response, error) {
	return c.inner.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) { c.wrote <- i.Err }})))
}

func list(c aws.Config, t *testing.T) error {
	_, err := dynamodb.NewFromConfig(c).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	return err
}

func TestAnAnswerThatOvertakesTheEndOfItsRequestIsRead(t *testing.T) {
	received, err, sent := call(t, []func(*middleware.Stack) error{sdkbody.Plain}, list)
	if err != nil || sent != nil || string(received) != "{}" {
		t.Errorf("%q was received; the call: %v; its sender: %v", received, err, sent)
	}
}

// When this fails, smithy-go was mended, and this package can go.
func TestWithoutThisPackageSuchAnAnswerIsLost(t *testing.T) {
	if _, _, sent := call(t, nil, list); sent == nil {
		t.Error("the sender met no error")
	}
}

func TestABodyIsSentWhole(t *testing.T) {
	body := bytes.Repeat([]byte("grebe "), 100_000)
	received, _, sent := call(t, []func(*middleware.Stack) error{sdkbody.Plain}, func(c aws.Config, t *testing.T) error {
		_, err := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true }).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("k"), Body: bytes.NewReader(body)})
		return err
	})
	if !bytes.Equal(received, body) || sent != nil {
		t.Errorf("%d of %d bytes were received; their sender: %v", len(received), len(body), sent)
	}
}
