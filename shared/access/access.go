// Package access owns who may do what over the API: the roles that a checked token's claims grant, and what each role may do with what of which
// corp. It is a function of its arguments. It must not check tokens, and knows neither paths nor methods: those are the API's.
package access

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// Role is what somebody is to the archive of a corp.
type Role string

// The roles, in the words that a claim has.
const (
	Admin      Role = "admin"      // everything
	Compliance Role = "compliance" // reads everything, and says who gets which report
	Supervisor Role = "supervisor" // the same for departments and everything below them, and nothing beside them
	Auditor    Role = "auditor"    // reads what is set and what was sent, changes nothing and sees no report and no number
)

// Roles lists every role.
func Roles() []Role { return []Role{Admin, Compliance, Supervisor, Auditor} }

// Action is something that a role may or may not do with a corp.
type Action string

// The actions.
const (
	ReadCorp        Action = "corp.read"        // its name, and what one may do there
	ReadSettings    Action = "settings.read"    // what the company has decided about its reports
	ChangeSettings  Action = "settings.change"  // decide it
	ReadDepartments Action = "departments.read" // the tree, by name
	ReadReports     Action = "reports.read"     // which reports there are
	PreviewReports  Action = "reports.preview"  // a report as its receivers would be mailed it
	ReadReceivers   Action = "receivers.read"   // who gets what
	ChangeReceivers Action = "receivers.change" // add, change, remove
	ReadMails       Action = "mails.read"       // what was sent to whom, and what became of it
	ReadStatus      Action = "status.read"      // how the archive of the corp is
	ReadPeople      Action = "people.read"      // who somebody is: numbers and addresses, with source and age
	ReadHRFiles     Action = "hr-files.read"    // the company's own file about its people, every version of it
	ImportHRFiles   Action = "hr-files.import"  // put one into force
)

// Actions lists every action.
func Actions() []Action {
	return []Action{ReadCorp, ReadSettings, ChangeSettings, ReadDepartments, ReadReports, PreviewReports, ReadReceivers, ChangeReceivers, ReadMails, ReadStatus,
		ReadPeople, ReadHRFiles, ImportHRFiles}
}

// may is what each role may do. A supervisor may do it within the departments of the grant alone.
func (r Role) may(a Action) bool {
	switch r {
	case Admin:
		return true
	case Compliance:
		return a != ChangeSettings && a != ImportHRFiles
	case Supervisor:
		switch a {
		case ReadSettings, ChangeSettings, ReadStatus, ReadHRFiles, ImportHRFiles:
			return false // these are of the whole company
		}
		return true
	case Auditor:
		switch a {
		case ChangeSettings, ChangeReceivers, PreviewReports, ReadPeople, ReadHRFiles, ImportHRFiles:
			return false
		}
		return true
	default:
		return false
	}
}

// Grant is a role at a corp.
type Grant struct {
	Role        Role
	Corp        archive.CorpID // "": at every corp
	Departments []int          // of a supervisor, ascending
}

// Person is who asks, as the token has it.
type Person struct {
	Subject string
	Grants  []Grant
}

// most is how many grants a token may carry, and how many departments a grant. API Gateway takes no larger headers than a token of so many.
const most = 500

// Read reads the grants in the value of a claim, as API Gateway hands it over: one value, or a list as "[a b]". A value is
//
//	admin, compliance, auditor             at every corp
//	admin:<corp> and so on                 at one
//	supervisor:<corp>:<department>         of a department and everything below it; several are joined with "+"
//
// What is none of these is no grant: the claim may hold words for other programs.
//
// QUIRK: API Gateway joins a list's values with spaces and quotes nothing, so that a value with a space in it looks like two. Hence the claim has to be
// one whose values only the identity provider's administrators choose.
func Read(subject, claim string) Person {
	p := Person{Subject: subject}
	for _, word := range Values(claim) {
		if g, ok := grant(word); ok && len(p.Grants) < most {
			p.Grants = append(p.Grants, g)
		}
	}
	return p
}

// Values are the values of a claim as API Gateway hands it over: one, or a list as "[a b]". Half a list is none of either.
func Values(claim string) []string {
	claim = strings.TrimSpace(claim)
	inner, opened := strings.CutPrefix(claim, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if opened != closed {
		return nil
	}
	return strings.Fields(inner)
}

func grant(word string) (Grant, bool) {
	parts := strings.Split(word, ":")
	g := Grant{Role: Role(parts[0])}
	if !slices.Contains(Roles(), g.Role) {
		return Grant{}, false
	}
	if g.Role == Supervisor != (len(parts) == 3) || len(parts) > 3 {
		return Grant{}, false
	}
	if len(parts) > 1 {
		g.Corp = archive.CorpID(parts[1])
		if g.Corp == "" {
			return Grant{}, false
		}
	}
	if len(parts) == 3 {
		for _, d := range strings.Split(parts[2], "+") {
			n, err := strconv.Atoi(d)
			if err != nil || n <= 0 || strconv.Itoa(n) != d || len(g.Departments) == most {
				return Grant{}, false
			}
			g.Departments = append(g.Departments, n)
		}
		slices.Sort(g.Departments)
		g.Departments = slices.Compact(g.Departments)
	}
	return g, true
}

// Reach is how much of a corp somebody may do something with: departments and everything below each. The zero Reach is nothing.
type Reach struct {
	Departments []int // ascending; directory.Root is the whole company
}

// None says that the action is not allowed at all.
func (r Reach) None() bool { return len(r.Departments) == 0 }

// All says that it is allowed for the whole company.
func (r Reach) All() bool { return slices.Contains(r.Departments, directory.Root) }

// Reach is with how much of a corp a person may do something: what all grants give together.
func (p Person) Reach(a Action, corp archive.CorpID) Reach {
	var r Reach
	for _, g := range p.Grants {
		if !g.Role.may(a) || g.Corp != "" && g.Corp != corp {
			continue
		}
		if g.Role == Supervisor {
			r.Departments = append(r.Departments, g.Departments...)
		} else {
			r.Departments = append(r.Departments, directory.Root)
		}
	}
	slices.Sort(r.Departments)
	r.Departments = slices.Compact(r.Departments)
	return r
}

// Knows says whether a person has any role at a corp: to anybody else it is as if there were no such corp.
func (p Person) Knows(corp archive.CorpID) bool {
	return slices.ContainsFunc(p.Grants, func(g Grant) bool { return g.Corp == "" || g.Corp == corp })
}
