package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/access"
	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/hrfile"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/apigateway"
	"github.com/wecomvault/wecomvault/shared/local/openid"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/preview"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

const corp = archive.CorpID("wwreed")

var noon = time.Date(2033, 3, 1, 12, 0, 0, 0, time.UTC)

// desk is the API with its own role behind the gateway of the template, and an issuer of tokens.
type desk struct {
	*rig.Rig
	operator *ledger.Ledger
	issuer   *openid.Issuer
	function lambdas.Function
	url      string
	log      bytes.Buffer
	n        int
	later    time.Duration  // what time it is, as of noon
	places   map[string]int // departments, by the addresses of receivers that enter made
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{}
	var keys http.Handler
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { keys.ServeHTTP(w, r) }))
	t.Cleanup(issuer.Close)
	d.Rig = rig.Start(t, rig.Options{Parameters: map[string]string{"ApiIssuer": issuer.URL}})
	now := func() time.Time { return noon.Add(d.later) }
	var err error
	d.issuer, err = openid.New(issuer.URL, func() time.Time { return noon })
	d.OK(err)
	keys = d.issuer
	d.operator = d.Ledger(d.Config(rig.Operator))
	f, _ := d.Template.Function("ApiFunction")
	log := slog.New(slog.NewTextHandler(&d.log, nil))
	c := d.Config("ApiFunction")
	a := &api{ledger: d.Ledger(c), files: hrfile.Shelf{Ledger: d.Ledger(c), Store: d.Store(c, "ReportsBucket")}, log: log,
		previews: preview.Desk{Ledger: d.Ledger(c), Store: d.Store(c, "ReportsBucket"), Reports: queue.New[queue.ReportJob](sqs.NewFromConfig(c), d.Name("ReportQueue"))},
		count:    func(string, float64) {}, flush: func() error { return nil },
		issuer: f.Environment["API_ISSUER"], audience: f.Environment["API_AUDIENCE"], roleClaim: f.Environment["API_ROLE_CLAIM"],
		windows: ledger.Windows{Messages: 120 * time.Hour, Media: 72 * time.Hour}, mailsRead: 100, membersRead: 100, perMinute: 1 << 30, now: now, real: now}
	d.function = lambdas.Function{Log: log, HTTP: a}
	var ticks int
	gateway, err := apigateway.New(apigateway.Options{Template: d.Template, Now: func() time.Time { return noon }, // tokens last
		Real: func() time.Time { ticks++; return noon.Add(time.Duration(ticks) * time.Second) }, // nobody is throttled
		Invoke: func(ctx context.Context, _ string, payload []byte) ([]byte, bool, error) {
			answer, err := d.function.Invoke(ctx, payload)
			if err != nil {
				return nil, true, nil
			}
			text, err := json.Marshal(answer)
			return text, false, err
		}})
	d.OK(err)
	server := httptest.NewServer(gateway)
	t.Cleanup(server.Close)
	d.url = server.URL
	d.company()
	return d
}

// company makes 1 > 2 > 3 and 1 > 4, each but 3 with a head, and a second corp.
func (d *desk) company() {
	d.Helper()
	d.OK(d.operator.PutCorp(d.Context(), ledger.Corp{ID: corp, Name: "Reed", Added: noon.Add(-48 * time.Hour), ReportTo: []ledger.Receiver{{Address: "root@reed.example", Language: "en"}}}))
	d.OK(d.operator.PutCorp(d.Context(), ledger.Corp{ID: "wwfern", Name: "Fern"}))
	entry := func(kind directory.Kind, id, fields string) directory.Entry {
		return directory.Entry{Kind: kind, ID: id, At: noon.Add(-24 * time.Hour), Fields: fields}
	}
	var all []directory.Entry
	for id, parent := range map[int]int{1: 0, 2: 1, 3: 2, 4: 1} {
		all = append(all, entry(directory.KindDepartment, strconv.Itoa(id), directory.Fields(directory.Department{Name: "D" + strconv.Itoa(id), Parent: parent})))
	}
	for id, leads := range map[string]int{"ann": 2, "bob": 4, "cat": 1} {
		fields := directory.Fields(directory.Member{Name: id, Listed: true, Departments: []int{leads}, Leads: []int{leads}, Status: directory.StatusActivated,
			Email: id + "@reed.example", EmailReadable: true})
		all = append(all, entry(directory.KindMember, id, fields))
	}
	d.OK(d.operator.PutEntries(d.Context(), corp, all))
	for i, to := range []string{"ann@reed.example", "bob@reed.example", "cat@reed.example", "root@reed.example"} {
		d.OK(d.operator.PlanMail(d.Context(), ledger.MailRow{Corp: corp, Day: fmt.Sprintf("2033-02-%02d", 20+i), Report: "R1", To: to, Object: "mails/x", Version: "v", At: noon}))
	}
}

