package financesdk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
)

// everything reads a file chunk by chunk.
func everything(ctx context.Context, s *financesdk.SDK, fileID string) ([]byte, int, error) {
	var file []byte
	index := ""
	for n := 1; ; n++ {
		chunk, err := s.MediaChunk(ctx, index, fileID)
		if err != nil {
			return file, n, err
		}
		file = append(file, chunk.Data...)
		if chunk.Finished {
			return file, n, nil
		}
		index = chunk.Next
	}
}

func TestChatDataReturnsTheSliceByteForByte(t *testing.T) {
	odd := "{\"errcode\":0,\x00\xff \n cut"
	s := start(t, "chat seq=1 file odd\nchat seq=2 text <html>no</html>\nchat seq=3 text {\"errcode\":301052,\"errmsg\":\"expired\",\"chatdata\":[]}\n"+
		"chat seq=18446744073709551615 text {\"errcode\":0}\nchat * print WeWorkFinanceSdk:access:nonsense\n")
	lib := libOf(t, s)
	write(t, filepath.Join(lib, "odd"), odd)
	for after, want := range map[archive.Seq]string{
		1: odd, 2: "<html>no</html>", 3: `{"errcode":301052,"errmsg":"expired","chatdata":[]}`,
		1<<64 - 1: `{"errcode":0}`, 0: `{"errcode":0,"errmsg":"ok","chatdata":[]}`,
	} {
		got, err := s.ChatData(t.Context(), after, 1000)
		if err != nil || string(got) != want {
			t.Errorf("after %d: %q, %v; want %q", after, got, err, want)
		}
	}
}

// libOf is the folder of the library of the SDK's child, found as the kernel sees it.
func libOf(t *testing.T, s *financesdk.SDK) string {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", s.Child()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if i := strings.IndexByte(line, '/'); i >= 0 && strings.HasSuffix(strings.TrimSpace(line), "standin.so") {
			return filepath.Dir(strings.TrimSpace(line[i:]))
		}
	}
	t.Fatal("the child has not loaded the stand-in")
	return ""
}

func TestPagesOfALibraryThatIgnoresTheProxy(t *testing.T) {
	s := start(t, "chat * pages items\n")
	var items strings.Builder
	for seq := range 25 {
		fmt.Fprintf(&items, `{"seq":%d,"msgid":"m%d","publickey_ver":1,"encrypt_random_key":"a","encrypt_chat_msg":"b"}`+"\n", 1<<60+seq, seq)
	}
	write(t, filepath.Join(libOf(t, s), "items"), items.String())
	after, pulled := archive.Seq(0), 0
	for {
		raw, err := s.ChatData(t.Context(), after, 10)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := archive.ParseBatch(raw, after)
		if err != nil {
			t.Fatal(err)
		}
		if len(batch.Items) == 0 {
			break
		}
		pulled += len(batch.Items)
		after = batch.Last()
	}
	if pulled != 25 || after != 1<<60+24 {
		t.Fatalf("pulled %d up to %d", pulled, after)
	}
}

