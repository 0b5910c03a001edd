package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

const (
	corp  = archive.CorpID("wwtell")
	agent = 1000007
)

// desk is the function with its own role over the whole local AWS, and a simulated WeCom whose time is the function's.
type desk struct {
	*rig.Rig
	*teller
	wecom    *wecomsim.Client
	operator *ledger.Ledger
	log      bytes.Buffer
	figures  map[string]float64
	n        int

	mu sync.Mutex
	at time.Time
}

func (d *desk) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *desk) later(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(t)
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{Rig: rig.Start(t, rig.Options{}), at: clock.Real(), figures: map[string]float64{}}
	sim, err := wecomsim.Open(filepath.Join(t.TempDir(), "wecom.db"), d.clock)
	d.OK(err)
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
	d.wecom = wecomsim.NewClient(server.URL)
	d.operator = d.Ledger(d.Config(rig.Operator))
	d.teller = d.another(server.URL)
	_, err = d.wecom.AddCorp(t.Context(), wecomsim.NewCorp{Corp: string(corp), Secrets: []wecomsim.Secret{
		{Kind: wecomsim.KindArchive, Value: "archive-secret"}, {Kind: wecomsim.KindNewApp, Value: "app-secret", Agent: agent, Departments: []int{2}}}})
	d.OK(err)
	d.OK(d.wecom.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: string(corp),
		Departments: []wecomsim.Department{{ID: 1, Name: "All"}, {ID: 2, Name: "Shown", Parent: 1}},
		Members: []wecomsim.Member{{UserID: "Lin.Yu", Name: "林雨", Department: []int{2}, Status: 1}, {UserID: "hidden", Name: "H", Department: []int{1}, Status: 1},
			{UserID: "poor", Name: "P", Department: []int{2}, Status: 1, Unlicensed: true}}}))
	d.OK(d.operator.PutCorp(t.Context(), ledger.Corp{ID: corp, Name: "Tell"}))
	d.OK(d.operator.SetApp(t.Context(), corp, agent))
	d.secret("app-secret")
	return d
}

// another is the function in a process of its own.
func (d *desk) another(url string) *teller {
	c := d.Once("TellFunction")
	return &teller{
		ledger: d.Ledger(c), vault: d.Secrets(c), server: wecom.New(url, &http.Client{Timeout: 5 * time.Second}, d.clock), log: slog.New(slog.NewTextHandler(&d.log, nil)),
		count: func(figure string, n float64) { d.figures[figure] += n }, now: d.clock, real: d.clock, owner: newOwner,
	}
}

func (d *desk) secret(value string) {
	d.Helper()
	d.OK(d.Secrets(d.Config(rig.Operator)).PutSecret(d.Context(), corp, secrets.App, secrets.NewValue(value)))
}

// plan plans a message of its own for each call.
func (d *desk) plan(to archive.PartyID) ledger.Telling {
	d.Helper()
	d.n++
	t := ledger.Telling{Corp: corp, Day: d.clock().AddDate(0, 0, d.n).Format(time.DateOnly), Report: "R2", To: to, Text: fmt.Sprintf("请补手机号 %d", d.n), At: d.clock()}
	d.OK(d.operator.PlanTelling(d.Context(), t))
	return t
}

func (d *desk) does(t ledger.Telling) error {
	return d.tell(d.Context(), queue.TellJob{Corp: corp, Telling: t.Key()})
}

func (d *desk) row(t ledger.Telling) ledger.Telling {
	d.Helper()
	row, err := d.operator.TellingOf(d.Context(), corp, t.Key())
	d.OK(err)
	return row
}

// shown is what the member sees of a telling.
func (d *desk) shown(t ledger.Telling) (texts []string) {
	d.Helper()
	all, err := d.wecom.Written(d.Context(), string(corp))
	d.OK(err)
	for _, w := range all {
		if w.To == string(t.To) && !w.Dropped && strings.HasPrefix(w.Text, t.Text) {
			texts = append(texts, w.Text)
		}
	}
	return texts
}

// trouble gives the next call of message/send trouble.
func (d *desk) trouble(f wecomsim.Fault) {
	d.Helper()
	if f.API == "" {
		f.API = "message/send"
	}
	f.Times = 1
	d.OK(d.wecom.Call(d.Context(), http.MethodPost, "/sim/fault", f, nil))
}