// reported keeps a User Status Report of a user of 3 and one of 4.
func (d *desk) reported() {
	d.Helper()
	d.kept(report.UserStatus, `"Users":[{"ID":"eda","Name":"Eda Below","In":[3],"Status":1},{"ID":"fay","Name":"Fay Beside","In":[4],"Status":1}]`)
}

// kept has a preview of a report made at noon, as report would make it, with further facts.
func (d *desk) kept(kind report.Kind, more string) {
	d.Helper()
	d.OK(d.operator.AskPreview(d.Context(), ledger.Preview{Corp: corp, Report: string(kind), ID: "p", Asked: noon}, ""))
	d.makes(kind, more)
}

// makes is what report does when it is asked for a preview.
func (d *desk) makes(kind report.Kind, more string) {
	d.Helper()
	p, err := d.operator.Preview(d.Context(), corp, string(kind))
	d.OK(err)
	text := `{"facts":{"Corp":{"ID":"wwreed","Name":"Reed"},"Day":"2033-03-01T12:00:00Z","Snapshot":"2033-03-01T11:00:00Z",` + more + `}}`
	object, err := d.Store(d.Config(rig.Operator), "ReportsBucket").PutBlob(d.Context(), objstore.ReportKey(corp, "2033-03-01", string(kind)+"-preview-"+p.ID+".json"), "application/json", []byte(text))
	d.OK(err)
	p.Object, p.Version, p.Made = object.Key, object.VersionID, noon.Add(d.later)
	d.OK(d.operator.KeepPreview(d.Context(), p))
}

// enter makes a receiver of a department, as the operator, and returns its id.
func (d *desk) enter(department int) string {
	d.Helper()
	d.n++
	row := receivers.Row{ID: receivers.RowID([8]byte{byte(d.n >> 8), byte(d.n)}), Name: "R", Address: fmt.Sprintf("r%d@reed.example", d.n), Language: "en", Department: department,
		Reports: []report.Kind{report.UserStatus}, Added: noon}
	_, err := d.operator.PutReceiver(d.Context(), corp, row)
	d.OK(err)
	if d.places == nil {
		d.places = map[string]int{}
	}
	d.places[row.Address] = department
	return row.ID
}

// dead makes a receiver of a department whose address has bounced for good at noon, and returns the id of the suppression.
func (d *desk) dead(department int) string {
	d.Helper()
	d.enter(department)
	address := fmt.Sprintf("r%d@reed.example", d.n)
	_, err := d.operator.Suppress(d.Context(), ledger.Suppression{Corp: corp, Address: address, Reason: ledger.Bounced, Detail: "permanent-general", Mail: "2033-02-20#R1#x", Since: noon})
	d.OK(err)
	return ledger.AddressID(address)
}

func (d *desk) token(roles ...string) string {
	d.Helper()
	text, err := d.issuer.Token(map[string]any{"sub": "person-7", "aud": "wecomvault", "wecomvault_roles": roles})
	d.OK(err)
	return text
}

type told struct {
	*http.Response
	text string
	body map[string]any
}

