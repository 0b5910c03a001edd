package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	routing "github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// shell runs the receivers commands against a company with a head of department.
type shell struct {
	*rig.Rig
	*program
	out bytes.Buffer
}

func newShell(t *testing.T) *shell {
	t.Helper()
	s := &shell{Rig: rig.Start(t, rig.Options{})}
	s.program = &program{out: &s.out, log: io.Discard, actor: "test", ledger: s.Ledger(s.Config(rig.Operator))}
	s.OK(s.ledger.PutCorp(t.Context(), ledger.Corp{ID: tide, Name: "Tide Salvage", Added: noon, ReportTo: []ledger.Receiver{{Address: "admin@tide.example", Language: "en"}}}))
	s.OK(s.ledger.PutEntries(t.Context(), tide, []directory.Entry{
		{Kind: directory.KindDepartment, ID: "1", At: noon, Fields: directory.Fields(directory.Department{Name: "root"})},
		{Kind: directory.KindDepartment, ID: "2", At: noon, Fields: directory.Fields(directory.Department{Name: "潜水", Parent: 1})},
		{Kind: directory.KindMember, ID: "yu", At: noon, Fields: directory.Fields(directory.Member{Name: "于深", Listed: true, Departments: []int{2}, Leads: []int{2}, Status: 1,
			Email: "yu@tide.example", EmailReadable: true})},
	}))
	s.OK(s.ledger.PutSnapshot(t.Context(), ledger.Snapshot{Corp: tide, At: noon}))
	return s
}

// do runs a command and returns what it printed.
func (s *shell) do(args ...string) (string, error) {
	s.Helper()
	s.out.Reset()
	err := receivers(s.Context(), s.program, append([]string{args[0], "-corp", string(tide)}, args[1:]...))
	return s.out.String(), err
}

func (s *shell) list() map[string]receiverPublic {
	s.Helper()
	text, err := s.do("list")
	s.OK(err)
	all := map[string]receiverPublic{}
	for line := range strings.Lines(text) {
		var r receiverPublic
		s.OK(json.Unmarshal([]byte(line), &r))
		all[r.ID] = r
	}
	return all
}

func TestAReceiverIsAddedChangedAndRemovedFromTheShell(t *testing.T) {
	s := newShell(t)
	text, err := s.do("add", "-address", "Lin@Tide.example", "-department", "2", "-reports", "r5,R1", "-name", "Lin")
	s.OK(err)
	id := strings.Fields(text)[1]
	want := receiverPublic{ID: id, Source: "entered", Name: "Lin", Address: "Lin@tide.example", Language: "zh", Departments: []string{"2 潜水"}, Rev: 1,
		Reports: s.list()[id].Reports, Editable: []string{"name", "address", "language", "reports", "department"}}
	got := s.list()[id]
	if diff := cmp.Diff(want, got); diff != "" || len(got.Reports) != 2 || got.Reports[0] != "R1" {
		t.Errorf("it is listed as (-want +got):\n%s", diff)
	}
	_, err = s.do("change", "-id", id, "-department", "1", "-reports", "R7", "-lang", "en")
	s.OK(err)
	got = s.list()[id]
	if got.Departments[0] != "1 Tide Salvage" || got.Reports[0] != "R7" || got.Language != "en" || got.Rev != 2 || got.Name != "Lin" {
		t.Errorf("changed, it is %+v", got)
	}
	for _, wrong := range []struct {
		args []string
		want string
	}{
		{[]string{"add", "-address", "x@tide.example", "-department", "9", "-reports", "R1"}, "department: there is no department 9"},
		{[]string{"add", "-address", "secret", "-department", "1", "-reports", "R1"}, "address: the address has no @"},
		{[]string{"add", "-address", "x@tide.example", "-department", "1"}, "reports: none is chosen"},
		{[]string{"add", "-address", "x@tide.example", "-department", "1", "-reports", "R9"}, "no such report"},
		{[]string{"add", "-address", "lin@tide.example", "-department", "1", "-reports", "R1"}, "already"},
		{[]string{"change", "-id", id}, "at least one thing"},
		{[]string{"change", "-id", id, "-use-wecom", "name"}, "WeCom knows nothing of it"},
		{[]string{"change", "-id", "r-nobody", "-name", "x"}, "receivers list"},
		{[]string{"change", "-id", "a-1", "-name", "x"}, "setting of the company"},
		{[]string{"change", "-id", "a-1", "-department", "2"}, "setting of the company"},
		{[]string{"list", "-id", "r-nobody"}, "receivers list"},
		{[]string{"remove", "-id", "a-1"}, "account admin"},
	} {
		if _, err := s.do(wrong.args...); err == nil || !strings.Contains(err.Error(), wrong.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", wrong.args, err)
		}
	}
	_, err = s.do("remove", "-id", id)
	s.OK(err)
	if _, there := s.list()[id]; there {
		t.Error("it is removed and listed")
	}
	for _, row := range s.Rows("AuditTable") {
		if strings.Contains(row, "@") || !strings.Contains(row, "action=receivers ") {
			t.Errorf("audit entry %s", row)
		}
	}
}

