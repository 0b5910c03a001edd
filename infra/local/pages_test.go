package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awsses "github.com/aws/aws-sdk-go-v2/service/ses"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/mailer"
	"github.com/wecomvault/wecomvault/shared/report"
)

// shop is the pages over a local AWS with one company, one report and one alert in it.
type shop struct {
	*rig.Rig
	url string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{Rig: rig.Start(t, rig.Options{})}
	l := s.Ledger(s.Config(rig.Operator))
	id, at := archive.CorpID("wwpages"), time.Date(2032, 2, 10, 12, 0, 0, 0, time.UTC)
	s.OK(l.PutCorp(t.Context(), ledger.Corp{ID: id, Name: "青竹出版 Bamboo & Sons <Press>", Simulated: true, Added: at.AddDate(0, 0, -3)}))
	s.OK(l.PutAlarm(t.Context(), ledger.Alarm{Corp: id, Cause: "key-missing:4", Open: true, Since: at, Seen: at, Affected: 12, Deadline: at.Add(48 * time.Hour)}))

	facts := report.UserStatusFacts{Corp: report.Corp{ID: id, Name: "青竹出版 Bamboo & Sons <Press>"}, Marks: report.Marks{Simulated: true, Trial: true}, Day: at, Snapshot: at}
	for i := range 60 {
		facts.Users = append(facts.Users, report.User{ID: archive.PartyID(fmt.Sprintf("editor%02d", i)), Name: fmt.Sprintf("编辑 Editor %02d", i), Departments: []string{"编辑部"},
			Status: report.StatusActivated, Designated: true, DesignatedKnown: true, MobileReadable: true, HadMobile: i%7 == 0, EmailReadable: true, StageSince: at.AddDate(0, 0, -9)})
	}
	status, err := report.NewUserStatus(facts, report.View{Language: report.English, Mask: true})
	s.OK(err)
	alert, err := report.NewMaintenance(report.MaintenanceFacts{Corp: facts.Corp, Marks: facts.Marks, Now: at,
		Alarms: []report.Alarm{{Cause: report.KeyMissing, News: report.Began, FirstSeen: at, Seen: []archive.KeyVersion{4}, Messages: report.Known(12)}}}, report.View{Language: report.Chinese})
	s.OK(err)
	post := mailer.New(awsses.NewFromConfig(s.Config(rig.Operator)), "vault@mail.example", "")
	for _, m := range []report.Mail{status, alert} {
		m.ID = report.ID("wwpages", string(m.Kind))
		raw, err := m.Bytes("vault@mail.example", "reader@bamboo.example", at, m.ID)
		s.OK(err)
		_, err = post.Send(t.Context(), "reader@bamboo.example", mailer.Name{Corp: "wwbamboo", Mail: "m", ReportID: m.ID}, raw)
		s.OK(err)
	}
	p := &pages{mails: s.SES, ledger: l, depths: s.SQS.Depths, now: clock.Now, windows: ledger.Windows{Messages: 120 * time.Hour, Media: 72 * time.Hour}}
	server := httptest.NewServer(p.routes())
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *shop) get(path string) (*http.Response, string) {
	s.Helper()
	res, err := http.Get(s.url + path) // #nosec G107 -- the test's own server
	s.OK(err)
	body, err := io.ReadAll(res.Body)
	s.OK(err)
	s.OK(res.Body.Close())
	return res, string(body)
}

