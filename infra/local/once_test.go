package main_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// running is the program while it runs.
type running struct {
	*exec.Cmd
	data string
	mu   sync.Mutex
	text bytes.Buffer
	done chan error
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// start runs the program beside the test, which ends it.
func start(t *testing.T, data string, args ...string) *running {
	t.Helper()
	r := &running{Cmd: exec.Command(local(t), append([]string{"-data", data}, args...)...), data: data, done: make(chan error, 1)}
	r.Dir, r.Stdout, r.Stderr = "../..", r, r
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.Wait(); close(r.done) }()
	t.Cleanup(func() {
		if err := r.Process.Kill(); err == nil {
			<-r.done
		}
	})
	return r
}

// ended waits for the end and returns the exit code, -1 after a signal.
func (r *running) ended(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-r.done:
		return r.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("it has not ended within %v:\n%s", limit, r.said())
		return 0
	}
}

// until waits for words in what it prints.
func (r *running) until(t *testing.T, limit time.Duration, words string) {
	t.Helper()
	eventually(t, limit, "it says "+strconv.Quote(words), func() bool { return strings.Contains(r.said(), words) })
}

// simulator is the simulator of a run, once that has said where it is.
func (r *running) simulator(t *testing.T) *wecomsim.Client {
	t.Helper()
	var address struct {
		WeCom string `json:"wecom"`
	}
	eventually(t, time.Minute, "the run announces itself", func() bool {
		text, err := os.ReadFile(filepath.Join(r.data, "endpoint.json"))
		return err == nil && json.Unmarshal(text, &address) == nil && address.WeCom != ""
	})
	return wecomsim.NewClient(address.WeCom)
}

// processes are the living processes that name a folder in their command line or environment, the runner apart.
func processes(t *testing.T, folder string) map[int]string {
	t.Helper()
	found := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("no /proc")
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		command, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil || len(command) == 0 {
			continue // gone, or a zombie
		}
		environment, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil {
			continue
		}
		if bytes.Contains(command, []byte(folder)) || bytes.Contains(environment, []byte(folder)) {
			found[pid] = strings.ReplaceAll(string(command), "\x00", " ")
		}
	}
	return found
}

// descendants lists the processes that a process has started, and theirs.
func descendants(pid int) []int {
	var all []int
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return nil
	}
	for _, task := range tasks {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + task.Name() + "/children")
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}

func alive(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(after, "Z")
}

func wantNoneLeft(t *testing.T, data string, pids []int) {
	t.Helper()
	eventually(t, 10*time.Second, "every process that it started has ended", func() bool {
		for _, pid := range pids {
			if alive(pid) {
				return false
			}
		}
		return len(processes(t, data)) == 0
	})
}

// wantAll compares every archived message of the demonstration's companies with what the simulator sent.
func wantAll(t *testing.T, data string) {
	t.Helper()
	for _, corp := range []string{wecomsim.DemoCorp, wecomsim.DemoSmallCorp} {
		seen := map[uint64]bool{}
		for _, l := range messages(t, data, corp) {
			if seen[l.Seq] {
				t.Errorf("seq %d of %s comes twice", l.Seq, corp)
			}
			seen[l.Seq] = true
			if l.State == "pending" {
				t.Errorf("seq %d of %s is pending: %s", l.Seq, corp, l.Reason)
			}
		}
		if len(seen) == 0 {
			t.Errorf("nothing of %s is archived", corp)
		}
	}
}

