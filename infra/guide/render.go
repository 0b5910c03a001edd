package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	"html/template"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// languages are the guide's, with what a page calls each.
var languages = []struct{ Folder, Name, Index string }{{"en", "English", "All reports"}, {"zh-Hans", "简体中文", "全部报告"}}

// view is a page as the template takes it.
type view struct {
	Language, Title, Index string
	Name                   string // of the page, without its folder
	Body                   template.HTML
	Others                 []other
}

// other is the same page in another language.
type other struct{ Language, Name, Link string }

// render is the pages by name: "en/missing-mobile.html", and "en/index.html" of each README.md. Each page is there in each language.
func render(text fs.FS) (map[string][]byte, error) {
	pages := map[string][]byte{}
	for _, l := range languages {
		files, err := fs.Glob(text, l.Folder+"/*.md")
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("no text in %s: %w", l.Folder, err)
		}
		for _, file := range files {
			raw, err := fs.ReadFile(text, file)
			if err != nil {
				return nil, err
			}
			v := view{Language: l.Folder, Index: l.Index, Name: pageName(file)}
			if v.Title, v.Body, err = bodyOf(string(raw)); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			for _, x := range languages {
				if _, err := fs.Stat(text, x.Folder+"/"+path.Base(file)); err != nil {
					return nil, fmt.Errorf("%s has no page in %s: %w", file, x.Folder, err)
				}
				if x.Folder != l.Folder {
					v.Others = append(v.Others, other{x.Folder, x.Name, "../" + x.Folder + "/" + v.Name})
				}
			}
			var out bytes.Buffer
			if err := pageTemplate.Execute(&out, v); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			pages[l.Folder+"/"+v.Name+".html"] = out.Bytes()
		}
	}
	return pages, nil
}

func pageName(file string) string {
	if name := strings.TrimSuffix(path.Base(file), ".md"); name != "README" {
		return name
	}
	return "index"
}

// bodyOf is a text of a heading, paragraphs and lists as HTML, and its heading.
func bodyOf(text string) (title string, body template.HTML, err error) {
	var out strings.Builder
	list := false
	end := func() {
		if list {
			out.WriteString("</ul>\n")
		}
		list = false
	}
	for n, line := range strings.Split(text, "\n") {
		item, isItem := strings.CutPrefix(line, "- ")
		heading, isHeading := strings.CutPrefix(line, "# ")
		var words string
		switch {
		case strings.TrimSpace(line) == "":
			end()
			continue
		case isHeading && title == "" && n == 0:
			title = heading
			fmt.Fprintf(&out, "<h1>%s</h1>\n", html.EscapeString(heading))
			continue
		case isItem:
			words, err = inline(item)
			if !list {
				out.WriteString("<ul>\n")
			}
			list = true
			fmt.Fprintf(&out, "<li>%s</li>\n", words)
		case strings.ContainsAny(line[:1], "#>|+*~=_ \t0123456789") && !strings.HasPrefix(line, "**"):
			err = fmt.Errorf("this mark is not known here")
		default:
			end()
			words, err = inline(line)
			fmt.Fprintf(&out, "<p>%s</p>\n", words)
		}
		if err != nil {
			return "", "", fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	end()
	if title == "" {
		return "", "", fmt.Errorf("it does not begin with a heading")
	}
	return title, template.HTML(out.String()), nil // #nosec G203 -- every word of it is escaped
}

var (
	link   = regexp.MustCompile(`\[([^\]]+)\]\(([a-z0-9-]+)\.md\)`)
	strong = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	code   = regexp.MustCompile("`([^`*\\[\\]]+)`")
	stress = regexp.MustCompile(`\*([^*]+)\*`)
)

// inline is a line's text as HTML. A link leads to another page of the guide alone.
func inline(s string) (string, error) {
	s = html.EscapeString(s)
	s = code.ReplaceAllString(s, `<code>$1</code>`)
	s = link.ReplaceAllString(s, `<a href="$2">$1</a>`)
	s = strong.ReplaceAllString(s, `<strong>$1</strong>`)
	s = stress.ReplaceAllString(s, `<em>$1</em>`)
	if left := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(s, ""); strings.ContainsAny(left, "*`[]<>") {
		return "", fmt.Errorf("a mark is not closed, or not known here")
	}
	return s, nil
}
