package objstore_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

func TestKeysAreAsTheArchiveHasThem(t *testing.T) {
	hash := strings.Repeat("0123456789abcdef", 2)
	for _, c := range []struct{ got, want string }{
		{objstore.BatchKey{Corp: "ww17f0", First: 7, Last: 1<<64 - 1, Hash: hash}.String(),
			"batches/corp=ww17f0/first=00000000000000000007-last=18446744073709551615-sha256=" + hash + ".json.gz"},
		{objstore.SegmentKey{Class: objstore.DefaultClass, Corp: "ww17f0", Day: "2026-02-28", BatchHash: hash, Slice: "00c1d2e3f4a5b697"}.String(),
			"segments/class=default/corp=ww17f0/day=2026-02-28/" + hash + "-00c1d2e3f4a5b697.jsonl.zst"},
		{objstore.MediaKey("ww17f0", hash), "media/corp=ww17f0/" + hash},
		{objstore.DirectoryKey("ww17f0", "2026-02-28", "members.json"), "directory/corp=ww17f0/2026-02-28/members.json"},
		{objstore.ConsentKey("ww17f0", "2026-02-28", "a/b"), "directory/consent/corp=ww17f0/2026-02-28/a!2Fb"},
		{objstore.ReportKey("ww17f0", "2026-02-28", "R1.json"), "reports/corp=ww17f0/day=2026-02-28/R1.json"},
		{objstore.MailKey("ww17f0", "2026-02-28", "a/b"), "mails/corp=ww17f0/day=2026-02-28/a!2Fb"},
		{objstore.HRFileKey("ww17f0", hash), "people/corp=ww17f0/" + hash + ".csv"},
		{objstore.MediaKey("../企 业!", "x"), "media/corp=..!2F!E4!BC!81!20!E4!B8!9A!21/x"},
	} {
		if c.got != c.want {
			t.Errorf("key %s, want %s", c.got, c.want)
		}
	}
}

func TestKeysReadBackAsTheyWereWritten(t *testing.T) {
	hash := rapid.StringMatching(`[0-9a-f]{32}`)
	rapid.Check(t, func(t *rapid.T) {
		corp := archive.CorpID(rapid.StringN(1, 40, -1).Draw(t, "corp"))
		batch := objstore.BatchKey{Corp: corp, First: archive.Seq(rapid.Uint64().Draw(t, "first")),
			Last: archive.Seq(rapid.Uint64().Draw(t, "last")), Hash: hash.Draw(t, "hash")}
		back, err := objstore.ParseBatchKey(batch.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(batch, back); diff != "" {
			t.Fatal(diff)
		}
		segment := objstore.SegmentKey{Class: rapid.StringN(1, 8, -1).Draw(t, "class"), Corp: corp, Day: "2026-02-28",
			BatchHash: hash.Draw(t, "batch"), Slice: rapid.StringMatching(`[0-9a-f]{16}`).Draw(t, "slice")}
		again, err := objstore.ParseSegmentKey(segment.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(segment, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParsedKeysAreTheOnesWritten(f *testing.F) {
	hash := strings.Repeat("ab", 16)
	f.Add(objstore.BatchKey{Corp: "ww 1/企", First: 1, Last: 2, Hash: hash}.String())
	f.Add(objstore.SegmentKey{Class: "standard", Corp: "ww1", Day: "2026-02-28", BatchHash: hash}.String())
	f.Add("batches/corp=!4A/first=00000000000000000001-last=00000000000000000002-sha256=" + hash + ".json.gz")
	f.Fuzz(func(t *testing.T, key string) {
		if k, err := objstore.ParseBatchKey(key); err == nil && k.String() != key {
			t.Errorf("%q was read as %q", key, k)
		}
		if k, err := objstore.ParseSegmentKey(key); err == nil && k.String() != key {
			t.Errorf("%q was read as %q", key, k)
		}
	})
}
