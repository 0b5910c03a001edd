// Package archive owns the words of the field: the corp, the seq, the item of chat data as WeCom hands it out, the batch it came
// in, and the message that an item becomes once it is opened. It holds shapes and the pure rules between them; it reads no
// clock, no file and no network, and knows no store.
package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// CorpID is WeCom's id of a company, taken as it is given.
type CorpID string

// Seq is the place of an item in a corp's chat data. WeCom calls it ascending, not dense. It uses all 64 bits.
type Seq uint64

// Key is the seq with 20 digits, so that keys sort as numbers.
func (s Seq) Key() string { return fmt.Sprintf("%020d", uint64(s)) }

func (s Seq) String() string { return strconv.FormatUint(uint64(s), 10) }

// ParseSeq reads a decimal seq, with or without leading zeros.
func ParseSeq(s string) (Seq, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("seq %q is not a decimal number of 64 bits", s)
	}
	return Seq(n), nil
}

// MsgID is WeCom's id of a message. It is not always unique per seq: one msgid may be handed out under a second seq.
type MsgID string

// RoomID names a group; "" is a conversation of two.
type RoomID string

// PartyID is a member's userid, an external_userid or a robot's id.
type PartyID string

// KeyVersion is WeCom's publickey_ver: which of the corp's public keys an item's random key is encrypted under. 0 is "none given".
type KeyVersion uint32

func (v KeyVersion) String() string { return strconv.FormatUint(uint64(v), 10) }

// FileID is an sdkfileid: what the library needs to download one attachment. Opaque, often over 1,000 characters.
type FileID string

// Hash is the lower-case hex SHA-256 of the FileID, which names the attachment in keys and jobs.
func (f FileID) Hash() string { return HashHex([]byte(f)) }

// HashHex is the lower-case hex SHA-256 of b.
func HashHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// ChatData is one encrypted item of a batch, as pulled. Index is its place in the batch, from 0. An item of which a field could
// not be read keeps the zero value there and says what in Defect: it is set aside later, never dropped.
type ChatData struct {
	Index            int
	Seq              Seq
	MsgID            MsgID
	KeyVersion       KeyVersion
	EncryptRandomKey string // base64 of an RSA block
	EncryptChatMsg   string // what the library opens
	Defect           string // "" if every field could be read
}

// Action is what an opened message says happened.
type Action string

// The actions that WeCom documents. Others are kept as they come.
const (
	Send   Action = "send"
	Recall Action = "recall"
	Switch Action = "switch"
)

// Message is one opened item. It is a function of the decrypted bytes and of the item's place, and of nothing else.
type Message struct {
	Corp       CorpID
	Seq        Seq
	MsgID      MsgID // the item's own; the opened message's if the item has none
	KeyVersion KeyVersion

	Action   Action
	Type     string    // msgtype; "" for Switch
	Time     time.Time // UTC, milliseconds; for Switch its time; zero if none or 0
	From     PartyID   // for Switch the user
	To       []PartyID // as sent
	Room     RoomID
	Text     string // all that a person would read or search for, in document order, joined by newlines
	Media    []Media
	RecallOf MsgID // for Recall the message taken back
	Consents []Consent
	Known    bool // the type is one this decoder was built for

	Raw []byte // the decrypted bytes exactly as the library returned them
}

// RawSHA256 is the lower-case hex SHA-256 of Raw.
func (m *Message) RawSHA256() string { return HashHex(m.Raw) }

// Conversation names the conversation a message belongs to: its room, or the sorted set of its parties, or "-" when
// neither is known. Ids only.
func (m *Message) Conversation() string {
	if m.Room != "" {
		return string(m.Room)
	}
	ids := SortedParties(m.From, m.To)
	if len(ids) == 0 {
		return "-"
	}
	return "p:" + HashHex([]byte(strings.Join(ids, "\n")))[:32]
}

// Media is one attachment that a message names. Size and MD5 are what the message claims, not what was downloaded.
type Media struct {
	FileID FileID
	Name   string // the file's name, "" if the message gives none
	Size   uint64 // bytes; 0 if not given
	MD5    string // lower-case hex; "" if not given
	Kind   string // the type of the part that carries it: image, voice, file …
}

// Consent is what an agree or disagree message says.
type Consent struct {
	Party PartyID
	Agree bool
	Time  time.Time
}

// PartyKind says what a party is.
type PartyKind string

// The kinds of party. External means: not a member, and which of the two external kinds is not known.
const (
	KindMember   PartyKind = "member"
	KindWeChat   PartyKind = "wechat"
	KindCompany  PartyKind = "company"
	KindExternal PartyKind = "external"
	KindRobot    PartyKind = "robot"
	KindUnknown  PartyKind = "unknown"
)

// Party is a party of a message with the name it had at the message's time; the name is "" if unknown.
type Party struct {
	ID   PartyID   `json:"id"`
	Name string    `json:"name"`
	Kind PartyKind `json:"kind"`
}

// ParseKind guesses a party's kind from its id alone, for parties that no directory knows: WeCom's external ids have 32 characters
// and begin with wm or wo, robots' with wb. A member's userid is free-form, so everything else is unknown.
func ParseKind(id PartyID) PartyKind {
	s := string(id)
	switch {
	case strings.HasPrefix(s, "wb") && len(s) == 32:
		return KindRobot
	case (strings.HasPrefix(s, "wm") || strings.HasPrefix(s, "wo")) && len(s) == 32:
		return KindExternal
	default:
		return KindUnknown
	}
}
