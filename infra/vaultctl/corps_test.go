package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

// T16: an alert that nobody gets is none: a company has an address for alerts from the first command on.
func TestACompanyHasAnAddressForUrgentAlertsFromTheBeginningAndKeepsOne(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	file := filepath.Join(t.TempDir(), "secret")
	r.OK(os.WriteFile(file, []byte("word"), 0o600))
	var out bytes.Buffer
	p := &program{out: &out, log: io.Discard, actor: "test", ledger: r.Ledger(r.Config(rig.Operator)), vault: r.Secrets(r.Config(rig.Operator))}
	for _, args := range [][]string{{}, {"-report-to", ""}, {"-report-to", " , "}} {
		err := corps(t.Context(), p, append([]string{"add", "-corp", string(tide), "-secret-file", file}, args...))
		if err == nil || !strings.Contains(err.Error(), "urgent alerts") {
			t.Errorf("added with %q: %v", args, err)
		}
		if _, err := p.ledger.Corp(t.Context(), tide); !errors.Is(err, ledger.ErrAbsent) {
			t.Fatalf("it is there: %v", err)
		}
	}
	r.OK(corps(t.Context(), p, []string{"add", "-corp", string(tide), "-secret-file", file, "-report-to", "en:admin@tide.example"}))
	for _, to := range []string{"", ",", " "} {
		if err := corps(t.Context(), p, []string{"set", "-corp", string(tide), "-report-to", to}); err == nil || !strings.Contains(err.Error(), "urgent alerts") {
			t.Errorf("the last one is taken away by %q: %v", to, err)
		}
	}
	c, err := p.ledger.Corp(t.Context(), tide)
	r.OK(err)
	if len(c.ReportTo) != 1 || c.ReportTo[0].Address != "admin@tide.example" {
		t.Errorf("%+v", c.ReportTo)
	}
}

// What the API refuses of account admins is refused here too: who can't be mailed hears of no trouble. Who stays keeps the language that was chosen.
func TestAccountAdminsAreEnteredAsTheAPIWouldTakeThem(t *testing.T) {
	s := newShell(t)
	set := func(args ...string) error {
		return corps(t.Context(), s.program, append([]string{"set", "-corp", string(tide)}, args...))
	}
	admins := func() string {
		c, err := s.ledger.Corp(t.Context(), tide)
		s.OK(err)
		return fmt.Sprint(c.ReportTo)
	}
	s.OK(set("-report-to", "zh:one@tide.example,en:Two@Tide.example"))
	before := admins()
	for _, to := range []string{"one@tide", "ebbe.flü@tide.example", "one@tide.example,ONE@tide.example", "one..more@tide.example"} {
		if err := set("-report-to", to); err == nil || !strings.HasPrefix(err.Error(), "-report-to: ") || admins() != before {
			t.Errorf("%s: %v, %s", to, err, admins())
		}
	}
	_, err := s.do("settings", "-admin", "two@tide.example", "-admin-name", "Two", "-admin-reports", "R7,R1")
	s.OK(err)
	s.OK(set("-report-to", "one@tide.example,two@tide.example,new@tide.example"))
	if got, want := admins(), "[{ one@tide.example zh } {Two two@tide.example en R1,R7} { new@tide.example zh }]"; got != want {
		t.Errorf("who stays is %s, want %s", got, want)
	}
	s.OK(set("-lang", "en"))
	if got := admins(); strings.Contains(got, "zh") {
		t.Errorf("a language for all: %s", got)
	}
	for _, bad := range [][]string{nil, {"-name", ""}, {"-name", "two\nlines"}} {
		if err := set(bad...); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestAnAccountAdminIsChangedFromTheShell(t *testing.T) {
	s := newShell(t)
	text, err := s.do("settings", "-admin", "Admin@tide.example", "-admin-name", "Ada", "-admin-lang", "zh", "-admin-reports", "none")
	s.OK(err)
	if !strings.Contains(text, `"account_admins":[{"name":"Ada","address":"admin@tide.example","language":"zh","reports":[]}]`) {
		t.Error(text)
	}
	text, err = s.do("settings", "-admin", "admin@tide.example", "-admin-reports", "default")
	s.OK(err)
	if !strings.Contains(text, `"language":"zh","reports":null}]`) {
		t.Error(text)
	}
	for want, args := range map[string][]string{
		"goes with": {"-admin", "admin@tide.example"}, "-admin ADDRESS": {"-admin-name", "x"}, "corps set": {"-admin", "other@tide.example", "-admin-name", "x"},
		"no such report": {"-admin", "admin@tide.example", "-admin-reports", "R99"}, "not written in that language": {"-admin", "admin@tide.example", "-admin-lang", "fr"},
	} {
		if _, err := s.do(append([]string{"settings"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// Who is told of a command by an error, the guide or a colleague finds it in the usage.
func TestTheUsageHasEveryCommand(t *testing.T) {
	for _, group := range []string{"corps", "callbacks", "keys", "receivers", "people", "rooms"} {
		i := slices.IndexFunc(commands(), func(c command) bool { return c.name == group })
		err := commands()[i].run(t.Context(), nil, nil)
		if err == nil {
			t.Fatalf("vaultctl %s alone does something", group)
		}
		words := strings.FieldsFunc(strings.TrimPrefix(err.Error(), group+": "), func(r rune) bool { return strings.ContainsRune(" ,?", r) })
		for _, word := range words {
			if word != "or" && !strings.Contains(commands()[i].usage, word+" -corp") && !strings.Contains(commands()[i].usage, group+" "+word) {
				t.Errorf("the usage of vaultctl %s has no %s", group, word)
			}
		}
	}
}

func TestWhoAskedForTheAddressesOfAccountAdminsIsInTheAuditStream(t *testing.T) {
	s := newShell(t)
	s.OK(corps(t.Context(), s.program, []string{"list"}))
	rows := s.Rows("AuditTable")
	if len(rows) != 1 || !strings.Contains(s.out.String(), "admin@tide.example") {
		t.Errorf("%v\n%s", rows, s.out.String())
	}
	for _, row := range rows {
		if !strings.Contains(row, "action=corps list actor=test") || strings.Contains(row, "@") {
			t.Error(row)
		}
	}
}

func TestACompanyIsNotAddedByAnIDThatWasPastedWithSomething(t *testing.T) {
	s := newShell(t)
	for _, id := range []string{"wwtide ", " wwtide", "wwtide\n", "ww\ttide", "wwtide\u200b"} {
		var usage *usageError
		if err := corps(t.Context(), s.program, []string{"add", "-corp", id, "-secret-file", "none", "-report-to", "a@tide.example"}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "My Company") {
			t.Errorf("%q: %v", id, err)
		}
	}
}
