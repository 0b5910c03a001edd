package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/local/company"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/progress"
	"github.com/wecomvault/wecomvault/shared/report"
)

const gigabyte = 1 << 30 // AWS's GB

// corp is the measured company's; poll is how often it is polled when it is caught up: often, so that a few seconds show what a poll costs.
const (
	corp = "wwbill"
	poll = 250 * time.Millisecond
)

// function is what the price of an invocation depends on.
type function struct {
	memoryMB int
	arch     string
	timeout  time.Duration
}

func (f function) gb() float64 { return float64(f.memoryMB) / 1024 }

func (f function) priceID() string {
	if f.arch == "arm64" {
		return "lambda.arm"
	}
	return "lambda.x86"
}

// sample is what one run measured.
type sample struct {
	size, messages, batches int
	members                 int
	plain                   float64 // bytes of a decrypted message, on average
	path                    usage   // of everything that the messages caused, polls without messages apart
	write, read             float64 // units per message
	stored                  float64 // bytes in S3 per message
	rows                    float64 // bytes in tables per message, with the overhead that is billed per item
	firsts                  float64 // write units of the rows of people and conversations: once a month, however much is said
	grown                   int     // members of the company when what grows with them was measured again, in grownUse; 0: it was not
	grownUse                map[string]usage
	pollUse                 usage // of one poll that finds nothing
	scheduled               map[string]usage
	attachment              usage // of one attachment, its bytes' storage apart
	logs                    float64
	metrics                 int // custom metrics that were published
	pairs                   int // of a function and a table that it calls
	checked                 int // batches that the night's check looked at
}

// bench is where runs are measured.
type bench struct {
	folders   command.Folders
	roundTrip time.Duration
}

// measure brings n messages through fetch and process in answers of size items, and looks at all meters.
// With grown above members the company grows at the end, for what grows with it to be measured once more, and a noon comes before and after.
func (b bench) measure(ctx context.Context, size, n, members, grown int) (s sample, err error) {
	s = sample{size: size, messages: n, batches: (n + size - 1) / size, members: members, scheduled: map[string]usage{}}
	line := progress.New(os.Stderr, fmt.Sprintf("%d messages a batch", size), "messages", int64(n))
	defer line.Done()
	data := filepath.Join(b.folders.Data, fmt.Sprint(size))
	if err := os.MkdirAll(data, 0o700); err != nil {
		return s, err
	}
	defer func() {
		if err == nil && !b.folders.Keep { // what failed is looked at in its logs
			err = os.RemoveAll(data)
		}
	}()
	child, url, err := house.Simulator(ctx, b.folders.Binaries, data)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, child.Close()) }()
	o := house.Options{Data: data, Template: b.folders.Template, Binaries: b.folders.Binaries, NoSync: true, Params: map[string]string{
		"WecomUrl": url, "SdkHost": filepath.Join(b.folders.Binaries, "local", "simsdk"), "PollInterval": poll.String(), "RetentionMode": "GOVERNANCE", "RetentionDays": "1",
		"Trial": "true", "MailFrom": "archive@company.example",
	}}
	m := newMeter()
	wired, err := template.Load(b.folders.Template, map[string]string{template.Region: house.Region, template.AccountID: house.Account, template.Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		return s, err
	}
	functions, inVPC := functionsOf(wired)
	m.attach(&o, inVPC)
	h, err := house.Open(ctx, o)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	sim := wecomsim.NewClient(url)
	who, err := company.New(ctx, sim, company.Options{Corp: corp, Members: members, Externals: 2, PageItems: size, Seed: 7})
	if err != nil {
		return s, err
	}
	if err := who.Enrol(ctx, h, "zh:compliance@company.example,en:audit@company.example"); err != nil {
		return s, err
	}
	if err := who.Send(ctx, who.Talk(n, h.Now().Add(-time.Hour), 50*time.Minute)); err != nil {
		return s, err
	}
	if err := h.Start(); err != nil {
		return s, err
	}
	if err := h.Host.InvokeAsync("FetchFunction", []byte(`{}`)); err != nil {
		return s, err
	}
	r := run{bench: b, House: h, meter: m, sim: sim, functions: functions, spent: map[int]float64{}}
	r.take()
	if err := r.passed(ctx, s.batches, n, line); err != nil {
		return s, err
	}
	busy := r.take()
	logs, err := r.logBytes()
	if err != nil {
		return s, err
	}
	line.Done()
	rest := progress.New(os.Stderr, fmt.Sprintf("%d messages a batch, and what else costs", size), "", 0)
	defer rest.Done()
	rest.Note("polls that find nothing")
	empty := r.polls() - float64(s.batches)
	idle, polls, err := r.idle(ctx)
	if err != nil {
		return s, err
	}
	one := idle.over(polls)
	own := busy.minus(one, empty)
	s.path, s.pollUse, s.pairs = own.bill(functions, b.roundTrip), one.bill(functions, 0), len(busy.Tables)
	s.write, s.read = own.Write/float64(n), own.Read/float64(n)
	// Only process logs by the batch; fetch logs by the minute.
	s.logs, s.metrics = logs["process"]/float64(s.batches), r.metrics()
	if err := r.holds(ctx, n); err != nil {
		return s, err
	}
	if s.stored, err = r.stored(ctx, n); err != nil {
		return s, err
	}
	if s.plain, err = r.plain(ctx); err != nil {
		return s, err
	}
	if s.rows, s.firsts, err = r.rows(ctx, n); err != nil {
		return s, err
	}
	for _, f := range []string{"DirectoryFunction", "ConsentFunction", "WatchFunction", "ReportFunction", "RedriveFunction", "FsckFunction"} {
		rest.Note(f)
		if s.scheduled[f], err = r.invoked(ctx, f, one); err != nil {
			return s, err
		}
	}
	s.checked = s.batches
	rest.Note("attachments")
	if s.attachment, err = r.attachments(ctx, who, size, one); err != nil || grown <= members {
		return s, err
	}
	rest.Note("a noon")
	if s.scheduled[noon], err = r.noon(ctx, one); err != nil {
		return s, err
	}
	// The same corp again, with more members: what is there already stays.
	if _, err := company.New(ctx, sim, company.Options{Corp: corp, Members: grown, Externals: 2, PageItems: size, Seed: 7}); err != nil {
		return s, err
	}
	s.grown, s.grownUse = grown, map[string]usage{}
	for _, f := range growing {
		rest.Note(f + ", with more members")
		if f == noon {
			s.grownUse[f], err = r.noon(ctx, one)
		} else {
			s.grownUse[f], err = r.invoked(ctx, f, one)
		}
		if err != nil {
			return s, err
		}
	}
	return s, err
}

