package report

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
)

// Receiver is someone who gets reports of one corp.
type Receiver struct {
	Name     string   `json:"name"` // may be ""
	Address  string   `json:"address"`
	Language Language `json:"language"`
	Reports  []Kind   `json:"reports"` // in the order of Kinds, each once, at least one
}

// Wants says whether the receiver gets the report.
func (r Receiver) Wants(k Kind) bool { return slices.Contains(r.Reports, k) }

// Mailbox is the receiver as the To header has it.
func (r Receiver) Mailbox() string { return (&mail.Address{Name: r.Name, Address: r.Address}).String() }

// ParseReceiver reads a receiver as an operator writes it on a command line:
//
//	Name <address>; lang=zh; reports=R1,R7
//
// Only the address is needed. Without lang the reports are in English; without reports it is all of them. Errors say what is wrong and never
// repeat the name or the address.
func ParseReceiver(s string) (Receiver, error) {
	var r Receiver
	// A quoted name may hold a semicolon, so the settings are looked for behind the address.
	head, settings := s, ""
	if from := strings.LastIndexByte(s, '@'); from >= 0 {
		if i := strings.IndexByte(s[from:], ';'); i >= 0 {
			head, settings = s[:from+i], s[from+i+1:]
		}
	}
	if strings.ContainsAny(s, "\r\n") {
		return Receiver{}, fmt.Errorf("receiver: it must be a single line")
	}
	addr, err := mail.ParseAddress(strings.TrimSpace(head))
	if err != nil {
		return Receiver{}, fmt.Errorf("receiver: write it as name@company.example or Name <name@company.example>, then ; lang=zh; reports=R1,R7 if wanted")
	}
	r.Name, r.Address, r.Language, r.Reports = clean(addr.Name), addr.Address, English, Kinds()
	seen := map[string]bool{}
	for _, part := range strings.Split(settings, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if strings.TrimSpace(part) == "" {
			continue
		}
		if !ok || (name != "lang" && name != "reports") {
			return Receiver{}, fmt.Errorf("receiver: only lang= and reports= may follow the address")
		}
		if seen[name] {
			return Receiver{}, fmt.Errorf("receiver: %s is given twice", name)
		}
		seen[name] = true
		if name == "lang" {
			if r.Language, err = ParseLanguage(value); err != nil {
				return Receiver{}, fmt.Errorf("receiver: %w", err)
			}
			continue
		}
		r.Reports = nil
		for _, code := range strings.Split(value, ",") {
			k, err := ParseKind(code)
			if err != nil {
				return Receiver{}, fmt.Errorf("receiver: %w", err)
			}
			r.Reports = append(r.Reports, k)
		}
	}
	return r.Checked()
}

// Checked is the receiver in its canonical form, or what is wrong with it.
func (r Receiver) Checked() (Receiver, error) {
	r.Name = clean(r.Name)
	if n := len([]rune(r.Name)); n > 120 {
		return Receiver{}, fmt.Errorf("receiver: the name has %d characters, at most 120 are allowed", n)
	}
	if err := checkAddress(r.Address); err != nil {
		return Receiver{}, fmt.Errorf("receiver: %w", err)
	}
	at := strings.LastIndexByte(r.Address, '@')
	r.Address = r.Address[:at] + strings.ToLower(r.Address[at:]) // the part before the @ may tell cases apart
	language, err := ParseLanguage(string(r.Language))
	if err != nil {
		return Receiver{}, fmt.Errorf("receiver: %w", err)
	}
	r.Language = language
	var reports []Kind
	for _, k := range r.Reports {
		if !slices.Contains(Kinds(), k) {
			return Receiver{}, fmt.Errorf("receiver: there is no such report: choose among %s", kindNames())
		}
	}
	for _, k := range Kinds() {
		if slices.Contains(r.Reports, k) {
			reports = append(reports, k)
		}
	}
	if len(reports) == 0 {
		return Receiver{}, fmt.Errorf("receiver: at least one report is needed: %s", kindNames())
	}
	r.Reports = reports
	return r, nil
}

// checkAddress takes the addresses that SES takes: local@domain in ASCII, a domain with a dot. Stricter than RFC 5322: no quoted local part,
// no address literal.
func checkAddress(a string) error {
	at := strings.LastIndexByte(a, '@')
	if at < 0 {
		return fmt.Errorf("the address has no @")
	}
	local, domain := a[:at], a[at+1:]
	switch {
	case !isPlain(a):
		return fmt.Errorf("the address has characters outside ASCII: write an international domain in its xn-- form")
	case len(local) == 0 || len(local) > 64:
		return fmt.Errorf("the part before the @ has %d characters, it must have 1 to 64", len(local))
	case len(a) > 254:
		return fmt.Errorf("the address has %d characters, at most 254 are allowed", len(a))
	case strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, ".."):
		return fmt.Errorf("the part before the @ has a dot out of place")
	case !isToken(local, "!#$%&'*+-/=?^_`{|}~."):
		return fmt.Errorf("the part before the @ has a character that is not allowed there")
	}
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return fmt.Errorf("the domain behind the @ has no dot")
	}
	for _, label := range labels {
		if len(label) == 0 || len(label) > 63 || !isToken(label, "-") || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return fmt.Errorf("the domain behind the @ is not a domain name")
		}
	}
	return nil
}
