package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// examination is a line of vaultctl doctor -format json.
type examination struct{ Check, Corp, State, Found, Do string }

// doctor runs the operator's command, and returns its exit code and its lines by check. env differs from the stack's outputs.
func (w *watched) doctor(env map[string]string, args ...string) (int, map[string]examination, string) {
	w.Helper()
	all := w.Environment()
	for k, v := range env {
		all[k] = v
	}
	cmd := house.Vaultctl(w.Context(), w.Binaries, all, append([]string{"doctor"}, args...))
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.Fatal(err)
	}
	lines := map[string]examination{}
	if len(args) > 0 && args[len(args)-1] == "json" {
		d := json.NewDecoder(&out)
		for d.More() {
			var e examination
			w.ok(d.Decode(&e))
			lines[e.Check] = e
		}
	}
	return cmd.ProcessState.ExitCode(), lines, out.String() + log.String()
}

// caughtUp leaves a corp's cursor as fetch does after an empty answer.
func (w *watched) caughtUp(corp archive.CorpID, t *ledger.Trouble) {
	w.Helper()
	ctx, l := w.Context(), w.Ledger()
	seen, err := l.AskLease(ctx, corp, "fetcher")
	w.ok(err)
	lease, _, err := l.TakeLease(ctx, corp, "fetcher", seen)
	w.ok(err)
	_, err = l.Beat(ctx, lease, ledger.Poll{CaughtUp: w.Now(), LastWhole: w.Now(), Empties: 1, Trouble: t})
	w.ok(err)
	w.ok(l.Release(ctx, lease))
}

// aside sets one item aside under a key version that is not held.
func (w *watched) aside(corp archive.CorpID, version archive.KeyVersion) {
	w.Helper()
	ctx, l := w.Context(), w.Ledger()
	hash := archive.HashHex([]byte("one batch"))
	b, err := l.PutBatch(ctx, ledger.BatchRow{Corp: corp, First: 1, Last: 1, Items: 1, SHA256: hash, Pulled: w.Now(), CaughtUp: w.Now(), Link: ledger.Link{}.Next(hash)})
	w.ok(err)
	_, err = l.ClaimSlot(ctx, b, "run")
	w.ok(err)
	w.ok(l.SetAside(ctx, b, "run", []ledger.Aside{{Corp: corp, Reason: ledger.ReasonNoKey, KeyVersion: version, Seq: 1, Batch: b.Key(), Since: w.Now(), Clock: w.Now()}}, nil))
	w.ok(l.FinishBatch(ctx, b, "run", 0, 1, ""))
}

