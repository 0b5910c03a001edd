package wecomsim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Clock is the simulator's clock. A request sets one of OffsetNS, Now, AdvanceNS or Advance; the answer has OffsetNS and Now.
type Clock struct {
	OffsetNS  *int64     `json:"offset_ns,omitempty"`
	Now       *time.Time `json:"now,omitempty"`
	AdvanceNS int64      `json:"advance_ns,omitempty"`
	Advance   string     `json:"advance,omitempty"` // as time.ParseDuration reads it
}

// NewCorp asks for a corp, or names one that is there.
type NewCorp struct {
	Corp         string   `json:"corp"`
	Name         string   `json:"name,omitempty"`
	Secrets      []Secret `json:"secrets,omitempty"` // none: one of each of archive, customer and legacy_app is made
	FirstSeq     uint64   `json:"first_seq,omitempty"`
	PublicKey    string   `json:"public_key,omitempty"` // PEM of version KeyVersion; "": a pair is made
	KeyVersion   uint32   `json:"publickey_ver,omitempty"`
	NoKey        bool     `json:"no_key,omitempty"`
	PageBytes    int      `json:"page_bytes,omitempty"`
	PageItems    int      `json:"page_items,omitempty"`
	TokenSeconds int      `json:"token_seconds,omitempty"`
}

// Corp is a corp as the control API shows it: with its secrets and private keys, which only a simulator may show.
type Corp struct {
	Corp     string   `json:"corp"`
	Name     string   `json:"name"`
	Secrets  []Secret `json:"secrets"`
	Keys     []Key    `json:"keys"`
	FirstSeq uint64   `json:"first_seq"`
	NextSeq  uint64   `json:"next_seq"`
	Service  string   `json:"service"`
	Trusted  Trusted  `json:"trusted"`
}

// Secret is the value of the first secret of a kind, "" if there is none.
func (c *Corp) Secret(kind string) string {
	for _, s := range c.Secrets {
		if s.Kind == kind {
			return s.Value
		}
	}
	return ""
}

// ChangeCorp changes what is not nil.
type ChangeCorp struct {
	Corp         string   `json:"corp"`
	Service      *string  `json:"service,omitempty"`
	Trusted      *Trusted `json:"trusted,omitempty"`
	PageBytes    *int     `json:"page_bytes,omitempty"`
	PageItems    *int     `json:"page_items,omitempty"` // the most that one answer holds, whatever the caller asks for; 0 lifts it
	TokenSeconds *int     `json:"token_seconds,omitempty"`
	Secret       *Secret  `json:"secret,omitempty"` // replaces the first of its kind, or is added
}

// ChangeContacts adds or replaces contacts by their id, changes members field by field, and removes.
type ChangeContacts struct {
	Corp        string                     `json:"corp"`
	Departments []Department               `json:"departments,omitempty"`
	Members     []Member                   `json:"members,omitempty"`
	Change      map[string]json.RawMessage `json:"change,omitempty"` // userid → fields of a Member
	Externals   []External                 `json:"externals,omitempty"`
	Robots      []Robot                    `json:"robots,omitempty"`
	Rooms       []Room                     `json:"rooms,omitempty"`
	Permit      map[int][]string           `json:"permit,omitempty"` // edition → userids
	Consents    []Consent                  `json:"consents,omitempty"`
	Remove      []string                   `json:"remove,omitempty"` // ids of members, externals, robots, rooms
	// RemoveDepartments are ids of departments that hold neither departments nor members.
	RemoveDepartments []int `json:"remove_departments,omitempty"`
}

// Messages are sent in one go, by their order; all of them or none. The corp is theirs, whatever they name themselves.
type Messages struct {
	Corp     string    `json:"corp"`
	Messages []Message `json:"messages"`
}

// Recall takes a message back.
type Recall struct {
	Corp  string   `json:"corp"`
	MsgID string   `json:"msgid"` // it need not exist
	From  string   `json:"from,omitempty"`
	To    []string `json:"to,omitempty"`
	Room  string   `json:"room,omitempty"`
	Time  int64    `json:"time,omitempty"`
}

// NewFile asks for an attachment: either its content, or a size and a name.
type NewFile struct {
	Corp    string `json:"corp"`
	Name    string `json:"name,omitempty"`
	Content string `json:"content_base64,omitempty"`
	Size    int64  `json:"size,omitempty"`
	// Refuse is an errcode that every download gets; 0 lifts it. With SDKFileID it changes a file that is there.
	Refuse    int    `json:"refuse,omitempty"`
	SDKFileID string `json:"sdkfileid,omitempty"`
	Stored    int64  `json:"stored,omitempty"` // ms; 0 is now
}

