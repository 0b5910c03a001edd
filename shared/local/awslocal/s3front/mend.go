package s3front

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
)

// lockedIsSummed refuses what S3 refuses: an object that is written with a retention, its bucket's default too, or with a legal hold
// needs a checksum or Content-MD5. versitygw takes it without. SDKs send one by themselves.
func lockedIsSummed(h http.Header, op operation) error {
	if op.name != "PutObject" || h.Get(headerLockMode) == "" && h.Get(headerHold) == "" || h.Get("Content-Md5") != "" {
		return nil
	}
	for name := range h {
		// QUIRK: x-amz-checksum-algorithm is of that name too, and is none; PutObject has it not.
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			return nil
		}
	}
	return &apiError{http.StatusBadRequest, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"}
}

// prefetched is how many bytes of a body versitygw reads in any case before it answers.
const prefetched = 8 << 10

// patient is a connection to versitygw whose writes do not fail because the other end reads no more.
//
// QUIRK: versitygw refuses some writes, a part of an upload that is not there for one, before it has read their bodies. What was left of the body
// would be read as the next request on the connection; so one with a longer body is its connection's last. Then versitygw ends the connection while the
// body still goes out: its answer is there to be read, and is lost if the failed write counts. Without an answer the read fails, as it should.
type patient struct{ net.Conn }

func (c patient) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(p), nil
	}
	return n, err
}

// outgoing is a caller's body on its way to versitygw.
type outgoing struct {
	io.Reader
	once sync.Once
	done chan struct{} // closed when nobody reads it any more
}

// Close leaves the caller's connection alone, which net/http closes itself.
func (o *outgoing) Close() error {
	o.once.Do(func() { close(o.done) })
	return nil
}

// drain reads what versitygw has not read of a body: a caller that is still sending would see its connection break, not the answer.
func drain(out *http.Request) error {
	o, ok := out.Body.(*outgoing)
	if !ok {
		return nil
	}
	select {
	case <-o.done:
	case <-out.Context().Done():
		return fmt.Errorf("s3: the caller went away: %w", out.Context().Err())
	}
	// An early answer is a refusal, whatever the rest of the body is.
	_, _ = io.Copy(io.Discard, o.Reader)
	return nil
}

// completed looks whether an upload was completed at all.
//
// QUIRK: versitygw takes an upload that is not there for one that somebody else has just completed, if only its key has an object: completing what was
// aborted succeeds, with the ETag that it would have had. Then the answer names no version. S3 says NoSuchUpload, unless the object is that upload's.
func (g *Gateway) completed(ctx context.Context, resp *http.Response, op operation) error {
	if op.name != "CompleteMultipartUpload" || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Amz-Version-Id") != "" {
		return nil
	}
	// An answer has some hundred bytes.
	document, err := readAll(resp.Body, 64<<10)
	if err != nil {
		return fmt.Errorf("s3 %s: %w", op.name, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(document))
	var said struct{ ETag string }
	if err := xml.Unmarshal(document, &said); err != nil {
		return fmt.Errorf("s3 %s: %w", op.name, err)
	}
	head, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://127.0.0.1"+op.path, nil)
	if err != nil {
		return fmt.Errorf("s3 %s: %w", op.name, err)
	}
	there, err := g.send(head)
	if err != nil {
		return err
	}
	if err := there.Body.Close(); err != nil {
		return fmt.Errorf("s3 %s: %w", op.name, err)
	}
	if strings.Trim(there.Header.Get("Etag"), `"`) == strings.Trim(said.ETag, `"`) {
		return nil
	}
	return &apiError{http.StatusNotFound, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."}
}

// notFoundLock gives an object without a retention or a hold S3's status: 404, where versitygw has 400.
func notFoundLock(resp *http.Response, op operation) error {
	if resp.StatusCode != http.StatusBadRequest || op.name != "GetObjectRetention" && op.name != "GetObjectLegalHold" {
		return nil
	}
	// An error document has some hundred bytes.
	document, err := readAll(resp.Body, 64<<10)
	if err != nil {
		return fmt.Errorf("s3 %s: %w", op.name, err)
	}
	if bytes.Contains(document, []byte("<Code>NoSuchObjectLockConfiguration</Code>")) {
		resp.StatusCode = http.StatusNotFound
	}
	resp.Body = io.NopCloser(bytes.NewReader(document))
	return nil
}
