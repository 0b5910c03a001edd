// Package secrets is AWS Secrets Manager on one machine, in AWS's JSON protocol. Its values lie unencrypted in the bbolt store, a file
// of mode 0600 in the data folder: whoever reads that file reads the secrets, so only a simulated company's, or one's own on one's own
// machine, belong there. Secrets can't be deleted, since old messages need old keys; what the product doesn't use is refused by name.
package secrets

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
)

const (
	namespace = "com.amazonaws.secretsmanager"
	current   = "AWSCURRENT"
	previous  = "AWSPREVIOUS"
	maxValue  = 65_536
	maxPage   = 100
)

var (
	bucket     = []byte("secretsmanager")
	secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)
	arnSuffix  = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)
)

// Service is an http.Handler for the secrets of one region and account. It is safe for concurrent use. An operation that is answered
// is on disk.
type Service struct {
	region, account string
	now             func() time.Time
	db              *bbolt.DB
	mu              sync.Mutex // one operation at a time: each reads before it writes
}

// secret is a secret as it is kept, under its name.
type secret struct {
	Name        string
	ARN         string
	Description string `json:",omitempty"`
	KeyID       string `json:",omitempty"`
	Created     int64  // Unix milliseconds
	Changed     int64  // Unix milliseconds
	Versions    []version
}

// version is one value; a version without stages is deprecated and kept for good.
type version struct {
	ID      string
	Created int64 // Unix milliseconds
	Stages  []string
	String  *string `json:",omitempty"`
	Binary  []byte  `json:",omitempty"`
}

// New returns the service over a store.
func New(db *bbolt.DB, region, account string, now func() time.Time) (*Service, error) {
	err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("secrets: preparing the store: %w", err)
	}
	return &Service{region: region, account: account, now: now, db: db}, nil
}

// ServeHTTP answers one request, whose caller the front has put into its context.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	var run func(*http.Request) (any, error)
	switch name {
	case "CreateSecret":
		run = typed(s.create)
	case "GetSecretValue":
		run = typed(s.get)
	case "PutSecretValue":
		run = typed(s.put)
	case "DescribeSecret":
		run = typed(s.describe)
	case "ListSecrets":
		run = typed(s.list)
	case "DeleteSecret":
		run = func(*http.Request) (any, error) {
			return nil, protocol.Refuse("InvalidRequestException", "the local endpoint refuses secretsmanager:DeleteSecret: old messages need old keys for ever")
		}
	default:
		run = func(*http.Request) (any, error) {
			return nil, protocol.Refuse("UnknownOperationException", "the operation secretsmanager:%s is not supported by the local endpoint", name)
		}
	}
	s.mu.Lock()
	out, err := run(r)
	s.mu.Unlock()
	if err != nil {
		protocol.JSONRefusal(w, "1.1", namespace, err)
		return
	}
	protocol.JSONAnswer(w, "1.1", out)
}

func typed[In any](run func(context.Context, In) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var in In
		if err := protocol.Decode(r.Body, &in); err != nil {
			return nil, err
		}
		return run(r.Context(), in)
	}
}

func seconds(ms int64) float64 { return float64(ms) / 1000 }

func invalid(format string, args ...any) error {
	return protocol.Refuse("InvalidParameterException", format, args...)
}

