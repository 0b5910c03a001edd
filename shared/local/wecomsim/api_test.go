package wecomsim_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/simcipher"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

func TestGetTokenFollowsItsRules(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	for query, want := range map[string]int{
		"":                                       41002,
		"corpid=wwone":                           41004,
		"corpid=wwnone&corpsecret=x":             40013,
		"corpid=wwone&corpsecret=wrong":          40001,
		"corpid=wwone&corpsecret=secret-archive": 0,
	} {
		r := b.ask("GET", "/cgi-bin/gettoken?"+query, "")
		if r.ErrCode != want || r.status != http.StatusOK {
			t.Errorf("%q: %d, want %d", query, r.ErrCode, want)
		}
		if want != 0 && (!strings.Contains(r.ErrMsg, "from ip: 203.0.113.24") || !strings.Contains(r.ErrMsg, fmt.Sprint("e=", want))) {
			t.Errorf("%q: errmsg %q", query, r.ErrMsg)
		}
	}
	first := b.token("wwone", wecomsim.KindArchive)
	b.pass(time.Hour)
	r := b.ask("GET", "/cgi-bin/gettoken?corpid=wwone&corpsecret=secret-archive", "")
	if r.Token != first || r.Expires != 3600 {
		t.Errorf("after an hour: another token, or expires_in %d", r.Expires)
	}
	if b.token("wwone", wecomsim.KindCustomer) == first {
		t.Error("two secrets share a token")
	}
	b.pass(time.Hour)
	if b.token("wwone", wecomsim.KindArchive) == first {
		t.Error("the token outlived its validity")
	}
	if r := b.ask("POST", "/cgi-bin/message/getchatdata?access_token="+first, `{"seq":0,"limit":1}`); r.ErrCode != 42001 {
		t.Errorf("the expired token: %d", r.ErrCode)
	}
}

func TestRepeatingAWrongSecretBansTheCaller(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	for range 20 {
		if r := b.ask("GET", "/cgi-bin/gettoken?corpid=wwone&corpsecret=wrong", ""); r.ErrCode != 40001 {
			t.Fatalf("%s", r.raw)
		}
	}
	if r := b.ask("GET", "/cgi-bin/gettoken?corpid=wwone&corpsecret=secret-archive", ""); r.ErrCode != 45009 {
		t.Errorf("after 20 wrong secrets: %s", r.raw)
	}
	b.pass(61 * time.Minute)
	b.token("wwone", wecomsim.KindArchive)
}

