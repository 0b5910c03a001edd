// Package ses is Amazon SES v1 on one machine, in AWS's query protocol: it takes raw mails and keeps each byte for byte, with what SES
// would put on the envelope, in a bbolt store, and tells by events what became of it. It refuses what SES refuses, never drops a mail that came
// twice, and delivers nothing to anyone. Every recipient is accepted, as in an account that AWS has let out of its sandbox.
package ses

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/mail"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
)

// Limits of SES v1, as AWS documents them.
const (
	MaxBytes      = 10_485_760 // of the raw mail, attachments in base64 included
	MaxRecipients = 50
	maxLine       = 998 // octets without the line's end, RFC 5322 section 2.1.1
)

// ErrNotFound says that there is no mail of that id.
var ErrNotFound = errors.New("ses: no such mail")

// Mail is a mail that was accepted.
type Mail struct {
	ID               string // SES's message id
	Accepted         time.Time
	Source           string   // the envelope's sender
	Destinations     []string // the envelope's recipients
	ConfigurationSet string
	Tags             map[string]string
	Subject          string // decoded
	Size             int    // bytes of the raw mail
}

// Mood is how the account answers SendRawEmail.
type Mood int

// The moods of the account.
const (
	Sending      Mood = iota
	Paused            // AccountSendingPausedException
	RateExceeded      // Throttling: Maximum sending rate exceeded.
	DayExceeded       // Throttling: Daily message quota exceeded.
)

// Quota is what the account may send.
type Quota struct {
	PerDay    int
	PerSecond int
}

// Service is an http.Handler for one region and account. It is safe for concurrent use. A mail that is answered with an id is on disk.
type Service struct {
	region, account string
	now             func() time.Time
	db              *bbolt.DB

	mu             sync.Mutex
	mood           Mood
	throttled      int // sends still to be throttled
	quota          Quota
	configurations map[string]bool
	recent         []time.Time // of the last 24 hours, ascending
	published      map[string][]string
	publish        func([]byte) error
	outcomes       func(Mail, string) Outcome
	course         func(Event) Course
	late           error // of an event that was due while nobody asked for anything

	publishing sync.Mutex // held while events go out, so that each goes out in its turn
}

var (
	mailBucket     = []byte("ses/mails")
	rawBucket      = []byte("ses/raw")
	idBucket       = []byte("ses/ids")
	identityBucket = []byte("ses/identities")
)

// New returns the service over a store, with no verified identity but those that the store remembers, and no configuration set.
func New(db *bbolt.DB, region, account string, now func() time.Time) (*Service, error) {
	s := &Service{region: region, account: account, now: now, db: db, quota: Quota{PerDay: 50_000, PerSecond: 14}, configurations: map[string]bool{}}
	err := db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{mailBucket, rawBucket, idBucket, identityBucket, eventBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ses: preparing the store: %w", err)
	}
	mails, err := s.Mails()
	if err != nil {
		return nil, err
	}
	for _, m := range mails {
		s.recent = append(s.recent, m.Accepted)
	}
	return s, nil
}

// Verify adds identities that may send: addresses, or domains with all that lies under them.
func (s *Service) Verify(identities ...string) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, identity := range identities {
			if err := tx.Bucket(identityBucket).Put([]byte(normal(identity)), []byte{1}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ses: keeping the verified identities: %w", err)
	}
	return nil
}

// SetConfigurationSets names the configuration sets that there are.
func (s *Service) SetConfigurationSets(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configurations = map[string]bool{}
	for _, name := range names {
		s.configurations[name] = true
	}
}

// SetMood sets how sends are answered from now on.
func (s *Service) SetMood(m Mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = m
}

// ThrottleNext throttles the next n sends.
func (s *Service) ThrottleNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throttled = n
}

// SetQuota sets what the account may send; the standard is 50,000 a day and 14 a second.
func (s *Service) SetQuota(q Quota) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quota = q
}

// Mails returns every accepted mail, oldest first.
func (s *Service) Mails() ([]Mail, error) {
	var out []Mail
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(mailBucket).ForEach(func(_, v []byte) error {
			var m Mail
			if err := json.Unmarshal(v, &m); err != nil {
				return err
			}
			out = append(out, m)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("ses: listing the mails: %w", err)
	}
	return out, nil
}

// Raw returns a mail's bytes exactly as they were sent, or ErrNotFound.
func (s *Service) Raw(id string) ([]byte, error) {
	_, raw, err := s.find(id)
	return raw, err
}

// Delivered returns a mail's bytes as a receiver would get them: SES puts its own Message-ID and Date in the sender's place.
func (s *Service) Delivered(id string) ([]byte, error) {
	m, raw, err := s.find(id)
	if err != nil {
		return nil, err
	}
	return restamp(raw, m.ID+"@"+s.mailDomain(), m.Accepted), nil
}

func (s *Service) mailDomain() string {
	if s.region == "us-east-1" {
		return "email.amazonses.com"
	}
	return s.region + ".amazonses.com"
}

func (s *Service) find(id string) (m Mail, raw []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		key := tx.Bucket(idBucket).Get([]byte(id))
		if key == nil {
			return ErrNotFound
		}
		// The bytes belong to the transaction: copy them.
		raw = bytes.Clone(tx.Bucket(rawBucket).Get(key))
		return json.Unmarshal(tx.Bucket(mailBucket).Get(key), &m)
	})
	if err != nil {
		return Mail{}, nil, fmt.Errorf("mail %s: %w", id, err)
	}
	return m, raw, nil
}

