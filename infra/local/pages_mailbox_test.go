package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/report"
)

// posted is mails as they lie in the local SES.
type posted struct {
	mails []ses.Mail
	raw   map[string][]byte
	reads int
}

func (p *posted) Mails() ([]ses.Mail, error) { return p.mails, nil }

func (p *posted) Raw(id string) ([]byte, error) {
	p.reads++
	if raw, ok := p.raw[id]; ok {
		return raw, nil
	}
	return nil, ses.ErrNotFound
}

func (p *posted) put(t *testing.T, m report.Mail, to string, at time.Time) string {
	t.Helper()
	id := fmt.Sprintf("0100%08d", len(p.mails))
	m.ID = report.ID(id)
	raw, err := m.Bytes("vault@mail.example", to, at, id)
	if err != nil {
		t.Fatal(err)
	}
	p.mails = append(p.mails, ses.Mail{ID: id, Source: "vault@mail.example", Destinations: []string{to}, Subject: m.Subject, Accepted: at, Size: len(raw)})
	p.raw[id] = raw
	return id
}

// evil is what names may hold at worst, as long as a name can be.
var evil = "\u202e<script>document.title='taken'</script>\"'><img src=x onerror=alert(1)>\r\nBcc: x@y.example " + strings.Repeat("名", 150)

// newMailbox is a mailbox of three days: reports to two receivers, an alert that began and is over, and names that are hostile.
func newMailbox(t *testing.T) (*shop, *posted) {
	t.Helper()
	s := &shop{Rig: rig.Start(t, rig.Options{})}
	p := &posted{raw: map[string][]byte{}}
	corp := report.Corp{ID: "wwheron", Name: "白鹭物流 Heron"}
	noon := time.Date(2032, 2, 9, 12, 0, 0, 0, time.UTC)
	build := func(m report.Mail, err error) report.Mail {
		s.OK(err)
		return m
	}
	began := noon.Add(20 * time.Hour)
	alarm := report.Alarm{Cause: report.KeyMissing, News: report.Began, FirstSeen: began, Seen: []archive.KeyVersion{4}, Messages: report.Known(12)}
	over := alarm
	over.News, over.Ended = report.Over, began.Add(5*time.Hour)
	for i := range 3 {
		day := noon.AddDate(0, 0, i)
		for _, to := range []string{"ops@heron.example", "hr@heron.example"} {
			p.put(t, build(report.NewNumberChange(report.NumberChangeFacts{Corp: corp, Day: day, Snapshot: day, Rows: []report.NumberRow{{
				Person: report.Person{ID: "mai", Name: evil, Places: []string{evil}}, Old: "+86 13900001111", New: "+86 13900002222", When: report.Between{By: day},
			}}}, report.View{Language: report.English, Mask: true})), to, day.Add(time.Minute))
		}
		switch i {
		case 0:
			for _, to := range []string{"ops@heron.example", "hr@heron.example"} {
				p.put(t, build(report.NewMaintenance(report.MaintenanceFacts{Corp: corp, Now: began, Alarms: []report.Alarm{alarm}}, report.View{Language: report.Chinese})), to, began)
			}
			p.put(t, build(report.NewMaintenance(report.MaintenanceFacts{Corp: corp, Now: over.Ended, Alarms: []report.Alarm{over}}, report.View{Language: report.Chinese})), "ops@heron.example", over.Ended.Add(-2*time.Hour))
		case 1:
			p.put(t, build(report.NewUserStatus(report.UserStatusFacts{Corp: report.Corp{ID: "wwevil", Name: evil}, Day: day, Snapshot: day,
				Users: []report.User{{ID: "mai", Name: evil, Departments: []string{evil}}}}, report.View{Language: report.English})), "ops@heron.example", day.Add(2*time.Minute))
		}
	}
	l := s.Ledger(s.Config(rig.Operator))
	s.OK(l.PutCorp(t.Context(), ledger.Corp{ID: corp.ID, Name: corp.Name, Simulated: true, Added: noon}))
	server := httptest.NewServer((&pages{mails: p, ledger: l, depths: s.SQS.Depths, now: func() time.Time { return noon.AddDate(0, 0, 4) },
		windows: ledger.Windows{Messages: 120 * time.Hour, Media: 72 * time.Hour}}).routes())
	t.Cleanup(server.Close)
	s.url = server.URL
	return s, p
}

var (
	dayHeads = regexp.MustCompile(`<h2 id="d([0-9-]+)">`)
	mailRows = regexp.MustCompile(`<li><a href="/mail/(0100[0-9]+)">`)
)

