package archive

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func plainAnswer(items int) []byte {
	var b strings.Builder
	b.WriteString(`{"errcode":0,"errmsg":"ok","chatdata":[`)
	for i := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"seq":%d,"msgid":"m%d_external","publickey_ver":3,"encrypt_random_key":"%s","encrypt_chat_msg":"%s"}`, 9007199254740993+i, i,
			strings.Repeat("aK3/", 86), strings.Repeat("Qz+1", 170))
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

// TestWhatWeComWritesIsPlain keeps the fast way in use: without it everything still works, and slowly.
func TestWhatWeComWritesIsPlain(t *testing.T) {
	for _, raw := range []string{
		string(plainAnswer(3)), `{"errcode":0,"errmsg":"ok","chatdata":[]}`, " {\n\"chatdata\" : [ ] , \"errcode\" : 0 }\r\n",
		`{"errcode":0,"errmsg":"ok","chatdata":[{"encrypt_chat_msg":"m","encrypt_random_key":"k","publickey_ver":0,"msgid":"","seq":18446744073709551615}]}`,
	} {
		if _, ok := plainBatch([]byte(raw), 0); !ok {
			t.Errorf("%.80s was left to the full reader", raw)
		}
	}
}

// FuzzPlainBatch holds the fast reader against the full one: what the fast one takes, the full one reads the same way.
func FuzzPlainBatch(f *testing.F) {
	item := `{"seq":8,"msgid":"m8","publickey_ver":3,"encrypt_random_key":"cms=","encrypt_chat_msg":"bXNn"}`
	around := func(items string) string { return `{"errcode":0,"errmsg":"ok","chatdata":[` + items + `]}` }
	for _, raw := range []string{
		around(item), around(""), around(item + "," + strings.Replace(item, "8", "9", 1)), around(item + "," + item), around(item + ","), around(strings.Replace(item, "8", "08", 1)),
		around(strings.Replace(item, "m8", `m\u0038`, 1)), around(strings.Replace(item, "m8", "m\xff", 1)), around(strings.Replace(item, "m8", "m\t", 1)),
		around(strings.Replace(item, `"seq"`, `"Seq"`, 1)), around(strings.Replace(item, "3", "4294967296", 1)), around(strings.Replace(item, "8", "8.0", 1)),
		around(strings.Replace(item, "8", "8e1", 1)), around(strings.Replace(item, "8", "-8", 1)), around(strings.Replace(item, `"seq":8`, `"seq":8,"seq":9`, 1)),
		`{"errcode":0,"chatdata":[` + item + `]}x`, `{"errcode":0,"chatdata":[` + item + `]`, `{"errcode":1,"chatdata":[]}`, `{"errcode":0,"errcode":1,"chatdata":[]}`, string(plainAnswer(2)),
	} {
		f.Add([]byte(raw), uint64(0))
		f.Add([]byte(raw), uint64(8))
	}
	f.Fuzz(func(t *testing.T, raw []byte, after uint64) {
		fast, ok := plainBatch(raw, Seq(after))
		if !ok {
			return
		}
		full, err := parseBatch(raw, Seq(after))
		if err != nil {
			t.Fatalf("the fast reader took what the full one refuses: %v", err)
		}
		if diff := cmp.Diff(full, fast); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkParseBatch(b *testing.B) {
	raw := plainAnswer(1000)
	for name, read := range map[string]func([]byte, Seq) (Batch, error){"plain": ParseBatch, "full": parseBatch} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if batch, err := read(raw, 0); err != nil || len(batch.Items) != 1000 {
					b.Fatal(len(batch.Items), err)
				}
			}
		})
	}
}
