package wecomsim

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// largestBody bounds what a caller may post.
const largestBody = 64 << 20

// Sim is one simulated WeCom. It is an http.Handler and may be called from many goroutines.
type Sim struct {
	db    *bolt.DB
	clock func() time.Time
	hints atomic.Uint64
	mux   *http.ServeMux

	// mu guards what follows; an answer is built under it, and written after it is released.
	mu     sync.Mutex
	self   self
	corps  map[string]*corp
	faults []*Fault
	faultN int
	rates  map[string]*rate
	wrong  map[string]*wrongSecrets
	calls  map[string]map[string]int // corp → API → number
	closed chan struct{}
	sender sender

	running sync.WaitGroup // lanes of the sender
	caller  *http.Client
}

// Open opens the simulator whose state is the bbolt file at path, which it makes if it is absent. clock is real time; what the simulator
// calls its clock is that plus its offset. A file that another process holds is an error after two seconds.
func Open(path string, clock func() time.Time) (*Sim, error) {
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	s := &Sim{
		db: db, clock: clock, corps: map[string]*corp{}, rates: map[string]*rate{}, wrong: map[string]*wrongSecrets{},
		calls: map[string]map[string]int{}, closed: make(chan struct{}), sender: newSender(),
		caller: &http.Client{
			// Nothing is kept open, so that nothing is left behind; a callback that points elsewhere is not followed.
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.mux = http.NewServeMux()
	s.routeWeCom()
	s.routeControl()
	s.mu.Lock()
	s.wakeAll()
	s.mu.Unlock()
	return s, nil
}

// Close ends requests that hang on purpose, and events on their way, which are sent again after the next Open, and closes the file.
func (s *Sim) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
		s.sender.stop()
	}
	s.mu.Unlock()
	s.running.Wait()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the simulator's file: %w", err)
	}
	return nil
}

// Now is the simulator's clock: real time plus its offset.
func (s *Sim) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

func (s *Sim) now() time.Time { return s.clock().Add(s.self.Offset).UTC() }

func (s *Sim) callerIP() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.self.CallerIP
}

// ServeHTTP answers WeCom's API under /cgi-bin and the control API, for loopback callers alone, under /sim.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// call is one call of WeCom's API by a token's holder.
type call struct {
	r      *http.Request
	body   []byte
	corp   *corp
	secret *Secret
}

func (c *call) query(name string) string { return c.r.URL.Query().Get(name) }

// answer is what an API gives back: an object, or bytes with a header of their own.
type answer struct {
	object object
	media  *mediaPart
}

// api is one call of WeCom's API.
type api struct {
	method string
	// kinds are the kinds of secret whose token may call it; a callable app counts as customer.
	kinds   []string
	archive bool // whether it belongs to message archiving: service state and 301042 apply
	list    string
	run     func(s *Sim, c *call) (answer, error)
}

var readers = []string{KindArchive, KindCustomer, KindLegacyApp, KindNewApp, KindContactsSyncOldIP}

func (s *Sim) apis() map[string]api {
	archive := []string{KindArchive}
	sync := []string{KindContactsSyncOldIP, KindContactsSyncNewIP}
	apps := []string{KindLegacyApp, KindNewApp}
	return map[string]api{
		"message/getchatdata":      {method: "POST", kinds: archive, archive: true, list: "chatdata", run: (*Sim).getChatData},
		"message/getchatmediadata": {method: "POST", kinds: archive, archive: true, run: (*Sim).getChatMediaData},

		"msgaudit/get_permit_user_list": {method: "POST", kinds: archive, archive: true, run: (*Sim).permitUserList},
		"msgaudit/check_single_agree":   {method: "POST", kinds: archive, archive: true, run: (*Sim).checkSingleAgree},
		"msgaudit/check_room_agree":     {method: "POST", kinds: archive, archive: true, run: (*Sim).checkRoomAgree},
		"msgaudit/groupchat/get":        {method: "POST", kinds: archive, archive: true, run: (*Sim).auditRoom},
		"msgaudit/get_robot_info":       {method: "GET", kinds: archive, archive: true, run: (*Sim).robotInfo},

		"message/send": {method: "POST", kinds: apps, run: (*Sim).messageSend},
		"agent/get":    {method: "GET", kinds: apps, run: (*Sim).agentGet},

		"department/list":       {method: "GET", kinds: readers, run: (*Sim).departmentList},
		"department/get":        {method: "GET", kinds: readers, run: (*Sim).departmentGet},
		"department/simplelist": {method: "GET", kinds: append(slices.Clone(readers), KindContactsSyncNewIP), run: (*Sim).departmentSimpleList},
		"user/get":              {method: "GET", kinds: readers, run: (*Sim).userGet},
		"user/list":             {method: "GET", kinds: readers, run: (*Sim).userList},
		"user/simplelist":       {method: "GET", kinds: readers, run: (*Sim).userSimpleList},
		"user/list_id":          {method: "POST", kinds: sync, run: (*Sim).userListID},

		"externalcontact/get_follow_user_list": {method: "GET", kinds: []string{KindCustomer}, run: (*Sim).followUsers},
		"externalcontact/list":                 {method: "GET", kinds: []string{KindCustomer}, run: (*Sim).externalList},
		"externalcontact/get":                  {method: "GET", kinds: []string{KindCustomer}, run: (*Sim).externalGet},
		"externalcontact/batch/get_by_user":    {method: "POST", kinds: []string{KindCustomer}, run: (*Sim).externalByUser},
		"externalcontact/groupchat/list":       {method: "POST", kinds: []string{KindCustomer}, run: (*Sim).groupChatList},
		"externalcontact/groupchat/get":        {method: "POST", kinds: []string{KindCustomer}, run: (*Sim).groupChatGet},
	}
}

