package main_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"
)

func TestCtlBeginsACompanyAndItsKeys(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	dir := t.TempDir()
	const corp, secret = "wwbegun", "a-secret-that-nobody-may-see"
	file := write(t, filepath.Join(dir, "secret"), []byte(secret+"\n"))
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := write(t, filepath.Join(dir, "7.pem"), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(own)}))
	do := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, log bytes.Buffer
		cmd := ctl(t, append([]string{"-data", k.data}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &log
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Fatalf("ctl %q: exit %d, want %d: %s", args, got, want, log.String())
		}
		if said := out.String() + log.String(); strings.Contains(said, secret) || strings.Contains(said, "PRIVATE KEY") {
			t.Errorf("ctl %q shows what is secret:\n%s", args, said)
		}
		return out.String(), log.String()
	}
	do(2, "corps", "add", "-corp", corp)
	_, log := do(2, "corps", "add", "-corp", corp, "-secret-file", file)
	wantSaid(t, log, "-report-to ADDRESS,… is needed", "urgent alerts")
	_, log = do(1, "corps", "add", "-corp", corp, "-secret-file", file, "-report-to", "compliance at bank")
	wantSaid(t, log, "compliance at bank", "no mail address")
	do(0, "corps", "add", "-corp", corp, "-secret-file", file, "-name", "开始 Begun", "-report-to", "first@bank.example")
	_, log = do(1, "corps", "add", "-corp", corp, "-secret-file", file, "-report-to", "first@bank.example")
	wantSaid(t, log, "here already", "corps set")
	do(0, "corps", "set", "-corp", corp, "-report-to", "en:audit@bank.example,zh:compliance@bank.example")
	out, _ := do(0, "corps", "list")
	wantSaid(t, out, `"corp":"wwbegun","name":"开始 Begun","report_to":["audit@bank.example","compliance@bank.example"]`)

	out, log = do(0, "keys", "new", "-corp", corp)
	block, rest := pem.Decode([]byte(out))
	if block == nil || len(rest) > 0 {
		t.Fatalf("keys new printed %q", out)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := public.(*rsa.PublicKey); !ok || key.N.BitLen() != 2048 {
		t.Errorf("keys new printed a %T", public)
	}
	wantSaid(t, log, "version 1", "Paste the public key")
	out, _ = do(0, "keys", "add", "-corp", corp, "-ver", "7", "-file", pkcs1)
	wantSaid(t, out, "version 7", "untried")
	out, _ = do(0, "keys", "new", "-corp", corp)
	if again, _ := pem.Decode([]byte(out)); again == nil || bytes.Equal(again.Bytes, block.Bytes) {
		t.Error("the second pair is the first")
	}
	_, log = do(1, "keys", "new", "-corp", corp, "-ver", "7")
	wantSaid(t, log, "held already")
	out, _ = do(0, "keys", "list", "-corp", corp)
	if n := strings.Count(out, "\n"); n != 3 {
		t.Errorf("%d keys are listed:\n%s", n, out)
	}
	wantSaid(t, out, `"publickey_ver":1`, `"publickey_ver":7`, `"publickey_ver":8`)
	out, _ = do(0, "set-aside", "-corp", corp)
	if out != "" {
		t.Errorf("set aside are %s", out)
	}
	_, log = do(0, "fsck")
	wantSaid(t, log, "corp "+corp, "0 findings")
	k.intact(t)
}