// A day with queues in reverse order, trouble of every kind and children that die ends in the archive of an undisturbed one.
func TestADayOutlastsTroubleOfEveryKind(t *testing.T) {
	slow(t)
	t.Parallel()
	calm := start(t, filepath.Join(t.TempDir(), "data"), "-once")
	r := start(t, filepath.Join(t.TempDir(), "data"), "-once", "-reversed")
	sim := r.simulator(t)
	r.until(t, time.Minute, "begins")
	ctx := context.Background()
	for i, f := range []wecomsim.Fault{
		{Kind: wecomsim.Fault500}, {Kind: wecomsim.FaultHTML}, {Kind: wecomsim.FaultCut}, {Kind: wecomsim.FaultEmpty}, {Kind: wecomsim.FaultReset}, {Kind: wecomsim.FaultClose},
		{Kind: wecomsim.FaultCode, ErrCode: 40014}, {Kind: wecomsim.FaultCode, ErrCode: 42001}, {Kind: wecomsim.FaultCode, ErrCode: 45009},
		{Kind: wecomsim.FaultCode, ErrCode: -1}, {Kind: wecomsim.FaultCode, ErrCode: 301058},
	} {
		for _, api := range []string{"message/getchatdata", "message/getchatmediadata", "gettoken"} {
			if f.ErrCode == 301058 && api != "message/getchatdata" {
				continue
			}
			f.API, f.Times, f.Skip = api, 1, i*i/2
			if _, err := sim.AddFault(ctx, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Children and functions that hold the library die under way.
	killed := 0
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for alive := true; alive && killed < 6; {
		select {
		case <-tick.C:
			for _, pid := range descendants(r.Process.Pid) {
				command, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
				if err != nil {
					continue
				}
				if strings.Contains(string(command), "simsdk") || killed == 3 && strings.Contains(string(command), "functions/process/") {
					if syscall.Kill(pid, syscall.SIGKILL) == nil {
						killed++
					}
					break
				}
			}
		case <-r.done:
			alive = false
		}
	}
	code := r.ended(t, 3*time.Minute)
	wantExit(t, code, 0, r.said())
	if killed == 0 {
		t.Error("nothing was killed")
	}
	wantAll(t, r.data)
	wantExit(t, calm.ended(t, 3*time.Minute), 0, calm.said())
	for _, corp := range []string{wecomsim.DemoCorp, wecomsim.DemoSmallCorp} {
		plain, troubled := messages(t, calm.data, corp), messages(t, r.data, corp)
		if len(plain) != len(troubled) {
			t.Fatalf("%d messages of %s, %d with trouble and reversed queues", len(plain), corp, len(troubled))
		}
		for i := range plain {
			if a, b := told(plain[i]), told(troubled[i]); a != b {
				t.Errorf("seq %d of %s:\n%s\nwith trouble and reversed queues:\n%s", plain[i].Seq, corp, a, b)
			}
		}
		wantLogsKeepQuiet(t, calm.data, plain)
		wantLogsKeepQuiet(t, r.data, troubled)
	}
}

// wantLogsKeepQuiet searches what the functions logged for what was written in the messages, and for what no log may hold in any case.
func wantLogsKeepQuiet(t *testing.T, data string, of []line) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "logs", "wecomvault-*.log"))
	if err != nil || len(files) < 8 {
		t.Fatalf("the functions' logs are %v (%v)", files, err)
	}
	words := []string{"access_token=", "PRIVATE KEY", "corpsecret"}
	for _, l := range of {
		for each := range strings.Lines(l.Text) {
			if w := strings.TrimSpace(each); len(w) >= 12 {
				words = append(words, w)
			}
		}
	}
	if len(words) < 50 {
		t.Fatalf("only %d words to search for", len(words))
	}
	for _, f := range files {
		said, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if bytes.Contains(said, []byte(w)) {
				t.Errorf("%s holds %q", filepath.Base(f), w)
			}
		}
	}
}

// told is what an archive tells of a message, whenever it was sent: ids and hashes differ from one simulation to the next.
func told(l line) string {
	s := strings.Join([]string{strconv.FormatUint(l.Seq, 10), l.State, l.Reason, l.Type, l.Text, strconv.Itoa(len(l.RecalledBy)), strconv.FormatBool(l.RecallOf != "")}, " | ")
	for _, m := range l.Media {
		s += " | " + m.State + " " + strconv.FormatInt(m.Size, 10) + " " + m.SHA256 + " " + m.Reason
	}
	return s
}

