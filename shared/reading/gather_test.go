package reading_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// company is a WeCom that answers each secret's calls by a script.
type company struct {
	*testing.T
	url string

	mu   sync.Mutex
	play map[string]func(asked string) string // by "secret call", or by call alone for all secrets
	seen []string                             // "secret call asked"
}

// refused is an answer that is a refusal.
func refused(code int) func(string) string {
	return always(fmt.Sprintf(`{"errcode":%d,"errmsg":"refused"}`, code))
}

func always(body string) func(string) string { return func(string) string { return body } }

func newCompany(t *testing.T, play map[string]func(string) string) *company {
	t.Helper()
	c := &company{T: t, play: play}
	web := httptest.NewServer(http.HandlerFunc(c.answer))
	t.Cleanup(web.Close)
	c.url = web.URL
	return c
}

func (c *company) answer(w http.ResponseWriter, r *http.Request) {
	call, q := strings.TrimPrefix(r.URL.Path, "/cgi-bin/"), r.URL.Query()
	via, asked := q.Get("access_token"), ""
	if call == "gettoken" {
		via = q.Get("corpsecret")
	} else {
		q.Del("access_token")
		asked = q.Encode()
	}
	if r.Method == http.MethodPost {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			c.Error(err)
		}
		asked = string(b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, via+" "+call+" "+asked)
	play := c.play[via+" "+call]
	if play == nil {
		play = c.play[call]
	}
	body := `{"errcode":48002,"errmsg":"no script for it"}`
	switch {
	case play != nil:
		body = play(asked)
	case call == "gettoken":
		body = fmt.Sprintf(`{"errcode":0,"access_token":%q,"expires_in":7200}`, via)
	}
	if body == "" {
		http.Error(w, "an error page", http.StatusBadGateway)
		return
	}
	if _, err := io.WriteString(w, body); err != nil {
		c.Error(err)
	}
}

// asked says how often a secret made a call.
func (c *company) asked(via secrets.Kind, call string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seen {
		if strings.HasPrefix(s, string(via)+" "+call+" ") {
			n++
		}
	}
	return n
}

// readers read with the secrets of these kinds, each of which is its kind's name.
func (c *company) readers(keeper *reading.Keeper, kinds ...secrets.Kind) reading.Readers {
	client, all := wecom.New(c.url, &http.Client{Timeout: 5 * time.Second}, clock.Real), reading.Readers{}
	for _, kind := range kinds {
		tokens := client.Tokens("wwtide", func(context.Context) (string, error) { return string(kind), nil })
		all[kind] = wecom.NewReader(tokens, time.Millisecond, keeper.Of(kind))
	}
	keeper.Held(all)
	return all
}

// gather reads the company, and returns the answers that were kept, too.
func (c *company) gather(k reading.Known, kinds ...secrets.Kind) (directory.Reading, []byte) {
	c.Helper()
	keeper := reading.NewKeeper()
	k.Keep = keeper
	read, _ := reading.Gather(c.Context(), c.readers(keeper, kinds...), k)
	kept, err := keeper.Bytes()
	if err != nil {
		c.Fatal(err)
	}
	return read, kept
}

func number(t *testing.T, query, name string) string {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Error(err)
	}
	return q.Get(name)
}

const oneDepartment = `{"errcode":0,"department":[{"id":1,"name":"Tide","parentid":0,"order":1}]}`

