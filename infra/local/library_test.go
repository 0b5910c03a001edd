package main_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sealed gives a message's cipher text without adding it to the items, so that a test can make an item of its own shape.
func (l *library) sealed(version uint32) (key string) {
	l.t.Helper()
	wrapped, err := rsa.EncryptPKCS1v15(rand.Reader, &l.key(version).PublicKey, []byte("0123456789abcdef0123456789abcdef")) //nolint:staticcheck // WeCom's padding
	if err != nil {
		l.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(wrapped)
}

// file puts a file beside the library.
func (l *library) file(name string, content []byte) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), content, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// attachment is a file message.
func attachment(fileID, name string, size int) string {
	return fmt.Sprintf(`{"msgid":"f","action":"send","from":"li.wei","tolist":["chen.jie"],"msgtime":1795000001000,"msgtype":"file","file":{"md5sum":"","filename":%q,"fileext":"bin","filesize":%d,"sdkfileid":%q}}`, name, size, fileID)
}

// archive runs the program over the library and returns its exit code, what it printed, and the archive's account.
func (l *library) archive(data string, held []uint32, more ...string) (int, string, []line) {
	l.t.Helper()
	corp := "wwlib"
	args := append(l.write(held...), "-once", "-data", data, "-corp", corp)
	code, out := play(l.t, append(args, more...)...)
	return code, out, messages(l.t, data, corp)
}

// wantCounts compares the account with what was handed out.
func wantCounts(t *testing.T, lines []line, archived, aside, pending int) {
	t.Helper()
	n := byState(lines)
	if n["archived"] != archived || n["set aside"] != aside || n["pending"] != pending {
		t.Errorf("archived %d, set aside %d, pending %d; want %d, %d and %d", n["archived"], n["set aside"], n["pending"], archived, aside, pending)
	}
}

func wantExit(t *testing.T, code, want int, out string) {
	t.Helper()
	if code != want {
		t.Errorf("exit %d, want %d", code, want)
	}
	if last := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]; !strings.HasPrefix(last, "Result: ") || !strings.Contains(last, fmt.Sprintf("(exit %d)", want)) {
		t.Errorf("the last line does not sum it up: %q", last)
	}
	if t.Failed() {
		t.Log(out)
	}
}

func wantSaid(t *testing.T, out string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("it does not say %q:\n%s", w, out)
		}
	}
}

func TestAnEmptyKeyFolderSetsEverythingAsideUntilAKeyComes(t *testing.T) {
	t.Parallel()
	l, data := newLibrary(t), filepath.Join(t.TempDir(), "data")
	for i := range 5 {
		l.say(1, text(fmt.Sprintf("第 %d 条", i)))
	}
	code, out, lines := l.archive(data, nil)
	wantExit(t, code, 3, out)
	wantCounts(t, lines, 0, 5, 0)
	wantSaid(t, out, "no-key")
	code, out, lines = l.archive(data, []uint32{1})
	wantExit(t, code, 0, out)
	wantCounts(t, lines, 5, 0, 0)
}

func TestSeqsUpToTheLargestArePulledExactly(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	for _, seq := range []uint64{1<<53 + 1, 1<<63 + 5, 1<<64 - 3, 1<<64 - 2} {
		l.seq = seq - 3
		l.say(1, text(fmt.Sprintf("seq %d", seq)))
	}
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1})
	wantExit(t, code, 0, out)
	wantCounts(t, lines, 4, 0, 0)
	if len(lines) == 4 && lines[3].Seq != 1<<64-2 {
		t.Errorf("the last seq is %d, want 2^64-2", lines[3].Seq)
	}
}

func TestOneEmptyPageIsNotTheEnd(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.order = []string{`chat once text {"errcode":0,"errmsg":"ok","chatdata":[]}`}
	l.say(1, text("behind an empty page"))
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1})
	wantExit(t, code, 0, out)
	wantCounts(t, lines, 1, 0, 0)
}

