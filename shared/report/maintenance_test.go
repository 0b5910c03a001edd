package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
)

func maintenance(t *testing.T, f MaintenanceFacts, v View) Mail {
	t.Helper()
	m, err := NewMaintenance(f, v)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sampleTrouble() MaintenanceFacts {
	now := time.Date(2026, 3, 18, 9, 42, 10, 0, time.UTC)
	return MaintenanceFacts{
		Corp: Corp{ID: "ww7f3a9be104c25d68", Name: "海岚茶业 Hailan Tea"}, Marks: Marks{Simulated: true, Trial: true}, Now: now,
		Windows:  Windows{Chats: 5 * day, Media: 3 * day},
		Messages: Clock{State: ClockRunning, Ends: now.Add(118*time.Hour + 4*time.Minute)},
		Media:    Clock{State: ClockRunning, Ends: now.Add(49 * time.Hour)},
		Egress:   []string{"203.0.113.24", "203.0.113.25"},
		Alarms: []Alarm{
			{Cause: KeyMissing, News: Same, FirstSeen: now.Add(-26 * time.Hour), LastSeen: now.Add(-3 * time.Minute), Messages: Known(1204), Seen: []archive.KeyVersion{7, 8},
				Held: []archive.KeyVersion{5, 6}, Loss: Clock{State: ClockRunning, Ends: now.Add(45*time.Hour + 30*time.Minute)}},
			{Cause: AddressNotTrusted, News: Began, FirstSeen: now.Add(-4 * time.Minute), LastSeen: now, Address: "203.0.113.24", Code: 301042,
				Loss: Clock{State: ClockRunning, Ends: now.Add(118 * time.Hour)}},
			{Cause: SetAsideWaiting, News: Over, FirstSeen: now.Add(-30 * time.Hour), Ended: now.Add(-time.Hour), Messages: Known(1), Reason: "undecodable-json"},
		},
	}
}

func TestMaintenanceReadsAsItsGoldens(t *testing.T) {
	for _, v := range views() {
		began := sampleTrouble()
		over := sampleTrouble()
		over.Alarms = over.Alarms[2:]
		over.Messages, over.Media = Clock{State: ClockRunning, Ends: over.Now.Add(5 * day)}, Clock{State: ClockIdle}
		daily := sampleTrouble()
		daily.Daily, daily.Alarms = true, nil
		for name, f := range map[string]MaintenanceFacts{"began": began, "over": over, "daily": daily} {
			m := maintenance(t, f, v)
			head := fmt.Sprintf("Subject: %s\nUrgent: %t\nThreads: %v\n\n", m.Subject, m.Urgent, m.Threads)
			golden(t, "r7."+name+"."+string(v.Language)+".txt", []byte(head+m.Text))
			golden(t, "r7."+name+"."+string(v.Language)+".html", []byte(m.HTML))
		}
	}
}

// everyCause has one alarm of each cause, and one that this version does not know.
func everyCause(news News) MaintenanceFacts {
	f := sampleTrouble()
	f.Alarms = nil
	for i, c := range append(Causes(), "tide-too-high") {
		f.Alarms = append(f.Alarms, Alarm{
			Cause: c, News: news, FirstSeen: f.Now.Add(-time.Duration(i+1) * time.Minute), Ended: f.Now, Code: 99000 + i, Seen: []archive.KeyVersion{4},
		})
	}
	return f
}

func TestEveryCauseSaysWhenHowManyHowLongAndWhatToDo(t *testing.T) {
	for _, v := range views() {
		for _, a := range everyCause(Began).Alarms {
			f := sampleTrouble()
			f.Alarms = []Alarm{a}
			m := maintenance(t, f, v)
			for _, want := range []string{
				v.Language.say("First seen: ", "首次发现：") + v.at(a.FirstSeen), v.Language.say("Messages affected: not known", "受影响的消息：未知"),
				v.Language.say("Most often: ", "最常见："), v.Language.say("Also possible: ", "也可能："), "\n1. ", fmt.Sprint(a.Code), "vaultctl status -corp ww7f3a9be104c25d68",
			} {
				if want == "vaultctl status -corp ww7f3a9be104c25d68" && !strings.Contains(m.Text, "     ") {
					t.Errorf("%s (%s): no command", a.Cause, v.Language)
				} else if !strings.HasPrefix(want, "vaultctl") && !strings.Contains(m.Text, want) {
					t.Errorf("%s (%s): lacks %q in\n%s", a.Cause, v.Language, want, m.Text)
				}
			}
			if strings.ContainsAny(strings.ReplaceAll(m.Text, "{}", ""), "{}") || strings.ContainsAny(m.Subject, "{}") {
				t.Errorf("%s (%s): a value is not filled in:\n%s", a.Cause, v.Language, m.Text)
			}
			if !m.Urgent {
				t.Errorf("%s: not urgent", a.Cause)
			}
		}
	}
}

func TestEveryCauseIsWrittenInBothLanguages(t *testing.T) {
	if len(causeTexts) != len(Causes()) {
		t.Errorf("%d causes have texts, %d are listed", len(causeTexts), len(Causes()))
	}
	han := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
	}
	braces := func(s string) []string {
		var out []string
		for _, p := range strings.Split(s, "{")[1:] {
			word, _, _ := strings.Cut(p, "}")
			out = append(out, word)
		}
		slices.Sort(out)
		return out
	}
	for _, c := range append(Causes(), "other") {
		x := (Alarm{Cause: c}).text()
		all := []both{x.title, x.what, x.often, x.possible}
		for _, s := range x.steps {
			all = append(all, s.text)
		}
		for _, b := range all {
			en := strings.NewReplacer("会话内容存档", "", "可信IP", "").Replace(b.en)
			if b.en == "" || !han(b.zh) || han(en) {
				t.Errorf("%s: %q / %q", c, b.en, b.zh)
			}
			if diff := cmp.Diff(braces(b.en), braces(b.zh)); diff != "" {
				t.Errorf("%s: the languages name different values: %s", c, diff)
			}
		}
		if len(x.steps) == 0 {
			t.Errorf("%s: nothing to do", c)
		}
	}
}

