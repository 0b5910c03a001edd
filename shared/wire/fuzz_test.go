package wire_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/wire"
)

// clean fails the test if s could not be shown to a person: control bytes other than line feed and tab, or bytes that are no UTF-8.
func clean(t interface{ Errorf(string, ...any) }, what, s string) {
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }); i >= 0 {
		t.Errorf("%s holds control byte %#x", what, s[i])
	}
	if !utf8.ValidString(s) {
		t.Errorf("%s is not UTF-8", what)
	}
}

func checkMessage(t interface{ Errorf(string, ...any) }, m archive.Message, raw string) {
	if string(m.Raw) != raw {
		t.Errorf("raw changed")
	}
	clean(t, "text", m.Text)
	clean(t, "msgid", string(m.MsgID))
	clean(t, "from", string(m.From))
	clean(t, "recall of", string(m.RecallOf))
	for _, f := range m.Media {
		if f.FileID == "" {
			t.Errorf("an attachment has no file id")
		}
		clean(t, "file id", string(f.FileID))
		clean(t, "file name", f.Name)
	}
	if y := m.Time.Year(); !m.Time.IsZero() && (y < 1970 || y > 9999) {
		t.Errorf("the year is %d", y)
	}
}

func FuzzDecode(f *testing.F) {
	for _, file := range fixtures(f) {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("\xef\xbb\xbf{\"msgtype\":\"text\",\"text\":{\"content\":\"a\x01\\ud800\"}}\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := string(raw)
		m, err := wire.Decode("wwcorp", archive.ChatData{Seq: 3}, raw)
		if string(raw) != before {
			t.Fatal("the input was written to")
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) == nil && object != nil && err != nil {
			t.Fatalf("encoding/json reads an object, Decode says %v", err)
		}
		if err != nil {
			return
		}
		checkMessage(t, m, before)
		again, err := wire.Decode("wwcorp", archive.ChatData{Seq: 3}, m.Raw)
		if err != nil {
			t.Fatalf("a second reading fails: %v", err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("a second reading differs:\n%s", diff)
		}
	})
}

// FuzzTextAgreesWithEncodingJSON compares strings with the standard library's reading of them.
func FuzzTextAgreesWithEncodingJSON(f *testing.F) {
	f.Add(`a\ud83d\ude00\n\/\\`)
	f.Add("\xffé\\u0041")
	f.Add("\xcc\\b\xb1")
	f.Fuzz(func(t *testing.T, literal string) {
		var want string
		if json.Unmarshal([]byte(`"`+literal+`"`), &want) != nil {
			return
		}
		want = strings.Map(func(r rune) rune {
			if r < ' ' && r != '\n' && r != '\t' {
				return -1
			}
			return r
		}, want)
		if got := decode(t, `{"msgtype":"text","text":{"content":"`+literal+`"}}`).Text; got != want {
			t.Errorf("%q reads as %q, want %q", literal, got, want)
		}
	})
}

// TestWhatPeopleWroteComesBack writes messages of random words and finds every word again, in order, and never an id of a file.
func TestWhatPeopleWroteComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[^\x00-\x1f]{1,12}`), 1, 6).Draw(t, "words")
		var items []map[string]any
		for i, w := range words {
			content := map[string]any{"content": w}
			kind := rapid.SampledFrom([]string{"text", "ChatRecordText", "markdown"}).Draw(t, "kind")
			if rapid.Bool().Draw(t, "file") {
				kind, content = "ChatRecordFile", map[string]any{"filename": w, "sdkfileid": "FILE" + strings.Repeat("x", i)}
			}
			items = append(items, map[string]any{"type": kind, "content": marshal(t, content)})
		}
		record := map[string]any{"item": items}
		for range rapid.IntRange(0, 4).Draw(t, "levels") {
			record = map[string]any{"item": []any{map[string]any{"type": "chatrecord", "content": marshal(t, record)}}}
		}
		raw := marshal(t, map[string]any{"action": "send", "msgtype": "chatrecord", "chatrecord": record})
		m, err := wire.Decode("wwcorp", archive.ChatData{}, []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		checkMessage(t, m, raw)
		if want := strings.Join(words, "\n"); m.Text != want {
			t.Fatalf("text is %q, want %q", m.Text, want)
		}
	})
}

// TestNoiseBetweenTokensChangesNothing puts control bytes wherever JSON has no characters of its own.
func TestNoiseBetweenTokensChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := `{"msgid":"m","action":"send","from":"ada","tolist":["lin","li"],"msgtype":"text","text":{"content":"some words"}}`
		want, err := wire.Decode("wwcorp", archive.ChatData{}, []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		var noisy strings.Builder
		for _, c := range []byte(raw) {
			noisy.WriteByte(c)
			if rapid.IntRange(0, 9).Draw(t, "at") == 0 {
				noisy.WriteByte(rapid.ByteRange(0, 31).Draw(t, "noise"))
			}
		}
		got, err := wire.Decode("wwcorp", archive.ChatData{}, []byte(noisy.String()))
		if err != nil {
			t.Fatal(err)
		}
		got.Raw, want.Raw = nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: -want +got:\n%s", noisy.String(), diff)
		}
	})
}

func marshal(t *rapid.T, v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(rapid.Bool().Draw(t, "escape"))
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func benchmark(b *testing.B, file string) {
	raw, err := os.ReadFile("testdata/types/" + file)
	if err != nil {
		b.Fatal(err)
	}
	item := archive.ChatData{Seq: 1, MsgID: "m", KeyVersion: 1}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode("wwcorp", item, raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeText is held to 15 µs.
func BenchmarkDecodeText(b *testing.B) { benchmark(b, "text.json") }

func BenchmarkDecodeRecord(b *testing.B) { benchmark(b, "chatrecord.json") }
