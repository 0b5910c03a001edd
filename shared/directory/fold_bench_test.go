package directory_test

import (
	"testing"

	"github.com/wecomvault/wecomvault/shared/directory"
)

// What one changed member costs after a year of hourly snapshots.
func BenchmarkFoldAYearOfHours(b *testing.B) {
	var list []directory.Observation
	for n := range 8760 {
		list = append(list, snapshot(hour(n), contacts, person("a", func(m *directory.Member) { m.Position = string(rune('a' + n/1000)) })))
	}
	looks, glances := taken(directory.KindMember, "a", list...)
	packed := directory.Pack(directory.KindMember, "a", looks, glances)
	b.ReportMetric(float64(len(packed.Looks)), "looks-kept")
	for b.Loop() {
		directory.Fold(directory.KindMember, "a", directory.Unpack(directory.KindMember, "a", packed, glances), nil)
	}
}
