package financesdk_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/financesdk"
)

// An environment that meets one corp after the other keeps the children of the last few only; a corp that each invocation asks for keeps its own.
func TestLibrariesThatNobodyAsksForArePutAway(t *testing.T) {
	lib := standin(t, "")
	pool := financesdk.NewPool(slog.New(slog.DiscardHandler), func(corp archive.CorpID) financesdk.Config {
		return financesdk.Config{Lib: lib, Corp: corp}
	})
	t.Cleanup(pool.Close)
	ask := func(corp archive.CorpID) *financesdk.SDK {
		sdk, err := pool.Of(t.Context(), corp)
		if err != nil {
			t.Fatal(err)
		}
		return sdk
	}
	always := ask("wwalways")
	child := always.Child()
	var others []*financesdk.SDK
	for i := range 8 {
		pool.Wake(t.Context())
		others = append(others, ask(archive.CorpID(fmt.Sprintf("ww%d", i))))
		if ask("wwalways") != always || always.Child() != child {
			t.Fatalf("after %d invocations the corp that is asked for each time has another library", i+1)
		}
	}
	pool.Wake(t.Context())
	held := 0
	for _, sdk := range others {
		if sdk.Child() != 0 {
			held++
		}
	}
	if held != 2 {
		t.Errorf("%d of 8 libraries that were asked for once are held, want those of the last 2 invocations", held)
	}
	results, err := ask("ww0").Decrypt(t.Context(), items(3, nil))
	if err != nil {
		t.Fatalf("a library that was put away: %v", err)
	}
	want(t, results, 3, nil)
}

func TestAHostsPathMayHoldBlanks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "my projects")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string][]string{
		path:                     {path},
		"/opt/simsdk -script /x": {"/opt/simsdk", "-script", "/x"},
		"":                       nil,
	} {
		if got := financesdk.HostOf(setting); !slices.Equal(want, got) {
			t.Errorf("%q is read as %q, want %q", setting, got, want)
		}
	}
}
