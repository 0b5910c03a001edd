package main

import (
	"context"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/apigateway"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	local "github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// way is this function and the function callback's own program, behind an HTTP API, both with their roles, over one AWS and one WeCom.
type way struct {
	*rig
	aws   *local.Rig
	clock string
}

func newWay(t *testing.T) *way {
	t.Helper()
	w := &way{rig: newRig(t), clock: filepath.Join(t.TempDir(), "clock")}
	w.at = time.Date(2031, 5, 6, 13, 0, 0, 0, time.UTC) // all of it falls into one report's day
	w.aws = local.Start(t, local.Options{Parameters: map[string]string{"Callbacks": "true"}})
	operator := w.aws.Config(local.Operator)
	w.ok(w.aws.Ledger(operator).PutCorp(t.Context(), ledger.Corp{ID: corp, Added: w.at}))
	vault := w.aws.Secrets(operator)
	w.ok(vault.PutSecret(t.Context(), corp, secrets.Contacts, secrets.NewValue("legacy-of-"+string(corp))))
	w.ok(vault.PutCallback(t.Context(), corp, secrets.Contacts, secrets.Callback{Token: secrets.NewValue(callbackToken), AESKey: secrets.NewValue(callbackKey)}))
	own := w.aws.Config("DirectoryFunction")
	w.ledger, w.store, w.vault = w.aws.Ledger(own), w.aws.Store(own, "ArchiveBucket"), w.aws.Secrets(own)
	w.jobs = queue.New[queue.DirectoryJob](sqs.NewFromConfig(own), w.aws.Name("DirectoryQueue"))

	program := local.Program(t, "functions/callback")
	host := must[*lambdahost.Host](t)(lambdahost.New(lambdahost.Options{Template: w.aws.Template, Endpoint: w.aws.URL, Logs: t.TempDir(), Temporary: t.TempDir(), ClockFile: w.clock,
		Now: clock.Real, Binary: func(template.Function) string { return program },
		Credentials: func(id string) (string, string) {
			c, err := w.aws.Config(id).Credentials.Retrieve(context.Background())
			w.ok(err)
			return c.AccessKeyID, c.SecretAccessKey
		}}))
	gateway := must[*apigateway.Gateway](t)(apigateway.New(apigateway.Options{Template: w.aws.Template, Now: clock.Real, Real: clock.Real,
		Invoke: func(ctx context.Context, id string, payload []byte) ([]byte, bool, error) {
			out, err := host.Invoke(ctx, id, payload)
			return out.Payload, out.FunctionError != "", err
		}}))
	server := httptest.NewServer(gateway)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	w.tick(0)
	address := wecomsim.Callback{Corp: string(corp), Kind: wecomsim.CallbackContacts, URL: server.URL + "/callback/" + string(corp) + "/contacts",
		Token: callbackToken, AESKey: callbackKey, Full: true, PauseMS: 100}
	for try := 1; ; try++ { // WeCom gives the first answer a second, and the program has just been started
		if _, err := w.sim.SetCallback(t.Context(), address); err == nil {
			break
		} else if try == 10 {
			t.Fatal(err)
		}
	}
	return w
}

// tick lets time pass for everybody.
func (w *way) tick(d time.Duration) {
	w.Helper()
	w.at = w.at.Add(d)
	must[wecomsim.Clock](w.T)(w.sim.SetClock(w.Context(), wecomsim.Clock{Now: &w.at}))
	w.ok(os.WriteFile(w.clock, []byte(strconv.FormatInt(int64(w.at.Sub(clock.Real())), 10)), 0o600))
}

// told has WeCom deliver what it has to tell, and returns the jobs that callback made of it.
func (w *way) told() []string {
	w.Helper()
	must[[]wecomsim.Delivery](w.T)(w.sim.Settle(w.Context(), wecomsim.Settle{Corp: string(corp)}))
	return w.aws.Take("DirectoryQueue")
}

func (w *way) does(jobs []string) {
	w.Helper()
	for _, body := range jobs {
		w.tick(time.Second)
		w.work(must[queue.DirectoryJob](w.T)(queue.Decode[queue.DirectoryJob](body)))
	}
}

// played plays the steps; each is followed by what hear makes of the jobs, and an hour at whose end the whole directory may be read.
func (w *way) played(hear func(step int, jobs []string)) {
	w.Helper()
	w.change(wecomsim.ChangeContacts{
		Departments: []wecomsim.Department{{ID: 5, Name: "Lights", Parent: 2}}, Members: []wecomsim.Member{{UserID: "rui", Name: "Rui", Department: []int{2}, Status: 1, Gender: "1"}},
	})
	w.does(w.told())
	w.refreshed(corp)
	for i, c := range steps() {
		w.tick(7 * time.Minute)
		w.change(c)
		jobs := w.told()
		if len(jobs) == 0 {
			w.Errorf("WeCom did not tell of step %d", i)
		}
		w.tick(5 * time.Second)
		hear(i, jobs)
	}
}

// rows is what R3, R4 and R5 tell of the day.
func (w *way) rows() report.DayRows {
	w.Helper()
	members := map[archive.PartyID]directory.Entry{}
	w.ok(w.ledger.Entries(w.Context(), corp, directory.KindMember, func(e directory.Entry) bool {
		members[archive.PartyID(e.ID)] = e
		return true
	}))
	noon := time.Date(2031, 5, 7, 12, 0, 0, 0, time.UTC)
	return report.Changes(noon, w.events(), nil, func(id archive.PartyID) report.Seen {
		m := must[directory.Member](w.T)(directory.Parse[directory.Member](members[id].Fields))
		return report.Seen{Person: report.Person{ID: id, Name: m.Name, Departments: m.Departments}, Member: m, Here: !members[id].Gone}
	})
}

// With WeCom's callbacks through callback's own program and queue, and without; told twice, in disorder, late, or in part: the same events and the same
// rows of R3, R4 and R5. Callbacks make the time narrower within which it happened, and say when WeCom told of it.
func TestBothWaysGiveTheSameHistoryThroughTheFunctions(t *testing.T) {
	slow(t)
	off := newWay(t)
	off.played(func(int, []string) { off.refreshed(corp) })
	want, day := off.events(), off.rows()
	if len(day.Numbers) == 0 || len(day.Deleted) < 2 || len(day.New) < 2 || len(want) < 12 {
		t.Fatalf("too little happened: %+v", day)
	}
	state := off.state(corp)
	for name, play := range map[string]func(w *way){
		"told twice": func(w *way) { w.played(func(_ int, jobs []string) { w.does(jobs); w.does(jobs) }) },
		"later than the snapshot, in disorder": func(w *way) {
			var waiting []string
			w.played(func(_ int, jobs []string) { waiting = append(waiting, jobs...); w.refreshed(corp) })
			waiting = append(waiting, waiting...)
			rand.New(rand.NewPCG(3, 5)).Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
			w.does(waiting)
		},
		"every other is lost": func(w *way) {
			w.played(func(step int, jobs []string) {
				if step%2 == 0 {
					w.does(jobs)
				}
				w.refreshed(corp)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWay(t)
			play(w)
			w.refreshed(corp)
			got := w.events()
			if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
				t.Fatalf("events: -without callbacks +with\n%s", diff)
			}
			if diff := cmp.Diff(state, w.state(corp)); diff != "" {
				t.Errorf("states: -without callbacks +with\n%s", diff)
			}
			if diff := cmp.Diff(day, w.rows(), cmpopts.IgnoreTypes(report.Between{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("R3, R4 and R5: -without callbacks +with\n%s", diff)
			}
			narrow := 0
			for _, e := range got {
				if e.ID == "rui" && e.What == directory.Joined || e.ID == "5" && e.What == directory.DepartmentMade {
					continue // WeCom told of it before the first reading
				}
				if width := e.By.Sub(e.After); width <= 0 || width > 2*time.Hour {
					t.Errorf("%s of %s %s happened within %v", e.What, e.Kind, e.ID, width)
				} else if width < 20*time.Minute {
					narrow++
				}
			}
			if name != "later than the snapshot, in disorder" && narrow < len(got)/4 {
				t.Errorf("only %d of %d have a narrow time", narrow, len(got))
			}
			if name == "every other is lost" {
				return // what WeCom told and nobody looked at is in the ledger alone
			}
			w.store = w.aws.Store(w.aws.Config(local.Operator), "ArchiveBucket") // the function lists nothing
			w.sameAsKept(t)
		})
	}
}
