package wecomsim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/simcipher"
)

// The fates of an item that does not open.
const (
	FateUndecryptable = "undecryptable" // its random key is encrypted for a key that nobody has
	FateCrashing      = "crashing"      // its text is shorter than the library survives
)

// Message asks for one message. Either Raw is the whole decrypted JSON, byte for byte, or the envelope is built from the fields.
type Message struct {
	Corp string   `json:"corp"`
	From string   `json:"from,omitempty"`
	To   []string `json:"to,omitempty"`
	Room string   `json:"room,omitempty"`
	// Text is a short way to say Type "text" with this content.
	Text string `json:"text,omitempty"`
	Type string `json:"type,omitempty"`
	// Payload is the object under Key, which is Type if it is empty.
	Payload json.RawMessage `json:"payload,omitempty"`
	Key     string          `json:"key,omitempty"`
	// Extra are more fields of the envelope, put at its top level.
	Extra  map[string]json.RawMessage `json:"extra,omitempty"`
	Action string                     `json:"action,omitempty"` // "" is send
	// MsgID is given to have a msgid again, or one of another form; "" makes a new one.
	MsgID string `json:"msgid,omitempty"`
	// Time is the msgtime in ms; 0 is the simulator's now, negative is a msgtime of 0.
	Time int64 `json:"time,omitempty"`
	// Raw replaces all the above but MsgID; RawBase64 is the same for bytes that are no text.
	Raw       string `json:"raw,omitempty"`
	RawBase64 string `json:"raw_base64,omitempty"`
	// Fate is "", undecryptable or crashing.
	Fate string `json:"fate,omitempty"`
	// Seq is the seq to give, at least the next one; 0 is the next one.
	Seq uint64 `json:"seq,omitempty"`
	// KeyVersion is the version to encrypt under; 0 is the current one.
	KeyVersion uint32 `json:"publickey_ver,omitempty"`
	// Stored is when WeCom stored it, in ms by the simulator's clock; 0 is now.
	Stored int64 `json:"stored,omitempty"`
	// Element is merged over the element of chat data; a null takes a field away.
	Element map[string]json.RawMessage `json:"element,omitempty"`
	// Count sends the message this many times, each with a msgid of its own; 0 is once.
	Count int `json:"count,omitempty"`
}

// Sent says what became of a Message; of several, Seq and MsgID are the last one's.
type Sent struct {
	FirstSeq   uint64 `json:"first_seq"`
	Seq        uint64 `json:"seq"`
	MsgID      string `json:"msgid"`
	KeyVersion uint32 `json:"publickey_ver"`
	Time       int64  `json:"time"`
}

var errAsked = errors.New("the request can't be done")

func asked(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errAsked, fmt.Sprintf(format, args...))
}

// send stores messages in one transaction. mu is held.
func (s *Sim) send(c *corp, messages ...Message) (Sent, error) {
	var sent Sent
	next, count := c.NextSeq, c.MsgCount
	err := s.db.Update(func(tx *bolt.Tx) error {
		for _, m := range messages {
			for range max(1, m.Count) {
				one, err := s.sendOne(tx, c, m)
				if err != nil {
					return err
				}
				if sent.FirstSeq == 0 {
					sent.FirstSeq = one.Seq
				}
				first := sent.FirstSeq
				sent = one
				sent.FirstSeq = first
			}
		}
		return saveCorp(tx, c)
	})
	if err != nil {
		c.NextSeq, c.MsgCount = next, count
		return Sent{}, err
	}
	return sent, nil
}

