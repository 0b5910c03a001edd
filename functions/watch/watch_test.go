package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

const corp = archive.CorpID("wwlantern")

// house is watch over real adapters, with its own role and a clock of the test's.
type house struct {
	*rig.Rig
	*watcher
	op      *ledger.Ledger // the operator's, which plants
	at      time.Time
	log     bytes.Buffer
	figures bytes.Buffer
	seq     archive.Seq
	chain   ledger.Link
	told    string // the moment of what report tells
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{Rig: rig.Start(t, rig.Options{}), at: time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC), told: "2031-05-06-abc"}
	h.op = h.Ledger(h.Config(rig.Operator))
	h.use(h.Config("WatchFunction"))
	h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: corp, Name: "Lantern Works", Added: h.at.Add(-24 * time.Hour)}))
	return h
}

func (h *house) use(c aws.Config) {
	jobs := sqs.NewFromConfig(c)
	h.watcher = &watcher{
		ledger: h.Ledger(c), batches: queue.New[queue.BatchJob](jobs, h.Name("BatchQueue")), media: queue.New[queue.MediaJob](jobs, h.Name("MediaQueue")),
		reports: queue.New[queue.ReportJob](jobs, h.Name("ReportQueue")), windows: ledger.Windows{Messages: 120 * time.Hour, Media: 72 * time.Hour},
		log: slog.New(slog.NewTextHandler(&h.log, nil)), metrics: telemetry.NewMetrics(&h.figures, h.Template.StackName, "watch"),
		now: func() time.Time { return h.at }, second: 2 * time.Millisecond,
	}
}

