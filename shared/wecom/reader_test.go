package wecom_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// server is a WeCom that answers each call by a script.
type server struct {
	*testing.T
	*wecom.Reader
	kept []wecom.Answer

	mu    sync.Mutex
	asked []string                                    // "user/list?department_id=1", "call {body}"
	play  map[string]func(asked string) (body string) // by call
}

const secret = "secret-of-the-corp"

func newServer(t *testing.T, play map[string]func(asked string) string) *server {
	t.Helper()
	s := &server{T: t, play: play}
	if s.play["gettoken"] == nil {
		s.play["gettoken"] = always(`{"errcode":0,"errmsg":"ok","access_token":"token-of-the-corp","expires_in":7200}`)
	}
	web := httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(web.Close)
	client := wecom.New(web.URL, &http.Client{Timeout: 5 * time.Second}, clock.Real)
	tokens := client.Tokens("wwcorp", func(context.Context) (string, error) { return secret, nil })
	s.Reader = wecom.NewReader(tokens, time.Millisecond, func(a wecom.Answer) { s.kept = append(s.kept, a) })
	return s
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	call := strings.TrimPrefix(r.URL.Path, "/cgi-bin/")
	q := r.URL.Query()
	if call != "gettoken" && !strings.HasPrefix(q.Get("access_token"), "token") {
		s.Errorf("%s came without a token", call)
	}
	q.Del("access_token")
	asked := q.Encode()
	if r.Method == http.MethodPost {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			s.Error(err)
		}
		asked = string(b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, call+" "+asked)
	body := `{"errcode":48002,"errmsg":"no script for it"}`
	if play := s.play[call]; play != nil {
		body = play(asked)
	}
	if status, ok := strings.CutPrefix(body, "HTTP "); ok {
		http.Error(w, "an error page", map[string]int{"500": 500, "502": 502}[status])
		return
	}
	if _, err := io.WriteString(w, body); err != nil {
		s.Error(err)
	}
}

func always(body string) func(string) string { return func(string) string { return body } }

// inTurn plays bodies one after the other, the last for ever.
func inTurn(bodies ...string) func(string) string {
	n := -1
	return func(string) string {
		n = min(n+1, len(bodies)-1)
		return bodies[n]
	}
}

func refusal(code int) string {
	return fmt.Sprintf(`{"errcode":%d,"errmsg":"refused, hint: [1_2_3], from ip: 203.0.113.9"}`, code)
}

func (s *server) times(call string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, asked := range s.asked {
		if strings.HasPrefix(asked, call+" ") {
			n++
		}
	}
	return n
}

