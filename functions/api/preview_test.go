package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/report"
)

func TestEveryReportOfANoonCanBePreviewed(t *testing.T) {
	d := newDesk(t)
	for _, kind := range report.Kinds() {
		d.kept(kind, `"Now":"2033-03-01T12:00:00Z","Rows":[]`)
		for _, body := range []string{`{"department":1,"language":"zh"}`, `{"department":3,"language":"en"}`} {
			if kind == report.Maintenance && strings.Contains(body, "3") {
				continue // it tells of the whole company
			}
			x := d.ask(d.token("compliance"), "POST", "/v1/corps/wwreed/reports/"+string(kind)+"/preview", body)
			if subject, _ := x.body["subject"].(string); x.StatusCode != http.StatusOK || !strings.Contains(subject, "Reed") {
				t.Errorf("%s %s: %d %s", kind, body, x.StatusCode, x.text)
			}
		}
	}
}

func TestAPreviewShowsWhatIsWithinTheDepartmentAndNothingElse(t *testing.T) {
	d := newDesk(t)
	place := "/v1/corps/wwreed/reports/R5/preview"
	x := d.ask(d.token("admin"), "POST", place, `{"department":1}`)
	if kind, _ := x.field(); x.StatusCode != http.StatusConflict || kind != "not-made" {
		t.Errorf("before the first noon: %d %s", x.StatusCode, x.text)
	}
	d.kept(report.NewUsers, `"rows":[{"id":"eda","name":"Eda Below","departments":[3],"status":1,"fresh":true},{"id":"fay","name":"Fay Beside","departments":[4],"status":1,"fresh":true}]`)
	for claim, of := range map[string]map[string]string{
		"admin":               {"1": "Eda Fay", "2": "Eda", "3": "Eda", "4": "Fay"},
		"supervisor:wwreed:2": {"2": "Eda", "3": "Eda"},
	} {
		for department, names := range of {
			x := d.ask(d.token(claim), "POST", place, `{"department":`+department+`,"language":"en"}`)
			if x.StatusCode != http.StatusOK || x.body["subject"] == "" || x.body["language"] != "en" || x.body["day"] != "2033-03-01" {
				t.Errorf("%s, %s: %d %s", claim, department, x.StatusCode, x.text)
			}
			for _, name := range []string{"Eda", "Fay"} {
				if shown := strings.Contains(x.text, name); shown != strings.Contains(names, name) {
					t.Errorf("%s, department %s: %s is shown: %t", claim, department, name, shown)
				}
			}
		}
	}
	for body, want := range map[string]int{`{}`: 422, `{"department":9}`: 422, `{"department":1,"language":"fr"}`: 422} {
		if x := d.ask(d.token("admin"), "POST", place, body); x.StatusCode != want {
			t.Errorf("%s: %d %s", body, x.StatusCode, x.text)
		}
	}
	if x := d.ask(d.token("admin"), "POST", strings.Replace(place, "R5", "R99", 1), `{"department":1}`); x.StatusCode != 404 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
}
