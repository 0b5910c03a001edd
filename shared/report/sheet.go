package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed page/table.html
var tableSource string

//go:embed page/table.js
var tableScript string

//go:embed page/table.css
var tableStyle string

// tablePage is parsed once; it is read only from then on.
var tablePage = template.Must(template.New("table").Parse(tableSource))

// sheet is a report's rows as a table to keep. It becomes a page with everything in one file, nothing loaded from anywhere, which without scripts
// is still the whole table; and a CSV file of the same cells. Its texts are plain text; those that others wrote went through clean or clip.
type sheet struct {
	lang    Language
	title   string
	company string
	subject string // the page's title
	banners []string
	lead    []string
	guide   []pair // the link to the guide; none if there is none
	groups  []numbers
	columns []column
	rows    int
	row     func(i int) sheetRow
	noun    noun
}

// noun is what the rows are: words for many, and the Chinese word behind a number.
type noun struct{ en, zh, zhCount string }

var (
	nounUsers = noun{"users", "用户", "人"}
	nounRows  = noun{"rows", "记录", "条"}
)

// numbers is a row of numbers, each of which is a count of rows. Choosing one shows its rows.
type numbers struct {
	Heading string
	Numbers []number
}

type number struct {
	Key, Label, Value, Note, Change string
}

// column is a column of the table.
type column struct {
	head  string
	width int  // pixels; 0 for the last, which takes what is left
	right bool // numbers
	free  bool // text that others wrote: it keeps its direction to itself
	alarm bool
}

// sheetRow is one row. Marks are the keys of the numbers that count it, those of unknown answers with a "?" behind.
type sheetRow struct {
	marks []string
	cells []sheetCell // one a column
}

// sheetCell is one cell: its lines, what stands small below (in the page alone), and what it is sorted by if that is not its text.
type sheetCell struct {
	lines []string
	small string
	sort  string
}

func text(s string) sheetCell { return sheetCell{lines: []string{s}} }

// lastWidth is what the last column has at least, in pixels.
const lastWidth = 270

// page writes the page.
func (s sheet) page(w io.Writer) error {
	l := s.lang
	view := struct {
		Lang, Title, Company, File string
		CSP                        template.HTMLAttr
		Style, Own                 template.CSS
		Script                     template.JS
		Banners, Lead              []string
		Guide                      []pair
		Groups                     []numbers
		Head                       []string
		Words                      map[string]string
	}{
		Lang: string(l), Title: s.title, Company: s.company, File: s.subject,
		// The page runs its own script and loads nothing, whatever a name holds: the policy names the script by its hash.
		CSP: template.HTMLAttr(`content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-` + //nolint:gosec // G203: our own embedded files
			sourceHash(tableScript) + `'; base-uri 'none'; form-action 'none'"`),
		Style:   template.CSS(tableStyle),   //nolint:gosec // G203: our own embedded file
		Own:     template.CSS(s.ownStyle()), //nolint:gosec // G203: made of numbers alone
		Script:  template.JS(tableScript),   //nolint:gosec // G203: our own embedded file
		Banners: s.banners,
		Lead:    s.lead,
		Guide:   s.guide,
		Groups:  s.groups,
		Words: map[string]string{
			"search": l.say("Search", "搜索"),
			"all":    l.say("All "+s.noun.en, "全部"+s.noun.zh),
			"count":  l.say("{n} of {m} "+s.noun.en, "{n} / {m} "+s.noun.zhCount),
			"more":   l.say("Show all {n} rows", "显示全部 {n} 行"),
			"table":  l.say(strings.ToUpper(s.noun.en[:1])+s.noun.en[1:], s.noun.zh),
			"sort":   l.say("Choose a column's heading to sort by it.", "点击列标题可排序。"),
			"utc":    l.say("Times are in UTC, with the local time below.", "时间为 UTC，下方为当地时间。"),
			"print":  l.say("Print", "打印"),
		},
	}
	for _, c := range s.columns {
		view.Head = append(view.Head, c.head)
	}
	b := bufio.NewWriter(w)
	if err := tablePage.ExecuteTemplate(b, "open", view); err != nil {
		return err
	}
	// A template takes seconds for 100,000 rows. Each text goes through the same escaping here.
	for i := range s.rows {
		s.htmlRow(b, s.row(i))
		if _, err := b.Write(nil); err != nil { // a failure of any write before
			return err
		}
	}
	if err := tablePage.ExecuteTemplate(b, "close", view); err != nil {
		return err
	}
	return b.Flush()
}