func TestMakeCtlPrintsTheAnswerAlone(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	cmd := exec.Command("make", "ctl", "BUILD="+filepath.Dir(filepath.Dir(local(t))), "ARGS=-data "+k.data+" messages -corp "+keptCorp+" -format jsonl")
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = "../..", &stderr
	// As from a shell, even if these tests are run by make, which would have the inner one say where it is.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "MAKE") || strings.HasPrefix(pair, "MFLAGS") })
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(k.before) {
		t.Fatalf("%d lines for %d messages:\n%s", len(lines), len(k.before), out)
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("not JSON: %q", l)
		}
	}
}

func TestARunThatIsKilledAndOneThatIsStoppedAreFinishedByTheNext(t *testing.T) {
	slow(t)
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	r := start(t, data, "-once")
	r.until(t, time.Minute, "archived ")
	children := descendants(r.Process.Pid)
	if len(children) < 3 {
		t.Fatalf("only %d children", len(children))
	}
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := r.ended(t, time.Minute); code != -1 {
		t.Fatalf("it ended with %d before it was killed", code)
	}
	wantNoneLeft(t, data, children)
	r = start(t, data)
	r.until(t, time.Minute, "archived ")
	wantSaid(t, r.said(), "day 1")
	children = descendants(r.Process.Pid)
	if err := r.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := r.ended(t, 20*time.Second); code != 1 {
		t.Errorf("it ends with %d", code)
	}
	wantSaid(t, r.said(), "stopped before the day was over")
	wantNoneLeft(t, data, children)
	code, out := play(t, "-once", "-data", data)
	wantExit(t, code, 0, out)
	wantSaid(t, out, "day 1")
	wantAll(t, data)
}

func TestARunStaysUpUntilItIsAskedToEndAndTheNextPlaysTheNextDay(t *testing.T) {
	slow(t)
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	for i, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		r := start(t, data)
		r.until(t, 2*time.Minute, "Everything stays up until Ctrl-C.\n")
		wantSaid(t, r.said(), "day "+strconv.Itoa(i+1), "mailbox", "AWS endpoint", "make ctl", "aws ")
		// Each kind of WeCom's words has come, and something came of it: on the second day a customer leaves the group, about whom nobody is asked.
		wantSaid(t, r.said(), "WeCom told: change_contact ", " of the history carry its word)", "change_external_chat "+strconv.Itoa(i+1)+" (consent of 1 contact asked at once)",
			"change_external_contact "+strconv.Itoa(i+1)+" (consent of "+[]string{"1 contact", "2 contacts"}[i]+" asked at once)", "msgaudit_notify ")
		children := descendants(r.Process.Pid)
		// The operator's command goes through the run that is up.
		code, out := exitCode(t, ctl(t, "-data", data, "status"))
		if code != 0 {
			t.Errorf("ctl status: exit %d: %s", code, out)
		}
		wantAll(t, data)
		if err := r.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if code := r.ended(t, 20*time.Second); code != 0 {
			t.Errorf("it ends with %d after %v:\n%s", code, signal, r.said())
		}
		wantNoneLeft(t, data, children)
	}
}

// impostor answers in WeCom's place, with a certificate that nobody has signed, and keeps all that it is sent.
type impostor struct {
	*httptest.Server
	mu       sync.Mutex
	received bytes.Buffer
	calls    int
}

func newImpostor(t *testing.T) *impostor {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "qyapi.weixin.qq.com"}, DNSNames: []string{"qyapi.weixin.qq.com"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	i := &impostor{}
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		i.mu.Lock()
		i.calls++
		i.received.WriteString(r.URL.String())
		i.received.Write(body)
		i.mu.Unlock()
		if err == nil {
			_, _ = io.WriteString(w, `{"errcode":0,"errmsg":"ok","access_token":"of the impostor","expires_in":7200,"chatdata":[]}`)
		}
	}))
	i.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	i.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.StartTLS()
	t.Cleanup(i.Close)
	return i
}

