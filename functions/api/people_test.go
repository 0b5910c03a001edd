package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

const (
	everybody = "/v1/corps/wwreed/people"
	hrFiles   = "/v1/corps/wwreed/hr-files"
)

// below adds a member of department 3, who is no head.
func (d *desk) below() {
	d.Helper()
	d.member("dan", directory.Member{Name: "Dan", Listed: true, Departments: []int{3, 4}, Status: directory.StatusActivated})
}

func (d *desk) member(id string, m directory.Member) {
	d.Helper()
	d.OK(d.operator.PutEntries(d.Context(), corp, []directory.Entry{{Kind: directory.KindMember, ID: id, At: noon.Add(-time.Hour), Fields: directory.Fields(m)}}))
}

// read makes the directory's history of a member, from one reading of all members to the next, a day apart up to noon.
func (d *desk) read(id string, states ...directory.Member) {
	d.Helper()
	var looks []directory.Look
	var glances []directory.Glance
	for i, m := range states {
		at := noon.Add(time.Duration(i-len(states)+1) * 24 * time.Hour)
		reading := directory.Reading{Members: []directory.ReadMember{{ID: archive.PartyID(id), Member: m}}, Parts: map[directory.Part]directory.Outcome{directory.PartMembers: {Complete: true, Via: "contacts"}}}
		l, g := directory.Observation{Asked: at, Answered: at.Add(time.Minute), Reading: reading}.Looks()
		looks, glances = append(looks, l...), append(glances, g...)
		d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: corp, At: at, Until: at.Add(time.Minute), Counts: directory.Counts{Parts: reading.Parts}, Settled: true}))
		d.OK(d.operator.PutEntries(d.Context(), corp, []directory.Entry{{Kind: directory.KindMember, ID: id, At: at, Fields: directory.Fields(m)}}))
	}
	d.OK(d.operator.PutLooks(d.Context(), corp, directory.Pack(directory.KindMember, id, looks, glances).Looks))
}

// imports puts a file into force over version base.
func (d *desk) imports(base int, file string) told {
	d.Helper()
	return d.ask(d.token("admin"), "POST", hrFiles, fileBody(file, ""), "If-Match", fmt.Sprintf("%q", fmt.Sprint(base)))
}

func fileBody(file, more string) string {
	text, err := json.Marshal(file)
	if err != nil {
		panic(err)
	}
	return `{"file":` + string(text) + more + `}`
}

func fields(x map[string]any) map[string]map[string]any {
	out := map[string]map[string]any{}
	all, _ := x["fields"].([]any)
	for _, f := range all {
		m, _ := f.(map[string]any)
		out[fmt.Sprint(m["field"])] = m
	}
	return out
}

