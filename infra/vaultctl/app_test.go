package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/progress"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

const (
	appAgent  = 1000007
	appSecret = "app-secret-of-tide"
)

// appDesk is an operator, and a tell that answers of the secret that is kept as WeCom would: it takes appSecret with appAgent.
type appDesk struct {
	*rig.Rig
	*program
	said  bytes.Buffer
	asked []string      // what tell was called with
	other func() string // tell's answer instead; nil: WeCom's. "": tell fails
}

func newAppDesk(t *testing.T) *appDesk {
	t.Helper()
	d := &appDesk{}
	d.Rig = rig.Start(t, rig.Options{Services: map[string]http.Handler{"lambda": http.HandlerFunc(d.tell)}})
	c := d.Config(rig.Operator)
	d.program = &program{out: &d.said, log: io.Discard, actor: "test", ledger: d.Ledger(c), vault: d.Secrets(c), where: settings{TellFunction: "wecomvault-tell"},
		functions: lambda.NewFromConfig(c, func(o *lambda.Options) { o.RetryMaxAttempts = 1 })}
	return d
}

func (d *appDesk) tell(w http.ResponseWriter, q *http.Request) {
	text, err := io.ReadAll(q.Body)
	if err != nil || q.URL.Path != "/2015-03-31/functions/wecomvault-tell/invocations" {
		d.Errorf("%s: %v", q.URL.Path, err)
	}
	d.asked = append(d.asked, string(text))
	if d.other != nil {
		answer := d.other()
		if answer == "" {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			answer = `{"errorMessage":"it ended"}`
		}
		d.answer(w, answer)
		return
	}
	var e struct{ Doctor struct{ Agent int } }
	if err := json.Unmarshal(text, &e); err != nil {
		d.Error(err)
	}
	code, why := 0, ""
	switch {
	case d.secret() != appSecret:
		code = 40001
	case e.Doctor.Agent != appAgent:
		code = 301002
	}
	if code != 0 {
		why = fmt.Sprintf("errcode %d", code)
	}
	d.answer(w, fmt.Sprintf(`{"kind":"app","held":true,"agent":%d,"code":%d,"why":%q}`, e.Doctor.Agent, code, why))
}

func (d *appDesk) answer(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		d.Error(err)
	}
}

// secret is what is kept; "" if nothing is.
func (d *appDesk) secret() string {
	v, err := d.vault.Secret(context.Background(), tide, secrets.App)
	if errors.Is(err, secrets.ErrAbsent) {
		return ""
	}
	if err != nil {
		d.Error(err)
	}
	return v.Reveal()
}

func (d *appDesk) file(word string) string {
	d.Helper()
	path := filepath.Join(d.TempDir(), "secret")
	d.OK(os.WriteFile(path, []byte(word+"\n"), 0o600))
	return path
}

// set runs corps set and returns what it printed.
func (d *appDesk) set(args ...string) (string, error) {
	d.Helper()
	d.said.Reset()
	err := corps(d.Context(), d.program, append([]string{"set", "-corp", string(tide)}, args...))
	return d.said.String(), err
}

// holds checks what is kept of the app.
func (d *appDesk) holds(secret string, agent int) {
	d.Helper()
	c, err := d.ledger.Corp(d.Context(), tide)
	d.OK(err)
	if got := d.secret(); got != secret || c.App != agent {
		d.Errorf("kept are the secret %q and the AgentId %d, want %q and %d", got, c.App, secret, agent)
	}
}

// enrolled adds the corp with its app.
func (d *appDesk) enrolled() {
	d.Helper()
	d.OK(corps(d.Context(), d.program, []string{"add", "-corp", string(tide), "-secret-file", d.file("archive"), "-report-to", "admin@tide.example",
		"-app-secret-file", d.file(appSecret), "-app-agent", fmt.Sprint(appAgent)}))
}

