package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/company"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// corp is one of the three companies, and what is known of it without asking the product.
type corp struct {
	id   archive.CorpID
	who  *company.Company
	last uint64 // seq of what was said last

	down    int  // id of the fault that keeps its chat data away; 0: none
	well    span // when WeCom last had no more for it
	unheard time.Time
	lost    span // of what was said in here the window ended before it was fetched

	key     *wecomsim.Key // used by WeCom and not yet held
	keyless span          // when it was last caught up before the first message under that key
	unread  span          // the same before the first batch that can't be opened for another reason
	mute    int           // id of the fault that keeps its attachments away
	files   span          // when the first attachment was sent that is not in
	said    int           // messages
	sent    []time.Time   // attachments

	filesLost span   // of what was said in here the attachments' window ended before the message was fetched
	from      string // key of a batch up to which all are known to be done
}

// week is the week being played.
type week struct {
	options
	*house.House
	out    io.Writer
	line   *progress.Line
	wecom  *house.Child
	sim    *wecomsim.Client
	ledger *ledger.Ledger
	corps  []*corp
	start  time.Time // midnight of the first day
	vitals vitals

	store, table atomic.Bool  // away: no object is written, no message row
	watches      atomic.Int64 // runs of watch that are over
	asked        int64        // runs of watch that were begun
	said         int
	looked       int      // moments at which the hours were looked at
	wrong        []string // what was found
}

const (
	days        = 7
	messageDays = 120 * time.Hour
	mediaDays   = 72 * time.Hour
	receivers   = "zh:compliance@company.example,en:audit@company.example"
	fileBytes   = 20 << 10
	fileIn      = 50 // messages for each attachment
	members     = 60
)

