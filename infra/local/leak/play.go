package main

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/progress"
	"github.com/wecomvault/wecomvault/shared/report"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

const (
	corp     = archive.CorpID("wwwren")
	operator = house.Operator
	patience = 5 * time.Minute
)

// played is a run with all that it has gathered.
type played struct {
	*house.House
	o        options
	line     *progress.Line
	sim      *wecomsim.Client
	wecom    string
	child    *house.Child
	ledger   *ledger.Ledger
	began    time.Time
	seen     gathered
	canaries map[string][]byte
	words    map[string]string
	stop     context.CancelFunc
	watching sync.WaitGroup
	account  string

	mu    sync.Mutex
	r     *rand.Rand
	calm  atomic.Bool
	hits  int
	kills atomic.Int64
}

func open(ctx context.Context, o options, line *progress.Line) (p *played, err error) {
	p = &played{o: o, line: line, began: clock.Real(), r: rand.New(rand.NewPCG(o.seed, 29)), canaries: map[string][]byte{}, words: map[string]string{}} // #nosec G404 -- a seed replays a run
	p.calm.Store(true)
	// A process that crashes may dump what it holds, as far as it is up to the system.
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: 64 << 20, Max: 64 << 20}); err != nil {
		return nil, fmt.Errorf("allow core dumps: %w", err)
	}
	p.draw()
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.child, p.wecom, err = house.Simulator(ctx, o.folders.Binaries, o.folders.Data); err != nil {
		return p, err
	}
	p.sim = wecomsim.NewClient(p.wecom)
	p.House, err = house.Open(ctx, house.Options{
		Data: o.folders.Data, API: "127.0.0.1:0", Template: o.folders.Template, Binaries: o.folders.Binaries, NoSync: true,
		Params: map[string]string{"WecomUrl": p.wecom, "SdkHost": filepath.Join(o.folders.Binaries, "local", "simsdk"), "PollInterval": "1s", "RetentionMode": "GOVERNANCE",
			"RetentionDays": "1", "Trial": "true", "MailFrom": "archive@wecomvault.example", "MailWait": "60s", "Callbacks": "true"},
		Fault: p.fault, Ran: p.ran,
	})
	if err != nil {
		return p, err
	}
	p.ledger = p.Ledger()
	watching, stop := context.WithCancel(ctx)
	p.stop = stop
	p.watching.Go(func() { p.watchProcesses(watching) })
	return p, nil
}

func (p *played) close() error {
	var errs []error
	if p.stop != nil {
		p.stop()
		p.watching.Wait()
	}
	if p.House != nil {
		errs = append(errs, p.House.Close())
	}
	if p.child != nil {
		errs = append(errs, p.child.Close())
	}
	return errors.Join(errs...)
}

// draw makes the words, new ones for each run: what an earlier one has left somewhere is not this one's.
func (p *played) draw() {
	for _, kind := range []string{"text", "name", "room name", "entered room name", "name in the HR file", "file name", "link", "address", "address in the HR file"} {
		word := fmt.Sprintf("wren%08x", rand.Uint32()) // #nosec G404 -- a word
		if !strings.HasPrefix(kind, "address") {
			word = "鹪鹩" + word + "é"
		}
		p.words[kind] = word
	}
	for _, kind := range []string{"mobile", "telephone", "new mobile", "mobile in the HR file"} {
		p.words[kind] = fmt.Sprintf("139%08d", rand.Uint32()%1e8) // #nosec G404 -- a number
	}
	for _, kind := range []string{"archive secret", "contacts secret", "customer secret", "app secret", "refused app secret"} {
		p.words[kind] = fmt.Sprintf("wrensecret%016x%016x", rand.Uint64(), rand.Uint64()) // #nosec G404 -- a word
	}
	for kind, word := range p.words {
		p.canaries[kind] = []byte(word)
	}
}

