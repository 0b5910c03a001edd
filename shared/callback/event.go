package callback

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// WeCom's names of the events that matter here. Others are opened too, with Name, Change and At.
const (
	ChangeContact         = "change_contact"          // members, departments, tags: to the address of contacts sync
	ChangeExternalContact = "change_external_contact" // external contacts, and their consent to archiving
	ChangeExternalChat    = "change_external_chat"    // groups with external contacts
	ChatDataNotify        = "msgaudit_notify"         // new chat data is there: at most every 15 seconds, and naming nothing
)

// WeCom's ChangeTypes.
const (
	CreateUser  = "create_user"
	UpdateUser  = "update_user"
	DeleteUser  = "delete_user"
	CreateParty = "create_party" // a party is a department
	UpdateParty = "update_party"
	DeleteParty = "delete_party"
	UpdateTag   = "update_tag"

	AddExternalContact     = "add_external_contact"
	AddHalfExternalContact = "add_half_external_contact"
	EditExternalContact    = "edit_external_contact"
	DelExternalContact     = "del_external_contact" // the member removed the contact
	DelFollowUser          = "del_follow_user"      // the contact removed the member
	TransferFail           = "transfer_fail"
	MsgAuditApproved       = "msg_audit_approved" // the contact agreed to archiving. That one disagreed has no event

	ChatCreate  = "create"
	ChatUpdate  = "update"
	ChatDismiss = "dismiss"
)

// Event says what to read again.
type Event struct {
	// ID is the same for each delivery of one event, and differs between two events of one second, which WeCom's own advice, sender and
	// time, does not tell apart: 32 hex digits, from which nothing can be guessed.
	ID     string
	Corp   archive.CorpID
	Name   string    // WeCom's Event, "" for a message that a member wrote to the app
	Change string    // its ChangeType
	Detail string    // its UpdateDetail: add_member, del_member, change_owner, change_name, change_notice
	At     time.Time // its CreateTime, to the second
	Agent  int       // the app's number, 0 if none is named

	// Member is the member that changed; Former the userid that it had before, if that changed.
	Member archive.PartyID
	Former archive.PartyID
	// Department is the department that changed; Parent the one it is now under, 0 if WeCom does not say.
	Department int
	Parent     int
	// Departments are those that a change of a member names, or of a tag.
	Departments []int
	Tag         int
	External    archive.PartyID
	Room        archive.RoomID
	// Parties are the members and external contacts that came into a group or left it, and the members who got a tag or lost it.
	Parties []archive.PartyID
	// Odd says that WeCom named something in a form that we don't know, which is left out: read more rather than less.
	Odd bool
}

// The elements that are read. What else there is, names, numbers, addresses, texts, is skipped where it stands.
var wanted = []string{
	"Encrypt", "ToUserName", "CreateTime", "MsgType", "AgentID", "Event", "ChangeType", "UpdateDetail", "UserID", "NewUserID", "Department",
	"Id", "ParentId", "TagId", "AddUserItems", "DelUserItems", "AddPartyItems", "DelPartyItems", "ExternalUserID", "ChatId",
}

// document is what was read of a body.
type document struct {
	text  map[string]string // by element
	items []string          // of MemChangeList
}

// The errors hold no word of what was read.
var (
	errNoXML   = errors.New("no XML")
	errRoot    = errors.New("not one element xml")
	errDoubled = errors.New("an element is there twice")
	errTooDeep = errors.New("elements within elements")
	errDTD     = errors.New("a document type or an instruction")
)

const deepest = 8

// read takes the wanted elements directly below <xml>, and MemChangeList's items.
func read(body []byte) (document, error) {
	doc := document{text: map[string]string{}}
	decoder := xml.NewDecoder(bytes.NewReader(body)) // #nosec G709 -- tokens alone are taken, of a bounded body
	var path []string
	var text strings.Builder
	ended := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			if !ended {
				return document{}, errNoXML
			}
			return doc, nil
		}
		if err != nil {
			return document{}, errNoXML // the decoder's own error quotes what it read
		}
		switch t := token.(type) {
		case xml.Directive:
			return document{}, errDTD
		case xml.StartElement:
			if ended || len(path) == 0 && t.Name.Local != "xml" {
				return document{}, errRoot
			}
			if len(path) == deepest {
				return document{}, errTooDeep
			}
			path = append(path, t.Name.Local)
			text.Reset()
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			switch name := path[len(path)-1]; {
			case len(path) == 2 && slices.Contains(wanted, name):
				if _, twice := doc.text[name]; twice {
					return document{}, errDoubled
				}
				doc.text[name] = text.String()
			case len(path) == 3 && path[1] == "MemChangeList" && name == "Item":
				doc.items = append(doc.items, text.String())
			}
			path = path[:len(path)-1]
			text.Reset()
			ended = len(path) == 0
		}
	}
}

