package identity

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// The limits of a file.
const (
	MostBytes    = 20 << 20
	MostRows     = 200_000
	MostColumns  = 100
	MostProblems = 500 // how many are listed; the last one then says that there are more
	longestName  = 200
)

// Row is a person as the company's file has it. An empty field says nothing.
type Row struct {
	UserID archive.PartyID // in the file's spelling
	Line   int             // where it stands in the file
	Name   string
	Mobile string // E.164
	Email  string
}

func (r Row) value(f Field) string {
	switch f {
	case Name:
		return r.Name
	case Mobile:
		return r.Mobile
	default:
		return r.Email
	}
}

// File is a file that was read. The zero File is empty.
type File struct {
	rows map[string]Row // by userid in lower case: WeCom's userids are unique without regard to case
}

// Version is a file as it was put into force.
type Version struct {
	Name string // the version's number or hash
	At   time.Time
	File File
}

// Row is the row of a userid; ok is false if the file has none.
func (f File) Row(id archive.PartyID) (Row, bool) {
	r, ok := f.rows[strings.ToLower(string(id))]
	return r, ok
}

// Rows is all rows, by userid.
func (f File) Rows() []Row {
	rows := make([]Row, 0, len(f.rows))
	for _, key := range slices.Sorted(maps.Keys(f.rows)) {
		rows = append(rows, f.rows[key])
	}
	return rows
}

// Text is the file in canonical form, which Parse reads: to keep, and to tell versions apart.
func (f File) Text() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	lines := [][]string{{"userid", "name", "mobile", "email"}}
	for _, r := range f.Rows() {
		lines = append(lines, []string{string(r.UserID), r.Name, r.Mobile, r.Email})
	}
	if err := w.WriteAll(lines); err != nil {
		panic(fmt.Sprintf("a buffer can't be written: %v", err)) // it can't fail
	}
	return b.Bytes()
}

// Hash names the file's content: the lower-case hex SHA-256 of Text.
func (f File) Hash() string { return archive.HashHex(f.Text()) }

// Fault is what is wrong with a place in a file.
type Fault string

// The faults. Warnings leave the file usable: see Problem.Warning.
const (
	TooLarge       Fault = "too-large"
	TooManyRows    Fault = "too-many-rows"
	NotUTF8        Fault = "not-utf-8"
	UTF16          Fault = "utf-16"
	NoHeader       Fault = "no-header"
	NoUserIDs      Fault = "no-userid-column"
	WrongSeparator Fault = "wrong-separator"
	TooManyColumns Fault = "too-many-columns"
	ColumnTwice    Fault = "column-twice"
	ColumnUnknown  Fault = "column-unknown"
	BadQuotes      Fault = "bad-quotes"
	CellCount      Fault = "cell-count"
	UserIDMissing  Fault = "userid-missing"
	UserIDBad      Fault = "userid-bad"
	UserIDTwice    Fault = "userid-twice"
	UserIDUnknown  Fault = "userid-unknown"
	MobileBad      Fault = "mobile-bad"
	MobileRounded  Fault = "mobile-rounded"
	MobileTwice    Fault = "mobile-twice"
	EmailBad       Fault = "email-bad"
	EmailTwice     Fault = "email-twice"
	NameLong       Fault = "name-long"
	Formula        Fault = "formula"
	LineBreak      Fault = "line-break"
	More           Fault = "more"
)

// Problem is one thing that is wrong with a file. It never quotes the file.
type Problem struct {
	Line   int // from 1; 0: the file as a whole
	Column int // the character in the line, from 1; 0: the line as a whole
	Field  string
	Fault  Fault
	Other  int // the line that it collides with, the number of cells, or how many problems more
}

// Warning says whether the file may be used nevertheless.
func (p Problem) Warning() bool {
	return slices.Contains([]Fault{ColumnUnknown, UserIDUnknown, EmailTwice, Formula}, p.Fault)
}

// Text says what is wrong and what to do.
func (p Problem) Text() string {
	what := map[Fault]string{
		TooLarge:       fmt.Sprintf("the file is larger than %d MB", MostBytes>>20),
		TooManyRows:    fmt.Sprintf("the file has more than %d rows", MostRows),
		NotUTF8:        "this is not UTF-8 (GBK, perhaps): save the file as \"CSV UTF-8\"",
		UTF16:          "the file is UTF-16: save it as \"CSV UTF-8\"",
		NoHeader:       "the file is empty: its first line must name the columns, userid first of all",
		NoUserIDs:      "no column is named userid",
		WrongSeparator: "the columns are not separated by commas",
		TooManyColumns: fmt.Sprintf("the file has more than %d columns", MostColumns),
		ColumnTwice:    "the column is there twice",
		ColumnUnknown:  "the column is not used: only userid, name, mobile and email are",
		BadQuotes:      "a quotation mark is out of place, or not closed",
		CellCount:      fmt.Sprintf("the line has %d cells, not as many as the first", p.Other),
		UserIDMissing:  "the userid is missing",
		UserIDBad:      "this can't be a userid: 1 to 64 letters, digits and _ - @ . are allowed, the first a letter or digit",
		UserIDTwice:    fmt.Sprintf("the userid is in line %d already (WeCom does not tell cases apart)", p.Other),
		UserIDUnknown:  "WeCom's directory shows no such userid; the row counts once it does",
		MobileBad:      "this is no mobile number: write it with its country, as +8613800000000",
		MobileRounded:  "a spreadsheet has turned the number into a power of ten: format the column as text",
		MobileTwice:    fmt.Sprintf("the number is in line %d already", p.Other),
		EmailBad:       "this is no address of the form name@company.example",
		EmailTwice:     fmt.Sprintf("the address is in line %d already", p.Other),
		NameLong:       fmt.Sprintf("the name has more than %d characters", longestName),
		Formula:        "this begins as a formula does; it is taken as text",
		LineBreak:      "a line break or control character is within the cell",
		More:           fmt.Sprintf("and %d more", p.Other),
	}[p.Fault]
	switch {
	case p.Line == 0:
		return what
	case p.Column == 0:
		return fmt.Sprintf("line %d: %s", p.Line, what)
	default:
		return fmt.Sprintf("line %d, column %d%s: %s", p.Line, p.Column, strings.TrimSuffix(" ("+p.Field+")", " ()"), what)
	}
}

