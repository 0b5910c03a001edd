package report

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// browser opens a headless Chromium that this test alone uses. What the pages log as errors, and any dialog they open, fails the test.
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
	profile, err := os.MkdirTemp("", "report-pages")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 90*time.Second)
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
		case *page.EventJavascriptDialogOpening:
			t.Errorf("a dialog opens: %s", e.Message)
		}
	}); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// open shows a page at a width.
func open(ctx context.Context, t *testing.T, html string, width int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+path)); err != nil {
		t.Fatal(err)
	}
}

// ask evaluates an expression in the page.
func ask[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return out
}

// complaints lists what a reader would stumble over: text that hangs over the right edge, contrast below 4.5 to 1, table heads without a
// scope, controls without a name, pictures and links without words.
const complaints = `(() => {
  const out = [];
  const root = document.documentElement;
  if (!root.lang) out.push("no lang");
  if (!document.title) out.push("no title");
  if (root.scrollWidth > innerWidth) out.push("the page is " + root.scrollWidth + " wide in " + innerWidth);
  for (const th of document.querySelectorAll("th")) if (!th.scope) out.push("th without scope: " + th.textContent);
  for (const x of document.querySelectorAll("button,a,input")) {
    const label = x.id && document.querySelector("label[for=" + x.id + "]");
    if (!x.hidden && !(x.textContent.trim() || label)) out.push("no name: " + x.outerHTML);
  }
  const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => { const f = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (texts.nextNode() && seen < 4000) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || e.closest("[aria-hidden=true],script,style")) continue;
    seen++;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(back(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) out.push("contrast " + ((a + 0.05) / (b + 0.05)).toFixed(1) + ": " + texts.currentNode.data.trim());
  }
  if (!seen) out.push("no text");
  return out;
})()`

func TestPagesAreReadableAtEveryWidth(t *testing.T) {
	ctx := browser(t)
	for _, v := range views() {
		r1 := userStatus(t, sampleFacts(), v)
		evil := sampleFacts()
		for i := range evil.Users {
			evil.Users[i].Name, evil.Users[i].ID = strings.Repeat("w", 200), archive.PartyID(strings.Repeat("i", 64))
		}
		evil.Corp.Name = strings.Repeat("W", 100)
		for name, html := range map[string]string{
			"R1": r1.HTML, "R1 attachment": pageOf(t, r1),
			"R7 every cause": maintenance(t, everyCause(Began), v).HTML, "R1 long names": userStatus(t, evil, v).HTML,
		} {
			for _, width := range []int64{360, 600, 1200} {
				open(ctx, t, html, width)
				for _, c := range ask[[]string](ctx, t, complaints) {
					t.Errorf("%s (%s) at %d: %s", name, v.Language, width, c)
				}
				if !strings.Contains(name, "attachment") {
					if w := ask[float64](ctx, t, `document.querySelector("h1").closest("table").getBoundingClientRect().width`); w > 640 {
						t.Errorf("%s (%s) at %d: the mail is %v wide", name, v.Language, width, w)
					}
				}
			}
		}
	}
}

func TestDailyPagesAreReadableAtEveryWidth(t *testing.T) {
	ctx := browser(t)
	check := func(name, html string, width int64) {
		open(ctx, t, html, width)
		for _, scheme := range []string{"light", "dark"} {
			schemed(ctx, t, scheme)
			for _, c := range ask[[]string](ctx, t, complaints) {
				t.Errorf("%s at %d, %s: %s", name, width, scheme, c)
			}
		}
	}
	for i, width := range []int64{360, 600, 1200} {
		for _, d := range letters() {
			if width != 360 && strings.Contains(d.name, ".") {
				continue // the narrowest is the hardest, and the rest is as in the plain report
			}
			m := d.mail(t, views()[i%2])
			check(d.name, m.HTML, width)
			if len(m.Attachments) > 0 {
				check(d.name+" page", pageOf(t, m), width)
			}
		}
	}
	for _, d := range crowded(30, func(i int) string { return strings.Repeat("w", 200) + decimal(i) }) {
		check(d.name+" with long names", d.mail(t, views()[0]).HTML, 360)
	}
}

func TestEachNumberOfADailyPageShowsItsRows(t *testing.T) {
	ctx := browser(t)
	for _, d := range dailies() {
		m := d.mail(t, views()[0])
		if len(m.Attachments) == 0 {
			continue
		}
		page := pageOf(t, m)
		open(ctx, t, page, 1200)
		all := ask[int](ctx, t, shownRows)
		for _, n := range shownNumber.FindAllStringSubmatch(page, -1) {
			want := n[2]
			if want == "unknown" {
				want = "0"
			}
			if got := ask[int](ctx, t, fmt.Sprintf(`document.querySelector('.number[data-key=%q]').click(), `, n[1])+shownRows); decimal(got) != want {
				t.Errorf("%s: number %s is %s and shows %d rows", d.name, n[1], n[2], got)
			}
		}
		if got := ask[int](ctx, t, `document.getElementById("all").click(), `+shownRows); got != all {
			t.Errorf("%s: %d of %d rows come back", d.name, got, all)
		}
		columns := ask[int](ctx, t, `document.querySelectorAll("#rows thead button").length`)
		for i := range columns {
			if got := ask[int](ctx, t, fmt.Sprintf(`document.querySelectorAll("#rows thead button")[%d].click(), `, i)+shownRows); got != all {
				t.Errorf("%s: sorted by column %d, %d of %d rows are left", d.name, i, got, all)
			}
		}
	}
}