func TestEveryRefusalOfChatData(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "hello", Count: 30}))(b)
	good := `{"seq":0,"limit":10}`
	pull := func(body string) reply {
		return b.api("wwone", wecomsim.KindArchive, "POST", "message/getchatdata", body)
	}
	expect := func(name string, r reply, want int) {
		t.Helper()
		if r.ErrCode != want || r.status != http.StatusOK || (want != 0 && !bytes.Contains(r.raw, []byte(`"chatdata":[]`))) {
			t.Errorf("%s: HTTP %d %.200s, want errcode %d", name, r.status, r.raw, want)
		}
	}
	for _, body := range []string{`{"seq":0,"limit":0}`, `{"seq":0,"limit":1001}`, `{"seq":-1,"limit":1}`, `{"seq":0.5,"limit":1}`, `{"limit":1}`, `{"seq":0}`} {
		expect(body, pull(body), 301039)
	}
	expect("no JSON", pull("seq=0"), 47001)
	expect("no token", b.ask("POST", "/cgi-bin/message/getchatdata", good), 41001)
	expect("an invented token", b.ask("POST", "/cgi-bin/message/getchatdata?access_token=x", good), 40014)
	for _, kind := range []string{wecomsim.KindCustomer, wecomsim.KindLegacyApp, wecomsim.KindNewApp, wecomsim.KindContactsSyncOldIP, wecomsim.KindContactsSyncNewIP} {
		expect(kind, b.api("wwone", kind, "POST", "message/getchatdata", good), 48002)
	}
	change := func(n wecomsim.ChangeCorp) {
		t.Helper()
		n.Corp = "wwone"
		must(b.ChangeCorp(b.ctx(), n))(b)
	}
	for state, want := range map[string]int{wecomsim.ServiceExpired: 301052, wecomsim.ServiceNotOpen: 301053, wecomsim.ServiceOpen: 0} {
		change(wecomsim.ChangeCorp{Service: &state})
		expect(state, pull(good), want)
	}
	open, size := wecomsim.ServiceOpen, 5000
	change(wecomsim.ChangeCorp{Service: &open, PageBytes: &size})
	expect("a page too large", pull(`{"seq":0,"limit":20}`), 301058)
	expect("a smaller page", pull(`{"seq":0,"limit":5}`), 0)
	size = 1
	change(wecomsim.ChangeCorp{PageBytes: &size})
	expect("a single item", pull(`{"seq":0,"limit":1}`), 0)
	for answer, want := range map[int]int{0: 301042, 41001: 41001} {
		change(wecomsim.ChangeCorp{Trusted: &wecomsim.Trusted{On: true, IPs: []string{"198.51.100.1"}, Answer: answer}})
		expect("an untrusted address", pull(good), want)
	}
	change(wecomsim.ChangeCorp{Trusted: &wecomsim.Trusted{On: true, Answer: 40001}})
	if r := b.ask("GET", "/cgi-bin/gettoken?corpid=wwone&corpsecret=secret-archive", ""); r.ErrCode != 40001 {
		t.Errorf("gettoken from an untrusted address: %s", r.raw)
	}
	change(wecomsim.ChangeCorp{Trusted: &wecomsim.Trusted{On: true, IPs: []string{"203.0.113.24"}}})
	size = 0
	change(wecomsim.ChangeCorp{PageBytes: &size})
	expect("a trusted address", pull(good), 0)
	few := 2
	change(wecomsim.ChangeCorp{PageItems: &few})
	if r := pull(`{"seq":0,"limit":20}`); strings.Count(string(r.raw), `"seq":`) != 2 {
		t.Errorf("a page of two: %s", r.raw)
	}
	few = 0
	change(wecomsim.ChangeCorp{PageItems: &few})
	token := b.token("wwone", wecomsim.KindArchive)
	for _, code := range []int{0, 42001} {
		if err := b.KillTokens(b.ctx(), wecomsim.KillTokens{Corp: "wwone", Kind: wecomsim.KindArchive, ErrCode: code}); err != nil {
			t.Fatal(err)
		}
		expect("a dead token", b.ask("POST", "/cgi-bin/message/getchatdata?access_token="+token, good), map[int]int{0: 40014, 42001: 42001}[code])
		expect("a new token", pull(good), 0)
	}
	if err := b.SetRate(b.ctx(), wecomsim.Rate{Corp: "wwone", API: "message/getchatdata", PerMinute: 2}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{0, 0, 45009, 45009} {
		expect(fmt.Sprint("call ", i+1), pull(good), want)
	}
	b.pass(time.Minute)
	expect("a minute later", pull(good), 0)
	if r := b.ask("POST", "/cgi-bin/msgaudit/get_chat_data", good); r.status != http.StatusNotFound || len(r.raw) != 0 {
		t.Errorf("an API that does not exist: HTTP %d %q", r.status, r.raw)
	}
}

func TestAnEmptyPageSometimesLacksChatdata(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	var with, without int
	for range 4 {
		r := b.pull("wwone", 0, 10)
		if r.ErrCode != 0 || len(r.Chat) != 0 {
			t.Fatalf("%s", r.raw)
		}
		if bytes.Contains(r.raw, []byte("chatdata")) {
			with++
		} else {
			without++
		}
	}
	if with == 0 || without == 0 {
		t.Errorf("%d with and %d without chatdata", with, without)
	}
}

func TestMessagesSentTogetherCarryAscendingSeqsOrNone(t *testing.T) {
	b := newBench(t)
	b.corp("wwall")
	sent := must(b.SendAll(b.ctx(), wecomsim.Messages{Corp: "wwall", Messages: []wecomsim.Message{{Text: "a"}, {Text: "b"}, {Text: "c"}}}))(b)
	if sent.Seq != sent.FirstSeq+2 {
		t.Errorf("%+v", sent)
	}
	if _, err := b.SendAll(b.ctx(), wecomsim.Messages{Corp: "wwall", Messages: []wecomsim.Message{{Text: "d"}, {Text: "e", Seq: 1}}}); err == nil {
		t.Error("a seq went back")
	}
	if a := must(b.Account(b.ctx(), "wwall"))(b); a.Items != 3 {
		t.Errorf("%d items are there: a refused one took others with it, or left them", a.Items)
	}
}

