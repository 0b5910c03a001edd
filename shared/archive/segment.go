package archive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// segmentLine is one message of a segment. A segment is record: it holds the decrypted bytes as they were, so that a message can be read
// without the library and without keys; the decoded form beside them is what the decoder of that time made of them.
type segmentLine struct {
	Format     int        `json:"format,omitempty"` // of this line; the segments of earlier versions bear no mark, and are of format 1
	Seq        Seq        `json:"seq"`
	Index      int        `json:"index"` // place in the batch
	MsgID      MsgID      `json:"msgid"`
	KeyVersion KeyVersion `json:"publickey_ver"`
	Decoder    int        `json:"decoder"`
	Action     Action     `json:"action,omitempty"`
	Type       string     `json:"msgtype,omitempty"`
	Time       *time.Time `json:"msgtime,omitempty"`
	From       PartyID    `json:"from,omitempty"`
	To         []PartyID  `json:"to,omitempty"`
	Room       RoomID     `json:"roomid,omitempty"`
	Text       string     `json:"text,omitempty"`
	Media      []Media    `json:"media,omitempty"`
	RecallOf   MsgID      `json:"recall_of,omitempty"`
	Consents   []Consent  `json:"consents,omitempty"`
	Known      bool       `json:"known"`
	// The decrypted bytes, as they are where they are text and in base64 where they are not. Text compresses together with the fields before it,
	// base64 does not: in small batches that is a third of a segment. Segments of the first version have base64 alone.
	RawText string `json:"raw_text,omitempty"`
	Raw     []byte `json:"raw,omitempty"`
}

// SegmentItem is one message of a segment with its place in the batch and the version of the decoder that read it.
type SegmentItem struct {
	Message Message
	Index   int
	Decoder int
}

// SegmentFormat is the format that EncodeSegment writes, and the newest that DecodeSegment reads. It rises when a line that is written now would be
// misread by a version that reads lines as they were before; a new field that may be passed over is no new format.
const SegmentFormat = 1

// ErrSegmentFormat is wrapped by DecodeSegment's error for a segment of a later version. It is not damaged, and nothing may be written in its place.
var ErrSegmentFormat = errors.New("read it with the version of WeCom Vault that wrote it, or a later one")

// EncodeSegment writes messages one JSON object a line: the same bytes for the same input.
func EncodeSegment(items []SegmentItem) ([]byte, error) { return encodeSegment(items, SegmentFormat) }

// EncodeUnmarkedSegment writes messages as versions did that did not mark the format yet: a segment of theirs that is gone is made again byte for byte.
func EncodeUnmarkedSegment(items []SegmentItem) ([]byte, error) { return encodeSegment(items, 0) }

func encodeSegment(items []SegmentItem, format int) ([]byte, error) {
	size := 0
	for _, it := range items {
		size += 4*len(it.Message.Raw)/3 + len(it.Message.Text) + 512 // a guess, and nothing depends on it
	}
	var out bytes.Buffer
	out.Grow(size)
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, it := range items {
		m := it.Message
		line := segmentLine{
			Format: format,
			Seq:    m.Seq, Index: it.Index, MsgID: m.MsgID, KeyVersion: m.KeyVersion, Decoder: it.Decoder, Action: m.Action, Type: m.Type,
			From: m.From, To: m.To, Room: m.Room, Text: m.Text, Media: m.Media, RecallOf: m.RecallOf, Consents: m.Consents, Known: m.Known,
		}
		if utf8.Valid(m.Raw) {
			line.RawText = string(m.Raw) // JSON gives valid text back byte for byte
		} else {
			line.Raw = m.Raw
		}
		if !m.Time.IsZero() {
			t := m.Time.UTC()
			line.Time = &t
		}
		if err := enc.Encode(line); err != nil {
			return nil, fmt.Errorf("encode seq %s for its segment: %w", m.Seq, err)
		}
	}
	return out.Bytes(), nil
}

// DecodeSegment reads what EncodeSegment wrote, in this version or an earlier one.
func DecodeSegment(corp CorpID, lines []byte) ([]SegmentItem, error) {
	var items []SegmentItem
	r := bufio.NewReader(bytes.NewReader(lines))
	dec := json.NewDecoder(r)
	for dec.More() {
		var l segmentLine
		if err := dec.Decode(&l); err != nil {
			return nil, fmt.Errorf("line %d of a segment of corp %s can't be read: %w", len(items)+1, corp, err)
		}
		if l.Format < 0 || l.Format > SegmentFormat {
			return nil, fmt.Errorf("line %d of a segment of corp %s has format %d, and this version knows formats up to %d: %w", len(items)+1, corp, l.Format, SegmentFormat, ErrSegmentFormat)
		}
		m := Message{
			Corp: corp, Seq: l.Seq, MsgID: l.MsgID, KeyVersion: l.KeyVersion, Action: l.Action, Type: l.Type, From: l.From, To: l.To,
			Room: l.Room, Text: l.Text, Media: l.Media, RecallOf: l.RecallOf, Consents: l.Consents, Known: l.Known, Raw: l.Raw,
		}
		if l.RawText != "" {
			m.Raw = []byte(l.RawText)
		}
		if l.Time != nil {
			m.Time = l.Time.UTC()
		}
		items = append(items, SegmentItem{Message: m, Index: l.Index, Decoder: l.Decoder})
	}
	return items, nil
}
