// Package guide has the guide as people read it: what each report says and what to do about it, a text for each report and language (en, zh-Hans), each shown as a page
// that is whole and loads nothing. It holds nothing of any company.
package guide

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

//go:embed en zh-Hans
var texts embed.FS

//go:embed page.html
var frame string

// ContentType is every page's.
const ContentType = "text/html; charset=utf-8"

// Policy is a Content-Security-Policy that every page keeps: it may style itself, and do and load nothing.
const Policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// languages are the guide's, with what a page calls each.
var languages = []struct{ Folder, Name, Index string }{{"en", "English", "All reports"}, {"zh-Hans", "简体中文", "全部报告"}}

// view is a page as the frame takes it.
type view struct {
	Language, Title, Index string
	Name                   string // of the page, without its folder
	Body                   template.HTML
	Others                 []other
}

// other is the same page in another language.
type other struct{ Language, Name, Link string }

// Page is the page of a language with a name such as missing-mobile, or index. ok is false if there is none.
func Page(language, name string) (page []byte, ok bool, err error) {
	v := view{Name: name}
	for _, l := range languages {
		if l.Folder == language {
			v.Language, v.Index = l.Folder, l.Index
		} else {
			v.Others = append(v.Others, other{l.Folder, l.Name, "../" + l.Folder + "/" + name})
		}
	}
	file := v.Language + "/" + fileOf(name)
	if v.Language == "" || strings.Contains(name, "/") || !fs.ValidPath(file) {
		return nil, false, nil
	}
	words, err := texts.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read a page of the guide: %w", err)
	}
	if v.Title, v.Body, err = bodyOf(words); err != nil {
		return nil, false, fmt.Errorf("page %s of the guide: %w", file, err)
	}
	around, err := template.New("page").Parse(frame)
	if err != nil {
		return nil, false, fmt.Errorf("the frame of the guide's pages: %w", err)
	}
	var out bytes.Buffer
	if err := around.Execute(&out, v); err != nil {
		return nil, false, fmt.Errorf("page %s of the guide: %w", file, err)
	}
	return out.Bytes(), true, nil
}

// fileOf is where a page's text stands. The index is the folder's README, so that the guide can be read where the project is kept.
func fileOf(name string) string {
	if name == "index" {
		name = "README"
	}
	return name + ".md"
}

// Names lists the pages of a language.
func Names(language string) ([]string, error) {
	files, err := fs.Glob(texts, language+"/*.md")
	if err != nil {
		return nil, fmt.Errorf("list the guide: %w", err)
	}
	for i, f := range files {
		if files[i] = strings.TrimSuffix(path.Base(f), ".md"); files[i] == "README" {
			files[i] = "index"
		}
	}
	return files, nil
}

// bodyOf is a text as HTML, and the heading that it begins with. A link to another text leads to its page.
func bodyOf(words []byte) (title string, body template.HTML, err error) {
	markdown := goldmark.New() // CommonMark; HTML within the text is left out
	doc := markdown.Parser().Parse(text.NewReader(words))
	heading, is := doc.FirstChild().(*ast.Heading)
	if !is || heading.Level != 1 {
		return "", "", errors.New("it does not begin with a heading")
	}
	title = string(heading.Lines().Value(words))
	err = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if l, is := n.(*ast.Link); is && entering {
			l.Destination = []byte(pageOf(string(l.Destination)))
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return "", "", err
	}
	var out bytes.Buffer
	if err := markdown.Renderer().Render(&out, words, doc); err != nil {
		return "", "", err
	}
	return title, template.HTML(out.String()), nil // #nosec G203 -- our own texts; HTML within them is left out
}

// pageOf is the page that a link from one text to another leads to; any other link is left as it is.
func pageOf(link string) string {
	name, is := strings.CutSuffix(link, ".md")
	if is && name == "README" {
		return "index"
	}
	return name
}
