package main

import (
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

func TestAMailThatWasGivenUpIsSentStillOrAcknowledged(t *testing.T) {
	s := newShell(t)
	m := ledger.MailRow{Corp: tide, Day: "2031-05-07", Report: "R1", To: "lin@tide.example", Object: "o", Version: "v", At: noon}
	s.OK(s.ledger.PlanMail(t.Context(), m))
	s.OK(s.ledger.GiveUpMail(t.Context(), m, noon, noon))
	listed := func(want string) {
		t.Helper()
		text, err := s.do("unsent")
		if err != nil || want == "" && text != "" || !strings.Contains(text, want) {
			t.Errorf("listed: %q: %v", text, err)
		}
	}
	state := func(want string) {
		t.Helper()
		m, err := s.ledger.Mail(t.Context(), tide, m.Key())
		if err != nil || m.State != want {
			t.Errorf("the mail is %q, want %q: %v", m.State, want, err)
		}
	}
	listed(`"mail":"` + m.Key() + `","reason":"not-sent-in-time","report":"R1","to":"lin@tide.example","to_be_sent":false`)
	if text, err := s.do("mails"); err != nil || !strings.Contains(text, `"state":"given-up","reason":"not-sent-in-time"`) {
		t.Errorf("among all mails: %q: %v", text, err)
	}
	for _, bad := range [][]string{{"unsent", "-send", "2031-05-07#R1#0"}, {"unsent", "-send", "all", "-acknowledge", "all"}} {
		if _, err := s.do(bad...); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	_, err := s.do("unsent", "-send", m.Key())
	s.OK(err)
	state(ledger.MailPlanned)
	listed(`"to_be_sent":true`)
	_, err = s.do("unsent", "-acknowledge", "all")
	s.OK(err)
	state(ledger.MailGivenUp)
	listed("")
}
