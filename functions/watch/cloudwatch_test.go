package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/cloudwatch"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/report"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// every is how often the template runs watch.
const every = 5 * time.Minute

// runs runs watch n times, every five minutes, after each time has been prepared, and keeps its figures.
func (h *house) runs(s *cloudwatch.Store, n int, prepare func()) {
	h.Helper()
	for range n {
		h.at = h.at.Add(every)
		prepare()
		h.figures.Reset()
		h.watched()
		h.OK(s.Log(bytes.NewReader(h.figures.Bytes())))
	}
}

// letter plans a mail and gives it to SES as often as attempts says; state is what SES's last answer was.
func (h *house) letter(id string, attempts int, state string) {
	h.Helper()
	ctx := h.Context()
	m := ledger.MailRow{Corp: corp, Day: h.at.Format(time.DateOnly) + "-" + id, Report: string(report.Maintenance), To: id + "@lantern.example", At: h.at}
	h.OK(h.op.PlanMail(ctx, m))
	for i := range attempts {
		began := h.at.Add(time.Duration(i) * time.Minute)
		claimed, err := h.op.ClaimMail(ctx, m, "sender", began, began.Add(time.Second))
		h.OK(err)
		if i == attempts-1 {
			h.OK(h.op.SettleMail(ctx, claimed, "sender", state, "ses-"+id, "", h.at))
		}
	}
}

// throttled is another attempt at the mail of letter, which SES does not take.
func (h *house) throttled(id string) {
	h.Helper()
	h.OK(h.op.Mails(h.Context(), corp, func(m ledger.MailRow) bool {
		if m.To == id+"@lantern.example" {
			claimed, err := h.op.ClaimMail(h.Context(), m, "again", h.at, h.at.Add(time.Second))
			h.OK(err)
			h.OK(h.op.SettleMail(h.Context(), claimed, "again", ledger.MailPlanned, "", "mail-throttled", h.at))
		}
		return true
	}))
}

