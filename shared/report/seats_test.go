package report

import (
	"strings"
	"testing"
	"time"
)

// The service's last day is a day of service: it ends when that is over.
func TestTheServiceLastsUntilItsLastDayIsOver(t *testing.T) {
	last := time.Date(2026, 3, 18, 0, 0, 0, 0, time.UTC)
	for back, want := range map[int][2]string{
		2: {"2026-03-18 (in 2 days)", "2026-03-18（2 天后）"}, 1: {"2026-03-18 (in 1 day)", "2026-03-18（1 天后）"},
		0: {"2026-03-18 (today is the last day)", "2026-03-18（今日为最后一天）"}, -1: {"2026-03-18 (over)", "2026-03-18（已到期）"},
	} {
		f := CoverageFacts{Corp: tea, Day: noon.AddDate(0, 0, -back), Snapshot: ago(time.Hour), Company: &Company{Seats: &Seats{End: last}}}
		for i, l := range []Language{English, Chinese} {
			m, err := NewCoverage(f, View{Language: l})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(m.Text, want[i]+"\n") {
				t.Errorf("%d days before the last it does not say %q:\n%s", back, want[i], m.Text)
			}
		}
	}
}