// TestRoomsDoNotVanishBecauseTheirOwnersCouldNotBeRead: of a large company WeCom lists groups by their owners alone.
func TestRoomsDoNotVanishBecauseTheirOwnersCouldNotBeRead(t *testing.T) {
	for name, owners := range map[string]func(string) string{"busy": refused(-1), "silent": always("")} {
		t.Run(name, func(t *testing.T) {
			c := newCompany(t, map[string]func(string) string{
				"externalcontact/get_follow_user_list": owners,
				"externalcontact/groupchat/list":       refused(81017),
			})
			read, _ := c.gather(reading.Known{}, secrets.Customer)
			if o := read.Parts[directory.PartGroups]; o.Complete {
				t.Fatalf("the list of groups is called complete, with %d groups: %+v", len(read.Groups), o)
			}
			known := []directory.Entry{{Kind: directory.KindRoom, ID: "wrA", Fields: directory.Fields(directory.Room{Kind: directory.RoomExternal, Listed: true})}}
			changes, err := directory.Compare(known, read, time.Now())
			if err != nil || len(changes) > 0 {
				t.Errorf("the room changed: %+v, %v", changes, err)
			}
		})
	}
}

// TestWhatTheCustomerSecretShowedIsNotTakenBackByAnAppThatIsNotMeantForCustomers: the contacts secret is asked for groups that the other may not list.
func TestWhatTheCustomerSecretShowedIsNotTakenBackByAnAppThatIsNotMeantForCustomers(t *testing.T) {
	c := newCompany(t, map[string]func(string) string{
		"customer externalcontact/get_follow_user_list": always(`{"errcode":0,"follow_user":["kai"]}`),
		"customer externalcontact/batch/get_by_user": always(
			`{"errcode":0,"external_contact_list":[{"external_contact":{"external_userid":"wmA","name":"A","type":1},"follow_info":{"userid":"kai"}}]}`),
	})
	read, _ := c.gather(reading.Known{}, secrets.Customer, secrets.Contacts)
	if o := read.Parts[directory.PartExternals]; !o.Complete || o.Read != 1 || o.Via != string(secrets.Customer) {
		t.Errorf("the external contacts were read whole, and are said to be %+v", o)
	}
	if o := read.Parts[directory.PartGroups]; o.Complete || o.Why != "errcode 48002" {
		t.Errorf("the groups are said to be %+v", o)
	}
}

// TestASecretThatDiesInTheMiddleIsNotTakenForAnswersAboutEachThing: its refusal is about itself, not about the robot or room that was asked for.
func TestASecretThatDiesInTheMiddleIsNotTakenForAnswersAboutEachThing(t *testing.T) {
	known := reading.Known{Robots: []archive.PartyID{"wbA"}, Rooms: []archive.RoomID{"wrA"}}
	for name, code := range map[string]int{"app stopped": 40001, "address not trusted": 60020, "corp unknown": 40013} {
		t.Run(name, func(t *testing.T) {
			n := 0
			c := newCompany(t, map[string]func(string) string{
				"gettoken": func(string) string {
					if n++; n > 1 {
						return refused(code)("")
					}
					return `{"errcode":0,"access_token":"archive","expires_in":7200}`
				},
				"msgaudit/get_permit_user_list": func(asked string) string {
					if asked == "{}" {
						return `{"errcode":0,"ids":["kai"]}`
					}
					return refused(42001)("")
				},
				"department/list":         refused(42001),
				"msgaudit/get_robot_info": refused(42001),
				"msgaudit/groupchat/get":  refused(42001),
			})
			read, _ := c.gather(known, secrets.Archive)
			for _, part := range []directory.Part{directory.PartDesignated, directory.PartRobots, directory.PartRooms} {
				if o := read.Parts[part]; o.Complete {
					t.Errorf("%s are said to be complete: %+v", part, o)
				}
			}
			if len(read.Robots)+len(read.Rooms) > 0 {
				t.Errorf("read were robots %v and rooms %v", read.Robots, read.Rooms)
			}
		})
	}
}

