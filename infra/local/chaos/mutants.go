package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// mutantFiles are the mutations: each a text that is found exactly once in the product, and what takes its place. One that is not found is an
// error, so that none goes stale in silence.
//
//go:embed mutants/*.txt
var mutantFiles embed.FS

// mutant is a fault put into the product on purpose, which the harness must notice.
type mutant struct {
	name  string
	what  string
	build string      // the function that is built with it
	play  string      // which lines of the fault table are played: "none", "duplicates", or a mode and the beginning of a site
	file  string      // in the repository
	edits [][2]string // old text, new text
}

// parseMutant reads a mutation's file.
func parseMutant(name, text string) (mutant, error) {
	m := mutant{name: name}
	head, rest, found := strings.Cut(text, "<<<<\n")
	for _, l := range strings.Split(strings.TrimSpace(head), "\n") {
		key, value, _ := strings.Cut(l, ": ")
		field, ok := map[string]*string{"what": &m.what, "build": &m.build, "play": &m.play, "file": &m.file}[key]
		if !ok {
			return m, fmt.Errorf("mutant %s: %q is no field", name, key)
		}
		*field = value
	}
	for found {
		var edit string
		var whole bool
		if edit, rest, whole = strings.Cut(rest, ">>>>\n"); !whole {
			return m, fmt.Errorf("mutant %s: an edit has no end", name)
		}
		was, becomes, whole := strings.Cut(edit, "====\n")
		if !whole {
			return m, fmt.Errorf("mutant %s: an edit has no middle", name)
		}
		m.edits = append(m.edits, [2]string{strings.TrimSuffix(was, "\n"), strings.TrimSuffix(becomes, "\n")})
		_, rest, found = strings.Cut(rest, "<<<<\n")
	}
	if m.what == "" || m.build == "" || m.play == "" || m.file == "" || len(m.edits) == 0 {
		return m, fmt.Errorf("mutant %s: a field is missing", name)
	}
	return m, nil
}

func mutants() ([]mutant, error) {
	names, err := fs.Glob(mutantFiles, "mutants/*.txt")
	if err != nil {
		return nil, err
	}
	var out []mutant
	for _, n := range names {
		b, err := mutantFiles.ReadFile(n)
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(strings.TrimSuffix(filepath.Base(n), ".txt"), string(b))
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// apply makes the edits. Each text must be there exactly once.
func (m mutant) apply(source []byte) ([]byte, error) {
	for _, e := range m.edits {
		if n := bytes.Count(source, []byte(e[0])); n != 1 {
			return nil, fmt.Errorf("mutant %s: its text is %d times in %s, and must be there once: %q", m.name, n, m.file, e[0])
		}
		source = bytes.Replace(source, []byte(e[0]), []byte(e[1]), 1)
	}
	return source, nil
}

// built makes a folder of programs in which one function has the mutation. The tree itself is never touched.
func (m mutant) built(ctx context.Context, root, binaries, dir string) error {
	source, err := os.ReadFile(filepath.Join(root, m.file)) // #nosec G304 -- of the repository
	if err != nil {
		return fmt.Errorf("mutant %s: %w", m.name, err)
	}
	if source, err = m.apply(source); err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(binaries)); err != nil {
		return fmt.Errorf("copy the programs: %w", err)
	}
	changed, overlay := dir+".go", dir+".overlay.json"
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, m.file): changed}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(changed, source, 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		return fmt.Errorf("write a mutant: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", // #nosec G204 -- the repository's own function
		"-o", filepath.Join(dir, "functions", m.build, "bootstrap"), "./functions/"+m.build)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build mutant %s: %w: %s", m.name, err, text)
	}
	return nil
}

// mutantPatience is how long a step of a mutant's day may take: one that never ends is noticed too.
const mutantPatience = 50 * time.Second

// killed plays a mutant's lines and says by what the harness noticed it; "" if it did not.
func (o options) killed(ctx context.Context, m mutant, root string, base baseline) (by string, err error) {
	whole := o.folders.Binaries
	o.folders.Binaries = filepath.Join(o.folders.Data, "mutant-"+m.name)
	if err := m.built(ctx, root, whole, o.folders.Binaries); err != nil {
		return "", err
	}
	g := group{name: "played-" + m.name}
	switch m.play {
	case "none", "duplicates":
	default:
		what, begin, _ := strings.Cut(m.play, " ")
		for _, e := range base.entries() {
			if string(e.Mode) == what && strings.HasPrefix(e.Site, begin) {
				g.entries = append(g.entries, e)
			}
		}
		if len(g.entries) == 0 {
			return "", fmt.Errorf("mutant %s: no line of the fault table begins with %q", m.name, m.play)
		}
	}
	r := o.group(ctx, base, g, g.name, func(r *run) {
		r.Patience, r.Duplicates = mutantPatience, m.play == "duplicates"
	})
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case r.err != nil:
		last := strings.Split(strings.TrimSpace(r.output.String()), "\n")
		return "the run fails: " + strings.TrimSpace(last[len(last)-1]), nil
	case len(r.diff) > 0:
		return fmt.Sprintf("%d differences, the first: %.110s", len(r.diff), r.diff[0].String()), nil
	case len(r.unhit) > 0:
		return "", fmt.Errorf("mutant %s: its line was not played, so nothing is shown", m.name)
	}
	return "", nil
}

// mutantsNoticed plays each mutant. One that is not noticed is an error.
func (o options) mutantsNoticed(ctx context.Context, out io.Writer) error {
	root := filepath.Dir(o.folders.Template)
	all, err := mutants()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(m mutant) bool { return !strings.HasPrefix(m.name, o.only) })
	base, err := o.tableBase(ctx, io.Discard)
	if err != nil {
		return err
	}
	results, failed := make([]string, len(all)), make([]error, len(all))
	var each sync.WaitGroup
	room := make(chan struct{}, max(1, o.jobs/2))
	began := clock.Real()
	line := progress.New(os.Stderr, "mutants", "mutants", int64(len(all)))
	defer line.Done()
	for i, m := range all {
		each.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			results[i], failed[i] = o.killed(ctx, m, root, base)
			line.Add(1)
			if err := os.RemoveAll(filepath.Join(o.folders.Data, "mutant-"+m.name)); err != nil {
				failed[i] = errors.Join(failed[i], err)
			}
		})
	}
	each.Wait()
	line.Done()
	fmt.Fprintf(out, "mutants, in %v\n", clock.Real().Sub(began).Round(time.Second))
	for i, m := range all {
		word := "NOTICED "
		if results[i] == "" {
			word = "SURVIVES"
			if failed[i] == nil {
				failed[i] = fmt.Errorf("mutant %s survives: %s", m.name, m.what)
			}
		}
		fmt.Fprintf(out, "  %s %-27s %s\n           by %s\n", word, m.name, m.what, results[i])
	}
	return errors.Join(failed...)
}
