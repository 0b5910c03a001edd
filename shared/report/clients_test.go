package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

// What Outlook, which draws with Word, and Gmail leave of a mail. Anything else looks different where it is read from how it was looked at.
var (
	mailTags = []string{"html", "head", "meta", "title", "style", "body", "div", "table", "tr", "td", "th", "h1", "h2", "p", "strong", "span", "bdi", "br", "code", "a"}
	mailCSS  = []string{
		"background-color", "border", "border-bottom", "border-collapse", "border-left", "border-top", "color", "display", "font-family", "font-size", "font-weight", "height",
		"line-height", "margin", "max-height", "max-width", "mso-hide", "overflow", "padding", "text-align", "text-decoration", "white-space", "width", "word-break",
	}
	darkRules = regexp.MustCompile(`^\s*@media \(prefers-color-scheme:dark\)\{\s*(\.[a-z]\{((background-color|color|border-color):#[0-9a-f]{6}!important;?)+\}\s*)+\}\s*$`)
)

// node is an element of a mail.
type node struct {
	name     string
	attr     map[string]string
	parent   *node
	children []*node
}

func (n *node) of(names ...string) []*node {
	var out []*node
	for _, c := range n.children {
		if slices.Contains(names, c.name) {
			out = append(out, c)
		}
		out = append(out, c.of(names...)...)
	}
	return out
}

// inherited is an attribute as an element has it from itself or from what it stands in.
func (n *node) inherited(attr string) string {
	for ; n != nil; n = n.parent {
		if v, ok := n.attr[attr]; ok {
			return v
		}
	}
	return ""
}

// parseHTML reads a mail's HTML strictly enough that an element left open or closed twice is an error. said gets each text with the element that it stands in.
func parseHTML(t *testing.T, html string, said func(*node, string)) *node {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(html))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta", "br"}, xml.HTMLEntity
	root := &node{}
	at := root
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			n := &node{name: x.Name.Local, attr: map[string]string{}, parent: at}
			for _, a := range x.Attr {
				if _, twice := n.attr[a.Name.Local]; twice {
					t.Errorf("<%s> has %s twice", n.name, a.Name.Local)
				}
				n.attr[a.Name.Local] = a.Value
			}
			at.children = append(at.children, n)
			at = n
		case xml.EndElement:
			if at.name != x.Name.Local {
				t.Fatalf("</%s> ends <%s>", x.Name.Local, at.name)
			}
			at = at.parent
		case xml.CharData:
			said(at, string(x))
		}
	}
	if at != root {
		t.Errorf("<%s> is left open", at.name)
	}
	return root
}

func TestMailsAreMadeOfWhatOutlookAndGmailTake(t *testing.T) {
	for _, d := range letters() {
		for _, v := range views() {
			m := d.mail(t, v)
			root := parseHTML(t, m.HTML, func(*node, string) {})
			for _, n := range root.of(append(mailTags, "script", "img", "form", "link", "object", "iframe", "svg", "video", "input", "button")...) {
				if !slices.Contains(mailTags, n.name) {
					t.Errorf("%s has <%s>", d.name, n.name)
				}
				for rule := range strings.SplitSeq(n.attr["style"], ";") {
					property, value, _ := strings.Cut(rule, ":")
					if property != "" && !slices.Contains(mailCSS, property) || strings.Contains(value, "url") || strings.Contains(value, "expression") {
						t.Errorf("%s styles <%s> with %q", d.name, n.name, rule)
					}
				}
				for name, value := range n.attr {
					if strings.HasPrefix(name, "on") || name == "src" || name == "background" || name == "id" ||
						name == "href" && !strings.HasPrefix(value, "https://vault.hailan.example/guide/") {
						t.Errorf("%s has <%s %s=%q>", d.name, n.name, name, value)
					}
				}
			}
			styles := strings.Split(m.HTML, "<style>")
			if len(styles) != 2 {
				t.Fatalf("%s has %d styles", d.name, len(styles)-1)
			}
			if css, _, _ := strings.Cut(styles[1], "</style>"); !darkRules.MatchString(css) || len(css) > 8192 {
				t.Errorf("%s: Gmail keeps no such style, and the mail has to do without: %s", d.name, css)
			}
			if len(m.HTML) > 100_000 {
				t.Errorf("%s has %d bytes: Gmail cuts at about 100 kB", d.name, len(m.HTML))
			}
		}
	}
}

