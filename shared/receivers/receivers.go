// Package receivers owns who gets which report of a company, for which departments, at which address, in which language: receivers that were entered, heads
// of department as WeCom has them with what was edited, account admins, the operations address, and the mailbox that gets copies. It says what may be entered
// and why something may not, and which mails a report of a day makes.
//
// What it says holds when a report's mails are planned. The plan stands: who is removed, and whose report is switched off, after that still gets the mail.
//
// It is a function of its arguments: it reads no store, sends nothing, and has no clock. It must not decide what a report says.
package receivers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/report"
)

// Source is what makes somebody a receiver. The values are stable.
type Source string

// The sources, in the order in which they decide what a mail to an address that has several of them looks like.
const (
	Entered    Source = "entered"    // somebody entered the receiver: everything can be changed
	Head       Source = "head"       // WeCom's role: the department follows WeCom, and only WeCom can take the receiver away
	Admin      Source = "admin"      // an account admin: urgent alerts, and what they subscribe to
	Operations Source = "operations" // the company's operations address
	Copy       Source = "copy"       // the mailbox that gets copies
)

func (s Source) rank() int { return slices.Index([]Source{Entered, Head, Admin, Operations, Copy}, s) }

// Row is a receiver that somebody entered.
type Row struct {
	ID         string        `json:"id"` // RowID's form
	Name       string        `json:"name,omitempty"`
	Address    string        `json:"address"`
	Language   string        `json:"language"` // "zh" or "en"; "": the company's
	Department int           `json:"department"`
	Reports    []report.Kind `json:"reports"` // in the order of report.Kinds, each once, at least one
	Added      time.Time     `json:"added"`
	Rev        int           `json:"-"` // of the stored row; 0: not stored yet
}

// Edit is what was edited of a head of department. A field that is nil is WeCom's, and follows it.
type Edit struct {
	User     archive.PartyID `json:"user"`
	Name     *string         `json:"name,omitempty"`
	Address  *string         `json:"address,omitempty"`
	Language string          `json:"language,omitempty"` // "": the company's
	Reports  *[]report.Kind  `json:"reports,omitempty"`  // empty: muted; nil: the defaults
	Rev      int             `json:"-"`
}

// Empty says that nothing is edited: all is WeCom's.
func (e Edit) Empty() bool {
	return e.Name == nil && e.Address == nil && e.Language == "" && e.Reports == nil
}

// idParts of a row and of a head.
const (
	rowMark  = "r-"
	headMark = "h-"
)

// RowID is the id of a receiver that is entered, made of random bytes.
func RowID(random [8]byte) string { return fmt.Sprintf("%s%x", rowMark, random) }

// HeadID is the id of a head of department as a receiver.
func HeadID(user archive.PartyID) string { return headMark + string(user) }

// HeadOf is the head of department that an id names; ok is false for the id of an entered receiver.
func HeadOf(id string) (user archive.PartyID, ok bool) {
	rest, ok := strings.CutPrefix(id, headMark)
	return archive.PartyID(rest), ok && rest != ""
}

// HeadDefaults is what a head of department gets who has not been edited.
func HeadDefaults() []report.Kind {
	return []report.Kind{report.UserStatus, report.MissingMobile, report.GroupsBreach}
}

// OperationsDefaults is what the operations address gets.
func OperationsDefaults() []report.Kind {
	return []report.Kind{report.NumberChange, report.DeletedUsers, report.NewUsers, report.Maintenance, report.Coverage}
}

// AdminDefaults is what an account admin gets at noon who has subscribed to nothing: R8 is for them, and on from the beginning. Urgent alerts come besides, whatever is
// subscribed to.
func AdminDefaults() []report.Kind { return []report.Kind{report.UserStatus, report.MissingEmail} }

// Copied is the reports of which the alert mailbox, or else the control mailbox, gets a copy.
func Copied() []report.Kind {
	return []report.Kind{report.MissingMobile, report.GroupsBreach, report.Maintenance, report.MissingEmail}
}