// alarmFaults are what can go wrong: plant is called once, and then each time before watch runs.
var alarmFaults = map[string]struct {
	plant, before func(h *house)
	runs          int
	fires         []string
}{
	"watch does not run any more": {nil, nil, 0, []string{"MediaAtRiskAlarm", "MessagesAtRiskAlarm", "WatchHeartbeatAlarm"}},
	"messages near the end":       {nil, func(h *house) { h.polled(ledger.Poll{CaughtUp: h.at.Add(-80 * time.Hour), LastWhole: h.at}) }, 2, []string{"MessagesAtRiskAlarm"}},
	"a corp was never caught up":  {nil, func(h *house) { h.polled(ledger.Poll{LastWhole: h.at}) }, 2, []string{"MessagesAtRiskAlarm"}},
	"nothing ever came": {func(h *house) {
		h.wipe("ControlTable", "MessagesTable")
		h.OK(h.op.PutCorp(h.Context(), ledger.Corp{ID: corp, Name: "Lantern Works", Added: h.at.Add(-24 * time.Hour)}))
	}, func(*house) {}, 2, []string{"MessagesAtRiskAlarm", "StandingStillAlarm"}},
	"an attachment is near its end":     {func(h *house) { h.waits("file", h.at.Add(-40*time.Hour)) }, (*house).well, 2, []string{"MediaAtRiskAlarm"}},
	"an attachment of an unknown age":   {func(h *house) { h.waits("file", time.Time{}) }, (*house).well, 2, []string{"MediaAtRiskAlarm"}},
	"a batch is not opened":             {func(h *house) { h.batch(2); h.at = h.at.Add(time.Hour) }, (*house).well, 1, []string{"PendingAgeAlarm"}},
	"a secret is refused":               {nil, trouble("bad-secret", 40001), 1, []string{"RefusedAlarm"}},
	"an address is not trusted":         {nil, trouble("untrusted-ip", 60020), 1, []string{"RefusedAlarm"}},
	"the service has expired":           {nil, trouble("service-expired", 301052), 1, []string{"RefusedAlarm"}},
	"the service was never opened":      {nil, trouble("service-not-opened", 301053), 1, []string{"RefusedAlarm"}},
	"somebody answers in WeCom's place": {nil, trouble("certificate-refused", 0), 1, []string{"RefusedAlarm"}},
	"WeCom limits for long":             {nil, trouble("rate-limited", 45009), 1, []string{"StandingStillAlarm"}},
	"a refusal that nobody knows":       {nil, trouble("refused", 301999), 1, []string{"StandingStillAlarm"}},
	"the network is away":               {nil, trouble("network", 0), 1, []string{"StandingStillAlarm"}},
	"fetch is dead": {nil, func(h *house) {
		h.polled(ledger.Poll{CaughtUp: h.at.Add(-time.Hour), LastWhole: h.at.Add(-time.Hour)})
	}, 1, []string{"StandingStillAlarm"}},
	"the library is missing": {nil, trouble("library-missing", 0), 1, []string{"LibraryAlarm"}},
	"the library keeps dying": {func(h *house) { h.OK(h.op.BatchFailed(h.Context(), h.batch(9), "library-dies-often")) }, (*house).well, 1,
		[]string{"LibraryAlarm"}},
	"a key is missing":   {func(h *house) { h.finish(h.batch(3), 2, ledger.ReasonNoKey) }, (*house).well, 1, []string{"KeysMissingAlarm"}},
	"a key does not fit": {func(h *house) { h.finish(h.batch(3), 2, ledger.ReasonKeyDoesNotFit) }, (*house).well, 1, []string{"KeysMissingAlarm"}},
	"most is set aside": {func(h *house) { h.finish(h.batch(60), 1, slices.Repeat([]string{"library-crash"}, 40)...) }, (*house).well, 1,
		[]string{"SetAsideBurstAlarm"}},
	"attachments are lost": {func(h *house) {
		w := h.waits("gone", h.at)
		h.OK(h.op.SettleMedia(h.Context(), w, ledger.MediaRow{Corp: corp, Hash: w.FileID.Hash(), State: ledger.Lost, Reason: "media-expired", At: h.at}))
	}, (*house).well, 1, []string{"MediaLostAlarm"}},
	"fsck found something": {func(h *house) {
		h.OK(h.op.PutAlarm(h.Context(), ledger.Alarm{Corp: corp, Cause: string(report.Unaccounted) + ":a-gap", Open: true, Since: h.at, Seen: h.at, Affected: 1}))
	}, (*house).well, 1, []string{"UnaccountedAlarm"}},
	"a mail stays unsent": {func(h *house) { h.letter("late", 0, ""); h.at = h.at.Add(30 * time.Minute) }, (*house).well, 1, []string{"MailsLateAlarm"}},
	"a mail is not sent for a week": {func(h *house) {
		h.OK(h.op.SetSwept(h.Context(), corp, ledger.SweepMails, h.at.AddDate(0, 0, -4).Format(time.DateOnly)))
		h.letter("week", 0, "")
		h.at = h.at.AddDate(0, 0, 7)
	}, (*house).well, 1, []string{"MailsLateAlarm"}},
	"a mail was given up": {func(h *house) {
		h.letter("lost", 0, "")
		h.at = h.at.AddDate(0, 0, 7)
		h.OK(h.op.Mails(h.Context(), corp, func(m ledger.MailRow) bool {
			h.OK(h.op.GiveUpMail(h.Context(), m, h.at, h.at))
			return true
		}))
	}, (*house).well, 3, []string{"MailsLateAlarm"}},
	"a mail that was given up is settled": {func(h *house) {
		h.letter("lost", 0, "")
		h.at = h.at.AddDate(0, 0, 7)
		h.OK(h.op.Mails(h.Context(), corp, func(m ledger.MailRow) bool {
			h.OK(h.op.GiveUpMail(h.Context(), m, h.at, h.at))
			return true
		}))
		all, err := h.op.GivenUps(h.Context(), corp)
		h.OK(err)
		h.OK(h.op.SettleGivenUp(h.Context(), all[0], h.at))
	}, (*house).well, 1, nil},
	"SES throttles a mail for long": {func(h *house) {
		h.letter("throttled", 1, ledger.MailPlanned)
		h.at = h.at.Add(20 * time.Minute)
		h.throttled("throttled")
		h.at = h.at.Add(10 * time.Minute)
	}, (*house).well, 1, []string{"MailsLateAlarm"}},
	"the noon report is not made": {func(h *house) {
		h.OK(h.op.PutCorp(h.Context(), ledger.Corp{ID: corp, Name: "Lantern Works", Added: h.at.Add(-24 * time.Hour), ReportTo: []ledger.Receiver{{Address: "a@lantern.example"}}}))
		h.at = time.Date(2031, 5, 6, 12, 26, 0, 0, time.UTC)
	}, (*house).well, 1, []string{"MailsLateAlarm"}},
	"one report of the noon is not made": {func(h *house) {
		h.afternoon(report.DeletedUsers)
		h.made(report.UserStatus, report.MissingMobile, report.NumberChange, report.GroupsBreach, report.Maintenance, report.MissingEmail, report.Coverage) // and not R5
	}, (*house).well, 1, []string{"MailsLateAlarm"}},
	"a report is switched off": {func(h *house) {
		h.afternoon(report.UserStatus)
		h.made(report.Kinds()[1:]...)
	}, (*house).well, 1, nil},
	"a receiver's mailbox is gone": {func(h *house) {
		h.OK(h.op.PutCorp(h.Context(), ledger.Corp{ID: corp, Name: "Lantern Works", Added: h.at.Add(-24 * time.Hour), ReportTo: []ledger.Receiver{{Address: "a@lantern.example"}}}))
		for _, address := range []string{"a@lantern.example", "b@lantern.example"} {
			_, err := h.op.Suppress(h.Context(), ledger.Suppression{Corp: corp, Address: address, Reason: ledger.Bounced, Since: h.at})
			h.OK(err)
		}
	}, (*house).well, 1, []string{"ReceiversDeadAlarm"}},
	"a mail is refused":          {func(h *house) { h.letter("refused", 1, ledger.MailRefused) }, (*house).well, 1, []string{"MailsRefusedAlarm"}},
	"a mail may have gone twice": {func(h *house) { h.letter("twice", 2, ledger.MailSent) }, (*house).well, 1, []string{"PossibleDoublesAlarm"}},
	"a message in WeCom waits":   {func(h *house) { h.telling(0); h.at = h.at.Add(40 * time.Minute) }, (*house).well, 1, []string{"MailsLateAlarm"}},
	"a message in WeCom is not sent for a week": {func(h *house) {
		h.OK(h.op.SetSwept(h.Context(), corp, ledger.SweepTellings, h.at.AddDate(0, 0, -4).Format(time.DateOnly)))
		h.telling(0)
		h.at = h.at.AddDate(0, 0, 7)
	}, (*house).well, 1, []string{"MailsLateAlarm"}},
	"a message in WeCom was given up": {func(h *house) {
		h.telling(0)
		h.at = h.at.AddDate(0, 0, 7)
		h.givesUpTellings()
	}, (*house).well, 3, []string{"MailsLateAlarm"}},
	"a message in WeCom that was given up is settled": {func(h *house) {
		h.telling(0)
		h.at = h.at.AddDate(0, 0, 7)
		h.givesUpTellings()
		all, err := h.op.GivenUps(h.Context(), corp)
		h.OK(err)
		h.OK(h.op.SettleGivenUp(h.Context(), all[0], h.at))
	}, (*house).well, 1, nil},
	"one may have gone twice":   {func(h *house) { h.telling(1) }, (*house).well, 1, []string{"PossibleDoublesAlarm"}},
	"a mail waits for its turn": {func(h *house) { h.letter("soon", 0, ""); h.at = h.at.Add(10 * time.Minute) }, (*house).well, 2, nil},
	"a little is set aside":     {func(h *house) { h.finish(h.batch(9), 1, "library-crash") }, (*house).well, 3, nil},
	"WeCom limits for a few moments": {nil, func(h *house) {
		h.polled(ledger.Poll{CaughtUp: h.at, LastWhole: h.at, Trouble: &ledger.Trouble{Cause: "rate-limited", Code: 45009, Since: h.at}})
	}, 3, nil},
}

