package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/receivers"
)

func TestTheEndOfTheServiceIsToldThirtyFourteenSevenAndOneDayBefore(t *testing.T) {
	h := newHouse(t)
	h.at = time.Date(2032, 2, 1, 12, 0, 30, 0, time.UTC)
	enter := func(end time.Time) {
		c, err := h.op.Corp(h.Context(), corp)
		h.OK(err)
		c.Settings.Service = receivers.Service{Seats: 3, End: end}
		_, err = h.op.ChangeCorp(h.Context(), c)
		h.OK(err)
	}
	end := time.Date(2032, 3, 31, 0, 0, 0, 0, time.UTC) // the last day: 31 March is whole
	enter(end)
	var told []string
	for day := 0; day <= 65; day++ {
		for range 2 { // the schedule fires again and again
			h.well()
			h.OK(h.run(t.Context()))
			if h.mailed() > 0 {
				_, all := h.alarms()
				told = append(told, fmt.Sprint(h.at.Format(time.DateOnly), " ", all["service-ending:2032-03-31"].Detail))
			}
			h.at = h.at.Add(time.Minute)
		}
		h.at = h.at.Add(24*time.Hour - 2*time.Minute)
	}
	want := []string{"2032-03-02 30", "2032-03-18 14", "2032-03-25 7", "2032-03-31 1", "2032-04-01 past"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	// Another end ends the reminder.
	enter(end.AddDate(1, 0, 0))
	h.well()
	h.OK(h.run(t.Context()))
	if open, all := h.alarms(); slices.ContainsFunc(open, func(c string) bool { return strings.HasPrefix(c, "service-ending") }) || all["service-ending:2032-03-31"].Over.IsZero() {
		t.Errorf("after it was renewed %q are open", open)
	}
}