func notFound() error {
	return protocol.Refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

// load finds a secret by name, by full ARN, or by ARN without the random suffix; nil if it isn't there.
func (s *Service) load(id string) (*secret, error) {
	if id == "" {
		return nil, invalid("You must provide a value for the SecretId parameter.")
	}
	name, isARN := strings.CutPrefix(id, s.arnOf(""))
	candidates := []string{name}
	if isARN && arnSuffix.MatchString(name) {
		candidates = append(candidates, name[:len(name)-7])
	}
	var found *secret
	err := s.db.View(func(tx *bbolt.Tx) error {
		for _, candidate := range candidates {
			v := tx.Bucket(bucket).Get([]byte(candidate))
			if v == nil {
				continue
			}
			one := &secret{}
			if err := json.Unmarshal(v, one); err != nil {
				return fmt.Errorf("reading the secret %s from the store: %w", candidate, err)
			}
			if !isARN || candidate == name || one.ARN == id {
				found = one
				return nil
			}
		}
		return nil
	})
	return found, err
}

func (s *Service) arnOf(name string) string {
	return "arn:aws:secretsmanager:" + s.region + ":" + s.account + ":secret:" + name
}

// open asks the caller's permission and finds the secret. One that isn't there is asked for under the ARN that its name would give,
// so that a caller without permission doesn't learn whether it is there.
func (s *Service) open(ctx context.Context, id, action string) (*secret, error) {
	found, err := s.load(id)
	if err != nil {
		return nil, err
	}
	arn := id
	switch {
	case found != nil:
		arn = found.ARN
	case !strings.HasPrefix(id, "arn:"):
		arn = s.arnOf(id)
	}
	if err := authz.Check(ctx, authz.Request{Action: "secretsmanager:" + action, Resource: arn}); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, notFound()
	}
	return found, s.checkKey(ctx, found, action)
}

// checkKey asks for what a customer's key needs besides: AWS calls KMS in the caller's name. The default key needs nothing.
func (s *Service) checkKey(ctx context.Context, one *secret, action string) error {
	key := one.KeyID
	if key == "" || key == "alias/aws/secretsmanager" || action == "DescribeSecret" {
		return nil
	}
	if !strings.HasPrefix(key, "arn:") {
		if !strings.HasPrefix(key, "alias/") {
			key = "key/" + key
		}
		key = "arn:aws:kms:" + s.region + ":" + s.account + ":" + key
	}
	via := map[string]string{"kms:ViaService": "secretsmanager." + s.region + ".amazonaws.com", "kms:EncryptionContext:SecretARN": one.ARN}
	requests := []authz.Request{{Action: "kms:Decrypt", Resource: key, Context: via}}
	if action != "GetSecretValue" {
		requests = append(requests, authz.Request{Action: "kms:GenerateDataKey", Resource: key, Context: via})
	}
	return authz.Check(ctx, requests...)
}

func (s *Service) save(one *secret) error {
	v, err := json.Marshal(one)
	if err != nil {
		return fmt.Errorf("encoding the secret %s: %w", one.Name, err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put([]byte(one.Name), v) })
	if err != nil {
		return fmt.Errorf("writing the secret %s to the store: %w", one.Name, err)
	}
	return nil
}

// value is the part that CreateSecret and PutSecretValue share.
type value struct {
	ClientRequestToken string
	SecretString       *string
	SecretBinary       []byte
}

func (v value) check() error {
	switch {
	case v.SecretString != nil && v.SecretBinary != nil:
		return invalid("You can't specify both a binary secret value and a string secret value in the same secret.")
	case v.SecretString != nil && len(*v.SecretString) > maxValue, len(v.SecretBinary) > maxValue:
		return protocol.Refuse("InvalidParameterException", "The secret value is longer than %d bytes.", maxValue)
	case v.ClientRequestToken != "" && (len(v.ClientRequestToken) < 32 || len(v.ClientRequestToken) > 64):
		return invalid("The ClientRequestToken must have 32 to 64 characters.")
	}
	return nil
}

func (v value) empty() bool { return v.SecretString == nil && v.SecretBinary == nil }

func (v value) same(w version) bool {
	if (v.SecretString == nil) != (w.String == nil) || v.SecretString != nil && *v.SecretString != *w.String {
		return false
	}
	return slices.Equal(v.SecretBinary, w.Binary)
}