func TestSeqsAreAscendingNumbersOfAllSizes(t *testing.T) {
	b := newBench(t)
	must(b.AddCorp(b.ctx(), wecomsim.NewCorp{Corp: "wwbig", FirstSeq: 1<<53 + 1, Secrets: []wecomsim.Secret{{Kind: wecomsim.KindArchive, Value: "secret-archive"}}}))(b)
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwbig", Text: "a", Count: 3}))(b)
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwbig", Text: "b", Seq: 1<<63 + 9}))(b)
	if _, err := b.Send(b.ctx(), wecomsim.Message{Corp: "wwbig", Text: "c", Seq: 7}); err == nil {
		t.Error("a seq went back")
	}
	page := b.pull("wwbig", 0, 1000)
	var seqs []uint64
	for _, e := range page.Chat {
		seqs = append(seqs, e.Seq)
	}
	if diff := cmp.Diff([]uint64{1<<53 + 1, 1<<53 + 2, 1<<53 + 3, 1<<63 + 9}, seqs); diff != "" {
		t.Error(diff)
	}
	if r := b.pull("wwbig", 1<<53+2, 1); len(r.Chat) != 1 || r.Chat[0].Seq != 1<<53+3 {
		t.Errorf("%s", r.raw)
	}
	if r := b.pull("wwbig", 1<<64-1, 1); r.ErrCode != 0 || len(r.Chat) != 0 {
		t.Errorf("%s", r.raw)
	}
	a := must(b.Account(b.ctx(), "wwbig"))(b)
	if a.Items != 4 || a.Served != 4 || a.LastServed != 1<<63+9 || a.FirstSeq != 1<<53+1 {
		t.Errorf("%+v", a)
	}
}

func TestWhatIsOlderThanFiveDaysIsGone(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	file := must(b.AddFile(b.ctx(), wecomsim.NewFile{Corp: "wwone", Name: "a.bin", Size: 10}))(b)
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "old"}))(b)
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "48h"}))(b)
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "new"}))(b)
	media := func() int {
		return b.api("wwone", wecomsim.KindArchive, "POST", "message/getchatmediadata", fmt.Sprintf(`{"fileid":%q}`, file.SDKFileID)).ErrCode
	}
	if code := media(); code != 0 {
		t.Errorf("a file of two days: %d", code)
	}
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "25h"}))(b)
	if code := media(); code != 301048 {
		t.Errorf("a file of three days and an hour: %d", code)
	}
	if r := b.pull("wwone", 0, 10); len(r.Chat) != 2 {
		t.Errorf("within five days: %s", r.raw)
	}
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "47h01m"}))(b)
	if r := b.pull("wwone", 0, 10); len(r.Chat) != 1 || r.Chat[0].Seq != 2 {
		t.Errorf("after five days: %s", r.raw)
	}
	if a := must(b.Account(b.ctx(), "wwone"))(b); a.InWindow != 1 || a.Items != 2 || a.Missed != 0 || a.Served != 2 || a.Files.Gone != 1 {
		t.Errorf("%+v", a)
	}
}

func TestEachVersionsMessagesOpenWithItsKeyAlone(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "one"}))(b)
	if k := must(b.AddKey(b.ctx(), wecomsim.NewKeyRequest{Corp: "wwone"}))(b); k.Version != 2 {
		t.Fatalf("version %d", k.Version)
	}
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "two"}))(b)
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "three", KeyVersion: 1}))(b)
	c := must(b.Corps(b.ctx()))(b)[0]
	page := b.pull("wwone", 0, 10)
	for i, want := range []uint32{1, 2, 1} {
		if page.Chat[i].Version != want {
			t.Errorf("item %d has version %d", i, page.Chat[i].Version)
		}
		b.opened(c, page.Chat[i])
	}
	if _, err := b.AddKey(b.ctx(), wecomsim.NewKeyRequest{Corp: "wwone", PublicKey: "no PEM"}); err == nil {
		t.Error("a key that is no PEM was taken")
	}
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "four"}))(b)
}

func TestResealingKeepsTheMessageAndChangesItsCipherText(t *testing.T) {
	b := newBench(t)
	c := b.corp("wwone")
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "one"}))(b)
	before := b.pull("wwone", 0, 10).Chat[0]
	if err := b.Reseal(b.ctx(), wecomsim.Reseal{Corp: "wwone", Seq: 1}); err != nil {
		t.Fatal(err)
	}
	after := b.pull("wwone", 0, 10).Chat[0]
	if before.Msg == after.Msg || before.Seq != after.Seq || !bytes.Equal(b.opened(c, before), b.opened(c, after)) {
		t.Errorf("%+v then %+v", before, after)
	}
}

