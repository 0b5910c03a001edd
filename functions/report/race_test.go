package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// processes runs the built programs of report and mail, a process for each event that comes while the others are busy, at the desk's time.
func (d *desk) processes() *lambdahost.Host {
	d.Helper()
	dir := d.TempDir()
	file := filepath.Join(dir, "clock")
	d.OK(os.WriteFile(file, []byte(strconv.FormatInt(int64(d.at.Sub(clock.Real())), 10)+"\n"), 0o600))
	programs := map[string]string{"report": rig.Program(d.TB, "functions/report"), "mail": rig.Program(d.TB, "functions/mail")}
	log, err := os.Create(filepath.Join(dir, "host.log")) // #nosec G304 -- the test's own folder
	d.OK(err)
	host, err := lambdahost.New(lambdahost.Options{
		Template: d.Template, Endpoint: d.URL, ClockFile: file, Now: func() time.Time { return d.at }, Logs: filepath.Join(dir, "logs"), Temporary: filepath.Join(dir, "tmp"),
		Binary: func(f template.Function) string {
			return programs[strings.TrimPrefix(f.Name, d.Template.StackName+"-")]
		},
		Credentials: func(id string) (string, string) {
			c, err := d.Config(id).Credentials.Retrieve(d.Context())
			d.OK(err)
			return c.AccessKeyID, c.SecretAccessKey
		},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	d.OK(err)
	d.Cleanup(func() {
		d.OK(host.Close())
		d.OK(log.Close())
	})
	return host
}

// TestTwoProcessesAtOnceMailEachReceiverOnce lets the schedule fire twice at each noon, each in a process of its own, and has each mail's job twice, in two
// processes at once: while SES throttles some, and loses its answer to others.
func TestTwoProcessesAtOnceMailEachReceiverOnce(t *testing.T) {
	slow(t)
	d := newDesk(t)
	make2 := func(id archive.CorpID) ledger.Corp {
		c := d.company(id)
		d.pier(id, noon.Add(-19*time.Hour))
		_, err := d.operator.PutReceiver(d.Context(), id, receivers.Row{ID: "r-1", Address: "Warden@clearlake.example", Language: "en", Department: 2, Reports: []report.Kind{"R1"}, Added: noon.Add(-time.Hour)})
		d.OK(err)
		return c
	}
	plain := make2("wwalone")
	d.OK(d.due(d.Context()))
	want := d.state(plain.ID)

	host := d.processes()
	var corps []archive.CorpID
	for i := range 2 {
		corps = append(corps, make2(archive.CorpID(fmt.Sprint("wwraced", i))).ID)
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			res, err := host.Invoke(d.Context(), "ReportFunction", []byte("{}"))
			if err != nil || res.FunctionError != "" {
				t.Errorf("report says %s: %v", res.Payload, err)
			}
		})
	}
	both.Wait()
	jobs := d.jobs() // all corps' have the same names
	for i := range jobs {
		delete(want, fmt.Sprint("job ", i))
	}
	for _, id := range corps {
		got := d.state(id)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-alone +raced):\n%s", id, diff)
		}
	}

	// All are sent within a second or so, and nothing here pauses as SQS would: at the account's own rate SES would throttle the last of them for longer
	// than they are tried, and take none of those whose answer, that says so, is lost.
	d.SES.SetQuota(ses.Quota{PerDay: 1000, PerSecond: 1000})
	// Every third mail is throttled once, and of every third the answer is lost.
	var mu sync.Mutex
	asked := map[string]int{}
	var order []string
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Service != "ses" {
			return awslocal.FaultDecision{}
		}
		mu.Lock()
		defer mu.Unlock()
		mail := string(q.Body)
		if asked[mail]++; asked[mail] == 1 {
			order = append(order, mail)
		}
		place := 0
		for i, m := range order {
			if m == mail {
				place = i
			}
		}
		switch {
		case place%3 == 0 && asked[mail] == 1:
			return awslocal.FaultDecision{Act: awslocal.Refuse, Code: "Throttling", Status: 400, Message: "Maximum sending rate exceeded."}
		case place%3 == 1:
			return awslocal.FaultDecision{Act: awslocal.CutAfter}
		}
		return awslocal.FaultDecision{}
	})
	total := 0
	for _, id := range corps {
		for _, m := range d.planned(id) {
			total++
			event := func(n int) []byte {
				body, err := json.Marshal(queue.MailJob{Corp: id, Mail: m.Key()})
				d.OK(err)
				record, err := json.Marshal(map[string]any{"Records": []map[string]any{{"messageId": fmt.Sprint(total, "-", n), "receiptHandle": "none", "body": string(body), "eventSource": "aws:sqs",
					"attributes": map[string]string{"ApproximateReceiveCount": "1"}}}})
				d.OK(err)
				return record
			}
			for round, end := 0, clock.Real().Add(time.Minute); ; round++ { // SQS brings back what failed
				row, err := d.operator.Mail(d.Context(), id, m.Key())
				d.OK(err)
				if round > 1 && row.State != ledger.MailPlanned {
					break
				}
				if clock.Real().After(end) {
					t.Errorf("mail %s of %s is %s after %d rounds: %s", m.Key(), id, row.State, round, row.Reason)
					break
				}
				for n := range 2 {
					both.Go(func() {
						_, err := host.Invoke(d.Context(), "MailFunction", event(10*round+n))
						if err != nil {
							t.Error(err)
						}
					})
				}
				both.Wait()
			}
		}
	}
	d.Fault(nil)
	sent, err := d.SES.Mails()
	d.OK(err)
	times := map[string]int{}
	for _, m := range sent {
		raw, err := d.SES.Raw(m.ID)
		d.OK(err)
		for _, line := range strings.Split(string(raw), "\r\n") {
			if id, is := strings.CutPrefix(line, "X-WecomVault-Report-Id: "); is {
				times[id]++
			}
		}
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("mail %s was taken by SES %d times", id, n)
		}
	}
	if len(times) != total || total < 12 {
		t.Errorf("SES took %d of %d mails", len(times), total)
	}
	lost := 0
	for _, id := range corps {
		for _, m := range d.planned(id) {
			switch m.State {
			case ledger.MailSent:
			case ledger.MailSending: // SES's event settles it, or else the wait
				lost++
			default:
				t.Errorf("mail %s of %s is %s", m.Key(), id, m.State)
			}
		}
	}
	if lost < total/4 || lost > total/2 {
		t.Errorf("the answers of %d of %d mails were lost, and not of each third", lost, total)
	}
}
