package wecomsim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/callback"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

const (
	cbToken = "Token7"
	cbKey   = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// address is a callback that opens what comes with the product's own scheme.
type address struct {
	*bench
	server *httptest.Server
	scheme *callback.Scheme

	mu     sync.Mutex
	got    []callback.Event
	stamps []string // timestamp and nonce of each delivery
	plays  []func(w http.ResponseWriter, r *http.Request)
	// echo answers the verification instead.
	echo func(w http.ResponseWriter, echo string)
}

func (b *bench) address() *address {
	b.Helper()
	scheme, err := callback.New("wwone", cbToken, cbKey)
	if err != nil {
		b.Fatal(err)
	}
	a := &address{bench: b, scheme: scheme}
	a.server = httptest.NewServer(a)
	b.Cleanup(a.server.Close)
	return a
}

func (a *address) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		echo, err := a.scheme.Verify(r.URL.Query(), a.clock())
		switch {
		case err != nil:
			http.Error(w, "no", http.StatusForbidden)
		case a.echo != nil:
			a.echo(w, echo)
		default:
			_, _ = io.WriteString(w, echo)
		}
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.Error(err)
	}
	e, err := a.scheme.Open(r.URL.Query(), body, a.now())
	if err != nil {
		a.Error(err)
	}
	a.mu.Lock()
	a.got = append(a.got, e)
	a.stamps = append(a.stamps, r.URL.Query().Get("timestamp")+r.URL.Query().Get("nonce"))
	var play func(http.ResponseWriter, *http.Request)
	if len(a.plays) > 0 {
		play, a.plays = a.plays[0], a.plays[1:]
	}
	a.mu.Unlock()
	if play != nil {
		play(w, r)
	}
}

// set has events of a kind sent here.
func (a *address) set(kind string, full bool) {
	a.Helper()
	must(a.SetCallback(a.ctx(), wecomsim.Callback{Corp: "wwone", Kind: kind, URL: a.server.URL + "/in?door=1", Token: cbToken, AESKey: cbKey, Full: full, PauseMS: 1, TimeoutMS: 300}))(a.bench)
}

func (a *address) settled() []wecomsim.Delivery {
	a.Helper()
	return must(a.Settle(a.ctx(), wecomsim.Settle{Corp: "wwone", Seconds: 20}))(a.bench)
}

// take is what came since the last take, without ids and times, in words.
func (a *address) take() []string {
	a.Helper()
	a.settled()
	a.mu.Lock()
	defer a.mu.Unlock()
	words := []string{}
	for _, e := range a.got {
		w := []string{e.Name, e.Change, e.Detail, string(e.Former), string(e.Member), string(e.External), string(e.Room)}
		for _, p := range e.Parties {
			w = append(w, string(p))
		}
		for _, n := range append([]int{e.Department, e.Parent}, e.Departments...) {
			if n != 0 {
				w = append(w, strings.Repeat("I", n))
			}
		}
		if e.Odd {
			w = append(w, "ODD")
		}
		words = append(words, strings.Join(slices.DeleteFunc(w, func(s string) bool { return s == "" }), " "))
	}
	a.got = nil
	return words
}