// telling plans a message in WeCom by the company's app; one that was sent anew so often is told.
func (h *house) telling(doubles int) {
	h.Helper()
	ctx := h.Context()
	h.OK(h.op.SetApp(ctx, corp, 7))
	t := ledger.Telling{Corp: corp, Day: h.at.Format(time.DateOnly), Report: "R2", To: "ann", Text: "t", At: h.at}
	h.OK(h.op.PlanTelling(ctx, t))
	if doubles == 0 {
		return
	}
	for n := range doubles + 1 {
		row, err := h.op.TellingOf(ctx, corp, t.Key())
		h.OK(err)
		at := h.at.Add(time.Duration(n) * time.Hour)
		t, err = h.op.ClaimTelling(ctx, row, fmt.Sprint(n), 7, at, at.Add(time.Minute), time.Minute)
		h.OK(err)
	}
	h.OK(h.op.SettleTelling(ctx, t, ledger.Told, "m", "", h.at))
}

func (h *house) givesUpTellings() {
	h.Helper()
	h.OK(h.op.Tellings(h.Context(), corp, func(t ledger.Telling) bool {
		h.OK(h.op.GiveUpTelling(h.Context(), t, h.at, h.at))
		return true
	}))
}

// made keeps that reports of the day are made.
func (h *house) made(kinds ...report.Kind) {
	h.Helper()
	for _, k := range kinds {
		run := ledger.Run{Corp: corp, Day: h.at.Format(time.DateOnly), Report: string(k), Owner: "me", Until: h.at.Add(time.Hour)}
		_, err := h.op.ClaimRun(h.Context(), run, h.at)
		h.OK(err)
		h.OK(h.op.FinishRun(h.Context(), run))
	}
}

