// Package wire owns the shape of what WeCom's library returns once it has opened an item: decrypted bytes in, archive.Message out. It reads
// no clock, no file and no network, and it never judges a message: it keeps the bytes, and reads what it can.
//
// # What is read
//
// The bytes are kept as they came. Only what is not one JSON object at all is an error; a field of an unexpected type is left empty or read in
// the form that it has. Numbers may come as strings and strings as numbers, with all 64 bits. Times are milliseconds; a value that as
// milliseconds would lie before March 1973 is seconds; 0, negative and after the year 9999 are no time. A byte order mark, and NULs or blanks
// around the object, are passed over. Of a key that stands twice the last counts for the envelope, and both for text and media.
//
// # Text
//
// The text is every value below that is not empty, in the order of the document, joined by line feeds. Control bytes are noise, raw ones
// wherever they stand and escaped ones but for \n and \t; bytes that are no UTF-8 become U+FFFD; nothing else is changed or trimmed.
// The whole message but its envelope is searched, so that it does not matter whether the fields stand at the top, under the type's own
// name or under another (info, doc, redpacket). A field that holds words in one type counts in every other as well.
//
//	type                  fields that make the text                                 evidence
//	text                  content                                                   published sample
//	image                 none                                                      published sample
//	revoke                none                                                      published sample
//	agree, disagree       none                                                      published sample
//	voice, video          none                                                      published sample
//	card                  corpname, userid (the person that the card is about)      published sample
//	location              title, address                                            published sample
//	emotion               none                                                      published sample
//	file                  filename                                                  published sample
//	link                  title, description, link_url                              published sample
//	weapp                 title, description, displayname                           published sample
//	chatrecord            title, and each item by its own type, to any depth        published sample
//	todo                  title, content                                            other parsers
//	vote                  votetitle, voteitem                                       other parsers
//	collect               room_name, creator, title, ques                           published sample
//	redpacket             wish                                                      published sample
//	external_redpacket    wish                                                      published sample
//	meeting               topic, address, remarks                                   published sample
//	meeting_notification  content                                                   other parsers
//	docmsg                title, link_url, doc_creator                              published sample
//	markdown              content                                                   published sample
//	news                  title, description, url                                   published sample
//	calendar              title, creatorname, attendeename, place, remarks          published sample
//	mixed                 each item by its own type                                 published sample
//	meeting_voice_call    filename                                                  published sample
//	voip_doc_share        filename                                                  published sample
//	sphfeed               sph_name, feed_desc                                       published sample
//	voiptext              none                                                      published sample
//	qydiskfile            filename                                                  other parsers
//	note                  every field that looks like words                         single source
//	solitaire             every field that looks like words                         single source
//	switch                none                                                      published sample
//	any other             every field that looks like words                         not known to us
//
// Ids (but for those that name the person whom a card, a form or a document is about), hashes, sdkfileids, times, counts, sizes and the
// addresses of pictures are no text. Objects and arrays more than 256 levels deep, nested strings counted in, are not followed: they become text as they stand,
// and attachments in them stay unread.
//
// # Media
//
// Every object that has an sdkfileid is an attachment, in whatever type and however deep it stands, in the order of the document: one that a
// message names twice, say in a record of records, is there twice, each time under the name it has there.
package wire

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
)

// Version is the decoder's: it rises whenever the same bytes would decode to another message. A segment keeps with each message the version that read it.
//
//	1  the first
//	2  halves of a character never join around an escape: text with broken bytes beside an escape has a replacement character for each of them. Some
//	   builds of this reading still called themselves 1.
const Version = 2

// ReasonUndecodable is the reason of Decode's only failure.
const ReasonUndecodable fault.Reason = "undecodable-json"

