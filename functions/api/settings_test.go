package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// T1: who switched a report off stays told, whatever somebody else decides of its days without news; and the audit stream says what was decided.
func TestWhoSwitchedAReportStaysToldWhateverIsDecidedOfItSince(t *testing.T) {
	d := newDesk(t)
	const place = "/v1/corps/wwreed/settings"
	other, err := d.issuer.Token(map[string]any{"sub": "person-8", "aud": "wecomvault", "wecomvault_roles": "admin"})
	d.OK(err)
	change := func(token, body string) told {
		tag := d.ask(token, "GET", place, "").Header.Get("ETag")
		return d.ask(token, "PUT", place, body, "If-Match", tag)
	}
	change(d.token("admin"), `{"operations":"ops@reed.example","reports":[{"report":"R3","on":false}]}`)
	x := change(other, `{"reports":[{"report":"R3","silent":false}]}`)
	for _, r := range x.list("reports") {
		want := "<nil>"
		if r["report"] == "R3" {
			want = "api:person-7"
			if r["by"] != "api:person-8" || r["switched_at"] != rfc3339(noon) {
				t.Errorf("%v", r)
			}
		}
		if fmt.Sprint(r["switched_by"]) != want {
			t.Errorf("%v was switched by %v", r["report"], r["switched_by"])
		}
	}
	text := strings.Join(d.audited(), "\n")
	for _, want := range []string{"object=operations, R3 off outcome=done", "object=R3 told outcome=done"} {
		if !strings.Contains(text, want) {
			t.Errorf("the audit stream has no %q:\n%s", want, text)
		}
	}
}

func TestEachDateThatIsNoneIsNamedAtOnce(t *testing.T) {
	d := newDesk(t)
	const place = "/v1/corps/wwreed/settings"
	tag := d.ask(d.token("admin"), "GET", place, "").Header.Get("ETag")
	x := d.ask(d.token("admin"), "PUT", place, `{"control":"nowhere","service":{"start":"soon","end":"later"}}`, "If-Match", tag)
	if n := len(x.list("errors")); x.StatusCode != http.StatusUnprocessableEntity || n != 3 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
}

// Whoever chooses reports for a receiver is told which go to nobody, and of a head of department as of when WeCom's word is.
func TestWhoMayNotReadTheSettingsIsToldWhichReportsAreOnAndHowOldAHeadIs(t *testing.T) {
	d := newDesk(t)
	const place = "/v1/corps/wwreed/settings"
	d.OK(d.operator.PutSnapshot(t.Context(), ledger.Snapshot{Corp: corp, At: noon}))
	tag := d.ask(d.token("admin"), "GET", place, "").Header.Get("ETag")
	d.ask(d.token("admin"), "PUT", place, `{"reports":[{"report":"R5","on":false},{"report":"R1","silent":true}]}`, "If-Match", tag)
	head := d.token("supervisor:wwreed:2")
	for _, r := range d.ask(head, "GET", "/v1/corps/wwreed/reports", "").list("reports") {
		if (r["on"] == false) != (r["report"] == "R5") || r["report"] == "R1" && r["silent"] != true {
			t.Errorf("%v", r)
		}
	}
	wecom, _ := d.ask(head, "GET", all+"/h-ann", "").body["wecom"].(map[string]any)
	if wecom["synced"] != rfc3339(noon) {
		t.Errorf("%v", wecom)
	}
}

// T30: the root is the company, by its name, whether or not WeCom shows our secrets the department.
func TestTheRootIsListedByTheCompanysName(t *testing.T) {
	d := newDesk(t)
	d.OK(d.operator.PutCorp(t.Context(), ledger.Corp{ID: "wwmoss", Name: "Moss"}))
	d.OK(d.operator.PutEntries(t.Context(), "wwmoss", []directory.Entry{{Kind: directory.KindDepartment, ID: "7", At: noon, Fields: directory.Fields(directory.Department{Name: "Peat", Parent: 1})}}))
	for corp, want := range map[string]string{"wwreed": "1 Reed 2 D2 3 D3 4 D4", "wwmoss": "1 Moss 7 Peat", "wwfern": "1 Fern"} {
		var got []string
		for _, r := range d.ask(d.token("admin"), "GET", "/v1/corps/"+corp+"/departments", "").list("departments") {
			got = append(got, fmt.Sprint(r["id"], " ", r["name"]))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v", corp, got)
		}
	}
	if got := d.ask(d.token("supervisor:wwmoss:7"), "GET", "/v1/corps/wwmoss/departments", "").list("departments"); len(got) != 1 {
		t.Errorf("who is in charge of a part is shown %v", got)
	}
}

// The company's language is that of whoever has none of their own, whoever that is.
func TestWhoIsEnteredWithoutALanguageHasTheCompanys(t *testing.T) {
	d := newDesk(t)
	const place = "/v1/corps/wwreed/settings"
	token := d.token("admin")
	x := d.ask(token, "PUT", place, `{"language":"en","admins":[{"address":"desk@reed.example"},{"address":"two@reed.example","language":"zh"}]}`, "If-Match",
		d.ask(token, "GET", place, "").Header.Get("ETag"))
	if admins := x.list("admins"); len(admins) != 2 || admins[0]["language"] != "en" || admins[1]["language"] != "zh" {
		t.Errorf("%s", x.text)
	}
	made := d.ask(token, "POST", all, strings.Replace(entry, `"language":"en",`, "", 1), "Idempotency-Key", "k")
	if made.StatusCode != http.StatusCreated || made.body["language"] != "en" {
		t.Fatalf("%d %s", made.StatusCode, made.text)
	}
	d.ask(token, "PUT", place, `{"language":"zh"}`, "If-Match", x.Header.Get("ETag"))
	if x := d.ask(token, "GET", made.Header.Get("Location"), ""); x.body["language"] != "zh" {
		t.Errorf("once the company has changed: %s", x.text)
	}
}