func TestACorpThatIsRefusedForEverIsGivenUpWithWhatWeComSaid(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.say(1, text("never handed out"))
	l.order = []string{`chat * text {"errcode":301052,"errmsg":"archive service expired","chatdata":[]}`}
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1}, "-patience", "4s")
	wantExit(t, code, 3, out)
	wantSaid(t, out, "corp wwlib is given up", "301052", "renew it")
	if len(lines) > 0 {
		t.Errorf("%d lines, though nothing was handed out", len(lines))
	}
}

func TestAnUntrustedAddressGivesTheCorpUpAtOnce(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.order = []string{`chat * text {"errcode":301042,"errmsg":"not allow to access from your ip, from ip: 203.0.113.9","chatdata":[]}`}
	code, out, _ := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1}, "-patience", "10m")
	wantExit(t, code, 3, out)
	wantSaid(t, out, "corp wwlib is given up", "add 203.0.113.9 to the trusted IPs")
}

func TestABatchOnWhichTheLibraryDiesTooOftenStaysPending(t *testing.T) {
	slow(t)
	t.Parallel()
	l, data := newLibrary(t), filepath.Join(t.TempDir(), "data")
	for i := range 40 {
		l.say(1, text(fmt.Sprintf("message %d", i)))
	}
	l.order = []string{"decrypt * segv"}
	code, out, lines := l.archive(data, []uint32{1}, "-patience", "15s")
	wantExit(t, code, 3, out)
	wantCounts(t, lines, 0, 0, 40)
	wantSaid(t, out, "40 messages of corp wwlib pulled and kept, and not opened yet", "the library died on")
	// Another library opens them, and nothing is pulled again.
	l.order = nil
	code, out, lines = l.archive(data, []uint32{1})
	wantExit(t, code, 0, out)
	wantCounts(t, lines, 40, 0, 0)
}

func TestOneMessageThatHangsTheLibraryIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	for i := range 20 {
		l.say(1, text(fmt.Sprintf("message %d", i)))
	}
	hangs := l.say(1, text("this one"))
	item := l.items[len(l.items)-1]
	cipher := item[strings.Index(item, "standin-v1:"):]
	l.order = []string{"decrypt id=" + strings.TrimRight(cipher, `"}`) + " hang"}
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1})
	wantExit(t, code, 3, out)
	wantCounts(t, lines, 20, 1, 0)
	for _, got := range lines {
		if got.Seq == hangs && (got.State != "set aside" || got.Reason != "library-hang") {
			t.Errorf("the message that hangs is %q because of %q", got.State, got.Reason)
		}
	}
}

func TestAnswersWithoutABufferAreNoBatchesAndNoMessages(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	for i := range 30 {
		l.say(1, text(fmt.Sprintf("message %d", i)))
	}
	nothing := l.say(1, text("the library gives nothing for this one"))
	item := l.items[len(l.items)-1]
	cipher := strings.TrimRight(item[strings.Index(item, "standin-v1:"):], `"}`)
	l.order = []string{"chat once null", "chat once negative", "decrypt id=" + cipher + " null"}
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1})
	wantExit(t, code, 3, out)
	wantCounts(t, lines, 30, 1, 0)
	for _, got := range lines {
		if got.Seq == nothing && got.State != "set aside" {
			t.Errorf("a message without content is %q", got.State)
		}
	}
}

func TestAnAttachmentThatStandsStillWaits(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.say(1, attachment("file-stuck", "卡住.bin", 10))
	l.say(1, attachment("file-fine", "ok.bin", 10))
	l.file("fine", []byte("0123456789"))
	l.order = []string{"media id=file-stuck stuck", "media id=file-fine chunks 4 fine"}
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1}, "-patience", "12s")
	wantExit(t, code, 3, out)
	wantCounts(t, lines, 2, 0, 0)
	wantSaid(t, out, "1 attachment of corp wwlib is not in yet")
	states := map[string]string{}
	for _, got := range lines {
		for _, m := range got.Media {
			states[m.FileID] = m.State
		}
	}
	if states["file-stuck"] != "waiting" || states["file-fine"] != "kept" {
		t.Errorf("attachments are %v", states)
	}
}