func TestReturnCodesOfChatDataAreErrors(t *testing.T) {
	var script strings.Builder
	for code := 10000; code <= 10011; code++ {
		fmt.Fprintf(&script, "chat seq=%d code %d\n", code, code)
	}
	script.WriteString("chat seq=1 null\nchat seq=2 negative\nchat seq=3 empty\nchat seq=4 text  \n")
	s := start(t, script.String())
	child := s.Child()
	for code := 10000; code <= 10011; code++ {
		_, err := s.ChatData(t.Context(), archive.Seq(code), 1000)
		if e := mustFail(t, err); e.Code != code || fault.KindOf(err) != fault.Retryable {
			t.Errorf("%d: %v", code, err)
		}
	}
	for after := range archive.Seq(4) {
		_, err := s.ChatData(t.Context(), after+1, 1000)
		if e := mustFail(t, err); e.Reason != "empty-answer" || financesdk.Explain(err).Kind != financesdk.CauseNotWhole {
			t.Errorf("seq %d: %v", after+1, err)
		}
	}
	for _, limit := range []int{0, -1, 1001, 2000} {
		_, err := s.ChatData(t.Context(), 9, limit)
		if e := mustFail(t, err); e.Code != 10000 {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	if s.Child() != child {
		t.Error("a return code cost the child")
	}
}

func TestADeadTokenCostsTheHandle(t *testing.T) {
	s := start(t, `chat seq=1 text {"errcode":42001,"errmsg":"access_token expired","chatdata":[]}`+"\n")
	child := s.Child()
	if _, err := s.ChatData(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Wake(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Child() == child {
		t.Error("the library still holds a token that WeCom has refused")
	}
}

func TestACallThatEndsTheChildIsAnErrorAndTheNextOneWorks(t *testing.T) {
	for action, reason := range map[string]fault.Reason{
		"segv": financesdk.ReasonCrash, "abort": financesdk.ReasonCrash, "exit 0": financesdk.ReasonCrash,
	} {
		for _, call := range []string{"chat", "media"} {
			t.Run(call+" "+action, func(t *testing.T) {
				t.Parallel()
				s := start(t, call+" once "+action+"\nmedia * empty\n")
				ask := func() error {
					if call == "media" {
						_, err := s.MediaChunk(t.Context(), "", "file")
						return err
					}
					_, err := s.ChatData(t.Context(), 5, 10)
					return err
				}
				err := ask()
				if e := mustFail(t, err); e.Reason != reason || fault.KindOf(err) != fault.Retryable {
					t.Fatalf("%v", err)
				}
				if err := ask(); err != nil {
					t.Fatalf("after it: %v", err)
				}
			})
		}
	}
}

func TestALibraryThatDiesWhileItIsLoadedIsAnError(t *testing.T) {
	for script, reason := range map[string]fault.Reason{
		"load * segv\n": financesdk.ReasonCrash, "init * abort\n": financesdk.ReasonCrash, "init * code 10001\n": "init-refused",
	} {
		_, err := financesdk.Start(t.Context(), financesdk.Config{Lib: standin(t, script), Corp: "wwtest"})
		if e := mustFail(t, err); e.Reason != reason {
			t.Errorf("%s: %v", script, err)
		}
	}
}

func TestAFileComesWholeInChunksOfAnySize(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for script, chunks := range map[string]int{
		"media * chunks 524288 content\n":  2,
		"media * chunks+ 524288 content\n": 3,
		"media * chunks 524289 content\n":  2,
		"media * chunks 65537 content\n":   16,
		"media * chunks 2000000 content\n": 1,
		"media * file content\n":           1,
	} {
		s := start(t, script)
		write(t, filepath.Join(libOf(t, s), "content"), string(content))
		got, n, err := everything(t.Context(), s, "some-file-id")
		if err != nil || n != chunks || sha256.Sum256(got) != sha256.Sum256(content) {
			t.Errorf("%s: %d bytes in %d chunks, %v; want %d in %d", script, len(got), n, err, len(content), chunks)
		}
	}
}

func TestReturnCodesOfMediaSayWhatBecomesOfTheFile(t *testing.T) {
	var script strings.Builder
	for code := 10000; code <= 10011; code++ {
		fmt.Fprintf(&script, "media id=CODE-%d code %d\n", code, code)
	}
	s := start(t, script.String()+"media id=STUCK stuck\nmedia id=NULL negative\n")
	final := map[int]financesdk.CauseKind{10005: financesdk.CauseNoSuchFile, 10010: financesdk.CauseMediaExpired}
	for code := 10000; code <= 10011; code++ {
		_, err := s.MediaChunk(t.Context(), "", "CODE-"+strconv.Itoa(code))
		want := fault.Retryable
		if _, ok := final[code]; ok {
			want = fault.Permanent
		}
		if e := mustFail(t, err); e.Code != code || fault.KindOf(err) != want {
			t.Errorf("%d: %v, want %v", code, err, want)
		}
		if kind, ok := final[code]; ok && financesdk.Explain(err).Kind != kind {
			t.Errorf("%d is explained as %s", code, financesdk.Explain(err).Kind)
		}
	}
	if _, err := s.MediaChunk(t.Context(), "", "STUCK"); mustFail(t, err).Reason != "media-no-next" {
		t.Errorf("no end and no next index: %v", err)
	}
	if chunk, err := s.MediaChunk(t.Context(), "", "NULL"); err != nil || !chunk.Finished || len(chunk.Data) != 0 {
		t.Errorf("a finished chunk of nothing: %+v, %v", chunk, err)
	}
}

func TestWakeReplacesAChildThatIsDeadOrStopped(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		s := start(t, "")
		pid := s.Child()
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		if err := s.Wake(t.Context()); err != nil {
			t.Fatalf("%v: %v", sig, err)
		}
		if s.Child() == pid {
			t.Errorf("%v: the child was not replaced", sig)
		}
		if _, err := s.ChatData(t.Context(), 0, 1); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

func TestACancelledCallLeavesNoAnswerBehind(t *testing.T) {
	s := start(t, "chat once sleep 1000\n")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.ChatData(ctx, 1, 1); ctx.Err() == nil || err == nil {
		t.Fatalf("%v", err)
	}
	got, err := s.ChatData(t.Context(), 2, 1)
	if err != nil || !strings.Contains(string(got), `"chatdata"`) {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestNothingOfUsOutlivesClose(t *testing.T) {
	s, err := financesdk.Start(t.Context(), financesdk.Config{Lib: standin(t, "chat * fork\n"), Corp: "wwtest", Upstream: "http://127.0.0.1:1", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChatData(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	group := s.Child()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return syscall.Kill(-group, 0) == syscall.ESRCH })
	if _, err := s.ChatData(t.Context(), 1, 1); err == nil {
		t.Error("a closed library answered")
	}
}

func TestTheChildKnowsNothing(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	dumping := limit
	dumping.Cur = dumping.Max // as much as this machine allows, so that the child has something to forbid
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &dumping); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
			t.Error(err)
		}
	})
	s := start(t, "")
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.Child()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Trim(string(environ), "\x00"), "LD_LIBRARY_PATH="+libOf(t, s); got != want {
		t.Errorf("its environment is %q, want %q", got, want)
	}
	for fd := range 3 {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", s.Child(), fd))
		if err != nil || target != os.DevNull {
			t.Errorf("descriptor %d is %s, %v", fd, target, err)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.Child()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if strings.HasPrefix(line, "Max core file size") && strings.Fields(line)[4] != "0" {
			t.Errorf("core dumps: %s", line)
		}
	}
}

func TestALibraryForOpeningNeverGetsAWayOut(t *testing.T) {
	s := started(t, financesdk.Config{Lib: standin(t, ""), Corp: "wwtest"})
	if _, err := s.ChatData(t.Context(), 1, 1); mustFail(t, err).Reason != "no-token" {
		t.Errorf("%v", err)
	}
	if _, err := s.MediaChunk(t.Context(), "", "f"); mustFail(t, err).Reason != "no-token" {
		t.Errorf("%v", err)
	}
	results, err := s.Decrypt(t.Context(), items(3, nil))
	if err != nil {
		t.Fatal(err)
	}
	want(t, results, 3, nil)
}

func TestFilesThatAreNoLibraryAreNamed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "text.so"), "not a library")
	write(t, filepath.Join(dir, "empty.so"), "")
	good := standin(t, "")
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	foreign := bytes.Clone(raw)
	foreign[18] = 183 // e_machine: AArch64
	if raw[18] == 183 {
		foreign[18] = 62
	}
	write(t, filepath.Join(dir, "foreign.so"), string(foreign))
	write(t, filepath.Join(dir, "other.so"), strings.ReplaceAll(string(raw), "GetMediaData", "GetMediaDatb"))
	for name, tc := range map[string]struct {
		kind financesdk.CauseKind
		word string
	}{
		"absent.so":  {financesdk.CauseLibraryMissing, "there is no file at"},
		"text.so":    {financesdk.CauseNotALibrary, "is no Linux library"},
		"empty.so":   {financesdk.CauseNotALibrary, "is no Linux library"},
		".":          {financesdk.CauseNotALibrary, "is not a file"},
		"foreign.so": {financesdk.CauseWrongArchitecture, "is built for"},
		"other.so":   {financesdk.CauseNotALibrary, "lacks GetMediaData"},
	} {
		_, err := financesdk.Start(t.Context(), financesdk.Config{Lib: filepath.Join(dir, name), Corp: "wwtest"})
		cause := financesdk.Explain(err)
		if cause.Kind != tc.kind || !strings.Contains(cause.Sentence, tc.word) || !cause.Final() {
			t.Errorf("%s: %+v", name, cause)
		}
	}
}

func TestAnAddressThatWouldShowTheTokenIsRefused(t *testing.T) {
	for _, address := range []string{"", "qyapi.weixin.qq.com", "http://qyapi.weixin.qq.com", "ftp://127.0.0.1", "http://10.0.0.1:80"} {
		if _, err := financesdk.Start(t.Context(), financesdk.Config{Lib: standin(t, ""), Corp: "wwtest", Upstream: address, Token: token}); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}

func TestAHostThatCanNotBeStartedIsNamed(t *testing.T) {
	_, err := financesdk.Start(t.Context(), financesdk.Config{Host: []string{"/nowhere/simsdk"}, Corp: "wwtest"})
	if cause := financesdk.Explain(err); cause.Kind != financesdk.CauseNoHost || !strings.Contains(cause.Sentence, "SDK_HOST") {
		t.Errorf("%+v", cause)
	}
}

func TestRefusalsHaveTheirSentence(t *testing.T) {
	for code, tc := range map[int]struct {
		kind  financesdk.CauseKind
		words string
		final bool
	}{
		40001:  {financesdk.CauseBadSecret, "secret", true},
		40013:  {financesdk.CauseBadSecret, "corp id", true},
		48002:  {financesdk.CauseBadSecret, "another app", true},
		301042: {financesdk.CauseUntrustedIP, "add 203.0.113.9 to the trusted IPs", true},
		60020:  {financesdk.CauseUntrustedIP, "203.0.113.9", true},
		301052: {financesdk.CauseServiceExpired, "renew", false},
		301053: {financesdk.CauseServiceNotOpened, "open it", false},
		40014:  {financesdk.CauseDeadToken, "by itself", false},
		42001:  {financesdk.CauseDeadToken, "by itself", false},
		45009:  {financesdk.CauseRateLimited, "pause", false},
		301058: {financesdk.CausePageTooLarge, "half the limit", false},
		301048: {financesdk.CauseMediaExpired, "no longer", false},
		99999:  {financesdk.CauseRefused, "e=99999", false},
	} {
		body, err := json.Marshal(map[string]any{"errcode": code, "errmsg": "refused, hint: [1], from ip: 203.0.113.9, more info at https://open.work.weixin.qq.com"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = archive.ParseBatch(body, 0)
		cause := financesdk.Explain(fmt.Errorf("fetch: %w", err))
		if cause.Kind != tc.kind || !strings.Contains(cause.Sentence, tc.words) || cause.Final() != tc.final || cause.IP != "203.0.113.9" || cause.ErrCode != code {
			t.Errorf("%d: %+v", code, cause)
		}
	}
}

// state is the kernel's letter for what a process does.
func state(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(raw), ") ")
	return after[:1]
}

func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not come about")
		}
	}
}
