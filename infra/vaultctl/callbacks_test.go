package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/callback"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

func TestCallbackIsKeptOnlyAsWeComsConsoleMakesIt(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	var out bytes.Buffer
	c := r.Config(rig.Operator)
	p := &program{out: &out, log: io.Discard, actor: "test", ledger: r.Ledger(c), vault: r.Secrets(c), where: settings{Callbacks: "https://api.tide.example/"}}
	ctx := t.Context()
	r.OK(p.ledger.PutCorp(ctx, ledger.Corp{ID: tide, Added: noon}))
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		r.OK(os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	token, key := file("TokenFromTheConsole\n"), file(strings.Repeat("k", 42)+"A\n")
	for name, args := range map[string][]string{
		"no kind":         {"set", "-corp", string(tide), "-token-file", token, "-key-file", key},
		"another kind":    {"set", "-corp", string(tide), "-kind", "key", "-token-file", token, "-key-file", key},
		"the wrong way":   {"set", "-corp", string(tide), "-kind", "contacts", "-token-file", key, "-key-file", token},
		"no such corp":    {"set", "-corp", "nobody", "-kind", "contacts", "-token-file", token, "-key-file", key},
		"an empty file":   {"set", "-corp", string(tide), "-kind", "contacts", "-token-file", file(""), "-key-file", key},
		"no such command": {"take"},
	} {
		err := callbacks(ctx, p, args)
		if err == nil || strings.Contains(err.Error(), "TokenFrom") || strings.Contains(err.Error(), "kkkk") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.vault.Callback(ctx, tide, secrets.Contacts); !errors.Is(err, secrets.ErrAbsent) {
		t.Errorf("something is kept: %v", err)
	}
	if audit := r.Rows("AuditTable"); len(audit) != 0 {
		t.Errorf("nothing was done, and the audit says %v", audit)
	}
	r.OK(callbacks(ctx, p, []string{"set", "-corp", string(tide), "-kind", "contacts", "-token-file", token, "-key-file", key}))
	held, err := p.vault.Callback(ctx, tide, secrets.Contacts)
	r.OK(err)
	if _, err := callback.New(tide, held.Token.Reveal(), held.AESKey.Reveal()); err != nil || held.Token.Reveal() != "TokenFromTheConsole" {
		t.Errorf("kept: %v", err)
	}
	if !strings.Contains(out.String(), "https://api.tide.example/callback/"+string(tide)+"/contacts\n") {
		t.Errorf("it says %s", out.String())
	}
	out.Reset()
	r.OK(callbacks(ctx, p, []string{"list", "-corp", string(tide)}))
	if got := out.String(); strings.Count(got, `"held":true`) != 1 || strings.Count(got, "\n") != 3 || strings.Contains(got, "TokenFrom") {
		t.Errorf("it lists %s", got)
	}
	if audit := r.Rows("AuditTable"); len(audit) != 1 || strings.Contains(strings.Join([]string{out.String()}, ""), "kkkk") {
		t.Errorf("audit: %v", audit)
	}
}