// File is an attachment as messages name it.
type File struct {
	SDKFileID string `json:"sdkfileid"`
	Name      string `json:"name"`
	Size      int64  `json:"size"`
	MD5       string `json:"md5sum"`
}

// NewKeyRequest asks for the next key version.
type NewKeyRequest struct {
	Corp      string `json:"corp"`
	Version   uint32 `json:"publickey_ver,omitempty"` // 0 is the next
	PublicKey string `json:"public_key,omitempty"`    // PEM; "": a pair is made here
}

// KillTokens ends tokens that were handed out.
type KillTokens struct {
	Corp    string `json:"corp"`
	Kind    string `json:"kind,omitempty"`    // "" is every kind
	ErrCode int    `json:"errcode,omitempty"` // what they get: 40014 (default), 42001, 40001
}

// Reseal gives an item another cipher text.
type Reseal struct {
	Corp string `json:"corp"`
	Seq  uint64 `json:"seq"`
}

// Lift ends faults: one by its id, or all.
type Lift struct {
	ID int `json:"id,omitempty"`
}

// Self are settings of the simulator as a whole.
type Self struct {
	// CallerIP is the address that WeCom claims to see.
	CallerIP string `json:"caller_ip"`
}

func (s *Sim) routeControl() {
	control(s, "GET /sim/clock", func(struct{}) (Clock, error) { return s.clockNow(), nil })
	control(s, "POST /sim/clock", s.setClock)
	control(s, "POST /sim/self", s.setSelf)
	control(s, "POST /sim/corp", s.addCorp)
	control(s, "POST /sim/corp/change", s.changeCorp)
	control(s, "POST /sim/contacts", s.changeContacts)
	control(s, "POST /sim/key", s.addKey)
	control(s, "POST /sim/message", func(m Message) (Sent, error) {
		c, err := s.corpNamed(m.Corp)
		if err != nil {
			return Sent{}, err
		}
		return s.send(c, m)
	})
	control(s, "POST /sim/messages", func(n Messages) (Sent, error) {
		c, err := s.corpNamed(n.Corp)
		if err != nil {
			return Sent{}, err
		}
		return s.send(c, n.Messages...)
	})
	control(s, "POST /sim/recall", s.recall)
	control(s, "POST /sim/file", s.addFile)
	control(s, "POST /sim/token", s.killTokens)
	control(s, "POST /sim/reseal", func(r Reseal) (struct{}, error) {
		c, err := s.corpNamed(r.Corp)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.reseal(c, r.Seq)
	})
	control(s, "POST /sim/fault", s.addFault)
	control(s, "GET /sim/fault", func(struct{}) ([]Fault, error) { return s.faultList(), nil })
	control(s, "DELETE /sim/fault", s.liftFaults)
	control(s, "POST /sim/rate", s.setRate)
	s.control("GET /sim/corp", func(r *http.Request) (any, error) {
		if id := r.URL.Query().Get("corp"); id != "" {
			c, err := s.corpNamed(id)
			if err != nil {
				return nil, err
			}
			return c.shown(), nil
		}
		list := []Corp{}
		for _, id := range sortedNames(s.corps) {
			list = append(list, s.corps[id].shown())
		}
		return list, nil
	})
	s.routeAccounts()
	s.routeCallbacks()
	s.routeLives()
	s.routeWritten()
	s.routeDemo()
}

// control routes a request of the control API whose body is a T.
func control[T, A any](s *Sim, pattern string, run func(T) (A, error)) {
	s.control(pattern, func(r *http.Request) (any, error) {
		var req T
		body, err := io.ReadAll(io.LimitReader(r.Body, largestBody))
		if err != nil {
			return nil, asked("the body could not be read")
		}
		if len(bytes.TrimSpace(body)) > 0 {
			dec := json.NewDecoder(bytes.NewReader(body))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&req); err != nil {
				return nil, asked("the body: %v", err)
			}
		}
		return run(req)
	})
}

// control routes a request of the control API. mu is held while run runs.
func (s *Sim) control(pattern string, run func(r *http.Request) (any, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r) {
			writeJSON(w, http.StatusForbidden, object{{"error", "the control API answers callers on this machine alone"}})
			return
		}
		b, err := s.locked(func() (any, error) { return run(r) })
		switch {
		case errors.Is(err, errAsked):
			writeJSON(w, http.StatusBadRequest, object{{"error", err.Error()}})
		case err != nil:
			writeJSON(w, http.StatusInternalServerError, object{{"error", err.Error()}})
		default:
			writeBytes(w, http.StatusOK, "application/json; charset=UTF-8", b)
		}
	})
}

