package callback_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/callback"
)

const (
	corp  = "wwinvented0041"
	token = "Harbour7Lantern"
	key   = "q7Vt0ZxPd3RkW9sLmB2uYhC5nEaJ8gTfXiOoK4vQy1z"
)

// TestSealedByAnotherImplementationOpens opens what Python's cryptography package sealed, with invented settings: testdata/sealed.json holds
// all that went in and came out. Its first message opens with openssl enc -d -aes-256-cbc -nopad too.
func TestSealedByAnotherImplementationOpens(t *testing.T) {
	raw, err := os.ReadFile("testdata/sealed.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Corp, Token, Timestamp, Nonce, Message, Encrypted string
		Key                                                     string `json:"aes_key"`
		Signature                                               string `json:"msg_signature"`
		Pad                                                     int
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	var pads []int
	for _, v := range vectors {
		s, err := callback.New(archive.CorpID(v.Corp), v.Token, v.Key)
		if err != nil {
			t.Fatal(err)
		}
		at, err := strconv.ParseInt(v.Timestamp, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		query := url.Values{"msg_signature": {v.Signature}, "timestamp": {v.Timestamp}, "nonce": {v.Nonce}, "echostr": {v.Encrypted}}
		if echo, err := s.Verify(query, time.Unix(at, 0)); err != nil || echo != v.Message {
			t.Errorf("%s: %q, %v", v.Name, echo, err)
		}
		if strings.HasPrefix(v.Message, "<xml>") {
			e, err := s.Open(query, envelope(v.Encrypted), time.Unix(at, 0))
			if err != nil || e.Member != "tao.min" || e.Change != callback.UpdateUser || e.At.Unix() != 1925000001 {
				t.Errorf("%s: %+v, %v", v.Name, e, err)
			}
		}
		pads = append(pads, v.Pad)
	}
	for _, pad := range []int{32, 30, 1} { // 16 is where an unpadder of AES's own block size ends
		if !slices.Contains(pads, pad) {
			t.Errorf("no vector has a padding of %d", pad)
		}
	}
}

var now = time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)

func scheme(t testing.TB) *callback.Scheme {
	t.Helper()
	s, err := callback.New(corp, token, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sealing is what a sender may do rightly or wrongly.
type sealing struct {
	token, key, receiver string
	at                   time.Time
	pad                  int // 0: the right one
	length               int // 0: the message's
}

func right() sealing { return sealing{token: token, key: key, receiver: corp, at: now} }

func (s sealing) seal(message string) (url.Values, string) {
	raw, _ := base64.StdEncoding.DecodeString(s.key + "=")
	if s.length == 0 {
		s.length = len(message)
	}
	plain := append([]byte("0123456789abcdef"), binary.BigEndian.AppendUint32(nil, uint32(s.length))...)
	plain = append(append(plain, message...), s.receiver...)
	pad := 32 - len(plain)%32
	fill := pad
	if s.pad != 0 {
		fill = s.pad
	}
	plain = append(plain, strings.Repeat(string([]byte{byte(fill)}), pad)...)
	block, _ := aes.NewCipher(raw)
	cipher.NewCBCEncrypter(block, raw[:16]).CryptBlocks(plain, plain)
	sealed := base64.StdEncoding.EncodeToString(plain)
	return s.sign(sealed), sealed
}

func (s sealing) sign(sealed string) url.Values {
	stamp := strconv.FormatInt(s.at.Unix(), 10)
	parts := []string{s.token, stamp, "n1", sealed}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return url.Values{"msg_signature": {hex.EncodeToString(sum[:])}, "timestamp": {stamp}, "nonce": {"n1"}}
}

func envelope(sealed string) []byte {
	return []byte("<xml><ToUserName><![CDATA[" + corp + "]]></ToUserName><AgentID><![CDATA[]]></AgentID><Encrypt><![CDATA[" + sealed + "]]></Encrypt></xml>")
}

// inside is a message of WeCom's common form.
func inside(rest string) string {
	return "<xml><ToUserName><![CDATA[" + corp + "]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName><CreateTime>1925003045</CreateTime>" +
		"<MsgType><![CDATA[event]]></MsgType>" + rest + "</xml>"
}

var happened = time.Unix(1925003045, 0).UTC()

func TestEventsNameWhatChangedAndNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		rest string
		want callback.Event
	}{
		"a member came, told with everything": {
			`<Event>change_contact</Event><ChangeType>create_user</ChangeType><UserID>an.li</UserID><Name>Li An</Name><Department>1,22</Department>` +
				`<Mobile>19900000000</Mobile><Email>an@one.example</Email><ExtAttr><Item><Name>desk</Name><Type>0</Type><Text><Value>4F</Value></Text></Item></ExtAttr>`,
			callback.Event{Name: "change_contact", Change: "create_user", Member: "an.li", Departments: []int{1, 22}},
		},
		"a member has another userid": {
			`<Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>an.li</UserID><NewUserID>li.an</NewUserID>`,
			callback.Event{Name: "change_contact", Change: "update_user", Member: "li.an", Former: "an.li"},
		},
		"a member went": {
			`<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>an.li</UserID>`,
			callback.Event{Name: "change_contact", Change: "delete_user", Member: "an.li"},
		},
		"a department moved": {
			`<Event>change_contact</Event><ChangeType>update_party</ChangeType><Id>22</Id><ParentId>3</ParentId><Name><![CDATA[Desk]]></Name>`,
			callback.Event{Name: "change_contact", Change: "update_party", Department: 22, Parent: 3},
		},
		"a tag": {
			`<Event>change_contact</Event><ChangeType>update_tag</ChangeType><TagId>7</TagId><AddUserItems>a,b</AddUserItems><DelUserItems>c</DelUserItems>` +
				`<AddPartyItems>1,2</AddPartyItems><DelPartyItems>3</DelPartyItems>`,
			callback.Event{Name: "change_contact", Change: "update_tag", Tag: 7, Parties: []archive.PartyID{"a", "b", "c"}, Departments: []int{1, 2, 3}},
		},
		"an external contact agreed": {
			`<Event>change_external_contact</Event><ChangeType>msg_audit_approved</ChangeType><UserID>an.li</UserID><ExternalUserID>wmX</ExternalUserID>` +
				`<WelcomeCode>opens-a-conversation</WelcomeCode>`,
			callback.Event{Name: "change_external_contact", Change: "msg_audit_approved", Member: "an.li", External: "wmX"},
		},
		"parties came into a group": {
			`<Event>change_external_chat</Event><ChatId>wrX</ChatId><ChangeType>update</ChangeType><UpdateDetail>add_member</UpdateDetail>` +
				`<JoinScene>1</JoinScene><MemChangeCnt>2</MemChangeCnt><MemChangeList><Item>wmX</Item><Item>an.li</Item></MemChangeList><LastMemVer>1</LastMemVer>`,
			callback.Event{Name: "change_external_chat", Change: "update", Detail: "add_member", Room: "wrX", Parties: []archive.PartyID{"wmX", "an.li"}},
		},
		"chat data is there": {
			`<AgentID>2000004</AgentID><Event>msgaudit_notify</Event>`,
			callback.Event{Name: "msgaudit_notify", Agent: 2000004},
		},
		"an event of another kind": {
			`<Event>batch_job_result</Event><BatchJob><JobId>secret words</JobId></BatchJob>`, callback.Event{Name: "batch_job_result"},
		},
		"a change of a kind that is not known":   {`<Event>change_contact</Event><ChangeType>merge_user</ChangeType><UserID>a</UserID>`, callback.Event{Name: "change_contact", Change: "merge_user", Odd: true}},
		"a change that names nobody":             {`<Event>change_contact</Event><ChangeType>delete_user</ChangeType>`, callback.Event{Name: "change_contact", Change: "delete_user", Odd: true}},
		"a department that is no number":         {`<Event>change_contact</Event><ChangeType>delete_party</ChangeType><Id>desk</Id>`, callback.Event{Name: "change_contact", Change: "delete_party", Odd: true}},
		"a userid with a line end in it":         {"<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>a\nb</UserID>", callback.Event{Name: "change_contact", Change: "delete_user", Odd: true}},
		"an event whose name is a sentence":      {`<Event>please call me</Event>`, callback.Event{Odd: true}},
		"a department above those of any member": {`<Event>change_contact</Event><ChangeType>create_user</ChangeType><UserID>a</UserID><Department>1,99999999999</Department>`, callback.Event{Name: "change_contact", Change: "create_user", Member: "a", Departments: []int{1}, Odd: true}},
	} {
		t.Run(name, func(t *testing.T) {
			query, sealed := right().seal(inside(c.rest))
			got, err := scheme(t).Open(query, envelope(sealed), now)
			if err != nil {
				t.Fatal(err)
			}
			c.want.Corp, c.want.At, c.want.ID = corp, happened, got.ID
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if len(got.ID) != 32 {
				t.Errorf("the event's id is %q", got.ID)
			}
		})
	}
}

func TestWhatAPersonWritesToTheAppIsNotRead(t *testing.T) {
	query, sealed := right().seal("<xml><ToUserName>" + corp + "</ToUserName><FromUserName>an.li</FromUserName><CreateTime>1925003045</CreateTime>" +
		"<MsgType>text</MsgType><Content>change_contact</Content><Event>change_contact</Event><AgentID>1000002</AgentID></xml>")
	got, err := scheme(t).Open(query, envelope(sealed), now)
	want := callback.Event{ID: got.ID, Corp: corp, At: happened, Agent: 1000002}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v -want +got\n%s", err, diff)
	}
}

