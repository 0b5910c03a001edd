package main

import (
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// An attachment that came after a late report's noon has a window that ends later than any that was open then.
func TestALateReportPromisesNoMoreTimeForAttachmentsThanWasLeftAtItsNoon(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.calm("wwlatefile")
	_, err := d.operator.PutWaiting(t.Context(), c.ID, []ledger.Waiting{{Corp: c.ID, FileID: "after", Clock: noon.Add(5 * time.Hour)}})
	d.OK(err)
	d.at = noon.Add(6 * time.Hour)
	k, err := d.capture(t.Context(), c.ID, noon)
	d.OK(err)
	f, err := d.maintenanceDay(t.Context(), d.day(c, noon, &company{}))
	d.OK(err)
	for of, clock := range map[string]report.Clock{"R1": k.Media, "R7": f.Media} {
		if clock.State != report.ClockRunning || !clock.Ends.Equal(noon.Add(d.windows.Media)) {
			t.Errorf("%s: the attachments' clock is %+v", of, clock)
		}
	}
}
