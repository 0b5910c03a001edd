package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// TestMain lets the test's own program be the simulator.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "wecomsim" {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// start starts a simulator process and waits until it says that it listens.
func start(t *testing.T, data string, more ...string) (*exec.Cmd, *wecomsim.Client) {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "address")
	cmd := exec.Command(os.Args[0], append([]string{"wecomsim", "-data", data, "-ready-file", ready}, more...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case <-tick.C:
			if b, err := os.ReadFile(ready); err == nil {
				return cmd, wecomsim.NewClient(strings.TrimSpace(string(b)))
			}
		case <-deadline:
			t.Fatal("the simulator does not listen")
		}
	}
}

func TestNothingThatWasAnsweredIsLostByAKill(t *testing.T) {
	data := filepath.Join(t.TempDir(), "sim.db")
	cmd, c := start(t, data, "-offset", "3600000000000")
	if _, err := c.AddCorp(t.Context(), wecomsim.NewCorp{Corp: "wwone"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	acknowledged := make(chan uint64, 1)
	go func() {
		last := uint64(0)
		for {
			sent, err := c.Send(ctx, wecomsim.Message{Corp: "wwone", Text: "hello"})
			if err != nil {
				acknowledged <- last
				return
			}
			if last = sent.Seq; last == 20 {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	last := <-acknowledged
	_ = cmd.Wait()
	cmd, c = start(t, data)
	a, err := c.Account(t.Context(), "wwone")
	if err != nil {
		t.Fatal(err)
	}
	if last < 20 || a.LastSeq < last || uint64(a.Items) != a.LastSeq {
		t.Errorf("acknowledged up to %d, kept %d items up to %d", last, a.Items, a.LastSeq)
	}
	clock, err := c.SetClock(t.Context(), wecomsim.Clock{})
	if err != nil || *clock.OffsetNS != int64(time.Hour) {
		t.Errorf("the clock's offset is %d, %v", *clock.OffsetNS, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}

func TestItRefusesToStartWithASentence(t *testing.T) {
	held := filepath.Join(t.TempDir(), "sim.db")
	start(t, held)
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	if err := os.WriteFile(foreign, []byte(strings.Repeat("no bbolt file\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"no data": {}, "held by another": {"-data", held}, "a foreign file": {"-data", foreign}, "a public address": {"-data", filepath.Join(t.TempDir(), "x"), "-listen", "0.0.0.0:0"},
	} {
		out, err := exec.Command(os.Args[0], append([]string{"wecomsim"}, args...)...).CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "wecomsim: ") || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
}