// T5: once a day.
func TestAUserIsToldOnceHoweverOftenTheJobComes(t *testing.T) {
	d := newDesk(t)
	m := d.plan("Lin.Yu")
	for range 3 {
		d.OK(d.does(m))
	}
	if got := d.shown(m); len(got) != 1 || got[0] != m.Text {
		t.Fatalf("%q", got)
	}
	if row := d.row(m); row.State != ledger.Told || row.MsgID == "" || row.Attempt != 1 || row.Doubles != 0 || row.Agent != agent {
		t.Errorf("%+v", row)
	}
	if d.figures["TellingsSent"] != 1 || d.figures["PossibleDoubles"] != 0 {
		t.Errorf("%v", d.figures)
	}
	if s := d.log.String(); strings.Contains(s, m.Text) || strings.Contains(s, "app-secret") {
		t.Errorf("the log tells what was said, or a secret:\n%s", s)
	}
	if err := d.tell(t.Context(), queue.TellJob{Corp: corp, Telling: "2032-01-01#R2#nobody"}); fault.KindOf(err) != fault.Permanent {
		t.Errorf("a job without a row: %v", err)
	}
}

// T5: through lost answers.
func TestALostAnswerIsSettledByARepetitionThatWeComShowsOnce(t *testing.T) {
	for _, kind := range []string{wecomsim.FaultCut, wecomsim.FaultReset, wecomsim.FaultClose, wecomsim.Fault500} {
		t.Run(kind, func(t *testing.T) {
			d := newDesk(t)
			m := d.plan("Lin.Yu")
			d.trouble(wecomsim.Fault{Kind: kind})
			if err := d.does(m); err == nil || fault.KindOf(err) != fault.Retryable {
				t.Fatalf("a lost answer ends with %v", err)
			}
			if row := d.row(m); row.State != ledger.MailSending || row.Asked.IsZero() {
				t.Fatalf("%+v", row)
			}
			before := len(d.shown(m))
			if err := d.does(m); err == nil || len(d.shown(m)) != before {
				t.Fatalf("it is sent again while its sender may live: %v", err)
			}
			d.later(claimTime + time.Second)
			d.OK(d.does(m))
			if got := d.shown(m); len(got) != 1 || got[0] != m.Text {
				t.Errorf("%q", got)
			}
			if row := d.row(m); row.State != ledger.Told || row.Doubles != 0 || row.Attempt != 2 {
				t.Errorf("%+v", row)
			}
		})
	}
}

func TestAfterTheWindowADoubleIsMarkedAndCountedAndSettledInAWindowOfItsOwn(t *testing.T) {
	d := newDesk(t)
	m := d.plan("Lin.Yu")
	d.trouble(wecomsim.Fault{Kind: wecomsim.FaultCut})
	if err := d.does(m); err == nil {
		t.Fatal("an answer that was cut")
	}
	d.later(wecom.DuplicateWindow + time.Minute)
	d.trouble(wecomsim.Fault{Kind: wecomsim.FaultReset})
	if err := d.does(m); err == nil {
		t.Fatal("an answer that was cut")
	}
	d.later(claimTime + time.Second)
	d.OK(d.does(m))
	got := d.shown(m)
	if len(got) != 2 || got[0] != m.Text || !strings.Contains(got[1], "sent again, 1") {
		t.Errorf("%q", got)
	}
	if row := d.row(m); row.State != ledger.Told || row.Doubles != 1 || d.figures["PossibleDoubles"] != 1 {
		t.Errorf("%+v, %v", row, d.figures)
	}
}

// T5: and why not.
func TestWhomTheAppMayNotWriteToIsRefusedWithTheReason(t *testing.T) {
	d := newDesk(t)
	for to, reason := range map[archive.PartyID]string{"hidden": ledger.TellNotInRange, "nobody": ledger.TellNotInRange, "poor": ledger.TellUnlicensed} {
		m := d.plan(to)
		if err := d.does(m); fault.KindOf(err) != fault.Permanent || fault.ReasonOf(err) != fault.Reason(reason) {
			t.Errorf("%s: %v", to, err)
		}
		if row := d.row(m); row.State != ledger.TellRefused || row.Reason != reason || row.MsgID != "" {
			t.Errorf("%s: %+v", to, row)
		}
		d.OK(d.does(m))
	}
}