// afternoon is a company with an account admin, who has switched a report off, after noon.
func (h *house) afternoon(off report.Kind) {
	h.Helper()
	c := ledger.Corp{ID: corp, Name: "Lantern Works", Added: h.at.Add(-24 * time.Hour), ReportTo: []ledger.Receiver{{Address: "a@lantern.example"}}}
	h.OK(h.op.PutCorp(h.Context(), c))
	c.Settings = c.Settings.Turned(off, true, "test", h.at)
	_, err := h.op.ChangeCorp(h.Context(), c)
	h.OK(err)
	h.at = time.Date(2031, 5, 6, 12, 26, 0, 0, time.UTC)
}

// trouble is a corp that WeCom has not answered for 20 minutes.
func trouble(cause string, code int) func(h *house) {
	return func(h *house) {
		since := h.at.Add(-20 * time.Minute)
		h.polled(ledger.Poll{CaughtUp: since, LastWhole: since, Trouble: &ledger.Trouble{Cause: cause, Code: code, Since: since}})
	}
}

func TestEachFaultFiresItsAlarmAndNoOther(t *testing.T) {
	h := newHouse(t)
	all := rig.Must[[]cloudwatch.Alarm](t)(cloudwatch.Alarms(h.Template))
	own := cloudwatch.Of(all, "watch")
	began := h.at
	fired := map[string]bool{}
	for name, c := range alarmFaults {
		t.Run(name, func(t *testing.T) {
			h.wipe("ControlTable", "MessagesTable")
			h.at, h.seq, h.chain = began, 0, ledger.Link{}
			h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: corp, Name: "Lantern Works", Added: began.Add(-24 * time.Hour)}))
			s := cloudwatch.NewStore()
			h.runs(s, 3, h.well)
			if ids := s.AllFiring(own, h.at); len(ids) > 0 {
				t.Fatalf("nothing is wrong, and %q fire", ids)
			}
			if c.plant != nil {
				c.plant(h)
			}
			if c.runs == 0 {
				h.at = h.at.Add(4 * every)
			} else {
				// What plant let pass was played, not slept through.
				h.runs(s, c.runs, func() { c.before(h) })
			}
			want := c.fires
			if diff := cmp.Diff(want, s.AllFiring(own, h.at)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, id := range want {
				fired[id] = true
			}
		})
	}
	for _, a := range own {
		if !fired[a.LogicalID] {
			t.Errorf("no fault fires %s", a.LogicalID)
		}
		delete(fired, a.LogicalID)
	}
	if len(fired) > 0 {
		t.Errorf("these are no alarms over watch's figures: %q", slices.Sorted(maps.Keys(fired)))
	}
}

