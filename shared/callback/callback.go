// Package callback opens what WeCom posts to a callback address: it checks the signature, decrypts, and reads which things changed. It gives
// out ids and the words that WeCom has for an event, never names, numbers or texts, although older addresses are sent those: who wants to
// know what changed reads it again. It knows no network and no clock; secrets that it holds print as [secret].
//
// An event is a hint. WeCom promises neither that it comes, nor that it comes once, nor that events come in order.
package callback

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- WeCom's signature is SHA-1; the choice is not ours
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Why a request is not WeCom's word. Errors name the corp and never what came.
var (
	// ErrForm says that the request is not in WeCom's form: a parameter is missing or doubled, or the body is no envelope.
	ErrForm = errors.New("not in WeCom's form")
	// ErrSignature says that whoever signed does not hold the token.
	ErrSignature = errors.New("the signature is not made with our token")
	// ErrStale says that a rightly signed request is too old, or of the future: somebody repeats it, or a clock is wrong.
	ErrStale = errors.New("the request's time is too far from ours")
	// ErrSealed says that what is rightly signed does not open: the EncodingAESKey is another one than WeCom's.
	ErrSealed = errors.New("the message does not open with our EncodingAESKey")
	// ErrReceiver says that the message is meant for another corp.
	ErrReceiver = errors.New("the message is for another corp")
	// ErrSettings says that token or EncodingAESKey can't be ones that WeCom's console made.
	ErrSettings = errors.New("no settings of a callback")
)

// MostApart is how far a request's timestamp may be from our time.
const MostApart = 10 * time.Minute

// MostBytes bounds the body that Open reads. WeCom's own are a few kB.
const MostBytes = 1 << 20

const (
	keyChars   = 43 // base64 without its last =
	padTo      = 32 // QUIRK: the padding is PKCS#7 for blocks of 32 bytes, though AES has 16
	randomHead = 16
	headBytes  = randomHead + 4 // and the message's length
)

// Scheme opens the callbacks of one address. Safe for concurrent use.
type Scheme struct {
	corp  archive.CorpID
	token string
	key   [32]byte
	block cipher.Block
}

// New returns the scheme of an address with what the corp's admin entered, or let make, in WeCom's console: a token of at most 32 letters and
// digits, and an EncodingAESKey of 43. The error, ErrSettings, holds neither.
func New(corp archive.CorpID, token, aesKey string) (*Scheme, error) {
	switch {
	case corp == "":
		return nil, fmt.Errorf("%w: no corp is named", ErrSettings)
	case token == "" || len(token) > 32 || !alnum(token):
		return nil, fmt.Errorf("%w of corp %s: a token has 1 to 32 letters and digits", ErrSettings, corp)
	case len(aesKey) != keyChars || !alnum(aesKey):
		return nil, fmt.Errorf("%w of corp %s: an EncodingAESKey has %d letters and digits", ErrSettings, corp, keyChars)
	}
	// QUIRK: the last character of a key may hold bits that belong to no byte, so that a strict decoder refuses keys that WeCom made.
	raw, err := base64.StdEncoding.DecodeString(aesKey + "=")
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("%w of corp %s: the EncodingAESKey is no base64 of 32 bytes", ErrSettings, corp)
	}
	s := &Scheme{corp: corp, token: token, key: [32]byte(raw)}
	if s.block, err = aes.NewCipher(raw); err != nil {
		return nil, fmt.Errorf("%w of corp %s: the EncodingAESKey is no AES key", ErrSettings, corp)
	}
	return s, nil
}

func alnum(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// Format prints [secret], whatever the verb: a scheme holds two of them.
func (s *Scheme) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte("[secret]")) // fmt has nowhere to put an error either
}

// LogValue is [secret].
func (s *Scheme) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText writes [secret].
func (s *Scheme) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Verify answers the request (GET, with echostr) by which WeCom tries an address before it saves it. echo is the whole body of the answer,
// which WeCom wants within a second: no quotes, no line end. now is our time.
func (s *Scheme) Verify(query url.Values, now time.Time) (echo string, err error) {
	sealed, err := one(query, "echostr")
	if err != nil {
		return "", s.failed("verify an address", err)
	}
	// QUIRK: base64 has a + that some hand on unescaped, so that it arrives as a space.
	plain, err := s.open(query, strings.ReplaceAll(sealed, " ", "+"), now)
	if err != nil {
		return "", s.failed("verify an address", err)
	}
	return string(plain), nil
}

