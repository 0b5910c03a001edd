package lambdahost

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// An invocation that is under way when a version is deployed ends in the program that it began in; all later ones have the new program.
func TestADeploymentLetsWorkEndAndStartsTheNewProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	current := filepath.Join(dir, "current")
	for _, version := range []string{"old", "new"} {
		if err := os.MkdirAll(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, filepath.Join(dir, version, "bootstrap")); err != nil {
			t.Fatal(err)
		}
	}
	serve := func(version string) {
		next := current + ".next"
		if err := os.Symlink(filepath.Join(dir, version, "bootstrap"), next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, current); err != nil {
			t.Fatal(err)
		}
	}
	serve("old")
	h := newHost(t, patient, func(o *Options, _ map[string]string) {
		o.Binary = func(template.Function) string {
			target, err := os.Readlink(current)
			if err != nil {
				t.Error(err)
			}
			return target
		}
	})
	root := func() string { // which version answers
		var vars []string
		if err := json.Unmarshal(invoke(t, h, order{Do: "env"}).Payload, &vars); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(vars, func(v string) bool { return len(v) > 17 && v[:17] == "LAMBDA_TASK_ROOT=" })
		return filepath.Base(vars[i])
	}
	if got := root(); got != "old" {
		t.Fatalf("%s answers", got)
	}
	meeting := t.TempDir()
	done := make(chan Result, 1)
	go func() { done <- invoke(t, h, order{Do: "meet", File: meeting, N: 2}) }()
	until(t, "the work is under way", func() bool { here, _ := os.ReadDir(meeting); return len(here) == 1 })
	working := h.Processes()

	serve("new")
	h.Deploy()
	if got := root(); got != "new" {
		t.Errorf("%s answers after the deployment", got)
	}
	if len(done) > 0 {
		t.Fatal("the work has ended already")
	}
	if err := os.WriteFile(filepath.Join(meeting, "another"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if res := <-done; res.FunctionError != "" || string(res.Payload) != "2" {
		t.Errorf("the work that was under way: %+v", res)
	}
	for _, p := range working {
		if slices.Contains(h.Processes(), p) {
			t.Errorf("process %d of the old program is kept for more work", p.PID)
		}
	}
	if got := root(); got != "new" {
		t.Errorf("%s answers at last", got)
	}
}