func (s *Sim) sendOne(tx *bolt.Tx, c *corp, m Message) (Sent, error) {
	now := s.now()
	if m.Stored == 0 {
		m.Stored = ms(now)
	}
	switch {
	case m.Time == 0:
		m.Time = min(ms(now), m.Stored)
	case m.Time < 0:
		m.Time = 0
	}
	seq := c.NextSeq
	if m.Seq != 0 {
		if m.Seq < c.NextSeq {
			return Sent{}, asked("seq %d is below the next one, %d", m.Seq, c.NextSeq)
		}
		seq = m.Seq
	}
	c.MsgCount++
	if m.MsgID == "" {
		m.MsgID = c.newMsgID(m)
	}
	plain, action, msgtype, err := m.plain()
	if err != nil {
		return Sent{}, err
	}
	element, version, err := c.seal(m, seq, plain)
	if err != nil {
		return Sent{}, err
	}
	it := item{
		Element: element, Stored: m.Stored, MsgID: m.MsgID, KeyVersion: version,
		Action: action, Type: msgtype, Fate: m.Fate, Plain: plain,
	}
	if err := saveItem(tx, c.ID, seq, it); err != nil {
		return Sent{}, err
	}
	c.NextSeq = seq + 1
	if err := s.tellChatData(tx, c); err != nil {
		return Sent{}, err
	}
	return Sent{FirstSeq: seq, Seq: seq, MsgID: m.MsgID, KeyVersion: version, Time: m.Time}, nil
}

// newMsgID has the current form: digits, the time in ms, and _external if an external party takes part.
func (c *corp) newMsgID(m Message) string {
	suffix := ""
	for _, id := range append([]string{m.From}, m.To...) {
		if len(id) == 32 && (id[:2] == "wm" || id[:2] == "wo") {
			suffix = "_external"
		}
	}
	stamp := m.Time
	if stamp == 0 {
		stamp = m.Stored
	}
	digits := hash64(c.ID, c.MsgCount)%9_000_000_000_000_000_000 + 1_000_000_000_000_000_000
	return fmt.Sprintf("%d_%d%s", digits, stamp, suffix)
}

// plain is the decrypted JSON with its action and type.
func (m *Message) plain() (plain []byte, action, msgtype string, err error) {
	if m.RawBase64 != "" {
		b, err := base64.StdEncoding.DecodeString(m.RawBase64)
		if err != nil {
			return nil, "", "", asked("raw_base64 is no base64")
		}
		m.Raw = string(b)
	}
	if m.Raw != "" {
		var head struct {
			Action string `json:"action"`
			Type   string `json:"msgtype"`
		}
		// Raw bytes may be anything: what can't be read has neither action nor type, unless the request names them.
		_ = json.Unmarshal(withoutControls([]byte(m.Raw)), &head)
		if m.Action != "" {
			head.Action = m.Action
		}
		if m.Type != "" {
			head.Type = m.Type
		}
		return []byte(m.Raw), head.Action, head.Type, nil
	}
	if m.Text != "" && m.Type == "" {
		m.Type = "text"
		if m.Payload, err = plainJSON(object{{"content", m.Text}}); err != nil {
			return nil, "", "", err
		}
	}
	if m.Action == "" {
		m.Action = "send"
	}
	o := object{{"msgid", m.MsgID}, {"action", m.Action}}
	if m.Action == "switch" {
		o = append(o, field{"time", m.Time}, field{"user", m.From})
	} else {
		if m.Type == "" {
			return nil, "", "", asked("a message needs a type, a text or raw")
		}
		to := m.To
		if to == nil {
			to = []string{}
		}
		o = append(o, field{"from", m.From}, field{"tolist", to})
		if m.Type != "meeting_voice_call" && m.Type != "voip_doc_share" {
			o = append(o, field{"roomid", m.Room})
		}
		o = append(o, field{"msgtime", m.Time}, field{"msgtype", m.Type})
	}
	for _, name := range sortedNames(m.Extra) {
		o = append(o, field{name, m.Extra[name]})
	}
	if len(m.Payload) > 0 {
		key := m.Key
		if key == "" {
			key = m.Type
		}
		o = append(o, field{key, m.Payload})
	}
	plain, err = plainJSON(o)
	if err != nil {
		return nil, "", "", asked("payload or extra is no JSON")
	}
	return plain, m.Action, m.Type, nil
}

