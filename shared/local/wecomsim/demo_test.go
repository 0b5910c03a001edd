package wecomsim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// playDay plays a whole day, with the clock set to each step's time, and returns what the simulator said.
func (b *bench) playDay() wecomsim.DemoDay {
	b.Helper()
	day := must(b.DemoStart(b.ctx(), wecomsim.DemoStart{}))(b)
	for _, step := range day.Steps {
		must(b.SetClock(b.ctx(), wecomsim.Clock{Now: &step.At}))(b)
		played := must(b.DemoStep(b.ctx(), wecomsim.DemoPlay{}))(b)
		if played.Done != (step.Step == len(day.Steps)) {
			b.Fatalf("step %d: done %v", step.Step, played.Done)
		}
	}
	return must(b.Demo(b.ctx()))(b)
}

type opened struct {
	MsgID   string          `json:"msgid"`
	Action  string          `json:"action"`
	From    string          `json:"from"`
	To      []string        `json:"tolist"`
	Room    string          `json:"roomid"`
	Type    string          `json:"msgtype"`
	Time    int64           `json:"msgtime"`
	Chat    json.RawMessage `json:"chatrecord"`
	Todo    json.RawMessage `json:"todo"`
	Vote    json.RawMessage `json:"vote"`
	Title   string          `json:"title"`
	Voter   string          `json:"votetitle"`
	Info    json.RawMessage `json:"info"`
	Packet  json.RawMessage `json:"redpacket"`
	Doc     json.RawMessage `json:"doc"`
	VoiceID string          `json:"voiceid"`
	VoipID  string          `json:"voipid"`
	Revoke  struct {
		Pre string `json:"pre_msgid"`
	} `json:"revoke"`
	raw []byte
}

// story is all that opens of a corp.
func (b *bench) story(corp string) (list []opened) {
	b.Helper()
	after := uint64(0)
	for {
		items := must(b.Items(b.ctx(), corp, after, 500, true))(b)
		if len(items) == 0 {
			return list
		}
		for _, it := range items {
			after = it.Seq
			var o opened
			plain := slices.DeleteFunc(bytes.Clone(it.Raw), func(c byte) bool { return c < 0x20 })
			if err := json.Unmarshal(plain, &o); err != nil {
				b.Fatalf("seq %d: %v: %s", it.Seq, err, it.Raw)
			}
			if o.MsgID != it.MsgID {
				b.Fatalf("seq %d: msgid %s inside, %s outside", it.Seq, o.MsgID, it.MsgID)
			}
			o.raw = it.Raw
			list = append(list, o)
		}
	}
}

