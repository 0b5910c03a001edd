package report

import (
	"encoding/csv"
	"net/mail"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// poison puts a text wherever facts hold one that others wrote: names, ids, addresses, numbers, words of WeCom's. Words of ours are left unless ours is set, so that what is
// said of each of them is said. It returns how many places there were.
func poison(v reflect.Value, evil string, ours bool) int {
	n := 0
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			n = poison(v.Elem(), evil, ours)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return 0
		}
		for i := range v.NumField() {
			n += poison(v.Field(i), evil, ours)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.String && v.Len() == 0 && v.CanSet() && v.Type().Elem() == reflect.TypeFor[string]() {
			v.Set(reflect.ValueOf([]string{""}))
		}
		for i := range v.Len() {
			n += poison(v.Index(i), evil, ours)
		}
	case reflect.String:
		theirs := slices.Contains([]reflect.Type{
			reflect.TypeFor[string](), reflect.TypeFor[archive.PartyID](), reflect.TypeFor[archive.RoomID](), reflect.TypeFor[archive.MsgID](), reflect.TypeFor[archive.CorpID](),
		}, v.Type())
		if theirs || ours {
			v.SetString(evil)
			n++
		}
	default:
	}
	return n
}

// poisoned is a mail and the facts that it is made of.
type poisoned struct {
	name  string
	facts any // a pointer to them
	build func(any, View) (Mail, error)
}

func everyFacts() []poisoned {
	r1, r2, r3, r4, r5 := sampleFacts(), sampleMissingMobile(), sampleNumberChange(), sampleDeletedUsers(), sampleNewUsers()
	r6, r7, r8, r12 := sampleGroups(), sampleTrouble(), sampleMissingEmail(), sampleCoverage()
	r6.Daily = true
	return []poisoned{
		{"r1", &r1, func(f any, v View) (Mail, error) { return NewUserStatus(*f.(*UserStatusFacts), v) }},
		{"r2", &r2, func(f any, v View) (Mail, error) { return NewMissingMobile(*f.(*MissingMobileFacts), v) }},
		{"r2.user", &r2, func(f any, v View) (Mail, error) {
			return NewMissingMobileNotice(*f.(*MissingMobileFacts), f.(*MissingMobileFacts).Rows[0].ID, v)
		}},
		{"r3", &r3, func(f any, v View) (Mail, error) { return NewNumberChange(*f.(*NumberChangeFacts), v) }},
		{"r4", &r4, func(f any, v View) (Mail, error) { return NewDeletedUsers(*f.(*DeletedUsersFacts), v) }},
		{"r5", &r5, func(f any, v View) (Mail, error) { return NewNewUsers(*f.(*NewUsersFacts), v) }},
		{"r6", &r6, func(f any, v View) (Mail, error) { return NewGroupsBreach(*f.(*GroupsFacts), v) }},
		{"r7", &r7, func(f any, v View) (Mail, error) { return NewMaintenance(*f.(*MaintenanceFacts), v) }},
		{"r8", &r8, func(f any, v View) (Mail, error) { return NewMissingEmail(*f.(*MissingEmailFacts), v) }},
		{"r12", &r12, func(f any, v View) (Mail, error) { return NewCoverage(*f.(*CoverageFacts), v) }},
	}
}

// build makes every mail with a text in every place.
func build(t *testing.T, evil string, ours bool, v View) map[string]Mail {
	t.Helper()
	out := map[string]Mail{}
	v.Departments = []string{evil}
	for _, p := range everyFacts() {
		if n := poison(reflect.ValueOf(p.facts).Elem(), evil, ours); n < 4 {
			t.Fatalf("%s has %d places for a text", p.name, n)
		}
		m, err := p.build(p.facts, v)
		if err != nil {
			t.Fatalf("%s with %.40q: %v", p.name, evil, err)
		}
		m.ID = ID(p.name)
		out[p.name] = m
	}
	return out
}

