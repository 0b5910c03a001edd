package main

import (
	"slices"
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

// One that somebody is just sending keeps none of the others from being settled.
func TestAMailThatIsBeingSentKeepsNoOtherFromBeingSettled(t *testing.T) {
	s := newShell(t)
	var all []ledger.MailRow
	for _, to := range []string{"lin@tide.example", "yan@tide.example", "zoe@tide.example"} {
		m := ledger.MailRow{Corp: tide, Day: "2031-05-07", Report: "R1", To: to, Object: "o", Version: "v", At: noon}
		s.OK(s.ledger.PlanMail(t.Context(), m))
		s.OK(s.ledger.GiveUpMail(t.Context(), m, noon, noon))
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b ledger.MailRow) int { return strings.Compare(a.Key(), b.Key()) })
	if _, _, err := s.ledger.TookMail(t.Context(), tide, all[0].Key(), "ses-1", noon); err != nil { // SES says so late
		t.Fatal(err)
	}
	text, err := s.do("unsent", "-send", "all")
	if err == nil || !strings.Contains(err.Error(), all[0].Key()) || !strings.Contains(err.Error(), "vaultctl receivers mails") || !strings.HasPrefix(text, "2 to be sent") {
		t.Errorf("%q, %v", text, err)
	}
	for i, want := range []string{ledger.MailSent, ledger.MailPlanned, ledger.MailPlanned} {
		if m, err := s.ledger.Mail(t.Context(), tide, all[i].Key()); err != nil || m.State != want {
			t.Errorf("%s is %s, %v", m.Key(), m.State, err)
		}
	}
}

func TestAMessageInWeComThatWasGivenUpIsAcknowledgedAndNeverSentStill(t *testing.T) {
	s := newShell(t)
	m := ledger.MailRow{Corp: tide, Day: "2031-05-07", Report: "R2", To: "lin@tide.example", Object: "o", Version: "v", At: noon}
	s.OK(s.ledger.PlanMail(t.Context(), m))
	s.OK(s.ledger.GiveUpMail(t.Context(), m, noon, noon))
	told := ledger.Telling{Corp: tide, Day: "2031-05-07", Report: "R2", To: "lin", Text: "t", At: noon}
	s.OK(s.ledger.PlanTelling(t.Context(), told))
	s.OK(s.ledger.GiveUpTelling(t.Context(), told, noon, noon))
	const key = "2031-05-07#R2#wecom#lin"
	text, err := s.do("unsent")
	if err != nil || !strings.Contains(text, `"in_wecom":true,"mail":"`+key+`","reason":"not-sent-in-time","report":"R2","to":"lin"`) || strings.Count(text, "\n") != 2 {
		t.Errorf("listed: %q: %v", text, err)
	}
	if _, err := s.do("unsent", "-send", key); err == nil || !strings.Contains(err.Error(), "-acknowledge "+key) {
		t.Errorf("it is to be sent still: %v", err)
	}
	if text, err := s.do("unsent", "-send", "all"); err != nil || !strings.Contains(text, "not sent days later: 1; acknowledge") || !strings.Contains(text, "1 to be sent within") {
		t.Errorf("all are to be sent still: %q: %v", text, err)
	}
	_, err = s.do("unsent", "-acknowledge", key)
	s.OK(err)
	row, err := s.ledger.TellingOf(t.Context(), tide, told.Key())
	s.OK(err)
	if text, err := s.do("unsent"); err != nil || strings.Contains(text, key) || !strings.Contains(text, m.Key()) || row.State != ledger.MailGivenUp {
		t.Errorf("acknowledged: %q, %+v: %v", text, row, err)
	}
}
