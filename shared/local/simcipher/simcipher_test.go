package simcipher_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/local/simcipher"
)

func newKey(t interface{ Fatal(...any) }) string {
	key, err := simcipher.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestWhatWasSealedOpensByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		key := newKey(t)
		envelope, err := simcipher.Seal(key, message)
		if err != nil {
			t.Fatal(err)
		}
		if len(envelope) < simcipher.ShortestEnvelope {
			t.Fatalf("an envelope of %d characters would end the library", len(envelope))
		}
		got, err := simcipher.Open(key, envelope)
		if err != nil || !bytes.Equal(got, message) {
			t.Fatalf("opened %q, %v; sealed %q", got, err, message)
		}
	})
}

func TestOpenRefusesWhatDoesNotFit(t *testing.T) {
	key, other := newKey(t), newKey(t)
	envelope, err := simcipher.Seal(key, []byte(`{"msgid":"1"}`))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(envelope)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	altered := base64.StdEncoding.EncodeToString(raw)
	for name, c := range map[string]struct {
		key, envelope string
		want          error
	}{
		"another key":         {other, envelope, simcipher.ErrOpen},
		"an altered tag":      {key, altered, simcipher.ErrOpen},
		"arbitrary base64":    {key, base64.StdEncoding.EncodeToString(make([]byte, 256)), simcipher.ErrEnvelope},
		"no base64":           {key, "hello, this is not base64", simcipher.ErrEnvelope},
		"an empty text":       {key, "", simcipher.ErrEnvelope},
		"a short key":         {key[1:], envelope, simcipher.ErrKey},
		"a key of other text": {strings.Repeat("?", simcipher.KeyLength), envelope, simcipher.ErrKey},
	} {
		if _, err := simcipher.Open(c.key, c.envelope); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestFilesOpenChunkByChunk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "file")
		chunk := 16 * rapid.IntRange(1, 20).Draw(t, "blocks")
		sealed := append(bytes.Clone(file), simcipher.Padding(int64(len(file)))...)
		if int64(len(sealed)) != simcipher.SealedSize(int64(len(file))) || len(sealed)%16 != 0 {
			t.Fatalf("%d bytes sealed to %d", len(file), len(sealed))
		}
		if err := simcipher.XORFile("file one", 0, sealed); err != nil {
			t.Fatal(err)
		}
		var opened []byte
		for at := 0; at < len(sealed); at += chunk {
			part := bytes.Clone(sealed[at:min(at+chunk, len(sealed))])
			if err := simcipher.XORFile("file one", int64(at), part); err != nil {
				t.Fatal(err)
			}
			opened = append(opened, part...)
		}
		got, err := simcipher.Unpad(opened)
		if err != nil || !bytes.Equal(got, file) {
			t.Fatalf("opened %d bytes, %v; sealed %d", len(got), err, len(file))
		}
	})
}

func TestUnpadRefusesAForeignEnd(t *testing.T) {
	for _, last := range [][]byte{nil, make([]byte, 16), bytes.Repeat([]byte{17}, 32), append(make([]byte, 14), 1, 2), make([]byte, 5)} {
		if _, err := simcipher.Unpad(last); !errors.Is(err, simcipher.ErrPadding) {
			t.Errorf("%v: %v", last, err)
		}
	}
	if err := simcipher.XORFile("f", 8, make([]byte, 16)); !errors.Is(err, simcipher.ErrOffset) {
		t.Errorf("offset 8: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	key := strings.Repeat("A", simcipher.KeyLength)
	envelope, err := simcipher.Seal(key, []byte("hello"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key, envelope)
	f.Add(key, envelope[:20])
	f.Add("", "")
	f.Fuzz(func(t *testing.T, key, envelope string) {
		message, err := simcipher.Open(key, envelope)
		if err != nil {
			return
		}
		again, err := simcipher.Open(key, envelope)
		if err != nil || !bytes.Equal(again, message) {
			t.Fatalf("opens once and then not: %v", err)
		}
	})
}