func TestAnAppThatWeComTakesIsKept(t *testing.T) {
	d := newAppDesk(t)
	d.enrolled()
	if want := `[{"doctor":{"agent":1000007,"corp":"wwtide"}}]`; fmt.Sprint(d.asked) != want || !strings.Contains(d.said.String(), "WeCom takes the app\n") {
		t.Errorf("asked %s, said %s", d.asked, d.said.String())
	}
	d.holds(appSecret, appAgent)
	// A secret alone is tried with the AgentId that is kept.
	if text, err := d.set("-app-secret-file", d.file(appSecret)); err != nil || !strings.Contains(text, "WeCom takes the app\n") || d.asked[1] != d.asked[0] {
		t.Errorf("%s, %v, asked %s", text, err, d.asked)
	}
	d.holds(appSecret, appAgent)
	// What is not of the app leaves it alone.
	if _, err := d.set("-name", "Tide"); err != nil || len(d.asked) != 2 {
		t.Errorf("%v, asked %s", err, d.asked)
	}
	d.holds(appSecret, appAgent)
}

func TestAnAppThatWeComRefusesLeavesTheOneBefore(t *testing.T) {
	d := newAppDesk(t)
	d.enrolled()
	for name, x := range map[string]struct {
		args []string
		code string
	}{
		"another secret":            {[]string{"-app-secret-file", d.file("not-the-secret")}, "errcode 40001"},
		"both":                      {[]string{"-app-secret-file", d.file("not-the-secret"), "-app-agent", "1000008"}, "errcode 40001"},
		"another AgentId":           {[]string{"-app-agent", "1000008"}, "errcode 301002"},
		"another AgentId with both": {[]string{"-app-secret-file", d.file(appSecret), "-app-agent", "1000008"}, "errcode 301002"},
	} {
		text, err := d.set(x.args...)
		if err == nil || !strings.Contains(err.Error(), x.code) || strings.Contains(err.Error()+text, "not-the-secret") || strings.Contains(text, "is changed") {
			t.Errorf("%s: %s, %v", name, text, err)
		}
		d.holds(appSecret, appAgent)
	}
	// The one before can't be put back: that is said, for the refused one is kept now.
	puts := 0
	d.Fault(func(q awslocal.FaultRequest) (out awslocal.FaultDecision) {
		if q.Operation == "PutSecretValue" {
			if puts++; puts > 1 {
				out.Act = awslocal.Refuse
			}
		}
		return out
	})
	if _, err := d.set("-app-secret-file", d.file("not-the-secret")); err == nil || !strings.Contains(err.Error(), "could not be put back") || !strings.Contains(err.Error(), "40001") {
		t.Errorf("nothing is said: %v", err)
	}
}

// A first secret that is refused stays, for no secret is ever deleted, and without an AgentId nobody uses it.
func TestAFirstAppThatWeComRefusesIsNotUsed(t *testing.T) {
	d := newAppDesk(t)
	d.OK(d.ledger.PutCorp(t.Context(), ledger.Corp{ID: tide, Added: noon, ReportTo: []ledger.Receiver{{Address: "admin@tide.example", Language: "en"}}}))
	if _, err := d.set("-app-secret-file", d.file("not-the-secret"), "-app-agent", fmt.Sprint(appAgent)); err == nil {
		t.Error("it is taken")
	}
	d.holds("not-the-secret", 0)
}

func TestAnAppThatNobodyCouldTryIsKeptAndSaidToBeUntried(t *testing.T) {
	d := newAppDesk(t)
	d.enrolled()
	function := d.where.TellFunction
	for name, x := range map[string]struct {
		answer  string
		nowhere bool
		said    string
	}{
		"the functions are not up":   {answer: "", said: "nobody could ask WeCom"},
		"no function is named":       {nowhere: true, said: "nobody could ask WeCom"},
		"another version's answer":   {answer: `{}`, said: "nobody could ask WeCom"},
		"an answer that is none":     {answer: `no`, said: "nobody could ask WeCom"},
		"WeCom does not answer":      {answer: `{"kind":"app","held":true,"agent":5,"why":"no answer"}`, said: "untried"},
		"tell does not see it yet":   {answer: `{"kind":"app","agent":5}`, said: "untried"},
		"the address is not trusted": {answer: `{"kind":"app","held":true,"agent":5,"code":60020,"why":"errcode 60020"}`, said: "60020"},
	} {
		d.other, d.where.TellFunction = func() string { return x.answer }, function
		if x.nowhere {
			d.where.TellFunction = ""
		}
		d.OK(d.vault.PutSecret(t.Context(), tide, secrets.App, secrets.NewValue(appSecret)))
		d.OK(d.ledger.SetApp(t.Context(), tide, appAgent))
		text, err := d.set("-app-secret-file", d.file("the-new-secret"), "-app-agent", "5")
		if err != nil || !strings.Contains(text, x.said) || !strings.Contains(text, "vaultctl doctor -corp "+string(tide)) || strings.Contains(text, "the-new-secret") {
			t.Errorf("%s: %s, %v", name, text, err)
		}
		d.holds("the-new-secret", 5)
	}
}

