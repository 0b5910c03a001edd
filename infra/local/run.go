package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/report"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// handover is how long a program that is just ending is given to let go of the data folder.
const handover = 5 * time.Second

// run does what the options say and returns the exit code. An error is a sentence for the person at the keyboard.
func run(ctx context.Context, o options, out io.Writer) (code int, err error) {
	if err := house.CleanEnvironment(); err != nil {
		return exitLost, err
	}
	if err := o.inputs(); err != nil {
		return exitLost, err
	}
	f, err := own(ctx, o.data, handover)
	if err != nil {
		return exitLost, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	simulator, wecom, err := house.Simulator(ctx, o.binaries, o.data)
	if err != nil {
		return exitLost, err
	}
	defer func() { err = errors.Join(err, simulator.Close()) }()
	h, err := house.Open(ctx, o.wiring(wecom))
	if err != nil {
		return exitLost, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if o.reversed {
		h.Queues.SetOrder(sqs.Reverse)
	}
	d := &day{options: o, House: h, sim: wecomsim.NewClient(wecom), ledger: h.Ledger(), out: out, began: clock.Real(), stop: func() {}}
	pages, err := d.serve()
	if err != nil {
		return exitLost, fmt.Errorf("-pages %s: %w", o.pages, err)
	}
	defer func() { err = errors.Join(err, pages.Close()) }()
	defer func() { d.stop() }()
	if err := f.announce(h.Endpoint, wecom, h.Environment()); err != nil {
		return exitLost, err
	}
	if o.show {
		fmt.Fprintf(out, "Nothing is played. What is in %s is shown until Ctrl-C:\n\n  mailbox and status   %s\n", o.data, d.mailed)
		<-ctx.Done()
		return exitAccounted, nil
	}
	if err := errors.Join(d.forgive(ctx), f.remember(o.library)); err != nil {
		return exitLost, err
	}
	if o.library != "" {
		err = d.playLibrary(ctx)
	} else {
		err = d.playStory(ctx)
	}
	if err != nil {
		return exitLost, err
	}
	code, err = d.account(ctx)
	if err != nil || o.once {
		return code, err
	}
	d.where()
	<-ctx.Done()
	fmt.Fprintln(out, "\nThe data stay in", o.data+"; make run plays the next day.")
	return exitAccounted, nil
}

// forgive lets fetch try each corp at once: whoever starts the program again may have mended what was wrong, and no function of an earlier run
// lives to hold a lease.
func (d *day) forgive(ctx context.Context) error {
	corps, err := d.ledger.Corps(ctx)
	if err != nil {
		return err
	}
	for _, c := range corps {
		if err := errors.Join(d.ledger.ClearTrouble(ctx, c.ID), d.ledger.EndLease(ctx, c.ID)); err != nil {
			return err
		}
	}
	return nil
}

// inputs reads what the flags name before anything is started, so that a wrong file costs no waiting.
func (o options) inputs() error {
	if o.library == "" {
		return nil
	}
	if _, err := o.keyFiles(); err != nil {
		return err
	}
	text, err := os.ReadFile(o.secretFile)
	if err != nil {
		return fmt.Errorf("-secret-file can't be read: %w", err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return fmt.Errorf("-secret-file %s is empty: it should hold the secret that WeCom's console shows for message archiving", o.secretFile)
	}
	return nil
}

// keyFiles lists the files of -keys by version.
func (o options) keyFiles() (map[archive.KeyVersion]string, error) {
	entries, err := os.ReadDir(o.keyFolder)
	if err != nil {
		return nil, fmt.Errorf("-keys can't be read: %w", err)
	}
	files := map[archive.KeyVersion]string{}
	for _, e := range entries {
		name, isPEM := strings.CutSuffix(e.Name(), ".pem")
		if !isPEM || e.IsDir() {
			continue
		}
		n, err := strconv.ParseUint(name, 10, 32)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("-keys: %s is not named by a key version: 3.pem holds the private key for publickey_ver 3", e.Name())
		}
		path := filepath.Join(o.keyFolder, e.Name())
		text, err := os.ReadFile(path) // #nosec G304 -- the user names the folder
		if err != nil {
			return nil, fmt.Errorf("-keys: %w", err)
		}
		if _, err := secrets.ParseKey(text); err != nil {
			return nil, fmt.Errorf("-keys: %s: %w", e.Name(), err)
		}
		files[archive.KeyVersion(n)] = path
	}
	return files, nil
}

// wiring is the template's parameters for a simulator at wecom.
func (o options) wiring(wecom string) house.Options {
	if o.wecomURL != "" {
		wecom = o.wecomURL
	}
	params := map[string]string{
		"WecomUrl": wecom, "SdkHost": filepath.Join(o.binaries, "local", "simsdk"), "PollInterval": "1s", "RetentionMode": "GOVERNANCE", "RetentionDays": "1",
		"Trial": "true", "MailFrom": "archive@wecomvault.example", "MailWait": "90s",
		"Callbacks": "true",
	}
	if o.library != "" {
		params["SdkHost"], params["SdkLib"] = "", o.library
	}
	return house.Options{Data: o.data, Listen: o.listen, API: o.api, Template: o.wiringFile, Binaries: o.binaries, Params: params, Guide: true}
}

// day is one day being played.
type day struct {
	options
	*house.House
	sim    *wecomsim.Client
	ledger *ledger.Ledger
	out    io.Writer
	began  time.Time
	corps  []archive.CorpID
	gaveUp map[archive.CorpID]ledger.Trouble
	notes  []string // what waits for the operator
	mailed string   // address of the mailbox page

	hastened time.Time

	scheduled bool       // schedules follow the clock
	moving    sync.Mutex // held while the clock is moved
	stop      func()     // ends the schedules
}

func (d *day) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%s  %s\n", d.Now().Format("2006-01-02 15:04"), fmt.Sprintf(format, args...))
}

// setClock moves the played time forward to t, for the product and for the simulator. It never moves it back.
func (d *day) setClock(ctx context.Context, t time.Time) error {
	d.moving.Lock()
	defer d.moving.Unlock()
	ahead := t.Sub(clock.Real())
	ahead = max(ahead, d.Ahead())
	if err := d.SetOffset(ahead); err != nil {
		return err
	}
	ns := int64(ahead)
	if _, err := d.sim.SetClock(ctx, wecomsim.Clock{OffsetNS: &ns}); err != nil {
		return err
	}
	return d.polled(ctx, t)
}

// polled waits until each corp was polled at t or later, so that no schedule takes a leap of the clock for hours without an answer.
func (d *day) polled(ctx context.Context, t time.Time) error {
	if !d.scheduled {
		return nil
	}
	_, err := house.Until(ctx, deadLease+2*fetchPause, func() (bool, error) {
		for _, corp := range d.corps {
			c, err := d.ledger.Cursor(ctx, corp)
			if err != nil {
				return false, err
			}
			if _, given := d.gaveUp[corp]; !given && !d.final(c) && c.LastWhole.Before(t) {
				return false, nil
			}
		}
		return true, nil
	})
	d.Host.Tick()
	return err
}

const (
	fetchPause = 5 * time.Second  // the longest that fetch rests between polls of a corp in trouble
	deadLease  = 15 * time.Second // how long it waits for the lease of a fetch that was killed with the last run
)

// schedule lets the template's schedules follow the played clock until the returned function is called. They wait while the clock is moved.
func (d *day) schedule(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	d.scheduled = true
	d.Host.Tick() // the first one only looks at the clock
	go func() {
		defer close(ended)
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-second.C:
				d.moving.Lock()
				d.Host.Tick()
				d.moving.Unlock()
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// operate runs the operator's command, as a person would.
func (d *day) operate(ctx context.Context, args ...string) error {
	code, text, err := d.Operate(ctx, args...)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("vaultctl %s: %s", strings.Join(args[:min(2, len(args))], " "), strings.TrimPrefix(text, "vaultctl: "))
	}
	return nil
}

// withSecret gives f the path of a file that holds a secret for as long as f runs.
func (d *day) withSecret(value string, f func(path string) error) (err error) {
	file, err := os.CreateTemp(d.data, "secret-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = file.WriteString(value)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return f(file.Name())
}

// standstill is how long nothing may move before what waits is left to the operator.
func (o options) standstill() time.Duration { return min(o.patience, 90*time.Second) }

// follow waits until holds is true of each corp that has not been given up. A corp is given up at once when somebody has to act, and when no
// whole batch came for longer than the patience.
func (d *day) follow(ctx context.Context, holds func(archive.CorpID, ledger.Cursor) bool) error {
	whole := map[archive.CorpID]time.Time{} // by the clock of events, as the ledger has it
	since := map[archive.CorpID]time.Time{} // by the machine's own
	_, err := house.Until(ctx, 24*time.Hour, func() (bool, error) {
		all := true
		for _, corp := range d.corps {
			if _, given := d.gaveUp[corp]; given {
				continue
			}
			c, err := d.ledger.Cursor(ctx, corp)
			if err != nil {
				return false, err
			}
			if holds(corp, c) {
				continue
			}
			all = false
			if _, seen := since[corp]; !seen || !c.LastWhole.Equal(whole[corp]) {
				whole[corp], since[corp] = c.LastWhole, clock.Real()
			}
			t := c.Trouble
			if d.final(c) || clock.Real().Sub(since[corp]) > d.patience {
				d.giveUp(corp, t)
			}
		}
		return all, nil
	})
	return err
}

// final says that somebody has to act before a corp's chat data come again, as this run has found.
func (d *day) final(c ledger.Cursor) bool {
	return c.Trouble != nil && c.Trouble.Final && c.Trouble.Tried.After(d.began)
}

func (d *day) giveUp(corp archive.CorpID, t *ledger.Trouble) {
	if t == nil {
		t = &ledger.Trouble{Sentence: fmt.Sprintf("no whole batch came for %v%s", d.patience, d.why("fetch"))}
	}
	d.gaveUp[corp] = *t
	d.notes = append(d.notes, fmt.Sprintf("corp %s is given up: %s", corp, t.Sentence))
	d.say("corp %s is given up: %s", corp, t.Sentence)
}

// progress is what moves while work is being done.
type progress struct{ pending, archived, asides, waiting, jobs int }

func (d *day) progress(ctx context.Context) (progress, error) {
	var p progress
	for _, corp := range d.corps {
		err := d.ledger.Batches(ctx, corp, "", func(b ledger.BatchRow) bool {
			p.archived += b.Archived
			p.asides += b.SetAside
			if b.State == ledger.Pending {
				p.pending++
			}
			return true
		})
		if err != nil {
			return p, err
		}
		if err := d.ledger.AllWaiting(ctx, corp, func(ledger.Waiting) bool { p.waiting++; return true }); err != nil {
			return p, err
		}
	}
	p.jobs = d.jobs()
	return p, nil
}

// jobs counts the jobs that this run can do: once every company is given up, what is to be read again of them waits for the next one, as their
// messages do.
func (d *day) jobs() int {
	jobs, _ := d.Queued()
	if len(d.gaveUp) < len(d.corps) {
		return jobs
	}
	for _, q := range d.Template.Queues {
		if q.LogicalID == "DirectoryQueue" {
			depth := d.Queues.Depths()[q.Name]
			jobs -= depth.Visible + depth.InFlight + depth.Delayed
		}
	}
	return max(0, jobs)
}

// settle waits until nothing is pending and no attachment waits, or until nothing has moved for long.
func (d *day) settle(ctx context.Context) error {
	var last progress
	moved, watched := clock.Real(), clock.Real()
	_, err := house.Until(ctx, 24*time.Hour, func() (bool, error) {
		p, err := d.progress(ctx)
		if err != nil {
			return false, err
		}
		if p != last {
			last, moved = p, clock.Real()
		}
		if p.pending == 0 && p.waiting == 0 && p.jobs == 0 {
			return true, nil
		}
		if err := d.hasten(); err != nil {
			return false, err
		}
		if p.jobs == 0 && d.Host.Idle() && clock.Real().Sub(watched) > hurry {
			// An announcement was lost with whoever was to make it: watch makes it again, as its schedule would.
			watched = clock.Real()
			if err := d.invoke(ctx, "WatchFunction"); err != nil {
				return false, err
			}
		}
		return clock.Real().Sub(moved) > d.standstill(), nil
	})
	return err
}

// hurry is the longest that a job rests before it is tried again while a day is played: in a real account pauses grow to hours.
const hurry = 5 * time.Second

// hasten makes jobs that rest after a failure visible, once nobody can be at work on them.
func (d *day) hasten() error {
	if clock.Real().Sub(d.hastened) < hurry || !d.Host.Idle() {
		return nil
	}
	d.hastened = clock.Real()
	return d.Queues.ReleaseInFlight()
}

// noon lets 12:00 UTC come and waits for the day's reports.
func (d *day) noon(ctx context.Context) error {
	now := d.Now()
	noon := time.Date(now.Year(), now.Month(), now.Day(), 12, 0, 0, 0, time.UTC)
	if !now.Before(noon) {
		noon = noon.AddDate(0, 0, 1)
	}
	// What the report tells of is read before it is written: schedules would do the same in the hour before.
	for _, f := range []string{"DirectoryFunction", "ConsentFunction", "WatchFunction"} {
		if err := d.invoke(ctx, f); err != nil {
			return err
		}
	}
	if err := d.setClock(ctx, noon.Add(time.Second)); err != nil {
		return err
	}
	d.say("noon: the reports are due")
	if err := d.invoke(ctx, "ReportFunction"); err != nil {
		return err
	}
	date := noon.Format(time.DateOnly)
	began, asked := clock.Real(), clock.Real()
	missing := ""
	_, err := house.Until(ctx, 24*time.Hour, func() (done bool, err error) {
		if missing, err = d.undelivered(ctx, date); err != nil {
			return false, err
		}
		jobs := d.jobs()
		if missing == "" && jobs == 0 {
			return true, nil
		}
		if err := d.hasten(); err != nil {
			return false, err
		}
		if missing != "" && jobs == 0 && d.Host.Idle() && clock.Real().Sub(asked) > hurry {
			asked = clock.Real()
			if err := d.invoke(ctx, "ReportFunction"); err != nil { // as its schedule would
				return false, err
			}
		}
		return clock.Real().Sub(began) > d.standstill(), nil
	})
	if missing != "" {
		d.notes = append(d.notes, missing)
	}
	return err
}

// undelivered names a due report or mail that has not gone out, "" if there is none.
func (d *day) undelivered(ctx context.Context, date string) (string, error) {
	for _, corp := range d.corps {
		missing, err := d.unmade(ctx, corp, date)
		if err != nil || missing != "" {
			return missing, err
		}
		err = d.ledger.Mails(ctx, corp, func(m ledger.MailRow) bool {
			if m.State != ledger.MailSent {
				missing = fmt.Sprintf("a mail %s of corp %s is %s", m.Report, corp, m.State)
			}
			return missing == ""
		})
		if err != nil || missing != "" {
			return missing, err
		}
		err = d.ledger.Tellings(ctx, corp, func(t ledger.Telling) bool {
			if !t.Settled() {
				missing = fmt.Sprintf("a message in WeCom %s of corp %s is %s", t.Report, corp, t.State)
			}
			return missing == ""
		})
		if err != nil || missing != "" {
			return missing, err
		}
	}
	return "", nil
}

// unmade names a report of a day that is not done, "" if there is none. Every report is made that is not switched off, if only to find that
// nobody gets it.
func (d *day) unmade(ctx context.Context, corp archive.CorpID, date string) (string, error) {
	c, err := d.ledger.Corp(ctx, corp)
	if err != nil {
		return "", err
	}
	done := map[string]bool{}
	err = d.ledger.Runs(ctx, corp, func(r ledger.Run) bool {
		if r.Day == date {
			done[r.Report] = r.State == ledger.RunDone
		}
		return r.Day >= date
	})
	if err != nil {
		return "", err
	}
	for _, kind := range report.Kinds() {
		if c.Settings.On(kind) && !done[string(kind)] {
			return fmt.Sprintf("report %s of corp %s for %s is not done", kind, corp, date), nil
		}
	}
	return "", nil
}

// invoke runs a function once, as its schedule would. That it fails is said and no error: its schedule would try again.
func (d *day) invoke(ctx context.Context, logicalID string) error {
	r, err := d.Host.Invoke(ctx, logicalID, []byte(`{}`))
	if err != nil {
		return err
	}
	if r.FunctionError != "" {
		d.say("%s failed, and is tried again: %s", logicalID, r.Payload)
	}
	return nil
}

// playLibrary archives one corp through a given library, whatever that serves.
func (d *day) playLibrary(ctx context.Context) error {
	id := archive.CorpID(d.corp)
	d.corps, d.gaveUp = []archive.CorpID{id}, map[archive.CorpID]ledger.Trouble{}
	args := []string{"corps", "set"}
	if _, err := d.ledger.Corp(ctx, id); errors.Is(err, ledger.ErrAbsent) {
		args = []string{"corps", "add", "-report-to", receivers} // mails stay on this machine
	} else if err != nil {
		return err
	}
	if err := d.operate(ctx, append(args, "-corp", d.corp, "-secret-file", d.secretFile)...); err != nil {
		return err
	}
	files, err := d.keyFiles()
	if err != nil {
		return err
	}
	for ver, path := range files { // one that is held already is said to be, and another in its place is refused
		if err := d.operate(ctx, "keys", "add", "-corp", d.corp, "-ver", ver.String(), "-file", path); err != nil {
			d.notes = append(d.notes, err.Error())
			d.say("%v", err)
		}
	}
	// No schedules: they would follow the other corps of this folder through a library that isn't theirs.
	if err := d.Start(); err != nil {
		return err
	}
	d.say("corp %s is pulled through %s", d.corp, filepath.Base(d.library))
	stop := d.keepFetching(ctx, id)
	began := d.Now()
	err = d.follow(ctx, func(_ archive.CorpID, c ledger.Cursor) bool { return c.Empties >= 2 && c.CaughtUp.After(began) })
	if err == nil {
		err = d.settle(ctx)
	}
	stop()
	if err != nil {
		return err
	}
	return d.noon(ctx)
}

// keepFetching invokes fetch for one corp each minute, as its schedule does, until the returned function is called.
func (d *day) keepFetching(ctx context.Context, corp archive.CorpID) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	event := []byte(fmt.Sprintf(`{"corps":[%s]}`, strconv.Quote(string(corp))))
	go func() {
		defer close(ended)
		minute := time.NewTicker(time.Minute)
		defer minute.Stop()
		for {
			if err := d.Host.InvokeAsync("FetchFunction", event); err != nil {
				d.say("fetch could not be started: %v", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-minute.C:
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}
