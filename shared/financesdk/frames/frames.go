// Package frames owns the language that financesdk and its child speak: length-prefixed frames on two pipes. It must not know what is
// on either side of them, so that Tencent's library (sdkhost) and a simulated one can serve the same parent.
//
// # Descriptors
//
// The child reads requests on descriptor 3 (In) and writes answers on descriptor 4 (Out). Descriptors 0 to 2 belong to the library,
// which prints on them, and carry nothing. When descriptor 3 ends, the child exits.
//
// # Layout
//
// A frame is 4 bytes N, big-endian; 1 byte kind; N-1 bytes body. N counts the kind and the body: 1 ≤ N ≤ MaxFrame. A body is the
// message's fields in the order of its Go struct, without gaps, and must be used up exactly:
//
//	uint32, int32  4 bytes, big-endian
//	uint64         8 bytes, big-endian
//	bool           1 byte, 0 or 1
//	string, bytes  uint32 length, then as many bytes, any of them, NUL included
//	list           uint32 count, then the elements
//
// # Conversation
//
// The parent asks, the child answers, one request at a time:
//
//	Open      → Ready, or Failed and the child exits
//	ChatData  → ChatDataAnswer
//	Decrypt   → for each item in order a Mark and then its Opened; at the end Done
//	Media     → MediaAnswer
//	Ping      → Pong
//
// Open comes first and once. A Mark must have left the child before the library sees its item: it is what names the item that ended
// the child. There is no request number: whoever loses patience kills the child and starts another.
//
// Open's Proxy is an HTTP proxy on the loopback. The host reaches WeCom through it alone: CONNECT qyapi.weixin.qq.com:443 with
// Passwd as Basic credentials, and inside it TLS whose certificate was made for this child and is not to be verified. gettoken is
// answered there with the real token whatever the secret is. An empty Proxy means that this child only decrypts.
//
// A child that can't go on just dies. It does not excuse itself, since the library may have destroyed what it would need for that.
package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The child's descriptors.
const (
	In  = 3 // requests, to be read by the child
	Out = 4 // answers, to be written by the child
)

// HostArgument is the one argument with which a program that carries sdkhost starts itself again as the child.
const HostArgument = "sdkhost"

// Version of this language. Open and Ready carry it, and either side refuses another's.
const Version = 1

// MaxFrame is the largest N, in bytes. Chat data comes at about 1 MB a batch and media at 512 KiB a chunk.
const MaxFrame = 128 << 20

// Codes that a host gives in place of the library's return code, all of which are 0 or 10000 and more.
const (
	CodeNoBuffer = -1 // the library's NewSlice or NewMediaData gave nothing
	CodeTooLarge = -2 // what the library returned does not fit into a frame
)

// Words of a Failed answer.
const (
	WordVersion           = "version"            // the other side speaks another Version
	WordUnsupported       = "unsupported"        // this host can't load libraries on this system
	WordMissing           = "library-missing"    // there is no such file, or it can't be read
	WordNotALibrary       = "not-a-library"      // no shared object, or not Tencent's: names are missing
	WordWrongArchitecture = "wrong-architecture" // built for another processor
	WordLoad              = "load-failed"        // the system's loader refused it
	WordNoHandle          = "no-handle"          // NewSdk gave nothing
	WordInit              = "init-refused"       // Init returned the Failed's Code
)

// Message is one of this package's message types.
type Message interface {
	kind() byte
	put([]byte) []byte
	take(*body)
}

// Open is the first request: load the library, make the one handle, call Init.
type Open struct {
	Version uint32
	Lib     string // absolute path; a simulated host ignores it
	Corp    string
	Secret  string // a placeholder, never the corp's secret
	Proxy   string // "http://127.0.0.1:PORT", or "" for none
	Passwd  string // "user:password" of Proxy
	Timeout uint32 // seconds; the timeout of each GetChatData and GetMediaData
}

// ChatData asks for the chat data above Seq.
type ChatData struct {
	Seq   uint64
	Limit uint32
}

// Item is one message to be opened.
type Item struct {
	Key []byte // the opened random key, text
	Msg string // encrypt_chat_msg
}

// Decrypt asks for the items to be opened in order.
type Decrypt struct {
	Items []Item
}

// Media asks for the chunk of a file that Index names; "" is the first.
type Media struct {
	Index  string
	FileID string
}

// Ping asks whether the child is alive.
type Ping struct{}

// Ready answers Open.
type Ready struct {
	Version uint32
	RSS     uint64 // bytes resident
}

