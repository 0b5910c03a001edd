// Package secrets reads and adds the corps' secrets and private keys in AWS Secrets Manager. Values leave it only in types that print
// "[secret]". It takes no key away, since old messages need old keys for ever; it replaces one only where the caller has an item that the
// new one opens and the held one does not.
package secrets

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// ErrAbsent says that no such secret or key has been added.
var ErrAbsent = errors.New("no such secret")

// ErrExists says that another value is already kept under the name.
var ErrExists = errors.New("another value is already kept under that name")

// Value is a secret text. It prints as "[secret]" in every form; Reveal gives it away.
type Value struct{ text string }

// NewValue wraps a secret text.
func NewValue(text string) Value { return Value{text: text} }

// Reveal returns the secret itself.
func (v Value) Reveal() string { return v.text }

func (Value) String() string { return "[secret]" }

// GoString is String, for %#v.
func (Value) GoString() string { return "[secret]" }

// LogValue is String, for slog.
func (Value) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalJSON is String, for JSON.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"[secret]"`), nil }

// Kind is which of a corp's secrets is meant.
type Kind string

// The kinds of secret: that of the message archive, of an app that may read the contacts, of an app that may read customers, and of the app that writes to
// members.
const (
	Archive  Kind = "archive"
	Contacts Kind = "contacts"
	Customer Kind = "customer"
	App      Kind = "app"
)

// Store reads and adds secrets below one name prefix. It is safe for concurrent use and caches nothing: its callers live through many
// invocations and must see a new key.
type Store struct {
	client *secretsmanager.Client
	prefix string
	seal   *string // ARN of the KMS key for what is added; nil: the account's default
}

// New returns a Store for the names that begin with prefix, for example "wecomvault/".
func New(client *secretsmanager.Client, prefix string) *Store {
	return &Store{client: client, prefix: prefix}
}

// SealWith returns a Store that seals what it adds with the given KMS key. Readers need no such word: a secret knows its key.
func (s *Store) SealWith(keyARN string) *Store {
	sealed := *s
	if keyARN != "" {
		sealed.seal = &keyARN
	}
	return &sealed
}

// Secret returns a corp's secret, or an error that wraps ErrAbsent.
func (s *Store) Secret(ctx context.Context, corp archive.CorpID, kind Kind) (Value, error) {
	text, err := s.get(ctx, s.secretName(corp, kind))
	if err != nil {
		return Value{}, fmt.Errorf("read the %s secret of corp %s: %w", kind, corp, err)
	}
	var doc struct {
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Secret == "" {
		return Value{}, fmt.Errorf("read the %s secret of corp %s: it is no JSON object with a field \"secret\"", kind, corp)
	}
	return NewValue(doc.Secret), nil
}

// Reader returns a function that reads a corp's secret anew at each call and reveals it, for clients that must not know this package.
func (s *Store) Reader(corp archive.CorpID, kind Kind) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		v, err := s.Secret(ctx, corp, kind)
		return v.Reveal(), err
	}
}

// EgressProxy returns the credentials, "user:password", of the proxy by which WeCom is reached. It is the secret <prefix>egress-proxy, a JSON
// object with the field "secret" as those of the corps are, and it is read anew at each call. It reveals them, for clients that must not
// know this package.
func (s *Store) EgressProxy(ctx context.Context) (string, error) {
	const name = "egress-proxy"
	text, err := s.get(ctx, s.prefix+name)
	if err != nil {
		return "", fmt.Errorf("read the secret %s: %w", name, err)
	}
	var doc struct {
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || !strings.Contains(doc.Secret, ":") {
		return "", fmt.Errorf("read the secret %s: it is no JSON object with a field \"secret\" of the form user:password", name)
	}
	return doc.Secret, nil
}

// PutSecret adds or replaces a corp's secret.
func (s *Store) PutSecret(ctx context.Context, corp archive.CorpID, kind Kind, v Value) error {
	doc, err := json.Marshal(map[string]string{"secret": v.Reveal()})
	if err != nil {
		return fmt.Errorf("encode the %s secret of corp %s: %w", kind, corp, err)
	}
	if err := s.put(ctx, s.secretName(corp, kind), string(doc)); err != nil {
		return fmt.Errorf("keep the %s secret of corp %s: %w", kind, corp, err)
	}
	return nil
}

// put adds a secret, or replaces its value.
func (s *Store) put(ctx context.Context, name, text string) error {
	_, err := s.client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, KmsKeyId: s.seal, SecretString: &text})
	var exists *types.ResourceExistsException
	if errors.As(err, &exists) {
		_, err = s.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &text})
	}
	return err
}

// Callback is what WeCom's console has for one callback address.
type Callback struct {
	Token  Value
	AESKey Value // EncodingAESKey
}

// Callback returns the settings of a corp's callback address of a kind, or an error that wraps ErrAbsent.
func (s *Store) Callback(ctx context.Context, corp archive.CorpID, kind Kind) (Callback, error) {
	text, err := s.get(ctx, s.callbackName(corp, kind))
	if err != nil {
		return Callback{}, fmt.Errorf("read the %s callback of corp %s: %w", kind, corp, err)
	}
	var doc callbackDocument
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Token == "" || doc.AESKey == "" {
		return Callback{}, fmt.Errorf("read the %s callback of corp %s: it is no JSON object with the fields \"token\" and \"aes_key\"", kind, corp)
	}
	return Callback{Token: NewValue(doc.Token), AESKey: NewValue(doc.AESKey)}, nil
}

// PutCallback adds or replaces the settings of a corp's callback address.
func (s *Store) PutCallback(ctx context.Context, corp archive.CorpID, kind Kind, c Callback) error {
	doc, err := json.Marshal(callbackDocument{Token: c.Token.Reveal(), AESKey: c.AESKey.Reveal()})
	if err != nil {
		return fmt.Errorf("encode the %s callback of corp %s: %w", kind, corp, err)
	}
	if err := s.put(ctx, s.callbackName(corp, kind), string(doc)); err != nil {
		return fmt.Errorf("keep the %s callback of corp %s: %w", kind, corp, err)
	}
	return nil
}

type callbackDocument struct {
	Token  string `json:"token"`
	AESKey string `json:"aes_key"`
}

// Key returns the private key of a key version, or an error that wraps ErrAbsent.
func (s *Store) Key(ctx context.Context, corp archive.CorpID, version archive.KeyVersion) (*rsa.PrivateKey, error) {
	text, err := s.get(ctx, s.keyName(corp, version))
	if err != nil {
		return nil, fmt.Errorf("read key version %d of corp %s: %w", version, corp, err)
	}
	key, err := ParseKey([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("read key version %d of corp %s: %w", version, corp, err)
	}
	return key, nil
}

// AddKey keeps a private key under its version. Adding the same key again succeeds; another key under the version is refused with
// ErrExists: a key, once added, is needed for ever.
func (s *Store) AddKey(ctx context.Context, corp archive.CorpID, version archive.KeyVersion, key *rsa.PrivateKey) error {
	text, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("encode key version %d of corp %s: %w", version, corp, err)
	}
	name := s.keyName(corp, version)
	_, err = s.client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, KmsKeyId: s.seal, SecretString: &text})
	var exists *types.ResourceExistsException
	if errors.As(err, &exists) {
		held, err := s.Key(ctx, corp, version)
		if err != nil {
			return err
		}
		if !held.Equal(key) {
			return fmt.Errorf("add key version %d of corp %s: %w", version, corp, ErrExists)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("add key version %d of corp %s: %w", version, corp, err)
	}
	return nil
}

// ReplaceKey puts another key in the place of one that was added under a version by mistake. It is for a key that has opened an item which
// the held one does not open; Secrets Manager keeps the former one as its previous version.
func (s *Store) ReplaceKey(ctx context.Context, corp archive.CorpID, version archive.KeyVersion, key *rsa.PrivateKey) error {
	text, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("encode key version %d of corp %s: %w", version, corp, err)
	}
	name := s.keyName(corp, version)
	if _, err := s.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &text}); err != nil {
		return fmt.Errorf("replace key version %d of corp %s: %w", version, corp, err)
	}
	return nil
}

func encodeKey(key *rsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

func (s *Store) get(ctx context.Context, name string) (string, error) {
	out, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	var absent *types.ResourceNotFoundException
	if errors.As(err, &absent) {
		return "", ErrAbsent
	}
	if err != nil {
		return "", err
	}
	return aws.ToString(out.SecretString), nil
}

func (s *Store) corpPart(corp archive.CorpID) string {
	return s.prefix + "corp/" + corp.KeyPart()
}

func (s *Store) secretName(corp archive.CorpID, kind Kind) string {
	return s.corpPart(corp) + "/" + string(kind)
}

func (s *Store) callbackName(corp archive.CorpID, kind Kind) string {
	return s.corpPart(corp) + "/callback/" + string(kind)
}

func (s *Store) keyName(corp archive.CorpID, version archive.KeyVersion) string {
	return s.corpPart(corp) + "/key/" + version.String()
}

var errPassphrase = errors.New("this private key is protected by a passphrase: remove it first (openssl pkey -in FILE -out NEW)")

// ParseKey reads an RSA private key from PEM, PKCS#1 or PKCS#8. The error says what the file is instead, and never quotes it.
func ParseKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))) // Windows editors begin with a mark
	if block != nil && strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errPassphrase
	}
	if block == nil {
		return nil, errors.New("this is no PEM file: expected a block that begins with -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----")
	}
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the PKCS#1 private key in this PEM file is damaged")
		}
		return key, nil
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the PKCS#8 private key in this PEM file is damaged")
		}
		rsaKey, ok := key.(*rsa.PrivateKey)
		if !ok {
			return nil, errors.New("the private key in this PEM file is no RSA key: WeCom uses RSA with 2048 bits")
		}
		return rsaKey, nil
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return nil, errors.New("this is the public key, which belongs into WeCom's console: give the private key of the same pair")
	case "ENCRYPTED PRIVATE KEY":
		return nil, errPassphrase
	default:
		return nil, fmt.Errorf("this PEM file holds %q, not a private key", block.Type)
	}
}