// noon names the reports of a day with their mails and what SES says of these, beside the functions that schedules call.
const noon = "the noon's reports"

// growing is what costs more with more members.
var growing = []string{"DirectoryFunction", "ConsentFunction", noon}

// noon is what the reports of the next noon use, until their mails are out and SES's events are heard. It moves the clock there.
func (r run) noon(ctx context.Context, onePoll reading) (usage, error) {
	day := r.Now().Truncate(24 * time.Hour)
	if !r.Now().Before(day.Add(12 * time.Hour)) {
		day = day.Add(24 * time.Hour)
	}
	ahead := day.Add(12*time.Hour + time.Second).Sub(clock.Real())
	if err := r.SetOffset(ahead); err != nil {
		return nil, err
	}
	ns := int64(ahead)
	if _, err := r.sim.SetClock(ctx, wecomsim.Clock{OffsetNS: &ns}); err != nil {
		return nil, err
	}
	// The directory as the hourly schedule has read it before noon is no part of the noon.
	if _, err := r.invoked(ctx, "DirectoryFunction", onePoll); err != nil {
		return nil, err
	}
	r.take()
	name := day.Format(time.DateOnly)
	asked := time.Time{}
	err := r.wait(ctx, "the reports of "+name, patience, func() (bool, error) {
		done := 0
		err := r.Ledger().Runs(ctx, archive.CorpID(corp), func(run ledger.Run) bool {
			if run.Day == name && run.State == ledger.RunDone {
				done++
			}
			return true
		})
		if err != nil {
			return false, err
		}
		if jobs, _ := r.Queued(); jobs > 0 || done >= len(report.Kinds()) {
			return jobs == 0 && done >= len(report.Kinds()), nil
		}
		if r.Host.Busy("ReportFunction") > 0 || clock.Real().Sub(asked) < time.Second {
			return false, nil
		}
		asked = clock.Real()
		return false, r.Host.InvokeAsync("ReportFunction", []byte(`{}`))
	})
	if err != nil {
		return nil, err
	}
	got := r.take()
	return got.minus(onePoll, got.Calls["FetchFunction"]["dynamodb UpdateItem"]).bill(r.functions, r.roundTrip), nil
}

