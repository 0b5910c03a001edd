package main

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- WeCom's messages carry MD5 sums
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/local/simcipher"
	"github.com/wecomvault/wecomvault/shared/wire"
)

func TestAFigureBelowItsFloorIsNamed(t *testing.T) {
	r := &results{values: map[string]float64{}}
	r.set("ratio", 0.5)
	r.set("cold", 1.2)
	r.set("fetch-memory", 4000)
	r.set("rate", 1)
	r.set("growth", 8.2) // less than ten times the work for ten times the messages is no gain: something was not done
	var out bytes.Buffer
	if below := r.print(&out); !slices.Equal(below, []string{"ratio", "growth", "fetch-memory"}) {
		t.Errorf("below their floors: %v", below)
	}
	if n := strings.Count(out.String(), "BELOW ITS FLOOR"); n != 3 {
		t.Errorf("the table marks %d figures:\n%s", n, out.String())
	}
}

func TestEveryFloorIsWorseThanItsAim(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range figures() {
		if seen[f.name] {
			t.Errorf("%s is there twice", f.name)
		}
		seen[f.name] = true
		if math.IsNaN(f.aim) != math.IsNaN(f.floor) || f.around == 0 && f.beyond(f.aim, f.floor) || f.around != 0 && f.aim > f.floor {
			t.Errorf("%s: the aim is %v, the floor %v", f.name, f.aim, f.floor)
		}
		if f.beyond(f.was, f.floor) {
			t.Errorf("%s: what was measured, %v, is below the floor", f.name, f.was)
		}
	}
}

