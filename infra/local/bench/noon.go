package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// crowd is how large a company is whose noon is measured.
type crowd struct {
	users, departments, receivers int
}

// A company of the size that most have. The ratios compare companies that are like it.
var (
	usualCrowd = crowd{3_000, 150, 200}
	ratioCrowd = crowd{2_000, 150, 200}
)

// noonCost is what the noon run of one company took.
type noonCost struct {
	made, sent   time.Duration // until the reports are made, and until their mails are sent
	cpu          time.Duration // of report
	mailCPU      time.Duration
	invocations  int
	requests     int // of report to the ledger
	readUnits    float64
	gets, puts   int // of report to S3
	mails        int
	bytes        int64 // of the mails
	report, mail int64 // peaks
	feedback     int64
}

// noon measures the reports of a day of a company of usual size, and how the work grows with users and with receivers.
func (b *bench) noon(ctx context.Context) (err error) {
	line := b.part("noon", "companies", 5)
	defer line.Done()
	usual, err := b.noonOf(ctx, "usual", usualCrowd, true)
	if err != nil {
		return err
	}
	b.set("noon-usual", usual.sent.Seconds())
	// Four companies: one, twice its users, twice its receivers, and both.
	var grown [2][2]noonCost
	for users := range 2 {
		for receivers := range 2 {
			size := crowd{ratioCrowd.users * (users + 1), ratioCrowd.departments, ratioCrowd.receivers * (receivers + 1)}
			if grown[users][receivers], err = b.noonOf(ctx, fmt.Sprintf("ratio%d%d", users, receivers), size, false); err != nil {
				return err
			}
		}
	}
	base := grown[0][0]
	cpu := func(c noonCost) float64 { return c.cpu.Seconds() / base.cpu.Seconds() }
	reads := func(c noonCost) float64 { return float64(c.requests) / float64(base.requests) }
	b.set("noon-receivers", cpu(grown[0][1]))
	b.set("noon-users", cpu(grown[1][0]))
	b.set("noon-both", cpu(grown[1][1]))
	b.note("at noon, reads: twice the users %.2f times, twice the receivers %.2f times, both %.2f times", reads(grown[1][0]), reads(grown[0][1]), reads(grown[1][1]))
	return nil
}

