package wecomsim

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The file's buckets: one value for the simulator itself, one for each corp and its contacts, and for each corp a bucket of items by seq,
// one of files by sdkfileid, one of deliveries, one of changes of members and one of what apps wrote.
var (
	bucketSelf      = []byte("self")
	bucketCorps     = []byte("corps")
	bucketContacts  = []byte("contacts")
	bucketItems     = []byte("items")
	bucketFiles     = []byte("files")
	bucketCallbacks = []byte("callbacks")
	bucketChanges   = []byte("changes")
	bucketWritten   = []byte("written")
	keySelf         = []byte("self")
)

const formatNow = 1

// self is what the simulator keeps about itself.
type self struct {
	Format   int           `json:"format"`
	Offset   time.Duration `json:"offset_ns"`
	CallerIP string        `json:"caller_ip"`
	Demo     demoState     `json:"demo"`
}

// item is one element of chat data with what the simulator knows about it.
type item struct {
	Element    json.RawMessage `json:"element"` // as it is handed out
	Stored     int64           `json:"stored"`  // ms by the simulator's clock: the window counts from it
	MsgID      string          `json:"msgid"`
	KeyVersion uint32          `json:"publickey_ver"`
	Action     string          `json:"action"`
	Type       string          `json:"msgtype"`
	Fate       string          `json:"fate,omitempty"`
	Plain      []byte          `json:"plain"` // what opens
}

// file is one attachment: its bytes, or how they are made.
type file struct {
	ID      string `json:"sdkfileid"`
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	MD5     string `json:"md5sum"`
	Head    []byte `json:"head,omitempty"` // the first bytes
	Seed    []byte `json:"seed,omitempty"` // what follows is AES-CTR's key stream under it
	Stored  int64  `json:"stored"`
	Refuse  int    `json:"refuse,omitempty"` // errcode that every download gets
	Fetched bool   `json:"fetched,omitempty"`
}

func (s *Sim) open() error {
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketSelf, bucketCorps, bucketContacts, bucketItems, bucketFiles, bucketCallbacks, bucketChanges, bucketWritten} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return fmt.Errorf("making bucket %s: %w", name, err)
			}
		}
		b := tx.Bucket(bucketSelf).Get(keySelf)
		if b == nil {
			s.self = self{Format: formatNow, CallerIP: "203.0.113.24"}
			return put(tx.Bucket(bucketSelf), keySelf, s.self)
		}
		if err := json.Unmarshal(b, &s.self); err != nil {
			return fmt.Errorf("reading the simulator's state: %w", err)
		}
		if s.self.Format != formatNow {
			return fmt.Errorf("the simulator's file has format %d, this program writes %d", s.self.Format, formatNow)
		}
		if err := tx.Bucket(bucketCorps).ForEach(func(k, v []byte) error {
			c := &corp{}
			if err := json.Unmarshal(v, c); err != nil {
				return fmt.Errorf("reading corp %s: %w", k, err)
			}
			if err := json.Unmarshal(tx.Bucket(bucketContacts).Get(k), &c.contacts); err != nil {
				return fmt.Errorf("reading the contacts of corp %s: %w", k, err)
			}
			if err := c.parseKeys(); err != nil {
				return err
			}
			s.corps[c.ID] = c
			return nil
		}); err != nil {
			return err
		}
		return s.loadDeliveries(tx)
	})
}

func put(b *bolt.Bucket, key []byte, v any) error {
	raw, err := plainJSON(v)
	if err != nil {
		return err
	}
	return b.Put(key, raw)
}

func (s *Sim) saveSelf(tx *bolt.Tx) error { return put(tx.Bucket(bucketSelf), keySelf, s.self) }

func saveCorp(tx *bolt.Tx, c *corp) error { return put(tx.Bucket(bucketCorps), []byte(c.ID), c) }

// saveContacts stores the contacts, and the events of what is new in them. mu is held.
func (s *Sim) saveContacts(tx *bolt.Tx, c *corp) error {
	if err := s.tellChanges(tx, c); err != nil {
		return err
	}
	return put(tx.Bucket(bucketContacts), []byte(c.ID), c.contacts)
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func saveItem(tx *bolt.Tx, corp string, seq uint64, it item) error {
	b, err := tx.Bucket(bucketItems).CreateBucketIfNotExists([]byte(corp))
	if err != nil {
		return fmt.Errorf("making the items of corp %s: %w", corp, err)
	}
	return put(b, seqKey(seq), it)
}

func saveFile(tx *bolt.Tx, corp string, f file) error {
	b, err := tx.Bucket(bucketFiles).CreateBucketIfNotExists([]byte(corp))
	if err != nil {
		return fmt.Errorf("making the files of corp %s: %w", corp, err)
	}
	return put(b, []byte(f.ID), f)
}

var errNoFile = errors.New("no such file")

func (s *Sim) readFile(corp, id string) (file, error) {
	var f file
	err := s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketFiles).Bucket([]byte(corp))
		if b == nil || id == "" {
			return errNoFile
		}
		v := b.Get([]byte(id))
		if v == nil {
			return errNoFile
		}
		return json.Unmarshal(v, &f)
	})
	return f, err
}

// eachItem calls visit for the items of a corp above after, in seq order, until it returns false.
func (s *Sim) eachItem(corp string, after uint64, visit func(seq uint64, it item) bool) error {
	if after == ^uint64(0) {
		return nil
	}
	return s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketItems).Bucket([]byte(corp))
		if b == nil {
			return nil
		}
		cur := b.Cursor()
		for k, v := cur.Seek(seqKey(after + 1)); k != nil; k, v = cur.Next() {
			var it item
			if err := json.Unmarshal(v, &it); err != nil {
				return fmt.Errorf("reading item %d of corp %s: %w", binary.BigEndian.Uint64(k), corp, err)
			}
			if !visit(binary.BigEndian.Uint64(k), it) {
				return nil
			}
		}
		return nil
	})
}