func TestACorpOfTwoHundredAttachmentsIsKeptWhole(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	want := map[string]int{}
	for i := range 200 {
		id := fmt.Sprintf("file-%03d-", i)
		content := bytes.Repeat([]byte{byte(i)}, i*i)
		l.file(id, content)
		l.say(1, attachment(id, id+".bin", len(content)))
		l.order = append(l.order, fmt.Sprintf("media id=%s chunks 9000 %s", id, id))
		want[id] = len(content)
	}
	// A few of them meet trouble that passes.
	l.order = append([]string{
		"media id=file-007-,once code 10001", "media id=file-011-,once segv", "media id=file-013-,once code 10003", "media id=file-017-,once null",
		"media id=file-019-,once abort", "media id=file-023-,once code 10002",
	}, l.order...)
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1})
	wantExit(t, code, 0, out)
	wantCounts(t, lines, 200, 0, 0)
	for _, got := range lines {
		for _, m := range got.Media {
			if m.State != "kept" || m.Size != int64(want[m.FileID]) {
				t.Errorf("%s is %s with %d bytes (%s), want kept with %d", m.FileID, m.State, m.Size, m.Reason, want[m.FileID])
			}
		}
	}
}

func TestItemsOfAnyShapeAreAccountedFor(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	cipher := func(message string) string {
		l.say(1, message)
		item := l.items[len(l.items)-1]
		l.items = l.items[:len(l.items)-1]
		return strings.TrimRight(item[strings.Index(item, "standin-v1:"):], `"}`)
	}
	add := func(rest string) {
		l.seq += 3
		l.items = append(l.items, fmt.Sprintf(`{"seq":%d%s}`, l.seq, rest))
	}
	good := cipher(text("good"))
	add(``)
	add(`,"msgid":null,"publickey_ver":null,"encrypt_random_key":null,"encrypt_chat_msg":null`)
	add(`,"msgid":17,"publickey_ver":"1","encrypt_random_key":[],"encrypt_chat_msg":{}`)
	add(fmt.Sprintf(`,"msgid":"a","publickey_ver":-1,"encrypt_random_key":%q,"encrypt_chat_msg":%q`, l.sealed(1), good))
	add(fmt.Sprintf(`,"msgid":"b","publickey_ver":4294967296,"encrypt_random_key":%q,"encrypt_chat_msg":%q`, l.sealed(1), good))
	add(fmt.Sprintf(`,"msgid":"c","publickey_ver":0,"encrypt_random_key":%q,"encrypt_chat_msg":%q`, l.sealed(1), good))
	add(`,"msgid":"d","publickey_ver":1,"encrypt_random_key":"!!! no base64","encrypt_chat_msg":"standin-v1:00"`)
	add(fmt.Sprintf(`,"msgid":"e","publickey_ver":1,"encrypt_random_key":%q,"encrypt_chat_msg":"standin-v1:zz-no-hex-zz"`, l.sealed(1)))
	aside := len(l.items)
	add(fmt.Sprintf(`,"msgid":%q,"publickey_ver":1,"encrypt_random_key":%q,"encrypt_chat_msg":%q`, strings.Repeat("长", 3000), l.sealed(1), good))
	add(fmt.Sprintf(`,"msgid":"","publickey_ver":1,"encrypt_random_key":%q,"encrypt_chat_msg":%q,"unheard_of":{"a":[1,2,3]}`, l.sealed(1), good))
	for _, odd := range []string{
		`{}`, `{"msgtype":"text"}`, `{"msgtype":7,"from":8,"tolist":"x","msgtime":"soon"}`,
		`{"msgid":"o1","action":"send","from":"","tolist":[],"msgtime":0,"msgtype":"text","text":null}`,
		`{"msgid":"o2","action":"send","from":"li","tolist":null,"msgtime":99999999999999999,"msgtype":"text","text":{"content":""}}`,
		`{"msgid":"o3","action":"send","from":"li","tolist":["a"],"msgtime":1795000000000,"msgtype":"hologram","hologram":{"beam":1}}`,
		`{"msgid":"o4","action":"recall","from":"li","tolist":["a"],"msgtime":1795000000000,"msgtype":"revoke","revoke":{"pre_msgid":"never seen"}}`,
		`{"msgid":"o5","action":"send","from":"` + strings.Repeat("x", 4000) + `","tolist":["` + strings.Repeat("y", 4000) + `"],"roomid":"` + strings.Repeat("z", 4000) + `","msgtime":1795000000000,"msgtype":"text","text":{"content":"long ids"}}`,
		`{"msgid":"o6","action":"send","from":"a#b/c","tolist":["d\u0000e","f#g"],"roomid":"r#1/2","msgtime":1795000000000,"msgtype":"text","text":{"content":"nul \u0000 and bell \u0007"}}`,
	} {
		l.say(1, odd)
	}
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1})
	wantExit(t, code, 3, out)
	if len(lines) != len(l.items) {
		t.Errorf("%d lines for %d items", len(lines), len(l.items))
	}
	n := byState(lines)
	if n["set aside"] != aside || n["archived"] != len(l.items)-aside {
		t.Errorf("%v, want %d set aside and the rest archived", n, aside)
		for _, got := range lines {
			t.Logf("%d %s %s %.60q", got.Seq, got.State, got.Reason, got.Text)
		}
	}
}

func TestACorpIDIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	l, data := newLibrary(t), filepath.Join(t.TempDir(), "data")
	l.say(1, text("hello"))
	corp := `../ww %2F"銀行"#\ü`
	args := append(l.write(1), "-once", "-data", data, "-corp", corp)
	code, out := play(t, args...)
	wantExit(t, code, 0, out)
	lines := messages(t, data, corp)
	wantCounts(t, lines, 1, 0, 0)
	if len(lines) == 1 && lines[0].Corp != corp {
		t.Errorf("the corp is %q, want %q", lines[0].Corp, corp)
	}
	// Another corp beside it, through another library, knows nothing of it.
	other := newLibrary(t)
	other.say(1, text("of another company"))
	other.say(1, text("and again"))
	code, out, lines = other.archive(data, []uint32{1})
	wantExit(t, code, 0, out)
	wantCounts(t, lines, 2, 0, 0)
	if again := messages(t, data, corp); len(again) != 1 {
		t.Errorf("the first corp has %d messages after the second was archived", len(again))
	}
}

func TestALibraryThatDisagreesWithItselfIsAccountedForOnce(t *testing.T) {
	slow(t)
	t.Parallel()
	l := newLibrary(t)
	for i := range 3 {
		l.say(1, text(fmt.Sprintf("message %d", i)))
	}
	// Seqs that fall, repeat or do not rise above the one asked for, items that are no objects, and an object that is cut: none is a batch.
	for _, page := range []string{
		`{"errcode":0,"chatdata":[{"seq":6},{"seq":3}]}`, `{"errcode":0,"chatdata":[{"seq":6},{"seq":6}]}`, `{"errcode":0,"chatdata":[{"seq":0}]}`,
		`{"errcode":0,"chatdata":["x"]}`, `{"errcode":0,"chatdata":{}}`, `[]`, `{"errcode":0,"chatdata":[]} {"errcode":0}`, `{"errcode":0,"chatdata":[{"seq":18446744073709551616}]}`,
	} {
		l.order = append(l.order, "chat once text "+page)
	}
	code, out, lines := l.archive(filepath.Join(t.TempDir(), "data"), []uint32{1})
	wantExit(t, code, 0, out)
	wantCounts(t, lines, 3, 0, 0)
}
