package wecomsim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// knownTypes are the msgtypes that WeCom documents or that public code has met; "switch" stands for the action of that name.
var knownTypes = []string{
	"text", "image", "revoke", "agree", "disagree", "voice", "video", "card", "location", "emotion", "file", "link", "weapp", "chatrecord",
	"todo", "vote", "collect", "redpacket", "external_redpacket", "meeting", "meeting_notification", "docmsg", "markdown", "news", "calendar",
	"mixed", "meeting_voice_call", "voip_doc_share", "sphfeed", "voiptext", "qydiskfile", "note", "solitaire", "switch",
}

// Account is what the simulator counted of a corp's chat data.
type Account struct {
	Corp   string `json:"corp"`
	Items  int    `json:"items"`  // ever stored
	Served int    `json:"served"` // distinct seqs that an answer has carried
	// Missed are the seqs that left the window before any answer carried them.
	Missed       int            `json:"missed"`
	InWindow     int            `json:"in_window"`
	FirstSeq     uint64         `json:"first_seq"`
	LastSeq      uint64         `json:"last_seq"`
	LastServed   uint64         `json:"last_served"`
	ByVersion    map[string]int `json:"by_publickey_ver"`
	ByType       map[string]int `json:"by_type"`
	UnknownTypes map[string]int `json:"unknown_types"`
	Recalls      int            `json:"recalls"`
	Doubled      []Doubled      `json:"doubled_msgids"`
	// SetAside are the items that never open, in seq order.
	SetAside []Aside `json:"set_aside"`
	Files    Files   `json:"files"`
	// Calls are the calls of each API since the simulator started.
	Calls map[string]int `json:"calls"`
}

// Doubled is a msgid that came under more than one seq.
type Doubled struct {
	MsgID string   `json:"msgid"`
	Seqs  []uint64 `json:"seqs"`
}

// Aside is an item that never opens, and why: undecryptable or crashing.
type Aside struct {
	Seq        uint64 `json:"seq"`
	MsgID      string `json:"msgid"`
	KeyVersion uint32 `json:"publickey_ver"`
	Fate       string `json:"fate"`
}

// Files counts a corp's attachments.
type Files struct {
	Count   int   `json:"count"`
	Bytes   int64 `json:"bytes"`
	Largest int64 `json:"largest"`
	// Refused are those whose download is refused on purpose, Gone those beyond the media window.
	Refused int `json:"refused"`
	Gone    int `json:"gone"`
	// Fetched are those whose last range was handed out at least once.
	Fetched int `json:"fetched"`
}

// Item is one item of chat data as the simulator knows it.
type Item struct {
	Seq        uint64 `json:"seq"`
	MsgID      string `json:"msgid"`
	KeyVersion uint32 `json:"publickey_ver"`
	Action     string `json:"action"`
	Type       string `json:"msgtype"`
	Fate       string `json:"fate,omitempty"`
	Stored     int64  `json:"stored"`
	RawSHA256  string `json:"raw_sha256"` // of what opens
	Raw        []byte `json:"raw,omitempty"`
}

func (s *Sim) routeAccounts() {
	s.control("GET /sim/account", func(r *http.Request) (any, error) {
		c, err := s.corpNamed(r.URL.Query().Get("corp"))
		if err != nil {
			return nil, err
		}
		return s.account(c)
	})
	s.control("GET /sim/items", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		c, err := s.corpNamed(q.Get("corp"))
		if err != nil {
			return nil, err
		}
		after, limit := uint64(0), 1000
		if q.Get("after") != "" {
			if after, err = strconv.ParseUint(q.Get("after"), 10, 64); err != nil {
				return nil, asked("after is no seq")
			}
		}
		if q.Get("limit") != "" {
			if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 {
				return nil, asked("limit is no number above 0")
			}
		}
		list := []Item{}
		err = s.eachItem(c.ID, after, func(seq uint64, it item) bool {
			sum := sha256.Sum256(it.Plain)
			one := Item{
				Seq: seq, MsgID: it.MsgID, KeyVersion: it.KeyVersion, Action: it.Action, Type: it.Type, Fate: it.Fate, Stored: it.Stored,
				RawSHA256: hex.EncodeToString(sum[:]),
			}
			if q.Get("raw") == "1" {
				one.Raw = it.Plain
			}
			list = append(list, one)
			return len(list) < limit
		})
		return list, err
	})
}

func (s *Sim) account(c *corp) (Account, error) {
	a := Account{
		Corp: c.ID, ByVersion: map[string]int{}, ByType: map[string]int{}, UnknownTypes: map[string]int{}, Doubled: []Doubled{}, SetAside: []Aside{},
		Calls: map[string]int{},
	}
	for name, n := range s.calls[c.ID] {
		a.Calls[name] = n
	}
	for _, sp := range c.Served {
		a.Served += int(sp.Last - sp.First + 1) // #nosec G115 -- as many as were stored
		a.LastServed = sp.Last
	}
	oldest := ms(s.now().Add(-ChatWindow))
	seqs := map[string][]uint64{}
	err := s.eachItem(c.ID, 0, func(seq uint64, it item) bool {
		if a.Items == 0 {
			a.FirstSeq = seq
		}
		a.Items++
		a.LastSeq = seq
		if it.Stored >= oldest {
			a.InWindow++
		} else if !slices.ContainsFunc(c.Served, func(sp span) bool { return seq >= sp.First && seq <= sp.Last }) {
			a.Missed++
		}
		a.ByVersion[strconv.FormatUint(uint64(it.KeyVersion), 10)]++
		kind := it.Type
		if it.Action == "switch" {
			kind = "switch"
		}
		if it.Fate == "" {
			a.ByType[kind]++
			if !slices.Contains(knownTypes, kind) {
				a.UnknownTypes[kind]++
			}
			if it.Action == "recall" {
				a.Recalls++
			}
		} else {
			a.SetAside = append(a.SetAside, Aside{Seq: seq, MsgID: it.MsgID, KeyVersion: it.KeyVersion, Fate: it.Fate})
		}
		seqs[it.MsgID] = append(seqs[it.MsgID], seq)
		return true
	})
	if err != nil {
		return Account{}, err
	}
	for _, id := range sortedNames(seqs) {
		if len(seqs[id]) > 1 {
			a.Doubled = append(a.Doubled, Doubled{MsgID: id, Seqs: seqs[id]})
		}
	}
	gone := ms(s.now().Add(-MediaWindow))
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketFiles).Bucket([]byte(c.ID))
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, v []byte) error {
			var f file
			if err := json.Unmarshal(v, &f); err != nil {
				return fmt.Errorf("reading a file of corp %s: %w", c.ID, err)
			}
			a.Files.Count++
			a.Files.Bytes += f.Size
			a.Files.Largest = max(a.Files.Largest, f.Size)
			switch {
			case f.Refuse != 0:
				a.Files.Refused++
			case f.Stored < gone:
				a.Files.Gone++
			}
			if f.Fetched {
				a.Files.Fetched++
			}
			return nil
		})
	})
	return a, err
}
