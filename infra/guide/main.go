// Command guide renders the guide's pages, which people read and write in docs/guide, for package shared/guide: each page whole, with nothing to load. It knows the few
// marks that the guide needs, and refuses all others.
//
//	guide -from docs/guide -to shared/guide/pages
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	from, to := flag.String("from", "docs/guide", "folder of the guide's text"), flag.String("to", "shared/guide/pages", "folder of the pages")
	flag.Parse()
	if err := write(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "guide:", err)
		os.Exit(1)
	}
}

func write(from, to string) error {
	pages, err := render(os.DirFS(from))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("clear %s: %w", to, err)
	}
	for name, page := range pages {
		path := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		if err := os.WriteFile(path, page, 0o600); err != nil {
			return fmt.Errorf("write a page: %w", err)
		}
	}
	return nil
}