// A8, T8: one record a person, each field with source and age, former numbers beside the new one; the rule of which source wins is in the answer.
func TestARecordHasEachFieldWithSourceAndAge(t *testing.T) {
	d := newDesk(t)
	at := func(mobile, email string) directory.Member {
		return directory.Member{Name: "Ann", Listed: true, Departments: []int{2}, Leads: []int{2}, Status: directory.StatusActivated, Mobile: mobile, MobileReadable: true, Email: email, EmailReadable: email != "?"}
	}
	d.read("ann", at("13900000001", "?"), at("13900000002", "?"), at("13900000002", "?"))
	if x := d.imports(0, "userid,mobile,email\nANN,13900000001,ann@hr.example\nzoe,13900000009,\n"); x.StatusCode != 201 {
		t.Fatalf("%d %s", x.StatusCode, x.text)
	}
	x := d.ask(d.token("supervisor:wwreed:2"), "GET", everybody+"/ann", "")
	f := fields(x.body)
	for field, want := range map[string]map[string]any{
		"name":   {"value": "Ann", "source": "wecom", "seen": "2033-03-01T12:00:00Z", "wecom": "shown", "differ": false},
		"mobile": {"value": "+8613900000002", "source": "wecom", "seen": "2033-03-01T12:00:00Z", "wecom": "shown", "differ": true},
		"email":  {"value": "ann@hr.example", "source": "hr-file", "seen": "2033-03-01T12:00:00Z", "wecom": "hidden", "differ": false},
	} {
		for name, v := range want {
			if f[field][name] != v {
				t.Errorf("%s: %s is %v, want %v", field, name, f[field][name], v)
			}
		}
	}
	if openers, _ := f["email"]["openers"].([]any); len(openers) == 0 || f["mobile"]["openers"] != nil {
		t.Errorf("what could show a hidden field: %v", f)
	}
	var numbers []string
	for _, v := range x.list("values") {
		if v["field"] == "mobile" {
			numbers = append(numbers, fmt.Sprint(v["value"], " ", v["source"], " ", v["current"], " ", v["from"], " ", v["to"]))
		}
	}
	if want := []string{"+8613900000002 wecom true 2033-02-28T12:00:00Z <nil>", "+8613900000001 wecom false 2033-02-27T12:00:00Z 2033-02-28T12:00:00Z",
		"+8613900000001 hr-file true 2033-03-01T12:00:00Z <nil>"}; !slices.Equal(numbers, want) {
		t.Errorf("numbers\n%s\nwant\n%s", strings.Join(numbers, "\n"), strings.Join(want, "\n"))
	}
	if fmt.Sprint(x.body["precedence"]) != "[wecom hr-file member]" {
		t.Errorf("the rule is %v", x.body["precedence"])
	}
	for _, p := range d.ask(d.token("admin"), "GET", everybody, "").list("people") {
		if p["userid"] == "ann" && fmt.Sprint(fields(p)) != fmt.Sprint(f) {
			t.Errorf("the list says\n%v\nand the record\n%v", fields(p), f)
		}
		if p["userid"] == "zoe" {
			t.Error("a person whom WeCom does not show has a record")
		}
	}
}

