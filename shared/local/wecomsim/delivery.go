package wecomsim

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The states of a delivery.
const (
	DeliveryWaiting   = "waiting"   // not sent yet, or being sent
	DeliveryHeld      = "held"      // waits for its release
	DeliveryLost      = "lost"      // never sent, as asked
	DeliveryDelivered = "delivered" // answered with HTTP 200 each time it was sent
	DeliveryFailed    = "failed"    // given up after Retries
)

// Delivery is one event on its way to an address.
type Delivery struct {
	ID       int       `json:"id"` // in the order of events, from 1, by corp
	Corp     string    `json:"corp"`
	Kind     string    `json:"kind"`
	Event    string    `json:"event"`
	Change   string    `json:"change,omitempty"`
	Message  string    `json:"message"` // the XML that is encrypted
	State    string    `json:"state"`
	Due      int64     `json:"due"`              // ms by the simulator's clock
	Rank     int       `json:"rank,omitempty"`   // among those that are due at one time, the lower goes first
	Copies   int       `json:"copies,omitempty"` // how often it is sent beyond once
	Attempts []Attempt `json:"attempts,omitempty"`
}

// Attempt is one request and its answer.
type Attempt struct {
	At     int64  `json:"at"`               // ms by the simulator's clock
	Status int    `json:"status,omitempty"` // 0: no answer
	Body   string `json:"body,omitempty"`
	TookMS int64  `json:"took_ms"`
	Error  string `json:"error,omitempty"`
}

// Trouble is what befalls the next events of an address. Each field is as if it stood alone; zero ends it. It lives in memory.
type Trouble struct {
	Corp      string `json:"corp"`
	Kind      string `json:"kind"`
	Lose      int    `json:"lose,omitempty"`      // so many are never sent
	Duplicate int    `json:"duplicate,omitempty"` // so many are sent twice
	Delay     string `json:"delay,omitempty"`     // all wait this long by the simulator's clock, as time.ParseDuration reads it
	Hold      bool   `json:"hold,omitempty"`      // all wait for their release
}

// The orders of a release.
const (
	OrderReverse = "reverse"
	OrderShuffle = "shuffle"
)

// Release lets held events go.
type Release struct {
	Corp  string `json:"corp"`
	Kind  string `json:"kind"`
	Order string `json:"order,omitempty"` // "" is as they happened; or reverse, or shuffle by Seed
	Seed  uint64 `json:"seed,omitempty"`
	Only  []int  `json:"only,omitempty"` // these ids; none is all
}

// RawEvent sends an event whose elements are given, for whatever the simulator does not tell by itself, such as update_tag.
type RawEvent struct {
	Corp   string `json:"corp"`
	Kind   string `json:"kind"`
	Event  string `json:"event"`
	Change string `json:"change,omitempty"`
	XML    string `json:"xml,omitempty"` // elements after ChangeType, as they are to stand
}

// Settle waits until every event that is due was sent, or given up.
type Settle struct {
	Corp    string `json:"corp"`
	Seconds int    `json:"seconds,omitempty"` // how long at most, in real time; 0 is 30
}

func decodeAsked(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return asked("the body: %v", err)
	}
	return nil
}

// lane is an address by corp and kind.
type lane struct{ corp, kind string }

// sender is what the simulator keeps in memory of deliveries. mu guards it.
type sender struct {
	waiting map[lane][]*Delivery // waiting and held ones
	trouble map[lane]*Trouble
	busy    map[lane]bool
	timers  map[lane]*time.Timer // wake a lane when something is due
	quiet   chan struct{}        // closed, and made anew, whenever a lane falls quiet
	stop    context.CancelFunc
	ctx     context.Context
}

func newSender() sender {
	ctx, stop := context.WithCancel(context.Background())
	return sender{waiting: map[lane][]*Delivery{}, trouble: map[lane]*Trouble{}, busy: map[lane]bool{}, timers: map[lane]*time.Timer{}, quiet: make(chan struct{}), ctx: ctx, stop: stop}
}

// event is an event before it is known whether, when and how often it is sent.
type event struct {
	kind, name, change string
	xml                string // elements after ChangeType
}

