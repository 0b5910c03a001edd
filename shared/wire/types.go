package wire

import "strings"

// Evidence says how much is known about a type's shape.
type Evidence string

// The three grades of evidence.
const (
	Published Evidence = "published sample" // the vendor's own example has been published
	Parsers   Evidence = "other parsers"    // no published example; several independent parsers agree on the fields, not always on the nesting
	Single    Evidence = "single source"    // one parser only
)

// TypeInfo is one type that Decode was built for. Text lists the fields whose values make the message's text, in no special order;
// "*" means that the fields are not known and every field that looks like words counts.
type TypeInfo struct {
	Name     string
	Evidence Evidence
	Text     []string
}

// everyField marks a type whose fields are not known.
const everyField = "*"

// Types lists every type that Decode was built for, "switch" among them, although that is an action without a msgtype.
func Types() []TypeInfo {
	return []TypeInfo{
		{"text", Published, []string{"content"}},
		{"image", Published, nil},
		{"revoke", Published, nil},
		{"agree", Published, nil},
		{"disagree", Published, nil},
		{"voice", Published, nil},
		{"video", Published, nil},
		{"card", Published, []string{"corpname", "userid"}},
		{"location", Published, []string{"title", "address"}},
		{"emotion", Published, nil},
		{"file", Published, []string{"filename"}},
		{"link", Published, []string{"title", "description", "link_url"}},
		{"weapp", Published, []string{"title", "description", "displayname"}},
		{"chatrecord", Published, []string{"title"}},
		{"todo", Parsers, []string{"title", "content"}},
		{"vote", Parsers, []string{"votetitle", "voteitem"}},
		{"collect", Published, []string{"room_name", "creator", "title", "ques"}},
		{"redpacket", Published, []string{"wish"}},
		{"external_redpacket", Published, []string{"wish"}},
		{"meeting", Published, []string{"topic", "address", "remarks"}},
		{"meeting_notification", Parsers, []string{"content"}},
		{"docmsg", Published, []string{"title", "link_url", "doc_creator"}},
		{"markdown", Published, []string{"content"}},
		{"news", Published, []string{"title", "description", "url"}},
		{"calendar", Published, []string{"title", "creatorname", "attendeename", "place", "remarks"}},
		{"mixed", Published, nil},
		{"meeting_voice_call", Published, []string{"filename"}},
		{"voip_doc_share", Published, []string{"filename"}},
		{"sphfeed", Published, []string{"sph_name", "feed_desc"}},
		{"voiptext", Published, nil},
		{"qydiskfile", Parsers, []string{"filename"}},
		{"note", Single, []string{everyField}},
		{"solitaire", Single, []string{everyField}},
		{"switch", Published, nil},
	}
}

// textFields is true for a field that holds words in whatever type and place it stands, so that a field that WeCom adds to a type
// that we know is not lost for search.
func textFields(key string) bool {
	switch key {
	case "content", "text", "title", "description", "desc", "name", "filename", "file_name", "displayname", "nickname",
		"corpname", "address", "wish", "ques", "question", "answer", "topic", "subject", "summary", "remark", "remarks", "place",
		"room_name", "creatorname", "attendeename", "sph_name", "feed_desc", "votetitle", "voteitem", "notice", "caption",
		"comment", "quote", "option", "options", "link_url":
		return true
	}
	return false
}

// typeFields is true for a field that makes text in that type alone.
func typeFields(typ, key string) bool {
	switch typ {
	case "card":
		return key == "userid" // the person that the card is about
	case "collect":
		return key == "creator"
	case "docmsg":
		return key == "doc_creator"
	case "news":
		return key == "url"
	}
	return false
}

// wide is true for a type of which no field, or not every field, is known: there everything that looks like words is text.
func wide(typ string) bool { return typ == "note" || typ == "solitaire" || !known(typ) }

// known is true for a type of Types.
func known(typ string) bool {
	switch typ {
	case "text", "image", "revoke", "agree", "disagree", "voice", "video", "card", "location", "emotion", "file", "link", "weapp",
		"chatrecord", "todo", "vote", "collect", "redpacket", "external_redpacket", "meeting", "meeting_notification", "docmsg",
		"markdown", "news", "calendar", "mixed", "meeting_voice_call", "voip_doc_share", "sphfeed", "voiptext", "qydiskfile",
		"note", "solitaire":
		return true
	}
	return false
}

// looksMachine is true for a field of a type that we don't know that holds an id, a hash, a time, a picture's address or a word of the
// protocol, or whose value is one long run without a blank as sdkfileids are.
func looksMachine(key, val string) bool {
	key = strings.ToLower(key)
	switch key {
	case "ext", "fileext", "ver", "version", "sign", "sum", "status", "action", "encoding", "format", "color", "lang":
		return true
	}
	for _, end := range [...]string{"id", "ids", "md5", "md5sum", "hash", "size", "type", "time", "key", "token",
		"picurl", "pic_url", "imgurl", "image_url", "thumb_url", "icon_url"} {
		if strings.HasSuffix(key, end) {
			return true
		}
	}
	return len(val) > longRun && !strings.ContainsFunc(val, func(r rune) bool { return r <= ' ' || r > '~' }) && !strings.Contains(val, "://")
}

// longRun is longer than any word, and shorter than any sdkfileid seen.
const longRun = 80

// partType is the type of a part of a forwarded record or of mixed content in the words of the messages: ChatRecordImage and image are the
// same.
func partType(s string) string {
	const prefix = "chatrecord"
	s = strings.ToLower(s)
	if rest := strings.TrimPrefix(s, prefix); rest != "" {
		return rest
	}
	return s
}
