package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)

func TestHoursAreRightOnlyBetweenTheirBounds(t *testing.T) {
	began := span{noon, noon.Add(time.Minute)}
	looked := span{noon.Add(10 * time.Hour), noon.Add(10*time.Hour + time.Minute)}
	least, most := left(began, looked, messageDays)
	if least > 110 || least < 109.9 || most < 110 || most > 110.1 {
		t.Fatalf("of 120 hours %v to %v are left after ten", least, most)
	}
	for _, c := range []struct {
		stated, tenth float64
		right         bool
	}{{110, 0, true}, {109.9, 0, false}, {110.1, 0, false}, {120, 0, false}, {110, 0.1, true}, {109.9, 0.1, true}, {109.8, 0.1, false}, {110.1, 0.1, false}} {
		if said := holds("it", c.stated, least, most, c.tenth); (said == "") != c.right {
			t.Errorf("%v by steps of %v: %q", c.stated, c.tenth, said)
		}
	}
}

func TestWhatHasLeftTheWindowHasNoHoursAndWhatDoesNotWaitHasAll(t *testing.T) {
	late := span{noon.Add(200 * time.Hour), noon.Add(200 * time.Hour)}
	if least, most := left(span{noon, noon}, late, messageDays); least != 0 || most != 0 {
		t.Errorf("%v to %v hours are left", least, most)
	}
	if least, most := left(span{}, late, mediaDays); least != 72 || most != 72 {
		t.Errorf("with nothing waiting %v to %v hours are left", least, most)
	}
}

func TestTheEarlierOfTwoMomentsIsTaken(t *testing.T) {
	a, b := span{noon, noon.Add(time.Hour)}, span{noon.Add(-time.Hour), noon.Add(2 * time.Hour)}
	if got := a.earlier(b); got != (span{noon.Add(-time.Hour), noon.Add(time.Hour)}) {
		t.Errorf("%v", got)
	}
	if a.earlier(span{}) != a || (span{}).earlier(a) != a {
		t.Error("no moment is earlier than one")
	}
}

func TestAProcessThatGrowsIsNamed(t *testing.T) {
	v := vitals{2: {"Process": {20, 20, 2}, "Fetch": {20, 20, 2}, "Media": {20, 20, 2}, "Watch": {20, 20, 1}}, 7: {"Process": {60, 20, 2}, "Fetch": {20, 60, 2}, "Media": {20, 20, 11}, "Watch": {24, 22, 3}}}
	got := strings.Join(v.grown(2, 7), "\n")
	for _, words := range []string{"Process grew: 20.0 MB", "Fetch grew: 20.0 descriptors", "Media: 11 processes"} {
		if !strings.Contains(got, words) {
			t.Errorf("%q is not in: %s", words, got)
		}
	}
	if strings.Contains(got, "Watch") || strings.Count(got, "\n") != 2 {
		t.Errorf("named was: %s", got)
	}
	var out bytes.Buffer
	if err := v.print(&out, 2, 7); err != nil || !strings.Contains(out.String(), "Process") {
		t.Errorf("printed was %s: %v", out.String(), err)
	}
}

func TestThisProcessHoldsSomething(t *testing.T) {
	memory, descriptors, ok := held(os.Getpid())
	if !ok {
		t.Skip("there is no /proc on this system")
	}
	if memory <= 0 || descriptors < 3 {
		t.Errorf("%v MB and %v descriptors", memory, descriptors)
	}
	if _, _, ok := held(1 << 30); ok {
		t.Error("a process that is not there holds something")
	}
}

func TestAWeekNeedsLeapsThatMeetItsEvents(t *testing.T) {
	for _, bad := range [][]string{{"-step", "7h"}, {"-step", "1m"}, {"-n", "3"}, {"-step", "-6h"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	for _, hour := range append([]int{away, back, storeAway, storeBack, downB, upB, tableAway, tableBack, muteA, audibleA, doubledFrom, doubledTo, reversedFrom, reversedTo}, keysAt...) {
		if hour%int(coarseStep/time.Hour) != 0 || hour >= days*24 {
			t.Errorf("a coarse week has no hour %d", hour)
		}
	}
	if o, err := parse([]string{"-n", "1000"}); err != nil || o.step != coarseStep {
		t.Errorf("a short week leaps %v: %v", o.step, err)
	}
	if o, err := parse(nil); err != nil || o.step != fineStep || o.n != 200000 {
		t.Errorf("a week leaps %v with %d messages: %v", o.step, o.n, err)
	}
}