// tell stores an event for its address, if the corp has one, and sends it once the transaction is there. mu is held.
func (s *Sim) tell(tx *bolt.Tx, c *corp, e event, due time.Time) (*Delivery, error) {
	if c.callback(e.kind) == nil {
		return nil, nil
	}
	now := s.now()
	change := ""
	if e.change != "" {
		change = bare("ChangeType", e.change)
	}
	agent := ""
	if a := agents[e.kind]; a != "" {
		agent = bare("AgentID", a)
	}
	d := &Delivery{Corp: c.ID, Kind: e.kind, Event: e.name, Change: e.change, State: DeliveryWaiting, Due: ms(due), Message: "<xml>" +
		cdata("ToUserName", c.ID) + cdata("FromUserName", "sys") + bare("CreateTime", fmt.Sprint(now.Unix())) + cdata("MsgType", "event") + agent +
		cdata("Event", e.name) + change + e.xml + "</xml>"}
	l := lane{c.ID, e.kind}
	if t := s.sender.trouble[l]; t != nil {
		switch {
		case t.Lose > 0:
			t.Lose--
			d.State = DeliveryLost
		case t.Hold:
			d.State = DeliveryHeld
		case t.Delay != "":
			wait, err := time.ParseDuration(t.Delay)
			if err != nil {
				return nil, asked("delay %q is no duration", t.Delay)
			}
			d.Due += wait.Milliseconds()
		}
		if d.State != DeliveryLost && t.Duplicate > 0 {
			t.Duplicate--
			d.Copies = 1
		}
	}
	b, err := tx.Bucket(bucketCallbacks).CreateBucketIfNotExists([]byte(c.ID))
	if err != nil {
		return nil, fmt.Errorf("making the deliveries of corp %s: %w", c.ID, err)
	}
	id, err := b.NextSequence()
	if err != nil {
		return nil, fmt.Errorf("numbering a delivery of corp %s: %w", c.ID, err)
	}
	d.ID = int(id) // #nosec G115 -- counts from 1
	if err := put(b, seqKey(id), d); err != nil {
		return nil, err
	}
	if d.State != DeliveryLost {
		tx.OnCommit(func() {
			s.sender.waiting[l] = append(s.sender.waiting[l], d)
			s.wake(l)
		})
	}
	return d, nil
}

// tellChatData says that new chat data is there, at most every 15 seconds. mu is held.
func (s *Sim) tellChatData(tx *bolt.Tx, c *corp) error {
	if c.callback(CallbackArchive) == nil {
		return nil
	}
	now := s.now()
	next := msTime(c.Notified).Add(notifyEvery)
	switch {
	case c.Notified > ms(now) && c.Notified <= ms(now.Add(notifyEvery)):
		return nil // one is on its way
	case next.Before(now), next.After(now.Add(notifyEvery)): // the last one is long ago, or the clock went back
		next = now
	}
	c.Notified = ms(next)
	_, err := s.tell(tx, c, event{kind: CallbackArchive, name: "msgaudit_notify"}, next)
	return err
}

