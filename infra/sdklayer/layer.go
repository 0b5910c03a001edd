package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// manifest lies in the layer beside the libraries and says what they are.
type manifest struct {
	Layer        string    `json:"layer"`
	Architecture string    `json:"architecture"`
	Built        time.Time `json:"built"`
	Files        []file    `json:"files"`
}

// largest is how many bytes of zip PublishLayerVersion takes in its request.
const largest = 50 << 20

// layer is the zip of a layer. The same files and the same time give the same bytes.
func layer(files []file, built time.Time) ([]byte, error) {
	built = built.UTC().Truncate(2 * time.Second) // a zip's own grain
	text, err := json.MarshalIndent(manifest{Layer: "wecomvault-sdk", Architecture: "x86_64", Built: built, Files: files}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the layer's manifest: %w", err)
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	add := func(name string, content []byte, mode uint32) error {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: built}
		// Lambda runs as another user than the one that unpacks: what others can't read is not there.
		h.ExternalAttrs = (0o100000 | mode) << 16
		h.CreatorVersion = 3 << 8 // Unix, so that the mode counts
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	}
	for _, f := range files {
		if err := add("lib/"+f.Name, f.content, 0o755); err != nil {
			return nil, fmt.Errorf("put %s into the layer: %w", f.Name, err)
		}
	}
	if err := add("lib/manifest.json", append(text, '\n'), 0o644); err != nil {
		return nil, fmt.Errorf("put the manifest into the layer: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("end the layer's zip: %w", err)
	}
	if out.Len() > largest {
		return nil, fmt.Errorf("the layer's zip has %d bytes and AWS takes %d in one request: this is no release that was seen; publish it by way of a bucket (aws lambda publish-layer-version --content S3Bucket=…)",
			out.Len(), largest)
	}
	return out.Bytes(), nil
}
