package wecom_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// app gives the corp an app that sees department 2 alone, and returns its tokens.
func (s *simulated) app() *wecom.Tokens {
	s.Helper()
	app := wecomsim.Secret{Kind: wecomsim.KindNewApp, Value: "app-secret", Agent: 1000007, Departments: []int{2}}
	if _, err := s.control.ChangeCorp(s.Context(), wecomsim.ChangeCorp{Corp: "wwconsent", Secret: &app}); err != nil {
		s.Fatal(err)
	}
	return s.client.Tokens("wwconsent", func(context.Context) (string, error) { return app.Value, nil })
}

func (s *simulated) written() []wecomsim.Written {
	s.Helper()
	list, err := s.control.Written(s.Context(), "wwconsent")
	if err != nil {
		s.Fatal(err)
	}
	return list
}

func TestATextIsShownOnceToTheMemberHoweverOftenItIsSent(t *testing.T) {
	s := newSimulated(t)
	app := s.app()
	long := strings.Repeat("海", wecom.MostAppText/3)
	first, err := app.SendText(t.Context(), wecom.AppText{Agent: 1000007, To: "Ren", Text: long})
	if err != nil || first == "" {
		t.Fatalf("%q, %v", first, err)
	}
	for range 2 {
		if again, err := app.SendText(t.Context(), wecom.AppText{Agent: 1000007, To: "Ren", Text: long}); err != nil || again != first {
			t.Errorf("%q after %q, %v", again, first, err)
		}
	}
	if _, err := app.SendText(t.Context(), wecom.AppText{Agent: 1000007, To: "Ren", Text: "another"}); err != nil {
		t.Error(err)
	}
	all := s.written()
	if len(all) != 2 || all[0].Text != long || all[0].Cut || all[0].To != "Ren" || all[0].Agent != 1000007 || all[0].Again != 2 || all[1].Text != "another" {
		t.Errorf("%+v", all)
	}
}

func TestWhomAnAppMayNotWriteToIsSaidWithTheReason(t *testing.T) {
	s := newSimulated(t)
	app := s.app()
	if err := s.control.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: "wwconsent", Members: []wecomsim.Member{
		{UserID: "Poor", Name: "P", Department: []int{3}, Status: 1, Unlicensed: true}}}); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		to    archive.PartyID
		agent int
		is    error
		code  int
	}{
		{"song", 1000007, wecom.ErrNotInRange, 81013}, {"nobody", 1000007, wecom.ErrNotInRange, 81013}, {"poor", 1000007, wecom.ErrUnlicensed, 81013},
		{"Ren", 1000008, nil, 301002}, {"Ren", 0, nil, 40056}, {"@all", 1000007, nil, 0}, {"Ren|song", 1000007, nil, 0}, {"", 1000007, nil, 0},
	} {
		_, err := app.SendText(t.Context(), wecom.AppText{Agent: x.agent, To: x.to, Text: "t"})
		if err == nil || !wecom.NotSent(err) || wecom.CodeOf(err) != x.code || x.is != nil && !errors.Is(err, x.is) || wecom.WrongAgent(err) != slices.Contains([]int{301002, 40056}, x.code) {
			t.Errorf("%q by %d: %v", x.to, x.agent, err)
		}
	}
	for _, text := range []string{"", strings.Repeat("x", wecom.MostAppText+1)} {
		if _, err := app.SendText(t.Context(), wecom.AppText{Agent: 1000007, To: "Ren", Text: text}); err == nil || !wecom.NotSent(err) {
			t.Errorf("a text of %d bytes: %v", len(text), err)
		}
	}
	if all := s.written(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	name, err := wecom.NewReader(app, 0, nil).Agent(t.Context(), 1000007)
	if err != nil || name == "" {
		t.Errorf("%q, %v", name, err)
	}
	if _, err := wecom.NewReader(app, 0, nil).Agent(t.Context(), 5); !wecom.WrongAgent(err) {
		t.Errorf("another app's id: %v", err)
	}
}