// Decode reads the decrypted bytes of one item. The Message keeps its own copy of raw, unchanged. The only error is a fault.Poison with
// ReasonUndecodable for bytes that are not one JSON object; it names the corp and the seq, never content.
func Decode(corp archive.CorpID, item archive.ChatData, raw []byte) (archive.Message, error) {
	doc, err := parseObject(raw, 0)
	if err != nil {
		return archive.Message{}, fault.New(fault.Poison, ReasonUndecodable, fmt.Errorf("decode seq %s of corp %s: %w", item.Seq, corp, err))
	}
	m := archive.Message{
		Corp: corp, Seq: item.Seq, MsgID: item.MsgID, KeyVersion: item.KeyVersion,
		Raw: bytes.Clone(raw),
	}
	readEnvelope(&m, doc)
	if m.MsgID == "" {
		m.MsgID = archive.MsgID(field(doc, "msgid").scalar())
	}
	if m.Action == archive.Switch {
		readSwitch(&m, doc)
	}
	r := reader{}
	r.object(doc, m.Type, 0, atTop)
	m.Text, m.Media = strings.Join(r.lines, "\n"), r.media
	if m.Action == archive.Recall || m.Type == "revoke" {
		m.RecallOf = archive.MsgID(find(doc, "pre_msgid").scalar())
	}
	if m.Type == "agree" || m.Type == "disagree" {
		m.Consents = []archive.Consent{readConsent(m, doc)}
	}
	return m, nil
}

// readEnvelope fills the fields that every message but a switch has.
func readEnvelope(m *archive.Message, doc value) {
	m.Action = archive.Action(field(doc, "action").scalar())
	m.Type = field(doc, "msgtype").scalar()
	m.Known = known(m.Type)
	m.Time = readTime(field(doc, "msgtime"))
	m.From = archive.PartyID(field(doc, "from").scalar())
	m.Room = archive.RoomID(field(doc, "roomid").scalar())
	m.To = readReceivers(field(doc, "tolist"))
}

// readReceivers reads an array of ids, or one id alone, as they were sent.
func readReceivers(v value) []archive.PartyID {
	all := []part{{val: v}}
	if v.kind == array {
		all = v.parts
	}
	var ids []archive.PartyID
	for _, p := range all {
		if id := p.val.scalar(); id != "" {
			ids = append(ids, archive.PartyID(id))
		}
	}
	return ids
}

// readSwitch fills what a member's change to another company has in place of the envelope.
func readSwitch(m *archive.Message, doc value) {
	m.Type, m.Known = "", true
	if t := readTime(field(doc, "time")); !t.IsZero() {
		m.Time = t
	}
	if user := field(doc, "user").scalar(); user != "" {
		m.From = archive.PartyID(user)
	}
}

// readConsent reads what an external contact said about archiving. The sender and the message's time stand in for what is missing.
func readConsent(m archive.Message, doc value) archive.Consent {
	c := archive.Consent{Party: m.From, Agree: m.Type == "agree", Time: m.Time}
	if id := find(doc, "userid").scalar(); id != "" {
		c.Party = archive.PartyID(id)
	}
	for _, key := range [...]string{m.Type + "_time", "agree_time", "disagree_time"} {
		if t := readTime(find(doc, key)); !t.IsZero() {
			c.Time = t
			break
		}
	}
	return c
}

// QUIRK: WeCom's times are milliseconds in the envelope and seconds inside most payloads, and its own pages disagree about some. Milliseconds
// below firstMillisecond would lie before March 1973, seconds below it reach to the year 5138: there is no doubt between them.
const (
	firstMillisecond = 100_000_000_000
	lastMillisecond  = 253_402_300_799_999 // the end of the year 9999, after which RFC 3339 has no words
)

func readTime(v value) time.Time {
	n := v.uint()
	if n > 0 && n < firstMillisecond {
		n *= 1000
	}
	if n == 0 || n > lastMillisecond {
		return time.Time{}
	}
	return time.UnixMilli(int64(n)).UTC()
}

func field(v value, key string) value {
	f, _ := v.get(key)
	return f
}

// find is the first string or number under key in document order, however deep, inside strings that hold an object as well.
func find(v value, key string) value { return findAt(v, key, 0) }

func findAt(v value, key string, depth int) value {
	if f := field(v, key); f.scalar() != "" {
		return f
	}
	if v.kind == text && strings.HasPrefix(v.str, "{") {
		v, _ = parseNested(v.str, depth)
		return findAt(v, key, depth+1)
	}
	for _, p := range v.parts {
		if f := findAt(p.val, key, depth+1); f.scalar() != "" {
			return f
		}
	}
	return value{}
}
