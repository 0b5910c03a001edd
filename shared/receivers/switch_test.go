package receivers

import (
	"testing"
	"time"
)

func TestASwitchedReportIsMadeForTheNoonsAtWhichItIsOn(t *testing.T) {
	at := time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)
	off := Settings{}.Turned("R5", true, "an", at.Add(-time.Hour))
	on := off.Turned("R5", false, "bo", at.Add(45*time.Hour))
	sameDay := off.Turned("R5", false, "bo", at.Add(3*time.Hour))
	for name, c := range map[string]struct {
		s    Settings
		noon time.Time
		want bool
	}{
		"never switched":         {Settings{}, at, true},
		"off":                    {off, at, false},
		"off the noon before":    {on, at.Add(24 * time.Hour), false},
		"on by the noon":         {on, at.Add(48 * time.Hour), true},
		"on again on that day":   {sameDay, at, true},
		"the noon before it all": {on, at, false},
	} {
		if got := c.s.OnFor("R5", c.noon); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if again := on.Turned("R5", false, "cy", at.Add(90*time.Hour)); again.Switches["R5"] != on.Switches["R5"] {
		t.Errorf("switched on twice, it is noted as %+v", again.Switches["R5"])
	}
}