func TestOnlyARefusalMeansThatNothingWasSent(t *testing.T) {
	s := newSimulated(t)
	app := s.app()
	if _, err := app.Token(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		fault   wecomsim.Fault
		certain bool
		shown   int
	}{
		{wecomsim.Fault{Kind: wecomsim.FaultClose}, false, 0}, {wecomsim.Fault{Kind: wecomsim.FaultCut}, false, 1}, {wecomsim.Fault{Kind: wecomsim.FaultReset}, false, 1},
		{wecomsim.Fault{Kind: wecomsim.FaultCode, ErrCode: 45009}, true, 0}, {wecomsim.Fault{Kind: wecomsim.FaultCode, ErrCode: -1}, false, 0},
		{wecomsim.Fault{Kind: wecomsim.FaultCode, ErrCode: 60020}, true, 0},
	} {
		before := len(s.written())
		x.fault.API, x.fault.Times = "message/send", 1
		if err := s.control.Call(t.Context(), http.MethodPost, "/sim/fault", x.fault, nil); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%s %d %d", x.fault.Kind, x.fault.ErrCode, before)
		_, err := app.SendText(t.Context(), wecom.AppText{Agent: 1000007, To: "Ren", Text: text})
		if err == nil || wecom.NotSent(err) != x.certain {
			t.Errorf("%+v: %v", x.fault, err)
		}
		if got := len(s.written()) - before; got != x.shown {
			t.Errorf("%+v: %d are shown", x.fault, got)
		}
		if _, err := app.SendText(t.Context(), wecom.AppText{Agent: 1000007, To: "Ren", Text: text}); err != nil {
			t.Errorf("%+v, again: %v", x.fault, err)
		}
		if got := len(s.written()) - before; got != 1 {
			t.Errorf("%+v: %d are shown after it was sent again", x.fault, got)
		}
	}
}

// FuzzSent: whatever WeCom answers, a message counts as sent only where the answer's errcode is 0 and does not name the member, and nothing of the answer gets
// into the error.
func FuzzSent(f *testing.F) {
	for _, seed := range []string{
		`{"errcode":0,"errmsg":"ok","invaliduser":"","msgid":"m1"}`, `{"errcode":0,"invaliduser":"lin|wu"}`, `{"errcode":0,"unlicenseduser":"LIN"}`, `{"errcode":0,"invaliduser":["lin"]}`,
		`{"errcode":81013,"errmsg":"all invalid","invaliduser":"lin"}`, `{"errcode":81013,"unlicenseduser":"lin"}`, `{"errcode":301002}`, `{"errcode":-1}`, `{"errcode":0,"msgid":7}`,
		`{"errcode":0,"invaliduser":null,"msgid":null}`, `{`, ``, `[]`, `{"errcode":"0"}`,
	} {
		f.Add(200, seed)
	}
	f.Add(502, `{"errcode":0}`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		a := &answers{token: token, text: text, status: status}
		c := wecom.New("https://wecom.example", &http.Client{Transport: a}, func() time.Time { return time.Unix(1930000000, 0) })
		tokens := c.Tokens("wwtide", func(context.Context) (string, error) { return "s0", nil })
		id, err := tokens.SendText(t.Context(), wecom.AppText{Agent: 1, To: "lin", Text: "t"})
		if err == nil && status != 200 {
			t.Error("sent, by a server in trouble")
		}
		if err != nil && (id != "" || len(err.Error()) > 300) {
			t.Errorf("%q, %v", id, err)
		}
		if (errors.Is(err, wecom.ErrNotInRange) || errors.Is(err, wecom.ErrUnlicensed)) && !wecom.NotSent(err) {
			t.Errorf("refused for the member, and perhaps sent: %v", err)
		}
		if a.calls > 4 {
			t.Errorf("%d requests", a.calls)
		}
	})
}