func TestDoctorIsGreenOnAHealthyCompanyAndNamesEachIllness(t *testing.T) {
	binaries, err := built()
	if err != nil {
		t.Fatal(err)
	}
	child, wecom, err := house.Simulator(t.Context(), binaries, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := child.Close(); err != nil {
			t.Error(err)
		}
	})
	w := newWatched(t, map[string]string{"WecomUrl": wecom, "SdkHost": filepath.Join(binaries, "local", "simsdk"), "SdkLib": ""})
	const corp = "wwpatient"
	if code, lines, said := w.doctor(nil, "-format", "json"); code != 3 || lines["companies"].State != "do" {
		t.Errorf("without a company: exit %d\n%s", code, said)
	}
	w.company(wecom, corp)
	sim := wecomsim.NewClient(wecom)
	w.ok(sim.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: corp, Permit: map[int][]string{1: {"li.wei"}}}))
	w.caughtUp(corp, nil)
	vault := secrets.New(secretsmanager.NewFromConfig(w.Config(house.Operator)), w.Template.Parameters["SecretsPrefix"])
	queues := sqs.NewFromConfig(w.Config(house.Operator))
	change := func(c wecomsim.ChangeCorp) {
		t.Helper()
		c.Corp = corp
		_, err := sim.ChangeCorp(t.Context(), c)
		w.ok(err)
	}
	service := func(s string) { change(wecomsim.ChangeCorp{Service: &s}) }
	receivers := func(all ...ledger.Receiver) {
		c, err := w.Ledger().Corp(t.Context(), corp)
		w.ok(err)
		c.ReportTo = all
		w.ok(w.Ledger().PutCorp(t.Context(), c))
	}
	dead := w.Template.Queues[1]
	well := func() {
		t.Helper()
		w.caughtUp(corp, nil)
		code, lines, said := w.doctor(nil, "-format", "json")
		for _, e := range lines {
			if e.State != "green" || e.Do != "" {
				t.Errorf("a healthy company: %+v", e)
			}
		}
		if code != 0 || len(lines) < 20 {
			t.Fatalf("a healthy company: exit %d, %d lines\n%s", code, len(lines), said)
		}
	}
	well()
	reader := ledger.Receiver{Address: "reader@patient.example", Language: "en"}
	for _, c := range []struct {
		name      string
		ill, mend func()
		env       map[string]string
		check     string
		says      []string
		state     string // "" is do
	}{
		{"an address that is not trusted", func() {
			change(wecomsim.ChangeCorp{Trusted: &wecomsim.Trusted{On: true, IPs: []string{"203.0.113.9"}}})
		},
			func() { change(wecomsim.ChangeCorp{Trusted: &wecomsim.Trusted{}}) }, nil, "trusted address", []string{"errcode 301042", "add 203.0.113.24 to the trusted IPs"}, ""},
		{"a wrong secret", func() { w.ok(vault.PutSecret(t.Context(), corp, secrets.Archive, secrets.NewValue("another"))) },
			func() {
				w.ok(vault.PutSecret(t.Context(), corp, secrets.Archive, secrets.NewValue("archive-of-"+corp)))
			}, nil,
			"secret: archive", []string{"errcode 40001", "vaultctl corps set -corp wwpatient -secret-file FILE"}, ""},
		{"a wrong secret for contacts", func() { w.ok(vault.PutSecret(t.Context(), corp, secrets.Contacts, secrets.NewValue("another"))) },
			func() {
				w.ok(vault.PutSecret(t.Context(), corp, secrets.Contacts, secrets.NewValue("archive-of-"+corp)))
			}, nil,
			"secret: contacts", []string{"errcode 40001", "-contacts-secret-file FILE"}, ""},
		{"a service that has expired", func() { service(wecomsim.ServiceExpired) }, func() { service(wecomsim.ServiceOpen) }, nil, "service", []string{"301052", "renew"}, ""},
		{"a service that was never opened", func() { service(wecomsim.ServiceNotOpen) }, func() { service(wecomsim.ServiceOpen) }, nil, "service", []string{"301053", "open it"}, ""},
		{"nobody designated", func() {
			w.ok(sim.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: corp, Permit: map[int][]string{1: {}}}))
		}, func() {
			w.ok(sim.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: corp, Permit: map[int][]string{1: {"li.wei"}}}))
		}, nil, "permitted users", []string{"nobody is designated", "designate"}, ""},
		{"fetching in trouble", func() {
			w.caughtUp(corp, &ledger.Trouble{Cause: "network", Sentence: "WeCom can't be reached", Since: w.Now().Add(-time.Hour)})
		}, func() {}, nil,
			"fetching", []string{"1 h 0 min ago", "WeCom can't be reached"}, ""},
		{"fetching stood still", func() { w.pass(20 * time.Minute) }, func() {}, nil, "fetching", []string{"20 min ago", "fetch-stands-still"}, ""},
		{"few hours left", func() { w.pass(80 * time.Hour) }, func() {}, nil, "hours left for messages", []string{"at least 39", "messages-at-risk"}, ""},
		{"a dead letter", func() {
			body := "{}"
			_, err := queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &dead.URL, MessageBody: &body})
			w.ok(err)
		}, func() {
			_, err := queues.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &dead.URL})
			w.ok(err)
		}, nil, "queue batches", []string{"1 dead letter", "start-message-move-task --source-arn " + dead.ARN}, ""},
		{"a sender that is not verified", nil, nil, map[string]string{"MAIL_FROM": "nobody@elsewhere.example"}, "SES sender", []string{"nobody@elsewhere.example is not verified", "verify-email-identity"}, ""},
		{"a sandbox", func() { w.Mails.SetQuota(ses.Quota{PerDay: 200, PerSecond: 1}) }, func() { w.Mails.SetQuota(ses.Quota{PerDay: 50_000, PerSecond: 14}) }, nil,
			"SES quota", []string{"sandbox", "production access"}, ""},
		{"a lock that may be lifted", nil, nil, map[string]string{"TRIAL": "false"}, "bucket of the archive", []string{"governance", "RetentionMode=COMPLIANCE"}, ""},
		{"a clock that is wrong", nil, nil, map[string]string{"AWS_ENDPOINT_URL": late(t, w.Endpoint)}, "clock of this machine", []string{"2 min", "ahead of AWS", "NTP"}, ""},
		{"nobody to tell", func() { receivers() }, func() { receivers(reader) }, nil, "receivers", []string{"nobody", "-report-to"}, ""},
		{"a receiver whose mailbox is gone", func() {
			receivers(reader)
			_, err := w.Ledger().Suppress(t.Context(), ledger.Suppression{Corp: corp, Address: reader.Address, Reason: ledger.Bounced, Detail: "permanent-general", Since: w.Now()})
			w.ok(err)
		}, func() { w.ok(w.Ledger().LiftSuppression(t.Context(), corp, reader.Address, w.Now())) }, nil, "receivers",
			[]string{"r***@patient.example gets no mails any more: bounced permanent-general", "vaultctl receivers lift"}, ""},
		{"a function that fails", func() { w.denied("DirectoryFunction") }, func() { w.denied("") }, nil, "WeCom", []string{"could not be tested", "failed", "log of directory"}, "unknown"},
		{"a function that is not named", nil, nil, map[string]string{"FETCH_FUNCTION": ""}, "library", []string{"FETCH_FUNCTION is not set"}, "unknown"},
		{"a key version that is not held", func() { w.aside(corp, 9) }, func() {}, nil, "keys", []string{"1 message came under key version 9; held: 1", "vaultctl keys add -corp wwpatient -ver 9"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.caughtUp(corp, nil)
			if c.ill != nil {
				c.ill()
			}
			code, lines, said := w.doctor(c.env, "-format", "json")
			if c.mend != nil {
				c.mend()
			}
			e, state := lines[c.check], c.state
			if state == "" {
				state = "do"
			}
			if code != 3 || e.State != state {
				t.Errorf("exit %d, the line %q is %+v\n%s", code, c.check, e, said)
			}
			for _, words := range c.says {
				if !strings.Contains(e.Found+"\n"+e.Do, words) {
					t.Errorf("%q is not said: %+v", words, e)
				}
			}
			for check, e := range lines {
				// What one illness brings with it is said beside it, and nothing else.
				if e.State != "green" && check != c.check && !strings.HasPrefix(check, "hours left") && check != "fetching" && check != "bucket of reports" {
					t.Errorf("%s is said to be ill too: %+v", check, e)
				}
			}
			if strings.Contains(said, "archive-of-"+corp) {
				t.Errorf("a secret is shown:\n%s", said)
			}
		})
	}
	code, _, said := w.doctor(nil)
	if code != 3 || !strings.Contains(said, "DO") || !strings.Contains(said, "→ vaultctl keys add") || !strings.Contains(said, "1 line above needs somebody") {
		t.Errorf("as text: exit %d\n%s", code, said)
	}
	if code, _, said := w.doctor(map[string]string{"CONTROL_TABLE": "nosuch"}); code != 1 {
		t.Errorf("without a ledger: exit %d\n%s", code, said)
	}
	if code, _, said := w.doctor(nil, "-format", "xml"); code != 2 {
		t.Errorf("in a form that is not known: exit %d\n%s", code, said)
	}
}

func TestDoctorSaysWhyTheLibraryDoesNotLoad(t *testing.T) {
	w := newWatched(t, map[string]string{"SdkHost": "", "SdkLib": filepath.Join(t.TempDir(), "libWeWorkFinanceSdk_C.so")})
	code, lines, said := w.doctor(nil, "-format", "json")
	if e := lines["library"]; code != 3 || e.State != "do" || !strings.Contains(e.Found, "libWeWorkFinanceSdk_C.so") || !strings.Contains(e.Do, "make sdk-layer") {
		t.Errorf("exit %d, %+v\n%s", code, e, said)
	}
}

// denied denies everything to a function.
func (w *watched) denied(logicalID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deny = logicalID
}

// late is AWS's endpoint as a machine sees it whose clock is two minutes ahead.
func late(t *testing.T, endpoint string) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target) // which keeps the Host that was signed
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", clock.Real().UTC().Add(-2*time.Minute-10*time.Second).Format(http.TimeFormat))
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}
