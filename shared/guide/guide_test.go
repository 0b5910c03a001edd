package guide

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// T15: each page is there in each language, whole by itself, and links pages that are there.
func TestAPageLoadsNothingAndItsLinksLeadToPages(t *testing.T) {
	english, err := Names("en")
	if err != nil || len(english) < 10 || !slices.Contains(english, "index") {
		t.Fatalf("%v %v", english, err)
	}
	for _, l := range languages {
		names, err := Names(l.Folder)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(english, names); diff != "" {
			t.Errorf("pages of %s (-en +%s):\n%s", l.Folder, l.Folder, diff)
		}
		for _, name := range names {
			page, ok, err := Page(l.Folder, name)
			if err != nil || !ok {
				t.Fatalf("%s/%s: %t %v", l.Folder, name, ok, err)
			}
			for _, m := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllSubmatch(page, -1) {
				to := path.Join(l.Folder, string(m[1]))
				if _, there, err := Page(path.Dir(to), path.Base(to)); err != nil || !there {
					t.Errorf("%s/%s links %s: %v", l.Folder, name, m[1], err)
				}
			}
			for _, out := range []string{"<script", "url(", "http://", "https://", "raw HTML omitted", "[", "**"} {
				if body := page[bytes.Index(page, []byte("<body>")):]; bytes.Contains(body, []byte(out)) {
					t.Errorf("%s/%s holds %s", l.Folder, name, out)
				}
			}
			if !bytes.Contains(page, []byte(`<html lang="`+l.Folder+`"`)) || bytes.Count(page, []byte("<h1>")) != 1 {
				t.Errorf("%s/%s lacks its language or its heading", l.Folder, name)
			}
		}
	}
}

func TestATextBecomesAPage(t *testing.T) {
	title, body, err := bodyOf([]byte("# A & B (R1)\n\nOne **two** *three* `Re:` <i>.\n\n- a\n- [b](x-y.md), [all](README.md)\n"))
	if err != nil || title != "A & B (R1)" {
		t.Errorf("%q %v", title, err)
	}
	for _, want := range []string{"<h1>A &amp; B (R1)</h1>", "<strong>two</strong> <em>three</em> <code>Re:</code>", `<a href="x-y">b</a>, <a href="index">all</a>`, "<li>a</li>"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	if strings.Contains(string(body), "<i>") {
		t.Errorf("HTML of the text is in the page: %s", body)
	}
	for _, text := range []string{"", "no heading\n", "## H2\n"} {
		if _, body, err := bodyOf([]byte(text)); err == nil {
			t.Errorf("%q becomes %s", text, body)
		}
	}
}

func TestThereAreNoOtherPages(t *testing.T) {
	for _, x := range [][2]string{{"en", "nothing"}, {"fr", "index"}, {"", "index"}, {"en", ""}, {"en", ".."}, {"en", "../zh-Hans/index"}, {"..", "guide"}, {"en", "index.md"}, {"en", "a\x00b"}} {
		if page, ok, err := Page(x[0], x[1]); ok || err != nil {
			t.Errorf("%q: %.60s %v", x, page, err)
		}
	}
}
