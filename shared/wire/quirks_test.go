package wire_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/wire"
)

func TestOnlyBytesThatAreNoObjectFail(t *testing.T) {
	for _, raw := range []string{
		"", "  ", "null", "[]", `"{}"`, "12", "hello-canary", `{"msgid":"canary"`, `{"a":1}{"canary":2}`, `{"a":"canary`, `{"canary":1,}`,
		`{canary:1}`, `{"a":canary}`, `{"a" "canary"}`, `{"a":[1 2]}`, "\xff\xfe{}",
		strings.Repeat(`{"a":`, 100_000), strings.Repeat("[", 100_000),
	} {
		_, err := wire.Decode("wwcorp", archive.ChatData{Seq: 9}, []byte(raw))
		if fault.KindOf(err) != fault.Poison || fault.ReasonOf(err) != wire.ReasonUndecodable {
			t.Errorf("decode %.40q: %v, want poison for %s", raw, err, wire.ReasonUndecodable)
			continue
		}
		if s := err.Error(); strings.Contains(s, "canary") || !strings.Contains(s, "seq 9") || !strings.Contains(s, "wwcorp") {
			t.Errorf("decode %.40q: the error %q shows content, or not what it is about", raw, s)
		}
	}
	for _, raw := range []string{"{}", "\xef\xbb\xbf{}", "\x00 {} \n\x00\x00", "\t{\x01}\r\n"} {
		if m := decode(t, raw); m.Known || m.Text != "" || m.Media != nil {
			t.Errorf("decode %q: %+v", raw, m)
		}
	}
}

