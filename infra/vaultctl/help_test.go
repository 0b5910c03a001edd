package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whoever asks how a command is called has no archive at hand, and needs none.
func TestHelpIsGivenWithoutAnArchive(t *testing.T) {
	t.Setenv("CONTROL_TABLE", "")
	for _, c := range []struct {
		args string
		want []string
	}{
		{"-h", []string{"usage: vaultctl COMMAND", "\n  doctor ", "test everything that can be tested"}},
		{"--help", []string{"\n  receivers "}},
		{"help", []string{"\n  rebuild "}},
		{"keys -h", []string{"vaultctl keys list -corp ID\nvaultctl keys new -corp ID [-ver N]\nvaultctl keys add -corp ID -ver N -file FILE.pem [-wait]\n    private keys by version\n"}},
		{"help keys new", []string{"vaultctl keys new -corp ID [-ver N]\n    private keys by version\n"}},
		{"rooms -h", []string{"[-name NAME | -remove] [-rev N]\nvaultctl rooms names -corp ID\n"}},
		{"rebuild -h", []string{"vaultctl rebuild -corp ID", "\nvaultctl rebuild consent [-corp ID] [-mend]\n"}},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), strings.Fields(c.args), &out, io.Discard); err != nil {
			t.Errorf("vaultctl %s: %v", c.args, err)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("vaultctl %s lacks %q:\n%s", c.args, want, out.String())
			}
		}
	}
}

// A second word that a command takes is in its usage: what is not there nobody finds.
func TestEveryWayToCallACommandIsInItsUsage(t *testing.T) {
	for _, c := range commands() {
		err := c.run(t.Context(), &program{out: io.Discard, log: io.Discard}, []string{"no-such-word", "-no-such-flag"})
		_, list, several := strings.Cut(err.Error(), ": ")
		if !several || !strings.Contains(list, `not "no-such-word"`) {
			continue // it has no second words
		}
		for _, word := range strings.FieldsFunc(strings.TrimSuffix(list, `, not "no-such-word"`), func(r rune) bool { return r == ',' || r == ' ' }) {
			if help := c.help(word); word != "or" && !slices.ContainsFunc(strings.Split(help, "\n"), func(line string) bool { return strings.HasPrefix(line+" ", "vaultctl "+c.name+" "+word+" ") }) {
				t.Errorf("vaultctl %s -h does not have %s:\n%s", c.name, word, help)
			}
		}
		for _, line := range strings.Split(c.help(""), "\n") {
			if strings.HasPrefix(line, " ") && utf8.RuneCountInString(line) > 100 {
				t.Errorf("%d characters: %s", utf8.RuneCountInString(line), line)
			}
		}
	}
}
