package s3front

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// plainBody is the request's body and its length as versitygw is to get it. A body in aws-chunked encoding with a checksum
// trailer is decoded to a file first, since its checksum must go into a header, before the body.
func plainBody(r *http.Request, op operation) (io.Reader, int64, error) {
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if !strings.HasPrefix(hash, "STREAMING-") {
		if len(op.deletes) == 0 && r.ContentLength < 0 {
			return nil, 0, &apiError{http.StatusLengthRequired, "MissingContentLength", "the length of the body is missing"}
		}
		if r.ContentLength == 0 {
			return http.NoBody, 0, nil
		}
		return r.Body, r.ContentLength, nil
	}
	if hash != "STREAMING-UNSIGNED-PAYLOAD-TRAILER" {
		return nil, 0, notImplemented("x-amz-content-sha256: " + hash)
	}
	want, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil {
		return nil, 0, &apiError{http.StatusLengthRequired, "MissingContentLength", "x-amz-decoded-content-length is missing"}
	}
	file, err := os.CreateTemp("", "s3front-body-*")
	if err != nil {
		return nil, 0, fmt.Errorf("s3 %s: %w", op.name, err)
	}
	// The name goes at once: the file lives as long as its descriptor.
	if err := os.Remove(file.Name()); err != nil {
		return nil, 0, fmt.Errorf("s3 %s: %w", op.name, err)
	}
	trailers, n, err := decodeChunked(file, bufio.NewReader(r.Body))
	if err != nil || n != want {
		return nil, 0, &apiError{http.StatusBadRequest, "IncompleteBody",
			fmt.Sprintf("the chunked body has %d bytes, %d were announced", n, want)}
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, 0, fmt.Errorf("s3 %s: %w", op.name, err)
	}
	for name, value := range trailers {
		if strings.HasPrefix(strings.ToLower(name), "x-amz-checksum-") {
			r.Header.Set(name, value)
		}
	}
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	if rest := strings.TrimPrefix(strings.TrimPrefix(r.Header.Get("Content-Encoding"), "aws-chunked"), ","); rest != "" {
		r.Header.Set("Content-Encoding", strings.TrimSpace(rest))
	} else {
		r.Header.Del("Content-Encoding")
	}
	return file, n, nil
}

// decodeChunked writes the content of an aws-chunked body and returns its trailers: "<hex length>[;…]\r\n<bytes>\r\n" until a length
// of 0, then "name:value\r\n" lines until an empty one.
func decodeChunked(to io.Writer, from *bufio.Reader) (trailers map[string]string, n int64, err error) {
	line := func() (string, error) {
		s, err := from.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(s), "\r\n"), nil
	}
	for {
		head, err := line()
		if err != nil {
			return nil, n, err
		}
		size, _, _ := strings.Cut(head, ";")
		length, err := strconv.ParseInt(size, 16, 64)
		if err != nil || length < 0 {
			return nil, n, fmt.Errorf("a chunk's length is no number")
		}
		if length == 0 {
			break
		}
		copied, err := io.CopyN(to, from, length)
		n += copied
		if err != nil {
			return nil, n, err
		}
		if end, err := line(); err != nil || end != "" {
			return nil, n, fmt.Errorf("a chunk does not end where it says")
		}
	}
	trailers = map[string]string{}
	for {
		s, err := line()
		if errors.Is(err, io.EOF) || (err == nil && s == "") {
			return trailers, n, nil
		}
		if err != nil {
			return nil, n, err
		}
		name, value, ok := strings.Cut(s, ":")
		if !ok {
			return nil, n, fmt.Errorf("a trailer has no value")
		}
		trailers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
}
