package directory_test

import (
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
)

func TestAnEventKeepsWhenItWasFirstRecorded(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2031, 4, 2, h, 0, 0, 0, time.UTC) }
	event := directory.Event{Kind: directory.KindMember, ID: "ana", What: directory.MobileChanged, Old: "1", New: "2", After: at(8), By: at(11), Via: "contacts"}
	stored := event
	stored.Recorded = at(11)
	narrower, other, told := event, event, event
	narrower.By = at(10)
	other.After, other.By = at(11), at(14) // the same change once more, after it was undone
	told.Told = []time.Time{at(9)}
	for name, c := range map[string]struct {
		put  directory.Event
		want time.Time
	}{
		"new":                            {directory.Event{Kind: directory.KindMember, ID: "bo", What: directory.Joined, By: at(11)}, at(13)},
		"told of":                        {told, at(11)},
		"in a narrower interval":         {narrower, at(11)},
		"the same, at a time of its own": {func() directory.Event { e := other; e.After = at(12); return e }(), at(13)},
	} {
		got := directory.Record([]directory.Event{c.put}, []directory.Event{stored}, at(13))
		if len(got) != 1 || !got[0].Recorded.Equal(c.want) || got[0].Key() != c.put.Key() {
			t.Errorf("%s: recorded at %v, want %v", name, got[0].Recorded, c.want)
		}
	}
}