func TestWhatIsWrongWithTheAppMakesMessagesWaitAndThenTheyGoOut(t *testing.T) {
	for name, x := range map[string]struct {
		break_, mend func(d *desk)
		reason       string
	}{
		"the address is not trusted": {func(d *desk) { d.trusted(true) }, func(d *desk) { d.trusted(false) }, ledger.TellAddress},
		"another app's id": {func(d *desk) { d.OK(d.operator.SetApp(d.Context(), corp, 1000008)) }, func(d *desk) { d.OK(d.operator.SetApp(d.Context(), corp, agent)) },
			ledger.TellWrongApp},
		"the archive's secret":       {func(d *desk) { d.secret("archive-secret"); d.tokens = nil }, func(d *desk) { d.secret("app-secret"); d.tokens = nil }, ledger.TellWrongApp},
		"a secret that was reset":    {func(d *desk) { d.secret("app-secreT"); d.tokens = nil }, func(d *desk) { d.secret("app-secret") }, ledger.TellSecret},
		"the app is disabled":        {func(d *desk) { d.disabled(true) }, func(d *desk) { d.disabled(false) }, ledger.TellDisabled},
		"too many calls":             {func(d *desk) { d.trouble(wecomsim.Fault{Kind: wecomsim.FaultCode, ErrCode: 45009}) }, func(*desk) {}, ledger.TellLimited},
		"no token comes":             {func(d *desk) { d.trouble(wecomsim.Fault{Kind: wecomsim.Fault500, API: "gettoken"}) }, func(*desk) {}, ledger.TellRefusedFor},
		"a code that nobody expects": {func(d *desk) { d.trouble(wecomsim.Fault{Kind: wecomsim.FaultCode, ErrCode: 99999}) }, func(*desk) {}, ledger.TellRefusedFor},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			m := d.plan("Lin.Yu")
			x.break_(d)
			if err := d.does(m); err == nil || fault.KindOf(err) != fault.Retryable {
				t.Fatalf("%v", err)
			}
			if row := d.row(m); row.State != ledger.MailPlanned || row.Reason != x.reason || !row.Asked.IsZero() {
				t.Fatalf("%+v", row)
			}
			x.mend(d)
			d.later(time.Second)
			d.OK(d.does(m))
			if row := d.row(m); row.State != ledger.Told || row.Doubles != 0 || len(d.shown(m)) != 1 {
				t.Errorf("%+v, %q", row, d.shown(m))
			}
		})
	}
}

func (d *desk) trusted(on bool) {
	d.Helper()
	_, err := d.wecom.ChangeCorp(d.Context(), wecomsim.ChangeCorp{Corp: string(corp), Trusted: &wecomsim.Trusted{On: on, IPs: []string{"198.51.100.9"}}})
	d.OK(err)
}

func (d *desk) disabled(off bool) {
	d.Helper()
	_, err := d.wecom.ChangeCorp(d.Context(), wecomsim.ChangeCorp{Corp: string(corp), Secret: &wecomsim.Secret{Kind: wecomsim.KindNewApp, Value: "app-secret", Agent: agent,
		Departments: []int{2}, Disabled: off}})
	d.OK(err)
}

func TestARefusedSecretIsNotSaidForEachMessage(t *testing.T) {
	d := newDesk(t)
	d.secret("mistyped")
	for range 5 {
		if err := d.does(d.plan("Lin.Yu")); err == nil {
			t.Fatal("told, with a wrong secret")
		}
	}
	var a wecomsim.Account
	d.OK(d.wecom.Call(t.Context(), http.MethodGet, "/sim/account?corp="+string(corp), nil, &a))
	if n := a.Calls["gettoken"]; n != 1 {
		t.Errorf("a refused secret was said %d times", n)
	}
	d.secret("app-secret")
	d.OK(d.does(d.plan("Lin.Yu")))
}