// ask sends a request; headers are names and values in turn.
func (d *desk) ask(token, method, path, body string, headers ...string) told {
	d.Helper()
	r, err := http.NewRequestWithContext(d.Context(), method, d.url+path, strings.NewReader(body))
	d.OK(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	d.OK(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	d.OK(err)
	out := told{Response: response, text: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out.body); err != nil {
			d.Fatalf("%s %s answers %d %q", method, path, response.StatusCode, text)
		}
	}
	d.documented(method, path, out)
	return out
}

// field is the field that a problem names, and the problem's type.
func (x told) field() (kind, field string) {
	kind, _ = x.body["type"].(string)
	errors, _ := x.body["errors"].([]any)
	if len(errors) > 0 {
		first, _ := errors[0].(map[string]any)
		field, _ = first["field"].(string)
	}
	return strings.TrimPrefix(kind, "urn:wecomvault:problem:"), field
}

func (x told) list(name string) []map[string]any {
	all, _ := x.body[name].([]any)
	var out []map[string]any
	for _, e := range all {
		m, _ := e.(map[string]any)
		out = append(out, m)
	}
	return out
}

// document is openapi.json as the tests read it.
type document struct {
	Paths map[string]map[string]json.RawMessage `json:"paths"`
}

type described struct {
	ID        string            `json:"operationId"`
	Action    access.Action     `json:"x-action"`
	Roles     map[string]string `json:"x-roles"`
	Responses map[string]struct {
		Ref     string         `json:"$ref"`
		Content map[string]any `json:"content"`
	} `json:"responses"`
	Security     *[]any `json:"security"`
	method, path string
}

// public says that the description asks for no token.
func (op described) public() bool { return op.Security != nil && len(*op.Security) == 0 }

func operationsOf(t testing.TB) []described {
	t.Helper()
	all, err := allDescribed()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(all)
}

var allDescribed = sync.OnceValues(func() ([]described, error) {
	var doc document
	if err := json.Unmarshal(description, &doc); err != nil {
		return nil, err
	}
	var all []described
	for path, methods := range doc.Paths {
		for method, raw := range methods {
			if method == "parameters" {
				continue
			}
			x := described{method: strings.ToUpper(method), path: path}
			if err := json.Unmarshal(raw, &x); err != nil {
				return nil, err
			}
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(x, y described) int { return strings.Compare(x.path+x.method, y.path+y.method) })
	return all, nil
})

func TestTheDescriptionIsOfWhatThereIs(t *testing.T) {
	have := map[string]string{}
	for _, op := range (&api{}).operations() {
		have[op.method+" "+op.path] = op.id + " " + string(op.action)
	}
	for _, op := range operationsOf(t) {
		at := op.method + " " + op.path
		if have[at] != op.ID+" "+string(op.Action) {
			t.Errorf("%s is described as %s %s and is %q", at, op.ID, op.Action, have[at])
		}
		delete(have, at)
	}
	if len(have) > 0 {
		t.Errorf("not described: %v", have)
	}
}

func TestWhoAsksForReceiversIsShownThoseWithinReach(t *testing.T) {
	d := newDesk(t)
	own, below, beside, root := d.enter(2), d.enter(3), d.enter(4), d.enter(1)
	for claim, want := range map[string][]string{
		"admin":               {"a-1", "h-ann", "h-bob", "h-cat", own, below, beside, root},
		"auditor:wwreed":      {"a-1", "h-ann", "h-bob", "h-cat", own, below, beside, root},
		"supervisor:wwreed:2": {"h-ann", own, below},
		"supervisor:wwreed:3": {below},
		"supervisor:wwreed:1": {"a-1", "h-ann", "h-bob", "h-cat", own, below, beside, root},
		"supervisor:wwreed:9": nil,
	} {
		x := d.ask(d.token(claim), "GET", "/v1/corps/wwreed/receivers", "")
		var ids []string
		for _, r := range x.list("receivers") {
			ids = append(ids, fmt.Sprint(r["id"]))
		}
		slices.Sort(want)
		if x.StatusCode != http.StatusOK || !slices.Equal(ids, want) {
			t.Errorf("%s: %d %v, want %v", claim, x.StatusCode, ids, want)
		}
	}
}

// WeCom names some heads only where it tells of the department. Once the index of heads is settled nobody else's entry is read, and they are by name.
func TestAHeadWhomOnlyTheDepartmentNamesIsAReceiver(t *testing.T) {
	d := newDesk(t)
	entry := func(kind directory.Kind, id, fields string) directory.Entry {
		return directory.Entry{Kind: kind, ID: id, At: noon.Add(-23 * time.Hour), Fields: fields}
	}
	d.OK(d.operator.PutEntries(t.Context(), corp, []directory.Entry{
		entry(directory.KindDepartment, "3", directory.Fields(directory.Department{Name: "D3", Parent: 2, Leaders: []archive.PartyID{"dot"}})),
		entry(directory.KindMember, "dot", directory.Fields(directory.Member{Name: "dot", Listed: true, Departments: []int{3}, Status: directory.StatusActivated,
			Email: "dot@reed.example", EmailReadable: true}))}))
	var members []directory.Entry
	d.OK(d.operator.Entries(t.Context(), corp, directory.KindMember, func(e directory.Entry) bool { members = append(members, e); return true }))
	d.OK(d.operator.SettleHeads(t.Context(), corp, members))
	x := d.ask(d.token("supervisor:wwreed:3"), "GET", "/v1/corps/wwreed/receivers", "")
	if got := x.list("receivers"); x.StatusCode != http.StatusOK || len(got) != 1 || got[0]["id"] != "h-dot" {
		t.Errorf("%d %v\n%s", x.StatusCode, got, d.log.String())
	}
}

// By the template as it is: no operation is reached without a token that counts.
func TestNoOperationIsReachedWithATokenThatDoesNotCount(t *testing.T) {
	d := newDesk(t)
	good := d.token("admin")
	parts := strings.Split(good, ".")
	with := func(claims map[string]any) string {
		all := map[string]any{"sub": "person-7", "aud": "wecomvault", "wecomvault_roles": "admin"}
		maps.Copy(all, claims)
		text, err := d.issuer.Token(all)
		d.OK(err)
		return text
	}
	other, err := openid.New(d.issuer.URL(), func() time.Time { return noon })
	d.OK(err)
	forged, err := other.Token(map[string]any{"sub": "person-7", "aud": "wecomvault", "wecomvault_roles": "admin"})
	d.OK(err)
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	for _, op := range operationsOf(t) {
		if op.public() {
			continue
		}
		path := strings.NewReplacer("{corp}", string(corp), "{report}", "R1", "{room}", "wr1", "{receiver}", "h-ann", "{suppression}", "0000000000000000", "{userid}", "ann", "{version}", "1").Replace(op.path)
		for name, token := range map[string]string{
			"none": "", "forged": forged, "of no algorithm": none, "run out": with(map[string]any{"exp": noon.Unix()}), "for others": with(map[string]any{"aud": "other"}),
			"of another issuer": with(map[string]any{"iss": "https://id.example"}), "changed": parts[0] + "." + parts[1] + "x." + parts[2],
		} {
			if x := d.ask(token, op.method, path, ""); x.StatusCode != http.StatusUnauthorized || x.body["message"] != "Unauthorized" {
				t.Errorf("%s with a token %s: %d %s", op.ID, name, x.StatusCode, x.text)
			}
		}
		if x := d.ask(good, op.method, path, ""); x.StatusCode == http.StatusUnauthorized {
			t.Errorf("%s with a good one: %d", op.ID, x.StatusCode)
		}
	}
	if d.log.Len() > 0 && strings.Contains(d.log.String(), "status=401") {
		t.Error("the function was asked")
	}
}

func TestWithoutACheckedTokenTheFunctionRefusesByItself(t *testing.T) {
	d := newDesk(t)
	event := func(authorizer string) string {
		return `{"version":"2.0","rawPath":"/v1/corps/wwreed/receivers","headers":{},"requestContext":{"requestId":"q","stage":"$default","http":{"method":"GET"}` + authorizer + `}}`
	}
	claims := func(iss, aud, sub string) string {
		return fmt.Sprintf(`,"authorizer":{"jwt":{"claims":{"iss":%q,"aud":%q,"sub":%q,"wecomvault_roles":"admin"}}}`, iss, aud, sub)
	}
	for name, c := range map[string]struct {
		authorizer string
		status     int
	}{
		"no authorizer":         {"", 401},
		"one of another kind":   {`,"authorizer":{"iam":{"userId":"x"}}`, 401},
		"one without claims":    {`,"authorizer":{"jwt":{"claims":{}}}`, 401},
		"another issuer's":      {claims("https://issuer.example", "wecomvault", "ann"), 401},
		"for another audience":  {claims(d.issuer.URL(), "other", "ann"), 401},
		"for a longer audience": {claims(d.issuer.URL(), "wecomvault2", "ann"), 401},
		"of nobody":             {claims(d.issuer.URL(), "wecomvault", ""), 401},
		"ours":                  {claims(d.issuer.URL(), "wecomvault", "ann"), 200},
		"ours among others":     {claims(d.issuer.URL(), "[other wecomvault]", "ann"), 200},
	} {
		answer, err := d.function.Invoke(d.Context(), []byte(event(c.authorizer)))
		d.OK(err)
		text, err := json.Marshal(answer)
		d.OK(err)
		var out struct{ StatusCode int }
		d.OK(json.Unmarshal(text, &out))
		if out.StatusCode != c.status {
			t.Errorf("%s: %s", name, text)
		}
	}
	if _, err := d.function.Invoke(d.Context(), []byte(`{"version":"1.0"}`)); err == nil {
		t.Error("an event of another format is answered")
	}
}

// slow skips a test that takes long when only the short ones are asked for, as under the race detector.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long: left out by -short")
	}
}
