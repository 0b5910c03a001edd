package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
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

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// house is fetch's own program over the local AWS and a simulated WeCom.
type house struct {
	*bench
	wecom   rig.WeCom
	program string
	simsdk  string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	w := rig.StartWeCom(t)
	simsdk := rig.Program(t, "infra/local/simsdk")
	r := rig.Start(t, rig.Options{Parameters: map[string]string{"WecomUrl": w.URL, "SdkHost": simsdk, "PollInterval": "30ms"}})
	return &house{bench: &bench{Rig: r, ledger: r.Ledger(r.Config(rig.Operator)), scripts: map[archive.CorpID]*script{}}, wecom: w, program: rig.Program(t, "functions/fetch"), simsdk: simsdk}
}

// process is one environment: fetch's program and the Runtime API that it asks for work.
type process struct {
	*exec.Cmd
	ended chan struct{}
}

// start starts a process that is invoked without end, each time with life until its deadline.
func (h *house) start(t *testing.T, life time.Duration) *process {
	t.Helper()
	stop := make(chan struct{})
	n := 0
	var mu sync.Mutex
	runtime := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/invocation/next") {
			if strings.HasSuffix(r.URL.Path, "/error") {
				body, err := io.ReadAll(r.Body)
				t.Logf("an invocation failed: %s %v", body, err)
			}
			w.WriteHeader(http.StatusAccepted)
			return
		}
		select {
		case <-stop:
			<-r.Context().Done()
			return
		default:
		}
		mu.Lock()
		n++
		id := n
		mu.Unlock()
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", strconv.Itoa(id))
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(clock.Real().Add(life).UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:fetch")
		if _, err := io.WriteString(w, `{}`); err != nil {
			t.Logf("the event did not arrive: %v", err)
		}
	}))
	f, _ := h.Template.Function(self)
	cmd := exec.Command(h.program) // #nosec G204 -- our own program
	credentials, err := h.Config(self).Credentials.Retrieve(t.Context())
	h.OK(err)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(runtime.URL, "http://"), "AWS_LAMBDA_FUNCTION_NAME=" + f.Name,
		"AWS_REGION=us-east-1", "AWS_ENDPOINT_URL=" + h.URL, "AWS_ACCESS_KEY_ID=" + credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + credentials.SecretAccessKey,
		"TMPDIR=" + t.TempDir()}
	for k, v := range f.Environment {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	h.OK(cmd.Start())
	p := &process{Cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // it is killed
		close(p.ended)
	}()
	t.Cleanup(func() {
		close(stop)
		// Its library's child ends by itself when its pipe ends.
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-p.ended
		runtime.CloseClientConnections()
		runtime.Close()
		if t.Failed() {
			t.Logf("%s said: %.3000s", filepath.Base(h.program), out.String())
		}
	})
	return p
}

func (h *house) send(t *testing.T, id archive.CorpID, n int) {
	t.Helper()
	_, err := h.wecom.Send(t.Context(), wecomsim.Message{Corp: string(id), From: "an", To: []string{"bo"}, Text: "the tide is in", Count: n})
	h.OK(err)
}

func (h *house) seqs(t *testing.T, id archive.CorpID) []archive.Seq {
	t.Helper()
	items, err := h.wecom.Items(t.Context(), string(id), 0, 1000, false)
	h.OK(err)
	var seqs []archive.Seq
	for _, i := range items {
		seqs = append(seqs, archive.Seq(i.Seq))
	}
	return seqs
}

// TestTwoRealProcessesRaceForOneCursor: two processes are invoked over and over, ask each other for the lease and take it, while messages come.
func TestTwoRealProcessesRaceForOneCursor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const id = "wwrace"
	h.Company(h.wecom, id)
	h.start(t, 20*time.Second)
	h.start(t, 20*time.Second)
	for range 40 {
		h.send(t, id, 5)
		before := h.cursor(id).Beat
		h.Within(20*time.Second, "nobody polls", func() bool { return h.cursor(id).Beat > before })
	}
	h.Within(20*time.Second, "the corp is not caught up", func() bool {
		seqs, c := h.seqs(t, id), h.cursor(id)
		return c.Seq == seqs[len(seqs)-1] && c.Empties > 0
	})
	fence := h.cursor(id).Fence
	h.Within(20*time.Second, "the lease does not change hands", func() bool { return h.cursor(id).Fence >= fence+2 })
	h.unbroken(id, h.seqs(t, id))
	if items := h.inBatches(id); len(items) != 200 {
		t.Errorf("the batches hold %d items of 200", len(items))
	}
	t.Logf("the lease changed hands %d times over %d batches", h.cursor(id).Fence, len(h.Keys("ArchiveBucket", "batches/corp="+id+"/")))
}

