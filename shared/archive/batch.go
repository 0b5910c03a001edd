package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Batch is one answer of GetChatData that was whole: what WeCom handed out after some seq. Items may be empty.
type Batch struct {
	Items []ChatData
}

// First and Last are the seqs of the first and last item. The batch must not be empty.
func (b Batch) First() Seq { return b.Items[0].Seq }

// Last is the seq of the last item. The batch must not be empty.
func (b Batch) Last() Seq { return b.Items[len(b.Items)-1].Seq }

// RefusalError is an answer in which WeCom refuses: a whole JSON object with an errcode other than 0.
type RefusalError struct {
	Code    int
	Message string // WeCom's errmsg: may name our address, never content
}

func (e *RefusalError) Error() string { return fmt.Sprintf("wecom answered errcode %d", e.Code) }

// ErrNotWhole marks an answer that is no whole batch: empty, cut, not JSON, or with seqs that do not ascend. It says nothing
// about what WeCom holds and must be asked for again.
var ErrNotWhole = errors.New("not a whole batch")

// ParseBatch reads the bytes that the library returned for the seqs after the given one. It returns a *RefusalError for a refusal and an
// error that wraps ErrNotWhole for anything that is no whole batch. Apart from its seq, nothing about an item fails its batch: an
// unreadable field is named in the item's Defect.
func ParseBatch(raw []byte, after Seq) (Batch, error) {
	if batch, ok := plainBatch(raw, after); ok {
		return batch, nil
	}
	return parseBatch(raw, after)
}

// parseBatch reads whatever JSON allows.
func parseBatch(raw []byte, after Seq) (Batch, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return Batch{}, fmt.Errorf("%w: the answer is empty", ErrNotWhole)
	}
	var answer struct {
		ErrCode  *json.RawMessage `json:"errcode"`
		ErrMsg   json.RawMessage  `json:"errmsg"`
		ChatData json.RawMessage  `json:"chatdata"`
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&answer); err != nil {
		return Batch{}, fmt.Errorf("%w: the answer is no JSON object of %d bytes", ErrNotWhole, len(raw))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Batch{}, fmt.Errorf("%w: something follows the JSON object", ErrNotWhole)
	}
	if answer.ErrCode == nil {
		return Batch{}, fmt.Errorf("%w: errcode is missing", ErrNotWhole)
	}
	var code int
	if err := json.Unmarshal(*answer.ErrCode, &code); err != nil {
		return Batch{}, fmt.Errorf("%w: errcode is no number", ErrNotWhole)
	}
	if code != 0 {
		var msg string
		if json.Unmarshal(answer.ErrMsg, &msg) != nil {
			msg = ""
		}
		return Batch{}, &RefusalError{Code: code, Message: msg}
	}
	var items []json.RawMessage
	if len(answer.ChatData) > 0 {
		if err := json.Unmarshal(answer.ChatData, &items); err != nil {
			return Batch{}, fmt.Errorf("%w: chatdata is neither null nor an array", ErrNotWhole)
		}
	}
	batch := Batch{Items: make([]ChatData, 0, len(items))}
	for i, item := range items {
		cd, err := parseChatData(i, item)
		if err != nil {
			return Batch{}, err
		}
		if cd.Seq <= after {
			return Batch{}, fmt.Errorf("%w: seq %d at place %d does not ascend from %d", ErrNotWhole, cd.Seq, i, after)
		}
		after = cd.Seq
		batch.Items = append(batch.Items, cd)
	}
	return batch, nil
}

func parseChatData(index int, raw json.RawMessage) (ChatData, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return ChatData{}, fmt.Errorf("%w: the element at place %d is no object", ErrNotWhole, index)
	}
	cd := ChatData{Index: index}
	seq, ok := fields["seq"]
	if !ok || json.Unmarshal(seq, &cd.Seq) != nil {
		return ChatData{}, fmt.Errorf("%w: the element at place %d has no readable seq", ErrNotWhole, index)
	}
	read := func(name string, into any) {
		v, ok := fields[name]
		switch {
		case !ok || string(v) == "null":
			cd.Defect = name + " is missing"
		case json.Unmarshal(v, into) != nil:
			cd.Defect = name + " has the wrong type"
		}
	}
	read("msgid", &cd.MsgID)
	cd.Defect = "" // the opened message has the msgid too
	read("encrypt_chat_msg", &cd.EncryptChatMsg)
	read("encrypt_random_key", &cd.EncryptRandomKey)
	// The version alone is taken as a string too: it says which key to try, and the key says whether that was right.
	var text string
	if v := fields["publickey_ver"]; json.Unmarshal(v, &text) == nil {
		if n, err := strconv.ParseUint(text, 10, 32); err == nil {
			cd.KeyVersion = KeyVersion(n)
			return cd, nil
		}
	}
	read("publickey_ver", &cd.KeyVersion)
	return cd, nil
}