func functionsOf(t *template.Template) (functions map[string]function, inVPC map[string]bool) {
	functions, inVPC = map[string]function{}, map[string]bool{}
	for _, f := range t.Functions {
		functions[f.LogicalID] = function{memoryMB: f.MemoryMB, arch: f.Architecture, timeout: f.Timeout}
		inVPC[f.LogicalID] = f.InVPC
	}
	return functions, inVPC
}

// run is a house at work.
type run struct {
	bench
	*house.House
	meter     *meter
	sim       *wecomsim.Client
	functions map[string]function
	spent     map[int]float64 // processor seconds of each function process when last looked at
}

// fullProcessor is the memory, in MB, with which Lambda gives a function one whole processor; with less it gives that part of one.
const fullProcessor = 1769

// take returns what was used since the last take. How long functions ran is told by the processor time that they and their children took, since
// wall time on a busy machine measures the machine: with a part of a processor Lambda takes so much longer. Where the system does not tell,
// wall time it is. fetch is left out: it runs all day and is billed so.
func (r run) take() reading {
	seen := r.meter.take()
	took := map[string]float64{}
	for _, p := range r.Host.Processes() {
		now, ok := processorTime(p.PID)
		if !ok {
			return seen
		}
		took[p.Function] += now - r.spent[p.PID]
		r.spent[p.PID] = now
	}
	for name, n := range seen.Runs {
		if f := r.functions[name]; took[name] > 0 {
			worked := took[name] / min(1, float64(f.memoryMB)/fullProcessor)
			if name == "ConsentFunction" { // most of the time it waits, to keep WeCom's pace, and waiting is billed
				worked = max(worked, n.Seconds)
			}
			n.Seconds = worked
			seen.Runs[name] = n
		}
	}
	return seen
}

// ticks is what /proc counts a second in, on every Linux that Go runs on.
const ticks = 100

// processorTime is how many seconds of a processor a process and all that it started have taken.
func processorTime(pid int) (seconds float64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name, in brackets, may hold anything; the fields behind it are numbered from 3.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return 0, false
	}
	for _, n := range fields[11:15] { // utime, stime, and those of children that were waited for
		v, err := strconv.ParseFloat(n, 64)
		if err != nil {
			return 0, false
		}
		seconds += v / ticks
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return seconds, true
	}
	for _, path := range tasks {
		list, err := os.ReadFile(path) // #nosec G304 -- of the kernel
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(list)) {
			if child, err := strconv.Atoi(word); err == nil {
				if more, ok := processorTime(child); ok {
					seconds += more
				}
			}
		}
	}
	return seconds, true
}

// patience is how long nothing may come to an end before the run is given up.
const patience = 5 * time.Minute

// wait waits until holds; it looks at nothing that the meter counts.
func (r run) wait(ctx context.Context, what string, limit time.Duration, holds func() (bool, error)) error {
	ok, err := house.Until(ctx, limit, holds)
	if err == nil && !ok {
		err = fmt.Errorf("%s did not come to pass within %v: the logs in %s say why (-keep leaves them)", what, limit, filepath.Join(r.Data, "logs"))
	}
	return err
}

// passed waits until so many batches with n messages are through process, and WeCom had no more.
func (r run) passed(ctx context.Context, batches, n int, line *progress.Line) error {
	return r.wait(ctx, fmt.Sprintf("%d batches", batches), patience+time.Duration(batches)*200*time.Millisecond, func() (bool, error) {
		jobs, _ := r.Queued()
		// A poll after the last batch comes after the last job was sent; each batch ends with one update.
		done := r.meter.calls("ProcessFunction", "dynamodb UpdateItem")
		line.Set(int64(float64(n)*min(1, done/float64(batches))), int64(n))
		if r.meter.runs("FetchFunction") > 0 && r.polls() <= float64(batches) {
			return false, fmt.Errorf("the one invocation of fetch that is metered was over before all was fetched: this machine is too busy to measure on")
		}
		return jobs == 0 && r.polls() > float64(batches) && done >= float64(batches), nil
	})
}