// AdminRow is an account admin: who is told at once when the account needs attention.
type AdminRow struct {
	Name     string
	Address  string
	Language string
	Reports  []report.Kind // nil: the defaults
}

// Company is everything that decides who gets what, as of one moment.
type Company struct {
	Tree     *directory.Tree
	Names    map[int]string // of the departments that are there
	Heads    []directory.Head
	Entered  []Row
	Edits    []Edit // of heads, and of those who are none any more
	Admins   []AdminRow
	Settings Settings
}

// Receiver is one row of the list of a company's receivers.
type Receiver struct {
	ID          string
	Source      Source
	Name        string
	Address     string // "" for a head whose address is not known
	Language    report.Language
	Reports     []report.Kind // none: muted
	Departments []int         // ascending; the root alone for the whole company
	Missing     []int         // those among them that are not there any more
	NotSent     []report.Kind // those among the reports that are not sent: they tell of the whole company, and the departments are a part of it
	Added       time.Time     // of entered ones
	Rev         int           // of the stored row, or of the edits; 0: none is stored

	// Of heads: WeCom's own values, shown beside edited ones, and which fields are edited.
	WeComName    string
	WeComAddress string
	Edited       []string           // of name, address, language, reports
	Unreachable  string             // why no mail can go there, in English; "" if one can
	Unreached    report.Unreachable // Unreachable in a word
}

// Muted says that the receiver gets no report.
func (r Receiver) Muted() bool { return len(r.Reports) == 0 }

// WhyNotSent says which of the reports are not sent and why, in English; "" if all are.
func (r Receiver) WhyNotSent() string {
	if len(r.NotSent) == 0 {
		return ""
	}
	return fmt.Sprintf("%s tells of the whole company, and this receiver is in charge of a part of it", r.NotSent[0])
}

// Editable is the fields that may be changed.
func (r Receiver) Editable() []string {
	switch r.Source {
	case Entered:
		return []string{"name", "address", "language", "reports", "department"}
	case Head:
		return []string{"name", "address", "language", "reports"}
	default:
		return nil
	}
}

// List is a company's receivers: entered ones by id, then heads by userid, account admins, the operations address, the mailbox for copies. A head who lost
// the role is not in it, whatever was edited; the edits wait for the role to come back.
func List(c Company) []Receiver {
	var all []Receiver
	for _, row := range sortedBy(c.Entered, func(r Row) string { return r.ID }) {
		r := Receiver{
			ID: row.ID, Source: Entered, Name: row.Name, Address: row.Address, Language: languageOf(row.Language, c.Settings), Reports: inOrder(row.Reports),
			Departments: []int{row.Department}, Added: row.Added, Rev: row.Rev,
		}
		r.Missing = c.scope(r.Departments).Missing()
		all = append(all, r)
	}
	edits := map[archive.PartyID]Edit{}
	for _, e := range c.Edits {
		edits[e.User] = e
	}
	for _, h := range sortedBy(c.Heads, func(h directory.Head) string { return string(h.ID) }) {
		r := headRow(h, edits[h.ID], c.Settings)
		r.Missing = c.scope(r.Departments).Missing()
		all = append(all, r)
	}
	for i, a := range c.Admins {
		reports := AdminDefaults()
		if a.Reports != nil {
			reports = inOrder(a.Reports)
		}
		all = append(all, Receiver{
			ID: fmt.Sprintf("a-%d", i+1), Source: Admin, Name: a.Name, Address: a.Address, Language: languageOf(a.Language, c.Settings), Reports: reports,
			Departments: []int{directory.Root},
		})
	}
	if o := c.Settings.Operations; o != "" {
		all = append(all, Receiver{ID: "operations", Source: Operations, Address: o, Language: languageOf("", c.Settings), Reports: OperationsDefaults(),
			Departments: []int{directory.Root}})
	}
	if m := c.Settings.CopyTo(); m != "" {
		all = append(all, Receiver{ID: "copy", Source: Copy, Address: m, Language: languageOf("", c.Settings), Reports: Copied(), Departments: []int{directory.Root}})
	}
	for i := range all {
		all[i].NotSent = notSent(all[i])
	}
	return all
}

