package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/report"
)

// run is what one process plays: a day of the product over a corpus, under a plan of faults. The process may be killed at any moment and
// started again with the same run: it goes on.
type run struct {
	Data       string // folder of its own
	Corpus     string // folder of the corpus
	Binaries   string
	Template   string
	Listen     string // address of the AWS endpoint, the same after each start
	Simulator  string // address of the simulated WeCom, likewise
	API        string // address of the receivers API and of WeCom's callbacks, likewise
	Faults     []line
	Nth        int      // which call of each site the faults are for; 0 and 1: the first
	Library    []string // lines of simsdk's script
	WeCom      []wecomsim.Fault
	Storm      *weather      // nil: none
	Duplicates bool          // every job is delivered twice, and SES takes its time
	Patience   time.Duration // how long one step may take
}

// The files of a run, in its folder.
const (
	runFile     = "run.json"
	stateFile   = "state.json"
	stepFile    = "step"
	fetchedFile = "fetched" // seqs fetched, and how many there are, for whoever waits
	hitsFile    = "hits"
	sitesFile   = "sites.json"
	scriptFile  = "library.script"
	libraryFile = "library.sh"
	callsFile   = "library.calls"
)

// restartCode is the exit code of a run whose store has died: it is started again.
const restartCode = 75

var errStoreDied = errors.New("the store has died")

// player is a run under way.
type player struct {
	run
	*house.House
	corpus corpus
	sim    *wecomsim.Client
	child  *house.Child // the simulator; mu guards it
	mu     sync.Mutex
	hook   *hook
	ledger *ledger.Ledger
	out    io.Writer
	notes  notes

	operators map[string]int // calls of WeCom's APIs, by corp and API, while the companies were entered
	answered  map[string]int // changes that the API has answered for, by corp and kind
}

// notes are what a run counts beside its end state.
type notes struct {
	Nudges   int // times that the clock was moved and watch asked, because work was lost on its way
	Released int // times that hidden jobs were made visible again
	Mended   int // things that fsck found and mended: nothing may need that here
	Segments int // segments that no batch names and that hold nothing of their own
	Failed   map[string]int
	Waiting  []string // WeCom's APIs whose planned fault nobody met
}

