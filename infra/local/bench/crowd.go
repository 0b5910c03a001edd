package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// large is a company of so many users: twenty in a department, and a receiver for every fifty.
func large(users int) crowd { return crowd{users, users / 20, users / 50} }

// crowd measures the noon of a company that is larger than nearly all.
func (b *bench) crowd(ctx context.Context) error {
	line := b.part("crowd", "companies", 1)
	defer line.Done()
	noon, err := b.noonOf(ctx, "large", large(b.users), true)
	if err != nil {
		return err
	}
	b.set("crowd-invocations", float64(noon.invocations))
	b.set("crowd-cpu", noon.cpu.Seconds())
	b.set("crowd-sent", noon.sent.Seconds())
	b.set("crowd-report-memory", megabytes(noon.report))
	b.set("crowd-mail-memory", megabytes(noon.mail))
	b.set("crowd-feedback-memory", megabytes(noon.feedback))
	b.set("crowd-reads", float64(noon.requests)/float64(b.users))
	b.set("crowd-mails", float64(noon.mails))
	return nil
}

// mostReadings is how many invocations a first reading may take until it counts as one that comes to no end.
const mostReadings = 12

// readings measures what directory takes of such a company when it has never read it, and then of the same without news.
func (b *bench) readings(ctx context.Context) (err error) {
	line := b.part("directory", "readings", 2)
	defer line.Done()
	size, count := large(b.users), &directoryCounter{}
	p, err := b.open(ctx, "crowd", pollEvery.String(), count.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if _, err := p.add(ctx, company); err != nil {
		return err
	}
	vault := secrets.New(secretsmanager.NewFromConfig(p.Config(house.Operator)), p.Template.Parameters["SecretsPrefix"]).SealWith(p.Template.Outputs["SecretsKeyArn"])
	if err := vault.PutSecret(ctx, company, secrets.Contacts, secrets.NewValue("bench")); err != nil {
		return err
	}
	b.wecom.people(size)
	first, err := b.reading(ctx, p, count)
	if err != nil {
		return err
	}
	b.line.Add(1)
	b.say("first reading of %d users, %d departments: %s", size.users, size.departments, first)
	again, err := b.reading(ctx, p, count)
	if err != nil {
		return err
	}
	b.say("the same without news: %s", again)
	members := 0
	err = p.ledger.Entries(ctx, company, "member", func(e directory.Entry) bool {
		if !e.Gone {
			members++
		}
		return true
	})
	if err == nil && members != size.users {
		err = fmt.Errorf("%d of %d members are there after two readings", members, size.users)
	}
	if err != nil {
		return err
	}
	b.set("directory-invocations", float64(first.invocations))
	b.set("directory-took", first.took.Seconds())
	b.set("directory-cpu", first.cpu.Seconds())
	b.set("directory-requests", float64(first.reads+first.writes)/float64(size.users))
	b.set("directory-again-cpu", again.cpu.Seconds())
	b.set("directory-memory", megabytes(again.peak)) // of both
	b.line.Add(1)
	return nil
}

// readingCost is what reading a directory to the end took.
type readingCost struct {
	took, cpu           time.Duration
	invocations         int
	asked               int // calls of WeCom's
	reads, writes, puts int // of the ledger, and of S3
	peak                int64
}

func (c readingCost) String() string {
	return fmt.Sprintf("%.1f s and %d invocations, %.1f s of processor time, peak %.0f MB, %d calls of WeCom's, %d reads and %d writes of the ledger, %d S3 PUTs", c.took.Seconds(), c.invocations,
		c.cpu.Seconds(), megabytes(c.peak), c.asked, c.reads, c.writes, c.puts)
}

// reading invokes directory, as the schedule would each hour, until a reading that began meanwhile is settled.
func (b *bench) reading(ctx context.Context, p *place, count *directoryCounter) (readingCost, error) {
	count.reset()
	asked, before, began := b.wecom.calls.Load(), b.meter.of("directory"), clock.Now()
	started := clock.Real()
	for n := 1; n <= mostReadings; n++ {
		answer, err := p.Host.Invoke(ctx, "DirectoryFunction", []byte("{}"))
		if err != nil {
			return readingCost{}, err
		}
		if answer.FunctionError != "" {
			b.say("directory, invocation %d: %s", n, answer.Payload) // it may have been ended at its time-out
		}
		whole := false
		err = p.ledger.Snapshots(ctx, company, func(s ledger.Snapshot) bool {
			whole = s.Settled && !s.At.Before(began.Truncate(time.Millisecond)) && s.Counts.Parts[directory.PartMembers].Complete
			return false
		})
		if err != nil {
			return readingCost{}, err
		}
		if whole {
			after, cost := b.meter.of("directory"), count.cost()
			cost.took, cost.invocations, cost.cpu, cost.peak = clock.Real().Sub(started), n, after.CPU-before.CPU, after.Peak
			cost.asked = int(b.wecom.calls.Load() - asked)
			return cost, nil
		}
	}
	return readingCost{}, errors.New("reading the directory comes to no end")
}

// directoryCounter counts what directory asks of the ledger and of S3.
type directoryCounter struct {
	mu  sync.Mutex
	sum readingCost
}

func (c *directoryCounter) options(o *house.Options) {
	o.Observe = func(call awslocal.Call) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case call.Caller != "DirectoryFunction":
		case call.Service == "dynamodb" && isRead(call.Operation):
			c.sum.reads++
		case call.Service == "dynamodb":
			c.sum.writes++
		case call.Service == "s3" && call.Operation == "PutObject":
			c.sum.puts++
		}
	}
}

