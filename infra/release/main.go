// Command release packs what was built into one zip that deploys without Go: the functions in the layout of sam build, the template that
// names them, the operator's commands, checksums, and a bill of materials read out of the programs themselves. The same inputs and the
// same SOURCE_DATE_EPOCH give the same bytes. It builds nothing, and it knows no network.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string, lookup func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	stage := flags.String("stage", "", "folder with what was built: <LogicalId>/bootstrap for each function, and any other files")
	template := flags.String("template", "template.yaml", "the template that sam build reads")
	version := flags.String("version", "", "what the release is called, for example 1.2.0")
	to := flags.String("out", "", "the zip to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *stage == "" || *version == "" || *to == "" {
		return errors.New("-stage, -version and -out are needed: make release")
	}
	seconds, err := strconv.ParseInt(lookup("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return errors.New("SOURCE_DATE_EPOCH must hold the seconds since 1970 that all files are dated to: make release takes the last commit's")
	}
	stamp := time.Unix(seconds, 0).UTC().Truncate(2 * time.Second) // a zip's own grain
	source, err := os.ReadFile(*template)
	if err != nil {
		return fmt.Errorf("read the template: %w", err)
	}
	built, functions := deployable(string(source))
	for _, f := range functions {
		if _, err := os.Stat(filepath.Join(*stage, f, "bootstrap")); err != nil {
			return fmt.Errorf("function %s was not built: %w", f, err)
		}
	}
	files, err := collect(*stage)
	if err != nil {
		return err
	}
	files["template.yaml"] = file{content: []byte(built)}
	bill, modules, err := materials(files, *version, stamp)
	if err != nil {
		return err
	}
	files["sbom.cdx.json"] = file{content: bill}
	files["SHA256SUMS"] = file{content: sums(files)}
	raw, err := pack("wecomvault-"+*version, files, stamp)
	if err == nil {
		err = os.WriteFile(*to, raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the release: %w", err)
	}
	fmt.Fprintf(out, "%s: %d functions, %d files, %d modules in the bill of materials, %d bytes, sha256 %x\n",
		*to, len(functions), len(files), modules, len(raw), sha256.Sum256(raw))
	return nil
}

var functionHead = regexp.MustCompile(`^  ([A-Z][A-Za-z]*Function):$`)

// deployable rewrites the template for what is built already: each function's code is in the folder of its logical id, and nothing is left to
// build. It also returns the functions' logical ids.
func deployable(source string) (text string, functions []string) {
	var out strings.Builder
	current := ""
	for _, line := range strings.SplitAfter(source, "\n") {
		bare := strings.TrimRight(line, "\n")
		switch {
		case functionHead.MatchString(bare):
			current = functionHead.FindStringSubmatch(bare)[1]
		case strings.HasPrefix(bare, "  ") && !strings.HasPrefix(bare, "   ") && strings.TrimSpace(bare) != "":
			current = ""
		}
		if bare == "      BuildMethod: makefile" || bare == "    CodeUri: ." {
			continue
		}
		out.WriteString(line)
		if current != "" && bare == "    Properties:" {
			out.WriteString("      CodeUri: " + current + "\n")
			functions = append(functions, current)
			current = ""
		}
	}
	return out.String(), functions
}

// file is one entry of the zip.
type file struct {
	content []byte
	program bool
}

// collect reads the staged folder, by path with slashes.
func collect(stage string) (map[string]file, error) {
	files := map[string]file{}
	root := os.DirFS(stage)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := fs.ReadFile(root, name)
		files[name] = file{content: content, program: info.Mode()&0o111 != 0}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what was built: %w", err)
	}
	return files, nil
}

func names(files map[string]file) []string {
	out := make([]string, 0, len(files))
	for name := range files {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// sums are the files' digests in the form of sha256sum.
func sums(files map[string]file) []byte {
	var out bytes.Buffer
	for _, name := range names(files) {
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(files[name].content), name)
	}
	return out.Bytes()
}

func pack(folder string, files map[string]file, stamp time.Time) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names(files) {
		h := &zip.FileHeader{Name: folder + "/" + name, Method: zip.Deflate, Modified: stamp}
		h.SetMode(0o644)
		if files[name].program {
			h.SetMode(0o755)
		}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write(files[name].content)
		}
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
