package main

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
)

// form is one way in which a word may be written.
type form struct {
	kind    string // of the canary
	written string // how: "base64"
	bytes   []byte
	folded  bool // searched in the lower-cased text
}

// searcher finds canaries however they are written: as they are, in base64 at any place, in hexadecimal, in escapes of JSON and of URLs, in UTF-16,
// and in any of these inside of what is compressed or encoded as a whole.
type searcher struct{ forms []form }

func newSearcher(canaries map[string][]byte) *searcher {
	s := &searcher{}
	for kind, word := range canaries {
		add := func(written string, b []byte, folded bool) {
			if folded {
				b = bytes.ToLower(b)
			}
			s.forms = append(s.forms, form{kind, written, b, folded})
		}
		add("as it is", word, false)
		add("hexadecimal", []byte(hex.EncodeToString(word)), true)
		// Base64 of a word depends on what stands before it, modulo three; the ends depend on the neighbours and are left out.
		for shift := range 3 {
			padded := append(make([]byte, shift), word...)
			for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
				text := enc.EncodeToString(padded)
				from, to := (shift*8+5)/6, len(padded)*8/6
				add(name, []byte(text[from:to]), false)
			}
		}
		var percent, ascii strings.Builder
		for _, b := range word {
			fmt.Fprintf(&percent, "%%%02x", b)
		}
		add("percent", []byte(percent.String()), true)
		text := []rune(string(word))
		if !bytes.Equal([]byte(string(text)), word) {
			continue // no text: it has no characters
		}
		var partly, escaped strings.Builder
		for _, u := range utf16.Encode(text) {
			fmt.Fprintf(&escaped, `\u%04x`, u)
		}
		for _, r := range text {
			if r < 0x80 {
				ascii.WriteRune(r)
				partly.WriteRune(r)
				continue
			}
			for _, b := range []byte(string(r)) {
				fmt.Fprintf(&partly, "%%%02x", b)
			}
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&ascii, `\u%04x`, u)
			}
		}
		add("JSON escapes", []byte(escaped.String()), true)
		add("JSON escapes of what is not ASCII", []byte(ascii.String()), true)
		add("percent of what is not ASCII", []byte(partly.String()), true)
		var little, big []byte
		for _, u := range utf16.Encode(text) {
			little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u)) // #nosec G115 -- the halves of 16 bits
		}
		add("UTF-16LE", little, false)
		add("UTF-16BE", big, false)
	}
	return s
}

// find is one canary in some data.
type find struct {
	Kind    string // of the canary
	Written string // how, from the outside in: "gzip, base64"
}

// deepest is how many encodings are opened around one another.
const deepest = 4

// mostUnpacked bounds what one compressed stream may become.
const mostUnpacked = 64 << 20

func (s *searcher) search(data []byte) []find {
	found := map[find]bool{}
	s.look(data, "", 0, found)
	out := make([]find, 0, len(found))
	for f := range found {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b find) int { return strings.Compare(a.Kind+a.Written, b.Kind+b.Written) })
	return out
}

var (
	longBase64 = regexp.MustCompile(`[A-Za-z0-9+/_-]{24,}={0,2}`)
	longHex    = regexp.MustCompile(`[0-9A-Fa-f]{24,}`)
)

func (s *searcher) look(data []byte, around string, depth int, found map[find]bool) {
	lower := bytes.ToLower(data)
	for _, f := range s.forms {
		in := data
		if f.folded {
			in = lower
		}
		if len(f.bytes) >= 6 && bytes.Contains(in, f.bytes) {
			found[find{f.kind, around + f.written}] = true
		}
	}
	if depth == deepest {
		return
	}
	for _, inner := range unpack(data) {
		s.look(inner.data, around+inner.written+", ", depth+1, found)
	}
}

type packed struct {
	written string
	data    []byte
}

// unpack opens what looks compressed, or encoded as a whole.
func unpack(data []byte) []packed {
	var out []packed
	for _, c := range []struct {
		written string
		magic   []byte
		open    func(io.Reader) (io.Reader, error)
	}{
		{"gzip", []byte{0x1f, 0x8b, 8}, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"zlib", []byte{0x78, 0x9c}, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }},
		{"zlib", []byte{0x78, 0x01}, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }},
		{"zlib", []byte{0x78, 0xda}, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }},
		{"zip", []byte("PK\x03\x04"), unzip},
		{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, func(r io.Reader) (io.Reader, error) {
			d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			return d.IOReadCloser(), nil
		}},
	} {
		for at := bytes.Index(data, c.magic); at >= 0; {
			r, err := c.open(bytes.NewReader(data[at:]))
			if err == nil {
				// A stream that is damaged or cut off is searched as far as it goes.
				inner, _ := io.ReadAll(io.LimitReader(r, mostUnpacked))
				if len(inner) > 0 {
					out = append(out, packed{c.written, inner})
				}
			}
			next := bytes.Index(data[at+1:], c.magic)
			if next < 0 {
				break
			}
			at += 1 + next
		}
	}
	for _, run := range longBase64.FindAll(data, -1) {
		text := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(string(run)), "=")
		if len(text)%4 == 1 {
			text = text[:len(text)-1]
		}
		if inner, err := base64.RawStdEncoding.DecodeString(text); err == nil && compressed(inner) {
			out = append(out, packed{"base64", inner})
		}
	}
	for _, run := range longHex.FindAll(data, -1) {
		if inner, err := hex.DecodeString(string(run[:len(run)/2*2])); err == nil && compressed(inner) {
			out = append(out, packed{"hexadecimal", inner})
		}
	}
	return out
}

// compressed says whether something may be hidden in data that the forms of a word would not find there.
func compressed(data []byte) bool {
	for _, magic := range [][]byte{{0x1f, 0x8b, 8}, {0x78, 0x9c}, {0x78, 0x01}, {0x78, 0xda}, {0x28, 0xb5, 0x2f, 0xfd}, []byte("PK\x03\x04")} {
		if bytes.HasPrefix(data, magic) {
			return true
		}
	}
	// What is encoded twice: base64 in base64, hexadecimal in base64.
	return longBase64.Match(data) || longHex.Match(data)
}

// unzip opens the file that a local header begins.
func unzip(r io.Reader) (io.Reader, error) {
	var header [30]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	skip := int64(header[26]) + int64(header[27])<<8 + int64(header[28]) + int64(header[29])<<8
	if _, err := io.CopyN(io.Discard, r, skip); err != nil {
		return nil, err
	}
	if header[8] != 8 {
		return r, nil
	}
	return flate.NewReader(r), nil
}