func TestAnAddressIsSavedOnlyIfItEchoes(t *testing.T) {
	b := newBench(t)
	b.directory()
	a := b.address()
	good := wecomsim.Callback{Corp: "wwone", Kind: wecomsim.CallbackContacts, URL: a.server.URL, Token: cbToken, AESKey: cbKey}
	for name, c := range map[string]struct {
		change func(*wecomsim.Callback)
		echo   func(w http.ResponseWriter, echo string)
		says   string
	}{
		"another token":           {func(c *wecomsim.Callback) { c.Token = "other" }, nil, "HTTP 403"},
		"another key":             {func(c *wecomsim.Callback) { c.AESKey = "z" + cbKey[1:] }, nil, "HTTP 403"},
		"a key that is too long":  {func(c *wecomsim.Callback) { c.AESKey += "aaaa" }, nil, "aes_key"},
		"an echo in quotes":       {nil, func(w http.ResponseWriter, echo string) { _, _ = io.WriteString(w, `"`+echo+`"`) }, "nothing but the echo"},
		"an echo with a line end": {nil, func(w http.ResponseWriter, echo string) { _, _ = io.WriteString(w, echo+"\n") }, "nothing but the echo"},
		"an error page":           {nil, func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusBadGateway) }, "HTTP 502"},
		"another machine":         {func(c *wecomsim.Callback) { c.URL = "http://192.0.2.1/" }, nil, "this machine alone"},
		"a name":                  {func(c *wecomsim.Callback) { c.URL = "http://one.example/" }, nil, "this machine alone"},
		"nobody there":            {func(c *wecomsim.Callback) { c.URL = "http://127.0.0.1:1/" }, nil, "no answer"},
		"an unknown kind":         {func(c *wecomsim.Callback) { c.Kind = "news" }, nil, "no kind"},
		"an unknown corp":         {func(c *wecomsim.Callback) { c.Corp = "wwnone" }, nil, "no corp"},
	} {
		t.Run(name, func(t *testing.T) {
			n := good
			if c.change != nil {
				c.change(&n)
			}
			a.echo = c.echo
			if _, err := b.SetCallback(t.Context(), n); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	if list := must(b.Callbacks(b.ctx(), "wwone"))(b); len(list) != 0 {
		t.Errorf("saved all the same: %v", list)
	}
	a.echo = nil
	must(b.SetCallback(b.ctx(), good))(b)
	must(b.SetCallback(b.ctx(), good))(b)
	if list := must(b.Callbacks(b.ctx(), "wwone"))(b); len(list) != 1 || list[0] != good {
		t.Errorf("%v", list)
	}
	must(b.SetCallback(b.ctx(), wecomsim.Callback{Corp: "wwone", Kind: wecomsim.CallbackContacts}))(b)
	if list := must(b.Callbacks(b.ctx(), "wwone"))(b); len(list) != 0 {
		t.Errorf("taken away, but there: %v", list)
	}
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestWhatChangesIsTold(t *testing.T) {
	wn := "wm" + strings.Repeat("N", 30)
	table := []struct {
		name      string
		change    wecomsim.ChangeContacts
		full, ids []string // told to an older address of contacts, and one of customers; to a newer address of contacts alone
	}{
		{"a mobile", wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"lin": raw(`{"mobile":""}`)}}, []string{"change_contact update_user lin"}, nil},
		{"nothing", wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"lin": raw(`{"mobile":""}`)}}, nil, nil},
		{"departments", wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"Wei.Z": raw(`{"department":[2,3]}`)}},
			[]string{"change_contact update_user Wei.Z II III"}, []string{"change_contact update_user Wei.Z II III"}},
		{"a head", wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"Wei.Z": raw(`{"is_leader_in_dept":[1,0]}`)}},
			[]string{"change_contact update_user Wei.Z"}, []string{"change_contact update_user Wei.Z II III"}},
		{"another userid", wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"mo": raw(`{"userid":"mo.li"}`)}},
			[]string{"change_contact update_user mo mo.li"}, []string{"change_contact update_user mo mo.li"}},
		{"a department and who is in it", wecomsim.ChangeContacts{
			Members: []wecomsim.Member{{UserID: "an", Name: "An", Department: []int{5}}}, Departments: []wecomsim.Department{{ID: 5, Name: "Five", Parent: 4}},
		}, []string{"change_contact create_party IIIII IIII", "change_contact create_user an IIIII"}, []string{"change_contact create_party IIIII IIII", "change_contact create_user an IIIII"}},
		{"a department's name", wecomsim.ChangeContacts{Departments: []wecomsim.Department{{ID: 5, Name: "V", Parent: 4}}}, []string{"change_contact update_party IIIII"}, nil},
		{"a department's place", wecomsim.ChangeContacts{Departments: []wecomsim.Department{{ID: 5, Name: "V", Parent: 2}}},
			[]string{"change_contact update_party IIIII II"}, []string{"change_contact update_party IIIII II"}},
		{"one who leaves", wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"an": raw(`{"status":5}`)}}, []string{"change_contact delete_user an"}, []string{"change_contact delete_user an"}},
		{"one who left is deleted, with the department", wecomsim.ChangeContacts{Remove: []string{"an"}, RemoveDepartments: []int{5}},
			[]string{"change_contact delete_party IIIII"}, []string{"change_contact delete_party IIIII"}},
		{"a contact", wecomsim.ChangeContacts{Externals: []wecomsim.External{{ID: wn, Type: 1, FollowUsers: []wecomsim.Follow{{UserID: "lin"}}}}},
			[]string{"change_external_contact add_external_contact lin " + wn}, nil},
		{"a contact's remark", wecomsim.ChangeContacts{Externals: []wecomsim.External{{ID: wn, Type: 1, FollowUsers: []wecomsim.Follow{{UserID: "lin", Remark: "x"}}}}},
			[]string{"change_external_contact edit_external_contact lin " + wn}, nil},
		{"consent", wecomsim.ChangeContacts{Consents: []wecomsim.Consent{{UserID: "lin", External: wn, Status: "Agree", Changed: 1}, {RoomID: wr2, External: wm, Status: "Agree"}}},
			[]string{"change_external_contact msg_audit_approved lin " + wn}, nil},
		{"consent taken back", wecomsim.ChangeContacts{Consents: []wecomsim.Consent{{UserID: "lin", External: wn, Status: "Disagree", Changed: 2}}}, nil, nil},
		{"a contact gone", wecomsim.ChangeContacts{Remove: []string{wn}}, []string{"change_external_contact del_external_contact lin " + wn}, nil},
		{"a group's members", wecomsim.ChangeContacts{Rooms: []wecomsim.Room{{ID: wr2, Kind: wecomsim.RoomExternal, Name: "outside", Owner: "lin", Members: []string{"lin", wm, "mo.li"}}}},
			[]string{"change_external_chat update add_member " + wr2 + " mo.li", "change_external_chat update del_member " + wr2 + " " + wo}, nil},
		{"a group ends", wecomsim.ChangeContacts{Rooms: []wecomsim.Room{{ID: wr2, Kind: wecomsim.RoomDismissed}}}, []string{"change_external_chat dismiss " + wr2}, nil},
		{"a group that was started in WeChat", wecomsim.ChangeContacts{Remove: []string{wr3}}, nil, nil},
	}
	for _, full := range []bool{true, false} {
		b := newBench(t)
		b.directory()
		a := b.address()
		a.set(wecomsim.CallbackContacts, full)
		if full {
			a.set(wecomsim.CallbackCustomer, false)
		}
		for _, c := range table {
			c.change.Corp = "wwone"
			if err := b.ChangeContacts(t.Context(), c.change); err != nil {
				t.Fatal(err)
			}
			want := c.ids
			if full {
				want = c.full
			}
			if diff := cmp.Diff(append([]string{}, want...), a.take()); diff != "" {
				t.Errorf("%s, full: %v -want +got\n%s", c.name, full, diff)
			}
		}
	}
}

