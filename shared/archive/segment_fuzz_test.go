package archive_test

import (
	"bytes"
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// FuzzSegment: a segment that can be read says the same when it is written and read again.
func FuzzSegment(f *testing.F) {
	for _, lines := range []string{
		"", "\n", `{"seq":1,"index":0,"msgid":"m","publickey_ver":1,"decoder":1,"action":"send","msgtype":"text","from":"ann","known":true,"raw_text":"{}"}` + "\n",
		`{"seq":2,"msgid":"n","raw":"/w=="}`, `{"seq":18446744073709551615,"msgtime":"2031-05-06T12:00:00Z","raw":""}`, `{"seq":-1}`, `[]`,
	} {
		f.Add([]byte(lines))
	}
	f.Fuzz(func(t *testing.T, lines []byte) {
		items, err := archive.DecodeSegment("wwtide", lines)
		if err != nil {
			return
		}
		written, err := archive.EncodeSegment(items)
		if err != nil {
			return // a time that no JSON can hold, for one
		}
		again, err := archive.DecodeSegment("wwtide", written)
		if err != nil {
			t.Fatalf("%q can't be read again: %v", written, err)
		}
		twice, err := archive.EncodeSegment(again)
		if err != nil || !bytes.Equal(written, twice) || len(again) != len(items) {
			t.Errorf("%q is written as %q and then as %q: %v", lines, written, twice, err)
		}
	})
}
