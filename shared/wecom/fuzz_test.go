package wecom_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// answers gives every call but that for a token the same answer. It goes without a network, so that a fuzz target gets far.
type answers struct {
	token, text string
	status      int
	calls       int
}

func (a *answers) RoundTrip(q *http.Request) (*http.Response, error) {
	a.calls++
	text, status := a.text, a.status
	if strings.HasSuffix(q.URL.Path, "/gettoken") {
		text, status = a.token, http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: q}, nil
}

// reading is one call of the Reader. It returns every time that the answer gave.
type reading func(ctx context.Context, r *wecom.Reader) ([]time.Time, error)

func changes(list []wecom.Agreement) []time.Time {
	var all []time.Time
	for _, a := range list {
		all = append(all, a.Changed)
	}
	return all
}

func readings() []reading {
	ids := []archive.PartyID{"lin"}
	return []reading{
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			_, _, err := r.Departments(ctx)
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			list, _, err := r.MembersOf(ctx, 1)
			wecom.ShowsSensitive(list)
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			_, err := r.MemberIDs(ctx)
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			m, err := r.Member(ctx, "lin")
			if m.ID == "" {
				err = errors.New("broken: a member without an id")
			}
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			_, err := r.FollowUsers(ctx)
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			_, _, err := r.ExternalsOf(ctx, ids)
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			_, err := r.GroupChats(ctx, ids)
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			room, err := r.GroupChat(ctx, "wr1")
			return []time.Time{room.Created}, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			room, err := r.AuditRoom(ctx, "wr1")
			return []time.Time{room.Created}, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			_, err := r.Permitted(ctx, wecom.OfficeEdition)
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			_, err := r.Robot(ctx, "wb1")
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			_, _, err := r.Department(ctx, 2)
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			x, _, err := r.External(ctx, "wm1")
			if x.ID == "" {
				err = errors.New("broken: an external contact without an id")
			}
			return nil, err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			pairs := []wecom.Pair{{Member: "lin", External: "wm1"}, {Member: "wu", External: "wm1"}, {Member: "lin", External: "wm2"}}
			list, missing, err := r.SingleAgreements(ctx, pairs)
			if err == nil && len(list)+len(missing) != len(pairs) {
				err = errors.New("broken: a pair is neither answered nor missing")
			}
			return changes(list), err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			list, err := r.RoomAgreements(ctx, "wr1")
			return changes(list), err
		},
		func(ctx context.Context, r *wecom.Reader) ([]time.Time, error) {
			_, err := r.Agent(ctx, 1000007)
			return nil, err
		},
	}
}

const token = `{"errcode":0,"errmsg":"ok","access_token":"t0","expires_in":7200}`