// play plays a run to its end and writes its end state.
func play(ctx context.Context, r run, out io.Writer) (err error) {
	p := &player{run: r, out: out, notes: notes{Failed: map[string]int{}}, answered: map[string]int{}}
	if p.corpus, err = readCorpus(r.Corpus); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := p.open(ctx); err != nil {
		return errors.Join(err, p.close())
	}
	go func() {
		select {
		case <-p.Objects.Done():
			cancel(errStoreDied)
		case <-ctx.Done():
		}
	}()
	go p.keepSimulator(ctx)
	var fetching sync.WaitGroup
	defer fetching.Wait()
	fetching.Go(func() { p.keepFetching(ctx) })
	if r.Storm != nil {
		go p.weather(ctx)
	}
	err = p.steps(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	return errors.Join(err, p.close())
}

func (p *player) open(ctx context.Context) error {
	file := filepath.Join(p.run.Data, simulatorFile)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		b, err := os.ReadFile(filepath.Join(p.Corpus, simulatorFile))
		if err != nil {
			return fmt.Errorf("copy the corpus: %w", err)
		}
		if err := errors.Join(os.WriteFile(file+".new", b, 0o600), os.Rename(file+".new", file)); err != nil {
			return fmt.Errorf("copy the corpus: %w", err)
		}
	}
	script := "* * note " + filepath.Join(p.run.Data, callsFile) + "\n" + strings.Join(p.Library, "\n") + "\n"
	wrapper := fmt.Sprintf("#!/bin/sh\nexec '%s' -script '%s' \"$@\"\n", filepath.Join(p.run.Binaries, "local", "simsdk"), filepath.Join(p.run.Data, scriptFile))
	library := filepath.Join(p.run.Data, libraryFile)
	// #nosec G306 -- the product starts it as a program
	if err := errors.Join(os.WriteFile(filepath.Join(p.run.Data, scriptFile), []byte(script), 0o600), os.WriteFile(library, []byte(wrapper), 0o700)); err != nil {
		return fmt.Errorf("write the library's script: %w", err)
	}
	hits, err := openJournal(filepath.Join(p.run.Data, hitsFile))
	if err != nil {
		return err
	}
	p.hook = newHook(p.Faults, hits)
	p.hook.nth = p.Nth
	if err := p.startSimulator(ctx); err != nil {
		return err
	}
	p.sim = wecomsim.NewClient("http://" + p.Simulator)
	apart := time.Duration(0)
	if p.Storm != nil {
		apart = skew
	}
	p.House, err = house.Open(ctx, house.Options{
		Apart: apart, Data: p.run.Data, Listen: p.run.Listen, API: p.run.API, Template: p.run.Template, Binaries: p.run.Binaries, NoSync: true, Fault: p.hook.decide,
		Params: map[string]string{
			"WecomUrl": "http://" + p.Simulator, "SdkHost": library, "PollInterval": "200ms", "RetentionMode": "GOVERNANCE", "RetentionDays": "1", "Trial": "true",
			"MailFrom": "archive@chaos.example", "Callbacks": "true",
		},
	})
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, r := range p.House.Template.Resources {
		names[path.Base(r.Physical)] = r.LogicalID
	}
	for _, f := range p.House.Template.Functions {
		names[f.Name] = f.LogicalID
	}
	p.hook.named(names)
	p.ledger = p.Ledger()
	if p.Duplicates {
		p.Queues.SetDuplicates(1)
		p.hook.stormy(nil, slowMail)
	}
	if err := p.setClock(ctx, p.Now()); err != nil {
		return err
	}
	return p.Start()
}

// slowMail has SES take its time, so that two deliveries of one job are at work together.
func slowMail(q awslocal.FaultRequest) time.Duration {
	if q.Service == "ses" {
		return 1500 * time.Millisecond
	}
	return 0
}

