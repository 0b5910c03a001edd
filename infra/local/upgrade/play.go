package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/progress"
)

const corp = "wwupgrade"

// page is how many items a batch holds at most: small, so that there are many moments in the middle of one.
const page = 100

// upgrade is one run.
type upgrade struct {
	options
	*house.House
	out  io.Writer
	line *progress.Line
	sim  *wecomsim.Client
	keys []wecomsim.Key
	sent int
}

func play(ctx context.Context, o options, out io.Writer, line *progress.Line) (err error) {
	simulator, wecom, err := house.Simulator(ctx, o.folders.Binaries, o.folders.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, simulator.Close()) }()
	h, err := house.Open(ctx, house.Options{Data: o.folders.Data, Template: o.folders.Template, Binaries: o.folders.Binaries, NoSync: true, Params: map[string]string{
		"WecomUrl": wecom, "SdkHost": filepath.Join(o.folders.Binaries, "local", "simsdk"), "PollInterval": "200ms", "RetentionMode": "GOVERNANCE", "RetentionDays": "1", "Trial": "true",
		"MailFrom": "archive@wecomvault.example",
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	u := &upgrade{options: o, House: h, out: out, line: line, sim: wecomsim.NewClient(wecom)}
	if err := u.enrol(ctx); err != nil {
		return err
	}
	h.Deploy(o.before)
	if err := h.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		u.follow(ctx)
	}()
	defer func() { cancel(); <-ended }()
	if err := h.Host.InvokeAsync("FetchFunction", []byte(`{}`)); err != nil {
		return err
	}
	for i := range o.times {
		if err := u.deployInTheMiddle(ctx, i); err != nil {
			return err
		}
	}
	if err := u.send(ctx, o.n-u.sent); err != nil {
		return err
	}
	u.line.Note("the second key, and what waits for it")
	// The second key comes only now: what each version set aside, the last one opens.
	if err := u.addKey(ctx, u.keys[1]); err != nil {
		return err
	}
	return u.settle(ctx)
}

// follow lets the schedules run, as time goes.
func (u *upgrade) follow(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			u.Host.Tick()
			if n, err := u.archived(ctx); err == nil { // otherwise the next second tells
				u.line.Set(n, int64(u.n))
			}
		}
	}
}

func (u *upgrade) operate(ctx context.Context, args ...string) (string, error) {
	code, said, err := u.Operate(ctx, args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("vaultctl %s: %s", strings.Join(args[:min(2, len(args))], " "), said)
	}
	return said, err
}

// withFile gives a secret to a command as a file, which is gone afterwards.
func (u *upgrade) withFile(content string, use func(path string) error) error {
	f, err := os.CreateTemp(u.folders.Data, "secret-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = use(f.Name())
	}
	return errors.Join(err, os.Remove(f.Name()))
}

func (u *upgrade) addKey(ctx context.Context, k wecomsim.Key) error {
	return u.withFile(k.Private, func(path string) error {
		_, err := u.operate(ctx, "keys", "add", "-corp", corp, "-ver", archive.KeyVersion(k.Version).String(), "-file", path)
		return err
	})
}

func (u *upgrade) enrol(ctx context.Context) error {
	c, err := u.sim.AddCorp(ctx, wecomsim.NewCorp{Corp: corp, Name: "Upgrade Ltd", PageItems: page})
	if err != nil {
		return err
	}
	second, err := u.sim.AddKey(ctx, wecomsim.NewKeyRequest{Corp: corp})
	if err != nil {
		return err
	}
	u.keys = []wecomsim.Key{c.Keys[0], second}
	err = u.withFile(c.Secret(wecomsim.KindArchive), func(path string) error {
		_, err := u.operate(ctx, "corps", "add", "-corp", corp, "-name", "Upgrade Ltd", "-simulated", "-report-to", "en:audit@bank.example", "-secret-file", path)
		return err
	})
	if err != nil {
		return err
	}
	return u.addKey(ctx, u.keys[0])
}

