package s3front

import (
	"net/http"
	"slices"
	"strings"
)

// heeded are the x-amz- headers that mean something here. All others are refused by name, for versitygw would ignore them silently:
// a customer's own encryption key, an access list or an expected owner must not count for nothing.
var heeded = map[string]bool{
	"date": true, "content-sha256": true, "decoded-content-length": true, "trailer": true, "security-token": true, "user-agent": true,
	"checksum-crc32": true, "checksum-crc32c": true, "checksum-crc64nvme": true, "checksum-sha1": true, "checksum-sha256": true,
	"checksum-algorithm": true, "checksum-type": true, "checksum-mode": true, "sdk-checksum-algorithm": true,
	"object-lock-mode": true, "object-lock-retain-until-date": true, "object-lock-legal-hold": true, "bucket-object-lock-enabled": true, "bypass-governance-retention": true,
	"server-side-encryption": true, "server-side-encryption-aws-kms-key-id": true, "server-side-encryption-bucket-key-enabled": true,
	"tagging": true, "copy-source": true, "copy-source-if-match": true, "copy-source-if-none-match": true, "copy-source-if-modified-since": true,
	"copy-source-if-unmodified-since": true, "metadata-directive": true,
	"object-attributes": true, "max-parts": true, "part-number-marker": true, "mp-object-size": true,
	// Of a presigned request, in its query.
	"algorithm": true, "credential": true, "expires": true, "signedheaders": true, "signature": true,
}

// harmless are the headers that are taken with the one value that is the default anyway.
var harmless = map[string]string{"acl": "private", "storage-class": "STANDARD"}

// conditional are the operations whose If-Match and If-None-Match are kept.
var conditional = []string{"GetObject", "HeadObject", "PutObject", "CompleteMultipartUpload"}

// checkHeaders refuses what a request asks for by a header, or by a presigned request's query, that the local S3 does not do.
func checkHeaders(r *http.Request, op operation) error {
	for _, from := range []map[string][]string{r.Header, r.URL.Query()} {
		for name, values := range from {
			lower := strings.ToLower(name)
			if (lower == "if-match" || lower == "if-none-match") && !slices.Contains(conditional, op.name) {
				return notImplemented("the header " + name + " of " + op.name)
			}
			rest, amz := strings.CutPrefix(lower, "x-amz-")
			if !amz || heeded[rest] || strings.HasPrefix(rest, "meta-") {
				continue
			}
			if standard, ok := harmless[rest]; ok && len(values) == 1 && values[0] == standard {
				continue
			}
			return notImplemented("the header " + name + " of " + op.name)
		}
	}
	return nil
}
