package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
)

// writings are the ways in which a word may be hidden.
func writings(t testing.TB, word string) map[string][]byte {
	t.Helper()
	gz := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	if _, err := w.Write([]byte(word)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var escaped strings.Builder
	var wide []byte
	for _, u := range utf16.Encode([]rune(word)) {
		escaped.WriteString(`\u` + hex.EncodeToString([]byte{byte(u >> 8), byte(u)}))
		wide = append(wide, byte(u), byte(u>>8))
	}
	quoted, err := json.Marshal("a <" + word + ">")
	if err != nil {
		t.Fatal(err)
	}
	once := base64.StdEncoding.EncodeToString([]byte("ab" + word))
	return map[string][]byte{
		"plain": []byte("x " + word + " y"), "JSON": quoted, "escapes": []byte(escaped.String()), "URL": []byte(url.QueryEscape(word)), "path": []byte(url.PathEscape(word)),
		"UTF-16": wide, "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(word)))), "base64 0": []byte(base64.StdEncoding.EncodeToString([]byte(word + "!"))),
		"base64 1": []byte(base64.StdEncoding.EncodeToString([]byte("a" + word + "!"))), "base64 2": []byte(base64.URLEncoding.EncodeToString([]byte("ab" + word + "!?>"))),
		"gzip": append([]byte("before"), gz([]byte(word))...), "gzip in base64": []byte(`{"data":"` + base64.StdEncoding.EncodeToString(gz([]byte(word))) + `"}`),
		"zlib": z.Bytes(), "zstd": append([]byte("before"), enc.EncodeAll([]byte(word), nil)...), "zstd in hex": []byte(hex.EncodeToString(enc.EncodeAll([]byte(word), nil))),
		"base64 twice": []byte(base64.StdEncoding.EncodeToString([]byte(once))), "gzip twice": gz(gz([]byte("a" + word))),
		"a gzip cut off": gz([]byte(word + strings.Repeat("many words ", 500)))[:90],
	}
}

func TestACanaryIsFoundHoweverItIsWritten(t *testing.T) {
	for _, word := range []string{"zaunkoenig-4711-text", "zaunkönig-鹪鹩-4711"} {
		s := newSearcher(map[string][]byte{"text": []byte(word)})
		for how, data := range writings(t, word) {
			if found := s.search(data); len(found) == 0 || found[0].Kind != "text" {
				t.Errorf("%q written as %s is not found in %q", word, how, data)
			}
		}
	}
	secret := []byte{0xfe, 0x01, 0x99, 0x00, 0xc3, 0x28, 0xf0, 0x9f, 0x88, 0x17, 0x20, 0x31}
	s := newSearcher(map[string][]byte{"key": secret})
	for _, data := range [][]byte{append([]byte("ab"), secret...), []byte(hex.EncodeToString(secret)), []byte(base64.StdEncoding.EncodeToString(append([]byte("x"), secret...)))} {
		if len(s.search(data)) == 0 {
			t.Errorf("bytes that are no text are not found in %q", data)
		}
	}
}

func TestNothingIsFoundWhereNothingIs(t *testing.T) {
	s := newSearcher(map[string][]byte{"text": []byte("zaunkoenig-4711-text")})
	for _, word := range []string{"zaunkoenig-4712-text", "zaunkoeni-4711-text"} {
		for how, data := range writings(t, word) {
			if found := s.search(data); len(found) > 0 {
				t.Errorf("%q written as %s: %v", word, how, found)
			}
		}
	}
}
