package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	local "github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// A company gives a secret that sees less than the one before. What report's own program then says at noon: nobody lost anything, so many can't be seen,
// and which secret could see them.
func TestWhomASecretDoesNotShowHasLostNothing(t *testing.T) {
	slow(t)
	program := local.Program(t, "functions/report")
	for name, secret := range map[string]string{"an app made after June 2022": "new-of-", "contacts sync from a new address": "sync-of-"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.at = time.Date(2031, 5, 6, 7, 0, 0, 0, time.UTC)
			aws := local.Start(t, local.Options{})
			operator := aws.Config(local.Operator)
			r.ok(aws.Ledger(operator).PutCorp(t.Context(), ledger.Corp{ID: corp, Name: "Harbour Lane", Added: r.at,
				ReportTo: []ledger.Receiver{{Address: "office@harbour.example", Language: "en"}}}))
			vault := aws.Secrets(operator)
			r.ok(vault.PutSecret(t.Context(), corp, secrets.Archive, secrets.NewValue("archive-of-"+string(corp))))
			r.ok(vault.PutSecret(t.Context(), corp, secrets.Contacts, secrets.NewValue("legacy-of-"+string(corp))))
			own := aws.Config("DirectoryFunction")
			r.ledger, r.store, r.vault = aws.Ledger(own), aws.Store(own, "ArchiveBucket"), aws.Secrets(own)
			r.jobs = queue.New[queue.DirectoryJob](sqs.NewFromConfig(own), aws.Name("DirectoryQueue"))
			r.refreshed(corp)
			r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"tomas": raw(map[string]any{"mobile": ""})}})
			r.refreshed(corp)
			r.ok(vault.PutSecret(t.Context(), corp, secrets.Contacts, secrets.NewValue(secret+string(corp))))
			r.refreshed(corp)
			r.at = r.at.Add(time.Minute)
			r.work(queue.DirectoryJob{Corp: corp, Kind: "member", ID: "ines"})
			for _, e := range r.events() {
				if strings.Contains(string(e.What), "mobile") && e.ID != "tomas" || strings.Contains(string(e.What), "email") {
					t.Errorf("%s of %s", e.What, e.ID)
				}
			}

			file := filepath.Join(t.TempDir(), "clock")
			noon := time.Date(2031, 5, 6, 12, 3, 0, 0, time.UTC)
			r.ok(os.WriteFile(file, []byte(strconv.FormatInt(int64(noon.Sub(clock.Real())), 10)), 0o600))
			host := must[*lambdahost.Host](t)(lambdahost.New(lambdahost.Options{Template: aws.Template, Endpoint: aws.URL, Logs: t.TempDir(), Temporary: t.TempDir(), ClockFile: file,
				Now: clock.Real, Binary: func(template.Function) string { return program },
				Credentials: func(id string) (string, string) {
					c, err := aws.Config(id).Credentials.Retrieve(context.Background())
					r.ok(err)
					return c.AccessKeyID, c.SecretAccessKey
				}}))
			t.Cleanup(func() {
				if err := host.Close(); err != nil {
					t.Error(err)
				}
			})
			event := must[[]byte](t)(os.ReadFile(filepath.Join("..", "..", "events", "consent.json")))
			event = []byte(strings.ReplaceAll(string(event), "2031-05-06T09:00:00Z", noon.Format(time.RFC3339)))
			out := must[lambdahost.Result](t)(host.Invoke(t.Context(), "ReportFunction", event))
			if out.FunctionError != "" {
				t.Fatalf("report failed: %s\n%s", out.Payload, out.LogTail)
			}
			facts := map[string]struct {
				Facts struct {
					Rows   []json.RawMessage
					Unread []struct {
						Source  string
						Openers []string
					}
				}
			}{}
			store, text := aws.Store(operator, "ReportsBucket"), ""
			for _, key := range aws.Keys("ReportsBucket", "") {
				object := must[objstore.Object](t)(store.Current(t.Context(), key))
				body := must[[]byte](t)(store.Get(t.Context(), object))
				if strings.HasSuffix(key, ".eml") {
					text += strings.NewReplacer("=\r\n", "", "=\n", "").Replace(string(body))
					continue
				}
				f := facts[filepath.Base(key)]
				r.ok(json.Unmarshal(body, &f))
				facts[filepath.Base(key)] = f
			}
			for file, source := range map[string]string{"R2.json": "mobile", "R8.json": "email"} {
				f := facts[file].Facts
				if len(f.Rows) > 0 || len(f.Unread) != 1 || f.Unread[0].Source != source || !slices.Contains(f.Unread[0].Openers, "self-built-app-before-2022-06-20") {
					t.Errorf("%s: %+v", file, f)
				}
			}
			for _, word := range []string{"WeCom does not show us mobile or email", "3 users unknown", "Lost the mobile number: unknown"} {
				if !strings.Contains(text, word) {
					t.Errorf("R1 does not say %q:\n%s", word, text)
				}
			}
		})
	}
}
