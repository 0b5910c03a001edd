package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
)

const all = "/v1/corps/wwreed/receivers"

const entry = `{"name":"Dee","address":"dee@reed.example","language":"en","department":3,"reports":["R2","R1"]}`

func TestAReceiverIsEnteredChangedAndRemoved(t *testing.T) {
	d := newDesk(t)
	token := d.token("supervisor:wwreed:2")
	made := d.ask(token, "POST", all, entry, "Idempotency-Key", "k1")
	place := made.Header.Get("Location")
	if made.StatusCode != http.StatusCreated || made.Header.Get("ETag") != `"1"` || made.body["source"] != "entered" || place != all+"/"+fmt.Sprint(made.body["id"]) {
		t.Fatalf("%d %v %s", made.StatusCode, made.Header, made.text)
	}
	if x := d.ask(token, "GET", place, ""); x.text != made.text || x.Header.Get("ETag") != `"1"` {
		t.Errorf("read back: %s", x.text)
	}
	if x := d.ask(token, "POST", all, entry, "Idempotency-Key", "k1"); x.StatusCode != http.StatusCreated || x.text != made.text {
		t.Errorf("the same again: %d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "POST", all, strings.Replace(entry, "Dee", "Eve", 1), "Idempotency-Key", "k1"); x.StatusCode != 422 {
		t.Errorf("the key for something else: %d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "POST", all, entry, "Idempotency-Key", "k2"); x.StatusCode != http.StatusConflict {
		t.Errorf("the same receiver twice: %d %s", x.StatusCode, x.text)
	}
	changed := strings.Replace(entry, "Dee", "Dora", 1)
	for given, want := range map[string]int{"": 428, "*": 412, `"2"`: 412, `W/"1"`: 412, `1`: 412, `"01"`: 412, `"1", "2"`: 412} {
		for _, method := range []string{"PUT", "DELETE"} {
			headers, body := []string{}, changed
			if given != "" {
				headers = []string{"If-Match", given}
			}
			if method == "DELETE" {
				body = ""
			}
			if x := d.ask(token, method, place, body, headers...); x.StatusCode != want {
				t.Errorf("%s with If-Match %s: %d %s", method, given, x.StatusCode, x.text)
			}
		}
	}
	if x := d.ask(token, "PUT", place, changed, "If-Match", `"1"`); x.StatusCode != 200 || x.Header.Get("ETag") != `"2"` || x.body["name"] != "Dora" {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "PUT", place, entry, "If-Match", `"1"`); x.StatusCode != 412 {
		t.Errorf("a change of what was read before: %d", x.StatusCode)
	}
	if x := d.ask(token, "PUT", place, strings.Replace(changed, `"department":3`, `"department":4`, 1), "If-Match", `"2"`); x.StatusCode != 403 {
		t.Errorf("a move out of reach: %d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "DELETE", place, "", "If-Match", `"2"`); x.StatusCode != 204 || x.text != "" {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "GET", place, ""); x.StatusCode != 404 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
}

func TestAHeadFollowsWeComUntilEdited(t *testing.T) {
	d := newDesk(t)
	token, place := d.token("admin"), all+"/h-ann"
	if x := d.ask(token, "PUT", place, `{"address":"desk@reed.example","reports":[]}`, "If-Match", `"0"`); x.StatusCode != 200 || x.body["address"] != "desk@reed.example" ||
		x.body["name"] != "ann" || fmt.Sprint(x.body["edited"]) != "[address reports]" || fmt.Sprint(x.body["reports"]) != "[]" || x.Header.Get("ETag") != `"1"` {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "PUT", place, `{"address":null}`, "If-Match", `"1"`); x.StatusCode != 200 || x.body["address"] != "ann@reed.example" || x.body["edited"] != nil {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	r7 := d.ask(token, "PUT", place, `{"reports":["R7"]}`, "If-Match", `"2"`)
	if _, field := r7.field(); r7.StatusCode != 422 || field != "reports" || !strings.Contains(r7.text, "R7 tells of the whole company") {
		t.Errorf("R7 for the head of a part: %d %s", r7.StatusCode, r7.text)
	}
	x := d.ask(token, "PUT", place, `{"department":3}`, "If-Match", `"2"`)
	if _, field := x.field(); x.StatusCode != 422 || field != "department" {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	x = d.ask(token, "DELETE", place, "", "If-Match", `"2"`)
	if kind, _ := x.field(); x.StatusCode != 409 || kind != "not-removable" || !strings.Contains(x.text, "WeCom") {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "PUT", all+"/a-1", `{"name":"x"}`, "If-Match", `"0"`); x.StatusCode != 409 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
}

func TestSettingsAreDecidedFieldByField(t *testing.T) {
	d := newDesk(t)
	token, place := d.token("admin"), "/v1/corps/wwreed/settings"
	before := d.ask(token, "GET", place, "")
	if x := d.ask(token, "PUT", place, `{"operations":"ops@reed.example","reports":[{"report":"R5","on":false}]}`, "If-Match", before.Header.Get("ETag")); x.StatusCode != 200 ||
		x.body["operations"] != "ops@reed.example" || x.Header.Get("ETag") == before.Header.Get("ETag") {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	x := d.ask(token, "GET", place, "")
	for _, r := range x.list("reports") {
		if off := r["on"] == false; off != (r["report"] == "R5") {
			t.Errorf("%v", r)
		}
	}
	if x := d.ask(token, "PUT", place, `{"language":"fr"}`, "If-Match", x.Header.Get("ETag")); x.StatusCode != 422 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "PUT", place, `{}`, "If-Match", before.Header.Get("ETag")); x.StatusCode != 412 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
}

func TestReportsHaveTitlesInBothLanguages(t *testing.T) {
	d := newDesk(t)
	for _, r := range d.ask(d.token("auditor"), "GET", "/v1/corps/wwreed/reports", "").list("reports") {
		title, _ := r["title"].(map[string]any)
		if len(title) != 2 || title["en"] == "" || title["zh"] == "" || title["zh"] == nil || title["en"] == nil {
			t.Errorf("%v", r)
		}
	}
}

func TestAProblemNamesTheFieldAndTheFix(t *testing.T) {
	d := newDesk(t)
	token := d.token("admin")
	with := func(old, new string) string { return strings.Replace(entry, old, new, 1) }
	for name, c := range map[string]struct {
		body        string
		status      int
		kind, field string
	}{
		"no address":         {with(`"address":"dee@reed.example",`, ""), 422, "invalid-field", "address"},
		"no real address":    {with("dee@reed.example", "dee at reed"), 422, "invalid-field", "address"},
		"a header in it":     {with("dee@reed.example", `dee@reed.example\r\nBcc: x@y.example`), 422, "invalid-field", "address"},
		"unknown department": {with(`"department":3`, `"department":77`), 422, "invalid-field", "department"},
		"no department":      {with(`"department":3,`, ""), 422, "invalid-field", "department"},
		"unknown report":     {with(`"R2"`, `"R99"`), 422, "invalid-field", "reports"},
		"no reports":         {with(`["R2","R1"]`, `[]`), 422, "invalid-field", "reports"},
		"unknown language":   {with(`"en"`, `"fr"`), 422, "invalid-field", "language"},
		"a break in a name":  {with("Dee", `De\ne`), 422, "invalid-field", "name"},
		"an unknown field":   {with(`"name"`, `"title"`), 400, "malformed", "title"},
		"another type":       {with(`3`, `"3"`), 400, "malformed", "department"},
		"a fraction":         {with(`3`, `3.5`), 400, "malformed", "department"},
		"no JSON":            {`{`, 400, "malformed", "body"},
		"two":                {entry + entry, 400, "malformed", "body"},
		"null":               {`null`, 400, "malformed", "body"},
		"a list":             {`[]`, 400, "malformed", "body"},
		"too much":           {with("Dee", strings.Repeat("e", longestBody)), 413, "too-large", ""},
	} {
		x := d.ask(token, "POST", all, c.body, "Idempotency-Key", "k")
		kind, field := x.field()
		if x.StatusCode != c.status || kind != c.kind || field != c.field || x.body["request_id"] == "" {
			t.Errorf("%s: %d %s", name, x.StatusCode, x.text)
		}
	}
	x := d.ask(token, "POST", all, entry)
	if _, field := x.field(); x.StatusCode != 400 || field != "Idempotency-Key" {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	x = d.ask(token, "POST", all, entry, "Idempotency-Key", "k", "Content-Type", "text/plain")
	if kind, _ := x.field(); x.StatusCode != 415 || kind != "media-type" {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	x = d.ask(token, "PATCH", all, "")
	if x.StatusCode != 405 || x.Header.Get("Allow") != "GET, POST" {
		t.Errorf("%d %v", x.StatusCode, x.Header)
	}
	for _, path := range []string{"/v1", "/v1/", "/v1/corps/", "/v1/corps/wwreed/", "/v1/corps/wwreed/x", "/v1/corps/wwmoss", "/v1/corps//receivers", "/v1/corps/wwreed/receivers/none"} {
		if x := d.ask(token, "GET", path, ""); x.StatusCode != 404 {
			t.Errorf("%s: %d", path, x.StatusCode)
		}
	}
	if x := d.ask(token, "GET", all+"?limt=3", ""); x.StatusCode != 400 {
		t.Errorf("%d", x.StatusCode)
	}
}

func TestPagesHoldEachEntryOnce(t *testing.T) {
	d := newDesk(t)
	for range 4 {
		d.enter(2)
	}
	token := d.token("admin")
	for list, name := range map[string]string{"/v1/corps": "id", "/v1/corps/wwreed/departments": "id", all: "id", "/v1/corps/wwreed/mails": "to"} {
		whole := d.ask(token, "GET", list, "")
		key := strings.TrimPrefix(list[strings.LastIndex(list, "/"):], "/")
		var want, got []string
		for _, e := range whole.list(key) {
			want = append(want, fmt.Sprint(e[name]))
		}
		for cursor, pages := "", 0; pages < 20; pages++ {
			path := list + "?limit=3"
			if cursor != "" {
				path += "&cursor=" + url.QueryEscape(cursor)
			}
			x := d.ask(token, "GET", path, "")
			for _, e := range x.list(key) {
				got = append(got, fmt.Sprint(e[name]))
			}
			next, more := x.body["next"].(string)
			if cursor = next; !more {
				break
			}
		}
		if len(want) < 2 || !slices.Equal(want, got) {
			t.Errorf("%s: pages hold %v, the whole %v", list, got, want)
		}
	}
	x := d.ask(token, "GET", all+"?limit=1", "")
	own, _ := x.body["next"].(string)
	for _, bad := range []string{"limit=0", "limit=201", "limit=x", "limit=1&limit=2", "cursor=", "cursor=%00", "cursor=abc", "cursor=" + own + "A", "cursor=bnVsbA"} {
		if x := d.ask(token, "GET", all+"?"+bad, ""); x.StatusCode != 400 {
			t.Errorf("%s: %d %s", bad, x.StatusCode, x.text)
		}
	}
	if x := d.ask(token, "GET", "/v1/corps/wwreed/mails?cursor="+own, ""); x.StatusCode != 400 {
		t.Errorf("a cursor of another list: %d", x.StatusCode)
	}
}

// A cursor that somebody wrote by hand is refused, or is a place like any other: never an error of ours, and never a way to what is out of reach.
func TestAForgedCursorIsNoErrorOfOurs(t *testing.T) {
	d := newDesk(t)
	d.enter(4)
	lists := map[string]string{"corps": "/v1/corps"}
	for _, name := range []string{"departments", "receivers", "mails", "suppressions", "people", "hr-files"} {
		lists[name] = "/v1/corps/wwreed/" + name
	}
	token := d.token("admin:wwreed", "supervisor:wwreed:2")
	for name, path := range lists {
		for _, after := range []string{"!", "0", "00", "-1", "~", "\x00", "\u00ff", "\u4e2d", "zzz#zzz#zzz", "2033-02-21#R1#", strings.Repeat("9", 40), strings.Repeat("x", longestAfter), strings.Repeat("x", longestAfter+1)} {
			c := cursor{List: name, After: after}
			if name != "corps" {
				c.Corp = corp
			}
			if x := d.ask(token, "GET", path+"?cursor="+url.QueryEscape(c.String()), ""); x.StatusCode != 200 && x.StatusCode != 400 {
				t.Errorf("%s after %q: %d %s", name, after, x.StatusCode, x.text)
			}
		}
	}
}

// Names that nothing of ours has, however long or odd, are not found.
func TestAPathThatNamesNothingIsNotFound(t *testing.T) {
	d := newDesk(t)
	token := d.token("admin")
	for _, odd := range []string{strings.Repeat("x", 65), strings.Repeat("x", 3000), strings.Repeat("%E4%B8%AD", 400), "%00", "%FF", "%2F", "..", "a%23b", "%25", "%20", "*"} {
		for _, path := range []string{"/v1/corps/%s", "/v1/corps/%s/receivers", "/v1/corps/wwreed/receivers/%s", "/v1/corps/wwreed/suppressions/%s", "/v1/corps/wwreed/people/%s", "/v1/corps/wwreed/hr-files/%s", "/v1/%s"} {
			if x := d.ask(token, "GET", fmt.Sprintf(path, odd), ""); x.StatusCode != 404 && x.StatusCode != 400 {
				t.Errorf("%s: %d %s", fmt.Sprintf(path, odd[:min(len(odd), 12)]), x.StatusCode, x.text)
			}
		}
		if x := d.ask(token, "POST", "/v1/corps/wwreed/reports/"+odd+"/preview", `{"department":1}`); x.StatusCode != 404 && x.StatusCode != 400 {
			t.Errorf("a report %s: %d %s", odd[:min(len(odd), 12)], x.StatusCode, x.text)
		}
	}
}

// Of many mails a supervisor may see few: no page looks through all of them, and none is passed over.
func TestAPageOfMailsEndsWhereItHasReadEnough(t *testing.T) {
	d := newDesk(t)
	a, _ := d.function.HTTP.(*api)
	a.mailsRead = 2
	token, cursor, pages := d.token("supervisor:wwreed:2"), "", 0
	var to []string
	for ; pages < 9; pages++ {
		x := d.ask(token, "GET", "/v1/corps/wwreed/mails?limit=3"+cursor, "")
		for _, m := range x.list("mails") {
			to = append(to, fmt.Sprint(m["to"]))
		}
		next, more := x.body["next"].(string)
		if !more {
			break
		}
		cursor = "&cursor=" + next
	}
	if !slices.Equal(to, []string{"ann@reed.example"}) || pages != 1 {
		t.Errorf("%v on %d pages more", to, pages)
	}
}

// audited is the audit stream's entries as "action object outcome", in no order.
func (d *desk) audited() []string {
	var out []string
	for _, row := range d.Rows("AuditTable", "at") {
		out = append(out, row)
	}
	slices.Sort(out)
	return out
}

func (d *desk) entered() int {
	d.Helper()
	rows, _, err := d.operator.Receivers(d.Context(), corp)
	d.OK(err)
	return len(rows)
}

func TestAChangeIsInTheAuditStreamBeforeItsAnswer(t *testing.T) {
	d := newDesk(t)
	token := d.token("admin")
	refuse := func(nth int) func(awslocal.FaultRequest) awslocal.FaultDecision {
		n := 0
		table := d.Name("AuditTable")
		return func(q awslocal.FaultRequest) awslocal.FaultDecision {
			if !strings.Contains(q.Resource, table) {
				return awslocal.FaultDecision{}
			}
			if n++; n >= nth {
				return awslocal.FaultDecision{Act: awslocal.Refuse, Status: 400, Code: "AccessDeniedException"}
			}
			return awslocal.FaultDecision{}
		}
	}
	d.Fault(refuse(1))
	if x := d.ask(token, "POST", all, entry, "Idempotency-Key", "k"); x.StatusCode != 500 || d.entered() != 0 {
		t.Errorf("unseen: %d, %d entered", x.StatusCode, d.entered())
	}
	if x := d.ask(token, "GET", all, ""); x.StatusCode != 500 || strings.Contains(x.text, "@") {
		t.Errorf("people are shown unseen: %s", x.text)
	}
	d.Fault(refuse(2))
	x := d.ask(token, "POST", all, entry, "Idempotency-Key", "k")
	if x.StatusCode != 500 || d.entered() != 1 {
		t.Errorf("%d, %d entered", x.StatusCode, d.entered())
	}
	d.Fault(nil)
	if x := d.ask(token, "POST", all, entry, "Idempotency-Key", "k"); x.StatusCode != 201 || d.entered() != 1 {
		t.Errorf("again: %d, %d entered", x.StatusCode, d.entered())
	}
	d.Fault(refuse(2))
	if x := d.ask(token, "POST", all, `{}`, "Idempotency-Key", "k3"); x.StatusCode != 500 {
		t.Errorf("a refusal is told and not in the audit stream: %d %s", x.StatusCode, x.text)
	}
	d.Fault(nil)
	d.ask(token, "POST", all, `{}`, "Idempotency-Key", "k3")
	d.ask(d.token("auditor"), "POST", all, entry, "Idempotency-Key", "k4")
	text := strings.Join(d.audited(), "\n")
	for _, want := range []string{"outcome=begun", "outcome=done", "outcome=refused: invalid-field", "outcome=not allowed", "actor=api:person-7", "action=api addReceiver", "corp=wwreed", "object=r-"} {
		if !strings.Contains(text, want) {
			t.Errorf("the audit stream has no %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "@") {
		t.Errorf("the audit stream names addresses:\n%s", text)
	}
}

func TestNeitherAnswersNorLogsSayWhatTheyMustNot(t *testing.T) {
	d := newDesk(t)
	token := d.token("admin")
	d.ask(token, "POST", all, entry, "Idempotency-Key", "k")
	d.ask(token, "POST", all, strings.Replace(entry, `"department":3`, `"department":"Dee"`, 1), "Idempotency-Key", "k")
	d.ask(token, "GET", all, "")
	d.ask(token, "GET", "/v1/corps/wwreed/mails", "")
	control := d.Name("ControlTable")
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if strings.Contains(q.Resource, control) {
			return awslocal.FaultDecision{Act: awslocal.Refuse, Status: 400, Code: "ValidationException"}
		}
		return awslocal.FaultDecision{}
	})
	x := d.ask(token, "GET", "/v1/corps/wwreed", "")
	if kind, _ := x.field(); x.StatusCode != 500 || kind != "internal" {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	for _, inside := range []string{"dynamodb", "Validation", "corps", "operation error"} {
		if strings.Contains(x.text, inside) {
			t.Errorf("the answer says %q: %s", inside, x.text)
		}
	}
	if !strings.Contains(d.log.String(), "ValidationException") {
		t.Errorf("nobody is told why:\n%s", d.log.String())
	}
	for _, secret := range []string{"@reed.example", "Dee", "person-7", token, "wecomvault_roles"} {
		if strings.Contains(d.log.String(), secret) {
			t.Errorf("the log says %q:\n%s", secret, d.log.String())
		}
	}
}

func TestWhatWasBoughtFromWeComIsEntered(t *testing.T) {
	d := newDesk(t)
	token, place := d.token("admin"), "/v1/corps/wwreed/settings"
	tag := d.ask(token, "GET", place, "").Header.Get("ETag")
	for body, field := range map[string]string{
		`{"service":{"end":"soon"}}`: "service.end", `{"service":{"start":"2032-02-31"}}`: "service.start", `{"service":{"seats":-1}}`: "service.seats",
		`{"service":{"start":"2032-03-01","end":"2032-02-01"}}`: "service.end", `{"service":{"edition":"` + strings.Repeat("e", 61) + `"}}`: "service.edition",
	} {
		if x := d.ask(token, "PUT", place, body, "If-Match", tag); x.StatusCode != 422 || !strings.Contains(x.text, `"`+field+`"`) {
			t.Errorf("%s: %d %s", body, x.StatusCode, x.text)
		}
	}
	x := d.ask(token, "PUT", place, `{"service":{"edition":"service","seats":40,"start":"2032-01-01","end":"2032-12-31"}}`, "If-Match", tag)
	if x = d.ask(token, "PUT", place, `{"service":{"seats":41}}`, "If-Match", x.Header.Get("ETag")); x.StatusCode != 200 {
		t.Fatalf("%d %s", x.StatusCode, x.text)
	}
	got, _ := d.ask(token, "GET", place, "").body["service"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"edition": "service", "seats": 41.0, "start": "2032-01-01", "end": "2032-12-31"}, got); diff != "" {
		t.Errorf("entered (-want +got):\n%s", diff)
	}
}
