package receivers

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/report"
)

// Problem is what is wrong with one field, and what would be right. Neither repeats what was entered.
type Problem struct {
	Field   string // as the API and the command line name it
	Problem string
	Fix     string
}

// Refusal is why something that was entered is not taken. It holds every problem, not the first alone.
type Refusal struct {
	Problems []Problem
}

// Error names each field, what is wrong with it and the fix.
func (r *Refusal) Error() string {
	parts := make([]string, 0, len(r.Problems))
	for _, p := range r.Problems {
		parts = append(parts, fmt.Sprintf("%s: %s: %s", p.Field, p.Problem, p.Fix))
	}
	return strings.Join(parts, "; ")
}

func (r *Refusal) add(field, problem, fix string) {
	r.Problems = append(r.Problems, Problem{field, problem, fix})
}

func (r *Refusal) err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return r
}

// longestName is more than any name that people write, and fits into a header.
const longestName = 120

func (r *Refusal) name(field, name string) string {
	if strings.ContainsAny(name, "\r\n") {
		r.add(field, "it has a line break", "write it in a single line")
	}
	name = report.CleanName(name)
	if n := len([]rune(name)); n > longestName {
		r.add(field, fmt.Sprintf("it has %d characters", n), fmt.Sprintf("at most %d are allowed", longestName))
	}
	return name
}

func (r *Refusal) address(field, address string) string {
	checked, err := report.CheckAddress(address)
	if err != nil {
		r.add(field, err.Error(), "write it as name@company.example")
		return address
	}
	return checked
}

func (r *Refusal) language(field, language string) string {
	l, err := report.ParseLanguage(language)
	switch {
	case err != nil:
		r.add(field, "reports are not written in that language", "choose en or zh")
		return language
	case l == report.English:
		return "en"
	default:
		return "zh"
	}
}

func (r *Refusal) reports(field string, kinds []report.Kind) []report.Kind {
	for _, k := range kinds {
		if !slices.Contains(report.Kinds(), k) {
			r.add(field, "there is no such report", "choose among "+kindList())
			break
		}
	}
	return inOrder(kinds)
}

func kindList() string {
	codes := make([]string, 0, len(report.Kinds()))
	for _, k := range report.Kinds() {
		codes = append(codes, string(k))
	}
	return strings.Join(codes, ", ")
}

// Checked is an entered receiver in the form in which it is kept, or a *Refusal. The tree is the company's of now; nil, where the directory could never be
// read, takes the root alone.
func (row Row) Checked(tree *directory.Tree) (Row, error) {
	var r Refusal
	row.Name = r.name("name", row.Name)
	row.Address = r.address("address", row.Address)
	if row.Language != "" {
		row.Language = r.language("language", row.Language)
	}
	switch known := tree != nil && tree.Known(row.Department); {
	case row.Department == directory.Root:
	case row.Department <= 0:
		r.add("department", "none is chosen", "choose exactly one (1 is the whole company)")
	case !known:
		r.add("department", fmt.Sprintf("there is no department %d now", row.Department), "choose one that the list of departments shows (1 is the whole company)")
	}
	row.Reports = r.reports("reports", row.Reports)
	if len(row.Reports) == 0 {
		r.add("reports", "none is chosen", "choose at least one of "+kindList())
	}
	if slices.Contains(row.Reports, report.Maintenance) && row.Department != directory.Root {
		r.add("reports", "R7 tells of the whole company", "choose department 1 for it, or leave R7 out")
	}
	return row, r.err()
}

// Alone refuses a receiver whose address is entered for the same department already.
func (row Row) Alone(entered []Row) error {
	for _, other := range entered {
		if other.ID != row.ID && other.Department == row.Department && sameAddress(other.Address, row.Address) {
			return &Refusal{[]Problem{{"address", "it is a receiver of this department already", "change receiver " + other.ID + " instead"}}}
		}
	}
	return nil
}

// Checked is the edits in the form in which they are kept, or a *Refusal. No reports is no mistake: the head is muted. leads is the departments of which the
// person is head now; kept is the reports that were entered while he led more, and stay though they are not sent.
func (e Edit) Checked(leads []int, kept ...report.Kind) (Edit, error) {
	var r Refusal
	if e.User == "" {
		r.add("receiver", "no head of department is named", "name one that the list of receivers shows")
	}
	if e.Name != nil {
		name := r.name("name", *e.Name)
		e.Name = &name
	}
	if e.Address != nil {
		address := r.address("address", *e.Address)
		e.Address = &address
	}
	if e.Language != "" {
		e.Language = r.language("language", e.Language)
	}
	if e.Reports != nil {
		reports := r.reports("reports", *e.Reports)
		e.Reports = &reports
		if slices.Contains(reports, report.Maintenance) && !slices.Contains(leads, directory.Root) && !slices.Contains(kept, report.Maintenance) {
			r.add("reports", "R7 tells of the whole company, and this head leads a part of it", "leave R7 out, or enter a receiver of department 1 for it")
		}
	}
	return e, r.err()
}

