package main_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// The folder testdata/first holds an archive as the first whole version (commit 63d52dc) left it when it was stopped in the middle of its work: a
// made-up company of 24 messages, of which one can never be opened, three wait for a key, and five are in a batch that is announced and not
// yet processed; two attachments with their outcomes; reports, mails, an open alarm; a lease whose holder is gone. It was made by
// running that version's own binaries. jobs.jsonl holds what was in its queues, and one job of each other form that it sends.
// Nothing in the folder is ever changed: a later version that can't read it can't be deployed over the first one's data.
const firstVersion = "testdata/first"

const firstCorp = "wwfirst"

// jsonl reads a file of the folder, one value a line.
func jsonl[T any](t *testing.T, name string) []T {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(firstVersion, name))
	if err != nil {
		t.Fatal(err)
	}
	return decodeLines[T](t, raw)
}

func decodeLines[T any](t *testing.T, raw []byte) []T {
	t.Helper()
	var out []T
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		out = append(out, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// openFirst opens a house over this version's programs, and puts the first version's data into it. Version ids are given by the store, so the rows
// get those of this one; all else is as it was.
func openFirst(t *testing.T) *house.House {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	wiring, err := filepath.Abs("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"AWS_ENDPOINT_URL", "WECOMVAULT_CLOCK_FILE"} { // house.Open sets them
		t.Setenv(name, "")
	}
	h, err := house.Open(t.Context(), house.Options{Data: t.TempDir(), Template: wiring, Binaries: dir, NoSync: true, Params: map[string]string{
		"WecomUrl": "http://127.0.0.1:1", // nobody: what is archived must not need WeCom
		"SdkHost":  filepath.Join(dir, "local", "simsdk"), "RetentionMode": "GOVERNANCE", "RetentionDays": "1", "Trial": "true", "MailFrom": "archive@wecomvault.example",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	now, err := os.ReadFile(filepath.Join(firstVersion, "now"))
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(now)))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.SetOffset(time.Until(at)); err != nil {
		t.Fatal(err)
	}
	putFirst(t, h)
	return h
}

func putFirst(t *testing.T, h *house.House) {
	t.Helper()
	ctx, cfg := t.Context(), h.Config(house.Operator)
	names := map[string]string{} // by logical id
	for _, x := range h.Template.Tables {
		names[x.LogicalID] = x.Name
	}
	for _, x := range h.Template.Buckets {
		names[x.LogicalID] = x.Name
	}
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	var versions []string // old, new, old, new
	for _, o := range jsonl[struct {
		Bucket, Key, Version, Type string
		Metadata                   map[string]string
		Body                       []byte
	}](t, "objects.jsonl") {
		sum := sha256.Sum256(o.Body)
		out, err := objects.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String(names[o.Bucket]), Key: &o.Key, Body: bytes.NewReader(o.Body), ContentType: &o.Type, Metadata: o.Metadata, IfNoneMatch: aws.String("*"),
			ChecksumAlgorithm: s3types.ChecksumAlgorithmSha256, ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
		})
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, o.Version, aws.ToString(out.VersionId))
	}
	renamed := strings.NewReplacer(versions...)
	tables := dynamodb.NewFromConfig(cfg)
	for _, r := range jsonl[struct {
		Table string
		Item  json.RawMessage
	}](t, "tables.jsonl") {
		var item map[string]map[string]any
		if err := json.Unmarshal([]byte(renamed.Replace(string(r.Item))), &item); err != nil {
			t.Fatal(err)
		}
		row := map[string]ddb.AttributeValue{}
		for name, v := range item {
			row[name] = attribute(t, v)
		}
		if _, err := tables.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(names[r.Table]), Item: row}); err != nil {
			t.Fatal(err)
		}
	}
	vault := secretsmanager.NewFromConfig(cfg)
	for _, s := range jsonl[struct {
		Name  string
		Value []byte
	}](t, "secrets.jsonl") {
		if _, err := vault.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &s.Name, SecretString: aws.String(string(s.Value))}); err != nil {
			t.Fatal(err)
		}
	}
}

// attribute is DynamoDB's own JSON form of a value, as far as the first version wrote it.
func attribute(t *testing.T, v map[string]any) ddb.AttributeValue {
	t.Helper()
	for kind, content := range v {
		switch x := content.(type) {
		case string:
			if kind == "N" {
				return &ddb.AttributeValueMemberN{Value: x}
			}
			if kind == "S" {
				return &ddb.AttributeValueMemberS{Value: x}
			}
		case bool:
			return &ddb.AttributeValueMemberBOOL{Value: x}
		case []any:
			var list []ddb.AttributeValue
			var set []string
			for _, e := range x {
				if text, ok := e.(string); ok {
					set = append(set, text)
				} else if inner, ok := e.(map[string]any); ok {
					list = append(list, attribute(t, inner))
				}
			}
			if kind == "SS" {
				return &ddb.AttributeValueMemberSS{Value: set}
			}
			return &ddb.AttributeValueMemberL{Value: list}
		}
	}
	t.Fatalf("the first version wrote %v", v)
	return nil
}

// operate runs the operator's command and returns what it said; it must succeed.
func operate(t *testing.T, h *house.House, args ...string) string {
	t.Helper()
	code, said, err := h.Operate(t.Context(), args...)
	if err != nil || code != 0 {
		t.Fatalf("vaultctl %s: code %d, %v: %s", strings.Join(args, " "), code, err, said)
	}
	return said
}