func TestPagesSayThatAllIsSimulatedAndEscapeNames(t *testing.T) {
	s := newShop(t)
	mails, err := s.SES.Mails()
	s.OK(err)
	for _, path := range []string{"/", "/mailbox", "/mail/" + mails[0].ID} {
		res, body := s.get(path)
		if res.StatusCode != http.StatusOK || !strings.Contains(body, "Simulated.") || !strings.Contains(body, "governance mode") {
			t.Errorf("%s: status %d, without the banner", path, res.StatusCode)
		}
		if strings.Contains(body, "<Press>") {
			t.Errorf("%s: a name is not escaped", path)
		}
		if !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: the policy is %q", path, res.Header.Get("Content-Security-Policy"))
		}
	}
	if _, body := s.get("/"); !strings.Contains(body, "Key version missing: 4 (12 affected)") || !strings.Contains(body, "unknown: never caught up") {
		t.Error("the status does not tell the open alarm and the unknown clock")
	}
	if _, body := s.get("/mailbox"); !strings.Contains(body, "urgent") || strings.Index(body, "R1 User Status Report 2032") < strings.Index(body, "urgent") {
		t.Error("the newest mail, which is urgent, does not come first")
	}
}

func TestMailsAreShownSandboxedAndGivenAsTheyWereSent(t *testing.T) {
	s := newShop(t)
	mails, err := s.SES.Mails()
	s.OK(err)
	id := mails[0].ID
	res, body := s.get("/mail/" + id + "/html")
	if !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "sandbox;") || !strings.Contains(body, "User Status Report") {
		t.Errorf("the HTML part: %q, %d bytes", res.Header.Get("Content-Security-Policy"), len(body))
	}
	raw, err := s.SES.Raw(id)
	s.OK(err)
	if res, body := s.get("/mail/" + id + "/raw"); body != string(raw) || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
		t.Error("the raw source is not what was sent")
	}
	if res, _ := s.get("/mail/" + id + "/part/0?download"); !strings.HasPrefix(res.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("a download comes %q", res.Header.Get("Content-Disposition"))
	}
	if _, body := s.get("/mail/" + id + "/part/1?download"); !strings.Contains(body, `"editor07"`) {
		t.Error("the second attachment is not the CSV of the first's rows")
	}
	for _, path := range []string{"/mail/none", "/mail/none/raw", "/mail/" + id + "/part/2", "/mail/" + id + "/part/x"} {
		if res, _ := s.get(path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s answers %d", path, res.StatusCode)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
	s.OK(err)
	request.Host = "pages.attacker.example"
	res, err = http.DefaultClient.Do(request)
	s.OK(err)
	s.OK(res.Body.Close())
	if res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a foreign name is answered with %d", res.StatusCode)
	}
}

// browser opens a headless Chromium of the test's own, and fails the test for anything that a page logs as an error.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is missing: the pages can't be opened")
		}
		t.Skip("chromium is missing")
	}
	profile, err := os.MkdirTemp("", "local-pages")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 60*time.Second)
	ctx, endAllocator := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile))...)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("end chromium: %v", err)
		}
		end()
		endAllocator()
		cancel()
		if err := os.RemoveAll(profile); err != nil {
			t.Log(err)
		}
	})
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			t.Errorf("the console has a message of type %s", e.Type)
		case *runtime.EventExceptionThrown:
			t.Errorf("a script fails: %s", e.ExceptionDetails.Text)
		}
	}); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// flaws looks for what keeps a page from being used at its width, by keyboard or by ear.
const flaws = `(() => {
	const found = [];
	const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
	if (wide > 0) found.push("it is " + wide + " px wider than the screen");
	if (!document.documentElement.lang) found.push("no language");
	if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
	if (!document.querySelector("main")) found.push("no main");
	let last = 1;
	for (const h of document.querySelectorAll("h1,h2,h3,h4")) {
		const level = Number(h.tagName[1]);
		if (level > last + 1) found.push("a heading skips a level: " + h.textContent);
		last = level;
	}
	for (const a of document.querySelectorAll("a,button,summary")) if (!a.textContent.trim()) found.push("a control without a name");
	for (const f of document.querySelectorAll("iframe")) if (!f.title) found.push("a frame without a title");
	for (const th of document.querySelectorAll("th")) if (!th.scope) found.push("a table head without a scope: " + th.textContent);
	const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
	const light = ([r, g, b]) => { const f = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
	const back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		if (!texts.currentNode.data.trim()) continue;
		const e = texts.currentNode.parentElement;
		const [a, b] = [light(rgb(getComputedStyle(e).color)), light(back(e))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) found.push("contrast " + ((a + 0.05) / (b + 0.05)).toFixed(1) + ": " + texts.currentNode.data.trim());
	}
	const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
	if (new Set(ids).size !== ids.length) found.push("an id is given twice");
	return found;
})()`

