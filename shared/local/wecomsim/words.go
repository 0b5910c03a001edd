package wecomsim

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// hash64 is a number that depends on nothing but its arguments.
func hash64(parts ...any) uint64 {
	sum := sha256.Sum256(fmt.Append(nil, parts...))
	return binary.BigEndian.Uint64(sum[:])
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// withoutControls takes out the bytes below 0x20 that JSON does not allow in a string.
func withoutControls(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c >= 0x20 {
			out = append(out, c)
		}
	}
	return out
}
