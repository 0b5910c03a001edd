package main

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	"github.com/wecomvault/wecomvault/shared/local/prices"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wired(t *testing.T) *template.Template {
	t.Helper()
	return must[*template.Template](t)(template.Load("../../../template.yaml", map[string]string{template.Region: house.Region, template.AccountID: house.Account, template.Endpoint: "http://127.0.0.1:1"}))
}

// made is a sample of so much a message and so much a batch.
func made(size, members int, message, batch float64) sample {
	n := 1000.0
	whole := func(perMessage, perBatch float64) float64 { return n*perMessage + n/float64(size)*perBatch }
	return sample{
		size: size, messages: int(n), batches: int(n) / size, checked: int(n) / size, members: members, plain: 900, write: message + batch/float64(size), stored: 1500, rows: 600, logs: 300, metrics: 12, pairs: 9,
		firsts: 4 * float64(members), grown: members + 900, grownUse: map[string]usage{"DirectoryFunction": {"lambda.arm": 0.5 + 0.001*float64(members+900)}, "ConsentFunction": {"lambda.arm": 0.1 + 0.002*float64(members+900)}, noon: {"mail": 18, "ddb.read": float64(members + 900)}},
		path:    usage{"ddb.write": 4*float64(members) + whole(message, batch), "s3.put": whole(0, 2), "lambda.x86": whole(0.001, 0.02)},
		pollUse: usage{"ddb.write": 1},
		scheduled: map[string]usage{"DirectoryFunction": {"lambda.arm": 0.5 + 0.001*float64(members)}, "ConsentFunction": {"lambda.arm": 0.1 + 0.002*float64(members)},
			noon: {"mail": 18, "ddb.read": float64(members)}, "FsckFunction": {"s3.get": 2 * n / float64(size), "lambda.arm": 0.01 * n / float64(size)}},
		// beside its message
		attachment: usage{"s3.put": 3, "ddb.write": 3, "nat.gb": 0.0005},
	}
}

func TestTheModelGivesBackWhatEverySizeMeasured(t *testing.T) {
	m := fit([]sample{made(4, 100, 1.1, 3), made(30, 100, 1.1, 3), made(1000, 1100, 1.1, 3)})
	for _, size := range []float64{4, 30, 250, 1000} {
		if got, want := m.message["ddb.write"]+m.batch["ddb.write"]/size, 1.1+3/size; math.Abs(got-want) > 1e-9 {
			t.Errorf("at %v a batch the model says %v, not %v", size, got, want)
		}
	}
	for f, want := range map[string]float64{"DirectoryFunction": 0.001, "ConsentFunction": 0.002} {
		if got := m.member[f]["lambda.arm"]; math.Abs(got-want) > 1e-9 {
			t.Errorf("a member costs %s %v GB-seconds", f, got)
		}
	}
	if mails, reads := m.scheduled[noon]["mail"], m.member[noon]["ddb.read"]; math.Abs(mails-18) > 1e-9 || math.Abs(reads-1) > 1e-9 {
		t.Errorf("a noon sends %v mails and reads %v a member", mails, reads)
	}
	if m.firsts != 4 {
		t.Errorf("a member's first sights cost %v units a month", m.firsts)
	}
	if got := m.scheduled["DirectoryFunction"]["lambda.arm"]; math.Abs(got-0.5) > 1e-9 {
		t.Errorf("without members directory costs %v GB-seconds", got)
	}
}

func TestEverythingOnACompanysBillHasAPrice(t *testing.T) {
	table := must[prices.Table](t)(prices.List())
	m, f := fit([]sample{made(4, 100, 1.1, 3), made(1000, 1000, 1.1, 3)}), fixedOf(wired(t))
	for _, region := range table.Regions {
		last := 0.0
		for _, users := range companySizes {
			sum := 0.0
			for _, e := range m.company(users, f, 12) {
				d := must[float64](t)(table.Dollars(region, e.use))
				if d <= 0 || math.IsNaN(d) {
					t.Errorf("%s: %s of %v users costs %v", region, e.name, users, d)
				}
				sum += d
			}
			if sum <= last {
				t.Errorf("%s: %v users cost %v, fewer cost %v", region, users, sum, last)
			}
			last = sum
		}
	}
	if _, err := table.Dollars(table.Regions[0], usage{"moon.dust": 1}); err == nil {
		t.Error("what has no price was left off the bill")
	}
}

func TestAnswersAreNoMoreThanPollsOrMessages(t *testing.T) {
	polls := talkHours * 3600 / pollEvery
	for _, messages := range []float64{1, 300, 3000, 30000, 3e6, 3e8} {
		b := batchesADay(messages)
		if b > messages+1e-6 || b > max(polls, messages/largestPage)+1e-6 || b < messages/largestPage-1e-6 || b <= 0 {
			t.Errorf("%v messages a day come in %v answers", messages, b)
		}
	}
}

