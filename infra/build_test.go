package infra

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestBuiltFunctionsFitLambda reads the header of every program that sam built into the folder that SAM_BUILD names. Programs that
// load Tencent's library at run time are dynamic, since only the system's loader can do that; all others need nothing but a kernel.
func TestBuiltFunctionsFitLambda(t *testing.T) {
	dir := os.Getenv("SAM_BUILD")
	if dir == "" {
		t.Skip("SAM_BUILD names no folder with what sam built; infra/ci/validate-template.sh sets it")
	}
	loadsLibrary := []string{"fetch", "process", "media"}
	for _, f := range load(t, nil).Functions {
		machine := map[string]elf.Machine{"x86_64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[f.Architecture]
		program, err := elf.Open(filepath.Join(dir, f.LogicalID, "bootstrap"))
		if err != nil {
			t.Errorf("%s: %v", f.LogicalID, err)
			continue
		}
		if program.Machine != machine {
			t.Errorf("%s is built for %v, the template says %s", f.LogicalID, program.Machine, f.Architecture)
		}
		dynamic := slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		if want := slices.Contains(loadsLibrary, folder(f)); dynamic != want {
			t.Errorf("%s is dynamic: %v, want %v", f.LogicalID, dynamic, want)
		}
		if want := map[bool]string{true: "x86_64", false: "arm64"}[slices.Contains(loadsLibrary, folder(f))]; f.Architecture != want {
			t.Errorf("%s runs on %s: Tencent's library is used on x86_64 only, and all else is cheaper on arm64", f.LogicalID, f.Architecture)
		}
		// A version that the system's C library must have would tie the program to the machine that built it.
		if needs, err := program.DynamicVersionNeeds(); err == nil && len(needs) > 0 {
			t.Errorf("%s asks for %v", f.LogicalID, needs)
		}
		if err := program.Close(); err != nil {
			t.Error(err)
		}
	}
}
