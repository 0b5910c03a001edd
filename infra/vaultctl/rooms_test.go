package main

import (
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// T13: the same from the shell.
func TestAGroupIsNamedFromTheShell(t *testing.T) {
	s := newShell(t)
	s.OK(s.ledger.PutMessages(t.Context(), "b", []archive.Message{{Corp: tide, Seq: 1, MsgID: "m1", Room: "wr-pier", From: "yu", To: []archive.PartyID{"wo-ext"}, Time: noon, Type: "text",
		Action: archive.Send, Known: true}}, &ledger.People{}))
	do := func(args ...string) (string, error) {
		s.out.Reset()
		err := rooms(t.Context(), s.program, append([]string{args[0], "-corp", string(tide)}, args[1:]...))
		return s.out.String(), err
	}
	for _, step := range []struct {
		args []string
		want string // of what is printed, or of the error
	}{
		{[]string{"name", "-room", "wr-pier"}, `"name":"","wecom_name":"","entered_name":"","history":[],"rev":0`},
		{[]string{"name", "-room", "wr-pier", "-name", " Pier  divers "}, `"name":"Pier divers"`},
		{[]string{"name", "-room", "wr-pier", "-name", "x", "-rev", "0"}, "changed by somebody else meanwhile: look at it again with vaultctl rooms name"},
		{[]string{"name", "-room", "wr-pier", "-name", " "}, "it is empty"},
		{[]string{"name", "-room", "wr-none", "-name", "x"}, "ever named a room"},
		{[]string{"name", "-name", "x"}, "-room ROOMID is needed"},
		{[]string{"names"}, `{"room":"wr-pier","name":"Pier divers","by":"test",`},
		{[]string{"name", "-room", "wr-pier", "-remove", "-rev", "1"}, `"entered_name":"","history":[{"name":"Pier divers"`},
		{[]string{"name", "-room", "wr-pier", "-remove"}, "no name is entered"},
	} {
		text, err := do(step.args...)
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, step.want) {
			t.Errorf("%q: %s", step.args, text)
		}
	}
	if text, err := do("names"); err != nil || text != "" {
		t.Errorf("%s %v", text, err)
	}
}