// Usable says whether a file with these problems may be put into force: warnings only.
func Usable(problems []Problem) bool {
	return !slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning() && p.Fault != More })
}

// columns are the names that a column may have. Those in Chinese are the ones of WeCom's own export.
var columns = map[string]string{
	"userid": "userid", "user id": "userid", "账号": "userid", "帐号": "userid",
	"name": "name", "姓名": "name",
	"mobile": "mobile", "手机": "mobile", "手机号": "mobile",
	"email": "email", "邮箱": "email",
}

// reading is a file while it is read.
type reading struct {
	File
	lines    []string
	problems []Problem
	warnings []Problem
	more     int
}

func (r *reading) wrong(line, column int, field string, fault Fault, other int) {
	p := Problem{line, column, field, fault, other}
	list := &r.problems
	if p.Warning() {
		list = &r.warnings
	}
	if len(*list) == MostProblems {
		r.more++
		return
	}
	*list = append(*list, p)
}

// Parse reads a company's file: CSV in UTF-8, with or without a byte order mark, separated by commas, the first line naming the columns: userid, and any of name,
// mobile and email. It lists everything that is wrong, and takes nothing that is; a file that is not Usable must not be put into force.
func Parse(data []byte) (File, []Problem) {
	r := &reading{File: File{rows: map[string]Row{}}}
	r.parse(data)
	all := append(r.problems, r.warnings...)
	slices.SortStableFunc(all, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	if r.more > 0 {
		all = append(all, Problem{Fault: More, Other: r.more})
	}
	return r.File, all
}

func (r *reading) parse(data []byte) {
	switch {
	case len(data) > MostBytes:
		r.wrong(0, 0, "", TooLarge, 0)
		return
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		r.wrong(0, 0, "", UTF16, 0)
		return
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	r.lines = strings.Split(string(data), "\n")
	for i, line := range r.lines {
		if !utf8.ValidString(line) {
			n := 0
			for _, c := range line {
				if n++; c == utf8.RuneError {
					break
				}
			}
			r.wrong(i+1, n, "", NotUTF8, 0)
			return
		}
	}
	in := csv.NewReader(bytes.NewReader(data))
	in.FieldsPerRecord = -1
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		r.wrong(1, 0, "", NoHeader, 0)
		return
	}
	if err != nil {
		r.syntax(err)
		return
	}
	at, ok := r.header(in, header)
	if !ok {
		return
	}
	mobiles, emails := map[string]int{}, map[string]int{}
	for n := 0; ; n++ {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.syntax(err)
			return // what follows a lost quotation mark can't be told apart
		}
		if n == MostRows {
			r.wrong(0, 0, "", TooManyRows, 0)
			return
		}
		r.row(in, cells, len(header), at, mobiles, emails)
	}
}

func (r *reading) syntax(err error) {
	line, column := 0, 0
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		line, column = bad.Line, r.character(bad.Line, bad.Column)
	}
	r.wrong(line, column, "", BadQuotes, 0)
}

// character is the place of a byte in a line, in characters.
func (r *reading) character(line, column int) int {
	if line < 1 || line > len(r.lines) || column < 1 {
		return 0
	}
	text := r.lines[line-1]
	return utf8.RuneCountInString(text[:min(column-1, len(text))]) + 1
}

func (r *reading) place(in *csv.Reader, cell int) (line, column int) {
	line, column = in.FieldPos(cell)
	return line, r.character(line, column)
}

// header finds which cell holds which field.
func (r *reading) header(in *csv.Reader, header []string) (at map[string]int, ok bool) {
	at = map[string]int{}
	if len(header) > MostColumns {
		r.wrong(1, 0, "", TooManyColumns, len(header))
		return nil, false
	}
	for i, cell := range header {
		line, column := r.place(in, i)
		name, known := columns[strings.ToLower(strings.TrimSpace(cell))]
		switch _, twice := at[name]; {
		case !known:
			r.wrong(line, column, "", ColumnUnknown, 0)
		case twice:
			r.wrong(line, column, name, ColumnTwice, 0)
		default:
			at[name] = i
		}
	}
	if _, there := at["userid"]; there {
		return at, true
	}
	fault := NoUserIDs
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t|") {
		fault = WrongSeparator
	}
	r.warnings = nil // that its columns are not known says nothing more
	r.wrong(1, 0, "", fault, 0)
	return nil, false
}