func TestKindOfMaintenanceMailFollowsTheNews(t *testing.T) {
	now := sampleTrouble().Now
	open := func(n News) Alarm { return Alarm{Cause: ServiceExpired, News: n, FirstSeen: now.Add(-time.Hour)} }
	over := Alarm{Cause: RateLimited, News: Over, FirstSeen: now.Add(-time.Hour), Ended: now}
	for _, c := range []struct {
		name    string
		alarms  []Alarm
		daily   bool
		urgent  bool
		subject string
	}{
		{"began", []Alarm{open(Began)}, false, true, "[Hailan] R7 Account Maintenance 2026-03-18: ALERT: Chat archiving has expired in WeCom"},
		{"changed", []Alarm{open(Changed)}, false, true, "Re: [Hailan] R7 Account Maintenance 2026-03-18: ALERT: Chat archiving has expired in WeCom"},
		{"began while another ends", []Alarm{open(Began), over}, false, true, "[Hailan] R7 Account Maintenance 2026-03-18: ALERT: Chat archiving has expired in WeCom"},
		{"over while another stays", []Alarm{open(Same), over}, false, false, "Re: [Hailan] R7 Account Maintenance 2026-03-18: ALERT: WeCom limits our rate"},
		{"all over", []Alarm{over}, false, false, "Re: [Hailan] R7 Account Maintenance 2026-03-18: ALERT: WeCom limits our rate"},
		{"noon, trouble", []Alarm{open(Same)}, true, false, "[Hailan] R7 Account Maintenance 2026-03-18: Chat archiving has expired in WeCom"},
		{"noon, one has ended", []Alarm{over}, true, false, "[Hailan] R7 Account Maintenance 2026-03-18: over: WeCom limits our rate"},
		{"noon, trouble, and one has ended", []Alarm{open(Same), over}, true, false, "[Hailan] R7 Account Maintenance 2026-03-18: Chat archiving has expired in WeCom"},
		{"noon, peace", nil, true, false, "[Hailan] R7 Account Maintenance 2026-03-18: nothing is open"},
	} {
		f := sampleTrouble()
		f.Corp.Name, f.Alarms, f.Daily = "Hailan", c.alarms, c.daily
		m := maintenance(t, f, View{Language: English})
		if m.Urgent != c.urgent || m.Subject != c.subject {
			t.Errorf("%s: urgent %t, subject %q", c.name, m.Urgent, m.Subject)
		}
		if c.daily != (len(m.Threads) == 0) {
			t.Errorf("%s: threads %v", c.name, m.Threads)
		}
	}
}

