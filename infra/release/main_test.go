package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

const source = "../../template.yaml"

func TestReleasedTemplateIsTheSameButForWhereTheCodeIs(t *testing.T) {
	raw, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	text, functions := deployable(string(raw))
	whole := map[string]string{"Callbacks": "true", "ApiIssuer": "https://login.example"} // with every function
	before, err := template.Parse("template.yaml", raw, whole)
	if err != nil {
		t.Fatal(err)
	}
	after, err := template.Parse("template.yaml", []byte(text), whole)
	if err != nil {
		t.Fatal(err)
	}
	if len(functions) != len(before.Functions) || len(functions) < 9 {
		t.Errorf("%d functions of %d were found: %v", len(functions), len(before.Functions), functions)
	}
	for _, f := range after.Functions {
		if f.CodeURI != f.LogicalID || f.BuildMethod != "" {
			t.Errorf("%s has its code in %q and is built by %q", f.LogicalID, f.CodeURI, f.BuildMethod)
		}
	}
	same := cmp.Options{
		cmpopts.IgnoreFields(template.Function{}, "CodeURI", "BuildMethod"),
		cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), "Line") }, cmp.Ignore()),
		cmp.FilterPath(func(p cmp.Path) bool {
			key, ok := p.Last().(cmp.MapIndex)
			return ok && (key.Key().String() == "CodeUri" || key.Key().String() == "BuildMethod")
		}, cmp.Ignore()),
	}
	if diff := cmp.Diff(before, after, same); diff != "" {
		t.Error(diff)
	}
}

var built = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "program")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, "../local/wecomsim").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(path)
})

// staged is a folder in which a small program of this module stands for each of two functions.
func staged(t *testing.T) string {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range []string{"FetchFunction", "ProcessFunction"} {
		if err := os.Mkdir(filepath.Join(dir, f), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f, "bootstrap"), program, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func release(t *testing.T, stage, epoch string) (map[string][]byte, []byte, error) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "release.zip")
	raw, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	// The template of the two functions that are staged.
	short := filepath.Join(t.TempDir(), "template.yaml")
	text := string(raw)
	if third := strings.Index(text, "  MediaFunction:\n"); third > 0 {
		text = text[:third]
	}
	if err := os.WriteFile(short, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err = run([]string{"-stage", stage, "-template", short, "-version", "1.2.3", "-out", to}, func(string) string { return epoch }, io.Discard)
	if err != nil {
		return nil, nil, err
	}
	zipped, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = content
		if program := strings.HasSuffix(f.Name, "/bootstrap"); (f.Mode()&0o111 != 0) != program {
			t.Errorf("%s has mode %v", f.Name, f.Mode())
		}
	}
	return files, zipped, nil
}

func TestBillNamesEveryModuleThatIsInAProgramAndItsChecksum(t *testing.T) {
	files, _, err := release(t, staged(t), "1760000000")
	if err != nil {
		t.Fatal(err)
	}
	var b bom
	if err := json.Unmarshal(files["wecomvault-1.2.3/sbom.cdx.json"], &b); err != nil {
		t.Fatal(err)
	}
	named := map[string]component{}
	for _, c := range b.Components {
		if _, twice := named[c.Ref]; twice || c.Ref == "" {
			t.Errorf("%q is named twice", c.Ref)
		}
		named[c.Ref] = c
	}
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil || len(info.Deps) == 0 {
		t.Fatalf("the program has no modules: %v", err)
	}
	if _, ok := named["pkg:golang/std@"+strings.TrimPrefix(info.GoVersion, "go")]; !ok {
		t.Errorf("Go %s itself is not named", info.GoVersion)
	}
	for _, d := range info.Deps {
		c, ok := named["pkg:golang/"+d.Path+"@"+d.Version]
		if !ok || c.Properties[0].Value != d.Sum {
			t.Errorf("module %s %s is named as %+v", d.Path, d.Version, c)
		}
	}
	for _, d := range b.Dependencies {
		for _, on := range d.DependsOn {
			if _, ok := named[on]; !ok {
				t.Errorf("%s depends on %s, which the bill does not name", d.Ref, on)
			}
		}
	}
}

func TestChecksumsAreThoseOfTheFiles(t *testing.T) {
	files, _, err := release(t, staged(t), "1760000000")
	if err != nil {
		t.Fatal(err)
	}
	text := string(files["wecomvault-1.2.3/SHA256SUMS"])
	for name, content := range files {
		short := strings.TrimPrefix(name, "wecomvault-1.2.3/")
		if line := fmt.Sprintf("%x  %s\n", sha256.Sum256(content), short); short != "SHA256SUMS" && !strings.Contains(text, line) {
			t.Errorf("%s is not in the checksums", short)
		}
	}
}

func TestTwoReleasesOfTheSameAreTheSame(t *testing.T) {
	stage := staged(t)
	_, first, err := release(t, stage, "1760000000")
	if err != nil {
		t.Fatal(err)
	}
	if _, second, err := release(t, stage, "1760000000"); err != nil || !bytes.Equal(first, second) {
		t.Errorf("they differ: %v", err)
	}
	if _, later, err := release(t, stage, "1770000000"); err != nil || bytes.Equal(first, later) {
		t.Errorf("the time has no effect: %v", err)
	}
}

func TestReleaseWithoutAFunctionOrATimeIsNone(t *testing.T) {
	stage := staged(t)
	if _, _, err := release(t, stage, "yesterday"); err == nil {
		t.Error("a release without a time was made")
	}
	if err := os.Remove(filepath.Join(stage, "ProcessFunction", "bootstrap")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := release(t, stage, "1760000000"); err == nil || !strings.Contains(err.Error(), "ProcessFunction") {
		t.Errorf("error %v", err)
	}
}
