package directory_test

import (
	"fmt"
	"testing"

	"github.com/wecomvault/wecomvault/shared/directory"
)

// year is hourly snapshots of a year, in which one member changed a few times, as they are kept.
func year() (directory.Packed, []directory.Glance) {
	var list []directory.Observation
	for n := range 8760 {
		list = append(list, snapshot(hour(n), contacts, person("a", func(m *directory.Member) { m.Position = string(rune('a' + n/1000)) })))
	}
	looks, glances := taken(directory.KindMember, "a", list...)
	return directory.Pack(directory.KindMember, "a", looks, glances), glances
}

// What one changed member costs after a year of hourly snapshots, and what 10,000 do that change at once: the timeline is made once for all.
func BenchmarkFoldAYearOfHours(b *testing.B) {
	packed, glances := year()
	for _, members := range []int{1, 10_000} {
		b.Run(fmt.Sprint(members, " members"), func(b *testing.B) {
			b.ReportMetric(float64(len(packed.Looks)), "looks-kept")
			b.ReportAllocs()
			for b.Loop() {
				line := directory.NewTimeline(glances)
				for range members {
					added := line.Add(directory.KindMember, "a", packed, nil, nil)
					directory.Fold(directory.KindMember, "a", line.Unpack(directory.KindMember, "a", added), nil)
				}
			}
		})
	}
}

// The same of all looks, which the timeline is held against.
func BenchmarkFoldAllLooksOfAYear(b *testing.B) {
	packed, glances := year()
	b.ReportAllocs()
	for b.Loop() {
		directory.Fold(directory.KindMember, "a", directory.Unpack(directory.KindMember, "a", packed, glances), nil)
	}
}