// begin starts the house, the simulator and the three companies.
func begin(ctx context.Context, o options, out io.Writer, line *progress.Line) (w *week, err error) {
	w = &week{options: o, out: out, line: line, vitals: vitals{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	var url string
	if w.wecom, url, err = house.Simulator(ctx, o.folders.Binaries, o.folders.Data); err != nil {
		return w, err
	}
	w.sim = wecomsim.NewClient(url)
	w.House, err = house.Open(ctx, house.Options{
		Data: o.folders.Data, Template: o.folders.Template, Binaries: o.folders.Binaries, NoSync: true, Fault: w.fault,
		Params: map[string]string{
			"WecomUrl": url, "SdkHost": filepath.Join(o.folders.Binaries, "local", "simsdk"), "PollInterval": "500ms", "RetentionMode": "GOVERNANCE", "RetentionDays": "1",
			"Trial": "true", "MailFrom": "archive@company.example",
		},
		Ran: func(r lambdahost.Ran) {
			if r.Function.LogicalID == "WatchFunction" {
				w.watches.Add(1)
			}
		},
	})
	if err != nil {
		return w, err
	}
	w.ledger = w.Ledger()
	w.start = clock.Real().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	if err := w.setClock(ctx, w.start.Add(-time.Hour)); err != nil {
		return w, err
	}
	for i, name := range []string{"wwsoaka", "wwsoakb", "wwsoakc"} {
		c := &corp{id: archive.CorpID(name)}
		c.who, err = company.New(ctx, w.sim, company.Options{Corp: name, Members: members, Externals: 1, Seed: o.seed + uint64(i)}) // #nosec G115 -- small
		if err != nil {
			return w, err
		}
		if err := c.who.Enrol(ctx, w.House, receivers); err != nil {
			return w, err
		}
		w.corps = append(w.corps, c)
	}
	if err := w.Start(); err != nil {
		return w, err
	}
	w.Host.Tick() // the first one only looks at the clock
	return w, nil
}

func (w *week) close() error {
	var errs []error
	if w.House != nil {
		errs = append(errs, w.House.Close())
	}
	if w.wecom != nil {
		errs = append(errs, w.wecom.Close())
	}
	return errors.Join(errs...)
}

// fault keeps the store or the table away.
func (w *week) fault(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
	if q.Caller == house.Operator {
		return d
	}
	if w.store.Load() && q.Service == "s3" && q.Operation == "PutObject" {
		return awslocal.FaultDecision{Act: awslocal.Refuse, Code: "ServiceUnavailable", Status: 503}
	}
	if w.table.Load() && q.Service == "dynamodb" && q.Resource == w.Template.Outputs["MessagesTable"] && strings.Contains(q.Operation, "Write") {
		return awslocal.FaultDecision{Act: awslocal.Refuse, Code: "InternalServerError", Status: 500}
	}
	return d
}

func (w *week) find(format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	w.wrong = append(w.wrong, said)
	fmt.Fprintln(w.out, "WRONG:", said)
}

// setClock moves the clock of the product and of WeCom.
func (w *week) setClock(ctx context.Context, t time.Time) error {
	ahead := t.Sub(clock.Real())
	if err := w.SetOffset(ahead); err != nil {
		return err
	}
	ns := int64(ahead)
	_, err := w.sim.SetClock(ctx, wecomsim.Clock{OffsetNS: &ns})
	return err
}

// patience is how long a state is waited for that should come by itself.
const patience = 6 * time.Minute

func (w *week) wait(ctx context.Context, what string, holds func() (bool, error)) error {
	ok, err := house.Until(ctx, patience, holds)
	if err == nil && !ok {
		err = fmt.Errorf("%s did not come to pass within %v: the logs in %s say why (-keep leaves them)", what, patience, filepath.Join(w.folders.Data, "logs"))
	}
	return err
}

// play plays the week.
func (w *week) play(ctx context.Context) error {
	steps := int(days * 24 * time.Hour / w.step)
	each := w.n / steps / len(w.corps)
	fmt.Fprintf(w.out, "A week from %s in %d leaps of %v, %d messages a leap in each of %d companies, seed %d\n", w.start.Format(time.DateOnly), steps, w.step, each, len(w.corps), w.seed)
	total := int64(steps * max(each, 1) * len(w.corps))
	for i := range steps {
		t := w.start.Add(time.Duration(i) * w.step)
		w.line.Set(int64(w.said), total)
		w.line.Note(t.Format("Mon 15:04"))
		if err := w.leap(ctx, t, max(each, 1)); err != nil {
			return fmt.Errorf("%s: %w", t.Format("Mon 15:04"), err)
		}
		if day := i * int(w.step/time.Minute) / (24 * 60); (i+1)*int(w.step/time.Minute)%(24*60) == 0 {
			fmt.Fprintf(w.out, "day %d: %d messages said, hours looked at %d times, %s\n", day+1, w.said, w.looked, found(len(w.wrong)))
		}
	}
	w.line.Set(int64(w.said), total)
	w.line.Note("the evening of the last day")
	return w.calm(ctx, w.start.Add(days*24*time.Hour))
}

func found(n int) string {
	if n == 0 {
		return "nothing wrong"
	}
	return fmt.Sprintf("%d things wrong", n)
}

// leap moves the clock to t, lets happen what is due, lets everybody speak, waits until the product has kept up, and looks at it.
func (w *week) leap(ctx context.Context, t time.Time, each int) error {
	hour := int(t.Sub(w.start).Hours())
	if err := w.before(ctx, t, hour); err != nil {
		return err
	}
	if err := w.setClock(ctx, t); err != nil {
		return err
	}
	if err := w.after(ctx, t, hour); err != nil {
		return err
	}
	w.tick()
	if err := w.caughtUp(ctx); err != nil {
		return err
	}
	w.midway(t, hour)
	for _, c := range w.corps {
		if err := w.speak(ctx, c, each); err != nil {
			return err
		}
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	if err := w.look(ctx); err != nil {
		return err
	}
	w.feel(1 + hour/24)
	return nil
}

func (w *week) tick() {
	w.Host.Tick()
	w.asked++ // watch is due at every leap
}

// reachable says whether fetch can move a corp's cursor.
func (w *week) reachable(c *corp) bool { return c.down == 0 && !w.store.Load() }

// caughtUp waits until WeCom has said of each corp that can be reached that there is no more, after now.
func (w *week) caughtUp(ctx context.Context) error {
	now := w.Now()
	for _, c := range w.corps {
		if !w.reachable(c) {
			continue
		}
		if err := w.wait(ctx, "that corp "+string(c.id)+" is caught up", func() (bool, error) {
			cursor, err := w.ledger.Cursor(ctx, c.id)
			return cursor.Empties > 0 && cursor.CaughtUp.After(now), err
		}); err != nil {
			return err
		}
		c.well = span{now, w.Now()}
	}
	return nil
}

// speak lets a company talk.
func (w *week) speak(ctx context.Context, c *corp, n int) error {
	now := w.Now().Truncate(time.Millisecond)
	messages := c.who.Talk(n, now, 0)
	for i := range messages {
		w.said++
		if c.said++; c.said%fileIn == 0 {
			f, err := w.sim.AddFile(ctx, wecomsim.NewFile{Corp: string(c.id), Name: fmt.Sprintf("scan %d.jpg", c.said), Size: fileBytes})
			if err != nil {
				return err
			}
			payload, err := json.Marshal(map[string]any{"sdkfileid": f.SDKFileID, "md5sum": f.MD5, "filesize": f.Size})
			if err != nil {
				return err
			}
			messages[i].Text, messages[i].Type, messages[i].Payload = "", "image", payload
			c.sent = append(c.sent, now)
			if c.mute != 0 {
				c.files = c.files.earlier(span{now, now})
			}
		}
	}
	if err := c.who.Send(ctx, messages); err != nil {
		return err
	}
	shown, err := w.sim.Corps(ctx)
	if err != nil {
		return err
	}
	for _, one := range shown {
		if one.Corp == string(c.id) {
			c.last = one.NextSeq - 1
		}
	}
	before := span{c.well.from, w.Now()} // WeCom may have had no more until the last of them was there
	switch {
	case c.down != 0:
		c.unheard = minSet(c.unheard, now)
	case w.store.Load():
		if c.unheard.IsZero() {
			c.well = before
		}
		c.unheard = minSet(c.unheard, now)
	default:
		if c.key != nil {
			c.keyless = c.keyless.earlier(before)
		}
		if w.table.Load() {
			c.unread = c.unread.earlier(before)
		}
	}
	return nil
}

func minSet(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return minTime(a, b)
}

// settle waits until all that can be archived is.
func (w *week) settle(ctx context.Context) error {
	for _, c := range w.corps {
		if !w.reachable(c) {
			continue
		}
		now := w.Now()
		if err := w.wait(ctx, "that corp "+string(c.id)+" is archived", func() (bool, error) { return w.settled(ctx, c, now) }); err != nil {
			return err
		}
		c.well = span{now, w.Now()}
		c.unheard = time.Time{}
		if c.key == nil {
			c.keyless = span{}
		}
		if !w.table.Load() {
			c.unread = span{}
		}
		if c.mute == 0 {
			c.files = span{}
		}
	}
	return nil
}

func (w *week) settled(ctx context.Context, c *corp, now time.Time) (bool, error) {
	cursor, err := w.ledger.Cursor(ctx, c.id)
	if err != nil || uint64(cursor.Seq) != c.last || cursor.Empties == 0 || !cursor.CaughtUp.After(now) {
		return false, err
	}
	pending, contiguous := false, true
	err = w.ledger.Batches(ctx, c.id, c.from, func(b ledger.BatchRow) bool {
		if b.State == ledger.Pending {
			pending, contiguous = true, false
		} else if contiguous {
			c.from = b.Key()
		}
		return true
	})
	if err != nil || w.table.Load() {
		return true, err
	}
	asides, waiting := 0, 0
	if c.key == nil {
		err = w.ledger.Asides(ctx, c.id, "", 0, func(ledger.Aside) bool { asides++; return false })
	}
	if c.mute == 0 {
		err = errors.Join(err, w.ledger.AllWaiting(ctx, c.id, func(ledger.Waiting) bool { waiting++; return false }))
	}
	return !pending && asides == 0 && waiting == 0, err
}

// look holds the hours before loss, as the metric and the operator's command have them, against what is known without them.
func (w *week) look(ctx context.Context) error {
	if err := w.wait(ctx, "that watch has run", func() (bool, error) { return w.watches.Load() >= w.asked, nil }); err != nil {
		return err
	}
	from := w.Now()
	w.asked++
	res, err := w.Host.Invoke(ctx, "WatchFunction", []byte(`{}`))
	if err != nil {
		return err
	}
	if res.FunctionError != "" {
		w.find("watch failed: %s", res.Payload)
		return nil
	}
	var metric map[string]float64
	if err := w.wait(ctx, "that watch's figures are in its log", func() (ok bool, err error) {
		metric, ok, err = w.metric(from)
		return ok, err
	}); err != nil {
		return err
	}
	looked := span{from, w.Now()}
	w.looked++
	at := w.Now().Format("Mon 15:04")
	least, most := math.Inf(1), math.Inf(1)
	mediaLeast, mediaMost := math.Inf(1), math.Inf(1)
	for _, c := range w.corps {
		a, b := left(c.sound(looked), looked, messageDays)
		least, most = min(least, a), min(most, b)
		a, b = left(c.pendingFiles(), looked, mediaDays)
		mediaLeast, mediaMost = min(mediaLeast, a), min(mediaMost, b)
	}
	w.check(at, "the metric for messages", metric["HoursToLossMessages"], least, most, 0)
	w.check(at, "the metric for attachments", metric["HoursToLossMedia"], mediaLeast, mediaMost, 0)
	return w.lookAtStatus(ctx, at)
}

// sound is when WeCom last had no more for a corp: a corp that is followed is asked all the time.
func (c *corp) sound(looked span) span {
	if c.down == 0 && c.unheard.IsZero() {
		return span{c.well.from, looked.to}
	}
	return c.well
}

// pendingFiles is when the first attachment began to age that may not be in.
func (c *corp) pendingFiles() span { return c.files.earlier(c.keyless).earlier(c.unread) }

func (w *week) check(at, what string, stated, least, most, tenth float64) {
	if said := holds(what, stated, least, most, tenth); said != "" {
		w.find("%s: %s", at, said)
	}
}

func (w *week) lookAtStatus(ctx context.Context, at string) error {
	from := w.Now()
	cmd := house.Vaultctl(ctx, w.folders.Binaries, w.Environment(), []string{"status"})
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("vaultctl status: %w: %s", err, stderr.String())
	}
	looked := span{from, w.Now()}
	by := map[archive.CorpID]*corp{}
	for _, c := range w.corps {
		by[c.id] = c
	}
	for line := range bytes.Lines(text) {
		var s struct {
			Corp     archive.CorpID `json:"corp"`
			Messages *float64       `json:"hours_left_messages"`
			Media    *float64       `json:"hours_left_media"`
			Idle     string         `json:"clock_media"`
			Alarms   []string       `json:"alarms"`
		}
		if err := json.Unmarshal(line, &s); err != nil {
			return fmt.Errorf("a line of vaultctl status can't be read: %w", err)
		}
		if s.Media == nil && s.Idle == "nothing waits" { // and the clock says no hours: all of the window is left
			whole := mediaDays.Hours()
			s.Media = &whole
		}
		c := by[s.Corp]
		if c == nil || s.Messages == nil || s.Media == nil {
			w.find("%s: status of corp %s knows no hours", at, s.Corp)
			continue
		}
		least, most := left(c.sound(looked), looked, messageDays)
		w.check(at, "status of "+string(c.id)+" for messages", *s.Messages, least, most, 0.1)
		a, b := left(c.pendingFiles(), looked, mediaDays)
		w.check(at, "status of "+string(c.id)+" for attachments", *s.Media, a, b, 0.1)
		if !c.unheard.IsZero() {
			if truth := c.unheard.Add(messageDays).Sub(from).Hours(); *s.Messages > max(truth, 0)+slack {
				w.find("%s: corp %s is promised %.1f hours, and its oldest unfetched message leaves the window in %.1f", at, c.id, *s.Messages, truth)
			}
		}
		if most < 23 && len(s.Alarms) == 0 {
			w.find("%s: corp %s has %.1f hours left, and no alarm is open", at, c.id, most)
		}
	}
	return nil
}

// metric reads the figures that watch wrote last; ok is false if they are older than from. What a function has written comes into its log a moment
// later.
func (w *week) metric(from time.Time) (figures map[string]float64, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(w.folders.Data, "logs", w.Template.StackName+"-watch.log")) // #nosec G304 -- of our own folder
	if err != nil {
		return nil, false, err
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		if !bytes.Contains(lines[i], []byte(`"HoursToLossMessages"`)) {
			continue
		}
		var l struct {
			AWS struct {
				Timestamp int64
			} `json:"_aws"`
			Messages *float64 `json:"HoursToLossMessages"`
			Media    *float64 `json:"HoursToLossMedia"`
		}
		if json.Unmarshal(lines[i], &l) == nil && l.Messages != nil && l.Media != nil {
			return map[string]float64{"HoursToLossMessages": *l.Messages, "HoursToLossMedia": *l.Media}, !time.UnixMilli(l.AWS.Timestamp).Before(from.Truncate(time.Millisecond)), nil
		}
	}
	return nil, false, nil
}

// feel notes what all processes hold.
func (w *week) feel(day int) {
	kinds := map[string][]int{}
	running := w.Host.Processes()
	for _, p := range running {
		name := strings.TrimSuffix(p.Function, "Function")
		kinds[name] = append(kinds[name], p.PID)
		kinds[name+childOf] = append(kinds[name+childOf], children(p.PID)...)
	}
	for kind, pids := range kinds {
		if len(pids) > 0 {
			w.vitals.look(day, kind, pids...)
		}
	}
	// Each function process has its connections to the endpoints and to the host: what they hold is counted by process.
	w.vitals.settle()
	w.vitals.lookFor(day, endpoints, float64(max(1, len(running))), os.Getpid())
	for _, pid := range children(os.Getpid()) {
		if name, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "comm")); err == nil && strings.TrimSpace(string(name)) == "versitygw" { // #nosec G304 -- of the kernel
			w.vitals.look(day, "(the store behind the endpoint)", pid)
		}
	}
}
