package main

import (
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/ledger"
)

// The alarm about dead receivers sends people to doctor, whoever of the receivers it is.
func TestDoctorNamesEveryReceiverWhomNoMailReachesAndHowToGiveAnotherAddress(t *testing.T) {
	s := newShell(t)
	text, err := s.do("add", "-address", "lin@tide.example", "-department", "2", "-reports", "R1")
	s.OK(err)
	_, err = s.do("settings", "-operations", "ops@tide.example", "-control", "control@tide.example")
	s.OK(err)
	company := func() ledger.Corp {
		c, err := s.ledger.Corp(t.Context(), tide)
		s.OK(err)
		return c
	}
	said := func() []examination {
		d := &doctor{program: s.program}
		s.OK(d.mails(t.Context(), company()))
		return d.found
	}
	if all := said(); len(all) != 1 || all[0].State != green || all[0].Found != "1 account admin, 4 other receivers" {
		t.Errorf("all are well: %+v", all)
	}
	suppress := func(address string) {
		_, err := s.ledger.Suppress(t.Context(), ledger.Suppression{Corp: tide, Address: address, Reason: ledger.Bounced, Detail: "permanent-general", Since: noon})
		s.OK(err)
	}
	suppress("nobody@tide.example") // no receiver any more
	if all := said(); len(all) != 1 || all[0].State != green {
		t.Errorf("an address that concerns nobody: %+v", all)
	}
	want := map[string]string{
		"a***@tide.example": "vaultctl corps set -corp wwtide -report-to", "l***@tide.example": "vaultctl receivers change -corp wwtide -id " + strings.Fields(text)[1] + " -address ADDRESS",
		"y***@tide.example": "vaultctl receivers change -corp wwtide -id h-yu -address ADDRESS", "o***@tide.example": "vaultctl receivers settings -corp wwtide -operations ADDRESS",
		"c***@tide.example": "vaultctl receivers settings -corp wwtide -control ADDRESS",
	}
	for _, address := range []string{"admin", "lin", "yu", "ops", "control"} {
		suppress(address + "@tide.example")
	}
	for _, e := range said() {
		address, _, _ := strings.Cut(e.Found, " ")
		if e.State != toDo || want[address] == "" || !strings.Contains(e.Do, want[address]) || !strings.Contains(e.Do, "vaultctl receivers lift -corp wwtide") {
			t.Errorf("%+v", e)
		}
		delete(want, address)
	}
	if len(want) > 0 {
		t.Errorf("not named: %v", want)
	}
}
