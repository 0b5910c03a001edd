// Package guide has the guide's pages as people read them: what each report says and what to do about it, in each language, each page whole and with nothing to load.
// It holds nothing of any company. The pages are made of docs/guide by infra/guide.
package guide

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed pages
var pages embed.FS

// ContentType is every page's.
const ContentType = "text/html; charset=utf-8"

// Policy is a Content-Security-Policy that every page keeps: it may style itself, and do and load nothing.
const Policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page is the page of a language, en or zh-Hans, with a name such as missing-mobile, or index. ok is false if there is none.
func Page(language, name string) (page []byte, ok bool, err error) {
	if path := "pages/" + language + "/" + name + ".html"; fs.ValidPath(path) && !strings.Contains(language+name, "/") {
		page, err = pages.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("read a page of the guide: %w", err)
		}
		return page, true, nil
	}
	return nil, false, nil
}

// Names lists the pages of a language.
func Names(language string) ([]string, error) {
	files, err := fs.Glob(pages, "pages/"+language+"/*.html")
	if err != nil {
		return nil, fmt.Errorf("list the guide: %w", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f[strings.LastIndexByte(f, '/')+1:], ".html")
	}
	return files, nil
}