func (a *address) last() callback.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.got[len(a.got)-1]
}

func (b *bench) delivered() []wecomsim.Delivery {
	b.Helper()
	return must(b.Deliveries(b.ctx(), "wwone", 0))(b)
}

func TestWhatAnAddressIsSentDependsOnItsAge(t *testing.T) {
	b := newBench(t)
	b.directory()
	a := b.address()
	for _, full := range []bool{true, false} {
		a.set(wecomsim.CallbackContacts, full)
		must(b.ChangeMember(b.ctx(), wecomsim.MemberChange{Corp: "wwone", UserID: "lin", Fields: raw(`{"email":"` + map[bool]string{true: "a", false: "b"}[full] + `@one.example","department":[1,2]}`)}))(b)
		must(b.ChangeMember(b.ctx(), wecomsim.MemberChange{Corp: "wwone", UserID: "lin", Fields: raw(`{"department":[1]}`)}))(b)
	}
	list := a.settled()
	told := func(i int, what string) bool { return strings.Contains(list[i].Message, what) }
	if len(list) != 4 || !told(0, "<Email><![CDATA[a@one.example]]></Email>") || !told(0, "<Department><![CDATA[1,2]]></Department>") || told(1, "Email") || told(2, "Email") || !told(2, "Department") {
		t.Errorf("%+v", list)
	}
}