func TestSamplesAreWrittenAsBenchmarks(t *testing.T) {
	r := &results{values: map[string]float64{}}
	r.set("delay-p99-disturbed", 6.25)
	var out bytes.Buffer
	if err := r.benchmarks(&out); err != nil || !strings.Contains(out.String(), "\nBenchmarkDelayP99Disturbed 1 6.25 s\n") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func start(t *testing.T) *wecom {
	t.Helper()
	w, err := startWeCom()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func ask(t *testing.T, w *wecom, path, body, span string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path+"?access_token=token-ww", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", span)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return res, answer
}

func TestWhatIsPublishedIsHandedOutAndOpens(t *testing.T) {
	w := start(t)
	s := w.corp("ww")
	at := time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)
	for range 2 {
		items, err := w.seal(3, func(i int) letter { return text(i+1, at) })
		if err != nil {
			t.Fatal(err)
		}
		w.publish(s, items)
	}
	for after, want := range map[int]int{0: 5, 4: 2, 6: 0} {
		_, raw := ask(t, w, "/cgi-bin/message/getchatdata", fmt.Sprintf(`{"seq":%d,"limit":5}`, after), "")
		batch, err := archive.ParseBatch(raw, archive.Seq(after))
		if err != nil || len(batch.Items) != want {
			t.Fatalf("after %d: %d items, %v", after, len(batch.Items), err)
		}
		for i, item := range batch.Items {
			block, err := base64.StdEncoding.DecodeString(item.EncryptRandomKey)
			if err != nil {
				t.Fatal(err)
			}
			key, err := rsa.DecryptPKCS1v15(nil, w.key, block) //nolint:staticcheck // WeCom's padding
			if err != nil {
				t.Fatal(err)
			}
			opened, err := simcipher.Open(string(key), item.EncryptChatMsg)
			if err != nil {
				t.Fatal(err)
			}
			m, err := wire.Decode("ww", item, opened)
			if err != nil || !m.Known || !m.Time.Equal(at) || m.Text == "" || item.Seq != archive.Seq(after+1+i) {
				t.Errorf("seq %v became %+v: %v", item.Seq, m, err)
			}
		}
	}
}

func TestWhatWasAskedForIsForgottenAndSeqsGoOn(t *testing.T) {
	w := start(t)
	s := w.corp("ww")
	for round := range 3 {
		items, err := w.seal(4, func(i int) letter { return text(i+1, time.UnixMilli(1)) })
		if err != nil {
			t.Fatal(err)
		}
		if last := w.publish(s, items); last != archive.Seq(4*round+4) {
			t.Fatalf("round %d ends with seq %v", round, last)
		}
		_, raw := ask(t, w, "/cgi-bin/message/getchatdata", fmt.Sprintf(`{"seq":%d,"limit":1000}`, 4*round), "")
		if batch, err := archive.ParseBatch(raw, archive.Seq(4*round)); err != nil || len(batch.Items) != 4 || batch.First() != archive.Seq(4*round+1) {
			t.Fatalf("round %d: %d items, %v", round, len(batch.Items), err)
		}
		if len(s.items) > 8 {
			t.Errorf("round %d: %d items are kept", round, len(s.items))
		}
	}
}

func TestAnEndlessSupplyNeverRunsOut(t *testing.T) {
	w := start(t)
	s := w.corp("ww")
	items, err := w.seal(2, func(i int) letter { return text(i+1, time.UnixMilli(1)) })
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	s.endless, s.items = true, items
	w.mu.Unlock()
	_, raw := ask(t, w, "/cgi-bin/message/getchatdata", `{"seq":9999,"limit":1000}`, "")
	if batch, err := archive.ParseBatch(raw, 9999); err != nil || len(batch.Items) != 1000 {
		t.Errorf("%d items, %v", len(batch.Items), err)
	}
}

func TestAFileComesInChunksAndOpens(t *testing.T) {
	w := start(t)
	for _, size := range []int64{1, chunk - 16, chunk, chunk + 1} {
		id, sum := w.file(1, size)
		var file []byte
		for sealed := simcipher.SealedSize(size); int64(len(file)) < sealed; {
			first := int64(len(file))
			res, part := ask(t, w, "/cgi-bin/message/getchatmediadata", `{"fileid":"`+id+`"}`, fmt.Sprintf("bytes=%d-%d", first, first+chunk-1))
			if want := fmt.Sprintf("bytes %d-%d/%d", first, first+int64(len(part))-1, sealed); res.Header.Get("Content-Range") != want || len(part) == 0 {
				t.Fatalf("%s, not %s", res.Header.Get("Content-Range"), want)
			}
			if err := simcipher.XORFile(id, first, part); err != nil {
				t.Fatal(err)
			}
			file = append(file, part...)
		}
		file, err := simcipher.Unpad(file)
		if got := md5.Sum(file); err != nil || int64(len(file)) != size || hex.EncodeToString(got[:]) != sum { // #nosec G401 -- see the import
			t.Errorf("a file of %d bytes has %d: %v", size, len(file), err)
		}
	}
}

// TestSpins is no test: it is the program that the next test measures.
func TestSpins(t *testing.T) {
	if os.Getenv("BENCH_SPINS") == "" {
		t.Skip("only as a child of the next test")
	}
	runtime.LockOSThread()
	for begin := threadTime(); threadTime()-begin < 300*time.Millisecond; {
		runtime.KeepAlive(begin)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the next test has seen it
}

func TestTheMeterCountsAFunctionsProcesses(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no /proc on this system")
	}
	m, err := startMeter()
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	program := filepath.Join(t.TempDir(), "spin", "bootstrap")
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, self, 0o700); err != nil { // #nosec G306 -- a program
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestSpins$") // #nosec G204 -- this test's own program
	cmd.Env = append(os.Environ(), "BENCH_SPINS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var u usage
	for end := time.After(20 * time.Second); u.CPU < 250*time.Millisecond; {
		select {
		case <-look.C:
			u = m.of("spin")
		case <-end:
			t.Fatalf("300 ms of work are %v", u.CPU)
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	after := m.of("spin")
	if u.Peak < 1<<20 || after.CPU < u.CPU || m.of("fetch").CPU != 0 {
		t.Errorf("%+v, and after its end %+v", u, after)
	}
}