func TestTheFirstDayHasEveryTypeInItsVariants(t *testing.T) {
	b := newBench(t)
	day := b.playDay()
	if !day.Done || day.Day != 1 || len(day.Corps) != 2 {
		t.Fatalf("%+v", day)
	}
	a := must(b.Account(b.ctx(), wecomsim.DemoCorp))(b)
	if a.Items < 400 || a.Items > 900 {
		t.Errorf("%d messages", a.Items)
	}
	for _, kind := range []string{
		"text", "image", "revoke", "agree", "disagree", "voice", "video", "card", "location", "emotion", "file", "link", "weapp", "chatrecord", "todo",
		"vote", "collect", "redpacket", "external_redpacket", "meeting", "meeting_notification", "docmsg", "markdown", "news", "calendar", "mixed",
		"meeting_voice_call", "voip_doc_share", "sphfeed", "voiptext", "qydiskfile", "note", "solitaire", "switch",
	} {
		if a.ByType[kind] == 0 {
			t.Errorf("there is no %s", kind)
		}
	}
	if diff := cmp.Diff(map[string]int{"hologram": 1}, a.UnknownTypes); diff != "" {
		t.Errorf("unknown types: %s", diff)
	}
	if a.ByVersion["1"] == 0 || a.ByVersion["2"] == 0 || len(a.ByVersion) != 2 {
		t.Errorf("versions: %v", a.ByVersion)
	}
	if len(a.SetAside) != 2 || len(a.Doubled) != 1 || len(a.Doubled[0].Seqs) != 2 || a.Recalls < 3 {
		t.Errorf("set aside %+v, doubled %+v, recalls %d", a.SetAside, a.Doubled, a.Recalls)
	}
	if a.Files.Largest != 30<<20 || a.Files.Refused != 1 || a.Files.Count < 20 {
		t.Errorf("files: %+v", a.Files)
	}
	has := map[string]bool{}
	ids := map[string]bool{}
	for _, m := range b.story(wecomsim.DemoCorp) {
		has["todo nested"] = has["todo nested"] || m.Type == "todo" && m.Todo != nil
		has["todo flat"] = has["todo flat"] || m.Type == "todo" && m.Title != ""
		has["vote nested"] = has["vote nested"] || m.Type == "vote" && m.Vote != nil
		has["vote flat"] = has["vote flat"] || m.Type == "vote" && m.Voter != ""
		has["info"] = has["info"] || m.Type == "markdown" && m.Info != nil
		has["doc"] = has["doc"] || m.Type == "docmsg" && m.Doc != nil
		has["packet"] = has["packet"] || m.Type == "external_redpacket" && m.Packet != nil
		has["voiceid"] = has["voiceid"] || m.Type == "meeting_voice_call" && m.VoiceID != "" && !bytes.Contains(m.raw, []byte(`"roomid"`))
		has["voipid"] = has["voipid"] || m.Type == "voip_doc_share" && m.VoipID != ""
		has["control bytes"] = has["control bytes"] || bytes.ContainsAny(m.raw, "\x01\x0b")
		has["no time"] = has["no time"] || m.Type == "image" && m.Time == 0
		has["number as text"] = has["number as text"] || bytes.Contains(m.raw, []byte(`"filesize":"`))
		has["nested record"] = has["nested record"] || bytes.Contains(m.Chat, []byte(`"type":"chatrecord"`)) && bytes.Contains(m.Chat, []byte("ChatRecordFile"))
		has["uint64"] = has["uint64"] || bytes.Contains(m.raw, []byte("11101571002822706744"))
		has["external id"] = has["external id"] || strings.HasSuffix(m.MsgID, "_external")
		if m.Action == "recall" {
			has["recall of a message"] = has["recall of a message"] || ids[m.Revoke.Pre]
			has["recall that comes first"] = has["recall that comes first"] || strings.HasPrefix(m.Revoke.Pre, "6600") && !ids[m.Revoke.Pre]
			has["recall of nothing"] = has["recall of nothing"] || strings.HasPrefix(m.Revoke.Pre, "1482")
		}
		ids[m.MsgID] = true
		if m.Action != "switch" && (m.From == "" || len(m.To) == 0) {
			t.Errorf("a message without parties: %s", m.raw)
		}
		if m.Time > b.sim.Now().UnixMilli() {
			t.Errorf("a message from the future: %s", m.raw)
		}
	}
	for what, ok := range map[string]bool{
		"todo nested": true, "todo flat": true, "vote nested": true, "vote flat": true, "info": true, "doc": true, "packet": true, "voiceid": true, "voipid": true,
		"control bytes": true, "no time": true, "number as text": true, "nested record": true, "uint64": true, "external id": true,
		"recall of a message": true, "recall that comes first": true, "recall of nothing": true,
	} {
		if has[what] != ok {
			t.Errorf("the day lacks: %s", what)
		}
	}
	small := must(b.Account(b.ctx(), wecomsim.DemoSmallCorp))(b)
	if small.FirstSeq != 1<<53+1 || small.Items < 50 {
		t.Errorf("the small corp: %+v", small)
	}
	t.Logf("%d + %d messages, %d files of %d bytes, %v", a.Items, small.Items, a.Files.Count, a.Files.Bytes, a.ByType)
}

func TestTheSecondDayGoesOnWhereTheFirstEnded(t *testing.T) {
	b := newBench(t)
	first := b.playDay()
	before := must(b.Account(b.ctx(), wecomsim.DemoCorp))(b)
	b.stop()
	b.start()
	second := b.playDay()
	after := must(b.Account(b.ctx(), wecomsim.DemoCorp))(b)
	if second.Day != 2 || second.Date <= first.Date {
		t.Errorf("day %d on %s after %s", second.Day, second.Date, first.Date)
	}
	if after.FirstSeq != before.FirstSeq || after.LastSeq <= before.LastSeq || after.Items-before.Items < 150 {
		t.Errorf("seqs %d–%d of %d items, then %d–%d of %d", before.FirstSeq, before.LastSeq, before.Items, after.FirstSeq, after.LastSeq, after.Items)
	}
	if len(after.SetAside) != 2 {
		t.Errorf("set aside: %+v", after.SetAside)
	}
	if diff := cmp.Diff(first.Corps[0].Secrets, second.Corps[0].Secrets); diff != "" {
		t.Errorf("the secrets changed: %s", diff)
	}
}

