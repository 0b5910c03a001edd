package main_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	runner "github.com/wecomvault/wecomvault/infra/local"
	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/cloudwatch"
)

// view is what an operator is told of one corp, by whatever way. Hours are whole; -1 is unknown, and idle is said in words.
type view struct {
	Messages, Media            string
	Pending, Waiting, SetAside int
}

func whole(hours float64) string { return fmt.Sprintf("at least %d hours", int(math.Floor(hours))) }

// byMetrics is what watch's figures say. A metric is a number: with nothing waiting it is the whole window.
func (w *watched) byMetrics() view {
	w.Helper()
	_, err := w.Host.Invoke(w.Context(), "WatchFunction", []byte(`{}`))
	w.ok(err)
	s := cloudwatch.NewStore()
	w.measure(s)
	figure := func(name string) float64 {
		v, ok := s.Last(cloudwatch.Metric{Namespace: cloudwatch.Own, Name: name, Dimensions: map[string]string{"Stack": w.Template.StackName, "Function": "watch"}})
		if !ok {
			w.Fatalf("watch does not write %s", name)
		}
		return v
	}
	v := view{Messages: whole(figure("HoursToLossMessages")), Media: whole(figure("HoursToLossMedia")), Pending: int(figure("Pending")), Waiting: int(figure("Waiting")), SetAside: int(figure("SetAside"))}
	if figure("HoursToLossMedia") == w.Windows().Media.Hours() {
		v.Media = "nothing waits"
	}
	if figure("HoursToLossMessages") == 0 {
		v.Messages = "unknown"
	}
	return v
}

// byCommand is what vaultctl status says.
func (w *watched) byCommand(corp string) view {
	w.Helper()
	code, said, err := w.Operate(w.Context(), "status", "-corp", corp)
	w.ok(err)
	if code != 0 {
		w.Fatalf("status: exit %d: %s", code, said)
	}
	var s struct {
		HoursMessages *float64       `json:"hours_left_messages"`
		HoursMedia    *float64       `json:"hours_left_media"`
		ClockMessages string         `json:"clock_messages"`
		ClockMedia    string         `json:"clock_media"`
		Pending       int            `json:"pending_batches"`
		Waiting       int            `json:"attachments_waiting"`
		SetAside      map[string]int `json:"set_aside"`
	}
	w.ok(json.Unmarshal([]byte(said), &s))
	clock := func(hours *float64, word string) string {
		if (hours != nil) != (word == "running") {
			w.Errorf("the clock is %q with %v", word, hours)
		}
		if hours == nil {
			return word
		}
		return whole(*hours)
	}
	v := view{Messages: clock(s.HoursMessages, s.ClockMessages), Media: clock(s.HoursMedia, s.ClockMedia), Pending: s.Pending, Waiting: s.Waiting}
	for _, n := range s.SetAside {
		v.SetAside += n
	}
	return v
}

var clockWords = regexp.MustCompile(`^(at least \d+ hours|nothing waits|unknown)`)

// byPage is what the runner's status page says.
func (w *watched) byPage(url string) view {
	w.Helper()
	res, err := http.Get(url) // #nosec G107 -- the test's own server
	w.ok(err)
	text, err := io.ReadAll(res.Body)
	w.ok(err)
	w.ok(res.Body.Close())
	field := func(name string) string {
		found := regexp.MustCompile(`<dt[^>]*>` + regexp.QuoteMeta(name) + `</dt><dd[^>]*>([^<]*)</dd>`).FindSubmatch(text)
		if found == nil {
			w.Fatalf("the page does not show %q", name)
		}
		return html.UnescapeString(string(found[1]))
	}
	number := func(name string) int {
		n, err := strconv.Atoi(field(name))
		w.ok(err)
		return n
	}
	return view{Messages: clockWords.FindString(field("Time left for messages")), Media: clockWords.FindString(field("Time left for attachments")),
		Pending: number("in batches"), Waiting: number("Waiting"), SetAside: number("Set aside")}
}

func TestStatusPageCommandAndMetricsSayTheSame(t *testing.T) {
	w := newWatched(t, nil)
	const corp = "wwsame"
	ctx, l := t.Context(), w.Ledger()
	w.ok(l.PutCorp(ctx, ledger.Corp{ID: corp, Name: corp, Added: clock.Real()}))
	server := httptest.NewServer(runner.Pages(w.House))
	t.Cleanup(server.Close)
	same := func(what string, want view) {
		t.Helper()
		for by, got := range map[string]view{"metrics": w.byMetrics(), "command": w.byCommand(corp), "page": w.byPage(server.URL)} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, by %s (-want +got)\n%s", what, by, diff)
			}
		}
	}
	same("a corp that was just added", view{Messages: "unknown", Media: "nothing waits"})
	w.caughtUp(corp, nil)
	w.pass(90 * time.Minute)
	same("nothing waits", view{Messages: "at least 118 hours", Media: "nothing waits"})

	var chain ledger.Link
	batch := func(first archive.Seq, items int) ledger.BatchRow {
		t.Helper()
		hash := archive.HashHex([]byte(first.Key()))
		next := chain.Next(hash)
		b, err := l.PutBatch(ctx, ledger.BatchRow{Corp: corp, First: first, Last: first + archive.Seq(items) - 1, Items: items, SHA256: hash, Pulled: w.Now(), // #nosec G115 -- small
			CaughtUp: w.Now().Add(-time.Hour), Prev: chain.Hash, Link: next})
		w.ok(err)
		chain = next
		return b
	}
	batch(1, 3)
	batch(4, 2)
	b := batch(6, 5)
	_, err := l.ClaimSlot(ctx, b, "run")
	w.ok(err)
	var aside []ledger.Aside
	for i := range 2 {
		aside = append(aside, ledger.Aside{Corp: corp, Reason: ledger.ReasonNoKey, KeyVersion: 2, Seq: b.First + archive.Seq(i), Batch: b.Key(), Index: i, Since: w.Now(), Clock: w.Now().Add(-2 * time.Hour)}) // #nosec G115 -- small
	}
	w.ok(l.SetAside(ctx, b, "run", aside, nil))
	w.ok(l.FinishBatch(ctx, b, "run", 3, 2, ""))
	same("messages wait", view{Messages: "at least 118 hours", Media: "at least 69 hours", Pending: 2, SetAside: 2})
	_, err = l.PutWaiting(ctx, corp, []ledger.Waiting{{Corp: corp, FileID: "a", Clock: w.Now().Add(-30*time.Hour - time.Minute)}, {Corp: corp, FileID: "b", Clock: w.Now()}})
	w.ok(err)
	same("attachments wait", view{Messages: "at least 118 hours", Media: "at least 41 hours", Pending: 2, Waiting: 2, SetAside: 2})
}