// TestACompanyOfWhichNothingIsShownIsNotRead: there is no company without a department. An app whose visible range is single members, or none, is shown none.
func TestACompanyOfWhichNothingIsShownIsNotRead(t *testing.T) {
	for name, body := range map[string]string{"empty": `{"errcode":0,"department":[]}`, "somebody else's": `{"status":"ok"}`} {
		t.Run(name, func(t *testing.T) {
			c := newCompany(t, map[string]func(string) string{"department/list": always(body)})
			read, _ := c.gather(reading.Known{}, secrets.Contacts)
			for _, part := range []directory.Part{directory.PartDepartments, directory.PartMembers} {
				if o := read.Parts[part]; o.Complete || o.Why == "" {
					t.Errorf("%s are said to be %+v", part, o)
				}
			}
		})
	}
}

const (
	lists   = `{"errcode":0,"department_id":[{"id":1,"parentid":0,"order":1}]}`
	rows    = `{"errcode":0,"dept_user":[{"userid":"kai","department":1},{"userid":"mei","department":1}]}`
	records = `{"errcode":0,"userlist":[{"userid":"kai","name":"Kai","department":[1],"is_leader_in_dept":[1],"position":"mate","status":1%s},` +
		`{"userid":"mei","name":"Mei","department":[1],"status":4%[1]s}]}`
)

// idsAlone plays a secret for contacts that is shown ids alone, as from an address that WeCom did not know in 2022, and what the archive's secret adds.
func idsAlone(more map[string]func(string) string) map[string]func(string) string {
	play := map[string]func(string) string{
		"contacts department/list": refused(48009), "contacts department/simplelist": always(lists),
		"contacts user/list": refused(48009), "contacts user/simplelist": refused(48009), "contacts user/list_id": always(rows),
		"archive department/list":               always(oneDepartment),
		"archive user/list":                     always(fmt.Sprintf(records, "")),
		"archive msgaudit/get_permit_user_list": always(`{"errcode":0,"ids":["kai"]}`),
	}
	for call, answer := range more {
		play[call] = answer
	}
	return play
}

// after is what a reading makes of what is known, by userid.
func after(t *testing.T, known []directory.Entry, read directory.Reading) (all []directory.Entry, members map[string]directory.Member) {
	t.Helper()
	changes, err := directory.Compare(known, read, time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]directory.Entry{}
	for _, e := range slices.Concat(known, changes) {
		states[string(e.Kind)+" "+e.ID] = e
	}
	members = map[string]directory.Member{}
	for _, e := range states {
		all = append(all, e)
		if e.Kind == directory.KindMember && !e.Gone {
			m, err := directory.Parse[directory.Member](e.Fields)
			if err != nil {
				t.Fatal(err)
			}
			members[e.ID] = m
		}
	}
	return all, members
}

// TestWhatASecondSecretShowsStaysWhileItFails: it is as it was, and neither unknown nor gone, and the head of a department is its head.
func TestWhatASecondSecretShowsStaysWhileItFails(t *testing.T) {
	whole, _ := newCompany(t, idsAlone(nil)).gather(reading.Known{}, secrets.Archive, secrets.Contacts)
	known, want := after(t, nil, whole)
	if m := want["kai"]; m.Status != 1 || len(m.Leads) != 1 || m.Name != "Kai" {
		t.Fatalf("the first reading shows %+v", m)
	}
	for name, answer := range map[string]func(string) string{"limited": refused(45009), "silent": always("")} {
		t.Run(name, func(t *testing.T) {
			read, _ := newCompany(t, idsAlone(map[string]func(string) string{"archive user/list": answer})).gather(reading.Known{}, secrets.Archive, secrets.Contacts)
			_, got := after(t, known, read)
			for _, id := range []string{"kai", "mei"} {
				if got, want := fmt.Sprint(got[id]), fmt.Sprint(want[id]); got != want {
					t.Errorf("%s is %s, and was %s", id, got, want)
				}
			}
		})
	}
	t.Run("for good", func(t *testing.T) {
		read, _ := newCompany(t, idsAlone(map[string]func(string) string{"archive user/list": refused(48002), "archive user/simplelist": refused(48002)})).
			gather(reading.Known{}, secrets.Archive, secrets.Contacts)
		_, got := after(t, known, read)
		if m := got["kai"]; m.Status != directory.StatusUnknown || m.Name != "Kai" || len(m.Departments) != 1 {
			t.Errorf("what no secret may show any more is %+v", m)
		}
	})
}

