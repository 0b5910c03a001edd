package gateway

import (
	"encoding/json"
	"errors"
	"regexp"
	"sync"
)

// Seen is how WeCom answered since the session's last Begin. It tells the reasons that the library keeps to itself; what was received is
// the library's to return.
type Seen struct {
	Connected bool   // the library used the proxy at all
	Refused   bool   // the library took our certificate amiss and hung up without a request
	Path      string // of the library's last question; PathToken if it went no further
	Status    int    // HTTP status of the last answer, 0 if there was none
	ErrCode   int    // WeCom's errcode in it, 0 if none
	FromIP    string // the address that WeCom named as ours, "" if none
	Err       error  // why there was no answer; nil if there was one
}

// Session is one child's credentials and what it was answered.
type Session struct {
	gateway        *Gateway
	user, password string

	mu     sync.Mutex
	seen   Seen
	tokens [2]string // the last two that this child was given: a request may still carry the one before
}

// Proxy is the address to give to the library as proxy.
func (s *Session) Proxy() string { return "http://" + s.gateway.listener.Addr().String() }

// Passwd is what to give to the library as passwd.
func (s *Session) Passwd() string { return s.user + ":" + s.password }

// Begin forgets what was seen.
func (s *Session) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = Seen{}
}

// Seen is what was seen since Begin.
func (s *Session) Seen() Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// Dismiss ends the credentials.
func (s *Session) Dismiss() {
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	delete(s.gateway.sessions, s.user)
}

func (s *Session) note(change func(*Seen)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.seen)
}

func (s *Session) gave(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens[0] != token {
		s.tokens[1], s.tokens[0] = s.tokens[0], token
	}
}

func (s *Session) knows(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return token != "" && (token == s.tokens[0] || token == s.tokens[1])
}

// codes reads errcode and our address out of an answer. Refusals are short; a long answer is content, and content has errcode 0.
func codes(body []byte) (code int, ip string) {
	const longestRefusal = 64 << 10
	if len(body) > longestRefusal {
		return 0, ""
	}
	var answer struct {
		ErrCode int    `json:"errcode"`
		ErrMsg  string `json:"errmsg"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return 0, ""
	}
	return answer.ErrCode, FromIP(answer.ErrMsg)
}

var fromIP = regexp.MustCompile(`from ip: ([0-9A-Fa-f.:]+)`)

// FromIP is the address that WeCom names in an errmsg as the one it was asked from, "" if it names none.
func FromIP(errmsg string) string {
	if m := fromIP.FindStringSubmatch(errmsg); m != nil {
		return m[1]
	}
	return ""
}

// answered reads how WeCom answered out of an error of Token.
func answered(err error) (code int, ip string) {
	var c interface{ ErrCode() int }
	if errors.As(err, &c) {
		code = c.ErrCode()
	}
	var m interface{ ErrMsg() string }
	if errors.As(err, &m) {
		ip = FromIP(m.ErrMsg())
	}
	return code, ip
}

// deadToken are WeCom's answers to a token that it does not take, or no longer.
func deadToken(code int) bool {
	switch code {
	case 40001, 40014, 41001, 42001:
		return true
	default:
		return false
	}
}