// wipe empties tables.
func (h *house) wipe(tables ...string) {
	h.Helper()
	client := dynamodb.NewFromConfig(h.Config(rig.Operator))
	for _, table := range tables {
		name := h.Name(table)
		for key := range h.Rows(table) {
			pk, sk, _ := strings.Cut(key, " ")
			_, err := client.DeleteItem(h.Context(), &dynamodb.DeleteItemInput{TableName: &name, Key: map[string]types.AttributeValue{
				"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk}}})
			h.OK(err)
		}
	}
}

// watched runs watch.
func (h *house) watched() {
	h.Helper()
	h.OK(h.run(h.Context()))
}

// polled leaves the corp's cursor as fetch would.
func (h *house) polled(p ledger.Poll) {
	h.Helper()
	ctx := h.Context()
	seen := rig.Must[ledger.Cursor](h.TB)(h.op.AskLease(ctx, corp, "fetcher"))
	lease, _, err := h.op.TakeLease(ctx, corp, "fetcher", seen)
	h.OK(err)
	_, err = h.op.Beat(ctx, lease, p)
	h.OK(err)
	h.OK(h.op.Release(ctx, lease))
}

// well is a corp that was caught up a moment ago.
func (h *house) well() {
	h.Helper()
	h.polled(ledger.Poll{CaughtUp: h.at, LastWhole: h.at, Empties: 1})
}

// batch records a pending batch of n items, pulled now.
func (h *house) batch(n int) ledger.BatchRow {
	h.Helper()
	first := h.seq + 1
	h.seq += archive.Seq(n)
	hash := archive.HashHex([]byte(first.Key()))
	next := h.chain.Next(hash)
	b := ledger.BatchRow{Corp: corp, First: first, Last: h.seq, Items: n, SHA256: hash, Pulled: h.at, CaughtUp: h.at.Add(-time.Minute), Prev: h.chain.Hash, Link: next}
	h.chain = next
	return rig.Must[ledger.BatchRow](h.TB)(h.op.PutBatch(h.Context(), b))
}

// finish opens all items of a batch but those of the given reasons and key version.
func (h *house) finish(b ledger.BatchRow, version archive.KeyVersion, reasons ...string) {
	h.Helper()
	ctx := h.Context()
	var aside []ledger.Aside
	for i, reason := range reasons {
		aside = append(aside, ledger.Aside{Corp: corp, Reason: reason, KeyVersion: version, Seq: b.First + archive.Seq(i), Batch: b.Key(), Index: i, Since: h.at, Clock: b.CaughtUp}) // #nosec G115 -- small
	}
	_, err := h.op.ClaimSlot(ctx, b, "run")
	h.OK(err)
	h.OK(h.op.SetAside(ctx, b, "run", aside, nil))
	h.OK(h.op.FinishBatch(ctx, b, "run", b.Items-len(aside), len(aside), ""))
}

// opened closes what is set aside.
func (h *house) opened(b ledger.BatchRow) {
	h.Helper()
	asides := rig.Must[[]ledger.Aside](h.TB)(h.op.AsidesOf(h.Context(), corp, b.Key()))
	h.OK(h.op.CloseAside(h.Context(), b, asides, "segments/x", nil))
}

func (h *house) waits(id string, since time.Time) ledger.Waiting {
	h.Helper()
	w := ledger.Waiting{Corp: corp, FileID: archive.FileID(id), Clock: since}
	_, err := h.op.PutWaiting(h.Context(), corp, []ledger.Waiting{w})
	h.OK(err)
	return w
}

// open lists the open alarms' causes, and all is every alarm by cause.
func (h *house) alarms() (open []string, all map[string]ledger.Alarm) {
	h.Helper()
	all = map[string]ledger.Alarm{}
	for _, a := range rig.Must[[]ledger.Alarm](h.TB)(h.op.Alarms(h.Context(), corp)) {
		if all[a.Cause] = a; a.Open {
			open = append(open, a.Cause)
		}
	}
	slices.Sort(open)
	return open, all
}

// mailed does what report does: it takes the wishes and marks what it told. It returns how many wishes there were.
func (h *house) mailed() int {
	h.Helper()
	wishes := h.Take("ReportQueue")
	if len(wishes) == 0 {
		return 0
	}
	_, all := h.alarms()
	c, err := h.op.Corp(h.Context(), corp)
	h.OK(err)
	to := map[string]ledger.Hearing{}
	for _, r := range c.ReportTo {
		to[ledger.AddressID(r.Address)] = ledger.Hearing{Mail: h.told}
	}
	for _, a := range all {
		h.OK(h.op.ToldAlarm(h.Context(), a, a.Fingerprint(), to))
	}
	return len(wishes)
}

func TestABatchIsAnnouncedAgainAfterGrowingPauses(t *testing.T) {
	h := newHouse(t)
	h.well()
	b := h.batch(3)
	done := h.batch(2)
	h.finish(done, 1)
	want := fmt.Sprintf(`{"corp":%q,"batch":%q}`, corp, b.Key())
	began := h.at
	var told []int
	for _, minute := range []int{0, 3, 4, 5, 11, 12, 13, 27, 28, 29, 59, 60, 61, 119} {
		h.at = began.Add(time.Duration(minute) * time.Minute)
		h.well()
		h.watched()
		switch jobs := h.Take("BatchQueue"); {
		case len(jobs) > 1 || len(jobs) == 1 && jobs[0] != want:
			t.Fatalf("after %d minutes: %q", minute, jobs)
		case len(jobs) == 1:
			told = append(told, minute)
		}
	}
	if diff := cmp.Diff([]int{4, 12, 28, 60}, told); diff != "" {
		t.Errorf("the minutes of announcements (-want +got)\n%s", diff)
	}
	if open, _ := h.alarms(); !slices.Equal(open, []string{"not-opening"}) {
		t.Errorf("after two hours the alarms are %q", open)
	}
	h.finish(b, 1)
	h.at = began.Add(24 * time.Hour)
	h.well()
	h.watched()
	if jobs := h.Take("BatchQueue"); len(jobs) > 0 {
		t.Errorf("a batch that is done is announced: %q", jobs)
	}
	if open, _ := h.alarms(); len(open) > 0 {
		t.Errorf("when it is opened the alarms are %q", open)
	}
}

func TestTheScheduledEventIsUnderstood(t *testing.T) {
	h := newHouse(t)
	h.well()
	event, err := os.ReadFile("../../events/watch.json")
	h.OK(err)
	answer, err := function(h.watcher).Invoke(t.Context(), event)
	h.OK(err)
	if answer != nil || !strings.Contains(h.figures.String(), `"HoursToLossMessages":120`) {
		t.Errorf("answered %v, figures %s", answer, h.figures.String())
	}
}

func TestAnAttachmentIsNotedFirstAndAnnouncedThen(t *testing.T) {
	h := newHouse(t)
	h.well()
	old := h.waits("file-1", h.at.Add(-time.Hour))
	h.watched()
	if jobs := h.Take("MediaQueue"); len(jobs) > 0 {
		t.Fatalf("announced at first sight: %q", jobs)
	}
	h.at = h.at.Add(5 * time.Minute)
	h.waits("file-2", h.at)
	h.well()
	h.watched()
	if diff := cmp.Diff([]string{fmt.Sprintf(`{"corp":%q,"waiting":%q}`, corp, old.Key())}, h.Take("MediaQueue")); diff != "" {
		t.Errorf("after five minutes (-want +got)\n%s", diff)
	}
	h.watched()
	if jobs := h.Take("MediaQueue"); len(jobs) > 0 {
		t.Errorf("announced twice: %q", jobs)
	}
	h.OK(h.op.SettleMedia(t.Context(), old, ledger.MediaRow{Corp: corp, Hash: old.FileID.Hash(), State: ledger.Kept, At: h.at}))
	h.at = h.at.Add(time.Hour)
	h.well()
	h.watched()
	if jobs := h.Take("MediaQueue"); len(jobs) != 1 || strings.Contains(jobs[0], old.Key()) {
		t.Errorf("after an hour: %q", jobs)
	}
}

func TestTheWatermarkPassesNoPendingAndNoRecentBatch(t *testing.T) {
	h := newHouse(t)
	old := h.batch(1)
	h.finish(old, 1)
	pending := h.batch(1)
	h.finish(h.batch(1), 1)
	h.at = h.at.Add(2 * time.Hour)
	recent := h.batch(1)
	h.finish(recent, 1)
	for range 2 {
		h.well()
		h.watched()
		if mark := rig.Must[string](t)(h.op.Watermark(t.Context(), corp)); mark != old.Key() {
			t.Errorf("the watermark is %q, want %q", mark, old.Key())
		}
	}
	h.finish(pending, 1)
	h.watched()
	if mark := rig.Must[string](t)(h.op.Watermark(t.Context(), corp)); mark >= recent.Key() || mark <= pending.Key() {
		t.Errorf("the watermark is %q", mark)
	}
}

func TestTheClocksCountFromWhatIsKnown(t *testing.T) {
	h := newHouse(t)
	h.batch(1) // pending, and caught up a minute before
	h.polled(ledger.Poll{CaughtUp: h.at.Add(-20 * time.Hour), LastWhole: h.at})
	figures := func() map[string]float64 {
		t.Helper()
		h.figures.Reset()
		h.watched()
		var f map[string]any
		h.OK(json.Unmarshal(h.figures.Bytes(), &f))
		out := map[string]float64{}
		for k, v := range f {
			if n, ok := v.(float64); ok {
				out[k] = n
			}
		}
		return out
	}
	pulled := 71 + 59.0/60
	want := map[string]float64{"HoursToLossMessages": 100, "HoursToLossMedia": pulled, "Pending": 1, "PendingMinutes": 0, "Waiting": 0, "SetAside": 0, "Corps": 1, "CorpsRefused": 0,
		"CorpsStandingStill": 0, "LibraryTrouble": 0, "KeysMissing": 0, "SetAsideBursts": 0, "MediaLost": 0, "Unaccounted": 0, "MailsLate": 0, "MailsGivenUp": 0, "MailsRefused": 0, "PossibleDoubles": 0, "ReceiversDead": 0}
	if diff := cmp.Diff(want, figures()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.waits("file", h.at.Add(-60*time.Hour))
	if got := figures(); got["HoursToLossMedia"] != 12 {
		t.Errorf("with an attachment of 60 hours ago: %v", got)
	}
	if open, all := h.alarms(); !slices.Equal(open, []string{"media-at-risk"}) || !all["media-at-risk"].Deadline.Equal(h.at.Add(12*time.Hour)) {
		t.Errorf("the alarms are %q %+v", open, all)
	}
	h.polled(ledger.Poll{LastWhole: h.at})
	if got := figures(); got["HoursToLossMessages"] != 0 {
		t.Errorf("never caught up: %v", got)
	}
	if open, all := h.alarms(); !slices.Contains(open, "never-caught-up") || !all["never-caught-up"].Unknown {
		t.Errorf("never caught up, the alarms are %q", open)
	}
}

func TestWhatCanNeverBeOpenedStopsToHideWhatCanBeSaved(t *testing.T) {
	h := newHouse(t)
	h.finish(h.batch(1), 1, "library-crash")
	h.finish(h.batch(1), 9, "no-key")
	w := ledger.Windows{Messages: 120 * time.Hour, Media: 72 * time.Hour}
	at := func(after time.Duration) time.Duration {
		t.Helper()
		now := h.at.Add(after)
		return rig.Must[ledger.Clocks](t)(h.op.Clocks(t.Context(), corp, w, now)).Media.Left(now, w.Media)
	}
	if left := at(time.Hour); left != 71*time.Hour-time.Minute {
		t.Errorf("after an hour %v are left", left)
	}
	if left := at(80 * time.Hour); left != 0 {
		t.Errorf("what waits for a key counts until it comes, but %v are left", left)
	}
	asides := []ledger.Aside{}
	h.OK(h.op.Asides(t.Context(), corp, "no-key", 9, func(a ledger.Aside) bool { asides = append(asides, a); return true }))
	b := rig.Must[ledger.BatchRow](t)(h.op.Batch(t.Context(), corp, asides[0].Batch))
	h.OK(h.op.CloseAside(t.Context(), b, asides, "segments/x", nil))
	if left := at(80 * time.Hour); left != w.Media {
		t.Errorf("a damaged record of long ago leaves %v", left)
	}
}

func TestOneCorpsFailureLeavesTheOthersTheirWatch(t *testing.T) {
	h := newHouse(t)
	h.well()
	h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: "wwbroken", Added: h.at}))
	h.waits("file", h.at.Add(-71*time.Hour))
	h.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if bytes.Contains(q.Body, []byte("wwbroken")) {
			return awslocal.FaultDecision{Act: awslocal.Refuse}
		}
		return awslocal.FaultDecision{}
	})
	h.use(h.Once("WatchFunction"))
	err := h.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "wwbroken") {
		t.Errorf("the run ended with %v", err)
	}
	if open, _ := h.alarms(); !slices.Equal(open, []string{"media-at-risk"}) {
		t.Errorf("the other corp's alarms are %q", open)
	}
}

func TestAPanicOfOneCorpIsToldWithoutItsValueAndEndsNoOther(t *testing.T) {
	h := newHouse(t)
	h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: "wwblown", Added: h.at.Add(-24 * time.Hour)}))
	h.use(rig.Panicking(h.Config("WatchFunction"), "wwblown"))
	err := h.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "watch corp wwblown: panic with a value of type string") || strings.Contains(err.Error(), "canary") {
		t.Errorf("the run says %v", err)
	}
	if open, _ := h.alarms(); len(open) == 0 { // it was added a day ago and has never caught up
		t.Error("the other corp was not looked at")
	}
}
