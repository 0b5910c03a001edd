package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// What WeCom documents of app messages.
const (
	// MostAppText is the longest text of an app message, in bytes. WeCom cuts a longer one off without a word.
	MostAppText = 2048
	// DuplicateWindow is the longest time within which WeCom delivers only the first of several messages whose request is the same, byte for byte.
	DuplicateWindow = 4 * time.Hour
	// MostPerMember is how many messages of an app a member is shown in a minute; more are dropped, and the answer is the same. MostPerMemberHour is of an hour.
	MostPerMember     = 30
	MostPerMemberHour = 1000

	callSend  = "message/send"
	callAgent = "agent/get"
)

// AppText is a text that an app sends to one member.
type AppText struct {
	Agent int // the app's AgentId
	To    archive.PartyID
	Text  string // at most MostAppText bytes
}

// Why WeCom did not show a message to the member, for good: a later call comes to the same until an admin changes something.
var (
	ErrNotInRange = errors.New("the member is not in the app's visible range")
	ErrUnlicensed = errors.New("the member has no licence for calls of WeCom's API")
)

// appText is the request. Equal texts give equal bytes: that is what WeCom compares.
type appText struct {
	To       string `json:"touser"`
	Type     string `json:"msgtype"`
	Agent    int    `json:"agentid"`
	Text     words  `json:"text"`
	Check    int    `json:"enable_duplicate_check"`
	Interval int    `json:"duplicate_check_interval"` // s
}

type words struct {
	Content string `json:"content"`
}

// ids are userids in an answer: documented as "u1|u2", in lower case. Another form is searched for ids all the same.
type ids string

// UnmarshalJSON takes any form.
func (i *ids) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) == nil {
		*i = ids(s)
		return nil
	}
	*i = ids(text)
	return nil
}

func (i ids) name(id archive.PartyID) bool {
	for _, one := range strings.FieldsFunc(string(i), func(r rune) bool { return strings.ContainsRune("|,\"[]{} ", r) }) {
		if strings.EqualFold(one, string(id)) {
			return true
		}
	}
	return false
}

// sent is the answer.
type sent struct {
	Invalid    ids             `json:"invaliduser"`
	Unlicensed ids             `json:"unlicenseduser"`
	MsgID      json.RawMessage `json:"msgid"`
}

// SendText sends a text of an app to one member, with the app's token. The same text sent again within DuplicateWindow of the first is shown once, whatever
// became of the answers. msgid is WeCom's; it may be "". The error wraps ErrNotInRange or ErrUnlicensed where WeCom says that the member gets none;
// NotSent(err) says whether nothing was sent for certain.
func (t *Tokens) SendText(ctx context.Context, m AppText) (msgid string, err error) {
	if m.To == "" || strings.ContainsAny(string(m.To), "|@") && (m.To == "@all" || strings.Contains(string(m.To), "|")) {
		return "", fmt.Errorf("wecom %s: %w: this is no userid of one member", callSend, errNotAsked)
	}
	if m.Text == "" || len(m.Text) > MostAppText {
		return "", fmt.Errorf("wecom %s: %w: a text has 1 to %d bytes, not %d", callSend, errNotAsked, MostAppText, len(m.Text))
	}
	body := appText{To: string(m.To), Type: "text", Agent: m.Agent, Text: words{m.Text}, Check: 1, Interval: int(DuplicateWindow / time.Second)}
	var answer sent
	err = t.call(ctx, http.MethodPost, prefix+callSend, nil, body, &answer)
	var refused *Error
	if errors.As(err, &refused) && refused.Code == codeNobody {
		// QUIRK: one whom the app may not see, and one without a licence, are refused alike where nobody else is asked for; a list may tell them apart.
		if json.Unmarshal(refused.answer, &answer) == nil && answer.Unlicensed.name(m.To) {
			return "", fmt.Errorf("%w: %w", ErrUnlicensed, err)
		}
		return "", fmt.Errorf("%w: %w", ErrNotInRange, err)
	}
	if err != nil {
		return "", err
	}
	switch {
	case answer.Unlicensed.name(m.To):
		return "", fmt.Errorf("wecom %s: %w", callSend, ErrUnlicensed)
	case answer.Invalid.name(m.To): // QUIRK: errcode 0
		return "", fmt.Errorf("wecom %s: %w", callSend, ErrNotInRange)
	}
	if json.Unmarshal(answer.MsgID, &msgid) != nil {
		msgid = "" // sent all the same
	}
	return msgid, nil
}

// codeNobody is WeCom's word that none of those to whom a message goes may get it.
const codeNobody = 81013

// errNotAsked marks what WeCom was not asked for.
var errNotAsked = errors.New("not asked")

// NotSent says whether err, of SendText, means for certain that WeCom sent nothing: it refused, or was not asked. "System busy" is no such word: it may come
// after the work was done.
func NotSent(err error) bool {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Code != -1
	}
	return errors.Is(err, errNotAsked) || errors.Is(err, ErrNotInRange) || errors.Is(err, ErrUnlicensed)
}

// WrongAgent says whether err is WeCom's word that the AgentId is none, or not the one that the secret is of.
func WrongAgent(err error) bool {
	switch CodeOf(err) {
	case 301002, 40056:
		return true
	}
	return false
}

// Agent reads an app, which changes nothing: its answer shows whether the secret and the AgentId belong together. It returns the app's name.
func (r *Reader) Agent(ctx context.Context, agent int) (name string, err error) {
	var answer struct {
		Name string `json:"name"`
	}
	err = r.get(ctx, callAgent, url.Values{"agentid": {strconv.Itoa(agent)}}, &answer)
	return answer.Name, err
}