// fault sees every call of the product's and of the operator's: it keeps what goes into queues and functions, and lets some fail.
func (p *played) fault(q awslocal.FaultRequest) awslocal.FaultDecision {
	switch {
	case q.Service == "sqs" && strings.HasPrefix(q.Operation, "SendMessage"):
		p.seen.add(queueBodies, q.Operation+" to "+q.Resource[strings.LastIndexByte(q.Resource, '/')+1:]+" by "+q.Caller, q.Body)
	case q.Service == "lambda":
		p.seen.add(events, "invocation of "+q.Resource+" by "+q.Caller, q.Body)
	}
	if q.Caller == operator || p.calm.Load() {
		return awslocal.FaultDecision{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.r.Float64() >= p.o.rate {
		return awslocal.FaultDecision{}
	}
	p.hits++
	d := awslocal.FaultDecision{Act: []awslocal.Act{awslocal.Refuse, awslocal.FailAfter, awslocal.CutAfter, awslocal.CutInstead}[p.r.IntN(4)]}
	if d.Act == awslocal.Refuse && p.r.IntN(3) == 0 {
		d.Code, d.Status = "AccessDeniedException", http.StatusForbidden
	}
	return d
}

// ran sees what functions are given and what they answer.
func (p *played) ran(r lambdahost.Ran) {
	if !meant(r) {
		p.seen.add(events, "event of "+r.Function.LogicalID, r.Event)
	}
	switch {
	case r.Failed:
		p.seen.add(errorsOf, "error of "+r.Function.LogicalID, r.Answer)
	case !meant(r):
		p.seen.add(answers, "answer of "+r.Function.LogicalID, r.Answer)
	}
}

// play plays the company's day.
func (p *played) play(ctx context.Context) error {
	p.line.Note("making the company")
	if err := p.company(ctx); err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	if err := p.hear(ctx); err != nil {
		return err
	}
	if err := p.giveApp(ctx); err != nil {
		return err
	}
	p.line.Note("fetching under faults and kills")
	p.calm.Store(false)
	if err := p.Host.InvokeAsync("DirectoryFunction", []byte(`{}`)); err != nil {
		return err
	}
	killing, stop := context.WithCancel(ctx)
	var killer sync.WaitGroup
	killer.Go(func() { p.kill(killing) })
	err := p.caughtUp(ctx)
	stop()
	killer.Wait()
	if err != nil {
		return err
	}
	p.line.Note("people leave, join and change")
	if err := p.change(ctx); err != nil {
		return err
	}
	if err := p.enter(ctx); err != nil {
		return err
	}
	p.line.Note("the second key, noon and its reports")
	// What the second key opens was set aside until it came; it is put back by itself.
	if err := p.addKey(ctx, 2); err != nil {
		return err
	}
	now := p.Now()
	noon := time.Date(now.Year(), now.Month(), now.Day(), 12, 0, 1, 0, time.UTC)
	if !now.Before(noon) {
		noon = noon.AddDate(0, 0, 1)
	}
	if err := p.moveClock(ctx, noon); err != nil {
		return err
	}
	if err := p.hinderApp(ctx); err != nil {
		return err
	}
	for _, f := range []string{"WatchFunction", "RedriveFunction", "ReportFunction", "FsckFunction"} {
		for range 3 { // under faults: each may fail
			if _, err := p.Host.Invoke(ctx, f, []byte(`{}`)); err != nil {
				return err
			}
		}
	}
	p.line.Note("the end of the day")
	p.calm.Store(true)
	if err := p.finish(ctx); err != nil {
		return err
	}
	return p.tokens(ctx)
}

// company fills WeCom with canaries and enrols the company.
func (p *played) company(ctx context.Context) error {
	w := p.words
	made, err := p.sim.AddCorp(ctx, wecomsim.NewCorp{Corp: string(corp), Name: "Wren", PageItems: 7, Secrets: []wecomsim.Secret{
		{Kind: wecomsim.KindArchive, Value: w["archive secret"]}, {Kind: wecomsim.KindLegacyApp, Value: w["contacts secret"]}, {Kind: wecomsim.KindCustomer, Value: w["customer secret"], Callable: true},
		{Kind: wecomsim.KindNewApp, Value: w["app secret"], Agent: appAgent}}})
	if err != nil {
		return err
	}
	people := wecomsim.ChangeContacts{Corp: string(corp), Permit: map[int][]string{1: {"ann", "bo"}}, Departments: []wecomsim.Department{{ID: 1, Name: "部门" + w["name"], Leaders: []string{"ann"}}},
		Externals: []wecomsim.External{{ID: "wm-guest", Name: "客" + w["name"], Type: 1, CorpName: w["name"], FollowUsers: []wecomsim.Follow{{UserID: "ann", Remark: w["name"]}}}},
		Robots:    []wecomsim.Robot{{ID: "wb-robot", Name: w["name"], Creator: "ann"}},
		Rooms: []wecomsim.Room{{ID: "wr-in", Kind: wecomsim.RoomInternal, Name: w["room name"], Notice: w["text"], Owner: "ann", Members: []string{"ann", "bo"}},
			{ID: "wr-out", Kind: wecomsim.RoomExternal, Name: w["room name"], Owner: "ann", Members: []string{"ann", "wm-guest"}}},
	}
	for _, id := range []string{"ann", "bo", "cy", "leaver"} {
		leads := 0
		if id == "ann" {
			leads = 1
		}
		people.Members = append(people.Members, wecomsim.Member{UserID: id, Name: w["name"], Alias: w["name"], Department: []int{1}, IsLeaderInDept: []int{leads}, Position: w["name"], Mobile: w["mobile"],
			Email: w["address"] + "@wren.example", Telephone: w["telephone"], Address: w["name"], Status: 1})
	}
	if err := p.sim.ChangeContacts(ctx, people); err != nil {
		return err
	}
	if err := p.messages(ctx); err != nil {
		return err
	}
	second, err := p.sim.AddKey(ctx, wecomsim.NewKeyRequest{Corp: string(corp)})
	if err != nil {
		return err
	}
	for range 5 {
		if _, err := p.sim.Send(ctx, wecomsim.Message{Corp: string(corp), From: "ann", To: []string{"bo"}, Text: "later " + w["text"]}); err != nil {
			return err
		}
	}
	for i, k := range append(made.Keys, second) {
		if err := p.keepKey(i+1, k.Private); err != nil {
			return err
		}
	}
	for i, kind := range []string{wecomsim.FaultHTML, wecomsim.FaultCut, wecomsim.Fault500, wecomsim.FaultReset} {
		if _, err := p.sim.AddFault(ctx, wecomsim.Fault{Corp: string(corp), Kind: kind, Skip: 2 + 3*i, Times: 1}); err != nil {
			return err
		}
	}
	return p.enrol(ctx)
}

// messages says the canaries in every way in which a message can.
func (p *played) messages(ctx context.Context) error {
	w := p.words
	file, err := p.sim.AddFile(ctx, wecomsim.NewFile{Corp: string(corp), Name: w["file name"] + ".txt", Content: base64.StdEncoding.EncodeToString([]byte(strings.Repeat(w["text"]+"\n", 50)))})
	if err != nil {
		return err
	}
	gone, err := p.sim.AddFile(ctx, wecomsim.NewFile{Corp: string(corp), Name: w["file name"] + ".pdf", Size: 5000, Refuse: 301048})
	if err != nil {
		return err
	}
	payload := func(v any) json.RawMessage {
		b, failed := json.Marshal(v)
		err = errors.Join(err, failed)
		return b
	}
	fileOf := func(f wecomsim.File) json.RawMessage {
		return payload(map[string]any{"md5sum": f.MD5, "filename": f.Name, "fileext": "txt", "filesize": f.Size, "sdkfileid": f.SDKFileID})
	}
	all := []wecomsim.Message{
		{Type: "file", Payload: fileOf(file)}, {Type: "file", Payload: fileOf(gone)},
		{Type: "link", Payload: payload(map[string]string{"title": w["link"], "description": w["text"], "link_url": "https://wren.example/" + w["link"], "image_url": "https://wren.example/i"})},
		{Type: "card", Payload: payload(map[string]string{"corpname": w["name"], "userid": "bo"})},
		{Type: "location", Payload: payload(map[string]any{"longitude": 105.1, "latitude": 39.1, "address": w["text"], "title": w["text"], "zoom": 15})},
		{Type: "weather-of-tomorrow", Payload: payload(map[string]string{"content": w["text"]})},
		{Text: "undecryptable " + w["text"], Fate: wecomsim.FateUndecryptable}, {Text: "crashing " + w["text"], Fate: wecomsim.FateCrashing},
		{MsgID: "broken-1", Raw: `{"msgid":"broken-1","action":"send","from":"` + w["text"] + `","text":{"content":"` + w["text"]},
		{MsgID: "broken-2", RawBase64: base64.StdEncoding.EncodeToString(append([]byte{0xff, 0xfe}, w["text"]...))},
		{Room: "wr-out", Text: w["text"] + " " + w["mobile"] + " 请转账到我的账户"}, {Room: "wr-in", Text: w["text"]},
	}
	for i := range 12 {
		all = append(all, wecomsim.Message{Text: fmt.Sprintf("%d %s %s", i, w["text"], w["telephone"])})
	}
	for _, m := range all {
		m.Corp, m.From = string(corp), "ann"
		if m.Room == "" {
			m.To = []string{"bo"}
		}
		sent, failed := p.sim.Send(ctx, m)
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		if m.Text == w["text"] {
			if _, err := p.sim.Recall(ctx, wecomsim.Recall{Corp: string(corp), MsgID: sent.MsgID, From: "ann", Room: "wr-in"}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *played) keyFile(version int) string {
	return filepath.Join(p.o.folders.Data, fmt.Sprintf("key-%d.pem", version))
}

// keepKey keeps a private key for the operator, and makes canaries of it: a part of its text, and of the number that is the secret.
func (p *played) keepKey(version int, pem string) error {
	key, err := secrets.ParseKey([]byte(pem))
	if err != nil {
		return err
	}
	p.canaries[fmt.Sprintf("key %d as text", version)] = []byte(strings.Split(pem, "\n")[6][8:48])
	p.canaries[fmt.Sprintf("key %d", version)] = secretOf(key)
	return os.WriteFile(p.keyFile(version), []byte(pem), 0o600)
}

// secretOf is a part of a private exponent.
func secretOf(key *rsa.PrivateKey) []byte { return key.D.Bytes()[40:64] }

// enrol adds the company as its operator would. What a command line may not hold is in files, and the receivers are put into the ledger.
func (p *played) enrol(ctx context.Context) error {
	args := []string{"corps", "add", "-corp", string(corp), "-simulated", "-report-to", "office@enrolment.example"}
	for flag, kind := range map[string]string{"-secret-file": "archive secret", "-contacts-secret-file": "contacts secret", "-customer-secret-file": "customer secret"} {
		file := filepath.Join(p.o.folders.Data, strings.ReplaceAll(kind, " ", "-"))
		if err := os.WriteFile(file, []byte(p.words[kind]), 0o600); err != nil {
			return err
		}
		args = append(args, flag, file)
	}
	if err := p.operate(ctx, args...); err != nil {
		return err
	}
	c, err := p.ledger.Corp(ctx, corp)
	if err != nil {
		return err
	}
	c.Name = p.words["name"]
	c.ReportTo = nil
	for _, to := range []string{"", "bounce+", "complaint+"} {
		c.ReportTo = append(c.ReportTo, ledger.Receiver{Address: to + p.words["address"] + "@wren.example", Language: "zh"})
	}
	c.Added = c.Added.AddDate(0, 0, -2)
	if err := p.ledger.PutCorp(ctx, c); err != nil {
		return err
	}
	return p.addKey(ctx, 1)
}

func (p *played) addKey(ctx context.Context, version int) error {
	return p.operate(ctx, "keys", "add", "-corp", string(corp), "-ver", fmt.Sprint(version), "-file", p.keyFile(version))
}

func (p *played) operate(ctx context.Context, args ...string) error {
	code, said, err := p.Operate(ctx, args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("vaultctl %s: %s", args[0], said)
	}
	return err
}

// kill ends functions and what they have started, in ways that a crash may have.
func (p *played) kill(ctx context.Context) {
	tick := time.NewTicker(700 * time.Millisecond)
	defer tick.Stop()
	signals := []syscall.Signal{syscall.SIGSEGV, syscall.SIGKILL, syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGBUS}
	for n := 0; n < 12; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		all := p.Host.Processes()
		p.mu.Unlock()
		slices.SortFunc(all, func(a, b lambdahost.Process) int { return a.PID - b.PID })
		if len(all) == 0 {
			continue
		}
		target := all[n%len(all)].PID
		if inner := descendants(target); len(inner) > 0 && n%2 == 0 {
			target = inner[0] // the library's child
		}
		if err := syscall.Kill(target, signals[n%len(signals)]); err == nil {
			n++
			p.kills.Add(1)
		}
	}
}

// leastKills is how many processes are killed at least: with fewer, what a dying process writes has hardly been looked at.
const leastKills = 3

// caughtUp waits until everything that can be opened without the second key is, and so many processes were killed on the way: a quick machine is
// done before. It keeps fetch at work as its schedule would.
func (p *played) caughtUp(ctx context.Context) error {
	return p.until(ctx, "messages are not fetched", func() (bool, error) {
		c, err := p.ledger.Cursor(ctx, corp)
		if err != nil {
			return false, err
		}
		pending, err := p.pending(ctx)
		return c.Seq > 0 && c.Empties > 0 && pending == 0 && p.kills.Load() >= leastKills, err
	}, "FetchFunction", "WatchFunction")
}

// moveClock moves the played time, for the product and for the simulator.
func (p *played) moveClock(ctx context.Context, t time.Time) error {
	ahead := t.Sub(clock.Real())
	ns := int64(ahead)
	if _, err := p.sim.SetClock(ctx, wecomsim.Clock{OffsetNS: &ns}); err != nil {
		return err
	}
	return p.SetOffset(ahead)
}

// finish lets what was hindered come to its end.
func (p *played) finish(ctx context.Context) error {
	day := p.Now().Format(time.DateOnly)
	err := p.until(ctx, "the day does not end", func() (bool, error) {
		for _, kind := range report.Kinds() {
			run, err := p.ledger.RunOf(ctx, corp, day, string(kind))
			if errors.Is(err, ledger.ErrAbsent) || err == nil && run.State != ledger.RunDone {
				return false, nil
			}
			if err != nil {
				return false, err
			}
		}
		open := 0
		err := p.ledger.Mails(ctx, corp, func(m ledger.MailRow) bool {
			if !m.Settled() {
				open++
			}
			return true
		})
		if err != nil {
			return false, err
		}
		pending, err := p.pending(ctx)
		if err != nil {
			return false, err
		}
		telling, err := p.tellings(ctx)
		if err != nil {
			return false, err
		}
		open += telling
		jobs, _ := p.Queued()
		return open == 0 && pending == 0 && jobs == 0, err
	}, "FetchFunction", "WatchFunction", "ReportFunction")
	if err != nil {
		return err
	}
	count := map[string]int{}
	err = p.ledger.Batches(ctx, corp, "", func(b ledger.BatchRow) bool {
		count["archived"] += b.Archived
		count["aside"] += b.SetAside
		return true
	})
	if err != nil {
		return err
	}
	if err := p.ledger.AllMedia(ctx, corp, func(m ledger.MediaRow) bool { count["attachments "+m.State]++; return true }); err != nil {
		return err
	}
	if err := p.ledger.Mails(ctx, corp, func(m ledger.MailRow) bool { count["mails "+m.State]++; return true }); err != nil {
		return err
	}
	suppressed, err := p.ledger.Suppressions(ctx, corp)
	if err != nil {
		return err
	}
	if count["told"], err = p.told(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.account = fmt.Sprintf("%d messages archived, %d set aside, %d attachments kept, %d lost, %d mails sent, %d users told in WeCom, %d receivers suppressed; %d calls failed on purpose, %d processes were killed",
		count["archived"], count["aside"], count["attachments kept"], count["attachments lost"], count["mails sent"], count["told"], len(suppressed), p.hits, p.kills.Load())
	if count["archived"] < 20 || count["aside"] < 2 || count["attachments kept"] < 1 || count["attachments lost"] < 1 || count["mails sent"] < 2 || count["told"] < 1 || len(suppressed) < 1 || p.hits < 5 || p.kills.Load() < leastKills {
		return fmt.Errorf("too little happened to show anything: %s", p.account)
	}
	return nil
}

func (p *played) pending(ctx context.Context) (int, error) {
	n := 0
	err := p.ledger.Batches(ctx, corp, "", func(b ledger.BatchRow) bool {
		if b.State == ledger.Pending {
			n++
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	err = p.ledger.AllWaiting(ctx, corp, func(ledger.Waiting) bool { n++; return true })
	return n, err
}

// until waits for a state. Meanwhile functions are started as their schedules would, and jobs that rest after a failure are tried again.
func (p *played) until(ctx context.Context, what string, holds func() (bool, error), scheduled ...string) error {
	var asked time.Time
	ok, err := house.Until(ctx, patience, func() (bool, error) {
		if ok, err := holds(); ok || err != nil {
			return ok, err
		}
		if clock.Real().Sub(asked) < 6*time.Second {
			return false, nil
		}
		if !asked.IsZero() { // watch takes a job for lost after minutes
			if err := p.moveClock(ctx, p.Now().Add(5*time.Minute)); err != nil {
				return false, err
			}
		}
		asked = clock.Real()
		for _, f := range scheduled {
			if err := p.Host.InvokeAsync(f, []byte(`{}`)); err != nil {
				return false, err
			}
		}
		return false, p.Queues.ReleaseInFlight()
	})
	if err == nil && !ok {
		jobs, dead := p.Queued()
		pending, failed := p.pending(ctx)
		cursor, unread := p.ledger.Cursor(ctx, corp)
		err = errors.Join(failed, unread, fmt.Errorf("after %v: %s (seq %d, %d empty answers, trouble %+v; %d batches and attachments wait, %d jobs, %d dead letters)", patience, what, cursor.Seq, cursor.Empties, cursor.Trouble, pending, jobs, dead))
	}
	return err
}

// tokens asks WeCom for the tokens that are in use: within their time it hands out the same again.
func (p *played) tokens(ctx context.Context) error {
	for _, kind := range []string{"archive secret", "contacts secret", "customer secret", "app secret"} {
		query := url.Values{"corpid": {string(corp)}, "corpsecret": {p.words[kind]}}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.wecom+"/cgi-bin/gettoken?"+query.Encode(), http.NoBody)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return errors.New("ask the simulator for a token: no answer") // the error names the secret
		}
		var told struct {
			Token string `json:"access_token"`
		}
		err = errors.Join(json.NewDecoder(answer.Body).Decode(&told), answer.Body.Close())
		if err != nil || len(told.Token) < 60 {
			return fmt.Errorf("ask the simulator for a token: %d characters: %w", len(told.Token), err)
		}
		p.canaries["token for the "+kind] = []byte(told.Token[10:50])
	}
	return nil
}

// hexed is bytes as text, for what must be text.
func hexed(b []byte) string { return hex.EncodeToString(b) }