// account is the account of every message; what the command says beside it is left out.
func account[T any](t *testing.T, h *house.House) []T {
	t.Helper()
	var lines []string
	for _, l := range strings.Split(operate(t, h, "messages", "-corp", firstCorp, "-format", "jsonl"), "\n") {
		if strings.HasPrefix(l, "{") {
			lines = append(lines, l)
		}
	}
	return decodeLines[T](t, []byte(strings.Join(lines, "\n")))
}

func TestWhatTheFirstVersionArchivedIsReadAsItWas(t *testing.T) {
	slow(t)
	h := openFirst(t)
	then, now := jsonl[map[string]any](t, "messages.jsonl"), account[map[string]any](t, h)
	if len(then) != 24 || len(now) != len(then) {
		t.Fatalf("%d lines, the first version had %d", len(now), len(then))
	}
	for i := range then {
		for field, was := range then[i] { // a later version may say more, never something else
			if is := now[i][field]; !reflect.DeepEqual(is, was) {
				t.Errorf("seq %v: %s is %v, and was %v", then[i]["seq"], field, is, was)
			}
		}
	}
	if said := operate(t, h, "fsck"); !strings.Contains(said, " 0 findings") {
		t.Errorf("fsck: %s", said)
	}
	if said := operate(t, h, "status"); !strings.Contains(said, firstCorp) {
		t.Errorf("status: %s", said)
	}
	for _, f := range []string{"WatchFunction", "ReportFunction", "RedriveFunction", "FsckFunction"} {
		r, err := h.Host.Invoke(t.Context(), f, []byte(`{}`))
		if err != nil || r.FunctionError != "" {
			t.Errorf("%s on the first version's data: %v %s", f, err, r.Payload)
		}
	}
}

func TestWorkThatTheFirstVersionLeftIsDoneByThisOne(t *testing.T) {
	slow(t)
	h := openFirst(t)
	ctx := t.Context()
	client := sqs.NewFromConfig(h.Config(house.Operator))
	send := func() map[string]int {
		sent := map[string]int{}
		for _, j := range jsonl[struct{ Queue, Body string }](t, "jobs.jsonl") {
			i := slices.IndexFunc(h.Template.Queues, func(q template.Queue) bool { return q.LogicalID == j.Queue })
			if i < 0 {
				t.Fatalf("jobs of the first version are in %s, which is gone: what is queued at the upgrade would be lost", j.Queue)
			}
			sent[j.Queue]++
			if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(h.Template.Queues[i].URL), MessageBody: &j.Body, MessageGroupId: aws.String("first")}); err != nil {
				t.Fatal(err)
			}
		}
		return sent
	}
	for range 2 { // queues deliver twice
		if sent := send(); len(sent) != 5 {
			t.Fatalf("jobs of %v: the folder holds one of each form", sent)
		}
	}
	// The key that the first version lacked comes with the new one; what waits for it opens by itself.
	key := jsonl[struct {
		Version int
		Private []byte
	}](t, "later_key.jsonl")[0]
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, key.Private, 0o600); err != nil {
		t.Fatal(err)
	}
	operate(t, h, "keys", "add", "-corp", firstCorp, "-ver", fmt.Sprint(key.Version), "-file", file)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	type item struct {
		Seq       uint64
		Fate      string
		RawSHA256 string `json:"raw_sha256"`
	}
	sent := map[uint64]item{}
	for _, i := range jsonl[item](t, "sent.jsonl") {
		sent[i.Seq] = i
	}
	var open []string
	done, err := house.Until(ctx, time.Minute, func() (bool, error) {
		open = nil
		seen := map[uint64]bool{}
		for _, l := range account[line](t, h) {
			want := sent[l.Seq]
			if seen[l.Seq] {
				return false, fmt.Errorf("seq %d is there twice", l.Seq)
			}
			seen[l.Seq] = true
			state := "archived"
			if want.Fate == "undecryptable" {
				state = "set aside"
			}
			if l.State != state || state == "archived" && l.RawSHA256 != want.RawSHA256 {
				open = append(open, fmt.Sprintf("seq %d is %s (%s)", l.Seq, l.State, l.Reason))
			}
		}
		if len(seen) != len(sent) {
			return false, fmt.Errorf("%d seqs of %d", len(seen), len(sent))
		}
		return len(open) == 0, nil
	})
	if err != nil || !done {
		t.Fatalf("not done: %v %s", err, strings.Join(open, "; "))
	}
	// The late attachment waits for WeCom, which is nobody here; every other job comes to its end, and none in a dead-letter queue.
	done, err = house.Until(ctx, time.Minute, func() (bool, error) {
		for name, d := range h.Queues.Depths() {
			if !strings.Contains(name, "MediaQueue") && d.Visible+d.InFlight+d.Delayed > 0 {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil || !done {
		t.Fatalf("jobs are left: %v %+v", err, h.Queues.Depths())
	}
	if said := operate(t, h, "fsck"); !strings.Contains(said, " 0 findings") {
		t.Errorf("fsck: %s", said)
	}
	mails, err := h.Mails.Mails()
	if err != nil {
		t.Fatal(err)
	}
	once := map[string]bool{}
	for _, m := range mails {
		which := fmt.Sprint(m.Tags, m.Destinations)
		if once[which] {
			t.Errorf("sent twice: %s", which)
		}
		once[which] = true
	}
	t.Logf("%d mails: %v", len(mails), once)
}