func TestTablesOfMailsAreReadOutAsTables(t *testing.T) {
	for _, d := range letters() {
		for _, v := range views() {
			for _, table := range parseHTML(t, d.mail(t, v).HTML, func(*node, string) {}).of("table") {
				own := func(names ...string) []*node {
					var out []*node
					for _, n := range table.of(names...) {
						up := n.parent
						for up.name != "table" {
							up = up.parent
						}
						if up == table {
							out = append(out, n)
						}
					}
					return out
				}
				heads := own("th")
				if table.attr["role"] == "presentation" {
					if len(heads) > 0 {
						t.Errorf("%s: a table for looks has heads", d.name)
					}
					continue
				}
				if len(heads) == 0 {
					t.Errorf("%s: a table of data has no heads", d.name)
				}
				for _, row := range own("tr") {
					cells := slices.DeleteFunc(slices.Clone(row.children), func(n *node) bool { return n.attr["aria-hidden"] == "true" })
					if len(cells) > 0 && (cells[0].name != "th" || cells[0].attr["scope"] != "row" && cells[0].attr["scope"] != "col") {
						t.Errorf("%s: a row begins with <%s scope=%q>", d.name, cells[0].name, cells[0].attr["scope"])
					}
				}
			}
		}
	}
}

func TestEachLanguageIsMarked(t *testing.T) {
	for _, d := range letters() {
		for _, v := range views() {
			m := d.mail(t, v)
			hans := 0
			parseHTML(t, m.HTML, func(n *node, text string) {
				if n.name == "title" || n.name == "style" || n.attr["aria-hidden"] == "true" {
					return // no element can stand in it
				}
				lang := n.inherited("lang")
				if strings.TrimSpace(text) != "" && lang == "" {
					t.Errorf("%s: %q is in no language", d.name, text)
				}
				for _, r := range text {
					if unicode.Is(unicode.Han, r) {
						hans++
						if lang != string(Chinese) {
							t.Errorf("%s: %q is marked as %q", d.name, text, lang)
						}
						break
					}
				}
			})
			if hans == 0 {
				t.Errorf("%s (%s) has no Chinese at all, not even the company's name", d.name, v.Language)
			}
		}
	}
}

var figures = regexp.MustCompile(`[0-9]+([.:,-][0-9]+)*`)

// TestTheTextPartSaysTheSameFigures: whoever reads no HTML, and whoever sees no bars, reads every number.
func TestTheTextPartSaysTheSameFigures(t *testing.T) {
	for _, d := range letters() {
		for _, v := range views() {
			m := d.mail(t, v)
			said := map[string]int{}
			for _, n := range figures.FindAllString(m.Text, -1) {
				said[n]++
			}
			shown := map[string]int{}
			var body strings.Builder
			parseHTML(t, m.HTML, func(n *node, text string) {
				if n.name != "title" && n.name != "style" && n.inherited("aria-hidden") != "true" {
					body.WriteString(text + " ")
				}
			})
			for _, n := range figures.FindAllString(body.String(), -1) {
				shown[n]++
			}
			if len(shown) < 3 {
				t.Errorf("%s shows %d figures", d.name, len(shown))
			}
			for n := range shown {
				if said[n] == 0 {
					t.Errorf("%s (%s): the text part does not say %s", d.name, v.Language, n)
				}
			}
		}
	}
}

var subjects = regexp.MustCompile(`^(?:Re: )?\[海岚茶业 Hailan Tea\] (R[0-9]+) (.+?) ([0-9]{4}-[0-9]{2}-[0-9]{2})((?:, |，)[^:：]+)?(?:: |：)(.+)$`)

func TestSubjectsSortAndFilter(t *testing.T) {
	for _, d := range letters() {
		for _, v := range views() {
			m := d.mail(t, v)
			found := subjects.FindStringSubmatch(m.Subject)
			alert := m.State != ""
			if alert && len(m.Threads) == 0 || strings.HasPrefix(m.Subject, "Re: ") != (alert && m.State != "began") {
				t.Errorf("%s: state %q, threads %q, subject %q", d.name, m.State, m.Threads, m.Subject)
			}
			if found == nil || found[1] != string(d.kind) || found[2] != d.kind.Title(v.Language) || !alert && found[3] != "2026-03-18" {
				t.Errorf("%s: %q is read as %q", d.name, m.Subject, found)
				continue
			}
			if part := strings.HasSuffix(d.name, ".part"); part != (found[4] != "") {
				t.Errorf("%s: of the part %q", d.name, found[4])
			}
			if n := len([]rune(m.Subject)); n > 200 {
				t.Errorf("%s: a subject of %d characters", d.name, n)
			}
			for _, c := range []struct{ of, en, zh string }{
				{".over", "ALERT: ", "警报："}, {".began", "ALERT: ", "警报："}, {".late", "late: ", "延迟："}, {".quiet", "nothing to report", "无"}, {".unread", "not known", "未知"},
			} {
				if strings.HasSuffix(d.name, c.of) && !strings.HasPrefix(found[5], v.Language.say(c.en, c.zh)) {
					t.Errorf("%s: state %q", d.name, found[5])
				}
			}
		}
	}
}