func TestADeliveryIsTriedThreeTimesMore(t *testing.T) {
	b := newBench(t)
	b.directory()
	a := b.address()
	a.set(wecomsim.CallbackContacts, false)
	bad := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) }
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	fine := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "success") }
	drop := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	moved := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }
	a.plays = append(a.plays, bad, hang, drop, fine, moved, bad, bad, bad, fine)
	for _, name := range []string{"a1", "a2", "a3"} {
		must(b.ChangeMember(b.ctx(), wecomsim.MemberChange{Corp: "wwone", UserID: name, Join: &wecomsim.Member{Name: "A", Department: []int{1}}}))(b)
	}
	list := a.settled()
	var got [][]int
	for _, d := range list {
		var statuses []int
		for _, x := range d.Attempts {
			statuses = append(statuses, x.Status)
		}
		got = append(got, statuses)
	}
	if diff := cmp.Diff([][]int{{503, 0, 0, 200}, {302, 503, 503, 503}, {200}}, got); diff != "" {
		t.Fatalf("-want +got\n%s", diff)
	}
	states := []string{list[0].State, list[1].State, list[2].State}
	if diff := cmp.Diff([]string{"delivered", "failed", "delivered"}, states); diff != "" || list[0].Attempts[3].Body != "success" || !strings.Contains(list[0].Attempts[1].Error, "within 300ms") {
		t.Errorf("%s %+v", diff, list[0].Attempts)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.got[0].ID != a.got[3].ID || a.got[0].ID == a.got[4].ID {
		t.Error("a repetition is not the same event, or another one is")
	}
	slices.Sort(a.stamps)
	if n := len(slices.Compact(a.stamps)); n != 9 {
		t.Errorf("%d signatures of 9 requests", n)
	}
}

func (a *address) join(names ...string) {
	a.Helper()
	for _, name := range names {
		must(a.ChangeMember(a.ctx(), wecomsim.MemberChange{Corp: "wwone", UserID: name, Join: &wecomsim.Member{Name: "A", Department: []int{1}}}))(a.bench)
	}
}

func (a *address) came() (names []string) {
	a.Helper()
	for _, w := range a.take() {
		names = append(names, strings.Fields(w)[2])
	}
	return names
}

func TestEventsAreLostDoubledDelayedAndReordered(t *testing.T) {
	b := newBench(t)
	b.directory()
	a := b.address()
	a.set(wecomsim.CallbackContacts, false)
	trouble := func(t wecomsim.Trouble) {
		b.Helper()
		t.Corp, t.Kind = "wwone", wecomsim.CallbackContacts
		if err := b.SetTrouble(b.ctx(), t); err != nil {
			b.Fatal(err)
		}
	}
	same := func(what string, want ...string) {
		b.Helper()
		if diff := cmp.Diff(want, a.came()); diff != "" {
			b.Errorf("%s: -want +got\n%s", what, diff)
		}
	}
	trouble(wecomsim.Trouble{Lose: 1, Duplicate: 1})
	a.join("a", "b", "c")
	same("one lost, one twice", "b", "b", "c")
	trouble(wecomsim.Trouble{Hold: true})
	a.join("d", "e", "f", "g", "h")
	same("held")
	trouble(wecomsim.Trouble{})
	a.join("i")
	same("later ones overtake", "i")
	release := func(r wecomsim.Release) {
		b.Helper()
		r.Corp, r.Kind = "wwone", wecomsim.CallbackContacts
		must(b.Client.Release(b.ctx(), r))(b)
	}
	b.stop()
	b.start() // what is held survives
	release(wecomsim.Release{Only: []int{7}})
	same("one of them", "g")
	release(wecomsim.Release{Order: wecomsim.OrderReverse})
	same("the others, reversed", "h", "f", "e", "d")
	trouble(wecomsim.Trouble{Delay: "2h"})
	a.join("j")
	same("delayed")
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "1h"}))(b)
	same("too early")
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "1h1s"}))(b)
	same("when it is due", "j")
	states := map[string]int{}
	for _, d := range b.delivered() {
		states[d.State]++
	}
	if diff := cmp.Diff(map[string]int{"lost": 1, "delivered": 9}, states); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	d := must(b.SendEvent(b.ctx(), wecomsim.RawEvent{Corp: "wwone", Kind: wecomsim.CallbackContacts, Event: "change_contact", Change: "update_tag", XML: "<TagId>4</TagId><AddUserItems>a,b</AddUserItems>"}))(b)
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "3h"}))(b)
	a.settled()
	if e := a.last(); e.Tag != 4 || len(e.Parties) != 2 || d.Event != "change_contact" {
		t.Errorf("%+v", e)
	}
}