// TestEachStepMayFailOrSeemTo refuses each call to AWS once, and lets each be done and reported as failed: the end is the same, one message.
func TestEachStepMayFailOrSeemTo(t *testing.T) {
	d := newDesk(t)
	first := d.plan("Lin.Yu")
	d.OK(d.does(first))
	steps := 0
	for _, c := range d.Calls() {
		if c.Caller == "TellFunction" {
			steps++
		}
	}
	if steps < 4 {
		t.Fatalf("%d calls", steps)
	}
	for _, act := range []awslocal.Act{awslocal.FailAfter, awslocal.CutInstead, awslocal.CutAfter, awslocal.Refuse} {
		for n := 1; n <= steps; n++ {
			m := d.plan("Lin.Yu")
			d.teller = d.another(d.wecom.BaseURL) // as after a crash: no token is kept
			seen := 0
			d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
				if q.Caller == "TellFunction" {
					if seen++; seen == n {
						return awslocal.FaultDecision{Act: act}
					}
				}
				return awslocal.FaultDecision{}
			})
			failed := d.does(m)
			d.Fault(nil)
			for range 3 {
				d.later(claimTime + time.Second)
				if err := d.does(m); err == nil {
					break
				}
			}
			if row := d.row(m); row.State != ledger.Told || row.Doubles != 0 || len(d.shown(m)) != 1 {
				t.Errorf("call %d, act %d, which ended with %v: %+v, %q", n, act, failed, row, d.shown(m))
			}
		}
	}
}

func TestTwoAtOnceTellOnce(t *testing.T) {
	d := newDesk(t)
	other := d.another(d.wecom.BaseURL)
	for range 8 {
		m := d.plan("Lin.Yu")
		var both sync.WaitGroup
		for _, p := range []*teller{d.teller, other} {
			both.Go(func() {
				// The one that finds the other at it fails, and its job comes back.
				_ = p.tell(t.Context(), queue.TellJob{Corp: corp, Telling: m.Key()})
			})
		}
		both.Wait()
		d.OK(d.does(m))
		if row := d.row(m); row.State != ledger.Told || len(d.shown(m)) != 1 {
			t.Errorf("%+v, %q", row, d.shown(m))
		}
	}
}

func TestDoctorIsToldHowWeComTakesTheApp(t *testing.T) {
	d := newDesk(t)
	ask := func(input string) (found examined) {
		d.Helper()
		got, err := d.call(t.Context(), []byte(input))
		d.OK(err)
		text, err := json.Marshal(got)
		d.OK(err)
		d.OK(json.Unmarshal(text, &found))
		if strings.Contains(string(text), "app-secret") {
			t.Error("the answer holds the secret")
		}
		return found
	}
	if got := ask(`{"doctor":{"corp":"wwtell"}}`); !got.Held || got.Agent != agent || got.Code != 0 || got.Why != "" {
		t.Errorf("%+v", got)
	}
	if got := ask(`{"doctor":{"corp":"wwtell","agent":5}}`); got.Code != 301002 {
		t.Errorf("another app's id: %+v", got)
	}
	if got := ask(`{"doctor":{"corp":"wwnobody","agent":5}}`); got.Held {
		t.Errorf("a corp without secret: %+v", got)
	}
	d.trusted(true)
	if got := ask(`{"doctor":{"corp":"wwtell"}}`); got.Code != 60020 || got.Address == "" {
		t.Errorf("an address that is not trusted: %+v", got)
	}
	if all, err := d.wecom.Written(t.Context(), string(corp)); err != nil || len(all) != 0 {
		t.Errorf("doctor wrote to somebody: %+v, %v", all, err)
	}
	if _, err := d.call(t.Context(), []byte(`{}`)); err == nil {
		t.Error("called for nothing")
	}
}

// T5: a message of last week is taken for today's.
func TestAJobThatComesDaysLateShowsNothingAndLeavesTheMessageToBeGivenUp(t *testing.T) {
	d := newDesk(t)
	fresh, old := d.plan("Lin.Yu"), d.plan("Lin.Yu")
	for m, day := range map[*ledger.Telling]int{&fresh: -4, &old: -5} {
		m.Day = d.clock().UTC().AddDate(0, 0, day).Format(time.DateOnly)
		d.OK(d.operator.PlanTelling(t.Context(), *m))
		d.OK(d.does(*m))
	}
	if len(d.shown(fresh)) != 1 || d.row(fresh).State != ledger.Told {
		t.Errorf("of four days ago: %q, %+v", d.shown(fresh), d.row(fresh))
	}
	if row := d.row(old); len(d.shown(old)) != 0 || row.State != ledger.MailPlanned || row.Attempt != 0 {
		t.Errorf("of five days ago: %q, %+v", d.shown(old), row)
	}
	d.OK(d.operator.GiveUpTelling(t.Context(), d.row(old), d.clock(), d.clock()))
	d.OK(d.does(old))
	if got := d.shown(old); len(got) != 0 {
		t.Errorf("given up, and shown: %q", got)
	}
}
