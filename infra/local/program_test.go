package main_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var (
	buildDir string
	prebuilt = flag.String("built", "", "folder of programs that make build has made; empty makes them")
)

// built makes the programs as make build does, once for all tests of the package.
var built = sync.OnceValues(func() (string, error) {
	if *prebuilt != "" {
		return *prebuilt, nil
	}
	out, err := exec.Command("make", "-C", "../..", "build", "BUILD="+buildDir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, out)
	}
	return buildDir, nil
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "wecomvault-build-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	// These tests wait for programs more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "5"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// slow skips a test that takes long when only the short ones are asked for.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long: left out by -short")
	}
}

func local(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "local", "local")
}

// play runs the program as make run does and returns its exit code and what it printed.
func play(t *testing.T, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(local(t), args...)
	cmd.Dir = "../.."
	// A real account's settings must not reach the local one.
	cmd.Env = append(os.Environ(), "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=AKIAOFANOTHERACCOUNT", "AWS_PROFILE=bank")
	return exitCode(t, cmd)
}

func exitCode(t *testing.T, cmd *exec.Cmd) (int, string) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), out.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, out.String()
}

// line is a line of vaultctl messages.
type line struct {
	Corp       string   `json:"corp"`
	Seq        uint64   `json:"seq"`
	MsgID      string   `json:"msgid"`
	KeyVersion uint32   `json:"publickey_ver"`
	State      string   `json:"state"`
	Reason     string   `json:"reason"`
	Type       string   `json:"msgtype"`
	Text       string   `json:"text"`
	RawSHA256  string   `json:"raw_sha256"`
	RecallOf   string   `json:"recall_of"`
	RecalledBy []string `json:"recalled_by"`
	Media      []struct {
		FileID string `json:"sdkfileid"`
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
		State  string `json:"state"`
		Reason string `json:"reason"`
	} `json:"media"`
}

func messages(t *testing.T, data, corp string) []line {
	t.Helper()
	cmd := exec.Command(local(t), "ctl", "-data", data, "messages", "-corp", corp, "-format", "jsonl")
	cmd.Dir = "../.."
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("ctl messages: %v\n%s", err, log.String())
	}
	var lines []line
	sc := bufio.NewScanner(&out)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		var l line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("a line of messages is no JSON: %v", err)
		}
		lines = append(lines, l)
	}
	return lines
}

// library is a stand-in library with a corp's chat data: the ABI is Tencent's, the encoding its own.
type library struct {
	t     *testing.T
	dir   string
	keys  map[uint32]*rsa.PrivateKey
	items []string
	seq   uint64
	order []string
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no C compiler: CI needs one for the stand-in library")
		}
		t.Skip("no C compiler for the stand-in library")
	}
	l := &library{t: t, dir: t.TempDir(), keys: map[uint32]*rsa.PrivateKey{}}
	source, err := filepath.Abs("../../shared/financesdk/testdata/standin/standin.c")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", l.so(), source, "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("build the stand-in library: %v\n%s", err, out)
	}
	return l
}

func (l *library) so() string { return filepath.Join(l.dir, "standin.so") }

func (l *library) key(version uint32) *rsa.PrivateKey {
	l.t.Helper()
	if l.keys[version] == nil {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			l.t.Fatal(err)
		}
		l.keys[version] = k
	}
	return l.keys[version]
}

// say adds a message under a key version and returns its seq.
func (l *library) say(version uint32, message string) uint64 {
	l.t.Helper()
	l.seq += 3 // WeCom's seqs need not be dense
	random := []byte("0123456789abcdef0123456789abcdef")
	wrapped, err := rsa.EncryptPKCS1v15(rand.Reader, &l.key(version).PublicKey, random) //nolint:staticcheck // WeCom's padding
	if err != nil {
		l.t.Fatal(err)
	}
	sealed := []byte(message)
	for i := range sealed {
		sealed[i] ^= random[i%len(random)]
	}
	l.raw(version, base64.StdEncoding.EncodeToString(wrapped), "standin-v1:"+hex.EncodeToString(sealed))
	return l.seq
}

func (l *library) raw(version uint32, key, message string) {
	l.items = append(l.items, fmt.Sprintf(`{"seq":%d,"msgid":"m%d","publickey_ver":%d,"encrypt_random_key":%q,"encrypt_chat_msg":%q}`, l.seq, l.seq, version, key, message))
}

func text(words string) string {
	return fmt.Sprintf(`{"msgid":"x","action":"send","from":"li.wei","tolist":["chen.jie"],"roomid":"","msgtime":1795000000123,"msgtype":"text","text":{"content":%q}}`, words)
}

// write puts the script, the pages, the secret and the keys where the program looks for them.
func (l *library) write(held ...uint32) (args []string) {
	l.t.Helper()
	script := strings.Join(append(l.order, "chat * pages items"), "\n") + "\n"
	keys := filepath.Join(l.dir, "keys")
	files := map[string]string{
		l.so() + ".script": script, filepath.Join(l.dir, "items"): strings.Join(l.items, "\n") + "\n", filepath.Join(l.dir, "secret"): "a-secret-of-the-test\n",
	}
	if err := os.MkdirAll(keys, 0o700); err != nil {
		l.t.Fatal(err)
	}
	for i, v := range held {
		block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(l.key(v))}
		if i%2 == 1 {
			der, err := x509.MarshalPKCS8PrivateKey(l.key(v))
			if err != nil {
				l.t.Fatal(err)
			}
			block = &pem.Block{Type: "PRIVATE KEY", Bytes: der}
		}
		files[filepath.Join(keys, fmt.Sprintf("%d.pem", v))] = string(pem.EncodeToMemory(block))
	}
	for path, content := range files {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	return []string{"-sdk-lib", l.so(), "-secret-file", filepath.Join(l.dir, "secret"), "-keys", keys}
}

