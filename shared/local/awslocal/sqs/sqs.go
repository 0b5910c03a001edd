// Package sqs is Amazon SQS on one machine: standard queues with visibility time-outs, dead letters and long polling, in AWS's JSON
// protocol, with its state in a bbolt store. It delivers at least once and in no promised order. It must not run FIFO queues, and
// refuses by name every operation and parameter that the product doesn't use.
package sqs

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
)

// Order is the order in which visible messages are handed out.
type Order int

// Forward is oldest first, Reverse newest first. Real queues promise neither.
const (
	Forward Order = iota
	Reverse
)

// Depth counts a queue's messages.
type Depth struct {
	Visible  int // waiting to be received
	InFlight int // received, and hidden until their visibility time-out ends
	Delayed  int // sent, and not yet to be seen

	// Oldest is when the oldest message was sent, zero if there is none.
	// QUIRK: messages received more than three times are left out, as ApproximateAgeOfOldestMessage leaves them out.
	Oldest time.Time
}

// Service is an http.Handler for all queues of one region and account. It is safe for concurrent use. An operation that is
// answered is on disk.
type Service struct {
	region, account string
	now             func() time.Time
	db              *bbolt.DB
	closed          chan struct{}
	closing         sync.Once

	mu         sync.Mutex
	queues     map[string]*queue
	order      Order
	duplicates int // every nth message sent is kept twice; 0 = none
	sent       int
}

// queue is one queue's state; Service.mu guards it.
type queue struct {
	name     string
	settings settings
	policy   iam.Policies // read from settings
	messages map[uint64]*message
	seqs     []uint64 // ascending: the order of arrival
	next     uint64
	wake     chan struct{} // closed and replaced when there may be something to receive
	gone     bool
}

// settings is what is kept of a queue besides its messages.
type settings struct {
	Attributes map[string]string // as set by the caller
	Tags       map[string]string
	Created    int64 // Unix seconds
	Modified   int64 // Unix seconds
	Purged     int64 // Unix nanoseconds of the last PurgeQueue
	Tasks      []moveTask
}

// message is one message; it is replaced, never changed, so that a failed commit leaves memory as it was.
type message struct {
	seq   uint64
	fixed fixed
	state state
}

// fixed is what never changes about a message.
type fixed struct {
	ID         string
	Body       string
	Attributes map[string]attribute `json:",omitempty"`
	Group      string               `json:",omitempty"`
	Trace      string               `json:",omitempty"`
	Sender     string
	Sent       int64  // Unix milliseconds
	Source     string `json:",omitempty"` // ARN of the queue that a dead letter came from
}

// state is what each receive changes.
type state struct {
	Count     int    // receives so far
	First     int64  // Unix milliseconds of the first receive
	Received  int64  // Unix nanoseconds of the last receive
	VisibleAt int64  // Unix nanoseconds
	InFlight  bool   // hidden by a receive, not by a delay
	Receipt   string // the token in the newest receipt handle
}

// change is one message put or deleted, in the store and then in memory.
type change struct {
	queue *queue
	seq   uint64
	put   *message // nil deletes
	fixed bool     // the fixed part is new too
}

// Names in the store: root/<queue>/settings, root/<queue>/fixed/<seq>, root/<queue>/state/<seq>.
var (
	rootBucket  = []byte("sqs")
	settingsKey = []byte("settings")
	fixedBucket = []byte("fixed")
	stateBucket = []byte("state")
)