// tab is a browser's page at a width. It asks the page itself what is there: the selectors of chromedp lose a page that holds a frame of
// another process, as a sandboxed one is.
type tab struct {
	*shop
	ctx   context.Context
	width int64
}

func (b tab) open(url string) {
	b.Helper()
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(b.width, 900), chromedp.Navigate(url)); err != nil {
		b.Fatalf("open %s at %d px: %v", url, b.width, err)
	}
}

// until waits until an expression is true in the page.
func (b tab) until(expression string) {
	b.Helper()
	b.Within(15*time.Second, expression+" never held", func() bool {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		return err == nil && holds // between two pages there is nobody to ask
	})
}

// click clicks on what a selector finds, and waits until an expression is true in the page that follows.
func (b tab) click(selector, expression string) {
	b.Helper()
	b.until(fmt.Sprintf("document.querySelector(%[1]q) !== null && (document.querySelector(%[1]q).click(), true)", selector))
	b.until(expression)
}

func (b tab) words() string {
	b.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	b.OK(err)
	return text
}

// check looks for flaws in light and in dark, and keeps pictures where somebody wants to look.
func (b tab) check(page string) {
	b.Helper()
	for _, scheme := range []string{"dark", "light"} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media)
		b.OK(err)
		found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](flaws))
		b.OK(err)
		for _, f := range found {
			b.Errorf("%s at %d px, %s: %s", page, b.width, scheme, f)
		}
		if dir := os.Getenv("WECOMVAULT_SCREENSHOTS"); dir != "" {
			shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			b.OK(err)
			b.OK(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", page, b.width, scheme)), shot, 0o600))
		}
	}
}

func TestMailboxInABrowser(t *testing.T) {
	s := newShop(t)
	ctx := browser(t)
	for _, width := range []int64{1280, 390} {
		b := tab{s, ctx, width}
		b.open(s.url + "/")
		b.until(`document.querySelector("h1").innerText === "Status"`)
		b.check("status")
		b.click(`nav a[href="/mailbox"]`, `document.querySelector("h1").innerText === "Mailbox"`)
		b.check("mailbox")
		b.click("ul.mails li:last-child a", `document.querySelector("h1").innerText.includes("R1 User Status Report")`)
		b.until(`(document.querySelectorAll("details").forEach(d => d.open = true), document.querySelector("iframe") !== null)`)
		if text := b.words(); !strings.Contains(text, "X-Wecomvault-Report-Id") || !strings.Contains(text, "== Summary ==") {
			t.Errorf("the mail's page at %d px shows neither headers nor text part:\n%s", width, text)
		}
		b.check("mail")
		frame, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("iframe").getAttribute("src")`))
		s.OK(err)
		b.click("a.view", `document.querySelectorAll("tbody tr").length >= 60`)
		if text := b.words(); !strings.Contains(text, "editor07") || !strings.Contains(text, "60 of 60 users") {
			t.Errorf("the attachment at %d px does not list and count its users", width)
		}
		// In its sandbox no script runs, not even this test's: what the frame loads is read outside of it.
		_, html := s.get(frame)
		file := filepath.Join(t.TempDir(), "mail.html")
		s.OK(os.WriteFile(file, []byte(html), 0o600))
		b.open("file://" + file)
		b.until(`document.querySelectorAll("table").length > 0`)
		if text := b.words(); !strings.Contains(text, "Signed up and activated") || !strings.Contains(text, "What is wrong") {
			t.Errorf("the mail at %d px does not show the report's tables:\n%s", width, text)
		}
	}
}
