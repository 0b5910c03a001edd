package financesdk_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/financesdk/sdkhost"
)

// The test binary is its own child, as the functions are.
func TestMain(m *testing.M) {
	sdkhost.RunIfChild()
	os.Exit(m.Run())
}

// need skips for want of a tool on a laptop, and fails where CI is set.
func need(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is needed: %v", what, err)
	}
	t.Skipf("%s is missing: %v", what, err)
}

var standinBuild struct {
	sync.Once
	path string
	err  error
}

// standin copies the stand-in library into a folder of the test's own, beside the script.
func standin(t *testing.T, script string) string {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	need(t, "gcc, which builds the stand-in library,", err)
	standinBuild.Do(func() {
		var dir string
		if dir, standinBuild.err = os.MkdirTemp("", "standin-"); standinBuild.err != nil {
			return
		}
		standinBuild.path = filepath.Join(dir, "standin.so")
		out, err := exec.Command(cc, "-shared", "-fPIC", "-O1", "-o", standinBuild.path, "testdata/standin/standin.c", "-ldl").CombinedOutput()
		if err != nil {
			standinBuild.err = errors.New(string(out))
		}
	})
	if standinBuild.err != nil {
		t.Fatalf("build the stand-in: %v", standinBuild.err)
	}
	raw, err := os.ReadFile(standinBuild.path)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "standin.so")
	write(t, path, string(raw))
	write(t, path+".script", script)
	return path
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sealed is a message in the stand-in's encoding.
func sealed(key, text string) string {
	out := []byte(text)
	for i := range out {
		out[i] ^= key[i%len(key)]
	}
	return "standin-v1:" + hex.EncodeToString(out)
}

// upstream is a server in WeCom's place that must not be asked unless a test gives it something to say.
func upstream(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	if h == nil {
		h = func(w http.ResponseWriter, r *http.Request) {
			t.Errorf("WeCom was asked for %s", r.URL.Path)
			w.WriteHeader(http.StatusTeapot)
		}
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func token(context.Context, bool) (string, error) { return "real-token", nil }

// start starts an SDK on the stand-in with the script.
func start(t *testing.T, script string, change ...func(*financesdk.Config)) *financesdk.SDK {
	t.Helper()
	cfg := financesdk.Config{
		Lib: standin(t, script), Corp: "wwtest", Upstream: upstream(t, nil), Token: token,
		Timeout: 2 * time.Second, HangAfter: time.Second,
	}
	for _, c := range change {
		c(&cfg)
	}
	return started(t, cfg)
}

func started(t *testing.T, cfg financesdk.Config) *financesdk.SDK {
	t.Helper()
	s, err := financesdk.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustFail(t *testing.T, err error) *financesdk.Error {
	t.Helper()
	var e *financesdk.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no *financesdk.Error", err)
	}
	return e
}