func (i *impostor) wantNothing(t *testing.T) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.calls > 0 || i.received.Len() > 0 {
		t.Errorf("the impostor was called %d times and was told %q", i.calls, i.received.String())
	}
}

func TestAnImpostorGetsNothingFromTheDemonstration(t *testing.T) {
	t.Parallel()
	i, data := newImpostor(t), filepath.Join(t.TempDir(), "data")
	began := time.Now()
	code, out := play(t, "-once", "-data", data, "-wecom-url", i.URL)
	wantExit(t, code, 3, out)
	wantSaid(t, out, "corp "+wecomsim.DemoCorp+" is given up", "corp "+wecomsim.DemoSmallCorp+" is given up", "certificate that does not verify")
	i.wantNothing(t)
	refused := time.Since(began)
	// The right server is believed again.
	began = time.Now()
	code, out = play(t, "-once", "-data", data)
	wantExit(t, code, 0, out)
	if whole := time.Since(began); refused > 3*whole {
		t.Errorf("a day that nobody could archive took %v, and a whole one %v", refused, whole)
	}
	wantAll(t, data)
}

func TestAnImpostorGetsNothingFromAGivenLibrary(t *testing.T) {
	t.Parallel()
	i, l := newImpostor(t), newLibrary(t)
	l.say(1, attachment("file-a", "a.bin", 3))
	l.file("a", []byte("abc"))
	l.order = []string{"media id=file-a chunks 100 a"}
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1}, "-wecom-url", i.URL)
	i.wantNothing(t)
	// The stand-in serves chat data without asking anybody, so the day is whole.
	wantExit(t, code, 0, out)
	wantCounts(t, lines, 1, 0, 0)
}

