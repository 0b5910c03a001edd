package archive_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// TestSegmentsKeepEveryByte holds the record against any bytes that the library may return, whether they are text or not.
func TestSegmentsKeepEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var items []archive.SegmentItem
		for range rapid.IntRange(0, 6).Draw(t, "items") {
			m := archive.Message{
				Corp: "wwtide", Seq: archive.Seq(rapid.Uint64().Draw(t, "seq")), MsgID: archive.MsgID(rapid.String().Draw(t, "msgid")),
				KeyVersion: archive.KeyVersion(rapid.Uint32().Draw(t, "version")), Action: archive.Action(rapid.SampledFrom([]string{"", "send", "recall", "<&>"}).Draw(t, "action")),
				Type: rapid.String().Draw(t, "type"), From: archive.PartyID(rapid.String().Draw(t, "from")), Room: archive.RoomID(rapid.String().Draw(t, "room")),
				Text: rapid.String().Draw(t, "text"), Known: rapid.Bool().Draw(t, "known"), Raw: rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) })).Draw(t, "raw"),
			}
			if ms := rapid.Int64Range(0, 253402300799999).Draw(t, "time"); ms > 0 {
				m.Time = time.UnixMilli(ms).UTC()
			}
			for range rapid.IntRange(0, 2).Draw(t, "media") {
				m.Media = append(m.Media, archive.Media{FileID: archive.FileID(rapid.String().Draw(t, "file")), Size: rapid.Uint64().Draw(t, "size"), Name: "帆.png"})
			}
			items = append(items, archive.SegmentItem{Message: m, Index: rapid.IntRange(0, 999).Draw(t, "index"), Decoder: 1})
		}
		lines, err := archive.EncodeSegment(items)
		if err != nil {
			t.Fatal(err)
		}
		again, err := archive.EncodeSegment(items)
		if err != nil || !bytes.Equal(lines, again) {
			t.Fatalf("the same items give other bytes: %v", err)
		}
		if n := bytes.Count(lines, []byte("\n")); n != len(items) {
			t.Fatalf("%d items are %d lines", len(items), n)
		}
		back, err := archive.DecodeSegment("wwtide", lines)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(items, back, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		for i := range back {
			if back[i].Message.RawSHA256() != items[i].Message.RawSHA256() {
				t.Fatal("the hash of the decrypted bytes changed")
			}
		}
	})
}

// TestSegmentsOfTheFirstVersionAreRead: they hold the decrypted bytes in base64, whatever they are.
func TestSegmentsOfTheFirstVersionAreRead(t *testing.T) {
	first := `{"seq":7,"index":2,"msgid":"m7","publickey_ver":3,"decoder":1,"action":"send","msgtype":"text","text":"潮","known":true,"raw":"eyJtc2dpZCI6Im03In0="}` + "\n"
	items, err := archive.DecodeSegment("wwtide", []byte(first))
	if err != nil || len(items) != 1 || string(items[0].Message.Raw) != `{"msgid":"m7"}` || items[0].Message.Text != "潮" || items[0].Index != 2 {
		t.Errorf("%+v: %v", items, err)
	}
}

// TestASegmentOfALaterFormatIsRefusedByName: each line bears the mark, and lines without one are of format 1.
func TestASegmentOfALaterFormatIsRefusedByName(t *testing.T) {
	items := []archive.SegmentItem{{Message: archive.Message{Corp: "wwtide", Seq: 1, Raw: []byte("a")}}, {Message: archive.Message{Corp: "wwtide", Seq: 2, Raw: []byte("b")}}}
	lines, err := archive.EncodeSegment(items)
	if err != nil || bytes.Count(lines, []byte(`{"format":1,"seq":`)) != 2 {
		t.Fatalf("%s: %v", lines, err)
	}
	unmarked, err := archive.EncodeUnmarkedSegment(items)
	if err != nil || !bytes.Equal(unmarked, bytes.ReplaceAll(lines, []byte(`"format":1,`), nil)) {
		t.Fatalf("%s: %v", unmarked, err)
	}
	for _, readable := range [][]byte{lines, unmarked} {
		if back, err := archive.DecodeSegment("wwtide", readable); err != nil || cmp.Diff(items, back) != "" {
			t.Errorf("%+v: %v", back, err)
		}
	}
	for _, mark := range []string{`"format":2`, `"format":-1`, `"format":99`} {
		later := append(slices.Clone(lines[:len(lines)/2]), bytes.Replace(lines[len(lines)/2:], []byte(`"format":1`), []byte(mark), 1)...)
		_, err := archive.DecodeSegment("wwtide", later)
		if !errors.Is(err, archive.ErrSegmentFormat) || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "formats up to 1") {
			t.Errorf("%s: %v", mark, err)
		}
	}
}

func TestADamagedSegmentSaysWhichLine(t *testing.T) {
	lines, err := archive.EncodeSegment([]archive.SegmentItem{{Message: archive.Message{Seq: 1, Raw: []byte("a")}}, {Message: archive.Message{Seq: 2, Raw: []byte("b")}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{1, 3, len(lines) / 4} {
		if _, err := archive.DecodeSegment("wwtide", lines[:len(lines)-cut-1]); err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "wwtide") {
			t.Errorf("cut by %d: %v", cut, err)
		}
	}
}

func TestDifferentCorpsHaveDifferentKeyParts(t *testing.T) {
	seen := map[string]archive.CorpID{}
	check := func(t interface{ Fatalf(string, ...any) }, id archive.CorpID) {
		part := id.KeyPart()
		if other, taken := seen[part]; taken && other != id {
			t.Fatalf("%q and %q are both %q", id, other, part)
		}
		seen[part] = id
		if strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.=") != "" {
			t.Fatalf("%q is %q", id, part)
		}
	}
	for _, id := range []archive.CorpID{"ww1", "ww#1", "ww=231", "ww/1", "ww=2F1", "", "=", "=3D", "公司", " ww1"} {
		check(t, id)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, archive.CorpID(rapid.StringOfN(rapid.RuneFrom([]rune("=23DFa#/ ")), 0, 6, -1).Draw(t, "id")))
	})
}

func TestAConversationIsNamedByItsRoomOrItsParties(t *testing.T) {
	ab := archive.Message{From: "bo", To: []archive.PartyID{"an", "bo", ""}}
	ba := archive.Message{From: "an", To: []archive.PartyID{"bo"}}
	if ab.Conversation() != ba.Conversation() || !strings.HasPrefix(ab.Conversation(), "p:") {
		t.Errorf("the two directions are %s and %s", ab.Conversation(), ba.Conversation())
	}
	if abc := (archive.Message{From: "an", To: []archive.PartyID{"bo", "cy"}}); abc.Conversation() == ab.Conversation() {
		t.Error("a third party changes nothing")
	}
	if room := (archive.Message{From: "an", Room: "wr1"}); room.Conversation() != "wr1" {
		t.Errorf("the room's is %s", room.Conversation())
	}
	if nobody := (archive.Message{}); nobody.Conversation() != "-" {
		t.Errorf("nobody's is %s", nobody.Conversation())
	}
}