// locked runs a request under mu and encodes its answer before anybody else can change it.
func (s *Sim) locked(run func() (any, error)) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ans, err := run()
	if err != nil {
		return nil, err
	}
	return plainJSON(ans)
}

func (s *Sim) corpNamed(id string) (*corp, error) {
	if c := s.corps[id]; c != nil {
		return c, nil
	}
	return nil, asked("there is no corp %q", id)
}

func (s *Sim) clockNow() Clock {
	offset, now := int64(s.self.Offset), s.now()
	return Clock{OffsetNS: &offset, Now: &now}
}

func (s *Sim) setClock(c Clock) (Clock, error) {
	offset := s.self.Offset
	switch {
	case c.OffsetNS != nil:
		offset = time.Duration(*c.OffsetNS)
	case c.Now != nil:
		offset = c.Now.Sub(s.clock())
	case c.Advance != "":
		d, err := time.ParseDuration(c.Advance)
		if err != nil {
			return Clock{}, asked("advance %q is no duration", c.Advance)
		}
		offset += d
	default:
		offset += time.Duration(c.AdvanceNS)
	}
	s.self.Offset = offset
	s.wakeAll() // what was to come later may be due
	return s.clockNow(), s.db.Update(s.saveSelf)
}

// SetOffset sets the simulator's clock to real time plus offset.
func (s *Sim) SetOffset(offset time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.self.Offset = offset
	s.wakeAll()
	return s.db.Update(s.saveSelf)
}

func (s *Sim) setSelf(x Self) (Self, error) {
	if x.CallerIP != "" {
		s.self.CallerIP = x.CallerIP
	}
	return Self{CallerIP: s.self.CallerIP}, s.db.Update(s.saveSelf)
}

func (c *corp) shown() Corp {
	return Corp{
		Corp: c.ID, Name: c.Name, Secrets: c.Secrets, Keys: c.Keys, FirstSeq: c.FirstSeq, NextSeq: c.NextSeq, Service: c.Service, Trusted: c.Trusted,
	}
}

func (s *Sim) addCorp(n NewCorp) (Corp, error) {
	if n.Corp == "" {
		return Corp{}, asked("a corp needs an id")
	}
	if c := s.corps[n.Corp]; c != nil {
		return c.shown(), nil
	}
	c, err := s.newCorp(n)
	if err != nil {
		return Corp{}, err
	}
	if err := s.db.Update(func(tx *bolt.Tx) error { return errors.Join(saveCorp(tx, c), s.saveContacts(tx, c)) }); err != nil {
		return Corp{}, err
	}
	s.corps[c.ID] = c
	return c.shown(), nil
}

// newCorp makes a corp that nobody knows yet.
func (s *Sim) newCorp(n NewCorp) (*corp, error) {
	c := &corp{
		ID: n.Corp, Name: n.Name, Secrets: n.Secrets, FirstSeq: max(1, n.FirstSeq), NextSeq: max(1, n.FirstSeq), Service: ServiceOpen,
		PageBytes: n.PageBytes, PageItems: n.PageItems, TokenSeconds: n.TokenSeconds,
	}
	if c.TokenSeconds == 0 {
		c.TokenSeconds = 7200
	}
	if len(c.Secrets) == 0 {
		c.Secrets = []Secret{{Kind: KindArchive}, {Kind: KindCustomer}, {Kind: KindLegacyApp}}
	}
	for i := range c.Secrets {
		x := &c.Secrets[i]
		if !slices.Contains(kinds, x.Kind) {
			return nil, asked("%q is no kind of secret: one of %q", x.Kind, kinds)
		}
		if x.Value == "" {
			t, err := newToken("", time.Time{})
			if err != nil {
				return nil, err
			}
			x.Value = t.Value[:43]
		}
	}
	if n.NoKey {
		if err := c.parseKeys(); err != nil {
			return nil, err
		}
	} else if _, err := c.newKey(n.KeyVersion, n.PublicKey); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *Sim) changeCorp(n ChangeCorp) (Corp, error) {
	c, err := s.corpNamed(n.Corp)
	if err != nil {
		return Corp{}, err
	}
	if n.Service != nil {
		if !slices.Contains([]string{ServiceOpen, ServiceExpired, ServiceNotOpen}, *n.Service) {
			return Corp{}, asked("%q is no state of the service", *n.Service)
		}
		c.Service = *n.Service
	}
	if n.Trusted != nil {
		c.Trusted = *n.Trusted
	}
	if n.PageItems != nil {
		c.PageItems = *n.PageItems
	}
	if n.PageBytes != nil {
		c.PageBytes = *n.PageBytes
	}
	if n.TokenSeconds != nil {
		c.TokenSeconds = *n.TokenSeconds
	}
	if n.Secret != nil {
		if !slices.Contains(kinds, n.Secret.Kind) {
			return Corp{}, asked("%q is no kind of secret: one of %q", n.Secret.Kind, kinds)
		}
		if at := c.secretOfKind(n.Secret.Kind); at != nil {
			*at = *n.Secret
		} else {
			c.Secrets = append(c.Secrets, *n.Secret)
		}
		delete(s.wrong, c.ID)
	}
	return c.shown(), s.db.Update(func(tx *bolt.Tx) error { return saveCorp(tx, c) })
}

