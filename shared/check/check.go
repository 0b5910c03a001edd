// Package check owns what a compliance officer wants to be told about a message: rules, and the findings that they make. A rule looks at one
// message and at nothing else, so that the same message gives the same findings for ever. It must not change a message, keep one, or
// know how findings are stored or reported.
package check

import "github.com/wecomvault/wecomvault/shared/archive"

// Version names the set of rules that Rules returns. It rises with every change to what a rule finds, so that a stored finding says which
// set made it, and so that an archive can be checked again.
const Version = 1

// Severity says how soon a person should look.
type Severity string

// The severities. A Notice can wait for the next report; a Warning means that the archive may lack something.
const (
	Notice  Severity = "notice"
	Warning Severity = "warning"
)

// Rule finds one thing in a message.
type Rule struct {
	ID       string // stable, kebab case: a table key and a metric
	Title    string // one sentence for people
	Severity Severity
	Match    func(archive.Message) bool // pure, and safe for use at the same time
}

// Finding says that a rule matched a message. It names the message and never quotes it.
type Finding struct {
	Rule     string // the rule's ID
	Severity Severity
	Corp     archive.CorpID
	Seq      archive.Seq
	MsgID    archive.MsgID
}

// Run applies the rules to a message and returns a finding for each that matches, in the rules' order; nil if none does.
func Run(rules []Rule, m archive.Message) []Finding {
	var findings []Finding
	for _, r := range rules {
		if r.Match(m) {
			findings = append(findings, Finding{Rule: r.ID, Severity: r.Severity, Corp: m.Corp, Seq: m.Seq, MsgID: m.MsgID})
		}
	}
	return findings
}