// APIs names the calls that the simulator answers, sorted, without /cgi-bin/.
func (s *Sim) APIs() []string {
	return append(slices.Sorted(maps.Keys(s.apis())), "gettoken")
}

func (s *Sim) routeWeCom() {
	s.mux.HandleFunc("GET /cgi-bin/gettoken", func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, "gettoken", r.URL.Query().Get("corpid"), nil, func([]byte) (answer, error) { return s.getToken(r) })
	})
	for name, a := range s.apis() {
		s.mux.HandleFunc("/cgi-bin/"+name, func(w http.ResponseWriter, r *http.Request) { s.serveAPI(w, r, name, a) })
	}
	// QUIRK: an API that does not exist is HTTP 404 with an empty body, not an errcode.
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeBytes(w, http.StatusNotFound, "text/plain", nil) })
}

func (s *Sim) serveAPI(w http.ResponseWriter, r *http.Request, name string, a api) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestBody))
	if err != nil {
		writeBytes(w, http.StatusRequestEntityTooLarge, "text/plain", nil)
		return
	}
	s.mu.Lock()
	c, secret, tokenErr := s.callerOf(r.URL.Query().Get("access_token"))
	secret = s.asSeen(secret)
	s.mu.Unlock()
	corpID := ""
	if c != nil {
		corpID = c.ID
	}
	s.serve(w, r, name, corpID, body, func([]byte) (answer, error) {
		if tokenErr != nil {
			return answer{}, s.inList(tokenErr, a)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.admit(c, secret, name, a); err != nil {
			return answer{}, s.inList(err, a)
		}
		ans, err := a.run(s, &call{r: r, body: body, corp: c, secret: secret})
		return ans, s.inList(err, a)
	})
}

// asSeen is a secret with the kind that it has from the address that WeCom sees.
func (s *Sim) asSeen(secret *Secret) *Secret {
	if secret == nil || len(secret.KnownIPs) == 0 || secret.Kind != KindContactsSyncOldIP && secret.Kind != KindContactsSyncNewIP {
		return secret
	}
	seen := *secret
	seen.Kind = KindContactsSyncNewIP
	if slices.Contains(secret.KnownIPs, s.self.CallerIP) {
		seen.Kind = KindContactsSyncOldIP
	}
	return &seen
}

// inList gives a refusal the empty list that its API shows in refusals.
func (s *Sim) inList(err error, a api) error {
	var e *refusal
	if a.list != "" && errors.As(err, &e) {
		return &refusal{code: e.code, list: a.list}
	}
	return err
}

// admit decides whether a caller may make a call now.
func (s *Sim) admit(c *corp, secret *Secret, name string, a api) error {
	if secret.Disabled {
		return refuse(50003)
	}
	if s.overRate(c.ID, name) {
		return refuse(45009)
	}
	if c.Trusted.On && !slices.Contains(c.Trusted.IPs, s.self.CallerIP) {
		switch {
		case c.Trusted.Answer != 0:
			return refuse(c.Trusted.Answer)
		case a.archive:
			return refuse(301042)
		default:
			return refuse(60020)
		}
	}
	if !slices.Contains(a.kinds, secret.Kind) && (!secret.Callable || !slices.Contains(a.kinds, KindCustomer)) {
		if secret.Kind == KindContactsSyncNewIP && slices.Contains(a.kinds, KindContactsSyncOldIP) {
			return refuse(48009)
		}
		return refuse(48002)
	}
	if a.archive {
		switch c.Service {
		case ServiceExpired:
			return refuse(301052)
		case ServiceNotOpen:
			return refuse(301053)
		}
	}
	return nil
}

// serve counts a call, lets a planned fault have it, and writes the answer.
func (s *Sim) serve(w http.ResponseWriter, r *http.Request, name, corpID string, body []byte, run func([]byte) (answer, error)) {
	s.mu.Lock()
	if s.calls[corpID] == nil {
		s.calls[corpID] = map[string]int{}
	}
	s.calls[corpID][name]++
	fault := s.takeFault(corpID, name)
	s.mu.Unlock()
	if fault != nil && fault.before() {
		s.playFault(w, r, fault, nil)
		return
	}
	var ans answer
	var err error
	if fault == nil || fault.ErrCode == 0 || name != "message/send" { // what is refused is not sent
		ans, err = run(body)
	}
	if fault != nil && fault.ErrCode != 0 {
		err = refuse(fault.ErrCode)
		if name == "message/getchatdata" {
			err = &refusal{code: fault.ErrCode, list: "chatdata"}
		}
	}
	var e *refusal
	var given object
	switch {
	case errors.As(err, &e):
		given = s.refusalObject(e)
	case err != nil:
		writeBytes(w, http.StatusInternalServerError, "text/plain", []byte(err.Error()))
		return
	case ans.media != nil && fault != nil:
		s.playFault(w, r, &Fault{Kind: FaultReset}, ans.media.bytes)
		return
	case ans.media != nil:
		ans.media.write(w)
		return
	default:
		given = append(object{{"errcode", 0}, {"errmsg", "ok"}}, ans.object...)
	}
	b, err := plainJSON(given)
	switch {
	case err != nil:
		writeBytes(w, http.StatusInternalServerError, "text/plain", nil)
	case fault != nil && fault.Kind != FaultCode:
		s.playFault(w, r, fault, b)
	default:
		writeBytes(w, http.StatusOK, "application/json; charset=UTF-8", b)
	}
}

// loopback says whether a request came from this machine.
func loopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }
