package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// letter is a mail before it has a form: one content, from which the text part and the HTML part are both made, so that neither can say
// less than the other. All its strings are plain text; those that others wrote went through clean or clip.
type letter struct {
	View      View
	Subject   string
	Title     string
	Company   string
	Preheader string // what a phone shows beside the subject
	Banners   []string
	State     string // of an alert: what is new, in a line
	News      News   // with a State
	Lead      []string
	Sections  []section
	Urgent    bool
	Threads   []string
}

// section is shown in this order: heading, paragraphs, facts, bars, table, steps, links. Empty parts are left out.
type section struct {
	Heading string
	Alarm   bool
	Good    bool
	Paras   []string
	Facts   []pair
	Bars    []bar
	Table   *table
	Steps   []step
	Links   []pair // words, address
}

type pair struct{ Name, Value string }

// bar is a number with its share of the whole, 0 to 100. The share is decoration: the number is always written too.
type bar struct {
	Label               string
	Value, Note, Change string
	Line                string // value and note as one text
	Percent             int
	Alarm               bool
}

type table struct {
	Head []string
	Rows [][]cell
}

type cell struct{ Text, Small string }

// step is something to do, with the command that does it if there is one.
type step struct{ Text, Command string }

// guide is the section that leads to the guide's page on a subject; empty if there is no guide.
func guide(v View, page string) section {
	return section{Links: v.guide(page)}
}

// guide is the link to the guide's page on a subject; none if there is no guide.
func (v View) guide(page string) []pair {
	if v.GuideURL == "" {
		return nil
	}
	return []pair{{
		v.Language.say("More on this in our guide", "更多信息请见使用指南"),
		strings.TrimRight(v.GuideURL, "/") + "/" + string(v.Language) + "/" + page,
	}}
}

//go:embed page/letter.html
var letterSource string

// letterPage is parsed once; it is read only from then on.
var letterPage = template.Must(template.New("letter").Funcs(template.FuncMap{
	// Outlook draws with Word and knows no max-width: it alone reads these comments. They are constants, which html/template
	// would otherwise strip.
	"outlookOpen":  func() template.HTML { return outlookOpen },
	"outlookClose": func() template.HTML { return outlookClose },
	"rest":         func(n int) int { return 100 - n },
	"pct":          func(n int) string { return strconv.Itoa(n) + "%" },
	"inc":          func(n int) int { return n + 1 },
}).Parse(letterSource))

const (
	outlookOpen  = `<!--[if mso]><table role="presentation" width="600" align="center" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->`
	outlookClose = `<!--[if mso]></td></tr></table><![endif]-->`
)

// mail gives the letter its two forms.
func (lt letter) mail() (Mail, error) {
	var html strings.Builder
	sections := lt.Sections[:0:0]
	for _, s := range lt.Sections {
		if s.Heading != "" || len(s.Paras)+len(s.Facts)+len(s.Bars)+len(s.Steps)+len(s.Links) > 0 || s.Table != nil {
			sections = append(sections, s)
		}
	}
	lt.Sections = sections
	for _, line := range []string{lt.View.preview(), lt.View.late()} {
		if line != "" {
			lt.Banners = append(lt.Banners, line)
		}
	}
	if scope := lt.View.scope(); scope != "" {
		lt.Lead = append([]string{scope}, lt.Lead...)
	}
	if err := letterPage.Execute(&html, lt); err != nil {
		return Mail{}, fmt.Errorf("write html part: %w", err)
	}
	return Mail{
		Language: lt.View.Language,
		Subject:  lt.Subject,
		Text:     lt.text(),
		HTML:     html.String(),
		Urgent:   lt.Urgent,
		Threads:  lt.Threads,
		State:    lt.stateWord(),
	}, nil
}

// stateWord is an alert's state for filters; "" of what is no alert.
func (lt letter) stateWord() string {
	if lt.State == "" {
		return ""
	}
	return map[News]string{Began: "began", Changed: "changed", Over: "over", Same: "open"}[lt.News]
}

// Ended says that a letter is the end of an alert.
func (lt letter) Ended() bool { return lt.News == Over }

// inThread puts the mail into a thread too, in front of those that it is in: clients take the last one for what is answered, and that is the first one named here.
func (lt *letter) inThread(name string) {
	if len(lt.Threads) < fullAlarms && !slices.Contains(lt.Threads, name) {
		lt.Threads = slices.Insert(lt.Threads, 0, name)
	}
}

// Words is plain text as HTML. Han characters in an English mail are marked as Chinese, so that they are read out, and drawn, as such and not as Japanese.
func (lt letter) Words(s string) template.HTML {
	if lt.View.Language == Chinese || isPlain(s) {
		return template.HTML(template.HTMLEscapeString(s)) //nolint:gosec // G203: escaped
	}
	var b strings.Builder
	han := false
	from := 0
	turn := func(at int) {
		b.WriteString(template.HTMLEscapeString(s[from:at]))
		from = at
	}
	for i, r := range s {
		if is := unicode.Is(unicode.Han, r); is != han && (is || !strings.ContainsRune("，。、；：（）《》“”", r)) {
			turn(i)
			b.WriteString(map[bool]string{true: `<span lang="` + string(Chinese) + `">`, false: "</span>"}[is])
			han = is
		}
	}
	turn(len(s))
	if han {
		b.WriteString("</span>")
	}
	return template.HTML(b.String()) //nolint:gosec // G203: escaped above
}

// Footer is the line that every mail ends with.
func (lt letter) Footer() string {
	return lt.View.Language.say("Sent by WeCom Vault. Times are in UTC. Don't answer this mail: nobody reads its mailbox.",
		"由 WeCom Vault 发送。时间均为 UTC。请勿回复本邮件，该邮箱无人查看。")
}

func (lt letter) text() string {
	var b strings.Builder
	para := func(s string) { b.WriteString(s + "\n\n") }
	for _, s := range lt.Banners {
		para("*** " + s + " ***")
	}
	para(lt.Title + "\n" + lt.Company)
	if lt.State != "" {
		para(lt.State)
	}
	for _, s := range lt.Lead {
		b.WriteString(s + "\n")
	}
	b.WriteByte('\n')
	colon := lt.View.Language.say(": ", "：")
	for _, s := range lt.Sections {
		if s.Heading != "" {
			mark := ""
			if s.Alarm {
				mark = "! "
			}
			b.WriteString("== " + mark + s.Heading + " ==\n")
		}
		for _, p := range s.Paras {
			b.WriteString(p + "\n")
		}
		for _, f := range s.Facts {
			b.WriteString("- " + f.Name + colon + f.Value + "\n")
		}
		for _, x := range s.Bars {
			b.WriteString("- " + x.Label + colon + x.Line)
			if x.Change != "" {
				b.WriteString("  [" + x.Change + "]")
			}
			b.WriteByte('\n')
		}
		if s.Table != nil {
			for _, row := range s.Table.Rows {
				b.WriteString("- ")
				for i, c := range row {
					if i > 0 {
						b.WriteString(colon)
					}
					b.WriteString(c.Text)
					if c.Small != "" {
						b.WriteString(" <" + c.Small + ">")
					}
				}
				b.WriteByte('\n')
			}
		}
		for i, st := range s.Steps {
			b.WriteString(strconv.Itoa(i+1) + ". " + st.Text + "\n")
			if st.Command != "" {
				b.WriteString("     " + st.Command + "\n")
			}
		}
		for _, x := range s.Links {
			b.WriteString(x.Name + colon + x.Value + "\n")
		}
		b.WriteByte('\n')
	}
	b.WriteString("-- \n" + lt.Footer() + "\n")
	return b.String()
}