// noonOf makes a company in a place of its own and measures its noon there, with or without the sending of its mails.
func (b *bench) noonOf(ctx context.Context, name string, size crowd, send bool) (cost noonCost, err error) {
	count := &counter{}
	p, err := b.open(ctx, "noon-"+name, pollEvery.String(), count.options)
	if err != nil {
		return noonCost{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	p.Mails.SetQuota(ses.Quota{PerDay: 1_000_000, PerSecond: 1_000})        // what SES lets an account send in a second is no cost of the product's
	noon := clock.Real().UTC().Truncate(24 * time.Hour).Add(36 * time.Hour) // tomorrow's
	began := clock.Real()
	if err := p.seed(ctx, company, size, noon); err != nil {
		return noonCost{}, err
	}
	seeded := clock.Real().Sub(began)
	if err := p.SetOffset(noon.Add(time.Second).Sub(clock.Real())); err != nil {
		return noonCost{}, err
	}
	reporting, mailing := b.meter.of("report"), b.meter.of("mail")
	count.reset()
	began = clock.Real()
	invocations, err := p.noonRun(ctx, noon)
	if err != nil {
		return noonCost{}, err
	}
	made := clock.Real().Sub(began)
	if send {
		err = p.idle(ctx)
	}
	if err != nil {
		return noonCost{}, err
	}
	cost = count.cost()
	cost.invocations, cost.made, cost.sent = invocations, made, clock.Real().Sub(began)
	r, m := b.meter.of("report"), b.meter.of("mail")
	cost.cpu, cost.mailCPU, cost.report, cost.mail, cost.feedback = r.CPU-reporting.CPU, m.CPU-mailing.CPU, r.Peak, m.Peak, b.meter.of("feedback").Peak
	by := map[string]int{}
	var wrong error
	err = p.ledger.Mails(ctx, company, func(row ledger.MailRow) bool {
		if send && row.State != ledger.MailSent {
			wrong = fmt.Errorf("mail %s is %s", row.Key(), row.State)
		}
		by[row.Report]++
		cost.mails++
		return wrong == nil
	})
	if err = errors.Join(err, wrong); err != nil {
		return noonCost{}, err
	}
	sent := "not sent"
	if send {
		sent = fmt.Sprintf("sent in %.1f s", cost.sent.Seconds())
	}
	b.say("noon of %d users, %d departments, %d receivers: made in %.1f s and %d invocations, %s", size.users, size.departments, size.receivers, cost.made.Seconds(), cost.invocations, sent)
	b.say("  report: %.1f s of processor time, peak %.0f MB, %d reads of the ledger (%.0f read units), %d S3 GETs, %d PUTs", cost.cpu.Seconds(), megabytes(cost.report), cost.requests, cost.readUnits,
		cost.gets, cost.puts)
	b.say("  mail: %d mails, %.0f MB, %.1f s of processor time, peak %.0f MB; feedback: peak %.0f MB; seeding took %.1f s; mails by report: %v", cost.mails, megabytes(cost.bytes),
		cost.mailCPU.Seconds(), megabytes(cost.mail), megabytes(cost.feedback), seeded.Seconds(), by)
	for _, kind := range []report.Kind{report.UserStatus, report.MissingMobile, report.NumberChange, report.DeletedUsers, report.NewUsers, report.Maintenance, report.MissingEmail} {
		if by[string(kind)] == 0 {
			return noonCost{}, fmt.Errorf("%s was mailed to nobody: what was measured is not the work of a noon", kind)
		}
	}
	b.line.Add(1)
	return cost, nil
}

// noonRun invokes report until a noon is made, as the schedule would every ten minutes, and says how often that was.
func (p *place) noonRun(ctx context.Context, noon time.Time) (int, error) {
	for n := 1; n <= 10; n++ {
		answer, err := p.Host.Invoke(ctx, "ReportFunction", []byte("{}"))
		if err == nil && answer.FunctionError != "" {
			err = fmt.Errorf("the noon run failed: %s", answer.Payload)
		}
		if err != nil {
			return n, err
		}
		done := 0
		err = p.ledger.Runs(ctx, company, func(run ledger.Run) bool {
			if run.Day == noon.Format(time.DateOnly) && run.State == ledger.RunDone {
				done++
			}
			return true
		})
		if err != nil || done == len(report.Kinds()) {
			return n, err
		}
	}
	return 10, errors.New("the noon run comes to no end")
}

// counter counts what report asks of the ledger and of S3.
type counter struct {
	mu  sync.Mutex
	sum noonCost
}

func (c *counter) options(o *house.Options) {
	o.Observe = func(call awslocal.Call) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if call.Caller == "MailFunction" && call.Service == "ses" && call.Status == 200 {
			c.sum.bytes += call.RequestBytes
		}
		if call.Caller != "ReportFunction" {
			return
		}
		switch {
		case call.Service == "dynamodb" && isRead(call.Operation):
			c.sum.requests++
		case call.Service == "s3" && strings.HasPrefix(call.Operation, "Get"):
			c.sum.gets++
		case call.Service == "s3" && strings.HasPrefix(call.Operation, "Put"):
			c.sum.puts++
		}
	}
	o.Meter = func(_, _ string, _, read float64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sum.readUnits += read
	}
}

func isRead(operation string) bool {
	return operation == "Query" || operation == "GetItem" || operation == "BatchGetItem"
}

func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum = noonCost{}
}

