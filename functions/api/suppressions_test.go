package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

const dead = "/v1/corps/wwreed/suppressions"

func TestADeadAddressIsShownOnItsReceiverAndCanBeLiftedOnce(t *testing.T) {
	d := newDesk(t)
	id := d.dead(3)
	token := d.token("supervisor:wwreed:2")
	var shown map[string]any
	for _, r := range d.ask(token, "GET", all, "").list("receivers") {
		if s, ok := r["suppressed"].(map[string]any); ok {
			shown = s
		}
	}
	if shown["id"] != id || shown["reason"] != "bounced" || shown["detail"] != "permanent-general" {
		t.Fatalf("%v", shown)
	}
	x := d.ask(token, "GET", dead+"/"+id, "")
	if x.StatusCode != 200 || x.body["report"] != "R1" || x.body["day"] != "2033-02-20" || x.body["address"] != "r1@reed.example" {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	for given, want := range map[string]int{"": 428, `"1"`: 412, "*": 412} {
		headers := []string{"If-Match", given}
		if given == "" {
			headers = nil
		}
		if x := d.ask(token, "DELETE", dead+"/"+id, "", headers...); x.StatusCode != want {
			t.Errorf("If-Match %s: %d", given, x.StatusCode)
		}
	}
	if x := d.ask(token, "DELETE", dead+"/"+id, "", "If-Match", x.Header.Get("ETag")); x.StatusCode != 204 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "DELETE", dead+"/"+id, "", "If-Match", x.Header.Get("ETag")); x.StatusCode != 404 {
		t.Errorf("lifted again: %d", x.StatusCode)
	}
	if left, err := d.operator.Suppressions(t.Context(), corp); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
	if text := strings.Join(d.audited(), "\n"); !strings.Contains(text, "api liftSuppression") || !strings.Contains(text, "object="+id) || strings.Contains(text, "@") {
		t.Errorf("the audit stream:\n%s", text)
	}
}

// A suppression that came again after it was read is another one.
func TestASuppressionThatCameAgainIsNotLiftedUnread(t *testing.T) {
	d := newDesk(t)
	id := d.dead(3)
	read := d.ask(d.token("admin"), "GET", dead+"/"+id, "").Header.Get("ETag")
	d.OK(d.operator.LiftSuppression(t.Context(), corp, "r1@reed.example", noon.Add(time.Minute)))
	_, err := d.operator.Suppress(t.Context(), ledger.Suppression{Corp: corp, Address: "r1@reed.example", Reason: ledger.Complained, Since: noon.Add(time.Hour)})
	d.OK(err)
	if x := d.ask(d.token("admin"), "DELETE", dead+"/"+id, "", "If-Match", read); x.StatusCode != 412 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
}

func TestAReceiverShowsWhatWasLastHeardOfItsMails(t *testing.T) {
	d := newDesk(t)
	place := all + "/" + d.enter(2)
	if x := d.ask(d.token("auditor"), "GET", place, ""); x.body["last_heard"] != nil {
		t.Errorf("%s", x.text)
	}
	for i, fate := range []ledger.Fate{ledger.SoftBounced, ledger.Delivered} {
		d.OK(d.operator.Hear(t.Context(), corp, "r1@reed.example", ledger.Heard{Fate: fate, Detail: "d" + fmt.Sprint(i), Mail: "m", At: noon.Add(time.Duration(i) * time.Hour)}))
		x := d.ask(d.token("auditor"), "GET", place, "")
		heard, _ := x.body["last_heard"].(map[string]any)
		if heard["fate"] != string(fate) || heard["detail"] != "d"+fmt.Sprint(i) || heard["at"] != rfc3339(noon.Add(time.Duration(i)*time.Hour)) {
			t.Errorf("%v", heard)
		}
	}
}

func TestWhoAsksTooOftenWaitsForTheNextMinuteAndNobodyElse(t *testing.T) {
	d := newDesk(t)
	a, _ := d.function.HTTP.(*api)
	a.perMinute = 3
	at := noon.Add(41 * time.Second)
	a.now = func() time.Time { return at }
	other, err := d.issuer.Token(map[string]any{"sub": "person-8", "aud": "wecomvault", "wecomvault_roles": "auditor"})
	d.OK(err)
	token := d.token("admin")
	for range 3 {
		if x := d.ask(token, "GET", "/v1/corps", ""); x.StatusCode != 200 {
			t.Fatalf("%d %s", x.StatusCode, x.text)
		}
	}
	x := d.ask(token, "POST", all, entry, "Idempotency-Key", "k")
	if kind, _ := x.field(); x.StatusCode != http.StatusTooManyRequests || kind != "too-many" || x.Header.Get("Retry-After") != "20" || d.entered() != 0 {
		t.Errorf("%d %v %s", x.StatusCode, x.Header, x.text)
	}
	if x := d.ask(token, "GET", "/v1/nowhere", ""); x.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a path that there is not: %d", x.StatusCode)
	}
	if x := d.ask(other, "GET", "/v1/corps", ""); x.StatusCode != 200 {
		t.Errorf("somebody else: %d", x.StatusCode)
	}
	at = at.Add(20 * time.Second)
	if x := d.ask(token, "GET", "/v1/corps", ""); x.StatusCode != 200 {
		t.Errorf("a minute later: %d", x.StatusCode)
	}
}