// Failed answers Open; the child exits after it.
type Failed struct {
	Word     string // one of the Word constants
	Code     int32  // of Init, else 0
	Sentence string // what is wrong and what to do about it; may name the library's path, never a secret
}

// ChatDataAnswer is what GetChatData returned.
type ChatDataAnswer struct {
	Code int32
	Raw  []byte // the slice, byte for byte
	RSS  uint64 // bytes resident after the call
}

// Mark says that the item at Index of the present Decrypt is the next that the library sees.
type Mark struct {
	Index uint32
}

// Opened is what DecryptData returned for the item at Index.
type Opened struct {
	Index uint32
	Code  int32
	Raw   []byte
}

// Done ends the answer to Decrypt.
type Done struct {
	RSS uint64 // bytes resident after the last item
}

// MediaAnswer is what GetMediaData returned.
type MediaAnswer struct {
	Code     int32
	Data     []byte
	Next     string // the index of the next chunk
	Finished bool   // IsMediaDataFinish
	RSS      uint64 // bytes resident after the call
}

// Pong answers Ping.
type Pong struct {
	RSS uint64 // bytes resident
}

// Kinds. Requests are below 0x80.
const (
	kindOpen           = 0x01
	kindChatData       = 0x02
	kindDecrypt        = 0x03
	kindMedia          = 0x04
	kindPing           = 0x05
	kindReady          = 0x81
	kindFailed         = 0x82
	kindChatDataAnswer = 0x83
	kindMark           = 0x84
	kindOpened         = 0x85
	kindDone           = 0x86
	kindMediaAnswer    = 0x87
	kindPong           = 0x88
)

// ErrTooLarge is wrapped by Append and Write for a message of more than MaxFrame; nothing was written then.
var ErrTooLarge = errors.New("frame too large")

// Append adds the frame of m to b.
func Append(b []byte, m Message) ([]byte, error) {
	start := len(b)
	out := append(b, 0, 0, 0, 0, m.kind())
	out = m.put(out)
	n := len(out) - start - 4
	if n > MaxFrame {
		return b, fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
	}
	binary.BigEndian.PutUint32(out[start:], uint32(n)) // n ≤ MaxFrame
	return out, nil
}

// Write writes the frame of m in one call of w.Write.
func Write(w io.Writer, m Message) error {
	b, err := Append(nil, m)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

// Read reads the next frame. It returns io.EOF, unwrapped, if r ends before the frame begins, and allocates no more than it has read
// and a little ahead, whatever length a frame claims.
func Read(r io.Reader) (Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("read frame length: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > MaxFrame {
		return nil, fmt.Errorf("frame claims %d bytes, allowed are 1 to %d", n, MaxFrame)
	}
	data, err := readN(r, int(n))
	if err != nil {
		return nil, fmt.Errorf("read frame: %w", err)
	}
	return parse(data[0], data[1:])
}

const ahead = 2 << 20

func readN(r io.Reader, n int) ([]byte, error) {
	if n <= ahead {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, noEOF(err)
		}
		return b, nil
	}
	var buf bytes.Buffer
	buf.Grow(ahead)
	if _, err := io.CopyN(&buf, r, int64(n)); err != nil {
		return nil, noEOF(err)
	}
	return buf.Bytes(), nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func parse(kind byte, data []byte) (Message, error) {
	b := &body{rest: data}
	m := empty(kind)
	if m == nil {
		return nil, fmt.Errorf("frame of unknown kind 0x%02x", kind)
	}
	m.take(b)
	if b.bad {
		return nil, fmt.Errorf("frame of kind 0x%02x is cut or malformed", kind)
	}
	if len(b.rest) > 0 {
		return nil, fmt.Errorf("frame of kind 0x%02x has %d bytes too many", kind, len(b.rest))
	}
	return m, nil
}

func empty(kind byte) Message {
	switch kind {
	case kindOpen:
		return &Open{}
	case kindChatData:
		return &ChatData{}
	case kindDecrypt:
		return &Decrypt{}
	case kindMedia:
		return &Media{}
	case kindPing:
		return &Ping{}
	case kindReady:
		return &Ready{}
	case kindFailed:
		return &Failed{}
	case kindChatDataAnswer:
		return &ChatDataAnswer{}
	case kindMark:
		return &Mark{}
	case kindOpened:
		return &Opened{}
	case kindDone:
		return &Done{}
	case kindMediaAnswer:
		return &MediaAnswer{}
	case kindPong:
		return &Pong{}
	default:
		return nil
	}
}
