package report

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// tellingFacts is one user who lost the number and is told in WeCom.
func tellingFacts(corp, name, id, last string) MissingMobileFacts {
	f := sampleMissingMobile()
	f.Corp.Name, f.Marks = corp, Marks{Simulated: true, Trial: true}
	row := f.Rows[0]
	row.ID, row.Name, row.Last, row.Told, row.Email = archive.PartyID(id), name, last, ToldByApp, ""
	f.Rows = append([]MobileRow{row}, f.Rows[1:]...)
	return f
}

// T5: a message in WeCom has the steps, the mark of a played company, and no whole number; it fits WeCom's limit whatever the names, and ends between characters.
func TestAMessageInWeComHoldsTheStepsAndFitsWhateverTheNames(t *testing.T) {
	due := time.Date(2032, 2, 10, 12, 0, 0, 0, time.UTC)
	for _, l := range Languages() {
		v := View{Language: l, Mask: true, Zone: time.FixedZone("UTC+8", 8*60*60)}
		text, err := NewMissingMobileTelling(tellingFacts("海岳 Haiyue", "周明辉", "zhou.minghui", "+86 13900002211"), "zhou.minghui", v)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"海岳 Haiyue", "周明辉", "zhou.minghui", "1. ", "2. ", "通讯录", "12:00 UTC"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q:\n%s", l, want, text)
			}
		}
		if first, _, _ := strings.Cut(text, "\n"); !strings.Contains(first, "SIMULATED") && !strings.Contains(first, "模拟") {
			t.Errorf("%s does not begin with the mark of a played company: %s", l, first)
		}
		if strings.Contains(text, "13900002211") || strings.Contains(text, "LATE:") || strings.Contains(text, "延迟") {
			t.Errorf("%s:\n%s", l, text)
		}
		late := v
		late.Due, late.Made = due, due.Add(30*time.Hour)
		if text, err := NewMissingMobileTelling(tellingFacts("c", "n", "id", ""), "id", late); err != nil || !strings.Contains(text, "LATE:") && !strings.Contains(text, "延迟") {
			t.Errorf("%s does not say that it is late: %v\n%s", l, err, text)
		}
	}
	if _, err := NewMissingMobileTelling(sampleMissingMobile(), "nobody", View{}); err == nil {
		t.Error("there is a message to nobody")
	}
	hostile := rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.SampledFrom([]string{"a", "海", "👩‍👩‍👧‍👦", "\u202e", "\n", "é", "\xff", "|", "<b>"}).Draw(t, "of"), rapid.IntRange(0, 400).Draw(t, "times"))
	})
	rapid.Check(t, func(t *rapid.T) {
		v := View{Language: rapid.SampledFrom(Languages()).Draw(t, "language"), Mask: true, Due: due, Made: due.Add(48 * time.Hour)}
		id := "u" + hostile.Draw(t, "userid")
		text, err := NewMissingMobileTelling(tellingFacts(hostile.Draw(t, "company"), hostile.Draw(t, "user"), id, hostile.Draw(t, "number")), archive.PartyID(id), v)
		if err != nil {
			t.Fatal(err)
		}
		last := Marked(text, 99)
		if len(text) > MostTelling || len(last) > 2048 || !utf8.ValidString(last) || !strings.Contains(text, "2. ") || !strings.Contains(last, "sent again, 99") {
			t.Fatalf("%d bytes, %d marked:\n%s", len(text), len(last), last)
		}
	})
}

// T5: each day; WeCom would not show the second of two that are equal.
func TestTheMessageInWeComOfTheNextDayHasOtherBytes(t *testing.T) {
	for _, l := range Languages() {
		f := tellingFacts("c", "n", "id", "")
		seen := map[string]bool{}
		for range 3 {
			text, err := NewMissingMobileTelling(f, "id", View{Language: l})
			if day := f.Day.UTC().Format(time.DateOnly); err != nil || seen[text] || !strings.Contains(text, day) {
				t.Errorf("%s, of %s: %v\n%s", l, day, err, text)
			}
			seen[text] = true
			f.Day = f.Day.AddDate(0, 0, 1)
		}
	}
}

// T5: what became of the last message decides whether the user counts as told; whoever is not told by mail is tried again.
func TestWhetherTheLastMessageArrivedIsSaidOfTheNext(t *testing.T) {
	for _, c := range []struct {
		state, reason string
		want          Told
		says          string
	}{
		{"told", "", ToldByApp, "told in WeCom"}, {"refused", "not-in-range", NotToldUnseen, "visible range"}, {"refused", "unlicensed", NotToldUnlicensed, "licence"},
		{"refused", "errcode", NotToldRefused, "refused the last message"}, {"planned", "untrusted-address", NotToldWaits, "still waits"}, {"sending", "", NotToldWaits, "still waits"},
		{"given-up", "not-sent-in-time: untrusted-address", NotToldGivenUp, "was given up"},
	} {
		got := Reached(c.state, c.reason)
		if got != c.want || !got.byApp() || got.yes() != (c.want == ToldByApp) {
			t.Errorf("%s %s: %q", c.state, c.reason, got)
		}
		for _, l := range Languages() {
			words := View{Language: l}.told(got)
			if l == English && !strings.Contains(words, c.says) || strings.HasPrefix(words, "could not be told") && got.yes() {
				t.Errorf("%s %s in %s: %s", c.state, c.reason, l, words)
			}
		}
	}
	for _, other := range []Told{ToldByMail, NotToldNone, NotToldHidden, NotToldBad, NotToldStopped, NotToldOff} {
		if other.byApp() {
			t.Errorf("%q sends a message in WeCom", other)
		}
	}
}