func TestMessageOwnsItsBytes(t *testing.T) {
	raw := []byte(`{"msgtype":"text","text":{"content":"mine"}}`)
	m, err := wire.Decode("wwcorp", archive.ChatData{}, raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if m.Text != "mine" || !strings.Contains(string(m.Raw), "mine") {
		t.Errorf("text %q, raw %q after the caller reused its bytes", m.Text, m.Raw)
	}
}

func TestItemsMsgIDGoesBeforeTheOpenedOne(t *testing.T) {
	raw := []byte(`{"msgid":"inside"}`)
	for item, want := range map[archive.MsgID]archive.MsgID{"outside": "outside", "": "inside"} {
		m, err := wire.Decode("wwcorp", archive.ChatData{Seq: 1 << 63, MsgID: item, KeyVersion: 4}, raw)
		if err != nil || m.MsgID != want || m.Seq != 1<<63 || m.KeyVersion != 4 || m.Corp != "wwcorp" {
			t.Errorf("item %q: %+v, %v; want msgid %q", item, m, err, want)
		}
	}
}

// text wraps a JSON value as the content of a text message.
func textOf(t *testing.T, content string) string {
	t.Helper()
	return decode(t, `{"action":"send","msgtype":"text","text":{"content":`+content+`}}`).Text
}

func TestTextIsUnchangedButForControlBytes(t *testing.T) {
	for content, want := range map[string]string{
		`"plain"`:                         "plain",
		`"  kept  \n"`:                    "  kept  \n",
		`"a\tb\nc"`:                       "a\tb\nc",
		"\"a\x01b\x0b\x00c\"":             "abc",
		"\"raw\nline\"":                   "rawline",
		`"a\u0001b\r\n\b\f\u0000\u000ac"`: "ab\n\nc",
		`"\ud83d\ude00 \u4e2d"`:           "😀 中",
		`"\ud83d lone \ude00"`:            "\uFFFD lone \uFFFD",
		`"\ud83d\u0041"`:                  "\uFFFDA",
		"\"bad \xff\xfe utf-8 \xe4\xb8\"": "bad \uFFFD\uFFFD utf-8 \uFFFD\uFFFD",
		"\"\xe4\x02\xb8\xad\"":            "中",
		"\"\xcc\\b\xb1\\u0001\xb1\"":      "\uFFFD\uFFFD\uFFFD",
		`"\q \u12 C:\\new\/"`:             `\q \u12 C:\new/`,
		"\"\\\x01n\"":                     `\n`,
		"\"\x7f\u0085\"":                  "\x7f\u0085",
		`"{\"content\":\"typed\"}"`:       `{"content":"typed"}`,
		`12345`:                           "12345",
		`["one","two"]`:                   "one\ntwo",
		`{"content":"nested"}`:            "nested",
		`null`:                            "",
		`true`:                            "",
		`""`:                              "",
	} {
		if got := textOf(t, content); got != want {
			t.Errorf("content %s gives %q, want %q", content, got, want)
		}
	}
}

func TestPayloadOfAnUnexpectedTypeLosesNothingElse(t *testing.T) {
	for payload, want := range map[string]string{
		`"text":"bare"`:                             "bare",
		`"text":"{\"content\":\"wrapped\"}"`:        "wrapped",
		`"text":"{\"typed\":1}"`:                    `{"typed":1}`,
		`"text":["a",{"content":"b"}]`:              "a\nb",
		`"text":null,"info":{"content":"c"}`:        "c",
		`"content":"at the top"`:                    "at the top",
		`"text":7`:                                  "7",
		`"text":{"content":"x","content":"y"}`:      "x\ny",
		`"text":{"content":"x","quote":{"text":1}}`: "x\n1",
	} {
		m := decode(t, `{"msgid":"m","action":"send","from":"ada","tolist":["lin"],"roomid":"wr1","msgtime":1795123200001,"msgtype":"text",`+payload+`}`)
		if m.Text != want || m.MsgID != "m" || m.From != "ada" || len(m.To) != 1 || m.Room != "wr1" || !m.Known || m.Time.UnixMilli() != 1795123200001 {
			t.Errorf("payload %s: %+v, want text %q", payload, m, want)
		}
	}
}

func TestEnvelopeReadsNumbersAndStringsAlike(t *testing.T) {
	m := decode(t, `{"msgid":12,"action":"send","from":10000000001,"tolist":[10000000002,"lin","","lin",null,{"a":1}],"roomid":null,"msgtime":"1795123200001","msgtype":"text","msgtype":"image"}`)
	want := reading{MsgID: "12", Action: "send", Type: "image", Known: true, Time: "2026-11-19T21:20:00.001Z", From: "10000000001",
		To: []archive.PartyID{"10000000002", "lin", "lin"}, Text: []string{""}}
	if diff := cmp.Diff(want, read(m)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if m := decode(t, `{"tolist":"lin"}`); !cmp.Equal(m.To, []archive.PartyID{"lin"}) {
		t.Errorf("one receiver without an array: %v", m.To)
	}
	if m := decode(t, `{"tolist":{"a":"lin"},"from":["x"],"msgtype":{},"action":[],"msgid":true}`); m.To != nil || m.From != "" || m.Type != "" || m.MsgID != "" {
		t.Errorf("unexpected types: %+v", m)
	}
}

func TestTimesAreMillisecondsUnlessTheyMustBeSeconds(t *testing.T) {
	for in, want := range map[string]string{
		`1795123200001`:        "2026-11-19T21:20:00.001Z",
		`"1795123200001"`:      "2026-11-19T21:20:00.001Z",
		`1.795123200001e12`:    "2026-11-19T21:20:00.001Z",
		`1795123200`:           "2026-11-19T21:20:00.000Z",
		`0`:                    "",
		`"0"`:                  "",
		`-5`:                   "",
		`null`:                 "",
		`"soon"`:               "",
		`253402300799999`:      "9999-12-31T23:59:59.999Z",
		`253402300800000`:      "",
		`18446744073709551615`: "",
		`1e300`:                "",
		`{}`:                   "",
	} {
		if got := stamp(decode(t, `{"msgtime":`+in+`}`).Time); got != want {
			t.Errorf("msgtime %s is %q, want %q", in, got, want)
		}
	}
	if m := decode(t, `{}`); !m.Time.IsZero() {
		t.Errorf("no msgtime is %v", m.Time)
	}
}

func TestSwitchTakesItsUserAndTime(t *testing.T) {
	m := decode(t, `{"msgid":"s","action":"switch","time":"1795123200","user":10000000001,"msgtype":"odd"}`)
	if m.Type != "" || !m.Known || m.From != "10000000001" || m.Time != time.Unix(1795123200, 0).UTC() || m.Text != "" {
		t.Errorf("%+v", m)
	}
	m = decode(t, `{"action":"switch","from":"ada","msgtime":1795123200000}`)
	if m.From != "ada" || m.Time.IsZero() {
		t.Errorf("a switch with an ordinary envelope: %+v", m)
	}
}

func TestRecallNamesTheMessageWhateverTheNesting(t *testing.T) {
	for _, raw := range []string{
		`{"action":"recall","msgtype":"revoke","revoke":{"pre_msgid":"old"}}`,
		`{"action":"recall","msgtype":"revoke","pre_msgid":"old"}`,
		`{"action":"recall","msgtype":"revoke","info":{"revoke":[{"pre_msgid":"old"}]}}`,
		`{"action":"recall","msgtype":"revoke","revoke":"{\"pre_msgid\":\"old\"}"}`,
		`{"action":"recall","msgtype":"undo","undo":{"pre_msgid":"old"}}`,
		`{"action":"send","msgtype":"revoke","revoke":{"pre_msgid":"old"}}`,
	} {
		if m := decode(t, raw); m.RecallOf != "old" {
			t.Errorf("%s recalls %q", raw, m.RecallOf)
		}
	}
	if m := decode(t, `{"action":"send","msgtype":"text","text":{"content":"x","pre_msgid":"old"}}`); m.RecallOf != "" {
		t.Errorf("a text recalls %q", m.RecallOf)
	}
}

func TestConsentFallsBackToSenderAndMessageTime(t *testing.T) {
	at := time.UnixMilli(1795123200001).UTC()
	for raw, want := range map[string]archive.Consent{
		`{"msgtype":"agree","from":"wm1","msgtime":1795123200001}`:                                                   {Party: "wm1", Agree: true, Time: at},
		`{"msgtype":"disagree","from":"wm1","disagree":{"userid":"wm2","disagree_time":1795123200001}}`:              {Party: "wm2", Time: at},
		`{"msgtype":"disagree","from":"wm1","msgtime":1,"disagree":{"userid":"wm2","agree_time":"1795123200001"}}`:   {Party: "wm2", Time: at},
		`{"msgtype":"agree","from":"wm1","msgtime":1795123200001,"agree":{"userid":"","agree_time":0}}`:              {Party: "wm1", Agree: true, Time: at},
		`{"msgtype":"agree","from":"wm1","agree":{"disagree_time":1,"agree_time":1795123200001},"userid":"wmOther"}`: {Party: "wmOther", Agree: true, Time: at},
	} {
		if m := decode(t, raw); !cmp.Equal(m.Consents, []archive.Consent{want}) {
			t.Errorf("%s says %+v, want %+v", raw, m.Consents, want)
		}
	}
}

func TestMediaIsFoundWhereverItStands(t *testing.T) {
	for raw, want := range map[string][]archive.Media{
		`{"msgtype":"image","image":{"sdkfileid":"f","filesize":"18446744073709551615","md5sum":"ABCDEF"}}`: {{FileID: "f", Size: 1<<64 - 1, MD5: "abcdef", Kind: "image"}},
		`{"msgtype":"image","sdkfileid":"f","filesize":-1}`:                                                 {{FileID: "f", Kind: "image"}},
		`{"msgtype":"image","image":{"sdkFileId":"f","filesize":18446744073709551616}}`:                     {{FileID: "f", Kind: "image"}},
		`{"msgtype":"image","image":"{\"sdkfileid\":\"f\"}"}`:                                               {{FileID: "f", Kind: "image"}},
		`{"msgtype":"text","text":{"content":"x","more":[[{"sdkfileid":"f","filename":"n"}]]}}`:             {{FileID: "f", Name: "n", Kind: "text"}},
		`{"msgtype":"mixed","mixed":{"item":[{"type":"image","sdkfileid":"f"},{"type":"image","content":{"sdkfileid":"g"}},{"type":"file","content":"{\"sdkfileid\":\"f\"}"}]}}`: {
			{FileID: "f", Kind: "image"}, {FileID: "g", Kind: "image"}, {FileID: "f", Kind: "file"}},
		`{"msgtype":"mixed","mixed":{"item":{"type":"image","content":"{\"sdkfileid\":\"f\"}"}}}`: {{FileID: "f", Kind: "image"}},
		`{"msgtype":"chatrecord","chatrecord":{"item":[{"type":"chatrecord","content":"[{\"type\":\"ChatRecordVoice\",\"content\":\"{\\\"sdkfileid\\\":\\\"f\\\"}\"}]"}]}}`: {
			{FileID: "f", Kind: "voice"}},
		`{"msgtype":"new","new":{"body":"{\"file\":{\"sdkfileid\":\"f\"}}"}}`: {{FileID: "f", Kind: "new"}},
		`{"msgtype":"image","image":{"sdkfileid":""}}`:                        nil,
		`{"msgtype":"image","image":{"sdkfileid":null}}`:                      nil,
	} {
		if m := decode(t, raw); !cmp.Equal(m.Media, want) {
			t.Errorf("%s holds %+v, want %+v", raw, m.Media, want)
		}
	}
}

// nest puts a record into a record, as WeCom does: a string in a string each time.
func nest(inner string, levels int) string {
	for range levels {
		inner = fmt.Sprintf(`{"title":"level","item":[{"type":"chatrecord","msgtime":1795120000,"content":%q}]}`, inner)
	}
	return inner
}

func TestRecordsInRecordsAreReadToTheInnermost(t *testing.T) {
	inner := `{"title":"bottom","item":[{"type":"ChatRecordFile","content":"{\"filename\":\"deep.pdf\",\"sdkfileid\":\"f\"}"}]}`
	m := decode(t, `{"msgtype":"chatrecord","chatrecord":`+nest(inner, 12)+`}`)
	if want := strings.Repeat("level\n", 12) + "bottom\ndeep.pdf"; m.Text != want {
		t.Errorf("text is %q, want %q", m.Text, want)
	}
	if len(m.Media) != 1 || m.Media[0].Name != "deep.pdf" || m.Media[0].Kind != "file" {
		t.Errorf("media is %+v", m.Media)
	}
}

func TestWhatIsTooDeepStaysSearchable(t *testing.T) {
	deep := func(levels int) string {
		return `{"msgtype":"chatrecord","chatrecord":` + strings.Repeat(`{"item":[`, levels) + `{"content":"at the ` + "\x01" + `bottom"}` + strings.Repeat(`]}`, levels) + `}`
	}
	if m := decode(t, deep(32)); m.Text != "at the bottom" {
		t.Errorf("32 levels: %q", m.Text)
	}
	if m := decode(t, deep(100_000)); !strings.Contains(m.Text, "at the bottom") || m.Text[0] != '{' && m.Text[0] != '[' {
		t.Errorf("100,000 levels: the text begins with %.40q", m.Text)
	}
}

func TestUnknownTypeIsKeptAndSearchable(t *testing.T) {
	raw := `{"msgid":"u","action":"send","from":"ada","tolist":["lin"],"msgtime":1795123200001,"msgtype":"plan","plan":{"plan_id":"p1","version":"2","lines":["sow","reap"],"typed":"[1, {\"a\":2}]","owner":"林梅","picurl":"https://example.com/p","page":"https://example.com/` + strings.Repeat("a", 90) + `","blob":"` + strings.Repeat("QUJD", 30) + `"}}`
	m := decode(t, raw)
	if want := "sow\nreap\n[1, {\"a\":2}]\n林梅\nhttps://example.com/" + strings.Repeat("a", 90); m.Known || m.Type != "plan" || m.Text != want {
		t.Errorf("known %v, type %q, text %q; want %q", m.Known, m.Type, m.Text, want)
	}
}