// CheckName is a name for a thing that people know, in the form in which it is kept, or a *Refusal.
func CheckName(name string) (string, error) {
	var r Refusal
	if name = r.name("name", name); name == "" && len(r.Problems) == 0 {
		r.add("name", "it is empty", "enter what people call it")
	}
	return name, r.err()
}

// mostAdmins is more account admins than any company has use for: each gets every urgent alert.
const mostAdmins = 20

// CheckAdmins is a company's account admins in the form in which they are kept, or a *Refusal. There must be one at least: somebody has to hear of trouble.
func CheckAdmins(admins []AdminRow) ([]AdminRow, error) {
	var r Refusal
	if n := len(admins); n == 0 || n > mostAdmins {
		r.add("admins", fmt.Sprintf("there are %d", n), fmt.Sprintf("name 1 to %d account admins: urgent alerts go to them, and would reach nobody without one", mostAdmins))
	}
	seen := map[string]bool{}
	out := slices.Clone(admins)
	for i := range out {
		a, field := &out[i], func(name string) string { return fmt.Sprintf("admins[%d].%s", i, name) }
		a.Name = r.name(field("name"), a.Name)
		a.Address = r.address(field("address"), a.Address)
		if a.Language == "" {
			a.Language = "zh"
		}
		a.Language = r.language(field("language"), a.Language)
		if a.Reports != nil {
			a.Reports = r.reports(field("reports"), a.Reports)
		}
		if seen[Mailbox(a.Address)] {
			r.add(field("address"), "it is an account admin's already", "leave one of the two out")
		}
		seen[Mailbox(a.Address)] = true
	}
	return out, r.err()
}

// Refused is several refusals as one: nil if none of the errors is a *Refusal. Other errors are not for it.
func Refused(all ...error) error {
	var one Refusal
	for _, err := range all {
		var r *Refusal
		if errors.As(err, &r) {
			one.Problems = append(one.Problems, r.Problems...)
		}
	}
	return one.err()
}

// Removable refuses to remove a receiver who is not an entered one, and says what would take it away.
func (r Receiver) Removable() error {
	switch r.Source {
	case Entered:
		return nil
	case Head:
		return &Refusal{[]Problem{{"receiver", "a head of department follows WeCom",
			"in WeCom's admin console open Contacts, the member, Edit, and take the role (上级 / 部门负责人 / Superior) away: the row goes at the next sync. " +
				"Until then all reports can be taken from it, which mutes it"}}}
	case Admin:
		return &Refusal{[]Problem{{"receiver", "an account admin is a setting of the company", "change the company's account admins"}}}
	default:
		return &Refusal{[]Problem{{"receiver", "this address is a setting of the company", "change the company's operations, control or alert address"}}}
	}
}

// DepartmentFixed refuses to change the department of a head: it follows WeCom.
func (r Receiver) DepartmentFixed() error {
	if r.Source != Head {
		return nil
	}
	return &Refusal{[]Problem{{"department", "the department of a head follows WeCom", "change the role in WeCom, or enter a receiver of its own for the other department"}}}
}

// Text is a row as it is stored.
func (row Row) Text() (string, error) { return text(row) }

// Text is the edits as they are stored.
func (e Edit) Text() (string, error) { return text(e) }

func text(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("write a receiver: %w", err)
	}
	return string(b), nil
}

// ParseRow reads what Row.Text wrote.
func ParseRow(stored string, rev int) (Row, error) {
	row := Row{Rev: rev}
	if err := json.Unmarshal([]byte(stored), &row); err != nil {
		return row, fmt.Errorf("a receiver can't be read")
	}
	return row, nil
}

// ParseEdit reads what Edit.Text wrote.
func ParseEdit(stored string, rev int) (Edit, error) {
	e := Edit{Rev: rev}
	if err := json.Unmarshal([]byte(stored), &e); err != nil {
		return e, fmt.Errorf("the edits of a head of department can't be read")
	}
	return e, nil
}

// EditOf is the edits of a head among others, empty ones if there are none.
func EditOf(edits []Edit, user archive.PartyID) Edit {
	for _, e := range edits {
		if e.User == user {
			return e
		}
	}
	return Edit{User: user}
}
