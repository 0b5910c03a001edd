package wecomsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"
)

// The documented limits of what one app writes to one member, by real time, and of a text.
const (
	writtenPerMinute = 30
	writtenPerHour   = 1000
	writtenBytes     = 2048
	writtenTo        = 1000
	longestInterval  = 4 * 60 * 60 // s
)

// Written is a text that an app wrote to a member.
type Written struct {
	N     uint64    `json:"n"`
	Corp  string    `json:"corp"`
	Agent int       `json:"agentid"`
	To    string    `json:"touser"` // as the corp writes the userid
	Text  string    `json:"text"`   // what the member sees: cut off at 2048 bytes
	Cut   bool      `json:"cut,omitempty"`
	MsgID string    `json:"msgid"`
	At    time.Time `json:"at"` // by the simulator's clock
	// Dropped says that the member sees nothing of it: too many came before.
	Dropped bool `json:"dropped,omitempty"`
	// Again is how often an equal request came within its interval, which the member did not see.
	Again int `json:"again,omitempty"`

	Request string    `json:"request"` // SHA-256 of the request's body
	Real    time.Time `json:"real"`    // when it came
}

// sendRequest is what message/send is asked. Whole departments and tags are not simulated.
type sendRequest struct {
	ToUser string `json:"touser"`
	Type   string `json:"msgtype"`
	Agent  int    `json:"agentid"`
	Text   struct {
		Content string `json:"content"`
	} `json:"text"`
	Check    int `json:"enable_duplicate_check"`
	Interval int `json:"duplicate_check_interval"`
}

func (c *call) agent(id int) error {
	switch {
	case id <= 0:
		return refuse(40056)
	case c.secret.Agent != id:
		return refuse(301002)
	}
	return nil
}

func (s *Sim) agentGet(c *call) (answer, error) {
	id, err := strconv.Atoi(c.query("agentid"))
	if err != nil {
		return answer{}, refuse(40056)
	}
	if err := c.agent(id); err != nil {
		return answer{}, err
	}
	return answer{object: object{{"agentid", id}, {"name", "Notices"}, {"close", 0}}}, nil
}

// messageSend writes a text to members. What they may not see is refused for them alone.
func (s *Sim) messageSend(c *call) (answer, error) {
	var q sendRequest
	if err := c.read(&q); err != nil {
		return answer{}, err
	}
	if err := c.agent(q.Agent); err != nil {
		return answer{}, err
	}
	to := slices.DeleteFunc(strings.Split(q.ToUser, "|"), func(id string) bool { return id == "" })
	switch {
	case q.Type != "text":
		return answer{}, refuse(40008)
	case q.Text.Content == "":
		return answer{}, refuse(44004)
	case len(to) == 0:
		return answer{}, refuse(82001)
	case len(to) > writtenTo || q.Interval > longestInterval:
		return answer{}, refuse(40058)
	}
	sees := c.corp.contacts.sees(c.secret)
	var members []*Member
	var invalid, unlicensed []string
	for _, id := range to {
		m := c.corp.contacts.member(id)
		switch {
		case m == nil || m.Status == 5 || !slices.ContainsFunc(m.Department, func(d int) bool { return sees[d] }):
			invalid = append(invalid, strings.ToLower(id))
		case m.Unlicensed:
			unlicensed = append(unlicensed, strings.ToLower(id))
		default:
			members = append(members, m)
		}
	}
	said := object{{"invaliduser", strings.Join(invalid, "|")}, {"invalidparty", ""}, {"invalidtag", ""}, {"unlicenseduser", strings.Join(unlicensed, "|")}}
	if len(members) == 0 {
		return answer{}, &refusal{code: 81013, more: said}
	}
	msgid, err := s.write(c, q, members)
	if err != nil {
		return answer{}, err
	}
	return answer{object: append(said, field{"msgid", msgid})}, nil
}

// write shows a text to members, unless it is one that came just before, and returns its msgid. mu is held.
func (s *Sim) write(c *call, q sendRequest, members []*Member) (msgid string, err error) {
	now, request := s.clock().UTC(), hashOf(c.body)
	interval := time.Duration(q.Interval) * time.Second
	if q.Interval == 0 {
		interval = 30 * time.Minute
	}
	err = s.db.Update(func(tx *bolt.Tx) error {
		b, err := tx.Bucket(bucketWritten).CreateBucketIfNotExists([]byte(c.corp.ID))
		if err != nil {
			return fmt.Errorf("making what is written of corp %s: %w", c.corp.ID, err)
		}
		all, err := writtenIn(b)
		if err != nil {
			return err
		}
		again := false
		for _, w := range all {
			if q.Check == 1 && w.Request == request && now.Sub(w.Real) < interval {
				again, msgid = true, w.MsgID
				w.Again++
				if err := put(b, seqKey(w.N), w); err != nil {
					return err
				}
			}
		}
		if again {
			return nil
		}
		text := q.Text.Content
		for n := writtenBytes; len(text) > writtenBytes; n-- {
			if utf8.RuneStart(text[n]) {
				text = text[:n]
			}
		}
		for i, m := range members {
			n, err := b.NextSequence()
			if err != nil {
				return fmt.Errorf("numbering what is written of corp %s: %w", c.corp.ID, err)
			}
			if i == 0 {
				msgid = fmt.Sprintf("sim-%s-%d", hashOf([]byte(c.corp.ID))[:8], n)
			}
			w := Written{N: n, Corp: c.corp.ID, Agent: q.Agent, To: m.UserID, Text: text, Cut: text != q.Text.Content, MsgID: msgid, At: s.now(), Request: request, Real: now,
				Dropped: tooMany(all, q.Agent, m.UserID, now)}
			if err := put(b, seqKey(n), w); err != nil {
				return err
			}
		}
		return nil
	})
	return msgid, err
}

// tooMany says whether what an app writes to a member now is dropped.
func tooMany(all []Written, agent int, to string, now time.Time) bool {
	minute, hour := 0, 0
	for _, w := range all {
		if w.Agent != agent || w.To != to {
			continue
		}
		if now.Sub(w.Real) < time.Minute {
			minute++
		}
		if now.Sub(w.Real) < time.Hour {
			hour++
		}
	}
	return minute >= writtenPerMinute || hour >= writtenPerHour
}

func writtenIn(b *bolt.Bucket) ([]Written, error) {
	list := []Written{}
	if b == nil {
		return list, nil
	}
	err := b.ForEach(func(_, v []byte) error {
		var w Written
		if err := json.Unmarshal(v, &w); err != nil {
			return fmt.Errorf("reading what was written: %w", err)
		}
		list = append(list, w)
		return nil
	})
	return list, err
}

func (s *Sim) routeWritten() {
	s.control("GET /sim/written", func(r *http.Request) (any, error) {
		c, err := s.corpNamed(r.URL.Query().Get("corp"))
		if err != nil {
			return nil, err
		}
		var list []Written
		err = s.db.View(func(tx *bolt.Tx) error {
			list, err = writtenIn(tx.Bucket(bucketWritten).Bucket([]byte(c.ID)))
			return err
		})
		return list, err
	})
}