func (s sheet) htmlRow(b *bufio.Writer, r sheetRow) {
	put := func(parts ...string) {
		for _, p := range parts {
			_, _ = b.WriteString(p) // a bufio.Writer keeps its first failure for Flush
		}
	}
	esc := template.HTMLEscapeString
	put("\n<tr data-k=\"", esc(strings.Join(r.marks, " ")), "\">")
	for i, c := range r.cells {
		tag := "td"
		open := "<td"
		if i == 0 {
			tag, open = "th", `<th scope="row"`
		}
		put(open)
		if c.sort != "" {
			put(` data-v="`, esc(c.sort), `"`)
		}
		put(">")
		for n, line := range c.lines {
			if n > 0 {
				put("<br>")
			}
			if s.columns[i].free && line != "" {
				put("<bdi>", esc(line), "</bdi>")
			} else {
				put(esc(line))
			}
		}
		if c.small != "" {
			put("<br><small>", esc(c.small), "</small>")
		}
		put("</", tag, ">")
	}
	put("</tr>")
}

// ownStyle is the columns' widths. On paper the columns take the width that they need; on a phone each row is a card, whose cells are named by their column.
func (s sheet) ownStyle() string {
	var screen, phone, rules strings.Builder
	width := lastWidth
	for i, c := range s.columns {
		width += c.width
		if c.width > 0 {
			fmt.Fprintf(&screen, "thead th:nth-child(%d){width:%dpx}", i+1, c.width)
		}
		fmt.Fprintf(&phone, "tbody td:nth-child(%d)::before{content:\"%s\"}", i+1, cssString(c.head))
		if c.right {
			fmt.Fprintf(&rules, "td:nth-child(%d){text-align:right}\n", i+1)
		}
		if c.alarm {
			fmt.Fprintf(&rules, "td:nth-child(%d){color:var(--alarm)}\n", i+1)
		}
	}
	return fmt.Sprintf("@media screen and (min-width:700px){table{min-width:%dpx}%s}\n@media screen and (max-width:699px){%s}\n%s", width, screen.String(), phone.String(), rules.String())
}

// cssString is the inside of a string of CSS within a page: what could end either is written as its number.
func cssString(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\"\\<>&'", r) || r < ' ' {
			fmt.Fprintf(&b, "\\%06x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func sourceHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// csv writes the table as RFC 4180 has it, in UTF-8 with a byte order mark, without which spreadsheets take Chinese for something else. Every cell is
// quoted, so that none falls apart where a spreadsheet takes semicolons for commas.
func (s sheet) csv(w io.Writer) error {
	b := bufio.NewWriter(w)
	put := func(p string) {
		_, _ = b.WriteString(p) // a bufio.Writer keeps its first failure for Flush
	}
	put("\ufeff")
	for i, c := range s.columns {
		if i > 0 {
			put(",")
		}
		put(csvCell(c.head))
	}
	put("\r\n")
	for i := range s.rows {
		for n, c := range s.row(i).cells {
			if n > 0 {
				put(",")
			}
			put(csvCell(strings.Join(c.lines, s.lang.say("; ", "；"))))
		}
		put("\r\n")
		if _, err := b.Write(nil); err != nil {
			return err
		}
	}
	return b.Flush()
}

// csvCell writes a cell. A spreadsheet runs what begins like a formula, so that gets an apostrophe in front, as OWASP advises; the full-width signs are
// formulas to spreadsheets in East Asian languages.
func csvCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(s)[0]) {
		s = "'" + s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// files are the sheet's two files.
func (s sheet) files(name string) ([]Attachment, error) {
	return attach(name, file{name + ".html", typeHTML, s.page}, file{name + ".csv", typeCSV, s.csv})
}