func (p *player) close() error {
	var errs []error
	if p.hook != nil {
		errs = append(errs, p.hook.save(filepath.Join(p.run.Data, sitesFile)))
	}
	if p.House != nil {
		errs = append(errs, p.House.Close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child != nil {
		errs = append(errs, p.child.Close())
	}
	return errors.Join(errs...)
}

func (p *player) startSimulator(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(p.run.Data, "logs"), 0o700); err != nil {
		return fmt.Errorf("make the folder for logs: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(p.run.Data, "logs", "wecomsim.log"), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open the simulator's log: %w", err)
	}
	c, _, err := house.Spawn(ctx, log, filepath.Join(p.run.Binaries, "local", "wecomsim"), "-data", filepath.Join(p.run.Data, simulatorFile), "-listen", p.Simulator, "-until-eof")
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.child = c
	p.mu.Unlock()
	return nil
}

// keepSimulator starts the simulated WeCom again whenever it dies.
func (p *player) keepSimulator(ctx context.Context) {
	for {
		p.mu.Lock()
		c := p.child
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-c.Ended():
		}
		for ctx.Err() == nil {
			if err := p.startSimulator(ctx); err == nil {
				break
			}
			rest(ctx, 200*time.Millisecond)
		}
	}
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// setClock moves the time of events to t, for the product and for WeCom. On the first call of a run it is set back to dawn.
func (p *player) setClock(ctx context.Context, t time.Time) error {
	if _, err := os.Stat(p.ClockFile()); errors.Is(err, os.ErrNotExist) {
		t = dawn
	}
	ahead := t.Sub(clock.Real())
	if err := p.SetOffset(ahead); err != nil {
		return err
	}
	ns := int64(ahead)
	for {
		_, err := p.sim.SetClock(ctx, wecomsim.Clock{OffsetNS: &ns})
		if err == nil || ctx.Err() != nil {
			return err
		}
		rest(ctx, 200*time.Millisecond) // it is being started again
	}
}

// step is a part of the day. Each may be begun again at any moment.
type step struct {
	name string
	do   func(ctx context.Context) error
}

func (p *player) day() []step {
	noon := time.Date(dawn.Year(), dawn.Month(), dawn.Day(), 12, 0, 0, 0, time.UTC)
	return []step{
		{"enrol", p.enrol},
		{"trouble", p.trouble},
		{"archive", p.archive},
		{"directory", p.directory},
		{"receivers", p.receivers},
		{"hear", p.hear},
		{"consent", func(ctx context.Context) error { return p.invoked(ctx, "ConsentFunction", `{}`) }},
		{"change", p.change},
		{"files", p.files},
		{"key", p.lateKeys},
		{"watch", func(ctx context.Context) error { return p.invoked(ctx, "WatchFunction", `{}`) }},
		{"morning", func(ctx context.Context) error {
			return errors.Join(p.forward(ctx, noon.Add(-time.Hour)), p.archive(ctx))
		}},
		{"again", p.again},
		{"redrive", func(ctx context.Context) error { return p.invoked(ctx, "RedriveFunction", `{}`) }},
		{"noon", func(ctx context.Context) error {
			return errors.Join(p.forward(ctx, noon.Add(time.Second)), p.reports(ctx))
		}},
		{"lift", p.lift},
		{"evening", func(ctx context.Context) error {
			return errors.Join(p.forward(ctx, noon.Add(2*time.Hour)), p.archive(ctx))
		}},
		{"alarms", func(ctx context.Context) error {
			return errors.Join(p.invoked(ctx, "WatchFunction", `{}`), p.settle(ctx, nil))
		}},
		{"fsck", p.fsck},
		{"quiet", func(ctx context.Context) error { return p.settle(ctx, nil) }},
		{"calls", p.writeCalls},
		{"state", p.writeState},
	}
}

func (p *player) steps(ctx context.Context) error {
	file := filepath.Join(p.run.Data, stepFile)
	done, err := os.ReadFile(file) // #nosec G304 -- of this run
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read how far the run came: %w", err)
	}
	all := p.day()
	from := 1 + slices.IndexFunc(all, func(s step) bool { return s.name == string(done) })
	for _, s := range all[from:] {
		began := clock.Real()
		within, cancel := context.WithTimeout(ctx, p.Patience)
		err := s.do(within)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(p.out, "  %-10s %v\n", s.name, clock.Real().Sub(began).Round(10*time.Millisecond))
		if err := errors.Join(os.WriteFile(file+".new", []byte(s.name), 0o600), os.Rename(file+".new", file)); err != nil {
			return fmt.Errorf("note how far the run came: %w", err)
		}
	}
	return nil
}

// operate runs the operator's command until it succeeds: a person would.
func (p *player) operate(ctx context.Context, args ...string) error {
	for try := 1; ; try++ {
		code, said, err := p.Operate(ctx, args...)
		if err == nil && (code == 0 || strings.Contains(said, "already")) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("vaultctl %s ended with %d: %s", strings.Join(args[:2], " "), code, said)
		}
		if try == 5 || ctx.Err() != nil {
			return err
		}
		rest(ctx, time.Second)
	}
}

func (p *player) file(name, text string) (string, error) {
	path := filepath.Join(p.run.Data, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write what the operator gives: %w", err)
	}
	return path, nil
}