func TestDeliveriesOfOneEventHaveOneID(t *testing.T) {
	open := func(s sealing, rest string) string {
		query, sealed := s.seal(inside(rest))
		e, err := scheme(t).Open(query, envelope(sealed), now)
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	const one, other = `<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>a</UserID>`, `<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>b</UserID>`
	later := right()
	later.at = now.Add(5 * time.Second)
	if open(right(), one) != open(later, one) {
		t.Error("a delivery that WeCom repeats has another id")
	}
	if open(right(), one) == open(right(), other) {
		t.Error("two events of one second have the same id")
	}
}

func TestARequestThatIsNotWeComsIsRefused(t *testing.T) {
	const secretWord = "marzipan"
	message := inside(`<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>` + secretWord + `</UserID>`)
	with := func(change func(*sealing)) func() (url.Values, []byte) {
		return func() (url.Values, []byte) {
			s := right()
			change(&s)
			query, sealed := s.seal(message)
			return query, envelope(sealed)
		}
	}
	after := func(change func(url.Values)) func() (url.Values, []byte) {
		return func() (url.Values, []byte) {
			query, sealed := right().seal(message)
			change(query)
			return query, envelope(sealed)
		}
	}
	bodied := func(body string) func() (url.Values, []byte) {
		return func() (url.Values, []byte) {
			query, _ := right().seal(message)
			return query, []byte(body)
		}
	}
	holding := func(sealed string) func() (url.Values, []byte) {
		return func() (url.Values, []byte) { return right().sign(sealed), envelope(sealed) }
	}
	telling := func(message string) func() (url.Values, []byte) {
		return func() (url.Values, []byte) {
			query, sealed := right().seal(message)
			return query, envelope(sealed)
		}
	}
	for name, c := range map[string]struct {
		make func() (url.Values, []byte)
		want error
	}{
		"signed with another token":            {with(func(s *sealing) { s.token = "Another" }), callback.ErrSignature},
		"a signature of another nonce":         {after(func(q url.Values) { q.Set("nonce", "n2") }), callback.ErrSignature},
		"a signature of another time":          {after(func(q url.Values) { q.Set("timestamp", "1925003046") }), callback.ErrSignature},
		"a short signature":                    {after(func(q url.Values) { q.Set("msg_signature", q.Get("msg_signature")[:39]) }), callback.ErrSignature},
		"no signature":                         {after(func(q url.Values) { q.Del("msg_signature") }), callback.ErrForm},
		"two timestamps":                       {after(func(q url.Values) { q.Add("timestamp", "1") }), callback.ErrForm},
		"no nonce":                             {after(func(q url.Values) { q.Del("nonce") }), callback.ErrForm},
		"too old":                              {with(func(s *sealing) { s.at = now.Add(-callback.MostApart - time.Second) }), callback.ErrStale},
		"of the future":                        {with(func(s *sealing) { s.at = now.Add(callback.MostApart + time.Second) }), callback.ErrStale},
		"encrypted with another key":           {with(func(s *sealing) { s.key = "A" + s.key[1:] }), callback.ErrSealed},
		"for another corp":                     {with(func(s *sealing) { s.receiver = "wwother" }), callback.ErrReceiver},
		"for a corp whose id begins with ours": {with(func(s *sealing) { s.receiver = corp + "1" }), callback.ErrReceiver},
		"for nobody":                           {with(func(s *sealing) { s.receiver = "" }), callback.ErrReceiver},
		"a padding of 0":                       {with(func(s *sealing) { s.receiver += "x"; s.pad = 256 }), callback.ErrSealed},
		"a padding above 32":                   {with(func(s *sealing) { s.pad = 33 }), callback.ErrSealed},
		"a length beyond the end":              {with(func(s *sealing) { s.length = 1 << 31 }), callback.ErrSealed},
		"encrypted bytes that are no base64":   {holding("%%" + secretWord), callback.ErrForm},
		"half a block":                         {holding(base64.StdEncoding.EncodeToString(make([]byte, 48))), callback.ErrForm},
		"no bytes":                             {holding(""), callback.ErrForm},
		"a body of JSON":                       {bodied(`{"` + secretWord + `":1}`), callback.ErrForm},
		"an empty body":                        {bodied(""), callback.ErrForm},
		"a body of another root":               {bodied("<" + secretWord + "/>"), callback.ErrForm},
		"two envelopes":                        {bodied("<xml></xml><xml></xml>"), callback.ErrForm},
		"an envelope without an end":           {bodied("<xml><Encrypt>" + secretWord), callback.ErrForm},
		"an envelope with two contents":        {bodied("<xml><Encrypt>a</Encrypt><Encrypt>b</Encrypt></xml>"), callback.ErrForm},
		"an envelope with a document type":     {bodied(`<!DOCTYPE xml [<!ENTITY a "` + secretWord + `">]><xml><Encrypt>&a;</Encrypt></xml>`), callback.ErrForm},
		"an envelope with an entity":           {bodied(`<xml><Encrypt>&` + secretWord + `;</Encrypt></xml>`), callback.ErrForm},
		"a deep envelope":                      {bodied("<xml>" + strings.Repeat("<a>", 5000)), callback.ErrForm},
		"an envelope that is too large":        {bodied("<xml>" + strings.Repeat(" ", callback.MostBytes) + "</xml>"), callback.ErrForm},
		"a message that is no XML":             {telling(secretWord), callback.ErrForm},
		"a message with two userids":           {telling(inside("<UserID>" + secretWord + "</UserID><UserID>b</UserID>")), callback.ErrForm},
		"a message that names another corp":    {telling(strings.ReplaceAll(message, corp, "wwother")), callback.ErrReceiver},
	} {
		t.Run(name, func(t *testing.T) {
			query, body := c.make()
			e, err := scheme(t).Open(query, body, now)
			if !errors.Is(err, c.want) || !cmp.Equal(e, callback.Event{}) {
				t.Fatalf("%+v, %v, want %v", e, err, c.want)
			}
			if text := err.Error(); strings.Contains(text, secretWord) || strings.Contains(text, token) || strings.Contains(text, key) {
				t.Errorf("the error gives away what came or what we hold: %v", err)
			}
		})
	}
}

func TestAnEchoIsOpenedWhereThePlusArrivedAsASpace(t *testing.T) {
	for i := range 200 { // some have a plus
		want := fmt.Sprint("echo ", i)
		query, sealed := right().seal(want)
		query.Set("echostr", strings.ReplaceAll(sealed, "+", " "))
		if got, err := scheme(t).Verify(query, now); err != nil || got != want {
			t.Fatalf("%q, %v", got, err)
		}
	}
	query, _ := right().seal("x")
	if _, err := scheme(t).Verify(query, now); !errors.Is(err, callback.ErrForm) {
		t.Errorf("without an echostr: %v", err)
	}
}

func TestSettingsThatNoConsoleMakesAreRefused(t *testing.T) {
	for _, c := range []struct{ corp, token, key string }{
		{"", token, key}, {corp, "", key}, {corp, strings.Repeat("a", 33), key}, {corp, "to ken", key}, {corp, token, key[1:]}, {corp, token, key + "A"},
		{corp, token, "=" + key[1:]}, {corp, token, "\n" + key[1:]}, {corp, token, ""},
	} {
		s, err := callback.New(archive.CorpID(c.corp), c.token, c.key)
		if !errors.Is(err, callback.ErrSettings) || s != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if c.token != "" && strings.Contains(err.Error(), c.token) || len(c.key) > 1 && strings.Contains(err.Error(), c.key) {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
}

func TestASchemeDoesNotPrintItsSecrets(t *testing.T) {
	s := scheme(t)
	written, err := json.Marshal(map[string]any{"a": s})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", slog.Any("scheme", s))
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %q %x", s, s, s, s), string(written), log.String()} {
		if strings.Contains(text, token) || strings.Contains(text, key) || strings.Contains(text, hex.EncodeToString([]byte(token))) || !strings.Contains(text, "[secret]") {
			t.Errorf("it prints %s", text)
		}
	}
}

func FuzzOpen(f *testing.F) {
	query, sealed := right().seal(inside(`<Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>a</UserID>`))
	f.Add(query.Encode(), envelope(sealed))
	f.Add(query.Encode(), []byte("<xml><Encrypt>"+sealed+"</Encrypt></xml>"))
	f.Add("msg_signature=a&timestamp=1&nonce=2", []byte("<xml/>"))
	s := scheme(f)
	f.Fuzz(func(t *testing.T, rawQuery string, body []byte) {
		q, err := url.ParseQuery(rawQuery)
		if err != nil {
			return
		}
		if e, err := s.Open(q, body, now); err != nil && !cmp.Equal(e, callback.Event{}) {
			t.Errorf("an event beside an error: %+v, %v", e, err)
		}
	})
}

// FuzzMessage seals whatever it is given, so that the parser behind the signature is reached.
func FuzzMessage(f *testing.F) {
	f.Add(inside(`<Event>change_contact</Event><ChangeType>update_user</ChangeType><UserID>a</UserID><NewUserID>b</NewUserID><Department>1,2</Department>`))
	f.Add(inside(`<Event>change_external_chat</Event><ChatId>wrX</ChatId><MemChangeList><Item>a</Item><Item>b</Item></MemChangeList>`))
	f.Add(inside(`<Event>change_contact</Event><ChangeType>update_tag</ChangeType><TagId>7</TagId><AddUserItems>a,,b</AddUserItems><DelPartyItems>-3</DelPartyItems>`))
	f.Add("<xml><xml/></xml>")
	s := scheme(f)
	f.Fuzz(func(t *testing.T, message string) {
		query, sealed := right().seal(message)
		e, err := s.Open(query, envelope(sealed), now)
		switch {
		case err != nil && !cmp.Equal(e, callback.Event{}):
			t.Errorf("an event beside an error: %+v, %v", e, err)
		case err != nil && !errors.Is(err, callback.ErrForm) && !errors.Is(err, callback.ErrReceiver):
			t.Errorf("what is rightly sealed is refused for another reason: %v", err)
		}
		for _, word := range []string{e.Name, e.Change, e.Detail} {
			if len(word) > 64 || strings.ContainsAny(word, " <>\n") {
				t.Errorf("a word of WeCom's is %q", word)
			}
		}
		for _, id := range append(e.Parties, e.Member, e.Former, e.External, archive.PartyID(e.Room)) {
			if len(id) > 128 || strings.ContainsAny(string(id), " \n\x00") {
				t.Errorf("an id is %q", id)
			}
		}
	})
}