// loadDeliveries reads what still waits.
func (s *Sim) loadDeliveries(tx *bolt.Tx) error {
	s.sender.waiting = map[lane][]*Delivery{}
	for id := range s.corps {
		b := tx.Bucket(bucketCallbacks).Bucket([]byte(id))
		if b == nil {
			continue
		}
		if err := b.ForEach(func(_, v []byte) error {
			d := &Delivery{}
			if err := json.Unmarshal(v, d); err != nil {
				return fmt.Errorf("reading a delivery of corp %s: %w", id, err)
			}
			if d.State == DeliveryWaiting || d.State == DeliveryHeld {
				s.sender.waiting[lane{id, d.Kind}] = append(s.sender.waiting[lane{id, d.Kind}], d)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func saveDelivery(tx *bolt.Tx, d *Delivery) error {
	b := tx.Bucket(bucketCallbacks).Bucket([]byte(d.Corp))
	return put(b, seqKey(uint64(d.ID)), d) // #nosec G115 -- counts from 1
}

// wakeAll wakes every lane. mu is held.
func (s *Sim) wakeAll() {
	for l := range s.sender.waiting {
		s.wake(l)
	}
}

// wake wakes a lane: events of one address are sent one after the other. mu is held.
func (s *Sim) wake(l lane) {
	select {
	case <-s.closed:
		return
	default:
	}
	if s.sender.busy[l] || len(s.sender.waiting[l]) == 0 {
		return
	}
	s.sender.busy[l] = true
	s.running.Add(1)
	go s.drain(l)
}

func (s *Sim) drain(l lane) {
	defer s.running.Done()
	for {
		s.mu.Lock()
		d, address := s.next(l)
		if d == nil || s.sender.ctx.Err() != nil {
			delete(s.sender.busy, l)
			close(s.sender.quiet)
			s.sender.quiet = make(chan struct{})
			s.mu.Unlock()
			return
		}
		message, copies := d.Message, d.Copies
		s.mu.Unlock()
		attempts, state := s.deliver(address, message, copies)
		if s.sender.ctx.Err() != nil {
			return // it stays waiting in the file, and is sent again by whoever opens it
		}
		s.mu.Lock()
		d.Attempts, d.State = append(d.Attempts, attempts...), state
		s.sender.waiting[l] = slices.DeleteFunc(s.sender.waiting[l], func(x *Delivery) bool { return x.ID == d.ID })
		err := s.db.Update(func(tx *bolt.Tx) error { return saveDelivery(tx, d) })
		s.mu.Unlock()
		if err != nil {
			panic(fmt.Sprintf("the simulator can't write down what became of a delivery: %v", err))
		}
	}
}

// next is the delivery of a lane that is due first. If there is none yet, the lane is woken when there will be. mu is held.
func (s *Sim) next(l lane) (*Delivery, Callback) {
	c := s.corps[l.corp]
	if c == nil || c.callback(l.kind) == nil {
		return nil, Callback{}
	}
	var first *Delivery
	for _, d := range s.sender.waiting[l] {
		if d.State == DeliveryWaiting && (first == nil || cmp.Or(cmp.Compare(d.Due, first.Due), cmp.Compare(d.Rank, first.Rank), cmp.Compare(d.ID, first.ID)) < 0) {
			first = d
		}
	}
	if first == nil {
		return nil, Callback{}
	}
	if wait := msTime(first.Due).Sub(s.now()); wait > 0 {
		if t := s.sender.timers[l]; t != nil {
			t.Stop()
		}
		s.sender.timers[l] = time.AfterFunc(max(wait, 20*time.Millisecond), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.wake(l)
		})
		return nil, Callback{}
	}
	return first, *c.callback(l.kind)
}

// deliver sends a message, again after failures, and once more for each copy.
func (s *Sim) deliver(address Callback, message string, copies int) ([]Attempt, string) {
	var attempts []Attempt
	for range 1 + copies {
		for try := 0; ; try++ {
			// QUIRK: whether WeCom's repetitions have a timestamp and nonce of their own is not known; here they do.
			req, err := SealCallback(address.Token, address.AESKey, address.Corp, agents[address.Kind], message, s.Now())
			if err != nil {
				return append(attempts, Attempt{Error: err.Error()}), DeliveryFailed
			}
			a := s.ask(s.sender.ctx, http.MethodPost, address.URL, req.Query, req.Body, address.timeout())
			attempts = append(attempts, a)
			if a.Error == "" && a.Status == http.StatusOK {
				break
			}
			if try == Retries {
				return attempts, DeliveryFailed
			}
			timer := time.NewTimer(address.pause())
			select {
			case <-s.sender.ctx.Done():
				timer.Stop()
				return attempts, DeliveryFailed
			case <-timer.C:
			}
		}
	}
	return attempts, DeliveryDelivered
}

func (s *Sim) deliveries(corp string, after int) ([]Delivery, error) {
	list := []Delivery{}
	err := s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketCallbacks).Bucket([]byte(corp))
		if b == nil {
			return nil
		}
		cur := b.Cursor()
		for k, v := cur.Seek(seqKey(uint64(after) + 1)); k != nil; k, v = cur.Next() { // #nosec G115 -- not negative
			var d Delivery
			if err := json.Unmarshal(v, &d); err != nil {
				return fmt.Errorf("reading a delivery of corp %s: %w", corp, err)
			}
			list = append(list, d)
		}
		return nil
	})
	return list, err
}

func (s *Sim) laneOf(corp, kind string) (lane, error) {
	c, err := s.corpNamed(corp)
	if err != nil {
		return lane{}, err
	}
	if c.callback(kind) == nil {
		return lane{}, asked("corp %s has no callback of kind %q", corp, kind)
	}
	return lane{corp, kind}, nil
}

func (s *Sim) setTrouble(t Trouble) (Trouble, error) {
	l, err := s.laneOf(t.Corp, t.Kind)
	if err != nil {
		return Trouble{}, err
	}
	if _, err := time.ParseDuration(t.Delay); t.Delay != "" && err != nil {
		return Trouble{}, asked("delay %q is no duration", t.Delay)
	}
	s.sender.trouble[l] = &t
	return t, nil
}

func (s *Sim) release(r Release) ([]Delivery, error) {
	l, err := s.laneOf(r.Corp, r.Kind)
	if err != nil {
		return nil, err
	}
	var going []*Delivery
	for _, d := range s.sender.waiting[l] {
		if d.State == DeliveryHeld && (len(r.Only) == 0 || slices.Contains(r.Only, d.ID)) {
			going = append(going, d)
		}
	}
	switch r.Order {
	case "":
	case OrderReverse:
		slices.Reverse(going)
	case OrderShuffle:
		// #nosec G404 -- a story that can be told again
		rand.New(rand.NewPCG(r.Seed, 1)).Shuffle(len(going), func(i, j int) { going[i], going[j] = going[j], going[i] })
	default:
		return nil, asked("%q is no order: %q or %q", r.Order, OrderReverse, OrderShuffle)
	}
	list := []Delivery{}
	now := ms(s.now())
	err = s.db.Update(func(tx *bolt.Tx) error {
		for i, d := range going {
			d.State, d.Due, d.Rank = DeliveryWaiting, now, i
			if err := saveDelivery(tx, d); err != nil {
				return err
			}
			list = append(list, *d)
		}
		return nil
	})
	s.wake(l)
	return list, err
}

func (s *Sim) sendRaw(r RawEvent) (Delivery, error) {
	l, err := s.laneOf(r.Corp, r.Kind)
	if err != nil {
		return Delivery{}, err
	}
	var d *Delivery
	err = s.db.Update(func(tx *bolt.Tx) error {
		var err error
		d, err = s.tell(tx, s.corps[l.corp], event{kind: r.Kind, name: r.Event, change: r.Change, xml: r.XML}, s.now())
		return err
	})
	if err != nil {
		return Delivery{}, err
	}
	return *d, nil
}

// settle answers with the corp's deliveries once nothing that is due waits any more.
func (s *Sim) settle(ctx context.Context, body []byte) (any, error) {
	var n Settle
	if err := decodeAsked(body, &n); err != nil {
		return nil, err
	}
	seconds := 30
	if n.Seconds > 0 {
		seconds = n.Seconds
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	for {
		s.mu.Lock()
		if _, err := s.corpNamed(n.Corp); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		left := 0
		for l, list := range s.sender.waiting {
			if l.corp != n.Corp || s.corps[l.corp].callback(l.kind) == nil {
				continue
			}
			for _, d := range list {
				if d.State == DeliveryWaiting && d.Due <= ms(s.now()) {
					left++
				}
			}
			s.wake(l)
		}
		quiet := s.sender.quiet
		s.mu.Unlock()
		if left == 0 {
			return s.deliveries(n.Corp, 0)
		}
		select {
		case <-quiet:
		case <-s.sender.ctx.Done():
			return nil, errors.New("the simulator is closing")
		case <-ctx.Done():
			return nil, asked("after %d seconds %d events still wait", seconds, left)
		}
	}
}
