package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/preview"
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
	d.kept(report.NewUsers, `"rows":[{"id":"eda","name":"Eda Below","departments":[3],"status":1,"fresh":true},{"id":"fay","name":"Fay Beside","departments":[4],"status":1,"fresh":true}]`)
	for claim, of := range map[string]map[string]string{
		"admin":               {"1": "Eda Fay", "2": "Eda", "3": "Eda", "4": "Fay"},
		"supervisor:wwreed:2": {"2": "Eda", "3": "Eda"},
	} {
		for department, names := range of {
			x := d.ask(d.token(claim), "POST", place, `{"department":`+department+`,"language":"en"}`)
			if x.StatusCode != http.StatusOK || x.body["subject"] == "" || x.body["language"] != "en" || x.body["as_of"] != "2033-03-01T12:00:00Z" {
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
	for query, want := range map[string]int{"": 422, "?department=x": 400, "?department=99999999999999999999": 422, "?department=1&language=fr": 422, "?department=1&day=1": 400} {
		if x := d.ask(d.token("admin"), "GET", place+query, ""); x.StatusCode != want {
			t.Errorf("%s: %d %s", query, x.StatusCode, x.text)
		}
	}
	if x := d.ask(d.token("admin"), "POST", strings.Replace(place, "R5", "R99", 1), `{"department":1}`); x.StatusCode != 404 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
}

// A preview is made by report when somebody asks, once for all who ask within minutes, and says that it is one.
func TestAPreviewIsMadeNowAndForAllWhoAskMeanwhile(t *testing.T) {
	d := newDesk(t)
	const place = "/v1/corps/wwreed/reports/R5/preview"
	admin, head := d.token("admin"), d.token("supervisor:wwreed:2")
	if x := d.ask(admin, "GET", place+"?department=1", ""); x.StatusCode != http.StatusNotFound {
		t.Errorf("before anybody asked: %d %s", x.StatusCode, x.text)
	}
	x := d.ask(admin, "POST", place, `{"department":1,"language":"en"}`)
	where := x.Header.Get("Location")
	if x.StatusCode != http.StatusAccepted || x.body["state"] != "making" || x.Header.Get("Retry-After") != "2" {
		t.Fatalf("%d %s", x.StatusCode, x.text)
	}
	if x := d.ask(head, "POST", place, `{"department":2}`); x.StatusCode != http.StatusAccepted {
		t.Errorf("another asks too: %d %s", x.StatusCode, x.text)
	}
	if x := d.ask(admin, "GET", where, ""); x.StatusCode != http.StatusAccepted {
		t.Errorf("while it is made: %d %s", x.StatusCode, x.text)
	}
	p, err := d.operator.Preview(t.Context(), corp, "R5")
	d.OK(err)
	if jobs := d.Take("ReportQueue"); len(jobs) != 1 || !strings.Contains(jobs[0], `"preview":"`+p.ID+`"`) {
		t.Errorf("report is asked %d times: %v", len(jobs), jobs)
	}
	const rows = `"rows":[{"id":"eda","name":"Eda Below","departments":[3],"status":1,"fresh":true},{"id":"fay","name":"Fay Beside","departments":[4],"status":1,"fresh":true}]`
	d.makes(report.NewUsers, rows)
	x = d.ask(admin, "GET", where, "")
	if subject, _ := x.body["subject"].(string); x.StatusCode != http.StatusOK || !strings.HasPrefix(subject, "PREVIEW ") || strings.Count(x.text, "PREVIEW: what this mail would be") < 2 ||
		!strings.Contains(x.text, "Fay") {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	d.later = preview.Fresh - time.Second
	if x := d.ask(head, "POST", place, `{"department":2,"language":"en"}`); x.StatusCode != http.StatusOK || strings.Contains(x.text, "Fay") || !strings.Contains(x.text, "Eda") {
		t.Errorf("a head, minutes later: %d %s", x.StatusCode, x.text)
	}
	d.later = preview.Fresh
	if x := d.ask(admin, "GET", where, ""); x.StatusCode != http.StatusNotFound {
		t.Errorf("an old one: %d %s", x.StatusCode, x.text)
	}
	if x := d.ask(admin, "POST", place, `{"department":1}`); x.StatusCode != http.StatusAccepted {
		t.Errorf("asked anew: %d %s", x.StatusCode, x.text)
	}
	if jobs := d.Take("ReportQueue"); len(jobs) != 1 || strings.Contains(jobs[0], p.ID) {
		t.Errorf("report is asked for %v", jobs)
	}
	d.later += preview.Patience // it was lost
	if x := d.ask(admin, "POST", place, `{"department":1}`); x.StatusCode != http.StatusAccepted || len(d.Take("ReportQueue")) != 1 {
		t.Errorf("asked after one was lost: %d %s", x.StatusCode, x.text)
	}
}

// Without the job nobody would make it: that it was asked for is taken back, and the next request asks again.
func TestAPreviewThatCouldNotBeAskedForIsAskedForAgain(t *testing.T) {
	d := newDesk(t)
	const place, body = "/v1/corps/wwreed/reports/R5/preview", `{"department":1}`
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if q.Operation == "SendMessage" {
			return awslocal.FaultDecision{Act: awslocal.Refuse, Code: "AccessDenied", Status: 403}
		}
		return awslocal.FaultDecision{}
	})
	if x := d.ask(d.token("admin"), "POST", place, body); x.StatusCode != http.StatusInternalServerError {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	d.Fault(nil)
	if x := d.ask(d.token("admin"), "POST", place, body); x.StatusCode != http.StatusAccepted || len(d.Take("ReportQueue")) != 1 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
}

// Who dies between the row of a preview and its job leaves neither somebody to make it nor somebody to take it back.
func TestAPreviewWhoseJobWasNeverSentIsAnnouncedByWhoeverAsksNext(t *testing.T) {
	d := newDesk(t)
	const place, body = "/v1/corps/wwreed/reports/R5/preview", `{"department":1}`
	admin := d.token("admin")
	var dead atomic.Bool
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if dead.Load() || q.Operation == "SendMessage" {
			dead.Store(true)
			return awslocal.FaultDecision{Act: awslocal.Refuse, Code: "AccessDenied", Status: 403}
		}
		return awslocal.FaultDecision{}
	})
	d.ask(admin, "POST", place, body)
	d.Fault(nil)
	for later, want := range []int{0, 1, 0} {
		d.later = time.Duration(later) * 16 * time.Second
		if x := d.ask(admin, "POST", place, body); x.StatusCode != http.StatusAccepted {
			t.Errorf("%v later: %d %s", d.later, x.StatusCode, x.text)
		}
		if jobs := d.Take("ReportQueue"); len(jobs) != want {
			t.Errorf("%v later report is asked %d times", d.later, len(jobs))
		}
	}
}

// The preview of a very large company may be made for longer than one is fresh: whoever waits for it sees it all the same.
func TestAPreviewIsFreshFromWhenItIsMade(t *testing.T) {
	d := newDesk(t)
	const place = "/v1/corps/wwreed/reports/R5/preview"
	admin := d.token("admin")
	d.ask(admin, "POST", place, `{"department":1}`)
	d.Take("ReportQueue")
	d.later = preview.Fresh + time.Minute
	if x := d.ask(admin, "GET", place+"?department=1", ""); x.StatusCode != http.StatusAccepted {
		t.Errorf("while it is made: %d %s", x.StatusCode, x.text)
	}
	d.makes(report.NewUsers, `"rows":[]`)
	for later, want := range map[time.Duration]int{0: http.StatusOK, preview.Fresh - time.Second: http.StatusOK, preview.Fresh: http.StatusNotFound} {
		d.later = preview.Fresh + time.Minute + later
		if x := d.ask(admin, "GET", place+"?department=1", ""); x.StatusCode != want || want == http.StatusOK && x.body["as_of"] != rfc3339(noon) {
			t.Errorf("%v after it was made: %d %s", later, x.StatusCode, x.text)
		}
	}
}