// inBatches is which seqs the objects of a corp's batches hold, and how often.
func (h *house) inBatches(id archive.CorpID) map[archive.Seq]int {
	h.Helper()
	held := map[archive.Seq]int{}
	for _, row := range h.state(id, nil).Batches {
		for seq := row.First; seq <= row.Last; seq++ {
			held[seq]++
		}
	}
	return held
}

// TestAProcessThatIsStoppedPastItsLeaseChangesNothing stops one in the middle of keeping a batch. Another takes the lease after the beat stood
// still for 15 s, and goes on; then the first wakes, and ends what it had begun.
func TestAProcessThatIsStoppedPastItsLeaseChangesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const id = "wwstop"
	h.Company(h.wecom, id)
	h.send(t, id, 30)
	stopped := make(chan struct{})
	var once sync.Once
	pid := make(chan int, 1)
	h.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Operation == "PutObject" {
			once.Do(func() {
				if err := syscall.Kill(<-pid, syscall.SIGSTOP); err != nil {
					t.Error(err)
				}
				close(stopped)
			})
		}
		return d
	})
	first := h.start(t, 100*time.Second)
	pid <- first.Process.Pid
	<-stopped
	fence := h.cursor(id).Fence
	began := clock.Real()
	h.start(t, 100*time.Second)
	h.Within(40*time.Second, "nobody takes the lease over", func() bool { c := h.cursor(id); return c.Fence > fence && c.Empties > 0 })
	if took := clock.Real().Sub(began); took < deadHolder {
		t.Errorf("a holder was taken for dead after %v", took)
	}
	before, rows := h.cursor(id), h.state(id, nil)
	h.Calls()
	h.OK(first.Process.Signal(syscall.SIGCONT))
	// The sleeper's last word is its advance, or its beat, which is refused with 400.
	h.Within(20*time.Second, "the sleeper does not write", func() bool {
		return slices.ContainsFunc(h.Calls(), func(c awslocal.Call) bool {
			return c.Caller == self && c.Operation == "UpdateItem" && c.Status == http.StatusBadRequest
		})
	})
	after := h.cursor(id)
	if after.Seq != before.Seq || after.Chain != before.Chain || after.Fence < before.Fence {
		t.Errorf("the cursor was %+v and is %+v", before, after)
	}
	if diff := cmp.Diff(rows, h.state(id, nil)); diff != "" {
		t.Errorf("late writes: %s", diff)
	}
	h.unbroken(id, h.seqs(t, id))
	for seq, n := range maps.All(h.inBatches(id)) {
		if n != 1 {
			t.Errorf("seq %v is in %d batches", seq, n)
		}
	}
}

// TestRealRefusalsLeaveTheirSentence asks a simulated WeCom through the simulated library, so that the causes are those of real answers.
func TestRealRefusalsLeaveTheirSentence(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i, fault := range []wecomsim.Fault{{Kind: wecomsim.FaultCut}, {Kind: wecomsim.FaultCode, ErrCode: 301052}} {
		id := archive.CorpID(fmt.Sprintf("wwref%d", i))
		fault.Corp, fault.API = string(id), "message/getchatdata"
		_, err := h.wecom.AddFault(t.Context(), fault)
		h.OK(err)
		h.Company(h.wecom, id)
		h.send(t, id, 1)
	}
	h.start(t, 60*time.Second)
	for i, cause := range []string{"not-whole", "service-expired"} {
		id := archive.CorpID(fmt.Sprintf("wwref%d", i))
		h.Within(25*time.Second, string(id)+" has no trouble", func() bool { tr := h.cursor(id).Trouble; return tr != nil && tr.Cause == cause && tr.Sentence != "" })
	}
	h.OK(h.wecom.LiftFaults(t.Context()))
	h.Within(25*time.Second, "the corps are not caught up", func() bool {
		return caughtUp(h.cursor("wwref0")) && caughtUp(h.cursor("wwref1"))
	})
}