// seal makes the element of chat data.
func (c *corp) seal(m Message, seq uint64, plain []byte) (json.RawMessage, uint32, error) {
	version := m.KeyVersion
	if version == 0 {
		k := c.currentKey()
		if k == nil {
			return nil, 0, asked("corp %s has no key yet", c.ID)
		}
		version = k.Version
	}
	public := c.public[version]
	if public == nil {
		return nil, 0, asked("corp %s has no key version %d", c.ID, version)
	}
	if m.Fate == FateUndecryptable {
		foreign, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, 0, fmt.Errorf("making a foreign key: %w", err)
		}
		public = &foreign.PublicKey
	}
	key, err := simcipher.NewKey()
	if err != nil {
		return nil, 0, err
	}
	// #nosec G402 -- PKCS#1 v1.5 is what WeCom uses
	block, err := rsa.EncryptPKCS1v15(rand.Reader, public, []byte(key)) //nolint:staticcheck // WeCom's own choice of padding
	if err != nil {
		return nil, 0, fmt.Errorf("encrypting a random key: %w", err)
	}
	envelope := "too short"
	if m.Fate != FateCrashing {
		if envelope, err = simcipher.Seal(key, plain); err != nil {
			return nil, 0, err
		}
	}
	fields := object{
		{"seq", seq}, {"msgid", m.MsgID}, {"publickey_ver", version},
		{"encrypt_random_key", base64.StdEncoding.EncodeToString(block)}, {"encrypt_chat_msg", envelope},
	}
	var element object
	for _, f := range fields {
		patch, ok := m.Element[f.name]
		switch {
		case !ok:
			element = append(element, f)
		case string(patch) != "null":
			element = append(element, field{f.name, patch})
		}
	}
	raw, err := plainJSON(element)
	return raw, version, err
}

// reseal gives an item another cipher text under the same seq. mu is held.
func (s *Sim) reseal(c *corp, seq uint64) error {
	var it item
	found := false
	if err := s.eachItem(c.ID, seq-1, func(at uint64, i item) bool {
		if at == seq {
			it, found = i, true
		}
		return false
	}); err != nil {
		return err
	}
	if !found {
		return asked("corp %s has no seq %d", c.ID, seq)
	}
	element, _, err := c.seal(Message{MsgID: it.MsgID, KeyVersion: it.KeyVersion, Fate: it.Fate}, seq, it.Plain)
	if err != nil {
		return err
	}
	it.Element = element
	return s.db.Update(func(tx *bolt.Tx) error { return saveItem(tx, c.ID, seq, it) })
}

// newKey gives a corp the next key version: the given public key, or a pair made here whose private half is kept.
func (c *corp) newKey(version uint32, publicPEM string) (Key, error) {
	if version == 0 {
		version = 1
		if k := c.currentKey(); k != nil {
			version = k.Version + 1
		}
	}
	if c.public[version] != nil {
		return Key{}, asked("corp %s has key version %d already", c.ID, version)
	}
	k := Key{Version: version, Public: publicPEM}
	if publicPEM == "" {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return Key{}, fmt.Errorf("making a key pair: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return Key{}, fmt.Errorf("encoding a private key: %w", err)
		}
		k.Private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		if der, err = x509.MarshalPKIXPublicKey(&private.PublicKey); err != nil {
			return Key{}, fmt.Errorf("encoding a public key: %w", err)
		}
		k.Public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	c.Keys = append(c.Keys, k)
	if err := c.parseKeys(); err != nil {
		c.Keys = c.Keys[:len(c.Keys)-1]
		return Key{}, err
	}
	return k, nil
}

func (c *corp) parseKeys() error {
	public := map[uint32]*rsa.PublicKey{}
	for _, k := range c.Keys {
		p, _ := pem.Decode([]byte(k.Public))
		if p == nil {
			return asked("key version %d of corp %s is no PEM", k.Version, c.ID)
		}
		var parsed any
		var err error
		if p.Type == "RSA PUBLIC KEY" {
			parsed, err = x509.ParsePKCS1PublicKey(p.Bytes)
		} else {
			parsed, err = x509.ParsePKIXPublicKey(p.Bytes)
		}
		key, ok := parsed.(*rsa.PublicKey)
		if err != nil || !ok {
			return asked("key version %d of corp %s is no RSA public key", k.Version, c.ID)
		}
		if key.N.BitLen() != 2048 {
			return asked("key version %d of corp %s has %d bits, WeCom wants 2048", k.Version, c.ID, key.N.BitLen())
		}
		public[k.Version] = key
	}
	c.public = public
	return nil
}

func msTime(n int64) time.Time { return time.UnixMilli(n).UTC() }