// keep stores a mail under a new id, and what will be told of it.
func (s *Service) keep(m Mail, raw []byte, header mail.Header) (string, error) {
	m.Accepted = s.now().UTC()
	m.Size = len(raw)
	m.ID = fmt.Sprintf("0100%012x-%s-000000", m.Accepted.UnixMilli(), protocol.RequestID())
	v, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encoding mail %s: %w", m.ID, err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		seq, err := tx.Bucket(mailBucket).NextSequence()
		if err != nil {
			return err
		}
		key := binary.BigEndian.AppendUint64(nil, seq)
		return errors.Join(tx.Bucket(mailBucket).Put(key, v), tx.Bucket(rawBucket).Put(key, raw), tx.Bucket(idBucket).Put([]byte(m.ID), key),
			s.keepEvents(tx, m, header))
	})
	if err != nil {
		return "", fmt.Errorf("writing mail %s to the store: %w", m.ID, err)
	}
	return m.ID, s.flush(false)
}

// admit applies the account's mood and its quota, and counts the send.
func (s *Service) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for len(s.recent) > 0 && now.Sub(s.recent[0]) > 24*time.Hour {
		s.recent = s.recent[1:]
	}
	lastSecond := 0
	for i := len(s.recent) - 1; i >= 0 && now.Sub(s.recent[i]) < time.Second; i-- {
		lastSecond++
	}
	switch {
	case s.mood == Paused:
		return protocol.Refuse("AccountSendingPausedException", "Sending is paused for this account.")
	case s.mood == DayExceeded, len(s.recent) >= s.quota.PerDay:
		return protocol.Refuse("Throttling", "Daily message quota exceeded.")
	case s.mood == RateExceeded, s.throttled > 0, lastSecond >= s.quota.PerSecond:
		s.throttled = max(0, s.throttled-1)
		return protocol.Refuse("Throttling", "Maximum sending rate exceeded.")
	}
	s.recent = append(s.recent, now)
	return nil
}

// identity returns the verified identity that an address falls under: itself, its domain or a domain above; "" if none.
func (s *Service) identity(address string) (string, error) {
	address = normal(address)
	_, domain, _ := strings.Cut(address, "@")
	candidates := []string{address}
	for domain != "" {
		candidates = append(candidates, domain)
		_, domain, _ = strings.Cut(domain, ".")
	}
	found := ""
	err := s.db.View(func(tx *bbolt.Tx) error {
		for _, c := range candidates {
			if tx.Bucket(identityBucket).Get([]byte(c)) != nil {
				found = c
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("reading the verified identities: %w", err)
	}
	return found, nil
}

// normal lowers the domain; the part before the @ is the receiver's own business.
func normal(identity string) string {
	at := strings.LastIndexByte(identity, '@')
	return identity[:at+1] + strings.ToLower(identity[at+1:])
}

// check reads what SES reads of a raw mail, and refuses what it refuses.
func check(raw []byte) (mail.Header, error) {
	if len(raw) > MaxBytes {
		return nil, invalid("Message length is more than %d bytes long: '%d'.", MaxBytes, len(raw))
	}
	parsed, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, invalid("The raw message can't be parsed: %v", err)
	}
	for _, name := range []string{"From", "To", "Cc", "Bcc", "Subject", "Date", "Message-Id", "Reply-To", "Sender", "Mime-Version", "Content-Type"} {
		if len(parsed.Header[name]) > 1 {
			return nil, invalid("Duplicate header '%s'.", name)
		}
	}
	if parsed.Header.Get("From") == "" {
		return nil, invalid("Missing required header 'From'.")
	}
	for line := range bytes.Lines(raw) {
		if len(bytes.TrimRight(line, "\r\n")) > maxLine {
			return nil, invalid("The raw message has a line of more than %d characters.", maxLine)
		}
	}
	return parsed.Header, nil
}

func invalid(format string, args ...any) error {
	return protocol.Refuse("InvalidParameterValue", format, args...)
}

func subject(h mail.Header) string {
	text, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if err != nil {
		// An undecodable subject is shown as it came.
		return h.Get("Subject")
	}
	return text
}

// restamp replaces the fields Message-ID and Date of a raw mail.
func restamp(raw []byte, id string, at time.Time) []byte {
	out := fmt.Appendf(nil, "Message-ID: <%s>\r\nDate: %s\r\n", id, at.Format(time.RFC1123Z))
	drop := false
	rest := raw
	for len(rest) > 0 {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line = rest[:end+1]
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
		rest = rest[len(line):]
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			drop = bytes.EqualFold(name, []byte("Message-ID")) || bytes.EqualFold(name, []byte("Date"))
		}
		if !drop {
			out = append(out, line...)
		}
	}
	return append(out, rest...)
}
