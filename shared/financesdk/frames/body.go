package frames

import (
	"encoding/binary"
	"slices"
)

func (*Open) kind() byte           { return kindOpen }
func (*ChatData) kind() byte       { return kindChatData }
func (*Decrypt) kind() byte        { return kindDecrypt }
func (*Media) kind() byte          { return kindMedia }
func (*Ping) kind() byte           { return kindPing }
func (*Ready) kind() byte          { return kindReady }
func (*Failed) kind() byte         { return kindFailed }
func (*ChatDataAnswer) kind() byte { return kindChatDataAnswer }
func (*Mark) kind() byte           { return kindMark }
func (*Opened) kind() byte         { return kindOpened }
func (*Done) kind() byte           { return kindDone }
func (*MediaAnswer) kind() byte    { return kindMediaAnswer }
func (*Pong) kind() byte           { return kindPong }

func (m *Open) put(b []byte) []byte {
	b = put32(b, m.Version)
	for _, s := range []string{m.Lib, m.Corp, m.Secret, m.Proxy, m.Passwd} {
		b = putBytes(b, s)
	}
	return put32(b, m.Timeout)
}

func (m *Open) take(b *body) {
	m.Version = b.uint32()
	for _, s := range []*string{&m.Lib, &m.Corp, &m.Secret, &m.Proxy, &m.Passwd} {
		*s = string(b.bytes())
	}
	m.Timeout = b.uint32()
}

func (m *ChatData) put(b []byte) []byte { return put32(put64(b, m.Seq), m.Limit) }
func (m *ChatData) take(b *body)        { m.Seq, m.Limit = b.uint64(), b.uint32() }

// Size is the frame's N: how many bytes Append adds, but for N itself.
func (m *Decrypt) Size() int {
	n := 1 + 4
	for _, it := range m.Items {
		n += 4 + len(it.Key) + 4 + len(it.Msg)
	}
	return n
}

func (m *Decrypt) put(b []byte) []byte {
	b = slices.Grow(b, m.Size())
	b = put32(b, uint32(len(m.Items))) // each item takes 8 bytes of a frame, and Append bounds the frame
	for _, it := range m.Items {
		b = putBytes(b, it.Key)
		b = putBytes(b, it.Msg)
	}
	return b
}

func (m *Decrypt) take(b *body) {
	n := int(b.uint32())
	if n > len(b.rest)/8 {
		b.bad = true
		return
	}
	m.Items = make([]Item, n)
	for i := range m.Items {
		m.Items[i] = Item{Key: b.bytes(), Msg: string(b.bytes())}
	}
}

func (m *Media) put(b []byte) []byte { return putBytes(putBytes(b, m.Index), m.FileID) }
func (m *Media) take(b *body)        { m.Index, m.FileID = string(b.bytes()), string(b.bytes()) }

func (*Ping) put(b []byte) []byte { return b }
func (*Ping) take(*body)          {}

func (m *Ready) put(b []byte) []byte { return put64(put32(b, m.Version), m.RSS) }
func (m *Ready) take(b *body)        { m.Version, m.RSS = b.uint32(), b.uint64() }

func (m *Failed) put(b []byte) []byte {
	return putBytes(putCode(putBytes(b, m.Word), m.Code), m.Sentence)
}

func (m *Failed) take(b *body) {
	m.Word, m.Code, m.Sentence = string(b.bytes()), b.code(), string(b.bytes())
}

func (m *ChatDataAnswer) put(b []byte) []byte {
	return put64(putBytes(putCode(b, m.Code), m.Raw), m.RSS)
}
func (m *ChatDataAnswer) take(b *body) { m.Code, m.Raw, m.RSS = b.code(), b.bytes(), b.uint64() }

func (m *Mark) put(b []byte) []byte { return put32(b, m.Index) }
func (m *Mark) take(b *body)        { m.Index = b.uint32() }

func (m *Opened) put(b []byte) []byte { return putBytes(putCode(put32(b, m.Index), m.Code), m.Raw) }
func (m *Opened) take(b *body)        { m.Index, m.Code, m.Raw = b.uint32(), b.code(), b.bytes() }

func (m *Done) put(b []byte) []byte { return put64(b, m.RSS) }
func (m *Done) take(b *body)        { m.RSS = b.uint64() }

func (m *MediaAnswer) put(b []byte) []byte {
	b = putBytes(putCode(b, m.Code), m.Data)
	b = putBytes(b, m.Next)
	if m.Finished {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return put64(b, m.RSS)
}

func (m *MediaAnswer) take(b *body) {
	m.Code, m.Data, m.Next = b.code(), b.bytes(), string(b.bytes())
	m.Finished = b.bool()
	m.RSS = b.uint64()
}

func (m *Pong) put(b []byte) []byte { return put64(b, m.RSS) }
func (m *Pong) take(b *body)        { m.RSS = b.uint64() }

func put32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func put64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }
func putCode(b []byte, v int32) []byte {
	return put32(b, uint32(v)) // two's complement, and back by code
}

func putBytes[T string | []byte](b []byte, v T) []byte {
	b = put32(b, uint32(len(v))) // Append bounds the whole frame
	return append(b, v...)
}

// body is what is left of a frame. After a field that is not there, bad is set and every field is zero.
type body struct {
	rest []byte
	bad  bool
}

func (b *body) next(n int) []byte {
	if b.bad || n > len(b.rest) {
		b.bad, b.rest = true, nil
		return nil
	}
	v := b.rest[:n:n]
	b.rest = b.rest[n:]
	return v
}

func (b *body) uint32() uint32 {
	if v := b.next(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (b *body) uint64() uint64 {
	if v := b.next(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (b *body) code() int32 { return int32(b.uint32()) } // two's complement

func (b *body) bool() bool {
	v := b.next(1)
	if v == nil {
		return false
	}
	if v[0] > 1 {
		b.bad = true
	}
	return v[0] == 1
}

func (b *body) bytes() []byte { return b.next(int(b.uint32())) }