func TestUndisturbedHoursAroundNoonFireNoAlarm(t *testing.T) {
	h := newHouse(t)
	own := cloudwatch.Of(rig.Must[[]cloudwatch.Alarm](t)(cloudwatch.Alarms(h.Template)), "watch")
	h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: corp, Name: "Lantern Works", Added: h.at.Add(-24 * time.Hour), ReportTo: []ledger.Receiver{{Address: "a@lantern.example"}}}))
	s := cloudwatch.NewStore()
	h.at = time.Date(2031, 5, 6, 10, 0, 0, 0, time.UTC)
	for range 4 * 12 {
		h.runs(s, 1, func() {
			h.well()
			if h.at.Minute() == 0 {
				h.finish(h.batch(4), 1)
			}
			if h.at.Hour() == noonHour && h.at.Minute() == 5 {
				h.made(report.Kinds()...)
				h.letter("noon", 1, ledger.MailSent)
			}
		})
		if h.at.Sub(time.Date(2031, 5, 6, 10, 0, 0, 0, time.UTC)) < 3*every {
			continue // nobody looked before
		}
		if ids := s.AllFiring(own, h.at); len(ids) > 0 {
			t.Fatalf("at %s %q fire", h.at.Format(time.TimeOnly), ids)
		}
	}
}

func TestAStackThatIsWellDoesNotHideThatTheOneBesideItIsSilent(t *testing.T) {
	h := newHouse(t)
	names := []string{h.Template.StackName, "beside"}
	for i, well := range names {
		h.metrics = telemetry.NewMetrics(&h.figures, well, "watch")
		s := cloudwatch.NewStore()
		h.runs(s, 3, h.well)
		for name, want := range map[string][]string{well: nil, names[1-i]: {"MediaAtRiskAlarm", "MessagesAtRiskAlarm", "WatchHeartbeatAlarm"}} {
			stack := rig.Must[*template.Template](t)(template.Load(h.Template.Path, map[string]string{template.StackName: name}))
			own := cloudwatch.Of(rig.Must[[]cloudwatch.Alarm](t)(cloudwatch.Alarms(stack)), "watch")
			if diff := cmp.Diff(want, s.AllFiring(own, h.at)); diff != "" {
				t.Errorf("%s runs: alarms of %s (-want +got)\n%s", well, name, diff)
			}
		}
	}
}

// TestEveryFigureThatIsLookedAtIsWritten: an alarm over a metric that nobody writes is silent for ever, or cries for ever.
func TestEveryFigureThatIsLookedAtIsWritten(t *testing.T) {
	h := newHouse(t)
	s := cloudwatch.NewStore()
	h.runs(s, 1, h.well)
	var looked []cloudwatch.Metric
	for _, a := range cloudwatch.Of(rig.Must[[]cloudwatch.Alarm](t)(cloudwatch.Alarms(h.Template)), "watch") {
		looked = append(looked, a.Metrics...)
	}
	for _, widgets := range rig.Must[map[string][]cloudwatch.Widget](t)(cloudwatch.Dashboards(h.Template)) {
		for _, w := range widgets {
			for _, m := range w.Metrics {
				if m.Namespace == cloudwatch.Own && m.Dimensions["Function"] == "watch" && m.Name != "Denied" {
					looked = append(looked, m)
				}
			}
		}
	}
	if len(looked) < 20 {
		t.Fatalf("only %d figures are looked at", len(looked))
	}
	for _, m := range looked {
		if !s.Has(m) {
			t.Errorf("%s is written by nobody", m)
		}
	}
}
