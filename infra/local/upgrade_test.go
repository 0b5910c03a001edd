package main_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The whole of it, over an older version's programs, is make upgrade; here the same version is deployed over itself.
func TestADeploymentInTheMiddleOfABatchLosesNothing(t *testing.T) {
	slow(t)
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "upgrade")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./upgrade").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "-old", dir, "-binaries", dir, "-template", "../../template.yaml", "-data", t.TempDir(), "-n", "600", "-times", "3", "-patience", "1m")
	code, said := exitCode(t, cmd)
	if code != 0 || strings.Count(said, "is deployed") != 3 || !strings.Contains(said, " 0 findings") {
		t.Errorf("exit %d\n%s", code, said)
	}
}
