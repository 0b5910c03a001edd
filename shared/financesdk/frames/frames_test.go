package frames

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func everyMessage() []Message {
	return []Message{
		&Open{Version: Version, Lib: "/opt/lib/x.so", Corp: "wwcorp", Secret: "placeholder", Proxy: "http://127.0.0.1:1", Passwd: "u:p", Timeout: 15},
		&Open{},
		&ChatData{Seq: 1<<64 - 1, Limit: 1000},
		&Decrypt{Items: []Item{{Key: []byte("k"), Msg: "m"}, {Key: []byte{}, Msg: ""}, {Key: []byte("a\x00b"), Msg: "\xff\n"}}},
		&Decrypt{},
		&Media{Index: "Range:bytes=0-9", FileID: strings.Repeat("f", 1500)},
		&Ping{},
		&Ready{Version: Version, RSS: 9 << 20},
		&Failed{Word: WordMissing, Code: -7, Sentence: "there is no library"},
		&ChatDataAnswer{Code: 10001, Raw: []byte("{\x00}"), RSS: 3},
		&Mark{Index: 7},
		&Opened{Index: 7, Code: CodeTooLarge, Raw: []byte("raw")},
		&Done{RSS: 1 << 40},
		&MediaAnswer{Code: 0, Data: []byte{0, 1, 2}, Next: "n", Finished: true, RSS: 5},
		&Pong{RSS: 6},
	}
}

func TestEveryMessageSurvivesTheWay(t *testing.T) {
	var pipe bytes.Buffer
	for _, m := range everyMessage() {
		if err := Write(&pipe, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range everyMessage() {
		got, err := Read(&pipe)
		if err != nil {
			t.Fatalf("%T: %v", want, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%T (-sent +read):\n%s", want, diff)
		}
	}
	if _, err := Read(&pipe); !errors.Is(err, io.EOF) {
		t.Fatalf("after the last frame: %v, want EOF", err)
	}
}

// The layout is a promise to hosts that are built apart from the parent.
func TestLayoutStaysAsDocumented(t *testing.T) {
	got, err := Append(nil, &ChatData{Seq: 0x0102030405060708, Limit: 9})
	if err != nil {
		t.Fatal(err)
	}
	want := []byte{0, 0, 0, 13, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9}
	if !bytes.Equal(got, want) {
		t.Fatalf("got % x, want % x", got, want)
	}
}

func TestEveryCutFrameIsRefused(t *testing.T) {
	for _, m := range everyMessage() {
		whole, err := Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n < len(whole); n++ {
			if got, err := Read(bytes.NewReader(whole[:n])); err == nil {
				t.Errorf("%T cut to %d of %d bytes was read as %+v", m, n, len(whole), got)
			}
		}
	}
}

func TestMalformedFramesAreRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"length 0":              "\x00\x00\x00\x00",
		"length above MaxFrame": "\xff\xff\xff\xff\x05",
		"unknown kind":          "\x00\x00\x00\x01\x7f",
		"bytes too many":        "\x00\x00\x00\x02\x05\x00",
		"a list beyond its end": "\x00\x00\x00\x05\x03\xff\xff\xff\xff",
		"a string beyond":       "\x00\x00\x00\x09\x04\x00\x00\x00\x09\x00\x00\x00\x00",
		"a bool of 2":           "\x00\x00\x00\x16\x87\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := Read(strings.NewReader(raw)); err == nil {
				t.Fatalf("was read as %+v", m)
			}
		})
	}
}

func TestFrameThatClaimsMuchAllocatesLittle(t *testing.T) {
	raw := []byte{0x07, 0xff, 0xff, 0xff, kindPing}
	avg := testing.AllocsPerRun(5, func() {
		if _, err := Read(bytes.NewReader(raw)); err == nil {
			t.Error("a cut frame was read")
		}
	})
	if avg > 20 {
		t.Errorf("%v allocations", avg)
	}
}

func TestMessageAboveMaxFrameIsNotWritten(t *testing.T) {
	var pipe bytes.Buffer
	err := Write(&pipe, &ChatDataAnswer{Raw: make([]byte, MaxFrame)})
	if !errors.Is(err, ErrTooLarge) || pipe.Len() != 0 {
		t.Fatalf("error %v after %d bytes", err, pipe.Len())
	}
}

// What can be read has one spelling, and that is the one which is written.
func FuzzRead(f *testing.F) {
	for _, m := range everyMessage() {
		b, err := Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bytes.NewReader(raw)
		m, err := Read(r)
		if err != nil {
			return
		}
		back, err := Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		if used := raw[:len(raw)-r.Len()]; !bytes.Equal(used, back) {
			t.Fatalf("% x came back as % x", used, back)
		}
	})
}
