package rig

import (
	"crypto/rsa"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// repository is a path in the repository, found from the working directory upwards.
func repository(t testing.TB, path string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("find the repository: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, path)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod is above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// Program builds a program of the repository, "infra/local/simsdk" for example, and returns its path.
func Program(t testing.TB, folder string) string {
	t.Helper()
	path := repository(t, filepath.Join(".local", "bin", "test-"+filepath.Base(folder)))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatalf("make a folder for programs: %v", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- a path of the repository
	if err != nil {
		t.Fatalf("lock the build of %s: %v", folder, err)
	}
	defer func() {
		if err := lock.Close(); err != nil {
			t.Errorf("unlock the build of %s: %v", folder, err)
		}
	}()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { // #nosec G115 -- a file descriptor
		t.Fatalf("lock the build of %s: %v", folder, err)
	}
	// Built under another name: a process that runs the last build keeps it.
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path+".new", "./"+folder) // #nosec G204 -- a folder of the repository
	build.Dir = repository(t, "")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", folder, err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatalf("build %s: %v", folder, err)
	}
	return path
}

// WeCom is a simulated WeCom of its own for the test.
type WeCom struct {
	*wecomsim.Client
	URL string
}

// StartWeCom starts a simulated WeCom; the test's end ends it.
func StartWeCom(t testing.TB) WeCom {
	t.Helper()
	sim, err := wecomsim.Open(filepath.Join(t.TempDir(), "wecom.db"), clock.Real)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
	return WeCom{Client: wecomsim.NewClient(server.URL), URL: server.URL}
}

// Company makes a company in the simulated WeCom and in the product: its settings, the archive's secret, and the key of version 1.
func (r *Rig) Company(w WeCom, id archive.CorpID) wecomsim.Corp {
	r.Helper()
	ctx := r.Context()
	corp, err := w.AddCorp(ctx, wecomsim.NewCorp{Corp: string(id), Name: string(id), Secrets: []wecomsim.Secret{{Kind: wecomsim.KindArchive, Value: "archive-of-" + string(id)}}})
	r.OK(err)
	r.OK(r.Ledger(r.Config(Operator)).PutCorp(ctx, ledger.Corp{ID: id, Name: string(id)}))
	r.OK(r.Secrets(r.Config(Operator)).PutSecret(ctx, id, secrets.Archive, secrets.NewValue("archive-of-"+string(id))))
	for _, k := range corp.Keys {
		r.HoldKey(id, k)
	}
	return corp
}

// HoldKey gives the product a private key that the simulator made.
func (r *Rig) HoldKey(id archive.CorpID, k wecomsim.Key) *rsa.PrivateKey {
	r.Helper()
	key, err := secrets.ParseKey([]byte(k.Private))
	r.OK(err)
	r.OK(r.Secrets(r.Config(Operator)).AddKey(r.Context(), id, archive.KeyVersion(k.Version), key))
	return key
}