func TestAnAppNeedsASecretAndAnAgentID(t *testing.T) {
	d := newAppDesk(t)
	d.OK(d.ledger.PutCorp(t.Context(), ledger.Corp{ID: tide, Added: noon, ReportTo: []ledger.Receiver{{Address: "admin@tide.example", Language: "en"}}}))
	for name, args := range map[string][]string{
		"no AgentId": {"-app-secret-file", d.file(appSecret)}, "an AgentId below 1": {"-app-secret-file", d.file(appSecret), "-app-agent", "-1"},
		"no secret": {"-app-agent", "5"}, "an empty file": {"-app-secret-file", d.file(""), "-app-agent", "5"}, "two words": {"-app-secret-file", d.file("a b"), "-app-agent", "5"},
	} {
		if text, err := d.set(args...); err == nil || strings.Contains(err.Error(), appSecret) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
		d.holds("", 0)
	}
	if len(d.asked) != 0 {
		t.Errorf("tell was asked %s", d.asked)
	}
}

// The trouble of the archive's old secret ends with a new one, whatever becomes of the app that is given with it.
func TestTroubleEndsWithANewSecretThoughTheAppIsRefused(t *testing.T) {
	d := newAppDesk(t)
	d.enrolled()
	lease, _, err := d.ledger.TakeLease(t.Context(), tide, "fetch", ledger.Cursor{})
	d.OK(err)
	_, err = d.ledger.Beat(t.Context(), lease, ledger.Poll{Trouble: &ledger.Trouble{Cause: "secret", Since: noon, Code: 40001}})
	d.OK(err)
	if _, err := d.set("-secret-file", d.file("new-archive-secret"), "-app-secret-file", d.file("not-the-secret")); err == nil {
		t.Error("the app is taken")
	}
	cursor, err := d.ledger.Cursor(t.Context(), tide)
	d.OK(err)
	if cursor.Trouble != nil {
		t.Errorf("%+v", cursor.Trouble)
	}
}

func TestDoctorSaysHowWeComTakesTheApp(t *testing.T) {
	d := newAppDesk(t)
	app := func(kept int, answer string) examination {
		t.Helper()
		d.other = func() string { return answer }
		x := &doctor{program: d.program, line: progress.New(io.Discard, "doctor", "tests", 0)}
		x.app(t.Context(), ledger.Corp{ID: tide, App: kept})
		if len(x.found) != 1 {
			t.Fatalf("%+v", x.found)
		}
		return x.found[0]
	}
	for name, c := range map[string]struct {
		kept                int
		answer, state, says string
	}{
		"none":                     {0, "", green, "none is set"},
		"taken":                    {5, `{"kind":"app","held":true,"agent":5}`, green, "AgentId 5"},
		"no secret":                {5, `{"kind":"app","agent":5}`, toDo, "no secret"},
		"another app's":            {5, `{"kind":"app","held":true,"agent":5,"code":301002,"why":"errcode 301002"}`, toDo, "not the app of this secret"},
		"no AgentId of this corp":  {5, `{"kind":"app","held":true,"agent":5,"code":40056,"why":"errcode 40056"}`, toDo, "not the app of this secret"},
		"a wrong secret":           {5, `{"kind":"app","held":true,"agent":5,"code":40001,"why":"errcode 40001"}`, toDo, "secret"},
		"an untrusted address":     {5, `{"kind":"app","held":true,"agent":5,"code":60020,"address":"192.0.2.7","why":"errcode 60020"}`, toDo, "192.0.2.7"},
		"WeCom does not answer":    {5, `{"kind":"app","held":true,"agent":5,"why":"no answer"}`, toDo, "no answer"},
		"the functions are not up": {5, "", unknown, "could not be tested"},
	} {
		if got := app(c.kept, c.answer); got.State != c.state || !strings.Contains(got.Found, c.says) || (c.state == green) != (got.Do == "") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