// eventOf reads a decrypted message.
func eventOf(message []byte) (Event, error) {
	doc, err := read(message)
	if err != nil {
		return Event{}, err
	}
	e := &Event{Corp: archive.CorpID(doc.text["ToUserName"])}
	e.At = doc.at(e)
	e.Agent = doc.number(e, "AgentID")
	if doc.text["MsgType"] != "event" {
		return *e, nil // somebody writes to the app: that is a person's text, and nobody's business here
	}
	e.Name, e.Change, e.Detail = doc.word(e, "Event"), doc.word(e, "ChangeType"), doc.word(e, "UpdateDetail")
	if e.Name == "" {
		e.Odd = true
	}
	switch e.Name {
	case ChangeContact:
		doc.contact(e)
	case ChangeExternalContact:
		e.Member, e.External = doc.party(e, "UserID"), doc.party(e, "ExternalUserID")
		e.Odd = e.Odd || e.Member == "" || e.External == ""
	case ChangeExternalChat:
		e.Room = archive.RoomID(doc.party(e, "ChatId"))
		for _, id := range doc.items {
			e.Parties = append(e.Parties, parties(e, id)...)
		}
		e.Odd = e.Odd || e.Room == ""
	}
	return *e, nil
}

func (d document) contact(e *Event) {
	switch e.Change {
	case CreateUser, UpdateUser, DeleteUser:
		e.Member = d.party(e, "UserID")
		if renamed := d.party(e, "NewUserID"); renamed != "" && renamed != e.Member {
			e.Former, e.Member = e.Member, renamed
		}
		e.Departments = d.numbers(e, "Department")
		e.Odd = e.Odd || e.Member == ""
	case CreateParty, UpdateParty, DeleteParty:
		e.Department, e.Parent = d.number(e, "Id"), d.number(e, "ParentId")
		e.Odd = e.Odd || e.Department == 0
	case UpdateTag:
		e.Tag = d.number(e, "TagId")
		e.Parties = slices.Concat(parties(e, d.text["AddUserItems"]), parties(e, d.text["DelUserItems"]))
		e.Departments = slices.Concat(d.numbers(e, "AddPartyItems"), d.numbers(e, "DelPartyItems"))
		e.Odd = e.Odd || e.Tag == 0
	default:
		e.Odd = true
	}
}

// latest is the last second that a time in JSON can have.
const latest = 253402300799

func (d document) at(e *Event) time.Time {
	n, err := strconv.ParseInt(strings.TrimSpace(d.text["CreateTime"]), 10, 64)
	if err != nil || n <= 0 || n > latest {
		e.Odd = true
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// word is a name of WeCom's, "" if it does not look like one: it goes into logs and must not carry a text there.
func (d document) word(e *Event, element string) string {
	w := strings.TrimSpace(d.text[element])
	if len(w) > 64 || strings.ContainsFunc(w, func(r rune) bool { return r != '_' && !alnum(string(r)) }) {
		e.Odd = true
		return ""
	}
	return w
}

func (d document) party(e *Event, element string) archive.PartyID {
	ids := parties(e, d.text[element])
	if len(ids) > 1 {
		e.Odd = true
		return ""
	}
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

// parties reads a list of ids with commas.
func parties(e *Event, list string) []archive.PartyID {
	var ids []archive.PartyID
	for id := range strings.SplitSeq(list, ",") {
		id = strings.TrimSpace(id)
		switch {
		case id == "":
		case len(id) > 128 || !utf8.ValidString(id) || strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }):
			e.Odd = true
		default:
			ids = append(ids, archive.PartyID(id))
		}
	}
	return ids
}

func (d document) number(e *Event, element string) int {
	if strings.TrimSpace(d.text[element]) == "" {
		return 0
	}
	n := d.numbers(e, element)
	if len(n) != 1 {
		e.Odd = true
		return 0
	}
	return n[0]
}

// numbers reads a list of numbers with commas. WeCom's departments, tags and apps have 32 bits.
func (d document) numbers(e *Event, element string) []int {
	var list []int
	for text := range strings.SplitSeq(d.text[element], ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			e.Odd = true
			continue
		}
		list = append(list, int(n))
	}
	return list
}