func TestR7IsNotEnteredForTheHeadOfAPartAndListedAsNotSent(t *testing.T) {
	s := newShell(t)
	if _, err := s.do("change", "-id", "h-yu", "-reports", "R7"); err == nil || !strings.Contains(err.Error(), "R7 tells of the whole company") {
		t.Errorf("R7 for the head of a part: %v", err)
	}
	_, err := s.ledger.PutEdit(t.Context(), tide, routing.Edit{User: "yu", Reports: &[]report.Kind{"R7"}}) // as when he led the whole
	s.OK(err)
	if yu := s.list()["h-yu"]; !strings.HasPrefix(yu.NotSent, "R7 tells of the whole company") {
		t.Errorf("R7 is not sent to the head of a part, and the list says %q", yu.NotSent)
	}
	if _, err := s.do("change", "-id", "h-yu", "-name", "Yu"); err != nil {
		t.Errorf("a name beside what is kept: %v", err)
	}
	if yu := s.list()["h-yu"]; yu.Name != "Yu" || len(yu.Reports) != 1 {
		t.Errorf("renamed, the head is %+v", yu)
	}
	if _, err := s.do("change", "-id", "h-yu", "-reports", "R1"); err != nil {
		t.Error(err)
	}
	if _, err := s.do("change", "-id", "h-yu", "-reports", "R1,R7"); err == nil {
		t.Error("what was given up is entered again")
	}
}

func TestAHeadIsEditedGivenBackAndNeverRemoved(t *testing.T) {
	s := newShell(t)
	_, err := s.do("change", "-id", "h-yu", "-name", "Yu (office)", "-reports", "none")
	s.OK(err)
	yu := s.list()["h-yu"]
	if yu.Name != "Yu (office)" || yu.WeComName != "于深" || len(yu.Reports) != 0 || !cmp.Equal(yu.Edited, []string{"name", "reports"}) || yu.Synced != "2031-05-06T12:00:00Z" {
		t.Errorf("edited, the head is %+v", yu)
	}
	_, err = s.do("change", "-id", "h-yu", "-use-wecom", "name, reports")
	s.OK(err)
	yu = s.list()["h-yu"]
	if yu.Name != "于深" || len(yu.Reports) != 3 || len(yu.Edited) != 0 || yu.Rev != 2 {
		t.Errorf("given back, the head is %+v", yu)
	}
	if _, err := s.do("remove", "-id", "h-yu"); err == nil || !strings.Contains(err.Error(), "上级") {
		t.Errorf("removing a head: %v", err)
	}
	if _, err := s.do("change", "-id", "h-yu", "-department", "1"); err == nil || !strings.Contains(err.Error(), "follows WeCom") {
		t.Errorf("moving a head: %v", err)
	}
	text, err := s.do("heads")
	s.OK(err)
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, `"id":"h-yu"`) {
		t.Errorf("the heads are %s", text)
	}
}

