package report

import (
	"fmt"
	"strings"
)

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