func (r *reading) row(in *csv.Reader, cells []string, width int, at map[string]int, mobiles, emails map[string]int) {
	if !slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) != "" }) {
		return
	}
	first, _ := in.FieldPos(0)
	if len(cells) != width {
		r.wrong(first, 0, "", CellCount, len(cells))
		return
	}
	good := true
	bad := func(field string, fault Fault, other int) {
		line, column := r.place(in, at[field])
		p := Problem{Fault: fault}
		r.wrong(line, column, field, fault, other)
		good = good && p.Warning()
	}
	cell := func(field string) string {
		i, there := at[field]
		if !there {
			return ""
		}
		text := strings.TrimSpace(cells[i])
		if strings.ContainsFunc(text, unicode.IsControl) {
			bad(field, LineBreak, 0)
			return ""
		}
		return text
	}
	row := Row{Line: first, UserID: archive.PartyID(cell("userid")), Name: cell("name"), Mobile: cell("mobile"), Email: cell("email")}
	key := strings.ToLower(string(row.UserID))
	if before, twice := r.rows[key]; twice {
		bad("userid", UserIDTwice, before.Line)
	}
	switch {
	case row.UserID == "" && good:
		bad("userid", UserIDMissing, 0)
	case row.UserID != "" && !isUserID(string(row.UserID)):
		bad("userid", UserIDBad, 0)
	}
	if utf8.RuneCountInString(row.Name) > longestName {
		bad("name", NameLong, 0)
	}
	if row.Name != "" && strings.ContainsRune("=+-@", []rune(row.Name)[0]) {
		bad("name", Formula, 0)
	}
	if row.Mobile != "" {
		r.mobile(&row, mobiles, bad)
	}
	if row.Email != "" {
		if !isAddress(row.Email) {
			bad("email", EmailBad, 0)
		} else if before := emails[strings.ToLower(row.Email)]; before > 0 {
			bad("email", EmailTwice, before)
		} else {
			emails[strings.ToLower(row.Email)] = first
		}
	}
	if good {
		r.rows[key] = row
	}
}

func (r *reading) mobile(row *Row, mobiles map[string]int, bad func(string, Fault, int)) {
	written := row.Mobile
	row.Mobile = Normal(written)
	switch before := mobiles[row.Mobile]; {
	case strings.ContainsAny(written, "eE") && strings.Trim(written, "0123456789.,eE+") == "":
		bad("mobile", MobileRounded, 0)
	case !strings.HasPrefix(row.Mobile, "+") || strings.Trim(row.Mobile[1:], "0123456789") != "" || len(row.Mobile) < 9 || len(row.Mobile) > 16:
		bad("mobile", MobileBad, 0)
	case before > 0:
		bad("mobile", MobileTwice, before)
	default:
		mobiles[row.Mobile] = row.Line
	}
}

// isAddress says whether text is an address alone, with a dot behind the @.
func isAddress(text string) bool {
	if len(text) > 254 {
		return false
	}
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && strings.Contains(text[strings.LastIndexByte(text, '@'):], ".")
}

// isUserID says whether text can be a userid, by WeCom's rule.
func isUserID(text string) bool {
	for i, c := range []byte(text) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || strings.IndexByte("_-@.", c) < 0) {
			return false
		}
	}
	return text != "" && len(text) <= 64
}

// Change is what putting a file into force would change of one person. Old and New are "" where there is nothing.
type Change struct {
	UserID   archive.PartyID
	Line     int // in the new file; 0: it has no such row any more
	Field    Field
	Old, New string
}

// Preview says what would change if next took the place of the file in force, by userid and field, and which of its rows no member of the directory
// matches yet: known answers for a userid in lower case.
func Preview(inForce, next File, known func(userid string) bool) (changes []Change, warnings []Problem) {
	keys := slices.Sorted(maps.Keys(inForce.rows))
	for key := range next.rows {
		if _, there := inForce.rows[key]; !there {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		old, row := inForce.rows[key], next.rows[key]
		for _, f := range Fields() {
			if old.value(f) != row.value(f) {
				changes = append(changes, Change{UserID: cmp.Or(row.UserID, old.UserID), Line: row.Line, Field: f, Old: old.value(f), New: row.value(f)})
			}
		}
		if row.UserID != "" && !known(key) {
			warnings = append(warnings, Problem{Line: row.Line, Fault: UserIDUnknown, Field: "userid"})
		}
	}
	slices.SortStableFunc(warnings, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	if len(warnings) > MostProblems {
		more := len(warnings) - MostProblems
		warnings = append(warnings[:MostProblems:MostProblems], Problem{Fault: More, Other: more})
	}
	return changes, warnings
}