// enrol makes the corps known, with the key that is there from the beginning.
func (p *player) enrol(ctx context.Context) error {
	for _, c := range p.corpus.Corps {
		args := []string{"corps", "add", "-corp", c.ID, "-name", c.Name, "-simulated", "-report-to", "en:one@" + c.ID + ".example,zh:two@" + c.ID + ".example"}
		for i, flag := range []string{"-secret-file", "-contacts-secret-file", "-customer-secret-file", "-app-secret-file"} {
			path, err := p.file(c.ID+flag, c.Secrets[i].Value)
			if err != nil {
				return err
			}
			args = append(args, flag, path)
		}
		// By itself: a corp that was added already, by a try that was ended, has no app yet.
		set := []string{"corps", "set", "-corp", c.ID, args[len(args)-2], args[len(args)-1], "-app-agent", fmt.Sprint(appAgent)}
		if err := errors.Join(p.operate(ctx, args[:len(args)-2]...), p.operate(ctx, set...), p.addKey(ctx, c, 0)); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) addKey(ctx context.Context, c company, i int) error {
	if i >= len(c.Keys) {
		return nil
	}
	path, err := p.file(fmt.Sprintf("%s-key%d.pem", c.ID, i+1), c.Keys[i].Private)
	if err != nil {
		return err
	}
	return p.operate(ctx, "keys", "add", "-corp", c.ID, "-ver", fmt.Sprint(c.Keys[i].Version), "-file", path)
}

// trouble plans WeCom's faults. What was called until now was the operator's doing, whose commands are not in the table.
func (p *player) trouble(ctx context.Context) error {
	p.operators = map[string]int{}
	for _, c := range p.corpus.Corps {
		a, err := p.sim.Account(ctx, c.ID)
		if err != nil {
			return err
		}
		for api, n := range a.Calls {
			p.operators[c.ID+" "+api] = n
		}
	}
	for _, f := range p.WeCom {
		if _, err := p.sim.AddFault(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// invoke runs a function once, as its schedule would, and says whether it succeeded.
func (p *player) invoke(ctx context.Context, function, event string) (answer []byte, ok bool, err error) {
	r, err := p.Host.Invoke(ctx, function, []byte(event))
	if err != nil {
		return nil, false, fmt.Errorf("invoke %s: %w", function, err)
	}
	if r.FunctionError != "" {
		p.mu.Lock()
		p.notes.Failed[function]++
		p.mu.Unlock()
	}
	return r.Payload, r.FunctionError == "", nil
}

// invoked invokes a function until it succeeds, as its schedule does in the end.
func (p *player) invoked(ctx context.Context, function, event string) error {
	for {
		_, ok, err := p.invoke(ctx, function, event)
		if ok || err != nil {
			return err
		}
		rest(ctx, 100*time.Millisecond)
	}
}

// directory has the directory read until nothing of it is missing.
func (p *player) directory(ctx context.Context) error {
	for {
		if err := p.invoked(ctx, "DirectoryFunction", `{}`); err != nil {
			return err
		}
		whole := true
		for _, c := range p.corpus.Corps {
			var newest *ledger.Snapshot
			err := p.ledger.Snapshots(ctx, archive.CorpID(c.ID), func(s ledger.Snapshot) bool { newest = &s; return false })
			if err != nil {
				return err
			}
			if newest == nil {
				whole = false
				continue
			}
			for _, part := range newest.Counts.Parts {
				whole = whole && part.Complete
			}
		}
		if whole {
			return nil
		}
	}
}

// archive fetches until WeCom has nothing more for any corp, and waits until all of it is done.
func (p *player) archive(ctx context.Context) error {
	began := p.Now()
	return p.settle(ctx, func() (string, error) {
		behind, fetched, total := "", uint64(0), 0
		for _, c := range p.corpus.Corps {
			cur, err := p.ledger.Cursor(ctx, archive.CorpID(c.ID))
			if err != nil {
				return "", err
			}
			fetched, total = fetched+uint64(cur.Seq), total+c.Items
			if behind == "" && (cur.Empties == 0 || !cur.CaughtUp.After(began)) {
				behind = fmt.Sprintf("corp %s is at seq %d", c.ID, cur.Seq)
			}
		}
		// Only for people to look at: the run goes on without it, on a full disk too.
		_ = os.WriteFile(filepath.Join(p.run.Data, fetchedFile), fmt.Append(nil, fetched, " ", total), 0o600)
		return behind, nil
	})
}

// lateKeys gives the keys that came late; what was set aside for want of them must come in by itself.
func (p *player) lateKeys(ctx context.Context) error {
	for _, c := range p.corpus.Corps {
		if err := p.addKey(ctx, c, 1); err != nil {
			return err
		}
	}
	return p.settle(ctx, func() (string, error) {
		for _, c := range p.corpus.Corps {
			groups, err := p.ledger.AsideGroups(ctx, archive.CorpID(c.ID))
			if err != nil {
				return "", err
			}
			for _, g := range groups {
				if g.First.Reason == ledger.ReasonNoKey {
					// The announcement of a redrive may be lost; its schedule makes it again.
					_, _, err := p.invoke(ctx, "RedriveFunction", `{}`)
					return "items still wait for their key", err
				}
			}
		}
		return "", nil
	})
}

// forward moves the clock to t, unless it is there already, and waits until every corp was asked at that time.
func (p *player) forward(ctx context.Context, t time.Time) error {
	if p.Now().After(t) {
		return nil
	}
	return p.setClock(ctx, t)
}

// reports has the day's reports made and sent.
func (p *player) reports(ctx context.Context) error {
	day := dawn.Format(time.DateOnly)
	return p.settle(ctx, func() (string, error) {
		for _, c := range p.corpus.Corps {
			done := map[string]bool{}
			err := p.ledger.Runs(ctx, archive.CorpID(c.ID), func(r ledger.Run) bool {
				if r.Day == day {
					done[r.Report] = r.State == ledger.RunDone
				}
				return true
			})
			if err != nil {
				return "", err
			}
			for _, kind := range report.Kinds() {
				if !done[string(kind)] {
					_, _, err := p.invoke(ctx, "ReportFunction", `{}`)
					return fmt.Sprintf("report %s is not done", kind), err
				}
			}
		}
		return p.unsent(ctx)
	})
}

// unsent names a mail, or a message in WeCom, that has not gone out.
func (p *player) unsent(ctx context.Context) (string, error) {
	waits := ""
	for _, c := range p.corpus.Corps {
		err := p.ledger.Mails(ctx, archive.CorpID(c.ID), func(m ledger.MailRow) bool {
			if m.State != ledger.MailSent {
				waits = fmt.Sprintf("a mail %s is %s", m.Report, m.State)
			}
			return true
		})
		if err != nil {
			return "", err
		}
		err = p.ledger.Tellings(ctx, archive.CorpID(c.ID), func(t ledger.Telling) bool {
			if !t.Settled() {
				waits = "a message in WeCom is " + t.State
			}
			return true
		})
		if err != nil {
			return "", err
		}
	}
	return waits, nil
}

// fsck has the archive checked until a check has come to its end.
func (p *player) fsck(ctx context.Context) error {
	for {
		answer, ok, err := p.invoke(ctx, "FsckFunction", `{"full":true}`)
		if err != nil {
			return err
		}
		var said struct {
			Findings []struct{ Kind, Object, State, Sentence string }
			Next     string
		}
		if ok && json.Unmarshal(answer, &said) == nil && said.Next == "" {
			if len(said.Findings) == 0 {
				return nil
			}
			f := said.Findings[0]
			p.notes.Mended += len(said.Findings)
			if f.State != "mended" {
				return fmt.Errorf("fsck found %d things, the first: %s %s (%s): %s", len(said.Findings), f.Kind, f.Object, f.State, f.Sentence)
			}
			if err := p.settle(ctx, nil); err != nil {
				return err
			}
		}
		rest(ctx, 100*time.Millisecond)
	}
}

// freePort is an address of the loopback that nobody listens on. Ports from 32768 on are left out: the system gives them to whoever calls
// somebody, and a run that is started again wants the same one.
func freePort() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))) // #nosec G404 -- any will do
		if err != nil {
			continue
		}
		return l.Addr().String(), l.Close()
	}
	return "", errors.New("no free port was found on the loopback")
}
