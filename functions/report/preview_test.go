package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

// look has a preview of a report made, asked for at the time that it is.
func (d *desk) look(id archive.CorpID, kind report.Kind) ledger.Preview {
	d.Helper()
	name := fmt.Sprint("look", d.at.UnixMilli())
	d.OK(d.operator.AskPreview(d.Context(), ledger.Preview{Corp: id, Report: string(kind), ID: name, Asked: d.at}, d.previewID(id, kind)))
	for range 2 { // a job may come twice
		d.OK(d.asked(d.Context(), queue.ReportJob{Corp: id, Report: string(kind), Preview: name}))
	}
	p, err := d.operator.Preview(d.Context(), id, string(kind))
	d.OK(err)
	if !p.Made.Equal(d.at) {
		d.Errorf("the preview of %s is said to be made at %v", kind, p.Made)
	}
	return p
}

func (d *desk) previewID(id archive.CorpID, kind report.Kind) string {
	d.Helper()
	p, err := d.operator.Preview(d.Context(), id, string(kind))
	if !errors.Is(err, ledger.ErrAbsent) {
		d.OK(err)
	}
	return p.ID
}

func lookedAt[F any](d *desk, p ledger.Preview) F {
	d.Helper()
	body, err := d.Store(d.Config(rig.Operator), "ReportsBucket").Get(d.Context(), objstore.Object{Key: p.Object, VersionID: p.Version})
	d.OK(err)
	var kept struct {
		Facts F `json:"facts"`
	}
	d.OK(json.Unmarshal(body, &kept))
	return kept.Facts
}

// TestAPreviewTellsWhatTheNextNoonWouldAndChangesNothing plays two companies alike, of one of which each report is looked at again and again.
func TestAPreviewTellsWhatTheNextNoonWouldAndChangesNothing(t *testing.T) {
	d := newDesk(t)
	looked, plain := d.observed("wwlooked"), d.observed("wwplain")
	leaves := func(who string, by time.Time) {
		d.left(looked.ID, who, by)
		d.left(plain.ID, who, by)
	}
	lookAll := func() {
		for _, k := range report.Kinds() {
			if p := d.look(looked.ID, k); p.Object == "" {
				t.Errorf("no preview of %s is kept", k)
			}
		}
	}
	rows := func() (ids []string) {
		for _, r := range lookedAt[report.DeletedUsersFacts](d, d.look(looked.ID, report.DeletedUsers)).Rows {
			ids = append(ids, string(r.ID))
		}
		return ids
	}
	leaves("first", noon.Add(-2*time.Hour))
	d.at = noon.Add(-time.Hour)
	if ids := rows(); len(ids) != 1 || ids[0] != "first" {
		t.Errorf("before noon: %v", ids)
	}
	d.at = noon.Add(time.Second)
	d.OK(d.due(d.Context()))
	leaves("second", noon.Add(2*time.Hour))
	d.at = noon.Add(3 * time.Hour)
	if ids := rows(); len(ids) != 1 || ids[0] != "second" { // the first was told at noon
		t.Errorf("after noon: %v", ids)
	}
	lookAll()
	day := lookedAt[report.UserStatusFacts](d, d.look(looked.ID, report.UserStatus))
	if !day.Day.Equal(d.at) || !day.BeforeDay.Equal(noon) || day.Before == nil {
		t.Errorf("it is as of %s, compared with %s", day.Day, day.BeforeDay)
	}
	d.at = noon.Add(24*time.Hour + time.Second)
	d.OK(d.due(d.Context()))
	lookAll()
	got, want := d.state(looked.ID), d.state(plain.ID)
	for key := range got {
		if strings.Contains(key, "-preview-") {
			delete(got, key)
		}
	}
	// Both companies' jobs are taken together.
	for _, state := range []map[string]any{got, want} {
		for key := range state {
			if strings.HasPrefix(key, "job ") {
				delete(state, key)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("looking at reports has changed them (-not looked at +looked at):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"2032-02-10": {"first"}, "2032-02-11": {"second"}}, d.toldOfLeavers(looked.ID)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestAPreviewThatNobodyWaitsForIsNotMade(t *testing.T) {
	d := newDesk(t)
	c := d.company("wwlate")
	d.OK(d.operator.AskPreview(d.Context(), ledger.Preview{Corp: c.ID, Report: "R1", ID: "newer", Asked: d.at}, ""))
	for _, job := range []queue.ReportJob{{Corp: c.ID, Report: "R1", Preview: "older"}, {Corp: c.ID, Report: "R2", Preview: "none"}} {
		d.OK(d.asked(d.Context(), job))
	}
	if keys := d.Keys("ReportsBucket", "reports/"); len(keys) != 0 {
		t.Errorf("kept: %v", keys)
	}
	if err := d.asked(d.Context(), queue.ReportJob{Corp: c.ID, Report: "R99", Preview: "x"}); err == nil {
		t.Error("there is no such report")
	}
}