func TestTheStoryIsTheSameAgain(t *testing.T) {
	one, two := newBench(t), newBench(t)
	one.playDay()
	two.playDay()
	for _, corp := range []string{wecomsim.DemoCorp, wecomsim.DemoSmallCorp} {
		a, b := one.story(corp), two.story(corp)
		if len(a) != len(b) {
			t.Fatalf("%d messages, then %d", len(a), len(b))
		}
		for i := range a {
			if !bytes.Equal(a[i].raw, b[i].raw) {
				t.Fatalf("message %d differs:\n%s\n%s", i, a[i].raw, b[i].raw)
			}
		}
	}
}

func TestTheLateKeyIsHeldBackUntilItsStep(t *testing.T) {
	b := newBench(t)
	day := must(b.DemoStart(b.ctx(), wecomsim.DemoStart{}))(b)
	given := map[string]bool{}
	note := func(events []wecomsim.DemoEvent) {
		for _, e := range events {
			if e.Kind == wecomsim.EventKey {
				if !strings.Contains(e.PrivateKey, "PRIVATE KEY") {
					t.Errorf("%+v holds no key", e)
				}
				given[fmt.Sprintf("%s %d", e.Corp, e.Version)] = true
			}
		}
	}
	note(day.Begin)
	for range day.Steps {
		played := must(b.DemoStep(b.ctx(), wecomsim.DemoPlay{}))(b)
		note(played.Step.Events)
		now := must(b.Demo(b.ctx()))(b)
		for _, c := range now.Corps {
			for _, k := range c.Keys {
				if !given[fmt.Sprintf("%s %d", c.Corp, k.Version)] {
					t.Errorf("step %q shows a key that was not given", played.Step.Name)
				}
			}
		}
	}
	if got := slices.Sorted(maps.Keys(given)); len(got) != 3 {
		t.Errorf("keys given: %v", got)
	}
}

func TestAStepIsPlayedOnce(t *testing.T) {
	b := newBench(t)
	must(b.DemoStart(b.ctx(), wecomsim.DemoStart{}))(b)
	first := must(b.DemoStep(b.ctx(), wecomsim.DemoPlay{Step: 1}))(b)
	b.stop()
	b.start()
	again := must(b.DemoStep(b.ctx(), wecomsim.DemoPlay{Step: 1}))(b)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the step was played again: %s", diff)
	}
	if _, err := b.DemoStep(b.ctx(), wecomsim.DemoPlay{Step: 5}); err == nil {
		t.Error("a step was skipped")
	}
	if _, err := b.DemoStart(b.ctx(), wecomsim.DemoStart{Day: 2}); err == nil {
		t.Error("a day began before the last had ended")
	}
	if d := must(b.DemoStart(b.ctx(), wecomsim.DemoStart{}))(b); d.Day != 1 || !d.Steps[0].Played || d.Steps[1].Played {
		t.Errorf("%+v", d)
	}
}