const shownRows = `[...document.querySelectorAll("#rows tbody tr")].filter(r => r.offsetParent !== null).length`

func TestEachNumberOfThePageShowsItsRows(t *testing.T) {
	ctx := browser(t)
	f := sampleFacts()
	s := Summarise(f)
	open(ctx, t, pageOf(t, userStatus(t, f, views()[0])), 1200)
	for _, ln := range lines() {
		c := *ln.of(&s)
		if ln.key == "g0" && c.N == 0 {
			continue
		}
		button := fmt.Sprintf(`document.querySelector('.number[data-key=%q]')`, ln.key)
		if n := ask[int](ctx, t, button+".click(), "+shownRows); n != c.N {
			t.Errorf("%s is %d, but shows %d rows", ln.en, c.N, n)
		}
		if words := ask[string](ctx, t, `document.getElementById("count").textContent`); words != fmt.Sprintf("%d of %d users", c.N, len(f.Users)) {
			t.Errorf("%s: the page says %q", ln.en, words)
		}
		if pressed := ask[string](ctx, t, button+`.getAttribute("aria-pressed")`); pressed != "true" {
			t.Errorf("%s: pressed is %q", ln.en, pressed)
		}
	}
	if n := ask[int](ctx, t, `document.getElementById("all").click(), `+shownRows); n != len(f.Users) {
		t.Errorf("all users are %d rows", n)
	}
}

func TestPageOfTenThousandUsersSortsAndSearches(t *testing.T) {
	ctx := browser(t)
	n := size(10_000)
	f := manyUsers(n)
	open(ctx, t, pageOf(t, userStatus(t, f, views()[0])), 1200)
	first := `document.querySelector("#rows tbody tr").cells[1].textContent`
	head := `document.querySelectorAll("#rows thead button")[1]`
	words := `document.getElementById("count").textContent`
	if got := ask[string](ctx, t, words); got != fmt.Sprintf("%[1]d of %[1]d users", n) {
		t.Errorf("the page says %q", got)
	}
	began := time.Now()
	if got := ask[string](ctx, t, head+".click(), "+first); got != "staff00000" {
		t.Errorf("sorted by userid, %s comes first", got)
	}
	if got := ask[string](ctx, t, head+".click(), "+first); got != fmt.Sprintf("staff%05d", n-1) {
		t.Errorf("sorted backwards, %s comes first", got)
	}
	if got := ask[string](ctx, t, `document.querySelector("th[aria-sort=descending]").textContent`); got != "Userid" {
		t.Errorf("%q is marked as sorted by", got)
	}
	if err := chromedp.Do(ctx, chromedp.SendKeys(chromedp.CSS("#search"), "STAFF00234")); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](shownRows+" === 1", chromedp.WithPollingTimeout(10*time.Second))); err != nil {
		t.Errorf("the search does not find one user: %v", err)
	}
	if got := ask[string](ctx, t, words); got != fmt.Sprintf("1 of %d users", n) {
		t.Errorf("the page says %q", got)
	}
	t.Logf("two sorts and a search took %v", time.Since(began))
}

func TestPrintingShowsEveryRow(t *testing.T) {
	ctx := browser(t)
	f := manyUsers(400)
	open(ctx, t, pageOf(t, userStatus(t, f, views()[1])), 1200)
	if few := ask[int](ctx, t, shownRows); few >= 400 {
		t.Errorf("%d rows stand in the table at first", few)
	}
	if n := ask[int](ctx, t, `dispatchEvent(new Event("beforeprint")), `+shownRows); n != 400 {
		t.Errorf("%d of 400 rows are printed", n)
	}
	if n := ask[int](ctx, t, `dispatchEvent(new Event("afterprint")), document.getElementById("more").click(), `+shownRows); n != 400 {
		t.Errorf("the button shows %d of 400 rows", n)
	}
}

func TestNamesCantRunScripts(t *testing.T) {
	ctx := browser(t)
	f := sampleFacts()
	for i, evil := range append(hostile(), `<img src=x onerror="document.title='taken'">`, `<script>document.title='taken'</script>`) {
		f.Users[i%len(f.Users)].Name += evil
		f.Corp.Name += evil
	}
	m := userStatus(t, f, views()[0])
	// Even a name that got out of its quotes could not run: the policy is tried on a page that lets one out.
	broken := strings.Replace(pageOf(t, m), "<main>", `<main><img src="x" onerror="document.title='taken'"><script>document.title='taken'</script>`, 1)
	for name, html := range map[string]string{"mail": m.HTML, "attachment": pageOf(t, m), "attachment with a hole": broken} {
		open(ctx, t, html, 1200)
		if title := ask[string](ctx, t, "document.title"); title == "taken" {
			t.Errorf("%s: a name ran a script", name)
		}
		if name == "mail" {
			continue
		}
		if n := ask[int](ctx, t, shownRows); n != len(f.Users) {
			t.Errorf("%s: %d rows", name, n)
		}
		if words := ask[string](ctx, t, `document.getElementById("count").textContent`); words == "" {
			t.Errorf("%s: the page's own script did not run", name)
		}
	}
}