func byState(lines []line) map[string]int {
	n := map[string]int{}
	for _, l := range lines {
		n[l.State]++
	}
	return n
}

func TestACorpIsArchivedThroughAGivenLibraryWhateverItDoes(t *testing.T) {
	l := newLibrary(t)
	for i := range 1200 {
		l.say(1+uint32(i%2), text(fmt.Sprintf("报价单 %d 已发出", i)))
	}
	missing := l.say(3, text("under a key that is not held"))
	l.seq += 3
	short := l.seq
	l.raw(1, base64.StdEncoding.EncodeToString([]byte("no RSA block")), "aGk=")
	l.seq += 3
	wrapped, err := rsa.EncryptPKCS1v15(rand.Reader, &l.key(1).PublicKey, []byte("0123456789abcdef")) //nolint:staticcheck // WeCom's padding
	if err != nil {
		t.Fatal(err)
	}
	crash := l.seq
	l.raw(1, base64.StdEncoding.EncodeToString(wrapped), "short") // fewer than 13 characters abort the library
	media := l.say(2, `{"msgid":"f","action":"send","from":"li.wei","tolist":["chen.jie"],"msgtime":1795000001000,"msgtype":"file","file":{"md5sum":"00000000000000000000000000000000","filename":"合同.pdf","fileext":"pdf","filesize":5,"sdkfileid":"file-one"}}`)
	gone := l.say(2, `{"msgid":"g","action":"send","from":"li.wei","tolist":["chen.jie"],"msgtime":1795000002000,"msgtype":"image","image":{"md5sum":"","filesize":7,"sdkfileid":"file-gone"}}`)
	content := bytes.Repeat([]byte("0123456789"), 70_000)
	if err := os.WriteFile(filepath.Join(l.dir, "file"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	l.order = []string{
		"chat nth=1 print WeWorkFinanceSdk: noise on both streams",
		"chat once code 10001",
		"chat once code 10003",
		`chat once text {"errcode":0,"errmsg":"ok","chatda`,
		"chat once text <html>a foreign answer</html>",
		"chat once empty",
		`chat once text {"errcode":42001,"errmsg":"access_token expired","chatdata":[]}`,
		"chat once segv",
		"decrypt nth=40 leak 8",
		"media id=file-one,once code 10002",
		"media id=file-one chunks+ 65536 file",
		"media id=file-gone code 10010",
	}
	args := append(l.write(1, 2), "-once", "-data", filepath.Join(t.TempDir(), "data"), "-corp", "ww Corp#7")
	data := args[len(args)-3]
	code, out := play(t, args...)
	if code != 3 {
		t.Fatalf("exit %d, want 3, since three items are set aside:\n%s", code, out)
	}
	lines := messages(t, data, "ww Corp#7")
	if len(lines) != len(l.items) {
		t.Fatalf("%d lines for %d items handed out", len(lines), len(l.items))
	}
	want := map[uint64]string{missing: "no-key", short: "key-does-not-fit", crash: "library-crash"}
	for i, got := range lines {
		if i > 0 && got.Seq <= lines[i-1].Seq {
			t.Fatalf("seq %d follows %d", got.Seq, lines[i-1].Seq)
		}
		if reason, aside := want[got.Seq]; aside {
			if got.State != "set aside" || got.Reason != reason {
				t.Errorf("seq %d is %q because of %q, want set aside because of %q", got.Seq, got.State, got.Reason, reason)
			}
			continue
		}
		if got.State != "archived" {
			t.Errorf("seq %d is %q (%s), want archived", got.Seq, got.State, got.Reason)
		}
		switch got.Seq {
		case media:
			if len(got.Media) != 1 || got.Media[0].State != "kept" || got.Media[0].Size != int64(len(content)) || got.Media[0].Reason == "" {
				t.Errorf("the attachment is %+v, want kept, %d bytes, with the mismatch as its reason", got.Media, len(content))
			}
		case gone:
			if len(got.Media) != 1 || got.Media[0].State != "lost" {
				t.Errorf("the expired attachment is %+v, want lost", got.Media)
			}
		}
	}
	// A second run pulls nothing twice, takes up what a new key opens, and forgets nothing.
	args = append(l.write(1, 2, 3), "-once", "-data", data, "-corp", "ww Corp#7")
	if code, out = play(t, args...); code != 3 {
		t.Fatalf("the second run ends with %d:\n%s", code, out)
	}
	lines = messages(t, data, "ww Corp#7")
	if n := byState(lines); len(lines) != len(l.items) || n["set aside"] != 2 {
		t.Errorf("after the key came: %d lines, %v", len(lines), n)
	}
}
