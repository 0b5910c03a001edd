package financesdk_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/wecomvault/wecomvault/shared/financesdk"
)

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