// send has n messages sent: every seventh under the key that is kept back, every fiftieth with an attachment.
func (u *upgrade) send(ctx context.Context, n int) error {
	all := wecomsim.Messages{Corp: corp}
	for i := range n {
		m := wecomsim.Message{From: "anna", To: []string{"ben"}, Text: fmt.Sprintf("invented message %d", u.sent+i), KeyVersion: 1}
		if (u.sent+i)%7 == 0 {
			m.KeyVersion = 2
		}
		if (u.sent+i)%50 == 0 {
			f, err := u.sim.AddFile(ctx, wecomsim.NewFile{Corp: corp, Name: fmt.Sprintf("invented-%d.bin", u.sent+i), Size: 100_000 + int64(u.sent+i)})
			if err != nil {
				return err
			}
			payload, err := json.Marshal(map[string]any{"sdkfileid": f.SDKFileID, "md5sum": f.MD5, "filesize": f.Size, "filename": f.Name, "fileext": "bin"})
			if err != nil {
				return err
			}
			m.Text, m.Type, m.Payload = "", "file", payload
		}
		all.Messages = append(all.Messages, m)
	}
	if len(all.Messages) == 0 {
		return nil
	}
	u.sent += n
	_, err := u.sim.SendAll(ctx, all)
	return err
}

// deployInTheMiddle sends more, waits until a batch is open in a function's hands and others are announced, and deploys.
func (u *upgrade) deployInTheMiddle(ctx context.Context, i int) error {
	if err := u.send(ctx, (u.n/2)/u.times); err != nil {
		return err
	}
	name, binaries, former := "the new version", u.folders.Binaries, u.before
	if i%2 == 1 {
		name, binaries, former = "the old version again", u.before, u.folders.Binaries
	}
	u.line.Note(fmt.Sprintf("deployment %d of %d: waiting for a batch in the middle of its way", i+1, u.times))
	pending := 0
	found, err := house.Until(ctx, u.patience, func() (bool, error) {
		if u.Host.Busy("ProcessFunction") == 0 {
			return false, nil
		}
		var err error
		pending, err = u.pending(ctx)
		return pending > 0 && u.Host.Busy("ProcessFunction") > 0, err
	})
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("no batch was found in the middle of its way within %v", u.patience)
	}
	jobs, _ := u.Queued()
	u.Deploy(binaries)
	working := u.working(former) // those that have work in their hands: the others are ended
	fmt.Fprintf(u.out, "%s is deployed: %d batches are pending, %d jobs are queued, %d programs of the version before it end their work\n", name, pending, jobs, working)
	// What waits for the key has its alert: watch asks for it, report writes it, mail sends it, in whichever version they are.
	if _, err := u.Host.Invoke(ctx, "WatchFunction", []byte(`{}`)); err != nil {
		return err
	}
	// The version must get work of its own before the next one comes.
	_, err = house.Until(ctx, u.patience, func() (bool, error) {
		if u.working(binaries) > 0 {
			return true, nil
		}
		return false, u.send(ctx, 1)
	})
	return err
}

// archived counts the messages of the batches that are done.
func (u *upgrade) archived(ctx context.Context) (n int64, err error) {
	err = u.Ledger().Batches(ctx, corp, "", func(b ledger.BatchRow) bool {
		n += int64(b.Archived)
		return true
	})
	return n, err
}

// pending counts the batches that are kept and not yet done.
func (u *upgrade) pending(ctx context.Context) (int, error) {
	n := 0
	err := u.Ledger().Batches(ctx, corp, "", func(b ledger.BatchRow) bool {
		if b.State == ledger.Pending {
			n++
		}
		return true
	})
	return n, err
}

// working counts the processes that run a program of the folder.
func (u *upgrade) working(binaries string) int {
	n := 0
	for _, p := range u.Host.Processes() {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID))
		if err == nil && strings.HasPrefix(program, filepath.Join(binaries, "functions")+string(filepath.Separator)) {
			n++
		}
	}
	return n
}