// Open reads a delivery (POST): query is that of the request, body its body. Answer it with HTTP 200 and an empty body within 5 seconds,
// else WeCom delivers it again, three times at most. now is our time.
func (s *Scheme) Open(query url.Values, body []byte, now time.Time) (Event, error) {
	const what = "open a callback"
	if len(body) > MostBytes {
		return Event{}, s.failed(what, fmt.Errorf("%w: the body has over %d bytes", ErrForm, MostBytes))
	}
	envelope, err := read(body)
	if err != nil {
		return Event{}, s.failed(what, fmt.Errorf("%w: the envelope: %w", ErrForm, err))
	}
	sealed := envelope.text["Encrypt"]
	if sealed == "" {
		return Event{}, s.failed(what, fmt.Errorf("%w: the envelope holds nothing", ErrForm))
	}
	plain, err := s.open(query, sealed, now)
	if err != nil {
		return Event{}, s.failed(what, err)
	}
	e, err := eventOf(plain)
	if err != nil {
		return Event{}, s.failed(what, fmt.Errorf("%w: the message: %w", ErrForm, err))
	}
	// What was decrypted is bound to the corp by its end; a message that names another one inside is not this corp's either.
	if e.Corp != "" && e.Corp != s.corp {
		return Event{}, s.failed(what, ErrReceiver)
	}
	e.Corp = s.corp
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write(plain)
	e.ID = hex.EncodeToString(mac.Sum(nil)[:16])
	return e, nil
}

func (s *Scheme) failed(what string, err error) error {
	return fmt.Errorf("%s of corp %s: %w", what, s.corp, err)
}

// one is a parameter that is there once. A doubled one would let the signature be checked over another text than is used.
func one(query url.Values, name string) (string, error) {
	values := query[name]
	if len(values) != 1 || values[0] == "" {
		return "", fmt.Errorf("%w: parameter %s is not there once", ErrForm, name)
	}
	return values[0], nil
}

// open checks signature and time, and decrypts: in this order, so that nothing is computed on bytes of a stranger's.
func (s *Scheme) open(query url.Values, sealed string, now time.Time) ([]byte, error) {
	signature, err := one(query, "msg_signature")
	if err != nil {
		return nil, err
	}
	timestamp, err := one(query, "timestamp")
	if err != nil {
		return nil, err
	}
	nonce, err := one(query, "nonce")
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(s.sign(timestamp, nonce, sealed)), []byte(signature)) != 1 {
		return nil, ErrSignature
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: the timestamp is no number", ErrForm)
	}
	if at := time.Unix(seconds, 0); at.Before(now.Add(-MostApart)) || at.After(now.Add(MostApart)) {
		return nil, ErrStale
	}
	return s.decrypt(sealed)
}

// sign is WeCom's signature: the hex SHA-1 of the four texts, sorted by their bytes and put together.
func (s *Scheme) sign(timestamp, nonce, sealed string) string {
	parts := []string{s.token, timestamp, nonce, sealed}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, ""))) // #nosec G401 -- as above
	return hex.EncodeToString(sum[:])
}

// decrypt opens base64(AES-256-CBC(16 random bytes, length, message, receiver)), whose vector is the key's first half.
func (s *Scheme) decrypt(sealed string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: what is encrypted is no base64", ErrForm)
	}
	if len(raw) == 0 || len(raw)%padTo != 0 {
		return nil, fmt.Errorf("%w: %d encrypted bytes are no whole blocks", ErrForm, len(raw))
	}
	cipher.NewCBCDecrypter(s.block, s.key[:aes.BlockSize]).CryptBlocks(raw, raw)
	pad := int(raw[len(raw)-1])
	if pad < 1 || pad > padTo || slices.ContainsFunc(raw[len(raw)-pad:], func(b byte) bool { return int(b) != pad }) {
		return nil, ErrSealed
	}
	raw = raw[:len(raw)-pad]
	if len(raw) < headBytes {
		return nil, ErrSealed
	}
	n := uint64(binary.BigEndian.Uint32(raw[randomHead:]))
	rest := raw[headBytes:]
	if n > uint64(len(rest)) {
		return nil, ErrSealed
	}
	if subtle.ConstantTimeCompare(rest[n:], []byte(s.corp)) != 1 {
		return nil, ErrReceiver
	}
	return rest[:n], nil
}