func TestPeopleAreShownWithinReachByTheDepartmentsLastHeld(t *testing.T) {
	d := newDesk(t)
	d.below()
	gone := directory.Entry{Kind: directory.KindMember, ID: "eve", Gone: true, At: noon.Add(-time.Hour), Fields: directory.Fields(directory.Member{Name: "Eve", Departments: []int{3}, Mobile: "13900000003", MobileReadable: true})}
	d.OK(d.operator.PutEntries(d.Context(), corp, []directory.Entry{gone}))
	d.member("nowhere", directory.Member{Name: "N", Status: directory.StatusActivated})
	a, _ := d.function.HTTP.(*api)
	a.membersRead = 2
	for claim, want := range map[string][]string{
		"admin": {"ann", "bob", "cat", "dan", "eve", "nowhere"}, "compliance:wwreed": {"ann", "bob", "cat", "dan", "eve", "nowhere"},
		"supervisor:wwreed:2": {"ann", "dan", "eve"}, "supervisor:wwreed:3": {"dan", "eve"}, "supervisor:wwreed:4": {"bob", "dan"}, "supervisor:wwreed:1": {"ann", "bob", "cat", "dan", "eve", "nowhere"},
		"supervisor:wwreed:9": nil,
	} {
		token, cursor := d.token(claim), ""
		var got []string
		for pages := 0; pages < 9; pages++ {
			x := d.ask(token, "GET", everybody+"?limit=2"+cursor, "")
			for _, p := range x.list("people") {
				got = append(got, fmt.Sprint(p["userid"]))
				if (p["gone"] == true) != (p["userid"] == "eve") {
					t.Errorf("%v", p)
				}
				if departments := fmt.Sprint(p["departments"]); claim == "supervisor:wwreed:2" && p["userid"] == "dan" && departments != "[3]" {
					t.Errorf("a supervisor of 2 is told of departments %s", departments)
				}
			}
			next, more := x.body["next"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + url.QueryEscape(next)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is shown %v, want %v", claim, got, want)
		}
		for _, id := range []string{"ann", "bob", "cat", "dan", "eve", "nowhere", "noone", strings.Repeat("x", 3000), "%00", "%ff"} {
			status := http.StatusNotFound
			if slices.Contains(want, id) {
				status = http.StatusOK
			}
			if x := d.ask(token, "GET", everybody+"/"+id, ""); x.StatusCode != status {
				t.Errorf("%s asks for %s: %d", claim, id, x.StatusCode)
			}
		}
	}
}

// A8: validated with line numbers, previewed, a new version each time, the last one shown and put back.
func TestAnHRFileIsPreviewedPutIntoForceShownAndPutBack(t *testing.T) {
	d := newDesk(t)
	admin := d.token("admin")
	first, second := "\ufeffuserid,name,mobile\nann,Ann,13900000001\nbob,Bob,13900000002\n", "userid,name,mobile\nann,Ann,13900000003\ncat,Cat,\nzoe,Zoe,\n"
	if x := d.ask(admin, "GET", hrFiles, ""); x.StatusCode != 200 || x.Header.Get("ETag") != `"0"` || len(x.list("files")) != 0 {
		t.Errorf("before the first: %d %s", x.StatusCode, x.text)
	}
	if x := d.imports(0, first); x.StatusCode != 201 || x.Header.Get("ETag") != `"1"` || x.Header.Get("Location") != hrFiles+"/1" || x.body["gained"] != 2.0 {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	preview := d.ask(admin, "POST", hrFiles, fileBody(second, `,"dry_run":true`), "If-Match", `"1"`)
	want := `"version":2,"base":1,"rows":3,"gained":2,"lost":1,"changed":1,"gained_users":["cat","zoe"],"lost_users":["bob"],` +
		`"changes":[{"userid":"ann","line":2,"field":"mobile","old":"+8613900000001","new":"+8613900000003"}]`
	if preview.StatusCode != 200 || !strings.Contains(preview.text, want) || !strings.Contains(preview.text, `"warnings":[{"line":4,"problem":"line 4: WeCom's directory shows no such userid`) {
		t.Errorf("%d %s", preview.StatusCode, preview.text)
	}
	if x := d.ask(admin, "GET", hrFiles, ""); len(x.list("files")) != 1 {
		t.Errorf("a preview made a version: %s", x.text)
	}
	done := d.imports(1, second)
	if done.StatusCode != 201 || strings.Replace(done.text, `"dry_run":false`, `"dry_run":true`, 1) != preview.text {
		t.Errorf("it came to %s and was to come to %s", done.text, preview.text)
	}
	if x := d.ask(admin, "GET", hrFiles+"/1", ""); x.StatusCode != 200 || x.body["file"] != first || x.body["in_force"] != false {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	back := d.ask(admin, "POST", hrFiles, `{"version":1}`, "If-Match", `"2"`)
	if back.StatusCode != 201 || back.body["version"] != 3.0 || back.body["lost"] != 2.0 {
		t.Errorf("%d %s", back.StatusCode, back.text)
	}
	list := d.ask(admin, "GET", hrFiles+"?limit=2", "")
	more := d.ask(admin, "GET", hrFiles+"?limit=2&cursor="+fmt.Sprint(list.body["next"]), "")
	var versions []string
	for _, v := range append(list.list("files"), more.list("files")...) {
		versions = append(versions, fmt.Sprint(v["version"], v["in_force"], v["from"]))
	}
	if want := []string{"3 true 1", "2 false <nil>", "1 false <nil>"}; !slices.Equal(versions, want) {
		t.Errorf("versions %v", versions)
	}
	for name, c := range map[string]struct {
		body, match string
		status      int
		field       string
	}{
		"a line that is wrong":     {fileBody("userid,mobile\nann,12\n", ""), `"3"`, 422, "file"},
		"wrong, as a preview":      {fileBody("userid,mobile\nann,12\n", `,"dry_run":true`), `"3"`, 422, "file"},
		"neither":                  {`{}`, `"3"`, 422, "file"},
		"both":                     {fileBody(first, `,"version":1`), `"3"`, 422, "file"},
		"no such version":          {`{"version":9}`, `"3"`, 422, "version"},
		"over a version of before": {fileBody("userid\nx\n", ""), `"1"`, 412, "If-Match"},
		"over one that never was":  {fileBody("userid\nx\n", ""), `"7"`, 412, "If-Match"},
		"preview over before":      {fileBody("userid\nx\n", `,"dry_run":true`), `"1"`, 412, "If-Match"},
		"over nothing":             {fileBody("userid\nx\n", ""), "", 428, "If-Match"},
		"not UTF-8":                {"{\"file\":\"userid\\n\xb0\xb2\"}", `"3"`, 422, "file"},
		"too large":                {fileBody("userid\n"+strings.Repeat("x", longestFile), ""), `"3"`, 422, "file"},
		"far too large":            {fileBody(strings.Repeat("x", longestFile+longestFile/4), ""), `"3"`, 413, ""},
	} {
		headers := []string{}
		if c.match != "" {
			headers = []string{"If-Match", c.match}
		}
		x := d.ask(admin, "POST", hrFiles, c.body, headers...)
		if _, field := x.field(); x.StatusCode != c.status || field != c.field {
			t.Errorf("%s: %d %.300s", name, x.StatusCode, x.text)
		}
	}
	x := d.ask(admin, "POST", hrFiles, fileBody("userid,mobile\nann,12\nbob,13900000001\ncat,13900000001\n", ""), "If-Match", `"3"`)
	if !strings.Contains(x.text, "line 2, column 5 (mobile): this is no mobile number") || !strings.Contains(x.text, "line 4, column 5 (mobile): the number is in line 3 already") {
		t.Errorf("the lines are not named: %s", x.text)
	}
	if x := d.ask(admin, "GET", hrFiles, ""); len(x.list("files")) != 3 {
		t.Errorf("what was refused made a version: %s", x.text)
	}
	for _, none := range []string{"/0", "/4", "/01", "/x"} {
		if x := d.ask(admin, "GET", hrFiles+none, ""); x.StatusCode != 404 {
			t.Errorf("%s: %d", none, x.StatusCode)
		}
	}
	if strings.Contains(d.log.String(), "139000") || strings.Contains(strings.Join(d.audited(), "\n"), "139000") {
		t.Error("a number is in the log or in the audit stream")
	}
}

// A8: whichever write the function dies after, or before, the same request again gives the one version.
func TestAnImportThatDiedAtAnyWriteIsOneVersionWhenRepeated(t *testing.T) {
	d := newDesk(t)
	writes := map[string]bool{"PutObject": true, "PutItem": true}
	base := 0
	for _, done := range []bool{true, false} {
		for nth := 1; ; nth++ {
			file := fmt.Sprintf("userid,mobile\nann,139%08d\n", base+1)
			n, dead := 0, false
			d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
				refusal := awslocal.FaultDecision{Act: awslocal.Refuse, Status: 400, Code: "AccessDeniedException"}
				if dead {
					return refusal
				}
				if !writes[q.Operation] {
					return awslocal.FaultDecision{}
				}
				if n++; n < nth {
					return awslocal.FaultDecision{}
				}
				if dead = true; done {
					refusal.Act = awslocal.FailAfter
				}
				return refusal
			})
			x := d.imports(base, file)
			d.Fault(nil)
			if !dead {
				if x.StatusCode != 201 || nth < 5 {
					t.Errorf("with %d writes: %d %s", n, x.StatusCode, x.text)
				}
				base++
				break
			}
			if x.StatusCode != 500 {
				t.Errorf("write %d: %d %s", nth, x.StatusCode, x.text)
			}
			for range 2 {
				if x := d.imports(base, file); x.StatusCode != 201 || x.body["version"] != float64(base+1) {
					t.Errorf("repeated after write %d: %d %s", nth, x.StatusCode, x.text)
				}
			}
			base++
			if all := d.ask(d.token("admin"), "GET", hrFiles, "").list("files"); len(all) != base {
				t.Fatalf("after write %d there are %d versions, want %d", nth, len(all), base)
			}
		}
	}
	objects := 0
	for v, err := range d.Store(d.Config("operator"), "ReportsBucket").List(t.Context(), objstore.People) {
		d.OK(err)
		if objects++; v.Marker || !v.Newest {
			t.Errorf("%+v", v)
		}
	}
	if objects != base {
		t.Errorf("%d objects of %d versions", objects, base)
	}
}

// A file that was cut short would take everybody's number and address away.
func TestAFileThatNamesNobodyIsRefusedUnlessItIsMeant(t *testing.T) {
	d := newDesk(t)
	if x := d.imports(0, "userid,mobile\nann,+8613900000001\n"); x.StatusCode != http.StatusCreated {
		t.Fatal(x.text)
	}
	for _, more := range []string{"", `,"dry_run":true`, `,"allow_empty":false`} {
		x := d.ask(d.token("admin"), "POST", hrFiles, fileBody("userid,name,mobile\n", more), "If-Match", `"1"`)
		if _, field := x.field(); x.StatusCode != http.StatusUnprocessableEntity || field != "file" || !strings.Contains(x.text, "names nobody") || !strings.Contains(x.text, "allow_empty") {
			t.Errorf("%s: %d %s", more, x.StatusCode, x.text)
		}
	}
	x := d.ask(d.token("admin"), "POST", hrFiles, fileBody("userid,name,mobile\n", `,"allow_empty":true,"dry_run":true`), "If-Match", `"1"`)
	if x.StatusCode != http.StatusOK || x.body["lost"] != 1.0 {
		t.Errorf("a preview of one that is meant: %d %s", x.StatusCode, x.text)
	}
	x = d.ask(d.token("admin"), "POST", hrFiles, fileBody("userid,name,mobile\n", `,"allow_empty":true`), "If-Match", `"1"`)
	if x.StatusCode != http.StatusCreated || x.body["rows"] != 0.0 {
		t.Fatalf("one that is meant: %d %s", x.StatusCode, x.text)
	}
	if x := d.imports(2, "userid\nann\n"); x.StatusCode != http.StatusCreated {
		t.Error(x.text)
	}
	x = d.ask(d.token("admin"), "POST", hrFiles, `{"version":2}`, "If-Match", `"3"`)
	if x.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("put back: %d %s", x.StatusCode, x.text)
	}
}