func (c *counter) cost() noonCost {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

// share says whether the i-th of many belongs to a share of so many in a thousand, spread evenly.
func share(i, perMille int) bool { return i*7919%1000 < perMille }

// seed writes a company into the ledger as directory and process would have left it, the day before noon. A department is one of six below another.
// Of a thousand users two each joined, left, changed the mobile number, lost it, and lost mobile and email; of the receivers most are
// heads of department, and one of a hundred is in charge of everything.
func (p *place) seed(ctx context.Context, id archive.CorpID, size crowd, noon time.Time) error {
	s := &seeding{place: p, id: id, size: size, first: noon.AddDate(0, 0, -20), day: noon.Add(-6 * time.Hour)}
	err := p.ledger.PutCorp(ctx, ledger.Corp{ID: id, Name: "Bench " + strconv.Itoa(size.users), Added: noon.Add(-20 * time.Hour),
		ReportTo: []ledger.Receiver{{Address: "admin@bench.example", Language: "zh"}}})
	if err != nil {
		return err
	}
	c, err := p.ledger.Corp(ctx, id)
	if err != nil {
		return err
	}
	c.Settings.Operations, c.Settings.Control = "operations@bench.example", "control@bench.example"
	if _, err := p.ledger.ChangeCorp(ctx, c); err != nil {
		return err
	}
	if err := s.directory(ctx); err != nil {
		return err
	}
	if err := s.receivers(ctx); err != nil {
		return err
	}
	return errors.Join(s.messages(ctx), p.ledger.PutSnapshot(ctx, ledger.Snapshot{Corp: id, At: noon.Add(-time.Hour)}))
}

type seeding struct {
	*place
	id         archive.CorpID
	size       crowd
	first, day time.Time
}

// heads is how many of the receivers are heads of department.
func (s *seeding) heads() int { return s.size.receivers * 3 / 4 }

// leads is the department that a user is head of; 0: none.
func (s *seeding) leads(user int) int {
	every := s.size.users / s.heads()
	if user%every != 0 || user/every >= s.heads() {
		return 0
	}
	return 2 + user/every*(s.size.departments-1)/s.heads()
}

func (s *seeding) member(i int) directory.Member {
	m := directory.Member{
		Name: "王磊" + strconv.Itoa(i), Listed: true, Departments: []int{1 + i%s.size.departments}, Status: directory.StatusActivated, Mobile: fmt.Sprintf("+86 139%08d", i), MobileReadable: true,
		Email: fmt.Sprintf("user%d@bench.example", i), EmailReadable: true, Designated: !share(i, 200), DesignatedKnown: true, Position: "Engineer",
	}
	m.MainDepartment = m.Departments[0]
	if d := s.leads(i); d > 0 {
		m.Departments, m.Leads = append(m.Departments, d), []int{d}
	}
	if share(i, 30) {
		m.Status = directory.StatusNotActivated
	}
	return m
}

// parentOf is the department above one; 0: it is the root.
func parentOf(department int) int {
	if department == 1 {
		return 0
	}
	return (department-2)/6 + 1
}

// directory writes departments, members, and what happened to some of them.
func (s *seeding) directory(ctx context.Context) error {
	entries := make([]directory.Entry, 0, s.size.users+s.size.departments)
	for d := 1; d <= s.size.departments; d++ {
		entries = append(entries, directory.Entry{Kind: directory.KindDepartment, ID: strconv.Itoa(d), At: s.first,
			Fields: directory.Fields(directory.Department{Name: "部门 " + strconv.Itoa(d), Parent: parentOf(d)})})
	}
	var changed []directory.Entry
	var events []directory.Event
	for i := range s.size.users {
		m := s.member(i)
		e := directory.Entry{Kind: directory.KindMember, ID: userID(i), At: s.first}
		then, now := m, m
		happened := func(what directory.Change, old, changed string) {
			events = append(events, directory.Event{Kind: directory.KindMember, ID: e.ID, What: what, Old: old, New: changed, After: s.day.Add(-time.Hour), By: s.day, Via: "contacts"})
		}
		gone := false
		switch {
		case m.Leads != nil:
		case share(i, 2):
			e.At = s.day
			happened(directory.Joined, "", "")
		case share(i, 4):
			gone = true
			happened(directory.Left, "", "")
			events[len(events)-1].How = directory.WasDeleted
		case share(i, 6):
			now.Mobile = "+86 138" + m.Mobile[7:]
			happened(directory.MobileChanged, m.Mobile, now.Mobile)
		case share(i, 8):
			now.Mobile = ""
			happened(directory.MobileRemoved, m.Mobile, "")
		case share(i, 10):
			now.Mobile, now.Email = "", ""
			happened(directory.MobileRemoved, m.Mobile, "")
			happened(directory.EmailRemoved, m.Email, "")
		}
		e.Fields = directory.Fields(then)
		entries = append(entries, e)
		if fields := directory.Fields(now); fields != e.Fields || gone {
			changed = append(changed, directory.Entry{Kind: e.Kind, ID: e.ID, At: s.day, Fields: fields, Gone: gone})
		}
	}
	for _, list := range [][]directory.Entry{entries, changed} {
		err := inParallel(slices.Collect(slices.Chunk(list, 1000)), func(some []directory.Entry) error { return s.ledger.PutEntries(ctx, s.id, some) })
		if err != nil {
			return err
		}
	}
	return s.ledger.PutEvents(ctx, s.id, events)
}

func userID(i int) string { return fmt.Sprintf("user-%06d", i) }

// receivers enters those who are no heads: each for one department and all reports, one of a hundred for everything.
func (s *seeding) receivers(ctx context.Context) error {
	var rows []receivers.Row
	for i := range s.size.receivers - s.heads() {
		row := receivers.Row{
			ID: fmt.Sprintf("r-%016x", i), Name: "Receiver", Address: fmt.Sprintf("receiver%d@bench.example", i), Language: []string{"zh", "en"}[i%2], Department: 1 + i*7919%s.size.departments,
			Reports: report.Kinds(), Added: s.first,
		}
		if i%25 == 0 { // of all receivers, one of a hundred
			row.Department = directory.Root
		} else {
			row.Reports = slices.DeleteFunc(row.Reports, func(k report.Kind) bool { return k == report.Maintenance })
		}
		rows = append(rows, row)
	}
	return inParallel(rows, func(row receivers.Row) error {
		_, err := s.ledger.PutReceiver(ctx, s.id, row)
		return err
	})
}

// messages archives one between every two users, and one in a group of ten.
func (s *seeding) messages(ctx context.Context) error {
	var all []archive.Message
	message := func(from int, room string, to ...int) {
		m := archive.Message{Corp: s.id, Seq: archive.Seq(len(all) + 1), MsgID: archive.MsgID("m" + strconv.Itoa(len(all))), Room: archive.RoomID(room), From: archive.PartyID(userID(from)), // #nosec G115 -- a count
			Time: s.day.Add(time.Duration(len(all)) * time.Millisecond), Type: "text", Action: archive.Send, Known: true, Text: "see you at noon"}
		for _, i := range to {
			m.To = append(m.To, archive.PartyID(userID(i)))
		}
		all = append(all, m)
	}
	for i := 0; i+1 < s.size.users; i += 2 {
		message(i, "", i+1)
	}
	for i := 0; i+10 <= s.size.users; i += 10 {
		message(i, "wr"+strconv.Itoa(i), i+1, i+2, i+3, i+4, i+5, i+6, i+7, i+8, i+9)
	}
	people := &ledger.People{}
	return inParallel(slices.Collect(slices.Chunk(all, 1000)), func(some []archive.Message) error { return s.ledger.PutMessages(ctx, "bench", some, people) })
}

// inParallel calls f for each of a list, eight at a time.
func inParallel[E any](list []E, f func(E) error) error {
	failed := make([]error, len(list))
	var all sync.WaitGroup
	room := make(chan struct{}, 8)
	for i, e := range list {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			failed[i] = f(e)
		})
	}
	all.Wait()
	return errors.Join(failed...)
}