func (c *directoryCounter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum = readingCost{}
}

func (c *directoryCounter) cost() readingCost {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

// people has WeCom show a company's departments and members, as a secret for contacts sees them, and the archive's that all are on the list.
func (w *wecom) people(size crowd) {
	departments := make([]map[string]any, size.departments)
	for d := range departments {
		departments[d] = map[string]any{"id": d + 1, "name": "部门 " + strconv.Itoa(d+1), "parentid": parentOf(d + 1), "order": d, "department_leader": []string{}}
	}
	members := map[string][]byte{}
	designated := make([]string, 0, size.users)
	by := make([][]map[string]any, size.departments)
	for i := range size.users {
		d := 1 + i%size.departments
		by[d-1] = append(by[d-1], map[string]any{"userid": userID(i), "name": "王磊" + strconv.Itoa(i), "department": []int{d}, "is_leader_in_dept": []int{0}, "status": 1, "gender": "1",
			"mobile": fmt.Sprintf("+86 139%08d", i), "email": fmt.Sprintf("user%d@bench.example", i), "position": "Engineer", "main_department": d,
			"qr_code": "https://bench.example/qr/" + strconv.Itoa(i), "avatar": "https://bench.example/face/" + strconv.Itoa(i), "order": []int{0}, "alias": "", "telephone": ""})
		designated = append(designated, userID(i))
	}
	for d, list := range by {
		members[strconv.Itoa(d+1)] = shown("userlist", list)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.departments, w.members, w.designated = shown("department", departments), members, shown("ids", designated)
}

func shown(name string, value any) []byte {
	b, err := json.Marshal(map[string]any{"errcode": 0, "errmsg": "ok", name: value})
	if err != nil {
		panic(err) // texts and numbers
	}
	return b
}

// thinking is how long WeCom takes for an answer about the directory, the way there and back included.
const thinking = 60 * time.Millisecond

// directory answers what directory asks of a company; of customers the secrets may tell nothing.
func (w *wecom) directory(rw http.ResponseWriter, r *http.Request) {
	w.calls.Add(1)
	select {
	case <-time.After(thinking):
	case <-r.Context().Done():
		return
	}
	w.mu.Lock()
	body := map[string][]byte{"/cgi-bin/department/list": w.departments, "/cgi-bin/user/list": w.members[r.URL.Query().Get("department_id")],
		"/cgi-bin/msgaudit/get_permit_user_list": w.designated}[r.URL.Path]
	w.mu.Unlock()
	if body == nil {
		body = []byte(`{"errcode":48002,"errmsg":"api forbidden"}`)
	}
	answer(rw, body)
}