func upsert[T any](list []T, one T, same func(a, b T) bool) []T {
	if i := slices.IndexFunc(list, func(x T) bool { return same(x, one) }); i >= 0 {
		list[i] = one
		return list
	}
	return append(list, one)
}

func (s *Sim) changeContacts(n ChangeContacts) (struct{}, error) {
	c, err := s.corpNamed(n.Corp)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.alterContacts(c, n, nil)
}

// alterContacts changes a corp's contacts, and then runs also, if it is not nil, in the same transaction. mu is held.
func (s *Sim) alterContacts(c *corp, n ChangeContacts, also func(tx *bolt.Tx) error) error {
	k := &c.contacts
	for _, id := range n.RemoveDepartments {
		if slices.ContainsFunc(k.Departments, func(d Department) bool { return d.Parent == id }) ||
			slices.ContainsFunc(k.Members, func(m Member) bool {
				return m.Status != 5 && slices.Contains(m.Department, id) && !slices.Contains(n.Remove, m.UserID)
			}) {
			return asked("department %d holds departments or members", id)
		}
	}
	for _, d := range n.Departments {
		if d.Leaders == nil {
			d.Leaders = []string{}
		}
		k.Departments = upsert(k.Departments, d, func(a, b Department) bool { return a.ID == b.ID })
	}
	for _, m := range n.Members {
		if m.Status == 0 {
			m.Status = 1
		}
		k.Members = upsert(k.Members, m, func(a, b Member) bool { return equalFold(a.UserID, b.UserID) })
	}
	for _, id := range sortedNames(n.Change) {
		m := k.member(id)
		if m == nil {
			return asked("there is no member %q", id)
		}
		next := *m
		// What is read over a list must not reach into the list that was.
		next.Department, next.IsLeaderInDept, next.DirectLeader = slices.Clone(m.Department), slices.Clone(m.IsLeaderInDept), slices.Clone(m.DirectLeader)
		if err := json.Unmarshal(n.Change[id], &next); err != nil {
			return asked("the fields of member %q: %v", id, err)
		}
		from := m.UserID
		if other := k.member(next.UserID); next.UserID == "" || other != nil && other != m {
			return asked("member %q can't have the userid %q", id, next.UserID)
		}
		*m = next
		if next.UserID != from {
			if c.renamed == nil {
				c.renamed = map[string]string{}
			}
			c.renamed[next.UserID] = from
			k.rename(from, next.UserID)
		}
	}
	for _, x := range n.Externals {
		k.Externals = upsert(k.Externals, x, func(a, b External) bool { return a.ID == b.ID })
	}
	for _, x := range n.Robots {
		k.Robots = upsert(k.Robots, x, func(a, b Robot) bool { return a.ID == b.ID })
	}
	for _, x := range n.Rooms {
		k.Rooms = upsert(k.Rooms, x, func(a, b Room) bool { return a.ID == b.ID })
	}
	for edition, ids := range n.Permit {
		if k.Permit == nil {
			k.Permit = map[int][]string{}
		}
		k.Permit[edition] = ids
	}
	for _, x := range n.Consents {
		k.Consents = upsert(k.Consents, x, func(a, b Consent) bool {
			return a.UserID == b.UserID && a.RoomID == b.RoomID && a.External == b.External
		})
	}
	gone := func(id string) bool { return slices.Contains(n.Remove, id) }
	k.Members = slices.DeleteFunc(k.Members, func(m Member) bool { return gone(m.UserID) })
	k.Externals = slices.DeleteFunc(k.Externals, func(x External) bool { return gone(x.ID) })
	k.Robots = slices.DeleteFunc(k.Robots, func(x Robot) bool { return gone(x.ID) })
	k.Rooms = slices.DeleteFunc(k.Rooms, func(x Room) bool { return gone(x.ID) })
	k.Departments = slices.DeleteFunc(k.Departments, func(d Department) bool { return slices.Contains(n.RemoveDepartments, d.ID) })
	return s.db.Update(func(tx *bolt.Tx) error {
		if err := s.saveContacts(tx, c); err != nil || also == nil {
			return err
		}
		return also(tx)
	})
}

