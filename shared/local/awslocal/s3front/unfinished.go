package s3front

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// free makes an upload usable again that versitygw could not complete.
//
// QUIRK: versitygw sets the parts of an upload aside while it joins them, and puts them back if that fails, on a full disk for instance. A part
// that comes again meanwhile makes the upload's folder anew; then they can't be put back, and every later completion of that upload fails.
// S3 has no such state. What came again is the newer part of its number, so it goes over the older one, and the folder is put back.
func (g *Gateway) free(op operation, r *http.Request, status int) error {
	id := r.URL.Query().Get("uploadId")
	if op.name != "CompleteMultipartUpload" || status < http.StatusInternalServerError || id == "" || strings.ContainsAny(id, "/.") {
		return nil
	}
	folder := filepath.Join(g.objects, op.bucket, ".sgwtmp", "multipart", fmt.Sprintf("%x", sha256.Sum256([]byte(op.key))))
	upload := filepath.Join(folder, id)
	again, err := os.ReadDir(upload)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	aside, globErr := filepath.Glob(upload + ".*.inprogress")
	if err := errors.Join(err, globErr); err != nil || len(aside) != 1 {
		return err
	}
	for _, part := range again {
		if err := os.Rename(filepath.Join(upload, part.Name()), filepath.Join(aside[0], part.Name())); err != nil {
			return fmt.Errorf("put a part back beside those that were set aside: %w", err)
		}
	}
	if err := errors.Join(os.Remove(upload), os.Rename(aside[0], upload)); err != nil {
		return fmt.Errorf("put the parts of an upload back: %w", err)
	}
	return nil
}