// polls is how often WeCom was asked for chat data: each poll writes the corp's cursor once, and the lease did so twice before.
func (r run) polls() float64 { return r.meter.moves() - 2 }

// idle looks at the meter while nothing happens but polls, for at least twenty of them.
func (r run) idle(ctx context.Context) (reading, float64, error) {
	r.take()
	before := r.polls()
	err := r.wait(ctx, "twenty polls", patience, func() (bool, error) { return r.polls() >= before+20, nil })
	seen := r.take()
	return seen, seen.Calls["FetchFunction"]["dynamodb UpdateItem"], err
}

// invoked is what one warm invocation of a scheduled function uses: the second, since the first finds more to do.
func (r run) invoked(ctx context.Context, function string, onePoll reading) (usage, error) {
	for i := range 2 {
		if i == 1 {
			r.take()
		}
		res, err := r.Host.Invoke(ctx, function, []byte(`{}`))
		if err != nil {
			return nil, err
		}
		if res.FunctionError != "" {
			return nil, fmt.Errorf("%s failed: %s", function, res.Payload)
		}
		if err := r.Drain(ctx, patience); err != nil {
			return nil, err
		}
	}
	got := r.take()
	return got.minus(onePoll, got.Calls["FetchFunction"]["dynamodb UpdateItem"]).bill(r.functions, r.roundTrip), nil
}

// attachmentBytes is how large a measured attachment is: one chunk, and a part of a second.
const attachmentBytes = 600 << 10

// attachments measures what one attachment uses beside its message.
func (r run) attachments(ctx context.Context, who *company.Company, size int, onePoll reading) (usage, error) {
	const n = 20
	var messages []wecomsim.Message
	for i, m := range who.Talk(n, r.Now().Add(-time.Minute), time.Second) {
		f, err := r.sim.AddFile(ctx, wecomsim.NewFile{Corp: corp, Name: fmt.Sprintf("scan %d.jpg", i), Size: attachmentBytes})
		if err != nil {
			return nil, err
		}
		payload, err := json.Marshal(map[string]any{"sdkfileid": f.SDKFileID, "md5sum": f.MD5, "filesize": f.Size})
		if err != nil {
			return nil, err
		}
		m.Text, m.Type, m.Payload = "", "image", payload
		messages = append(messages, m)
	}
	r.take()
	if err := who.Send(ctx, messages); err != nil {
		return nil, err
	}
	if err := r.wait(ctx, "the attachments", patience, func() (bool, error) {
		jobs, _ := r.Queued()
		return jobs == 0 && r.meter.runs("MediaFunction") >= n, nil
	}); err != nil {
		return nil, err
	}
	got := r.take()
	got = got.minus(onePoll, got.Calls["FetchFunction"]["dynamodb UpdateItem"]-float64((n+size-1)/size))
	// Their messages' own path is billed with the messages: what remains is media's, and three rows of the ledger for each.
	media := newReading()
	media.Runs["MediaFunction"], media.Calls["MediaFunction"], media.Outside = got.Runs["MediaFunction"], got.Calls["MediaFunction"], got.Outside
	media.Write, media.Read = got.Write-n-3*float64((n+size-1)/size), got.Read
	u := media.over(n).bill(r.functions, r.roundTrip)
	u["nat.gb"] += attachmentBytes / gigabyte
	return u, nil
}

// holds looks whether the archive has what was sent: a bill for less would be no bill.
func (r run) holds(ctx context.Context, n int) error {
	archived := 0
	err := r.Ledger().Batches(ctx, archive.CorpID(corp), "", func(b ledger.BatchRow) bool {
		if b.State == ledger.Done {
			archived += b.Archived
		}
		return true
	})
	if err == nil && archived != n {
		err = fmt.Errorf("%d of %d messages are archived", archived, n)
	}
	return err
}