func TestAnElementMayBePatched(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "one", Element: map[string]json.RawMessage{
		"publickey_ver": json.RawMessage(`"two"`), "msgid": json.RawMessage(`null`),
	}}))(b)
	var page struct {
		Chat []map[string]json.RawMessage `json:"chatdata"`
	}
	// The reply's own reading of the page fails on purpose: its bytes are what counts.
	r, _ := b.do("POST", "/cgi-bin/message/getchatdata?access_token="+b.token("wwone", wecomsim.KindArchive), `{"seq":0,"limit":1}`)
	if err := json.Unmarshal(r.raw, &page); err != nil {
		t.Fatal(err)
	}
	if _, ok := page.Chat[0]["msgid"]; ok || string(page.Chat[0]["publickey_ver"]) != `"two"` {
		t.Errorf("%s", page.Chat[0])
	}
}

func TestFilesComeInSealedRanges(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	for _, size := range []int64{0, 5, 16, wecomsim.MediaChunk - 16, wecomsim.MediaChunk, 1_200_000} {
		content := ""
		if size >= 5 {
			content = "aGVsbG8=" // a head whose end is no multiple of 16
		}
		file := must(b.AddFile(b.ctx(), wecomsim.NewFile{Corp: "wwone", Name: fmt.Sprint(size), Content: content, Size: size}))(b)
		total := simcipher.SealedSize(size)
		var sealed []byte
		for at := int64(0); at < total; at += wecomsim.MediaChunk {
			r := b.api("wwone", wecomsim.KindArchive, "POST", "message/getchatmediadata", fmt.Sprintf(`{"fileid":%q,"version":3}`, file.SDKFileID),
				"Range", fmt.Sprintf("bytes=%d-%d", at, at+wecomsim.MediaChunk-1))
			end := min(at+wecomsim.MediaChunk, total)
			if want := fmt.Sprintf("bytes %d-%d/%d", at, end-1, total); r.header.Get("Content-Range") != want || r.status != http.StatusPartialContent {
				t.Fatalf("HTTP %d, Content-Range %q, want %q", r.status, r.header.Get("Content-Range"), want)
			}
			if r.header.Get("Content-Length") != strconv.FormatInt(end-at, 10) {
				t.Errorf("Content-Length %s", r.header.Get("Content-Length"))
			}
			sealed = append(sealed, r.raw...)
		}
		if err := simcipher.XORFile(file.SDKFileID, 0, sealed); err != nil {
			t.Fatal(err)
		}
		plain := must(simcipher.Unpad(sealed))(b)
		sum := md5.Sum(plain)
		if int64(len(plain)) != size || hex.EncodeToString(sum[:]) != file.MD5 {
			t.Errorf("a file of %d bytes came as %d, or with another md5", size, len(plain))
		}
		odd := b.api("wwone", wecomsim.KindArchive, "POST", "message/getchatmediadata", fmt.Sprintf(`{"fileid":%q}`, file.SDKFileID), "Range", "bytes=3-9")
		if err := simcipher.XORFile(file.SDKFileID, 0, sealed); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(odd.raw, sealed[3:10]) {
			t.Error("a range that begins within a block differs from the object")
		}
	}
	file := must(b.AddFile(b.ctx(), wecomsim.NewFile{Corp: "wwone", Name: "x", Size: 100}))(b)
	must(b.AddFile(b.ctx(), wecomsim.NewFile{Corp: "wwone", SDKFileID: file.SDKFileID, Refuse: 301048}))(b)
	for body, want := range map[string]int{fmt.Sprintf(`{"fileid":%q}`, file.SDKFileID): 301048, `{"fileid":"AAAA"}`: 301048, `{"fileid":""}`: 301048, "x": 47001} {
		if r := b.api("wwone", wecomsim.KindArchive, "POST", "message/getchatmediadata", body); r.ErrCode != want {
			t.Errorf("%.40s: %s", body, r.raw)
		}
	}
}