func TestAccountAdminsAreChangedAllTogether(t *testing.T) {
	d := newDesk(t)
	token, place := d.token("admin"), "/v1/corps/wwreed/settings"
	tag := d.ask(token, "GET", place, "").Header.Get("ETag")
	x := d.ask(token, "PUT", place, `{"admins":[{"address":"desk@reed.example","language":"zh","name":"Desk","reports":["R8","R1"]},{"address":"two@reed.example"}]}`, "If-Match", tag)
	admins := x.list("admins")
	if x.StatusCode != 200 || len(admins) != 2 || admins[0]["name"] != "Desk" || fmt.Sprint(admins[0]["reports"]) != "[R1 R8]" || admins[1]["reports"] != nil || admins[1]["language"] != "zh" {
		t.Fatalf("%d %s", x.StatusCode, x.text)
	}
	c, err := d.operator.Corp(t.Context(), corp)
	d.OK(err)
	if len(c.ReportTo) != 2 || c.ReportTo[0].Address != "desk@reed.example" || c.Name != "Reed" {
		t.Errorf("%+v", c)
	}
	var ids []string
	for _, r := range d.ask(token, "GET", all, "").list("receivers") {
		if r["source"] == "admin" {
			ids = append(ids, fmt.Sprint(r["address"]))
		}
	}
	if !slices.Equal(ids, []string{"desk@reed.example", "two@reed.example"}) {
		t.Errorf("%v", ids)
	}
	tag = x.Header.Get("ETag")
	for body, field := range map[string]string{
		`{"admins":[]}`: "admins", `{"admins":[{"address":"nowhere"}]}`: "admins[0].address", `{"admins":[{"address":"a@reed.example"},{"address":"A@reed.example"}]}`: "admins[1].address",
		`{"admins":[{"address":"a@reed.example","reports":["R99"]}]}`: "admins[0].reports", `{"admins":[{"address":"a@reed.example","language":"fr"}]}`: "admins[0].language",
		`{"operations":"nowhere","admins":[{"address":"a@reed.example"}]}`: "operations",
	} {
		x := d.ask(token, "PUT", place, body, "If-Match", tag)
		if _, f := x.field(); x.StatusCode != 422 || f != field {
			t.Errorf("%s: %d %s", body, x.StatusCode, x.text)
		}
	}
	if x := d.ask(token, "PUT", place, `{"language":"en"}`, "If-Match", tag); len(x.list("admins")) != 2 {
		t.Errorf("what is left out stays: %s", x.text)
	}
}

func TestAPreviewSaysWhetherItWouldBeMailed(t *testing.T) {
	d := newDesk(t)
	token := d.token("admin")
	d.kept(report.Maintenance, `"Now":"2033-03-01T12:00:00Z","Daily":true`)
	d.kept(report.NewUsers, `"rows":[]`)
	preview := func(kind, body string) told {
		return d.ask(token, "POST", "/v1/corps/wwreed/reports/"+kind+"/preview", body)
	}
	if x := preview("R7", `{"department":1,"language":"en"}`); x.StatusCode != 200 || x.body["mailed"] != "yes" {
		t.Errorf("a report that always says so: %d %s", x.StatusCode, x.text)
	}
	if x := preview("R7", `{"department":2}`); x.StatusCode != 422 {
		t.Errorf("a part of the company: %d", x.StatusCode)
	}
	if x := preview("R5", `{"department":1}`); x.StatusCode != 200 || x.body["mailed"] != "no news" {
		t.Errorf("a day without news: %d %s", x.StatusCode, x.text)
	}
	tag := d.ask(token, "GET", "/v1/corps/wwreed/settings", "").Header.Get("ETag")
	d.ask(token, "PUT", "/v1/corps/wwreed/settings", `{"reports":[{"report":"R5","on":false}]}`, "If-Match", tag)
	if x := preview("R5", `{"department":1}`); x.StatusCode != 200 || x.body["mailed"] != "off" {
		t.Errorf("switched off: %d %s", x.StatusCode, x.text)
	}
}

// T16: whoever is the last to hear of trouble can't be taken away, and the refusal says why.
func TestTheLastAddressForUrgentAlertsStays(t *testing.T) {
	d := newDesk(t)
	const place = "/v1/corps/wwreed/settings"
	x := d.ask(d.token("admin"), "PUT", place, `{"admins":[]}`, "If-Match", d.ask(d.token("admin"), "GET", place, "").Header.Get("ETag"))
	if _, field := x.field(); x.StatusCode != http.StatusUnprocessableEntity || field != "admins" || !strings.Contains(x.text, "urgent alerts") {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	c, err := d.operator.Corp(t.Context(), corp)
	d.OK(err)
	if len(c.ReportTo) != 1 {
		t.Errorf("%+v", c.ReportTo)
	}
}