// notSent is a receiver's reports that tell of the whole company, where the departments are a part of it. Nobody can enter that; a head for whom it was
// edited may have led the root then.
func notSent(r Receiver) []report.Kind {
	if slices.Contains(r.Departments, directory.Root) {
		return nil
	}
	var kinds []report.Kind
	for _, k := range r.Reports {
		if companyWide(k) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// headRow is a head of department with what was edited laid over WeCom's values.
func headRow(h directory.Head, e Edit, s Settings) Receiver {
	r := Receiver{
		ID: HeadID(h.ID), Source: Head, Name: report.CleanName(h.Member.Name), Language: languageOf(e.Language, s), Reports: HeadDefaults(), Departments: h.Departments, Rev: e.Rev,
		WeComName: report.CleanName(h.Member.Name),
	}
	address, err := report.CheckAddress(h.Member.Email)
	switch {
	case err == nil:
		r.Address, r.WeComAddress = address, address
	case !h.Known:
		r.Unreachable, r.Unreached = "WeCom shows us no record of this member, so no address is known", report.UnreachableUnknown
	case !h.Member.EmailReadable:
		r.Unreachable, r.Unreached = "WeCom does not show us this member's email with the secrets we have", report.UnreachableHidden
	case strings.TrimSpace(h.Member.Email) == "":
		r.Unreachable, r.Unreached = "this member has no email in WeCom", report.UnreachableNone
	default:
		r.Unreachable, r.Unreached = "the email in WeCom is no address that mail can be sent to", report.UnreachableBad
	}
	if e.Name != nil {
		r.Name, r.Edited = *e.Name, append(r.Edited, "name")
	}
	if e.Address != nil {
		r.Address, r.Unreachable, r.Unreached, r.Edited = *e.Address, "", "", append(r.Edited, "address")
	}
	if e.Language != "" {
		r.Edited = append(r.Edited, "language")
	}
	if e.Reports != nil {
		r.Reports, r.Edited = inOrder(*e.Reports), append(r.Edited, "reports")
	}
	return r
}

// Unreachable is the heads of department to whom reports should go and can't: the operations address and the account admins are told of them.
func Unreachable(list []Receiver) []Receiver {
	return slices.DeleteFunc(slices.Clone(list), func(r Receiver) bool { return r.Unreachable == "" || r.Muted() })
}

// Gone is the receivers of reports some department of whom is not there any more: they are told nothing of it, and don't know why.
func Gone(list []Receiver) []Receiver {
	return slices.DeleteFunc(slices.Clone(list), func(r Receiver) bool { return len(r.Missing) == 0 || r.Muted() })
}

func (c Company) scope(departments []int) directory.Scope {
	if c.Tree == nil {
		return directory.Scope{}
	}
	return c.Tree.Scope(departments...)
}

// languageOf is a row's language, else the company's.
func languageOf(own string, s Settings) report.Language {
	for _, l := range []string{own, s.Language} {
		if language, err := report.ParseLanguage(l); err == nil {
			return language
		}
	}
	return report.Chinese
}

// inOrder is reports in the order of report.Kinds, each once; what this version does not know is left out.
func inOrder(kinds []report.Kind) []report.Kind {
	out := []report.Kind{}
	for _, k := range report.Kinds() {
		if slices.Contains(kinds, k) {
			out = append(out, k)
		}
	}
	return out
}

func sortedBy[E any](list []E, key func(E) string) []E {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b E) int { return strings.Compare(key(a), key(b)) })
	return list
}