func TestTheMailboxIsByDayAndFilters(t *testing.T) {
	s, p := newMailbox(t)
	for _, c := range []struct {
		query string
		days  int
		mails int
		says  string
	}{
		{"", 3, 10, "10 of 10 mails, on 3 days"},
		{"to=hr@heron.example", 3, 4, "4 of 10 mails"},
		{"report=R7", 1, 3, "3 of 10 mails, on 1 day."},
		{"report=R7&to=ops@heron.example", 1, 2, "2 of 10 mails"},
		{"subject=NUMBER+CHANGES", 3, 6, "6 of 10 mails"},
		{"day=2032-02-10", 1, 6, "Shown: 2032-02-10"},
		{"day=2032-02-10&report=R3", 1, 2, "6 of 10 mails"},
		{"report=R9", 0, 0, "No mail is like that."},
		{"to=" + url.QueryEscape(evil), 0, 0, "0 of 10 mails"},
		{"day=" + url.QueryEscape(evil) + "&subject=" + url.QueryEscape(evil) + "&report=" + url.QueryEscape(evil), 0, 0, "No mail is like that."},
	} {
		res, body := s.get("/mailbox?" + c.query)
		if res.StatusCode != http.StatusOK || len(dayHeads.FindAllString(body, -1)) != c.days || len(mailRows.FindAllString(body, -1)) != c.mails || !strings.Contains(body, c.says) {
			t.Errorf("%q: status %d, days %q, %d mails, %q is said: %v", c.query, res.StatusCode, dayHeads.FindAllString(body, -1), len(mailRows.FindAllString(body, -1)), c.says, strings.Contains(body, c.says))
		}
		if strings.Contains(body, "<script") || strings.Contains(body, "<img") || strings.Contains(body, "onerror=alert(1)>") {
			t.Errorf("%q: a name or a question is not escaped", c.query)
		}
	}
	if days := dayHeads.FindAllStringSubmatch(func() string { _, b := s.get("/mailbox"); return b }(), -1); days[0][1] != "2032-02-11" || days[2][1] != "2032-02-09" {
		t.Errorf("the days come as %q", days)
	}
	if p.reads != len(p.mails) {
		t.Errorf("the heads of %d mails were read %d times", len(p.mails), p.reads)
	}
}

func TestAMailShowsItsThread(t *testing.T) {
	s, _ := newMailbox(t)
	_, list := s.get("/mailbox?report=R7&to=ops@heron.example")
	ids := mailRows.FindAllStringSubmatch(list, -1)
	if len(ids) != 2 {
		t.Fatalf("the alert's mails are %q", ids)
	}
	for i := range ids {
		_, body := s.get("/mail/" + ids[i][1])
		if !strings.Contains(body, "Thread: 2 mails on the same matter") || strings.Count(body, `href="/mail/`+ids[1-i][1]+`"`) != 1 || strings.Count(body, "this mail") != 1 {
			t.Errorf("mail %s does not show the other one of its thread", ids[i][1])
		}
	}
	_, alone := s.get("/mailbox?report=R7&to=hr@heron.example")
	if _, body := s.get("/mail/" + mailRows.FindStringSubmatch(alone)[1]); strings.Contains(body, "Thread:") {
		t.Error("another receiver's mail is shown in the thread")
	}
}

func TestTheMailboxOfManyMailsShowsTheNewestDaysFirst(t *testing.T) {
	s, p := newMailbox(t)
	first := p.mails[0]
	for i := range 900 {
		m := first
		m.ID = fmt.Sprintf("0200%08d", i)
		m.Accepted = first.Accepted.AddDate(0, 1, i/30)
		p.mails = append(p.mails, m)
		p.raw[m.ID] = p.raw[first.ID]
	}
	_, body := s.get("/mailbox")
	if n := strings.Count(body, "<li><a "); n != 210 {
		t.Errorf("%d mails are listed", n)
	}
	if !strings.Contains(body, "910 of 910 mails, on 33 days.") || !strings.Contains(body, "The mails of 26 earlier days are behind their links above.") {
		t.Error("it is not said what is left out")
	}
	if _, body := s.get("/mailbox?day=2032-02-09"); strings.Count(body, "<li><a ") != 2 {
		t.Error("an earlier day does not show its mails")
	}
}

// TestHostileMailsInABrowser clicks through the mailbox as somebody would who looks for an alert, at each width.
func TestHostileMailsInABrowser(t *testing.T) {
	s, _ := newMailbox(t)
	ctx := browser(t)
	for _, width := range []int64{360, 1280} {
		b := tab{s, ctx, width}
		b.open(s.url + "/mailbox")
		b.until(`document.querySelectorAll("ul.mails li").length === 10`)
		b.check("mailbox-days")
		b.until(`(document.querySelector("select[name=report]").value = "R7", document.querySelector("select[name=to]").value = "ops@heron.example", true)`)
		b.click("form.filter button", `document.querySelectorAll("ul.mails li").length === 2`)
		b.check("mailbox-filtered")
		b.open(s.url + "/mailbox?subject=HERON")
		b.until(`document.querySelectorAll("ul.mails li").length === 9`)
		b.check("mailbox-company")
		b.open(s.url + "/mailbox?report=R7&to=ops@heron.example")
		b.click("ul.mails li:first-child a", `document.querySelectorAll(".thread li").length === 2`)
		b.check("mail-thread")
		b.click(".thread a", `document.querySelector("h1").innerText.includes("警报")`)
		for _, report := range []string{"R1", "R3"} {
			b.open(s.url + "/mailbox?report=" + report)
			b.click("ul.mails li:first-child a", `document.querySelector("h1").innerText.includes("`+report+`")`)
			b.until(`(document.querySelectorAll("details").forEach(d => d.open = true), true)`)
			b.check("mail-hostile-" + report)
			if text := b.words(); strings.Contains(text, "\u202e") {
				t.Errorf("%s at %d px turns the reading direction", report, width)
			}
			b.click("a.view", `document.querySelectorAll("tbody tr").length === 1`)
			b.until(`document.title !== "taken"`)
		}
	}
}
