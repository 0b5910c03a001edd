package judge_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/infra/local/judge"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb"
)

// judges starts a judge for the rest of the test, or skips.
func start(t *testing.T, name string) *judge.Judge {
	t.Helper()
	folder := os.Getenv(judge.Folder)
	if folder == "" {
		t.Skip("`make judge` runs this: it installs the judges first")
	}
	j, err := judge.Start(t.Context(), folder, name, t.TempDir())
	if errors.Is(err, judge.ErrNotInstalled) && os.Getenv("CI") == "" {
		t.Skipf("SKIPPED by name: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// send sends a request and reads its answer to the end.
func send(client *http.Client, r *http.Request) (*http.Response, []byte, error) {
	out, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	said, err := io.ReadAll(out.Body)
	return out, said, errors.Join(err, out.Body.Close())
}

// times is how many times as much as usual is generated.
func times(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WECOMVAULT_JUDGE_N")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("N is %q, not a number of 1 or more", text)
	}
	return n
}

// budget is how long something is generated: a quarter of it in the short form.
func budget(t *testing.T, usual time.Duration) time.Duration {
	t.Helper()
	if testing.Short() {
		usual /= 4
	}
	return time.Duration(times(t)) * usual
}

// ours starts the local endpoints with DynamoDB among them; now may be nil.
func ours(t *testing.T, now func() time.Time) *awstest.Endpoint {
	t.Helper()
	return awstest.Start(t, awstest.Options{Now: now, More: func(db *bbolt.DB) map[string]http.Handler {
		tables, err := ddb.New(db, awstest.Region, awstest.Account, nil)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]http.Handler{"dynamodb": tables}
	}})
}

// answer is what a side said: a status and a document. Code is the error's name, "" if there was none.
type answer struct {
	Status int
	Code   string
	Body   map[string]any
}

// side is one of the two that are compared, spoken to in one of AWS's JSON protocols.
type side struct {
	name, url      string
	service        string // of the credential scope
	prefix         string // of X-Amz-Target
	version        string // of the protocol
	client         *http.Client
	signer         *v4.Signer
	key, secretKey string
}

func newSide(name, url, service, prefix, version string) *side {
	return &side{name: name, url: url, service: service, prefix: prefix, version: version, client: &http.Client{Timeout: 30 * time.Second}, signer: v4.NewSigner(),
		key: "operator", secretKey: "operator-secret"}
}

// call sends one request once.
func (s *side) call(ctx context.Context, operation string, in any) (answer, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return answer{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/", bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("X-Amz-Target", s.prefix+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-"+s.version)
	sum := sha256.Sum256(body)
	// The signature's time is real time, for the front holds it against that.
	err = s.signer.SignHTTP(ctx, aws.Credentials{AccessKeyID: s.key, SecretAccessKey: s.secretKey}, r, hex.EncodeToString(sum[:]), s.service, awstest.Region, time.Now())
	if err != nil {
		return answer{}, err
	}
	out, text, err := send(s.client, r)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", s.name, operation, err)
	}
	a := answer{Status: out.StatusCode, Body: map[string]any{}}
	if len(bytes.TrimSpace(text)) > 0 {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&a.Body); err != nil {
			a.Body = map[string]any{"text": string(text)}
		}
	}
	if a.Status >= 300 {
		kind, _ := a.Body["__type"].(string)
		a.Code = kind[strings.LastIndexByte(kind, '#')+1:]
		if a.Code == "" {
			a.Code = "HTTP " + strconv.Itoa(a.Status)
		}
	}
	return a, nil
}

// must is call for a history: without an answer there is nothing to compare.
func (s *side) must(r *rapid.T, operation string, in any) answer {
	a, err := s.call(context.Background(), operation, in)
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// repeat checks histories until the time is up; the first that fails is made small and shown. How many that are is -rapid.checks,
// which histories is -rapid.seed: infra/ci/judge.sh gives both, so that a run is one that was seen before, and its budget is all that ends it.
func repeat(t *testing.T, budget time.Duration, history func(*rapid.T)) {
	t.Helper()
	end := time.Now().Add(budget)
	rapid.Check(t, func(r *rapid.T) {
		if time.Now().Before(end) {
			history(r)
		}
	})
}

// difference is a class of answers in which a judge differs from ours, with the reason.
type difference struct {
	judges string // names, by blanks
	op     string // the operation; "" is any
	ours   string // our error's name; "ok" for none, "" for any
	theirs string // the judge's, likewise
	// when narrows it down further; nil is always.
	when func(exchange) bool
	why  string
}

// exchange is one request with both answers.
type exchange struct {
	op           string
	request      string // as JSON, or as a sentence
	ours, theirs answer
}

func (e exchange) String() string {
	show := func(a answer) string {
		b, err := json.Marshal(a.Body)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d %s %s", a.Status, a.Code, b)
	}
	return fmt.Sprintf("%s %s\n  ours:   %s\n  theirs: %s", e.op, e.request, show(e.ours), show(e.theirs))
}

func (e exchange) messages() (ours, theirs string) {
	of := func(a answer) string {
		for _, name := range []string{"message", "Message"} {
			if m, ok := a.Body[name].(string); ok {
				return m
			}
		}
		return ""
	}
	return of(e.ours), of(e.theirs)
}

// account counts what was compared.
type account struct {
	mu       sync.Mutex
	judge    string
	compared int
	byOp     map[string]int
	refused  int
	reasons  map[string]int
}

func newAccount(judge string) *account {
	return &account{judge: judge, byOp: map[string]int{}, reasons: map[string]int{}}
}

// explain finds the reason of a difference; "" if nobody gave one.
func (a *account) explain(table []difference, e exchange) string {
	name := func(x answer) string {
		if x.Code == "" {
			return "ok"
		}
		return x.Code
	}
	for _, d := range table {
		if strings.Contains(" "+d.judges+" ", " "+a.judge+" ") && (d.op == "" || strings.Contains(" "+d.op+" ", " "+e.op+" ")) && (d.ours == "" || d.ours == name(e.ours)) && (d.theirs == "" || d.theirs == name(e.theirs)) &&
			(d.when == nil || d.when(e)) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.reasons[d.why]++
			return d.why
		}
	}
	return ""
}

func (a *account) count(e exchange) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.compared++
	a.byOp[e.op]++
	if e.ours.Code != "" {
		a.refused++
	}
}

func (a *account) explained(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reasons[why]++
}

// unexplained ends the test, or with WECOMVAULT_JUDGE_SURVEY set only notes some of each kind.
func (a *account) unexplained(t *testing.T, r *rapid.T, diff string, e exchange) {
	if os.Getenv("WECOMVAULT_JUDGE_SURVEY") == "" {
		r.Fatalf("unexplained (-theirs +ours):\n%s\n%s", diff, e)
	}
	kind := fmt.Sprintf("UNEXPLAINED %s, ours %q, theirs %q", e.op, e.ours.Code, e.theirs.Code)
	a.explained(kind)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reasons[kind] <= 3 {
		t.Logf("UNEXPLAINED %s\n%s", e, diff)
	}
}

// report logs the account; the README's figures come from it.
func (a *account) report(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	t.Logf("judge %s: %d exchanges compared (%d of them refusals) %v", a.judge, a.compared, a.refused, a.byOp)
	for why, n := range a.reasons {
		t.Logf("judge %s: %d times explained: %s", a.judge, n, why)
	}
}
