package s3front

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
)

// QUIRK: S3's pages of versions begin behind the version that version-id-marker names; versitygw's may begin with it. So one more is
// asked for, and that one is taken out.

// inclusivePage asks for room for the version that exclusivePage will take out.
func inclusivePage(query url.Values) {
	n, err := strconv.Atoi(query.Get("max-keys"))
	if err == nil && n > 0 && n < 1000 && query.Get("version-id-marker") != "" {
		query.Set("max-keys", strconv.Itoa(n+1))
	}
}

var versionElement = regexp.MustCompile(`(?s)<(?:Version|DeleteMarker)>.*?</(?:Version|DeleteMarker)>`)

// exclusivePage takes the marker's own version out of a page. Version ids are unique here: all buckets are versioned from their
// beginning.
func exclusivePage(resp *http.Response, marker string) error {
	// A page has at most 1,000 entries of about 2 KB.
	page, err := readAll(resp.Body, 8<<20)
	if err != nil {
		return fmt.Errorf("s3 ListObjectVersions: %w", err)
	}
	id := []byte("<VersionId>" + marker + "</VersionId>")
	page = versionElement.ReplaceAllFunc(page, func(element []byte) []byte {
		if bytes.Contains(element, id) {
			return nil
		}
		return element
	})
	resp.Body = io.NopCloser(bytes.NewReader(page))
	resp.Header.Set("Content-Length", strconv.Itoa(len(page)))
	return nil
}