// TestWhateverAnyFieldHoldsIsHarmless tries each hostile text in every field at once: in a mail's subject, its two parts, the attached page and each column of the CSV.
func TestWhateverAnyFieldHoldsIsHarmless(t *testing.T) {
	slow(t)
	// more lists the elements that one text has more of than the other. Fewer are no harm: what comes to nothing is left out.
	more := func(than, html string) (out []string) {
		count := func(html string) map[string]int {
			n := map[string]int{}
			for part := range strings.SplitSeq(html, "<") {
				name, _, _ := strings.Cut(part, ">")
				name, _, _ = strings.Cut(name, " ")
				n[name]++
			}
			return n
		}
		before := count(than)
		for name, n := range count(html) {
			if n > before[name] && strings.Trim(name, "/") != "span" { // Chinese is marked where it stands
				out = append(out, name)
			}
		}
		return out
	}
	for i, evil := range append(append(hostile(), formulas()...), "@谭", "名=1", "מנהל", "a@茶.example", "谭@b.example") {
		for _, v := range views() {
			ours := i%2 == 0 // a word of ours, too, comes from a store
			plain := build(t, "plain", ours, v)
			for name, m := range build(t, evil, ours, v) {
				if got := more(plain[name].HTML, m.HTML); got != nil {
					t.Errorf("%s: %.40q adds elements to the mail: %q", name, evil, got)
				}
				texts := map[string]string{"subject": m.Subject, "text": m.Text, "html": m.HTML}
				if len(m.Attachments) > 0 {
					page := pageOf(t, m)
					texts["page"] = page
					if got := more(pageOf(t, plain[name]), page); got != nil {
						t.Errorf("%s: %.40q adds elements to the page: %q", name, evil, got)
					}
					raw := csvOf(t, m)
					all, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(raw, "\ufeff"))).ReadAll()
					if err != nil {
						t.Fatalf("%s: %.40q: %v", name, evil, err)
					}
					for _, row := range all {
						if len(row) != len(all[0]) {
							t.Errorf("%s: %.40q makes a row of %d cells among those of %d", name, evil, len(row), len(all[0]))
						}
						for column, cell := range row {
							if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
								t.Errorf("%s: a spreadsheet would run %.40q in the column %s", name, cell, all[0][column])
							}
							texts["csv"] += cell + "\n"
						}
					}
				}
				for where, s := range texts {
					for _, r := range s {
						if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
							t.Errorf("%s: %.40q leaves %U in the %s", name, evil, r, where)
							break
						}
					}
				}
				if len(m.HTML) > 100_000 {
					t.Errorf("%s: %.40q makes a mail of %d bytes", name, evil, len(m.HTML))
				}
				checkParsed(t, m, readWithGo(t, m.mustBytes(t)))
			}
		}
	}
}

// FuzzCSVCell: what is written is what a reader reads, in one cell, and no spreadsheet runs it.
func FuzzCSVCell(f *testing.F) {
	for _, s := range append(hostile(), formulas()...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, err := csv.NewReader(strings.NewReader(csvCell(s) + "," + csvCell("next") + "\r\n")).ReadAll()
		if err != nil || len(all) != 1 || len(all[0]) != 2 || all[0][1] != "next" {
			t.Fatalf("%q is read back as %q (%v)", s, all, err)
		}
		got, want := all[0][0], strings.ReplaceAll(s, "\r\n", "\n")
		if got != want && got != "'"+want {
			t.Fatalf("%q is read back as %q", s, got)
		}
		if got != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(got)[0]) {
			t.Fatalf("a spreadsheet would run %q", got)
		}
	})
}

// FuzzMailHeaders: no text adds a header, and the subject, the names and the files' names are read back as they were meant.
func FuzzMailHeaders(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, s, s)
	}
	f.Add("a", "\"", "..\\..\\x")
	plain := Mail{ID: "x", Subject: "s", Text: "t", HTML: "h", Attachments: []Attachment{{Name: "n", ContentType: typeCSV}}}
	f.Fuzz(func(t *testing.T, subject, name, file string) {
		m := plain
		m.Subject, m.Attachments = subject, []Attachment{{Name: file, ContentType: typeCSV}}
		raw, err := m.Bytes(mailbox("Vault", "vault@tern.example"), mailbox(CleanName(name), "a@tern.example"), noon, "")
		if err != nil {
			if _, refused := mail.ParseAddress(mailbox(CleanName(name), "a@tern.example")); refused == nil {
				t.Fatalf("subject %q, name %q, file %q: %v", subject, name, file, err)
			}
			t.Skip("a name that no mailbox has is refused") // net/mail knows some
		}
		head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("a line of %d bytes", len(line))
			}
		}
		p := readWithGo(t, raw)
		if len(p.Header) != len(readWithGo(t, plain.mustBytes(t)).Header) {
			t.Fatalf("%q, %q and %q make the headers %v", subject, name, file, p.Header)
		}
		if p.Subject != clean(subject) {
			t.Fatalf("the subject %q is read back as %q", subject, p.Subject)
		}
	})
}
