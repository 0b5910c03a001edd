package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// T15: the pages that are served are those that docs/guide says: after a change of the text, make guide.
func TestThePagesAreOfTheTextThatThereIs(t *testing.T) {
	want, err := render(os.DirFS("../../docs/guide"))
	if err != nil {
		t.Fatal(err)
	}
	kept := os.DirFS("../../shared/guide/pages")
	err = fs.WalkDir(kept, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && want[name] == nil {
			t.Errorf("%s is of no text", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range want {
		have, err := fs.ReadFile(kept, name)
		if err != nil || !bytes.Equal(have, page) {
			t.Errorf("%s is not as its text is now: run make guide (%v)", name, err)
		}
	}
}

func TestAPageLoadsNothingAndItsLinksLeadToPages(t *testing.T) {
	pages, err := render(os.DirFS("../../docs/guide"))
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range pages {
		for _, m := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllSubmatch(page, -1) {
			to := filepath.ToSlash(filepath.Join(filepath.Dir(name), string(m[1]))) + ".html"
			if pages[to] == nil {
				t.Errorf("%s links %s", name, m[1])
			}
		}
		if bytes.Contains(page, []byte("<script")) || bytes.Contains(page, []byte("url(")) || bytes.Contains(page, []byte("http://")) || bytes.Contains(page, []byte("https://")) {
			t.Errorf("%s is not whole by itself", name)
		}
	}
}

func TestOnlyTheMarksThatAreKnownAreTaken(t *testing.T) {
	title, body, err := bodyOf("# A & B (R1)\n\nOne **two** *three* <i> `Re:`.\n\n- a\n- [b](x-y.md)\n\nEnd.\n")
	if want := "<h1>A &amp; B (R1)</h1>\n<p>One <strong>two</strong> <em>three</em> &lt;i&gt; <code>Re:</code>.</p>\n<ul>\n<li>a</li>\n<li><a href=\"x-y\">b</a></li>\n</ul>\n<p>End.</p>\n"; err != nil || string(body) != want || title != "A & B (R1)" {
		t.Errorf("%q %q %v", title, body, err)
	}
	for _, text := range []string{"", "no heading\n", "# H\n\n## H2\n", "# H\n\n> quote\n", "# H\n\n1. one\n", "# H\n\n| a |\n", "# H\n\n`code\n", "# H\n\n**open\n", "# H\n\n[x](https://elsewhere.example)\n", "# H\n\n    code\n"} {
		if _, body, err := bodyOf(text); err == nil {
			t.Errorf("%q becomes %s", text, strings.TrimSpace(string(body)))
		}
	}
}
