package derived_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/derived"
)

func TestAMessageWithoutATimeTakesItsBatchs(t *testing.T) {
	b := derived.Batch{Pulled: time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC), CaughtUp: time.Date(2031, 5, 6, 11, 0, 0, 0, time.UTC)}
	sent := b.Pulled.Add(-time.Minute)
	media := []archive.Media{{FileID: "chart"}}
	rows := derived.Of(b, []archive.SegmentItem{
		{Message: archive.Message{Corp: "wwtide", Seq: 1, Action: archive.Send, Type: "tide", From: "an", Time: sent, Media: media}},
		{Message: archive.Message{Corp: "wwtide", Seq: 2, Action: archive.Send, Type: "file", Known: true, From: "an", Media: append(media, media...)}},
	})
	var found []string
	for _, f := range rows.Findings {
		found = append(found, f.Rule+" "+f.Seq.String()+" "+f.Time.Format(time.TimeOnly))
	}
	if diff := cmp.Diff([]string{"unknown-type 1 11:59:00", "no-time 2 12:00:00"}, found); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]derived.File{{ID: "chart", Clock: sent}, {ID: "chart", Clock: b.CaughtUp}, {ID: "chart", Clock: b.CaughtUp}}, rows.Files); diff != "" {
		t.Error(diff)
	}
	if len(rows.Messages) != 2 || rows.Messages[1].Seq != 2 {
		t.Errorf("the messages are %+v", rows.Messages)
	}
}