func TestReportsAreSwitchedAndAddressesSetFromTheShell(t *testing.T) {
	s := newShell(t)
	text, err := s.do("settings")
	s.OK(err)
	if !strings.Contains(text, `"rev":0`) || strings.Contains(text, `"on":false`) {
		t.Errorf("a company that never decided anything has %s", text)
	}
	text, err = s.do("settings", "-operations", "Ops@Tide.example", "-alert", "alerts@tide.example", "-off", "R3,R4", "-silent", "R1", "-lang", "en")
	s.OK(err)
	for _, want := range []string{`"operations":"Ops@tide.example"`, `"alert":"alerts@tide.example"`, `"language":"en"`, `"rev":1`, `"report":"R3","title":"Number Changes","on":false`,
		`"report":"R1","title":"User Status Report","on":true,"silent_without_news":true,"changed_by":"test"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the settings lack %s:\n%s", want, text)
		}
	}
	if _, err := s.do("settings", "-on", "R3", "-operations", ""); err != nil {
		t.Error(err)
	}
	c, err := s.ledger.Corp(t.Context(), tide)
	s.OK(err)
	if !c.Settings.On("R3") || c.Settings.On("R4") || c.Settings.Operations != "" || c.Settings.Alert == "" || c.Settings.Rev != 2 {
		t.Errorf("the settings are %+v", c.Settings)
	}
	text, err = s.do("settings", "-edition", "service", "-seats", "40", "-service-start", "2032-01-01", "-service-end", "2032-12-31")
	s.OK(err)
	if !strings.Contains(text, `"service":{"edition":"service","seats":40,"start":"2032-01-01","end":"2032-12-31"}`) {
		t.Errorf("what was bought is %s", text)
	}
	if text, err = s.do("settings", "-seats", "41"); err != nil || !strings.Contains(text, `"seats":41,"start":"2032-01-01"`) {
		t.Errorf("one field changed: %s, %v", text, err)
	}
	var mistyped *usageError
	if _, err := s.do("settings", "-service-end", "2033"); !errors.As(err, &mistyped) {
		t.Errorf("a date that is none: %v", err)
	}
	if _, err := s.do("settings", "-service-end", "2031-12-31"); err == nil || !strings.HasPrefix(err.Error(), "service.end: ") {
		t.Errorf("an end before the start: %v", err)
	}
	if _, err := s.do("settings", "-control", "nowhere"); err == nil || !strings.HasPrefix(err.Error(), "control: ") {
		t.Errorf("a control mailbox that is none: %v", err)
	}
	var usage *usageError
	if _, err := s.do("settings", "-off", "R99"); !errors.As(err, &usage) {
		t.Errorf("a report that is none: %v", err)
	}
}

// What the API does, a shell does too: each operation of its description has its command here.
func TestEachOperationOfTheAPIHasItsCommand(t *testing.T) {
	commandsOf := map[string]string{
		"getDescription": "", "getGuidePage": "", // a shell has vaultctl's own usage, and the guide as files
		"listCorps": "corps list", "getCorp": "corps list", "getSettings": "receivers settings", "changeSettings": "receivers settings",
		"listDepartments": "receivers departments", "listReports": "receivers reports", "previewReport": "receivers preview", "getPreview": "receivers preview",
		"listReceivers": "receivers list", "getReceiver": "receivers list", "addReceiver": "receivers add", "changeReceiver": "receivers change", "removeReceiver": "receivers remove",
		"listMails": "receivers mails", "listSuppressions": "receivers suppressed", "getSuppression": "receivers suppressed", "liftSuppression": "receivers lift",
		"getStatus": "status", "listPeople": "people", "getPerson": "people", "listHRFiles": "people", "importHRFile": "people", "getHRFile": "people",
		"getRoomName": "rooms name", "nameRoom": "rooms name", "unnameRoom": "rooms name",
	}
	text, err := os.ReadFile("../../functions/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, raw := range methods {
			var op struct {
				ID string `json:"operationId"`
			}
			if method == "parameters" {
				continue
			}
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			line, known := commandsOf[op.ID]
			if !known {
				t.Errorf("%s %s (%s) has no command", method, path, op.ID)
			}
			delete(commandsOf, op.ID)
			if line == "" {
				continue
			}
			name, second, _ := strings.Cut(line, " ")
			i := slices.IndexFunc(commands(), func(c command) bool { return c.name == name })
			if i < 0 {
				t.Errorf("there is no vaultctl %s", name)
				continue
			}
			if second == "" {
				continue
			}
			var usage *usageError
			err := commands()[i].run(t.Context(), &program{out: io.Discard}, []string{second, "-no-such-flag"})
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), "no-such-flag") {
				t.Errorf("vaultctl %s: %v", line, err)
			}
		}
	}
	if len(commandsOf) > 0 {
		t.Errorf("the API has none of %v", commandsOf)
	}
}

func TestAKeyAddsOneReceiverHoweverOftenTheCommandIsRepeated(t *testing.T) {
	s := newShell(t)
	add := []string{"add", "-address", "lin@tide.example", "-department", "2", "-reports", "R1", "-key", "monday"}
	for range 2 {
		_, err := s.do(add...)
		s.OK(err)
	}
	entered, _, err := s.ledger.Receivers(t.Context(), tide)
	if err != nil || len(entered) != 1 {
		t.Errorf("%v %v", entered, err)
	}
	add[2] = "yan@tide.example"
	if _, err := s.do(add...); err == nil || !strings.Contains(err.Error(), "-key monday") {
		t.Errorf("the key for another: %v", err)
	}
}

func TestAChangeOfWhatWasReadBeforeIsRefused(t *testing.T) {
	s := newShell(t)
	text, err := s.do("add", "-address", "lin@tide.example", "-department", "2", "-reports", "R1")
	s.OK(err)
	id := strings.Fields(text)[1]
	_, err = s.do("change", "-id", id, "-name", "Lin", "-rev", "1")
	s.OK(err)
	for _, args := range [][]string{{"change", "-id", id, "-name", "Bo", "-rev", "1"}, {"remove", "-id", id, "-rev", "1"}, {"change", "-id", "h-yu", "-name", "Bo", "-rev", "3"}} {
		if _, err := s.do(args...); err == nil || !strings.Contains(err.Error(), "meanwhile") {
			t.Errorf("%v: %v", args, err)
		}
	}
	_, err = s.do("remove", "-id", id, "-rev", "2")
	s.OK(err)
	var usage *usageError
	if _, err := s.do("change", "-id", "h-yu", "-rev", "0"); !errors.As(err, &usage) {
		t.Errorf("nothing to change: %v", err)
	}
}

func TestAShellShowsDepartmentsReportsAndTheFateOfMails(t *testing.T) {
	s := newShell(t)
	text, err := s.do("departments")
	s.OK(err)
	if text != `{"id":1,"name":"Tide Salvage","parent":0,"gone":false}`+"\n"+`{"id":2,"name":"潜水","parent":1,"gone":false}`+"\n" {
		t.Error(text)
	}
	_, err = s.do("settings", "-off", "R4")
	s.OK(err)
	text, err = s.do("reports")
	s.OK(err)
	if strings.Count(text, `"on":false`) != 1 || !strings.Contains(text, `"R12"`) {
		t.Error(text)
	}
	for i, to := range []string{"yu@tide.example", "admin@tide.example"} {
		m := ledger.MailRow{Corp: tide, Day: fmt.Sprintf("2033-03-%02d", i+1), Report: "R1", To: to, Object: "mails/a", Version: "v", At: noon}
		s.OK(s.ledger.PlanMail(t.Context(), m))
		_, err := s.ledger.SetFate(t.Context(), m, ledger.Bounced, "permanent-general", noon)
		s.OK(err)
		s.OK(s.ledger.Hear(t.Context(), tide, to, ledger.Heard{Fate: ledger.Bounced, Detail: "permanent-general", Mail: m.Key(), At: noon}))
	}
	text, err = s.do("mails")
	s.OK(err)
	if strings.Count(text, `"fate":"bounced"`) != 2 || !strings.HasPrefix(text, `{"day":"2033-03-02"`) {
		t.Error(text)
	}
	text, err = s.do("mails", "-address", "Yu@tide.example", "-most", "1")
	s.OK(err)
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, "yu@") {
		t.Error(text)
	}
	if h := s.list()["h-yu"].Heard; h == nil || h.Fate != "bounced" || h.Detail != "permanent-general" {
		t.Errorf("%+v", h)
	}
}

func TestAShellPreviewsWhatAReceiverWouldGet(t *testing.T) {
	s := newShell(t)
	s.program.aws, s.program.reports = s.Config(rig.Operator), s.Store(s.Config(rig.Operator), "ReportsBucket")
	if _, err := s.do("preview", "-report", "R5", "-department", "1"); err == nil || !strings.Contains(err.Error(), "REPORT_QUEUE_URL") {
		t.Errorf("without the queue: %v", err)
	}
	s.program.where.Reports = s.Name("ReportQueue")
	go func() { // report, when it is asked
		s.Within(10*time.Second, "a preview is asked for", func() bool {
			p, err := s.ledger.Preview(t.Context(), tide, "R5")
			return err == nil && p.ID != "" && len(s.Take("ReportQueue")) == 1
		})
		p, err := s.ledger.Preview(t.Context(), tide, "R5")
		s.OK(err)
		kept := `{"facts":{"corp":{"ID":"` + string(tide) + `","Name":"Tide Salvage"},"day":"2033-03-01T12:00:00Z","snapshot":"2033-03-01T11:00:00Z",` +
			`"rows":[{"id":"eda","name":"Eda Below","departments":[2],"status":1,"fresh":true},{"id":"fay","name":"Fay Root","departments":[1],"status":1,"fresh":true}]}}`
		object, err := s.program.reports.PutBlob(t.Context(), objstore.ReportKey(tide, "2033-03-01", "R5-preview-"+p.ID+".json"), "application/json", []byte(kept))
		s.OK(err)
		p.Object, p.Version = object.Key, object.VersionID
		s.OK(s.ledger.KeepPreview(t.Context(), p))
	}()
	html := filepath.Join(t.TempDir(), "mail.html")
	text, err := s.do("preview", "-report", "r5", "-department", "2", "-lang", "en", "-html", html)
	s.OK(err)
	page, err := os.ReadFile(html)
	s.OK(err)
	if !strings.Contains(text, "Eda") || strings.Contains(text, "Fay") || !strings.Contains(text, "Subject: ") || !strings.Contains(text, "(it would be mailed)") || !strings.Contains(text, "PREVIEW") ||
		!strings.Contains(string(page), "Eda") || strings.Contains(string(page), "Fay") {
		t.Errorf("%s\n%s", text, page)
	}
	for _, wrong := range [][]string{{"-report", "R99", "-department", "1"}, {"-report", "R7", "-department", "2"}, {"-report", "R5", "-department", "9"}, {"-report", "R5", "-department", "1", "-lang", "fr"}} {
		if _, err := s.do(append([]string{"preview"}, wrong...)...); err == nil {
			t.Errorf("%v is previewed", wrong)
		}
	}
}

// T1: who switched a report off stays told, whatever is decided of its days without news since.
func TestWhoSwitchedAReportStaysToldWhateverIsDecidedOfItSince(t *testing.T) {
	s := newShell(t)
	s.program.actor = "vaultctl:ada"
	_, err := s.do("settings", "-off", "R3")
	s.OK(err)
	s.program.actor = "vaultctl:bo"
	text, err := s.do("settings", "-silent", "R3")
	s.OK(err)
	if !strings.Contains(text, `"on":false,"silent_without_news":true,"changed_by":"vaultctl:bo"`) || !strings.Contains(text, `"switched_by":"vaultctl:ada"`) {
		t.Error(text)
	}
	var changed int
	for _, row := range s.Rows("AuditTable") {
		if strings.Contains(row, "object=settings: off R3 ") || strings.Contains(row, "object=settings: silent R3 ") {
			changed++
		}
	}
	if changed != 2 {
		t.Errorf("the audit stream has %d of 2 changes by name: %v", changed, s.Rows("AuditTable"))
	}
}