// line is what is read of a line of vaultctl messages.
type line struct {
	Seq       uint64
	State     string
	Reason    string
	RawSHA256 string `json:"raw_sha256"`
	Media     []struct{ State string }
}

// settle waits until nothing is under way, and compares.
func (u *upgrade) settle(ctx context.Context) error {
	began := clock.Real()
	var differs error
	redriven := false
	done, err := house.Until(ctx, u.patience, func() (bool, error) {
		jobs, dead := u.Queued()
		if dead > 0 {
			return false, fmt.Errorf("%d jobs are in dead-letter queues", dead)
		}
		if jobs > 0 || u.Host.Busy("ProcessFunction")+u.Host.Busy("MediaFunction") > 0 {
			differs = fmt.Errorf("%d jobs are in the queues", jobs)
			return false, nil
		}
		if differs = u.compare(ctx); differs == nil || redriven || !strings.Contains(differs.Error(), "no-key") {
			return differs == nil, nil
		}
		// A batch that was read before the key came may be set aside after its redrive has passed. The schedule puts it back within ten minutes; here the operator
		// does so at once.
		redriven = true
		_, err := u.operate(ctx, "redrive", "-corp", corp)
		return false, err
	})
	if err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("not settled within %v: %w", u.patience, differs)
	}
	said, err := u.operate(ctx, "fsck")
	if err != nil {
		return err
	}
	mails, err := u.mails()
	if err != nil {
		return err
	}
	fmt.Fprintf(u.out, "%d messages sent: each is archived once with the bytes that were sent, every attachment kept, none set aside, no dead letters, %d mails and none twice; settled %v after the last one\n%s\n",
		u.sent, mails, time.Since(began).Round(100*time.Millisecond), said)
	return nil
}

func (u *upgrade) compare(ctx context.Context) error {
	said, err := u.operate(ctx, "messages", "-corp", corp, "-format", "jsonl")
	if err != nil {
		return err
	}
	held := map[uint64]line{}
	for _, text := range strings.Split(said, "\n") {
		if !strings.HasPrefix(text, "{") {
			continue
		}
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return fmt.Errorf("read a line of vaultctl messages: %w", err)
		}
		if _, twice := held[l.Seq]; twice {
			return fmt.Errorf("seq %d is archived twice", l.Seq)
		}
		held[l.Seq] = l
	}
	items, err := u.sim.Items(ctx, corp, 0, u.sent+1, false)
	if err != nil {
		return err
	}
	for _, i := range items {
		l, ok := held[i.Seq]
		switch {
		case !ok:
			return fmt.Errorf("seq %d is lost", i.Seq)
		case l.State != "archived":
			return fmt.Errorf("seq %d is %s (%s), as are %d in all", i.Seq, l.State, l.Reason, alike(held, l))
		case l.RawSHA256 != i.RawSHA256:
			return fmt.Errorf("seq %d is archived with other bytes than were sent", i.Seq)
		}
		for _, m := range l.Media {
			if m.State != "kept" {
				return fmt.Errorf("an attachment of seq %d is %s", i.Seq, m.State)
			}
		}
	}
	if len(items) != u.sent || len(held) != u.sent {
		return fmt.Errorf("%d were sent, %d handed out, %d are archived", u.sent, len(items), len(held))
	}
	return nil
}

// alike counts the lines with the state and reason of one.
func alike(held map[uint64]line, one line) int {
	n := 0
	for _, l := range held {
		if l.State == one.State && l.Reason == one.Reason {
			n++
		}
	}
	return n
}

// mails counts what was sent; the same mail to the same address twice is an error.
func (u *upgrade) mails() (int, error) {
	all, err := u.Mails.Mails()
	if err != nil {
		return 0, err
	}
	once := map[string]bool{}
	for _, m := range all {
		which := fmt.Sprint(m.Tags, m.Destinations, m.Subject)
		if len(m.Tags) > 0 && once[which] {
			return 0, fmt.Errorf("a mail was sent twice: %s", which)
		}
		once[which] = true
	}
	return len(all), nil
}