func (s *Sim) addKey(n NewKeyRequest) (Key, error) {
	c, err := s.corpNamed(n.Corp)
	if err != nil {
		return Key{}, err
	}
	k, err := c.newKey(n.Version, n.PublicKey)
	if err != nil {
		return Key{}, err
	}
	return k, s.db.Update(func(tx *bolt.Tx) error { return saveCorp(tx, c) })
}

func (s *Sim) recall(n Recall) (Sent, error) {
	c, err := s.corpNamed(n.Corp)
	if err != nil {
		return Sent{}, err
	}
	m, err := recallOf(n)
	if err != nil {
		return Sent{}, err
	}
	return s.send(c, m)
}

func recallOf(n Recall) (Message, error) {
	payload, err := plainJSON(object{{"pre_msgid", n.MsgID}})
	return Message{Action: "recall", Type: "revoke", From: n.From, To: n.To, Room: n.Room, Time: n.Time, Payload: payload}, err
}

func (s *Sim) addFile(n NewFile) (File, error) {
	c, err := s.corpNamed(n.Corp)
	if err != nil {
		return File{}, err
	}
	var f file
	if n.SDKFileID != "" {
		if f, err = s.readFile(c.ID, n.SDKFileID); err != nil {
			return File{}, asked("corp %s has no such file", c.ID)
		}
	} else {
		head, err := base64.StdEncoding.DecodeString(n.Content)
		if err != nil {
			return File{}, asked("content_base64 is no base64")
		}
		if f, err = newFile(c.ID, n.Name, head, nil, max(n.Size, int64(len(head))), ms(s.now())); err != nil {
			return File{}, err
		}
	}
	f.Refuse = n.Refuse
	if n.Stored != 0 {
		f.Stored = n.Stored
	}
	if err := s.db.Update(func(tx *bolt.Tx) error { return saveFile(tx, c.ID, f) }); err != nil {
		return File{}, err
	}
	return f.shown(), nil
}

func (f *file) shown() File { return File{SDKFileID: f.ID, Name: f.Name, Size: f.Size, MD5: f.MD5} }

func (s *Sim) killTokens(n KillTokens) (struct{}, error) {
	c, err := s.corpNamed(n.Corp)
	if err != nil {
		return struct{}{}, err
	}
	code := n.ErrCode
	if code == 0 {
		code = 40014
	}
	for i := range c.Tokens {
		t := &c.Tokens[i]
		at := slices.IndexFunc(c.Secrets, func(x Secret) bool { return x.Value == t.Secret })
		if n.Kind == "" || (at >= 0 && c.Secrets[at].Kind == n.Kind) {
			t.Dead = code
		}
	}
	return struct{}{}, s.db.Update(func(tx *bolt.Tx) error { return saveCorp(tx, c) })
}

func (s *Sim) addFault(f Fault) (Fault, error) {
	if !slices.Contains(faultKinds, f.Kind) {
		return Fault{}, asked("%q is no kind of fault: one of %q", f.Kind, faultKinds)
	}
	if f.API != "" && !slices.Contains(s.APIs(), f.API) {
		return Fault{}, asked("%q is no API: one of %q", f.API, s.APIs())
	}
	if (f.Kind == FaultCode) != (f.ErrCode != 0) {
		return Fault{}, asked("errcode belongs to the fault %q alone", FaultCode)
	}
	s.faultN++
	f.ID, f.Hits = s.faultN, 0
	s.faults = append(s.faults, &f)
	return f, nil
}

func (s *Sim) faultList() []Fault {
	list := []Fault{}
	for _, f := range s.faults {
		list = append(list, *f)
	}
	return list
}

func (s *Sim) liftFaults(n Lift) ([]Fault, error) {
	s.faults = slices.DeleteFunc(s.faults, func(f *Fault) bool { return n.ID == 0 || f.ID == n.ID })
	return s.faultList(), nil
}

func (s *Sim) setRate(n Rate) (Rate, error) {
	if _, err := s.corpNamed(n.Corp); err != nil {
		return Rate{}, err
	}
	if !slices.Contains(s.APIs(), n.API) {
		return Rate{}, asked("%q is no API: one of %q", n.API, s.APIs())
	}
	key := fmt.Sprintf("%s %s", n.Corp, n.API)
	if n.PerMinute <= 0 {
		delete(s.rates, key)
		return n, nil
	}
	s.rates[key] = &rate{Rate: n, since: s.clock()}
	return n, nil
}
