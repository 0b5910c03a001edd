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