// TestASecretThatShowsLessTakesNothingOfWhatAnotherShowed: three secrets are asked where the first shows ids alone.
func TestASecretThatShowsLessTakesNothingOfWhatAnotherShowed(t *testing.T) {
	for name, play := range map[string]map[string]func(string) string{
		"the later one hides": {
			"archive user/list": always(fmt.Sprintf(records, `,"mobile":"19900000001","gender":"1"`)), "customer user/list": always(fmt.Sprintf(records, "")),
		},
		"the earlier one hides": {
			"archive user/list": always(fmt.Sprintf(records, "")), "customer user/list": always(fmt.Sprintf(records, `,"mobile":"19900000001","gender":"1"`)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			play["customer department/list"] = always(oneDepartment)
			read, _ := newCompany(t, idsAlone(play)).gather(reading.Known{}, secrets.Archive, secrets.Contacts, secrets.Customer)
			for _, m := range read.Members {
				if m.Mobile != "19900000001" || !m.MobileReadable || m.Status == 0 {
					t.Errorf("%s is read as %+v", m.ID, m.Member)
				}
			}
			if o := read.Parts[directory.PartMembers]; !o.Mobile || !o.Complete || len(read.Members) != 2 {
				t.Errorf("members are said to be %+v", o)
			}
		})
	}
}

// TestWhoIsArchivedAndOnNoListStaysWhileTheLookAtHimFails: his departments say whose report has his row.
func TestWhoIsArchivedAndOnNoListStaysWhileTheLookAtHimFails(t *testing.T) {
	play := func(get func(string) string) map[string]func(string) string {
		return map[string]func(string) string{
			"department/list":               always(oneDepartment),
			"user/list":                     always(`{"errcode":0,"userlist":[]}`),
			"msgaudit/get_permit_user_list": always(`{"errcode":0,"ids":["ana","kai"]}`),
			"archive user/get":              get,
		}
	}
	ok := func(asked string) string {
		return fmt.Sprintf(`{"errcode":0,"userid":%q,"name":"N","department":[7],"status":1}`, number(t, asked, "userid"))
	}
	whole, _ := newCompany(t, play(ok)).gather(reading.Known{}, secrets.Archive, secrets.Contacts)
	known, want := after(t, nil, whole)
	for name, get := range map[string]func(string) string{"limited": refused(45009), "silent": always(""), "busy": refused(-1), "nobody's answer": always(`{"ok":true}`)} {
		t.Run(name, func(t *testing.T) {
			read, _ := newCompany(t, play(get)).gather(reading.Known{}, secrets.Archive, secrets.Contacts)
			_, got := after(t, known, read)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("they are %v, and were %v", got, want)
			}
			looks, _ := directory.Observation{Reading: read}.Looks()
			for _, l := range looks {
				if l.Part == "" {
					t.Errorf("a look that failed is kept: %+v", l)
				}
			}
		})
	}
}

// member is a member as the directory knew him before.
func member(id string, departments ...int) directory.Entry {
	return directory.Entry{Kind: directory.KindMember, ID: id, Fields: directory.Fields(directory.Member{Name: "Kai", Listed: true, Departments: departments, Status: 1, DesignatedKnown: true})}
}

