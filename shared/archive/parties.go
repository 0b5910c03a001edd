package archive

import (
	"slices"
	"strings"
)

// SortedParties is the set of a message's parties, sender included, sorted bytewise, without doubles and without "".
func SortedParties(from PartyID, to []PartyID) []string {
	ids := make([]string, 0, len(to)+1)
	for _, id := range append([]PartyID{from}, to...) {
		if id != "" {
			ids = append(ids, string(id))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// PartiesHash names a participant list: the first 32 hex digits of the SHA-256 over the sorted ids, one a line.
func PartiesHash(ids []string) string { return HashHex([]byte(strings.Join(ids, "\n")))[:32] }

// KeyPart is the corp's id in a form that every store takes as part of a key: letters, digits, "-", "_" and "." as they are, every other
// byte as "=XX". Different ids stay different.
func (c CorpID) KeyPart() string {
	var b strings.Builder
	for i := range len(c) {
		ch := c[i]
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', ch == '-', ch == '_', ch == '.':
			b.WriteByte(ch)
		default:
			const digits = "0123456789ABCDEF"
			b.WriteByte('=')
			b.WriteByte(digits[ch>>4])
			b.WriteByte(digits[ch&15])
		}
	}
	return b.String()
}