func (s *Service) create(ctx context.Context, in struct {
	Name        string
	Description string
	KmsKeyID    string `json:"KmsKeyId"`
	value
}) (any, error) {
	if !secretName.MatchString(in.Name) {
		return nil, protocol.Refuse("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	arn := s.arnOf(in.Name + "-" + suffix())
	if err := authz.Check(ctx, authz.Request{Action: "secretsmanager:CreateSecret", Resource: arn,
		Context: map[string]string{"secretsmanager:Name": in.Name}}); err != nil {
		return nil, err
	}
	there, err := s.load(in.Name)
	if err != nil {
		return nil, err
	}
	if there != nil {
		for _, v := range there.Versions {
			if v.ID == in.ClientRequestToken && in.same(v) {
				return created(there, v.ID), nil
			}
		}
		return nil, protocol.Refuse("ResourceExistsException", "The operation failed because the secret %s already exists.", in.Name)
	}
	now := s.now().UnixMilli()
	one := &secret{Name: in.Name, ARN: arn, Description: in.Description, KeyID: in.KmsKeyID, Created: now, Changed: now}
	if err := s.checkKey(ctx, one, "CreateSecret"); err != nil {
		return nil, err
	}
	id := ""
	if !in.empty() {
		id = one.add(in.value, []string{current}, now)
	}
	return created(one, id), s.save(one)
}

func created(one *secret, versionID string) any {
	return struct {
		ARN, Name string
		VersionID string `json:"VersionId,omitempty"`
	}{one.ARN, one.Name, versionID}
}

// add appends a version and gives it its stages, which leave the version that had them.
func (one *secret) add(v value, stages []string, now int64) string {
	id := v.ClientRequestToken
	if id == "" {
		id = protocol.RequestID()
	}
	for i := range one.Versions {
		had := one.Versions[i].Stages
		kept := slices.DeleteFunc(slices.Clone(had), func(stage string) bool {
			return slices.Contains(stages, stage) || stage == previous && slices.Contains(stages, current)
		})
		if slices.Contains(stages, current) && slices.Contains(had, current) {
			kept = append(kept, previous)
		}
		one.Versions[i].Stages = kept
	}
	one.Versions = append(one.Versions, version{ID: id, Created: now, Stages: stages, String: v.SecretString, Binary: v.SecretBinary})
	one.Changed = now
	return id
}

func (s *Service) put(ctx context.Context, in struct {
	SecretID      string `json:"SecretId"`
	VersionStages []string
	value
}) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	one, err := s.open(ctx, in.SecretID, "PutSecretValue")
	if err != nil {
		return nil, err
	}
	if in.empty() {
		return nil, protocol.Refuse("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	}
	stages := in.VersionStages
	if len(stages) == 0 {
		stages = []string{current}
	}
	answer := func(id string, stages []string) any {
		return struct {
			ARN, Name     string
			VersionID     string `json:"VersionId"`
			VersionStages []string
		}{one.ARN, one.Name, id, stages}
	}
	for _, v := range one.Versions {
		if v.ID == in.ClientRequestToken {
			if in.same(v) {
				return answer(v.ID, v.Stages), nil
			}
			return nil, protocol.Refuse("ResourceExistsException", "You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", v.ID, one.ARN)
		}
	}
	id := one.add(in.value, stages, s.now().UnixMilli())
	return answer(id, stages), s.save(one)
}

func (s *Service) get(ctx context.Context, in struct {
	SecretID     string `json:"SecretId"`
	VersionID    string `json:"VersionId"`
	VersionStage string
}) (any, error) {
	one, err := s.open(ctx, in.SecretID, "GetSecretValue")
	if err != nil {
		return nil, err
	}
	stage := in.VersionStage
	if stage == "" && in.VersionID == "" {
		stage = current
	}
	for _, v := range one.Versions {
		if in.VersionID != "" && v.ID != in.VersionID {
			continue
		}
		if stage != "" && !slices.Contains(v.Stages, stage) {
			if in.VersionID != "" {
				return nil, protocol.Refuse("InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.")
			}
			continue
		}
		return struct {
			ARN, Name     string
			VersionID     string `json:"VersionId"`
			VersionStages []string
			SecretString  *string `json:",omitempty"`
			SecretBinary  []byte  `json:",omitempty"`
			CreatedDate   float64
		}{one.ARN, one.Name, v.ID, v.Stages, v.String, v.Binary, seconds(v.Created)}, nil
	}
	what := "staging label: " + stage
	if in.VersionID != "" {
		what = "VersionId: " + in.VersionID
	}
	return nil, protocol.Refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for %s", what)
}

// entry is a secret without its values.
func (one *secret) entry(stagesName string) map[string]any {
	stages := map[string][]string{}
	for _, v := range one.Versions {
		if len(v.Stages) > 0 {
			stages[v.ID] = v.Stages
		}
	}
	out := map[string]any{"ARN": one.ARN, "Name": one.Name, "CreatedDate": seconds(one.Created), "LastChangedDate": seconds(one.Changed), stagesName: stages}
	if one.Description != "" {
		out["Description"] = one.Description
	}
	if one.KeyID != "" {
		out["KmsKeyId"] = one.KeyID
	}
	return out
}

func (s *Service) describe(ctx context.Context, in struct {
	SecretID string `json:"SecretId"`
}) (any, error) {
	one, err := s.open(ctx, in.SecretID, "DescribeSecret")
	if err != nil {
		return nil, err
	}
	return one.entry("VersionIdsToStages"), nil
}

func (s *Service) list(ctx context.Context, in struct {
	Filters []struct {
		Key    string
		Values []string
	}
	MaxResults *int
	NextToken  string
	SortOrder  string
}) (any, error) {
	if err := authz.Check(ctx, authz.Request{Action: "secretsmanager:ListSecrets", Resource: "*"}); err != nil {
		return nil, err
	}
	limit := maxPage
	if in.MaxResults != nil {
		if limit = *in.MaxResults; limit < 1 || limit > maxPage {
			return nil, protocol.Refuse("InvalidParameterException", "MaxResults must be between 1 and %d.", maxPage)
		}
	}
	if in.SortOrder == "desc" {
		return nil, protocol.Refuse("InvalidParameterException", "the local endpoint lists secrets in ascending order only")
	}
	for _, f := range in.Filters {
		if f.Key != "name" {
			return nil, protocol.Refuse("InvalidParameterException", "the local endpoint filters secrets by name only, not by %s", f.Key)
		}
		for _, v := range f.Values {
			if strings.HasPrefix(v, "!") {
				return nil, protocol.Refuse("InvalidParameterException", "the local endpoint doesn't support negated filters: %s", v)
			}
		}
	}
	wanted := func(name string) bool {
		for _, f := range in.Filters {
			if !slices.ContainsFunc(f.Values, func(v string) bool { return strings.HasPrefix(name, v) }) {
				return false
			}
		}
		return true
	}
	entries := []any{}
	next := ""
	err := s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		last := ""
		for k, v := c.Seek([]byte(in.NextToken)); k != nil; k, v = c.Next() {
			name := string(k)
			if name == in.NextToken || !wanted(name) {
				continue
			}
			if len(entries) == limit {
				next = last
				return nil
			}
			var one secret
			if err := json.Unmarshal(v, &one); err != nil {
				return fmt.Errorf("reading the secret %s from the store: %w", name, err)
			}
			entries, last = append(entries, one.entry("SecretVersionsToStages")), name
		}
		return nil
	})
	out := map[string]any{"SecretList": entries}
	if next != "" {
		out["NextToken"] = next
	}
	return out, err
}

// suffix is what Secrets Manager puts behind a name in an ARN, so that a new secret of an old name is not reached by an old policy.
func suffix() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 6)
	// rand.Read never returns an error: it ends the program instead.
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b)
}