func TestPagesAreFollowedToTheirEnd(t *testing.T) {
	s := newServer(t, map[string]func(string) string{
		"user/list_id": inTurn(
			`{"errcode":0,"next_cursor":"c1","dept_user":[{"userid":"a","department":1},{"userid":"a","department":2}]}`,
			`{"errcode":0,"next_cursor":"c2","dept_user":[]}`,
			`{"errcode":0,"next_cursor":"","dept_user":[{"userid":"b","department":2},{"userid":"a","department":3}]}`),
		"externalcontact/batch/get_by_user": inTurn(
			`{"external_contact_list":[{"external_contact":{"external_userid":"x","name":"X","type":1},"follow_info":{"userid":"a","tag_id":[]}}],"next_cursor":"d1","fail_info":{"unlicensed_userid_list":["b"]}}`,
			`{"external_contact_list":[{"external_contact":{"external_userid":"y","type":2,"corp_name":"Y"},"follow_info":{"userid":"a"}}]}`),
		"externalcontact/groupchat/list": inTurn(
			`{"errcode":0,"group_chat_list":[{"chat_id":"r1","status":0}],"next_cursor":"e1"}`, `{"errcode":0,"group_chat_list":[{"chat_id":"r2","status":1}]}`),
	})
	members, err := s.MemberIDs(t.Context())
	if diff := cmp.Diff([]wecom.Member{{ID: "a", Departments: []int{1, 2, 3}}, {ID: "b", Departments: []int{2}}}, members); err != nil || diff != "" {
		t.Errorf("members %v (-want +got)\n%s", err, diff)
	}
	externals, unlicensed, err := s.ExternalsOf(t.Context(), []archive.PartyID{"a", "b"})
	want := []wecom.External{{ID: "x", Name: "X", Type: 1, Follower: "a"}, {ID: "y", Type: 2, Corp: "Y", Follower: "a"}}
	if diff := cmp.Diff(want, externals); err != nil || diff != "" || len(unlicensed) != 1 {
		t.Errorf("externals %v %v (-want +got)\n%s", err, unlicensed, diff)
	}
	rooms, err := s.GroupChats(t.Context(), []archive.PartyID{"a"})
	if err != nil || len(rooms) != 2 || rooms[1] != "r2" {
		t.Errorf("rooms %v %v", rooms, err)
	}
	wantAsked := []string{
		"gettoken corpid=wwcorp&corpsecret=" + secret,
		`user/list_id {"cursor":"","limit":10000}`, `user/list_id {"cursor":"c1","limit":10000}`, `user/list_id {"cursor":"c2","limit":10000}`,
		`externalcontact/batch/get_by_user {"userid_list":["a","b"],"cursor":"","limit":100}`,
		`externalcontact/batch/get_by_user {"userid_list":["a","b"],"cursor":"d1","limit":100}`,
		`externalcontact/groupchat/list {"status_filter":0,"owner_filter":{"userid_list":["a"]},"cursor":"","limit":1000}`,
		`externalcontact/groupchat/list {"status_filter":0,"owner_filter":{"userid_list":["a"]},"cursor":"e1","limit":1000}`,
	}
	if diff := cmp.Diff(wantAsked, s.asked); diff != "" {
		t.Errorf("asked (-want +got)\n%s", diff)
	}
}

func TestACursorThatComesBackEndsTheReading(t *testing.T) {
	s := newServer(t, map[string]func(string) string{"user/list_id": always(`{"errcode":0,"next_cursor":"again","dept_user":[]}`)})
	if _, err := s.MemberIDs(t.Context()); err == nil || s.times("user/list_id") > 2 {
		t.Errorf("%v after %d calls", err, s.times("user/list_id"))
	}
}

func TestNamesFallBackToIDs(t *testing.T) {
	s := newServer(t, map[string]func(string) string{
		"department/list":       always(refusal(48009)),
		"department/simplelist": always(`{"errcode":0,"department_id":[{"id":1,"parentid":0,"order":4294967295}]}`),
		"user/list":             always(refusal(48009)),
		"user/simplelist":       always(`{"errcode":0,"userlist":[{"userid":"a","name":"A","department":[1]}]}`),
	})
	departments, named, err := s.Departments(t.Context())
	if err != nil || named || len(departments) != 1 || departments[0].Order != 4294967295 {
		t.Errorf("%+v %v %v", departments, named, err)
	}
	for range 3 {
		members, full, err := s.MembersOf(t.Context(), 1)
		if err != nil || full || len(members) != 1 || members[0].Name != "A" || members[0].Mobile != nil {
			t.Errorf("%+v %v %v", members, full, err)
		}
	}
	if n := s.times("user/list"); n != 1 {
		t.Errorf("a call that the secret may not make was made %d times", n)
	}
}

func TestHiddenIsToldFromEmpty(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   bool
	}{
		"all fields, no mobile":      {`{"userlist":[{"userid":"a","mobile":"","email":"","qr_code":"https://q","gender":"0"}]}`, true},
		"hidden by absence":          {`{"userlist":[{"userid":"a","gender":"0"},{"userid":"b"}]}`, false},
		"hidden by emptiness":        {`{"userlist":[{"userid":"a","mobile":"","email":"","avatar":"","gender":"0"}]}`, false},
		"one of many with a mobile":  {`{"userlist":[{"userid":"a","mobile":""},{"userid":"b","mobile":"1"}]}`, true},
		"a gender that is not blank": {`{"userlist":[{"userid":"a","gender":"2"}]}`, true},
	} {
		s := newServer(t, map[string]func(string) string{"user/list": always(c.answer)})
		members, full, err := s.MembersOf(t.Context(), 1)
		if got := wecom.ShowsSensitive(members); err != nil || !full || got != c.want {
			t.Errorf("%s: %v %v %v", name, got, full, err)
		}
	}
}