func TestFaultsHitTheCallsTheyWereMeantFor(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	b.corp("wwtwo")
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "hello"}))(b)
	token, other := b.token("wwone", wecomsim.KindArchive), b.token("wwtwo", wecomsim.KindArchive)
	pull := func(token string) (reply, error) {
		return b.do("POST", "/cgi-bin/message/getchatdata?access_token="+token, `{"seq":0,"limit":1}`)
	}
	for kind, check := range map[string]func(reply, error) bool{
		wecomsim.FaultClose: func(_ reply, err error) bool { return err != nil },
		wecomsim.FaultReset: func(_ reply, err error) bool { return err != nil },
		wecomsim.Fault500:   func(r reply, err error) bool { return err == nil && r.status == http.StatusInternalServerError },
		wecomsim.FaultHTML: func(r reply, err error) bool {
			return err == nil && r.status == http.StatusOK && bytes.HasPrefix(r.raw, []byte("<!DOCTYPE"))
		},
		wecomsim.FaultEmpty: func(r reply, err error) bool { return err == nil && r.status == http.StatusOK && len(r.raw) == 0 },
		wecomsim.FaultCut: func(r reply, err error) bool {
			return err != nil && strings.Contains(err.Error(), "JSON") && r.status == http.StatusOK
		},
		wecomsim.FaultCode: func(r reply, err error) bool { return err == nil && r.ErrCode == 45033 },
	} {
		f := wecomsim.Fault{Kind: kind, Corp: "wwone", API: "message/getchatdata", Times: 2, Skip: 1}
		if kind == wecomsim.FaultCode {
			f.ErrCode = 45033
		}
		must(b.AddFault(b.ctx(), f))(b)
		for i := range 4 {
			if r, err := pull(other); err != nil || r.ErrCode != 0 {
				t.Errorf("%s hit the other corp: %v", kind, err)
			}
			r, err := pull(token)
			if hit := i == 1 || i == 2; hit != check(r, err) {
				t.Errorf("%s, call %d: HTTP %d %.60q, %v", kind, i, r.status, r.raw, err)
			}
		}
	}
	must(b.AddFault(b.ctx(), wecomsim.Fault{Kind: wecomsim.Fault500}))(b)
	for range 3 {
		if r, err := pull(token); err != nil || r.status != http.StatusInternalServerError {
			t.Errorf("until lifted: %v", err)
		}
	}
	if err := b.LiftFaults(b.ctx()); err != nil {
		t.Fatal(err)
	}
	if r, err := pull(token); err != nil || len(r.Chat) != 1 {
		t.Errorf("after lifting: %v", err)
	}
	must(b.AddFault(b.ctx(), wecomsim.Fault{Kind: wecomsim.FaultCut, Times: 1}))(b)
	if r, err := b.do("POST", "/cgi-bin/message/getchatdata?access_token=x", `{"seq":0,"limit":1}`); err == nil {
		t.Errorf("a refusal was not cut: %s", r.raw)
	}
	for _, bad := range []wecomsim.Fault{{Kind: "rain"}, {Kind: wecomsim.FaultCode}, {Kind: wecomsim.Fault500, API: "nothing"}} {
		if _, err := b.AddFault(b.ctx(), bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestControlRefusesWhatItDoesNotKnow(t *testing.T) {
	b := newBench(t)
	b.corp("wwone")
	for _, c := range []struct{ path, body string }{
		{"/sim/message", `{"corp":"wwnone","text":"x"}`}, {"/sim/message", `{"corp":"wwone"}`}, {"/sim/message", `{"corp":"wwone","txt":"x"}`},
		{"/sim/message", `{"corp":"wwone","text":"x","publickey_ver":9}`}, {"/sim/message", `{"corp":"wwone","raw_base64":"?"}`}, {"/sim/clock", `{"advance":"soon"}`},
		{"/sim/corp", `{}`}, {"/sim/corp", `{"corp":"w","secrets":[{"kind":"odd"}]}`}, {"/sim/corp/change", `{"corp":"wwone","service":"closed"}`},
		{"/sim/contacts", `{"corp":"wwone","change":{"nobody":{}}}`}, {"/sim/demo/step", `{}`}, {"/sim/reseal", `{"corp":"wwone","seq":5}`}, {"/sim/rate", `{"corp":"wwone","api":"x"}`},
	} {
		if r := b.ask("POST", c.path, c.body); r.status != http.StatusBadRequest || !bytes.Contains(r.raw, []byte(`"error"`)) {
			t.Errorf("%s %s: HTTP %d %s", c.path, c.body, r.status, r.raw)
		}
	}
	must(b.Send(b.ctx(), wecomsim.Message{Corp: "wwone", Text: "still works"}))(b)
	if a := must(b.Account(b.ctx(), "wwone"))(b); a.Items != 1 || !slices.Equal([]int{a.ByType["text"]}, []int{1}) {
		t.Errorf("%+v", a)
	}
}

func TestControlAnswersThisMachineAlone(t *testing.T) {
	b := newBench(t)
	for address, want := range map[string]int{"127.0.0.1:5": http.StatusOK, "[::1]:5": http.StatusOK, "192.0.2.1:5": http.StatusForbidden, "odd": http.StatusForbidden} {
		r := httptest.NewRequest(http.MethodGet, "/sim/clock", nil)
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		b.sim.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: HTTP %d", address, w.Code)
		}
	}
}