// A cursor that nobody gave is refused, and never becomes a question that the table can't answer.
func TestAForgedCursorIsRefused(t *testing.T) {
	d := newDesk(t)
	for list, place := range map[string]string{"people": "/v1/corps/wwreed/people", "mails": "/v1/corps/wwreed/mails", "hr-files": hrFiles, "receivers": all, "departments": "/v1/corps/wwreed/departments", "suppressions": dead} {
		for _, after := range []string{"\U0010ffff", "\U0010ffff\U0010ffff", "\x01", "~", " ", "zzzz", "9999-99-99#R1#x", "member#x", strings.Repeat("9", 512)} {
			x := d.ask(d.token("admin"), "GET", place+"?cursor="+cursor{List: list, Corp: corp, After: after}.String(), "")
			if x.StatusCode != http.StatusOK && x.StatusCode != http.StatusBadRequest {
				t.Errorf("%s after %q: %d %s", list, after, x.StatusCode, x.text)
			}
		}
		x := d.ask(d.token("admin"), "GET", place+"?cursor="+cursor{List: list, Corp: "wwfern", After: "1"}.String(), "")
		if x.StatusCode != http.StatusBadRequest {
			t.Errorf("%s with a cursor of another corp: %d", list, x.StatusCode)
		}
	}
}