// stored is the bytes per message in the archive's bucket.
func (r run) stored(ctx context.Context, n int) (float64, error) {
	client := s3.NewFromConfig(r.Config(house.Operator), func(o *s3.Options) { o.UsePathStyle = true })
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String(r.Template.Outputs["ArchiveBucket"])})
	var sum int64
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, err
		}
		for _, o := range page.Contents {
			sum += aws.ToInt64(o.Size)
		}
	}
	return float64(sum) / float64(n), nil
}

// plain is the bytes of a decrypted message.
func (r run) plain(ctx context.Context) (float64, error) {
	items, err := r.sim.Items(ctx, corp, 0, 1000, true)
	if err != nil || len(items) == 0 {
		return 0, err
	}
	sum := 0
	for _, it := range items {
		sum += len(it.Raw)
	}
	return float64(sum) / float64(len(items)), nil
}

// itemOverhead is what DynamoDB's storage bill adds to each item, in bytes (developer guide, "DynamoDB item sizes and formats").
const itemOverhead = 100

// rows is the bytes per message in the tables that messages fill, and the write units that the rows of people and conversations took.
func (r run) rows(ctx context.Context, n int) (bytes, firsts float64, err error) {
	client := dynamodb.NewFromConfig(r.Config(house.Operator))
	for _, table := range []string{"MessagesTable", "ControlTable"} {
		pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: aws.String(r.Template.Outputs[table])})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return 0, 0, err
			}
			for _, it := range page.Items {
				size := 0
				for name, v := range it {
					size += len(name) + sizeOf(v)
				}
				bytes += float64(size + itemOverhead)
				if pk, ok := it["pk"].(*types.AttributeValueMemberS); ok && once(pk.Value) {
					firsts += math.Ceil(float64(size) / 1024)
				}
			}
		}
	}
	return bytes / float64(n), firsts, nil
}

// once says that a row is written when somebody is first seen, and not again that month.
func once(pk string) bool {
	kind, _, _ := strings.Cut(pk, "#")
	return slices.Contains([]string{"person", "parts", "room", "robot"}, kind)
}

// sizeOf is the size of a value by DynamoDB's rules, numbers at half a byte a digit.
func sizeOf(v types.AttributeValue) int {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return (len(v.Value)+1)/2 + 1
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberL:
		n := 3
		for _, one := range v.Value {
			n += 1 + sizeOf(one)
		}
		return n
	case *types.AttributeValueMemberM:
		n := 3
		for name, one := range v.Value {
			n += 1 + len(name) + sizeOf(one)
		}
		return n
	default:
		return 1
	}
}

func (r run) logFiles() (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(r.Data, "logs", r.Template.StackName+"-*.log"))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, path := range paths {
		text, err := os.ReadFile(path) // #nosec G304 -- of our own folder
		if err != nil {
			return nil, err
		}
		files[strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), r.Template.StackName+"-"), ".log")] = text
	}
	return files, nil
}

// logBytes is how much each function has logged so far.
func (r run) logBytes() (map[string]float64, error) {
	files, err := r.logFiles()
	sizes := map[string]float64{}
	for name, text := range files {
		sizes[name] = float64(len(text))
	}
	return sizes, err
}

// metrics counts the custom metrics in the logs: CloudWatch bills each name under each set of dimensions.
func (r run) metrics() int {
	files, err := r.logFiles()
	if err != nil {
		return 0
	}
	names := map[string]bool{}
	for _, text := range files {
		for line := range bytes.Lines(text) {
			var l struct {
				AWS struct {
					CloudWatchMetrics []struct {
						Namespace  string
						Dimensions [][]string
						Metrics    []struct{ Name string }
					}
				} `json:"_aws"`
			}
			if json.Unmarshal(line, &l) != nil {
				continue
			}
			var values map[string]json.RawMessage
			if json.Unmarshal(line, &values) != nil {
				continue
			}
			for _, d := range l.AWS.CloudWatchMetrics {
				for _, set := range d.Dimensions {
					key := d.Namespace
					for _, name := range set {
						key += " " + name + "=" + string(values[name])
					}
					for _, one := range d.Metrics {
						names[key+" "+one.Name] = true
					}
				}
			}
		}
	}
	return len(names)
}

func cut(what string) (service, operation string) {
	service, operation, _ = strings.Cut(what, " ")
	return service, operation
}