func TestAllMailsOfAnAlarmShareItsThread(t *testing.T) {
	f := sampleTrouble()
	f.Alarms = f.Alarms[:1]
	first := maintenance(t, f, View{Language: English})
	f.Now = f.Now.Add(9 * time.Hour)
	f.Alarms[0].News, f.Alarms[0].Ended, f.Alarms[0].Messages = Over, f.Now, Known(0)
	f.Alarms = append(f.Alarms, Alarm{Cause: ServiceExpired, News: Same, FirstSeen: f.Now.Add(-time.Hour)})
	last := maintenance(t, f, View{Language: Chinese})
	if !slices.Contains(last.Threads, first.Threads[0]) {
		t.Errorf("%v does not hold %v", last.Threads, first.Threads)
	}
}

func TestHoursLeftNeverClaimTooMuch(t *testing.T) {
	w := Windows{Chats: 5 * day, Media: 3 * day}
	v := View{Language: English}
	for _, c := range []struct {
		clock Clock
		want  string
	}{
		{Clock{}, "unknown: this company was never caught up"},
		{Clock{State: ClockIdle}, "nothing waits"},
		{Clock{State: ClockRunning, Ends: noon.Add(59 * time.Minute)}, "at least 0 hours, if WeCom keeps chats 5 days and media 3"},
		{Clock{State: ClockRunning, Ends: noon.Add(time.Hour)}, "at least 1 hour, if WeCom keeps chats 5 days and media 3"},
		{Clock{State: ClockRunning, Ends: noon.Add(2*time.Hour - 1)}, "at least 1 hour, if"},
		{Clock{State: ClockRunning, Ends: noon}, "none, if WeCom keeps"},
		{Clock{State: ClockRunning, Ends: noon.Add(-day)}, "none, if WeCom keeps"},
	} {
		if got := c.clock.text(v, noon, w); !strings.HasPrefix(got, c.want) {
			t.Errorf("%+v: %q, want %q…", c.clock, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		left := time.Duration(rapid.Int64Range(-int64(10*day), int64(10*day)).Draw(t, "left"))
		c := Clock{State: ClockRunning, Ends: noon.Add(left)}
		if h := time.Duration(c.hours(noon)) * time.Hour; h > max(left, 0) || left-h >= time.Hour && left > 0 {
			t.Errorf("%v is called %v", left, h)
		}
	})
}

func TestManyAlarmsFitAMail(t *testing.T) {
	for _, news := range []News{Began, Over} {
		f := sampleTrouble()
		f.Alarms = nil
		for i := range 500 {
			a := Alarm{Cause: SetAsideWaiting, News: news, FirstSeen: f.Now.Add(-time.Duration(i) * time.Minute), Ended: f.Now,
				Reason: "a-reason-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on"}
			for k := range 300 {
				a.Seen = append(a.Seen, archive.KeyVersion(k))
			}
			a.Held = a.Seen
			if i%2 == 0 {
				a.Cause, a.Reason = KeyMissing, ""
			}
			f.Alarms = append(f.Alarms, a)
		}
		for _, v := range views() {
			m := maintenance(t, f, v)
			if len(m.HTML) > 90_000 {
				t.Errorf("500 alarms make a mail of %d bytes", len(m.HTML))
			}
			writeMail(t, m)
		}
	}
}

func TestAlarmTextsCantChangeTheMail(t *testing.T) {
	for _, evil := range hostile() {
		f := sampleTrouble()
		f.Corp = Corp{ID: archive.CorpID(evil), Name: evil}
		f.Egress = []string{evil}
		for i := range f.Alarms {
			f.Alarms[i].Address = evil
			f.Alarms[i].Cause = Cause(evil)
		}
		for _, v := range views() {
			m := maintenance(t, f, v)
			if strings.Count(m.HTML, "<script")+strings.Count(m.HTML, "<img") > 0 || strings.Contains(m.HTML, "<h1>hi") {
				t.Errorf("%q puts tags into the mail", evil)
			}
			if strings.ContainsAny(m.Subject, "\r\n\x00\u202e") || len(m.HTML) > 90_000 {
				t.Errorf("%q: subject %q, %d bytes", evil, m.Subject, len(m.HTML))
			}
			writeMail(t, m)
		}
	}
}

func TestCommandsQuoteTheCorp(t *testing.T) {
	for in, want := range map[string]string{"ww12ab": "ww12ab", "a b": "'a b'", "$(reboot)": "'$(reboot)'", "it's": `'it'\''s'`, "": "''"} {
		if got := shellWord(in); got != want {
			t.Errorf("%q becomes %s, want %s", in, got, want)
		}
	}
}

func TestCodesNameTheirCause(t *testing.T) {
	for code, want := range map[int]Cause{301053: ServiceNotOpened, 301052: ServiceExpired, 301042: AddressNotTrusted, 10009: AddressNotTrusted, 40001: SecretRefused, 40013: SecretRefused, 48002: AccessForbidden, 45009: RateLimited} {
		if got, ok := CauseOfCode(code); got != want || !ok {
			t.Errorf("%d is %q, want %q", code, got, want)
		}
	}
	if c, ok := CauseOfCode(12345); ok {
		t.Errorf("12345 is %q", c)
	}
}

func TestAlarmsAreReadFromTheLedgersWord(t *testing.T) {
	for word, want := range map[string]Alarm{
		"key-missing:7":       {Cause: KeyMissing, Seen: []archive.KeyVersion{7}},
		"key-missing:x":       {Cause: KeyMissing},
		"set-aside:sdk-10004": {Cause: SetAsideWaiting, Reason: "sdk-10004"},
		"service-expired":     {Cause: ServiceExpired},
		"of-a-later-version":  {Cause: "of-a-later-version"},
	} {
		if diff := cmp.Diff(want, ParseAlarm(word)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", word, diff)
		}
	}
	if got := ParseAlarm("key-missing:7").Title(Corp{ID: "ww1"}, English); got != "Key version missing: 7" {
		t.Errorf("the title is %q", got)
	}
}

// A key that was added since is not asked for again by a mail that lists it as held.
func TestAMissingKeyThatIsHeldByNowIsNotAskedForAgain(t *testing.T) {
	f := sampleTrouble()
	f.Alarms = slices.Clone(f.Alarms[:1])
	for _, c := range []struct {
		held  []archive.KeyVersion
		asked bool
	}{{[]archive.KeyVersion{5, 6}, true}, {[]archive.KeyVersion{5, 6, 7}, true}, {[]archive.KeyVersion{6, 7, 8}, false}} {
		f.Alarms[0].Held = c.held
		m := maintenance(t, f, View{Language: English})
		if asked := strings.Contains(m.Text, "vaultctl keys add"); asked != c.asked || asked == strings.Contains(m.Text, "The key is held by now.") || !strings.Contains(m.Text, "Key versions seen: 7, 8") {
			t.Errorf("held %v:\n%s", c.held, m.Text)
		}
	}
}