// TestItIsOverAnswersItBegan: both mails refer to one id of ours, since SES gives each mail an id of its own; what else is open stays in its own thread.
func TestItIsOverAnswersItBegan(t *testing.T) {
	v := views()[0]
	f := sampleTrouble()
	key, address := f.Alarms[0], f.Alarms[1]
	answered := func(news ...Alarm) (string, string) {
		f.Alarms = news
		m := maintenance(t, f, v)
		m.ID = "alert"
		h := readWithGo(t, m.mustBytes(t)).Header
		return h["In-Reply-To"], h["References"]
	}
	key.News = Began
	keyBegan, _ := answered(key)
	key.News, address.News = Same, Began
	addressBegan, all := answered(key, address)
	if addressBegan == keyBegan || strings.Contains(all, keyBegan) {
		t.Errorf("a new matter answers %s, in %s, the thread of what is merely open", addressBegan, all)
	}
	address.News = Over
	if over, refs := answered(key, address); over != addressBegan || strings.Contains(refs, keyBegan) {
		t.Errorf("over answers %s, in %s; it began as %s", over, refs, addressBegan)
	}
	key.News = Over
	if over, refs := answered(key); over != keyBegan || refs != keyBegan {
		t.Errorf("over answers %s; it began as %s", over, keyBegan)
	}
	key.FirstSeen = key.FirstSeen.Add(day)
	key.News = Began
	if again, _ := answered(key); again == keyBegan {
		t.Error("the next such matter goes on with the thread of one that is over")
	}
}

// T15: no link is dead, whatever address the guide is put under; without an address there is none.
func TestEveryGuideThatAMailLinksIsWritten(t *testing.T) {
	linked := map[string]bool{}
	for _, d := range letters() {
		for _, v := range views() {
			for _, a := range parseHTML(t, d.mail(t, v).HTML, func(*node, string) {}).of("a") {
				page := strings.TrimPrefix(a.attr["href"], v.GuideURL+"/")
				linked[page] = true
				text, err := os.ReadFile(filepath.Join("..", "guide", filepath.FromSlash(page)+".md"))
				if err != nil {
					t.Errorf("%s links a guide that is not there: %v", d.name, err)
				}
				if !strings.Contains(string(text), "("+string(d.kind)+")") {
					t.Errorf("%s links %s, which is about something else", d.name, page)
				}
			}
			for _, a := range d.mail(t, v).Attachments {
				page := regexp.MustCompile(`<a href="` + regexp.QuoteMeta(v.GuideURL) + `/([^"]+)"`).FindSubmatch(a.Body)
				if isPage := strings.HasPrefix(a.ContentType, "text/html"); isPage != (page != nil) || isPage && !linked[string(page[1])] {
					t.Errorf("%s: the attached %s links the guide as %q", d.name, a.Name, page)
				}
			}
			v.GuideURL = ""
			m := d.mail(t, v)
			if strings.Contains(m.HTML, "<a ") || strings.Contains(m.Text, "http") {
				t.Errorf("%s has a link though the guide has no address", d.name)
			}
			for _, a := range m.Attachments {
				if bytes.Contains(a.Body, []byte("<a ")) {
					t.Errorf("%s: the attached %s has a link though the guide has no address", d.name, a.Name)
				}
			}
		}
	}
	if want := len(Kinds()) * len(Languages()); len(linked) != want {
		t.Errorf("%d guides are linked, of %d", len(linked), want)
	}
}

// Gmail takes mails for one conversation if they refer to the same and their subjects are equal but for a Re:, so that an alert's subject is that of its beginning,
// whatever else is told beside it; filters have the state in a header.
func TestWhatFollowsOnAnAlertHasItsSubject(t *testing.T) {
	for _, v := range views() {
		f := sampleTrouble()
		first := f.Alarms[1] // whose address WeCom names, or does not
		other := f.Alarms[0]
		other.News = Same
		subject := func(a Alarm, now time.Time, more ...Alarm) string {
			f.Now, f.Alarms = now, append([]Alarm{a}, more...)
			m := maintenance(t, f, v)
			m.ID = "alert"
			h := readWithGo(t, m.mustBytes(t)).Header
			if h["X-Wecomvault-State"] != m.State || m.State == "" || h["Thread-Topic"] == "" {
				t.Errorf("state %q, headers %v", m.State, h)
			}
			if lines := strings.Split(m.Text, "\n\n"); !strings.Contains(m.HTML, "aria-hidden=\"true\">"+template.HTMLEscapeString(lines[3])) {
				t.Errorf("the mail's beginning does not say first that %q", lines[3])
			}
			return m.Subject
		}
		first.News = Began
		began := subject(first, f.Now)
		if strings.HasPrefix(began, "Re: ") {
			t.Errorf("it began: %q", began)
		}
		first.News, first.Address = Changed, "203.0.113.7"
		if s := subject(first, f.Now.Add(30*time.Hour), other); s != "Re: "+began {
			t.Errorf("it changed: %q after %q", s, began)
		}
		first.News, first.Ended = Over, f.Now.Add(time.Hour)
		if s := subject(first, f.Now.Add(50*time.Hour), other); s != "Re: "+began {
			t.Errorf("it is over: %q after %q", s, began)
		}
	}
}