func TestOneCorpsRefusalDelaysNoOther(t *testing.T) {
	slow(t)
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	code, out := play(t, "-once", "-data", data)
	wantExit(t, code, 0, out)
	before := messages(t, data, wecomsim.DemoCorp)
	// The secret is mistyped.
	wrong := write(t, filepath.Join(t.TempDir(), "secret"), []byte("a-secret-that-is-wrong\n"))
	if code, out := exitCode(t, ctl(t, "-data", data, "corps", "set", "-corp", wecomsim.DemoCorp, "-secret-file", wrong)); code != 0 {
		t.Fatalf("ctl corps set: %d: %s", code, out)
	}
	code, out = play(t, "-once", "-data", data)
	wantExit(t, code, 3, out)
	wantSaid(t, out, "corp "+wecomsim.DemoCorp+" is given up", "40001", "take the secret shown")
	if strings.Contains(out, "corp "+wecomsim.DemoSmallCorp+" is given up") {
		t.Errorf("the other corp was given up too:\n%s", out)
	}
	after := messages(t, data, wecomsim.DemoCorp)
	if len(after) != len(before) {
		t.Errorf("%d messages, %d before the secret was mistyped", len(after), len(before))
	}
	wantAll(t, data)
	// Put right, it catches up with the day that it missed.
	file := filepath.Join(t.TempDir(), "right")
	r := start(t, data, "-once")
	sim := r.simulator(t)
	corps, err := sim.Corps(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range corps {
		if c.Corp == wecomsim.DemoCorp {
			write(t, file, []byte(c.Secret(wecomsim.KindArchive)))
		}
	}
	// The address is not trusted by now, which is found with the right secret only.
	no := wecomsim.Trusted{On: true, IPs: []string{"198.51.100.7"}}
	if _, err := sim.ChangeCorp(context.Background(), wecomsim.ChangeCorp{Corp: wecomsim.DemoSmallCorp, Trusted: &no}); err != nil {
		t.Fatal(err)
	}
	if code, out := exitCode(t, ctl(t, "-data", data, "corps", "set", "-corp", wecomsim.DemoCorp, "-secret-file", file)); code != 0 {
		t.Fatalf("ctl corps set: %d: %s", code, out)
	}
	if code := r.ended(t, 3*time.Minute); code != 3 {
		t.Errorf("exit %d", code)
	}
	wantSaid(t, r.said(), "corp "+wecomsim.DemoSmallCorp+" is given up", "trusted IPs")
	r = start(t, data, "-once")
	yes := wecomsim.Trusted{}
	if _, err := r.simulator(t).ChangeCorp(context.Background(), wecomsim.ChangeCorp{Corp: wecomsim.DemoSmallCorp, Trusted: &yes}); err != nil {
		t.Fatal(err)
	}
	code = r.ended(t, 3*time.Minute)
	wantExit(t, code, 0, r.said())
	wantAll(t, data)
}

func TestCtlWithoutARunAnswersAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	var stdout, stderr bytes.Buffer
	for _, c := range []struct {
		args []string
		code int
		out  string // "": nothing
		err  string
	}{
		{[]string{"-data", k.data, "corps", "list"}, 0, `"corp":"wwkept"`, ""},
		{[]string{"-data", k.data, "status"}, 0, "wwkept", ""},
		{[]string{"-data", k.data, "messages", "-corp", "wwkept", "-format", "jsonl"}, 0, `"seq":3`, ""},
		{[]string{"-data", k.data, "messages", "-corp", "wwother"}, 1, "", "wwother"},
		{[]string{"-data", k.data, "messages"}, 2, "", "-corp"},
		{[]string{"-data", k.data, "mesages"}, 2, "", `there is no command "mesages"`},
		{[]string{"-data", k.data}, 2, "", "usage"},
		{[]string{"-data", k.data, "messages", "-corp", "wwkept", "-format", "xml"}, 2, "", "jsonl"},
		{[]string{"-data", filepath.Join(t.TempDir(), "absent"), "status"}, 1, "", "no local archive"},
		{[]string{"-data", t.TempDir(), "status"}, 1, "", "no local archive"},
		{[]string{"-data"}, 2, "", "-data"},
	} {
		stdout.Reset()
		stderr.Reset()
		cmd := ctl(t, c.args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != c.code {
			t.Errorf("ctl %q: exit %d, want %d: %s", c.args, got, c.code, stderr.String())
		}
		if c.out == "" && stdout.Len() > 0 || !strings.Contains(stdout.String(), c.out) {
			t.Errorf("ctl %q: stdout is %q, want %q in it", c.args, stdout.String(), c.out)
		}
		if !strings.Contains(stderr.String(), c.err) {
			t.Errorf("ctl %q: stderr is %q, want %q in it", c.args, stderr.String(), c.err)
		}
	}
	wantNoneLeft(t, k.data, nil)
	// Two at once wait for each other.
	var wg sync.WaitGroup
	for range 2 {
		cmd := ctl(t, "-data", k.data, "status")
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("ctl beside another ctl: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	k.intact(t)
}

func TestCtlAddsAKeyAndItsMessagesAreOpenedByTheLibraryOfTheFolder(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	k.say(3, text("later"))
	code, out := play(t, k.args()...)
	wantExit(t, code, 3, out)
	k.write(1, 2, 3)
	if code, out := exitCode(t, ctl(t, "-data", k.data, "keys", "add", "-wait", "-corp", keptCorp, "-ver", "3", "-file", filepath.Join(k.dir, "keys", "3.pem"))); code != 0 || !strings.Contains(out, "nothing of it is set aside any more") {
		t.Fatalf("ctl keys add: %d: %s", code, out)
	}
	wantCounts(t, messages(t, k.data, keptCorp), 3, 0, 0)
	wantNoneLeft(t, k.data, nil)
}
