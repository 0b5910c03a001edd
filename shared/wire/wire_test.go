package wire_test

import (
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/wire"
)

func decode(t testing.TB, raw string) archive.Message {
	t.Helper()
	m, err := wire.Decode("wwcorp", archive.ChatData{Seq: 7, MsgID: "m-7", KeyVersion: 2}, []byte(raw))
	if err != nil {
		t.Fatalf("decode %q: %v", raw, err)
	}
	if string(m.Raw) != raw {
		t.Fatalf("raw is %q, want %q", m.Raw, raw)
	}
	return m
}

func TestOnlyBytesThatAreNoObjectFail(t *testing.T) {
	for _, raw := range []string{"", "  ", "null", "[]", `"{}"`, "12", "hello", `{"msgid":"a"`, `{"a":1}{"b":2}`, `{"a":"`, `{"a":1,}`, `{a:1}`, "\xff\xfe{}"} {
		_, err := wire.Decode("wwcorp", archive.ChatData{Seq: 9}, []byte(raw))
		if fault.KindOf(err) != fault.Poison || fault.ReasonOf(err) != wire.ReasonUndecodable {
			t.Errorf("decode %q: %v, want poison for %s", raw, err, wire.ReasonUndecodable)
		}
	}
	for _, raw := range []string{"{}", "\xef\xbb\xbf{}", "\x00 {} \n\x00\x00"} {
		if m := decode(t, raw); m.Known || m.MsgID != "m-7" {
			t.Errorf("decode %q: known %v, msgid %q", raw, m.Known, m.MsgID)
		}
	}
}
