// Package simcipher is the simulator's own, not Tencent's: the cipher under which the WeCom simulator hands out messages and files, and
// with which simsdk opens them again. How Tencent's library opens encrypt_chat_msg or a file is not known here, is not looked for,
// and nothing in this package resembles it on purpose. It exists so that every step around the closed one (RSA, key versions,
// refusals, chunks) can be played on real protocols.
//
// A message: the random key is 48 printable characters; the envelope is standard base64 over
//
//	"WVSIM1" ‖ 12 bytes nonce ‖ AES-256-GCM(key = SHA-256("wecomsim message\n" ‖ random key), nonce, decrypted message)
//
// with the tag at its end and "WVSIM1" as additional data. The nonce is taken from SHA-256("wecomsim nonce\n" ‖ random key): a
// random key seals one message only.
//
// A file: the object is the file padded as PKCS#7 pads to 16 bytes (1 to 16 bytes more) and then AES-256-CTR under SHA-256("wecomsim file\n" ‖
// sdkfileid) with a zero counter block, so that any range that begins on a multiple of 16 opens by itself. Ranges address the
// sealed object, as WeCom's do.
//
// The package does no input or output and keeps no state; all functions may be called from many goroutines.
package simcipher

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// KeyLength is the number of characters of a random key.
const KeyLength = 48

// ShortestEnvelope is the number of characters below which Tencent's library was seen to end its process; simsdk does the same.
const ShortestEnvelope = 13

const (
	magic     = "WVSIM1"
	nonceSize = 12
	block     = aes.BlockSize
)

// What Open can refuse. None carries content.
var (
	// ErrKey: the random key is not of the form that NewKey gives.
	ErrKey = errors.New("the random key is not one of the simulator's")
	// ErrEnvelope: the text is no envelope of this cipher.
	ErrEnvelope = errors.New("the text is not an envelope of the simulator's cipher")
	// ErrOpen: the envelope does not open under this key.
	ErrOpen = errors.New("the envelope does not open under this key")
	// ErrPadding: the last chunk of a file does not end as a sealed file does.
	ErrPadding = errors.New("the file does not end as a sealed file does")
	// ErrOffset: a chunk does not begin on a multiple of 16.
	ErrOffset = errors.New("the chunk does not begin on a multiple of 16 bytes")
)

// NewKey makes a random key: KeyLength characters of base64's alphabet, free of NUL bytes as a C string must be.
func NewKey() (string, error) {
	var b [KeyLength / 4 * 3]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("making a random key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b[:]), nil
}

// Seal closes a message of any bytes under a random key that was never used before.
func Seal(key string, message []byte) (string, error) {
	aead, err := messageCipher(key)
	if err != nil {
		return "", err
	}
	nonce := sha256.Sum256([]byte("wecomsim nonce\n" + key))
	out := make([]byte, 0, len(magic)+nonceSize+len(message)+aead.Overhead())
	out = append(out, magic...)
	out = append(out, nonce[:nonceSize]...)
	out = aead.Seal(out, nonce[:nonceSize], message, []byte(magic))
	return base64.StdEncoding.EncodeToString(out), nil
}

// Open returns the message of an envelope, byte for byte as it was sealed.
func Open(key, envelope string) ([]byte, error) {
	aead, err := messageCipher(key)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.Strict().DecodeString(envelope)
	if err != nil || len(b) < len(magic)+nonceSize+aead.Overhead() || string(b[:len(magic)]) != magic {
		return nil, ErrEnvelope
	}
	nonce := b[len(magic) : len(magic)+nonceSize]
	message, err := aead.Open(nil, nonce, b[len(magic)+nonceSize:], []byte(magic))
	if err != nil {
		return nil, ErrOpen
	}
	return message, nil
}

func messageCipher(key string) (cipher.AEAD, error) {
	if len(key) != KeyLength || strings.ContainsRune(key, 0) {
		return nil, ErrKey
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(key); err != nil {
		return nil, ErrKey
	}
	sum := sha256.Sum256([]byte("wecomsim message\n" + key))
	c, err := aes.NewCipher(sum[:])
	if err != nil {
		return nil, fmt.Errorf("setting up the message cipher: %w", err)
	}
	aead, err := cipher.NewGCM(c)
	if err != nil {
		return nil, fmt.Errorf("setting up the message cipher: %w", err)
	}
	return aead, nil
}

// SealedSize is the size in bytes of the sealed object of a file of size bytes.
func SealedSize(size int64) int64 { return size + block - size%block }

// XORFile seals or opens in place the part of a sealed object that begins at offset, a multiple of 16. Padding is the caller's:
// Pad before sealing, Unpad after opening the last chunk.
func XORFile(fileID string, offset int64, part []byte) error {
	if offset < 0 || offset%block != 0 {
		return ErrOffset
	}
	sum := sha256.Sum256([]byte("wecomsim file\n" + fileID))
	c, err := aes.NewCipher(sum[:])
	if err != nil {
		return fmt.Errorf("setting up the file cipher: %w", err)
	}
	var counter [block]byte
	binary.BigEndian.PutUint64(counter[8:], uint64(offset)/block)
	cipher.NewCTR(c, counter[:]).XORKeyStream(part, part)
	return nil
}

// Padding is what follows the last byte of a file of size bytes in its sealed object, before it is sealed.
func Padding(size int64) []byte {
	n := SealedSize(size) - size
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(n)
	}
	return p
}

// Unpad takes the padding off the opened last chunk.
func Unpad(last []byte) ([]byte, error) {
	if len(last) == 0 || len(last)%block != 0 {
		return nil, ErrPadding
	}
	n := int(last[len(last)-1])
	if n < 1 || n > block {
		return nil, ErrPadding
	}
	for _, b := range last[len(last)-n:] {
		if int(b) != n {
			return nil, ErrPadding
		}
	}
	return last[:len(last)-n], nil
}