func TestRoomsAndRobotsAreRead(t *testing.T) {
	s := newServer(t, map[string]func(string) string{
		"externalcontact/groupchat/get": always(`{"errcode":0,"group_chat":{"chat_id":"r","name":"R","owner":"a","create_time":1900000000,"member_list":[` +
			`{"userid":"a","type":1,"name":"A"},{"userid":"x","type":2,"unionid":"u","name":"X"},{"userid":"y","type":2,"name":"Y"}]}}`),
		"msgaudit/groupchat/get":  inTurn(`{"errcode":0,"roomname":"I","creator":"a","room_create_time":1900000000,"members":[{"memberid":"a","jointime":1},{"memberid":"b"}]}`, refusal(301059)),
		"msgaudit/get_robot_info": always(`{"errcode":0,"data":{"robot_id":"wb","name":"Bot","creator_userid":"a"}}`),
		"msgaudit/get_permit_user_list": func(asked string) string {
			return map[string]string{"{}": `{"errcode":0,"ids":["a","b"]}`, `{"type":1}`: `{"errcode":0,"ids":["a"]}`}[asked]
		},
		"user/get": always(`{"errcode":0,"userid":"a","name":"A","status":1,"department":[1]}`),
	})
	created := time.Unix(1900000000, 0).UTC()
	room, err := s.GroupChat(t.Context(), "r")
	want := wecom.Room{ID: "r", Name: "R", Owner: "a", Created: created, Members: []wecom.RoomMember{
		{ID: "a", Name: "A"}, {ID: "x", Name: "X", External: true, WeChat: true}, {ID: "y", Name: "Y", External: true}}}
	if diff := cmp.Diff(want, room); err != nil || diff != "" {
		t.Errorf("external room %v (-want +got)\n%s", err, diff)
	}
	inside, err := s.AuditRoom(t.Context(), "i")
	if diff := cmp.Diff(wecom.Room{ID: "i", Name: "I", Owner: "a", Created: created, Members: []wecom.RoomMember{{ID: "a"}, {ID: "b"}}}, inside); err != nil || diff != "" {
		t.Errorf("internal room %v (-want +got)\n%s", err, diff)
	}
	// That one room is external is no word about the next.
	for range 2 {
		if _, err := s.AuditRoom(t.Context(), "r"); wecom.CodeOf(err) != 301059 {
			t.Error(err)
		}
	}
	if n := s.times("msgaudit/groupchat/get"); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
	if robot, err := s.Robot(t.Context(), "wb"); err != nil || robot.Name != "Bot" || robot.Creator != "a" {
		t.Errorf("%+v %v", robot, err)
	}
	if ids, err := s.Permitted(t.Context(), wecom.AnyEdition); err != nil || len(ids) != 2 {
		t.Errorf("%v %v", ids, err)
	}
	if ids, err := s.Permitted(t.Context(), wecom.OfficeEdition); err != nil || len(ids) != 1 {
		t.Errorf("%v %v", ids, err)
	}
	if m, err := s.Member(t.Context(), "a"); err != nil || m.Name != "A" || m.Mobile != nil {
		t.Errorf("%+v %v", m, err)
	}
}