func TestTheCompanyIsWhatTheStorySays(t *testing.T) {
	b := newBench(t)
	must(b.DemoStart(b.ctx(), wecomsim.DemoStart{}))(b)
	corps := must(b.Corps(b.ctx()))(b)
	c := corps[slices.IndexFunc(corps, func(c wecomsim.Corp) bool { return c.Corp == wecomsim.DemoCorp })]
	ask := func(kind, method, path, body string, into any) {
		t.Helper()
		token := b.ask("GET", "/cgi-bin/gettoken?corpid="+c.Corp+"&corpsecret="+c.Secret(kind), "").Token
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		r := b.ask(method, "/cgi-bin/"+path+sep+"access_token="+token, body)
		if r.ErrCode != 0 {
			t.Fatalf("%s: %s", path, r.raw)
		}
		if err := json.Unmarshal(r.raw, into); err != nil {
			t.Fatal(err)
		}
	}
	var users struct {
		List []struct {
			UserID string  `json:"userid"`
			Name   string  `json:"name"`
			Mobile *string `json:"mobile"`
			Status int     `json:"status"`
			Leads  []int   `json:"is_leader_in_dept"`
		} `json:"userlist"`
	}
	ask(wecomsim.KindLegacyApp, "GET", "user/list?department_id=1&fetch_child=1", "", &users)
	known := map[string]bool{}     // who leaves has written before
	morning := map[string]string{} // mobile numbers by userid
	for _, u := range users.List {
		known[strings.ToLower(u.UserID)] = true
		morning[u.UserID] = *u.Mobile
	}
	b.playDay()
	users.List = nil
	ask(wecomsim.KindLegacyApp, "GET", "user/list?department_id=1&fetch_child=1", "", &users)
	joined, renumbered := 0, 0
	for _, u := range users.List {
		was, ok := morning[u.UserID]
		delete(morning, u.UserID)
		if !ok {
			joined++
		} else if was != *u.Mobile && was != "" && *u.Mobile != "" {
			renumbered++
		}
	}
	if joined != 3 || len(morning) != 1 || renumbered != 1 {
		t.Errorf("%d have joined, %d have left, %d have another number", joined, len(morning), renumbered)
	}
	if n := len(users.List); n < 180 || n > 240 {
		t.Errorf("%d members", n)
	}
	status, heads, noMobile, seen := map[int]int{}, 0, 0, map[string]bool{}
	for _, u := range users.List {
		status[u.Status]++
		if slices.Contains(u.Leads, 1) {
			heads++
		}
		if *u.Mobile == "" {
			noMobile++
		}
		if u.UserID == "zhou.minghui" && *u.Mobile != "" {
			t.Error("zhou.minghui still has a mobile")
		}
		if seen[strings.ToLower(u.UserID)] {
			t.Errorf("%s is there twice", u.UserID)
		}
		seen[strings.ToLower(u.UserID)] = true
	}
	if status[1] < 150 || status[2] == 0 || status[4] < 5 || heads < 15 || noMobile < 3 {
		t.Errorf("status %v, %d heads, %d without mobile", status, heads, noMobile)
	}
	var rooms struct {
		List []struct {
			ID string `json:"chat_id"`
		} `json:"group_chat_list"`
	}
	ask(wecomsim.KindCustomer, "POST", "externalcontact/groupchat/list", `{"limit":100}`, &rooms)
	if len(rooms.List) != 6 {
		t.Errorf("%d customer groups", len(rooms.List))
	}
	// Everybody who writes is known to somebody.
	for id := range seen {
		known[id] = true
	}
	var follow struct {
		Users []string `json:"follow_user"`
	}
	ask(wecomsim.KindCustomer, "GET", "externalcontact/get_follow_user_list", "", &follow)
	for _, u := range follow.Users {
		var ext struct {
			IDs []string `json:"external_userid"`
		}
		ask(wecomsim.KindCustomer, "GET", "externalcontact/list?userid="+u, "", &ext)
		for _, id := range ext.IDs {
			known[strings.ToLower(id)] = true
		}
	}
	for _, m := range b.story(wecomsim.DemoCorp) {
		if m.From != "" && !known[strings.ToLower(m.From)] && !strings.HasPrefix(m.From, "wb") {
			t.Errorf("nobody knows %s", m.From)
		}
	}
}

func TestTheClockOfTheStoryDoesNotWriteIntoTheFuture(t *testing.T) {
	b := newBench(t)
	early := time.Date(2026, 3, 2, 0, 10, 0, 0, time.UTC)
	must(b.SetClock(b.ctx(), wecomsim.Clock{Now: &early}))(b)
	must(b.DemoStart(b.ctx(), wecomsim.DemoStart{}))(b)
	for range 6 {
		must(b.DemoStep(b.ctx(), wecomsim.DemoPlay{}))(b)
	}
	for _, m := range b.story(wecomsim.DemoCorp) {
		if m.Time > b.sim.Now().UnixMilli() {
			t.Fatalf("a message from the future: %s", m.raw)
		}
	}
}

func TestADaysStepsLieAheadOfTheClock(t *testing.T) {
	b := newBench(t)
	afternoon := time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC)
	must(b.SetClock(b.ctx(), wecomsim.Clock{Now: &afternoon}))(b)
	first := b.playDay()
	now := b.sim.Now()
	second := must(b.DemoStart(b.ctx(), wecomsim.DemoStart{}))(b)
	if first.Date != "2026-03-03" || first.Steps[0].At.Before(afternoon) || second.Date != "2026-03-04" || second.Steps[0].At.Before(now) {
		t.Errorf("on the afternoon of 2 March: %s from %s, then %s", first.Date, first.Steps[0].At, second.Date)
	}
}