// New loads the queues from the store. now is the clock of visibility, delays and retention: real time, not the played day's.
func New(db *bbolt.DB, region, account string, now func() time.Time) (*Service, error) {
	s := &Service{region: region, account: account, now: now, db: db, queues: map[string]*queue{}, closed: make(chan struct{})}
	err := db.Update(func(tx *bbolt.Tx) error {
		root, err := tx.CreateBucketIfNotExists(rootBucket)
		if err != nil {
			return err
		}
		return root.ForEachBucket(func(name []byte) error {
			q, err := load(string(name), root.Bucket(name))
			if err != nil {
				return fmt.Errorf("queue %s: %w", name, err)
			}
			s.queues[q.name] = q
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("sqs: loading the queues: %w", err)
	}
	return s, nil
}

func newQueue(name string) *queue {
	return &queue{name: name, messages: map[uint64]*message{}, next: 1, wake: make(chan struct{})}
}

func load(name string, b *bbolt.Bucket) (*queue, error) {
	q := newQueue(name)
	if err := json.Unmarshal(b.Get(settingsKey), &q.settings); err != nil {
		return nil, err
	}
	var err error
	if q.policy, err = parsePolicy(q.settings.Attributes["Policy"]); err != nil {
		return nil, err
	}
	states := b.Bucket(stateBucket)
	if states == nil || b.Bucket(fixedBucket) == nil {
		return nil, errors.New("its messages are missing")
	}
	return q, b.Bucket(fixedBucket).ForEach(func(k, v []byte) error {
		m := &message{seq: binary.BigEndian.Uint64(k)}
		if err := json.Unmarshal(v, &m.fixed); err != nil {
			return err
		}
		if err := json.Unmarshal(states.Get(k), &m.state); err != nil {
			return err
		}
		q.put(m)
		return nil
	})
}

// Close ends all long polls with an empty answer; the store stays open.
func (s *Service) Close() { s.closing.Do(func() { close(s.closed) }) }

// SetOrder sets the order of all queues.
func (s *Service) SetOrder(o Order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = o
}

// SetDuplicates keeps every nth message that is sent twice, under one message id, as SQS may do; 0 ends it.
func (s *Service) SetDuplicates(every int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duplicates, s.sent = every, 0
}

// ReleaseInFlight makes every message in flight visible at once: after a start, when nobody can still be at work on them.
func (s *Service) ReleaseInFlight() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().UnixNano()
	var changes []change
	for _, q := range s.queues {
		for _, seq := range q.seqs {
			if m := *q.messages[seq]; m.state.InFlight && m.state.VisibleAt > now {
				m.state.VisibleAt, m.state.InFlight = now, false
				changes = append(changes, change{queue: q, seq: seq, put: &m})
			}
		}
	}
	return s.commit(changes)
}

// Depths returns the depth of every queue by name.
func (s *Service) Depths() map[string]Depth {
	s.mu.Lock()
	defer s.mu.Unlock()
	depths := make(map[string]Depth, len(s.queues))
	for name, q := range s.queues {
		depths[name] = q.depth(s.now())
	}
	return depths
}

// Ensure makes a queue, or sets the attributes of the one that is there, and returns its ARN. It asks no permission: it is for the
// program that owns the store.
func (s *Service) Ensure(name string, attributes map[string]string) (arn string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, there := s.queues[name]
	if !there {
		_, err = s.createQueue(name, attributes, nil)
		return s.arn(name), err
	}
	return s.arn(name), s.setAttributes(q, attributes)
}

// ARN returns the ARN of a queue, whether or not it is there.
func (s *Service) ARN(name string) string { return s.arn(name) }

// URL returns the URL of a queue under the endpoint's base URL, for example "http://127.0.0.1:4566".
func (s *Service) URL(base, name string) string {
	return strings.TrimRight(base, "/") + "/" + s.account + "/" + name
}

func (s *Service) arn(name string) string {
	return "arn:aws:sqs:" + s.region + ":" + s.account + ":" + name
}

// commit writes changes to the store and then to memory: all of them or none.
func (s *Service) commit(changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, c := range changes {
			if err := c.store(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing the queue to the store: %w", err)
	}
	for _, c := range changes {
		c.queue.remove(c.seq)
		if c.put != nil {
			c.queue.put(c.put)
		}
		c.queue.wakeAll()
	}
	return nil
}

func (c change) store(tx *bbolt.Tx) error {
	b := tx.Bucket(rootBucket).Bucket([]byte(c.queue.name))
	if b == nil {
		return fmt.Errorf("queue %s is not in the store", c.queue.name)
	}
	key := binary.BigEndian.AppendUint64(nil, c.seq)
	if c.put == nil {
		return errors.Join(b.Bucket(fixedBucket).Delete(key), b.Bucket(stateBucket).Delete(key))
	}
	if c.fixed {
		v, err := json.Marshal(c.put.fixed)
		if err != nil {
			return err
		}
		if err := b.Bucket(fixedBucket).Put(key, v); err != nil {
			return err
		}
	}
	v, err := json.Marshal(c.put.state)
	if err != nil {
		return err
	}
	return b.Bucket(stateBucket).Put(key, v)
}

// saveSettings writes a queue's settings, and makes its place in the store if need be.
func (s *Service) saveSettings(q *queue, to settings) error {
	policy, err := parsePolicy(to.Attributes["Policy"])
	if err != nil {
		return err
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.Bucket(rootBucket).CreateBucketIfNotExists([]byte(q.name))
		if err != nil {
			return err
		}
		for _, name := range [][]byte{fixedBucket, stateBucket} {
			if _, err := b.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		v, err := json.Marshal(to)
		if err != nil {
			return err
		}
		return b.Put(settingsKey, v)
	})
	if err != nil {
		return fmt.Errorf("writing the settings of queue %s to the store: %w", q.name, err)
	}
	q.settings, q.policy = to, policy
	return nil
}

func (q *queue) put(m *message) {
	q.messages[m.seq] = m
	if at, found := slices.BinarySearch(q.seqs, m.seq); !found {
		q.seqs = slices.Insert(q.seqs, at, m.seq)
	}
	q.next = max(q.next, m.seq+1)
}

func (q *queue) remove(seq uint64) {
	delete(q.messages, seq)
	if at, found := slices.BinarySearch(q.seqs, seq); found {
		q.seqs = slices.Delete(q.seqs, at, at+1)
	}
}

func (q *queue) wakeAll() {
	close(q.wake)
	q.wake = make(chan struct{})
}

// take reserves a sequence number. One that is then not used leaves a harmless gap.
func (q *queue) take() uint64 {
	seq := q.next
	q.next++
	return seq
}

func (q *queue) depth(now time.Time) Depth {
	var d Depth
	for _, m := range q.messages {
		sent := time.UnixMilli(m.fixed.Sent)
		if !q.expired(m, now) && m.state.Count <= 3 && (d.Oldest.IsZero() || sent.Before(d.Oldest)) {
			d.Oldest = sent
		}
		switch {
		case q.expired(m, now):
		case m.state.VisibleAt <= now.UnixNano():
			d.Visible++
		case m.state.InFlight:
			d.InFlight++
		default:
			d.Delayed++
		}
	}
	return d
}

func (q *queue) expired(m *message, now time.Time) bool {
	return now.UnixMilli()-m.fixed.Sent > int64(q.seconds("MessageRetentionPeriod"))*1000
}

// receive hands out up to n visible messages, hides them, and moves those that were received too often to the dead letters. next is
// when another may become visible, in Unix nanoseconds, 0 if none will.
func (s *Service) receive(q *queue, n int, hide time.Duration) (out []*message, next int64, err error) {
	now := s.now()
	redrive := q.redrivePolicy()
	var changes []change
	inFlight := 0
	for seq := range s.inTurn(q, now) {
		if len(out) == n {
			break
		}
		m := *q.messages[seq]
		if q.expired(&m, now) {
			changes = append(changes, change{queue: q, seq: seq})
			continue
		}
		if m.state.VisibleAt > now.UnixNano() {
			if m.state.InFlight {
				inFlight++
			}
			if next == 0 || m.state.VisibleAt < next {
				next = m.state.VisibleAt
			}
			continue
		}
		if dead := s.queues[redrive.target]; dead != nil && m.state.Count >= redrive.max {
			m.fixed.Source = s.arn(q.name)
			m.seq = dead.take()
			m.state.VisibleAt, m.state.InFlight, m.state.Receipt = now.UnixNano(), false, ""
			changes = append(changes, change{queue: q, seq: seq}, change{queue: dead, seq: m.seq, put: &m, fixed: true})
			continue
		}
		m.state.Count++
		if m.state.First == 0 {
			m.state.First = now.UnixMilli()
		}
		m.state.Received = now.UnixNano()
		m.state.VisibleAt = now.Add(hide).UnixNano()
		m.state.InFlight = hide > 0
		m.state.Receipt = token()
		changes = append(changes, change{queue: q, seq: seq, put: &m})
		out = append(out, &m)
	}
	if inFlight+len(out) > maxInFlight {
		return nil, 0, errOverLimit
	}
	return out, next, s.commit(changes)
}