func TestWhatWeComSaysAboutUsIsNotAskedAgain(t *testing.T) {
	const ok = `{"errcode":0,"ids":[],"data":{},"department":[]}`
	for name, c := range map[string]struct {
		token, first func(string) string
		permits      int // requests for the refused call in three tries
		robots       int // requests for another call afterwards
	}{
		"a wrong secret":            {always(refusal(40001)), always(ok), 0, 0},
		"too often":                 {nil, always(refusal(45009)), 1, 0},
		"an untrusted address":      {nil, always(refusal(301042)), 1, 0},
		"a token that is dead":      {nil, inTurn(refusal(40014), ok), 4, 1},
		"tokens that die at once":   {nil, always(refusal(42001)), 2, 0},
		"a call it may not make":    {nil, always(refusal(48002)), 1, 1},
		"an expired service":        {nil, always(refusal(301052)), 1, 1},
		"busy, and then not":        {nil, inTurn(refusal(-1), refusal(-1), refusal(-1), ok), 6, 1},
		"busy for long":             {nil, always(refusal(-1)), 12, 1},
		"an answer that is no JSON": {nil, always("<html>sign in</html>"), 4, 1},
		"HTTP 502, and then not":    {nil, inTurn("HTTP 502", ok), 4, 1},
	} {
		t.Run(name, func(t *testing.T) {
			play := map[string]func(string) string{"msgaudit/get_permit_user_list": c.first, "msgaudit/get_robot_info": always(ok)}
			if c.token != nil {
				play["gettoken"] = c.token
			}
			s := newServer(t, play)
			for range 3 {
				_, err := s.Permitted(t.Context(), wecom.AnyEdition)
				if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "token-of") || strings.Contains(err.Error(), "http")) {
					t.Errorf("the error gives away what was asked: %v", err)
				}
			}
			_, _ = s.Robot(t.Context(), "wb") // whether it is asked for at all is what counts
			if permits, robots := s.times("msgaudit/get_permit_user_list"), s.times("msgaudit/get_robot_info"); permits != c.permits || robots != c.robots {
				t.Errorf("%d and %d requests, want %d and %d", permits, robots, c.permits, c.robots)
			}
			if n := s.times("gettoken"); n > 2 || c.token != nil && n != 1 {
				t.Errorf("a token was asked for %d times", n)
			}
		})
	}
}

func TestTwoSilentCallsEndTheReading(t *testing.T) {
	s := newServer(t, map[string]func(string) string{
		"department/list": always("HTTP 500"), "user/list": always("HTTP 500"), "user/get": always(`{"errcode":0}`),
	})
	_, _, err := s.Departments(t.Context())
	if !errors.Is(err, wecom.ErrNoAnswer) || s.Dead() != nil {
		t.Errorf("%v, dead: %v", err, s.Dead())
	}
	if _, _, err := s.MembersOf(t.Context(), 1); !errors.Is(err, wecom.ErrNoAnswer) || s.Dead() == nil {
		t.Errorf("%v, dead: %v", err, s.Dead())
	}
	if _, err := s.Member(t.Context(), "a"); err == nil || s.times("user/get") > 0 {
		t.Errorf("the network was tried again: %v", err)
	}
}

func TestAReadingEndsWithItsTime(t *testing.T) {
	s := newServer(t, map[string]func(string) string{"department/list": always(`{"errcode":0}`)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Departments(ctx); !errors.Is(err, context.Canceled) || s.Dead() != nil || len(s.asked) > 0 {
		t.Errorf("%v, dead: %v, asked %q", err, s.Dead(), s.asked)
	}
}

func TestAnswersAreKeptAsTheyCame(t *testing.T) {
	s := newServer(t, map[string]func(string) string{
		"user/get": inTurn(`{"errcode":0, "errmsg":"ok", "userid":"a", "later":[1]}`, refusal(60111)),
	})
	if _, err := s.Member(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Member(t.Context(), "b"); wecom.CodeOf(err) != 60111 {
		t.Fatal(err)
	}
	want := []wecom.Answer{
		{Call: "user/get", Asked: "userid=a", Answer: json.RawMessage(`{"errcode":0, "errmsg":"ok", "userid":"a", "later":[1]}`)},
		{Call: "user/get", Asked: "userid=b", Code: 60111},
	}
	if diff := cmp.Diff(want, s.kept); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAnswersInAnotherFormAreErrors(t *testing.T) {
	s := newServer(t, map[string]func(string) string{"user/get": always(`{"errcode":0,"department":"one"}`), "user/list": always(`[1]`)})
	if _, err := s.Member(t.Context(), "a"); err == nil {
		t.Error("a department that is no list was taken")
	}
	if _, _, err := s.MembersOf(t.Context(), 1); err == nil {
		t.Error("an array was taken for an answer")
	}
}
