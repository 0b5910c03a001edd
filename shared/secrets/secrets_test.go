package secrets_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

var pair = [2]func() *rsa.PrivateKey{sync.OnceValue(newPair), sync.OnceValue(newPair)}

func newPair() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, key any) []byte {
	return rig.Must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))
}

func TestAnRSAKeyIsReadInBothForms(t *testing.T) {
	key := pair[0]()
	for name, text := range map[string]string{
		"PKCS#1":           block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)),
		"PKCS#8":           block("PRIVATE KEY", pkcs8(t, key)),
		"with CRLF":        strings.ReplaceAll(block("PRIVATE KEY", pkcs8(t, key)), "\n", "\r\n"),
		"after some words": "Bag Attributes\n  friendlyName: archive\n" + block("PRIVATE KEY", pkcs8(t, key)),
		"after a mark":     "\xef\xbb\xbf" + block("PRIVATE KEY", pkcs8(t, key)),
	} {
		if got, err := secrets.ParseKey([]byte(text)); err != nil || !got.Equal(key) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAWrongKeyFileIsNamedForWhatItIs(t *testing.T) {
	key := pair[0]()
	curve := rig.Must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	public := rig.Must[[]byte](t)(x509.MarshalPKIXPublicKey(&key.PublicKey))
	der := pkcs8(t, key)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                    {"", "no PEM file"},
		"words":                      {"my key is hunter2", "no PEM file"},
		"the corp's secret":          {"c2VjcmV0LW9mLXRoZS1jb3JwLXdpdGgtNDMtY2hhcmFjdGVycw", "no PEM file"},
		"a DER file":                 {string(der), "no PEM file"},
		"a block without its end":    {strings.Split(block("PRIVATE KEY", der), "-----END")[0], "no PEM file"},
		"the public key":             {block("PUBLIC KEY", public), "public key, which belongs into WeCom's console"},
		"the public key, PKCS#1":     {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey)), "public key, which belongs into WeCom's console"},
		"a certificate":              {block("CERTIFICATE", public), `"CERTIFICATE", not a private key`},
		"an OpenSSH key":             {block("OPENSSH PRIVATE KEY", der), `"OPENSSH PRIVATE KEY", not a private key`},
		"a key of another kind":      {block("PRIVATE KEY", pkcs8(t, curve)), "no RSA key"},
		"an encrypted key":           {block("ENCRYPTED PRIVATE KEY", der), "protected by a passphrase"},
		"an encrypted key, old form": {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "protected by a passphrase"},
		"a damaged key":              {block("PRIVATE KEY", der[:len(der)/2]), "PKCS#8 private key in this PEM file is damaged"},
		"a damaged key, PKCS#1":      {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)[:100]), "PKCS#1 private key in this PEM file is damaged"},
		"PKCS#8 called PKCS#1":       {block("RSA PRIVATE KEY", der), "PKCS#1 private key in this PEM file is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := secrets.ParseKey([]byte(c.text))
			if err == nil || got != nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("the error is %v", err)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}

// FuzzParseKey: whatever a file holds, there is a key or a sentence.
func FuzzParseKey(f *testing.F) {
	key := pair[0]()
	f.Add([]byte(block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, err := secrets.ParseKey(text); (got == nil) == (err == nil) {
			t.Fatalf("%v and %v", got, err)
		}
	})
}

func TestAKeyIsAddedOnceAndNeverChanged(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	s := r.Secrets(r.Config(rig.Operator))
	ctx := t.Context()
	if _, err := s.Key(ctx, "wwtide", 1); !errors.Is(err, secrets.ErrAbsent) {
		t.Errorf("before it is added: %v", err)
	}
	var lost sync.Once
	r.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Operation == "CreateSecret" {
			lost.Do(func() { d.Act = awslocal.FailAfter })
		}
		return d
	})
	r.OK(s.AddKey(ctx, "wwtide", 1, pair[0]()))
	r.OK(s.AddKey(ctx, "wwtide", 1, pair[0]()))
	if err := s.AddKey(ctx, "wwtide", 1, pair[1]()); !errors.Is(err, secrets.ErrExists) {
		t.Errorf("another key: %v", err)
	}
	if got, err := s.Key(ctx, "wwtide", 1); err != nil || !got.Equal(pair[0]()) {
		t.Errorf("the key held is another: %v", err)
	}
	r.OK(s.AddKey(ctx, "wwtide", 2, pair[1]()))
	r.OK(s.AddKey(ctx, "wwother", 1, pair[1]()))
	r.OK(s.ReplaceKey(ctx, "wwtide", 1, pair[1]()))
	if got, err := s.Key(ctx, "wwtide", 1); err != nil || !got.Equal(pair[1]()) {
		t.Errorf("it was not replaced: %v", err)
	}
}

func TestASecretIsReadAnewAndNeverPrinted(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	s := r.Secrets(r.Config(rig.Operator))
	ctx := t.Context()
	read := s.Reader("wwtide", secrets.Archive)
	if _, err := read(ctx); !errors.Is(err, secrets.ErrAbsent) {
		t.Errorf("before it is added: %v", err)
	}
	for _, text := range []string{"one", "two"} {
		r.OK(s.PutSecret(ctx, "wwtide", secrets.Archive, secrets.NewValue(text)))
		if got, err := read(ctx); err != nil || got != text {
			t.Errorf("%q: %v", got, err)
		}
	}
	if _, err := s.Secret(ctx, "wwtide", secrets.Contacts); !errors.Is(err, secrets.ErrAbsent) {
		t.Errorf("another kind: %v", err)
	}
	v := secrets.NewValue("hunter2")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
	printed := fmt.Sprint(v) + fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v) + string(rig.Must[[]byte](t)(json.Marshal(v))) + fmt.Sprint(map[string]secrets.Value{"v": v}) + log.String()
	if strings.Contains(printed, "hunter2") || v.Reveal() != "hunter2" {
		t.Errorf("it prints as %s", printed)
	}
}

// TestASecretOfAnotherFormIsSaidToBe: an operator may have made it by hand.
func TestASecretOfAnotherFormIsSaidToBe(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	client := secretsmanager.NewFromConfig(r.Config(rig.Operator))
	prefix := r.Template.Parameters["SecretsPrefix"]
	for kind, text := range map[secrets.Kind]string{secrets.Archive: "hunter2", secrets.Contacts: `{"password":"hunter2"}`, secrets.Customer: `{"secret":""}`} {
		_, err := client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(prefix + "corp/wwtide/" + string(kind)), SecretString: &text})
		r.OK(err)
		if _, err := r.Secrets(r.Config(rig.Operator)).Secret(t.Context(), "wwtide", kind); err == nil || !strings.Contains(err.Error(), `field "secret"`) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