// TestWhoIsMovedWhileTheListsAreReadIsNotGone: from a department that is still to be read into one that has been read, he is on no list. An hour later he would be
// told as one who joined.
func TestWhoIsMovedWhileTheListsAreReadIsNotGone(t *testing.T) {
	play := func(get func(string) string) map[string]func(string) string {
		return map[string]func(string) string{
			"department/list": always(`{"errcode":0,"department":[{"id":1,"name":"Tide","parentid":0},{"id":2,"name":"Deck","parentid":1},{"id":3,"name":"Hold","parentid":1}]}`),
			"user/list": func(asked string) string {
				if number(t, asked, "department_id") == "3" {
					return `{"errcode":60003,"errmsg":"it was dissolved, and all who were in it moved to 2"}`
				}
				return `{"errcode":0,"userlist":[]}`
			},
			"user/get":                      get,
			"msgaudit/get_permit_user_list": always(`{"errcode":0,"ids":["kai","mei"]}`),
		}
	}
	moved := func(asked string) string {
		return fmt.Sprintf(`{"errcode":0,"userid":%q,"name":"Kai","department":[2],"is_leader_in_dept":[0],"status":1}`, number(t, asked, "userid"))
	}
	for name, c := range map[string]struct {
		get      func(string) string
		via      []secrets.Kind
		complete bool
		there    bool
	}{
		"moved":                                {moved, []secrets.Kind{secrets.Contacts}, true, true},
		"moved, by the archive's secret alone": {moved, []secrets.Kind{secrets.Archive}, true, true},
		"moved, with both":                     {moved, []secrets.Kind{secrets.Archive, secrets.Contacts}, true, true},
		"deleted":                              {refused(60111), []secrets.Kind{secrets.Contacts}, true, false},
		"out of range":                         {refused(60011), []secrets.Kind{secrets.Contacts}, true, false},
		"left":                                 {always(`{"errcode":0,"userid":"kai","department":[2],"status":5}`), []secrets.Kind{secrets.Contacts}, true, false},
		"not to be asked":                      {refused(48009), []secrets.Kind{secrets.Contacts}, true, false},
		"busy":                                 {refused(-1), []secrets.Kind{secrets.Contacts}, false, true},
		"limited":                              {refused(45009), []secrets.Kind{secrets.Contacts}, false, true},
		"silent":                               {always(""), []secrets.Kind{secrets.Contacts}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			known := []directory.Entry{member("kai", 3)}
			read, kept := newCompany(t, play(c.get)).gather(reading.Known{Entries: known}, c.via...)
			if o := read.Parts[directory.PartMembers]; o.Complete != c.complete {
				t.Errorf("members are said to be %+v", o)
			}
			states, members := after(t, known, read)
			if _, there := members["kai"]; there != c.there && len(read.Designated) == 0 {
				t.Errorf("kai is there: %t", there)
			}
			if name == "moved" && fmt.Sprint(members["kai"].Departments) != "[2]" {
				t.Errorf("kai is %+v", members["kai"])
			}
			at := time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC)
			again, err := reading.Replay(t.Context(), reading.Record{Corp: "wwtide", Asked: at, Answered: at, Object: "x", Counts: directory.Counts{Parts: read.Parts}}, kept)
			if err != nil {
				t.Fatal(err)
			}
			if _, from := after(t, known, again); fmt.Sprint(from) != fmt.Sprint(members) {
				t.Errorf("read again from what was kept, members are %v, and were %v of %d entries", from, members, len(states))
			}
		})
	}
}

// TestWhoNeverWasOnTheListIsNotSought: neither who left before, nor who is archived and on no list.
func TestWhoNeverWasOnTheListIsNotSought(t *testing.T) {
	c := newCompany(t, map[string]func(string) string{
		"department/list": always(oneDepartment), "user/list": always(`{"errcode":0,"userlist":[]}`), "user/get": refused(60111),
	})
	gone, unlisted := member("kai", 1), directory.Entry{Kind: directory.KindMember, ID: "mei", Fields: directory.Fields(directory.Member{Designated: true})}
	gone.Gone = true
	c.gather(reading.Known{Entries: []directory.Entry{gone, unlisted}}, secrets.Contacts)
	if n := c.asked(secrets.Contacts, "user/get"); n != 0 {
		t.Errorf("%d members were looked at alone", n)
	}
}