func TestWhatStandsInTheTemplateIsBilled(t *testing.T) {
	tree := wired(t)
	f := fixedOf(tree)
	if f.keys < 9 || f.gateways != 1 || f.addresses != 1 || f.logGroups < 9 || f.sources < 5 || f.alarmMetrics < 20 {
		t.Errorf("of the template it bills %+v", f)
	}
	if f.schedules["FetchFunction"] != 43800 || f.functions["FetchFunction"].memoryMB == 0 {
		t.Errorf("fetch is fired %v times a month with %d MB", f.schedules["FetchFunction"], f.functions["FetchFunction"].memoryMB)
	}
	known := []string{"rate(1 minute)", "rate(5 minutes)", "rate(30 minutes)", "rate(1 hour)", "cron(0/10 * * * ? *)", "cron(0 3 * * ? *)"}
	for _, fn := range tree.Functions {
		for _, s := range fn.Schedules {
			if !slices.Contains(known, s.Expression) {
				t.Errorf("how often does %s fire? firings guesses %v a month", s.Expression, firings(s.Expression))
			}
		}
	}
}

func TestAFigureWorseThanItsFloorFails(t *testing.T) {
	table := must[prices.Table](t)(prices.List())
	for name, c := range map[string]struct {
		change func(*sample)
		want   error
	}{
		"good":                  {func(*sample) {}, nil},
		"writes":                {func(s *sample) { s.write += 0.5 }, command.Exit(command.Failed)},
		"storage":               {func(s *sample) { s.stored *= 3 }, command.Exit(command.Failed)},
		"nothing was measured":  {func(s *sample) { s.write = math.NaN() }, command.Exit(command.Failed)},
		"a little below in all": {func(s *sample) { s.write -= 0.01; s.stored -= 100 }, nil},
	} {
		samples := []sample{made(4, 100, 1.1, 3), made(30, 100, 1.1, 3), made(1000, 1000, 1.1, 3)}
		for i := range samples {
			c.change(&samples[i])
		}
		var out bytes.Buffer
		p := printer{out: &out, prices: table, samples: samples, model: fit(samples), fixed: fixedOf(wired(t)), roundTrip: time.Millisecond}
		if err := p.all(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, words := range []string{"What dominates", "What you may turn off", "stated, not verified", "ap-southeast-1", "100000"} {
			if !strings.Contains(out.String(), words) {
				t.Errorf("%s: it doesn't say %q", name, words)
			}
		}
	}
}

func TestAReadingIsBilledByWhoUsedWhat(t *testing.T) {
	m := newMeter()
	var o house.Options
	m.attach(&o, map[string]bool{"FetchFunction": true})
	o.Meter("PutItem", "T", 3, 0.5)
	o.Ran(lambdahost.Ran{Function: template.Function{LogicalID: "FetchFunction", MemoryMB: 1024, Architecture: "x86_64"}, Duration: 2 * time.Second})
	for _, c := range []struct{ service, operation, caller string }{
		{"s3", "PutObject", "FetchFunction"}, {"s3", "GetObject", "FetchFunction"}, {"sqs", "SendMessage", "FetchFunction"},
		{"secretsmanager", "GetSecretValue", "FetchFunction"}, {"s3", "PutObject", house.Operator},
	} {
		o.Observe(call(c.service, c.operation, c.caller, 1000, 500))
	}
	functions := map[string]function{"FetchFunction": {memoryMB: 1024, arch: "x86_64"}}
	got := m.take().bill(functions, 10*time.Millisecond)
	want := usage{"ddb.write": 3, "ddb.read": 0.5, "s3.put": 1, "s3.get": 1, "sqs.request": 1, "secret.request": 1, "kms.request": 1.02, "lambda.request": 1, "lambda.x86": 2.04, "nat.gb": 3000.0 / gigabyte}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if math.Abs(got[id]-want[id]) > 1e-9 {
			t.Errorf("%s is %v, not %v", id, got[id], want[id])
		}
	}
	if len(got) != len(want) {
		t.Errorf("billed was %v", got)
	}
	if again := m.take(); again.Write != 0 || len(again.Calls) != 0 {
		t.Errorf("what was taken is still there: %+v", again)
	}
}

func call(service, operation, caller string, in, out int64) awslocal.Call {
	return awslocal.Call{Service: service, Operation: operation, Caller: caller, RequestBytes: in, ResponseBytes: out}
}

func TestProcessorTimeIsThisProcesssOwn(t *testing.T) {
	before, ok := processorTime(os.Getpid())
	if !ok {
		t.Skip("there is no /proc on this system")
	}
	for sum, i := 0, 0; ; i++ {
		if sum += i * i; i%1e6 == 0 {
			if now, _ := processorTime(os.Getpid()); now >= before+0.05 {
				break
			}
		}
	}
	if _, ok := processorTime(1 << 30); ok {
		t.Error("a process that is not there took time")
	}
}