// FuzzAnswer: whatever stands in an answer, each call comes to an end after few requests, its error says nothing of the answer's words, and what
// it returns can be kept: a time beyond the year 9999 is none that JSON has.
func FuzzAnswer(f *testing.F) {
	all := readings()
	for i, seed := range []string{
		`{"errcode":0,"department":[{"id":2,"parentid":1,"order":9,"name":"Desk","department_leader":["lin"]}]}`,
		`{"errcode":0,"userlist":[{"userid":"lin","department":[1,2],"is_leader_in_dept":[1,0],"mobile":"","gender":"1"}]}`,
		`{"errcode":0,"next_cursor":"c1","dept_user":[{"userid":"lin","department":1}]}`,
		`{"errcode":0,"userid":"lin","mobile":null,"status":1}`,
		`{"errcode":0,"follow_user":["lin"]}`,
		`{"errcode":0,"next_cursor":"","external_contact_list":[{"external_contact":{"external_userid":"wm1","type":2},"follow_info":{"userid":"lin"}}],"fail_info":{"unlicensed_userid_list":["wu"]}}`,
		`{"errcode":0,"group_chat_list":[{"chat_id":"wr1"}],"next_cursor":"x"}`,
		`{"errcode":0,"group_chat":{"name":"n","owner":"lin","create_time":1760000000,"member_list":[{"userid":"wm1","type":2,"unionid":"o"}]}}`,
		`{"errcode":0,"roomname":"n","creator":"lin","room_create_time":1760000000000000,"members":[{"memberid":"lin"}]}`,
		`{"errcode":0,"ids":["lin"]}`,
		`{"errcode":0,"data":{"robot_id":"wb1","name":"n","creator_userid":"lin"}}`,
		`{"errcode":0,"department":{"id":2,"parentid":1,"order":9,"name":"Desk"}}`,
		`{"errcode":0,"external_contact":{"external_userid":"wm1","type":1},"follow_user":[{"userid":"lin"}],"next_cursor":"c"}`,
		`{"errcode":0,"agreeinfo":[{"status_change_time":1760000000000000,"userid":"LIN","exteranalopenid":"wm1","agree_status":"Agree"}]}`,
		`{"errcode":0,"agreeinfo":[{"status_change_time":1760000000,"exteranalopenid":"wm1","agree_status":"Disagree"},{}]}`,
	} {
		f.Add(uint8(i), 200, seed)
	}
	for i, seed := range []string{`{"errcode":60111,"errmsg":"no such user"}`, `{"errcode":48002}`, `{"errcode":"0"}`, `{"errcode":1e99}`, `[]`, `null`, `<html>`, ``, `{"errcode":-1}`, `{"errcode":42001}`, `{"errcode":301061}`,
		`{"userlist":{"userid":7}}`} {
		f.Add(uint8(i), 200, seed)
		f.Add(uint8(i), 502, seed)
	}
	for i := range all {
		f.Add(uint8(i), 200, `{"errcode":0}`)
	}
	f.Fuzz(func(t *testing.T, which uint8, status int, text string) {
		if len(text) > 1<<12 {
			t.Skip("longer texts show nothing new")
		}
		a := &answers{token: token, text: text, status: status}
		now := time.Unix(1930000000, 0)
		c := wecom.New("https://wecom.example", &http.Client{Transport: a}, func() time.Time { return now })
		kept := 0
		r := wecom.NewReader(c.Tokens("wwtide", func(context.Context) (string, error) { return "s0", nil }), 0, func(wecom.Answer) { kept++ })
		times, err := all[int(which)%len(all)](t.Context(), r)
		if err != nil && strings.HasPrefix(err.Error(), "broken: ") {
			t.Error(err)
		}
		if a.calls > 30 || kept > a.calls {
			t.Errorf("%d requests, %d answers kept", a.calls, kept)
		}
		if err != nil && (strings.Contains(err.Error(), "id\":") || len(err.Error()) > 200) {
			t.Errorf("the error speaks of the answer: %v", err)
		}
		for _, at := range times {
			if _, err := json.Marshal(at); err != nil {
				t.Errorf("a time that can't be kept: %v", err)
			}
		}
	})
}

// FuzzToken: whatever WeCom answers to the question for a token, one that is given out is not empty and is asked for anew within a day.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{token, `{"errcode":0,"access_token":"t0","expires_in":9223372037}`, `{"errcode":0,"access_token":"t0","expires_in":-5}`, `{"errcode":0}`,
		`{"errcode":40001,"errmsg":"invalid credential"}`, `{"access_token":["t0"]}`, `{"errcode":0,"access_token":"t0","expires_in":20000000000}`, `{`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := &answers{token: text, status: http.StatusOK}
		now := time.Unix(1930000000, 0)
		c := wecom.New("https://wecom.example", &http.Client{Transport: a}, func() time.Time { return now })
		tokens := c.Tokens("wwtide", func(context.Context) (string, error) { return "s0", nil })
		got, err := tokens.Token(t.Context(), false)
		if (got == "") != (err != nil) {
			t.Fatalf("%q with %v", got, err)
		}
		if err != nil {
			return
		}
		now = now.Add(24 * time.Hour)
		if _, err := tokens.Token(t.Context(), false); err != nil || a.calls != 2 {
			t.Errorf("a day later the same token is given out: %d requests, %v", a.calls, err)
		}
	})
}
