package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// garbledFiles: damage to local files is said and never guessed over; a copy of the file mends it.
func garbledFiles(ctx context.Context, s *scene) error {
	if err := s.shut(); err != nil {
		return err
	}
	s.breaks("one file after another of the data folder")
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	garbled := func(b []byte) []byte {
		out := bytes.Clone(b)
		for i := len(out) / 3; i < 2*len(out)/3; i++ {
			out[i] ^= 0x5a
		}
		return out
	}
	n := 0
	for _, c := range []struct {
		file, how string
		damage    func([]byte) []byte
	}{
		{"aws.db", "cut", cut}, {"aws.db", "garbled", garbled}, {"aws.db", "empty but for a line", func([]byte) []byte { return []byte("not a store\n") }},
		{"wecomsim.db", "cut", cut}, {"wecomsim.db", "garbled", garbled}, {"clock", "garbled", garbled},
	} {
		path := filepath.Join(s.data, c.file)
		whole, err := os.ReadFile(path) // #nosec G304 -- a file of our copy
		if err != nil {
			return err
		}
		broken := c.damage(whole)
		if err := replace(path, broken); err != nil {
			return err
		}
		err = s.open(ctx)
		if err == nil {
			return errors.Join(fmt.Errorf("%s is %s, and the archive opens over it", c.file, c.how), s.shut())
		}
		if err := s.shut(); err != nil {
			return err
		}
		if !strings.Contains(err.Error(), c.file) && !strings.Contains(err.Error(), "simulated WeCom") {
			return fmt.Errorf("%s is %s, and what is said does not name it: %w", c.file, c.how, err)
		}
		s.does("%s %s: %s", c.file, c.how, short(err))
		left, err := os.ReadFile(path) // #nosec G304 -- the same
		if err != nil {
			return err
		}
		if !bytes.Equal(left, broken) {
			return fmt.Errorf("%s was %s, and was written to", c.file, c.how)
		}
		if err := replace(path, whole); err != nil { // the copy put back
			return err
		}
		n++
	}
	return s.garbledObjects(ctx, n)
}

// replace puts a new file in the place of another: this process may still hold a lock on the old one, which it could not open.
func replace(path string, content []byte) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600) // #nosec G703 -- a file of our copy
}

func short(err error) string {
	text := err.Error()
	if i := strings.LastIndexByte(text[:min(len(text), 160)], ' '); len(text) > 160 && i > 0 {
		return text[:i] + " …"
	}
	return text
}

// garbledObjects garbles one batch, one segment and one attachment where the local S3 keeps them.
func (s *scene) garbledObjects(ctx context.Context, n int) error {
	whole, batch := map[string][]byte{}, ""
	for _, folder := range []string{"batches", "segments", "media"} {
		root := filepath.Join(s.data, "s3", "objects")
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.Contains(path, "/"+folder+"/") {
				return err
			}
			if batch != "" && strings.Contains(path, batch) {
				return nil // what was made of a batch that is altered itself is not looked at
			}
			if _, sum, found := strings.Cut(path, "-sha256="); found {
				batch, _, _ = strings.Cut(sum, ".")
			}
			content, err := os.ReadFile(path) // #nosec G304 G122 -- a file of our copy
			if err != nil {
				return err
			}
			whole[path] = content
			broken := bytes.Clone(content)
			broken[len(broken)/2] ^= 0x5a
			return errors.Join(os.WriteFile(path, broken, 0o600), fs.SkipAll) // #nosec G703 G122 -- the same
		})
		if err != nil && !errors.Is(err, fs.SkipAll) {
			return err
		}
	}
	if len(whole) != 3 {
		return fmt.Errorf("%d objects were found to be garbled, want 3", len(whole))
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	code, out, err := s.vaultctl(ctx, "fsck")
	if err != nil {
		return err
	}
	found := kinds(out)
	if code == 0 || found["batch-altered"] != 1 || found["segment-altered"] != 1 || found["media-altered"] != 1 {
		return fmt.Errorf("fsck names %v", found)
	}
	if err := s.shut(); err != nil {
		return err
	}
	s.does("the files are put back from a copy")
	for path, content := range whole {
		if err := os.WriteFile(path, content, 0o600); err != nil { // #nosec G703 -- the same
			return err
		}
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	if _, err := s.must(ctx, "redrive", "-corp", string(s.corps[0]), "-reason", "missing"); err != nil {
		return err
	}
	if _, err := s.must(ctx, "redrive", "-corp", string(s.corps[len(s.corps)-1]), "-reason", "missing"); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	if err := s.sound(ctx); err != nil {
		return err
	}
	s.recovered("%d damaged files and %d damaged objects were each named, none was written to; with the copies back every message is as before", n, len(whole))
	return nil
}