func TestAnEventUnderWayWhenTheSimulatorEndsIsSentAgain(t *testing.T) {
	b := newBench(t)
	b.directory()
	a := b.address()
	a.set(wecomsim.CallbackContacts, false)
	arrived := make(chan struct{})
	a.plays = append(a.plays, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	a.join("a")
	<-arrived
	b.stop()
	b.start()
	if diff := cmp.Diff([]string{"a", "a"}, a.came()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestNewChatDataIsToldAtMostEvery15Seconds(t *testing.T) {
	b := newBench(t)
	b.directory()
	a := b.address()
	say := func() {
		b.Helper()
		must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", From: "lin", To: []string{"mo"}, Text: "x"}))(b)
	}
	say()
	a.set(wecomsim.CallbackArchive, false)
	say()
	say()
	say()
	if got := a.take(); len(got) != 1 || got[0] != "msgaudit_notify" {
		t.Errorf("at once: %q", got)
	}
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "16s"}))(b)
	if got := a.take(); len(got) != 1 { // of the second and third
		t.Errorf("after 16 s: %q", got)
	}
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "1h"}))(b)
	if got := a.take(); len(got) != 0 {
		t.Errorf("nobody wrote: %q", got)
	}
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "-30m"}))(b)
	say()
	if got := a.take(); len(got) != 1 {
		t.Errorf("after the clock went back: %q", got)
	}
}

func TestACorpWithoutAddressesHasNoDeliveries(t *testing.T) {
	b := newBench(t)
	b.directory()
	must(b.ChangeMember(b.ctx(), wecomsim.MemberChange{Corp: "wwone", UserID: "lin", Fields: raw(`{"mobile":"1"}`)}))(b)
	if list := b.delivered(); len(list) != 0 {
		t.Errorf("%v", list)
	}
}

func TestABadRequestIsMadeForTests(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	req, err := wecomsim.SealCallback(cbToken, cbKey, "wwone", "12", "<xml><ToUserName>wwone</ToUserName><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>x</Event></xml>", at)
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := callback.New("wwone", cbToken, cbKey)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := scheme.Open(req.Query, req.Body, at); err != nil || e.Name != "x" {
		t.Errorf("%+v %v", e, err)
	}
	if _, err := scheme.Open(url.Values{}, req.Body, at); err == nil {
		t.Error("opened without a signature")
	}
	if _, err := wecomsim.SealCallback(cbToken, "short", "wwone", "", "", at); err == nil {
		t.Error("sealed with no key")
	}
}

func TestADayOfTheDemonstrationIsTold(t *testing.T) {
	b := newBench(t)
	day := must(b.DemoStart(b.ctx(), wecomsim.DemoStart{}))(b)
	corp := day.Corps[0].Corp
	a := b.address()
	var err error
	if a.scheme, err = callback.New(archive.CorpID(corp), cbToken, cbKey); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{wecomsim.CallbackContacts, wecomsim.CallbackArchive} {
		must(b.SetCallback(b.ctx(), wecomsim.Callback{Corp: corp, Kind: kind, URL: a.server.URL, Token: cbToken, AESKey: cbKey, Full: true}))(b)
	}
	for _, step := range day.Steps {
		must(b.SetClock(b.ctx(), wecomsim.Clock{Now: &step.At}))(b)
		must(b.DemoStep(b.ctx(), wecomsim.DemoPlay{}))(b)
		must(b.Settle(b.ctx(), wecomsim.Settle{Corp: corp}))(b)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	told := map[string]int{}
	for _, e := range a.got {
		told[e.Name+" "+e.Change]++
	}
	// Each step's first message is told at once, and what followed it 15 seconds later: of the last step that is still to come.
	if told["msgaudit_notify "] != 2*len(day.Steps)-1 || told["change_contact update_user"] < 3 || told["change_contact create_user"] != 3 ||
		told["change_contact delete_user"] != 1 || len(told) != 4 {
		t.Errorf("%v in %d steps", told, len(day.Steps))
	}
}
